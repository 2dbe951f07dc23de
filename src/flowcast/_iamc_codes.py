"""Code lists of the IAMC format as flowcast ships them: regions, variables, percentiles."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from flowcast.places import members, resolve_place
from flowcast.resources import embedded_path

__all__ = [
    "country_regions",
    "definitions_folder",
    "grouping_regions",
    "percentile_name",
    "percentile_names",
    "place_of_region",
]

WORLD: Final = "world"
# Kosovo has no code in ISO 3166. Of the two in use nomenclature has KOS.
OTHER_CODES: Final = {"KOS": "XKX"}


def definitions_folder() -> Path:
    """Return the folder of code lists in nomenclature's form: `variable/` and `region/`.

    Examples
    --------
    >>> sorted(path.name for path in definitions_folder().iterdir())
    ['region', 'variable']
    """
    return embedded_path("data", "codelists", "iamc", "definitions")


def _read(*parts: str) -> list[tuple[str, dict[str, object]]]:
    """Return names and attributes of the one list in a file, which stands under a heading."""
    text = definitions_folder().joinpath(*parts).read_text(encoding="utf-8")
    (listed,) = yaml.safe_load(text)[0].values()
    return [next(iter(entry.items())) for entry in listed]


@cache
def country_regions() -> Mapping[str, str]:
    """Return the region of each country that exists, by alpha-3 code.

    Examples
    --------
    >>> [country_regions()[code] for code in ("TUR", "COD", "XKX")]
    ['Turkey', 'Democratic Republic of the Congo', 'Kosovo']
    """
    codes = {name: str(about["iso3_codes"]) for name, about in _read("region", "countries.yaml")}
    return MappingProxyType({OTHER_CODES.get(code, code): name for name, code in codes.items()})


@cache
def grouping_regions() -> Mapping[str, str]:
    """Return the region of each grouping, by its id.

    Examples
    --------
    >>> grouping_regions()["africa"], grouping_regions()["world"]
    ('Africa (M49)', 'World')
    """
    listed = _read("region", "groupings.yaml")
    return MappingProxyType({str(about["grouping"]): name for name, about in listed})


@cache
def place_of_region() -> Mapping[str, str]:
    """Return the alpha-2 code of each region that is one country, by its names in small letters.

    Names of the code list and of flowcast, and codes alpha-2 and alpha-3; `world` is the grouping.

    Examples
    --------
    >>> [place_of_region()[name] for name in ("türkiye", "turkey", "tur", "world")]
    ['TR', 'TR', 'TR', 'world']
    """
    found = {"world": WORLD}
    for code in members(WORLD):
        place = resolve_place(code, kind="alpha3")
        for name in (place.alpha2, code, place.name, country_regions()[code]):
            found[name.casefold()] = place.alpha2
    return MappingProxyType(found)


def percentile_name(percent: float) -> str:
    """Return what a percentile is called at the end of a variable.

    One decimal, as in the scenario database of the IPCC's Sixth Assessment Report.

    Examples
    --------
    >>> percentile_name(5), percentile_name(97.5)
    ('5.0th Percentile', '97.5th Percentile')
    """
    return f"{percent:.1f}th Percentile"


@cache
def percentile_names() -> tuple[str, ...]:
    """Return the percentiles that the code list has."""
    return tuple(name for name, _ in _read("variable", "tag_percentile.yaml"))
