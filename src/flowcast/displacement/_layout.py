"""Which columns the model's two parts have, the same when it is fitted and when carried forward."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flowcast.displacement._features import History, Scales, terms
from flowcast.displacement.panel import DisplacementPanel
from flowcast.displacement.spec import DisplacementSpec
from flowcast.places import members

__all__ = ["Drivers", "Layout", "Parts", "centre_of", "group_units", "histories", "split"]

type Floats = NDArray[np.float64]
type Ints = NDArray[np.intp]

REGIONS: Final = (
    "australia_and_new_zealand", "caribbean", "central_america", "central_asia", "eastern_africa",
    "eastern_asia", "eastern_europe", "melanesia", "micronesia", "middle_africa",
    "northern_africa", "northern_america", "northern_europe", "polynesia", "south_america",
    "south_eastern_asia", "southern_africa", "southern_asia", "southern_europe", "western_africa",
    "western_asia", "western_europe",
)  # fmt: skip
"""Subregions of M49, which part the world."""


@dataclass(frozen=True, slots=True, eq=False)
class Drivers:
    """Drivers of the fitted years, in units of their sd; 0 is the mean and where none is known."""

    names: tuple[str, ...]
    values: Floats

    @property
    def last(self) -> Floats:
        """Return the last year's, held in a forecast, (unit, driver)."""
        return self.values[:, -1]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Units by hazard and group, and what their past is measured against.

    Attributes
    ----------
    hazards
        Names; one that is empty where the source has none.
    hazard
        Of each unit, (unit,).
    groupings
        Names of the groupings of units.
    groups
        Group of each unit, for each grouping.
    scales
        See `Scales`.
    centre
        Mean log of all positive counts.
    """

    hazards: tuple[str, ...]
    hazard: Ints
    groupings: tuple[str, ...]
    groups: tuple[Ints, ...]
    scales: Scales
    centre: float

    def columns(self, history: History, names: Sequence[str]) -> Floats:
        """Return the terms of these names, (unit, term)."""
        found = terms(history, self.centre)
        return np.stack([found[name] for name in names], axis=-1)

    def design(self, features: Floats, drivers: Floats, unit: Ints) -> Floats:
        """Return intercepts, terms, their departures by hazard, and drivers, (row, column)."""
        hazard = self.hazard[unit]
        n_hazard = len(self.hazards)
        intercepts = np.zeros((len(unit), n_hazard))
        intercepts[np.arange(len(unit)), hazard] = 1.0
        parts = [intercepts, features]
        if n_hazard > 1:
            parts += [intercepts[:, [h]] * features for h in range(n_hazard)]
        return np.hstack([*parts, drivers])

    def coefficient_sd(self, n_term: int, n_driver: int, spec: DisplacementSpec) -> Floats:
        """Return the prior sd of each column of `design`."""
        n_hazard = len(self.hazards)
        apart = n_hazard * n_term if n_hazard > 1 else 0
        return np.concatenate(
            [
                np.full(n_hazard, 2.0 * spec.coefficient_sd),
                np.full(n_term, spec.coefficient_sd),
                np.full(apart, spec.hazard_sd),
                np.full(n_driver, spec.driver_sd),
            ]
        )


@dataclass(frozen=True, slots=True)
class Parts:
    """Coefficients of a design by what they multiply: (hazard,), (hazard, term), (driver,)."""

    intercepts: Floats
    slopes: Floats
    drivers: Floats

    def linear(self, features: Floats, drivers: Floats, hazard: Ints) -> Floats:
        """Return what they add up to for each unit, (unit,)."""
        slopes = self.slopes[hazard]
        own = self.intercepts[hazard] + (features * slopes).sum(axis=-1)
        return np.asarray(own + drivers @ self.drivers)


def split(coefficients: Floats, n_hazard: int, n_term: int) -> Parts:
    """Return the coefficients of `Layout.design` by what they multiply."""
    intercepts, rest = np.split(coefficients, [n_hazard])
    common, rest = np.split(rest, [n_term])
    slopes = np.tile(common, (n_hazard, 1))
    if n_hazard > 1:
        apart, rest = np.split(rest, [n_hazard * n_term])
        slopes = slopes + apart.reshape(n_hazard, n_term)
    return Parts(intercepts, slopes, rest)


def centre_of(panel: DisplacementPanel, spec: DisplacementSpec) -> tuple[Scales, float]:
    """Return what units' pasts are measured against, from the years known."""
    values = panel.values
    names, hazard = np.unique(panel.names("hazard"), return_inverse=True)
    known, positive = np.isfinite(values), np.nan_to_num(values) > 0
    logs = np.log(np.where(positive, values, 1.0))
    overall = float(logs.sum() / max(positive.sum(), 1))
    n = len(names)
    times = np.bincount(hazard, positive.sum(axis=1), n)
    years = np.bincount(hazard, known.sum(axis=1), n)
    # Five years of the whole beside those of the hazard: a rare one has hardly any of its own.
    level = (np.bincount(hazard, logs.sum(axis=1), n) + 5 * overall) / (times + 5)
    share = (times + 5 * positive.sum() / max(known.sum(), 1)) / (years + 5)
    decay = 0.5 ** (1.0 / spec.half_life)
    return Scales(level[hazard], share[hazard], decay), overall


def histories(values: Floats, scales: Scales) -> list[History]:
    """Return the past before each year, and after the last one."""
    found = [History.before(scales, values.shape[:1])]
    for year in range(values.shape[1]):
        found.append(found[-1].follow(values[:, year], scales))
    return found


def group_units(panel: DisplacementPanel) -> tuple[tuple[str, ...], tuple[Ints, ...]]:
    """Return groupings of units that share effects: places, destinations, regions and hazards.

    A grouping with as many groups as units, or with one only, would say nothing.
    """
    place, hazard = panel.names("place"), panel.names("hazard")
    regions = np.array([f"{_regions().get(p, '')} {h}" for p, h in zip(place, hazard, strict=True)])
    labels = {"place": place, "destination": panel.names("destination"), "region": regions}
    found = {name: np.unique(label, return_inverse=True) for name, label in labels.items()}
    kept = {n: at for n, (codes, at) in found.items() if 1 < len(codes) < len(place)}
    return tuple(kept), tuple(kept.values())


@cache
def _regions() -> dict[str, str]:
    return {code: region for region in REGIONS for code in members(region, kind="alpha2")}
