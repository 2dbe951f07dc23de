"""Model migration schedules: parameters by name, rates by age, and what a curve looks like."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._age_curves import PARAMETERS, VARIANTS, curve, group_nodes, variant_of
from flowcast.accounting._age_groups import HIGHEST_AGE, age_groups
from flowcast.accounting._index_age import schedule_indices
from flowcast.accounting._named import align, check_values, refuse_dims
from flowcast.errors import Faults, nearest

__all__ = [
    "STANDARD_SCHEDULE",
    "Schedule",
    "age_rates",
    "age_shares",
    "group_rates",
    "schedule_features",
]

STANDARD_SCHEDULE: Final[Mapping[str, float]] = {
    "a1": 0.02,
    "alpha1": 0.1,
    "a2": 0.06,
    "alpha2": 0.1,
    "mu2": 20.0,
    "lambda2": 0.4,
    "c": 0.003,
}
"""The fundamental parameters of Rogers & Castro (1981)."""
ABOVE_ZERO: Final = frozenset({"alpha1", "alpha2", "lambda2", "alpha3", "lambda3"})
ANY_SIGN: Final = frozenset({"mu2", "mu3", "lambda4"})
ROWS: Final = 4096
"""Schedules that are looked at together, which bounds the memory that draws take."""
STEP: Final = 0.1
PEAK_AGES: Final = (10.0, 60.0)
RETIREMENT_AGES: Final = (50.0, 90.0)


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Parameters of one model migration schedule, or of many of one kind.

    ``m(x) = a1 exp(-alpha1 x) + a2 exp(-alpha2 (x - mu2) - exp(-lambda2 (x - mu2))) + c``:
    children, the labour force, and a constant, 7 parameters. A retirement curve ``a3 exp(-alpha3 (x
    - mu3) - exp(-lambda3 (x - mu3)))`` makes 11 of them, an upward slope of old age ``a4
    exp(lambda4 x)`` 9, both 13 (Rogers & Castro 1981, Model migration schedules, IIASA Research
    Report RR-81-30; Rogers & Little 1994, doi 10.1080/08898489409525372).

    Attributes
    ----------
    values
        Dims (..., parameter), labelled by name. Heights a and c are rates per person and year, or,
        where nobody at risk was known, shares of all migrants per year of age; the other parameters
        are per year, mu2 and mu3 exact ages.

    Raises
    ------
    InputError
        If the parameters are those of no schedule, are not finite, or a height is below 0, or an
        alpha or lambda (but lambda4) not above it.

    Examples
    --------
    >>> Schedule.of(**STANDARD_SCHEDULE).n_parameters
    7
    """

    values: xr.DataArray

    def __post_init__(self) -> None:
        faults = Faults("schedule")
        given = [str(name) for name in self.values.indexes.get("parameter", ())]
        variant = variant_of(given)
        if variant is None:
            _refuse_names(faults, given)
        faults.raise_if_any()
        for name in given:
            one = self.values.sel(parameter=name, drop=True)
            if name in ANY_SIGN:
                check_values(faults, name, one, minimum=-np.inf, what="a number, finite")
            else:
                above = name in ABOVE_ZERO
                what = "a number above 0" if above else "a number, 0 or more"
                check_values(faults, name, one, above=above, what=what)
        faults.raise_if_any()
        ordered = self.values.astype(np.float64).transpose(..., "parameter")
        ordered = ordered.sel(parameter=list(VARIANTS[variant or 7]))
        object.__setattr__(self, "values", ordered.rename("schedule"))

    @classmethod
    def of(cls, **parameters: float | xr.DataArray) -> "Schedule":
        """Return a schedule from parameters by name; arrays (draws, places) broadcast."""
        given = {name: xr.DataArray(value) for name, value in parameters.items()}
        if not given:
            return cls(xr.DataArray([], dims="parameter"))
        parts = xr.broadcast(*(a.reset_coords(drop=True) for a in given.values()))
        return cls(xr.concat(parts, xr.Variable("parameter", list(given))))

    @property
    def n_parameters(self) -> int:
        """7, 9, 11 or 13."""
        return self.values.sizes["parameter"]

    def to_dataset(self) -> xr.Dataset:
        """Return the parameters as variables."""
        return self.values.to_dataset("parameter")

    def select(self, **labels: Any) -> "Schedule":  # noqa: ANN401  # as xarray's
        """Return the schedules at some labels, as `xarray.DataArray.sel` does."""
        return Schedule(self.values.sel(labels))


def _refuse_names(faults: Faults, given: list[str]) -> None:
    unknown = [name for name in given if name not in PARAMETERS]
    told = ", ".join(given) or "none"
    allowed = "; ".join(f"{n}: {', '.join(names)}" for n, names in VARIANTS.items())
    hint = nearest(unknown[0], [n for n in PARAMETERS if n not in given]) if unknown else None
    faults.add(f"parameters {told}", f"those of one schedule, {allowed}", hint=hint)


