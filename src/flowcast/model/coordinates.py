"""Coordinates of the hyper-parameters in which the posterior is nearly normal.

Two things are done to the unconstrained vector of `hyper`:

- Standard deviations with a half-normal or half-t prior are folded: ``sd = hypot(u, 0.001)`` with u
  on the whole line. On the log scale an sd that the data cannot tell from zero has a long left
  tail; in u the density is smooth and nearly normal around zero. Values below 0.001 (0.1 % on a
  flow) are not told apart; u and -u are the same sd.
- Increments of duration are folded too where the data say much about them, as a power of
  themselves: ``increment ** power = hypot(u, 0.001)``. They enter log flows as they are, so that
  the likelihood is nearly normal in the increment (power 1), but their priors are normal in its
  logarithm (power 0). The power is the share of the data in what is known about the logarithm:
  with it the density has no skewness at the mode.
- Noise sds of reporters that say little about themselves are taken relative to the distribution
  they come from, ``log sd = log median + spread * u`` (non-centred; Papaspiliopoulos et al. 2007,
  doi 10.1214/088342307000000014). The others stay as they are: which form is nearer to normal
  depends on how much the data say (Betancourt & Girolami 2015, arXiv:1312.0906).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flowcast.model.density import Density, ModeResult, climb

__all__ = ["Coordinates", "build_coordinates", "known_increments"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FLOOR = 1e-3
_WEAK = 0.35
"""Non-centred are log noise sds whose posterior sd is more than this times the spread."""
_LEAST_POWER = 0.2
"""With a smaller power an increment stays on the log scale."""
_STEP = 1e-3
_MIN_CURVATURE = 0.25
"""Directions with little or negative curvature get a spread of at most 2, what priors allow."""


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """Sampling coordinates z: ``u = centre + root @ z``, one unit being about one posterior sd.

    Attributes
    ----------
    density
        What is sampled.
    folded
        Positions of what is folded: standard deviations and increments.
    power
        Of which power of each folded value u is the size, (folded,); 1 for standard deviations.
    relative
        Positions of the non-centred noise sds of reporters.
    centre
        What z = 0 stands for, (dim,).
    root
        Symmetric, (dim, dim).
    """

    density: Density
    folded: IntArray
    power: FloatArray
    relative: IntArray
    centre: FloatArray
    root: FloatArray

    def plain(self) -> "Coordinates":
        """Return the coordinates u themselves, without centre and root."""
        n = len(self.centre)
        return replace(self, centre=np.zeros(n), root=np.eye(n))

    def unconstrained(self, z: FloatArray) -> FloatArray:
        """Return the unconstrained point of `Density`, (dim,)."""
        return self._unfold(self.centre + self.root @ z)

    def position(self, x: FloatArray) -> FloatArray:
        """Return the z of an unconstrained point of `Density`; folded values are above zero."""
        u = x.copy()
        square = np.exp(2.0 * self.power * x[self.folded])
        u[self.folded] = np.sqrt(np.maximum(square - _FLOOR**2, 0.0))
        if len(self.relative):
            median, spread = self._pooled()
            u[self.relative] = (x[self.relative] - x[median]) / np.exp(x[spread])
        return np.asarray(np.linalg.solve(self.root, u - self.centre))

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
        if len(self.relative):
            median, spread = self._pooled()
            x[self.relative] = x[median] + np.exp(x[spread]) * u[self.relative]
        return x

    def _log_jacobian(self, x: FloatArray) -> float:
        total = -float(self.power @ x[self.folded])
        return total + float(x[self._pooled()[1]].sum()) if len(self.relative) else total

    def value(self, z: FloatArray) -> float:
        """Return the log density in these coordinates."""
        x = self._unfold(self.centre + self.root @ z)
        return self.density.value(x) + self._log_jacobian(x)

    def value_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Return log density and gradient in these coordinates."""
        value, gradient = self._value_grad(self.centre + self.root @ z)
        return value, self.root.T @ gradient

    def _value_grad(self, u: FloatArray) -> tuple[float, FloatArray]:
        x = self._unfold(u)
        value, gradient = self.density.value_grad(x)
        value += self._log_jacobian(x)
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
        return value, gradient


