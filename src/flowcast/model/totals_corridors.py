"""Corridors given hyper-parameters and the reports of their cells, as dense blocks.

A corridor's state is its log flows and, for some series, its corridor-by-source effects. Given the
coefficients g it is normal::

    s = X_cell g + M (r - X g) + e,   e ~ N(0, P),   M = K S^-1,   P = K0 - M K'

with r the reports less their prior means, X their design, K0 the prior covariance of the state, K
its covariance with the corridor's reports, and S the covariance of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from flowcast.model.assemble import Core
from flowcast.model.effects import EffectTerms
from flowcast.model.problem import Problem
from flowcast.model.reports import Reports

__all__ = [
    "Conditional",
    "Corridors",
    "cell_design",
    "condition_corridors",
    "effect_variance",
    "indicator",
    "lay_out_corridors",
    "unit_design",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CHUNK = 2_000_000
"""Numbers in the report covariances that are factored at a time."""
_JITTER = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Corridors:
    """Some corridors: what does not depend on hyper-parameters.

    Attributes
    ----------
    corridor
        Which, sorted, (block,). A block of the state has `n_period` log flows and then one effect
        for each of `series`.
    series, side, group
        Names of the series, their sides, and their index among the problem's series, -1 where no
        report is of it.
    cell
        Design of the log flows, (state, coefficient); zero rows for effects.
    report
        Reports of these corridors, (own report,).
    slot
        Block of each of them, and its place in the block, (own report, 2).
    design
        Their design, (own report, coefficient).
    """

    corridor: IntArray
    n_period: int
    series: tuple[str, ...]
    side: IntArray
    group: IntArray
    cell: sp.csr_array
    report: IntArray
    slot: IntArray
    design: sp.csr_array

    @property
    def width(self) -> int:
        """Length of a block."""
        return self.n_period + len(self.series)

    @property
    def n_state(self) -> int:
        """Length of the state."""
        return len(self.corridor) * self.width


@dataclass(frozen=True, slots=True, eq=False)
class Conditional:
    """Corridors given the coefficients.

    Attributes
    ----------
    corridors
        Which.
    pull
        M, (state, own report).
    spread, root
        Block-diagonal P and its root, (state, state).
    """

    corridors: Corridors
    pull: sp.csr_array
    spread: sp.csr_array
    root: sp.csr_array

    def follow(self, coefficients: FloatArray) -> FloatArray:
        """Return how the state moves with the coefficients, (state,)."""
        own = self.corridors
        return np.asarray(own.cell @ coefficients - self.pull @ (own.design @ coefficients))


def _where(problem: Problem) -> dict[tuple[str, str], int]:
    c = problem.coefficients
    return {(g, n): k for k, (g, n) in enumerate(zip(c.group, c.name, strict=True))}


def indicator(rows: int, columns: IntArray, width: int) -> sp.csr_array:
    """Return the matrix with a one in each row's column; columns below zero are left out."""
    row = np.flatnonzero(columns >= 0)
    return sp.csr_array((np.ones(len(row)), (row, columns[row])), shape=(rows, width))


def unit_design(problem: Problem, reports: Reports, effects: EffectTerms) -> sp.csr_array:
    """Return how reports see the flows: (report, coefficient) of their reporters and `effects`."""
    where = _where(problem)
    keys: dict[str, Sequence[str] | NDArray[np.object_]] = {
        "reporter": reports.unit,
        "reporter_period": [f"{u}@{t}" for u, t in zip(reports.unit, reports.period, strict=True)],
    }
    out = sp.csr_array((reports.n, problem.coefficients.n))
    for group, names in keys.items():
        at = np.array([where.get((group, name), -1) for name in names], dtype=np.int64)
        out = out + indicator(reports.n, at, problem.coefficients.n)
    at = np.array([where["effect", name] for name in effects.names], dtype=np.int64)
    if len(at):
        place = (effects.report, at[effects.index])
        out = out + sp.csr_array((effects.value, place), shape=out.shape)
    return sp.csr_array(out)


