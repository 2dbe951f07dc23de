"""Hyper-parameters as one flat unconstrained vector: layout, transformations, prior density.

The PyMC model in `build` defines the priors; the few lines of calculus here evaluate the same
density a hundred times faster than a graph would, and a test holds the two together.
Positive parameters are held on the log scale, shares on the logit scale; `density.Coordinates` says
in which coordinates they are sampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from flowcast.config import ModelSpec
from flowcast.model.problem import Problem
from flowcast.model.reports import DURATION_STEPS
from flowcast.priors import Prior

__all__ = [
    "HyperLayout",
    "build_layout",
    "draw_hyper",
    "noise_reporter_side",
    "prior_of",
    "scalar_priors",
    "side_index",
    "vector_priors",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


_BY_LABEL = {"duration_increment": "duration", "share_reported": "share"}
"""Hyper-parameters whose elements have priors of their own, and what these begin with."""


def prior_of(spec: ModelSpec, name: str, label: str = "") -> Prior | None:
    """Return the prior of a hyper-parameter, or of the element with a label.

    None of one that is partially pooled: its distribution has hyper-parameters itself.
    """
    key = f"{_BY_LABEL[name]}_{label}" if name in _BY_LABEL else name
    found = getattr(spec.process, key, None) or getattr(spec.measurement, key, None)
    return found if isinstance(found, Prior) else None


def _known_prior(spec: ModelSpec, name: str, label: str = "") -> Prior:
    prior = prior_of(spec, name, label)
    assert prior is not None, name
    return prior


def scalar_priors(problem: Problem) -> dict[str, Prior]:
    """Return the priors of the hyper-parameters that are single numbers, by name."""
    spec, parts = problem.spec, problem.parts
    switches = {
        "sd_origin": parts.origin,
        "sd_destination": parts.destination,
        "sd_corridor": parts.corridor,
        "sd_innovation": parts.path,
        "ar_coefficient": parts.path,
        "sd_noise_total": problem.totals is not None,
    }
    return {name: _known_prior(spec, name) for name, on in switches.items() if on}


def vector_priors(problem: Problem) -> dict[str, tuple[str, tuple[str, ...], list[Prior]]]:
    """Return the vector hyper-parameters by name: their dim, its labels, and each one's prior."""
    spec, parts, labels = problem.spec, problem.parts, problem.labels
    out: dict[str, tuple[str, tuple[str, ...], list[Prior]]] = {}

    def add(name: str, dim: str, names: tuple[str, ...]) -> None:
        if names:
            out[name] = (dim, names, [_known_prior(spec, name, label) for label in names])

    for name, on in (
        ("sd_reporter", parts.reporter),
        ("sd_reporter_period", parts.reporter_period),
        ("sd_corridor_report", parts.series),
        ("median_sd_noise_reporter", bool(labels["noise_reporter"])),
        ("spread_sd_noise_reporter", bool(labels["noise_reporter"])),
    ):
        if on:
            add(name, "side", problem.sides)
    if parts.duration:
        add("duration_increment", "step", DURATION_STEPS)
    if parts.share:
        add("share_reported", "share_class", labels["share_class"])
    add("sd_noise", "noise_class", labels["noise_class"])
    return out


def side_index(sides: Sequence[str], side: NDArray[np.object_]) -> IntArray:
    """Return the index into `sides` (a problem's) of each side."""
    return np.array([sides.index(s) for s in side], dtype=np.int64)


def noise_reporter_side(problem: Problem) -> IntArray:
    """Return the side (index into `Problem.sides`) of each reporter without an accuracy class."""
    names = problem.labels["noise_reporter"]
    return side_index(problem.sides, np.array([r.split(":")[0] for r in names], dtype=object))


_START = {
    "normal": lambda a, b: a,
    "half_normal": lambda a, b: np.log(0.5 * a),
    "half_t": lambda a, b: np.log(0.5 * b),
    "log_normal": lambda a, b: a,
    "beta": lambda a, b: np.log(a / b),
    "gamma": lambda a, b: np.log(a / b),
    "exponential": lambda a, b: -np.log(a),
    "positive_normal": lambda a, b: np.log(max(a, 0.5 * b)),
    "precision_gamma": lambda a, b: 0.5 * np.log(b / a),
}


