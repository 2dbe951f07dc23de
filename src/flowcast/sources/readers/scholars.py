"""Moves of scholars between countries, from the affiliations in their publications.

A row for each pair of countries and year, in the edition of Scopus with codes of three letters and
in that of OpenAlex with two. The first and the last years are artefacts of the data's edges.

Sources
-------
Akbaritabar, A., Theile, T. and Zagheni, E. (2024), Bilateral flows and rates of international
migration of scholars for 210 countries for the period 1998-2020, Scientific Data 11,
doi:10.1038/s41597-024-03655-9.
"""

from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_corridors
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._names import place_to_alpha2
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
)

__all__ = ["read_moves"]

NEEDED: Final = {
    "migrationfrom": ("migrationfrom",),
    "migrationto": ("migrationto",),
    "year": ("year",),
    "n_migrations": ("n_migrations",),
}
COVARIATE: Final = "scholar_moves"


def read_moves(path: Path) -> pd.DataFrame:
    """Read how many scholars moved from country to country.

    Parameters
    ----------
    path
        The CSV of flows between countries, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        Covariates of corridors: `origin`, `destination`, `year`, and `scholar_moves` (persons per
        year). A pair without a row had no move that was seen.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    frame = choose_columns(read_delimited(read_text(path, faults), faults), faults, NEEDED)
    for side, column in (("origin", "migrationfrom"), ("destination", "migrationto")):
        frame = frame.assign(**{side: place_to_alpha2(frame[column])})
        frame = left.drop_codes(frame, side, frame[column])
    same = frame["origin"] == frame["destination"]
    frame = left.drop(frame, same, "origin and destination are the same place")
    frame = frame.assign(
        year=parse_years(frame["year"], faults, "year"),
        **{COVARIATE: parse_numbers(frame["n_migrations"], faults, "n_migrations")},
    )
    return as_corridors(frame, {COVARIATE: "persons per year"}, left, faults)
