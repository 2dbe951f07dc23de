"""What keys of a scenario say together: unit and driver, operation and value, places and codes.

The checks read plain data, not the typed scenario, so that a fault of one key never hides one of
another: all of them are told at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal

from flowcast.errors import InputError, nearest
from flowcast.scenarios._targets import make_codes, pair_faults, place_fault
from flowcast.scenarios.catalogue import DRIVERS, OPERATIONS, Driver
from flowcast.scenarios.matrices import read_matrix
from flowcast.scenarios.spec import EVERYWHERE, Change, Scenario
from flowcast.sources.registry import load_registry

__all__ = ["Wrong", "judge_plain", "judge_whole"]

type Plain = Mapping[str, Any]

RATIO: Final = "ratio"
OVERLAPPING: Final = ("path", "set")
"""Operations that take the place of what was there: two of one kind would hide one another."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong: the key it stands under, what was found, what is allowed."""

    key: str
    found: str
    allowed: str
    hint: str = ""


def judge_plain(raw: Plain) -> Iterator[Wrong]:
    """Yield what is wrong with a scenario given as plain data, beside the types of its keys."""
    codes = "declared" if raw.get("codes") == "declared" else "iso"
    data = _mapping(raw.get("data"))
    for name, entry in data.items():
        yield from _judge_data(f"data.{name}", _mapping(entry), data)
    for section in ("drivers", "shocks"):
        for name, given in _mapping(raw.get(section)).items():
            entry = _mapping(given)
            key = f"{section}.{name}"
            known = DRIVERS.get(str(entry.get("driver", name)))
            yield from _judge_targets(key, entry, known, codes)
            if known is not None and section == "drivers":
                yield from _judge_change(key, entry, known, data)
            elif known is not None:
                yield from _judge_shock(key, entry, known)


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[str]:
    found = value if isinstance(value, list | tuple) else [value]
    return [str(one) for one in found if one is not None]


@cache
def _readable() -> tuple[str, ...]:
    """Return the ids of the sources that a scenario may name: covariates with a reader."""
    entries = load_registry().select(role="covariate")
    return tuple(entry.id for entry in entries if entry.reader)


def _judge_data(key: str, entry: Plain, data: Plain) -> Iterator[Wrong]:
    source, other = entry.get("source"), entry.get("per")
    if source is None and entry.get("file") is None:
        yield Wrong(key, "neither source nor file", "an id of the registry, a file, or both")
    if isinstance(source, str):
        known = _readable()
        if source not in known:
            hint = nearest(source, known) or ""
            yield Wrong(f"{key}.source", repr(source), ", ".join(known), hint)
    if (entry.get("low") is None) != (entry.get("high") is None):
        yield Wrong(key, "one bound", "both low and high, or neither")
    if other is not None and (other not in data or key == f"data.{other}"):
        hint = nearest(str(other), data) or ""
        yield Wrong(f"{key}.per", repr(other), "another entry of data", hint)


def _judge_targets(key: str, entry: Plain, known: Driver | None, codes: str) -> Iterator[Wrong]:
    for token in _listed(entry.get("places")):
        wrong = place_fault(token, codes)
        if wrong is not None:
            yield Wrong(f"{key}.places", repr(token), *wrong)
    for token in _listed(entry.get("corridors")):
        for allowed, hint in pair_faults(token, codes):
            yield Wrong(f"{key}.corridors", repr(token), allowed, hint)
    if known is None:
        return
    other = "corridors" if known.of == "place" else "places"
    if entry.get(other) is not None:
        told = (
            f"{'places' if other == 'corridors' else 'corridors'}: it is a driver of a {known.of}"
        )
        yield Wrong(f"{key}.{other}", f"{other} of {known.name}", told)
    yield from _judge_matrix(key, entry, known, codes)


def _judge_matrix(key: str, entry: Plain, known: Driver, codes: str) -> Iterator[Wrong]:
    given = entry.get("matrix")
    if given is None:
        return
    if known.of == "place":
        yield Wrong(f"{key}.matrix", f"a matrix of {known.name}", "a driver of corridors")
    if entry.get("corridors") is not None:
        yield Wrong(f"{key}.corridors", "corridors beside a matrix", "one of the two")
    try:
        cells = read_matrix(Path(given)) if isinstance(given, str) else _mapping(given)
    except InputError as error:
        for fault in error.faults:
            row = f"row {fault.row}, " if fault.row else ""
            yield Wrong(f"{key}.matrix", f"{fault.where}: {row}{fault.found}", fault.allowed)
        return
    tokens = dict.fromkeys([*cells, *(t for inner in cells.values() for t in _mapping(inner))])
    for token in tokens:
        wrong = place_fault(str(token), codes)
        if wrong is not None:
            yield Wrong(f"{key}.matrix", repr(token), *wrong)
    for origin, inner in cells.items():
        for destination, value in _mapping(inner).items():
            pair = f"{key}.matrix ({origin}/{destination})"
            yield from _judge_number(pair, value, known, entry)


