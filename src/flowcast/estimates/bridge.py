"""Flows from uncertain stocks as reports that a model can be fitted to, without laying them out."""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from flowcast.accounting.bridge import LogSummary, StockSource, log_reports, summarise_logs
from flowcast.errors import UsageError
from flowcast.estimates.flows import FlowEstimates
from flowcast.observations import Observations
from flowcast.vocabulary import Criterion

__all__ = ["bridge_estimates"]

NUMBERS: Final = 12_000_000
"""Draws that are summarised at a time (96 MB)."""


def bridge_estimates(
    estimates: FlowEstimates,
    sources: Sequence[StockSource],
    label: str,
    *,
    criterion: Criterion = "residence",
    least: float = 1.0,
    declared_places: Collection[str] | None = None,
) -> Observations:
    """Return flows from uncertain stocks as observations for a model, a block at a time.

    The same rows as `flowcast.accounting.bridge_flows` makes of the draws laid out.

    Parameters
    ----------
    estimates
        From `stock_flow_estimates`, with dates.
    sources, label, criterion, least, declared_places
        As for `bridge_flows`; codes that are no ISO codes are declared by themselves. Tables in the
        borders of today have places that did not exist at the time: declare theirs.

    Raises
    ------
    HeldOutError, UsageError
        As `bridge_flows`; UsageError too where periods have no dates.

    Examples
    --------
    >>> import xarray as xr
    >>> from flowcast.accounting import StockSource, account_series
    >>> from flowcast.stock_flows import stock_flow_estimates
    >>> places = {"birthplace": ["AT", "BE"], "residence": ["AT", "BE"]}
    >>> first = xr.DataArray([[9000.0, 1000], [500, 5000]], coords=places)
    >>> then = xr.DataArray([[8900.0, 1100], [540, 4960]], coords=places)
    >>> series = account_series([first, then], dates=["2015-07-01", "2020-07-01"])
    >>> flows = stock_flow_estimates(series, "closed", draws=50)
    >>> rows = bridge_estimates(flows, [StockSource("census", "ab12")], "closed").table
    >>> rows["origin"].tolist(), rows["period_start"].dt.year.tolist()
    (['AT', 'BE'], [2015, 2015])
    """
    if np.isnat(estimates.period_bounds).any():
        raise UsageError(
            "(estimates) | found periods without dates; allowed: account_series(dates=)"
        )
    parts = [summarise_logs(estimates.block(cells)) for cells in estimates.blocks(NUMBERS)]
    told = LogSummary(
        *(
            np.concatenate([getattr(one, name) for one in parts])
            for name in ("median", "centre", "sd")
        )
    )
    if estimates.codes == "declared" and declared_places is None:
        declared_places = {str(code) for code in estimates.origins}
    return log_reports(
        estimates.origins.astype(str),
        estimates.destinations.astype(str),
        estimates.period_bounds,
        told,
        sources,
        label,
        criterion,
        least,
        declared_places,
    )
