"""Figures of which only "fewer than" is known, and figures that are Gaussian as they are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.special import log_ndtr
from support import (
    changed,
    coefficient_variance,
    dense_covariance,
    dense_design,
    dense_offset,
    family_problem,
)

from flowcast.model import sweeps
from flowcast.model.assemble import Sites
from flowcast.model.coordinates import Coordinates
from flowcast.model.density import build_density, find_mode, is_gaussian
from flowcast.model.figures import draw_below, inexact_figures, log_likelihood
from flowcast.model.forward import draw_figures, draw_world
from flowcast.model.hyper import draw_hyper
from flowcast.model.problem import Problem, with_values
from flowcast.model.reports import COUNTED, RELATIVE, SAMPLED
from flowcast.model.sites import (
    below_moments,
    initial_sites,
    log_floor,
    tilted_moments,
    update_sites,
)
from flowcast.model.sweeps import Chain, State, report_mean, start_state, sweep
from flowcast.model.trajectory import mirror_symmetric
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.simulation import simulate_world, simulation_spec

Array = NDArray[np.float64]


def by_quadrature(limit: float, mean: float, variance: float) -> tuple[float, float]:
    """Return the moments below a limit by adaptive quadrature, scaled to the tail."""
    sd = np.sqrt(variance)
    t = (limit - mean) / sd
    width = 1.0 if t > -1.0 else 1.0 / -t
    top = -0.5 * min(t, 0.0) ** 2

    def height(u: float) -> float:
        """Return the density at the distance u below the limit, in units of the tail's width."""
        return float(np.exp(-0.5 * (t - u * width) ** 2 - top))

    # The bulk is where the density is highest: at the limit, or at the mean.
    bulk = max(t, 0.0) / width
    ends = (max(bulk - 45.0, 0.0), bulk + 45.0)
    total, first = (
        integrate.quad(lambda u: u**k * height(u), *ends, points=[bulk], limit=200)[0]  # noqa: B023
        for k in (0, 1)
    )
    centre = first / total
    second = integrate.quad(
        lambda u: (u - centre) ** 2 * height(u), *ends, points=[bulk], limit=200
    )[0]
    return limit - centre * width * sd, second / total * (width * sd) ** 2


@pytest.mark.parametrize("away", [-300.0, -100.0, -38.0, -9.0, -3.0, -0.5, 0.0, 1.0, 4.0, 30.0])
@pytest.mark.parametrize(("mean", "variance"), [(7.0, 1.0), (-2.0, 1e-4), (9.0, 25.0)])
def test_moments_below_a_limit_are_those_of_numerical_integration(
    away: float, mean: float, variance: float
) -> None:
    limit = mean + away * np.sqrt(variance)
    wanted = by_quadrature(limit, mean, variance)
    first, second = below_moments(np.array([limit]), np.array([mean]), np.array([variance]))
    assert abs(first[0] - wanted[0]) < 1e-6 * np.sqrt(wanted[1])
    assert second[0] == pytest.approx(wanted[1], rel=1e-5)


def test_further_out_the_variance_has_a_least_value() -> None:
    first, second = below_moments(np.full(2, -5e4), np.zeros(2), np.array([1.0, 4.0]))
    np.testing.assert_allclose(first, -5e4, rtol=1e-6)
    np.testing.assert_allclose(second, [1e-6, 4e-6])


# --- sites ---------------------------------------------------------------------------------------


def single_report(value: float, floor: float | None, **measurement: object) -> Problem:
    """Return a problem with one report of a platform in one period, and normal spreads."""
    light = {"reports": None, "innovations": None, "reporters": None}
    spec = changed(
        simulation_spec(), tails=light, process={"covariates": []}, measurement=measurement
    )
    row = {"source": "meta", "family": "digital", "measure": "flow", "origin": "A"}
    row |= {"destination": "B", "year": 2020, "value": value, "reporter": "other"}
    table = pd.DataFrame([row | {"duration_months": 12, "censored_below": floor}])
    observations = observations_from_frame(table, declared_places={"A", "B"})
    return prepare(Inputs(spec, observations, None, {})).problem


