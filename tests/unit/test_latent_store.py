"""Latent flows made block by block: the same in memory and stored, resumed, and bounded."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast import latent_store
from flowcast._zarr import flows_folder
from flowcast.errors import InputError
from flowcast.latent_store import (
    block_stream,
    fits_in_memory,
    make_latent,
    open_latent,
    write_latent,
)
from flowcast.model.grid import Grid

N_CHAIN, N_DRAW, BLOCK = 2, 5, 4
SEED = 3


def small_grid(n_place: int = 5, n_period: int = 3) -> Grid:
    """Return a grid whose first corridor does not exist in the last period."""
    origin, destination = np.nonzero(~np.eye(n_place, dtype=bool))
    exists = np.ones((len(origin), n_period), dtype=bool)
    exists[0, -1] = False
    days = pd.date_range("2000-01-01", periods=n_period + 1, freq="YS")
    return Grid(
        tuple(f"P{k:02d}" for k in range(n_place)),
        origin.astype(np.int64),
        destination.astype(np.int64),
        days[:-1],
        days[1:],
        exists,
    )


GRID = small_grid()
HYPER_DRAW = np.arange(0, 3 * N_DRAW, 3)


def drawn(sample: int, corridors: slice) -> NDArray[np.float64]:
    """Return normals about a mean that tells chain and draw, corridor and period."""
    rng = block_stream(SEED, sample, corridors)
    cell = np.arange(GRID.n_corridor)[corridors, None] + np.arange(GRID.n_period) / 10.0
    return 100.0 * sample + cell + 1e-3 * rng.standard_normal(cell.shape)


def write(folder: Path, make: latent_store.MakeBlock = drawn, **options: object) -> None:
    given = {"hyper_draw": HYPER_DRAW, "block_corridors": BLOCK, "fingerprint": "abc"} | options
    write_latent(folder, GRID, N_CHAIN, N_DRAW, make, **given)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latent") / "draws.zarr"
    write(folder)
    return folder


# What is stored


def test_stored_and_in_memory_are_the_same_draws(store: Path) -> None:
    made = make_latent(GRID, N_CHAIN, N_DRAW, drawn, block_corridors=BLOCK)
    with open_latent(store) as data:
        np.testing.assert_array_equal(data["log_flow"].values, made)
    assert made.dtype == np.float32
    # Each sample, corridor and period stands in its own place.
    sample = np.arange(N_CHAIN * N_DRAW).reshape(N_CHAIN, N_DRAW, 1, 1)
    cell = np.arange(GRID.n_corridor)[:, None] + np.arange(GRID.n_period) / 10.0
    shown = np.where(GRID.exists, made, cell + 100.0 * sample)
    np.testing.assert_allclose(shown, cell + 100.0 * sample, atol=0.01)


def test_cells_that_do_not_exist_have_no_flow(store: Path) -> None:
    with open_latent(store) as data:
        missing = np.isnan(data["log_flow"].values)
    np.testing.assert_array_equal(missing, np.broadcast_to(~GRID.exists, missing.shape))


def test_coordinates_are_those_of_a_tree_in_memory(store: Path) -> None:
    with open_latent(store) as data:
        assert data["log_flow"].dims == ("chain", "draw", "corridor", "period")
        assert data["log_flow"].attrs == {
            "units": "log persons per period",
            "definition": "12 months",
        }
        assert set(data.coords) == {
            *("chain", "draw", "period", "hyper_draw"),
            *("origin", "destination", "period_start", "period_end"),
        }
        assert data["origin"].values.tolist() == GRID.origin_code.tolist()
        assert data["destination"].values.tolist() == GRID.destination_code.tolist()
        np.testing.assert_array_equal(data["period_start"], GRID.period_start.to_numpy())
        np.testing.assert_array_equal(data["period_end"], GRID.period_end.to_numpy())
        assert data["hyper_draw"].values.tolist() == [HYPER_DRAW.tolist()] * N_CHAIN
        assert set(data["log_flow"].coords) == set(data.coords)


def test_draws_may_be_cut_too(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_store, "BLOCK_DRAWS", 2)
    write(tmp_path / "a")
    files = {p.relative_to(tmp_path).as_posix() for p in (tmp_path / "a").rglob("c/*/*/*/0")}
    flows = "a/latent/log_flow/c"
    expected = {f"{flows}/{c}/{d}/{b}/0" for c in range(2) for d in range(3) for b in range(5)}
    assert files == expected
    with open_latent(tmp_path / "a") as cut, open_latent(store) as whole:
        xr.testing.assert_identical(cut.load(), whole.load())


def test_each_chain_may_have_draws_of_its_own(tmp_path: Path) -> None:
    index = np.arange(N_CHAIN * N_DRAW).reshape(N_CHAIN, N_DRAW)
    write(tmp_path / "a", hyper_draw=index)
    with open_latent(tmp_path / "a") as data:
        np.testing.assert_array_equal(data["hyper_draw"], index)


def test_flows_are_not_read_before_they_are_asked_for(store: Path) -> None:
    data = open_latent(store)
    assert not data["log_flow"].variable._in_memory
    assert data["log_flow"].isel(corridor=slice(2, 3), period=1).values.shape == (2, 5, 1)
    assert not data["log_flow"].variable._in_memory


def test_damage_is_noticed_when_flows_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a")
    (path,) = flows_folder(tmp_path / "a").glob("c/0/0/1/0")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with open_latent(tmp_path / "a") as latent:
        assert np.isfinite(latent["log_flow"][:, :, BLOCK * 2 :].values).all()
        with pytest.raises(ValueError, match="checksum"):
            _ = latent["log_flow"].values


@pytest.mark.parametrize(("n_place", "n_period", "block"), [(3, 1, 1), (4, 23, 5), (6, 11, 16)])
def test_any_size_of_blocks_and_periods_is_stored(
    tmp_path: Path, n_place: int, n_period: int, block: int
) -> None:
    grid = small_grid(n_place, n_period)

    def make(sample: int, corridors: slice) -> NDArray[np.float64]:
        rng = block_stream(1, sample, corridors)
        return rng.standard_normal((corridors.stop - corridors.start, n_period))

    options = {"block_corridors": block, "threads": 1}
    write_latent(tmp_path / "a", grid, 1, 2, make, hyper_draw=np.arange(2), **options)
    expected = make_latent(grid, 1, 2, make, **options)
    with open_latent(tmp_path / "a") as data:
        np.testing.assert_array_equal(data["log_flow"].values, expected)


def test_a_grid_in_which_nothing_exists_is_complete_all_the_same(tmp_path: Path) -> None:
    grid = small_grid()
    grid.exists[:] = False
    write_latent(tmp_path / "a", grid, 1, 2, drawn, hyper_draw=np.arange(2))
    with open_latent(tmp_path / "a") as data:
        assert np.isnan(data["log_flow"].values).all()


# The same bytes, whatever happens


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_byte(tmp_path: Path, store: Path, threads: int) -> None:
    write(tmp_path / "a", threads=threads)
    assert content(tmp_path / "a") == content(store)


def test_streams_differ_by_seed_sample_and_block() -> None:
    streams = [(3, 0, 0), (4, 0, 0), (3, 1, 0), (3, 0, 4), (3, 4, 0)]
    first = {
        tuple(block_stream(seed, sample, slice(start, start + 4)).integers(0, 2**60, 3))
        for seed, sample, start in streams
    }
    assert len(first) == len(streams)


class Stopped(Exception):
    """Stands for whatever ends a process."""


def stopping_after(n: int) -> latent_store.MakeBlock:
    calls = iter(range(n))

    def make(sample: int, corridors: slice) -> NDArray[np.float64]:
        if next(calls, None) is None:
            raise Stopped
        return drawn(sample, corridors)

    return make


@pytest.mark.parametrize("n", [0, 1, 7, 12, 33, 49])
def test_what_was_interrupted_goes_on_to_the_same_bytes(
    tmp_path: Path, store: Path, n: int
) -> None:
    folder = tmp_path / "draws.zarr"
    with pytest.raises(Stopped):
        write(folder, stopping_after(n), threads=1)
    with pytest.raises(InputError, match=r"found \d+ of 10 blocks missing"):
        open_latent(folder)
    made: list[tuple[int, int]] = []

    def counted(sample: int, corridors: slice) -> NDArray[np.float64]:
        made.append((sample, corridors.start))
        return drawn(sample, corridors)

    write(folder, counted)
    assert content(folder) == content(store)
    assert len(made) == (10 - n // N_DRAW) * N_DRAW


WRITER = """
import itertools, sys, time
from pathlib import Path
import test_latent_store as own

