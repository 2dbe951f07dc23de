"""Countries and regions: codes, spelling fixes, years of existence, groupings.

The names live in data (`data/codelists/`), not in code. A place carries the dates between which
it existed, so that a figure about a country that did not exist yet is refused with a reason.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final, Literal, get_args

from flowcast.errors import Fault, InputError, nearest
from flowcast.resources import embedded_path

__all__ = [
    "CodeKind",
    "Place",
    "all_places",
    "code_kind",
    "convert_code",
    "describe_existence",
    "exists_in",
    "fix_code",
    "grouping_ids",
    "grouping_name",
    "is_grouping",
    "members",
    "resolve_place",
    "suggest_code",
]

CodeKind = Literal["alpha2", "alpha3"]
CODE_KINDS: Final[tuple[CodeKind, ...]] = get_args(CodeKind)
KIND_NAMES: Final[dict[CodeKind, str]] = {"alpha2": "alpha-2", "alpha3": "alpha-3"}
_WHERE = "place code"


@dataclass(frozen=True, slots=True)
class Place:
    """A country or territory of ISO 3166-1, present or former.

    Attributes
    ----------
    alpha2, alpha3
        ISO 3166-1 codes. `alpha3` is unique; `CS` was given to two countries one after the other.
    m49
        United Nations M49 code, three digits.
    name, region, subregion, intermediate_region
        Short English name and UN M49 regions (empty where M49 has none).
    valid_from, valid_to
        The half-open span of its existence; None is open.
    successors
        `alpha3` of what followed it, if it is gone.
    """

    alpha2: str
    alpha3: str
    m49: str
    name: str
    region: str = ""
    subregion: str = ""
    intermediate_region: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    successors: tuple[str, ...] = ()

    def code(self, kind: CodeKind) -> str:
        """Return the code of this `kind`."""
        return self.alpha2 if kind == "alpha2" else self.alpha3

    def exists_between(self, start: date, end: date) -> bool:
        """Return whether it existed on some day of the half-open span ``[start, end)``."""
        return (self.valid_from is None or self.valid_from < end) and (
            self.valid_to is None or start < self.valid_to
        )


@dataclass(frozen=True, slots=True)
class _Membership:
    """One line of `groupings.csv`: half-open dates, None is open."""

    member: str
    start: date | None
    end: date | None

    def holds_on(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day < self.end)


def _read_rows(name: str) -> list[dict[str, str]]:
    path = embedded_path("data", "codelists", name)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


@cache
def all_places() -> tuple[Place, ...]:
    """Return every place of the code list, by `alpha3`.

    Examples
    --------
    >>> [p.name for p in all_places() if p.alpha2 == "CS"]
    ['Czechoslovakia', 'Serbia and Montenegro']
    """
    return tuple(
        Place(
            alpha2=row["alpha2"],
            alpha3=row["alpha3"],
            m49=row["m49"],
            name=row["name"],
            region=row["region"],
            subregion=row["subregion"],
            intermediate_region=row["intermediate_region"],
            valid_from=_day(row["valid_from"]),
            valid_to=_day(row["valid_to"]),
            successors=tuple(filter(None, row["successors"].split(";"))),
        )
        for row in _read_rows("places.csv")
    )


@cache
def _index(kind: CodeKind) -> dict[str, tuple[Place, ...]]:
    """Return the places of each code, the latest first (a code can be given away again)."""
    found: dict[str, list[Place]] = {}
    for place in all_places():
        found.setdefault(place.code(kind), []).append(place)
    return {
        code: tuple(sorted(places, key=lambda p: p.valid_to or date.max, reverse=True))
        for code, places in found.items()
    }


@cache
def _fixes(action: Literal["fix", "suggest"]) -> dict[str, str]:
    """Return the wrong codes that are repaired ("fix"), or answered with a hint ("suggest")."""
    return {r["code"]: r["alpha3"] for r in _read_rows("fixes.csv") if r["action"] == action}


@cache
def _groupings() -> dict[str, tuple[str, tuple[_Membership, ...]]]:
    found: dict[str, tuple[str, list[_Membership]]] = {}
    for row in _read_rows("groupings.csv"):
        member = _Membership(row["member"], _day(row["from"]), _day(row["to"]))
        found.setdefault(row["grouping"], (row["name"], []))[1].append(member)
    return {group: (name, tuple(rows)) for group, (name, rows) in found.items()}


def fix_code(code: str) -> str | None:
    """Return the standard code for a known spelling of another, in the same kind; else None.

    Examples
    --------
    >>> fix_code("UK"), fix_code("ROM"), fix_code("DE")
    ('GB', 'ROU', None)
    """
    alpha3 = _fixes("fix").get(code)
    if alpha3 is None:
        return None
    return _index("alpha3")[alpha3][0].alpha2 if len(code) == 2 else alpha3


def suggest_code(code: str, *, kind: CodeKind | None = None) -> str | None:
    """Return the code that was probably meant by an unknown one, or None.

    Parameters
    ----------
    code
        What stands there: a code of another system, a name, or a misspelling.
    kind
        The kind of code wanted; by default alpha-2 for two letters, else alpha-3.

    Examples
    --------
    >>> suggest_code("GER"), suggest_code("Germany", kind="alpha2"), suggest_code("nordc")
    ('DEU', 'DE', 'nordic')
    """
    wanted: CodeKind = kind or ("alpha2" if len(code) == 2 else "alpha3")
    names = {p.name.casefold(): p.alpha3 for p in all_places()}
    alpha3 = _fixes("fix").get(code.upper()) or _fixes("suggest").get(code.upper())
    for known in CODE_KINDS:
        if alpha3 is None and code.upper() in _index(known):
            alpha3 = _index(known)[code.upper()][0].alpha3
    if alpha3 is None and len(code) > 3:
        like = nearest(code, [*names, *grouping_ids()])
        if like in _groupings():
            return like
        alpha3 = names.get(like or "")
    if alpha3 is None:
        return nearest(code, _index(wanted))
    return _index("alpha3")[alpha3][0].code(wanted)


def _unknown(code: str, kind: CodeKind | None) -> InputError:
    what = f"ISO 3166 {KIND_NAMES[kind]} code" if kind else "ISO 3166 alpha-2 or alpha-3 code"
    hint = suggest_code(code, kind=kind) or ""
    return InputError([Fault(_WHERE, repr(code), what, hint=hint)])


def resolve_place(code: str, *, kind: CodeKind | None = None, year: int | None = None) -> Place:
    """Return the place a code stands for, after known spelling fixes.

    Parameters
    ----------
    code
        ISO 3166 alpha-2 or alpha-3, or a spelling listed in `fixes.csv` (``UK``, ``EL``, ``ROM``).
    kind
        Accept only this kind.
    year
        Settles a code that was given twice (``CS``); without it, the later place is returned.

    Raises
    ------
    InputError
        If the code is unknown, with the nearest known one.

    Examples
    --------
    >>> resolve_place("UK").name, resolve_place("CS", year=1990).alpha3
    ('United Kingdom', 'CSK')
    """
    standard = fix_code(code) or code
    for candidate in (kind,) if kind else CODE_KINDS:
        places = _index(candidate).get(standard, ())
        alive = [p for p in places if year is not None and p.exists_between(*_span(year))]
        if places:
            return (alive or places)[0]
    raise _unknown(code, kind)


def _span(year: int) -> tuple[date, date]:
    return date(year, 1, 1), date(year + 1, 1, 1)


def code_kind(codes: Iterable[str]) -> CodeKind:
    """Return the kind all codes are of; grouping ids and empty codes are of either kind.

    Raises
    ------
    InputError
        If the kinds are mixed, a code is unknown, or there is none to tell by.

    Examples
    --------
    >>> code_kind(["DE", "UK", "nordic"])
    'alpha2'
    """
    first: dict[CodeKind, str] = {}
    for code in codes:
        if code and code not in _groupings():
            place = resolve_place(code)
            standard = fix_code(code) or code
            first.setdefault("alpha2" if standard == place.alpha2 else "alpha3", code)
    if len(first) == 1:
        return next(iter(first))
    found = " and ".join(f"{KIND_NAMES[k]} {c!r}" for k, c in first.items()) or "no country code"
    raise InputError([Fault("place codes", found, "codes of one kind, alpha-2 or alpha-3")])


def convert_code(code: str, to: CodeKind, *, year: int | None = None) -> str:
    """Return the code of the same place in the other kind; a grouping id stays what it is.

    Raises
    ------
    InputError
        If the code is unknown.

    Examples
    --------
    >>> convert_code("NA", "alpha3"), convert_code("GRC", "alpha2"), convert_code("EU", "alpha2")
    ('NAM', 'GR', 'EU')
    """
    return code if code in _groupings() else resolve_place(code, year=year).code(to)


def exists_in(code: str, year: int) -> bool:
    """Return whether the place existed on some day of that year.

    Raises
    ------
    InputError
        If the code is unknown.

    Examples
    --------
    >>> exists_in("SCG", 2004), exists_in("SCG", 2010), exists_in("MNE", 2003)
    (True, False, False)
    """
    return resolve_place(code, year=year).exists_between(*_span(year))


def describe_existence(place: Place, kind: CodeKind = "alpha3") -> str:
    """Return when a place existed and what stands for it now or stood for it before.

    Examples
    --------
    >>> describe_existence(resolve_place("SCG"))
    'Serbia and Montenegro existed 2003-2006; its successors: MNE, SRB'
    >>> describe_existence(resolve_place("MNE"))
    'Montenegro exists since 2006; before, part of: SCG'
    """
    since = place.valid_from.year if place.valid_from else None
    if place.valid_to is None:
        if since is None:
            return f"{place.name} exists in every year"
        before = [p.code(kind) for p in all_places() if place.alpha3 in p.successors]
        text = f"{place.name} exists since {since}"
        return f"{text}; before, part of: {', '.join(before)}" if before else text
    last = place.valid_to.year
    text = f"existed {since}-{last}" if since else f"existed until {last}"
    after = [resolve_place(c).code(kind) for c in place.successors]
    return f"{place.name} {text}; its successors: {', '.join(after)}"


def grouping_ids() -> tuple[str, ...]:
    """Return the ids of all groupings, in the order of `groupings.csv`.

    Examples
    --------
    >>> "EU27_2020" in grouping_ids()
    True
    """
    return tuple(_groupings())


def is_grouping(code: str) -> bool:
    """Return whether `code` is the id of a grouping."""
    return code in _groupings()


def _grouping(group_id: str) -> tuple[str, tuple[_Membership, ...]]:
    try:
        return _groupings()[group_id]
    except KeyError:
        hint = nearest(group_id, grouping_ids()) or ""
        fault = Fault("grouping", repr(group_id), "an id of groupings.csv", hint=hint)
        raise InputError([fault]) from None


def grouping_name(group_id: str) -> str:
    """Return the name of a grouping in words.

    Raises
    ------
    InputError
        If there is no such grouping.
    """
    return _grouping(group_id)[0]


def members(
    group_id: str, year: int | None = None, *, kind: CodeKind = "alpha3"
) -> tuple[str, ...]:
    """Return the codes of a grouping's members.

    Parameters
    ----------
    group_id
        An id of `groupings.csv`, such as ``EU27_2020``, ``nordic`` or ``western_europe``.
    year
        Members on 1 July of that year; by default today's members (those that never left).
    kind
        The kind of code to return.

    Raises
    ------
    InputError
        If there is no such grouping.

    Examples
    --------
    >>> members("benelux", kind="alpha2")
    ('BE', 'LU', 'NL')
    >>> "GBR" in members("EU", 2019), "GBR" in members("EU", 2020)
    (True, False)
    """
    rows = _grouping(group_id)[1]
    if year is None:
        found = {m.member for m in rows if m.end is None}
    else:
        found = {m.member for m in rows if m.holds_on(date(year, 7, 1))}
    return tuple(sorted(_index("alpha3")[alpha3][0].code(kind) for alpha3 in found))
