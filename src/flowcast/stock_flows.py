"""Flows from uncertain stocks: an estimator run over many draws and periods, and what comes out.

A draw of all tables is made, every period goes through the estimator, and the flows are kept in
single precision, in memory or, where there are too many, in a Zarr store. What comes back is a
`FlowEstimates`, so that sums, groups and tables are made as from a model: draws are added up first
and summarised afterwards.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._netcdf import plain_json, read_tree, storable_tree, write_tree
from flowcast._stock_work import Estimator, StockWork, workers
from flowcast._terminal import Progress
from flowcast._zarr import FLOW, LATENT, gather_metadata
from flowcast.accounting._accounts import PLACE
from flowcast.accounting.methods import METHODS, estimator
from flowcast.accounting.stock_errors import StockErrors
from flowcast.accounting.uncertainty import stock_model
from flowcast.errors import Fault, InputError, UsageError
from flowcast.estimates import FlowEstimates
from flowcast.latent_store import (
    BLOCK_PARTS,
    fits_in_memory,
    make_latent,
    open_latent,
    write_latent,
)
from flowcast.model.grid import Grid
from flowcast.places import code_kind
from flowcast.trees import FLOW_ATTRS, latent_coords
from flowcast.vocabulary import UN_DURATION_MONTHS

__all__ = ["read_stock_flows", "stock_flow_estimates"]

BLOCK_DRAWS: Final = 20
"""Draws that a thread works on at a time: of 230 places and 7 periods 30 MB."""
SUFFIXES: Final = (".zarr", ".nc")
NOTE: Final = (
    "transitions between two dates: who has moved and is back, or has come and gone, is not counted"
)
EVIDENCE: Final = "stock"
MAX_NAMED: Final = 5


def stock_flow_estimates(
    series: xr.Dataset,
    method: str | Estimator = "pseudo-bayes",
    errors: StockErrors | None = None,
    *,
    draws: int = 1000,
    seed: int = 1,
    keep: str | Path | None = None,
    threads: int = 2,
    processes: int = 1,
    progress: bool = False,
) -> FlowEstimates:
    """Estimate flows from uncertain stocks.

    Parameters
    ----------
    series
        Stocks and vital events, from `flowcast.accounting.account_series`.
    method
        A name of `flowcast.accounting.methods.METHODS`, or a function that takes stocks at the
        start and end, births and deaths and returns flows, such as ``partial(demographic_flows,
        system="open")``. Flows that can be negative (growth) are refused.
    errors
        How far off the tables may be; by default `StockErrors()`.
    draws, seed
        How many, and of which random numbers. Draw k is the same whatever their number.
    keep
        Where to keep the draws: a ``.zarr`` folder (any number) or a ``.nc`` file (up to 1 GiB in
        single precision); both hold the group `latent` with `log_flow`, and are read by
        `read_stock_flows`. What stands there is refused. By default draws are in memory, or beyond
        1 GiB in a temporary store that goes when the estimates do.
    threads
        How many draws are worked on at a time.
    processes
        More than 1: draws are made in so many processes of their own, instead of in threads of this
        one, which hinder each other. They take some seconds to start, and a script that asks for
        them needs ``if __name__ == "__main__"``. The draws are the same.
    progress
        Whether to say on stderr how far it is.

    Returns
    -------
    FlowEstimates
        `draws` has dims (chain, draw, corridor, period), chain of length 1, persons per period,
        with the coordinates `origin` and `destination` (corridor; every pair of different places,
        by origin and then destination) and `period_start` and `period_end` (period).

    Raises
    ------
    InputError
        If an estimator refuses one attempt at a draw after the other; where `keep` is taken. A draw
        that is refused once is drawn again: `notes` says how many were, and for which place.
    UsageError
        If an argument is none that can be served.

    Examples
    --------
    >>> from flowcast.accounting import account_series
    >>> from flowcast.estimates import summarise
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> first = xr.DataArray([[9000.0, 1000], [500, 5000]], coords=places)
    >>> then = xr.DataArray([[8900.0, 1100], [540, 4960]], coords=places)
    >>> series = account_series([first, then], dates=["2015-07-01", "2020-07-01"])
    >>> flows = stock_flow_estimates(series, "closed", draws=50)
    >>> table = summarise(flows, measure="net", probs=[0.8])
    >>> table["destination"].tolist(), table["evidence"].unique().tolist()
    (['A', 'B'], ['stock'])
    """
    if draws < 2:
        raise UsageError(f"(draws) | found {draws}; allowed: 2 or more, as intervals need them")
    if processes < 1:
        raise UsageError(f"(processes) | found {processes}; allowed: 1 or more")
    run = estimator(method) if isinstance(method, str) else method
    if method == "growth":
        allowed = ", ".join(name for name in METHODS if name != method)
        raise UsageError(f"(method) | found growth, negative at times; allowed: {allowed}")
    target = None if keep is None else _check_target(Path(keep))
    work = StockWork(run, series, stock_model(series, errors), seed)
    grid = _grid(series)
    told = Progress(shown=progress)
    settings: dict[str, Any] = {
        "block_corridors": grid.n_corridor + BLOCK_PARTS,  # a draw makes all of them at once
        "block_draws": BLOCK_DRAWS,
        # A thread waits while a process works: one more draw each is laid out meanwhile.
        "threads": threads if processes == 1 else 2 * processes,
        "progress": _teller(told, draws),
    }
    in_memory = fits_in_memory(grid, draws)
    if target is not None and target.suffix == ".nc" and not in_memory:
        raise UsageError(
            f"(keep) | found {target.name} for more than 1 GiB; allowed: a .zarr folder"
        )
    with workers(work, processes) as log_flows:

        def block(k: int, corridors: slice) -> NDArray[np.floating]:
            flows = log_flows(k)
            return flows[grid.origin[corridors], grid.destination[corridors]]

        if in_memory and (target is None or target.suffix == ".nc"):
            log_flow = make_latent(grid, 1, draws, block, **settings)
            told.stop()
            data = _labelled(grid, log_flow, work.about(draws, errors))
            if target is not None:
                _write_file(data, target)
            return _estimates(data)
        with _store(target) as folder:
            sample = np.arange(draws)
            write_latent(folder, grid, 1, draws, block, hyper_draw=sample, **settings)
            _describe(folder, work.about(draws, errors))
    told.stop()
    return _open(folder if target is None else target, temporary=target is None)


def read_stock_flows(path: str | Path) -> FlowEstimates:
    """Read draws of flows that `stock_flow_estimates` kept.

    Parameters
    ----------
    path
        The ``.zarr`` folder, whose draws stay on disk, or the ``.nc`` file.

    Raises
    ------
    InputError
        If there are none, or not all.
    """
    place = Path(path)
    if place.suffix == ".nc":
        if not place.is_file():
            raise InputError([Fault(str(path), "no such file", "draws of flows")])
        return _estimates(read_tree(place)[LATENT].to_dataset())
    return _open(place, temporary=False)


def _check_target(target: Path) -> Path:
    if target.suffix not in SUFFIXES:
        found = f"a name ending in {target.suffix!r}"
        raise UsageError(f"(keep) | found {found}; allowed: {' or '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise UsageError(f"(keep) | found no folder {target.parent}; allowed: one that exists")
    if target.exists():
        raise InputError([Fault(str(target), "something there already", "a new name")])
    return target


def _grid(series: xr.Dataset) -> Grid:
    """Return all pairs of different places, by origin and then destination, and the periods."""
    places = tuple(map(str, series[PLACE].values.tolist()))
    origin, destination = np.nonzero(~np.eye(len(places), dtype=bool))
    bounds = [pd.DatetimeIndex(series[name].values) for name in ("period_start", "period_end")]
    exists = np.ones((len(origin), len(bounds[0])), dtype=bool)
    return Grid(places, origin, destination, bounds[0], bounds[1], exists)


def _teller(told: Progress, draws: int) -> Callable[[int, int], None]:
    told.start("draws of stocks", draws)
    return lambda done, blocks: told.update(done * draws // blocks)


def _labelled(grid: Grid, log_flow: NDArray[np.floating], about: dict[str, Any]) -> xr.Dataset:
    coords = latent_coords(grid, np.arange(log_flow.shape[1])[None])
    dims = ("chain", "draw", "corridor", "period")
    data = xr.Dataset({FLOW: (dims, log_flow, FLOW_ATTRS)}, coords)
    return data.assign_attrs(_plain(about))


def _plain(about: dict[str, Any]) -> dict[str, str]:
    return {"stock_flows": json.dumps(plain_json(about))}


@contextmanager
def _store(target: Path | None) -> Iterator[Path]:
    """Give a folder for a store; it takes the target's place when the block ends well."""
    parent = None if target is None else target.parent
    made = Path(tempfile.mkdtemp(prefix=".flowcast-", dir=parent))
    folder = made / "draws.zarr"
    try:
        yield folder
        if target is not None:
            folder.rename(target)
            made.rmdir()
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _describe(folder: Path, about: dict[str, Any]) -> None:
    import zarr

    zarr.open_group(folder, path=LATENT, mode="r+").attrs.update(_plain(about))
    gather_metadata(folder)


