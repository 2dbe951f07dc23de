"""``flowcast accounting``: stock tables and vital events in, a tidy table of flows out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flowcast._cli_options import Out
from flowcast._cli_stock_draws import (
    Dates,
    DrawOptions,
    Draws,
    ErrorFile,
    Keep,
    Probs,
    Quiet,
    Seed,
    check_draw_options,
    write_intervals,
)
from flowcast._command import require_word
from flowcast._outcome import emit_table
from flowcast.accounting.methods import METHODS, SYSTEMS

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["accounting"]

TAKES: Final[dict[str, tuple[str, ...]]] = {
    "births": ("rates", *METHODS[4:]),
    "deaths": ("rates", *METHODS[4:]),
    "total": ("rates",),
    "by_birthplace": METHODS[4:],
    "seed_table": METHODS[4:],
    "matching": ("closed", "independence", "pseudo-bayes"),
    "system": ("independence", "pseudo-bayes"),
    "weight": ("pseudo-bayes",),
}
"""Options, and the methods that have a use for each."""


def accounting(
    method: Annotated[
        str,
        typer.Argument(metavar="METHOD", help=f"One of {', '.join(METHODS)}.", show_default=False),
    ],
    start: Annotated[
        Path, typer.Option(metavar="F", help="Stocks at the start.", show_default=False)
    ],
    end: Annotated[Path | None, typer.Option(metavar="F", help="Stocks at the end.")] = None,
    births: Annotated[
        Path | None, typer.Option(metavar="F", help="Births by place; may be the file of deaths.")
    ] = None,
    deaths: Annotated[Path | None, typer.Option(metavar="F", help="Deaths by place.")] = None,
    by_birthplace: Annotated[
        bool, typer.Option("--by-birthplace", help="Tell flows by birthplace.")
    ] = False,
    seed_table: Annotated[
        Path | None, typer.Option(metavar="F", help="What flows are like, up to scale.")
    ] = None,
    matching: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Match the world's growth before or after births and deaths are taken out.",
            show_default="before",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            help="Of independence and pseudo-bayes: closed, open or open-dr.",
            show_default="closed",
        ),
    ] = None,
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="W",
            help="Of minimisation in pseudo-bayes: 0 to 1, or estimated.",
            show_default="0.87",
        ),
    ] = None,
    total: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Of rates: moves in the period.",
            show_default="net migration without its sign, summed",
        ),
    ] = None,
    draws: Draws = None,
    seed: Seed = None,
    errors: ErrorFile = None,
    prob: Probs = None,
    dates: Dates = None,
    keep: Keep = None,
    quiet: Quiet = False,
    out: Out = None,
) -> None:
    """Estimate flows from stocks of people by place of birth at two dates.

    With --draws the table is that of estimates, with credible intervals.
    """
    given: dict[str, Any] = {
        "births": births,
        "deaths": deaths,
        "by_birthplace": by_birthplace or None,
        "seed_table": seed_table,
        "matching": matching,
        "system": system,
        "weight": weight,
        "total": total,
    }
    _check_usage(method, end, given)
    uncertain = DrawOptions(draws, seed, errors, prob, dates, keep, quiet)
    check_draw_options(uncertain, method, by_birthplace=by_birthplace)
    from flowcast.accounting import read_accounts, tidy_flows
    from flowcast.tables import check_target

    if out is not None:
        check_target(out)
    native = method not in METHODS[:2] and total is None
    data = read_accounts(start, end, births, deaths, native_born=native)
    if draws is not None:
        return write_intervals(data, _estimator(method, given), uncertain, out)
    tables = {name: data.get(name) for name in ("stock_start", "stock_end", "births", "deaths")}
    flows = _estimator(method, given)(*tables.values())
    emit_table(tidy_flows(flows), None, out)


def _check_usage(method: str, end: Path | None, given: dict[str, Any]) -> None:
    """Refuse words that are none, and options that the method would ignore."""
    require_word(method, METHODS, "METHOD")
    for option, value in given.items():
        if value is not None and method not in TAKES[option]:
            raise _bad(f"found it with {method}; allowed: with {', '.join(TAKES[option])}", option)
    if (given["births"] is None) != (given["deaths"] is None):
        raise typer.BadParameter(
            "found one of them; allowed: both, or neither", param_hint="--births, --deaths"
        )
    if end is None and given["total"] is None:
        raise _bad(
            "found none; allowed: stocks at the end (only rates with --total need none)", "end"
        )
    for option, words in (("matching", ("before", "after")), ("system", SYSTEMS)):
        if given[option] is not None:
            require_word(given[option], words, f"--{option}")
    if given["weight"] is not None:
        _weight(given["weight"])


def _bad(told: str, option: str) -> typer.BadParameter:
    return typer.BadParameter(told, param_hint=f"--{option.replace('_', '-')}")


def _weight(text: str) -> Any:  # noqa: ANN401  # a number, or the word
    if text == "estimated":
        return text
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise _bad(f"found {text!r}; allowed: between 0 and 1, or estimated", "weight")
    return number


def _estimator(method: str, given: dict[str, Any]) -> "Callable[..., xr.DataArray]":
    """Return the function that takes stocks at the start and end, births and deaths."""
    from flowcast.accounting import read_seed
    from flowcast.accounting.methods import estimator

    names = {"by_birthplace", "matching", "system", "total", "weight"}
    options = {name: value for name, value in given.items() if name in names and value is not None}
    if given["seed_table"] is not None:
        options["seed"] = read_seed(given["seed_table"])
    if "weight" in options:
        options["weight"] = _weight(options["weight"])
    return estimator(method, **options)
