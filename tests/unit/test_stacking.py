"""Weights of predictive distributions: scores of mixtures, and the best of them."""

import numpy as np
import pytest
import xarray as xr
from arviz_stats import compare
from arviz_stats.utils import ELPDDataLOO
from numpy.typing import NDArray

from flowcast.scores import crps
from flowcast.validation.stacking import (
    bootstrap_weights,
    crps_parts,
    mixture_crps,
    mixture_log_score,
    stack_by_crps,
    stack_by_log_score,
)

FloatArray = NDArray[np.float64]


@pytest.fixture
def quantiles() -> FloatArray:
    rng = np.random.default_rng(2)
    shift = np.array([0.0, 1.0, -3.0])[:, None, None]
    return np.sort(shift + np.exp(rng.standard_normal((3, 60, 7))), axis=1)


@pytest.mark.parametrize("weights", [[1.0, 0.0, 0.0], [0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
def test_the_crps_of_a_mixture_is_that_of_all_its_draws(
    quantiles: FloatArray, weights: list[float]
) -> None:
    value = np.linspace(-2.0, 4.0, 7)
    found = mixture_crps(*crps_parts(quantiles, value), np.array(weights))
    repeats = (4 * np.array(weights)).astype(int)
    pooled = np.concatenate(
        [np.repeat(q, n, axis=0) for q, n in zip(quantiles, repeats, strict=True)]
    )
    np.testing.assert_allclose(found, crps(pooled, value), atol=1e-10)


def test_weights_may_differ_by_report(quantiles: FloatArray) -> None:
    error, spread = crps_parts(quantiles, np.zeros(7))
    each = np.random.default_rng(1).dirichlet(np.ones(3), 7)
    found = mixture_crps(error, spread, each)
    for k in range(7):
        one = mixture_crps(error[k : k + 1], spread[k : k + 1], each[k])
        assert found[k] == pytest.approx(one[0])
    told = np.log(np.random.default_rng(2).uniform(0.1, 1.0, (7, 3)))
    np.testing.assert_allclose(
        mixture_log_score(told, each), -np.log((np.exp(told) * each).sum(axis=1))
    )


def test_log_scores_of_hardly_possible_reports_do_not_overflow() -> None:
    found = mixture_log_score(np.array([[-2000.0, -2001.0]]), np.array([0.5, 0.5]))
    assert found[0] == pytest.approx(2000.0 + np.log(2.0) - np.log1p(np.exp(-1.0)))


def test_stacking_by_the_log_score_gives_the_weights_of_arviz() -> None:
    rng = np.random.default_rng(4)
    told = np.log(rng.gamma(2.0, size=(80, 3)) * [1.0, 1.1, 0.7])
    given = {
        name: ELPDDataLOO(
            elpd=told[:, k].sum(), se=1.0, p=1.0, n_samples=100, n_data_points=80,
            scale="log", warning=False, good_k=0.7, elpd_i=xr.DataArray(told[:, k], dims="report"),
            pareto_k=xr.DataArray(np.zeros(80), dims="report"),
        )
        for k, name in enumerate("abc")
    }  # fmt: skip
    expected = compare(given, method="stacking", round_to="none")["weight"]
    found = stack_by_log_score(told)(np.ones(80))
    np.testing.assert_allclose(found, expected.loc[list("abc")].astype(float), atol=2e-3)


def grid(n: int = 2000) -> FloatArray:
    first = np.linspace(0.0, 1.0, n + 1)
    return np.stack([first, 1.0 - first], axis=1)


def test_stacking_finds_the_best_of_all_mixtures(quantiles: FloatArray) -> None:
    value, times = np.linspace(-1.0, 3.0, 7), np.array([1.0, 2.0, 0.0, 1.0, 3.0, 1.0, 1.0])
    error, spread = crps_parts(quantiles[:2], value)
    told = np.log(np.random.default_rng(3).uniform(0.05, 1.0, (7, 2)))
    for stack, score in (
        (stack_by_crps(error, spread), lambda w: mixture_crps(error, spread, w)),
        (stack_by_log_score(told), lambda w: mixture_log_score(told, w)),
    ):
        every = [float(times @ score(w)) for w in grid()]
        found = stack(times)
        assert found.sum() == pytest.approx(1.0)
        assert float(times @ score(found)) <= min(every) + 1e-7


def test_a_model_that_is_worse_everywhere_gets_no_weight() -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(size=200)
    draws = np.sort(rng.normal(size=(300, 1)), axis=0) + np.zeros(200)
    good, bad = draws + truth + 0.3 * rng.normal(size=200), draws + truth + 8.0
    error, spread = crps_parts(np.stack([good, bad]), truth)
    assert stack_by_crps(error, spread)(np.ones(200)).tolist() == [1.0, 0.0]


def test_models_that_err_in_opposite_directions_share_the_weight() -> None:
    rng = np.random.default_rng(8)
    truth = rng.normal(size=400)
    draws = np.sort(rng.normal(size=(200, 1)), axis=0)
    error, spread = crps_parts(np.stack([draws + truth - 1.0, draws + truth + 1.0]), truth)
    assert stack_by_crps(error, spread)(np.ones(400)) == pytest.approx([0.5, 0.5], abs=0.05)


def test_weights_of_few_clusters_are_less_certain_than_of_many() -> None:
    told = np.log(np.random.default_rng(9).gamma(2.0, size=(240, 2)))
    same = np.repeat(told[::24], 24, axis=0)  # reports of a cluster say the same
    sds = []
    for scores, cluster in ((told, np.arange(240)), (same, np.arange(240) // 24)):
        stack = stack_by_log_score(scores)
        drawn, again = (
            bootstrap_weights(stack, cluster, 60, np.random.default_rng(1)) for _ in range(2)
        )
        np.testing.assert_array_equal(drawn, again)
        np.testing.assert_allclose(drawn.sum(axis=1), 1.0)
        sds.append(drawn[:, 0].std())
    assert sds[1] > 1.5 * sds[0] > 0.0
