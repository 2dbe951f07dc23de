"""How drivers enter rates: on which scale, against which base, and with which prior.

A driver that is a ratio enters as the log of its ratio to the base (one that can be zero as the log
of one plus it), a share as the difference of log odds, the others as a difference. The value of a
period is the mean of its years; the base is the last period of the history, or, for a driver
without one, the first year of the baseline.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from flowcast.errors import Fault, InputError, nearest
from flowcast.scenarios.catalogue import DRIVERS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from flowcast.projection.spec import ProjectionSpec

__all__ = ["DIRECT", "Side", "aligned", "drivers_of", "on_scale", "period_means"]

Side = Literal["leaving", "arriving"]

DIRECT: Final = ("policy_openness", "return_propensity")
"""Drivers that multiply flows as they say, without an effect that had to be estimated."""
SMALLEST_SHARE: Final = 1e-4


def on_scale(name: str, values: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return a driver's values on the scale on which its effect is linear.

    Examples
    --------
    >>> on_scale("gdp_per_head", np.array([1.0, np.e])).tolist()
    [0.0, 1.0]
    >>> on_scale("urban_share", np.array([0.5])).tolist()
    [0.0]
    """
    known = DRIVERS[name]
    if known.scale == "ratio":
        return np.asarray(np.log1p(values) if known.low == 0.0 else np.log(values))
    if known.scale == "share":
        inside = np.clip(values, SMALLEST_SHARE, 1.0 - SMALLEST_SHARE)
        return np.asarray(np.log(inside) - np.log1p(-inside))
    return values


def period_means(
    variable: "xr.DataArray", starts: Sequence[int], length: int
) -> "NDArray[np.float64] | None":
    """Return the mean of each period's years, (..., period); None if a year is not there."""
    years = variable["year"].to_numpy()
    wanted = np.array(starts)[:, None] + np.arange(length)
    if not np.isin(wanted, years).all():
        return None
    at = np.searchsorted(years, wanted)
    values = variable.transpose(..., "year").to_numpy()[..., at].mean(axis=-1)
    return None if np.isnan(values).any() else np.asarray(values)


def drivers_of(names: Sequence[str], side: Side, spec: "ProjectionSpec") -> tuple[str, ...]:
    """Return those of the drivers that act on a side, in the order of the settings.

    Raises
    ------
    InputError
        If the settings have effects of drivers that do not exist.
    """
    unknown = [name for name in spec.effects if name not in DRIVERS]
    if unknown:
        raise InputError(
            Fault("effects", repr(name), ", ".join(DRIVERS), hint=nearest(name, DRIVERS) or "")
            for name in unknown
        )
    return tuple(
        name
        for name, effect in spec.effects.items()
        if name in names and getattr(effect, side) is not None
    )


def aligned(variable: "xr.DataArray", name: str, places: Sequence[str]) -> "xr.DataArray | None":
    """Return a driver of these places, or of all pairs of them by origin; None if one is absent."""
    import pandas as pd

    if DRIVERS[name].of == "place":
        at = pd.Index(variable["place"].to_numpy()).get_indexer(list(places))
        return None if (at < 0).any() else variable.isel(place=at)
    pairs = [(o, d) for o in places for d in places if o != d]
    there = pd.MultiIndex.from_arrays(
        [variable["origin"].to_numpy(), variable["destination"].to_numpy()]
    )
    at = there.get_indexer(pd.MultiIndex.from_tuples(pairs))
    return None if (at < 0).any() else variable.isel(corridor=at)
