"""Latent flows of any number: simulated block by block, in memory or into a Zarr store.

Given the hyper-parameters and coefficients of a draw, corridors are independent. So a block of
corridors can be simulated alone, for some draws, and written before the next one is begun: memory
holds a block for each thread, whatever the number of cells and draws.

Every draw of a block of corridors has a random stream of its own. The result depends neither on
threads nor on what was done before an interruption.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast._atomic import atomic_file
from flowcast._netcdf import plain_json, storable_tree
from flowcast._zarr import (
    LATENT,
    create_flows,
    flows_folder,
    open_flows,
    open_latent_group,
    write_group,
)
from flowcast.errors import Fault, InputError
from flowcast.model.grid import Grid
from flowcast.trees import FLOW_ATTRS, latent_coords

__all__ = [
    "IN_MEMORY_BYTES",
    "block_stream",
    "fits_in_memory",
    "make_latent",
    "open_latent",
    "write_latent",
]

type MakeBlock = Callable[[int, slice], NDArray[np.floating]]
"""From sample (chain * draws + draw) and corridors to log flows, (corridor, period)."""
type Unit = tuple[int, slice, slice]
"""A chain, some of its draws and some corridors: what is worked on at a time, and one file."""
type Sizes = tuple[int, int, int, int]
"""Of (chain, draw, corridor, period)."""
type Progress = Callable[[int, int], None]
"""Told how many blocks are done, of how many."""

IN_MEMORY_BYTES: Final = 2**30
"""Latent flows up to this size, in single precision, are held in memory (and written as NetCDF)."""
BLOCK_BYTES: Final = 24_000_000
"""Size of a block: some draws of a chain, some corridors, all periods."""
BLOCK_DRAWS: Final = 100
"""Draws in a block, at most. Few draws of many corridors are made faster than many of few, as each
call has a cost of its own; but all draws of a corridor are read from fewer files if there are many.
"""
BLOCK_PARTS: Final = 16
"""Parts along corridors in which a block can be read."""
CHUNK_PERIODS: Final = 10
"""Periods that are read at a time, at most."""
STREAM: Final = 6
"""Sets these random numbers apart from others of the same seed."""
RECIPE: Final = "recipe.json"
"""Beside the flows: what was to be simulated. Written when all else is in place."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the draws are cut.

    Attributes
    ----------
    shape
        Sizes of (chain, draw, corridor, period).
    shard
        Sizes of a block, which is one file; periods are rounded up to whole chunks.
    chunk
        Sizes of what is read at least.
    """

    shape: Sizes
    shard: Sizes
    chunk: Sizes

    @property
    def units(self) -> list[Unit]:
        """Every block; those of the same corridors follow on one another."""
        (n_chain, n_draw, n_corridor, _), (_, draws, corridors, _) = self.shape, self.shard
        return [
            (chain, slice(d, min(d + draws, n_draw)), slice(c, min(c + corridors, n_corridor)))
            for c in range(0, n_corridor, corridors)
            for chain in range(n_chain)
            for d in range(0, n_draw, draws)
        ]

    def is_done(self, folder: Path, unit: Unit) -> bool:
        """Return whether a block's file is there; it is renamed into place when it is complete."""
        chain, draws, corridors = unit
        at = (chain, draws.start // self.shard[1], corridors.start // self.shard[2], 0)
        path = flows_folder(folder).joinpath("c", *map(str, at))
        return path.is_file() and path.stat().st_size > 0


def fits_in_memory(grid: Grid, n_sample: int) -> bool:
    """Return whether so many draws of all latent flows are to be held in memory."""
    return 4 * n_sample * grid.n_corridor * grid.n_period <= IN_MEMORY_BYTES


def block_stream(seed: int, sample: int, corridors: slice) -> np.random.Generator:
    """Return the random stream of one draw of one block of corridors.

    It costs some ten microseconds: 20 blocks of 1,000 draws take a fifth of a second.
    """
    entropy = [seed, STREAM, sample, corridors.start]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def make_latent(
    grid: Grid,
    n_chain: int,
    n_draw: int,
    make_block: MakeBlock,
    *,
    block_corridors: int | None = None,
    block_draws: int | None = None,
    threads: int = 2,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Simulate latent flows in memory: the same numbers as `write_latent` stores.

    Parameters
    ----------
    grid, n_chain, n_draw, make_block, block_corridors, block_draws, threads, progress
        As for `write_latent`.

    Returns
    -------
    ndarray
        Log persons per period, (chain, draw, corridor, period); not a number where a place did not
        exist.
    """
    layout = _cut(grid, n_chain, n_draw, block_corridors, block_draws)
    out = np.empty(layout.shape, dtype=np.float32)

    def fill(unit: Unit) -> None:
        chain, draws, corridors = unit
        _fill(out[chain, draws, corridors], grid, make_block, unit, n_draw)

    _work_off(layout.units, fill, threads, progress)
    return out


def write_latent(
    folder: Path,
    grid: Grid,
    n_chain: int,
    n_draw: int,
    make_block: MakeBlock,
    *,
    hyper_draw: NDArray[np.integer],
    fingerprint: str = "",
    block_corridors: int | None = None,
    block_draws: int | None = None,
    threads: int = 2,
    progress: Progress | None = None,
) -> None:
    """Simulate latent flows into the group `latent` of a Zarr store, block by block.

    A block that is complete in the store is not made again, if the store was begun with the same
    fingerprint, grid and sizes; anything else that stands in `folder` is removed.

    Parameters
    ----------
    folder
        Folder of the store.
    grid
        Corridors and periods.
    n_chain, n_draw
        How many draws to simulate; sample ``chain * n_draw + draw`` is draw `draw` of `chain`.
    make_block
        Called as ``make_block(sample, corridors)`` from several threads; returns log flows,
        (corridor, period). It must depend on nothing else: see `block_stream`.
    hyper_draw
        Which draw of the hyper-parameters each draw belongs to, (draw,) or (chain, draw).
    fingerprint
        Of all that the flows follow from (data, model, draws, seed): a hash.
    block_corridors, block_draws
        Corridors and draws in a block; by default as many corridors as make 24 MB with up to 100
        draws of a chain.
    threads
        How many blocks are worked on at a time. Memory takes about four blocks for each.
    progress
        Called with the numbers of blocks done and in all.

    Raises
    ------
    OSError
        If the store cannot be written. What is complete stays.
    """
    layout = _cut(grid, n_chain, n_draw, block_corridors, block_draws)
    _prepare(folder, grid, layout, hyper_draw, fingerprint)
    flows = open_flows(folder)
    left = [unit for unit in layout.units if not layout.is_done(folder, unit)]

    def write(unit: Unit) -> None:
        chain, draws, corridors = unit
        sizes = (draws.stop - draws.start, corridors.stop - corridors.start, grid.n_period)
        block = np.empty(sizes, dtype=np.float32)
        _fill(block, grid, make_block, unit, n_draw)
        flows[chain : chain + 1, draws, corridors] = block[None]

    _work_off(left, write, threads, progress, n_done=len(layout.units) - len(left))


def open_latent(folder: Path) -> xr.Dataset:
    """Open what `write_latent` stored; flows are read from disk where they are needed.

    Raises
    ------
    InputError
        If blocks are missing, as after an interruption.
    """
    recipe = _read_recipe(folder)
    if recipe is None:
        raise InputError([Fault(str(folder), "no latent flows", "a store of latent flows")])
    layout = _Layout(*(tuple(recipe[name]) for name in ("shape", "shard", "chunk")))
    missing = [unit for unit in layout.units if not layout.is_done(folder, unit)]
    if missing:
        found = f"{len(missing)} of {len(layout.units)} blocks missing"
        raise InputError([Fault(str(folder), found, "a complete store; simulate again to go on")])
    return open_latent_group(folder)


def _cut(
    grid: Grid,
    n_chain: int,
    n_draw: int,
    block_corridors: int | None,
    block_draws: int | None = None,
) -> _Layout:
    n_corridor, n_period = grid.n_corridor, grid.n_period
    draws = _even(n_draw, block_draws or BLOCK_DRAWS)
    periods = _even(n_period, CHUNK_PERIODS)
    if block_corridors is None:
        fitting = BLOCK_BYTES // (4 * draws * n_period)
        block_corridors = max(fitting - fitting % BLOCK_PARTS, 1)
    # One block of all corridors is rounded up, so that it still has parts.
    block = min(block_corridors, math.ceil(n_corridor / BLOCK_PARTS) * BLOCK_PARTS)
    return _Layout(
        shape=(n_chain, n_draw, n_corridor, n_period),
        shard=(1, draws, block, math.ceil(n_period / periods) * periods),
        chunk=(1, draws, block // math.gcd(block, BLOCK_PARTS), periods),
    )


def _even(n: int, most: int) -> int:
    """Return the size of parts of about the same size, none larger than `most`."""
    return math.ceil(n / math.ceil(n / most))


def _fill(
    out: NDArray[np.float32], grid: Grid, make_block: MakeBlock, unit: Unit, n_draw: int
) -> None:
    """Simulate a block into (draw, corridor, period)."""
    chain, draws, corridors = unit
    for k, draw in enumerate(range(draws.start, draws.stop)):
        out[k] = make_block(chain * n_draw + draw, corridors)
    out[:, ~grid.exists[corridors]] = np.nan


def _work_off(
    units: Sequence[Unit],
    work: Callable[[Unit], None],
    threads: int,
    progress: Progress | None = None,
    n_done: int = 0,
) -> None:
    """Do the work of each unit; after an error or an interruption nothing new is begun."""
    pool = ThreadPoolExecutor(threads)
    try:
        jobs = [pool.submit(work, unit) for unit in units]
        for k, job in enumerate(as_completed(jobs), start=1):
            job.result()
            if progress is not None:
                progress(n_done + k, n_done + len(units))
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(
    folder: Path,
    grid: Grid,
    layout: _Layout,
    hyper_draw: NDArray[np.integer],
    fingerprint: str,
) -> None:
    """Make the store with everything but flows, unless it stands there."""
    recipe = {"fingerprint": fingerprint, **asdict(layout)}
    if _read_recipe(folder) == plain_json(recipe):
        for partial in flows_folder(folder).rglob("*.partial"):
            partial.unlink()
        return
    if folder.exists():
        shutil.rmtree(folder)
    draws = np.broadcast_to(hyper_draw, layout.shape[:2])
    coords = xr.Dataset(coords=latent_coords(grid, draws))
    stored = storable_tree(xr.DataTree.from_dict({LATENT: coords}))[LATENT].to_dataset()
    write_group(stored, folder, LATENT)
    create_flows(folder, layout.shape, layout.chunk, layout.shard, FLOW_ATTRS)
    with atomic_file(folder / RECIPE) as partial:
        partial.write_text(json.dumps(recipe), encoding="utf-8")


def _read_recipe(folder: Path) -> dict[str, Any] | None:
    path = folder / RECIPE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
