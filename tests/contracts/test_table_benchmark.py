"""`flowcast table RUN --benchmark F`, by commands alone."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import stored_posterior, tiny_posterior
from typer.testing import CliRunner, Result

from flowcast.accounting import read_population_margins
from flowcast.cli import app
from flowcast.errors import UsageError
from flowcast.estimates import aggregate, benchmark_estimates, flow_estimates, summarise
from flowcast.persistence import write_run
from flowcast.posterior import Posterior
from flowcast.tables import read_table
from flowcast.vocabulary import ESTIMATE_COLUMNS, ESTIMATE_MEASURES

PLACES = ("AT", "DE", "FR", "NA")
NET = {"AT": 300.0, "DE": -200.0, "FR": 50.0, "NA": -150.0}


def flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments: object) -> pd.DataFrame:
    done = flowcast(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return pd.read_csv(io.StringIO(done.stdout), keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return tiny_posterior(PLACES, 2, seed=5)


@pytest.fixture(scope="module")
def run(posterior: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(posterior, tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("margins") / "margins.csv"
    rows = [f"{place},2020,9000,8000,{net},10" for place, net in NET.items()]
    path.write_text("\n".join(["place,year,births,deaths,net,net_sd", *rows]) + "\n")
    return path


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
def test_every_row_stands_twice_side_by_side(measure: str, run: Path, file: Path) -> None:
    usual = printed("table", run, "--measure", measure)
    table = printed("table", run, "--measure", measure, "--benchmark", file)
    assert list(table) == [*ESTIMATE_COLUMNS, "benchmarked"]
    assert table["benchmarked"].tolist() == [False, True] * len(usual)
    free = table[~table["benchmarked"]].drop(columns="benchmarked").reset_index(drop=True)
    pd.testing.assert_frame_equal(free, usual)
    keys = ["origin", "destination", "period_start", "prob"]
    pd.testing.assert_frame_equal(
        table.loc[table["benchmarked"], keys].reset_index(drop=True), usual[keys]
    )


def test_net_migration_is_that_of_the_margins_within_their_error(run: Path, file: Path) -> None:
    options = ["--measure", "net", "--prob", 0.95, "--benchmark", file, "--seed", 7]
    table = printed("table", run, *options)
    held = table[table["benchmarked"] & (table["period_start"] == "2020-01-01")]
    held = held.set_index("destination")
    np.testing.assert_allclose(held["mean"], [NET[p] for p in held.index], atol=4.0)
    assert held["sd"].between(5.0, 12.0).all()
    later = table[table["period_start"] == "2021-01-01"].drop(columns="benchmarked")
    np.testing.assert_allclose(later["mean"][::2], later["mean"][1::2])
    assert not printed("table", run, *options[:-1], 8).equals(table)


def test_a_table_says_what_was_done(run: Path, file: Path, tmp_path: Path) -> None:
    done = flowcast("table", run, "--benchmark", file, "--format", "json")
    document = json.loads(done.stdout)
    assert document["metadata"]["columns"][-1] == "benchmarked"
    assert [row["benchmarked"] for row in document["rows"][:2]] == [False, True]
    assert f"every draw adjusted to the margins of {file}, seed 1" in document["metadata"]["notes"]
    out = tmp_path / "both.parquet"
    assert flowcast("table", run, "--benchmark", file, "--out", out).exit_code == 0
    assert set(read_table(out)["benchmarked"]) == {"True", "False"}


def test_the_contract_without_margins_stays_as_it_is(run: Path) -> None:
    assert list(printed("table", run)) == list(ESTIMATE_COLUMNS)


def test_what_cannot_be_served_is_wrong_usage(run: Path, file: Path) -> None:
    done = flowcast("table", run, "--benchmark", file, "--definition", "3-months")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "flows of the 12-month definition" in done.stderr
    done = flowcast("table", run, "--seed", 3)
    assert done.exit_code == 2
    assert "--benchmark" in done.stderr


def test_all_faults_of_the_file_are_listed(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "margins.csv"
    file.write_text("place,year,net\nAT,2020,x\nDE,2020,\n")
    done = flowcast("table", run, "--benchmark", file)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "row 2, net" in done.stderr
    assert "row 3, net" in done.stderr
    file.write_text("place,year,net\nAT,2020,5\nXX,2020,5\nYY,2020,5\n")
    done = flowcast("table", run, "--benchmark", file)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "place XX" in done.stderr
    assert "place YY" in done.stderr


def test_compare_refuses_a_table_that_has_both(run: Path, file: Path, tmp_path: Path) -> None:
    both, held = tmp_path / "both.csv", tmp_path / "held.csv"
    flowcast("table", run, "--benchmark", file, "--out", both)
    done = flowcast("compare", run, both)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"(benchmarked) | found both in {both}" in done.stderr
    table = pd.read_csv(both, keep_default_na=False, na_values=[""])
    table[table["benchmarked"]].to_csv(held, index=False)
    assert flowcast("compare", run, held).exit_code == 0


def test_estimates_hold_factors_in_memory_and_in_a_store(
    posterior: Posterior, file: Path, tmp_path: Path
) -> None:
    margins = read_population_margins(file)
    held = benchmark_estimates(posterior, margins)
    draws = held.draws
    block = held.block(slice(2, 5))
    part = draws.isel(corridor=slice(2, 5)).to_numpy()
    np.testing.assert_allclose(np.moveaxis(block, 2, 0), part.reshape(-1, *part.shape[2:]))
    np.testing.assert_allclose(held.select(corridor=3, period=0), draws.isel(corridor=3, period=0))
    net = aggregate(held, "net").draws
    assert float(abs(net.isel(period=0).sum("place")).max()) < 1e-6
    stored = benchmark_estimates(stored_posterior(posterior, tmp_path / "flows"), margins)
    np.testing.assert_allclose(stored.draws, draws, rtol=1e-4)


def test_sums_other_definitions_and_benchmarked_flows_are_refused(
    posterior: Posterior, file: Path
) -> None:
    margins, flows = read_population_margins(file), flow_estimates(posterior)
    held = benchmark_estimates(flows, margins)
    for given, words in (
        (aggregate(flows, "net"), "sums of flows"),
        (flows.under(3), "a minimum stay of 3 months"),
        (held, "flows that are benchmarked"),
    ):
        with pytest.raises(UsageError, match=words):
            benchmark_estimates(given, margins)
    with pytest.raises(UsageError, match="adjusted to margins"):
        held.under("permanent")
    assert summarise(held.under(12.0)).equals(summarise(held))
