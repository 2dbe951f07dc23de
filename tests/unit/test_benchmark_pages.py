"""Results that benchmarks keep for the page: written whole, and in the columns the page reads."""

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from flowcast.errors import InputError, UsageError
from flowcast.posterior import GateResult

METRICS = ("mae_log", "crps_log", "crps", "coverage_80", "coverage_95")
Bench = Callable[[str], ModuleType]


@pytest.fixture
def bench(repository: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield lambda name: import_module(f"benchmarks.{name}")


@pytest.fixture
def pages(bench: Bench) -> ModuleType:
    return bench("pages")


def committed(pages: ModuleType, name: str) -> pd.DataFrame:
    return pd.read_csv(pages.TABLES / f"{name}.csv", keep_default_na=False)


def scored(variants: list[str], **columns: object) -> pd.DataFrame:
    """Return reports with scores under each variant: variant k has k, by report k + .1."""
    parts = []
    for k, variant in enumerate(variants):
        rows = pd.DataFrame({"destination": ["DE", "FR"], "origin": "AT", "value": 5.0})
        scores = {metric: [k + 0.0, k + 0.1] for metric in METRICS}
        parts.append(rows.assign(variant=variant, **scores))
    return pd.concat(parts, ignore_index=True).assign(**columns)


# --- keeping -------------------------------------------------------------------------------------


def test_a_table_is_kept_with_how_it_was_made(pages: ModuleType, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"who": ["a", "b"], "score": [1 / 3, np.nan], "n": [1200, 3]}, index=[7, 7]
    )
    path = pages.keep(table, "made", command="c", seed=3, title="Made", folder=tmp_path)
    assert path.read_text() == "who,score,n\na,0.333333,1200\nb,,3\n"
    pages.keep(table, "also", command="d", title="Also", folder=tmp_path)
    pages.keep(table.head(1), "made", command="e", folder=tmp_path)
    index = pages.read_index(tmp_path)
    assert list(index) == ["also", "made"]
    assert (index["made"]["title"], index["made"]["command"]) == ("Made", "e")
    assert "seed" not in index["made"]
    assert (tmp_path / pages.INDEX).read_text().startswith(pages.HEAD)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["also.csv", "index.yaml", "made.csv"]


