"""Corridor effects, corridor-by-source effects and paths drawn given their reports, compiled.

Given the coefficients, corridors are independent of one another. A corridor's reports, less what
the coefficients explain, are::

    r_k = u + v_g(k) + e_t(k) + noise_k,    noise_k ~ N(0, d_k)

with a corridor effect u, an effect v of each series (source and side), and an AR(1) path e. The
Kalman filter of the path is run once for the reports and once for the indicator of each series, at
the same gains; it is linear, so that the filter of any r - u - v is a combination of these. With B
the indicators and r side by side and Sigma the covariance of e + noise, the filter's innovations
give G = B' Sigma^-1 B. So, exactly:

1. u and v from their joint normal given r, the path integrated out (precision C^-1 + G);
2. e given u and v by sampling backwards over the periods (Carter & Kohn 1994, doi
   10.1093/biomet/81.3.541; Fruehwirth-Schnatter 1994, doi 10.1111/j.1467-9892.1994.tb00184.x).

The work grows with the number of reports plus the number of periods, not with its cube. Random
numbers come in as standard normals, so that a draw does not depend on how the work is shared out.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["condition_paths", "series_products"]

Array = NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def _update(
    residual: float, noise: float, own: int, size: int, variance: float, state: Array,
    products: Array, gap: Array,
) -> float:  # fmt: skip
    """Take one report in: improve the filter's means, add to the products; return the variance."""
    gap[0] = residual - state[0]
    for b in range(1, size):
        gap[b] = -state[b]
    gap[own] += 1.0
    scale = 1.0 / (variance + noise)
    gain = variance * scale
    for b in range(size):
        for a in range(b + 1):
            products[b, a] += scale * gap[b] * gap[a]
        state[b] += gain * gap[b]
    return variance * noise * scale


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(
    lo: int, hi: int, residual: Array, noise: Array, period: Array, group: Array, phi: float,
    innovation: float, column: Array, means: Array, variances: Array, products: Array, gap: Array,
) -> int:  # fmt: skip
    """Run the filter over one corridor; returns the number of basis vectors.

    Basis vector 0 is the reports, the others the indicators of the series in order of appearance:
    `column` has the basis vector of each group (last entry: no group), 0 where it does not occur.
    Filtered means (period, basis vector) and variances (period,) are filled, and the lower
    triangle of `products` is B' Sigma^-1 B.
    """
    column[:] = 0
    size = 1
    for k in range(lo, hi):
        if column[group[k]] == 0:
            column[group[k]] = size
            size += 1
    products[:size, :size] = 0.0
    variance = innovation / (1.0 - phi * phi) if innovation > 0.0 else 0.0
    k = lo
    for t in range(means.shape[0]):
        if t == 0:
            means[0, :size] = 0.0
        else:
            for b in range(size):
                means[t, b] = phi * means[t - 1, b]
            variance = phi * phi * variance + innovation
        while k < hi and period[k] == t:
            variance = _update(
                residual[k], noise[k], column[group[k]], size, variance, means[t], products, gap
            )
            k += 1
        variances[t] = variance
    return size


@njit(cache=True, nogil=True, error_model="numpy")
def _static_products(size: int, products: Array, precision: Array, pull: Array) -> None:
    """Turn products of reports and indicators into those of u (entry 0) and the series' v.

    u is in every report: its indicator is the sum of the others.
    """
    precision[0, 0] = 0.0
    pull[0] = 0.0
    for b in range(1, size):
        pull[b] = products[b, 0]
        pull[0] += pull[b]
        precision[b, 0] = 0.0
        for a in range(1, size):
            value = products[max(a, b), min(a, b)]
            precision[b, 0] += value
            precision[b, a] = value
        precision[0, 0] += precision[b, 0]


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_static(size: int, precision: Array, pull: Array, sd: Array, normal: Array) -> None:
    """Replace `pull` by a draw of u and v, given what the reports say of them.

    With prior covariance C = LL', L = diag(sd), the posterior is L times a normal of precision
    A = I + L G L: an sd of zero gives an effect of zero. `precision` is G, and ends as A's factor.
    """
    for b in range(size):
        pull[b] *= sd[b]
        for a in range(b + 1):
            total = precision[b, a] * sd[a] * sd[b]
            for i in range(a):
                total -= precision[b, i] * precision[a, i]
            precision[b, a] = np.sqrt(1.0 + total) if a == b else total / precision[a, a]
        for a in range(b):
            pull[b] -= precision[b, a] * pull[a]
        pull[b] /= precision[b, b]
    for b in range(size - 1, -1, -1):
        pull[b] += normal[b]
        for a in range(b + 1, size):
            pull[b] -= precision[a, b] * pull[a]
        pull[b] /= precision[b, b]
    for b in range(size):
        pull[b] *= sd[b]


