"""Model migration schedules of many places at once: places with few migrants learn from the others.

A schedule is a mixture. Each of its curves (children, labour force, retirement, upward slope, a
constant) has unit area over the ages of the table, and a weight; these weights and shapes are far
less entangled than the heights of Rogers & Castro, which follow from them. Their logarithms (ages
as they are) are normal around the mean of all places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flowcast.accounting._age_curves import group_nodes
from flowcast.accounting.ages import AgeTable
from flowcast.errors import UsageError, did_you_mean
from flowcast.priors import Prior

__all__ = ["AGE_PRIORS", "NOISE_PRIOR", "AgePrior", "age_terms", "build_age_model", "rc_parameters"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AgePrior:
    """Priors of one term: of its mean over places, and of the sd of places around it."""

    mean: Prior
    spread: Prior


def _prior(mean: float, sd: float, spread: float) -> AgePrior:
    scatter = Prior.make("log_normal", [float(np.log(spread)), 0.6])
    return AgePrior(Prior.make("normal", [mean, sd]), scatter)


AGE_PRIORS: Final[Mapping[str, AgePrior]] = {
    "level": _prior(-4.6, 2.0, 0.8),
    "child_weight": _prior(-1.0, 0.5, 0.3),
    "constant_weight": _prior(-0.6, 0.7, 0.35),
    "alpha1": _prior(-2.3, 0.3, 0.15),
    "peak_age": _prior(25.0, 4.0, 2.0),
    "alpha2": _prior(-2.3, 0.3, 0.2),
    "lambda2": _prior(-0.9, 0.4, 0.2),
    "retirement_weight": _prior(-3.0, 1.0, 0.4),
    "retirement_age": _prior(64.0, 3.0, 1.5),
    "alpha3": _prior(-1.2, 0.5, 0.15),
    "lambda3": _prior(-0.9, 0.5, 0.15),
    "upslope_weight": _prior(-3.0, 1.0, 0.4),
    "lambda4": _prior(-3.2, 0.4, 0.15),
}
"""All terms are logarithms but the two ages. ``level``: average rate per person and year. Weights
are relative to that of the labour force curve. The means are those of the fundamental parameters of
Rogers & Castro (1981) but for the peak, which migrants between countries reach later; widths are
our own."""
NOISE_PRIOR: Final = Prior.make("log_normal", [float(np.log(0.05)), 0.8])
"""How far an age group of average size is from its schedule, as a fraction, beyond counting: .01 to
.24 with probability 95 %. It keeps off 0, as no population moves by a formula."""

OF_VARIANT: Final[Mapping[int, tuple[str, ...]]] = {
    7: (),
    9: ("upslope_weight", "lambda4"),
    11: ("retirement_weight", "retirement_age", "alpha3", "lambda3"),
    13: (
        "retirement_weight",
        "retirement_age",
        "alpha3",
        "lambda3",
        "upslope_weight",
        "lambda4",
    ),
}
PER_YEAR: Final = 4
HALF_KNOWN: Final[Mapping[str, float]] = {
    "level": 10.0,
    "child_weight": 100.0,
    "constant_weight": 100.0,
    "alpha1": 1500.0,
    "peak_age": 80.0,
    "alpha2": 300.0,
    "lambda2": 600.0,
    "retirement_weight": 1000.0,
    "retirement_age": 3000.0,
    "alpha3": 1e4,
    "lambda3": 1e4,
    "upslope_weight": 1000.0,
    "lambda4": 3000.0,
}
"""Migrants from whom a place's own figures say about as much of a term as the other places do.
Between a centred and a non-centred form, each place takes what its migrants make efficient; the
model is the same, whatever these are."""
LIKELY_NOISE: Final = 0.05


def age_terms(n_parameters: int, *, exposure: bool) -> tuple[str, ...]:
    """Return the terms of a model.

    Examples
    --------
    >>> age_terms(7, exposure=False)
    ('child_weight', 'constant_weight', 'alpha1', 'peak_age', 'alpha2', 'lambda2')
    """
    base = ("child_weight", "constant_weight", "alpha1", "peak_age", "alpha2", "lambda2")
    return (*(("level",) if exposure else ()), *base, *OF_VARIANT[n_parameters])


def _bump(log_alpha: Any, log_lambda: Any, top: Any, x: Any, xp: Any) -> tuple[Any, Any]:
    """Return a double exponential whose highest point is at age `top`, and its location mu."""
    alpha, lamb = xp.exp(log_alpha), xp.exp(log_lambda)
    mu = top - (log_lambda - log_alpha) / lamb
    gone = x - mu
    return xp.exp(-alpha * gone - xp.exp(-lamb * gone)), mu


def _curves(term: Mapping[str, Any], x: Any, xp: Any) -> dict[str, tuple[Any, Any]]:
    """Return each curve at height 1 by its height's name, and its log weight, (..., age)."""
    labour, _ = _bump(term["alpha2"], term["lambda2"], term["peak_age"], x, xp)
    found = {
        "a1": (xp.exp(-xp.exp(term["alpha1"]) * x), term["child_weight"]),
        "a2": (labour, xp.zeros_like(term["child_weight"])),
        "c": (np.ones(np.shape(x)), term["constant_weight"]),
    }
    if "alpha3" in term:
        old, _ = _bump(term["alpha3"], term["lambda3"], term["retirement_age"], x, xp)
        found["a3"] = (old, term["retirement_weight"])
    if "lambda4" in term:
        found["a4"] = (xp.exp(xp.exp(term["lambda4"]) * x), term["upslope_weight"])
    return found


