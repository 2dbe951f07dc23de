"""What is ranked, and how worlds with known counting variances are drawn: no sampling."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support import changed

from flowcast.calibration.fixed_sites import find_fixed_mode
from flowcast.calibration.quantities import Probe, State, choose_probe, measure
from flowcast.calibration.sbc import FAMILIES, family_spec, rank_replicate
from flowcast.errors import UsageError
from flowcast.model.assemble import Sites
from flowcast.model.density import build_density
from flowcast.model.forward import draw_log_reports
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites
from flowcast.simulation import SimulatedWorld, simulate_world
from flowcast.trees import build_evidence


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate_world(4, 3, seed=5, spec=family_spec("gaussian"))


def gaussian(world: SimulatedWorld, variance: float, seed: int = 1) -> tuple[State, Sites]:
    sites = initial_sites(world.problem)
    sites = replace(sites, variance=np.full_like(sites.variance, variance))
    rng = np.random.default_rng(seed)
    log_report, log_flow, coefficient = draw_log_reports(world.problem, world.hyper, sites, rng)
    return State(world.hyper, log_flow, coefficient), replace(sites, mean=log_report)


def probe_of(world: SimulatedWorld, seed: int = 2) -> tuple[Probe, State]:
    state, sites = gaussian(world, 0.1)
    return choose_probe(world.problem, sites, np.random.default_rng(seed)), state


def log_sum(values: NDArray[np.float64]) -> float:
    return float(np.log(np.exp(values).sum()))


def test_every_hyper_parameter_is_ranked_under_a_name_of_its_own(world: SimulatedWorld) -> None:
    probe, state = probe_of(world)
    found = measure(probe, state)
    layout = build_density(world.problem).layout
    named = [n for n in found if n.split("[")[0] in layout.slices]
    assert len(named) == layout.n_dim
    assert found["sd_corridor"] == world.hyper["sd_corridor"]
    assert found["sd_reporter[emigration]"] == world.hyper["sd_reporter"][1]


def test_sums_are_those_of_the_flows(world: SimulatedWorld) -> None:
    probe, state = probe_of(world)
    found, grid = measure(probe, state), world.problem.grid
    into = grid.destination == probe.place
    assert found["immigration of a place"] == pytest.approx(
        log_sum(state.log_flow[into, probe.period])
    )
    first, back = probe.pair
    assert (grid.origin[first], grid.destination[first]) == (
        grid.destination[back],
        grid.origin[back],
    )
    assert found["sum of a pair"] == pytest.approx(log_sum(state.log_flow[[first, back]]))
    assert found["all flows"] == pytest.approx(log_sum(state.log_flow))


def test_cells_of_every_kind_of_evidence_are_ranked(world: SimulatedWorld) -> None:
    probe, state = probe_of(world)
    evidence = build_evidence(world.problem)
    words = {"both": "both_reports", "one": "one_report", "none": "none"}
    assert {name.split()[1] for name in probe.cells} == {
        short for short, word in words.items() if (evidence == word).any()
    }
    for name, at in probe.cells.items():
        assert evidence[at] == words[name.split()[1]]
        assert measure(probe, state)[name] == state.log_flow[at]


def test_the_choice_does_not_look_at_values(world: SimulatedWorld) -> None:
    one = choose_probe(world.problem, gaussian(world, 0.1)[1], np.random.default_rng(3))
    two = choose_probe(world.problem, gaussian(world, 2.0, 9)[1], np.random.default_rng(3))
    assert (one.cells, one.coefficients, one.labels) == (two.cells, two.coefficients, two.labels)
    np.testing.assert_array_equal(one.pair, two.pair)


def test_the_log_likelihood_is_that_of_the_density(world: SimulatedWorld) -> None:
    """Up to what does not depend on hyper-parameters, density less prior is the likelihood."""
    _, sites = gaussian(world, 0.1)
    probe = choose_probe(world.problem, sites, np.random.default_rng(2))
    density = build_density(world.problem, sites)
    at = [density.layout.start, density.layout.start + 0.2]
    state = gaussian(world, 0.1)[0]
    found = [measure(probe, replace(state, hyper=density.hyper(x)))["log likelihood"] for x in at]
    told = [
        density.value_grad(x)[0] - density.layout.log_prior(x, density.layout.constrain(x))[0]
        for x in at
    ]
    assert found[1] - found[0] == pytest.approx(told[1] - told[0])


def test_the_density_of_the_reports_by_hand(world: SimulatedWorld) -> None:
    probe, state = probe_of(world)
    problem, hyper = world.problem, state.hyper
    reports, names = problem.reports, list(problem.coefficients.name)
    total = 0.0
    for k in range(reports.n):
        unit, period = reports.unit[k], reports.period[k]
        share = hyper["share_reported"][problem.labels["share_class"].index(reports.share[k])]
        expected = state.log_flow[reports.corridor[k], period]
        expected += reports.duration[k] @ hyper["duration_increment"] + np.log(share)
        expected += state.coefficient[names.index(unit)]
        expected += state.coefficient[names.index(f"{unit}@{period}")]
        side = int(reports.side[k] == "emigration")
        noise = hyper["sd_noise"][problem.labels["noise_class"].index(reports.noise[k])]
        variance = noise**2 + 0.1 + hyper["sd_corridor_report"][side] ** 2
        total -= 0.5 * ((probe.sites.mean[k] - expected) ** 2 / variance + np.log(variance))
    assert measure(probe, state)["log reports"] == pytest.approx(total)


def test_single_reporters_stand_for_their_side() -> None:
    spec = family_spec("gaussian")
    world = simulate_world(4, 3, seed=5, spec=spec, graded=False)
    probe, state = probe_of(world)
    found = measure(probe, state)
    own = [name for name in found if name.startswith("sd_noise_reporter")]
    assert own == ["sd_noise_reporter[immigration]", "sd_noise_reporter[emigration]"]
    assert set(np.array([found[n] for n in own])) <= set(world.hyper["sd_noise_reporter"])


# --- the Gaussian family draws what it fits -------------------------------------------------------


def test_counting_variance_spreads_the_reports_and_nothing_else(world: SimulatedWorld) -> None:
    narrow, wide = gaussian(world, 0.0), gaussian(world, 4.0)
    np.testing.assert_array_equal(narrow[0].log_flow, wide[0].log_flow)
    np.testing.assert_array_equal(narrow[0].coefficient, wide[0].coefficient)
    assert np.std(narrow[1].mean - wide[1].mean) > 0.5


def test_the_reports_vary_as_much_as_the_model_says(world: SimulatedWorld) -> None:
    """Given flows, mean and variance over 3,000 draws of one report are those of the model."""
    problem: Problem = world.problem
    sites = replace(initial_sites(problem), variance=np.full(problem.reports.n, 0.7))
    rng = np.random.default_rng(4)
    draws = np.array([draw_log_reports(problem, world.hyper, sites, rng)[0] for _ in range(3000)])
    noise = world.hyper["sd_noise"][problem.noise_index] ** 2
    bare = replace(sites, variance=np.zeros(problem.reports.n))
    less = np.array([draw_log_reports(problem, world.hyper, bare, rng)[0] for _ in range(3000)])
    gained = draws.var(axis=0) - less.var(axis=0)
    error = np.sqrt(2 / 3000) * (draws.var(axis=0) + less.var(axis=0))
    assert np.abs((gained - 0.7) / error).max() < 4.5
    assert (less.var(axis=0) > noise * 0.8).all()


def test_the_mode_at_given_sites_is_a_mode(world: SimulatedWorld) -> None:
    _, sites = gaussian(world, 0.1)
    mode = find_fixed_mode(world.problem, sites)
    np.testing.assert_array_equal(mode.density.sites.mean, sites.mean)
    _, gradient = mode.density.value_grad(mode.x)
    assert np.abs(gradient).max() < 0.05


# --- what is refused -----------------------------------------------------------------------------


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(UsageError, match=", ".join(FAMILIES)):
        family_spec("gauss")


def test_an_approximation_with_heavy_tails_draws_no_data() -> None:
    spec = changed(family_spec("full"), measurement={"counts": "delta"})
    with pytest.raises(UsageError, match="counts: poisson, or no tails"):
        rank_replicate(spec, n_place=4, n_period=3, seed=1)
