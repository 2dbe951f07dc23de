"""The benchmark's model with explicit latent flows is the collapsed one, not a relative of it.

Given hyper-parameters, everything else of it is jointly normal with the reports. So it can be
integrated out by hand: the integral of exp(q) for a quadratic q with its maximum at m is
exp(q(m)) (2 pi)^(n/2) / sqrt(det(-q'')).
"""

import math
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pymc as pm
import pytest
from numpy.typing import NDArray
from pytensor.compile.mode import Mode
from support import changed, varied_spec

from flowcast.config import ModelSpec
from flowcast.model.assemble import Sites
from flowcast.model.density import build_density
from flowcast.model.hyper import build_layout
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites
from flowcast.simulation import simulate_world

PLAIN = Mode(linker="py", optimizer="fast_compile")
FloatArray = NDArray[np.float64]


@pytest.fixture(scope="module")
def explicit(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.explicit")


def spec_of(which: str) -> ModelSpec:
    delta = {"measurement": {"counts": "delta"}}
    return changed(varied_spec(which), **delta)


def uneven(sites: Sites) -> Sites:
    """Return sites whose weights differ, so that each has to stand in its place."""
    rng = np.random.default_rng(2)
    return Sites(
        sites.mean,
        sites.variance,
        rng.uniform(0.5, 2.0, len(sites.noise_weight)),
        rng.uniform(0.5, 2.0, len(sites.innovation_weight)),
        rng.uniform(0.5, 2.0, len(sites.unit_weight)),
    )


CASES = {
    "plain": ("plain", 2, True),
    "by_reporter": ("plain", 2, False),
    "one_period": ("plain", 1, True),
    "bare": ("bare", 2, True),
}


def problem_of(name: str) -> tuple[Problem, Sites]:
    which, n_period, graded = CASES[name]
    world = simulate_world(3, n_period, seed=6, spec=spec_of(which), graded=graded, missing=0.1)
    sites = initial_sites(world.problem)
    return world.problem, uneven(sites)


Integral = Callable[[FloatArray], float]


def integrator(model: pm.Model, problem: Problem) -> Integral:
    """Return the log density of hyper-parameters, everything else integrated out.

    It takes the unconstrained vector of `HyperLayout`.
    """
    layout = build_layout(problem)
    held = {model.rvs_to_values[model[name]].name: name for name in layout.slices}
    free = [v for v in model.value_vars if v.name not in held]
    graph = [model.logp(), model.dlogp([model.values_to_rvs[v] for v in free])]
    evaluate = model.compile_fn(graph, inputs=model.value_vars, mode=PLAIN, point_fn=False)
    start = model.initial_point()
    n = sum(np.size(start[v.name]) for v in free)

    def at(x: FloatArray, latent: FloatArray) -> tuple[float, FloatArray]:
        values, begin = [], 0
        for variable in model.value_vars:
            shape = np.shape(start[variable.name])
            if variable.name in held:
                values.append(x[layout.slices[held[variable.name]]].reshape(shape))
            else:
                values.append(latent[begin : begin + math.prod(shape)].reshape(shape))
                begin += math.prod(shape)
        value, slope = evaluate(*values)
        return float(value), np.asarray(slope)

    def integral(x: FloatArray) -> float:
        value, slope = at(x, np.zeros(n))
        hessian = np.stack([at(x, row)[1] - slope for row in np.eye(n)])
        np.testing.assert_allclose(hessian, hessian.T, atol=1e-8 * np.abs(hessian).max())
        top = at(x, np.linalg.solve(-hessian, slope))[0]
        assert top > value
        sign, logdet = np.linalg.slogdet(-hessian)
        assert sign == 1.0
        return float(top + 0.5 * n * np.log(2.0 * np.pi) - 0.5 * logdet)

    return integral


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_integrating_the_latent_flows_out_leaves_the_collapsed_density(
    explicit: ModuleType, name: str, centred: bool
) -> None:
    problem, sites = problem_of(name)
    density = build_density(problem, sites)
    integral = integrator(explicit.explicit_model(problem, sites, centred=centred), problem)
    rng = np.random.default_rng(4)
    start = density.layout.start
    points = [start + rng.normal(0.0, 0.4, len(start)) for _ in range(2)]
    gaps = [integral(x) - density.value_grad(x)[0] for x in points]
    assert np.ptp([density.value_grad(x)[0] for x in points]) > 1.0
    np.testing.assert_allclose(gaps, gaps[0], atol=1e-7)
