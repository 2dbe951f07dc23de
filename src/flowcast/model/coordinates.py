"""Coordinates of the hyper-parameters in which the posterior is nearly normal.

Two things are done to the unconstrained vector of `hyper`:

- Standard deviations with a half-normal or half-t prior are folded: ``sd = hypot(u, 0.001)`` with u
  on the whole line. On the log scale an sd that the data cannot tell from zero has a long left
  tail; in u the density is smooth and nearly normal around zero. Values below 0.001 (0.1 % on a
  flow) are not told apart; u and -u are the same sd.
- What is positive and well known is taken as a power of itself whose density has no skewness at the
  mode, ``value ** power = hypot(u, 0.001)``: power 1 where a likelihood is normal in the value (an
  increment of duration), 0, the logarithm, where a prior is normal in it, -2/3 for the sd of a
  large sample (Wilson & Hilferty 1931, doi 10.1073/pnas.17.12.684, by the same argument).
- Where such a power would have zero within reach, the value is taken as ``scale * log(1 + exp u)``:
  like a power in the middle, proportional to u far above, and a logarithm near zero, where a power
  would turn the prior into a wall that no trajectory can follow.
- Noise sds of reporters that say little about themselves are taken relative to the distribution
  they come from, ``log sd = log median + spread * u`` (non-centred; Papaspiliopoulos et al. 2007,
  doi 10.1214/088342307000000014). The others stay as they are: which form is nearer to normal
  depends on how much the data say (Betancourt & Girolami 2015, arXiv:1312.0906).
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, lambertw

from flowcast.model.curvature import (
    climb,
    curvature,
    curvature_between,
    slopes_beside,
    symmetric_root,
    third_derivative,
)
from flowcast.model.density import Density, ModeResult
from flowcast.model.hyper import HyperLayout

__all__ = ["Coordinates", "build_coordinates", "powers", "soften"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FLOOR = 1e-3
_WEAK = 0.35
"""Non-centred are log noise sds whose posterior sd is more than this times the spread."""
_LEAST_POWER = 0.1
"""A smaller power is as good as the logarithm."""
_NEAR_ZERO, _VAGUE = 0.25, 0.5
"""An sd whose logarithm has a larger spread is folded as it is: it may be zero. Other values whose
logarithms have a larger spread stay logarithms, as their priors have them."""
_REACH, _MOST_POWER = 8.0, 0.95
"""A power is softened if zero is fewer posterior sds than this away from the mode."""


def _none() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def _nothing() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """Sampling coordinates z: ``u = centre + root @ z``, one unit being about one posterior sd.

    Attributes
    ----------
    density
        What is sampled.
    folded
        Positions of what is folded.
    power
        Of which power of each folded value u is the size, (folded,).
    relative
        Positions of the non-centred noise sds of reporters.
    centre
        What z = 0 stands for, (dim,).
    root
        Symmetric, (dim, dim).
    soft, scale
        Positions of what is ``scale * log(1 + exp u)``, and the scales, (soft,).
    """

    density: Density
    folded: IntArray
    power: FloatArray
    relative: IntArray
    centre: FloatArray
    root: FloatArray
    soft: IntArray = field(default_factory=_none)
    scale: FloatArray = field(default_factory=_nothing)

    def plain(self) -> "Coordinates":
        """Return the coordinates u themselves, without centre and root."""
        n = len(self.centre)
        return replace(self, centre=np.zeros(n), root=np.eye(n))

    def unconstrained(self, z: FloatArray) -> FloatArray:
        """Return the unconstrained point of `Density`, (dim,)."""
        return self._unfold(self.centre + self.root @ z)

    def position(self, x: FloatArray) -> FloatArray:
        """Return the z of an unconstrained point of `Density`; folded values are above zero."""
        return np.asarray(np.linalg.solve(self.root, self.plain_position(x) - self.centre))

    def plain_position(self, x: FloatArray) -> FloatArray:
        """Return the u of an unconstrained point of `Density`; folded values are above zero."""
        u = x.copy()
        square = np.exp(2.0 * self.power * x[self.folded])
        u[self.folded] = np.sqrt(np.maximum(square - _FLOOR**2, 0.0))
        size = np.exp(x[self.soft]) / self.scale
        u[self.soft] = size + np.log(-np.expm1(-size))
        if len(self.relative):
            median, spread = self._pooled()
            u[self.relative] = (x[self.relative] - x[median]) / np.exp(x[spread])
        return u

    def logs_of_soft(self) -> tuple[FloatArray, FloatArray]:
        """Return the logarithms of the softened values at the centre, and du by d(logarithm)."""
        u = self.centre[self.soft]
        return np.log(self.scale) + _log_softplus(u), 1.0 / _slope(u)

    def _pooled(self) -> tuple[IntArray, IntArray]:
        """Return where median and spread of each non-centred noise sd stand."""
        layout = self.density.layout
        own = layout.slices["sd_noise_reporter"].start
        side = layout.reporter_side[self.relative - own]
        median, spread = (layout.slices[f"{k}_sd_noise_reporter"].start for k in _POOLED)
        return median + side, spread + side

    def _unfold(self, u: FloatArray) -> FloatArray:
        x = u.copy()
        x[self.folded] = np.log(np.hypot(u[self.folded], _FLOOR)) / self.power
        x[self.soft] = np.log(self.scale) + _log_softplus(u[self.soft])
        if len(self.relative):
            median, spread = self._pooled()
            x[self.relative] = x[median] + np.exp(x[spread]) * u[self.relative]
        return x

    def _log_jacobian(self, x: FloatArray, u: FloatArray) -> float:
        total = -float(self.power @ x[self.folded])
        soft = u[self.soft]
        total += float((-np.logaddexp(0.0, -soft) - _log_softplus(soft)).sum())
        return total + float(x[self._pooled()[1]].sum()) if len(self.relative) else total

    def value(self, z: FloatArray) -> float:
        """Return the log density in these coordinates."""
        u = self.centre + self.root @ z
        x = self._unfold(u)
        return self.density.value(x) + self._log_jacobian(x, u)

    def value_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Return log density and gradient in these coordinates."""
        value, gradient = self._value_grad(self.centre + self.root @ z)
        return value, self.root.T @ gradient

    def _value_grad(self, u: FloatArray) -> tuple[float, FloatArray]:
        x = self._unfold(u)
        value, gradient = self.density.value_grad(x)
        value += self._log_jacobian(x, u)
        if len(self.relative):
            median, spread = self._pooled()
            own, sd = gradient[self.relative], np.exp(x[spread])
            n = len(gradient)
            gradient += np.bincount(median, own, n)
            gradient += np.bincount(spread, own * sd * u[self.relative] + 1.0, n)
            gradient[self.relative] = own * sd
        # The density of u is that of the power at hypot(u): smooth in u, also at zero.
        where = self.folded
        slope = gradient[where] / self.power - 1.0
        gradient[where] = slope * u[where] * np.exp(-2.0 * self.power * x[where])
        soft = u[self.soft]
        ratio = _slope(soft)
        gradient[self.soft] = (gradient[self.soft] - 1.0) * ratio + expit(-soft)
        return value, gradient


