"""Years to come, draw by draw, from where each unit stands: each year is the past of the next."""

from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr
from scipy.special import ndtr

from flowcast.displacement._features import (
    MAGNITUDE_TERMS,
    OCCURRENCE_TERMS,
    SCALE_TERMS,
)
from flowcast.displacement._layout import split
from flowcast.displacement.model import DisplacementFit
from flowcast.displacement.reading import UNIT
from flowcast.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    type Floats = NDArray[np.float64]

__all__ = ["forecast_displacement"]

CEILING: Final = 3.0
"""Times the largest count of any unit, which nothing exceeds where no ceiling is given: heavy tails
on the log scale know no bound, but there are only so many people."""


def forecast_displacement(
    fit: DisplacementFit,
    years: int = 3,
    *,
    ceiling: "ArrayLike | None" = None,
    seed: int = 1,
) -> xr.DataArray:
    """Draw the years after the last one known.

    Drivers stay as they were in the last year; the effect of the year dies away and is
    renewed. Draws of units of
    one year share it, and those of a unit belong together over years, so that sums over units and
    years of a draw are draws of the sum (of one kind: see `flowcast.displacement.totals`).

    Parameters
    ----------
    fit
        From `fit_displacement`.
    years
        How many.
    ceiling
        Most persons that can be displaced in a year, one or (unit,), such as the population; by
        default three times the largest count of the panel.
    seed
        Of the draws.

    Returns
    -------
    xarray.DataArray
        Whole persons or movements a year; dims (chain, draw, unit, year), coordinates `place`,
        `destination` and `hazard` of units.

    Raises
    ------
    UsageError
        If `years` is below 1, or a ceiling is not positive or of another length.
    """
    if years < 1:
        raise UsageError(f"(years) | found {years}; allowed: 1 or more")
    panel = fit.panel
    n_unit = len(panel.units)
    highest = _ceiling(fit, ceiling, n_unit)
    sizes = fit.posterior.sizes
    draws = np.empty((sizes["chain"], sizes["draw"], n_unit, years))
    stacked = {name: values.to_numpy() for name, values in fit.posterior.data_vars.items()}
    rng = np.random.default_rng([seed, 31])
    for chain in range(sizes["chain"]):
        for draw in range(sizes["draw"]):
            own = {str(n): values[chain, draw] for n, values in stacked.items()}
            draws[chain, draw] = _run(own, fit, years, np.log(highest), rng)
    coords = {
        **{part: ("unit", panel.names(part)) for part in UNIT},
        "chain": np.arange(sizes["chain"]),
        "draw": np.arange(sizes["draw"]),
        "year": panel.years[-1] + 1 + np.arange(years),
    }
    out = xr.DataArray(draws, dims=("chain", "draw", "unit", "year"), coords=coords)
    out.name = "count"
    out.attrs.update(kind=panel.kind, source=panel.source, known_until=int(panel.years[-1]))
    return out


def _ceiling(fit: DisplacementFit, ceiling: "ArrayLike | None", n_unit: int) -> "Floats":
    if ceiling is None:
        return np.full(n_unit, CEILING * float(np.nanmax(fit.panel.values)))
    given = np.asarray(ceiling, dtype=np.float64)
    if given.shape not in ((), (n_unit,)) or not (given > 0).all():
        raise UsageError(
            f"(ceiling) | found shape {given.shape}, smallest {np.min(given, initial=np.inf):g}; "
            f"allowed: one positive number, or {n_unit}"
        )
    return np.broadcast_to(given, (n_unit,))


def _run(
    v: "dict[str, Floats]",
    fit: DisplacementFit,
    years: int,
    log_ceiling: "Floats",
    rng: np.random.Generator,
) -> "Floats":
    """Return counts of one draw of the posterior, (unit, year)."""
    layout, told = fit.layout, fit.drivers.last
    n_hazard = len(layout.hazards)
    parts = {
        name: split(v[f"{name}_coefficients"], n_hazard, len(terms))
        for name, terms in (("occurrence", OCCURRENCE_TERMS), ("magnitude", MAGNITUDE_TERMS))
    }
    year = {name: float(v[f"{name}_year"]) for name in parts}
    scales, slopes = np.split(v["magnitude_scale"], [n_hazard])
    history = fit.history
    n_unit = len(layout.hazard)
    out = np.empty((n_unit, years))
    for ahead in range(years):
        for name in year:
            innovation = float(v[f"{name}_year_sd"]) * rng.standard_normal()
            year[name] = float(v[f"{name}_year_phi"]) * year[name] + innovation
        x = layout.columns(history, OCCURRENCE_TERMS)
        score = parts["occurrence"].linear(x, told, layout.hazard)
        score += year["occurrence"] + v["occurrence_units"]
        happens = rng.random(n_unit) < ndtr(score)
        x = layout.columns(history, MAGNITUDE_TERMS)
        log = parts["magnitude"].linear(x, told, layout.hazard)
        log += year["magnitude"] + v["magnitude_units"]
        log += history.logs / history.weight_positive
        z = layout.columns(history, SCALE_TERMS)
        sd = np.exp(scales[layout.hazard] + z @ slopes) * np.sqrt(v["magnitude_spread"])
        log += sd * rng.standard_t(float(v["magnitude_degrees"]), n_unit)
        count = np.round(np.exp(np.minimum(log, log_ceiling)))
        count = np.where(happens, np.maximum(count, fit.panel.smallest), 0.0)
        out[:, ahead] = count
        history = history.follow(count, layout.scales)
    return out
