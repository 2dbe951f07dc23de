"""The posterior density of the hyper-parameters: gradient, PyMC twin, mode, curvature."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numpy.typing import NDArray
from pytensor.compile.mode import Mode
from scipy import stats
from support import (
    changed,
    coefficient_variance,
    dense_covariance,
    dense_design,
    dense_offset,
    family_problem,
    varied_spec,
)

from flowcast.model import fused
from flowcast.model.assemble import Sites, assemble, layout, report_sd
from flowcast.model.build import build_model, site_data
from flowcast.model.collapse import CollapsedLikelihood
from flowcast.model.coordinates import Coordinates, build_coordinates, powers, soften
from flowcast.model.density import (
    build_density,
    find_mode,
    mode_value_grad,
    refit_sites,
)
from flowcast.model.hyper import build_layout, draw_hyper, scalar_priors, vector_priors
from flowcast.model.problem import Problem, with_values
from flowcast.model.sites import initial_sites
from flowcast.priors import PRIOR_SHAPES, Prior
from flowcast.simulation import simulate_world

PLAIN = Mode(linker="py", optimizer="fast_compile")
"""Evaluates node by node: no C or Numba compilation of a graph used a few times."""

CASES: dict[str, tuple[str, int, bool]] = {
    "plain": ("plain", 3, True),
    "ungraded": ("plain", 3, False),
    "one_period": ("plain", 1, True),
    "no_path": ("no_path", 3, True),
    "no_duration": ("no_duration", 2, True),
    "no_share": ("no_share", 2, True),
    "bare": ("bare", 2, True),
    "shapes": ("shapes", 3, True),
}
FAMILIES = ("flow", "stock")
"""Cases with every family of sources, declared effects and figures below a floor."""


def case(name: str) -> Problem:
    if name in FAMILIES:
        return family_problem(seed=2, quantity=name)
    which, n_period, graded = CASES[name]
    return simulate_world(
        4, n_period, seed=11, spec=varied_spec(which), graded=graded, missing=0.2
    ).problem


def uneven_sites(problem: Problem, seed: int = 3) -> Sites:
    """Return sites and weights that differ from one report to the next."""
    rng, start = np.random.default_rng(seed), initial_sites(problem)
    return Sites(
        start.mean + 0.1 * rng.standard_normal(problem.reports.n),
        start.variance * rng.uniform(0.5, 2.0, problem.reports.n),
        rng.uniform(0.3, 3.0, problem.reports.n),
        rng.uniform(0.3, 3.0, problem.grid.n_corridor),
        rng.uniform(0.3, 3.0, problem.coefficients.n_unit),
    )


def dense_log_likelihood(problem: Problem, hyper: Mapping[str, Any], sites: Sites) -> float:
    design = dense_design(problem)
    prior = coefficient_variance(problem, hyper, sites)
    total = dense_covariance(problem, hyper, sites) + (design * prior) @ design.T
    mean = design @ problem.coefficients.mean + dense_offset(problem, hyper)
    return float(stats.multivariate_normal(mean, total).logpdf(sites.mean))


@dataclass(frozen=True)
class InverseRootGamma:
    """An sd whose inverse square has a Gamma distribution."""

    shape: float
    rate: float

    def logpdf(self, value: float) -> float:
        """Return the log density, from that of the inverse square."""
        precision = stats.gamma(self.shape, scale=1 / self.rate)
        return float(precision.logpdf(value**-2.0) + np.log(2.0) - 3.0 * np.log(value))


def log_density(prior: Prior, value: float) -> float:
    """Return the log density of the unconstrained parameter by SciPy, Jacobian included."""
    a, b = prior.numbers[0], prior.numbers[-1]
    on_log = np.log(value) if prior.shape not in ("normal", "beta") else 0.0
    dist = {
        "normal": lambda: stats.norm(a, b),
        "half_normal": lambda: stats.halfnorm(scale=a),
        "half_t": lambda: stats.t(a, scale=b),
        "log_normal": lambda: stats.lognorm(b, scale=np.exp(a)),
        "beta": lambda: stats.beta(a, b),
        "gamma": lambda: stats.gamma(a, scale=1 / b),
        "exponential": lambda: stats.expon(scale=1 / a),
        "positive_normal": lambda: stats.norm(a, b),
        "precision_gamma": lambda: InverseRootGamma(a, b),
    }[prior.shape]()
    on_logit = np.log(value * (1 - value)) if prior.shape == "beta" else 0.0
    return float(dist.logpdf(value) + on_log + on_logit)


def log_prior(problem: Problem, hyper: Mapping[str, Any]) -> float:
    total = sum(log_density(p, hyper[n]) for n, p in scalar_priors(problem).items())
    for name, (_, _, priors) in vector_priors(problem).items():
        total += sum(log_density(p, v) for p, v in zip(priors, hyper[name], strict=True))
    for label, sd in zip(
        problem.labels["noise_reporter"], hyper.get("sd_noise_reporter", ()), strict=True
    ):
        side = problem.sides.index(label.split(":")[0])
        median, spread = (hyper[f"{k}_sd_noise_reporter"][side] for k in ("median", "spread"))
        total += float(stats.norm(np.log(median), spread).logpdf(np.log(sd)))
    return total


def points(dim: int, start: NDArray[np.float64], n: int) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(4)
    return [start + 0.5 * rng.standard_normal(dim) for _ in range(n)]


def test_the_cases_use_every_shape_of_prior() -> None:
    problem = case("shapes")
    priors = [*scalar_priors(problem).values()]
    priors += [p for _, _, several in vector_priors(problem).values() for p in several]
    assert {p.shape for p in priors} == set(PRIOR_SHAPES)


@pytest.mark.parametrize("name", [*CASES, *FAMILIES])
def test_value_is_prior_times_dense_likelihood_up_to_a_constant(name: str) -> None:
    problem = case(name)
    density = build_density(problem, uneven_sites(problem))
    gaps = []
    for x in points(density.layout.n_dim, density.layout.start, 4):
        hyper = density.hyper(x)
        wanted = log_prior(problem, hyper) + dense_log_likelihood(problem, hyper, density.sites)
        gaps.append(density.value_grad(x)[0] - wanted)
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-7)


@pytest.mark.parametrize("name", [*CASES, *FAMILIES])
def test_gradient_is_the_slope_of_the_value(name: str) -> None:
    problem = case(name)
    density = build_density(problem, uneven_sites(problem))
    (x,) = points(density.layout.n_dim, density.layout.start, 1)
    wanted, step = np.empty_like(x), 1e-5
    for k in range(len(x)):
        nudge = np.zeros_like(x)
        nudge[k] = step
        up, down = density.value_grad(x + nudge)[0], density.value_grad(x - nudge)[0]
        wanted[k] = (up - down) / (2 * step)
    np.testing.assert_allclose(density.value_grad(x)[1], wanted, rtol=1e-5, atol=1e-5)


def pymc_point(
    model: pm.Model, problem: Problem, x: NDArray[np.float64]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Return x as the model's value variables, and where in x each of them stands."""
    slices, where = build_layout(problem).slices, {}
    labels = {name: names for name, (_, names, _) in vector_priors(problem).items()}
    for rv, value in model.rvs_to_values.items():
        if rv.name in slices:
            at = slices[rv.name]
            where[value.name] = at.start if value.ndim == 0 else at
        else:  # one variable a label, where the shapes of the priors differ
            (name,) = [n for n in labels if rv.name.startswith(f"{n}_")]
            where[value.name] = slices[name].start + labels[name].index(rv.name[len(name) + 1 :])
    return {name: np.asarray(x[at]) for name, at in where.items()}, where


