"""Which cells have to be left out beside the sensitive ones, so that none can be worked out."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from flowcast.publication.disclosure.attack import SLACK, find_exposed, solve
from flowcast.publication.disclosure.cells import LinkedCells
from flowcast.publication.disclosure.policy import DisclosurePolicy

__all__ = ["Suppression", "is_sensitive", "suppress_cells"]

HIDDEN_COST: Final = 1e-6
"""Of a cell that is left out already: next to nothing, but the shorter way is still preferred."""


@dataclass(frozen=True, slots=True, eq=False)
class Suppression:
    """Which cells are left out, and why.

    Attributes
    ----------
    primary
        Sensitive cells, shape (cell,).
    secondary
        Cells that would give a sensitive one away, shape (cell,). Not to be told apart from the
        others in what is published: it would say which are below the minimum.
    """

    primary: NDArray[np.bool_]
    secondary: NDArray[np.bool_]

    @property
    def suppressed(self) -> NDArray[np.bool_]:
        """Cells that are left out, for either reason: shape (cell,)."""
        return self.primary | self.secondary


def is_sensitive(cells: LinkedCells, policy: DisclosurePolicy) -> NDArray[np.bool_]:
    """Return which cells count fewer persons than the policy's minimum; a count of 0 does.

    Differences are no counts, and what is known anyhow is no secret.
    """
    return np.asarray(cells.counts & (cells.values < policy.minimum_cell))


def suppress_cells(
    cells: LinkedCells, policy: DisclosurePolicy, sensitive: NDArray[np.bool_] | None = None
) -> Suppression:
    """Find the cells to leave out of tables that are published together.

    Parameters
    ----------
    cells
        Values and relations of all tables.
    policy
        Minimum cell and protection.
    sensitive
        Which cells are to be protected, shape (cell,); by default `is_sensitive`.

    Returns
    -------
    Suppression
        Every value of the protection interval remains possible for every sensitive cell, and no
        cell that is left out can be computed from what is published. `audit_table` finds so.

    Raises
    ------
    FlowcastError
        If a cell cannot be protected whatever is left out, since too much is known anyhow.

    Notes
    -----
    For each sensitive cell and each end of its protection interval, the cheapest other table is
    found in which it has that value: a linear programme. The cells in which that table differs are
    left out. This is the heuristic that goes before the exact method of Fischetti and
    Salazar-González (2001), and on a two-way table that of Kelly, Golden and Assad (1992), where
    the tables are paths of a network. Protection is exact; that as little as possible is left out
    is not promised. Leaving out a cell costs 1 + log(1 + its size).

    References
    ----------
    Fischetti, M. and Salazar-González, J. J. (2001). Solving the cell suppression problem on
    tabular data with linear constraints. Management Science 47, 1008-1027.
    https://doi.org/10.1287/mnsc.47.7.1008.9805

    Kelly, J. P., Golden, B. L. and Assad, A. A. (1992). Cell suppression: disclosure protection
    for sensitive tabular data. Networks 22, 397-417.

    Examples
    --------
    >>> from flowcast.publication.disclosure import link_cells
    >>> row = link_cells([2.0, 30.0, 40.0, 72.0], [[1.0, 1.0, 1.0, -1.0]])
    >>> suppress_cells(row, DisclosurePolicy(minimum_cell=10)).suppressed.tolist()
    [True, True, False, False]
    """
    primary = is_sensitive(cells, policy) if sensitive is None else sensitive & ~cells.known
    suppressed = primary.copy()
    for at, part in cells.parts():
        if primary[at].any():
            suppressed[at] = _protect(part, primary[at], policy.protection)
    return Suppression(primary, suppressed & ~primary)


def _protect(
    cells: LinkedCells, sensitive: NDArray[np.bool_], protection: tuple[float, float]
) -> NDArray[np.bool_]:
    """Return the cells to leave out, of those that relations tie together."""
    suppressed = sensitive.copy()
    while exposed := find_exposed(cells, suppressed, sensitive, protection):
        # The cell that is easiest to work out asks for most; others are often protected by then.
        for k, need in sorted(exposed, key=lambda one: (cells.values[one[0]], one)):
            suppressed |= _cheapest_cover(cells, suppressed, k, need)
    return suppressed


def _cheapest_cover(
    cells: LinkedCells, suppressed: NDArray[np.bool_], k: int, need: float
) -> NDArray[np.bool_]:
    """Return where the cheapest table differs in which cell `k` is off by `need`."""
    n_cell, size = len(cells.values), abs(need)
    room = np.stack([cells.values - cells.lower, np.full(n_cell, np.inf)])
    room[:, cells.known] = 0.0
    room[:, k] = size * np.array([need < 0.0, need > 0.0])
    weight = np.where(suppressed, HIDDEN_COST, 1.0 + np.log1p(np.abs(cells.values)))
    # The price of a cell is due as a whole: a unit costs what it does if all of the room is used.
    cost = weight / np.maximum(np.minimum(room, size), SLACK * size)
    least = np.zeros((2, n_cell))
    least[:, k] = room[:, k]
    found = solve(
        cost.ravel(),
        sp.hstack([-cells.relations, cells.relations], format="csr"),
        np.column_stack([least.ravel(), room.ravel()]),
    )
    assert found is not None  # costs are positive
    down, up = found.x.reshape(2, n_cell)
    return np.asarray(np.abs(up - down) > SLACK * size)
