"""What every baseline is given, and what is asked of its rows: series, sums, neighbours in time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._observation_checks import number_groups
from flowcast.config import ModelSpec
from flowcast.scores import LOG_SHIFT

__all__ = [
    "DESTINATION",
    "FIGURE",
    "N_DRAWS",
    "ORIGIN",
    "PROBS",
    "SERIES",
    "SIDE",
    "FloatArray",
    "Known",
    "countable",
    "log_values",
    "neighbours",
    "ratio",
    "series_means",
    "sums",
    "to_persons",
    "without_values",
]

type FloatArray = NDArray[np.float64]

N_DRAWS: Final = 99
PROBS: Final[FloatArray] = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
"""Probabilities of the quantiles that stand for a predictive distribution."""
SERIES: Final = ("measure", "origin", "destination", "reporter", "criterion", "age", "sex")
FIGURE: Final = (
    "measure", "origin", "destination", "period_start", "period_end", "criterion", "age", "sex",
)  # fmt: skip
ORIGIN: Final = ("measure", "origin", "reporter")
DESTINATION: Final = ("measure", "destination", "reporter")
SIDE: Final = ("measure", "reporter")
ANSWERS: Final = ("value", "standard_error", "sample_size", "censored_below", "flag")
"""Columns that tell a report's value, or how it came out."""
DAYS: Final = 365.25


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """All that a baseline may know.

    Attributes
    ----------
    fitted
        Reports that the model is fitted to, columns of the observation contract.
    held_out
        Reports to be predicted, with none of the columns that tell their values.
    covariates
        What the fit has of places and corridors.
    spec
        The model, for the terms of its gravity process and the quantity.
    seed
        Of whatever a baseline draws.
    """

    fitted: pd.DataFrame
    held_out: pd.DataFrame
    covariates: xr.Dataset | None
    spec: ModelSpec
    seed: int


def without_values(table: pd.DataFrame) -> pd.DataFrame:
    """Return reports without what they say, rows numbered from 0."""
    return table.drop(columns=list(ANSWERS), errors="ignore").reset_index(drop=True)


def countable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the newest vintage of every report that repeats no other and has a logarithm."""
    newest = table.sort_values("vintage", na_position="first", kind="stable")
    newest = newest.drop_duplicates(["source", *FIGURE, "reporter"], keep="last").sort_index()
    known = newest[newest["mirror_of"].isna() & (newest["measure"] != "net")]
    return known.reset_index(drop=True)


def log_values(known: pd.DataFrame) -> FloatArray:
    """Return log(value + 1/2) of reports, (row,)."""
    return np.log(known["value"].to_numpy(np.float64) + LOG_SHIFT)


def to_persons(log_value: FloatArray) -> FloatArray:
    """Return the persons of which these are log(value + 1/2): 0 or more."""
    return np.maximum(np.exp(np.minimum(log_value, 50.0)) - LOG_SHIFT, 0.0)


def sums(
    known: pd.DataFrame, numbers: FloatArray, wanted: pd.DataFrame, keys: tuple[str, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return sum and number of the known rows that agree with each wanted row in `keys`."""
    names = list(keys)
    groups = known[names].assign(total=numbers, n=1.0).groupby(names, dropna=False)
    found = wanted[names].merge(groups.sum().reset_index(), on=names, how="left")
    both = found[["total", "n"]].fillna(0.0).to_numpy()
    return both[:, 0], both[:, 1]


def ratio(total: FloatArray, n: FloatArray) -> FloatArray:
    """Return total / n, NaN where n is 0."""
    return np.asarray(np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0))


def series_means(
    known: pd.DataFrame, log_value: FloatArray, wanted: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return known reports, those of one series and period averaged, and the wanted ones.

    Both have `series`, `start` (years since 1970) and known ones `log_value`, by series and start.
    """
    columns = [*SERIES, "period_start"]
    both = pd.concat([known[columns], wanted[columns]], ignore_index=True)
    start = both["period_start"].to_numpy().astype("datetime64[D]").astype(np.float64) / DAYS
    table = pd.DataFrame({"series": number_groups(both, SERIES), "start": start})
    told = table[: len(known)].assign(log_value=log_value)
    told = told.groupby(["series", "start"])["log_value"].mean().reset_index()
    return told, table[len(known) :].reset_index(drop=True)


def neighbours(
    known: pd.DataFrame, log_value: FloatArray, wanted: pd.DataFrame, *, later: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return the last earlier report of each wanted row's series, or the first later one.

    Returns
    -------
    log_value, years : ndarray, shape (row,)
        What it says, and how many years lie between them; NaN where there is none.
    """
    told, asked = series_means(known, log_value, wanted)
    found = pd.merge_asof(
        asked.reset_index().sort_values("start"),
        told.assign(at=told["start"]).sort_values("start"),
        on="start",
        by="series",
        direction="forward" if later else "backward",
        allow_exact_matches=False,
    ).set_index("index")
    found = found.loc[asked.index]
    return found["log_value"].to_numpy(), (found["at"] - found["start"]).abs().to_numpy()
