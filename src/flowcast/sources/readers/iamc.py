"""Scenario data in IAMC format of any publisher: what drivers of migration are made of.

Databases of scenarios (SSP, AR6 and those built like them) export one table for all: model,
scenario, region, variable, unit, and years. Of its variables those are taken that drivers can be
made of, with the unit mapped; everything else is left out and counted.

Sources
-------
Integrated Assessment Modeling Consortium, data format as `pyam` and IIASA's databases have it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast._iamc_codes import place_of_region
from flowcast.errors import Faults, nearest
from flowcast.sources.readers._common import LeftOut, as_covariates
from flowcast.sources.readers._iamc_tables import only, read_long
from flowcast.sources.readers._tables import add_limited, parse_numbers, parse_years, row_of

__all__ = ["read_scenario_data", "scenario_data"]

DOLLARS: Final = re.compile(r"(billion |million |thousand |)(?:US\$|USD_?)(\d{4})(/capita)?(/yr)?")
MANY: Final = {"billion ": 1e9, "million ": 1e6, "thousand ": 1e3, "": 1.0}
ALIKE: Final = 0.85
"""From here on a region is taken for a misspelt country; names of groups of countries lie below."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What some variables measure: the units they come in, and ours.

    Attributes
    ----------
    variables
        Pattern of their names.
    units
        Unit of the file to our unit and factor; empty for dollars, whose year is in the unit.
    per_head
        Whether the dollars are those of one person.
    """

    variables: re.Pattern[str]
    units: Mapping[str, tuple[str, float]]
    per_head: bool = False

    def convert(self, unit: str) -> tuple[str, float] | None:
        """Return our unit and the factor, or None for a unit that is not known."""
        if self.units:
            return self.units.get(unit)
        hit = DOLLARS.fullmatch(unit)
        if hit is None or (hit[3] and not self.per_head):
            return None
        return f"US${hit[2]} PPP{' per person' if self.per_head else ''}", MANY[hit[1]]

    @property
    def allowed(self) -> str:
        """What a message says of its units."""
        return ", ".join(self.units) or "dollars of a year, such as billion USD_2017/yr"


# The first that fits holds.
QUANTITIES: Final = (
    Quantity(re.compile(r"Population\|.+(\|Share| \[Share\])"), {"%": ("share", 0.01)}),
    Quantity(
        re.compile(r"Population(\|.+)?"),
        {"million": ("persons", 1e6), "thousand": ("persons", 1e3)},
    ),
    Quantity(re.compile(r"GDP\|PPP \[per capita\]"), {}, per_head=True),
    Quantity(re.compile(r"GDP\|PPP"), {}),
    # Warming is a difference: one K is one °C.
    Quantity(
        re.compile(r"(.+\|)?(Surface Temperature \(GSAT\)|Temperature\|Global Mean)(\|.+)?"),
        {"K": ("°C", 1.0), "°C": ("°C", 1.0)},
    ),
)


def read_scenario_data(
    path: Path, *, scenario: str, model: str = "", mapping: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Read what a file in IAMC format has of one scenario.

    Parameters
    ----------
    path
        CSV (plain or gzip) or workbook.
    scenario
        The scenario as the file names it, such as ``SSP2``.
    model
        Whose figures, where several models have given some.
    mapping
        Variables to take, and what to call them; by default every one that drivers can be made of,
        under the name it has.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, and a column for each variable, in persons, ``US$2017 PPP``
        (of the year that the file says), ``US$2017 PPP per person``, shares of 1, or °C.
        The region ``World`` is the grouping `world`; other groups of countries are left out.

    Raises
    ------
    InputError
        With every fault: of the file, a variable that is not there or not known, a unit that its
        variable cannot have, a region that looks like a misspelt country, a figure that stands
        twice; or if it has no such scenario, or figures of several models and none is asked for.
    """
    faults = Faults(str(path))
    return scenario_data(read_long(path, faults), faults, scenario, model, mapping)