def _log_softplus(u: FloatArray) -> FloatArray:
    """Return log log(1 + exp u), which is u itself far below zero."""
    low = np.minimum(u, 0.0)
    # log1p(exp u) is exp(u) (1 - exp(u) / 2 + ...): nothing is lost where exp(u) underflows.
    return np.asarray(np.where(u < -20.0, low, np.log(np.logaddexp(0.0, np.maximum(u, -20.0)))))


def _slope(u: FloatArray) -> FloatArray:
    """Return the slope of `_log_softplus`."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -u) - _log_softplus(u)))


_POOLED = ("median", "spread")


def _weak_reporters(density: Density, x: FloatArray, sd: FloatArray) -> IntArray:
    """Return the noise sds of reporters that the data say little about."""
    layout = density.layout
    if not len(layout.reporter_side):
        return np.zeros(0, dtype=np.int64)
    own = np.arange(*layout.slices["sd_noise_reporter"].indices(layout.n_dim))
    spread = np.exp(x[layout.slices["spread_sd_noise_reporter"]])[layout.reporter_side]
    return np.asarray(own[sd[own] > _WEAK * spread], dtype=np.int64)


def powers(
    layout: HyperLayout, curvature: FloatArray, third: FloatArray, relative: IntArray
) -> tuple[IntArray, FloatArray]:
    """Return what is folded, and as which power.

    Parameters
    ----------
    layout
        Of the hyper-parameters.
    curvature, third
        Minus the second, and the third derivative of the log density along each axis at the mode,
        by logarithms, (dim,).
    relative
        Positions that are taken relative to others, which are left alone.

    Returns
    -------
    position, power : ndarray, (folded,)
    """
    spread = 1.0 / np.sqrt(np.maximum(curvature, 1e-12))
    # By value ** power the third derivative is proportional to third + 3 power curvature.
    power = np.clip(-third * spread**2 / 3.0, -1.0, 1.0)
    folded = np.zeros(layout.n_dim, dtype=bool)
    for shape in ("half_normal", "half_t"):
        folded[layout.shapes.get(shape, [])] = True
    power[folded & (spread > _NEAR_ZERO)] = 1.0
    small = folded & (np.abs(power) < _LEAST_POWER)
    power[small] = np.copysign(_LEAST_POWER, power[small])
    other = np.ones(layout.n_dim, dtype=bool)
    for shape in ("half_normal", "half_t", "beta", "normal"):
        other[layout.shapes.get(shape, [])] = False
    other[relative] = False
    other &= (spread < _VAGUE) & (np.abs(power) >= _LEAST_POWER)
    where = np.flatnonzero(folded | other)
    return where, power[where]


def soften(
    power: FloatArray, spread: FloatArray, value: FloatArray
) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return which powers are to be softened, and the scales they then have.

    Parameters
    ----------
    power
        The powers without skewness, (n,).
    spread
        Posterior sds of the logarithms, (n,).
    value
        The values at the mode, (n,).

    Returns
    -------
    chosen : ndarray of bool, (n,)
    scale : ndarray, (chosen,)
        With these the third derivative at the mode vanishes as it does with the power: it takes
        ``1 - log(1 + y) / y = power`` for ``y = exp u`` there, which Lambert's function solves.
    """
    chosen = (power > 0.0) & (power * spread * _REACH > 1.0)
    rest = 1.0 - np.minimum(power[chosen], _MOST_POWER)
    y = -np.real(lambertw(-rest * np.exp(-rest), -1)) / rest - 1.0
    return chosen, value[chosen] / np.log1p(y)


