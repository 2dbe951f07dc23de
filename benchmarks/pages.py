"""Tables of results that pages of the documentation are made of.

A benchmark that is run with ``--keep`` writes its tables into `docs/tables/validation`, a CSV file
each, and how they were made into `index.yaml` beside them. ``python tools/validation_page.py`` then
writes the page anew. The tables hold scores, sums and counts, never data of a publisher.
"""

import argparse
import fcntl
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from flowcast._atomic import atomic_file
from flowcast._yaml import load_yaml
from flowcast.errors import Faults, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INDEX", "TABLES", "add_keep", "command_line", "keep", "read_index"]

TABLES: Final = Path(__file__).resolve().parents[1] / "docs" / "tables" / "validation"
INDEX: Final = "index.yaml"
REQUIRED: Final = ("title", "command", "date")
FIELDS: Final = (*REQUIRED, "seed", "machine", "remark")
"""What the index says of a table, in this order."""
HEAD: Final = """\
# How the tables beside this file were made. `benchmarks.pages.keep` writes both.
# date: of the run; of tables from before the index, the day on which their figures were committed
# with the page, and with its digits.
"""
MAX_ROWS: Final = 200
"""A longer table is no summary, and might be somebody's data."""
DIGITS: Final = 6
"""Decimals that are kept; the page rounds further."""
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def add_keep(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--keep`` to a benchmark's command."""
    told = "write the tables of docs/validation.md, for tools/validation_page.py"
    parser.add_argument("--keep", action="store_true", help=told)


def command_line(module: str, arguments: Sequence[str] | None = None) -> str:
    """Return the command that makes a table, without what does not change it.

    Parameters
    ----------
    module
        Name of the benchmark.
    arguments
        Those of the command; by default of the command that runs.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--keep", action="store_true")
    own.add_argument("--out")
    own.add_argument("--jobs")
    _, rest = own.parse_known_args(sys.argv[1:] if arguments is None else list(arguments))
    return shlex.join(["python", "-m", f"benchmarks.{module}", *rest])


def read_index(folder: Path = TABLES) -> dict[str, dict[str, Any]]:
    """Return how each table was made, by its name.

    Raises
    ------
    InputError
        With every entry that lacks something or says something unknown.
    """
    path = folder / INDEX
    entries = load_yaml(path)
    faults = Faults(path.name)
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            faults.add(repr(entry), f"a mapping of {', '.join(FIELDS)}", column=name)
            continue
        for key in entry:
            if key not in FIELDS:
                told = ", ".join(FIELDS)
                faults.add(f"{key!r}", told, column=name, hint=nearest(str(key), FIELDS))
        for key in REQUIRED:
            if not entry.get(key):
                faults.add(f"no {key}", f"one of {', '.join(REQUIRED)} each", column=name)
    faults.raise_if_any()
    return entries


def keep(
    table: "pd.DataFrame",
    name: str,
    *,
    command: str,
    seed: int | str | None = None,
    title: str | None = None,
    folder: Path = TABLES,
) -> Path:
    """Write a table for the page and how it was made, both or neither.

    Parameters
    ----------
    table
        Tidy, a row for each thing that was scored; its index is not written.
    name
        Of the file, without its ending.
    command
        From `command_line`.
    seed
        Of what was withheld or simulated; of several, in words.
    title
        What it shows. A table that is there already keeps its own.
    folder
        Of the tables.

    Returns
    -------
    Path
        The CSV file. Numbers have six decimals at most.

    Raises
    ------
    UsageError
        If it has no rows or too many, names that are no plain words, or a new table no title.
    """
    _check_table(table, name)
    target = folder / f"{name}.csv"
    with _locked(folder):
        index = read_index(folder) if (folder / INDEX).is_file() else {}
        title = title or index.get(name, {}).get("title")
        if not title:
            raise UsageError(f"({name}) | found no title; allowed: one, for a table that is new")
        entry = {
            "title": title, "command": command, "date": datetime.now(UTC).date(),
            "seed": seed, "machine": _machine(),
        }  # fmt: skip
        index[name] = {key: value for key, value in entry.items() if value is not None}
        text = yaml.safe_dump(
            dict(sorted(index.items())), sort_keys=False, allow_unicode=True, width=100
        )
        # Both are written before either takes its place.
        with atomic_file(target) as rows, atomic_file(folder / INDEX) as entries:
            table.round(DIGITS).to_csv(rows, index=False, lineterminator="\n")
            entries.write_text(HEAD + text, encoding="utf-8")
    print(f"kept {target.name}; next: python tools/validation_page.py")
    return target


def _check_table(table: "pd.DataFrame", name: str) -> None:
    wrong = [str(word) for word in (name, *table.columns) if not NAME.fullmatch(str(word))]
    if wrong:
        told = "small letters, digits and underscores"
        raise UsageError(f"({name}) | found the names {', '.join(wrong)}; allowed: {told}")
    if not 0 < len(table) <= MAX_ROWS:
        told = f"1 to {MAX_ROWS}: scores, not what was scored"
        raise UsageError(f"({name}) | found {len(table)} rows; allowed: {told}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change the index."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
