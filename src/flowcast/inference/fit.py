"""From a problem to a posterior: mode, draws of the hyper-parameters, verdict, latent flows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from flowcast import __version__
from flowcast._terminal import Progress
from flowcast.config import ModelSpec, Sampler, apply_overrides
from flowcast.inference.checkpoint import Checkpoint, open_checkpoint
from flowcast.inference.gate import HyperDraws
from flowcast.inference.laplace import evaluate, sample_laplace
from flowcast.inference.nuts import sample_nuts
from flowcast.inference.recover import Latent, recover_latent
from flowcast.inference.tilt import reweigh, tilt_coordinates
from flowcast.model.assemble import Sites
from flowcast.model.coordinates import Coordinates, build_coordinates
from flowcast.model.density import Density, ModeResult, build_density, find_mode, is_gaussian
from flowcast.model.forward import draw_world
from flowcast.model.hyper import draw_hyper
from flowcast.model.problem import Problem
from flowcast.model.totals import totals_log_weight
from flowcast.posterior import GateResult, Posterior
from flowcast.preparation import (
    Inputs,
    ObservationsInput,
    PathInput,
    collect_inputs,
    fingerprint,
    prepare,
)
from flowcast.trees import build_tree, hyper_dataset

__all__ = ["estimate", "fit_problem"]

FloatArray = NDArray[np.float64]

N_PRIOR_DRAWS = 400
N_PRIOR_PREDICTIVE = 100
_LEAST_SHARE = 0.05
"""Where a smaller share of a normal's draws is effective with the sums, none is fitted to them."""
_MOST_REPORTS = 20_000
"""With more reports their likelihood is not told of every draw: it would take minutes."""
THREADS = 2
_LIBRARIES = ("pymc", "pytensor", "nutpie", "numba", "numpy", "scipy", "xarray")
_COORDINATES = ("folded", "power", "relative", "centre", "root", "soft", "scale")
_SITE_NAMES = ("mean", "variance", "noise_weight", "innovation_weight", "unit_weight")


def _find_mode(problem: Problem, checkpoint: Checkpoint, progress: Progress) -> ModeResult:
    """Find the mode and the sites there, or take them from the checkpoint."""

    def make() -> dict[str, NDArray[Any]]:
        mode = find_mode(problem, progress.say, THREADS)
        sites = {name: getattr(mode.density.sites, name) for name in _SITE_NAMES}
        return {"x": mode.x, "rounds": np.array([mode.rounds, mode.settled])} | sites

    kept = checkpoint.stage("mode", make)
    sites = Sites(*(kept[name] for name in _SITE_NAMES))
    rounds, settled = kept["rounds"]
    return ModeResult(
        kept["x"], build_density(problem, sites, THREADS), int(rounds), settled=bool(settled)
    )


def _find_coordinates(mode: ModeResult, checkpoint: Checkpoint) -> Coordinates:
    def make() -> dict[str, NDArray[Any]]:
        found = build_coordinates(mode)
        return {name: getattr(found, name) for name in _COORDINATES}

    density = build_density(mode.density.problem, mode.density.sites)
    return Coordinates(density, **checkpoint.stage("curvature", make))


def _draw(
    coordinates: Coordinates, sampler: Sampler, checkpoint: Checkpoint, progress: Progress
) -> HyperDraws:
    """Draw the hyper-parameters as asked for; NUTS follows where importance weights fail."""
    reasons: tuple[str, ...] = ()
    density = coordinates.density
    extra = _totals_factor(density) if density.problem.totals is not None else None
    hopeless = False
    if extra is not None:
        tilted, tilt, share = tilt_coordinates(coordinates, extra, sampler, checkpoint, progress)
        hopeless = share < _LEAST_SHARE
    if sampler.method == "laplace" and hopeless:
        reasons = ("sums of cells say too much about the hyper-parameters",)
    elif sampler.method == "laplace":
        draws = sample_laplace(coordinates, sampler, checkpoint, progress, extra)
        if draws.gate.passed:
            return draws
        reasons = draws.gate.failures
        progress.say(f"importance sampling is not exact here ({reasons[0]}): NUTS follows")
    draws = sample_nuts(coordinates if extra is None else tilted, sampler, checkpoint, progress)
    if reasons:
        draws.facts["instead_of_laplace"] = list(reasons[:5])
    if extra is None:
        return draws
    return reweigh(density, draws, sampler, lambda x: extra(x) - float(tilt.value(x)))


def _totals_factor(density: Density) -> Callable[[FloatArray], float]:
    """Return what reports of sums add to the log posterior of the hyper-parameters."""

    def factor(x: FloatArray) -> float:
        return totals_log_weight(density.problem, density.hyper(x), density.sites)

    return factor


def _prior(problem: Problem, seed: int) -> tuple[xr.Dataset, FloatArray]:
    """Draw hyper-parameters from the prior, and log reports from the prior predictive."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    hypers = [draw_hyper(problem, rng) for _ in range(N_PRIOR_DRAWS)]
    worlds = [draw_world(problem, h, rng) for h in hypers[:N_PRIOR_PREDICTIVE]]
    names = list(hypers[0])
    stacked = {n: np.array([h[n] for h in hypers])[None] for n in names}
    return hyper_dataset(problem, stacked), np.log(np.stack([w.value for w in worlds]) + 0.5)


def _log_likelihood(density: Density, latent: Latent) -> FloatArray | None:
    """Return the log likelihood of the kept draws' hyper-parameters, (chain, draw)."""
    if density.problem.totals is not None or density.problem.reports.n > _MOST_REPORTS:
        return None
    x = latent.draws.x[:, latent.index]
    return evaluate(density.log_likelihood, x.reshape(-1, x.shape[-1])).reshape(x.shape[:2])


