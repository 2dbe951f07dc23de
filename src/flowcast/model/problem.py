"""The linear Gaussian core as arrays: coefficients, corridor blocks, prior means.

Everything that does not depend on a hyper-parameter is laid out here once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.config import ModelSpec
from flowcast.model.grid import Grid
from flowcast.model.process import CellCovariates
from flowcast.model.reports import Reports

__all__ = ["Blocks", "Coefficients", "Parts", "Problem", "build_problem"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SIDES = ("immigration", "emigration")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Which parts of the model there are, given the spec and the data.

    With one period an AR(1) path and persistent corridor-by-source effects cannot be told from
    the corridor effect and the noise: they are dropped.
    """

    corridor: bool
    path: bool
    series: bool
    reporter: bool
    reporter_period: bool
    duration: bool
    share: bool
    origin: bool
    destination: bool


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """The linear coefficients; arrays have shape (coefficient,).

    Attributes
    ----------
    name, group
        Name within the group, and group: ``intercept``, ``covariate``, ``origin``,
        ``destination``, ``reporter``, ``reporter_period``.
    mean
        Prior mean.
    fixed_sd
        Prior sd of a coefficient without a hyper-parameter, else 1.
    sd_index
        Which entry of [1, sd_origin, sd_destination, sd_reporter by side, sd_reporter_period by
        side] multiplies `fixed_sd`.
    unit
        Units share a scale weight (heavy tails): index, -1 for none.
    """

    name: NDArray[np.object_]
    group: NDArray[np.object_]
    mean: FloatArray
    fixed_sd: FloatArray
    sd_index: IntArray
    unit: IntArray

    @property
    def n(self) -> int:
        """Number of coefficients."""
        return len(self.mean)

    @property
    def n_unit(self) -> int:
        """Number of units with a scale weight."""
        return int(self.unit.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Each reported corridor's design, as the kernel wants it (see `kernel`)."""

    corridor: IntArray
    start: IntArray
    design: FloatArray
    design_start: IntArray
    cols: IntArray
    cols_start: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a fit needs apart from hyper-parameters.

    Attributes
    ----------
    labels
        Dims of the vector hyper-parameters: ``share_class``, ``noise_class``, ``noise_reporter``.
    group
        Index of each report's corridor-by-source series, -1 if the model has none.
    group_side
        Side (index into `SIDES`) of each series.
    series
        Name of each series.
    noise_index
        Index of each report into the concatenation of noise classes and noise reporters.
    share_index
        Index of each report into the share classes.
    prior_mean
        Prior mean of each report through the coefficients.
    scale_group
        Reports of one corridor and series share a noise weight: its index.
    """

    spec: ModelSpec
    grid: Grid
    reports: Reports
    covariates: CellCovariates
    parts: Parts
    coefficients: Coefficients
    blocks: Blocks
    labels: dict[str, tuple[str, ...]]
    group: IntArray
    group_side: IntArray
    series: tuple[str, ...]
    noise_index: IntArray
    share_index: IntArray
    prior_mean: FloatArray
    scale_group: IntArray

    @property
    def n_scale_group(self) -> int:
        """Number of corridor-by-series noise weights."""
        return int(self.scale_group.max(initial=-1)) + 1


def _find_parts(spec: ModelSpec, grid: Grid) -> Parts:
    several = grid.n_period > 1
    process, measurement = spec.process, spec.measurement
    return Parts(
        corridor=process.corridor_effects,
        path=process.autoregressive and several,
        series=measurement.corridor_report_effects and several,
        reporter=measurement.reporter_effects,
        reporter_period=measurement.reporter_period_effects and several,
        duration=measurement.duration,
        share=measurement.undercount,
        origin=process.origin_effects,
        destination=process.destination_effects,
    )


def _coefficient_rows(
    spec: ModelSpec, grid: Grid, reports: Reports, parts: Parts
) -> list[tuple[str, str, float, float, int, str]]:
    """List name, group, prior mean, fixed sd, sd index and unit of every coefficient."""
    rows: list[tuple[str, str, float, float, int, str]] = []
    mean, sd = spec.process.intercept.numbers
    rows.append(("intercept", "intercept", mean, sd, 0, ""))
    for term in spec.process.covariates:
        mean, sd = term.prior.numbers
        rows.append((term.name, "covariate", mean, sd, 0, ""))
    if parts.origin:
        rows += [(p, "origin", 0.0, 1.0, 1, "") for p in grid.places]
    if parts.destination:
        rows += [(p, "destination", 0.0, 1.0, 2, "") for p in grid.places]
    units = sorted(set(reports.unit))
    side = {u: SIDES.index(u.split(":")[0]) for u in units}
    if parts.reporter:
        rows += [(u, "reporter", 0.0, 1.0, 3 + side[u], f"reporter {u}") for u in units]
    if parts.reporter_period:
        seen = sorted(set(zip(reports.unit, reports.period.tolist(), strict=True)))
        rows += [
            (f"{u}@{t}", "reporter_period", 0.0, 1.0, 5 + side[u], f"reporter_period {u}")
            for u, t in seen
        ]
    return rows


def _build_coefficients(
    spec: ModelSpec, grid: Grid, reports: Reports, parts: Parts
) -> Coefficients:
    name, group, mean, sd, index, unit = zip(
        *_coefficient_rows(spec, grid, reports, parts), strict=True
    )
    shared = {u: k for k, u in enumerate(sorted({u for u in unit if u}))}
    return Coefficients(
        np.array(name, dtype=object),
        np.array(group, dtype=object),
        np.array(mean),
        np.array(sd),
        np.array(index, dtype=np.int64),
        np.array([shared.get(u, -1) for u in unit], dtype=np.int64),
    )


def _columns(
    reports: Reports, grid: Grid, covariates: CellCovariates, coefficients: Coefficients
) -> tuple[IntArray, FloatArray]:
    """Return the coefficients of each report and their values, both (report, column)."""
    where = {
        (g, n): k
        for k, (g, n) in enumerate(zip(coefficients.group, coefficients.name, strict=True))
    }
    n = reports.n
    index = [np.full(n, where["intercept", "intercept"])]
    value = [np.ones(n)]
    for k, name in enumerate(covariates.names):
        index.append(np.full(n, where["covariate", name]))
        value.append(covariates.values[reports.corridor, reports.period, k])
    keys: dict[str, Sequence[str] | NDArray[np.object_]] = {
        "origin": grid.origin_code[reports.corridor],
        "destination": grid.destination_code[reports.corridor],
        "reporter": reports.unit,
        "reporter_period": [f"{u}@{t}" for u, t in zip(reports.unit, reports.period, strict=True)],
    }
    for group, names in keys.items():
        if group in set(coefficients.group):
            index.append(np.array([where[group, k] for k in names], dtype=np.int64))
            value.append(np.ones(n))
    return np.column_stack(index).astype(np.int64), np.column_stack(value)


def _build_blocks(corridor: IntArray, index: IntArray, value: FloatArray) -> Blocks:
    """Gather each corridor's reports into a dense block over the coefficients they touch."""
    edges = np.flatnonzero(np.diff(corridor)) + 1
    start = np.concatenate([[0], edges, [len(corridor)]]).astype(np.int64)
    designs, columns = [], []
    for lo, hi in pairwise(start):
        cols, local = np.unique(index[lo:hi], return_inverse=True)
        block = np.zeros((hi - lo, len(cols)))
        rows = np.arange(hi - lo)[:, None]
        np.add.at(block, (rows, local.reshape(hi - lo, -1)), value[lo:hi])
        designs.append(block.ravel())
        columns.append(cols)

    def bounds(parts: list[NDArray[np.float64]] | list[IntArray]) -> IntArray:
        return np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)

    return Blocks(
        corridor[start[:-1]],
        start,
        np.concatenate(designs),
        bounds(designs),
        np.concatenate(columns).astype(np.int64),
        bounds(columns),
    )


