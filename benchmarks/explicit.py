"""The collapsed model written out with every latent flow, as an ordinary PyMC model.

Given the stand-ins for counts and tails (`Sites`), this is the same posterior as the one flowcast
samples; nothing is integrated out. It is what one would write first, and what the benchmarks
compare with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.tensor import TensorVariable

from flowcast.errors import UsageError
from flowcast.model.assemble import Sites, report_offset, report_sd
from flowcast.model.build import hyper_coords, hyper_variables
from flowcast.model.problem import Problem

__all__ = ["explicit_model"]

IntArray = NDArray[np.int64]
Number = TensorVariable | NDArray[np.float64] | float


def _normal(name: str, mean: Number, sd: Number, dim: str, *, centred: bool) -> TensorVariable:
    """Return a vector of normal variables; non-centred, they are standard ones moved and scaled."""
    if centred:
        return pm.Normal(name, mean, sd, dims=dim)
    return mean + sd * pm.Normal(f"{name}_z", 0.0, 1.0, dims=dim)


def _prior_sd(problem: Problem, group: str, hyper: Mapping[str, Any], sites: Sites) -> Number:
    """Return the prior sd of every coefficient of a group."""
    coefficients = problem.coefficients
    own = coefficients.group == group
    if group in ("intercept", "covariate"):
        return coefficients.fixed_sd[own]
    if group in ("origin", "destination"):
        return hyper[f"sd_{group}"]
    weight = np.append(sites.unit_weight, 1.0)[coefficients.unit[own]]
    side = [0 if name.startswith("immigration") else 1 for name in coefficients.name[own]]
    return hyper[f"sd_{group}"][side] / np.sqrt(weight)


def _coefficients(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, *, centred: bool
) -> dict[str, Number]:
    """Return the coefficients by group."""
    coefficients = problem.coefficients
    return {
        group: _normal(
            group,
            coefficients.mean[coefficients.group == group],
            _prior_sd(problem, group, hyper, sites),
            f"{group}_name",
            centred=centred,
        )
        for group in dict.fromkeys(coefficients.group)
    }


def _positions(problem: Problem, group: str, names: Sequence[str]) -> IntArray:
    """Return the position of each name among the coefficients of a group."""
    coefficients = problem.coefficients
    known = pd.Index(coefficients.name[coefficients.group == group])
    return known.get_indexer(pd.Index(names)).astype(np.int64)


def _explained(problem: Problem, coefficient: Mapping[str, Number]) -> TensorVariable:
    """Return the part of the log flow that the coefficients explain, (corridor, period)."""
    grid = problem.grid
    mean = coefficient["intercept"][0] + np.zeros((grid.n_corridor, grid.n_period))
    if "covariate" in coefficient:
        mean = mean + pt.dot(problem.covariates.values, coefficient["covariate"])
    for group, codes in (("origin", grid.origin_code), ("destination", grid.destination_code)):
        if group in coefficient:
            mean = mean + coefficient[group][_positions(problem, group, codes)][:, None]
    return mean


def _path(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, *, centred: bool
) -> TensorVariable:
    """Return the AR(1) deviation of every corridor, (corridor, period)."""
    n, dims = problem.grid.n_period, ("corridor", "period")
    phi = hyper["ar_coefficient"]
    sd = hyper["sd_innovation"] / np.sqrt(sites.innovation_weight)[:, None]
    # The first period has the stationary spread, the others that of the innovations.
    scale = pt.concatenate([(1.0 - phi**2)[None] ** -0.5, np.ones(n - 1)]) * sd
    if centred:
        path = pm.Flat("path", dims=dims)
        before = pt.concatenate([pt.zeros((path.shape[0], 1)), path[:, :-1]], axis=1)
        pm.Potential("path_density", pm.logp(pm.Normal.dist(phi * before, scale), path))
        return path
    shocks = pm.Normal("path_z", 0.0, 1.0, dims=dims) * scale
    gap = np.subtract.outer(np.arange(n), np.arange(n))
    powers = pt.where(gap >= 0, phi ** np.maximum(gap, 0), 0.0)
    return pt.dot(shocks, powers.T)


def _series_effects(problem: Problem, hyper: Mapping[str, Any], *, centred: bool) -> TensorVariable:
    """Return the corridor-by-source effect of every report, (report,)."""
    pair, at = _series_pairs(problem)
    sd = hyper["sd_corridor_report"][problem.group_side[pair[:, 1]]]
    return _normal("series", 0.0, sd, "pair", centred=centred)[at]


def _series_pairs(problem: Problem) -> tuple[IntArray, IntArray]:
    """Return the pairs of corridor and series that occur, and which one each report has."""
    both = np.column_stack([problem.reports.corridor, problem.group])
    pair, at = np.unique(both, axis=0, return_inverse=True)
    return pair, at.ravel()


def _coords(problem: Problem) -> dict[str, Any]:
    grid, coefficients = problem.grid, problem.coefficients
    coords: dict[str, Any] = dict(hyper_coords(problem))
    for group in dict.fromkeys(coefficients.group):
        coords[f"{group}_name"] = list(coefficients.name[coefficients.group == group])
    coords["corridor"] = [
        f"{i}-{j}" for i, j in zip(grid.origin_code, grid.destination_code, strict=True)
    ]
    coords["period"] = list(range(grid.n_period))
    coords["pair"] = list(range(len(_series_pairs(problem)[0])))
    return coords


def explicit_model(problem: Problem, sites: Sites, *, centred: bool) -> pm.Model:
    """Build the model with coefficients, effects, paths and flows as variables.

    Parameters
    ----------
    problem
        What is fitted.
    sites
        Stand-ins of the parts that are not Gaussian. With ``counts: delta`` and no tails they are
        `initial_sites` and not an approximation of their own.
    centred
        Whether effects are variables on their own scale. If not, standard normal variables
        (``..._z``) are scaled by the sds.

    Returns
    -------
    pymc.Model
        Hyper-parameters as in `build_model`; besides them the coefficients by group,
        ``corridor_effect``, ``path`` (AR(1)) and ``series`` (effects of corridor by source), the
        deterministic ``log_flow``, (corridor, period), and the observed ``reports``.

    Raises
    ------
    UsageError
        If the problem has reports of sums: the log of a sum is not normal.
    """
    if problem.totals is not None:
        raise UsageError("(explicit_model) | found reports of sums; allowed: reports of cells")
    reports, parts = problem.reports, problem.parts
    with pm.Model(coords=_coords(problem)) as model:
        hyper = hyper_variables(problem)
        coefficient = _coefficients(problem, hyper, sites, centred=centred)
        flow = _explained(problem, coefficient)
        if parts.corridor:
            own = _normal("corridor_effect", 0.0, hyper["sd_corridor"], "corridor", centred=centred)
            flow = flow + own[:, None]
        if parts.path:
            flow = flow + _path(problem, hyper, sites, centred=centred)
        flow = pm.Deterministic("log_flow", flow, dims=("corridor", "period"))
        mean = flow[reports.corridor, reports.period]
        mean = mean + report_offset(hyper, reports.duration, problem.share_index, pt)
        units = {
            "reporter": reports.unit,
            "reporter_period": [
                f"{u}@{t}" for u, t in zip(reports.unit, reports.period, strict=True)
            ],
        }
        for group, names in units.items():
            if group in coefficient:
                mean = mean + coefficient[group][_positions(problem, group, names)]
        if parts.series:
            mean = mean + _series_effects(problem, hyper, centred=centred)
        noise = report_sd(hyper, pt)[problem.noise_index] ** 2 / sites.noise_weight
        pm.Normal("reports", mean, pt.sqrt(noise + sites.variance), observed=sites.mean)
    return model