@pytest.mark.parametrize(
    "name", ["plain", "ungraded", "no_path", "one_period", "bare", "shapes", "flow"]
)
def test_pymc_model_has_the_same_density(name: str) -> None:
    problem = case(name)
    sites = uneven_sites(problem)
    density, model = build_density(problem, sites), build_model(problem, sites)
    inputs = model.value_vars
    outputs = [model.logp(), *pt.grad(model.logp(), inputs)]
    (logp, *slopes) = model.replace_rvs_by_values(outputs)
    evaluate = pytensor.function(inputs, [logp, *slopes], mode=PLAIN)
    gaps = []
    for x in points(density.layout.n_dim, density.layout.start, 3):
        at, where = pymc_point(model, problem, x)
        found, *gradients = evaluate(**at)
        value, gradient = density.value_grad(x)
        gaps.append(float(found) - value)
        for variable, slope in zip(inputs, gradients, strict=True):
            np.testing.assert_allclose(
                slope, gradient[where[variable.name]], rtol=1e-6, atol=1e-7, err_msg=variable.name
            )
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-7)


def test_pymc_model_names_and_labels_its_parameters() -> None:
    problem = case("ungraded")
    model = build_model(problem, initial_sites(problem))
    assert set(model.named_vars) >= set(build_layout(problem).slices)
    assert model.coords["noise_reporter"] == problem.labels["noise_reporter"]
    assert [p.name for p in model.potentials] == ["reports"]
    assert len(site_data(initial_sites(problem), problem)) == len(Sites.__slots__)


