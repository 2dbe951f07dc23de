"""The roles of sources: which figures may enter a fit, and which may only be compared with it.

The registry of sources (`flowcast.sources.registry`) says more about each of them; this part of it
lies lower, so that observations know the roles of their own sources.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

from flowcast.errors import Faults, nearest
from flowcast.resources import embedded_path

__all__ = [
    "INDICATOR_FILE",
    "REGISTRY_FILE",
    "SOURCE_ROLES",
    "Barred",
    "RegistryRow",
    "SourceRole",
    "describe_barred",
    "find_barred",
    "read_registry_rows",
    "read_roles",
    "registered_role",
]

SourceRole = Literal["fit", "heldout", "covariate"]
SOURCE_ROLES: Final[tuple[str, ...]] = get_args(SourceRole)
REGISTRY_FILE: Final = "sources.csv"
"""Name of the registry, embedded or a user's own."""
INDICATOR_FILE: Final = "indicators.csv"
"""Name of the catalogue of held-out indicators; its ids have roles as those of sources have."""
NEEDED: Final = ("id", "role")
MAX_ROWS: Final = 5
WHY: Final = {
    "heldout": "a figure of others, kept to compare with",
    "covariate": "an input of the process or of the accounting, not a report of flows",
}


@dataclass(frozen=True, slots=True)
class RegistryRow:
    """One line of a registry.

    Attributes
    ----------
    row
        Row of the file as an editor counts it; the header is row 1.
    cells
        Column -> text, stripped; empty where nothing stands.
    """

    row: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Barred:
    """A source that may not enter a fit, and where its reports stand.

    Attributes
    ----------
    source
        Its id.
    role
        ``"heldout"`` or ``"covariate"``.
    rows
        Rows of the file of observations as an editor counts them.
    """

    source: str
    role: str
    rows: tuple[int, ...]


