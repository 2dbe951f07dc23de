"""What several tests build on: small posteriors made from known numbers, never sampled."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from numpy.typing import ArrayLike, NDArray

from flowcast.config import ModelSpec, dump_model
from flowcast.posterior import GateResult, Posterior

if TYPE_CHECKING:
    from flowcast.model.assemble import Sites
    from flowcast.model.problem import Problem

PLACES = ("AT", "DE", "FR", "NA", "PL", "SE", "CH", "DK", "FI", "NO")
"""NA is Namibia: a code that careless readers of tables lose."""
STEPS = ("0_to_3", "3_to_6", "6_to_12", "12_to_60")
INCREMENTS = (0.18, 0.16, 0.3, 0.8)
EVIDENCE_CYCLE = ("both_reports", "one_report", "none", "one_report+survey")


def corridors(places: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return origins and destinations of all ordered pairs of different places."""
    pairs = [(o, d) for o in places for d in places if o != d]
    return [o for o, _ in pairs], [d for _, d in pairs]


def flow_row(start: str, end: str, value: float, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "source": "office",
        "family": "administrative",
        "measure": "flow",
        "origin": "DE",
        "destination": "FR",
        "period_start": start,
        "period_end": end,
        "value": value,
        "reporter": "destination",
        "duration_months": 12,
    } | changes


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
        "source": ["register"] * len(origin),
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


def single_precision(posterior: Posterior) -> Posterior:
    """Return the posterior with latent flows as a fit gives them: float32."""
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    latent = groups["latent"]
    groups["latent"] = latent.assign(log_flow=latent["log_flow"].astype("float32"))
    return replace(posterior, tree=xr.DataTree.from_dict(groups))


def stored_posterior(
    posterior: Posterior, folder: Path, *, block_corridors: int | None = None
) -> Posterior:
    """Return the same posterior with its latent flows in a store, as that of a large problem.

    Parameters
    ----------
    posterior
        With draws in memory.
    folder
        Of the store.
    block_corridors
        As for `write_latent`.
    """
    from flowcast.latent_store import open_latent, write_latent
    from flowcast.model.grid import Grid

    latent = posterior.tree["latent"].to_dataset()
    values = latent["log_flow"].values
    origin, destination = (latent[side].values.astype(str) for side in ("origin", "destination"))
    places = sorted({*origin, *destination})
    grid = Grid(
        tuple(places),
        np.searchsorted(places, origin),
        np.searchsorted(places, destination),
        pd.DatetimeIndex(latent["period_start"].values),
        pd.DatetimeIndex(latent["period_end"].values),
        np.isfinite(values[0, 0]),
    )
    flat = values.reshape(-1, *values.shape[2:])
    write_latent(
        folder,
        grid,
        *values.shape[:2],
        lambda sample, some: flat[sample, some],
        hyper_draw=latent["hyper_draw"].values,
        block_corridors=block_corridors,
    )
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    groups["latent"] = open_latent(folder)
    return replace(posterior, tree=xr.DataTree.from_dict(groups))