def _evaluate(
    schedule: Schedule, function: Callable[[dict[str, NDArray[np.float64]]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return what a function makes of the parameters, flattened and a block of rows at a time."""
    values = schedule.values.to_numpy()
    flat = values.reshape(-1, values.shape[-1])
    names = [str(name) for name in schedule.values["parameter"].to_numpy()]
    blocks = [
        function(dict(zip(names, flat[k : k + ROWS].T, strict=True)))
        for k in range(0, max(len(flat), 1), ROWS)
    ]
    return np.concatenate(blocks).reshape(*values.shape[:-1], -1)


def _with_age(schedule: Schedule, values: NDArray[np.float64], ages: list[Any]) -> xr.DataArray:
    like = schedule.values
    coords = {n: c for n, c in like.coords.items() if "parameter" not in c.dims}
    return xr.DataArray(values, coords | {"age": ages}, (*like.dims[:-1], "age"), name="intensity")


def age_rates(schedule: Schedule, ages: Iterable[float]) -> xr.DataArray:
    """Return a schedule at exact ages.

    Parameters
    ----------
    schedule
        One schedule or many.
    ages
        Exact ages, 0 or more.

    Returns
    -------
    xarray.DataArray
        Dims (..., age), the ages as numbers; as `age_profile` takes them.

    Raises
    ------
    InputError
        If an age is below 0 or not finite.

    Examples
    --------
    >>> rates = age_rates(Schedule.of(**STANDARD_SCHEDULE), [0, 23])
    >>> rates.round(4).values.tolist()
    [0.023, 0.0379]
    """
    faults, x = Faults("ages"), np.asarray(list(ages), dtype=np.float64)
    check_values(faults, "ages", xr.DataArray(x, dims="age"), what="exact ages, 0 or more")
    faults.raise_if_any()
    return _with_age(schedule, _evaluate(schedule, lambda p: curve(p, x)), x.tolist())


def group_rates(
    schedule: Schedule, ages: Iterable[object], *, highest: float = HIGHEST_AGE
) -> xr.DataArray:
    """Return the average of a schedule over age groups: its integral, divided by their width.

    Parameters
    ----------
    schedule
        One schedule or many.
    ages
        Labels of contiguous groups: ``"0"``, ``"0-4"``, ``"85+"``; a single year is the year of age
        after that birthday.
    highest
        Exact age at which an open group ends.

    Returns
    -------
    xarray.DataArray
        Dims (..., age), from young to old; to 1e-9 of the peak if lambdas are 2 or less.

    Raises
    ------
    InputError
        If a label is none, or groups overlap or leave ages out.

    Examples
    --------
    >>> rates = group_rates(Schedule.of(**STANDARD_SCHEDULE), ["0-4", "5-9", "10+"])
    >>> rates.round(4).values.tolist()
    [0.0187, 0.0125, 0.0099]
    """
    groups = age_groups(ages, highest=highest)
    x, weight = group_nodes(groups)
    values = _evaluate(schedule, lambda p: curve(p, x) @ weight.T)
    return _with_age(schedule, values, list(groups.labels))


def age_shares(
    schedule: Schedule,
    ages: Iterable[object],
    population: xr.DataArray | None = None,
    *,
    highest: float = HIGHEST_AGE,
) -> xr.DataArray:
    """Return what share of migrants is in each age group.

    A schedule of rates says how likely people move, and needs `population`: a share is the rate of
    the group times those at risk. A schedule that was fitted to migrants alone is of shares itself.

    Parameters
    ----------
    schedule
        One schedule or many.
    ages
        Labels of groups that hold all ages.
    population
        Persons at risk by ``age`` (the same groups), and any other dims.
    highest
        Exact age at which an open group ends.

    Returns
    -------
    xarray.DataArray
        Dims (..., age), adding up to 1, from young to old.

    Raises
    ------
    InputError
        If the groups leave ages out, `population` does not fit or is negative, or nobody moves.

    Examples
    --------
    >>> shares = age_shares(Schedule.of(**STANDARD_SCHEDULE), ["0-19", "20-39", "40+"])
    >>> shares.round(3).values.tolist()
    [0.259, 0.488, 0.254]
    """
    groups = age_groups(ages, highest=highest, whole=True)
    rates = group_rates(schedule, groups.labels, highest=highest)
    if population is None:
        parts = rates * xr.DataArray(groups.width, {"age": rates["age"]})
    else:
        faults = Faults("population")
        refuse_dims(faults, "population", population, ["age"], [str(d) for d in population.dims])
        faults.raise_if_any()
        people = population.assign_coords(age=[str(a) for a in population["age"].to_numpy()])
        people = align(faults, "population", people, rates)
        check_values(faults, "population", people, what="persons, 0 or more")
        faults.raise_if_any()
        parts = rates * people.astype(np.float64).reset_coords(drop=True)
    total = parts.sum("age")
    faults = Faults("shares")
    check_values(faults, "total", total, above=True, what="migrants in some age group")
    faults.raise_if_any()
    return (parts / total).transpose(..., "age").rename("share")


def schedule_features(schedule: Schedule, *, highest: float = HIGHEST_AGE) -> xr.Dataset:
    """Return what a schedule's curve looks like, and the indices of its parameters.

    Beside everything of `schedule_indices` (Rogers & Castro 1981, IIASA Research Report RR-81-30;
    NaN where a curve that an index is of has height 0):

    - ``gross_migraproduction_rate``: the integral of the curve from birth to `highest`;
    - ``mean_age`` of migrants in a population with as many people at each age, and
      ``share_0_14``, ``share_15_64``, ``share_65_plus`` of them, in per cent;
    - ``low_point`` and ``high_peak``: the ages of the lowest rate before the peak and of the
      highest between 10 and 60; ``labour_force_shift``, the years between them; ``jump``, the rise;
    - ``parental_shift``: years from a child to an adult past the peak who is as likely to move, on
      average over ages from birth to the low point where there is such an adult;
    - ``retirement_peak``: the age of the highest rate between 50 and 90 at which the curve of a
      schedule with a retirement curve turns down; NaN where it does not.

    Ages are found to a tenth of a year.

    Parameters
    ----------
    schedule
        One schedule or many.
    highest
        Exact age at which life ends.

    Returns
    -------
    xarray.Dataset
        With the dims of the schedules.

    Examples
    --------
    >>> found = schedule_features(Schedule.of(**STANDARD_SCHEDULE))
    >>> round(float(found["high_peak"]), 1), round(float(found["labour_force_shift"]), 1)
    (23.3, 7.9)
    """
    x = np.round(np.arange(0.0, highest + STEP / 2, STEP), 10)
    groups = age_groups(["0-14", "15-64", "65+"], highest=highest)
    nodes, weight = group_nodes(groups)
    by_group = weight * groups.width[:, None]

    def features(p: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        part = curve(p, nodes)
        thirds = part @ by_group.T
        whole = thirds.sum(axis=1)
        mean_age = (part * nodes) @ by_group.sum(axis=0) / whole
        shares = 100.0 * thirds / whole[:, None]
        shape = np.array([_shape(row, x, retirement="a3" in p) for row in curve(p, x)])
        return np.column_stack([whole, mean_age, shares, shape])

    names = (
        "gross_migraproduction_rate",
        "mean_age",
        "share_0_14",
        "share_15_64",
        "share_65_plus",
        "low_point",
        "high_peak",
        "labour_force_shift",
        "jump",
        "parental_shift",
        "retirement_peak",
    )
    values = _evaluate(schedule, features)
    one = schedule.values.isel(parameter=0, drop=True)
    own = {name: one.copy(data=values[..., k]) for k, name in enumerate(names)}
    if "a3" not in schedule.to_dataset():
        own.pop("retirement_peak")
    return xr.merge([xr.Dataset(own), _indices(schedule.to_dataset())])


def _indices(parameters: xr.Dataset) -> xr.Dataset:
    """Return the indices of the parameters; NaN where one is of a curve of height 0."""
    heights = {name: parameters[name] for name in ("a1", "a2", "a3") if name in parameters}
    filled = {name: height.where(height > 0.0, 1.0) for name, height in heights.items()}
    found = schedule_indices(parameters.assign(filled))
    there = {name: height > 0.0 for name, height in heights.items()}
    return found.map(lambda index: index.where(_known(str(index.name), there)))


def _known(index: str, there: Mapping[str, xr.DataArray]) -> xr.DataArray:
    if index in ("child_dependency", "labour_dependency", "regularity"):
        return there["a1"] & there["a2"]
    return there["a2"] & there["a3"] if index.startswith("retirement") else there["a2"]


def _shape(
    m: NDArray[np.float64], x: NDArray[np.float64], *, retirement: bool
) -> tuple[float, ...]:
    """Return low point, high peak, shift, jump, parental shift and retirement peak of one curve."""
    inner = (x >= PEAK_AGES[0]) & (x <= PEAK_AGES[1])
    peak = int(np.flatnonzero(inner)[m[inner].argmax()])
    low = int(m[: peak + 1].argmin())
    # Past the peak the curve falls until it turns up again: there a rate belongs to one age.
    rising = np.flatnonzero(np.diff(m[peak:]) >= 0.0)
    turn = peak + (int(rising[0]) if len(rising) else len(m) - 1 - peak)
    adult = m[peak : turn + 1][::-1]
    child = m[: low + 1]
    alike = (child >= adult[0]) & (child <= adult[-1])
    parental = np.nan
    if alike.any():
        ages = np.interp(child[alike], adult, x[peak : turn + 1][::-1])
        parental = float(np.mean(ages - x[: low + 1][alike]))
    last = np.nan
    if retirement:
        inside = np.flatnonzero((x >= RETIREMENT_AGES[0]) & (x <= RETIREMENT_AGES[1]))
        tops = [k for k in inside if 0 < k < len(m) - 1 and m[k - 1] < m[k] >= m[k + 1]]
        last = float(x[max(tops, key=lambda k: m[k])]) if tops else np.nan
    return (
        float(x[low]),
        float(x[peak]),
        float(x[peak] - x[low]),
        float(m[peak] - m[low]),
        parental,
        last,
    )
