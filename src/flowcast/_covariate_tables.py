"""One file of covariates: checked, with units, as a dataset over its places or corridors."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._sheet import Sheet, check_codes
from flowcast._tabular import read_raw
from flowcast.errors import Faults, InputError, nearest

__all__ = ["read_part", "text_coords"]

UNKNOWN_UNIT: Final = "unknown unit"
PLACE_ALIASES: Final = ("country", "iso3", "iso2")


def read_part(
    path: Path,
    keys: tuple[str, ...],
    declared: Collection[str] | None,
    faults: Faults,
    *,
    loose: bool,
) -> xr.Dataset:
    """Read one file into a dataset over its keys (and year, if it has that column).

    Parameters
    ----------
    path
        The table; a column dictionary ``<stem>.columns.csv`` may lie beside it.
    keys
        ``("place",)`` or ``("origin", "destination")``.
    declared
        Codes to accept instead of ISO, or None.
    faults
        Takes every fault of the file; the result is then not to be used.
    loose
        Whether the codes of this file are whatever it says.
    """
    own = Faults(os.fspath(path))
    try:
        sheet = Sheet(read_raw(path, own), own)
        _name_place_column(sheet, keys)
        if not sheet.has(*keys):
            own.raise_if_any()
        for key in keys:
            sheet.required(key, "a place code")
        if loose:
            declared = {str(c) for key in keys for c in sheet.cells(key).dropna()}
        check_codes(sheet, keys, declared=declared, groupings=False)
        part = _build_part(sheet, keys)
        units = _read_dictionary(path, own)
    except InputError as error:
        faults.extend(error.faults)
        return xr.Dataset()
    faults.extend(own)
    for name in (*part.data_vars, *text_coords(part)):
        unit, description = units.get(str(name), (UNKNOWN_UNIT, ""))
        if name in part.data_vars:
            part[name].attrs |= {"units": unit}
        if description:
            part[name].attrs |= {"description": description}
    return part


def _name_place_column(sheet: Sheet, keys: tuple[str, ...]) -> None:
    """Accept the usual other names of the column `place`, and refuse absent key columns."""
    frame = sheet.raw.frame
    if keys == ("place",) and "place" not in frame.columns:
        alias = next((a for a in PLACE_ALIASES if a in frame.columns), None)
        if alias is not None:
            frame.columns = frame.columns.where(frame.columns != alias, "place")
    for key in (k for k in keys if k not in frame.columns):
        hint = nearest(key, map(str, frame.columns))
        sheet.faults.add("no such column", "this column", row=1, column=key, hint=hint)


def _build_part(sheet: Sheet, keys: tuple[str, ...]) -> xr.Dataset:
    index = [*keys, *(["year"] if sheet.has("year") else [])]
    frame = pd.DataFrame({key: sheet.cells(key).astype("str") for key in keys})
    if "year" in index:
        sheet.required("year", "a calendar year")
        years = sheet.numbers("year", "a calendar year")
        sheet.limit("year", years, years == np.floor(years), "a calendar year", given=_all(sheet))
        frame["year"] = np.where(sheet.clean("year"), np.nan_to_num(years), 0).astype(np.int64)
    _check_rows(sheet, frame, index)
    text = [c for c in sheet.raw.frame.columns if c not in index and _is_text(sheet.cells(c))]
    for column in (c for c in sheet.raw.frame.columns if c not in index and c not in text):
        frame[column] = sheet.numbers(column, "a number, or an empty cell if unknown")
    for column in text:
        frame[column] = sheet.cells(column).fillna("").astype(object)
    usable = frame[sheet.clean(*index)].drop_duplicates(index)
    dataset = xr.Dataset.from_dataframe(usable.set_index(index).sort_index())
    return dataset.set_coords(text)


def _all(sheet: Sheet) -> NDArray[np.bool_]:
    return np.ones(sheet.n, dtype=bool)


def _is_text(cells: pd.Series) -> bool:
    """Return whether a column is meant as text: fewer than half of its cells are numbers."""
    given = cells.dropna()
    numbers = pd.to_numeric(given, errors="coerce").notna()
    return len(given) > 0 and float(numbers.mean()) < 0.5


def _check_rows(sheet: Sheet, frame: pd.DataFrame, index: Sequence[str]) -> None:
    """Refuse duplicates and corridors from a place to itself."""
    if {"origin", "destination"} <= set(index):
        same = (frame["origin"] == frame["destination"]).fillna(False).to_numpy(dtype=bool)
        sheet.refuse(
            same & sheet.clean("origin", "destination"),
            "destination",
            lambda i: f"{frame['destination'].iloc[i]!r}, the same as origin",
            "two different places",
        )
    sound = sheet.clean(*index)
    rows = pd.Series(sheet.raw.rows)
    first = rows.groupby([frame[name] for name in index], dropna=False).transform("first")
    sheet.refuse(
        (rows != first).to_numpy() & sound,
        index[0],
        lambda i: f"the same {' and '.join(index)} as row {first.iloc[i]}",
        f"one row per {' and '.join(index)}",
    )


def _read_dictionary(path: Path, faults: Faults) -> Mapping[str, tuple[str, str]]:
    """Return unit and description per column, from ``<stem>.columns.csv`` beside the file."""
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    beside = path.with_name(f"{stem}.columns.csv")
    if not beside.is_file():
        return {}
    own = Faults(os.fspath(beside))
    sheet = Sheet(read_raw(beside, own), own)
    for column in (c for c in ("column", "unit") if not sheet.has(c)):
        own.add("no such column", "column, unit, description", row=1, column=column)
    faults.extend(own)
    cells = [sheet.cells(c).astype("str").fillna("") for c in ("column", "unit", "description")]
    return {name: (unit or UNKNOWN_UNIT, text) for name, unit, text in zip(*cells, strict=True)}


def text_coords(part: xr.Dataset) -> list[str]:
    """Return the names of the columns of text, which are kept as coordinates."""
    return [str(name) for name in part.coords if name not in part.dims]
