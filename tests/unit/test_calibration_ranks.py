"""Tests of ranks: right where they should be uniform, and able to fail where not."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from flowcast import calibration
from flowcast.calibration import ranks as module
from flowcast.errors import InputError

R, L, GROUPS = 200, 99, 6


def toy(*, shift: float = 0.0, width: float = 1.0, seed: int = 1, n: int = R) -> pd.DataFrame:
    """Rank normal means and the likelihood in their conjugate posterior, made wrong on purpose.

    Six groups, mu ~ N(0, 1), five observations y ~ N(mu, 2) in each: the posterior of a mean is
    N(5 ybar / 9, 4 / 9). `shift` moves it by so many posterior sds, `width` multiplies its sd.
    """
    rng = np.random.default_rng(seed)
    sd, rows = 2.0 / 3.0, []
    for replicate in range(n):
        mu = rng.standard_normal(GROUPS)
        y = rng.normal(mu, 2.0, (5, GROUPS))
        centre = 5.0 * y.mean(axis=0) / 9.0 + shift * sd
        draws = rng.normal(centre, width * sd, (L, GROUPS))
        both = np.vstack([draws, mu])
        named = {f"mu {k}": both[:, k] for k in range(GROUPS)} | {"exp mu 0": np.exp(both[:, 0])}
        named["log likelihood"] = stats.norm.logpdf(y[:, None], both, 2.0).sum(axis=(0, 2))
        for name, values in named.items():
            rank = calibration.rank_among(values[-1], values[:-1], rng)
            rows.append((replicate, name, rank, L))
    return pd.DataFrame(rows, columns=list(module.RANK_COLUMNS))


# --- the toy: a right posterior passes, a wrong one fails -----------------------------------------


def test_the_right_posterior_passes() -> None:
    table = calibration.test_uniform(toy())
    assert table["p_holm"].min() > 0.01
    assert table["n"].tolist() == [R] * (GROUPS + 2)


@pytest.mark.parametrize(
    ("wrong", "column", "low", "high"),
    [
        ({"width": 0.8}, "spread", 1.1, 1.5),
        ({"width": 1.25}, "spread", 0.65, 0.9),
        ({"shift": 0.3}, "shift", -0.5, -0.15),
        ({"shift": -0.3}, "shift", 0.15, 0.5),
    ],
)
def test_a_posterior_a_fifth_too_narrow_or_off_by_a_third_of_its_sd_fails(
    wrong: dict[str, float], column: str, low: float, high: float
) -> None:
    table = calibration.test_uniform(toy(**wrong)).set_index("quantity")
    means = [f"mu {k}" for k in range(GROUPS)]
    assert table.loc[means, "p_holm"].min() < 0.01
    assert low < table.loc[means, column].mean() < high


def test_ranks_do_not_change_under_a_monotone_function() -> None:
    found = toy(n=20).pivot_table(index="replicate", columns="quantity", values="rank")
    assert (found["mu 0"] == found["exp mu 0"]).all()


# --- ranks ---------------------------------------------------------------------------------------


def test_ties_are_broken_evenly() -> None:
    rng = np.random.default_rng(1)
    draws = np.array([1.0, 2.0, 2.0, 3.0])
    found = np.bincount([calibration.rank_among(2.0, draws, rng) for _ in range(3000)], minlength=5)
    assert found[0] == found[4] == 0
    np.testing.assert_allclose(found[1:4] / 3000, 1 / 3, atol=0.04)


# --- each test keeps its level, exactly where it claims to ----------------------------------------


def all_samples(n: int, n_draws: int) -> list[NDArray[np.int64]]:
    return [np.array(s) for s in product(range(n_draws + 1), repeat=n)]


def test_the_p_value_of_the_distribution_function_is_exact() -> None:
    """Over all 4^4 samples of four ranks among three draws, P(p <= any value it takes) = value."""
    found = np.array([module.ecdf_p_value(s, 3) for s in all_samples(4, 3)])
    for p in np.unique(found.round(12)):
        assert (found <= p + 1e-9).mean() == pytest.approx(p, abs=1e-9)


def test_the_band_holds_at_least_its_probability_and_hardly_more() -> None:
    lower, upper = calibration.ecdf_band(5, 3, 0.8)
    inside = []
    for sample in all_samples(5, 3):
        share = np.cumsum(np.bincount(sample, minlength=4))[:-1] / 5
        inside.append(bool(((share >= lower) & (share <= upper)).all()))
    assert 0.8 <= np.mean(inside) < 0.95


def test_band_and_p_value_agree() -> None:
    """A line touches the outside of the 95 % band exactly where its p is at most .05."""
    rng = np.random.default_rng(3)
    lower, upper = calibration.ecdf_band(60, 19, 0.95)
    for _ in range(40):
        sample = rng.integers(0, 20, 60) if rng.random() < 0.5 else rng.binomial(19, 0.55, 60)
        share = np.cumsum(np.bincount(sample, minlength=20))[:-1] / 60
        outside = bool(((share < lower - 1e-12) | (share > upper + 1e-12)).any())
        assert outside == (module.ecdf_p_value(sample, 19) < 0.05)


def test_the_smooth_test_keeps_its_level() -> None:
    rng = np.random.default_rng(2)
    found = np.array([module.smooth_p_value(rng.integers(0, L + 1, R), L) for _ in range(2000)])
    for level in (0.01, 0.05, 0.5):
        error = np.sqrt(level * (1 - level) / 2000)
        assert (found < level).mean() == pytest.approx(level, abs=4 * error)


def test_few_ranks_are_judged_by_the_exact_test_alone() -> None:
    few = toy(n=module.MIN_SMOOTH - 1)
    table = calibration.test_uniform(few)
    assert table["p_smooth"].isna().all()
    np.testing.assert_allclose(table["p"], table["p_ecdf"])


def test_holm_by_hand() -> None:
    """Sorted .01, .02, .03, .5: times 4, 3, 2, 1, never falling, never above 1."""
    found = module._holm(np.array([0.5, 0.01, 0.03, 0.02]))
    np.testing.assert_allclose(found, [0.5, 0.04, 0.06, 0.06])


# --- what is refused -----------------------------------------------------------------------------


def test_faults_are_listed_together() -> None:
    frame = pd.DataFrame(
        {
            "replicate": [1, 1, 2, 1],
            "quantity": ["a", "a", "a", "b"],
            "rank": [3, 4, 5, 12],
            "n_draws": [9, 9, 19, 9],
        }
    )
    with pytest.raises(InputError) as caught:
        calibration.test_uniform(frame)
    told = str(caught.value)
    for part in ("different numbers of draws for a", "b outside", "a twice in a replicate"):
        assert part in told


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"replicate": [1], "rank": [2]})])
def test_a_table_without_ranks_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="replicate, quantity, rank, n_draws"):
        calibration.test_uniform(frame)
