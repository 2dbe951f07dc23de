"""The posterior object: what it says of itself, and what may not be changed."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
from support import EVIDENCE_CYCLE, tiny_posterior

from flowcast.posterior import GateResult

WORST = {"max_rhat": 1.0049, "min_ess_bulk": 812.6, "min_ess_tail": 640.2, "divergences": 3.0}


@pytest.mark.parametrize(("passed", "word"), [(True, "passed: "), (False, "NOT PASSED: ")])
def test_a_gate_says_its_verdict_and_the_worst_figures(passed: bool, word: str) -> None:
    assert str(GateResult(passed, (), WORST)) == (
        f"{word}R-hat at most 1.005, bulk ESS at least 813, tail ESS at least 640, 3 divergences"
    )


def test_a_gate_without_figures_claims_none() -> None:
    text = str(GateResult(passed=False))
    assert text.startswith("NOT PASSED: R-hat at most nan, bulk ESS at least nan")


def test_gates_are_equal_by_what_they_say() -> None:
    assert GateResult(True, (), WORST) == GateResult(True, (), dict(WORST))
    assert GateResult(True, (), WORST) != GateResult(False, ("sd_noise: R-hat 1.2",), WORST)


def test_nothing_of_a_posterior_can_be_replaced() -> None:
    posterior = tiny_posterior(3, 1)
    for name in ("tree", "spec", "gate", "diagnostics", "info"):
        with pytest.raises(FrozenInstanceError):
            setattr(posterior, name, None)
    with pytest.raises(FrozenInstanceError):
        posterior.gate.passed = True  # type: ignore[misc]


def test_flows_and_evidence_are_read_from_their_groups() -> None:
    flows = 10.0 + np.arange(6)[:, None] + 100.0 * np.arange(2)
    posterior = tiny_posterior(3, 2, flows=flows)
    assert posterior.log_flow.dims == ("chain", "draw", "corridor", "period")
    np.testing.assert_allclose(np.exp(posterior.log_flow[1, 7]), flows)
    assert posterior.evidence.dims == ("corridor", "period")
    assert posterior.evidence.values.ravel().tolist() == list(np.resize(EVIDENCE_CYCLE, 12))
    assert posterior.evidence["origin"].values[0] == "AT"


def test_a_posterior_says_how_large_it_is_and_whether_it_converged() -> None:
    text = repr(tiny_posterior(4, 3, n_chains=2, n_draws=40, passed=False))
    assert text.startswith("<flowcast.Posterior tiny: 12 corridors x 3 periods, 80 latent draws")
    assert "gate NOT PASSED: R-hat at most 1.200" in text
    assert "gate passed" in repr(tiny_posterior(4, 3))


def test_its_page_shows_the_eight_parameters_with_the_fewest_effective_draws() -> None:
    table = pd.DataFrame(
        {
            "parameter": [f"p{k:02d}" for k in range(12)],
            "mean": 0.123456,
            "sd": 1.0,
            "rhat": 1.0,
            "ess_bulk": [500.0 + 37 * ((7 * k) % 12) for k in range(12)],
            "ess_tail": 900.0,
        }
    )
    page = replace(tiny_posterior(3, 1), diagnostics=table)._repr_html_()
    few = {f"p{k:02d}" for k in range(12) if (7 * k) % 12 < 8}
    assert {p for p in table["parameter"] if p in page} == few
    assert page.index("p00") < page.index("p07") < page.index("p02")
    assert "0.123<" in page
    assert "Gate passed" in page