def test_the_operation_differentiates_as_pytensor_checks_it() -> None:
    problem = case("no_path")
    sites = uneven_sites(problem)
    core = assemble(problem, draw_hyper(problem, np.random.default_rng(2)), sites)
    fixed = [*layout(problem).values(), sites.innovation_weight[problem.blocks.corridor]]

    def value(*inputs: Any) -> Any:  # noqa: ANN401
        return CollapsedLikelihood()(*inputs, *fixed)[0]

    pytensor.gradient.verify_grad(
        value,
        [np.asarray(x) for x in (core.residual, core.noise, core.coef_variance, core.scale + 0.3)]
        + [np.asarray(core.group_variance) + 0.1],
        rng=np.random.default_rng(1),
        mode=PLAIN,
    )


def test_hyper_parameters_keep_their_names_and_bounds() -> None:
    problem = case("shapes")
    hyper_layout = build_layout(problem)
    x = np.linspace(-3, 3, hyper_layout.n_dim)
    hyper = hyper_layout.unpack(hyper_layout.constrain(x))
    drawn = draw_hyper(problem, np.random.default_rng(1))
    assert {n: np.shape(v) for n, v in hyper.items()} == {n: np.shape(v) for n, v in drawn.items()}
    assert 0 < hyper["ar_coefficient"] < 1
    assert ((hyper["share_reported"] > 0) & (hyper["share_reported"] < 1)).all()
    assert all(np.all(v > 0) for n, v in hyper.items() if n.startswith(("sd_", "median", "spread")))
    increment = hyper_layout.slices["duration_increment"]
    assert hyper["duration_increment"][3] == x[increment][3]  # a normal prior: not transformed
    assert hyper["duration_increment"][0] == np.exp(x[increment][0])


@pytest.mark.parametrize("shape", PRIOR_SHAPES)
def test_every_shape_starts_where_its_density_is_finite(shape: str) -> None:
    numbers = {2: [-0.4, 0.3], 1: [0.7]}[len(PRIOR_SHAPES[shape])]
    if shape in ("half_t", "beta", "gamma", "precision_gamma"):
        numbers = [3.0, 2.0]
    spec = changed(varied_spec("plain"), process={"sd_origin": {shape: numbers}})
    problem = simulate_world(3, 1, seed=1, spec=spec).problem
    density = build_density(problem)
    value, gradient = density.value_grad(density.layout.start)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threads", [1, 3])
