"""The gravity process: covariates of every cell, centred, and what was imputed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import CovariateTerm, ModelSpec
from flowcast.covariates import covariate_values, impute
from flowcast.errors import Fault, FlowcastError, InputError
from flowcast.model.grid import Grid

CovariateSide = Literal["origin", "destination", "corridor"]

__all__ = ["CellCovariates", "build_covariates", "cell_values", "row_values"]


@dataclass(frozen=True, slots=True, eq=False)
class CellCovariates:
    """Covariates of the process on every cell.

    Attributes
    ----------
    values
        Transformed and centred, shape (corridor, period, term).
    names
        Name of each term.
    centre
        What was subtracted from each term, shape (term,).
    imputed
        Term -> number of cells whose value was filled in by the declared rule.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    centre: NDArray[np.float64]
    imputed: Mapping[str, int] = field(default_factory=dict)


def _raw(
    data: xr.Dataset,
    term: CovariateTerm,
    origin: NDArray[np.object_],
    destination: NDArray[np.object_],
    year: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Look one term up for all cells and fill gaps as declared; returns values and gaps filled."""
    sides: tuple[CovariateSide, ...] = (
        ("destination", "origin") if term.side == "ratio" else (term.side,)
    )
    if term.reverse:
        origin, destination = destination, origin
    parts, gaps = [], np.zeros(len(origin), dtype=bool)
    for side in sides:
        found = covariate_values(
            data, term.column, origin=origin, destination=destination, year=year, side=side
        )
        labels = (
            np.array([f"{o}-{d}" for o, d in zip(origin, destination, strict=True)])
            if side == "corridor"
            else np.asarray(origin if side == "origin" else destination, dtype=str)
        )
        filled = impute(found, term.missing, name=term.column, labels=labels, year=year)
        parts.append(filled.values)
        gaps |= filled.imputed
    if len(parts) == 1:
        return parts[0], gaps
    if (parts[1] == 0.0).any():
        places = ", ".join(sorted({str(o) for o in origin[parts[1] == 0.0]}))
        zero = f"{term.column} of 0 in {places}"
        allowed = "other than 0 under side ratio"
        raise InputError([Fault(f"covariate {term.name}", zero, allowed, column=term.column)])
    return parts[0] / parts[1], gaps


def _transform(values: NDArray[np.float64], term: CovariateTerm) -> NDArray[np.float64]:
    lowest = {"log": 0.0, "log1p": -1.0}.get(term.transform)
    if lowest is not None and np.nanmin(values) <= lowest:
        raise InputError(
            [
                Fault(
                    f"covariate {term.name}",
                    f"{term.column} of {np.nanmin(values):g}",
                    f"above {lowest:g} under transform {term.transform}",
                    column=term.column,
                )
            ]
        )
    if term.transform == "log":
        return np.log(values)
    return np.log1p(values) if term.transform == "log1p" else values


def cell_values(
    spec: ModelSpec, data: xr.Dataset | None, grid: Grid, term: CovariateTerm
) -> tuple[NDArray[np.float64], int]:
    """Evaluate one term on every cell of the grid.

    Parameters
    ----------
    spec, data, grid
        As for `build_covariates`.
    term
        Names column, side, transform and rule for missing values.

    Returns
    -------
    values : ndarray, (corridor, period)
        Transformed, not centred.
    imputed
        How many cells had no value and were filled in by the rule.

    Raises
    ------
    InputError
        If values are missing and may not be, or the transform cannot take them.
    """
    shape = (grid.n_corridor, grid.n_period)
    year = np.broadcast_to(grid.period_start.year.to_numpy(), shape).ravel()
    origin = np.repeat(grid.origin_code, grid.n_period)
    destination = np.repeat(grid.destination_code, grid.n_period)
    if data is None:
        raise InputError([Fault(spec.name, "no covariates", "a places or corridors file")])
    values, gaps = _raw(data, term, origin, destination, year)
    return _transform(values, term).reshape(shape), int(gaps.sum())


def row_values(
    data: xr.Dataset,
    term: CovariateTerm,
    origin: NDArray[np.object_],
    destination: NDArray[np.object_],
    year: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Evaluate one term on any rows, transformed but not centred, shape (row,).

    Raises
    ------
    InputError
        If values are missing and may not be, or the transform cannot take them.
    """
    return _transform(_raw(data, term, origin, destination, year)[0], term)


def build_covariates(spec: ModelSpec, data: xr.Dataset | None, grid: Grid) -> CellCovariates:
    """Evaluate the model's covariates on every cell of the grid.

    Parameters
    ----------
    spec
        The model; its terms name columns, sides, transforms and rules for missing values.
    data
        Covariates as from `read_covariates`; None if the model has none.
    grid
        The cells.

    Raises
    ------
    InputError
        With every term that lacks values, or whose values the transform cannot take.
    """
    terms = spec.process.covariates
    columns: list[NDArray[np.float64]] = []
    imputed: dict[str, int] = {}
    faults: list[Fault] = []
    for term in terms:
        try:
            values, imputed[term.name] = cell_values(spec, data, grid, term)
            columns.append(values)
        except InputError as error:
            faults.extend(error.faults)
        except FlowcastError as error:
            faults.append(Fault(f"covariate {term.name}", str(error)))
    if faults:
        raise InputError(faults)
    shape = (grid.n_corridor, grid.n_period, len(terms))
    stacked = np.stack(columns, axis=-1) if columns else np.empty(shape)
    centre = stacked.mean(axis=(0, 1))
    return CellCovariates(
        stacked - centre,
        tuple(term.name for term in terms),
        centre,
        {k: n for k, n in imputed.items() if n},
    )
