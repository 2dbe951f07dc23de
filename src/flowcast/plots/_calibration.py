"""Pictures of calibration: ranks as histograms and distribution functions, and coverage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy import stats

from flowcast.calibration.ranks import ecdf_band, test_uniform
from flowcast.errors import Fault, UsageError, nearest
from flowcast.plots._style import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    FlowFigure,
    add_title,
    check_suffix,
    new_figure,
    save_figure,
    style,
)

__all__ = ["plot_interval_coverage", "plot_ranks"]

RANK_KINDS: Final = ("histogram", "ecdf")
BAND_PROB: Final = 0.95
FAILS: Final = 0.01
N_BINS: Final = 20
N_COLUMNS: Final = 5
ROW_INCHES: Final = 0.95
BAND: Final = "#D9D9D9"
SERIES: Final = ((BLUE, "o", "-"), (VERMILLION, "s", "--"), (ORANGE, "^", ":"), (GREY, "D", "-."))

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def plot_ranks(ranks: pd.DataFrame, kind: str = "ecdf", *, out: str | Path | None = None) -> Figure:
    """Draw the ranks of true values, a panel for each quantity.

    Parameters
    ----------
    ranks
        Columns `replicate, quantity, rank, n_draws`, such as from `simulate_ranks`.
    kind
        ``"histogram"``: counts in up to 20 bins, with the band that 95 % of sets of bins would
        stay within. ``"ecdf"``: distribution function less that of uniform ranks, with the band
        that the whole line would stay within with probability 95 %.
    out
        File to write as well: ``.png`` (1200 pixels wide), ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        A quantity that is not uniform (Holm-adjusted p at most .01) is drawn in another colour,
        with thicker lines or hatched, and has its p in the title.

    Raises
    ------
    UsageError
        If kind or suffix is not one there is.
    """
    if kind not in RANK_KINDS:
        hint = nearest(kind, RANK_KINDS) or ""
        fault = Fault("plot_ranks", repr(kind), ", ".join(RANK_KINDS), column="kind", hint=hint)
        raise UsageError(str(fault))
    if out is not None:
        check_suffix(Path(out))
    verdict = test_uniform(ranks).set_index("quantity")
    with style():
        figure, outside = _draw_ranks(ranks, verdict, kind)
    figure.alt_text = _describe_ranks(verdict, kind, outside)
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def _draw_ranks(
    ranks: pd.DataFrame, verdict: pd.DataFrame, kind: str
) -> tuple[FlowFigure, list[str]]:
    names = list(dict.fromkeys(ranks["quantity"]))
    p_holm = dict(zip(verdict.index, verdict["p_holm"].to_numpy(float), strict=True))
    n_rows = -(-len(names) // N_COLUMNS)
    figure = new_figure(0.9 + ROW_INCHES * n_rows)
    panels = figure.subplots(n_rows, N_COLUMNS, squeeze=False).ravel()
    draw = _draw_histogram if kind == "histogram" else _draw_ecdf
    outside = []
    for axes, name in zip(panels, names, strict=False):
        own = ranks[ranks["quantity"] == name]
        p = p_holm[name]
        if draw(axes, own["rank"].to_numpy(np.int64), int(own["n_draws"].iloc[0]), p <= FAILS):
            outside.append(name)
        axes.set_title(f"{name}, p {p:.1g}" if p <= FAILS else name, fontsize=5.6)
        axes.tick_params(labelsize=5)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    words = {
        "histogram": "Counts of ranks in bins",
        "ecdf": "Distribution of ranks less the uniform distribution",
    }
    add_title(
        figure,
        "Ranks of true values among posterior draws",
        f"{words[kind]}; grey: {100 * BAND_PROB:.0f} % band for uniform ranks, all of a panel "
        f"at once",
    )
    hatch = "////" if kind == "histogram" else None
    failing = f"not uniform (Holm-adjusted p at most {FAILS})"
    handles: list[Patch | Line2D] = [
        Patch(color=BAND, label=f"{100 * BAND_PROB:.0f} % band"),
        Patch(facecolor=BLUE, label="no departure found"),
        Patch(facecolor=VERMILLION, label=failing, hatch=hatch),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure, outside


def _bin_edges(n_draws: int) -> IntArray:
    """Return edges of bins of equally many ranks: as many as divide them, at most 20."""
    n_bins = max(k for k in range(1, N_BINS + 1) if (n_draws + 1) % k == 0)
    return np.arange(0, n_draws + 2, (n_draws + 1) // n_bins)


def _draw_histogram(axes: Axes, rank: IntArray, n_draws: int, failed: bool) -> bool:
    edges = _bin_edges(n_draws)
    counts, n_bins = np.histogram(rank, edges - 0.5)[0], len(edges) - 1
    # Bonferroni over the bins: all of them stay inside with at least this probability.
    tail = (1.0 - BAND_PROB) / (2.0 * n_bins)
    low, high = stats.binom.ppf([tail, 1.0 - tail], len(rank), 1.0 / n_bins)
    axes.fill_between([0, 1], low, high, color=BAND, linewidth=0)
    axes.axhline(len(rank) / n_bins, color=GREY, linewidth=0.6)
    axes.stairs(
        counts,
        edges / (n_draws + 1.0),
        fill=True,
        facecolor=VERMILLION if failed else BLUE,
        alpha=0.75,
        hatch="////" if failed else None,
    )
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1])
    return bool(((counts < low) | (counts > high)).any())


def _draw_ecdf(axes: Axes, rank: IntArray, n_draws: int, failed: bool) -> bool:
    share = np.arange(1, n_draws + 1) / (n_draws + 1.0)
    found = np.cumsum(np.bincount(rank, minlength=n_draws + 1))[:-1] / len(rank)
    low, high = ecdf_band(len(rank), n_draws, BAND_PROB)
    axes.fill_between(share, low - share, high - share, color=BAND, linewidth=0, step="post")
    axes.axhline(0, color=GREY, linewidth=0.6)
    color, width = (VERMILLION, 1.6) if failed else (BLUE, 0.9)
    axes.plot(share, found - share, color=color, linewidth=width, drawstyle="steps-post")
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1])
    return bool(((found < low - 1e-12) | (found > high + 1e-12)).any())


def _describe_ranks(verdict: pd.DataFrame, kind: str, outside: list[str]) -> str:
    worst = verdict["p_holm"].idxmin()
    failed = list(verdict.index[verdict["p_holm"] <= FAILS])
    what = "Histograms" if kind == "histogram" else "Distribution functions"
    text = (
        f"{what} of the ranks of true values among posterior draws, {len(verdict)} quantities, up "
        f"to {verdict['n'].max()} replicates each. {len(outside)} leave the "
        f"{100 * BAND_PROB:.0f} % band somewhere. The smallest Holm-adjusted p is "
        f"{verdict['p_holm'].min():.2g}, of {worst}. "
    )
    told = ", ".join(failed)
    return text + (f"Not uniform: {told}." if failed else "None is found not to be uniform.")


def plot_interval_coverage(
    coverage: Mapping[str, pd.DataFrame],
    *,
    title: str,
    of: str = "true values",
    interval: str = "credible",
    out: str | Path | None = None,
) -> FlowFigure:
    """Draw the share of values inside intervals against the promised one.

    Parameters
    ----------
    coverage
        Name of a line to a table with `prob`, `share` and `error` (a standard error); up to four.
    title
        Of the figure.
    of, interval
        What the values and the intervals are: reports in predictive ones, say.
    out
        File to write as well, as in `plot_ranks`.

    Returns
    -------
    matplotlib.figure.Figure
        Share less promise, in percentage points, with bars of two standard errors.

    Raises
    ------
    UsageError
        If there are more lines than looks, or the suffix is not one there is.
    """
    if not 0 < len(coverage) <= len(SERIES):
        fault = Fault("plot_interval_coverage", f"{len(coverage)} lines", f"1 to {len(SERIES)}")
        raise UsageError(str(fault))
    if out is not None:
        check_suffix(Path(out))
    with style():
        figure = new_figure(3.2)
        axes = figure.subplots()
        axes.axhline(0, color=GREY, linewidth=0.8)
        for k, ((name, table), look) in enumerate(zip(coverage.items(), SERIES, strict=False)):
            color, marker, line = look
            prob, share, error = table[["prob", "share", "error"]].to_numpy(float).T
            x = 100 * prob + 0.5 * (k - (len(coverage) - 1) / 2)
            gap, bar = 100 * (share - prob), 200 * error
            axes.errorbar(
                x, gap, bar, color=color, marker=marker, linestyle=line, label=name, capsize=2
            )
        axes.set_xticks(sorted({100 * p for t in coverage.values() for p in t["prob"]}))
        axes.set_xlabel(f"promised: probability of the equal-tailed {interval} interval, %")
        axes.set_ylabel("found less promised, points")
        axes.grid(axis="y")
        add_title(figure, title, "below 0: intervals too narrow; bars: two standard errors")
        figure.legend(loc="outside lower center", ncols=len(coverage))
    figure.alt_text = _describe_coverage(coverage, of, interval)
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def _describe_coverage(coverage: Mapping[str, pd.DataFrame], of: str, interval: str) -> str:
    parts = []
    for name, table in coverage.items():
        rows = table[["prob", "share", "error"]].to_numpy(float)
        told = [
            f"{100 * share:.1f} % (standard error {100 * error:.1f}) in intervals of "
            f"{100 * prob:.0f} %"
            for prob, share, error in rows
        ]
        parts.append(f"{name}: {', '.join(told)}")
    return f"Share of {of} inside equal-tailed {interval} intervals. {'; '.join(parts)}."
