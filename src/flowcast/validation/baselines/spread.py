"""Predictive spread from errors: of rows predicted as the held-out ones are, by class of size.

A point forecast says nothing of how far off it is. What it was off by on fitted reports that it had
not seen does, if they were unseen in the way in which the held-out ones are: not only the row, but
its period, its pair or its reporter where all of that is held out.
"""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._observation_checks import number_groups
from flowcast.validation.baselines.rows import FIGURE, PROBS, FloatArray, to_persons
from flowcast.validation.leakage import tell_place

__all__ = ["SIZES", "draws_by_size", "imitate"]

Mask = NDArray[np.bool_]
Part = tuple[NDArray[np.int64], Mask]

SIZES: Final = (50.0, 1000.0)
"""Classes of size, in persons, have these bounds: small counts are mostly noise."""
MIN_ERRORS: Final = 30
"""Errors of a class of size from which it has a spread of its own."""
PARTS: Final = 5


def draws_by_size(
    point: FloatArray,
    seen: FloatArray,
    error: FloatArray,
    *,
    scale: FloatArray | None = None,
    centred: bool = False,
) -> FloatArray:
    """Return points spread by the quantiles of the errors of points of the same class of size.

    Parameters
    ----------
    point
        What is predicted, log(persons + 1/2), shape (row,); NaN where nothing is.
    seen, error
        Predictions of fitted reports, and what the reports departed from them, shape (error,).
    scale
        Factor of the error of each row; without it 1.
    centred
        Whether the median of the errors is taken away, so that the median is the point.

    Returns
    -------
    ndarray, shape (99, row)
        Persons. Where a class has few errors, it takes those of all; without any, a row is a point.
    """
    bounds = np.log(SIZES)
    factor = np.ones(len(point)) if scale is None else scale
    there = np.isfinite(error) & np.isfinite(seen)
    seen, error = seen[there], error[there]
    out = np.full((len(PROBS), len(point)), np.nan)
    for size in range(len(SIZES) + 1):
        rows = (np.searchsorted(bounds, point) == size) & ~np.isnan(point)
        made = error[np.searchsorted(bounds, seen) == size]
        made = made if len(made) >= MIN_ERRORS else error
        quantiles = np.quantile(made, PROBS) if len(made) else np.zeros(len(PROBS))
        if centred and len(made):
            quantiles = quantiles - np.median(made)
        out[:, rows] = to_persons(point[rows] + factor[rows] * quantiles[:, None])
    return out


def imitate(fitted: pd.DataFrame, held_out: pd.DataFrame, seed: int) -> Iterator[Part]:
    """Divide fitted reports as the held-out ones were divided from them.

    Where all held-out periods come later, each fitted report is to be predicted from what was known
    one, two, ... periods before it. Where most held-out reports are of places, reporters or pairs
    that no fitted report is of, such are left out together; otherwise single figures.

    Parameters
    ----------
    fitted, held_out
        Rows of the observation contract; of the held-out ones without values.
    seed
        Of the division.

    Yields
    ------
    rows : ndarray of int
        Positions of fitted reports to predict; each is in at most one part.
    known : ndarray of bool, shape (fitted row,)
        The fitted reports to predict them from.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 23]))
    if held_out["period_start"].min() > fitted["period_start"].max():
        yield from _forward(fitted, held_out["period_start"].nunique(), rng)
        return
    if _mostly_new(held_out, fitted, _places):
        yield from _by_place(fitted, rng)
        return
    group = number_groups(fitted.assign(place=tell_place(fitted)), _group_keys(fitted, held_out))
    part = rng.permutation(group.max() + 1)[group] % PARTS if len(fitted) else group
    for k in range(PARTS):
        if (part == k).any() and (part != k).any():
            yield np.flatnonzero(part == k), part != k


def _forward(fitted: pd.DataFrame, ahead: int, rng: np.random.Generator) -> Iterator[Part]:
    starts = np.sort(fitted["period_start"].unique())
    at = np.searchsorted(starts, fitted["period_start"].to_numpy())
    last = at - rng.integers(1, ahead + 1, len(fitted))
    for cut in range(len(starts)):
        rows = np.flatnonzero(last == cut)
        if len(rows):
            yield rows, at <= cut


def _by_place(fitted: pd.DataFrame, rng: np.random.Generator) -> Iterator[Part]:
    names = sorted(set(_places(fitted)))
    part = dict(zip(names, rng.permutation(len(names)) % PARTS, strict=True))
    sides = [fitted[side].map(part).to_numpy(float) for side in ("origin", "destination")]
    done = np.zeros(len(fitted), dtype=bool)
    for k in range(PARTS):
        about = (sides[0] == k) | (sides[1] == k)
        rows = np.flatnonzero(about & ~done)
        done |= about
        if len(rows) and not about.all():
            yield rows, ~about


def _places(table: pd.DataFrame) -> pd.Series:
    places: pd.Series = pd.concat([table["origin"], table["destination"]]).dropna()
    return places


def _pairs(table: pd.DataFrame) -> pd.Series:
    names: pd.Series = table["origin"].fillna("") + " to " + table["destination"].fillna("")
    return names


def _periods(table: pd.DataFrame) -> pd.Series:
    return table["period_start"]


def _mostly_new(
    held_out: pd.DataFrame, fitted: pd.DataFrame, name: Callable[[pd.DataFrame], pd.Series]
) -> bool:
    """Return whether most held-out reports are of something that no fitted report is of."""
    new = ~name(held_out).isin(name(fitted).unique())
    # A report has two places, one of which is new where places are held out.
    rows = new.groupby(level=0).any()
    return bool(rows.mean() > 0.5)


def _group_keys(fitted: pd.DataFrame, held_out: pd.DataFrame) -> list[str]:
    if _mostly_new(held_out, fitted, tell_place):
        return ["place"]
    if _mostly_new(held_out, fitted, _pairs):
        return ["origin", "destination"]
    if _mostly_new(held_out, fitted, _periods):
        return ["period_start"]
    return [*FIGURE, "reporter"]
