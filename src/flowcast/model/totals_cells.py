"""Which cells of the model a report adds up: totals, groupings, net figures, several periods.

Every report is a sum of cells, with a second sum taken away where it is net. Nothing is dropped in
silence: a sum that reaches beyond the places or periods of the model is refused, or taken for the
sum over the model's places where the model says so.
"""

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Faults, InputError
from flowcast.model.grid import Grid
from flowcast.places import CodeKind, code_kind, grouping_ids, is_grouping, members

__all__ = [
    "SUMMED_MEASURES",
    "PlacesOutside",
    "SumCells",
    "is_single_cell",
    "model_periods",
    "resolve_sums",
    "single_places",
]

IntArray = NDArray[np.int64]
PlacesOutside = Literal["refuse", "ignore"]

SUMMED_MEASURES: Final = ("flow", "immigration", "emigration", "net")
_HEADER_ROWS = 2
_LEAP_DAYS = 3
_NAMED = 6  # places named in a message before it says "and more"


@dataclass(frozen=True, slots=True, eq=False)
class SumCells:
    """The cells of one report.

    Attributes
    ----------
    plus, minus
        Corridors and periods, (cell, 2), that are added and taken away; `minus` is empty unless
        the report is net.
    """

    plus: IntArray
    minus: IntArray


@cache
def _kind(places: tuple[str, ...]) -> CodeKind | None:
    """Return the kind of the model's codes, None where they are the user's own."""
    try:
        return code_kind(places)
    except InputError:
        return None


def is_single_cell(table: pd.DataFrame, grid: Grid) -> NDArray[np.bool_]:
    """Return which rows are flows between two places of the model in no more than one period.

    Parameters
    ----------
    table
        Observation table.
    grid
        The cells.
    """
    alone = table["measure"].isin(("flow", "index")).to_numpy()
    for side in ("origin", "destination"):
        alone = alone & table[side].isin(grid.places).to_numpy()
    first, last = _span(table, grid)
    return np.asarray(alone & ~((first >= 0) & (last > first)))


def _span(table: pd.DataFrame, grid: Grid) -> tuple[IntArray, IntArray]:
    """Return the first and the last period of each row, -1 where it begins or ends elsewhere."""
    first = grid.period_start.get_indexer(pd.DatetimeIndex(table["period_start"]))
    last = grid.period_end.get_indexer(pd.DatetimeIndex(table["period_end"]))
    return first.astype(np.int64), last.astype(np.int64)


def single_places(codes: Iterable[str]) -> list[str]:
    """Return the codes that are not ids of groupings."""
    return [code for code in codes if not is_grouping(code)]


def model_periods(table: pd.DataFrame, places: Collection[str]) -> NDArray[np.bool_]:
    """Return which rows set the periods of the model: those as long as the shortest flow is.

    Longer ones are sums over several of them.

    Parameters
    ----------
    table
        Observation table.
    places
        The places of the model.
    """
    length = (table["period_end"] - table["period_start"]).dt.days
    flows = (table["measure"] == "flow").to_numpy()
    for side in ("origin", "destination"):
        flows = flows & table[side].isin(list(places)).to_numpy()
    shortest = length[flows] if flows.any() else length
    return np.asarray((length <= shortest.min() + _LEAP_DAYS).to_numpy())


def _row(label: Hashable) -> int:
    return int(str(label)) + _HEADER_ROWS


@dataclass(frozen=True, slots=True, eq=False)
class _Resolver:
    grid: Grid
    faults: Faults
    outside: PlacesOutside

    @property
    def kind(self) -> CodeKind | None:
        return _kind(self.grid.places)

    def year(self, period: int) -> int:
        """Return the middle year of a period: groupings have their members of 1 July of it."""
        start, end = self.grid.period_start[period], self.grid.period_end[period]
        return int((start + (end - start) / 2).year)

    def _beyond(self, codes: set[str], what: str, row: int, column: str) -> None:
        """Refuse places of a sum that are not in the model, unless they are to be ignored."""
        absent = sorted(codes.difference(self.grid.places))
        if absent and self.outside == "refuse":
            more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
            self.faults.add(
                f"{what} with places outside the model: {', '.join(absent[:_NAMED])}{more}",
                "places of the model; or `measurement.places_outside: ignore`, if they may stand "
                "for all there are",
                row=row,
                column=column,
            )

    def _everywhere(self, period: int, row: int, column: str) -> NDArray[np.bool_]:
        """Return the places of the model, for a side that is left empty."""
        if self.kind is not None:
            world = set(members("world", self.year(period), kind=self.kind))
            self._beyond(world, "everywhere else", row, column)
        elif self.outside == "refuse":
            self.faults.add(
                "everywhere else, in a system of declared places",
                "a grouping or a place; or `measurement.places_outside: ignore`, if the places "
                "stand for all there are",
                row=row,
                column=column,
            )
        return np.ones(len(self.grid.places), dtype=bool)

    def side(self, code: object, period: int, row: int, column: str) -> NDArray[np.bool_]:
        """Return the places of the model that a code stands for in a period, (place,)."""
        places = self.grid.places
        if not isinstance(code, str):
            return self._everywhere(period, row, column)
        if code not in places and is_grouping(code):
            if self.kind is None:
                self.faults.add(f"grouping {code!r}", "declared places", row=row, column=column)
                return np.zeros(len(places), dtype=bool)
            inside = set(members(code, self.year(period), kind=self.kind))
            self._beyond(inside, f"grouping {code!r}", row, column)
            return np.isin(places, list(inside))
        return np.isin(places, [code])

    def cells(self, into: NDArray[np.bool_], out_of: NDArray[np.bool_], period: int) -> IntArray:
        """Return corridors from one set of places to another and the period, (cell, 2)."""
        grid = self.grid
        wanted = out_of[grid.origin] & into[grid.destination] & grid.exists[:, period]
        corridor = np.flatnonzero(wanted)
        return np.column_stack([corridor, np.full(len(corridor), period)]).astype(np.int64)

    def row(self, row: pd.Series, first: int, last: int) -> SumCells:
        """Return the cells of one row."""
        label, plus, minus, n = _row(row.name), [], [], len(self.faults)
        for period in range(first, last + 1):
            if len(self.faults) > n:  # told once, not period by period
                break
            sets = {s: self.side(row[s], period, label, s) for s in ("origin", "destination")}
            for empty, other in (("origin", "destination"), ("destination", "origin")):
                if not isinstance(row[empty], str):
                    sets[empty] = ~sets[other]
            into, out_of = sets["destination"], sets["origin"]
            plus.append(self.cells(into, out_of, period))
            minus.append(self.cells(out_of, into, period))
        net = row["measure"] == "net"
        none = np.zeros((0, 2), dtype=np.int64)
        return SumCells(np.concatenate(plus), np.concatenate(minus) if net else none)


