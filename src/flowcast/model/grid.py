"""The grid of cells: corridors (ordered pairs of places, no diagonal) by periods."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Fault, InputError
from flowcast.places import resolve_place

__all__ = ["Grid", "build_grid"]

_STEP_TOLERANCE_DAYS = 3  # leap years


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Corridors and periods, by name.

    Attributes
    ----------
    places
        Codes, sorted.
    origin, destination
        Index into `places` of each corridor, shape (corridor,), sorted by origin then destination.
    period_start, period_end
        Half-open periods of equal length without gaps, shape (period,), datetime64.
    exists
        False where one of the two places did not exist in the period, (corridor, period).
    """

    places: tuple[str, ...]
    origin: NDArray[np.int64]
    destination: NDArray[np.int64]
    period_start: pd.DatetimeIndex
    period_end: pd.DatetimeIndex
    exists: NDArray[np.bool_]

    @property
    def n_corridor(self) -> int:
        """Number of corridors."""
        return len(self.origin)

    @property
    def n_period(self) -> int:
        """Number of periods."""
        return len(self.period_start)

    @property
    def origin_code(self) -> NDArray[np.object_]:
        """Code of each corridor's origin."""
        return np.array(self.places, dtype=object)[self.origin]

    @property
    def destination_code(self) -> NDArray[np.object_]:
        """Code of each corridor's destination."""
        return np.array(self.places, dtype=object)[self.destination]

    def corridor_index(
        self, origin: Sequence[str], destination: Sequence[str]
    ) -> NDArray[np.int64]:
        """Return the corridor of each pair, -1 where a place is not in the grid."""
        codes = pd.Index(self.places)
        i = codes.get_indexer(pd.Index(origin))
        j = codes.get_indexer(pd.Index(destination))
        n = len(codes)
        position = i * (n - 1) + j - (j > i)
        return np.where((i < 0) | (j < 0) | (i == j), -1, position).astype(np.int64)

    def period_index(self, start: pd.Series, end: pd.Series) -> NDArray[np.int64]:
        """Return the period of each row, -1 where it is not one of the grid's."""
        index = self.period_start.get_indexer(pd.DatetimeIndex(start))
        same_end = self.period_end.to_numpy()[index] == end.to_numpy()
        return np.where((index >= 0) & same_end, index, -1).astype(np.int64)


def _build_periods(
    table: pd.DataFrame, name: str, ahead: int
) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """Return the periods from the first to the last reported one, without gaps, and some more."""
    spans = table[["period_start", "period_end"]].drop_duplicates().sort_values("period_start")
    length = (spans["period_end"] - spans["period_start"]).dt.days
    faults = []
    if length.max() - length.min() > _STEP_TOLERANCE_DAYS:
        faults.append(
            Fault(
                name,
                f"periods of {length.min()} to {length.max()} days",
                "periods of one length in one model",
                column="period_start",
            )
        )
        raise InputError(faults)
    starts, ends = [spans["period_start"].iloc[0]], [spans["period_end"].iloc[0]]
    known = dict(zip(spans["period_start"], spans["period_end"], strict=True))
    while starts[-1] < spans["period_start"].iloc[-1]:
        start = ends[-1]
        step = ends[-1] - starts[-1]
        starts.append(start)
        ends.append(known.get(start, _same_step(start, step)))
    if not set(known) <= set(starts):
        odd = sorted(set(known) - set(starts))[0].date()
        raise InputError(
            [Fault(name, f"a period that starts on {odd}", "periods that follow on one another")]
        )
    for _ in range(ahead):
        start, step = ends[-1], ends[-1] - starts[-1]
        starts.append(start)
        ends.append(_same_step(start, step))
    return pd.DatetimeIndex(starts), pd.DatetimeIndex(ends)


def _same_step(start: pd.Timestamp, step: pd.Timedelta) -> pd.Timestamp:
    """Return the end of a period like the last one; whole years stay whole years."""
    years = round(step.days / 365.25)
    if years >= 1 and abs(step.days - 365.25 * years) <= _STEP_TOLERANCE_DAYS:
        return start + pd.DateOffset(years=years)
    return start + step


def _existence(
    places: Sequence[str], starts: pd.DatetimeIndex, ends: pd.DatetimeIndex, codes: str
) -> NDArray[np.bool_]:
    """Return whether each place existed in each period, (place, period)."""
    out = np.ones((len(places), len(starts)), dtype=bool)
    if codes == "declared":
        return out
    for p, code in enumerate(places):
        place = resolve_place(code)
        for t, (start, end) in enumerate(zip(starts, ends, strict=True)):
            out[p, t] = place.exists_between(start.date(), end.date())
    return out


def build_grid(
    table: pd.DataFrame, places: Sequence[str], *, codes: str, name: str, ahead: int = 0
) -> Grid:
    """Build the grid of all ordered pairs of `places` over the periods of the reports.

    Parameters
    ----------
    table
        Observation table (`Observations.table`).
    places
        Codes of the places of the system.
    codes
        ``"declared"`` if the codes are the user's own and exist at all times.
    name
        What errors call the observations.
    ahead
        How many periods follow the last reported one.

    Raises
    ------
    InputError
        If periods differ in length, or do not follow on one another.
    """
    places = tuple(sorted(places))
    starts, ends = _build_periods(table, name, ahead)
    origin, destination = np.nonzero(~np.eye(len(places), dtype=bool))
    alive = _existence(places, starts, ends, codes)
    return Grid(
        places,
        origin.astype(np.int64),
        destination.astype(np.int64),
        starts,
        ends,
        alive[origin] & alive[destination],
    )
