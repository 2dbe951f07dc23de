"""What several tests build on: small posteriors made from known numbers, never sampled."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from flowcast.config import ModelSpec
from flowcast.posterior import GateResult, Posterior

PLACES = ("AT", "DE", "FR", "NA", "PL", "SE", "CH", "DK", "FI", "NO")
"""NA is Namibia: a code that careless readers of tables lose."""
STEPS = ("0_to_3", "3_to_6", "6_to_12", "12_to_60")
INCREMENTS = (0.18, 0.16, 0.3, 0.8)
EVIDENCE_CYCLE = ("both_reports", "one_report", "none", "one_report+survey")


def corridors(places: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return origins and destinations of all ordered pairs of different places."""
    pairs = [(o, d) for o in places for d in places if o != d]
    return [o for o, _ in pairs], [d for _, d in pairs]


def tiny_posterior(
    places: int | Sequence[str] = 4,
    n_periods: int = 2,
    *,
    first_year: int = 2020,
    n_chains: int = 2,
    n_draws: int = 40,
    thin: int = 2,
    flows: ArrayLike | None = None,
    evidence: ArrayLike | None = None,
    duration: bool = True,
    passed: bool = True,
    seed: int = 1,
    spec: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Posterior:
    """Return a posterior with every group that `flowcast.posterior` promises, drawn by NumPy.

    Parameters
    ----------
    places
        Codes, or how many of `PLACES`.
    n_periods, first_year
        Calendar years, from this one on.
    n_chains, n_draws, thin
        Latent draws kept per chain; of the hyper-parameters there are `thin` times as many, and
        latent draw k belongs to hyper-parameter draw ``thin * k``.
    flows
        Persons, anything that broadcasts to (chain, draw, corridor, period); by default lognormal
        draws around corridor medians between some ten and some ten thousand persons.
    evidence
        Strings that broadcast to (corridor, period); by default `EVIDENCE_CYCLE` over and over.
    duration
        Whether the model has `duration_increment`; its draws scatter around `INCREMENTS`.
    passed
        Whether the convergence gate passed.
    seed
        Of the random numbers, and what `info` and the specification give as seed.
    spec, info
        Fields laid over the defaults.
    """
    rng = np.random.default_rng(seed)
    codes = PLACES[:places] if isinstance(places, int) else tuple(places)
    n_hyper = n_draws * thin
    shape = (n_chains, n_draws, len(codes) * (len(codes) - 1), n_periods)
    persons = _flows(rng, shape) if flows is None else np.broadcast_to(np.asarray(flows), shape)
    parameters = _parameters(rng, n_chains, n_hyper, duration=duration)
    tree = xr.DataTree.from_dict(
        {
            "posterior": parameters,
            "sample_stats": _sample_stats(n_chains, n_hyper),
            "prior": _parameters(rng, 1, 50, duration=duration),
            "latent": _latent(persons, codes, first_year, thin),
            "coefficients": _coefficients(rng, n_chains, n_draws, codes),
            "reports": _reports(rng, persons, codes),
            "cells": _cells(evidence, codes, n_periods),
        }
    )
    settings = {"name": "tiny", "sampler": {"seed": seed}, **(spec or {})}
    return Posterior(
        tree=tree,
        spec=ModelSpec.model_validate(settings),
        gate=_gate(passed=passed),
        diagnostics=_diagnostics(parameters),
        info={**_info(seed), **(info or {})},
    )


def _flows(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    median = rng.uniform(2.5, 9.0, size=shape[2:])
    spread = rng.uniform(0.05, 0.6, size=shape[2:])
    return np.exp(median + spread * rng.standard_normal(shape))


def _parameters(
    rng: np.random.Generator, n_chains: int, n_draws: int, *, duration: bool
) -> xr.Dataset:
    shape = (n_chains, n_draws)
    sample = ("chain", "draw")
    variables: dict[str, Any] = {
        "sd_corridor": (sample, rng.gamma(20.0, 0.03, shape)),
        "sd_noise": ((*sample, "noise_class"), rng.gamma(20.0, 0.01, (*shape, 2))),
    }
    coords: dict[str, Any] = {
        "chain": np.arange(n_chains),
        "draw": np.arange(n_draws),
        "noise_class": ["low", "high"],
    }
    if duration:
        around = rng.gamma(100.0, 0.01, (*shape, len(STEPS)))
        variables["duration_increment"] = ((*sample, "step"), around * INCREMENTS)
        coords["step"] = list(STEPS)
    return xr.Dataset(variables, coords)


def _sample_stats(n_chains: int, n_draws: int) -> xr.Dataset:
    diverging = np.zeros((n_chains, n_draws), dtype=bool)
    coords = {"chain": np.arange(n_chains), "draw": np.arange(n_draws)}
    return xr.Dataset({"diverging": (("chain", "draw"), diverging)}, coords)


def _latent(
    persons: NDArray[np.float64], codes: Sequence[str], first_year: int, thin: int
) -> xr.Dataset:
    n_chains, n_draws, _, n_periods = persons.shape
    origin, destination = corridors(codes)
    years = [np.datetime64(f"{first_year + k}-01-01", "ns") for k in range(n_periods + 1)]
    kept = np.tile(thin * np.arange(n_draws), (n_chains, 1))
    with np.errstate(divide="ignore"):
        log_flow = np.log(persons)
    return xr.Dataset(
        {"log_flow": (("chain", "draw", "corridor", "period"), log_flow)},
        {
            "chain": np.arange(n_chains),
            "draw": np.arange(n_draws),
            "origin": ("corridor", origin),
            "destination": ("corridor", destination),
            "period": np.arange(n_periods),
            "period_start": ("period", years[:-1]),
            "period_end": ("period", years[1:]),
            "hyper_draw": (("chain", "draw"), kept),
        },
    )


def _coefficients(
    rng: np.random.Generator, n_chains: int, n_draws: int, codes: Sequence[str]
) -> xr.Dataset:
    terms = ["intercept", "log_distance", *(f"origin[{code}]" for code in codes)]
    groups = ["global", "covariate", *("origin" for _ in codes)]
    values = rng.standard_normal((n_chains, n_draws, len(terms)))
    coords = {
        "chain": np.arange(n_chains),
        "draw": np.arange(n_draws),
        "term": terms,
        "group": ("term", groups),
    }
    return xr.Dataset({"coefficient": (("chain", "draw", "term"), values)}, coords)


def _reports(
    rng: np.random.Generator, persons: NDArray[np.float64], codes: Sequence[str]
) -> xr.Dataset:
    """Return one report per corridor of the first period, by the destination."""
    origin, destination = corridors(codes)
    value = rng.poisson(np.median(persons[:, :, :, 0], axis=(0, 1))).astype(float)
    columns = {
        "origin": origin,
        "destination": destination,
        "period": np.zeros(len(origin), dtype=int),
        "side": ["immigration"] * len(origin),
        "reporter": destination,
        "value": value,
    }
    return xr.Dataset({name: ("report", cells) for name, cells in columns.items()})


def _cells(evidence: ArrayLike | None, codes: Sequence[str], n_periods: int) -> xr.Dataset:
    origin, destination = corridors(codes)
    shape = (len(origin), n_periods)
    words = np.resize(EVIDENCE_CYCLE, shape) if evidence is None else np.asarray(evidence)
    coords = {
        "origin": ("corridor", origin),
        "destination": ("corridor", destination),
        "period": np.arange(n_periods),
    }
    values = np.broadcast_to(words, shape).astype(object)
    return xr.Dataset({"evidence": (("corridor", "period"), values)}, coords)


def _gate(*, passed: bool) -> GateResult:
    worst = {"max_rhat": 1.002 if passed else 1.2, "min_ess_bulk": 900.0, "min_ess_tail": 800.0}
    failures = () if passed else ("sd_noise[low]: R-hat 1.200 is above 1.010",)
    return GateResult(passed, failures, {**worst, "divergences": 0.0})


def _diagnostics(parameters: xr.Dataset) -> pd.DataFrame:
    frame = parameters.mean(("chain", "draw"))
    names = [str(name) for name in frame.data_vars]
    return pd.DataFrame(
        {
            "parameter": names,
            "mean": [float(frame[name].mean()) for name in names],
            "sd": 0.1,
            "rhat": 1.002,
            "ess_bulk": np.linspace(900.0, 1200.0, len(names)),
            "ess_tail": 800.0,
        }
    )


def _info(seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "versions": {"flowcast": "0.1.0", "pymc": "6.4.0"},
        "inputs": {"observations.csv": "aa" * 32, "places.csv": "bb" * 32},
        "timings": {"sample": 1.5 + seed},
        "notes": [],
    }
