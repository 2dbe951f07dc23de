"""Panels whose parameters are known: they are found again, with zeros and a driver too."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flowcast.priors import Prior
from flowcast.projection._panel import (
    PanelData,
    PanelPriors,
    sample_panel,
    start_panel,
    with_values,
)

pytestmark = pytest.mark.statistical

UNITS, PERIODS, GROUPS = 400, 8, 20
PHI, SD, EFFECT, SHARED_SD = (0.8, 0.4), (0.3, 0.6), 0.5, 0.25
PRIORS = PanelPriors(
    phi=Prior.make("beta", [1.0, 1.0]),
    tau=3.0,
    sd=Prior.make("half_normal", [1.0]),
    shared_phi=Prior.make("beta", [1.0, 1.0]),
    shared_sd=Prior.make("half_normal", [1.0]),
    effects=(Prior.make("normal", [0.0, 1.0]),),
)


def simulate(seed: int, *, bound: float | None) -> PanelData:
    """Return a panel of two classes; values below the bound are not seen."""
    rng = np.random.default_rng(seed)
    of_class = np.arange(UNITS) % 2
    group = rng.integers(0, GROUPS, UNITS)
    group[:GROUPS] = np.arange(GROUPS)
    phi, sd = np.array(PHI)[of_class], np.array(SD)[of_class]
    z = sd / np.sqrt(1 - phi**2) * rng.standard_normal(UNITS)
    shared = SHARED_SD / np.sqrt(1 - 0.25) * rng.standard_normal(GROUPS)
    driver = rng.standard_normal((UNITS, PERIODS))
    mean = rng.normal(0.0, 1.5, UNITS)
    x = np.empty((UNITS, PERIODS))
    for t in range(PERIODS):
        if t:
            z = phi * z + sd * rng.standard_normal(UNITS)
            shared = 0.5 * shared + SHARED_SD * rng.standard_normal(GROUPS)
        x[:, t] = mean + z + shared[group] + EFFECT * driver[:, t]
    limit = -np.inf if bound is None else bound
    seen = x >= limit
    value = np.where(seen, x, np.nan)
    upper = np.where(seen, np.inf, limit)
    return PanelData(
        value, upper, of_class.astype(np.intp), group.astype(np.intp), driver[:, :, None],
        seen.any(axis=1), np.zeros(GROUPS, dtype=np.intp),
    )  # fmt: skip


def draws_of(data: PanelData, seed: int) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    state = start_panel(data, rng)
    with_values(data, state)
    kept: dict[str, list[NDArray[np.float64]]] = {}
    for number, _ in zip(range(900), sample_panel(data, PRIORS, state, rng), strict=False):
        if number >= 300:
            for name in ("phi", "sd", "shared_phi", "shared_sd", "effects"):
                kept.setdefault(name, []).append(getattr(state, name).copy())
    return {name: np.array(values) for name, values in kept.items()}


@pytest.mark.parametrize("bound", [None, -1.5])
def test_what_a_panel_was_made_with_is_found(bound: float | None) -> None:
    drawn = draws_of(simulate(1, bound=bound), 2)
    truth = {"phi": PHI, "shared_sd": (SHARED_SD,), "shared_phi": (0.5,), "effects": (EFFECT,)}
    for name, values in truth.items():
        for k, value in enumerate(values):
            draws = drawn[name][:, k]
            assert abs(draws.mean() - value) < 4 * draws.std(), name
            # Found, not left at the prior.
            assert draws.std() < 0.2, name


def test_scales_of_classes_keep_their_order() -> None:
    drawn = draws_of(simulate(3, bound=None), 4)
    # The tails take a part of it, so that the scale alone is no standard deviation.
    ratio = np.median(drawn["sd"][:, 1] / drawn["sd"][:, 0])
    assert ratio == pytest.approx(SD[1] / SD[0], rel=0.2)
