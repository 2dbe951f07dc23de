"""What readers share: places, rows left out, and the finished frame.

A reader maps codes and units and nothing else. A value is the file's own cell, or the sum of
cells that the contract cannot tell apart; a row that is not taken is counted, with the reason.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import pandas as pd

from flowcast.errors import Faults
from flowcast.places import all_places, fix_code
from flowcast.sources.readers._tables import add_limited, row_of
from flowcast.vocabulary import OBSERVATION_COLUMNS, OBSERVATION_KEY

__all__ = [
    "LeftOut",
    "as_corridors",
    "as_covariates",
    "as_observations",
    "as_year",
    "to_alpha2",
]

Scheme = Literal["alpha2", "alpha3", "m49"]


@dataclass(slots=True)
class LeftOut:
    """Counts the rows that a reader does not take, by reason.

    Examples
    --------
    >>> left = LeftOut()
    >>> frame = pd.DataFrame({"geo": ["DE", "EU27"]})
    >>> left.drop(frame, frame["geo"] == "EU27", "a sum of countries")["geo"].tolist()
    ['DE']
    >>> left.counts
    {'a sum of countries': 1}
    """

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, n: int) -> None:
        """Count `n` rows; none is no reason."""
        if n:
            self.counts[reason] = self.counts.get(reason, 0) + n

    def drop(self, frame: pd.DataFrame, mask: "pd.Series[bool]", reason: str) -> pd.DataFrame:
        """Return the rows outside `mask`, and count those in it."""
        self.add(reason, int(mask.sum()))
        return frame[~mask]

    def drop_codes(self, frame: pd.DataFrame, column: str, raw: pd.Series) -> pd.DataFrame:
        """Return the rows whose place in `column` is known; `raw` has the publisher's codes.

        A missing place is a code that stands for no single country; an empty one is a total.
        Reasons call the code by the name of `raw`.
        """
        unknown = frame[column].isna()
        for code, n in Counter(raw[unknown]).items():
            self.add(f"{raw.name} {code!r} is not one country", n)
        return frame[~unknown]


def as_year(years: "pd.Series[int]") -> dict[str, pd.Series]:
    """Return the half-open calendar years as `period_start` and `period_end`.

    Examples
    --------
    >>> {name: day.tolist() for name, day in as_year(pd.Series([2021])).items()}
    {'period_start': ['2021-01-01'], 'period_end': ['2022-01-01']}
    """
    return {
        name: first.astype("str").str.zfill(4) + "-01-01"
        for name, first in (("period_start", years), ("period_end", years + 1))
    }


@cache
def _codes(scheme: Scheme) -> dict[str, str]:
    """Return the alpha-2 code of each code; of two countries with one code, of the later."""
    places = sorted(all_places(), key=lambda p: p.valid_to is None)
    if scheme == "m49":
        return {p.m49: p.alpha2 for p in places}
    return {(p.alpha2 if scheme == "alpha2" else p.alpha3): p.alpha2 for p in places}


def to_alpha2(
    codes: pd.Series, scheme: Scheme, special: Mapping[str, str | None] | None = None
) -> pd.Series:
    """Return the alpha-2 code of each code; missing where it stands for no single country.

    Parameters
    ----------
    codes
        Publisher's codes. M49 codes may lack their leading zeros.
    scheme
        What kind of codes they are.
    special
        What the publisher means by certain codes: an alpha-2 code, ``""`` for a total, None for
        no single country. It goes before everything else: ``UNK`` is Kosovo in passports, and
        "unknown" at UNHCR and Eurostat.

    Examples
    --------
    >>> to_alpha2(pd.Series(["EL", "UNK", "TOTAL"]), "alpha2", {"TOTAL": ""}).tolist()
    ['GR', nan, '']
    """
    known = _codes(scheme)
    special = special or {}

    def resolve(code: str) -> str | None:
        if code in special:
            return special[code]
        if scheme == "m49":
            return known.get(code.zfill(3))
        fixed = fix_code(code) if len(code) == int(scheme[-1]) else None
        return known.get(fixed or code)

    table = {code: resolve(str(code)) for code in codes.unique()}
    return codes.map(table).astype("str")


def as_observations(
    columns: Mapping[str, object],
    index: pd.Index,
    left_out: LeftOut,
    faults: Faults,
    *,
    add_up: bool = False,
) -> pd.DataFrame:
    """Return the finished frame in the columns of the observation contract.

    Rows without a value are left out, and so are those whose origin and destination are the same
    (own citizens, say), and reports about a country that did not exist then.

    Parameters
    ----------
    columns
        Columns of the contract: a Series on `index`, or one value for all rows. Places are alpha-2
        codes, ``""`` for a total.
    index
        Rows of the file.
    left_out
        Takes the rows that are left out; becomes ``attrs["left_out"]``.
    faults
        What was found until now; raised here, all at once.
    add_up
        Whether rows that agree in the key are parts of one figure (of several procedures, for
        instance), to be added up. Otherwise the second one is a fault.

    Returns
    -------
    pandas.DataFrame
        Only columns that hold anything; dates as ``YYYY-MM-DD``, values in persons.

    Raises
    ------
    InputError
        With every fault; or if no row is left.
    """
    frame = pd.DataFrame(dict(columns), index=index)
    negative = (frame["value"] < 0) & (frame["measure"] != "net")
    for row, value in frame["value"][negative].items():
        add_limited(faults, f"{value:g}", "persons, 0 or more", row=row_of(row), column="value")
    faults.raise_if_any()
    frame = left_out.drop(frame, frame["value"].isna(), "no value")
    same = (frame["origin"] == frame["destination"]) & (frame["origin"] != "")
    frame = left_out.drop(frame, same, "origin and destination are the same place")
    frame = left_out.drop(frame, _before_its_time(frame), "the country did not exist then")
    if frame.empty:
        told = "; ".join(f"{reason}: {n}" for reason, n in left_out.counts.items())
        faults.add(f"no row that can be used ({told})", "at least one figure of a country")
        faults.raise_if_any()
    frame = _add_up(frame, add_up, faults)
    filled = [c for c in OBSERVATION_COLUMNS if c in frame and (frame[c].astype("str") != "").any()]
    needed = [c for c in ("origin", "destination") if c not in filled]
    frame = frame[[c for c in OBSERVATION_COLUMNS if c in {*filled, *needed}]]
    frame = frame.reset_index(drop=True)
    frame.attrs["left_out"] = dict(left_out.counts)
    return frame


def _add_up(frame: pd.DataFrame, add_up: bool, faults: Faults) -> pd.DataFrame:
    """Add up the values of rows with one key; flags of the parts stand side by side."""
    key = [name for name in OBSERVATION_KEY if name in frame]
    again = frame.duplicated(key)
    if not again.any():
        return frame
    if not add_up:
        for row in frame.index[again]:
            add_limited(faults, "the same figure again", "each figure once", row=row_of(row))
        faults.raise_if_any()
    how: dict[str, str | Callable[[pd.Series], str]] = {
        str(name): "first" for name in frame if name not in key
    }
    how["value"] = "sum"
    if "flag" in frame:
        how["flag"] = lambda flags: ";".join(sorted({f for f in flags if f}))
    return frame.groupby(key, sort=False, dropna=False).agg(how).reset_index()


def _before_its_time(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Return the rows that the contract would refuse: of a country that did not exist then."""
    start, end = pd.to_datetime(frame["period_start"]), pd.to_datetime(frame["period_end"])
    outside = pd.Series(False, index=frame.index)
    for code, spans in _mortal().items():
        alive = pd.Series(False, index=frame.index)
        for born, gone in spans:
            alive |= (end > born) & (start < gone)
        outside |= ((frame["origin"] == code) | (frame["destination"] == code)) & ~alive
    residence = frame["criterion"] == "residence" if "criterion" in frame else True
    return outside & (frame["family"] != "estimate") & (frame["measure"] != "stock") & residence


