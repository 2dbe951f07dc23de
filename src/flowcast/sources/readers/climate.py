"""Temperatures of the future: by country from an ensemble of climate models, and of the world.

Both files are tables that are put together from many files of their authors; the note of the source
in the registry says how.

Sources
-------
Ricke, K., Drouet, L., Caldeira, K. and Tavoni, M. (2018), doi 10.1038/s41558-018-0282-y: files of
models by country. Disp_sim, global parameters by pathway (FaIR).
"""

from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, nearest
from flowcast.sources.readers._common import LeftOut, as_covariates, to_alpha2
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
)

__all__ = ["read_country_temperature", "read_global_temperature"]

DEGREES: Final = "°C"
BY_COUNTRY: Final[dict[str, tuple[str, ...]]] = {
    "temperature_change": ("dt_mean",),
    "temperature_change_p10": ("dt_p10",),
    "temperature_change_p90": ("dt_p90",),
}
OF_WORLD: Final[dict[str, tuple[str, ...]]] = {"temperature_change": ("T", "temperature")}


def read_country_temperature(path: Path, *, scenario: str) -> pd.DataFrame:
    """Read changes of temperature by country.

    Parameters
    ----------
    path
        The table, CSV, plain or gzip: `iso3`, `rcp`, `year`, `dt_mean`, `dt_p10`, `dt_p90`.
    scenario
        The pathway as the file names it, such as ``rcp85``.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, `temperature_change` (mean over models) and its 10th and 90th
        percentile, degrees Celsius since the models' mean of 2006 to 2015.

    Raises
    ------
    InputError
        With every fault of the file, or if it has no such pathway.
    """
    faults, left = Faults(str(path)), LeftOut()
    keys = {"code": ("iso3",), "scenario": ("rcp",), "year": ("year",)}
    frame = _read(path, {**keys, **BY_COUNTRY}, scenario, left, faults)
    frame = frame.assign(place=to_alpha2(frame["code"], "alpha3"))
    frame = left.drop_codes(frame, "place", frame["code"].rename("iso3"))
    return as_covariates(_numbers(frame, BY_COUNTRY, faults), _units(BY_COUNTRY), left, faults)


def read_global_temperature(path: Path, *, scenario: str) -> pd.DataFrame:
    """Read the temperature of the world.

    Parameters
    ----------
    path
        The table, CSV, plain or gzip: `time`, `T`, `scenario`.
    scenario
        The pathway as the file names it, such as ``SSP245``.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place` (``"world"``, the grouping), `year`, `temperature_change`, degrees
        Celsius above pre-industrial.

    Raises
    ------
    InputError
        With every fault of the file, or if it has no such pathway.
    """
    faults, left = Faults(str(path)), LeftOut()
    keys = {"scenario": ("scenario",), "year": ("time", "year")}
    frame = _read(path, {**keys, **OF_WORLD}, scenario, left, faults).assign(place="world")
    return as_covariates(_numbers(frame, OF_WORLD, faults), _units(OF_WORLD), left, faults)


def _read(
    path: Path,
    needed: dict[str, tuple[str, ...]],
    scenario: str,
    left: LeftOut,
    faults: Faults,
) -> pd.DataFrame:
    """Return the rows of one pathway."""
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, needed)
    there = sorted(set(frame["scenario"]))
    if scenario not in there:
        hint = nearest(scenario, there)
        faults.add(f"no {scenario!r}", ", ".join(there), column=needed["scenario"][0], hint=hint)
    faults.raise_if_any()
    return left.drop(frame, frame["scenario"] != scenario, f"scenario other than {scenario}")


def _numbers(
    frame: pd.DataFrame, columns: dict[str, tuple[str, ...]], faults: Faults
) -> pd.DataFrame:
    numbers = {
        name: parse_numbers(frame[name], faults, spellings[0])
        for name, spellings in columns.items()
    }
    return frame.assign(year=parse_years(frame["year"], faults, "year"), **numbers)


def _units(columns: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return dict.fromkeys(columns, DEGREES)
