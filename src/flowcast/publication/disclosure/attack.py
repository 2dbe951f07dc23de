"""What a reader of published tables can find out about the cells that are not in them.

A cell that was left out is bounded by the sums and differences it is part of: its least and largest
possible values are two linear programmes (Fischetti and Salazar-González 2001).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, linprog

from flowcast.errors import FlowcastError
from flowcast.publication.disclosure.cells import LinkedCells, split_relations

__all__ = ["Attack", "audit_rounding", "audit_table", "find_exposed"]

SLACK: Final = 1e-6
"""Of the width of protection: what a linear programme may be wrong by."""
OPTIMAL: Final = 0
INFEASIBLE: Final = 2
UNBOUNDED: Final = (3, 4)
"""Statuses of HiGHS; 4 is also "unbounded or infeasible", and the truth is always feasible."""


@dataclass(frozen=True, slots=True, eq=False)
class Attack:
    """What a reader can find out.

    Attributes
    ----------
    lower, upper
        Least and largest value that each cell can have, given all that is published, shape (cell,);
        both are the value itself where it is published.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def covers(self, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return for which cells every value from `lower` to `upper` remains possible."""
        slack = SLACK * np.maximum(1.0, upper - lower)
        return np.asarray((self.lower <= lower + slack) & (self.upper >= upper - slack))


def audit_table(cells: LinkedCells, suppressed: NDArray[np.bool_]) -> Attack:
    """Attack a table by linear programming.

    Parameters
    ----------
    cells
        The true values, and the relations that everybody knows.
    suppressed
        Which cells are not published, shape (cell,).

    Returns
    -------
    Attack
        The feasible interval of every cell.

    Notes
    -----
    The reader is taken to know the published values, the relations and that counts are not
    negative. What they know from elsewhere is not counted.

    References
    ----------
    Fischetti, M. and Salazar-González, J. J. (2001). Solving the cell suppression problem on
    tabular data with linear constraints. Management Science 47, 1008-1027.
    https://doi.org/10.1287/mnsc.47.7.1008.9805

    Examples
    --------
    One cell of a row that is left out is the total less the others:

    >>> from flowcast.publication.disclosure import link_cells
    >>> row = link_cells([2.0, 3.0, 5.0], [[1.0, 1.0, -1.0]])
    >>> found = audit_table(row, np.array([True, False, False]))
    >>> found.lower.tolist(), found.upper.tolist()
    ([2.0, 3.0, 5.0], [2.0, 3.0, 5.0])
    """
    free = np.asarray(suppressed, bool) & ~cells.known
    down = np.where(free, cells.lower - cells.values, 0.0)
    return _attack(cells, down, np.where(free, np.inf, 0.0))


def audit_rounding(
    cells: LinkedCells, rounded: NDArray[np.float64], error: NDArray[np.float64]
) -> Attack:
    """Attack a rounded table by linear programming.

    Parameters
    ----------
    cells
        The true values.
    rounded
        What is published, shape (cell,).
    error
        The most by which a published value may be wrong, shape (cell,).

    Returns
    -------
    Attack
        The feasible interval of every cell.

    Examples
    --------
    >>> from flowcast.publication.disclosure import link_cells
    >>> row = link_cells([2.0, 3.0, 5.0], [[1.0, 1.0, -1.0]])
    >>> found = audit_rounding(row, np.array([0.0, 10.0, 10.0]), np.full(3, 10.0))
    >>> found.lower.tolist(), found.upper.tolist()
    ([0.0, 0.0, 0.0], [10.0, 20.0, 20.0])
    """
    down = np.maximum(cells.lower, rounded - error) - cells.values
    up = rounded + error - cells.values
    return _attack(cells, np.where(cells.known, 0.0, down), np.where(cells.known, 0.0, up))


def _attack(cells: LinkedCells, down: NDArray[np.float64], up: NDArray[np.float64]) -> Attack:
    """Return the feasible intervals, given how far each value may be from the truth."""
    found = np.zeros((2, len(cells.values)))
    free = np.flatnonzero(up > down)
    for part, relations in split_relations(cells.relations[:, free]):
        at = free[part]
        bounds = np.column_stack([down[at], up[at]])
        for k in range(len(at)):
            for row, sign in enumerate((1.0, -1.0)):
                cost = np.zeros(len(at))
                cost[k] = sign
                done = solve(cost, relations, bounds)
                found[row, at[k]] = -sign * np.inf if done is None else done.x[k]
    return Attack(*(cells.values + found))


def solve(
    cost: NDArray[np.float64],
    relations: sp.csr_array,
    bounds: NDArray[np.float64],
    below: sp.csr_array | None = None,
) -> OptimizeResult | None:
    """Minimise `cost` over deviations that relations (= 0) and `below` (<= 0) allow.

    Returns
    -------
    OptimizeResult or None
        A vertex; None where the cost has no minimum.

    Raises
    ------
    FlowcastError
        If there is no such deviation.
    """
    done = linprog(
        cost,
        A_eq=relations if relations.shape[0] else None,
        b_eq=np.zeros(relations.shape[0]) if relations.shape[0] else None,
        A_ub=below,
        b_ub=None if below is None else np.zeros(below.shape[0]),
        bounds=bounds,
        method="highs-ds",
    )
    if done.status == OPTIMAL:
        return done
    if done.status in UNBOUNDED:
        return None
    if done.status == INFEASIBLE:
        raise FlowcastError(
            "(disclosure control) | a sensitive cell cannot be protected whatever is left out, "
            "since too much is known anyhow"
        )
    raise FlowcastError(f"(disclosure control) | the linear programme failed: {done.message}")


def find_exposed(
    cells: LinkedCells,
    suppressed: NDArray[np.bool_],
    sensitive: NDArray[np.bool_],
    protection: tuple[float, float],
) -> list[tuple[int, float]]:
    """Return which sensitive cells can be known better than promised.

    Parameters
    ----------
    cells
        The true values, and the relations that everybody knows.
    suppressed, sensitive
        Which cells are not published, and which of them are to be protected; shape (cell,).
    protection
        Persons below and above the true value (but not below the least possible one).

    Returns
    -------
    list of (int, float)
        Position of a cell and the deviation, below (negative) or above, that what is published
        rules out.

    Examples
    --------
    >>> from flowcast.publication.disclosure import link_cells
    >>> row = link_cells([2.0, 3.0, 5.0], [[1.0, 1.0, -1.0]])
    >>> first = np.array([True, False, False])
    >>> find_exposed(row, first, first, (1.0, 4.0))
    [(0, -1.0), (0, 4.0)]
    >>> find_exposed(row, np.array([True, True, False]), first, (1.0, 4.0))
    [(0, 4.0)]
    """
    needs = required_deviations(cells, sensitive, protection)
    exposed: list[tuple[int, float]] = []
    free = np.flatnonzero(suppressed & ~cells.known)
    for part, relations in split_relations(cells.relations[:, free]):
        at = free[part]
        down = cells.lower[at] - cells.values[at]
        bounds = np.column_stack([down, np.full(len(at), np.inf)])
        for need in needs:
            for k in _unreachable(relations, bounds, need[at]):
                exposed.append((int(at[k]), float(need[at[k]])))
    return sorted(exposed)


def required_deviations(
    cells: LinkedCells, sensitive: NDArray[np.bool_], protection: tuple[float, float]
) -> NDArray[np.float64]:
    """Return what must be possible of each cell, below (negative) and above: shape (2, cell)."""
    down = -np.minimum(protection[0], cells.values - cells.lower)
    return np.where(sensitive, np.stack([down, np.full(len(down), protection[1])]), 0.0)


def _unreachable(
    relations: sp.csr_array, bounds: NDArray[np.float64], need: NDArray[np.float64]
) -> list[int]:
    """Return the cells that cannot deviate as much as they need to, all in one direction.

    Several are asked for at once, more the better that goes: a table that suits them all answers
    for each. Only of one asked for alone does a failure say anything.
    """
    out: list[int] = []
    wanted = np.flatnonzero(need)
    # Neighbours stand in each other's way; which cells are found does not depend on the order.
    wanted = np.random.default_rng(len(wanted)).permutation(wanted)
    size = len(wanted)
    while len(wanted):
        together, rest = wanted[:size], wanted[size:]
        reached = _reach(relations, bounds, need, together)
        if len(together) == 1 and not reached.all():
            out.append(int(together[0]))
            reached[:] = True
        size = 2 * size if reached.all() else max(1, size // 2)
        wanted = np.concatenate([together[~reached], rest])
    return out


def _reach(
    relations: sp.csr_array,
    bounds: NDArray[np.float64],
    need: NDArray[np.float64],
    wanted: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Deviate as much as possible in sum, each up to its need; return which reach it."""
    n_cell, n_wanted = len(need), len(wanted)
    sizes, signs = np.abs(need[wanted]), np.sign(need[wanted])
    ends = (np.arange(n_wanted), wanted)
    deviates = sp.csr_array((signs, ends), shape=(n_wanted, n_cell))
    found = solve(
        np.concatenate([np.zeros(n_cell), -np.ones(n_wanted)]),
        sp.hstack([relations, sp.csr_array((relations.shape[0], n_wanted))], format="csr"),
        np.concatenate([bounds, np.column_stack([np.zeros(n_wanted), sizes])]),
        sp.hstack([-deviates, sp.eye_array(n_wanted)], format="csr"),
    )
    assert found is not None  # each gain has a bound
    return np.asarray(found.x[wanted] * signs >= sizes * (1.0 - SLACK))
