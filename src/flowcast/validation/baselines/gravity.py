"""Gravity models by Poisson pseudo-maximum likelihood, spread by their errors on unseen reports.

Santos Silva & Tenreyro 2006, doi 10.1162/rest.88.4.641: the mean of a flow is the exponential of
something linear, whatever the distribution around it. That distribution is not Poisson; what the
predictions are off by on reports that they had not seen stands for it (`spread`).
"""

import warnings
from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from flowcast.scores import LOG_SHIFT
from flowcast.validation.baselines.cells import Cells, lay_out
from flowcast.validation.baselines.rows import N_DRAWS, FloatArray, Known
from flowcast.validation.baselines.spread import draws_by_size, imitate

__all__ = ["gravity_fixed_effects_draws", "gravity_ppml_draws"]

Rows = NDArray[np.int64]
Method = Callable[[Cells, Rows, Rows], FloatArray]

PENALTY: Final = 1e-7
"""Of effects, beside the mean deviance of flows of mean 1: it holds an effect whose reports are all
zero, puts one without a report at the mean of the others, and leaves the rest alone."""
MAX_LOG: Final = 30.0


def gravity_ppml_draws(known: Known) -> FloatArray:
    """Predict by the model's covariates, the side that reports, and the year.

    Generalised linear model of statsmodels, without effects of places: what is known of a place
    that nobody speaks of. A year without reports takes the effect of the nearest one.

    Parameters
    ----------
    known
        Fitted reports, rows to predict, covariates and the model's terms.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Quantiles, persons; NaN for what is no flow between two places, and everywhere if the model
        has no covariates.
    """
    return _draws(known, _ppml, needs_covariates=True)


def gravity_fixed_effects_draws(known: Known) -> FloatArray:
    """Predict by covariates, side and year, and an effect of each origin and destination.

    `PoissonRegressor` of scikit-learn, on a sparse design. Parameters and result are those of
    `gravity_ppml_draws`, but the model needs no covariates.
    """
    return _draws(known, _fixed_effects, needs_covariates=False)


def _draws(known: Known, method: Method, *, needs_covariates: bool) -> FloatArray:
    cells = lay_out(known, needs_covariates=needs_covariates)
    if cells is None:
        return np.full((N_DRAWS, len(known.held_out)), np.nan)
    n, n_wanted = len(cells.table), len(cells.wanted)
    every, wanted = np.arange(n), np.arange(n, n + n_wanted)
    seen = np.full(n, np.nan)
    with threadpool_limits(1):  # linear algebra on several threads differs in the last digits
        for rows, mask in imitate(cells.table, cells.wanted, known.seed):
            if cells.value[mask].any():
                seen[rows] = method(cells, np.flatnonzero(mask), rows)
        point = method(cells, every, wanted)
    return cells.spread_out(draws_by_size(point, seen, cells.log_value - seen))


def _ppml(cells: Cells, train: Rows, rows: Rows) -> FloatArray:
    """Fit to some of the fitted rows, and return log(mean + 1/2) of other rows."""
    import statsmodels.api as sm

    effects = [_dummies(cells.labels["channel"], train), _periods(cells, train)]
    design = np.column_stack([np.ones(len(cells.labels)), cells.covariates, *effects])
    model = sm.GLM(cells.value[train], design[train], family=sm.families.Poisson())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a level whose reports are all zero has no finite effect
        fitted = model.fit(maxiter=100)
    return _log_mean(design[rows] @ fitted.params)


def _fixed_effects(cells: Cells, train: Rows, rows: Rows) -> FloatArray:
    from sklearn.linear_model import PoissonRegressor

    labels = cells.labels
    effects = [_dummies(labels[name], train) for name in ("origin", "destination", "channel")]
    design = sparse.hstack(
        [cells.covariates, *map(sparse.csr_matrix, effects), _periods(cells, train)], format="csr"
    )
    mean = cells.value[train].mean()
    model = PoissonRegressor(alpha=PENALTY, solver="newton-cholesky", max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(design[train], cells.value[train] / mean)
    return _log_mean(design[rows] @ model.coef_ + model.intercept_ + np.log(mean))


def _dummies(labels: pd.Series, train: Rows) -> FloatArray:
    """Return a column for each level of the rows that are fitted; others have zeros."""
    levels = np.sort(labels.iloc[train].unique())
    return np.asarray(labels.to_numpy()[:, None] == levels, dtype=np.float64)


def _periods(cells: Cells, train: Rows) -> FloatArray:
    """Return a column for each fitted year; another year is taken for the nearest of them."""
    period = cells.labels["period"].to_numpy()
    years = np.unique(period[train])
    nearest = np.abs(period[:, None] - years).argmin(axis=1)
    return np.asarray(nearest[:, None] == np.arange(len(years)), dtype=np.float64)


def _log_mean(linear: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.exp(np.clip(linear, -MAX_LOG, MAX_LOG)) + LOG_SHIFT))
