"""The posterior density of the hyper-parameters as a function, and its mode.

The kernel's gradient is carried over to the hyper-parameters by hand. Nothing is compiled but the
kernel, which is cached and releases the interpreter: a fit starts at once and chains run side by
side. The same density as a PyMC model is in `build`; a test holds the two together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast.model.assemble import Sites, report_sd
from flowcast.model.curvature import climb, curvature, symmetric_root
from flowcast.model.evaluation import evaluate, solve
from flowcast.model.fused import by_definition, core_in_place
from flowcast.model.hyper import HyperLayout, build_layout
from flowcast.model.problem import Problem, has_heavy_tails
from flowcast.model.scratch import scratch
from flowcast.model.sites import initial_sites, update_sites

__all__ = [
    "Density",
    "ModeResult",
    "build_density",
    "find_mode",
    "is_gaussian",
    "mode_value_grad",
]

FloatArray = NDArray[np.float64]
Progress = Callable[[str], None]

_MAX_ROUNDS = 30
_SWEEPS = 4
_TOLERANCE = 0.02
_FEW = 12
"""Iterations of a climb while the sites still move: to its very top it would be climbed in vain."""
_NEAR = 1.0
"""Once a round has moved by less, climbs go along the curvature found there."""


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Log posterior density over unconstrained hyper-parameters, at given sites.

    `threads` is the number of threads one evaluation is spread over; values do not depend on it.
    """

    problem: Problem
    layout: HyperLayout
    sites: Sites
    threads: int = 1

    def hyper(self, x: FloatArray) -> dict[str, Any]:
        """Return the hyper-parameters by name at an unconstrained point."""
        return self.layout.unpack(self.layout.constrain(x))

    def value(self, x: FloatArray) -> float:
        """Return the log density (up to a constant) at an unconstrained point (dim,)."""
        prior, _ = self.layout.log_prior(x, self.layout.constrain(x))
        return prior + self.log_likelihood(x)

    def log_likelihood(self, x: FloatArray) -> float:
        """Return the log likelihood of the reports, flows and coefficients integrated out."""
        core = core_in_place(self.problem, self.hyper(x), self.sites, threads=self.threads)
        weight = self.sites.innovation_weight
        return solve(self.problem, core, weight, threads=self.threads).value

    def value_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Return log density (up to a constant) and gradient at an unconstrained point (dim,)."""
        values = self.layout.constrain(x)
        hyper = self.layout.unpack(values)
        prior, gradient = self.layout.log_prior(x, values)
        core = core_in_place(self.problem, hyper, self.sites, threads=self.threads)
        weight, room = self.sites.innovation_weight, scratch("slopes", 2, self.problem.reports.n)
        out = evaluate(self.problem, core, weight, threads=self.threads, room=room)
        slopes = self._chain(hyper, core.coef_variance, out)
        by_value = np.zeros_like(x)
        for name, slope in slopes.items():
            by_value[self.layout.slices[name]] = slope
        total = prior + float(out[0])
        return total, gradient + by_value * self.layout.slope(values)

    def _chain(
        self, hyper: Mapping[str, Any], coef_variance: FloatArray, out: Any
    ) -> dict[str, Any]:
        """Carry the kernel's gradient over to the hyper-parameters, on their own scale."""
        g_residual, g_noise, g_coef, g_scale, g_group = out[1:6]
        problem, slopes, sd = self.problem, {}, report_sd(hyper)
        n_step, n_share = (
            np.size(hyper.get(k, ())) for k in ("duration_increment", "share_reported")
        )
        by_duration, by_share, by_variance = by_definition(
            problem,
            self.sites,
            (g_residual, g_noise),
            (n_step, n_share + 1 if n_share else 0, len(sd)),
            threads=self.threads,
        )
        slopes["duration_increment"] = by_duration
        slopes["share_reported"] = by_share[:n_share] / hyper.get(
            "share_reported", np.ones(n_share)
        )
        by_noise, n_class = 2.0 * sd * by_variance, len(problem.labels["noise_class"])
        slopes["sd_noise"], slopes["sd_noise_reporter"] = by_noise[:n_class], by_noise[n_class:]
        # A coefficient's variance is proportional to its squared sd: slope by log sd, then by sd.
        n_side = len(problem.sides)
        last = 3 + 2 * n_side
        by_log = np.bincount(problem.coefficients.sd_index, 2.0 * g_coef * coef_variance, last)
        groups: dict[str, Any] = {"sd_origin": 1, "sd_destination": 2}
        groups |= {"sd_reporter": slice(3, 3 + n_side)}
        groups |= {"sd_reporter_period": slice(3 + n_side, last)}
        for name, index in groups.items():
            if name in hyper:
                slopes[name] = by_log[index] / hyper[name]
        for name, k in (("sd_corridor", 0), ("sd_innovation", 1)):
            if name in hyper:
                slopes[name] = 2.0 * hyper[name] * g_scale[k]
        if "ar_coefficient" in hyper:
            slopes["ar_coefficient"] = g_scale[2]
        if "sd_corridor_report" in hyper:
            by_side = np.bincount(problem.group_side, g_group, n_side)
            slopes["sd_corridor_report"] = 2.0 * hyper["sd_corridor_report"] * by_side
        return {name: slope for name, slope in slopes.items() if name in hyper}


