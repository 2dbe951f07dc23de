"""Worlds drawn from the model: their moments, and that a seed fixes them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from support import coefficient_variance, dense_covariance, dense_design, dense_offset, varied_spec

from flowcast.model.assemble import Sites
from flowcast.model.forward import draw_world, scale_weights
from flowcast.model.hyper import draw_hyper
from flowcast.model.latent import cell_mean
from flowcast.model.problem import Problem, with_values
from flowcast.model.sites import initial_sites
from flowcast.simulation import simulate_world

N = 3000


def case(which: str = "normal_tails", n_period: int = 2) -> tuple[Problem, dict[str, Any]]:
    problem = simulate_world(3, n_period, seed=31, spec=varied_spec(which), missing=0.2).problem
    hyper = dict(draw_hyper(problem, np.random.default_rng(5)))
    small = {"sd_noise": np.full(len(hyper["sd_noise"]), 0.2), "sd_corridor": 0.4}
    small |= {"sd_origin": 0.3, "sd_destination": 0.3, "sd_innovation": 0.2, "ar_coefficient": 0.6}
    return problem, hyper | {k: v for k, v in small.items() if k in hyper}


def test_log_flows_have_the_moments_of_the_model() -> None:
    problem, hyper = case()
    rng = np.random.default_rng(1)
    worlds = [draw_world(problem, hyper, rng) for _ in range(N)]
    flow = np.stack([w.log_flow for w in worlds])
    grid, coefficients = problem.grid, problem.coefficients
    variance = coefficient_variance(problem, hyper, initial_sites(problem))
    in_flow = np.isin(coefficients.group, ["intercept", "covariate"])
    covariates = problem.covariates.values
    per_cell = variance[in_flow][0] + covariates**2 @ variance[in_flow][1:]
    per_cell = per_cell + hyper["sd_origin"] ** 2 + hyper["sd_destination"] ** 2
    per_cell = per_cell + hyper["sd_corridor"] ** 2
    per_cell = per_cell + hyper["sd_innovation"] ** 2 / (1 - hyper["ar_coefficient"] ** 2)
    mean = coefficients.mean[in_flow][0] + covariates @ coefficients.mean[in_flow][1:]
    assert flow.shape == (N, grid.n_corridor, grid.n_period)
    assert (np.abs(flow.mean(axis=0) - mean) / np.sqrt(per_cell / N)).max() < 4.5
    assert np.abs(flow.var(axis=0) / per_cell - 1).max() < 5 * np.sqrt(2 / N)


def test_mean_log_reports_have_the_moments_of_the_model() -> None:
    problem, hyper = case()
    rng = np.random.default_rng(2)
    counts = np.stack([draw_world(problem, hyper, rng).value for _ in range(N)])
    assert (counts == np.round(counts)).all()
    none = Sites(0.0, np.zeros(problem.reports.n), *unit_weights(problem))
    design = dense_design(problem)
    total = np.diag(dense_covariance(problem, hyper, none))
    total = total + design**2 @ coefficient_variance(problem, hyper, none)
    mean = design @ problem.coefficients.mean + dense_offset(problem, hyper)
    # The median is not moved by the exponential, and hardly by counting where counts are large.
    large = mean - 2 * np.sqrt(total) > np.log(20)
    assert large.sum() >= 3
    error = np.sqrt(np.pi / 2 * total / N)
    gap = np.median(np.log(counts + 0.5), axis=0) - mean
    assert np.abs(gap / error)[large].max() < 4.5
    sides = np.quantile(np.log(counts + 0.5), [0.1587, 0.8413], axis=0)
    np.testing.assert_allclose((sides[1] - sides[0])[large] / 2, np.sqrt(total[large]), rtol=0.08)


def unit_weights(problem: Problem) -> list[NDArray[np.float64]]:
    sizes = (problem.reports.n, problem.grid.n_corridor, problem.coefficients.n_unit)
    return [np.ones(size) for size in sizes]


def test_a_seed_fixes_a_world() -> None:
    problem, hyper = case("plain")
    one, same, other = (draw_world(problem, hyper, np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.log_flow, same.log_flow)
    np.testing.assert_array_equal(one.value, same.value)
    assert (one.log_flow != other.log_flow).all()


def test_counts_of_the_problem_are_not_looked_at() -> None:
    world = simulate_world(3, 2, seed=31)
    blank = world.problem.reports.value.copy()
    again = draw_world(world.problem, world.hyper, np.random.default_rng(3))
    blank[:] = 1.0
    fresh = draw_world(with_values(world.problem, blank), world.hyper, np.random.default_rng(3))
    np.testing.assert_array_equal(again.value, fresh.value)


def test_flows_rest_on_the_coefficients_returned() -> None:
    problem, hyper = case("bare")
    world = draw_world(problem, hyper, np.random.default_rng(3))
    mean = cell_mean(problem, world.coefficient)
    np.testing.assert_allclose(world.log_flow, mean + np.zeros_like(world.log_flow), rtol=1e-12)


@pytest.mark.parametrize("nu", [3.0, 4.0, 30.0])
def test_scale_weights_make_a_student_t(nu: float) -> None:
    rng = np.random.default_rng(1)
    t = rng.standard_normal(50_000) / np.sqrt(scale_weights(nu, 50_000, rng))
    assert stats.kstest(t, stats.t(nu).cdf).pvalue > 1e-3
    assert stats.kstest(t, stats.t(nu + 10).cdf).pvalue < 1e-3 or nu > 10


def test_no_heavy_tail_means_weight_one() -> None:
    assert scale_weights(None, 3, np.random.default_rng(1)).tolist() == [1.0, 1.0, 1.0]
