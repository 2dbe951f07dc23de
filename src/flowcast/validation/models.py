"""Several models, fitted without the same reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flowcast.config import ModelSpec
from flowcast.errors import UsageError, require_word
from flowcast.fanout import run_many
from flowcast.observations import Observations
from flowcast.prediction import weigh_reports
from flowcast.preparation import Inputs, ObservationsInput, PathInput
from flowcast.validation.classes import describe_reports
from flowcast.validation.comparison import (
    CRITERIA,
    EQUAL,
    KEY,
    LEVELS,
    FoldPrediction,
    ModelComparison,
    judge_predictions,
)
from flowcast.validation.crossval import period_in_fit
from flowcast.validation.fits import FitTask, child_seed, fit, pack_fold, read_inputs
from flowcast.validation.splits import Scheme, split_folds

__all__ = ["ComparisonTask", "compare_models", "predict_fold"]


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonTask:
    """One fold of one model: the fit, the reports held out of it, and the seed of predictions."""

    fit: FitTask
    held_out: Observations
    seed: int
    ahead: int


def compare_models(
    models: Mapping[str, str | Path | ModelSpec],
    observations: ObservationsInput = None,
    places: PathInput = None,
    corridors: PathInput = None,
    *,
    scheme: Scheme = "random",
    folds: int | None = None,
    seed: int = 1,
    scheduler: str | None = None,
    workers: int | None = None,
    folder: str | Path | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    progress: bool = False,
) -> ModelComparison:
    """Fit several models without the same reports, and compare what they say of these.

    The log score is that of the predictive probability of the reported figure, averaged over the
    draws of flows, coefficients and hyper-parameters (`prediction.weigh_reports`). Weights of a
    mixture are those that would have been best on the withheld reports. They flatter the mixture
    on the same reports, so that it is judged in each fold with weights from the others; a report
    that several folds withhold is in no weights it is judged with.

    Parameters
    ----------
    models
        By name: specifications, files, folders or embedded models. To compare variants of one
        model, name it several times and give `overrides`.
    observations, places, corridors
        As for `estimate`; all models are fitted to the same reports.
    scheme, folds, seed
        As for `cross_validate`: the same folds and seeds for all models.
    scheduler, workers, folder, progress
        As for `cross_validate`.
    overrides
        By name, dotted keys laid over that model.

    Returns
    -------
    ModelComparison

    Raises
    ------
    InputError
        With every fault of the inputs.
    TasksError
        With the message of each fit that was refused.
    UsageError
        If there are fewer than two models, `overrides` are for others, the models' own
        observations differ, no report is predicted by all, or scheme and folds cannot be served.

    Examples
    --------
    >>> from flowcast.validation import compare_models
    >>> compared = compare_models(
    ...     {"as it is": "europe_2024", "normal tails": "europe_2024"},
    ...     overrides={"normal tails": {"tails.reports": None}},
    ...     scheme="corridors",
    ... )  # doctest: +SKIP
    """
    laid = dict(overrides or {})
    _require_models(models, laid)
    inputs = {
        name: read_inputs(model, observations, places, corridors, laid.get(name))
        for name, model in models.items()
    }
    shared = _same_observations(inputs)
    parts = list(split_folds(shared, scheme=scheme, folds=folds, seed=seed))
    tasks = {
        f"{name}, fold {part.name}": ComparisonTask(
            pack_fold(own, part, child_seed(seed, k, 0)),
            part.held_out,
            child_seed(seed, k, 1),
            part.ahead,
        )
        for name, own in inputs.items()
        for k, part in enumerate(parts)
    }
    results = run_many(
        predict_fold,
        tasks,
        scheduler=scheduler,
        workers=workers,
        folder=None if folder is None else Path(folder),
        progress=progress,
        what="folds of models",
    )
    by_fold = {
        part.name: {name: results[f"{name}, fold {part.name}"] for name in models} for part in parts
    }
    return judge_predictions(by_fold, seed=seed)


def predict_fold(task: ComparisonTask) -> FoldPrediction:
    """Fit one fold of one model, and predict what was held out of it.

    Raises
    ------
    InputError
        If the model has no part for some of the reports.
    """
    posterior = fit(task.fit)
    table = task.held_out.table
    at, ahead = period_in_fit(posterior, table, task.ahead)
    inside = np.flatnonzero(at >= 0)
    row, log_probability = np.empty(0, dtype=np.int64), np.empty(0)
    quantiles = np.empty((len(LEVELS), 0), dtype=np.float32)
    if len(inside):
        held = task.held_out.select(at >= 0)
        row, count, log_probability = weigh_reports(posterior, held, seed=task.seed)
        order = np.argsort(row)
        row, log_probability = inside[row[order]], log_probability[order]
        quantiles = np.quantile(count[:, order], LEVELS, axis=0).astype(np.float32)
    predicted = table.iloc[row].reset_index(drop=True)
    reports = describe_reports(predicted, ahead[row], task.held_out.codes)
    reports[KEY] = predicted[KEY]
    return FoldPrediction(row, reports, log_probability, quantiles, posterior.gate.failures)


def _require_models(models: Mapping[str, object], overrides: Mapping[str, object]) -> None:
    taken = {EQUAL, *(f"stacked by {by}" for by in CRITERIA)} & set(models)
    strange = sorted(set(overrides) - set(models))
    if len(models) < 2 or taken:
        found = f"one called {', '.join(sorted(taken))}" if taken else str(len(models))
        raise UsageError(f"(models) | found {found}; allowed: two or more, with names of their own")
    for name in strange:
        require_word("overrides", name, list(models))


def _same_observations(inputs: Mapping[str, Inputs]) -> Observations:
    hashes = {name: own.observations.sha256 for name, own in inputs.items()}
    first = next(iter(hashes))
    others = [name for name, found in hashes.items() if found != hashes[first]]
    if others:
        raise UsageError(
            f"(models) | found other observations for {', '.join(others)} than for {first}; "
            "allowed: the same for all, which `observations` gives"
        )
    return inputs[first].observations
