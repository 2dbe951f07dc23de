"""How draws are laid out in the posterior's tree: names, dims, coordinates."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.model.assemble import Sites
from flowcast.model.cells import WHOLE_YEAR
from flowcast.model.grid import Grid
from flowcast.model.hyper import vector_priors
from flowcast.model.problem import Problem
from flowcast.vocabulary import EFFECT_COLUMN, NO_EVIDENCE

__all__ = ["FLOW_ATTRS", "build_evidence", "build_tree", "hyper_dataset", "latent_coords"]

FloatArray = NDArray[np.float64]
FLOW_ATTRS: Final = {"units": "log persons per period", "definition": "12 months"}


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
    grid = problem.grid
    shape = (grid.n_corridor, grid.n_period)
    n_side = np.zeros(shape, dtype=np.int64)
    for side in ("immigration", "emigration"):
        n_side += _seen(problem, side, shape, whole=True)
    out = np.array(["", "one_report", "both_reports"], dtype=object)[n_side]
    for side in ("immigration", "emigration"):
        part = _seen(problem, side, shape, whole=False) & (n_side == 0)
        out = np.where(part, "part_year", out)
    for word in ("register", "census", "survey", "digital", "index"):
        out = _beside(out, _seen(problem, word, shape), word)
    if problem.totals is not None:
        summed = np.zeros(shape, dtype=bool)
        summed[problem.totals.cells] = True
        out = _beside(out, summed, "total")
    return np.where(out == "", NO_EVIDENCE, out).astype(str)


def _seen(
    problem: Problem, side: str, shape: tuple[int, int], *, whole: bool | None = None
) -> NDArray[np.bool_]:
    """Return the cells with a report of a side, of whole years or parts, (corridor, period)."""
    inside = problem.reports.side == side
    if whole is not None:
        by_year = problem.spec.period != "shortest"
        short = (problem.reports.span < WHOLE_YEAR) & by_year
        inside &= ~short if whole else short
    out = np.zeros(shape, dtype=bool)
    out[problem.reports.corridor[inside], problem.reports.period[inside]] = True
    return out


def _beside(words: NDArray[Any], where: NDArray[np.bool_], word: str) -> NDArray[Any]:
    """Add a word to the evidence of some cells."""
    return np.where(where, np.where(words == "", word, words + f"+{word}"), words)


def latent_coords(grid: Grid, hyper_draw: NDArray[np.integer]) -> dict[str, Any]:
    """Return the coordinates of latent flows.

    Parameters
    ----------
    grid
        Corridors and periods.
    hyper_draw
        Which draw of the hyper-parameters each latent draw belongs to, (chain, draw).
    """
    n_chain, n_draw = hyper_draw.shape
    return _cell_coords(grid) | {
        "chain": np.arange(n_chain),
        "draw": np.arange(n_draw),
        "hyper_draw": (("chain", "draw"), hyper_draw),
    }


def _cell_coords(grid: Grid) -> dict[str, Any]:
    return {
        "origin": ("corridor", grid.origin_code.astype(str)),
        "destination": ("corridor", grid.destination_code.astype(str)),
        "period": np.arange(grid.n_period),
        "period_start": ("period", grid.period_start.to_numpy()),
        "period_end": ("period", grid.period_end.to_numpy()),
    }


def _latent(grid: Grid, latent: NDArray[np.floating], index: NDArray[np.int64]) -> xr.Dataset:
    hyper_draw = np.broadcast_to(index, (latent.shape[0], latent.shape[1]))
    dims = ("chain", "draw", "corridor", "period")
    flow = {"log_flow": (dims, latent.astype(np.float32, copy=False), FLOW_ATTRS)}
    return xr.Dataset(flow, latent_coords(grid, hyper_draw))


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
        "source": reports.source.astype(str),
        "family": reports.family.astype(str),
        "criterion": reports.criterion.astype(str),
        "span": reports.span,
        "reading": reports.reading,
        "sampling": reports.sampling,
        "floor": reports.floor,
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
    latent: NDArray[np.floating] | xr.Dataset,
    coefficient: FloatArray,
    index: NDArray[np.int64],
    prior: tuple[xr.Dataset, FloatArray] | None,
    log_likelihood: FloatArray | None = None,
) -> xr.DataTree:
    """Lay everything out as described in `Posterior`.

    Latent flows come as an array (chain, draw, corridor, period), with the draws of the
    hyper-parameters that they belong to, (draw,) or (chain, draw); or as `open_latent` returns them
    from a store. The log likelihood is of the same draws, (chain, draw).
    """
    if not isinstance(latent, xr.Dataset):
        latent = _latent(problem.grid, latent, index)
    statistics = {k: (("chain", "draw"), v) for k, v in stats.items() if v.ndim == 2}
    groups: dict[str, xr.Dataset] = {
        "posterior": hyper,
        "sample_stats": xr.Dataset(statistics, {"chain": hyper["chain"], "draw": hyper["draw"]}),
        "latent": latent,
        "coefficients": _terms(problem, coefficient, sites),
        "reports": _reports(problem, sites),
        "cells": xr.Dataset(
            {"evidence": (("corridor", "period"), build_evidence(problem))}
            | {
                f"{EFFECT_COLUMN}{name}": (("corridor", "period"), values)
                for name, values in problem.effect_column.items()
            },
            _cell_coords(problem.grid),
        ),
    }
    if log_likelihood is not None:
        kept = latent["hyper_draw"].coords
        told = {"collapsed": (("chain", "draw"), log_likelihood)}
        groups["log_likelihood"] = xr.Dataset(told, {d: kept[d] for d in ("chain", "draw")})
    if prior is not None:
        groups["prior"] = prior[0]
        groups["prior_predictive"] = xr.Dataset({"log_report": (("sample", "report"), prior[1])})
    return xr.DataTree.from_dict(groups)
