"""What a figure says of the log of its expectation, eta: a count, a survey, fewer than a floor."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp, wrightomega

from flowcast.model.assemble import Sites
from flowcast.model.problem import Problem
from flowcast.model.reports import COUNTED
from flowcast.model.sites import log_floor

__all__ = ["count_mode", "draw_below", "inexact_figures", "log_likelihood"]

FloatArray = NDArray[np.float64]


def log_likelihood(problem: Problem, sites: Sites, eta: FloatArray) -> FloatArray:
    """Return the log likelihood of each figure given its eta, up to a constant, (report,)."""
    reports = problem.reports
    counted, hidden = inexact_figures(problem)
    # Beyond 700 the exponential overflows; no proposal comes back from there.
    out = reports.value * eta - np.exp(np.minimum(eta, 700.0))
    if not counted.all():
        with np.errstate(divide="ignore", invalid="ignore"):
            gaussian = -0.5 * (eta - sites.mean) ** 2 / sites.variance
        out = np.where(counted, out, np.where(sites.variance > 0.0, gaussian, 0.0))
        out[hidden] = np.where(eta < log_floor(problem), 0.0, -np.inf)[hidden]
    return np.asarray(out)


def inexact_figures(problem: Problem) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which figures are Poisson counts, and which are below a floor, (report,) each."""
    reports = problem.reports
    hidden = reports.censored
    poisson = problem.spec.measurement.counts == "poisson"
    return (reports.reading == COUNTED) & ~hidden & poisson, hidden


def count_mode(
    value: FloatArray, mean: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mode and scale of each eta given count, mean and noise variance, (report,)."""
    # At the mode value - exp(eta) = (eta - mean) / noise, which Wright's function solves.
    shift = mean + noise * value
    mode = shift - wrightomega(shift + np.log(noise))
    return mode, 1.0 / np.sqrt(np.exp(np.minimum(mode, 700.0)) + 1.0 / noise)


def draw_below(
    limit: FloatArray, mean: FloatArray, sd: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw normals given that they are below a limit, by the inverse of their distribution."""
    top = log_ndtr((limit - mean) / sd)
    return np.asarray(mean + sd * ndtri_exp(top + np.log(1.0 - rng.random(len(mean)))))
