"""The collapsed likelihood of a problem: which kernel serves it, and how it is spread over threads.

The corridors are cut into stretches whose number depends on the problem alone, and sums over
stretches are taken in order: a result does not depend on the number of threads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular

from flowcast.model.kernel import powers_of
from flowcast.model.owned import owned_backward, owned_forward
from flowcast.model.problem import Problem
from flowcast.model.recursion import backward_pass, forward_pass
from flowcast.model.scratch import scratch

if TYPE_CHECKING:
    from flowcast.model.assemble import Core

__all__ = ["Solution", "evaluate", "layout", "side_by_side", "solve"]

FloatArray = NDArray[np.float64]

_STRETCH = 60_000
"""Reports of a stretch: some milliseconds of work."""
_MAX_STRETCHES = 8
_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The likelihood and the posterior of the coefficients at given hyper-parameters.

    Attributes
    ----------
    value
        Log marginal likelihood; -inf where the covariance is not positive definite.
    mean
        Posterior mean of the coefficients, less their prior mean, (coefficient,).
    factor
        Lower triangular L with precision = L L', (coefficient, coefficient).
    """

    value: float
    mean: FloatArray
    factor: FloatArray

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw coefficients, less their prior mean, from their posterior, (coefficient,)."""
        noise = rng.standard_normal(len(self.mean))
        pulled = solve_triangular(self.factor, noise, lower=True, trans="T", check_finite=False)
        return np.asarray(self.mean + pulled)


def layout(problem: Problem) -> dict[str, NDArray[Any]]:
    """Return the kernel's inputs that do not depend on hyper-parameters or sites, in its order."""
    compact = problem.compact
    return {
        "period": problem.reports.period,
        "slot": compact.slot,
        "start": problem.blocks.start,
        "tv": compact.tv,
        "constant": compact.constant,
        "constant_col": compact.constant_col,
        "series": compact.series,
        "slot_col": compact.slot_col,
        "n_slot": compact.n_slot,
        "tv_col": compact.tv_col,
        "own_col": compact.own_col,
    }


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="flowcast-corridors")


def side_by_side(function: Callable[[int], Any], n: int, threads: int) -> list[Any]:
    """Return what a function gives for 0, 1, ..., n - 1, computed on so many threads."""
    if threads == 1 or n == 1:
        return [function(k) for k in range(n)]
    return list(_pool(threads).map(function, range(n)))


@njit(cache=True, nogil=True)
def _mirror(matrix: FloatArray) -> None:
    """Copy the lower triangle to the upper one."""
    for i in range(len(matrix)):
        for j in range(i):
            matrix[j, i] = matrix[i, j]


