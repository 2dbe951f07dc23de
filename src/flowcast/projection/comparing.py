"""What a projection says: tables with credible intervals, differences of paired draws, chances."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.errors import UsageError, require_word
from flowcast.vocabulary import DEFAULT_PROBS, INTERVAL_KIND

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from flowcast.projection.history import FlowHistory

__all__ = [
    "MEASURES",
    "chance_above",
    "compare_scenarios",
    "measure_of",
    "summarise_history",
    "summarise_projection",
]

MEASURES: Final = ("immigration", "emigration", "net", "population", "births", "deaths", "flow")
"""What may be told of a projection."""
SUMS: Final = ("immigration", "emigration", "net", "population")
PROJECTED: Final = "none"
"""Evidence of a projected cell: nothing was reported on it."""


def measure_of(data: "xr.Dataset", measure: str, places: Sequence[str] = ()) -> "xr.DataArray":
    """Return draws of a measure, each place apart, or of some places together.

    Parameters
    ----------
    data
        As `Projection.data`.
    measure
        One of `MEASURES`; ``"net"`` is immigration less emigration.
    places
        Places to add up, draw by draw. Moves between them are no immigration or emigration of all
        of them together, and need flows.

    Returns
    -------
    xarray.DataArray
        Dims draw, (place | origin, destination), period; of populations the date stands for the
        period that starts there.

    Raises
    ------
    UsageError
        If there is no such measure, or no flows where they are needed.
    """
    require_word("measure", measure, MEASURES)
    if measure == "flow":
        return _flows(data)
    if measure == "net":
        part = data["immigration"] - data["emigration"]
    elif measure == "population":
        part = data["population"].rename(date="period")
    elif places and measure in ("immigration", "emigration"):
        inside = [p for p in data["place"].to_numpy().tolist() if p in set(places)]
        side, other = (
            ("destination", "origin") if measure == "immigration" else ("origin", "destination")
        )
        moves = _flows(data).sel({side: inside})
        return moves.drop_sel({other: inside}).sum(("origin", "destination"))
    else:
        part = data[measure]
    return part.sel(place=list(places)).sum("place") if places else part


def _flows(data: "xr.Dataset") -> "xr.DataArray":
    if "flows" not in data:
        raise UsageError("(measure) | found a projection without flows; allowed: sums of places")
    return data["flows"]


def summarise_projection(
    data: "xr.Dataset",
    *,
    measures: Sequence[str] = SUMS,
    probs: Sequence[float] = DEFAULT_PROBS,
) -> "pd.DataFrame":
    """Return one row a cell and probability, in the columns of the estimate table.

    Parameters
    ----------
    data
        As `Projection.data`, or as `open_projection` returns it.
    measures
        Of `MEASURES`.
    probs
        Probabilities of the equal-tailed credible intervals.

    Returns
    -------
    pandas.DataFrame
        `scenario`, then the columns of the estimate table; persons per period, and persons of
        populations, whose period starts and ends on one day.
    """
    import pandas as pd

    name = str(data.attrs["scenario"])
    parts = []
    for measure in measures:
        draws = measure_of(data, measure)
        for position in range(draws.sizes["period"]):
            one = draws.isel(period=position)
            parts.append(_rows(one, _days(data, measure, position), measure, probs))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "scenario", name)
    return table


def summarise_history(
    history: "FlowHistory", *, probs: Sequence[float] = DEFAULT_PROBS
) -> "pd.DataFrame":
    """Return immigration, emigration and net migration of the past, as of a projection.

    Parameters
    ----------
    history
        Flows that are not known add nothing: sums are of those that are.
    probs
        Probabilities of the equal-tailed credible intervals; of a history of one draw they are
        nothing wide.

    Returns
    -------
    pandas.DataFrame
        The columns of `summarise_projection` without `evidence`; scenario ``"history"``.
    """
    import xarray as xr

    sides = {"immigration": ("origin", "destination"), "emigration": ("destination", "origin")}
    sums = {
        name: history.flows.astype(np.float64).sum(over).rename({kept: "place"})
        for name, (over, kept) in sides.items()
    }
    ends = [period + history.length for period in history.periods]
    data = xr.Dataset(sums, {"period_end": ("period", ends)}, {"scenario": "history"})
    table = summarise_projection(data, measures=("immigration", "emigration", "net"), probs=probs)
    return table.drop(columns="evidence")


def _days(data: "xr.Dataset", measure: str, position: int) -> "tuple[pd.Timestamp, pd.Timestamp]":
    """Return first day of a period and first day after it; of a date, the day twice."""
    import pandas as pd

    if measure == "population":
        year = int(data["date"].to_numpy()[position])
        return (pd.Timestamp(year, 1, 1),) * 2
    start, end = (int(data[name].to_numpy()[position]) for name in ("period", "period_end"))
    return pd.Timestamp(start, 1, 1), pd.Timestamp(end, 1, 1)


def _cells(one: "xr.DataArray") -> "tuple[NDArray[np.float64], dict[str, NDArray[np.str_]]]":
    """Return draws (draw, cell) and the codes of each cell; the diagonal is left out."""
    if "place" in one.dims:
        values = one.transpose("draw", "place").to_numpy()
        return values, {"place": one["place"].to_numpy().astype(str)}
    values = one.transpose("draw", "origin", "destination").to_numpy()
    origin, destination = (one[side].to_numpy().astype(str) for side in ("origin", "destination"))
    at = (origin[:, None] != destination[None, :]).nonzero()
    chosen = values[:, at[0], at[1]].astype(np.float64)
    return chosen, {"origin": origin[at[0]], "destination": destination[at[1]]}


def _rows(
    one: "xr.DataArray",
    days: "tuple[pd.Timestamp, pd.Timestamp]",
    measure: str,
    probs: Sequence[float],
) -> "pd.DataFrame":
    import pandas as pd

    values, codes = _cells(one)
    if "place" in codes:
        arrives = measure != "emigration"
        codes = {
            "origin": np.where(arrives, "", codes["place"]),
            "destination": np.where(arrives, codes["place"], ""),
        }
    base = pd.DataFrame(
        {
            **codes,
            "period_start": days[0],
            "period_end": days[1],
            "measure": measure,
            "mean": values.mean(axis=0),
            "median": np.median(values, axis=0),
            "sd": values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1]),
        }
    )
    parts = []
    for prob in probs:
        lower, upper = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        own = {"lower": lower, "upper": upper, "prob": prob, "kind": INTERVAL_KIND}
        parts.append(base.assign(**own, evidence=PROJECTED))
    return pd.concat(parts, ignore_index=True)


def compare_scenarios(
    first: "xr.Dataset",
    second: "xr.Dataset",
    *,
    measures: Sequence[str] = ("immigration", "emigration", "net", "population"),
    prob: float = 0.8,
) -> "pd.DataFrame":
    """Return how much a scenario differs from another one, draw by draw.

    Parameters
    ----------
    first, second
        Draws of two scenarios of one projection: the same draws, seed, places and periods.
    measures
        Of `MEASURES`.
    prob
        Of the equal-tailed credible interval of the difference.

    Returns
    -------
    pandas.DataFrame
        One row a cell: `origin, destination, period_start, period_end, measure`, `first` and
        `second` (medians), `mean, median, sd, lower, upper, prob, kind` of the difference second
        less first, `higher` (share of draws in which the second is higher; ties by half).

    Raises
    ------
    UsageError
        If the draws are not paired.
    """
    import pandas as pd

    _require_paired(first, second)
    parts = []
    for measure in measures:
        pair = [measure_of(data, measure) for data in (first, second)]
        for position in range(pair[0].sizes["period"]):
            ends = [one.isel(period=position) for one in pair]
            days = _days(first, measure, position)
            table = _rows(ends[1] - ends[0], days, measure, [prob]).drop(columns="evidence")
            a, b = (_cells(end)[0] for end in ends)
            table.insert(5, "first", np.median(a, axis=0))
            table.insert(6, "second", np.median(b, axis=0))
            parts.append(table.assign(higher=((b > a) + 0.5 * (b == a)).mean(axis=0)))
    return pd.concat(parts, ignore_index=True)


def _require_paired(first: "xr.Dataset", second: "xr.Dataset") -> None:
    """Refuse draws that do not belong together: their differences would be luck."""
    for what in ("seed", "inputs"):
        a, b = first.attrs.get(what), second.attrs.get(what)
        if a != b:
            raise UsageError(f"({what}) | found {a} and {b}; allowed: scenarios of one projection")
    for dim in ("draw", "place", "period"):
        a, b = (data[dim].to_numpy() for data in (first, second))
        if not np.array_equal(a, b):
            raise UsageError(f"({dim}) | found others in the second; allowed: the same in both")


def chance_above(draws: "xr.DataArray", threshold: float, *, prob: float = 0.9) -> dict[str, float]:
    """Return the probability that a quantity is above a threshold, with its Monte Carlo error.

    Parameters
    ----------
    draws
        Dim draw alone, as ``measure_of(data, "immigration").sel(place="DEU", period=2030)``.
    threshold
        In the unit of the draws.
    prob
        Of the interval of the probability, which says how well so many draws tell it, and nothing
        of whether the model holds.

    Returns
    -------
    dict
        `probability, lower, upper, prob, draws`: a Jeffreys interval (Brown, Cai and DasGupta 2001,
        doi 10.1214/ss/1009213286).

    Examples
    --------
    >>> import xarray as xr
    >>> told = chance_above(xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="draw"), 2.5)
    >>> told["probability"], told["draws"]
    (0.5, 4)
    """
    from scipy.stats import beta

    if draws.dims != ("draw",):
        raise UsageError(f"(draws) | found dims {draws.dims}; allowed: draw alone")
    n = draws.sizes["draw"]
    above = int((draws > threshold).sum())
    lower, upper = beta(above + 0.5, n - above + 0.5).ppf([(1 - prob) / 2, (1 + prob) / 2])
    return {
        "probability": above / n,
        "lower": 0.0 if above == 0 else float(lower),
        "upper": 1.0 if above == n else float(upper),
        "prob": prob,
        "draws": n,
    }
