"""Likelihood of reports of sums, with its derivatives by the logs of the expected figures.

A sum z is a Poisson count around exp(m + e), with m the log of the expected figure and e normal
noise; e is integrated out by quadrature. A net figure is the difference of two such counts, taken
as normal with the mean and variance of that difference.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flowcast.model.totals_rows import Totals

__all__ = [
    "Local",
    "Measure",
    "add_up",
    "count_log_likelihood",
    "differentiate",
    "log_likelihood",
    "net_moments",
    "value_slope",
]

FloatArray = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_LOG_WEIGHTS = np.log(_WEIGHTS) + _NODES**2 / 2.0
_WIDEN = 1.3  # a small count's likelihood has a longer left tail than the curve at its mode
_NEWTON_STEPS = 60
_NEWTON_TOLERANCE = 1e-6
_MIN_VARIANCE = 1e-8
_MOST_VARIANCE = 9.0  # a net figure with more noise says nothing, and its moments overflow
_LEAST_PERSONS = 1e-6  # a net figure of nothing has no variance
_LOG_2PI = float(np.log(2.0 * np.pi))
_MAX_LOG = 40.0  # absurd hyper-parameters give absurd sums, not overflow


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """How sums are counted, at given hyper-parameters.

    Attributes
    ----------
    totals
        The sums.
    variance
        Of the noise of a sum on the log scale.
    poisson
        False for the delta approximation, variance 1 / (value + 1/2).
    """

    totals: Totals
    variance: float
    poisson: bool


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """The log likelihood of all figures around a point, by the log expected figure of each part.

    Attributes
    ----------
    log_part, share
        Log expected figure of each part, and each entry's share in its part, (part,), (entry,).
    value
        Log likelihood of each figure, (total,).
    slope
        Its slope, (part,).
    curvature
        Its second derivatives, (part, part): blocks of one or two parts.
    precision
        Expected or, for sums, observed information, (part, part): never negative.
    """

    log_part: FloatArray
    share: FloatArray
    value: FloatArray
    slope: FloatArray
    curvature: FloatArray
    precision: FloatArray


def count_log_likelihood(
    value: FloatArray, mean: FloatArray, variance: float, *, poisson: bool = True
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the log likelihood of counts around exp(mean + noise), its slope and curvature.

    Parameters
    ----------
    value, mean
        Counts, and logs of what they are expected to be before noise, (count,).
    variance
        Of the normal noise, on the log scale.
    poisson
        False for the delta approximation: log(value + 1/2) is normal.

    Returns
    -------
    value, slope, curvature : ndarray, (count,)
        Of the log likelihood, by `mean`.

    Notes
    -----
    Quadrature by Gauss and Hermite, centred and scaled for each count (Liu & Pierce 1994,
    doi 10.1093/biomet/81.3.624).
    """
    if not poisson:
        own = variance + 1.0 / (value + 0.5)
        gap = np.log(value + 0.5) - mean
        return -0.5 * (gap**2 / own + np.log(own) + _LOG_2PI), gap / own, -1.0 / own
    out = np.empty((3, len(value)))
    _integrate(value, mean, max(variance, _MIN_VARIANCE), _NODES, _LOG_WEIGHTS, out)
    return out[0], out[1], out[2]


