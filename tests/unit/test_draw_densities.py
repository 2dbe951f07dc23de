"""Densities at draws: of priors, of fitted reports, of predicted ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats
from scipy.special import logit
from support import (
    changed,
    dense_covariance,
    dense_design,
    dense_offset,
    family_problem,
    laplace_posterior,
    varied_spec,
)

from flowcast._densities import kept_hyper, log_predictive, log_priors, log_reports
from flowcast._expectation import Expected
from flowcast.inference.fit import _log_likelihood
from flowcast.inference.gate import name_draws
from flowcast.model.density import build_density
from flowcast.model.hyper import HyperLayout, build_layout
from flowcast.model.problem import Problem
from flowcast.model.reports import COUNTED, RELATIVE, SAMPLED, Reports
from flowcast.observations import observations_from_frame
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports, weigh_reports
from flowcast.priors import Prior
from flowcast.simulation import simulate_world

ALPHA = 1.3
PRIORS = {
    "normal": [0.4, 1.5], "half_normal": [0.8], "half_t": [3.0, 0.6], "log_normal": [-0.5, 0.7],
    "beta": [4.0, 2.5], "gamma": [2.0, 5.0], "exponential": [1.7], "positive_normal": [0.3, 0.5],
    "precision_gamma": [3.0, 0.4],
}  # fmt: skip


def powered(prior: Prior, alpha: float = ALPHA) -> Prior:
    """Return the prior whose density is proportional to the power of another's."""
    a, b = prior.numbers[0], prior.numbers[-1]
    root = np.sqrt(alpha)
    heavy = alpha * (a + 1.0) - 1.0
    numbers = {
        "normal": [a, b / root],
        "half_normal": [a / root],
        "half_t": [heavy, b * np.sqrt(abs(a / heavy))],
        "log_normal": [a + (1.0 - alpha) * b**2 / alpha, b / root],
        "beta": [alpha * (a - 1.0) + 1.0, alpha * (b - 1.0) + 1.0],
        "gamma": [alpha * (a - 1.0) + 1.0, alpha * b],
        "exponential": [alpha * a],
        "positive_normal": [a, b / root],
        "precision_gamma": [(alpha * (2.0 * a + 1.0) - 1.0) / 2.0, alpha * b],
    }
    return Prior.make(prior.shape, [float(x) for x in numbers[prior.shape]])


@pytest.mark.parametrize("shape", PRIORS)
def test_densities_of_priors_are_normalised_and_those_of_their_draws(shape: str) -> None:
    prior = Prior.make(shape, PRIORS[shape])
    low = -np.inf if shape == "normal" else 0.0
    high = 1.0 if shape == "beta" else np.inf

    def density(v: float) -> float:
        return float(np.exp(prior.log_density(np.array(v))))

    total = integrate.quad(density, low, high)[0]
    assert total == pytest.approx(1.0, abs=1e-6)
    drawn = prior.draw(np.random.default_rng(1), 4000)
    below = np.array([integrate.quad(density, low, q)[0] for q in np.quantile(drawn, [0.2, 0.8])])
    assert below == pytest.approx([0.2, 0.8], abs=0.03)


def problem_of(which: str, *, graded: bool = True) -> Problem:
    return simulate_world(4, 3, seed=3, spec=varied_spec(which), graded=graded).problem


def with_powered_priors(problem: Problem) -> Problem:
    """Return the problem with every stated prior of a hyper-parameter raised to the power."""
    spec = problem.spec
    parts = {}
    for part in ("process", "measurement"):
        settings = getattr(spec, part)
        own = {
            name: powered(prior)
            for name in type(settings).model_fields
            if isinstance(prior := getattr(settings, name), Prior) and name.startswith(KINDS)
        }
        parts[part] = {name: {p.shape: list(p.numbers)} for name, p in own.items()}
    return replace(problem, spec=changed(spec, **parts))


KINDS = ("sd_", "ar_", "duration_", "share_", "median_", "spread_")


