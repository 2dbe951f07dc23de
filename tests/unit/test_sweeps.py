"""The steps of the chain against formulas, with randomness replaced by known numbers."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import dense_covariance, dense_design, dense_offset, varied_spec

from flowcast.errors import UsageError
from flowcast.model import sweeps
from flowcast.model.coordinates import Coordinates
from flowcast.model.density import build_density
from flowcast.model.figures import count_mode
from flowcast.model.latent import draw_latent
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites, update_sites
from flowcast.model.sweeps import (
    Chain,
    Refined,
    State,
    refine,
    report_mean,
    start_state,
    sweep,
    tune_chain,
)
from flowcast.model.trajectory import mirror_symmetric, trajectory
from flowcast.simulation import simulate_world

Array = NDArray[np.float64]


def problem_of(which: str = "plain", n_period: int = 3, missing: float = 0.3) -> Problem:
    spec = varied_spec(which)
    return simulate_world(3, n_period, seed=21, spec=spec, missing=missing).problem


def coordinates_of(problem: Problem) -> Coordinates:
    """Return plain coordinates around the starting point, at fitted sites."""
    start = build_density(problem)
    sites = update_sites(problem, start.hyper(start.layout.start), initial_sites(problem))
    density = build_density(problem, sites)
    folded = density.layout.shapes.get("half_normal", np.zeros(0, dtype=np.int64))
    centre = density.layout.start.copy()
    centre[folded] = np.exp(centre[folded])
    none = np.zeros(0, dtype=np.int64)
    return Coordinates(
        density, folded, np.ones(len(folded)), none, centre, 0.3 * np.eye(len(centre))
    )


def chain_of(problem: Problem) -> Chain:
    return Chain(mirror_symmetric(coordinates_of(problem)), 0.3)


def state_of(problem: Problem, seed: int = 3) -> State:
    density = coordinates_of(problem).density
    return start_state(density, density.layout.start, np.random.default_rng(seed))


class Expected:
    """A source of randomness that gives each distribution's mean."""

    def standard_normal(self, size: object) -> Array:
        return np.zeros(size)  # type: ignore[call-overload, no-any-return]

    def gamma(self, shape: Array, scale: float = 1.0, size: object = None) -> Array:
        return np.broadcast_to(shape, np.shape(shape) if size is None else size) * scale  # type: ignore[call-overload, no-any-return]


EXPECTED: Any = Expected()


@pytest.mark.parametrize("which", ["plain", "no_path", "bare"])
def test_the_mean_of_a_report_is_the_sum_of_its_parts(which: str) -> None:
    problem, reports = problem_of(which), problem_of(which).reports
    state = state_of(problem)
    hyper, parts = build_density(problem).hyper(state.x), state.parts
    wanted = dense_design(problem) @ state.coefficient + dense_offset(problem, hyper)
    for k in range(reports.n):
        c = reports.corridor[k]
        wanted[k] += parts.effect[c] + parts.path[c, reports.period[k]]
        wanted[k] += parts.series[c, problem.series.index(reports.series[k])]
    found = report_mean(problem, hyper, state.coefficient, parts)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_weights_are_drawn_around_their_conditional_means() -> None:
    problem = problem_of()
    state, reports, nu = state_of(problem), problem.reports, 4.0
    hyper = build_density(problem).hyper(state.x)
    drawn = sweeps._draw_weights(problem, hyper, state, EXPECTED).sites
    mean = report_mean(problem, hyper, state.coefficient, state.parts)
    sd = dict(zip(problem.labels["noise_class"], hyper["sd_noise"], strict=True))
    ratio = (state.eta - mean) / np.array([sd[name] for name in reports.noise])
    for k in range(reports.n):
        same = (reports.corridor == reports.corridor[k]) & (reports.series == reports.series[k])
        wanted = (nu + same.sum()) / (nu + (ratio[same] ** 2).sum())
        assert drawn.noise_weight[k] == pytest.approx(wanted)
    phi, sd_innovation = hyper["ar_coefficient"], hyper["sd_innovation"]
    for c, e in enumerate(state.parts.path):
        squares = (1 - phi**2) * e[0] ** 2 + sum((e[t] - phi * e[t - 1]) ** 2 for t in (1, 2))
        wanted = (nu + 3) / (nu + squares / sd_innovation**2)
        assert drawn.innovation_weight[c] == pytest.approx(wanted)
    coefficients = problem.coefficients
    for unit in range(coefficients.n_unit):
        squares, n = 0.0, 0
        for j in np.flatnonzero(coefficients.unit == unit):
            side = 0 if coefficients.name[j].startswith("immigration") else 1
            own = hyper[f"sd_{coefficients.group[j]}"][side]
            squares += (state.coefficient[j] / own) ** 2
            n += 1
        assert drawn.unit_weight[unit] == pytest.approx((nu + n) / (nu + squares))


