"""The command line as a user meets it: commands, exit codes, where output goes."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from support import tiny_posterior
from typer.testing import CliRunner, Result

import flowcast
from flowcast.cli import app
from flowcast.errors import Fault, HeldOutError, InputError
from flowcast.observations import Observations, read_observations
from flowcast.persistence import is_run, read_run, write_run
from flowcast.posterior import GateResult, Posterior
from flowcast.vocabulary import ESTIMATE_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "accounting",
    "check",
    "compare",
    "demo",
    "estimate",
    "explain",
    "iamc",
    "explore",
    "plot",
    "predict",
    "project",
    "publish",
    "sensitivity",
    "table",
    "validate",
}
HEADER = "source,family,measure,origin,destination,year,value,reporter"
MODEL = "name: mine\ndata: {observations: [flows.csv]}\n"

Fake = Callable[..., list[dict[str, Any]]]


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tree_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def reports(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


GOOD = reports(
    "mine,administrative,flow,DE,FR,2020,10,destination",
    "mine,administrative,flow,DE,FR,2020,8,origin",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and its reports."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MODEL)
    (tmp_path / "flows.csv").write_text(GOOD)
    return tmp_path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Replace the fit; what it was called with is returned."""

    def install(
        posterior: Posterior | None = None, error: BaseException | None = None
    ) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def estimate(
            model: str,
            observations: list[Path] | None = None,
            places: Path | None = None,
            corridors: Path | None = None,
            **options: object,
        ) -> Posterior:
            given = {"observations": observations, "places": places, "corridors": corridors}
            calls.append({"model": model, **given, **options})
            if error is not None:
                raise error
            return posterior or tiny_posterior(3, 1)

        module = SimpleNamespace(estimate=estimate)
        monkeypatch.setitem(sys.modules, "flowcast.inference", module)
        return calls

    return install


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tiny_posterior(), tmp_path_factory.mktemp("runs") / "tiny")


# Help, version, usage


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = run_flowcast("--help")
    assert done.exit_code == 0
    listed = done.stdout.split("Commands:")[1]
    assert {line.split()[0] for line in listed.splitlines() if line[:2] == "  "} >= COMMANDS
    assert "3 convergence gate" in done.stdout


def test_there_are_no_other_commands() -> None:
    assert {command.callback.__name__ for command in app.registered_commands} == COMMANDS  # type: ignore[union-attr]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    done = run_flowcast(command, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.stdout


