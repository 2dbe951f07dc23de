"""Latent flows and coefficients for draws of the hyper-parameters, by exact simulation.

Where the model has counts or heavy tails, the draws so far are from an approximation: Gaussian
stand-ins at the mode. Then every draw is the start of a short Markov chain on the exact model
(`model.sweeps`), and its end is what is kept: a sample of the exact posterior in the limit of many
sweeps, and already close after few, as it started close.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.gate import HyperDraws, name_draws
from flowcast.latent_store import (
    block_stream,
    fits_in_memory,
    make_latent,
    open_latent,
    write_latent,
)
from flowcast.model.coordinates import Coordinates
from flowcast.model.density import is_gaussian
from flowcast.model.latent import draw_cells, draw_coefficients, draw_latent
from flowcast.model.sweeps import Chain, refine, tune_chain
from flowcast.model.totals import condition_on_totals

__all__ = ["Latent", "kept_positions", "recover_latent", "takes_sweeps"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
STORE = "draws.zarr"
MANY_REPORTS = 3000
"""With more reports than that sweeps leave the hyper-parameters where they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Latent log flows and coefficients, and the draws of the hyper-parameters with them.

    Attributes
    ----------
    draws
        Of the hyper-parameters: those given, or what the sweeps made of the kept ones.
    log_flow
        (chain, draw, corridor, period), missing where a place did not exist; or a stored group.
    coefficient
        (chain, draw, coefficient).
    index
        Which draws of the hyper-parameters they belong to, (draw,).
    facts
        What is worth telling about the sweeps.
    """

    draws: HyperDraws
    log_flow: NDArray[np.floating] | xr.Dataset
    coefficient: FloatArray
    index: IntArray
    facts: Mapping[str, Any] = field(default_factory=dict)


def kept_positions(n_chain: int, n_draw: int, wanted: int) -> IntArray:
    """Return evenly spaced draws of every chain, `wanted` over all chains, (kept,)."""
    n_keep = max(1, min(n_draw, wanted // n_chain))
    return np.unique(np.linspace(0, n_draw - 1, n_keep).round().astype(np.int64))


def takes_sweeps(coordinates: Coordinates, sampler: Sampler, n_sample: int) -> bool:
    """Return whether draws are moved by sweeps on the exact model.

    Not where there is nothing to correct, where reports of sums are conditioned on afterwards, and
    where the flows do not fit in memory.
    """
    problem = coordinates.density.problem
    wanted = sampler.sweeps > 0 and not is_gaussian(problem) and problem.totals is None
    return wanted and fits_in_memory(problem.grid, n_sample)


def _side_by_side(work: Any, n: int, progress: Progress) -> list[Any]:
    """Do n pieces of work on two threads, in the order of their results."""
    done = []
    with ThreadPoolExecutor(2) as pool:
        for one in pool.map(work, range(n)):
            done.append(one)
            progress.update(len(done))
    progress.stop()
    return done


def _streams(sampler: Sampler, n: int) -> list[np.random.SeedSequence]:
    """Return a random stream for every draw, so that results do not depend on threads."""
    return np.random.SeedSequence([sampler.seed, 2]).spawn(n)


def _refined(
    coordinates: Coordinates, draws: HyperDraws, sampler: Sampler, index: IntArray, told: Progress
) -> Latent:
    density, n_chain = coordinates.density, draws.x.shape[0]
    before = draws.x[:, index].reshape(n_chain * len(index), -1)
    # A trajectory of the hyper-parameters costs several gradients for each of a thousand draws.
    every = 1 if density.problem.reports.n <= MANY_REPORTS else 0
    chain = Chain(coordinates, 0.0)
    if every:
        chain = tune_chain(density, coordinates, before, sampler.seed)
    streams = _streams(sampler, len(before))
    told.start("sweeps on the exact model", len(before))

    def one(k: int) -> Any:
        rng = np.random.default_rng(streams[k])
        return refine(density, chain, before[k], rng, n_sweeps=sampler.sweeps, every=every)

    ends = _side_by_side(one, len(before), told)
    shape = (n_chain, len(index))
    x = np.stack([end.x for end in ends])
    spread = before.std(axis=0) + 1e-12
    facts: dict[str, Any] = {"sweeps": sampler.sweeps, "sweeps_move_hyper": every == 1}
    facts["sweep_shift"] = round(float(np.abs((x - before).mean(axis=0) / spread).max()), 3)
    for kind in ends[0].acceptance:
        mean = float(np.mean([end.acceptance[kind] for end in ends]))
        facts[f"sweep_accepted_{kind}"] = round(mean, 3)
    x = x.reshape(*shape, -1)
    moved = replace(
        draws,
        x=x,
        data=name_draws(density, x),
        stats={name: values[:, index] for name, values in draws.stats.items()},
    )
    log_flow = np.stack([end.log_flow for end in ends])
    log_flow = log_flow.reshape(*shape, *log_flow.shape[1:])
    log_flow[:, :, ~density.problem.grid.exists] = np.nan
    coefficient = np.stack([end.coefficient for end in ends]).reshape(*shape, -1)
    return Latent(moved, log_flow, coefficient, np.arange(len(index)), facts)


def _with_totals(
    coordinates: Coordinates, draws: HyperDraws, sampler: Sampler, index: IntArray, told: Progress
) -> Latent:
    """Draw flows given the reports of single cells, then condition them on the sums."""
    density, n_chain = coordinates.density, draws.x.shape[0]
    problem = density.problem
    points = draws.x[:, index].reshape(n_chain * len(index), -1)
    streams = _streams(sampler, len(points))
    told.start("latent flows, conditioned on sums", len(points))

    def one(k: int) -> tuple[FloatArray, FloatArray]:
        rng, hyper = np.random.default_rng(streams[k]), density.hyper(points[k])
        flow, coefficient = draw_latent(problem, hyper, density.sites, rng)
        return condition_on_totals(problem, hyper, density.sites, flow, coefficient, rng)

    both = _side_by_side(one, len(points), told)
    latent = np.stack([b[0] for b in both]).reshape(n_chain, len(index), *both[0][0].shape)
    latent[:, :, ~problem.grid.exists] = np.nan
    coefficient = np.stack([b[1] for b in both]).reshape(n_chain, len(index), -1)
    return Latent(draws, latent, coefficient, index)


def _block_by_block(
    coordinates: Coordinates,
    draws: HyperDraws,
    sampler: Sampler,
    index: IntArray,
    checkpoint: Checkpoint,
    told: Progress,
) -> Latent:
    """Draw coefficients, then flows a block of corridors at a time, stored if they are many."""
    density, (n_chain, n_draw) = coordinates.density, draws.x.shape[:2]
    problem, n_draw = density.problem, len(index)
    hypers = [density.hyper(draws.x[c, d]) for c in range(n_chain) for d in index]
    streams = _streams(sampler, len(hypers))
    told.start("coefficients", len(hypers))

    def one(k: int) -> FloatArray:
        rng = np.random.default_rng(streams[k])
        return draw_coefficients(problem, hypers[k], density.sites, rng)

    def make() -> dict[str, NDArray[Any]]:
        return {"coefficient": np.stack(_side_by_side(one, len(hypers), told))}

    coefficient = checkpoint.stage("coefficients", make)["coefficient"]

    def block(k: int, corridors: slice) -> FloatArray:
        rng = block_stream(sampler.seed, k, corridors)
        return draw_cells(problem, hypers[k], density.sites, coefficient[k], corridors, rng)

    log_flow: NDArray[np.floating] | xr.Dataset
    if fits_in_memory(problem.grid, len(hypers)):
        log_flow = make_latent(problem.grid, n_chain, n_draw, block)
    else:
        digest = hashlib.sha256(draws.x.tobytes() + checkpoint.fingerprint.encode()).hexdigest()
        log_flow = _stored(checkpoint, coordinates, block, (n_chain, index), digest, told)
    return Latent(draws, log_flow, coefficient.reshape(n_chain, n_draw, -1), index)


def _stored(
    checkpoint: Checkpoint,
    coordinates: Coordinates,
    block: Any,
    sizes: tuple[int, IntArray],
    fingerprint: str,
    told: Progress,
) -> xr.Dataset:
    """Write the flows into a Zarr store beside the other stages, and open it."""
    n_chain, index = sizes
    folder = checkpoint.folder_for(STORE)
    started = False

    def tell(done: int, total: int) -> None:
        nonlocal started
        if not started:
            told.start("latent flows, blocks", total, done - 1)
            started = True
        told.update(done)

    write_latent(
        folder,
        coordinates.density.problem.grid,
        n_chain,
        len(index),
        block,
        hyper_draw=np.broadcast_to(index, (n_chain, len(index))),
        fingerprint=fingerprint,
        progress=tell,
    )
    return open_latent(folder)


def recover_latent(
    coordinates: Coordinates,
    draws: HyperDraws,
    sampler: Sampler,
    checkpoint: Checkpoint,
    progress: Progress,
) -> Latent:
    """Draw latent flows and coefficients for evenly spaced hyper-draws of every chain.

    Every draw has a random stream of its own, so the result does not depend on threads.

    Parameters
    ----------
    coordinates
        Of the density the hyper-parameters were drawn from.
    draws
        The hyper-parameters.
    sampler
        Seed, `kept_draws`, `sweeps`.
    checkpoint
        Keeps coefficients, and the flows where they do not fit in memory.
    progress
        Told how far it is.
    """
    n_chain, n_draw = draws.x.shape[:2]
    index = kept_positions(n_chain, n_draw, sampler.kept_draws)
    if takes_sweeps(coordinates, sampler, n_chain * len(index)):
        return _refined(coordinates, draws, sampler, index, progress)
    if coordinates.density.problem.totals is not None:
        return _with_totals(coordinates, draws, sampler, index, progress)
    return _block_by_block(coordinates, draws, sampler, index, checkpoint, progress)
