"""Cost of one gradient of the collapsed likelihood, as ratios within one run.

Run ``python -m benchmarks.gradient``: our kernel against the same value by a dense multivariate
normal, and against a growing number of places and periods.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import multivariate_normal

from flowcast.model.assemble import assemble, evaluate
from flowcast.model.density import build_density
from flowcast.model.latent import design_product
from flowcast.model.problem import Problem
from flowcast.simulation import simulate_world

SIZES = [(5, 2), (8, 5), (12, 8), (20, 8)]
DENSE_LIMIT = 1200


def best_of(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest of several timings, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def dense_value(problem: Problem) -> Callable[[], float]:
    """Return a function for the same value by one dense multivariate normal."""
    density = build_density(problem)
    core = assemble(problem, density.hyper(density.layout.start), density.sites)
    n, p = problem.reports.n, problem.coefficients.n
    design = np.column_stack([design_product(problem, np.eye(p)[k]) for k in range(p)])
    corridor, period, group = problem.reports.corridor, problem.reports.period, problem.group
    same = corridor[:, None] == corridor[None]
    gap = np.abs(period[:, None] - period[None])
    variance, innovation, phi = core.scale
    block = variance + innovation / (1 - phi**2) * phi**gap
    block = block + (group[:, None] == group[None]) * core.group_variance[group][:, None]
    cov = same * block + design * core.coef_variance @ design.T + np.diag(core.noise)
    return lambda: float(multivariate_normal(np.zeros(n), cov).logpdf(core.residual))


def main() -> None:
    """Print the table."""
    rows = []
    for n_place, n_period in SIZES:
        problem = simulate_world(n_place, n_period, seed=1).problem
        density = build_density(problem)
        x = density.layout.start
        core = assemble(problem, density.hyper(x), density.sites)
        density.value_grad(x)
        own = best_of(
            lambda c=core, p=problem, d=density: evaluate(p, c, d.sites.innovation_weight)
        )
        whole = best_of(lambda d=density, at=x: d.value_grad(at))
        dense = np.nan
        if problem.reports.n <= DENSE_LIMIT and n_period > 1:
            dense = best_of(dense_value(problem), 3)
        rows.append(
            {
                "places": n_place,
                "periods": n_period,
                "reports": problem.reports.n,
                "coefficients": problem.coefficients.n,
                "kernel per report, us": 1e6 * own / problem.reports.n,
                "whole gradient / kernel": whole / own,
                "dense value / kernel": dense / own,
            }
        )
    print(pd.DataFrame(rows).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
