"""A Markov chain on the exact model: Poisson counts and random weights.

A fit puts Gaussian sites in the place of counts, and point values in that of the weights behind
heavy tails. A draw from that approximation is a good start for a chain whose limit is the exact
posterior, that of the model `forward.draw_world` simulates from::

    z_k ~ Poisson(exp eta_k),    eta_k = m_k + eps_k,    eps_k ~ N(0, tau_k^2 / w_k)

with m_k the log flow plus offset, coefficients and effects of the report. One sweep leaves it
unchanged and is made of these steps, each exact given the rest:

corridors
    Effects, paths and eta of each corridor are proposed from the Gaussian conditional under the
    sites and accepted by the ratio of Poisson likelihoods to sites; corridors are independent.
reports
    eta of each report given all else, by independence Metropolis-Hastings.
weights
    From their Gamma conditionals.
hyper-parameters
    One trajectory of Hamiltonian Monte Carlo given eta and the weights, with coefficients and
    paths integrated out.
the rest
    Coefficients, effects and paths given eta, weights and hyper-parameters. It follows at once on
    the step before, which integrated them out (partially collapsed Gibbs sampling; van Dyk & Park
    2008, doi 10.1198/016214508000000409).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.model.assemble import Sites, report_offset, report_sd
from flowcast.model.coordinates import Coordinates
from flowcast.model.density import Density
from flowcast.model.figures import count_mode, draw_below, inexact_figures, log_likelihood
from flowcast.model.latent import (
    CorridorParts,
    cell_mean,
    design_product,
    draw_coefficients,
    draw_parts,
)
from flowcast.model.problem import Problem
from flowcast.model.sites import log_floor
from flowcast.model.trajectory import mirror_symmetric, trajectory
from flowcast.model.weights import draw_weights

__all__ = ["Chain", "Refined", "State", "refine", "start_state", "sweep", "tune_chain"]

FloatArray = NDArray[np.float64]
Hyper = Mapping[str, Any]
_ALL = slice(None)

_PROPOSAL_DF = 5.0
_PILOTS = 10
_PILOT_SWEEPS = 2
_PILOT_STEP = 0.2
_STEPS = (0.04, 1.0)
_HALVINGS = 5
_TARGET = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that is unknown, at one point of the chain.

    Attributes
    ----------
    x
        Hyper-parameters, unconstrained, (dim,).
    coefficient
        Linear coefficients, (coefficient,).
    parts
        Corridor effects, corridor-by-source effects, paths.
    eta
        Log of the expected count of each report, (report,).
    sites
        The current weights; mean and variance are those of the sites that proposals are made from.
    """

    x: FloatArray
    coefficient: FloatArray
    parts: CorridorParts
    eta: FloatArray
    sites: Sites


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Settings of the chain, from `tune_chain`.

    Attributes
    ----------
    coordinates
        In which hyper-parameters move, from `mirror_symmetric`; the sites of their density are
        not looked at.
    step
        Step size of the trajectories.
    """

    coordinates: Coordinates
    step: float


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """A draw after some sweeps.

    Attributes
    ----------
    x, coefficient
        As in `State`.
    log_flow
        Latent log flows, (corridor, period).
    sites
        eta as mean without variance, and the weights.
    acceptance
        Share of proposals accepted, averaged over the sweeps: ``corridors``, ``reports``,
        ``hyper``.
    """

    x: FloatArray
    coefficient: FloatArray
    log_flow: FloatArray
    sites: Sites
    acceptance: dict[str, float]


def _held(state: State) -> Sites:
    """Return sites at which the reports are eta itself."""
    return replace(state.sites, mean=state.eta, variance=np.zeros_like(state.eta))


def report_mean(
    problem: Problem, hyper: Hyper, coefficient: FloatArray, parts: CorridorParts
) -> FloatArray:
    """Return the mean of every eta given coefficients, effects and paths, (report,)."""
    reports, known = problem.reports, problem.group >= 0
    mean = problem.prior_mean + report_offset(hyper, reports.duration, problem.share_index)
    mean = mean + design_product(problem, coefficient - problem.coefficients.mean)
    mean = mean + parts.effect[reports.corridor] + parts.path[reports.corridor, reports.period]
    mean[known] += parts.series[reports.corridor[known], problem.group[known]]
    return np.asarray(mean)


def _noise(problem: Problem, hyper: Hyper, sites: Sites) -> FloatArray:
    """Return the variance of every eta around its mean, (report,)."""
    return np.asarray(report_sd(hyper)[problem.noise_index] ** 2 / sites.noise_weight)


def _draw_eta(
    problem: Problem, hyper: Hyper, sites: Sites, mean: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw eta given its mean, under the sites."""
    noise = _noise(problem, hyper, sites)
    share = noise / (noise + sites.variance)
    sd = np.sqrt(sites.variance * share)
    return np.asarray(mean + share * (sites.mean - mean) + sd * rng.standard_normal(len(mean)))


