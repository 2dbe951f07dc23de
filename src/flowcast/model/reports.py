"""Reports as the measurement model sees them: cells, sides, definitions, classes, by name."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Faults
from flowcast.model.cells import as_cells, spans
from flowcast.model.grid import Grid
from flowcast.model.totals_cells import (
    SUMMED_MEASURES,
    PlacesOutside,
    is_single_cell,
    resolve_sums,
)
from flowcast.vocabulary import DURATION_KNOTS, Period, Quantity

__all__ = [
    "CHANNELS",
    "COUNTED",
    "DURATION_STEPS",
    "RELATIVE",
    "SAMPLED",
    "SIDES",
    "Reports",
    "build_reports",
    "channel_of",
    "duration_weights",
    "sampling_variance",
    "usable_rows",
]

DURATION_STEPS: tuple[str, ...] = ("0_to_3", "3_to_6", "6_to_12", "12_to_60")
"""Steps between neighbouring knots of the duration criterion."""
_NAMED = 6
SIDES = {"destination": "immigration", "origin": "emigration"}
CHANNELS: tuple[str, ...] = (*SIDES.values(), "register", "census", "survey", "digital", "index")
"""Ways of looking at a cell: noise and effects have a spread for each. Administrative reports of
flows have one for each side, those of stocks are `register`."""
COUNTED, SAMPLED, RELATIVE = range(3)
"""How a value is read: a count of persons; a figure with a sampling error, as of a survey or of
draws of flows from stocks; an index."""


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
        One of `CHANNELS`: ``immigration`` (reported by the destination), ``emigration`` (by the
        origin), or the family of the source.
    source, family, criterion
        As in the table.
    span
        Years that the report covers.
    reading
        `COUNTED`, `SAMPLED` or `RELATIVE`.
    sampling
        Variance of the sampling error on the log scale; 0 where there is none.
    floor
        Figure under which the source tells nothing but "fewer than"; 0 where there is none.
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
    source: NDArray[np.object_]
    family: NDArray[np.object_]
    criterion: NDArray[np.object_]
    span: NDArray[np.float64]
    reading: NDArray[np.int64]
    sampling: NDArray[np.float64]
    floor: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of reports."""
        return len(self.value)

    @property
    def censored(self) -> NDArray[np.bool_]:
        """Which say no more than "fewer than the floor", (report,)."""
        return np.asarray((self.floor > 0.0) & (self.value <= self.floor))

    def take(self, rows: NDArray[Any]) -> "Reports":
        """Return some of the reports, by a mask or by positions."""
        return Reports(**{f: getattr(self, f)[rows] for f in Reports.__dataclass_fields__})


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


def channel_of(table: pd.DataFrame, quantity: Quantity = "flow") -> pd.Series:
    """Return through which of `CHANNELS` each row looks at its cells.

    Parameters
    ----------
    table
        Observation table.
    quantity
        What the cells are.
    """
    side = table["reporter"].map(SIDES) if quantity == "flow" else "register"
    channel = table["family"].where(table["family"] != "administrative", side)
    return channel.where(table["measure"] != "index", "index")


def _all_first(label: str) -> tuple[bool, str]:
    return label != "all", label


def _check_words(table: pd.DataFrame, quantity: Quantity, faults: Faults) -> None:
    """Refuse rows this model has no part for: families, measures, ages, reporters."""
    measures = (*SUMMED_MEASURES, "index") if quantity == "flow" else ("stock", "index")
    allowed = {"family": ("administrative", "census", "survey", "digital"), "measure": measures}
    for column, words in allowed.items():
        for found, rows in table.groupby(column, dropna=False).groups.items():
            if found not in words:
                faults.add(f"{len(rows)} rows with {found!r}", ", ".join(words), column=column)
    for column in ("age", "sex"):
        if table[column].nunique(dropna=False) > 1:
            found = ", ".join(sorted(table[column].fillna("all").unique(), key=_all_first)[:_NAMED])
            faults.add(f"several groups by {column}: {found}", "one in a model", column=column)
    administrative = table["family"] == "administrative"
    if quantity == "flow" and (administrative & (table["reporter"] == "other")).any():
        faults.add(
            "administrative flows by reporter 'other'", "origin, destination", column="reporter"
        )


def _check_periods(table: pd.DataFrame, grid: Grid, faults: Faults) -> None:
    """Refuse flows between two places in a period that is not one of the model's."""
    index = grid.period_index(table["period_start"], table["period_end"])
    late = table.loc[index < 0, "period_start"].dt.date.astype(str)
    span = f"{grid.period_start[0].date()} to {grid.period_end[-1].date()}"
    for start in sorted(set(late)):
        faults.add(f"period from {start}", span)


def _check_alone(sums: pd.DataFrame, faults: Faults) -> None:
    """Refuse sums of cells that are indices or have a floor: their likelihood is not there."""
    wrong = sums["measure"].eq("index") | sums["censored_below"].notna()
    for label in sums.index[wrong.to_numpy()]:
        faults.add(
            "an index or a figure with a floor that is a sum of cells",
            "a flow between two places of the model in one period",
            row=int(label) + 2,
        )


