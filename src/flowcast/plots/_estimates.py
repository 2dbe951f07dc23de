"""Pictures of estimates: the largest with intervals, and how they agree with other figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from flowcast.errors import UsageError
from flowcast.estimates import FlowEstimates, summarise
from flowcast.plots._style import (
    GREY,
    INTERVALS,
    ORANGE,
    VERMILLION,
    FlowFigure,
    add_title,
    check_suffix,
    interval_handles,
    marker_handle,
    marker_look,
    new_figure,
    persons_axis,
    save_figure,
    style,
)
from flowcast.vocabulary import EstimateMeasure

__all__ = ["plot_agreement", "plot_largest"]

ROW_INCHES: Final = 0.19
MARKERS: Final = (("o", ORANGE), ("D", VERMILLION), ("s", GREY))
MAX_PANELS: Final = 4
LEAST: Final = 0.1
"""Persons from which on estimates are drawn: below, a logarithm says nothing."""
TITLES: Final = {
    "flow": "Largest flows",
    "immigration": "Largest immigration",
    "emigration": "Largest emigration",
    "net": "Largest net migration",
}


def plot_largest(
    estimates: FlowEstimates,
    *,
    measure: EstimateMeasure = "flow",
    period: int | str | None = None,
    n: int = 20,
    others: Mapping[str, pd.Series] | None = None,
    out: str | Path | None = None,
) -> Figure:
    """Draw the largest estimates of a period with their credible intervals.

    Parameters
    ----------
    estimates
        Flows.
    measure
        What is drawn; it is added up first.
    period
        A year in which a period begins; by default the last period.
    n
        How many, the largest medians by size.
    others
        Up to three sets of other figures by name, such as reports: persons per period, indexed by
        origin and destination (flows) or by place.
    out
        File to write as well: ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        Intervals of 50, 80 and 95 %, equal-tailed.

    Raises
    ------
    UsageError
        If there is no such period or measure, or more than three sets of figures.
    """
    beside = dict(others or {})
    if len(beside) > len(MARKERS):
        raise UsageError(f"(others) | found {len(beside)}; allowed: up to {len(MARKERS)}")
    if out is not None:
        check_suffix(Path(out))
    table = summarise(estimates, measure=measure, probs=tuple(INTERVALS))
    table = _of_period(table, period)
    with style():
        figure = _draw_largest(table, measure, n, beside)
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def _of_period(table: pd.DataFrame, period: int | str | None) -> pd.DataFrame:
    starts = table["period_start"].astype("str")
    year = starts.max()[:4] if period is None else str(period)[:4]
    kept = table[starts.str.startswith(year)]
    if kept.empty:
        told = ", ".join(sorted(set(starts.str.slice(0, 4))))
        raise UsageError(f"(period) | found {period!r}; allowed: {told}")
    return kept


def _draw_largest(
    table: pd.DataFrame, measure: str, n: int, others: Mapping[str, pd.Series]
) -> FlowFigure:
    wide = table.assign(key=_keys(table, measure))
    medians = wide.drop_duplicates("key").set_index("key")["median"]
    keys = medians.abs().sort_values(ascending=False).index[:n]
    figure = new_figure(1.1 + ROW_INCHES * len(keys))
    axes = figure.subplots()
    rows = {key: len(keys) - k for k, key in enumerate(keys)}
    shown = wide[wide["key"].isin(rows)].sort_values("prob", ascending=False)
    for prob, part in shown.groupby("prob", sort=False):
        color, width = INTERVALS[float(str(prob))]
        axes.hlines(part["key"].map(rows), part["lower"], part["upper"], color=color, lw=width)
    axes.plot(medians[keys], [rows[key] for key in keys], "|", color="black", markersize=6)
    handles = interval_handles()
    for (name, figures), (marker, color) in zip(others.items(), MARKERS, strict=False):
        known = figures.set_axis([_name(key) for key in figures.index]).reindex(keys).dropna()
        axes.plot(known, [rows[key] for key in known.index], **marker_look(marker, color))
        handles.append(marker_handle(name, marker, color))
    if (shown["lower"] > 0.0).all():
        axes.set_xscale("log")
        persons_axis(axes.xaxis)
    else:
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_xlabel("persons per period")
    axes.grid(axis="x")
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    start, end = table["period_start"].iloc[0], table["period_end"].iloc[0]
    add_title(figure, f"{TITLES[measure]}, {start} to {end}")
    figure.alt_text = _describe_largest(medians[keys], shown, measure)
    return figure


def _keys(table: pd.DataFrame, measure: str) -> pd.Series:
    if measure == "flow":
        return table["origin"] + " → " + table["destination"]
    return table["origin" if measure == "emigration" else "destination"]


def _name(key: object) -> str:
    return " → ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _describe_largest(medians: pd.Series, shown: pd.DataFrame, measure: str) -> str:
    first = shown[(shown["key"] == medians.index[0]) & (shown["prob"] == 0.8)].iloc[0]
    return (
        f"The {len(medians)} largest estimates of {measure} with credible intervals of 50, 80 and "
        f"95 percent. The largest, {medians.index[0]}, has a median of {medians.iloc[0]:,.0f} and "
        f"an 80 percent interval from {first['lower']:,.0f} to {first['upper']:,.0f} persons."
    )


def plot_agreement(
    table: pd.DataFrame, known: str, *, title: str, out: str | Path | None = None
) -> Figure:
    """Draw several estimates of the same flows against known figures, on logarithmic axes.

    Parameters
    ----------
    table
        A column of known figures and up to four columns of estimates, persons; any others of text.
        Zeros cannot be drawn, and their number is told; less than a tenth of a person is not drawn.
    known
        Name of the column of known figures.
    title
        Of the figure.
    out
        File to write as well: ``.png``, ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each estimate, with the correlation of logarithms of what is drawn.

    Raises
    ------
    UsageError
        If there is no such column, no estimate, or more than four.
    """
    names = [str(c) for c in table.select_dtypes("number").columns if c != known]
    if known not in table or not 1 <= len(names) <= MAX_PANELS:
        allowed = f"a column {known} and 1 to {MAX_PANELS} of estimates"
        raise UsageError(
            f"(table) | found columns {', '.join(map(str, table))}; allowed: {allowed}"
        )
    if out is not None:
        check_suffix(Path(out))
    with style():
        figure = new_figure(3.3)
        panels = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
        told = [
            _draw_agreement(axes, table[known], table[name], name)
            for axes, name in zip(panels, names, strict=True)
        ]
        panels[0].set_ylabel("estimate, persons per period")
        for axes in panels:
            persons_axis(axes.xaxis)
            persons_axis(axes.yaxis)
            axes.xaxis.set_major_locator(LogLocator(numticks=4))
            axes.tick_params(axis="x", labelsize=5.5)
        told_how = f"{known} (horizontal) against estimates of {LEAST:g} and more; grey: as many"
        add_title(figure, title, told_how)
    figure.alt_text = f"{title}. Correlations of logarithms: {'; '.join(told)}."
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def _draw_agreement(axes: Axes, known: pd.Series, estimate: pd.Series, name: str) -> str:
    both = ((known > 0.0) & (estimate > 0.0)).to_numpy()
    x, y = known.to_numpy(float)[both], estimate.to_numpy(float)[both]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.scatter(x, y, s=2, alpha=0.35, linewidths=0, rasterized=True)
    if len(x):
        ends = [x.min(), x.max()]
        axes.plot(ends, ends, color=GREY, linewidth=0.8)
        axes.set_ylim(bottom=LEAST)
    r = float(np.corrcoef(np.log(x), np.log(y))[0, 1]) if len(x) > 2 else float("nan")
    axes.set_title(f"{name}\nr {r:.2f}; {np.sum(~both):,} with a zero", fontsize=7.5)
    return f"{name} {r:.2f}"
