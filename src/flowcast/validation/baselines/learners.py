"""Boosted trees and random forests of scikit-learn, with predictive distributions of their own.

Learners fit what they are taught too well, and their quantiles are too near each other. The last
part of what teaches is therefore set aside, and each quantile is moved by what reports depart from
it there: split conformal quantile regression (Romano, Patterson & Candès 2019, Conformalized
quantile regression, Advances in Neural Information Processing Systems 32).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from flowcast.validation.baselines.cells import lay_out
from flowcast.validation.baselines.features import build_features, teaching_rows
from flowcast.validation.baselines.rows import N_DRAWS, PROBS, FloatArray, Known, to_persons

__all__ = [
    "boosted_quantiles",
    "calibrated",
    "forest_quantiles",
    "gradient_boosting_draws",
    "random_forest_draws",
]

Learn = Callable[[FloatArray, FloatArray, FloatArray, int], FloatArray]

LEVELS: Final = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
"""Quantiles that are learned; those between and beyond lie on lines through their normal scores."""
ROUNDS: Final = 150
TREES: Final = 200
LEAF: Final = 5
MEMBERS: Final = 5
"""Reports taken at random from the leaf of each tree."""
MIN_TAUGHT: Final = 50
"""Reports to learn from, at least, and to set aside."""


def gradient_boosting_draws(known: Known) -> FloatArray:
    """Predict by gradient-boosted trees, one ensemble for each of seven quantiles.

    `HistGradientBoostingRegressor` with quantile loss on log(value + 1/2), 150 rounds. Quantiles
    that cross are sorted, which brings them nearer to the truth (Chernozhukov et al. 2010, doi
    10.3982/ECTA7880).

    Parameters
    ----------
    known
        Fitted reports, rows to predict, covariates and the model's terms.

    Returns
    -------
    ndarray, shape (99, held-out row)
        Quantiles, persons; NaN for what is no flow between two places, and everywhere with fewer
        than 50 reports to learn from.
    """
    return _draws(known, boosted_quantiles)


def random_forest_draws(known: Known) -> FloatArray:
    """Predict by a quantile regression forest: what the reports in the same leaves say.

    `RandomForestRegressor` on log(value + 1/2), 200 trees with leaves of at least five reports. Of
    each tree five reports are drawn from the leaf of the row, rather than all weighed (Meinshausen
    2006, Quantile regression forests, Journal of Machine Learning Research 7, 983-999). Parameters
    and result are those of `gradient_boosting_draws`.
    """
    return _draws(known, forest_quantiles)


def boosted_quantiles(x: FloatArray, y: FloatArray, asked: FloatArray, seed: int) -> FloatArray:
    """Return 99 quantiles of boosted trees for each asked row, as `gradient_boosting_draws` says.

    Parameters
    ----------
    x, y
        Features (row, feature) and logs (row,) to learn from.
    asked
        Features of what is to be predicted, (asked, feature).
    seed
        Of the learner.

    Returns
    -------
    ndarray, shape (99, asked)
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    found = [
        HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=ROUNDS, learning_rate=0.08,
            early_stopping=False, random_state=seed % 2**32,
        ).fit(x, y).predict(asked)
        for level in LEVELS
    ]  # fmt: skip
    return _between(np.sort(found, axis=0))


def forest_quantiles(x: FloatArray, y: FloatArray, asked: FloatArray, seed: int) -> FloatArray:
    """Return 99 quantiles of a random forest for each asked row, as `random_forest_draws` says.

    Parameters and result are those of `boosted_quantiles`.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=TREES, min_samples_leaf=LEAF, max_features=1 / 3, n_jobs=1,
        random_state=seed % 2**32,
    ).fit(x, y)  # fmt: skip
    rng = np.random.default_rng(np.random.SeedSequence([seed, 31]))
    leaves, asked_leaves = forest.apply(x), forest.apply(asked)
    drawn = [_members(leaves[:, k], asked_leaves[:, k], y, rng) for k in range(leaves.shape[1])]
    return np.asarray(np.quantile(np.concatenate(drawn), PROBS, axis=0))


def _draws(known: Known, learn: Learn) -> FloatArray:
    nothing = np.full((N_DRAWS, len(known.held_out)), np.nan)
    cells = lay_out(known)
    if cells is None:
        return nothing
    x, y, part = teaching_rows(cells, known)
    if len(y) < MIN_TAUGHT:
        return nothing
    n = len(cells.table)
    asked = build_features(cells, np.ones(n, dtype=bool), np.arange(n, n + len(cells.wanted)))
    kept = part < part.max()
    if min((~kept).sum(), kept.sum()) < MIN_TAUGHT:  # too few to set any aside
        kept = np.ones(len(y), dtype=bool)
    told = [len(np.unique(column[np.isfinite(column)])) > 1 for column in x[kept].T]
    wanted = np.concatenate([x[~kept], asked])
    # One thread: sums over several depend on their number, and so would the scorecard.
    with threadpool_limits(1):
        quantiles = learn(x[kept][:, told], y[kept], wanted[:, told], known.seed)
    aside, rest = np.split(quantiles, [int((~kept).sum())], axis=1)
    return cells.spread_out(to_persons(calibrated(rest, aside, y[~kept])))


def calibrated(quantiles: FloatArray, aside: FloatArray, value: FloatArray) -> FloatArray:
    """Return quantiles moved so that the right share of the reports set aside lies below each.

    Parameters
    ----------
    quantiles, aside
        Of what is asked (99, asked), and of what was set aside (99, row).
    value
        What these turned out to be, (row,).
    """
    if not len(value):
        return quantiles
    error = value - aside
    shift = [np.quantile(one, prob) for one, prob in zip(error, PROBS, strict=True)]
    return np.sort(quantiles + np.array(shift)[:, None], axis=0)


def _between(learned: FloatArray) -> FloatArray:
    """Return 99 quantiles from seven sorted ones, (99, row)."""
    score, at = norm.ppf(LEVELS), norm.ppf(PROBS)
    segment = np.clip(np.searchsorted(score, at) - 1, 0, len(LEVELS) - 2)
    share = (at - score[segment]) / (score[segment + 1] - score[segment])
    low, high = learned[segment], learned[segment + 1]
    return np.asarray(low + share[:, None] * (high - low))


def _members(
    leaf: NDArray[np.int64], asked: NDArray[np.int64], y: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return values drawn at random from the reports in each row's leaf, (member, row)."""
    order = np.argsort(leaf, kind="stable")
    first, last = (np.searchsorted(leaf[order], asked, side=side) for side in ("left", "right"))
    chosen = first + (rng.random((MEMBERS, len(asked))) * (last - first)).astype(np.int64)
    return y[order][chosen]
