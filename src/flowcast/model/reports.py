"""Reports as the measurement model sees them: cells, sides, definitions, classes, by name."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Faults
from flowcast.model.grid import Grid
from flowcast.model.totals_cells import (
    SUMMED_MEASURES,
    PlacesOutside,
    is_single_cell,
    resolve_sums,
)
from flowcast.vocabulary import DURATION_KNOTS

__all__ = ["DURATION_STEPS", "Reports", "build_reports", "duration_weights", "usable_rows"]

DURATION_STEPS: tuple[str, ...] = ("0_to_3", "3_to_6", "6_to_12", "12_to_60")
"""Steps between neighbouring knots of the duration criterion."""
SIDES = {"destination": "immigration", "origin": "emigration"}


@dataclass(frozen=True, slots=True, eq=False)
class Reports:
    """Reports sorted by corridor, period and side; every array has shape (report,).

    Attributes
    ----------
    row
        Position of the report in the table it came from.
    corridor, period
        Cell of each report.
    value
        Count, in persons.
    side
        ``immigration`` (reported by the destination) or ``emigration`` (by the origin).
    unit
        ``side:source:reporter``: whose effect it carries.
    series
        ``side:source``: corridor-by-source effects and noise weights go by it.
    noise
        ``side_class`` where an accuracy class is given, else ``side:reporter``.
    graded
        True where `noise` is an accuracy class.
    share
        ``side_class`` of the undercount class, ``side_unknown`` where none is given.
    duration
        Weights on `DURATION_STEPS`, shape (report, step): the log ratio of a count under the
        report's definition to one under the 12-month definition is `duration @ increments`.
    """

    row: NDArray[np.int64]
    corridor: NDArray[np.int64]
    period: NDArray[np.int64]
    value: NDArray[np.float64]
    side: NDArray[np.object_]
    unit: NDArray[np.object_]
    series: NDArray[np.object_]
    noise: NDArray[np.object_]
    graded: NDArray[np.bool_]
    share: NDArray[np.object_]
    duration: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of reports."""
        return len(self.value)


def duration_weights(months: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of each duration step separates a definition from 12 months.

    Parameters
    ----------
    months
        Minimum stay, shape (report,); NaN (unknown) is taken as 12.

    Returns
    -------
    ndarray, shape (report, 4)
        Weights on `DURATION_STEPS`; criteria between the knots are interpolated linearly.

    Examples
    --------
    >>> duration_weights(np.array([12.0, 0.0, 60.0, 1.5])).tolist()
    [[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, -1.0], [0.5, 1.0, 1.0, 0.0]]
    """
    known = np.where(np.isnan(months), 12.0, months)
    low, high = np.array(DURATION_KNOTS[:3]), np.array(DURATION_KNOTS[1:4])
    weights = np.clip((high - known[:, None]) / (high - low), 0.0, 1.0)
    beyond = np.clip((known - 12.0) / (DURATION_KNOTS[4] - 12.0), 0.0, 1.0)
    return np.column_stack([weights, -beyond]) + 0.0


def _check_words(table: pd.DataFrame, faults: Faults) -> None:
    """Refuse rows this model has no part for: families, measures, criteria, ages, reporters."""
    allowed = {
        "family": ("administrative",),
        "measure": SUMMED_MEASURES,
        "criterion": ("residence",),
    }
    for column, words in allowed.items():
        for found, rows in table.groupby(column, dropna=False).groups.items():
            if found not in words:
                faults.add(f"{len(rows)} rows with {found!r}", ", ".join(words), column=column)
    for column in ("age", "sex"):
        if table[column].notna().any():
            faults.add(f"{table[column].notna().sum()} rows by {column}", "totals", column=column)
    if (table["reporter"] == "other").any():
        faults.add("reporter 'other'", "origin, destination", column="reporter")


def _check_periods(table: pd.DataFrame, grid: Grid, faults: Faults) -> None:
    """Refuse flows between two places in a period that is not one of the model's."""
    index = grid.period_index(table["period_start"], table["period_end"])
    late = table.loc[index < 0, "period_start"].dt.date.astype(str)
    span = f"{grid.period_start[0].date()} to {grid.period_end[-1].date()}"
    for start in sorted(set(late)):
        faults.add(f"period from {start}", span)


def usable_rows(
    table: pd.DataFrame, grid: Grid, name: str, *, outside: PlacesOutside = "refuse"
) -> NDArray[np.bool_]:
    """Return which rows enter: not mirrors, not superseded vintages.

    Parameters
    ----------
    table
        Observation table, index from 0.
    grid
        The cells.
    name
        What errors call the observations.
    outside
        What to do with sums over places that are not all in the model.

    Raises
    ------
    InputError
        If there are rows this model has no part for; they are never dropped in silence.
    """
    faults = Faults(name)
    _check_words(table, faults)
    single = is_single_cell(table, grid)
    _check_periods(table[single], grid, faults)
    sums = table[~single & table["measure"].isin(SUMMED_MEASURES).to_numpy()]
    resolve_sums(sums, grid, faults, outside)
    faults.raise_if_any()
    cell = ["source", "measure", "origin", "destination", "period_start", "period_end", "reporter"]
    newest = ~table.sort_values("vintage", na_position="first").duplicated(cell, keep="last")
    return np.asarray(newest.reindex(table.index) & table["mirror_of"].isna())


def _shared(column: pd.Series) -> NDArray[Any]:
    """Return the values; equal texts as one object, of which there may be half a million."""
    if column.dtype != object:
        return column.to_numpy()
    codes, uniques = pd.factorize(column)
    return np.asarray(np.asarray(uniques, dtype=object)[codes])


def build_reports(table: pd.DataFrame, grid: Grid) -> Reports:
    """Turn rows of the observation contract into reports on the grid's cells.

    Parameters
    ----------
    table
        Rows that passed `usable_rows` and are single cells, or any rows whose places are in the
        grid.
    grid
        The cells.

    Returns
    -------
    Reports
        Sorted by corridor, period, side and source; `row` leads back to the table.
    """
    side = table["reporter"].map(SIDES)
    reporter = table["destination"].where(table["reporter"] == "destination", table["origin"])
    graded = table["accuracy_class"].notna()
    noise = np.where(graded, side + "_" + table["accuracy_class"].fillna(""), side + ":" + reporter)
    frame = pd.DataFrame(
        {
            "corridor": grid.corridor_index(list(table["origin"]), list(table["destination"])),
            "period": grid.period_index(table["period_start"], table["period_end"]),
            "value": table["value"].to_numpy(float),
            "side": side.to_numpy(object),
            "unit": (side + ":" + table["source"] + ":" + reporter).to_numpy(object),
            "series": (side + ":" + table["source"]).to_numpy(object),
            "noise": noise.astype(object),
            "graded": graded.to_numpy(bool),
            "share": (side + "_" + table["undercount_class"].fillna("unknown")).to_numpy(object),
            "months": table["duration_months"].to_numpy(float),
            "row": np.arange(len(table)),
        }
    ).sort_values(["corridor", "period", "series"], kind="stable")
    arrays = {c: _shared(frame[c]) for c in frame.columns if c != "months"}
    return Reports(**arrays, duration=duration_weights(frame["months"].to_numpy(float)))
