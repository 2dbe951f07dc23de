"""The commands about sources: what there is, what is known of one, its file, data quality."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flowcast._cli_entries import FORMATS, Form, emit_entries, emit_known
from flowcast._command import SubCommands, require_word
from flowcast._terminal import say

if TYPE_CHECKING:
    from flowcast.sources.registry import SourceEntry

__all__ = ["sources_app"]

LISTED: Final = ("id", "publisher", "family", "measure", "role", "title")
REPORTED: Final = ("html", "csv", "json")


sources_app = typer.Typer(
    cls=SubCommands,
    name="sources",
    help="List the sources of data, show one, fetch its file; report on the quality of data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the source, as listed.", show_default=False)
]
Own = Annotated[
    Path | None,
    typer.Option("--registry", metavar="F", help="A registry of your own, added to the list."),
]


@sources_app.command("list")
def list_sources(
    family: Annotated[
        str | None,
        typer.Option(metavar="F", help="administrative, survey, census, digital or estimate."),
    ] = None,
    role: Annotated[
        str | None, typer.Option(metavar="R", help="fit, heldout or covariate.")
    ] = None,
    form: Form = "table",
    registry: Own = None,
) -> None:
    """List the sources of the registry."""
    from flowcast._source_roles import SOURCE_ROLES
    from flowcast.sources.registry import COLUMNS, load_registry
    from flowcast.vocabulary import FAMILIES

    require_word(family, FAMILIES, "--family")
    require_word(role, SOURCE_ROLES, "--role")
    require_word(form, FORMATS, "--format")
    entries = [_plain(entry) for entry in load_registry(registry).select(family, role)]
    emit_entries(entries, COLUMNS, LISTED, form, "source")


@sources_app.command("show")
def show_source(source: Id, form: Form = "table", registry: Own = None) -> None:
    """Show what is known of a source: definition, licence, citation, where its file lies."""
    from flowcast.sources.cache import cache_folder, cached_path
    from flowcast.sources.registry import load_registry

    require_word(form, FORMATS[::2], "--format")
    entry = load_registry(registry).entry(source)
    known = _plain(entry)
    if form != "json":
        path = cached_path(entry, cache_folder())
        known["on disk"] = str(path) if path.is_file() else ""
    emit_known(known, form)


@sources_app.command("fetch")
def fetch_file(
    source: Id,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder.", show_default="$FLOWCAST_DATA, or data/raw"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Download even if it is there.")] = False,
    registry: Own = None,
) -> None:
    """Download the file of a source, unless it is there, and print its path.

    If it is interrupted, the same command goes on where it was, if the publisher's server can.
    """
    from flowcast.sources.fetch import fetch
    from flowcast.sources.registry import load_registry

    entry = load_registry(registry).entry(source)
    got = fetch(entry, to, force=force)
    terms = f"licence {entry.licence}" if entry.licence else "licence: see the publisher"
    say(f"{entry.id}: {got.size:,} bytes, retrieved {got.retrieved}, sha256 {got.sha256}")
    say(f"{terms}; cite: {entry.citation or entry.publisher}")
    print(got.path)


@sources_app.command("report")
def report_quality(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Observations.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="File, instead of a summary on stdout."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FMT",
            help="html, csv or json.",
            show_default="by the suffix of --out, else a summary",
        ),
    ] = None,
    prob: Annotated[
        float, typer.Option(metavar="P", help="Probability of the intervals of medians.")
    ] = 0.95,
    vintages: Annotated[
        bool,
        typer.Option("--vintages", help="The files are vintages of one another, the oldest first."),
    ] = False,
    registry: Own = None,
) -> None:
    """Report on the quality of data: coverage, mirror reports, outliers, breaks, revisions."""
    from flowcast.sources.quality import assess, choose_format, read_files, render, write
    from flowcast.sources.registry import load_registry

    require_word(form, REPORTED, "--format")
    if not 0.0 < prob < 1.0:
        raise typer.BadParameter(f"found {prob:g}; allowed: between 0 and 1", param_hint="--prob")
    if vintages and len(files) < 2:
        raise typer.BadParameter("found one file; allowed: two or more", param_hint="--vintages")
    shape = choose_format(out, form)
    observations, rows = read_files(files, registry)
    names = [str(path) for path in files] if vintages else None
    report = assess(observations, prob=prob, vintages=names, rows=rows)
    entries = {entry.id: entry for entry in load_registry(registry)}
    if out is None:
        sys.stdout.write(render(report, shape, entries))
        return
    write(report, out, shape, entries)
    say(f"Written: {out}")


def _plain(entry: "SourceEntry") -> dict[str, Any]:
    """Return the cells of an entry as text; empty where nothing stands."""
    return {name: value or "" for name, value in entry.model_dump(mode="json").items()}
