"""The design in compact form: what is constant over a corridor is held once a corridor.

See `recursion` and `owned` for how it is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from flowcast.model.grid import Grid
from flowcast.model.process import CellCovariates
from flowcast.model.reports import Reports

__all__ = ["Compact", "build_compact", "compact_product"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Compact:
    """The design of the reported corridors (see `kernel.collapsed_value_grad` for shapes)."""

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
    return Compact(
        slot=slot,
        tv=np.ascontiguousarray(covariates.values[reports.corridor, reports.period][:, varying]),
        constant=np.column_stack(values),
        constant_col=np.column_stack(cols).astype(np.int64),
        series=slot_series,
        slot_col=_slot_columns(reports, where, start, slot, slot_series.shape),
        n_slot=n_slot,
        tv_col=np.array([where["covariate", covariates.names[k]] for k in varying], dtype=np.int64),
        own_col=_own_columns(reports, where),
    )


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
            for q in range(len(tv_col)):
                total += tv[k, q] * coef[tv_col[q]]
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
