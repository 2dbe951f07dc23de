"""Panels of first-order autoregressions: their precision, and the steps that sample from them.

A unit's deviations z_1 ... z_T from its mean follow z_t = phi z_{t-1} + e_t. Given the precisions
q_t of the innovations (q_1 that of z_1), the precision matrix of z is tri-diagonal: it is held as
its diagonal (unit, T) and the band beside it (unit, T-1), and no matrix is ever built for a unit.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit
from scipy.special import log_ndtr, ndtri_exp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flowcast.priors import Prior

__all__ = [
    "DEGREES",
    "MEAN_DEGREES",
    "WIDEST",
    "band_precision",
    "band_times",
    "draw_below",
    "draw_degrees",
    "draw_groups",
    "draw_normal",
    "draw_sd",
    "draw_slice",
    "log_beta",
    "log_density",
    "log_half_normal",
]

DEGREES: Final = (2.0, 100.0)
"""Bounds of the degrees of freedom of heavy tails: from infinite variance to a normal."""
MEAN_DEGREES: Final = 20.0
"""Of their prior, an exponential: tails as heavy as the data say, no lighter than they can tell."""
MAX_STEPS: Final = 10
MAX_SHRINKS: Final = 60
WIDEST: Final = 20.0
"""Largest sd of a log."""


def band_precision(
    phi: "NDArray[np.float64]", q: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return diagonal (unit, T) and band (unit, T-1) of the precision of autoregressions.

    Parameters
    ----------
    phi
        Persistence of each unit, (unit,).
    q
        Precision of each innovation, (unit, T); the first that of the first deviation.

    Examples
    --------
    >>> band_precision(np.array([0.5]), np.array([[0.75, 1.0]]))
    (array([[1., 1.]]), array([[-0.5]]))
    """
    diagonal = q.copy()
    diagonal[:, :-1] += phi[:, None] ** 2 * q[:, 1:]
    return diagonal, -phi[:, None] * q[:, 1:]


