"""Scenario files: found by name or path, resolved bottom up, every override told, all judged.

What counts, lowest first: the scenarios that a file extends, in any order (they may not disagree),
then the file itself. A field of an entry is replaced as a whole; an entry set to nothing is taken
out. Whatever a file replaces is logged, old and new.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from flowcast._yaml import load_yaml
from flowcast.config import validation_faults
from flowcast.errors import Fault, InputError, nearest
from flowcast.resources import embedded_files, embedded_path
from flowcast.scenarios._judging import Wrong, judge_plain, judge_whole
from flowcast.scenarios._merging import Flat, Merged, Override, merge, nested
from flowcast.scenarios.spec import Scenario, plain

__all__ = [
    "Override",
    "ResolvedScenario",
    "combine_scenarios",
    "dump_scenario",
    "overlay_scenario",
    "read_scenario",
    "read_scenarios",
    "scenario_names",
]

FOLDER: Final = "scenarios"
SUFFIXES: Final = (".yaml", ".yml")
SECTIONS: Final = ("data", "drivers", "shocks")
OWN: Final = ("name", "title", "narrative", "extends")
"""What a file says of itself, and does not take from those it extends."""
PATHS: Final = (("data", "file"), ("drivers", "matrix"))
"""Fields that name a file, relative to the scenario's."""


@dataclass(frozen=True, slots=True)
class ResolvedScenario:
    """A scenario with all it takes from others, and where each key comes from.

    Attributes
    ----------
    spec
        The scenario, as if one file said it all.
    files
        The files it rests on, the lowest first.
    origins
        Key, such as ``drivers.population.data``, to the file that set it.
    overrides
        What was replaced by what, in the order in which it happened.
    """

    spec: Scenario
    files: tuple[str, ...]
    origins: Mapping[str, str]
    overrides: tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """One file: what messages call it, what it says itself, and what it extends."""

    label: str
    own: Mapping[str, Any]
    fields: Flat
    parents: "tuple[_Source, ...]"

    def below(self) -> "Iterator[_Source]":
        """Yield the files it rests on, the lowest first, and itself last."""
        seen: set[str] = set()
        for parent in self.parents:
            for source in parent.below():
                if source.label not in seen:
                    seen.add(source.label)
                    yield source
        yield self


def scenario_names() -> list[str]:
    """Return the names of the scenarios that come with flowcast.

    Examples
    --------
    >>> "ssp2" in scenario_names()
    True
    """
    return [path.stem for path in embedded_files(FOLDER, SUFFIXES[0])]


def read_scenario(path: str | Path) -> ResolvedScenario:
    """Read a scenario with all it extends.

    Parameters
    ----------
    path
        A YAML file, or the name of a scenario that comes with flowcast.

    Raises
    ------
    InputError
        With every fault of the file and of all files below it.

    Examples
    --------
    >>> read_scenario("ssp2_45").spec.drivers["temperature"].unit
    '°C'
    """
    return read_scenarios([path])[0]


def read_scenarios(paths: Iterable[str | Path]) -> list[ResolvedScenario]:
    """Read several scenarios, each for itself.

    Raises
    ------
    InputError
        With every fault of every file, before anything is done with any of them; or if two have one
        name.
    """
    sources, faults = _load_all(paths)
    resolved = []
    for source in sources:
        found = _resolve(source)
        faults += found if isinstance(found, list) else []
        resolved += [found] if isinstance(found, ResolvedScenario) else []
    names: dict[str, str] = {}
    for source in sources:
        name = str(source.own.get("name"))
        first = names.setdefault(name, source.label)
        if first != source.label:
            found_name = f"{name!r}, the name of {first} too"
            faults.append(Fault(source.label, found_name, "a name of its own", column="name"))
    if faults:
        raise InputError(dict.fromkeys(faults))
    return resolved


