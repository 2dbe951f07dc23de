"""``flowcast ages``: schedules fitted to migrants by age, and flows split by age and sex."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flowcast._cli_options import Out
from flowcast._command import SubCommands, not_lost, require_word
from flowcast._outcome import GATE_EXIT, emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["ages_app"]

VARIANTS: Final = ("7", "9", "11", "13")
SIDES: Final = ("origin", "destination")
AGES: Final = ("5-year", "1-year")
KEPT_DRAWS: Final = 200
MAX_TOLD: Final = 8

ages_app = typer.Typer(
    cls=SubCommands,
    name="ages",
    help="Fit model migration schedules to migrants by age; split flows by age and sex.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@ages_app.command("fit")
def fit(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Migrants by age: age, migrants.", show_default=False),
    ],
    parameters: Annotated[str, typer.Option(metavar="N", help="7, 9, 11 or 13.")] = "7",
    compare: Annotated[
        bool, typer.Option("--compare", help="Tell how well each number of parameters fits.")
    ] = False,
    pooled: Annotated[
        bool,
        typer.Option("--pooled", help="Let places learn from each other; writes draws (a minute)."),
    ] = False,
    draws: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of --pooled: draws per chain.", show_default="1000"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of --pooled.", show_default="1")
    ] = None,
    out: Out = None,
) -> None:
    """Fit a schedule to every place or corridor of a file."""
    require_word(parameters, VARIANTS, "--parameters")
    if compare and pooled:
        raise typer.BadParameter("found both; allowed: one", param_hint="--compare, --pooled")
    given = {name: n for name, n in (("draws", draws), ("seed", seed)) if n is not None}
    if given and not pooled:
        raise typer.BadParameter("allowed: with --pooled", param_hint="--draws, --seed")
    from flowcast.accounting import read_ages
    from flowcast.tables import check_target

    if out is not None:
        check_target(out)
    data = read_ages(file)
    table, population = data["migrants"], data.get("population")
    if pooled:
        _fit_pooled(table, population, int(parameters), given, out)
    elif compare:
        _compare(table, population, out)
    else:
        _fit_each(table, population, int(parameters), out)


def _fit_each(
    table: "xr.DataArray", population: "xr.DataArray | None", n: int, out: Path | None
) -> None:
    from flowcast.accounting import fit_schedules, tidy_schedules

    found = fit_schedules(table, population, n_parameters=n)
    frame = tidy_schedules(found.schedule, _kind(population), found)
    emit_table(frame, None, out)
    _end_unless_converged(frame)


def _compare(table: "xr.DataArray", population: "xr.DataArray | None", out: Path | None) -> None:
    from flowcast.accounting import compare_variants

    tried = [int(n) for n in VARIANTS if int(n) <= table.sizes["age"]]
    found = compare_variants(table, population, variants=tried or (7,))
    frame = found.to_dataframe(["group", "n_parameters"]).reset_index().drop(columns="group")
    keys = [c for c in ("place", "origin", "destination", "sex") if c in frame]
    rest = [c for c in frame if c not in (*keys, "n_parameters")]
    emit_table(frame[[*keys, "n_parameters", *rest]], None, out)
    _end_unless_converged(frame)


def _fit_pooled(
    table: "xr.DataArray",
    population: "xr.DataArray | None",
    n: int,
    given: dict[str, int],
    out: Path | None,
) -> None:
    import numpy as np

    from flowcast.accounting import Schedule, tidy_schedules
    from flowcast.inference.ages import AGE_SAMPLER, sample_schedules

    sampler = AGE_SAMPLER.model_copy(update=given)
    with not_lost():
        posterior = sample_schedules(table, population, n_parameters=n, sampler=sampler)
    flat = posterior.schedule.values.stack(sample=("chain", "draw"))
    kept = np.linspace(0, flat.sizes["sample"] - 1, min(KEPT_DRAWS, flat.sizes["sample"]))
    some = flat.isel(sample=kept.astype(int)).drop_vars(["sample", "chain", "draw"])
    frame = tidy_schedules(Schedule(some.rename(sample="draw")), _kind(population))
    emit_table(frame, None, out)
    say(f"Convergence gate {posterior.gate}")
    if not posterior.gate.passed:
        say("flowcast: (schedules) | the table is written, but the chains did not converge:")
        _tell(list(posterior.gate.failures))
        raise typer.Exit(GATE_EXIT)


def _kind(population: "xr.DataArray | None") -> str:
    return "shares" if population is None else "rates"


def _end_unless_converged(frame: "pd.DataFrame") -> None:
    """Exit with 3 if a fit did not converge; the table says which."""
    lost = frame[~frame["converged"]]
    if lost.empty:
        return
    say("flowcast: (schedules) | the table is written, but these fits did not converge:")
    keys = [c for c in ("place", "origin", "destination", "sex", "n_parameters") if c in frame]
    _tell([", ".join(map(str, row)) for row in lost[keys].to_numpy().tolist()])
    raise typer.Exit(GATE_EXIT)


def _tell(lines: list[str]) -> None:
    for line in lines[:MAX_TOLD]:
        say(f"  {line}")
    if len(lines) > MAX_TOLD:
        say(f"  and {len(lines) - MAX_TOLD} more")


@ages_app.command("split")
def split(
    flows: Annotated[
        Path,
        typer.Argument(metavar="FLOWS", help="A table of flows or estimates.", show_default=False),
    ],
    schedules: Annotated[
        Path, typer.Option(metavar="F", help="Schedules, from ages fit.", show_default=False)
    ],
    shares_by_sex: Annotated[
        Path | None, typer.Option(metavar="F", help="Shares by sex: sex, share (or migrants).")
    ] = None,
    population: Annotated[
        Path | None,
        typer.Option(metavar="F", help="People at risk by age, for schedules of rates."),
    ] = None,
    side: Annotated[
        str | None,
        typer.Option(metavar="S", help="Whose schedules by place are: origin or destination."),
    ] = None,
    ages: Annotated[
        str | None,
        typer.Option(
            metavar="A",
            help="5-year (0-4 to 85+), 1-year (0 to 100+), or groups as 0-14,15-64,65+.",
            show_default="5-year, or those of --population",
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="In whole persons; sums are kept to the person.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Of --whole.", show_default="1")
    ] = None,
    out: Out = None,
) -> None:
    """Split flows by age, and by sex."""
    if side is not None:
        require_word(side, SIDES, "--side")
    if population is not None and ages is not None:
        raise typer.BadParameter("found both; allowed: one", param_hint="--ages, --population")
    if seed is not None and not whole:
        raise typer.BadParameter("allowed: with --whole", param_hint="--seed")
    from flowcast.accounting import split_table
    from flowcast.tables import check_target

    if out is not None:
        check_target(out)
    given = _read_all(flows, schedules, shares_by_sex, population)
    emit_table(
        split_table(
            given["flows"],
            given["schedules"],
            _age_labels(ages),
            sex_shares=given["sexes"],
            population=given["population"],
            side=side,  # type: ignore[arg-type]  # a word that was looked at
            whole_seed=(1 if seed is None else seed) if whole else None,
        ),
        None,
        out,
    )


def _read_all(
    flows: Path, schedules: Path, sexes: Path | None, population: Path | None
) -> dict[str, Any]:
    """Read every file, and tell the faults of all of them together."""
    from flowcast.accounting import read_ages, read_flow_table, read_schedules, read_sex_shares
    from flowcast.errors import Faults, InputError

    faults, read = Faults("ages"), {}
    readers: dict[str, tuple[Any, Path | None]] = {
        "flows": (read_flow_table, flows),
        "schedules": (read_schedules, schedules),
        "sexes": (read_sex_shares, sexes),
        "population": (lambda path: read_ages(path, ("population",))["population"], population),
    }
    for name, (reader, path) in readers.items():
        try:
            read[name] = None if path is None else reader(path)
        except InputError as error:
            faults.extend(error.faults)
    faults.raise_if_any()
    return read


def _age_labels(ages: str | None) -> tuple[str, ...]:
    from flowcast.accounting import FIVE_YEAR_AGES

    if ages in (None, "5-year"):
        return FIVE_YEAR_AGES
    if ages == "1-year":
        return (*map(str, range(100)), "100+")
    return tuple(label.strip() for label in ages.split(",") if label.strip())
