"""Tables of flows split by age and sex: each row becomes one for every age and sex."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._sheet import Sheet
from flowcast._tabular import read_raw
from flowcast.accounting._age_groups import FIVE_YEAR_AGES, HIGHEST_AGE, age_groups
from flowcast.accounting._age_rounding import round_keeping_sums
from flowcast.accounting._age_schedules import age_shares, group_rates
from flowcast.accounting._age_tables import KEYS, ScheduleTable
from flowcast.accounting._tables import read_numbers, require_columns
from flowcast.errors import Faults, UsageError

__all__ = ["FlowTable", "read_flow_table", "split_table"]

FIGURES: Final = ("flow", "mean", "median", "sd", "lower", "upper")
SPREAD: Final = ("median", "sd", "lower", "upper")
BASIS: Final = "interval_basis"
GIVEN: Final = "given_schedule"
"""What intervals of a split table hold: the uncertainty of the flow, the schedule taken as
known."""
MEASURES: Final = ("flow", "immigration", "emigration")
MAX_TOLD: Final = 8

type AnyPath = str | os.PathLike[str]
type Side = Literal["origin", "destination"]


@dataclass(frozen=True, slots=True, eq=False)
class FlowTable:
    """A table of flows, checked.

    Attributes
    ----------
    frame
        Its columns as they stand; figures as numbers.
    figures
        The columns of `FIGURES` that it has.
    path
        Its file, for messages.
    """

    frame: pd.DataFrame
    figures: tuple[str, ...]
    path: str


def read_flow_table(path: AnyPath) -> FlowTable:
    """Read a table of flows: estimates of flowcast, or flows of its accounting.

    Parameters
    ----------
    path
        A file with columns `origin` and `destination`, and `flow` or those of an estimate table.

    Returns
    -------
    FlowTable

    Raises
    ------
    InputError
        With every fault: figures that are none or negative, measures that shares cannot split (net
        migration, stocks), tables that are split by age or sex already.
    """
    faults = Faults(str(path))
    sheet = Sheet(read_raw(Path(path), faults), faults)
    figures = tuple(name for name in FIGURES if sheet.has(name))
    needed = "mean" if sheet.has("measure") else "flow"
    require_columns(sheet, ("origin", "destination", *(() if figures else (needed,))))
    if sheet.has("age"):
        faults.add("a table by age", "flows that are not yet split by age", row=1, column="age")
    if sheet.has("measure"):
        sheet.words("measure", MEASURES)
    frame = sheet.raw.frame.copy()
    for name in figures:
        frame[name] = read_numbers(sheet, name, "persons, 0 or more")
    if sheet.has("prob"):
        frame["prob"] = sheet.numbers("prob", "a probability")
    for side in ("origin", "destination"):
        cells = sheet.cells(side)
        frame[side] = cells.astype("str").where(cells.notna(), None)
    both = frame["origin"].isna() & frame["destination"].isna()
    sheet.refuse(both.to_numpy(), "origin", lambda _: "neither origin nor destination", "a place")
    faults.raise_if_any()
    return FlowTable(frame, figures, str(path))


def split_table(
    table: FlowTable,
    schedules: ScheduleTable,
    ages: Sequence[str] = FIVE_YEAR_AGES,
    *,
    sex_shares: xr.DataArray | None = None,
    population: xr.DataArray | None = None,
    side: Side | None = None,
    highest: float = HIGHEST_AGE,
    whole_seed: int | None = None,
) -> pd.DataFrame:
    """Return a table of flows by age, and by sex.

    Every figure of a row is multiplied by its shares. Means add up to the flow. Median, sd and
    bounds of an interval are those of the part *if the schedule is right*: a column
    ``interval_basis`` says ``given_schedule``. Intervals that hold its uncertainty too come from
    draws (`split_by_age`).

    Parameters
    ----------
    table
        From `read_flow_table`.
    schedules
        From `read_schedules`. A schedule serves the rows with its origin and destination, as far as
        the file names them; of draws the mean of their shares is taken.
    ages
        Age groups that hold all ages.
    sex_shares
        From `read_sex_shares`; needed if schedules differ by sex and the table does not.
    population
        Persons at risk, (group, age) as from `read_ages`, for schedules of rates; ``place`` is the
        origin, where people at risk live. Its ages are taken.
    side
        Whose the schedules by ``place`` are, ``origin`` (of emigrants) or ``destination``; shares
        by sex too.
    highest
        Exact age at which an open group ends.
    whole_seed
        Whole persons: flows are rounded so that their total is kept, parts so that they add up to
        the rounded flows, at random with this seed (`round_keeping_sums`). For tables of ``flow``
        only.

    Returns
    -------
    pandas.DataFrame
        The columns of the table, with ``age`` and ``sex`` before the figures.

    Raises
    ------
    InputError
        Naming every place without schedule, shares or people at risk.
    UsageError
        If `side`, `population` or `sex_shares` are missing or of no use.
    """
    if whole_seed is not None and table.figures != ("flow",):
        raise UsageError(
            f"(whole) | found figures {', '.join(table.figures)}; allowed: flow alone, as a mean "
            "or an interval is no number of persons"
        )
    _check_use(schedules, population, sex_shares, side, table)
    faults = Faults(table.path)
    frame, figures = table.frame, table.frame[[*table.figures]].to_numpy()
    if whole_seed is not None:
        flows = xr.DataArray(figures[:, 0], dims="row")
        figures = round_keeping_sums(flows, "row", seed=whole_seed).to_numpy()[:, None]
    if sex_shares is not None:
        at = _find(faults, "shares by sex", sex_shares, frame, side)
        parts = figures[:, None, :] * sex_shares.to_numpy()[at][:, :, None]
        sexes = sex_shares["sex"].to_numpy().tolist()
        frame = frame.loc[frame.index.repeat(len(sexes))].reset_index(drop=True)
        frame["sex"] = np.tile(np.array(sexes, dtype=object), len(figures))
        figures = parts.reshape(-1, figures.shape[1])
    shares, labels = _row_shares(faults, schedules, frame, ages, population, side, highest)
    parts = figures[:, None, :] * shares[:, :, None]
    if whole_seed is not None:
        # All parts of a flow are rounded together: by sex, and by age within.
        n = len(table.frame)
        rows = xr.DataArray(parts.reshape(n, -1), dims=("row", "part"))
        parts = round_keeping_sums(rows, "part", seed=whole_seed + 1).to_numpy()
        parts = parts.reshape(len(frame), -1, 1)
    return _tidy(frame, parts, labels, table.figures)


def _check_use(
    schedules: ScheduleTable,
    population: xr.DataArray | None,
    sex_shares: xr.DataArray | None,
    side: Side | None,
    table: FlowTable,
) -> None:
    if (population is None) == (schedules.kind == "rates"):
        found = "none" if population is None else "it"
        raise UsageError(
            f"(population) | found {found} with schedules of {schedules.kind}; allowed: people at "
            "risk with rates, and only with these"
        )
    by_place = "place" in schedules.schedule.values.coords or (
        sex_shares is not None and "place" in sex_shares.coords
    )
    if by_place == (side is None):
        found = "schedules by place, and no side" if by_place else "a side, and nothing by place"
        raise UsageError(
            f"(side) | found {found}; allowed: origin or destination, whose the schedules or "
            "shares by place are"
        )
    has_sex = "sex" in table.frame
    if has_sex and sex_shares is not None:
        raise UsageError("(shares by sex) | found them and flows by sex; allowed: one of them")
    if "sex" in schedules.schedule.values.coords and not has_sex and sex_shares is None:
        raise UsageError(
            "(shares by sex) | found schedules by sex, and flows of both; allowed: shares by sex "
            "too"
        )


def _find(
    faults: Faults, what: str, held: xr.DataArray, frame: pd.DataFrame, side: Side | None
) -> NDArray[np.intp]:
    """Return the group of each row; raise with every row that has none."""
    keys = [key for key in KEYS if key in held.coords and held[key].dims == ("group",)]
    columns = [str(side) if key == "place" else key for key in keys]
    if not keys:
        return np.zeros(len(frame), dtype=np.intp)
    index = pd.MultiIndex.from_arrays([held[key].to_numpy().astype(str) for key in keys])
    wanted = pd.MultiIndex.from_frame(frame[columns].astype(object).fillna("").astype(str))
    at = index.get_indexer(wanted)
    lost = wanted[at < 0].unique()
    for labels in lost[:MAX_TOLD]:
        words = ", ".join(f"{c} {v or '(empty)'}" for c, v in zip(columns, labels, strict=True))
        faults.add(f"{words}, without {what}", "a place that has them")
    if len(lost) > MAX_TOLD:
        faults.add(f"{len(lost) - MAX_TOLD} more without {what}", "places that have them")
    faults.raise_if_any()
    return at


def _row_shares(
    faults: Faults,
    schedules: ScheduleTable,
    frame: pd.DataFrame,
    ages: Iterable[str],
    population: xr.DataArray | None,
    side: Side | None,
    highest: float,
) -> tuple[NDArray[np.float64], list[str]]:
    """Return shares by age of each row, and the ages."""
    values = schedules.schedule.values
    at = _find(faults, "a schedule", values, frame, side)
    if population is None:
        shares = age_shares(schedules.schedule, ages, highest=highest)
        labels = [str(age) for age in shares["age"].to_numpy()]
        if "draw" in shares.dims:
            shares = shares.mean("draw")
        return shares.transpose("group", "age").to_numpy()[at], labels
    labels = [str(age) for age in population["age"].to_numpy()]
    age_groups(labels, highest=highest, faults=faults, whole=True)
    faults.raise_if_any()
    lives = _find(faults, "people at risk", population, frame, "origin")
    rates = group_rates(schedules.schedule, labels, highest=highest)
    pairs, of_row = np.unique(np.column_stack([at, lives]), axis=0, return_inverse=True)
    by_group = rates.transpose("group", ..., "age").to_numpy()[pairs[:, 0]]
    held = population.to_numpy()[pairs[:, 1]]
    moves = by_group * (held if by_group.ndim == 2 else held[:, None, :])
    total = moves.sum(axis=-1, keepdims=True)
    if not (total > 0.0).all():
        faults.add("nobody at risk at the ages that move", "people at risk", where="population")
        faults.raise_if_any()
    found = moves / total
    return (found if found.ndim == 2 else found.mean(axis=1))[of_row.ravel()], labels


def _tidy(
    frame: pd.DataFrame, parts: NDArray[np.float64], ages: list[str], figures: tuple[str, ...]
) -> pd.DataFrame:
    long = frame.loc[frame.index.repeat(len(ages))].reset_index(drop=True)
    long["age"] = np.tile(np.array(ages, dtype=object), len(frame))
    for k, name in enumerate(figures):
        long[name] = parts[:, :, k].ravel()
    split = [name for name in ("age", "sex") if name in long]
    others = [c for c in frame.columns if c not in split]
    first = min(others.index(name) for name in figures)
    out = long[[*others[:first], *split, *others[first:]]]
    if any(name in figures for name in SPREAD):
        out = out.assign(**{BASIS: GIVEN})
    return out
