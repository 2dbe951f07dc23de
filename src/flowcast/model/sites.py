"""Stand-ins for what is not Gaussian: counting noise and heavy tails.

At given hyper-parameters each count's likelihood is replaced by the Gaussian that leaves the same
mean and variance in its tilted distribution (expectation propagation; Minka 2001,
arXiv:1301.2294), and each scale weight of a Student-t spread by its mean given the rest
(variational Bayes; e.g. Tipping & Lawrence 2005, doi 10.1016/j.neucom.2005.02.016). Both need
only the diagonal of the reports' inverse covariance, which the likelihood's gradient carries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flowcast.model.assemble import Core, Sites, assemble
from flowcast.model.evaluation import evaluate
from flowcast.model.problem import Problem

__all__ = ["initial_sites", "update_sites"]

FloatArray = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_LOG_WEIGHTS = np.log(_WEIGHTS) + _NODES**2 / 2.0
_WIDEN = (
    1.3  # the tilted distribution of a small count has a longer left tail than its mode's curve
)
_NEWTON_STEPS = 30
_MIN_PRECISION = 1e-3
_DAMPING = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class _Cavity:
    """What the rest of the data says of each report: mean, variance and noise residuals."""

    mean: FloatArray
    variance: FloatArray
    squared_noise: FloatArray
    """Expected squared noise over its variance at weight one, (report,)."""


def initial_sites(problem: Problem) -> Sites:
    """Return the delta-method sites, log(z + 1/2) with variance 1/(z + 1/2), and unit weights."""
    value = problem.reports.value
    return Sites(
        mean=np.log(value + 0.5),
        variance=1.0 / (value + 0.5),
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


def _count_sites(problem: Problem, sites: Sites, cavity: _Cavity) -> Sites:
    """Match each count's tilted moments, damped on the scale of natural parameters."""
    mean, variance = tilted_moments(problem.reports.value, cavity.mean, cavity.variance)
    precision = np.maximum(1.0 / variance - 1.0 / cavity.variance, _MIN_PRECISION)
    shift = precision * (mean + (mean - cavity.mean) / (cavity.variance * precision))
    old = 1.0 / sites.variance
    new_precision = _DAMPING * precision + (1.0 - _DAMPING) * old
    new_shift = _DAMPING * shift + (1.0 - _DAMPING) * old * sites.mean
    return replace(sites, mean=new_shift / new_precision, variance=1.0 / new_precision)


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
    if problem.spec.measurement.counts == "poisson":
        new = _count_sites(problem, sites, cavity)
    if tails.reports is not None:
        new = replace(new, noise_weight=_noise_weights(problem, cavity, tails.reports))
    if tails.innovations is not None and problem.parts.path:
        weights = _innovation_weights(problem, core, sites, out, tails.innovations)
        new = replace(new, innovation_weight=weights)
    if tails.reporters is not None and problem.coefficients.n_unit:
        weights = _unit_weights(problem, core, sites, out, tails.reporters)
        new = replace(new, unit_weight=weights)
    return new
