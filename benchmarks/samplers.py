"""Effective draws per second: every latent flow sampled, against the collapsed model.

Run ``python -m benchmarks.samplers [--size 12x8 --size 31x12] [--samplers pymc nutpie ...]``. Each
run has a process and two cores to itself. The same posterior is sampled throughout (`explicit`
says why); the figure is for the hyper-parameter that mixes worst.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.measure import diagnose, parse_size, peak_memory, run_apart
from benchmarks.plain import benchmark_world, plain_spec
from flowcast.config import Sampler
from flowcast.model.hyper import build_layout
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites

__all__ = ["COLUMNS", "judge", "main", "whole_draws"]

CHAINS = 2
SEED = 1
EXPLICIT = ("pymc", "nutpie", "numpyro")
COLLAPSED = ("laplace", "nuts")
FORMS = ("centred", "non-centred")
MIN_DRAWS = 8
"""Fewer draws a chain have no R-hat: chains are split in two."""
COLUMNS = {
    "size": "size",
    "form": "form",
    "sampler": "sampler",
    "wall": "wall, s",
    "compile": "of which compilation, s",
    "ess": "worst bulk ESS",
    "rhat": "R-hat",
    "pareto_k": "k-hat",
    "divergences": "divergences",
    "rate": "ESS per s",
    "rate_warm": "ESS per s, compiled",
    "memory": "peak memory, GiB",
    "remark": "remark",
}


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """What a run of an explicit model gave.

    Attributes
    ----------
    posterior, stats
        Draws and statistics of the sampler, dims (chain, draw, ...); None if there are none.
    compile
        Seconds before sampling started, and in compilers afterwards.
    cut
        Whether the time limit ended it.
    """

    posterior: xr.Dataset | None
    stats: xr.Dataset | None
    compile: float
    cut: bool


def whole_draws(data: xr.Dataset, names: list[str]) -> xr.Dataset:
    """Return the draws that every chain has; chains that were cut differ in length.

    Parameters
    ----------
    data
        Dims (chain, draw, ...); missing draws are NaN.
    names
        Variables to keep.
    """
    kept = data[names]
    missing = np.zeros((data.sizes["chain"], data.sizes["draw"]), dtype=bool)
    for array in kept.data_vars.values():
        other = [d for d in array.dims if d not in ("chain", "draw")]
        gaps = array.isnull().any(other) if other else array.isnull()
        missing |= gaps.transpose("chain", "draw").to_numpy()
    return kept.isel(draw=np.flatnonzero(~missing.any(axis=0)))


def _sample_pymc(model: Any, draws: int, tune: int, limit: float) -> Sampled:  # noqa: ANN401
    """Run PyMC's own NUTS with its defaults."""
    import pymc as pm

    start = time.perf_counter()
    cut = False

    def stop(**_: object) -> None:
        nonlocal cut
        if time.perf_counter() - start > limit:
            cut = True
            raise KeyboardInterrupt

    try:
        tree = pm.sample(
            draws,
            tune=tune,
            chains=CHAINS,
            cores=CHAINS,
            model=model,
            nuts_sampler="pymc",
            callback=stop,
            random_seed=SEED,
            progressbar=False,
            compute_convergence_checks=False,
        )
    except ValueError:  # there is nothing to hand back yet
        if not cut:
            raise
        return Sampled(None, None, np.nan, cut=True)
    spent = time.perf_counter() - start
    posterior = tree["posterior"].to_dataset()
    sampling = float(posterior.attrs.get("sampling_time", np.nan))
    return Sampled(posterior, tree["sample_stats"].to_dataset(), spent - sampling, cut)


def _sample_nutpie(model: Any, draws: int, tune: int, limit: float) -> Sampled:  # noqa: ANN401
    """Run nutpie with its defaults."""
    import nutpie

    start = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model, backend="numba")
    ready = time.perf_counter()
    run = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=CHAINS, cores=CHAINS, seed=SEED,
        progress_bar=False, save_warmup=False, blocking=False,
    )  # fmt: skip
    cut = False
    try:
        tree = run.wait(timeout=max(limit - (ready - start), 1.0))
    except TimeoutError:
        cut, tree = True, run.abort()
    posterior, stats = (tree[g].to_dataset() for g in ("posterior", "sample_stats"))
    return Sampled(posterior, stats, ready - start, cut)


def _sample_numpyro(model: Any, draws: int, tune: int, limit: float) -> Sampled:  # noqa: ANN401
    """Run NumPyro with PyMC's settings of it; the limit is kept from outside only."""
    import jax
    import pymc as pm

    compiling = 0.0

    def add(event: str, seconds: float, **_: object) -> None:
        nonlocal compiling
        compiling += seconds if event.startswith("/jax/core/compile/") else 0.0

    jax.monitoring.register_event_duration_secs_listener(add)
    tree = pm.sample(
        draws, tune=tune, chains=CHAINS, cores=CHAINS, model=model, nuts_sampler="numpyro",
        random_seed=SEED, progressbar=False, compute_convergence_checks=False,
    )  # fmt: skip
    posterior, stats = (tree[g].to_dataset() for g in ("posterior", "sample_stats"))
    return Sampled(posterior, stats, compiling, cut=False)


