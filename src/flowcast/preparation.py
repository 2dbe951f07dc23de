"""From files and frames to a problem that can be fitted; everything is checked first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from numpy.typing import NDArray

from flowcast._hashes import file_hash
from flowcast._source_roles import REGISTRY_FILE
from flowcast.config import ModelSpec, dump_model, read_model
from flowcast.covariates import read_covariates
from flowcast.errors import Fault, InputError
from flowcast.model.cells import as_cells, calendar_years, middles_of_years, parts_of_year
from flowcast.model.effects import effect_columns
from flowcast.model.grid import Grid, build_grid
from flowcast.model.problem import Problem, build_problem
from flowcast.model.process import build_covariates
from flowcast.model.reports import build_reports, usable_rows
from flowcast.model.totals_cells import is_single_cell, model_periods, single_places
from flowcast.model.totals_rows import build_totals
from flowcast.observations import Observations, read_observations
from flowcast.places import code_kind, convert_code

__all__ = ["Inputs", "Prepared", "collect_inputs", "fingerprint", "prepare"]

ObservationsInput = Observations | str | Path | Sequence[Observations | str | Path] | None
PathInput = str | Path | None


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What a fit was given: the model, the observations and the covariates."""

    spec: ModelSpec
    observations: Observations
    covariates: xr.Dataset | None
    files: Mapping[str, str]
    """Name of each covariate file -> its hash."""


HOW_FITTED: Final = ("title", "data", "sampler")
"""Parts of a model that say how it is fitted and from which files, and not what it is."""
FINGERPRINT: Final = 16


def fingerprint(inputs: Inputs) -> str:
    """Return what tells a model and its data from others, whatever the sampler and its seed.

    A run and a scorecard with the same one are of the same model and data: 16 hexadecimal digits.
    """
    from hashlib import sha256

    model = yaml.safe_load(dump_model(inputs.spec))
    kept = {key: value for key, value in model.items() if key not in HOW_FITTED}
    told = [kept, inputs.observations.sha256, sorted(inputs.files.values())]
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:FINGERPRINT]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A problem and remarks on how the reports were read."""

    problem: Problem
    notes: tuple[str, ...]


def _resolve(given: PathInput, declared: str | None, spec: ModelSpec) -> Path | None:
    if given is not None:
        return Path(given)
    return spec.data_path(declared) if declared is not None else None


def _read_all(
    given: ObservationsInput, spec: ModelSpec, declared_places: frozenset[str] | None
) -> Observations:
    if given is None:
        given = [spec.data_path(f) for f in spec.data.observations]
    several = [given] if isinstance(given, (Observations, str, Path)) else list(given)
    if not several:
        raise InputError(
            [Fault(spec.name, "no observations", "a file, here or under data.observations")]
        )
    beside = spec.data_path(REGISTRY_FILE)
    registry = beside if spec.folder is not None and beside.is_file() else None
    read = [
        o
        if isinstance(o, Observations)
        else read_observations(o, declared_places=declared_places, registry=registry)
        for o in several
    ]
    for one in read:
        one.require_fit()
    return read[0].concat(*read[1:]) if len(read) > 1 else read[0]


def collect_inputs(
    model: str | Path | ModelSpec,
    observations: ObservationsInput = None,
    places: PathInput = None,
    corridors: PathInput = None,
    overrides: Mapping[str, Any] | None = None,
) -> Inputs:
    """Read the model, its observations and its covariates; what is not given is the model's own.

    Raises
    ------
    InputError
        With every fault of the first input that has any.
    HeldOutError
        If an observation set is marked held out.
    """
    spec = model if isinstance(model, ModelSpec) else read_model(model, overrides)
    place_file = _resolve(places, spec.data.places, spec)
    corridor_file = _resolve(corridors, spec.data.corridors, spec)
    files = [f for f in (place_file, corridor_file) if f is not None]
    covariates, declared = None, None
    if files:
        kind = "any" if spec.codes == "declared" else None
        covariates = read_covariates(place_file, corridor_file, declared_places=kind)
    if spec.codes == "declared":
        if covariates is None:
            raise InputError(
                [Fault(spec.name, "codes: declared without places", "a places or corridors file")]
            )
        declared = frozenset(_covariate_places(covariates))
    read = _read_all(observations, spec, declared)
    if covariates is not None and spec.codes == "iso":
        covariates = _same_codes(covariates, read)
    return Inputs(spec, read, covariates, {f.name: file_hash(f) for f in files})


def _covariate_places(covariates: xr.Dataset) -> list[str]:
    dim = "place" if "place" in covariates.coords else "origin"
    return [str(p) for p in covariates[dim].to_numpy()]


def _same_codes(covariates: xr.Dataset, observations: Observations) -> xr.Dataset:
    """Return the covariates under the kind of code the observations use."""
    if observations.codes == "declared" or code_kind(_covariate_places(covariates)) == (
        observations.codes
    ):
        return covariates
    dims = [d for d in ("place", "origin", "destination") if d in covariates.coords]
    return covariates.assign_coords(
        {
            d: [convert_code(str(c), observations.codes) for c in covariates[d].to_numpy()]
            for d in dims
        }
    )


def _grid(inputs: Inputs) -> Grid:
    observations, covariates = inputs.observations, inputs.covariates
    if covariates is not None and "place" in covariates.coords:
        places = _covariate_places(covariates)
    else:
        places = single_places(observations.places)
    spec = inputs.spec
    table = as_cells(observations.table, spec.quantity, spec.period)
    by_year = spec.period != "shortest" or spec.quantity == "stock"
    of_model = table[_years_of_model(table) if by_year else model_periods(table, places)]
    return build_grid(
        of_model,
        places,
        codes=observations.codes,
        name=observations.name,
        ahead=spec.periods_ahead,
    )


def _years_of_model(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows set the years: what stands for a middle does not, where others do."""
    year, middle = calendar_years(table), middles_of_years(table)
    return year & ~middle if (year & ~middle).any() else year


