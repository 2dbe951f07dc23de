"""Ranks of true values among posterior draws, and whether they are uniform.

If truths are drawn from the prior and data from the model, the rank of a true value among L
independent posterior draws is uniform on 0, ..., L: for every quantity, whatever the model (Talts
et al. 2018, arXiv:1804.06788; Modrák et al. 2023, doi 10.1214/23-BA1404). NumPy and SciPy only.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import stats
from scipy.special import gammaln

from flowcast.errors import Fault, Faults, InputError

__all__ = ["RANK_COLUMNS", "ecdf_band", "ecdf_p_value", "rank_among", "smooth_p_value"]
__all__ += ["test_uniform"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RANK_COLUMNS: Final = ("replicate", "quantity", "rank", "n_draws")
SMOOTH_ORDER: Final = 4
MIN_SMOOTH: Final = 50
"""The chi-square distribution of the smooth test holds for so many ranks or more."""
_BISECTIONS: Final = 40


def rank_among(truth: float, draws: FloatArray, rng: np.random.Generator) -> int:
    """Return how many draws lie below the true value; equal ones count at random.

    Parameters
    ----------
    truth
        The true value.
    draws
        Posterior draws of it, as good as independent, (draw,).
    rng
        Source of randomness for ties.

    Returns
    -------
    int
        Between 0 and the number of draws.

    Examples
    --------
    >>> rank_among(2.5, np.array([1.0, 2.0, 3.0]), np.random.default_rng(1))
    2
    """
    ties = int(np.sum(draws == truth))
    return int(np.sum(draws < truth)) + int(rng.integers(0, ties + 1))


def smooth_p_value(ranks: IntArray, n_draws: int, order: int = SMOOTH_ORDER) -> float:
    """Return the p-value of Neyman's smooth test of uniform ranks.

    The first components answer to a shift and to a wrong width of the posterior, the next to skew
    and tails; for these it sees far more than a test over bins or one of the largest gap.

    Parameters
    ----------
    ranks
        Ranks between 0 and `n_draws`, (replicate,).
    n_draws
        Draws each rank is among.
    order
        Number of orthogonal polynomials.

    Returns
    -------
    float
        From the chi-square distribution with `order` degrees of freedom.

    References
    ----------
    Neyman 1937, doi 10.1080/03461238.1937.10404821.
    """
    grid = (np.arange(n_draws + 1) + 0.5) / (n_draws + 1)
    basis, _ = np.linalg.qr(legendre.legvander(2.0 * grid - 1.0, order))
    scores = basis[ranks, 1:] * np.sqrt(n_draws + 1)  # mean 0 and variance 1 if uniform
    statistic = len(ranks) * float(np.sum(scores.mean(axis=0) ** 2))
    return float(stats.chi2.sf(statistic, order))


def _tails(n: int, n_draws: int) -> FloatArray:
    """Return twice the smaller tail of each count at or below each rank, (rank, count)."""
    share = (np.arange(n_draws) + 1.0) / (n_draws + 1.0)
    counts = np.arange(n + 1)
    below = stats.binom.cdf(counts, n, share[:, None])
    above = stats.binom.sf(counts - 1, n, share[:, None])
    return np.asarray(2.0 * np.minimum(below, above))


def _stay_probability(inside: NDArray[np.bool_], n_draws: int) -> float:
    """Return the chance that the counts of `n` uniform ranks stay inside at every rank.

    The counts at or below rank 0, 1, ... are a Markov chain: of the ranks above, each is the next
    one with probability 1 / (ranks left).
    """
    n = inside.shape[1] - 1
    log_factorial = gammaln(np.arange(n + 1) + 1.0)
    at, weight = np.array([0]), np.ones(1)
    for k in range(n_draws):
        hit = 1.0 / (n_draws + 1 - k)
        to = np.flatnonzero(inside[k])
        step = to[None, :] - at[:, None]
        left = n - at[:, None]
        log_p = log_factorial[left] - log_factorial[np.maximum(step, 0)]
        log_p = log_p - log_factorial[np.maximum(left - step, 0)]
        log_p = log_p + step * np.log(hit) + (left - step) * np.log1p(-hit)
        weight = weight @ np.where(step >= 0, np.exp(log_p), 0.0)
        at = to
    return float(weight.sum())


def ecdf_p_value(ranks: IntArray, n_draws: int) -> float:
    """Return the exact p-value of the largest departure of the ranks' distribution function.

    The departure at each rank is its pointwise tail probability; the smallest of them is the test
    statistic, and its distribution follows from the Markov chain of the counts.

    Parameters
    ----------
    ranks
        Ranks between 0 and `n_draws`, (replicate,).
    n_draws
        Draws each rank is among.

    References
    ----------
    Säilynoja, Bürkner & Vehtari 2022, doi 10.1007/s11222-022-10090-6.
    """
    counts = np.cumsum(np.bincount(ranks, minlength=n_draws + 1))[:-1]
    tails = _tails(len(ranks), n_draws)
    smallest = float(tails[np.arange(n_draws), counts].min())
    inside = tails > smallest * (1.0 + 1e-9)
    return 1.0 if not inside.any(axis=1).all() else 1.0 - _stay_probability(inside, n_draws)


def ecdf_band(n: int, n_draws: int, prob: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return a band that holds the whole distribution function of uniform ranks.

    Parameters
    ----------
    n
        Number of ranks.
    n_draws
        Draws each rank is among.
    prob
        Probability that all of it lies inside, at least.

    Returns
    -------
    lower, upper : ndarray, (n_draws,)
        Limits of the share of ranks at or below 0, 1, ..., ``n_draws - 1``.

    References
    ----------
    Säilynoja, Bürkner & Vehtari 2022, doi 10.1007/s11222-022-10090-6.
    """
    tails = _tails(n, n_draws)
    low, high = np.log(1e-12), 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        inside = tails > np.exp(middle)
        wide = inside.any(axis=1).all() and _stay_probability(inside, n_draws) >= prob
        low, high = (middle, high) if wide else (low, middle)
    inside = tails > np.exp(low)
    lower = inside.argmax(axis=1)
    upper = n - inside[:, ::-1].argmax(axis=1)
    return lower / n, upper / n


