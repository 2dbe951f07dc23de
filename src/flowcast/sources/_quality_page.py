"""The quality report as a page: one HTML file that needs no network and no eyes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from flowcast._pages import PageTable, render_template
from flowcast.sources._quality_charts import dot_chart, heat_maps
from flowcast.sources._quality_series import OUTLIER_Z
from flowcast.sources._quality_text import (
    find_points,
    format_count,
    format_interval,
    format_ratio,
    name_reporter,
)
from flowcast.sources._quality_tidy import describe_group

if TYPE_CHECKING:
    from flowcast.sources.quality import QualityReport
    from flowcast.sources.registry import SourceEntry

__all__ = ["render_page"]

MAX_ROWS: Final = 200
"""Rows of a table on the page; the CSV and the JSON have all."""


def render_page(report: "QualityReport", entries: Mapping[str, "SourceEntry"]) -> str:
    """Return the page; all text of the input is escaped.

    Parameters
    ----------
    report
        From `assess`.
    entries
        What the registry knows of the sources, by id; those it does not know are left out.
    """
    return render_template(
        "quality.html",
        report=report,
        interval=f"{100 * report.prob:g} % {report.kind}",
        threshold=f"{OUTLIER_Z:g}",
        points=list(find_points(report)),
        sources=_sources(report, entries),
        coverage_maps=heat_maps(report.coverage, "share"),
        ratio_maps=heat_maps(report.mirror, "ratio"),
        chart=dot_chart(report.mirror_summary),
        tables=_tables(report),
    )


def _sources(report: "QualityReport", entries: Mapping[str, "SourceEntry"]) -> PageTable:
    rows = []
    for source in report.sources:
        entry = entries.get(source)
        told = ["not in the registry: your own", "", "fit", "", ""]
        if entry is not None:
            licence = entry.licence or "not stated"
            told = [entry.publisher, entry.title, entry.role, entry.definition, licence]
        rows.append([source, *told])
    names = ("source", "publisher", "title", "role", "definition", "licence")
    caption = "Sources, as the registry describes them."
    return PageTable(caption, [(name, False) for name in names], rows, 0)


def _tables(report: "QualityReport") -> dict[str, PageTable]:
    """Return the tables of the page by name."""
    prob = f"{100 * report.prob:g} % interval"
    return {
        "coverage": _coverage(report.coverage_summary),
        "definitions": _definitions(report.definitions),
        "mirror": _mirror(report.mirror_summary, prob),
        "by_definition": _by_definition(report.mirror_definitions, prob),
        "outliers": _outliers(report.outliers),
        "breaks": _breaks(report.breaks, prob),
        "revisions": _revisions(report.revisions, prob),
        "revised": _revised(report.revised),
    }


def _table(caption: str, frame: pd.DataFrame, columns: Mapping[str, Any]) -> PageTable:
    """Return the first rows of a table; a heading that ends in # is aligned on the right."""
    shown = frame.head(MAX_ROWS)
    rows = [[str(write(row)) for write in columns.values()] for _, row in shown.iterrows()]
    headings = [(name.rstrip("#"), name.endswith("#")) for name in columns]
    return PageTable(caption, headings, rows, len(frame) - len(shown))


def _who() -> dict[str, Any]:
    return {
        "reporter": name_reporter,
        "source": lambda r: r["source"],
        "measure": lambda r: r["measure"],
    }


def _ratio(prob: str) -> dict[str, Any]:
    return {
        "ratio#": lambda r: format_ratio(r["ratio"]),
        f"{prob}#": lambda r: format_interval(r["lower"], r["upper"]) if r["n"] else "",
    }


def _share(name: str) -> Any:  # noqa: ANN401
    return lambda r: "" if pd.isna(r[name]) else f"{r[name]:.1%}"


def _coverage(table: pd.DataFrame) -> PageTable:
    columns = {
        **_who(),
        "years": lambda r: r["first"] if r["years"] == 1 else f"{r['first']} to {r['last']}",
        "years covered#": lambda r: r["years"],
        "gaps": lambda r: r["gap_years"],
        "corridors#": lambda r: f"{r['corridors']:,} of {r['possible']:,}",
        "share#": _share("share"),
        "rows#": lambda r: format_count(r["rows"]),
        "sums#": lambda r: format_count(r["sums"]),
        "zeros#": _share("share_zero"),
        "flagged#": _share("share_flagged"),
        "copied#": lambda r: format_count(r["copied"]),
    }
    return _table("Coverage of each reporter, all years together.", table, columns)