def test_without_heavy_tails_no_weight_changes() -> None:
    problem = problem_of("normal_tails")
    state = state_of(problem)
    hyper = build_density(problem).hyper(state.x)
    drawn = sweeps._draw_weights(problem, hyper, state, np.random.default_rng(1)).sites
    for name in ("noise_weight", "innovation_weight", "unit_weight"):
        np.testing.assert_array_equal(getattr(drawn, name), 1.0)


def test_the_proposal_of_a_report_is_centred_on_the_mode() -> None:
    value = np.array([0.0, 0.0, 3.0, 250.0, 3e7, 0.0])
    mean = np.array([-3.0, 4.0, 0.5, 9.0, 2.0, 800.0])
    noise = np.array([0.2, 9.0, 1e-6, 2.0, 30.0, 1.0])
    mode, scale = count_mode(value, mean, noise)
    slope = value - np.exp(mode) - (mode - mean) / noise
    # In units of the posterior sd; a proposal may be off by a little.
    np.testing.assert_allclose(slope * scale, 0.0, atol=1e-3)
    np.testing.assert_allclose(scale**-2, np.exp(mode) + 1 / noise)


def test_the_start_is_a_draw_of_the_approximation() -> None:
    problem = problem_of(missing=0.75)
    chain = chain_of(problem)
    density = chain.coordinates.density
    x = density.layout.start
    made = refine(density, chain, x, np.random.default_rng(4), n_sweeps=0)
    flow, coefficient = draw_latent(
        problem, density.hyper(x), density.sites, np.random.default_rng(4)
    )
    np.testing.assert_array_equal(made.log_flow, flow)
    np.testing.assert_array_equal(made.coefficient, coefficient)
    assert made.acceptance == {}


def test_eta_is_drawn_between_its_mean_and_its_site() -> None:
    problem = problem_of()
    density = coordinates_of(problem).density
    hyper, sites = density.hyper(density.layout.start), density.sites
    mean = np.linspace(0.0, 3.0, problem.reports.n)
    eta = sweeps._draw_eta(problem, hyper, sites, mean, EXPECTED)
    # Given the coefficients, corridors' own parts switched off: the diagonal of their covariance.
    bare = {k: v for k, v in hyper.items() if k not in ("sd_corridor_report", "sd_innovation")}
    noise = np.diag(dense_covariance(problem, bare | {"sd_corridor": 0.0}, sites)) - sites.variance
    wanted = (mean / noise + sites.mean / sites.variance) / (1 / noise + 1 / sites.variance)
    np.testing.assert_allclose(eta, wanted)


class Fixed:
    """A source of randomness that gives what it was told to, in turn."""

    def __init__(self, normals: Array, level: float) -> None:
        self.normals, self.level = normals, level

    def standard_normal(self, size: int) -> Array:
        assert len(self.normals) == size
        return self.normals

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def random(self) -> float:
        return self.level


def harmonic() -> SimpleNamespace:
    """Return coordinates in which the density is a standard normal."""

    def value_grad(z: Array) -> tuple[float, Array]:
        return -0.5 * float(z @ z), -z

    def same(z: Array) -> Array:
        return z

    return SimpleNamespace(value_grad=value_grad, position=same, unconstrained=same)


