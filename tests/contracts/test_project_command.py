"""`flowcast project` and `compare` of scenarios: what they write, refuse, and how they end."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.projection.store import open_projection

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("AUT", "DEU", "POL", "SYR")


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flows of four places in six years, people, and settings that take a moment."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(1)
    pairs = [(o, d) for o in PLACES for d in PLACES if o != d]
    rows = [(o, d, t, rng.poisson(400)) for o, d in pairs for t in range(2018, 2024)]
    table = pd.DataFrame(rows, columns=["origin", "destination", "period", "flow"])
    table.to_csv(folder / "flows.csv", index=False)
    people = [(p, t, 1e6, 1e4, 9e3) for p in PLACES for t in range(2018, 2025)]
    columns = ["place", "year", "population", "births", "deaths"]
    pd.DataFrame(people, columns=columns).to_csv(folder / "people.csv", index=False)
    units = ["ISO 3166", "calendar year", "persons", "persons per year", "persons per year"]
    words = pd.DataFrame({"column": columns, "unit": units, "description": columns})
    words.to_csv(folder / "people.columns.csv", index=False)
    (folder / "quick.yaml").write_text("tune: 5\ndraws: 8\nsweeps: 1\n", encoding="utf-8")
    return folder


def given(files: Path) -> list[object]:
    return [
        "--flows", files / "flows.csv", "--people", files / "people.csv",
        "--settings", files / "quick.yaml", "--until", 2027,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def projection(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "projection"
    ended = run_flowcast("project", "no_migration", "--out", out, *given(files))
    # Eight draws of two chains converge on nothing: written, and told.
    assert ended.exit_code == 3, ended.output
    assert "chains of the process do not agree yet" in ended.output
    return out


def test_every_scenario_has_draws_and_a_table(projection: Path) -> None:
    for name in ("baseline", "no_migration"):
        table = pd.read_csv(projection / name / "estimates.csv")
        assert set(table["measure"]) == {"immigration", "emigration", "net", "population"}
        assert (projection / name / "draws.zarr").is_dir()
    closed = pd.read_csv(projection / "no_migration" / "estimates.csv")
    after = closed[(closed["measure"] == "immigration") & (closed["period_start"] >= "2025")]
    assert (after["upper"] == 0.0).all()


def test_a_second_time_nothing_is_computed(projection: Path, files: Path) -> None:
    ended = run_flowcast("project", "no_migration", "--out", projection, *given(files))
    assert ended.output.count("Unchanged") == 2
    assert "sweeps" not in ended.output


def test_a_later_end_needs_no_other_fit(projection: Path, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "longer"
    shutil.copytree(projection, out)
    arguments = [2028 if one == 2027 else one for one in given(files)]
    ended = run_flowcast("project", "no_migration", "--out", out, *arguments)
    assert "sweeps" not in ended.output
    assert "Unchanged" not in ended.output
    longer = open_projection(out, "baseline")
    assert longer["period"].to_numpy()[-1] == 2027
    # The same process, draws and innovations: what was there already is what it was.
    shorter = open_projection(projection, "baseline")
    same = longer["flows"].sel(period=shorter["period"])
    np.testing.assert_array_equal(same, shorter["flows"])


def test_two_scenarios_are_compared_draw_by_draw(projection: Path) -> None:
    ended = run_flowcast(
        "compare", projection / "baseline", projection / "no_migration", "--top", 3
    )
    assert ended.exit_code == 0, ended.output
    assert "draw by draw: the largest 3 of" in ended.output
    assert "equal_tailed" in ended.output


def test_changes_are_told_driver_by_driver(projection: Path) -> None:
    ended = run_flowcast("explain", projection, "change", "no_migration", "--measure", "net")
    assert ended.exit_code == 0, ended.output
    rows = [line.split(",") for line in ended.output.splitlines()]
    drivers = {row[rows[0].index("driver")] for row in rows[1:]}
    assert drivers == {"policy_openness", "all"}
    stored = open_projection(projection, "no_migration"), open_projection(projection, "baseline")
    nets = [one["immigration"] - one["emigration"] for one in stored]
    gain = float((nets[0] - nets[1]).sel(place="AUT").isel(period=0).mean())
    means = [
        float(row[rows[0].index("mean")])
        for row in rows[1:]
        if row[rows[0].index("place")] == "AUT" and row[rows[0].index("driver")] == "all"
    ]
    assert means[0] == pytest.approx(gain, rel=1e-6)


def test_a_width_needs_more_draws_than_eight(projection: Path) -> None:
    ended = run_flowcast("explain", projection, "width")
    assert ended.exit_code == 2
    assert "20 or more" in ended.output


def test_a_scenario_that_was_not_projected_cannot_be_explained(projection: Path) -> None:
    ended = run_flowcast("explain", projection, "change", "no_migratoin")
    assert ended.exit_code == 1
    assert "no_migration" in ended.output


def test_a_fan_is_drawn_with_the_past(projection: Path, tmp_path: Path) -> None:
    out = tmp_path / "fan.svg"
    ended = run_flowcast("plot", projection, "fan", "--place", "DEU", "--out", out)
    assert ended.exit_code == 0, ended.output
    text = out.read_text(encoding="utf-8")
    assert "median of the baseline" in text
    assert "history" in text
    refused = run_flowcast("plot", projection, "fan", "--place", "DEX", "--out", out)
    assert refused.exit_code == 2
    assert "did you mean DEU" in refused.output
    assert run_flowcast("plot", projection, "heatmap", "--out", out).exit_code == 2


@pytest.mark.slow
def test_projections_go_to_other_models(projection: Path, tmp_path: Path) -> None:
    out = tmp_path / "projection.csv"
    ended = run_flowcast("iamc", projection, "--out", out, "--region", "world", "--prob", 0.8)
    assert ended.exit_code == 0, ended.output
    table = pd.read_csv(out)
    assert set(table["Scenario"]) == {"baseline", "no_migration"}
    assert {"Austria", "World"} <= set(table["Region"])
    assert "Migration|Net|10.0th Percentile" in set(table["Variable"])
    refused = run_flowcast("iamc", projection, "--out", out, "--prob", 0.83)
    assert refused.exit_code != 0
    assert run_flowcast("iamc", projection, "--out", tmp_path / "x.txt").exit_code == 2


def test_a_history_is_needed_and_one_only(tmp_path: Path, files: Path) -> None:
    neither = run_flowcast("project", "baseline", "--out", tmp_path / "out")
    both = run_flowcast(
        "project", "baseline", "--out", tmp_path / "out", "--run", tmp_path, *given(files)
    )
    assert (neither.exit_code, both.exit_code) == (2, 2)
    assert not (tmp_path / "out").exists()


def test_an_unknown_scenario_is_refused_before_anything_is_done(
    tmp_path: Path, files: Path
) -> None:
    ended = run_flowcast("project", "open_bordres", "--out", tmp_path / "out", *given(files))
    assert ended.exit_code == 1
    assert "open_borders" in ended.output
    assert not (tmp_path / "out").exists()


def test_faults_of_flows_come_with_row_and_column(tmp_path: Path, files: Path) -> None:
    bad = tmp_path / "flows.csv"
    text = (files / "flows.csv").read_text(encoding="utf-8").splitlines()
    text[3] = "AUT,DEU,2020,-5"
    text[7] = "AUT,POL,2018,many"
    bad.write_text("\n".join(text), encoding="utf-8")
    arguments = [bad if one == files / "flows.csv" else one for one in given(files)]
    ended = run_flowcast("project", "baseline", "--out", tmp_path / "out", *arguments)
    assert ended.exit_code == 1
    assert "row 4, flow" in ended.output
    assert "row 8, flow" in ended.output
    assert not (tmp_path / "out").exists()


def test_the_page_s_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "howto_project.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.+?)^```", text, re.DOTALL | re.MULTILINE)
    exec(compile(code, "howto_project.md", "exec"), {})
    assert re.match(
        r"P\(arrivals > 100,000\) = 0\.\d\d \[0\.\d\d, 0\.\d\d\]", capsys.readouterr().out
    )


def test_the_page_names_the_options_there_are() -> None:
    text = (ROOT / "docs" / "howto_project.md").read_text(encoding="utf-8")
    commands = ("project", "estimate", "plot", "explain", "iamc")
    told = "".join(run_flowcast(command, "--help").output for command in commands)
    for option in set(re.findall(r"`?(--[a-z]+)", text)):
        assert option in told
