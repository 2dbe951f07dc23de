"""A mixture of several posteriors' flows: so many draws of each as its weight says."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
import xarray as xr
from numpy.typing import NDArray

from flowcast.definitions import name_definition
from flowcast.errors import Faults, UsageError
from flowcast.estimates.conversion import SAMPLE_DIMS
from flowcast.estimates.flows import FlowEstimates, flow_estimates
from flowcast.estimates.operators import join_evidence
from flowcast.latent_store import IN_MEMORY_BYTES
from flowcast.posterior import Posterior

__all__ = ["stack_estimates"]

BLOCK: Final = 4_000_000
"""Numbers that are read at a time."""
NEARLY: Final = 1e-6
"""Weights may miss one by so much."""


def stack_estimates(
    members: Mapping[str, Posterior | FlowEstimates],
    weights: Mapping[str, float],
    *,
    draws: int | None = None,
    seed: int = 1,
) -> FlowEstimates:
    """Mix the draws of several models by weights, such as those of `compare_models`.

    A draw of the mixture is a draw of one of the models, each as often as its weight says. What
    models disagree about is in its intervals. It is not a posterior of anything: weights say which
    mixture predicts withheld reports best, not which model is true (Yao et al. 2018, doi
    10.1214/17-BA1091).

    Parameters
    ----------
    members
        By name, posteriors or flows on corridors, all with the same corridors and periods and under
        the same definition.
    weights
        By name, adding up to one; a member without a weight has none.
    draws
        How many; by default as many as the member with fewest draws has.
    seed
        Of the choice among each member's draws.

    Returns
    -------
    FlowEstimates
        On corridors, persons per period, with one chain; tables are made of it as of any other. Its
        evidence is what any of the members rests on.

    Raises
    ------
    InputError
        With every weight that is impossible, and every member that differs from the first in
        corridors, periods, definition, codes or quantity, or has sums or benchmarked flows.
    UsageError
        If there are not so many draws, or they would not fit in memory.

    Examples
    --------
    >>> from flowcast.estimates import stack_estimates, summarise
    >>> mixed = stack_estimates({"a": first, "b": second}, {"a": 0.7, "b": 0.3})  # doctest: +SKIP
    >>> table = summarise(mixed, measure="immigration")  # doctest: +SKIP
    """
    flows = {
        name: flow_estimates(one) if isinstance(one, Posterior) else one
        for name, one in members.items()
    }
    _check(flows, weights)
    flows = {name: one for name, one in flows.items() if weights.get(name, 0.0) > 0.0}
    first = next(iter(flows.values()))
    n = min(one.n_draws for one in flows.values()) if draws is None else draws
    sizes = _divide(n, np.array([weights[name] for name in flows]))
    _check_sizes(flows, sizes, n)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 47]))
    chosen = [
        np.sort(rng.permutation(one.n_draws)[:size])
        for one, size in zip(flows.values(), sizes, strict=True)
    ]
    order = rng.permutation(n)
    dims = (*SAMPLE_DIMS, "corridor", "period")
    kept = {k: c for k, c in first.select(draw=slice(0, 0)).coords.items()
            if not set(c.dims) & set(SAMPLE_DIMS)}  # fmt: skip
    values = _mix(list(flows.values()), chosen, order)
    share = ", ".join(f"{weights[name]:.0%} {name}" for name in flows)
    methods = {(one.method, one.exact) for one in flows.values()}
    method, exact = methods.pop() if len(methods) == 1 else (None, None)
    mixed = FlowEstimates(
        xr.DataArray(values[None], dims=dims, coords={**kept, "chain": [0], "draw": np.arange(n)}),
        measure="flow",
        evidence=_join(list(flows.values())),
        definition=first.definition,
        codes=first.codes,
        name="mixture",
        notes=(f"a mixture of models, by weights: {share}",),
        method=method,
        exact=exact,
        quantity=first.quantity,
        _log_factor=xr.DataArray(0.0),
        _increments=_mix_increments(list(flows.values()), chosen, order),
    )
    return mixed.under(first.definition)


def _check(flows: Mapping[str, FlowEstimates], weights: Mapping[str, float]) -> None:
    faults = Faults("weights")
    for name, weight in weights.items():
        if name not in flows:
            faults.add("no such member", ", ".join(flows), column=name)
        if not 0.0 <= weight <= 1.0:
            faults.add(f"{weight:g}", "between 0 and 1", column=name)
    total = sum(weights.values())
    if abs(total - 1.0) > NEARLY:
        faults.add(f"a sum of {total:g}", "1")
    faults.extend(_differences(flows))
    faults.raise_if_any()


def _differences(flows: Mapping[str, FlowEstimates]) -> Faults:
    """Return a fault for whatever keeps a member from being mixed with the first."""
    faults = Faults("members")
    first, *_ = flows.values()
    for name, one in flows.items():
        if one.measure != "flow" or one._log_factor is None:
            faults.add(f"sums ({one.label})", "flows on corridors", column=name)
            continue
        if one.benchmarked:
            faults.add("benchmarked flows", "free ones, benchmarked when mixed", column=name)
        for what, own, other in (
            ("quantity", one.quantity, first.quantity),
            ("codes", one.codes, first.codes),
            ("definition", *(name_definition(x.definition) for x in (one, first))),
        ):
            if own != other:
                faults.add(f"{what} {own}", f"{other}, as the first", column=name)
        if first.measure != "flow":
            continue
        for what, cells in (("corridors", _corridors), ("periods", _periods)):
            if not np.array_equal(cells(one), cells(first)):
                found = f"{len(cells(one))} {what}, not those of the first"
                faults.add(found, f"the {len(cells(first))} {what} of the first", column=name)
    return faults


def _corridors(flows: FlowEstimates) -> NDArray[Any]:
    return np.stack([flows.origins, flows.destinations], axis=1)


def _periods(flows: FlowEstimates) -> NDArray[Any]:
    return flows.period_bounds


def _divide(n: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return so many draws of each member: whole numbers nearest to their shares, adding up."""
    share = n * weights / weights.sum()
    out = np.floor(share).astype(np.int64)
    rest = np.argsort(out - share, kind="stable")[: n - int(out.sum())]
    out[rest] += 1
    return out


