"""The model run forwards: a world drawn from it, latent flows and reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast.model.assemble import Sites, assemble, report_offset
from flowcast.model.latent import cell_mean, design_product, draw_path
from flowcast.model.problem import Problem
from flowcast.model.reports import RELATIVE, SAMPLED
from flowcast.model.sites import initial_sites
from flowcast.model.totals import draw_totals

__all__ = ["World", "draw_figures", "draw_log_reports", "draw_world", "scale_weights"]

FloatArray = NDArray[np.float64]
_MAX_LOG = 30.0  # keeps absurd prior draws within what a Poisson generator can count


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A draw from the model.

    Attributes
    ----------
    log_flow
        Latent log flows, (corridor, period).
    value
        Reported counts, (report,).
    coefficient
        Linear coefficients, (coefficient,).
    total
        Reported sums less their details, (total,); empty if there are none.
    """

    log_flow: FloatArray
    value: FloatArray
    coefficient: FloatArray
    total: FloatArray = field(default_factory=lambda: np.zeros(0))


def scale_weights(nu: float | None, size: int, rng: np.random.Generator) -> FloatArray:
    """Draw the weights that turn a normal into a Student-t spread with `nu` degrees of freedom."""
    return np.ones(size) if nu is None else rng.gamma(nu / 2.0, 2.0 / nu, size)


def _draw_weights(problem: Problem, rng: np.random.Generator) -> Sites:
    tails, start = problem.spec.tails, initial_sites(problem)
    noise = scale_weights(tails.reports, problem.n_scale_group, rng)
    return Sites(
        mean=start.mean,
        variance=np.where(problem.reports.reading == SAMPLED, problem.reports.sampling, 0.0),
        noise_weight=noise[problem.scale_group],
        innovation_weight=scale_weights(tails.innovations, problem.grid.n_corridor, rng),
        unit_weight=scale_weights(tails.reporters, problem.coefficients.n_unit, rng),
    )


def draw_log_reports(
    problem: Problem, hyper: Mapping[str, Any], weights: Sites, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw coefficients, latent flows, and reports on the log scale before they are counted.

    Parameters
    ----------
    problem
        Places, periods, covariates and which reports there are; its counts are not looked at.
    hyper
        Hyper-parameters by name.
    weights
        Scale weights, and a variance of each report beside its noise; the means are not looked at.
    rng
        Source of randomness.

    Returns
    -------
    log_report : ndarray, (report,)
    log_flow : ndarray, (corridor, period)
    coefficient : ndarray, (coefficient,)
    """
    core = assemble(problem, hyper, weights)
    coefficients, reports = problem.coefficients, problem.reports
    deviation = np.sqrt(core.coef_variance) * rng.standard_normal(coefficients.n)
    path = draw_path(core.scale, weights.innovation_weight, problem.grid.n_period, rng)
    effect = rng.standard_normal((problem.grid.n_corridor, len(problem.series)))
    effect = effect * np.sqrt(core.group_variance)
    log_mean = problem.prior_mean + design_product(problem, deviation)
    log_mean = log_mean + path[reports.corridor, reports.period]
    log_mean = log_mean + report_offset(hyper, reports.duration, problem.share_index)
    known = problem.group >= 0
    log_mean[known] += effect[reports.corridor[known], problem.group[known]]
    log_mean = log_mean + np.sqrt(core.noise) * rng.standard_normal(reports.n)
    coefficient = coefficients.mean + deviation
    return log_mean, cell_mean(problem, coefficient) + path, coefficient


def draw_figures(problem: Problem, log_mean: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw what reports say from the log of their expectation, noise included, (report,).

    Counts are Poisson, whether or not there is a floor under which they are not told apart; figures
    of surveys and indices are what they are.
    """
    reports = problem.reports
    value = rng.poisson(np.exp(np.minimum(log_mean, _MAX_LOG))).astype(float)
    index = reports.reading == RELATIVE
    scale = np.where(index, problem.spec.measurement.index_elasticity, 1.0)
    exact = np.maximum(np.exp(np.minimum(log_mean * scale, _MAX_LOG)) - 0.5, 0.0)
    return np.where(index | (reports.reading == SAMPLED), exact, value)


def draw_world(problem: Problem, hyper: Mapping[str, Any], rng: np.random.Generator) -> World:
    """Draw coefficients, latent flows and Poisson reports given hyper-parameters.

    Parameters
    ----------
    problem
        Places, periods, covariates and which reports there are; its counts are not looked at.
    hyper
        Hyper-parameters by name, such as from `draw_hyper`.
    rng
        Source of randomness.
    """
    weights = _draw_weights(problem, rng)
    log_mean, log_flow, coefficient = draw_log_reports(problem, hyper, weights, rng)
    value = draw_figures(problem, log_mean, rng)
    if problem.totals is None:
        return World(log_flow, value, coefficient)
    seen = replace(weights, mean=log_mean)
    total = draw_totals(problem, hyper, seen, log_flow, coefficient, rng)
    return World(log_flow, value, coefficient, total)
