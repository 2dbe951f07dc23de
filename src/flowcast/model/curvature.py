"""Curvature of a log density by differences of its gradient, and coordinates that level it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = [
    "climb",
    "curvature",
    "curvature_between",
    "slopes_beside",
    "symmetric_root",
    "third_derivative",
]

FloatArray = NDArray[np.float64]
Function = Callable[[FloatArray], tuple[float, FloatArray]]

_MAX_ITERATIONS = 200
_STEP = 1e-3
_MIN_CURVATURE = 0.25
"""Directions with little or negative curvature get a spread of at most 2, what priors allow."""


def climb(
    function: Function,
    x: FloatArray,
    root: FloatArray | None = None,
    iterations: int = _MAX_ITERATIONS,
) -> FloatArray:
    """Return the maximum near x of a function that returns value and gradient, (dim,).

    Parameters
    ----------
    function
        What is climbed.
    x
        Where it starts, (dim,).
    root
        From `symmetric_root` of the curvature near the maximum: with it few iterations are needed.
    iterations
        At most so many.
    """
    base = np.eye(len(x)) if root is None else root

    def objective(at: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = function(x + base @ at)
        if not np.isfinite(value):
            return 1e100, np.zeros_like(at)
        return -value, -(base.T @ gradient)

    options = {"maxiter": iterations}
    found = minimize(objective, np.zeros_like(x), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(x + base @ found.x)


def slopes_beside(function: Function, x: FloatArray, threads: int) -> tuple[FloatArray, FloatArray]:
    """Return the gradients a small step up and down each axis, (dim, dim) each."""

    def row(k: int) -> tuple[FloatArray, FloatArray]:
        nudge = np.zeros(len(x))
        nudge[k] = _STEP
        return function(x + nudge)[1], function(x - nudge)[1]

    with ThreadPoolExecutor(threads) as pool:
        both = list(pool.map(row, range(len(x))))
    return np.array([b[0] for b in both]), np.array([b[1] for b in both])


def curvature(function: Function, x: FloatArray, threads: int) -> FloatArray:
    """Return minus the matrix of second derivatives, (dim, dim)."""
    return curvature_between(*slopes_beside(function, x, threads))


def curvature_between(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return minus the matrix of second derivatives from `slopes_beside`, (dim, dim)."""
    hessian = (below - above) / (2.0 * _STEP)
    return np.asarray(0.5 * (hessian + hessian.T))


def symmetric_root(matrix: FloatArray) -> FloatArray:
    """Return the symmetric root of the inverse, so that axes stay what they were."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors / np.sqrt(np.maximum(values, _MIN_CURVATURE))) @ vectors.T)


def third_derivative(above: FloatArray, below: FloatArray, middle: FloatArray) -> FloatArray:
    """Return the third derivative along each axis from `slopes_beside` and the gradient, (dim,)."""
    return np.asarray((np.diag(above) + np.diag(below) - 2.0 * middle) / _STEP**2)
