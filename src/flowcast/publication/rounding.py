"""As many digits as the uncertainty leaves: the rule, and a table rounded by it.

A figure is rounded to a power of ten of persons, at least 1 and at most a tenth of the width of its
credible interval. So at most two digits of an estimate are uncertain, which is as many as the Guide
to the Expression of Uncertainty in Measurement (JCGM 100:2008, 7.2.6) finds worth giving. The ends
of the interval are rounded outwards: what is said to hold with some probability still does.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flowcast.errors import UsageError
from flowcast.vocabulary import BENCHMARKED_COLUMN, DEFINITION_COLUMN

__all__ = ["CELL", "round_down", "round_table", "round_up", "rounding_step"]

CELL: Final = (
    "origin",
    "destination",
    "period_start",
    "period_end",
    "measure",
    DEFINITION_COLUMN,
    BENCHMARKED_COLUMN,
)
"""Columns that say which cell a row is about, as far as a table has them."""
SHARE: Final = 10.0
"""Steps that fit into an interval, at least, if it is wide enough."""


def rounding_step(width: ArrayLike) -> NDArray[np.float64]:
    """Return what to round to: the largest power of ten up to a tenth of the width, at least 1.

    Parameters
    ----------
    width
        Upper less lower end of credible intervals, persons, any shape. Missing ones give 1.

    Raises
    ------
    UsageError
        If a width is negative or infinite.

    Examples
    --------
    >>> rounding_step([3.0, 99.0, 100.0, 8400.0]).tolist()
    [1.0, 1.0, 10.0, 100.0]
    """
    widths = np.nan_to_num(np.asarray(width, dtype=np.float64), posinf=np.inf)
    if (widths < 0.0).any() or np.isinf(widths).any():
        raise UsageError("(width) | found one negative or infinite; allowed: upper less lower ends")
    share = np.maximum(widths / SHARE, 1.0)
    step = 10.0 ** np.floor(np.log10(share))
    # A logarithm just below a whole number is stored as that number.
    return np.asarray(np.where(step > share, step / 10.0, step))


def round_down(values: ArrayLike, step: ArrayLike) -> NDArray[np.float64]:
    """Return the largest multiple of a step that is not above a value.

    Examples
    --------
    >>> round_down([19.0, -1.0], 10.0).tolist()
    [10.0, -10.0]
    """
    given, steps = np.asarray(values, dtype=np.float64), np.asarray(step, dtype=np.float64)
    out = np.floor(given / steps) * steps
    # A quotient just below a whole number is stored as that number.
    return np.asarray(np.where(out > given, out - steps, out) + 0.0)


def round_up(values: ArrayLike, step: ArrayLike) -> NDArray[np.float64]:
    """Return the smallest multiple of a step that is not below a value.

    Examples
    --------
    >>> round_up([11.0, -1.0], 10.0).tolist()
    [20.0, 0.0]
    """
    return np.asarray(0.0 - round_down(-np.asarray(values, dtype=np.float64), step))


def round_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Round an estimate table to the digits that its intervals leave.

    Parameters
    ----------
    frame
        With `lower` and `upper`. Rows of one cell (several probabilities) are rounded alike, as its
        narrowest interval asks for.

    Returns
    -------
    DataFrame
        `mean` and `median` to the nearest multiple of the cell's step, `sd` and `upper` up, `lower`
        down: an interval contains the one before, and is wider by less than a fifth where that was
        10 persons wide or more. Missing figures stay missing. Sums may differ.

    Raises
    ------
    UsageError
        If there are no intervals, or ends of one are the wrong way round.

    Examples
    --------
    >>> cell = {"origin": "DE", "destination": "FR", "median": 12345.6, "prob": 0.95}
    >>> table = pd.DataFrame([cell | {"lower": 9049.2, "upper": 17449.2}])
    >>> round_table(table)[["median", "lower", "upper"]].values.tolist()
    [[12300.0, 9000.0, 17500.0]]
    """
    missing = [name for name in ("lower", "upper") if name not in frame]
    if missing:
        raise UsageError(f"(table) | found no {' and no '.join(missing)}; allowed: intervals")
    width = frame["upper"] - frame["lower"]
    keys = [frame[name] for name in CELL if name in frame]
    if keys:
        width = width.groupby(keys, dropna=False, sort=False).transform("min")
    step = rounding_step(width.to_numpy(float))
    rules = {"lower": round_down, "upper": round_up, "sd": round_up}
    out = frame.copy()
    for name in ("mean", "median"):
        if name in frame:
            out[name] = np.round(frame[name].to_numpy(float) / step) * step + 0.0
    for name, rule in rules.items():
        if name in frame:
            out[name] = rule(frame[name].to_numpy(float), step)
    return out
