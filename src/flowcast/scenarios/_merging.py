"""Laying scenario files over one another, key by key, with a log of what was replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flowcast.errors import Fault
from flowcast.scenarios.spec import plain

__all__ = ["Flat", "Merged", "Override", "merge", "nested"]

type Key = tuple[str, ...]
type Flat = Mapping[Key, Any]
"""Values by key, such as ``("drivers", "population", "unit")``; of an entry, None removes it."""

NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Override:
    """One key that a file replaced.

    Attributes
    ----------
    key
        Such as ``drivers.population.value``.
    old, new
        What stood there, and what stands there now; None is nothing.
    old_file, new_file
        Which files said so.
    """

    key: str
    old: Any
    new: Any
    old_file: str
    new_file: str

    def __str__(self) -> str:
        old, new = (NOTHING if v is None else str(plain(v)) for v in (self.old, self.new))
        return f"{self.key}: {old} -> {new} ({self.new_file} over {self.old_file})"


@dataclass(slots=True)
class Merged:
    """Files laid over one another.

    Attributes
    ----------
    label
        What messages call the last of them.
    values
        The value of each key.
    origin
        The file that set it.
    log
        What was replaced.
    ancestors
        Files below each file.
    faults
        Keys on which files disagree.
    """

    label: str
    values: dict[Key, Any] = field(default_factory=dict)
    origin: dict[Key, str] = field(default_factory=dict)
    log: list[Override] = field(default_factory=list)
    ancestors: dict[str, frozenset[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def file_of(self, dotted: str, otherwise: str) -> str:
        """Return the file that set a key, or the most of it that is set, or an entry's first."""
        key = tuple(dotted.split(" ")[0].split("."))
        for n in range(len(key), 0, -1):
            if key[:n] in self.origin:
                return self.origin[key[:n]]
        inside = (name for known, name in self.origin.items() if known[:2] == key[:2])
        return next(inside, otherwise) if len(key) > 1 else otherwise


def merge(label: str, fields: Flat, parents: Sequence[Merged]) -> Merged:
    """Lay a file's fields over those of the files it extends.

    Parameters
    ----------
    label
        What messages call the file.
    fields
        What it says itself.
    parents
        The files it extends, merged; where they set one key to different things and the file does
        not decide, that is a fault.
    """
    out = Merged(label)
    listed = frozenset(parent.label for parent in parents)
    open_: dict[Key, list[tuple[str, Any]]] = {}
    for parent in parents:
        out.log += [line for line in parent.log if line not in out.log]
        out.faults += [fault for fault in parent.faults if fault not in out.faults]
        out.ancestors |= parent.ancestors
    for parent in parents:
        for key, value in parent.values.items():
            _take(out, open_, key, (parent.origin[key], value), listed)
    _sweep_removed(out, open_)
    _lay(out, open_, fields, label)
    for key, found in open_.items():
        out.faults.append(_conflict(key, found, label, single=not fields and len(parents) > 1))
    below = frozenset(out.ancestors).union(*out.ancestors.values())
    out.ancestors[label] = below - {label}
    return out


def _take(
    out: Merged,
    open_: dict[Key, list[tuple[str, Any]]],
    key: Key,
    found: tuple[str, Any],
    listed: frozenset[str],
) -> None:
    """Take a key over from a parent: of two files, the one that builds on the other decides.

    Not so where the other is extended by name, too: then both are meant to hold.
    """
    name, value = found
    if key not in out.values:
        out.values[key], out.origin[key] = value, name
        return
    old, known = out.values[key], out.origin[key]
    if _same(old, value):
        return
    if name in out.ancestors.get(known, ()) and name not in listed:
        return
    if known in out.ancestors.get(name, ()) and known not in listed:
        out.values[key], out.origin[key] = value, name
        return
    open_.setdefault(key, [(known, old)]).append((name, value))


def _sweep_removed(out: Merged, open_: dict[Key, list[tuple[str, Any]]]) -> None:
    """Take out what a parent removed of entries it knew of; fields of others are disputed."""
    for key in [k for k, v in out.values.items() if v is None and len(k) == 2]:
        remover = out.origin[key]
        inside = [k for k in out.values if len(k) > 2 and k[:2] == key]
        for one in inside:
            if out.origin[one] in out.ancestors.get(remover, ()):
                del out.values[one], out.origin[one]
        left = [one for one in inside if one in out.values]
        if left:
            open_[key] = [
                (remover, None),
                *((out.origin[one], out.values[one]) for one in left[:1]),
            ]
            del out.values[key], out.origin[key]


def _lay(out: Merged, open_: dict[Key, list[tuple[str, Any]]], fields: Flat, label: str) -> None:
    """Lay a file's own fields over the rest, and log what they replace."""
    for key, value in fields.items():
        for name, old in open_.pop(key, []) or _known(out, key):
            if not _same(old, value):
                out.log.append(Override(".".join(key), old, value, name, label))
        if value is None and len(key) == 2:
            _remove(out, open_, key, label)
        elif len(key) == 3:
            # An entry that a parent removed begins anew.
            out.values.pop(key[:2], None)
            out.origin.pop(key[:2], None)
            open_.pop(key[:2], None)
        out.values[key], out.origin[key] = value, label


def _known(out: Merged, key: Key) -> list[tuple[str, Any]]:
    return [(out.origin[key], out.values[key])] if key in out.values else []


def _remove(out: Merged, open_: dict[Key, list[tuple[str, Any]]], entry: Key, label: str) -> None:
    inside = [key for key in out.values if len(key) > 2 and key[:2] == entry]
    for key in inside:
        old, name = out.values.pop(key), out.origin.pop(key)
        open_.pop(key, None)
        out.log.append(Override(".".join(key), old, None, name, label))


def _conflict(key: Key, found: list[tuple[str, Any]], label: str, *, single: bool) -> Fault:
    told = "; ".join(
        f"{NOTHING if value is None else repr(plain(value))} in {name}" for name, value in found
    )
    allowed = "one value" if single else f"one value, or the key set in {label}, which then decides"
    return Fault(label, told, allowed, column=".".join(key))


def nested(values: Flat) -> dict[str, Any]:
    """Return values by key as plain nested data, without removed entries.

    Examples
    --------
    >>> nested({("codes",): "iso", ("drivers", "rain", "value"): 2, ("drivers", "heat"): None})
    {'codes': 'iso', 'drivers': {'rain': {'value': 2}}}
    """
    out: dict[str, Any] = {}
    # What is no mapping where one should be stays, for the types to refuse it.
    for key in sorted(values, key=len):
        target: Any = out
        for step in key[:-1]:
            target = target.setdefault(step, {}) if isinstance(target, dict) else None
        if isinstance(target, dict) and (len(key) != 2 or values[key] is not None):
            value = values[key]
            target[key[-1]] = dict(value) if isinstance(value, dict) else value
    return out


def _same(first: object, second: object) -> bool:
    """Return whether two values mean the same: 1 is 1.0, but not true."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)
