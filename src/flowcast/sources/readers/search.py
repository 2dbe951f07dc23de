"""Search indices in the form of Google Trends: how often terms are looked up, 0 to 100.

The largest cell of an export is 100 and the others are relative to it, so two files are not on one
scale. A column is a term and the place in which it was looked up.

Sources
-------
Google Trends, export of the interest over time (`multiTimeline.csv`), and the report of 2014, whose
sections stand below each other. Avramescu, A. and Wiśniowski, A. (2021), Now-casting Romanian
migration into the United Kingdom by using Google Search engine data, Demographic Research 45,
doi:10.4054/DemRes.2021.45.40.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, UsageError
from flowcast.sources.readers._common import LeftOut, as_observations
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._names import place_to_alpha2
from flowcast.sources.readers._tables import add_limited, parse_numbers, read_delimited, row_of

__all__ = ["read_index"]

STEPS: Final = {
    "Day": (re.compile(r"(\d{4}-\d{2}-\d{2})"), pd.DateOffset(days=1)),
    "Week": (re.compile(r"(\d{4}-\d{2}-\d{2})(?: - \d{4}-\d{2}-\d{2})?"), pd.DateOffset(days=7)),
    "Month": (re.compile(r"(\d{4}-\d{2})"), pd.DateOffset(months=1)),
}
"""What a row may be: how its first day is written, and how long it lasts."""
WORLD: Final = "worldwide"
SECTION: Final = "Interest over time"
COLUMN: Final = re.compile(r"(?P<term>.+): \((?P<place>[^()]*(?:\([^()]*\))?[^()]*)\)")
TOP: Final = 100.0
LITTLE: Final = "<1"
HEADER_WITHIN: Final = 12


@dataclass(frozen=True, slots=True)
class _Export:
    """The table of an export.

    Attributes
    ----------
    table
        Cells as text; the first column is the time.
    step
        A key of `STEPS`.
    place
        Where the terms were looked up, if the head of the file tells it; else empty.
    """

    table: pd.DataFrame
    step: str
    place: str


def read_index(
    path: Path, *, destination: str | None = None, origin: str | None = None
) -> pd.DataFrame:
    """Read how often terms were looked up, by day, week or month.

    Parameters
    ----------
    path
        The export, plain or gzip.
    destination
        The country that the terms are about, if they are about one.
    origin
        The country in which they were looked up, for columns that do not tell it.

    Returns
    -------
    pandas.DataFrame
        Observations of `index`, family `digital`: 0 to 100 within the file. The source is
        ``search_index_`` and the term. What stands as ``<1`` is 0, with `censored_below` 1.

    Raises
    ------
    InputError
        With every fault of the file.
    UsageError
        If a country is none, or no place is known on either side.
    """
    to, known = (
        _code(name, code) for name, code in (("destination", destination), ("origin", origin))
    )
    faults, left = Faults(str(path)), LeftOut()
    export = _read_export(read_text(path, faults), left, faults)
    frame = _melt(export, known)
    frame = left.drop_codes(frame, "origin", frame["place"])
    if to == "" and (frame["origin"] == "").any():
        raise UsageError(
            "(reader search_index) | found terms of no place; allowed: destination='DE', the "
            "country they are about, or origin='KE', the country in which they were looked up"
        )
    little = frame["cell"] == LITTLE
    columns = {
        "source": "search_index_" + frame["term"].map(_slug),
        "family": "digital",
        "measure": "index",
        "origin": frame["origin"],
        "destination": to,
        **_periods(frame["time"], export.step, faults),
        "value": _figures(frame["cell"].mask(little, "0"), faults),
        "reporter": "other",
        "censored_below": little.map({True: 1.0, False: float("nan")}),
    }
    return as_observations(columns, frame.index, left, faults)


def _code(option: str, code: str | None) -> str:
    """Return the alpha-2 code of an option; empty where it is not given."""
    if code is None:
        return ""
    found = place_to_alpha2(pd.Series([code], dtype="str")).iloc[0]
    if pd.isna(found):
        raise UsageError(
            f"(reader search_index) | found {option} {code!r}; allowed: an ISO 3166 code"
        )
    return str(found)


def _read_export(text: str, left: LeftOut, faults: Faults) -> _Export:
    """Return the section of the interest over time."""
    lines = text.splitlines()
    steps = [_step_of(line) for line in lines[:HEADER_WITHIN]]
    at = next((i for i, step in enumerate(steps) if step), None)
    if at is None:
        told = ", ".join(f"'{step}'" for step in STEPS)
        faults.add("no header in the first rows", f"a row that begins with {told}", row=1)
        faults.raise_if_any()
        raise AssertionError("unreachable: a fault was just added")
    end = next((i for i in range(at, len(lines)) if not lines[i].strip(" ,")), len(lines))
    left.add("a row of a further section", sum(1 for line in lines[end:] if line.strip(" ,")))
    whole = text.endswith("\n") or end < len(lines)
    table = read_delimited("\n".join(lines[:end]) + ("\n" if whole else ""), faults, skip=at)
    if not text.endswith("\n"):
        # The section is whole; what stopped is one of those after it.
        faults.add("a file that may be cut off", "a whole file; end its last line", row=len(lines))
        faults.raise_if_any()
    head = [line.strip(' ,"') for line in lines[:at]]
    place = head[1].partition(";")[0] if SECTION in head and len(head) > 1 else ""
    return _Export(table, str(steps[at]), place)


def _step_of(line: str) -> str | None:
    """Return what the rows are, if the line is the header of a time series."""
    first = line.partition(",")[0].strip().strip('"')
    return first if first in STEPS and "," in line else None


def _melt(export: _Export, origin: str) -> pd.DataFrame:
    """Return `time`, `term`, `place`, `origin` and `cell` of each cell; the index is its row."""
    time, *names = export.table.columns
    parts = []
    for position, name in enumerate(names, start=1):
        told = COLUMN.fullmatch(str(name))
        place = told["place"] if told else export.place
        code = place_to_alpha2(pd.Series([place], dtype="str"), {"": origin}).iloc[0]
        part = pd.DataFrame({"time": export.table[time], "cell": export.table.iloc[:, position]})
        worldwide = place.casefold() == WORLD
        part = part.assign(
            term=told["term"] if told else str(name), place=place, origin="" if worldwide else code
        )
        parts.append(part)
    return pd.concat(parts).astype({"origin": "str", "place": "str"})


def _periods(times: pd.Series, step: str, faults: Faults) -> dict[str, pd.Series]:
    """Return the first day of each row and the first one after it."""
    pattern, length = STEPS[step]
    written = times.str.fullmatch(pattern)
    text = times.str.extract(pattern)[0].astype("str")
    text = text + "-01" if step == "Month" else text
    days = pd.to_datetime(text.where(written), format="%Y-%m-%d", errors="coerce")
    for row, cell in times[days.isna()].items():
        allowed = f"a {step.lower()}, {'2021-05' if step == 'Month' else '2021-05-30'}"
        add_limited(faults, repr(cell), allowed, row=row_of(row), column=step)
    return {
        "period_start": days.dt.strftime("%Y-%m-%d"),
        "period_end": (days + length).dt.strftime("%Y-%m-%d"),
    }


def _figures(cells: pd.Series, faults: Faults) -> pd.Series:
    """Return the figures; above 100 is a fault."""
    values = parse_numbers(cells, faults, "index")
    for row, value in values[values > TOP].items():
        add_limited(faults, f"{value:g}", "0 to 100", row=row_of(row), column="index")
    return values


def _slug(term: str) -> str:
    return re.sub(r"\W+", "_", term.casefold()).strip("_") or "unnamed"
