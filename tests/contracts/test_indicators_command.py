"""`flowcast indicators` on a run folder: what is scored, where it goes, what is refused."""

import io
from pathlib import Path

import pandas as pd
import pytest
from support import tiny_posterior
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.persistence import write_run

HEADER = "source,family,measure,origin,destination,year,value,reporter\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tiny_posterior(("AT", "DE", "FR"), 2), tmp_path / "run")
    return tmp_path / "run"


def indicator(folder: Path, name: str, measure: str, source: str = "wpp") -> Path:
    rows = [
        f"{source},estimate,{measure},,{place},{year},{100 * k + year % 7},other"
        for k, place in enumerate(("AT", "DE", "FR"))
        for year in (2020, 2021)
    ]
    path = folder / name
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["indicators", *map(str, arguments)])


def test_each_indicator_has_its_scores(run: Path, tmp_path: Path) -> None:
    net = indicator(tmp_path, "net.csv", "net")
    asylum = indicator(tmp_path, "asylum.csv", "asylum_applications", "unhcr")
    result = call(run, net, asylum)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(io.StringIO(result.stdout))
    assert set(table["indicator"]) == {"wpp: net", "unhcr: asylum_applications"}
    metrics = table.groupby("indicator")["metric"].agg(set)
    assert "coverage_80" in metrics["wpp: net"]
    assert "coverage_80" not in metrics["unhcr: asylum_applications"]
    assert "taken for the truth" in result.stderr
    assert "only its order" in result.stderr


def test_a_file_takes_the_table(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    result = call(run, indicator(tmp_path, "net.csv", "net"), "--out", out)
    assert result.exit_code == 0
    assert "wpp: net" in out.read_text()


def test_a_source_that_was_fitted_is_refused_and_nothing_written(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    fitted = indicator(tmp_path, "net.csv", "net", source="register")
    result = call(run, fitted, "--out", out)
    assert result.exit_code == 1
    assert "found source register, which was fitted" in result.stderr
    assert not out.exists()


def test_faults_of_a_file_are_told_with_their_rows(run: Path, tmp_path: Path) -> None:
    path = indicator(tmp_path, "net.csv", "nett")
    result = call(run, path)
    assert result.exit_code == 1
    assert "net.csv, row 2, measure" in result.stderr
    assert "did you mean net" in result.stderr
