"""From tables with named dims to the arrays that raking works on: everything is checked here."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._ipf import BlockSum, Constraint, MarginSum
from flowcast.accounting._named import (
    align,
    as_dims,
    cell_name,
    check_values,
    expand,
    refuse_dims,
    spread,
)
from flowcast.errors import Faults, nearest

__all__ = ["Blocks", "Margins", "RakingProblem", "build_problem", "margin_name"]

FloatArray = NDArray[np.float64]
Margins = Mapping[str | tuple[str, ...], xr.DataArray]

MAX_NAMED: Final = 5
AGREE: Final = 1e-9
"""Totals of two margins that differ by less than this share are one total, rounded."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Sums over blocks of cells, such as all flows within a group of places.

    Attributes
    ----------
    labels
        Name of the block of each cell, on dims of the table; dims it lacks do not matter. Cells
        whose label does not occur in `totals` are in no block.
    totals
        Persons by block: one dim, whose labels are the names, and dims of separate tables.
    """

    labels: xr.DataArray
    totals: xr.DataArray


@dataclass(frozen=True, slots=True)
class RakingProblem:
    """Arrays of a batch of tables, and what is needed to name their cells again.

    Attributes
    ----------
    seed
        (batch, ...), 0 where a cell is known or shut.
    known
        What known cells add, of the shape of `seed`; None where there are none.
    constraints
        Targets of the cells that are left.
    targets
        The same by name, (batch dims..., dims of the margin).
    names
        What messages call each constraint.
    like
        A table with the dims of the batch first, then those of the cells.
    n_batch_dims
        How many of its dims are those of the batch.
    """

    seed: FloatArray
    known: FloatArray | None
    constraints: list[Constraint]
    targets: list[xr.DataArray]
    names: list[str]
    like: xr.DataArray
    n_batch_dims: int

    def where(self, constraint: int, table: int, cell: int) -> str:
        """Return the name of one target of one table."""
        target = self.targets[constraint]
        at = np.unravel_index(table * (target.size // len(self.seed)) + cell, target.shape)
        return cell_name(target, np.asarray(at))


def margin_name(key: str | Sequence[str]) -> str:
    """Return how a margin is called: by its dims.

    Examples
    --------
    >>> margin_name(("origin", "birthplace"))
    'margin origin, birthplace'
    """
    return f"margin {', '.join(as_dims(key))}"


def build_problem(
    seed: xr.DataArray,
    margins: Margins,
    blocks: Sequence[Blocks],
    known: xr.DataArray | None,
    each: Sequence[str],
) -> RakingProblem:
    """Check seed, margins, blocks and known cells, and lay them out.

    Raises
    ------
    InputError
        With every fault that can be found before fitting.
    """
    faults = Faults("raking")
    cells = [str(dim) for dim in seed.dims if dim not in each]
    keys = [_known_dims(faults, key, cells) for key in margins]
    names = [margin_name(key) for key in keys]
    for name, key, margin in zip(names, keys, margins.values(), strict=True):
        if set(key) <= set(cells):
            refuse_dims(faults, name, margin, key, each)
    for i, block in enumerate(blocks):
        _check_block_dims(faults, f"blocks {i + 1}", block, cells, each)
    if known is not None:
        refuse_dims(faults, "known cells", known, cells, each)
    faults.raise_if_any()

    totals = [block.totals for block in blocks]
    like = spread(faults, seed, each, [*margins.values(), *totals, known])
    faults.raise_if_any()
    like = like.transpose(*each, *cells)
    values = [align(faults, n, m, like) for n, m in zip(names, margins.values(), strict=True)]
    totals = [align(faults, f"blocks {i + 1}", t, like) for i, t in enumerate(totals)]
    labels = [align(faults, f"blocks {i + 1}", b.labels, like) for i, b in enumerate(blocks)]
    held = None if known is None else align(faults, "known cells", known, like)
    check_values(faults, "seed", seed)
    for name, value in zip(names, values, strict=True):
        check_values(faults, name, value)
    for i, total in enumerate(totals):
        check_values(faults, f"blocks {i + 1}", total)
    if held is not None:
        check_values(faults, "known cells", held.fillna(0.0))
    faults.raise_if_any()

    shared = [d for d in cells if keys and not blocks and all(d in key for key in keys)]
    order = [*each, *shared, *(d for d in cells if d not in shared)]
    sizes: dict[Hashable, int] = {dim: like.sizes[dim] for dim in order}
    like = like.transpose(*order)
    batch = len(each) + len(shared)
    fixed = None if held is None else expand(held, sizes)
    targets = [_less_known(faults, n, v, fixed) for n, v in zip(names, values, strict=True)]
    faults.raise_if_any()
    targets = _agreed(faults, names, targets)
    faults.raise_if_any()
    problem = _lay_out(like, fixed, targets, list(zip(labels, totals, strict=True)), names, batch)
    _refuse_overfull(faults, problem)
    _refuse_unreachable(faults, problem)
    faults.raise_if_any()
    return problem


def _known_dims(
    faults: Faults, key: str | tuple[str, ...], cells: Sequence[str]
) -> tuple[str, ...]:
    """Return the dims of a margin in the order of the table."""
    dims = as_dims(key)
    for dim in dims:
        if dim not in cells:
            allowed, hint = f"dims of the seed: {', '.join(cells)}", nearest(dim, cells)
            faults.add(f"dim {dim}", allowed, where=margin_name(key), hint=hint)
    return tuple(dim for dim in cells if dim in dims) if set(dims) <= set(cells) else dims


def _check_block_dims(
    faults: Faults, name: str, block: Blocks, cells: Sequence[str], each: Sequence[str]
) -> None:
    refuse_dims(faults, f"{name}, labels", block.labels, (), cells)
    own = [str(dim) for dim in block.totals.dims if dim not in each]
    if len(own) != 1 or own[0] not in block.totals.indexes:
        found = f"totals on dims ({', '.join(map(str, block.totals.dims))})"
        faults.add(found, "one dim, with the names of the blocks as its labels", where=name)
    elif own[0] in cells:
        faults.add(f"totals by {own[0]}", "a dim that the table does not have", where=name)


def _less_known(
    faults: Faults, name: str, margin: xr.DataArray, fixed: xr.DataArray | None
) -> xr.DataArray:
    """Return what a margin leaves to cells that are not known."""
    if fixed is None:
        return margin.astype(np.float64)
    taken = fixed.sum([dim for dim in fixed.dims if dim not in margin.dims], skipna=True)
    rest = (margin - taken).transpose(*margin.dims)
    over = rest.to_numpy() < -AGREE * margin.to_numpy()
    for at in np.argwhere(over)[:1]:
        known, total = (
            float((margin - rest).to_numpy()[tuple(at)]),
            float(margin.to_numpy()[tuple(at)]),
        )
        found = f"known cells of {known:.10g} in all at {cell_name(rest, at)}"
        faults.add(found, f"at most the margin, {total:.10g}", where=name)
    return rest.where(rest > 1e-12 * margin, 0.0)


def _agreed(
    faults: Faults, names: Sequence[str], targets: list[xr.DataArray]
) -> list[xr.DataArray]:
    """Refuse margins whose common sums differ; take rounding out of those that nearly agree."""
    for (i, one), (j, other) in combinations(enumerate(targets), 2):
        first, second = _common_sums(one, other)
        apart = np.abs((first - second).to_numpy())
        allowed = AGREE * np.maximum(first.to_numpy(), second.to_numpy())
        for at in np.argwhere(apart > allowed)[:1]:
            place = f" at {cell_name(first, at)}" if first.ndim else ""
            sums = f"{first.to_numpy()[tuple(at)]:.12g} and {second.to_numpy()[tuple(at)]:.12g}"
            where = f"{names[i]} and {names[j]}"
            faults.add(f"totals {sums}{place}", "margins with the same total", where=where)
    if len(faults) or not targets:
        return targets
    agreed = targets[:1]
    for other in targets[1:]:
        wanted, found = _common_sums(targets[0], other)
        factor = (wanted / found.where(found > 0.0, 1.0)).where(found > 0.0, 1.0)
        agreed.append((other * factor).transpose(*other.dims, ...))
    return agreed


def _common_sums(one: xr.DataArray, other: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return both margins, summed to the dims that they share, on the same dims."""
    common = [dim for dim in one.dims if dim in other.dims]
    first = one.sum([dim for dim in one.dims if dim not in common])
    return first, other.sum([dim for dim in other.dims if dim not in common]).transpose(*common)


