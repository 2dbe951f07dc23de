"""Weights of several predictive distributions: those with which their mixture scores best.

Arrays only. Stacking by the log score is that of Yao et al. 2018 (doi 10.1214/17-BA1091); the CRPS
of a mixture is quadratic in its weights, and its best weights a convex quadratic problem (Allen,
Ginsbourger & Ziegel 2024, arXiv:2411.16246).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = [
    "bootstrap_weights",
    "crps_parts",
    "mixture_crps",
    "mixture_log_score",
    "stack_by_crps",
    "stack_by_log_score",
]

FloatArray = NDArray[np.float64]
type Stacker = Callable[[FloatArray], FloatArray]
"""From how often each report counts, (report,), to weights, (model,)."""

BLOCK: Final = 500
"""Reports whose distances between draws are worked on at a time."""
LEAST: Final = 1e-4
"""Weights below this are zero."""


def mixture_log_score(log_probability: FloatArray, weights: FloatArray) -> FloatArray:
    """Return minus the log probability of each report under a mixture, (report,).

    Parameters
    ----------
    log_probability
        Log predictive probabilities, (report, model).
    weights
        Adding up to one, (model,), or of each report, (report, model).

    Examples
    --------
    >>> mixture_log_score(np.log([[0.2, 0.4]]), np.array([0.5, 0.5])).round(3).tolist()
    [1.204]
    """
    top = log_probability.max(axis=1)
    inside = (np.exp(log_probability - top[:, None]) * weights).sum(axis=1)
    return np.asarray(-(top + np.log(np.maximum(inside, 1e-300))))


def crps_parts(quantiles: NDArray[np.floating], value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the CRPS of any mixture of some predictive distributions is made of.

    Parameters
    ----------
    quantiles
        Equally probable quantiles of each distribution, sorted, (model, quantile, report).
    value
        What was reported, (report,).

    Returns
    -------
    error : (report, model)
        ``E|X - y|``.
    spread : (report, model, model)
        ``E|X - X'|``, X and X' of two models, or independent of the same one.

    Examples
    --------
    >>> error, spread = crps_parts(np.array([[[0.0], [2.0]], [[4.0], [4.0]]]), np.array([1.0]))
    >>> error.tolist(), spread[0].tolist()
    ([[1.0, 3.0]], [[1.0, 3.0], [3.0, 0.0]])
    """
    n_model, _, n_report = quantiles.shape
    error = np.abs(quantiles - value).mean(axis=1).T
    spread = np.empty((n_report, n_model, n_model))
    for start in range(0, n_report, BLOCK):
        block = quantiles[..., start : start + BLOCK].astype(np.float64)
        own = [_mean_distance(one) for one in block]
        for j in range(n_model):
            spread[start : start + BLOCK, j, j] = own[j]
            for k in range(j):
                # Of both sets together the mean distance is (own + 2 between + own) / 4.
                both = np.sort(np.concatenate([block[j], block[k]]), axis=0)
                between = 2.0 * _mean_distance(both) - (own[j] + own[k]) / 2.0
                spread[start : start + BLOCK, j, k] = between
                spread[start : start + BLOCK, k, j] = between
    return error, np.maximum(spread, 0.0)


def _mean_distance(ordered: FloatArray) -> FloatArray:
    """Return the mean distance of two of the sorted numbers, drawn with replacement, (report,)."""
    n = len(ordered)
    return np.asarray(2.0 / n**2 * ((2.0 * np.arange(1, n + 1) - n - 1.0) @ ordered))


def mixture_crps(error: FloatArray, spread: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the CRPS of each report under a mixture, (report,).

    ``sum_k w_k E|X_k - y| - 1/2 sum_kl w_k w_l E|X_k - X_l|``; parameters are what `crps_parts`
    returns, and weights as for `mixture_log_score`.
    """
    each = np.broadcast_to(weights, error.shape)
    return np.asarray(
        (error * each).sum(axis=1) - 0.5 * np.einsum("rk,rkl,rl->r", each, spread, each)
    )


def stack_by_log_score(log_probability: FloatArray) -> Stacker:
    """Return what finds the weights whose mixture has the best mean log score.

    Parameters
    ----------
    log_probability
        Log predictive probabilities, (report, model).

    Examples
    --------
    >>> told = np.log([[0.6, 0.1], [0.6, 0.1], [0.1, 0.6]])
    >>> stack_by_log_score(told)(np.ones(3)).round(2).tolist()
    [0.73, 0.27]
    """
    relative = np.exp(log_probability - log_probability.max(axis=1, keepdims=True))

    def stack(times: FloatArray) -> FloatArray:
        share = times / times.sum()

        def loss(weights: FloatArray) -> tuple[float, FloatArray]:
            inside = np.maximum(relative @ weights, 1e-300)
            return -float(share @ np.log(inside)), -(share / inside) @ relative

        return _on_simplex(loss, relative.shape[1])

    return stack


def stack_by_crps(error: FloatArray, spread: FloatArray) -> Stacker:
    """Return what finds the weights whose mixture has the best mean CRPS.

    Parameters
    ----------
    error, spread
        From `crps_parts`.
    """

    def stack(times: FloatArray) -> FloatArray:
        share = times / times.sum()
        linear, square = share @ error, np.tensordot(share, spread, 1)
        scale = linear.mean() or 1.0  # so that the tolerance means the same in any unit

        def loss(weights: FloatArray) -> tuple[float, FloatArray]:
            pulled = square @ weights
            value = linear @ weights - 0.5 * weights @ pulled
            return float(value / scale), (linear - pulled) / scale

        return _on_simplex(loss, error.shape[1])

    return stack


def _on_simplex(loss: Callable[[FloatArray], tuple[float, FloatArray]], n_model: int) -> FloatArray:
    """Minimise a convex loss over weights that add up to one."""
    found = minimize(
        loss,
        np.full(n_model, 1.0 / n_model),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n_model,
        constraints={
            "type": "eq",
            "fun": lambda w: w.sum() - 1.0,
            "jac": lambda w: np.ones_like(w),
        },
        options={"ftol": 1e-12, "maxiter": 500},
    ).x
    weights = np.where(found < LEAST, 0.0, found)
    return np.asarray(weights / weights.sum())


def bootstrap_weights(
    stack: Stacker, cluster: NDArray[np.int64], n: int, rng: np.random.Generator
) -> FloatArray:
    """Return weights found from clusters of reports drawn with replacement, (replicate, model).

    Parameters
    ----------
    stack
        Finds weights.
    cluster
        Number of each report's cluster, from 0, (report,): reports of one depend on each other.
    n
        Replicates.
    rng
        Source of randomness.
    """
    n_cluster = int(cluster.max()) + 1
    found = []
    for _ in range(n):
        drawn = np.bincount(rng.integers(n_cluster, size=n_cluster), minlength=n_cluster)
        found.append(stack(drawn[cluster].astype(np.float64)))
    return np.array(found)
