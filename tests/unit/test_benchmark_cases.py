"""The benchmarks' own arithmetic, on tables small enough to be worked out by hand."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowcast.config import ModelSpec
from flowcast.observations import observations_from_frame


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_can_be_imported(repository: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield


@pytest.fixture
def cases() -> ModuleType:
    return import_module("benchmarks.cases")


@pytest.fixture
def imem31() -> ModuleType:
    return import_module("benchmarks.imem31")


def case_frame() -> pd.DataFrame:
    """Return two corridors of the 31-country case in its own columns, with made-up figures."""
    shared = {"year": 2005, "imem_median": 999.0, "contig": 1, "comlang_off": 0, "colony": 0}
    return pd.DataFrame(
        [
            {
                **shared,
                "orig": "EL",
                "dest": "UK",
                "imm_reported_by_dest": 70.0,
                "emi_reported_by_orig": np.nan,
                "dur_months_imm": 12.0,
                "dur_months_emi": 6.0,
                "undercount_imm_expert_dest": "low",
                "undercount_emi_expert_orig": "high",
                "dist": 2400.0,
                "pop_orig_th": 11_000.0,
                "gdppc_ppp_orig": 30_000.0,
            },
            {
                **shared,
                "orig": "UK",
                "dest": "EL",
                "imm_reported_by_dest": 5.0,
                "emi_reported_by_orig": 0.0,
                "dur_months_imm": 3.0,
                "dur_months_emi": 60.0,
                "undercount_imm_expert_dest": "high",
                "undercount_emi_expert_orig": "low",
                "dist": 2400.0,
                "pop_orig_th": 60_000.0,
                "gdppc_ppp_orig": 40_000.0,
            },
        ]
    )


# --- reading -------------------------------------------------------------------------------------


def test_each_given_report_becomes_a_row_with_its_own_definition(cases: ModuleType) -> None:
    found = cases.imem31_reports(case_frame())
    names = ["origin", "destination", "year", "value", "reporter", "duration_months"]
    rows = found[[*names, "undercount_class"]].itertuples(index=False, name=None)
    assert list(rows) == [
        ("EL", "UK", 2005, 70.0, "destination", 12.0, "low"),
        ("UK", "EL", 2005, 5.0, "destination", 3.0, "high"),
        ("UK", "EL", 2005, 0.0, "origin", 60.0, "low"),
    ]
    assert not any("imem" in column for column in found.columns)
    assert 999.0 not in found.select_dtypes("number").to_numpy()


def test_the_case_is_read_under_standard_codes(
    cases: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "elsewhere" / "data" / "flows" / "case_imem31_2002_2008"
    data.mkdir(parents=True)
    case_frame().to_csv(data / "case.csv.gz", index=False)
    monkeypatch.setenv("FLOWCAST_SHARED", str(tmp_path / "elsewhere"))
    out = tmp_path / "out"
    out.mkdir()
    case = cases.read_imem31(out)
    assert case.observations.places == ("GB", "GR")
    assert case.observations.n == 3
    places = pd.read_csv(case.places).set_index("place")
    assert places.loc["GB", "population_th"] == 60_000.0
    assert places.loc["GR", "gdp_per_capita_ppp"] == 30_000.0
    corridors = pd.read_csv(case.corridors)
    assert corridors.columns.tolist() == [
        "origin",
        "destination",
        "distance_km",
        "contiguity",
        "language",
        "colony",
    ]
    assert corridors[["origin", "destination"]].to_numpy().tolist() == [["GR", "GB"], ["GB", "GR"]]
    assert isinstance(case.spec, ModelSpec)
    declared = {term.column for term in case.spec.process.covariates}
    assert declared <= set(places.columns) | set(corridors.columns)


def test_codes_of_the_double_entry_case_are_spelt_out(
    cases: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reference" / "double_entry_jags"
    folder.mkdir(parents=True)
    row: dict[str, Any] = {"orig": "K01", "dest": "K02", "year": 2010, "true_log_flow": 6.0}
    row |= {"lpop_o": 0.1, "lpop_d": 0.2, "ldist": 0.3, "lgni_ratio": 0.4}
    first = {"under_I": 1, "under_E": 2, "acc_I": 2, "acc_E": 1, "dur_I": 1, "dur_E": 5}
    second = {"under_I": 2, "under_E": 1, "acc_I": 1, "acc_E": 2, "dur_I": 4, "dur_E": 2}
    rows = [
        row | first | {"z_I": 400, "z_E": 300},
        row | second | {"z_I": "NA", "z_E": 9, "orig": "K02", "dest": "K01"},
    ]
    pd.DataFrame(rows).to_csv(folder / "in_doubleentry_10x8.csv", index=False)
    monkeypatch.setenv("FLOWCAST_SHARED", str(tmp_path))
    case = cases.read_double_entry(tmp_path)
    table = case.observations.table
    names = ["origin", "reporter", "value", "duration_months", "undercount_class", "accuracy_class"]
    assert list(table[names].itertuples(index=False, name=None)) == [
        ("K01", "destination", 400.0, 0.0, "low", "low"),
        ("K01", "origin", 300.0, 60.0, "high", "high"),
        ("K02", "origin", 9.0, 3.0, "low", "low"),
    ]
    assert case.observations.codes == "declared"
    assert pd.read_csv(case.places)["place"].tolist() == ["K01", "K02"]
    assert "true_log_flow" not in pd.read_csv(case.corridors).columns


def test_estimates_are_joined_by_corridor_and_year(cases: ModuleType) -> None:
    frame = case_frame()
    case = cases.Case(ModelSpec(name="any"), None, Path(), Path(), frame)
    medians = pd.DataFrame(
        {
            "origin": ["UK", "EL", "EL"],
            "destination": ["EL", "UK", "UK"],
            "period_start": pd.to_datetime(["2005-01-01", "2005-01-01", "2006-01-01"]),
            "median": [1.0, 2.0, 3.0],
        }
    )
    joined = cases.flow_table(case, medians)
    assert joined[["orig", "median"]].to_numpy().tolist() == [["EL", 2.0], ["UK", 1.0]]
    twice = cases.Case(ModelSpec(name="any"), None, Path(), Path(), pd.concat([frame, frame]))
    with pytest.raises(pd.errors.MergeError):
        cases.flow_table(twice, medians)


def test_zero_has_a_logarithm(cases: ModuleType) -> None:
    np.testing.assert_allclose(cases.log_half(pd.Series([0, 1, 99])), np.log([0.5, 1.5, 99.5]))


# --- scores of held-out reports ------------------------------------------------------------------


def predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "value": [0.0, 9.0, 10.0, 49.0, 500.0],
            "q2.5": [0.0, 1.0, 12.0, 20.0, 100.0],
            "q10": [0.0, 2.0, 14.0, 30.0, 200.0],
            "median": [0.0, 4.0, 20.5, 49.0, 250.0],
            "q90": [2.0, 8.0, 30.0, 49.0, 400.0],
            "q97.5": [3.0, 9.0, 40.0, 60.0, 600.0],
        }
    )


def test_scores_by_hand(imem31: ModuleType) -> None:
    scored = imem31.score_predictions(predictions())
    assert scored["in80"].tolist() == [True, False, False, True, False]
    assert scored["in95"].tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(
        scored["error"], [0.0, np.log(9.5 / 4.5), np.log(2.0), 0.0, np.log(500.5 / 250.5)]
    )
    assert scored["size"].tolist() == ["0", "1-9", "10-49", "10-49", "500+"]
    assert "in80" not in predictions()


def test_scores_are_summed_up_overall_and_by_size(imem31: ModuleType) -> None:
    scored = imem31.score_predictions(predictions())
    whole = imem31.summarise_scores(scored)
    assert whole.loc["all"].tolist() == [5, 0.4, 0.8, pytest.approx(0.427, abs=1e-9)]
    by = imem31.summarise_scores(scored, "size")
    assert by["n"].to_dict() == {"0": 1, "1-9": 1, "10-49": 2, "500+": 1}
    assert by.loc["10-49", ["in80", "in95", "error"]].tolist() == [0.5, 0.5, 0.347]


def report(origin: str, destination: str, reporter: str, value: float, year: int = 2005) -> dict:
    return {
        "source": "reg",
        "family": "administrative",
        "measure": "flow",
        "origin": origin,
        "destination": destination,
        "year": year,
        "value": value,
        "reporter": reporter,
    }


def test_the_other_side_is_that_of_the_same_cell(imem31: ModuleType) -> None:
    fit = observations_from_frame(
        pd.DataFrame(
            [
                report("DE", "FR", "destination", 11.0),
                report("FR", "DE", "destination", 22.0),
                report("DE", "FR", "destination", 33.0, 2006),
                report("DE", "AT", "origin", 44.0),
            ]
        )
    )
    held = observations_from_frame(
        pd.DataFrame(
            [
                report("DE", "AT", "destination", 1.0),
                report("DE", "FR", "origin", 2.0),
                report("DE", "FR", "origin", 3.0, 2007),
                report("FR", "AT", "origin", 4.0),
            ]
        ),
        role="held_out",
    )
    found = imem31.other_side(fit, held.table)
    np.testing.assert_array_equal(found, [44.0, 11.0, np.nan, np.nan])


def test_figures_of_the_comparison_with_published_medians(
    imem31: ModuleType, cases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published medians of 20 and 0 (counted as 0.5) against ours of 10 and 1."""
    frame = case_frame().assign(imem_median=[20.0, 0.0])
    ours = pd.DataFrame(
        {
            "origin": ["EL", "UK"],
            "destination": ["UK", "EL"],
            "period_start": pd.to_datetime(["2005-01-01"] * 2),
            "median": [10.0, 1.0],
            "lower": [5.0, 0.5],
            "upper": [25.0, 2.0],
        }
    )
    monkeypatch.setattr(imem31, "summarise", lambda *_, **__: ours)
    case = cases.Case(ModelSpec(name="any"), None, Path(), Path(), frame)
    figures, joined = imem31.compare_imem(case, None)
    np.testing.assert_allclose(joined["log_ratio"], [-np.log(2.0), np.log(2.0)])
    assert figures == {
        "cells": 2,
        "rank_correlation": pytest.approx(1.0),
        "median_log_ratio": pytest.approx(0.0, abs=1e-12),
        "imem_median_inside_80": 0.5,
    }