def settled(problem: Problem, hyper: Mapping[str, Any], rounds: int = 80) -> Sites:
    sites = initial_sites(problem)
    for _ in range(rounds):
        sites = update_sites(problem, hyper, sites)
    return sites


def prior_of(problem: Problem, hyper: Mapping[str, Any], sites: Sites) -> tuple[Array, Array]:
    """Return mean and covariance of the reports' etas before any figure, by dense formulas."""
    none = replace(sites, variance=np.zeros(problem.reports.n))
    design = dense_design(problem)
    covariance = dense_covariance(problem, hyper, none)
    covariance = covariance + (design * coefficient_variance(problem, hyper, none)) @ design.T
    return design @ problem.coefficients.mean + dense_offset(problem, hyper), covariance


def posterior_of(problem: Problem, hyper: Mapping[str, Any], sites: Sites) -> tuple[Array, Array]:
    mean, prior = prior_of(problem, hyper, sites)
    gain = prior @ np.linalg.inv(prior + np.diag(sites.variance))
    return mean + gain @ (sites.mean - mean), prior - gain @ prior


@pytest.mark.parametrize("floor", [3.0, 100.0, 1000.0, 1e5])
def test_the_site_of_one_hidden_figure_is_exact(floor: float) -> None:
    problem = single_report(floor, floor)
    hyper = draw_hyper(problem, np.random.default_rng(3))
    sites = settled(problem, hyper)
    (mean,), ((prior,),) = prior_of(problem, hyper, sites)
    wanted = by_quadrature(np.log(floor), mean, prior)
    (found,), ((variance,),) = posterior_of(problem, hyper, sites)
    assert abs(found - wanted[0]) < 1e-3 * np.sqrt(wanted[1])
    assert variance == pytest.approx(wanted[1], rel=2e-3)
    assert found < np.log(floor)


def test_a_floor_far_above_says_next_to_nothing() -> None:
    problem = single_report(10.0, 1e12)
    hyper = draw_hyper(problem, np.random.default_rng(3))
    sites = settled(problem, hyper)
    (mean,), ((prior,),) = prior_of(problem, hyper, sites)
    assert np.log(1e12) > mean + 4 * np.sqrt(prior)
    (found,), ((variance,),) = posterior_of(problem, hyper, sites)
    assert sites.variance[0] > 20 * prior
    assert abs(found - mean) < 0.05 * np.sqrt(prior)
    assert variance == pytest.approx(prior, rel=0.05)


def test_what_is_hidden_starts_at_half_its_floor() -> None:
    sites = initial_sites(single_report(700.0, 1000.0))
    np.testing.assert_allclose(np.exp(sites.mean), 500.0)
    assert sites.variance.tolist() == [1.0]
    # Whatever figure stands below the floor, nothing is read off it.
    np.testing.assert_array_equal(sites.mean, initial_sites(single_report(0.0, 1000.0)).mean)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return family_problem(seed=1)


def hyper_of(problem: Problem) -> dict[str, Any]:
    density = build_density(problem)
    return density.hyper(density.layout.start)


def test_at_the_fixed_point_every_figure_has_the_moments_of_its_likelihood(
    problem: Problem,
) -> None:
    light = {"reports": None, "innovations": None, "reporters": None}
    problem = replace(problem, spec=changed(problem.spec, tails=light))
    hyper = hyper_of(problem)
    sites = settled(problem, hyper)
    np.testing.assert_allclose(update_sites(problem, hyper, sites).mean, sites.mean, atol=1e-6)
    mean, covariance = posterior_of(problem, hyper, sites)
    counted, hidden = inexact_figures(problem)
    inexact = counted | hidden
    variance = np.diag(covariance)[inexact]
    precision = 1.0 / variance - 1.0 / sites.variance[inexact]
    shift = mean[inexact] / variance - sites.mean[inexact] / sites.variance[inexact]
    cavity, spread = np.zeros((2, problem.reports.n))
    cavity[inexact], spread[inexact] = shift / precision, 1.0 / precision
    for k in np.flatnonzero(hidden):
        wanted = by_quadrature(log_floor(problem)[k], cavity[k], spread[k])
        assert abs(mean[k] - wanted[0]) < 0.01 * np.sqrt(wanted[1])
        assert covariance[k, k] == pytest.approx(wanted[1], rel=0.02)
    value = problem.reports.value[counted]
    wanted = tilted_moments(value, cavity[counted], spread[counted])
    np.testing.assert_allclose(mean[counted], wanted[0], atol=0.01)
    assert hidden.sum() > 10 < counted.sum()


