"""Sums of flows as sparse operators on corridors, and what such sums rest on.

An aggregate is a matrix, cells x corridors, of +1 and -1. It is applied to draws, never to
summaries of draws: the bounds of a sum are not the sums of the bounds.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from flowcast._sheet import TableCodes
from flowcast.errors import Faults, UsageError, nearest
from flowcast.places import grouping_ids, is_grouping, members
from flowcast.vocabulary import EVIDENCE, NO_EVIDENCE, EstimateMeasure

__all__ = ["Grouping", "Groups", "System", "build_groups", "build_operator", "join_evidence"]

type Grouping = Mapping[str, Collection[str]] | Collection[str]
"""Groups by name with their members, or ids of groupings and codes of single places."""

WHERE: Final = "grouping"


@dataclass(frozen=True, slots=True)
class System:
    """The places and corridors within which flows are added up.

    Attributes
    ----------
    places
        Codes, sorted.
    origin, destination
        Index into `places` of each corridor's ends.
    codes
        Kind of the codes.
    """

    places: tuple[str, ...]
    origin: NDArray[np.intp]
    destination: NDArray[np.intp]
    codes: TableCodes

    @classmethod
    def of(cls, origin: Sequence[str], destination: Sequence[str], codes: TableCodes) -> "System":
        """Return the system of the places that occur as an end of a corridor."""
        places, index = np.unique(np.array([origin, destination]), return_inverse=True)
        ends = index.reshape(2, -1)
        return cls(tuple(map(str, places)), ends[0], ends[1], codes)


@dataclass(frozen=True, slots=True)
class Groups:
    """Which place belongs to which group in which period.

    Attributes
    ----------
    names
        Names of the groups, sorted.
    member
        Membership, shape (period, group, place).
    notes
        What a reader of the sums has to know about the groups.
    """

    names: tuple[str, ...]
    member: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def build_groups(by: Grouping | None, system: System, years: Sequence[int]) -> Groups:
    """Resolve groups to places of the system.

    Parameters
    ----------
    by
        Names with their members; or ids of `groupings.csv` and codes of places; or None: each
        place is a group of its own. Members of a grouping are those on 1 July of the year.
    system
        The places.
    years
        The middle year of each period.

    Raises
    ------
    InputError
        If a name or member is unknown, or a group is empty in some period.
    """
    if by is None:
        each = np.eye(len(system.places), dtype=bool)
        return Groups(system.places, np.broadcast_to(each, (len(years), *each.shape)))
    by = (by,) if isinstance(by, str) else by
    faults = Faults(WHERE)
    notes: list[str] = []
    rows: dict[str, NDArray[np.bool_]] = {}
    for name in sorted(by):
        if isinstance(by, Mapping):
            found = _declared(name, by[name], system, faults)
            rows[name] = np.broadcast_to(found, (len(years), len(found)))
        else:
            rows[name] = _known(name, system, years, faults, notes)
    if not rows:
        faults.add("no group", "at least one group")
    faults.raise_if_any()
    return Groups(tuple(rows), np.stack(list(rows.values()), axis=1), tuple(notes))


def _declared(
    name: str, codes: Collection[str], system: System, faults: Faults
) -> NDArray[np.bool_]:
    """Return which places a group given by its members holds."""
    codes = (codes,) if isinstance(codes, str) else codes
    if not codes:
        faults.add("no member", "at least one place", column=name)
    for code in sorted(set(codes) - set(system.places)):
        hint = nearest(code, system.places)
        faults.add(repr(code), "a place of the estimates", column=name, hint=hint)
    return np.isin(system.places, list(codes))


def _known(
    name: str, system: System, years: Sequence[int], faults: Faults, notes: list[str]
) -> NDArray[np.bool_]:
    """Return which places a grouping id, or the code of one place, holds in each period."""
    inside = np.zeros((len(years), len(system.places)), dtype=bool)
    if name in system.places:
        inside[:, system.places.index(name)] = True
    elif not is_grouping(name):
        allowed = [*grouping_ids(), *system.places]
        faults.add(repr(name), "a grouping id or a place", hint=nearest(name, allowed))
    elif system.codes == "declared":
        faults.add(repr(name), "groups given as name and members, as the codes are your own")
    else:
        by_year = {year: set(members(name, year, kind=system.codes)) for year in set(years)}
        inside[:] = [np.isin(system.places, list(by_year[year])) for year in years]
        notes.extend(_describe_members(name, by_year, system.places))
        for year in sorted({y for y, row in zip(years, inside, strict=True) if not row.any()}):
            faults.add(f"no member in {year}", "a grouping with members here", column=name)
    return inside


def _describe_members(
    name: str, by_year: Mapping[int, set[str]], places: Collection[str]
) -> Iterable[str]:
    everybody = set().union(*by_year.values())
    absent = sorted(everybody.difference(places))
    if absent:
        yield f"{name} stands for its members among the places; not among them: {', '.join(absent)}"
    if any(codes != everybody for codes in by_year.values()):
        yield f"{name} has its members of 1 July of the middle year of each period"


def build_operator(
    measure: EstimateMeasure, member: NDArray[np.bool_], system: System
) -> sp.csr_array:
    """Return the matrix that turns flows of corridors into cells of a measure.

    Parameters
    ----------
    measure
        ``flow``: one cell per ordered pair of different groups, the origin's index running slowest.
        ``immigration``, ``emigration``, ``net``: one cell per group. Moves within a group are in
        none of them.
    member
        Membership, shape (group, place).
    system
        Places and corridors.

    Returns
    -------
    scipy.sparse.csr_array
        Shape (cell, corridor), entries 1 and -1.

    Raises
    ------
    UsageError
        For flows between groups that share a place: a move could be in two of them.

    Examples
    --------
    >>> triangle = System.of(["A", "A", "B", "B"], ["B", "C", "A", "C"], "declared")
    >>> build_operator("net", np.eye(3, dtype=bool), triangle).toarray().astype(int).tolist()
    [[-1, -1, 1, 0], [1, 0, -1, -1], [0, 1, 0, 1]]
    """
    if measure == "flow":
        return _between_groups(member, system)
    group = sp.csr_array(member.astype(float))
    leaves, enters = group[:, system.origin], group[:, system.destination]
    within = leaves.multiply(enters)
    if measure == "net":
        moves = enters - leaves
    else:
        moves = (enters if measure == "immigration" else leaves) - within
    out = sp.csr_array(moves)
    out.eliminate_zeros()
    return out


def _between_groups(member: NDArray[np.bool_], system: System) -> sp.csr_array:
    shared = np.flatnonzero(member.sum(axis=0) > 1)
    if shared.size:
        codes = ", ".join(system.places[k] for k in shared)
        raise UsageError(
            f"({WHERE}) | found {codes} in several groups; allowed: groups without a common place, "
            "for flows between groups"
        )
    n_group = len(member)
    group = np.where(member.any(axis=0), member.argmax(axis=0), -1)
    start, end = group[system.origin], group[system.destination]
    corridor = np.flatnonzero((start >= 0) & (end >= 0) & (start != end))
    start, end = start[corridor], end[corridor]
    cell = start * (n_group - 1) + end - (end > start)  # the diagonal has no cell
    shape = (n_group * (n_group - 1), len(system.origin))
    return sp.csr_array((np.ones(len(cell)), (cell, corridor)), shape=shape)


def join_evidence(
    evidence: NDArray[np.str_], operators: Sequence[sp.csr_array]
) -> NDArray[np.str_]:
    """Return what each aggregate rests on: whatever any of its cells rests on.

    Parameters
    ----------
    evidence
        Words of `vocabulary.EVIDENCE` joined by "+", or "none"; shape (corridor, period).
    operators
        One per period.

    Returns
    -------
    numpy.ndarray
        Strings, shape (cell, period); "none" only where every cell rests on nothing.

    Examples
    --------
    >>> words = np.array([["survey"], ["none"], ["both_reports+survey"]])
    >>> join_evidence(words, [sp.csr_array([[1, 1, 1], [0, -1, 0]])]).ravel().tolist()
    ['both_reports+survey', 'none']
    """
    kinds, index = np.unique(evidence.astype(str), return_inverse=True)
    holds = np.array([[part in kind.split("+") for part in EVIDENCE] for kind in kinds])
    flags = holds[index.reshape(evidence.shape)].astype(float)
    sums = [abs(operator) @ flags[:, k] for k, operator in enumerate(operators)]
    return np.stack([_join_words(found > 0) for found in sums], axis=1)


def _join_words(found: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return one string per row of flags, shape (cell, part)."""
    rows, index = np.unique(found, axis=0, return_inverse=True)
    words = ["+".join(np.array(EVIDENCE)[row]) or NO_EVIDENCE for row in rows]
    return np.array(words)[index.ravel()]
