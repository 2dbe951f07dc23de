"""Fit the linear Gaussian core alone: reports with known means and variances.

`fit_problem` makes its own stand-ins for the counts. Here they are given, and nothing is
approximate: what is left is the collapsed density, its samplers and the conditional simulation.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from flowcast._terminal import Progress
from flowcast.calibration.quantities import State
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.gate import HyperDraws
from flowcast.inference.laplace import sample_laplace
from flowcast.inference.nuts import sample_nuts
from flowcast.inference.recover import recover_latent
from flowcast.model.assemble import Sites
from flowcast.model.coordinates import Coordinates, build_coordinates
from flowcast.model.density import ModeResult, build_density, mode_value_grad
from flowcast.model.problem import Problem

__all__ = ["find_fixed_mode", "fit_fixed_sites"]

FloatArray = NDArray[np.float64]


def find_fixed_mode(problem: Problem, sites: Sites) -> ModeResult:
    """Return the mode of the hyper-parameters at given sites."""
    density = build_density(problem, sites)

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = mode_value_grad(density, x)
        return (-value, -gradient) if np.isfinite(value) else (1e100, np.zeros_like(x))

    found = minimize(objective, density.layout.start, jac=True, method="L-BFGS-B")
    return ModeResult(np.asarray(found.x), density, 1, settled=bool(found.success))


def _draw(coordinates: Coordinates, problem: Problem) -> HyperDraws:
    """Draw as `fit_problem` does: by the method asked for, by NUTS where weights fail."""
    sampler, nothing, silent = problem.spec.sampler, Checkpoint(None), Progress(shown=False)
    if sampler.method == "laplace":
        draws = sample_laplace(coordinates, sampler, nothing, silent)
        if draws.gate.passed:
            return draws
    return sample_nuts(coordinates, sampler, nothing, silent)


def fit_fixed_sites(problem: Problem, sites: Sites) -> tuple[list[State], HyperDraws]:
    """Fit a problem whose reports have known log means and variances.

    Parameters
    ----------
    problem
        Its counts are not looked at; `problem.spec.sampler` says how, and how many draws are kept.
    sites
        Log reports and their variances; weights as they are.

    Returns
    -------
    list of State, HyperDraws
        The kept draws, evenly spaced over the chains; and the verdict.
    """
    with threadpool_limits(1):
        coordinates = build_coordinates(find_fixed_mode(problem, sites))
        draws = _draw(coordinates, problem)
        sampler, silent = problem.spec.sampler, Progress(shown=False)
        latent = recover_latent(coordinates, draws, sampler, Checkpoint(None), silent)
    flows = latent.log_flow
    flows = flows["log_flow"].to_numpy() if isinstance(flows, xr.Dataset) else flows
    states = [
        State(
            coordinates.density.hyper(draws.x[chain, at]),
            flows[chain, k].astype(float),
            latent.coefficient[chain, k],
        )
        for chain in range(len(draws.x))
        for k, at in enumerate(latent.index)
    ]
    return states, draws
