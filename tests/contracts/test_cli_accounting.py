"""`flowcast accounting`: what it writes, and what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from flowcast._cli_accounting import METHODS
from flowcast.accounting import demographic_flows, pseudo_bayes_flows, read_accounts, tidy_flows
from flowcast.cli import app
from flowcast.tables import read_table

START = "birthplace,A,B,C\nA,1000,100,10\nB,55,555,50\nC,80,40,800\n"
END = "birthplace,A,B,C\nA,1060,60,10\nB,45,540,40\nC,70,75,770\n"
VITAL = "country,births,deaths\nA,80,70\nB,20,30\nC,40,50\n"
SEED = "origin,A,B,C\nA,9,1,5\nB,2,9,1\nC,1,3,9\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("start", START), ("end", END), ("vital", VITAL), ("seed", SEED)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def run(method: str, *arguments: str) -> Result:
    given = ["accounting", method, "--start", "start.csv", *arguments]
    return CliRunner().invoke(app, given)


BOTH = ("--end", "end.csv")
EVENTS = ("--births", "vital.csv", "--deaths", "vital.csv")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_one_row_a_corridor(method: str) -> None:
    done = run(method, *BOTH, "--out", "flows.csv")
    assert done.exit_code == 0, done.stderr
    assert "Written: flows.csv" in done.stderr
    table = read_table("flows.csv")
    assert table.columns.tolist() == ["origin", "destination", "flow"]
    assert len(table) == 6
    assert (table["origin"] != table["destination"]).all()


@pytest.mark.usefixtures("folder")
def test_the_file_has_what_python_returns() -> None:
    run("closed", *BOTH, *EVENTS, "--matching", "after", "--by-birthplace", "--seed-table",
        "seed.csv", "--out", "flows.parquet")  # fmt: skip
    from flowcast.accounting import read_seed

    data = read_accounts("start.csv", "end.csv", "vital.csv", "vital.csv")
    given = (data["stock_start"], data["stock_end"], data["births"], data["deaths"])
    wanted = tidy_flows(
        demographic_flows(*given, matching="after", by_birthplace=True, seed=read_seed("seed.csv"))
    )
    table = read_table("flows.parquet")
    assert table.columns.tolist() == ["birthplace", "origin", "destination", "flow"]
    pd.testing.assert_frame_equal(table, wanted, check_dtype=False)


@pytest.mark.usefixtures("folder")
def test_options_reach_the_estimator() -> None:
    done = run("pseudo-bayes", *BOTH, *EVENTS, "--weight", "0.5", "--system", "open")
    assert done.exit_code == 0
    data = read_accounts("start.csv", "end.csv", "vital.csv", "vital.csv")
    given = (data["stock_start"], data["stock_end"], data["births"], data["deaths"])
    wanted = tidy_flows(pseudo_bayes_flows(*given, weight=0.5, system="open"))
    lines = done.stdout.splitlines()
    assert lines[0] == "origin,destination,flow"
    found = np.array([float(line.split(",")[-1]) for line in lines[1:]])
    np.testing.assert_allclose(found, wanted["flow"])


@pytest.mark.usefixtures("folder")
def test_pairs_of_methods_that_differ_do_so() -> None:
    told = {
        " ".join(line): run(*line).stdout
        for line in (
            ("closed", *BOTH, *EVENTS),
            ("open", *BOTH, *EVENTS),
            ("open-dr", *BOTH, *EVENTS),
            ("independence", *BOTH, *EVENTS),
            ("independence", *BOTH, *EVENTS, "--system", "open"),
            ("pseudo-bayes", *BOTH, *EVENTS),
            ("pseudo-bayes", *BOTH, *EVENTS, "--weight", "estimated"),
            ("drop-negative", *BOTH),
            ("reverse-negative", *BOTH),
            ("rates", *BOTH, *EVENTS),
            ("rates", "--total", "50"),
            ("growth", *BOTH),
        )
    }
    assert "" not in told.values()
    assert len(set(told.values())) == len(told)


@pytest.mark.usefixtures("folder")
def test_nothing_is_assumed_of_native_born_who_are_not_used(folder: Path) -> None:
    rows = "birthplace,residence,stock\nA,B,10\nB,A,5\n"
    (folder / "start.csv").write_text(rows)
    (folder / "end.csv").write_text(rows.replace("10", "12"))
    assert run("drop-negative", *BOTH).stdout == "origin,destination,flow\nA,B,2.0\nB,A,0.0\n"
    refused = run("closed", *BOTH)
    assert refused.exit_code == 1
    assert refused.stderr.count("no native-born of") == 4


@pytest.mark.usefixtures("folder")
def test_faults_of_every_file_are_listed_and_nothing_is_written(folder: Path) -> None:
    (folder / "end.csv").write_text(END.replace("1060", "-1"))
    (folder / "vital.csv").write_text(VITAL.replace("C,40,50", "D,40,x"))
    done = run("closed", *BOTH, *EVENTS, "--out", "flows.csv")
    assert done.exit_code == 1
    assert "(end.csv, row 2, A) | found -1" in done.stderr
    assert "(vital.csv, row 4, deaths) | found text 'x'" in done.stderr
    assert not (folder / "flows.csv").exists()


@pytest.mark.usefixtures("folder")
def test_an_account_that_does_not_add_up_is_refused(folder: Path) -> None:
    (folder / "vital.csv").write_text(VITAL.replace("80,70", "80,7000"))
    done = run("closed", *BOTH, *EVENTS)
    assert done.exit_code == 1
    assert "(deaths, A) | found 7000 of" in done.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("closd", *BOTH), "did you mean closed"),
        (("closed",), "--end"),
        (("closed", *BOTH, "--births", "vital.csv"), "both, or neither"),
        (("closed", *BOTH, "--weight", "0.5"), "--weight"),
        (("open", *BOTH, "--matching", "after"), "--matching"),
        (("closed", *BOTH, "--matching", "befor"), "did you mean before"),
        (("independence", *BOTH, "--system", "opn"), "did you mean open"),
        (("pseudo-bayes", *BOTH, "--weight", "2"), "between 0 and 1"),
        (("pseudo-bayes", *BOTH, "--weight", "heavy"), "between 0 and 1"),
        (("drop-negative", *BOTH, *EVENTS), "--births"),
        (("growth", *BOTH, "--seed-table", "seed.csv"), "--seed-table"),
        (("drop-negative", *BOTH, "--by-birthplace"), "--by-birthplace"),
        (("closed", *BOTH, "--total", "5"), "--total"),
        (("rates", "--total", "-5"), "persons, 0 or more"),
        (("closed", *BOTH, "--out", "nowhere/flows.csv"), "no folder"),
        (("closed", *BOTH, "--out", "flows.doc"), ".doc"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr.replace("\n", " ")