def test_a_trajectory_of_a_normal_density_is_a_rotation() -> None:
    rng = np.random.default_rng(1)
    x, momentum, step = rng.standard_normal(4), rng.standard_normal(4), np.pi / 2 / 8
    end, share = trajectory(harmonic(), x, step, Fixed(momentum, 0.0))  # type: ignore[arg-type]
    # A quarter turn takes the place of the momentum; leapfrog steps are off by their square.
    np.testing.assert_allclose(end, momentum, atol=2 * step**2)
    assert 0.95 < share <= 1.0


def test_a_trajectory_that_gains_energy_is_refused() -> None:
    x, momentum = np.full(2, 0.1), np.array([3.0, -1.0])
    end, share = trajectory(harmonic(), x, 2.5, Fixed(momentum, 0.999))  # type: ignore[arg-type]
    assert share < 0.9
    np.testing.assert_array_equal(end, x)


def test_a_trajectory_into_the_impossible_is_refused() -> None:
    def wall(z: Array) -> tuple[float, Array]:
        return (-0.5 * float(z @ z) if z[0] < 1 else -np.inf), -z

    coordinates = SimpleNamespace(**vars(harmonic()) | {"value_grad": wall})
    x, momentum = np.zeros(2), np.array([3.0, 0.0])
    end, share = trajectory(coordinates, x, 0.5, Fixed(momentum, 0.0))  # type: ignore[arg-type]
    np.testing.assert_array_equal(end, x)
    assert share == 0.0


@pytest.fixture
def swept() -> tuple[Problem, State, State, dict[str, float]]:
    problem = problem_of(missing=0.75)
    before = state_of(problem)
    return problem, before, *sweep(chain_of(problem), before, np.random.default_rng(6))


def test_a_sweep_moves_everything_and_keeps_the_sites(
    swept: tuple[Problem, State, State, dict[str, float]],
) -> None:
    problem, before, after, share = swept
    for name in ("coefficient", "eta"):
        assert (getattr(before, name) != getattr(after, name)).mean() > 0.5
    for name in ("effect", "series", "path", "innovation_weight"):
        assert (getattr(before.parts, name) != getattr(after.parts, name)).all()
    for name in ("noise_weight", "unit_weight", "innovation_weight"):
        assert (getattr(before.sites, name) != getattr(after.sites, name)).all()
    np.testing.assert_array_equal(before.sites.mean, after.sites.mean)
    np.testing.assert_array_equal(before.sites.variance, after.sites.variance)
    # Reports that share a weight still do.
    for group in range(problem.n_scale_group):
        assert np.unique(after.sites.noise_weight[problem.scale_group == group]).size == 1
    np.testing.assert_array_equal(after.sites.innovation_weight, after.parts.innovation_weight)
    assert set(share) == {"corridors", "reports", "hyper"}
    assert all(0.0 <= value <= 1.0 for value in share.values())


def test_without_counts_the_sites_are_the_model_and_everything_is_accepted() -> None:
    problem = problem_of()
    spec = problem.spec.model_copy(
        update={"measurement": problem.spec.measurement.model_copy(update={"counts": "delta"})}
    )
    problem = replace(problem, spec=spec)
    state = state_of(problem)
    _, share = sweep(chain_of(problem), state, np.random.default_rng(1))
    assert share["corridors"] == share["reports"] == 1.0


def test_same_stream_same_result() -> None:
    problem = problem_of()
    chain = chain_of(problem)
    density = chain.coordinates.density
    x = density.layout.start

    def made(seed: int) -> Refined:
        rng = np.random.default_rng(seed)
        return refine(density, chain, x, rng, n_sweeps=2)

    first, again, other = made(1), made(1), made(2)
    np.testing.assert_array_equal(first.log_flow, again.log_flow)
    np.testing.assert_array_equal(first.x, again.x)
    assert (first.log_flow != other.log_flow).all()
    np.testing.assert_array_equal(first.sites.variance, 0.0)
    assert set(first.acceptance) == {"corridors", "reports", "hyper"}


