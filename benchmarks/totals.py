"""Coverage where flows are known through totals, groups, net figures and two-year sums only.

Worlds are drawn from the model, every hyper-parameter from its prior. Some places report nothing
corridor by corridor: they publish sums. Every world is fitted with the sums and without them.

Run ``python -m benchmarks.totals [--worlds 80] [--places 5] [--periods 3] [--jobs 2]``. The share
of true flows inside intervals is over all cells; its standard error is clustered by world.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd

from flowcast.config import Measurement, Sampler
from flowcast.inference import fit_problem
from flowcast.simulation import SimulatedWorld, simulate_world, simulation_spec

PROBS = (0.5, 0.8, 0.9, 0.95)
CODES = ("EE", "LV", "LT", "SE", "DK", "FI", "NO", "PL", "DE", "FR", "NL", "BE")
FIRST_YEAR = 2010


def _row(
    measure: str, origin: str | None, destination: str | None, reporter: str
) -> dict[str, Any]:
    return {
        "measure": measure,
        "origin": origin,
        "destination": destination,
        "reporter": reporter,
    }


def _sums_of(place: str, side: str, kind: str, codes: list[str]) -> list[dict[str, Any]]:
    """Return what a place publishes instead of corridors, without periods."""
    if kind == "total" and side == "destination":
        return [_row("immigration", None, place, side)]
    if kind == "total":
        return [_row("emigration", place, None, side)]
    if kind == "net":
        return [_row("net", None, place, "destination")]
    if kind == "group":
        ends = ("baltic", place) if side == "destination" else (place, "baltic")
        return [_row("flow", *ends, side)]
    others = [c for c in codes if c != place]
    pairs = [(c, place) if side == "destination" else (place, c) for c in others]
    return [_row("flow", *pair, side) for pair in pairs]


def make_totals(
    codes: list[str], n_period: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw who reports corridors and who publishes which sums.

    Returns
    -------
    definitions, totals : DataFrame
        As `simulate_world` takes them.
    """
    index = pd.MultiIndex.from_product([codes, ["origin", "destination"]])
    definitions = pd.DataFrame(index=index)
    definitions["duration_months"] = rng.choice([0.0, 3.0, 6.0, 12.0], len(index))
    definitions["undercount_class"] = rng.choice(["low", "high"], len(index))
    definitions["accuracy_class"] = rng.choice(["low", "high"], len(index))
    definitions["reports"] = True
    rows = []
    for side in ("origin", "destination"):
        silent = rng.choice(codes, max(1, round(0.6 * len(codes))), replace=False)
        definitions.loc[(list(silent), side), "reports"] = False
        for place in silent:
            kinds = ["total", "group", "years"] + (["net"] if side == "destination" else [])
            kind = str(rng.choice(kinds))
            length = 2 if kind == "years" else 1
            for start in range(0, n_period - length + 1, length):
                year = FIRST_YEAR + start
                for row in _sums_of(str(place), side, kind, codes):
                    ends = (f"{year}-01-01", f"{year + length}-01-01")
                    rows.append(row | dict(zip(("period_start", "period_end"), ends, strict=True)))
    return definitions, pd.DataFrame(rows)


def make_world(seed: int, n_place: int, n_period: int, sampler: Sampler) -> SimulatedWorld:
    """Draw a world in which some places publish sums only."""
    codes = list(CODES[:n_place])
    definitions, totals = make_totals(codes, n_period, np.random.default_rng([seed, 21]))
    return simulate_world(
        n_place,
        n_period,
        seed=seed,
        spec=simulation_spec(sampler=sampler, measurement=Measurement(places_outside="ignore")),
        definitions=definitions,
        totals=totals,
        codes=codes,
    )