def band_times(
    diagonal: "NDArray[np.float64]", band: "NDArray[np.float64]", v: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Return the product of tri-diagonal matrices with a vector each, (unit, T)."""
    out = diagonal * v
    out[:, :-1] += band * v[:, 1:]
    out[:, 1:] += band * v[:, :-1]
    return out


@njit(cache=True)
def log_density(
    phi: float, tau: float, q: "NDArray[np.float64]", deviation: "NDArray[np.float64]"
) -> float:
    """Return the log density of deviations whose means, N(0, tau), are integrated out.

    Parameters
    ----------
    phi
        Persistence, of all these units.
    tau
        Standard deviation of the units' means.
    q
        Precisions, (unit, T), as for `band_precision`, but for the start: that a stationary one is
        less precise is put in here.
    deviation
        From the expected mean, (unit, T).

    Notes
    -----
    The covariance is that of the autoregression plus tau² in every entry: its determinant and
    inverse follow from those of the first by one rank. The determinant of the precision is the
    product of q, since the factor of an autoregression has a diagonal of ones.
    """
    total = 0.0
    start = 1.0 - phi**2
    for u in range(q.shape[0]):
        log_det = np.log(start)
        inner = weight = pull = 0.0
        for t in range(q.shape[1]):
            # The innovation of z, and that of a constant one: their products give every sum.
            if t == 0:
                own, e, one = q[u, 0] * start, deviation[u, 0], 1.0
            else:
                own, e, one = q[u, t], deviation[u, t] - phi * deviation[u, t - 1], 1.0 - phi
            log_det += np.log(q[u, t])
            inner += own * e * e
            pull += own * e * one
            weight += own * one * one
        inflation = 1.0 + tau**2 * weight
        total += log_det - np.log(inflation) - inner + tau**2 * pull**2 / inflation
    return 0.5 * total


def draw_below(
    rng: np.random.Generator,
    mean: "NDArray[np.float64]",
    sd: "NDArray[np.float64]",
    upper: "NDArray[np.float64]",
) -> "NDArray[np.float64]":
    """Draw from normals cut off above, exactly, however far in the tail; infinity is no bound."""
    bound = (upper - mean) / sd
    # 1 - u lies in (0, 1]: the log of zero never comes up.
    log_p = log_ndtr(bound) + np.log(1.0 - rng.random(mean.shape))
    return np.asarray(mean + sd * np.minimum(ndtri_exp(log_p), bound))


def draw_slice(
    rng: np.random.Generator,
    density: Callable[[float], float],
    start: float,
    *,
    width: float,
    low: float,
    high: float,
) -> float:
    """Draw the next value of a chain by slice sampling, stepping out and shrinking in.

    Source: Neal (2003), doi 10.1214/aos/1056562461.
    """
    level = density(start) + np.log(1.0 - rng.random())
    left = start - width * rng.random()
    right = left + width
    for _ in range(MAX_STEPS):
        if left <= low or density(left) < level:
            break
        left -= width
    for _ in range(MAX_STEPS):
        if right >= high or density(right) < level:
            break
        right += width
    left, right = max(low, left), min(high, right)
    for _ in range(MAX_SHRINKS):
        value = left + (right - left) * rng.random()
        if density(value) >= level:
            return float(value)
        left, right = (value, right) if value < start else (left, value)
    return start


@njit(cache=True)
def _log_scale_mixture(degrees: float, n_each: int, squares: "NDArray[np.float64]") -> float:
    """Return the log density of `n_each` values with one scale, but for what is the same for all.

    The scale's inverse is Gamma(degrees/2, degrees/2) and integrated out; `squares` are the sums of
    each unit's squares over what they would be without it.
    """
    power = 0.5 * (degrees + n_each)
    total = 0.0
    for value in squares:
        total += np.log1p(value / degrees)
    each = math.lgamma(power) - math.lgamma(0.5 * degrees) - 0.5 * n_each * np.log(degrees)
    return float(len(squares) * each - power * total)


def draw_degrees(
    rng: np.random.Generator, start: float, n_each: int, squares: "NDArray[np.float64]"
) -> float:
    """Draw the degrees of freedom of scales, the scales themselves integrated out.

    Parameters
    ----------
    rng
        Random numbers.
    start
        The degrees so far.
    n_each
        How many values share a scale.
    squares
        Sum of the squares that share it, over their variance without it, (unit,).
    """

    def density(log_degrees: float) -> float:
        degrees = math.exp(log_degrees)
        prior = log_degrees - degrees / MEAN_DEGREES
        return prior + float(_log_scale_mixture(degrees, n_each, squares))

    low, high = DEGREES
    drawn = draw_slice(
        rng, density, math.log(start), width=0.1, low=math.log(low), high=math.log(high)
    )
    return float(math.exp(drawn))


def draw_groups(
    rng: np.random.Generator,
    group: "NDArray[np.intp]",
    n_group: int,
    precision: "tuple[NDArray[np.float64], NDArray[np.float64]]",
    deviation: "NDArray[np.float64]",
    own: "tuple[NDArray[np.float64], NDArray[np.float64]]",
) -> "NDArray[np.float64]":
    """Draw effects (group, T) that units of a group share, given all else.

    Parameters
    ----------
    group
        Of each unit, (unit,).
    n_group
        How many groups there are.
    precision
        Of the units' deviations: diagonal and band.
    deviation
        Deviations of which the effects are part, (unit, T).
    own
        Precision of the effects before any data: diagonal (group, T) and band (group, T-1).
    """
    diagonal, band = precision
    n = deviation.shape[1]
    pull = band_times(diagonal, band, deviation)
    full = np.zeros((n_group, n, n))
    right = np.zeros((n_group, n))
    for t in range(n):
        full[:, t, t] = np.bincount(group, diagonal[:, t], n_group) + own[0][:, t]
        right[:, t] = np.bincount(group, pull[:, t], n_group)
    for t in range(n - 1):
        beside = np.bincount(group, band[:, t], n_group) + own[1][:, t]
        full[:, t, t + 1] = full[:, t + 1, t] = beside
    lower = np.linalg.cholesky(full)
    mean = np.linalg.solve(full, right[..., None])
    noise = rng.standard_normal((n_group, n, 1))
    return np.asarray((mean + np.linalg.solve(lower.transpose(0, 2, 1), noise))[..., 0])


def log_beta(prior: "Prior", value: float) -> float:
    """Return the log density but for a constant; many thousands are asked for in a sweep."""
    a, b = prior.numbers
    return (a - 1.0) * math.log(value) + (b - 1.0) * math.log1p(-value)


def log_half_normal(prior: "Prior", value: float) -> float:
    """Return the log density of a positive value but for a constant."""
    return -0.5 * (value / prior.numbers[0]) ** 2


def draw_sd(
    rng: np.random.Generator, prior: "Prior", start: float, n: float, squares: float
) -> float:
    """Draw the sd of `n` normals around zero whose squares sum to `squares`."""

    def density(sd: float) -> float:
        return log_half_normal(prior, sd) - n * math.log(sd) - squares / (2 * sd**2)

    width = max(0.2 * start, 1e-3)
    return draw_slice(rng, density, start, width=width, low=1e-4, high=WIDEST)


def draw_normal(
    rng: np.random.Generator, precision: "NDArray[np.float64]", linear: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Draw from the normal with this precision and precision times mean."""
    lower = np.linalg.cholesky(precision)
    middle = np.linalg.solve(precision, linear)
    return np.asarray(middle + np.linalg.solve(lower.T, rng.standard_normal(len(linear))))