def cell_design(problem: Problem, corridor: IntArray, period: IntArray) -> sp.csr_array:
    """Return the coefficients' part in some cells' log flows, (cell, coefficient)."""
    where, grid, n = _where(problem), problem.grid, len(corridor)
    columns = [np.full(n, where["intercept", "intercept"])]
    values = [np.ones(n)]
    for k, name in enumerate(problem.covariates.names):
        columns.append(np.full(n, where["covariate", name]))
        values.append(problem.covariates.values[corridor, period, k])
    for group, index in (("origin", grid.origin), ("destination", grid.destination)):
        at = np.array([where.get((group, place), -1) for place in grid.places], dtype=np.int64)
        if (at >= 0).all():
            columns.append(at[index[corridor]])
            values.append(np.ones(n))
    rows = np.tile(np.arange(n), len(columns))
    shape = (n, problem.coefficients.n)
    return sp.csr_array((np.concatenate(values), (rows, np.concatenate(columns))), shape=shape)


def _cell_rows(problem: Problem, corridor: IntArray, width: int) -> sp.csr_array:
    """Return the design of the state: that of each log flow, and zero rows for effects."""
    n_period = problem.grid.n_period
    block = np.repeat(np.arange(len(corridor)), n_period)
    period = np.tile(np.arange(n_period), len(corridor))
    spread = indicator(len(block), block * width + period, len(corridor) * width).T
    return sp.csr_array(spread @ cell_design(problem, corridor[block], period))


def lay_out_corridors(problem: Problem, corridor: IntArray, series: tuple[str, ...]) -> Corridors:
    """Lay some corridors out.

    Parameters
    ----------
    problem
        The linear Gaussian core.
    corridor
        Sorted indices of corridors, (block,).
    series
        Names of the series whose effects the state has.
    """
    reports = problem.reports
    report = np.flatnonzero(np.isin(reports.corridor, corridor))
    owner = np.searchsorted(corridor, reports.corridor[report])
    place = np.arange(len(report)) - np.searchsorted(owner, owner)
    part = reports.take(report)
    effects = problem.effects.take(report)
    design = unit_design(problem, part, effects) + cell_design(problem, part.corridor, part.period)
    group = [problem.series.index(s) if s in problem.series else -1 for s in series]
    return Corridors(
        corridor=corridor.astype(np.int64),
        n_period=problem.grid.n_period,
        series=series,
        side=np.array([problem.sides.index(s.split(":")[0]) for s in series], dtype=np.int64),
        group=np.array(group, dtype=np.int64),
        cell=_cell_rows(problem, corridor, problem.grid.n_period + len(series)),
        report=report.astype(np.int64),
        slot=np.column_stack([owner, place]).astype(np.int64),
        design=sp.csr_array(design),
    )


def effect_variance(own: Corridors, hyper: Mapping[str, Any]) -> FloatArray:
    """Return the prior variance of the corridor-by-source effects of each series, (series,)."""
    if not own.series:
        return np.zeros(0)
    return np.asarray(hyper["sd_corridor_report"], dtype=float)[own.side] ** 2


def _path_covariance(scale: FloatArray, weight: FloatArray, n_period: int) -> FloatArray:
    """Return the prior covariance of corridor effect plus path, (block, period, period)."""
    gap = np.abs(np.arange(n_period)[:, None] - np.arange(n_period))
    stationary = scale[1] / weight / (1.0 - scale[2] ** 2)
    return np.asarray(scale[0] + stationary[:, None, None] * scale[2] ** gap)


