"""The command line: parses, calls one function, prints, sets the exit code.

Every command imports what it needs when it runs, so that asking for help costs nothing.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flowcast import __version__
from flowcast._cli_accounting import accounting
from flowcast._cli_ages import ages_app
from flowcast._cli_displacement import displacement_app
from flowcast._cli_explain import (
    compare_projections,
    explain,
    holds_projections,
    is_projection,
    plot_projection,
)
from flowcast._cli_explore import explore
from flowcast._cli_iamc import iamc
from flowcast._cli_indicators import indicators_app
from flowcast._cli_options import Corridors, Model, Places, Quiet, Reports, Run, Settings
from flowcast._cli_project import project
from flowcast._cli_publish import publish
from flowcast._cli_scenarios import scenarios_app
from flowcast._cli_sensitivity import sensitivity
from flowcast._cli_sources import sources_app
from flowcast._cli_table import table
from flowcast._cli_validate import validate
from flowcast._command import Commands, all_faults, not_lost, parse_settings
from flowcast._outcome import (
    emit_table,
    end_at_gate,
    read_estimates,
    show_checked,
)
from flowcast._terminal import say

__all__ = ["app", "main"]

EPILOG = "Exit codes: 0 done, 1 input refused, 2 wrong usage, 3 convergence gate not passed."

app = typer.Typer(
    cls=Commands,
    name="flowcast",
    help="Bilateral migration flows with uncertainty, from reports that contradict each other.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(sources_app)
app.command()(accounting)
app.add_typer(indicators_app)
app.command()(validate)
app.command()(publish)
app.command()(sensitivity)
app.add_typer(ages_app)
app.add_typer(scenarios_app)
app.command()(project)
app.command()(explain)
app.command()(iamc)
app.command()(explore)
app.add_typer(displacement_app)


def main() -> None:
    """Run the command line; the entry point of `flowcast`."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flowcast {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """Take the options that every command has; `Commands` reads them."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Run folder.")] = Path("runs/demo"),
    quiet: Quiet = False,
) -> None:
    """Estimate flows between 18 countries from embedded reports."""
    from flowcast.demonstration import run_demo

    with not_lost():
        posterior = run_demo(out, quiet=quiet)
    end_at_gate(posterior, out)


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", show_default=False)],
) -> None:
    """Check data, models, scenarios, runs or folders, and list every fault."""
    from flowcast.checking import check_paths
    from flowcast.errors import InputError

    checked = check_paths(paths)
    show_checked(checked)
    faults = [fault for one in checked for fault in one.faults]
    if faults:
        raise InputError(faults)


@app.command()
def estimate(
    model: Model,
    observations: Reports = None,
    places: Places = None,
    corridors: Corridors = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder.", show_default="runs/<model name>"),
    ] = None,
    draws: Annotated[int | None, typer.Option(metavar="N", help="Draws per chain.")] = None,
    tune: Annotated[int | None, typer.Option(metavar="N", help="Warm-up steps per chain.")] = None,
    chains: Annotated[int | None, typer.Option(metavar="N", help="Chains, at least 2.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all randomness.")] = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a finished run.")] = False,
    quiet: Quiet = False,
) -> None:
    """Estimate flows from reports, and write a run folder.

    If it is interrupted or killed, the same command goes on where it was.
    """
    from contextlib import redirect_stdout
    from shutil import rmtree

    from flowcast.config import read_model
    from flowcast.inference import estimate as fit
    from flowcast.persistence import require_free, write_run
    from flowcast.posterior import describe_inference

    overrides = parse_settings(settings or [])
    with all_faults(model, overrides, observations or [], places, corridors):
        folder = out or Path("runs") / read_model(model, overrides).name
        require_free(folder, force=force)
        work = folder.with_name(f".{folder.name}.work")
        with not_lost(), redirect_stdout(sys.stderr):
            posterior = fit(
                model,
                observations,
                places,
                corridors,
                draws=draws,
                tune=tune,
                chains=chains,
                seed=seed,
                overrides=overrides,
                progress=not quiet,
                checkpoint=work,
            )
    write_run(posterior, folder, force=force)
    rmtree(work, ignore_errors=True)
    if not quiet:
        info = posterior.info
        say(f"Inference: {describe_inference(info.get('method'), info.get('exact'))}")
        say(f"Convergence gate {posterior.gate}")
        say(f"Written: {folder}")
    end_at_gate(posterior, folder)


app.command()(table)


@app.command()
def predict(
    run: Run,
    observations: Annotated[
        Path,
        typer.Option(metavar="F", help="Reports that were not fitted.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="F", help="File to write.", show_default=False)],
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the draws.")] = 1,
) -> None:
    """Predict reports that were not fitted, bias and noise included."""
    from flowcast.checking import place_codes
    from flowcast.observations import read_observations
    from flowcast.persistence import read_run
    from flowcast.prediction import predict as predict_reports

    posterior = read_run(run)
    reports = read_observations(observations, declared_places=place_codes(posterior))
    emit_table(predict_reports(posterior, reports, seed=seed), None, out)


@app.command()
def plot(
    run: Run,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="coverage, prior_predictive, prior_posterior, reports, heatmap, or fan.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="F", help="File to write: .png, .svg or .pdf.", show_default=False),
    ],
    place: Annotated[
        str | None, typer.Option(metavar="P", help="The place whose reports are drawn.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(metavar="Y", help="A year, or the first day of a period.")
    ] = None,
    measure: Annotated[
        str | None, typer.Option(metavar="M", help="Of a fan: net, immigration, population ...")
    ] = None,
) -> None:
    """Draw a figure of a run, or a fan chart of a projection."""
    if holds_projections(run):
        plot_projection(run, kind, out, place, measure)
        return
    if measure is not None:
        raise typer.BadParameter("found one; allowed: with fan", param_hint="--measure")
    from flowcast.persistence import read_run
    from flowcast.plots import plot as draw

    draw(read_run(run), kind, out=out, place=place, period=period)
    say(f"Written: {out}")


@app.command()
def compare(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A run, an estimate table, a release, or a scenario's folder in a projection.",
            show_default=False,
        ),
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.", show_default=False)],
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Changes to show.")] = 20,
) -> None:
    """Compare two runs, tables or releases: what changed, by how much, why."""
    from dataclasses import replace

    from flowcast.compare import (
        compare_releases,
        compare_runs,
        compare_tables,
        is_release,
        render,
        render_releases,
    )
    from flowcast.persistence import read_run

    if is_projection(first) and is_projection(second):
        compare_projections(first, second, top)
        return
    if is_release(first) or is_release(second):
        sys.stdout.write(render_releases(compare_releases(first, second), top))
        return
    names = (str(first), str(second))
    if first.is_file() or second.is_file():
        comparison = compare_tables(read_estimates(first), read_estimates(second), names=names)
    else:
        comparison = replace(compare_runs(read_run(first), read_run(second)), names=names)
    sys.stdout.write(render(comparison, top))
