"""The fast method: a bent normal around the mode, corrected by importance sampling.

Once latent flows and coefficients are integrated out, the posterior of the hyper-parameters is
smooth and low-dimensional. A normal with the curvature at its mode, stretched along each axis as
the density falls on either side (skewness correction: Martins et al. 2013, doi
10.1016/j.csda.2013.04.014), is close to it. Its draws, weighted by how much the posterior differs
from it, are exact up to Monte Carlo error as long as no weight dominates. The tail of the weights
tells whether one does (Pareto-smoothed importance sampling: Vehtari et al. 2024, JMLR 25:72,
arXiv:1507.02646).

Draws come in batches. Where the first shows that few draws would be effective, further proposals
are fitted to what the weights say (adaptive importance sampling: Bugallo et al. 2017, doi
10.1109/MSP.2017.2699226); then the mixture of all of them stays as it is, and only draws made from
it afterwards count. It ends when there are enough effective draws.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import gammaln, logsumexp

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.gate import HyperDraws, judge_importance, max_pareto_k, name_draws
from flowcast.model.coordinates import Coordinates

__all__ = [
    "Proposal",
    "Target",
    "evaluate",
    "first_proposal",
    "resample",
    "sample_laplace",
    "smooth_weights",
]

FloatArray = NDArray[np.float64]
Target = Callable[[FloatArray], float]

BATCH: Final = 500
"""Draws of a batch; more where there are many hyper-parameters."""
ENOUGH: Final = 1.1
"""It ends with this many times `sampler.min_ess` effective draws, of every hyper-parameter."""
_WIDER = 1.05
"""The normal is a little wider than the curvature says: draws too many in the tails cost less than
weights too large there."""
_HEAVY_SHARE, _HEAVY_NU = 0.25, 8.0
"""Share and degrees of freedom of the proposal's Student-t part, which keeps weights bounded."""
_AT_ZERO, _NEAR_ZERO = 0.1, 4.0
"""A folded sd whose mode is that many spreads from zero is mirrored there: further away it need
not be, and at zero the proposal is symmetric of itself."""
_MAX_MIRRORED = 5
_PILOTS, _GOOD = 3, 0.4
"""The proposal is fitted anew at most so often, and not if this share of the draws is effective."""
_PROBE, _WIDEST = 2.5, 3.0
"""How far from the mode the bend is measured, in spreads, and the widest side, in spreads. Near the
mode the bend would be measured better, but too light a tail costs more than a crooked middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A normal that is bent along each axis, with a Student-t part.

    A point is ``u = centre + root @ bend(s)``, where s is normal, or for a share of the draws
    Student-t, and ``bend(s) = straight * s + bent * (sqrt(1 + s^2) - 1)`` has the slope
    ``straight - bent`` far to the left and ``straight + bent`` far to the right. Standard
    deviations near zero are mirrored: drawn with both signs and taken without it.

    Attributes
    ----------
    centre, root
        (dim,), and symmetric (dim, dim).
    straight, bent
        (dim,), with ``abs(bent) < straight``.
    mean, factor
        Mean of s, (dim,), and lower triangular root of its covariance, (dim, dim).
    mirrored
        Positions.
    """

    centre: FloatArray
    root: FloatArray
    straight: FloatArray
    bent: FloatArray
    mean: FloatArray
    factor: FloatArray
    mirrored: NDArray[np.int64]

    def draw(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Draw n points, (n, dim)."""
        z = rng.standard_normal((n, len(self.mean)))
        heavy = rng.random(n) < _HEAVY_SHARE
        spread = np.sqrt(rng.chisquare(_HEAVY_NU, n) / _HEAVY_NU)
        s = self.mean + np.where(heavy, 1.0 / spread, 1.0)[:, None] * (z @ self.factor.T)
        y = self.straight * s + self.bent * (np.sqrt(1.0 + s**2) - 1.0)
        u = self.centre + y @ self.root.T
        u[:, self.mirrored] = np.abs(u[:, self.mirrored])
        return np.asarray(u)

    def unbend(self, u: FloatArray) -> FloatArray:
        """Return s of points (n, dim)."""
        y = np.linalg.solve(self.root, (u - self.centre).T).T + self.bent
        square = self.straight**2 - self.bent**2
        return np.asarray((self.straight * y - self.bent * np.sqrt(y**2 + square)) / square)

    def log_density(self, u: FloatArray) -> FloatArray:
        """Return the log density at points (n, dim), mirror images included, (n,)."""
        signs = product((1.0, -1.0), repeat=len(self.mirrored))
        return np.asarray(logsumexp([self._plain(u, np.array(s)) for s in signs], axis=0))

    def _plain(self, u: FloatArray, signs: FloatArray) -> FloatArray:
        point = u.copy()
        point[:, self.mirrored] *= signs
        s = self.unbend(point)
        slope = self.straight + self.bent * s / np.sqrt(1.0 + s**2)
        z = solve_triangular(self.factor, (s - self.mean).T, lower=True)
        square, d, nu = (z**2).sum(axis=0), len(self.mean), _HEAVY_NU
        normal = -0.5 * square - 0.5 * d * np.log(2.0 * np.pi)
        heavy = gammaln((nu + d) / 2) - gammaln(nu / 2) - 0.5 * d * np.log(nu * np.pi)
        heavy = heavy - 0.5 * (nu + d) * np.log1p(square / nu)
        both = np.logaddexp(np.log1p(-_HEAVY_SHARE) + normal, np.log(_HEAVY_SHARE) + heavy)
        scale = np.log(np.diag(self.factor)).sum() + np.linalg.slogdet(self.root)[1]
        return np.asarray(both - np.log(slope).sum(axis=1) - scale)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Several proposals, each of which makes an equal share of the draws."""

    proposals: tuple[Proposal, ...]

    def draw(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Draw n points, in random order, (n, dim)."""
        share = np.bincount(np.arange(n) % len(self.proposals), minlength=len(self.proposals))
        parts = [q.draw(rng, int(k)) for q, k in zip(self.proposals, share, strict=True)]
        return np.asarray(rng.permutation(np.concatenate(parts)))

    def log_density(self, u: FloatArray) -> FloatArray:
        """Return the log density at points (n, dim), (n,)."""
        each = [q.log_density(u) for q in self.proposals]
        return np.asarray(logsumexp(each, axis=0) - np.log(len(self.proposals)))


def first_proposal(coordinates: Coordinates, target: Target) -> Proposal:
    """Return the proposal whose bend along each axis matches the density on either side.

    Parameters
    ----------
    coordinates
        Centred on the mode and scaled by the curvature there.
    target
        Log density by plain coordinates (dim,).
    """
    centre, root, dim = coordinates.centre, coordinates.root, len(coordinates.centre)
    points = [centre + side * _PROBE * root[:, k] for k in range(dim) for side in (-1.0, 1.0)]
    values = evaluate(target, np.array([centre, *points]))
    drop = np.maximum(values[0] - values[1:], _PROBE**2 / (2.0 * _WIDEST**2)).reshape(dim, 2)
    left, right = np.clip(_PROBE / np.sqrt(2.0 * drop), 1.0 / _WIDEST, _WIDEST).T
    straight, bent = (left + right) / 2.0, (right - left) / 2.0
    spread = np.sqrt((root**2).sum(axis=1))
    folded = coordinates.folded
    near = np.abs(centre[folded]) / spread[folded]
    order = np.argsort(near)
    order = order[(near[order] > _AT_ZERO) & (near[order] < _NEAR_ZERO)][:_MAX_MIRRORED]
    mirrored = np.sort(folded[order])
    # With this mean the density keeps its mode at the centre in spite of the bend.
    factor = _WIDER * np.eye(dim)
    return Proposal(centre, root, straight, bent, bent / straight, factor, mirrored)


def smooth_weights(log_weight: FloatArray) -> tuple[FloatArray, float]:
    """Return Pareto-smoothed weights that add up to one, and the shape k-hat of their tail.

    Parameters
    ----------
    log_weight
        Log density of the target less that of the proposal, (draw,).
    """
    from arviz_stats.base import array_stats  # type: ignore[attr-defined]

    finite = np.isfinite(log_weight)
    if finite.sum() < 25:
        return np.full(len(log_weight), 1.0 / len(log_weight)), np.inf
    if np.ptp(log_weight[finite]) < 1e-9:  # a tail of equal weights has no shape
        return finite / finite.sum(), 0.0
    # The function takes minus the log weights, as from a log likelihood that is left out.
    smoothed, k = array_stats.psislw(-log_weight[finite])  # type: ignore[no-untyped-call]
    weight = np.zeros(len(log_weight))
    weight[finite] = np.exp(smoothed - logsumexp(smoothed))
    return weight, float(k)


def _adapt(u: FloatArray, weight: FloatArray, old: Proposal) -> Proposal:
    """Return a proposal with the moments of the weighted draws, drawn towards the old one's."""
    ess, dim = 1.0 / np.sum(weight**2), u.shape[1]
    s = old.unbend(u)
    mean = weight @ s
    spread = (s - mean).T @ ((s - mean) * weight[:, None])
    few = 2.0 * dim
    covariance = (ess * spread + few * old.factor @ old.factor.T) / (ess + few)
    centre = (ess * mean + 0.25 * few * old.mean) / (ess + 0.25 * few)
    return replace(old, mean=centre, factor=np.linalg.cholesky(covariance))


def evaluate(
    target: Target, u: FloatArray, told: Callable[[int], None] = lambda done: None
) -> FloatArray:
    """Return a log density or factor at points (point, dim); -inf where it is not finite.

    Parameters
    ----------
    target
        Of one point, (dim,).
    u
        The points.
    told
        Called with the number of points done.
    """
    out = np.empty(len(u))

    def one(k: int) -> float:
        value = target(u[k])
        return value if np.isfinite(value) else -np.inf

    with ThreadPoolExecutor(2) as pool:
        for k, value in enumerate(pool.map(one, range(len(u)))):
            out[k] = value
            told(k + 1)
    return out


def _count(progress: Progress, before: int, done: int) -> None:
    progress.update(before + done)


def resample(weight: FloatArray, sampler: Sampler) -> NDArray[np.int64]:
    """Return positions of draws of equal weight (systematic resampling), in random order."""
    n, rng = sampler.kept_draws, np.random.default_rng(np.random.SeedSequence([sampler.seed, 4]))
    at = (rng.random() + np.arange(n)) / n
    chosen = np.searchsorted(np.cumsum(weight), at).clip(max=len(weight) - 1)
    return np.asarray(rng.permutation(chosen), dtype=np.int64)


def sample_laplace(
    coordinates: Coordinates,
    sampler: Sampler,
    checkpoint: Checkpoint,
    progress: Progress,
    extra: Target | None = None,
) -> HyperDraws:
    """Draw the hyper-parameters by Laplace's approximation and importance sampling.

    Parameters
    ----------
    coordinates
        Centre and spread of the first proposal, from `build_coordinates`.
    sampler
        Seed, bounds, and at most how many draws: `importance_draws`.
    checkpoint
        Keeps every batch that is finished.
    progress
        Told how many draws are weighed.
    extra
        Log of a factor of the posterior that the density lacks, by unconstrained point (dim,).

    Returns
    -------
    HyperDraws
        One chain of `sampler.kept_draws` draws of equal weight, resampled; the verdict is on the
        weights.
    """
    plain = coordinates.plain()

    def target(u: FloatArray) -> float:
        value = plain.value(u)
        return value + extra(plain.unconstrained(u)) if extra is not None else value

    progress.start("importance sampling", sampler.importance_draws)
    batches = _Batches(target, sampler.seed, checkpoint, progress, len(coordinates.centre))
    max_k = max_pareto_k(plain.density.problem.reports.n)
    proposal, first = _pilot(first_proposal(coordinates, target), batches)
    points, values = list(first[:1]), list(first[1:])
    while True:
        if points:
            u, value = np.concatenate(points), np.concatenate(values)
            weight, k = smooth_weights(value - proposal.log_density(u))
            ess = 1.0 / float(np.sum(weight**2))
            least = min(ess, _least_effective(u, weight))
            enough = least > ENOUGH * sampler.min_ess and k < max_k and len(points) > 1
            hopeless = ess / len(u) * sampler.importance_draws < sampler.min_ess
            if enough or hopeless or batches.drawn + batches.size > sampler.importance_draws:
                break
        more = batches.draw(proposal)
        points.append(more[0])
        values.append(more[1])
    progress.say(
        f"importance sampling: {len(u):,} draws after {batches.drawn - len(u):,} to fit the "
        f"proposal, {ess:,.0f} effective, k-hat {k:.2f}"
    )
    return _finish(plain, sampler, u, weight, k)


def _least_effective(u: FloatArray, weight: FloatArray) -> float:
    """Return the least effective sample size of the mean of any coordinate."""
    square = (u - weight @ u) ** 2
    return float((weight @ square / (weight**2 @ square)).min())


@dataclass(slots=True)
class _Batches:
    """Draws and evaluates batches, each a stage that is kept."""

    target: Target
    seed: int
    checkpoint: Checkpoint
    progress: Progress
    dim: int
    n: int = 0

    @property
    def size(self) -> int:
        return max(BATCH, 20 * self.dim)

    @property
    def drawn(self) -> int:
        return self.n * self.size

    def draw(self, proposal: Proposal | Mixture) -> tuple[FloatArray, FloatArray]:
        """Return the next batch: points (draw, dim) and log densities of the target (draw,)."""
        b = self.n

        def make() -> dict[str, Any]:
            rng = np.random.default_rng(np.random.SeedSequence([self.seed, 1, b]))
            u = proposal.draw(rng, self.size)
            told = partial(_count, self.progress, b * self.size)
            return {"u": u, "value": evaluate(self.target, u, told)}

        kept = self.checkpoint.stage(f"importance-{b}", make)
        self.n += 1
        return kept["u"], kept["value"]


def _pilot(first: Proposal, batches: _Batches) -> tuple[Mixture, tuple[FloatArray, ...]]:
    """Fit proposals to weighted draws, up to a few times; returns the mixture of all.

    The first stays in the mixture, so that what the fitted ones have not seen keeps a bounded
    weight. What a proposal was fitted to is not used any further: weighed as draws of the mixture
    it would flatter it. Draws of a first proposal that needed no fitting are returned.
    """
    mixture, points, values = Mixture((first,)), [], []
    for turn in range(_PILOTS):
        u, value = batches.draw(mixture.proposals[-1])
        points.append(u)
        values.append(value)
        u, value = np.concatenate(points), np.concatenate(values)
        weight, _ = smooth_weights(value - mixture.log_density(u))
        if 1.0 / float(np.sum(weight**2)) > _GOOD * len(u):
            return mixture, (u, value) if turn == 0 else ()
        mixture = Mixture((*mixture.proposals, _adapt(u, weight, mixture.proposals[-1])))
    return mixture, ()


def _finish(
    plain: Coordinates, sampler: Sampler, u: FloatArray, weight: FloatArray, k: float
) -> HyperDraws:
    x = np.apply_along_axis(plain.unconstrained, -1, u)
    every = name_draws(plain.density, x[None])
    max_k = max_pareto_k(plain.density.problem.reports.n)
    gate, diagnostics = judge_importance(every, weight, k, sampler, max_k)
    chosen = resample(weight, sampler)
    facts = {"pareto_k": round(k, 3), "importance_draws": len(u)}
    facts["importance_ess"] = round(gate.worst["importance_ess"], 1)
    stats = {"importance_weight": weight[chosen][None]}
    data = every.isel(draw=chosen).assign_coords(draw=np.arange(len(chosen)))
    return HyperDraws(x[chosen][None], data, "laplace", gate, diagnostics, stats, facts)
