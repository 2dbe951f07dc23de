"""What the past of a unit says of its next year: a few numbers, kept up year by year.

The same numbers are made from reports when a model is fitted, and from draws when it is carried
forward, so that a forecast of three years is three forecasts of one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["MAGNITUDE_TERMS", "OCCURRENCE_TERMS", "SCALE_TERMS", "History", "Scales", "terms"]

type Floats = NDArray[np.float64]

OCCURRENCE_TERMS: Final = ("last_year", "frequency", "level")
MAGNITUDE_TERMS: Final = ("level", "above_level", "not_last_year", "frequency")
SCALE_TERMS: Final = ("level", "not_last_year")
NEAREST: Final = 0.02
"""Frequencies are kept as far from 0 and 1, where their normal scores end."""
LEVEL_SPREAD: Final = 2.0
"""Logs by which levels are divided: about their spread among units, so that priors fit."""


@dataclass(frozen=True, slots=True)
class Scales:
    """What the past is before there is any: mean log of positive counts, and how frequent they are.

    Attributes
    ----------
    level, frequency
        Of each unit's group (hazard), (unit,).
    decay
        Weight of a year against that of the next one.
    prior_years
        Years that the group counts for in a unit's own past.
    """

    level: Floats
    frequency: Floats
    decay: float
    prior_years: float = 1.0


@dataclass(slots=True)
class History:
    """The past of units, discounted; each array (..., unit)."""

    last: Floats
    positive: Floats
    weight: Floats
    occurred: Floats
    weight_positive: Floats
    logs: Floats

    @classmethod
    def before(cls, scales: Scales, shape: tuple[int, ...]) -> "History":
        """Return a past of which nothing is known."""
        one = np.full(shape, scales.prior_years)
        return cls(
            np.zeros(shape),
            np.zeros(shape),
            one,
            one * scales.frequency,
            one.copy(),
            one * scales.level,
        )

    def follow(self, count: Floats, scales: Scales) -> "History":
        """Return the past one year later; an unknown count (NaN) leaves it as it was."""
        known = np.isfinite(count)
        positive = known & (np.nan_to_num(count) > 0)
        log = np.log(np.where(positive, count, 1.0))
        d = scales.decay
        return History(
            np.where(known, log, self.last),
            np.where(known, positive, self.positive),
            np.where(known, d * self.weight + 1.0, self.weight),
            np.where(known, d * self.occurred + positive, self.occurred),
            np.where(positive, d * self.weight_positive + 1.0, self.weight_positive),
            np.where(positive, d * self.logs + log, self.logs),
        )


def terms(history: History, centre: float) -> dict[str, Floats]:
    """Return what the next year hangs on, by name, each (..., unit).

    ``last_year`` is 1 after a year with displacement; ``frequency`` the normal score of the share
    of such years, ``level`` the mean log of their counts, both discounted; ``above_level`` by how
    much the last year was above it.
    """
    level = history.logs / history.weight_positive
    share = np.clip(history.occurred / history.weight, NEAREST, 1.0 - NEAREST)
    return {
        "last_year": history.positive,
        "not_last_year": 1.0 - history.positive,
        "frequency": ndtri(share),
        "level": (level - centre) / LEVEL_SPREAD,
        "above_level": history.positive * (history.last - level) / LEVEL_SPREAD,
    }