def build_density(problem: Problem, sites: Sites | None = None, threads: int = 1) -> Density:
    """Return the density at the given sites, or at the starting ones."""
    return Density(problem, build_layout(problem), sites or initial_sites(problem), threads)


@dataclass(frozen=True, slots=True, eq=False)
class ModeResult:
    """The mode and the sites there.

    Attributes
    ----------
    x
        Mode, unconstrained.
    density
        The density at the sites fitted there.
    rounds
        Rounds taken.
    settled
        Whether nothing moved by more than the tolerance in the last round.
    """

    x: FloatArray
    density: Density
    rounds: int
    settled: bool


def mode_value_grad(density: Density, x: FloatArray) -> tuple[float, FloatArray]:
    """Return what the mode is the maximum of, and its gradient.

    Pooled noise sds and their spread have no joint mode: the density runs away as the spread goes
    to zero. Taken in the coordinates (log sd - log median) / spread it has one; in the
    coordinates at hand that adds the log of the spread once for every pooled sd.
    """
    value, gradient = density.value_grad(x)
    side = density.layout.reporter_side
    if len(side):
        spread, n = (
            density.layout.slices["spread_sd_noise_reporter"],
            np.bincount(side, minlength=len(density.problem.sides)),
        )
        value += float(n @ x[spread])
        gradient[spread] += n
    return value, gradient


def _moved(old: Sites, new: Sites) -> float:
    """Return the largest change: site means in their sds, weights in logs."""
    shifts = [np.abs(new.mean - old.mean) / np.sqrt(new.variance + 1.0)]
    for name in ("noise_weight", "innovation_weight", "unit_weight"):
        shifts.append(np.abs(np.log(getattr(new, name) / getattr(old, name))))
    return max(float(s.max(initial=0.0)) for s in shifts)


def refit_sites(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, threads: int = 1
) -> tuple[Sites, float]:
    """Sweep the sites at fixed hyper-parameters; returns them and how far they moved."""
    new = sites
    for _ in range(_SWEEPS):
        new = update_sites(problem, hyper, new, threads)
    return new, _moved(sites, new)


def is_gaussian(problem: Problem) -> bool:
    """Return whether nothing needs a stand-in: no Poisson counts or floors, and normal tails."""
    counted = problem.spec.measurement.counts == "poisson" or problem.reports.censored.any()
    return not counted and not has_heavy_tails(problem)


def find_mode(
    problem: Problem, progress: Progress = lambda text: None, threads: int = 1
) -> ModeResult:
    """Find the posterior mode and the sites there, in turns until both stand still.

    Parameters
    ----------
    problem
        What is fitted.
    progress
        Called with a line of text a round.
    threads
        Threads for one evaluation; the result does not depend on it.
    """
    density, gaussian = build_density(problem, threads=threads), is_gaussian(problem)
    x, root = density.layout.start, None
    for turn in range(1, _MAX_ROUNDS + 1):
        few = {} if gaussian else {"iterations": _FEW}
        new_x = climb(partial(mode_value_grad, density), x, root, **few)
        if gaussian:
            progress("mode found; nothing in this model needs a stand-in")
            return ModeResult(new_x, density, turn, settled=True)
        sites, moved = refit_sites(problem, density.hyper(new_x), density.sites, threads)
        density = build_density(problem, sites, threads)
        step = float(np.abs(new_x - x).max())
        x = new_x
        progress(f"mode, round {turn}: moved by {max(moved, step):.3f}")
        if max(moved, step) < _TOLERANCE:
            return ModeResult(x, density, turn, settled=True)
        if root is None and max(moved, step) < _NEAR:
            alone = replace(density, threads=1)  # points side by side waste less than corridors
            root = symmetric_root(curvature(partial(mode_value_grad, alone), x, threads))
    return ModeResult(x, density, _MAX_ROUNDS, settled=False)
