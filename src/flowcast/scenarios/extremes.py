"""How bad one year in so many is, and how a shock dies away: arithmetic on arrays."""

from typing import TYPE_CHECKING, Final, Literal

from flowcast.errors import UsageError, require_word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MIN_YEARS", "return_level", "shock_weights"]

Fitted = Literal["normal", "log_normal", "gumbel"]
FITTED: Final = ("normal", "log_normal", "gumbel")
TAILS: Final = ("low", "high")
MIN_YEARS: Final = 10
"""Years of history below which no distribution is fitted."""
EULER: Final = 0.5772156649015329


def return_level(
    history: "ArrayLike",
    period: float,
    *,
    tail: Literal["low", "high"],
    distribution: Fitted = "normal",
) -> "NDArray[np.float64]":
    """Return the value that one year in `period` exceeds (or falls short of) on average.

    A distribution is fitted to the years of each place, taken as independent and alike, and its
    quantile at 1 - 1/period (`tail` high) or 1/period (low) is returned.

    Parameters
    ----------
    history
        Annual values, shape (..., year); NaN is a year without one.
    period
        Return period in years, above 1.
    tail
        Which end is bad.
    distribution
        ``"normal"``: by mean and sd (divisor n - 1). ``"log_normal"``: the same of the logarithm,
        for positive values. ``"gumbel"``: by the first two L-moments; at the low end it is fitted
        to the values with their sign changed.

    Returns
    -------
    numpy.ndarray, shape (...)
        In the unit of the history; NaN where fewer than ten years have a value. How unsure a fit to
        so few years is, is not told: twice the period of a short record is a guess.

    Raises
    ------
    UsageError
        For an unknown distribution or tail, a period of 1 or less, or a log-normal of values that
        are not positive.

    References
    ----------
    Hosking, J.R.M. and Wallis, J.R. (1997), Regional Frequency Analysis: An Approach Based on
    L-Moments, Cambridge University Press, chapter 2 and appendix (Gumbel distribution).

    Examples
    --------
    >>> import numpy as np
    >>> rain = np.random.default_rng(1).normal(600.0, 100.0, 5000)
    >>> float(return_level(rain, 50, tail="low").round(-2))
    400.0
    """
    import numpy as np
    from scipy import stats

    require_word("distribution", distribution, FITTED)
    require_word("tail", tail, TAILS)
    if not period > 1:
        raise UsageError(f"(period) | found {period:g}; allowed: above 1 year")
    values = np.asarray(history, dtype=np.float64)
    if distribution == "log_normal" and (values <= 0).any():
        raise UsageError("(history) | found 0 or less; allowed: positive values for log_normal")
    enough = np.isfinite(values).sum(axis=-1) >= MIN_YEARS
    safe = np.where(enough[..., None], values, 1.0)
    if distribution == "gumbel":
        level = _gumbel_level(safe if tail == "high" else -safe, period)
        level = level if tail == "high" else -level
    else:
        logs = np.log(safe) if distribution == "log_normal" else safe
        score = stats.norm.ppf(1.0 / period if tail == "low" else 1.0 - 1.0 / period)
        level = np.nanmean(logs, axis=-1) + score * np.nanstd(logs, axis=-1, ddof=1)
        level = np.exp(level) if distribution == "log_normal" else level
    return np.where(enough, level, np.nan)


def _gumbel_level(values: "NDArray[np.float64]", period: float) -> "NDArray[np.float64]":
    """Return the quantile at 1 - 1/period of Gumbel distributions fitted by L-moments."""
    import numpy as np

    ordered = np.sort(values, axis=-1)  # missing years last
    n = np.isfinite(ordered).sum(axis=-1)
    rank = np.arange(values.shape[-1])
    first = np.nanmean(ordered, axis=-1)
    weighted = np.nansum(rank * ordered, axis=-1) / (n * (n - 1))
    scale = (2.0 * weighted - first) / np.log(2.0)
    location = first - EULER * scale
    return np.asarray(location - scale * np.log(-np.log1p(-1.0 / period)))


def shock_weights(
    years: "ArrayLike", start: int, duration: int, half_life: float
) -> "NDArray[np.float64]":
    """Return how much of a shock is there in each year: 0 before, 1 while it lasts, then decay.

    Parameters
    ----------
    years
        Calendar years, shape (year,).
    start, duration
        First year, and years in full.
    half_life
        Years in which half of what is left goes away; 0 ends it at once.

    Examples
    --------
    >>> shock_weights([2026, 2027, 2028, 2029, 2030], 2027, 2, 1.0).tolist()
    [0.0, 1.0, 1.0, 0.5, 0.25]
    """
    import numpy as np

    at = np.asarray(years, dtype=np.float64)
    after = at - (start + duration - 1)
    decay = np.where(after > 0, 0.0, 1.0)
    if half_life > 0:
        with np.errstate(over="ignore"):
            decay = 0.5 ** (np.maximum(after, 0.0) / half_life)
    return np.where(at < start, 0.0, decay)
