"""Shocks: a driver for a time away from where it would be."""

from typing import TYPE_CHECKING

import numpy as np

from flowcast.errors import Faults
from flowcast.scenarios._work import Work, block_of, few, find_targets, lay
from flowcast.scenarios.catalogue import DRIVERS, Driver
from flowcast.scenarios.drivers import labels_of
from flowcast.scenarios.extremes import MIN_YEARS, return_level, shock_weights
from flowcast.scenarios.spec import Shock

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["apply_shock"]


def apply_shock(
    work: Work, key: str, shock: Shock, variable: "xr.DataArray", values: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Carry out one shock."""
    rows = find_targets(work, key, shock, variable)
    years = variable["year"].to_numpy()
    weights = shock_weights(years, shock.start, shock.duration, shock.half_life)
    columns = weights.nonzero()[0]
    if not len(rows) or not len(columns):
        return values
    known = DRIVERS[shock.driver]
    labels = labels_of(variable)
    names = [labels[i] for i in rows]
    adds = shock.operation == "add"
    if shock.value is not None:
        amount = work.amount(key, shock, shock.value, names)[..., None]
        amount = amount * known.factor(shock.unit) if adds else amount
    else:
        adds = known.scale == "interval"
        amount = _severity(work, key, shock, known, names, relative=not adds)[:, None]
    block, strength = block_of(values, rows, columns), weights[columns]
    # A factor decays towards 1 on a straight scale, so that a stop (0) decays too.
    shocked = block + amount * strength if adds else block * (1.0 + (amount - 1.0) * strength)
    return lay(values, rows, columns, shocked)


def _severity(
    work: Work, key: str, shock: Shock, known: Driver, labels: list[str], *, relative: bool
) -> "NDArray[np.float64]":
    """Return how far the return level lies from the mean of the history, shape (label,)."""
    faults = Faults(work.spec.name)
    if work.history is None or known.name not in work.history:
        faults.add(f"no history of {known.name}", "a history, to tell a return period", column=key)
        faults.raise_if_any()
    assert work.history is not None
    assert shock.return_period is not None
    assert shock.tail is not None
    past = work.history[known.name].transpose(..., known.of, "year")
    past = past.mean("draw") if "draw" in past.dims else past
    there = labels_of(past)
    absent = [label for label in labels if label not in there]
    if absent:
        faults.add(f"no history of {few(absent)}", f"years of {known.name}", column=key)
        faults.raise_if_any()
    values = past.to_numpy()[[there.index(label) for label in labels]]
    level = return_level(
        values, shock.return_period, tail=shock.tail, distribution=shock.distribution
    )
    short = [label for label, one in zip(labels, level, strict=True) if np.isnan(one)]
    if short:
        faults.add(
            f"fewer than {MIN_YEARS} years of {few(short)}", f"{MIN_YEARS} or more", column=key
        )
        faults.raise_if_any()
    mean = np.nanmean(values, axis=-1)
    return np.asarray(np.maximum(level, 0.0) / mean if relative else level - mean)