def scenario_data(
    frame: pd.DataFrame,
    faults: Faults,
    scenario: str,
    model: str,
    mapping: Mapping[str, str] | None,
) -> pd.DataFrame:
    """Return covariates from a row of text for each figure; as `read_scenario_data`."""
    left = LeftOut()
    frame = only(frame, "scenario", scenario, left, faults)
    frame = only(frame, "model", model, left, faults)
    frame = _wanted(frame, mapping, left, faults)
    known = {variable: _quantity(variable) for variable in frame["variable"].unique()}
    pairs = list(zip(frame["variable"], frame["unit"], strict=True))
    factors, units = _convert(pairs, known, frame.index, faults)
    frame["place"] = _places(frame["region"], faults)
    frame["year"] = parse_years(frame["year"], faults, "year")
    values = parse_numbers(frame["value"], faults, "value")
    faults.raise_if_any()
    # Rounded to the grain of the file: a product of floats is not quite the figure.
    frame["value"] = (values * factors).round(10)
    frame = left.drop_codes(frame, "place", frame["region"])
    frame["name"] = frame["variable"].map(dict(mapping) if mapping else {v: v for v in known})
    for row in frame.index[frame.duplicated(["place", "year", "name"])]:
        add_limited(faults, "the same figure again", "each figure once", row=row_of(row))
    faults.raise_if_any()
    names = {(mapping or {}).get(variable, variable): unit for variable, unit in units.items()}
    wide = frame.pivot(index=["place", "year"], columns="name", values="value").reset_index()
    return as_covariates(wide, names, left, faults)


def _quantity(variable: str) -> Quantity | None:
    return next((q for q in QUANTITIES if q.variables.fullmatch(variable)), None)


def _wanted(
    frame: pd.DataFrame, mapping: Mapping[str, str] | None, left: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return the rows of the variables that are asked for, or of all that are known."""
    there = [str(name) for name in frame["variable"].unique()]
    asked = list(mapping or [])
    for name in (n for n in asked if n not in there):
        hint = nearest(name, there)
        faults.add(f"no {name!r}", "a variable of the file", column="variable", hint=hint)
    for name in (n for n in asked if n in there and _quantity(n) is None):
        faults.add(repr(name), _described(), column="variable")
    names = [n for n in asked or there if n in there and _quantity(n) is not None]
    if not names and not faults:
        shown = ", ".join(map(repr, there[:3])) + (", ..." if len(there) > 3 else "")
        faults.add(f"only {shown}", _described(), column="variable")
    faults.raise_if_any()
    return left.drop(frame, ~frame["variable"].isin(names), "another variable").copy()


def _described() -> str:
    return (
        "population and parts or shares of it, GDP|PPP, GDP|PPP [per capita], "
        "Surface Temperature (GSAT), Temperature|Global Mean"
    )


def _convert(
    pairs: list[tuple[str, str]],
    known: Mapping[str, Quantity | None],
    rows: pd.Index,
    faults: Faults,
) -> tuple[list[float], dict[str, str]]:
    """Return the factor of each row, and our unit of each variable."""
    found: dict[tuple[str, str], float] = {}
    units: dict[str, str] = {}
    for row, (variable, unit) in zip(rows, pairs, strict=True):
        if (variable, unit) in found:
            continue
        quantity = known[variable]
        assert quantity is not None  # rows of others are left out before
        ours, factor = quantity.convert(unit) or ("", float("nan"))
        found[variable, unit] = factor
        if not ours:
            hint = nearest(unit, quantity.units)
            told = f"{quantity.allowed}, for {variable}"
            faults.add(repr(unit), told, row=row_of(row), column="unit", hint=hint)
        elif units.setdefault(variable, ours) != ours:
            told = f"one unit for {variable}: {units[variable]}"
            faults.add(repr(unit), told, row=row_of(row), column="unit")
    return [found[pair] for pair in pairs], units


def _places(regions: pd.Series, faults: Faults) -> pd.Series:
    """Return the code of each region, missing for groups; what looks misspelt is a fault."""
    known = place_of_region()
    table: dict[str, str | None] = {}
    for row, region in regions.items():
        if region in table:
            continue
        folded = str(region).casefold()
        table[str(region)] = known.get(folded)
        if folded not in known and (like := _misspelt(folded)):
            told = "a country by name or ISO code, or World"
            faults.add(repr(region), told, row=row_of(row), column="region", hint=like)
    return regions.map(table).astype("str")


def _misspelt(region: str) -> str | None:
    """Return the name of the country that is meant, in its usual letters."""
    names = [name for name in place_of_region() if len(name) > 3]
    hits = get_close_matches(region, names, n=1, cutoff=ALIKE)
    return hits[0].title() if hits else None
