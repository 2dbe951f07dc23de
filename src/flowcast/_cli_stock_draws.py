"""``flowcast accounting ... --draws N``: the same estimators with credible intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flowcast._outcome import emit_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from flowcast.estimates import FlowEstimates

__all__ = [
    "Dates",
    "DrawOptions",
    "Draws",
    "ErrorFile",
    "Keep",
    "Probs",
    "Quiet",
    "Seed",
    "check_draw_options",
    "write_intervals",
]

Draws = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=2, help="Draw stocks, births and deaths so often; tells intervals."
    ),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Seed of the draws.", show_default="1")
]
ErrorFile = Annotated[
    Path | None,
    typer.Option(
        metavar="F",
        help="YAML: how far off stocks, births and deaths may be.",
        show_default="medium quality throughout",
    ),
]
Probs = Annotated[
    list[float] | None,
    typer.Option(
        metavar="P",
        help="Probability of an interval; repeatable.",
        show_default="0.5, 0.8, 0.95",
    ),
]
Dates = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="DATE DATE",
        help="Dates of the stocks, for the columns of the period and for errors that fade.",
        show_default="five years apart",
    ),
]
Keep = Annotated[
    Path | None, typer.Option(metavar="F", help="Keep all draws: a .zarr folder or a .nc file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing of the progress.")]

WITHOUT_DRAWS: Final = "found it without --draws; allowed: with --draws N"
WORTH_PROCESSES: Final = 2e7
"""Draws times cells of a table from which processes are worth the seconds that they take to start:
400 draws of 230 places."""
REFUSED: Final[Mapping[str, str]] = {
    "growth": "found --draws with growth; allowed: with a method whose flows cannot be negative",
    "by_birthplace": "found it with --draws; allowed: flows of all birthplaces together",
}


@dataclass(frozen=True, slots=True)
class DrawOptions:
    """The options that belong to ``--draws``, as given."""

    draws: int | None = None
    seed: int | None = None
    errors: Path | None = None
    prob: Sequence[float] | None = None
    dates: tuple[str, str] | None = None
    keep: Path | None = None
    quiet: bool = False


def check_draw_options(options: DrawOptions, method: str, *, by_birthplace: bool) -> None:
    """Refuse options without draws, and draws of what has none.

    Raises
    ------
    typer.BadParameter
        With the option's name.
    """
    if options.draws is None:
        for name in ("seed", "errors", "prob", "dates", "keep", "quiet"):
            if getattr(options, name) not in (None, False, []):
                raise typer.BadParameter(WITHOUT_DRAWS, param_hint=f"--{name}")
        return
    if method == "growth":
        raise typer.BadParameter(REFUSED[method], param_hint="--draws")
    if by_birthplace:
        raise typer.BadParameter(REFUSED["by_birthplace"], param_hint="--by-birthplace")
    for prob in options.prob or ():
        if not 0.0 < prob < 1.0:
            told = f"found {prob:g}; allowed: between 0 and 1, such as 0.8"
            raise typer.BadParameter(told, param_hint="--prob")


def write_intervals(
    data: "xr.Dataset",
    run: "Callable[..., xr.DataArray]",
    options: DrawOptions,
    out: Path | None,
) -> None:
    """Write the estimate table of flows, immigration, emigration and net migration.

    Parameters
    ----------
    data
        From `read_accounts`.
    run
        The estimator.
    options
        Checked.
    out
        Where to, or None: stdout.
    """
    from flowcast.accounting import account_series, read_stock_errors
    from flowcast.stock_flows import stock_flow_estimates

    errors = None if options.errors is None else read_stock_errors(options.errors)
    start = data["stock_start"]
    events = [[data[name]] if name in data else None for name in ("births", "deaths")]
    series = account_series([start, data.get("stock_end", start)], *events, dates=options.dates)
    flows = stock_flow_estimates(
        series,
        run,
        errors,
        draws=options.draws or 0,
        seed=1 if options.seed is None else options.seed,
        keep=options.keep,
        processes=2 if (options.draws or 0) * start.size > WORTH_PROCESSES else 1,
        progress=not options.quiet,
    )
    emit_table(_all_measures(flows, options.prob), None, out)


def _all_measures(flows: "FlowEstimates", probs: Sequence[float] | None) -> "pd.DataFrame":
    """Return one table of all measures, with the notes of each."""
    import pandas as pd

    from flowcast.estimates import estimate_tables
    from flowcast.vocabulary import DEFAULT_PROBS

    parts = list(estimate_tables(flows, probs=probs or DEFAULT_PROBS))
    notes = dict.fromkeys(note for part in parts for note in part.attrs["notes"])
    attrs = {**parts[0].attrs, "notes": list(notes)}
    for part in parts:
        part.attrs = {}
    table = pd.concat(parts, ignore_index=True)
    table.attrs = attrs
    return table
