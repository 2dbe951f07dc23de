"""The collapsed marginal likelihood in time linear in the number of reports, compiled.

For models whose coefficients act on a corridor through few directions: a constant, an indicator of
each series, and covariates that change over time. (With effects by reporter and period every report
has a direction of its own, and `owned` is used.)

Per corridor, with ``b`` running over these directions and the reports themselves:

1. `_filter`: a Kalman filter over the reports, run for all ``b`` at once, gives the Gram matrix
   ``b' Sigma^-1 b`` and ``log|Sigma|`` of the AR(1) path plus noise (de Jong 1991,
   doi 10.1214/aos/1176348139).
2. `_eliminate`: corridor effect and corridor-by-source effects are rank-one updates of it.
3. `scatter`: what comes out is added to the normal equations of all coefficients.

After one factor of these equations the same steps are run backwards with the slopes (`_reverse_*`):
the filter is repeated rather than stored, so that memory does not grow with the model.

A corridor's directions are ordered: its series, time-varying covariates, the reports.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["backward_pass", "count_columns", "forward_pass", "scatter"]

Array = NDArray[Any]
_HUGE, _TINY = 1e200, 1e-200


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(
    lo: int, hi: int, n_slot: int, n_tv: int, residual: Array, noise: Array, slot: Array,
    period: Array, tv: Array, powers: Array, stationary: float, gram: Array, step: Array,
    after: Array, variance: Array, total: Array, state: Array,
) -> float:  # fmt: skip
    """Filter one corridor; returns log|Sigma|.

    Fills `gram` (direction, direction), and for report k - lo the innovations `step` and the states
    `after` it (report, direction), the predicted `variance` of the state and the innovation
    variance `total`.
    """
    p = n_slot + n_tv + 1
    for a in range(p):
        state[a] = 0.0
        for b in range(a + 1):
            gram[a, b] = 0.0
    at, logdet, product = stationary, 0.0, 1.0
    for k in range(lo, hi):
        i = k - lo
        if k > lo and period[k] != period[k - 1]:
            f = powers[period[k] - period[k - 1]]
            at = f * f * at + stationary * (1.0 - f * f)
            for a in range(p):
                state[a] *= f
        own = at + noise[k]
        inverse = 1.0 / own
        gain = at * inverse
        for a in range(n_slot):
            step[i, a] = -state[a]
        step[i, slot[k]] += 1.0
        for a in range(n_tv):
            step[i, n_slot + a] = tv[k, a] - state[n_slot + a]
        step[i, p - 1] = residual[k] - state[p - 1]
        for a in range(p):
            scaled = step[i, a] * inverse
            for b in range(a + 1):
                gram[a, b] += scaled * step[i, b]
            state[a] += gain * step[i, a]
            after[i, a] = state[a]
        variance[i], total[i] = at, own
        at = gain * noise[k]
        product *= own
        if not (_TINY < product < _HUGE):
            logdet += np.log(product)
            product = 1.0
    for a in range(p):
        for b in range(a):
            gram[b, a] = gram[a, b]
    return float(logdet + np.log(product))


@njit(cache=True, nogil=True, error_model="numpy")
def _eliminate(
    n_slot: int, p: int, corridor_variance: float, series: Array, group_variance: Array,
    gram: Array, pull: Array, curvature: Array,
) -> float:  # fmt: skip
    """Add the corridor effect and the corridor-by-source effects to the covariance.

    Update j = 0 is the corridor effect (direction: the sum of all series), j = 1, 2, ... that of
    series j - 1. Keeps ``pull[j] = gram b`` and ``curvature[j] = b' gram b`` before the update.
    Returns what they add to the log determinant.
    """
    logdet = 0.0
    for j in range(n_slot + 1):
        variance = corridor_variance if j == 0 else group_variance[series[j - 1]]
        for a in range(p):
            if j == 0:
                pull[0, a] = 0.0
                for s in range(n_slot):
                    pull[0, a] += gram[s, a]
            else:
                pull[j, a] = gram[j - 1, a]
        beta = pull[j, j - 1]
        if j == 0:
            beta = 0.0
            for s in range(n_slot):
                beta += pull[0, s]
        curvature[j] = beta
        scaled = variance / (1.0 + variance * beta)
        logdet += np.log1p(variance * beta)
        for a in range(p):
            for b in range(p):
                gram[a, b] -= scaled * pull[j, a] * pull[j, b]
    return logdet


@njit(cache=True, nogil=True, error_model="numpy")
def scatter(
    gram: Array, n_slot: int, n_tv: int, constant: Array, constant_col: Array, slot_col: Array,
    tv_col: Array, total: Array, precision: Array, rhs: Array,
) -> float:  # fmt: skip
    """Add one corridor to the normal equations (lower triangle); returns r' S^-1 r."""
    p = n_slot + n_tv + 1
    n_const = constant.shape[0]
    for a in range(p):
        total[a] = 0.0
        for s in range(n_slot):
            total[a] += gram[s, a]
    both = 0.0
    for s in range(n_slot):
        both += total[s]
    for a in range(n_const):
        i, value = constant_col[a], constant[a]
        rhs[i] += value * total[p - 1]
        for b in range(a + 1):
            j = constant_col[b]
            precision[max(i, j), min(i, j)] += value * constant[b] * both
        for s in range(n_slot):
            j = slot_col[s]
            if j >= 0:
                precision[max(i, j), min(i, j)] += value * total[s]
        for q in range(n_tv):
            j = tv_col[q]
            precision[max(i, j), min(i, j)] += value * total[n_slot + q]
    for s in range(n_slot):
        i = slot_col[s]
        if i < 0:
            continue
        rhs[i] += gram[s, p - 1]
        for r in range(s + 1):
            j = slot_col[r]
            precision[max(i, j), min(i, j)] += gram[s, r]
        for q in range(n_tv):
            j = tv_col[q]
            precision[max(i, j), min(i, j)] += gram[s, n_slot + q]
    for q in range(n_tv):
        i = tv_col[q]
        rhs[i] += gram[n_slot + q, p - 1]
        for r in range(q + 1):
            j = tv_col[r]
            precision[max(i, j), min(i, j)] += gram[n_slot + q, n_slot + r]
    return float(gram[p - 1, p - 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _slopes(
    n_slot: int, n_tv: int, constant: Array, constant_col: Array, slot_col: Array, tv_col: Array,
    coef: Array, covariance: Array, explained: Array, slope: Array,
) -> None:  # fmt: skip
    """Fill `slope` with d log p / d gram: -1/2 (rho rho' + M cov M'), rho = r - M coef."""
    p = n_slot + n_tv + 1
    n_const = constant.shape[0]
    level, both = 0.0, 0.0
    for a in range(n_const):
        i = constant_col[a]
        level += constant[a] * coef[i]
        for b in range(n_const):
            both += constant[a] * constant[b] * covariance[i, constant_col[b]]
    for s in range(n_slot):
        i = slot_col[s]
        explained[s] = -level - (coef[i] if i >= 0 else 0.0)
    for q in range(n_tv):
        explained[n_slot + q] = -coef[tv_col[q]]
    explained[p - 1] = 1.0
    for a in range(p):
        for b in range(a + 1):
            slope[a, b] = explained[a] * explained[b]
    for s in range(n_slot):
        i = slot_col[s]
        cross = 0.0
        if i >= 0:
            for a in range(n_const):
                cross += constant[a] * covariance[i, constant_col[a]]
        for r in range(n_slot):  # the cross term of s enters row and column s
            value = cross + (both if r <= s else 0.0)
            if r <= s and i >= 0 and slot_col[r] >= 0:
                value += covariance[i, slot_col[r]]
            slope[max(s, r), min(s, r)] += value + (cross if r == s else 0.0)
    for q in range(n_tv):
        i = tv_col[q]
        cross = 0.0
        for a in range(n_const):
            cross += constant[a] * covariance[i, constant_col[a]]
        for s in range(n_slot):
            j = slot_col[s]
            slope[n_slot + q, s] += cross + (covariance[i, j] if j >= 0 else 0.0)
        for r in range(q + 1):
            slope[n_slot + q, n_slot + r] += covariance[i, tv_col[r]]
    for a in range(p):
        for b in range(a + 1):
            slope[a, b] *= -0.5
            slope[b, a] = slope[a, b]


@njit(cache=True, nogil=True, error_model="numpy")
def _reverse_eliminate(
    n_slot: int, p: int, corridor_variance: float, series: Array, group_variance: Array,
    pull: Array, curvature: Array, slope: Array, work: Array, grad_group: Array,
) -> float:  # fmt: skip
    """Carry the slopes back through `_eliminate`; returns that by the corridor variance."""
    by_corridor = 0.0
    for j in range(n_slot, -1, -1):
        variance = corridor_variance if j == 0 else group_variance[series[j - 1]]
        beta = curvature[j]
        shrink = 1.0 + variance * beta
        scaled = variance / shrink
        quadratic = 0.0
        for a in range(p):
            work[a] = 0.0
            for b in range(p):
                work[a] += slope[a, b] * pull[j, b]
            quadratic += pull[j, a] * work[a]
        own = -quadratic / (shrink * shrink) - 0.5 * beta / shrink
        corner = scaled * scaled * quadratic - 0.5 * scaled
        first, last = (0, n_slot) if j == 0 else (j - 1, j)
        for s in range(first, last):
            for a in range(p):
                slope[s, a] -= scaled * work[a]
                slope[a, s] -= scaled * work[a]
            for r in range(first, last):
                slope[s, r] += corner
        if j == 0:
            by_corridor = own
        else:
            grad_group[series[j - 1]] += own
    return by_corridor


@njit(cache=True, nogil=True, error_model="numpy")
def _reverse_filter(
    lo: int, hi: int, p: int, noise: Array, period: Array, powers: Array, stationary: float,
    step: Array, variance: Array, total: Array, slope: Array, after: Array, by_state: Array,
    grad_residual: Array, grad_noise: Array,
) -> tuple[float, float]:  # fmt: skip
    """Carry the slopes back through `_filter`; returns those by stationary variance and phi.

    The last direction is the reports: its slope is that by `residual`.
    """
    for a in range(p):
        by_state[a] = 0.0
    by_variance, by_stationary, by_phi = 0.0, 0.0, 0.0
    for k in range(hi - 1, lo - 1, -1):
        i = k - lo
        inverse = 1.0 / total[i]
        gain = variance[i] * inverse
        quadratic, by_gain, last = 0.0, 0.0, 0.0
        for a in range(p):
            own = 0.0
            for b in range(p):
                own += slope[a, b] * step[i, b]
            quadratic += own * step[i, a]
            by_gain += by_state[a] * step[i, a]
            last = 2.0 * inverse * own + gain * by_state[a]
            by_state[a] -= last
        by_total = (-quadratic * inverse - 0.5) * inverse - by_gain * gain * inverse
        by_total += by_variance * gain * gain
        grad_residual[k] = last
        grad_noise[k] = by_total
        by_variance = by_variance * (1.0 - 2.0 * gain) + by_gain * inverse + by_total
        if i > 0 and period[k] != period[k - 1]:
            gap = period[k] - period[k - 1]
            f = powers[gap]
            before = variance[i - 1] * noise[k - 1] / total[i - 1]
            by_f = 2.0 * f * by_variance * (before - stationary)
            by_stationary += by_variance * (1.0 - f * f)
            for a in range(p):
                by_f += by_state[a] * after[i - 1, a]
                by_state[a] *= f
            by_phi += gap * powers[gap - 1] * by_f
            by_variance *= f * f
    return by_stationary + by_variance, by_phi


@njit(cache=True, nogil=True)
def count_columns(tv_col: Array) -> int:
    """Return how many columns a corridor has; -1 stands behind the last."""
    n = 0
    while n < tv_col.shape[0] and tv_col[n] >= 0:
        n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def forward_pass(
    first: int, last: int, residual: Array, noise: Array, scale: Array, group_variance: Array,
    period: Array, slot: Array, start: Array, tv: Array, constant: Array, constant_col: Array,
    series: Array, slot_col: Array, n_slot: Array, tv_col: Array, own_col: Array, weight: Array,
    powers: Array, precision: Array, rhs: Array,
) -> float:  # fmt: skip
    """Add corridors first:last to the normal equations; returns r' S^-1 r + log|S|."""
    most = np.max(start[first + 1 : last + 1] - start[first:last])
    width = series.shape[1] + tv_col.shape[1] + 1
    gram = np.empty((width, width))
    step, after = np.empty((most, width)), np.empty((most, width))
    variance, total = np.empty(most), np.empty(most)
    pull, curvature = np.empty((width, width)), np.empty(width)
    state = np.empty(width)
    one_minus = 1.0 - scale[2] * scale[2]
    value = 0.0
    for c in range(first, last):
        n, n_tv = n_slot[c], count_columns(tv_col[c])
        p = n + n_tv + 1
        value += _filter(
            start[c], start[c + 1], n, n_tv, residual, noise, slot, period, tv, powers,
            scale[1] / weight[c] / one_minus, gram, step, after, variance, total, state,
        )  # fmt: skip
        value += _eliminate(n, p, scale[0], series[c], group_variance, gram, pull, curvature)
        value += scatter(
            gram,
            n,
            n_tv,
            constant[c],
            constant_col[c],
            slot_col[c],
            tv_col[c],
            state,
            precision,
            rhs,
        )
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def backward_pass(
    first: int, last: int, residual: Array, noise: Array, scale: Array, group_variance: Array,
    period: Array, slot: Array, start: Array, tv: Array, constant: Array, constant_col: Array,
    series: Array, slot_col: Array, n_slot: Array, tv_col: Array, own_col: Array, weight: Array,
    powers: Array, coef: Array, covariance: Array, grad_residual: Array, grad_noise: Array,
    grad_scale: Array, grad_group: Array, grad_own: Array,
) -> None:  # fmt: skip
    """Fill the gradients of corridors first:last; `grad_scale` and `grad_group` are added to."""
    most = np.max(start[first + 1 : last + 1] - start[first:last])
    width = series.shape[1] + tv_col.shape[1] + 1
    gram = np.empty((width, width))
    step, after = np.empty((most, width)), np.empty((most, width))
    variance, total = np.empty(most), np.empty(most)
    pull, curvature = np.empty((width, width)), np.empty(width)
    state, work, slope = np.empty(width), np.empty(width), np.empty((width, width))
    one_minus = 1.0 - scale[2] * scale[2]
    for c in range(first, last):
        n, n_tv = n_slot[c], count_columns(tv_col[c])
        p = n + n_tv + 1
        lo, hi, own = start[c], start[c + 1], scale[1] / weight[c]
        stationary = own / one_minus
        _filter(
            lo, hi, n, n_tv, residual, noise, slot, period, tv, powers, stationary, gram, step,
            after, variance, total, state,
        )  # fmt: skip
        _eliminate(n, p, scale[0], series[c], group_variance, gram, pull, curvature)
        _slopes(
            n, n_tv, constant[c], constant_col[c], slot_col[c], tv_col[c], coef, covariance, work,
            slope,
        )  # fmt: skip
        grad_scale[0] += _reverse_eliminate(
            n, p, scale[0], series[c], group_variance, pull, curvature, slope, work, grad_group
        )
        by_stationary, by_phi = _reverse_filter(
            lo, hi, p, noise, period, powers, stationary, step, variance, total, slope, after, work,
            grad_residual, grad_noise,
        )  # fmt: skip
        grad_own[c] = by_stationary / one_minus
        grad_scale[1] += grad_own[c] / weight[c]
        grad_scale[2] += by_phi + by_stationary * stationary * 2.0 * scale[2] / one_minus
