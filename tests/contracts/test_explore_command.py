"""`flowcast explore`: what it writes, refuses, and how it ends; and the page about it."""

import re
from pathlib import Path

import pandas as pd
import pytest
from tests.projection_world import make_people, make_process
from typer.testing import CliRunner, Result

import flowcast._cli_explore
from flowcast.cli import app
from flowcast.errors import UsageError
from flowcast.projection import FlowProcess, baseline_of, read_outcome
from flowcast.projection._inputs import write_inputs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto_explore.md"
RANGES = """
drivers:
  openness: {driver: policy_openness, operation: multiply, corridors: "*/DEU", unit: ratio,
             value: {uniform: [0.5, 3]}, reference: own}
  elsewhere: {driver: policy_openness, operation: multiply, corridors: "AUT/POL", unit: ratio,
              value: {uniform: [0.5, 2]}, reference: own}
"""
ARRIVALS = "immigration:DEU:2026"


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def ranges(tmp_path: Path) -> Path:
    path = tmp_path / "ranges.yaml"
    path.write_text(RANGES, encoding="utf-8")
    return path


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the process made by hand in place of one that is fitted; `project` tests the fit."""

    def prepared(out: Path, *_: object, **__: object) -> FlowProcess:
        process, start = make_process(), make_people(years=3)
        write_inputs(out / "inputs", process, start, baseline_of(process, start))
        return process

    monkeypatch.setattr(flowcast._cli_explore, "prepare_inputs", prepared)


def explore(ranges: Path, *more: object, cases: int = 16) -> Result:
    out = ranges.parent / "out"
    given = ["--drivers", ranges, "--outcome", ARRIVALS, "--flows", "flows.csv", "--out", out]
    return run_flowcast("explore", "baseline", *given, "--cases", cases, "--draws", 2, *more)


def written(ranges: Path, method: str = "latin") -> set[str]:
    return {path.name for path in (ranges.parent / "out" / f"explored-{method}").iterdir()}


@pytest.mark.usefixtures("fitted")
def test_sensitivity_is_written_and_printed_and_too_few_cases_are_told(ranges: Path) -> None:
    ended = explore(ranges, "--method", "sobol", "--outcome", "net:POL:2026:0.9")
    assert ended.exit_code == 0, ended.output
    files = {"cases.csv", "exploration.json", "scenario.yaml", "sensitivity.csv"}
    assert written(ranges, "sobol") == files
    out = ranges.parent / "out" / "explored-sobol"
    table = pd.read_csv(out / "sensitivity.csv")
    columns = ["outcome", "input", "index", "value", "lower", "upper", "prob", "kind"]
    assert list(table) == columns
    assert ended.stdout.splitlines()[0].split(",") == columns
    assert f"Note: {ARRIVALS}: Too few cases: with 16 " in ended.stderr
    first = table[(table["outcome"] == ARRIVALS) & (table["index"] == "total")]
    openness, elsewhere = first.set_index("input")["value"]
    assert openness > 10.0 * abs(elsewhere)
    cases = pd.read_csv(out / "cases.csv")
    assert list(cases) == [
        "case", "drivers.openness", "drivers.elsewhere", ARRIVALS, "net:POL:2026:0.9",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("fitted")
def test_what_drives_more_than_so_many_is_said_in_words(ranges: Path) -> None:
    plain = explore(ranges, cases=60)
    assert plain.exit_code == 0, plain.output
    assert written(ranges) == {"cases.csv", "exploration.json", "scenario.yaml"}
    out = ranges.parent / "out" / "explored-latin"
    middle = pd.read_csv(out / "cases.csv")[ARRIVALS].median()
    ended = explore(ranges, "--above", middle, cases=60)
    assert ended.exit_code == 0, ended.output
    assert re.match(rf"{ARRIVALS} is above [\d,.]+ in 30 of 60 cases \(50%\)\.", ended.stdout)
    assert "Most typically, drivers.openness is at least 1." in ended.stdout
    boxes = pd.read_csv(out / "boxes.csv")
    assert boxes.iloc[0]["input"] == "drivers.openness"
    assert boxes.iloc[0]["density"] > 0.9
    assert {"coverage", "density", "mass", "qp_lower", "qp_upper"} <= set(boxes)
    assert "trajectory.csv" in written(ranges)
    # Another question in the same folder takes the place of the answer to the first.
    explore(ranges, cases=60)
    assert "boxes.csv" not in written(ranges)


def test_chains_that_disagree_end_with_3(ranges: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unconverged(out: Path, *_: object, **__: object) -> FlowProcess:
        process, start = make_process(), make_people(years=3)
        process.diagnostics["rhat"] = 2.0
        write_inputs(out / "inputs", process, start, baseline_of(process, start))
        return process

    monkeypatch.setattr(flowcast._cli_explore, "prepare_inputs", unconverged)
    ended = explore(ranges, cases=4)
    assert ended.exit_code == 3
    assert "(explore) | chains of the process do not agree yet" in ended.stderr
    assert "cases.csv" in written(ranges)


def test_every_fault_of_scenario_and_ranges_is_listed_before_anything_is_done(
    ranges: Path,
) -> None:
    ranges.write_text(
        RANGES.replace("uniform: [0.5, 3]", "uniform: [3, 0.5]").replace("AUT/POL", "AUT/Polen"),
        encoding="utf-8",
    )
    ended = explore(ranges)
    assert ended.exit_code == 1
    assert "2 faults" in ended.stderr
    assert "drivers.openness.value" in ended.stderr
    assert "drivers.elsewhere.corridors" in ended.stderr
    unknown = run_flowcast(
        "explore", "baselin", "--drivers", ranges.parent / "none.yaml", "--outcome", ARRIVALS,
        "--flows", "f.csv", "--out", ranges.parent / "out",
    )  # fmt: skip
    assert unknown.exit_code == 1
    assert "2 faults" in unknown.stderr
    assert "did you mean baseline" in unknown.stderr
    assert not (ranges.parent / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--outcome", "immigration DEU"], "MEASURE:PLACES:YEAR"),
        (["--method", "sobl"], "did you mean sobol"),
        (["--method", "sobol", "--above", 5], "allowed with --above: latin"),
        (["--above", 5, "--outcome", "net:DEU:2026"], "allowed with --above: one"),
        (["--run", "runs/mine"], "allowed: --run or --flows"),
        (["--cases", 1], "allowed: 2 or more"),
    ],
)
def test_wrong_usage_exits_with_2_and_writes_nothing(
    ranges: Path, more: list[object], said: str
) -> None:
    ended = explore(ranges, *more)
    assert ended.exit_code == 2
    # The message may be broken into lines, in a frame.
    assert said in re.sub(r"\s+", " ", re.sub("[│╭╮╰╯─]", " ", ended.stderr))
    assert not (ranges.parent / "out").exists()


def test_nothing_that_varies_is_refused(tmp_path: Path) -> None:
    ended = run_flowcast(
        "explore", "baseline", "--outcome", ARRIVALS, "--flows", "f.csv", "--out", tmp_path / "out"
    )
    assert ended.exit_code == 2
    assert "nothing uncertain" in ended.stderr


# The page


def text_of(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.+?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_page_s_ranges_are_read(tmp_path: Path) -> None:
    from flowcast.projection import uncertain_values
    from flowcast.scenarios import overlay_scenario

    (text,) = text_of("yaml")
    path = tmp_path / "ranges.yaml"
    path.write_text(text, encoding="utf-8")
    found = uncertain_values(overlay_scenario("open_borders", path).spec)
    assert list(found) == ["drivers.policy_openness", "drivers.harvests", "shocks.war"]


@pytest.mark.slow
def test_the_page_s_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = text_of("python")
    exec(compile(code, PAGE.name, "exec"), {})
    printed = capsys.readouterr().out
    assert "openness is at least 1." in printed
    assert "first_order" in printed


def test_the_page_names_options_and_outcomes_there_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    told = run_flowcast("explore", "--help").output
    for option in set(re.findall(r"`?(--[a-z][a-z-]+)", text)):
        assert option in told, option
    outcomes = re.findall(r"--outcome (\S+:\S+)", text)
    assert outcomes
    for one in outcomes:
        try:
            read_outcome(one)
        except UsageError as error:
            pytest.fail(str(error))