@dataclass(frozen=True, slots=True, eq=False)
class HyperLayout:
    """Where each hyper-parameter stands in the flat vector, and its prior.

    Attributes
    ----------
    slices
        Name -> its stretch of the vector.
    scalar
        Names that are single numbers.
    shapes
        Prior shape -> positions in the vector with that prior.
    a, b
        First and last number of each prior, (dim,).
    start
        A starting point, unconstrained, (dim,).
    reporter_side
        Side of each reporter without an accuracy class (its noise sd is partially pooled).
    """

    slices: Mapping[str, slice]
    scalar: frozenset[str]
    shapes: Mapping[str, IntArray]
    a: FloatArray
    b: FloatArray
    start: FloatArray
    reporter_side: IntArray

    @property
    def n_dim(self) -> int:
        """Length of the vector."""
        return len(self.start)

    def constrain(self, x: FloatArray) -> FloatArray:
        """Return the parameters on their own scale, (dim,)."""
        out = np.exp(np.minimum(x, 50.0))
        for shape, where in self.shapes.items():
            if shape == "normal":
                out[where] = x[where]
            elif shape == "beta":
                out[where] = expit(x[where])
        return np.asarray(out)

    def unpack(self, values: FloatArray) -> dict[str, Any]:
        """Return parameters by name: floats, or arrays over labels."""
        return {n: values[s][0] if n in self.scalar else values[s] for n, s in self.slices.items()}

    def slope(self, values: FloatArray) -> FloatArray:
        """Return d parameter / d x at constrained values, (dim,)."""
        out = values.copy()
        if "normal" in self.shapes:
            out[self.shapes["normal"]] = 1.0
        if "beta" in self.shapes:
            v = values[self.shapes["beta"]]
            out[self.shapes["beta"]] = v * (1.0 - v)
        return out

    def log_prior(self, x: FloatArray, values: FloatArray) -> tuple[float, FloatArray]:
        """Return the log prior density of x up to a constant, and its gradient (dim,)."""
        total, gradient = 0.0, np.zeros_like(x)
        for shape, where in self.shapes.items():
            value, slope = _DENSITIES[shape](x[where], values[where], self.a[where], self.b[where])
            total += float(np.sum(value))
            gradient[where] = slope
        if len(self.reporter_side):
            total += self._pooled(x, values, gradient)
        return total, gradient

    def _pooled(self, x: FloatArray, values: FloatArray, gradient: FloatArray) -> float:
        """Add log sd ~ normal(log median of its side, spread of its side)."""
        own = self.slices["sd_noise_reporter"]
        median, spread = (self.slices[f"{k}_sd_noise_reporter"] for k in ("median", "spread"))
        side, sd, n = self.reporter_side, values[spread][self.reporter_side], len(x[spread])
        z = (x[own] - x[median][side]) / sd
        gradient[own] -= z / sd
        gradient[median] += np.bincount(side, z / sd, n)
        gradient[spread] += np.bincount(side, z**2 - 1.0, n)
        return float(-0.5 * z @ z - np.log(sd).sum())


def _half_t(x: FloatArray, v: FloatArray, a: FloatArray, b: FloatArray) -> Any:
    ratio = v**2 / (a * b**2)
    return x - (a + 1) / 2 * np.log1p(ratio), 1.0 - (a + 1) * ratio / (1 + ratio)


# Log density of x (Jacobian included, constants left out) and its slope, from x, value, a, b.
_DENSITIES: dict[str, Any] = {
    "normal": lambda x, v, a, b: (-0.5 * ((v - a) / b) ** 2, -(v - a) / b**2),
    "half_normal": lambda x, v, a, b: (x - 0.5 * (v / a) ** 2, 1.0 - (v / a) ** 2),
    "half_t": _half_t,
    "log_normal": lambda x, v, a, b: (-0.5 * ((x - a) / b) ** 2, -(x - a) / b**2),
    "beta": lambda x, v, a, b: (
        -a * np.logaddexp(0.0, -x) - b * np.logaddexp(0.0, x),
        a * (1.0 - v) - b * v,
    ),
    "gamma": lambda x, v, a, b: (a * x - b * v, a - b * v),
    "exponential": lambda x, v, a, b: (x - a * v, 1.0 - a * v),
    "positive_normal": lambda x, v, a, b: (
        x - 0.5 * ((v - a) / b) ** 2,
        1.0 - v * (v - a) / b**2,
    ),
    "precision_gamma": lambda x, v, a, b: (-2.0 * a * x - b / v**2, 2.0 * (b / v**2 - a)),
}


def build_layout(problem: Problem) -> HyperLayout:
    """Lay the problem's hyper-parameters out in the order of the PyMC model."""
    rows: list[tuple[str, list[Prior]]] = [(n, [p]) for n, p in scalar_priors(problem).items()]
    scalar = frozenset(n for n, _ in rows)
    rows += [(n, list(priors)) for n, (_, _, priors) in vector_priors(problem).items()]
    slices, at = {}, 0
    for name, priors in rows:
        slices[name] = slice(at, at + len(priors))
        at += len(priors)
    flat = [p for _, priors in rows for p in priors]
    shapes = {
        s: np.flatnonzero([p.shape == s for p in flat]) for s in sorted({p.shape for p in flat})
    }  # sorted: sums over them are to be the same in every process
    start = [_START[p.shape](p.numbers[0], p.numbers[-1]) for p in flat]
    side = noise_reporter_side(problem)
    if len(side):
        slices["sd_noise_reporter"] = slice(at, at + len(side))
        start += [start[slices["median_sd_noise_reporter"].start + k] for k in side]
    return HyperLayout(
        slices,
        scalar,
        shapes,
        np.array([p.numbers[0] for p in flat] + [0.0] * len(side)),
        np.array([p.numbers[-1] for p in flat] + [1.0] * len(side)),
        np.array(start, dtype=float),
        side,
    )


def draw_hyper(problem: Problem, rng: np.random.Generator) -> Mapping[str, Any]:
    """Draw every hyper-parameter from its prior.

    Returns
    -------
    mapping
        Name to float, or to an array over the labels of its dim.
    """
    hyper: dict[str, Any] = {n: float(p.draw(rng)) for n, p in scalar_priors(problem).items()}
    for name, (_, _, priors) in vector_priors(problem).items():
        hyper[name] = np.array([float(p.draw(rng)) for p in priors])
    if problem.labels["noise_reporter"]:
        side = noise_reporter_side(problem)
        median, spread = (hyper[f"{k}_sd_noise_reporter"][side] for k in ("median", "spread"))
        hyper["sd_noise_reporter"] = median * np.exp(spread * rng.standard_normal(len(side)))
    return hyper