def unconstrained(layout: HyperLayout, hyper: Mapping[str, Any]) -> NDArray[np.float64]:
    values = np.empty(layout.n_dim)
    for name, where in layout.slices.items():
        values[where] = hyper[name]
    out = np.log(np.where(values > 0.0, values, 1.0))
    for shape, inverse in (("normal", np.asarray), ("beta", logit)):
        where = layout.shapes.get(shape, np.zeros(0, dtype=np.int64))
        out[where] = inverse(values[where])
    return out


@pytest.mark.parametrize(("which", "graded"), [("shapes", True), ("plain", False)])
def test_priors_raised_to_a_power_give_the_posterior_of_a_model_that_says_so(
    which: str, graded: bool
) -> None:
    """Log weights are the log ratio of the two posteriors, at every draw, up to one constant."""
    problem = problem_of(which, graded=graded)
    posterior = laplace_posterior(problem, n_draws=10)
    single = log_priors(posterior)
    hyper = [
        one for one in single.values() if one.attrs["name"] not in ("intercept", *terms_of(problem))
    ]
    weight = (ALPHA - 1.0) * sum(one.to_numpy() for one in hyper)
    layouts = build_layout(problem), build_layout(with_powered_priors(problem))
    assert layouts[0].n_dim == len(hyper) + len(layouts[0].reporter_side)
    kept = posterior.tree["posterior"].to_dataset()
    ratio = np.empty((2, 10))
    for c in range(2):
        for d in range(10):
            own = {str(k): v.to_numpy()[c, d] for k, v in kept.data_vars.items()}
            x = unconstrained(layouts[0], own)
            told = [layout.log_prior(x, layout.constrain(x))[0] for layout in layouts]
            ratio[c, d] = told[1] - told[0]
    # The Jacobian of the coordinates is in both densities, and cancels.
    np.testing.assert_allclose(ratio - ratio.mean(), weight - weight.mean(), atol=1e-8)
    assert np.ptp(weight) > 0.1


def terms_of(problem: Problem) -> tuple[str, ...]:
    return tuple(term.name for term in problem.spec.process.covariates)


def test_coefficients_with_a_prior_of_their_own_are_among_the_priors() -> None:
    problem = family_problem(seed=1)
    posterior = laplace_posterior(problem, n_draws=5)
    found = log_priors(posterior)
    coefficients = problem.coefficients
    own = np.flatnonzero(coefficients.sd_index == 0)
    assert {str(coefficients.name[k]) for k in own} <= set(found)
    pooled = np.flatnonzero(coefficients.sd_index > 0)
    assert not {str(coefficients.name[k]) for k in pooled} & set(found)
    drawn = posterior.tree["coefficients"]["coefficient"].to_numpy()
    for k in own:
        expected = stats.norm(coefficients.mean[k], coefficients.fixed_sd[k]).logpdf(drawn[..., k])
        np.testing.assert_allclose(found[str(coefficients.name[k])].to_numpy(), expected)
        part = "measurement" if coefficients.group[k] == "effect" else "process"
        assert found[str(coefficients.name[k])].attrs["part"] == part


def test_hyper_parameters_are_those_of_the_kept_draws() -> None:
    posterior = laplace_posterior(problem_of("plain"), n_draws=6, thin=3)
    found = kept_hyper(posterior)
    data = posterior.tree["posterior"].to_dataset()
    np.testing.assert_array_equal(found["sd_corridor"], data["sd_corridor"].to_numpy()[:, ::3])
    steps = found["duration_increment[6_to_12]"]
    whole = data["duration_increment"].sel(step="6_to_12").to_numpy()
    np.testing.assert_array_equal(steps, whole[:, ::3])
    assert steps.attrs == {"name": "duration_increment", "label": "6_to_12"}


# Reports that were fitted


