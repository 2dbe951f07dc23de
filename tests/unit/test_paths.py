"""Draws of effects and paths against dense linear algebra, without sampling.

A draw is the conditional mean plus a linear function of the standard normals put in. So zeros give
the mean, and unit vectors the columns of a root of the covariance.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from flowcast.model.paths import condition_paths, series_products

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Corridor:
    """Reports of one corridor and the variances it has."""

    period: NDArray[np.int64]
    group: NDArray[np.int64]
    residual: Array
    noise: Array
    scale: Array
    group_variance: Array
    weight: float
    n_period: int


def corridor(which: str = "plain", seed: int = 3) -> Corridor:
    """Return a corridor with several reports in some periods and none in others."""
    rng = np.random.default_rng(seed)
    period = np.array([1, 1, 2, 4, 4, 4, 6])
    plain = Corridor(
        period=period,
        group=np.array([2, 0, 2, 0, 2, 2, 0]),
        residual=rng.standard_normal(7),
        noise=rng.uniform(0.05, 0.4, 7),
        scale=np.array([0.5, 0.2, 0.7]),
        group_variance=np.array([0.3, 0.9, 0.15]),
        weight=1.7,
        n_period=8,
    )
    empty = np.zeros(0, dtype=np.int64)
    changes: dict[str, dict[str, object]] = {
        "plain": {},
        "no series": {"group": np.full(7, -1)},
        "some without series": {"group": np.array([2, -1, 2, -1, 2, 2, 0])},
        "no path": {"scale": np.array([0.5, 0.0, 0.7])},
        "no corridor effect": {"scale": np.array([0.0, 0.2, 0.7])},
        "no series variance": {"group_variance": np.array([0.3, 0.9, 0.0])},
        "white path": {"scale": np.array([0.5, 0.2, 0.0])},
        "sharp reports": {"noise": np.full(7, 1e-7)},
        "no report": {
            "period": empty,
            "group": empty,
            "residual": np.zeros(0),
            "noise": np.zeros(0),
        },
    }
    return replace(plain, **changes[which])  # type: ignore[arg-type]


CASES = (
    "plain",
    "no series",
    "some without series",
    "no path",
    "no corridor effect",
    "no series variance",
    "white path",
    "sharp reports",
    "no report",
)


def path_covariance(c: Corridor) -> Array:
    """Return the prior covariance of the path over the periods."""
    phi = c.scale[2]
    gap = np.abs(np.arange(c.n_period)[:, None] - np.arange(c.n_period))
    return np.asarray(c.scale[1] / c.weight / (1 - phi**2) * phi**gap)


def prior_covariance(c: Corridor) -> Array:
    """Return the prior covariance of u, the v of each group, and the path, in this order."""
    n = len(c.group_variance)
    out = np.zeros((1 + n + c.n_period,) * 2)
    out[0, 0] = c.scale[0]
    out[1 : 1 + n, 1 : 1 + n] = np.diag(c.group_variance)
    out[1 + n :, 1 + n :] = path_covariance(c)
    return out


def report_design(c: Corridor) -> Array:
    """Return what each report sees of u, v and the path."""
    out = np.zeros((len(c.period), 1 + len(c.group_variance) + c.n_period))
    out[:, 0] = 1.0
    for k, (g, t) in enumerate(zip(c.group, c.period, strict=True)):
        if g >= 0:
            out[k, 1 + g] = 1.0
        out[k, 1 + len(c.group_variance) + t] = 1.0
    return out


def draw(c: Corridor, normals: Array) -> Array:
    """Return u, v and path for given standard normals, in the order of `prior_covariance`."""
    n = len(c.group_variance)
    effect, series, path = normals[:1].copy(), normals[None, 1 : 1 + n], normals[None, 1 + n :]
    series, path = series.copy(), path.copy()
    start = np.array([0, len(c.period)])
    condition_paths(
        effect, series, path, c.residual, c.noise, c.period, c.group, start, c.scale,
        c.group_variance, np.array([c.weight]),
    )  # fmt: skip
    return np.concatenate([effect, series[0], path[0]])


@pytest.mark.parametrize("which", CASES)
def test_draws_have_the_mean_and_covariance_of_the_dense_conditional(which: str) -> None:
    c = corridor(which)
    prior, design = prior_covariance(c), report_design(c)
    gain = prior @ design.T @ np.linalg.inv(design @ prior @ design.T + np.diag(c.noise))
    mean = draw(c, np.zeros(len(prior)))
    root = np.array([draw(c, unit) for unit in np.eye(len(prior))]).T - mean[:, None]
    # With sharp reports the dense formula itself loses digits.
    error = 1e-6 if which == "sharp reports" else 1e-10
    np.testing.assert_allclose(mean, gain @ c.residual, atol=error)
    np.testing.assert_allclose(root @ root.T, prior - gain @ design @ prior, atol=error)


@pytest.mark.parametrize("which", [k for k in CASES if k not in ("sharp reports", "no report")])
def test_the_filters_products_are_those_of_the_dense_inverse(which: str) -> None:
    c = corridor(which)
    scale = np.array([0.0, c.scale[1] / c.weight, c.scale[2]])
    n_group = len(c.group_variance)
    found, column = series_products(
        c.residual, c.noise, c.period, c.group, scale, n_group, c.n_period
    )
    order = sorted(set(c.group), key=lambda g: list(c.group).index(g))
    basis = np.column_stack([c.residual, *[(c.group == g).astype(float) for g in order]])
    sigma = path_covariance(c)[np.ix_(c.period, c.period)] + np.diag(c.noise)
    np.testing.assert_allclose(found, basis.T @ np.linalg.solve(sigma, basis), rtol=1e-10)
    assert [column[g] for g in order] == list(range(1, len(order) + 1))
    assert np.count_nonzero(column) == len(order)


def test_a_part_without_variance_is_exactly_zero() -> None:
    normals = np.random.default_rng(1).standard_normal(12)
    assert draw(corridor("no corridor effect"), normals)[0] == 0.0
    assert draw(corridor("no series variance"), normals)[3] == 0.0
    np.testing.assert_array_equal(draw(corridor("no path"), normals)[4:], 0.0)


def test_a_series_without_a_report_is_its_prior() -> None:
    normals = np.random.default_rng(1).standard_normal(12)
    assert draw(corridor(), normals)[2] == pytest.approx(np.sqrt(0.9) * normals[2], rel=1e-12)


def test_corridors_do_not_depend_on_their_neighbours() -> None:
    first, second, third = corridor(seed=3), corridor("no report"), corridor(seed=4)
    joined = (first, second, third)
    start = np.concatenate([[0], np.cumsum([len(c.period) for c in joined])])
    normals = np.random.default_rng(2).standard_normal((3, 12))
    effect, series, path = normals[:, 0].copy(), normals[:, 1:4].copy(), normals[:, 4:].copy()

    def both(name: str) -> Array:
        return np.concatenate([getattr(c, name) for c in joined])

    condition_paths(
        effect, series, path, both("residual"), both("noise"), both("period"), both("group"), start,
        first.scale, first.group_variance, np.full(3, first.weight),
    )  # fmt: skip
    for k, c in enumerate(joined):
        alone = draw(c, normals[k])
        np.testing.assert_array_equal(np.concatenate([effect[[k]], series[k], path[k]]), alone)
