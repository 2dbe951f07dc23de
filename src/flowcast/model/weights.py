"""The weights behind heavy tails, drawn given the values they weigh.

A Student-t value with nu degrees of freedom is a normal one whose variance is divided by a weight
from Gamma(nu/2, nu/2). Given n normals that share a weight, with sum of squares Q over the variance
at weight one, the weight is Gamma((nu + n)/2, (nu + Q)/2).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast.model.assemble import Sites, assemble, report_sd
from flowcast.model.problem import Problem

__all__ = ["draw_weights"]

FloatArray = NDArray[np.float64]
Hyper = Mapping[str, Any]


def _gamma(
    nu: float, count: NDArray[Any], squares: FloatArray, rng: np.random.Generator
) -> FloatArray:
    return np.asarray(rng.gamma((nu + count) / 2.0) * 2.0 / (nu + squares))


def _noise_weights(
    problem: Problem, hyper: Hyper, noise: FloatArray, nu: float, rng: np.random.Generator
) -> FloatArray:
    group, n = problem.scale_group, problem.n_scale_group
    ratio = noise / report_sd(hyper)[problem.noise_index]
    squares = np.bincount(group, ratio**2, n)
    return _gamma(nu, np.bincount(group, minlength=n), squares, rng)[group]


def _innovation_weights(
    hyper: Hyper, path: FloatArray, nu: float, rng: np.random.Generator
) -> FloatArray:
    phi = hyper["ar_coefficient"]
    squares = (1.0 - phi**2) * path[:, 0] ** 2
    squares = squares + ((path[:, 1:] - phi * path[:, :-1]) ** 2).sum(axis=1)
    count = np.full(len(path), path.shape[1])
    return _gamma(nu, count, squares / hyper["sd_innovation"] ** 2, rng)


def _unit_weights(
    problem: Problem, hyper: Hyper, sites: Sites, deviation: FloatArray, nu: float,
    rng: np.random.Generator,
) -> FloatArray:  # fmt: skip
    unit, n = problem.coefficients.unit, problem.coefficients.n_unit
    inside = unit >= 0
    even = replace(sites, unit_weight=np.ones(n))
    variance = assemble(problem, hyper, even).coef_variance[inside]
    squares = np.bincount(unit[inside], deviation[inside] ** 2 / variance, n)
    return _gamma(nu, np.bincount(unit[inside], minlength=n), squares, rng)


def draw_weights(
    problem: Problem,
    hyper: Hyper,
    sites: Sites,
    noise: FloatArray,
    path: FloatArray,
    deviation: FloatArray,
    rng: np.random.Generator,
) -> Sites:
    """Draw all weights from their conditionals; those of normal tails stay as they are.

    Parameters
    ----------
    problem, hyper
        The fixed part, and the hyper-parameters by name.
    sites
        With the weights so far.
    noise
        Log of each report's expected count less its mean, (report,).
    path
        AR(1) paths, (corridor, period).
    deviation
        Coefficients less their prior means, (coefficient,).
    rng
        Source of randomness.

    Returns
    -------
    Sites
        The same with new weights.
    """
    tails, new = problem.spec.tails, {}
    if tails.reports is not None:
        new["noise_weight"] = _noise_weights(problem, hyper, noise, tails.reports, rng)
    if tails.innovations is not None and problem.parts.path:
        new["innovation_weight"] = _innovation_weights(hyper, path, tails.innovations, rng)
    if tails.reporters is not None and problem.coefficients.n_unit:
        nu = tails.reporters
        new["unit_weight"] = _unit_weights(problem, hyper, sites, deviation, nu, rng)
    return replace(sites, **new)
