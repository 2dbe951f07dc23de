"""Everything that was found as one long table, an indicator a row."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from flowcast.sources._quality_reports import GROUP

if TYPE_CHECKING:
    from flowcast.sources.quality import QualityReport

__all__ = ["INDICATORS", "TIDY_COLUMNS", "tidy"]

TIDY_COLUMNS: Final = (
    "source",
    "measure",
    "reporter",
    "side",
    "partner",
    "year",
    "indicator",
    "value",
    "lower",
    "upper",
    "prob",
    "kind",
    "n",
    "note",
)
INDICATORS: Final[Mapping[str, str]] = {
    "corridors": "corridors reported; of all years, their sum",
    "corridors_possible": "corridors to the other places of the input that existed then",
    "share_covered": "corridors over corridors_possible",
    "rows": "rows, groups of age and sex and sums among them",
    "sums": "rows about a total or a grouping of places",
    "zeros": "rows that say 0",
    "share_flagged": "share of rows that carry a flag of the publisher",
    "copied": "rows that repeat the figure of the other side",
    "years_covered": "years with a report",
    "gaps": "years without one between the first and the last",
    "duration_months": "minimum stay of the definition, months; 60 is permanent",
    "definition_changed": "1 in the first year of another definition",
    "mirror_ratio": "median of report over mirror report",
    "mirror_ratio_by_definition": "the same, for one pair of minimum stays",
    "outlier_value": "persons reported, by an outlier",
    "outlier_expected": "persons that its neighbours or its mirror let expect",
    "outlier_z": "its departure in robust standard deviations",
    "level_change": "level of the reports over that of the year before",
    "break_z": "departure of the level's change from the usual one, where it is marked",
    "revision_ratio": "median of new over old among the revised figures",
    "figures_compared": "figures with two vintages",
    "figures_revised": "those whose value differs",
    "largest_revision": "the new over old that is furthest from 1",
}
"""Indicator -> what it is."""
COVERAGE: Final = {
    "corridors": "corridors",
    "corridors_possible": "possible",
    "share_covered": "share",
    "rows": "rows",
    "sums": "sums",
    "zeros": "zeros",
    "share_flagged": "share_flagged",
    "copied": "copied",
}
WHOLE_GROUP: Final = {"criterion": "residence", "age": "", "sex": ""}
"""What need not be said of a report."""


def tidy(report: "QualityReport") -> pd.DataFrame:
    """Return the long table of a quality report, sorted by source, reporter, year, indicator."""
    parts = [
        *_coverage(report),
        *_definitions(report.definitions),
        *_mirror(report),
        *_outliers(report.outliers),
        *_changes(report),
        *_revisions(report),
    ]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    keys = [*GROUP, "year", "indicator", "partner", "note"]
    return table[list(TIDY_COLUMNS)].sort_values(keys, kind="stable", ignore_index=True)


def _part(
    table: pd.DataFrame,
    indicator: str,
    column: str,
    *,
    interval: tuple[float, str] | None = None,
    n: str | None = None,
    note: Callable[[pd.DataFrame], pd.Series] | None = None,
) -> pd.DataFrame:
    """Return one indicator of a wide table."""
    empty = pd.Series("", index=table.index, dtype="str")
    prob, kind = interval or (np.nan, "")
    bounds = {
        name: table[name] if interval else pd.Series(np.nan, index=table.index)
        for name in ("lower", "upper")
    }
    return table[GROUP].assign(
        partner=table.get("partner", empty),
        year=table.get("year", empty),
        indicator=indicator,
        value=table[column].astype("float64"),
        **bounds,
        prob=prob,
        kind=kind,
        n=table[n].astype("float64").astype("Int64")
        if n
        else pd.array([pd.NA] * len(table), "Int64"),
        note=note(table) if note and len(table) else empty,
    )


def _coverage(report: "QualityReport") -> Iterator[pd.DataFrame]:
    for table in (report.coverage, report.coverage_summary):
        for indicator, column in COVERAGE.items():
            yield _part(table, indicator, column, n="rows")
    summary = report.coverage_summary
    yield _part(summary, "years_covered", "years", note=lambda t: t["first"] + " to " + t["last"])
    yield _part(summary, "gaps", "gaps", note=lambda t: t["gap_years"])


def _definitions(definitions: pd.DataFrame) -> Iterator[pd.DataFrame]:
    spells = definitions.assign(year=definitions["from_year"], changed_to=1.0)
    span = lambda t: t["definition"] + " (" + t["from_year"] + " to " + t["to_year"] + ")"  # noqa: E731
    yield _part(spells, "duration_months", "duration_months", n="rows", note=span)
    changed = spells[spells["changed"]]
    yield _part(changed, "definition_changed", "changed_to", n="rows", note=span)


def _mirror(report: "QualityReport") -> Iterator[pd.DataFrame]:
    interval = (report.prob, report.kind)
    yield _part(report.mirror, "mirror_ratio", "ratio", interval=interval, n="n", note=_same)
    yield _part(
        report.mirror_summary, "mirror_ratio", "ratio", interval=interval, n="n", note=_same
    )
    yield _part(
        report.mirror_definitions,
        "mirror_ratio_by_definition",
        "ratio",
        interval=interval,
        n="n",
        note=lambda t: "minimum stay " + t["own_definition"] + ", mirror " + t["mirror_definition"],
    )


def _same(table: pd.DataFrame) -> pd.Series:
    pairs = table.get("n_pairs", table["n"]).astype("str")
    return table["n_same"].astype("str") + " of " + pairs + " pairs by the same minimum stay"


def _outliers(outliers: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for name in ("value", "expected", "z"):
        yield _part(outliers, f"outlier_{name}", name, note=_describe_outliers)


def _describe_outliers(table: pd.DataFrame) -> pd.Series:
    place = table["file"] + ", row " + table["row"].astype("str")
    return "departs from " + table["basis"] + "; " + place + describe_group(table)


def describe_group(table: pd.DataFrame) -> pd.Series:
    """Return what sets a figure apart from all moves by residence, or nothing."""
    told = pd.Series("", index=table.index, dtype="str")
    for name, usual in WHOLE_GROUP.items():
        cells = table[name].fillna("").astype("str")
        told += (f"; {name} " + cells).where(cells != usual, "")
    return told


def _changes(report: "QualityReport") -> Iterator[pd.DataFrame]:
    interval = (report.prob, report.kind)
    yield _part(report.changes, "level_change", "ratio", interval=interval, n="n")
    yield _part(report.breaks, "break_z", "z", n="n", note=lambda t: t["status"])


def _revisions(report: "QualityReport") -> Iterator[pd.DataFrame]:
    table, interval = report.revisions, (report.prob, report.kind)
    some = table[table["revised"] > 0]
    yield _part(table, "figures_compared", "compared", n="compared")
    yield _part(table, "figures_revised", "revised", n="compared")
    yield _part(some, "revision_ratio", "ratio", interval=interval, n="n")
    yield _part(
        some, "largest_revision", "largest", note=lambda t: "partner " + t["largest_partner"]
    )