def test_surveys_and_indices_keep_their_sites(problem: Problem) -> None:
    reports = problem.reports
    sites = settled(problem, hyper_of(problem), 3)
    sampled, index = reports.reading == SAMPLED, reports.reading == RELATIVE
    np.testing.assert_array_equal(sites.mean[sampled], np.log(reports.value[sampled] + 0.5))
    np.testing.assert_array_equal(sites.variance[sampled], reports.sampling[sampled])
    np.testing.assert_allclose(sites.mean[index], np.log(reports.value[index] + 0.5) / 0.7)
    np.testing.assert_array_equal(sites.variance[index], 0.0)
    counted = reports.reading == COUNTED
    start = initial_sites(problem)
    assert (sites.mean[counted] != start.mean[counted]).mean() > 0.95
    assert sampled.sum() > 10 < index.sum()


def test_floors_that_hide_nothing_change_nothing() -> None:
    problem = simulate_world(4, 3, seed=2).problem
    problem = with_values(problem, problem.reports.value + 2.0)
    floors = np.ones(problem.reports.n)
    floored = replace(problem, reports=replace(problem.reports, floor=floors))
    hyper = draw_hyper(problem, np.random.default_rng(1))
    one, other = (settled(p, hyper, 5) for p in (problem, floored))
    for name in Sites.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_delta_method_has_floors_too() -> None:
    problem = family_problem(counts="delta")
    assert not is_gaussian(problem)
    counted, hidden = inexact_figures(problem)
    assert not counted.any()
    assert hidden.any()
    sites, start = settled(problem, hyper_of(problem), 3), initial_sites(problem)
    np.testing.assert_array_equal(sites.mean[~hidden], start.mean[~hidden])
    assert (sites.mean[hidden] != start.mean[hidden]).all()


def test_nothing_hidden_and_normal_tails_is_gaussian() -> None:
    light = {"reports": None, "innovations": None, "reporters": None}
    problem = family_problem(counts="delta")
    problem = replace(problem, spec=changed(problem.spec, tails=light))
    assert not is_gaussian(problem)
    assert is_gaussian(with_values(problem, problem.reports.floor + problem.reports.value + 1.0))


def test_a_fit_is_pulled_below_the_floor() -> None:
    """The same figure taken at its word leaves the flow where the figure stands."""
    hidden = family_problem(seed=4)
    seen = replace(hidden, reports=replace(hidden.reports, floor=np.zeros(hidden.reports.n)))
    floor = hidden.reports.censored
    value = np.where(floor, 1000.0, hidden.reports.value)
    low, high = (find_mode(with_values(p, value)).density.sites.mean[floor] for p in (hidden, seen))
    assert (low < np.log(1000.0)).all()
    assert low.mean() < high.mean() - 0.2


# --- likelihoods and draws -----------------------------------------------------------------------


def test_the_likelihood_of_every_kind_of_figure(problem: Problem) -> None:
    reports, sites = problem.reports, initial_sites(problem)
    counted, hidden = inexact_figures(problem)
    eta = np.linspace(5.0, 8.0, reports.n)
    found = log_likelihood(problem, sites, eta)
    wanted = stats.poisson(np.exp(eta)).logpmf(reports.value)
    gap = (found - wanted)[counted]
    # Up to what does not depend on eta.
    again = log_likelihood(problem, sites, eta + 0.1)
    moved = stats.poisson(np.exp(eta + 0.1)).logpmf(reports.value)
    np.testing.assert_allclose((again - moved)[counted], gap, rtol=1e-9)
    below = eta < np.log(1000.0)
    np.testing.assert_array_equal(found[hidden & below], 0.0)
    np.testing.assert_array_equal(found[hidden & ~below], -np.inf)
    assert (hidden & below).any()
    assert (hidden & ~below).any()
    sampled = reports.reading == SAMPLED
    normal = (
        -0.5 * (eta - np.log(reports.value + 0.5)) ** 2 / np.where(sampled, reports.sampling, 1)
    )
    np.testing.assert_allclose(found[sampled], normal[sampled])
    np.testing.assert_array_equal(found[reports.reading == RELATIVE], 0.0)
    assert np.isfinite(log_likelihood(problem, sites, np.full(reports.n, 900.0))[sampled]).all()


