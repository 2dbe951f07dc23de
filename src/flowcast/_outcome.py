"""How commands end: tables to stdout or a file, and the exit code of the convergence gate."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from flowcast._terminal import Column, say, show_table

if TYPE_CHECKING:
    import pandas as pd

    from flowcast.checking import Checked
    from flowcast.posterior import Posterior

__all__ = [
    "GATE_EXIT",
    "emit_scorecard",
    "emit_table",
    "end_at_gate",
    "end_at_scorecard",
    "read_estimates",
    "show_checked",
]

GATE_EXIT: Final = 3
MAX_TOLD: Final = 8


def end_at_gate(posterior: "Posterior", folder: Path) -> None:
    """Exit with 3 if the run did not converge; it is written, and marked in its manifest."""
    if posterior.gate.passed:
        return
    say(f"flowcast: ({folder}) | the run is written, but did not pass the convergence gate:")
    failures = posterior.gate.failures
    for failure in failures[:MAX_TOLD]:
        say(f"  {failure}")
    if len(failures) > MAX_TOLD:
        say(f"  and {len(failures) - MAX_TOLD} more, listed in its manifest.json")
    say("  More --draws and --tune may help; do not use the estimates before it passes.")
    raise typer.Exit(GATE_EXIT)


def end_at_scorecard(scorecard: "pd.DataFrame") -> None:
    """Say what there is to know of a scorecard; exit with 3 if the fit of a fold did not converge.

    It is written, and says so.
    """
    notes = scorecard.attrs["notes"]
    for note in notes:
        say(f"Note: {note}")
    gate = scorecard[(scorecard["indicator"] == "fit") & (scorecard["metric"] == "gate_passed")]
    if (gate["value"] < 1.0).any():
        say("flowcast: (scorecard) | it is written, but does not rest on converged fits alone")
        raise typer.Exit(GATE_EXIT)


def emit_scorecard(scorecard: "pd.DataFrame", out: Path | None) -> None:
    """Write a scorecard to a file or stdout; a terminal shows its main rows only."""
    if out is None and sys.stdout.isatty():
        whole = scorecard["fold"] == "all"
        main = scorecard["indicator"].eq("reports") & ~scorecard["metric"].str.match(r"pit_\d")
        say(f"Shown: {int((whole & main).sum())} of {len(scorecard)} rows; --out has all")
        same = ["model", "fingerprint"]
        scorecard = scorecard.loc[whole & main].drop(columns=same).dropna(axis=1, how="all")
    emit_table(scorecard, None, out)


def emit_table(frame: "pd.DataFrame", form: str | None, out: Path | None) -> None:
    """Write a table to a file or stdout; on a terminal it is rounded and aligned for reading."""
    from flowcast._table_text import build_about, build_caption, display_frame
    from flowcast.tables import write_table

    if out is None and form is None and sys.stdout.isatty():
        shown = display_frame(frame)
        columns = [Column(str(name), frame[name].dtype.kind in "fi") for name in shown]
        rows = shown.to_numpy().tolist()
        show_table(build_caption(frame, build_about(frame)), columns, rows)
        return
    text = write_table(frame, out, form)  # type: ignore[arg-type]  # refuses others, with a hint
    if text is None:
        say(f"Written: {out}")
    else:
        sys.stdout.write(text)


def read_estimates(path: Path) -> "pd.DataFrame":
    """Return the estimates of a run folder, or of a table that was written or published."""
    from flowcast.estimates import summarise
    from flowcast.persistence import read_run
    from flowcast.tables import read_table

    return read_table(path) if path.is_file() else summarise(read_run(path))


def show_checked(checked: Sequence["Checked"]) -> None:
    """Print what was checked, as what, and what is in it."""
    columns = [Column("file"), Column("taken for"), Column("found")]
    rows = [[one.path, one.kind, one.summary or _count(one.faults, "fault")] for one in checked]
    show_table(f"Checked {_count(checked, 'file')}", columns, rows)


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
