"""Pictures of a scorecard: where reports lie in their predictive distributions, and coverage."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from flowcast.errors import UsageError
from flowcast.plots._calibration import plot_interval_coverage
from flowcast.plots._style import (
    BLUE,
    GREY,
    PALE,
    FlowFigure,
    add_title,
    check_suffix,
    new_figure,
    save_figure,
    style,
)
from flowcast.validation.classes import ALL_REPORTS, describe_kind
from flowcast.validation.scorecard import ALL_FOLDS, PIT_BINS, PROBS

__all__ = ["plot_pit", "plot_scorecard_coverage"]

BAND: Final = 0.95
KINDS: Final = (ALL_REPORTS, "reports_by_destination", "reports_by_origin")


def plot_pit(scorecard: pd.DataFrame, *, out: str | Path | None = None) -> FlowFigure:
    """Draw the histogram of the probability integral transforms of the held-out reports.

    Parameters
    ----------
    scorecard
        From `cross_validate`, of one scheme.
    out
        File to write as well: ``.png`` (1200 pixels wide), ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        Shares of reports by tenth of the transform. Grey is what ten bins of independent reports
        would all stay within with probability 95 %; reports of one fit depend on each other, so
        that it is a yardstick and no test.

    Raises
    ------
    UsageError
        If there is no report in the scorecard, or the suffix is not one there is.
    """
    alone = _alone(scorecard)
    share = alone.reindex(list(PIT_BINS))["value"].to_numpy(np.float64)
    if np.isnan(share).any():
        raise UsageError("(plot_pit) | found no transforms; allowed: a scorecard with reports")
    if out is not None:
        check_suffix(Path(out))
    n = int(alone["value"].to_numpy(np.float64)[alone.index == "n"][0])
    tail = (1.0 - BAND) / (2.0 * len(share))
    low, high = stats.binom.ppf([tail, 1.0 - tail], n, 0.1) / n
    with style():
        figure = new_figure(2.8)
        axes = figure.subplots()
        axes.fill_between([0, 1], 100 * low, 100 * high, color=PALE, linewidth=0)
        axes.axhline(10, color=GREY, linewidth=0.8)
        axes.stairs(100 * share, np.linspace(0, 1, 11), fill=True, facecolor=BLUE, alpha=0.75)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, None)
        axes.set_xlabel("position of the report in its predictive distribution")
        axes.set_ylabel("share of reports, %")
        add_title(
            figure,
            "Where reports lie in what was predicted",
            "flat: calibrated; hump: intervals too wide; heaps at the ends: too narrow; slope: too "
            "high or too low",
        )
    told = ", ".join(f"{100 * one:.1f}" for one in share)
    outside = int(((share < low) | (share > high)).sum())
    figure.alt_text = (
        f"Histogram of the positions of {n:,} reports in their predictive distributions, shares in "
        f"percent by tenth: {told}. Calibrated predictions have 10 in each. {outside} of 10 tenths "
        f"lie outside {100 * low:.1f} to {100 * high:.1f}."
    )
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def plot_scorecard_coverage(
    scorecard: pd.DataFrame, *, out: str | Path | None = None
) -> FlowFigure:
    """Draw the share of held-out reports inside predictive intervals, all and by side.

    Parameters
    ----------
    scorecard, out
        As for `plot_pit`.

    Returns
    -------
    matplotlib.figure.Figure
        As from `plot_interval_coverage`; standard errors are clustered by corridor.

    Raises
    ------
    UsageError
        As `plot_pit`.
    """
    lines = {}
    for kind in KINDS:
        alone = _alone(scorecard, kind).reindex([f"coverage_{100 * p:.0f}" for p in PROBS])
        if alone["value"].notna().all():
            lines[describe_kind(kind)] = pd.DataFrame(
                {
                    "prob": PROBS,
                    "share": alone["value"].to_numpy(),
                    "error": alone["se"].fillna(0.0).to_numpy(),
                }
            )
    return plot_interval_coverage(
        lines,
        title="Do intervals hold the reports they promise to hold?",
        of="reports",
        interval="predictive",
        out=out,
    )


def _alone(scorecard: pd.DataFrame, kind: str = ALL_REPORTS) -> pd.DataFrame:
    """Return the rows of the model by itself for a kind of report, by metric."""
    rows = scorecard[(scorecard["fold"] == ALL_FOLDS) & (scorecard["indicator"] == kind)]
    return rows[rows["against"].isna()].set_index("metric")
