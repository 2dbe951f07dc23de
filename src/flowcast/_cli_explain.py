"""Looking at projections: fan charts, differences, and where width and changes come from."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowcast._cli_options import Out
from flowcast._command import not_lost
from flowcast._outcome import emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    from flowcast.scenarios.loading import ResolvedScenario

__all__ = [
    "compare_projections",
    "explain",
    "holds_projections",
    "is_projection",
    "plot_projection",
]


MOST_DRAWS = 200


class What(StrEnum):
    """What of a projection is explained."""

    WIDTH = "width"
    CHANGE = "change"


def explain(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder of a projection.", show_default=False),
    ],
    what: Annotated[
        What,
        typer.Argument(
            metavar="WHAT",
            help="width: what the variance comes from; change: which driver does what.",
            show_default=False,
        ),
    ],
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO...]", help="Of the projection.", show_default="all but baseline"
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Draws.", show_default="200 or those there are"),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(metavar="M", help="immigration, emigration, net, population; repeatable."),
    ] = None,
    out: Out = None,
) -> None:
    """Tell where the width of a projection comes from, or which driver changes what.

    Shares of the variance go to parameters, innovations, uncertain drivers and the choice of the
    scenario; differences from the baseline to each driver of each scenario. Both add up.
    """
    import pandas as pd

    from flowcast.projection import attribute_change, split_variance
    from flowcast.projection._inputs import read_inputs
    from flowcast.projection.store import INPUTS

    chosen = _scenarios_of(folder, scenarios)
    process, start, baseline, history = read_inputs(folder / INPUTS)
    given: dict[str, Any] = {
        "baseline": baseline,
        "history": history,
        "draws": min(MOST_DRAWS, process.n_draws) if draws is None else draws,
        "seed": _seed_of(folder),
        "measures": measure or ["immigration", "emigration", "net"],
    }
    with not_lost():
        if what is What.WIDTH:
            table = split_variance(process, start, chosen, **given)
        else:
            parts = {
                one.spec.name: attribute_change(process, start, one, **given) for one in chosen
            }
            table = pd.concat(parts, names=["scenario"]).reset_index("scenario")
    emit_table(table.reset_index(drop=True), None, out)


def _scenarios_of(folder: Path, names: list[str] | None) -> "list[ResolvedScenario]":
    """Return scenarios as they were projected."""
    from flowcast.errors import Fault, InputError, nearest
    from flowcast.projection.store import SCENARIO, projection_names
    from flowcast.scenarios import read_scenario

    known = projection_names(folder)
    wanted = names or [name for name in known if name != "baseline"]
    faults = [
        Fault(
            str(folder),
            f"no scenario {name!r}",
            ", ".join(known),
            hint=nearest(name, known) or "",
        )
        for name in wanted
        if name not in known
    ]
    if faults:
        raise InputError(faults)
    if not wanted:
        raise InputError([Fault(str(folder), "the baseline alone", "a scenario beside it")])
    return [read_scenario(folder / name / SCENARIO) for name in wanted]


def _seed_of(folder: Path) -> int:
    """Return the seed of the draws that lie there: what is told is of the same draws."""
    from flowcast.projection.store import open_projection, projection_names

    return int(open_projection(folder, projection_names(folder)[0]).attrs["seed"])


def plot_projection(
    folder: Path, kind: str, out: Path, place: str | None, measure: str | None
) -> None:
    """Draw a fan chart of a place, of all scenarios of a projection."""
    from flowcast.plots import plot_fan
    from flowcast.projection._inputs import read_past
    from flowcast.projection.store import INPUTS, open_projection, projection_names

    if kind != "fan":
        raise typer.BadParameter(f"found {kind}; allowed: fan, of a projection", param_hint="KIND")
    if place is None:
        raise typer.BadParameter("found none; allowed: a place", param_hint="--place")
    names = sorted(projection_names(folder), key=lambda name: (name != "baseline", name))
    draws = {name: open_projection(folder, name) for name in names}
    past = read_past(folder / INPUTS)
    plot_fan(draws, place, measure=measure or "net", past=past, out=out)
    say(f"Written: {out}")


def holds_projections(path: Path) -> bool:
    """Return whether a folder is one of projections."""
    from flowcast.projection.store import MANIFEST

    return (path / MANIFEST).is_file()


def is_projection(path: Path) -> bool:
    """Return whether a folder holds the draws of a scenario."""
    from flowcast.projection.store import DRAWS, RECIPE

    return (path / RECIPE).is_file() and (path / DRAWS).is_dir()


def compare_projections(first: Path, second: Path, top: int) -> None:
    """Print what differs most between two scenarios, draw by draw."""
    from flowcast.projection.comparing import compare_scenarios
    from flowcast.projection.store import open_projection

    pair = [open_projection(path.parent, path.name) for path in (first, second)]
    table = compare_scenarios(*pair)
    largest = table["median"].abs().sort_values(ascending=False).index[:top]
    emit_table(table.loc[largest], None, None)
    say(f"{second} less {first}, draw by draw: the largest {len(largest)} of {len(table)}")
