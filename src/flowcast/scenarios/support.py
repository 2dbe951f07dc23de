"""Where a scenario leaves what has been seen: every driver, place and year beyond the history."""

from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.scenarios.catalogue import DRIVERS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["SUPPORT_COLUMNS", "describe_support", "support_table"]

SUPPORT_COLUMNS: Final = (
    "driver",
    "unit",
    "place",
    "origin",
    "destination",
    "year",
    "value",
    "low",
    "high",
    "beyond",
    "relative",
    "share",
)


def support_table(drivers: "xr.Dataset", history: "xr.Dataset | None") -> "pd.DataFrame":
    """Return where drivers lie outside the range of their own place's history.

    Parameters
    ----------
    drivers
        Of a scenario.
    history
        Of the past; a driver or a place that it has not cannot be judged and has no row.

    Returns
    -------
    pandas.DataFrame
        One row for each driver, place (or corridor) and year: `value` is that of the draw farthest
        out, `low` and `high` the range of the history, `beyond` how far it lies outside in the
        driver's unit, `relative` the same in widths of the range, and `share` the share of draws
        outside. The farthest out come first.
    """
    import pandas as pd

    parts = []
    for name in drivers.data_vars if history is not None else ():
        if history is not None and name in history.data_vars:
            parts.append(_of_driver(str(name), drivers[name], history[name]))
    whole = [part for part in parts if len(part)]
    if not whole:
        return pd.DataFrame(columns=list(SUPPORT_COLUMNS))
    table = pd.concat(whole, ignore_index=True)
    order = ["relative", "driver", "place", "origin", "destination", "year"]
    return table.sort_values(order, ascending=[False, *[True] * 5], ignore_index=True)


def _of_driver(name: str, variable: "xr.DataArray", past: "xr.DataArray") -> "pd.DataFrame":
    import pandas as pd

    of = DRIVERS[name].of
    values = variable.transpose(..., of, "year").to_numpy()
    values = values if values.ndim == 3 else values[None]
    low, high = _range(variable, past, of)
    under, over = low[:, None] - values, values - high[:, None]
    beyond = np.maximum(under, over)
    worst = beyond.max(axis=0)
    rows, columns = (worst > 0).nonzero()
    which = beyond[:, rows, columns].argmax(axis=0)
    width = (high - low)[rows]
    sides = {side: variable[side].to_numpy()[rows] for side in _sides(of)}
    frame = pd.DataFrame(
        {
            "driver": name,
            "unit": DRIVERS[name].unit,
            **{side: sides.get(side, "") for side in ("place", "origin", "destination")},
            "year": variable["year"].to_numpy()[columns],
            "value": values[which, rows, columns],
            "low": low[rows],
            "high": high[rows],
            "beyond": worst[rows, columns],
            "relative": np.where(
                width > 0, worst[rows, columns] / np.where(width > 0, width, 1), np.inf
            ),
            "share": (beyond[:, rows, columns] > 0).mean(axis=0),
        }
    )
    return frame[list(SUPPORT_COLUMNS)]


def _sides(of: str) -> tuple[str, ...]:
    return ("place",) if of == "place" else ("origin", "destination")


def _range(
    variable: "xr.DataArray", past: "xr.DataArray", of: str
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the range of the history of each place of a variable; without one, unbounded."""
    other = [d for d in past.dims if d != of]
    bounds = {}
    labels = list(zip(*(past[side].to_numpy() for side in _sides(of)), strict=True))
    for label, low, high in zip(
        labels, past.min(other).to_numpy(), past.max(other).to_numpy(), strict=True
    ):
        bounds[label] = (low, high)
    wanted = zip(*(variable[side].to_numpy() for side in _sides(of)), strict=True)
    found = np.array([bounds.get(label, (-np.inf, np.inf)) for label in wanted], dtype=np.float64)
    return found[:, 0], found[:, 1]


def describe_support(table: "pd.DataFrame") -> list[str]:
    """Return a line for each driver that leaves its history, with the farthest place and year.

    Examples
    --------
    >>> import pandas as pd
    >>> describe_support(pd.DataFrame(columns=list(SUPPORT_COLUMNS)))
    []
    """
    told = []
    for name, rows in table.groupby("driver"):
        worst = rows.iloc[0]
        place = worst["place"] or f"{worst['origin']}/{worst['destination']}"
        in_draws = f", in {worst['share']:.0%} of draws" if worst["share"] < 1 else ""
        more = f"; {len(rows)} places and years in all" if len(rows) > 1 else ""
        told.append(
            f"{name} leaves its history: {place} {worst['year']}, {worst['value']:.4g}, is "
            f"{worst['beyond']:.3g} {worst['unit']} beyond {worst['low']:.4g} to "
            f"{worst['high']:.4g}{in_draws}{more}"
        )
    return told
