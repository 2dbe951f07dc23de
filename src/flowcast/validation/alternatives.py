"""How far results move when the model is changed: prior sensitivity and comparison of models."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flowcast.config import ModelSpec
from flowcast.errors import FlowcastError, UsageError
from flowcast.estimates import summarise
from flowcast.fanout import TasksError, run_many
from flowcast.preparation import ObservationsInput, PathInput, prepare
from flowcast.validation.fits import FitTask, child_seed, fit, pack, read_inputs
from flowcast.validation.named import apply_alternatives, choose_alternatives
from flowcast.vocabulary import EstimateMeasure

__all__ = [
    "BASE",
    "SENSITIVITY_COLUMNS",
    "AlternativeResult",
    "fit_alternative",
    "sensitivity",
    "summarise_sensitivity",
]

BASE: Final = "base"
"""Name of the model as it is, among the alternatives."""
MEASURES: Final[tuple[EstimateMeasure, ...]] = ("immigration", "emigration", "net")
CELL: Final = ["measure", "origin", "destination", "period_start", "period_end"]
SENSITIVITY_COLUMNS: Final = (
    "alternative", *CELL, "median", "sd", "lower", "upper", "prob", "kind",
    "base_median", "shift", "sd_ratio", "method", "gate_passed",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class AlternativeResult:
    """Estimates under one alternative, how they were inferred, and what failed the gate."""

    estimates: pd.DataFrame
    method: str
    failures: tuple[str, ...]


def sensitivity(
    model: str | Path | ModelSpec,
    alternatives: Mapping[str, Mapping[str, Any]] | Iterable[str | Path] = (),
    observations: ObservationsInput = None,
    places: PathInput = None,
    corridors: PathInput = None,
    *,
    seed: int = 1,
    scheduler: str | None = None,
    workers: int | None = None,
    folder: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Fit a model as it is and under each alternative, and compare what they say of places.

    Parameters
    ----------
    model, observations, places, corridors
        As for `estimate`.
    alternatives
        By name, dotted keys laid over the model, such as
        ``{"wide": {"process.sd_corridor": {"half_normal": 3}}}``. Or names of alternatives that
        flowcast has and YAML files of others, as for `choose_alternatives`; by default all that
        flowcast has. Those for which the model has no part are left out, and told in the notes.
    seed
        Of all fits: the same, so that differences owe as little as possible to chance.
    scheduler, workers, folder, progress
        As for `cross_validate`.
    overrides
        Dotted keys laid over the model before the alternatives, and over ``base``.

    Returns
    -------
    DataFrame
        One row for each alternative (``base`` first), measure (immigration, emigration, net), place
        and period: the estimate with its equal-tailed 80 % credible interval; the base's median;
        `shift`, median minus base median in units of the base's sd; `sd_ratio`, how many times as
        uncertain as the base; method and gate of the fit. A shift well below 1 says that the
        conclusion does not rest on the choice. `attrs` has the notes.

    Raises
    ------
    InputError
        With every fault of the inputs.
    TasksError
        With the faults of each alternative that is refused, before anything is fitted if they can
        be known.
    UsageError
        If there is no alternative, one is unknown or called ``base``, or the cluster cannot be
        reached.
    """
    chosen = alternatives if isinstance(alternatives, Mapping) else None
    named = {} if chosen is not None else choose_alternatives(alternatives)
    _require_names(named if chosen is None else chosen)
    inputs = read_inputs(model, observations, places, corridors, overrides)
    left_out: dict[str, str] = {}
    if chosen is None:
        chosen, left_out = apply_alternatives(named, prepare(inputs).problem)
        if not chosen:
            told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
            raise UsageError(f"(alternatives) | found none that changes this model ({told})")
    tasks, refused = {}, {}
    for name, changes in {BASE: {}, **chosen}.items():
        try:
            seeded = {"sampler.seed": child_seed(seed), **changes}
            tasks[name] = pack(inputs, inputs.observations, seeded)
        except FlowcastError as error:
            refused[name] = str(error)
    if refused:
        raise TasksError(refused, len(chosen) + 1)
    results = run_many(
        fit_alternative,
        tasks,
        scheduler=scheduler,
        workers=workers,
        folder=None if folder is None else Path(folder),
        progress=progress,
        what="alternatives",
    )
    table = pd.concat([_compare(name, one, results[BASE]) for name, one in results.items()])
    table = table.reset_index(drop=True)
    notes = [f"{name} is left out: {why}" for name, why in left_out.items()]
    notes += [
        f"the fit of {name} did not pass the convergence gate ({'; '.join(one.failures)})"
        for name, one in results.items()
        if one.failures
    ]
    table.attrs = {**results[BASE].estimates.attrs, "model": inputs.spec.name, "notes": notes}
    return table


