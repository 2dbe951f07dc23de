"""Flows times a factor of their origin and one of their destination, so that sums of places hold.

The same answer as `project_entropy` has, for constraints on net migration, immigration and
emigration alone. Every constraint is then a potential of one place, and a Newton step costs a few
passes over the table and one factor as large as there are constraints: a hundredth of what the
sparse constraints cost, so that it can be done for every draw of the flows of the world.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

__all__ = ["KINDS", "Kind", "Sums", "Tilted", "tilt"]

FloatArray = NDArray[np.float64]
Kind = Literal["net", "immigration", "emigration"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_ON_ORIGIN: Final[dict[Kind, float]] = {"net": -1.0, "immigration": 0.0, "emigration": 1.0}
_ON_DESTINATION: Final[dict[Kind, float]] = {"net": 1.0, "immigration": 1.0, "emigration": 0.0}
MAX_STEPS: Final = 200
_LONGEST: Final = 3.0
"""Change of a potential in one step: further out the quadratic says nothing of exponentials."""
_HALVINGS: Final = 40
_RIDGE: Final = 1e-13
_FAST: Final = 0.25
"""Share of the gap that a step with an old curvature may leave."""
_EXACT: Final = 1e-13
"""Gap at which no step is tried any more: of ten million moves, a millionth of a person."""
_STALLED: Final = 2
"""Steps without a smaller gap after which the arithmetic gives no more."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Which sums of which places are given.

    Attributes
    ----------
    place
        Position of the place, (sum,).
    on_origin, on_destination
        How often the potential is in the log factor of flows from the place, and of flows to it:
        -1, 0 or 1, (sum,).
    """

    place: NDArray[np.intp]
    on_origin: FloatArray
    on_destination: FloatArray

    @classmethod
    def of(cls, kinds: list[Kind], places: NDArray[np.intp]) -> "Sums":
        """Return the sums of these kinds and places."""
        return cls(
            np.asarray(places, dtype=np.intp),
            np.array([_ON_ORIGIN[kind] for kind in kinds]),
            np.array([_ON_DESTINATION[kind] for kind in kinds]),
        )

    def factors(self, potential: FloatArray, n_place: int) -> tuple[FloatArray, FloatArray]:
        """Return the log factor of each place as origin, and as destination, (place,) each."""
        at = (self.place, n_place)
        origin = np.bincount(at[0], self.on_origin * potential, at[1])
        return origin, np.bincount(at[0], self.on_destination * potential, at[1])

    def of_flows(self, left: FloatArray, came: FloatArray) -> FloatArray:
        """Return the sums that outflows and inflows of places come to, (sum,)."""
        return self.on_origin * left[self.place] + self.on_destination * came[self.place]

    def turnover(self, left: FloatArray, came: FloatArray) -> FloatArray:
        """Return all moves that each sum is made of, their signs left aside, (sum,)."""
        return (
            np.abs(self.on_origin) * left[self.place]
            + np.abs(self.on_destination) * came[self.place]
        )

    def equations(self, table: FloatArray) -> sparse.csr_array:
        """Return the sums as linear equations of the positive flows of a table, (sum, flow)."""
        origin, destination = np.nonzero(table > 0.0)
        dense = self.on_origin[:, None] * (self.place[:, None] == origin)
        dense += self.on_destination[:, None] * (self.place[:, None] == destination)
        return sparse.csr_array(dense)


@dataclass(frozen=True, slots=True)
class _Curvature:
    """The Hessian of the dual, scaled to a unit diagonal: its Cholesky factor and the scale."""

    factor: FloatArray
    scale: FloatArray

    def direction(self, gradient: FloatArray) -> FloatArray:
        """Return Newton's step."""
        solved = linalg.cho_solve((self.factor, True), self.scale * gradient, check_finite=False)
        return np.asarray(-self.scale * solved)


@dataclass(frozen=True, slots=True)
class Tilted:
    """The nearest table, as the factors that lead to it.

    Attributes
    ----------
    origin, destination
        Log factors of flows from and to each place, (place,).
    potential
        Of each sum; unique up to what the flows do not feel.
    gap
        Largest distance of a sum from what was asked, relative to its turnover (or to what was
        asked, or a millionth of the largest turnover, where that is more).
    n_steps
        Steps, few of which need a curvature of their own.
    """

    origin: FloatArray
    destination: FloatArray
    potential: FloatArray
    gap: float
    n_steps: int


@dataclass(frozen=True, slots=True)
class _Point:
    """The dual at some potentials: factors, sums of flows, value, gradient and gap."""

    potential: FloatArray
    origin: FloatArray
    destination: FloatArray
    left: FloatArray
    came: FloatArray
    value: float
    gradient: FloatArray
    gap: float


