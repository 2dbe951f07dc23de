"""Coverage on simulated worlds: every hyper-parameter drawn from its prior, flows known.

Run ``python -m benchmarks.worlds [--worlds 100] [--jobs 2]``. Coverage is averaged within a world
first; its standard error is clustered by world.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import numpy as np
import pandas as pd

from flowcast.config import Sampler
from flowcast.inference import fit_problem
from flowcast.simulation import simulate_world, simulation_spec

PROBS = (0.5, 0.8, 0.9, 0.95)


def run_world(seed: int, n_place: int, n_period: int) -> pd.DataFrame:
    """Simulate, fit, and return one row a cell: evidence, truth, inside each interval."""
    spec = simulation_spec(sampler=Sampler(draws=350, tune=150, chains=2, seed=seed))
    world = simulate_world(n_place, n_period, seed=seed, spec=spec)
    tree, gate, _, remarks = fit_problem(world.problem, prior=False)
    draws = tree["latent"]["log_flow"].to_numpy().reshape(-1, *world.world.log_flow.shape)
    truth = world.world.log_flow
    out = {
        "world": seed,
        "evidence": tree["cells"]["evidence"].to_numpy().ravel(),
        "log_flow": truth.ravel(),
        "rank": (draws < truth).mean(axis=0).ravel(),
        "width90": np.ptp(np.quantile(draws, [0.05, 0.95], axis=0), axis=0).ravel(),
        "rhat": gate.worst["max_rhat"],
        "ess": gate.worst["min_ess_bulk"],
        "divergences": gate.worst["divergences"],
        "seconds": sum(remarks["timings"].values()),
    }
    frame = pd.DataFrame(out)
    for prob in PROBS:
        lower, upper = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        frame[f"in{100 * prob:.0f}"] = ((truth >= lower) & (truth <= upper)).ravel()
    return frame


def clustered(frame: pd.DataFrame, column: str) -> tuple[float, float, int]:
    """Return the share of cells inside, its world-clustered standard error, and the cells.

    The share is over all cells; its standard error is that of a ratio of world totals.
    """
    by = frame.groupby("world")[column].agg(["sum", "size"])
    share = by["sum"].sum() / by["size"].sum()
    residual = by["sum"] - share * by["size"]
    n = len(by)
    error = np.sqrt(n / (n - 1) * (residual**2).sum()) / by["size"].sum()
    return float(share), float(error), int(by["size"].sum())


def report(frame: pd.DataFrame) -> str:
    """Return the coverage table as text."""
    flow = np.exp(frame["log_flow"])
    groups = {
        "all cells": frame,
        "both reports": frame[frame["evidence"] == "both_reports"],
        "one report": frame[frame["evidence"] == "one_report"],
        "no report": frame[frame["evidence"] == "none"],
        "flow below 10": frame[flow < 10],
        "flow 10-100": frame[(flow >= 10) & (flow < 100)],
        "flow 100 and more": frame[flow >= 100],
    }
    rows = []
    for name, part in groups.items():
        row: dict[str, object] = {"group": name, "cells": len(part)}
        for prob in PROBS:
            share, error, _ = clustered(part, f"in{100 * prob:.0f}")
            row[f"{100 * prob:.0f} %"] = f"{share:.3f} ({error:.3f})"
        rows.append(row)
    return pd.DataFrame(rows).to_string(index=False)


def main() -> None:
    """Run the worlds and print coverage with clustered standard errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--places", type=int, default=8)
    parser.add_argument("--periods", type=int, default=5)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    start = time.perf_counter()
    seeds = range(args.first, args.first + args.worlds)
    parts = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(run_world, s, args.places, args.periods) for s in seeds]
        for job in as_completed(jobs):
            parts.append(job.result())
            one = parts[-1].iloc[0]
            print(
                f"{len(parts)} worlds, {time.perf_counter() - start:.0f} s; world {one['world']}: "
                f"R-hat {one['rhat']:.3f}, ESS {one['ess']:.0f}, "
                f"{one['divergences']:.0f} divergences, 90 %: {parts[-1]['in90'].mean():.3f}",
                flush=True,
            )
    frame = pd.concat(parts, ignore_index=True)
    print(f"{args.worlds} worlds of {args.places} places x {args.periods} periods")
    print("share of true flows inside (world-clustered standard error)")
    print(report(frame))


if __name__ == "__main__":
    main()
