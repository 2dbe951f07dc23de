"""Stand-ins for what is not Gaussian: counting noise, figures with a floor, and heavy tails.

At given hyper-parameters each count's likelihood is replaced by the Gaussian that leaves the same
mean and variance in its tilted distribution (expectation propagation; Minka 2001,
arXiv:1301.2294), and so is what a figure says that is "fewer than". Figures of surveys and indices
are Gaussian as they are. Each scale weight of a Student-t spread by its mean given the rest
(variational Bayes; e.g. Tipping & Lawrence 2005, doi 10.1016/j.neucom.2005.02.016). Both need
only the diagonal of the reports' inverse covariance, which the likelihood's gradient carries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import erfcx

from flowcast.model.assemble import Core, Sites, assemble
from flowcast.model.evaluation import evaluate
from flowcast.model.problem import Problem
from flowcast.model.reports import COUNTED, RELATIVE, SAMPLED

__all__ = ["initial_sites", "log_floor", "update_sites"]

FloatArray = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_LOG_WEIGHTS = np.log(_WEIGHTS) + _NODES**2 / 2.0
_WIDEN = (
    1.3  # the tilted distribution of a small count has a longer left tail than its mode's curve
)
_NEWTON_STEPS = 30
_MIN_PRECISION = 1e-3
_DAMPING = 0.7
_LEAST_SHRINK = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Cavity:
    """What the rest of the data says of each report: mean, variance and noise residuals."""

    mean: FloatArray
    variance: FloatArray
    squared_noise: FloatArray
    """Expected squared noise over its variance at weight one, (report,)."""


def log_floor(problem: Problem) -> FloatArray:
    """Return the floor of each report on the scale of its log flow, (report,)."""
    reports = problem.reports
    floor = np.log(np.maximum(reports.floor, 1.0))
    return np.where(reports.reading == RELATIVE, floor / _elasticity(problem), floor)


def _elasticity(problem: Problem) -> float:
    return problem.spec.measurement.index_elasticity


def initial_sites(problem: Problem) -> Sites:
    """Return the delta-method sites, log(z + 1/2) with variance 1/(z + 1/2), and unit weights.

    What is no count has its own variance: that of a survey's sampling error, none for an index. A
    figure below its floor starts at half the floor, give or take a factor of e.
    """
    reports = problem.reports
    mean, variance = np.log(reports.value + 0.5), 1.0 / (reports.value + 0.5)
    variance = np.where(reports.reading == SAMPLED, reports.sampling, variance)
    index = reports.reading == RELATIVE
    mean[index] /= _elasticity(problem)
    variance[index] = 0.0
    hidden = reports.censored
    mean[hidden], variance[hidden] = log_floor(problem)[hidden] - np.log(2.0), 1.0
    return Sites(
        mean=mean,
        variance=variance,
        noise_weight=np.ones(problem.reports.n),
        innovation_weight=np.ones(problem.grid.n_corridor),
        unit_weight=np.ones(problem.coefficients.n_unit),
    )


def _cavity(core: Core, sites: Sites, out: Any) -> _Cavity:
    a = -out[1]
    inverse = a**2 - 2.0 * out[2]  # diagonal of V^-1, from d log p / d noise = (a^2 - V^-1)/2
    noise = core.noise - sites.variance
    expected = (noise * a) ** 2 + noise - noise**2 * inverse
    return _Cavity(
        mean=sites.mean - a / inverse,
        variance=np.maximum(1.0 / inverse - sites.variance, 1e-8),
        squared_noise=expected / (noise * sites.noise_weight),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _tilt(
    value: FloatArray, mean: FloatArray, variance: FloatArray, nodes: FloatArray,
    log_weights: FloatArray, out: FloatArray, spread: FloatArray,
) -> None:  # fmt: skip
    at, weight = np.empty(len(nodes)), np.empty(len(nodes))
    for k in range(len(value)):
        z, m, precision = value[k], mean[k], 1.0 / variance[k]
        x = np.log(z + 0.5) if z > 0.0 else min(m, 0.0)
        for _ in range(_NEWTON_STEPS):
            rate = np.exp(x)
            step = (z - rate - (x - m) * precision) / (rate + precision)
            step = min(max(step, -2.0), 2.0)
            x += step
            if abs(step) < 1e-12:
                break
        width = _WIDEN / np.sqrt(np.exp(x) + precision)
        highest = -np.inf
        for j in range(len(nodes)):
            at[j] = x + width * nodes[j]
            weight[j] = z * at[j] - np.exp(at[j]) + log_weights[j]
            weight[j] -= 0.5 * precision * (at[j] - m) ** 2
            highest = max(highest, weight[j])
        total, first = 0.0, 0.0
        for j in range(len(nodes)):
            weight[j] = np.exp(weight[j] - highest)
            total += weight[j]
            first += weight[j] * at[j]
        first /= total
        second = 0.0
        for j in range(len(nodes)):
            second += weight[j] * (at[j] - first) ** 2
        out[k], spread[k] = first, second / total


def tilted_moments(
    value: FloatArray, mean: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of x under Poisson(value | exp x) Normal(x | mean, variance).

    Parameters
    ----------
    value, mean, variance
        Counts, and the normal's mean and variance, all (report,).
    """
    first, second = np.empty(len(value)), np.empty(len(value))
    _tilt(value, mean, variance, _NODES, _LOG_WEIGHTS, first, second)
    return first, second


