"""The collapsed likelihood against the dense multivariate normal it stands for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from support import kernel_dense, kernel_inputs

from flowcast.model.kernel import collapsed_value_grad, powers_of, triangular_inverse

NAMES = ("residual", "noise", "coef_variance", "scale", "group_variance")
KINDS: dict[str, dict[str, Any]] = {
    "recursion": {},
    "without_tv": {"n_tv": 0},
    "one_period": {"n_period": 1},
    "long_gaps": {"n_period": 12},
    "owned": {"owned": True},
    "owned_long": {"owned": True, "n_period": 12, "n_tv": 0},
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def run(given: Mapping[str, NDArray[Any]]) -> Any:  # noqa: ANN401
    return collapsed_value_grad(*given.values())


def dense_value(given: Mapping[str, NDArray[Any]]) -> float:
    design, covariance, prior = kernel_dense(given)
    total = covariance + design @ prior @ design.T
    return float(multivariate_normal(np.zeros(len(total)), total).logpdf(given["residual"]))


@pytest.mark.parametrize("seed", range(4))
@every_kind
def test_value_is_the_dense_normal_density(seed: int, kind: dict[str, Any]) -> None:
    given = kernel_inputs(seed, **kind)
    assert run(given)[0] == pytest.approx(dense_value(given), rel=1e-10)


@every_kind
@pytest.mark.parametrize("switched_off", ["corridor", "path", "series", "phi"])
def test_a_part_without_variance_is_absent(switched_off: str, kind: dict[str, Any]) -> None:
    given = kernel_inputs(5, **kind)
    if switched_off == "series":
        given["group_variance"][:] = 0.0
    else:
        given["scale"][["corridor", "path", "phi"].index(switched_off)] = 0.0
    assert run(given)[0] == pytest.approx(dense_value(given), rel=1e-10)


@every_kind
@pytest.mark.parametrize("position", range(len(NAMES)), ids=NAMES)
def test_gradient_is_the_slope_of_the_value(position: int, kind: dict[str, Any]) -> None:
    given = kernel_inputs(1, **kind)
    found = run(given)[1 + position]
    name, step = NAMES[position], 1e-6
    wanted = np.empty(len(given[name]))
    for k in range(len(wanted)):
        up, down = given[name].copy(), given[name].copy()
        up[k] += step
        down[k] -= step
        wanted[k] = (run(given | {name: up})[0] - run(given | {name: down})[0]) / (2 * step)
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-7)


@every_kind
def test_slope_by_each_corridors_own_innovation_variance(kind: dict[str, Any]) -> None:
    given = kernel_inputs(2, **kind)
    weight = given["innovation_weight"]
    wanted = np.empty(len(weight))
    for c in range(len(weight)):
        own, step = given["scale"][1] / weight[c], 1e-6
        up, down = weight.copy(), weight.copy()
        up[c], down[c] = given["scale"][1] / (own + step), given["scale"][1] / (own - step)
        value = [run(given | {"innovation_weight": w})[0] for w in (up, down)]
        wanted[c] = (value[0] - value[1]) / (2 * step)
    np.testing.assert_allclose(run(given)[6], wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
@every_kind
def test_coefficients_are_the_dense_posterior(seed: int, kind: dict[str, Any]) -> None:
    given = kernel_inputs(seed, **kind)
    design, covariance, prior = kernel_dense(given)
    inverse = np.linalg.inv(covariance)
    posterior = np.linalg.inv(np.linalg.inv(prior) + design.T @ inverse @ design)
    *_, mean, root = run(given)
    np.testing.assert_allclose(root.T @ root, posterior, rtol=1e-9, atol=1e-12)
    wanted = posterior @ design.T @ inverse @ given["residual"]
    np.testing.assert_allclose(mean, wanted, rtol=1e-8, atol=1e-12)


@every_kind
def test_an_innovation_weight_acts_on_its_corridor_alone(kind: dict[str, Any]) -> None:
    given = kernel_inputs(3, **kind)
    heavy = given["innovation_weight"].copy()
    heavy[2] = 50.0
    before, after = run(given), run(given | {"innovation_weight": heavy})
    assert before[0] != pytest.approx(after[0], rel=1e-6)
    _, first, _ = kernel_dense(given)
    _, second, _ = kernel_dense(given | {"innovation_weight": heavy})
    changed = np.flatnonzero((first != second).any(axis=0))
    assert changed.tolist() == list(range(given["start"][2], given["start"][3]))


@every_kind
@pytest.mark.parametrize(
    "broken",
    [
        {"noise": -5.0},
        {"coef_variance": -1.0},
        {"coef_variance": 0.0},
        {"residual": np.nan},
    ],
    ids=lambda b: f"{next(iter(b))}={next(iter(b.values()))}",
)
def test_impossible_inputs_have_log_density_minus_infinity(
    broken: dict[str, float], kind: dict[str, Any]
) -> None:
    given = kernel_inputs(0, **kind)
    ((name, value),) = broken.items()
    changed = given[name].copy()
    changed[1] = value
    assert run(given | {name: changed})[0] == -np.inf


@every_kind
def test_a_unit_root_has_log_density_minus_infinity(kind: dict[str, Any]) -> None:
    given = kernel_inputs(0, **kind)
    assert run(given | {"scale": np.array([0.4, 0.2, 1.0])})[0] == -np.inf


@every_kind
def test_nothing_given_is_changed(kind: dict[str, Any]) -> None:
    given = kernel_inputs(0, **kind)
    copies = {name: array.copy() for name, array in given.items()}
    run(given)
    for name, array in given.items():
        np.testing.assert_array_equal(array, copies[name], err_msg=name)


def test_a_coefficient_of_ones_own_that_is_zero_changes_nothing() -> None:
    """The two kernels meet where the coefficients that tell them apart have no variance left."""
    given = kernel_inputs(4, owned=True)
    tiny = given["coef_variance"].copy()
    tiny[12:] = 1e-12
    owned = run(given | {"coef_variance": tiny})
    plain = run(given | {"coef_variance": tiny[:12], "own_col": np.zeros(0, dtype=np.int64)})
    assert owned[0] == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_allclose(owned[1], plain[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n", [1, 7, 130])
def test_triangular_inverse(n: int) -> None:
    rng = np.random.default_rng(n)
    factor = np.tril(rng.normal(size=(n, n)) / n) + 2 * np.eye(n)
    np.testing.assert_allclose(triangular_inverse(factor) @ factor, np.eye(n), atol=1e-12)


def test_powers_reach_the_longest_gap() -> None:
    powers = powers_of(0.5, np.array([3, 9, 4]))
    assert powers[6] == pytest.approx(0.5**6)
    assert powers[0] == 1.0
