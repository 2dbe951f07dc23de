"""Simulation-based calibration of what is integrated out exactly, at a small size.

The long runs, of the full model too, are those of ``python -m benchmarks.sbc``.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from flowcast import calibration
from flowcast.calibration.sbc import _fit_counts, _states
from flowcast.config import Sampler
from flowcast.inference import fit_problem
from flowcast.simulation import simulate_world, simulation_spec

pytestmark = pytest.mark.statistical

N_REPLICATES, N_DRAWS = 200, 49


@pytest.fixture(scope="module")
def ranks() -> pd.DataFrame:
    spec = calibration.family_spec("gaussian")
    seeds = range(1, N_REPLICATES + 1)
    return calibration.simulate_ranks(spec, n_place=5, n_period=4, seeds=seeds, n_draws=N_DRAWS)


@pytest.mark.slow
def test_true_values_have_uniform_ranks(ranks: pd.DataFrame) -> None:
    table = calibration.test_uniform(ranks)
    assert len(table) > 35
    assert table["n"].max() == N_REPLICATES
    assert table["p_holm"].min() > 0.01, table.head().to_string()


@pytest.mark.slow
def test_the_same_ranks_moved_or_spread_would_fail(ranks: pd.DataFrame) -> None:
    """Flows whose posteriors were a fifth too narrow, or off by .3 sd, would have been noticed."""
    flows = ranks[ranks["quantity"].str.startswith(("flow", "immigration", "sum", "all"))]
    score = (flows["rank"] + 0.5) / (N_DRAWS + 1)
    for wrong in (norm.ppf(score) / 0.8, norm.ppf(score) + 0.3):
        moved = np.floor(norm.cdf(wrong) * (N_DRAWS + 1)).clip(0, N_DRAWS).astype(int)
        table = calibration.test_uniform(flows.assign(rank=moved))
        assert (table["p_holm"] < 0.01).any()


def test_every_draw_keeps_its_own_hyper_parameters() -> None:
    """Flows, coefficients and hyper-parameters that are ranked together were drawn together."""
    sampler = Sampler(seed=3, kept_draws=20, min_ess=50, draws=200, tune=100)
    problem = simulate_world(4, 2, seed=3, spec=simulation_spec(sampler=sampler)).problem
    tree, _, _, remarks = fit_problem(problem, prior=False)
    states = _states(tree)
    latent = tree["latent"].to_dataset().stack(sample=("chain", "draw"))
    assert len(states) == latent.sizes["sample"]
    index = latent["hyper_draw"].to_numpy()
    for k, (chain, _) in enumerate(latent["sample"].to_numpy()):
        own = tree["posterior"].to_dataset().isel(chain=chain, draw=index[k])
        assert states[k].hyper["sd_corridor"] == own["sd_corridor"].item()
        np.testing.assert_allclose(
            states[k].log_flow, latent["log_flow"].isel(sample=k).to_numpy(), rtol=1e-6
        )
    again, method, worst = _fit_counts(problem)
    assert method == remarks["method"]
    assert worst > 0
    np.testing.assert_array_equal(again[0].log_flow, states[0].log_flow)