@njit(cache=True, nogil=True, error_model="numpy")
def _integrate(
    value: FloatArray, mean: FloatArray, variance: float, nodes: FloatArray,
    log_weights: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill log likelihood, slope and curvature, (3, count)."""
    log_weight = np.empty(len(nodes))
    for k in range(len(value)):
        z, m = value[k], mean[k]
        x = np.log(z + 0.5) if z > 0.0 else min(m, 0.0)
        for _ in range(_NEWTON_STEPS):
            rate = np.exp(x)
            step = (z - rate - (x - m) / variance) / (rate + 1.0 / variance)
            step = min(max(step, -2.0), 2.0)
            x += step
            if abs(step) < _NEWTON_TOLERANCE:
                break
        width = _WIDEN / np.sqrt(np.exp(x) + 1.0 / variance)
        top = -np.inf
        for i in range(len(nodes)):
            at = x + width * nodes[i]
            log_weight[i] = z * at - np.exp(at) + log_weights[i] - (at - m) ** 2 / (2.0 * variance)
            top = max(top, log_weight[i])
        total, first, second = 0.0, 0.0, 0.0
        for i in range(len(nodes)):
            weight, off = np.exp(log_weight[i] - top), width * nodes[i]
            total += weight
            first += weight * off
            second += weight * off * off
        first /= total
        spread = second / total - first * first
        out[0, k] = np.log(total * width) + top - math.lgamma(z + 1.0)
        out[0, k] -= 0.5 * np.log(2.0 * np.pi * variance)
        out[1, k] = (x + first - m) / variance
        out[2, k] = (spread / variance - 1.0) / variance


def net_moments(
    parts: FloatArray, sign: NDArray[np.int64], variance: float
) -> tuple[FloatArray, FloatArray]:
    """Return each part's contribution to the mean and to the variance of a net figure.

    Parameters
    ----------
    parts
        Expected counts before noise, persons, (part,).
    sign
        1 or -1, (part,).
    variance
        Of the noise on the log scale: a part is a Poisson count around its log-normal.
    """
    variance = min(variance, _MOST_VARIANCE)
    shift, inflate = np.exp(0.5 * variance), np.exp(2.0 * variance) - np.exp(variance)
    return sign * shift * parts, inflate * parts**2 + shift * parts


def add_up(totals: Totals, entries: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the log expected figure of each part, and each entry's share in it.

    Parameters
    ----------
    totals
        The sums.
    entries
        Log flows as reporters see them, (entry,) or (entry, draw).

    Returns
    -------
    log_part : (part,) or (part, draw)
    share : (entry,) or (entry, draw)
    """
    start, part = totals.entry_start, totals.entry_part
    top = np.maximum.reduceat(entries, start, axis=0)
    weight = np.exp(entries - top[part])
    total = np.add.reduceat(weight, start, axis=0)
    return np.minimum(np.log(total) + top, _MAX_LOG), weight / total[part]


def _net(measure: Measure, log_part: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean and variance of every figure taken as a difference, and parts' contributions."""
    totals = measure.totals
    sign = totals.part_sign.reshape(-1, *[1] * (log_part.ndim - 1))
    by_part, spread = net_moments(np.exp(log_part), sign, measure.variance)
    mean, variance = (np.add.reduceat(v, totals.part_start, axis=0) for v in (by_part, spread))
    return mean, variance + _LEAST_PERSONS, by_part


def log_likelihood(measure: Measure, entries: FloatArray) -> FloatArray:
    """Return the log likelihood of each figure given the entries.

    Parameters
    ----------
    measure
        How sums are counted.
    entries
        Log flows as reporters see them, (entry, draw).

    Returns
    -------
    ndarray, (total, draw)
    """
    totals, plain = measure.totals, ~measure.totals.net
    log_part, _ = add_up(totals, entries)
    value = np.broadcast_to(totals.value[:, None], (totals.n, entries.shape[1]))
    mean, variance, _ = _net(measure, log_part)
    out = -0.5 * ((value - mean) ** 2 / variance + np.log(variance) + _LOG_2PI)
    log_sum = log_part[totals.part_start[plain]]
    counted = count_log_likelihood(
        value[plain].ravel(), log_sum.ravel(), measure.variance, poisson=measure.poisson
    )
    out[plain] = counted[0].reshape(log_sum.shape)
    return np.asarray(out)


def _by_part(
    measure: Measure, log_part: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return what a net figure's mean and variance are made of.

    Mean and variance (total,); by log persons, the slope of the mean (also its curvature), and
    slope and curvature of the variance, (part,).
    """
    mean, variance, by_part = _net(measure, log_part)
    persons = np.exp(log_part)
    _, spread = net_moments(persons, measure.totals.part_sign, measure.variance)
    # The variance a M^2 + b M has slope 2 a M^2 + b M and curvature 4 a M^2 + b M.
    linear = np.exp(0.5 * min(measure.variance, _MOST_VARIANCE)) * persons
    return mean, variance, by_part, 2.0 * spread - linear, 4.0 * spread - 3.0 * linear


def value_slope(measure: Measure, entries: FloatArray) -> tuple[float, FloatArray]:
    """Return the log likelihood of all figures together, and its slope by entries, (entry,)."""
    totals, owner = measure.totals, measure.totals.part_total
    log_part, share = add_up(totals, entries)
    value, slope = np.zeros(totals.n), np.zeros(len(owner))
    if totals.net.any():
        mean, variance, by_part, rise, _ = _by_part(measure, log_part)
        left = totals.value - mean
        value = -0.5 * (left**2 / variance + np.log(variance) + _LOG_2PI)
        by_variance = 0.5 * (left**2 / variance - 1.0) / variance
        slope = (left / variance)[owner] * by_part + by_variance[owner] * rise
    plain = ~totals.net
    parts = totals.part_start[plain]
    value[plain], slope[parts], _ = count_log_likelihood(
        totals.value[plain], log_part[parts], measure.variance, poisson=measure.poisson
    )
    return float(value.sum()), share * slope[totals.entry_part]


def _pairs(totals: Totals, diagonal: FloatArray, product: FloatArray) -> FloatArray:
    """Return the matrix over parts with this diagonal, and `product` beside it for net figures."""
    out = np.diag(diagonal)
    first = totals.part_start[np.bincount(totals.part_total, minlength=totals.n) == 2]
    out[first, first + 1] = out[first + 1, first] = product[totals.part_total[first]]
    return out


def differentiate(measure: Measure, entries: FloatArray) -> Local:
    """Return the log likelihood and its derivatives.

    Parameters
    ----------
    measure
        How sums are counted.
    entries
        Log flows as reporters see them, (entry,).
    """
    totals, owner = measure.totals, measure.totals.part_total
    log_part, share = add_up(totals, entries)
    mean, variance, by_part, rise, bend = _by_part(measure, log_part)
    left = totals.value - mean
    by_mean, by_variance = left / variance, 0.5 * (left**2 / variance - 1.0) / variance
    value = -0.5 * (left**2 / variance + np.log(variance) + _LOG_2PI)
    slope = by_mean[owner] * by_part + by_variance[owner] * rise

    def quadratic(mm: FloatArray, mv: FloatArray, vv: FloatArray) -> FloatArray:
        m, v = by_part, rise
        own = mm[owner] * m**2 + 2.0 * mv[owner] * m * v + vv[owner] * v**2
        first = totals.part_start
        second = np.minimum(first + 1, len(owner) - 1)
        cross = mm * m[first] * m[second] + vv * v[first] * v[second]
        cross = cross + mv * (m[first] * v[second] + v[first] * m[second])
        return _pairs(totals, own, cross)

    curvature = quadratic(
        -1.0 / variance, -left / variance**2, (0.5 - left**2 / variance) / variance**2
    )
    curvature += np.diag(by_mean[owner] * by_part + by_variance[owner] * bend)
    precision = quadratic(1.0 / variance, np.zeros(totals.n), 0.5 / variance**2)
    plain = ~totals.net
    parts = totals.part_start[plain]
    counted = count_log_likelihood(
        totals.value[plain], log_part[parts], measure.variance, poisson=measure.poisson
    )
    value[plain], slope[parts], curvature[parts, parts] = counted
    precision[parts, parts] = -counted[2]
    return Local(log_part, share, value, slope, curvature, precision)
