"""Factors of reports that a model declares, and those that every family of sources has.

Each is a linear coefficient with a normal prior of its own, so that it is integrated out exactly. A
report carries some of them, with a value each: 1, or a covariate of its cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import CovariateTerm, MeasurementEffect, ModelSpec
from flowcast.errors import Fault, FlowcastError, InputError
from flowcast.model.cells import LONGER, WHOLE_YEAR
from flowcast.model.grid import Grid
from flowcast.model.process import cell_values
from flowcast.model.reports import Reports
from flowcast.priors import Prior

__all__ = ["NO_EFFECTS", "EffectTerms", "effect_columns", "effect_terms", "join_terms"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_BIASES = ("register", "survey", "census", "digital")
_TRANSITION_YEARS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class EffectTerms:
    """Which coefficients which reports carry.

    Attributes
    ----------
    names, mean, sd
        Of the coefficients, sorted by name, (coefficient,).
    report, index, value
        A report, a position in `names`, and what multiplies the coefficient, (entry,); sorted by
        report.
    """

    names: tuple[str, ...] = ()
    mean: FloatArray = field(default_factory=lambda: np.zeros(0))
    sd: FloatArray = field(default_factory=lambda: np.zeros(0))
    report: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    index: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    value: FloatArray = field(default_factory=lambda: np.zeros(0))

    def take(self, rows: IntArray) -> "EffectTerms":
        """Return the entries of some reports, which are counted anew; `rows` are sorted."""
        at = np.searchsorted(rows, self.report)
        inside = at < len(rows)
        inside[inside] = rows[at[inside]] == self.report[inside]
        entries = at[inside].astype(np.int64), self.index[inside], self.value[inside]
        return EffectTerms(self.names, self.mean, self.sd, *entries)


NO_EFFECTS = EffectTerms()


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """One effect: the reports that carry it, their coefficients' names, values, and the prior."""

    rows: IntArray
    name: NDArray[np.object_]
    value: FloatArray
    prior: Prior


def effect_columns(spec: ModelSpec, data: xr.Dataset | None, grid: Grid) -> dict[str, FloatArray]:
    """Return the covariate of each declared effect that has one, (corridor, period).

    Raises
    ------
    InputError
        With every effect whose column is not there, or lacks values.
    """
    out, faults = {}, []
    for effect in spec.measurement.effects:
        if effect.column is None:
            continue
        term = CovariateTerm(
            name=effect.name, column=effect.column, side=effect.side, transform=effect.transform,
            missing=effect.missing,
        )  # fmt: skip
        try:
            out[effect.name] = cell_values(spec, data, grid, term)[0]
        except InputError as error:
            faults += [
                Fault(f"effect {effect.name}", f.found, f.allowed, f.row, f.column, f.hint)
                for f in error.faults
            ]
        except FlowcastError as error:
            faults.append(Fault(f"effect {effect.name}", str(error)))
    if faults:
        raise InputError(faults)
    return out


def _keys(grid: Grid, reports: Reports) -> dict[str, NDArray[Any]]:
    """Return what an effect can go by, for each report."""
    corridor = reports.corridor
    start = grid.period_start
    yearly = len({d.year for d in start}) == len(start)
    label = start.year.astype(str) if yearly else start.strftime("%Y-%m-%d")
    return {
        "source": reports.source,
        "reporter": np.array([u.rsplit(":", 1)[1] for u in reports.unit], dtype=object),
        "origin": grid.origin_code[corridor],
        "destination": grid.destination_code[corridor],
        "period": label.to_numpy().astype(object)[reports.period],
    }


