"""The arithmetic of the stock-to-flow estimators on plain arrays, for one draw.

Letters as in the literature: ``b`` birthplace, ``i`` residence at the start, the origin, ``j``
residence at the end, the destination. Nothing holds all of ``b, i, j`` unless it is asked for.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flowcast.accounting._margins import ACCEPTED, FloatArray, rake

__all__ = [
    "Refused",
    "adjust",
    "allocate",
    "allocate_by_birthplace",
    "balance_closed",
    "balance_open",
    "rake_movers",
]

ROUNDING: Final = 1e-11
"""Relative difference of two stocks that is taken for none where it matters."""
CULPRIT: Final = 0.1
"""Share of the largest error from which on a birthplace is named."""


class Refused(Exception):
    """Numbers that no account can be made of; it becomes faults that name the places.

    Attributes
    ----------
    what
        Which numbers.
    places
        Positions of the places they are about; empty if they are about the whole table.
    found
        One text a place.
    allowed
        What there may be instead.
    """

    def __init__(self, what: str, places: NDArray[np.intp], found: list[str], allowed: str) -> None:
        super().__init__(what)
        self.what, self.places, self.found, self.allowed = what, places, found, allowed


def adjust(
    start: FloatArray,
    end: FloatArray,
    births: FloatArray,
    deaths: FloatArray,
    matching: str | None,
) -> tuple[FloatArray, FloatArray]:
    """Take births from the stocks at the end and deaths from those at the start.

    Parameters
    ----------
    start, end
        Stocks, shape (birthplace, residence).
    births, deaths
        Shape (residence,).
    matching
        ``"before"`` or ``"after"`` this the native-born are scaled until the change of the world's
        stocks is births minus deaths; None leaves them.

    Raises
    ------
    Refused
        If more are born, or die, than live there, or the native-born would become negative.
    """
    start, end = start.copy(), end.copy()
    surplus = float(end.sum() - start.sum() - births.sum() + deaths.sum())
    _require_people(start, end, births, deaths)
    if matching == "before":
        _match_globally(start, end, surplus)
        _require_people(start, end, births, deaths)
    start *= 1.0 - _ratio(deaths, start.sum(axis=0)).clip(max=1.0)
    own = end.diagonal().copy()
    # Where there are more births than native-born, other groups must have had some of them.
    shared = births > own
    np.fill_diagonal(end, np.where(shared, own, own - births))
    taken = np.where(shared, _ratio(births, end.sum(axis=0)), 0.0).clip(max=1.0)
    end *= 1.0 - taken
    if matching == "after":
        _match_globally(start, end, surplus)
    return start, end


def _require_people(
    start: FloatArray, end: FloatArray, births: FloatArray, deaths: FloatArray
) -> None:
    """Refuse more deaths than there are residents at the start, and births than at the end."""
    for what, events, stock, when in (
        ("deaths", deaths, start, "start"),
        ("births", births, end, "end"),
    ):
        population = stock.sum(axis=0)
        over = np.flatnonzero(events > population * (1.0 + ACCEPTED))
        if len(over):
            found = [f"{events[k]:.15g} of {population[k]:.15g} residents" for k in over]
            raise Refused(what, over, found, f"at most the residents at the {when} of the period")


def _match_globally(start: FloatArray, end: FloatArray, surplus: float) -> None:
    """Scale the native-born of either table by half of what the world has too many of."""
    native = np.array([start.trace(), end.trace()])
    change = np.array([surplus, -surplus]) / 2.0
    if abs(surplus) <= ROUNDING * max(start.sum(), end.sum()) and not native.all():
        return
    if (native + change < 0.0).any() or not native.all():
        found = f"a world that grows by {surplus:.15g} more than births minus deaths"
        allowed = f"at most twice the native-born, {native[0]:.15g} and {native[1]:.15g}"
        raise Refused("stocks", np.zeros(0, dtype=np.intp), [found], allowed)
    diagonal = np.diag_indices_from(start)
    start[diagonal] *= 1.0 + change[0] / native[0]
    end[diagonal] *= 1.0 + change[1] / native[1]


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return part / whole, and 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0.0)


def balance_closed(start: FloatArray, end: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rake both tables until each birthplace has the mean of its two totals at either date.

    Residents of every place keep their number.

    Raises
    ------
    Refused
        If there are birthplaces whose total cannot be reached.
    """
    target = (start.sum(axis=1) + end.sum(axis=1)) / 2.0
    both = []
    for table, when in ((start, "start"), (end, "end")):
        raked, off = rake(table, target, table.sum(axis=0))
        if not off.max(initial=0.0) <= ACCEPTED:
            # Where one total is out of reach, others are off by the little they take of it.
            wrong = np.flatnonzero(off >= CULPRIT * off.max())
            totals = table.sum(axis=1)
            found = [
                f"{totals[b]:.15g} people born there, who cannot become {target[b]:.15g} "
                f"(off by {100.0 * off[b]:.2g} %)"
                for b in wrong
            ]
            allowed = "totals that these zeros and the residents leave room for, or an open system"
            raise Refused(f"stocks at the {when}", wrong, found, allowed)
        both.append(raked)
    return both[0], both[1]


