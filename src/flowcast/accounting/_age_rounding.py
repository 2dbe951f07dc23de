"""Tables in whole persons whose sums are those of the table in real numbers."""

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._named import as_dims, check_values, refuse_dims
from flowcast.errors import Faults, UsageError, require_word

__all__ = ["round_keeping_sums"]

METHODS: Final = ("systematic", "largest")
ROWS: Final = 65_536
"""Tables that are rounded together, which bounds the memory beside the result."""


def round_keeping_sums(
    table: xr.DataArray,
    dims: str | Iterable[str],
    *,
    method: Literal["systematic", "largest"] = "systematic",
    seed: int | None = None,
) -> xr.DataArray:
    """Return a table in whole persons that adds up over `dims` as before.

    Every cell becomes one of its two neighbouring whole numbers, and so does every sum over `dims`:
    a whole sum stays what it is, to the person.

    ``systematic`` adds the cells of each table up one by one, adds a random number from 0 to 1 to
    all of these cumulative sums, and takes the steps between their whole parts. Each cell is then
    right on average, however small: of 1,000 corridors with one migrant each, as many are 20 to 24
    years old as the shares say. Any run of neighbouring cells (ages 20 to 64, one sex) is also less
    than one person from its sum. ``largest`` gives the persons that are left to the largest
    remainders (Hamilton's apportionment, the first of equal ones): nothing is random and a single
    table is as near as it can be, but many small ones are wrong together: all 1,000 migrants would
    be of the most common age.

    Parameters
    ----------
    table
        Persons, 0 or more.
    dims
        What a table has: ``("age", "sex")`` for parts of flows, ``("origin", "destination")`` for
        flows. Other dims make separate tables.
    method
        As above.
    seed
        Of ``systematic``, which needs one.

    Returns
    -------
    xarray.DataArray
        Whole numbers as float64; dims in the order of `table`.

    Raises
    ------
    InputError
        If a dim is missing, or a cell is negative or not finite.
    UsageError
        If the method is none, or a seed is missing or of no use.

    Examples
    --------
    >>> parts = xr.DataArray([[0.6, 1.3, 0.1], [0.2, 0.5, 0.3]], dims=("corridor", "age"))
    >>> round_keeping_sums(parts, "age", method="largest").values.tolist()
    [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    >>> round_keeping_sums(parts, "age", seed=1).sum("age").values.tolist()
    [2.0, 1.0]
    """
    require_word("method", method, METHODS)
    if (seed is None) == (method == "systematic"):
        found = "no seed" if seed is None else "a seed"
        raise UsageError(f"(seed) | found {found} with {method}; allowed: one with systematic only")
    faults, inner = Faults("table"), as_dims(dims)
    refuse_dims(faults, "table", table, inner, [str(d) for d in table.dims])
    check_values(faults, "table", table)
    faults.raise_if_any()
    ordered = table.astype(np.float64).transpose(..., *inner)
    values = ordered.to_numpy()
    rows = values.reshape(-1, int(np.prod([table.sizes[d] for d in inner])))
    rng = np.random.default_rng(seed)
    out = np.empty_like(rows)
    for k in range(0, len(rows), ROWS):
        some = rows[k : k + ROWS]
        out[k : k + ROWS] = (
            _largest(some) if method == "largest" else _systematic(some, rng.random(len(some)))
        )
    return ordered.copy(data=out.reshape(values.shape)).transpose(*table.dims)


def _whole(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums, those that are whole but for rounding made whole."""
    nearest = np.round(total)
    return np.where(np.abs(total - nearest) <= 1e-9 + 1e-14 * total, nearest, total)


def _systematic(rows: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return steps of the whole parts of cumulative sums that begin at `start`, from 0 to 1."""
    sums = np.cumsum(rows, axis=1)
    sums[:, -1:] = _whole(sums[:, -1:])
    # A sum that is over the last by rounding alone would take a person back there.
    sums = np.minimum(sums, sums[:, -1:])
    return np.diff(np.floor(sums + start[:, None]), axis=1, prepend=0.0)


def _largest(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return whole parts, and one person more for the largest remainders."""
    base = np.floor(rows)
    left = np.round(_whole(rows.sum(axis=1, keepdims=True))) - base.sum(axis=1, keepdims=True)
    order = np.argsort(base - rows, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(rows.shape[1])[None], axis=1)
    return np.asarray(base + (rank < left))