def combine_scenarios(paths: Sequence[str | Path]) -> ResolvedScenario:
    """Read several files as one scenario.

    Parameters
    ----------
    paths
        As for `read_scenario`; their names are joined by ``+``.

    Raises
    ------
    InputError
        With every fault of every file, and wherever two files set one key to different things.

    Examples
    --------
    >>> both = combine_scenarios(["ssp2", "conflict_shock"])
    >>> both.spec.name, sorted(both.spec.shocks)
    ('ssp2+conflict_shock', ['conflict'])
    """
    sources, faults = _load_all(paths)
    if faults:
        raise InputError(dict.fromkeys(faults))
    told = [{key: str(source.own.get(key, "")) for key in OWN} for source in sources]
    own = {
        "name": "+".join(one["name"] for one in told),
        "title": "; ".join(filter(None, (one["title"] for one in told))),
        "narrative": "\n\n".join(filter(None, (one["narrative"].strip() for one in told))),
    }
    label = " and ".join(source.label for source in sources)
    found = _resolve(_Source(label, own, {}, tuple(sources)))
    if isinstance(found, list):
        raise InputError(found)
    return replace(found, files=tuple(name for name in found.files if name != label))


def overlay_scenario(
    base: str | Path | ResolvedScenario, over: str | Path | Mapping[str, Any]
) -> ResolvedScenario:
    """Lay a file, or plain data, over a scenario, as if it extended that one.

    Parameters
    ----------
    base
        As for `read_scenario`, or as it returns it.
    over
        A file, or what one would hold. What it does not say stays as it is, the name too.

    Raises
    ------
    InputError
        With every fault of both.

    Examples
    --------
    >>> wider = {"drivers": {"policy_openness": {"value": {"uniform": [0.5, 4]}}}}
    >>> overlay_scenario("open_borders", wider).spec.drivers["policy_openness"].value
    uniform(low=0.5, high=4)
    """
    faults: list[Fault] = []
    found = [_as_source(one, faults) for one in (base, over)]
    below, above = found
    if below is None or above is None or faults:
        raise InputError(dict.fromkeys(faults))
    own = {**below.own, **above.own}
    whole = _resolve(replace(above, own=own, parents=(*above.parents, below)))
    if isinstance(whole, list):
        raise InputError(whole)
    return whole


def dump_scenario(scenario: ResolvedScenario) -> str:
    """Return a scenario as one YAML file that says it all, with the log of overrides below."""
    body = {k: v for k, v in plain(scenario.spec).items() if k != "extends"}
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)
    lines = [f"# from {name}" for name in scenario.files]
    lines += [f"# {override}" for override in scenario.overrides]
    return text + "".join(f"{line}\n" for line in lines)


# Loading


def _load_all(paths: Iterable[str | Path]) -> tuple[list[_Source], list[Fault]]:
    """Return the files and what is wrong with reading them or those below."""
    faults: list[Fault] = []
    known: dict[Path, _Source | None] = {}
    found = [_load(_find(path, None, faults), (), known, faults) for path in paths]
    return [source for source in found if source is not None], faults


def _as_source(
    one: str | Path | ResolvedScenario | Mapping[str, Any], faults: list[Fault]
) -> _Source | None:
    """Return a file, a scenario or plain data as a source."""
    if isinstance(one, str | Path):
        return _load(_find(one, None, faults), (), {}, faults)
    raw = plain(one.spec) if isinstance(one, ResolvedScenario) else one
    own = {key: raw[key] for key in OWN if key in raw}
    label = one.spec.name if isinstance(one, ResolvedScenario) else "what is laid over it"
    return _Source(label, own, _flat(raw, Path()), ())


def _find(path: str | Path, beside: Path | None, faults: list[Fault]) -> Path | None:
    """Return the file that a name or path means; `beside` is the file that says it."""
    text = os.fspath(path)
    here = Path() if beside is None else beside.parent
    for candidate in (here / text, *(here / f"{text}{suffix}" for suffix in SUFFIXES)):
        if candidate.is_file():
            return candidate
    names = scenario_names()
    if text in names:
        return embedded_path(FOLDER, f"{text}{SUFFIXES[0]}")
    near = [p.stem for s in SUFFIXES for p in here.glob(f"*{s}")] if beside is not None else []
    where = text if beside is None else _label(beside)
    faults.append(
        Fault(
            where,
            "no such scenario file" if beside is None else f"no scenario {text!r}",
            "a YAML file, or one of: " + ", ".join(names),
            column=None if beside is None else "extends",
            hint=nearest(Path(text).stem, [*names, *near]) or "",
        )
    )
    return None


def _label(path: Path) -> str:
    """Return what messages call a file."""
    embedded = embedded_files(FOLDER, SUFFIXES[0])
    return f"{FOLDER}/{path.name}" if path in embedded else str(path)