def balance_open(
    start: FloatArray, end: FloatArray, *, swapped: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Move the difference of each birthplace's totals out of the world, or into it.

    Parameters
    ----------
    start, end
        Stocks without births and deaths, shape (birthplace, residence).
    swapped
        Whether leavers are taken by the stocks at the start and entrants by those at the end,
        rather than the other way round.

    Returns
    -------
    start, end, leavers, entrants
        Shape (birthplace, residence) each; ``start + leavers`` and ``end + entrants`` are what came
        in.
    """
    gap = start.sum(axis=1) - end.sum(axis=1)
    by_start, by_end = (end, start) if swapped else (start, end)
    leavers = _spread(np.maximum(gap, 0.0), by_end, start)
    entrants = _spread(np.maximum(-gap, 0.0), by_start, end)
    return start - leavers, end - entrants, leavers, entrants


def _spread(amount: FloatArray, weight: FloatArray, most: FloatArray) -> FloatArray:
    """Spread an amount per row in proportion to weights, where no cell gets more than its most.

    A cell that is full hands the rest on to the others of its row; when all that have weight are
    full, the rest goes by the room that is left. Each row's `most` sums to the amount at least.
    """
    out = np.zeros_like(most)
    for b in np.flatnonzero(amount > 0.0):
        out[b] = _spread_row(float(amount[b]), weight[b], most[b])
    return out


def _spread_row(amount: float, weight: FloatArray, most: FloatArray) -> FloatArray:
    share, full = np.zeros_like(most), most <= 0.0
    while True:
        free = ~full & (weight > 0.0)
        rest = amount - share[full].sum()
        if not free.any():
            break
        share[free] = rest * weight[free] / weight[free].sum()
        over = free & (share > most)
        if not over.any():
            return share
        share[over] = most[over]
        full |= over
    room = most - share
    return share + rest * room / room.sum() if rest > 0.0 and room.sum() > 0.0 else share


def allocate(
    start: FloatArray, end: FloatArray, *, stay: bool, seed: FloatArray | None
) -> FloatArray:
    """Return people by origin and destination, stayers on the diagonal.

    Parameters
    ----------
    start, end
        Balanced stocks, shape (birthplace, residence).
    stay
        Whether as many as possible stay where they are (minimisation), or residence at the end is
        independent of that at the start.
    seed
        Shape (origin, destination) or (birthplace, origin, destination), or None: uniform.

    Returns
    -------
    ndarray, shape (origin, destination)
    """
    if seed is not None:
        total = np.zeros_like(start)
        for table in _seeded_tables(start, end, stay=stay, seed=seed):
            total += table
        return total
    if not stay:
        return start.T @ _ratio(end, end.sum(axis=1, keepdims=True))
    kept = np.minimum(start, end)
    # Each birthplace's movers are a matrix of rank one, so that their sum is one product.
    moved = _shares(end - kept)
    total = (start - kept).T @ moved
    total[np.diag_indices_from(total)] = kept.sum(axis=0)
    return total


def allocate_by_birthplace(
    start: FloatArray, end: FloatArray, *, stay: bool, seed: FloatArray | None
) -> FloatArray:
    """Return the same by birthplace, shape (birthplace, origin, destination)."""
    if seed is not None:
        return np.stack(list(_seeded_tables(start, end, stay=stay, seed=seed)))
    if not stay:
        return start[:, :, None] * _ratio(end, end.sum(axis=1, keepdims=True))[:, None, :]
    kept = np.minimum(start, end)
    table = (start - kept)[:, :, None] * _shares(end - kept)[:, None, :]
    each = np.arange(start.shape[1])
    table[:, each, each] = kept
    return table


def _shares(arrivals: FloatArray) -> FloatArray:
    return _ratio(arrivals, arrivals.sum(axis=1, keepdims=True))


def _seeded_tables(
    start: FloatArray, end: FloatArray, *, stay: bool, seed: FloatArray
) -> Iterator[FloatArray]:
    """Yield one table (origin, destination) a birthplace.

    Raises
    ------
    Refused
        With every birthplace whose stocks the zeros of the seed make impossible.
    """
    failed: dict[int, float] = {}
    for b in range(len(start)):
        kept = np.minimum(start[b], end[b]) if stay else np.zeros_like(start[b])
        leaving, arriving = start[b] - kept, end[b] - kept
        if stay:
            # What balancing left by rounding is no movement, which a zero of the seed may forbid.
            moved = np.abs(start[b] - end[b]) > ROUNDING * np.maximum(start[b], end[b])
            leaving, arriving = leaving * moved, arriving * moved
        own = seed[b] if seed.ndim == 3 else seed
        table, off = rake_movers(own, leaving, arriving)
        if off <= ACCEPTED:
            table[np.diag_indices_from(table)] += kept
            yield table
        else:
            failed[b] = off
    if failed:
        found = [
            f"stocks that raking the seed does not reach (off by {100.0 * off:.2g} %)"
            for off in failed.values()
        ]
        raise Refused(
            "seed", np.array(list(failed)), found, "a seed whose zeros leave room for them, or none"
        )


def rake_movers(
    seed: FloatArray, leaving: FloatArray, arriving: FloatArray
) -> tuple[FloatArray, float]:
    """Return the table nearest to the seed that has these margins, and how far they are off.

    Parameters
    ----------
    seed
        Not negative, shape (origin, destination); zeros stay zeros.
    leaving, arriving
        Persons, with the same sum up to rounding, shape (origin,) and (destination,).

    Returns
    -------
    table
        Shape (origin, destination).
    off
        Largest error of a margin relative to it; infinite where the margins are out of reach.
    """
    people = arriving.sum()
    if not people or not leaving.sum():
        return np.zeros_like(seed), 0.0
    table, off = rake(seed, leaving * (people / leaving.sum()), arriving)
    return table, float(off.max())
