"""Steps of a panel of autoregressions against dense algebra."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import invgamma, multivariate_normal, norm, truncnorm
from scipy.stats import t as student_t

from flowcast.priors import Prior
from flowcast.projection._autoregression import (
    band_precision,
    band_times,
    draw_below,
    draw_degrees,
    draw_groups,
    draw_sd,
    draw_slice,
    log_density,
)

PHI = np.array([0.6, 0.6, 0.6])


def dense(phi: float, q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the precision of one autoregression, by its definition."""
    step = np.eye(len(q)) - np.diag(np.full(len(q) - 1, phi), -1)
    return step.T @ np.diag(q) @ step


@pytest.fixture
def q() -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(0.5, 3.0, (3, 4))


def test_band_is_the_dense_precision(q: NDArray[np.float64]) -> None:
    diagonal, band = band_precision(PHI, q)
    v = np.random.default_rng(2).normal(size=q.shape)
    product = band_times(diagonal, band, v)
    for u in range(3):
        np.testing.assert_allclose(product[u], dense(PHI[u], q[u]) @ v[u], atol=1e-12)


def test_density_with_means_integrated_out(q: NDArray[np.float64]) -> None:
    deviation = np.random.default_rng(3).normal(size=q.shape)
    started = q.copy()
    started[:, 0] *= 1 - 0.6**2
    expected = 0.0
    for u in range(3):
        covariance = np.linalg.inv(dense(0.6, started[u])) + 0.7**2
        expected += multivariate_normal(np.zeros(4), covariance).logpdf(deviation[u])
    constant = -0.5 * deviation.size * np.log(2 * np.pi)
    assert log_density(0.6, 0.7, q, deviation) + constant == pytest.approx(expected, abs=1e-10)


def test_density_of_one_period() -> None:
    q, deviation = np.array([[2.0]]), np.array([[0.4]])
    variance = 1 / (2.0 * (1 - 0.5**2)) + 0.3**2
    expected = norm(0, np.sqrt(variance)).logpdf(0.4) + 0.5 * np.log(2 * np.pi)
    assert log_density(0.5, 0.3, q, deviation) == pytest.approx(expected, abs=1e-12)


def test_draws_below_a_bound_follow_the_cut_normal() -> None:
    rng = np.random.default_rng(4)
    n = 4000
    drawn = draw_below(rng, np.full(n, 1.0), np.full(n, 2.0), np.full(n, -1.0))
    cut = truncnorm(-np.inf, -1.0, 1.0, 2.0)
    assert drawn.max() <= -1.0
    assert drawn.mean() == pytest.approx(cut.mean(), abs=4 * cut.std() / np.sqrt(n))


def test_draws_far_below_stay_below_and_finite() -> None:
    rng = np.random.default_rng(5)
    drawn = draw_below(rng, np.zeros(100), np.ones(100), np.full(100, -60.0))
    assert np.isfinite(drawn).all()
    assert drawn.max() <= -60.0
    assert drawn.min() > -61.0


def test_without_a_bound_draws_are_normal() -> None:
    drawn = draw_below(
        np.random.default_rng(6), np.zeros(4000), np.ones(4000), np.full(4000, np.inf)
    )
    assert abs(drawn.mean()) < 0.07
    assert drawn.std() == pytest.approx(1.0, abs=0.05)


def test_group_effects_have_the_dense_mean_and_covariance(q: NDArray[np.float64]) -> None:
    group = np.array([0, 0, 1])
    deviation = np.random.default_rng(7).normal(size=q.shape)
    own_q = np.full((2, 4), 2.0)
    own = band_precision(np.array([0.3, 0.3]), own_q)
    rng = np.random.default_rng(8)
    precision = band_precision(PHI, q)
    drawn = np.array([draw_groups(rng, group, 2, precision, deviation, own) for _ in range(3000)])
    full = dense(0.3, own_q[0]) + dense(0.6, q[0]) + dense(0.6, q[1])
    right = dense(0.6, q[0]) @ deviation[0] + dense(0.6, q[1]) @ deviation[1]
    covariance = np.linalg.inv(full)
    error = 4.5 * np.sqrt(np.diag(covariance) / len(drawn))
    assert (np.abs(drawn[:, 0].mean(axis=0) - covariance @ right) < error).all()
    np.testing.assert_allclose(np.cov(drawn[:, 0].T), covariance, atol=0.03)


def test_slices_follow_their_density() -> None:
    rng = np.random.default_rng(9)
    value, drawn = 0.1, []
    for _ in range(4000):
        value = draw_slice(rng, lambda x: -0.5 * x**2, value, width=1.0, low=0.0, high=10.0)
        drawn.append(value)
    assert np.mean(drawn) == pytest.approx(np.sqrt(2 / np.pi), abs=0.06)
    assert min(drawn) >= 0.0


def test_sd_follows_the_inverse_gamma_where_the_prior_is_wide() -> None:
    rng = np.random.default_rng(10)
    prior = Prior.make("half_normal", [50.0])
    sd, drawn = 1.0, []
    for _ in range(3000):
        sd = draw_sd(rng, prior, sd, 40, 90.0)
        drawn.append(sd**2)
    # A flat prior of the sd: the variance has an inverse gamma.
    assert np.mean(drawn) == pytest.approx(invgamma((40 - 1) / 2, scale=45.0).mean(), rel=0.03)


@pytest.mark.parametrize("truth", [3.0, 30.0])
def test_degrees_of_freedom_are_found(truth: float) -> None:
    values = student_t(truth).rvs(20_000, random_state=11)
    rng = np.random.default_rng(12)
    degrees, drawn = 8.0, []
    for _ in range(120):
        degrees = draw_degrees(rng, degrees, 1, values**2)
        drawn.append(degrees)
    assert np.mean(drawn[20:]) == pytest.approx(truth, rel=0.25)