def _lay_out(
    like: xr.DataArray,
    fixed: xr.DataArray | None,
    targets: Sequence[xr.DataArray],
    blocks: Sequence[tuple[xr.DataArray, xr.DataArray]],
    names: Sequence[str],
    batch: int,
) -> RakingProblem:
    sizes = dict(like.sizes)
    front = list(sizes)[:batch]
    n_batch, shape = prod(sizes[dim] for dim in front), like.shape[batch:]
    told = list(names)
    named, constraints = [], list[Constraint]()
    for target in targets:
        dims = {dim: n for dim, n in sizes.items() if dim in front or dim in target.dims}
        full = expand(target, dims)
        ones = [n if dim in dims else 1 for dim, n in list(sizes.items())[batch:]]
        axes = tuple(i + 1 for i, n in enumerate(list(sizes)[batch:]) if n not in dims)
        array = np.array(full.to_numpy(), dtype=np.float64).reshape(n_batch, *ones)
        constraints.append(MarginSum(axes, array))
        named.append(_with_labels(full, like))
    cell_sizes = {dim: sizes[dim] for dim in list(sizes)[batch:]}
    for i, (labels, totals) in enumerate(blocks):
        (dim,) = (d for d in totals.dims if d not in front)
        full = expand(totals, {**{d: sizes[d] for d in front}, dim: totals.sizes[dim]})
        ids = totals.indexes[dim].get_indexer(expand(labels, cell_sizes).to_numpy().ravel())
        array = np.array(full.to_numpy(), dtype=np.float64).reshape(n_batch, -1)
        constraints.append(BlockSum(ids.astype(np.int64).reshape(shape), array))
        named.append(_with_labels(full, like))
        told.append(f"blocks {i + 1}")
    start = like.to_numpy().reshape(n_batch, *shape).copy()
    known = None
    if fixed is not None:
        held = fixed.to_numpy().reshape(n_batch, *shape)
        start[~np.isnan(held)] = 0.0
        known = np.nan_to_num(held)
        constraints = [
            c if isinstance(c, MarginSum) else BlockSum(c.ids, _rest(c.target, c.sums(known)))
            for c in constraints
        ]
    return RakingProblem(start, known, constraints, named, told, like, batch)