def _holm(p: FloatArray) -> FloatArray:
    """Return p-values adjusted for their number (Holm 1979, www.jstor.org/stable/4615733)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(steps, 1.0)
    return out


def _check(ranks: pd.DataFrame) -> None:
    missing = [c for c in RANK_COLUMNS if c not in ranks]
    if missing or ranks.empty:
        found = f"no column {', '.join(missing)}" if missing else "no rows"
        raise InputError([Fault("ranks", found, ", ".join(RANK_COLUMNS))])
    faults = Faults("ranks")
    for name, part in ranks.groupby("quantity"):
        if part["n_draws"].nunique() > 1:
            found = "ranks among different numbers of draws"
            faults.add(f"{found} for {name}", "one number", column="n_draws")
        if not part["rank"].between(0, part["n_draws"]).all():
            faults.add(f"{name} outside", "0 to the number of draws", column="rank")
        if part["replicate"].duplicated().any():
            faults.add(f"{name} twice in a replicate", "once", column="replicate")
    faults.raise_if_any()


def test_uniform(ranks: pd.DataFrame) -> pd.DataFrame:
    """Test every quantity's ranks for uniformity, adjusted for the number of quantities.

    Parameters
    ----------
    ranks
        Columns `replicate, quantity, rank, n_draws`, such as from `simulate_ranks`.

    Returns
    -------
    DataFrame
        One row a quantity, the smallest p first: `quantity`; `n` replicates; `n_draws`; `shift`,
        the mean of the normal scores of the ranks (above 0: posteriors lie too low, in posterior
        sds); `spread`, their sd (above 1: too narrow); `p_smooth` (not below 50 replicates) and
        `p_ecdf`; `p`, twice the smaller of the two; and `p_holm`, adjusted by Holm's method over
        all quantities.

    Raises
    ------
    InputError
        If columns are missing or ranks lie outside 0 to `n_draws`.
    """
    _check(ranks)
    rows = []
    for name, part in ranks.groupby("quantity", sort=False):
        rank = part["rank"].to_numpy(np.int64)
        n_draws = int(part["n_draws"].iloc[0])
        score = stats.norm.ppf((rank + 0.5) / (n_draws + 1.0))
        many, ecdf = len(rank) >= MIN_SMOOTH, ecdf_p_value(rank, n_draws)
        smooth = smooth_p_value(rank, n_draws) if many else np.nan
        rows.append(
            {
                "quantity": str(name),
                "n": len(rank),
                "n_draws": n_draws,
                "shift": float(score.mean()),
                "spread": float(np.sqrt(np.mean((score - score.mean()) ** 2))),
                "p_smooth": smooth,
                "p_ecdf": ecdf,
                "p": min(1.0, 2.0 * min(smooth, ecdf)) if many else ecdf,
            }
        )
    table = pd.DataFrame(rows)
    table["p_holm"] = _holm(table["p"].to_numpy())
    return table.sort_values("p", kind="stable", ignore_index=True)
