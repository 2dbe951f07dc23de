"""Projections to the IAMC format: a variable for the mean and one for each percentile."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._iamc_codes import (
    country_regions,
    grouping_regions,
    percentile_name,
    percentile_names,
)
from flowcast.errors import Fault, InputError, UsageError, nearest
from flowcast.iamc.libraries import load_pyam, no_alarm
from flowcast.places import members
from flowcast.vocabulary import DEFAULT_PROBS

if TYPE_CHECKING:
    from pyam import IamDataFrame

__all__ = ["to_iamc"]

Numbers = NDArray[np.float64]
PERSONS: Final = "million"
PER_YEAR: Final = "million/yr"
MILLION: Final = 1e6
ORDER: Final = ["model", "scenario", "region", "variable", "year"]
PARTIAL: Final = "Incomplete regions"
"""Column of `meta`: regions, and how many of their countries the projection has."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Places and groups of them.

    Attributes
    ----------
    names
        Regions of the places, then of the groups.
    codes
        Of the places, alpha-3.
    member
        Which place is in which group; shape (place, group).
    """

    names: list[str]
    codes: list[str]
    member: NDArray[np.bool_]

    def with_sums(self, values: Numbers) -> Numbers:
        """Return values by place with those of the groups behind; shape (draw, region)."""
        return np.concatenate([values, values @ self.member], axis=1)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is told of draws: their mean, and percentiles."""

    percents: tuple[float, ...]

    def frame(
        self, variable: str, unit: str, year: int, regions: Sequence[str], draws: Numbers
    ) -> pd.DataFrame:
        """Return a row for each region and statistic; `draws` has shape (draw, region)."""
        told = {variable: draws.mean(axis=0)}
        values = np.percentile(draws, self.percents, axis=0)
        for percent, one in zip(self.percents, values, strict=True):
            told[f"{variable}|{percentile_name(percent)}"] = one
        parts = [
            pd.DataFrame({"region": regions, "variable": name, "value": value})
            for name, value in told.items()
        ]
        return pd.concat(parts).assign(unit=unit, year=year).dropna(subset=["value"])


def to_iamc(
    projections: xr.Dataset | Iterable[xr.Dataset],
    *,
    probs: Sequence[float] = DEFAULT_PROBS,
    regions: Sequence[str] = (),
    flows: bool = True,
    model: str = "",
) -> "IamDataFrame":
    """Return projections as a table in IAMC format.

    A variable such as ``Migration|Immigration`` is the mean of the draws, and below it stand their
    median and the bounds of equal-tailed credible intervals: ``Migration|Immigration|5.0th
    Percentile``. Countries have the names that `nomenclature` has for them, and flows the
    directional regions ``France>Germany``. Draws are added up first and summarised afterwards.

    **Years.** Flows of year Y are those of the period that starts on 1 January of Y, divided by its
    years: million a year, as the unit says. People of year Y are those of 1 January of Y.

    Parameters
    ----------
    projections
        One for each scenario, with `scenario` (and `model`) among its attributes, and on its
        periods and dates `flows`, `immigration`, `emigration`, `births`, `deaths`, `population`,
        `native_born`, as far as it has them. Dims as in `flowcast.projection`; places alpha-3.
    probs
        Probabilities of the intervals, of which the code list must have the bounds.
    regions
        Ids of groupings to add: ``"world"``, ``"africa"``. Members are those of today; those that
        the projection lacks are left out of the sum, and `meta` says of which region. Moves between
        members are neither immigration nor emigration of the group, so that these need `flows`.
    flows
        Whether to give the flow of every corridor.
    model
        Name of the model; by default the attribute of the projection.

    Returns
    -------
    pyam.IamDataFrame
        Rows by model, scenario, region, variable, unit and year. `validate_iamc` passes it.

    Raises
    ------
    UsageError
        If a probability has no place in the code list, a projection lacks its name or has that of
        another, or a variable is not in persons.
    InputError
        With every place that has no region, and every grouping that there is not or that has no
        member in a projection.
    """
    pyam = load_pyam()
    statistics = Statistics(_percents(probs))
    given = [projections] if isinstance(projections, xr.Dataset) else list(projections)
    tables, notes = [], {}
    for data in given:
        name = _name(data, model)
        if name in notes or not all(name):
            raise UsageError(
                f"(projections) | found model {name[0]!r}, scenario {name[1]!r}"
                f"{' again' if name in notes else ''}; allowed: a name for each, none twice"
            )
        _require_persons(data)
        found, notes[name] = _regions(data, list(dict.fromkeys(regions)))
        parts = [*_people(data, found, statistics), *_moves(data, found, statistics, flows)]
        table = pd.concat(parts, ignore_index=True)
        tables.append(table.assign(model=name[0], scenario=name[1]))
    if not tables:
        raise UsageError("(projections) | found none; allowed: one or more")
    rows = pd.concat(tables, ignore_index=True).sort_values(ORDER, ignore_index=True)
    with no_alarm():
        made: IamDataFrame = pyam.IamDataFrame(rows)
        if any(notes.values()):
            made.set_meta(pd.Series([notes[n] for n in made.index], made.index), name=PARTIAL)
    return made


def _percents(probs: Sequence[float]) -> tuple[float, ...]:
    """Return the percentiles of the bounds, and the median; rising."""
    known = percentile_names()
    bounds = {p: (round(50 * (1 - p), 9), round(50 * (1 + p), 9)) for p in probs}
    wrong = [
        prob
        for prob, ends in bounds.items()
        # A name has one decimal: it must not stand for a bound that has more.
        if not (0 < prob < 1 and ends[0] == round(ends[0], 1))
        or not {percentile_name(end) for end in ends} <= {*known}
    ]
    if wrong:
        allowed = ", ".join(name.removesuffix("th Percentile") for name in known)
        raise UsageError(
            f"(probs) | found {', '.join(map(str, wrong))}; allowed: probabilities whose bounds "
            f"are both among the percentiles {allowed}"
        )
    return tuple(sorted({50.0, *(end for pair in bounds.values() for end in pair)}))


