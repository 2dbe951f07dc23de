"""What learners look at: covariates, definitions, and what other reports say of the same places.

A report never sees itself. What is known of the rows that teach is what would have been known had
they been held out as the rows to predict are (`spread.imitate`): a learner that has always seen the
year after would otherwise lean on it, and find it missing.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.validation.baselines.cells import Cells
from flowcast.validation.baselines.rows import (
    DESTINATION,
    FIGURE,
    ORIGIN,
    SERIES,
    SIDE,
    FloatArray,
    Known,
    neighbours,
    ratio,
    sums,
)
from flowcast.validation.baselines.spread import imitate
from flowcast.vocabulary import GRADES

__all__ = ["build_features", "teaching_rows"]

PAIR: Final = ("measure", "origin", "destination")
OWN: Final = ("measure", "reporter", "tells")
DEFINED: Final = ("period", "side", "minimum", "undercount", "accuracy")


def teaching_rows(cells: Cells, known: Known) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Return the fitted reports that a learner is taught by.

    Returns
    -------
    features : ndarray, shape (row, feature)
    target : ndarray, shape (row,)
        log(value + 1/2).
    part : ndarray of int, shape (row,)
        Number of the part of `imitate` that a row was left out with.
    """
    log_value = cells.log_value
    features, target, part = [np.empty((0, 1))], [np.empty(0)], [np.empty(0, dtype=np.int64)]
    for k, (rows, mask) in enumerate(imitate(cells.table, cells.wanted, known.seed)):
        features.append(build_features(cells, mask, rows))
        target.append(log_value[rows])
        part.append(np.full(len(rows), k))
    return np.concatenate(features[1:] or features), np.concatenate(target), np.concatenate(part)


def build_features(cells: Cells, mask: NDArray[np.bool_], rows: NDArray[np.int64]) -> FloatArray:
    """Return the features of rows, given what some of the fitted reports say.

    Parameters
    ----------
    cells
        The rows there are: fitted ones, then those to predict.
    mask : ndarray of bool, shape (fitted row,)
        Which fitted reports may be looked at.
    rows : ndarray of int
        Positions of the rows that are described.

    Returns
    -------
    ndarray, shape (row, feature)
        NaN where nothing is known.
    """
    both = _both(cells)
    told, asked = both.iloc[np.flatnonzero(mask)], both.iloc[rows].reset_index(drop=True)
    log_value = cells.log_value[mask]

    def mean(keys: tuple[str, ...], apart: tuple[str, ...] = ()) -> FloatArray:
        total, n = sums(told, log_value, asked, keys)
        if apart:
            own_total, own_n = sums(told, log_value, asked, apart)
            total, n = total - own_total, np.rint(n - own_n)
        return ratio(total, n)

    swapped = asked.rename(columns={"origin": "destination", "destination": "origin"})
    back = ratio(*sums(told, log_value, swapped, PAIR))
    before, after = (neighbours(told, log_value, asked, later=later) for later in (False, True))
    other = [mean(keys, (*keys, "reporter")) for keys in (PAIR, FIGURE)]
    places = [mean(keys) for keys in (SERIES, ORIGIN, DESTINATION, OWN, SIDE)]
    defined = [asked[name].to_numpy(np.float64) for name in DEFINED]
    columns = [*places, *other, back, *before, *after, *defined]
    return np.column_stack([*columns, cells.covariates[rows]])


def _both(cells: Cells) -> pd.DataFrame:
    """Return fitted and wanted rows with their definitions as numbers."""
    both = pd.concat([cells.table.drop(columns="value"), cells.wanted], ignore_index=True)
    grades = {grade: float(k) for k, grade in enumerate(GRADES)}
    side = both["reporter"] == "origin"
    return both.assign(
        tells=both["origin"].where(side, both["destination"]),
        period=cells.labels["period"].astype(float),
        side=pd.factorize(cells.labels["channel"], sort=True)[0].astype(float),
        minimum=both["duration_months"],
        undercount=both["undercount_class"].map(grades),
        accuracy=both["accuracy_class"].map(grades),
    )
