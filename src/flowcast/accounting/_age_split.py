"""Flows split by age and sex: parts that add up to the flows, draw by draw."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

import numpy as np
import xarray as xr

from flowcast.accounting._named import align, as_dims, cell_name, check_values, refuse_dims
from flowcast.accounting.raking import Margins, rake
from flowcast.errors import Faults, UsageError

__all__ = ["pair_draws", "reconcile_parts", "split_blocks", "split_by_age", "split_by_sex"]

SAMPLE_DIMS: Final = ("chain", "draw")
LAST_DIMS: Final = ("age", "sex")
TOLERANCE: Final = 1e-9
BLOCK_BYTES: Final = 2**28
"""256 MiB."""
NUMBER_BYTES: Final = 8


def split_by_age(flows: xr.DataArray, shares: xr.DataArray) -> xr.DataArray:
    """Return flows by age: each flow times the shares of its migrants in the age groups.

    Draws of shares are paired with draws of flows (`pair_draws`), so that the parts carry the
    uncertainty of both. The size is that of the flows times the number of groups: 200 places and
    100 ages are 32 MB a draw; `split_blocks` makes them a block of draws at a time.

    Parameters
    ----------
    flows
        Persons, any dims (draw, origin, destination, corridor, sex, ...); NaN stays NaN.
    shares
        By ``age``, adding up to 1, as from `age_shares`; other dims are dims of `flows` (``origin``
        where origins differ in age, ``sex`` where sexes do), aligned by label, or draws.

    Returns
    -------
    xarray.DataArray
        Persons; the dims of `flows`, and ``age`` before ``sex``. Over ages it adds up to `flows`,
        to rounding: 1e-9 persons in flows of a million.

    Raises
    ------
    InputError
        If dims or labels do not fit, flows or shares are negative, or shares do not add up to 1.

    Examples
    --------
    >>> flows = xr.DataArray([100.0, 10.0], {"origin": ["A", "B"]})
    >>> shares = xr.DataArray([0.25, 0.5, 0.25], {"age": ["0-19", "20-39", "40+"]})
    >>> split_by_age(flows, shares).values.tolist()
    [[25.0, 50.0, 25.0], [2.5, 5.0, 2.5]]
    """
    return _split(flows, shares, "age")


def split_by_sex(flows: xr.DataArray, shares: xr.DataArray) -> xr.DataArray:
    """Return flows by sex, as `split_by_age` does by age.

    Parameters
    ----------
    flows
        Persons, any dims.
    shares
        By ``sex``, adding up to 1; other dims as for `split_by_age`, ``age`` among them.

    Returns
    -------
    xarray.DataArray
        Persons; the dims of `flows`, and ``sex`` last.

    Raises
    ------
    InputError
        As `split_by_age`.

    Examples
    --------
    >>> flows = xr.DataArray([100.0, 10.0], {"origin": ["A", "B"]})
    >>> shares = xr.DataArray([0.4, 0.6], {"sex": ["female", "male"]})
    >>> split_by_sex(flows, shares).values.tolist()
    [[40.0, 60.0], [4.0, 6.0]]
    """
    return _split(flows, shares, "sex")


def _split(flows: xr.DataArray, shares: xr.DataArray, dim: str) -> xr.DataArray:
    persons, parts = _checked(flows, shares, dim)
    return _ordered(persons * _paired(parts, persons)).rename(flows.name)


def _checked(
    flows: xr.DataArray, shares: xr.DataArray, dim: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return flows and shares as floats, shares aligned and adding up to 1 to the last digit."""
    faults = Faults("split")
    if dim in flows.dims:
        faults.add(f"flows by {dim}", f"flows that are not yet split by {dim}", where="flows")
    others = [str(d) for d in flows.dims]
    refuse_dims(faults, "shares", shares, [dim], [*others, *SAMPLE_DIMS])
    faults.raise_if_any()
    held = shares.astype(np.float64).reset_coords(drop=True)
    same = [d for d in held.dims if d not in SAMPLE_DIMS]
    own = Faults("split")
    one = held.isel({d: 0 for d in held.dims if d in SAMPLE_DIMS}, drop=True)
    fitted = align(own, "shares", one, flows)
    if not own:
        order = {d: fitted.indexes[d] for d in same if d != dim and d in fitted.indexes}
        held = held.reindex(order)
        check_values(own, "shares", held, maximum=1.0 + TOLERANCE, what="shares, 0 to 1")
    faults.extend(own)
    _refuse_negative(faults, flows)
    faults.raise_if_any()
    total = held.sum(dim)
    for at in np.argwhere(np.abs(total.to_numpy() - 1.0) > TOLERANCE)[:5]:
        where = f" at {cell_name(total, at)}" if total.ndim else ""
        found = f"{float(total.to_numpy()[tuple(at)]):.10g} in all{where}"
        faults.add(found, f"shares by {dim} that add up to 1", where="shares")
    faults.raise_if_any()
    return flows.astype(np.float64), held / total