def below_moments(
    limit: FloatArray, mean: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of x under Normal(x | mean, variance) where x is below a limit.

    Parameters
    ----------
    limit, mean, variance
        All (report,).
    """
    sd = np.sqrt(variance)
    t = (limit - mean) / sd
    # The density over the distribution function, which stays accurate far out in the tail.
    hazard = np.sqrt(2.0 / np.pi) / erfcx(-t / np.sqrt(2.0))
    first = mean - sd * hazard
    second = variance * np.clip(1.0 - hazard * (t + hazard), _LEAST_SHRINK, 1.0)
    return first, second


def _site_moments(problem: Problem, cavity: _Cavity) -> tuple[NDArray[np.int64], Any, Any]:
    """Return the reports whose likelihood is not Gaussian, and their tilted moments."""
    reports, hidden = problem.reports, problem.reports.censored
    counted = (reports.reading == COUNTED) & ~hidden
    if problem.spec.measurement.counts != "poisson":
        counted = np.zeros(reports.n, dtype=bool)
    if counted.all():
        rows = np.arange(reports.n)
        return rows, *tilted_moments(reports.value, cavity.mean, cavity.variance)
    below, count = np.flatnonzero(hidden), np.flatnonzero(counted)
    pieces = (
        tilted_moments(reports.value[count], cavity.mean[count], cavity.variance[count]),
        below_moments(log_floor(problem)[below], cavity.mean[below], cavity.variance[below]),
    )
    mean, variance = (np.concatenate([piece[k] for piece in pieces]) for k in range(2))
    return np.concatenate([count, below]), mean, variance


def _match_sites(problem: Problem, sites: Sites, cavity: _Cavity) -> Sites:
    """Match tilted moments, damped on the scale of natural parameters."""
    rows, mean, variance = _site_moments(problem, cavity)
    around, spread = cavity.mean[rows], cavity.variance[rows]
    precision = np.maximum(1.0 / variance - 1.0 / spread, _MIN_PRECISION)
    shift = precision * (mean + (mean - around) / (spread * precision))
    old = 1.0 / sites.variance[rows]
    new_precision = _DAMPING * precision + (1.0 - _DAMPING) * old
    new_shift = _DAMPING * shift + (1.0 - _DAMPING) * old * sites.mean[rows]
    new_mean, new_variance = sites.mean.copy(), sites.variance.copy()
    new_mean[rows], new_variance[rows] = new_shift / new_precision, 1.0 / new_precision
    return replace(sites, mean=new_mean, variance=new_variance)


def _noise_weights(problem: Problem, cavity: _Cavity, nu: float) -> FloatArray:
    groups, n = problem.scale_group, problem.n_scale_group
    total = np.bincount(groups, cavity.squared_noise, n)
    weight = (nu + np.bincount(groups, minlength=n)) / (nu + total)
    return np.asarray(weight[groups])


def _innovation_weights(problem: Problem, core: Core, sites: Sites, out: Any, nu: float) -> Any:
    """Weigh each reported corridor's innovations; the others keep weight one."""
    corridor = problem.blocks.corridor
    weight = sites.innovation_weight[corridor]
    n = problem.grid.n_period
    # d log p / d s = (E[Q] / s - n) / 2 s, where Q sums the n squared innovations of variance s
    squares = (n + 2.0 * core.scale[1] / weight * out[6]) / weight
    new = np.ones(problem.grid.n_corridor)
    new[corridor] = (nu + n) / (nu + np.maximum(squares, 0.0))
    return new


def _unit_weights(problem: Problem, core: Core, sites: Sites, out: Any, nu: float) -> FloatArray:
    """Weigh each reporting unit's effects."""
    unit = problem.coefficients.unit
    inside = unit >= 0
    variance = (out[8] ** 2).sum(axis=0)
    squares = ((out[7] ** 2 + variance) / core.coef_variance)[inside]
    squares = squares / sites.unit_weight[unit[inside]]
    n = problem.coefficients.n_unit
    total = np.bincount(unit[inside], squares, n)
    return np.asarray((nu + np.bincount(unit[inside], minlength=n)) / (nu + total))


def update_sites(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, threads: int = 1
) -> Sites:
    """Improve all stand-ins once at the given hyper-parameters.

    Parameters
    ----------
    problem
        The linear Gaussian core.
    hyper
        Hyper-parameters by name.
    sites
        The stand-ins so far.
    threads
        Threads for the likelihood; the result does not depend on it.
    """
    core = assemble(problem, hyper, sites)
    out = evaluate(problem, core, sites.innovation_weight, threads=threads)
    cavity = _cavity(core, sites, out)
    tails, new = problem.spec.tails, sites
    if problem.spec.measurement.counts == "poisson" or problem.reports.censored.any():
        new = _match_sites(problem, sites, cavity)
    if tails.reports is not None:
        new = replace(new, noise_weight=_noise_weights(problem, cavity, tails.reports))
    if tails.innovations is not None and problem.parts.path:
        weights = _innovation_weights(problem, core, sites, out, tails.innovations)
        new = replace(new, innovation_weight=weights)
    if tails.reporters is not None and problem.coefficients.n_unit:
        weights = _unit_weights(problem, core, sites, out, tails.reporters)
        new = replace(new, unit_weight=weights)
    return new
