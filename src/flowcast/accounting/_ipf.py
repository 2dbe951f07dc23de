"""Iterative proportional fitting on plain arrays: many tables at once, each until it has converged.

A table is multiplied by ``target / sum`` over one margin after the other. Tables of one batch that
have converged leave it, so that none waits for the slowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SMALL", "BlockSum", "Fit", "MarginSum", "fit_matrix", "fit_table", "largest_gap"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SMALL: Final = 1e-6
"""Share of the total: a billionth of it is a few units of the last digit of a double."""


@dataclass(frozen=True, slots=True)
class MarginSum:
    """What sums over `axes` have to be; `target` has size 1 along these, and the batch first."""

    axes: tuple[int, ...]
    target: FloatArray

    def sums(self, table: FloatArray) -> FloatArray:
        """Return the sums of a batch of tables, in the shape of the target."""
        return np.asarray(table.sum(axis=self.axes, keepdims=True))

    def scale(self, table: FloatArray, factor: FloatArray) -> None:
        """Multiply a batch of tables in place."""
        table *= factor

    def take(self, which: IntArray | slice) -> "MarginSum":
        """Return the constraint of some tables of the batch."""
        return MarginSum(self.axes, self.target[which])


@dataclass(frozen=True, slots=True)
class BlockSum:
    """What sums over blocks of cells have to be; a cell with number -1 is in no block.

    `ids` has the shape of one table, `target` is (batch, block).
    """

    ids: IntArray
    target: FloatArray

    def sums(self, table: FloatArray) -> FloatArray:
        """Return the sums of a batch of tables, (batch, block)."""
        n_batch, n_block = self.target.shape
        inside = self.ids.ravel() >= 0
        offset = (n_block * np.arange(n_batch))[:, None]
        where = (self.ids.ravel()[inside][None, :] + offset).ravel()
        weights = table.reshape(n_batch, -1)[:, inside].ravel()
        return np.bincount(where, weights, minlength=n_batch * n_block).reshape(n_batch, n_block)

    def scale(self, table: FloatArray, factor: FloatArray) -> None:
        """Multiply a batch of tables in place."""
        outside = np.ones((len(factor), 1))
        table *= np.hstack([factor, outside])[:, self.ids.ravel()].reshape(table.shape)

    def take(self, which: IntArray | slice) -> "BlockSum":
        """Return the constraint of some tables of the batch."""
        return BlockSum(self.ids, self.target[which])


Constraint = MarginSum | BlockSum


@dataclass(frozen=True, slots=True)
class Fit:
    """A batch of fitted tables.

    Attributes
    ----------
    table
        (batch, ...).
    factors
        Of each constraint, in the shape of its target.
    n_sweeps, gap
        Passes over all constraints, and `largest_gap` at the end, (batch,).
    """

    table: FloatArray
    factors: list[FloatArray]
    n_sweeps: IntArray
    gap: FloatArray


def largest_gap(table: FloatArray, constraints: Sequence[Constraint]) -> FloatArray:
    """Return how far sums are from targets, relative to the targets, at most: (batch,).

    A target below `SMALL` of the total counts as that: the rest is lost in the rounding of the
    total. Infinite where a target of 0 is missed, or where cells of 0 miss a positive one.
    """
    gaps = [_relative(c.sums(table), c.target) for c in constraints]
    return np.max(gaps, axis=0) if gaps else np.zeros(len(table))


def fit_table(
    seed: FloatArray, constraints: Sequence[Constraint], tol: float, max_sweeps: int
) -> Fit:
    """Fit a batch of tables, (batch, ...), to any constraints.

    A table whose cells are all 0 where a sum has to be positive is left alone at once, with an
    infinite gap.
    """
    n_batch = len(seed)
    done, factors = seed.copy(), [np.ones_like(c.target) for c in constraints]
    n_sweeps = np.zeros(n_batch, dtype=np.int64)
    active = np.arange(n_batch)
    work, todo = seed.copy(), list(constraints)
    for constraint in todo:
        constraint.scale(work, (constraint.target > 0.0).astype(np.float64))
    products = [np.ones_like(c.target) for c in todo]
    for sweep in range(1, max_sweeps + 1):
        gap = _sweep(work, todo, products)
        n_sweeps[active] = sweep
        leave = (gap <= tol / 4.0) | ~np.isfinite(gap) | (sweep == max_sweeps)
        if not leave.any():
            continue
        done[active[leave]] = work[leave]
        for kept, product in zip(factors, products, strict=True):
            kept[active[leave]] = product[leave]
        active, work = active[~leave], work[~leave]
        todo = [c.take(np.flatnonzero(~leave)) for c in todo]
        products = [product[~leave] for product in products]
        if not len(active):
            break
    return Fit(done, factors, n_sweeps, largest_gap(done, constraints))


def _sweep(
    table: FloatArray, constraints: Sequence[Constraint], products: list[FloatArray]
) -> FloatArray:
    """Fit every constraint once, in place; return the largest gap met on the way."""
    gap = np.zeros(len(table))
    for i, constraint in enumerate(constraints):
        sums = constraint.sums(table)
        np.maximum(gap, _relative(sums, constraint.target), out=gap)
        factor = _ratio(constraint.target, sums)
        constraint.scale(table, factor)
        products[i] = products[i] * factor
    return gap


def fit_matrix(
    seed: FloatArray, rows: FloatArray, columns: FloatArray, tol: float, max_sweeps: int
) -> Fit:
    """Fit a batch of matrices, (batch, row, column), to sums of rows and columns.

    The same sweeps as `fit_table`, but only the factors are kept: each pass reads the seed twice
    and writes nothing of its size.
    """
    n_batch = len(seed)
    u, v = np.ones_like(rows), np.ones_like(columns)
    n_sweeps = np.zeros(n_batch, dtype=np.int64)
    active = np.arange(n_batch)
    work, r, c = seed, rows, columns
    if (rows == 0.0).any() or (columns == 0.0).any():
        work = seed * (rows > 0.0)[:, :, None] * (columns > 0.0)[:, None, :]
    x, y = u.copy(), v.copy()
    for sweep in range(1, max_sweeps + 1):
        along = np.matmul(work, y[:, :, None])[:, :, 0]
        gap = _relative(x * along, r)
        x = _ratio(r, along)
        across = np.matmul(x[:, None, :], work)[:, 0, :]
        np.maximum(gap, _relative(y * across, c), out=gap)
        y = _ratio(c, across)
        n_sweeps[active] = sweep
        leave = (gap <= tol / 4.0) | ~np.isfinite(gap) | (sweep == max_sweeps)
        if leave.any():
            u[active[leave]], v[active[leave]] = x[leave], y[leave]
            stay = ~leave
            active, work, r, c = active[stay], work[stay], r[stay], c[stay]
            x, y = x[stay], y[stay]
            if not len(active):
                break
    table = seed * u[:, :, None]
    table *= v[:, None, :]
    ends = [MarginSum((2,), rows[:, :, None]), MarginSum((1,), columns[:, None, :])]
    return Fit(table, [u[:, :, None], v[:, None, :]], n_sweeps, largest_gap(table, ends))


def _ratio(target: FloatArray, sums: FloatArray) -> FloatArray:
    """Return target / sum: 0 for a target of 0, and 1 where there is nothing to multiply."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(sums > 0.0, target / sums, 1.0)
    return np.where(target == 0.0, 0.0, ratio)


def _relative(sums: FloatArray, target: FloatArray) -> FloatArray:
    """Return the largest relative distance of each table of the batch, (batch,)."""
    rest = tuple(range(1, target.ndim))
    floor = SMALL * target.sum(axis=rest, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gap = np.abs(sums - target) / np.maximum(target, floor)
    gap = np.where((target == 0.0) != (sums == 0.0), np.inf, gap)
    gap = np.where((target == 0.0) & (sums == 0.0), 0.0, gap)
    return np.asarray(np.where(np.isnan(gap), np.inf, gap).max(axis=rest))
