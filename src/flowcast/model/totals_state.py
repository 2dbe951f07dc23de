"""What sums of cells depend on, as a Gaussian vector given reports of single cells.

The state has the log flows of every corridor that a sum touches, the corridor-by-source effects
with which sums see them, and all coefficients. Given the hyper-parameters and the reports of single
cells it is normal: the coefficients have mean and covariance from the collapsed likelihood, and
given them each corridor is independent (`totals_corridors`). Nothing larger than a corridor's block
is ever dense, except over sums and coefficients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from flowcast.model.assemble import Sites, assemble, report_offset
from flowcast.model.evaluation import solve
from flowcast.model.problem import Problem, share_positions
from flowcast.model.totals_corridors import (
    Conditional,
    Corridors,
    cell_design,
    condition_corridors,
    effect_variance,
    indicator,
    lay_out_corridors,
    unit_design,
)
from flowcast.model.totals_rows import Totals

__all__ = [
    "Frame",
    "State",
    "build_frame",
    "condition_state",
    "draw_series",
    "entry_offset",
    "shift_others",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DENSE_ENTRIES = 600


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What does not depend on hyper-parameters.

    Attributes
    ----------
    totals
        The sums.
    corridors
        Corridors that a sum touches, with the effects of all series of sums.
    others
        Corridors with reports that no sum touches.
    select
        Adds up what each entry sees of the state, (entry, state).
    unit
        The same for reporter and reporter-by-period effects, (entry, coefficient).
    share_index
        Index of each entry into the share classes.
    fixed
        Prior mean of what `unit` adds up, (entry,).
    entry_design
        The coefficients' part in each entry, (entry, coefficient).
    """

    totals: Totals
    corridors: Corridors
    others: Corridors
    select: sp.csr_array
    unit: sp.csr_array
    share_index: IntArray
    fixed: FloatArray
    entry_design: sp.csr_array

    @property
    def dense(self) -> bool:
        """Whether matrices over entries are small enough to be dense."""
        return self.totals.entries.n <= _DENSE_ENTRIES


@lru_cache(maxsize=2)
def build_frame(problem: Problem) -> Frame:
    """Lay out what the sums of a problem depend on.

    Parameters
    ----------
    problem
        With `totals`. The last two problems' frames are remembered.
    """
    totals = problem.totals
    assert totals is not None, "a problem without sums has no frame"
    entries, n_period = totals.entries, problem.grid.n_period
    series = tuple(sorted(set(entries.series))) if problem.parts.series else ()
    corridor, block = np.unique(entries.corridor, return_inverse=True)
    own = lay_out_corridors(problem, corridor, series)
    select = indicator(entries.n, block * own.width + entries.period, own.n_state)
    if series:
        effect = np.array([series.index(s) for s in entries.series], dtype=np.int64)
        select = select + indicator(entries.n, block * own.width + n_period + effect, own.n_state)
    labels = problem.labels["share_class"]
    unit = unit_design(problem, entries, problem.total_effects)
    return Frame(
        totals=totals,
        corridors=own,
        others=lay_out_corridors(problem, np.setdiff1d(problem.blocks.corridor, corridor), ()),
        select=sp.csr_array(select),
        unit=unit,
        share_index=share_positions(labels, entries.share),
        fixed=np.asarray(unit @ problem.coefficients.mean),
        entry_design=sp.csr_array(select @ own.cell + unit),
    )


