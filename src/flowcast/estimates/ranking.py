"""Which flow is the largest, and with what probability."""

from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import UsageError, require_word
from flowcast.estimates.flows import FlowEstimates, flow_estimates
from flowcast.posterior import Posterior

__all__ = ["rank_cells", "top_corridors"]

Within = Literal["origin", "destination"]
HALF: Final = 0.5
"""Jeffreys' prior of a share: draws that all agree do not make it certain."""


def rank_cells(
    estimates: FlowEstimates | Posterior,
    *,
    within: Within | None = None,
    top: int = 1,
    last: bool = False,
    cells: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Return how probable it is that a cell is among the largest.

    Parameters
    ----------
    estimates
        Flows or sums of flows; a posterior stands for its flows.
    within
        ``origin``: destinations are compared for each origin; ``destination``: origins for each
        destination. By default all cells of a period.
    top
        Among how many of the largest.
    last
        Whether to take the last period alone. Every period needs all its draws at once.
    cells
        Which cells are compared, shape (cell,): by default all.

    Returns
    -------
    DataFrame
        One row a cell: `origin, destination, period_start, period_end, measure, median` (persons),
        `rank` (posterior mean, 1 is the largest), `probability` of a rank of at most `top`, and its
        Monte Carlo standard error `se`. Sorted by period, group, and falling median.

    Raises
    ------
    UsageError
        If `top` is below 1, `within` is unknown, groups are asked for of what has but one end, or
        there is nothing to compare.

    Notes
    -----
    Cells are compared draw by draw, so that what they have in common (an origin's undercount, say)
    does not blur who is first. The standard error is that of a share p of n independent draws, with
    n the effective sample size and p = (k + 1/2) / (n + 1), so that it is not zero where all draws
    agree.

    Examples
    --------
    >>> import xarray as xr
    >>> day = np.array(["2024-01-01", "2025-01-01"], dtype="datetime64[D]")
    >>> flows = xr.DataArray(
    ...     np.log([[[[30.0], [20.0]], [[10.0], [20.0]], [[30.0], [20.0]], [[30.0], [20.0]]]]),
    ...     dims=("chain", "draw", "corridor", "period"),
    ...     coords={"origin": ("corridor", ["PL", "PL"]), "destination": ("corridor", ["DE", "SE"]),
    ...             "period_start": ("period", day[:1]), "period_end": ("period", day[1:])},
    ... )
    >>> mine = FlowEstimates(flows, "flow", flows[0, 0], 12.0, "alpha2", "mine",
    ...                      _log_factor=xr.DataArray(0.0))
    >>> rank_cells(mine, within="origin")[["destination", "rank", "probability"]].values.tolist()
    [['DE', 1.25, 0.75], ['SE', 1.75, 0.25]]
    """
    if isinstance(estimates, Posterior):
        estimates = flow_estimates(estimates)
    if top < 1:
        raise UsageError(f"(top) | found {top}; allowed: 1 or more")
    groups = _groups(estimates, within)
    if cells is not None:
        groups = [kept for group in groups if len(kept := group[cells[group]])]
    if not groups:
        raise UsageError("(cells) | found none to compare; allowed: at least one")
    periods = np.argsort(estimates.period_bounds[:, 0], kind="stable")
    wanted = periods[-1:] if last else periods
    parts = [_rank_period(estimates, int(period), groups, top) for period in wanted]
    frame = pd.concat(parts, ignore_index=True)
    frame.attrs = {"model": estimates.name, "unit": estimates.unit, "top": top, "within": within}
    return frame


def top_corridors(
    estimates: FlowEstimates | Posterior, n: int = 20, *, last: bool = False
) -> pd.DataFrame:
    """Return the `n` largest cells of each period, and how sure it is that they are among them.

    Parameters
    ----------
    estimates
        As for `rank_cells`.
    n
        How many.
    last
        As for `rank_cells`.

    Returns
    -------
    DataFrame
        The rows of ``rank_cells(estimates, top=n)`` with the largest medians.

    Raises
    ------
    UsageError
        If `n` is below 1.
    """
    ranked = rank_cells(estimates, top=n, last=last)
    first = ranked.groupby(["period_start", "period_end"], sort=False, dropna=False).head(n)
    first = first.reset_index(drop=True)
    first.attrs = ranked.attrs
    return first


def _groups(estimates: FlowEstimates, within: Within | None) -> list[NDArray[np.intp]]:
    """Return the positions of cells that are compared, group by group in the order of codes."""
    if within is None:
        return [np.arange(estimates.sizes[estimates.cell_dim])]
    require_word("within", within, ("origin", "destination"))
    if estimates.measure != "flow":
        raise UsageError(
            f"(within) | found {within} for {estimates.measure}; allowed: flows, with two ends"
        )
    codes = estimates.origins if within == "origin" else estimates.destinations
    return [np.flatnonzero(codes == code) for code in sorted(set(codes))]


def _rank_period(
    estimates: FlowEstimates,
    period: int,
    groups: list[NDArray[np.intp]],
    top: int,
) -> pd.DataFrame:
    own = slice(period, period + 1)
    draws = estimates.select(period=own).isel(period=0)
    sample = draws.transpose("chain", "draw", estimates.cell_dim).values
    start, end = (None if np.isnat(d) else str(d) for d in estimates.period_bounds[period])
    parts = []
    for cells in groups:
        values = sample[..., cells]
        ranks = (-values).argsort(axis=-1, kind="stable").argsort(axis=-1, kind="stable") + 1
        among = ranks <= top
        median = np.median(values, axis=(0, 1))
        columns = {
            "origin": estimates.origins[cells],
            "destination": estimates.destinations[cells],
            "period_start": start,
            "period_end": end,
            "measure": estimates.label,
            "median": median,
            "rank": ranks.mean(axis=(0, 1)),
            "probability": among.mean(axis=(0, 1)),
            "se": _standard_errors(among),
        }
        order = np.argsort(-median, kind="stable")
        parts.append(pd.DataFrame(columns).iloc[order])
    return pd.concat(parts, ignore_index=True)


def _standard_errors(among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return Monte Carlo standard errors of shares, from flags (chain, draw, cell)."""
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]  # half a second

    n_draw = among.shape[0] * among.shape[1]
    share = among.mean(axis=(0, 1))
    size = np.full(share.shape, float(n_draw))
    for k in np.flatnonzero((share > 0.0) & (share < 1.0)):
        found = array_stats.ess(among[..., k].astype(float), method="mean")  # type: ignore[no-untyped-call]
        size[k] = np.clip(np.nan_to_num(found, nan=1.0), 1.0, n_draw)
    middle = (share * size + HALF) / (size + 2.0 * HALF)
    return np.asarray(np.sqrt(middle * (1.0 - middle) / size))
