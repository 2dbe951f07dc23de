"""United Nations, World Population Prospects: net migration, population and its change, events.

The CSV "Demographic Indicators" of the editions 2022 and 2024 (calendar years); of 2019, "Period
Indicators" (five years, 1 July to 1 July) and "Total Population by Sex". Figures are in thousands
there and in persons here: the unit is mapped, the figure is not.

Sources
-------
United Nations, Department of Economic and Social Affairs, Population Division (2024), World
Population Prospects 2024, CSV format, notes on columns.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_covariates, as_observations, to_alpha2
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._tables import choose_columns, parse_numbers, read_delimited

__all__ = ["read_net_migration", "read_population", "read_population_change"]

THOUSAND: Final = 1000.0
POPULATION: Final[dict[str, tuple[str, ...]]] = {"population": ("TPopulation1July", "PopTotal")}
UNITS: Final = {
    "population": "persons",
    "change": "persons per year",
    "births": "persons per year",
    "deaths": "persons per year",
}
EVENTS: Final[dict[str, tuple[str, ...]]] = {"births": ("Births",), "deaths": ("Deaths",)}
CHANGE: Final[dict[str, tuple[str, ...]]] = {"change": ("PopChange",), **EVENTS}
SPAN: Final = re.compile(r"(\d{4})-(\d{4})")
EDITION: Final = re.compile(r"WPP(\d{4})", re.IGNORECASE)
YEAR: Final = re.compile(r"\d{4}")


def read_net_migration(path: Path, *, variant: str = "Medium") -> pd.DataFrame:
    """Read net migration.

    Parameters
    ----------
    path
        The CSV, plain or gzip.
    variant
        Which variant to take of a file with several.

    Returns
    -------
    pandas.DataFrame
        Observations of `net`, the place as destination: persons per calendar year (edition 2019:
        per five years from 1 July on).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    frame = _read(path, {"net": ("NetMigrations",)}, variant, left, faults)
    starts, ends = _periods(frame["time"], faults)
    columns = {
        "source": f"un_wpp{_edition(path, frame)}",
        "family": "estimate",
        "measure": "net",
        "origin": "",
        "destination": frame["place"],
        "period_start": starts,
        "period_end": ends,
        "value": frame["net"],
        "reporter": "destination",
        "flag": frame["variant"],
    }
    return as_observations(columns, frame.index, left, faults)


def read_population(path: Path, *, variant: str = "Medium") -> pd.DataFrame:
    """Read population on 1 July, births and deaths.

    Parameters
    ----------
    path
        The CSV of an edition by calendar year, plain or gzip.
    variant
        Which variant to take of a file with several.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, `population` (persons) and, where the file has them, `births`
        and `deaths` (persons a year).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    frame = _read(path, POPULATION, variant, left, faults, optional=EVENTS)
    names = ["population", *(name for name in EVENTS if frame[name].any())]
    return _by_year(frame, names, left, faults)


def read_population_change(path: Path, *, variant: str = "Medium") -> pd.DataFrame:
    """Read the change of the population, births and deaths.

    Parameters
    ----------
    path
        The CSV of an edition by calendar year, plain or gzip.
    variant
        Which variant to take of a file with several.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, `change`, `births` and `deaths` (persons a year).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    return _by_year(_read(path, CHANGE, variant, left, faults), list(CHANGE), left, faults)


def _by_year(frame: pd.DataFrame, names: list[str], left: LeftOut, faults: Faults) -> pd.DataFrame:
    """Return covariates of places by calendar year."""
    for row, time in frame.loc[~frame["time"].str.fullmatch(YEAR.pattern), "time"].items():
        faults.add(repr(time), "a calendar year", row=int(str(row)), column="Time")
        break
    faults.raise_if_any()
    units = {name: UNITS[name] for name in names}
    return as_covariates(frame.assign(year=frame["time"].astype(int)), units, left, faults)


def _read(
    path: Path,
    figures: dict[str, tuple[str, ...]],
    variant: str,
    left: LeftOut,
    faults: Faults,
    *,
    optional: dict[str, tuple[str, ...]] | None = None,
) -> pd.DataFrame:
    """Return `place`, `time`, `variant` and the figures, in persons."""
    table = read_delimited(read_text(path, faults), faults)
    needed = {"code": ("LocID",), "time": ("Time",), "variant": ("Variant",), **figures}
    frame = choose_columns(table, faults, needed, optional)
    # The past stands in every file of a projection, as Estimates or under the variant's name.
    other = ~frame["variant"].isin([variant, "Estimates"])
    frame = left.drop(frame, other, f"variant other than {variant}")
    frame = frame.assign(place=to_alpha2(frame["code"], "m49"))
    frame = left.drop_codes(frame, "place", frame["code"].rename("LocID"))
    for name, spellings in {**figures, **(optional or {})}.items():
        thousands = parse_numbers(frame[name], faults, spellings[0])
        # Rounded to the grain of the file: a product of floats is not quite the figure.
        frame[name] = (thousands * THOUSAND).round(6)
    return frame


def _edition(path: Path, frame: pd.DataFrame) -> str:
    """Return ``_2024`` and the like: as the file is named; five years are of 2019; else empty."""
    named = EDITION.search(path.name)
    if named is None and frame["time"].str.fullmatch(SPAN.pattern).any():
        return "_2019"
    return f"_{named[1]}" if named else ""


def _periods(times: pd.Series, faults: Faults) -> tuple[pd.Series, pd.Series]:
    """Return first day and the day after the last, of calendar years and of mid-year spans."""
    spans: dict[str, tuple[str, str]] = {}
    for time in times.unique():
        span = SPAN.fullmatch(time)
        if YEAR.fullmatch(time):
            spans[time] = (f"{time}-01-01", f"{int(time) + 1:04d}-01-01")
        elif span:
            spans[time] = (f"{span[1]}-07-01", f"{span[2]}-07-01")
        else:
            row = int(times.index[times == time][0])
            faults.add(repr(time), "2020 or 2015-2020", row=row, column="Time")
            spans[time] = ("1800-01-01", "1801-01-01")
    return times.map({t: s for t, (s, _) in spans.items()}), times.map(
        {t: e for t, (_, e) in spans.items()}
    )
