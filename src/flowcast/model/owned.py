"""The collapsed likelihood where every report has a coefficient of its own: reporter by period.

Then a corridor's coefficients reach its reports in as many directions as there are reports, the
recursion gains nothing, and the inverse covariance of the corridor's reports is formed outright:
work grows with the cube of the reports of a corridor, which are few tens at most. What is constant
over a corridor, its series and time-varying covariates are still handled once a corridor, as in
`recursion`, whose arguments these passes share.

With ``W = S^-1``, ``a = W (r - X coef)`` and ``C = X cov X'``, where ``cov`` is the posterior
covariance of the coefficients: d log p / dS = (a a' + W C W - W) / 2.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flowcast.model.recursion import count_columns, scatter

__all__ = ["owned_backward", "owned_forward"]

Array = NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def _invert_covariance(
    lo: int, hi: int, period: Array, slot: Array, series: Array, noise: Array, scale: Array,
    weight: float, powers: Array, group_variance: Array, work: Array, inverse: Array,
) -> float:  # fmt: skip
    """Fill `inverse` with that of a corridor's report covariance; returns its log determinant."""
    n = hi - lo
    stationary = scale[1] / weight / (1.0 - scale[2] * scale[2])
    logdet = 0.0
    for k in range(n):
        for j in range(k + 1):
            value = scale[0] + stationary * powers[abs(period[lo + k] - period[lo + j])]
            if slot[lo + k] == slot[lo + j]:
                value += group_variance[series[slot[lo + k]]]
            if j == k:
                value += noise[lo + k]
            for i in range(j):
                value -= work[k, i] * work[j, i]
            work[k, j] = np.sqrt(value) if j == k else value / work[j, j]
        logdet += 2.0 * np.log(work[k, k])
    # The inverse factor, transposed, goes above the diagonal of `inverse`: [c, k] for c <= k.
    for k in range(n):
        pivot = 1.0 / work[k, k]
        inverse[k, k] = pivot
        for c in range(k):
            total = 0.0
            for i in range(c, k):
                total -= work[k, i] * inverse[c, i]
            inverse[c, k] = total * pivot
    for c in range(n):
        for d in range(c, n):
            total = 0.0
            for k in range(d, n):
                total += inverse[c, k] * inverse[d, k]
            inverse[c, d] = total  # entries [c, k < d] are read no more
    for c in range(n):
        for d in range(c):
            inverse[c, d] = inverse[d, c]
    return logdet


@njit(cache=True, nogil=True, error_model="numpy")
def _reduce(
    lo: int, hi: int, n_slot: int, n_tv: int, residual: Array, slot: Array, tv: Array,
    inverse: Array, cross: Array, gram: Array,
) -> None:  # fmt: skip
    """Fill `cross` = W D (report, direction) and `gram` = D' W D, directions as in `recursion`."""
    n, p = hi - lo, n_slot + n_tv + 1
    for k in range(n):
        for a in range(p):
            cross[k, a] = 0.0
        for j in range(n):
            w = inverse[k, j]
            cross[k, slot[lo + j]] += w
            for a in range(n_tv):
                cross[k, n_slot + a] += w * tv[lo + j, a]
            cross[k, p - 1] += w * residual[lo + j]
    for a in range(p):
        for b in range(p):
            gram[a, b] = 0.0
    for k in range(n):
        for b in range(p):
            gram[slot[lo + k], b] += cross[k, b]
            for a in range(n_tv):
                gram[n_slot + a, b] += tv[lo + k, a] * cross[k, b]
            gram[p - 1, b] += residual[lo + k] * cross[k, b]


@njit(cache=True, nogil=True, error_model="numpy")
def _scatter_owned(
    lo: int, hi: int, n_slot: int, n_tv: int, constant: Array, constant_col: Array,
    slot_col: Array, tv_col: Array, own_col: Array, inverse: Array, cross: Array,
    precision: Array, rhs: Array,
) -> None:  # fmt: skip
    """Add the rows of the reports' own coefficients to the normal equations (lower triangle)."""
    for k in range(hi - lo):
        i = own_col[lo + k]
        rhs[i] += cross[k, n_slot + n_tv]
        total = 0.0
        for s in range(n_slot):
            total += cross[k, s]
            j = slot_col[s]
            if j >= 0:
                precision[max(i, j), min(i, j)] += cross[k, s]
        for a in range(constant.shape[0]):
            j = constant_col[a]
            precision[max(i, j), min(i, j)] += constant[a] * total
        for q in range(n_tv):
            j = tv_col[q]
            precision[max(i, j), min(i, j)] += cross[k, n_slot + q]
        for r in range(k + 1):
            j = own_col[lo + r]
            precision[max(i, j), min(i, j)] += inverse[k, r]