def _rest(total: FloatArray, known: FloatArray) -> FloatArray:
    rest = total - known
    return np.where(np.abs(rest) <= 1e-12 * total, 0.0, rest)


def _with_labels(target: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    labels: dict[Hashable, object] = {
        dim: like.indexes[dim] for dim in target.dims if dim in like.indexes
    }
    return target.drop_vars(list(target.coords)).assign_coords(
        {**labels, **{d: target.indexes[d] for d in target.dims if d not in like.dims}}
    )


def _refuse_overfull(faults: Faults, problem: RakingProblem) -> None:
    """Record blocks whose known cells are more than their total; margins have been looked at."""
    for i, constraint in enumerate(problem.constraints):
        below = constraint.target.reshape(len(problem.seed), -1)
        for table, cell in np.argwhere(below < 0.0)[:MAX_NAMED]:
            found = f"known cells {-below[table, cell]:.10g} above the total"
            place = problem.where(i, int(table), int(cell))
            faults.add(f"{found} at {place}", "at most the total", where=problem.names[i])


def _refuse_unreachable(faults: Faults, problem: RakingProblem) -> None:
    """Record margins that are positive where all their cells are 0."""
    for i, constraint in enumerate(problem.constraints):
        empty = (constraint.sums(problem.seed) == 0.0) & (constraint.target > 0.0)
        for table, cell in np.argwhere(empty.reshape(len(problem.seed), -1))[:MAX_NAMED]:
            persons = constraint.target.reshape(len(problem.seed), -1)[table, cell]
            found = f"{persons:.10g} at {problem.where(i, int(table), int(cell))}"
            allowed = "0, as all its cells in the seed are 0"
            faults.add(found, allowed, where=problem.names[i])