def _declared(
    effect: MeasurementEffect,
    keys: Mapping[str, NDArray[Any]],
    grid: Grid,
    reports: Reports,
    columns: Mapping[str, FloatArray],
) -> _Part:
    year = grid.period_start.year.to_numpy()[reports.period]
    inside = np.ones(reports.n, dtype=bool)
    for wanted, found in (
        (effect.sources, reports.source),
        (effect.families, reports.family),
        (effect.criteria, reports.criterion),
        (effect.origins, keys["origin"]),
        (effect.destinations, keys["destination"]),
        (effect.years, year),
    ):
        if wanted:
            inside &= np.isin(found, np.array(wanted))
    rows = np.flatnonzero(inside)
    name = np.full(len(rows), effect.name, dtype=object)
    if effect.by:
        labels = [keys[key][rows] for key in effect.by]
        name = name + "[" + np.array([",".join(k) for k in zip(*labels, strict=True)], object) + "]"
    value = np.ones(len(rows))
    if effect.column is not None:
        value = columns[effect.name][reports.corridor[rows], reports.period[rows]]
    return _Part(rows, name, value, effect.prior)


def _of_families(spec: ModelSpec, grid: Grid, reports: Reports) -> list[_Part]:
    """Return the effects that every model has: biases of families, criteria, transitions."""
    measurement, parts = spec.measurement, []

    def by_source(name: str, inside: NDArray[np.bool_]) -> _Part:
        # Names are made for the reports inside alone: most have no such effect.
        rows = np.flatnonzero(inside)
        names = name + "[" + reports.source[rows] + "]"
        return _Part(rows, names, np.ones(len(rows)), getattr(measurement, name))

    for channel in _BIASES:
        parts.append(by_source(f"bias_{channel}", reports.side == channel))
    rows = np.flatnonzero(reports.side == "index")
    corridor = (grid.origin_code + "," + grid.destination_code)[reports.corridor[rows]]
    level = "bias_index[" + reports.source[rows] + "," + corridor + "]"
    parts.append(_Part(rows, level, np.ones(len(rows)), measurement.bias_index))
    if spec.quantity == "flow":
        for criterion in ("citizenship", "birth"):
            parts.append(by_source(f"criterion_{criterion}", reports.criterion == criterion))
        # One coefficient for all spans: a share of moves is lost in proportion to log years.
        rows = np.flatnonzero((reports.side == "census") & (reports.span > LONGER))
        name = np.full(len(rows), "census_transition", dtype=object)
        share = np.log(reports.span[rows]) / np.log(_TRANSITION_YEARS)
        parts.append(_Part(rows, name, share, measurement.census_transition))
        short = by_source("part_of_year", (reports.span < WHOLE_YEAR) & (spec.period != "shortest"))
        parts.append(replace(short, value=np.log(reports.span[short.rows])))
        if spec.period == "middle_year":
            long = by_source("middle_of_years", reports.span > LONGER)
            parts.append(replace(long, value=np.log(reports.span[long.rows])))
    return parts


def effect_terms(
    spec: ModelSpec, grid: Grid, reports: Reports, columns: Mapping[str, FloatArray]
) -> EffectTerms:
    """Return the coefficients that reports carry by what the model declares and by their family.

    Parameters
    ----------
    spec, grid, reports
        The model, its cells, and the reports.
    columns
        From `effect_columns`.
    """
    parts = _of_families(spec, grid, reports)
    declared = spec.measurement.effects
    keys = _keys(grid, reports) if declared else {}
    parts += [_declared(effect, keys, grid, reports, columns) for effect in declared]
    parts = [part for part in parts if len(part.rows)]
    if not parts:
        return NO_EFFECTS
    prior = {str(n): part.prior for part in parts for n in pd.unique(part.name)}
    names = sorted(prior)
    label = pd.Index(names).get_indexer(pd.Index(np.concatenate([p.name for p in parts])))
    report = np.concatenate([p.rows for p in parts])
    order = np.lexsort([label, report])
    return EffectTerms(
        tuple(names),
        np.array([prior[n].numbers[0] for n in names]),
        np.array([prior[n].numbers[1] for n in names]),
        report[order].astype(np.int64),
        label[order].astype(np.int64),
        np.concatenate([p.value for p in parts])[order],
    )


def join_terms(parts: Sequence[EffectTerms]) -> dict[str, tuple[float, float]]:
    """Return mean and sd of every coefficient that one of them has, sorted by name."""
    found = {
        name: (float(m), float(s))
        for part in parts
        for name, m, s in zip(part.names, part.mean, part.sd, strict=True)
    }
    return dict(sorted(found.items()))
