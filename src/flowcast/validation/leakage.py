"""What would tell a held-out report: its copies, what repeats it, and sums that contain it.

A prediction of a report is worth nothing if the report, or something made from it, was fitted.
Every fold is searched for this, and what is found is left out of the fit.
"""

from collections.abc import Collection, Iterator
from typing import Final

import numpy as np
import pandas as pd

from flowcast._observation_checks import MIRROR_KEY
from flowcast.errors import Fault, InputError
from flowcast.observations import Observations
from flowcast.places import CodeKind, is_grouping, members

__all__ = ["LEAKS", "LeakError", "find_leaks", "grouping_kind", "refuse_leaks", "tell_place"]

LEAKS: Final[dict[str, str]] = {
    "vintage": "another vintage of it",
    "copy": "the same figure in another source of the family",
    "mirror": "the other side's figure, which repeats it or is repeated by it",
    "overlap": "the same reporter's figure for a period that contains it, or a part of it",
    "total": "a total of the same reporter that contains it",
    "estimate": "somebody's estimate, which may be built on it",
}
"""Kinds of leaks, and what each is of a held-out report."""

FIGURE: Final = list(MIRROR_KEY)
SAME: Final = ["family", "criterion", "age", "sex"]
COLUMNS: Final = ["fitted", "held_out", "kind"]
_HEADER_ROWS: Final = 2


class LeakError(InputError):
    """A fit would have seen what it is to predict."""


def find_leaks(
    fitted: pd.DataFrame, held_out: pd.DataFrame, *, kind: CodeKind | None = None
) -> pd.DataFrame:
    """Find the reports of a fit that tell held-out ones.

    Parameters
    ----------
    fitted, held_out
        Tables of the observation contract (`Observations.table`).
    kind
        Kind of the codes, for groupings; None where codes are the user's own.

    Returns
    -------
    DataFrame
        One row for each pair: `fitted` and `held_out`, labels of rows, and `kind`, of `LEAKS`. For
        kind ``estimate``, which is about no report in particular, `held_out` is -1.
    """
    fit = fitted.assign(place=tell_place(fitted)).rename_axis("fitted").reset_index()
    held = held_out.assign(place=tell_place(held_out)).rename_axis("held_out").reset_index()
    parts = [*_same_figure(fit, held), _overlaps(fit, held), *_totals(fit, held, kind)]
    estimates = fit.loc[fit["family"] == "estimate", ["fitted"]]
    parts.append(estimates.assign(held_out=-1, kind="estimate"))
    found = pd.concat([part.reindex(columns=COLUMNS) for part in parts])
    return found.drop_duplicates(COLUMNS[:2], ignore_index=True)


def refuse_leaks(fitted: Observations, held_out: Observations) -> None:
    """Refuse to predict reports that a fit has seen in one form or another.

    Parameters
    ----------
    fitted, held_out
        What is fitted, and what is to be predicted and scored.

    Raises
    ------
    LeakError
        With the row of every fitted report that tells a held-out one, and how.

    Examples
    --------
    >>> import pandas as pd
    >>> from flowcast.observations import observations_from_frame
    >>> row = {"source": "a", "family": "administrative", "measure": "flow", "origin": "DE",
    ...        "destination": "FR", "year": 2020, "value": 12, "reporter": "origin"}
    >>> one = observations_from_frame(pd.DataFrame([row]), name="ours")
    >>> other = observations_from_frame(pd.DataFrame([{**row, "source": "b"}]), name="theirs")
    >>> refuse_leaks(one, other)
    Traceback (most recent call last):
    flowcast.validation.leakage.LeakError: 1 fault
      (ours, row 2) | found copy: flow DE to FR, 2020, by origin; allowed: nothing that tells row 2
      of theirs: the same figure in another source of the family
    """
    table = fitted.table
    leaks = find_leaks(table, held_out.table, kind=grouping_kind(fitted))
    faults = []
    for first in leaks.drop_duplicates("fitted").sort_values("fitted").to_dict("records"):
        row, about = int(first["fitted"]), int(first["held_out"])
        whose = f"row {about + _HEADER_ROWS} of {held_out.name}" if about >= 0 else held_out.name
        faults.append(
            Fault(
                fitted.name,
                f"{first['kind']}: {_describe(table.iloc[row])}",
                f"nothing that tells {whose}: {LEAKS[first['kind']]}",
                row=row + _HEADER_ROWS,
            )
        )
    if faults:
        raise LeakError(faults)


def grouping_kind(observations: Observations) -> CodeKind | None:
    """Return the kind of codes that members of groupings have, None where codes are declared."""
    return None if observations.codes == "declared" else observations.codes


