"""Raking a laid-out problem: by sweeps, and where they do not end by Newton's method."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from flowcast.accounting._feasible import MAX_CELLS, possible_cells, shortfall
from flowcast.accounting._ipf import (
    Constraint,
    Fit,
    MarginSum,
    fit_matrix,
    fit_table,
    largest_gap,
)
from flowcast.accounting._projection import project_entropy
from flowcast.accounting._raking_problem import RakingProblem
from flowcast.errors import ConvergenceError, Faults

__all__ = ["Solution", "solve"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EARLY_SWEEPS: Final = 200
"""Enough for nearly every table; one that needs more is looked at."""
POLISH_SWEEPS: Final = 20
MAX_CONSTRAINTS: Final = 3_000
"""Newton's method factors a matrix of this size."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Raked tables as arrays, batch first; factors in the shape of the targets."""

    table: FloatArray
    factors: list[FloatArray]
    n_sweeps: IntArray
    gap: FloatArray
    forced_zero: NDArray[np.bool_]


def solve(problem: RakingProblem, tol: float, max_sweeps: int) -> Solution:
    """Rake every table of the batch.

    Raises
    ------
    InputError
        Naming the sums that cannot be met.
    ConvergenceError
        If sums are still off by more than `tol`.
    """
    fit = _fit(problem, tol, min(EARLY_SWEEPS, max_sweeps))
    forced = np.zeros(fit.table.shape, dtype=bool)
    faults = Faults("raking")
    for table in np.flatnonzero(~(fit.gap <= tol)):
        _finish(problem, fit, int(table), forced, tol, max_sweeps, faults)
    faults.raise_if_any()
    open_cells = [_open(c) for c in problem.constraints]
    for is_open in open_cells:
        forced |= (problem.seed > 0.0) & ~np.broadcast_to(is_open, forced.shape)
    if problem.known is not None:
        fit.table[...] += problem.known
    return Solution(fit.table, fit.factors, fit.n_sweeps, fit.gap, forced)


def _fit(problem: RakingProblem, tol: float, sweeps: int) -> Fit:
    """Sweep; two margins that share no dim have a faster way."""
    first, *others = problem.constraints
    if (
        len(others) == 1
        and problem.seed.ndim == 3
        and isinstance(first, MarginSum)
        and isinstance(others[0], MarginSum)
        and {first.axes, others[0].axes} == {(1,), (2,)}
    ):
        rows, columns = (first, others[0]) if first.axes == (2,) else (others[0], first)
        fit = fit_matrix(problem.seed, rows.target[:, :, 0], columns.target[:, 0, :], tol, sweeps)
        return fit if rows is first else Fit(fit.table, fit.factors[::-1], fit.n_sweeps, fit.gap)
    return fit_table(problem.seed, problem.constraints, tol, sweeps)


def _finish(
    problem: RakingProblem,
    fit: Fit,
    table: int,
    forced: NDArray[np.bool_],
    tol: float,
    max_sweeps: int,
    faults: Faults,
) -> None:
    """Finish one table that sweeps alone have not: in place, or record why it cannot be."""
    mine = [c.take(slice(table, table + 1)) for c in problem.constraints]
    _restart_if_lost(problem, fit, table, mine)
    cells = fit.table[table] > 0.0
    a, b, origin = _equations(mine, cells)
    small = cells.sum() <= MAX_CELLS
    if small:
        missed = shortfall(a, b)
        if missed is not None and missed.any():
            _tell(problem, table, missed, b, origin, faults)
            return
        possible = possible_cells(a, b)
        if possible is not None:
            forced[table][cells] = ~possible
            a = sparse.csr_array(a[:, possible])
            cells[cells] = possible
    start = np.where(cells, fit.table[table], 0.0)
    start, moved = _by_newton(start, cells, a, b, origin, mine) if small else (start, [])
    for i, (factor, potential) in enumerate(zip(fit.factors, moved, strict=False)):
        fit.factors[i][table] = factor[table] * potential
    last = fit_table(start[None], mine, tol, POLISH_SWEEPS if moved else max_sweeps)
    fit.table[table] = last.table[0]
    for i, factor in enumerate(last.factors):
        fit.factors[i][table] *= factor[0]
    fit.n_sweeps[table] += last.n_sweeps[0]
    fit.gap[table] = last.gap[0]
    if not last.gap[0] <= tol:
        _refuse_gap(problem, table, last, mine, tol)


