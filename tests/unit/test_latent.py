"""Conditional simulation against the dense Gaussian conditional."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from support import (
    coefficient_variance,
    dense_covariance,
    dense_design,
    dense_offset,
    varied_spec,
)

from flowcast.model.assemble import Sites
from flowcast.model.hyper import draw_hyper
from flowcast.model.latent import (
    cell_mean,
    design_product,
    draw_cells,
    draw_coefficients,
    draw_latent,
    draw_parts,
    draw_path,
)
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites, update_sites
from flowcast.simulation import simulate_world

N = 3000


def case(
    which: str, n_period: int, *, missing: float = 0.3
) -> tuple[Problem, dict[str, Any], Sites]:
    spec = varied_spec(which)
    problem = simulate_world(3, n_period, seed=21, spec=spec, missing=missing).problem
    hyper = dict(draw_hyper(problem, np.random.default_rng(2)))
    return problem, hyper, update_sites(problem, hyper, initial_sites(problem))


def flow_design(problem: Problem) -> NDArray[np.float64]:
    """Return the coefficients' part in each cell's log flow, (corridor x period, coefficient)."""
    grid, coefficients = problem.grid, problem.coefficients
    out = np.zeros((grid.n_corridor, grid.n_period, coefficients.n))
    for j, (group, name) in enumerate(zip(coefficients.group, coefficients.name, strict=True)):
        if group == "intercept":
            out[:, :, j] = 1.0
        elif group == "covariate":
            out[:, :, j] = problem.covariates.values[:, :, problem.covariates.names.index(name)]
        elif group == "origin":
            out[:, :, j] = (grid.origin_code == name)[:, None]
        elif group == "destination":
            out[:, :, j] = (grid.destination_code == name)[:, None]
    return out.reshape(-1, coefficients.n)


def path_covariance(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites
) -> NDArray[np.float64]:
    """Return the prior covariance of corridor effects and paths over all cells."""
    n, t = problem.grid.n_corridor, problem.grid.n_period
    gap = np.abs(np.arange(t)[:, None] - np.arange(t))
    out = np.zeros((n * t, n * t))
    for c in range(n):
        block = np.full((t, t), hyper.get("sd_corridor", 0.0) ** 2)
        if "sd_innovation" in hyper:
            phi = hyper["ar_coefficient"]
            own = hyper["sd_innovation"] ** 2 / sites.innovation_weight[c]
            block = block + own / (1 - phi**2) * phi**gap
        out[c * t : (c + 1) * t, c * t : (c + 1) * t] = block
    return out


def dense_conditional(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and covariance of all log flows given the sites."""
    flow, report = flow_design(problem), dense_design(problem)
    prior = coefficient_variance(problem, hyper, sites)
    path = path_covariance(problem, hyper, sites)
    cell = problem.reports.corridor * problem.grid.n_period + problem.reports.period
    of_flow = (flow * prior) @ flow.T + path
    of_report = (report * prior) @ report.T + dense_covariance(problem, hyper, sites)
    between = (flow * prior) @ report.T + path[:, cell]
    gain = between @ np.linalg.inv(of_report)
    mean = problem.coefficients.mean
    expected = report @ mean + dense_offset(problem, hyper)
    return flow @ mean + gain @ (sites.mean - expected), of_flow - gain @ between.T


@pytest.mark.parametrize(
    ("which", "n_period"), [("plain", 3), ("no_path", 2), ("plain", 1), ("bare", 2)]
)
def test_draws_have_the_moments_of_the_dense_conditional(which: str, n_period: int) -> None:
    problem, hyper, sites = case(which, n_period)
    rng = np.random.default_rng(7)
    draws = np.stack([draw_latent(problem, hyper, sites, rng)[0].ravel() for _ in range(N)])
    mean, covariance = dense_conditional(problem, hyper, sites)
    variance = np.diag(covariance)
    z = (draws.mean(axis=0) - mean) / np.sqrt(variance / N)
    assert np.abs(z).max() < 4.5
    # The standard error of a sample covariance of normals.
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / N)
    assert (np.abs(np.cov(draws.T) - covariance) / error).max() < 5.5


