"""A cheap stand-in for a factor of the posterior that is dear to evaluate: reports of sums.

Chains run without the sums, and weights bring them in afterwards. Where many sums say much about
the hyper-parameters, a few draws would carry all the weight. Chains then run on the density times
a stand-in of the factor: its log is a sum of polynomials, one in each hyper-parameter, fitted to
the factor at some hundred points near the posterior. Weights correct for what the stand-in misses,
so that the result is as exact as before; with the stand-in they are nearly equal.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.gate import HyperDraws, judge_importance, max_pareto_k, name_draws
from flowcast.inference.laplace import Target, evaluate, resample, smooth_weights
from flowcast.model.coordinates import Coordinates
from flowcast.model.density import Density
from flowcast.posterior import GateResult

__all__ = [
    "Tilt",
    "TiltedDensity",
    "effective_share",
    "fit_tilt",
    "reweigh",
    "tilt_coordinates",
]

FloatArray = NDArray[np.float64]

GOOD_SHARE: Final = 0.5
"""No stand-in where this share of the draws is effective without one."""
_DEGREE = 4
_CANDIDATES = 20_000
_ROUNDS = 2
"""How often the stand-in is fitted anew at points where the one before is large."""
_PENALTY, _FAR_WEIGHT = 0.3, 0.05
"""Of the squared coefficients; and what a point of the first pilot counts beside a later one, which
lies where the posterior with the sums is."""
_WEIGHED = 1000
"""Of chains about so many draws are weighed, evenly spread."""
_REACH = 4.0
"""Beyond so many spreads of the pilots the stand-in is level: polynomials are not to be trusted."""


@dataclass(frozen=True, slots=True, eq=False)
class Tilt:
    """A function of the unconstrained hyper-parameters: a polynomial in each.

    Attributes
    ----------
    centre, scale
        Of each hyper-parameter, (dim,).
    coef
        Of the powers 1 to 4 of each, scaled and held within bounds, (dim, power).
    """

    centre: FloatArray
    scale: FloatArray
    coef: FloatArray

    def _scaled(self, x: FloatArray) -> FloatArray:
        return np.clip((x - self.centre) / self.scale, -_REACH, _REACH)

    def value(self, x: FloatArray) -> FloatArray:
        """Return the values at points (..., dim)."""
        s = self._scaled(x)
        powers = s[..., None] ** np.arange(1, _DEGREE + 1)
        return np.asarray((powers * self.coef).sum(axis=(-1, -2)))

    def slope(self, x: FloatArray) -> FloatArray:
        """Return the gradient at points (..., dim)."""
        s = self._scaled(x)
        k = np.arange(1, _DEGREE + 1)
        slope = (k * s[..., None] ** (k - 1) * self.coef).sum(axis=-1) / self.scale
        return np.where(np.abs(s) < _REACH, slope, 0.0)


def _level(dim: int) -> Tilt:
    return Tilt(np.zeros(dim), np.ones(dim), np.zeros((dim, _DEGREE)))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TiltedDensity(Density):
    """The density times the stand-in."""

    tilt: Tilt = field(default_factory=lambda: _level(0))

    def value(self, x: FloatArray) -> float:
        """Return the log density (up to a constant) at an unconstrained point (dim,)."""
        return Density.value(self, x) + float(self.tilt.value(x))

    def value_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Return log density (up to a constant) and gradient at an unconstrained point (dim,)."""
        value, gradient = Density.value_grad(self, x)
        return value + float(self.tilt.value(x)), gradient + self.tilt.slope(x)


def effective_share(log_weight: FloatArray) -> float:
    """Return the effective sample size of weights as a share of their number."""
    if not np.isfinite(log_weight).any():
        return 0.0
    both = 2.0 * logsumexp(log_weight) - logsumexp(2.0 * log_weight)
    return float(np.exp(both) / len(log_weight))


def fit_tilt(
    x: FloatArray, value: FloatArray, weight: FloatArray, degree: NDArray[np.int64]
) -> Tilt:
    """Fit the stand-in by penalised least squares.

    Parameters
    ----------
    x, value
        Points (point, dim) and the log factor there, (point,); points without a finite value are
        left out.
    weight
        How much each point counts, (point,).
    degree
        Of the polynomial in each hyper-parameter, (dim,), at most 4.
    """
    seen = np.isfinite(value)
    x, value, weight = x[seen], value[seen], weight[seen]
    centre, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-8)
    powers = np.arange(1, _DEGREE + 1)
    s = np.clip((x - centre) / scale, -_REACH, _REACH)
    used = powers <= degree[:, None]
    design = (s[..., None] ** powers)[:, used]
    design = np.column_stack([np.ones(len(x)), design])
    penalty = _PENALTY * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    left = (design * weight[:, None]).T
    found = np.linalg.solve(left @ design + penalty, left @ value)
    coef = np.zeros(used.shape)
    coef[used] = found[1:]
    return Tilt(centre, scale, coef)


