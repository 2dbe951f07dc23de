"""Predictive distribution of reports that were not fitted: bias, noise and counting included."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._figures import draw_figures, effect_sum, refuse_absent, saved_reports
from flowcast.model.assemble import report_offset
from flowcast.model.cells import as_cells
from flowcast.model.grid import Grid
from flowcast.model.reports import SIDES, Reports, build_reports, usable_rows
from flowcast.model.totals_cells import is_single_cell
from flowcast.model.totals_rows import Totals, build_totals
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.vocabulary import PREDICTION_QUANTILES

__all__ = ["draw_reports", "predict"]

FloatArray = NDArray[np.float64]
_MAX_LOG = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Draws of everything a report depends on, (sample, ...); sample = chain x draw kept.

    `log_flow` has the corridors of the reports at hand only; `corridors` says which, sorted.
    """

    log_flow: FloatArray
    corridors: NDArray[np.int64]
    hyper: dict[str, xr.DataArray]
    coefficient: pd.DataFrame
    unit_weight: pd.Series


def _stack(posterior: Posterior, corridors: NDArray[np.int64]) -> _Draws:
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
    return _Draws(
        latent.to_numpy().astype(float).reshape(n, *latent.shape[2:]),
        corridors,
        hyper,
        pd.DataFrame(terms["coefficient"].to_numpy().reshape(n, -1), columns=label),
        pd.Series(terms["unit_weight"].to_numpy(), index=label),
    )


def _log_flow(draws: _Draws, reports: Reports) -> FloatArray:
    """Return the log flow that each report is of, (sample, report)."""
    position = np.searchsorted(draws.corridors, reports.corridor)
    return np.asarray(draws.log_flow[:, position, reports.period])


def _grid(posterior: Posterior) -> Grid:
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
    draws: _Draws, name: str, dim: str, wanted: NDArray[np.object_]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return a vector parameter at each report's label (sample, report), and which were known."""
    n = len(draws.log_flow)
    if name not in draws.hyper:
        return np.full((n, len(wanted)), np.nan), np.zeros(len(wanted), dtype=bool)
    array = draws.hyper[name]
    position = pd.Index(array[dim].to_numpy().astype(object)).get_indexer(pd.Index(wanted))
    return array.to_numpy()[:, position], position >= 0


