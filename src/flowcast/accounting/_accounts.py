"""Labelled stocks and vital events as arrays in one order of places, and back."""

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from flowcast.accounting._kernels import Refused
from flowcast.accounting._margins import FloatArray
from flowcast.errors import Fault, Faults, InputError, UsageError, did_you_mean, nearest
from flowcast.vocabulary import PERSONS

__all__ = [
    "BIRTHPLACE",
    "DESTINATION",
    "ORIGIN",
    "PLACE",
    "RESIDENCE",
    "Accounts",
    "align",
    "align_seed",
    "flow_array",
    "over_draws",
]

BIRTHPLACE: Final = "birthplace"
RESIDENCE: Final = "residence"
PLACE: Final = "place"
ORIGIN: Final = "origin"
DESTINATION: Final = "destination"
STOCK_DIMS: Final = (BIRTHPLACE, RESIDENCE)

type Index = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Stocks at two dates and the vital events between them, in one order of places.

    Attributes
    ----------
    places
        Labels, in the order of `start`'s birthplaces.
    dims, coords
        Further dims, such as draw, and their coordinates.
    start, end
        Persons, shape (*dims, birthplace, residence).
    births, deaths
        Persons, shape (*dims, place); zeros where none were given.
    """

    places: tuple[Hashable, ...]
    dims: tuple[Hashable, ...]
    coords: Mapping[Hashable, xr.DataArray]
    start: FloatArray
    end: FloatArray
    births: FloatArray
    deaths: FloatArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the further dims."""
        return self.start.shape[:-2]


def align(
    start: xr.DataArray,
    end: xr.DataArray,
    births: xr.DataArray | None = None,
    deaths: xr.DataArray | None = None,
) -> Accounts:
    """Bring stocks and vital events to the same places and the same further dims.

    Raises
    ------
    InputError
        With every number that is none, or negative, and every place that another array lacks.
    UsageError
        If dims or labels are missing, or only one of births and deaths is given.
    """
    if (births is None) != (deaths is None):
        raise UsageError("(births, deaths) | found one of them; allowed: both, or neither")
    arrays: dict[str, tuple[xr.DataArray, tuple[str, ...]]] = {
        "stocks at the start": (start, STOCK_DIMS),
        "stocks at the end": (end, STOCK_DIMS),
    }
    if births is not None and deaths is not None:
        arrays |= {"births": (births, (PLACE,)), "deaths": (deaths, (PLACE,))}
    for what, (array, dims) in arrays.items():
        _require_labels(what, array, dims)
    places = tuple(start[BIRTHPLACE].to_numpy().tolist())
    faults = Faults("accounts")
    for what, (array, dims) in arrays.items():
        _check_places(what, array, dims, places, faults)
        _check_values(what, array, dims, faults)
    faults.raise_if_any()
    ordered = [_in_order(array, dims, places) for array, dims in arrays.values()]
    further, coords, values = _broadcast(ordered, [dims for _, dims in arrays.values()])
    nobody = np.broadcast_to(0.0, values[0].shape[:-1])
    vital = values[2:] or [nobody, nobody]
    return Accounts(places, further, coords, values[0], values[1], vital[0], vital[1])


def align_seed(seed: xr.DataArray, accounts: Accounts, *, diagonal: bool) -> FloatArray:
    """Return a seed in the accounts' order of places.

    Parameters
    ----------
    seed
        Dims (origin, destination), and birthplace if it differs by it.
    accounts
        Their places.
    diagonal
        Whether the values of staying are used; otherwise they may be missing, and become 0.

    Returns
    -------
    ndarray, shape (origin, destination) or (birthplace, origin, destination)

    Raises
    ------
    InputError, UsageError
        As in `align`.
    """
    dims: tuple[str, ...] = (ORIGIN, DESTINATION)
    if BIRTHPLACE in seed.dims:
        dims = (BIRTHPLACE, *dims)
    _require_labels("seed", seed, dims)
    if set(seed.dims) != set(dims):
        found = ", ".join(map(str, seed.dims))
        raise UsageError(f"(seed) | found dims {found}; allowed: birthplace, origin, destination")
    faults = Faults("accounts")
    _check_places("seed", seed, dims, accounts.places, faults)
    faults.raise_if_any()
    seed = seed.sel(_labels(dims, accounts.places)).transpose(*dims)
    if not diagonal:
        same = np.eye(len(accounts.places), dtype=bool)
        seed = seed.copy(data=np.where(same, 0.0, seed.to_numpy()))
    _check_values("seed", seed, dims, faults)
    faults.raise_if_any()
    return np.ascontiguousarray(seed.to_numpy(), dtype=np.float64)


def _in_order(array: xr.DataArray, dims: Iterable[str], places: Sequence[Hashable]) -> xr.DataArray:
    """Return the array with these labels; one that has them already is not copied."""
    other = [dim for dim in dims if array[dim].to_numpy().tolist() != list(places)]
    return array.sel(_labels(other, places)) if other else array


def _labels(dims: Iterable[str], places: Iterable[Hashable]) -> dict[str, list[Hashable]]:
    return {dim: list(places) for dim in dims}


def _require_labels(what: str, array: xr.DataArray, dims: Sequence[str]) -> None:
    if not isinstance(array, xr.DataArray):
        raise UsageError(f"({what}) | found {type(array).__name__}; allowed: an xarray.DataArray")
    for dim in dims:
        if dim not in array.dims:
            also = did_you_mean(dim, map(str, array.dims))
            found = ", ".join(map(str, array.dims)) or "none"
            raise UsageError(
                f"({what}) | found dims {found}; allowed: {', '.join(dims)}, and draws{also}"
            )
        if dim not in array.coords:
            raise UsageError(f"({what}) | found {dim} without labels; allowed: a code for each")
        if not array.indexes[dim].is_unique:
            twice = array.indexes[dim][array.indexes[dim].duplicated()][0]
            raise UsageError(f"({what}) | found {dim} {twice!r} twice; allowed: each once")


