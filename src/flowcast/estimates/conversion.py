"""From the 12-month definition to another: a factor for each draw, as uncertain as the model is."""

from typing import Final

import numpy as np
import xarray as xr

from flowcast.definitions import name_definition, parse_definition
from flowcast.errors import UsageError
from flowcast.model.reports import DURATION_STEPS, duration_weights
from flowcast.posterior import Posterior
from flowcast.vocabulary import UN_DURATION_MONTHS

__all__ = [
    "SAMPLE_DIMS",
    "convert",
    "describe_conversion",
    "duration_log_factor",
    "latent_increments",
]

SAMPLE_DIMS: Final = ("chain", "draw")
NOTE_PROB: Final = 0.95
"""Probability of the interval in which a note gives the factor."""


def duration_log_factor(increments: xr.DataArray, months: float) -> xr.DataArray:
    """Return the log of how many times more moves count if the minimum stay is `months`.

    A shorter minimum stay counts more moves. The log factor is 0 at 12 months, adds up the
    increments from there at the other knots, and is linear in months between them, as the model
    has it of reports (`duration_weights`).

    Parameters
    ----------
    increments
        Positive log ratios between neighbouring minimum stays, with a dim `step` labelled
        ``0_to_3``, ``3_to_6``, ``6_to_12``, ``12_to_60``.
    months
        Minimum stay: 0 to 12, or 60 for "permanent".

    Returns
    -------
    xarray.DataArray
        As `increments`, without `step`.

    Raises
    ------
    UsageError
        For other numbers of months.

    Examples
    --------
    >>> labels = ["0_to_3", "3_to_6", "6_to_12", "12_to_60"]
    >>> steps = xr.DataArray([0.2, 0.1, 0.3, 0.8], dims="step", coords={"step": labels})
    >>> [round(float(duration_log_factor(steps, m)), 3) for m in (0, 3, 4.5, 12, 60)]
    [0.6, 0.4, 0.35, 0.0, -0.8]
    """
    (weights,) = duration_weights(np.array([parse_definition(months)]))
    labels = {"step": list(DURATION_STEPS)}
    return (increments * xr.DataArray(weights, dims="step", coords=labels)).sum("step")


def latent_increments(posterior: Posterior) -> xr.DataArray | None:
    """Return the increments that belong to each latent draw.

    There are fewer latent draws than draws of hyper-parameters; `hyper_draw` says which were kept.

    Parameters
    ----------
    posterior
        With or without durations.

    Returns
    -------
    xarray.DataArray or None
        Log ratios, dims (chain, draw, step), draws as those of the latent flows; None if the model
        has no durations.
    """
    parameters = posterior.tree["posterior"].to_dataset()
    if "duration_increment" not in parameters:
        return None
    increments = parameters["duration_increment"].transpose(*SAMPLE_DIMS, "step")
    kept = posterior.log_flow["hyper_draw"].transpose(*SAMPLE_DIMS)
    values = np.take_along_axis(increments.values, kept.values[..., None], axis=1)
    coords = {**kept.drop_vars("hyper_draw").coords, "step": increments["step"].values}
    return xr.DataArray(values, dims=(*SAMPLE_DIMS, "step"), coords=coords)


def convert(increments: xr.DataArray | None, months: float, model: str) -> xr.DataArray:
    """Return the log factor of each latent draw.

    Parameters
    ----------
    increments
        Dims (chain, draw, step), or None where the model has no durations.
    months
        Minimum stay: 0 to 12, or 60 for permanent.
    model
        What errors call the model.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw); for 12 months a single 0, whatever the increments.

    Raises
    ------
    UsageError
        If another definition than 12 months is asked of a model without durations.

    Examples
    --------
    >>> float(convert(None, 12.0, "mine"))
    0.0
    """
    if months == UN_DURATION_MONTHS:
        return xr.DataArray(0.0)
    if increments is None:
        raise UsageError(
            f"(definition) | found {name_definition(months)}; allowed: "
            f"{name_definition(UN_DURATION_MONTHS)}, as model '{model}' was fitted without "
            "durations (measurement.duration: false): its draws do not say how many moves another "
            "minimum stay would count"
        )
    return duration_log_factor(increments, months)


def describe_conversion(log_factor: xr.DataArray, months: float) -> tuple[str, ...]:
    """Return a note on the factor that stands between 12 months and a definition.

    Parameters
    ----------
    log_factor
        Of each draw.
    months
        Minimum stay of the definition.

    Returns
    -------
    tuple of str
        One note, or none for 12 months.

    Examples
    --------
    >>> describe_conversion(xr.DataArray([0.0, 0.0]), 12.0)
    ()
    """
    if months == UN_DURATION_MONTHS:
        return ()
    tail = (1.0 - NOTE_PROB) / 2.0
    levels = [tail, 0.5, 1.0 - tail]
    lower, median, upper = np.quantile(np.exp(log_factor.values), levels)
    return (
        f"converted from the definition {name_definition(UN_DURATION_MONTHS)} to "
        f"{name_definition(months)}: each draw times a factor of its own, {median:.3g} in the "
        f"median ({NOTE_PROB:.0%} equal-tailed credible interval {lower:.3g} to {upper:.3g})",
    )
