"""Tables of a publisher as text cells that know their row, and numbers read from them."""

import csv
import io
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import pandas as pd

from flowcast.errors import Faults, nearest

__all__ = [
    "add_limited",
    "choose_columns",
    "parse_numbers",
    "parse_years",
    "read_delimited",
    "row_of",
    "table_of_records",
]

MAX_TOLD: Final = 20
"""Faults told of one column: a wrong file has one in every row."""
YEARS: Final = (1800, 2200)


def read_delimited(
    text: str, faults: Faults, *, delimiter: str = ",", skip: int = 0
) -> pd.DataFrame:
    """Read delimited text into cells of text.

    Parameters
    ----------
    text
        The file.
    faults
        Takes rows with a wrong number of fields, and a last line without an end: where a download
        stopped, a figure may lack its last digits, and nothing else would tell.
    delimiter
        What separates the fields.
    skip
        Lines before the header.

    Returns
    -------
    pandas.DataFrame
        Stripped text, empty cells as ``""``; the index is the row of the file (the header is row
        ``skip + 1``).

    Raises
    ------
    InputError
        If rows cannot be told apart into the header's columns.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] = []
    rows: list[list[str]] = []
    at: list[int] = []
    try:
        for _ in range(skip):
            next(reader, None)
        header = [name.strip() for name in next(reader, [])]
        for fields in reader:
            if len(fields) == len(header):
                rows.append([cell.strip() for cell in fields])
                at.append(reader.line_num)
            elif any(cell.strip() for cell in fields):
                add_limited(
                    faults,
                    f"{len(fields)} fields",
                    f"{len(header)} as in the header",
                    row=reader.line_num,
                )
    except csv.Error as error:
        faults.add(f"text that cannot be read ({error})", "plain text", row=reader.line_num)
    if not text.endswith("\n") and not faults:
        faults.add(
            "a last line without an end: the file may be cut off",
            "a whole file; end its last line if it is whole",
            row=reader.line_num,
        )
    faults.raise_if_any()
    if not rows:
        faults.add("a table without rows", "a header and at least one row")
        faults.raise_if_any()
    return pd.DataFrame(rows, columns=header, index=pd.Index(at), dtype="str")


def choose_columns(
    frame: pd.DataFrame,
    faults: Faults,
    needed: Mapping[str, Collection[str]],
    optional: Mapping[str, Collection[str]] | None = None,
) -> pd.DataFrame:
    """Return the columns a reader uses, under names of its own.

    Parameters
    ----------
    frame
        The file.
    faults
        Takes each needed column that is not there.
    needed, optional
        For each name, the names it had in the editions of the file. An optional column that is
        not there is empty.

    Returns
    -------
    pandas.DataFrame
        One column per key of `needed` and `optional`.

    Raises
    ------
    InputError
        If a needed column is not there, with the one most like it.
    """
    there = [str(name) for name in frame.columns]
    found: dict[str, pd.Series] = {}
    for name, spellings in {**needed, **(optional or {})}.items():
        hits = [s for s in spellings if s in there]
        if len(hits) == 1 and there.count(hits[0]) == 1:
            found[name] = frame[hits[0]]
        elif hits:
            faults.add(
                f"{len(hits) if len(hits) > 1 else there.count(hits[0])} such columns",
                "one",
                row=1,
                column=hits[0],
            )
        elif name in needed:
            allowed = " or ".join(repr(s) for s in spellings)
            faults.add(
                "no such column",
                f"a column {allowed}",
                row=1,
                column=name,
                hint=nearest(next(iter(spellings)), there),
            )
        else:
            found[name] = pd.Series("", index=frame.index, dtype="str")
    faults.raise_if_any()
    return pd.DataFrame(found, index=frame.index)


def parse_numbers(
    cells: pd.Series, faults: Faults, column: str, *, missing: Collection[str] = ("",)
) -> pd.Series:
    """Return a column as float; what the publisher writes for "no figure" is NaN.

    Parameters
    ----------
    cells
        Text or numbers; the index is the row of the file.
    faults
        Takes every cell that is neither a number nor in `missing`.
    column
        What messages call it.
    missing
        Marks of a figure that is not there.

    Examples
    --------
    >>> parse_numbers(pd.Series(["12", ".."]), Faults("f.csv"), "value", missing=("..",)).tolist()
    [12.0, nan]
    """
    text = cells.map(lambda cell: "" if cell is None else str(cell).strip()).astype("str")
    absent = text.isin({*missing, "nan"})
    values = pd.to_numeric(text.mask(absent), errors="coerce").astype(float)
    values = values.where(np.isfinite(values))
    allowed = f"a number, or {' or '.join(map(repr, missing))}"
    for row, cell in text[values.isna() & ~absent].items():
        add_limited(faults, repr(cell), allowed, row=row_of(row), column=column)
    return values


def parse_years(cells: pd.Series, faults: Faults, column: str) -> "pd.Series[int]":
    """Return a column of calendar years; any other cell is a fault and becomes the first year."""
    years = pd.to_numeric(cells.astype("str"), errors="coerce")
    good = years.between(*YEARS) & (years % 1 == 0)
    for row, cell in cells[~good].items():
        add_limited(faults, repr(cell), "a calendar year", row=row_of(row), column=column)
    return years.where(good, YEARS[0]).astype(int)


def table_of_records(part: object, faults: Faults, key: str) -> pd.DataFrame:
    """Return a list of JSON objects as a table of text; the index is their number, from 1.

    Parameters
    ----------
    part
        What stands under `key`.
    faults
        Takes what is wrong with it.
    key
        The key, for messages.

    Raises
    ------
    InputError
        If it is no list of objects, or an empty one.

    Examples
    --------
    >>> table_of_records([{"year": 2022, "idps": None}], Faults("a.json"), "items").to_dict("list")
    {'year': ['2022'], 'idps': ['']}
    """
    records = part if isinstance(part, list) else []
    if part is None or not isinstance(part, list):
        faults.add("no such section", "a list of figures", column=key)
    elif not records or not all(isinstance(record, dict) for record in records):
        faults.add(
            "no rows" if not records else "something other than rows",
            "a list of figures",
            column=key,
        )
    faults.raise_if_any()
    names = dict.fromkeys(name for record in records for name in record)
    columns = {
        str(name): ["" if r.get(name) is None else str(r[name]).strip() for r in records]
        for name in names
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(records) + 1), dtype="str")


def row_of(label: object) -> int:
    """Return the label of an index as the row of the file that it is."""
    return int(str(label))


def add_limited(
    faults: Faults, found: str, allowed: str, *, row: int, column: str | None = None
) -> None:
    """Add a fault, unless the column has been told often enough."""
    told = sum(1 for fault in faults if fault.allowed == allowed and fault.column == column)
    if told < MAX_TOLD:
        faults.add(found, allowed, row=row, column=column)
    elif told == MAX_TOLD:
        faults.add("and more of the same", allowed, row=row, column=column)
