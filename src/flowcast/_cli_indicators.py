"""``flowcast indicators``: a run beside what others measure, and the catalogue of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flowcast._cli_entries import FORMATS, Form, emit_entries, emit_known
from flowcast._cli_options import Out, Run
from flowcast._command import SubCommands, require_word
from flowcast._outcome import emit_table
from flowcast._terminal import say

if TYPE_CHECKING:
    from flowcast.validation.catalogue import Indicator

__all__ = ["indicators_app"]

LISTED: Final = ("id", "kind", "estimate", "unit", "years", "title")
SCORE: Final = "score"


class _Scoring(SubCommands):
    """A group that takes ``RUN FILE...`` for its command `score`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Put the command's name before arguments that begin with none."""
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else [SCORE, *args])


indicators_app = typer.Typer(
    cls=_Scoring,
    name="indicators",
    help="Score a run against what others measure and no fit has seen: flowcast indicators RUN "
    "FILE...; list what there is, show one, lay out a publisher's file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the indicator, as listed.", show_default=False)
]
Own = Annotated[
    Path | None,
    typer.Option("--catalogue", metavar="F", help="A catalogue of your own, added to the list."),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...", help="Observation files; or files of --indicator.", show_default=False
    ),
]


@indicators_app.command(SCORE)
def score(
    run: Run,
    files: Files,
    indicator: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The files are of this indicator, as published or laid out."
        ),
    ] = None,
    out: Out = None,
    catalogue: Own = None,
) -> None:
    """Score a run's estimates against held-out indicators; the name may be left out.

    Levels are compared where an indicator measures flows, totals or net migration, else ranks.
    """
    import pandas as pd

    from flowcast.checking import place_codes
    from flowcast.observations import read_observations
    from flowcast.persistence import read_run
    from flowcast.tables import check_target
    from flowcast.validation import load_catalogue, read_indicator, score_indicator

    if out is not None:
        check_target(out)
    if indicator is not None:
        entry = load_catalogue(catalogue).entry(indicator)
    posterior = read_run(run)
    declared = place_codes(posterior)
    if indicator is not None:
        table = read_indicator(entry, files, declared_places=declared)
        scored = [score_indicator(posterior, table)]
    else:
        read = [read_observations(f, role="held_out", declared_places=declared) for f in files]
        scored = [score_indicator(posterior, one) for one in read]
    joined = pd.concat(scored, ignore_index=True)
    joined.attrs = scored[0].attrs
    emit_table(joined, None, out)
    for one in scored:
        for note in one.attrs["notes"]:
            say(note)


@indicators_app.command("list")
def list_indicators(
    kind: Annotated[str | None, typer.Option(metavar="K", help="same, related or context.")] = None,
    form: Form = "table",
    catalogue: Own = None,
) -> None:
    """List the indicators of the catalogue."""
    from flowcast.validation.catalogue import INDICATOR_COLUMNS, KINDS, load_catalogue

    require_word(kind, KINDS, "--kind")
    require_word(form, FORMATS, "--format")
    entries = [_plain(entry) for entry in load_catalogue(catalogue).select(kind)]
    emit_entries(entries, INDICATOR_COLUMNS, LISTED, form, "indicator")


@indicators_app.command("show")
def show_indicator(indicator: Id, form: Form = "table", catalogue: Own = None) -> None:
    """Show what is known of an indicator: what is held against it, and its definition gap."""
    from flowcast.sources.registry import load_registry
    from flowcast.validation.catalogue import load_catalogue

    require_word(form, FORMATS[::2], "--format")
    entry = load_catalogue(catalogue).entry(indicator)
    registry = load_registry()
    publishers = dict.fromkeys(registry.entry(source).publisher for source in entry.sources)
    known = _plain(entry) | {"publisher": "; ".join(publishers)}
    emit_known(known, form)


@indicators_app.command("prepare")
def prepare(indicator: Id, files: Files, out: Out = None, catalogue: Own = None) -> None:
    """Lay out a publisher's files as a table of the indicator; context can be read so too."""
    from flowcast.tables import check_target
    from flowcast.validation import load_catalogue, read_indicator

    if out is not None:
        check_target(out)
    read = read_indicator(load_catalogue(catalogue).entry(indicator), files)
    table = read.table.dropna(axis=1, how="all")
    for column in ("period_start", "period_end"):
        table[column] = table[column].dt.strftime("%Y-%m-%d")
    emit_table(table, None, out)
    for reason, n in read.left_out.items():
        say(f"left out, {reason}: {n}")


def _plain(entry: "Indicator") -> dict[str, str]:
    """Return the cells of an entry as text; empty where nothing stands."""
    cells = entry.model_dump(mode="json") | {"sources": " ".join(entry.sources)}
    return {name: str(value or "") for name, value in cells.items()}
