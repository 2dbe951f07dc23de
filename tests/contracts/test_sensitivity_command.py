"""`flowcast sensitivity`: what it prints, writes and refuses, and how it ends."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import laplace_posterior, tiny_posterior
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.fanout import TasksError
from flowcast.persistence import write_run
from flowcast.posterior import GateResult, Posterior
from flowcast.simulation import simulate_world
from flowcast.validation import POWER_COLUMNS, SENSITIVITY_COLUMNS, summarise_sensitivity

Fake = Callable[..., list[dict[str, Any]]]


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\ndata: {observations: [flows.csv]}\n")
    (tmp_path / "flows.csv").write_text("origin,destination,value\n")
    return tmp_path


def moved(*notes: str, passed: bool = True) -> pd.DataFrame:
    row = {
        "measure": "immigration", "origin": np.nan, "destination": "DE",
        "period_start": "2020-01-01", "period_end": "2021-01-01",
        "median": 110.0, "sd": 12.0, "lower": 90.0, "upper": 130.0,
        "prob": 0.8, "kind": "equal-tailed", "base_median": 100.0, "method": "nuts",
    }  # fmt: skip
    rows = [
        {**row, "alternative": "base", "shift": 0.0, "sd_ratio": 1.0, "gate_passed": True},
        {**row, "alternative": "wide", "shift": 1.0, "sd_ratio": 1.2, "gate_passed": passed},
    ]
    table = pd.DataFrame(rows)[list(SENSITIVITY_COLUMNS)]
    table.attrs = {"model": "mine", "unit": "persons per period", "notes": list(notes)}
    return table


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Replace the fits; what was asked for is returned."""

    def install(
        *notes: str, error: BaseException | None = None, passed: bool = True
    ) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def sensitivity(*inputs: object, **options: Any) -> pd.DataFrame:  # noqa: ANN401
            calls.append({"inputs": inputs, **options})
            options["folder"].mkdir(parents=True)
            print("chatter of a library")
            if error is not None:
                raise error
            return moved(*notes, passed=passed)

        module = SimpleNamespace(
            sensitivity=sensitivity, summarise_sensitivity=summarise_sensitivity
        )
        monkeypatch.setitem(sys.modules, "flowcast.validation", module)
        return calls

    return install


def test_the_short_table_goes_to_stdout_and_the_whole_one_to_the_file(
    folder: Path, fake: Fake
) -> None:
    calls = fake("memory_off is left out: the model has none")
    done = run_flowcast("sensitivity", "mine.yaml", "--out", "all.csv")
    assert done.exit_code == 0
    short = pd.read_csv(io.StringIO(done.stdout))
    assert short["alternative"].tolist() == ["wide"]
    assert short["level"].tolist() == [1.1]
    assert short["largest_at"].tolist() == ["immigration of DE from 2020-01-01"]
    assert len(pd.read_csv(folder / "all.csv")) == 2
    assert "memory_off is left out" in done.stderr
    assert "chatter" in done.stderr
    (call,) = calls
    assert call.pop("folder") == Path("runs/.mine.sensitivity")
    assert not (folder / "runs" / ".mine.sensitivity").exists()
    assert call == {
        "inputs": ("mine.yaml", [], None, None, None), "seed": 1, "scheduler": None,
        "workers": None, "overrides": {}, "progress": True,
    }  # fmt: skip


def test_options_arrive(folder: Path, fake: Fake) -> None:
    calls = fake()
    options = ["--alternatives", "tails_normal", "--alternatives", "own.yaml", "--seed", 4]
    options += ["--observations", "flows.csv", "--places", "p.csv", "--corridors", "c.csv"]
    options += ["--workers", 2, "--resume", "kept", "--set", "sampler.draws=60", "--quiet"]
    assert run_flowcast("sensitivity", "mine.yaml", *options).exit_code == 0
    (call,) = calls
    assert call == {
        "inputs": ("mine.yaml", ["tails_normal", "own.yaml"], [Path("flows.csv")], Path("p.csv"),
                   Path("c.csv")),
        "seed": 4, "scheduler": None, "workers": 2, "folder": Path("kept"),
        "overrides": {"sampler.draws": 60}, "progress": False,
    }  # fmt: skip
    assert (folder / "kept").is_dir()