def _check_sizes(flows: Mapping[str, FlowEstimates], sizes: NDArray[np.int64], n: int) -> None:
    short = [
        f"{name} has {one.n_draws} of {size}"
        for (name, one), size in zip(flows.items(), sizes, strict=True)
        if size > one.n_draws
    ]
    if n < 1 or short:
        told = "; ".join(short) or str(n)
        raise UsageError(f"(draws) | found too few draws ({told}); allowed: no more than there are")
    first = next(iter(flows.values()))
    cells = first.sizes["corridor"] * first.sizes["period"]
    if 4 * n * cells > IN_MEMORY_BYTES:
        raise UsageError(
            f"(draws) | found {n:,} draws of {cells:,} cells; allowed: "
            f"{IN_MEMORY_BYTES // (4 * cells):,}, which fit in memory"
        )


def _mix(
    flows: list[FlowEstimates], chosen: list[NDArray[np.int64]], order: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the chosen log flows in mixed order, (draw, corridor, period)."""
    sizes = flows[0].sizes
    out = np.empty((len(order), sizes["corridor"], sizes["period"]), dtype=np.float32)
    place, start = np.argsort(order), 0
    for one, rows in zip(flows, chosen, strict=True):
        into = place[start : start + len(rows)]
        for cells in one.blocks(BLOCK):
            part = one._stored.isel(corridor=cells).transpose(*SAMPLE_DIMS, "corridor", "period")
            block = part.to_numpy().reshape(one.n_draws, *part.shape[2:])[rows]
            out[into[:, None], np.arange(cells.start, cells.stop)] = block
        start += len(rows)
    return out


def _mix_increments(
    flows: list[FlowEstimates], chosen: list[NDArray[np.int64]], order: NDArray[np.int64]
) -> xr.DataArray | None:
    """Return the increments between definitions of the mixed draws; None if a member lacks them."""
    parts = []
    for one, rows in zip(flows, chosen, strict=True):
        if one._increments is None:
            return None
        steps = one._increments.transpose(*SAMPLE_DIMS, "step")
        parts.append(steps.to_numpy().reshape(-1, steps.sizes["step"])[rows])
    mixed = np.concatenate(parts)[order]
    labels = {"step": steps["step"].to_numpy()}
    return xr.DataArray(mixed[None], dims=(*SAMPLE_DIMS, "step"), coords=labels)


def _join(flows: list[FlowEstimates]) -> xr.DataArray:
    """Return what each cell rests on in any of the members."""
    first = flows[0].evidence
    words = np.concatenate([one.evidence.to_numpy() for one in flows])
    together = sp.csr_array(sp.hstack([sp.eye_array(first.sizes["corridor"])] * len(flows)))
    return first.copy(data=join_evidence(words, [together] * first.sizes["period"]))
