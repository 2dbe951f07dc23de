"""Whether downloaded bytes can be what a file's name promises.

Publishers answer with a page (a login, a notice of maintenance) and the status of success; such a
page must not lie in the cache as data.
"""

import re
import zlib
from pathlib import Path
from typing import Final

__all__ = ["tell_wrong_content"]

HEAD: Final = 4096
"""Bytes that are looked at."""
PAGE: Final = re.compile(
    rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|script)\b",
    re.IGNORECASE | re.DOTALL,
)
TITLE: Final = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
SIGNATURES: Final = {
    ".gz": (b"\x1f\x8b", "gzip"),
    ".zip": (b"PK", "zip"),
    ".xlsx": (b"PK", "Excel"),
    ".parquet": (b"PAR1", "Parquet"),
}
TEXTS: Final = (".csv", ".tsv", ".txt")
MARKUP: Final = (".html", ".htm", ".xml")


def tell_wrong_content(path: Path, name: str) -> str | None:
    """Say what bytes are that cannot be the file of this name, or return None.

    Parameters
    ----------
    path
        The bytes.
    name
        Name the file is to have; its suffix says what it should be.

    Returns
    -------
    str or None
        Such as ``"an HTML page ('Service unavailable')"``; None where nothing speaks against it.
    """
    suffix = Path(name).suffix.lower()
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        return "an empty file"
    text = _unpacked(head)
    if suffix not in MARKUP and PAGE.match(text):
        title = TITLE.search(text)
        told = title.group(1).decode("utf-8", "replace") if title else ""
        return f"an HTML page ({' '.join(told.split())!r})" if told.strip() else "an HTML page"
    signature, kind = SIGNATURES.get(suffix, (b"", ""))
    if not head.startswith(signature):
        return f"bytes that are no {kind} file (they begin with {head[:12]!r})"
    inner = Path(name).with_suffix("").suffix.lower() if suffix == ".gz" else suffix
    if inner in TEXTS and text.startswith(b"<"):
        return f"markup instead of a table (it begins with {text[:24]!r})"
    if inner == ".json" and text[:1] not in (b"{", b"["):
        return f"text that is no JSON (it begins with {text[:24]!r})"
    return None


def _unpacked(head: bytes) -> bytes:
    """Return the first bytes without compression, byte order mark and blanks."""
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, HEAD)
        except zlib.error:
            return b""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()
