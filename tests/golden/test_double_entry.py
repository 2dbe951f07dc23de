"""Our posterior against JAGS on the same simulated reports, and against the truth behind them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowcast.estimates import summarise
from flowcast.inference import estimate
from flowcast.posterior import Posterior

Fitted = tuple[Posterior, pd.DataFrame, Path]

pytestmark = pytest.mark.statistical


@pytest.fixture(scope="module")
def fitted(
    tmp_path_factory: pytest.TempPathFactory, shared: Path, repository: Path
) -> Iterator[Fitted]:
    """Fit the double-entry case once; yields posterior, joined table and the reference folder."""
    folder = shared / "reference" / "double_entry_jags"
    sys.path.insert(0, str(repository))
    from benchmarks.cases import flow_table, read_double_entry

    case = read_double_entry(tmp_path_factory.mktemp("double_entry"))
    posterior = estimate(case.spec, case.observations, case.places, case.corridors, draws=500)
    table = flow_table(case, summarise(posterior, probs=(0.9,)))
    yield posterior, table, folder
    sys.path.remove(str(repository))


def _ours(posterior: Posterior) -> dict[str, np.ndarray]:
    """Return our draws under the names and on the scales of the reference."""
    data = posterior.tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    step = data["duration_increment"]

    def share(name: str) -> np.ndarray:
        return data["share_reported"].sel(share_class=name).to_numpy()

    def increment(name: str) -> np.ndarray:
        return step.sel(step=name).to_numpy()

    phi = data["ar_coefficient"].to_numpy()
    return {
        "sigma_corr": data["sd_corridor"].to_numpy(),
        "sigma_y": data["sd_innovation"].to_numpy() / np.sqrt(1.0 - phi**2),
        "lamI[1]": share("immigration_low"),
        "lamI[2]": share("immigration_high"),
        "lamE[1]": share("emigration_low"),
        "lamE[2]": share("emigration_high"),
        "delta[2]": np.exp(increment("3_to_6") + increment("6_to_12")),
        "delta[3]": np.exp(increment("6_to_12")),
        "delta[5]": np.exp(-increment("12_to_60")),
    }


def test_hyper_parameters_agree_with_jags(fitted: Fitted) -> None:
    posterior, _, folder = fitted
    reference = pd.read_csv(folder / "out_jags_hyper.csv").set_index("param")
    for name, draws in _ours(posterior).items():
        gap = abs(draws.mean() - reference.loc[name, "mean"]) / reference.loc[name, "sd"]
        assert gap < 1.0, f"{name}: {draws.mean():.4f}, {gap:.2f} reference sds away"
        assert 0.6 < draws.std() / reference.loc[name, "sd"] < 1.6, name


def test_flows_agree_with_jags(fitted: Fitted) -> None:
    _, table, folder = fitted
    reference = pd.read_csv(folder / "out_jags_flows.csv")
    both = table.merge(reference, on=["orig", "dest", "year"])
    assert len(both) == 720
    spread = both["95%"] - both["5%"]
    gap = (np.log(both["median"]) - both["50%"]).abs() / spread
    assert gap.median() < 0.06
    assert gap.quantile(0.95) < 0.3
    ratio = (np.log(both["upper"]) - np.log(both["lower"])) / spread
    assert 0.85 < ratio.median() < 1.2


def test_intervals_cover_the_truth(fitted: Fitted) -> None:
    _, table, _ = fitted
    truth = np.exp(table["true_log_flow"])
    inside = truth.between(table["lower"], table["upper"])
    assert 0.87 <= inside.mean() <= 0.96
    # 40 cells: with a true coverage of .9 fewer than 30 are inside once in 500 times
    assert inside[table["evidence"] == "none"].sum() >= 30


def test_gate_passes(fitted: Fitted) -> None:
    posterior, _, _ = fitted
    assert posterior.gate.passed, posterior.gate.failures
    assert posterior.info["method"] == "laplace+sweeps"
