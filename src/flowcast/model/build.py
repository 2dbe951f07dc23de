"""The PyMC model: hyper-parameters with their priors, and one potential for all reports."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from flowcast.model.assemble import Sites, assemble, layout
from flowcast.model.collapse import CollapsedLikelihood
from flowcast.model.hyper import noise_reporter_side, scalar_priors, vector_priors
from flowcast.model.problem import Problem
from flowcast.priors import Prior

__all__ = ["build_model", "hyper_coords", "hyper_variables", "site_data"]


def _inverse_root_gamma(shape: Any, rate: Any, size: Any) -> Any:
    """Return an sd whose inverse square has a Gamma distribution."""
    return pm.Gamma.dist(shape, rate, size=size) ** -0.5


def _distribution(name: str, prior: Prior, dims: str | None = None) -> Any:
    """Return the prior as a PyMC variable."""
    a, b = prior.numbers[0], prior.numbers[-1]
    makers: dict[str, Any] = {
        "normal": lambda: pm.Normal(name, a, b, dims=dims),
        "half_normal": lambda: pm.HalfNormal(name, a, dims=dims),
        "half_t": lambda: pm.HalfStudentT(name, a, b, dims=dims),
        "log_normal": lambda: pm.LogNormal(name, a, b, dims=dims),
        "beta": lambda: pm.Beta(name, a, b, dims=dims),
        "gamma": lambda: pm.Gamma(name, a, b, dims=dims),
        "exponential": lambda: pm.Exponential(name, a, dims=dims),
        "positive_normal": lambda: pm.TruncatedNormal(name, a, b, lower=0.0, dims=dims),
        "precision_gamma": lambda: pm.CustomDist(
            name,
            a,
            b,
            dist=_inverse_root_gamma,
            transform=pm.distributions.transforms.log,
            dims=dims,
        ),
    }
    return makers[prior.shape]()


def _vector(name: str, dim: str, labels: tuple[str, ...], priors: list[Prior]) -> Any:
    """Return a vector of variables: one distribution where all priors are alike in shape."""
    shapes = {p.shape for p in priors}
    if len(shapes) == 1:
        joint = Prior(priors[0].shape, priors[0].numbers)
        numbers = np.array([p.numbers for p in priors])
        stacked = [numbers[:, k] for k in range(numbers.shape[1])]
        object.__setattr__(joint, "numbers", tuple(stacked))
        return _distribution(name, joint, dims=dim)
    each = [_distribution(f"{name}_{label}", p) for label, p in zip(labels, priors, strict=True)]
    return pm.Deterministic(name, pt.stack(each), dims=dim)


def _noise_reporters(problem: Problem, hyper: dict[str, Any]) -> Any:
    """Return the noise sds of reporters without an accuracy class, partially pooled by side."""
    side = noise_reporter_side(problem)
    return pm.LogNormal(
        "sd_noise_reporter",
        pt.log(hyper["median_sd_noise_reporter"])[side],
        hyper["spread_sd_noise_reporter"][side],
        dims="noise_reporter",
    )


def hyper_coords(problem: Problem) -> dict[str, list[str]]:
    """Return the labels of every dim that the problem's hyper-parameters have."""
    coords = {dim: list(labels) for dim, labels, _ in vector_priors(problem).values()}
    return coords | {"noise_reporter": list(problem.labels["noise_reporter"])}


def hyper_variables(problem: Problem) -> dict[str, Any]:
    """Return the hyper-parameters by name, as variables of the model that is being built.

    Parameters
    ----------
    problem
        Which hyper-parameters there are, and their priors.

    Notes
    -----
    To be called inside ``with pm.Model(coords=hyper_coords(problem)):``.
    """
    hyper = {n: _distribution(n, p) for n, p in scalar_priors(problem).items()}
    hyper |= {n: _vector(n, *rest) for n, rest in vector_priors(problem).items()}
    if problem.labels["noise_reporter"]:
        hyper["sd_noise_reporter"] = _noise_reporters(problem, hyper)
    return hyper


def site_data(sites: Sites, problem: Problem) -> dict[str, Any]:
    """Return the sites as the model's data, by name."""
    return {
        "site_mean": sites.mean,
        "site_variance": sites.variance,
        "noise_weight": sites.noise_weight,
        "innovation_weight": sites.innovation_weight[problem.blocks.corridor],
        "unit_weight": sites.unit_weight,
    }


def build_model(problem: Problem, sites: Sites) -> pm.Model:
    """Build the PyMC model over the hyper-parameters.

    Parameters
    ----------
    problem
        The linear Gaussian core.
    sites
        Starting stand-ins; they are data of the model and can be replaced without recompiling.

    Returns
    -------
    pymc.Model
        Free variables: the hyper-parameters; one potential, ``reports``.
    """
    with pm.Model(coords=hyper_coords(problem)) as model:
        hyper = hyper_variables(problem)
        data = {k: pm.Data(k, v) for k, v in site_data(sites, problem).items()}
        fixed = [pm.Data(f"layout_{k}", v) for k, v in layout(problem).items()]
        held = Sites(*data.values())
        core = assemble(problem, hyper, held, pt)
        value = CollapsedLikelihood()(
            core.residual,
            core.noise,
            core.coef_variance,
            core.scale,
            pt.as_tensor_variable(core.group_variance),
            *fixed,
            data["innovation_weight"],
        )
        pm.Potential("reports", value[0])  # type: ignore[index]
    return model
