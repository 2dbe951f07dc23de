"""What the priors say before the data, and what the data made of them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.plots._data import hyper_parameters, report_table, tail_quantiles
from flowcast.plots._style import (
    BLUE,
    GREY,
    INTERVALS,
    KIND_WORDS,
    VERMILLION,
    FlowFigure,
    add_note,
    add_title,
    new_figure,
    persons_axis,
)
from flowcast.posterior import Posterior

__all__ = ["draw_prior_posterior", "draw_prior_predictive", "prior_predictive_draws"]

N_BINS: Final = 40
N_SCALAR_COLUMNS: Final = 4
N_VECTOR_COLUMNS: Final = 2
MOST_ELEMENTS: Final = 40
BAND_PROBS: Final = (0.95, 0.5)
VECTOR_LOOK: Final = {0.95: (BLUE, 1.2), 0.5: (BLUE, 4.4)}
"""Colour and line width of an interval: darker than elsewhere, because it lies on the prior."""
NO_DRAWS: Final = "This run holds no draws from the prior predictive distribution of its reports."


def prior_predictive_draws(posterior: Posterior) -> NDArray[np.float64] | None:
    """Return log(report + 1/2) drawn from the prior, shape (sample, report); None if not kept."""
    tree = posterior.tree
    if "prior_predictive" not in tree.children:
        return None
    draws = tree["prior_predictive"]["log_report"].transpose("sample", "report")
    return np.asarray(draws.to_numpy(), dtype=float)


def draw_prior_predictive(posterior: Posterior) -> FlowFigure:
    """Draw the reports that the priors expect against the reports there are."""
    observed = np.log(report_table(posterior)["value"].to_numpy(dtype=float) + 0.5)
    draws = prior_predictive_draws(posterior)
    figure = new_figure(3.7)
    left, right = figure.subplots(1, 2)
    add_title(figure, "Reports expected under the priors, before any was seen")
    if draws is None:
        _draw_observed(left, _bins(observed), observed)
        left.legend(loc="upper right")
        add_note(right, NO_DRAWS)
        return figure
    _draw_distribution(left, draws, observed)
    _draw_by_report(right, draws, observed)
    bands = [
        Patch(color=INTERVALS[prob][0], label=f"prior, {100 * prob:.0f} % interval ({KIND_WORDS})")
        for prob in reversed(BAND_PROBS)
    ]
    seen = Line2D([], [], color=VERMILLION, marker="o", markersize=3, label="observed reports")
    figure.legend(handles=[*bands, seen], loc="outside lower center", ncols=3)
    return figure


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return edges, in persons, of bins of about one width on the log scale.

    Reports are whole numbers: a bin between two of them would be empty for no reason, so that
    edges are whole, and the bins of small counts wider than the others.
    """
    low, high = np.exp(float(values.min())), np.exp(float(values.max()))
    edges = np.unique(np.ceil(np.geomspace(max(np.floor(low), 1.0), high + 1.0, N_BINS + 1)))
    return np.concatenate([[0.25], edges]) if low < 1.0 else edges


