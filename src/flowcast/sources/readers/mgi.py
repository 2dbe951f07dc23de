"""IOM, Migration Governance Indicators: answers about migration policy, by country and year.

An indicator is a question that is answered with yes or no (or in part). Countries are assessed in
single years, some of them twice.

Sources
-------
IOM, Migration Governance Indicators: A Global Perspective (2019), and the Migration Data Portal.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_covariates
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._names import place_to_alpha2
from flowcast.sources.readers._tables import (
    add_limited,
    choose_columns,
    parse_years,
    read_delimited,
    row_of,
)

__all__ = ["read_indicators"]

NEEDED: Final = {
    "country": ("iso3", "ISO3", "Country code", "Country"),
    "year": ("year", "Year", "Assessment year"),
    "indicator": ("indicator_code", "Indicator code", "Question ID"),
    "answer": ("answer", "Answer", "Response"),
}
ANSWERS: Final = {"yes": 1.0, "1": 1.0, "no": 0.0, "0": 0.0}
PARTIAL: Final = ("partial", "partially", "partly", "in part", "yes, partially", "0.5")
MISSING: Final = ("", "n/a", "na", "no data", "not available", "not applicable", "unknown")
UNIT: Final = "1 yes, 0 no"


def read_indicators(path: Path) -> pd.DataFrame:
    """Read the answers to the indicators by country and year of the assessment.

    Partial answers are left out: neither yes nor no would be the file's own word.

    Parameters
    ----------
    path
        The CSV with a row for each answer, plain or gzip; countries by code or by name.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, and a column ``mgi_`` and its code for each indicator, 1 for
        yes and 0 for no; missing where there is no such answer.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, NEEDED)
    frame = frame.assign(
        place=place_to_alpha2(frame["country"]),
        year=parse_years(frame["year"], faults, "year"),
        name=frame["indicator"].map(_name_of),
        answer=frame["answer"].str.casefold(),
    )
    for row in frame.index[frame["name"] == ""]:
        add_limited(faults, "an empty cell", "an indicator", row=row_of(row), column="indicator")
    frame = left.drop_codes(frame, "place", frame["country"])
    frame = left.drop(frame, frame["answer"].isin(PARTIAL), "a partial answer")
    frame = left.drop(frame, frame["answer"].isin(MISSING), "no value")
    frame["value"] = frame["answer"].map(ANSWERS)
    for row, answer in frame.loc[frame["value"].isna(), "answer"].items():
        allowed = "yes, no, partially, or nothing"
        add_limited(faults, repr(answer), allowed, row=row_of(row), column="answer")
    for row in frame.index[frame.duplicated(["place", "year", "name"])]:
        add_limited(faults, "the same answer again", "each answer once", row=row_of(row))
    faults.raise_if_any()
    units = dict.fromkeys(frame["name"], UNIT)
    wide = frame.pivot(index=["place", "year"], columns="name", values="value").reset_index()
    return as_covariates(wide, units or {"value": UNIT}, left, faults)


def _name_of(code: str) -> str:
    """Return the covariate's name: ``MGI 1.2`` and ``1.2`` become ``mgi_1_2``."""
    slug = re.sub(r"[^a-z0-9]+", "_", code.lower()).strip("_").removeprefix("mgi").strip("_")
    return f"mgi_{slug}" if slug else ""
