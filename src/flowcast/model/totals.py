"""Inference with reports that are sums of cells: their weight, and draws conditioned on them.

A fit of single-cell reports alone is normal given the hyper-parameters; sums of exponentials are
not. They enter in two steps. Hyper-parameters drawn without the sums are weighted by the density of
the sums (`totals_log_weight`); coefficients and flows drawn without them are first moved to where
the sums hold, each draw to the nearest point, and then along the surface by Hamiltonian Monte Carlo
against the exact likelihood (`condition_on_totals`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError

from flowcast.model.assemble import Sites
from flowcast.model.problem import Problem
from flowcast.model.totals_measure import Measure, add_up
from flowcast.model.totals_mode import find_mode, laplace_value, log_stiffness, take_steps
from flowcast.model.totals_state import (
    Frame,
    State,
    build_frame,
    condition_state,
    draw_series,
    entry_offset,
    shift_others,
)

__all__ = ["condition_on_totals", "draw_totals", "totals_log_weight", "with_total_values"]

FloatArray = NDArray[np.float64]

_TRAJECTORIES = 10
_MOST_STEPS = 150
_STEP = 1.0
"""Angle of a Hamiltonian step, in units of the tightest direction."""
_MAX_LOG = 30.0


def _measure(problem: Problem, hyper: Mapping[str, Any]) -> Measure:
    totals = problem.totals
    assert totals is not None, "a problem without sums has none to measure"
    poisson = problem.spec.measurement.counts == "poisson"
    variance = float(hyper["sd_noise_total"]) ** 2 + totals.sampling
    return Measure(totals, variance, poisson)


def totals_log_weight(problem: Problem, hyper: Mapping[str, Any], sites: Sites) -> float:
    """Return the log density of the sums given hyper-parameters and the reports of single cells.

    Hyper-parameters drawn without the sums, weighted by it, are draws with them. Coefficients and
    flows are integrated out by Laplace's approximation at the conditional mode.

    Parameters
    ----------
    problem
        With `totals`.
    hyper
        Hyper-parameters by name, `sd_noise_total` among them.
    sites
        Stand-ins of the parts that are not Gaussian, as for the fit without sums.

    Returns
    -------
    float
        -inf where the hyper-parameters are impossible; 0 without sums.
    """
    if problem.totals is None:
        return 0.0
    try:
        with np.errstate(all="ignore"):
            state = condition_state(problem, hyper, sites)
            value = laplace_value(state, _measure(problem, hyper))
    except (LinAlgError, ValueError):
        return -np.inf
    return value if np.isfinite(value) else -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class _Draw:
    """A draw of the state with its entries."""

    cells: FloatArray
    coefficients: FloatArray
    entries: FloatArray


def _carried(state: State, cells: FloatArray, by: FloatArray, along: FloatArray) -> _Draw:
    """Return a draw moved by the covariance times a direction."""
    move, move_by = state.carry(along)
    cells, by = cells + move, by + move_by
    return _Draw(cells, by, state.see(cells, by))


def _wander(state: State, measure: Measure, here: _Draw, rng: np.random.Generator) -> _Draw:
    """Take Hamiltonian trajectories of random length from a draw near the posterior into it."""
    size = _STEP * np.exp(-0.5 * log_stiffness(state, measure, here.entries))
    for _ in range(_TRAJECTORIES):
        cells, by = state.draw(rng)
        velocity = state.see(cells, by) - state.entries
        angle = size * rng.uniform(0.8, 1.2)
        n = int(np.clip(rng.uniform(0.5, 1.0) * 0.5 * np.pi / angle, 1, _MOST_STEPS))
        steps = take_steps(state, measure, here.entries, velocity, angle, n)
        if np.log(rng.random()) < steps.log_accept:
            a, b = steps.position, steps.velocity
            here = _carried(
                state,
                state.cells + a * (here.cells - state.cells) + b * (cells - state.cells),
                state.coefficients
                + a * (here.coefficients - state.coefficients)
                + b * (by - state.coefficients),
                steps.along,
            )
    return here


def _silent_weights(
    problem: Problem, frame: Frame, sites: Sites, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return innovation weights of the blocks, and which blocks have no report of single cells.

    Those without get a draw from the prior, as in a fit without sums.
    """
    corridor = frame.corridors.corridor
    weight = sites.innovation_weight[corridor].copy()
    silent = ~np.isin(corridor, problem.blocks.corridor)
    nu = problem.spec.tails.innovations
    if nu is not None and problem.parts.path:
        weight[silent] = rng.gamma(nu / 2.0, 2.0 / nu, int(silent.sum()))
    return weight, silent


