"""Which of several models predicts the same withheld reports best, and what mixtures would."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import UsageError, require_word
from flowcast.scores import LOG_SHIFT
from flowcast.validation.scorecard import clustered_se
from flowcast.validation.stacking import (
    Stacker,
    bootstrap_weights,
    crps_parts,
    mixture_crps,
    mixture_log_score,
    stack_by_crps,
    stack_by_log_score,
)

__all__ = [
    "CRITERIA",
    "EQUAL",
    "KEY",
    "LEVELS",
    "FoldPrediction",
    "ModelComparison",
    "judge_predictions",
]

FloatArray = NDArray[np.float64]
Criterion = Literal["log_score", "crps_log"]

METRICS: Final = ("log_score", "crps_log", "crps")
CRITERIA: Final[tuple[Criterion, ...]] = ("log_score", "crps_log")
"""What mixtures are made to score best by."""
LEVELS: Final = (np.arange(200) + 0.5) / 200
"""Of the quantiles that stand for a predictive distribution: they bound what is carried about."""
BOOTSTRAP: Final = 200
EQUAL: Final = "equal weights"
KEY: Final = ["source", "origin", "destination", "period_start", "period_end", "reporter"]
"""What makes a report one report, in whichever fold it is withheld."""


@dataclass(frozen=True, slots=True, eq=False)
class FoldPrediction:
    """What one model says of the reports of one fold.

    Attributes
    ----------
    row
        Positions of the predicted reports among those held out, sorted.
    reports
        A row each, as `describe_reports` has it, with the columns `KEY`.
    log_probability
        Log predictive probability of what was reported, (report,).
    quantiles
        Of the predictive distribution at `LEVELS`, persons, (quantile, report).
    failures
        What did not pass the gate.
    """

    row: NDArray[np.int64]
    reports: pd.DataFrame
    log_probability: FloatArray
    quantiles: NDArray[np.float32]
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ModelComparison:
    """How several models, and mixtures of them, predict the same withheld reports.

    Attributes
    ----------
    scores
        Columns `predictor`, `kind` (``model`` or ``mixture``), `metric` (``log_score``,
        ``crps_log`` of log(value + 1/2), ``crps`` in persons; lower is better), `n` reports,
        `value`, `best` (the model with the lowest value), `difference` to it, and its standard
        error, paired and clustered by corridor (`se`) and by fold (`se_folds`). Mixtures are
        judged in each fold with weights from the other folds: ``stacked by log_score`` and
        ``stacked by crps_log``; ``equal weights`` needs none.
    weights
        Columns `model`, `by` (what the weights are best by), `weight` from all reports, and how
        sure it is: `sd`, `lower`, `upper` (90 %) over corridors drawn with replacement, `least`,
        `most` over leaving one fold out.
    reports
        One row for each report and model: fold, corridor, series, year, value, and its scores.
    notes
        What a reader has to know: gates that were not passed, reports not all models predict.
    """

    scores: pd.DataFrame
    weights: pd.DataFrame
    reports: pd.DataFrame
    notes: tuple[str, ...]

    def mixture(self, by: Criterion = "log_score") -> dict[str, float]:
        """Return the weights of the models in a mixture, those of zero left out.

        Parameters
        ----------
        by
            ``log_score`` or ``crps_log``: what the weights are best by.
        """
        require_word("by", by, CRITERIA)
        own = self.weights[(self.weights["by"] == by) & (self.weights["weight"] > 0.0)]
        return dict(zip(own["model"], own["weight"].astype(float), strict=True))

    def __repr__(self) -> str:
        log = self.scores[self.scores["metric"] == "log_score"]
        names = ", ".join(log.loc[log["kind"] == "model", "predictor"])
        return (
            f"<flowcast.ModelComparison of {names}: {int(log['n'].iloc[0]):,} reports in "
            f"{self.reports['fold'].nunique()} folds; best by log score: {log['best'].iloc[0]}>"
        )


def judge_predictions(
    by_fold: Mapping[str, Mapping[str, FoldPrediction]], *, seed: int = 1
) -> ModelComparison:
    """Compare predictions of the same reports, and find the mixtures that predict them best.

    Parameters
    ----------
    by_fold
        Predictions by fold and model.
    seed
        Of the corridors drawn with replacement.

    Raises
    ------
    UsageError
        If there is no report that all models predict.
    """
    pool, notes = _pool(by_fold)
    stackers: dict[Criterion, Stacker] = {
        "log_score": stack_by_log_score(pool.log_probability),
        "crps_log": stack_by_crps(*pool.parts["crps_log"]),
    }
    n_model = len(pool.names)
    predictors: dict[str, FloatArray] = dict(zip(pool.names, np.eye(n_model), strict=True))
    mixtures = {EQUAL: np.full(n_model, 1.0 / n_model)}
    tables = []
    for by, stack in stackers.items():
        left_out = _leave_folds_out(pool, stack)
        tables.append(_weights(pool, by, stack, left_out, seed))
        if len(by_fold) > 1:
            mixtures[f"stacked by {by}"] = left_out[pool.fold]
        else:
            notes.append(f"one fold: what is stacked by {by} cannot be judged on others")
    found = {name: pool.score(w) for name, w in (predictors | mixtures).items()}
    scores = pd.DataFrame(_scores(pool, found))
    return ModelComparison(scores, pd.concat(tables, ignore_index=True), _reports(pool, found),
                           tuple(dict.fromkeys(notes)))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """The reports that all models predict, of all folds.

    Attributes
    ----------
    names
        Of the models.
    reports
        As `FoldPrediction` has them, with `fold`.
    fold, cluster, unit
        Number of each report's fold, corridor, and of the report itself, (report,).
    log_probability
        (report, model).
    parts
        By metric, what `crps_parts` returns.
    """

    names: tuple[str, ...]
    reports: pd.DataFrame
    fold: NDArray[np.int64]
    cluster: NDArray[np.int64]
    unit: NDArray[np.int64]
    log_probability: FloatArray
    parts: Mapping[str, tuple[FloatArray, FloatArray]]

    def score(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Return the scores of every report under a mixture, by metric."""
        out = {name: mixture_crps(*parts, weights) for name, parts in self.parts.items()}
        return out | {"log_score": mixture_log_score(self.log_probability, weights)}