def _refuse_negative(faults: Faults, flows: xr.DataArray) -> None:
    values = np.asarray(flows.to_numpy(), dtype=np.float64)
    wrong = np.argwhere((values < 0.0) | np.isinf(values))
    if len(wrong):
        at = wrong[0]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        found = f"{values[tuple(at)]:g} at {cell_name(flows, at)}{more}"
        faults.add(found, "persons, 0 or more", where="flows")


def pair_draws(shares: xr.DataArray, flows: xr.DataArray) -> xr.DataArray:
    """Return draws of shares, one for each draw of flows.

    Flows and shares come from different data, so that any pairing is a joint draw of both. Of as
    many draws each is taken once; of more, draws evenly apart; of fewer, all of them over and over.

    Parameters
    ----------
    shares
        With dims chain, draw or both.
    flows
        Likewise.

    Returns
    -------
    xarray.DataArray
        `shares` with the chains and draws of `flows`.

    Raises
    ------
    UsageError
        If one of the two has no draws.

    Examples
    --------
    >>> shares = xr.DataArray([[0.1], [0.2], [0.3], [0.4]], dims=("draw", "age"))
    >>> pair_draws(shares, xr.DataArray([5.0, 6.0], dims="draw")).values.tolist()
    [[0.2], [0.4]]
    """
    given = [str(d) for d in shares.dims if d in SAMPLE_DIMS]
    wanted = [str(d) for d in flows.dims if d in SAMPLE_DIMS]
    if not given or not wanted:
        raise UsageError("(draws) | found none; allowed: a dim chain or draw in both")
    n_given = int(np.prod([shares.sizes[d] for d in given]))
    sizes = [flows.sizes[d] for d in wanted]
    n_wanted = int(np.prod(sizes))
    position = np.arange(n_wanted)
    if n_given >= n_wanted:
        position = ((position + 0.5) * n_given / n_wanted).astype(int)
    others = [d for d in shares.dims if d not in SAMPLE_DIMS]
    plain = shares.drop_vars([n for n, c in shares.coords.items() if set(c.dims) & {*given}])
    values = plain.transpose(*given, *others).to_numpy()
    flat = values.reshape(n_given, *values.shape[len(given) :])[position % n_given]
    coords: dict[Hashable, object] = {d: plain.coords[d] for d in others if d in plain.coords}
    coords |= {d: flows.coords[d] for d in wanted if d in flows.coords}
    return xr.DataArray(flat.reshape(*sizes, *flat.shape[1:]), coords, [*wanted, *others])


def _paired(shares: xr.DataArray, flows: xr.DataArray) -> xr.DataArray:
    if {*shares.dims} & {*SAMPLE_DIMS} and {*flows.dims} & {*SAMPLE_DIMS}:
        return pair_draws(shares, flows)
    return shares


def _ordered(parts: xr.DataArray) -> xr.DataArray:
    """Return parts with draws first, and age and sex last."""
    first = [d for d in SAMPLE_DIMS if d in parts.dims]
    last = [d for d in LAST_DIMS if d in parts.dims]
    return parts.transpose(*first, ..., *last)


