"""The estimators by name, as functions of stocks at the start and end, births and deaths."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["METHODS", "SYSTEMS", "estimator"]

METHODS: Final = (
    "drop-negative",
    "reverse-negative",
    "rates",
    "growth",
    "closed",
    "open",
    "open-dr",
    "independence",
    "pseudo-bayes",
)
SYSTEMS: Final = ("closed", "open", "open-dr")


def estimator(method: str, **options: Any) -> "Callable[..., xr.DataArray]":  # noqa: ANN401
    """Return the function that takes stocks at the start and end, births and deaths.

    Parameters
    ----------
    method
        One of `METHODS`; ``closed``, ``open`` and ``open-dr`` are minimisation in that system.
    **options
        `total` of rates; `system`, `matching`, `seed`, `by_birthplace` of the methods that make an
        account; `weight` of pseudo-Bayes. See these functions.

    Returns
    -------
    callable
        Arrays in, flows out, as `demographic_flows` has them.

    Raises
    ------
    UsageError
        If there is no such method.
    TypeError
        If it does not take an option.

    Examples
    --------
    >>> estimator("pseudo-bayes", weight=0.9).keywords
    {'weight': 0.9}
    """
    import flowcast.accounting as a
    from flowcast.errors import require_word

    require_word("method", method, METHODS)
    if method in ("drop-negative", "reverse-negative"):
        negative: Any = method.removesuffix("-negative")
        return partial(_without_events, a.difference_flows, negative=negative, **options)
    if method == "growth":
        return partial(_without_events, a.growth_flows, **options)
    if method == "rates":
        return partial(a.rate_flows, **options)
    if method == "pseudo-bayes":
        return partial(a.pseudo_bayes_flows, **options)
    if method == "independence":
        return partial(a.demographic_flows, **options, allocation="independence")
    return partial(a.demographic_flows, **{"system": method, **options})


def _without_events(
    flows: "Callable[..., xr.DataArray]",
    start: "xr.DataArray",
    end: "xr.DataArray",
    *events: "xr.DataArray | None",  # births and deaths, which it does not ask for
    **options: Any,  # noqa: ANN401
) -> "xr.DataArray":
    """Run an estimator that takes stocks alone; a function of a module, so that it can be sent."""
    return flows(start, end, **options)
