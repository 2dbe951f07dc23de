"""What holds for any model, any reports and any numbers, not just for chosen ones."""

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from support import kernel_dense, kernel_inputs

from flowcast.config import ModelSpec, apply_overrides, dump_model
from flowcast.model.kernel import collapsed_value_grad
from flowcast.model.reports import duration_weights
from flowcast.model.sites import tilted_moments
from flowcast.priors import PRIOR_SHAPES, Prior

POSITIVE = st.floats(0.01, 100.0)


@st.composite
def priors(draw: st.DrawFn) -> Prior:
    shape = draw(st.sampled_from(sorted(PRIOR_SHAPES)))
    return Prior.make(shape, [draw(POSITIVE) for _ in PRIOR_SHAPES[shape]])


@given(priors(), priors(), st.integers(10, 5000), st.booleans())
def test_any_specification_survives_being_written_out(
    spread: Prior, noise: Prior, draws: int, poisson: bool
) -> None:
    spec = ModelSpec.model_validate(
        {
            "name": "any",
            "process": {"sd_origin": spread},
            "measurement": {"sd_noise": noise, "counts": "poisson" if poisson else "delta"},
            "sampler": {"draws": draws},
        }
    )
    assert ModelSpec.model_validate(yaml.safe_load(dump_model(spec))) == spec


@given(st.dictionaries(st.sampled_from(["a.b", "a.c.d", "e", "a.c.f"]), st.integers()))
def test_overrides_are_found_where_they_were_laid(overrides: dict[str, int]) -> None:
    raw = {"a": {"b": -1, "c": {"d": -2}}, "g": -3}
    changed = apply_overrides(raw, overrides)
    for dotted, value in overrides.items():
        at: object = changed
        for key in dotted.split("."):
            assert isinstance(at, dict)
            at = at[key]
        assert at == value
    assert raw == {"a": {"b": -1, "c": {"d": -2}}, "g": -3}
    assert changed["g"] == -3


@given(
    st.lists(st.floats(0.0, 120.0), min_size=2, max_size=20),
    arrays(float, 4, elements=st.floats(0.001, 2.0)),
)
def test_a_longer_minimum_stay_never_counts_more(
    months: list[float], increments: NDArray[np.float64]
) -> None:
    factor = duration_weights(np.sort(months)) @ increments
    assert (np.diff(factor) <= 1e-12).all()


@given(st.integers(0, 10**6).map(float), st.floats(-5.0, 15.0), st.floats(1e-4, 10.0))
def test_counting_pulls_the_mean_towards_the_count_and_never_widens(
    value: float, mean: float, variance: float
) -> None:
    first, second = (
        m[0] for m in tilted_moments(*(np.array([v]) for v in (value, mean, variance)))
    )
    assert 0 < second <= variance * (1 + 1e-6)
    # The derivative of the normalising constant: E x = mean + variance (value - E exp x).
    target = np.log(value) if value else -np.inf
    if first > target + 1.0:
        assert first <= mean + 1e-6
    elif first < target - 1.0:
        assert first >= mean - 1e-6


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)), st.booleans(), st.integers(1, 8))
def test_the_collapsed_likelihood_forgets_the_order_of_corridors(
    seed: int, order: list[int], owned: bool, n_period: int
) -> None:
    given = kernel_inputs(seed, owned=owned, n_period=n_period)
    start = given["start"]
    rows = np.concatenate([np.arange(start[c], start[c + 1]) for c in order])
    by_report = ("residual", "noise", "period", "slot", "tv")
    by_corridor = ("constant", "constant_col", "series", "slot_col", "n_slot", "tv_col")
    by_corridor += ("innovation_weight",)
    turned = (
        given | {k: given[k][rows] for k in by_report} | {k: given[k][order] for k in by_corridor}
    )
    turned["own_col"] = given["own_col"][rows] if owned else given["own_col"]
    turned["start"] = np.concatenate([[0], np.cumsum(np.diff(start)[order])])
    design, covariance, prior = kernel_dense(given)
    total = covariance + design @ prior @ design.T
    wanted = multivariate_normal(np.zeros(len(total)), total).logpdf(given["residual"])
    for one in (given, turned):
        found = collapsed_value_grad(*one.values())
        np.testing.assert_allclose(found[0], wanted, rtol=1e-9, atol=1e-9)