@njit(cache=True, nogil=True, error_model="numpy")
def _explained(
    lo: int, hi: int, n_slot: int, n_tv: int, residual: Array, slot: Array, tv: Array,
    constant: Array, constant_col: Array, slot_col: Array, tv_col: Array, own_col: Array,
    coef: Array, covariance: Array, piece: Array, shared: Array, mixed: Array, weights: Array,
    rho: Array, out: Array,
) -> None:  # fmt: skip
    """Fill `rho` with r - X coef and `out` with rho rho' + X cov X'.

    A report is made of pieces that the corridor shares (its level, its series, time-varying
    covariates; `weights` says how much of each) and of its own coefficient. `shared` is the
    covariance among the shared pieces, `mixed` that between own coefficients and these.
    """
    n, m = hi - lo, 1 + n_slot + n_tv
    n_const = constant.shape[0]
    level = 0.0
    piece[0] = -1
    for s in range(n_slot):
        piece[1 + s] = slot_col[s]
    for q in range(n_tv):
        piece[1 + n_slot + q] = tv_col[q]
    shared[0, 0] = 0.0
    for a in range(n_const):
        level += constant[a] * coef[constant_col[a]]
        for b in range(n_const):
            shared[0, 0] += constant[a] * constant[b] * covariance[constant_col[a], constant_col[b]]
    for x in range(1, m):
        i = piece[x]
        total = 0.0
        for a in range(n_const):
            total += constant[a] * covariance[i, constant_col[a]] if i >= 0 else 0.0
        shared[0, x] = shared[x, 0] = total
        for y in range(1, x + 1):
            j = piece[y]
            shared[x, y] = shared[y, x] = covariance[i, j] if i >= 0 and j >= 0 else 0.0
    for k in range(n):
        i = own_col[lo + k]
        total = 0.0
        for a in range(n_const):
            total += constant[a] * covariance[i, constant_col[a]]
        mixed[k, 0] = total
        for x in range(1, m):
            mixed[k, x] = covariance[i, piece[x]] if piece[x] >= 0 else 0.0
        fit = level + coef[i]
        for x in range(1, m):
            weights[k, x] = 0.0
        weights[k, 0] = 1.0
        weights[k, 1 + slot[lo + k]] = 1.0
        for q in range(n_tv):
            weights[k, 1 + n_slot + q] = tv[lo + k, q]
        for x in range(1, m):
            if piece[x] >= 0:
                fit += weights[k, x] * coef[piece[x]]
        rho[k] = residual[lo + k] - fit
    for k in range(n):
        for j in range(k + 1):
            value = rho[k] * rho[j] + covariance[own_col[lo + k], own_col[lo + j]]
            for x in range(m):
                value += weights[j, x] * mixed[k, x] + weights[k, x] * mixed[j, x]
            out[k, j] = value
    for k in range(n):  # weights' shared'weights, one report at a time
        for x in range(m):
            total = 0.0
            for y in range(m):
                total += weights[k, y] * shared[y, x]
            mixed[k, x] = total
    for k in range(n):
        for j in range(k + 1):
            value = out[k, j]
            for x in range(m):
                value += mixed[k, x] * weights[j, x]
            out[k, j] = out[j, k] = value


