"""Tables of pairs of places from files: tidy or a matrix, with every fault and where it stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from flowcast._sheet import Mask, Sheet
from flowcast._tabular import read_raw
from flowcast.errors import Faults, InputError, nearest

__all__ = [
    "PERSONS_ALLOWED",
    "read_numbers",
    "read_pairs",
    "read_places",
    "refuse_repeated",
    "require_columns",
]

PERSONS_ALLOWED: Final = "persons, 0 or more"
MAX_NAMED: Final = 12


def read_pairs(
    path: Path, keys: tuple[str, ...], values: Sequence[str], faults: Faults, *, allowed: str
) -> xr.DataArray | None:
    """Read numbers by pairs of places.

    Parameters
    ----------
    path
        A tidy table with the `keys` and one of `values` as columns, or a matrix: the first key in
        its first column, and one column for each label of the second.
    keys
        Two or three dims; a matrix has the last two. Of three, the first may be absent.
    values
        Names that the column of numbers may have.
    faults
        Takes what is wrong with the file.
    allowed
        What a number may be.

    Returns
    -------
    DataArray or None
        On the keys that the file has, each with the same labels, in the order in which they come;
        NaN where the file has no row. None if the file cannot be used.
    """
    own = Faults(str(path))
    table = None
    try:
        sheet = Sheet(read_raw(path, own, unnamed=keys[-2]), own)
        tidy = sheet.has(keys[-1])
        read = _read_tidy if tidy else _read_matrix
        table = read(sheet, keys, values, allowed)
    except InputError as error:
        faults.extend(error.faults)
        return None
    faults.extend(own)
    return None if own else table


def _read_tidy(
    sheet: Sheet, keys: tuple[str, ...], values: Sequence[str], allowed: str
) -> xr.DataArray | None:
    if len(keys) == 3 and not sheet.has(keys[0]):
        keys = keys[1:]
    value = next((name for name in values if sheet.has(name)), values[0])
    require_columns(sheet, (*keys, value))
    for key in keys:
        sheet.required(key, "a place")
    numbers = read_numbers(sheet, value, allowed)
    labels = pd.DataFrame({key: sheet.cells(key).astype("str") for key in keys})
    refuse_repeated(sheet, labels, keys)
    if sheet.faults:
        return None
    places = list(dict.fromkeys(label for key in keys for label in labels[key]))
    table = np.full((len(places),) * len(keys), np.nan)
    at = pd.Index(places)
    table[tuple(at.get_indexer(pd.Index(labels[key])) for key in keys)] = numbers
    return xr.DataArray(table, dims=keys, coords=dict.fromkeys(keys, places))


def _read_matrix(
    sheet: Sheet, keys: tuple[str, ...], values: Sequence[str], allowed: str
) -> xr.DataArray | None:
    first, *columns = map(str, sheet.raw.frame.columns)
    keys = keys[-2:]
    sheet.required(first, "a place")
    labels = sheet.cells(first).astype("str")
    refuse_repeated(sheet, pd.DataFrame({first: labels}), (first,))
    places = labels.dropna().tolist()
    numbers = [read_numbers(sheet, column, allowed) for column in columns if column in set(places)]
    for column in (c for c in columns if c not in set(places)):
        hint = nearest(column, [*(p for p in places if p not in columns), keys[1], *values])
        allowed_column = (
            f"a place that has a row too, or the columns {', '.join(keys)}, {values[0]}"
        )
        sheet.faults.add(
            "a column without a row of its name", allowed_column, row=1, column=column, hint=hint
        )
    for row, place in zip(sheet.raw.rows, labels.fillna(""), strict=True):
        if place and place not in columns:
            hint = nearest(place, [c for c in columns if c not in set(places)])
            sheet.faults.add(
                f"{place!r}, which has no column",
                "a place that has a column too",
                row=int(row),
                column=first,
                hint=hint,
            )
    if sheet.faults:
        return None
    coords = {keys[0]: places, keys[1]: columns}
    table = xr.DataArray(np.column_stack(numbers), dims=keys, coords=coords)
    return table.sel({keys[1]: places})


def read_places(
    path: Path, column: str, aliases: Sequence[str], values: Sequence[str], faults: Faults
) -> xr.Dataset | None:
    """Read numbers by place.

    Parameters
    ----------
    path
        A table with one row a place.
    column, aliases
        What the column of places is called, and what it may be called instead.
    values
        Columns of numbers that are needed; others are left alone.
    faults
        Takes what is wrong with the file.

    Returns
    -------
    Dataset or None
        Dim `column`; None if the file cannot be used.
    """
    own = Faults(str(path))
    try:
        sheet = Sheet(read_raw(path, own), own)
        name = next((n for n in (column, *aliases) if sheet.has(n)), column)
        require_columns(sheet, (name, *values))
    except InputError as error:
        faults.extend(error.faults)
        return None
    sheet.required(name, "a place")
    numbers = {value: read_numbers(sheet, value, PERSONS_ALLOWED) for value in values}
    labels = sheet.cells(name).astype("str")
    refuse_repeated(sheet, pd.DataFrame({name: labels}), (name,))
    faults.extend(own)
    if own:
        return None
    data = {value: (column, array) for value, array in numbers.items()}
    return xr.Dataset(data, coords={column: labels.tolist()})


def require_columns(sheet: Sheet, names: Sequence[str]) -> None:
    """Raise where columns are missing."""
    frame = sheet.raw.frame
    for name in (n for n in names if n not in frame.columns):
        others = [str(c) for c in frame.columns if c not in names]
        sheet.faults.add(
            "no such column", "this column", row=1, column=name, hint=nearest(name, others)
        )
    if not sheet.has(*names):
        sheet.faults.raise_if_any()


def read_numbers(
    sheet: Sheet, column: str, allowed: str
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a column of numbers, 0 or more; refuse cells that are none."""
    sheet.required(column, allowed)
    values = sheet.numbers(column, allowed)
    every: Mask = np.ones(sheet.n, dtype=bool)
    sheet.limit(column, values, values >= 0.0, allowed, given=every)
    return np.asarray(values)


def refuse_repeated(sheet: Sheet, labels: pd.DataFrame, keys: Sequence[str]) -> None:
    """Refuse rows whose keys stand in an earlier row."""
    rows = pd.Series(sheet.raw.rows)
    first = rows.groupby([labels[key] for key in keys], dropna=False).transform("first")
    sheet.refuse(
        (rows != first).to_numpy() & sheet.clean(*keys),
        keys[0],
        lambda i: f"the same {' and '.join(keys)} as row {first.iloc[i]}",
        f"one row per {' and '.join(keys)}",
    )
