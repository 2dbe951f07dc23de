"""Scores against their definitions, against closed forms, and by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from flowcast.errors import UsageError
from flowcast.scores import (
    absolute_log_error,
    coverage,
    crps,
    crps_above,
    interval_score,
    log_between,
    log_score,
    pit,
    rank_correlation,
    uniform_distance,
    within_skill,
)

RNG = np.random.default_rng(3)
DRAWS = RNG.gamma(2.0, 30.0, (41, 7)).round()
VALUE = RNG.gamma(2.0, 30.0, 7).round()
EVERY = [
    crps,
    lambda draws, value: interval_score(draws, value, 0.8),
    lambda draws, value: coverage(draws, value, [0.8]),
    lambda draws, value: crps_above(draws, value, 30.0),
    absolute_log_error,
    log_score,
    pit,
]


def crps_by_definition(draws: NDArray[np.float64], value: NDArray[np.float64]) -> list[float]:
    """Integrate (F(t) - 1{y <= t})^2 over t: exact, as F is a staircase."""
    found = []
    for x, y in zip(draws.T, value, strict=True):
        at = np.sort(np.append(x, y))
        below = np.array([(x <= t).mean() for t in at[:-1]])
        found.append(float((((below - (y <= at[:-1])) ** 2) * np.diff(at)).sum()))
    return found


def test_crps_is_the_integral_that_defines_it() -> None:
    np.testing.assert_allclose(crps(DRAWS, VALUE), crps_by_definition(DRAWS, VALUE), rtol=1e-12)


def test_crps_of_a_normal_is_its_closed_form() -> None:
    """Gneiting & Raftery 2007, doi 10.1198/016214506000001437, section 4.2."""
    draws = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None] * 2.0 + 1.0
    for y in (-3.0, 1.0, 4.0):
        z = (y - 1.0) / 2.0
        density, below = stats.norm.pdf(z), stats.norm.cdf(z)
        exact = 2.0 * (z * (2.0 * below - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
        assert crps(draws, np.array([y]))[0] == pytest.approx(exact, abs=1e-3)


def test_crps_of_a_point_is_the_absolute_error() -> None:
    point = np.full((5, 2), 10.0)
    assert crps(point, np.array([7.0, 14.0])).tolist() == [3.0, 4.0]


def test_crps_is_in_the_unit_of_the_draws_and_does_not_mind_their_order() -> None:
    shuffled = np.random.default_rng(1).permuted(DRAWS, axis=0)
    np.testing.assert_allclose(crps(1000.0 * shuffled, 1000.0 * VALUE), 1000.0 * crps(DRAWS, VALUE))


def test_sharper_and_right_beats_wider_and_both_beat_wrong() -> None:
    z = np.random.default_rng(2).normal(size=(4000, 1))
    value = np.array([0.0])
    sharp, wide, wrong = (crps(draws, value)[0] for draws in (z, 4.0 * z, z + 10.0))
    assert sharp < wide < wrong


def test_interval_score_is_width_plus_a_fine_for_missing() -> None:
    draws = np.linspace(0.0, 100.0, 1001)[:, None] * np.ones(3)
    inside, below, above = interval_score(draws, np.array([50.0, 0.0, 97.0]), 0.9)
    assert inside == pytest.approx(90.0)
    assert below == pytest.approx(90.0 + 20.0 * 5.0)
    assert above == pytest.approx(90.0 + 20.0 * 2.0)


def test_coverage_counts_the_bounds_as_inside() -> None:
    draws = np.linspace(0.0, 100.0, 1001)[:, None] * np.ones(4)
    held = coverage(draws, np.array([25.0, 24.9, 75.0, 99.0]), [0.5, 0.95])
    assert held.tolist() == [[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]


def test_absolute_log_error_is_about_factors_and_takes_zeros() -> None:
    draws = np.array([[99.5, 0.0], [99.5, 0.0], [1e9, 0.0]])
    error = absolute_log_error(draws, np.array([49.5, 0.0]))
    np.testing.assert_allclose(error, [np.log(2.0), 0.0])
    with pytest.raises(UsageError, match="negative"):
        absolute_log_error(draws, np.array([-1.0, 0.0]))


def test_pit_of_calibrated_counts_is_uniform_if_randomised_and_only_then() -> None:
    rng = np.random.default_rng(5)
    mean = rng.gamma(2.0, 0.5, 4000)
    draws, value = rng.poisson(mean, (500, 4000)).astype(float), rng.poisson(mean).astype(float)
    limit = 1.63 / np.sqrt(4000)  # exceeded one time in a hundred
    assert uniform_distance(pit(draws, value, rng)) < limit
    assert uniform_distance(pit(draws, value)) > limit
    assert uniform_distance(pit(2.0 * draws, value, rng)) > 4.0 * limit


def test_pit_lies_within_the_jump_at_the_value() -> None:
    draws = np.array([[1.0], [2.0], [2.0], [3.0]])
    found = [pit(draws, np.array([2.0]), np.random.default_rng(k))[0] for k in range(50)]
    assert 0.25 <= min(found) < 0.35
    assert 0.65 < max(found) <= 0.75
    assert pit(draws, np.array([0.0])).tolist() == [0.0]
    assert pit(draws, np.array([9.0])).tolist() == [1.0]


def test_uniform_distance_is_kolmogorovs() -> None:
    values = np.random.default_rng(7).random(50) ** 2
    assert uniform_distance(values) == pytest.approx(stats.kstest(values, "uniform").statistic)
    assert np.isnan(uniform_distance(np.empty(0)))


@pytest.mark.parametrize("score", EVERY)
@pytest.mark.parametrize(
    ("draws", "value"),
    [
        (np.ones((3, 2)), np.ones(3)),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 2)), np.ones(2)),
        (np.full((3, 2), np.nan), np.ones(2)),
        (np.ones((3, 2)), np.array([1.0, np.inf])),
    ],
    ids=["shapes", "one-dimensional", "no sample", "nan draws", "infinite value"],
)
def test_what_cannot_be_scored_is_refused(score, draws, value) -> None:  # noqa: ANN001
    with pytest.raises(UsageError, match=r"\(scores\)"):
        score(draws, value)


@pytest.mark.parametrize("score", EVERY)
def test_no_report_has_no_score(score) -> None:  # noqa: ANN001
    assert score(np.ones((3, 0)), np.ones(0)).size == 0


@pytest.mark.parametrize("prob", [0.0, 1.0, 95.0])
def test_a_probability_that_is_none_is_refused(prob: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        interval_score(DRAWS, VALUE, prob)
    with pytest.raises(UsageError, match="between 0 and 1"):
        coverage(DRAWS, VALUE, [0.5, prob])


# Of the upper tail, of smoothed counts, and of many reports at once


def test_the_tail_score_is_the_integral_from_the_threshold_on() -> None:
    t = 60.0
    found = []
    for x, y in zip(DRAWS.T, VALUE, strict=True):
        at = np.unique(np.concatenate([x, [y, t]]))
        at = at[at >= t]
        below = np.array([(x <= one).mean() for one in at[:-1]])
        found.append(float((((below - (y <= at[:-1])) ** 2) * np.diff(at)).sum()))
    np.testing.assert_allclose(crps_above(DRAWS, VALUE, t), found, atol=1e-12)
    np.testing.assert_allclose(crps_above(DRAWS, VALUE, 0.0), crps(DRAWS, VALUE), rtol=1e-12)


@pytest.mark.parametrize("mean", [0.3, 4.0, 300.0])
def test_the_log_score_of_counts_is_near_minus_the_log_of_their_probability(mean: float) -> None:
    rng = np.random.default_rng(7)
    value = np.arange(*stats.poisson.ppf([0.05, 0.96], mean))
    draws = rng.poisson(mean, (20_000, 1)) * np.ones(len(value))
    exact = -stats.poisson.logpmf(value, mean)
    # Smoothing widens the distribution somewhat.
    np.testing.assert_allclose(log_score(draws, value), exact, atol=0.15)


def test_smoothed_probabilities_of_all_counts_add_up_to_one() -> None:
    value = np.arange(2000.0)
    for draws in (np.zeros((50, 1)), np.full((50, 1), 7.0), DRAWS[:, :1]):
        score = log_score(np.repeat(draws, len(value), axis=1), value)
        assert np.exp(-score).sum() == pytest.approx(1.0, abs=1e-9)


def test_the_log_score_far_out_is_finite_and_worse() -> None:
    near, far = log_score(np.repeat(DRAWS[:, :1], 2, axis=1), np.array([60.0, 1e9]))
    assert near < far <= 50.0
    with pytest.raises(UsageError, match="negative"):
        log_score(-DRAWS, VALUE)


def test_rank_correlation_is_spearmans() -> None:
    exact = stats.spearmanr(DRAWS[0], VALUE).statistic
    assert rank_correlation(DRAWS[0], VALUE) == pytest.approx(exact)
    assert np.isnan(rank_correlation(np.ones(7), VALUE))
    assert np.isnan(rank_correlation(VALUE[:2], VALUE[:2]))


def test_skill_over_time_ignores_levels_and_is_that_of_each_series_mean() -> None:
    series = np.repeat([0, 1, 2], 4)
    value = np.arange(12.0) ** 1.5
    half = value - 0.5 * (value - np.repeat(value.reshape(3, 4).mean(axis=1), 4))
    assert within_skill(half + 100.0 * series, value, series) == pytest.approx(0.75)
    assert within_skill(-value, value, series) == pytest.approx(-3.0)
    assert np.isnan(within_skill(value, np.repeat([1.0, 2.0, 3.0], 4), series))


def test_the_probability_between_two_bounds_keeps_its_digits_far_out() -> None:
    low = np.array([-np.inf, -1.0, 8.0, -40.0, 30.0])
    high = np.array([0.3, 1.0, 9.0, -39.9, np.inf])
    found = log_between(low, high)
    near = np.log(stats.norm.cdf(high[:2]) - stats.norm.cdf(low[:2]))
    np.testing.assert_allclose(found[:2], near)
    np.testing.assert_allclose(found[2], np.log(stats.norm.sf(8.0) - stats.norm.sf(9.0)))
    inside = integrate.quad(lambda x: np.exp(-(x**2) / 2.0 + 39.9**2 / 2.0), -40.0, -39.9)[0]
    expected = np.log(inside) - 39.9**2 / 2.0 - 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(found[3], expected)
    np.testing.assert_allclose(found[4], stats.norm.logsf(30.0))
