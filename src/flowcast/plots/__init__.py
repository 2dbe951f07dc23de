"""Figures of a posterior and of estimates, drawn without global state and described in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from flowcast.errors import Fault, UsageError, nearest
from flowcast.plots import _describe
from flowcast.plots._calibration import plot_interval_coverage, plot_ranks
from flowcast.plots._estimates import plot_agreement, plot_largest
from flowcast.plots._fans import plot_fan
from flowcast.plots._grids import draw_coverage, draw_heatmap
from flowcast.plots._priors import draw_prior_posterior, draw_prior_predictive
from flowcast.plots._reports import draw_reports
from flowcast.plots._style import FlowFigure, as_svg, check_suffix, save_figure, style
from flowcast.plots._validation import plot_pit, plot_scorecard_coverage
from flowcast.posterior import Posterior

__all__ = [
    "PLOT_KINDS",
    "as_svg",
    "describe",
    "plot",
    "plot_agreement",
    "plot_fan",
    "plot_interval_coverage",
    "plot_largest",
    "plot_pit",
    "plot_ranks",
    "plot_scorecard_coverage",
]

PLOT_KINDS: Final[dict[str, str]] = {
    "coverage": "which corridors both sides, one side or nobody reports",
    "prior_predictive": "the reports the priors expect against the reports there are",
    "prior_posterior": "what the data say about each hyper-parameter",
    "reports": "a place's flows with credible intervals against the reports of both sides",
    "heatmap": "all flows, and how wide their credible intervals are",
}

_DRAW: Final[dict[str, Callable[..., FlowFigure]]] = {
    "coverage": draw_coverage,
    "prior_predictive": draw_prior_predictive,
    "prior_posterior": draw_prior_posterior,
    "reports": draw_reports,
    "heatmap": draw_heatmap,
}
_TELL: Final[dict[str, Callable[..., str]]] = {
    "coverage": _describe.describe_coverage,
    "prior_predictive": _describe.describe_prior_predictive,
    "prior_posterior": _describe.describe_prior_posterior,
    "reports": _describe.describe_reports,
    "heatmap": _describe.describe_heatmap,
}
_TAKES: Final[dict[str, tuple[str, ...]]] = {
    "coverage": ("period",),
    "heatmap": ("period",),
    "reports": ("place", "period"),
}


def _options(kind: str, place: str | None, period: int | str | None) -> dict[str, Any]:
    """Return the options given, checked: one that has no effect would be a misunderstanding."""
    if kind not in PLOT_KINDS:
        hint = nearest(kind, PLOT_KINDS) or ""
        raise UsageError(
            str(Fault("plot", repr(kind), ", ".join(PLOT_KINDS), column="kind", hint=hint))
        )
    given = {"place": place, "period": period}
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in _TAKES.get(kind, ()):
            users = ", ".join(k for k, names in _TAKES.items() if name in names)
            fault = Fault("plot", f"{name} with {kind}", f"{name} with {users}", column=name)
            raise UsageError(str(fault))
    return options


def plot(
    posterior: Posterior,
    kind: str,
    *,
    out: str | Path | None = None,
    place: str | None = None,
    period: int | str | None = None,
) -> Figure:
    """Draw a figure of a posterior.

    Parameters
    ----------
    posterior
        What `estimate` returned or `read_run` read.
    kind
        One of `PLOT_KINDS`: ``"coverage"``, ``"prior_predictive"``, ``"prior_posterior"``,
        ``"reports"``, ``"heatmap"``.
    out
        File to write as well: ``.png`` (1200 pixels wide), ``.svg`` or ``.pdf``.
    place
        For ``"reports"``: code of the place; by default the one with the largest flows.
    period
        For ``"reports"``, ``"heatmap"`` and ``"coverage"``: a year, a first day or a label such as
        ``"2015 to 2019"``. By default the last period; coverage then shows all of them.
        ``"reports"`` also takes ``"all"``: the largest corridors over time.

    Returns
    -------
    matplotlib.figure.Figure
        Flows are in persons per period; intervals are equal-tailed and the legend says so. It shows
        itself in a notebook. No window is opened and no global state is touched.

    Raises
    ------
    UsageError
        If kind, place, period or the file's suffix is not one there is, with the nearest one.

    Examples
    --------
    >>> from flowcast.plots import PLOT_KINDS
    >>> PLOT_KINDS["heatmap"]
    'all flows, and how wide their credible intervals are'
    """
    options = _options(kind, place, period)
    if out is not None:
        check_suffix(Path(out))
    with style():
        figure = _DRAW[kind](posterior, **options)
    figure.alt_text = _TELL[kind](posterior, **options)
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def describe(
    kind: str,
    posterior: Posterior,
    *,
    place: str | None = None,
    period: int | str | None = None,
) -> str:
    """Return a figure in words, for use as the alternative text of an image.

    Parameters
    ----------
    kind, posterior, place, period
        As for `plot`.

    Raises
    ------
    UsageError
        As `plot`.
    """
    options = _options(kind, place, period)
    return _TELL[kind](posterior, **options)
