"""`flowcast table RUN --definition D` and `flowcast compare`, by commands alone."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import tiny_posterior
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.persistence import write_run
from flowcast.posterior import Posterior
from flowcast.vocabulary import ESTIMATE_COLUMNS, ESTIMATE_MEASURES

PLACES = ("AT", "DE", "FR", "NA")


def flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments: object) -> str:
    done = flowcast(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def frame_of(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return tiny_posterior(PLACES, 2, seed=5)


@pytest.fixture(scope="module")
def run(posterior: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(posterior, tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    posterior = tiny_posterior(PLACES, 1, duration=False)
    return write_run(posterior, tmp_path_factory.mktemp("runs") / "without")


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
@pytest.mark.parametrize("name", ["no-minimum", "1.25-months", "3-months", "6-months", "permanent"])
def test_every_measure_is_given_under_every_definition(
    name: str, measure: str, run: Path, posterior: Posterior
) -> None:
    table = frame_of(printed("table", run, "--measure", measure, "--definition", name))
    assert list(table) == [*ESTIMATE_COLUMNS, "definition"]
    assert set(table["definition"]) == {name}
    assert len(table) == (12 if measure == "flow" else 4) * 2 * 3


def test_a_mean_is_that_of_flow_times_factor_in_each_draw(run: Path, posterior: Posterior) -> None:
    table = frame_of(printed("table", run, "--definition", "3-months", "--prob", 0.9))
    steps = posterior.tree["posterior"]["duration_increment"].sel(step=["3_to_6", "6_to_12"])
    kept = steps.isel(draw=posterior.tree["latent"]["hyper_draw"].values[0])
    draws = np.exp(posterior.log_flow.isel(corridor=0, period=0).values + kept.sum("step").values)
    row = table.iloc[0]
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-9)
    assert row["lower"] == pytest.approx(np.quantile(draws, 0.05), rel=1e-9)
    assert row["upper"] == pytest.approx(np.quantile(draws, 0.95), rel=1e-9)


def test_the_default_is_twelve_months_and_the_contract_stays_as_it_is(run: Path) -> None:
    usual = printed("table", run)
    assert usual.splitlines()[0] == ",".join(ESTIMATE_COLUMNS)
    for same in ("12-months", "12", "12.0"):
        assert printed("table", run, "--definition", same) == usual
    assert printed("table", run, "--definition", "60") == printed(
        "table", run, "--definition", "permanent"
    )
    help_text = " ".join(flowcast("table", "--help").stdout.split())
    assert "12-months" in help_text


@pytest.mark.parametrize("form", ["html", "latex", "md", "json"])
def test_every_page_says_definition_and_conversion(form: str, run: Path) -> None:
    options = ["--definition", "3-months", "--measure", "net", "--by", "AT", "--format", form]
    text = printed("table", run, *options).replace("\\", "")
    assert "minimum stay of 3 months" in text
    assert "converted from the definition 12-months to 3-months" in text
    if form == "json":
        document = json.loads(printed("table", run, *options))
        assert document["metadata"]["columns"][-1] == "definition"
        assert document["rows"][0]["definition"] == "3-months"


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("permanant", "did you mean permanent?"),
        ("3 months", "did you mean 3-months?"),
        ("24-months", "found '24-months'; allowed: a minimum stay of 0 to 12 months"),
        ("-1", "found -1 months"),
        ("year", "no-minimum, 3-months, 6-months, 12-months, permanent"),
    ],
)
def test_a_definition_that_is_none_is_wrong_usage_before_anything_is_read(
    definition: str, said: str, tmp_path: Path
) -> None:
    done = flowcast("table", tmp_path / "nowhere", "--definition", definition)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_run_without_durations_has_one_definition_and_says_why(without: Path) -> None:
    assert frame_of(printed("table", without, "--definition", "12-months")).shape[0] == 36
    done = flowcast("table", without, "--definition", "3-months")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "found 3-months; allowed: 12-months" in done.stderr
    assert "fitted without durations (measurement.duration: false)" in done.stderr


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx", "json"])
def test_compare_refuses_unlike_definitions(suffix: str, run: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.{suffix}" for name in ("3-months", "12-months")}
    for name, file in files.items():
        assert flowcast("table", run, "--definition", name, "--out", file).exit_code == 0
    short, usual = files["3-months"], files["12-months"]
    for pair in ((run, short), (short, run), (usual, short)):
        done = flowcast("compare", *pair)
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"3-months in {short}" in done.stderr
        assert "12-months in" in done.stderr
    text = printed("compare", short, short)
    assert "\ndefinition: 3-months\n" in text
    assert "definition" not in printed("compare", run, usual)
