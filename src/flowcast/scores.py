"""Scores of predictive draws against what was observed, on plain arrays.

Most functions take draws of shape (sample, report) and values of shape (report,), and return one
score a report: averaging is for the caller, who knows which reports belong together. The last three
are about many reports at once. Lower is better unless said otherwise. NumPy and SciPy only.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp
from scipy.stats import rankdata

from flowcast.errors import UsageError

__all__ = [
    "absolute_log_error",
    "coverage",
    "crps",
    "crps_above",
    "interval_score",
    "log_between",
    "log_score",
    "pit",
    "rank_correlation",
    "uniform_distance",
    "within_skill",
]

FloatArray = NDArray[np.float64]

LOG_SHIFT = 0.5
"""Added to counts before the logarithm, so that zeros have one."""
MIN_BANDWIDTH = 0.01
"""Of the kernel of `log_score`, on the log scale: draws that are all the same have no density."""
LIGHTEST_LOG = -50.0
"""No report is given less than this log probability: rounding would decide."""


def crps(draws: FloatArray, value: FloatArray) -> FloatArray:
    """Return the continuous ranked probability score of each report.

    ``E|X - y| - E|X - X'| / 2``, with X and X' independent draws of the empirical distribution of
    the sample. The second term comes from the sorted draws: ``E|X - X'| = 2 / n**2 * sum_k
    (2k - n - 1) x_(k)``, k from 1 to n (Gneiting & Raftery 2007, doi 10.1198/016214506000001437,
    section 4.2). In the unit of the draws; for a point forecast it is the absolute error.

    Parameters
    ----------
    draws : ndarray, shape (sample, report)
        Draws of the predictive distribution.
    value : ndarray, shape (report,)
        What was observed.

    Returns
    -------
    ndarray, shape (report,)

    Raises
    ------
    UsageError
        If shapes do not go together, or a number is not finite.

    Examples
    --------
    >>> crps(np.array([[0.0], [2.0]]), np.array([1.0])).tolist()
    [0.5]
    """
    draws, value = _checked(draws, value)
    n = len(draws)
    ordered = np.sort(draws, axis=0)
    weight = 2.0 * np.arange(1, n + 1) - n - 1.0
    spread = weight @ ordered / n**2
    return np.asarray(np.abs(draws - value).mean(axis=0) - spread)


def crps_above(draws: FloatArray, value: FloatArray, threshold: float) -> FloatArray:
    """Return the threshold-weighted CRPS of each report: of what happens above a threshold.

    The CRPS of ``max(X, t)`` against ``max(y, t)``, which is the integral of (F(x) - 1{y <= x})**2
    over x from t on (Allen 2024, doi 10.18637/jss.v110.i08). Proper, unlike the mean
    CRPS of the reports that turned out to be large. In the unit of the draws.

    Parameters
    ----------
    draws, value
        As for `crps`, and so is what is raised.
    threshold
        In the unit of the draws.

    Returns
    -------
    ndarray, shape (report,)

    Examples
    --------
    >>> crps_above(np.array([[0.0], [2.0]]), np.array([0.5]), 1.0).tolist()
    [0.25]
    """
    draws, value = _checked(draws, value)
    return crps(np.maximum(draws, threshold), np.maximum(value, threshold))


def log_score(draws: FloatArray, value: FloatArray) -> FloatArray:
    """Return minus the log predictive probability of each count, its distribution smoothed.

    Draws have no density, and those of counts no kernel density either: it would be spikes. Taken
    is a mixture of normals around log(draw + 1/2), and of it the probability of all that rounds
    to the count, from log(y) to log(y + 1), so that the probabilities of 0, 1, 2, ... add up to
    one. The bandwidth is ``1.06 s n**(-1/5)``, s the smaller of the standard deviation and
    1/1.34 times the interquartile range. Such an estimate is rough where reports lie far outside
    the draws (Krüger et al. 2021, doi 10.1111/insr.12405): compare scores that were found in the
    same way, and judge by the CRPS first.

    Parameters
    ----------
    draws, value
        As for `absolute_log_error`, and so is what is raised.

    Returns
    -------
    ndarray, shape (report,), at most 50

    Examples
    --------
    >>> draws = np.random.default_rng(1).poisson(3.0, (4000, 1)).astype(float)
    >>> probability = np.exp(-log_score(np.repeat(draws, 60, axis=1), np.arange(60.0)))
    >>> round(float(probability.sum()), 6)
    1.0
    """
    draws, value = _checked(draws, value)
    _refuse_negative(draws, value)
    x = np.log(draws + LOG_SHIFT)
    with np.errstate(divide="ignore"):
        low, high = np.log(value), np.log(value + 1.0)  # minus infinity for 0
    quartiles = np.quantile(x, [0.25, 0.75], axis=0)
    robust, sd = (quartiles[1] - quartiles[0]) / 1.34, x.std(axis=0)
    scale = np.where(robust > 0.0, np.minimum(robust, sd), sd)
    width = np.maximum(1.06 * scale * len(x) ** -0.2, MIN_BANDWIDTH)
    found = logsumexp(log_between((low - x) / width, (high - x) / width), axis=0) - np.log(len(x))
    return np.asarray(-np.maximum(found, LIGHTEST_LOG))


def log_between(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the log probability of a standard normal between two bounds, by the smaller tail."""
    flip = low > 0.0  # so that nothing is lost in differences near 1
    upper, lower = log_ndtr(np.where(flip, -low, high)), log_ndtr(np.where(flip, -high, low))
    return np.asarray(upper + np.log1p(-np.exp(np.minimum(lower - upper, -1e-300))))


