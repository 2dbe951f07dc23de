"""The drivers that a scenario may change: what each is, in which unit, and what may be done to it.

A driver that is not here cannot be written into a scenario: its name, unit and range could not be
checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, get_args

from flowcast.errors import Fault, InputError, did_you_mean, nearest

__all__ = ["DRIVERS", "OPERATIONS", "Driver", "Operation", "Sign", "driver"]

Operation = Literal["path", "set", "multiply", "elasticity", "add"]
Scale = Literal["ratio", "interval", "share", "state"]
Sign = Literal["+", "-", "?"]
OPERATIONS: Final[tuple[str, ...]] = get_args(Operation)
"""In the order in which they are carried out."""

_ON_SCALE: Final[Mapping[Scale, tuple[Operation, ...]]] = MappingProxyType(
    {
        "ratio": ("path", "set", "multiply", "elasticity", "add"),
        "interval": ("path", "set", "add"),
        "share": ("path", "set", "multiply", "add"),
        "state": ("path", "set"),
    }
)
RATIO_UNIT: Final = "ratio"


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver.

    Attributes
    ----------
    name, title
        What it is called in files, and in words.
    of
        ``"place"`` or ``"corridor"``: what has a value of it each year.
    unit
        Its unit in a dataset of drivers.
    low, high
        The plausible range, in that unit. A value outside it is refused: it is far more often a
        mistaken unit than a bold scenario.
    scale
        ``"ratio"``: zero is none of it, factors have a meaning. ``"interval"``: only differences
        have one (degrees). ``"share"``: of 1. ``"state"``: one of `states`.
    leaving, arriving
        Monotone role: whether more of it means more people who leave the place (or the corridor is
        used more), and more who come, all else equal: ``"+"``, ``"-"``, or ``"?"`` where studies do
        not agree or it has none. Of a corridor both are the same.
    units
        Other units that a file may use, and what one of them is in `unit`.
    bases
        Units of the same thing on another base, without a factor: only for paths with an anchor.
    states
        Words for the values of a state.
    default
        Its value where a baseline has none of it, if it has one by definition.
    has_return_level
        Whether "a 1-in-50-year" value of it can be told from its history: not where it has a trend.
    """

    name: str
    title: str
    of: Literal["place", "corridor"]
    unit: str
    low: float
    high: float
    scale: Scale
    leaving: Sign = "?"
    arriving: Sign = "?"
    units: Mapping[str, float] = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    states: Mapping[str, float] = field(default_factory=dict)
    default: float | None = None
    has_return_level: bool = False

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What may be done to it."""
        return _ON_SCALE[self.scale]

    def factor(self, unit: str) -> float:
        """Return what one `unit` is in the driver's own; 1 for its own and for other bases.

        Examples
        --------
        >>> DRIVERS["population"].factor("million persons")
        1000000.0
        """
        return self.units.get(unit, 1.0)

    def number(self, value: float | str) -> float:
        """Return a number, or that of a state given by its word.

        Raises
        ------
        ValueError
            If there is no such state; the nearest is named.

        Examples
        --------
        >>> DRIVERS["visa"].number("required")
        2.0
        """
        if not isinstance(value, str):
            return float(value)
        if value in self.states:
            return self.states[value]
        allowed = ", ".join(self.states) or "a number"
        also = did_you_mean(value, self.states)
        raise ValueError(f"no state {value!r} of {self.name}; allowed: {allowed}{also}")


_INCOME_BASES = tuple(f"US${year} PPP per person" for year in (2011, 2017, 2021))

_ALL: Final = (
    Driver(
        "population",
        "Population of the place",
        "place",
        "persons",
        1.0,
        3e9,
        "ratio",
        "+",
        "+",
        {"thousand persons": 1e3, "million persons": 1e6},
    ),
    Driver(
        "working_age_share",
        "People aged 15 to 64 among all",
        "place",
        "share",
        0.3,
        0.95,
        "share",
        "+",
        "?",
        {"percent": 0.01},
    ),
    Driver(
        "gdp_per_head",
        "Gross domestic product a head and year, at purchasing power parity",
        "place",
        "US$2005 PPP per person",
        10.0,
        1e6,
        "ratio",
        "?",
        "+",
        {"thousand US$2005 PPP per person": 1e3},
        _INCOME_BASES,
    ),
    Driver(
        "education",
        "Mean years of schooling of people aged 25 and over",
        "place",
        "years",
        0.0,
        25.0,
        "ratio",
        "?",
        "?",
    ),
    Driver(
        "urban_share",
        "People who live in towns among all",
        "place",
        "share",
        0.0,
        1.0,
        "share",
        "?",
        "?",
        {"percent": 0.01},
    ),
    Driver(
        "temperature",
        "Mean air temperature of the year, weighted by population",
        "place",
        "°C",
        -30.0,
        45.0,
        "interval",
        "?",
        "?",
    ),
    Driver(
        "precipitation",
        "Precipitation of the year",
        "place",
        "mm per year",
        0.0,
        15000.0,
        "ratio",
        "?",
        "?",
        has_return_level=True,
    ),
    Driver(
        "drought",
        "Standardised precipitation-evapotranspiration index (SPEI), mean of the year: low is dry",
        "place",
        "standard deviations",
        -8.0,
        8.0,
        "interval",
        "?",
        "?",
        has_return_level=True,
    ),
    Driver(
        "crop_yield",
        "Yield of crops, as an index",
        "place",
        "index",
        0.0,
        2000.0,
        "ratio",
        "-",
        "?",
        has_return_level=True,
    ),
    Driver(
        "sea_level",
        "Mean sea level at the coast above that of 2000",
        "place",
        "m",
        -2.0,
        10.0,
        "interval",
        "+",
        "-",
        {"cm": 0.01, "mm": 0.001},
    ),
    Driver(
        "conflict",
        "Deaths in battle of the year",
        "place",
        "deaths per year",
        0.0,
        5e6,
        "ratio",
        "+",
        "-",
    ),
    Driver(
        "policy_openness",
        "How open a corridor is, relative to the policies of the baseline: 1 as there, 0 closed",
        "corridor",
        RATIO_UNIT,
        0.0,
        100.0,
        "ratio",
        "+",
        "+",
        default=1.0,
    ),
    Driver(
        "free_movement",
        "Whether people may move and work without a permit",
        "corridor",
        "state",
        0.0,
        1.0,
        "state",
        "+",
        "+",
        states={"no": 0.0, "yes": 1.0},
        default=0.0,
    ),
    Driver(
        "visa",
        "What citizens of the origin need to enter the destination",
        "corridor",
        "state",
        0.0,
        3.0,
        "state",
        "-",
        "-",
        states={"none": 0.0, "on_arrival": 1.0, "required": 2.0, "refused": 3.0},
    ),
    Driver(
        "return_propensity",
        "How readily people born in the destination go back to it, relative to the baseline: 1",
        "corridor",
        RATIO_UNIT,
        0.0,
        100.0,
        "ratio",
        "+",
        "+",
        default=1.0,
    ),
)
DRIVERS: Final[Mapping[str, Driver]] = MappingProxyType({one.name: one for one in _ALL})
"""Every driver by name."""


def driver(name: str) -> Driver:
    """Return a driver by its name.

    Raises
    ------
    InputError
        If there is none; the nearest is named.

    Examples
    --------
    >>> driver("gdp_per_haed")
    Traceback (most recent call last):
    flowcast.errors.InputError: 1 fault
      (driver) | found 'gdp_per_haed'; allowed: population, ...; did you mean gdp_per_head?
    """
    if name in DRIVERS:
        return DRIVERS[name]
    hint = nearest(name, DRIVERS) or ""
    raise InputError([Fault("driver", repr(name), ", ".join(DRIVERS), hint=hint)])