def _load(
    path: Path | None,
    above: tuple[Path, ...],
    known: dict[Path, _Source | None],
    faults: list[Fault],
) -> _Source | None:
    if path is None:
        return None
    whole = path.resolve()
    if whole in above:
        names = " -> ".join(p.stem for p in (*above[above.index(whole) :], whole))
        allowed = "no circle of scenarios that extend one another"
        faults.append(Fault(_label(path), names, allowed, column="extends"))
        return None
    if whole in known:
        return known[whole]
    try:
        raw = load_yaml(path)
    except InputError as error:
        faults += error.faults
        known[whole] = None
        return None
    named = raw.get("extends") or []
    listed = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    below = [_load(_find(str(one), path, faults), (*above, whole), known, faults) for one in listed]
    own: dict[str, Any] = {key: raw[key] for key in OWN if key in raw}
    parents = tuple(parent for parent in below if parent is not None)
    known[whole] = _Source(_label(path), own, _flat(raw, path), parents)
    return known[whole]


def _flat(raw: Mapping[str, Any], path: Path) -> Flat:
    """Return a file's fields by key, as far as it is laid out as a scenario is."""
    fields: dict[tuple[str, ...], Any] = {}
    for section, entries in raw.items():
        if section in OWN:
            continue
        if section not in SECTIONS or not isinstance(entries, Mapping):
            if entries is not None or section not in SECTIONS:
                fields[str(section),] = entries
            continue
        for name, entry in entries.items():
            if not isinstance(entry, Mapping):
                fields[section, str(name)] = entry
                continue
            for field, value in entry.items():
                fields[section, str(name), str(field)] = _absolute(section, field, value, path)
    return fields


def _absolute(section: str, field: object, value: object, path: Path) -> object:
    if (section, field) in PATHS and isinstance(value, str):
        return str(path.parent / value)
    return value


# Resolving


def _resolve(source: _Source) -> ResolvedScenario | list[Fault]:
    """Return a file with all below it as a scenario, or everything that is wrong with them."""
    faults: list[Fault] = []
    for one in source.below():
        merged = _merged(one)
        faults += merged.faults
        spec = _judge(one, merged, faults)
    if faults or spec is None:
        return list(dict.fromkeys(faults))
    files = tuple(one.label for one in source.below() if one.fields or one.own.get("narrative"))
    origins = {".".join(key): name for key, name in merged.origin.items()}
    return ResolvedScenario(spec, files, origins, tuple(merged.log))


def _merged(source: _Source) -> Merged:
    parents = [_merged(parent) for parent in source.parents]
    return merge(source.label, source.fields, parents)


def _judge(source: _Source, merged: Merged, faults: list[Fault]) -> Scenario | None:
    """Return the typed scenario, or None where there is something wrong with it."""
    raw = {**source.own, **nested(merged.values)}
    for key, entry in _entries(raw):
        if isinstance(entry, dict) and key[0] != "data":
            entry.setdefault("driver", key[1])
    wrong = list(judge_plain(raw))
    found = [_place(one, source, merged) for one in wrong]
    try:
        spec = Scenario.model_validate(raw)
    except ValidationError as error:
        typed = validation_faults(error, source.label, Scenario)
        # One key, one fault: the types say more of a key that has one already than its neighbours.
        found = [_moved(fault, source, merged) for fault in typed] + found
        spec = None
    if spec is not None and not found:
        found = [_place(one, source, merged) for one in judge_whole(spec)]
    faults += found
    return None if found else spec


def _entries(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for section in SECTIONS:
        entries = raw.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            yield (section, name), entry


def _place(wrong: Wrong, source: _Source, merged: Merged) -> Fault:
    where = merged.file_of(wrong.key, source.label)
    return Fault(where, wrong.found, wrong.allowed, column=wrong.key, hint=wrong.hint)


def _moved(fault: Fault, source: _Source, merged: Merged) -> Fault:
    """Return a fault of a type under the name of the file that set the key."""
    where = merged.file_of(fault.column or "", source.label)
    hint = fault.hint
    if not hint and (fault.column or "").endswith(".driver"):
        hint = nearest(fault.found.strip("'"), fault.allowed.split(", ")) or ""
    return Fault(where, fault.found, fault.allowed, fault.row, fault.column, hint)