_POOLED = ("median", "spread")


def _curvature(coordinates: Coordinates, threads: int) -> FloatArray:
    """Return minus the matrix of second derivatives at the centre, (dim, dim)."""
    n = len(coordinates.centre)
    plain = replace(coordinates, root=np.eye(n))

    def row(k: int) -> FloatArray:
        nudge = np.zeros(n)
        nudge[k] = _STEP
        above, below = plain.value_grad(nudge)[1], plain.value_grad(-nudge)[1]
        return np.asarray((below - above) / (2.0 * _STEP), dtype=float)

    with ThreadPoolExecutor(threads) as pool:
        hessian = np.array(list(pool.map(row, range(n))))
    return np.asarray(0.5 * (hessian + hessian.T))


def _root(curvature: FloatArray) -> FloatArray:
    """Return the symmetric root of the inverse, so that axes stay what they were."""
    values, vectors = np.linalg.eigh(curvature)
    return np.asarray((vectors / np.sqrt(np.maximum(values, _MIN_CURVATURE))) @ vectors.T)


def _weak_reporters(start: Coordinates, sd: FloatArray) -> IntArray:
    """Return the noise sds of reporters that the data say little about."""
    layout = start.density.layout
    if not len(layout.reporter_side):
        return np.zeros(0, dtype=np.int64)
    own = np.arange(*layout.slices["sd_noise_reporter"].indices(layout.n_dim))
    x = start.unconstrained(np.zeros(layout.n_dim))
    spread = np.exp(x[layout.slices["spread_sd_noise_reporter"]])[layout.reporter_side]
    return np.asarray(own[sd[own] > _WEAK * spread], dtype=np.int64)


def known_increments(start: Coordinates, sd: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the increments of duration the data say much about, and their powers.

    Parameters
    ----------
    start
        Any coordinates of the density.
    sd
        Posterior sds of the unconstrained point, about, (dim,).
    """
    layout = start.density.layout
    steps = layout.slices.get("duration_increment", slice(0))
    own = np.intersect1d(
        np.arange(steps.start or 0, steps.stop), layout.shapes.get("log_normal", ())
    )
    own = own.astype(np.int64)
    power = 1.0 - (sd[own] / layout.b[own]) ** 2
    known = power > _LEAST_POWER
    return own[known], power[known]


def build_coordinates(mode: ModeResult) -> Coordinates:
    """Return coordinates centred on the mode of the density in these coordinates.

    Parameters
    ----------
    mode
        Where to begin, from `find_mode`; its density's threads work side by side.
    """
    layout, threads, n = mode.density.layout, mode.density.threads, len(mode.x)
    folded = np.array(
        sorted(k for s in ("half_normal", "half_t") for k in layout.shapes.get(s, ())),
        dtype=np.int64,
    )
    u = mode.x.copy()
    u[folded] = np.exp(u[folded])
    # One thread a point: points side by side waste less than corridors side by side.
    alone = replace(mode.density, threads=1)
    none = np.zeros(0, dtype=np.int64)
    start = Coordinates(alone, folded, np.ones(len(folded)), none, u, np.eye(n))
    sd = np.sqrt((_root(_curvature(start, threads)) ** 2).sum(axis=1))
    known, power = known_increments(start, sd)
    u[known] = np.exp(power * mode.x[known])
    weak = replace(
        start,
        folded=np.concatenate([folded, known]),
        power=np.concatenate([start.power, power]),
        relative=_weak_reporters(start, sd),
    )
    if len(weak.relative):
        median, spread = weak._pooled()
        u[weak.relative] = (mode.x[weak.relative] - mode.x[median]) / np.exp(mode.x[spread])
    together = replace(weak, density=mode.density, centre=np.zeros(n))
    centre = climb(together.value_grad, u)
    centre[weak.folded] = np.abs(centre[weak.folded])
    found = replace(weak, centre=centre)
    return replace(found, root=_root(_curvature(found, threads)))
