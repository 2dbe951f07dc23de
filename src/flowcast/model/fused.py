"""What a density does to every report, in one pass and in arrays that are used again.

`assemble.assemble` and the chain rule, as array expressions, make a dozen arrays as long as the
reports. At the size of the world the operating system takes as long to hand out and take back their
memory as the arithmetic takes. Here both are loops over the reports that write into arrays each
thread keeps (see `scratch`); a test holds them to `assemble`.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from flowcast.model.assemble import Core, Sites, assemble_small, report_sd
from flowcast.model.evaluation import side_by_side
from flowcast.model.problem import Problem
from flowcast.model.scratch import scratch

__all__ = ["by_definition", "core_in_place"]

FloatArray = NDArray[np.float64]
Array = NDArray[Any]

_STRETCH = 100_000
"""Reports of a stretch; the number of stretches depends on the problem alone."""


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(
    lo: int, hi: int, mean: Array, prior_mean: Array, variance: Array, weight: Array,
    duration: Array, increment: Array, share_index: Array, log_share: Array, noise_index: Array,
    noise_variance: Array, residual: Array, noise: Array,
) -> None:  # fmt: skip
    """Fill residual and noise of reports lo:hi."""
    for k in range(lo, hi):
        offset = 0.0
        for j in range(increment.shape[0]):
            offset += duration[k, j] * increment[j]
        if log_share.shape[0]:
            offset += log_share[share_index[k]]
        residual[k] = mean[k] - prior_mean[k] - offset
        noise[k] = noise_variance[noise_index[k]] / weight[k] + variance[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _add_up(
    lo: int, hi: int, by_residual: Array, by_noise: Array, weight: Array, duration: Array,
    share_index: Array, noise_index: Array, by_duration: Array, by_share: Array, by_variance: Array,
) -> None:  # fmt: skip
    """Add the slopes of reports lo:hi to those by increments, log shares and noise variances."""
    for k in range(lo, hi):
        for j in range(by_duration.shape[0]):
            by_duration[j] -= duration[k, j] * by_residual[k]
        if by_share.shape[0]:
            by_share[share_index[k]] -= by_residual[k]
        by_variance[noise_index[k]] += by_noise[k] / weight[k]


def _stretches(n: int) -> list[tuple[int, int]]:
    cuts = np.linspace(0, n, max(1, round(n / _STRETCH)) + 1).round().astype(int)
    return [(int(a), int(b)) for a, b in pairwise(cuts)]


def _spread(n: int, threads: int, one: Callable[[int, int], Any]) -> list[Any]:
    ends = _stretches(n)
    return side_by_side(lambda k: one(*ends[k]), len(ends), threads)


def _log_share(hyper: Mapping[str, Any]) -> FloatArray:
    """Return the log shares, and a zero for reports that have none; empty without shares."""
    if "share_reported" not in hyper:
        return np.empty(0)
    return np.append(np.log(hyper["share_reported"]), 0.0)


def core_in_place(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, *, threads: int = 1
) -> Core:
    """Evaluate what `assemble` does; residual and noise are this thread's own, until the next call.

    Parameters
    ----------
    problem, hyper, sites
        As in `assemble`.
    threads
        To spread the reports over.
    """
    n, reports = problem.reports.n, problem.reports
    residual, noise = scratch("core", 2, n)
    arguments = (
        sites.mean,
        problem.prior_mean,
        sites.variance,
        sites.noise_weight,
        reports.duration,
        np.asarray(hyper.get("duration_increment", np.empty(0)), dtype=float),
        problem.share_index,
        _log_share(hyper),
        problem.noise_index,
        report_sd(hyper) ** 2,
        residual,
        noise,
    )
    _spread(n, threads, lambda lo, hi: _fill(lo, hi, *arguments))
    return Core(residual, noise, *assemble_small(problem, hyper, sites))


def by_definition(
    problem: Problem,
    sites: Sites,
    slopes: tuple[FloatArray, FloatArray],
    sizes: tuple[int, int, int],
    *,
    threads: int = 1,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the slopes by duration increments, log shares and noise variances.

    Parameters
    ----------
    problem, sites
        As in `assemble`.
    slopes
        By residual and by noise, (report,) each.
    sizes
        How many of each there are.
    threads
        To spread the reports over; sums are taken in the order of the reports all the same.
    """
    reports = problem.reports

    def one(lo: int, hi: int) -> list[FloatArray]:
        out = [np.zeros(size) for size in sizes]
        _add_up(
            lo, hi, *slopes, sites.noise_weight, reports.duration, problem.share_index,
            problem.noise_index, *out,
        )  # fmt: skip
        return out

    parts = _spread(reports.n, threads, one)
    first, second, third = (np.sum([p[k] for p in parts], axis=0) for k in range(3))
    return first, second, third