def test_the_floor_of_an_index_is_on_the_scale_of_the_flow(problem: Problem) -> None:
    reports = problem.reports
    problem = replace(problem, reports=replace(reports, floor=np.full(reports.n, 50.0)))
    index = reports.reading == RELATIVE
    np.testing.assert_allclose(log_floor(problem)[index], np.log(50.0) / 0.7)
    np.testing.assert_allclose(log_floor(problem)[~index], np.log(50.0))


@pytest.mark.parametrize("away", [-200.0, -40.0, -6.0, -1.0, 0.0, 2.0, 12.0])
def test_draws_below_a_limit_have_their_distribution(away: float) -> None:
    mean, sd, n = 3.0, 0.5, 4000
    limit = mean + away * sd
    drawn = draw_below(
        np.full(n, limit), np.full(n, mean), np.full(n, sd), np.random.default_rng(7)
    )
    assert (drawn < limit).all()
    assert len(np.unique(drawn)) == n

    def cdf(x: Array) -> Array:
        return np.asarray(np.exp(log_ndtr((x - mean) / sd) - log_ndtr(away)))

    assert stats.kstest(drawn, cdf).pvalue > 0.01


def test_figures_are_drawn_as_they_are_read(problem: Problem) -> None:
    reports, rng = problem.reports, np.random.default_rng(3)
    log_mean = np.full(reports.n, np.log(200.0))
    drawn = np.array([draw_figures(problem, log_mean, rng) for _ in range(400)])
    counted = reports.reading == COUNTED
    np.testing.assert_array_equal(drawn[:, counted], np.round(drawn[:, counted]))
    assert drawn[:, counted].mean() == pytest.approx(200.0, rel=0.005)
    assert drawn[:, counted].var(axis=0).mean() == pytest.approx(200.0, rel=0.05)
    np.testing.assert_allclose(drawn[:, reports.reading == SAMPLED], 199.5)
    np.testing.assert_allclose(drawn[:, reports.reading == RELATIVE], 200.0**0.7 - 0.5)
    # A floor hides what was counted only once it is published.
    assert (drawn[:, reports.floor > 0].std(axis=0) > 0).all()


def test_figures_drawn_are_read_back_as_they_were_meant(problem: Problem) -> None:
    log_mean = np.linspace(3.0, 9.0, problem.reports.n)
    value = draw_figures(problem, log_mean, np.random.default_rng(1))
    back = initial_sites(with_values(problem, value)).mean
    exact = problem.reports.reading != COUNTED
    np.testing.assert_allclose(back[exact], log_mean[exact])


def test_worlds_have_the_sampling_error_in_the_figures_of_surveys(problem: Problem) -> None:
    """Two figures of a corridor differ by their errors, and by what changes from year to year."""
    sampled = problem.reports.reading == SAMPLED
    hyper = hyper_of(problem)
    corridor = problem.reports.corridor[sampled]
    first = np.flatnonzero(np.diff(corridor) == 0)

    def change(sampling: float) -> float:
        """Return the variance of the difference on the log scale at this sampling variance."""
        variance = np.where(sampled, sampling, 0.0)
        given = replace(problem, reports=replace(problem.reports, sampling=variance))
        rng = np.random.default_rng(2)
        value = np.array([draw_world(given, hyper, rng).value[sampled] for _ in range(300)])
        logs = np.log(value + 0.5)
        return float((logs[:, first + 1] - logs[:, first]).var(axis=0).mean())

    assert change(1.5) - change(1e-12) == pytest.approx(2 * 1.5, rel=0.1)


# --- sweeps --------------------------------------------------------------------------------------


