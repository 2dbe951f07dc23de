"""From a file to text, JSON or the cells of a sheet; what is no such file is refused with a reason.

A download that went wrong looks like anything: an error page under the name of a workbook, the
first half of a file, a file saved again in another encoding. Each is told for what it is, before
anyone looks for a column in it.
"""

import gzip
import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

import openpyxl

from flowcast.errors import Faults, nearest

__all__ = ["ZIP_START", "Row", "find_header", "read_json", "read_sheets", "read_text"]

type Row = tuple[object, ...]
"""Cells of one row of a sheet, from the first column on."""

GZIP_START: Final = b"\x1f\x8b"
ZIP_START: Final = b"PK\x03\x04"
PAGE: Final = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<(!doctype\s+html|html)", re.IGNORECASE)
TITLE: Final = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
HEADER_WITHIN: Final = 60
"""A header stands among the first rows; a table without one is not searched to its end."""


def read_text(path: Path, faults: Faults) -> str:
    """Read a text file: plain, gzip, or alone in a zip archive (footnotes beside it do not count).

    Parameters
    ----------
    path
        The file; its name does not matter.
    faults
        Takes what is wrong with it.

    Returns
    -------
    str
        The text, without a byte order mark; line ends are as in the file.

    Raises
    ------
    InputError
        If it cannot be read, is empty, an HTML page or a workbook, or is not UTF-8.
    """
    data = _read_bytes(path, faults)
    if data.startswith(ZIP_START):
        data = _only_member(data, faults)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        found = f"byte 0x{data[error.start]:02x} that is not UTF-8"
        faults.add(found, "the file as published, in UTF-8", row=row)
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def read_json(path: Path, faults: Faults) -> object:
    """Read a JSON file, plain or gzip.

    Raises
    ------
    InputError
        If it is no whole JSON file in UTF-8, with the line at which reading stopped.
    """
    text = read_text(path, faults)
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip()) - 1
        found = f"JSON that cannot be read ({error.msg}){', at its end' if at_end else ''}"
        faults.add(
            found, "a whole JSON file: the answer as the publisher sends it", row=error.lineno
        )
    else:
        return parsed
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def read_sheets(path: Path, faults: Faults, names: Collection[str] = ()) -> dict[str, list[Row]]:
    """Read sheets of an .xlsx workbook, values only.

    Parameters
    ----------
    path
        The workbook.
    faults
        Takes what is wrong with it.
    names
        Sheets to read, each of which must be there; by default all of them.

    Returns
    -------
    dict
        The rows of each sheet, the first one being row 1 of the sheet.

    Raises
    ------
    InputError
        If it is no whole workbook, or a sheet is not there.
    """
    data = _read_bytes(path, faults)
    try:
        with warnings.catch_warnings():
            # openpyxl warns of styles it does not know; they say nothing about the figures.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            for name in (n for n in names if n not in book.sheetnames):
                found = f"no sheet {name!r}, only {', '.join(map(repr, book.sheetnames))}"
                faults.add(
                    found,
                    f"a workbook with the sheet {name!r}",
                    hint=nearest(name, book.sheetnames),
                )
            faults.raise_if_any()
            return {
                n: list(book[n].iter_rows(values_only=True)) for n in (names or book.sheetnames)
            }
    except (
        OSError,
        ValueError,
        KeyError,
        SyntaxError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        faults.add(f"not a readable workbook ({reason})", "a whole .xlsx workbook")
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def find_header(
    rows: list[Row], needed: Collection[str], where: str, faults: Faults
) -> tuple[int, list[str]]:
    """Find the row that names the columns: the first that has more than half of the needed names.

    Parameters
    ----------
    rows
        Rows of a sheet.
    needed
        Names that a header must have.
    where
        File and sheet, for messages.
    faults
        Takes each name that is not there.

    Returns
    -------
    position, names
        Position of the header in `rows` (0 is row 1), and its cells as text.

    Raises
    ------
    InputError
        If there is no such row, or it lacks a name.
    """
    for position, row in enumerate(rows[:HEADER_WITHIN]):
        names = ["" if cell is None else " ".join(str(cell).split()) for cell in row]
        there = [name for name in needed if name in names]
        if 2 * len(there) > len(needed):
            for name in (n for n in needed if n not in names):
                faults.add(
                    "no such column",
                    f"a column {name!r}",
                    where=where,
                    row=position + 1,
                    hint=nearest(name, [n for n in names if n and n not in needed]),
                )
            faults.raise_if_any()
            return position, names
    faults.add(
        f"no header in the first {min(len(rows), HEADER_WITHIN)} rows",
        f"a row with the columns {', '.join(map(repr, needed))}",
        where=where,
    )
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def _only_member(data: bytes, faults: Faults) -> bytes:
    """Return the one file of a zip archive that is no footnote."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            files = [n for n in names if not Path(n).name.lower().startswith("footnote")]
            if len(files) == 1:
                return archive.read(files[0])
        kind = "a workbook" if "[Content_Types].xml" in files else "a zip archive"
        faults.add(
            f"{kind} of {', '.join(files[:5]) or 'nothing'}",
            "the text file itself, plain or gzip, or alone in a zip archive",
        )
    except (OSError, EOFError, zlib.error, NotImplementedError, zipfile.BadZipFile) as error:
        faults.add(f"not a readable zip archive ({error})", "a whole zip archive")
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def _read_bytes(path: Path, faults: Faults) -> bytes:
    """Return the bytes, unpacked; an HTML page is refused here, whatever was expected."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        faults.add(found, "a readable file", hint=nearest(path.name, beside))
        faults.raise_if_any()
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data.startswith(GZIP_START) else data
    except (EOFError, zlib.error, gzip.BadGzipFile):
        faults.add("not a whole gzip file", "a file that gzip can unpack")
    except OSError as error:
        faults.add(error.strerror or str(error), "a readable file")
    faults.raise_if_any()
    if PAGE.match(data):
        title = TITLE.search(data)
        said = " ".join(title[1].decode("utf-8", "replace").split()) if title else "no title"
        faults.add(f"an HTML page ({said})", "the data file: the download went wrong, repeat it")
    elif not data.strip():
        faults.add("an empty file", "the data file")
    faults.raise_if_any()
    return data
