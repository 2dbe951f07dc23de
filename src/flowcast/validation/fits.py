"""Fits as tasks: everything a fit needs, as plain data that any machine can take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from flowcast.config import ModelSpec, apply_overrides, dump_model, validate_model
from flowcast.covariates import held_from
from flowcast.inference import fit_problem
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.preparation import Inputs, ObservationsInput, PathInput, collect_inputs, prepare
from flowcast.validation.splits import Fold

__all__ = ["FitTask", "child_seed", "fit", "pack", "pack_fold", "read_inputs"]


@dataclass(frozen=True, slots=True, eq=False)
class FitTask:
    """A fit that is to be done somewhere.

    Attributes
    ----------
    name
        Of the model.
    model
        Its specification as applied, in YAML, the seed among it.
    observations
        What is fitted.
    covariates
        As `preparation.Inputs` has them: no file is read where the fit is done.
    """

    name: str
    model: str
    observations: Observations
    covariates: xr.Dataset | None


def read_inputs(
    model: str | Path | ModelSpec,
    observations: ObservationsInput,
    places: PathInput,
    corridors: PathInput,
    overrides: Mapping[str, Any] | None,
) -> Inputs:
    """Read the inputs of a fit, as `estimate` would.

    Raises
    ------
    InputError
        With every fault of the first input that has any.
    HeldOutError
        If observations are marked held out.
    """
    laid = dict(overrides or {})
    if isinstance(model, ModelSpec) and laid:
        model = lay_over(model, laid)
    return collect_inputs(model, observations, places, corridors, overrides=laid)


def lay_over(spec: ModelSpec, overrides: Mapping[str, Any]) -> ModelSpec:
    """Return a specification with dotted keys replaced.

    Raises
    ------
    InputError
        With every unknown key and impossible value.
    """
    raw = apply_overrides(yaml.safe_load(dump_model(spec)), overrides)
    return validate_model(raw, spec.name).model_copy(update={"folder": spec.folder})


def pack(inputs: Inputs, observations: Observations, overrides: Mapping[str, Any]) -> FitTask:
    """Return a fit of `observations` as a task; keys are laid over the model.

    Raises
    ------
    InputError
        With every unknown key and impossible value.
    """
    spec = lay_over(inputs.spec, overrides)
    return FitTask(spec.name, dump_model(spec), observations, inputs.covariates)


def pack_fold(inputs: Inputs, fold: Fold, seed: int) -> FitTask:
    """Return the fit of a fold as a task.

    Where periods lie ahead they are estimated too, with covariates held at those of the last
    fitted year.
    """
    laid: dict[str, Any] = {"sampler.seed": seed}
    if fold.ahead:
        laid["periods_ahead"] = fold.ahead
        last = int((fold.fit.table["period_end"].max() - pd.Timedelta(days=1)).year)
        held = None if inputs.covariates is None else held_from(inputs.covariates, last)
        inputs = replace(inputs, covariates=held)
    return pack(inputs, fold.fit, laid)


def fit(task: FitTask) -> Posterior:
    """Fit a task; the posterior has no prior draws."""
    spec = validate_model(yaml.safe_load(task.model), task.name)
    problem = prepare(Inputs(spec, task.observations, task.covariates, {})).problem
    tree, gate, diagnostics, remarks = fit_problem(problem, prior=False)
    return Posterior(tree, spec, gate, diagnostics, remarks)


def child_seed(seed: int, *path: int) -> int:
    """Return a seed for one part of a piece of work, the same wherever and whenever it is done.

    Examples
    --------
    >>> child_seed(1, 0) == child_seed(1, 0), child_seed(1, 0) == child_seed(1, 1)
    (True, False)
    """
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])