def test_one_pass_over_the_reports_gives_what_array_expressions_give(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "_STRETCH", 7)
    problem, rng = case(name), np.random.default_rng(2)
    sites = uneven_sites(problem)
    hyper = draw_hyper(problem, rng)
    core = fused.core_in_place(problem, hyper, sites, threads=threads)
    plain = assemble(problem, hyper, sites)
    for part in ("residual", "noise", "coef_variance", "scale", "group_variance"):
        np.testing.assert_allclose(
            getattr(core, part), getattr(plain, part), rtol=1e-12, atol=1e-13
        )
    slopes = rng.standard_normal((2, problem.reports.n))
    sizes = (
        problem.reports.duration.shape[1],
        len(problem.labels["share_class"]),
        len(report_sd(hyper)),
    )
    found = fused.by_definition(problem, sites, (slopes[0], slopes[1]), sizes, threads=threads)
    share = np.bincount(problem.share_index, slopes[0], sizes[1]) if sizes[1] else np.empty(0)
    wanted = (
        -(problem.reports.duration.T @ slopes[0]),
        -share,
        np.bincount(problem.noise_index, slopes[1] / sites.noise_weight, sizes[2]),
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_density_is_the_same_whatever_was_evaluated_before() -> None:
    """Arrays are used again; nothing of a larger or smaller problem stays in them."""
    one, other = build_density(case("plain")), build_density(case("one_period"))
    x, y = one.layout.start, other.layout.start
    value, gradient = one.value_grad(x)
    first = other.value_grad(y)
    again = one.value_grad(x)
    assert (value, gradient.tolist()) == (again[0], again[1].tolist())
    assert one.value(x) == pytest.approx(value, rel=1e-12)
    assert other.value_grad(y)[1].tolist() == first[1].tolist()


def test_report_sds_are_classes_first() -> None:
    both = {"sd_noise": np.array([1.0]), "sd_noise_reporter": np.array([2.0, 3.0])}
    assert report_sd(both).tolist() == [1.0, 2.0, 3.0]
    assert report_sd({"sd_noise_reporter": np.array([2.0])}).tolist() == [2.0]


@pytest.mark.parametrize("name", ["plain", "one_period", "shapes", "ungraded"])
def test_mode_settles_where_the_density_is_flat_and_higher(name: str) -> None:
    problem = case(name)
    lines: list[str] = []
    mode = find_mode(problem, lines.append)
    assert mode.settled
    assert len(lines) == mode.rounds
    here, gradient = mode_value_grad(mode.density, mode.x)
    # The last sweep of the sites came after the last climb, so the slope is small but not zero.
    assert np.abs(gradient).max() < 0.2
    assert here > mode_value_grad(mode.density, mode.density.layout.start)[0] + 1.0
    _, moved = refit_sites(problem, mode.density.hyper(mode.x), mode.density.sites)
    assert moved < 0.02


def test_mode_does_not_depend_on_the_order_of_magnitude_of_counts() -> None:
    problem = case("one_period")
    low = find_mode(problem)
    high = find_mode(with_values(problem, 1000.0 * problem.reports.value))
    assert low.settled
    assert high.settled
    assert np.isfinite(high.x).all()


@pytest.mark.parametrize("name", ["no_share", "shapes"])
def test_sampling_coordinates_whiten_the_density(name: str) -> None:
    coordinates = build_coordinates(find_mode(case(name)))
    n, step = len(coordinates.centre), 1e-3
    hessian = np.empty((n, n))
    for k in range(n):
        nudge = step * np.eye(n)[k]
        up, down = coordinates.value_grad(nudge)[1], coordinates.value_grad(-nudge)[1]
        hessian[k] = (down - up) / (2 * step)
    np.testing.assert_allclose(hessian, np.diag(np.diag(hessian)), atol=0.02)
    spread = np.linalg.norm(coordinates.root, axis=0)
    assert (spread <= 2.0 + 1e-9).all()
    steep = spread < 2.0 - 1e-6
    np.testing.assert_allclose(np.diag(hessian)[steep], 1.0, atol=0.02)
    assert steep.sum() >= n // 2


@pytest.mark.parametrize("name", ["plain", "shapes"])
def test_sampling_coordinates_have_the_right_slope(name: str) -> None:
    coordinates = build_coordinates(find_mode(case(name)))
    rng, step = np.random.default_rng(5), 1e-5
    z = 0.3 * rng.standard_normal(len(coordinates.centre))
    wanted = np.empty_like(z)
    for k in range(len(z)):
        nudge = step * np.eye(len(z))[k]
        up, down = coordinates.value_grad(z + nudge)[0], coordinates.value_grad(z - nudge)[0]
        wanted[k] = (up - down) / (2 * step)
    np.testing.assert_allclose(coordinates.value_grad(z)[1], wanted, rtol=1e-4, atol=1e-5)


def test_folded_standard_deviations_have_the_density_of_the_sd_itself() -> None:
    mode = find_mode(case("plain"))
    coordinates = build_coordinates(mode)
    layout_ = mode.density.layout
    sds = layout_.shapes["half_normal"]
    assert set(sds) <= set(coordinates.folded)
    coordinates = replace(coordinates, folded=sds, power=np.ones(len(sds)))
    z = 0.2 * np.random.default_rng(6).standard_normal(len(mode.x))
    x = coordinates.unconstrained(z)
    # From the density of log sd to that of the sd: divide by the sd.
    wanted = mode.density.value_grad(x)[0] - x[coordinates.folded].sum()
    assert coordinates.value_grad(z)[0] == pytest.approx(wanted, abs=1e-9)
    plain = coordinates.plain()
    u = coordinates.centre + coordinates.root @ z
    mirrored = u.copy()
    mirrored[coordinates.folded] *= -1.0
    value, gradient = plain.value_grad(u)
    other, opposite = plain.value_grad(mirrored)
    assert value == pytest.approx(other, abs=1e-9)
    np.testing.assert_allclose(gradient[coordinates.folded], -opposite[coordinates.folded])


def test_well_known_values_are_the_powers_that_have_no_skewness() -> None:
    """Normal in the value: power 1; normal in its logarithm: none; sd of a sample: -2/3."""
    layout_ = build_density(case("plain")).layout
    curvature, third = np.full(layout_.n_dim, 100.0), np.zeros(layout_.n_dim)
    normal, sample, unknown, drawn = (
        layout_.slices[name].start
        for name in ("duration_increment", "sd_corridor", "sd_origin", "sd_reporter")
    )
    # Of -(exp(x) - 1)^2 / (2 s^2), and of -n x - n exp(-2 x) / 2, at x = 0.
    third[normal], third[sample] = -3.0 * curvature[normal], 2.0 * curvature[sample]
    curvature[unknown] = 1.0
    position, power = powers(layout_, curvature, third, np.array([drawn + 1]))
    found = dict(zip(position.tolist(), power.tolist(), strict=True))
    assert found[normal] == pytest.approx(1.0)
    assert found[sample] == pytest.approx(-2.0 / 3.0)
    assert found[unknown] == 1.0
    assert abs(found[drawn]) == pytest.approx(0.1)
    assert normal + 1 not in found
    assert not set(found) & set(layout_.shapes["beta"].tolist())


def test_powers_of_increments_have_the_density_of_the_power() -> None:
    mode = find_mode(case("plain"))
    layout_, n = mode.density.layout, len(mode.x)
    steps = np.arange(n)[layout_.slices["duration_increment"]]
    power = np.array([0.3, 0.5, -0.7, 1.0])
    none = np.zeros(0, dtype=int)
    coordinates = Coordinates(mode.density, steps, power, none, np.zeros(n), np.eye(n))
    u = mode.x.copy()
    u[steps] = np.exp(power * mode.x[steps])
    x = coordinates.unconstrained(u)
    np.testing.assert_allclose(x, mode.x, atol=1e-4)
    wanted = mode.density.value(x) - power @ x[steps]
    assert coordinates.value(u) == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(coordinates.position(x), u, rtol=1e-9)


def test_powers_with_zero_in_reach_are_softened() -> None:
    """The third derivative at the mode vanishes as it does with the power itself."""
    power = np.array([0.2, 0.5, 0.8, 1.0, 0.5, -0.7])
    spread = np.array([0.9, 0.4, 0.4, 0.4, 0.05, 0.4])
    value = np.array([0.5, 1.0, 2.0, 0.3, 1.0, 1.0])
    chosen, scale = soften(power, spread, value)
    assert chosen.tolist() == [True, True, True, True, False, False]
    for k, p in enumerate(np.minimum(power[chosen], 0.95)):
        u = np.log(np.expm1(value[k] / scale[k]))

        def log_value(at: float, k: int = k) -> float:
            return float(np.log(scale[k] * np.log1p(np.exp(at))))

        step = 1e-4
        up, here, down = log_value(u + step), log_value(u), log_value(u - step)
        first, second = (up - down) / (2 * step), (up - 2 * here + down) / step**2
        assert -second / first**2 == pytest.approx(p, rel=1e-4)


def test_softened_increments_have_the_density_of_what_they_are_taken_as() -> None:
    mode = find_mode(case("plain"))
    layout_, n = mode.density.layout, len(mode.x)
    steps = np.arange(n)[layout_.slices["duration_increment"]]
    none, scale = np.zeros(0, dtype=int), np.array([0.3, 0.5, 0.1, 1.0])
    coordinates = Coordinates(
        mode.density, none, np.zeros(0), none, np.zeros(n), np.eye(n), soft=steps, scale=scale
    )
    u = mode.x.copy()
    u[steps] = np.array([-30.0, -2.0, 0.5, 4.0])
    size = np.log1p(np.exp(u[steps]))
    x = coordinates.unconstrained(u)
    np.testing.assert_allclose(x[steps], np.log(scale * size), rtol=1e-9)
    np.testing.assert_allclose(coordinates.position(x), u, rtol=1e-9)
    # d log value / du = 1 / (1 + exp(-u)) / size.
    slope = 1.0 / (1.0 + np.exp(-u[steps])) / size
    wanted = mode.density.value(x) + np.log(slope).sum()
    assert coordinates.value(u) == pytest.approx(wanted, abs=1e-9)
    found, gradient = coordinates.value_grad(u)
    assert found == pytest.approx(wanted, abs=1e-9)
    for k in steps:
        nudge = 1e-5 * np.eye(n)[k]
        finite = (coordinates.value(u + nudge) - coordinates.value(u - nudge)) / 2e-5
        assert gradient[k] == pytest.approx(finite, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "ungraded"])
