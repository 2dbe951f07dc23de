"""A place's flows against what both sides reported."""

from itertools import zip_longest
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from flowcast.plots._data import (
    find_period,
    find_place,
    flow_table,
    period_labels,
    place_name,
    report_table,
)
from flowcast.plots._style import (
    BLUE,
    GREY,
    INTERVALS,
    ORANGE,
    VERMILLION,
    FlowFigure,
    add_note,
    add_title,
    interval_handles,
    marker_handle,
    marker_look,
    new_figure,
    persons_axis,
)
from flowcast.posterior import Posterior

__all__ = ["ALL_PERIODS", "DIRECTIONS", "draw_reports", "place_flows"]

ALL_PERIODS: Final = "all"
MOST_ROWS: Final = 30
MOST_SERIES: Final = 6
DEFINITION: Final = (
    "Flow: changes of usual residence for 12 months or more. Reports as published, "
    "each by its own definition."
)
# Side that reports: label, marker, colour. Shape and colour say the same thing twice.
SIDES: Final = {
    "immigration": ("report of the receiving side", "o", VERMILLION),
    "emigration": ("report of the sending side", "D", ORANGE),
}
Values = NDArray[Any]
Direction = Literal["immigration", "emigration"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
_ENDS: Final[dict[Direction, tuple[str, str, str]]] = {
    "immigration": ("destination", "origin", "Immigration from"),
    "emigration": ("origin", "destination", "Emigration to"),
}


def place_flows(
    posterior: Posterior, place: str, direction: Direction, period: int
) -> pd.DataFrame:
    """Return a place's corridors in one direction, largest median first.

    Returns
    -------
    pandas.DataFrame
        The columns of `flow_table`, `other` (the place at the other end), and `immigration` and
        `emigration`: what the receiving and the sending side reported, NaN where they did not.
    """
    here, there, _ = _ENDS[direction]
    table = flow_table(posterior, period)
    table = table[table[here] == place]
    table = table.assign(other=table[there])
    reports = report_table(posterior)
    reports = reports[reports["period"] == period]
    for side in SIDES:
        # Several sources may report a figure: the first one is drawn here, all are in the table.
        own = reports[reports["side"] == side]
        values = own.groupby(["origin", "destination"])["value"].first()
        keys = pd.MultiIndex.from_frame(table[["origin", "destination"]])
        table[side] = values.reindex(keys).to_numpy(dtype=float)
    return table.sort_values("median", ascending=False, ignore_index=True)


def draw_reports(
    posterior: Posterior, place: str | None = None, period: int | str | None = None
) -> FlowFigure:
    """Draw every corridor's flow against both reports, or the largest ones over all periods."""
    code = find_place(posterior, place)
    if period == ALL_PERIODS and posterior.log_flow.sizes["period"] > 1:
        return _draw_series(posterior, code)
    at = find_period(posterior, None if period == ALL_PERIODS else period)
    tables = {d: place_flows(posterior, code, d, at) for d in DIRECTIONS}
    rows = min(MOST_ROWS, max(len(t) for t in tables.values()))
    figure = new_figure(1.75 + 0.205 * max(rows, 4))
    panels = figure.subplots(1, 2, sharex=True)
    for axes, (direction, table) in zip(panels, tables.items(), strict=True):
        _draw_forest(axes, posterior, direction, table)
    _set_limits(panels[0], pd.concat([t.head(MOST_ROWS) for t in tables.values()]))
    _add_legend(figure, any(_has_zero(t.head(MOST_ROWS)) for t in tables.values()))
    name = place_name(posterior, code)
    title = f"{name}: flows and the reports behind them, {period_labels(posterior)[at]}"
    add_title(figure, title, DEFINITION)
    return figure


def _draw_forest(
    axes: Axes, posterior: Posterior, direction: Direction, table: pd.DataFrame
) -> None:
    head = _ENDS[direction][2]
    shown = table.head(MOST_ROWS)
    cut = f" (the largest {len(shown)} of {len(table)})" if len(shown) < len(table) else ""
    axes.set_title(head + cut)
    if shown.empty:
        add_note(axes, "no corridor of the model")
        return
    y = np.arange(len(shown))
    for prob, (color, width) in INTERVALS.items():
        low, high = shown[f"lower_{100 * prob:.0f}"], shown[f"upper_{100 * prob:.0f}"]
        axes.hlines(y, low, high, color=color, linewidth=width, zorder=2)
    axes.plot(shown["median"], y, "|", color="white", markersize=5.5, zorder=3)
    axes.set_xscale("log")
    for side in SIDES:
        _mark(axes, shown, y, side, 4.2)
    axes.set_yticks(y, [place_name(posterior, code) for code in shown["other"]])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("persons per period (log scale)")


def _mark(axes: Axes, rows: pd.DataFrame, at: Values, side: str, size: float) -> None:
    """Draw the reports of a side; on the axis that is not logarithmic they stand at `at`.

    A report of 0 has no place on a log axis: it stands, hollow, at the axis' lower edge.
    """
    _, marker, color = SIDES[side]
    values = rows[side].to_numpy(dtype=float)
    upright = axes.get_xscale() == "log"
    edge = axes.get_yaxis_transform() if upright else axes.get_xaxis_transform()
    common: dict[str, Any] = {"markersize": size, "zorder": 4}
    for hollow, some in ((False, values > 0), (True, values == 0)):
        if some.any():
            xy = (values[some], at[some]) if upright else (at[some], values[some])
            look = marker_look(marker, color, hollow=hollow)
            where: dict[str, Any] = {"transform": edge, "clip_on": False} if hollow else {}
            axes.plot(*xy, **look, **where, **common)


def _has_zero(rows: pd.DataFrame) -> bool:
    return bool((rows[list(SIDES)] == 0).any(axis=None))


def _set_limits(axes: Axes, shown: pd.DataFrame) -> None:
    """Limit the log axis to what is drawn, but not to far below one person."""
    reported = shown[list(SIDES)].to_numpy()
    values = np.concatenate([shown["lower_95"], shown["upper_95"], reported[reported > 0]])
    if values.size:
        axes.set_xlim(max(values.min() / 1.4, 0.2), max(values.max(), 1.0) * 1.4)
    persons_axis(axes.xaxis)


def _add_legend(figure: FlowFigure, zeros: bool) -> None:
    tick = Line2D([], [], color=BLUE, linewidth=6.2, marker="|", mec="white", label="median")
    handles = [*interval_handles(), tick]
    handles += [marker_handle(*look) for look in SIDES.values()]
    if zeros:
        label = "hollow, at the edge: a report of 0"
        handles.append(marker_handle(label, "o", GREY, hollow=True))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _draw_series(posterior: Posterior, code: str) -> FlowFigure:
    """Draw the largest corridors in each direction over time, one small panel each."""
    labels = period_labels(posterior)
    figure = new_figure(6.4)
    panels = figure.subplots(4, 3, sharex=True)
    shown: list[pd.DataFrame] = []
    for block, direction in zip((panels[:2], panels[2:]), DIRECTIONS, strict=True):
        series = _largest_series(posterior, code, direction)
        for axes, rows in zip_longest(block.flat, series):
            if rows is None:
                axes.set_axis_off()
                continue
            other = place_name(posterior, rows["other"].iloc[0])
            axes.set_title(f"{_ENDS[direction][2].lower()} {other}", fontsize=8)
            _draw_band(axes, rows)
        shown += series
    step = -(-len(labels) // 4)
    panels[-1, 0].set_xticks(range(0, len(labels), step), labels[::step])
    _add_legend(figure, any(_has_zero(rows) for rows in shown))
    title = f"{place_name(posterior, code)}: largest flows and the reports behind them"
    add_title(figure, title, DEFINITION + " Persons per period, log scale.")
    return figure


def _largest_series(posterior: Posterior, code: str, direction: Direction) -> list[pd.DataFrame]:
    """Return the largest corridors by their mean median, each as rows in the order of periods."""
    n_period = len(period_labels(posterior))
    table = pd.concat(
        place_flows(posterior, code, direction, t).assign(at=t) for t in range(n_period)
    )
    order = table.groupby("other")["median"].mean().nlargest(MOST_SERIES).index
    return [table[table["other"] == other] for other in order]


def _draw_band(axes: Axes, series: pd.DataFrame) -> None:
    at = series["at"].to_numpy()
    for prob, (color, _) in INTERVALS.items():
        low, high = series[f"lower_{100 * prob:.0f}"], series[f"upper_{100 * prob:.0f}"]
        axes.fill_between(at, low, high, color=color, linewidth=0, zorder=1)
    axes.plot(at, series["median"], color="white", linewidth=1, zorder=2)
    axes.set_yscale("log")
    for side in SIDES:
        _mark(axes, series, at, side, 3.2)
    persons_axis(axes.yaxis)
    axes.grid(axis="y")