def test_version() -> None:
    done = run_flowcast("--version")
    assert (done.exit_code, done.stdout) == (0, f"flowcast {flowcast.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["estimat"],
        ["estimate"],
        ["estimate", "mine.yaml", "--drws", "3"],
        ["estimate", "mine.yaml", "--draws", "many"],
        ["estimate", "mine.yaml", "--set", "draws"],
        ["estimate", "mine.yaml", "--set", "a=1", "--set", "a=2"],
        ["estimate", "mine.yaml", "--set", "a=[1"],
        ["table"],
        ["plot", "run"],
        ["predict", "run"],
        ["compare", "run"],
        ["check"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_so_on_stderr(folder: Path, arguments: list[str]) -> None:
    before = tree_of(folder)
    done = run_flowcast(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr
    assert tree_of(folder) == before


# check


def test_check_accepts_good_files(folder: Path) -> None:
    done = run_flowcast("check", "flows.csv", "mine.yaml")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "flows.csv  observations  2 rows, 2 places, flow" in done.stdout


def test_check_lists_every_fault_of_every_file(folder: Path) -> None:
    (folder / "bad.csv").write_text(
        reports("m,survey,flow,DE,DE,2020,1,origin", "m,surv,flow,DE,FR,2020,-3,origin")
    )
    (folder / "bad.yaml").write_text("name: bad\nsampler: {darws: 3}\n")
    done = run_flowcast("check", "bad.csv", "bad.yaml", "flows.csv", "none.csv")
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    for said in ("row 2", "'surv'", "found -3;", "did you mean survey", "darws", "none.csv"):
        assert said in done.stderr, said
    assert done.stderr.startswith("flowcast: ")
    assert "flows.csv" in done.stdout
    assert "3 faults" in done.stdout


# estimate


def test_estimate_writes_a_run_where_it_was_told(folder: Path, fake: Fake) -> None:
    fake()
    done = run_flowcast("estimate", "mine.yaml", "--out", "runs/one")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "Written: runs/one" in done.stderr
    assert is_run("runs/one")


def test_estimate_names_the_run_after_the_model(folder: Path, fake: Fake) -> None:
    fake()
    assert run_flowcast("estimate", "mine.yaml").exit_code == 0
    assert is_run("runs/mine")


def test_estimate_is_quiet_if_asked(folder: Path, fake: Fake) -> None:
    calls = fake()
    done = run_flowcast("estimate", "mine.yaml", "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert calls[0]["progress"] is False


def test_estimate_passes_everything_on(folder: Path, fake: Fake) -> None:
    calls = fake()
    (folder / "places.csv").write_text("place,population\nDE,83000000\nFR,68000000\n")
    options = ["--draws", 50, "--tune", 20, "--chains", 3, "--seed", 7]
    settings = ["--set", "tails.reports=null", "--set", "sampler.target_accept=0.95"]
    done = run_flowcast("estimate", "mine.yaml", *options, *settings, "--places", "places.csv")
    assert done.exit_code == 0, done.stderr
    (call,) = calls
    assert {name: call[name] for name in ("draws", "tune", "chains", "seed")} == {
        "draws": 50,
        "tune": 20,
        "chains": 3,
        "seed": 7,
    }
    assert call["overrides"] == {"tails.reports": None, "sampler.target_accept": 0.95}
    assert call["places"] == Path("places.csv")
    assert call["observations"] is None
    assert call["progress"] is True


def test_several_files_of_reports_are_passed_on(folder: Path, fake: Fake) -> None:
    calls = fake()
    files = ["--observations", "flows.csv", "--observations", "more.csv"]
    assert run_flowcast("estimate", "mine.yaml", *files).exit_code == 0
    assert calls[0]["observations"] == [Path("flows.csv"), Path("more.csv")]


def test_what_the_fit_prints_does_not_reach_stdout(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimate(*_: object, **__: object) -> Posterior:
        print("step 1")
        return tiny_posterior(2, 1)

    monkeypatch.setitem(sys.modules, "flowcast.inference", SimpleNamespace(estimate=estimate))
    done = run_flowcast("estimate", "mine.yaml")
    assert done.stdout == ""
    assert "step 1" in done.stderr


def test_bad_input_is_refused_with_all_faults_and_nothing_is_written(
    folder: Path, fake: Fake
) -> None:
    fake(error=InputError([Fault("bad.csv", "the first fault only")]))
    (folder / "bad.csv").write_text(
        reports("m,survey,flow,DE,DE,2020,1,origin", "m,survey,flow,DE,FR,2020,-3,origin")
    )
    (folder / "places.csv").write_text("place,population\nXX,1\n")
    before = tree_of(folder)
    done = run_flowcast(
        "estimate", "mine.yaml", "--observations", "bad.csv", "--places", "places.csv"
    )
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "4 faults" in done.stderr
    for said in ("row 2", "found -3;", "'XX'", "the first fault only"):
        assert said in done.stderr, said
    assert tree_of(folder) == before


def test_a_misspelt_setting_is_refused_with_the_nearest_key(folder: Path, fake: Fake) -> None:
    calls = fake()
    before = tree_of(folder)
    done = run_flowcast("estimate", "mine.yaml", "--set", "sampler.darws=9")
    assert done.exit_code == 1
    assert "draws?" in done.stderr
    assert (calls, tree_of(folder)) == ([], before)


def test_held_out_observations_are_refused(folder: Path, fake: Fake) -> None:
    held_out = read_observations("flows.csv", role="held_out")
    with pytest.raises(HeldOutError) as caught:
        held_out.require_fit()
    fake(error=caught.value)
    before = tree_of(folder)
    done = run_flowcast("estimate", "mine.yaml")
    assert done.exit_code == 1
    assert "held-out" in done.stderr
    assert tree_of(folder) == before


def test_a_run_that_did_not_converge_is_written_and_exits_with_3(folder: Path, fake: Fake) -> None:
    fake(tiny_posterior(passed=False))
    done = run_flowcast("estimate", "mine.yaml", "--quiet")
    assert done.exit_code == 3
    assert "R-hat 1.200 is above 1.010" in done.stderr
    manifest = json.loads((folder / "runs" / "mine" / "manifest.json").read_text())
    assert manifest["gate"]["passed"] is False


def test_of_many_failures_the_first_are_told(folder: Path, fake: Fake) -> None:
    failures = tuple(f"parameter[{k}]: R-hat 1.5" for k in range(30))
    fake(replace(tiny_posterior(2, 1), gate=GateResult(False, failures)))
    done = run_flowcast("estimate", "mine.yaml")
    assert done.exit_code == 3
    assert "parameter[7]" in done.stderr
    assert "parameter[8]" not in done.stderr
    assert "and 22 more" in done.stderr
    manifest = json.loads((folder / "runs" / "mine" / "manifest.json").read_text())
    assert len(manifest["gate"]["failures"]) == 30


def test_a_finished_run_is_kept_before_anything_is_computed(folder: Path, fake: Fake) -> None:
    calls = fake()
    assert run_flowcast("estimate", "mine.yaml").exit_code == 0
    done = run_flowcast("estimate", "mine.yaml")
    assert done.exit_code == 2
    assert "--force" in done.stderr
    assert len(calls) == 1
    assert run_flowcast("estimate", "mine.yaml", "--force").exit_code == 0
    assert len(calls) == 2


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback(folder: Path, fake: Fake, place: str) -> None:
    fake(error=HeldOutError("no"))
    arguments = ["estimate", "mine.yaml"]
    arguments = ["--debug", *arguments] if place == "before" else [*arguments, "--debug"]
    assert isinstance(run_flowcast(*arguments).exception, HeldOutError)


def test_a_bug_is_not_dressed_up_as_bad_input(folder: Path, fake: Fake) -> None:
    fake(error=ZeroDivisionError("a bug"))
    assert isinstance(run_flowcast("estimate", "mine.yaml").exception, ZeroDivisionError)


def test_a_file_that_cannot_be_written_is_told_without_traceback(folder: Path, fake: Fake) -> None:
    fake()
    done = run_flowcast("estimate", "mine.yaml", "--out", "flows.csv/run")
    assert done.exit_code == 1
    assert "flows.csv" in done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit)


# table


def test_table_prints_csv_and_nothing_else(written: Path) -> None:
    done = run_flowcast("table", written)
    assert (done.exit_code, done.stderr) == (0, "")
    table = pd.read_csv(io.StringIO(done.stdout), keep_default_na=False, na_values=[""])
    assert list(table.columns) == list(ESTIMATE_COLUMNS)
    assert len(table) == 12 * 2 * 3


def test_table_takes_measure_probabilities_groups_and_definition(written: Path) -> None:
    options = ["--measure", "immigration", "--prob", 0.9, "--prob", 0.5, "--definition", 3]
    done = run_flowcast("table", written, *options, "--by", "germanic=AT,DE", "--by", "FR")
    assert done.exit_code == 0, done.stderr
    table = pd.read_csv(io.StringIO(done.stdout))
    assert set(table["destination"]) == {"germanic", "FR"}
    assert set(table["prob"]) == {0.5, 0.9}
    assert set(table["measure"]) == {"immigration"}


def test_table_groups_by_known_groupings(written: Path) -> None:
    done = run_flowcast("table", written, "--measure", "net", "--by", "EU27_2020")
    assert done.exit_code == 0, done.stderr
    assert "EU27_2020" in done.stdout


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx", "html", "latex", "md", "json"])
def test_table_writes_every_format(written: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "table.out"
    done = run_flowcast("table", written, "--format", form, "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.stat().st_size > 0


def test_table_takes_the_format_from_the_file_name(written: Path, tmp_path: Path) -> None:
    assert run_flowcast("table", written, "--out", tmp_path / "t.json").exit_code == 0
    assert json.loads((tmp_path / "t.json").read_text())["rows"]


def test_the_same_run_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = write_run(read_run(written), tmp_path / "again")
    for form in ("csv", "parquet", "json"):
        files = [tmp_path / f"{name}.{form}" for name in ("a", "b")]
        for run, file in zip((written, again), files, strict=True):
            assert run_flowcast("table", run, "--out", file).exit_code == 0
        assert files[0].read_bytes() == files[1].read_bytes(), form
    assert run_flowcast("table", written).stdout == run_flowcast("table", again).stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--measure", "flows"], "did you mean flow?"),
        (["--prob", "95"], "allowed: probabilities"),
        (["--definition", "24"], "24 months"),
        (["--format", "xls"], "did you mean xlsx?"),
        (["--format", "xlsx"], "--out"),
        (["--by", "=DE"], "name=AA,BB"),
        (["--by", "a=DE", "--by", "a=FR"], "twice"),
        (["--out", "no/such/folder/t.csv"], "no/such/folder"),
    ],
)
def test_table_refuses_what_it_cannot_serve(
    written: Path, options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_flowcast("table", written, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert tree_of(tmp_path) == []


def test_an_unknown_group_is_bad_input(written: Path) -> None:
    done = run_flowcast("table", written, "--measure", "net", "--by", "EU27_202O")
    assert done.exit_code == 1
    assert "EU27_2020" in done.stderr


def test_a_run_that_was_changed_is_refused(written: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    copytree(written, run)
    (run / "model.yaml").write_text("name: forged\n")
    for command in (["table", run], ["plot", run, "heatmap", "--out", tmp_path / "p.png"]):
        done = run_flowcast(*command)
        assert done.exit_code == 1
        assert "model.yaml" in done.stderr
    assert tree_of(tmp_path) == ["run", *(f"run/{path.name}" for path in sorted(run.iterdir()))]


# predict, plot, compare


def test_predict_writes_the_rows_given_with_quantiles(
    folder: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(posterior: Posterior, observations: Observations, *, seed: int) -> pd.DataFrame:
        return observations.table.assign(median=float(seed))

    monkeypatch.setitem(sys.modules, "flowcast.prediction", SimpleNamespace(predict=predict))
    options = ["--observations", "flows.csv", "--out", "p.csv", "--seed", 4]
    done = run_flowcast("predict", written, *options)
    assert (done.exit_code, done.stdout) == (0, "")
    assert pd.read_csv("p.csv")["median"].tolist() == [4.0, 4.0]


def test_plot_writes_a_figure(written: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures" / "h.png"
    done = run_flowcast("plot", written, "heatmap", "--period", 2021, "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["heatmop", "--out", "h.png"], "heatmap?"), (["heatmap", "--out", "h.gif"], ".png")],
)
def test_plot_refuses_what_it_cannot_draw(
    written: Path,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_flowcast("plot", written, *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert tree_of(tmp_path) == []


def test_compare_says_what_changed_and_why(written: Path, tmp_path: Path) -> None:
    other = write_run(tiny_posterior(seed=2), tmp_path / "other")
    done = run_flowcast("compare", written, other, "--top", 3)
    assert (done.exit_code, done.stderr) == (0, "")
    assert str(written) in done.stdout
    assert "seed" in done.stdout
    assert "Largest changes of the median (3 cells)" in done.stdout


def test_compare_takes_a_table_for_a_run(written: Path, tmp_path: Path) -> None:
    table = tmp_path / "published.csv"
    assert run_flowcast("table", written, "--out", table).exit_code == 0
    done = run_flowcast("compare", written, table)
    assert done.exit_code == 0, done.stderr
    assert "in 0 cells" in done.stdout


# As processes: interruptions and pipes

FIT = """
import sys, time
from types import SimpleNamespace
from support import tiny_posterior

def estimate(*_, **__):
    print("fitting", flush=True, file=sys.__stdout__)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        if {obedient}:
            raise
    return tiny_posterior()

sys.modules["flowcast.inference"] = SimpleNamespace(estimate=estimate)
from flowcast.cli import main
main()
"""


def environment() -> dict[str, str]:
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.parametrize("obedient", [True, False], ids=["raised", "swallowed"])
def test_ctrl_c_during_the_fit_exits_with_130_and_writes_nothing(
    folder: Path, obedient: bool
) -> None:
    """Samplers may return what they have when interrupted: that is not a result."""
    before = tree_of(folder)
    command = [sys.executable, "-c", FIT.format(obedient=obedient), "estimate", "mine.yaml"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fitting\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    assert tree_of(folder) == before


def test_a_reader_that_goes_away_is_no_error_message(written: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "flowcast", "table", str(written)]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, env=environment(), check=False
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


def test_python_m_flowcast_is_the_command() -> None:
    command = [sys.executable, "-m", "flowcast", "--version"]
    done = subprocess.run(command, capture_output=True, env=environment(), text=True, check=True)
    assert done.stdout == f"flowcast {flowcast.__version__}\n"
