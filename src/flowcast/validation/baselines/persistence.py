"""The last earlier report of the same series, with a spread that grows with the years between."""

from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from flowcast.validation.baselines.rows import (
    FloatArray,
    Known,
    countable,
    log_values,
    neighbours,
    series_means,
)
from flowcast.validation.baselines.spread import draws_by_size

__all__ = ["persistence_draws"]

MAX_STEPS: Final = 10
"""Reports so far back in a series teach the spread; further ones have that of a random walk."""


def persistence_draws(known: Known) -> FloatArray:
    """Predict that nothing changes: the last earlier report of the same side and pair.

    The error of log(value + 1/2) over h years has the variance ``a + b h`` of a random walk seen
    with noise; a and b, not negative, are fitted by least squares to the mean squared changes of
    the fitted series over each number of years. Its shape is that of the changes, divided by
    their standard deviations and centred, for each class of size.

    Parameters
    ----------
    known
        Fitted reports and rows to predict.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Quantiles, persons; NaN where no earlier report is fitted. The median is the last report.
    """
    table = countable(known.fitted)
    log_value = log_values(table)
    point, years = neighbours(table, log_value, known.held_out)
    point = np.where(known.held_out["measure"] == "net", np.nan, point)
    before, change, apart = _changes(table, log_value)
    if not len(change):
        return draws_by_size(point, before, change)
    noise, growth = _growth(change, apart)
    sd, sd_wanted = (np.sqrt(noise + growth * h) for h in (apart, years))
    standard = np.divide(change, sd, out=np.zeros(len(sd)), where=sd > 0.0)
    return draws_by_size(point, before, standard, scale=sd_wanted, centred=True)


def _changes(
    table: pd.DataFrame, log_value: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the earlier value, the change and the years between, of pairs of fitted reports."""
    told, _ = series_means(table, log_value, table[:0])
    series, start, value = (told[name].to_numpy() for name in ("series", "start", "log_value"))
    parts = []
    for step in range(1, min(MAX_STEPS, len(told) - 1) + 1):
        same = series[step:] == series[:-step]
        if not same.any():
            break
        change, apart = value[step:] - value[:-step], start[step:] - start[:-step]
        parts.append(np.column_stack([value[:-step], change, apart])[same])
    rows = np.concatenate(parts) if parts else np.empty((0, 3))
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _growth(change: FloatArray, apart: FloatArray) -> tuple[float, float]:
    """Return variance at no distance and its growth a year, each years' mean by its number."""
    years = np.maximum(np.rint(apart), 1.0).astype(np.int64)
    n = np.bincount(years).astype(np.float64)
    at = np.flatnonzero(n)
    square = np.bincount(years, change**2)[at] / n[at]
    weight = np.sqrt(n[at])
    design = np.column_stack([np.ones(len(at)), at.astype(np.float64)])
    (noise, growth), _ = nnls(design * weight[:, None], square * weight)
    return float(noise), float(growth)
