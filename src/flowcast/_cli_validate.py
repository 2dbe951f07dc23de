"""`flowcast validate`: cross-validation, its scorecard and its page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flowcast._cli_options import (
    Corridors,
    Model,
    Out,
    Places,
    Quiet,
    Reports,
    Resume,
    Scheduler,
    Settings,
    Workers,
)
from flowcast._command import all_faults, not_lost, parse_files, parse_settings
from flowcast._outcome import emit_scorecard, end_at_scorecard
from flowcast._terminal import say

__all__ = ["validate"]


def validate(
    model: Model,
    scheme: Annotated[
        str,
        typer.Option(
            metavar="S",
            help="What is held out together: random (single figures), blocks, reporters, "
            "corridors, countries, families or last-years.",
            show_default=False,
        ),
    ],
    observations: Reports = None,
    places: Places = None,
    corridors: Corridors = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Parts, each held out once; of last-years, how many years.",
            show_default="5; 3 of last-years, all of families",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all randomness.")] = 1,
    withhold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAMILY",
            help="Family of sources that is withheld and scored, the others being fitted; "
            "repeatable.",
            show_default="all",
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Simpler prediction to compare with: simple, persistence, pair_mean, mirror, "
            "gravity_ppml, gravity_fixed_effects, gradient_boosting or random_forest; repeatable.",
            show_default="simple, persistence, gravity_ppml",
        ),
    ] = None,
    baseline_table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A table of estimates to compare with; repeatable."),
    ] = None,
    out: Out = None,
    html: Annotated[
        Path | None, typer.Option(metavar="F", help="Page to write as well, with the verdict.")
    ] = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    resume: Resume = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Fit without some reports, predict them, and score the predictions.

    If it is interrupted or killed, the same command computes only what is missing.
    """
    from contextlib import redirect_stdout
    from shutil import rmtree

    from flowcast.config import read_model
    from flowcast.tables import check_target
    from flowcast.validation import DEFAULT_BASELINES, cross_validate

    overrides = parse_settings(settings or [])
    tables = parse_files(baseline_table or [], "--baseline-table")
    for target in (out, html):
        if target is not None:
            check_target(target)
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(
            "found no .html; allowed: a file ending in .html", param_hint="--html"
        )
    with all_faults(model, overrides, observations or [], places, corridors):
        name = read_model(model, overrides).name
        work = resume or Path("runs") / f".{name}.{scheme}.folds"
        with not_lost(), redirect_stdout(sys.stderr):
            scorecard = cross_validate(
                model,
                observations,
                places,
                corridors,
                scheme=scheme,  # type: ignore[arg-type]  # refuses others, with a hint
                folds=folds,
                seed=seed,
                families=withhold,
                baselines=baseline or DEFAULT_BASELINES,
                tables=tables,
                scheduler=scheduler,
                workers=workers,
                folder=work,
                overrides=overrides,
                progress=not quiet,
            )
    emit_scorecard(scorecard, out)
    if html is not None:
        from flowcast.scorecard_page import write_page

        write_page(scorecard, html)
        say(f"Written: {html}")
    if resume is None:
        rmtree(work, ignore_errors=True)
    end_at_scorecard(scorecard)
