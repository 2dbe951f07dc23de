"""Latent flows of the world, streamed to disk: seconds, memory, and one pass over what is stored.

Run ``python -m benchmarks.stream --size 200x30 --draws 1000``: a simulated problem, its true
hyper-parameters (nothing is fitted), coefficients drawn for each draw, all latent flows written to
Zarr in a temporary folder, and immigration of every place summed up and summarised from there.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.measure import parse_size, peak_memory
from benchmarks.plain import benchmark_world, plain_spec
from flowcast.config import Sampler
from flowcast.estimates import estimate_tables, summarise
from flowcast.latent_store import block_stream, open_latent, write_latent
from flowcast.model.assemble import Sites
from flowcast.model.latent import draw_cells, draw_coefficients
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites
from flowcast.posterior import GateResult, Posterior
from flowcast.tables import write_parts
from flowcast.trees import build_tree, hyper_dataset

SEED = 1
THREADS = 2


def forget_peak() -> None:
    """Start counting the peak of memory anew, where the system can (Linux)."""
    reset = Path("/proc/self/clear_refs")
    if reset.is_file() and os.access(reset, os.W_OK):
        reset.write_text("5")


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print how long something took, by the clock and of cores, and the most memory meanwhile."""
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{what:<42}{wall:8.1f} s  ({cpu:.1f} s of a core)  peak {peak_memory():.2f} GiB",
        flush=True,
    )


def draw_all_coefficients(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, n_draw: int
) -> NDArray[np.float64]:
    """Return draws of the coefficients, (draw, coefficient)."""
    streams = np.random.SeedSequence([SEED, 2]).spawn(n_draw)

    def one(k: int) -> NDArray[np.float64]:
        return draw_coefficients(problem, hyper, sites, np.random.default_rng(streams[k]))

    with ThreadPoolExecutor(THREADS) as pool:
        return np.stack(list(pool.map(one, range(n_draw))))


def write_flows(
    folder: Path,
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    coefficient: NDArray[np.float64],
) -> list[float]:
    """Write all latent flows; return the peak of memory in each third of the blocks, GiB."""
    n_draw, peaks = len(coefficient), []

    def make_block(sample: int, corridors: slice) -> NDArray[np.float64]:
        rng = block_stream(SEED, sample, corridors)
        return draw_cells(problem, hyper, sites, coefficient[sample], corridors, rng)

    def told(done: int, total: int) -> None:
        while len(peaks) < 3 and 3 * done >= (len(peaks) + 1) * total:
            peaks.append(peak_memory())
            if len(peaks) < 3:
                forget_peak()

    write_latent(
        folder,
        problem.grid,
        1,
        n_draw,
        make_block,
        hyper_draw=np.arange(n_draw),
        threads=THREADS,
        progress=told,
    )
    return peaks


def posterior_of(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    coefficient: NDArray[np.float64],
    folder: Path,
) -> Posterior:
    """Return stored flows as a posterior."""
    n_draw = len(coefficient)
    values = {
        name: np.broadcast_to(value, (1, n_draw, *np.shape(value))) for name, value in hyper.items()
    }
    tree = build_tree(
        problem,
        hyper_dataset(problem, values),
        {"diverging": np.zeros((1, n_draw), dtype=bool)},
        sites,
        open_latent(folder),
        coefficient[None],
        np.arange(n_draw),
        None,
    )
    return Posterior(tree, problem.spec, GateResult(False), pd.DataFrame(), {})


def run(n_place: int, n_period: int, n_draw: int, scratch: Path, *, tables: bool) -> None:
    """Print what each step takes."""
    with measured("simulated problem"):
        world = benchmark_world(n_place, n_period, plain_spec(Sampler()), seed=SEED)
        problem, hyper = world.problem, dict(world.hyper)
        del world
        sites = initial_sites(problem)
    cells = problem.grid.n_corridor * problem.grid.n_period
    print(f"{cells:,} latent flows, {problem.reports.n:,} reports, {n_draw:,} draws")
    with measured("kernels compiled or loaded"):
        draw_coefficients(problem, hyper, sites, np.random.default_rng(0))
        draw_cells(
            problem,
            hyper,
            sites,
            problem.coefficients.mean,
            slice(0, 8),
            np.random.default_rng(0),
        )
    with measured("coefficients of all draws"):
        coefficient = draw_all_coefficients(problem, hyper, sites, n_draw)
    folder = scratch / "draws.zarr"
    start = time.perf_counter()
    with measured("all latent flows written"):
        peaks = write_flows(folder, problem, hyper, sites, coefficient)
    seconds = time.perf_counter() - start
    size = 4 * cells * n_draw
    on_disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        f"    {size / seconds / 1e6:,.0f} MB/s of {size / 1e9:.2f} GB, {on_disk / size:.0%} on disk"
    )
    parts = ", ".join(f"{peak:.2f}" for peak in peaks)
    print(f"    peak in the first, second and last third of the blocks: {parts} GiB")
    posterior = posterior_of(problem, hyper, sites, coefficient, folder)
    with measured("immigration, one pass, summarised"):
        summarise(posterior, measure="immigration")
    if tables:
        with measured("tables of all cells and sums, to Parquet"):
            write_parts(estimate_tables(posterior), scratch / "estimates.parquet")
        with measured("table of all cells in memory"):
            summarise(posterior)


def main() -> None:
    """Read the size and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="60x10", help="places x periods (60x10)")
    parser.add_argument("--draws", type=int, default=400, help="draws of all flows (400)")
    parser.add_argument("--folder", help="where the temporary folder is made (a disk, not memory)")
    parser.add_argument("--tables", action="store_true", help="the tables of a run folder as well")
    args = parser.parse_args()
    n_place, n_period = parse_size(args.size)
    with threadpool_limits(1), tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        run(n_place, n_period, args.draws, Path(scratch), tables=args.tables)


if __name__ == "__main__":
    main()
