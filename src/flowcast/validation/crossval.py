"""Cross-validation: fit without some reports, predict them, and score the predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.config import ModelSpec
from flowcast.covariates import held_from
from flowcast.fanout import run_many
from flowcast.model.cells import as_cells
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports
from flowcast.preparation import ObservationsInput, PathInput
from flowcast.validation.baselines import simple_draws
from flowcast.validation.fits import FitTask, child_seed, fit, pack, read_inputs
from flowcast.validation.scorecard import (
    ALL_FOLDS,
    SCORECARD_COLUMNS,
    score_reports,
    summarise_scores,
)
from flowcast.validation.splits import Scheme, split_folds

__all__ = ["FoldResult", "FoldTask", "cross_validate", "validate_fold"]

FIT: Final = "fit"
METHODS: Final = ("laplace", "nuts")
PREDICTED: Final = ["origin", "destination", "period_start", "period_end"]


@dataclass(frozen=True, slots=True, eq=False)
class FoldTask:
    """One fold: the fit, the reports held out of it, and the seed of their prediction.

    `ahead` periods follow the last fitted one, and `left_out` counts reports that are in neither
    part, by the kind of leak they would be.
    """

    fit: FitTask
    held_out: Observations
    seed: int
    ahead: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """What one fold came to.

    Attributes
    ----------
    reports
        `value` and `reporter` of every predicted report, and `horizon`: how many periods it lies
        after the last fitted one, 0 where folds leave no years for later.
    model, baseline
        Their scores, as `score_reports` gives them.
    n_not_predicted
        Held-out reports without a prediction: their place or period is in no fitted report, they
        are totals, or they repeat another report.
    left_out
        Reports in neither part, by kind of leak.
    method
        How the hyper-parameters were inferred.
    gate
        Numbers of the convergence gate, and `gate_passed`.
    failures
        What did not pass the gate.
    """

    reports: pd.DataFrame
    model: pd.DataFrame
    baseline: pd.DataFrame
    n_not_predicted: int
    left_out: Mapping[str, int]
    method: str
    gate: Mapping[str, float]
    failures: tuple[str, ...]


def cross_validate(
    model: str | Path | ModelSpec,
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
    overrides: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Fit a model without some of its reports, predict them, and score the predictions.

    Parameters
    ----------
    model, observations, places, corridors
        As for `estimate`.
    scheme, folds
        What is held out together, and in how many parts; as for `split_folds`. Of last-years the
        covariates of later years are those of the last fitted year: nobody knew them then.
    seed
        Of the folds, the fits and the predictions.
    scheduler, workers, folder, progress
        Where the fits run, where those that are done are kept, and whether to say how far it is;
        as for `run_many`.
    overrides
        Dotted keys laid over the model.

    Returns
    -------
    DataFrame
        The scorecard, columns `scheme, fold, indicator, metric, value, baseline`: for each fold and
        for ``all`` the scores of the held-out reports (`scorecard`; lower is better, except for
        `coverage_*`, which should be near their probability, and `n`). `baseline` has the same
        scores of `simple_draws` on the same reports. The indicator ``fit`` has for each fold
        whether the gate was passed and its numbers, and the share of fits by method.

    Raises
    ------
    InputError
        With every fault of the inputs.
    HeldOutError
        If observations are held out already.
    TasksError
        With the message of each fold that was refused.
    UsageError
        If the scheme or the number of folds cannot be served, or the cluster cannot be reached.

    Examples
    --------
    >>> from flowcast.validation import cross_validate
    >>> scorecard = cross_validate("europe_2024", scheme="corridors")  # doctest: +SKIP
    """
    inputs = read_inputs(model, observations, places, corridors, overrides)
    tasks = {}
    parts = split_folds(inputs.observations, scheme=scheme, folds=folds, seed=seed)
    for k, fold in enumerate(parts):
        laid: dict[str, Any] = {"sampler.seed": child_seed(seed, k, 0)}
        known = inputs
        if fold.ahead:
            laid["periods_ahead"] = fold.ahead
            last = int((fold.fit.table["period_end"].max() - pd.Timedelta(days=1)).year)
            held = None if inputs.covariates is None else held_from(inputs.covariates, last)
            known = replace(inputs, covariates=held)
        task = pack(known, fold.fit, laid)
        seeds = child_seed(seed, k, 1)
        tasks[f"fold {fold.name}"] = FoldTask(task, fold.held_out, seeds, fold.ahead, fold.left_out)
    results = run_many(
        validate_fold,
        tasks,
        scheduler=scheduler,
        workers=workers,
        folder=None if folder is None else Path(folder),
        progress=progress,
        what="folds",
    )
    by_fold = {name.removeprefix("fold "): result for name, result in results.items()}
    rows = [(scheme, *row) for row in _rows(by_fold)]
    scorecard = pd.DataFrame(rows, columns=list(SCORECARD_COLUMNS))
    scorecard.attrs = {
        "model": inputs.spec.name,
        "notes": _notes(by_fold),
        "left_out": _left_out(by_fold),
    }
    return scorecard


