"""Cross-validation: fit without some reports, predict them, and score the predictions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.config import ModelSpec
from flowcast.fanout import run_many
from flowcast.model.cells import as_cells
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports
from flowcast.preparation import ObservationsInput, PathInput, fingerprint
from flowcast.validation.baselines import (
    DEFAULT_BASELINES,
    Known,
    check_baselines,
    draw_baseline,
    read_baseline_table,
    without_values,
)
from flowcast.validation.classes import ALL_REPORTS, describe_reports
from flowcast.validation.fits import FitTask, child_seed, fit, pack_fold, read_inputs
from flowcast.validation.scorecard import (
    ALL_FOLDS,
    ALONE,
    SCORECARD_COLUMNS,
    Row,
    score_reports,
    summarise_scores,
)
from flowcast.validation.splits import Scheme, split_folds

__all__ = ["FoldResult", "FoldTask", "cross_validate", "period_in_fit", "validate_fold"]

FIT: Final = "fit"
METHODS: Final = ("laplace", "nuts")
TAIL: Final = 0.9
"""Quantile of all reports of single flows above which `crps_tail` looks."""
PREDICTED: Final = ["origin", "destination", "period_start", "period_end"]


@dataclass(frozen=True, slots=True, eq=False)
class FoldTask:
    """One fold: the fit, the reports held out of it, and the seed of their prediction.

    `ahead` periods follow the last fitted one, and `left_out` counts reports that are in neither
    part, by the kind of leak they would be. `tables` has estimates that are baselines by name, as
    `read_baseline_table` gives them, and `tail` the persons above which `crps_tail` looks.
    """

    fit: FitTask
    held_out: Observations
    seed: int
    ahead: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tail: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """What one fold came to.

    Attributes
    ----------
    reports
        Every predicted report, as `describe_reports` has it.
    model
        Its scores, as `score_reports` gives them.
    baselines
        By name, the same of each baseline.
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
    baselines: Mapping[str, pd.DataFrame]
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
    families: Sequence[str] | None = None,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    tables: Mapping[str, str | Path | pd.DataFrame] | None = None,
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
    families
        Families of sources that are withheld and scored, all by default; as for `split_folds`.
    baselines
        Names of `BASELINES`: what predicts the same reports, for comparison.
    tables
        Estimates of others as further baselines, by name: files or frames, as for
        `read_baseline_table`. They may rest on the withheld reports, and stand apart.
    scheduler, workers, folder, progress
        Where the fits run, where those that are done are kept, and whether to say how far it is;
        as for `run_many`.
    overrides
        Dotted keys laid over the model.

    Returns
    -------
    DataFrame
        The scorecard: for each fold and for ``all``, `indicator` (a kind of report), `metric` and
        baseline (`against`) the score of the model (`value`) and of the `baseline` on the reports
        that both predict, their `difference`, and its standard error clustered by corridor (`se`)
        and by fold (`se_folds`). Where `against` is missing, the model is scored by itself, on all
        that it predicts, and the standard errors are of `value`. `apart` marks `tables`. Lower is
        better, except for `coverage_*`, `n`, `rank_correlation` and `within_skill`. The indicator
        ``fit`` has for each fold whether the gate was passed and its numbers, and the share of fits
        by method. `model` and `fingerprint` say what was validated: a run of the same model and
        data has the same ones in its `info`.

    Raises
    ------
    InputError
        With every fault of the inputs.
    HeldOutError
        If observations are held out already.
    TasksError
        With the message of each fold that was refused.
    UsageError
        If the scheme, a baseline or the number of folds cannot be served, or the cluster cannot be
        reached.

    Examples
    --------
    >>> from flowcast.validation import cross_validate
    >>> scorecard = cross_validate("europe_2024", scheme="corridors")  # doctest: +SKIP
    """
    named = check_baselines(baselines, list(tables or {}))
    inputs = read_inputs(model, observations, places, corridors, overrides)
    codes = inputs.observations.codes
    read = {name: read_baseline_table(one, name, codes) for name, one in (tables or {}).items()}
    tail = _tail(inputs.observations.table)
    tasks = {}
    parts = split_folds(
        inputs.observations, scheme=scheme, folds=folds, seed=seed, families=families
    )
    for k, fold in enumerate(parts):
        task = pack_fold(inputs, fold, child_seed(seed, k, 0))
        tasks[f"fold {fold.name}"] = FoldTask(
            task,
            fold.held_out,
            child_seed(seed, k, 1),
            fold.ahead,
            fold.left_out,
            (*named, *read),
            read,
            tail,
        )
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
    rows = [{"scheme": scheme, "fold": fold, **row._asdict()} for fold, row in _rows(by_fold)]
    rows.append(
        {"scheme": scheme, "fold": ALL_FOLDS, **Row(ALL_REPORTS, "tail_from", tail)._asdict()}
    )
    scorecard = pd.DataFrame(rows).assign(apart=lambda table: table["against"].isin(list(read)))
    against = scorecard["against"].astype("str")
    scorecard["against"] = against.where(against != ALONE)
    scorecard = scorecard.assign(model=inputs.spec.name, fingerprint=fingerprint(inputs))
    scorecard = scorecard[list(SCORECARD_COLUMNS)]
    notes = [*_notes(by_fold), *_left_out(by_fold)]
    scorecard.attrs = {"model": inputs.spec.name, "notes": notes}
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
    at, ahead = period_in_fit(posterior, table, task.ahead)
    inside = at >= 0
    row, draws = np.empty(0, dtype=np.int64), np.empty((1, 0))
    if inside.any():
        row, draws = draw_reports(posterior, task.held_out.select(inside), seed=task.seed)
        row = np.flatnonzero(inside)[row]
    predicted = table.iloc[row].reset_index(drop=True)
    value = predicted["value"].to_numpy()
    known = Known(
        task.fit.observations.table,
        without_values(predicted),
        task.fit.covariates,
        posterior.spec,
        task.seed,
    )
    others = {
        name: score_reports(draw_baseline(name, known, task.tables), value, task.seed, task.tail)
        for name in task.baselines
    }
    worst = {name: float(number) for name, number in posterior.gate.worst.items()}
    return FoldResult(
        describe_reports(predicted, ahead[row], task.held_out.codes),
        score_reports(draws, value, task.seed, task.tail),
        others,
        len(table) - len(row),
        task.left_out,
        str(posterior.info["method"]),
        {"gate_passed": float(posterior.gate.passed), **worst},
        posterior.gate.failures,
    )


def _tail(table: pd.DataFrame) -> float:
    """Return the persons above which the upper tail is scored."""
    single = table["origin"].notna() & table["destination"].notna() & (table["measure"] != "net")
    value = table.loc[single, "value"]
    return float(value.quantile(TAIL)) if len(value) else 0.0


def period_in_fit(
    posterior: Posterior, table: pd.DataFrame, ahead: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the period of the fit that each row is of, and how far it lies after the last report.

    The period is -1 where the fit has no such cell. Of a fit whose last `ahead` periods are
    forecasts, the horizon counts from the last that is none; else it is 0.
    """
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
    at = found.reindex(table.index, fill_value=-1).to_numpy().astype(np.int64)
    last_fitted = posterior.log_flow.sizes["period"] - 1 - ahead
    return at, at - last_fitted if ahead else np.zeros_like(at)


