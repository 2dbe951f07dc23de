"""Multiplicative components of a table: how much, from where, to where, and what is left.

A flow is the product of an overall level, a component of its origin, one of its destination, and
one of the pair (with age or time: of every set of dims). Two codings: *total*, in which the
overall component is the total and those of origin and destination are shares (Raymer & Rogers
2007, doi 10.1353/dem.2007.0016); and *geometric*, in which they are ratios of geometric means, the
effects of a log-linear model that sum to 0. Conditional maximisation goes the other way: from known
sums and an offset to the components and the table.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, get_args

import numpy as np
import xarray as xr

from flowcast.accounting._named import as_dims, check_values, refuse_dims, same_labels
from flowcast.accounting._raking_problem import Margins
from flowcast.accounting.raking import TOLERANCE, rake
from flowcast.errors import Faults, require_word

__all__ = [
    "Coding",
    "Multiplicative",
    "conditional_maximisation",
    "multiplicative_components",
    "recompose",
]

Coding = Literal["total", "geometric"]
PAIR: Final = ("origin", "destination")
SUFFIX: Final = "_component"


def multiplicative_components(
    table: xr.DataArray,
    *,
    dims: Sequence[str] = PAIR,
    coding: Coding = "total",
    diagonal: bool = True,
) -> xr.Dataset:
    """Return the components whose product is the table.

    With T the total, shares ``p_S`` of T by the dims S, and C_R the components of subsets of S:
    ``C_S = p_S / prod C_R`` in total coding. So ``origin_component`` is the share of moves that
    leave a place, and ``origin_destination_component`` is the ratio of a flow to what it would be
    if destinations did not depend on origins. Geometric coding has geometric means over the other
    dims in place of the shares; its components have a geometric mean of 1 along each of their dims.

    Parameters
    ----------
    table
        Flows, 0 or more; in geometric coding more than 0. Dims that are not in `dims` make separate
        tables.
    dims
        Dims to take apart, such as ``("origin", "destination", "age")``.
    coding
        ``"total"`` or ``"geometric"``.
    diagonal
        False leaves cells with the same label on the first two dims out: they count as 0, and in
        geometric means they do not count.

    Returns
    -------
    xarray.Dataset
        ``overall``, in the unit of the table, and for each set of dims a ratio, such as
        ``origin_component`` and ``origin_destination_component``. Where a table and what it is
        divided by are both 0, the ratio is 1.

    Raises
    ------
    InputError
        If dims are missing, numbers are not finite or negative (in geometric coding: 0), or a
        total is 0.
    UsageError
        If there is no such coding.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> flows = xr.DataArray([[30.0, 20.0], [10.0, 40.0]], places)
    >>> parts = multiplicative_components(flows)
    >>> float(parts["overall"]), parts["origin_component"].values.tolist()
    (100.0, [0.5, 0.5])
    >>> parts["origin_destination_component"].round(3).values.tolist()
    [[1.5, 0.667], [0.5, 1.333]]
    """
    require_word("coding", coding, get_args(Coding))
    faults = Faults("components")
    dims = as_dims(dims)
    refuse_dims(faults, "table", table, dims, [str(d) for d in table.dims])
    faults.raise_if_any()
    counted = xr.ones_like(table, dtype=bool)
    if not diagonal:
        same_labels(faults, "table", table, dims[:2])
        faults.raise_if_any()
        counted = counted & _off_diagonal(table, dims)
    flows = table.astype(np.float64).where(counted, 0.0)
    strict = coding == "geometric"
    what = "persons, more than 0 in geometric coding" if strict else "persons, 0 or more"
    check_values(faults, "table", flows.where(counted, 1.0), above=strict, what=what)
    if (flows.sum(dims) == 0.0).any():
        faults.add("a table of zeros", "at least one flow", where="table")
    faults.raise_if_any()
    level = _shares(flows, dims) if coding == "total" else _geometric(flows, counted, dims)
    parts: dict[tuple[str, ...], xr.DataArray] = {(): level[()]}
    for subset in (s for k in range(1, len(dims) + 1) for s in combinations(dims, k)):
        inner = [part for key, part in parts.items() if set(key) < set(subset)]
        below = inner[0] if coding == "geometric" else xr.ones_like(inner[0])
        for part in inner[1:]:
            below = below * part
        ratio = (level[subset] / below.where(below > 0.0, 1.0)).where(below > 0.0, 1.0)
        parts[subset] = ratio.transpose(..., *subset)
    named = {"_".join(key) + SUFFIX if key else "overall": part for key, part in parts.items()}
    attrs = {"coding": coding, "dims": list(dims), "diagonal": int(diagonal)}
    return xr.Dataset({name: part.drop_attrs() for name, part in named.items()}, attrs=attrs)


def recompose(components: xr.Dataset) -> xr.DataArray:
    """Return the product of components: the table that they were taken from.

    Parameters
    ----------
    components
        As `multiplicative_components` returns them; any may have been replaced, by those of
        another table, say, or left out.

    Returns
    -------
    xarray.DataArray
        In the unit of ``overall``.

    Raises
    ------
    InputError
        If there is no component at all.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> flows = xr.DataArray([[30.0, 20.0], [10.0, 40.0]], places)
    >>> recompose(multiplicative_components(flows)).round(9).values.tolist()
    [[30.0, 20.0], [10.0, 40.0]]
    """
    names = [str(n) for n in components if n == "overall" or str(n).endswith(SUFFIX)]
    faults = Faults("components")
    if not names:
        told = ", ".join(map(str, components)) or "nothing"
        faults.add(told, f"overall, and names that end in {SUFFIX}")
    faults.raise_if_any()
    product = components[names[0]]
    for name in names[1:]:
        product = product * components[name]
    dims = components.attrs.get("dims", [])
    return product.transpose(..., *(d for d in dims if d in product.dims)).rename(None)


@dataclass(frozen=True, slots=True)
class Multiplicative:
    """A table as an offset times factors.

    Attributes
    ----------
    table
        Persons, with the dims of the offset.
    factors
        By margin (its dims, joined by a comma). Only products are determined: factors of the
        second margin on have a geometric mean of 1 along dims that the first one lacks.
    """

    table: xr.DataArray
    factors: Mapping[str, xr.DataArray]


def conditional_maximisation(
    offset: xr.DataArray,
    margins: Margins,
    *,
    each: str | Iterable[str] = (),
    tol: float = TOLERANCE,
) -> Multiplicative:
    """Return the maximum likelihood fit of ``offset * factors`` to flows known by their sums only.

    With margins of origin and destination that is ``y_ij = m_ij alpha_i beta_j`` (Willekens 1999,
    Mathematical Population Studies 7(3), 239-278), whatever further dims the offset has: with
    ``m_ijk`` it is ``y_ijk = m_ijk alpha_i beta_j``. For a Poisson or multinomial likelihood the
    sums are sufficient, and the fit is the raked offset: each step of raking maximises over one
    set of factors, given the others.

    Parameters
    ----------
    offset
        Auxiliary flows that give the interaction, 0 or more, in any unit; ones for independence.
    margins, each, tol
        As in `rake`.

    Returns
    -------
    Multiplicative

    Raises
    ------
    InputError, ConvergenceError
        As `rake`.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> offset = xr.DataArray([[5.0, 2.0], [1.0, 7.0]], places)
    >>> left = xr.DataArray([18.0, 20.0], {"origin": ["A", "B"]})
    >>> came = xr.DataArray([16.0, 22.0], {"destination": ["A", "B"]})
    >>> fit = conditional_maximisation(offset, {"origin": left, "destination": came})
    >>> fit.factors["origin"].round(3).values.tolist()
    [2.509, 2.603]
    """
    raked = rake(offset, margins, each=each, tol=tol)
    factors = dict(raked.factors)
    first, *others = factors
    own = {d for d in factors[first].dims} | set(as_dims(each))
    for name in others:
        along = [dim for dim in factors[name].dims if dim not in own]
        if along:
            mean = _geometric_mean(factors[name], factors[name] > 0.0, along)
            factors[name] = factors[name] / mean
            factors[first] = factors[first] * mean
    return Multiplicative(raked.table, factors)


def _off_diagonal(table: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    n = table.sizes[dims[0]]
    off = xr.DataArray(~np.eye(n, dtype=bool), dims=tuple(dims[:2]))
    return off.assign_coords({d: table.indexes[d] for d in dims[:2] if d in table.indexes})


def _shares(flows: xr.DataArray, dims: Sequence[str]) -> dict[tuple[str, ...], xr.DataArray]:
    """Return the total, and shares of it by every set of dims."""
    total = flows.sum(dims)
    shares: dict[tuple[str, ...], xr.DataArray] = {(): total}
    for k in range(1, len(dims) + 1):
        for subset in combinations(dims, k):
            shares[subset] = flows.sum([d for d in dims if d not in subset]) / total
    return shares


def _geometric(
    flows: xr.DataArray, counted: xr.DataArray, dims: Sequence[str]
) -> dict[tuple[str, ...], xr.DataArray]:
    """Return geometric means by every set of dims, over the cells that count."""
    means = {}
    for k in range(len(dims) + 1):
        for subset in combinations(dims, k):
            means[subset] = _geometric_mean(flows, counted, [d for d in dims if d not in subset])
    return means


def _geometric_mean(
    values: xr.DataArray, counted: xr.DataArray, along: Sequence[Hashable]
) -> xr.DataArray:
    """Return the geometric mean over cells that count; 0 where none does."""
    filled = values.where(counted, 1.0)
    logs = filled.copy(data=np.log(filled.to_numpy()))
    n = counted.sum(along)
    mean = logs.sum(along) / n.where(n > 0, 1)
    return mean.copy(data=np.exp(mean.to_numpy())).where(n > 0, 0.0)