def chain_of(problem: Problem) -> Chain:
    start = build_density(problem)
    sites = update_sites(problem, start.hyper(start.layout.start), initial_sites(problem))
    density = build_density(problem, sites)
    folded = density.layout.shapes.get("half_normal", np.zeros(0, dtype=np.int64))
    centre = density.layout.start.copy()
    centre[folded] = np.exp(centre[folded])
    none = np.zeros(0, dtype=np.int64)
    return Chain(
        mirror_symmetric(
            Coordinates(
                density, folded, np.ones(len(folded)), none, centre, 0.2 * np.eye(len(centre))
            )
        ),
        0.3,
    )


@pytest.fixture(scope="module")
def started(problem: Problem) -> tuple[Chain, State]:
    chain = chain_of(problem)
    density = chain.coordinates.density
    return chain, start_state(density, density.layout.start, np.random.default_rng(3))


def test_hidden_etas_stay_below_their_floor(problem: Problem, started: tuple[Chain, State]) -> None:
    chain, state = started
    hidden, limit = problem.reports.censored, log_floor(problem)
    index = problem.reports.reading == RELATIVE
    rng = np.random.default_rng(6)
    for k in range(4):
        assert (state.eta[hidden] < limit[hidden]).all()
        # An index is its own eta: nothing lies between the two.
        np.testing.assert_allclose(state.eta[index], state.sites.mean[index], rtol=1e-12)
        before = state
        state, share = sweep(chain, state, rng, hyper=k % 2 == 0)
        assert (state.eta[hidden] != before.eta[hidden]).mean() > 0.9
        assert 0.3 < share["corridors"] <= 1.0


def test_reports_given_their_means_have_their_conditional_distribution(
    problem: Problem, started: tuple[Chain, State]
) -> None:
    """Surveys and hidden figures are drawn outright, whatever the state before."""
    _, state = started
    hyper, rng = build_density(problem).hyper(state.x), np.random.default_rng(11)
    mean = report_mean(problem, hyper, state.coefficient, state.parts)
    noise = sweeps._noise(problem, hyper, state.sites)
    drawn = np.array([sweeps._move_reports(problem, hyper, state, rng)[0].eta for _ in range(600)])
    hidden, sampled = problem.reports.censored, problem.reports.reading == SAMPLED
    first, second = below_moments(log_floor(problem)[hidden], mean[hidden], noise[hidden])
    wanted, spread = np.zeros((2, problem.reports.n))
    wanted[hidden], spread[hidden] = first, second
    precision = 1.0 / noise[sampled] + 1.0 / problem.reports.sampling[sampled]
    seen = np.log(problem.reports.value[sampled] + 0.5)
    shift = mean[sampled] / noise[sampled] + seen / problem.reports.sampling[sampled]
    wanted[sampled], spread[sampled] = shift / precision, 1.0 / precision
    some = hidden | sampled
    z = (drawn.mean(axis=0) - wanted)[some] / np.sqrt(spread[some] / len(drawn))
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(
        (drawn.var(axis=0) / np.maximum(spread, 1e-12))[some], 1.0, atol=0.35
    )


def test_what_is_gaussian_is_always_accepted(problem: Problem) -> None:
    """Where all figures of a corridor are surveys and indices, the proposal is the target."""
    reports = problem.reports
    kept = np.flatnonzero(np.isin(reports.reading, [SAMPLED, RELATIVE]))
    only = replace(
        problem,
        reports=replace(
            reports,
            floor=np.zeros(reports.n),
            reading=np.where(np.isin(np.arange(reports.n), kept), reports.reading, SAMPLED),
            sampling=np.where(reports.reading == RELATIVE, 0.0, 0.04),
        ),
    )
    counted, hidden = inexact_figures(only)
    assert not counted.any()
    assert not hidden.any()
    chain = chain_of(only)
    density = chain.coordinates.density
    state = start_state(density, density.layout.start, np.random.default_rng(2))
    after, share = sweep(chain, state, np.random.default_rng(1), hyper=False)
    assert share == {"corridors": 1.0, "reports": 1.0}
    assert (after.eta != state.eta)[reports.reading != RELATIVE].all()
