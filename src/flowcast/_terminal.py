"""What people read in a terminal: messages on stderr, tables on stdout.

Tables are drawn by rich where there is a terminal, and are plain aligned text where there is none,
so that a file or a pipe gets text that stays readable in twenty years.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Column", "format_table", "say", "show_table"]

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a printed table.

    Attributes
    ----------
    name
        Heading.
    right
        Whether its cells are aligned on the right, as numbers are.
    """

    name: str
    right: bool = False


def say(text: str = "") -> None:
    """Print a message to stderr."""
    print(text, file=sys.stderr, flush=True)


def show_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout, by rich if that is a terminal.

    Parameters
    ----------
    title
        Stands above the table.
    columns
        Headings and alignment.
    rows
        One text for each column.
    """
    if not sys.stdout.isatty():
        print(format_table(title, columns, rows), flush=True)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(Text(column.name), justify="right" if column.right else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def format_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as aligned text.

    Examples
    --------
    >>> print(format_table("Flows", [Column("pair"), Column("n", True)], [["A-B", "12"]]))
    Flows
    pair   n
    ----  --
    A-B   12
    """
    lines = [[column.name for column in columns], *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    text = [title]
    for line in lines:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        text.append(GAP.join(cells).rstrip())
    return "\n".join(text)