def _degrees(density: Density, plain: int) -> NDArray[np.int64]:
    """Return the degree by hyper-parameter: higher for what sums alone inform."""
    out = np.full(density.layout.n_dim, plain, dtype=np.int64)
    if "sd_noise_total" in density.layout.slices:
        out[density.layout.slices["sd_noise_total"]] = _DEGREE
    return out


def _pilots(coordinates: Coordinates, factor: Target, seed: int) -> tuple[Tilt, float]:
    """Return the stand-in, and the share of draws that would be effective without it."""
    density, dim = coordinates.density, len(coordinates.centre)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 6]))

    def normal(n: int) -> FloatArray:
        z = rng.standard_normal((n, dim))
        return np.apply_along_axis(coordinates.unconstrained, -1, z)

    first = normal(max(200, 3 * dim))
    value = evaluate(factor, first)
    share = effective_share(value)
    if share > GOOD_SHARE or np.isfinite(value).mean() < 0.5:
        return _level(dim), share
    tilt, x = fit_tilt(first, value, np.ones(len(first)), _degrees(density, 1)), first
    weight = np.full(len(first), _FAR_WEIGHT)
    for _ in range(_ROUNDS):
        # Draws of the normal times what is fitted so far, without replacement (Gumbel's trick).
        candidates = normal(_CANDIDATES)
        key = tilt.value(candidates) + rng.gumbel(size=_CANDIDATES)
        more = candidates[np.argsort(-key)[: max(200, 4 * dim)]]
        x, value = np.concatenate([x, more]), np.concatenate([value, evaluate(factor, more)])
        weight = np.concatenate([weight, np.ones(len(more))])
        tilt = fit_tilt(x, value, weight, _degrees(density, 2))
    return tilt, share


def tilt_coordinates(
    coordinates: Coordinates,
    factor: Target,
    sampler: Sampler,
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[Coordinates, Tilt, float]:
    """Return coordinates whose density has the stand-in, where it is needed.

    Parameters
    ----------
    coordinates
        From `build_coordinates`; draws of the normal there are the first pilot.
    factor
        The log of what the density lacks, by unconstrained point (dim,).
    sampler
        Seed.
    checkpoint, progress
        As for the samplers.

    Returns
    -------
    coordinates : Coordinates
        To run chains in.
    tilt : Tilt
        What their density has beside the posterior without the factor; level if not needed.
    share : float
        Share of draws that would be effective without it.
    """

    def make() -> dict[str, NDArray[Any]]:
        tilt, share = _pilots(coordinates, factor, sampler.seed)
        parts = {name: getattr(tilt, name) for name in ("centre", "scale", "coef")}
        return parts | {"share": np.array([share])}

    kept = checkpoint.stage("tilt", make)
    share = float(kept["share"][0])
    tilt = Tilt(kept["centre"], kept["scale"], kept["coef"])
    if not tilt.coef.any():
        return coordinates, tilt, share
    progress.say(
        f"of the sums alone {100 * share:.0f} % of draws would be effective: chains run with a "
        "stand-in for them"
    )
    old = coordinates.density
    density = TiltedDensity(old.problem, old.layout, old.sites, old.threads, tilt=tilt)
    return replace(coordinates, density=density), tilt, share


def reweigh(density: Density, draws: HyperDraws, sampler: Sampler, extra: Target) -> HyperDraws:
    """Weigh draws of NUTS by a factor of the posterior that the density lacks, and resample.

    Parameters
    ----------
    density
        What they were drawn from.
    draws
        Of equal weight so far, with the verdict on their chains.
    sampler
        Seed and bounds.
    extra
        Log of the factor, by unconstrained point (dim,).

    Returns
    -------
    HyperDraws
        It passes the gate if the chains and the weights do.
    """
    x = draws.x.reshape(-1, draws.x.shape[-1])
    x = x[:: max(1, len(x) // _WEIGHED)]  # neighbours in a chain say little more than one of them
    weight, k = smooth_weights(evaluate(extra, x))
    every = name_draws(density, x[None])
    max_k = max_pareto_k(density.problem.reports.n)
    gate, diagnostics = judge_importance(every, weight, k, sampler, max_k)
    chosen = resample(weight, sampler)
    both = GateResult(
        gate.passed and draws.gate.passed,
        (*draws.gate.failures, *gate.failures),
        {**draws.gate.worst, **gate.worst},
    )
    facts = draws.facts | {"pareto_k": round(k, 3)}
    stats = {"importance_weight": weight[chosen][None]}
    data = every.isel(draw=chosen).assign_coords(draw=np.arange(len(chosen)))
    return HyperDraws(x[chosen][None], data, "nuts", both, diagnostics, stats, facts)
