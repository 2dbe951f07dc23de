"""``flowcast indicators``: a run beside what others measure, which no fit has seen."""

from pathlib import Path
from typing import Annotated

import typer

from flowcast._cli_options import Out, Run
from flowcast._outcome import emit_table
from flowcast._terminal import say

__all__ = ["indicators"]


def indicators(
    run: Run,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Indicators, as observation files.", show_default=False
        ),
    ],
    out: Out = None,
) -> None:
    """Score a run's estimates against held-out indicators, such as net migration by others.

    Levels are compared where an indicator measures flows, totals or net migration, else ranks.
    """
    import pandas as pd

    from flowcast.checking import place_codes
    from flowcast.observations import read_observations
    from flowcast.persistence import read_run
    from flowcast.tables import check_target
    from flowcast.validation import score_indicator

    if out is not None:
        check_target(out)
    posterior = read_run(run)
    declared = place_codes(posterior)
    read = [read_observations(path, role="held_out", declared_places=declared) for path in files]
    scored = [score_indicator(posterior, one) for one in read]
    table = pd.concat(scored, ignore_index=True)
    table.attrs = scored[0].attrs
    emit_table(table, None, out)
    for one in scored:
        for note in one.attrs["notes"]:
            say(note)
