"""What holds for any model, any reports and any numbers, not just for chosen ones."""

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

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
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_the_collapsed_likelihood_is_a_normal_density_and_forgets_the_order_of_corridors(
    seed: int, n_corridor: int, n_coef: int, grouped: bool
) -> None:
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(n_corridor):
        n = int(rng.integers(1, 4))
        group = rng.integers(-1, 2, n) if grouped else np.full(n, -1)
        blocks.append((rng.normal(size=(n, n_coef)), rng.normal(size=n), rng.uniform(0.1, 1, n),
                       rng.integers(0, 3, n), group, rng.uniform(0.5, 2.0)))  # fmt: skip
    coef, scale, series = (
        rng.uniform(0.2, 2, n_coef),
        np.array([0.5, 0.3, 0.4]),
        np.array([0.2, 0.1]),
    )

    def value(order: list[int]) -> float:
        chosen = [blocks[k] for k in order]
        starts = np.concatenate([[0], np.cumsum([len(b[1]) for b in chosen])])
        at = np.concatenate([[0], np.cumsum([b[0].size for b in chosen])])
        each = np.tile(np.arange(n_coef), n_corridor)
        out = collapsed_value_grad(
            np.concatenate([b[1] for b in chosen]), np.concatenate([b[2] for b in chosen]),
            coef, scale, series,
            np.concatenate([b[3] for b in chosen]), np.concatenate([b[4] for b in chosen]),
            starts, np.concatenate([b[0].ravel() for b in chosen]), at,
            each, n_coef * np.arange(n_corridor + 1), np.array([b[5] for b in chosen]),
        )  # fmt: skip
        return float(out[0])

    design = np.concatenate([b[0] for b in blocks])
    total = (design * coef) @ design.T
    lo = 0
    for x, _, noise, period, group, weight in blocks:
        own = slice(lo, lo + len(x))
        gap = np.abs(period[:, None] - period)
        block = scale[0] + scale[1] / weight / (1 - scale[2] ** 2) * scale[2] ** gap
        same = (group[:, None] == group) & (group >= 0)
        total[own, own] += block + same * series[np.maximum(group, 0)] + np.diag(noise)
        lo += len(x)
    residual = np.concatenate([b[1] for b in blocks])
    wanted = multivariate_normal(np.zeros(len(total)), total).logpdf(residual)
    forward = list(range(n_corridor))
    np.testing.assert_allclose(value(forward), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(value(forward[::-1]), wanted, rtol=1e-9, atol=1e-9)
