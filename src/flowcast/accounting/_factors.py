"""The factors of origins and destinations that bring draws of flows to their margins."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flowcast.accounting._feasible import MAX_CELLS, shortfall
from flowcast.accounting._tilting import Kind, Sums, tilt
from flowcast.accounting.population import PopulationMargins, draw_margins, match_periods
from flowcast.errors import ConvergenceError, Faults, nearest

__all__ = ["REST_OF_WORLD", "Factors", "find_factors"]

FloatArray = NDArray[np.float64]
Tables = Callable[[int], Callable[[int], FloatArray]]
"""Takes a period and then a draw, as positions; flows, (place, place), with a diagonal of 0."""

REST_OF_WORLD: Final = "rest_of_world"
"""A place of this name takes what the others' net migration leaves over."""
TOLERANCE: Final = 1e-9
MOST_SDS: Final = 4.0
"""How far from 0 the net migration of a closed system may be, in sds of its margins."""
_THREADS: Final = 2
_TOLD: Final = 3
"""Draws of a period that are looked at for what cannot be met."""


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What the flows of each draw are multiplied by.

    Attributes
    ----------
    log_origin, log_destination
        Log factor of flows from each place, and to it, (draw, place, period).
    margins
        The margins drawn, after a closed system was balanced: births, deaths, change, net,
        immigration, emigration; persons per period, (draw, place, period), NaN where not given.
    gap
        Largest relative distance of any sum from its margin, (draw, period).
    notes
        What a reader has to know.
    """

    log_origin: FloatArray
    log_destination: FloatArray
    margins: dict[str, FloatArray]
    gap: FloatArray
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Period:
    """One period: where its factors go, its position and name, the places, and its faults."""

    out: Factors
    k: int
    name: str
    places: Sequence[str]
    faults: Faults

    def told(self, sums: Sums, at: int) -> str:
        """Return what a sum is called."""
        kind = "emigration"
        if sums.on_destination[at] > 0.0:
            kind = "net migration" if sums.on_origin[at] < 0.0 else "immigration"
        return f"{kind} of {self.places[sums.place[at]]} in {self.name}"


def find_factors(
    tables: Tables,
    places: Sequence[str],
    bounds: Sequence[NDArray[np.datetime64]],
    n_draws: int,
    margins: PopulationMargins,
    seed: int,
) -> Factors:
    """Return the factors of every draw, without holding more than a table or two.

    Parameters
    ----------
    tables
        Takes a period and then a draw, as positions, and returns the flows, (place, place).
    places
        Labels, in the order of the tables.
    bounds
        First day and day after the last of each period.
    n_draws
        How many draws there are.
    margins, seed
        As for `benchmark_flows`.

    Returns
    -------
    Factors

    Raises
    ------
    InputError, ConvergenceError
        As `benchmark_flows`.
    """
    faults = Faults(margins.name)
    _check_places(margins, places, faults)
    matched = match_periods(margins, bounds)
    if not any(k is not None for k in matched):
        days = " to ".join(str(day) for day in (bounds[0][0], bounds[-1][1]))
        faults.add("no period of the flows", f"periods of the flows, which are {days}")
    faults.raise_if_any()
    drawn = draw_margins(margins, n_draws, seed)
    at = np.array([places.index(p) for p in margins.places], dtype=np.intp)
    shape = (n_draws, len(places), len(bounds))
    out = Factors(
        np.zeros(shape), np.zeros(shape),
        {name: np.full(shape, np.nan) for name in map(str, drawn)},
        np.zeros((n_draws, len(bounds))), _notes(margins, matched),
    )  # fmt: skip
    off: list[float] = []
    for k, own in enumerate(matched):
        if own is None:
            continue
        for name, array in drawn.data_vars.items():
            out.margins[str(name)][:, at, k] = array.to_numpy()[:, own].T
        here = _Period(out, k, f"{bounds[k][0]} to {bounds[k][1]}", places, Faults(margins.name))
        off += _balance(here, margins, at, own)
        if not len(here.faults):
            _solve(here, tables(k))
        faults.extend(here.faults)
    faults.raise_if_any()
    if not off:
        return out
    said = (
        f"net migration of all places sums to 0 in every draw by least squares (as given, to "
        f"{max(off, key=abs):,.3g} at most)"
    )
    return replace(out, notes=(*out.notes, said))


def _check_places(margins: PopulationMargins, places: Sequence[str], faults: Faults) -> None:
    for place in margins.places:
        if place == REST_OF_WORLD:
            faults.add(f"a margin of {place}", "none: it takes what the others leave over")
        elif place not in places:
            faults.add(
                f"place {place}, which the flows do not have",
                "margins of moves among the places of the flows",
                hint=nearest(place, places),
            )


def _notes(margins: PopulationMargins, matched: Sequence[int | None]) -> tuple[str, ...]:
    free, unused = matched.count(None), len(margins.bounds) - len({*matched} - {None})
    notes = []
    if free:
        notes.append(f"{free} of {len(matched)} periods have no margins, and are as they were")
    if unused:
        notes.append(f"margins of {unused} periods that the flows do not have were not used")
    return tuple(notes)


def _balance(
    here: _Period, margins: PopulationMargins, at: NDArray[np.intp], own: int
) -> list[float]:
    """Give the net migration of a closed system a sum of 0 in each draw, in place.

    Least squares: each place takes its part of the variance of the sum. Returns what it was.
    """
    out, k = here.out, here.k
    net = out.margins["net"][:, :, k]
    if np.isnan(net).any():
        return []
    variance, share = np.zeros(net.shape[1]), np.full(net.shape[1], np.nan)
    variance[at] = margins.variance_of_net()[:, own]
    share[at] = margins.share_of_immigration()[:, own]
    centre = margins.values["net"].to_numpy()[:, own]
    total, sd = float(centre.sum()), float(np.sqrt(variance.sum()))
    # what rounding to whole persons leaves is no contradiction
    if abs(total) > MOST_SDS * sd + len(at) + 1e-9 * float(np.abs(centre).sum()):
        here.faults.add(
            f"net migration of all places that sums to {total:,.10g} in {here.name}",
            f"0 up to its error (sd {sd:,.4g}), as nobody moves elsewhere; or a place "
            f"{REST_OF_WORLD} in the flows",
        )
        return []
    weight = variance / variance.sum() if sd > 0.0 else np.full(len(variance), 1 / len(variance))
    moved = -net.sum(axis=1, keepdims=True) * weight
    net += moved
    out.margins["change"][:, :, k] += moved
    came = out.margins["immigration"][:, :, k]
    both = ~np.isnan(share)
    came[:, both] += (moved * share)[:, both]
    out.margins["emigration"][:, both, k] = (came - net)[:, both]
    return [total]


def _constraints(here: _Period) -> tuple[Sums, FloatArray]:
    """Return which sums are given, and what they are in each draw, (draw, sum)."""
    out, k = here.out, here.k
    kinds: list[Kind] = []
    places: list[int] = []
    asked: list[FloatArray] = []
    given = {name: ~np.isnan(out.margins[name][0, :, k]) for name in out.margins}
    # of net migration and both totals, the third follows from two
    given["emigration"] &= ~(given["net"] & given["immigration"])
    for kind in ("net", "immigration", "emigration"):
        for place in np.flatnonzero(given[kind]):
            kinds.append(kind)
            places.append(int(place))
            asked.append(out.margins[kind][:, place, k])
    return Sums.of(kinds, np.array(places, dtype=np.intp)), np.stack(asked, axis=1)


def _solve(here: _Period, table: Callable[[int], FloatArray]) -> None:
    """Find the factors of one period, in place."""
    sums, asked = _constraints(here)
    out, k = here.out, here.k
    missed = np.zeros(len(sums.place), dtype=np.intp)
    failed: list[int] = []

    def solve(draw: int) -> NDArray[np.bool_]:
        flows = table(draw)
        blocked = _blocked(flows, sums, asked[draw])
        if blocked.any():
            return blocked
        found = tilt(flows, sums, asked[draw])
        out.log_origin[draw, :, k] = found.origin
        out.log_destination[draw, :, k] = found.destination
        out.gap[draw, k] = found.gap
        if not found.gap <= TOLERANCE:
            failed.append(draw)
        return blocked

    with ThreadPoolExecutor(_THREADS) as pool:
        for blocked in pool.map(solve, range(len(asked))):
            missed += blocked
    for at in np.flatnonzero(missed).tolist():
        here.faults.add(
            f"{here.told(sums, at)} that its flows cannot have, as all of them are 0 on one side, "
            f"in {missed[at]:,} of {len(asked):,} draws",
            "a margin that flows by more than 0 can reach, or none",
        )
    if failed and not missed.any():
        _refuse(here, table, sums, asked, sorted(failed))


def _blocked(flows: FloatArray, sums: Sums, asked: FloatArray) -> NDArray[np.bool_]:
    """Return which sums a single place rules out: nobody comes, or nobody leaves, (sum,).

    Flows stay positive whatever they are multiplied by, so that a sum of positive flows is never 0.
    """
    left, came = flows.sum(axis=1), flows.sum(axis=0)
    adds = (sums.on_destination > 0.0) * came[sums.place]
    adds += (sums.on_origin > 0.0) * left[sums.place]
    takes = (sums.on_origin < 0.0) * left[sums.place]
    high = np.where(adds > 0.0, np.inf, 0.0)
    low = np.where(takes > 0.0, -np.inf, 0.0)
    inside = (asked > low) & (asked < high)
    nothing = (adds == 0.0) & (takes == 0.0) & (asked == 0.0)
    return np.asarray(~(inside | nothing))


def _refuse(
    here: _Period,
    table: Callable[[int], FloatArray],
    sums: Sums,
    asked: FloatArray,
    failed: Sequence[int],
) -> None:
    """Record what several places together rule out.

    Raises
    ------
    ConvergenceError
        If there is such a table, and it was not found.
    """
    told: set[int] = set()
    for draw in failed[:_TOLD]:
        flows = table(draw)
        if (flows > 0.0).sum() > MAX_CELLS:
            break
        short = shortfall(sums.equations(flows), asked[draw])
        told |= set() if short is None else set(np.flatnonzero(short).tolist())
    if not told:
        raise ConvergenceError(
            f"(benchmark, {here.name}) | found margins missed by "
            f"{here.out.gap[failed, here.k].max():.1e} of the moves in them, in {len(failed):,} "
            f"draws; allowed: {TOLERANCE:.1e}"
        )
    for at in sorted(told):
        here.faults.add(
            f"{here.told(sums, at)} that no table with these zeros has, in {len(failed):,} of "
            f"{len(asked):,} draws",
            "margins that agree with who can move where",
        )
