"""Values by place and year from the files that a scenario names: the publisher's, or one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flowcast.errors import Fault, InputError, nearest
from flowcast.scenarios.spec import DataFile, Scenario

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Future", "find_file", "needed_files", "read_future"]


@dataclass(frozen=True, slots=True)
class Future:
    """Values of one column by place and year.

    Attributes
    ----------
    table
        Columns `place`, `year`, `value`, and `low` and `high` where the file has bounds. The place
        may be a grouping: the value then holds for each of its members.
    unit
        Their unit.
    prob
        Probability between the bounds.
    path
        The file.
    """

    table: "pd.DataFrame"
    unit: str
    prob: float
    path: Path


def find_file(spec: Scenario, key: str) -> Path:
    """Return the file of an entry of `data`.

    Raises
    ------
    InputError
        If it is not there: which file to put where, and where to get it.
    """
    from flowcast.sources import cache_folder, find_cached, load_registry
    from flowcast.sources.cache import cached_path

    entry = spec.data[key]
    where = f"{spec.name}, data.{key}"
    if entry.file is not None:
        path = Path(entry.file)
        if not path.is_file():
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = nearest(path.name, beside) or ""
            raise InputError([Fault(where, f"no file {path}", "a file that is there", hint=hint)])
        return path
    assert entry.source is not None  # checked when the scenario was read
    source = load_registry().entry(entry.source)
    found = find_cached(source, cache_folder())
    if found is not None:
        return found.path
    place = cached_path(source, cache_folder())
    get = f"flowcast sources fetch {source.id}" if source.url else f"get it from {source.page}"
    allowed = (
        f"{source.title}, by {source.publisher}, at {place} ({get}), "
        f"or its path under data.{key}.file"
    )
    if source.note:
        allowed += f". {source.note}"
    raise InputError([Fault(where, "no file", allowed)])


def needed_files(spec: Scenario) -> list[str]:
    """Return the files a scenario reads: ids of sources, or paths of files of one's own."""
    used = {change.data for change in spec.drivers.values() if change.data is not None}
    divisors = {other for key in used if (other := spec.data[key].per) is not None}
    entries = [spec.data[key] for key in sorted(used | divisors)]
    return list(dict.fromkeys(entry.file or entry.source or "" for entry in entries))


def read_future(spec: Scenario, key: str) -> Future:
    """Read an entry of `data`, divided by another one where it says so.

    Raises
    ------
    InputError
        If the file is not there or has faults, or lacks the scenario, the model or the column.
    """
    entry = spec.data[key]
    future = _read(spec, key)
    if entry.per is None:
        return future
    other = _read(spec, entry.per)
    both = future.table.merge(other.table[["place", "year", "value"]], on=["place", "year"])
    table = both[["place", "year"]].assign(value=both["value_x"] / both["value_y"])
    for name in (n for n in ("low", "high") if n in both):
        table[name] = both[name] / both["value_y"]
    unit = f"{future.unit} per {other.unit.removesuffix('s')}"
    return Future(table, unit, future.prob, future.path)


def _read(spec: Scenario, key: str) -> Future:
    entry, path = spec.data[key], find_file(spec, key)
    where = f"{spec.name}, data.{key}"
    frame = _own_table(path) if entry.source is None else _published(entry, path, where)
    units: dict[str, str] = frame.attrs["units"]
    column = entry.column or (next(iter(units)) if len(units) == 1 else None)
    if column is None and entry.low is None:
        raise InputError(
            [Fault(where, f"several columns: {', '.join(units)}", "one, under column")]
        )
    named = {"value": column or "value", "low": entry.low, "high": entry.high}
    for name in (n for n in named.values() if n is not None and n not in units):
        hint = nearest(name, units) or ""
        raise InputError([Fault(where, f"no column {name!r}", ", ".join(units), hint=hint)])
    kept = {new: frame[old] for new, old in named.items() if old is not None}
    table = frame[["place", "year"]].assign(**kept).dropna(subset=["value"])
    return Future(table, units[str(named["value"])], entry.prob, path)


def _published(entry: DataFile, path: Path, where: str) -> "pd.DataFrame":
    """Read a publisher's file by the reader of its source."""
    import inspect

    from flowcast.sources import load_registry
    from flowcast.sources.readers import READERS, read_source

    assert entry.source is not None
    reader = load_registry().entry(entry.source).reader
    taken = inspect.signature(READERS[reader].load()).parameters
    given = {"scenario": entry.scenario, "model": entry.model}
    options = {name: value for name, value in given.items() if value is not None}
    for name in (n for n in options if n not in taken):
        raise InputError([Fault(where, f"{name}: {options[name]}", f"nothing: {reader} has none")])
    missing = [
        name
        for name, one in taken.items()
        if name in given and one.default is inspect.Parameter.empty and name not in options
    ]
    if missing:
        raise InputError([Fault(where, f"no {missing[0]}", f"one of the file's {missing[0]}s")])
    return read_source(reader, path, **options)


def _own_table(path: Path) -> "pd.DataFrame":
    """Read a table of one's own: `place`, `year` and covariates, with a dictionary beside it."""
    from flowcast.covariates import read_covariates

    data = read_covariates(path, declared_places="any")
    if "year" not in data.dims:
        raise InputError([Fault(str(path), "no column year", "place, year and values", row=1)])
    frame = data.to_dataframe().reset_index()
    frame.attrs["units"] = {str(n): str(v.attrs["units"]) for n, v in data.data_vars.items()}
    return frame