def start_state(density: Density, x: FloatArray, rng: np.random.Generator) -> State:
    """Draw a state from the approximation at one draw of its hyper-parameters (dim,)."""
    problem, sites, hyper = density.problem, density.sites, density.hyper(x)
    coefficient = draw_coefficients(problem, hyper, sites, rng)
    parts = draw_parts(problem, hyper, sites, coefficient, _ALL, rng)
    mean = report_mean(problem, hyper, coefficient, parts)
    eta = _draw_eta(problem, hyper, sites, mean, rng)
    hidden = problem.reports.censored  # a draw under the site may be above the floor
    sd = np.sqrt(_noise(problem, hyper, sites)[hidden])
    eta[hidden] = draw_below(log_floor(problem)[hidden], mean[hidden], sd, rng)
    held = replace(sites, innovation_weight=parts.innovation_weight)
    return State(x, coefficient, parts, eta, held)


def _choose(new: CorridorParts, old: CorridorParts, take: NDArray[np.bool_]) -> CorridorParts:
    def either(name: str) -> FloatArray:
        a, b = getattr(new, name), getattr(old, name)
        return np.asarray(np.where(take.reshape(-1, *[1] * (a.ndim - 1)), a, b))

    return CorridorParts(*(either(n) for n in ("effect", "series", "path", "innovation_weight")))


def _move_corridors(
    problem: Problem, hyper: Hyper, state: State, rng: np.random.Generator
) -> tuple[State, float]:
    """Propose everything about a corridor from the Gaussian conditional under the sites."""
    sites, n = state.sites, problem.grid.n_corridor
    parts = draw_parts(problem, hyper, sites, state.coefficient, _ALL, rng)
    mean = report_mean(problem, hyper, state.coefficient, parts)
    eta = _draw_eta(problem, hyper, sites, mean, rng)
    level = np.log(rng.random(n))
    take, inexact = np.ones(n, dtype=bool), np.logical_or(*inexact_figures(problem))
    if inexact.any():
        new, old = (log_likelihood(problem, sites, value) for value in (eta, state.eta))
        # What is Gaussian is proposed as it is, and cancels.
        change = np.where(inexact, new - old, 0.0)
        old, new = ((value - sites.mean) ** 2 for value in (state.eta, eta))
        change[inexact] += 0.5 * ((new - old)[inexact]) / sites.variance[inexact]
        take = level < np.bincount(problem.reports.corridor, change, n)
    parts = _choose(parts, state.parts, take)
    eta = np.where(take[problem.reports.corridor], eta, state.eta)
    sites = replace(sites, innovation_weight=parts.innovation_weight)
    share = float(take[problem.blocks.corridor].mean())
    return replace(state, parts=parts, eta=eta, sites=sites), share


def _move_reports(
    problem: Problem, hyper: Hyper, state: State, rng: np.random.Generator
) -> tuple[State, float]:
    """Draw eta of each report given all else: a Student-t around its mode, then accept or not."""
    mean = report_mean(problem, hyper, state.coefficient, state.parts)
    noise, n = _noise(problem, hyper, state.sites), len(mean)
    counted, hidden = inexact_figures(problem)
    exact = state.eta
    if not counted.all():  # the others are drawn outright
        exact = _draw_eta(problem, hyper, state.sites, mean, rng)
        limit = log_floor(problem)[hidden]
        exact[hidden] = draw_below(limit, mean[hidden], np.sqrt(noise[hidden]), rng)
    if not counted.any():
        return replace(state, eta=exact), 1.0
    mode, scale = count_mode(problem.reports.value, mean, noise)
    eta = mode + scale * rng.standard_t(_PROPOSAL_DF, n)

    def log_weight(at: FloatArray) -> FloatArray:
        count = problem.reports.value * at - np.exp(np.minimum(at, 700.0))
        target = count - 0.5 * (at - mean) ** 2 / noise
        ratio = ((at - mode) / scale) ** 2 / _PROPOSAL_DF
        return np.asarray(target + 0.5 * (_PROPOSAL_DF + 1.0) * np.log1p(ratio))

    take = np.log(rng.random(n)) < log_weight(eta) - log_weight(state.eta)
    eta = np.where(counted, np.where(take, eta, state.eta), exact)
    return replace(state, eta=eta), float(take[counted].mean())


def _draw_weights(problem: Problem, hyper: Hyper, state: State, rng: np.random.Generator) -> State:
    noise = state.eta - report_mean(problem, hyper, state.coefficient, state.parts)
    deviation, path = state.coefficient - problem.coefficients.mean, state.parts.path
    sites = draw_weights(problem, hyper, state.sites, noise, path, deviation, rng)
    return replace(state, sites=sites)