def _require_names(names: Collection[str]) -> None:
    if not names or BASE in names:
        found = f"one called {BASE!r}" if names else "none"
        raise UsageError(f"(alternatives) | found {found}; allowed: any other names, at least one")


def summarise_sensitivity(table: pd.DataFrame) -> pd.DataFrame:
    """Tell what moves most under each alternative, a row each.

    Parameters
    ----------
    table
        From `sensitivity`.

    Returns
    -------
    DataFrame
        The alternatives whose estimates move most come first. `level`: the median over places and
        periods of how immigration and emigration change, as a factor; `typical_shift` and
        `largest_shift`, the median and the largest size of `shift` over all rows; `largest_at`,
        where that is; `sd_ratio`, its median; `gate_passed`.
    """
    rows = []
    for name, one in table[table["alternative"] != BASE].groupby("alternative", sort=False):
        size = one["shift"].abs()
        gross = one[one["measure"] != "net"]
        at = one.iloc[int(size.fillna(-1.0).to_numpy().argmax())] if size.notna().any() else None
        rows.append(
            {
                "alternative": name,
                "level": (gross["median"] / gross["base_median"]).median(),
                "typical_shift": size.median(),
                "largest_shift": np.nan if at is None else at["shift"],
                "largest_at": "" if at is None else _tell_cell(at),
                "sd_ratio": one["sd_ratio"].median(),
                "gate_passed": bool(one["gate_passed"].all()),
            }
        )
    out = pd.DataFrame(rows).sort_values("typical_shift", ascending=False, ignore_index=True)
    out.attrs = table.attrs
    return out


def _tell_cell(row: pd.Series) -> str:
    place = row["origin"] if row["measure"] == "emigration" else row["destination"]
    what = "net migration" if row["measure"] == "net" else row["measure"]
    return f"{what} of {place} from {row['period_start']}"


def fit_alternative(task: FitTask) -> AlternativeResult:
    """Fit one alternative, and summarise it by place and period."""
    posterior = fit(task)
    parts = [summarise(posterior, measure=measure, probs=[0.8]) for measure in MEASURES]
    estimates = pd.concat(parts, ignore_index=True)
    estimates.attrs = {k: v for k, v in parts[0].attrs.items() if k not in ("method", "exact")}
    return AlternativeResult(estimates, str(posterior.info["method"]), posterior.gate.failures)


def _compare(name: str, one: AlternativeResult, base: AlternativeResult) -> pd.DataFrame:
    told = base.estimates[[*CELL, "median", "sd"]]
    told = told.rename(columns={"median": "base_median", "sd": "base_sd"})
    table = one.estimates.merge(told, on=CELL, how="left", validate="one_to_one")
    table["alternative"] = name
    sd = table["base_sd"].where(table["base_sd"] > 0.0, np.nan)
    table["shift"] = (table["median"] - table["base_median"]) / sd
    table["sd_ratio"] = table["sd"] / sd
    table["method"], table["gate_passed"] = one.method, not one.failures
    return table[list(SENSITIVITY_COLUMNS)]