def _start(
    problem: Problem,
    state: State,
    silent: NDArray[np.bool_],
    log_flow: FloatArray,
    series: FloatArray,
    by: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the state of a draw without the sums, (state,).

    Corridors without a report are drawn anew, by the innovation weights of `state`; given the
    coefficients nothing else depends on them.
    """
    own = state.own.corridors
    out = np.empty((len(own.corridor), own.width))
    out[:, : own.n_period] = log_flow[own.corridor]
    out[:, own.n_period :] = series
    alone = state.own.root @ rng.standard_normal(own.n_state)
    fresh = own.cell @ (problem.coefficients.mean + by) + alone
    out[silent] = fresh.reshape(out.shape)[silent]
    return out.ravel()


def condition_on_totals(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    log_flow: FloatArray,
    coefficient: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Condition a draw of flows and coefficients on the reports of sums.

    Parameters
    ----------
    problem
        With `totals`; without, the draw comes back as it is.
    hyper, sites
        Those that the draw was made with, `sd_noise_total` among the hyper-parameters.
    log_flow, coefficient
        A draw given the reports of single cells, as `draw_latent` returns it: (corridor, period)
        and (coefficient,).
    rng
        Source of randomness.

    Returns
    -------
    log_flow : ndarray, (corridor, period)
    coefficient : ndarray, (coefficient,)

    Notes
    -----
    Innovation weights of corridors without reports are drawn from their prior, and the sums do not
    inform them. For the rest the draw is from the exact posterior given the hyper-parameters and
    sites, but for the number of trajectories.
    """
    if problem.totals is None:
        return log_flow, coefficient
    frame = build_frame(problem)
    weight, silent = _silent_weights(problem, frame, sites, rng)
    state, measure = condition_state(problem, hyper, sites, weight), _measure(problem, hyper)
    by = coefficient - problem.coefficients.mean
    series = draw_series(problem, hyper, sites, log_flow, coefficient, rng)
    cells = _start(problem, state, silent, log_flow, series, by, rng)
    near = find_mode(state, measure, state.see(cells, by))
    draw = _wander(state, measure, _carried(state, cells, by, near.along), rng)
    out = shift_others(problem, hyper, sites, log_flow, draw.coefficients - by)
    own = frame.corridors
    out[own.corridor] = draw.cells.reshape(-1, own.width)[:, : own.n_period]
    return out, problem.coefficients.mean + draw.coefficients


def draw_totals(
    problem: Problem,
    hyper: Mapping[str, Any],
    sites: Sites,
    log_flow: FloatArray,
    coefficient: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw figures for the reports of sums from flows and coefficients.

    Parameters
    ----------
    problem
        With `totals`; their values are not looked at.
    hyper
        Hyper-parameters by name.
    sites
        What the reports of single cells say: the sums share their corridor-by-source effects.
    log_flow, coefficient
        Flows (corridor, period) and coefficients (coefficient,).
    rng
        Source of randomness.

    Returns
    -------
    ndarray, (total,)
        Persons: each part is a Poisson count around its noisy expectation.
    """
    totals, frame = problem.totals, build_frame(problem)
    assert totals is not None, "a problem without sums has none to draw"
    series = draw_series(problem, hyper, sites, log_flow, coefficient, rng)
    cells = np.concatenate([log_flow[frame.corridors.corridor], series], axis=1).ravel()
    seen = frame.select @ cells + frame.unit @ (coefficient - problem.coefficients.mean)
    log_part = add_up(totals, seen + entry_offset(frame, hyper))
    sd = np.sqrt(_measure(problem, hyper).variance)[totals.part_total]
    noise = sd * rng.standard_normal(len(log_part))
    count = rng.poisson(np.exp(np.minimum(log_part + noise, _MAX_LOG)))
    return np.bincount(totals.part_total, totals.part_sign * count, totals.n)


def with_total_values(problem: Problem, value: FloatArray) -> Problem:
    """Return the same problem with other figures for its sums, (total,)."""
    totals = problem.totals
    assert totals is not None, "a problem without sums has no figures"
    return replace(problem, totals=replace(totals, value=np.asarray(value, dtype=float)))
