"""Exact conditional simulation of coefficients and latent log flows, one hyper-draw at a time.

The coefficients come from their Gaussian posterior. Given them, corridors are independent, so that
flows can be made a block of corridors at a time: corridor effects, corridor-by-source effects and
paths by filtering forwards and sampling backwards (see `paths`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast.model.assemble import Core, Sites, assemble
from flowcast.model.compact import compact_product
from flowcast.model.evaluation import solve
from flowcast.model.paths import condition_paths
from flowcast.model.problem import Problem

__all__ = [
    "CorridorParts",
    "cell_mean",
    "design_product",
    "draw_cells",
    "draw_coefficients",
    "draw_latent",
    "draw_parts",
    "draw_path",
]

FloatArray = NDArray[np.float64]
_ALL = slice(None)


def cell_mean(problem: Problem, coefficient: FloatArray, corridors: slice = _ALL) -> FloatArray:
    """Return the part of the log flow that coefficients explain, (corridor, period).

    Parameters
    ----------
    problem
        The linear Gaussian core.
    coefficient
        All coefficients, (coefficient,).
    corridors
        Stretch of the grid's corridors to return; by default all.
    """
    group, grid = problem.coefficients.group, problem.grid

    def of(name: str) -> FloatArray:
        return np.asarray(coefficient[group == name])

    mean = of("intercept")[0] + problem.covariates.values[corridors] @ of("covariate")
    if problem.parts.origin:
        mean = mean + of("origin")[grid.origin[corridors], None]
    if problem.parts.destination:
        mean = mean + of("destination")[grid.destination[corridors], None]
    return np.asarray(mean)


def draw_path(
    scale: FloatArray, innovation_weight: FloatArray, n_period: int, rng: np.random.Generator
) -> FloatArray:
    """Draw corridor effects plus AR(1) paths from their prior, (corridor, period)."""
    n = len(innovation_weight)
    path = np.sqrt(scale[0]) * np.broadcast_to(rng.standard_normal((n, 1)), (n, n_period))
    if scale[1] == 0.0:
        return np.asarray(path.copy())
    sd = np.sqrt(scale[1] / innovation_weight)
    shocks = rng.standard_normal((n, n_period)) * sd[:, None]
    deviation = np.empty((n, n_period))
    deviation[:, 0] = shocks[:, 0] / np.sqrt(1.0 - scale[2] ** 2)
    for t in range(1, n_period):
        deviation[:, t] = scale[2] * deviation[:, t - 1] + shocks[:, t]
    return np.asarray(path + deviation)


def design_product(
    problem: Problem, coefficient: FloatArray, corridors: slice = _ALL
) -> FloatArray:
    """Return the design times the coefficients for every report of some corridors, (report,)."""
    b = problem.blocks
    bounds = corridors.indices(problem.grid.n_corridor)[:2]
    lo, hi = (int(k) for k in np.searchsorted(b.corridor, bounds))
    return compact_product(problem.compact, b.start, coefficient, int(lo), int(hi))


@dataclass(frozen=True, slots=True, eq=False)
class CorridorParts:
    """What coefficients leave over in some corridors.

    Attributes
    ----------
    effect
        Corridor effects u, (corridor,).
    series
        Corridor-by-source effects v, (corridor, series); zeros where the model has none.
    path
        AR(1) paths e, (corridor, period); zeros where the model has none.
    innovation_weight
        Weights of the innovations they were drawn with, (corridor,).
    """

    effect: FloatArray
    series: FloatArray
    path: FloatArray
    innovation_weight: FloatArray

    @property
    def log_flow(self) -> FloatArray:
        """Their part of the log flow, (corridor, period)."""
        return np.asarray(self.effect[:, None] + self.path)


def _block_core(problem: Problem, hyper: Mapping[str, Any], sites: Sites, rows: slice) -> Core:
    """Evaluate the core's inputs for a stretch of the reports only."""
    reports = problem.reports
    part = replace(
        problem,
        reports=replace(reports, value=reports.value[rows], duration=reports.duration[rows]),
        prior_mean=problem.prior_mean[rows],
        share_index=problem.share_index[rows],
        noise_index=problem.noise_index[rows],
    )
    held = replace(
        sites,
        mean=sites.mean[rows],
        variance=sites.variance[rows],
        noise_weight=sites.noise_weight[rows],
    )
    return assemble(part, hyper, held)