@njit(cache=True, nogil=True, error_model="numpy")
def owned_forward(
    first: int, last: int, residual: Array, noise: Array, scale: Array, group_variance: Array,
    period: Array, slot: Array, start: Array, tv: Array, constant: Array, constant_col: Array,
    series: Array, slot_col: Array, n_slot: Array, tv_col: Array, own_col: Array, weight: Array,
    powers: Array, precision: Array, rhs: Array,
) -> float:  # fmt: skip
    """Add corridors first:last to the normal equations; returns r' S^-1 r + log|S|."""
    most = np.max(start[first + 1 : last + 1] - start[first:last])
    width = series.shape[1] + tv_col.shape[1] + 1
    work, inverse = np.empty((most, most)), np.empty((most, most))
    cross, gram, total = np.empty((most, width)), np.empty((width, width)), np.empty(width)
    value = 0.0
    for c in range(first, last):
        lo, hi, n, n_tv = start[c], start[c + 1], n_slot[c], count_columns(tv_col[c])
        value += _invert_covariance(
            lo, hi, period, slot, series[c], noise, scale, weight[c], powers, group_variance, work,
            inverse,
        )  # fmt: skip
        _reduce(lo, hi, n, n_tv, residual, slot, tv, inverse, cross, gram)
        value += scatter(
            gram,
            n,
            n_tv,
            constant[c],
            constant_col[c],
            slot_col[c],
            tv_col[c],
            total,
            precision,
            rhs,
        )
        _scatter_owned(
            lo, hi, n, n_tv, constant[c], constant_col[c], slot_col[c], tv_col[c], own_col, inverse,
            cross, precision, rhs,
        )  # fmt: skip
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def _sandwich(n: int, inverse: Array, middle: Array, work: Array) -> None:
    """Turn `middle` (symmetric) into (W middle W - W) / 2, lower triangle."""
    for k in range(n):
        for j in range(n):
            work[k, j] = 0.0
        for i in range(n):
            w = inverse[k, i]
            for j in range(n):
                work[k, j] += w * middle[i, j]
    for k in range(n):
        for j in range(k + 1):
            total = -inverse[k, j]
            for i in range(n):
                total += work[k, i] * inverse[j, i]
            middle[k, j] = 0.5 * total


@njit(cache=True, nogil=True, error_model="numpy")
def owned_backward(
    first: int, last: int, residual: Array, noise: Array, scale: Array, group_variance: Array,
    period: Array, slot: Array, start: Array, tv: Array, constant: Array, constant_col: Array,
    series: Array, slot_col: Array, n_slot: Array, tv_col: Array, own_col: Array, weight: Array,
    powers: Array, coef: Array, covariance: Array, grad_residual: Array, grad_noise: Array,
    grad_scale: Array, grad_group: Array, grad_own: Array,
) -> None:  # fmt: skip
    """Fill the gradients of corridors first:last; `grad_scale` and `grad_group` are added to."""
    most = np.max(start[first + 1 : last + 1] - start[first:last])
    width = series.shape[1] + tv_col.shape[1] + 1
    work, inverse, slope = np.empty((most, most)), np.empty((most, most)), np.empty((most, most))
    mixed, weights, rho = np.empty((most, width)), np.empty((most, width)), np.empty(most)
    shared, piece = np.empty((width, width)), np.empty(width, dtype=np.int64)
    one_minus = 1.0 - scale[2] * scale[2]
    for c in range(first, last):
        lo, hi, n_tv = start[c], start[c + 1], count_columns(tv_col[c])
        _invert_covariance(
            lo, hi, period, slot, series[c], noise, scale, weight[c], powers, group_variance, work,
            inverse,
        )  # fmt: skip
        _explained(
            lo, hi, n_slot[c], n_tv, residual, slot, tv, constant[c], constant_col[c], slot_col[c],
            tv_col[c], own_col, coef, covariance, piece, shared, mixed, weights, rho, slope,
        )  # fmt: skip
        _sandwich(hi - lo, inverse, slope, work)
        own = 0.0
        for k in range(hi - lo):
            pull = 0.0
            for j in range(hi - lo):
                pull += inverse[k, j] * rho[j]
            grad_residual[lo + k] = -pull
            grad_noise[lo + k] = slope[k, k]
            for j in range(k + 1):
                g = slope[k, j] if k == j else 2.0 * slope[k, j]
                gap = abs(period[lo + k] - period[lo + j])
                by_phi = 2.0 * scale[2] * powers[gap] / (one_minus * one_minus)
                if gap > 0:
                    by_phi += gap * powers[gap - 1] / one_minus
                grad_scale[0] += g
                own += g * powers[gap] / one_minus
                grad_scale[2] += g * scale[1] / weight[c] * by_phi
                if slot[lo + k] == slot[lo + j]:
                    grad_group[series[c, slot[lo + k]]] += g
        grad_own[c] = own
        grad_scale[1] += own / weight[c]
