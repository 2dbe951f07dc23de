"""The linear Gaussian core as arrays: coefficients, corridor blocks, prior means.

Everything that does not depend on a hyper-parameter is laid out here once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.config import ModelSpec
from flowcast.model.compact import Compact, build_compact, compact_product
from flowcast.model.effects import NO_EFFECTS, EffectTerms, effect_terms, join_terms
from flowcast.model.grid import Grid
from flowcast.model.process import CellCovariates
from flowcast.model.reports import CHANNELS, SIDES, Reports
from flowcast.model.totals_rows import Totals

__all__ = [
    "Blocks",
    "Coefficients",
    "Parts",
    "Problem",
    "build_problem",
    "has_heavy_tails",
    "share_positions",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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
        ``destination``, ``reporter``, ``reporter_period``, ``effect``.
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
    """Each reported corridor, and where its reports begin, (reported corridor + 1,)."""

    corridor: IntArray
    start: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a fit needs apart from hyper-parameters.

    Attributes
    ----------
    compact
        The design, what is constant over a corridor held once.
    series_index
        Index of each report into `series`.
    labels
        Dims of the vector hyper-parameters: ``share_class``, ``noise_class``, ``noise_reporter``.
    group
        Index of each report's corridor-by-source series, -1 if the model has none.
    group_side
        Side (index into `sides`) of each series.
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
    totals
        Reports that are sums of cells; None if there are none.
    sides
        The sides that spreads of effects and noise go by: both of administrative flows, and those
        of `CHANNELS` beside that have reports.
    effects, total_effects
        Factors of reports that the model declares or their family has, and those of the cells of
        sums.
    effect_column
        Covariates of declared effects, (corridor, period) each.
    """

    spec: ModelSpec
    grid: Grid
    reports: Reports
    covariates: CellCovariates
    parts: Parts
    coefficients: Coefficients
    blocks: Blocks
    compact: Compact
    series_index: IntArray
    labels: dict[str, tuple[str, ...]]
    group: IntArray
    group_side: IntArray
    series: tuple[str, ...]
    noise_index: IntArray
    share_index: IntArray
    prior_mean: FloatArray
    scale_group: IntArray
    totals: Totals | None = None
    sides: tuple[str, ...] = tuple(SIDES.values())
    effects: EffectTerms = NO_EFFECTS
    total_effects: EffectTerms = NO_EFFECTS
    effect_column: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def n_scale_group(self) -> int:
        """Number of corridor-by-series noise weights."""
        return int(self.scale_group.max(initial=-1)) + 1


def _find_sides(reports: Reports, totals: Totals | None) -> tuple[str, ...]:
    """Return the sides there are; of those of administrative flows both if there is one."""
    found = {*reports.side, *(totals.entries.side if totals is not None else ())}
    found |= set(SIDES.values()) if found & set(SIDES.values()) else set()
    return tuple(c for c in CHANNELS if c in found)


def _find_parts(spec: ModelSpec, grid: Grid) -> Parts:
    several = grid.n_period > 1
    process, measurement = spec.process, spec.measurement
    return Parts(
        corridor=process.corridor_effects,
        path=process.autoregressive and several,
        series=measurement.corridor_report_effects and several,
        reporter=measurement.reporter_effects,
        reporter_period=measurement.reporter_period_effects and several,
        duration=measurement.duration and spec.quantity == "flow",
        share=measurement.undercount,
        origin=process.origin_effects,
        destination=process.destination_effects,
    )


Seen = list[tuple[str, int]]


def _seen(reports: Reports, totals: Totals | None) -> Seen:
    """List the units and periods of all reports, those of sums among them."""
    sources = [reports] if totals is None else [reports, totals.entries]
    return sorted({pair for r in sources for pair in zip(r.unit, r.period.tolist(), strict=True)})


