"""The convergence gate, and what an estimate refuses before it samples."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.config import ModelSpec, Sampler
from flowcast.errors import HeldOutError, InputError
from flowcast.inference import estimate, judge_convergence
from flowcast.observations import observations_from_frame

SAMPLER = Sampler(min_ess=400, max_rhat=1.01)
NONE = np.zeros((4, 1000), dtype=bool)


def draws(seed: int = 1, **changes: Any) -> xr.Dataset:  # noqa: ANN401
    """Return independent draws of a number and of a vector with labels."""
    rng = np.random.default_rng(seed)
    data = xr.Dataset(
        {
            "sd_origin": (("chain", "draw"), rng.normal(size=(4, 1000))),
            "sd_noise": (("chain", "draw", "noise_class"), rng.normal(size=(4, 1000, 2))),
        },
        {"chain": range(4), "draw": range(1000), "noise_class": ["low", "high"]},
    )
    return data.assign(changes)


def test_independent_draws_pass() -> None:
    gate, table = judge_convergence(draws(), NONE, SAMPLER)
    assert gate.passed
    assert gate.failures == ()
    assert gate.worst["max_rhat"] < 1.01
    assert gate.worst["min_ess_bulk"] > 3000
    assert gate.worst["divergences"] == 0
    assert list(table.columns) == ["parameter", "mean", "sd", "rhat", "ess_bulk", "ess_tail"]
    assert table["parameter"].tolist() == ["sd_origin", "sd_noise[low]", "sd_noise[high]"]
    values = draws()["sd_noise"].to_numpy()[:, :, 1]
    assert table["mean"][2] == pytest.approx(values.mean())
    assert table["sd"][2] == pytest.approx(values.std())


def test_chains_that_disagree_are_named() -> None:
    data = draws()
    data["sd_noise"][0, :, 1] += 3.0
    gate, _ = judge_convergence(data, NONE, SAMPLER)
    assert not gate.passed
    assert any(f.startswith("sd_noise[high]: R-hat") for f in gate.failures)
    assert not any("sd_origin" in f or "[low]" in f for f in gate.failures)
    assert gate.worst["max_rhat"] > 1.1


def test_chains_that_creep_have_too_few_effective_draws() -> None:
    data = draws()
    noise = np.random.default_rng(2).normal(size=(4, 1000))
    creeping = np.zeros((4, 1000))
    for t in range(1, 1000):
        creeping[:, t] = 0.97 * creeping[:, t - 1] + noise[:, t]
    gate, table = judge_convergence(data.assign(sd_origin=(("chain", "draw"), creeping)), NONE,
                                    SAMPLER)  # fmt: skip
    assert any(f.startswith("sd_origin: ess_bulk") for f in gate.failures)
    assert not any("sd_noise" in f for f in gate.failures)
    assert gate.worst["min_ess_bulk"] == table["ess_bulk"].min() < 400


def test_one_divergence_fails_the_gate() -> None:
    diverging = NONE.copy()
    diverging[2, 7] = True
    gate, _ = judge_convergence(draws(), diverging, SAMPLER)
    assert gate.failures == ("1 divergent transitions",)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning:arviz_stats")
def test_a_parameter_that_never_moves_fails_the_gate() -> None:
    data = draws().assign(sd_origin=(("chain", "draw"), np.ones((4, 1000))))
    gate, _ = judge_convergence(data, NONE, SAMPLER)
    assert not gate.passed
    assert any(f.startswith("sd_origin") for f in gate.failures)


@pytest.mark.parametrize(("bound", "passed"), [(400, True), (10_000, False)])
def test_the_bounds_are_those_of_the_model(bound: float, passed: bool) -> None:
    gate, _ = judge_convergence(draws(), NONE, Sampler(min_ess=bound))
    assert gate.passed is passed


ROW = {"source": "reg", "family": "administrative", "measure": "flow", "origin": "DE",
       "destination": "FR", "year": 2020, "value": 3, "reporter": "origin"}  # fmt: skip


def test_held_out_observations_are_refused_before_anything_is_fitted() -> None:
    held = observations_from_frame(pd.DataFrame([ROW]), role="held_out")
    with pytest.raises(HeldOutError):
        estimate(ModelSpec(name="mine"), held)


def test_a_wrong_override_is_refused_like_a_wrong_file() -> None:
    given = observations_from_frame(pd.DataFrame([ROW]))
    with pytest.raises(InputError, match="did you mean draws"):
        estimate(ModelSpec(name="mine"), given, overrides={"sampler.drows": 3})
    with pytest.raises(InputError, match="greater than or equal to 10"):
        estimate(ModelSpec(name="mine"), given, draws=3)