def usable_rows(
    table: pd.DataFrame,
    grid: Grid,
    name: str,
    *,
    outside: PlacesOutside = "refuse",
    quantity: Quantity = "flow",
    period: Period = "shortest",
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
    quantity, period
        What the cells are.

    Raises
    ------
    InputError
        If there are rows this model has no part for; they are never dropped in silence.
    """
    faults = Faults(name)
    _check_words(table, quantity, faults)
    published, table = table, as_cells(table, quantity, period, add_up=False)
    single = is_single_cell(table, grid)
    _check_periods(table[single], grid, faults)
    _check_alone(table[~single], faults)
    sums = table[~single & table["measure"].isin(SUMMED_MEASURES).to_numpy()]
    resolve_sums(sums, grid, faults, outside)
    faults.raise_if_any()
    cell = ["source", "measure", "origin", "destination", "period_start", "period_end", "reporter"]
    cell.append("criterion")
    # By the dates published: two stocks of one year are two reports of a cell, not two vintages.
    newest = ~published.sort_values("vintage", na_position="first").duplicated(cell, keep="last")
    return np.asarray(newest.reindex(table.index) & table["mirror_of"].isna())


def _shared(column: pd.Series) -> NDArray[Any]:
    """Return the values; equal texts as one object, of which there may be half a million."""
    if column.dtype != object:
        return column.to_numpy()
    codes, uniques = pd.factorize(column)
    return np.asarray(np.asarray(uniques, dtype=object)[codes])


def sampling_variance(table: pd.DataFrame, design_effect: float) -> NDArray[np.float64]:
    """Return the sampling variance of each figure on the log scale, 0 where none is known."""
    value = table["value"].to_numpy(float)
    error = table["standard_error"].to_numpy(float)
    size = table["sample_size"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A figure of zero has no relative error: its sampling error stands beside the error itself.
        by_error = (error / np.maximum(value, error)) ** 2
        by_size = design_effect / np.maximum(size, 1.0)
    return np.asarray(np.where(error > 0.0, by_error, np.where(size > 0.0, by_size, 0.0)))


def _who(table: pd.DataFrame, source: pd.Series) -> pd.Series:
    """Return whose effect each report carries: the reporting place, or the source itself."""
    reporter = table["destination"].where(table["reporter"] == "destination", table["origin"])
    return reporter.where(table["reporter"] != "other", source)


def build_reports(
    table: pd.DataFrame, grid: Grid, *, quantity: Quantity = "flow", design_effect: float = 1.0
) -> Reports:
    """Turn rows of the observation contract into reports on the grid's cells.

    Parameters
    ----------
    table
        Rows that passed `usable_rows` and are single cells, or any rows whose places are in the
        grid.
    grid
        The cells.
    quantity
        What the cells are.
    design_effect
        Factor on the sampling variance of figures that tell their sample size only.

    Returns
    -------
    Reports
        Sorted by corridor, period, side and source; `row` leads back to the table.
    """
    side = channel_of(table, quantity)
    # A count by citizenship has effects of its own beside one by residence.
    by_residence = table["criterion"] == "residence"
    label = table["source"].where(by_residence, table["source"] + "~" + table["criterion"])
    who = _who(table, label)
    graded = table["accuracy_class"].notna()
    noise = np.where(graded, side + "_" + table["accuracy_class"].fillna(""), side + ":" + who)
    sampling = sampling_variance(table, design_effect)
    index = (table["measure"] == "index").to_numpy()
    frame = pd.DataFrame(
        {
            "corridor": grid.corridor_index(list(table["origin"]), list(table["destination"])),
            "period": grid.period_index(table["period_start"], table["period_end"]),
            "value": table["value"].to_numpy(float),
            "side": side.to_numpy(object),
            "unit": (side + ":" + label + ":" + who).to_numpy(object),
            "series": (side + ":" + label).to_numpy(object),
            "noise": noise.astype(object),
            "graded": graded.to_numpy(bool),
            "share": (side + "_" + table["undercount_class"].fillna("unknown")).to_numpy(object),
            "months": table["duration_months"].to_numpy(float),
            "row": np.arange(len(table)),
            "source": table["source"].to_numpy(object),
            "family": table["family"].to_numpy(object),
            "criterion": table["criterion"].to_numpy(object),
            "span": spans(table),
            "reading": np.where(index, RELATIVE, np.where(sampling > 0.0, SAMPLED, COUNTED)),
            "sampling": np.where(index, 0.0, sampling),
            "floor": table["censored_below"].fillna(0.0).to_numpy(float),
        }
    ).sort_values(["corridor", "period", "series"], kind="stable")
    arrays = {c: _shared(frame[c]) for c in frame.columns if c != "months"}
    return Reports(**arrays, duration=duration_weights(frame["months"].to_numpy(float)))
