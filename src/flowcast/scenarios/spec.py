"""A scenario as typed data: files, changes of drivers, shocks. No code, and nothing is read here.

What one key says alone is checked by the types below; what keys say together, by
`flowcast.scenarios._judging`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from flowcast.scenarios.catalogue import DRIVERS, Operation
from flowcast.scenarios.distributions import Distribution, as_distribution

__all__ = [
    "EVERYWHERE",
    "LAST_YEAR",
    "Change",
    "DataFile",
    "Entry",
    "Scenario",
    "Shock",
    "plain",
]

EVERYWHERE: Final = "*"
FIRST_YEAR: Final = 1000
LAST_YEAR: Final = 9999
"""Of a span without an end."""
_SPAN: Final = re.compile(r"(\d{4})(?:\s*([-\u2013])\s*(\d{4}|\d{2})?)?")
_YEARS: Final = "a year, a range such as 2027-2029 or 2027-, or a list of them"

Vary = Literal["together", "by_place"]
Years = tuple[tuple[int, int], ...]
Uncertain = float | str | Distribution


def _as_value(value: object) -> object:
    """Accept a number, the word of a state, or a distribution."""
    if isinstance(value, bool):
        raise ValueError("a number, a state in quotes, or a distribution such as {normal: [0, 1]}")
    return as_distribution(value) if isinstance(value, Mapping) else value


def _as_years(value: object) -> object:
    """Return spans of years, first and last, sorted."""
    if value is None:
        return None
    listed = list(value) if isinstance(value, list | tuple) else [value]
    if not listed:
        raise ValueError(_YEARS)
    return tuple(sorted(_span(one) for one in listed))


def _span(one: object) -> tuple[int, int]:
    if isinstance(one, tuple):
        first, last = one
        return int(first), int(last)
    hit = _SPAN.fullmatch(str(one).strip())
    if hit is None or isinstance(one, bool | float):
        raise ValueError(_YEARS)
    first = int(hit[1])
    last = LAST_YEAR if hit[2] else first
    if hit[3]:
        # 2027-29, as people write it.
        last = int(hit[3] if len(hit[3]) == 4 else hit[1][:2] + hit[3])
    if last < first:
        raise ValueError(f"{_YEARS}; the range {one} ends before it begins")
    return first, last


def _as_list(value: object) -> object:
    """Accept one place instead of a list of one."""
    return (value,) if isinstance(value, str) else value


def _as_driver(value: object) -> object:
    if isinstance(value, str) and value not in DRIVERS:
        raise ValueError(", ".join(DRIVERS))
    return value


ValueField = Annotated[Uncertain | None, BeforeValidator(_as_value)]
# What may stand there, for the page on scenario files; the types alone would not tell.
YearsField = Annotated[
    Years | None, BeforeValidator(_as_years), Field(description="years, or `null`")
]
TokensField = Annotated[
    tuple[str, ...], BeforeValidator(_as_list), Field(description="text, or a list of texts")
]
DriverField = Annotated[str, BeforeValidator(_as_driver), Field(description="[driver](#drivers)")]
Year = Annotated[int, Field(ge=FIRST_YEAR, le=LAST_YEAR)]
Matrix = Mapping[str, Mapping[str, float | str]]


class _Part(BaseModel):
    """A part of a scenario: unknown keys are refused, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class DataFile(_Part):
    """A file of values as its publisher has it; flowcast holds none of them."""

    source: str | None = None
    """Id of the source in [the registry](sources.md), whose reader is used. Empty: a table of your
    own with `place`, `year` and columns, and a dictionary of units beside it."""
    file: str | None = None
    """The file, relative to the scenario's. Empty: where `flowcast sources fetch` would put it."""
    scenario: str | None = None
    """Which of the publisher's scenarios to take, such as `SSP2` or `rcp85`."""
    model: str | None = None
    """Whose figures, where several models have given some."""
    column: str | None = None
    """Which column of the table, where it has several."""
    low: str | None = None
    """Column of the lower bound of what is uncertain; needs `high`."""
    high: str | None = None
    """Column of the upper bound. One quantile holds for all years, and for all places with
    `vary: together`."""
    prob: float = Field(default=0.8, gt=0.0, lt=1.0)
    """Probability between the bounds; they are taken for those of a normal with two half widths."""
    per: str | None = None
    """Another entry of `data`, by which this one is divided: GDP by population."""


