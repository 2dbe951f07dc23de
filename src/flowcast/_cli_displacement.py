"""``flowcast displacement``: a model fitted to a publisher's file, and its years to come."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flowcast._cli_options import Out, Quiet
from flowcast._command import SubCommands, not_lost, require_word
from flowcast._outcome import GATE_EXIT, emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    from flowcast.displacement import DisplacementPanel

__all__ = ["displacement_app"]

SUMS: Final = ("none", "destination", "hazard")

displacement_app = typer.Typer(
    cls=SubCommands,
    name="displacement",
    help="Displacement by disasters and conflict: fit a model, and draw years to come.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@displacement_app.command("fit")
def fit(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A publisher's file, CSV.", show_default=False),
    ],
    source: Annotated[
        str,
        typer.Option(metavar="S", help="Which it is, such as idmc_disaster.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FIT", help="The fit, a NetCDF file.", show_default=False)
    ],
    sum_over: Annotated[
        str, typer.Option("--sum", metavar="W", help="Add up over destination or hazard.")
    ] = "none",
    since: Annotated[
        int | None, typer.Option(metavar="YEAR", help="First year.", show_default="the file's")
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(metavar="YEAR", help="Last year that is known.", show_default="the file's"),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="F", help="YAML of priors and sizes.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all draws.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Fit the hurdle model to a file of displacement."""
    from flowcast._terminal import Progress
    from flowcast.displacement import (
        DisplacementSpec,
        fit_displacement,
        read_displacement_spec,
        write_fit,
    )

    require_word(sum_over, SUMS, "--sum")
    spec = DisplacementSpec() if settings is None else read_displacement_spec(settings)
    panel = _panel(file, source, sum_over, since, until)
    track = Progress(shown=not quiet)
    seeded = spec.model_copy(update={"seed": seed})
    with not_lost():
        made = fit_displacement(panel, seeded, progress=track.counter("sweeps"))
        track.stop()
        write_fit(made, out)
    units, years = panel.values.shape
    say(f"Fitted: {units} units, {years} years up to {panel.years[-1]}: {out}")
    if not made.passed:
        say("flowcast: (displacement) | chains do not agree yet; allowed: more draws and tune")
        raise typer.Exit(GATE_EXIT)


@displacement_app.command("project")
def project(
    file: Annotated[
        Path, typer.Argument(metavar="FIT", help="From `displacement fit`.", show_default=False)
    ],
    years: Annotated[int, typer.Option(metavar="N", min=1, help="How many years.")] = 3,
    ceiling: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="Most persons of a unit and year.", show_default="3 times the largest"
        ),
    ] = None,
    smallest: Annotated[
        float, typer.Option(metavar="N", min=0.0, help="Figures below are not shown.")
    ] = 50.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the draws.")] = 1,
    out: Out = None,
) -> None:
    """Print a table of the years to come; small figures are suppressed, others rounded."""
    from flowcast.disclosure import DisclosurePolicy
    from flowcast.displacement import forecast_displacement, read_fit, summarise_forecast

    made = read_fit(file)
    draws = forecast_displacement(made, years, ceiling=ceiling, seed=seed)
    table = summarise_forecast(draws, policy=DisclosurePolicy(smallest=smallest))
    emit_table(table, None, out)
    say(f"Note: {table.attrs['policy']}; not for decisions about persons, nor for turning any back")
    if not made.passed:
        say("flowcast: (displacement) | chains of the fit do not agree; allowed: a longer fit")
        raise typer.Exit(GATE_EXIT)


def _panel(
    file: Path, source: str, sum_over: str, since: int | None, until: int | None
) -> "DisplacementPanel":
    from flowcast.displacement import make_panel, read_displacement, sum_units, to_years

    table = to_years(read_displacement(source, file))
    if sum_over != "none":
        table = sum_units(table, sum_over)
    return make_panel(table, since=since, until=until)