def tilt(table: FloatArray, sums: Sums, asked: FloatArray) -> Tilted:
    """Return the factors that lead to the nearest table with given sums.

    Minimises ``sum x log(x / f) - x + f``; the answer is ``x_ij = f_ij exp(a_i + b_j)``. With net
    migration alone ``b = -a`` on constrained places, and both are 0 elsewhere. Newton's method on
    the dual, whose curvature is kept for as long as every step divides the gap by four.

    Parameters
    ----------
    table
        Flows, 0 or more, (place, place), with a diagonal of 0.
    sums
        Which sums are given; none may follow from the others but the last net figure of a closed
        system.
    asked
        What they have to be, (sum,).

    Returns
    -------
    Tilted
        Its gap says whether it was found: where no such table exists it was not.

    Examples
    --------
    >>> flows = np.array([[0.0, 4.0], [1.0, 0.0]])
    >>> sums = Sums.of(["net", "net"], np.arange(2))
    >>> found = tilt(flows, sums, np.zeros(2))
    >>> (flows * np.exp(found.origin[:, None] + found.destination)).round(9).tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    pairs = _pairs(sums)
    at = _point(table, sums, asked, np.zeros(len(asked)))
    best, stalled, step = at, 0, 0
    kept: _Curvature | None = None
    fresh = False
    while step < MAX_STEPS and best.gap > _EXACT and stalled < _STALLED:
        if kept is None:
            kept, fresh = _curvature(table, sums, pairs, at), True
        moved = _descend(table, sums, asked, at, kept.direction(at.gradient))
        if moved is None and fresh:
            break
        if moved is None:
            kept = None
            continue
        # far from the answer the gap may rise while the dual falls; near it, rounding is all
        small = fresh and moved.gap >= best.gap and moved.value >= at.value - _noise(at)
        step, stalled = step + 1, stalled + 1 if small else 0
        if moved.gap > _FAST * at.gap:
            kept = None
        at, fresh = moved, False
        best = at if at.gap < best.gap else best
    origin, destination = sums.factors(best.potential, len(table))
    return Tilted(origin, destination, best.potential, best.gap, step)


def _point(table: FloatArray, sums: Sums, asked: FloatArray, potential: FloatArray) -> _Point:
    origin, destination = sums.factors(potential, len(table))
    with np.errstate(over="ignore", invalid="ignore"):
        origin, destination = np.exp(origin), np.exp(destination)
        left, came = origin * (table @ destination), destination * (origin @ table)
        gradient = sums.of_flows(left, came) - asked
        size = np.maximum(sums.turnover(left, came), np.abs(asked))
        size = np.maximum(size, 1e-6 * size.max(initial=0.0))
        gap = np.abs(gradient) / np.where(size > 0.0, size, 1.0)
        value = float(left.sum() - asked @ potential)
    worst = float(gap.max(initial=0.0))
    worst = worst if np.isfinite(worst) else np.inf
    return _Point(potential, origin, destination, left, came, value, gradient, worst)


def _pairs(sums: Sums) -> tuple[FloatArray, FloatArray] | None:
    """Return how pairs of sums of one place meet in its outflow and inflow, or None if none do."""
    if len(np.unique(sums.place)) == len(sums.place):
        return None
    same = sums.place[:, None] == sums.place
    origin = same * sums.on_origin[:, None] * sums.on_origin
    return origin, same * sums.on_destination[:, None] * sums.on_destination


def _curvature(
    table: FloatArray, sums: Sums, pairs: tuple[FloatArray, FloatArray] | None, at: _Point
) -> _Curvature:
    """Return the curvature; the ridge picks one step where a closed system leaves a choice."""
    place = sums.place
    whole = np.array_equal(place, np.arange(len(at.left)))
    part = table if whole else table[place[:, None], place]
    cross = (sums.on_origin * at.origin[place])[:, None] * part
    cross *= sums.on_destination * at.destination[place]
    hessian = cross + cross.T
    if pairs is None:
        hessian.flat[:: len(place) + 1] += sums.turnover(at.left, at.came)
    else:
        hessian += pairs[0] * at.left[place] + pairs[1] * at.came[place]
    diagonal = hessian.diagonal()
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    hessian *= scale[:, None]
    hessian *= scale
    ridge = _RIDGE
    while True:
        hessian.flat[:: len(place) + 1] = 1.0 + ridge
        try:
            factor = linalg.cho_factor(hessian, lower=True, check_finite=False)[0]
        except linalg.LinAlgError:
            ridge *= 100.0
            continue
        return _Curvature(factor, scale)


def _noise(at: _Point) -> float:
    """Return what differences of the dual are lost in rounding."""
    return 1e-14 * (abs(at.value) + float(at.left.sum()))


def _descend(
    table: FloatArray, sums: Sums, asked: FloatArray, at: _Point, direction: FloatArray
) -> _Point | None:
    """Return the first point on the way that lowers the dual enough, or None."""
    slope = float(at.gradient @ direction)
    length = min(1.0, _LONGEST / max(float(np.abs(direction).max()), 1e-300))
    noise = _noise(at)
    for _ in range(_HALVINGS):
        there = _point(table, sums, asked, at.potential + length * direction)
        if np.isfinite(there.value) and there.value <= at.value + 1e-4 * length * slope + noise:
            return there
        length /= 2.0
    return None