def _name(data: xr.Dataset, model: str) -> tuple[str, str]:
    return model or str(data.attrs.get("model", "")), str(data.attrs.get("scenario", ""))


def _require_persons(data: xr.Dataset) -> None:
    for name, variable in data.data_vars.items():
        unit = str(variable.attrs.get("units", ""))
        if not unit.startswith("persons"):
            raise UsageError(f"(projections, {name}) | found unit {unit!r}; allowed: persons")


def _regions(data: xr.Dataset, groups: Sequence[str]) -> tuple[Regions, str]:
    """Return the regions of a projection, and which groups lack members in words."""
    codes = [str(code) for code in data["place"].to_numpy()]
    names, known = country_regions(), grouping_regions()
    faults = [
        Fault(
            "projections", repr(code), "alpha-3 code of a country", hint=nearest(code, names) or ""
        )
        for code in codes
        if code not in names
    ]
    partial, member = [], np.zeros((len(codes), len(groups)), bool)
    for column, group in enumerate(groups):
        if group not in known:
            hint = nearest(group, known) or ""
            faults.append(Fault("regions", repr(group), "id of a grouping", hint=hint))
            continue
        inside = members(group)
        member[:, column] = np.isin(codes, inside)
        here = int(member[:, column].sum())
        if not here:
            faults.append(
                Fault("regions", repr(group), "a grouping with a member among the places")
            )
        if here < len(inside):
            partial.append(f"{known[group]} (has {here} of {len(inside)})")
    if faults:
        raise InputError(faults)
    listed = [names[code] for code in codes] + [known[group] for group in groups]
    return Regions(listed, codes, member), ", ".join(partial)


def _people(data: xr.Dataset, regions: Regions, told: Statistics) -> Iterator[pd.DataFrame]:
    """Yield the people at each date."""
    for position, date in enumerate(data["date"].to_numpy() if "date" in data.coords else ()):
        if "population" in data:
            people = _draws(data["population"].isel(date=position), "place") / MILLION
            whole = regions.with_sums(people)
            yield told.frame("Population", PERSONS, int(date), regions.names, whole)
        if "native_born" in data and "population" in data:
            apart = (data["population"] - data["native_born"]).isel(date=position)
            whole = regions.with_sums(_draws(apart, "place") / MILLION)
            yield told.frame("Population|Foreign-Born", PERSONS, int(date), regions.names, whole)


def _moves(
    data: xr.Dataset, regions: Regions, told: Statistics, corridors: bool
) -> Iterator[pd.DataFrame]:
    """Yield births, deaths and moves of each period, for one year of it."""
    starts, ends = data["period"].to_numpy(), data["period_end"].to_numpy()
    n = len(regions.codes)
    for position, (start, end) in enumerate(zip(starts, ends, strict=True)):
        scale, year = MILLION * float(end - start), int(start)
        now = data.isel(period=position)
        own = {
            name: _draws(now[name], "place") / scale
            for name in ("births", "deaths", "immigration", "emigration")
            if name in now
        }
        sums = {
            name.title(): regions.with_sums(own[name])
            for name in ("births", "deaths")
            if name in own
        }
        if "immigration" in own and "emigration" in own:
            sums["Migration|Net"] = regions.with_sums(own["immigration"] - own["emigration"])
        for variable, values in sums.items():
            yield told.frame(variable, PER_YEAR, year, regions.names, values)
        for name in (m for m in ("immigration", "emigration") if m in own):
            variable = f"Migration|{name.title()}"
            yield told.frame(variable, PER_YEAR, year, regions.names[:n], own[name])
        if "flows" in now:
            # Read once: a store would be asked again for every origin.
            yield from _flows(now["flows"].compute(), regions, told, year, scale, corridors)


def _flows(
    flows: xr.DataArray,
    regions: Regions,
    told: Statistics,
    year: int,
    scale: float,
    corridors: bool,
) -> Iterator[pd.DataFrame]:
    """Yield the flows of a period, and what they are for groups; one origin at a time."""
    place = {code: i for i, code in enumerate(regions.codes)}
    to = [place[str(code)] for code in flows["destination"].to_numpy()]
    inside_to = regions.member[to]
    shape = (flows.sizes["draw"], regions.member.shape[1])
    arriving, leaving, within = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for position, code in enumerate(flows["origin"].to_numpy()):
        one = _draws(flows.isel(origin=position), "destination") / scale
        origin = place[str(code)]
        if corridors:
            names = [f"{regions.names[origin]}>{regions.names[t]}" for t in to]
            other = np.array(to) != origin
            kept = [name for name, keep in zip(names, other, strict=True) if keep]
            yield told.frame("Migration|Flow", PER_YEAR, year, kept, one[:, other])
        moved = np.nan_to_num(one)  # there is no flow from a place to itself
        into = moved @ inside_to
        home = regions.member[origin]
        arriving += np.where(home, 0.0, into)
        within += np.where(home, into, 0.0)
        leaving += np.where(home, moved.sum(axis=1, keepdims=True) - into, 0.0)
    groups = regions.names[len(regions.codes) :]
    if groups:
        sums = {"Immigration": arriving, "Emigration": leaving, "Within Region": within}
        for name, values in sums.items():
            yield told.frame(f"Migration|{name}", PER_YEAR, year, groups, values)


def _draws(values: xr.DataArray, *dims: str) -> Numbers:
    """Return draws first, then `dims`."""
    return values.transpose("draw", *dims).to_numpy().astype(np.float64)
