"""Reports as regressions take them: of one measure, between two places, with their covariates."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import CovariateTerm, ModelSpec
from flowcast.errors import FlowcastError
from flowcast.model.process import row_values
from flowcast.model.reports import channel_of
from flowcast.places import is_grouping
from flowcast.validation.baselines.rows import FloatArray, Known, countable, log_values

__all__ = ["MAX_ROWS", "Cells", "lay_out"]

MAX_ROWS: Final = 100_000
"""Fitted reports that a regression takes, at random if there are more: time and memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Fitted reports and rows to predict, laid out for regressions.

    Attributes
    ----------
    table
        Fitted reports of the model's measure between two places.
    value
        What they say, persons, (fitted row,).
    wanted
        Rows to predict, those that can be.
    at
        Where they stand among the held-out ones, (wanted row,).
    covariates
        Terms of the model's gravity process, standardised, (fitted then wanted row, term).
    labels
        `origin`, `destination`, `channel` (side or family of source) and `period` (year), the same
        rows.
    n_held_out
        Held-out rows in all.
    """

    table: pd.DataFrame
    value: FloatArray
    wanted: pd.DataFrame
    at: NDArray[np.int64]
    covariates: FloatArray
    labels: pd.DataFrame
    n_held_out: int

    @property
    def log_value(self) -> FloatArray:
        """Return log(value + 1/2) of the fitted reports."""
        return log_values(self.table)

    def spread_out(self, draws: FloatArray) -> FloatArray:
        """Return draws of the wanted rows as those of all held-out rows, NaN for the others."""
        out = np.full((len(draws), self.n_held_out), np.nan)
        out[:, self.at] = draws
        return out


def lay_out(known: Known, *, needs_covariates: bool = False) -> Cells | None:
    """Return the rows of a regression, or None where there is nothing to learn or to predict.

    Parameters
    ----------
    known
        Fitted reports, rows to predict, covariates and the model.
    needs_covariates
        Whether there is nothing to predict without the terms of the gravity process.
    """
    table = countable(known.fitted)
    table = table[_single(table, known.spec)].reset_index(drop=True)
    if len(table) > MAX_ROWS:
        rng = np.random.default_rng(np.random.SeedSequence([known.seed, 29]))
        chosen = np.sort(rng.choice(len(table), MAX_ROWS, replace=False))
        table = table.iloc[chosen].reset_index(drop=True)
    at = np.flatnonzero(_single(known.held_out, known.spec))
    wanted = known.held_out.iloc[at].reset_index(drop=True)
    value = table["value"].to_numpy(np.float64)
    if not len(at) or not value.any():
        return None
    both = pd.concat([table, wanted], ignore_index=True)
    covariates = _terms(both, known.covariates, known.spec.process.covariates)
    if needs_covariates and not covariates.shape[1]:
        return None
    labels = pd.DataFrame(
        {
            "origin": both["origin"],
            "destination": both["destination"],
            "channel": channel_of(both, known.spec.quantity),
            "period": both["period_start"].dt.year,
        }
    )
    return Cells(table, value, wanted, at, covariates, labels, len(known.held_out))


def _single(table: pd.DataFrame, spec: ModelSpec) -> NDArray[np.bool_]:
    single = (table["measure"] == spec.quantity) & table["origin"].notna()
    for side in ("origin", "destination"):
        groups = [code for code in table[side].dropna().unique() if is_grouping(str(code))]
        single &= table[side].notna() & ~table[side].isin(groups)
    return single.to_numpy()


def _terms(
    both: pd.DataFrame, data: xr.Dataset | None, terms: tuple[CovariateTerm, ...]
) -> FloatArray:
    """Return the terms that there are; one without values for every row is left out."""
    if data is None:
        return np.empty((len(both), 0))
    origin, destination = (both[side].to_numpy(object) for side in ("origin", "destination"))
    year = both["period_start"].dt.year.to_numpy(np.int64)
    found = []
    for term in terms:
        try:
            values = row_values(data, term, origin, destination, year)
        except FlowcastError:
            continue
        if values.std() > 0.0:
            found.append((values - values.mean()) / values.std())
    return np.column_stack(found) if found else np.empty((len(both), 0))
