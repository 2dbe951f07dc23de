"""How draws are laid out in the posterior's tree: names, dims, coordinates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.model.assemble import Sites
from flowcast.model.hyper import vector_priors
from flowcast.model.problem import Problem

__all__ = ["build_evidence", "build_tree", "hyper_dataset"]

FloatArray = NDArray[np.float64]


def hyper_dataset(problem: Problem, values: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """Return hyper-parameters (chain, draw, ...) with named dims and labels."""
    dims = {name: (dim, labels) for name, (dim, labels, _) in vector_priors(problem).items()}
    dims["sd_noise_reporter"] = ("noise_reporter", problem.labels["noise_reporter"])
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, array in values.items():
        if array.ndim == 2:
            variables[name] = (("chain", "draw"), array)
        elif name in dims:
            dim, labels = dims[name]
            variables[name] = (("chain", "draw", dim), array)
            coords[dim] = np.array(labels, dtype=object).astype(str)
    first = next(iter(values.values()))
    coords |= {"chain": np.arange(first.shape[0]), "draw": np.arange(first.shape[1])}
    return xr.Dataset(variables, coords)


def build_evidence(problem: Problem) -> NDArray[np.str_]:
    """Return what each cell rests on, (corridor, period)."""
    grid, reports = problem.grid, problem.reports
    sides = np.zeros((2, grid.n_corridor, grid.n_period), dtype=bool)
    side = (reports.side == "emigration").astype(int)
    sides[side, reports.corridor, reports.period] = True
    names = np.array(["none", "one_report", "both_reports"])
    return np.asarray(names[sides.sum(axis=0)])


def _latent(
    problem: Problem, latent: FloatArray, index: NDArray[np.int64]
) -> tuple[xr.Dataset, dict[str, Any]]:
    grid = problem.grid
    coords: dict[str, Any] = {
        "origin": ("corridor", grid.origin_code.astype(str)),
        "destination": ("corridor", grid.destination_code.astype(str)),
        "period": np.arange(grid.n_period),
        "period_start": ("period", grid.period_start.to_numpy()),
        "period_end": ("period", grid.period_end.to_numpy()),
    }
    n_chain = latent.shape[0]
    data = xr.Dataset(
        {
            "log_flow": (
                ("chain", "draw", "corridor", "period"),
                latent.astype(np.float32),
                {"units": "log persons per period", "definition": "12 months"},
            )
        },
        coords
        | {
            "chain": np.arange(n_chain),
            "draw": np.arange(len(index)),
            "hyper_draw": (("chain", "draw"), np.broadcast_to(index, (n_chain, len(index)))),
        },
    )
    return data, coords


def _reports(problem: Problem, sites: Sites) -> xr.Dataset:
    reports, grid = problem.reports, problem.grid
    arrays: dict[str, NDArray[Any]] = {
        "origin": grid.origin_code[reports.corridor].astype(str),
        "destination": grid.destination_code[reports.corridor].astype(str),
        "corridor": reports.corridor,
        "period": reports.period,
        "value": reports.value,
        "side": reports.side.astype(str),
        "reporter": np.array([u.rsplit(":", 1)[1] for u in reports.unit]),
        "unit": reports.unit.astype(str),
        "series": reports.series.astype(str),
        "noise": reports.noise.astype(str),
        "share": reports.share.astype(str),
        "site_mean": sites.mean,
        "site_variance": sites.variance,
        "noise_weight": sites.noise_weight,
        "scale_group": problem.scale_group,
    }
    data = xr.Dataset({k: ("report", v) for k, v in arrays.items()})
    data["duration"] = (("report", "step_index"), reports.duration)
    return data


def _terms(problem: Problem, coefficient: FloatArray, sites: Sites) -> xr.Dataset:
    coefficients = problem.coefficients
    weights = np.append(sites.unit_weight, 1.0)[coefficients.unit]
    return xr.Dataset(
        {"coefficient": (("chain", "draw", "term"), coefficient)},
        {
            "chain": np.arange(coefficient.shape[0]),
            "draw": np.arange(coefficient.shape[1]),
            "term": coefficients.name.astype(str),
            "group": ("term", coefficients.group.astype(str)),
            "unit_weight": ("term", weights),
        },
    )


def build_tree(
    problem: Problem,
    hyper: xr.Dataset,
    stats: Mapping[str, NDArray[Any]],
    sites: Sites,
    latent: FloatArray,
    coefficient: FloatArray,
    index: NDArray[np.int64],
    prior: tuple[xr.Dataset, FloatArray] | None,
) -> xr.DataTree:
    """Lay everything out as described in `Posterior`."""
    flows, coords = _latent(problem, latent, index)
    statistics = {k: (("chain", "draw"), v) for k, v in stats.items() if v.ndim == 2}
    groups: dict[str, xr.Dataset] = {
        "posterior": hyper,
        "sample_stats": xr.Dataset(statistics, {"chain": hyper["chain"], "draw": hyper["draw"]}),
        "latent": flows,
        "coefficients": _terms(problem, coefficient, sites),
        "reports": _reports(problem, sites),
        "cells": xr.Dataset(
            {"evidence": (("corridor", "period"), build_evidence(problem))}, coords
        ),
    }
    if prior is not None:
        groups["prior"] = prior[0]
        groups["prior_predictive"] = xr.Dataset({"log_report": (("sample", "report"), prior[1])})
    return xr.DataTree.from_dict(groups)
