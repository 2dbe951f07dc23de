"""Estimation: sample the hyper-parameters, judge the result, simulate the latent flows."""

from flowcast.inference.fit import estimate, fit_problem
from flowcast.inference.gate import judge_convergence

__all__ = ["estimate", "fit_problem", "judge_convergence"]
