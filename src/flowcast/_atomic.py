"""Folders that are there whole or not at all.

A folder is filled under a hidden name beside its place, flushed to disk and renamed. The writer
holds a lock on it while it lives, so what a dead process left can be told from work in progress.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["atomic_file", "atomic_folder", "partial_folders"]

PARTIAL = "partial"
REPLACED = "replaced"


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes the target's place when the block ends well.

    If the block raises (an interrupt too) nothing is left. A folder that stood at the target is
    moved aside first and deleted last; whether it may be replaced is for the caller to know.

    Parameters
    ----------
    target
        Where the folder shall be. Its parents are made.

    Yields
    ------
    pathlib.Path
        The hidden folder ``.<name>.partial-<random>`` beside the target.
    """
    place = Path(os.path.abspath(target))
    place.parent.mkdir(parents=True, exist_ok=True)
    _clear_remains(place)
    partial, lock = _claim(place)
    try:
        yield partial
        _flush(partial)
        _swap(partial, place)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def partial_folders(target: Path) -> list[Path]:
    """Return the unfinished folders that wait beside the target, or were left there."""
    return _siblings(Path(os.path.abspath(target)), PARTIAL)


def _siblings(place: Path, what: str) -> list[Path]:
    prefix = f".{place.name}.{what}-"
    if not place.parent.is_dir():
        return []
    return sorted(p for p in place.parent.iterdir() if p.name.startswith(prefix))


def _sibling(place: Path, what: str) -> Path:
    return place.with_name(f".{place.name}.{what}-{secrets.token_hex(4)}")


def _claim(place: Path) -> tuple[Path, int]:
    """Make and lock a hidden folder; another process may sweep it away before it is locked."""
    while True:
        partial = _sibling(place, PARTIAL)
        partial.mkdir()
        with suppress(FileNotFoundError):
            lock = os.open(partial, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            if partial.is_dir():
                return partial, lock
            os.close(lock)


def _is_abandoned(partial: Path) -> bool:
    """Return whether nobody holds the folder's lock; a process that ends lets go of it."""
    try:
        lock = os.open(partial, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _clear_remains(place: Path) -> None:
    """Remove what dead processes left, and put back a folder that one of them had moved aside."""
    for partial in _siblings(place, PARTIAL):
        if _is_abandoned(partial):
            shutil.rmtree(partial, ignore_errors=True)
    for aside in _siblings(place, REPLACED):
        if place.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(place)


def _swap(partial: Path, place: Path) -> None:
    aside = _sibling(place, REPLACED)
    try:
        if place.exists():
            place.rename(aside)
        partial.rename(place)
    finally:
        if aside.exists() and not place.exists():
            aside.rename(place)
    _flush_one(place.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Bring everything below the folder to disk, so that a power cut cannot empty a renamed run."""
    for path in folder.rglob("*"):
        _flush_one(path)
    _flush_one(folder)


def _flush_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Give a path to write to; the file takes the target's place when the block ends well.

    Parameters
    ----------
    target
        Where the file shall be. Its folder must be there. A file that stands there is replaced.

    Yields
    ------
    pathlib.Path
        The hidden file ``.<name>.partial-<random>`` beside the target.
    """
    partial = _sibling(Path(os.path.abspath(target)), PARTIAL)
    try:
        yield partial
        _flush_one(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