def _judge_change(key: str, entry: Plain, known: Driver, data: Plain) -> Iterator[Wrong]:
    operation = entry.get("operation")
    if isinstance(operation, str):
        yield from _judge_operation(key, operation, known)
    yield from _judge_unit(key, entry, known)
    yield from _judge_given(key, entry, known, operation)
    if entry.get("data") is not None and entry["data"] not in data:
        hint = nearest(str(entry["data"]), data) or ""
        yield Wrong(f"{key}.data", repr(entry["data"]), "an entry of data", hint)
    if operation != "path":
        for name in (n for n in ("anchor", "scale") if entry.get(n) is not None):
            yield Wrong(f"{key}.{name}", f"{name} of {operation}", "only with operation: path")
    elif entry.get("scale") is not None and entry.get("anchor") is None:
        yield Wrong(f"{key}.scale", "scale without an anchor", "an anchor too")
    if operation in ("set", "multiply"):
        yield from _judge_number(f"{key}.value", entry.get("value"), known, entry)
    if entry.get("anchor") is None:
        for year, value in _mapping(entry.get("path")).items():
            yield from _judge_number(f"{key}.path.{year}", value, known, entry)


def _judge_operation(key: str, operation: str, known: Driver) -> Iterator[Wrong]:
    if operation in OPERATIONS and operation not in known.operations:
        hint = nearest(operation, known.operations) or ""
        allowed = f"for {known.name}: {', '.join(known.operations)}"
        yield Wrong(f"{key}.operation", repr(operation), allowed, hint)


def _judge_unit(key: str, entry: Plain, known: Driver) -> Iterator[Wrong]:
    unit, operation = entry.get("unit"), entry.get("operation")
    if not isinstance(unit, str) or operation not in (None, *OPERATIONS):
        return
    allowed = [known.unit, *known.units]
    if operation == "multiply":
        allowed = [RATIO]
    elif operation == "elasticity":
        other = DRIVERS.get(str(entry.get("of")))
        interval = other is not None and other.scale == "interval"
        allowed = [f"log per {other.unit}" if other is not None and interval else RATIO]
    elif operation == "path" and entry.get("anchor") is not None:
        allowed += known.bases
    if unit not in allowed:
        hint = nearest(unit, allowed) or ""
        more = f"; {', '.join(known.bases)} with an anchor" if known.bases else ""
        told = ", ".join(allowed) + (more if known.bases and known.bases[0] not in allowed else "")
        yield Wrong(f"{key}.unit", repr(unit), told, hint)


def _judge_given(key: str, entry: Plain, known: Driver, operation: object) -> Iterator[Wrong]:
    """Yield what is wrong with which of value, path, data, matrix and `of` are given."""
    wanted = ("path", "data") if operation == "path" else ("value", "matrix")
    there = [n for n in ("value", "path", "data", "matrix") if entry.get(n) is not None]
    if len(there) != 1 or there[0] not in wanted:
        yield Wrong(key, " and ".join(there) or "no value", f"one of {' and '.join(wanted)}")
    if (operation == "elasticity") != (entry.get("of") is not None):
        found = "no driver to respond to" if operation == "elasticity" else f"of: {entry['of']}"
        yield Wrong(f"{key}.of", found, "a driver, with operation: elasticity only")
    other = DRIVERS.get(str(entry.get("of")))
    if other is not None and other.of != known.of:
        yield Wrong(f"{key}.of", f"{other.name}, of a {other.of}", f"a driver of a {known.of}")


