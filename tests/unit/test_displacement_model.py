"""Parts of the displacement model that need no chain: pasts, columns, years to come, settings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast.displacement import (
    DisplacementFit,
    DisplacementPanel,
    DisplacementSpec,
    fit_displacement,
    forecast_displacement,
    read_displacement_spec,
)
from flowcast.displacement._features import MAGNITUDE_TERMS, OCCURRENCE_TERMS, SCALE_TERMS, terms
from flowcast.displacement._layout import (
    Drivers,
    Layout,
    centre_of,
    group_units,
    histories,
    split,
)
from flowcast.errors import InputError, UsageError

NAN = np.nan


def panel_of(
    values: list[list[float]], hazards: list[str] | None = None, places: list[str] | None = None
) -> DisplacementPanel:
    n = len(values)
    coords = {
        "place": ("unit", places or ["SD", "ML", "PH", "FJ"][:n]),
        "destination": ("unit", [""] * n),
        "hazard": ("unit", hazards or [""] * n),
        "year": np.arange(2010, 2010 + len(values[0])),
    }
    data = xr.DataArray(values, dims=("unit", "year"), coords=coords)
    return DisplacementPanel(data, "idmc_conflict", "conflict")


def test_a_past_is_discounted_and_unknown_years_leave_it_as_it_was() -> None:
    panel = panel_of([[8.0, NAN, 0.0, 2.0]])
    spec = DisplacementSpec(half_life=1.0)
    scales, centre = centre_of(panel, spec)
    past = histories(panel.values, scales)
    assert len(past) == 5
    np.testing.assert_array_equal(past[1].last, past[2].last)
    np.testing.assert_array_equal(past[1].weight, past[2].weight)
    found = terms(past[3], centre)
    assert found["last_year"].tolist() == [0.0]
    assert found["above_level"].tolist() == [0.0]
    # Half the weight after each known year: (prior / 8 + log 8 / 4 + ...) of positive ones only.
    weight = past[4].weight_positive[0]
    np.testing.assert_allclose(weight, (1.0 / 2 + 1) / 2 + 1)
    level = (0.25 * scales.level[0] + 0.5 * np.log(8.0) + np.log(2.0)) / weight
    np.testing.assert_allclose(past[4].logs / past[4].weight_positive, level)
    found = terms(past[4], centre)
    np.testing.assert_allclose(found["above_level"], (np.log(2.0) - level) / 2.0)


def test_rare_hazards_take_level_and_frequency_from_the_others() -> None:
    panel = panel_of([[100.0] * 10, [NAN] * 9 + [1e6]], hazards=["Flood", "Wildfire"])
    scales, centre = centre_of(panel, DisplacementSpec())
    assert centre < scales.level[1] < np.log(1e6)
    assert abs(scales.level[0] - np.log(100.0)) < abs(scales.level[1] - np.log(1e6))


def test_groupings_that_say_nothing_are_left_out() -> None:
    one_each = panel_of([[1.0] * 3] * 4)
    assert "place" not in group_units(one_each)[0]
    by_hazard = panel_of([[1.0] * 3] * 4, ["Flood", "Storm"] * 2, ["PH", "PH", "VN", "VN"])
    names, groups = group_units(by_hazard)
    assert names == ("place", "region")
    assert groups[0].tolist() == [0, 0, 1, 1]
    # Both are in south-eastern Asia: the region's floods, and its storms.
    assert groups[1].tolist() == [0, 1, 0, 1]


def test_columns_when_fitted_and_carried_forward_are_the_same() -> None:
    panel = panel_of([[3.0, 0.0, 5.0], [0.0, 9.0, 2.0]], ["Flood", "Storm"])
    scales, centre = centre_of(panel, DisplacementSpec())
    layout = Layout(("Flood", "Storm"), np.array([0, 1]), (), (), scales, centre)
    history = histories(panel.values, scales)[-1]
    rng = np.random.default_rng(1)
    for names in (OCCURRENCE_TERMS, MAGNITUDE_TERMS, SCALE_TERMS):
        features, drivers = layout.columns(history, names), rng.normal(size=(2, 3))
        design = layout.design(features, drivers, np.array([0, 1]))
        coefficients = rng.normal(size=design.shape[1])
        assert len(layout.coefficient_sd(len(names), 3, DisplacementSpec())) == design.shape[1]
        linear = split(coefficients, 2, len(names)).linear(features, drivers, layout.hazard)
        np.testing.assert_allclose(linear, design @ coefficients)


def fit_of(
    panel: DisplacementPanel, *, occurrence: float, scale: float, draws: int = 200
) -> DisplacementFit:
    """Return a fit whose draws are all the same: nothing but intercepts, no heavy tails."""
    scales, centre = centre_of(panel, DisplacementSpec())
    n_unit = len(panel.units)
    layout = Layout(("",), np.zeros(n_unit, dtype=np.intp), (), (), scales, centre)
    terms_of = {"occurrence": OCCURRENCE_TERMS, "magnitude": MAGNITUDE_TERMS}
    shape = (1, draws)
    data: dict[str, NDArray[np.float64]] = {}
    for part, names in terms_of.items():
        data[f"{part}_coefficients"] = np.zeros((*shape, 1 + len(names)))
        data[f"{part}_units"] = np.zeros((*shape, n_unit))
        for name in ("year", "year_sd", "year_phi"):
            data[f"{part}_{name}"] = np.zeros(shape)
    data["occurrence_coefficients"][..., 0] = occurrence
    data["magnitude_scale"] = np.zeros((*shape, 1 + len(SCALE_TERMS)))
    data["magnitude_scale"][..., 0] = np.log(scale)
    data["magnitude_degrees"] = np.full(shape, 100.0)
    data["magnitude_spread"] = np.ones((*shape, n_unit))
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", f"of_{name}")[: values.ndim], values)
            for name, values in data.items()
        }
    )
    drivers = Drivers((), np.zeros((*panel.values.shape, 0)))
    past = histories(panel.values, scales)[-1]
    table = pd.DataFrame({"rhat": [1.0], "ess_bulk": [400.0]})
    return DisplacementFit(posterior, panel, layout, drivers, past, table, DisplacementSpec())


def test_years_to_come_follow_the_level_and_the_chance() -> None:
    panel = panel_of([[1000.0] * 5, [1000.0] * 5])
    made = forecast_displacement(fit_of(panel, occurrence=0.0, scale=0.5, draws=2000), 3)
    assert made.dims == ("chain", "draw", "unit", "year")
    assert made["year"].to_numpy().tolist() == [2015, 2016, 2017]
    values = made.to_numpy()
    assert abs((values > 0).mean() - 0.5) < 0.02
    first = np.log(values[..., 0][values[..., 0] > 0])
    assert abs(first.mean() - np.log(1000.0)) < 0.05
    assert abs(first.std() - 0.5) < 0.05
    # The level follows what was drawn, so that later years are less sure.
    last = np.log(values[..., 2][values[..., 2] > 0])
    assert last.std() > first.std()
    assert (values == np.round(values)).all()


def test_nothing_exceeds_the_ceiling_or_falls_below_the_smallest_count() -> None:
    panel = DisplacementPanel(panel_of([[10.0] * 5] * 2).counts, "unhcr_asylum", "asylum", 5)
    fit = fit_of(panel, occurrence=9.0, scale=3.0)
    made = forecast_displacement(fit, 2, ceiling=[40.0, 4000.0])
    assert made.min() == 5
    assert made.max(("chain", "draw", "year")).to_numpy().tolist() == [40.0, 4000.0]
    assert forecast_displacement(fit, 1).max() == 30.0
    again = forecast_displacement(fit, 2, ceiling=[40.0, 4000.0])
    xr.testing.assert_identical(made, again)


@pytest.mark.parametrize(
    ("years", "ceiling", "told"),
    [(0, None, "1 or more"), (1, [1.0], "shape"), (1, -3.0, "positive"), (1, NAN, "positive")],
)
def test_forecasts_that_cannot_be_made(years: int, ceiling: object, told: str) -> None:
    fit = fit_of(panel_of([[10.0] * 5] * 2), occurrence=0.0, scale=1.0, draws=2)
    with pytest.raises(UsageError, match=told):
        forecast_displacement(fit, years, ceiling=ceiling)  # type: ignore[arg-type]


def test_panels_that_cannot_be_fitted() -> None:
    with pytest.raises(UsageError, match="found 2 years"):
        fit_displacement(panel_of([[1.0, 2.0]]))
    with pytest.raises(UsageError, match="0 with displacement"):
        fit_displacement(panel_of([[1.0, 0.0, 0.0, 0.0]]))
    panel = panel_of([[1.0] * 30])
    shorter = xr.Dataset({"deaths": panel.counts.isel(year=slice(3))})
    with pytest.raises(UsageError, match="other units or years"):
        fit_displacement(panel, drivers=shorter)
    with pytest.raises(UsageError, match="deaths constant"):
        fit_displacement(panel, drivers=xr.Dataset({"deaths": panel.counts}))


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "displacement.yaml"
    path.write_text("half_life: 2\nwindow: 8\n")
    assert read_displacement_spec(path) == DisplacementSpec(half_life=2.0, window=8)
    path.write_text("halflife: 2\ndraws: 1\n")
    with pytest.raises(InputError, match="half_life") as told:
        read_displacement_spec(path)
    assert len(told.value.faults) == 2
