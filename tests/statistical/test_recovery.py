"""A fit of a simulated world finds the truth, as often as its intervals promise.

Seeded, so that a failure means a change in the code and not bad luck.
"""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import Sampler
from flowcast.inference import fit_problem
from flowcast.posterior import GateResult
from flowcast.simulation import SimulatedWorld, simulate_world, simulation_spec

pytestmark = pytest.mark.statistical

SAMPLER = Sampler(
    method="nuts", draws=300, tune=200, chains=2, seed=5, kept_draws=400, min_ess=100, max_rhat=1.05
)
HYPER: dict[str, Any] = {
    "sd_origin": 0.5,
    "sd_destination": 0.5,
    "sd_corridor": 0.6,
    "sd_innovation": 0.15,
    "ar_coefficient": 0.6,
    "sd_reporter": np.array([0.2, 0.2]),
    "sd_reporter_period": np.array([0.05, 0.05]),
    "sd_corridor_report": np.array([0.1, 0.1]),
}


def world(noise: float, seed: int = 14) -> SimulatedWorld:
    spec = simulation_spec(sampler=SAMPLER)
    classes = simulate_world(6, 4, seed=seed, spec=spec, missing=0.15).problem.labels["noise_class"]
    hyper = HYPER | {"sd_noise": np.full(len(classes), noise)}
    return simulate_world(6, 4, seed=seed, spec=spec, missing=0.15, hyper=hyper)


Fit = tuple[SimulatedWorld, xr.DataTree, GateResult]


def fit(made: SimulatedWorld) -> Fit:
    tree, gate, _, _ = fit_problem(made.problem, prior=False)
    return made, tree, gate


@pytest.fixture(scope="module")
def sharp() -> Fit:
    return fit(world(0.15))


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fit(world(0.9))


def quantiles(tree: xr.DataTree, *probs: float) -> NDArray[np.float64]:
    draws = tree["latent"]["log_flow"].to_numpy()
    return np.quantile(draws, probs, axis=(0, 1))


def test_the_gate_passes(sharp: Fit) -> None:
    _, tree, gate = sharp
    assert gate.passed, gate.failures
    assert gate.worst["divergences"] == 0
    # Sweeps move the draws that are kept, and only those.
    assert tree["posterior"].sizes["draw"] == tree["latent"].sizes["draw"] == 200
    assert tree["latent"]["log_flow"].dims == ("chain", "draw", "corridor", "period")


@pytest.mark.parametrize("which", ["sharp", "noisy"])
def test_ninety_percent_intervals_hold_about_ninety_percent_of_the_true_flows(
    which: str, request: pytest.FixtureRequest
) -> None:
    """Cells of one world depend on each other, so the band is wide: 0.78 to 0.99 of 120 cells."""
    made, tree, _ = request.getfixturevalue(which)
    low, high = quantiles(tree, 0.05, 0.95)
    truth = made.world.log_flow
    assert 0.78 <= ((truth >= low) & (truth <= high)).mean() <= 0.99


def test_flows_are_ranked_nearly_as_in_truth(sharp: Fit) -> None:
    made, tree, _ = sharp
    (median,) = quantiles(tree, 0.5)
    assert np.corrcoef(median.ravel(), made.world.log_flow.ravel())[0, 1] > 0.95


def test_hyper_parameters_that_the_data_speak_of_are_recovered(sharp: Fit, noisy: Fit) -> None:
    for made, tree, _ in (sharp, noisy):
        posterior = tree["posterior"].to_dataset()
        found = {
            "sd_corridor": posterior["sd_corridor"],
            "sd_noise": np.exp(np.log(posterior["sd_noise"]).mean("noise_class")),
        }
        for name, draws in found.items():
            low, high = np.quantile(draws, [0.001, 0.999])
            assert low < np.mean(made.hyper[name]) < high, name


def test_noisier_reports_give_wider_intervals(sharp: Fit, noisy: Fit) -> None:
    low, high = quantiles(sharp[1], 0.05, 0.95)
    wide_low, wide_high = quantiles(noisy[1], 0.05, 0.95)
    reported = np.unique(sharp[0].problem.reports.corridor)
    ratio = ((wide_high - wide_low) / (high - low))[reported]
    assert np.median(ratio) > 1.2


def test_corridors_without_a_report_are_less_certain_than_reported_ones(sharp: Fit) -> None:
    made, tree, _ = sharp
    evidence = tree["cells"]["evidence"].to_numpy()
    low, high = quantiles(tree, 0.05, 0.95)
    width = high - low
    silent = (evidence == "none").all(axis=1)
    assert silent.any()
    assert set(np.flatnonzero(~silent)) == set(made.problem.blocks.corridor)
    assert np.median(width[silent]) > 1.5 * np.median(width[evidence == "both_reports"])
    assert np.median(width[evidence == "one_report"]) > np.median(width[evidence == "both_reports"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws(sharp: Fit) -> None:
    made, tree, _ = sharp
    _, again, _ = fit(made)
    for group in ("posterior", "latent", "coefficients"):
        xr.testing.assert_identical(tree[group].to_dataset(), again[group].to_dataset())
