"""Fan charts: what is drawn is what the draws say."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from tests.projection_world import make_people, make_process

from flowcast.errors import UsageError
from flowcast.plots import plot_fan
from flowcast.projection import project
from flowcast.scenarios import read_scenario


@pytest.fixture(scope="module")
def scenarios() -> dict[str, xr.Dataset]:
    both = [read_scenario("baseline"), read_scenario("open_borders")]
    made = project(make_process(20), make_people(), both)
    return {name: one.data for name, one in made.items()}


def test_bands_are_the_quantiles_of_the_draws(scenarios: dict[str, xr.Dataset]) -> None:
    figure = plot_fan(scenarios, "DEU", measure="immigration")
    for panel, data in zip(figure.axes, scenarios.values(), strict=False):
        arrivals = data["immigration"].sel(place="DEU")
        bands = [one for one in panel.collections if isinstance(one, PolyCollection)]
        for band, prob in zip(bands, (0.95, 0.8, 0.5), strict=True):
            corners = band.get_paths()[0].vertices
            low, high = arrivals.quantile([(1 - prob) / 2, (1 + prob) / 2], "draw").to_numpy()
            for t, year in enumerate(data["period"].to_numpy() + 0.5):
                drawn = corners[np.isclose(corners[:, 0], year), 1]
                assert drawn.min() == pytest.approx(low[t])
                assert drawn.max() == pytest.approx(high[t])
        middle = next(line for line in panel.lines if line.get_color() == "black")
        np.testing.assert_allclose(middle.get_ydata(), arrivals.median("draw"))


def test_the_baseline_s_median_stands_beside_other_scenarios(
    scenarios: dict[str, xr.Dataset],
) -> None:
    figure = plot_fan(scenarios, "DEU")
    dashed = [[line for line in p.lines if line.get_linestyle() == "--"] for p in figure.axes[:2]]
    assert [len(lines) for lines in dashed] == [0, 1]
    data = scenarios["baseline"].sel(place="DEU")
    median = (data["immigration"] - data["emigration"]).median("draw")
    np.testing.assert_allclose(dashed[1][0].get_ydata(), median)
    assert "open_borders" in figure.alt_text


def test_the_past_stands_before_the_fan(scenarios: dict[str, xr.Dataset]) -> None:
    row = {"origin": "DEU", "destination": "", "measure": "emigration", "median": 5e4}
    ends = {"lower": 4e4, "upper": 7e4, "prob": 0.95}
    days = {"period_start": "2023-01-01", "period_end": "2024-01-01"}
    past = pd.DataFrame([{**row, **ends, **days}])
    figure = plot_fan(scenarios, "DEU", measure="emigration", past=past)
    (bars,) = figure.axes[0].containers
    assert float(bars.lines[0].get_xdata()[0]) == pytest.approx(2023.5, abs=0.01)
    # Of populations nothing is known of the past: nothing is drawn, and that is no fault.
    assert not plot_fan(scenarios, "DEU", measure="population", past=past).axes[0].containers


def test_what_there_is_not_is_refused(scenarios: dict[str, xr.Dataset]) -> None:
    with pytest.raises(UsageError, match="did you mean DEU"):
        plot_fan(scenarios, "DE")
    with pytest.raises(UsageError, match="did you mean immigration"):
        plot_fan(scenarios, "DEU", measure="imigration")
    with pytest.raises(UsageError, match="0 scenarios"):
        plot_fan({}, "DEU")
