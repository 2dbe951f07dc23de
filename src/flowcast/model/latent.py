"""Exact conditional simulation of coefficients and latent log flows, one hyper-draw at a time.

The coefficients come from their Gaussian posterior; each corridor's path then by conditioning a
draw from its prior on its reports (Matheron's rule; e.g. Doucet 2010,
"A note on efficient conditional simulation of Gaussian distributions").
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flowcast.model.assemble import Sites, assemble, evaluate
from flowcast.model.kernel import block_covariance, powers_of
from flowcast.model.problem import Problem

__all__ = ["cell_mean", "draw_latent", "draw_path"]

FloatArray = NDArray[np.float64]


def cell_mean(problem: Problem, coefficient: FloatArray) -> FloatArray:
    """Return the part of the log flow that coefficients explain, (corridor, period)."""
    group, grid = problem.coefficients.group, problem.grid

    def of(name: str) -> FloatArray:
        return np.asarray(coefficient[group == name])

    mean = of("intercept")[0] + problem.covariates.values @ of("covariate")
    if problem.parts.origin:
        mean = mean + of("origin")[grid.origin, None]
    if problem.parts.destination:
        mean = mean + of("destination")[grid.destination, None]
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


@njit(cache=True, nogil=True)
def _condition(
    path: Any,
    gap: Any,
    noise: Any,
    scale: Any,
    group_variance: Any,
    period: Any,
    group: Any,
    start: Any,
    corridor: Any,
    innovation_weight: Any,
) -> None:
    """Move prior paths onto the reports: add K S^-1 (report - simulated report) in place."""
    n_period = path.shape[1]
    powers = powers_of(scale[2], np.array([0, n_period]))
    cov = np.empty((len(gap), np.max(start[1:] - start[:-1])))
    for c in range(len(corridor)):
        lo, hi, weight = start[c], start[c + 1], innovation_weight[corridor[c]]
        block_covariance(cov, lo, hi, period, group, noise, scale, weight, powers, group_variance)
        own = np.tril(cov[lo:hi, : hi - lo])
        pull = np.linalg.solve(own + np.tril(own, -1).T, gap[lo:hi])
        stationary = scale[1] / weight / (1.0 - scale[2] * scale[2])
        for t in range(n_period):
            for k in range(hi - lo):
                between = scale[0] + stationary * powers[abs(period[lo + k] - t)]
                path[corridor[c], t] += between * pull[k]


@njit(cache=True, nogil=True)
def _times_design(
    out: Any, start: Any, design: Any, design_start: Any, cols: Any, cols_start: Any, coef: Any
) -> None:
    for c in range(len(start) - 1):
        at, m = cols_start[c], cols_start[c + 1] - cols_start[c]
        for k in range(start[c], start[c + 1]):
            row = design_start[c] + (k - start[c]) * m
            for d in range(m):
                out[k] += design[row + d] * coef[cols[at + d]]


def design_product(problem: Problem, coefficient: FloatArray) -> FloatArray:
    """Return the design times the coefficients for every report, (report,)."""
    b, out = problem.blocks, np.zeros(problem.reports.n)
    _times_design(out, b.start, b.design, b.design_start, b.cols, b.cols_start, coefficient)
    return out


def _innovation_weights(problem: Problem, sites: Sites, rng: np.random.Generator) -> FloatArray:
    """Return the fitted weights, and draws from the prior for corridors without a report."""
    nu = problem.spec.tails.innovations
    weight = sites.innovation_weight.copy()
    if nu is not None and problem.parts.path:
        silent = np.ones(len(weight), dtype=bool)
        silent[problem.blocks.corridor] = False
        weight[silent] = rng.gamma(nu / 2.0, 2.0 / nu, int(silent.sum()))
    return np.asarray(weight)


def draw_latent(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw coefficients and latent log flows given one draw of the hyper-parameters.

    Returns
    -------
    log_flow : ndarray, (corridor, period)
    coefficient : ndarray, (coefficient,)
    """
    core = assemble(problem, hyper, sites)
    out = evaluate(problem, core, sites.innovation_weight)
    deviation = out[7] + out[8].T @ rng.standard_normal(len(out[7]))
    reports, n_series = problem.reports, len(problem.series)
    weight = _innovation_weights(problem, sites, rng)
    path = draw_path(core.scale, weight, problem.grid.n_period, rng)
    effect = rng.standard_normal((problem.grid.n_corridor, n_series))
    effect = effect * np.sqrt(core.group_variance)
    simulated = path[reports.corridor, reports.period]
    simulated = simulated + np.sqrt(core.noise) * rng.standard_normal(reports.n)
    known = problem.group >= 0
    simulated[known] += effect[reports.corridor[known], problem.group[known]]
    gap = core.residual - design_product(problem, deviation) - simulated
    blocks = problem.blocks
    _condition(
        path,
        gap,
        core.noise,
        core.scale,
        core.group_variance,
        reports.period,
        problem.group,
        blocks.start,
        blocks.corridor,
        weight,
    )
    coefficient = problem.coefficients.mean + deviation
    return cell_mean(problem, coefficient) + path, coefficient