def laplace_posterior(
    problem: "Problem",
    *,
    n_chains: int = 2,
    n_draws: int = 60,
    thin: int = 1,
    passed: bool = True,
    seed: int = 1,
    info: Mapping[str, Any] | None = None,
) -> Posterior:
    """Return a posterior fitted without sampling: normal around the mode, then exact flows.

    Hyper-parameters come from the normal with the curvature at their mode; coefficients and latent
    flows are drawn given them as in a real fit, so everything else is as `estimate` leaves it.

    Parameters
    ----------
    problem
        What is fitted, such as ``simulate_world(4, 2).problem``.
    n_chains, n_draws, thin
        Latent draws kept per chain; there are `thin` times as many of the hyper-parameters.
    passed
        Whether the convergence gate passed.
    seed
        Of the random numbers.
    info
        Fields laid over the defaults.
    """
    # Imported here: the compiled kernel takes a second, and most tests do without it.
    from flowcast.model.coordinates import build_coordinates
    from flowcast.model.density import find_mode
    from flowcast.model.hyper import draw_hyper
    from flowcast.model.latent import draw_latent
    from flowcast.trees import build_tree, hyper_dataset

    rng = np.random.default_rng(seed)
    mode = find_mode(problem)
    coordinates = build_coordinates(mode)
    z = rng.standard_normal((n_chains, n_draws * thin, len(mode.x)))
    hypers = [
        [mode.density.hyper(coordinates.unconstrained(point)) for point in chain] for chain in z
    ]
    index = thin * np.arange(n_draws)
    drawn = [
        [draw_latent(problem, chain[k], mode.density.sites, rng) for k in index] for chain in hypers
    ]
    latent = np.array([[flow for flow, _ in chain] for chain in drawn])
    latent[:, :, ~problem.grid.exists] = np.nan
    coefficient = np.array([[value for _, value in chain] for chain in drawn])
    stacked = {
        name: np.array([[h[name] for h in chain] for chain in hypers]) for name in hypers[0][0]
    }
    hyper = hyper_dataset(problem, stacked)
    before = [draw_hyper(problem, rng) for _ in range(50)]
    prior = hyper_dataset(problem, {n: np.array([h[n] for h in before])[None] for n in before[0]})
    tree = build_tree(
        problem,
        hyper,
        {"diverging": np.zeros(z.shape[:2], dtype=bool)},
        mode.density.sites,
        latent,
        coefficient,
        index,
        (prior, np.zeros((3, problem.reports.n))),
    )
    means = hyper.mean(("chain", "draw"))
    return Posterior(
        tree=tree,
        spec=problem.spec,
        gate=_gate(passed=passed),
        diagnostics=_diagnostics(means.expand_dims(("chain", "draw"))),
        info={**_info(seed), **(info or {})},
    )


def kernel_inputs(
    seed: int = 0, *, n_period: int = 5, owned: bool = False, n_tv: int = 2
) -> dict[str, NDArray[Any]]:
    """Return random inputs of the collapsed likelihood, in the order of its arguments.

    Five corridors with one to nine reports by up to three series, several in a period here and none
    there; two coefficients that are constant over a corridor, reporters' coefficients where there
    are any, `n_tv` columns that vary within a corridor (of which one corridor lacks the last, and
    two have coefficients of their own) and, if `owned`, a coefficient for every period and series.
    """
    rng = np.random.default_rng(seed)
    slots, sizes = np.array([2, 1, 3, 1, 2]), np.array([3, 1, 9, 2, 4])
    cells = [_reported(rng, n, k, n_period) for n, k in zip(sizes, slots, strict=True)]
    start = np.concatenate([[0], np.cumsum([len(c) for c in cells])])
    period, slot = np.concatenate(cells).T
    n, table = int(start[-1]), np.zeros((5, 3), dtype=np.int64)
    for c, k in enumerate(slots):
        table[c, :k] = rng.choice(4, k, replace=False)
    slot_col = np.where(rng.random((5, 3)) < 0.8, 5 + table, -1)
    own = np.zeros(0, dtype=np.int64)
    varying = np.tile(9 + np.arange(n_tv), (5, 1))
    if n_tv:
        varying[2, -1], varying[4, -1] = -1, 9 + n_tv
    if owned:
        corridor = np.repeat(np.arange(5), np.diff(start))
        own = 10 + n_tv + table[corridor, slot] * n_period + period
    return {
        "residual": rng.normal(size=n),
        "noise": rng.uniform(0.1, 0.5, n),
        "coef_variance": rng.uniform(0.2, 2.0, 10 + n_tv + 4 * n_period * owned),
        "scale": np.array([0.4, 0.2, 0.7]),
        "group_variance": rng.uniform(0.1, 0.4, 4),
        "period": period.astype(np.int64),
        "slot": slot.astype(np.int64),
        "start": start.astype(np.int64),
        "tv": rng.normal(size=(n, n_tv)),
        "constant": rng.normal(size=(5, 3)),
        "constant_col": np.column_stack([np.zeros(5), [1, 2, 1, 3, 4], [2, 3, 4, 1, 2]]).astype(
            int
        ),
        "series": table,
        "slot_col": slot_col,
        "n_slot": slots,
        "tv_col": varying,
        "own_col": own,
        "innovation_weight": rng.uniform(0.3, 2.0, 5),
    }


