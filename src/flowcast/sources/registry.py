"""The registry of sources: who publishes what, under which definition, licence and role.

The embedded one is ``data/sources.csv``; a user may add a file of the same columns.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar, Final, Protocol, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from flowcast._source_roles import (
    REGISTRY_FILE,
    SOURCE_ROLES,
    SourceRole,
    read_registry_rows,
    read_roles,
    registered_role,
)
from flowcast.errors import Fault, Faults, InputError, nearest
from flowcast.resources import embedded_path
from flowcast.vocabulary import FAMILIES, MEASURES, Family, Measure

__all__ = ["COLUMNS", "ID", "Registry", "SourceEntry", "load_registry", "read_entries"]

ID: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
ALLOWED: Final[Mapping[str, str]] = {
    "id": "letters, digits, '_', '.' and '-', a letter or digit first",
    "publisher": "a name",
    "title": "a title",
    "family": ", ".join(FAMILIES) + ", or empty for a covariate",
    "measure": ", ".join(MEASURES) + ", or empty for a covariate",
    "role": ", ".join(SOURCE_ROLES),
    "url": "an address that begins with https:// or http://, or nothing",
    "page": "an address that begins with https:// or http://, or nothing",
    "reader": "the name of a reader, in small letters, digits and '_', or nothing",
    "file": "the name of a file, without a folder",
    "sha256": "64 hexadecimal digits, or nothing",
    "retrieved": "a date YYYY-MM-DD, or nothing",
}
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "family": FAMILIES,
    "measure": MEASURES,
    "role": SOURCE_ROLES,
}


class SourceEntry(BaseModel):
    """One source.

    Attributes
    ----------
    id
        What stands in the column `source` of observations.
    publisher, title
        Who publishes it, and what it is called.
    family, measure
        As in observations; None only for a covariate.
    role
        ``"fit"``: may inform a model. ``"heldout"``: may only be compared with one.
        ``"covariate"``: enters as a covariate or as an input of the accounting.
    definition
        Whom it counts, in words: minimum stay in months, criterion, unit.
    coverage
        Places and years.
    licence
        Name of the licence; empty where the publisher states none that could be checked.
    citation
        How to cite it, with the DOI where there is one.
    url
        Address of the file itself; empty where it has to be got by hand.
    page
        The publisher's page about it.
    reader
        Name of the reader of its file.
    file
        Usual name of the file.
    version
        Version or revision; empty for a series that is updated in place.
    sha256
        Hash of the file's bytes; empty where it is not pinned.
    retrieved
        Day on which the pinned file was retrieved.
    note
        What to know before fetching it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=f"^{ID}$")
    publisher: str = Field(min_length=1)
    title: str = Field(min_length=1)
    family: Family | None = None
    measure: Measure | None = None
    role: SourceRole
    definition: str = ""
    coverage: str = ""
    licence: str = ""
    citation: str = ""
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    page: str = Field(default="", pattern=r"^(https?://\S+)?$")
    reader: str = Field(default="", pattern=r"^([a-z][a-z0-9_]*)?$")
    file: str = ""
    version: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    retrieved: date | None = None
    note: str = ""

    @field_validator("file")
    @classmethod
    def _lies_in_no_folder(cls, value: str) -> str:
        if "/" in value or "\\" in value or value.startswith("."):
            raise ValueError(ALLOWED["file"])
        return value

    @field_validator("retrieved", mode="before")
    @classmethod
    def _is_an_iso_date(cls, value: object) -> object:
        # pydantic would take "0" for the first day of 1970.
        if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError(ALLOWED["retrieved"])
        return value

    @model_validator(mode="after")
    def _says_what_it_reports(self) -> Self:
        if self.role != "covariate" and (self.family is None or self.measure is None):
            raise ValueError("family and measure, unless the role is covariate")
        if (self.url or self.sha256) and not self.file:
            raise ValueError("a file, where there is a url or a sha256")
        return self

    @property
    def is_own(self) -> bool:
        """True if nobody publishes it at an address: a file that the user has."""
        return not self.url and not self.page


COLUMNS: Final[tuple[str, ...]] = tuple(SourceEntry.model_fields)
NEEDED: Final = ("id", "publisher", "title", "role")


class _Named(Protocol):
    @property
    def id(self) -> str:
        """By which it is found."""
        ...