def _restart_if_lost(problem: RakingProblem, fit: Fit, table: int, mine: list[Constraint]) -> None:
    """Go back to the seed where factors have left the range of floating-point numbers."""
    seed = problem.seed[table].copy()
    for constraint in mine:
        seed *= _open(constraint)[0]
    reached = fit.table[table]
    if not np.isfinite(reached).all() or ((seed > 0.0) & (reached == 0.0)).any():
        fit.table[table] = seed
        for i, constraint in enumerate(mine):
            fit.factors[i][table] = constraint.target[0] > 0.0


def _by_newton(
    start: FloatArray,
    cells: NDArray[np.bool_],
    a: sparse.csr_array,
    b: FloatArray,
    origin: IntArray,
    mine: list[Constraint],
) -> tuple[FloatArray, list[FloatArray]]:
    """Return the table that Newton's method reaches, and the factors that it applies."""
    if len(b) > MAX_CONSTRAINTS:
        return start, []
    found = project_entropy(start[cells], a, b)
    out = start.copy()
    out[cells] = found.x
    factors = [np.ones(c.target[0].size) for c in mine]
    for (i, k), y in zip(origin, found.potential, strict=True):
        factors[i][k] = np.exp(y)
    return out, [f.reshape(c.target[0].shape) for f, c in zip(factors, mine, strict=True)]


def _equations(
    mine: list[Constraint], cells: NDArray[np.bool_]
) -> tuple[sparse.csr_array, FloatArray, IntArray]:
    """Return the constraints of one table as equations of its open cells, and which each was."""
    rows, b, origin = [], [], []
    for i, constraint in enumerate(mine):
        ids = _ids(constraint, cells.shape)[cells]
        target = constraint.target[0].ravel()
        kept = np.flatnonzero(target > 0.0)
        inside = ids >= 0
        one = sparse.csr_array(
            (np.ones(inside.sum()), (ids[inside], np.flatnonzero(inside))),
            shape=(len(target), len(ids)),
        )
        rows.append(one[kept])
        b.append(target[kept])
        origin.append(np.column_stack([np.full(len(kept), i), kept]))
    return sparse.csr_array(sparse.vstack(rows)), np.concatenate(b), np.concatenate(origin)


def _ids(constraint: Constraint, shape: tuple[int, ...]) -> IntArray:
    """Return which sum of the constraint each cell of a table is part of."""
    if not isinstance(constraint, MarginSum):
        return constraint.ids
    target = constraint.target[0]
    numbers = np.arange(target.size).reshape(target.shape)
    return np.broadcast_to(numbers, shape)


def _open(constraint: Constraint) -> NDArray[np.bool_]:
    """Return which cells no target of 0 shuts, so that it broadcasts to the tables."""
    positive = constraint.target > 0.0
    if isinstance(constraint, MarginSum):
        return positive
    padded = np.hstack([positive, np.ones((len(positive), 1), dtype=bool)])
    return padded[:, constraint.ids.ravel()].reshape(len(positive), *constraint.ids.shape)


def _tell(
    problem: RakingProblem,
    table: int,
    missed: FloatArray,
    b: FloatArray,
    origin: IntArray,
    faults: Faults,
) -> None:
    """Record each sum that cannot be met, and what could be."""
    for (i, k), short, target in zip(origin, missed, b, strict=True):
        if short != 0.0:
            least, reached = "at most" if short > 0.0 else "at least", float(target - short)
            reached = reached if reached > 1e-9 * target else 0.0
            faults.add(
                f"{target:.10g} at {problem.where(int(i), table, int(k))}",
                f"{least} {reached:.10g}, given the zeros of the seed and the other sums",
                where=problem.names[int(i)],
            )


def _refuse_gap(
    problem: RakingProblem, table: int, last: Fit, mine: list[Constraint], tol: float
) -> None:
    gaps = [float(largest_gap(last.table, [constraint])[0]) for constraint in mine]
    worst = int(np.argmax(gaps))
    sums, target = mine[worst].sums(last.table).ravel(), mine[worst].target.ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        cell = int(np.argmax(np.where(target > 0.0, np.abs(sums - target) / target, 0.0)))
    raise ConvergenceError(
        f"({problem.names[worst]}) | found {sums[cell]:.12g} in place of {target[cell]:.12g} at "
        f"{problem.where(worst, table, cell)} after {last.n_sweeps[0]} sweeps, a relative gap of "
        f"{gaps[worst]:.1e}; allowed: {tol:.1e}"
    )
