"""Bilateral flows with given net migration, as near as can be to a prior table.

Net migration of a place is what comes in less what goes out. It says little about flows: a table
with the given net migration is chosen by its distance from a prior. Relative entropy multiplies the
prior by ``exp(potential of the destination - potential of the origin)``, so that pairs of opposite
flows keep their product (Plane 1981, International Regional Science Review 6(1), 33-51, who calls
it minimum information); squares and absolute differences change few or all flows by persons.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from flowcast.accounting._feasible import MAX_CELLS, possible_cells, shortfall, total_range
from flowcast.accounting._named import (
    align,
    as_dims,
    cell_name,
    check_values,
    expand,
    refuse_dims,
    same_labels,
    spread,
)
from flowcast.accounting._projection import (
    Projection,
    constraint_gap,
    project_entropy,
    project_squares,
)
from flowcast.errors import ConvergenceError, Faults, UsageError, require_word

__all__ = ["Method", "NetTable", "net_of_flows", "net_table"]

FloatArray = NDArray[np.float64]
Method = Literal["entropy", "squares", "absolute"]
Weights = Literal["equal", "relative"]

METHODS: Final[tuple[str, ...]] = get_args(Method)
PAIR: Final = ("origin", "destination")
TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class NetTable:
    """A bilateral table with given net migration.

    Attributes
    ----------
    table
        Persons, (..., origin, destination).
    gap
        Largest distance of a net figure (or of the total) from what was asked, by separate table:
        relative to the turnover of the place, its inflow plus outflow, or to a millionth of the
        largest turnover where that is more.
    distance
        From the prior, in the measure that was minimised; by separate table.
    """

    table: xr.DataArray
    gap: xr.DataArray
    distance: xr.DataArray


def net_of_flows(flows: xr.DataArray) -> xr.DataArray:
    """Return inflow less outflow of each place.

    Parameters
    ----------
    flows
        Persons, (..., origin, destination), with the same places on both; other dims stay.

    Returns
    -------
    xarray.DataArray
        Persons, (..., place).

    Raises
    ------
    InputError
        If dims or labels do not fit.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> net_of_flows(xr.DataArray([[0.0, 5.0], [2.0, 0.0]], places)).values.tolist()
    [-3.0, 3.0]
    """
    faults = Faults("flows")
    others = [str(d) for d in flows.dims if d not in PAIR]
    refuse_dims(faults, "flows", flows, PAIR, others)
    faults.raise_if_any()
    same_labels(faults, "flows", flows, PAIR)
    faults.raise_if_any()
    came = flows.sum("origin").rename(destination="place")
    left = flows.sum("destination").rename(origin="place")
    return (came - left).transpose(*others, "place")


def net_table(
    net: xr.DataArray,
    prior: xr.DataArray,
    *,
    method: Method = "entropy",
    total: float | xr.DataArray | None = None,
    weights: Weights = "equal",
    each: str | Iterable[str] = (),
    tol: float = TOLERANCE,
) -> NetTable:
    """Return the table with given net migration that is nearest to a prior table.

    With p the prior and x the table, over the cells off the diagonal in which p is positive,

    - ``"entropy"`` minimises ``sum x log(x / p) - x + p``. The answer is ``x = p exp(v_j - v_i)``,
      times one more factor where the total is given; every x is positive. It is what raking to net
      totals and conditional maximisation arrive at.
    - ``"squares"`` minimises ``sum w (x - p)^2``, x >= 0.
    - ``"absolute"`` minimises ``sum w |x - p|``, x >= 0, by linear programming. Few flows change;
      where several tables are equally near, it is one of them.

    The diagonal is that of the prior, and cells of 0 stay 0.

    Parameters
    ----------
    net
        Persons by ``place``, inflow less outflow; the sum has to be 0.
    prior
        Flows to stay near to, (origin, destination), 0 or more, in persons (for ``"entropy"`` with
        a total any unit will do).
    method
        Distance from the prior.
    total
        Persons that move in all, off the diagonal; by default what it comes to.
    weights
        w of squares and absolute differences: ``"equal"``, or ``"relative"`` for 1 / p.
    each
        Dims along which tables are separate, such as ``"draw"``.
    tol
        Largest `NetTable.gap` that is accepted.

    Returns
    -------
    NetTable

    Raises
    ------
    InputError
        If dims or labels do not fit, numbers are not finite or negative, net migration does not
        sum to 0, or no table with the zeros of the prior has it: the message names the places.
    ConvergenceError
        If net migration is still off by more than `tol`.
    UsageError
        If there is no such method.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> prior = xr.DataArray([[0.0, 4.0], [1.0, 0.0]], places)
    >>> net = xr.DataArray([0.0, 0.0], {"place": ["A", "B"]})
    >>> net_table(net, prior).table.round(6).values.tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    >>> net_table(net, prior, method="squares").table.round(6).values.tolist()
    [[0.0, 2.5], [2.5, 0.0]]
    """
    require_word("method", method, METHODS)
    require_word("weights", weights, get_args(Weights))
    if not 0.0 < tol < 1.0:
        raise UsageError(f"(net) | found tol {tol:g}; allowed: a tolerance between 0 and 1")
    dims = as_dims(each)
    tables = _checked(net, prior, total, dims)
    out = tables["prior"].copy()
    sizes: dict[Hashable, int] = {dim: out.sizes[dim] for dim in dims}
    nets = expand(tables["net"], {**sizes, "place": out.sizes["origin"]}).to_numpy()
    totals = expand(tables["total"], sizes).to_numpy() if "total" in tables else None
    one = out.isel(origin=0, destination=0, drop=True)
    gap, distance = np.zeros(one.shape), np.zeros(one.shape)
    faults = Faults("net")
    values = out.to_numpy()
    for at in np.ndindex(one.shape):
        asked = None if totals is None else float(totals[at])
        solver = _Solver(values[at].copy(), nets[at], asked, method, weights, tol)
        values[at], gap[at], distance[at] = solver.solve()
        if not gap[at] <= tol:
            solver.refuse(faults, _labels(out), _which(one, at), float(gap[at]))
    faults.raise_if_any()
    return NetTable(out.copy(data=values), one.copy(data=gap), one.copy(data=distance))


@dataclass(frozen=True, slots=True)
class _Solver:
    """One table: prior (place, place), net (place,), and how to go about it."""

    prior: FloatArray
    net: FloatArray
    total: float | None
    method: Method
    weights: Weights
    tol: float

    def cells(self) -> NDArray[np.intp]:
        """Return origin and destination of the flows there can be, (2, cell)."""
        off = self.prior * (1.0 - np.eye(len(self.net)))
        return np.array(np.nonzero(off > 0.0))

    def equations(self) -> tuple[sparse.csr_array, FloatArray]:
        """Return net migration, and the total, as equations of these flows."""
        i, j = self.cells()
        n = np.arange(len(i))
        ones = np.ones(len(i))
        shape = (len(self.net), len(i))
        a = sparse.csr_array((ones, (j, n)), shape) - sparse.csr_array((ones, (i, n)), shape)
        if self.total is None:
            return sparse.csr_array(a), self.net
        both = sparse.vstack([a, sparse.csr_array(ones[None, :])], format="csr")
        return sparse.csr_array(both), np.append(self.net, self.total)

    def refuse(self, faults: Faults, labels: list[str], which: str, gap: float) -> None:
        """Record what no table with these zeros has.

        Raises
        ------
        ConvergenceError
            If there is such a table, and it was not found.
        """
        alone = sparse.csr_array(self.equations()[0][: len(self.net)])
        missed = shortfall(alone, self.net)
        if missed is not None and missed.any():
            for name, short, asked in zip(labels, missed, self.net, strict=True):
                if short != 0.0:
                    most, reached = "at most" if short > 0.0 else "at least", asked - short
                    reached = reached if abs(reached) > self.tol * abs(asked) else 0.0
                    allowed = f"{most} {reached:.10g}, given the zeros of the prior and the rest"
                    faults.add(f"{asked:.10g} for {name}{which}", allowed)
            return
        low, high = total_range(alone, self.net)
        slack = self.tol * (abs(low) + float(np.abs(self.net).sum()))
        if self.total is not None and not low - slack <= self.total <= high + slack:
            allowed = f"{low:.10g} to {high:.10g}, given net migration and the zeros of the prior"
            faults.add(f"{self.total:.10g}{which}", allowed, where="total")
            return
        raise ConvergenceError(
            f"(net{which}) | found net migration off by {gap:.1e} of the turnover; "
            f"allowed: {self.tol:.1e}"
        )

    def solve(self) -> tuple[FloatArray, float, float]:
        """Return table, gap and distance."""
        i, j = self.cells()
        a, b = self.equations()
        p = self.prior[i, j]
        if not len(p):
            return self.prior, constraint_gap(a, b, p), 0.0
        w = 1.0 / p if self.weights == "relative" else np.ones_like(p)
        if self.method == "absolute":
            x = _nearest_absolute(p, w, a, b)
        else:
            x = self._project(p, w, a, b)
        if self.method == "entropy":
            d = float((_xlogx(x, p) - x + p).sum())
        else:
            away = np.abs(x - p)
            d = float((w * (away**2 if self.method == "squares" else away)).sum())
        table = self.prior.copy()
        table[i, j] = x
        return table, constraint_gap(a, b, x), d

    def _project(
        self, p: FloatArray, w: FloatArray, a: sparse.csr_array, b: FloatArray
    ) -> FloatArray:
        """Return the nearest flows; where some have to be 0 they are found and left out first."""
        found = self._nearest(p, w, a, b)
        if found.gap <= self.tol or len(p) > MAX_CELLS:
            return found.x
        possible = possible_cells(a, b)
        x = np.zeros_like(p)
        if possible is not None and possible.any():
            inner = sparse.csr_array(a[:, possible])
            x[possible] = self._nearest(p[possible], w[possible], inner, b).x
        return x

    def _nearest(
        self, p: FloatArray, w: FloatArray, a: sparse.csr_array, b: FloatArray
    ) -> Projection:
        if self.method == "entropy":
            return project_entropy(p, a, b, self.tol)
        scale = float(p.mean())
        found = project_squares(p / scale, w, a, b / scale, self.tol)
        return replace(found, x=found.x * scale)


def _xlogx(x: FloatArray, p: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(x > 0.0, x * np.log(x / p), 0.0))


def _nearest_absolute(
    p: FloatArray, w: FloatArray, a: sparse.csr_array, b: FloatArray
) -> FloatArray:
    """Minimise ``sum w |x - p|`` in what is added to the prior and what is taken from it."""
    scale = max(float(p.max(initial=0.0)), float(np.abs(b).max(initial=0.0))) or 1.0
    bounds = np.column_stack([np.zeros(2 * len(p)), np.append(np.full(len(p), np.inf), p / scale)])
    done = linprog(
        np.append(w, w) / w.max(initial=1e-300),
        A_eq=sparse.hstack([a, -a], format="csr"),
        b_eq=(b - a @ p) / scale,
        bounds=bounds,
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if done.x is None:
        return np.full_like(p, np.nan)
    more, less = done.x[: len(p)], done.x[len(p) :]
    x = np.maximum(p + scale * (more - less), 0.0)
    # solvers are exact to 1e-10 of the largest flow: what is left goes to the flows that changed
    changed = np.flatnonzero((more > 0.0) | (less > 0.0))
    polished = x.copy()
    polished[changed] += np.linalg.lstsq(a[:, changed].toarray(), b - a @ x)[0]
    better = (polished >= 0.0).all() and constraint_gap(a, b, polished) < constraint_gap(a, b, x)
    return np.asarray(polished if better else x)


def _checked(
    net: xr.DataArray,
    prior: xr.DataArray,
    total: float | xr.DataArray | None,
    each: tuple[str, ...],
) -> Mapping[str, xr.DataArray]:
    """Return net, prior and total, aligned and checked."""
    faults = Faults("net")
    refuse_dims(faults, "prior", prior, PAIR, each)
    refuse_dims(faults, "net", net, ("place",), each)
    tables = {"prior": prior.astype(np.float64), "net": net.astype(np.float64)}
    if total is not None:
        tables["total"] = xr.DataArray(total).astype(np.float64)
        refuse_dims(faults, "total", tables["total"], (), each)
    faults.raise_if_any()
    same_labels(faults, "prior", prior, PAIR)
    like = spread(faults, prior, each, tables.values())
    faults.raise_if_any()
    like = like.transpose(*each, *PAIR)
    places = like.isel(destination=0, drop=True).rename(origin="place")
    tables["net"] = align(faults, "net", tables["net"], places)
    if "total" in tables:
        tables["total"] = align(faults, "total", tables["total"], like)
        check_values(faults, "total", tables["total"])
    tables["prior"] = like
    check_values(faults, "prior", prior)
    check_values(faults, "net", net, minimum=-np.inf, what="persons, finite")
    faults.raise_if_any()
    off = tables["net"].sum("place").to_numpy()
    if (np.abs(off) > TOLERANCE * abs(tables["net"]).sum("place").to_numpy()).any():
        worst = float(off.flat[np.abs(off).argmax()])
        faults.add(f"a sum of {worst:.10g}", "0: who leaves a place comes to another")
    faults.raise_if_any()
    return tables


def _labels(table: xr.DataArray) -> list[str]:
    index = table.indexes.get("origin")
    return [f"place {i if index is None else index[i]}" for i in range(table.sizes["origin"])]


def _which(one: xr.DataArray, at: tuple[int, ...]) -> str:
    return f" at {cell_name(one, at)}" if at else ""
