"""One model migration schedule fitted to one age profile: starts, bounds, least squares.

Given the shape of its curves a schedule is linear in their heights. Heights of many shapes are
therefore found by non-negative least squares; the best shapes are where the search starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from flowcast.accounting._age_curves import VARIANTS, group_nodes, slopes
from flowcast.accounting._age_groups import AgeGroups

__all__ = ["BOUNDS", "Profile", "Search", "Solution"]

FloatArray = NDArray[np.float64]

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "alpha1": (0.002, 2.0),
    "alpha2": (0.01, 1.0),
    "mu2": (10.0, 60.0),
    "lambda2": (0.05, 2.0),
    "alpha3": (0.01, 2.0),
    "mu3": (45.0, 100.0),
    "lambda3": (0.02, 2.0),
    "lambda4": (0.0, 0.25),
}
"""Shapes that are looked for; heights are 0 or more. Rogers & Castro (1981) report alpha and lambda
of labour force curves between .05 and .7."""

CHILD_SHAPES: Final = ((0.04,), (0.1,), (0.25,))
LABOUR_SHAPES: Final = tuple(
    (alpha, mu, lamb) for mu in (17.0, 21.0, 26.0, 34.0) for alpha in (0.06, 0.14)
    for lamb in (0.25, 0.6)
)  # fmt: skip
RETIREMENT_SHAPES: Final = (
    (0.1, 62.0, 0.4),
    (0.2, 70.0, 0.4),
    (0.3, 65.0, 0.2),
    (0.6, 63.0, 0.5),
    (0.7, 72.0, 0.4),
    (0.7, 78.0, 0.15),
)
UPSLOPE_SHAPES: Final = ((0.02,), (0.06,))
AGREE: Final = 1e-6
"""Starts that end this close to the best, relative to the criterion of a constant, agree."""
NEAR: Final = 1e-3
"""A parameter this close to a bound, relative to the range, is told to be at it."""
FEW_STEPS: Final = 100
MANY_STEPS: Final = 400
N_FINISHED: Final = 4
LOOSE: Final = 1e-5
TIGHT: Final = 1e-8
SMALL: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Profile:
    """What one schedule is fitted to, by age group.

    Attributes
    ----------
    value
        Persons, or rates.
    exposure
        Persons at risk (with persons), or None: rates are fitted by least squares.
    weight
        Of the squared residuals of rates.
    """

    value: FloatArray
    exposure: FloatArray | None
    weight: FloatArray | None = None

    @property
    def level(self) -> float:
        """Return the overall rate; heights are looked for in units of it."""
        if self.exposure is None:
            return float(np.average(self.value, weights=self.weight))
        return float(self.value.sum() / self.exposure.sum())

    def residuals(self, rate: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return residuals whose squares add up to the criterion, and their slopes by the rate."""
        if self.exposure is None:
            root = np.ones_like(rate) if self.weight is None else np.sqrt(self.weight)
            scale = root / (self.level * np.sqrt(np.sum(root**2)))
            return scale * (rate - self.value), scale
        mean = np.maximum(self.exposure * rate, 1e-12)
        residual, slope = _deviance_root(self.value, mean)
        there = self.exposure > 0.0
        return np.where(there, residual, 0.0), np.where(there, self.exposure * slope, 0.0)

    def root_weight(self) -> FloatArray:
        """Return the root of what a squared residual of a rate weighs, near the observed rates."""
        if self.exposure is None:
            return np.ones_like(self.value) if self.weight is None else np.sqrt(self.weight)
        return np.asarray(self.exposure / np.sqrt(np.maximum(self.value, 0.5)))

    @cached_property
    def rate(self) -> FloatArray:
        """Return observed rates; 0 where nobody is at risk."""
        if self.exposure is None:
            return self.value
        return np.divide(
            self.value, self.exposure, out=np.zeros_like(self.value), where=self.exposure > 0.0
        )


