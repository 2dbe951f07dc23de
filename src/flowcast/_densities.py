"""Densities at the draws of a posterior: of its priors, of fitted reports, of predicted ones.

All are of the thinned draws, those that have latent flows and coefficients.
"""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln, log_ndtr, logsumexp

from flowcast._expectation import Expected, Residuals, fitted_residuals, grid_of, stack_draws
from flowcast._figures import fitted_effects, saved_reports
from flowcast.model.figures import count_mode
from flowcast.model.hyper import prior_of
from flowcast.model.reports import COUNTED, RELATIVE, SAMPLED
from flowcast.posterior import Posterior
from flowcast.priors import Prior
from flowcast.scores import LIGHTEST_LOG, log_between, log_score

__all__ = ["kept_hyper", "log_predictive", "log_priors", "log_reports"]

FloatArray = NDArray[np.float64]

BLOCK: Final = 4_000_000
"""Numbers in an array of draws and reports that is worked on at a time (32 MB)."""
SAMPLE: Final = ("chain", "draw")
_LOG_WEIGHT_RANGE, _N_WEIGHT = (-6.0, 2.5), 16
"""Log weights over which noise is averaged: the trapezoidal rule, in steps of about half."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(16)
_LOG_WEIGHTS = np.log(_WEIGHTS) + _NODES**2 / 2.0


def kept_hyper(posterior: Posterior) -> dict[str, xr.DataArray]:
    """Return the hyper-parameters that belong to each latent draw, one by one.

    Returns
    -------
    dict
        ``name`` or ``name[label]`` to draws, dims (chain, draw), with the attributes `name` and
        `label`.
    """
    kept = posterior.tree["latent"]["hyper_draw"].transpose(*SAMPLE).to_numpy()
    out: dict[str, xr.DataArray] = {}
    for name, array in posterior.tree["posterior"].to_dataset().data_vars.items():
        values = array.transpose(*SAMPLE, ...)
        drawn = np.stack([values.to_numpy()[c, rows] for c, rows in enumerate(kept)])
        labels = [""] if values.ndim == 2 else [str(k) for k in values[values.dims[2]].to_numpy()]
        for k, label in enumerate(labels):
            one = drawn if values.ndim == 2 else drawn[..., k]
            called = f"{name}[{label}]" if label else str(name)
            out[called] = xr.DataArray(one, dims=SAMPLE, attrs={"name": str(name), "label": label})
    return out


def log_priors(posterior: Posterior) -> dict[str, xr.DataArray]:
    """Return the log prior density of each parameter whose prior the model states.

    These are the hyper-parameters but those that are pooled, and the linear coefficients with a
    prior of their own: intercept, covariates, biases and declared effects. Effects of places and
    reporters have spreads that are parameters, and noise sds of reporters have medians that are:
    their distributions are part of the model.

    Returns
    -------
    dict
        Name to densities on the parameter's own scale, dims (chain, draw), with the attribute
        `part`: ``process`` or ``measurement``.
    """
    spec, out = posterior.spec, {}
    process = type(spec.process).model_fields
    for called, values in kept_hyper(posterior).items():
        prior = prior_of(spec, values.attrs["name"], values.attrs["label"])
        if prior is not None:
            part = "process" if values.attrs["name"] in process else "measurement"
            out[called] = values.copy(data=prior.log_density(values.to_numpy()))
            out[called].attrs |= {"part": part}
    terms = posterior.tree["coefficients"].to_dataset()
    stated = _coefficient_priors(posterior)
    drawn = terms["coefficient"].transpose(*SAMPLE, "term").to_numpy()
    for k, pair in enumerate(zip(terms["group"].values, terms["term"].values, strict=True)):
        group, name = map(str, pair)
        if (group, name) in stated:
            density = stated[group, name].log_density(drawn[..., k])
            part = "measurement" if group == "effect" else "process"
            attrs = {"name": name, "label": "", "part": part}
            out[name] = xr.DataArray(density, dims=SAMPLE, attrs=attrs)
    return out


def _coefficient_priors(posterior: Posterior) -> dict[tuple[str, str], Prior]:
    """Return the priors of linear coefficients that have one of their own, by group and name."""
    process = posterior.spec.process
    out = {("intercept", "intercept"): process.intercept}
    out |= {("covariate", term.name): term.prior for term in process.covariates}
    if (posterior.tree["coefficients"]["group"] == "effect").any():
        everywhere = np.arange(posterior.log_flow.sizes["corridor"])
        reports, _ = saved_reports(posterior, everywhere)
        found = fitted_effects(posterior, grid_of(posterior), reports)
        for name, mean, sd in zip(found.names, found.mean, found.sd, strict=True):
            out["effect", name] = Prior("normal", (float(mean), float(sd)))
    return out


def log_reports(posterior: Posterior) -> xr.DataArray:
    """Return the log density of the fitted reports given flows, coefficients and hyper-parameters.

    Corridor-by-source effects and the weights behind heavy tails are integrated out. Counts and
    floors enter by their Gaussian stand-ins at the mode; reports of sums are not in it.

    Returns
    -------
    DataArray
        Up to a constant, dims (chain, draw, corridor), corridors as those of the latent flows.
    """
    sizes = posterior.log_flow.sizes
    n_sample = sizes["chain"] * sizes["draw"]
    corridor = posterior.tree["reports"]["corridor"].to_numpy()
    out = np.zeros((n_sample, sizes["corridor"]))
    n_block = -(-n_sample * len(corridor) // BLOCK)
    for some in np.array_split(np.unique(corridor), max(n_block, 1)):
        draws = stack_draws(posterior, some)
        spread = draws.hyper.get("sd_corridor_report")
        found = fitted_residuals(posterior, draws)
        own, density = _by_series(
            found, None if spread is None else spread.to_numpy(), posterior.spec.tails.reports
        )
        for k, c in enumerate(own):
            out[:, c] += density[:, k]
    shaped = out.reshape(sizes["chain"], sizes["draw"], -1)
    return xr.DataArray(shaped, dims=(*SAMPLE, "corridor"))


def _by_series(
    fitted: Residuals, spread: FloatArray | None, nu: float | None
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the log density of the reports of each corridor and series, up to a constant.

    Parameters
    ----------
    fitted
        Residuals of reports.
    spread
        Sd of the effect that reports of a series share, by side, (sample, side).
    nu
        Degrees of freedom of their noise.

    Returns
    -------
    corridor : (series,)
    density : (sample, series)
    """
    order = np.argsort(fitted.key, kind="stable")
    first = np.unique(fitted.key[order], return_index=True)[1]
    residual, noise, site = (
        each[:, order] for each in (fitted.residual, fitted.noise, np.atleast_2d(fitted.site))
    )
    variance = np.zeros((len(residual), len(first)))
    if spread is not None:
        variance = spread[:, fitted.side[order[first]]] ** 2

    def given(weight: float) -> FloatArray:
        precision = 1.0 / (noise / weight + site)
        own = np.log(precision) - precision * residual**2
        total, size, pull = (
            np.add.reduceat(each, first, axis=1) for each in (own, precision, precision * residual)
        )
        inflated = 1.0 + variance * size
        return np.asarray(0.5 * (total + variance * pull**2 / inflated - np.log(inflated)))

    corridor = fitted.corridor[order[first]]
    if nu is None:
        return corridor, given(1.0)
    at = np.linspace(*_LOG_WEIGHT_RANGE, _N_WEIGHT)
    prior = Prior("gamma", (nu / 2.0, nu / 2.0)).log_density(np.exp(at)) + at
    density = np.full_like(variance, -np.inf)
    for u, log_prior in zip(at, prior, strict=True):
        density = np.logaddexp(density, given(float(np.exp(u))) + log_prior)
    return corridor, density