@njit(cache=True, nogil=True, error_model="numpy")
def _sample_back(
    size: int, means: Array, variances: Array, effect: Array, phi: float, innovation: float,
    path: Array,
) -> None:  # fmt: skip
    """Replace the standard normals in `path` (period,) by a draw of the path given u and v."""
    n_period = path.shape[0]
    for t in range(n_period - 1, -1, -1):
        mean = means[t, 0]
        for b in range(1, size):
            mean -= (effect[0] + effect[b]) * means[t, b]
        variance = variances[t]
        if t < n_period - 1:
            scale = 1.0 / (phi * phi * variance + innovation)
            mean += variance * phi * scale * (path[t + 1] - phi * mean)
            variance *= innovation * scale
        path[t] = mean + np.sqrt(variance) * path[t]


@njit(cache=True, nogil=True, error_model="numpy")
def condition_paths(
    effect: Array, series: Array, path: Array, residual: Array, noise: Array, period: Array,
    group: Array, start: Array, scale: Array, group_variance: Array, innovation_weight: Array,
) -> None:  # fmt: skip
    """Replace standard normals by exact draws of effects and paths given the reports.

    Parameters
    ----------
    effect : (n_corridor,)
        In: standard normals. Out: corridor effects u.
    series : (n_corridor, n_group)
        In: standard normals. Out: corridor-by-source effects v; those without a report from their
        prior.
    path : (n_corridor, n_period)
        In: standard normals. Out: AR(1) paths e; zeros where `scale[1]` is 0.
    residual, noise : (n_report,)
        Report less all that is known, and noise variance; reports sorted by corridor, then period.
    period, group : (n_report,) int64
        Period of a report, and its source-and-side group (-1: none).
    start : (n_corridor + 1,) int64
        Where each corridor's reports begin; a corridor without any is drawn from its prior.
    scale : (3,)
        Corridor variance, innovation variance, AR(1) coefficient.
    group_variance : (n_group,)
        Variance of v by group.
    innovation_weight : (n_corridor,)
        The innovation variance of a corridor is `scale[1]` over its weight.
    """
    n_corridor, n_group, n_period = len(effect), len(group_variance), path.shape[1]
    size = n_group + 2
    means, variances = np.empty((n_period, size)), np.empty(n_period)
    products, precision = np.empty((size, size)), np.empty((size, size))
    gap, sd, normal, drawn = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    column = np.empty(n_group + 1, np.int64)
    group_sd, phi = np.sqrt(group_variance), scale[2]
    for c in range(n_corridor):
        innovation = scale[1] / innovation_weight[c]
        n = _filter(
            start[c], start[c + 1], residual, noise, period, group, phi, innovation, column, means,
            variances, products, gap,
        )  # fmt: skip
        sd[0], normal[0] = np.sqrt(scale[0]), effect[c]
        sd[1:n] = 0.0
        normal[1:n] = 0.0
        for g in range(n_group):
            if column[g] > 0:
                sd[column[g]], normal[column[g]] = group_sd[g], series[c, g]
        _static_products(n, products, precision, drawn)
        _draw_static(n, precision, drawn, sd, normal)
        effect[c] = drawn[0]
        for g in range(n_group):
            series[c, g] = drawn[column[g]] if column[g] > 0 else group_sd[g] * series[c, g]
        if innovation > 0.0:
            _sample_back(n, means, variances, drawn, phi, innovation, path[c])
        else:
            path[c] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def series_products(
    residual: Array, noise: Array, period: Array, group: Array, scale: Array, n_group: int,
    n_period: int,
) -> tuple[Array, Array]:  # fmt: skip
    """Return B' Sigma^-1 B of one corridor's reports, and the basis vector of each group.

    B is the reports beside the indicators of their groups, in order of appearance; the last entry
    of the second array is that of reports without a group, and 0 says that a group does not occur.
    Arguments are those of `condition_paths`, for one corridor.
    """
    size = n_group + 2
    means, variances = np.empty((n_period, size)), np.empty(n_period)
    products, column = np.empty((size, size)), np.empty(n_group + 1, np.int64)
    n = _filter(
        0, len(residual), residual, noise, period, group, scale[2], scale[1], column, means,
        variances, products, np.empty(size),
    )  # fmt: skip
    out = products[:n, :n].copy()
    for b in range(n):
        for a in range(b):
            out[a, b] = out[b, a]
    return out, column
