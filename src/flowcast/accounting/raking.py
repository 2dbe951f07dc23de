"""Raking: a table adjusted to known sums, keeping its odds ratios.

Iterative proportional fitting (Deming & Stephan 1940, doi 10.1214/aoms/1177731829) finds the table
with the given sums that is nearest to the seed in Kullback-Leibler divergence (Csiszár 1975, doi
10.1214/aop/1176996454). Where it is too slow, as with seeds of very different sizes, the same table
is found by Newton's method on the dual; where it has no table to find, a linear program says which
sums cannot be met.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._named import align, as_dims, refuse_dims, same_labels
from flowcast.accounting._raking_problem import Blocks, Margins, build_problem
from flowcast.accounting._raking_solve import solve
from flowcast.errors import Faults, UsageError

__all__ = ["Blocks", "Margins", "Raked", "rake", "rake_off_diagonal"]

TOLERANCE: Final = 1e-9
"""How far a sum may be from its target, relative to the target.

A target below a millionth of the total counts as that: what is less is lost in rounding.
"""


@dataclass(frozen=True, slots=True)
class Raked:
    """A raked table, and how it was reached.

    Attributes
    ----------
    table
        Persons, with the dims of the seed, those of separate tables first.
    factors
        By margin (its dims, joined by a comma) or ``"blocks 1"``, ...: what multiplies the seed.
        Where no cell was forced to 0, the seed times all factors is the table, known cells apart.
    n_sweeps
        Passes over all margins, by separate table.
    gap
        Largest distance of a sum from its target, by separate table: relative to the target, or to
        a millionth of the total where that is more.
    forced_zero
        Cells that are positive in the seed and 0 in every table with the given sums.
    """

    table: xr.DataArray
    factors: Mapping[str, xr.DataArray]
    n_sweeps: xr.DataArray
    gap: xr.DataArray
    forced_zero: xr.DataArray


def rake(
    seed: xr.DataArray,
    margins: Margins,
    *,
    blocks: Iterable[Blocks] | Blocks = (),
    known: xr.DataArray | None = None,
    each: str | Iterable[str] = (),
    tol: float = TOLERANCE,
    max_sweeps: int = 10_000,
) -> Raked:
    """Return the table with the given sums that is nearest to the seed.

    Every cell of the answer is the cell of the seed times one factor for each sum that it is part
    of; cells of 0 stay 0. Margins may have any dims of the table, in any number: origin and
    destination; (origin, birthplace) and (destination, birthplace); all three pairs. A dim that
    all margins have makes separate tables, and each stops when it has converged.

    Parameters
    ----------
    seed
        Numbers, 0 or more, in any unit; 0 is a structural zero. All dims that are not in `each`
        are those of one table.
    margins
        Persons by the dims of the key: ``{"origin": ..., ("destination", "birthplace"): ...}``. A
        margin is aligned to the seed by label, and may have dims of `each` too.
    blocks
        Sums over blocks of cells.
    known
        Cells whose persons are known, with the dims of the seed; NaN elsewhere. They are part of
        the sums, and are not changed.
    each
        Dims along which tables are separate, such as ``"draw"``.
    tol
        Largest `Raked.gap` that is accepted.
    max_sweeps
        Passes before giving up, where a table is too large for Newton's method.

    Returns
    -------
    Raked

    Raises
    ------
    InputError
        If dims or labels do not fit, numbers are negative or not finite, margins have different
        totals, or no table with the zeros of the seed has the given sums: the message names them.
    ConvergenceError
        If sums are still off by more than `tol`.

    Examples
    --------
    The table of Willekens (1999, Mathematical Population Studies 7(3), 239-278):

    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> seed = xr.DataArray([[5.0, 2.0], [1.0, 7.0]], places)
    >>> left = xr.DataArray([18.0, 20.0], {"origin": ["A", "B"]})
    >>> came = xr.DataArray([16.0, 22.0], {"destination": ["A", "B"]})
    >>> raked = rake(seed, {"origin": left, "destination": came})
    >>> raked.table.round(2).values.tolist()
    [[13.25, 4.75], [2.75, 17.25]]
    >>> float(raked.gap) < 1e-9
    True
    """
    if not 0.0 < tol < 1.0 or max_sweeps < 1:
        raise UsageError(
            f"(raking) | found tol {tol:g}, max_sweeps {max_sweeps}; allowed: a "
            "tolerance between 0 and 1, and 1 sweep or more"
        )
    listed = [blocks] if isinstance(blocks, Blocks) else list(blocks)
    if not margins and not listed:
        raise UsageError("(raking) | found no margins and no blocks; allowed: at least one")
    problem = build_problem(seed, margins, listed, known, as_dims(each))
    solution = solve(problem, tol, max_sweeps)
    like, front = problem.like, problem.n_batch_dims
    order = [*as_dims(each), *(dim for dim in seed.dims if dim not in as_dims(each))]
    one = like.isel({dim: 0 for dim in like.dims[front:]}, drop=True)

    def full(values: NDArray[np.generic]) -> xr.DataArray:
        return like.copy(data=values.reshape(like.shape)).transpose(*order)

    factors = {
        name.removeprefix("margin "): target.copy(data=values.reshape(target.shape))
        for name, target, values in zip(
            problem.names, problem.targets, solution.factors, strict=True
        )
    }
    return Raked(
        table=full(solution.table),
        factors=factors,
        n_sweeps=one.copy(data=solution.n_sweeps.reshape(one.shape)),
        gap=one.copy(data=solution.gap.reshape(one.shape)),
        forced_zero=full(solution.forced_zero),
    )


def rake_off_diagonal(
    seed: xr.DataArray,
    margins: Margins,
    *,
    diagonal: Literal["largest"] | float | xr.DataArray = "largest",
    dims: tuple[str, str] = ("origin", "destination"),
    each: str | Iterable[str] = (),
    tol: float = TOLERANCE,
    max_sweeps: int = 10_000,
) -> Raked:
    """Rake the cells off a diagonal that is known: the model of quasi-independence.

    With a seed of ones the cells off the diagonal are independent (Agresti 2002, Categorical Data
    Analysis, section 10.4). For a diagonal that is raked like all other cells, use `rake`.

    Parameters
    ----------
    seed
        As in `rake`; its diagonal does not matter.
    margins
        As in `rake`.
    diagonal
        Persons on the diagonal: an array with ``dims[0]`` and any other dims of the table but
        ``dims[1]``; 0 for a table without stayers; ``"largest"``, the most that the margins leave
        room for, which is the smaller of the two margins that it lies in.
    dims
        The two dims whose equal labels are the diagonal.
    each, tol, max_sweeps
        As in `rake`.

    Returns
    -------
    Raked

    Raises
    ------
    InputError, ConvergenceError
        As `rake`; and if the two dims have different labels, or ``"largest"`` lacks a pair of
        margins to take the smaller of.

    Examples
    --------
    >>> places = {"origin": ["A", "B", "C"], "destination": ["A", "B", "C"]}
    >>> seed = xr.DataArray(np.ones((3, 3)), places)
    >>> start = xr.DataArray([100.0, 60.0, 40.0], {"origin": ["A", "B", "C"]})
    >>> end = xr.DataArray([90.0, 64.0, 46.0], {"destination": ["A", "B", "C"]})
    >>> raked = rake_off_diagonal(seed, {"origin": start, "destination": end})
    >>> raked.table.round(6).values.tolist()
    [[90.0, 4.0, 6.0], [0.0, 60.0, 0.0], [0.0, 0.0, 40.0]]
    """
    faults = Faults("diagonal")
    refuse_dims(faults, "seed", seed, dims, [str(d) for d in seed.dims])
    faults.raise_if_any()
    same_labels(faults, "seed", seed, dims)
    faults.raise_if_any()
    if isinstance(diagonal, str):
        held = _largest(faults, seed, margins, dims, as_dims(each))
    else:
        held = xr.DataArray(diagonal)
        refuse_dims(
            faults,
            "diagonal",
            held,
            (),
            [str(d) for d in seed.dims if d != dims[1]] + [*as_dims(each)],
        )
    faults.raise_if_any()
    known = _on_diagonal(faults, held, seed, dims, as_dims(each))
    faults.raise_if_any()
    return rake(seed, margins, known=known, each=each, tol=tol, max_sweeps=max_sweeps)


def _largest(
    faults: Faults,
    seed: xr.DataArray,
    margins: Margins,
    dims: tuple[str, str],
    each: tuple[str, ...],
) -> xr.DataArray:
    """Return the smaller of the two margins on each cell of the diagonal."""
    by_dims = {frozenset(as_dims(key)): margin for key, margin in margins.items()}
    pairs = [
        (one, other)
        for key, one in by_dims.items()
        if dims[0] in key
        and dims[1] not in key
        and (other := by_dims.get(key - {dims[0]} | {dims[1]})) is not None
    ]
    if not pairs:
        found = "; ".join(", ".join(as_dims(key)) for key in margins)
        allowed = f"one by {dims[0]} and one by {dims[1]}, alike in other dims"
        faults.add(f"margins by {found}", f"for the largest diagonal, {allowed}")
        return seed
    first, second = (align(faults, "margin", margin, seed) for margin in pairs[0])
    faults.raise_if_any()
    there = second.rename({dims[1]: dims[0]})
    return first.where(first < there, there)


def _on_diagonal(
    faults: Faults,
    held: xr.DataArray,
    seed: xr.DataArray,
    dims: tuple[str, str],
    each: tuple[str, ...],
) -> xr.DataArray:
    """Return a table that is `held` on the diagonal and NaN elsewhere."""
    held = align(faults, "diagonal", held, seed)
    faults.raise_if_any()
    labels = seed.indexes.get(dims[1])
    n = seed.sizes[dims[1]]
    same = xr.DataArray(np.eye(n, dtype=bool), dims=dims)
    if labels is not None:
        same = same.assign_coords({dim: seed.indexes[dim] for dim in dims})
    known = held.where(same)
    lacking = {
        dim: size
        for dim, size in seed.sizes.items()
        if dim not in known.dims and str(dim) not in each
    }
    return known.expand_dims(lacking)
