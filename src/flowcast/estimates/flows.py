"""Flows under a definition: the draws, in persons per period, made when they are asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._sheet import TableCodes
from flowcast.definitions import describe_definition, name_definition, parse_definition
from flowcast.errors import UsageError
from flowcast.estimates.conversion import (
    SAMPLE_DIMS,
    convert,
    describe_conversion,
    latent_increments,
)
from flowcast.places import code_kind
from flowcast.posterior import Posterior, describe_inference
from flowcast.vocabulary import (
    NO_EVIDENCE,
    PERSONS,
    RESIDENTS,
    UN_DURATION_MONTHS,
    EstimateMeasure,
    Quantity,
)

__all__ = ["FlowEstimates", "flow_estimates"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FlowEstimates:
    """Draws of flows, or of sums of flows, in persons per period.

    Made by `flow_estimates` and `aggregate`.

    Attributes
    ----------
    measure
        ``flow`` on dim `corridor` (coordinates `origin` and `destination`); ``immigration``,
        ``emigration`` and ``net`` on dim `place`.
    evidence
        What each cell rests on, dims (corridor or place, period).
    definition
        Minimum stay in months that makes a move count.
    codes
        ``"alpha2"``, ``"alpha3"`` or ``"declared"``.
    name
        The model.
    notes
        What a reader of the figures has to know.
    method
        How the hyper-parameters were inferred, such as ``"nuts"``; None where that is unknown.
    exact
        Whether the draws are of the posterior itself, up to Monte Carlo error.
    quantity
        ``flow``, or ``stock``: then the cells of corridors are people who live in the destination,
        and there is nothing to add up but groups of places.
    benchmarked
        Whether the draws were adjusted to margins, by `benchmark_estimates`.
    """

    _stored: xr.DataArray
    measure: EstimateMeasure
    evidence: xr.DataArray
    definition: float
    codes: TableCodes
    name: str
    notes: tuple[str, ...] = ()
    _log_factor: xr.DataArray | None = None
    _increments: xr.DataArray | None = None
    method: str | None = None
    exact: bool | None = None
    quantity: Quantity = "flow"
    benchmarked: bool = False
    _margin_factors: xr.Dataset | None = None

    @property
    def label(self) -> EstimateMeasure:
        """What the measure is called in tables."""
        return "stock" if self.quantity == "stock" else self.measure

    @property
    def unit(self) -> str:
        """Persons per period, or persons where they are stocks."""
        return RESIDENTS if self.quantity == "stock" else PERSONS

    @property
    def cell_dim(self) -> str:
        """`corridor` for flows, `place` otherwise."""
        return "corridor" if self.measure == "flow" else "place"

    @property
    def attrs(self) -> dict[str, str | float]:
        """What `draws` carry: `units` and `definition_months`, the minimum stay."""
        return {"units": self.unit, "definition_months": self.definition}

    @property
    def draws(self) -> xr.DataArray:
        """All draws, float64, dims (chain, draw, corridor or place, period)."""
        return self.select()

    def select(self, **indexers: int | slice) -> xr.DataArray:
        """Return some of the draws, without making the others.

        Parameters
        ----------
        **indexers
            Dims and positions, as for `xarray.DataArray.isel`.

        Returns
        -------
        xarray.DataArray
            Persons per period, float64.
        """
        part = self._stored.isel(indexers).astype("float64")
        if self._log_factor is not None:
            factor = self._log_factor.isel(indexers, missing_dims="ignore")
            part = xr.ufuncs.exp(part + factor + self._margin_factor(part, indexers))
        return part.rename(self.label).assign_attrs(self.attrs)

    def _margin_factor(
        self, part: xr.DataArray, indexers: Mapping[str, int | slice]
    ) -> xr.DataArray | float:
        """Return the log factor that margins ask for, of some draws of flows."""
        if self._margin_factors is None:
            return 0.0
        own = {dim: at for dim, at in indexers.items() if dim != "corridor"}
        factors = self._margin_factors.isel(own)
        total: xr.DataArray | float = 0.0
        for side in ("origin", "destination"):
            codes = part[side].values
            at = factors.indexes["place"].get_indexer(pd.Index(np.atleast_1d(codes)))
            place = xr.DataArray(at.reshape(codes.shape), dims=part[side].dims)
            total = total + factors[side].isel(place=place)
        assert isinstance(total, xr.DataArray)
        return total.drop_vars("place", errors="ignore").transpose(*part.dims)

    def under(self, definition: float | str) -> "FlowEstimates":
        """Return the same flows as they would be counted under another minimum stay.

        Every draw is multiplied by the factor of its own hyper-parameters, so that intervals hold
        the uncertainty of the conversion. A note says how large the factor is.

        Parameters
        ----------
        definition
            ``no-minimum``, ``permanent`` or ``N-months`` with N from 0 to 12; or months as a
            number, 60 for permanent.

        Returns
        -------
        FlowEstimates
            On corridors, persons per period; `definition` and `attrs` say which minimum stay.

        Raises
        ------
        UsageError
            If the definition is unknown, the model has no durations to convert by, or the draws are
            sums already: flows are converted first and added up afterwards.

        Examples
        --------
        >>> flows = xr.DataArray([[[[0.0]]]], dims=("chain", "draw", "corridor", "period"))
        >>> steps = xr.DataArray(
        ...     [[[0.2, 0.1, 0.3, 0.8]]],
        ...     dims=("chain", "draw", "step"),
        ...     coords={"step": ["0_to_3", "3_to_6", "6_to_12", "12_to_60"]},
        ... )
        >>> one = FlowEstimates(flows, "flow", flows[0, 0], 12.0, "declared", "mine",
        ...                     _log_factor=xr.DataArray(0.0), _increments=steps)
        >>> round(float(one.under("3-months").draws.squeeze()), 3), one.under("permanent").attrs
        (1.492, {'units': 'persons per period', 'definition_months': 60.0})
        """
        months = parse_definition(definition)
        if self._log_factor is None:
            raise UsageError(
                f"(definition) | found sums of flows; allowed: flows, taken as "
                f"{name_definition(months)} first and added up afterwards"
            )
        if self.benchmarked and months != self.definition:
            raise UsageError(
                f"(definition) | found {name_definition(months)} for flows that were adjusted to "
                f"margins; allowed: {name_definition(self.definition)}, by which margins count"
            )
        factor = convert(self._increments, months, self.name)
        before = describe_conversion(self._log_factor, self.definition)
        kept = (note for note in self.notes if note not in before)
        notes = (*describe_conversion(factor, months), *kept)
        return replace(self, definition=months, notes=notes, _log_factor=factor)

    def blocks(self, numbers: int) -> Iterator[slice]:
        """Cut the cells into blocks whose draws of all periods are about so many numbers.

        Draws that are stored come in the pieces in which they lie on disk, so that a pass over all
        blocks reads each of them once.
        """
        n_cell = self._stored.sizes[self.cell_dim]
        chunks = self._stored.encoding.get("chunks")
        piece = chunks[self._stored.dims.index(self.cell_dim)] if chunks else 1
        step = max(1, numbers // (self.n_draws * self._stored.sizes["period"] * piece)) * piece
        return (slice(k, min(k + step, n_cell)) for k in range(0, n_cell, step))

    def block(self, cells: slice) -> NDArray[np.float64]:
        """Return all draws of some cells, persons per period, shape (cell, period, sample).

        The samples are those of the first chain, then those of the second, and so on.
        """
        part = self._stored.isel({self.cell_dim: cells}).values
        flat = part.reshape(self.n_draws, *part.shape[2:])
        out = np.array(np.moveaxis(flat, 0, -1), dtype=np.float64, order="C")
        if self._log_factor is not None:
            out += np.broadcast_to(self._log_factor.values, part.shape[:2]).ravel()
            if self._margin_factors is not None:
                out += self._margin_block(cells)
            np.exp(out, out=out)
        return out

    def _margin_block(self, cells: slice) -> NDArray[np.float64]:
        """Return the log factor that margins ask for, (cell, period, sample)."""
        assert self._margin_factors is not None
        parts = []
        for side in ("origin", "destination"):
            codes = pd.Index(self._stored[side].values[cells])
            values = self._margin_factors[side].values
            at = self._margin_factors.indexes["place"].get_indexer(codes)
            parts.append(values.reshape(-1, *values.shape[2:])[:, at])
        return np.moveaxis(parts[0] + parts[1], 0, -1)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the dims of `draws`."""
        return {str(dim): size for dim, size in self._stored.sizes.items()}

    @property
    def n_draws(self) -> int:
        """Draws over all chains."""
        return self._stored.sizes["chain"] * self._stored.sizes["draw"]

    @property
    def origins(self) -> NDArray[np.object_]:
        """Origin of each cell; None where it is all others."""
        return self._side("origin", empty=self.measure in ("immigration", "net"))

    @property
    def destinations(self) -> NDArray[np.object_]:
        """Destination of each cell; None where it is all others."""
        return self._side("destination", empty=self.measure == "emigration")

    def _side(self, side: str, *, empty: bool) -> NDArray[np.object_]:
        if empty:
            return np.full(self._stored.sizes[self.cell_dim], None, dtype=object)
        name = side if self.measure == "flow" else "place"
        return np.array([str(code) for code in self._stored[name].values], dtype=object)

    @property
    def period_bounds(self) -> NDArray[np.datetime64]:
        """First day, and day after the last, of each period: shape (period, 2)."""
        bounds = [self._stored[name].values for name in ("period_start", "period_end")]
        return np.stack(bounds, axis=1).astype("datetime64[D]")

    def __repr__(self) -> str:
        first, last = self.period_bounds[0, 0], self.period_bounds[-1, 1]
        sizes = self._stored.sizes
        return (
            f"<flowcast.FlowEstimates {self.label} of {self.name}: {sizes[self.cell_dim]} "
            f"{self.cell_dim}s x {sizes['period']} periods ({first} to {last}), {self.n_draws} "
            f"draws, {self.unit}, definition {name_definition(self.definition)}>"
        )

    def _repr_html_(self) -> str:
        blind = float((self.evidence == NO_EVIDENCE).mean())
        first, last = self.period_bounds[0, 0], self.period_bounds[-1, 1]
        facts = {
            "Model": self.name,
            "Measure": f"{self.label}, {self.unit}",
            "Definition": describe_definition(self.definition),
            self.cell_dim.capitalize() + "s": f"{self.sizes[self.cell_dim]:,}",
            "Periods": f"{self.sizes['period']:,} ({first} to {last})",
            "Draws": f"{self.n_draws:,}",
            "Cells without any evidence": f"{blind:.0%}",
            "Inference": describe_inference(self.method, self.exact),
            "Notes": "; ".join(self.notes),
        }
        rows = (
            f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>'
            for key, value in facts.items()
            if value
        )
        return f"<table>{''.join(rows)}</table>"