calls = itertools.count(1)  # counted by several threads

def slow(sample, corridors):
    call = next(calls)
    if call >= 24:
        if call == 24:  # one thread alone says so
            print("in the middle", flush=True)
        time.sleep(60)
    return own.drawn(sample, corridors)

own.write(Path(sys.argv[1]), slow)
"""


def test_a_killed_process_goes_on_to_the_same_bytes(tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "draws.zarr"
    root = Path(__file__).resolve().parents[2]
    paths = [str(root / "src"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        process.kill()
    done = set(content(folder)) & {name for name in content(store) if "/log_flow/c/" in name}
    assert 0 < len(done) < 10
    write(folder)
    assert content(folder) == content(store)


def test_a_file_half_written_when_the_process_was_killed_is_removed(
    tmp_path: Path, store: Path
) -> None:
    folder = tmp_path / "draws.zarr"
    write(folder)
    (whole,) = flows_folder(folder).glob("c/1/0/2/0")
    half = whole.with_name(".0123.partial")
    half.write_bytes(whole.read_bytes()[:9])
    whole.write_bytes(b"")  # what a power cut may leave of a file that was renamed
    write(folder)
    assert content(folder) == content(store)


@pytest.mark.parametrize("changed", [{"fingerprint": "other"}, {"block_corridors": 5}])
def test_a_store_of_something_else_is_not_gone_on_with(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    folder = tmp_path / "draws.zarr"
    write(folder)
    before = content(folder)

    def other(sample: int, corridors: slice) -> NDArray[np.float64]:
        return drawn(sample, corridors) + 1.0

    write(folder, other, **changed)
    with open_latent(folder) as data:
        expected = make_latent(
            GRID, N_CHAIN, N_DRAW, other, block_corridors=int(changed.get("block_corridors", BLOCK))
        )
        np.testing.assert_array_equal(data["log_flow"].values, expected)
    write(folder)
    assert content(folder) == before


def test_progress_counts_what_was_done_before(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        write(tmp_path / "a", stopping_after(4 * N_DRAW), threads=1)
    told: list[tuple[int, int]] = []
    write(tmp_path / "a", progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 10) for k in range(5, 11)]


def test_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no latent flows"):
        open_latent(tmp_path)


# Bounds


def test_only_as_many_blocks_as_threads_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = {"now": 0, "most": 0, "largest": 0}
    lock = threading.Lock()
    fill = latent_store._fill

    def counted(out: NDArray[np.float32], *rest: object) -> None:
        with lock:
            alive["now"] += 1
            alive["most"] = max(alive["most"], alive["now"])
            alive["largest"] = max(alive["largest"], out.nbytes)
        fill(out, *rest)  # type: ignore[arg-type]
        time.sleep(0.01)
        with lock:
            alive["now"] -= 1

    monkeypatch.setattr(latent_store, "_fill", counted)
    write(tmp_path / "a")
    assert alive == {"now": 0, "most": 2, "largest": 4 * N_DRAW * BLOCK * GRID.n_period}


@pytest.mark.parametrize(("n_chain", "n_draw"), [(1, 1000), (4, 250), (1, 1), (1, 10**5)])
def test_blocks_of_the_world_have_a_bounded_size(n_chain: int, n_draw: int) -> None:
    grid = small_grid(200, 30)
    layout = latent_store._cut(grid, n_chain, n_draw, None)
    one_corridor = 4 * latent_store.BLOCK_DRAWS * grid.n_period
    assert 4 * np.prod(layout.shard) <= max(latent_store.BLOCK_BYTES, one_corridor)
    assert layout.shard[1] <= latent_store.BLOCK_DRAWS
    assert all(s % c == 0 for s, c in zip(layout.shard, layout.chunk, strict=True))
    cells = np.zeros((n_chain, grid.n_corridor), dtype=int)
    for chain, draws, corridors in layout.units:
        cells[chain, corridors] += draws.stop - draws.start
    assert (cells == n_draw).all()


def test_what_is_small_stays_in_memory() -> None:
    assert fits_in_memory(small_grid(31, 12), 1000)
    assert not fits_in_memory(small_grid(200, 30), 1000)
    grid = small_grid(5, 3)
    limit = latent_store.IN_MEMORY_BYTES // (4 * 20 * 3)
    assert fits_in_memory(grid, limit)
    assert not fits_in_memory(grid, limit + 1)


def test_xarray_alone_reads_the_group(store: Path) -> None:
    with xr.open_dataset(store, engine="zarr", group="latent", consolidated=False) as data:
        assert np.isfinite(data["log_flow"].isel(corridor=3).values).all()
