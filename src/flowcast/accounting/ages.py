"""Age and sex of migrants: model schedules fitted to tables by age, and flows split by them.

Schedules of Rogers & Castro (1981, Model migration schedules, IIASA Research Report RR-81-30) with
7, 9, 11 or 13 parameters. Here each place or corridor is fitted by itself; the model that lets
small places learn from the others is in `flowcast.model.ages`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._age_curves import VARIANTS
from flowcast.accounting._age_fit import Profile, Search, Solution
from flowcast.accounting._age_groups import FIVE_YEAR_AGES, HIGHEST_AGE, AgeGroups, age_groups
from flowcast.accounting._age_schedules import (
    STANDARD_SCHEDULE,
    Schedule,
    age_rates,
    age_shares,
    group_rates,
    schedule_features,
)
from flowcast.accounting._named import align, cell_name, check_values, refuse_dims
from flowcast.errors import Faults, UsageError

__all__ = [
    "FIVE_YEAR_AGES",
    "STANDARD_SCHEDULE",
    "AgeTable",
    "Schedule",
    "ScheduleFit",
    "age_rates",
    "age_shares",
    "check_age_table",
    "compare_variants",
    "fit_schedules",
    "group_rates",
    "schedule_features",
]

type Kind = Literal["counts", "rates", "shares"]

KINDS: Final = ("counts", "rates", "shares")


@dataclass(frozen=True, slots=True, eq=False)
class AgeTable:
    """Migrants by age, checked; ages from young to old and last.

    Attributes
    ----------
    value
        Persons, rates or shares, (..., age).
    population
        Persons at risk, with the same dims; None where they are not known.
    groups
        The age groups.
    """

    value: xr.DataArray
    population: xr.DataArray | None
    groups: AgeGroups


@dataclass(frozen=True, slots=True, eq=False)
class ScheduleFit:
    """Schedules fitted to tables by age, and how well.

    Attributes
    ----------
    schedule
        Heights are rates per person and year where people at risk are known (or rates were given);
        else shares of all migrants per year of age, which integrate to 1 over the ages given.
    fitted
        What the schedules say of the table, in its unit.
    quality
        By the other dims of the table: ``deviance`` (Poisson; of rates the weighted sum of
        squares); ``bic``, NaN for shares, which do not say how many people they rest on;
        ``converged``; ``n_agreeing`` of ``n_starts``, how many starts of the search led to the same
        criterion (one alone may have found a local minimum); and ``at_bound``, the parameters that
        are at a bound, or heights that are 0.
    """

    schedule: Schedule
    fitted: xr.DataArray
    quality: xr.Dataset


def check_age_table(
    table: xr.DataArray,
    population: xr.DataArray | None = None,
    *,
    kind: Kind = "counts",
    least: int = 7,
    highest: float = HIGHEST_AGE,
    empty: bool = False,
) -> AgeTable:
    """Check a table by age, and bring it in order.

    Parameters
    ----------
    table, population, kind, highest
        As for `fit_schedules`.
    least
        Age groups that are needed.
    empty
        Whether tables without migrants are accepted.

    Returns
    -------
    AgeTable

    Raises
    ------
    InputError
        With everything that is wrong.
    """
    faults = Faults("ages")
    if kind not in KINDS:
        raise UsageError(f"(kind) | found {kind!r}; allowed: {', '.join(KINDS)}")
    if population is not None and kind != "counts":
        raise UsageError(f"(population) | found it with {kind}; allowed: with counts")
    refuse_dims(faults, "table", table, ["age"], [str(d) for d in table.dims])
    faults.raise_if_any()
    if "age" not in table.indexes:
        faults.add("no labels", "age groups, as 0, 0-4 or 85+", column="age")
    faults.raise_if_any()
    value = table.astype(np.float64).transpose(..., "age")
    value = value.assign_coords(age=[str(a) for a in table["age"].to_numpy()])
    groups = age_groups(value["age"].to_numpy().tolist(), highest=highest, faults=faults)
    if len(groups.labels) < least:
        found = f"{len(groups.labels)} age groups"
        faults.add(found, f"{least} or more, one for each parameter", column="age")
    what = "persons, 0 or more" if kind == "counts" else f"{kind}, 0 or more"
    check_values(faults, "table", value, what=what)
    faults.raise_if_any()
    value = value.sel(age=list(groups.labels))
    if not empty:
        _refuse_empty(faults, value)
    people = None if population is None else _aligned(faults, population, value)
    faults.raise_if_any()
    return AgeTable(value, people, groups)


def _refuse_empty(faults: Faults, value: xr.DataArray) -> None:
    total = value.sum("age")
    for at in np.argwhere(~(total.to_numpy() > 0.0)):
        where = f" at {cell_name(total, at)}" if total.ndim else ""
        faults.add(f"a table without migrants{where}", "migrants of some age", where="table")


def _aligned(faults: Faults, population: xr.DataArray, value: xr.DataArray) -> xr.DataArray:
    own = Faults(faults.where)
    refuse_dims(own, "population", population, ["age"], [str(d) for d in value.dims])
    people = population.astype(np.float64)
    if "age" in population.indexes:
        people = people.assign_coords(age=[str(a) for a in population["age"].to_numpy()])
    if not own:
        people = align(own, "population", people, value)
    if not own:
        check_values(own, "population", people, what="persons, 0 or more")
        people = people.broadcast_like(value).transpose(*value.dims)
        lost = (people.to_numpy() == 0.0) & (value.to_numpy() > 0.0)
        for at in np.argwhere(lost)[:5]:
            found = f"nobody at risk, but migrants, at {cell_name(value, at)}"
            own.add(found, "persons at risk", where="population")
    faults.extend(own)
    return people


def fit_schedules(
    table: xr.DataArray,
    population: xr.DataArray | None = None,
    *,
    kind: Kind = "counts",
    n_parameters: int = 7,
    weights: xr.DataArray | None = None,
    highest: float = HIGHEST_AGE,
) -> ScheduleFit:
    """Fit a model migration schedule to every table by age.

    Counts, with people at risk or without, and shares are fitted by least Poisson deviance, which
    for shares is the multinomial one: a group of 0 migrants counts as much as it should. Rates are
    fitted by least squares. Parameters are bounded (`flowcast.accounting._age_fit.BOUNDS`). Heights
    of 48 to 576 shapes are found by non-negative least squares; the search starts from the best
    shape of each location of the labour force curve, and of the retirement curve. Nothing is
    random. Model schedules follow data that have their shape, and force it on data that have not
    (Bernard & Bell 2015, doi 10.4054/DemRes.2015.32.33): look at `quality` and `fitted`.

    Parameters
    ----------
    table
        Migrants by ``age`` (labels ``"0"``, ``"0-4"``, ``"85+"``, in any order), and any other
        dims: each has a fit of its own. Persons, rates per person and year, or shares.
    population
        Persons at risk, with counts: their age structure is then not part of the schedule.
    kind
        ``counts``, ``rates`` or ``shares``.
    n_parameters
        7, 9, 11 or 13; see `Schedule`.
    weights
        Of the squared residuals of rates, such as persons at risk; 1 unless given.
    highest
        Exact age at which an open group ends.

    Returns
    -------
    ScheduleFit

    Raises
    ------
    InputError
        If there are fewer age groups than parameters, labels are none or not contiguous, numbers
        are negative or missing, a table has no migrants, or migrants nobody at risk.
    UsageError
        If `kind` or `n_parameters` is none, or `population` or `weights` are of no use.

    Examples
    --------
    >>> rates = group_rates(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES)
    >>> fit = fit_schedules(rates, kind="rates")
    >>> fit.schedule.values.sel(parameter=["a1", "mu2"]).round(6).values.tolist()
    [0.02, 20.0]
    >>> bool(fit.quality["converged"])
    True
    """
    if n_parameters not in VARIANTS:
        allowed = ", ".join(map(str, VARIANTS))
        raise UsageError(f"(n_parameters) | found {n_parameters!r}; allowed: {allowed}")
    if weights is not None and kind != "rates":
        raise UsageError(f"(weights) | found them with {kind}; allowed: with rates")
    checked = check_age_table(table, population, kind=kind, least=n_parameters, highest=highest)
    weight = None if weights is None else _checked_weights(weights, checked.value)
    search = Search(checked.groups, n_parameters)
    return _collect(checked, weight, kind, search)


def _checked_weights(weights: xr.DataArray, value: xr.DataArray) -> xr.DataArray:
    faults = Faults("weights")
    refuse_dims(faults, "weights", weights, (), [str(d) for d in value.dims])
    faults.raise_if_any()
    held = weights.astype(np.float64)
    if "age" in held.indexes:
        held = held.assign_coords(age=[str(a) for a in held["age"].to_numpy()])
    held = align(faults, "weights", held, value)
    check_values(faults, "weights", held, above=True, what="a number above 0")
    faults.raise_if_any()
    return held.broadcast_like(value).transpose(*value.dims)


def _collect(
    checked: AgeTable, weight: xr.DataArray | None, kind: Kind, search: Search
) -> ScheduleFit:
    """Fit every row, and lay the results out as the table."""
    value, names = checked.value, list(search.names)
    n = value.sizes["age"]
    rows = value.to_numpy().reshape(-1, n)
    people = None if checked.population is None else checked.population.to_numpy().reshape(-1, n)
    weighed = None if weight is None else weight.to_numpy().reshape(-1, n)
    solutions, fitted = [], []
    for k, row in enumerate(rows):
        if kind == "rates":
            profile = Profile(row, None, None if weighed is None else weighed[k])
        elif people is not None:
            profile = Profile(row, people[k])
        else:
            # As if all migrants were at risk at each age: the level then comes to 1.
            profile = Profile(row, row.sum() * checked.groups.width)
        solutions.append(search.solve(profile))
        rate = search.rates(solutions[-1].theta)[0]
        fitted.append(rate if profile.exposure is None else rate * profile.exposure)
    shape = value.shape[:-1]
    theta = np.array([s.theta for s in solutions]).reshape(*shape, len(names))
    one = value.isel(age=0, drop=True)
    coords = {key: c for key, c in one.coords.items() if "age" not in c.dims}
    labelled = xr.DataArray(theta, coords | {"parameter": names}, (*one.dims, "parameter"))
    return ScheduleFit(
        schedule=Schedule(labelled),
        fitted=value.copy(data=np.array(fitted).reshape(value.shape)).rename("fitted"),
        quality=_quality(solutions, rows, fitted, weighed, kind, labelled),
    )


def _quality(
    solutions: list[Solution],
    rows: NDArray[np.float64],
    fitted: list[NDArray[np.float64]],
    weights: NDArray[np.float64] | None,
    kind: Kind,
    like: xr.DataArray,
) -> xr.Dataset:
    p, n = like.sizes["parameter"], rows.shape[1]
    deviance = np.array([s.criterion for s in solutions])
    if kind == "rates":
        w = np.ones_like(rows) if weights is None else weights
        deviance = np.sum(w * (rows - np.array(fitted)) ** 2, axis=1)
        with np.errstate(divide="ignore"):
            bic = n * np.log(deviance / n) + p * np.log(n)
    else:
        bic = deviance + p * np.log(n)
    if kind == "shares":
        bic = np.full_like(deviance, np.nan)
    one = like.isel(parameter=0, drop=True)
    found = {
        "deviance": deviance,
        "bic": bic,
        "converged": np.array([s.converged for s in solutions]),
        "n_starts": np.array([s.n_starts for s in solutions]),
        "n_agreeing": np.array([s.n_agreeing for s in solutions]),
    }
    quality = {name: one.copy(data=v.reshape(one.shape)) for name, v in found.items()}
    bounds = np.array([s.at_bound for s in solutions]).reshape(like.shape)
    return xr.Dataset(quality | {"at_bound": like.copy(data=bounds)})


def compare_variants(
    table: xr.DataArray,
    population: xr.DataArray | None = None,
    *,
    kind: Kind = "counts",
    variants: Iterable[int] = tuple(VARIANTS),
    highest: float = HIGHEST_AGE,
) -> xr.Dataset:
    """Fit schedules of several kinds, and say what each parameter more is worth.

    Nothing is chosen: the lower ``bic`` (Schwarz 1978), deviance plus log of the number of groups
    for each parameter, is the better; a difference below 2 says little.

    Parameters
    ----------
    table, population, kind, highest
        As for `fit_schedules`; `kind` is ``counts`` or ``rates``.
    variants
        Numbers of parameters.

    Returns
    -------
    xarray.Dataset
        ``quality`` of `ScheduleFit` but for the bounds, by ``n_parameters`` and the other dims.

    Raises
    ------
    InputError, UsageError
        As `fit_schedules`; and for shares, which have no number of people to judge by.

    Examples
    --------
    >>> persons = 1e6 * group_rates(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES)
    >>> found = compare_variants(persons.round(), variants=[7, 9])
    >>> int(found["bic"].idxmin("n_parameters"))
    7
    """
    if kind == "shares":
        raise UsageError("(kind) | found shares; allowed: counts, rates")
    tried = list(variants)
    fits = [
        fit_schedules(table, population, kind=kind, n_parameters=n, highest=highest).quality
        for n in tried
    ]
    parts = [quality.drop_vars(["at_bound", "parameter"]) for quality in fits]
    return xr.concat(parts, xr.Variable("n_parameters", tried))
