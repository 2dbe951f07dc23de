"""What is ranked: functions of hyper-parameters, coefficients, flows and data.

Any function of parameters and data has uniform ranks if the fit is right. Those that depend on the
data, like the likelihood, see faults that no single parameter shows (Modrák et al. 2023, doi
10.1214/23-BA1404).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flowcast.model.assemble import Sites, assemble, evaluate, report_offset, report_sd, series_sd
from flowcast.model.hyper import vector_priors
from flowcast.model.latent import design_product
from flowcast.model.problem import Problem
from flowcast.model.reports import SIDES
from flowcast.trees import build_evidence

__all__ = ["Probe", "State", "choose_probe", "measure"]

FloatArray = NDArray[np.float64]

CELLS_OF_A_KIND: Final = 2
_EVIDENCE: Final = {"both_reports": "both", "one_report": "one", "none": "none"}
_GROUPS: Final = ("origin", "destination", "reporter", "reporter_period")


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All unknowns at once, true or drawn.

    Attributes
    ----------
    hyper
        Hyper-parameters by name.
    log_flow
        (corridor, period).
    coefficient
        (coefficient,).
    """

    hyper: Mapping[str, Any]
    log_flow: FloatArray
    coefficient: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Which quantities of a problem are ranked; chosen without looking at any value.

    Attributes
    ----------
    problem, sites
        The problem, and means and variances of the reports for the two likelihoods.
    labels
        Names of the ranked elements of vector hyper-parameters, and their positions.
    coefficients
        Names and positions of the ranked coefficients.
    cells
        Names of the ranked cells, and their corridor and period.
    place, period
        Whose total immigration is ranked, and when.
    pair
        The two corridors whose sum over all periods is ranked.
    """

    problem: Problem
    sites: Sites
    labels: Mapping[str, tuple[tuple[str, int], ...]]
    coefficients: Mapping[str, int]
    cells: Mapping[str, tuple[int, int]]
    place: int
    period: int
    pair: NDArray[np.int64]


def _hyper_labels(
    problem: Problem, rng: np.random.Generator
) -> dict[str, tuple[tuple[str, int], ...]]:
    """Name every element; of the noise sds of single reporters, one a side."""
    out = {
        name: tuple((f"{name}[{label}]", k) for k, label in enumerate(labels))
        for name, (_, labels, _) in vector_priors(problem).items()
    }
    reporters = problem.labels["noise_reporter"]
    chosen = []
    for side in SIDES.values():
        own = [k for k, r in enumerate(reporters) if r.split(":")[0] == side]
        if own:
            chosen.append((f"sd_noise_reporter[{side}]", int(rng.choice(own))))
    return out | ({"sd_noise_reporter": tuple(chosen)} if chosen else {})


def choose_probe(problem: Problem, sites: Sites, rng: np.random.Generator) -> Probe:
    """Choose what to rank: all hyper-parameters, and some coefficients, cells and sums.

    Parameters
    ----------
    problem
        Its counts are not looked at.
    sites
        Means and variances of the reports, for the likelihoods.
    rng
        Source of randomness for the choice.
    """
    coefficients, grid = problem.coefficients, problem.grid
    named = {
        str(coefficients.name[k]): int(k)
        for k in np.flatnonzero(np.isin(coefficients.group, ["intercept", "covariate"]))
    }
    for group in _GROUPS:
        where = np.flatnonzero(coefficients.group == group)
        if len(where):
            named[f"{group} effect"] = int(rng.choice(where))
    evidence = np.where(grid.exists, build_evidence(problem), "")
    cells = {}
    for word, short in _EVIDENCE.items():
        found = np.argwhere(evidence == word)
        picked = rng.permutation(len(found))[:CELLS_OF_A_KIND]
        for number, k in enumerate(picked, start=1):
            cells[f"flow, {short} {number}"] = (int(found[k, 0]), int(found[k, 1]))
    first = int(rng.integers(grid.n_corridor))
    back = (grid.origin == grid.destination[first]) & (grid.destination == grid.origin[first])
    return Probe(
        problem=problem,
        sites=sites,
        labels=_hyper_labels(problem, rng),
        coefficients=named,
        cells=cells,
        place=int(rng.integers(len(grid.places))),
        period=int(rng.integers(grid.n_period)),
        pair=np.array([first, *np.flatnonzero(back)], dtype=np.int64),
    )


def _log_reports(probe: Probe, state: State) -> float:
    """Return the log density of the reports given flows and reporter effects, up to a constant.

    Corridor-by-source effects are averaged over, as if independent between reports.
    """
    problem, reports = probe.problem, probe.problem.reports
    group = problem.coefficients.group
    own = np.isin(group, ["reporter", "reporter_period"])
    expected = state.log_flow[reports.corridor, reports.period]
    expected = expected + report_offset(state.hyper, reports.duration, problem.share_index)
    expected = expected + design_product(problem, np.where(own, state.coefficient, 0.0))
    variance = report_sd(state.hyper)[problem.noise_index] ** 2 + probe.sites.variance
    if problem.parts.series:
        variance = variance + series_sd(state.hyper, problem)[problem.group] ** 2
    gap = probe.sites.mean - expected
    return float(-0.5 * np.sum(gap**2 / variance + np.log(variance)))


def _log_likelihood(probe: Probe, state: State) -> float:
    """Return the log likelihood of the hyper-parameters, all else integrated out."""
    core = assemble(probe.problem, state.hyper, probe.sites)
    return float(evaluate(probe.problem, core, probe.sites.innovation_weight)[0])


def measure(probe: Probe, state: State) -> dict[str, float]:
    """Return every ranked quantity at a state.

    Returns
    -------
    dict
        Name to value: hyper-parameters, coefficients, log flows of cells, log of total
        immigration, of a pair's sum and of all flows, and two log likelihoods.
    """
    out: dict[str, float] = {}
    for name, value in state.hyper.items():
        if np.ndim(value) == 0:
            out[name] = float(value)
        else:
            out |= {label: float(value[k]) for label, k in probe.labels[name]}
    out |= {name: float(state.coefficient[k]) for name, k in probe.coefficients.items()}
    out |= {name: float(state.log_flow[at]) for name, at in probe.cells.items()}
    grid = probe.problem.grid
    log_flow = np.where(grid.exists, state.log_flow, -np.inf)
    into = log_flow[grid.destination == probe.place, probe.period]
    out["immigration of a place"] = float(np.logaddexp.reduce(into))
    out["sum of a pair"] = float(np.logaddexp.reduce(log_flow[probe.pair], axis=None))
    out["all flows"] = float(np.logaddexp.reduce(log_flow, axis=None))
    out["log likelihood"] = _log_likelihood(probe, state)
    out["log reports"] = _log_reports(probe, state)
    return out
