"""Predictive distribution of reports that were not fitted: bias, noise and counting included."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._densities import log_predictive
from flowcast._expectation import expect_reports, log_expected
from flowcast._figures import draw_figures, draw_sums
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.vocabulary import PREDICTION_QUANTILES

__all__ = ["draw_reports", "predict", "weigh_reports"]

STREAM: Final = 5
"""Sets these random numbers apart from others of the same seed."""


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
    rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM]))
    expected = expect_reports(posterior, observations, rng)
    reports, totals, sd = expected.reports, expected.totals, expected.sd
    log_mean = expected.log_mean + sd * rng.standard_normal(sd.shape)
    count = draw_figures(posterior, reports, expected.standard_error, log_mean, rng)
    if totals is None:
        return reports.row, count
    parts = log_expected(posterior, expected.draws, expected.fitted, totals.entries, rng)
    error = observations.table["standard_error"].to_numpy(float)[totals.row]
    sums = draw_sums(posterior, expected.draws.hyper, totals, parts, error, rng)
    return np.concatenate([reports.row, totals.row]), np.concatenate([count, sums], axis=1)


def weigh_reports(
    posterior: Posterior, observations: Observations, *, seed: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Draw reports of single cells, and tell how probable the reported figures are.

    Parameters
    ----------
    posterior, observations, seed
        As for `draw_reports`, and so is what is raised. Predictions do not look at the values.

    Returns
    -------
    row : (report,)
    count : (sample, report)
        As `draw_reports` gives them, sums left out.
    log_probability : (report,)
        Log predictive probability of each reported figure, as `log_predictive` has it: averaged
        over the draws of all else, without drawing noise and count.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM]))
    expected = expect_reports(posterior, observations, rng)
    log_mean = expected.log_mean + expected.sd * rng.standard_normal(expected.sd.shape)
    row = expected.reports.row
    count = draw_figures(posterior, expected.reports, expected.standard_error, log_mean, rng)
    value = observations.table["value"].to_numpy(float)[row]
    elasticity = posterior.spec.measurement.index_elasticity
    return row, count, log_predictive(expected, value, elasticity, count)


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
