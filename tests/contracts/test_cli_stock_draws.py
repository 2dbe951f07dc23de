"""`flowcast accounting ... --draws`: the estimate table, and what is refused."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from flowcast._cli_accounting import METHODS
from flowcast.accounting import (
    StockErrors,
    account_series,
    pseudo_bayes_flows,
    read_accounts,
)
from flowcast.cli import app
from flowcast.estimates import summarise
from flowcast.stock_flows import read_stock_flows, stock_flow_estimates
from flowcast.tables import read_table
from flowcast.vocabulary import DEFAULT_PROBS, ESTIMATE_COLUMNS, ESTIMATE_MEASURES

START = "birthplace,A,B,C\nA,10000,1000,100\nB,550,5550,500\nC,800,400,8000\n"
END = "birthplace,A,B,C\nA,10600,600,100\nB,450,5400,400\nC,700,750,7700\n"
VITAL = "country,births,deaths\nA,800,700\nB,200,300\nC,400,500\n"
ERRORS = "quality: low\nplaces: {B: {quality: high}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("start.csv", START), ("end.csv", END), ("vital.csv", VITAL)):
        (tmp_path / name).write_text(text)
    (tmp_path / "errors.yaml").write_text(ERRORS)
    return tmp_path


def run(method: str, *arguments: str) -> Result:
    given = ["accounting", method, "--start", "start.csv", *arguments]
    return CliRunner().invoke(app, given)


BOTH = ("--end", "end.csv")
EVENTS = ("--births", "vital.csv", "--deaths", "vital.csv")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("method", [name for name in METHODS if name != "growth"])
def test_every_method_has_intervals(method: str) -> None:
    done = run(method, *BOTH, "--draws", "5", "--out", "flows.csv")
    assert done.exit_code == 0, done.stderr
    assert "draws of stocks: 5 done" in done.stderr
    table = read_table("flows.csv")
    assert tuple(table.columns) == ESTIMATE_COLUMNS
    assert set(table["measure"]) == set(ESTIMATE_MEASURES)
    assert set(table["prob"]) == set(DEFAULT_PROBS)
    assert len(table) == (6 + 3 + 3 + 3) * 3
    assert table["period_start"].isna().all()


@pytest.mark.usefixtures("folder")
def test_the_file_has_what_python_returns() -> None:
    done = run("pseudo-bayes", *BOTH, *EVENTS, "--draws", "40", "--seed", "7", "--errors",
               "errors.yaml", "--prob", "0.8", "--prob", "0.9", "--dates", "2015-07-01",
               "2020-07-01", "--quiet", "--weight", "0.5", "--out", "f.parquet")  # fmt: skip
    assert done.exit_code == 0
    assert done.stderr == "Written: f.parquet\n"
    data = read_accounts("start.csv", "end.csv", "vital.csv", "vital.csv")
    series = account_series(
        [data["stock_start"], data["stock_end"]],
        [data["births"]],
        [data["deaths"]],
        dates=["2015-07-01", "2020-07-01"],
    )
    errors = StockErrors(quality="low", places={"B": {"quality": "high"}})
    method = partial(pseudo_bayes_flows, weight=0.5)
    flows = stock_flow_estimates(series, method, errors, draws=40, seed=7)
    parts = [summarise(flows, measure=m, probs=[0.8, 0.9]) for m in ESTIMATE_MEASURES]  # type: ignore[arg-type]
    wanted = pd.concat(parts, ignore_index=True)
    found = read_table("f.parquet")
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    assert set(found["period_end"]) == {"2020-07-01"}


@pytest.mark.usefixtures("folder")
def test_seeds_repeat_and_errors_matter() -> None:
    given = ("closed", *BOTH, *EVENTS, "--draws", "10", "--quiet")
    first, again = run(*given).stdout, run(*given, "--seed", "1").stdout
    assert first == again
    assert run(*given, "--seed", "2").stdout != first
    assert run(*given, "--errors", "errors.yaml").stdout != first


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["draws.zarr", "draws.nc"])
def test_draws_can_be_kept(name: str) -> None:
    done = run("closed", *BOTH, *EVENTS, "--draws", "6", "--dates", "2015-07-01", "2020-07-01",
               "--keep", name, "--out", "t.csv")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    flows = read_stock_flows(name)
    table = read_table("t.csv")
    means = table[(table["measure"] == "flow") & (table["prob"] == 0.5)]["mean"]
    np.testing.assert_allclose(flows.draws.mean(("chain", "draw", "period")), means)
    assert run("closed", *BOTH, "--draws", "6", "--keep", name).exit_code == 1


@pytest.mark.usefixtures("folder")
def test_undated_draws_can_be_kept() -> None:
    assert run("closed", *BOTH, "--draws", "4", "--keep", "d.nc").exit_code == 0
    assert read_stock_flows("d.nc").n_draws == 4


@pytest.mark.usefixtures("folder")
def test_a_table_for_reading_says_what_its_intervals_are() -> None:
    assert run("open", *BOTH, "--draws", "4", "--prob", "0.8", "--out", "t.md").exit_code == 0
    text = Path("t.md").read_text()
    assert "equal-tailed credible intervals with probability 80%" in text
    assert "transitions between two dates" in text
    assert "NaT" not in text
    assert "nan" not in text


@pytest.mark.usefixtures("folder")
def test_without_draws_nothing_has_changed() -> None:
    assert run("closed", *BOTH).stdout.startswith("origin,destination,flow\n")


def test_faults_of_the_errors_are_listed_and_nothing_is_written(folder: Path) -> None:
    (folder / "errors.yaml").write_text("coverge: 3\nquality: hih\n")
    done = run("closed", *BOTH, "--draws", "5", "--errors", "errors.yaml", "--out", "t.csv")
    assert done.exit_code == 1
    assert "did you mean coverage?" in done.stderr
    assert "errors.yaml, quality" in done.stderr
    assert not (folder / "t.csv").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("closed", *BOTH, "--seed", "3"), "--seed"),
        (("closed", *BOTH, "--errors", "errors.yaml"), "--errors"),
        (("closed", *BOTH, "--prob", "0.5"), "--prob"),
        (("closed", *BOTH, "--dates", "2000-01-01", "2001-01-01"), "--dates"),
        (("closed", *BOTH, "--keep", "a.nc"), "--keep"),
        (("closed", *BOTH, "--quiet"), "--quiet"),
        (("closed", *BOTH, "--draws", "1"), "--draws"),
        (("growth", *BOTH, "--draws", "5"), "growth"),
        (("closed", *BOTH, "--draws", "5", "--by-birthplace"), "--by-birthplace"),
        (("closed", *BOTH, "--draws", "5", "--prob", "80"), "between 0 and 1"),
        (("closed", *BOTH, "--draws", "5", "--dates", "2001-01-01", "2000-01-01"), "later"),
        (("closed", *BOTH, "--draws", "5", "--keep", "a.csv"), ".zarr or .nc"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr.replace("\n", " ")
