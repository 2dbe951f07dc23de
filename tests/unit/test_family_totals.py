"""Sums of cells by surveys and censuses: sampling errors, transitions, biases, details."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import laplace_posterior

from flowcast.config import ModelSpec, validate_model
from flowcast.errors import InputError
from flowcast.model.hyper import draw_hyper
from flowcast.model.latent import draw_latent
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites, update_sites
from flowcast.model.totals import condition_on_totals, draw_totals
from flowcast.model.totals_measure import add_up
from flowcast.model.totals_rows import Totals
from flowcast.model.totals_state import build_frame, entry_offset
from flowcast.observations import observations_from_frame
from flowcast.prediction import draw_reports
from flowcast.preparation import Inputs, prepare

FLOW: dict[str, Any] = {"source": "reg", "family": "administrative", "measure": "flow"}
FLOW |= {"reporter": "destination", "value": 100.0}
LFS = {"source": "lfs", "family": "survey"}
CENSUS = {"source": "census", "family": "census"}
INTO = {"measure": "immigration", "origin": None}
CODES = ("AT", "DE", "FR")


def span(first: int, last: int | None = None) -> dict[str, str]:
    """Return the dates of a calendar year, or of several."""
    return {"period_start": f"{first}-01-01", "period_end": f"{(last or first) + 1}-01-01"}


def registers(*years: int) -> list[dict[str, Any]]:
    """Return what a register says of flows among three places, but for those from FR to DE."""
    return [
        FLOW | {"origin": o, "destination": d} | span(year)
        for year in years or (2020,)
        for o in CODES
        for d in CODES
        if o != d and (o, d) != ("FR", "DE")
    ]


def spec_of(quantity: str = "flow", **measurement: object) -> ModelSpec:
    given = {"places_outside": "ignore"} | measurement
    return validate_model({"name": "a", "quantity": quantity, "measurement": given}, "a")


def problem_of(*rows: dict[str, Any], spec: ModelSpec | None = None) -> Problem:
    data = observations_from_frame(pd.DataFrame(list(rows)), name="reports.csv")
    return prepare(Inputs(spec or spec_of(), data, None, {})).problem


def totals_of(problem: Problem) -> Totals:
    assert problem.totals is not None
    return problem.totals


def survey_total(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return FLOW | LFS | INTO | span(2020) | {"destination": "DE", "value": 400.0} | changes


# --- surveys -------------------------------------------------------------------------------------


def test_a_surveys_total_has_its_sampling_error_and_its_reporters_bias() -> None:
    problem = problem_of(*registers(), survey_total(standard_error=80))
    totals, entries = totals_of(problem), totals_of(problem).entries
    np.testing.assert_allclose(totals.sampling, [0.2**2])
    assert set(entries.side) == {"survey"}
    assert set(entries.unit) == {"survey:lfs:DE"}
    assert set(entries.series) == {"survey:lfs"}
    assert set(entries.source) == {"lfs"}
    assert set(entries.family) == {"survey"}
    assert set(entries.criterion) == {"residence"}
    assert entries.sampling.tolist() == [0.0, 0.0]
    assert entries.span.tolist() == [1.0, 1.0]
    assert problem.sides == ("immigration", "emigration", "survey")
    assert problem.total_effects.names == ("bias_survey[lfs]",)


def test_a_sample_size_has_the_design_effect_of_the_model() -> None:
    spec = spec_of(design_effect=3.0)
    problem = problem_of(*registers(), survey_total(sample_size=120), spec=spec)
    np.testing.assert_allclose(totals_of(problem).sampling, [3.0 / 120])
    none = problem_of(*registers(), survey_total(), spec=spec)
    assert totals_of(none).sampling.tolist() == [0.0]


def test_what_details_leave_of_a_total_has_the_error_of_the_whole() -> None:
    detail = FLOW | LFS | span(2020) | {"origin": "AT", "destination": "DE", "value": 300.0}
    problem = problem_of(*registers(), detail, survey_total(standard_error=80))
    totals = totals_of(problem)
    assert totals.value.tolist() == [100.0]
    np.testing.assert_allclose(totals.sampling, [0.8**2])
    nearly_all = detail | {"value": 395.0}
    problem = problem_of(*registers(), nearly_all, survey_total(standard_error=80))
    assert totals_of(problem).value.tolist() == [5.0]
    np.testing.assert_allclose(totals_of(problem).sampling, [1.0])


def test_the_bias_of_a_source_moves_its_totals() -> None:
    spec = spec_of(bias_survey={"normal": [-0.3, 0.1]})
    problem = problem_of(*registers(), survey_total(standard_error=80), spec=spec)
    frame = build_frame(problem)
    np.testing.assert_allclose(frame.fixed, -0.3)
    hyper = dict(draw_hyper(problem, np.random.default_rng(1)))
    # No share reported: that is for registers.
    np.testing.assert_allclose(entry_offset(frame, hyper), -0.3)


def test_details_of_another_criterion_are_no_details() -> None:
    detail = FLOW | LFS | span(2020) | {"origin": "AT", "destination": "DE", "value": 300.0}
    whole = survey_total(standard_error=80, criterion="citizenship")
    problem = problem_of(*registers(), detail, whole)
    assert totals_of(problem).value.tolist() == [400.0]
    assert set(totals_of(problem).entries.unit) == {"survey:lfs~citizenship:DE"}
    assert set(totals_of(problem).entries.series) == {"survey:lfs~citizenship"}
    assert set(problem.total_effects.names) == {"bias_survey[lfs]", "criterion_citizenship[lfs]"}


@pytest.mark.parametrize("criterion", ["residence", "citizenship"])
def test_totals_of_a_source_without_a_reporting_place_know_its_details(criterion: str) -> None:
    meta = {"source": "meta", "family": "digital", "reporter": "other", "criterion": criterion}
    detail = FLOW | meta | span(2020) | {"origin": "AT", "destination": "DE", "value": 30.0}
    whole = FLOW | INTO | span(2020) | {"destination": "DE", "value": 90.0} | meta
    problem = problem_of(*registers(), detail, whole)
    totals, reports = totals_of(problem), problem.reports
    assert totals.value.tolist() == [60.0]
    assert set(totals.entries.unit) == set(reports.unit[reports.side == "digital"])


# --- censuses ------------------------------------------------------------------------------------


def census_of(first: int, last: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    ends = {"origin": "FR", "destination": "DE", "value": 350.0}
    return FLOW | CENSUS | span(first, last) | ends | changes


def test_a_transition_of_five_years_is_a_sum_of_five_yearly_cells() -> None:
    problem = problem_of(*registers(*range(2015, 2020)), census_of(2015, 2019))
    totals, effects = totals_of(problem), problem.total_effects
    entries = totals.entries
    assert problem.grid.n_period == 5
    assert entries.period.tolist() == [0, 1, 2, 3, 4]
    assert len(set(entries.corridor)) == 1
    assert entries.span.tolist() == [5.0] * 5
    assert effects.names == ("bias_census[census]", "census_transition")
    np.testing.assert_allclose(effects.value, 1.0)
    np.testing.assert_array_equal(np.bincount(effects.index), 5)
    # Once for the whole sum: each of its cells has the same factor.
    np.testing.assert_allclose(build_frame(problem).fixed, -0.4 - 0.03)


def test_a_question_of_one_year_is_no_detail_of_one_of_five() -> None:
    """Who moved in the last year is counted in either, but the difference is no count of others."""
    years = registers(*range(2015, 2020))
    whole, one = census_of(2015, 2019, value=900.0) | INTO, census_of(2019, 2019, value=90.0)
    totals = totals_of(problem_of(*years, whole, one))
    assert totals.value.tolist() == [900.0]
    assert totals.entries.corridor.size == 10
    assert all(not d.details for d in totals.details)
    # A register's five years, in contrast, are the sum of its years.
    whole = FLOW | span(2015, 2019) | INTO | {"destination": "DE", "value": 900.0}
    assert totals_of(problem_of(*years, whole)).value.tolist() == [400.0]


def test_transitions_of_one_span_are_details_of_their_sum() -> None:
    years = registers(*range(2015, 2020))
    whole = census_of(2015, 2019, value=900.0) | INTO
    problem = problem_of(*years, whole, census_of(2015, 2019))
    totals = totals_of(problem)
    assert sorted(totals.value.tolist()) == [350.0, 550.0]
    rest = totals.entries.corridor[totals.entry_part == np.argmax(totals.value)]
    assert set(problem.grid.origin_code[rest]) == {"AT"}


# --- stocks --------------------------------------------------------------------------------------


def test_a_total_of_stocks_is_the_stocks_from_everywhere() -> None:
    rows = [row | {"measure": "stock"} for row in registers()]
    whole = FLOW | span(2020) | {"measure": "stock", "origin": None, "destination": "DE"}
    problem = problem_of(*rows, whole | {"value": 250.0}, spec=spec_of("stock"))
    totals = totals_of(problem)
    # Less the stock from AT, which the same register counts by itself.
    assert totals.value.tolist() == [150.0]
    assert set(totals.entries.side) == {"register"}
    assert set(totals.entries.unit) == {"register:reg:DE"}
    assert problem.total_effects.names == ("bias_register[reg]",)
    with pytest.raises(InputError, match="found 1 rows with 'immigration'"):
        problem_of(*rows, whole | INTO, spec=spec_of("stock"))


# --- draws ---------------------------------------------------------------------------------------


def quiet(problem: Problem) -> dict[str, Any]:
    hyper = dict(draw_hyper(problem, np.random.default_rng(3)))
    return hyper | {"sd_noise_total": 1e-4}


def seen_by(problem: Problem, hyper: Mapping[str, Any]) -> np.ndarray:
    """Return figures drawn for the only total again and again, over what it is expected to be."""
    sites, rng = initial_sites(problem), np.random.default_rng(5)
    sites = update_sites(problem, hyper, sites)
    flow, coefficient = draw_latent(problem, hyper, sites, rng)
    flow = np.where(problem.grid.exists, np.log(1e6), flow)
    frame, totals = build_frame(problem), totals_of(problem)
    cells = flow[frame.corridors.corridor].ravel()
    deviation = coefficient - problem.coefficients.mean
    entries = frame.select @ cells + frame.unit @ deviation + entry_offset(frame, hyper)
    expected = np.exp(add_up(totals, entries))[0]
    draws = [draw_totals(problem, hyper, sites, flow, coefficient, rng)[0] for _ in range(600)]
    return np.array(draws) / expected


@pytest.mark.parametrize("error", [None, 80.0])
def test_figures_drawn_for_a_survey_scatter_by_its_sampling_error(error: float | None) -> None:
    spec = spec_of(corridor_report_effects=False)
    problem = problem_of(*registers(), survey_total(standard_error=error), spec=spec)
    ratio = seen_by(problem, quiet(problem))
    sd = 0.2 if error else 1e-3
    # Log-normal noise: the mean is half a variance above the median.
    assert np.mean(ratio) == pytest.approx(np.exp(0.5 * sd**2), abs=4 * sd / np.sqrt(600))
    assert np.std(np.log(ratio)) == pytest.approx(sd, rel=0.15)


def test_figures_drawn_for_a_transition_have_its_ratio() -> None:
    """Five cells of a million moves each, at a bias that is known."""
    spec = spec_of(
        corridor_report_effects=False,
        reporter_effects=False,
        reporter_period_effects=False,
        duration=False,
        census_transition={"normal": [-0.5, 1e-6]},
        bias_census={"normal": [0.1, 1e-6]},
    )
    problem = problem_of(*registers(*range(2015, 2020)), census_of(2015, 2019), spec=spec)
    hyper = quiet(problem)
    ratio = seen_by(problem, hyper)
    assert np.mean(ratio) == pytest.approx(1.0, abs=1e-3)
    frame = build_frame(problem)
    total = np.exp(entry_offset(frame, hyper)).sum() * 1e6
    assert total == pytest.approx(5e6 * np.exp(-0.4), rel=1e-6)


def test_a_precise_survey_moves_the_flows_more_than_a_small_one() -> None:
    spread = {}
    for size in (30, 30_000):
        known = {"bias_survey": {"normal": [0, 0.01]}, "corridor_report_effects": False}
        spec = spec_of(**known, reporter_effects=False, reporter_period_effects=False)
        problem = problem_of(*registers(), survey_total(sample_size=size), spec=spec)
        hyper = dict(draw_hyper(problem, np.random.default_rng(3))) | {"sd_noise_total": 0.02}
        sites, rng = initial_sites(problem), np.random.default_rng(1)
        held = []
        for _ in range(60):
            draw = draw_latent(problem, hyper, sites, rng)
            held.append(condition_on_totals(problem, hyper, sites, *draw, rng)[0])
        grid = problem.grid
        cell = (grid.origin_code == "FR") & (grid.destination_code == "DE")
        spread[size] = np.std([flow[cell] for flow in held])
    assert spread[30_000] < 0.8 * spread[30]


def test_totals_of_surveys_are_predicted_with_their_error() -> None:
    problem = problem_of(*registers(), survey_total(standard_error=80))
    posterior = laplace_posterior(problem, n_draws=150)

    def drawn(error: float) -> np.ndarray:
        given = observations_from_frame(
            pd.DataFrame([survey_total(standard_error=error)]), name="new"
        )
        row, count = draw_reports(posterior, given, seed=2)
        assert row.tolist() == [0]
        return count[:, 0]

    # The error is one in persons around the prediction: the figure itself is not looked at.
    moved = drawn(40.0) - drawn(1.0)
    assert np.std(moved) == pytest.approx(39.0, rel=0.15)
    assert abs(np.mean(moved)) < 12.0
    assert drawn(1e6).min() == 0.0
