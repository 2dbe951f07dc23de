"""Predictions that need no model: other years, the other side, what both places usually have.

All of log(value + 1/2), all spread by the errors that the rule makes on the fitted reports, each
predicted without itself.
"""

from typing import Final

import numpy as np
import pandas as pd

from flowcast.validation.baselines.rows import (
    DESTINATION,
    FIGURE,
    N_DRAWS,
    ORIGIN,
    PROBS,
    SERIES,
    SIDE,
    FloatArray,
    countable,
    log_values,
    ratio,
    sums,
    to_persons,
)

__all__ = ["mirror_draws", "pair_mean_draws", "simple_draws"]

MIN_ERRORS: Final = 20
"""Errors that a rule must have made among the fitted reports to have a spread of its own."""
PAIR_MEAN, MIRROR, MARGINS = range(3)


def simple_draws(fitted: pd.DataFrame, held_out: pd.DataFrame) -> FloatArray:
    """Predict reports from other reports, by the first of these rules that applies.

    1. *pair mean*: the mean of the same side's reports of the same pair in other periods;
    2. *mirror*: the other side's report of the same figure, times the usual ratio of the sides;
    3. *margins*: what the origin and the destination usually have, multiplied.

    Parameters
    ----------
    fitted, held_out
        Rows of the observation contract. Net migration has no logarithm, and no prediction. Values
        of the held-out reports are not looked at.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Evenly spaced quantiles of the predictive distribution, persons; NaN where no rule applies.
    """
    return _draws(fitted, held_out, (PAIR_MEAN, MIRROR, MARGINS))


def pair_mean_draws(fitted: pd.DataFrame, held_out: pd.DataFrame) -> FloatArray:
    """Predict by the first rule of `simple_draws` alone; parameters and result are the same."""
    return _draws(fitted, held_out, (PAIR_MEAN,))


def mirror_draws(fitted: pd.DataFrame, held_out: pd.DataFrame) -> FloatArray:
    """Predict by the second rule of `simple_draws` alone; parameters and result are the same."""
    return _draws(fitted, held_out, (MIRROR,))


def _draws(fitted: pd.DataFrame, held_out: pd.DataFrame, rules: tuple[int, ...]) -> FloatArray:
    known = countable(fitted)
    log_value = log_values(known)
    errors = log_value[:, None] - _predict(known, log_value, known, itself=True)
    wanted = held_out.reset_index(drop=True)
    points = _predict(known, log_value, wanted, itself=False)
    out = np.full((N_DRAWS, len(wanted)), np.nan)
    pending = (wanted["measure"] != "net").to_numpy()
    for rule in rules:
        rows = pending & ~np.isnan(points[:, rule])
        out[:, rows] = to_persons(points[rows, rule] + _spread(errors, rule)[:, None])
        pending = pending & ~rows
    return out


def _spread(errors: FloatArray, rule: int) -> FloatArray:
    """Return quantiles of a rule's errors; where it made few, of the errors of all rules."""
    made = errors[:, rule][~np.isnan(errors[:, rule])]
    if len(made) < MIN_ERRORS:
        made = errors[~np.isnan(errors)]
    if not len(made):
        return np.zeros(N_DRAWS)
    return np.asarray(np.quantile(made, PROBS))


def _predict(
    known: pd.DataFrame, log_value: FloatArray, wanted: pd.DataFrame, *, itself: bool
) -> FloatArray:
    """Return what each rule predicts, NaN where it does not apply; shape (row, rule).

    With `itself` the wanted rows are the known ones, and each is left out of its own prediction.
    """

    def mean(keys: tuple[str, ...]) -> FloatArray:
        total, n = sums(known, log_value, wanted, keys)
        return ratio(total - log_value, n - 1.0) if itself else ratio(total, n)

    usual = ratio(*sums(known, log_value, known, SIDE))
    total, n = sums(known, log_value - usual, wanted, FIGURE)
    own_total, own_n = sums(known, log_value - usual, wanted, (*FIGURE, "reporter"))
    side = mean(SIDE)
    level = np.where(np.isnan(side), mean(("measure",)), side)  # a side that nobody reports
    mirror = ratio(total - own_total, n - own_n) + level
    margins = level + np.nan_to_num(mean(ORIGIN) - level) + np.nan_to_num(mean(DESTINATION) - level)
    return np.column_stack([mean(SERIES), mirror, margins])
