"""The collapsed engine at the size of the world: seconds by stage, memory, cost of a gradient.

Run ``python -m benchmarks.scale --size 200x30 --method laplace [--heavy] [--compare]``. A world of
that many places and years is drawn and laid out in one process, and fitted in another; 28 % of the
places report on each side, which at 200x30 makes 600,000 reports. Without ``--size`` it goes over
the sizes of the table, and over a grid of sizes for the exponents of scaling.
"""

import argparse
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import (
    best_of,
    compare,
    diagnose,
    from_weights,
    parse_size,
    peak_memory,
    run_apart,
)
from benchmarks.plain import benchmark_world, heavy_spec, plain_spec
from flowcast.config import Sampler
from flowcast.model.problem import Problem

__all__ = ["exponents", "main", "numpy_pass"]

SIZES = ("50x15", "100x20", "200x30", "230x34")
GRID = ("50x10", "50x30", "100x10", "100x20", "100x30", "200x10", "200x30")
SHARE = 0.28
SEED = 1
METHODS = ("laplace", "nuts")
FIGURES = {
    "min_ess_bulk": "worst bulk ESS",
    "min_ess_tail": "worst tail ESS",
    "max_rhat": "R-hat",
    "divergences": "divergences",
    "pareto_k": "k-hat",
    "importance_ess": "importance ESS",
}
SCALING = ("pass, ms", "gradient, ms", "gradient on threads, ms", "wall, s")


def numpy_pass(residual: np.ndarray, variance: np.ndarray) -> Callable[[], float]:
    """Return one pass over the data in NumPy: the log density of independent normal reports.

    It reads two numbers a report and takes a logarithm, an exponential and a multiply-add of them.
    This is the unit in which the cost of a gradient is told.

    Parameters
    ----------
    residual, variance
        Report minus expectation, and its variance, (report,).
    """

    def run() -> float:
        log = np.log(variance)
        return float(-0.5 * (np.sum(log) + (residual * residual) @ np.exp(-log)))

    return run


def exponents(table: pd.DataFrame, column: str) -> dict[str, float]:
    """Return a and b of ``column ~ corridors^a periods^b``, by regression of the logarithms.

    Parameters
    ----------
    table
        Columns `corridors`, `periods` and the one asked for; at least three sizes that differ in
        more than one respect.
    column
        What scales.

    Raises
    ------
    ValueError
        If the sizes cannot tell the two exponents apart.
    """
    logs = np.log(table[["corridors", "periods"]].to_numpy(float))
    design = np.column_stack([np.ones(len(table)), logs])
    if np.linalg.matrix_rank(design - [0.0, *logs.mean(axis=0)]) < design.shape[1]:
        raise ValueError("exponents need sizes that differ in places and in periods on their own")
    slope = np.linalg.lstsq(design, np.log(table[column].to_numpy(float)), rcond=None)[0]
    return {"corridors": float(slope[1]), "periods": float(slope[2])}


def make_problem(task: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a world, lay it out as a problem, and leave that in the file the task names."""
    spec = heavy_spec(Sampler()) if task["heavy"] else plain_spec(Sampler())
    start = time.perf_counter()
    problem = benchmark_world(*parse_size(task["size"]), spec, share=SHARE).problem
    seconds = time.perf_counter() - start
    Path(task["problem"]).write_bytes(pickle.dumps(problem))
    value = problem.reports.value
    return {
        "corridors": problem.grid.n_corridor,
        "periods": problem.grid.n_period,
        "reports": problem.reports.n,
        "below 10": float(np.mean(value < 10)),
        "zero": float(np.mean(value == 0)),
        "coefficients": problem.coefficients.n,
        "world and problem, s": seconds,
        "world and problem, GiB": peak_memory(),
    }


def time_gradient(problem: Problem, threads: int) -> dict[str, float]:
    """Return seconds of a pass in NumPy, and of a gradient on one thread and on several."""
    from threadpoolctl import threadpool_limits

    from flowcast.model.assemble import assemble
    from flowcast.model.density import build_density

    density = build_density(problem)
    x = density.layout.start
    core = assemble(problem, density.hyper(x), density.sites)
    with threadpool_limits(1):
        one = best_of(numpy_pass(np.asarray(core.residual), np.asarray(core.noise)))
        density.value_grad(x)
        single = best_of(lambda: density.value_grad(x))
        wide = build_density(problem, density.sites, threads)
        several = best_of(lambda: wide.value_grad(x))
    return {
        "pass, ms": 1e3 * one,
        "gradient, ms": 1e3 * single,
        "gradient on threads, ms": 1e3 * several,
        "gradient / pass": single / one,
        "gradient on threads / pass": several / one,
    }


def fit(task: Mapping[str, Any]) -> dict[str, Any]:
    """Fit the problem that the task names."""
    from flowcast.inference import fit_problem

    problem = pickle.loads(Path(task["problem"]).read_bytes())
    sampler = Sampler(
        method=task["method"],
        seed=SEED,
        kept_draws=task["kept"],
        draws=task["draws"],
        tune=task["tune"],
        target_accept=0.65,
        max_depth=2,
    )
    problem = replace(problem, spec=problem.spec.model_copy(update={"sampler": sampler}))
    start = time.perf_counter()
    tree, gate, diagnostics, remarks = fit_problem(problem, prior=False)
    wall = time.perf_counter() - start
    chains = remarks["method"].startswith("nuts")
    table = diagnose(tree["posterior"].to_dataset()) if chains else from_weights(diagnostics)
    fell_back = chains and task["method"] != "nuts"
    by = f"{remarks['method']}, after Laplace failed" if fell_back else remarks["method"]
    return {
        "by": by,
        "gate": "passed" if gate.passed else f"failed {len(gate.failures)} times",
        "wall, s": wall,
        **{f"{name}, s": seconds for name, seconds in remarks["timings"].items()},
        "fit, GiB": peak_memory(),
        **{FIGURES[name]: value for name, value in gate.worst.items() if name in FIGURES},
        "table": table.reset_index(names="parameter").to_dict("list"),
    }


def run_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Run one step in this process."""
    if task["step"] == "world":
        return make_problem(task)
    if task["step"] == "gradient":
        problem = pickle.loads(Path(task["problem"]).read_bytes())
        return time_gradient(problem, task["threads"])
    return fit(task)


def run_size(
    size: str, methods: Sequence[str], args: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, pd.DataFrame]]:
    """Return the rows of one size, and by method the table of its hyper-parameters."""
    rows, tables = [], {}
    with tempfile.TemporaryDirectory() as folder:
        task = {"size": size, "heavy": args.heavy, "threads": args.threads}
        task |= {"kept": args.kept, "draws": args.draws, "tune": args.tune}
        task["problem"] = str(Path(folder) / "problem.pickle")

        def run(step: str, **more: str) -> dict[str, Any]:
            found = run_apart(
                "benchmarks.scale",
                {**task, "step": step, **more},
                limit=args.limit,
                threads=args.threads,
            )
            said = {k: v for k, v in found.items() if k != "table"}
            print(f"{size} {' '.join([step, *more.values()])}: {said}", file=sys.stderr)
            return found

        shared = {"size": size} | run("world")
        if "reports" in shared:
            shared |= run("gradient")
            for method in methods:
                found = run("fit", method=method)
                table = found.pop("table", None)
                if table and found["by"] == method:
                    tables[method] = pd.DataFrame(table).set_index("parameter")
                rows.append(shared | {"method": method} | found)
    return rows or [shared], tables


