"""Tables in IAMC format: a row for each series with a column for each year, or a row for each."""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, nearest
from flowcast.sources.readers._common import LeftOut
from flowcast.sources.readers._files import find_header, read_sheets, read_text
from flowcast.sources.readers._tables import choose_columns, read_delimited

__all__ = ["only", "read_long", "to_long"]

NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "model": ("model",),
    "scenario": ("scenario",),
    "region": ("region", "iso3"),
    "variable": ("variable",),
    "unit": ("unit",),
}
YEAR: Final = re.compile(r"\d{4}")


def read_long(path: Path, faults: Faults) -> pd.DataFrame:
    """Return a row for each figure of a file, as text.

    Parameters
    ----------
    path
        CSV (plain or gzip), or a workbook whose first sheet has the table.
    faults
        Takes what is wrong with it.

    Returns
    -------
    pandas.DataFrame
        `model`, `scenario`, `region`, `variable`, `unit`, `year`, `value`; the index is the row of
        the file, which several rows here may share.

    Raises
    ------
    InputError
        If it cannot be read, or a column is not there.
    """
    if path.name.lower().endswith(".xlsx"):
        rows = next(iter(read_sheets(path, faults).values()))
        titles = [name.title() for name in NEEDED]
        position, names = find_header(rows, titles, str(path), faults)
        cells = [["" if c is None else str(c).strip() for c in row] for row in rows[position + 1 :]]
        index = pd.RangeIndex(position + 2, position + 2 + len(cells))
        table = pd.DataFrame(cells, columns=names, index=index, dtype="str")
        # Below the figures stands a note on copyright, without a region.
        table = table[table["Region"] != ""]
    else:
        table = read_delimited(read_text(path, faults), faults)
    return to_long(table, faults)


def to_long(table: pd.DataFrame, faults: Faults) -> pd.DataFrame:
    """Return a row for each figure of a table of text; capital letters of columns do not matter.

    Raises
    ------
    InputError
        If a column is not there.
    """
    table = table.rename(columns=lambda name: str(name).casefold())
    years = [str(name) for name in table.columns if YEAR.fullmatch(str(name))]
    if not years:
        return choose_columns(table, faults, {**NEEDED, "year": ("year",), "value": ("value",)})
    frame = choose_columns(table, faults, NEEDED)
    whole = pd.concat([frame.assign(year=year, value=table[year]) for year in years])
    return whole[whole["value"] != ""]


def only(
    frame: pd.DataFrame, column: str, wanted: str, left: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return the rows with one value of a column; with none asked for, there may be one only.

    Raises
    ------
    InputError
        If there is no such value, with the nearest, or there are several and none is asked for.
    """
    there = sorted(set(frame[column]))
    if not wanted and len(there) > 1:
        faults.add(f"several: {', '.join(there)}", f"one, as {column}", column=column)
    elif wanted and wanted not in there:
        hint = nearest(wanted, there)
        faults.add(f"no {wanted!r}", ", ".join(there) or "rows", column=column, hint=hint)
    faults.raise_if_any()
    if not wanted:
        return frame
    return left.drop(frame, frame[column] != wanted, f"{column} other than {wanted}")