def _coefficient_rows(
    spec: ModelSpec, grid: Grid, seen: Seen, parts: Parts, sides: tuple[str, ...]
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
    units = sorted({unit for unit, _ in seen})
    side = {u: sides.index(u.split(":")[0]) for u in units}
    if parts.reporter:
        rows += [(u, "reporter", 0.0, 1.0, 3 + side[u], f"reporter {u}") for u in units]
    own = 3 + len(sides)
    if parts.reporter_period:
        rows += [
            (f"{u}@{t}", "reporter_period", 0.0, 1.0, own + side[u], f"reporter_period {u}")
            for u, t in seen
        ]
    return rows


def _build_coefficients(rows: list[tuple[str, str, float, float, int, str]]) -> Coefficients:
    name, group, mean, sd, index, unit = zip(*rows, strict=True)
    shared = {u: k for k, u in enumerate(sorted({u for u in unit if u}))}
    return Coefficients(
        np.array(name, dtype=object),
        np.array(group, dtype=object),
        np.array(mean),
        np.array(sd),
        np.array(index, dtype=np.int64),
        np.array([shared.get(u, -1) for u in unit], dtype=np.int64),
    )


Where = dict[tuple[str, str], int]


def _positions(coefficients: Coefficients) -> Where:
    pairs = zip(coefficients.group, coefficients.name, strict=True)
    return {(group, name): k for k, (group, name) in enumerate(pairs)}


def _find_blocks(corridor: IntArray) -> Blocks:
    edges = np.flatnonzero(np.diff(corridor)) + 1
    start = np.concatenate([[0], edges, [len(corridor)]]).astype(np.int64)
    return Blocks(corridor[start[:-1]], start)


def _has_share(label: str) -> bool:
    """Return whether a class of undercount has a share; others are biased by a coefficient."""
    return label.split("_")[0] in SIDES.values()


def share_positions(labels: tuple[str, ...], share: NDArray[np.object_]) -> IntArray:
    """Return the index of each report's share, the one after the last where it has none."""
    found = pd.Index(labels).get_indexer(pd.Index(share))
    return np.where(found < 0, len(labels), found).astype(np.int64)


def _labels(reports: Reports, totals: Totals | None) -> dict[str, tuple[str, ...]]:
    graded = reports.graded
    of_totals = set(totals.entries.share) if totals is not None else set()
    return {
        "share_class": tuple(s for s in sorted({*reports.share, *of_totals}) if _has_share(s)),
        "noise_class": tuple(sorted(set(reports.noise[graded]))),
        "noise_reporter": tuple(sorted(set(reports.noise[~graded]))),
    }


def build_problem(
    spec: ModelSpec,
    grid: Grid,
    reports: Reports,
    covariates: CellCovariates,
    totals: Totals | None = None,
    effect_column: Mapping[str, FloatArray] | None = None,
) -> Problem:
    """Lay the linear Gaussian core out as arrays.

    Parameters
    ----------
    spec, grid, reports, covariates
        The model, its cells, the reports to fit (sorted by corridor), and the covariates.
    totals
        Reports of sums, if there are any: their reporters and classes are part of the model too.
    effect_column
        Covariates of the declared effects, from `effect_columns`.
    """
    parts, sides = _find_parts(spec, grid), _find_sides(reports, totals)
    column = dict(effect_column or {})
    effects = effect_terms(spec, grid, reports, column)
    of_totals = effect_terms(spec, grid, totals.entries, column) if totals else NO_EFFECTS
    rows = _coefficient_rows(spec, grid, _seen(reports, totals), parts, sides)
    for name, (mean, sd) in join_terms([effects, of_totals]).items():
        rows.append((name, "effect", mean, sd, 0, ""))
    coefficients = _build_coefficients(rows)
    where = _positions(coefficients)
    labels = _labels(reports, totals)
    series = tuple(sorted(set(reports.series)))
    series_index = pd.Index(series).get_indexer(pd.Index(reports.series)).astype(np.int64)
    blocks = _find_blocks(reports.corridor)
    compact = build_compact(grid, reports, covariates, where, blocks.start, series_index, effects)
    prior_mean = compact_product(compact, blocks.start, coefficients.mean, 0, len(blocks.corridor))
    noise = pd.Index([*labels["noise_class"], *labels["noise_reporter"]])
    pairs = reports.corridor * len(series) + series_index
    return Problem(
        spec=spec,
        grid=grid,
        reports=reports,
        covariates=covariates,
        parts=parts,
        coefficients=coefficients,
        blocks=blocks,
        compact=compact,
        series_index=series_index,
        labels=labels,
        group=series_index if parts.series else np.full(reports.n, -1, dtype=np.int64),
        group_side=np.array([sides.index(s.split(":")[0]) for s in series], dtype=np.int64),
        series=series,
        noise_index=noise.get_indexer(pd.Index(reports.noise)).astype(np.int64),
        share_index=share_positions(labels["share_class"], reports.share),
        prior_mean=prior_mean,
        scale_group=np.unique(pairs, return_inverse=True)[1].astype(np.int64),
        totals=totals,
        sides=sides,
        effects=effects,
        total_effects=of_totals,
        effect_column=column,
    )


def with_values(problem: Problem, value: FloatArray) -> Problem:
    """Return the same problem with other counts: for simulated worlds on one design."""
    return replace(problem, reports=replace(problem.reports, value=value))


def has_heavy_tails(problem: Problem) -> bool:
    """Return whether some spread that the problem has is a Student-t."""
    tails = problem.spec.tails
    heavy = tails.reports is not None
    heavy |= tails.innovations is not None and problem.parts.path
    return heavy or (tails.reporters is not None and problem.coefficients.n_unit > 0)