def test_fits_that_did_not_converge_are_told_and_end_with_3(folder: Path, fake: Fake) -> None:
    fake("the fit of wide did not pass the convergence gate (R-hat)", passed=False)
    done = run_flowcast("sensitivity", "mine.yaml")
    assert done.exit_code == 3
    assert "the fit of wide did not pass" in done.stderr
    assert "wide" in done.stdout


@pytest.mark.parametrize(
    ("error", "code"), [(TasksError({"wide": "no part"}, 2), 1), (KeyboardInterrupt(), 130)]
)
def test_finished_fits_stay_if_it_fails(
    folder: Path, fake: Fake, error: BaseException, code: int
) -> None:
    fake(error=error)
    done = run_flowcast("sensitivity", "mine.yaml", "--out", "all.csv")
    assert (done.exit_code, done.stdout) == (code, "")
    assert (folder / "runs" / ".mine.sensitivity").is_dir()
    assert not (folder / "all.csv").exists()


def test_an_unknown_alternative_is_told_with_the_nearest(folder: Path) -> None:
    done = run_flowcast("sensitivity", "mine.yaml", "--alternatives", "tails_norml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "did you mean tails_normal?" in done.stderr


# The draws of a run


@pytest.fixture(scope="module")
def known() -> Posterior:
    posterior = laplace_posterior(simulate_world(3, 1, seed=1).problem, n_draws=60)
    told = xr.Dataset({"collapsed": (("chain", "draw"), np.linspace(0.0, 2.0, 120).reshape(2, 60))})
    posterior.tree["log_likelihood"] = xr.DataTree(told)
    return posterior


@pytest.fixture(scope="module")
def run(known: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(known, tmp_path_factory.mktemp("power") / "run")


def test_a_run_is_weighed_without_any_fit(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "power.csv"
    done = run_flowcast("sensitivity", run, "--power", "--out", out)
    assert (done.exit_code, "Note" in done.stderr) == (0, False), done.output
    table = pd.read_csv(out)
    assert tuple(table) == POWER_COLUMNS
    short = pd.read_csv(io.StringIO(done.stdout))
    assert set(short["quantity"]) <= set(table["quantity"])
    assert {"priors", "prior", "sensitivity", "shift", "diagnosis"} <= set(short)


def test_a_run_that_did_not_converge_ends_with_3(known: Posterior, tmp_path: Path) -> None:
    failed = replace(known, gate=GateResult(False, ("R-hat",), {}))
    done = run_flowcast("sensitivity", write_run(failed, tmp_path / "run"), "--power")
    assert done.exit_code == 3
    assert "did not pass the convergence gate" in done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "more", [["--alternatives", "tails_normal"], ["--observations", "f.csv"], ["--set", "a=1"]]
)
def test_options_of_fits_are_refused_beside_power(run: Path, more: list[str]) -> None:
    done = run_flowcast("sensitivity", run, "--power", *more)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--power" in done.stderr


def test_a_run_where_a_model_is_wanted_is_refused_with_the_way_out(run: Path) -> None:
    done = run_flowcast("sensitivity", run)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--power" in done.stderr


def test_what_is_no_run_or_has_few_draws_is_refused(tmp_path: Path) -> None:
    done = run_flowcast("sensitivity", tmp_path / "none", "--power")
    assert done.exit_code == 1
    assert "no such folder" in done.stderr
    few = write_run(tiny_posterior(3, 1, n_draws=10), tmp_path / "few")
    assert run_flowcast("sensitivity", few, "--power").exit_code == 2


def test_a_file_that_cannot_be_written_is_told_before_anything_is_fitted(
    folder: Path, fake: Fake
) -> None:
    calls = fake()
    assert run_flowcast("sensitivity", "mine.yaml", "--out", "t.doc").exit_code == 2
    assert calls == []
