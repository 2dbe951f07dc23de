"""Medians with distribution-free intervals, robust spreads and windows over neighbouring years."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

__all__ = [
    "MEDIAN_KIND",
    "combine_sides",
    "log_ratio",
    "median_intervals",
    "neighbour_medians",
    "poisson_variance",
    "robust_centre",
    "robust_spread",
    "widening",
]

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

MEDIAN_KIND: Final = "confidence interval of the median, order statistics"
"""What the bounds of every interval in the report are."""
NORMAL: Final = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
WINDOW: Final = 3
"""Neighbouring years looked at, on each side."""
MIN_CENTRE: Final = 5
"""Values that make a centre of a year; with fewer, the centre of all years counts."""
MIN_SPREAD: Final = 20
"""Values that make a spread of their own; with fewer, that of all reporters counts."""
LEAST_SD: Final = 0.05
"""Smallest spread on the log scale, so that nobody is blamed for a few percent."""


def log_ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Return logs of ratios of counts: infinite where one is 0, NaN where both are.

    Examples
    --------
    >>> log_ratio([4, 0, 3, 0], [4, 5, 0, 0]).tolist()
    [0.0, -inf, inf, nan]
    """
    a, b = np.broadcast_arrays(
        np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(a) - np.log(b))


def median_intervals(frame: pd.DataFrame, by: list[str], column: str, prob: float) -> pd.DataFrame:
    """Return the median of logs in each group, with a distribution-free interval, as ratios.

    The interval goes from one order statistic to another, chosen by the binomial distribution, so
    that it covers the median with *at least* the probability, whatever the distribution [1]_. It
    supposes that the values of a group are independent of one another.

    Parameters
    ----------
    frame
        Rows with the columns `by` (missing equals missing) and `column` (logs, which may be
        infinite; rows that are NaN are left out).
    by
        Columns that make the groups.
    column
        The column of logs.
    prob
        Probability of the interval.

    Returns
    -------
    pandas.DataFrame
        One row a group, sorted: `by`, and `ratio`, `lower`, `upper`, `n`. Bounds are NaN where the
        group is too small for an interval of this probability (5 values or fewer at 95 %), the
        ratio where the two values in the middle are 0 and infinite.

    References
    ----------
    .. [1] W. J. Conover, Practical Nonparametric Statistics, 3rd ed., Wiley 1999, section 3.2.

    Examples
    --------
    >>> logs = pd.DataFrame({"g": "a", "x": np.log(np.arange(1.0, 12.0))})
    >>> median_intervals(logs, ["g"], "x", 0.95).round(6).to_dict("records")
    [{'g': 'a', 'ratio': 6.0, 'lower': 2.0, 'upper': 10.0, 'n': 11}]
    """
    known = frame.loc[frame[column].notna(), [*by, column]].sort_values(column)
    groups = known.groupby(by, dropna=False, sort=True)
    keys = groups.size().rename("n").reset_index()
    order = np.argsort(groups.ngroup().to_numpy(), kind="stable")
    values = known[column].to_numpy(dtype=np.float64)[order]
    n = keys["n"].to_numpy(dtype=np.int64)
    start = np.cumsum(n) - n
    tail = (1.0 - prob) / 2.0
    low = binom.ppf(tail, n, 0.5).astype(np.int64) - 1
    high = binom.isf(tail, n, 0.5).astype(np.int64)
    fits = (low >= 0) & (high < n)
    with np.errstate(invalid="ignore"):
        middle = (values[start + (n - 1) // 2] + values[start + n // 2]) / 2.0
    bounds = {
        "ratio": np.exp(middle),
        "lower": np.where(fits, np.exp(values[start + np.maximum(low, 0)]), np.nan),
        "upper": np.where(fits, np.exp(values[start + np.minimum(high, n - 1)]), np.nan),
    }
    return keys.assign(**bounds)[[*by, *bounds, "n"]]


def neighbour_medians(levels: Floats) -> tuple[Floats, Ints, Floats, Ints]:
    """Return the medians of the reports before and after each cell, and how many there were.

    Parameters
    ----------
    levels
        Logs of reports, shape (series, period); NaN where there is none.

    Returns
    -------
    before, n_before, after, n_after
        Shape (series, period): medians of what stands in the three preceding and in the three
        following periods (NaN where nothing does), and the numbers of reports they rest on.
    """
    before, n_before = _window_median(levels)
    after, n_after = _window_median(levels[:, ::-1])
    return before, n_before, after[:, ::-1], n_after[:, ::-1]


def _window_median(levels: Floats) -> tuple[Floats, Ints]:
    stack = np.full((WINDOW, *levels.shape), np.nan)
    for lag in range(1, min(WINDOW, levels.shape[1] - 1) + 1):
        stack[lag - 1, :, lag:] = levels[:, :-lag]
    stack.sort(axis=0)  # NaN last
    count = np.sum(~np.isnan(stack), axis=0)
    low = np.maximum(count - 1, 0) // 2
    high = np.minimum(count // 2, WINDOW - 1)
    low_value = np.take_along_axis(stack, low[None], axis=0)[0]
    high_value = np.take_along_axis(stack, high[None], axis=0)[0]
    return (low_value + high_value) / 2.0, count.astype(np.int64)


def poisson_variance(observed: Floats, expected: Floats) -> Floats:
    """Return the variance that chance alone gives the log of a count.

    It is the Poisson variance at the mean of what is observed and expected, so that a count of 0
    where 2 are expected is nothing odd, and one where 30 are expected is.
    """
    return np.asarray(1.0 / ((observed + expected) / 2.0 + 0.5))


def robust_centre(frame: pd.DataFrame, column: str, group: str, time: str) -> tuple[Floats, Floats]:
    """Return the median of each row's group in its year, and what that does to spreads.

    Parameters
    ----------
    frame
        Rows with the columns named.
    column, group, time
        Values; groups; years. Where a group has fewer than five values in a year, the median of all
        its years counts.

    Returns
    -------
    centre, widening
        Shape (row,). Values lie too close to a median of which they are part, as the median
        absolute deviation of few values shows [1]_, and that median has an error itself: for both,
        a spread around it has to be multiplied by `widening`.

    References
    ----------
    .. [1] C. Croux, P. J. Rousseeuw, Time-Efficient Algorithms for Two Highly Robust Estimators of
       Scale, Computational Statistics 1 (1992) 411-428, doi:10.1007/978-3-662-26811-7_58.
    """
    by_year, whole = frame.groupby([group, time])[column], frame.groupby(group)[column]
    count = by_year.transform("count")
    enough = count >= MIN_CENTRE
    centre = by_year.transform("median").where(enough, whole.transform("median"))
    n = count.where(enough, whole.transform("count")).clip(lower=2).to_numpy(dtype=np.float64)
    return centre.to_numpy(dtype=np.float64), widening(n)


def widening(n: Floats) -> Floats:
    """Return by how much a spread around the median of `n` values is too small."""
    return np.asarray(n / (n - 0.8) * np.sqrt(1.0 + np.pi / (2.0 * n)))


def robust_spread(frame: pd.DataFrame, column: str, chance: str, group: str) -> Floats:
    """Return the standard deviation of each row's group beyond chance, from its MAD.

    Parameters
    ----------
    frame
        Rows with residuals, the variances that chance gives them, and groups.
    column, chance, group
        The columns of those.
    """
    size, chances = frame[column].abs(), frame[chance]
    known = size.notna()
    if not known.any():
        return np.full(len(frame), LEAST_SD)
    own = _beyond_chance(
        size.groupby(frame[group]).transform("median"),
        chances.where(known).groupby(frame[group]).transform("median"),
    )
    pooled = _beyond_chance(size[known].median(), chances[known].median())
    enough = size.groupby(frame[group]).transform("count").to_numpy() >= MIN_SPREAD
    return np.where(enough, own, pooled)


def _beyond_chance(mad: Any, chance: Any) -> Floats:  # noqa: ANN401
    """Return what is left of a spread without the variance of counting; columns or numbers."""
    variance = (NORMAL * np.asarray(mad, dtype=float)) ** 2 - np.asarray(chance, dtype=float)
    return np.sqrt(np.maximum(variance, LEAST_SD**2))


def combine_sides(first: Floats, second: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the smaller of two departures that agree in sign, else 0; and whether it is the first.

    What departs from one side only is no outlier: a trend and a shift of level do that, and so does
    a report that is compared with one that is wrong itself.

    Examples
    --------
    >>> combine_sides(np.array([6.0, 6.0, -3.0]), np.array([9.0, -9.0, np.nan]))[0].tolist()
    [6.0, 0.0, nan]
    """
    is_first = np.abs(first) <= np.abs(second)
    smaller = np.where(is_first, first, second)
    agree = np.sign(first) == np.sign(second)
    known = ~(np.isnan(first) | np.isnan(second))
    return np.where(known, np.where(agree, smaller, 0.0), np.nan), is_first