def test_a_table_that_cannot_be_written_changes_nothing(
    pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({"n": [1]})
    pages.keep(table, "made", command="c", title="Made", folder=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="disk full"):
        pages.keep(table, "made", command="d", folder=tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("table", "name", "told"),
    [
        (pd.DataFrame({"n": range(201)}), "long", "found 201 rows; allowed: 1 to 200"),
        (pd.DataFrame({"n": []}), "empty", "found 0 rows"),
        (pd.DataFrame({"80 %": [1], "n": [1]}), "made", "found the names 80 %; allowed"),
        (pd.DataFrame({"n": [1]}), "../made", "found the names ../made"),
        (pd.DataFrame({"n": [1]}), "new", "found no title"),
    ],
)
def test_what_is_no_summary_is_refused(
    pages: ModuleType, tmp_path: Path, table: pd.DataFrame, name: str, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        pages.keep(table, name, command="c", folder=tmp_path)
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_is_wrong_is_not_written_over(pages: ModuleType, tmp_path: Path) -> None:
    (tmp_path / pages.INDEX).write_text(yaml.safe_dump({"made": {"titel": "x"}}))
    with pytest.raises(InputError) as caught:
        pages.keep(pd.DataFrame({"n": [1]}), "made", command="c", title="t", folder=tmp_path)
    assert "did you mean title?" in str(caught.value)
    assert len(caught.value.faults) == 4  # the key, and the three that are missing
    assert [p.name for p in tmp_path.iterdir()] == [pages.INDEX]


def test_the_command_is_told_without_what_changes_nothing(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--folds", "5", "--keep", "--out", "x.csv", "--variants", "and the rest", "--jobs=3"]
    told = "python -m benchmarks.around31 --folds 5 --variants 'and the rest'"
    assert pages.command_line("around31", asked) == told
    monkeypatch.setattr(sys, "argv", ["double_entry.py", "--keep"])
    assert pages.command_line("double_entry") == "python -m benchmarks.double_entry"


def test_the_option_is_off_unless_asked_for(pages: ModuleType) -> None:
    parser = argparse.ArgumentParser()
    pages.add_keep(parser)
    assert (parser.parse_args([]).keep, parser.parse_args(["--keep"]).keep) == (False, True)


def test_committed_tables_could_be_kept(pages: ModuleType, tmp_path: Path) -> None:
    names = sorted(path.stem for path in pages.TABLES.glob("*.csv"))
    assert names == sorted(pages.read_index())
    for name in names:
        table = committed(pages, name)
        pages.keep(table, name, command="c", title="t", folder=tmp_path)


# --- the columns of what benchmarks keep ---------------------------------------------------------


def agree(pages: ModuleType, tables: dict[str, pd.DataFrame]) -> None:
    """Hold tables of made-up results to the columns of those that are committed."""
    for name, table in tables.items():
        assert set(table.columns) == set(committed(pages, name).columns), name
        assert not isinstance(table.index, pd.MultiIndex)


def test_sources_around_the_31_countries(bench: Bench, pages: ModuleType) -> None:
    around = bench("around31")
    failed = GateResult(False, ("x",), {"max_rhat": 1.02, "min_ess_bulk": 288.0})
    scores = scored(["registers", "and stocks"])
    scores["gate"] = ["passed", around.describe_gate(failed)] * 2
    why = ["withheld", "withheld", "nobody reports", "nobody reports"]
    wide = pd.DataFrame({"variant": ["registers", "and stocks"] * 2, "why": why})
    table = around.page_table(scores, wide.assign(width=[1.0, 2.0, 3.0, 4.0]))
    agree(pages, {"around31": table})
    assert table["sources"].tolist() == ["registers", "and stocks"]
    assert table["n"].tolist() == [2, 2]
    np.testing.assert_allclose(table["mae_log"], [0.05, 1.05])
    assert table[["width_withheld", "width_silent"]].to_numpy().tolist() == [[1, 3], [2, 4]]
    said = "passed; failed: R-hat at most 1.020, bulk ESS at least 288"
    assert table["gate"].tolist() == [said, said]


def test_withheld_reports_of_the_31_countries(bench: Bench, pages: ModuleType) -> None:
    imem31 = bench("imem31")
    rows = pd.DataFrame({"origin": "AT", "destination": ["DE", "DE", "FR"], "value": [0, 9, 500]})
    rows["reporter"] = ["destination", "origin", "origin"]
    rows = rows.assign(in80=True, in95=[True, False, True], error=[0.1, 0.2, 0.6])
    rows["size"] = pd.cut(rows["value"], imem31.SIZES, labels=imem31.SIZE_NAMES)
    scores = {"n": 2.0, "mae_log": 1.0, "crps_log": 2.0, "coverage_80": 3.0, "coverage_95": 4.0}
    tables = imem31.page_tables(rows, 0.5, pd.DataFrame({"mirror": scores}).T)
    tables["imem31_reports"] = imem31.describe_reports(rows, 2)
    other = pd.Series([np.nan, 9.0, 1000.5])
    simple = imem31.compare_simple(rows, other, np.array([0.5, 9.0, 500.0]))
    tables["imem31_simple"] = simple
    agree(pages, tables)
    assert tables["imem31_by_size"]["size"].tolist() == ["all", "0", "1-9", "500+"]
    by = tables["imem31_by_reporter"].set_index(["reporter", "side"])["n"].to_dict()
    assert by == {("AT", "emigration"): 2, ("DE", "immigration"): 1}
    beside = tables["imem31_baselines"].set_index("prediction")
    assert beside["crps_log"].to_dict() == {"flowcast": 0.5, "mirror": 2.0}
    assert beside["n"].tolist() == [3, 2]
    assert simple["n"].tolist() == [2, 3]
    np.testing.assert_allclose(simple["mae_log"], [np.log(1001 / 500.5) / 2, np.log(2.0) / 3])
    np.testing.assert_allclose(simple["flowcast_mae_log"], [0.4, 0.3])
    counts = tables["imem31_reports"].iloc[0]
    assert counts.tolist() == [3, 2, 1, pytest.approx(2 / 3)]


def test_double_entry_beside_jags(bench: Bench, pages: ModuleType) -> None:
    joined = pd.DataFrame({"inside": [True, True, False, True], "evidence": ["none", "x"] * 2})
    table = bench("double_entry").page_table(joined, 53.0, 41.0)
    agree(pages, {"double_entry": table})
    ours = table.set_index("estimator").loc["flowcast"].astype(float)
    names = ["coverage_90", "silent_inside_90", "silent_flows", "flows", "seconds"]
    assert ours[names].tolist() == [0.75, 1, 2, 4, 41]
    recorded = committed(pages, "double_entry").set_index("estimator").loc["JAGS"]
    theirs = table.set_index("estimator").loc["JAGS"]
    for name in ("coverage_90", "silent_inside_90", "ess_per_second", "seconds"):
        assert theirs[name] == recorded[name]


def test_coverage_is_the_same_in_numbers_and_in_text(bench: Bench, pages: ModuleType) -> None:
    coverage = bench("coverage")
    rng = np.random.default_rng(1)
    parts = []
    for world in range(3):
        truth = rng.normal(3.0, 2.0, 20)
        cells = coverage.score_cells(truth + rng.normal(size=(50, 20)), truth)
        parts.append(cells.assign(replicate=world, evidence=["none", "both_reports"] * 10))
    frame = pd.concat(parts)
    numbers, text = coverage.page_table(frame), coverage.coverage_table(frame)
    agree(pages, {"coverage_worlds": numbers})
    assert numbers["flows"].tolist() == text["flows"].tolist()
    row = numbers.iloc[0]
    assert text["90 %"][0] == f"{row['coverage_90']:.3f} ({row['se_90']:.3f})"
    names = ["flows", "cells", "50 %", "80 %", "90 %", "95 %", "error", "bias", "width"]
    assert text.columns.tolist() == names


def test_stocks_of_each_source_beside_all_on_the_same_rows(
    bench: Bench, pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    eu = bench("eu_stocks")
    held = pd.DataFrame({"origin": "AT", "destination": ["DE", "FR"], "year": [2012, 2016]})
    held["value"] = [100.0, 50.0]

    def fit(_: object, reports: pd.DataFrame, ahead: int) -> SimpleNamespace:
        assert ahead == 0
        return SimpleNamespace(info={"method": "nuts"}, gate=GateResult(len(reports) > 1))

    def predict(_: object, rows: pd.DataFrame) -> tuple[SimpleNamespace, np.ndarray]:
        return SimpleNamespace(table=rows), np.tile(rows["value"].to_numpy(), (3, 1))

    monkeypatch.setattr(eu, "fit", fit)
    monkeypatch.setattr(eu, "predict", predict)
    every = pd.DataFrame({"year": [2011, 2019]})
    runs = {
        "all sources": every,
        "survey alone": pd.DataFrame({"year": [2016]}),
        "census alone": pd.DataFrame({"year": [2010]}),  # it has no figure of these years
    }
    table = eu.compare(None, "year", runs, held)
    agree(pages, {"eu_stocks": table})
    names = ["fitted", "same_rows_as", "gate", "n"]
    assert table[names].to_numpy().tolist() == [
        ["all sources", "", "", 2],
        ["survey alone", "", "failed", 1],
        ["all sources", "survey alone", "", 1],
    ]
    assert (table["crps"] == 0).all()


def test_a_source_that_ends_a_year_before_is_carried_ahead(bench: Bench) -> None:
    eu = bench("eu_stocks")
    held = pd.DataFrame({"year": [2018, 2018]})
    ends = {2019: 0, 2018: 0, 2017: 1, 2016: 0}
    for last, ahead in ends.items():
        fitted = pd.DataFrame({"year": [2011, last]})
        assert eu.years_ahead(held, fitted) == ahead
        assert len(eu.within(held, fitted, ahead)) == (2 if last >= 2017 else 0)


def test_what_a_platform_gains(bench: Bench, pages: ModuleType) -> None:
    meta = bench("meta_flows")
    variants = [meta.BOTH, meta.REGISTERS, meta.SCALED, meta.NO_FLOORS]
    folds = [scored(variants, fold="AT, BE"), scored(variants, fold="SK")]
    folds[1]["destination"] = folds[1]["destination"].replace({"DE": "SK", "FR": "IT"})
    scores = pd.concat(folds)
    tables = {"meta_flows": meta.score_table(scores), "meta_flows_gains": meta.gain_table(scores)}
    agree(pages, tables)
    assert tables["meta_flows"]["withheld"].unique().tolist() == ["AT, BE", "SK", "all"]
    assert tables["meta_flows"]["n"].tolist() == [2] * 8 + [4] * 4
    gains = tables["meta_flows_gains"]
    np.testing.assert_allclose(gains["gain"], [1, 1, 2, 2, 3, 3])
    assert gains["reporters"].tolist() == [4, 3] * 3
    assert gains["better"].tolist() == [4, 3] * 3


def test_what_an_index_changes(bench: Bench, pages: ModuleType) -> None:
    search = bench("search_index")
    rows = []
    for k, variant in enumerate([search.PERSISTENCE, *search.VARIANTS]):
        for year in (2014, 2015):
            own = {name: float(k) for name in ("crps_log", "crps", "error", "interval_80")}
            own |= {"interval_95": 2.0, "in80": float(year == 2014), "in95": 1.0}
            rows.append({"variant": variant, "year": year, **own})
    tables = search.page_tables(pd.DataFrame(rows))
    agree(pages, tables)
    means = tables["search_index"]
    assert means["forecast"].tolist() == [search.PERSISTENCE, *search.VARIANTS]
    assert means[["inside_80", "inside_95", "years"]].iloc[0].tolist() == [1, 2, 2]
    gaps = tables["search_index_differences"].set_index(["forecast", "against"])
    assert gaps.loc[("no index", "persistence"), "difference"] == 1.0
    assert gaps.loc[("index, elasticity 2", "no index"), "better"] == 0


def test_agreement_with_a_published_posterior(bench: Bench, pages: ModuleType) -> None:
    rampazzo = bench("rampazzo")
    ratio = pd.DataFrame({"X2.5.": [1.0, 1.2], "X50.": [1.01, 0.98], "X97.5.": [0.91, 1.0]})
    draws = np.full((5, 2, 3), 4.0)
    case = pd.DataFrame({"year": [2018, 2018, 2019], "lfs": [4.0, 6.0, 8.0]})
    tables = {
        "rampazzo": rampazzo.agreement(ratio),
        "rampazzo_undercount": rampazzo.undercount(draws, case),
    }
    agree(pages, tables)
    assert tables["rampazzo"]["close"].tolist() == [2, 1]
    np.testing.assert_allclose(tables["rampazzo"]["worst"], [0.02, 0.2])
    assert tables["rampazzo"]["figure"].tolist() == committed(pages, "rampazzo")["figure"].tolist()
    np.testing.assert_allclose(tables["rampazzo_undercount"]["median"], [0.2, 0.5])


def test_what_flows_from_stocks_gain(bench: Bench, pages: ModuleType) -> None:
    bridge = bench("stock_bridge")
    scores = scored(["pseudo-bayes", "registers", "pseudo-bayes by itself"], reporter="destination")
    table = bridge.page_table(scores)
    agree(pages, {"stock_bridge": table})
    rows = table.set_index("sources")
    assert rows.index.tolist() == ["pseudo-bayes", "registers"]
    assert rows.loc["pseudo-bayes", ["gain", "better", "reporters"]].tolist() == [1.0, 2, 2]
    assert rows.loc["registers"].isna().sum() == 4


def test_net_migration_is_laid_out_by_variant_and_metric(bench: Bench) -> None:
    card = pd.DataFrame({"registers": {"n": 217.0, "mae": 3.5}, "rest": {"n": 217.0, "mae": 2.5}})
    table = bench("indicators31").page_table(card)
    assert table.to_numpy().tolist() == [
        ["registers", "n", 217.0],
        ["registers", "mae", 3.5],
        ["rest", "n", 217.0],
        ["rest", "mae", 2.5],
    ]
    assert table.columns.tolist() == ["variant", "metric", "value"]