def test_hyper_parameters_stay_where_a_sweep_leaves_them_out() -> None:
    problem = problem_of()
    chain, before = chain_of(problem), state_of(problem)
    after, share = sweep(chain, before, np.random.default_rng(6), hyper=False)
    np.testing.assert_array_equal(after.x, before.x)
    assert (after.coefficient != before.coefficient).all()
    assert set(share) == {"corridors", "reports"}


def test_hyper_parameters_move_in_one_sweep_out_of_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = problem_of()
    chain, moved = chain_of(problem), []
    real = sweeps.sweep

    def seen(*args: Any, hyper: bool) -> tuple[State, dict[str, float]]:  # noqa: ANN401
        moved.append(hyper)
        return real(*args, hyper=hyper)

    monkeypatch.setattr(sweeps, "sweep", seen)
    density = chain.coordinates.density
    x, rng = density.layout.start, np.random.default_rng(1)
    made = refine(density, chain, x, rng, n_sweeps=5, every=3)
    assert moved == [False, True, False, False, True]
    assert set(made.acceptance) == {"corridors", "reports", "hyper"}


def test_the_step_is_smaller_where_the_density_is_narrower() -> None:
    problem = problem_of()
    coordinates = coordinates_of(problem)
    members = np.tile(coordinates.density.layout.start, (4, 1))
    wide = replace(coordinates, root=3.0 * coordinates.root)
    first, again, narrow = (
        tune_chain(coordinates.density, c, members, 1).step
        for c in (coordinates, coordinates, wide)
    )
    assert first == again
    assert 0.0 < narrow < 0.7 * first


def test_folded_values_are_scaled_by_themselves() -> None:
    coordinates = coordinates_of(problem_of())
    rng, n = np.random.default_rng(2), len(coordinates.centre)
    mixed = replace(coordinates, root=np.eye(n) + 0.1 * rng.standard_normal((n, n)))
    found = mirror_symmetric(mixed)
    flip = np.eye(n)
    for k in coordinates.folded:
        flip[k, k] = -1.0
    np.testing.assert_array_equal(flip @ found.root @ flip, found.root)
    # Within the others, and for each folded value, the precision is what it was.
    before, after = (np.linalg.inv(c.root @ c.root.T) for c in (mixed, found))
    others = np.setdiff1d(np.arange(n), coordinates.folded)
    among = np.ix_(others, others)
    np.testing.assert_allclose(after[among], before[among])
    np.testing.assert_allclose(np.diag(after), np.diag(before))


def test_softened_values_are_taken_by_their_logarithms() -> None:
    coordinates = coordinates_of(problem_of())
    steps = np.arange(len(coordinates.centre))[
        coordinates.density.layout.slices["duration_increment"]
    ]
    scale = np.full(len(steps), 0.2)
    others = ~np.isin(coordinates.folded, steps)
    soft = replace(
        coordinates, folded=coordinates.folded[others], power=coordinates.power[others],
        soft=steps, scale=scale,
    )  # fmt: skip
    found = mirror_symmetric(soft)
    assert len(found.soft) == len(found.scale) == 0
    np.testing.assert_allclose(
        found.centre[steps], np.log(0.2 * np.log1p(np.exp(soft.centre[steps])))
    )
    # A small step in z is the same step in the logarithms, by either.
    slope = (1.0 / (1.0 + np.exp(-soft.centre[steps]))) / np.log1p(np.exp(soft.centre[steps]))
    before = np.linalg.inv(soft.root @ soft.root.T)[np.ix_(steps, steps)]
    after = np.linalg.inv(found.root @ found.root.T)[np.ix_(steps, steps)]
    np.testing.assert_allclose(after, before / np.outer(slope, slope), rtol=1e-6)


def test_reports_of_sums_are_refused() -> None:
    problem = problem_of()
    chain = chain_of(problem)
    density = chain.coordinates.density
    density = replace(density, problem=replace(problem, totals=object()))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="sums"):
        refine(density, chain, density.layout.start, np.random.default_rng(1), n_sweeps=1)
