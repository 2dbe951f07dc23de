"""What reports are expected to be, draw by draw: definition, bias and effects."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._figures import effect_sum, refuse_absent, saved_reports
from flowcast.model.assemble import report_offset
from flowcast.model.cells import as_cells
from flowcast.model.grid import Grid
from flowcast.model.reports import SIDES, Reports, build_reports, usable_rows
from flowcast.model.totals_cells import is_single_cell
from flowcast.model.totals_rows import Totals, build_totals
from flowcast.observations import Observations
from flowcast.posterior import Posterior

__all__ = [
    "Draws",
    "Expected",
    "Residuals",
    "expect_reports",
    "fitted_residuals",
    "grid_of",
    "log_expected",
    "stack_draws",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Draws of everything a report depends on, (sample, ...); sample = chain x draw kept.

    `log_flow` has the corridors of the reports at hand only; `corridors` says which, sorted.
    """

    log_flow: FloatArray
    corridors: NDArray[np.int64]
    hyper: dict[str, xr.DataArray]
    coefficient: pd.DataFrame
    unit_weight: pd.Series


def stack_draws(posterior: Posterior, corridors: NDArray[np.int64]) -> Draws:
    """Collect the draws that reports of some corridors depend on; the others are not read."""
    latent = posterior.log_flow.isel(corridor=corridors)
    index = posterior.tree["latent"]["hyper_draw"]
    chosen = (
        posterior.tree["posterior"]
        .to_dataset()
        .isel(draw=xr.DataArray(index.to_numpy()[0], dims="draw"))
    )
    n = latent.sizes["chain"] * latent.sizes["draw"]
    hyper = {
        str(k): v.stack(sample=("chain", "draw")).transpose("sample", ...)
        for k, v in chosen.data_vars.items()
    }
    terms = posterior.tree["coefficients"].to_dataset()
    label = [f"{g}/{t}" for g, t in zip(terms["group"].values, terms["term"].values, strict=True)]
    return Draws(
        latent.to_numpy().astype(float).reshape(n, *latent.shape[2:]),
        corridors,
        hyper,
        pd.DataFrame(terms["coefficient"].to_numpy().reshape(n, -1), columns=label),
        pd.Series(terms["unit_weight"].to_numpy(), index=label),
    )


def _log_flow(draws: Draws, reports: Reports) -> FloatArray:
    """Return the log flow that each report is of, (sample, report)."""
    position = np.searchsorted(draws.corridors, reports.corridor)
    return np.asarray(draws.log_flow[:, position, reports.period])


def grid_of(posterior: Posterior) -> Grid:
    """Return the cells of a posterior."""
    latent = posterior.log_flow
    origin = latent["origin"].to_numpy().astype(object)
    destination = latent["destination"].to_numpy().astype(object)
    places = tuple(sorted(set(origin) | set(destination)))
    codes = pd.Index(places)
    shape = (latent.sizes["corridor"], latent.sizes["period"])
    return Grid(
        places,
        codes.get_indexer(pd.Index(origin)).astype(np.int64),
        codes.get_indexer(pd.Index(destination)).astype(np.int64),
        pd.DatetimeIndex(latent["period_start"].to_numpy()),
        pd.DatetimeIndex(latent["period_end"].to_numpy()),
        np.ones(shape, dtype=bool),
    )