def prepare(inputs: Inputs) -> Prepared:
    """Lay the problem out.

    Raises
    ------
    InputError
        If there are rows the model has no part for, or covariates are missing and may not be.
    """
    table, grid, spec = inputs.observations.table, _grid(inputs), inputs.spec
    name, outside = inputs.observations.name, spec.measurement.places_outside
    read: dict[str, Any] = {"quantity": spec.quantity}
    usable = usable_rows(table, grid, name, outside=outside, period=spec.period, **read)
    kept = as_cells(table[usable], spec.quantity, spec.period)
    read["design_effect"] = spec.measurement.design_effect
    single = kept[is_single_cell(kept, grid)]
    if single.empty:  # sums alone do not say what they are made of
        raise InputError([Fault(name, "no flow between two places in one period", "one at least")])
    reports = build_reports(single, grid, **read)
    reports = replace(reports, row=single.index.to_numpy()[reports.row])
    totals, about_totals = build_totals(kept, grid, name, outside=outside, **read)
    covariates = build_covariates(spec, inputs.covariates, grid)
    columns = effect_columns(spec, inputs.covariates, grid)
    notes = []
    mirrors = int(table["mirror_of"].notna().sum())
    if mirrors:
        notes.append(f"{mirrors} reports repeat the other side's figure and count once")
    superseded = len(table) - int(usable.sum()) - mirrors
    if superseded > 0:
        notes.append(f"{superseded} superseded vintages left out")
    notes += _part_years(kept)
    notes += about_totals
    unknown = int(kept["duration_months"].isna().sum())
    if unknown and spec.quantity == "flow" and spec.measurement.duration:
        notes.append(f"{unknown} reports without a duration criterion were taken as 12 months")
    notes += [f"{n} cells of {name} imputed as declared" for name, n in covariates.imputed.items()]
    problem = build_problem(spec, grid, reports, covariates, totals, columns)
    notes += _idle_effects(problem)
    return Prepared(problem, tuple(notes))


def _part_years(kept: pd.DataFrame) -> list[str]:
    """Tell how many reports cover a part of their year, or more than it."""
    part, several = int(parts_of_year(kept).sum()), int(middles_of_years(kept).sum())
    notes = [f"{part} reports cover a part of their year"] if part else []
    if several:
        notes.append(f"{several} flows over several years were taken as of the year in the middle")
    return notes


def _idle_effects(problem: Problem) -> list[str]:
    """Tell which declared effects no report carries: a misspelt source, or one held out."""
    used = {n.split("[")[0] for n in (*problem.effects.names, *problem.total_effects.names)}
    declared = [effect.name for effect in problem.spec.measurement.effects]
    return [f"no report carries the effect {name}" for name in declared if name not in used]
