"""Figures of a part of a year: months so far, quarters, in a model of calendar years."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import flow_row as row

from flowcast.config import ModelSpec, validate_model
from flowcast.model.cells import as_cells, parts_of_year, spans
from flowcast.model.problem import Problem
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.trees import build_evidence


def rows() -> list[dict[str, Any]]:
    months = [("2021-01-01", "2021-02-01"), ("2021-02-01", "2021-03-01")]
    return [
        row("2019-01-01", "2020-01-01", 900.0),
        row("2020-01-01", "2021-01-01", 1000.0),
        *(row(a, b, 80.0, standard_error=3.0) for a, b in months),
        row("2021-01-01", "2021-07-01", 400.0, origin="PL"),
        row("2021-01-01", "2022-01-01", 50.0, origin="PL", destination="DE"),
    ]


def table(*given: dict[str, Any]) -> pd.DataFrame:
    return observations_from_frame(pd.DataFrame(list(given) or rows())).table


def spec(**measurement: Any) -> ModelSpec:  # noqa: ANN401
    raw = {"name": "months", "period": "year", "measurement": measurement}
    return validate_model(raw, "months")


def problem(*given: dict[str, Any], **measurement: Any) -> Problem:  # noqa: ANN401
    data = observations_from_frame(pd.DataFrame(list(given) or rows()))
    return prepare(Inputs(spec(**measurement), data, None, {})).problem


def test_parts_of_one_source_become_one_report_of_the_year() -> None:
    found = as_cells(table(), "flow", "year")
    assert found.index.tolist() == [0, 1, 2, 4, 5]
    both = found.loc[2]
    assert both["value"] == 160.0
    assert both["standard_error"] == pytest.approx(np.sqrt(18.0))
    assert both["period_start"] == pd.Timestamp("2021-01-01")
    assert both["period_end"] == pd.Timestamp("2022-01-01")
    np.testing.assert_allclose(spans(found)[2], (31 + 28) / 365)
    assert parts_of_year(found).tolist() == [False, False, True, True, False]


def test_without_adding_up_every_part_stays_a_row() -> None:
    found = as_cells(table(), "flow", "year", add_up=False)
    assert found.index.tolist() == list(range(6))
    assert found.loc[3, "value"] == 80.0


def test_a_leap_year_has_a_day_more() -> None:
    leap = row("2020-01-01", "2020-07-01", 10.0)
    found = as_cells(table(rows()[0], leap), "flow", "year")
    np.testing.assert_allclose(spans(found)[1], 182 / 366)


def test_one_part_without_a_standard_error_leaves_the_sum_without() -> None:
    first, second = rows()[2], rows()[3] | {"standard_error": np.nan}
    found = as_cells(table(rows()[0], first, second), "flow", "year")
    assert np.isnan(found.loc[1, "standard_error"])


def test_an_index_is_averaged_and_covers_its_year() -> None:
    index = {"measure": "index", "family": "digital", "reporter": "other", "source": "search"}
    a, b = (r | index | {"standard_error": np.nan} for r in (rows()[2], rows()[3]))
    found = as_cells(table(rows()[0], a | {"value": 10.0}, b | {"value": 30.0}), "flow", "year")
    assert found.loc[1, "value"] == 20.0
    assert spans(found)[1] == 1.0


def test_what_reaches_over_the_end_of_a_year_is_refused() -> None:
    over = row("2020-10-01", "2021-04-01", 10.0, origin="PL")
    with pytest.raises(Exception, match="period from 2020-10-01"):
        problem(*rows()[:2], over)


def test_the_share_of_the_year_multiplies_a_coefficient_near_one() -> None:
    found = problem()
    assert found.grid.n_period == 3
    names = found.effects.names
    assert names == ("part_of_year[office]",)
    np.testing.assert_allclose(found.effects.mean, 1.0)
    np.testing.assert_allclose(found.effects.sd, 0.1)
    short = found.reports.span < 0.9
    assert short.sum() == 2
    np.testing.assert_allclose(found.effects.value, np.log(found.reports.span[short]))
    # The prior expects of half a year half of the moves.
    half = np.flatnonzero(np.isclose(found.reports.span, 181 / 365))
    whole = np.flatnonzero(found.reports.span == 1.0)
    gap = found.prior_mean[half] - found.prior_mean[whole[0]]
    np.testing.assert_allclose(gap, np.log(181 / 365))


def test_the_table_says_that_a_cell_rests_on_a_part_of_its_year() -> None:
    found = problem()
    evidence = build_evidence(found)
    corridor = dict(
        zip(zip(found.grid.origin_code, found.grid.destination_code, strict=True), evidence,
            strict=True)
    )  # fmt: skip
    assert corridor["DE", "FR"].tolist() == ["one_report", "one_report", "part_year"]
    assert corridor["PL", "DE"].tolist() == ["none", "none", "one_report"]


def test_quarters_of_a_quarterly_model_are_whole_periods() -> None:
    quarters = pd.date_range("2020-01-01", periods=5, freq="QS").strftime("%Y-%m-%d")
    given = [
        row(a, b, 10.0) for a, b in zip(quarters[:-1].tolist(), quarters[1:].tolist(), strict=True)
    ]
    data = observations_from_frame(pd.DataFrame(given))
    shortest = spec().model_copy(update={"period": "shortest"})
    found = prepare(Inputs(shortest, data, None, {})).problem
    assert found.grid.n_period == 4
    assert found.effects.names == ()
    assert set(build_evidence(found).ravel()) == {"one_report", "none"}


def test_a_part_of_a_year_is_not_taken_off_the_total_of_the_year() -> None:
    total = row("2021-01-01", "2022-01-01", 700.0, origin="", measure="immigration")
    given = [r | {"duration_months": 12} for r in rows()]
    found = problem(*given, total, places_outside="ignore")
    assert found.totals is not None
    assert found.totals.value.tolist() == [700.0]


def test_a_note_tells_how_many_there_are() -> None:
    data = observations_from_frame(pd.DataFrame(rows()))
    notes = prepare(Inputs(spec(), data, None, {})).notes
    assert "2 reports cover a part of their year" in notes
