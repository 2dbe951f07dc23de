"""From hyper-parameters to the quantities of the linear Gaussian core.

Written once for NumPy arrays and for PyTensor variables: what is sampled, what is simulated and
what is conditioned on cannot drift apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast.model.evaluation import evaluate, layout
from flowcast.model.problem import Problem

__all__ = [
    "Core",
    "Sites",
    "assemble",
    "assemble_small",
    "evaluate",
    "layout",
    "report_offset",
    "report_sd",
    "series_sd",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sites:
    """What stands for the parts that are not Gaussian, at one point of the hyper-parameters.

    Attributes
    ----------
    mean, variance
        Gaussian stand-in for each report's counting noise: log count and its variance, (report,).
    noise_weight
        The noise variance of a report is divided by it, (report,).
    innovation_weight
        The same for the innovations of each corridor of the grid, (corridor,).
    unit_weight
        The same for the effects of each reporting unit, (unit,).
    """

    mean: Any
    variance: Any
    noise_weight: Any
    innovation_weight: Any
    unit_weight: Any


@dataclass(frozen=True, slots=True)
class Core:
    """Inputs of the collapsed likelihood that depend on hyper-parameters (see `kernel`)."""

    residual: Any
    noise: Any
    coef_variance: Any
    scale: Any
    group_variance: Any


def report_offset(
    hyper: Mapping[str, Any], duration: FloatArray, share_index: Any, xp: Any = np
) -> Any:
    """Return the log factor of definition and undercount of each report, (report,).

    Parameters
    ----------
    hyper
        `duration_increment` (step,) and `share_reported` (share_class,), as far as the model has
        them.
    duration, share_index
        Of each report (see `Reports` and `Problem`).
    xp
        Module with `log`: NumPy or `pytensor.tensor`.
    """
    offset: Any = 0.0
    if "duration_increment" in hyper:
        offset = offset + xp.dot(duration, hyper["duration_increment"])
    if "share_reported" in hyper:
        # Reports that have no share point at the extra last entry.
        log_share = xp.concatenate([xp.log(hyper["share_reported"]), np.zeros(1)])
        offset = offset + log_share[share_index]
    return offset


def report_sd(hyper: Mapping[str, Any], xp: Any = np) -> Any:
    """Return the noise sds: those of accuracy classes, then those of reporters."""
    parts = [hyper[k] for k in ("sd_noise", "sd_noise_reporter") if k in hyper]
    return xp.concatenate(parts) if len(parts) > 1 else parts[0]


def series_sd(hyper: Mapping[str, Any], problem: Problem) -> Any:
    """Return the sd of the corridor-by-source effects of each series, (series,)."""
    if "sd_corridor_report" not in hyper:
        return np.zeros(len(problem.series))
    return hyper["sd_corridor_report"][problem.group_side]


def assemble(problem: Problem, hyper: Mapping[str, Any], sites: Sites, xp: Any = np) -> Core:
    """Evaluate the inputs of the collapsed likelihood.

    Parameters
    ----------
    problem
        The fixed part.
    hyper
        Hyper-parameters by name: floats and arrays, or PyTensor variables.
    sites
        Stand-ins of the non-Gaussian parts.
    xp
        `numpy` or `pytensor.tensor`.
    """
    offset = report_offset(hyper, problem.reports.duration, problem.share_index, xp)
    noise = report_sd(hyper, xp)[problem.noise_index] ** 2 / sites.noise_weight + sites.variance
    residual = sites.mean - problem.prior_mean - offset
    return Core(residual, noise, *assemble_small(problem, hyper, sites, xp))


def assemble_small(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites, xp: Any = np
) -> tuple[Any, Any, Any]:
    """Return what of a `Core` is not as long as the reports: its last three parts.

    Parameters are those of `assemble`.
    """
    coefficients = problem.coefficients
    side = np.ones(len(problem.sides))
    sds = xp.concatenate(
        [
            xp.stack([1.0, hyper.get("sd_origin", 1.0), hyper.get("sd_destination", 1.0)]),
            hyper.get("sd_reporter", side),
            hyper.get("sd_reporter_period", side),
        ]
    )
    coef_variance = (sds[coefficients.sd_index] * coefficients.fixed_sd) ** 2
    if coefficients.n_unit:
        # Coefficients without a unit point at the extra last entry, whose weight is 1.
        weights = xp.concatenate([sites.unit_weight, np.ones(1)])
        coef_variance = coef_variance / weights[coefficients.unit]
    scale = xp.stack(
        [
            hyper.get("sd_corridor", 0.0) ** 2,
            hyper.get("sd_innovation", 0.0) ** 2,
            hyper.get("ar_coefficient", 0.0),
        ]
    )
    return coef_variance, scale, series_sd(hyper, problem) ** 2