def _pool(by_fold: Mapping[str, Mapping[str, FoldPrediction]]) -> tuple[_Pool, list[str]]:
    tables, logs, quantiles, notes = [], [], [], []
    names = tuple(next(iter(by_fold.values())))
    for fold, of_models in by_fold.items():
        rows = [of_models[name].row for name in names]
        shared = rows[0]
        for other in rows[1:]:
            shared = np.intersect1d(shared, other)
        for name, one in of_models.items():
            if len(one.row) > len(shared):
                n = len(one.row) - len(shared)
                notes.append(f"fold {fold}: {n} reports predicted by {name} and not by all")
            if one.failures:
                told = "; ".join(one.failures)
                notes.append(f"the fit of {name}, fold {fold}, did not pass the gate ({told})")
        at = [np.searchsorted(own, shared) for own in rows]
        tables.append(of_models[names[0]].reports.iloc[at[0]].assign(fold=fold))
        both = [(of_models[name], where) for name, where in zip(names, at, strict=True)]
        logs.append(np.stack([one.log_probability[where] for one, where in both], axis=1))
        quantiles.append(np.stack([one.quantiles[:, where] for one, where in both]))
    reports = pd.concat(tables, ignore_index=True)
    if reports.empty:
        raise UsageError("(models) | found no report that all predict; allowed: at least one")
    value, drawn = reports["value"].to_numpy(np.float64), np.concatenate(quantiles, axis=2)
    parts = {
        "crps_log": crps_parts(np.log(drawn + LOG_SHIFT), np.log(value + LOG_SHIFT)),
        "crps": crps_parts(drawn, value),
    }
    unit = reports[KEY].astype(str).agg("|".join, axis=1)
    pool = _Pool(
        names,
        reports,
        _number(reports["fold"]),
        _number(reports["corridor"]),
        _number(unit),
        np.concatenate(logs),
        parts,
    )
    return pool, notes


def _number(labels: pd.Series) -> NDArray[np.int64]:
    return pd.factorize(labels)[0].astype(np.int64)


def _leave_folds_out(pool: _Pool, stack: Stacker) -> FloatArray:
    """Return the weights for each fold that all other reports give, (fold, model).

    Where every report is withheld in the fold too, models count alike: nothing else is known.
    """
    n_fold, n_model = int(pool.fold.max()) + 1, len(pool.names)
    out = np.full((n_fold, n_model), 1.0 / n_model)
    for k in range(n_fold):
        others = ~np.isin(pool.unit, pool.unit[pool.fold == k])
        if others.any():
            out[k] = stack(others.astype(np.float64))
    return out


def _weights(
    pool: _Pool, by: Criterion, stack: Stacker, left_out: FloatArray, seed: int
) -> pd.DataFrame:
    rng = np.random.default_rng(np.random.SeedSequence([seed, 43]))
    drawn = bootstrap_weights(stack, pool.cluster, BOOTSTRAP, rng)
    lower, upper = np.quantile(drawn, [0.05, 0.95], axis=0)
    return pd.DataFrame(
        {
            "model": pool.names,
            "by": by,
            "weight": stack(np.ones(len(pool.fold))),
            "sd": drawn.std(axis=0, ddof=1),
            "lower": lower,
            "upper": upper,
            "least": left_out.min(axis=0),
            "most": left_out.max(axis=0),
        }
    )


def _scores(pool: _Pool, found: Mapping[str, Mapping[str, FloatArray]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of scores."""
    for metric in METRICS:
        mean = {name: float(found[name][metric].mean()) for name in found}
        best = min(pool.names, key=lambda name: mean[name])
        for name, scores in found.items():
            gap = (scores[metric] - found[best][metric])[:, None]
            yield {
                "predictor": name,
                "kind": "model" if name in pool.names else "mixture",
                "metric": metric,
                "n": len(gap),
                "value": mean[name],
                "best": best,
                "difference": mean[name] - mean[best],
                "se": float(clustered_se(gap, pool.cluster)[0]),
                "se_folds": float(clustered_se(gap, pool.fold)[0]),
            }


def _reports(pool: _Pool, found: Mapping[str, Mapping[str, FloatArray]]) -> pd.DataFrame:
    about = pool.reports[["fold", "corridor", "series", "year", "value"]]
    return pd.concat(
        [about.assign(model=name, **found[name]) for name in pool.names], ignore_index=True
    )
