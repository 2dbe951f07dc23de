"""User tables from disk: CSV, Parquet, Excel, as text cells with the row each one stands in.

Nothing is guessed here: a cell is stripped of spaces and otherwise left alone, "NA" is Namibia,
and a row keeps the number under which an editor shows it.
"""

import csv
import gzip
import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Faults, nearest

__all__ = ["RawTable", "raw_from_frame", "read_raw"]

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".xlsx")
FIRST_ROW: Final = 2
"""The header is row 1."""


@dataclass(frozen=True, slots=True)
class RawTable:
    """Cells as they stand in a file.

    Attributes
    ----------
    frame
        One column per column of the file; text is stripped, empty cells are missing.
    rows
        Row of the file for each row of `frame`, as an editor counts (the header is row 1).
    sha256
        Hash of the file's bytes.
    left_out
        The fields of each row that was left out because their number is wrong.
    """

    frame: pd.DataFrame
    rows: NDArray[np.int64]
    sha256: str
    left_out: tuple[frozenset[str], ...] = ()


def read_raw(path: Path, faults: Faults, *, unnamed: str = "") -> RawTable:
    """Read a table of any supported format.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx`` file (the first sheet).
    faults
        Takes the rows whose number of fields is wrong; they are left out of the result.
    unnamed
        What to call the first column of a CSV file if it has no name, as that of a matrix often.

    Raises
    ------
    InputError
        If the file cannot be read as a table at all.
    """
    data = _read_bytes(path, faults)
    sha256 = hashlib.sha256(data).hexdigest()
    if path.name.lower().endswith((".parquet", ".xlsx")):
        frame = _read_binary(path, data, faults)
        raw = raw_from_frame(frame, faults, sha256=sha256)
    else:
        raw = _read_csv(_decode(path, data, faults), sha256, faults, unnamed)
    if raw.frame.empty and not faults:
        faults.add("a table without rows", "a header and at least one row")
    if raw.frame.empty:
        faults.raise_if_any()
    return raw


def raw_from_frame(frame: pd.DataFrame, faults: Faults, *, sha256: str) -> RawTable:
    """Bring a DataFrame into the same form; its first row counts as row 2.

    Raises
    ------
    InputError
        If a column is named twice.
    """
    header = [str(name).strip() for name in frame.columns]
    _check_header(header, faults)
    rows = np.arange(FIRST_ROW, FIRST_ROW + len(frame), dtype=np.int64)
    return _tidy(frame.set_axis(header, axis=1).reset_index(drop=True), rows, sha256)


def _read_bytes(path: Path, faults: Faults) -> bytes:
    if not path.name.lower().endswith(SUFFIXES):
        faults.add(f"a file ending in {path.suffix!r}", ", ".join(SUFFIXES))
    elif not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        faults.add(found, "a readable file", hint=nearest(path.name, beside))
    faults.raise_if_any()
    try:
        data = path.read_bytes()
    except OSError as error:
        faults.add(error.strerror or str(error), "a readable file")
        data = b""
    if not data and not faults:
        faults.add("an empty file", "a header and at least one row")
    faults.raise_if_any()
    return data


def _read_binary(path: Path, data: bytes, faults: Faults) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(io.BytesIO(data))
        return pd.read_excel(io.BytesIO(data), dtype=str, keep_default_na=False, na_values=[""])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        faults.add(f"not a readable {path.suffix} file ({reason})", f"a whole {path.suffix} file")
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def _decode(path: Path, data: bytes, faults: Faults) -> str:
    try:
        data = gzip.decompress(data) if path.suffix.lower() == ".gz" else data
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        byte = f"byte 0x{data[error.start]:02x} that is not UTF-8"
        faults.add(byte, "a file saved as UTF-8", row=row)
    except (OSError, EOFError, zlib.error):
        faults.add("not a whole gzip file", "a .csv.gz that gzip can unpack")
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def _read_csv(text: str, sha256: str, faults: Faults, unnamed: str) -> RawTable:
    """Read CSV text; rows with a wrong number of fields become faults and are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    starts: list[int] = []
    wrong: list[frozenset[str]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        header[:1] = [name or unnamed for name in header[:1]]
        _check_header(header, faults)
        last = reader.line_num
        for fields in reader:
            row, last = last + 1, reader.line_num
            if not "".join(fields).strip():
                continue
            if len(fields) != len(header):
                faults.add(f"{len(fields)} fields", f"{len(header)} fields as in row 1", row=row)
                wrong.append(frozenset(field.strip() for field in fields))
                continue
            starts.append(row)
    except csv.Error as error:
        faults.add(f"CSV that cannot be read ({error})", "plain CSV", row=reader.line_num)
        faults.raise_if_any()
    rows = np.asarray(starts, dtype=np.int64)
    plain = not wrong and len(rows) > 0 and last == FIRST_ROW + len(rows) - 1
    frame = _parse_plain(text, header) if plain else _parse_rows(text, header)
    return _tidy(frame, rows, sha256, left_out=tuple(wrong))


def _parse_plain(text: str, header: list[str]) -> pd.DataFrame:
    """Parse a file in which every line is a row: the fast way."""
    return pd.read_csv(
        io.StringIO(text),
        header=0,
        names=header,
        index_col=False,
        dtype=str,
        keep_default_na=False,
        na_values=[""],
        skip_blank_lines=False,
    )


def _parse_rows(text: str, header: list[str]) -> pd.DataFrame:
    """Parse a file with blank lines, line breaks in cells, or rows to leave out."""
    reader = csv.reader(io.StringIO(text, newline=""))
    next(reader, None)
    good = [f for f in reader if len(f) == len(header) and "".join(f).strip()]
    return pd.DataFrame(good, columns=header, dtype=str)


def _check_header(header: list[str], faults: Faults) -> None:
    """Raise where columns cannot be told apart."""
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        mark = ";" if ";" in header[0] else "\\t"
        faults.add(f"fields separated by {mark!r}", "fields separated by ','", row=1)
    for name in dict.fromkeys(n for n in header if header.count(n) > 1 or not n):
        found = f"column {name!r} {header.count(name)} times" if name else "a column without a name"
        faults.add(found, "each column once, by name", row=1)
    faults.raise_if_any()


def _tidy(
    frame: pd.DataFrame,
    rows: NDArray[np.int64],
    sha256: str,
    *,
    left_out: tuple[frozenset[str], ...] = (),
) -> RawTable:
    """Strip text cells, make empty ones missing, and drop rows that are empty altogether."""
    columns = {str(name): _strip(frame[name]) for name in frame.columns}
    frame = pd.DataFrame(columns, index=frame.index)
    filled = frame.notna().any(axis=1).to_numpy()
    kept = frame[filled].reset_index(drop=True)
    return RawTable(kept, rows[filled], sha256, left_out)


def _strip(cells: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        return cells
    if pd.api.types.is_datetime64_any_dtype(cells):
        return cells
    if not isinstance(cells.dtype, pd.StringDtype):
        cells = cells.astype(object).where(cells.notna()).map(str, na_action="ignore")
    text = cells.astype("str").str.strip()
    return text.mask(text == "")
