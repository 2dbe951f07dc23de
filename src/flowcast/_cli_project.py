"""``flowcast project``: scenarios projected from estimated flows, with their draws."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowcast._cli_options import (
    PROJECTED_YEARS,
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
from flowcast._command import not_lost
from flowcast._outcome import GATE_EXIT, emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    import xarray as xr

    from flowcast.projection import FlowHistory, FlowProcess, ProjectionSpec

__all__ = ["end_at_chains", "prepare_inputs", "project", "require_one_history"]


def project(
    scenarios: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO...",
            help="Names or YAML files of scenarios; baseline is projected with them.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of the projection.", show_default=False),
    ],
    run: FlowRun = None,
    flows: FlowTable = None,
    length: PeriodLength = 1,
    people: People = None,
    stocks: Stocks = None,
    drivers: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="place, year and drivers by their names; past years are their history.",
            show_default=False,
        ),
    ] = None,
    spec: ProcessSettings = None,
    until: Until = None,
    draws: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Draws.", show_default="those of the settings"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of all draws.")] = 1,
    sums: Annotated[
        bool, typer.Option("--sums", help="Keep sums of places only, no flows between them.")
    ] = False,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    quiet: Quiet = False,
) -> None:
    """Project flows and populations under scenarios, the same draws through all of them.

    A folder that is there already is gone on with: only what changed is computed. Written are the
    draws of every scenario, and estimates.csv with credible intervals of its sums.
    """
    from flowcast.projection import ProjectionSpec, read_projection_spec
    from flowcast.scenarios import read_scenarios

    require_one_history(run, flows)
    named = list(dict.fromkeys(["baseline", *scenarios]))
    resolved = read_scenarios(named)
    settings = ProjectionSpec() if spec is None else read_projection_spec(spec)
    settings = settings.model_copy(update={"seed": seed})
    with not_lost():
        process = prepare_inputs(
            out, run, flows, length, people, stocks, drivers, settings, until, quiet=quiet
        )
        from flowcast.projection.store import run_projection

        n = settings.draws if draws is None else draws
        computed = run_projection(
            out, resolved, draws=n, seed=seed, flows=not sums, workers=workers,
            scheduler=scheduler, progress=not quiet,
        )  # fmt: skip
    for name, fresh in computed.items():
        _tell(out, name, fresh=fresh)
    end_at_chains(process, "project")


def require_one_history(run: Path | None, flows: Path | None) -> None:
    """Refuse a command that has two histories of flows, or none."""
    if (run is None) == (flows is None):
        found = "neither" if run is None else "both"
        raise typer.BadParameter(f"found {found}; allowed: --run or --flows", param_hint="--run")


def end_at_chains(process: "FlowProcess", command: str) -> None:
    """Say what there is to know of a process; exit with 3 if its chains disagree."""
    for note in process.notes:
        say(f"Note: {note}")
    if not process.passed:
        say(f"flowcast: ({command}) | chains of the process do not agree yet; allowed: more draws")
        raise typer.Exit(GATE_EXIT)


def prepare_inputs(
    out: Path,
    run: Path | None,
    flows: Path | None,
    length: int,
    people: Path | None,
    stocks: Path | None,
    drivers: Path | None,
    settings: "ProjectionSpec",
    until: int | None,
    *,
    quiet: bool,
) -> "FlowProcess":
    """Write what the projection starts from, unless it stands there from the same files."""
    from flowcast._hashes import file_hash, joint_hash
    from flowcast.config import plain_settings
    from flowcast.projection import baseline_of, make_start
    from flowcast.projection._inputs import read_inputs, write_inputs
    from flowcast.projection.comparing import summarise_history
    from flowcast.projection.store import INPUTS

    of_fit = [one for one in (flows, people, drivers) if one is not None]
    if run is not None:
        of_fit.append(run / "manifest.json")
    fitted = joint_hash(
        [*map(file_hash, of_fit), json.dumps(plain_settings(settings)), str(length)]
    )
    begun = joint_hash([*map(file_hash, [] if stocks is None else [stocks]), str(until)])
    place, mark = out / INPUTS, out / INPUTS / "made_from.txt"
    before = mark.read_text(encoding="utf-8").split() if mark.is_file() else ["", ""]
    if before == [fitted, begun]:
        return read_inputs(place)[0]
    history, table = _history(run, flows, length, people)
    past = None if drivers is None else _drivers(drivers)
    if before[0] == fitted:
        # Where it ends and who lives there says nothing of the past: the fit stays.
        process = read_inputs(place)[0]
    else:
        process = _fit(history, settings, past, quiet=quiet)
    end = history.end + PROJECTED_YEARS if until is None else until
    stock = None if stocks is None else _stocks(stocks)
    start = make_start(table, process.places, history.end, end, length=history.length, stock=stock)
    write_inputs(
        place, process, start, baseline_of(process, start, past), past,
        past=summarise_history(history),
    )  # fmt: skip
    mark.write_text(f"{fitted} {begun}", encoding="utf-8")
    return process


def _fit(
    history: "FlowHistory",
    settings: "ProjectionSpec",
    drivers: "xr.Dataset | None",
    *,
    quiet: bool,
) -> "FlowProcess":
    """Fit the process, and say how far it is."""
    from flowcast._terminal import Progress
    from flowcast.projection import fit_process

    track = Progress(shown=not quiet)
    progress = track.counter("sweeps of the process")
    process = fit_process(history, settings, drivers=drivers, progress=progress)
    track.stop()
    return process


def _history(
    run: Path | None, flows: Path | None, length: int, people: Path | None
) -> "tuple[FlowHistory, xr.Dataset]":
    """Return the history of flows, and the table of people."""
    from flowcast.projection import history_from_estimates, history_from_table, read_people

    if run is None:
        assert flows is not None
        if people is None:
            raise typer.BadParameter("found none; allowed: a table", param_hint="--people")
        table = read_people(people)
        return history_from_table(flows, table["population"], length=length), table
    from flowcast.estimates import flow_estimates
    from flowcast.persistence import read_run

    posterior = read_run(run)
    table = _people_of(posterior.spec.name) if people is None else read_people(people)
    return history_from_estimates(flow_estimates(posterior), table["population"]), table


def _people_of(model: str) -> "xr.Dataset":
    """Return populations of an embedded model's places, as those of one year."""
    from flowcast.config import read_model
    from flowcast.covariates import read_covariates
    from flowcast.resources import embedded_names

    if model not in embedded_names("models"):
        raise typer.BadParameter(
            f"found none, and no embedded model {model}; allowed: a table with place, year, "
            "population, births and deaths",
            param_hint="--people",
        )
    spec = read_model(model)
    # Models that come with flowcast are read from their folder, and have places.
    assert spec.folder is not None
    assert spec.data.places is not None
    data = read_covariates(spec.folder / spec.data.places)[["population"]]
    return data if "year" in data.dims else data.expand_dims(year=[0], axis=-1)


