"""What is told of a projection in one number: a measure, of whom, when, and which quantile."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.errors import InputError, UsageError, require_word
from flowcast.places import code_kind, convert_code, is_grouping, members
from flowcast.projection.comparing import MEASURES, measure_of

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from flowcast.projection.start import ProjectionStart

__all__ = ["Outcome", "outcome_draws", "read_outcome", "require_outcome"]

_OUTCOME: Final = re.compile(r"(\w+):([^:\s]+):(\d{4})(?::(0?\.\d+))?")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One number of a case: a quantile of the draws of a measure.

    Attributes
    ----------
    measure
        One of those of `measure_of`: ``"immigration"``, ``"net"``, ``"population"``, ``"flow"``...
    places
        Codes or groupings, added up; of a flow its origin and its destination.
    year
        A year of the period that is meant; of a population the date.
    quantile
        Of the draws: 0.5 is the median.
    """

    measure: str
    places: tuple[str, ...]
    year: int
    quantile: float = 0.5

    def __post_init__(self) -> None:
        require_word("outcome", self.measure, MEASURES)
        if not 0.0 < self.quantile < 1.0:
            raise UsageError(f"(outcome) | found quantile {self.quantile:g}; allowed: 0 to 1")
        if not self.places or (self.measure == "flow" and len(self.places) != 2):
            allowed = "an origin and a destination" if self.measure == "flow" else "places"
            raise UsageError(f"(outcome) | found {len(self.places)} places; allowed: {allowed}")

    def __str__(self) -> str:
        joint = "/" if self.measure == "flow" else "+"
        level = "" if self.quantile == 0.5 else f":{self.quantile:g}"
        return f"{self.measure}:{joint.join(self.places)}:{self.year}{level}"


def read_outcome(text: str) -> Outcome:
    """Read an outcome as it is written on a command line.

    Parameters
    ----------
    text
        ``MEASURE:PLACES:YEAR``, and ``:QUANTILE`` if not the median. Several places are joined by
        ``+``, origin and destination of a flow by ``/``.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> read_outcome("immigration:DEU+AUT:2030").places
    ('DEU', 'AUT')
    >>> str(read_outcome("flow:SYR/DEU:2030:0.9"))
    'flow:SYR/DEU:2030:0.9'
    """
    hit = _OUTCOME.fullmatch(text.strip())
    if hit is None:
        allowed = "MEASURE:PLACES:YEAR, such as immigration:DEU:2030 or flow:SYR/DEU:2030:0.9"
        raise UsageError(f"(outcome) | found {text!r}; allowed: {allowed}")
    measure, places, year, level = hit.groups()
    listed = tuple(places.split("/" if measure == "flow" else "+"))
    return Outcome(measure, listed, int(year), float(level or 0.5))


def require_outcome(outcome: Outcome, places: Sequence[str], start: "ProjectionStart") -> None:
    """Refuse an outcome that a projection does not have.

    Raises
    ------
    UsageError
        If its year or a place is none of the projection's.
    """
    _place_in_time(outcome, start)
    _codes(outcome, places)


def outcome_draws(
    data: "xr.Dataset", outcome: Outcome, start: "ProjectionStart"
) -> "NDArray[np.float64]":
    """Return an outcome's draws, shape (draw,); `data` is as `Projection.data`."""
    codes = _codes(outcome, data["place"].to_numpy().tolist())
    if outcome.measure == "flow":
        meant = measure_of(data, "flow").sel(origin=codes[0], destination=codes[1])
        meant = meant.sum(("origin", "destination"))  # of the diagonal, which is NaN, nothing
    else:
        together = [code for each in codes for code in each]
        meant = measure_of(data, outcome.measure, tuple(dict.fromkeys(together)))
    return np.asarray(meant.sel(period=_place_in_time(outcome, start)), dtype=np.float64)


def _place_in_time(outcome: Outcome, start: "ProjectionStart") -> int:
    """Return the start of the period that is meant, or the date of a population."""
    periods = start.periods
    if outcome.measure == "population":
        dates = [*periods, start.end]
        if outcome.year not in dates:
            told = ", ".join(map(str, dates))
            raise UsageError(f"(outcome) | found {outcome}; allowed: populations of {told}")
        return outcome.year
    meant = [one for one in periods if one <= outcome.year < one + start.length]
    if not meant:
        told = f"{periods[0]} to {start.end - 1}"
        raise UsageError(f"(outcome) | found {outcome}; allowed: years of {told}")
    return int(meant[0])


def _codes(outcome: Outcome, places: Sequence[str]) -> list[list[str]]:
    """Return the places of the projection that each place of an outcome means."""
    kind = None
    found = []
    for token in outcome.places:
        if token in places:
            found.append([token])
            continue
        kind = kind or code_kind(places)
        try:
            meant = members(token, kind=kind) if is_grouping(token) else [convert_code(token, kind)]
        except InputError as error:
            raise UsageError(f"(outcome) | {error.faults[0]}") from None
        inside = [place for place in places if place in set(meant)]
        if not inside:
            raise UsageError(f"(outcome) | found {token}; allowed: {', '.join(places)}")
        found.append(inside)
    return found
