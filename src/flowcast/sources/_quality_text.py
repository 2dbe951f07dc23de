"""The most important findings of a quality report, in a few lines."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from flowcast.sources.quality import QualityReport

__all__ = [
    "describe",
    "find_points",
    "format_count",
    "format_interval",
    "format_ratio",
    "name_reporter",
]

SHOWN: Final = 3
"""Reporters, reports or years named under each heading."""
NO_INTERVAL: Final = "too few for an interval"


def format_ratio(value: float) -> str:
    """Return a ratio with two significant digits; nothing for one that is unknown.

    Examples
    --------
    >>> format_ratio(0.1234), format_ratio(152.0), format_ratio(float("inf"))
    ('0.12', '152', 'infinite')
    """
    if np.isnan(value):
        return ""
    if np.isinf(value):
        return "infinite"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def format_count(value: float) -> str:
    """Return persons or rows with thousands separators.

    Examples
    --------
    >>> format_count(1234.4)
    '1,234'
    """
    return "" if np.isnan(value) else f"{value:,.0f}"


def format_interval(lower: float, upper: float) -> str:
    """Return the bounds of a ratio.

    Examples
    --------
    >>> format_interval(0.1, 0.22), format_interval(float("nan"), float("nan"))
    ('0.1 to 0.22', 'too few for an interval')
    """
    if np.isnan(lower) or np.isnan(upper):
        return NO_INTERVAL
    return f"{format_ratio(lower)} to {format_ratio(upper)}"


def name_reporter(row: "Mapping[str, Any] | pd.Series[Any]") -> str:
    """Return who reports, and as which side."""
    return f"{row['reporter']} as {row['side']}" if row["side"] != "other" else "neither side"


def describe(report: "QualityReport") -> str:
    """Return a short summary in plain text.

    Parameters
    ----------
    report
        From `assess`.

    Returns
    -------
    str
        Lines that end with a line break.
    """
    lines = [f"Data quality: {' + '.join(report.names)}"]
    for heading, points in find_points(report):
        lines += ["", heading, *(f"  {point}" for point in points)]
    lines += ["", f"Intervals: {100 * report.prob:g} % {report.kind}. Nothing was corrected."]
    return "\n".join(lines) + "\n"


def find_points(report: "QualityReport") -> Iterator[tuple[str, list[str]]]:
    """Yield each section with its most important findings, a sentence each."""
    yield "Coverage", _coverage(report)
    yield "Definitions", _definitions(report.definitions)
    yield "Ratio to mirror reports", _mirror(report)
    yield "Outliers", _outliers(report)
    yield "Breaks in series", _breaks(report)
    yield "Revisions", _revisions(report)


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _coverage(report: "QualityReport") -> list[str]:
    table = report.coverage_summary
    span = report.years[0] if len(report.years) == 1 else f"{report.years[0]} to {report.years[-1]}"
    points = [
        f"{_plural(report.n_reports, 'report')} by {_plural(len(table), 'reporter')} (a place and "
        f"side) of {_plural(len(report.sources), 'source')}, {_plural(len(report.places), 'place')}"
        f", {span}",
    ]
    known = table[table["share"].notna()]
    if len(known):
        least = known.nsmallest(SHOWN, "share")
        told = ", ".join(f"{name_reporter(r)} {r['share']:.0%}" for _, r in least.iterrows())
        points.append(f"corridors covered: {known['share'].median():.0%} (median); least: {told}")
    zeros, rows = int(table["zeros"].sum()), int(table["rows"].sum())
    points.append(f"zeros: {zeros / rows:.1%}; flagged: {table['flagged'].sum() / rows:.1%}")
    gaps = table[table["gaps"] > 0]
    if len(gaps):
        told = ", ".join(
            f"{name_reporter(r)} {r['gaps']}" for _, r in gaps.nlargest(SHOWN, "gaps").iterrows()
        )
        points.append(
            f"years missing inside a series: {_plural(len(gaps), 'reporter')}; most: {told}"
        )
    return points


def _definitions(definitions: pd.DataFrame) -> list[str]:
    stays = definitions.drop_duplicates(["source", "measure", "reporter", "side"], keep="last")
    unknown = int(stays["duration_months"].isna().sum())
    changed = definitions[definitions["changed"]]
    points = [f"minimum stay unknown or mixed, in the last years: {_plural(unknown, 'reporter')}"]
    if len(changed):
        told = ", ".join(
            f"{name_reporter(r)} {r['from_year']}" for _, r in changed.head(SHOWN).iterrows()
        )
        points.append(f"{_plural(len(changed), 'change')} of definition, such as {told}")
    return points


def _mirror(report: "QualityReport") -> list[str]:
    table = report.mirror_summary
    if table.empty:
        return ["no corridor is reported by both sides"]
    pairs = int(table["n_pairs"].sum())
    same = int(table["n_same"].sum())
    points = [f"{_plural(pairs, 'comparison')}, {same:,} of them by the same known minimum stay"]
    sure = table[table["lower"].notna()]
    apart = sure[(sure["upper"] < 1.0) | (sure["lower"] > 1.0)]
    points.append(f"{_plural(len(apart), 'reporter')} whose interval leaves out 1")
    for words, chosen in (
        ("lowest", apart[apart["upper"] < 1.0].nsmallest(SHOWN, "ratio")),
        ("highest", apart[apart["lower"] > 1.0].nlargest(SHOWN, "ratio")),
    ):
        told = "; ".join(
            f"{name_reporter(r)} {format_ratio(r['ratio'])} "
            f"({format_interval(r['lower'], r['upper'])}, {_plural(r['n'], 'partner')})"
            for _, r in chosen.iterrows()
        )
        points += [f"{words}: {told}"] if told else []
    return points


def _outliers(report: "QualityReport") -> list[str]:
    points = [
        f"{len(report.outliers):,} of {_plural(report.n_judged, 'report')} that can be judged"
    ]
    for _, r in report.outliers.head(SHOWN).iterrows():
        points.append(
            f"{r['origin']} to {r['destination']}, {r['year']}, by the {r['side']}: "
            f"{format_count(r['value'])}, expected {format_count(r['expected'])} "
            f"(z {r['z']:.1f}; {r['basis']}; {r['file']}, row {r['row']})"
        )
    return points


def _breaks(report: "QualityReport") -> list[str]:
    judged = int(report.changes["z"].notna().sum())
    breaks = report.breaks
    points = [f"{_plural(len(breaks), 'marked year')} of {judged:,} that can be judged"]
    order = breaks["z"].abs().sort_values(ascending=False).index
    for _, r in breaks.loc[order].head(SHOWN).iterrows():
        points.append(
            f"{name_reporter(r)}, {r['year']}: {format_ratio(r['ratio'])} times the year before "
            f"({format_interval(r['lower'], r['upper'])}, {_plural(r['n'], 'corridor')}): "
            f"{r['status']}"
        )
    return points


def _revisions(report: "QualityReport") -> list[str]:
    compared = int(report.revisions["compared"].sum())
    if not compared:
        return ["no figure has two vintages"]
    points = [f"{len(report.revised):,} of {_plural(compared, 'figure')} with two vintages differ"]
    for _, r in report.revised.head(SHOWN).iterrows():
        points.append(
            f"{r['origin']} to {r['destination']}, {r['year']}, by the {r['side']}: "
            f"{format_count(r['old'])} ({r['old_vintage']}) to {format_count(r['new'])} "
            f"({r['new_vintage']}; {r['file']}, row {r['row']})"
        )
    return points