def split_blocks(
    flows: xr.DataArray,
    age_shares: xr.DataArray | None = None,
    sex_shares: xr.DataArray | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[xr.DataArray]:
    """Split flows by sex and age, some draws at a time.

    Parameters
    ----------
    flows
        Persons with a dim ``draw``, and any others.
    age_shares, sex_shares
        As for `split_by_age` and `split_by_sex`; flows are split by sex first, so that ages may
        differ by sex. At least one.
    block_bytes
        Memory that a block may take; it holds one draw (of every chain) at least: 64 MB for 200
        places, 100 ages and 2 sexes.

    Yields
    ------
    xarray.DataArray
        The parts of some draws, in order.

    Raises
    ------
    UsageError
        If flows have no draws, or there is nothing to split by.
    InputError
        As `split_by_age`.

    Examples
    --------
    >>> flows = xr.DataArray([[100.0], [80.0]], {"draw": [0, 1], "origin": ["A"]})
    >>> shares = xr.DataArray([0.25, 0.75], {"age": ["0-19", "20+"]})
    >>> [part.sum("draw").values.tolist() for part in split_blocks(flows, shares, block_bytes=16)]
    [[[25.0, 75.0]], [[20.0, 60.0]]]
    """
    if "draw" not in flows.dims or (age_shares is None and sex_shares is None):
        raise UsageError(
            "(split) | found no draws, or nothing to split by; allowed: flows with a dim draw, and "
            "shares by age, sex or both"
        )
    given = {"sex": sex_shares, "age": age_shares}
    paired: dict[str, xr.DataArray] = {}
    like = flows
    for dim, shares in given.items():
        if shares is not None:
            paired[dim] = _paired(_checked(like, shares, dim)[1], flows)
            # Ages may differ by sex: an empty table stands for the flows by sex.
            like = like.isel(draw=slice(0, 1)).expand_dims({dim: paired[dim][dim]})
    parts = int(np.prod([shares.sizes[dim] for dim, shares in paired.items()]))
    one = NUMBER_BYTES * parts * flows.size // max(flows.sizes["draw"], 1)
    step = max(1, block_bytes // max(one, 1))
    for start in range(0, flows.sizes["draw"], step):
        some = {"draw": slice(start, start + step)}
        block = flows.isel(some).astype(np.float64)
        for shares in paired.values():
            block = block * (shares.isel(some) if "draw" in shares.dims else shares)
        yield _ordered(block).rename(flows.name)


def reconcile_parts(
    parts: xr.DataArray, flows: xr.DataArray, margins: Margins | None = None
) -> xr.DataArray:
    """Return parts of flows, estimated apart, that add up to the flows.

    Flows by sex, or by age and sex, come from models and sources of their own, and their sum is not
    the flow of both. Each table of parts is multiplied by one factor; with margins, by factors for
    each age and each sex (raking, Deming & Stephan 1940, doi 10.1214/aoms/1177731829), so that
    parts add up by both and keep their odds ratios.

    Parameters
    ----------
    parts
        Persons, with the dims of `flows` and ``age``, ``sex`` or both; only their ratios matter.
    flows
        Persons, the sums that are kept.
    margins
        Flows by ``"age"`` and by ``"sex"``, with the dims of `flows`; scaled to add up to `flows`
        first, as they too come from elsewhere.

    Returns
    -------
    xarray.DataArray
        Persons; dims of `parts`. Sums are kept to 1e-9 of the flow.

    Raises
    ------
    InputError
        If dims or labels do not fit, numbers are negative or not finite, or parts (or a margin) are
        all 0 where there is a flow.
    ConvergenceError
        If raking does not converge.

    Examples
    --------
    >>> both = xr.DataArray([100.0], {"origin": ["A"]})
    >>> apart = xr.DataArray([[30.0, 60.0]], {"origin": ["A"], "sex": ["female", "male"]})
    >>> reconcile_parts(apart, both).round(3).values.tolist()
    [[33.333, 66.667]]
    """
    faults = Faults("parts")
    each = [str(d) for d in flows.dims]
    split = [str(d) for d in parts.dims if d not in each]
    if not split or not {*split} <= {*LAST_DIMS}:
        faults.add(f"parts by {', '.join(split) or 'nothing'}", "parts by age, sex or both")
    check_values(faults, "flows", flows)
    faults.raise_if_any()
    whole = flows.astype(np.float64).reset_coords(drop=True)
    scaled = _scaled(faults, "parts", parts, whole, split)
    held: dict[str | tuple[str, ...], xr.DataArray] = {
        as_dims(key): _scaled(faults, f"margin {', '.join(as_dims(key))}", m, whole, as_dims(key))
        for key, m in (margins or {}).items()
    }
    faults.raise_if_any()
    if not held:
        return _ordered(scaled).rename(parts.name)
    return _ordered(rake(scaled, held, each=each).table).rename(parts.name)


def _scaled(
    faults: Faults,
    name: str,
    parts: xr.DataArray,
    flows: xr.DataArray,
    split: Sequence[str],
) -> xr.DataArray:
    """Return parts times the factor that makes them add up to the flows."""
    own = Faults(faults.where)
    refuse_dims(own, name, parts, [*split, *(str(d) for d in flows.dims)])
    held = parts.astype(np.float64).reset_coords(drop=True)
    if not own:
        held = align(own, name, held, flows)
        check_values(own, name, held)
    faults.extend(own)
    if own:
        return held
    total = held.sum(list(split)).transpose(*flows.dims)
    for at in np.argwhere((total.to_numpy() == 0.0) & (flows.to_numpy() > 0.0))[:5]:
        where = f" at {cell_name(flows, at)}" if flows.ndim else ""
        faults.add(f"nobody{where}, where there is a flow", "parts above 0", where=name)
    return held * (flows / total.where(total > 0.0, 1.0))