def _judge_number(key: str, value: object, known: Driver, entry: Plain) -> Iterator[Wrong]:
    """Yield a value out of the range of its driver, a word that is no state, a negative factor."""
    if isinstance(value, str):
        try:
            known.number(value)
        except ValueError:
            allowed = ", ".join(known.states) or "a number"
            yield Wrong(key, repr(value), allowed, nearest(value, known.states) or "")
        return
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if entry.get("operation") == "multiply":
        if value < 0:
            yield Wrong(key, f"{value:g}", "a factor, 0 or more")
        return
    unit = str(entry.get("unit", known.unit))
    own = value * known.factor(unit)
    if entry.get("operation") in OVERLAPPING and not known.low <= own <= known.high:
        per = known.factor(unit)
        yield Wrong(key, f"{value:g} {unit}", f"{known.low / per:g} to {known.high / per:g} {unit}")


def _judge_shock(key: str, entry: Plain, known: Driver) -> Iterator[Wrong]:
    operation, period = entry.get("operation"), entry.get("return_period")
    if (entry.get("value") is None) == (period is None):
        yield Wrong(key, "value and return_period" if period else "no value", "one of the two")
    if period is not None:
        yield from _judge_return(key, entry, known)
        return
    if operation is None:
        yield Wrong(f"{key}.operation", "nothing", "multiply or add, with a value")
    elif isinstance(operation, str):
        yield from _judge_operation(key, operation, known)
    yield from _judge_unit(key, entry, known)
    if operation == "multiply":
        yield from _judge_number(f"{key}.value", entry.get("value"), known, entry)


def _judge_return(key: str, entry: Plain, known: Driver) -> Iterator[Wrong]:
    if not known.has_return_level:
        allowed = ", ".join(name for name, one in DRIVERS.items() if one.has_return_level)
        yield Wrong(f"{key}.return_period", f"a return period of {known.name}", allowed)
    if entry.get("tail") is None:
        yield Wrong(f"{key}.tail", "nothing", "low or high: which end is bad")
    if entry.get("operation") is not None:
        yield Wrong(f"{key}.operation", str(entry["operation"]), "nothing with a return period")
    if entry.get("unit") not in (None, known.unit):
        yield Wrong(f"{key}.unit", repr(entry["unit"]), known.unit)


def judge_whole(spec: Scenario) -> Iterator[Wrong]:
    """Yield what is wrong between entries of a typed scenario: overlaps and circles."""
    for (a, first), (b, second) in combinations(spec.drivers.items(), 2):
        same = first.driver == second.driver and first.operation == second.operation
        if same and first.operation in OVERLAPPING and _meet(first, second, spec.codes):
            told = f"{first.operation} of {first.driver} for places and years that drivers.{a} has"
            yield Wrong(f"drivers.{b}", told, "other places, other years, or one of the two")
    chain = {c.driver: c.of for c in spec.drivers.values() if c.of is not None}
    for start in chain:
        if _returns(start, spec):
            allowed = "no circle of drivers that respond to one another"
            yield Wrong("drivers", f"{start} responds, in the end, to itself", allowed)
            break


def _returns(start: str, spec: Scenario) -> bool:
    """Return whether a driver responds to itself, by way of others or at once."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        here = ahead.pop()
        for change in spec.drivers.values():
            if change.driver == here and change.of is not None and change.of not in seen:
                seen.add(change.of)
                ahead.append(change.of)
    return start in seen


def _meet(first: Change, second: Change, codes: Literal["iso", "declared"]) -> bool:
    """Return whether two changes have a year and a place (or corridor) in common."""
    always = ((0, 10**6),)
    years = any(
        a <= d and c <= b for a, b in first.years or always for c, d in second.years or always
    )
    if not years:
        return False
    if DRIVERS[first.driver].of == "place":
        return _share(first.places, second.places, codes)
    one, other = (_pairs(change) for change in (first, second))
    return any(
        _share((o1,), (o2,), codes) and _share((d1,), (d2,), codes)
        for o1, d1 in one
        for o2, d2 in other
    )


def _pairs(change: Change) -> list[tuple[str, str]]:
    if change.matrix is None:
        return [(o, d) for o, _, d in (token.partition("/") for token in change.corridors)]
    cells = read_matrix(change.matrix) if isinstance(change.matrix, str) else change.matrix
    return [(origin, destination) for origin, inner in cells.items() for destination in inner]


def _share(
    first: tuple[str, ...], second: tuple[str, ...], codes: Literal["iso", "declared"]
) -> bool:
    if EVERYWHERE in (*first, *second):
        return True
    known = make_codes("alpha3" if codes == "iso" else None)
    one, other = (frozenset[str]().union(*map(known, tokens)) for tokens in (first, second))
    return not one.isdisjoint(other)
