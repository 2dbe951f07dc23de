"""Baselines of the displacement benchmark: predictions of the same rows from the same past.

Each takes what was known at the origin and returns 99 quantiles of each unit's count `ahead` years
later. What they learn from are earlier years of the same panel: rows of units that had entered it,
whose outcome lies in the years known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import nbinom, poisson
from threadpoolctl import threadpool_limits

from flowcast.displacement._features import terms
from flowcast.displacement._layout import centre_of, histories
from flowcast.displacement.panel import DisplacementPanel
from flowcast.displacement.spec import DisplacementSpec
from flowcast.validation.baselines.learners import (
    boosted_quantiles,
    calibrated,
    forest_quantiles,
)
from flowcast.validation.baselines.rows import PROBS

__all__ = ["BASELINES", "Past", "predict"]

type Floats = NDArray[np.float64]

CLASSES: Final = 3
"""Of size, beside zero, within which errors of the past are taken to be alike."""
MIN_CLASS: Final = 10
MAX_LEARNED: Final = 12_000
"""Rows that the learners are given at most, drawn at random."""
MIN_ASIDE: Final = 50


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What is known at the origin, and rows of earlier years to learn from.

    Attributes
    ----------
    values
        Counts, (unit, year).
    entered
        Whether the unit had entered the panel by the end of the year, (unit, year).
    features
        At the end of each year, (unit, year, feature).
    """

    values: Floats
    entered: NDArray[np.bool_]
    features: Floats
    seed: int

    @classmethod
    def of(cls, panel: DisplacementPanel, drivers: xr.Dataset | None, seed: int) -> "Past":
        """Return the past of a panel: the same features as the model has, and some more."""
        scales, centre = centre_of(panel, DisplacementSpec())
        values = panel.values
        logs = np.log1p(values)
        place = np.unique(panel.names("place"), return_inverse=True)[1]
        hazard = np.unique(panel.names("hazard"), return_inverse=True)[1].astype(float)
        total = np.stack([np.bincount(place, column) for column in np.nan_to_num(values).T])
        known = np.isfinite(values)
        count = np.maximum(known.cumsum(axis=1), 1)
        mean = np.nan_to_num(logs).cumsum(axis=1) / count
        columns = [
            [*terms(history, centre).values(), history.positive * history.last]
            for history in histories(values, scales)[1:]
        ]
        parts = [np.stack([np.stack(one, axis=-1) for one in columns], axis=1)]
        parts += [one[..., None] for one in (logs, mean, np.log1p(total.T[place]))]
        parts.append(np.broadcast_to(hazard[:, None, None], (*values.shape, 1)))
        parts.append(np.broadcast_to(panel.years[None, :, None], (*values.shape, 1)))
        if drivers is not None:
            parts += [drivers[name].to_numpy()[..., None] for name in drivers.data_vars]
        return cls(values, panel.entered, np.concatenate(parts, axis=-1), seed)

    def rows(self, ahead: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return unit and year of rows whose outcome `ahead` years later is known."""
        now, later = self.values[:, :-ahead], self.values[:, ahead:]
        good = self.entered[:, :-ahead] & np.isfinite(now) & np.isfinite(later)
        unit, year = good.nonzero()
        return unit, year

    @property
    def last(self) -> Floats:
        """Return the last known count of each unit."""
        known = np.isfinite(self.values)
        at = self.values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
        return np.asarray(self.values[np.arange(len(at)), at])


def predict(name: str, past: Past, ahead: int) -> Floats:
    """Return 99 quantiles of each unit's count, (99, unit), whole persons."""
    log_or_count = BASELINES[name](past, ahead)
    return np.asarray(np.maximum(np.round(log_or_count), 0.0))


def _spread(centre: Floats, taught: Floats, outcome: Floats) -> Floats:
    """Return centres with the errors that such predictions had, by size, on log(1 + count)."""
    edges = np.quantile(taught[taught > 0], np.arange(1, CLASSES) / CLASSES)
    of = np.where(taught > 0, 1 + np.searchsorted(edges, taught), 0)
    asked = np.where(centre > 0, 1 + np.searchsorted(edges, centre), 0)
    out = np.empty((len(PROBS), len(centre)))
    for k in range(CLASSES + 1):
        errors = (outcome - taught)[of == k]
        if len(errors) < MIN_CLASS:
            errors = outcome - taught
        out[:, asked == k] = centre[asked == k] + np.quantile(errors, PROBS)[:, None]
    return np.expm1(np.maximum(out, 0.0))


def _persistence(past: Past, ahead: int) -> Floats:
    unit, year = past.rows(ahead)
    then, later = past.values[unit, year], past.values[unit, year + ahead]
    return _spread(np.log1p(past.last), np.log1p(then), np.log1p(later))


def _means(past: Past) -> Floats:
    """Return the mean of log(1 + count) of the years up to each, (unit, year)."""
    known = np.isfinite(past.values)
    logs = np.log1p(np.nan_to_num(past.values))
    return np.asarray(logs.cumsum(axis=1) / np.maximum(known.cumsum(axis=1), 1))


def _country_mean(past: Past, ahead: int) -> Floats:
    unit, year = past.rows(ahead)
    mean = _means(past)
    later = past.values[unit, year + ahead]
    return _spread(mean[:, -1], mean[unit, year], np.log1p(later))


def _own_years(past: Past, ahead: int) -> Floats:
    del ahead  # any year is like any other
    found = [np.quantile(one[np.isfinite(one)], PROBS) for one in past.values]
    return np.stack(found, axis=1)


def _last_value_poisson(past: Past, ahead: int) -> Floats:
    del ahead
    mean = np.where(past.last > 0, past.last, 0.5)
    return np.asarray(poisson.ppf(PROBS[:, None], mean))


def _last_value_negative_binomial(past: Past, ahead: int) -> Floats:
    unit, year = past.rows(ahead)
    then, later = past.values[unit, year], past.values[unit, year + ahead]
    out = np.empty((len(PROBS), len(past.last)))
    # A zero says another thing than a count does: two dispersions, and a mean of what follows it.
    for zero in (True, False):
        taught, asked = (then == 0) == zero, (past.last == 0) == zero
        if not taught.any():
            taught = np.ones(len(then), dtype=bool)
        outcome = later[taught]
        mean = np.full(len(outcome), max(outcome.mean(), 0.5)) if zero else then[taught]

        def minus_log(log_size: float, mean: Floats = mean, outcome: Floats = outcome) -> float:
            size = np.exp(log_size)
            return -float(nbinom.logpmf(outcome, size, size / (size + mean)).sum())

        size = np.exp(minimize_scalar(minus_log, bounds=(-7.0, 7.0), method="bounded").x)
        told = np.full(asked.sum(), mean[0]) if zero else past.last[asked]
        out[:, asked] = nbinom.ppf(PROBS[:, None], size, size / (size + told))
    return out


def _learner(
    learn: Callable[[Floats, Floats, Floats, int], Floats],
) -> Callable[[Past, int], Floats]:
    def predicted(past: Past, ahead: int) -> Floats:
        unit, year = past.rows(ahead)
        rng = np.random.default_rng([past.seed, ahead])
        if len(unit) > MAX_LEARNED:
            chosen = rng.choice(len(unit), MAX_LEARNED, replace=False)
            unit, year = unit[chosen], year[chosen]
        x, y = past.features[unit, year], np.log1p(past.values[unit, year + ahead])
        # The last year to learn from is set aside, to widen quantiles by what they miss there.
        kept = year < year.max()
        if min(kept.sum(), (~kept).sum()) < MIN_ASIDE:
            kept = np.ones(len(y), dtype=bool)
        asked = np.concatenate([x[~kept], past.features[:, -1]])
        with threadpool_limits(1):
            quantiles = learn(x[kept], y[kept], asked, past.seed)
        aside, rest = np.split(quantiles, [int((~kept).sum())], axis=1)
        return np.expm1(np.maximum(calibrated(rest, aside, y[~kept]), 0.0))

    return predicted


BASELINES: Final[Mapping[str, Callable[[Past, int], Floats]]] = {
    "persistence": _persistence,
    "country_mean": _country_mean,
    "own_years": _own_years,
    "last_value_poisson": _last_value_poisson,
    "last_value_negative_binomial": _last_value_negative_binomial,
    "random_forest": _learner(forest_quantiles),
    "gradient_boosting": _learner(boosted_quantiles),
}
"""What each predicts by: see the table of the page."""