def _write_file(data: xr.Dataset, target: Path) -> None:
    from flowcast._atomic import atomic_file

    with atomic_file(target) as partial:
        write_tree(storable_tree(xr.DataTree.from_dict({LATENT: data})), partial)


def _open(folder: Path, *, temporary: bool) -> FlowEstimates:
    estimates = _estimates(open_latent(folder))
    if temporary:
        weakref.finalize(estimates._stored, shutil.rmtree, folder.parent, ignore_errors=True)
    return estimates


def _estimates(data: xr.Dataset) -> FlowEstimates:
    """Return kept draws as estimates, whose evidence is the stocks alone."""
    about = json.loads(data.attrs.get("stock_flows", "{}"))
    codes = {str(code) for side in ("origin", "destination") for code in data[side].values}
    try:
        kind: Any = code_kind(codes)
    except InputError:
        kind = "declared"
    shape = tuple(data.sizes[dim] for dim in ("corridor", "period"))
    cells = {name: data[name] for name in ("origin", "destination", "period")}
    words = xr.DataArray(np.full(shape, EVIDENCE), cells, ("corridor", "period"))
    stored = data[FLOW].reset_coords("hyper_draw", drop=True)
    return FlowEstimates(
        stored.transpose("chain", "draw", "corridor", "period"),
        measure="flow",
        evidence=words,
        definition=UN_DURATION_MONTHS,
        codes=kind,
        name=about.get("name", "stocks"),
        notes=(NOTE, *_redrawn(about)),
        _log_factor=xr.DataArray(0.0),
    )


def _redrawn(about: dict[str, Any]) -> list[str]:
    counts: dict[str, int] = about.get("redrawn", {})
    if not counts:
        return []
    told = ", ".join(f"{place} {n}" for place, n in list(counts.items())[:MAX_NAMED])
    n_all = sum(counts.values())
    return [f"{n_all} of {about['draws']} draws made no account and were drawn again ({told})"]
