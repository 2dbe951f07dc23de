"""Drivers of migration from scenario data in IAMC format."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._iamc_tables import to_long
from flowcast.sources.readers.iamc import read_scenario_data, scenario_data

if TYPE_CHECKING:
    from pyam import IamDataFrame

__all__ = ["read_iamc"]


def read_iamc(
    source: "str | os.PathLike[str] | IamDataFrame",
    *,
    scenario: str,
    model: str = "",
    mapping: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read what a file or a table in IAMC format has of one scenario.

    Parameters
    ----------
    source
        CSV (plain or gzip) or workbook as the databases of SSP and AR6 export it, or a
        `pyam.IamDataFrame`.
    scenario, model, mapping
        Which scenario, whose figures, and which variables under which names; as
        `flowcast.sources.readers.iamc.read_scenario_data`.

    Returns
    -------
    pandas.DataFrame
        Columns `place` (alpha-2 code, or `world`), `year`, and one for each variable;
        ``attrs["units"]`` has their units, as scenario files write them, and ``attrs["left_out"]``
        the number of rows that were not taken, by reason.

    Raises
    ------
    InputError
        With every fault, as `read_scenario_data`; rows of an `IamDataFrame` are counted from 1.
    """
    if isinstance(source, str | os.PathLike):
        return read_scenario_data(Path(source), scenario=scenario, model=model, mapping=mapping)
    faults = Faults("IamDataFrame")
    # With pandas 3, pyam 4.0 keeps the empty cells of a wide table.
    table = source.data.dropna(subset=["value"]).astype("str")
    table.index = pd.RangeIndex(1, len(table) + 1)
    return scenario_data(to_long(table, faults), faults, scenario, model, mapping)