def test_coefficients_have_their_posterior_moments() -> None:
    problem, hyper, sites = case("plain", 2)
    rng = np.random.default_rng(8)
    draws = np.stack([draw_latent(problem, hyper, sites, rng)[1] for _ in range(N)])
    design = dense_design(problem)
    inverse = np.linalg.inv(dense_covariance(problem, hyper, sites))
    prior = coefficient_variance(problem, hyper, sites)
    covariance = np.linalg.inv(np.diag(1 / prior) + design.T @ inverse @ design)
    mean = problem.coefficients.mean
    gap = sites.mean - design @ mean - dense_offset(problem, hyper)
    wanted = mean + covariance @ design.T @ inverse @ gap
    z = (draws.mean(axis=0) - wanted) / np.sqrt(np.diag(covariance) / N)
    assert np.abs(z).max() < 4.5
    ratio = draws.var(axis=0) / np.diag(covariance)
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / N)


def silent_deviations(which: str) -> tuple[NDArray[np.float64], Problem, dict[str, Any], Sites]:
    """Return draws of what coefficients leave over in corridors nobody reports on."""
    problem, hyper, sites = case(which, 3, missing=0.75)
    silent = np.setdiff1d(np.arange(problem.grid.n_corridor), problem.blocks.corridor)
    assert len(silent) > 0
    rng = np.random.default_rng(9)
    own = np.empty((N, len(silent), 3))
    for k in range(N):
        flow, coefficient = draw_latent(problem, hyper, sites, rng)
        own[k] = (flow - cell_mean(problem, coefficient))[silent]
    return own, problem, hyper, sites


def test_a_corridor_without_reports_follows_its_prior_given_the_coefficients() -> None:
    own, problem, hyper, sites = silent_deviations("normal_tails")
    wanted = path_covariance(problem, hyper, sites)[:3, :3]
    for c in range(own.shape[1]):
        assert np.abs(own[:, c].mean(axis=0) / np.sqrt(np.diag(wanted) / N)).max() < 4.5
        np.testing.assert_allclose(np.cov(own[:, c].T), wanted, rtol=0.15)


def test_its_changes_have_the_heavy_tails_of_the_prior() -> None:
    own, problem, hyper, _ = silent_deviations("plain")
    nu, phi = problem.spec.tails.innovations, hyper["ar_coefficient"]
    # The change of a stationary AR(1) path has variance 2 s / (1 + phi); one weight a corridor.
    change = own[:, 0, 1] - own[:, 0, 0]
    scale = hyper["sd_innovation"] * np.sqrt(2 / (1 + phi))
    assert stats.kstest(change / scale, stats.t(nu).cdf).pvalue > 1e-3
    assert stats.kstest(change / scale, stats.norm.cdf).pvalue < 1e-3


