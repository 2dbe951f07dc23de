"""Schedules of many places, sampled: draws by place, and whether the chains agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._age_curves import VARIANTS
from flowcast.accounting._age_groups import HIGHEST_AGE
from flowcast.accounting.ages import AgeTable, Schedule, check_age_table
from flowcast.config import Sampler
from flowcast.errors import Faults, UsageError
from flowcast.inference.gate import judge_convergence
from flowcast.model.ages import AgePrior, age_terms, build_age_model, rc_parameters
from flowcast.posterior import GateResult

__all__ = ["AGE_SAMPLER", "AgePosterior", "sample_schedules"]

FloatArray = NDArray[np.float64]

AGE_SAMPLER: Final = Sampler(method="nuts", draws=1000, tune=500, chains=4, target_accept=0.9)
"""Shorter steps than usual: at .8 one trajectory in some thousands diverges, and none may."""
KEPT: Final = ("diverging", "n_steps", "energy")


@dataclass(frozen=True, slots=True, eq=False)
class AgePosterior:
    """Draws of the schedules of many places.

    Attributes
    ----------
    tree
        ``posterior``: `schedule` (chain, draw, the dims of the table, parameter); `schedule_new`
        (chain, draw, parameter), of a place like these of which nothing is known; `term_mean` and
        `term_spread` (chain, draw, term), the mean of places and their sd around it; `noise`
        (chain, draw). ``sample_stats``: `diverging` and others (chain, draw).
    gate
        Whether the chains converged: R-hat and effective sample sizes of the terms of every place,
        and divergences.
    diagnostics
        One row a term: `parameter, mean, sd, rhat, ess_bulk, ess_tail`.
    """

    tree: xr.DataTree
    gate: GateResult
    diagnostics: pd.DataFrame

    @property
    def schedule(self) -> Schedule:
        """Schedules of the places, with dims chain and draw."""
        return Schedule(self.tree["posterior"].to_dataset()["schedule"])

    @property
    def schedule_new(self) -> Schedule:
        """Schedules of a place without data, with dims chain and draw."""
        return Schedule(self.tree["posterior"].to_dataset()["schedule_new"])


def sample_schedules(
    table: xr.DataArray,
    population: xr.DataArray | None = None,
    *,
    n_parameters: int = 7,
    priors: Mapping[str, AgePrior] | None = None,
    sampler: Sampler = AGE_SAMPLER,
    highest: float = HIGHEST_AGE,
) -> AgePosterior:
    """Fit schedules of many places together, by NUTS.

    Places with many migrants keep to their own figures, those with few dozens get close to the mean
    of all, and those with none take it over, all with the uncertainty that is left. The model is
    `flowcast.model.ages.build_age_model`, its priors `flowcast.model.ages.AGE_PRIORS`. Compiling
    takes about half a minute, and sampling a dozen places less.

    Parameters
    ----------
    table
        Persons by ``age`` and any other dims (place; or corridor and sex): all are pooled alike.
    population
        Persons at risk, with the same dims or fewer; without, schedules are of shares.
    n_parameters
        7, 9, 11 or 13.
    priors
        Laid over `AGE_PRIORS`.
    sampler
        Draws, warm-up, chains, seed, bounds of the gate.
    highest
        Exact age at which an open group ends.

    Returns
    -------
    AgePosterior
        Whether it converged or not; look at `gate`.

    Raises
    ------
    InputError
        As `flowcast.accounting.fit_schedules`, except that places may be without migrants; and if
        counts are no whole numbers.
    UsageError
        If there is one place alone, `n_parameters` is none, or a prior is for no term.
    """
    if n_parameters not in VARIANTS:
        allowed = ", ".join(map(str, VARIANTS))
        raise UsageError(f"(n_parameters) | found {n_parameters!r}; allowed: {allowed}")
    checked = check_age_table(table, population, least=n_parameters, highest=highest, empty=True)
    flat = _flattened(checked)
    tree = _sample(flat, n_parameters, priors, sampler)
    return _lay_out(tree, flat, checked, n_parameters, sampler)


def _flattened(checked: AgeTable) -> AgeTable:
    """Return the table with one dim beside age, ``place``."""
    faults, value = Faults("table"), checked.value
    counts = value.to_numpy()
    wrong = np.argwhere(counts != np.round(counts))
    if len(wrong):
        found = f"{counts[tuple(wrong[0])]:g}, and {len(wrong) - 1} more like it"
        faults.add(found, "whole persons: this is a model of counts")
    if not counts.any():
        faults.add("tables without migrants", "migrants in some place")
    faults.raise_if_any()
    if value.ndim < 2 or value[..., 0].size < 2:
        raise UsageError(
            "(table) | found one place; allowed: two or more, which learn from each other; "
            "fit_schedules fits one"
        )
    n_age = value.sizes["age"]

    def rows(array: xr.DataArray) -> xr.DataArray:
        return xr.DataArray(array.to_numpy().reshape(-1, n_age), dims=("place", "age"))

    people = None if checked.population is None else rows(checked.population)
    return AgeTable(rows(value), people, checked.groups)


def _sample(
    table: AgeTable, n_parameters: int, priors: Mapping[str, AgePrior] | None, sampler: Sampler
) -> xr.DataTree:
    import nutpie

    model = build_age_model(table, n_parameters, priors)
    wanted = ["mean", "spread", "noise", "place_term"]
    compiled = nutpie.compile_pymc_model(model, backend="numba", var_names=wanted)
    tree: xr.DataTree = nutpie.sample(
        compiled,
        draws=sampler.draws,
        tune=sampler.tune,
        chains=sampler.chains,
        cores=2,
        seed=sampler.seed,
        target_accept=sampler.target_accept,
        maxdepth=sampler.max_depth,
        # Peak, rise and fall of a well-known place are correlated: this has six times the effective
        # draws.
        adaptation="low_rank",
        progress_bar=False,
        save_warmup=False,
    )
    if tree["posterior"].sizes["draw"] < sampler.draws:
        raise KeyboardInterrupt  # nutpie answers an interruption with what it has so far
    return tree


def _lay_out(
    tree: xr.DataTree, flat: AgeTable, checked: AgeTable, n_parameters: int, sampler: Sampler
) -> AgePosterior:
    """Return draws under the names of the table, and the verdict on them."""
    names = age_terms(n_parameters, exposure=flat.population is not None)
    drawn = tree["posterior"].to_dataset()
    mean, spread, own = (drawn[n].to_numpy() for n in ("mean", "spread", "place_term"))
    rng = np.random.default_rng(sampler.seed)
    new = mean + spread * rng.standard_normal(mean.shape)
    parameters = list(VARIANTS[n_parameters])

    def schedules(terms: FloatArray) -> FloatArray:
        by_name = {name: terms[..., k] for k, name in enumerate(names)}
        found = rc_parameters(by_name, flat)
        return np.stack([found[name] for name in parameters], axis=-1)

    sample = ("chain", "draw")
    like = checked.value.isel(age=0, drop=True)
    labels = {k: c for k, c in like.coords.items() if "age" not in c.dims}
    shape = (*mean.shape[:2], *like.shape, len(parameters))
    posterior = xr.Dataset(
        {
            "schedule": ((*sample, *like.dims, "parameter"), schedules(own).reshape(shape)),
            "schedule_new": ((*sample, "parameter"), schedules(new)),
            "term_mean": ((*sample, "term"), mean),
            "term_spread": ((*sample, "term"), spread),
            "noise": (sample, drawn["noise"].to_numpy()),
        },
        {
            **labels,
            "chain": np.arange(shape[0]),
            "draw": np.arange(shape[1]),
            "term": list(names),
            "parameter": parameters,
        },
    )
    stats = tree["sample_stats"].to_dataset()
    gate, diagnostics = judge_convergence(
        _judged(posterior, own, names), stats["diverging"].to_numpy(), sampler
    )
    kept = xr.Dataset({n: (sample, stats[n].to_numpy()) for n in KEPT if n in stats})
    groups = {"posterior": posterior, "sample_stats": kept}
    return AgePosterior(xr.DataTree.from_dict(groups), gate, diagnostics)


def _judged(posterior: xr.Dataset, own: FloatArray, names: tuple[str, ...]) -> xr.Dataset:
    """Return everything that has to converge: means, spreads, noise, the terms of every place."""
    cells = [f"{k},{name}" for k in range(own.shape[2]) for name in names]
    flat = own.reshape(*own.shape[:2], -1)
    place = xr.DataArray(flat, dims=("chain", "draw", "cell"), coords={"cell": cells})
    return posterior[["term_mean", "term_spread", "noise"]].assign(place=place)