SAMPLE: Mapping[str, Callable[..., Sampled]] = {
    "pymc": _sample_pymc,
    "nutpie": _sample_nutpie,
    "numpyro": _sample_numpyro,
}


def judge(sampled: Sampled, names: list[str], wall: float) -> dict[str, Any]:
    """Return the figures of a run of an explicit model.

    Parameters
    ----------
    sampled
        What it gave.
    names
        Hyper-parameters.
    wall
        Seconds, compilation included.
    """
    row: dict[str, Any] = {"wall": wall, "compile": sampled.compile}
    kept = None if sampled.posterior is None else whole_draws(sampled.posterior, names)
    n = 0 if kept is None else kept.sizes["draw"]
    if sampled.cut:
        row["remark"] = f"cut by the time limit after {n} draws a chain"
    if kept is None or n < MIN_DRAWS:
        return row
    table = diagnose(kept)
    return row | {
        "ess": float(table["ess"].min()),
        "rhat": float(table["rhat"].max()),
        "divergences": int(sampled.stats["diverging"].fillna(0).sum()),
    }


def _problem(task: Mapping[str, Any], sampler: Sampler) -> Problem:
    n_place, n_period = parse_size(task["size"])
    return benchmark_world(n_place, n_period, plain_spec(sampler)).problem


def run_explicit(task: Mapping[str, Any]) -> dict[str, Any]:
    """Sample the explicit model by one sampler, in this process."""
    if task["sampler"] == "numpyro":
        if find_spec("numpyro") is None:
            return {"failed": "numpyro is not installed; `make samplers` installs it"}
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CHAINS}"
    from benchmarks.explicit import explicit_model

    problem = _problem(task, Sampler())
    start = time.perf_counter()
    centred = task["form"] == "centred"
    model = explicit_model(problem, initial_sites(problem), centred=centred)
    sampled = SAMPLE[task["sampler"]](model, task["draws"], task["tune"], task["limit"])
    wall = time.perf_counter() - start
    names = list(build_layout(problem).slices)
    children = CHAINS if task["sampler"] == "pymc" else 0
    return judge(sampled, names, wall) | {"memory": peak_memory(children)}


def run_collapsed(task: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the collapsed model by one method, latent flows included, in this process."""
    from flowcast.inference import fit_problem

    problem = _problem(task, Sampler(method=task["sampler"], seed=SEED))
    start = time.perf_counter()
    _, gate, _, remarks = fit_problem(problem, prior=False)
    wall = time.perf_counter() - start
    return {
        "wall": wall,
        "compile": remarks["timings"]["compile"],
        "memory": peak_memory(),
        **worst_figures(gate.worst),
        "remark": "" if remarks["method"] == task["sampler"] else "fell back to NUTS",
    }


def worst_figures(worst: Mapping[str, float]) -> dict[str, Any]:
    """Return what a gate found, under the names of the table."""
    names = {
        "min_ess_bulk": "ess",
        "max_rhat": "rhat",
        "pareto_k": "pareto_k",
        "divergences": "divergences",
    }
    return {new: worst[old] for old, new in names.items() if old in worst}


def run_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Run one row of the table in this process."""
    return run_collapsed(task) if task["sampler"] in COLLAPSED else run_explicit(task)


def finish(task: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the table from what a run wrote."""
    row = {"size": task["size"], "form": task["form"], "sampler": task["sampler"], **found}
    row["remark"] = found.get("remark") or found.get("cut") or found.get("failed") or ""
    if "ess" in found:
        row["rate"] = found["ess"] / found["wall"]
        row["rate_warm"] = found["ess"] / max(found["wall"] - found["compile"], 1e-9)
    return {column: row.get(column, np.nan) for column in COLUMNS}


def tasks(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what is to be run, the collapsed engine first."""
    out = []
    for size in args.size or ["12x8", "31x12"]:
        for sampler in args.samplers:
            for form in ["collapsed"] if sampler in COLLAPSED else args.forms:
                settings = {"draws": args.draws, "tune": args.tune, "limit": args.limit}
                out.append({"size": size, "sampler": sampler, "form": form, **settings})
    return out


def main() -> None:
    """Run everything, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", help="places x periods; may be repeated")
    both = (*COLLAPSED, *EXPLICIT)
    parser.add_argument("--samplers", nargs="+", choices=both, default=both)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--draws", type=int, default=1000, help="of explicit models, a chain")
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds a run may take")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        task = json.loads(args.task)
        Path(task["out"]).write_text(json.dumps(run_task(task)), encoding="utf-8")
        return
    rows = []
    for task in tasks(args):
        found = run_apart("benchmarks.samplers", task, limit=args.limit, threads=CHAINS)
        rows.append(finish(task, found))
        print({k: v for k, v in rows[-1].items() if v == v and v != ""}, file=sys.stderr)
    table = pd.DataFrame(rows).rename(columns=COLUMNS)
    print(table.to_markdown(index=False, floatfmt=".3g"))


if __name__ == "__main__":
    main()