def _definitions(table: pd.DataFrame) -> PageTable:
    columns = {
        **_who(),
        "years": lambda r: (
            r["from_year"] if r["years"] == 1 else f"{r['from_year']} to {r['to_year']}"
        ),
        "definition": lambda r: r["definition"],
        "rows#": lambda r: format_count(r["rows"]),
        "changed": lambda r: "yes" if r["changed"] else "",
    }
    return _table("Definitions, and the years in which they held.", table, columns)


def _mirror(table: pd.DataFrame, prob: str) -> PageTable:
    columns = {
        **_who(),
        **_ratio(prob),
        "partners#": lambda r: format_count(r["n"]),
        "pairs#": lambda r: format_count(r["n_pairs"]),
        "by the same stay#": lambda r: format_count(r["n_same"]),
    }
    caption = "Report over mirror report: median over partners, all years together."
    return _table(caption, table.sort_values("ratio", kind="stable"), columns)


def _by_definition(table: pd.DataFrame, prob: str) -> PageTable:
    columns = {
        **_who(),
        "own minimum stay": lambda r: r["own_definition"],
        "mirror's minimum stay": lambda r: r["mirror_definition"],
        **_ratio(prob),
        "partners#": lambda r: format_count(r["n"]),
    }
    caption = "The same, apart for each pair of minimum stays. Differences are told, not corrected."
    return _table(caption, table.sort_values("n", ascending=False, kind="stable"), columns)


def _outliers(table: pd.DataFrame) -> PageTable:
    columns = {
        "corridor": lambda r: f"{r['origin']} to {r['destination']}",
        "year": lambda r: r["year"],
        "reported by": lambda r: r["side"],
        "source": lambda r: r["source"],
        "group": lambda r: r["group"],
        "value#": lambda r: format_count(r["value"]),
        "expected#": lambda r: format_count(r["expected"]),
        "robust z#": lambda r: f"{r['z']:.1f}",
        "departs from": lambda r: r["basis"],
        "file": lambda r: r["file"],
        "row#": lambda r: r["row"],
    }
    told = table.assign(group=describe_group(table).str.removeprefix("; "))
    return _table("Reports that stand out, the largest departures first, persons.", told, columns)


def _breaks(table: pd.DataFrame, prob: str) -> PageTable:
    columns = {
        **_who(),
        "year": lambda r: r["year"],
        **_ratio(prob),
        "usual#": lambda r: format_ratio(r["usual"]),
        "corridors#": lambda r: format_count(r["n"]),
        "robust z#": lambda r: f"{r['z']:.1f}",
        "what": lambda r: r["status"],
    }
    return _table("Years in which the level of a reporter's reports shifts.", table, columns)


def _revisions(table: pd.DataFrame, prob: str) -> PageTable:
    columns = {
        **_who(),
        "year": lambda r: r["year"],
        "compared#": lambda r: format_count(r["compared"]),
        "revised#": lambda r: format_count(r["revised"]),
        **_ratio(prob),
        "largest#": lambda r: format_ratio(r["largest"]),
        "of partner": lambda r: r["largest_partner"] if r["revised"] else "",
    }
    return _table("New over old: median of the figures that were revised.", table, columns)


def _revised(table: pd.DataFrame) -> PageTable:
    columns = {
        "corridor": lambda r: f"{r['origin']} to {r['destination']}",
        "year": lambda r: r["year"],
        "reported by": lambda r: r["side"],
        "source": lambda r: r["source"],
        "old#": lambda r: format_count(r["old"]),
        "of": lambda r: r["old_vintage"],
        "new#": lambda r: format_count(r["new"]),
        "of ": lambda r: r["new_vintage"],
        "file": lambda r: r["file"],
        "row#": lambda r: r["row"],
    }
    return _table("The largest revisions, persons.", table, columns)