def conditional(
    posterior: Posterior, problem: Problem, weight: float | None
) -> NDArray[np.float64]:
    """Return the density of the reports of each corridor and draw, from whole covariances.

    With `weight` the noise of all has it; otherwise they have those of the mode.
    """
    data, reports = posterior.tree["reports"].to_dataset(), problem.reports
    hyper = posterior.tree["posterior"].to_dataset()
    design = dense_design(problem)
    group = problem.coefficients.group
    of_reports = np.isin(group, ["reporter", "reporter_period", "effect"])
    coefficient = posterior.tree["coefficients"]["coefficient"].to_numpy()
    flow = posterior.log_flow.to_numpy()
    out = np.zeros((*flow.shape[:2], flow.shape[2]))
    sites = build_density(problem).sites
    noise = np.full(reports.n, weight) if weight else data["noise_weight"].to_numpy()
    sites = replace(sites, noise_weight=noise, variance=data["site_variance"].to_numpy())
    for c, d in np.ndindex(*flow.shape[:2]):
        own = {str(k): v.to_numpy()[c, d] for k, v in hyper.data_vars.items()}
        mean = flow[c, d, reports.corridor, reports.period] + dense_offset(problem, own)
        mean = mean + design[:, of_reports] @ coefficient[c, d, of_reports]
        given = {k: v for k, v in own.items() if k not in ("sd_corridor", "sd_innovation")}
        covariance = dense_covariance(problem, given, sites)
        for k in np.unique(reports.corridor):
            at = reports.corridor == k
            density = stats.multivariate_normal(mean[at], covariance[np.ix_(at, at)])
            out[c, d, k] = density.logpdf(data["site_mean"].to_numpy()[at])
    return out


@pytest.mark.parametrize("which", ["normal_tails", "bare"])
def test_the_density_of_fitted_reports_is_that_of_their_whole_covariance(which: str) -> None:
    problem = problem_of(which)
    posterior = laplace_posterior(problem, n_draws=2)
    found = log_reports(posterior).to_numpy()
    expected = conditional(posterior, problem, 1.0)
    constant = np.bincount(problem.reports.corridor, minlength=found.shape[-1])
    expected += 0.5 * np.log(2.0 * np.pi) * constant
    np.testing.assert_allclose(found, expected, atol=1e-4)  # flows are kept in single precision


def test_weights_behind_heavy_tails_are_averaged_over() -> None:
    problem = problem_of("plain")
    posterior = laplace_posterior(problem, n_draws=1)
    found = log_reports(posterior).to_numpy()
    assert problem.spec.tails.reports == 4.0
    # Corridors with reports of one series have one weight.
    series = {c: set(problem.reports.series[problem.reports.corridor == c]) for c in range(12)}
    alone = [c for c, own in series.items() if len(own) == 1]
    assert alone
    at = np.linspace(-7.0, 3.0, 120)
    prior = stats.gamma(2.0, scale=0.5)
    given = np.array([conditional(posterior, problem, float(np.exp(u))) for u in at])
    density = np.exp(given[..., alone]) * (prior.pdf(np.exp(at)) * np.exp(at))[:, None, None, None]
    expected = np.log(integrate.trapezoid(density, at, axis=0))
    gap = found[..., alone] - expected
    np.testing.assert_allclose(gap[0, 0], gap[1, 0], atol=0.02)  # what is left is a constant


def test_blocks_of_corridors_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = laplace_posterior(problem_of("plain"), n_draws=3)
    whole = log_reports(posterior)
    monkeypatch.setattr("flowcast._densities.BLOCK", 40)
    np.testing.assert_allclose(log_reports(posterior), whole, rtol=1e-12)


def test_the_kept_likelihood_is_the_density_without_its_prior() -> None:
    problem = problem_of("plain")
    density = build_density(problem)
    x = density.layout.start + 0.1 * np.random.default_rng(1).standard_normal(
        (2, 4, density.layout.n_dim)
    )
    draws = type("Draws", (), {"x": x, "data": name_draws(density, x)})
    latent: Any = type("Latent", (), {"draws": draws, "index": np.array([0, 2])})
    found = _log_likelihood(density, latent)
    assert found is not None
    assert found.shape == (2, 2)
    layout = density.layout
    for c, k in np.ndindex(2, 2):
        point = x[c, 2 * k]
        prior = layout.log_prior(point, layout.constrain(point))[0]
        assert found[c, k] == pytest.approx(density.value_grad(point)[0] - prior)


# Reports that were not fitted


