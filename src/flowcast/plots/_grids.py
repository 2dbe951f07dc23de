"""Two pictures of all corridors at once: what is reported, and what is estimated."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
from matplotlib.patches import Patch
from numpy.typing import NDArray

from flowcast.plots._data import (
    EVIDENCE_CLASSES,
    evidence_class,
    find_period,
    flow_table,
    grid,
    period_labels,
    places_of,
)
from flowcast.plots._style import (
    KIND_WORDS,
    ORANGE,
    PALE,
    FlowFigure,
    add_title,
    marker_handle,
    new_figure,
    persons_axis,
)
from flowcast.posterior import Posterior

__all__ = ["draw_coverage", "draw_heatmap", "evidence_table"]

# From light to dark as the evidence grows; orange, apart from them, for evidence of another kind.
CLASS_COLORS: Final = ("#F7E9A0", "#8FB4C9", "#12436D", ORANGE)
MOST_LABELS: Final = 40


def draw_heatmap(posterior: Posterior, period: int | str | None = None) -> FlowFigure:
    """Draw median flows of one period, and beside them how wide their intervals are."""
    at = find_period(posterior, period)
    places = places_of(posterior)
    table = flow_table(posterior, at)
    table["factor"] = table["upper_95"] / table["lower_95"]
    silent = table[table["evidence"].map(evidence_class) == "no report"]
    figure = new_figure(5.3)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_matrix(left, grid(table, "median", places), places, "cividis", "persons per period")
    label = "upper / lower limit: how many times"
    _draw_matrix(right, grid(table, "factor", places), places, "magma_r", label)
    left.set_title("Median flow")
    right.set_title(f"Width of the 95 % credible interval ({KIND_WORDS})")
    for axes in (left, right):
        _mark_silent(axes, silent, places)
    left.set_ylabel("origin")
    _silent_legend(figure, len(silent), len(table))
    add_title(figure, f"Estimated flows, {period_labels(posterior)[at]}")
    return figure


def _draw_matrix(
    axes: Axes, values: NDArray[np.float64], places: Sequence[str], cmap: str, label: str
) -> None:
    known = values[np.isfinite(values)]
    low = max(float(known.min()), 1.0)
    # One value alone would give a colour bar without length.
    norm = LogNorm(low, max(float(known.max()), 1.05 * low))
    image = axes.imshow(values, cmap=cmap, norm=norm, interpolation="nearest")
    _label_places(axes, places)
    below = "min" if known.min() < low else "neither"
    bar = axes.figure.colorbar(
        image, ax=axes, location="bottom", shrink=0.9, aspect=28, extend=below
    )
    persons_axis(bar.ax.xaxis)
    bar.set_label(label)


def _label_places(axes: Axes, places: Sequence[str]) -> None:
    """Label rows and columns; of very many places only every second, third ... one."""
    step = -(-len(places) // MOST_LABELS)
    ticks = range(0, len(places), step)
    size = 6.5 if len(ticks) <= 24 else 4.5
    names = [places[i] for i in ticks]
    rotation = 0 if len(ticks) <= 12 else 90
    axes.set_xticks(ticks, names, fontsize=size, rotation=rotation)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("destination")
    axes.set_facecolor(PALE)
    axes.spines[:].set_visible(False)


def _mark_silent(axes: Axes, silent: pd.DataFrame, places: Sequence[str]) -> None:
    at = {place: i for i, place in enumerate(places)}
    size = min(22.0, 4000 / len(places) ** 2)
    x, y = silent["destination"].map(at), silent["origin"].map(at)
    axes.scatter(x, y, s=size, marker="o", facecolor="white", edgecolor="black", linewidth=0.7)


def _silent_legend(figure: FlowFigure, n_silent: int, n: int) -> None:
    label = f"neither side reports: {n_silent} of {n} corridors"
    handles = [
        marker_handle(label, "o", "white"),
        Patch(color=PALE, label="not a corridor of the model"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def evidence_table(posterior: Posterior, period: int | str | None = None) -> pd.DataFrame:
    """Return the evidence of every corridor whose two places existed, one row each.

    Parameters
    ----------
    posterior
        The posterior.
    period
        One period; None for all of them.

    Returns
    -------
    pandas.DataFrame
        `origin`, `destination`, `best` (position in `EVIDENCE_CLASSES`: in the period where it is
        best, two reports before one before other evidence), and `n_periods` with a report.
    """
    exists = posterior.log_flow.isel(chain=0, draw=0).notnull()
    cells = posterior.evidence.where(exists, "").transpose("corridor", "period")
    if period is not None:
        cells = cells.isel(period=[find_period(posterior, period)])
    texts = cells.to_numpy().astype(str)
    position = np.vectorize(lambda text: EVIDENCE_CLASSES.index(evidence_class(text)))(texts)
    rank = np.array([0, 2, 3, 1])  # other evidence says more than none, less than a report
    best = np.take_along_axis(position, rank[position].argmax(axis=1)[:, None], axis=1)[:, 0]
    latent = posterior.tree["latent"]
    table = pd.DataFrame(
        {
            "origin": latent["origin"].to_numpy().astype(str),
            "destination": latent["destination"].to_numpy().astype(str),
            "best": best,
            "n_periods": (rank[position] >= 2).sum(axis=1),
        }
    )
    known = np.flatnonzero((texts != "").any(axis=1))
    return table.iloc[known].reset_index(drop=True)


def draw_coverage(posterior: Posterior, period: int | str | None = None) -> FlowFigure:
    """Draw which corridors both sides, one side or nobody reports."""
    places = places_of(posterior)
    table = evidence_table(posterior, period)
    labels = period_labels(posterior)
    several = period is None and len(labels) > 1
    figure = new_figure(5.3 if several else 6.2)
    panels = figure.subplots(1, 2 if several else 1, sharey=True, squeeze=False)[0]
    norm = BoundaryNorm(np.arange(len(CLASS_COLORS) + 1) - 0.5, len(CLASS_COLORS))
    panels[0].imshow(grid(table, "best", places), cmap=ListedColormap(CLASS_COLORS), norm=norm)
    if several:
        panels[0].set_title("Best evidence in any period")
        _draw_counts(panels[1], grid(table, "n_periods", places), len(labels))
    for axes in panels:
        _label_places(axes, places)
        _rule(axes, len(places))
    panels[0].set_ylabel("origin")
    _class_legend(figure, table)
    span = f"{labels[0]} to {labels[-1]}" if several else labels[find_period(posterior, period)]
    add_title(figure, f"Who reports what, {span}")
    return figure


def _draw_counts(axes: Axes, values: NDArray[np.float64], n_period: int) -> None:
    image = axes.imshow(values, cmap="cividis_r", vmin=0, vmax=n_period, interpolation="nearest")
    axes.set_title("Number of periods with a report")
    ticks = range(0, n_period + 1, max(1, n_period // 6))
    axes.figure.colorbar(
        image, ax=axes, location="bottom", shrink=0.9, aspect=28, ticks=list(ticks)
    )


def _rule(axes: Axes, n: int) -> None:
    """Draw thin white lines between cells, as long as there is room for them."""
    if n <= MOST_LABELS:
        axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.8)
        axes.tick_params(which="minor", length=0)
        axes.set_axisbelow(False)


def _class_legend(figure: FlowFigure, table: pd.DataFrame) -> None:
    counts = table["best"].value_counts()
    handles = [
        Patch(color=color, label=f"{name}: {counts[i]} of {len(table)}")
        for i, (name, color) in enumerate(zip(EVIDENCE_CLASSES, CLASS_COLORS, strict=True))
        if counts.get(i, 0)
    ]
    handles = [*reversed(handles), Patch(color=PALE, label="not a corridor of the model")]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
