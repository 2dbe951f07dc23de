"""Priors: shapes, numbers, and draws that have the distribution they name."""

import numpy as np
import pytest
from scipy import stats

from flowcast.priors import ELICITED, PRIOR_SHAPES, Prior

DISTRIBUTIONS = {
    "normal": ([0.7, 0.3], lambda x: stats.norm(0.7, 0.3).cdf(x)),
    "half_normal": ([0.5], lambda x: 2 * stats.norm(0, 0.5).cdf(x) - 1),
    "half_t": ([3.0, 0.5], lambda x: 2 * stats.t(3).cdf(x / 0.5) - 1),
    "log_normal": ([-1.2, 0.7], lambda x: stats.norm(-1.2, 0.7).cdf(np.log(x))),
    "beta": ([4.0, 2.0], lambda x: stats.beta(4, 2).cdf(x)),
    "gamma": ([2.0, 5.0], lambda x: 1 - (1 + 5 * x) * np.exp(-5 * x)),
    "exponential": ([2.0], lambda x: 1 - np.exp(-2 * x)),
    "positive_normal": (
        [0.1, 0.2],
        lambda x: (stats.norm(0.1, 0.2).cdf(x) - stats.norm.cdf(-0.5)) / stats.norm.cdf(0.5),
    ),
    "precision_gamma": ([3.0, 2.0], lambda x: stats.gamma(3, scale=0.5).sf(x**-2.0)),
}


def test_every_shape_is_tested() -> None:
    assert set(DISTRIBUTIONS) == set(PRIOR_SHAPES)


@pytest.mark.parametrize("shape", DISTRIBUTIONS)
def test_draws_have_the_distribution_of_their_shape(shape: str) -> None:
    numbers, cdf = DISTRIBUTIONS[shape]
    draws = Prior.make(shape, numbers).draw(np.random.default_rng(1), 4000)
    assert draws.shape == (4000,)
    assert stats.kstest(draws, cdf).pvalue > 1e-3


def test_one_draw_is_a_number_and_a_seed_fixes_it() -> None:
    prior = Prior.make("half_t", [3, 1])
    one, same = (prior.draw(np.random.default_rng(2)) for _ in range(2))
    assert one.shape == ()
    assert one == same


@pytest.mark.parametrize(
    ("shape", "numbers", "words"),
    [
        ("norml", [0, 1], "unknown prior 'norml'"),
        ("norml", [0, 1], "did you mean normal"),
        ("qqq", [0, 1], "allowed: normal, half_normal"),
        ("normal", [0], r"normal takes 2 numbers \(mean, sd\)"),
        ("normal", [0, -1], "normal sd: found -1, allowed: above 0"),
        ("beta", [0, 1], "beta alpha: found 0"),
        ("normal", [0, float("nan")], "normal sd: found nan"),
        ("normal", ["a", 1], "normal mean: found 'a', allowed: a number"),
        ("exponential", True, "found True"),
        ("exponential", None, "found None"),
    ],
)
def test_impossible_priors_are_refused(shape: str, numbers: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Prior.make(shape, numbers)


def test_means_may_be_negative_and_a_single_number_needs_no_list() -> None:
    assert Prior.make("normal", [-3, 1]).numbers == (-3.0, 1.0)
    assert Prior.make("half_normal", 2).numbers == (2.0,)


def test_priors_compare_by_shape_and_numbers_and_print_both() -> None:
    assert Prior.make("beta", [1, 2], "a paper") == Prior.make("beta", [1, 2])
    assert Prior.make("beta", [1, 2]) != Prior.make("beta", [2, 1])
    assert repr(Prior.make("gamma", [2, 5])) == "gamma(shape=2, rate=5)"


def test_elicited_duration_steps_are_positive_and_of_the_published_size() -> None:
    """Differences of the factors that Raymer et al. (2013) publish."""
    wanted = {"0_to_3": 0.173, "3_to_6": 0.147, "6_to_12": 0.315, "12_to_60": 0.815}
    for step, mean in wanted.items():
        draws = ELICITED[f"elicited.duration_{step}"].draw(np.random.default_rng(1), 20_000)
        assert (draws > 0).all()
        assert draws.mean() == pytest.approx(mean, rel=0.05)


def test_elicited_shares_fall_with_undercount_and_name_their_source() -> None:
    for side in ("immigration", "emigration"):
        mean = {}
        for grade in ("low", "medium", "high", "unknown"):
            prior = ELICITED[f"elicited.{side}_{grade}"]
            a, b = prior.numbers
            mean[grade] = a / (a + b)
            assert prior.shape == "beta"
        assert mean["low"] > mean["medium"] > mean["high"]
    assert all(p.source for p in ELICITED.values())
