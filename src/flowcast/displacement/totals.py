"""Totals over kinds of displacement: bounds, since one person may stand in several sources.

Who flees within a country, then crosses a border and applies for asylum, stands in three of them,
and within one source movements count twice who moves twice. A sum of kinds is therefore no number
of persons. What can be said is that it is at least the largest kind and at most their sum.
"""

from collections.abc import Mapping

import xarray as xr

from flowcast.displacement.catalogue import KINDS
from flowcast.errors import UsageError

__all__ = ["BY_ORIGIN", "total_bounds"]

BY_ORIGIN = ("disaster", "conflict", "refugee", "asylum", "cross_border")
"""Kinds whose place is the one that people leave, or move within, in persons or moves a year."""


def total_bounds(draws: Mapping[str, xr.DataArray]) -> xr.Dataset:
    """Return bounds of a total over kinds, draw by draw.

    Parameters
    ----------
    draws
        Draws by kind, dims (chain, draw, unit, year), the coordinate `place`. Units of a place are
        added up: they are of one kind, and a sum of that kind's own figures.

    Returns
    -------
    xarray.Dataset
        ``at_least`` (the largest kind) and ``at_most`` (the sum), dims (chain, draw, place, year),
        for places and years that every kind has. A draw of one kind is put beside a draw of
        another as if they were independent: what they have in common is not modelled.

    Raises
    ------
    UsageError
        If a kind is not of `BY_ORIGIN`, `cross_border` stands beside its own parts, kinds have
        other draws, or no place and year in common.

    Examples
    --------
    >>> made = xr.DataArray(
    ...     [[[[5.0]]]], dims=("chain", "draw", "unit", "year"),
    ...     coords={"place": ("unit", ["SD"]), "year": [2030]})
    >>> bounds = total_bounds({"conflict": made, "asylum": 2 * made})
    >>> float(bounds["at_least"].squeeze()), float(bounds["at_most"].squeeze())
    (10.0, 15.0)
    """
    wrong = [kind for kind in draws if kind not in BY_ORIGIN]
    if wrong or not draws:
        found = ", ".join(wrong) or "no kind"
        raise UsageError(
            f"(kinds) | found {found}; allowed: {', '.join(BY_ORIGIN)} (of {', '.join(KINDS)}, "
            "others are counted by other places or times)"
        )
    if "cross_border" in draws and {"refugee", "asylum"} & set(draws):
        raise UsageError(
            "(kinds) | found cross_border beside refugee or asylum; allowed: one or the other, "
            "since it is their sum"
        )
    sums = [one.groupby("place").sum("unit") for one in draws.values()]
    sizes = {(one.sizes["chain"], one.sizes["draw"]) for one in sums}
    if len(sizes) > 1:
        raise UsageError(f"(draws) | found {len(sizes)} numbers of draws; allowed: one")
    aligned = xr.concat(
        xr.align(*sums, join="inner", exclude=("chain", "draw")), dim="kind", join="override"
    )
    if not aligned.size:
        raise UsageError("(draws) | found no place and year in common; allowed: some")
    order = ("chain", "draw", "place", "year")
    return xr.Dataset({"at_least": aligned.max("kind"), "at_most": aligned.sum("kind")}).transpose(
        *order
    )