def _reported(rng: np.random.Generator, n: int, n_slot: int, n_period: int) -> NDArray[np.int64]:
    """Return n different cells (period, slot), sorted; every slot occurs if it can."""
    every = [(t, s) for t in range(n_period) for s in range(n_slot)]
    chosen = rng.choice(len(every), min(n, len(every)), replace=False)
    return np.array(sorted(every[k] for k in chosen))


def kernel_dense(
    given: Mapping[str, NDArray[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return design, covariance given the coefficients, and coefficients' prior covariance."""
    start, n = given["start"], len(given["residual"])
    corridor = np.repeat(np.arange(len(start) - 1), np.diff(start))
    design = np.zeros((n, len(given["coef_variance"])))
    for k in range(n):
        c = corridor[k]
        for value, col in zip(given["constant"][c], given["constant_col"][c], strict=True):
            design[k, col] += value
        if given["slot_col"][c, given["slot"][k]] >= 0:
            design[k, given["slot_col"][c, given["slot"][k]]] += 1.0
        for value, col in zip(given["tv"][k], given["tv_col"][c], strict=True):
            design[k, col] += value * (col >= 0)
        if len(given["own_col"]):
            design[k, given["own_col"][k]] += 1.0
    series = given["series"][corridor, given["slot"]]
    same = corridor[:, None] == corridor
    gap = np.abs(given["period"][:, None] - given["period"])
    effect, innovation, phi = given["scale"]
    stationary = innovation / given["innovation_weight"][corridor] / (1 - phi**2)
    shared = same & (series[:, None] == series)
    covariance = same * (effect + stationary[:, None] * phi**gap)
    covariance = covariance + shared * given["group_variance"][series][:, None]
    return design, covariance + np.diag(given["noise"]), np.diag(given["coef_variance"])


def dense_design(problem: "Problem") -> NDArray[np.float64]:
    """Return the design of the reports, (report, coefficient), read off the names alone."""
    reports, grid, coefficients = problem.reports, problem.grid, problem.coefficients
    out = np.zeros((reports.n, coefficients.n))
    for k in range(reports.n):
        c, t = reports.corridor[k], reports.period[k]
        of = dict(zip(problem.covariates.names, problem.covariates.values[c, t], strict=True))
        values = {("covariate", name): value for name, value in of.items()} | {
            ("intercept", "intercept"): 1.0,
            ("origin", grid.places[grid.origin[c]]): 1.0,
            ("destination", grid.places[grid.destination[c]]): 1.0,
            ("reporter", reports.unit[k]): 1.0,
            ("reporter_period", f"{reports.unit[k]}@{t}"): 1.0,
        }
        for at in problem.effects.index[problem.effects.report == k]:
            entry = (problem.effects.report == k) & (problem.effects.index == at)
            values["effect", problem.effects.names[at]] = problem.effects.value[entry][0]
        for j, key in enumerate(zip(coefficients.group, coefficients.name, strict=True)):
            out[k, j] = values.get(key, 0.0)
    return out


def dense_covariance(
    problem: "Problem", hyper: Mapping[str, Any], sites: "Sites"
) -> NDArray[np.float64]:
    """Return the covariance of the reports given the coefficients, (report, report)."""
    reports = problem.reports
    sides = {side: k for k, side in enumerate(problem.sides)}
    sd = {
        **dict(zip(problem.labels["noise_class"], hyper.get("sd_noise", ()), strict=True)),
        **dict(
            zip(problem.labels["noise_reporter"], hyper.get("sd_noise_reporter", ()), strict=True)
        ),
    }
    out = np.zeros((reports.n, reports.n))
    for k in range(reports.n):
        for j in range(reports.n):
            if reports.corridor[k] != reports.corridor[j]:
                continue
            out[k, j] = hyper.get("sd_corridor", 0.0) ** 2
            if "sd_innovation" in hyper:
                phi = hyper["ar_coefficient"]
                own = hyper["sd_innovation"] ** 2 / sites.innovation_weight[reports.corridor[k]]
                gap = abs(int(reports.period[k]) - int(reports.period[j]))
                out[k, j] += own / (1 - phi**2) * phi**gap
            if "sd_corridor_report" in hyper and reports.series[k] == reports.series[j]:
                out[k, j] += hyper["sd_corridor_report"][sides[reports.side[k]]] ** 2
        out[k, k] += sd[reports.noise[k]] ** 2 / sites.noise_weight[k] + sites.variance[k]
    return out


def coefficient_variance(
    problem: "Problem", hyper: Mapping[str, Any], sites: "Sites"
) -> NDArray[np.float64]:
    """Return the prior variance of every coefficient, (coefficient,)."""
    coefficients, process = problem.coefficients, problem.spec.process
    fixed = {"intercept": process.intercept.numbers[1]} | {
        term.name: term.prior.numbers[1] for term in process.covariates
    }
    out = np.empty(coefficients.n)
    for j, (group, name) in enumerate(zip(coefficients.group, coefficients.name, strict=True)):
        if group in ("intercept", "covariate"):
            out[j] = fixed[name] ** 2
        elif group in ("origin", "destination"):
            out[j] = hyper[f"sd_{group}"] ** 2
        elif group == "effect":
            out[j] = dict(zip(problem.effects.names, problem.effects.sd, strict=True))[name] ** 2
        else:
            side = problem.sides.index(name.split(":")[0])
            out[j] = hyper[f"sd_{group}"][side] ** 2 / sites.unit_weight[coefficients.unit[j]]
    return out


def dense_offset(problem: "Problem", hyper: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the log factor of definition and undercount of every report, (report,)."""
    reports = problem.reports
    out = reports.duration @ hyper.get("duration_increment", np.zeros(4))
    if "share_reported" in hyper:
        share = dict(zip(problem.labels["share_class"], hyper["share_reported"], strict=True))
        out = out + np.log([share.get(label, 1.0) for label in reports.share])
    return np.asarray(out)


def changed(spec: ModelSpec, **parts: Mapping[str, Any] | str) -> ModelSpec:
    """Return the specification with some fields of its parts replaced, as a file would say it."""
    raw = yaml.safe_load(dump_model(spec))
    for part, fields in parts.items():
        raw[part] = fields if isinstance(fields, str) else raw[part] | dict(fields)
    return ModelSpec.model_validate(raw)


def varied_spec(which: str) -> ModelSpec:
    """Return the specification of simulated worlds with one part of the model changed.

    ``plain`` changes nothing; ``normal_tails``, ``no_path``, ``no_duration``, ``no_share`` and
    ``bare`` switch parts off; ``shapes`` uses every shape of prior at least once.
    """
    from flowcast.simulation import simulation_spec

    light = {"reports": None, "innovations": None, "reporters": None}
    off = dict.fromkeys(("duration", "undercount", "reporter_effects"), False)
    off |= dict.fromkeys(("reporter_period_effects", "corridor_report_effects"), False)
    effects = ("origin_effects", "destination_effects", "corridor_effects", "autoregressive")
    shapes = {
        "sd_origin": {"half_t": [3.0, 0.8]},
        "sd_destination": {"exponential": 1.5},
        "sd_corridor": {"gamma": [2.0, 3.0]},
        "sd_innovation": {"log_normal": [-1.0, 0.5]},
    }
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "normal_tails": {"tails": light},
        "no_path": {"process": {"autoregressive": False}},
        "no_duration": {"measurement": {"duration": False}},
        "no_share": {"measurement": {"undercount": False}},
        "bare": {"measurement": off, "process": dict.fromkeys(effects, False), "tails": light},
        "shapes": {
            "process": shapes,
            "measurement": {
                "duration_6_to_12": {"positive_normal": [0.3, 0.2]},
                "duration_12_to_60": {"normal": [0.8, 0.2]},
                "sd_noise": {"precision_gamma": [3.0, 0.4]},
            },
        },
    }
    return changed(simulation_spec(), **changes[which])


def family_rows(quantity: str = "flow") -> pd.DataFrame:
    """Return reports of every family on five places and three years; figures stand in for others.

    A register (of both sides, for flows), a census by citizenship, a survey with a standard error
    or a sample size, a platform with a floor, and a search index that misses a year.
    """
    places, years = ["AT", "BE", "DE", "FR", "PL"], [2019, 2020, 2021]
    rows = []
    for o, d, year in itertools.product(places, places, years):
        if o == d:
            continue
        cell = {"measure": quantity, "origin": o, "destination": d, "year": year, "value": 900.0}
        here = cell | {"reporter": "destination"}
        if (o, d) != ("DE", "PL"):
            own = {"source": "register", "family": "administrative", "duration_months": 12}
            rows.append(here | own)
            if quantity == "flow" and o in ("AT", "DE"):
                rows.append(cell | own | {"reporter": "origin", "duration_months": 3})
        if year == 2020:
            census = {"source": "census", "family": "census", "criterion": "citizenship"}
            rows.append(here | census)
        if d in ("AT", "FR"):
            size = {"standard_error": 90.0} if d == "AT" else {"sample_size": 300}
            rows.append(here | {"source": "lfs", "family": "survey"} | size)
        if o != "BE" and year > 2019:
            floor = {"censored_below": 1000, "value": 2000.0 if d == "DE" else 1000.0}
            rows.append(here | {"source": "platform", "family": "digital"} | floor)
            index = {"source": "search", "family": "digital", "measure": "index", "value": 40.0}
            rows.append(cell | index | {"reporter": "other"})
    return pd.DataFrame(rows)


def family_spec(quantity: str = "flow", **measurement: object) -> ModelSpec:
    """Return a model of `family_rows` with declared effects: by platform and year, and a rate."""
    from flowcast.config import validate_model

    effects = [
        {
            "name": "drift",
            "sources": ["platform"],
            "by": ["period"],
            "prior": {"normal": [-1, 0.4]},
        },
        {
            "name": "penetration",
            "sources": ["platform"],
            "column": "penetration",
            "side": "origin",
            "transform": "log",
            "prior": {"normal": [1, 0.1]},
        },
    ]
    given = {"effects": effects, "index_elasticity": 0.7} | measurement
    raw = {"name": "families", "quantity": quantity, "measurement": given}
    return validate_model(raw, "families")


def family_problem(seed: int = 1, quantity: str = "flow", **measurement: object) -> "Problem":
    """Return a problem with every family, its figures drawn from the model at moderate spreads."""
    from flowcast.model.forward import draw_world
    from flowcast.model.hyper import draw_hyper
    from flowcast.model.problem import with_values
    from flowcast.observations import observations_from_frame
    from flowcast.preparation import Inputs, prepare

    rate = xr.DataArray(
        [0.3, 0.4, 0.5, 0.35, 0.6], dims="place", coords={"place": ["AT", "BE", "DE", "FR", "PL"]}
    )
    data = observations_from_frame(family_rows(quantity))
    spec = family_spec(quantity, **measurement)
    problem = prepare(Inputs(spec, data, rate.to_dataset(name="penetration"), {})).problem
    rng = np.random.default_rng(seed)
    hyper = dict(draw_hyper(problem, rng))
    for name in ("sd_origin", "sd_destination", "sd_corridor"):
        hyper[name] = 0.5
    return with_values(problem, draw_world(problem, hyper, rng).value)


def python_blocks(page: str) -> list[str]:
    """Return the Python blocks of a Markdown page."""
    return re.findall(r"^```python\n(.+?)^```", page, re.DOTALL | re.MULTILINE)


def run_block(block: str, names: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Run a block of a page; return lines with a comment below, their values and comments."""
    told, statements = [], []
    lines = block.strip().splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("# "):
            continue
        if not below.startswith("# "):
            statements.append(line)
            continue
        exec("\n".join(statements), names)
        statements = []
        told.append((line, str(eval(line, names)), below.removeprefix("# ")))
    exec("\n".join(statements), names)
    return told
