"""Audiences of an advertising platform: users whom it takes for expatriates, by residence.

The file has the answers to your own queries, one a row, under the names that Facebook's marketing
interface gives its fields. Figures are rounded, and not told below a floor.

Sources
-------
Meta, Marketing API, reach estimate and delivery estimate: ranges since October 2021 (the changes of
13 October 2021), one figure before. Zagheni, E., Weber, I. and Gummadi, K. (2017), Leveraging
Facebook's Advertising Platform to Monitor Stocks of Migrants, Population and Development Review
43(4), doi:10.1111/padr.12102.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal, get_args

import pandas as pd

from flowcast.errors import Faults, UsageError
from flowcast.sources.readers._common import LeftOut, as_observations
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._names import place_to_alpha2
from flowcast.sources.readers._tables import (
    add_limited,
    choose_columns,
    parse_numbers,
    read_delimited,
    row_of,
)

__all__ = ["Bound", "read_audience"]

Bound = Literal["lower", "upper"]
NEEDED: Final = {
    "date": ("date", "query_date", "timestamp"),
    "origin": ("origin", "home_country", "expats_from"),
    "destination": ("destination", "country", "residence"),
}
OPTIONAL: Final = {
    "sex": ("sex", "gender", "genders"),
    "age": ("age", "age_range", "ages_ranges"),
    "floor": ("censored_below", "floor"),
}
FIELDS: Final = ("users", "estimate_mau", "mau_audience")
"""One figure. A range has `_lower_bound` and `_upper_bound` after it."""
ALL: Final = {"": "", "all": ""}
SEXES: Final = {
    **dict.fromkeys(("", "0", "all", "both"), ""),
    **dict.fromkeys(("1", "male", "m"), "male"),
    **dict.fromkeys(("2", "female", "f"), "female"),
}
DAY: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ].*)?")
FLOOR_FROM: Final = pd.Timestamp("2018-01-01")
FLOORS: Final = (20.0, 1000.0)
"""What the platform tells no audience below: before that day, and from it on."""


def read_audience(path: Path, *, bound: Bound = "lower") -> pd.DataFrame:
    """Read the users whom the platform takes for expatriates of a country.

    Parameters
    ----------
    path
        The CSV with a row for each query, plain or gzip: day, country they lived in, country of
        residence (codes or names), and the monthly users as a range or as one figure. Sex, age and
        the floor (`censored_below`) may stand beside them.
    bound
        Which end of a range is the value.

    Returns
    -------
    pandas.DataFrame
        Observations of `stock`, family `digital`: users on the day of the query. `censored_below`
        is the floor of that day, 1,000 from 2018 on and 20 before, where the file tells no other.

    Raises
    ------
    InputError
        With every fault of the file.
    UsageError
        If there is no such end of a range.
    """
    if bound not in get_args(Bound):
        raise UsageError(
            f"(reader advertising_audience) | found bound {bound!r}; "
            f"allowed: {', '.join(get_args(Bound))}"
        )
    faults, left = Faults(str(path)), LeftOut()
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, {**NEEDED, **_fields(table.columns)}, OPTIONAL)
    frame = frame.assign(day=_days(frame["date"], faults), users=_users(frame, bound, faults))
    for side in ("origin", "destination"):
        names = frame[side]
        special = ALL if side == "origin" else {}
        frame = left.drop_codes(
            frame.assign(**{side: place_to_alpha2(names, special)}), side, names
        )
    frame["sex"] = frame["sex"].str.casefold().map(SEXES)
    frame = left.drop(frame, frame["sex"].isna(), "sex unknown")
    columns = {
        "source": "advertising_audience",
        "family": "digital",
        "measure": "stock",
        "origin": frame["origin"],
        "destination": frame["destination"],
        "period_start": frame["day"].dt.strftime("%Y-%m-%d"),
        "period_end": (frame["day"] + pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d"),
        "value": frame["users"],
        "reporter": "other",
        "censored_below": _floors(frame, faults),
        "age": frame["age"],
        "sex": frame["sex"].astype("str"),
    }
    return as_observations(columns, frame.index, left, faults)


def _fields(names: Collection[object]) -> dict[str, tuple[str, ...]]:
    """Return the columns of a range; where there is none, those of the one figure."""
    lower = tuple(f"{field}_lower_bound" for field in FIELDS)
    if not any(str(name).endswith(("_lower_bound", "_upper_bound")) for name in names):
        return {"lower": FIELDS, "upper": FIELDS}
    return {"lower": lower, "upper": tuple(f"{field}_upper_bound" for field in FIELDS)}


def _days(cells: pd.Series, faults: Faults) -> pd.Series:
    """Return the days; any other cell is a fault."""
    text = cells.str.extract(DAY)[0].astype("str")
    days = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    for row, cell in cells[days.isna()].items():
        add_limited(faults, repr(cell), "a day, 2021-05-31", row=row_of(row), column="date")
    return days


def _users(frame: pd.DataFrame, bound: Bound, faults: Faults) -> pd.Series:
    """Return the wanted end of each range."""
    ends = {
        side: parse_numbers(frame[side], faults, f"{side} end")
        for side in (get_args(Bound) if not frame["lower"].equals(frame["upper"]) else (bound,))
    }
    if len(ends) > 1:
        for row in frame.index[ends["lower"] > ends["upper"]]:
            allowed = "a lower end that is not above the upper one"
            add_limited(faults, "a range upside down", allowed, row=row_of(row))
    return ends[bound]


def _floors(frame: pd.DataFrame, faults: Faults) -> pd.Series:
    """Return the floor of each day, or the one that the file tells."""
    early = frame["day"] < FLOOR_FROM
    known = early.map({True: FLOORS[0], False: FLOORS[1]}).astype(float)
    return parse_numbers(frame["floor"], faults, "censored_below").fillna(known)
