"""Write docs/validation.md from its template and the tables in docs/tables/validation.

``python tools/validation_page.py`` writes the page; with ``--check`` it only says whether the page
is in step, shows where it is not, and ends with 1. The template has the prose, and takes every
number that a table has from there:

``table(name, {heading: cell, ...})``
    A table. A cell is text with fields in braces: ``{column}`` as it stands in the file,
    ``{column:.3f}`` with a format. ``across=column`` puts rows that differ in that column beside
    each other, with fields ``{its value[column]}``; ``once=[columns]`` leaves out what is repeated
    from the row above; ``bold={column: value}`` marks rows; ``words={value: what to say}``
    translates; ``column=value`` chooses rows.
``value(name, column, format, column=value)``
    One number, of the row that has these values.
``made(name)``
    The command, the date and the seed.
``exists(name)``
    Whether there is such a table.

Formats are Python's, and ``three``, three digits with at most three decimals. The zero before a
point is left out; what is missing stays blank.
"""

import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import unified_diff
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from flowcast._atomic import atomic_file
from flowcast.errors import Faults, FlowcastError, nearest

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks are no installed package

from benchmarks.pages import TABLES, read_index  # noqa: E402

PAGE: Final = ROOT / "docs" / "validation.md"
TEMPLATE: Final = ROOT / "docs" / "validation.md.jinja"
SHOWN: Final = 20
"""Lines of a difference that are shown."""
FIELD: Final = re.compile(r"\{([^{}\[\]:]+)(?:\[([^{}\[\]]+)\])?(?::([^{}]*))?\}")
"""Column, or a value of the column across and then the column; and a format."""
NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
THREE: Final = "three"

Row = dict[str, str]


def write_number(text: str, spec: str = "") -> str:
    """Return a number of a table as the page writes it: no leading zero, a real minus sign."""
    if spec == THREE:
        size = abs(float(text))
        spec = f",.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f"
    said = format(float(text), spec) if spec else text
    said = re.sub(r"^([+-]?)0(?=\.)", r"\1", said)
    return said.replace("-", "\N{MINUS SIGN}").replace("%", " %")


def _key(first: str, inner: str) -> str:
    return f"{first}[{inner}]" if inner else first


def _beside(rows: list[Row], plain: Sequence[str], across: str) -> list[Row]:
    """Return rows that are alike in the plain columns as one, with the fields of each."""
    if not across:
        return rows
    wide: dict[tuple[str, ...], Row] = {}
    for row in rows:
        own = wide.setdefault(tuple(row[c] for c in plain), dict(row))
        own.update({_key(row[across], column): text for column, text in row.items()})
    return list(wide.values())


def _is_number(cell: str, rows: Iterable[Row]) -> bool:
    """Return whether a cell is one number and nothing else in every row that has it."""
    match = FIELD.fullmatch(cell)
    found = [row.get(_key(match[1], match[2]), "") for row in rows] if match else []
    return any(found) and all(NUMBER.fullmatch(text) for text in found if text)


def _repeated(row: Row, above: Row, once: Sequence[str]) -> set[str]:
    """Return the first of some columns in which a row is as the one above it."""
    return set(takewhile(lambda column: row[column] == above.get(column), once))


