"""Alternatives by name: what they change, and which a model has no part for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import changed, tiny_posterior, varied_spec

from flowcast.config import ModelSpec
from flowcast.errors import InputError, UsageError
from flowcast.model.problem import Problem
from flowcast.observations import observations_from_frame
from flowcast.posterior import GateResult, Posterior
from flowcast.priors import Prior
from flowcast.simulation import simulate_world
from flowcast.validation import (
    alternatives,
    apply_alternatives,
    read_alternatives,
    sensitivity,
    summarise_sensitivity,
)
from flowcast.validation.fits import FitTask, lay_over
from flowcast.validation.named import _CHANGES, Alternative, choose_alternatives


@pytest.fixture(scope="module")
def problem() -> Problem:
    return simulate_world(4, 3, seed=1).problem


def laid(problem: Problem, **given: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the dotted keys of one alternative."""
    overrides, left_out = apply_alternatives({"one": Alternative(**given)}, problem)
    assert left_out == {}
    return overrides["one"]


def test_all_that_flowcast_has_say_what_they_assume_and_make_valid_models(
    problem: Problem,
) -> None:
    known = read_alternatives()
    assert all(one.about for one in known.values())
    overrides, left_out = apply_alternatives(known, problem)
    assert set(overrides) | set(left_out) == set(known)
    assert set(left_out) == {"counts_poisson"}  # it has them already
    for name, keys in overrides.items():
        assert lay_over(problem.spec, keys) != problem.spec, name


def test_what_a_model_has_no_part_for_is_left_out_with_the_reason() -> None:
    bare = simulate_world(4, 1, seed=1, spec=varied_spec("bare")).problem
    overrides, left_out = apply_alternatives(read_alternatives(), bare)
    assert {
        "tails_normal", "undercount_off", "undercount_vague", "definitions_off", "breaks_off",
        "corridor_reports_off", "memory_off", "reporters_alike", "spreads_wide",
    } <= set(left_out)  # fmt: skip
    assert left_out["memory_off"] == "the model has no autoregression with these reports"
    assert (
        left_out["undercount_more"] == "the model has none of these parameters with these reports"
    )
    assert {"gravity_vague", "noise_large"} <= set(overrides)


def test_definitions_that_are_all_the_same_are_no_part(problem: Problem) -> None:
    reports = problem.reports
    same = replace(problem, reports=replace(reports, duration=np.zeros_like(reports.duration)))
    assert "definitions_off" in apply_alternatives(read_alternatives(), same)[1]
    assert "definitions_off" in apply_alternatives(read_alternatives(), problem)[0]


def test_only_priors_of_parameters_that_there_are_change(problem: Problem) -> None:
    keys = laid(problem, times={"measurement.share_*": 0.9})
    there = {f"measurement.share_{label}" for label in problem.labels["share_class"]}
    assert set(keys) == there


SHAPES = {
    "normal": [0.4, 1.5], "half_normal": [0.8], "half_t": [5.0, 0.6], "log_normal": [-0.5, 0.7],
    "beta": [4.0, 2.5], "gamma": [2.0, 5.0], "exponential": [1.7], "positive_normal": [0.3, 0.5],
    "precision_gamma": [3.0, 0.4],
}  # fmt: skip


def moments(prior: Prior) -> tuple[float, float]:
    draws = prior.draw(np.random.default_rng(1), 60_000)
    return float(draws.mean()), float(draws.std())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_parameter_so_many_times_as_large_has_the_mean_multiplied(shape: str) -> None:
    prior = Prior.make(shape, SHAPES[shape])
    for factor in (0.8, 1.3):
        before, after = (moments(one) for one in (prior, _CHANGES["times"](prior, factor)))
        assert after[0] == pytest.approx(factor * before[0], rel=0.03)
        if shape != "beta":
            assert after[1] == pytest.approx(factor * before[1], rel=0.05)


@pytest.mark.parametrize("shape", ["normal", "beta", "gamma"])
def test_a_prior_so_many_times_as_wide_keeps_its_mean(shape: str) -> None:
    prior = Prior.make(shape, SHAPES[shape])
    before, after = (moments(one) for one in (prior, _CHANGES["widen"](prior, 1.5)))
    assert after[0] == pytest.approx(before[0], rel=0.03)
    assert after[1] == pytest.approx(1.5 * before[1], rel=0.02)


def test_a_log_normal_is_widened_around_its_median() -> None:
    wide = _CHANGES["widen"](Prior.make("log_normal", [-0.5, 0.3]), 2.0)
    assert stats.lognorm(wide.numbers[1], scale=np.exp(wide.numbers[0])).median() == pytest.approx(
        np.exp(-0.5)
    )
    assert wide.numbers[1] == 0.6


