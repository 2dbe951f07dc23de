"""Fan charts: what a projection says of a place, scenario by scenario."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from flowcast.errors import UsageError, did_you_mean, require_word
from flowcast.plots._style import (
    GREY,
    INTERVALS,
    KIND_WORDS,
    VERMILLION,
    FlowFigure,
    add_title,
    check_suffix,
    new_figure,
    save_figure,
    style,
)
from flowcast.projection.comparing import measure_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["plot_fan"]

ACROSS: Final = 3
MAX_PANELS: Final = 12
BASELINE: Final = "baseline"
OF_PLACES: Final = ("immigration", "emigration", "net", "population", "births", "deaths")
WORDS: Final = {"net": "net migration"}


def plot_fan(
    scenarios: "Mapping[str, xr.Dataset]",
    place: str,
    *,
    measure: str = "net",
    past: pd.DataFrame | None = None,
    out: str | Path | None = None,
) -> FlowFigure:
    """Draw how a measure of a place goes on in each scenario, with credible intervals.

    Parameters
    ----------
    scenarios
        Name -> draws, as `Projection.data` or as `open_projection` returns them; 12 at most.
    place
        Its code.
    measure
        ``"immigration"``, ``"emigration"``, ``"net"``, ``"births"``, ``"deaths"`` (persons per
        period) or ``"population"`` (persons).
    past
        Estimates of the history in the columns of the estimate table: medians and the widest
        intervals are drawn before the fan.
    out
        File to write as well: ``.png`` (1200 pixels wide), ``.svg`` or ``.pdf``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a scenario on common axes: equal-tailed credible intervals of 50, 80 and 95 %,
        the median, and in the other panels the median of ``baseline``.

    Raises
    ------
    UsageError
        If there is no such place or measure, or no scenario or too many.
    """
    _check(scenarios, place, measure)
    if out is not None:
        check_suffix(Path(out))
    draws = {
        name: measure_of(data, measure).sel(place=place).transpose("period", "draw").to_numpy()
        for name, data in scenarios.items()
    }
    at = {name: _years(data, measure) for name, data in scenarios.items()}
    before = None if past is None else _past(past, place, measure)
    word = WORDS.get(measure, measure)
    n_down = -(-len(draws) // ACROSS)
    with style():
        figure = new_figure(0.9 + 2.3 * n_down)
        panels = figure.subplots(
            n_down, min(ACROSS, len(draws)), sharex=True, sharey=True, squeeze=False
        ).ravel()
        for panel in panels[len(draws) :]:
            panel.set_axis_off()
        baseline = draws.get(BASELINE)
        for panel, (name, values) in zip(panels, draws.items(), strict=False):
            panel.tick_params(labelbottom=True)
            _fan(panel, at[name], values)
            if before is not None:
                _history(panel, before)
            if name != BASELINE and baseline is not None:
                middle = np.median(baseline, axis=1)
                panel.plot(at[BASELINE], middle, color=GREY, linestyle="--", linewidth=1.0)
            panel.set_title(name.replace("_", " "))
            panel.yaxis.set_major_formatter(FuncFormatter(_persons))
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if measure == "net":
                panel.axhline(0, color=GREY, linewidth=0.6)
        figure.legend(
            handles=_legend(past=before is not None, others=BASELINE in draws and len(draws) > 1),
            loc="outside lower left",
            ncols=3,
        )
        unit = "persons" if measure == "population" else f"persons per {_length(scenarios)}"
        add_title(
            figure,
            f"{place}: {word}, by scenario",
            f"{unit}; intervals are of the model as it stands, given the scenario: no forecast",
        )
    figure.alt_text = _tell(draws, at, place, word)
    if out is not None:
        save_figure(figure, Path(out))
    return figure


def _check(scenarios: "Mapping[str, xr.Dataset]", place: str, measure: str) -> None:
    if not 1 <= len(scenarios) <= MAX_PANELS:
        raise UsageError(f"(plot_fan) | found {len(scenarios)} scenarios; allowed: 1 to 12")
    require_word("plot_fan, measure", measure, OF_PLACES)
    places = next(iter(scenarios.values()))["place"].to_numpy().tolist()
    if place not in places:
        allowed = f"a place of the projection{did_you_mean(place, places)}"
        raise UsageError(f"(plot_fan) | found place {place!r}; allowed: {allowed}")


def _years(data: "xr.Dataset", measure: str) -> np.ndarray:
    """Return where a value stands: a population at its date, a flow in the middle of its period."""
    if measure == "population":
        return np.asarray(data["date"].to_numpy(), dtype=float)
    return np.asarray((data["period"] + data["period_end"]).to_numpy() / 2.0)


def _length(scenarios: "Mapping[str, xr.Dataset]") -> str:
    data = next(iter(scenarios.values()))
    years = int((data["period_end"] - data["period"])[0])
    return "year" if years == 1 else f"{years} years"


def _past(past: pd.DataFrame, place: str, measure: str) -> pd.DataFrame | None:
    side = "origin" if measure == "emigration" else "destination"
    own = past[(past["measure"] == measure) & (past[side] == place)]
    if own.empty:
        return None
    own = own[own["prob"] == own["prob"].max()]
    days = [pd.to_datetime(own[column]) for column in ("period_start", "period_end")]
    years = [day.dt.year + (day.dt.day_of_year - 1) / 365.25 for day in days]
    middle: pd.DataFrame = own.assign(at=(years[0] + years[1]) / 2.0)
    return middle.sort_values("at")


def _fan(panel: Axes, years: np.ndarray, values: np.ndarray) -> None:
    for prob, (color, _) in INTERVALS.items():
        lower, upper = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=1)
        panel.fill_between(years, lower, upper, color=color, linewidth=0, alpha=0.8)
    panel.plot(years, np.median(values, axis=1), color="black", linewidth=1.2)


def _history(panel: Axes, past: pd.DataFrame) -> None:
    ends = np.abs(past[["lower", "upper"]].to_numpy().T - past["median"].to_numpy())
    panel.errorbar(
        past["at"], past["median"], yerr=ends, color=VERMILLION, marker="o", markersize=3,
        linewidth=1.0,
    )  # fmt: skip


def _persons(value: float, _: object) -> str:
    for size, letter in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def _legend(*, past: bool, others: bool) -> list[Line2D | Patch]:
    out: list[Line2D | Patch] = [
        Patch(color=color, label=f"{100 * prob:.0f} % credible interval ({KIND_WORDS})")
        for prob, (color, _) in sorted(INTERVALS.items())
    ]
    out.append(Line2D([], [], color="black", linewidth=1.2, label="median"))
    if others:
        out.append(Line2D([], [], color=GREY, linestyle="--", label="median of the baseline"))
    if past:
        out.append(Line2D([], [], color=VERMILLION, marker="o", markersize=3, label="history"))
    return out


def _tell(
    draws: Mapping[str, np.ndarray], at: Mapping[str, np.ndarray], place: str, word: str
) -> str:
    """Return the figure in words: what stands at its right edge."""
    parts = []
    for name, values in draws.items():
        lower, middle, upper = np.quantile(values[-1], [0.1, 0.5, 0.9])
        parts.append(f"{name} {middle:,.0f} ({lower:,.0f} to {upper:,.0f})")
    year = float(next(iter(at.values()))[-1])
    return (
        f"Fan chart of {word} of {place}. Medians and 80 % credible intervals about {year:g}: "
        f"{'; '.join(parts)}."
    )
