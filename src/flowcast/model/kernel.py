"""The collapsed marginal likelihood and its gradient, compiled.

Latent log flows and all linear coefficients are integrated out exactly. Reports of one corridor
depend on each other through the corridor's effect, its AR(1) path and its corridor-by-source
effects; corridors depend on each other only through the coefficients. So the work is: one small
dense block a corridor, then one dense factor as large as the number of coefficients.

With ``r`` = report minus its prior mean, ``S`` = block-diagonal covariance given the coefficients,
``X`` the design and ``B`` the diagonal prior variance of the coefficients::

    V    = S + X B X'                    covariance of the reports
    H    = B^-1 + X' S^-1 X              posterior precision of the coefficients
    log p = -1/2 (r' V^-1 r + log|S| + log|H| + log|B| + n log 2 pi)

The gradient uses ``a = V^-1 r`` and the diagonal blocks of ``V^-1``: d log p / dV = (aa' - V^-1)/2.

Corridors are stretches ``lo:hi`` of the reports. Working arrays hold a row a report and are shared
by all corridors: allocating small ones by the hundred costs more than the arithmetic. Division by
zero gives infinity, as in NumPy, so that an impossible point has log density -inf.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["block_covariance", "collapsed_value_grad", "powers_of", "triangular_inverse"]

Array = NDArray[Any]
_LOG_2PI = float(np.log(2.0 * np.pi))


@njit(cache=True, nogil=True, error_model="numpy")
def powers_of(coefficient: float, period: Array) -> Array:
    """Return coefficient ** 0, 1, ... up to the longest gap between two periods."""
    powers = np.ones(np.max(period) - np.min(period) + 2)
    for gap in range(1, powers.shape[0]):
        powers[gap] = powers[gap - 1] * coefficient
    return powers


# Reassociation lets the compiler vectorise a sum; nothing here relies on NaN or infinity rules.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _dot(x: Array, i: int, y: Array, j: int, lo: int, hi: int) -> float:
    """Return the product of row i of x and row j of y over the columns lo:hi."""
    total = 0.0
    for c in range(lo, hi):
        total += x[i, c] * y[j, c]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _add(target: Array, i: int, factor: float, source: Array, j: int, size: int) -> None:
    """Add factor times row j of source to row i of target, first `size` columns."""
    for c in range(size):
        target[i, c] += factor * source[j, c]


@njit(cache=True, nogil=True, error_model="numpy")
def block_covariance(
    cov: Array,
    lo: int,
    hi: int,
    period: Array,
    group: Array,
    noise: Array,
    scale: Array,
    weight: float,
    powers: Array,
    group_variance: Array,
) -> None:
    """Fill rows lo:hi of `cov` with the lower triangle of one corridor's report covariance.

    `scale` holds corridor variance, innovation variance and AR(1) coefficient; the innovation
    variance of this corridor is divided by `weight`.
    """
    stationary = scale[1] / weight / (1.0 - scale[2] * scale[2])
    for k in range(lo, hi):
        for j in range(lo, k + 1):
            value = scale[0] + stationary * powers[abs(period[k] - period[j])]
            if group[k] >= 0 and group[k] == group[j]:
                value += group_variance[group[k]]
            cov[k, j - lo] = value
        cov[k, k - lo] += noise[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _factor_solve(cov: Array, z: Array, lo: int, hi: int, width: int) -> float:
    """Factor rows lo:hi of `cov` in place, replace those of `z` by L^-1 z; return log|cov|."""
    logdet = 0.0
    for k in range(lo, hi):
        for j in range(lo, k + 1):
            total = cov[k, j - lo] - _dot(cov, k, cov, j, 0, j - lo)
            cov[k, j - lo] = np.sqrt(total) if k == j else total / cov[j, j - lo]
        logdet += 2.0 * np.log(cov[k, k - lo])
        for i in range(lo, k):
            _add(z, k, -cov[k, i - lo], z, i, width)
        for c in range(width):
            z[k, c] /= cov[k, k - lo]
    return logdet


@njit(cache=True, nogil=True, error_model="numpy")
def _back_solve(chol: Array, z: Array, lo: int, hi: int, width: int) -> None:
    """Replace rows lo:hi of `z` by L^-T z."""
    for k in range(hi - 1, lo - 1, -1):
        for i in range(k + 1, hi):
            _add(z, k, -chol[i, k - lo], z, i, width)
        for c in range(width):
            z[k, c] /= chol[k, k - lo]


@njit(cache=True, nogil=True, error_model="numpy")
def _accumulate(
    z: Array, lo: int, hi: int, cols: Array, at: int, m: int, work: Array, precision: Array,
    rhs: Array,
) -> float:  # fmt: skip
    """Add one corridor's Z'Z to the normal equations (lower triangle); column m is the report."""
    for c in range(m + 1):
        for d in range(c + 1):
            work[c, d] = 0.0
    for k in range(lo, hi):
        for c in range(m + 1):
            if z[k, c] != 0.0:
                _add(work, c, z[k, c], z, k, c + 1)
    for c in range(m):
        i = cols[at + c]
        rhs[i] += work[m, c]
        for d in range(c):
            j = cols[at + d]
            precision[max(i, j), min(i, j)] += work[c, d]
        precision[i, i] += work[c, c]
    return float(work[m, m])


@njit(cache=True, nogil=True, error_model="numpy")
def _invert_factor(chol: Array, lo: int, hi: int, out: Array) -> None:
    """Fill the first rows of `out` with the inverse of one corridor's factor."""
    n = hi - lo
    for k in range(n):
        for c in range(k + 1):
            total = 1.0 if k == c else 0.0
            for i in range(c, k):
                total -= chol[lo + k, i] * out[i, c]
            out[k, c] = total / chol[lo + k, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _spread(
    z: Array, lo: int, hi: int, cols: Array, at: int, m: int, covariance: Array, work: Array,
    out: Array,
) -> None:  # fmt: skip
    """Fill the first rows of `out` with z @ covariance[cols, cols]."""
    for c in range(m):
        for d in range(m):
            work[c, d] = covariance[cols[at + c], cols[at + d]]
    for k in range(lo, hi):
        for d in range(m):
            out[k - lo, d] = 0.0
        for c in range(m):
            if z[k, c] != 0.0:
                _add(out, k - lo, z[k, c], work, c, m)


@njit(cache=True, nogil=True, error_model="numpy")
def _block_gradient(z: Array, lo: int, hi: int, m: int, inverse: Array, out: Array) -> None:
    """Turn `out` (z times covariance) and the inverse factor into d log p / d S, kept in `inverse`.

    Rows lo:hi of `z` hold [S^-1 X | V^-1 r]. The result is the lower triangle, by rows.
    """
    n = hi - lo
    for k in range(n):
        for j in range(k + 1):
            v = -_dot(out, k, z, lo + j, 0, m)
            for i in range(k, n):
                v += inverse[i, k] * inverse[i, j]
            # Row k of the inverse factor is still needed above its diagonal by later rows only
            # through rows i >= k, so the result goes to the unused upper part: [j, k].
            if j < k:
                inverse[j, k] = 0.5 * (z[lo + k, m] * z[lo + j, m] - v)
            else:
                out[k, m] = 0.5 * (z[lo + k, m] ** 2 - v)


@njit(cache=True, nogil=True, error_model="numpy")
def _chain_rule(
    inverse: Array, diagonal: Array, m: int, lo: int, hi: int, period: Array, group: Array,
    scale: Array, weight: float, powers: Array, grad_scale: Array, grad_group: Array,
    grad_noise: Array,
) -> float:  # fmt: skip
    """Carry a corridor's covariance gradient over to variances and AR(1) coefficient.

    Returns the slope by the corridor's own innovation variance.
    """
    one_minus = 1.0 - scale[2] * scale[2]
    own = 0.0
    for k in range(lo, hi):
        grad_noise[k] = diagonal[k - lo, m]
        for j in range(lo, k + 1):
            g = diagonal[k - lo, m] if k == j else 2.0 * inverse[j - lo, k - lo]
            gap = abs(period[k] - period[j])
            slope = 2.0 * scale[2] * powers[gap] / (one_minus * one_minus)
            if gap > 0:
                slope += gap * powers[gap - 1] / one_minus
            grad_scale[0] += g
            own += g * powers[gap] / one_minus
            grad_scale[2] += g * scale[1] / weight * slope
            if group[k] >= 0 and group[k] == group[j]:
                grad_group[group[k]] += g
    grad_scale[1] += own / weight
    return own


@njit(cache=True, nogil=True, error_model="numpy")
def triangular_inverse(factor: Array) -> Array:
    """Return the inverse of a large lower triangular matrix, by blocks.

    Row blocks are solved by matrix products, several times faster than a general inverse.
    """
    n = factor.shape[0]
    size = 48
    out = np.zeros((n, n))
    own = np.zeros((size, size))
    for lo in range(0, n, size):
        hi = min(lo + size, n)
        _invert_factor(np.ascontiguousarray(factor[:, lo:hi]), lo, hi, own)
        block = np.tril(own[: hi - lo, : hi - lo])
        out[lo:hi, lo:hi] = block
        if lo > 0:
            left = np.ascontiguousarray(factor[lo:hi, :lo]) @ np.ascontiguousarray(out[:lo, :lo])
            out[lo:hi, :lo] = -(block @ left)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(z: Array, lo: int, hi: int, m: int, design: Array, at: int, residual: Array) -> None:
    """Put a corridor's design and reports into rows lo:hi of `z`."""
    for k in range(lo, hi):
        for c in range(m):
            z[k, c] = design[at + (k - lo) * m + c]
        z[k, m] = residual[k]


@njit(cache=True, nogil=True, error_model="numpy")
def collapsed_value_grad(
    residual: Array,
    noise: Array,
    coef_variance: Array,
    scale: Array,
    group_variance: Array,
    period: Array,
    group: Array,
    start: Array,
    design: Array,
    design_start: Array,
    cols: Array,
    cols_start: Array,
    innovation_weight: Array,
) -> tuple[float, Array, Array, Array, Array, Array, Array, Array, Array]:
    """Return the log marginal likelihood, its gradient, and the coefficients' posterior.

    Parameters
    ----------
    residual, noise : (n_report,)
        Report minus prior mean, and noise variance, reports sorted by corridor.
    coef_variance : (n_coef,)
        Prior variances of the linear coefficients.
    scale : (3,)
        Corridor variance, innovation variance, AR(1) coefficient (0 variance switches a part off).
    group_variance : (n_group,)
        Variance of the corridor-by-source effect of each source and side.
    period, group : (n_report,) int64
        Period of a report, and its source-and-side group (-1: no corridor-by-source effect).
    start : (n_corridor + 1,) int64
        Where each corridor's reports begin.
    design, design_start, cols, cols_start
        Each corridor's dense design block (row-major, n reports by m columns) and which
        coefficients its columns are.
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
    n_coef, n_report = coef_variance.shape[0], residual.shape[0]
    n_corridor = start.shape[0] - 1
    most = np.max(start[1:] - start[:-1])
    width = np.max(cols_start[1:] - cols_start[:-1]) + 1
    powers = powers_of(scale[2], period)
    cov, z = np.zeros((n_report, most)), np.zeros((n_report, width))
    work, out, inverse = np.zeros((width, width)), np.zeros((most, width)), np.zeros((most, most))
    precision, rhs = np.zeros((n_coef, n_coef)), np.zeros(n_coef)
    grad_residual, grad_noise = np.zeros(n_report), np.zeros(n_report)
    grad_coef, grad_scale = np.zeros(n_coef), np.zeros(3)
    grad_group, grad_own = np.zeros(group_variance.shape[0]), np.zeros(n_corridor)
    value = -_LOG_2PI * n_report
    for c in range(n_corridor):
        lo, hi, at = start[c], start[c + 1], cols_start[c]
        m = cols_start[c + 1] - at
        _fill(z, lo, hi, m, design, design_start[c], residual)
        block_covariance(
            cov, lo, hi, period, group, noise, scale, innovation_weight[c], powers, group_variance
        )
        value -= _factor_solve(cov, z, lo, hi, m + 1)
        value -= _accumulate(z, lo, hi, cols, at, m, work, precision, rhs)
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
    for c in range(n_corridor):
        lo, hi, at = start[c], start[c + 1], cols_start[c]
        m = cols_start[c + 1] - at
        for k in range(lo, hi):
            for d in range(m):
                z[k, m] -= z[k, d] * coef[cols[at + d]]
        _back_solve(cov, z, lo, hi, m + 1)
        for k in range(lo, hi):
            grad_residual[k] = -z[k, m]
        _invert_factor(cov, lo, hi, inverse)
        _spread(z, lo, hi, cols, at, m, covariance, work, out)
        _block_gradient(z, lo, hi, m, inverse, out)
        grad_own[c] = _chain_rule(
            inverse, out, m, lo, hi, period, group, scale, innovation_weight[c], powers, grad_scale,
            grad_group, grad_noise,
        )  # fmt: skip
    for j in range(n_coef):
        ratio = coef[j] / coef_variance[j]
        shrink = (1.0 - covariance[j, j] / coef_variance[j]) / coef_variance[j]
        grad_coef[j] = 0.5 * (ratio * ratio - shrink)
    return (
        0.5 * value, grad_residual, grad_noise, grad_coef, grad_scale, grad_group, grad_own, coef,
        root,
    )  # fmt: skip