def log_predictive(
    expected: Expected, value: FloatArray, elasticity: float, figures: FloatArray
) -> FloatArray:
    """Return the log predictive probability of each reported figure.

    The mean over draws of the probability of the figure given the draw: of a count that of the
    Poisson distribution whose log rate is normal, integrated by adaptive Gauss-Hermite quadrature
    around its mode; of an index that of all that rounds to it; of a figure with a floor it does not
    exceed, that of being below the floor. No draw of noise or count enters, so that reports far
    from all draws have a probability too. A survey's comes from its drawn figures, smoothed
    (`scores.log_score`).

    Parameters
    ----------
    expected
        From `expect_reports`.
    value
        What was reported, persons or index, (report,).
    elasticity
        Of indices.
    figures
        Draws of the reports, (sample, report).

    Returns
    -------
    ndarray, shape (report,)
        At least -50.
    """
    reports, out = expected.reports, np.empty(len(value))
    step = max(1, BLOCK // (len(_NODES) * len(expected.log_mean)))
    for start in range(0, len(value), step):
        some = slice(start, start + step)
        mean, sd, seen = expected.log_mean[:, some], expected.sd[:, some], value[some]
        hidden, reading = reports.censored[some], reports.reading[some]
        scale = np.where(reading == RELATIVE, elasticity, 1.0)
        log_given = np.empty_like(mean)
        floor = np.log(np.maximum(reports.floor[some], 1.0)) / scale
        log_given[:, hidden] = log_ndtr(((floor - mean) / sd)[:, hidden])
        count, index = (reading == COUNTED) & ~hidden, (reading == RELATIVE) & ~hidden
        log_given[:, count] = _log_counts(seen[count], mean[:, count], sd[:, count])
        with np.errstate(divide="ignore"):
            bounds = (np.log(seen + k) / scale for k in (0.0, 1.0))
            low, high = (((bound - mean) / sd)[:, index] for bound in bounds)
        log_given[:, index] = log_between(low, high)
        out[some] = logsumexp(log_given, axis=0) - np.log(len(mean))
        survey = np.flatnonzero((reading == SAMPLED) & ~hidden)
        out[start + survey] = -log_score(figures[:, start + survey], seen[survey])
    return np.maximum(out, LIGHTEST_LOG)


def _log_counts(value: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Return the log probability of counts whose log rates are normal, (sample, report)."""
    mode, scale = count_mode(value, mean, sd**2)
    eta = mode[..., None] + scale[..., None] * _NODES
    z = (eta - mean[..., None]) / sd[..., None]
    inside = value[:, None] * eta - np.exp(np.minimum(eta, 700.0)) - 0.5 * z**2 + _LOG_WEIGHTS
    constant = np.log(scale / sd) - 0.5 * np.log(2.0 * np.pi) - gammaln(value + 1.0)
    return np.asarray(logsumexp(inside, axis=-1) + constant)
