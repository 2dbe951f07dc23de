"""What each reporter covers, and by which definition, year by year."""

from typing import Any, Final

import numpy as np
import pandas as pd

from flowcast.sources._quality_reports import (
    GROUP,
    OTHER,
    Reports,
    describe_duration,
    living_places,
)

__all__ = ["cover", "definition_spells", "describe_definition", "summarise_coverage"]

DEFINITION: Final = (
    "family",
    "duration_months",
    "criterion",
    "undercount_class",
    "accuracy_class",
)
"""Columns of the contract that say how a reporter counts."""
NOT_STATED: Final = "not stated"


def cover(reports: Reports) -> pd.DataFrame:
    """Return what each reporter covers in each year.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side, year`: `corridors` reported, `possible` (pairs
        with the other places of the input that existed then), `share` (NaN where the reporter gives
        sums only), `rows`, of which `sums` (one side empty or a grouping), `zeros`, `flagged` and
        `copied` (repeated from the other side); `share_flagged`.
    """
    table = reports.newest
    marked = table.assign(
        corridor=(table["origin"] + ">" + table["destination"]).where(table["pair"]),
        sums=~table["pair"],
        zeros=table["value"] == 0,
        flagged=table["flag"].notna(),
        copied=table["mirror_of"].notna(),
    )
    by = [*GROUP, "year", "period_start", "period_end"]
    counts = {name: (name, "sum") for name in ("sums", "zeros", "flagged", "copied")}
    found = (
        marked.groupby(by)
        .agg(rows=("value", "size"), corridors=("corridor", "nunique"), **counts)
        .reset_index()
        .sort_values([*GROUP, "period_start", "period_end"], ignore_index=True)
    )
    possible = _count_possible(reports, found)
    found["possible"] = possible
    found["share"] = (found["corridors"] / possible).where(
        (found["corridors"] > 0) & (possible > 0)
    )
    found["share_flagged"] = found["flagged"] / found["rows"]
    head = [*GROUP, "year", "corridors", "possible", "share", "rows"]
    return found[[*head, *counts, "share_flagged", "period_start", "period_end"]]


def _count_possible(reports: Reports, found: pd.DataFrame) -> pd.Series:
    """Return how many corridors each reporter could report among the places that existed."""
    periods = found[["period_start", "period_end"]].drop_duplicates().itertuples(index=False)
    alive = {(start, end): living_places(reports, start, end) for start, end in periods}
    counts = []
    columns = (found[c] for c in ("side", "reporter", "period_start", "period_end"))
    for side, reporter, start, end in zip(*columns, strict=True):
        places = alive[start, end]
        n = len(places)
        counts.append(n * (n - 1) if side == OTHER else len(places - {reporter}))
    return pd.Series(counts, index=found.index, dtype="int64")


def summarise_coverage(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return what each reporter covers in all years.

    Parameters
    ----------
    coverage
        From `cover`.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side`: `years` covered, `first`, `last`, `gaps`
        (years between them without a report that others of the input have), `gap_years` (their
        names), sums of `corridors`, `possible`, `rows`, `sums`, `zeros`, `flagged`, `copied` over
        the years covered, `share`, `share_zero` and `share_flagged`.
    """
    every = coverage.sort_values("period_start")[["year", "period_start", "period_end"]]
    every = every.drop_duplicates()
    rows = []
    for key, group in coverage.groupby(GROUP):
        first, last = group["period_start"].min(), group["period_end"].max()
        inside = every[(every["period_start"] >= first) & (every["period_end"] <= last)]
        missing = [year for year in inside["year"] if year not in set(group["year"])]
        sums = group[["corridors", "possible", "rows", "sums", "zeros", "flagged", "copied"]].sum()
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "years": group["year"].nunique(),
                "first": group["year"].iloc[0],
                "last": group["year"].iloc[-1],
                "gaps": len(missing),
                "gap_years": ", ".join(missing),
                **{str(name): int(count) for name, count in sums.items()},
            }
        )
    found = pd.DataFrame(rows)
    some = (found["corridors"] > 0) & (found["possible"] > 0)
    return found.assign(
        share=(found["corridors"] / found["possible"].where(some)),
        share_zero=found["zeros"] / found["rows"],
        share_flagged=found["flagged"] / found["rows"],
    )


def describe_definition(row: "pd.Series[Any]") -> str:
    """Return the definition of a report in words, such as ``minimum stay 12 months``."""
    stay = describe_duration(float(row["duration_months"]))
    grades = {
        name: NOT_STATED if pd.isna(row[f"{name}_class"]) else row[f"{name}_class"]
        for name in ("undercount", "accuracy")
    }
    told = "; ".join(f"{name} {grade}" for name, grade in grades.items())
    return f"{row['family']}; minimum stay {stay}; by {row['criterion']}; {told}"


def definition_spells(reports: Reports) -> pd.DataFrame:
    """Return the definitions by which each reporter counts, and the years in which it does.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side` and spell of years with the same definitions:
        `definition` (in words; several are joined by " / "), `duration_months` (NaN if unknown or
        several), `n_definitions`, `from_year`, `to_year`, `years`, `rows`, and `changed` (True in
        every spell but a reporter's first).
    """
    table = reports.newest
    kinds = table[list(DEFINITION)].drop_duplicates()
    words = kinds.assign(definition=[describe_definition(row) for _, row in kinds.iterrows()])
    told = table.merge(words, on=list(DEFINITION), how="left")
    by_year = (
        told.sort_values("definition")
        .groupby([*GROUP, "period_start", "year"])
        .agg(
            definition=("definition", lambda cells: " / ".join(dict.fromkeys(cells))),
            n_definitions=("definition", "nunique"),
            duration_months=("duration_months", _only),
            rows=("value", "size"),
        )
        .reset_index()
    )
    new_group = by_year[GROUP].ne(by_year[GROUP].shift()).any(axis=1)
    new = new_group | by_year["definition"].ne(by_year["definition"].shift())
    spells = by_year.assign(spell=new.cumsum(), changed=new & ~new_group)
    return (
        spells.groupby([*GROUP, "spell"])
        .agg(
            definition=("definition", "first"),
            duration_months=("duration_months", "first"),
            n_definitions=("n_definitions", "first"),
            from_year=("year", "first"),
            to_year=("year", "last"),
            years=("year", "size"),
            rows=("rows", "sum"),
            changed=("changed", "first"),
        )
        .reset_index()
        .drop(columns="spell")
    )


def _only(cells: pd.Series) -> float:
    """Return the one value there is, or NaN."""
    values = cells.unique()
    return float(values[0]) if len(values) == 1 else np.nan