def _how(problem: Problem, draws: HyperDraws, latent: Latent) -> dict[str, Any]:
    """Say by which method the draws came, and whether they are exact up to Monte Carlo error."""
    swept = "sweeps" in latent.facts
    exact: bool | None = draws.gate.passed and is_gaussian(problem)
    if swept and draws.gate.passed:
        exact = None
    return {"method": f"{draws.method}+sweeps" if swept else draws.method, "exact": exact}


@dataclass(frozen=True, slots=True, eq=False)
class _Clock:
    """Seconds between marks, by name."""

    marks: dict[str, float]

    def mark(self, name: str) -> None:
        self.marks[name] = time.perf_counter()

    def seconds(self) -> dict[str, float]:
        at = list(self.marks.items())
        return {name: round(t - at[k][1], 3) for k, (name, t) in enumerate(at[1:])}


def fit_problem(
    problem: Problem,
    *,
    progress: bool = False,
    prior: bool = True,
    checkpoint: Path | None = None,
) -> tuple[xr.DataTree, GateResult, pd.DataFrame, dict[str, Any]]:
    """Fit a prepared problem.

    Parameters
    ----------
    problem
        What is fitted.
    progress
        Whether to say on stderr how far it is.
    prior
        Whether to draw from the prior and the prior predictive too.
    checkpoint
        A folder in which finished stages are kept; the same fit with the same folder goes on where
        it was, and ends with the same result.

    Returns
    -------
    DataTree, GateResult, DataFrame, dict
        As in `Posterior`: draws, gate, diagnostics; and method, timings and remarks.
    """
    sampler, told = problem.spec.sampler, Progress(shown=progress)
    kept = open_checkpoint(checkpoint, problem)
    clock = _Clock({"start": time.perf_counter()})
    with threadpool_limits(1):
        first = build_density(problem)
        first.value_grad(first.layout.start)  # compiles the kernel if it is not cached
        clock.mark("compile")
        mode = _find_mode(problem, kept, told)
        coordinates = _find_coordinates(mode, kept)
        clock.mark("mode")
        draws = _draw(coordinates, sampler, kept, told)
        clock.mark("sample")
        latent = recover_latent(coordinates, draws, sampler, kept, told)
        draws = latent.draws
        clock.mark("simulate")
        before = _prior(problem, sampler.seed) if prior else None
        likelihood = _log_likelihood(coordinates.density, latent)
    sites = mode.density.sites
    tree = build_tree(
        problem, draws.data, draws.stats, sites, latent.log_flow, latent.coefficient,
        latent.index, before, likelihood,
    )  # fmt: skip
    remarks = {
        **_how(problem, draws, latent),
        "timings": clock.seconds(),
        "site_rounds": mode.rounds,
        "sites_settled": mode.settled,
        **draws.facts,
        **latent.facts,
    }
    return tree, draws.gate, draws.diagnostics, remarks


def _with_sampler(
    model: str | Path | ModelSpec, overrides: Mapping[str, Any]
) -> str | Path | ModelSpec:
    """Lay overrides over a ready specification; a file is overridden when it is read."""
    if not isinstance(model, ModelSpec) or not overrides:
        return model
    import yaml

    from flowcast.config import dump_model, validate_model

    raw = apply_overrides(yaml.safe_load(dump_model(model)), overrides)
    return validate_model(raw, model.name).model_copy(update={"folder": model.folder})


def estimate(
    model: str | Path | ModelSpec,
    observations: ObservationsInput = None,
    places: PathInput = None,
    corridors: PathInput = None,
    *,
    draws: int | None = None,
    tune: int | None = None,
    chains: int | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> Posterior:
    """Estimate flows: read, check, sample, judge, simulate.

    Parameters
    ----------
    model
        A specification, a YAML file, a folder with one, or the name of an embedded model.
    observations
        `Observations`, a file, or several; by default those the model names.
    places, corridors
        Covariate files; by default those the model names.
    draws, tune, chains, seed
        Sampler settings laid over the model's.
    overrides
        Dotted keys laid over the model, such as ``{"process.sd_origin": {"half_normal": 2}}``.
    progress
        Whether to say on the terminal how far it is.
    checkpoint
        A folder in which finished stages are kept: a fit that was killed goes on from there.

    Returns
    -------
    Posterior
        Latent log flows in persons per period (12-month definition), with the gate's verdict. A
        posterior that did not pass the gate is returned, and says so.

    Raises
    ------
    InputError
        With every fault of the input.
    HeldOutError
        If observations are marked held out.

    Examples
    --------
    >>> import flowcast as fc
    >>> posterior = fc.estimate("europe_2024", seed=1)  # doctest: +SKIP
    """
    laid = dict(overrides or {})
    settings = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    laid |= {f"sampler.{k}": v for k, v in settings.items() if v is not None}
    inputs = collect_inputs(
        _with_sampler(model, laid), observations, places, corridors, overrides=laid
    )
    prepared = prepare(inputs)
    folder = None if checkpoint is None else Path(checkpoint)
    tree, gate, diagnostics, remarks = fit_problem(
        prepared.problem, progress=progress, checkpoint=folder
    )
    info = _info(inputs, laid) | remarks | {"notes": list(prepared.notes)}
    return Posterior(tree, inputs.spec, gate, diagnostics, info)


def _info(inputs: Inputs, overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seed": inputs.spec.sampler.seed,
        "overrides": dict(overrides),
        "codes": inputs.observations.codes,
        "inputs": {Path(inputs.observations.name).name: inputs.observations.sha256, **inputs.files},
        "sources": list(inputs.observations.sources),
        "fingerprint": fingerprint(inputs),
        "versions": {"flowcast": __version__} | {name: version(name) for name in _LIBRARIES},
    }
