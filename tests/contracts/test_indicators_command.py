"""`flowcast indicators`: what is scored, where it goes, what is refused; the catalogue."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from reader_files import FIXTURES
from support import tiny_posterior
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.persistence import write_run
from flowcast.validation import load_catalogue
from flowcast.validation.catalogue import INDICATOR_COLUMNS

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


# --indicator


def pairs(folder: Path, name: str = "asylum.csv") -> Path:
    places = ("AT", "DE", "FR")
    both = [(o, d, y) for o in places for d in places if o != d for y in (2020, 2021)]
    rows = [f"{o},{d},{y},{ord(o[0]) * ord(d[0]) % 97 + y}" for o, d, y in both]
    path = folder / name
    path.write_text("origin,destination,year,value\n" + "\n".join(rows) + "\n")
    return path


def test_files_may_be_those_of_an_indicator_of_the_catalogue(run: Path, tmp_path: Path) -> None:
    result = call(run, pairs(tmp_path), "--indicator", "asylum_unhcr")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(io.StringIO(result.stdout)).set_index("metric")
    assert set(table["indicator"]) == {"asylum_unhcr"}
    assert table.loc["n", "value"] == 12
    assert {"rank_across", "elasticity"} <= set(table.index)
    assert not any(metric.startswith("coverage") for metric in table.index)
    assert load_catalogue().entry("asylum_unhcr").gap in result.stderr


@pytest.mark.parametrize("place", ["first", "last", "named"])
def test_options_may_stand_before_and_after(run: Path, tmp_path: Path, place: str) -> None:
    option = ["--indicator", "asylum_unhcr"]
    arguments = {
        "first": [*option, run, pairs(tmp_path)],
        "last": [run, pairs(tmp_path), *option],
        "named": ["score", run, pairs(tmp_path), *option],
    }
    assert call(*arguments[place]).exit_code == 0


@pytest.mark.parametrize(
    ("indicator", "code", "said"),
    [
        ("asylum_unhc", 1, "did you mean asylum_unhcr"),
        ("electoral_democracy", 2, "context for scenarios"),
        ("population_change_wpp", 1, "natural_increase"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_nothing_written(
    run: Path, tmp_path: Path, indicator: str, code: int, said: str
) -> None:
    out = tmp_path / "scores.csv"
    path = tmp_path / "places.csv"
    path.write_text("destination,origin,year,value\nDE,,2020,5\n")
    result = call(run, path, "--indicator", indicator, "--out", out)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert not out.exists()


# The catalogue


def test_the_catalogue_is_listed_in_three_forms() -> None:
    shown, text, data = (call("list", "--format", f) for f in ("table", "csv", "json"))
    assert shown.stdout.startswith(f"{len(load_catalogue())} indicators")
    table = pd.read_csv(io.StringIO(text.stdout), keep_default_na=False)
    assert tuple(table) == INDICATOR_COLUMNS
    assert [one["id"] for one in json.loads(data.stdout)] == table["id"].tolist()
    assert tuple(table["id"]) == load_catalogue().ids
    context = call("list", "--kind", "context", "--format", "json")
    assert {one["kind"] for one in json.loads(context.stdout)} == {"context"}


def test_a_kind_that_is_none_is_wrong_usage() -> None:
    result = call("list", "--kind", "contxt")
    assert result.exit_code == 2
    assert "did you mean context" in result.stderr


def test_an_indicator_is_shown_with_publisher_and_gap(tmp_path: Path) -> None:
    result = call("show", "asylum_unhcr")
    assert "publisher  UNHCR" in result.stdout
    assert load_catalogue().entry("asylum_unhcr").gap in result.stdout
    assert json.loads(call("show", "asylum_unhcr", "--format", "json").stdout)["kind"] == "related"
    own = tmp_path / "indicators.csv"
    own.write_text(
        "id,role,kind,title,sources,measures,estimate,unit,direction,gap\n"
        "tourists,heldout,related,Tourists,border_crossings,nights,flow,nights,positive,visitors\n"
    )
    assert "Tourists" in call("show", "tourists", "--catalogue", own).stdout
    assert call("show", "tourists").exit_code == 1


def test_a_publishers_file_is_laid_out_and_can_be_read_again(run: Path, tmp_path: Path) -> None:
    source = FIXTURES / "scholars" / "openalex_countryflows.csv"
    out = tmp_path / "moves.csv"
    result = call("prepare", "scholar_moves_openalex", source, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out, keep_default_na=False)
    assert table[["indicator", "origin", "destination", "value"]].to_numpy().tolist() == [
        ["scholar_moves_openalex", "US", "DE", 1270.0],
        ["scholar_moves_openalex", "NA", "ZA", 12.0],
    ]
    again = call(run, out, "--indicator", "scholar_moves_openalex")
    assert "2 rows, none of the fit's places and periods" in again.stderr


def test_context_can_be_laid_out_too() -> None:
    result = call("prepare", "fragile_states", FIXTURES / "political" / "fsi.csv")
    assert "fragile_states,SO,2023-01-01,2024-01-01,111.9" in result.stdout
    assert "left out, country 'Northland' is not one country: 1" in result.stderr


def test_the_group_explains_itself() -> None:
    for arguments in ([], ["--help"]):
        shown = call(*arguments).output
        assert all(name in shown for name in ("score", "list", "show", "prepare", "RUN FILE"))