@dataclass(frozen=True, slots=True)
class Entries[Entry: _Named]:
    """Typed entries by id.

    Attributes
    ----------
    entries
        In the order of the file, a user's own last.
    name
        What messages call the file.
    """

    entries: tuple[Entry, ...]
    name: str

    WHAT: ClassVar[str] = "entry"
    """What messages call one of them."""
    ALLOWED: ClassVar[str] = "an id"

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids, in order."""
        return tuple(entry.id for entry in self.entries)

    def entry(self, id: str) -> Entry:
        """Return an entry by its id.

        Raises
        ------
        InputError
            If there is none; the nearest id is named.

        Examples
        --------
        >>> load_registry().entry("eurostat_migr_imm5prv").publisher
        'Eurostat'
        """
        for entry in self.entries:
            if entry.id == id:
                return entry
        hint = nearest(id, self.ids) or ""
        raise InputError([Fault(self.name, f"no {self.WHAT} {id!r}", self.ALLOWED, hint=hint)])


class Registry(Entries[SourceEntry]):
    """Sources by id."""

    __slots__ = ()
    WHAT = "source"
    ALLOWED = "an id of the registry (flowcast sources list)"

    def role_of(self, source: str) -> SourceRole:
        """Return the role of a source; ``"fit"`` for one that is not registered: a user's own.

        Parts and editions, named by an id and more after an underscore, have the role of the id.

        Examples
        --------
        >>> load_registry().role_of("imem_2013"), load_registry().role_of("my_office")
        ('heldout', 'fit')
        """
        roles: dict[str, str] = {entry.id: entry.role for entry in self.entries}
        return cast("SourceRole", registered_role(source, roles))

    def select(self, family: str | None = None, role: str | None = None) -> tuple[SourceEntry, ...]:
        """Return the sources of a family, of a role, or both; None takes all."""
        return tuple(
            entry
            for entry in self.entries
            if family in (None, entry.family) and role in (None, entry.role)
        )


def load_registry(path: Path | None = None) -> Registry:
    """Load the registry of sources.

    Parameters
    ----------
    path
        A registry of your own, with the columns of the embedded one (`id`, `publisher`, `title`
        and `role` at least). It is added; a source that is there already is replaced, but keeps
        its role.

    Returns
    -------
    Registry

    Raises
    ------
    InputError
        With every fault of the file: row, column, what was found, what is allowed.

    Examples
    --------
    >>> len(load_registry()) > 20
    True
    """
    entries = {e.id: e for e in _read(embedded_path("data", REGISTRY_FILE))}
    if path is None:
        return Registry(tuple(entries.values()), f"data/{REGISTRY_FILE}")
    own = _read(path)
    read_roles(path)  # refuses a role that differs from the embedded one
    entries |= {entry.id: entry for entry in own}
    return Registry(tuple(entries.values()), f"data/{REGISTRY_FILE} and {path}")


def _read(path: Path) -> list[SourceEntry]:
    found = read_entries(path, SourceEntry, NEEDED, ALLOWED, WORDS)
    return list(found.values())


def read_entries[Entry: BaseModel](
    path: Path,
    kind: type[Entry],
    needed: Collection[str],
    allowed: Mapping[str, str],
    words: Mapping[str, Collection[str]],
) -> dict[int, Entry]:
    """Read a table of which every row is an object, and tell all its faults at once.

    Parameters
    ----------
    path
        CSV with the columns `id` and `role`, and others that are fields of `kind`.
    kind
        What a row is checked against; an empty cell is a field that is not given.
    needed
        Columns that must be there.
    allowed, words
        What may stand in a column, in words, and as a list that a hint is looked for in.

    Returns
    -------
    dict
        By row, as an editor counts it.

    Raises
    ------
    InputError
        With every fault: row, column, what was found, what is allowed.
    """
    faults = Faults(str(path))
    rows = read_registry_rows(path, faults)
    header = tuple(rows[0].cells) if rows else tuple(needed)
    columns = tuple(kind.model_fields)
    for name in header:
        if name not in columns:
            hint = nearest(name, columns)
            faults.add(f"column {name!r}", ", ".join(columns), row=1, hint=hint)
    for name in needed:
        if name not in header:
            faults.add("no such column", "a column of this name", row=1, column=name)
    entries: dict[int, Entry] = {}
    for row in rows:
        filled = {k: v for k, v in row.cells.items() if v and k in columns}
        try:
            entries[row.row] = kind.model_validate(filled)
        except ValidationError as error:
            faults.extend(_faults(error, str(path), row.row, header, allowed, words))
    faults.raise_if_any()
    return entries


def _faults(
    error: ValidationError,
    where: str,
    row: int,
    header: Collection[str],
    allowed: Mapping[str, str],
    words: Mapping[str, Collection[str]],
) -> Iterator[Fault]:
    """Yield the faults of one row, in the words of the table instead of pydantic's."""
    for one in error.errors():
        column = str(one["loc"][0]) if one["loc"] else None
        if column is None:
            yield Fault(where, "too little", str(one["ctx"]["error"]), row)
        elif one["type"] != "missing":
            text = str(one["input"])
            hint = nearest(text, words.get(column, ())) or ""
            yield Fault(where, repr(text), allowed.get(column, ""), row, column, hint)
        elif column in header:
            yield Fault(where, "an empty cell", allowed[column], row, column)
