"""Chains of the two parts of the model: whether there is displacement, and how much."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import log_ndtr

from flowcast.displacement._mixed import (
    MixedDesign,
    MixedState,
    draw_mixed,
    expected,
    prior_precision,
    start_mixed,
)
from flowcast.projection._autoregression import (
    DEGREES,
    MEAN_DEGREES,
    draw_below,
    draw_degrees,
    draw_slice,
)

__all__ = ["MagnitudeData", "MagnitudeState", "sample_magnitude", "sample_occurrence"]

type Floats = NDArray[np.float64]

HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
SCALE_SD = 0.5
"""Prior of the slopes of log scales."""
TYPICAL_SCALE = (0.3, 1.0)
"""Mean and sd of the log scale's prior: a factor of four or so either way, loosely."""
WIDEST_LOG = 3.0


def sample_occurrence(
    design: MixedDesign, occurred: NDArray[np.bool_], rng: np.random.Generator
) -> Iterator[MixedState]:
    """Yield the state of a probit model after each sweep, for ever; one object that changes.

    A latent normal above zero stands behind each year with displacement, one below behind each
    without (Albert and Chib 1993, Bayesian analysis of binary and polychotomous response data,
    Journal of the American Statistical Association 88, 669-679). Where one of the two is rare such
    chains crawl, so that coefficients are also proposed without the latent normals.
    """
    state = start_mixed(design, rng)
    sign = np.where(occurred, 1.0, -1.0)
    one, zero = np.ones(len(sign)), np.zeros(len(sign))
    while True:
        _propose_coefficients(design, sign, state, rng)
        _propose_effects(design, sign, state, rng)
        latent = -sign * draw_below(rng, -sign * expected(design, state), one, zero)
        draw_mixed(design, latent, one, state, rng)
        yield state


def _propose_coefficients(
    design: MixedDesign, sign: Floats, state: MixedState, rng: np.random.Generator
) -> None:
    """Propose coefficients and years from a Newton step, units and groups held (Gamerman 1997).

    Source: Sampling from the posterior distribution in generalized linear mixed models, Statistics
    and Computing 7, 57-68.
    """
    offset = state.of_units(design)[design.unit]
    prior = prior_precision(design, state)

    def step(theta: Floats) -> tuple[float, Floats, Floats]:
        """Return the log density, and mean and Cholesky factor of the precision of a proposal."""
        eta = design.full @ theta + offset
        log_p = log_ndtr(sign * eta)
        slope = sign * np.exp(-0.5 * eta**2 - HALF_LOG_TAU - log_p)
        precision = (design.full * (slope * (slope + eta))[:, None]).T @ design.full + prior
        lower = np.linalg.cholesky(precision)
        pull = design.full.T @ slope - prior @ theta
        mean = theta + cho_solve((lower, True), pull)
        return float(log_p.sum() - 0.5 * theta @ prior @ theta), mean, lower

    def log_proposal(theta: Floats, mean: Floats, lower: Floats) -> float:
        return float(np.log(np.diag(lower)).sum() - 0.5 * ((lower.T @ (theta - mean)) ** 2).sum())

    old = np.concatenate([state.coefficients, state.years])
    density, mean, lower = step(old)
    noise = rng.standard_normal(len(old))
    new = mean + solve_triangular(lower, noise, lower=True, trans="T")
    new_density, new_mean, new_lower = step(new)
    ratio = new_density - density
    ratio += log_proposal(old, new_mean, new_lower) - log_proposal(new, mean, lower)
    if np.log(1.0 - rng.random()) < ratio:
        p = len(state.coefficients)
        state.coefficients, state.years = new[:p], new[p:]


def _propose_effects(
    design: MixedDesign, sign: Floats, state: MixedState, rng: np.random.Generator
) -> None:
    """Propose effects of groups and units in the same way, each by itself."""
    eta = expected(design, state)
    for k, group in enumerate((*design.groups, np.arange(design.n_unit))):
        at = group[design.unit]
        is_unit = k == len(design.groups)
        old = state.units if is_unit else state.groups[k]
        prior = (state.unit_sd if is_unit else state.group_sds[k]) ** -2.0
        n = len(old)

        def step(
            effects: Floats,
            eta: Floats,
            at: NDArray[np.intp] = at,
            prior: float = prior,
            n: int = n,
        ) -> tuple[Floats, Floats, Floats]:
            log_p = log_ndtr(sign * eta)
            slope = sign * np.exp(-0.5 * eta**2 - HALF_LOG_TAU - log_p)
            precision = np.bincount(at, slope * (slope + eta), n) + prior
            mean = effects + (np.bincount(at, slope, n) - prior * effects) / precision
            return np.bincount(at, log_p, n) - 0.5 * prior * effects**2, mean, precision

        density, mean, precision = step(old, eta)
        new = mean + rng.standard_normal(n) / np.sqrt(precision)
        moved = eta + (new - old)[at]
        new_density, new_mean, new_precision = step(new, moved)
        ratio = new_density - density + 0.5 * np.log(new_precision / precision)
        ratio += 0.5 * (precision * (new - mean) ** 2 - new_precision * (old - new_mean) ** 2)
        taken = np.where(np.log(1.0 - rng.random(n)) < ratio, new, old)
        eta += (taken - old)[at]
        if is_unit:
            state.units = taken
        else:
            state.groups[k] = taken