def read_registry_rows(path: Path, faults: Faults) -> list[RegistryRow]:
    """Read the rows of a registry, and check ids and roles.

    Parameters
    ----------
    path
        A CSV in UTF-8 with a header that has at least `id` and `role`.
    faults
        Takes every fault; rows with faults are left out of the result.

    Raises
    ------
    InputError
        If the file cannot be read as such a table at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        faults.add(error.strerror or str(error), "a readable CSV file")
        text = ""
    except UnicodeDecodeError as error:
        faults.add(f"byte 0x{error.object[error.start]:02x} that is not UTF-8", "UTF-8")
        text = ""
    faults.raise_if_any()
    lines = list(_lines(text, faults))
    header = lines[0][1] if lines else []
    for name in NEEDED:
        if header.count(name) != 1:
            faults.add(f"column {name!r} {header.count(name)} times", "once", row=1, column=name)
    faults.raise_if_any()
    rows = list(_complete(lines[1:], header, faults))
    return [row for row in rows if _is_sound(row, rows, faults)]


def _lines(text: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the stripped fields of every row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    last = 0
    try:
        for fields in reader:
            row, last = last + 1, reader.line_num
            cells = [field.strip() for field in fields]
            if any(cells):
                yield row, cells
    except csv.Error as error:
        faults.add(f"CSV that cannot be read ({error})", "plain CSV", row=reader.line_num)


def _complete(
    lines: Iterable[tuple[int, list[str]]], header: list[str], faults: Faults
) -> Iterator[RegistryRow]:
    for row, fields in lines:
        if len(fields) == len(header):
            yield RegistryRow(row, dict(zip(header, fields, strict=True)))
        else:
            faults.add(f"{len(fields)} fields", f"{len(header)} fields as in row 1", row=row)


def _is_sound(row: RegistryRow, rows: Iterable[RegistryRow], faults: Faults) -> bool:
    """Return whether id and role of a row can be used; what is wrong becomes a fault."""
    name, role = row.cells["id"], row.cells["role"]
    before = len(faults)
    if not name:
        faults.add("an empty cell", "an id", row=row.row, column="id")
    first = next(other.row for other in rows if other.cells["id"] == name)
    if name and first != row.row:
        faults.add(f"{name!r} again, as in row {first}", "each id once", row=row.row, column="id")
    if role not in SOURCE_ROLES:
        found, hint = repr(role) if role else "an empty cell", nearest(role, SOURCE_ROLES)
        faults.add(found, ", ".join(SOURCE_ROLES), row=row.row, column="role", hint=hint)
    return len(faults) == before


@cache
def _embedded_roles() -> Mapping[str, str]:
    roles: dict[str, str] = {}
    for name in (REGISTRY_FILE, INDICATOR_FILE):
        faults = Faults(f"data/{name}")
        rows = read_registry_rows(embedded_path("data", name), faults)
        faults.raise_if_any()
        roles |= {row.cells["id"]: row.cells["role"] for row in rows}
    return roles


def read_roles(*own: Path) -> Mapping[str, str]:
    """Return the role of every registered source, and of every indicator, by its id.

    Parameters
    ----------
    *own
        A user's registries, added to the embedded one. They may repeat a source (to pin a version,
        say), but not give it another role.

    Raises
    ------
    InputError
        With every fault of the first of them that has any.

    Examples
    --------
    >>> read_roles()["imem_2013"]
    'heldout'
    """
    roles = dict(_embedded_roles())
    for path in own:
        faults = Faults(str(path))
        for row in read_registry_rows(path, faults):
            name, role = row.cells["id"], row.cells["role"]
            known = roles.setdefault(name, role)
            if known != role:
                where = "the registry of flowcast" if name in _embedded_roles() else "another one"
                allowed = f"{known!r}, the role of {name} in {where}"
                faults.add(repr(role), allowed, row=row.row, column="role")
        faults.raise_if_any()
    return roles


def registered_role(source: str, roles: Mapping[str, str]) -> str:
    """Return the role of a source; ``"fit"`` for one that is not registered, a user's own.

    A part or an edition of a registered source, named by its id and more after an underscore, has
    its role.

    Examples
    --------
    >>> registered_role("un_wpp_2019", {"un_wpp": "covariate"})
    'covariate'
    >>> registered_role("un_wppx", {"un_wpp": "covariate"})
    'fit'
    """
    name = source
    while name and name not in roles:
        name = name.rpartition("_")[0]
    return roles.get(name, "fit")


def find_barred(
    sources: Iterable[str], rows: Iterable[int], roles: Mapping[str, str]
) -> tuple[Barred, ...]:
    """Return the sources of a table that may not enter a fit, sorted by id.

    Parameters
    ----------
    sources
        The source of each row of a table.
    rows
        Number of each row, as an editor counts it.
    roles
        Role by id; a source that is not there is a user's own, and may enter.

    Examples
    --------
    >>> find_barred(["mine", "imem_2013"], [2, 3], {"imem_2013": "heldout"})
    (Barred(source='imem_2013', role='heldout', rows=(3,)),)
    """
    found: dict[str, list[int]] = {}
    for source, row in zip(sources, rows, strict=True):
        if registered_role(source, roles) != "fit":
            found.setdefault(source, []).append(int(row))
    return tuple(
        Barred(name, registered_role(name, roles), tuple(found[name])) for name in sorted(found)
    )


def describe_barred(where: str, barred: Iterable[Barred]) -> str:
    """Return what a fit says when it refuses them: a line each, with source and rows."""
    return "\n".join(
        f"({where}, {_tell_rows(one.rows)}) | found source {one.source!r}, whose role in the "
        f"registry is {one.role!r} ({WHY[one.role]}); "
        "allowed: only sources with the role 'fit' may enter a fit"
        for one in barred
    )


def _tell_rows(rows: tuple[int, ...]) -> str:
    shown = ", ".join(str(row) for row in rows[:MAX_ROWS])
    more = f" and {len(rows) - MAX_ROWS} more" if len(rows) > MAX_ROWS else ""
    return f"row{'' if len(rows) == 1 else 's'} {shown}{more}"
