"""Hashes by which files and what was made from several of them are known."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["file_hash", "joint_hash"]


def file_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joint_hash(hashes: Iterable[str]) -> str:
    """Return the hash of several hashes in this order."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
