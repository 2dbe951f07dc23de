"""World Bank indicators: the JSON answer of the API, as covariates of places.

Sources
-------
World Bank, Indicators API documentation, version 2 (and version 1, without three-letter codes).
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_covariates, to_alpha2
from flowcast.sources.readers._files import read_json
from flowcast.sources.readers._tables import parse_numbers, parse_years

__all__ = ["read_indicators"]


def read_indicators(path: Path) -> pd.DataFrame:
    """Read one or more indicators by country and year.

    Parameters
    ----------
    path
        The whole answer in one file, plain or gzip (ask with a high `per_page`).

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, and a column for each indicator, named by its code. Units are
        as the answer tells them (its name, where it tells none). Regions are left out.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    records = _records(read_json(path, faults), faults)
    frame = pd.DataFrame(
        {
            "iso3": [str(r.get("countryiso3code") or "") for r in records],
            "id": [_inner(r, "country", "id") for r in records],
            "indicator": [_inner(r, "indicator", "id") for r in records],
            "name": [str(r.get("unit") or "") or _inner(r, "indicator", "value") for r in records],
            "date": [str(r.get("date") or "") for r in records],
            "value": [r.get("value") for r in records],
        },
        index=pd.RangeIndex(1, len(records) + 1),
    )
    by_two = to_alpha2(frame["id"], "alpha2")
    place = to_alpha2(frame["iso3"], "alpha3").where(frame["iso3"] != "", by_two)
    frame = frame.assign(place=place, country=frame["iso3"].where(frame["iso3"] != "", frame["id"]))
    frame = left.drop_codes(frame, "place", frame["country"])
    frame["year"] = parse_years(frame["date"], faults, "date")
    frame["value"] = parse_numbers(frame["value"], faults, "value", missing=("", "None"))
    again = frame.duplicated(["place", "year", "indicator"])
    for row in frame.index[again]:
        faults.add("the same figure again", "each figure once", row=int(row))
    faults.raise_if_any()
    frame = left.drop(frame, frame["value"].isna(), "no value")
    units = {
        str(key): str(name) for key, name in zip(frame["indicator"], frame["name"], strict=True)
    }
    wide = frame.pivot(index=["place", "year"], columns="indicator", values="value").reset_index()
    return as_covariates(wide, units or {"value": ""}, left, faults)


def _records(parsed: object, faults: Faults) -> list[Mapping[str, object]]:
    """Return the records of an answer: a list of a description and the records."""
    answer = parsed if isinstance(parsed, list) else []
    head: Mapping[str, object] = answer[0] if answer and isinstance(answer[0], dict) else {}
    if "message" in head:
        faults.add(f"an error message ({str(head['message'])[:120]})", "the answer with figures")
    elif len(answer) < 2 or not isinstance(answer[1], list) or not answer[1]:
        faults.add("no records", "a list of a description and a list of records")
    pages = str(head.get("pages", 1))
    if pages.isdigit() and int(pages) > 1:
        faults.add(
            f"page {head.get('page', 1)} of {pages}",
            "the whole answer (ask with a higher per_page)",
            column="pages",
        )
    faults.raise_if_any()
    records: list[Mapping[str, object]] = [
        record for record in answer[1] if isinstance(record, dict)
    ]
    for number, record in enumerate(records, start=1):
        for key in (k for k in ("country", "indicator", "date", "value") if k not in record):
            faults.add("no such key", "country, indicator, date and value", row=number, column=key)
        if faults:
            break
    faults.raise_if_any()
    return records


def _inner(record: Mapping[str, object], key: str, name: str) -> str:
    """Return a text within a record's part; empty where there is none."""
    part = record.get(key)
    return str(part.get(name) or "") if isinstance(part, dict) else ""
