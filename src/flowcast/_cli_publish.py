"""``flowcast publish``: from a run to a release."""

from pathlib import Path
from typing import Annotated

import typer

from flowcast._cli_options import Run
from flowcast._terminal import say

__all__ = ["publish"]


def publish(
    run: Run,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The release's folder, a new one.")],
    scorecard: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F",
            help="What `flowcast validate --out` wrote for the run's model and data; repeatable.",
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="F", help="A policy of disclosure control (YAML): small cells."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Publish what should not be; the release says so."),
    ] = False,
) -> None:
    """Write a release of a run, unless its validation speaks against it."""
    from flowcast.publication import publish as write_release

    judgement = write_release(run, out, scorecards=scorecard or [], policy=policy, force=force)
    for reason in judgement.reasons:
        say(f"Published in spite of this: {reason}")
    for remark in judgement.remarks:
        say(f"Note: {remark}")
    say(f"Written: {out}")