def test_the_centre_is_the_mode_of_the_density_in_these_coordinates(name: str) -> None:
    coordinates = build_coordinates(find_mode(case(name)))
    value, gradient = coordinates.value_grad(np.zeros(len(coordinates.centre)))
    # In units of one posterior sd; the climb stops when nothing is gained any more.
    assert np.abs(gradient).max() < 0.05
    rng = np.random.default_rng(8)
    for _ in range(20):
        z = 0.5 * rng.standard_normal(len(coordinates.centre))
        assert coordinates.value(z) < value


def test_noise_sds_that_data_say_little_about_are_taken_relative_to_their_median() -> None:
    problem = case("ungraded")
    coordinates = build_coordinates(find_mode(problem))
    names, layout_ = problem.labels["noise_reporter"], coordinates.density.layout
    own = layout_.slices["sd_noise_reporter"]
    some = np.arange(own.start, own.stop)[::2]
    sds = layout_.shapes["half_normal"]
    coordinates = replace(coordinates, folded=sds, power=np.ones(len(sds)))
    relative = replace(coordinates, relative=some, centre=np.zeros(layout_.n_dim))
    plain = relative.plain()
    u = 0.3 * np.random.default_rng(9).standard_normal(layout_.n_dim)
    hyper = layout_.unpack(layout_.constrain(plain.unconstrained(u)))
    side = [0 if name.startswith("immigration") else 1 for name in names]
    for k in range(len(names)):
        median, spread = (hyper[f"{m}_sd_noise_reporter"][side[k]] for m in ("median", "spread"))
        wanted = (
            median * np.exp(spread * u[own.start + k]) if k % 2 == 0 else np.exp(u[own.start + k])
        )
        assert hyper["sd_noise_reporter"][k] == pytest.approx(wanted)
    wanted_slope = np.empty_like(u)
    for k in range(len(u)):
        nudge = 1e-5 * np.eye(len(u))[k]
        wanted_slope[k] = (plain.value(u + nudge) - plain.value(u - nudge)) / 2e-5
    np.testing.assert_allclose(plain.value_grad(u)[1], wanted_slope, rtol=1e-4, atol=1e-4)
