"""The arithmetic of the benchmark of a platform's flows, on figures that are made up."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from flowcast.config import read_model
from flowcast.observations import Observations, observations_from_frame


@pytest.fixture
def bench(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.meta_flows")


@pytest.fixture
def registers(bench: ModuleType) -> Observations:
    """Three registers, one of them without the year 2022."""
    rows = [("AT", "DE", 2020, 100.0), ("UK", "DE", 2022, 7.0), ("DE", "UK", 2021, 30.0)]
    rows += [("OTHER", "DE", 2020, 9e9), ("LI", "DE", 2020, 9e9), ("AT", "DE", 2023, 9e9)]
    rows += [("DE", "SK", 2020, 5.0)]
    table = pd.DataFrame(rows, columns=["partner", "geo", "year", "value"])
    stays = [("DE", 2020, 1.25), ("DE", 2021, 3.0), ("GB", 2021, 12.0), ("SK", 2020, 60.0)]
    months = pd.DataFrame(stays, columns=["destination", "year", "months"])
    classes = pd.Series({"DE": "low", "GB": "low", "SK": "high"})
    return observations_from_frame(bench.register_rows(table, months, classes))


@pytest.fixture
def platform(bench: ModuleType) -> Observations:
    rows = [("AT", "DE", 2020, 200), ("GB", "DE", 2020, 50), ("AT", "DE", 2019, 1)]
    table = pd.DataFrame(rows, columns=["orig_iso2", "dest_iso2", "year", "flow"])
    places = ["AT", "DE", "GB", "IS"]
    return observations_from_frame(bench.platform_rows(table, places, {"AT", "DE", "GB"}))


def test_registers_have_their_own_definitions(registers: Observations) -> None:
    table = registers.table
    names = ["origin", "destination", "value", "duration_months", "undercount_class"]
    assert list(table[[*names, "accuracy_class"]].itertuples(index=False, name=None)) == [
        ("AT", "DE", 100.0, 1.25, "low", "high"),
        ("GB", "DE", 7.0, 3.0, "low", "high"),  # 2022 as in 2021, the last that is known
        ("DE", "GB", 30.0, 12.0, "low", "high"),
        ("DE", "SK", 5.0, 60.0, "high", "low"),
    ]


def test_what_the_platform_leaves_out_is_below_its_floor(
    bench: ModuleType, platform: Observations
) -> None:
    table = platform.table
    assert platform.n == 3 * 2 * 3  # pairs of covered places, in three years
    assert sorted(table.loc[~bench.hidden(table), "value"]) == [50.0, 200.0]
    rest = table[bench.hidden(table)]
    assert set(rest["value"]) == {49.0}
    assert set(rest["censored_below"]) == {50.0}
    assert table["censored_below"].notna().sum() == platform.n - 2


def test_covariates_of_places_and_corridors(bench: ModuleType) -> None:
    iso2 = {"ROU": "RO", "DEU": "DE"}
    annual = pd.DataFrame(
        {"iso3": ["ROU", "ROU", "FRA"], "year": [2020, 1990, 2020], "pop_midyear_implied": 19e3}
    )
    assert bench.place_table(annual, iso2).to_numpy().tolist() == [["RO", 2020, 19e3]]
    ends = [("ROM", "DEU"), ("DEU", "ROM"), ("ROM", "ROM"), ("FRA", "DEU")]
    pairs = pd.DataFrame(ends, columns=["iso_o", "iso_d"])
    pairs = pairs.assign(dist=1300.0, contig=0.0, comlang_off=0.0)
    stocks = pd.DataFrame(
        {"birth": "ROU", "residence": "DEU", "year": [2020, 2015], "tot": [7e5, 1.0]}
    )
    table = bench.corridor_table(pairs, stocks, iso2).set_index(["origin", "destination"])
    assert table.index.tolist() == [("RO", "DE"), ("DE", "RO")]
    assert table["stock"].tolist() == [7e5, 0.0]
    assert table["stock_published"].tolist() == [1.0, 0.0]


def test_every_reporter_is_withheld_once_and_as_a_whole(
    bench: ModuleType, registers: Observations
) -> None:
    held = [h.table["destination"].unique().tolist() for _, h in bench.folds(registers, 3, 1)]
    assert sorted(held) == [["DE"], ["GB"], ["SK"]]


def test_one_factor_is_learnt_from_the_fitted_registers(bench: ModuleType) -> None:
    def rows(*cells: tuple[str, str, float]) -> pd.DataFrame:
        frame = pd.DataFrame(cells, columns=["origin", "destination", "value"])
        return frame.assign(period_start=pd.Timestamp("2020-01-01"))

    fitted = rows(("AT", "DE", 99.5), ("FR", "DE", 199.5), ("IS", "DE", 3.0))
    held = rows(("DE", "AT", 1e9), ("IS", "AT", 1e9))
    platform = rows(
        ("AT", "DE", 200.0), ("FR", "DE", 400.0), ("IS", "DE", 49.0), ("DE", "AT", 30.0),
        ("IS", "AT", 49.0),
    )  # fmt: skip
    platform["censored_below"] = np.where(platform["value"] == 49.0, 50.0, np.nan)
    draws = bench.scaled_draws(fitted, held, platform)
    np.testing.assert_allclose(draws[:, 0], 14.5)
    np.testing.assert_allclose(draws[:, 1], 3.0)


def test_reporters_are_compared(bench: ModuleType) -> None:
    rows = [
        ("DE", "a", 0.2),
        ("DE", "a", 0.4),
        ("DE", "b", 0.1),
        ("FR", "a", 0.5),
        ("FR", "b", 1.0),
    ]
    scores = pd.DataFrame(rows, columns=["destination", "variant", "crps_log"])
    found = bench.compare_by_reporter(scores, "b", "a")
    np.testing.assert_allclose(found.loc["DE"], [0.3, 0.1, 0.2])
    np.testing.assert_allclose(found.loc["FR"], [0.5, 1.0, -0.5])


def test_what_changes_where_nobody_reports(
    bench: ModuleType, registers: Observations, platform: Observations
) -> None:
    """Germany does not report from Austria in 2021; Austria never reports."""
    cells = pd.DataFrame(
        {"origin": ["AT", "AT", "DE"], "destination": ["DE", "DE", "AT"], "median": 10.0}
    )
    cells["period_start"] = pd.to_datetime(["2020-01-01", "2021-01-01", "2020-01-01"])
    alone = cells.assign(lower=10.0 / np.e, upper=10.0 * np.e)
    both = cells.assign(median=20.0, lower=20.0 / np.exp(0.5), upper=20.0 * np.exp(0.5))
    both.loc[2, "median"] = 40.0
    case = bench.Case(registers, platform, Path(), Path())
    silent = bench.silent_cells(case, alone, both)
    assert silent["kind"].tolist() == ["gap of a reporter", "never reports"]
    found = bench.describe_silent(silent)
    np.testing.assert_allclose(found["width"], 2.0)
    np.testing.assert_allclose(found["ratio"], 0.5)
    np.testing.assert_allclose(found["shift"], np.log([2.0, 4.0]))
    assert found["inside"].tolist() == [1.0, 0.0]
    assert found["n"].tolist() == [1, 1]


def test_every_variant_is_a_model(bench: ModuleType) -> None:
    for changes in (None, bench.ALONE, bench.LONG):
        assert read_model(bench.MODEL, changes).name == "meta_flows"