def _side(draws: _Draws, side: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the position of each side among those that spreads go by.

    A side without any fitted report has the spreads of the last, for want of its own.
    """
    known = next((h["side"] for h in draws.hyper.values() if "side" in h.dims), None)
    labels = list(SIDES.values()) if known is None else known.to_numpy().astype(str).tolist()
    found = pd.Index(labels).get_indexer(pd.Index(side.astype(str)))
    return np.where(found < 0, len(labels) - 1, found).astype(np.int64)


def _effects(
    posterior: Posterior, draws: _Draws, reports: Reports, rng: np.random.Generator
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
    return total + effect_sum(posterior, _grid(posterior), reports, draws.coefficient, rng)


def _unit_weight(
    draws: _Draws, key: str, nu: float | None, n: int, rng: np.random.Generator
) -> FloatArray:
    """Return the scale weight of a unit: what its other periods say, or a draw from the prior."""
    stem = key.rsplit("@", 1)[0]
    same = [c for c in draws.unit_weight.index if c.rsplit("@", 1)[0] == stem]
    return np.full(n, draws.unit_weight[same[0]]) if same else _weights(nu, (n,), rng)


def _offset(draws: _Draws, posterior: Posterior, reports: Reports, rng: Any) -> FloatArray:
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


def _noise_sd(draws: _Draws, posterior: Posterior, reports: Reports, rng: Any) -> FloatArray:
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
class _Fitted:
    """Residuals of the fitted reports given each draw, by corridor and series."""

    key: NDArray[np.object_]
    residual: FloatArray
    precision: FloatArray
    weight: pd.Series
    count: pd.Series


def _fitted(posterior: Posterior, draws: _Draws) -> _Fitted:
    """Return what fitted reports of the corridors leave over without flows and known effects."""
    reports, data = saved_reports(posterior, draws.corridors)
    rng = np.random.default_rng(0)  # nothing new is drawn: every label was fitted
    mean = _log_flow(draws, reports)
    mean = mean + _offset(draws, posterior, reports, rng)
    mean = mean + _effects(posterior, draws, reports, rng)
    sd = _noise_sd(draws, posterior, reports, rng)
    variance = sd**2 / data["noise_weight"].to_numpy() + data["site_variance"].to_numpy()
    key = _series_key(reports)
    weight = pd.Series(data["noise_weight"].to_numpy(), index=key)
    return _Fitted(
        key,
        data["site_mean"].to_numpy() - mean,
        1.0 / variance,
        weight.groupby(level=0).first(),
        weight.groupby(level=0).size(),
    )


def _series_key(reports: Reports) -> NDArray[np.object_]:
    return np.array(
        [f"{c}/{s}" for c, s in zip(reports.corridor, reports.series, strict=True)], dtype=object
    )


def _series_effects(
    draws: _Draws, fitted: _Fitted, reports: Reports, rng: np.random.Generator
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
    posterior: Posterior, fitted: _Fitted, reports: Reports, n: int, rng: np.random.Generator
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


def _log_expected(
    posterior: Posterior, draws: _Draws, fitted: _Fitted, reports: Reports, rng: Any
) -> FloatArray:
    """Return the log of what each report is expected to count, before noise, (sample, report)."""
    log_mean = _log_flow(draws, reports) + _offset(draws, posterior, reports, rng)
    log_mean += _effects(posterior, draws, reports, rng)
    return np.asarray(log_mean + _series_effects(draws, fitted, reports, rng))


def _draw_sums(
    posterior: Posterior,
    draws: _Draws,
    fitted: _Fitted,
    totals: Totals,
    standard_error: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw reports of sums, (sample, total); cells of places that did not exist are empty.

    A standard error (total,) is one in persons around what is predicted, so that the figure itself
    is not looked at; without one (NaN) the sampling error is relative.
    """
    persons = np.exp(_log_expected(posterior, draws, fitted, totals.entries, rng))
    parts = np.add.reduceat(np.nan_to_num(persons), totals.entry_start, axis=1)
    if "sd_noise_total" in draws.hyper:
        sd = draws.hyper["sd_noise_total"].to_numpy()
    else:
        sd = posterior.spec.measurement.sd_noise_total.draw(rng, len(persons))
    relative = np.where(np.isnan(standard_error), totals.sampling, 0.0)
    sd = np.sqrt(np.asarray(sd)[:, None] ** 2 + relative[totals.part_total])
    noisy = parts * np.exp(sd * rng.standard_normal(parts.shape))
    count = totals.part_sign * rng.poisson(np.minimum(noisy, np.exp(_MAX_LOG)))
    total = np.add.reduceat(count.astype(float), totals.part_start, axis=1)
    noise = np.nan_to_num(standard_error) * rng.standard_normal(total.shape)
    return np.where(totals.net, total + noise, np.maximum(total + noise, 0.0))


def draw_reports(
    posterior: Posterior, observations: Observations, *, seed: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw from the predictive distribution of reports.

    Parameters
    ----------
    posterior
        A fit whose places and periods cover the reports.
    observations
        Reports; their values are not looked at. Of surveys their standard errors are, which are
        the larger the larger the figure: a score of withheld surveys is a little flattered.
    seed
        Of the predictive noise.

    Returns
    -------
    row : (report,)
        Position of each predicted report in the table; mirrors and superseded vintages are left
        out, and have no prediction.
    count : (sample, report)
        Predicted counts, persons.

    Raises
    ------
    InputError
        If a report's place or period is not in the fit, or the model has no part for it.
    """
    grid, table, name = _grid(posterior), observations.table, observations.name
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
    rng = np.random.default_rng(np.random.SeedSequence([seed, 5]))
    summed = np.zeros(0, dtype=np.int64) if totals is None else totals.entries.corridor
    draws = _stack(posterior, np.unique(np.concatenate([reports.corridor, summed])))
    fitted = _fitted(posterior, draws)
    log_mean = _log_flow(draws, reports)
    refuse_absent(observations, reports, np.isnan(log_mean[:1]).any(axis=0))
    log_mean = _log_expected(posterior, draws, fitted, reports, rng)
    sd = _noise_sd(draws, posterior, reports, rng)
    sd = sd / np.sqrt(_noise_weights(posterior, fitted, reports, len(sd), rng))
    log_mean += sd * rng.standard_normal(sd.shape)
    error = table["standard_error"].to_numpy(float)[reports.row]
    count = draw_figures(posterior, reports, error, log_mean, rng)
    if totals is None:
        return reports.row, count
    error = table["standard_error"].to_numpy(float)[totals.row]
    sums = _draw_sums(posterior, draws, fitted, totals, error, rng)
    return np.concatenate([reports.row, totals.row]), np.concatenate([count, sums], axis=1)


def predict(posterior: Posterior, observations: Observations, *, seed: int = 1) -> pd.DataFrame:
    """Summarise the predictive distribution of reports that were not fitted.

    Parameters
    ----------
    posterior
        A fit whose places and periods cover the reports.
    observations
        Reports, held out or new; their values are not used.
    seed
        Of the predictive noise.

    Returns
    -------
    DataFrame
        The rows given, plus `mean`, `median`, `sd` and the quantiles `q2.5` ... `q97.5` of the
        *report*, in persons: definition, undercount, reporter effects, noise and counting included.

    Raises
    ------
    InputError
        If a report's place or period is not in the fit, or the model has no part for it.
    """
    row, count = draw_reports(posterior, observations, seed=seed)
    out = pd.DataFrame(index=row)
    out["mean"] = count.mean(axis=0)
    out["median"] = np.median(count, axis=0)
    out["sd"] = count.std(axis=0, ddof=1)
    for q in PREDICTION_QUANTILES:
        out[f"q{100 * q:g}"] = np.quantile(count, q, axis=0)
    return observations.table.reset_index(drop=True).join(out)
