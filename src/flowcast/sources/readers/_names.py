"""Names of countries as publishers write them, where a file has no codes.

The names of the package's own list come first; here stand the formal and former ones of the
United Nations, which UNHCR uses as well.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import pandas as pd

from flowcast.places import all_places
from flowcast.sources.readers._common import to_alpha2

__all__ = ["name_to_alpha2", "place_to_alpha2"]

ALIASES: Final[dict[str, str]] = {
    "bolivia (plurinational state of)": "BO",
    "british virgin islands": "VG",
    "central african rep.": "CF",
    "brunei darussalam": "BN",
    "cape verde": "CV",
    "china, hong kong special administrative region": "HK",
    "china, hong kong sar": "HK",
    "china, macao special administrative region": "MO",
    "china, macao sar": "MO",
    "china, taiwan province of china": "TW",
    "czech republic": "CZ",
    "côte d\u2019ivoire": "CI",
    "dem. people's rep. of korea": "KP",
    "dem. rep. of the congo": "CD",
    "dominican rep.": "DO",
    "iran (islamic rep. of)": "IR",
    "lao people's dem. rep.": "LA",
    "rep. of korea": "KR",
    "rep. of moldova": "MD",
    "syrian arab rep.": "SY",
    "united rep. of tanzania": "TZ",
    "democratic people's republic of korea": "KP",
    "democratic republic of the congo": "CD",
    "faeroe islands": "FO",
    "falkland islands (malvinas)": "FK",
    "iran (islamic republic of)": "IR",
    "lao people's democratic republic": "LA",
    "libyan arab jamahiriya": "LY",
    "micronesia (federated states of)": "FM",
    "netherlands (kingdom of the)": "NL",
    "occupied palestinian territory": "PS",
    "republic of korea": "KR",
    "republic of moldova": "MD",
    "russian federation": "RU",
    "saint helena": "SH",
    "state of palestine": "PS",
    "swaziland": "SZ",
    "syrian arab republic": "SY",
    "the former yugoslav republic of macedonia": "MK",
    "turkey": "TR",
    "türkiye": "TR",
    "union of soviet socialist republics (former)": "SU",
    "united kingdom of great britain and northern ireland": "GB",
    "united republic of tanzania": "TZ",
    "united states of america": "US",
    "united states virgin islands": "VI",
    "venezuela (bolivarian republic of)": "VE",
    "viet nam": "VN",
    "wallis and futuna islands": "WF",
    "yugoslavia (former)": "YU",
    "czechoslovakia (former)": "CS",
    "serbia and montenegro (former)": "CS",
}


@cache
def _known() -> dict[str, str]:
    names = {place.name.casefold(): place.alpha2 for place in all_places()}
    return {**ALIASES, **names}


def name_to_alpha2(name: str) -> str | None:
    """Return the alpha-2 code of a country by its name, or None.

    Examples
    --------
    >>> name_to_alpha2("Republic of Korea"), name_to_alpha2("NORWAY"), name_to_alpha2("Northland")
    ('KR', 'NO', None)
    """
    return _known().get(" ".join(name.split()).casefold())


def place_to_alpha2(cells: pd.Series, special: Mapping[str, str | None] | None = None) -> pd.Series:
    """Return the alpha-2 code of each country, by whichever code or name stands there.

    Parameters
    ----------
    cells
        Codes of two or three letters, or names.
    special
        What certain cells mean, in small letters: an alpha-2 code, ``""`` for a total, None for no
        single country.

    Examples
    --------
    >>> place_to_alpha2(pd.Series(["KE", "ken", "Kenya", "Africa", ""]), {"": ""}).tolist()
    ['KE', 'KE', 'KE', nan, '']
    """
    upper = cells.str.upper()
    codes = to_alpha2(upper, "alpha2")
    codes = codes.fillna(to_alpha2(upper, "alpha3"))
    names = {name: name_to_alpha2(name) for name in cells.unique()}
    codes = codes.fillna(cells.map(names).astype("str"))
    special = special or {}
    told = cells.str.casefold().isin(list(special))
    return codes.where(~told, cells.str.casefold().map(special).astype("str")).astype("str")
