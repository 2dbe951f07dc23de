"""Nearest non-negative numbers to a prior under linear constraints, by Newton's method on the dual.

Both distances are separable and convex, so the answer is a function of one potential for each
constraint: ``prior * exp(A'y)`` for relative entropy, ``max(0, prior + A'y / weight)`` for weighted
squares. The dual is convex and smooth and has as many unknowns as there are constraints.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from flowcast.accounting._ipf import SMALL

__all__ = ["Projection", "constraint_gap", "project_entropy", "project_squares"]

FloatArray = NDArray[np.float64]

MAX_STEPS: Final = 200
_RIDGE: Final = 1e-13
_HALVINGS: Final = 40
_ROUNDING: Final = 1e-6
_ROUNDING_SQUARES: Final = 1e-4
"""Gaps that rounding can leave; squares are exact once it is known which numbers are 0."""
_SHARES: Final = (1e-6, 1e-4, 1e-2, 1.0)
_STALLED: Final = 3
"""Steps without a smaller gap after which the arithmetic gives no more."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The nearest point.

    Attributes
    ----------
    x
        Numbers, (cell,).
    potential
        One for each constraint; unique only up to what `x` does not feel.
    n_steps
        Newton steps.
    gap
        `constraint_gap` of `x`.
    """

    x: FloatArray
    potential: FloatArray
    n_steps: int
    gap: float


@dataclass(frozen=True, slots=True)
class _Dual:
    """The dual at some potentials: its value, the primal numbers, and their slopes."""

    value: float
    x: FloatArray
    slope: FloatArray


def constraint_gap(a: sparse.csr_array, b: FloatArray, x: FloatArray) -> float:
    """Return the largest distance of ``A x`` from b, relative to the turnover ``|A| x`` or |b|.

    A turnover below `SMALL` of the largest counts as that: the rest is lost in rounding.
    """
    turnover = np.maximum(abs(a) @ np.abs(x), np.abs(b))
    turnover = np.maximum(turnover, SMALL * turnover.max(initial=0.0))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        gap = np.abs(a @ x - b) / turnover
    return float(np.max(np.where(turnover > 0.0, gap, 0.0), initial=0.0))


def project_entropy(
    prior: FloatArray, a: sparse.csr_array, b: FloatArray, tol: float = 1e-9
) -> Projection:
    """Return the x nearest to `prior` in ``sum x log(x / p) - x + p``, with A x = b.

    Parameters
    ----------
    prior
        Positive numbers, (cell,).
    a
        Constraints, (constraint, cell).
    b
        What A x has to be, (constraint,).
    tol
        Gap that will do; steps go on while they still lower it.

    Returns
    -------
    Projection
        Its gap says whether it was found: where no positive x fulfils the constraints it was not.

    Examples
    --------
    >>> a = sparse.csr_array(np.array([[1.0, 1.0]]))
    >>> project_entropy(np.array([1.0, 3.0]), a, np.array([8.0])).x.round(9).tolist()
    [2.0, 6.0]
    """

    def dual(y: FloatArray) -> _Dual:
        with np.errstate(over="ignore"):
            x = prior * np.exp(a.T @ y)
        return _Dual(float(x.sum() - b @ y), x, x)

    return _newton(dual, a, b, tol)


def project_squares(
    prior: FloatArray, weight: FloatArray, a: sparse.csr_array, b: FloatArray, tol: float = 1e-9
) -> Projection:
    """Return the x >= 0 nearest to `prior` in ``sum w (x - p)^2``, with A x = b.

    The dual is piecewise quadratic: Newton's method ends as soon as it knows which x are 0.

    Parameters
    ----------
    prior, weight
        Numbers and positive weights, (cell,).
    a, b
        As in `project_entropy`.
    tol
        Gap that will do.

    Returns
    -------
    Projection

    Examples
    --------
    >>> a = sparse.csr_array(np.array([[1.0, 1.0]]))
    >>> project_squares(np.array([1.0, 9.0]), np.ones(2), a, np.array([4.0])).x.round(9).tolist()
    [0.0, 4.0]
    """

    def dual(y: FloatArray) -> _Dual:
        x = np.maximum(prior + (a.T @ y) / weight, 0.0)
        return _Dual(float(0.5 * (weight * x * x).sum() - b @ y), x, (x > 0.0) / weight)

    return _newton(dual, a, b, tol, bound=1.0 / weight)


def _newton(
    dual: Callable[[FloatArray], _Dual],
    a: sparse.csr_array,
    b: FloatArray,
    tol: float,
    bound: FloatArray | None = None,
) -> Projection:
    """Minimise a dual; `bound` is an upper bound of the slopes, where there is one."""
    y = np.zeros(a.shape[0])
    at = dual(y)
    best, stalled, step = (constraint_gap(a, b, at.x), y, at), 0, 0
    while step < MAX_STEPS and best[0] > 1e-15 and stalled < _STALLED:
        moved = _step(dual, y, at, a, b, bound)
        if moved is None:
            break
        before = at.value
        (y, at), step = moved, step + 1
        gap = constraint_gap(a, b, at.x)
        # far from the answer the gap may rise while the dual falls; near it, rounding is all
        stalled = stalled + 1 if gap >= best[0] and at.value >= before - _noise(at) else 0
        if gap < best[0]:
            best = (gap, y, at)
    gap, y, at = best
    x = at.x
    # only what rounding has left: it must not make a point that is not nearest look like one
    if step < MAX_STEPS and gap <= (_ROUNDING if bound is None else _ROUNDING_SQUARES):
        x, gap = _refined(at, gap, a, b)
    return Projection(x, y, step, gap)


def _step(
    dual: Callable[[FloatArray], _Dual],
    y: FloatArray,
    at: _Dual,
    a: sparse.csr_array,
    b: FloatArray,
    bound: FloatArray | None,
) -> tuple[FloatArray, _Dual] | None:
    """Return the next potentials, or None where no step lowers the dual.

    A piecewise quadratic dual has kinks that can make Newton's steps very short. With a share of
    the upper bound of the slopes added they are longer (with all of it, sure to descend): the step
    that gets lowest is taken.
    """
    gradient = a @ at.x - b
    full = _descend(dual, y, at, gradient, _direction(a, at.slope, gradient))
    if bound is None or (full is not None and full[2] == 1.0):
        return None if full is None else full[:2]
    found = [] if full is None else [full]
    for share in _SHARES:
        direction = _direction(a, at.slope + share * bound, gradient)
        moved = _descend(dual, y, at, gradient, direction)
        found += [] if moved is None else [moved]
    return min(found, key=lambda step: step[1].value)[:2] if found else None


def _refined(at: _Dual, gap: float, a: sparse.csr_array, b: FloatArray) -> tuple[FloatArray, float]:
    """Return x with what rounding of large potentials has left of the gap taken out, and the gap.

    The correction has the slopes of the dual, and is added to x itself: it is small, and exact.
    """
    x = at.x
    for _ in range(_STALLED):
        to = x - at.slope * (a.T @ _direction(a, at.slope, b - a @ x))
        closer = constraint_gap(a, b, to)
        if not (closer < gap and (to >= 0.0).all()):
            break
        x, gap = to, closer
    return x, gap


def _noise(at: _Dual) -> float:
    """Return what differences of the dual are lost in rounding."""
    return 1e-14 * (abs(at.value) + float(np.abs(at.x).sum()))


def _direction(a: sparse.csr_array, slope: FloatArray, gradient: FloatArray) -> FloatArray:
    """Solve ``A diag(slope) A' d = -gradient``, scaled to a unit diagonal.

    Constraints may depend on each other (all margins have one total): the ridge picks one answer.
    """
    hessian = (a.multiply(slope[None, :]) @ a.T).toarray()
    diagonal = np.diag(hessian)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    scaled = hessian * scale[:, None] * scale[None, :]
    ridge = _RIDGE
    while True:
        np.fill_diagonal(scaled, 1.0 + ridge)
        try:
            factor = linalg.cho_factor(scaled, lower=True, check_finite=False)
        except linalg.LinAlgError:
            ridge *= 100.0
            continue
        return np.asarray(-scale * linalg.cho_solve(factor, scale * gradient, check_finite=False))


def _descend(
    dual: Callable[[FloatArray], _Dual],
    y: FloatArray,
    at: _Dual,
    gradient: FloatArray,
    direction: FloatArray,
) -> tuple[FloatArray, _Dual, float] | None:
    """Return the first point on the way that lowers the dual enough, and how far it is; or None."""
    slope = float(gradient @ direction)
    # differences below rounding count as no rise, or the last steps would never be taken
    noise = _noise(at)
    length = 1.0
    for _ in range(_HALVINGS):
        to = y + length * direction
        there = dual(to)
        if np.isfinite(there.value) and there.value <= at.value + 1e-4 * length * slope + noise:
            return to, there, length
        length /= 2.0
    return None
