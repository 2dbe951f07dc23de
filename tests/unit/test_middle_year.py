"""Flows over several years as reports of the year in their middle."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import flow_row as row

from flowcast.config import ModelSpec, validate_model
from flowcast.errors import InputError
from flowcast.model.cells import as_cells, middles_of_years, spans
from flowcast.model.problem import Problem
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, Prepared, prepare

STOCKS = {"source": "stocks", "family": "census", "criterion": "birth"}


def rows() -> list[dict[str, Any]]:
    years = [row(f"{y}-01-01", f"{y + 1}-01-01", 1000.0) for y in range(2002, 2007)]
    return [
        *years,
        row("2000-07-01", "2005-07-01", 5000.0, **STOCKS),
        row("2002-01-01", "2003-01-01", 50.0, origin="PL", destination="DE"),
        row("2003-01-01", "2003-07-01", 30.0, origin="PL", destination="DE"),
    ]


def table(*given: dict[str, Any]) -> pd.DataFrame:
    return observations_from_frame(pd.DataFrame(list(given) or rows())).table


def spec(period: str = "middle_year") -> ModelSpec:
    return validate_model({"name": "stocks", "period": period}, "stocks")


def prepared(*given: dict[str, Any], period: str = "middle_year") -> Prepared:
    data = observations_from_frame(pd.DataFrame(list(given) or rows()))
    return prepare(Inputs(spec(period), data, None, {}))


def problem(*given: dict[str, Any]) -> Problem:
    return prepared(*given).problem


def test_the_middle_of_five_years_from_one_july_to_another_is_a_new_year() -> None:
    found = as_cells(table(), "flow", "middle_year")
    moved = found.loc[5]
    assert moved["period_start"] == pd.Timestamp("2003-01-01")
    assert moved["period_end"] == pd.Timestamp("2004-01-01")
    assert moved["value"] == 5000.0
    assert spans(found)[5] == pytest.approx(5.0)
    assert middles_of_years(found).tolist() == [False] * 5 + [True, False, False]


def test_parts_of_a_year_are_taken_as_before() -> None:
    found = as_cells(table(), "flow", "middle_year")
    assert spans(found)[7] == pytest.approx(181 / 365)
    assert found.loc[7, "period_end"] == pd.Timestamp("2004-01-01")


@pytest.mark.parametrize("period", ["shortest", "year"])
def test_otherwise_the_years_are_left_as_they_are(period: Any) -> None:  # noqa: ANN401
    found = as_cells(table(), "flow", period)
    assert found.loc[5, "period_start"] == pd.Timestamp("2000-07-01")


def test_totals_and_groupings_of_several_years_remain_sums() -> None:
    total = {"measure": "immigration", "origin": None}
    group = row("2002-01-01", "2004-01-01", 9.0, origin="EU27_2020")
    found = as_cells(
        table(*rows(), row("2002-01-01", "2004-01-01", 9.0) | total, group), "flow", "middle_year"
    )
    assert (found.loc[[8, 9], "period_end"] == pd.Timestamp("2004-01-01")).all()


def test_the_prior_expects_so_many_times_the_middle_year_less_the_transition() -> None:
    found = problem()
    assert found.totals is None
    names = found.effects.names
    assert {"middle_of_years[stocks]", "census_transition", "criterion_birth[stocks]"} <= set(names)
    long = np.flatnonzero(found.reports.span > 2.0)
    year = np.flatnonzero((found.reports.source == "office") & (found.reports.span == 1.0))[0]
    assert found.reports.period[long].tolist() == [1]
    # Five years, -.4 for who moved again, -.03 for who is missed by a census.
    at = found.effects.report == long[0]
    by_name = dict(
        zip(
            [names[k] for k in found.effects.index[at]], found.effects.value[at].tolist(),
            strict=True,
        )
    )  # fmt: skip
    assert by_name["middle_of_years[stocks]"] == pytest.approx(np.log(5.0))
    gap = found.prior_mean[long[0]] - found.prior_mean[year]
    assert gap == pytest.approx(np.log(5.0) - 0.4 - 0.03, abs=0.01)


def test_the_run_says_how_many_flows_were_taken_by_their_middle() -> None:
    notes = prepared().notes
    assert "1 flows over several years were taken as of the year in the middle" in notes
    years = prepared(*rows()[:5], *rows()[6:], period="year").notes
    assert not any("in the middle" in note for note in years)


def test_a_middle_outside_the_model_is_refused() -> None:
    early = row("1990-07-01", "1995-07-01", 5000.0, **STOCKS)
    with pytest.raises(InputError, match="period from 1993-01-01"):
        problem(*rows()[:5], early)