def _drivers(path: Path) -> "xr.Dataset":
    from flowcast.covariates import read_covariates
    from flowcast.scenarios import DRIVERS, baseline_drivers

    data = read_covariates(path, declared_places="any")
    names = {name: name for name in map(str, data.data_vars) if name in DRIVERS}
    return baseline_drivers(data, names, data["year"].to_numpy().tolist())


def _stocks(path: Path) -> "xr.DataArray":
    """Read stocks by birthplace: one row a pair."""
    import numpy as np

    from flowcast._sheet import Sheet
    from flowcast._tabular import read_raw
    from flowcast.errors import Faults

    faults = Faults(str(path))
    sheet = Sheet(read_raw(path, faults), faults)
    columns = ("birthplace", "place", "stock")
    for column in (c for c in columns if not sheet.has(c)):
        faults.add("no such column", ", ".join(columns), row=1, column=column)
    faults.raise_if_any()
    for column in columns:
        sheet.required(column, "a value")
    values = sheet.numbers("stock", "a number")
    sheet.limit("stock", values, values >= 0, "0 or more", given=np.ones(sheet.n, dtype=bool))
    frame = sheet.raw.frame[["birthplace", "place"]].astype(str).assign(stock=values)
    again = frame.duplicated(["birthplace", "place"]).to_numpy()
    sheet.refuse(again, "stock", lambda _: "another row", "one row for a pair")
    faults.raise_if_any()
    made: xr.DataArray = frame.set_index(["birthplace", "place"])["stock"].to_xarray()
    return made


def _tell(out: Path, name: str, *, fresh: bool) -> None:
    """Write the table of a scenario's sums, and say where it is."""
    from flowcast.projection.comparing import summarise_projection
    from flowcast.projection.store import open_projection

    target = out / name / "estimates.csv"
    if fresh or not target.is_file():
        emit_table(summarise_projection(open_projection(out, name)), None, target)
        return
    say(f"Unchanged: {out / name}")