def _weights(nu: float | None, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    return np.ones(shape) if nu is None else rng.gamma(nu / 2.0, 2.0 / nu, shape)


def _labelled(
    draws: Draws, name: str, dim: str, wanted: NDArray[np.object_]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return a vector parameter at each report's label (sample, report), and which were known."""
    n = len(draws.log_flow)
    if name not in draws.hyper:
        return np.full((n, len(wanted)), np.nan), np.zeros(len(wanted), dtype=bool)
    array = draws.hyper[name]
    position = pd.Index(array[dim].to_numpy().astype(object)).get_indexer(pd.Index(wanted))
    return array.to_numpy()[:, position], position >= 0


def _side(draws: Draws, side: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the position of each side among those that spreads go by.

    A side without any fitted report has the spreads of the last, for want of its own.
    """
    known = next((h["side"] for h in draws.hyper.values() if "side" in h.dims), None)
    labels = list(SIDES.values()) if known is None else known.to_numpy().astype(str).tolist()
    found = pd.Index(labels).get_indexer(pd.Index(side.astype(str)))
    return np.where(found < 0, len(labels) - 1, found).astype(np.int64)


def _effects(
    posterior: Posterior, draws: Draws, reports: Reports, rng: np.random.Generator
) -> FloatArray:
    """Return reporter and reporter-by-period effects, (sample, report); new ones from the prior."""
    n, side = len(draws.log_flow), _side(draws, reports.side)
    total = np.zeros((n, reports.n))
    nu = posterior.spec.tails.reporters
    for group, names in (
        ("reporter", reports.unit),
        (
            "reporter_period",
            [f"{u}@{t}" for u, t in zip(reports.unit, reports.period, strict=True)],
        ),
    ):
        if f"sd_{group}" not in draws.hyper:
            continue
        keys = [f"{group}/{name}" for name in names]
        sd = draws.hyper[f"sd_{group}"].to_numpy()[:, side]
        known = pd.Index(draws.coefficient.columns).get_indexer(pd.Index(keys))
        values = draws.coefficient.to_numpy()[:, known]
        for key in sorted({k for k, at in zip(keys, known, strict=True) if at < 0}):
            where = np.flatnonzero(np.array(keys) == key)
            weight = _unit_weight(draws, key, nu, n, rng)
            values[:, where] = (
                sd[:, where[:1]] * rng.standard_normal((n, 1)) / np.sqrt(weight)[:, None]
            )
        total += values
    return total + effect_sum(posterior, grid_of(posterior), reports, draws.coefficient, rng)


def _unit_weight(
    draws: Draws, key: str, nu: float | None, n: int, rng: np.random.Generator
) -> FloatArray:
    """Return the scale weight of a unit: what its other periods say, or a draw from the prior."""
    stem = key.rsplit("@", 1)[0]
    same = [c for c in draws.unit_weight.index if c.rsplit("@", 1)[0] == stem]
    return np.full(n, draws.unit_weight[same[0]]) if same else _weights(nu, (n,), rng)


def _offset(
    draws: Draws, posterior: Posterior, reports: Reports, rng: np.random.Generator
) -> FloatArray:
    """Return the log factor of definition and undercount, (sample, report)."""
    n, total = len(draws.log_flow), np.zeros((len(draws.log_flow), reports.n))
    if "duration_increment" in draws.hyper:
        increments = draws.hyper["duration_increment"].to_numpy()
        total += report_offset({"duration_increment": increments.T}, reports.duration, None).T
    if "share_reported" in draws.hyper:
        share, known = _labelled(draws, "share_reported", "share_class", reports.share)
        administrative = np.isin(reports.side.astype(str), list(SIDES.values()))
        share[:, ~administrative] = 1.0  # other families have biases instead
        for label in sorted(set(reports.share[~known & administrative])):
            prior = getattr(posterior.spec.measurement, f"share_{label}")
            share[:, reports.share == label] = prior.draw(rng, n)[:, None]
        total += np.log(share)
    return total


def _noise_sd(
    draws: Draws, posterior: Posterior, reports: Reports, rng: np.random.Generator
) -> FloatArray:
    """Return each report's noise sd at weight one, (sample, report)."""
    n, measurement = len(draws.log_flow), posterior.spec.measurement
    graded, known_class = _labelled(draws, "sd_noise", "noise_class", reports.noise)
    own, known_own = _labelled(draws, "sd_noise_reporter", "noise_reporter", reports.noise)
    sd = np.where(known_class, graded, own)
    for label in sorted(set(reports.noise[~(known_class | known_own)])):
        where = reports.noise == label
        if reports.graded[where][0]:
            new = measurement.sd_noise.draw(rng, n)
        elif "median_sd_noise_reporter" in draws.hyper:
            side = _side(draws, reports.side[where][:1])[0]
            median = draws.hyper["median_sd_noise_reporter"].to_numpy()[:, side]
            spread = draws.hyper["spread_sd_noise_reporter"].to_numpy()[:, side]
            new = median * np.exp(spread * rng.standard_normal(n))
        else:
            spread = measurement.spread_sd_noise_reporter.draw(rng, n)
            new = measurement.median_sd_noise_reporter.draw(rng, n)
            new = new * np.exp(spread * rng.standard_normal(n))
        sd[:, where] = new[:, None]
    return sd


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """Residuals of the fitted reports given each draw, by corridor and series.

    Attributes
    ----------
    key, side
        Corridor and series of each report, and position of its side among those of the spreads.
    corridor
        Of each report.
    residual, noise
        What is left of its site's mean, and its noise variance at weight one, (sample, report).
    site
        Variance of its site, (report,).
    precision
        Inverse of noise, at the weight of the mode, and site variance, (sample, report).
    weight, count
        Noise weight, and number of reports, by key.
    """

    key: NDArray[np.object_]
    side: NDArray[np.int64]
    corridor: NDArray[np.int64]
    residual: FloatArray
    noise: FloatArray
    site: FloatArray
    precision: FloatArray
    weight: pd.Series
    count: pd.Series


def fitted_residuals(posterior: Posterior, draws: Draws) -> Residuals:
    """Return what fitted reports of the corridors leave over without flows and known effects."""
    reports, data = saved_reports(posterior, draws.corridors)
    rng = np.random.default_rng(0)  # nothing new is drawn: every label was fitted
    mean = _log_flow(draws, reports)
    mean = mean + _offset(draws, posterior, reports, rng)
    mean = mean + _effects(posterior, draws, reports, rng)
    noise = _noise_sd(draws, posterior, reports, rng) ** 2
    site = data["site_variance"].to_numpy()
    variance = noise / data["noise_weight"].to_numpy() + site
    key = _series_key(reports)
    weight = pd.Series(data["noise_weight"].to_numpy(), index=key)
    return Residuals(
        key,
        _side(draws, reports.side),
        reports.corridor,
        data["site_mean"].to_numpy() - mean,
        noise,
        site,
        1.0 / variance,
        weight.groupby(level=0).first(),
        weight.groupby(level=0).size(),
    )


def _series_key(reports: Reports) -> NDArray[np.object_]:
    return np.array(
        [f"{c}/{s}" for c, s in zip(reports.corridor, reports.series, strict=True)], dtype=object
    )


def _series_effects(
    draws: Draws, fitted: Residuals, reports: Reports, rng: np.random.Generator
) -> FloatArray:
    """Draw corridor-by-source effects given flows and fitted reports, (sample, report).

    Given the flows and the coefficients these effects are independent normals.
    """
    n = len(draws.log_flow)
    if "sd_corridor_report" not in draws.hyper:
        return np.zeros((n, reports.n))
    keys, where = np.unique(_series_key(reports), return_inverse=True)
    group = pd.Index(keys).get_indexer(pd.Index(fitted.key))
    inside = group >= 0
    precision, shift = np.zeros((n, len(keys))), np.zeros((n, len(keys)))
    for k in np.flatnonzero(inside):
        precision[:, group[k]] += fitted.precision[:, k]
        shift[:, group[k]] += fitted.precision[:, k] * fitted.residual[:, k]
    first = np.unique(where, return_index=True)[1]
    side = _side(draws, reports.side[first])
    precision += 1.0 / draws.hyper["sd_corridor_report"].to_numpy()[:, side] ** 2
    effect = shift / precision + rng.standard_normal(precision.shape) / np.sqrt(precision)
    return np.asarray(effect[:, where])


def _noise_weights(
    posterior: Posterior, fitted: Residuals, reports: Reports, n: int, rng: np.random.Generator
) -> FloatArray:
    """Draw the noise weight of each report's corridor and series, (sample, report)."""
    nu = posterior.spec.tails.reports
    if nu is None:
        return np.ones((n, reports.n))
    keys, where = np.unique(_series_key(reports), return_inverse=True)
    count = fitted.count.reindex(keys).fillna(0.0).to_numpy()
    mean = fitted.weight.reindex(keys).fillna(1.0).to_numpy()
    shape = (nu + count) / 2.0
    return np.asarray(rng.gamma(shape, mean / shape, (n, len(keys)))[:, where])


def log_expected(
    posterior: Posterior,
    draws: Draws,
    fitted: Residuals,
    reports: Reports,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the log of what each report is expected to count, before noise, (sample, report)."""
    log_mean = _log_flow(draws, reports) + _offset(draws, posterior, reports, rng)
    log_mean += _effects(posterior, draws, reports, rng)
    return np.asarray(log_mean + _series_effects(draws, fitted, reports, rng))


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What reports are expected to be, and how far off each may be.

    Attributes
    ----------
    reports
        Those of single cells, as the measurement sees them; `row` is their position in the table.
    log_mean
        Log of the expected figure of each, noise left out, (sample, report).
    sd
        Of the noise on the log scale, its weight drawn, (sample, report).
    standard_error
        Of surveys' figures, in persons, (report,); NaN where there is none.
    totals
        Reports of sums; None if there are none.
    draws, fitted
        What the expectations were made of.
    """

    reports: Reports
    log_mean: FloatArray
    sd: FloatArray
    standard_error: FloatArray
    totals: Totals | None
    draws: Draws
    fitted: Residuals


def expect_reports(
    posterior: Posterior, observations: Observations, rng: np.random.Generator
) -> Expected:
    """Return the expectations of reports that were not fitted, and their noise.

    Parameters
    ----------
    posterior, observations
        As for `draw_reports`, and so is what is raised.
    rng
        For effects and noise weights that no fitted report tells.
    """
    grid, table, name = grid_of(posterior), observations.table, observations.name
    measurement, quantity = posterior.spec.measurement, posterior.spec.quantity
    outside = measurement.places_outside
    period = posterior.spec.period
    usable = usable_rows(table, grid, name, outside=outside, quantity=quantity, period=period)
    kept = as_cells(table[usable], quantity, period, add_up=False)
    single = kept[is_single_cell(kept, grid)]
    read: dict[str, Any] = {"quantity": quantity, "design_effect": measurement.design_effect}
    reports = build_reports(single, grid, **read)
    reports = replace(reports, row=single.index.to_numpy()[reports.row])
    totals, _ = build_totals(kept, grid, name, outside=outside, details=False, **read)
    summed = np.zeros(0, dtype=np.int64) if totals is None else totals.entries.corridor
    draws = stack_draws(posterior, np.unique(np.concatenate([reports.corridor, summed])))
    fitted = fitted_residuals(posterior, draws)
    refuse_absent(observations, reports, np.isnan(_log_flow(draws, reports)[:1]).any(axis=0))
    log_mean = log_expected(posterior, draws, fitted, reports, rng)
    sd = _noise_sd(draws, posterior, reports, rng)
    sd = sd / np.sqrt(_noise_weights(posterior, fitted, reports, len(sd), rng))
    error = table["standard_error"].to_numpy(float)[reports.row]
    return Expected(reports, log_mean, sd, error, totals, draws, fitted)