def _innovation_weights(
    problem: Problem, sites: Sites, corridors: slice, reported: NDArray[np.bool_],
    rng: np.random.Generator,
) -> FloatArray:  # fmt: skip
    """Return the fitted weights, and draws from the prior for corridors without a report."""
    nu = problem.spec.tails.innovations
    weight = np.array(sites.innovation_weight[corridors], dtype=float)
    if nu is not None and problem.parts.path:
        weight[~reported] = rng.gamma(nu / 2.0, 2.0 / nu, int((~reported).sum()))
    return weight


def draw_parts(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    coefficient: FloatArray,
    corridors: slice,
    rng: np.random.Generator,
) -> CorridorParts:
    """Draw corridor effects, corridor-by-source effects and paths given the coefficients.

    Parameters are those of `draw_cells`.
    """
    grid, reports = problem.grid, problem.reports
    lo, hi, _ = corridors.indices(grid.n_corridor)
    start = np.searchsorted(reports.corridor, np.arange(lo, hi + 1)).astype(np.int64)
    rows = slice(int(start[0]), int(start[-1]))
    core = _block_core(problem, hyper, sites, rows)
    deviation = coefficient - problem.coefficients.mean
    n, n_series = hi - lo, len(problem.series)
    weight = _innovation_weights(problem, sites, corridors, np.diff(start) > 0, rng)
    effect = rng.standard_normal(n)
    series = rng.standard_normal((n, n_series)) if problem.parts.series else np.zeros((n, n_series))
    shape = (n, grid.n_period)
    path = rng.standard_normal(shape) if problem.parts.path else np.zeros(shape)
    condition_paths(
        effect,
        series,
        path,
        core.residual - design_product(problem, deviation, corridors),
        core.noise,
        reports.period[rows],
        problem.group[rows],
        start - start[0],
        core.scale,
        core.group_variance,
        weight,
    )
    return CorridorParts(effect, series, path, weight)


def draw_cells(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    coefficient: FloatArray,
    corridors: slice,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw the latent log flows of a block of corridors given all coefficients.

    Parameters
    ----------
    problem
        The linear Gaussian core.
    hyper
        One draw of the hyper-parameters by name.
    sites
        Stand-ins of the parts that are not Gaussian.
    coefficient
        One draw of the coefficients, such as from `draw_coefficients`, (coefficient,).
    corridors
        Stretch of the grid's corridors, with step 1.
    rng
        Source of randomness. A block is determined by it and by which corridors it has.

    Returns
    -------
    ndarray, (corridor, period)
    """
    parts = draw_parts(problem, hyper, sites, coefficient, corridors, rng)
    return cell_mean(problem, coefficient, corridors) + parts.log_flow


def draw_coefficients(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, rng: np.random.Generator
) -> FloatArray:
    """Draw all linear coefficients given one draw of the hyper-parameters, (coefficient,)."""
    solution = solve(problem, assemble(problem, hyper, sites), sites.innovation_weight)
    return np.asarray(problem.coefficients.mean + solution.draw(rng))


def draw_latent(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw coefficients and latent log flows given one draw of the hyper-parameters.

    Returns
    -------
    log_flow : ndarray, (corridor, period)
    coefficient : ndarray, (coefficient,)
    """
    coefficient = draw_coefficients(problem, hyper, sites, rng)
    return draw_cells(problem, hyper, sites, coefficient, _ALL, rng), coefficient
