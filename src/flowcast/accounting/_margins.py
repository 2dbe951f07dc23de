"""Tables raked to the totals of their rows and columns, to the last digits and quickly."""

from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACCEPTED", "FloatArray", "rake"]

type FloatArray = NDArray[np.float64]

AIMED: Final = 1e-13
"""Relative error of row totals at which raking stops: what rounding leaves."""
ACCEPTED: Final = 1e-9
"""Relative error of row totals above which raking has failed."""
SWEEPS: Final = 3
ROUNDS: Final = 60
SWEEPS_A_ROUND: Final = 25
LONGEST_STEP: Final = 2.0
SHORTER: Final = (0.5, 0.25, 0.125)
STEP_ERROR: Final = 0.01
PRODUCTS: Final = 50
SMALLEST: Final = 1e-12


def rake(table: FloatArray, rows: FloatArray, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scale rows and columns of a table until it has these totals.

    Iterative proportional fitting (Deming & Stephan 1940, doi 10.1214/aoms/1177731829) has the
    limit ``u_i table_ij v_j``. Where most people live where they were born its steps shrink by a
    few per cent only, and a thousand of them are needed. So after a few sweeps the steps are
    Newton's on ``log u``, solved for roughly, with the columns kept exact (Knight & Ruiz 2013,
    doi 10.1093/imanum/drs019). Where one does not help, more sweeps bring the factors nearer.

    Parameters
    ----------
    table
        Not negative, shape (row, column).
    rows, columns
        Totals, not negative, with the same sum, shape (row,) and (column,).

    Returns
    -------
    raked
        Shape (row, column).
    off
        What each row's total is off, relative to it, shape (row,); columns are exact. Infinite in
        every row if a column has a total but no cells.
    """
    raked, off = np.zeros_like(table), np.zeros(len(rows))
    some_rows, some_columns = rows > 0.0, columns > 0.0
    inside = table[np.ix_(some_rows, some_columns)]
    empty = ~inside.any(axis=1)
    if not inside.any(axis=0).all():
        return raked, np.full(len(rows), np.inf)
    if empty.any():
        off[np.flatnonzero(some_rows)[empty]] = 1.0
        return raked, off
    if inside.size:
        with np.errstate(all="ignore"):
            found = _factors(inside, rows[some_rows], columns[some_columns])
            raked[np.ix_(some_rows, some_columns)] = found.u[:, None] * inside * found.v
            off[some_rows] = np.nan_to_num(np.abs(found.gap), nan=np.inf)
    return raked, off


class _Fit(NamedTuple):
    """Factors of rows and columns, and how good they are.

    `gap` is what each row's total lacks, relative to it, and `worst` the largest; `dual` is the
    convex function of ``log u`` that the right factors minimise.
    """

    u: FloatArray
    v: FloatArray
    gap: FloatArray
    worst: float
    dual: float


def _factors(table: FloatArray, rows: FloatArray, columns: FloatArray) -> _Fit:
    """Return the factors that give a table without empty rows and columns these totals."""
    fit = partial(_fit, table, rows, columns)
    best = fit(np.ones(len(rows)))
    if best.worst > AIMED:
        best = fit(best.u, SWEEPS)
    for _ in range(ROUNDS):
        if best.worst <= AIMED:
            break
        step = _newton_step(best.u[:, None] * table * best.v, columns, best.gap * rows)
        step = step.clip(-LONGEST_STEP, LONGEST_STEP)
        tried = [fit(best.u * np.exp(step))]
        if tried[0].worst < 0.5 * best.worst:
            best = tried[0]
            continue
        if best.worst <= ACCEPTED:
            break
        tried += [fit(best.u * np.exp(share * step)) for share in SHORTER]
        better = min(*tried, fit(best.u, SWEEPS_A_ROUND), key=lambda one: one.dual)
        if not np.isfinite(better.dual):
            break
        best = better
    return best


def _fit(
    table: FloatArray, rows: FloatArray, columns: FloatArray, u: FloatArray, sweeps: int = 0
) -> _Fit:
    """Fit the rows and columns in turn so many times, then the columns."""
    for _ in range(sweeps):
        u = rows / (table @ (columns / (u @ table)))
    total = u @ table
    v = columns / total
    gap = 1.0 - u * (table @ v) / rows
    worst, dual = np.abs(gap).max(), columns @ np.log(total) - rows @ np.log(u)
    ends = [float(x) if np.isfinite(x) else np.inf for x in (worst, dual)]
    return _Fit(u, v, gap, *ends)


def _newton_step(table: FloatArray, columns: FloatArray, gap: FloatArray) -> FloatArray:
    """Return x with ``(diag(rows) - X diag(columns)^-1 X') x = gap``, to a hundredth.

    `rows` and `columns` are X's own totals. By conjugate gradients, preconditioned by the diagonal:
    the matrix is the Laplacian of a graph whose nodes are the rows, and a few products with X do.
    """
    rows, weight = table.sum(axis=1), 1.0 / columns
    diagonal = np.maximum(rows - (table * table) @ weight, SMALLEST * rows)
    # A constant x gives 0, so that a gap which does not sum to 0 has no solution.
    x, residual = np.zeros_like(gap), gap - rows * (gap.sum() / rows.sum())
    scaled = residual / diagonal
    direction, size = scaled, residual @ scaled
    enough = STEP_ERROR**2 * size
    for _ in range(PRODUCTS):
        image = rows * direction - table @ ((direction @ table) * weight)
        curvature = direction @ image
        if not curvature > 0.0:
            break
        length = size / curvature
        x = x + length * direction
        residual = residual - length * image
        scaled = residual / diagonal
        last, size = size, residual @ scaled
        if not size > enough:
            break
        direction = scaled + (size / last) * direction
    return x
