"""Cells of tables that are published together, and the sums and differences that tie them.

Immigration, emigration and net migration are sums of the flows that are published beside them: one
system of linear equations, whatever the number of tables. Whoever reads the tables can solve it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from flowcast.errors import UsageError

__all__ = ["LinkedCells", "link_cells", "link_margins"]

ADDITIVE: Final = 1e-6
"""How far a relation may be from zero, of the largest value in it: rounding of sums, no more."""


@dataclass(frozen=True, slots=True, eq=False)
class LinkedCells:
    """Cells, and the linear relations between them that everybody knows; made by `link_cells`.

    Attributes
    ----------
    values
        Persons, shape (cell,).
    relations
        Coefficients, shape (relation, cell): each row times `values` is zero, such as
        ``flows - total``.
    lower
        The least that a cell can be, shape (cell,): 0 for counts, -inf for differences.
    known
        Cells that are no secret, such as the diagonal, shape (cell,): never sensitive, and of no
        use to hide others.
    """

    values: NDArray[np.float64]
    relations: sp.csr_array
    lower: NDArray[np.float64]
    known: NDArray[np.bool_]

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Which cells count persons, and may tell of few of them: shape (cell,)."""
        return np.asarray((self.lower >= 0.0) & ~self.known)

    def parts(self) -> Iterator[tuple[NDArray[np.intp], "LinkedCells"]]:
        """Yield the positions and cells of each group that no relation ties to another.

        Periods are such groups where no total runs over them.
        """
        for cells, relations in split_relations(self.relations):
            yield (
                cells,
                LinkedCells(self.values[cells], relations, self.lower[cells], self.known[cells]),
            )


def link_cells(
    values: ArrayLike,
    relations: ArrayLike | sp.sparray,
    lower: ArrayLike | None = None,
    known: ArrayLike | None = None,
) -> LinkedCells:
    """Return cells and the relations between them, checked.

    Parameters
    ----------
    values, relations, lower, known
        As the attributes of `LinkedCells`; by default all are counts, and none is known.

    Raises
    ------
    UsageError
        If shapes differ, a value is not finite or below its least, or a relation does not hold.

    Examples
    --------
    >>> link_cells([2.0, 3.0, 5.0], [[1.0, 1.0, -1.0]]).lower.tolist()
    [0.0, 0.0, 0.0]
    """
    persons = np.asarray(values, dtype=np.float64)
    cells = LinkedCells(
        persons,
        sp.csr_array(relations),
        np.zeros(persons.shape) if lower is None else np.asarray(lower, dtype=np.float64),
        np.zeros(persons.shape, bool) if known is None else np.asarray(known, dtype=np.bool_),
    )
    _check(cells)
    return cells


def _check(cells: LinkedCells) -> None:
    values, shape = cells.values, cells.values.shape
    if values.ndim != 1 or {cells.lower.shape, cells.known.shape} != {shape}:
        raise UsageError("(cells) | found arrays of different shapes; allowed: one number a cell")
    if cells.relations.shape[1] != len(values):
        raise UsageError(
            f"(relations) | found {cells.relations.shape[1]} columns; allowed: one for each of "
            f"{len(values)} cells"
        )
    if not np.isfinite(values).all() or (values < cells.lower).any():
        raise UsageError("(values) | found one not finite or below its least; allowed: neither")
    wrong = np.abs(cells.relations @ values) > ADDITIVE * (1.0 + abs(cells.relations) @ abs(values))
    if wrong.any():
        raise UsageError(
            f"(relations) | found {int(wrong.sum())} that the values do not obey; allowed: sums "
            "that add up"
        )


def split_relations(
    relations: sp.csr_array,
) -> Iterator[tuple[NDArray[np.intp], sp.csr_array]]:
    """Yield the columns, and the rows that touch them, of each connected part of a matrix."""
    n_relation = relations.shape[0]
    used = relations != 0.0
    pattern = sp.block_array([[None, used], [used.T, None]]) if n_relation else used.T @ used
    _, labels = connected_components(pattern, directed=False)
    of_relation, of_cell = labels[:n_relation], labels[n_relation:]
    order = np.argsort(of_cell, kind="stable")
    starts = np.flatnonzero(np.diff(of_cell[order], prepend=-1))
    rows = np.argsort(of_relation, kind="stable")
    sorted_rows = of_relation[rows]
    for cells in np.split(order, starts[1:]):
        label = of_cell[cells[0]]
        first, last = (np.searchsorted(sorted_rows, label, side=s) for s in ("left", "right"))
        yield cells, relations[rows[first:last]][:, cells]


def link_margins(values: ArrayLike) -> LinkedCells:
    """Return the cells of a table with all its margins.

    Parameters
    ----------
    values
        Persons, an array of any number of dims, such as (origin, destination) or (period, origin,
        destination). NaN: no such cell, and everybody knows (the diagonal).

    Returns
    -------
    LinkedCells
        Of a table one longer along each dim, whose last entries are the totals, in C order:
        ``cells.values.reshape([n + 1 for n in values.shape])``.

    Examples
    --------
    >>> link_margins([[1.0, 2.0], [3.0, 4.0]]).values.reshape(3, 3).tolist()
    [[1.0, 2.0, 3.0], [3.0, 4.0, 7.0], [4.0, 6.0, 10.0]]
    """
    inner = np.asarray(values, dtype=np.float64)
    known, whole = np.isnan(inner), np.nan_to_num(inner)
    for axis in range(inner.ndim):
        whole = np.concatenate([whole, whole.sum(axis=axis, keepdims=True)], axis=axis)
        known = np.concatenate([known, known.all(axis=axis, keepdims=True)], axis=axis)
    position = np.arange(whole.size).reshape(whole.shape)
    blocks = []
    for axis in range(inner.ndim):
        lines = np.moveaxis(position, axis, -1).reshape(-1, whole.shape[axis])
        signs = np.ones(lines.shape)
        signs[:, -1] = -1.0
        row = np.repeat(np.arange(len(lines)), lines.shape[1])
        shape = (len(lines), whole.size)
        blocks.append(sp.csr_array((signs.ravel(), (row, lines.ravel())), shape=shape))
    return link_cells(whole.ravel(), sp.vstack(blocks), known=known.ravel())