class Tables:
    """The tables of a folder, as functions for a template; collects what is wrong.

    Parameters
    ----------
    folder
        With CSV files, and an index that says of each how it was made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = Faults(folder.name)
        self.index = read_index(folder)
        self.rows = {path.stem: self._read(path) for path in sorted(folder.glob("*.csv"))}
        self.used: set[str] = set()
        for name in sorted(self.index.keys() ^ self.rows.keys()):
            found, allowed = ("no such file", "a file for each entry of the index")
            if name in self.rows:
                found, allowed = "no entry in the index", "an entry for each file"
            self.faults.add(found, allowed, where=f"{name}.csv")
        self.faults.raise_if_any()

    def functions(self) -> dict[str, Callable[..., object]]:
        """Return what a template may call."""
        return {f.__name__: f for f in (self.table, self.value, self.made, self.exists)}

    def finish(self) -> None:
        """Raise `InputError` with all that is wrong, unused tables included."""
        for name in sorted(self.rows.keys() - self.used):
            self.faults.add("a table that no page uses", where=f"{name}.csv")
        self.faults.raise_if_any()

    def exists(self, name: str) -> bool:
        """Return whether there is a table of this name."""
        return name in self.rows

    def made(self, name: str) -> str:
        """Return the command that made a table, the date and the seed."""
        entry = self.index.get(name)
        if entry is None:
            self._unknown(name)
            return ""
        seed = entry.get("seed", "")
        word = ", seeds " if isinstance(seed, str) else ", seed "
        remark = f" ({entry['remark']})" if "remark" in entry else ""
        return f"`{entry['command']}`, {entry['date']}{word if seed else ''}{seed}{remark}"

    def value(self, name: str, column: str, spec: str = "", **where: object) -> str:
        """Return one cell, of the only row with these values."""
        rows = self._select(name, [column], where)
        if rows is None:
            return ""
        if len(rows) != 1:
            told = ", ".join(f"{k}={v!r}" for k, v in where.items())
            self._wrong(name, f"{len(rows)} rows with {told or 'no condition'}", "one row", column)
            return ""
        return self._say(name, column, rows[0][column], spec, {})

    def table(
        self,
        name: str,
        cells: Mapping[str, str],
        *,
        across: str = "",
        once: Sequence[str] = (),
        bold: Mapping[str, object] | None = None,
        words: Mapping[str, str] | None = None,
        **where: object,
    ) -> str:
        """Return a table as Markdown; see the head of this file."""
        rows = self._select(name, self._columns(name, cells, across, (*(bold or {}), *once)), where)
        if rows is None:
            return ""
        fields = [FIELD.findall(cell) for cell in cells.values()]
        for first in {first for cell in fields for first, inner, _ in cell if inner}:
            if first not in {row[across] for row in rows}:
                said = self._among(row[across] for row in rows)
                self._wrong(name, repr(first), said, across)
                return ""
        rows = _beside(rows, [f for cell in fields for f, inner, _ in cell if not inner], across)
        lines, above = [], Row()
        for row in rows:
            again = _repeated(row, above, once)
            shown = [
                "" if again.intersection(f for f, _, _ in parts)
                else self._cell(name, cell, row, words or {})
                for cell, parts in zip(cells.values(), fields, strict=True)
            ]  # fmt: skip
            if bold and all(row[c] == str(v) for c, v in bold.items()):
                shown = [f"**{text}**" if text else "" for text in shown]
            lines.append(shown)
            above = row
        right = [k > 0 and _is_number(cell, rows) for k, cell in enumerate(cells.values())]
        rule = ["---:" if one else "---" for one in right]
        return "\n".join(f"| {' | '.join(line)} |" for line in ([*cells], rule, *lines))

    def _read(self, path: Path) -> list[Row]:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        for number, row in enumerate(rows, start=2):
            if None in row or None in row.values():
                told = f"{len(reader.fieldnames or ())} cells"
                self.faults.add("another number of cells", told, where=path.name, row=number)
        if not rows:
            self.faults.add("no rows", where=path.name)
        return rows

    def _select(
        self, name: str, columns: Iterable[str], where: Mapping[str, object]
    ) -> list[Row] | None:
        """Return the rows with certain values; None where a name is unknown."""
        self.used.add(name)
        if name not in self.rows:
            self._unknown(name)
            return None
        rows = self.rows[name]
        known = list(rows[0]) if rows else []
        strange = [c for c in dict.fromkeys((*columns, *where)) if c not in known]
        for column in strange:
            self._wrong(
                name, f"the column {column!r}", ", ".join(known), hint=nearest(column, known)
            )
        if strange:
            return None
        for column, wanted in where.items():
            there = [row for row in rows if row[column] == str(wanted)]
            if not there:
                said = self._among(row[column] for row in rows)
                self._wrong(name, repr(wanted), said, column)
                return None
            rows = there
        return rows

    def _columns(
        self, name: str, cells: Mapping[str, str], across: str, more: Iterable[str]
    ) -> list[str]:
        """Return the columns that cells and arguments name; braces that name none are a fault."""
        for heading, cell in cells.items():
            if set(FIELD.sub("", cell)) & set("{}[]"):
                self._wrong(name, f"the cell {cell!r}", "{column:format}", heading)
        found = [
            inner or first for cell in cells.values() for first, inner, _ in FIELD.findall(cell)
        ]
        return [*found, *([across] if across else []), *more]

    def _cell(self, name: str, cell: str, row: Row, words: Mapping[str, str]) -> str:
        """Return a cell with its fields filled in; blank where none of them is there."""

        def fill(match: re.Match[str]) -> str:
            first, inner, spec = match.groups(default="")
            return self._say(name, inner or first, row.get(_key(first, inner), ""), spec, words)

        there = [row.get(_key(first, inner), "") for first, inner, _ in FIELD.findall(cell)]
        return FIELD.sub(fill, cell) if any(there) or not there else ""

    def _say(self, name: str, column: str, text: str, spec: str, words: Mapping[str, str]) -> str:
        if not text:
            return ""
        if not NUMBER.fullmatch(text) or text in words:
            if spec:
                self._wrong(name, f"{text!r} for the format {spec!r}", "a number", column)
            return words.get(text, text).replace("|", "\\|")
        try:
            return write_number(text, spec)
        except ValueError:
            self._wrong(name, f"the format {spec!r}", f"a format of Python, {THREE}", column)
            return ""

    @staticmethod
    def _among(values: Iterable[str]) -> str:
        return ", ".join(repr(value) for value in dict.fromkeys(values))

    def _unknown(self, name: str) -> None:
        known = sorted(self.rows)
        self.faults.add(
            f"the table {name!r}", ", ".join(known), where=TEMPLATE.name, hint=nearest(name, known)
        )

    def _wrong(
        self, name: str, found: str, allowed: str, column: str | None = None, hint: str | None = ""
    ) -> None:
        self.faults.add(found, allowed, where=f"{name}.csv", column=column, hint=hint)


def build_page(folder: Path = TABLES, template: Path = TEMPLATE) -> str:
    """Return the page.

    Raises
    ------
    InputError
        With every table, column, row or format that is not there, and every table that no part of
        the page uses.
    """
    tables = Tables(folder)
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.globals.update(tables.functions())
    try:
        page = environment.get_template(template.name).render()
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        tables.faults.add(str(error), "a template of jinja2", where=template.name, row=line)
        tables.faults.raise_if_any()
    tables.finish()
    return page


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    try:
        page = build_page(TABLES, TEMPLATE)
    except FlowcastError as error:
        print(error)
        return 1
    if "--check" not in arguments:
        with atomic_file(PAGE) as part:
            part.write_text(page, encoding="utf-8")
        print(PAGE)
        return 0
    there = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    lines = unified_diff(
        there.splitlines(), page.splitlines(), PAGE.name, "as it should be", lineterm="", n=0
    )
    differ = list(islice(lines, SHOWN))
    print(f"{PAGE.name} is {'NOT in step with its tables' if there != page else 'in step'}")
    print("\n".join(differ), end="\n" if differ else "")
    return int(there != page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
