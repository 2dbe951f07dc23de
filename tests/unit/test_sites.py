"""Stand-ins for counting noise and heavy tails, against numerical integration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import integrate
from support import changed, coefficient_variance, dense_covariance, dense_design, varied_spec

from flowcast.model.assemble import Sites
from flowcast.model.hyper import draw_hyper
from flowcast.model.problem import Problem, with_values
from flowcast.model.sites import initial_sites, tilted_moments, update_sites
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.simulation import simulate_world, simulation_spec


def quadrature(value: float, mean: float, variance: float) -> tuple[float, float]:
    """Return mean and variance of the tilted distribution by a fine grid."""
    sd = np.sqrt(variance)
    peak, width = np.log(value + 0.5), 12 / np.sqrt(value + 1)
    x = np.linspace(min(mean - 12 * sd, peak - width), max(mean + 12 * sd, peak + width), 400_001)
    log_p = value * x - np.exp(x) - (x - mean) ** 2 / (2 * variance)
    p = np.exp(log_p - log_p.max())
    total = integrate.trapezoid(p, x)
    first = integrate.trapezoid(p * x, x) / total
    return first, integrate.trapezoid(p * (x - first) ** 2, x) / total


@pytest.mark.parametrize("value", [0.0, 1.0, 5.0, 200.0, 1e5])
@pytest.mark.parametrize("mean_minus_log", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("variance", [0.01, 0.3, 2.0, 9.0])
def test_tilted_moments_are_those_of_numerical_integration(
    value: float, mean_minus_log: float, variance: float
) -> None:
    mean = np.log(value + 0.5) + mean_minus_log
    found = tilted_moments(np.array([value]), np.array([mean]), np.array([variance]))
    wanted = quadrature(value, mean, variance)
    spread = np.sqrt(wanted[1])
    assert abs(found[0][0] - wanted[0]) < 0.01 * spread
    assert found[1][0] == pytest.approx(wanted[1], rel=0.03)


def single_report(value: float) -> Problem:
    """Return a problem with one report in one period, and normal spreads."""
    light = {"reports": None, "innovations": None, "reporters": None}
    spec = changed(simulation_spec(), tails=light, process={"covariates": []})
    row = {"source": "reg", "family": "administrative", "measure": "flow", "origin": "A"}
    row |= {"destination": "B", "year": 2020, "value": value, "reporter": "destination"}
    table = pd.DataFrame([row | {"duration_months": 12, "accuracy_class": "high"}])
    observations = observations_from_frame(table, declared_places={"A", "B"})
    return prepare(Inputs(spec, observations, None, {})).problem


@pytest.mark.parametrize("value", [0.0, 1.0, 5.0, 200.0])
def test_expectation_propagation_is_exact_for_one_report(value: float) -> None:
    problem = single_report(value)
    hyper = draw_hyper(problem, np.random.default_rng(3))
    sites = initial_sites(problem)
    for _ in range(60):
        sites = update_sites(problem, hyper, sites)
    design = dense_design(problem)
    none = replace(sites, variance=np.zeros(1))
    prior = dense_covariance(problem, hyper, none)[0, 0]
    prior += float(design[0] ** 2 @ coefficient_variance(problem, hyper, none))
    mean = float(design[0] @ problem.coefficients.mean + np.log(hyper["share_reported"][0]))
    wanted_mean, wanted_variance = quadrature(value, mean, prior)
    variance = 1.0 / (1.0 / prior + 1.0 / sites.variance[0])
    found = variance * (mean / prior + sites.mean[0] / sites.variance[0])
    assert variance == pytest.approx(wanted_variance, rel=0.03)
    assert abs(found - wanted_mean) < 0.02 * np.sqrt(wanted_variance)


def test_a_fixed_point_of_a_larger_problem_keeps_its_tilted_moments() -> None:
    """At the fixed point every report's posterior has the moments of its tilted distribution."""
    problem = simulate_world(3, 2, seed=5, spec=varied_spec("normal_tails")).problem
    problem = with_values(problem, np.arange(problem.reports.n) % 7.0)
    hyper = draw_hyper(problem, np.random.default_rng(8))
    sites = initial_sites(problem)
    for _ in range(80):
        sites = update_sites(problem, hyper, sites)
    again = update_sites(problem, hyper, sites)
    np.testing.assert_allclose(again.mean, sites.mean, atol=1e-6)
    mean, covariance = linear_predictor(problem, hyper, sites)
    for k, value in enumerate(problem.reports.value):
        precision = 1.0 / covariance[k, k] - 1.0 / sites.variance[k]
        shift = mean[k] / covariance[k, k] - sites.mean[k] / sites.variance[k]
        wanted = quadrature(value, shift / precision, 1.0 / precision)
        assert abs(mean[k] - wanted[0]) < 0.02 * np.sqrt(wanted[1])
        assert covariance[k, k] == pytest.approx(wanted[1], rel=0.05)


