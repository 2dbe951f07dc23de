"""Indicators beside estimates: levels, ranks, sums of periods, and what is never compared."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from support import tiny_posterior

from flowcast.errors import HeldOutError, InputError
from flowcast.estimates import aggregate, flow_estimates
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import Posterior
from flowcast.validation import SCORECARD_COLUMNS, score_indicator
from flowcast.validation.indicators import compare_indicator

PLACES = ("AT", "DE", "FR", "PL")


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return tiny_posterior(PLACES, 3, seed=4)


def rows(measure: str, value: Any, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return one row for each place and year, value(place, year)."""
    return [
        {
            "source": "wpp", "family": "estimate", "measure": measure, "origin": None,
            "destination": place, "year": year, "value": value(place, year), "reporter": "other",
            **more,
        }
        for place in PLACES
        for year in (2020, 2021, 2022)
    ]  # fmt: skip


def observed(table: list[dict[str, Any]]) -> Observations:
    return observations_from_frame(pd.DataFrame(table), role="held_out", name="indicator")


def net_of(posterior: Posterior) -> dict[tuple[str, int], NDArray[np.float64]]:
    net = aggregate(flow_estimates(posterior), "net").draws.stack(sample=("chain", "draw"))
    return {
        (place, year): net.sel(place=place).isel(period=t).to_numpy()
        for place in PLACES
        for t, year in enumerate((2020, 2021, 2022))
    }


def value_of(table: pd.DataFrame, metric: str) -> float:
    (found,) = table.loc[table["metric"] == metric, "value"]
    return float(found)


def test_levels_are_compared_with_the_sums_of_draws(posterior: Posterior) -> None:
    net = net_of(posterior)
    indicator = observed(rows("net", lambda p, y: float(np.median(net[p, y]) - 30.0)))
    compared, draws = compare_indicator(posterior, indicator)
    for k, row in compared.iterrows():
        key = row["destination"], row["period_start"].year
        np.testing.assert_allclose(draws[:, int(str(k))], net[key])
    table = score_indicator(posterior, indicator)
    assert tuple(table) == SCORECARD_COLUMNS
    assert set(table["indicator"]) == {"wpp: net"}
    assert value_of(table, "bias") == pytest.approx(30.0)
    assert value_of(table, "mae") == pytest.approx(30.0)
    assert value_of(table, "correlation") > 0.9
    assert value_of(table, "correlation_lower") < value_of(table, "correlation")
    assert value_of(table, "n") == 12.0
    assert table["baseline"].isna().all()


def test_coverage_is_the_share_of_figures_inside(posterior: Posterior) -> None:
    net = net_of(posterior)
    outside = {key: draws.max() + 1e6 for key, draws in net.items()}
    half = rows("net", lambda p, y: np.median(net[p, y]) if y < 2022 else outside[p, y])
    table = score_indicator(posterior, observed(half))
    assert value_of(table, "coverage_50") == pytest.approx(8 / 12)
    assert value_of(table, "coverage_95") == pytest.approx(8 / 12)


def test_a_figure_of_several_years_is_compared_with_their_sum(posterior: Posterior) -> None:
    net = net_of(posterior)
    long = {
        "source": "wpp", "family": "estimate", "measure": "net", "origin": None,
        "destination": "DE", "period_start": "2020-01-01", "period_end": "2023-01-01",
        "value": 5.0, "reporter": "other",
    }  # fmt: skip
    compared, draws = compare_indicator(posterior, observed([long]))
    np.testing.assert_allclose(draws[:, 0], sum(net["DE", year] for year in (2020, 2021, 2022)))
    assert compared["years"].tolist() == pytest.approx([3.0], abs=0.01)


def test_a_net_figure_may_name_its_place_on_either_side(posterior: Posterior) -> None:
    net = rows("net", lambda p, y: 1.0)
    turned = [{**row, "origin": row["destination"], "destination": None} for row in net]
    first, second = (compare_indicator(posterior, observed(t))[1] for t in (net, turned))
    np.testing.assert_array_equal(first, second)


def test_other_kinds_of_figures_are_compared_by_rank(posterior: Posterior) -> None:
    arrivals = aggregate(flow_estimates(posterior), "immigration").draws.mean(("chain", "draw"))
    wanted = observed(
        rows(
            "asylum_applications",
            lambda p, y: float(arrivals.sel(place=p).isel(period=y - 2020)) ** 1.5,
        )
    )
    table = score_indicator(posterior, wanted)
    assert "mae" not in set(table["metric"])
    compared, draws = compare_indicator(posterior, wanted)
    by_draw = [spearmanr(one, compared["value"]).statistic for one in draws]
    assert value_of(table, "rank_correlation") == pytest.approx(np.median(by_draw))
    assert any("only its order" in note for note in table.attrs["notes"])


def test_changes_over_time_are_told_apart_from_levels(posterior: Posterior) -> None:
    """An indicator with the right levels that moves the wrong way each year."""
    net = net_of(posterior)
    mean = {p: np.mean([np.median(net[p, y]) for y in (2020, 2021, 2022)]) for p in PLACES}
    table = score_indicator(
        posterior, observed(rows("net", lambda p, y: 2 * mean[p] - float(np.median(net[p, y]))))
    )
    assert value_of(table, "within_correlation") < -0.5


def test_rows_outside_the_fit_are_counted(posterior: Posterior) -> None:
    inside = rows("net", lambda p, y: 1.0)
    outside = [{**inside[0], "destination": "ES"}, {**inside[0], "year": 1999}]
    table = score_indicator(posterior, observed([*inside, *outside]))
    assert value_of(table, "n") == 12.0
    assert value_of(table, "n_not_compared") == 2.0
    with pytest.raises(InputError, match="2 rows, none of the fit's places and periods"):
        score_indicator(posterior, observed(outside))


def test_a_source_that_was_fitted_is_no_indicator(posterior: Posterior) -> None:
    fitted = str(posterior.tree["reports"].to_dataset()["source"].values[0])
    with pytest.raises(HeldOutError, match=f"found source {fitted}, which was fitted"):
        score_indicator(posterior, observed(rows("net", lambda p, y: 1.0, source=fitted)))


def test_notes_say_how_far_the_system_reaches(posterior: Posterior) -> None:
    notes = score_indicator(posterior, observed(rows("net", lambda p, y: 1.0))).attrs["notes"]
    assert any("among the 4 places of the fit" in note for note in notes)
