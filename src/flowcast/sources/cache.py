"""Where fetched files lie, and what is known of each: address, day, hash, size.

A file lies in ``<folder>/<source id>/<file>``, with a record beside it. One that a user put there
by hand counts as well.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flowcast._atomic import atomic_file
from flowcast.errors import Fault, InputError
from flowcast.sources.registry import SourceEntry

__all__ = [
    "FOLDER_VARIABLE",
    "Retrieval",
    "cache_folder",
    "cached_path",
    "find_cached",
    "hash_file",
    "record_path",
    "require_pinned",
    "write_record",
]

FOLDER_VARIABLE: Final = "FLOWCAST_DATA"
"""Environment variable that names the folder."""
DEFAULT_FOLDER: Final = Path("data") / "raw"
BLOCK: Final = 1 << 20
BY_HAND: Final = ""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A file that is there, and where it came from.

    Attributes
    ----------
    path
        The file.
    source
        Id of the source.
    url
        Address it was fetched from; empty if it was put there by hand.
    retrieved
        When, in UTC, as an ISO timestamp; for a file put there by hand, when it was first used.
    sha256
        Hash of its bytes.
    size
        Bytes.
    """

    path: Path
    source: str
    url: str
    retrieved: str
    sha256: str
    size: int


def cache_folder(given: Path | None = None) -> Path:
    """Return the folder of fetched files: the one given, `FLOWCAST_DATA`, or ``data/raw``.

    Examples
    --------
    >>> cache_folder(Path("elsewhere")).name
    'elsewhere'
    """
    return given or Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)


def cached_path(entry: SourceEntry, folder: Path) -> Path:
    """Return where the file of a source belongs, whether it is there or not."""
    return folder / entry.id / (entry.file or entry.id)


def record_path(path: Path) -> Path:
    """Return where the record of a file lies: the JSON file beside it."""
    return path.with_name(f"{path.name}.retrieved.json")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def require_pinned(entry: SourceEntry, found: str, where: Path | str) -> None:
    """Refuse bytes that are not those the registry pins.

    Raises
    ------
    InputError
        If the source has a hash, and it is another one.
    """
    if entry.sha256 and found != entry.sha256:
        allowed = f"sha256 {entry.sha256}, as the registry pins for {entry.id}"
        if entry.version:
            allowed += f" (version {entry.version})"
        raise InputError([Fault(str(where), f"sha256 {found}", allowed)])


def find_cached(entry: SourceEntry, folder: Path) -> Retrieval | None:
    """Return the file of a source, checked, or None where it is not there.

    A file without a record was put there by hand; it gets one.

    Raises
    ------
    InputError
        If its bytes are not those of the record, or not those the registry pins.
    """
    path = cached_path(entry, folder)
    if not path.is_file():
        return None
    found = hash_file(path)
    require_pinned(entry, found, path)
    record = _read_record(entry, path)
    if record is None:
        return write_record(entry, path, BY_HAND, found)
    if record.sha256 != found:
        allowed = f"sha256 {record.sha256}, as retrieved {record.retrieved}; or fetch with --force"
        raise InputError([Fault(str(path), f"sha256 {found}: it was changed", allowed)])
    return record


def write_record(entry: SourceEntry, path: Path, url: str, sha256: str) -> Retrieval:
    """Write the record of a file that is there, and return it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = Retrieval(path, entry.id, url, now, sha256, path.stat().st_size)
    told = {**asdict(record), "path": path.name, "version": entry.version}
    with atomic_file(record_path(path)) as partial:
        partial.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return record


def _read_record(entry: SourceEntry, path: Path) -> Retrieval | None:
    place = record_path(path)
    if not place.is_file():
        return None
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        return Retrieval(
            path,
            entry.id,
            str(told["url"]),
            str(told["retrieved"]),
            str(told["sha256"]),
            int(told["size"]),
        )
    except (ValueError, KeyError, TypeError):
        allowed = "the record that fetching wrote; delete it if the file is right"
        raise InputError([Fault(str(place), "no readable record", allowed)]) from None