def interval_score(draws: FloatArray, value: FloatArray, prob: float) -> FloatArray:
    """Return the score of the equal-tailed interval of each report.

    ``(u - l) + 2 / a * (l - y)+ + 2 / a * (y - u)+`` with a = 1 - prob, and l, u the quantiles a/2
    and 1 - a/2 of the draws (Gneiting & Raftery 2007, doi 10.1198/016214506000001437, section 6.2):
    the width, and a fine for missing. In the unit of the draws.

    Parameters
    ----------
    draws : ndarray, shape (sample, report)
    value : ndarray, shape (report,)
    prob
        Probability of the interval, between 0 and 1.

    Returns
    -------
    ndarray, shape (report,)

    Raises
    ------
    UsageError
        If shapes do not go together, a number is not finite, or `prob` is no probability.

    Examples
    --------
    >>> draws = np.linspace(0.0, 10.0, 101)[:, None]
    >>> interval_score(draws, np.array([9.5]), 0.8).round(6).tolist()
    [13.0]
    """
    draws, value = _checked(draws, value)
    (low, high), tail = _bounds(draws, [prob])[0], 1.0 - prob
    missed = np.maximum(low - value, 0.0) + np.maximum(value - high, 0.0)
    return np.asarray(high - low + 2.0 / tail * missed)


def coverage(draws: FloatArray, value: FloatArray, probs: Sequence[float]) -> FloatArray:
    """Return whether each equal-tailed interval holds each report: 1 or 0.

    The mean over reports is the coverage; what is good is a mean near `prob`, not a high one.
    Bounds belong to the interval, so that intervals of counts cover somewhat more than promised.

    Parameters
    ----------
    draws : ndarray, shape (sample, report)
    value : ndarray, shape (report,)
    probs
        Probabilities of the intervals, between 0 and 1.

    Returns
    -------
    ndarray, shape (prob, report)

    Raises
    ------
    UsageError
        If shapes do not go together, a number is not finite, or a `prob` is no probability.

    Examples
    --------
    >>> draws = np.linspace(0.0, 10.0, 101)[:, None]
    >>> coverage(draws, np.array([9.2]), [0.5, 0.8, 0.95]).ravel().tolist()
    [0.0, 0.0, 1.0]
    """
    draws, value = _checked(draws, value)
    held = [(low <= value) & (value <= high) for low, high in _bounds(draws, probs)]
    return np.array(held, dtype=np.float64)


def absolute_log_error(draws: FloatArray, value: FloatArray) -> FloatArray:
    """Return how far the median is off on the log scale, ``|log(y + 1/2) - log(median + 1/2)|``.

    0.1 is an error of about a tenth, 0.7 one by a factor of two, whatever the size of the flow.

    Parameters
    ----------
    draws, value
        As for `crps`, persons, not negative.

    Returns
    -------
    ndarray, shape (report,)

    Raises
    ------
    UsageError
        If shapes do not go together, or a number is negative or not finite.

    Examples
    --------
    >>> absolute_log_error(np.array([[9.5], [9.5]]), np.array([4.5])).round(3).tolist()
    [0.693]
    """
    draws, value = _checked(draws, value)
    _refuse_negative(draws, value)
    return np.abs(np.log(value + LOG_SHIFT) - np.log(np.median(draws, axis=0) + LOG_SHIFT))


