"""``flowcast explore``: many projections of one scenario, and what drives what comes out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowcast._cli_options import (
    FlowRun,
    FlowTable,
    People,
    PeriodLength,
    ProcessSettings,
    Quiet,
    Scheduler,
    Stocks,
    Until,
    Workers,
)
from flowcast._cli_project import end_at_chains, prepare_inputs, require_one_history
from flowcast._command import not_lost, require_word
from flowcast._outcome import emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowcast.projection import Exploration, Outcome

__all__ = ["explore"]

DRAWS = 50
SENSITIVITY, BOXES, TRAJECTORY = "sensitivity.csv", "boxes.csv", "trajectory.csv"


def explore(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="Name or YAML file of a scenario.", show_default=False
        ),
    ],
    outcomes: Annotated[
        list[str],
        typer.Option(
            "--outcome",
            metavar="O",
            help="MEASURE:PLACES:YEAR, such as immigration:DEU:2030 or flow:SYR/DEU:2030, and a "
            "quantile of the draws, such as :0.9, if not the median; repeatable.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of what comes out.", show_default=False),
    ],
    drivers: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="YAML laid over the scenario; its distributions are the ranges.",
            show_default="the scenario's own distributions",
        ),
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Say what drives more than X of the outcome.", show_default=False
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="M", help="latin (for --above), sobol or morris (for how much each matters)."
        ),
    ] = "latin",
    cases: Annotated[int, typer.Option(metavar="N", min=1, help="Projections, at most.")] = 500,
    draws: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Draws of each projection.",
            show_default=f"{DRAWS}, or those of the settings if fewer",
        ),
    ] = None,
    run: FlowRun = None,
    flows: FlowTable = None,
    length: PeriodLength = 1,
    people: People = None,
    stocks: Stocks = None,
    driver_history: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="place, year and drivers by their names, as --drivers of project.",
            show_default=False,
        ),
    ] = None,
    spec: ProcessSettings = None,
    until: Until = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of cases and draws.")] = 1,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
) -> None:
    """Project a scenario many times over uncertain drivers, and say what drives what comes out.

    Written are, in a folder for each method, cases.csv with inputs and outcomes, and boxes.csv
    (--above) or sensitivity.csv (sobol, morris). The same command goes on where it was stopped.
    """
    from flowcast.projection import (
        ProjectionSpec,
        make_design,
        read_outcome,
        read_projection_spec,
        run_exploration,
        uncertain_values,
    )
    from flowcast.projection.designs import METHODS
    from flowcast.scenarios import overlay_scenario, read_scenario

    require_one_history(run, flows)
    require_word(method, METHODS, "--method")
    _require_box(above, method, outcomes)
    wanted = [read_outcome(one) for one in outcomes]
    resolved = read_scenario(scenario) if drivers is None else overlay_scenario(scenario, drivers)
    # Too few cases, or nothing that varies, before minutes of a fit.
    make_design(uncertain_values(resolved.spec), method, cases, seed=seed)  # type: ignore[arg-type]
    settings = ProjectionSpec() if spec is None else read_projection_spec(spec)
    settings = settings.model_copy(update={"seed": seed})
    with not_lost():
        process = prepare_inputs(
            out, run, flows, length, people, stocks, driver_history, settings, until, quiet=quiet
        )
        found = run_exploration(
            out, resolved, wanted, method=method,  # type: ignore[arg-type]  # a word of METHODS
            cases=cases, draws=min(DRAWS, process.n_draws) if draws is None else draws, seed=seed,
            workers=workers, scheduler=scheduler, progress=not quiet,
        )  # fmt: skip
    _tell(found, wanted, above, out)
    end_at_chains(process, "explore")


def _require_box(above: float | None, method: str, outcomes: "Sequence[str]") -> None:
    """Refuse a threshold where there is nothing that it could be meant for."""
    if above is None:
        return
    if method != "latin":
        raise typer.BadParameter(
            f"found {method}; allowed with --above: latin", param_hint="--method"
        )
    if len(outcomes) != 1:
        found = f"found {len(outcomes)}; allowed with --above: one"
        raise typer.BadParameter(found, param_hint="--outcome")


def _tell(
    found: "Exploration", outcomes: "Sequence[Outcome]", above: float | None, out: Path
) -> None:
    """Write and print what the cases say."""
    from flowcast.projection.exploring import exploration_folder

    out = exploration_folder(out, found.design.method)
    for name in (SENSITIVITY, BOXES, TRAJECTORY):
        (out / name).unlink(missing_ok=True)
    say(f"Written: {out / 'cases.csv'}")
    if above is not None:
        _tell_boxes(found, str(outcomes[0]), above, out)
    elif found.design.method != "latin":
        _tell_indices(found, outcomes, out)


def _tell_boxes(found: "Exploration", outcome: str, above: float, out: Path) -> None:
    from flowcast.projection import discover

    told = discover(found.design.inputs, found.cases[outcome], above, what=outcome)
    emit_table(told.boxes, None, out / BOXES)
    emit_table(told.trajectory, None, out / TRAJECTORY)
    print(told.text)


def _tell_indices(found: "Exploration", outcomes: "Sequence[Outcome]", out: Path) -> None:
    import pandas as pd

    from flowcast.projection import sensitivity_of

    parts = []
    for outcome in dict.fromkeys(map(str, outcomes)):
        table = sensitivity_of(found.design, found.cases[outcome])
        for note in table.attrs.pop("notes"):
            say(f"Note: {outcome}: {note}")
        table.attrs.clear()
        table.insert(0, "outcome", outcome)
        parts.append(table)
    whole = pd.concat(parts, ignore_index=True)
    emit_table(whole, None, out / SENSITIVITY)
    emit_table(whole, None, None)
