"""``flowcast sensitivity``: what moves when priors and assumptions are other than they are."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowcast._cli_options import (
    Corridors,
    Out,
    Places,
    Quiet,
    Reports,
    Resume,
    Scheduler,
    Settings,
    Workers,
)
from flowcast._command import all_faults, not_lost, parse_settings
from flowcast._outcome import GATE_EXIT, emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sensitivity"]


def sensitivity(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN",
            help="A model, as for estimate; with --power a run folder.",
            show_default=False,
        ),
    ],
    alternatives: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="An alternative that flowcast has, such as tails_normal, or a YAML file of "
            "others; repeatable.",
            show_default="all that flowcast has",
        ),
    ] = None,
    power: Annotated[
        bool,
        typer.Option(
            "--power", help="Weigh the draws of a run with priors raised to a power; no fit."
        ),
    ] = False,
    observations: Reports = None,
    places: Places = None,
    corridors: Corridors = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all fits.")] = 1,
    out: Out = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    resume: Resume = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Tell what moves, and by how much, under other priors and assumptions.

    Each alternative is a fit of its own; --power takes the draws of a run instead. Printed is a
    short table; --out writes all of it.
    """
    from flowcast.tables import check_target

    if out is not None:
        check_target(out)
    if power:
        given = (alternatives, observations, places, corridors, scheduler, workers, resume)
        if any(one is not None for one in (*given, settings)):
            raise typer.BadParameter(
                "found it with options of fits; allowed: RUN, --out and --quiet alone",
                param_hint="--power",
            )
        _scale(Path(model), out)
        return
    from contextlib import redirect_stdout
    from shutil import rmtree

    from flowcast.config import read_model
    from flowcast.persistence import is_run
    from flowcast.validation import sensitivity as compare
    from flowcast.validation import summarise_sensitivity

    if is_run(model):
        raise typer.BadParameter("found a run; allowed: a model, or --power", param_hint="MODEL")
    overrides = parse_settings(settings or [])
    with all_faults(model, overrides, observations or [], places, corridors):
        work = resume or Path("runs") / f".{read_model(model, overrides).name}.sensitivity"
        with not_lost(), redirect_stdout(sys.stderr):
            table = compare(
                model,
                alternatives or [],
                observations,
                places,
                corridors,
                seed=seed,
                scheduler=scheduler,
                workers=workers,
                folder=work,
                overrides=overrides,
                progress=not quiet,
            )
    _emit(table, summarise_sensitivity(table), out)
    if resume is None:
        rmtree(work, ignore_errors=True)
    _end(table, converged=bool(table["gate_passed"].all()))


def _scale(run: Path, out: Path | None) -> None:
    from flowcast.persistence import read_run
    from flowcast.validation import power_scaling, summarise_power

    posterior = read_run(run)
    table = power_scaling(posterior)
    _emit(table, summarise_power(table), out)
    _end(table, converged=posterior.gate.passed)


def _emit(table: "pd.DataFrame", short: "pd.DataFrame", out: Path | None) -> None:
    """Print the short table; write the whole one."""
    emit_table(short, None, None)
    if out is not None:
        emit_table(table, None, out)


def _end(table: "pd.DataFrame", *, converged: bool) -> None:
    for note in table.attrs["notes"]:
        say(f"Note: {note}")
    if not converged:
        say("flowcast: (sensitivity) | it does not rest on converged fits alone")
        raise typer.Exit(GATE_EXIT)