def pit(draws: FloatArray, value: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
    """Return the probability integral transform of each report.

    ``F(y-) + u (F(y) - F(y-))`` with F the empirical distribution of the draws and u uniform: the
    randomised transform for counts (Czado, Gneiting & Held 2009, doi
    10.1111/j.1541-0420.2009.01191.x). If predictions are calibrated the values are uniform between
    0 and 1; a hump in the middle says that intervals are too wide, heaps at the ends that they are
    too narrow, a slope that predictions are too high or too low.

    Parameters
    ----------
    draws : ndarray, shape (sample, report)
    value : ndarray, shape (report,)
    rng
        Draws u; without it u is 1/2 and the transform is the mid one, which is not uniform.

    Returns
    -------
    ndarray, shape (report,)

    Raises
    ------
    UsageError
        If shapes do not go together, or a number is not finite.

    Examples
    --------
    >>> pit(np.array([[1.0], [2.0], [2.0], [3.0]]), np.array([2.0])).tolist()
    [0.5]
    """
    draws, value = _checked(draws, value)
    below, upto = (draws < value).mean(axis=0), (draws <= value).mean(axis=0)
    u = np.full(len(value), 0.5) if rng is None else rng.random(len(value))
    return np.asarray(below + u * (upto - below))


def uniform_distance(transform: FloatArray) -> float:
    """Return how far probability integral transforms are from uniform: Kolmogorov's distance.

    The largest difference between their empirical distribution and the uniform one. Of n
    independent and calibrated reports it exceeds ``1.36 / sqrt(n)`` one time in twenty; reports of
    one fit depend on each other, so that this is a yardstick and no test.

    Parameters
    ----------
    transform : ndarray, shape (report,)
        Values of `pit`.

    Returns
    -------
    float
        Between 0 and 1; NaN where there is no report.

    Examples
    --------
    >>> uniform_distance(np.array([0.25, 0.75])), uniform_distance(np.array([1.0]))
    (0.25, 1.0)
    """
    n = len(transform)
    if not n:
        return float("nan")
    ordered, step = np.sort(transform), np.arange(n + 1) / n
    return float(max((step[1:] - ordered).max(), (ordered - step[:-1]).max()))


def rank_correlation(point: FloatArray, value: FloatArray) -> float:
    """Return Spearman's rank correlation of predictions and reports, ties by their mean rank.

    Parameters
    ----------
    point, value : ndarray, shape (report,)
        Medians, say, and what was observed.

    Returns
    -------
    float
        Between -1 and 1, 1 is best; NaN of fewer than three reports, or where all are the same.

    Examples
    --------
    >>> round(rank_correlation(np.array([1.0, 5.0, 9.0]), np.array([2.0, 3.0, 90.0])), 12)
    1.0
    """
    point, value = np.asarray(point, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if len(value) < 3 or np.ptp(point) == 0.0 or np.ptp(value) == 0.0:
        return float("nan")
    return float(np.corrcoef(rankdata(point), rankdata(value))[0, 1])


def within_skill(point: FloatArray, value: FloatArray, series: NDArray[np.int64]) -> float:
    """Return how much of the movement of series over time predictions explain.

    ``1 - sum (dy - dp)**2 / sum dy**2``, with dy and dp what values and predictions depart from
    their means in a series. Levels are of no matter, so that knowing that one corridor is larger
    than another earns nothing: 1 is best, 0 is what a constant for each series has.

    Parameters
    ----------
    point, value : ndarray, shape (report,)
        Predictions and what was observed; log(persons + 1/2), so that series are on one scale.
    series : ndarray, shape (report,)
        Number of the series of each report, from 0.

    Returns
    -------
    float
        At most 1; NaN where no series moves.

    Examples
    --------
    >>> value, series = np.array([1.0, 2.0, 7.0, 9.0]), np.array([0, 0, 1, 1])
    >>> within_skill(value + 5.0, value, series), within_skill(np.ones(4), value, series)
    (1.0, 0.0)
    """
    deviation = [_deviations(np.asarray(x, dtype=np.float64), series) for x in (point, value)]
    moved = float((deviation[1] ** 2).sum())
    if moved < 1e-18 * len(value):  # what is left of series that do not move is rounding
        return float("nan")
    return 1.0 - float(((deviation[1] - deviation[0]) ** 2).sum()) / moved


def _deviations(x: FloatArray, series: NDArray[np.int64]) -> FloatArray:
    mean = np.bincount(series, x) / np.maximum(np.bincount(series), 1)
    return np.asarray(x - mean[series])


def _refuse_negative(draws: FloatArray, value: FloatArray) -> None:
    if (draws < 0.0).any() or (value < 0.0).any():
        raise UsageError("(scores) | found negative numbers; allowed: persons, 0 or more")


def _bounds(draws: FloatArray, probs: Sequence[float]) -> list[tuple[FloatArray, FloatArray]]:
    """Return lower and upper bounds of equal-tailed intervals."""
    wrong = [prob for prob in probs if not 0.0 < prob < 1.0]
    if wrong or not len(probs):
        found = ", ".join(f"{prob:g}" for prob in wrong) or "none"
        raise UsageError(f"(prob) | found {found}; allowed: probabilities between 0 and 1")
    tails = (1.0 - np.asarray(probs, dtype=np.float64)) / 2.0
    both = np.quantile(draws, np.concatenate([tails, 1.0 - tails]), axis=0)
    return list(zip(both[: len(tails)], both[len(tails) :], strict=True))


def _checked(draws: FloatArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    draws, value = np.asarray(draws, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if draws.ndim != 2 or draws.shape[1:] != value.shape or not len(draws):
        raise UsageError(
            f"(scores) | found draws {draws.shape} and values {value.shape}; "
            "allowed: (sample, report) and (report,), at least one sample"
        )
    if not (np.isfinite(draws).all() and np.isfinite(value).all()):
        raise UsageError("(scores) | found numbers that are not finite; allowed: finite ones")
    return draws, value
