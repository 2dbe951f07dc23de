"""What linear programs say about constraints: which cannot be met, and which cells must be 0."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from flowcast.accounting._ipf import SMALL

__all__ = ["MAX_CELLS", "possible_cells", "shortfall", "total_range"]

FloatArray = NDArray[np.float64]

_NOTHING: Final = 1e-6
"""Relative shortfall that is rounding of the solver."""
MAX_CELLS: Final = 200_000
"""Larger problems are not diagnosed: it would take minutes."""


def shortfall(a: sparse.csr_array, b: FloatArray) -> FloatArray | None:
    """Return ``b - A x`` at the x >= 0 that comes nearest to b in relative absolute error.

    Zero where the constraints can all be met; elsewhere it names some that cannot. None where the
    program found no answer.

    Examples
    --------
    >>> a = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> shortfall(a, np.array([5.0, 2.0, 3.0])).round(9).tolist()
    [0.0, 0.0, 0.0]
    """
    n, m = a.shape[1], a.shape[0]
    rows, columns = _scales(a, b)
    scaled = _scaled(a, rows, columns)
    eye = sparse.eye_array(m, format="csr")
    done = linprog(
        np.concatenate([np.zeros(n), np.ones(2 * m)]),
        A_eq=sparse.hstack([scaled, eye, -eye], format="csr"),
        b_eq=b / rows,
        method="highs",
    )
    if done.x is None:
        return None
    missed = done.x[n : n + m] - done.x[n + m :]
    return np.where(np.abs(missed) <= _NOTHING, 0.0, missed * rows)


def possible_cells(a: sparse.csr_array, b: FloatArray) -> NDArray[np.bool_] | None:
    """Return which x can be positive where A x = b and x >= 0: (cell,).

    One program for all cells: any mixture of feasible points is feasible, so one point is positive
    wherever any is. It is looked for with b multiplied by a free factor, so that every such cell
    can reach 1.

    Examples
    --------
    >>> a = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    >>> possible_cells(a, np.array([5.0, 4.0, 1.0])).tolist()
    [True, True, False]
    """
    n, m = a.shape[1], a.shape[0]
    rows, columns = _scales(a, b)
    scaled = _scaled(a, rows, columns)
    # unknowns: x - t >= 0, 0 <= t <= 1 and the factor of b; a positive t marks a possible cell
    unit = sparse.csr_array(-(b / rows)[:, None])
    equal = sparse.hstack([scaled, scaled, unit], format="csr")
    bounds = [(0.0, None)] * n + [(0.0, 1.0)] * n + [(1.0, None)]
    goal = np.concatenate([np.zeros(n), -np.ones(n), [0.0]])
    done = linprog(goal, A_eq=equal, b_eq=np.zeros(m), bounds=bounds, method="highs")
    return None if done.x is None else np.asarray(done.x[n : 2 * n] > 0.5)


def _scales(a: sparse.csr_array, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return units of constraints and of cells in which all numbers are near 1.

    Solvers know 0 up to 1e-7 or so: without units a sum of a millionth of another would be nothing.
    """
    largest = float(np.abs(b).max(initial=0.0)) or 1.0
    rows = np.maximum(np.abs(b), SMALL * largest)
    sums = a.tocoo()
    columns = np.full(a.shape[1], np.inf)
    if (a.data > 0.0).all():  # no cell exceeds the smallest sum that it is part of
        np.minimum.at(columns, sums.col, rows[sums.row])
    columns[~np.isfinite(columns)] = largest
    return rows, columns


def _scaled(a: sparse.csr_array, rows: FloatArray, columns: FloatArray) -> sparse.csr_array:
    return sparse.csr_array(a.multiply((1.0 / rows)[:, None]).multiply(columns[None, :]))


def total_range(a: sparse.csr_array, b: FloatArray) -> tuple[float, float]:
    """Return the smallest and the largest sum of x where A x = b and x >= 0; NaN if unknown.

    Examples
    --------
    >>> total_range(sparse.csr_array(np.array([[1.0, -1.0]])), np.array([3.0]))
    (3.0, inf)
    """
    if not a.shape[1]:
        return 0.0, 0.0
    scale = float(np.abs(b).max(initial=0.0)) or 1.0
    ends = []
    for sign in (1.0, -1.0):
        done = linprog(np.full(a.shape[1], sign), A_eq=a, b_eq=b / scale, method="highs")
        unbounded = done.status == 3
        ends.append(sign * done.fun * scale if done.x is not None else -sign * np.inf)
        if done.x is None and not unbounded:
            return float("nan"), float("nan")
    return float(ends[0]), float(ends[1])