def build_coordinates(mode: ModeResult) -> Coordinates:
    """Return coordinates centred on the mode of the density in these coordinates.

    Parameters
    ----------
    mode
        Where to begin, from `find_mode`; its density's threads work side by side.
    """
    layout, threads, n = mode.density.layout, mode.density.threads, len(mode.x)
    # One thread a point: points side by side waste less than corridors side by side.
    alone = replace(mode.density, threads=1)
    beside = slopes_beside(alone.value_grad, mode.x, threads)
    hessian = curvature_between(*beside)
    sd = np.sqrt((symmetric_root(hessian) ** 2).sum(axis=1))
    relative = _weak_reporters(alone, mode.x, sd)
    third = third_derivative(*beside, alone.value_grad(mode.x)[1])
    folded, power = powers(layout, np.diag(hessian), third, relative)
    # What is folded because it may be zero has no wall there: its density depends on squares.
    sds = [layout.shapes[k] for k in ("half_normal", "half_t") if k in layout.shapes]
    wall = ~np.isin(folded, np.concatenate([*sds, _none()]))
    log_sd = 1.0 / np.sqrt(np.maximum(np.diag(hessian)[folded], 1e-12))
    chosen, scale = soften(np.where(wall, power, 0.0), log_sd, np.exp(mode.x[folded]))
    soft, folded, power = folded[chosen], folded[~chosen], power[~chosen]
    start = Coordinates(
        alone, folded, power, relative, np.zeros(n), np.eye(n), soft=soft, scale=scale
    )
    together = replace(start, density=mode.density)
    centre = climb(together.value_grad, start.plain_position(mode.x))
    centre[folded] = np.abs(centre[folded])
    root = symmetric_root(curvature(start.value_grad, centre, threads))
    return replace(start, centre=centre, root=root)
