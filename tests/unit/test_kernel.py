"""The collapsed likelihood against the dense multivariate normal it stands for."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from flowcast.model.kernel import collapsed_value_grad, powers_of, triangular_inverse

NAMES = ("residual", "noise", "coef_variance", "scale", "group_variance")


def inputs(seed: int = 0, *, n_period: int = 4, ungrouped: bool = False) -> dict[str, NDArray[Any]]:
    """Return random inputs: five corridors with one to six reports, dense random designs."""
    rng = np.random.default_rng(seed)
    sizes, n_coef = np.array([3, 1, 6, 2, 4]), 7
    n = int(sizes.sum())
    group = rng.integers(-1, 3, n)
    cols = [np.sort(rng.choice(n_coef, size, replace=False)) for size in (3, 2, 5, 1, 7)]
    designs = [rng.normal(size=(k, len(c))) for k, c in zip(sizes, cols, strict=True)]
    return {
        "residual": rng.normal(size=n),
        "noise": rng.uniform(0.1, 0.5, n),
        "coef_variance": rng.uniform(0.2, 2.0, n_coef),
        "scale": np.array([0.4, 0.2, 0.7]),
        "group_variance": rng.uniform(0.1, 0.4, 3),
        "period": rng.integers(0, n_period, n),
        "group": np.full(n, -1) if ungrouped else group,
        "start": np.concatenate([[0], np.cumsum(sizes)]),
        "design": np.concatenate([d.ravel() for d in designs]),
        "design_start": np.concatenate([[0], np.cumsum([d.size for d in designs])]),
        "cols": np.concatenate(cols),
        "cols_start": np.concatenate([[0], np.cumsum([len(c) for c in cols])]),
        "innovation_weight": rng.uniform(0.3, 2.0, len(sizes)),
    }


def dense(given: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return design, covariance given the coefficients, and coefficients' prior covariance."""
    start, n = given["start"], len(given["residual"])
    corridor = np.repeat(np.arange(len(start) - 1), np.diff(start))
    design = np.zeros((n, len(given["coef_variance"])))
    for c in range(len(start) - 1):
        own = given["cols"][given["cols_start"][c] : given["cols_start"][c + 1]]
        block = given["design"][given["design_start"][c] : given["design_start"][c + 1]]
        design[start[c] : start[c + 1], own] = block.reshape(-1, len(own))
    same = corridor[:, None] == corridor
    gap = np.abs(given["period"][:, None] - given["period"])
    effect, innovation, phi = given["scale"]
    stationary = innovation / given["innovation_weight"][corridor] / (1 - phi**2)
    group = given["group"]
    series = np.where(group >= 0, given["group_variance"][group], 0.0)
    shared = same & (group[:, None] == group)
    covariance = same * (effect + stationary[:, None] * phi**gap) + shared * series[:, None]
    covariance += np.diag(given["noise"])
    return design, covariance, np.diag(given["coef_variance"])


def run(given: dict[str, NDArray[Any]]) -> Any:  # noqa: ANN401
    return collapsed_value_grad(*given.values())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "kind", [{}, {"ungrouped": True}, {"n_period": 1}], ids=["grouped", "ungrouped", "one_period"]
)
def test_value_is_the_dense_normal_density(seed: int, kind: dict[str, Any]) -> None:
    given = inputs(seed, **kind)
    design, covariance, prior = dense(given)
    total = covariance + design @ prior @ design.T
    wanted = multivariate_normal(np.zeros(len(total)), total).logpdf(given["residual"])
    assert run(given)[0] == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("switched_off", [0, 1])
def test_a_part_without_variance_is_absent(switched_off: int) -> None:
    given = inputs(5)
    given["scale"][switched_off] = 0.0
    design, covariance, prior = dense(given)
    total = covariance + design @ prior @ design.T
    wanted = multivariate_normal(np.zeros(len(total)), total).logpdf(given["residual"])
    assert run(given)[0] == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("kind", [{}, {"ungrouped": True}, {"n_period": 1}])