def _deviance_root(count: FloatArray, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return signed roots of the Poisson deviance, and their slopes by the mean."""
    some = count > 0.0
    y = np.where(some, count, 1.0)
    z = mean / y - 1.0
    near = np.abs(z) < SMALL
    # z - log(1 + z) loses its digits near 0, where its series has them.
    t = np.where(near, z, 0.0)
    half = np.where(near, t**2 * (0.5 - t / 3.0 + t**2 / 4.0 - t**3 / 5.0), z - np.log1p(z))
    root = np.sign(z) * np.sqrt(2.0 * y * np.maximum(half, 0.0))
    safe = np.where(near, 1.0, root)
    slope = np.where(
        near, (1.0 - 2.0 * t / 3.0 + 7.0 * t**2 / 12.0) / np.sqrt(y), z / (1.0 + z) / safe
    )
    none = np.sqrt(2.0 * mean)
    return np.where(some, root, none), np.where(some, slope, 1.0 / none)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The best schedule that was found.

    Attributes
    ----------
    theta
        Parameters, in the order of the variant.
    criterion
        Poisson deviance, or the weighted mean of squares relative to the square of the mean rate.
    converged
        Whether the search stopped because nothing improves any more.
    n_starts, n_agreeing
        How many starts there were, and how many ended at the same criterion.
    at_bound
        Parameters at a bound of `BOUNDS`, or heights that are 0.
    """

    theta: FloatArray
    criterion: float
    converged: bool
    n_starts: int
    n_agreeing: int
    at_bound: NDArray[np.bool_]


class Search:
    """Everything about a fit that does not depend on the profile, made once for many places."""

    def __init__(self, groups: AgeGroups, n_parameters: int) -> None:
        self.names = VARIANTS[n_parameters]
        self.x, self.weight = group_nodes(groups)
        self.lower = np.array([BOUNDS.get(name, (0.0, np.inf))[0] for name in self.names])
        self.upper = np.array([BOUNDS.get(name, (0.0, np.inf))[1] for name in self.names])
        self.heights = [k for k, name in enumerate(self.names) if name not in BOUNDS]
        self.shapes = self._shapes()
        self.basis = [self._basis(shape) for shape in self.shapes]

    def _shapes(self) -> list[FloatArray]:
        """Return parameters with heights of 1, one for each shape that is tried."""
        tried: dict[str, tuple[tuple[float, ...], ...]] = {
            "a1": CHILD_SHAPES,
            "a2": LABOUR_SHAPES,
            "a3": RETIREMENT_SHAPES,
            "a4": UPSLOPE_SHAPES,
        }
        parts = [shapes for name, shapes in tried.items() if name in self.names]
        return [
            np.array([v for shape in chosen for v in (1.0, *shape)] + [1.0])
            for chosen in product(*parts)
        ]

    def _basis(self, shape: FloatArray) -> FloatArray:
        """Return the average of each curve over each group, (group, height)."""
        slope = slopes(self.names, shape, self.x)[1]
        return np.asarray(self.weight @ slope[:, self.heights])

    def rates(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return average rates by group, and their slopes by the parameters."""
        value, slope = slopes(self.names, theta, self.x)
        return self.weight @ value, self.weight @ slope

    def starts(self, profile: Profile) -> list[FloatArray]:
        """Return the best shapes with their heights: for each location of a curve the best one."""
        root = profile.root_weight()
        target = root * profile.rate
        best: dict[tuple[str, float], tuple[float, int, FloatArray]] = {}
        located = [(name, self.names.index(name)) for name in ("mu2", "mu3") if name in self.names]
        for k, (shape, basis) in enumerate(zip(self.shapes, self.basis, strict=True)):
            height, off = nnls(root[:, None] * basis, target)
            for name, at in located:
                if off < best.get((name, shape[at]), (np.inf,))[0]:
                    best[name, shape[at]] = off, k, height
        found = {k: height for _, k, height in sorted(best.values(), key=lambda one: one[:2])}
        starts = []
        for k, height in found.items():
            starts.append(self.shapes[k].copy())
            # Not at the bound itself, where the search would have no way to go.
            starts[-1][self.heights] = np.maximum(height, 1e-3 * profile.level)
        return starts

    def solve(self, profile: Profile) -> Solution:
        """Fit one profile from several starts, and go on from the best of them."""
        unit = np.ones(len(self.names))
        unit[self.heights] = profile.level
        rough = sorted(
            (
                self._search(profile, start / unit, unit, FEW_STEPS, LOOSE)
                for start in self.starts(profile)
            ),
            key=lambda one: float(one.cost),
        )
        # Beside the best, those that were still on their way.
        ends = [
            self._search(profile, one.x, unit, MANY_STEPS, TIGHT)
            if k == 0 or (k < N_FINISHED and one.status == 0)
            else one
            for k, one in enumerate(rough)
        ]
        last = min(ends, key=lambda one: float(one.cost))
        criterion = 2.0 * float(last.cost)
        flat = profile.residuals(np.full_like(profile.value, profile.level))[0]
        margin = AGREE * max(float(flat @ flat), 1e-300)
        theta = last.x * unit
        span = np.where(np.isfinite(self.upper), self.upper - self.lower, unit)
        at_bound = (theta - self.lower < NEAR * span) | (self.upper - theta < NEAR * span)
        return Solution(
            theta=theta,
            criterion=criterion,
            converged=bool(last.status > 0),
            n_starts=len(rough),
            n_agreeing=sum(2.0 * float(one.cost) <= criterion + margin for one in ends),
            at_bound=at_bound,
        )

    def _search(
        self, profile: Profile, start: FloatArray, unit: FloatArray, steps: int, tol: float
    ) -> "least_squares":
        def residuals(scaled: FloatArray) -> FloatArray:
            return profile.residuals(self.rates(scaled * unit)[0])[0]

        def jacobian(scaled: FloatArray) -> FloatArray:
            rate, slope = self.rates(scaled * unit)
            return np.asarray(profile.residuals(rate)[1][:, None] * slope * unit)

        inside = np.clip(start, self.lower / unit, self.upper / unit)
        return least_squares(
            residuals,
            inside,
            jacobian,
            bounds=(self.lower / unit, self.upper / unit),
            x_scale="jac",
            ftol=tol,
            xtol=tol / 100.0,
            gtol=tol / 100.0,
            max_nfev=steps,
        )