@cache
def _mortal() -> dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]]:
    """Return the spans of existence behind each code that did not always stand for a country."""
    spans: dict[str, list[tuple[pd.Timestamp, pd.Timestamp]]] = {}
    for place in all_places():
        born = pd.Timestamp(place.valid_from or "1700-01-01")
        gone = pd.Timestamp(place.valid_to or "2261-01-01")
        if place.valid_from or place.valid_to:
            spans.setdefault(place.alpha2, []).append((born, gone))
    return spans


def as_covariates(
    frame: pd.DataFrame, units: Mapping[str, str], left_out: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return a finished table of places: `place`, `year`, and one column per covariate.

    Parameters
    ----------
    frame
        `place` (alpha-2), `year` and the covariates.
    units
        Unit of each covariate; becomes ``attrs["units"]``.
    left_out
        Becomes ``attrs["left_out"]``.
    faults
        What was found until now; raised here, all at once.

    Raises
    ------
    InputError
        With every fault; or if no row is left, or a place has two rows for a year.
    """
    return _as_table(frame, ("place", "year"), units, left_out, faults)


def as_corridors(
    frame: pd.DataFrame, units: Mapping[str, str], left_out: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return a finished table of corridors: `origin`, `destination`, `year`, and the covariates.

    Parameters
    ----------
    frame
        `origin` and `destination` (alpha-2), `year` and the covariates.
    units
        Unit of each covariate; becomes ``attrs["units"]``.
    left_out
        Becomes ``attrs["left_out"]``.
    faults
        What was found until now; raised here, all at once.

    Raises
    ------
    InputError
        With every fault; or if no row is left, or a corridor has two rows for a year.
    """
    return _as_table(frame, ("origin", "destination", "year"), units, left_out, faults)


def _as_table(
    frame: pd.DataFrame,
    keys: tuple[str, ...],
    units: Mapping[str, str],
    left_out: LeftOut,
    faults: Faults,
) -> pd.DataFrame:
    """Return a finished table of covariates: its keys, and a column for each covariate."""
    faults.raise_if_any()
    values = frame.reindex(columns=list(units))
    frame = left_out.drop(frame, values.isna().all(axis=1), "no value")
    again = frame.loc[frame.duplicated(list(keys)), list(keys)]
    allowed = f"one row per {', '.join(keys[:-1])} and {keys[-1]}"
    for row, *key in again.itertuples(name=None):
        add_limited(faults, f"{' '.join(map(str, key))} again", allowed, row=row_of(row))
    if frame.empty:
        told = "; ".join(f"{reason}: {n}" for reason, n in left_out.counts.items())
        faults.add(f"no row that can be used ({told})", "at least one figure of a country")
    faults.raise_if_any()
    frame = frame[[*keys, *units]].reset_index(drop=True).rename_axis(columns=None)
    frame.attrs.update(left_out=dict(left_out.counts), units=dict(units))
    return frame