@pytest.mark.parametrize("position", range(len(NAMES)), ids=NAMES)
def test_gradient_is_the_slope_of_the_value(position: int, kind: dict[str, Any]) -> None:
    given = inputs(1, **kind)
    found = run(given)[1 + position]
    name, step = NAMES[position], 1e-6
    wanted = np.empty(len(given[name]))
    for k in range(len(wanted)):
        up, down = given[name].copy(), given[name].copy()
        up[k] += step
        down[k] -= step
        wanted[k] = (run(given | {name: up})[0] - run(given | {name: down})[0]) / (2 * step)
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-7)


def test_slope_by_each_corridors_own_innovation_variance() -> None:
    given = inputs(2)
    weight = given["innovation_weight"]
    wanted = np.empty(len(weight))
    for c in range(len(weight)):
        own, step = given["scale"][1] / weight[c], 1e-6
        up, down = weight.copy(), weight.copy()
        up[c], down[c] = given["scale"][1] / (own + step), given["scale"][1] / (own - step)
        value = [run(given | {"innovation_weight": w})[0] for w in (up, down)]
        wanted[c] = (value[0] - value[1]) / (2 * step)
    np.testing.assert_allclose(run(given)[6], wanted, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_coefficients_are_the_dense_posterior(seed: int) -> None:
    given = inputs(seed)
    design, covariance, prior = dense(given)
    inverse = np.linalg.inv(covariance)
    posterior = np.linalg.inv(np.linalg.inv(prior) + design.T @ inverse @ design)
    *_, mean, root = run(given)
    np.testing.assert_allclose(root.T @ root, posterior, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mean, posterior @ design.T @ inverse @ given["residual"], rtol=1e-8)


def test_an_innovation_weight_acts_on_its_corridor_alone() -> None:
    given = inputs(3)
    heavy = given["innovation_weight"].copy()
    heavy[2] = 50.0
    before, after = run(given), run(given | {"innovation_weight": heavy})
    assert before[0] != pytest.approx(after[0], rel=1e-6)
    _, first, _ = dense(given)
    _, second, _ = dense(given | {"innovation_weight": heavy})
    changed = np.flatnonzero((first != second).any(axis=0))
    assert changed.tolist() == list(range(given["start"][2], given["start"][3]))


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
def test_impossible_inputs_have_log_density_minus_infinity(broken: dict[str, float]) -> None:
    given = inputs(0)
    ((name, value),) = broken.items()
    changed = given[name].copy()
    changed[1] = value
    assert run(given | {name: changed})[0] == -np.inf


def test_a_unit_root_has_log_density_minus_infinity() -> None:
    given = inputs(0)
    assert run(given | {"scale": np.array([0.4, 0.2, 1.0])})[0] == -np.inf


def test_two_reports_that_must_be_equal_have_log_density_minus_infinity() -> None:
    given = inputs(0, ungrouped=True, n_period=1)
    given["noise"][4:10] = 0.0
    assert run(given)[0] == -np.inf


def test_nothing_given_is_changed() -> None:
    given = inputs(0)
    copies = {name: array.copy() for name, array in given.items()}
    run(given)
    for name, array in given.items():
        np.testing.assert_array_equal(array, copies[name], err_msg=name)


@pytest.mark.parametrize("n", [1, 47, 48, 49, 130])
def test_triangular_inverse_at_and_around_its_block_size(n: int) -> None:
    rng = np.random.default_rng(n)
    factor = np.tril(rng.normal(size=(n, n)) / n) + 2 * np.eye(n)
    found = triangular_inverse(factor)
    np.testing.assert_allclose(found @ factor, np.eye(n), atol=1e-12)
    np.testing.assert_array_equal(found, np.tril(found))


def test_powers_reach_the_longest_gap() -> None:
    powers = powers_of(0.5, np.array([3, 9, 4]))
    assert powers[6] == pytest.approx(0.5**6)
    assert powers[0] == 1.0
