"""``flowcast iamc``: projections as a file that other models read."""

from pathlib import Path
from typing import Annotated

import typer

from flowcast._cli_options import Quiet
from flowcast._terminal import say

__all__ = ["iamc"]


def iamc(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a projection.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="F", help="File to write: .csv or .xlsx.", show_default=False)
    ],
    scenario: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Repeatable.", show_default="all of the folder"),
    ] = None,
    prob: Annotated[
        list[float] | None,
        typer.Option(
            metavar="P", help="Probability of an interval; repeatable.", show_default="0.8 and 0.95"
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="G", help="A grouping to add, such as world; repeatable.", show_default=False
        ),
    ] = None,
    flows: Annotated[
        bool, typer.Option("--flows/--no-flows", help="Whether to give every corridor.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write projections in the IAMC format, checked against the code lists."""
    from flowcast._command import not_lost
    from flowcast.iamc import to_iamc, validate_iamc, write_iamc
    from flowcast.projection.store import open_projection, projection_names
    from flowcast.vocabulary import DEFAULT_PROBS

    names = scenario or list(projection_names(folder))
    data = [open_projection(folder, name) for name in names]
    with not_lost():
        table = to_iamc(data, probs=prob or list(DEFAULT_PROBS), regions=region or [], flows=flows)
        validate_iamc(table)
        write_iamc(table, out)
    if not quiet:
        say(f"Written: {out}, {len(names)} scenarios, {len(table.data)} values")
