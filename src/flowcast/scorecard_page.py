"""A scorecard as a page: one HTML file that needs no network and no eyes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flowcast._atomic import atomic_file
from flowcast._pages import PageTable, render_template
from flowcast.errors import UsageError
from flowcast.plots import as_svg, plot_pit, plot_scorecard_coverage
from flowcast.validation.baselines import BASELINES, PERSISTENCE
from flowcast.validation.classes import ALL_REPORTS, describe_kind
from flowcast.validation.scorecard import ALL_FOLDS
from flowcast.validation.verdict import verdict

__all__ = ["render_scorecard", "write_page"]

METRICS: Final = {
    "mae_log": ("error of the median, log scale", "low"),
    "crps": ("CRPS, persons", "low"),
    "crps_log": ("CRPS of logs", "low"),
    "crps_tail": ("CRPS of large flows, persons", "low"),
    "log_score": ("log score, smoothed", "low"),
    "interval_score_50": ("interval score 50 %, persons", "low"),
    "interval_score_80": ("interval score 80 %, persons", "low"),
    "interval_score_95": ("interval score 95 %, persons", "low"),
    "coverage_50": ("inside the 50 % interval", "50 %"),
    "coverage_80": ("inside the 80 % interval", "80 %"),
    "coverage_95": ("inside the 95 % interval", "95 %"),
    "pit_distance": ("distance from calibration", "low"),
    "rank_correlation": ("rank correlation", "1"),
    "within_skill": ("skill over time within series", "1"),
}
"""Metrics that are shown: what they are, and what is good."""
CAPTIONS: Final = {
    "pit": "If predictions are calibrated, a tenth of the reports lies in each tenth of them. The "
    "grey band is a yardstick for independent reports.",
    "coverage": "On the line at 0, as many reports lie inside the intervals as promised.",
}
MIN_REPORTS: Final = 30
"""Kinds with fewer reports are not among the worst: their shares say little."""
N_WORST: Final = 5


def write_page(scorecard: pd.DataFrame, path: str | Path) -> None:
    """Write the page of a scorecard, whole or not at all."""
    page = render_scorecard(scorecard)
    with atomic_file(Path(path)) as part:
        part.write_text(page, encoding="utf-8")


def render_scorecard(scorecard: pd.DataFrame) -> str:
    """Return a scorecard as a page: verdict, tables, figures and notes.

    Parameters
    ----------
    scorecard
        From `cross_validate`, of one scheme, or its file read again; then notes and the name of
        the model are not known.

    Returns
    -------
    str
        HTML. All text of the input is escaped.

    Raises
    ------
    UsageError
        If there are several schemes, or no report.
    """
    schemes = scorecard["scheme"].unique()
    if len(schemes) != 1:
        raise UsageError(
            f"(scorecard) | found {len(schemes)} schemes; allowed: one, with a page for each"
        )
    whole = scorecard[scorecard["fold"] == ALL_FOLDS]
    figures = {
        "pit": plot_pit(scorecard),
        "coverage": plot_scorecard_coverage(scorecard),
    }
    rivals = whole.loc[whole["metric"].eq("n") & whole["against"].notna()]
    rivals = rivals.drop_duplicates("against").set_index("against")
    apart = list(rivals.index[rivals["apart"].astype(bool)])
    usual = [name for name in rivals.index if name not in apart]
    return render_template(
        "scorecard.html",
        model=scorecard.attrs.get("model", "a model"),
        scheme=schemes[0],
        n=int(_number(whole, "n")),
        n_not_predicted=int(_number(whole, "n_not_predicted")),
        n_left_out=int(_number(whole, "n_left_out")),
        tail=f"{_number(whole, 'tail_from'):,.0f}",
        verdict=verdict(scorecard),
        worst=_worst(whole),
        overall=_overall(whole),
        rivals=[_rival(whole, name) for name in usual],
        apart=[_rival(whole, name) for name in apart],
        described={name: BASELINES[name] for name in usual if name in BASELINES},
        kinds=_kinds(whole),
        folds=_folds(scorecard),
        figures=[(as_svg(figure, name), CAPTIONS[name]) for name, figure in figures.items()],
        notes=scorecard.attrs.get("notes", []),
    )


def _alone(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["against"].isna()]


def _number(rows: pd.DataFrame, metric: str, kind: str = ALL_REPORTS) -> float:
    found = _by_metric(_alone(rows[rows["indicator"] == kind]), "value")
    return found.get(metric, float("nan"))


def _write(metric: str, value: float) -> str:
    """Return a number as its metric is read."""
    if np.isnan(value):
        return ""
    if metric.startswith("coverage"):
        return f"{100 * value:.1f} %"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _by_metric(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Return a column of some rows by metric."""
    return dict(zip(rows["metric"], rows[column].to_numpy(np.float64).tolist(), strict=True))


