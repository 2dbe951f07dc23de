"""A cross-validation on two Dask workers, one killed mid-way, gives the scorecard of one process.

Bit for bit: each fold carries its seeds, and is fitted again where its worker died.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import Client

from flowcast.config import ModelSpec, Sampler
from flowcast.observations import Observations, observations_from_frame
from flowcast.simulation import simulate_world, simulation_spec
from flowcast.validation import cross_validate

pytestmark = pytest.mark.statistical

ROOT = Path(__file__).resolve().parents[2]
SAMPLER = Sampler(
    importance_draws=400, draws=60, tune=40, chains=2, kept_draws=60, min_ess=20, max_rhat=1.2
)
VICTIM = "victim"
PATIENCE = 240.0


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a part of Dask in a process of its own, and end it."""
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | threads | {"PYTHONPATH": paths}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.kill()


def address_in(file: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError):  # not there yet, or half written
            time.sleep(0.1)
    raise TimeoutError(f"no scheduler in {file}")


def kill_when_busy(address: str, victim: subprocess.Popen[bytes], busy: list[str]) -> None:
    """Kill a worker by SIGKILL as soon as it works on a fold; `busy` gets the fold's key."""
    with Client(address, set_as_default=False) as client:
        deadline = time.monotonic() + PATIENCE
        while not busy and time.monotonic() < deadline:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            of_victim = [at for at, worker in workers.items() if worker["name"] == VICTIM]
            busy += [str(key) for at in of_victim for key in client.processing()[at]]
            time.sleep(0.02)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()


Inputs = tuple[ModelSpec, Observations, Path, Path]
OPTIONS: dict[str, Any] = {"scheme": "random", "folds": 4, "seed": 5}


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    spec = simulation_spec(sampler=SAMPLER)
    world = simulate_world(4, 2, seed=3, spec=spec)
    files = world.write(tmp_path / "world")
    codes = set(world.places["place"])
    observations = observations_from_frame(world.observations, declared_places=codes)
    return spec, observations, files / "places.csv", files / "corridors.csv"


@pytest.mark.slow
def test_four_workers_two_and_one_give_the_same_scorecard(inputs: Inputs) -> None:
    one, two, four = (cross_validate(*inputs, **OPTIONS, workers=n) for n in (1, 2, 4))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    pd.testing.assert_frame_equal(one, four, check_exact=True)
    assert one.attrs == two.attrs == four.attrs
    assert one["value"].notna().all()


@pytest.mark.slow
def test_two_workers_one_of_them_killed_give_the_same_scorecard(
    inputs: Inputs, tmp_path: Path
) -> None:
    alone = cross_validate(*inputs, **OPTIONS, workers=0)

    local = ("--host", "127.0.0.1", "--no-dashboard")
    one_thread = ("--nthreads", 1, "--no-nanny", "--local-directory", tmp_path, *local)
    file = tmp_path / "scheduler.json"
    busy: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(process("scheduler", "--port", 0, "--scheduler-file", file, *local))
        address = address_in(file)
        victim = stack.enter_context(process("worker", address, "--name", VICTIM, *one_thread))
        stack.enter_context(process("worker", address, "--name", "survivor", *one_thread))
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=PATIENCE)
        killer = threading.Thread(target=kill_when_busy, args=(address, victim, busy))
        killer.start()
        together = cross_validate(*inputs, **OPTIONS, scheduler=address)
        killer.join()
    assert victim.returncode == -signal.SIGKILL
    assert len(busy) == 1
    assert busy[0].startswith("fold ")
    pd.testing.assert_frame_equal(alone, together, check_exact=True)
    assert alone.attrs == together.attrs
    assert alone["value"].notna().all()
