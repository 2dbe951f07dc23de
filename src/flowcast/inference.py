"""Estimation: sample the hyper-parameters, judge convergence, simulate the latent flows."""

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from flowcast import __version__
from flowcast.config import ModelSpec, Sampler, apply_overrides
from flowcast.model.density import ModeResult, build_coordinates, build_density, find_mode
from flowcast.model.forward import draw_world
from flowcast.model.hyper import draw_hyper
from flowcast.model.latent import draw_latent
from flowcast.model.problem import Problem
from flowcast.posterior import GateResult, Posterior
from flowcast.preparation import (
    Inputs,
    ObservationsInput,
    PathInput,
    collect_inputs,
    prepare,
)
from flowcast.trees import build_tree, hyper_dataset

__all__ = ["estimate", "fit_problem", "judge_convergence"]

FloatArray = NDArray[np.float64]

N_PRIOR_DRAWS = 400
N_PRIOR_PREDICTIVE = 100
_LIBRARIES = ("pymc", "pytensor", "nutpie", "numba", "numpy", "scipy", "xarray")


def _sample(
    mode: ModeResult, sampler: Sampler, *, progress: bool
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Run NUTS from the mode; returns unconstrained draws (chain, draw, dim) and statistics.

    The sampler sees coordinates in which the posterior is nearly a standard normal.
    """
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    coordinates = build_coordinates(mode)

    def make_density() -> Callable[[FloatArray], tuple[float, FloatArray]]:
        return coordinates.value_grad

    def make_expand(*_: Any) -> Callable[[FloatArray], dict[str, FloatArray]]:
        return lambda z: {"z": z}

    n = len(mode.x)
    compiled = from_pyfunc(n, make_density, make_expand, [np.dtype("float64")], [(n,)], ["z"])
    tree = nutpie.sample(
        compiled,
        draws=sampler.draws,
        tune=sampler.tune,
        chains=sampler.chains,
        cores=min(sampler.chains, 2),
        seed=sampler.seed,
        init_mean=np.zeros(n),
        target_accept=sampler.target_accept,
        progress_bar=progress,
        save_warmup=False,
    )
    z = tree["posterior"]["z"].to_numpy()
    if z.shape[1] < sampler.draws or not np.isfinite(z).all():
        raise KeyboardInterrupt  # nutpie answers an interruption with what it has so far
    draws = np.apply_along_axis(coordinates.unconstrained, -1, z)
    stats = tree["sample_stats"]
    wanted = ("diverging", "n_steps", "step_size", "energy")
    return draws, {k: stats[k].to_numpy() for k in wanted if k in stats}


def judge_convergence(
    posterior: xr.Dataset, diverging: NDArray[Any], sampler: Sampler
) -> tuple[GateResult, pd.DataFrame]:
    """Apply the convergence gate to every hyper-parameter.

    Parameters
    ----------
    posterior
        Hyper-parameters, dims (chain, draw, ...).
    diverging
        Which transitions diverged.
    sampler
        The bounds: `max_rhat`, `min_ess`.

    Returns
    -------
    GateResult, DataFrame
        The verdict, and one row a hyper-parameter: `parameter, mean, sd, rhat, ess_bulk, ess_tail`.
        R-hat is rank-normalised and split (Vehtari et al. 2021, doi 10.1214/20-BA1221).
    """
    from arviz_stats import ess, rhat  # type: ignore[attr-defined]

    values = {
        "mean": posterior.mean(("chain", "draw")),
        "sd": posterior.std(("chain", "draw")),
        "rhat": rhat(posterior),  # type: ignore[no-untyped-call]
        "ess_bulk": ess(posterior, method="bulk"),  # type: ignore[no-untyped-call]
        "ess_tail": ess(posterior, method="tail"),  # type: ignore[no-untyped-call]
    }
    table = pd.DataFrame({k: _flatten(v) for k, v in values.items()})
    table = table.rename_axis("parameter").reset_index()
    worst = {
        "max_rhat": float(table["rhat"].max()),
        "min_ess_bulk": float(table["ess_bulk"].min()),
        "min_ess_tail": float(table["ess_tail"].min()),
        "divergences": float(np.sum(diverging)),
    }
    failures = []
    for _, row in table.iterrows():
        if not row["rhat"] < sampler.max_rhat:
            failures.append(f"{row['parameter']}: R-hat {row['rhat']:.3f}")
        for kind in ("ess_bulk", "ess_tail"):
            if not row[kind] > sampler.min_ess:
                failures.append(f"{row['parameter']}: {kind} {row[kind]:.0f}")
    if worst["divergences"]:
        failures.append(f"{worst['divergences']:.0f} divergent transitions")
    return GateResult(not failures, tuple(failures), worst), table


def _flatten(data: xr.Dataset) -> pd.Series:
    """Return a dataset of scalars and vectors as one series: `name` or `name[label]`."""
    out: dict[str, float] = {}
    for name, array in data.data_vars.items():
        if array.ndim == 0:
            out[str(name)] = float(array)
        else:
            labels = array[array.dims[0]].to_numpy()
            out |= {f"{name}[{k}]": float(v) for k, v in zip(labels, array.to_numpy(), strict=True)}
    return pd.Series(out, dtype=float)


def _simulate(
    mode: ModeResult, draws: FloatArray, sampler: Sampler
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Draw latent flows and coefficients for evenly spaced hyper-draws of every chain.

    Every draw has a random stream of its own, so the result does not depend on threads.
    """
    problem, density = mode.density.problem, mode.density
    n_chain, n_draw = draws.shape[:2]
    n_keep = max(1, min(n_draw, sampler.kept_draws // n_chain))
    index = np.unique(np.linspace(0, n_draw - 1, n_keep).round().astype(np.int64))
    streams = np.random.SeedSequence([sampler.seed, 2]).spawn(n_chain * len(index))
    hypers = [density.hyper(draws[c, d]) for c in range(n_chain) for d in index]

    def one(k: int) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng(streams[k])
        return draw_latent(problem, hypers[k], density.sites, rng)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(one, range(len(hypers))))
    latent = np.stack([b[0] for b in both]).reshape(n_chain, len(index), *both[0][0].shape)
    latent[:, :, ~problem.grid.exists] = np.nan
    coefficient = np.stack([b[1] for b in both]).reshape(n_chain, len(index), -1)
    return latent, coefficient, index


def _prior(problem: Problem, seed: int) -> tuple[xr.Dataset, FloatArray]:
    """Draw hyper-parameters from the prior, and log reports from the prior predictive."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3]))
    hypers = [draw_hyper(problem, rng) for _ in range(N_PRIOR_DRAWS)]
    worlds = [draw_world(problem, h, rng) for h in hypers[:N_PRIOR_PREDICTIVE]]
    names = list(hypers[0])
    stacked = {n: np.array([h[n] for h in hypers])[None] for n in names}
    return hyper_dataset(problem, stacked), np.log(np.stack([w.value for w in worlds]) + 0.5)


def fit_problem(
    problem: Problem, *, progress: bool = False, prior: bool = True
) -> tuple[xr.DataTree, GateResult, pd.DataFrame, dict[str, Any]]:
    """Fit a prepared problem.

    Returns
    -------
    DataTree, GateResult, DataFrame, dict
        As in `Posterior`: draws, gate, diagnostics; and timings and remarks.
    """
    sampler = problem.spec.sampler
    clock = {"start": time.perf_counter()}
    say = (
        (lambda text: print(text, file=sys.stderr, flush=True)) if progress else (lambda text: None)
    )
    with threadpool_limits(1):
        first = build_density(problem)
        first.value_grad(first.layout.start)  # compiles the kernel if it is not cached
        clock["compile"] = time.perf_counter()
        mode = find_mode(problem, say)
        density = mode.density
        clock["mode"] = time.perf_counter()
        draws, stats = _sample(mode, sampler, progress=progress)
        clock["sample"] = time.perf_counter()
        flat = draws.reshape(-1, draws.shape[-1])
        hypers = [density.hyper(x) for x in flat]
        stacked = {
            n: np.array([h[n] for h in hypers]).reshape(*draws.shape[:2], *np.shape(hypers[0][n]))
            for n in hypers[0]
        }
        hyper = hyper_dataset(problem, stacked)
        gate, diagnostics = judge_convergence(hyper, stats["diverging"], sampler)
        latent, coefficient, index = _simulate(mode, draws, sampler)
        clock["simulate"] = time.perf_counter()
        before = _prior(problem, sampler.seed) if prior else None
    tree = build_tree(problem, hyper, stats, density.sites, latent, coefficient, index, before)
    marks = list(clock.items())
    seconds = {name: round(at - marks[k][1], 3) for k, (name, at) in enumerate(marks[1:])}
    remarks = {"timings": seconds, "site_rounds": mode.rounds, "sites_settled": mode.settled}
    return tree, gate, diagnostics, remarks


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
    tree, gate, diagnostics, remarks = fit_problem(prepared.problem, progress=progress)
    info = _info(inputs, laid) | remarks | {"notes": list(prepared.notes)}
    return Posterior(tree, inputs.spec, gate, diagnostics, info)


def _info(inputs: Inputs, overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "seed": inputs.spec.sampler.seed,
        "overrides": dict(overrides),
        "codes": inputs.observations.codes,
        "inputs": {Path(inputs.observations.name).name: inputs.observations.sha256, **inputs.files},
        "versions": {"flowcast": __version__} | {name: version(name) for name in _LIBRARIES},
    }
