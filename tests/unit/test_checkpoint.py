"""Stages of a fit that are kept, and fits that go on where they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from support import changed

from flowcast.config import Sampler
from flowcast.inference import fit, fit_problem, laplace
from flowcast.inference.checkpoint import Checkpoint, open_checkpoint, problem_fingerprint
from flowcast.model.problem import Problem, with_values
from flowcast.simulation import simulate_world, simulation_spec

SAMPLER = Sampler(min_ess=5, importance_draws=1500, kept_draws=30, sweeps=1, seed=7)


@pytest.fixture(autouse=True)
def any_weights_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let importance weights pass: what is kept does not depend on the verdict."""
    monkeypatch.setattr(laplace, "max_pareto_k", lambda n: np.inf)
    monkeypatch.setattr(fit, "sample_nuts", lambda *_: pytest.fail("NUTS was asked for"))


def make_problem(**sampler: Any) -> Problem:  # noqa: ANN401
    spec = simulation_spec(sampler=SAMPLER.model_copy(update=sampler))
    return simulate_world(4, 2, seed=5, spec=spec).problem


def test_a_stage_is_made_once(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path)
    assert not kept.has("one")
    first = kept.stage("one", lambda: {"a": np.arange(3.0)})
    again = kept.stage("one", lambda: pytest.fail("made twice"))
    np.testing.assert_array_equal(first["a"], again["a"])
    assert kept.has("one")
    assert [file.name for file in tmp_path.iterdir()] == ["one.npz"]


def test_without_a_folder_nothing_is_kept() -> None:
    made = []
    for _ in range(2):
        Checkpoint(None).stage("one", lambda: made.append(1) or {"a": np.zeros(1)})
    assert len(made) == 2


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Checkpoint(tmp_path).stage("one", broken)
    assert list(tmp_path.iterdir()) == []


def test_what_belongs_to_other_data_is_not_used(tmp_path: Path) -> None:
    problem = make_problem()
    open_checkpoint(tmp_path / "work", problem).stage("mode", lambda: {"x": np.zeros(1)})
    assert open_checkpoint(tmp_path / "work", problem).has("mode")
    other = with_values(problem, problem.reports.value + 1.0)
    assert not open_checkpoint(tmp_path / "work", other).has("mode")


def test_the_fingerprint_follows_model_seed_and_data() -> None:
    problem = make_problem()
    assert problem_fingerprint(problem) == problem_fingerprint(make_problem())
    others = [make_problem(seed=8), with_values(problem, problem.reports.value + 1.0)]
    spec = changed(problem.spec, process={"sd_origin": {"half_normal": 0.5}})
    others.append(simulate_world(4, 2, seed=5, spec=spec).problem)
    assert len({problem_fingerprint(p) for p in [problem, *others]}) == 4


def assert_same(one: xr.DataTree, other: xr.DataTree) -> None:
    assert set(one.children) == set(other.children)
    for group in one.children:
        xr.testing.assert_identical(one[group].to_dataset(), other[group].to_dataset())


class Stopped(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("where", ["curvature", "second batch", "latent flows"])
def test_a_fit_that_was_stopped_goes_on_and_ends_the_same(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem()
    whole, *_ = fit_problem(problem, prior=False)
    with monkeypatch.context() as patch:
        stop_at(where, patch)
        with pytest.raises(Stopped):
            fit_problem(problem, prior=False, checkpoint=tmp_path / "work")
    kept = {file.stem for file in (tmp_path / "work").glob("*.npz")}
    wanted = {
        "curvature": {"mode"},
        "second batch": {"mode", "curvature", "importance-0"},
        "latent flows": {"mode", "curvature", "importance-0", "importance-1"},
    }
    assert wanted[where] <= kept
    with monkeypatch.context() as patch:
        patch.setattr(fit, "find_mode", lambda *_: pytest.fail("the mode was found again"))
        resumed, *_ = fit_problem(problem, prior=False, checkpoint=tmp_path / "work")
    assert_same(resumed, whole)


def stop_at(where: str, patch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    if where == "curvature":
        patch.setattr(fit, "build_coordinates", stop)
    elif where == "latent flows":
        patch.setattr(fit, "recover_latent", stop)
    else:
        evaluate, calls = laplace.evaluate, []

        def second(*arguments: Any) -> Any:  # noqa: ANN401
            calls.append(1)
            return evaluate(*arguments) if len(calls) < 3 else stop()  # probes, then two batches

        patch.setattr(laplace, "evaluate", second)
