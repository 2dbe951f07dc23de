"""The arithmetic of the benchmark of searches, on figures that are made up."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flowcast.config import read_model


@pytest.fixture
def bench(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.search_index")


@pytest.fixture
def case() -> SimpleNamespace:
    years = range(2010, 2016)
    survey = pd.DataFrame({"year": years, "value": [1e3, 2e3, 4e3, 4e3, 8e3, 9e3]})
    index = pd.Series([10.0, 20.0, 30.0, 40.0], index=[2012, 2013, 2014, 2015])
    errors = survey["value"] * 0.1
    return SimpleNamespace(survey=survey.assign(standard_error=errors), index=index)


def test_the_index_is_the_mean_over_terms_and_whole_years(bench: ModuleType) -> None:
    months = [f"2012-{m:02d}" for m in range(1, 13)] + ["2013-01"]
    monthly = pd.DataFrame(
        {"Date": months, "jobs": 4, "rent": [0] * 6 + [8] * 6 + [99], "sport": 7}
    )
    clusters = pd.DataFrame(
        {"keyword": ["jobs", "rent", "sport"], "cluster": ["employment", "housing", "control"]}
    )
    assert bench.yearly_index(monthly, clusters).to_dict() == {2012: 4.0}


def test_half_widths_in_thousands_become_standard_errors_in_persons(bench: ModuleType) -> None:
    frame = {"year": [2019], "ips_thousand": [32.6], "ips_ci95_halfwidth_thousand": [1.959964]}
    found = bench.in_persons(pd.DataFrame(frame)).iloc[0]
    assert found["value"] == pytest.approx(32_600.0)
    assert found["standard_error"] == pytest.approx(1_000.0, rel=1e-6)


def test_nothing_of_the_year_is_known_but_its_index(
    bench: ModuleType, case: SimpleNamespace
) -> None:
    table = bench.known_before(case, 2014, with_index=True).table
    year = table["period_start"].dt.year
    assert year[table["source"] == "ips"].tolist() == [2010, 2011, 2012, 2013]
    assert year[table["source"] == "searches"].tolist() == [2012, 2013, 2014]
    assert set(table.loc[table["source"] == "searches", "measure"]) == {"index"}
    without = bench.known_before(case, 2014, with_index=False).table
    assert (without["source"] == "searches").sum() == 1


def test_the_sampling_error_to_come_is_guessed_from_years_before(
    bench: ModuleType, case: SimpleNamespace
) -> None:
    survey = case.survey.assign(standard_error=[1.0, 200.0, 400.0, 1200.0, 800.0, 1e9])
    row = bench.to_predict(survey, 2015).table.iloc[0]
    assert np.isnan(row["standard_error"])
    assert row["sample_size"] == pytest.approx(100.0)
    assert row["value"] == 9e3


def test_a_covariate_ends_with_the_year_that_is_forecast(
    bench: ModuleType, case: SimpleNamespace, tmp_path: Path
) -> None:
    table = pd.read_csv(bench.corridor_file(case.index, 2013, tmp_path))
    assert table[["origin", "year", "searches"]].to_numpy().tolist() == [
        ["RO", 2012, 10.0], ["RO", 2013, 20.0], ["GB", 2012, 10.0], ["GB", 2013, 20.0]
    ]  # fmt: skip


def test_persistence_has_the_spread_of_past_changes(bench: ModuleType) -> None:
    survey = pd.DataFrame({"year": [1, 2, 3, 4], "value": [1.0, np.e, 1.0, 50.0]})
    logs = np.log(bench.persistence(survey, 4))
    assert np.median(logs) == pytest.approx(0.0, abs=1e-9)
    assert logs.std() == pytest.approx(1.0, abs=0.01)


def test_scores_of_one_forecast(bench: ModuleType) -> None:
    found = bench.score(np.linspace(0.0, 100.0, 101)[:, None], 50.0)
    assert (found["in80"], found["in95"], found["error"]) == (1.0, 1.0, 0.0)
    assert (found["low"], found["median"], found["high"]) == (10.0, 50.0, 90.0)
    assert found["interval_80"] == pytest.approx(80.0)
    assert bench.score(np.linspace(0.0, 100.0, 101)[:, None], 99.0)["in95"] == 0.0


def test_variants_are_compared_year_by_year(bench: ModuleType) -> None:
    rows = [(1, "a", 0.3), (2, "a", 0.5), (1, "b", 0.1), (2, "b", 0.5)]
    scores = pd.DataFrame(rows, columns=["year", "variant", "crps_log"])
    assert bench.compare(scores, "b", "a") == (
        "b minus a, crps_log: -0.100 (standard error 0.100), better in 1 of 2 years"
    )


def test_every_variant_is_a_model(bench: ModuleType) -> None:
    for changes in bench.VARIANTS.values():
        assert read_model(bench.MODEL, changes).name == "search_index"
