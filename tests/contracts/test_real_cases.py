"""Real cases read into the observation contract: counts known from their provenance files."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowcast.errors import InputError
from flowcast.observations import Observations, observations_from_frame
from flowcast.preparation import collect_inputs, prepare
from flowcast.vocabulary import OBSERVATION_COLUMNS


@pytest.fixture(scope="module")
def cases(repository: Path, shared: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        patch.setenv("FLOWCAST_SHARED", str(shared))
        yield import_module("benchmarks.cases")


@pytest.fixture(scope="module")
def imem31(cases: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401
    return cases.read_imem31(tmp_path_factory.mktemp("imem31"))


@pytest.fixture(scope="module")
def double_entry(shared: Path) -> pd.DataFrame:
    """Return both reporters' figures of 2007 and 2008, when all 43 reporters existed."""
    file = shared / "data" / "flows" / "un_flows_2015" / "double_entry_both_reporters.csv.gz"
    frame = pd.read_csv(file, keep_default_na=False, na_values=[""])
    assert len(frame) == 32_312
    return frame


def long_form(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a report in the observation contract."""
    sides = {"destination": "imm_reported_by_dest", "origin": "emi_reported_by_orig"}
    parts = [
        frame[["orig", "dest", "year"]].assign(reporter=side, value=frame[column])
        for side, column in sides.items()
    ]
    table = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    return table.rename(columns={"orig": "origin", "dest": "destination"}).assign(
        source="un_flows_2015", family="administrative", measure="flow"
    )


# --- the 31-country case -------------------------------------------------------------------------


@pytest.mark.realdata
def test_the_31_country_case_has_all_its_reports(imem31: Any) -> None:  # noqa: ANN401
    observations: Observations = imem31.observations
    assert observations.n == 8142
    assert len(observations.places) == 31
    assert observations.sources == ("un_flows_2015",)
    assert observations.codes == "alpha2"
    assert observations.role == "fit"
    assert (observations.table["value"] == 0).sum() == 584
    assert {"GB", "GR"} <= set(observations.places)
    assert not {"UK", "EL"} & set(observations.places)


@pytest.mark.realdata
def test_its_country_pairs_have_both_one_or_no_report(imem31: Any) -> None:  # noqa: ANN401
    coverage = imem31.observations.coverage()
    assert coverage["period_start"].dt.year.tolist() == list(range(2002, 2009))
    assert coverage["n_pairs_both"].sum() == 2540
    assert coverage["n_pairs_one"].sum() == 3062
    # 31 x 30 ordered pairs over seven years.
    assert 31 * 30 * 7 - 2540 - 3062 == 908
    assert len(imem31.frame) == 6510


@pytest.mark.realdata
def test_every_report_is_the_figure_of_the_side_that_gave_it(imem31: Any) -> None:  # noqa: ANN401
    table = imem31.observations.table.assign(year=lambda t: t["period_start"].dt.year)
    frame = imem31.frame.rename(columns={"orig": "origin", "dest": "destination"})
    joined = table.merge(frame, on=["origin", "destination", "year"], validate="m:1")
    assert len(joined) == 8142
    arrived = joined["reporter"] == "destination"
    for column, immigration, emigration in (
        ("value", "imm_reported_by_dest", "emi_reported_by_orig"),
        ("duration_months", "dur_months_imm", "dur_months_emi"),
        ("undercount_class", "undercount_imm_expert_dest", "undercount_emi_expert_orig"),
    ):
        expected = joined[immigration].where(arrived, joined[emigration])
        pd.testing.assert_series_equal(
            joined[column], expected, check_names=False, check_dtype=False
        )


@pytest.mark.realdata
def test_published_estimates_never_enter_what_is_fitted(imem31: Any) -> None:  # noqa: ANN401
    published = [c for c in imem31.frame.columns if c.startswith("imem_")]
    assert len(published) == 5
    assert tuple(imem31.observations.table.columns) == OBSERVATION_COLUMNS
    assert imem31.observations.table["accuracy_class"].isna().all()
    for path in (imem31.places, imem31.corridors):
        assert "imem" not in path.read_text()[:500]
    used = {term.column for term in imem31.spec.process.covariates}
    assert not any("imem" in str(column) for column in used)


@pytest.mark.realdata
def test_a_changed_published_estimate_changes_no_report(
    cases: ModuleType,
    imem31: Any,  # noqa: ANN401
) -> None:
    frame = imem31.frame
    altered = frame.assign(**{c: -1.0 for c in frame.columns if c.startswith("imem_")})
    pd.testing.assert_frame_equal(cases.imem31_reports(frame), cases.imem31_reports(altered))


@pytest.mark.realdata
def test_the_case_becomes_a_problem_over_all_its_cells(imem31: Any) -> None:  # noqa: ANN401
    inputs = collect_inputs(imem31.spec, imem31.observations, imem31.places, imem31.corridors)
    problem = prepare(inputs).problem
    assert (problem.grid.n_corridor, problem.grid.n_period) == (930, 7)
    assert problem.reports.n == 8142
    assert problem.reports.value.sum() == imem31.observations.table["value"].sum()
    assert np.isfinite(problem.covariates.values).all()
    assert problem.grid.exists.all()


@pytest.mark.realdata
def test_a_fifth_is_held_out_and_may_not_be_fitted(imem31: Any) -> None:  # noqa: ANN401
    fit, held = imem31.observations.split(0.2, seed=2008)
    assert held.n == 1628  # a fifth of 8,142
    assert fit.n + held.n == 8142
    assert held.role == "held_out"
    keys = ["origin", "destination", "period_start", "reporter"]
    assert len(fit.table[keys].merge(held.table[keys])) == 0


# --- double entry, 43 reporters ------------------------------------------------------------------


@pytest.mark.realdata
def test_double_entries_of_two_years_read_into_the_contract(double_entry: pd.DataFrame) -> None:
    """Expected numbers counted with awk over the file."""
    frame = double_entry[double_entry["year"].between(2007, 2008)]
    assert len(frame) == 2939
    observations = observations_from_frame(long_form(frame), name="un_flows_2015")
    assert observations.codes == "alpha3"
    coverage = observations.coverage()
    assert coverage["n_by_destination"].sum() == 2067
    assert coverage["n_by_origin"].sum() == 2140
    assert coverage["n_pairs_both"].sum() == 1268
    assert coverage["n_pairs_one"].sum() == 2939 - 1268
    assert coverage["n_zero"].sum() == 374


@pytest.mark.realdata
def test_both_sides_of_a_pair_stay_apart_however_far(double_entry: pd.DataFrame) -> None:
    """The contract never corrects: a pair's two figures keep their ratio."""
    frame = double_entry[double_entry["year"] == 2008]
    table = observations_from_frame(long_form(frame)).table
    wide = table.pivot(index=["origin", "destination"], columns="reporter", values="value").dropna()
    source = frame.set_index(["orig", "dest"]).loc[list(wide.index)]
    np.testing.assert_array_equal(wide["destination"], source["imm_reported_by_dest"])
    np.testing.assert_array_equal(wide["origin"], source["emi_reported_by_orig"])
    assert (wide["destination"] != wide["origin"]).mean() > 0.9


@pytest.mark.realdata
def test_reports_of_countries_before_their_time_are_refused(double_entry: pd.DataFrame) -> None:
    frame = double_entry[double_entry["year"] == 1980]
    assert "ARM" in set(frame["orig"])
    with pytest.raises(InputError) as caught:
        observations_from_frame(long_form(frame))
    assert any("ARM" in fault.found for fault in caught.value.faults)