def flow_estimates(
    posterior: Posterior, *, definition: float | str = UN_DURATION_MONTHS
) -> FlowEstimates:
    """Return the flows of a posterior under a definition of migration.

    Parameters
    ----------
    posterior
        With latent log flows in the 12-month definition.
    definition
        Minimum stay that makes a move count: ``no-minimum``, ``permanent`` or ``N-months`` with N
        from 0 to 12; or months as a number, 60 for permanent. The factor between definitions is
        itself estimated, and its uncertainty goes into the draws.

    Returns
    -------
    FlowEstimates
        On corridors; nothing is computed before it is asked for.

    Raises
    ------
    UsageError
        If the definition is not one of these, or the model has no durations to convert by.
    """
    months = parse_definition(definition)
    log_flow = posterior.log_flow
    ends = [str(code) for side in ("origin", "destination") for code in log_flow[side].values]
    codes: TableCodes = "declared" if posterior.spec.codes == "declared" else code_kind(set(ends))
    return FlowEstimates(
        log_flow.transpose(*SAMPLE_DIMS, "corridor", "period"),
        measure="flow",
        evidence=posterior.evidence.transpose("corridor", "period").astype(str),
        definition=UN_DURATION_MONTHS,
        codes=codes,
        name=posterior.spec.name,
        method=posterior.info.get("method"),
        exact=posterior.info.get("exact"),
        quantity=posterior.spec.quantity,
        _log_factor=xr.DataArray(0.0),
        _increments=latent_increments(posterior),
    ).under(months)
