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
    "value_slope",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_LOG_WEIGHTS = np.log(_WEIGHTS) + _NODES**2 / 2.0
_WIDEN = 1.3  # a small count's likelihood has a longer left tail than the curve at its mode
_NEWTON_STEPS = 60
_NEWTON_TOLERANCE = 1e-6
_MIN_VARIANCE = 1e-8
_MOST_VARIANCE = 9.0  # a net figure with more noise says nothing, and its moments overflow
_LEAST_PERSONS = 1e-6  # a net figure of nothing has no variance
_LOG_2PI = float(np.log(2.0 * np.pi))
_MAX_LOG = 40.0  # absurd hyper-parameters and overshooting steps give absurd sums, not overflow


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """How sums are counted, at given hyper-parameters.

    Attributes
    ----------
    totals
        The sums.
    variance
        Of the noise of each sum on the log scale, (total,).
    poisson
        False for the delta approximation, variance 1 / (value + 1/2).
    """

    totals: Totals
    variance: FloatArray
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
    curvature, information
        Its second derivatives, and the expected or, for sums, observed information: never
        negative. The diagonal, (part,), and between the two parts of a net figure, (total,).
    """

    log_part: FloatArray
    share: FloatArray
    value: FloatArray
    slope: FloatArray
    curvature: tuple[FloatArray, FloatArray]
    information: tuple[FloatArray, FloatArray]


@njit(cache=True, nogil=True, error_model="numpy")
def _count(
    z: float, m: float, variance: float, poisson: bool, nodes: FloatArray, log_weights: FloatArray
) -> tuple[float, float, float]:
    """Return log likelihood, slope and curvature of one count."""
    if not poisson:
        own, gap = variance + 1.0 / (z + 0.5), np.log(z + 0.5) - m
        return -0.5 * (gap**2 / own + np.log(own) + _LOG_2PI), gap / own, -1.0 / own
    variance = max(variance, _MIN_VARIANCE)
    x = np.log(z + 0.5) if z > 0.0 else min(m, 0.0)
    for _ in range(_NEWTON_STEPS):
        rate = np.exp(x)
        step = (z - rate - (x - m) / variance) / (rate + 1.0 / variance)
        step = min(max(step, -2.0), 2.0)
        x += step
        if abs(step) < _NEWTON_TOLERANCE:
            break
    width = _WIDEN / np.sqrt(np.exp(x) + 1.0 / variance)
    top = z * x - np.exp(x) - (x - m) ** 2 / (2.0 * variance)
    total, first, second = 0.0, 0.0, 0.0
    for i in range(len(nodes)):
        off = width * nodes[i]
        at = x + off
        height = z * at - np.exp(at) - (at - m) ** 2 / (2.0 * variance)
        weight = np.exp(height + log_weights[i] - top)
        total += weight
        first += weight * off
        second += weight * off * off
    first /= total
    spread = second / total - first * first
    value = np.log(total * width) + top - math.lgamma(z + 1.0)
    value -= 0.5 * np.log(2.0 * np.pi * variance)
    return value, (x + first - m) / variance, (spread / variance - 1.0) / variance


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
    pairs = zip(value, mean, strict=True)
    rows = [_count(z, m, variance, poisson, _NODES, _LOG_WEIGHTS) for z, m in pairs]
    value, slope, curvature = np.array(rows).reshape(-1, 3).T
    return value, slope, curvature


@njit(cache=True, nogil=True, error_model="numpy")
def _net(
    z: float, parts: FloatArray, sign: IntArray, variance: float, out: FloatArray
) -> tuple[float, float, float]:
    """Return log likelihood, and curvature and information between parts, of a net figure.

    Fills slope, curvature and information of each part, `out` (3, part). A part is a Poisson count
    around a log-normal: mean b M and variance a M^2 + b M for M persons, whose slopes by log M
    are b M and 2 a M^2 + b M, and whose curvatures are b M and 4 a M^2 + b M.
    """
    variance = min(variance, _MOST_VARIANCE)
    b, a = np.exp(0.5 * variance), np.exp(2.0 * variance) - np.exp(variance)
    n, mean, spread = len(parts), 0.0, _LEAST_PERSONS
    by_mean, by_spread, bend = np.empty(n), np.empty(n), np.empty(n)
    for p in range(n):
        persons = np.exp(parts[p])
        linear, square = b * persons, a * persons**2
        mean += sign[p] * linear
        spread += square + linear
        by_mean[p], by_spread[p], bend[p] = (
            sign[p] * linear,
            2.0 * square + linear,
            4.0 * square + linear,
        )
    left = z - mean
    m, v = left / spread, 0.5 * (left**2 / spread - 1.0) / spread
    mm, mv, vv = -1.0 / spread, -left / spread**2, (0.5 - left**2 / spread) / spread**2
    known = 0.5 / spread**2
    for p in range(n):
        i, j = by_mean[p], by_spread[p]
        out[0, p] = m * i + v * j
        out[1, p] = mm * i * i + 2.0 * mv * i * j + vv * j * j + m * i + v * bend[p]
        out[2, p] = i * i / spread + known * j * j
    value = -0.5 * (left**2 / spread + np.log(spread) + _LOG_2PI)
    if n == 1:
        return value, 0.0, 0.0
    means, spreads = by_mean[0] * by_mean[1], by_spread[0] * by_spread[1]
    cross = mm * means + vv * spreads
    cross += mv * (by_mean[0] * by_spread[1] + by_spread[0] * by_mean[1])
    return value, cross, means / spread + known * spreads


@njit(cache=True, nogil=True, error_model="numpy")
def _evaluate(
    entries: FloatArray, entry_start: IntArray, part_start: IntArray, sign: IntArray,
    net: NDArray[np.bool_], values: FloatArray, variance: FloatArray, poisson: bool,
    nodes: FloatArray, log_weights: FloatArray, log_part: FloatArray, share: FloatArray,
    by_part: FloatArray, by_total: FloatArray,
) -> None:  # fmt: skip
    """Fill what `Local` holds: `by_part` (3, part) and `by_total` (3, total)."""
    n_part, n_total = len(entry_start), len(part_start)
    for p in range(n_part):
        lo = entry_start[p]
        hi = entry_start[p + 1] if p + 1 < n_part else len(entries)
        top, total = np.max(entries[lo:hi]), 0.0
        for k in range(lo, hi):
            share[k] = np.exp(entries[k] - top)
            total += share[k]
        for k in range(lo, hi):
            share[k] /= total
        log_part[p] = min(max(np.log(total) + top, -_MAX_LOG), _MAX_LOG)
    for r in range(n_total):
        lo = part_start[r]
        hi = part_start[r + 1] if r + 1 < n_total else n_part
        if net[r]:
            by_total[0, r], by_total[1, r], by_total[2, r] = _net(
                values[r], log_part[lo:hi], sign[lo:hi], variance[r], by_part[:, lo:hi]
            )
        else:
            value, slope, curvature = _count(
                values[r], log_part[lo], variance[r], poisson, nodes, log_weights
            )
            by_total[0, r], by_total[1, r], by_total[2, r] = value, 0.0, 0.0
            by_part[0, lo], by_part[1, lo], by_part[2, lo] = slope, curvature, -curvature


def differentiate(measure: Measure, entries: FloatArray) -> Local:
    """Return the log likelihood and its derivatives.

    Parameters
    ----------
    measure
        How sums are counted.
    entries
        Log flows as reporters see them, (entry,).
    """
    totals = measure.totals
    log_part, share = np.empty(len(totals.part_total)), np.empty(len(entries))
    by_part, by_total = np.empty((3, len(log_part))), np.empty((3, totals.n))
    _evaluate(
        entries, totals.entry_start, totals.part_start, totals.part_sign, totals.net, totals.value,
        measure.variance, measure.poisson, _NODES, _LOG_WEIGHTS, log_part, share, by_part, by_total,
    )  # fmt: skip
    return Local(
        log_part=log_part,
        share=share,
        value=by_total[0],
        slope=by_part[0],
        curvature=(by_part[1], by_total[1]),
        information=(by_part[2], by_total[2]),
    )


def value_slope(measure: Measure, entries: FloatArray) -> tuple[float, FloatArray]:
    """Return the log likelihood of all figures together, and its slope by entries, (entry,)."""
    local = differentiate(measure, entries)
    return float(local.value.sum()), local.share * local.slope[measure.totals.entry_part]


def log_likelihood(measure: Measure, entries: FloatArray) -> FloatArray:
    """Return the log likelihood of all figures together, (draw,), at entries (entry, draw)."""
    columns = np.ascontiguousarray(entries.T)
    return np.array([differentiate(measure, column).value.sum() for column in columns])


def add_up(totals: Totals, entries: FloatArray) -> FloatArray:
    """Return the log expected figure of each part, (part,) or (part, draw).

    Parameters
    ----------
    totals
        The sums.
    entries
        Log flows as reporters see them, (entry,) or (entry, draw).
    """
    return np.asarray(np.logaddexp.reduceat(entries, totals.entry_start, axis=0))
