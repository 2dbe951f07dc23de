"""What the benchmarks measure with: runs in processes of their own, peak memory, time limits."""

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

__all__ = [
    "best_of",
    "compare",
    "diagnose",
    "from_weights",
    "parse_size",
    "peak_memory",
    "run_apart",
]

KIB = 1024
GRACE = 60.0
"""Seconds that a run has after its own time limit to hand in what it has."""


def parse_size(text: str) -> tuple[int, int]:
    """Return places and periods of a size such as ``31x12``."""
    n_place, _, n_period = text.partition("x")
    return int(n_place), int(n_period)


def best_of(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest of several timings, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory(n_children: int = 0) -> float:
    """Return the most memory this process has held, in GiB.

    Parameters
    ----------
    n_children
        Chains that ran in processes of their own: the largest of them is counted so many times.

    Notes
    -----
    Linux hands the maximum of `resource.getrusage` down to a process from the one that started it,
    so it is read from the process's status there.
    """
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _rss_unit()
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
        own = peaks[0] * KIB if peaks else own
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _rss_unit()
    return float(own + n_children * child) / KIB**3


def _rss_unit() -> int:
    return 1 if sys.platform == "darwin" else KIB


def run_apart(
    module: str, task: Mapping[str, Any], *, limit: float, threads: int = 1
) -> dict[str, Any]:
    """Run ``python -m module --task JSON`` in a process of its own and return what it wrote.

    Parameters
    ----------
    module
        Writes a JSON object to the path it finds under ``out`` in the task.
    task
        Plain values.
    limit
        Seconds; a run that takes longer (and a minute) is ended with all it started.
    threads
        Threads of compiled loops. Linear algebra keeps to one.

    Returns
    -------
    dict
        What the run wrote; or ``cut`` or ``failed``, with the reason.
    """
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}
    env = os.environ | one | {"NUMBA_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", module, "--task", json.dumps({**task, "out": str(out)})]
        with (Path(folder) / "log").open("w+", encoding="utf-8") as log:
            run = subprocess.Popen(
                command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                run.wait(limit + GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                return {"cut": f"nothing came back in {limit + GRACE:.0f} s"}
            if run.returncode or not out.is_file():
                log.seek(0)
                last = [line for line in log.read().splitlines() if line.strip()][-1:]
                return {"failed": f"exit code {run.returncode}: {' '.join(last)[:300]}"}
        return dict(json.loads(out.read_text(encoding="utf-8")))


def diagnose(posterior: xr.Dataset) -> pd.DataFrame:
    """Return mean, sd, bulk ESS, R-hat and Monte Carlo errors of every number of a dataset.

    Parameters
    ----------
    posterior
        Dims (chain, draw, ...).

    Returns
    -------
    DataFrame
        Indexed by ``name`` or ``name[label]``; columns `mean, sd, ess, rhat, mcse_mean, mcse_sd`.
        Monte Carlo standard errors are those of Vehtari et al. 2021 (doi 10.1214/20-BA1221).
    """
    from arviz_stats import ess, mcse, rhat

    values = {
        "mean": posterior.mean(("chain", "draw")),
        "sd": posterior.std(("chain", "draw")),
        "ess": ess(posterior, method="bulk"),
        "rhat": rhat(posterior),
        "mcse_mean": mcse(posterior, method="mean"),
        "mcse_sd": mcse(posterior, method="sd"),
    }
    return pd.DataFrame({k: _flatten(v) for k, v in values.items()})


def from_weights(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `diagnose` for means and sds over importance weights.

    Parameters
    ----------
    diagnostics
        Of a fit by the method ``laplace``: `ess_bulk` is the effective sample size of a mean,
        `ess_tail` that of the weights.

    Notes
    -----
    The error of an sd is that of a normal sample of the smaller of the two sizes.
    """
    table = diagnostics.set_index("parameter")
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    return pd.DataFrame(
        {
            "mean": table["mean"],
            "sd": table["sd"],
            "ess": table["ess_bulk"],
            "rhat": np.nan,
            "mcse_mean": table["sd"] / np.sqrt(table["ess_bulk"]),
            "mcse_sd": table["sd"] / np.sqrt(2.0 * least),
        }
    )


def compare(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return how far two tables of `diagnose` differ, in combined Monte Carlo errors.

    Returns
    -------
    DataFrame
        Columns `mean_one, mean_other, sd_one, sd_other, z_mean, z_sd`.

    Raises
    ------
    ValueError
        If they are not about the same parameters.
    """
    if set(one.index) != set(other.index):
        raise ValueError(f"different parameters: {set(one.index) ^ set(other.index)}")
    other = other.loc[one.index]
    out = {}
    for what in ("mean", "sd"):
        error = np.hypot(one[f"mcse_{what}"], other[f"mcse_{what}"])
        out |= {f"{what}_one": one[what], f"{what}_other": other[what]}
        out[f"z_{what}"] = (one[what] - other[what]) / error
    order = ["mean_one", "mean_other", "sd_one", "sd_other", "z_mean", "z_sd"]
    return pd.DataFrame(out)[order]


def _flatten(data: xr.Dataset) -> pd.Series:
    parts: dict[str, float] = {}
    for name, array in data.data_vars.items():
        dims = array.dims
        labels = itertools.product(*(array[d].to_numpy() for d in dims))
        names = [f"{name}[{', '.join(map(str, k))}]" if dims else str(name) for k in labels]
        parts |= dict(zip(names, array.to_numpy().ravel().astype(float), strict=True))
    return pd.Series(parts, dtype=float)