def _move_hyper(chain: Chain, state: State, rng: np.random.Generator) -> tuple[State, float]:
    """Move the hyper-parameters given eta and weights; coefficients and paths are out of date."""
    density = replace(chain.coordinates.density, sites=_held(state))
    held = replace(chain.coordinates, density=density)
    x, share = trajectory(held, state.x, chain.step, rng)
    return replace(state, x=x), share


def _draw_rest(problem: Problem, hyper: Hyper, state: State, rng: np.random.Generator) -> State:
    """Draw coefficients, effects and paths given eta, weights and hyper-parameters."""
    held = _held(state)
    coefficient = draw_coefficients(problem, hyper, held, rng)
    parts = draw_parts(problem, hyper, held, coefficient, _ALL, rng)
    sites = replace(state.sites, innovation_weight=parts.innovation_weight)
    return replace(state, coefficient=coefficient, parts=parts, sites=sites)


def sweep(
    chain: Chain, state: State, rng: np.random.Generator, *, hyper: bool = True
) -> tuple[State, dict[str, float]]:
    """Take every step of the chain once.

    Parameters
    ----------
    chain
        Its settings.
    state
        Where it is.
    rng
        Source of randomness.
    hyper
        Whether the hyper-parameters move too, which is most of the work.

    Returns
    -------
    State, dict
        The new state, and the share of proposals accepted by kind.
    """
    density = chain.coordinates.density
    problem, now = density.problem, density.hyper(state.x)
    share: dict[str, float] = {}
    state, share["corridors"] = _move_corridors(problem, now, state, rng)
    state, share["reports"] = _move_reports(problem, now, state, rng)
    state = _draw_weights(problem, now, state, rng)
    if hyper:
        state, share["hyper"] = _move_hyper(chain, state, rng)
        now = density.hyper(state.x)
    return _draw_rest(problem, now, state, rng), share


def refine(
    density: Density,
    chain: Chain,
    x: FloatArray,
    rng: np.random.Generator,
    *,
    n_sweeps: int,
    every: int = 1,
) -> Refined:
    """Draw from the approximation at one draw of its hyper-parameters, then sweep.

    Parameters
    ----------
    density
        The approximation: its sites are where the chain starts.
    chain
        Settings of the chain.
    x
        A draw of the hyper-parameters, unconstrained, (dim,).
    rng
        Source of randomness; members of an ensemble have one each and may run in threads.
    n_sweeps
        Number of sweeps; 0 gives the draw of the approximation itself.
    every
        Hyper-parameters move in one sweep out of so many, the last among them; with 0 in none.

    Raises
    ------
    UsageError
        If the model has reports of sums of cells: the chain has no step for them.
    """
    if density.problem.totals is not None:
        raise UsageError("(sweeps) | found reports of sums; allowed: reports of single cells")
    state, shares = start_state(density, x, rng), []
    for left in range(n_sweeps - 1, -1, -1):
        state, share = sweep(chain, state, rng, hyper=every > 0 and left % every == 0)
        shares.append(share)
    flow = cell_mean(density.problem, state.coefficient) + state.parts.log_flow
    return Refined(state.x, state.coefficient, flow, _held(state), _average(shares))


def _average(shares: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean share of each kind over the sweeps that had it."""
    kinds = sorted({kind for share in shares for kind in share})
    return {kind: float(np.mean([s[kind] for s in shares if kind in s])) for kind in kinds}


def tune_chain(density: Density, coordinates: Coordinates, members: FloatArray, seed: int) -> Chain:
    """Find the step size at which about 0.8 of the trajectories are accepted.

    A few members are swept with a careful step; from there trajectories given their eta and
    weights are tried at several step sizes, with the same random numbers at each.

    Parameters
    ----------
    density
        The approximation.
    coordinates
        Its coordinates, from `build_coordinates`.
    members
        Draws of the hyper-parameters, unconstrained, (member, dim); some of them are used.
    seed
        Of the pilots. The ensemble is run afterwards, with the settings fixed.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    careful = Chain(mirror_symmetric(coordinates), _PILOT_STEP)
    places = np.unique(np.linspace(0, len(members) - 1, _PILOTS).round().astype(np.int64))
    held, points = [], []
    for k in places:
        state = start_state(density, members[k], rng)
        for _ in range(_PILOT_SWEEPS):
            state, _ = sweep(careful, state, rng)
        held.append(replace(careful.coordinates, density=replace(density, sites=_held(state))))
        points.append(state.x)
    streams = rng.integers(2**63, size=len(held))

    def accepted(log_step: float) -> float:
        shares = [
            trajectory(c, x, float(np.exp(log_step)), np.random.default_rng(stream))[1]
            for c, x, stream in zip(held, points, streams, strict=True)
        ]
        return float(np.mean(shares))

    low, high = np.log(_STEPS)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if accepted(middle) > _TARGET else (low, middle)
    return replace(careful, step=float(np.exp(0.5 * (low + high))))