def _overall(whole: pd.DataFrame) -> PageTable:
    rows = _alone(whole[whole["indicator"] == ALL_REPORTS])
    value, se = _by_metric(rows, "value"), _by_metric(rows, "se")
    cells = [
        [name, _write(metric, value[metric]), _write(metric, se[metric]), good]
        for metric, (name, good) in METRICS.items()
        if metric in value
    ]
    columns = [("metric", False), *_right("model", "standard error"), ("good is", False)]
    return PageTable("The model by itself, on all reports that it predicts.", columns, cells)


def _rival(whole: pd.DataFrame, name: str) -> PageTable:
    rows = whole[(whole["indicator"] == ALL_REPORTS) & (whole["against"] == name)]
    shown = ("value", "baseline", "difference", "se", "se_folds")
    numbers = {column: _by_metric(rows, column) for column in shown}
    n, shared = numbers["value"]["n"], numbers["baseline"]["n"]
    cells = [
        [title, *(_write(metric, numbers[column][metric]) for column in shown), good]
        for metric, (title, good) in METRICS.items()
        if metric in numbers["value"]
    ]
    columns = [("metric", False), *_right("model", name, "difference"),
               *_right("standard error", "over folds"), ("good is", False)]  # fmt: skip
    caption = f"Against {name}, on the {shared:,.0f} of {n:,.0f} reports that both predict."
    return PageTable(caption, columns, cells)


def _right(*names: str) -> list[tuple[str, bool]]:
    return [(name, True) for name in names]


def _kinds(whole: pd.DataFrame) -> PageTable:
    """Return the table of all kinds of report."""
    shown = ("mae_log", "crps", "crps_log", "coverage_80")
    cells = []
    for kind in _names(whole):
        rows = _alone(whole[whole["indicator"] == kind])
        value, se = _by_metric(rows, "value"), _by_metric(rows, "se")
        scores = [_write(metric, value.get(metric, np.nan)) for metric in shown]
        error = _write("coverage_80", se.get("coverage_80", np.nan))
        n = f"{value['n']:,.0f}"
        cells.append([describe_kind(kind), n, *scores, error, _outcome(whole, kind)])
    columns = [
        ("reports", False), *_right("number", "error, log scale", "CRPS, persons", "CRPS of logs"),
        *_right("inside 80 %", "standard error"), (f"CRPS against {PERSISTENCE}", False),
    ]  # fmt: skip
    return PageTable("Scores by kind of report.", columns, cells)


def _names(whole: pd.DataFrame) -> list[str]:
    names = whole["indicator"].drop_duplicates()
    return [str(name) for name in names if str(name).startswith(ALL_REPORTS)]


def _outcome(whole: pd.DataFrame, kind: str) -> str:
    """Return in a word who has the lower CRPS, if it is beyond two standard errors."""
    rows = whole[(whole["indicator"] == kind) & (whole["against"] == PERSISTENCE)]
    gap = _by_metric(rows, "difference").get("crps", np.nan)
    se = _by_metric(rows, "se").get("crps", np.nan)
    if np.isnan(gap):
        return "cannot be compared"
    if not abs(gap) > 2.0 * se:
        return "no clear difference"
    return "better" if gap < 0 else "worse"


def _folds(scorecard: pd.DataFrame) -> PageTable:
    shown = ("n", "mae_log", "crps", "coverage_80")
    cells = []
    for fold in scorecard["fold"].drop_duplicates():
        rows = scorecard[scorecard["fold"] == fold]
        passed = _number(rows, "gate_passed", "fit")
        numbers = [_number(rows, metric) for metric in shown]
        gate = "passed" if passed == 1.0 else "not passed"
        if fold == ALL_FOLDS and 0.0 < passed < 1.0:
            gate = f"passed by {passed:.0%} of the fits"
        told = [_write(m, x) for m, x in zip(shown[1:], numbers[1:], strict=True)]
        cells.append([str(fold), f"{numbers[0]:,.0f}", *told, gate])
    columns = [
        ("fold", False), *_right("reports", "error, log scale", "CRPS, persons", "inside 80 %"),
        ("convergence gate", False),
    ]  # fmt: skip
    return PageTable("Folds, and whether their fits converged.", columns, cells)


def _worst(whole: pd.DataFrame) -> Sequence[str]:
    """Return the kinds of report whose 80 % intervals are furthest from holding 80 %."""
    rows: list[tuple[float, str]] = []
    for kind in _names(whole):
        share, n = _number(whole, "coverage_80", kind), _number(whole, "n", kind)
        if kind != ALL_REPORTS and n >= MIN_REPORTS:
            told = f"{describe_kind(kind)}: {100 * share:.1f} % of {n:,.0f}"
            rows.append((abs(share - 0.8), told))
    return [told for _, told in sorted(rows, key=_first, reverse=True)[:N_WORST]]


def _first(row: tuple[float, Any]) -> float:
    return row[0]
