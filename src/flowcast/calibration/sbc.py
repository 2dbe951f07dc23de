"""Simulation-based calibration: worlds drawn from the priors, fitted, their truths ranked."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from time import perf_counter
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from flowcast.calibration.fixed_sites import fit_fixed_sites
from flowcast.calibration.quantities import Probe, State, choose_probe, measure
from flowcast.calibration.ranks import rank_among
from flowcast.config import Measurement, ModelSpec, Tails
from flowcast.errors import UsageError
from flowcast.inference import fit_problem
from flowcast.model.assemble import Sites
from flowcast.model.forward import draw_log_reports
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites
from flowcast.posterior import GateResult
from flowcast.simulation import simulate_world, simulation_spec

__all__ = ["FAMILIES", "N_DRAWS", "family_spec", "rank_replicate", "simulate_ranks"]

FAMILIES: Final = ("gaussian", "full")
N_DRAWS: Final = 99
COLUMNS: Final = (
    "replicate", "quantity", "rank", "n_draws", "truth", "method", "ess", "seconds",
)  # fmt: skip
_ESS_PER_DRAW: Final = 2.0
_LONGER: Final = 2
_LOG_COUNT: Final = (4.0, 2.0)
_TUNE: Final = 300
_STEPS_PER_DRAW: Final = 5

Fit = tuple[list[State], str, float]
"""Posterior draws, the method that gave them, and the worst effective sample size."""


def family_spec(family: str) -> ModelSpec:
    """Return the specification of a family of models.

    Parameters
    ----------
    family
        ``"gaussian"``: all reports log-normal with known counting variance, normal spreads: the
        part that is integrated out exactly. ``"full"``: the default model, Poisson counts and
        Student-t spreads.

    Raises
    ------
    UsageError
        If it is another word.
    """
    if family not in FAMILIES:
        raise UsageError(f"(family) | found {family!r}; allowed: {', '.join(FAMILIES)}")
    if family == "full":
        return simulation_spec()
    tails = Tails(reports=None, innovations=None, reporters=None)
    return simulation_spec(measurement=Measurement(counts="delta"), tails=tails)


def _is_gaussian(spec: ModelSpec) -> bool:
    tails = (spec.tails.reports, spec.tails.innovations, spec.tails.reporters)
    if spec.measurement.counts == "poisson":
        return False
    if any(nu is not None for nu in tails):
        raise UsageError(
            "(tails) | found heavy tails with counts: delta, which is an approximation and draws "
            "no reports of its own; allowed: counts: poisson, or no tails"
        )
    return True


def _with_sampler(spec: ModelSpec, **changes: Any) -> ModelSpec:  # noqa: ANN401
    return spec.model_copy(update={"sampler": spec.sampler.model_copy(update=changes)})


def _states(tree: xr.DataTree) -> list[State]:
    """Return the kept draws, with the hyper-parameters each belongs to."""
    latent, posterior = tree["latent"].to_dataset(), tree["posterior"].to_dataset()
    index = latent["hyper_draw"].to_numpy()
    flows, terms = latent["log_flow"].to_numpy(), tree["coefficients"]["coefficient"].to_numpy()
    values = {str(k): v.to_numpy() for k, v in posterior.data_vars.items()}
    out = []
    for c, d in np.ndindex(*index.shape):
        hyper = {name: array[c, index[c, d]] for name, array in values.items()}
        out.append(State(hyper, flows[c, d].astype(float), terms[c, d]))
    return out


def _fit_counts(problem: Problem) -> Fit:
    tree, gate, _, remarks = fit_problem(problem, prior=False)
    return _states(tree), str(remarks["method"]), _worst_ess(gate)


def _fit_gaussian(problem: Problem, sites: Sites) -> Fit:
    states, draws = fit_fixed_sites(problem, sites)
    return states, draws.method, _worst_ess(draws.gate)


def _worst_ess(gate: GateResult) -> float:
    names = ("importance_ess", "min_ess_bulk", "min_ess_tail")
    return min(gate.worst[name] for name in names if name in gate.worst)


def _until_enough(fit: Callable[[ModelSpec], Fit], spec: ModelSpec, n_draws: int) -> Fit:
    """Fit, and again with more draws while they are too dependent to be thinned to `n_draws`."""
    states, method, worst = fit(spec)
    for turn in range(1, _LONGER + 1):
        if worst >= _ESS_PER_DRAW * n_draws:
            break
        more = {"draws": spec.sampler.draws * 4**turn, "tune": spec.sampler.tune * 2**turn}
        states, method, worst = fit(_with_sampler(spec, **more))
    return states, method, worst


def rank_replicate(
    spec: ModelSpec,
    *,
    n_place: int,
    n_period: int,
    seed: int,
    n_draws: int = N_DRAWS,
    graded: bool = True,
) -> pd.DataFrame:
    """Draw one world from the priors, fit it, and rank its truths.

    Parameters, returned columns and faults are those of `simulate_ranks`, for one seed.
    """
    start = perf_counter()
    gaussian = _is_gaussian(spec)
    # One more draw than ranks need, so that two chains give equally many.
    need = {"kept_draws": n_draws + n_draws % 2, "min_ess": _ESS_PER_DRAW * n_draws}
    need |= {"draws": _STEPS_PER_DRAW * n_draws, "tune": _TUNE}
    spec = _with_sampler(spec, seed=seed, **need)
    world = simulate_world(n_place, n_period, seed=seed, spec=spec, graded=graded)
    problem, n_report = world.problem, world.problem.reports.n
    rng = np.random.default_rng(np.random.SeedSequence([seed, 13]))
    sites = initial_sites(problem)
    truth = State(world.hyper, world.world.log_flow, world.world.coefficient)
    if gaussian:
        count = rng.poisson(np.exp(rng.normal(*_LOG_COUNT, n_report)))
        sites = replace(sites, variance=1.0 / (count + 0.5))
        log_report, *drawn = draw_log_reports(problem, world.hyper, sites, rng)
        truth, sites = State(world.hyper, *drawn), replace(sites, mean=log_report)

    def fit(longer: ModelSpec) -> Fit:
        changed = replace(problem, spec=longer)
        return _fit_gaussian(changed, sites) if gaussian else _fit_counts(changed)

    states, method, worst = _until_enough(fit, spec, n_draws)
    kept = [states[k] for k in np.sort(rng.permutation(len(states))[:n_draws])]
    table = _rank(choose_probe(problem, sites, rng), truth, kept, rng)
    return table.assign(
        replicate=seed,
        n_draws=len(kept),
        method=method,
        ess=worst,
        seconds=perf_counter() - start,
    )[list(COLUMNS)]


def _rank(
    probe: Probe, truth: State, states: list[State], rng: np.random.Generator
) -> pd.DataFrame:
    true, drawn = measure(probe, truth), pd.DataFrame([measure(probe, s) for s in states])
    ranks = {name: rank_among(value, drawn[name].to_numpy(), rng) for name, value in true.items()}
    return pd.DataFrame(
        {"quantity": list(ranks), "rank": list(ranks.values()), "truth": list(true.values())}
    )


def simulate_ranks(
    spec: ModelSpec,
    *,
    n_place: int,
    n_period: int,
    seeds: Iterable[int],
    n_draws: int = N_DRAWS,
    graded: bool = True,
) -> pd.DataFrame:
    """Draw worlds from the priors, fit each, and rank true values among posterior draws.

    Every hyper-parameter, coefficient, weight, flow and report is drawn from the model; none is
    excluded, however odd. Covariates, definitions, classes and the pattern of missing reports are
    the design, drawn anew for each seed and known to the fit.

    Parameters
    ----------
    spec
        The model: ``counts: poisson`` with any tails, or ``counts: delta`` with none. The latter is
        drawn as it is fitted: log-normal reports whose counting variances are fixed in advance.
    n_place, n_period
        Size of the worlds.
    seeds
        One replicate each.
    n_draws
        Ranks run from 0 to this many draws; a fit whose worst effective sample size is below twice
        as many is repeated with more draws.
    graded
        Whether reports carry an accuracy class; without, noise goes by reporter.

    Returns
    -------
    DataFrame
        One row a replicate and quantity: `replicate` (the seed), `quantity`, `rank`, `n_draws`,
        `truth`, `method` (of the fit), `ess` (the worst of the fit) and `seconds`.

    Raises
    ------
    UsageError
        If the specification approximates counts and has heavy tails: it draws no data.

    References
    ----------
    Talts et al. 2018, arXiv:1804.06788; Modrák et al. 2023, doi 10.1214/23-BA1404.

    Examples
    --------
    >>> spec = family_spec("gaussian")
    >>> simulate_ranks(spec, n_place=5, n_period=4, seeds=range(1, 201))  # doctest: +SKIP
    """
    parts = [
        rank_replicate(
            spec, n_place=n_place, n_period=n_period, seed=seed, n_draws=n_draws, graded=graded
        )
        for seed in seeds
    ]
    return pd.concat(parts, ignore_index=True)
