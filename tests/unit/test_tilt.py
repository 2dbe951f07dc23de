"""The stand-in for reports of sums, with which chains run."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.tilt import (
    Tilt,
    TiltedDensity,
    effective_share,
    fit_tilt,
    tilt_coordinates,
)
from flowcast.model.coordinates import Coordinates, build_coordinates
from flowcast.model.density import find_mode
from flowcast.simulation import simulate_world

FloatArray = NDArray[np.float64]


@pytest.fixture(scope="module")
def coordinates() -> Coordinates:
    return build_coordinates(find_mode(simulate_world(4, 3, seed=2).problem))


def tilt_of(coordinates: Coordinates, factor: object, folder: Path | None = None) -> object:
    progress = Progress(shown=False)
    return tilt_coordinates(coordinates, factor, Sampler(), Checkpoint(folder), progress)  # type: ignore[arg-type]


def test_a_polynomial_is_found_again() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal([1.0, -2.0], [0.5, 2.0], (400, 2))
    value = 3.0 + 2.0 * x[:, 0] - 0.5 * x[:, 1] ** 2
    tilt = fit_tilt(x, value, np.ones(400), np.array([1, 2]))
    assert not tilt.coef[0, 1:].any()
    assert not tilt.coef[1, 2:].any()
    near = rng.normal([1.0, -2.0], [0.4, 1.5], (50, 2))
    wanted = 2.0 * near[:, 0] - 0.5 * near[:, 1] ** 2
    gap = tilt.value(near) - wanted
    np.testing.assert_allclose(gap, gap.mean(), atol=0.05)


def test_points_of_no_finite_value_are_left_out() -> None:
    x = np.random.default_rng(2).normal(size=(100, 1))
    value = np.where(x[:, 0] > 1.0, -np.inf, 2.0 * x[:, 0])
    tilt = fit_tilt(x, value, np.ones(100), np.array([1]))
    assert tilt.coef[0, 0] / tilt.scale[0] == pytest.approx(2.0, rel=0.02)


def test_the_slope_is_that_of_the_value_and_nothing_far_away() -> None:
    rng = np.random.default_rng(3)
    tilt = Tilt(rng.normal(size=3), np.array([0.5, 1.0, 2.0]), rng.normal(size=(3, 4)))
    x = tilt.centre + tilt.scale * rng.uniform(-3.0, 3.0, (5, 3))
    for k in range(3):
        nudge = 1e-6 * np.eye(3)[k]
        wanted = (tilt.value(x + nudge) - tilt.value(x - nudge)) / 2e-6
        np.testing.assert_allclose(tilt.slope(x)[:, k], wanted, rtol=1e-5, atol=1e-6)
    far = tilt.centre + 50.0 * tilt.scale
    assert tilt.value(far) == tilt.value(far + 1.0)
    assert not tilt.slope(far).any()


def test_the_tilted_density_adds_the_stand_in(coordinates: Coordinates) -> None:
    density, n = coordinates.density, len(coordinates.centre)
    rng = np.random.default_rng(4)
    tilt = Tilt(np.zeros(n), np.ones(n), 0.1 * rng.normal(size=(n, 4)))
    tilted = TiltedDensity(density.problem, density.layout, density.sites, tilt=tilt)
    x = coordinates.unconstrained(np.zeros(n))
    value, gradient = tilted.value_grad(x)
    plain, slope = density.value_grad(x)
    assert value == pytest.approx(plain + float(tilt.value(x)))
    assert tilted.value(x) == pytest.approx(value)
    np.testing.assert_allclose(gradient, slope + tilt.slope(x))


def test_equal_weights_are_all_effective() -> None:
    assert effective_share(np.full(7, -300.0)) == pytest.approx(1.0)
    assert effective_share(np.array([0.0, -np.inf, -np.inf, -np.inf])) == pytest.approx(0.25)
    assert effective_share(np.full(3, -np.inf)) == 0.0


def test_sums_that_say_little_need_no_stand_in(coordinates: Coordinates) -> None:
    found, tilt, share = tilt_of(coordinates, lambda x: -0.01 * float(x[0]))  # type: ignore[misc]
    assert found is coordinates
    assert not tilt.coef.any()
    assert share > 0.9


def test_weights_are_nearly_equal_with_the_stand_in(
    coordinates: Coordinates, tmp_path: Path
) -> None:
    """The factor knows one value twice, and another three times, as well as the rest does."""
    names = coordinates.density.layout.slices
    a, b = names["sd_corridor"].start, names["sd_noise"].start
    z = np.random.default_rng(5).standard_normal((400, len(coordinates.centre)))
    x = np.apply_along_axis(coordinates.unconstrained, -1, z)
    sd = x.std(axis=0)

    def factor(point: FloatArray) -> float:
        s = (point - x.mean(axis=0)) / sd
        return float(-2.0 * (s[a] - 2.5) ** 2 - 1.5 * (s[b] + 2.0) ** 2)

    found, tilt, share = tilt_of(coordinates, factor, tmp_path)  # type: ignore[misc]
    assert share < 0.1
    assert isinstance(found.density, TiltedDensity)
    log_factor = np.array([factor(point) for point in x])
    # By the weights of the normal times the stand-in, little is left to be weighed.
    by_tilt = np.exp(tilt.value(x) - tilt.value(x).max())
    rest = log_factor - tilt.value(x)
    rest -= np.average(rest, weights=by_tilt)
    spread = np.sqrt(np.average(rest**2, weights=by_tilt))
    assert spread < 0.5 < np.std(log_factor)
    again = tilt_of(coordinates, lambda x: pytest.fail("evaluated anew"), tmp_path)
    np.testing.assert_array_equal(again[1].coef, tilt.coef)  # type: ignore[index]
