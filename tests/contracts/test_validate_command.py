"""`flowcast validate` as a user meets it: output, exit codes, what is kept."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from flowcast._outcome import emit_scorecard
from flowcast.cli import app
from flowcast.errors import Fault, InputError
from flowcast.fanout import TasksError

COLUMNS = [
    "scheme", "fold", "indicator", "metric", "value", "baseline", "against", "apart", "difference",
    "se", "se_folds", "model", "fingerprint",
]  # fmt: skip
DEFAULTS = ("simple", "persistence", "gravity_ppml")
HEADER = "source,family,measure,origin,destination,year,value,reporter"
ROW = "mine,administrative,flow,DE,FR,2020,10,destination"
CALL = ("validate", "mine.yaml", "--scheme", "random")

Fake = Callable[..., list[dict[str, Any]]]


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tree_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\ndata: {observations: [flows.csv]}\n")
    (tmp_path / "flows.csv").write_text(f"{HEADER}\n{ROW}\n")
    return tmp_path


def scorecard(*notes: str, passed: float = 1.0) -> pd.DataFrame:
    alone = ["random", "all", "reports", "crps", 1.0 / 3.0, *3 * [float("nan")], 0.1, 0.2]
    against = ["random", "all", "reports", "crps", 0.5, 0.75, "simple", -0.25, 0.125, 0.2]
    gate = ["random", "all", "fit", "gate_passed", passed, *5 * [float("nan")]]
    told = ["mine", "0123456789abcdef"]
    rows = [[*row[:7], False, *row[7:], *told] for row in (against, alone, gate)]
    frame = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    frame.attrs = {"model": "mine", "notes": list(notes)}
    return frame


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Replace the cross-validation; what it was called with is returned."""

    def install(
        *notes: str, error: BaseException | None = None, passed: float = 1.0
    ) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def cross_validate(*inputs: object, **options: Any) -> pd.DataFrame:  # noqa: ANN401
            calls.append({"inputs": inputs, **options})
            options["folder"].mkdir(parents=True)
            (options["folder"] / "fold_1.result").touch()
            print("chatter of a library")
            if error is not None:
                raise error
            return scorecard(*notes, passed=passed)

        module = SimpleNamespace(cross_validate=cross_validate, DEFAULT_BASELINES=DEFAULTS)
        monkeypatch.setitem(sys.modules, "flowcast.validation", module)
        return calls

    return install


def test_the_scorecard_goes_to_stdout_and_nothing_else(folder: Path, fake: Fake) -> None:
    calls = fake()
    done = run_flowcast(*CALL)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == ",".join(COLUMNS)
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(done.stdout)), scorecard(), check_exact=True
    )
    assert "chatter" in done.stderr
    (call,) = calls
    assert call["inputs"] == ("mine.yaml", None, None, None)
    assert {k: v for k, v in call.items() if k not in ("inputs", "folder", "overrides")} == {
        "scheme": "random", "folds": None, "seed": 1, "scheduler": None, "workers": None,
        "families": None, "baselines": DEFAULTS, "tables": {}, "progress": True,
    }  # fmt: skip