def linear_predictor(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return posterior mean and covariance of the reports' log rates, by dense formulas."""
    design = dense_design(problem)
    none = replace(sites, variance=np.zeros(problem.reports.n))
    prior = dense_covariance(problem, hyper, none)
    prior = prior + (design * coefficient_variance(problem, hyper, none)) @ design.T
    share = dict(zip(problem.labels["share_class"], hyper["share_reported"], strict=True))
    mean = design @ problem.coefficients.mean + np.log([share[s] for s in problem.reports.share])
    mean = mean + problem.reports.duration @ hyper["duration_increment"]
    gain = prior @ np.linalg.inv(prior + np.diag(sites.variance))
    return mean + gain @ (sites.mean - mean), prior - gain @ prior


def test_weights_stay_one_without_heavy_tails() -> None:
    problem = simulate_world(4, 3, seed=2, spec=varied_spec("normal_tails")).problem
    sites = initial_sites(problem)
    hyper = draw_hyper(problem, np.random.default_rng(1))
    for _ in range(3):
        sites = update_sites(problem, hyper, sites)
    for name in ("noise_weight", "innovation_weight", "unit_weight"):
        np.testing.assert_array_equal(getattr(sites, name), 1.0, err_msg=name)


def test_delta_counts_keep_their_sites() -> None:
    spec = changed(varied_spec("plain"), measurement={"counts": "delta"})
    problem = simulate_world(4, 2, seed=2, spec=spec).problem
    start = initial_sites(problem)
    hyper = draw_hyper(problem, np.random.default_rng(1))
    after = update_sites(problem, hyper, start)
    np.testing.assert_array_equal(after.mean, np.log(problem.reports.value + 0.5))
    np.testing.assert_array_equal(after.variance, 1.0 / (problem.reports.value + 0.5))
    assert (after.noise_weight != 1.0).any()


def test_reports_of_one_corridor_and_series_share_their_weight() -> None:
    problem = simulate_world(4, 4, seed=6).problem
    hyper = draw_hyper(problem, np.random.default_rng(1))
    weight = update_sites(problem, hyper, initial_sites(problem)).noise_weight
    key = pd.Series(list(zip(problem.reports.corridor, problem.reports.series, strict=True)))
    assert (pd.Series(weight).groupby(key).nunique() == 1).all()
    assert pd.Series(weight).groupby(key).first().nunique() > 1


def test_noisy_corridor_gets_the_smallest_noise_weight() -> None:
    world = simulate_world(5, 5, seed=4, missing=0.0)
    problem = world.problem
    hyper = dict(world.hyper) | {"sd_noise": np.full(len(world.hyper["sd_noise"]), 0.1)}
    odd = problem.scale_group == problem.scale_group[10]
    swing = np.where(np.arange(problem.reports.n) % 2 == 0, 4.0, 0.25)
    value = np.full(problem.reports.n, 3000.0)
    problem = with_values(problem, np.where(odd, value * swing, value))
    sites = initial_sites(problem)
    for _ in range(10):
        sites = update_sites(problem, hyper, sites)
    assert odd.sum() >= 3
    assert sites.noise_weight[odd][0] == sites.noise_weight.min()
    assert sites.noise_weight[odd][0] < 0.5 * np.sort(np.unique(sites.noise_weight))[1]


def test_a_reporter_far_off_gets_the_smallest_unit_weight() -> None:
    world = simulate_world(6, 1, seed=9, missing=0.0)
    problem = world.problem
    far = problem.reports.unit == problem.reports.unit[0]
    hyper = dict(world.hyper) | {"sd_reporter": np.array([0.05, 0.05])}
    problem = with_values(problem, np.where(far, 60_000.0, 2000.0))
    sites = initial_sites(problem)
    for _ in range(10):
        sites = update_sites(problem, hyper, sites)
    names = problem.coefficients.name
    unit = problem.coefficients.unit[names == problem.reports.unit[0]][0]
    assert int(np.argmin(sites.unit_weight)) == unit
    assert sites.unit_weight[unit] < 0.9


def test_a_volatile_corridor_gets_the_smallest_innovation_weight() -> None:
    world = simulate_world(4, 8, seed=3, missing=0.0)
    problem = world.problem
    small = {"sd_innovation": 0.1, "sd_noise": np.full(len(world.hyper["sd_noise"]), 0.05)}
    odd = int(problem.reports.corridor[0])
    jump = (problem.reports.corridor == odd) & (problem.reports.period % 2 == 1)
    problem = with_values(problem, np.where(jump, 40_000.0, 4000.0))
    sites = initial_sites(problem)
    for _ in range(10):
        sites = update_sites(problem, dict(world.hyper) | small, sites)
    assert int(np.argmin(sites.innovation_weight)) == odd
    silent = np.setdiff1d(np.arange(problem.grid.n_corridor), problem.blocks.corridor)
    np.testing.assert_array_equal(sites.innovation_weight[silent], 1.0)


def test_initial_sites_are_the_delta_method() -> None:
    problem = single_report(7.0)
    sites = initial_sites(problem)
    assert sites.mean[0] == pytest.approx(np.log(7.5))
    assert sites.variance[0] == pytest.approx(1 / 7.5)
