"""The chain leaves the exact model unchanged.

Parameters, everything latent and the data are drawn from the model; then sweeps and new data given
what is latent take turns. If the chain is right, all that is unknown is afterwards distributed as
before (Geweke 2004, doi 10.1198/016214504000001132). Every replicate starts from a draw of its own,
so that before and after can be compared without regard to autocorrelation (Gandy & Scott 2020,
arXiv:2001.06465).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from support import changed

from flowcast.config import ModelSpec
from flowcast.model import sweeps
from flowcast.model.assemble import Sites, assemble, report_sd
from flowcast.model.coordinates import Coordinates
from flowcast.model.density import build_density
from flowcast.model.forward import draw_log_reports, scale_weights
from flowcast.model.hyper import draw_hyper
from flowcast.model.latent import CorridorParts, cell_mean
from flowcast.model.problem import Problem, with_values
from flowcast.model.sites import initial_sites
from flowcast.model.sweeps import Chain, State, report_mean, start_state, sweep
from flowcast.model.trajectory import mirror_symmetric
from flowcast.simulation import simulate_world, simulation_spec

pytestmark = pytest.mark.statistical

Array = NDArray[np.float64]

TURNS = 4
REPLICATES = 500


def small_spec(which: str) -> ModelSpec:
    """Return a model of flows of a few persons, whose spreads have moderate priors."""
    spread, narrow = {"half_normal": [0.4]}, {"log_normal": [-1.0, 0.3]}
    process: dict[str, Any] = {"intercept": {"normal": [1.1, 0.5]}, "covariates": []}
    process |= {"sd_origin": narrow, "sd_destination": spread, "sd_corridor": narrow}
    process |= {"sd_innovation": narrow}
    measurement = {"sd_reporter": spread, "sd_corridor_report": narrow, "sd_noise": narrow}
    tails: dict[str, Any] = {}
    if which == "normal tails":
        tails = dict.fromkeys(("reports", "innovations", "reporters"))
    return changed(
        simulation_spec(),
        process=process,
        measurement=measurement | ({"counts": "delta"} if which == "delta" else {}),
        tails=tails,
    )


def prior_weights(problem: Problem, rng: np.random.Generator) -> Sites:
    tails, start = problem.spec.tails, initial_sites(problem)
    return Sites(
        start.mean,
        np.zeros(problem.reports.n),
        scale_weights(tails.reports, problem.n_scale_group, rng)[problem.scale_group],
        scale_weights(tails.innovations, problem.grid.n_corridor, rng),
        scale_weights(tails.reporters, problem.coefficients.n_unit, rng),
    )


def prior_parts(
    problem: Problem, hyper: dict[str, Any], weights: Sites, rng: np.random.Generator
) -> tuple[Array, CorridorParts]:
    """Draw coefficients, effects and paths with the random numbers of `draw_log_reports`."""
    core, (n, n_period) = assemble(problem, hyper, weights), problem.grid.exists.shape
    deviation = np.sqrt(core.coef_variance) * rng.standard_normal(problem.coefficients.n)
    effect = np.sqrt(core.scale[0]) * rng.standard_normal((n, 1))[:, 0]
    path = np.zeros((n, n_period))
    if problem.parts.path:
        phi = hyper["ar_coefficient"]
        sd = np.sqrt(core.scale[1] / weights.innovation_weight)
        path = rng.standard_normal((n, n_period)) * sd[:, None]
        path[:, 0] /= np.sqrt(1 - phi**2)
        for t in range(1, n_period):
            path[:, t] += phi * path[:, t - 1]
    series = rng.standard_normal((n, len(problem.series))) * np.sqrt(core.group_variance)
    parts = CorridorParts(effect, series, path, weights.innovation_weight)
    return problem.coefficients.mean + deviation, parts


def prior_state(problem: Problem, seed: int) -> State:
    """Draw all that is unknown from the model."""
    rng = np.random.default_rng(seed)
    hyper = dict(draw_hyper(problem, rng))
    weights = prior_weights(problem, rng)
    again = np.random.default_rng()
    again.bit_generator.state = rng.bit_generator.state
    coefficient, parts = prior_parts(problem, hyper, weights, rng)
    # The state is that of the simulator, taken apart.
    eta, flow, _ = draw_log_reports(problem, hyper, weights, again)
    np.testing.assert_allclose(cell_mean(problem, coefficient) + parts.log_flow, flow, rtol=1e-12)
    layout = build_density(problem).layout
    x = np.empty(layout.n_dim)
    for name, where in layout.slices.items():
        x[where] = hyper[name]
    for shape, where in layout.shapes.items():
        if shape != "normal":
            x[where] = np.log(x[where] / (1 - x[where])) if shape == "beta" else np.log(x[where])
    return State(x, coefficient, parts, eta, weights)


def with_data(problem: Problem, state: State, rng: np.random.Generator) -> tuple[Problem, State]:
    """Draw new data given eta, and the sites that belong to them."""
    if problem.spec.measurement.counts == "delta":
        variance = np.full(problem.reports.n, 0.3)
        mean = state.eta + np.sqrt(variance) * rng.standard_normal(problem.reports.n)
        return problem, replace(state, sites=replace(state.sites, mean=mean, variance=variance))
    problem = with_values(problem, rng.poisson(np.exp(np.minimum(state.eta, 30.0))).astype(float))
    start = initial_sites(problem)
    sites = replace(state.sites, mean=start.mean, variance=start.variance)
    return problem, replace(state, sites=sites)


def chain_at(problem: Problem) -> Chain:
    """Return rough settings, whose coordinates are far from white."""
    density = build_density(problem)
    shapes, n = density.layout.shapes, density.layout.n_dim
    folded = shapes.get("half_normal", np.zeros(0, dtype=np.int64))
    centre = density.layout.start.copy()
    centre[folded] = np.exp(centre[folded])
    root = 0.25 * np.eye(n) + 0.05 * np.tri(n)
    rough = Coordinates(
        density, folded, np.ones(len(folded)), np.zeros(0, dtype=np.int64), centre, root
    )
    return Chain(mirror_symmetric(rough), 0.5)


def functionals(problem: Problem, state: State) -> dict[str, float]:
    """Return what is compared: every hyper-parameter, and summaries of all else."""
    density, sites, parts = build_density(problem), state.sites, state.parts
    hyper, reports = density.hyper(state.x), problem.reports
    out = {f"x[{k}]": float(v) for k, v in enumerate(state.x)}
    mean = report_mean(problem, hyper, state.coefficient, parts)
    noise = (state.eta - mean) / report_sd(hyper)[problem.noise_index]
    flow = cell_mean(problem, state.coefficient) + parts.log_flow
    own = parts.effect[reports.corridor] + parts.path[reports.corridor, reports.period]
    data = reports.value if problem.spec.measurement.counts == "poisson" else sites.mean
    out |= {
        "squared noise": float(np.mean(noise**2)),
        "weighted noise": float(np.mean(noise**2 * sites.noise_weight)),
        "noise weight": float(np.mean(np.log(sites.noise_weight))),
        "unit weight": float(np.mean(np.log(sites.unit_weight))),
        "innovation weight": float(np.mean(np.log(sites.innovation_weight))),
        "effect": float(np.mean(parts.effect**2)),
        "series": float(np.mean(parts.series**2)),
        "path": float(np.mean(parts.path**2)),
        "change": float(np.mean(np.diff(parts.path, axis=1) ** 2)) if problem.parts.path else 0.0,
        "coefficients": float(np.mean(state.coefficient**2)),
        "intercept": float(state.coefficient[0]),
        "flow": float(flow.mean()),
        "eta": float(state.eta.mean()),
        "eta given mean": float(np.mean(state.eta * mean)),
        "data": float(np.mean(np.log(np.maximum(data, 0.0) + 0.5))),
        "data and eta": float(np.mean(data - np.exp(np.minimum(state.eta, 30.0)))),
        "data and effect": float(np.mean(np.log(np.maximum(data, 0.0) + 0.5) * own)),
    }
    return out


def paired_p(before: Array, after: Array) -> tuple[float, float]:
    """Test that two paired samples have one distribution: location and spread of pooled ranks."""
    rank = stats.rankdata(np.concatenate([before, after])) / (2 * len(before) + 1) - 0.5
    first, second = rank[: len(before)], rank[len(before) :]
    tests = (second - first, second**2 - first**2)
    return tuple(stats.ttest_1samp(d, 0.0).pvalue for d in tests)  # type: ignore[return-value]


def run(which: str, n_period: int, missing: float = 0.3) -> dict[str, tuple[float, float]]:
    """Return the p-values of every functional that can differ."""
    spec = small_spec(which)
    problem = simulate_world(3, n_period, seed=21, spec=spec, missing=missing).problem
    before, after = [], []
    for k in range(REPLICATES):
        state = prior_state(problem, 1000 + k)
        rng = np.random.default_rng([5, k])
        held, state = with_data(problem, state, rng)
        before.append(functionals(held, state))
        for _ in range(TURNS):
            state, _ = sweep(chain_at(held), state, rng)
            held, state = with_data(held, state, rng)
        after.append(functionals(held, state))
    out = {}
    for name in before[0]:
        old, new = (np.array([row[name] for row in rows]) for rows in (before, after))
        if (old != new).any():
            out[name] = paired_p(old, new)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "n_period"), [("plain", 3), ("normal tails", 2), ("plain", 1), ("delta", 2)]
)
def test_sweeps_and_new_data_leave_the_model_as_it_is(which: str, n_period: int) -> None:
    found = run(which, n_period)
    assert len(found) > 20
    p = np.array(list(found.values()))
    assert p.min() > 0.01 / p.size, min(found.items(), key=lambda item: min(item[1]))


def grid_moments(value: float, mean: float, variance: float) -> tuple[float, float]:
    """Return mean and variance of eta ~ N(mean, variance) given its count, on a fine grid."""
    half = 12 * np.sqrt(variance)
    at = np.linspace(mean - half, mean + half, 20_001)
    weight = stats.poisson.pmf(value, np.exp(at)) * np.exp(-0.5 * (at - mean) ** 2 / variance)
    weight /= weight.sum()
    first = float(weight @ at)
    return first, float(weight @ (at - first) ** 2)


def batch_z(draws: Array, wanted: Array) -> Array:
    """Return (mean - wanted) over its standard error by 25 batches, for every column."""
    means = draws.reshape(25, -1, draws.shape[1]).mean(axis=1)
    return np.asarray((means.mean(axis=0) - wanted) / (means.std(axis=0, ddof=1) / 5))


def small_start() -> tuple[Problem, dict[str, Any], State]:
    """Return a problem of small counts and a state of the approximation at known parameters."""
    problem = simulate_world(4, 3, seed=5, spec=small_spec("plain"), missing=0.75).problem
    density = build_density(problem)
    state = start_state(density, density.layout.start, np.random.default_rng(1))
    return problem, density.hyper(state.x), state


def test_corridors_of_one_report_have_the_moments_of_the_quadrature() -> None:
    problem, hyper, state = small_start()
    core, rng = assemble(problem, hyper, state.sites), np.random.default_rng(2)
    reports, start = problem.reports, problem.blocks.start
    alone = start[:-1][np.diff(start) == 1]
    assert len(alone) >= 3
    assert reports.value[alone].min() < 3
    zero = CorridorParts(*(np.zeros_like(getattr(state.parts, n)) for n in CorridorParts.__slots__))
    mean = report_mean(problem, hyper, state.coefficient, zero)[alone]
    own = core.scale[1] / state.sites.innovation_weight[reports.corridor[alone]]
    flow = core.scale[0] + own / (1 - core.scale[2] ** 2)
    noise = (core.noise - state.sites.variance)[alone]
    variance = flow + core.group_variance[problem.group[alone]] + noise
    wanted = np.array(
        [grid_moments(*args) for args in zip(reports.value[alone], mean, variance, strict=True)]
    )
    eta, path = [], []
    for _ in range(3000):
        state, _ = sweeps._move_corridors(problem, hyper, state, rng)
        eta.append(state.eta[alone])
        path.append(state.parts.log_flow[reports.corridor[alone], reports.period[alone]])
    found = np.array(eta)
    assert np.abs(batch_z(found, wanted[:, 0])).max() < 4.5
    assert np.abs(batch_z((found - wanted[:, 0]) ** 2, wanted[:, 1])).max() < 4.5
    # The flow is linear in eta on average.
    share = flow / variance * (wanted[:, 0] - mean)
    assert np.abs(batch_z(np.array(path), share)).max() < 4.5


def test_reports_given_their_means_have_the_moments_of_the_quadrature() -> None:
    problem, hyper, state = small_start()
    rng, mean = (
        np.random.default_rng(3),
        report_mean(problem, hyper, state.coefficient, state.parts),
    )
    noise = assemble(problem, hyper, state.sites).noise - state.sites.variance
    wanted = np.array(
        [grid_moments(*args) for args in zip(problem.reports.value, mean, noise, strict=True)]
    )
    eta = []
    for _ in range(3000):
        state, _ = sweeps._move_reports(problem, hyper, state, rng)
        eta.append(state.eta)
    found = np.array(eta)
    assert np.abs(batch_z(found, wanted[:, 0])).max() < 4.5
    assert np.abs(batch_z((found - wanted[:, 0]) ** 2, wanted[:, 1])).max() < 4.5