def _stretches(start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the corridors at which stretches of about equal numbers of reports begin and end."""
    n = int(start[-1])
    parts = int(np.clip(-(-n // _STRETCH), 1, _MAX_STRETCHES))
    cuts = np.searchsorted(start, np.linspace(0, n, parts + 1))
    return np.unique(np.clip(cuts, 0, len(start) - 1))


@dataclass(frozen=True, slots=True, eq=False)
class _Passes:
    """The passes over the corridors, the arguments they share, and how corridors are cut."""

    there: Callable[..., float]
    back: Callable[..., None]
    arguments: tuple[Any, ...]
    cuts: NDArray[np.int64]
    threads: int

    @property
    def n(self) -> int:
        return len(self.cuts) - 1

    def forward(self, n_coef: int) -> tuple[float, FloatArray, FloatArray]:
        """Return r'S^-1 r + log|S|, X'S^-1 X (lower triangle) and X'S^-1 r."""
        parts, sides = scratch("equations", self.n, n_coef, n_coef), np.zeros((self.n, n_coef))

        def one(k: int) -> float:
            parts[k] = 0.0
            ends = int(self.cuts[k]), int(self.cuts[k + 1])
            return self.there(*ends, *self.arguments, parts[k], sides[k])

        value = 0.0
        for own in side_by_side(one, self.n, self.threads):
            value += own
        return value, parts.sum(axis=0), sides.sum(axis=0)

    def backward(
        self, coef: FloatArray, covariance: FloatArray, n_group: int, room: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return the slopes by residual, noise, scale, group and each corridor's innovations.

        Those by residual and noise are written into `room`, (2, report).
        """
        by_residual, by_noise = room
        own = np.empty(len(self.arguments[-2]))

        def one(k: int) -> tuple[FloatArray, FloatArray]:
            scale, group = np.zeros(3), np.zeros(n_group)
            ends = int(self.cuts[k]), int(self.cuts[k + 1])
            self.back(
                *ends, *self.arguments, coef, covariance, by_residual, by_noise, scale, group, own
            )
            return scale, group

        scale, group = np.zeros(3), np.zeros(n_group)
        for s, g in side_by_side(one, self.n, self.threads):
            scale += s
            group += g
        return by_residual, by_noise, scale, group, own


def _passes(problem: Problem, core: "Core", weight: FloatArray, threads: int) -> _Passes:
    arguments = (
        np.ascontiguousarray(core.residual),
        np.ascontiguousarray(core.noise),
        np.asarray(core.scale, dtype=float),
        np.asarray(core.group_variance, dtype=float),
        *layout(problem).values(),
        weight[problem.blocks.corridor],
        powers_of(float(core.scale[2]), problem.reports.period),
    )
    owned = len(problem.compact.own_col) > 0
    there, back = (owned_forward, owned_backward) if owned else (forward_pass, backward_pass)
    return _Passes(there, back, arguments, _stretches(problem.blocks.start), threads)


def _factor(
    core: "Core", n_report: int, value: float, precision: FloatArray, rhs: FloatArray
) -> Solution | None:
    """Integrate the coefficients out; None where that is impossible."""
    with np.errstate(divide="ignore", invalid="ignore"):  # an impossible point has no density
        precision[np.diag_indices_from(precision)] += 1.0 / core.coef_variance
        value = -value - _LOG_2PI * n_report - float(np.log(core.coef_variance).sum())
    if not np.isfinite(value):
        return None
    # The transpose of a C array is Fortran's own order: nothing is copied.
    upper, info = lapack.dpotrf(precision.T, lower=0, overwrite_a=1, clean=1)
    if info != 0:
        return None
    half = solve_triangular(upper, rhs, trans="T", check_finite=False)
    mean = solve_triangular(upper, half, check_finite=False)
    value += float(half @ half) - 2.0 * float(np.log(np.diag(upper)).sum())
    return Solution(0.5 * value, mean, upper.T)


def solve(
    problem: Problem, core: "Core", innovation_weight: FloatArray, *, threads: int = 1
) -> Solution:
    """Return the log marginal likelihood and the coefficients' posterior, without a gradient.

    Parameters
    ----------
    problem
        The fixed part.
    core
        Inputs that depend on hyper-parameters, from `assemble`.
    innovation_weight
        Weight of each corridor of the grid, (corridor,).
    threads
        Threads to spread corridors over; the result does not depend on it.
    """
    n_coef = problem.coefficients.n
    value, precision, rhs = _passes(problem, core, innovation_weight, threads).forward(n_coef)
    solution = _factor(core, problem.reports.n, value, precision, rhs)
    return solution or Solution(-np.inf, np.zeros(n_coef), np.eye(n_coef))


def evaluate(
    problem: Problem,
    core: "Core",
    innovation_weight: FloatArray,
    *,
    threads: int = 1,
    room: FloatArray | None = None,
) -> Any:
    """Return value, gradients and the coefficients' posterior.

    See `kernel.collapsed_value_grad` for the nine things that come back. Parameters are those of
    `solve`, and `room`, into which the slopes by residual and noise are written, (2, report).
    """
    n_coef, n_report, n_group = problem.coefficients.n, problem.reports.n, len(problem.series)
    passes = _passes(problem, core, innovation_weight, threads)
    solution = _factor(core, n_report, *passes.forward(n_coef))
    if solution is None:
        sizes = (n_report, n_report, n_coef, 3, n_group, len(problem.blocks.corridor), n_coef)
        return (-np.inf, *(np.zeros(size) for size in sizes), np.zeros((n_coef, n_coef)))
    inverse, _ = lapack.dtrtri(solution.factor.T, lower=0)
    covariance, _ = lapack.dlauum(inverse, lower=0)  # upper triangle of L^-T L^-1
    covariance = covariance.T
    _mirror(covariance)
    room = np.empty((2, n_report)) if room is None else room
    slopes = passes.backward(solution.mean, covariance, n_group, room)
    by_residual, by_noise, by_scale, by_group, own = slopes
    ratio = solution.mean / core.coef_variance
    shrink = (1.0 - np.diag(covariance) / core.coef_variance) / core.coef_variance
    by_coef = 0.5 * (ratio**2 - shrink)
    mean, root = solution.mean, inverse.T
    return solution.value, by_residual, by_noise, by_coef, by_scale, by_group, own, mean, root