class Entry(_Part):
    """What every change and shock says."""

    driver: DriverField
    """Which [driver](#drivers); the entry's own key, where this is empty."""
    unit: str
    """Unit of the numbers. For factors and elasticities `ratio`."""
    places: TokensField = (EVERYWHERE,)
    """Codes or groupings, for a driver of places; `"*"` is every place."""
    corridors: TokensField = (f"{EVERYWHERE}/{EVERYWHERE}",)
    """Origin and destination, for a driver of corridors: `SYR/DEU`, `"*/EU27_2020"`."""
    vary: Vary = "together"
    """Whether an uncertain value is one number in each draw, or one for each place (for corridors,
    each corridor)."""
    reference: str = Field(min_length=1)
    """What the number rests on: a DOI, an address, or words."""
    note: str = ""
    """A line for people."""


class Change(Entry):
    """A lasting change of a driver."""

    operation: Operation
    """`path`: follow values by year. `set`: take a value. `multiply`, `add`: the baseline times or
    plus a value. `elasticity`: respond to another driver of the same scenario."""
    value: ValueField = None
    """A number, the word of a state, or a [distribution](#distributions)."""
    path: Mapping[Year, float] | None = None
    """Year to value, for `operation: path`; between two years it is interpolated (growth at a
    constant rate, for drivers on a ratio scale), and outside them nothing changes."""
    data: str | None = None
    """Instead of `path`, an entry of `data`."""
    matrix: str | Matrix | None = None
    """Instead of `value` and `corridors`, a value for each corridor: a CSV beside the file (first
    column origins, a column for each destination, or columns `origin`, `destination`, `value`), or
    origin to destination to value. Empty cells change nothing."""
    of: DriverField | None = None
    """For `operation: elasticity`, the driver that is responded to."""
    years: YearsField = None
    """When: a year, a range (`2027-2029`, `2027-`), or a list of them; empty is always."""
    anchor: Year | Literal["first"] | None = None
    """For `operation: path`, a year in which the driver keeps its baseline (`first`: the first one
    that both have); afterwards the path tells how it changes since then. The driver is then the
    baseline times the ratio, or plus the difference on an interval scale; a share falls by the
    ratio and rises by the same part of what is left to 1. The path may be on another base."""
    scale: ValueField = None
    """With an anchor, the power of the ratio, or the factor of the difference; empty is 1."""


class Shock(Entry):
    """A change for a time: it starts, lasts, and dies away."""

    operation: Literal["multiply", "add"] | None = None
    """The driver times or plus the value; empty with a return period."""
    value: ValueField = None
    """A number or a [distribution](#distributions)."""
    return_period: float | None = Field(default=None, gt=1.0)
    """Instead of a value: as bad as one year in so many, by a distribution fitted to the driver's
    history in the place."""
    tail: Literal["low", "high"] | None = None
    """With a return period, which end is bad."""
    distribution: Literal["normal", "log_normal", "gumbel"] = "normal"
    """With a return period, which distribution is fitted to the history."""
    start: Year
    """First year."""
    duration: int = Field(default=1, ge=1)
    """Years in full."""
    half_life: float = Field(default=0.0, ge=0.0)
    """Afterwards, years in which half of what is left goes away; 0 ends it at once."""


class Scenario(_Part):
    """A whole scenario: what it is called, tells, reads and changes. No code.

    Examples
    --------
    >>> Scenario(name="nothing").drivers
    {}
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")
    """Name of the scenario in tables and messages."""
    title: str = ""
    """A line for people."""
    narrative: str = ""
    """The future it describes, in words."""
    extends: TokensField = ()
    """Scenarios it builds on, by name or path; what stands here goes before theirs."""
    codes: Literal["iso", "declared"] = "iso"
    """`declared`: codes of places are taken as they are."""
    data: Mapping[str, DataFile] = Field(default_factory=dict)
    """Files, each by a name of your own."""
    drivers: Mapping[str, Change] = Field(default_factory=dict)
    """Changes, each by a name of your own: that of the driver, or another and `driver`."""
    shocks: Mapping[str, Shock] = Field(default_factory=dict)
    """Shocks, each by a name of your own."""

    @property
    def entries(self) -> dict[str, Entry]:
        """Every change and shock by its key, such as ``shocks.drought``."""
        changes: dict[str, Entry] = {f"drivers.{key}": one for key, one in self.drivers.items()}
        return changes | {f"shocks.{key}": one for key, one in self.shocks.items()}


def plain(value: Any) -> Any:  # noqa: ANN401  # whatever a file may hold
    """Return a scenario or a part of it as it is written in a file, without what is a default."""
    if isinstance(value, Distribution):
        return value.plain
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        given = [name for name in fields if name in value.model_fields_set]
        return {name: _plain_field(name, getattr(value, name)) for name in given}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _plain_field(name: str, value: Any) -> Any:  # noqa: ANN401
    if name != "years" or value is None:
        return plain(value)
    return [
        first if first == last else f"{first}-{'' if last == LAST_YEAR else last}"
        for first, last in value
    ]