def _labels(reports: Reports) -> dict[str, tuple[str, ...]]:
    graded = reports.graded
    return {
        "share_class": tuple(sorted(set(reports.share))),
        "noise_class": tuple(sorted(set(reports.noise[graded]))),
        "noise_reporter": tuple(sorted(set(reports.noise[~graded]))),
    }


def build_problem(
    spec: ModelSpec, grid: Grid, reports: Reports, covariates: CellCovariates
) -> Problem:
    """Lay the linear Gaussian core out as arrays.

    Parameters
    ----------
    spec, grid, reports, covariates
        The model, its cells, the reports to fit (sorted by corridor), and the covariates.
    """
    parts = _find_parts(spec, grid)
    coefficients = _build_coefficients(spec, grid, reports, parts)
    index, value = _columns(reports, grid, covariates, coefficients)
    labels = _labels(reports)
    series = tuple(sorted(set(reports.series)))
    group = pd.Index(series).get_indexer(pd.Index(reports.series)).astype(np.int64)
    noise = pd.Index([*labels["noise_class"], *labels["noise_reporter"]])
    pairs = reports.corridor * len(series) + group
    return Problem(
        spec=spec,
        grid=grid,
        reports=reports,
        covariates=covariates,
        parts=parts,
        coefficients=coefficients,
        blocks=_build_blocks(reports.corridor, index, value),
        labels=labels,
        group=group if parts.series else np.full(reports.n, -1, dtype=np.int64),
        group_side=np.array([SIDES.index(s.split(":")[0]) for s in series], dtype=np.int64),
        series=series,
        noise_index=noise.get_indexer(pd.Index(reports.noise)).astype(np.int64),
        share_index=pd.Index(labels["share_class"])
        .get_indexer(pd.Index(reports.share))
        .astype(np.int64),
        prior_mean=(value * coefficients.mean[index]).sum(axis=1),
        scale_group=np.unique(pairs, return_inverse=True)[1].astype(np.int64),
    )


def with_values(problem: Problem, value: FloatArray) -> Problem:
    """Return the same problem with other counts: for simulated worlds on one design."""
    return replace(problem, reports=replace(problem.reports, value=value))
