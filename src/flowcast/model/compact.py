"""The design in compact form: what is constant over a corridor is held once a corridor.

See `recursion` and `owned` for how it is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from flowcast.model.effects import EffectTerms
from flowcast.model.grid import Grid
from flowcast.model.process import CellCovariates
from flowcast.model.reports import Reports

__all__ = ["Compact", "build_compact", "compact_product"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Compact:
    """The design of the reported corridors (see `kernel.collapsed_value_grad` for shapes).

    What varies within a corridor is held as columns of its own: covariates of the process that
    change over time, and effects that only some of its reports carry.
    """

    slot: IntArray
    tv: FloatArray
    constant: FloatArray
    constant_col: IntArray
    series: IntArray
    slot_col: IntArray
    n_slot: IntArray
    tv_col: IntArray
    own_col: IntArray


def _slots(start: IntArray, series: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return slots (series numbered within a corridor), the series of each, and their number."""
    corridor = np.repeat(np.arange(len(start) - 1), np.diff(start))
    n_series = int(series.max(initial=0)) + 1
    pair, inverse = np.unique(corridor * n_series + series, return_inverse=True)
    owner = pair // n_series
    first = np.searchsorted(owner, np.arange(len(start) - 1))
    n_slot = np.bincount(owner, minlength=len(start) - 1)
    place = np.arange(len(pair)) - first[owner]
    table = np.zeros((len(start) - 1, int(n_slot.max(initial=1))), dtype=np.int64)
    table[owner, place] = pair % n_series
    return place[inverse].astype(np.int64), table, n_slot.astype(np.int64)


def build_compact(
    grid: Grid,
    reports: Reports,
    covariates: CellCovariates,
    where: Mapping[tuple[str, str], int],
    start: IntArray,
    series: IntArray,
    effects: EffectTerms,
) -> Compact:
    """Lay the design out.

    Parameters
    ----------
    grid, reports, covariates
        The cells, the reports (sorted by corridor), and the covariates of every cell.
    where
        (group, name) -> position of a coefficient.
    start : (n_corridor + 1,)
        Where each reported corridor's reports begin.
    series : (n_report,)
        Series of each report.
    effects
        Of the reports.
    """
    first = start[:-1]
    corridor = reports.corridor[first]
    groups = {group for group, _ in where}
    values, cols = (
        [np.ones(len(corridor))],
        [np.full(len(corridor), where["intercept", "intercept"])],
    )
    varying: list[int] = []
    for k, name in enumerate(covariates.names):
        table = covariates.values[:, :, k]
        if np.ptp(table, axis=1).max(initial=0.0) > 0.0:
            varying.append(k)
            continue
        values.append(table[corridor, 0])
        cols.append(np.full(len(corridor), where["covariate", name]))
    sides: tuple[tuple[str, IntArray], ...] = (
        ("origin", grid.origin),
        ("destination", grid.destination),
    )
    for group, index in sides:
        if group in groups:
            of_place = np.array([where[group, place] for place in grid.places], dtype=np.int64)
            values.append(np.ones(len(corridor)))
            cols.append(of_place[index[corridor]])
    slot, slot_series, n_slot = _slots(start, series)
    tv, tv_col = _varying(reports, covariates, where, start, varying, effects)
    return Compact(
        slot=slot,
        tv=tv,
        constant=np.column_stack(values),
        constant_col=np.column_stack(cols).astype(np.int64),
        series=slot_series,
        slot_col=_slot_columns(reports, where, start, slot, slot_series.shape),
        n_slot=n_slot,
        tv_col=tv_col,
        own_col=_own_columns(reports, where),
    )


def _varying(
    reports: Reports,
    covariates: CellCovariates,
    where: Mapping[tuple[str, str], int],
    start: IntArray,
    varying: Sequence[int],
    effects: EffectTerms,
) -> tuple[FloatArray, IntArray]:
    """Return what varies within a corridor, (report, column), and its coefficients.

    The latter are (reported corridor, column), -1 where a corridor has fewer than others.
    """
    n = len(start) - 1
    first = np.array([where["covariate", covariates.names[k]] for k in varying], dtype=np.int64)
    values = covariates.values[reports.corridor, reports.period][:, list(varying)]
    if not effects.names:
        return np.ascontiguousarray(values), np.tile(first, (n, 1))
    owner = np.repeat(np.arange(n), np.diff(start))[effects.report]
    pair, inverse = np.unique(owner * len(effects.names) + effects.index, return_inverse=True)
    corridor, effect = pair // len(effects.names), pair % len(effects.names)
    place = np.arange(len(pair)) - np.searchsorted(corridor, corridor) + len(varying)
    columns = np.full((n, int(place.max()) + 1), -1, dtype=np.int64)
    columns[:, : len(varying)] = first
    at = np.array([where["effect", name] for name in effects.names], dtype=np.int64)
    columns[corridor, place] = at[effect]
    out = np.zeros((reports.n, columns.shape[1]))
    out[:, : len(varying)] = values
    out[effects.report, place[inverse]] = effects.value
    return out, columns


def _own_columns(reports: Reports, where: Mapping[tuple[str, str], int]) -> IntArray:
    """Return the coefficient of each report's reporter and period; empty where there is none."""
    names = [name for group, name in where if group == "reporter_period"]
    if not names:
        return np.zeros(0, dtype=np.int64)
    position = np.array([where["reporter_period", name] for name in names])
    wanted = [f"{u}@{t}" for u, t in zip(reports.unit, reports.period, strict=True)]
    return np.asarray(position[pd.Index(names).get_indexer(pd.Index(wanted))], dtype=np.int64)


def _slot_columns(
    reports: Reports,
    where: Mapping[tuple[str, str], int],
    start: IntArray,
    slot: IntArray,
    shape: Sequence[int],
) -> IntArray:
    """Return the coefficient of each slot's reporter, -1 where the model has none."""
    out = np.full(tuple(shape), -1, dtype=np.int64)
    names = [name for group, name in where if group == "reporter"]
    if names:
        position = np.array([where["reporter", name] for name in names])
        corridor = np.repeat(np.arange(len(start) - 1), np.diff(start))
        out[corridor, slot] = position[pd.Index(names).get_indexer(pd.Index(reports.unit))]
    return out


@njit(cache=True, nogil=True)
def _product(
    out: FloatArray, lo: int, hi: int, start: IntArray, slot: IntArray, tv: FloatArray,
    constant: FloatArray, constant_col: IntArray, slot_col: IntArray, tv_col: IntArray,
    own_col: IntArray, coef: FloatArray,
) -> None:  # fmt: skip
    for c in range(lo, hi):
        level = 0.0
        for a in range(constant.shape[1]):
            level += constant[c, a] * coef[constant_col[c, a]]
        for k in range(start[c], start[c + 1]):
            total = level
            col = slot_col[c, slot[k]]
            if col >= 0:
                total += coef[col]
            if len(own_col) > 0:
                total += coef[own_col[k]]
            for q in range(tv_col.shape[1]):
                if tv_col[c, q] >= 0:
                    total += tv[k, q] * coef[tv_col[c, q]]
            out[k - start[lo]] = total


def compact_product(
    compact: Compact, start: IntArray, coefficient: FloatArray, lo: int, hi: int
) -> FloatArray:
    """Return the design times the coefficients for reports of reported corridors lo:hi."""
    out = np.empty(start[hi] - start[lo])
    _product(
        out, lo, hi, start, compact.slot, compact.tv, compact.constant, compact.constant_col,
        compact.slot_col, compact.tv_col, compact.own_col,
        np.asarray(coefficient, dtype=float),
    )  # fmt: skip
    return out
