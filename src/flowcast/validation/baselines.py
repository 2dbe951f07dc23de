"""Simple predictions that a model has to beat, scored on the same rows as the model.

Today one: what is known of a report without any model. Gravity and machine learning are to follow.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.scores import LOG_SHIFT

__all__ = ["simple_draws"]

FloatArray = NDArray[np.float64]

N_DRAWS: Final = 99
MIN_ERRORS: Final = 20
"""Errors that a rule must have made among the fitted reports to have a spread of its own."""
SERIES: Final = ("measure", "origin", "destination", "reporter", "criterion", "age", "sex")
FIGURE: Final = (
    "measure", "origin", "destination", "period_start", "period_end", "criterion", "age", "sex",
)  # fmt: skip
ORIGIN: Final = ("measure", "origin", "reporter")
DESTINATION: Final = ("measure", "destination", "reporter")
SIDE: Final = ("measure", "reporter")


def simple_draws(fitted: pd.DataFrame, held_out: pd.DataFrame) -> FloatArray:
    """Predict reports from other reports, by the first of these rules that applies.

    1. *pair mean*: the mean of the same side's reports of the same pair in other periods;
    2. *mirror*: the other side's report of the same figure, times the usual ratio of the sides;
    3. *margins*: what the origin and the destination usually have, multiplied.

    All means are of log(value + 1/2). The spread is that of the errors each rule makes on the
    fitted reports, each predicted without itself. Values of the held-out reports are not looked at.

    Parameters
    ----------
    fitted, held_out
        Rows of the observation contract. Net migration has no logarithm, and no prediction.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Evenly spaced quantiles of the predictive distribution, persons; NaN where no rule applies.
    """
    known = _countable(fitted)
    log_value = np.log(known["value"].to_numpy() + LOG_SHIFT)
    errors = log_value[:, None] - _predict(known, log_value, known, itself=True)
    wanted = held_out.reset_index(drop=True)
    points = _predict(known, log_value, wanted, itself=False)
    out = np.full((N_DRAWS, len(wanted)), np.nan)
    pending = (wanted["measure"] != "net").to_numpy()
    for rule in range(points.shape[1]):
        rows = pending & ~np.isnan(points[:, rule])
        draws = np.exp(points[rows, rule] + _spread(errors, rule)[:, None]) - LOG_SHIFT
        out[:, rows] = np.maximum(draws, 0.0)
        pending = pending & ~rows
    return out


def _countable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest vintage of every report that repeats no other and has a logarithm."""
    newest = table.sort_values("vintage", na_position="first", kind="stable")
    newest = newest.drop_duplicates(["source", *FIGURE, "reporter"], keep="last").sort_index()
    known = newest[newest["mirror_of"].isna() & (newest["measure"] != "net")]
    return known.reset_index(drop=True)


def _spread(errors: FloatArray, rule: int) -> FloatArray:
    """Return quantiles of a rule's errors; where it made few, of the errors of all rules."""
    made = errors[:, rule][~np.isnan(errors[:, rule])]
    if len(made) < MIN_ERRORS:
        made = errors[~np.isnan(errors)]
    if not len(made):
        return np.zeros(N_DRAWS)
    return np.asarray(np.quantile(made, (np.arange(N_DRAWS) + 0.5) / N_DRAWS))


def _predict(
    known: pd.DataFrame, log_value: FloatArray, wanted: pd.DataFrame, *, itself: bool
) -> FloatArray:
    """Return what each rule predicts, NaN where it does not apply; shape (row, rule).

    With `itself` the wanted rows are the known ones, and each is left out of its own prediction.
    """

    def mean(keys: tuple[str, ...]) -> FloatArray:
        total, n = _sums(known, log_value, wanted, keys)
        return _ratio(total - log_value, n - 1.0) if itself else _ratio(total, n)

    usual = _ratio(*_sums(known, log_value, known, SIDE))
    total, n = _sums(known, log_value - usual, wanted, FIGURE)
    own_total, own_n = _sums(known, log_value - usual, wanted, (*FIGURE, "reporter"))
    side = mean(SIDE)
    level = np.where(np.isnan(side), mean(("measure",)), side)  # a side that nobody reports
    mirror = _ratio(total - own_total, n - own_n) + level
    margins = level + np.nan_to_num(mean(ORIGIN) - level) + np.nan_to_num(mean(DESTINATION) - level)
    return np.column_stack([mean(SERIES), mirror, margins])


def _sums(
    known: pd.DataFrame, numbers: FloatArray, wanted: pd.DataFrame, keys: tuple[str, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return sum and number of the known rows that agree with each wanted row in `keys`."""
    names = list(keys)
    groups = known[names].assign(total=numbers, n=1.0).groupby(names, dropna=False)
    found = wanted[names].merge(groups.sum().reset_index(), on=names, how="left")
    both = found[["total", "n"]].fillna(0.0).to_numpy()
    return both[:, 0], both[:, 1]


def _ratio(total: FloatArray, n: FloatArray) -> FloatArray:
    return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))