def test_same_stream_same_draw_and_another_stream_another() -> None:
    problem, hyper, sites = case("plain", 2)
    first, again, other = (
        draw_latent(problem, hyper, sites, np.random.default_rng(s))[0] for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_paths_are_stationary_from_the_first_period_on() -> None:
    scale, weight = np.array([0.0, 0.3, 0.9]), np.full(20_000, 2.0)
    path = draw_path(scale, weight, 6, np.random.default_rng(1))
    wanted = 0.3 / 2.0 / (1 - 0.9**2)
    np.testing.assert_allclose(path.var(axis=0), wanted, rtol=0.05)
    lag = np.corrcoef(path[:, 2], path[:, 5])[0, 1]
    assert lag == pytest.approx(0.9**3, abs=0.03)


def test_without_innovations_a_path_is_level() -> None:
    path = draw_path(np.array([0.5, 0.0, 0.0]), np.ones(50), 4, np.random.default_rng(1))
    np.testing.assert_array_equal(path, np.repeat(path[:, :1], 4, axis=1))
    assert np.unique(path[:, 0]).size == 50


def test_design_product_is_the_dense_design_times_coefficients() -> None:
    problem, _, _ = case("plain", 3)
    coefficient = np.random.default_rng(3).normal(size=problem.coefficients.n)
    wanted = dense_design(problem) @ coefficient
    np.testing.assert_allclose(design_product(problem, coefficient), wanted, rtol=1e-12)


def test_cell_mean_is_the_dense_design_of_flows_times_coefficients() -> None:
    problem, _, _ = case("plain", 3)
    coefficient = np.random.default_rng(3).normal(size=problem.coefficients.n)
    found = cell_mean(problem, coefficient) + np.zeros((problem.grid.n_corridor, 3))
    np.testing.assert_allclose(found.ravel(), flow_design(problem) @ coefficient, rtol=1e-12)


class Still:
    """A source of randomness that always gives the expected value."""

    def standard_normal(self, size: object) -> NDArray[np.float64]:
        return np.zeros(size)  # type: ignore[call-overload, no-any-return]

    def gamma(self, shape: float, scale: float, size: int) -> NDArray[np.float64]:
        return np.full(size, shape * scale)


STILL: Any = Still()


def blocks(n: int, *edges: int) -> list[slice]:
    return [slice(lo, hi) for lo, hi in pairwise([0, *edges, n])]


@pytest.mark.parametrize("which", ["plain", "no_path", "bare"])
def test_blocks_of_corridors_have_the_dense_mean_given_the_coefficients(which: str) -> None:
    problem, hyper, sites = case(which, 3, missing=0.75)
    grid, reports = problem.grid, problem.reports
    assert len(problem.blocks.corridor) < grid.n_corridor
    coefficient = draw_coefficients(problem, hyper, sites, np.random.default_rng(5))
    path = path_covariance(problem, hyper, sites)
    cell = reports.corridor * grid.n_period + reports.period
    expected = dense_design(problem) @ coefficient + dense_offset(problem, hyper)
    pull = np.linalg.solve(dense_covariance(problem, hyper, sites), sites.mean - expected)
    wanted = flow_design(problem) @ coefficient + path[:, cell] @ pull
    for parts in (blocks(grid.n_corridor), blocks(grid.n_corridor, 1, 2, 5, 5)):
        made = [draw_cells(problem, hyper, sites, coefficient, part, STILL) for part in parts]
        assert [len(m) for m in made] == [p.stop - p.start for p in parts]
        np.testing.assert_allclose(np.concatenate(made).ravel(), wanted, atol=1e-10)


def test_a_block_is_determined_by_its_stream() -> None:
    problem, hyper, sites = case("plain", 3)
    coefficient = draw_coefficients(problem, hyper, sites, np.random.default_rng(5))
    first, again, other = (
        draw_cells(problem, hyper, sites, coefficient, slice(2, 4), np.random.default_rng(s))
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_a_latent_draw_is_coefficients_and_then_all_cells() -> None:
    problem, hyper, sites = case("plain", 3)
    flow, coefficient = draw_latent(problem, hyper, sites, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(draw_coefficients(problem, hyper, sites, rng), coefficient)
    cells = draw_cells(problem, hyper, sites, coefficient, slice(None), rng)
    np.testing.assert_array_equal(cells, flow)


def test_parts_add_up_to_the_flow_and_silent_corridors_get_weights_of_their_own() -> None:
    problem, hyper, sites = case("plain", 3, missing=0.75)
    coefficient = draw_coefficients(problem, hyper, sites, np.random.default_rng(5))
    everywhere = slice(None)
    parts = draw_parts(problem, hyper, sites, coefficient, everywhere, np.random.default_rng(1))
    flow = draw_cells(problem, hyper, sites, coefficient, everywhere, np.random.default_rng(1))
    np.testing.assert_array_equal(cell_mean(problem, coefficient) + parts.log_flow, flow)
    assert parts.series.shape == (problem.grid.n_corridor, len(problem.series))
    reported = problem.blocks.corridor
    silent = np.setdiff1d(np.arange(problem.grid.n_corridor), reported)
    kept = parts.innovation_weight[reported] == sites.innovation_weight[reported]
    assert kept.all()
    assert (parts.innovation_weight[silent] != sites.innovation_weight[silent]).all()


def test_a_stretch_of_the_design_and_of_the_cells_is_that_of_the_whole() -> None:
    problem, _, _ = case("plain", 3, missing=0.75)
    coefficient = np.random.default_rng(3).normal(size=problem.coefficients.n)
    parts = blocks(problem.grid.n_corridor, 1, 2, 5)
    for make in (design_product, cell_mean):
        made = [make(problem, coefficient, part) for part in parts]
        np.testing.assert_array_equal(np.concatenate(made), make(problem, coefficient))