def show_comparison(size: str, tables: Mapping[str, pd.DataFrame]) -> None:
    """Print means and sds by both methods, and how far apart they are."""
    if len(tables) < len(METHODS):
        print(f"{size}: a method failed or was replaced by the other; nothing to compare")
        return
    both = compare(tables["laplace"], tables["nuts"])
    both.columns = [c.replace("_one", ", laplace").replace("_other", ", nuts") for c in both]
    print(f"\n{size}: differences in combined Monte Carlo errors")
    print(both.to_markdown(floatfmt=".3f"))
    worst = both[["z_mean", "z_sd"]].abs().max()
    print(f"largest: {worst['z_mean']:.2f} of a mean, {worst['z_sd']:.2f} of an sd")


def show_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of runs as text, a column for each."""
    shown = [
        {k: f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in row.items()} for row in rows
    ]
    names = dict.fromkeys(name for row in shown for name in row)
    cells = [[name, *(row.get(name, "") for row in shown)] for name in names]
    return pd.DataFrame(cells[1:], columns=cells[0]).to_markdown(index=False, disable_numparse=True)


def show_exponents(rows: list[dict[str, Any]]) -> None:
    """Print the exponents of whatever the sizes at hand can tell."""
    table = pd.DataFrame(rows).drop_duplicates("size")
    for column in SCALING:
        given = table[table[column].notna()] if column in table else table.iloc[:0]
        try:
            found = exponents(given, column)
        except ValueError as error:
            print(f"{column}: {error}")
            continue
        print(f"{column} ~ corridors^{found['corridors']:.2f} periods^{found['periods']:.2f}")


def main() -> None:
    """Run the sizes asked for, one after the other, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", help="places x years; may be repeated")
    parser.add_argument("--grid", nargs="*", default=None, help="sizes for the exponents alone")
    parser.add_argument("--method", choices=METHODS, default="laplace")
    parser.add_argument("--compare", action="store_true", help="fit by both methods")
    parser.add_argument("--heavy", action="store_true", help="Poisson, small counts, heavy tails")
    parser.add_argument("--threads", type=int, default=2, help="of the gradient that is timed")
    parser.add_argument("--draws", type=int, default=1000, help="of each of the two chains of NUTS")
    parser.add_argument("--tune", type=int, default=100, help="steps of warm-up of NUTS")
    parser.add_argument("--kept", type=int, default=10, help="draws of latent flows a fit keeps")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds a step may take")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        task = json.loads(args.task)
        Path(task["out"]).write_text(json.dumps(run_task(task)), encoding="utf-8")
        return
    methods = list(METHODS) if args.compare else [args.method]
    rows = []
    for size in args.size or SIZES:
        found, tables = run_size(size, methods, args)
        rows += found
        if args.compare:
            show_comparison(size, tables)
    print()
    print(show_rows(rows))
    sizes = ([] if args.size else GRID) if args.grid is None else args.grid
    grid = [row for size in sizes for row in run_size(size, [], args)[0]]
    if len(grid) + len(rows) > 2:
        show_exponents(rows + grid)


if __name__ == "__main__":
    main()