@dataclass(frozen=True, slots=True, eq=False)
class MagnitudeData:
    """Years with displacement.

    Attributes
    ----------
    design
        Their rows.
    log
        Of the counts, (row,).
    upper
        Where the count is the smallest that is published: the log that it lies below; else
        infinity, (row,).
    z
        What the log scale hangs on, intercepts first, (row, scale term).
    n_intercept
        How many of the columns of `z` are intercepts.
    """

    design: MixedDesign
    log: Floats
    upper: Floats
    z: Floats
    n_intercept: int


@dataclass(slots=True)
class MagnitudeState:
    """Where the chain stands."""

    mixed: MixedState
    scale: Floats
    degrees: float
    spread: Floats
    unit_degrees: float


def sample_magnitude(data: MagnitudeData, rng: np.random.Generator) -> Iterator[MagnitudeState]:
    """Yield the state of a model of log counts after each sweep: Student-t, of unequal scales.

    The variance is ``exp(2 z . scale) spread_u``: small displacements vary more, on the log scale,
    than large ones do, and some units more than others (inverse gamma around 1).
    """
    mixed = start_mixed(data.design, rng)
    scale = np.zeros(data.z.shape[1])
    scale[: data.n_intercept] = TYPICAL_SCALE[0] + 0.2 * rng.standard_normal(data.n_intercept)
    state = MagnitudeState(mixed, scale, 8.0, np.ones(data.design.n_unit), 8.0)
    unit = data.design.unit
    count = np.bincount(unit, minlength=data.design.n_unit).astype(float)
    log = data.log.copy()
    mixed.coefficients[:] = 0.0
    weight = np.ones(len(log))
    masked = np.isfinite(data.upper).nonzero()[0]
    while True:
        variance = np.exp(2.0 * (data.z @ state.scale)) * state.spread[unit]
        draw_mixed(data.design, log, weight / variance, mixed, rng)
        mean = expected(data.design, mixed)
        if len(masked):
            sd = np.sqrt(variance[masked] / weight[masked])
            log[masked] = draw_below(rng, mean[masked], sd, data.upper[masked])
        squares = (log - mean) ** 2
        _draw_scale(data, squares, state, rng)
        common = squares * np.exp(-2.0 * (data.z @ state.scale))
        scaled = common / state.spread[unit]
        state.degrees = draw_degrees(rng, state.degrees, 1, scaled)
        weight = rng.gamma((state.degrees + 1) / 2, size=len(log)) * 2 / (state.degrees + scaled)
        within = np.bincount(unit, weight * common, data.design.n_unit)
        state.unit_degrees = _draw_unit_degrees(state.unit_degrees, count, within, rng)
        trust = rng.gamma((state.unit_degrees + count) / 2) * 2
        state.spread = (state.unit_degrees + within) / trust
        yield state


def _draw_unit_degrees(
    start: float, count: Floats, squares: Floats, rng: np.random.Generator
) -> float:
    """Draw how alike units' spreads are, the spreads integrated out."""

    def density(log_degrees: float) -> float:
        degrees = math.exp(log_degrees)
        prior = log_degrees - degrees / MEAN_DEGREES
        return prior + float(_log_spreads(degrees, count, squares))

    low, high = DEGREES
    drawn = draw_slice(
        rng, density, math.log(start), width=0.3, low=math.log(low), high=math.log(high)
    )
    return math.exp(drawn)


@njit(cache=True)
def _log_spreads(degrees: float, count: Floats, squares: Floats) -> float:
    """Return the log density of units' squares, their inverse gamma spreads integrated out."""
    half = 0.5 * degrees
    total = 0.0
    for n, square in zip(count, squares):  # noqa: B905  # numba knows no strict zip
        total += math.lgamma(half + 0.5 * n) - math.lgamma(half) - 0.5 * n * math.log(degrees)
        total -= (half + 0.5 * n) * math.log1p(square / degrees)
    return total


def _draw_scale(
    data: MagnitudeData, squares: Floats, state: MagnitudeState, rng: np.random.Generator
) -> None:
    """Draw each coefficient of the log scale, the weights of the heavy tails integrated out."""
    log_scale = data.z @ state.scale + 0.5 * np.log(state.spread)[data.design.unit]
    for k in range(len(state.scale)):
        column = data.z[:, k]
        rest = log_scale - column * state.scale[k]
        intercept = k < data.n_intercept
        mean, sd = TYPICAL_SCALE if intercept else (0.0, SCALE_SD)
        rows = column.nonzero()[0] if intercept else np.arange(len(column))
        c, r, s = column[rows], rest[rows], squares[rows]

        def density(
            value: float,
            c: Floats = c,
            r: Floats = r,
            s: Floats = s,
            prior: tuple[float, float] = (mean, sd),
        ) -> float:
            own = -0.5 * ((value - prior[0]) / prior[1]) ** 2
            return own + float(_log_student(r + value * c, s, state.degrees))

        new = draw_slice(
            rng, density, float(state.scale[k]), width=0.1, low=-WIDEST_LOG, high=WIDEST_LOG
        )
        log_scale = rest + column * new
        state.scale[k] = new


@njit(cache=True)
def _log_student(log_scale: Floats, squares: Floats, degrees: float) -> float:
    """Return the log density of Student-t values, but for what does not hang on their scales."""
    total = 0.0
    power = 0.5 * (degrees + 1.0)
    for i in range(len(squares)):
        scaled = squares[i] * math.exp(-2.0 * log_scale[i]) / degrees
        total -= log_scale[i] + power * math.log1p(scaled)
    return total