def entry_offset(frame: Frame, hyper: Mapping[str, Any]) -> FloatArray:
    """Return the log factor of definition, undercount and prior biases of each entry, (entry,)."""
    entries = frame.totals.entries
    offset = report_offset(hyper, entries.duration, frame.share_index)
    return np.asarray(frame.fixed + offset)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The state at given hyper-parameters: mean, and covariance in factors.

    Sums depend on it through their entries only: an entry is the log flow as the reporter sees it,
    with its effects, definition and undercount.

    Attributes
    ----------
    frame
        The sums.
    own
        The corridors given the coefficients.
    cells, coefficients
        Means: of log flows and effects (state,), and of the coefficients less their prior mean.
    factor
        Lower triangular L; the coefficients have precision L L'.
    offset, entries
        Log factor of definition and undercount of each entry, and each entry's mean, (entry,).
    alone
        Covariance of the entries given the coefficients, (entry, entry), sparse.
    half
        L^-1 X_entry', X_entry being how entries move with the coefficients, (coefficient, entry).
    whole
        Covariance of the entries, alone + half' half, where it is small.
    """

    frame: Frame
    own: Conditional
    cells: FloatArray
    coefficients: FloatArray
    factor: FloatArray
    offset: FloatArray
    entries: FloatArray
    alone: sp.csr_array
    half: FloatArray
    whole: FloatArray | None

    def see(self, cells: FloatArray, coefficients: FloatArray) -> FloatArray:
        """Return the entries at a point of the state, (entry,)."""
        frame = self.frame
        return np.asarray(frame.select @ cells + frame.unit @ coefficients + self.offset)

    def spread(self, along: FloatArray) -> FloatArray:
        """Return the covariance of the entries times a vector, (entry,) or (entry, column)."""
        if self.whole is not None:
            return np.asarray(self.whole @ along)
        return np.asarray(self.alone @ along + self.half.T @ (self.half @ along))

    def descend(self, half: FloatArray) -> FloatArray:
        """Return L^-T times a vector: from loadings to coefficients."""
        return np.asarray(
            solve_triangular(self.factor, half, lower=True, trans="T", check_finite=False)
        )

    def carry(self, along: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the covariances of state and coefficients with the entries, times (entry,)."""
        coefficients = self.descend(self.half @ along)
        cells = self.own.spread @ (self.frame.select.T @ along) + self.own.follow(coefficients)
        return cells, coefficients

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw the state and the coefficients."""
        by_coefficient = self.descend(rng.standard_normal(len(self.coefficients)))
        alone = self.own.root @ rng.standard_normal(self.own.root.shape[1])
        cells = self.cells + self.own.follow(by_coefficient) + alone
        return cells, self.coefficients + by_coefficient


def condition_state(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    innovation_weight: FloatArray | None = None,
) -> State:
    """Return the state given the hyper-parameters and the reports of single cells.

    Parameters
    ----------
    problem, hyper, sites
        As for `assemble`.
    innovation_weight
        Of each corridor that a sum touches, (block,); by default those of the sites.
    """
    frame = build_frame(problem)
    corridors = frame.corridors
    core = assemble(problem, hyper, sites)
    solution = solve(problem, core, sites.innovation_weight)
    if innovation_weight is None:
        innovation_weight = sites.innovation_weight[corridors.corridor]
    own = condition_corridors(problem, corridors, core, hyper, innovation_weight)
    gap = core.residual[corridors.report] - corridors.design @ solution.mean
    mean = problem.coefficients.mean + solution.mean
    cells = corridors.cell @ mean + own.pull @ gap
    offset = entry_offset(frame, hyper)
    select: Any = frame.select
    alone = select @ own.spread @ select.T
    through = frame.entry_design - (select @ own.pull) @ corridors.design
    half = solve_triangular(solution.factor, through.toarray().T, lower=True, check_finite=False)
    return State(
        frame=frame,
        own=own,
        cells=cells,
        coefficients=solution.mean,
        factor=solution.factor,
        offset=offset,
        entries=select @ cells + frame.unit @ solution.mean + offset,
        alone=alone,
        half=half,
        whole=alone.toarray() + half.T @ half if frame.dense else None,
    )


def draw_series(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    log_flow: FloatArray,
    coefficient: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw the corridor-by-source effects of sums given flows and reports of single cells.

    Given flows and coefficients they are independent normals.

    Parameters
    ----------
    problem, hyper, sites
        As for `assemble`.
    log_flow, coefficient
        Flows (corridor, period) and coefficients (coefficient,).
    rng
        Source of randomness.

    Returns
    -------
    ndarray, (block, series)
        Of the frame's corridors and series.
    """
    own = build_frame(problem).corridors
    shape = (len(own.corridor), len(own.series))
    variance = np.maximum(effect_variance(own, hyper), 1e-300)
    precision, shift = np.tile(1.0 / variance, (shape[0], 1)), np.zeros(shape)
    core, rows = assemble(problem, hyper, sites), own.report
    corridor, period = problem.reports.corridor[rows], problem.reports.period[rows]
    explained = own.design @ (coefficient - problem.coefficients.mean)
    path = log_flow[corridor, period] - cell_design(problem, corridor, period) @ coefficient
    left = core.residual[rows] - explained - path
    for k, which in enumerate(own.group):
        mine = (problem.group[rows] == which) & (which >= 0)
        inverse, block = 1.0 / core.noise[rows[mine]], own.slot[mine, 0]
        precision[:, k] += np.bincount(block, inverse, shape[0])
        shift[:, k] += np.bincount(block, inverse * left[mine], shape[0])
    return np.asarray(shift / precision + rng.standard_normal(shape) / np.sqrt(precision))


def shift_others(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    log_flow: FloatArray,
    move: FloatArray,
) -> FloatArray:
    """Return the flows after the coefficients moved: of corridors that no sum touches.

    Parameters
    ----------
    problem, hyper, sites
        As for `assemble`.
    log_flow
        A draw of the flows, (corridor, period).
    move
        How its coefficients moved, (coefficient,).

    Returns
    -------
    ndarray, (corridor, period)
        Corridors that a sum touches are as given.
    """
    frame, out, n_period = build_frame(problem), log_flow.copy(), problem.grid.n_period
    others = frame.others
    if len(others.corridor):
        core, weight = assemble(problem, hyper, sites), sites.innovation_weight[others.corridor]
        own = condition_corridors(problem, others, core, hyper, weight)
        out[others.corridor] += own.follow(move).reshape(-1, n_period)
    touched = np.concatenate([frame.corridors.corridor, others.corridor])
    silent = np.setdiff1d(np.arange(problem.grid.n_corridor), touched)
    corridor, period = np.repeat(silent, n_period), np.tile(np.arange(n_period), len(silent))
    out[silent] += (cell_design(problem, corridor, period) @ move).reshape(-1, n_period)
    return out
