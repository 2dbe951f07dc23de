"""The demo's tables: each flow beside its two reports, and the totals of each country."""

from typing import Final

import pandas as pd

from flowcast._table_text import display_frame
from flowcast.estimates import flow_estimates, summarise
from flowcast.places import resolve_place
from flowcast.posterior import Posterior
from flowcast.vocabulary import INTERVAL_KIND, NO_EVIDENCE, EstimateMeasure

__all__ = [
    "FLOW_COLUMNS",
    "INTERVAL",
    "MARKS",
    "PROB",
    "TOTAL_COLUMNS",
    "flow_rows",
    "flows_beside_reports",
    "pick_flows",
    "total_rows",
]

PROB: Final = 0.95
INTERVAL: Final = f"{PROB:.0%} credible interval ({INTERVAL_KIND.replace('_', '-')})"
FLOW_COLUMNS: Final = (
    ("from", False),
    ("to", False),
    ("origin reports", True),
    ("destination reports", True),
    ("estimate", True),
    (f"{PROB:.0%} interval", True),
    ("why shown", False),
)
"""Headings, and whether the column is aligned on the right."""
TOTAL_COLUMNS: Final = (
    ("country", False),
    ("immigration", True),
    (f"{PROB:.0%} interval", True),
    ("emigration", True),
    (f"{PROB:.0%} interval", True),
    ("net migration", True),
    (f"{PROB:.0%} interval", True),
)
TOTALS: Final[tuple[tuple[EstimateMeasure, str], ...]] = (
    ("immigration", "destination"),
    ("emigration", "origin"),
    ("net", "destination"),
)
"""Measures, and the column in which their place stands."""
MARKS: Final = "'-': not reported; '*': copied from the other side"
N_LARGEST: Final = 6
N_CONTRADICTING: Final = 4
N_SILENT: Final = 5
MIN_REPORT: Final = 200
"""Contradictions between reports of fewer persons are mostly noise."""
SIDES: Final = ("origin", "destination")
REPORTS: Final = ["by_origin", "by_destination"]
BOUNDS: Final = ["median", "lower", "upper"]
NOT_REPORTED: Final = "-"
COPIED: Final = "*"


def flows_beside_reports(posterior: Posterior, reports: pd.DataFrame) -> pd.DataFrame:
    """Return every flow with what both sides report about it.

    Parameters
    ----------
    posterior
        With one period.
    reports
        An observation table; of it, flows reported by the origin or the destination are taken.

    Returns
    -------
    pandas.DataFrame
        `measure, origin, destination`; `by_origin, by_destination` (persons, missing where not
        reported); `copied_origin, copied_destination` (whether that report repeats the other);
        `median, lower, upper` (persons, 95 % equal-tailed credible interval) and `evidence`.
        Largest median first.
    """
    table = summarise(posterior, measure="flow", probs=(PROB,))
    flows = table[["measure", "origin", "destination", *BOUNDS, "evidence"]]
    for side in SIDES:
        mine = reports[(reports["measure"] == "flow") & (reports["reporter"] == side)]
        mine = mine.set_index(["origin", "destination"])
        told = {f"by_{side}": mine["value"], f"copied_{side}": mine["mirror_of"].notna()}
        flows = flows.join(pd.DataFrame(told), on=["origin", "destination"])
        flows[f"copied_{side}"] = flows[f"copied_{side}"].eq(True)
    return flows.sort_values("median", ascending=False, kind="stable", ignore_index=True)


def pick_flows(flows: pd.DataFrame) -> pd.DataFrame:
    """Return the flows worth showing first, with a column `why`.

    Parameters
    ----------
    flows
        From `flows_beside_reports`.

    Returns
    -------
    pandas.DataFrame
        The largest, those whose two reports contradict each other most, and those nobody reports.
    """
    largest = flows.head(N_LARGEST)
    rest = flows.drop(largest.index)
    high = rest[REPORTS].max(axis=1, skipna=False)
    ratio = (high / rest[REPORTS].min(axis=1).clip(lower=1.0))[high >= MIN_REPORT]
    contradicting = rest.loc[ratio.sort_values(ascending=False, kind="stable").index]
    parts = {
        "among the largest": largest,
        "reports far apart": contradicting.head(N_CONTRADICTING),
        "nobody reports it": rest[rest["evidence"] == NO_EVIDENCE].head(N_SILENT),
    }
    return pd.concat([part.assign(why=why) for why, part in parts.items()], ignore_index=True)


def flow_rows(picked: pd.DataFrame) -> list[list[str]]:
    """Return the picked flows as text, in the order of `FLOW_COLUMNS`."""
    columns = [
        picked["origin"].map(_name),
        picked["destination"].map(_name),
        *(_reports(picked, side) for side in SIDES),
        *_bounds(picked),
        picked["why"],
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def total_rows(posterior: Posterior) -> list[list[str]]:
    """Return immigration, emigration and net migration of each place, as `TOTAL_COLUMNS`."""
    flows = flow_estimates(posterior)
    columns: list[list[str]] = []
    for measure, side in TOTALS:
        table = summarise(flows, measure=measure, probs=(PROB,)).sort_values(side)
        columns += [table[side].map(_name).tolist(), *_bounds(table)]
    return [[row[0], *row[1:3], *row[4:6], *row[7:9]] for row in zip(*columns, strict=True)]


def _name(code: str) -> str:
    return resolve_place(code).name


def _reports(picked: pd.DataFrame, side: str) -> list[str]:
    pairs = zip(picked[f"by_{side}"], picked[f"copied_{side}"], strict=True)
    return [_report(value, copied) for value, copied in pairs]


def _report(value: float | None, copied: bool) -> str:
    return NOT_REPORTED if pd.isna(value) else f"{value:,.0f}{COPIED if copied else ''}"


def _bounds(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return medians and intervals as text."""
    shown = display_frame(table[["measure", *BOUNDS]])
    intervals = [
        f"{low} to {high}" for low, high in zip(shown["lower"], shown["upper"], strict=True)
    ]
    return shown["median"].tolist(), intervals
