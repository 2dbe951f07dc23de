"""Panels of displacement whose parameters are known: they are found, and forecasts cover."""

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr

from flowcast.displacement import (
    DisplacementPanel,
    DisplacementSpec,
    fit_displacement,
    forecast_displacement,
)
from flowcast.displacement._features import History, Scales, terms

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

UNITS, YEARS, AHEAD = 200, 14, 3
OCCURRENCE = {"last_year": 0.6, "frequency": 0.5, "level": 0.3}
MAGNITUDE = {"level": -0.4, "above_level": 0.8, "not_last_year": -0.5, "frequency": 0.0}
INTERCEPTS = (0.1, 0.2)
DRIVER, UNIT_SD, SCALE, DEGREES = 0.25, 0.3, 0.8, 5.0
SPEC = DisplacementSpec(half_life=3.0, driver_sd=1.0, draws=300, tune=200)


def simulate(seed: int) -> tuple[DisplacementPanel, NDArray[np.float64], xr.Dataset]:
    """Return a panel, what came after it, and its driver."""
    rng = np.random.default_rng(seed)
    unit = rng.normal(0.0, UNIT_SD, (2, UNITS))
    driver = rng.standard_normal((UNITS, YEARS + AHEAD))
    # A driver stays as it was in the last year, which is what a forecast assumes.
    driver[:, YEARS:] = driver[:, [YEARS - 1]]
    scales = Scales(np.full(UNITS, 7.0), np.full(UNITS, 0.6), 0.5 ** (1 / 3))
    history = History.before(scales, (UNITS,))
    counts = np.empty((UNITS, YEARS + AHEAD))
    for t in range(YEARS + AHEAD):
        found = terms(history, 7.0)
        moved = DRIVER * driver[:, max(t - 1, 0)]
        score, log = (
            intercept + sum(b * found[name] for name, b in slopes.items()) + moved + own
            for intercept, slopes, own in zip(
                INTERCEPTS, (OCCURRENCE, MAGNITUDE), unit, strict=True
            )
        )
        log += history.logs / history.weight_positive + SCALE * rng.standard_t(DEGREES, UNITS)
        happens = rng.random(UNITS) < ndtr(score)
        counts[:, t] = np.where(happens, np.maximum(np.round(np.exp(log)), 1.0), 0.0)
        history = history.follow(counts[:, t], scales)
    coords = {
        "place": ("unit", [f"P{k}" for k in range(UNITS)]),
        "destination": ("unit", [""] * UNITS),
        "hazard": ("unit", [""] * UNITS),
        "year": np.arange(2000, 2000 + YEARS),
    }
    data = xr.DataArray(counts[:, :YEARS], dims=("unit", "year"), coords=coords)
    panel = DisplacementPanel(data, "idmc_conflict", "conflict")
    told = xr.Dataset({"heat": data.copy(data=driver[:, :YEARS])})
    return panel, counts[:, YEARS:], told


def test_what_a_panel_was_made_with_is_found_and_forecasts_cover() -> None:
    panel, later, drivers = simulate(3)
    fit = fit_displacement(panel, SPEC, drivers=drivers)
    truth = {
        "occurrence": {**OCCURRENCE, "heat": DRIVER},
        "magnitude": {**MAGNITUDE, "heat": DRIVER},
    }
    for part, slopes in truth.items():
        drawn = fit.posterior[f"{part}_coefficients"]
        for name, value in slopes.items():
            own = drawn.sel({f"{part}_term": name})
            assert abs(float(own.mean()) - value) < 4 * float(own.std()), (part, name)
            assert float(own.std()) < 0.4, (part, name)
        sd = fit.posterior[f"{part}_unit_sd"]
        assert abs(float(sd.mean()) - UNIT_SD) < 4 * float(sd.std())
    heat = fit.posterior["magnitude_coefficients"].sel(magnitude_term="heat")
    assert float(heat.std()) < 0.05
    made = forecast_displacement(fit, AHEAD, ceiling=1e9)
    draws = made.stack(sample=("chain", "draw")).transpose("sample", "unit", "year").to_numpy()
    low, high = np.quantile(draws, [0.1, 0.9], axis=0)
    happened = later > 0
    inside = ((later >= low) & (later <= high)).mean(axis=0)
    # Intervals hold zeros whole, so that they cover somewhat more than they promise.
    assert (inside > 0.76).all()
    assert (inside < 0.93).all()
    chance = (draws > 0).mean(axis=0)
    assert abs(chance.mean() - happened.mean()) < 0.05
    # Units that turn out to have displacement were given the higher chances.
    assert chance[happened].mean() > chance[~happened].mean() + 0.05


def test_a_driver_that_says_nothing_is_shrunk_away() -> None:
    panel, _, drivers = simulate(4)
    rng = np.random.default_rng(1)
    noise = drivers.map(lambda one: one.copy(data=rng.standard_normal(one.shape)))
    fit = fit_displacement(panel, DisplacementSpec(draws=100, tune=100), drivers=noise)
    heat = fit.posterior["magnitude_coefficients"].sel(magnitude_term="heat")
    assert abs(float(heat.mean())) < 0.1
