"""The posterior of entries with sums, given hyper-parameters: its mode, Laplace's value, and draws.

Entries are the log flows as reporters see them. Without the sums they are normal (`State`); a sum
constrains the log of a sum of their exponentials, tightly and along a curved surface. So the mode
is found by scoring steps; the density of the sums is Laplace's approximation there, with the full
curvature; and draws move along the surface by Hamiltonian steps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from flowcast.model.totals_measure import (
    Local,
    Measure,
    differentiate,
    value_slope,
)
from flowcast.model.totals_state import State

__all__ = ["Point", "Steps", "find_mode", "laplace_value", "log_stiffness", "take_steps"]

FloatArray = NDArray[np.float64]

_ITERATIONS = 60
_TOLERANCE = 1e-4
_HALVINGS = 14
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """Entries as a start plus their covariance times a direction.

    Attributes
    ----------
    entries, along
        (entry,).
    height
        Log likelihood of the sums less half the squared distance from the start.
    local
        The log likelihood and its derivatives there.
    """

    entries: FloatArray
    along: FloatArray
    height: float
    local: Local


def _adding(state: State, local: Local) -> Any:
    """Return the slopes of the log parts by entries, (part, entry)."""
    totals = state.frame.totals
    n_part, n = len(totals.part_total), totals.entries.n
    if state.frame.dense:
        out = np.zeros((n_part, n))
        out[totals.entry_part, np.arange(n)] = local.share
        return out
    rows = (totals.entry_part, np.arange(n))
    return sp.csr_array((local.share, rows), shape=(n_part, n))


def _pairs(state: State, diagonal: FloatArray, beside: FloatArray) -> FloatArray:
    """Return the matrix over parts with this diagonal, and `beside` it for net figures."""
    out, totals = np.diag(diagonal), state.frame.totals
    first = np.flatnonzero(np.diff(totals.part_total) == 0)
    out[first, first + 1] = out[first + 1, first] = beside[totals.part_total[first]]
    return out


def _covariance(state: State, adding: Any) -> FloatArray:
    """Return the covariance of the linearised log parts without the sums, (part, part)."""
    if state.whole is not None:
        return np.asarray(adding @ state.whole @ adding.T)
    through = (adding @ state.half.T).T
    return np.asarray((adding @ state.alone @ adding.T).toarray() + through.T @ through)


def _score(state: State, start: FloatArray, point: Point) -> FloatArray:
    """Return the direction to which a scoring step leads, (entry,).

    It needs no inverse of the information, which is next to nothing far from the mode.
    """
    local = point.local
    adding = _adding(state, local)
    information = _pairs(state, *local.information)
    matrix = np.eye(len(information)) + information @ _covariance(state, adding)
    gap = information @ (adding @ (point.entries - start)) + local.slope
    return np.asarray(adding.T @ np.linalg.solve(matrix, gap))


def _curvature(state: State, local: Local) -> tuple[FloatArray, FloatArray]:
    """Return the log likelihood's curvature by entries: diag(first) + adding' second adding."""
    diagonal = local.share * local.slope[state.frame.totals.entry_part]
    second, beside = local.curvature
    return diagonal, _pairs(state, second - local.slope, beside)


def _newton(state: State, start: FloatArray, point: Point) -> FloatArray:
    """Return the direction to which a Newton step leads, (entry,); for few entries."""
    adding = _adding(state, point.local)
    diagonal, inner = _curvature(state, point.local)
    curvature = np.diag(diagonal) + adding.T @ inner @ adding
    matrix = np.eye(len(diagonal)) - state.spread(curvature)
    gap = start + state.spread(diagonal) - point.entries
    return np.asarray(diagonal + curvature @ np.linalg.solve(matrix, gap))


def find_mode(state: State, measure: Measure, start: FloatArray) -> Point:
    """Find where the sums pull entries that are normal around a start.

    Parameters
    ----------
    state
        Covariance of the entries without the sums.
    measure
        How sums are counted.
    start
        Their mean, or a draw: then the result lies on the surface that the sums ask for, near to
        the draw, (entry,).

    Notes
    -----
    Newton steps where there are few entries and they lead upwards; else Fisher scoring, with
    halved steps where a step overshoots.
    """

    def at(entries: FloatArray, along: FloatArray) -> Point:
        local = differentiate(measure, entries)
        height = float(local.value.sum() - 0.5 * along @ (entries - start))
        return Point(entries, along, height if np.isfinite(height) else -np.inf, local)

    point = at(start, np.zeros_like(start))
    for _ in range(_ITERATIONS):
        if state.frame.dense:
            along = _newton(state, start, point)
            trial = at(start + state.spread(along), along)
            if trial.height > point.height + _TOLERANCE:
                point = trial
                continue
        along = _score(state, start, point)
        entries = start + state.spread(along)
        share, trial = 1.0, at(entries, along)
        for _ in range(_HALVINGS):
            if trial.height >= point.height - _ROUNDING:
                break
            share *= 0.5
            trial = at(
                point.entries + share * (entries - point.entries),
                point.along + share * (along - point.along),
            )
        gained = trial.height - point.height
        point = trial if gained > 0.0 else point
        if not gained >= _TOLERANCE:
            break
    return point


def laplace_value(state: State, measure: Measure) -> float:
    """Return the log density of the sums by Laplace's approximation.

    The curvature is the full one, that of the logs of sums included: without it the value is off by
    several tenths a sum where flows are little known.

    References
    ----------
    Tierney & Kadane 1986, doi 10.1080/01621459.1986.10478240.
    """
    mode = find_mode(state, measure, state.entries)
    adding = _adding(state, mode.local)
    diagonal, inner = _curvature(state, mode.local)
    log_determinant = _log_determinant(state, adding, diagonal, inner)
    if not np.isfinite(log_determinant):  # not a mode by full curvature: take the expected one
        inner = -_pairs(state, *mode.local.information)
        log_determinant = _log_determinant(state, adding, np.zeros_like(diagonal), inner)
    return mode.height - 0.5 * log_determinant


def _log_determinant(state: State, adding: Any, diagonal: FloatArray, inner: FloatArray) -> float:
    """Return log|1 - C (diag + A' inner A)| with C the covariance of entries; NaN if negative."""
    if state.frame.dense:
        curvature = np.diag(diagonal) + adding.T @ inner @ adding
        matrix = np.eye(len(diagonal)) - state.spread(curvature)
        sign, value = np.linalg.slogdet(matrix)
        return float(value) if sign > 0 else np.nan
    # 1 - C D = (1 - B D) - half' (half D); then the low-rank rest through the parts.
    n, half = len(diagonal), state.half
    block = splu(sp.csc_array(sp.eye_array(n) - state.alone @ sp.diags_array(diagonal)))
    weighted = half * diagonal
    core = np.eye(len(half)) - weighted @ block.solve(np.ascontiguousarray(half.T))

    def solve(right: FloatArray) -> FloatArray:
        first = block.solve(right)
        return np.asarray(first + block.solve(half.T @ np.linalg.solve(core, weighted @ first)))

    rest = np.eye(len(inner)) - adding @ solve(state.spread(adding.T.toarray())) @ inner
    # The lower factor has a unit diagonal; at a mode the determinant is positive.
    value = np.log(np.abs(block.U.diagonal())).sum()
    return float(value + sum(np.linalg.slogdet(matrix)[1] for matrix in (core, rest)))


def log_stiffness(state: State, measure: Measure, entries: FloatArray) -> float:
    """Return the log of how much tighter the sums hold the entries than the rest does, at most."""
    local = differentiate(measure, entries)
    information = _pairs(state, *local.information)
    nudge = _ROUNDING * information.max() * np.eye(len(information))
    root = np.linalg.cholesky(information + nudge)
    covariance = _covariance(state, _adding(state, local))
    most = np.linalg.eigvalsh(root.T @ covariance @ root)[-1]
    return float(np.log1p(max(most, 0.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A Hamiltonian trajectory in terms of its start.

    Attributes
    ----------
    entries
        Where it ends, (entry,).
    position, velocity
        The deviation from the mean at the end is these times position and velocity at the start,
        plus the covariance times `along`.
    along
        (entry,).
    log_accept
        Log of the probability to take the step.
    """

    entries: FloatArray
    position: float
    velocity: float
    along: FloatArray
    log_accept: float


def take_steps(
    state: State,
    measure: Measure,
    entries: FloatArray,
    velocity: FloatArray,
    size: float,
    n: int,
) -> Steps:
    """Follow a Hamiltonian trajectory whose mass is the inverse covariance without the sums.

    The part without the sums is followed exactly, by rotation (Beskos, Pinski, Sanz-Serna & Stuart
    2011, doi 10.1016/j.spa.2011.06.003); no inverse of the covariance is needed.

    Parameters
    ----------
    state, measure
        The entries without the sums, and how sums are counted.
    entries
        Where to start, (entry,).
    velocity
        A draw from the normal with the covariance of the entries, (entry,).
    size, n
        Angle of a step, and number of steps.
    """
    cos, sin = np.cos(size), np.sin(size)
    place, speed = entries - state.entries, velocity
    a, b, a_v, b_v = 1.0, 0.0, 0.0, 1.0  # of the starting position and velocity
    along, along_v = np.zeros_like(entries), np.zeros_like(entries)
    value, slope = value_slope(measure, entries)
    kick, gained = state.spread(slope), -value
    for _ in range(n):
        gained -= _work(slope, speed, kick, size)
        speed, along_v = speed + 0.5 * size * kick, along_v + 0.5 * size * slope
        place, speed = cos * place + sin * speed, cos * speed - sin * place
        a, a_v = cos * a + sin * a_v, cos * a_v - sin * a
        b, b_v = cos * b + sin * b_v, cos * b_v - sin * b
        along, along_v = cos * along + sin * along_v, cos * along_v - sin * along
        value, slope = value_slope(measure, state.entries + place)
        kick = state.spread(slope)
        gained -= _work(slope, speed, kick, size)
        speed, along_v = speed + 0.5 * size * kick, along_v + 0.5 * size * slope
    return Steps(state.entries + place, a, b, along, gained + value)


def _work(slope: FloatArray, speed: FloatArray, kick: FloatArray, size: float) -> float:
    """Return how much half a kick adds to the kinetic energy."""
    return float(0.5 * size * (slope @ speed) + size**2 / 8.0 * (slope @ kick))