def condition_corridors(
    problem: Problem,
    own: Corridors,
    core: Core,
    hyper: Mapping[str, Any],
    innovation_weight: FloatArray,
) -> Conditional:
    """Return M, P and the root of P; corridors are taken together as far as memory is small.

    Parameters
    ----------
    problem
        The linear Gaussian core.
    own
        The corridors.
    core, hyper
        At the same hyper-parameters.
    innovation_weight
        Of each of the corridors, (block,).
    """
    n = np.bincount(own.slot[:, 0], minlength=len(own.corridor))
    most, width = int(n.max(initial=0)), own.width
    step = max(1, _CHUNK // max(1, (most + width) ** 2))
    pulls, spreads, roots = [], [], []
    for lo in range(0, len(n), step):
        block = slice(lo, min(lo + step, len(n)))
        prior = _prior(own, core, hyper, innovation_weight[block])
        pull, spread = _condition(problem, own, core, prior, block, most)
        size = np.einsum("btt->b", spread) / width + 1e-12
        roots.append(np.linalg.cholesky(spread + _JITTER * size[:, None, None] * np.eye(width)))
        pulls.append(pull)
        spreads.append(spread)
    pull = np.concatenate(pulls)
    rows = np.arange(own.n_state).reshape(-1, width)[own.slot[:, 0]]
    columns = np.repeat(np.arange(len(own.report)), width)
    values = pull[own.slot[:, 0], :, own.slot[:, 1]]
    shape = (own.n_state, len(own.report))
    return Conditional(
        own,
        sp.csr_array((values.ravel(), (rows.ravel(), columns)), shape=shape),
        _block_diagonal(np.concatenate(spreads)),
        _block_diagonal(np.concatenate(roots)),
    )


def _block_diagonal(blocks: FloatArray) -> sp.csr_array:
    n, width = blocks.shape[:2]
    shape = (n * width, n * width)
    return sp.csr_array(sp.bsr_array((blocks, np.arange(n), np.arange(n + 1)), shape=shape))


def _prior(own: Corridors, core: Core, hyper: Mapping[str, Any], weight: FloatArray) -> FloatArray:
    """Return the prior covariance of the state given the coefficients, (block, width, width)."""
    out = np.zeros((len(weight), own.width, own.width))
    out[:, : own.n_period, : own.n_period] = _path_covariance(core.scale, weight, own.n_period)
    tail = np.arange(own.n_period, own.width)
    out[:, tail, tail] = effect_variance(own, hyper)
    return out


def _condition(
    problem: Problem, own: Corridors, core: Core, prior: FloatArray, block: slice, most: int
) -> tuple[FloatArray, FloatArray]:
    """Return M (block, width, report) and P (block, width, width) of a stretch of corridors.

    Corridors with fewer reports than others are padded with reports that say nothing.
    """
    n, n_period, width = len(prior), own.n_period, own.width
    if most == 0:
        return np.zeros((n, width, 0)), prior
    inside = (own.slot[:, 0] >= block.start) & (own.slot[:, 0] < block.stop)
    at = (own.slot[inside, 0] - block.start, own.slot[inside, 1])
    rows = own.report[inside]
    period = np.zeros((n, most), dtype=np.int64)
    group = np.full((n, most), -1, dtype=np.int64)
    real, noise = np.zeros((n, most)), np.ones((n, most))
    period[at], group[at] = problem.reports.period[rows], problem.group[rows]
    real[at], noise[at] = 1.0, core.noise[rows]
    index = np.arange(n)[:, None, None]
    reported = prior[index, period[:, :, None], period[:, None, :]]
    variance = np.append(core.group_variance, 0.0)[group]
    same = (group[:, :, None] == group[:, None, :]) * variance[:, :, None]
    reported = (reported + same) * real[:, :, None] * real[:, None, :]
    reported[:, np.arange(most), np.arange(most)] += noise
    cross = np.zeros((n, width, most))
    cross[:, :n_period] = prior[index, np.arange(n_period)[:, None], period[:, None, :]]
    for k, which in enumerate(own.group.tolist()):
        if which >= 0:
            at_effect = n_period + k
            cross[:, at_effect] = prior[:, at_effect, at_effect, None] * (group == which)
    cross *= real[:, None, :]
    pull = np.linalg.solve(reported, cross.transpose(0, 2, 1)).transpose(0, 2, 1)
    spread = prior - pull @ cross.transpose(0, 2, 1)
    return pull, 0.5 * (spread + spread.transpose(0, 2, 1))
