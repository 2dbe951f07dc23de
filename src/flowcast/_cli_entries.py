"""What ``list`` and ``show`` of typed entries have in common: sources, indicators."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from flowcast._terminal import Column, show_table

__all__ = ["FORMATS", "Form", "emit_entries", "emit_known"]

FORMATS: Final = ("table", "csv", "json")
Form = Annotated[str, typer.Option("--format", metavar="FMT", help="table, csv or json.")]


def emit_entries(
    entries: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    listed: Sequence[str],
    form: str,
    noun: str,
) -> None:
    """Print entries: all `columns` as CSV or JSON, or those `listed` as a table."""
    if form == "json":
        print(json.dumps(entries, indent=2, ensure_ascii=False))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(entries)
    else:
        rows = [[entry[name] for name in listed] for entry in entries]
        title = f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}"
        show_table(title, [Column(name) for name in listed], rows)


def emit_known(known: Mapping[str, Any], form: str) -> None:
    """Print what is known of one entry, as JSON or line by line without what is empty."""
    if form == "json":
        print(json.dumps(known, indent=2, ensure_ascii=False))
        return
    width = max(len(name) for name in known)
    for name, text in known.items():
        if text:
            print(f"{name:<{width}}  {text}")
