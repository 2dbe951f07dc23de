"""What people read in a terminal: messages on stderr, tables on stdout.

Tables are drawn by rich where there is a terminal, and are plain aligned text where there is none,
so that a file or a pipe gets text that stays readable in twenty years.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Column", "Progress", "format_table", "say", "show_table", "time_left"]

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


def time_left(seconds: float) -> str:
    """Return a time in words, no finer than it can be known.

    Examples
    --------
    >>> time_left(7.2), time_left(95), time_left(4000)
    ('7 s', '1 min 40 s', '1 h 6 min')
    """
    if seconds < 60.0:
        return f"{max(seconds, 1.0):.0f} s"
    if seconds < 3600.0:
        minutes, rest = divmod(round(seconds / 10.0) * 10, 60)
        return f"{minutes} min {rest} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


class Progress:
    """How far a long piece of work is, in lines on stderr: done, of how many, time left.

    A line at most every few seconds, so that a log stays readable; nothing if not `shown`.
    """

    def __init__(self, *, shown: bool, every: float = 5.0) -> None:
        self.shown = shown
        self._every = every
        self._what, self._total, self._first = "", 0, 0
        self._since = self._last = 0.0

    def say(self, text: str) -> None:
        """Say something that is not a count."""
        if self.shown:
            say(text)

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a piece of work of `total` steps, `done` of which are there already."""
        self._what, self._total, self._first = what, total, done
        self._since = self._last = time.monotonic()

    def update(self, done: int) -> None:
        """Tell how many steps are done."""
        now = time.monotonic()
        if not self.shown or now - self._last < self._every or done <= self._first:
            return
        self._last = now
        left = (now - self._since) / (done - self._first) * max(self._total - done, 0)
        say(f"{self._what}: {done:,} of {self._total:,}, about {time_left(left)} left")

    def counter(self, what: str) -> Callable[[int, int], None]:
        """Return what is called with how many steps are done, of how many; the first call starts.

        For work whose number of steps is not known before it begins.
        """
        started = False

        def count(done: int, total: int) -> None:
            nonlocal started
            if not started:
                self.start(what, total)
                started = True
            self.update(done)

        return count

    def stop(self) -> None:
        """End the piece of work."""
        if self.shown:
            spent = time_left(time.monotonic() - self._since)
            say(f"{self._what}: {self._total:,} done in {spent}")


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
