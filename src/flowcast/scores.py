"""Scores of predictive draws against what was observed, on plain arrays.

Every function takes draws of shape (sample, report) and values of shape (report,), and returns one
score a report: averaging is for the caller, who knows which reports belong together. Lower is
better unless said otherwise. NumPy only.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import UsageError

__all__ = ["absolute_log_error", "coverage", "crps", "interval_score", "pit", "uniform_distance"]

FloatArray = NDArray[np.float64]

LOG_SHIFT = 0.5
"""Added to counts before the logarithm, so that zeros have one."""


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
    draws : ndarray, shape (sample, report)
        Persons, not negative.
    value : ndarray, shape (report,)
        Persons, not negative.

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
    if (draws < 0.0).any() or (value < 0.0).any():
        raise UsageError("(scores) | found negative numbers; allowed: persons, 0 or more")
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