def run_world(seed: int, n_place: int, n_period: int, kept: int) -> pd.DataFrame:
    """Simulate, fit with sums and without; return one row a cell and fit."""
    # As many effective draws as are enough for intervals; the gate's 400 are for publication.
    sampler = Sampler(kept_draws=kept, seed=seed, min_ess=100)
    world = make_world(seed, n_place, n_period, sampler)
    truth, parts, evidence = world.world.log_flow, [], np.zeros(0)
    for fit, problem in (
        ("with sums", world.problem),
        ("without", replace(world.problem, totals=None)),
    ):
        tree, gate, _, remarks = fit_problem(problem, prior=False)
        draws = tree["latent"]["log_flow"].to_numpy().reshape(-1, *truth.shape)
        if not parts:
            evidence = tree["cells"]["evidence"].to_numpy().ravel()
        frame = pd.DataFrame({"world": seed, "fit": fit, "evidence": evidence})
        frame["log_flow"] = truth.ravel()
        frame["rank"] = (draws < truth).mean(axis=0).ravel()
        frame["sd"] = draws.std(axis=0).ravel()
        for prob in PROBS:
            lower, upper = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
            frame[f"in{100 * prob:.0f}"] = ((truth >= lower) & (truth <= upper)).ravel()
            frame[f"width{100 * prob:.0f}"] = (upper - lower).ravel()
        frame["passed"] = gate.passed
        frame["method"] = str(remarks.get("method", ""))
        frame["seconds"] = sum(remarks["timings"].values())
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def clustered(frame: pd.DataFrame, column: str) -> tuple[float, float]:
    """Return the share of cells inside and its world-clustered standard error."""
    by = frame.groupby("world")[column].agg(["sum", "size"])
    share = by["sum"].sum() / by["size"].sum()
    residual = by["sum"] - share * by["size"]
    n = len(by)
    error = np.sqrt(n / max(n - 1, 1) * (residual**2).sum()) / by["size"].sum()
    return float(share), float(error)


def report(frame: pd.DataFrame) -> str:
    """Return coverage and width, with sums and without, as text."""
    groups = {
        "all cells": frame["evidence"] != "",
        "sums only": frame["evidence"] == "total",
        "sums beside reports": frame["evidence"].str.endswith("+total"),
        "reports only": frame["evidence"].isin(["one_report", "both_reports"]),
        "nothing": frame["evidence"] == "none",
    }
    rows = []
    for name, inside in groups.items():
        for fit in ("with sums", "without"):
            part = frame[inside & (frame["fit"] == fit)]
            if part.empty:
                continue
            row: dict[str, object] = {"cells": name, "fit": fit, "n": len(part)}
            for prob in PROBS:
                share, error = clustered(part, f"in{100 * prob:.0f}")
                row[f"{100 * prob:.0f} %"] = f"{share:.3f} ({error:.3f})"
            row["width of 90 %"] = f"{part['width90'].mean():.2f}"
            rows.append(row)
    return pd.DataFrame(rows).to_string(index=False)


def main() -> None:
    """Run the worlds and print coverage with clustered standard errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=80)
    parser.add_argument("--places", type=int, default=5, choices=range(4, len(CODES) + 1))
    parser.add_argument("--periods", type=int, default=3)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--kept", type=int, default=500, help="draws of the flows kept")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    start = time.perf_counter()
    seeds = range(args.first, args.first + args.worlds)
    parts: list[pd.DataFrame] = []
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(run_world, s, args.places, args.periods, args.kept) for s in seeds]
        for job in as_completed(jobs):
            parts.append(job.result())
            one = parts[-1].iloc[0]
            print(
                f"{len(parts)} worlds, {time.perf_counter() - start:.0f} s; world {one['world']}: "
                f"{one['method']}, passed {one['passed']}, {one['seconds']:.0f} s",
                flush=True,
            )
    frame = pd.concat(parts, ignore_index=True)
    fits = frame.groupby(["world", "fit"]).first()
    print(f"{args.worlds} worlds of {args.places} places x {args.periods} periods")
    print(f"fits that passed the gate: {fits['passed'].groupby('fit').mean().to_dict()}")
    print(fits.groupby(["fit", "method"]).size().to_string())
    print("share of true flows inside (world-clustered standard error); widths in logs")
    print(report(frame))


if __name__ == "__main__":
    main()
