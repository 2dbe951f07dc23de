"""NUTS over the hyper-parameters, a chain at a time, so that finished chains are never lost."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.gate import HyperDraws, judge_convergence, name_draws
from flowcast.model.coordinates import Coordinates

__all__ = ["sample_nuts"]

FloatArray = NDArray[np.float64]
WANTED = ("diverging", "n_steps", "step_size", "energy")


class _Told:
    """Adds up how far chains that run side by side are."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.done: dict[int, int] = {}
        self.lock = threading.Lock()

    def of(self, chain: int) -> Callable[[list[Any]], None]:
        def tell(chains: list[Any]) -> None:
            with self.lock:
                self.done[chain] = sum(c.finished_draws for c in chains)
                self.progress.update(sum(self.done.values()))

        return tell


def _sample_chain(
    coordinates: Coordinates, sampler: Sampler, chain: int, tell: Callable[[list[Any]], None]
) -> dict[str, NDArray[Any]]:
    """Run one chain from the mode; returns draws in the sampler's coordinates and statistics."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    n = len(coordinates.centre)

    def make_density() -> Callable[[FloatArray], tuple[float, FloatArray]]:
        return coordinates.value_grad

    def make_expand(*_: object) -> Callable[[FloatArray], dict[str, FloatArray]]:
        return lambda z: {"z": z}

    compiled = from_pyfunc(n, make_density, make_expand, [np.dtype("float64")], [(n,)], ["z"])
    seed = np.random.SeedSequence([sampler.seed, 1, chain]).generate_state(1)[0]
    tree = nutpie.sample(
        compiled,
        draws=sampler.draws,
        tune=sampler.tune,
        chains=1,
        cores=1,
        seed=int(seed),
        init_mean=np.zeros(n),
        target_accept=sampler.target_accept,
        maxdepth=sampler.max_depth,
        progress_bar=False,
        progress_callback=tell,
        save_warmup=False,
    )
    z = tree["posterior"]["z"].to_numpy()[0]
    if len(z) < sampler.draws or not np.isfinite(z).all():
        raise KeyboardInterrupt  # nutpie answers an interruption with what it has so far
    stats = tree["sample_stats"]
    return {"z": z} | {k: stats[k].to_numpy()[0] for k in WANTED if k in stats}


def sample_nuts(
    coordinates: Coordinates, sampler: Sampler, checkpoint: Checkpoint, progress: Progress
) -> HyperDraws:
    """Sample the hyper-parameters by NUTS (Hoffman & Gelman 2014, arXiv:1111.4246).

    Parameters
    ----------
    coordinates
        In which the posterior is nearly a standard normal, from `build_coordinates`.
    sampler
        Draws, warm-up, chains, seed, bounds.
    checkpoint
        Keeps every chain that is finished.
    progress
        Told how many steps of all chains are done.

    Returns
    -------
    HyperDraws
        With the verdict of the convergence gate.
    """
    told = _Told(progress)

    def one(chain: int) -> dict[str, NDArray[Any]]:
        return checkpoint.stage(
            f"chain-{chain}", lambda: _sample_chain(coordinates, sampler, chain, told.of(chain))
        )

    progress.start("sampling", sampler.chains * (sampler.tune + sampler.draws))
    with ThreadPoolExecutor(min(sampler.chains, 2)) as pool:
        chains = list(pool.map(one, range(sampler.chains)))
    progress.stop()
    z = np.stack([chain["z"] for chain in chains])
    x = np.apply_along_axis(coordinates.unconstrained, -1, z)
    stats = {k: np.stack([c[k] for c in chains]) for k in chains[0] if k != "z"}
    data = name_draws(coordinates.density, x)
    gate, diagnostics = judge_convergence(data, stats["diverging"], sampler)
    return HyperDraws(x, data, "nuts", gate, diagnostics, stats)