def _describe(row: pd.Series) -> str:
    sides = [row[side] if isinstance(row[side], str) else "all" for side in FIGURE[1:3]]
    start, last = row["period_start"], row["period_end"] - pd.Timedelta(days=1)
    span = f"{start.year}" if start.year == last.year else f"{start:%Y-%m} to {last:%Y-%m}"
    return f"{row['measure']} {sides[0]} to {sides[1]}, {span}, by {row['reporter']}"


def tell_place(table: pd.DataFrame) -> pd.Series:
    """Return the place whose figure each row is, or the source where neither side reports.

    What one side repeats from the other (`mirror_of`) is the other's.
    """
    side = table["mirror_of"].fillna(table["reporter"])
    place = table["origin"].where(side == "origin", table["destination"])
    return ("source " + table["source"]).where(side == "other", place)


def _same_figure(fit: pd.DataFrame, held: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield vintages, copies, and figures of one side that the other repeats."""
    told = ["reporter", "family", "source", "mirror_of"]
    both = fit[["fitted", *FIGURE, *told]].merge(
        held[["held_out", *FIGURE, *told]], on=FIGURE, suffixes=("", "_held")
    )
    same = (both["reporter"] == both["reporter_held"]) & (both["family"] == both["family_held"])
    kind = np.where(both["source"] == both["source_held"], "vintage", "copy")
    yield both.assign(kind=kind)[same]
    repeated = (both["mirror_of"] == both["reporter_held"]).fillna(False)
    repeats = (both["mirror_of_held"] == both["reporter"]).fillna(False)
    # Two sides that both repeat a third row's figure are the same figure as well.
    linked = both["mirror_of"].notna() & both["mirror_of_held"].notna()
    yield both.assign(kind="mirror")[repeated | repeats | linked]


def _overlaps(fit: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Return figures of the same reporter, family and pair whose periods overlap but differ."""
    key = ["measure", "origin", "destination", "reporter", *SAME]
    lengths = pd.concat([t["period_end"] - t["period_start"] for t in (fit, held)]).dt.days
    if lengths.empty or lengths.max() - lengths.min() <= 3:  # leap days
        return fit[:0]
    columns = [*key, "period_start", "period_end"]
    both = fit[["fitted", *columns]].merge(
        held[["held_out", *columns]], on=key, suffixes=("", "_held")
    )
    differ = (both["period_start"] != both["period_start_held"]) | (
        both["period_end"] != both["period_end_held"]
    )
    return both.assign(kind="overlap")[_meet(both) & differ]


def _meet(both: pd.DataFrame) -> pd.Series:
    return (both["period_start"] < both["period_end_held"]) & (
        both["period_start_held"] < both["period_end"]
    )


def _totals(fit: pd.DataFrame, held: pd.DataFrame, kind: CodeKind | None) -> Iterator[pd.DataFrame]:
    """Yield totals, net figures and figures of groupings that contain a held-out report."""
    groups = {code: _members(code, kind) for code in _groupings(fit, kind)}
    summed = fit["origin"].isna() | fit["destination"].isna()
    for side in ("origin", "destination"):
        summed = summed | fit[side].isin(list(groups))
    cells = held.dropna(subset=["origin", "destination"])
    columns = ["place", *SAME, "origin", "destination", "reporter", "period_start", "period_end"]
    for place, totals in fit[summed].groupby("place"):
        mine = cells.loc[cells["place"] == place, ["held_out", *columns]]
        both = totals[["fitted", "measure", *columns]].merge(
            mine, on=["place", *SAME], suffixes=("", "_held")
        )
        inside = _meet(both)
        for side in ("origin", "destination"):
            inside = inside & _contains(both[side], both[f"{side}_held"], groups)
        # A net figure is about its place on both sides, and names it on one.
        net = (both["measure"] == "net") & _meet(both)
        yield both.assign(kind="total")[
            net | (inside & (both["reporter"] == both["reporter_held"]))
        ]


def _groupings(fit: pd.DataFrame, kind: CodeKind | None) -> set[str]:
    codes = {*fit["origin"].dropna().unique(), *fit["destination"].dropna().unique()}
    return set() if kind is None else {code for code in codes if is_grouping(code)}


def _members(code: str, kind: CodeKind | None) -> Collection[str]:
    return members(code, kind=kind or "alpha3")


def _contains(whole: pd.Series, part: pd.Series, groups: dict[str, Collection[str]]) -> pd.Series:
    found = whole.isna() | (whole == part)
    for code, codes in groups.items():
        found = found | ((whole == code) & part.isin(list(codes)))
    return found.fillna(False).astype(bool)