def _check_places(
    what: str,
    array: xr.DataArray,
    dims: Iterable[str],
    places: Sequence[Hashable],
    faults: Faults,
) -> None:
    for dim in dims:
        labels = array[dim].to_numpy().tolist()
        there, wanted = set(labels), set(places)
        for place in places:
            if place not in there:
                hint = nearest(str(place), [str(p) for p in labels if p not in wanted])
                faults.add(
                    f"no {place}",
                    "every birthplace of the start",
                    where=what,
                    column=dim,
                    hint=hint,
                )
        for place in labels:
            if place not in wanted:
                faults.add(
                    f"{place}, no birthplace of the start",
                    "the same places",
                    where=what,
                    column=dim,
                )


def _check_values(what: str, array: xr.DataArray, dims: Sequence[str], faults: Faults) -> None:
    values = array.transpose(..., *dims).to_numpy()
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0.0) & (values < np.inf))
    if not wrong.any():
        return
    order = [*(d for d in array.dims if d not in dims), *dims]
    labels = {
        d: array[d].to_numpy() if d in array.coords else np.arange(array.sizes[d]) for d in order
    }
    for index in zip(*np.nonzero(wrong), strict=True):
        cell = ", ".join(f"{d} {labels[d][k]}" for d, k in zip(order, index, strict=True))
        faults.add(f"{values[index]:.15g}", "0 or more", where=what, column=cell)


def _broadcast(
    arrays: Sequence[xr.DataArray], own: Sequence[tuple[str, ...]]
) -> tuple[tuple[Hashable, ...], dict[Hashable, xr.DataArray], list[FloatArray]]:
    """Give all arrays the same further dims, without copying what does not vary over them."""
    dims: list[Hashable] = []
    for array, core in zip(arrays, own, strict=True):
        dims += [d for d in array.dims if d not in core and d not in dims]
    try:
        xr.align(*arrays, join="exact", exclude={*STOCK_DIMS, PLACE})
    except ValueError as error:
        raise UsageError(f"(draws) | found labels or lengths that differ: {error}") from None
    sizes = {d: array.sizes[d] for array in arrays for d in array.dims if d in dims}
    coords = {
        d: array[d] for array in arrays for d in array.dims if d in dims and d in array.coords
    }
    values = []
    for array, core in zip(arrays, own, strict=True):
        full = array.expand_dims({d: sizes[d] for d in dims if d not in array.dims})
        full = full.transpose(*dims, *core)
        values.append(np.asarray(full.to_numpy(), dtype=np.float64))
    return tuple(dims), coords, values


def over_draws(
    accounts: Accounts, kernel: Callable[[Index], tuple[FloatArray | float, ...]]
) -> tuple[FloatArray, ...]:
    """Run a kernel on each draw, and stack each of its results over the further dims.

    Parameters
    ----------
    accounts
        Their further dims.
    kernel
        Takes the index of a draw.

    Raises
    ------
    InputError
        With the faults of the first draw that is refused.
    """
    out: list[FloatArray] = []
    for index in np.ndindex(accounts.shape):
        try:
            results = kernel(index)
        except Refused as refused:
            raise InputError(_faults(refused, accounts, index)) from None
        if not accounts.dims:
            return tuple(np.asarray(one, dtype=np.float64) for one in results)
        if not out:
            out = [np.empty((*accounts.shape, *np.shape(one))) for one in results]
        for stack, one in zip(out, results, strict=True):
            stack[index] = one
    if not out:
        raise UsageError("(draws) | found none; allowed: at least one")
    return tuple(out)


def _faults(refused: Refused, accounts: Accounts, index: Index) -> list[Fault]:
    labels = [
        f"{dim} {accounts.coords[dim].to_numpy()[k] if dim in accounts.coords else k}"
        for dim, k in zip(accounts.dims, index, strict=True)
    ]
    where = ", ".join([refused.what, *labels])
    places: list[Hashable] = [accounts.places[k] for k in refused.places]
    return [
        Fault(where, found, refused.allowed, column=None if place is None else str(place))
        for place, found in itertools.zip_longest(places, refused.found)
    ]


def flow_array(
    accounts: Accounts,
    values: FloatArray,
    *,
    stayers: bool = False,
    attrs: Mapping[str, object] | None = None,
) -> xr.DataArray:
    """Label flows; unless `stayers` are wanted, nothing stands on the diagonal.

    Parameters
    ----------
    accounts
        Their places and further dims.
    values
        Shape (*dims, origin, destination) or (*dims, birthplace, origin, destination); changed in
        place.
    stayers
        Whether the diagonal is left as it is.
    attrs
        What was assumed.
    """
    dims: tuple[str, ...] = (ORIGIN, DESTINATION)
    if values.ndim - len(accounts.dims) == 3:
        dims = (BIRTHPLACE, *dims)
    if not stayers:
        each = np.arange(len(accounts.places))
        values[..., each, each] = 0.0
    labels = _labels(dims, accounts.places)
    return xr.DataArray(
        values,
        dims=(*accounts.dims, *dims),
        coords={**accounts.coords, **labels},
        name="flow",
        attrs={"units": PERSONS, **(attrs or {})},
    )
