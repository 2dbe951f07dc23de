"""Arrays with named dims: aligned by label, checked cell by cell, faults told by label."""

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.errors import Faults, nearest

__all__ = [
    "align",
    "as_dims",
    "cell_name",
    "check_values",
    "expand",
    "refuse_dims",
    "same_labels",
    "spread",
]

MAX_TOLD = 5
"""Cells or labels that one message names."""


def as_dims(key: str | Iterable[str]) -> tuple[str, ...]:
    """Return one dim or several as a tuple.

    Examples
    --------
    >>> as_dims("origin"), as_dims(["origin", "birthplace"])
    (('origin',), ('origin', 'birthplace'))
    """
    return (key,) if isinstance(key, str) else tuple(key)


def refuse_dims(
    faults: Faults, name: str, array: xr.DataArray, needed: Sequence[str], also: Sequence[str] = ()
) -> bool:
    """Record whether dims are missing or unknown; return whether they are as they should be."""
    found = [str(dim) for dim in array.dims]
    missing = [dim for dim in needed if dim not in found]
    unknown = [dim for dim in found if dim not in needed and dim not in also]
    if not missing and not unknown:
        return True
    allowed = ", ".join(needed) or "no dims"
    if also:
        allowed += f", and if need be {', '.join(also)}"
    hint = nearest(unknown[0], missing) if unknown and missing else None
    faults.add(f"dims ({', '.join(found)})", f"dims {allowed}", where=name, hint=hint)
    return False


def align(faults: Faults, name: str, array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Return `array` with the order of labels that `like` has, on the dims that they share.

    Without labels on one side positions count, and sizes must agree. What does not fit is recorded
    as a fault, and the array comes back as it was.
    """
    order = {}
    for dim in (str(d) for d in array.dims if d in like.dims):
        wanted, given = like.indexes.get(dim), array.indexes.get(dim)
        if wanted is None or given is None:
            if array.sizes[dim] != like.sizes[dim]:
                found = f"{array.sizes[dim]} along {dim}"
                faults.add(found, f"{like.sizes[dim]}", where=name)
            continue
        for index in (given, wanted):
            if index.has_duplicates:
                told = _told(index[index.duplicated()].unique())
                faults.add(f"{dim} {told} twice", "each label once", where=name)
                return array
        missing, unknown = wanted.difference(given), given.difference(wanted)
        if len(missing):
            faults.add(f"no {dim} {_told(missing)}", "a value for every label", where=name)
        if len(unknown):
            hint = nearest(str(unknown[0]), [str(label) for label in missing])
            allowed = f"the labels of the table: {_told(wanted)}"
            faults.add(f"{dim} {_told(unknown)}", allowed, where=name, hint=hint)
        if not len(missing) and not len(unknown) and not given.equals(wanted):
            order[dim] = wanted
    return array if len(faults) else array.reindex(order)


def same_labels(faults: Faults, name: str, table: xr.DataArray, dims: Sequence[str]) -> None:
    """Record a fault unless two dims have the same labels in the same order."""
    first, second = (table.indexes.get(dim) for dim in dims)
    if table.sizes[dims[0]] != table.sizes[dims[1]]:
        sizes = " and ".join(f"{table.sizes[dim]} {dim}s" for dim in dims)
        faults.add(sizes, f"as many {dims[0]}s as {dims[1]}s", where=name)
    elif first is not None and second is not None and list(first) != list(second):
        odd = [f"{a} and {b}" for a, b in zip(first, second, strict=True) if a != b]
        allowed = f"the same places in the same order as {dims[0]} and as {dims[1]}"
        faults.add(f"different labels: {_told(odd)}", allowed, where=name)


def check_values(
    faults: Faults,
    name: str,
    array: xr.DataArray,
    *,
    minimum: float = 0.0,
    above: bool = False,
    maximum: float = np.inf,
    what: str = "persons, 0 or more",
) -> None:
    """Record cells that are not finite, below `minimum` (or equal to it, if `above`), too large."""
    values = np.asarray(array.to_numpy(), dtype=np.float64)
    bad = ~np.isfinite(values) | (values > maximum)
    bad |= (values <= minimum) if above else (values < minimum)
    where = np.argwhere(bad)
    if len(where):
        cells = [f"{float(values[tuple(at)]):g} at {cell_name(array, at)}" for at in where]
        faults.add(_told(cells), what, where=name)


def cell_name(array: xr.DataArray, at: Sequence[int] | NDArray[np.intp]) -> str:
    """Return the name of a cell by dim and label.

    Examples
    --------
    >>> cell_name(xr.DataArray([5.0], {"origin": ["A"]}, "origin"), [0])
    'origin A'
    """
    names = []
    for dim, i in zip(array.dims, at, strict=True):
        index = array.indexes.get(dim)
        names.append(f"{dim} {index[int(i)] if index is not None else int(i)}")
    return ", ".join(names) or "the only cell"


def spread(
    faults: Faults,
    table: xr.DataArray,
    each: Sequence[str],
    others: Iterable[xr.DataArray | None],
) -> xr.DataArray:
    """Return a table on all dims of separate tables, first, with the labels of who has them."""
    full, listed = table.astype(np.float64), list(others)
    for dim in (d for d in each if d not in table.dims):
        owner = next((o for o in listed if o is not None and dim in o.dims), None)
        if owner is None:
            faults.add(f"no table with dim {dim}", "dims of the tables given", where="each")
            return full
        labels = owner.indexes.get(dim)
        full = full.expand_dims({dim: owner.sizes[dim] if labels is None else labels})
    return full.transpose(*each, ...)


def expand(array: xr.DataArray, sizes: Mapping[Hashable, int]) -> xr.DataArray:
    """Return the array spread over dims it lacks, in the order of `sizes`."""
    lacking = {dim: n for dim, n in sizes.items() if dim not in array.dims}
    return array.expand_dims(lacking).transpose(*sizes)


def _told(labels: Iterable[object]) -> str:
    told = [str(label) for label in labels]
    more = f" and {len(told) - MAX_TOLD} more" if len(told) > MAX_TOLD else ""
    return ", ".join(told[:MAX_TOLD]) + more
