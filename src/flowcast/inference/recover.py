"""Latent flows and coefficients for draws of the hyper-parameters, by exact simulation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference.gate import HyperDraws
from flowcast.model.coordinates import Coordinates
from flowcast.model.latent import draw_latent

__all__ = ["Latent", "kept_positions", "recover_latent"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Latent log flows and coefficients.

    Attributes
    ----------
    log_flow
        (chain, draw, corridor, period); missing where a place did not exist.
    coefficient
        (chain, draw, coefficient).
    index
        Which draws of the hyper-parameters they belong to, (draw,).
    """

    log_flow: FloatArray
    coefficient: FloatArray
    index: IntArray


def kept_positions(n_chain: int, n_draw: int, wanted: int) -> IntArray:
    """Return evenly spaced draws of every chain, `wanted` over all chains, (kept,)."""
    n_keep = max(1, min(n_draw, wanted // n_chain))
    return np.unique(np.linspace(0, n_draw - 1, n_keep).round().astype(np.int64))


def recover_latent(
    coordinates: Coordinates, draws: HyperDraws, sampler: Sampler, progress: Progress
) -> Latent:
    """Draw latent flows and coefficients for evenly spaced hyper-draws of every chain.

    Every draw has a random stream of its own, so the result does not depend on threads.
    """
    density = coordinates.density
    problem = density.problem
    n_chain, n_draw = draws.x.shape[:2]
    index = kept_positions(n_chain, n_draw, sampler.kept_draws)
    streams = np.random.SeedSequence([sampler.seed, 2]).spawn(n_chain * len(index))
    points = [draws.x[c, d] for c in range(n_chain) for d in index]

    def one(k: int) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng(streams[k])
        return draw_latent(problem, density.hyper(points[k]), density.sites, rng)

    both = []
    progress.start("latent flows", len(points))
    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(one, range(len(points))):
            both.append(done)
            progress.update(len(both))
    latent = np.stack([b[0] for b in both]).reshape(n_chain, len(index), *both[0][0].shape)
    latent[:, :, ~problem.grid.exists] = np.nan
    coefficient = np.stack([b[1] for b in both]).reshape(n_chain, len(index), -1)
    return Latent(latent, coefficient, index)
