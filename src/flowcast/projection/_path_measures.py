"""Measures of places taken from paths, block by block: what needs no dataset of all draws."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import require_word
from flowcast.projection.simulation import Path

if TYPE_CHECKING:
    from flowcast.projection.start import ProjectionStart

__all__ = ["blocks_of", "days_of", "outcomes", "require_measures"]

OF_PLACES = ("immigration", "emigration", "net", "population")
BLOCK = 20


def require_measures(measures: Sequence[str]) -> None:
    """Refuse measures that are not those of places."""
    for measure in measures:
        require_word("measures", measure, OF_PLACES)


def outcomes(path: Path, measures: Sequence[str]) -> NDArray[np.float64]:
    """Return (measure, place, period); populations are those at the periods' ends."""
    parts = {
        "immigration": path.immigration,
        "emigration": path.emigration,
        "net": path.immigration - path.emigration,
        "population": path.population[:, 1:],
    }
    return np.stack([parts[measure] for measure in measures])


def days_of(start: "ProjectionStart", measure: str, period: int) -> tuple[int, int]:
    """Return first year of a period and first year after it; of a population its date, twice."""
    first = start.periods[period]
    after = first + start.length
    return (after, after) if measure == "population" else (first, after)


def blocks_of(draws: int) -> list[range]:
    """Return the draws in blocks of which a few are held at once."""
    return [range(first, min(first + BLOCK, draws)) for first in range(0, draws, BLOCK)]
