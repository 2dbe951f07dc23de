"""A fit that is killed again and again ends with the result of one that was not."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flowcast.config import Sampler, dump_model
from flowcast.simulation import simulate_world, simulation_spec

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

KILLS = 5
SAMPLER = Sampler(min_ess=60, importance_draws=3000, kept_draws=60, seed=3, tune=60, draws=150)


def command(folder: Path, out: str) -> list[str]:
    files = [f"--{k}={folder / k}.csv" for k in ("observations", "places", "corridors")]
    model = str(folder / "model.yaml")
    return [sys.executable, "-m", "flowcast", "estimate", model, *files, "--out", out]


@pytest.fixture(params=["laplace", "nuts"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    sampler = SAMPLER.model_copy(update={"method": request.param})
    made = simulate_world(5, 3, seed=6, spec=simulation_spec(sampler=sampler))
    folder = made.write(tmp_path / "world")
    (folder / "model.yaml").write_text(dump_model(made.problem.spec), encoding="utf-8")
    return folder


def run(folder: Path, out: Path, kill_after: float | None = None) -> float | None:
    """Run the command, or kill it; returns the seconds of a run that ended by itself."""
    began = time.monotonic()
    process = subprocess.Popen(
        command(folder, str(out)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, said = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return None
    # A chain this short need not pass the gate (3); what counts is that it is written.
    assert process.returncode in (0, 3), said
    return time.monotonic() - began


def test_killed_five_times_it_ends_with_the_identical_result(world: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(20)
    whole = run(world, tmp_path / "whole")
    assert whole is not None
    killed = tmp_path / "killed"
    kills = sum(
        run(world, killed, kill_after=whole * rng.uniform(0.3, 0.9)) is None for _ in range(KILLS)
    )
    assert kills >= 1
    if not killed.exists():
        run(world, killed)
    for name in ("estimates.parquet", "diagnostics.csv", "model.yaml"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    trees = [xr.open_datatree(path / "posterior.nc") for path in (killed, tmp_path / "whole")]
    xr.testing.assert_identical(*trees)
    for tree in trees:
        tree.close()
    leftovers = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert leftovers == []