def test_covariates_keep_all_but_their_width(problem: Problem) -> None:
    keys = laid(problem, widen={"process.covariates": 3, "process.intercept": 3})
    spec = lay_over(problem.spec, keys)
    for old, new in zip(problem.spec.process.covariates, spec.process.covariates, strict=True):
        assert new.model_dump(exclude={"prior"}) == old.model_dump(exclude={"prior"})
        assert new.prior.numbers == (old.prior.numbers[0], 3 * old.prior.numbers[1])


def test_every_fault_of_alternatives_is_told_at_once(problem: Problem) -> None:
    wrong = {
        "a": Alternative(times={"process.sd_orign": 2}),
        "b": Alternative(times={"measurement.share_immigration_low": 5}),
        "c": Alternative(widen={"process.sd_origin": -1}),
        "d": Alternative(widen={"process.sd_destination": 2}),
    }
    with pytest.raises(InputError) as caught:
        apply_alternatives(wrong, problem)
    told = str(caught.value)
    assert "did you mean process.sd_origin?" in told
    assert "below 1" in told
    assert "a factor above 0" in told
    assert "half_normal has no centre" in told
    assert len(caught.value.faults) == 4


def test_a_file_of_ones_own_is_read_and_its_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("alternatives: {flat: {set: {process.autoregressive: false}}}\n")
    assert choose_alternatives([path, "tails_normal"]) == {
        "flat": Alternative(set={"process.autoregressive": False}),
        "tails_normal": read_alternatives()["tails_normal"],
    }
    path.write_text("alternatives: {flat: {sets: {a: 1}}, odd: {needs: [magic]}}\n")
    with pytest.raises(InputError) as caught:
        choose_alternatives([path])
    assert len(caught.value.faults) == 2
    assert "did you mean set?" in str(caught.value)


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean tails_normal"):
        choose_alternatives(["tails_norml"])


# Sensitivity by name


def rows(years: tuple[int, ...]) -> pd.DataFrame:
    pairs = [("AT", "DE"), ("DE", "AT"), ("AT", "FR"), ("FR", "AT"), ("DE", "FR"), ("FR", "DE")]
    return pd.DataFrame(
        [
            {
                "source": "register", "family": "administrative", "measure": "flow", "origin": o,
                "destination": d, "year": year, "reporter": side, "value": 50.0,
            }
            for o, d in pairs for year in years for side in ("origin", "destination")
        ]
    )  # fmt: skip


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(task: FitTask) -> Posterior:
        posterior = tiny_posterior(("AT", "DE", "FR"), 1)
        tree, delta = posterior.tree.copy(), "counts: delta" in task.model
        tree["latent"]["log_flow"] = tree["latent"]["log_flow"] + (0.4 if delta else 0.01)
        gate = GateResult(not delta, ("R-hat",) if delta else ())
        info = {**posterior.info, "method": "laplace"}
        return replace(posterior, tree=tree, gate=gate, info=info)

    monkeypatch.setattr(alternatives, "fit", fit)


@pytest.mark.usefixtures("faked")
def test_names_are_fitted_and_those_without_a_part_are_told() -> None:
    names = ["counts_delta", "tails_normal", "memory_off"]
    given = observations_from_frame(rows((2020,)))
    table = sensitivity(ModelSpec(name="mine"), names, given, workers=0)
    assert list(table["alternative"].unique()) == ["base", "counts_delta", "tails_normal"]
    assert table.attrs["notes"] == [
        "memory_off is left out: the model has no autoregression with these reports",
        "the fit of counts_delta did not pass the convergence gate (R-hat)",
    ]
    short = summarise_sensitivity(table).set_index("alternative")
    assert list(short.index) == ["counts_delta", "tails_normal"]
    assert short["level"].to_dict() == pytest.approx(
        {"counts_delta": np.exp(0.39), "tails_normal": 1.0}
    )
    assert short.loc["tails_normal", "typical_shift"] == 0.0
    assert short["gate_passed"].to_dict() == {"counts_delta": False, "tails_normal": True}
    worst = table.loc[table[table["alternative"] == "counts_delta"]["shift"].abs().idxmax()]
    assert short.loc["counts_delta", "largest_shift"] == worst["shift"]
    place = worst["origin"] if worst["measure"] == "emigration" else worst["destination"]
    assert f" of {place} from 2020-01-01" in short.loc["counts_delta", "largest_at"]


@pytest.mark.usefixtures("faked")
def test_alternatives_that_all_change_nothing_are_refused() -> None:
    given = observations_from_frame(rows((2020,)))
    spec = changed(ModelSpec(name="mine"), measurement={"undercount": False})
    with pytest.raises(UsageError, match="undercount_off: the model has no shares reported"):
        sensitivity(spec, ["undercount_off", "memory_off"], given, workers=0)
