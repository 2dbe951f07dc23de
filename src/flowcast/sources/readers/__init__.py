"""Readers of publishers' files: what a publisher sends, in the columns of the contract.

Each reader takes a file that the user has and returns a tidy frame. `READERS` says which there
are; a reader's module is loaded when it is first used.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, cast

from flowcast.errors import UsageError, require_word

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READERS", "Reader", "read_source"]


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader, and what it reads.

    Attributes
    ----------
    module, function
        Where it is: a module of this package, and a function in it.
    publisher, reads
        Whose files, and which.
    gives
        ``"observations"`` (for `observations_from_frame`), ``"covariates"`` (a table of places) or
        ``"corridors"`` (a table of pairs of places).
    """

    module: str
    function: str
    publisher: str
    reads: str
    gives: Literal["observations", "covariates", "corridors"] = "observations"

    def load(self) -> "Callable[..., pd.DataFrame]":
        """Return the reading function."""
        module = import_module(f"{__name__}.{self.module}")
        return cast("Callable[..., pd.DataFrame]", getattr(module, self.function))


_ALL: Final = {
    "eurostat_flows": Reader(
        "eurostat", "read_flows", "Eurostat", "flows and asylum applicants (migr_*)"
    ),
    "eurostat_population": Reader(
        "eurostat", "read_population", "Eurostat", "population (demo_pjan)", "covariates"
    ),
    "un_stocks": Reader(
        "un_stocks", "read_stocks", "UN DESA", "International Migrant Stock, table 1 (workbook)"
    ),
    "un_flows": Reader(
        "un_flows", "read_flows", "UN DESA", "migration flows, 2015 revision (workbook)"
    ),
    "wpp_net_migration": Reader(
        "wpp", "read_net_migration", "UN DESA", "World Population Prospects: net migration (CSV)"
    ),
    "wpp_population": Reader(
        "wpp",
        "read_population",
        "UN DESA",
        "World Population Prospects: population, births, deaths (CSV)",
        "covariates",
    ),
    "wpp_population_change": Reader(
        "wpp",
        "read_population_change",
        "UN DESA",
        "World Population Prospects: change of population, births, deaths (CSV)",
        "covariates",
    ),
    "unhcr_population": Reader(
        "unhcr", "read_population", "UNHCR", "refugees and asylum-seekers (JSON, CSV)"
    ),
    "unhcr_applications": Reader(
        "unhcr", "read_applications", "UNHCR", "applications for asylum (JSON, CSV)"
    ),
    "unhcr_arrivals": Reader(
        "unhcr", "read_arrivals", "UNHCR", "arrivals of refugees (CSV)", "corridors"
    ),
    "idmc_displacement": Reader(
        "idmc", "read_displacement", "IDMC", "internal displacement (CSV, workbook)"
    ),
    "dtm_displacement": Reader(
        "iom", "read_displacement", "IOM", "DTM: displaced persons by country (JSON)"
    ),
    "missing_migrants": Reader(
        "iom", "read_missing_migrants", "IOM", "Missing Migrants: incidents (CSV)", "covariates"
    ),
    "meta_flows": Reader("meta", "read_flows", "Meta", "migration flows by month (CSV)"),
    "meta_connectedness": Reader(
        "meta", "read_connectedness", "Meta", "Social Connectedness Index (TSV, CSV)"
    ),
    "world_bank": Reader(
        "world_bank", "read_indicators", "World Bank", "indicators (JSON)", "covariates"
    ),
    "oecd_migration": Reader(
        "oecd", "read_migration", "OECD", "International Migration Database (CSV)"
    ),
    "ilostat_migration": Reader(
        "ilostat", "read_migration", "ILO", "inflow of foreign citizens, MFL_NCIT_SEX_CCT_NB (CSV)"
    ),
    "bilateral_remittances": Reader(
        "knomad",
        "read_remittances",
        "KNOMAD and World Bank",
        "bilateral remittance matrix (workbook)",
        "corridors",
    ),
    "governance_indicators": Reader(
        "mgi", "read_indicators", "IOM", "Migration Governance Indicators (CSV)", "covariates"
    ),
    "scholar_moves": Reader(
        "scholars",
        "read_moves",
        "Max Planck Institute for Demographic Research",
        "moves of scholars between countries, Scopus and OpenAlex (CSV)",
        "corridors",
    ),
    "fragile_states": Reader(
        "political",
        "read_fragility",
        "The Fund for Peace",
        "Fragile States Index (workbook, CSV)",
        "covariates",
    ),
    "vdem_indices": Reader(
        "political", "read_vdem", "V-Dem Institute", "country-year indices (CSV)", "covariates"
    ),
    "advertising_audience": Reader(
        "audience", "read_audience", "your own queries", "users of a platform by origin (CSV)"
    ),
    "search_index": Reader(
        "search", "read_index", "your own export", "search terms in the form of Google Trends (CSV)"
    ),
    "ssp_pathways": Reader(
        "iiasa",
        "read_pathways",
        "IIASA",
        "SSP Public Database: population, GDP, urban share by country (CSV, workbook)",
        "covariates",
    ),
    "iamc": Reader(
        "iamc",
        "read_scenario_data",
        "any database of scenarios",
        "scenario data in IAMC format (CSV, workbook)",
        "covariates",
    ),
    "country_temperature": Reader(
        "climate",
        "read_country_temperature",
        "Ricke and others",
        "temperatures by country from CMIP5 (CSV)",
        "covariates",
    ),
    "global_temperature": Reader(
        "climate",
        "read_global_temperature",
        "Disp_sim and MimiGIVE",
        "temperature of the world by pathway, FaIR (CSV)",
        "covariates",
    ),
}
READERS: Final[Mapping[str, Reader]] = MappingProxyType(_ALL)
"""Every reader by name."""


def read_source(
    reader_name: str, path: str | os.PathLike[str], **options: object
) -> "pd.DataFrame":
    """Read a publisher's file.

    Parameters
    ----------
    reader_name
        A key of `READERS`.
    path
        The file, plain or gzip.
    **options
        What the reader needs to be told beside the file; see its own description.

    Returns
    -------
    pandas.DataFrame
        Columns of the observation contract (or keys and covariates of places or corridors).
        Values are the file's own, in persons; ``attrs["left_out"]`` has the number of rows that
        were left out, by reason.

    Raises
    ------
    UsageError
        If there is no such reader, or it takes no such option.
    InputError
        With every fault of the file.

    Examples
    --------
    >>> sorted(READERS)[:2]
    ['advertising_audience', 'bilateral_remittances']
    >>> read_source("eurostat", "file.csv")
    Traceback (most recent call last):
    flowcast.errors.UsageError: (reader) | found 'eurostat'; allowed: ...
    """
    require_word("reader", reader_name, READERS)
    read = READERS[reader_name].load()
    taken = [p for p in inspect.signature(read).parameters if p != "path"]
    for name in (o for o in options if o not in taken):
        raise UsageError(
            f"(reader {reader_name}) | found option {name!r}; "
            f"allowed: {', '.join(taken) or 'no options'}"
        )
    return read(Path(path), **options)
