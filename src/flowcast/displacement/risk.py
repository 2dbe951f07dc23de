"""What draws of displacement say of risk: chances, losses of return periods, tables to show."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

from flowcast.disclosure import DisclosurePolicy, protect
from flowcast.displacement.reading import UNIT
from flowcast.errors import UsageError
from flowcast.vocabulary import DEFAULT_PROBS, INTERVAL_KIND

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["exceedance", "return_levels", "summarise_forecast"]

DRAWS_BEYOND: Final = 10
"""Draws above a return level, at least: of fewer the level is noise."""
SAMPLE: Final = ("chain", "draw")


def exceedance(draws: xr.DataArray, thresholds: Sequence[float]) -> xr.DataArray:
    """Return the chance that displacement reaches each threshold.

    Parameters
    ----------
    draws
        As from `forecast_displacement`, dims (chain, draw, ...), persons.
    thresholds
        Persons.

    Returns
    -------
    xarray.DataArray
        Dims (threshold, ...): the share of draws at or above the threshold.

    Examples
    --------
    >>> draws = xr.DataArray([[[0.0], [10.0], [20.0], [90.0]]], dims=("chain", "draw", "unit"))
    >>> exceedance(draws, [20.0]).to_numpy().tolist()
    [[0.5]]
    """
    at = xr.DataArray(list(thresholds), dims="threshold", coords={"threshold": list(thresholds)})
    found = (draws >= at).mean(SAMPLE)
    return found.transpose("threshold", ...).rename("chance")


def return_levels(draws: xr.DataArray, periods: Sequence[float]) -> xr.DataArray:
    """Return the displacement that a year reaches once in so many, and the annual average.

    The quantile at ``1 - 1 / period`` of the predictive distribution, which is wider than that of a
    fit taken for the truth: it holds what is not known of the unit. Sum draws over units or hazards
    first: a level of a sum is not the sum of levels.

    Parameters
    ----------
    draws
        As from `forecast_displacement`, dims (chain, draw, ...).
    periods
        Years, above 1.

    Returns
    -------
    xarray.DataArray
        Dims (return_period, ...), persons a year.

    Raises
    ------
    UsageError
        For a period of 1 year or less, or one that fewer than ten draws lie beyond.

    Examples
    --------
    >>> draws = xr.DataArray(np.arange(1000.0)[None, :], dims=("chain", "draw"))
    >>> return_levels(draws, [10]).to_numpy().round(1).tolist()
    [899.1]
    """
    n = draws.sizes["chain"] * draws.sizes["draw"]
    wrong = [p for p in periods if not 1.0 < p <= n / DRAWS_BEYOND]
    if wrong:
        told = ", ".join(f"{p:g}" for p in wrong)
        raise UsageError(
            f"(periods) | found {told}; allowed: above 1 and up to {n / DRAWS_BEYOND:g} years, "
            f"which leaves {DRAWS_BEYOND} of {n} draws beyond"
        )
    probs = [1.0 - 1.0 / p for p in periods]
    found = draws.quantile(probs, dim=SAMPLE).rename(quantile="return_period")
    return found.assign_coords(return_period=list(periods)).rename("level")


def summarise_forecast(
    draws: xr.DataArray,
    *,
    probs: Sequence[float] = DEFAULT_PROBS,
    policy: DisclosurePolicy | None = None,
) -> "pd.DataFrame":
    """Return a table of a forecast as it may be shown: small figures suppressed, others rounded.

    Parameters
    ----------
    draws
        As from `forecast_displacement`.
    probs
        Probabilities of the equal-tailed intervals.
    policy
        What is shown; the default one where None.

    Returns
    -------
    pandas.DataFrame
        A row for each unit, year and `prob`: `place, destination, hazard, year, kind` (of
        displacement), `chance` (of any displacement), `median, lower, upper, prob, interval,
        suppressed`. A figure below the policy's smallest is missing, and `suppressed` says so; a
        unit whose upper bound is suppressed has no chance either.
    """
    import pandas as pd

    shown = DisclosurePolicy() if policy is None else policy
    flat = draws.stack(sample=SAMPLE).transpose("sample", "unit", "year")
    values = flat.to_numpy()
    n_unit, n_year = values.shape[1:]
    names = {part: np.repeat(draws[part].to_numpy(), n_year) for part in UNIT}
    common = {**names, "year": np.tile(draws["year"].to_numpy(), n_unit)}
    chance = (values > 0).mean(axis=0).ravel()
    parts = []
    for prob in probs:
        tail = (1.0 - prob) / 2.0
        found = np.quantile(values, [0.5, tail, 1.0 - tail], axis=0).reshape(3, -1)
        median, lower, upper = protect(found, shown)
        hidden = np.isnan(upper)
        parts.append(
            pd.DataFrame(
                {
                    **common, "kind": str(draws.attrs.get("kind", "")),
                    "chance": np.where(hidden, np.nan, chance.round(2)),
                    "median": median, "lower": lower, "upper": upper, "prob": prob,
                    "interval": INTERVAL_KIND,
                    "suppressed": np.isnan(median) | np.isnan(lower) | hidden,
                }
            )
        )  # fmt: skip
    table = pd.concat(parts).sort_values([*UNIT, "year", "prob"], ignore_index=True)
    table.attrs.update(policy=f"below {shown.smallest:g} suppressed, {shown.digits} digits")
    return table
