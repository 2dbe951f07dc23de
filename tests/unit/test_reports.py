"""Reports as the measurement model sees them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowcast.errors import Fault, InputError
from flowcast.model.grid import Grid, build_grid
from flowcast.model.reports import DURATION_STEPS, build_reports, duration_weights, usable_rows
from flowcast.observations import observations_from_frame

ROW: dict[str, Any] = {"source": "reg", "family": "administrative", "measure": "flow"}
ROW |= {"origin": "DE", "destination": "FR", "year": 2020, "value": 3, "reporter": "origin"}


def observed(*changes: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame([ROW | change for change in changes])
    return observations_from_frame(frame).table


def grid_of(table: pd.DataFrame, *places: str) -> Grid:
    return build_grid(table, places or ("AT", "DE", "FR"), codes="alpha2", name="reports.csv")


def faults(*changes: dict[str, Any]) -> tuple[Fault, ...]:
    table = observed(*changes)
    with pytest.raises(InputError) as caught:
        usable_rows(table, grid_of(table), "reports.csv")
    return caught.value.faults


@pytest.mark.parametrize(
    ("months", "weights"),
    [
        (12.0, [0, 0, 0, 0]),
        (np.nan, [0, 0, 0, 0]),
        (6.0, [0, 0, 1, 0]),
        (3.0, [0, 1, 1, 0]),
        (0.0, [1, 1, 1, 0]),
        (60.0, [0, 0, 0, -1]),
        (9.0, [0, 0, 0.5, 0]),
        (1.0, [2 / 3, 1, 1, 0]),
        (36.0, [0, 0, 0, -0.5]),
        (120.0, [0, 0, 0, -1]),
    ],
)
def test_duration_weights_at_and_between_the_knots(months: float, weights: list[float]) -> None:
    (found,) = duration_weights(np.array([months]))
    np.testing.assert_allclose(found, weights, atol=1e-12)
    assert len(found) == len(DURATION_STEPS)


def test_a_shorter_minimum_stay_counts_more() -> None:
    increments = np.array([0.1, 0.2, 0.3, 0.8])
    factor = duration_weights(np.linspace(0, 60, 200)) @ increments
    assert (np.diff(factor) <= 1e-12).all()
    assert factor[0] == pytest.approx(0.6)
    assert factor[-1] == pytest.approx(-0.8)


def test_rows_the_model_has_no_part_for_are_refused_all_at_once() -> None:
    told = faults(
        {"family": "estimate"},
        {"measure": "stock", "year": 2021},
        {"age": "20-24", "sex": "F", "year": 2023},
        {"origin": "PL", "year": 2020},
        {"reporter": "other", "year": 2025},
        {"year": 2026},
    )
    by_column = {f.column: f for f in told}
    expected = ["age", "family", "measure", "origin", "reporter", "sex"]
    assert sorted(by_column) == expected
    assert "1 rows with 'estimate'" in by_column["family"].found
    assert by_column["measure"].allowed == "flow, immigration, emigration, net, index"
    assert by_column["age"].found == "several groups by age: all, 20-24"
    assert by_column["age"].allowed == "one in a model"
    assert by_column["origin"].found == "PL in 1 rows"
    assert {f.where for f in told} == {"reports.csv"}


def test_every_sum_that_cannot_be_one_is_refused_with_its_row() -> None:
    told = faults(
        {},
        {"origin": None, "reporter": "destination", "measure": "immigration"},
        {"origin": "nordic", "reporter": "destination"},
        {"measure": "immigration", "reporter": "destination"},
        {"measure": "net", "destination": None},
        {"origin": "EU15", "destination": "benelux", "reporter": "destination"},
    )
    found = {f.row: (f.column, f.found.split(",")[0]) for f in told}
    assert found == {
        3: ("origin", "everywhere else with places outside the model: AD"),
        4: ("origin", "grouping 'nordic' with places outside the model: DK"),
        5: ("measure", "immigration between two places"),
        6: ("destination", "net migration of an origin"),
        7: ("destination", "groupings 'EU15' and 'benelux'"),
    }


def test_a_period_is_one_of_the_models_or_several_of_them() -> None:
    dates = {"period_start": "2020-07-01", "period_end": "2022-01-01", "year": None}
    frame = pd.DataFrame(
        [
            {k: v for k, v in ROW.items() if k != "year"} | change
            for change in (
                {"period_start": "2020-01-01", "period_end": "2021-01-01"},
                {"period_start": "2021-01-01", "period_end": "2022-01-01"},
                {k: v for k, v in dates.items() if v} | {"reporter": "destination"},
                {
                    "period_start": "2020-01-01",
                    "period_end": "2022-01-01",
                    "source": "other",
                },
                {
                    "period_start": "2021-01-01",
                    "period_end": "2023-01-01",
                    "source": "other",
                    "measure": "net",
                    "origin": "AT",
                },
            )
        ]
    )
    table = observations_from_frame(frame).table
    grid = grid_of(table.iloc[:2])
    with pytest.raises(InputError) as caught:
        usable_rows(table, grid, "reports.csv")
    found = sorted((f.row, f.found) for f in caught.value.faults if f.row is not None)
    assert found == [(6, "period from 2021-01-01 to 2023-01-01")]
    assert "period from 2020-07-01" in {f.found for f in caught.value.faults}


def test_all_sound_rows_are_used() -> None:
    table = observed({}, {"reporter": "destination"}, {"year": 2022, "origin": "AT"})
    assert usable_rows(table, grid_of(table), "x").tolist() == [True, True, True]


def test_superseded_vintages_are_left_out_whatever_their_order() -> None:
    table = observed(
        {"vintage": "2022-05-01", "value": 5},
        {"vintage": "2023-05-01", "value": 6},
        {"value": 4},
        {"year": 2021, "value": 1},
        {"reporter": "destination", "vintage": "2019-01-01", "value": 2},
    )
    for order in ([0, 1, 2, 3, 4], [4, 2, 1, 0, 3]):
        shuffled = table.iloc[order].reset_index(drop=True)
        used = shuffled[usable_rows(shuffled, grid_of(table), "x")]
        assert sorted(used["value"]) == [1, 2, 6]


def test_mirrored_figures_count_once() -> None:
    table = observed({"mirror_of": "destination"}, {"reporter": "destination"})
    assert usable_rows(table, grid_of(table), "x").tolist() == [False, True]


def test_reports_are_sorted_and_lead_back_to_the_table() -> None:
    table = observed(
        {"origin": "FR", "destination": "AT", "value": 1},
        {"year": 2021, "value": 2},
        {"value": 3},
        {"value": 4, "reporter": "destination"},
        {"value": 5, "source": "alt"},
        {"origin": "AT", "value": 6},
    )
    grid = grid_of(table)
    reports = build_reports(table, grid)
    key = list(zip(reports.corridor, reports.period, reports.series, strict=True))
    assert key == sorted(key)
    assert reports.value.tolist() == [6, 5, 3, 4, 2, 1]
    np.testing.assert_array_equal(table["value"].to_numpy()[reports.row], reports.value)
    codes = table.iloc[reports.row]
    np.testing.assert_array_equal(grid.origin_code[reports.corridor], codes["origin"])
    np.testing.assert_array_equal(grid.destination_code[reports.corridor], codes["destination"])


def test_effects_go_by_side_source_and_reporter() -> None:
    graded = {"accuracy_class": "low", "undercount_class": "high", "duration_months": 3}
    table = observed({"reporter": "destination"} | graded, {"source": "alt"})
    reports = build_reports(table, grid_of(table))
    by_side = {side: k for k, side in enumerate(reports.side)}
    into, out = by_side["immigration"], by_side["emigration"]
    assert reports.unit[[into, out]].tolist() == ["immigration:reg:FR", "emigration:alt:DE"]
    assert reports.series[[into, out]].tolist() == ["immigration:reg", "emigration:alt"]
    assert reports.noise[[into, out]].tolist() == ["immigration_low", "emigration:DE"]
    assert reports.graded[[into, out]].tolist() == [True, False]
    assert reports.share[[into, out]].tolist() == ["immigration_high", "emigration_unknown"]
    assert reports.duration[[into, out]].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
