"""What a posterior keeps of fitted reports, and how figures are drawn: parts of `prediction`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.errors import Fault, InputError
from flowcast.model.effects import EffectTerms, effect_terms
from flowcast.model.grid import Grid
from flowcast.model.reports import COUNTED, RELATIVE, SAMPLED, Reports
from flowcast.model.totals_rows import Totals
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.vocabulary import EFFECT_COLUMN

__all__ = [
    "draw_figures",
    "draw_sums",
    "effect_sum",
    "fitted_effects",
    "refuse_absent",
    "saved_reports",
]

FloatArray = NDArray[np.float64]

_MAX_LOG = 30.0
_NUMBERS = ("span", "sampling", "floor")


def saved_reports(posterior: Posterior, corridors: NDArray[np.int64]) -> tuple[Reports, xr.Dataset]:
    """Return the fitted reports of some corridors, as reports and as they are kept.

    A run made before families other than administrative were fitted lacks what it did not need.
    """
    data = posterior.tree["reports"].to_dataset()
    data = data.isel(report=np.isin(data["corridor"].to_numpy(), corridors))
    n = data.sizes["report"]
    names = ["row", "corridor", "period", "value", "side", "unit", "series", "noise", "share"]
    names += ["source", "family", "criterion", "span", "reading", "sampling", "floor"]
    arrays: dict[str, Any] = {
        k: data[k].to_numpy().astype(object) if data[k].dtype.kind in "UOT" else data[k].to_numpy()
        for k in names
        if k in data
    }
    before: dict[str, Any] = {
        "row": np.arange(n),
        "source": np.array([s.split(":", 1)[1] for s in arrays["series"]], dtype=object),
        "family": np.full(n, "administrative", dtype=object),
        "criterion": np.full(n, "residence", dtype=object),
        "reading": np.full(n, COUNTED),
        **{name: np.zeros(n) for name in _NUMBERS},
    }
    graded = np.array([":" not in str(x) for x in arrays["noise"]], dtype=bool)
    return Reports(**before | arrays, graded=graded, duration=data["duration"].to_numpy()), data


def fitted_effects(posterior: Posterior, grid: Grid, reports: Reports) -> EffectTerms:
    """Return the declared effects and biases of reports, fitted or not, with their priors."""
    cells = posterior.tree["cells"].to_dataset()
    columns = {
        str(name).removeprefix(EFFECT_COLUMN): array.to_numpy()
        for name, array in cells.data_vars.items()
        if str(name).startswith(EFFECT_COLUMN)
    }
    return effect_terms(posterior.spec, grid, reports, columns)


def effect_sum(
    posterior: Posterior,
    grid: Grid,
    reports: Reports,
    coefficient: pd.DataFrame,
    rng: np.random.Generator,
) -> FloatArray:
    """Return declared effects and biases of reports, (sample, report); new ones from the prior.

    Parameters
    ----------
    posterior, grid
        The fit and its cells.
    reports
        Fitted or not.
    coefficient
        Draws, (sample, coefficient), with columns ``group/name``.
    rng
        For coefficients that were not fitted.
    """
    terms, n = fitted_effects(posterior, grid, reports), len(coefficient)
    out = np.zeros((n, reports.n))
    for k, name in enumerate(terms.names):
        entries = terms.index == k
        known = f"effect/{name}"
        if known in coefficient:
            draw = coefficient[known].to_numpy()
        else:
            draw = terms.mean[k] + terms.sd[k] * rng.standard_normal(n)
        out[:, terms.report[entries]] += draw[:, None] * terms.value[entries]
    return out


def draw_figures(
    posterior: Posterior,
    reports: Reports,
    standard_error: FloatArray,
    log_mean: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw figures around the logs of their expectations, (sample, report).

    Parameters
    ----------
    posterior, reports
        The fit, and the reports to draw.
    standard_error
        Of surveys' figures, in persons, (report,); NaN where the sampling error is relative.
    log_mean
        Log of the expected figure, noise included, (sample, report).
    rng
        Source of randomness.
    """
    scale = np.where(reports.reading == RELATIVE, posterior.spec.measurement.index_elasticity, 1.0)
    expected = np.exp(np.minimum(log_mean * scale, _MAX_LOG))
    out = np.empty_like(expected)
    counted, sampled = reports.reading == COUNTED, reports.reading == SAMPLED
    out[:, counted] = rng.poisson(expected[:, counted])
    index = reports.reading == RELATIVE
    out[:, index] = np.maximum(expected[:, index] - 0.5, 0.0)  # what is fitted is log(value + 1/2)
    error = standard_error[sampled]
    relative = expected[:, sampled] * np.sqrt(reports.sampling[sampled])
    sd = np.where(np.isnan(error), relative, error)
    noisy = expected[:, sampled] + sd * rng.standard_normal(sd.shape)
    out[:, sampled] = np.maximum(noisy, 0.0)
    return out


def draw_sums(
    posterior: Posterior,
    hyper: Mapping[str, xr.DataArray],
    totals: Totals,
    log_expected: FloatArray,
    standard_error: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw reports of sums, (sample, total); cells of places that did not exist are empty.

    A standard error (total,) is one in persons around what is predicted, so that the figure itself
    is not looked at; without one (NaN) the sampling error is relative. `log_expected` is of the
    sums' entries, (sample, entry).
    """
    persons = np.exp(log_expected)
    parts = np.add.reduceat(np.nan_to_num(persons), totals.entry_start, axis=1)
    if "sd_noise_total" in hyper:
        sd = hyper["sd_noise_total"].to_numpy()
    else:
        sd = posterior.spec.measurement.sd_noise_total.draw(rng, len(persons))
    relative = np.where(np.isnan(standard_error), totals.sampling, 0.0)
    sd = np.sqrt(np.asarray(sd)[:, None] ** 2 + relative[totals.part_total])
    noisy = parts * np.exp(sd * rng.standard_normal(parts.shape))
    count = totals.part_sign * rng.poisson(np.minimum(noisy, np.exp(_MAX_LOG)))
    total = np.add.reduceat(count.astype(float), totals.part_start, axis=1)
    noise = np.nan_to_num(standard_error) * rng.standard_normal(total.shape)
    return np.where(totals.net, total + noise, np.maximum(total + noise, 0.0))


def refuse_absent(observations: Observations, reports: Reports, absent: NDArray[np.bool_]) -> None:
    """Refuse reports of a place in a period in which it did not exist."""
    rows = observations.table.iloc[reports.row[absent]]
    if len(rows):
        pairs = sorted({f"{o}-{d}" for o, d in zip(rows.origin, rows.destination, strict=True)})
        raise InputError(
            [Fault(observations.name, ", ".join(pairs), "places that existed in the period")]
        )
