"""How reports of each family become reports on the model's cells: channels, errors, floors."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import family_problem, family_rows, family_spec

from flowcast.config import validate_model
from flowcast.errors import Fault, InputError
from flowcast.model.cells import as_cells
from flowcast.model.grid import Grid, build_grid
from flowcast.model.hyper import draw_hyper, vector_priors
from flowcast.model.problem import Problem, build_problem, share_positions
from flowcast.model.process import build_covariates
from flowcast.model.reports import (
    CHANNELS,
    COUNTED,
    RELATIVE,
    SAMPLED,
    Reports,
    build_reports,
    channel_of,
    sampling_variance,
    usable_rows,
)
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.trees import build_evidence

ROW: dict[str, Any] = {"source": "reg", "family": "administrative", "measure": "flow"}
ROW |= {"origin": "DE", "destination": "FR", "year": 2020, "value": 100, "reporter": "destination"}
LFS = {"source": "lfs", "family": "survey"}
META = {"source": "meta", "family": "digital", "reporter": "other"}
SEARCH = {"source": "search", "family": "digital", "reporter": "other", "measure": "index"}
CENSUS = {"source": "census", "family": "census"}


def observed(*changes: dict[str, Any]) -> pd.DataFrame:
    return observations_from_frame(pd.DataFrame([ROW | change for change in changes])).table


def grid_of(table: pd.DataFrame, *places: str) -> Grid:
    return build_grid(table, places or ("AT", "DE", "FR"), codes="alpha2", name="reports.csv")


def reports_of(*changes: dict[str, Any], quantity: Any = "flow", **rest: Any) -> Reports:  # noqa: ANN401
    """Return the reports of one row each, in the order given."""
    table = as_cells(observed(*changes), quantity)
    reports = build_reports(table, grid_of(table), quantity=quantity, **rest)
    return reports.take(np.argsort(reports.row))


def faults(*changes: dict[str, Any], quantity: Any = "flow") -> dict[str | None, Fault]:  # noqa: ANN401
    """Return what is refused, by column."""
    table = observed(*changes)
    measured = as_cells(table[table["measure"].isin(["flow", "stock"])], quantity)
    with pytest.raises(InputError) as caught:
        usable_rows(table, grid_of(measured), "reports.csv", quantity=quantity)
    return {fault.column: fault for fault in caught.value.faults}


# --- channels ------------------------------------------------------------------------------------


def test_flows_are_seen_through_the_side_or_the_family() -> None:
    table = observed({}, {"reporter": "origin"}, CENSUS, LFS, META, SEARCH)
    wanted = ["immigration", "emigration", "census", "survey", "digital", "index"]
    assert channel_of(table).tolist() == wanted
    assert set(wanted) == {*CHANNELS} - {"register"}


def test_stocks_are_seen_by_registers_not_by_sides() -> None:
    stock = {"measure": "stock"}
    table = observed(stock, stock | CENSUS, stock | LFS, stock | META, SEARCH)
    wanted = ["register", "census", "survey", "digital", "index"]
    assert channel_of(table, "stock").tolist() == wanted


def test_an_index_is_one_whoever_publishes_it() -> None:
    index = {"measure": "index", "reporter": "other"}
    table = observed({"source": "a"} | index, {"source": "b", "family": "survey"} | index)
    assert channel_of(table).tolist() == ["index", "index"]


def test_names_of_effects_and_noise_by_family() -> None:
    reports = reports_of(
        {"accuracy_class": "low"}, CENSUS, LFS | {"reporter": "origin"}, META, SEARCH
    )
    assert reports.side.tolist() == ["immigration", "census", "survey", "digital", "index"]
    assert reports.unit.tolist() == [
        "immigration:reg:FR",
        "census:census:FR",
        "survey:lfs:DE",
        "digital:meta:meta",
        "index:search:search",
    ]
    assert reports.series.tolist() == [u.rsplit(":", 1)[0] for u in reports.unit]
    assert reports.noise.tolist() == [
        "immigration_low",
        "census:FR",
        "survey:DE",
        "digital:meta",
        "index:search",
    ]
    assert reports.graded.tolist() == [True, False, False, False, False]
    assert reports.reading.tolist() == [COUNTED] * 4 + [RELATIVE]
    assert reports.family.tolist() == ["administrative", "census", "survey", "digital", "digital"]


def test_a_count_by_citizenship_has_effects_of_its_own() -> None:
    reports = reports_of(
        CENSUS, CENSUS | {"criterion": "citizenship"}, META | {"criterion": "birth"}
    )
    assert reports.unit.tolist() == [
        "census:census:FR",
        "census:census~citizenship:FR",
        "digital:meta~birth:meta~birth",
    ]
    assert reports.series.tolist()[1:] == ["census:census~citizenship", "digital:meta~birth"]
    assert reports.criterion.tolist() == ["residence", "citizenship", "birth"]
    assert reports.source.tolist() == ["census", "census", "meta"]


def test_only_administrative_flows_have_a_share_reported() -> None:
    problem = family_problem()
    assert {s.split("_")[0] for s in problem.labels["share_class"]} == {"immigration", "emigration"}
    none = len(problem.labels["share_class"])
    administrative = problem.reports.family == "administrative"
    assert (problem.share_index[administrative] < none).all()
    assert (problem.share_index[~administrative] == none).all()
    assert family_problem(quantity="stock").labels["share_class"] == ()


def test_positions_of_shares_end_with_that_of_none() -> None:
    share = np.array(["b", "survey_unknown", "a"], dtype=object)
    assert share_positions(("a", "b"), share).tolist() == [1, 2, 0]
    assert share_positions((), share).tolist() == [0, 0, 0]


# --- how a value is read -------------------------------------------------------------------------


def test_sampling_errors_are_relative() -> None:
    reports = reports_of(
        LFS | {"standard_error": 25},
        LFS | {"sample_size": 60, "reporter": "origin"},
        LFS | {"source": "both", "standard_error": 10, "sample_size": 1},
        LFS | {"source": "none"},
        LFS | {"source": "nought", "value": 0, "standard_error": 25},
        LFS | {"source": "few", "value": 5, "standard_error": 25},
        design_effect=1.5,
    )
    wanted = [0.25**2, 1.5 / 60, 0.1**2, 0.0, 1.0, 1.0]
    np.testing.assert_allclose(reports.sampling, wanted)
    assert reports.reading.tolist() == [SAMPLED] * 3 + [COUNTED] + [SAMPLED] * 2


def test_a_design_effect_is_for_sample_sizes_only() -> None:
    table = observed(LFS | {"standard_error": 25}, LFS | {"sample_size": 60, "reporter": "origin"})
    simple, clustered = (sampling_variance(table, f) for f in (1.0, 3.0))
    np.testing.assert_allclose(clustered / simple, [1.0, 3.0])


def test_the_design_effect_of_the_model_is_what_reports_have() -> None:
    problem = family_problem(design_effect=2.5)
    by_size = problem.reports.sampling[np.isclose(problem.reports.sampling, 2.5 / 300)]
    by_error = problem.reports.sampling[np.isclose(problem.reports.sampling, 0.1**2)]
    assert by_size.size == by_error.size == 12


def test_an_index_has_no_sampling_error_of_persons() -> None:
    reports = reports_of(SEARCH | {"standard_error": 5, "value": 40})
    assert reports.sampling.tolist() == [0.0]
    assert reports.reading.tolist() == [RELATIVE]


def test_a_figure_at_its_floor_or_below_is_hidden() -> None:
    reports = reports_of(
        *(
            META | {"source": f"m{v}", "value": v, "censored_below": 1000}
            for v in (0, 999, 1000, 1001)
        ),
        META | {"value": 0},
    )
    assert reports.floor.tolist() == [1000.0] * 4 + [0.0]
    assert reports.censored.tolist() == [True, True, True, False, False]


def test_spans_are_in_years() -> None:
    dates = {"period_start": "2015-01-01", "period_end": "2020-01-01"}
    row = {k: v for k, v in ROW.items() if k != "year"}
    table = observations_from_frame(pd.DataFrame([row | dates | CENSUS])).table
    assert build_reports(table, grid_of(table)).span.tolist() == [5.0]
    assert reports_of({}).span.tolist() == [1.0]


# --- stocks --------------------------------------------------------------------------------------


def test_stocks_are_dated_by_the_year_of_their_day() -> None:
    days = ["2019-01-01", "2019-07-01", "2020-12-31"]
    row = {k: v for k, v in ROW.items() if k != "year"} | {"measure": "stock"}
    ends = pd.to_datetime(days) + pd.Timedelta(days=1)
    frame = pd.DataFrame([row] * 3).assign(period_start=days, period_end=ends.astype(str))
    table = observations_from_frame(frame).table
    found = as_cells(table, "stock")
    assert found["measure"].tolist() == ["flow"] * 3
    assert found["period_start"].dt.strftime("%Y-%m-%d").tolist() == [
        "2019-01-01",
        "2019-01-01",
        "2020-01-01",
    ]
    assert (found["period_end"].dt.year - found["period_start"].dt.year == 1).all()
    assert (found["period_end"].dt.day_of_year == 1).all()
    assert found["period_start"].dtype == table["period_start"].dtype
    pd.testing.assert_frame_equal(as_cells(table, "flow"), table)
    # Two days of a year are two reports of a cell; neither is a vintage of the other.
    used = usable_rows(table, grid_of(found), "x", quantity="stock")
    assert used.tolist() == [True, True, True]


def test_a_newer_vintage_of_a_stock_replaces_the_older() -> None:
    stock = {"measure": "stock"}
    table = observed(
        stock | {"vintage": "2022-01-01"}, stock | {"vintage": "2023-01-01", "value": 120}
    )
    used = usable_rows(table, grid_of(as_cells(table, "stock")), "x", quantity="stock")
    assert used.tolist() == [False, True]


def test_models_of_stocks_have_no_durations_and_the_spreads_of_their_channels() -> None:
    flow, stock = family_problem(), family_problem(quantity="stock")
    assert (flow.parts.duration, stock.parts.duration) == (True, False)
    assert flow.sides == ("immigration", "emigration", "census", "survey", "digital", "index")
    assert stock.sides == ("register", "census", "survey", "digital", "index")
    for problem in (flow, stock):
        hyper = draw_hyper(problem, np.random.default_rng(1))
        assert ("duration_increment" in hyper) == (problem is flow)
        assert hyper["sd_reporter"].shape == (len(problem.sides),)
        assert vector_priors(problem)["sd_reporter"][1] == problem.sides


@pytest.mark.parametrize("reporter", ["origin", "destination"])
def test_one_side_of_a_register_brings_the_other(reporter: str) -> None:
    rows = family_rows()
    of_side = (rows["family"] == "administrative") & (rows["reporter"] == reporter)
    table = observations_from_frame(rows[of_side]).table
    grid = grid_of(table, "AT", "BE", "DE", "FR", "PL")
    spec = validate_model({"name": "a"}, "a")
    problem = build_problem(
        spec, grid, build_reports(table, grid), build_covariates(spec, None, grid)
    )
    assert problem.sides == ("immigration", "emigration")
    assert not problem.effects.names


# --- what is refused -----------------------------------------------------------------------------


def test_flows_refuse_stocks_estimates_and_registers_of_nobody() -> None:
    told = faults(
        {}, {"measure": "stock"}, {"family": "estimate", "year": 2021}, {"reporter": "other"}
    )
    assert told["measure"].found == "1 rows with 'stock'"
    assert told["family"].found == "1 rows with 'estimate'"
    assert told["family"].allowed == "administrative, census, survey, digital"
    assert told["reporter"].found == "administrative flows by reporter 'other'"


def test_stocks_refuse_flows_but_not_registers_of_a_third() -> None:
    told = faults({}, {"measure": "stock", "reporter": "other"}, quantity="stock")
    assert set(told) == {"measure"}
    assert told["measure"].found == "1 rows with 'flow'"
    assert told["measure"].allowed == "stock, index"


def test_one_age_and_sex_in_a_model() -> None:
    told = faults({"age": "20-24", "sex": "F"}, {"sex": "M", "year": 2021})
    assert told["age"].found == "several groups by age: all, 20-24"
    assert told["sex"].found == "several groups by sex: F, M"
    table = observed({"age": "20-24"}, {"age": "20-24", "year": 2021})
    assert usable_rows(table, grid_of(table), "x").all()


@pytest.mark.parametrize(
    "change",
    [
        SEARCH | {"origin": None},
        META | {"origin": None, "censored_below": 1000},
        META | {"origin": "benelux", "censored_below": 1000},
    ],
)
def test_indices_and_floors_of_sums_are_refused_with_their_row(change: dict[str, Any]) -> None:
    table = observed({}, {"destination": "AT"}, change | {"reporter": "destination"})
    with pytest.raises(InputError) as caught:
        usable_rows(table, grid_of(table), "reports.csv", outside="ignore")
    told = {f.row: f.found for f in caught.value.faults if "sum of cells" in f.found}
    assert told == {4: "an index or a figure with a floor that is a sum of cells"}


def test_the_same_figure_by_another_criterion_is_no_older_vintage() -> None:
    table = observed(
        {"vintage": "2022-01-01"},
        {"vintage": "2023-01-01"},
        {"vintage": "2021-01-01", "criterion": "citizenship"},
    )
    assert usable_rows(table, grid_of(table), "x").tolist() == [False, True, True]


# --- evidence ------------------------------------------------------------------------------------


def prepared(*changes: dict[str, Any], quantity: str = "flow") -> Problem:
    data = observations_from_frame(pd.DataFrame([ROW | change for change in changes]))
    raw = {"name": "a", "quantity": quantity, "measurement": {"places_outside": "ignore"}}
    return prepare(Inputs(validate_model(raw, "a"), data, None, {})).problem


def evidence(problem: Problem) -> dict[tuple[str, str], str]:
    """Return the words of the first period, by origin and destination."""
    grid, words = problem.grid, build_evidence(problem)
    pairs = zip(grid.origin_code, grid.destination_code, strict=True)
    return dict(zip(pairs, words[:, 0].tolist(), strict=True))


def test_a_cell_names_every_family_that_reports_it() -> None:
    total = {"measure": "immigration", "origin": None, "destination": "AT"}
    found = evidence(
        prepared(
            {},
            {"reporter": "origin"},
            LFS,
            META,
            SEARCH,
            CENSUS | {"origin": "AT"},
            LFS | {"origin": "FR", "destination": "DE", "reporter": "origin"},
            total,
            META | {"origin": "DE", "destination": "AT"},
        )
    )
    assert found == {
        ("DE", "FR"): "both_reports+survey+digital+index",
        ("AT", "FR"): "census",
        ("FR", "DE"): "survey",
        ("AT", "DE"): "none",
        ("FR", "AT"): "total",
        ("DE", "AT"): "digital+total",
    }


def test_evidence_of_stocks_is_a_register_whichever_side_counts() -> None:
    stock = {"measure": "stock"}
    problem = prepared(
        stock, stock | {"reporter": "origin"}, stock | LFS | {"origin": "AT"}, quantity="stock"
    )
    found = evidence(problem)
    assert found["DE", "FR"] == "register"
    assert found["AT", "FR"] == "survey"


def test_the_family_rows_have_every_channel() -> None:
    for quantity, first in (("flow", "immigration"), ("stock", "register")):
        sides = set(family_problem(quantity=quantity).reports.side)
        assert sides >= {first, "census", "survey", "digital", "index"}
    assert family_spec("stock").quantity == "stock"
