"""The collapsed marginal likelihood and its gradient, compiled into one function.

Latent log flows and all linear coefficients are integrated out exactly. Reports of one corridor
depend on each other through the corridor's effect, its AR(1) path and its corridor-by-source
effects; corridors depend on each other only through the coefficients. So the work is: one pass over
the corridors, one dense factor as large as the number of coefficients, one pass back.

With ``r`` = report minus its prior mean, ``S`` = block-diagonal covariance given the coefficients,
``X`` the design and ``B`` the diagonal prior variance of the coefficients::

    V    = S + X B X'                    covariance of the reports
    H    = B^-1 + X' S^-1 X              posterior precision of the coefficients
    log p = -1/2 (r' V^-1 r + log|S| + log|H| + log|B| + n log 2 pi)

The passes are in `recursion` and, for models in which every report has a coefficient of its own, in
`owned`. This is the whole on one thread, as the PyTensor operation uses it; `evaluation` spreads
the same passes over threads. Division by zero gives infinity, as in NumPy, so that an impossible
point has log density -inf.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flowcast.model.owned import owned_backward, owned_forward
from flowcast.model.recursion import backward_pass, forward_pass

__all__ = ["collapsed_value_grad", "powers_of", "triangular_inverse"]

Array = NDArray[Any]
_LOG_2PI = float(np.log(2.0 * np.pi))


@njit(cache=True, nogil=True, error_model="numpy")
def powers_of(coefficient: float, period: Array) -> Array:
    """Return coefficient ** 0, 1, ... up to the longest gap between two periods."""
    powers = np.ones(np.max(period) - np.min(period) + 2)
    for gap in range(1, powers.shape[0]):
        powers[gap] = powers[gap - 1] * coefficient
    return powers


@njit(cache=True, nogil=True, error_model="numpy")
def triangular_inverse(factor: Array) -> Array:
    """Return the inverse of a lower triangular matrix (LAPACK's own is out of reach here)."""
    return np.linalg.solve(factor, np.eye(factor.shape[0]))


@njit(cache=True, nogil=True, error_model="numpy")
def collapsed_value_grad(
    residual: Array, noise: Array, coef_variance: Array, scale: Array, group_variance: Array,
    period: Array, slot: Array, start: Array, tv: Array, constant: Array, constant_col: Array,
    series: Array, slot_col: Array, n_slot: Array, tv_col: Array, own_col: Array,
    innovation_weight: Array,
) -> tuple[float, Array, Array, Array, Array, Array, Array, Array, Array]:  # fmt: skip
    """Return the log marginal likelihood, its gradient, and the coefficients' posterior.

    Parameters
    ----------
    residual, noise : (n_report,)
        Report minus prior mean, and noise variance, reports sorted by corridor and period.
    coef_variance : (n_coef,)
        Prior variances of the linear coefficients.
    scale : (3,)
        Corridor variance, innovation variance, AR(1) coefficient (0 variance switches a part off).
    group_variance : (n_series,)
        Variance of the corridor-by-source effects of each series (0 switches them off).
    period, slot : (n_report,) int64
        Period of a report, and which of its corridor's series it belongs to.
    start : (n_corridor + 1,) int64
        Where each corridor's reports begin.
    tv : (n_report, n_tv)
        What varies within a corridor: covariates that change over time, and effects that only
        some of its reports carry.
    constant, constant_col : (n_corridor, n_constant)
        Values and coefficients of what is constant over a corridor.
    series, slot_col : (n_corridor, most series)
        The series behind each slot, and the coefficient of its reporter (-1: none).
    n_slot : (n_corridor,) int64
        Number of series of each corridor.
    tv_col : (n_corridor, n_tv) int64
        Coefficients of these; -1 stands behind a corridor's last.
    own_col : (n_report,) int64, or empty
        Coefficient that a report has to itself within its corridor.
    innovation_weight : (n_corridor,)
        The innovation variance of a corridor is `scale[1]` over its weight.

    Returns
    -------
    tuple
        Value; gradients with respect to `residual`, `noise`, `coef_variance`, `scale`,
        `group_variance` and each corridor's own innovation variance; posterior mean of the
        coefficients and the root R of their covariance, which is R'R. The value is -inf where the
        covariance is not positive definite.
    """
    n_coef, n_report, n_corridor = coef_variance.shape[0], residual.shape[0], start.shape[0] - 1
    powers = powers_of(scale[2], period)
    precision, rhs = np.zeros((n_coef, n_coef)), np.zeros(n_coef)
    owned = own_col.shape[0] > 0
    value = -_LOG_2PI * n_report
    if owned:
        value -= owned_forward(
            0, n_corridor, residual, noise, scale, group_variance, period, slot, start, tv,
            constant, constant_col, series, slot_col, n_slot, tv_col, own_col, innovation_weight,
            powers, precision, rhs,
        )  # fmt: skip
    else:
        value -= forward_pass(
            0, n_corridor, residual, noise, scale, group_variance, period, slot, start, tv,
            constant, constant_col, series, slot_col, n_slot, tv_col, own_col, innovation_weight,
            powers, precision, rhs,
        )  # fmt: skip
    grad_residual, grad_noise = np.zeros(n_report), np.zeros(n_report)
    grad_coef, grad_scale = np.zeros(n_coef), np.zeros(3)
    grad_group, grad_own = np.zeros(group_variance.shape[0]), np.zeros(n_corridor)
    for j in range(n_coef):
        precision[j, j] += 1.0 / coef_variance[j]
        value -= np.log(coef_variance[j])
    if not np.isfinite(value):
        return (
            -np.inf, grad_residual, grad_noise, grad_coef, grad_scale, grad_group, grad_own, rhs,
            precision,
        )  # fmt: skip
    factor = np.linalg.cholesky(precision)
    root = triangular_inverse(factor)
    covariance = root.T @ root
    coef = covariance @ rhs
    value += rhs @ coef - 2.0 * np.sum(np.log(np.diag(factor)))
    if owned:
        owned_backward(
            0, n_corridor, residual, noise, scale, group_variance, period, slot, start, tv,
            constant, constant_col, series, slot_col, n_slot, tv_col, own_col, innovation_weight,
            powers, coef, covariance, grad_residual, grad_noise, grad_scale, grad_group, grad_own,
        )  # fmt: skip
    else:
        backward_pass(
            0, n_corridor, residual, noise, scale, group_variance, period, slot, start, tv,
            constant, constant_col, series, slot_col, n_slot, tv_col, own_col, innovation_weight,
            powers, coef, covariance, grad_residual, grad_noise, grad_scale, grad_group, grad_own,
        )  # fmt: skip
    for j in range(n_coef):
        ratio = coef[j] / coef_variance[j]
        shrink = (1.0 - covariance[j, j] / coef_variance[j]) / coef_variance[j]
        grad_coef[j] = 0.5 * (ratio * ratio - shrink)
    return (
        0.5 * value, grad_residual, grad_noise, grad_coef, grad_scale, grad_group, grad_own, coef,
        root,
    )  # fmt: skip
