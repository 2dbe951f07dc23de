"""``flowcast table``: estimates of a run with credible intervals, free or benchmarked."""

from pathlib import Path
from typing import Annotated

import typer

from flowcast._cli_options import Out, Run
from flowcast._command import parse_groups
from flowcast._outcome import emit_table

__all__ = ["table"]


def table(
    run: Run,
    measure: Annotated[
        str | None,
        typer.Option(
            metavar="M",
            help="flow, immigration, emigration or net; stock of a model of stocks.",
            show_default="flow, or stock",
        ),
    ] = None,
    prob: Annotated[
        list[float] | None,
        typer.Option(
            metavar="P",
            help="Probability of the equal-tailed credible interval; repeatable.",
            show_default="0.5, 0.8, 0.95",
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="G", help="Add up by a grouping such as EU27_2020, or name=AA,BB; repeatable."
        ),
    ] = None,
    definition: Annotated[
        str,
        typer.Option(
            metavar="D",
            help="Minimum stay for a move to count: no-minimum, N-months up to 12, or permanent.",
        ),
    ] = "12-months",
    benchmark: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="Margins of places and periods (net migration; births, deaths, change): each row "
            "then stands twice, as it is and adjusted to them.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of the margins' errors.", show_default="1"),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FMT",
            help="csv, parquet, xlsx, html, latex, md or json.",
            show_default="by the suffix of --out, else csv",
        ),
    ] = None,
    out: Out = None,
) -> None:
    """Print or write estimates with credible intervals."""
    from flowcast.accounting.population import read_population_margins
    from flowcast.definitions import parse_definition
    from flowcast.estimates import summarise
    from flowcast.persistence import read_run
    from flowcast.vocabulary import DEFAULT_PROBS

    months = parse_definition(definition)
    if seed is not None and benchmark is None:
        raise typer.BadParameter("found it without --benchmark; allowed: with", param_hint="--seed")
    margins = None if benchmark is None else read_population_margins(benchmark)
    frame = summarise(
        read_run(run),
        measure=measure,  # type: ignore[arg-type]  # summarise refuses others, with a hint
        probs=prob or DEFAULT_PROBS,
        by=parse_groups(by or []),
        definition=months,
        benchmark=margins,
        seed=1 if seed is None else seed,
    )
    emit_table(frame, form, out)
