"""Anybody's estimates as a baseline: a table of flows that the user supplies.

Accounting estimators and published estimates come in this way. They may have been made from the
very reports that are withheld, so that what they score stands apart (`apart`).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from flowcast._sheet import Sheet, TableCodes
from flowcast._tabular import raw_from_frame, read_raw
from flowcast.errors import Faults
from flowcast.places import code_kind, convert_code
from flowcast.scores import LOG_SHIFT
from flowcast.validation.baselines.rows import (
    N_DRAWS,
    PROBS,
    FloatArray,
    Known,
    countable,
    to_persons,
)
from flowcast.validation.baselines.spread import draws_by_size

__all__ = ["read_baseline_table", "table_draws"]

CELL: Final = ["origin", "destination", "period_start", "period_end"]
POINTS: Final = ("median", "value", "mean")
"""Columns that may hold the estimate; the first that is there is taken."""
QUANTILE: Final = re.compile(r"q\d+(\.\d+)?")
PERSONS: Final = "persons, 0 or more"
BOUNDS: Final = ("lower", "upper", "prob")


def read_baseline_table(
    table: str | Path | pd.DataFrame, name: str, codes: TableCodes
) -> pd.DataFrame:
    """Read a table of estimates.

    Parameters
    ----------
    table
        A file (CSV, Parquet, Excel) or a frame with `origin`, `destination`; `year`, or both of
        `period_start` and `period_end`; and one of `median`, `value`, `mean`. Quantiles may stand
        in columns such as ``q2.5`` or, in one row for each `prob`, in `lower` and `upper`, as
        flowcast writes them. Of a table with `measure` the rows with ``flow`` are taken.
    name
        What messages call a frame.
    codes
        Kind of the observations' codes, into which those of the table are turned.

    Returns
    -------
    DataFrame
        One row a cell: `origin`, `destination`, `period_start`, `period_end`, `point`, and
        quantiles in columns named by their percent, such as ``"97.5"``. Persons.

    Raises
    ------
    InputError
        With every fault.
    """
    faults = Faults(name if isinstance(table, pd.DataFrame) else str(table))
    if isinstance(table, pd.DataFrame):
        raw = raw_from_frame(table, faults, sha256="")
    else:
        raw = read_raw(Path(table), faults)
    sheet = Sheet(raw, faults)
    point = next((column for column in POINTS if sheet.has(column)), POINTS[0])
    _require_columns(sheet, point)
    cells = _cells(sheet)
    numbers = {
        column: _persons(sheet, column)
        for column in (point, *BOUNDS[:2], *raw.frame.columns)
        if sheet.has(column) and (column in (point, *BOUNDS[:2]) or QUANTILE.fullmatch(column))
    }
    prob = sheet.numbers("prob", "a probability") if sheet.has(*BOUNDS) else None
    faults.raise_if_any()
    whole = cells.assign(point=numbers[point])
    for column in numbers:
        if QUANTILE.fullmatch(column):
            whole[f"{float(column[1:]):g}"] = numbers[column]
    if sheet.has("measure"):
        whole = whole[(sheet.cells("measure") == "flow").to_numpy()]
    if prob is not None:
        tails = pd.DataFrame({"prob": prob, "low": numbers["lower"], "high": numbers["upper"]})
        whole = _widened(whole, tails.loc[whole.index])
    twice = whole.duplicated(CELL).to_numpy()
    for row in raw.rows[whole.index[twice]]:
        faults.add("a flow that stands in another row", "one row for each flow", row=int(row))
    faults.raise_if_any()
    return _recoded(whole, codes).reset_index(drop=True)


def table_draws(known: Known, estimates: pd.DataFrame) -> FloatArray:
    """Predict reports by a table of estimates.

    Quantiles of the table are taken as they are, with lines through log(persons + 1/2) between
    them: they are of flows, and say nothing of how reports depart from these. Without quantiles,
    the estimate is spread by what fitted reports departed from it, by side and class of size, which
    takes away what a side always over- or undercounts.

    Parameters
    ----------
    known
        Fitted reports and rows to predict.
    estimates
        As from `read_baseline_table`.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Quantiles, persons; NaN where the table has no such flow, or the row is no flow.
    """
    found = _look_up(known.held_out, estimates)
    logs = np.log(found.to_numpy(np.float64) + LOG_SHIFT)
    levels = np.array([float(name) for name in found.columns if name != "point"])
    if len(levels):
        return _interpolated(logs[:, 1:], levels / 100.0)
    table = countable(known.fitted)
    seen = np.log(_look_up(table, estimates)["point"].to_numpy(np.float64) + LOG_SHIFT)
    error = np.log(table["value"].to_numpy(np.float64) + LOG_SHIFT) - seen
    out = np.full((N_DRAWS, len(found)), np.nan)
    for side in known.held_out["reporter"].unique():
        rows = (known.held_out["reporter"] == side).to_numpy()
        own = (table["reporter"] == side).to_numpy()
        out[:, rows] = draws_by_size(logs[rows, 0], seen[own], error[own])
    return out


def _require_columns(sheet: Sheet, point: str) -> None:
    year = ("year",) if not sheet.has("period_start", "period_end") else CELL[2:]
    for column in ("origin", "destination", *year, point):
        if not sheet.has(column):
            allowed = {point: " or ".join(POINTS), "year": "year, or period_start and period_end"}
            sheet.faults.add("no such column", allowed.get(column, column), column=column)
    sheet.faults.raise_if_any()


def _cells(sheet: Sheet) -> pd.DataFrame:
    """Return the cell of each row."""
    for side in CELL[:2]:
        sheet.required(side, "a place")
    found: dict[str, pd.Series] = {side: sheet.cells(side).astype("str") for side in CELL[:2]}
    if sheet.has(*CELL[2:]):
        for column in CELL[2:]:
            sheet.required(column, "a date as YYYY-MM-DD")
            found[column] = sheet.dates(column)
        return pd.DataFrame(found)
    sheet.required("year", "a calendar year")
    year = sheet.numbers("year", "a calendar year")
    sheet.limit("year", year, (year % 1 == 0) & (year > 1000), "a calendar year", given=year > 0)
    year = np.where(sheet.clean("year") & ~np.isnan(year), year, 2000.0)  # refused, and told below
    for column, later in zip(CELL[2:], (0, 1), strict=True):
        text = pd.Series((year + later).astype(np.int64).astype(str)) + "-01-01"
        found[column] = pd.to_datetime(text)
    return pd.DataFrame(found)


def _persons(sheet: Sheet, column: str) -> FloatArray:
    sheet.required(column, PERSONS)
    values = sheet.numbers(column, PERSONS)
    sheet.limit(column, values, values >= 0.0, PERSONS, given=~np.isnan(values))
    return values


def _widened(whole: pd.DataFrame, tails: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell with the bounds of all its intervals as quantiles."""
    out = whole.drop_duplicates(CELL)
    for prob in tails["prob"].dropna().unique().tolist():
        rows = tails[tails["prob"] == prob]
        own = whole.loc[rows.index, CELL]
        for column, level in (("low", 50.0 * (1.0 - prob)), ("high", 50.0 * (1.0 + prob))):
            named = own.assign(**{f"{level:g}": rows[column]})
            out = out.merge(named, on=CELL, how="left").set_index(out.index)
    return out.assign(**{"50": out["point"]})


def _recoded(table: pd.DataFrame, codes: TableCodes) -> pd.DataFrame:
    """Return the table under the codes of the observations."""
    places = sorted({*table["origin"], *table["destination"]})
    if codes == "declared" or not places or code_kind(places) == codes:
        return table
    names: Mapping[str, str] = {place: convert_code(place, codes) for place in places}
    return table.assign(**{side: table[side].map(names) for side in CELL[:2]})


def _look_up(rows: pd.DataFrame, estimates: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates of rows, the point first; NaN where there is none."""
    unit = rows["period_start"].dtype
    known = estimates.assign(**{name: estimates[name].astype(unit) for name in CELL[2:]})
    found = rows[CELL].merge(known, on=CELL, how="left").drop(columns=CELL)
    found.loc[(rows["measure"] != "flow").to_numpy()] = np.nan
    return found


def _interpolated(logs: FloatArray, levels: FloatArray) -> FloatArray:
    """Return 99 quantiles from the given ones; beyond the outermost they stay there."""
    order = np.argsort(levels)
    ordered = np.sort(logs[:, order], axis=1)
    found = [np.interp(PROBS, levels[order], row) for row in ordered]
    return to_persons(np.array(found).reshape(len(logs), N_DRAWS).T)