def _density(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the reports in each bin, per unit of the log."""
    share = np.histogram(np.exp(values), edges)[0] / values.size
    return np.asarray(share / np.diff(np.log(edges)))


def _draw_observed(axes: Axes, bins: NDArray[np.float64], observed: NDArray[np.float64]) -> None:
    heights = _density(observed, bins)
    axes.stairs(heights, bins, color=VERMILLION, linewidth=1.5, label="observed")
    _report_axis(axes)
    axes.set_ylabel("density, per unit of the log")


def _report_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    persons_axis(axes.xaxis)
    axes.set_xlabel("reported persons + ½ (log scale)")


def _draw_distribution(
    axes: Axes, draws: NDArray[np.float64], observed: NDArray[np.float64]
) -> None:
    """Draw how the reports of one imagined world are distributed, over many such worlds."""
    bins = _bins(np.concatenate([np.quantile(draws, [0.002, 0.998]), observed]))
    heights = np.stack([_density(row, bins) for row in draws])
    for prob in BAND_PROBS:
        low, high = np.quantile(heights, tail_quantiles(prob), axis=0)
        axes.fill_between(
            bins,
            np.append(low, low[-1]),
            np.append(high, high[-1]),
            step="post",
            color=INTERVALS[prob][0],
            linewidth=0,
        )
    _draw_observed(axes, bins, observed)
    axes.set_title("All reports together")


def _draw_by_report(axes: Axes, draws: NDArray[np.float64], observed: NDArray[np.float64]) -> None:
    """Draw each report's prior interval and its observed value, ordered by the prior median."""
    order = np.argsort(np.median(draws, axis=0))
    at = np.arange(order.size)
    for prob in BAND_PROBS:
        low, high = np.exp(np.quantile(draws[:, order], tail_quantiles(prob), axis=0))
        axes.fill_between(at, low, high, color=INTERVALS[prob][0], linewidth=0, step="mid")
    axes.plot(at, np.exp(observed[order]), "o", color=VERMILLION, markersize=2, mew=0)
    low, high = np.quantile(draws, tail_quantiles(0.95), axis=0)
    inside = ((observed >= low) & (observed <= high)).sum()
    axes.set_title(f"Each report: {inside} of {order.size} within the 95 % interval")
    axes.set_yscale("log")
    persons_axis(axes.yaxis)
    axes.set_ylabel("reported persons + ½ (log scale)")
    axes.set_xlabel("reports, ordered by their prior median")
    axes.grid(axis="y")


def draw_prior_posterior(posterior: Posterior) -> FlowFigure:
    """Draw every hyper-parameter under prior and posterior: densities, or intervals of vectors.

    Raises
    ------
    UsageError
        If the posterior has no hyper-parameters.
    """
    after = hyper_parameters(posterior, "posterior")
    before = hyper_parameters(posterior, "prior")
    if not after:
        raise UsageError("(plot, prior_posterior) | found no hyper-parameters; allowed: some")
    scalars = [name for name, draws in after.items() if draws.shape[1] == 1]
    vectors = [name for name in after if name not in scalars]
    panels, figure = _lay_out(scalars, {v: after[v].shape[1] for v in vectors})
    for name, axes in panels.items():
        draw = _draw_density if name in scalars else _draw_elements
        draw(axes, after[name], before.get(name))
        axes.set_title(name if name in before else f"{name} (no prior draws)", fontsize=8)
    add_title(figure, "What the data say about the hyper-parameters")
    _prior_legend(figure, bool(vectors))
    return figure


@dataclass(frozen=True, slots=True)
class _Block:
    """Panels in rows of `columns`, and the height of each row in inches."""

    names: list[str]
    columns: int
    heights: list[float]


def _lay_out(scalars: list[str], vectors: dict[str, int]) -> tuple[dict[str, Axes], FlowFigure]:
    """Place scalars four in a row, below them vectors two in a row, as high as they are long."""
    names = sorted(vectors, key=lambda name: vectors[name])
    blocks = [_Block(scalars, N_SCALAR_COLUMNS, [1.25] * -(-len(scalars) // N_SCALAR_COLUMNS))]
    longest = [vectors[name] for name in (*names[1::2], *names[-1:] * (len(names) % 2))]
    heights = [0.55 + 0.17 * min(MOST_ELEMENTS, n) for n in longest]
    blocks = [b for b in (*blocks, _Block(names, N_VECTOR_COLUMNS, heights)) if b.names]
    figure = new_figure(0.9 + sum(sum(b.heights) for b in blocks))
    # A part of its own for each block: the labels of vectors would push the scalars apart.
    ratios = [sum(b.heights) for b in blocks]
    parts = figure.subfigures(len(blocks), 1, squeeze=False, height_ratios=ratios)[:, 0]
    panels: dict[str, Axes] = {}
    for part, block in zip(parts, blocks, strict=True):
        spec = part.add_gridspec(len(block.heights), block.columns, height_ratios=block.heights)
        for name, cell in zip(block.names, spec, strict=False):
            panels[name] = part.add_subplot(cell)
    return panels, figure


def _draw_density(axes: Axes, after: pd.DataFrame, before: pd.DataFrame | None) -> None:
    draws = after.to_numpy()[:, 0]
    low, high = np.quantile(draws, [0.001, 0.999])
    if before is not None:
        prior = before.to_numpy()[:, 0]
        low, high = min(low, np.quantile(prior, 0.01)), max(high, np.quantile(prior, 0.975))
        _fill_density(axes, prior, GREY)
    _fill_density(axes, draws, BLUE)
    if high > low:
        axes.set_xlim(low, high)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=4)


def _fill_density(axes: Axes, draws: NDArray[np.float64], color: str) -> None:
    if np.ptp(draws) == 0:
        axes.axvline(float(draws[0]), color=color)
        return
    x, density, _ = array_stats.kde(draws)  # type: ignore[no-untyped-call]
    axes.fill_between(x, density, color=color, alpha=0.35, linewidth=0)
    axes.plot(x, density, color=color, linewidth=1.2, linestyle="-" if color == BLUE else "--")


def _draw_elements(axes: Axes, after: pd.DataFrame, before: pd.DataFrame | None) -> None:
    shown = list(after.columns[:MOST_ELEMENTS])
    y = np.arange(len(shown))
    if before is not None:
        low, high = np.quantile(before[shown].to_numpy(), tail_quantiles(0.95), axis=0)
        axes.barh(y, high - low, left=low, height=0.72, color="#D3D3D3")
    for prob, (color, width) in VECTOR_LOOK.items():
        low, high = np.quantile(after[shown].to_numpy(), tail_quantiles(prob), axis=0)
        axes.hlines(y, low, high, color=color, linewidth=width)
    axes.plot(after[shown].median(), y, "|", color="white", markersize=4)
    axes.use_sticky_edges = False
    axes.set_yticks(y, shown, fontsize=6.5)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    if len(shown) < after.shape[1]:
        axes.set_xlabel(f"the first {len(shown)} of {after.shape[1]}")


def _prior_legend(figure: FlowFigure, vectors: bool) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=GREY, linestyle="--", label="prior density"),
        Line2D([], [], color=BLUE, label="posterior density"),
    ]
    if vectors:
        handles.append(Patch(color="#D3D3D3", label=f"prior, 95 % interval ({KIND_WORDS})"))
        handles += [
            Line2D(
                [],
                [],
                color=color,
                linewidth=width,
                label=f"posterior, {100 * prob:.0f} % credible interval ({KIND_WORDS})",
            )
            for prob, (color, width) in VECTOR_LOOK.items()
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