def _check_codes(table: pd.DataFrame, grid: Grid, faults: Faults) -> NDArray[np.bool_]:
    """Refuse codes that are neither places nor groupings; returns the rows that are sound."""
    sound = np.ones(len(table), dtype=bool)
    for column in ("origin", "destination"):
        known = table[column].isna() | table[column].isin([*grid.places, *grouping_ids()])
        sound &= known.to_numpy()
        unknown = table.loc[~known, column]
        if len(unknown):
            codes = ", ".join(sorted(unknown.unique())[:12])
            faults.add(f"{codes} in {len(unknown)} rows", "places of the model", column=column)
    return sound


def _check_meaning(row: pd.Series, grid: Grid, faults: Faults) -> bool:
    """Refuse sums that do not say what they add up."""
    label, n = _row(row.name), len(faults)
    ends = [row[s] for s in ("origin", "destination")]
    groups = [isinstance(e, str) and e not in grid.places and is_grouping(e) for e in ends]
    if row["measure"] in ("immigration", "emigration") and all(e in grid.places for e in ends):
        faults.add(f"{row['measure']} between two places", "flow", row=label, column="measure")
    if row["measure"] == "net" and not isinstance(row["destination"], str):
        faults.add(
            "net migration of an origin", "the place that gains as destination", row=label,
            column="destination",
        )  # fmt: skip
    if all(groups):
        kind = _kind(grid.places) or "alpha3"
        shared = set(members(ends[0], kind=kind)) & set(members(ends[1], kind=kind))
        if shared:
            faults.add(
                f"groupings {ends[0]!r} and {ends[1]!r}, which share places",
                "groupings without a common place",
                row=label,
                column="destination",
            )
    return len(faults) == n


def _check_span(row: pd.Series, grid: Grid, faults: Faults, first: int, last: int) -> bool:
    if 0 <= first <= last:
        return True
    span = f"{grid.period_start[0].date()} to {grid.period_end[-1].date()}"
    faults.add(
        f"period from {row['period_start'].date()} to {row['period_end'].date()}",
        f"one or several consecutive periods of the model, from {span}",
        row=_row(row.name),
        column="period_start",
    )
    return False


def resolve_sums(
    table: pd.DataFrame, grid: Grid, faults: Faults, outside: PlacesOutside
) -> list[SumCells]:
    """Return the cells that each row adds up.

    Parameters
    ----------
    table
        Rows of the observation contract that are not single cells (see `is_single_cell`), with
        measures of `SUMMED_MEASURES`. Its index counts the rows of the whole table from 0.
    grid
        The cells. Members of groupings are those on 1 July of the middle year of each period.
    faults
        Takes every fault, with its row.
    outside
        What to do with a sum over places that are not all in the model.

    Returns
    -------
    list of SumCells
        One a row; rows with a fault have none.
    """
    known = _check_codes(table, grid, faults)
    resolver = _Resolver(grid, faults, outside)
    out, none = [], np.zeros((0, 2), dtype=np.int64)
    firsts, lasts = _span(table, grid)
    for k, (_, row) in enumerate(table.iterrows()):
        cells, n = SumCells(none, none), len(faults)
        first, last = int(firsts[k]), int(lasts[k])
        sound = bool(known[k]) and _check_span(row, grid, faults, first, last)
        if sound and _check_meaning(row, grid, faults):
            cells = resolver.row(row, first, last)
            if not len(cells.plus) and not len(cells.minus) and len(faults) == n:
                faults.add("no cell of the model", "at least one", row=_row(row.name))
        out.append(cells)
    return out