def some_reports(reading: int, floor: float = 0.0, n: int = 1) -> Reports:
    template = simulate_world(3, 2, seed=1).problem.reports.take(np.arange(n))
    return replace(
        template, reading=np.full(n, reading), floor=np.full(n, floor), value=np.full(n, floor)
    )


def probability(
    reports: Reports, value: float, mean: ArrayLike, sd: ArrayLike, elasticity: float = 1.0
) -> float:
    """Return the predictive probability of one report, given means and sds of its draws."""
    mean, sd = np.atleast_2d(mean).T, np.atleast_2d(sd).T
    unused: Any = None
    expected = Expected(reports, mean, sd, np.full(1, np.nan), unused, unused, unused)
    figures = np.exp(mean + sd * np.random.default_rng(1).standard_normal(mean.shape))
    return float(np.exp(log_predictive(expected, np.array([value]), elasticity, figures))[0])


@pytest.mark.parametrize("value", [0.0, 2.0, 40.0, 3000.0])
def test_the_probability_of_a_count_is_the_poisson_log_normal_mixture(value: float) -> None:
    mean, sd = np.array([1.0, 3.5, 7.0]), np.array([0.3, 1.0, 0.6])

    def density(eta: float, m: float, s: float) -> float:
        return float(stats.poisson.pmf(value, np.exp(eta)) * stats.norm.pdf(eta, m, s))

    each = [
        integrate.quad(
            density, m - 9 * s, m + 9 * s, args=(m, s), limit=400, points=[np.log(value + 0.5)]
        )[0]
        for m, s in zip(mean, sd, strict=True)
    ]
    found = probability(some_reports(COUNTED), value, mean, sd)
    assert found == pytest.approx(np.mean(each), rel=1e-4)


def test_probabilities_of_counts_add_up_to_one() -> None:
    reports, mean, sd = some_reports(COUNTED), [0.5, 1.5], [0.4, 0.8]
    total = sum(probability(reports, float(k), mean, sd) for k in range(400))
    assert total == pytest.approx(1.0, abs=1e-4)


def test_a_figure_at_its_floor_is_as_probable_as_being_below_it() -> None:
    found = probability(some_reports(COUNTED, floor=50.0), 50.0, [3.0, 5.0], [0.5, 1.0])
    expected = stats.norm.cdf((np.log(50.0) - np.array([3.0, 5.0])) / [0.5, 1.0]).mean()
    assert found == pytest.approx(expected)


def test_an_index_is_as_probable_as_all_that_rounds_to_it() -> None:
    found = probability(some_reports(RELATIVE), 40.0, [5.0], [0.4], elasticity=0.7)
    low, high = np.log([40.0, 41.0]) / 0.7
    assert found == pytest.approx(np.diff(stats.norm(5.0, 0.4).cdf([low, high]))[0])


def test_a_survey_is_scored_by_its_drawn_figures() -> None:
    found = probability(
        some_reports(SAMPLED), 100.0, np.full(4000, np.log(100.0)), np.full(4000, 0.1)
    )
    assert found == pytest.approx(stats.lognorm(0.1, scale=100.0).pdf(100.0), rel=0.15)


def test_a_report_no_draw_is_near_has_a_probability_all_the_same() -> None:
    assert 0.0 < probability(some_reports(COUNTED), 30.0, [0.0], [0.5]) < 1e-8


def test_probabilities_are_those_of_the_draws() -> None:
    """Small counts are drawn about as often as they are said to be probable."""
    world = simulate_world(4, 3, seed=5, missing=0.1)
    posterior = laplace_posterior(world.problem, n_draws=700)
    given = observations_from_frame(
        world.observations.assign(value=0.0).head(12),
        role="held_out",
        declared_places=set(world.problem.grid.places),
    )
    row, count, log_probability = weigh_reports(posterior, given, seed=3)
    again, drawn = draw_reports(posterior, given, seed=3)
    np.testing.assert_array_equal(row, again)
    np.testing.assert_array_equal(count, drawn)
    share = (count == 0.0).mean(axis=0)
    error = np.sqrt(share * (1.0 - share) / len(count)) + 2e-3
    assert (np.abs(np.exp(log_probability) - share) < 4.0 * error).all()