def validate_fold(task: FoldTask) -> FoldResult:
    """Fit one fold, and score its predictions and the baseline's.

    Raises
    ------
    InputError
        If the model has no part for some of the reports.
    """
    posterior = fit(task.fit)
    table = task.held_out.table
    at = _period_in_fit(posterior, table)
    inside = at >= 0
    row, draws = np.empty(0, dtype=np.int64), np.empty((1, 0))
    if inside.any():
        row, draws = draw_reports(posterior, task.held_out.select(inside), seed=task.seed)
        row = np.flatnonzero(inside)[row]
    predicted = table.iloc[row].reset_index(drop=True)
    last_fitted = posterior.log_flow.sizes["period"] - 1 - task.ahead
    horizon = at[row] - last_fitted if task.ahead else np.zeros(len(row), dtype=np.int64)
    value = predicted["value"].to_numpy()
    simple = simple_draws(task.fit.observations.table, predicted)
    worst = {name: float(number) for name, number in posterior.gate.worst.items()}
    return FoldResult(
        predicted[["value", "reporter"]].assign(horizon=horizon),
        score_reports(draws, value, task.seed),
        score_reports(simple, value, task.seed),
        len(table) - len(row),
        task.left_out,
        str(posterior.info["method"]),
        {"gate_passed": float(posterior.gate.passed), **worst},
        posterior.gate.failures,
    )


def _period_in_fit(posterior: Posterior, table: pd.DataFrame) -> NDArray[np.int64]:
    """Return the period of the fit that each row is of, -1 where it has no cell there."""
    latent, spec = posterior.log_flow, posterior.spec
    corridor = pd.MultiIndex.from_arrays([latent["origin"].values, latent["destination"].values])
    period = pd.MultiIndex.from_arrays(
        [pd.DatetimeIndex(latent[name].values).as_unit("us") for name in PREDICTED[2:]]
    )
    cells = as_cells(table, spec.quantity, spec.period, add_up=False)
    single = cells["measure"].isin(["flow", "index"]).to_numpy()
    single = single & pd.MultiIndex.from_frame(cells[PREDICTED[:2]]).isin(corridor)
    at = period.get_indexer(pd.MultiIndex.from_frame(cells[PREDICTED[2:]]))
    found = pd.Series(np.where(single, at, -1), index=cells.index)
    return found.reindex(table.index, fill_value=-1).to_numpy().astype(np.int64)


def _rows(results: Mapping[str, FoldResult]) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield fold, indicator, metric, value and baseline; the reports of all folds come last."""
    for name, one in results.items():
        for row in summarise_scores(one.reports, one.model, one.baseline):
            yield name, *row
        yield name, "reports", "n_not_predicted", float(one.n_not_predicted), np.nan
        yield name, "reports", "n_left_out", float(sum(one.left_out.values())), np.nan
        for metric, value in one.gate.items():
            yield name, FIT, metric, value, np.nan
        for method in METHODS:
            yield name, FIT, f"method_{method}", float(one.method == method), np.nan
    every = list(results.values())
    reports, own, simple = (
        pd.concat([getattr(one, part) for one in every], ignore_index=True)
        for part in ("reports", "model", "baseline")
    )
    for row in summarise_scores(reports, own, simple):
        yield ALL_FOLDS, *row
    missing = float(sum(one.n_not_predicted for one in every))
    yield ALL_FOLDS, "reports", "n_not_predicted", missing, np.nan
    left_out = float(sum(sum(one.left_out.values()) for one in every))
    yield ALL_FOLDS, "reports", "n_left_out", left_out, np.nan
    passed = float(np.mean([one.gate["gate_passed"] for one in every]))
    yield ALL_FOLDS, FIT, "gate_passed", passed, np.nan
    for method in METHODS:
        share = float(np.mean([one.method == method for one in every]))
        yield ALL_FOLDS, FIT, f"method_{method}", share, np.nan


def _notes(results: Mapping[str, FoldResult]) -> list[str]:
    return [
        f"the fit of fold {name} did not pass the convergence gate ({'; '.join(one.failures)})"
        for name, one in results.items()
        if one.failures
    ]


def _left_out(results: Mapping[str, FoldResult]) -> list[str]:
    """Tell what each fold did without, lest it tell what was held out."""
    told = []
    for name, one in results.items():
        if one.left_out:
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(one.left_out.items()))
            told.append(f"fold {name} left out reports that tell held-out ones: {kinds}")
    return told
