"""Stocks to flows: seconds and memory, as ratios to those of a widely used R package.

Run ``python -m benchmarks.accounting [--sizes 50,100,200]``. Each estimator runs in a process of
its own, on the synthetic stocks of so many countries whose R timings lie beside them. Those were
taken on another day, so that a ratio is an order of magnitude. Linear algebra keeps to one thread.
The last lines give the time a draw takes in a world of 230 places, as intervals need many.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import best_of, peak_memory, run_apart

KIB = 1024
R_NAMES = {
    "drop-negative": ("diff_zero",),
    "reverse-negative": ("diff_return",),
    "rates": ("dennett",),
    "closed": ("closed",),
    "open": ("open",),
    "open-dr": ("open_dr",),
    "independence": ("indep",),
    "pseudo-bayes": ("closed", "indep"),
}
"""What R has to run for each estimator; pseudo-Bayes takes two of its runs."""
N_DRAW = 20
N_PLACE = 230


def read_timings(text: str) -> dict[tuple[int, str], tuple[float, float]]:
    """Return seconds of the call and peak MiB of the process, by size and name of the estimator."""
    call = re.compile(r"n=(\d+) method=(\w+) call_seconds=([\d.]+)")
    peak = re.compile(r"maxrss_kb=(\d+)")
    found: dict[tuple[int, str], tuple[float, float]] = {}
    last: tuple[int, str, float] | None = None
    for line in text.splitlines():
        if match := call.search(line):
            last = int(match[1]), match[2], float(match[3])
        elif last and (match := peak.search(line)):
            found[last[:2]] = last[2], int(match[1]) / KIB
    return found


def estimators() -> dict[str, Callable[..., Any]]:
    """Return every estimator as a function of stocks at the start and end, births and deaths."""
    from flowcast.accounting import (
        demographic_flows,
        difference_flows,
        pseudo_bayes_flows,
        rate_flows,
    )

    return {
        "drop-negative": lambda s, e, b, d: difference_flows(s, e),
        "reverse-negative": lambda s, e, b, d: difference_flows(s, e, negative="reverse"),
        "rates": lambda s, e, b, d: rate_flows(s, total=1e7),
        "closed": demographic_flows,
        "open": lambda *given: demographic_flows(*given, system="open"),
        "open-dr": lambda *given: demographic_flows(*given, system="open-dr"),
        "independence": lambda *given: demographic_flows(*given, allocation="independence"),
        "pseudo-bayes": pseudo_bayes_flows,
    }


def read_inputs(folder: Path, n: int) -> list[Any]:
    """Return stocks at the start and end, births and deaths."""
    from flowcast.accounting import read_accounts

    vital = folder / f"in_vital_{n}.csv"
    stocks = (folder / f"in_stock_{when}_{n}.csv.gz" for when in ("start", "end"))
    data = read_accounts(*stocks, vital, vital)
    return [data[name] for name in ("stock_start", "stock_end", "births", "deaths")]


def made_world(n: int) -> list[Any]:
    """Return stocks of n places, about one in thirty foreign-born, and vital events."""
    import numpy as np
    import xarray as xr

    rng = np.random.default_rng(230)
    native = rng.lognormal(15.0, 1.8, n)
    share = rng.gamma(0.3, 1.0, (n, n)) * (rng.random((n, n)) < 0.6)
    abroad = 0.03 * native[:, None] * share / share.sum(axis=1, keepdims=True)
    start = np.diag(native) + abroad * (1.0 - np.eye(n))
    end = start * rng.gamma(400.0, 1 / 400.0, (n, n))
    rates = rng.uniform(0.02, 0.1, (2, n))
    places = [f"P{k:03d}" for k in range(n)]
    tables = [xr.DataArray(t, coords={"birthplace": places, "residence": places})
              for t in (start, end)]  # fmt: skip
    return tables + [xr.DataArray(r * start.sum(axis=0), coords={"place": places}) for r in rates]


def run_task(task: Mapping[str, Any]) -> dict[str, float]:
    """Measure one estimator in this process."""
    method = estimators()[task["method"]]
    if task["n"] == N_PLACE:
        return {"seconds": seconds_a_draw(method)}
    given = read_inputs(Path(task["folder"]), task["n"])
    before = peak_memory()
    start = time.perf_counter()
    method(*given)
    first = time.perf_counter() - start
    peak = peak_memory()
    return {
        "first": first,
        "seconds": best_of(lambda: method(*given), 7),
        "before_mib": before * KIB,
        "peak_mib": peak * KIB,
    }


def seconds_a_draw(method: Callable[..., Any]) -> float:
    """Return the seconds a draw that differs in every number takes."""
    import numpy as np
    import xarray as xr

    given = made_world(N_PLACE)
    rng = np.random.default_rng(1)
    for k, array in enumerate(given):
        noise = rng.gamma(400.0, 1 / 400.0, (N_DRAW, *array.shape))
        given[k] = array * xr.DataArray(noise, dims=("draw", *array.dims), coords=array.coords)
    return best_of(lambda: method(*given), 3) / N_DRAW


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="50,100,200")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        Path(args.task["out"]).write_text(json.dumps(run_task(args.task)), encoding="utf-8")
        return
    from benchmarks.cases import shared

    folder = shared() / "reference" / "migest" / "global"
    timings = read_timings((folder / "timings_r_migest.txt").read_text(encoding="utf-8"))
    print("places  estimator         s, first  s, best      R, s   ratio  MiB, peak  of which call"
          "  R, MiB  ratio")  # fmt: skip
    for n in map(int, args.sizes.split(",")):
        for name, in_r in R_NAMES.items():
            task = {"n": n, "method": name, "folder": str(folder)}
            ours = run_apart("benchmarks.accounting", task, limit=120.0)
            if "seconds" not in ours:
                print(f"{n:6d}  {name:16s}  {ours}")
                continue
            seconds = sum(timings[n, one][0] for one in in_r)
            mib = max(timings[n, one][1] for one in in_r)
            faster = f"{seconds / ours['seconds']:6.0f}x" if seconds else "      -"
            print(
                f"{n:6d}  {name:16s}  {ours['first']:8.4f}  {ours['seconds']:7.4f}  {seconds:8.2f} "
                f"{faster}  {ours['peak_mib']:9.0f}  {ours['peak_mib'] - ours['before_mib']:13.1f}"
                f"  {mib:6.0f}  {mib / ours['peak_mib']:4.1f}x",
                flush=True,
            )
    for name in ("closed", "pseudo-bayes"):
        task = {"n": N_PLACE, "method": name}
        drawn = run_apart("benchmarks.accounting", task, limit=300.0)
        told = f"{1e3 * drawn['seconds']:.1f} ms" if "seconds" in drawn else str(drawn)
        print(f"{name}, {N_PLACE} places: {told} a draw, the mean over {N_DRAW} draws")


if __name__ == "__main__":
    main()
