"""Predictions that a model has to beat, of the same rows and from the same reports.

One interface: what is known, without the values that are to be predicted, becomes 99 evenly spaced
quantiles of a predictive distribution for each row, NaN where a baseline does not apply. Heavy
libraries are imported by those that need them, when they do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pandas as pd

from flowcast.errors import UsageError, did_you_mean
from flowcast.validation.baselines.gravity import gravity_fixed_effects_draws, gravity_ppml_draws
from flowcast.validation.baselines.learners import gradient_boosting_draws, random_forest_draws
from flowcast.validation.baselines.persistence import persistence_draws
from flowcast.validation.baselines.rows import FloatArray, Known, without_values
from flowcast.validation.baselines.simple import mirror_draws, pair_mean_draws, simple_draws
from flowcast.validation.baselines.table import read_baseline_table, table_draws

__all__ = [
    "BASELINES",
    "DEFAULT_BASELINES",
    "PERSISTENCE",
    "Known",
    "check_baselines",
    "draw_baseline",
    "read_baseline_table",
    "without_values",
]

BASELINES: Final[Mapping[str, str]] = {
    "simple": "pair mean, else mirror, else what both places usually have",
    "persistence": "the last earlier report of the same side and pair",
    "pair_mean": "the mean of the same side's reports of the same pair in other periods",
    "mirror": "the other side's report, times the usual ratio of the sides",
    "gravity_ppml": "Poisson gravity on the model's covariates, side and year",
    "gravity_fixed_effects": "Poisson gravity with an effect of each origin and destination",
    "gradient_boosting": "boosted trees on covariates and other reports, by quantile loss",
    "random_forest": "a quantile regression forest on covariates and other reports",
}
"""What there is, and what each predicts by."""
PERSISTENCE: Final = "persistence"
DEFAULT_BASELINES: Final = ("simple", PERSISTENCE, "gravity_ppml")
"""Those that cost next to nothing."""
_DRAW: Final[Mapping[str, Callable[[Known], FloatArray]]] = {
    "simple": lambda known: simple_draws(known.fitted, known.held_out),
    "persistence": persistence_draws,
    "pair_mean": lambda known: pair_mean_draws(known.fitted, known.held_out),
    "mirror": lambda known: mirror_draws(known.fitted, known.held_out),
    "gravity_ppml": gravity_ppml_draws,
    "gravity_fixed_effects": gravity_fixed_effects_draws,
    "gradient_boosting": gradient_boosting_draws,
    "random_forest": random_forest_draws,
}


def check_baselines(names: Sequence[str], tables: Sequence[str] = ()) -> tuple[str, ...]:
    """Return names of baselines, each once, or refuse those that are none.

    Parameters
    ----------
    names
        Of `BASELINES`.
    tables
        Names that the user gave to tables of estimates.

    Raises
    ------
    UsageError
        With the nearest name, or if a table has the name of a baseline or none at all.

    Examples
    --------
    >>> check_baselines(["persistance"])
    Traceback (most recent call last):
    flowcast.errors.UsageError: (baseline) | found 'persistance'; allowed: simple, persistence,
    pair_mean, mirror, gravity_ppml, gravity_fixed_effects, gradient_boosting, random_forest; did
    you mean persistence?
    """
    told = []
    for name in names:
        if name not in BASELINES:
            also = did_you_mean(str(name), BASELINES)
            told.append(f"(baseline) | found {str(name)!r}; allowed: {', '.join(BASELINES)}{also}")
    for name in tables:
        if not name.strip() or name in BASELINES:
            told.append(
                f"(baseline table) | found the name {name!r}; allowed: one that is not empty, and "
                "no baseline's"
            )
    if told:
        raise UsageError("\n".join(told))
    return tuple(dict.fromkeys(names))


def draw_baseline(
    name: str, known: Known, tables: Mapping[str, pd.DataFrame] | None = None
) -> FloatArray:
    """Return what a baseline predicts.

    Parameters
    ----------
    name
        Of `BASELINES`, or of a table.
    known
        What it may know.
    tables
        Estimates by name, as from `read_baseline_table`.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Evenly spaced quantiles, persons; NaN where it does not apply.
    """
    if tables and name in tables:
        return table_draws(known, tables[name])
    return _DRAW[name](known)