def _heights(
    term: Mapping[str, Any], x: Any, years: Any, xp: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return curves and heights: the schedule integrates to its level times all years, or to 1."""
    curves = _curves(term, x, xp)
    weight = {name: xp.exp(log) for name, (_, log) in curves.items()}
    total = sum(weight.values())
    area = xp.exp(term["level"]) * years.sum() if "level" in term else 1.0
    heights = {
        name: area * weight[name] / total / (curve * years).sum(axis=-1, keepdims=True)
        for name, (curve, _) in curves.items()
    }
    return {name: curve for name, (curve, _) in curves.items()}, heights


def rc_parameters(term: Mapping[str, FloatArray], table: AgeTable) -> dict[str, FloatArray]:
    """Return the parameters of Rogers & Castro by name.

    Parameters
    ----------
    term
        Terms by name, arrays of one shape (...).
    table
        What was fitted: its ages are those over which the curves have unit area.

    Returns
    -------
    dict
        Arrays (...).
    """
    x, weight = _nodes(table)
    years = (weight * table.groups.width[:, None]).sum(axis=0)
    last = {name: np.asarray(value)[..., None] for name, value in term.items()}
    found = {name: height[..., 0] for name, height in _heights(last, x, years, np)[1].items()}
    for name in ("alpha1", "alpha2", "lambda2", "alpha3", "lambda3", "lambda4"):
        if name in term:
            found[name] = np.exp(term[name])
    for k, top in (("2", "peak_age"), ("3", "retirement_age")):
        if top in term:
            found[f"mu{k}"] = _bump(term[f"alpha{k}"], term[f"lambda{k}"], term[top], 0.0, np)[1]
    return found


def _nodes(table: AgeTable) -> tuple[FloatArray, FloatArray]:
    return group_nodes(table.groups, PER_YEAR)


def build_age_model(
    table: AgeTable, n_parameters: int = 7, priors: Mapping[str, AgePrior] | None = None
) -> Any:
    """Build the PyMC model of a table of migrants by place and age.

    With people at risk counts are negative binomial around rate times people. Without, only the age
    structure is modelled, the total of a place being known: Dirichlet-multinomial. Both scatter
    more than counts do, by ``noise``, as no schedule is right to the last of 100,000 migrants.

    Parameters
    ----------
    table
        Counts, dims (place, age).
    n_parameters
        7, 9, 11 or 13.
    priors
        Laid over `AGE_PRIORS`.

    Returns
    -------
    pymc.Model
        Free variables ``mean`` and ``spread`` (term), ``raw`` (place, term), ``noise``; terms of
        places as ``place_term`` (place, term).

    Raises
    ------
    UsageError
        If a prior is for no term of the model.
    """
    import pymc as pm
    import pytensor.tensor as pt

    names = age_terms(n_parameters, exposure=table.population is not None)
    held = _laid_over(priors or {}, names)
    counts = table.value.to_numpy()
    n_place, n_age = counts.shape
    coords = {"term": list(names), "place": np.arange(n_place), "age": list(table.groups.labels)}
    own = _own_weight(counts, names)
    x, weight = _nodes(table)
    years = (weight * table.groups.width[:, None]).sum(axis=0)
    with pm.Model(coords=coords) as model:
        mean_at, mean_sd = np.array([p.mean.numbers for p in held]).T
        mean = pm.Normal("mean", mean_at, mean_sd, dims="term")
        spread_at, spread_sd = np.array([p.spread.numbers for p in held]).T
        spread = pm.LogNormal("spread", spread_at, spread_sd, dims="term")
        noise = pm.LogNormal("noise", *NOISE_PRIOR.numbers)
        raw = pm.Normal("raw", own * mean, spread**own, dims=("place", "term"))
        value = mean + spread ** (1.0 - own) * (raw - own * mean)
        value = pm.Deterministic("place_term", value, dims=("place", "term"))
        term = {name: value[:, k, None] for k, name in enumerate(names)}
        curves, heights = _heights(term, x, years, pt)
        rate = sum(heights[name] * curves[name] for name in curves) @ weight.T
        if table.population is None:
            share = rate * table.groups.width
            share = share / share.sum(axis=1, keepdims=True)
            pm.DirichletMultinomial(
                "migrants",
                n=counts.sum(axis=1).astype(int),
                a=share * n_age / noise**2,
                observed=counts.astype(int),
                dims=("place", "age"),
            )
        else:
            people = table.population.to_numpy()
            there = np.nonzero(people > 0.0)
            pm.NegativeBinomial(
                "migrants",
                mu=rate[there] * people[there],
                alpha=noise**-2.0,
                observed=counts[there].astype(int),
            )
    return model


def _own_weight(counts: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """Return how centred each term of each place is, from 0 to 1."""
    total = counts.sum(axis=1)
    # Noise bounds what even a million migrants say.
    told = total / (1.0 + total * LIKELY_NOISE**2 / counts.shape[1])
    half = np.array([HALF_KNOWN[name] for name in names])
    return np.asarray(told[:, None] / (told[:, None] + half))


def _laid_over(priors: Mapping[str, AgePrior], names: tuple[str, ...]) -> list[AgePrior]:
    for name in priors:
        if name not in names:
            also = did_you_mean(name, names)
            raise UsageError(
                f"(priors, {name}) | found no such term; allowed: {', '.join(names)}{also}"
            )
    return [priors.get(name, AGE_PRIORS[name]) for name in names]