def _rows(results: Mapping[str, FoldResult]) -> Iterator[tuple[str, Row]]:
    """Yield fold and row of the scorecard; the reports of all folds come last."""
    for name, one in results.items():
        reports = one.reports.assign(fold=name)
        for row in summarise_scores(reports, one.model, one.baselines, every_fold=False):
            yield name, row
        yield from ((name, row) for row in _counts([one]))
        for metric, value in one.gate.items():
            yield name, Row(FIT, metric, value)
        yield from ((name, row) for row in _methods([one]))
    every = list(results.values())
    reports = pd.concat(
        [one.reports.assign(fold=name) for name, one in results.items()], ignore_index=True
    )
    model = pd.concat([one.model for one in every], ignore_index=True)
    baselines = {
        name: pd.concat([one.baselines[name] for one in every], ignore_index=True)
        for name in every[0].baselines
    }
    for row in summarise_scores(reports, model, baselines, every_fold=True):
        yield ALL_FOLDS, row
    yield from ((ALL_FOLDS, row) for row in _counts(every))
    passed = float(np.mean([one.gate["gate_passed"] for one in every]))
    yield ALL_FOLDS, Row(FIT, "gate_passed", passed)
    yield from ((ALL_FOLDS, row) for row in _methods(every))


def _counts(every: Sequence[FoldResult]) -> Iterator[Row]:
    """Yield how many reports have no prediction, and how many are in neither part."""
    yield Row(ALL_REPORTS, "n_not_predicted", float(sum(one.n_not_predicted for one in every)))
    left_out = sum(sum(one.left_out.values()) for one in every)
    yield Row(ALL_REPORTS, "n_left_out", float(left_out))


def _methods(every: Sequence[FoldResult]) -> Iterator[Row]:
    for method in METHODS:
        share = float(np.mean([one.method == method for one in every]))
        yield Row(FIT, f"method_{method}", share)


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