def test_options_arrive(folder: Path, fake: Fake) -> None:
    calls = fake()
    options = ["--observations", "flows.csv", "--places", "p.csv", "--corridors", "c.csv"]
    options += ["--folds", 3, "--seed", 9, "--scheduler", "tcp://10.0.0.5:8786", "--quiet"]
    options += ["--set", "sampler.draws=60", "--resume", "kept"]
    options += ["--baseline", "mirror", "--baseline", "random_forest"]
    options += ["--baseline-table", "abel=abel.csv", "--withhold", "administrative"]
    assert run_flowcast("validate", "mine.yaml", "--scheme", "reporters", *options).exit_code == 0
    (call,) = calls
    assert call.pop("inputs") == ("mine.yaml", [Path("flows.csv")], Path("p.csv"), Path("c.csv"))
    assert call == {
        "scheme": "reporters", "folds": 3, "seed": 9, "scheduler": "tcp://10.0.0.5:8786",
        "workers": None, "folder": Path("kept"), "overrides": {"sampler.draws": 60},
        "progress": False, "baselines": ["mirror", "random_forest"],
        "tables": {"abel": Path("abel.csv")}, "families": ["administrative"],
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx", "html", "tex", "md", "json"])
def test_the_table_goes_into_a_file_by_its_suffix(folder: Path, fake: Fake, suffix: str) -> None:
    fake("fold 2 is odd")
    done = run_flowcast(*CALL, "--out", f"s.{suffix}")
    assert done.exit_code == 0  # a note is no failure
    assert "fold 2 is odd" in done.stderr
    assert done.stdout == ""
    assert (folder / f"s.{suffix}").stat().st_size > 0


def test_finished_folds_are_removed_at_the_end_unless_a_folder_was_named(
    folder: Path, fake: Fake
) -> None:
    fake()
    assert run_flowcast(*CALL, "--out", "s.csv").exit_code == 0
    assert not list(folder.rglob("*.result"))
    assert run_flowcast(*CALL, "--out", "s.csv", "--resume", "kept").exit_code == 0
    assert [path.parent.name for path in folder.rglob("*.result")] == ["kept"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TasksError({"fold 1": "no part for these"}, 5), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_finished_folds_stay_if_it_fails(
    folder: Path, fake: Fake, error: BaseException, code: int
) -> None:
    fake(error=error)
    done = run_flowcast(*CALL, "--out", "s.csv")
    assert done.exit_code == code
    assert "Traceback" not in done.stderr
    assert [str(p.relative_to(folder)) for p in folder.rglob("*.result")] == [
        "runs/.mine.random.folds/fold_1.result"
    ]
    assert not (folder / "s.csv").exists()


def test_a_scorecard_of_fits_that_did_not_converge_is_written_and_exits_with_3(
    folder: Path, fake: Fake
) -> None:
    fake("the fit of fold 2 did not pass the convergence gate (R-hat 1.2)", passed=0.5)
    done = run_flowcast(*CALL, "--out", "s.json")
    assert done.exit_code == 3
    assert "fold 2 did not pass" in done.stderr
    assert "fold 2 did not pass" in (folder / "s.json").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", "mine.yaml"],
        ["validate", "--scheme", "random"],
        [*CALL, "--folds", "many"],
        [*CALL, "--out", "s.doc"],
        [*CALL, "--out", "no/such/folder/s.csv"],
        [*CALL, "--set", "draws"],
        [*CALL, "--html", "page.txt"],
        [*CALL, "--html", "page.csv"],
        [*CALL, "--html", "no/such/folder/page.html"],
        [*CALL, "--baseline-table", "abel.csv"],
        [*CALL, "--baseline-table", "a=b.csv", "--baseline-table", "a=c.csv"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_computed(
    folder: Path, fake: Fake, arguments: list[str]
) -> None:
    calls, before = fake(), tree_of(folder)
    done = run_flowcast(*arguments)
    assert (done.exit_code, done.stdout, calls) == (2, "", [])
    assert done.stderr
    assert tree_of(folder) == before


def test_an_unknown_scheme_is_told_with_the_nearest(folder: Path) -> None:
    done = run_flowcast("validate", "mine.yaml", "--scheme", "reporter")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "did you mean reporters?" in done.stderr


def test_an_unknown_baseline_is_told_with_the_nearest(folder: Path) -> None:
    done = run_flowcast(*CALL, "--baseline", "persistance")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "did you mean persistence?" in done.stderr


def test_the_faults_of_a_table_of_estimates_are_told(folder: Path) -> None:
    (folder / "abel.csv").write_text("origin,destination,year,value\nDE,FR,2020,-5\n")
    done = run_flowcast(*CALL, "--baseline-table", "abel=abel.csv")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "(abel.csv, row 2, value) | found -5; allowed: persons, 0 or more" in done.stderr


def test_the_page_is_written_beside_the_table(
    folder: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake()
    page = SimpleNamespace(write_page=lambda card, path: path.write_text(f"{len(card)} rows"))
    monkeypatch.setitem(sys.modules, "flowcast.scorecard_page", page)
    done = run_flowcast(*CALL, "--html", "page.html")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == ",".join(COLUMNS)
    assert (folder / "page.html").read_text() == "3 rows"
    assert "Written: page.html" in done.stderr


def test_a_terminal_shows_the_rows_that_matter(
    fake: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    emit_scorecard(scorecard(), None)
    shown, said = capsys.readouterr()
    assert "Shown: 2 of 3 rows" in said
    assert "crps" in shown
    assert "gate_passed" not in shown


def test_the_faults_of_every_input_are_told(folder: Path, fake: Fake) -> None:
    fake(error=InputError([Fault("flows.csv", "the first fault only")]))
    (folder / "flows.csv").write_text(f"{HEADER}\n{ROW.replace('DE', 'XX').replace('10', '-1')}\n")
    (folder / "places.csv").write_text("place,population\nYY,1\n")
    done = run_flowcast(*CALL, "--places", "places.csv")
    assert (done.exit_code, done.stdout) == (1, "")
    for said in ("'XX'", "found -1;", "'YY'", "the first fault only"):
        assert said in done.stderr, said
