"""Where a projection starts, and how people are born and die in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.errors import Faults
from flowcast.vocabulary import RESIDENTS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["ProjectionStart", "make_start", "read_people"]

COLUMNS: Final = ("population", "births", "deaths")
MAX_RATE: Final = 0.2
"""Births or deaths a person and year: more is a mistake in units."""
MAX_NAMED: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class ProjectionStart:
    """People at the start, and rates of the years to come.

    Attributes
    ----------
    population
        Persons at the start of the first period, dims (place).
    birth_rate, death_rate
        Per person and year, dims (place, period).
    stock
        Persons by birthplace and place at the start, or None where birthplaces are not known. Adds
        up to `population`.
    length
        Years of a period.
    notes
        What a reader has to know.
    """

    population: "xr.DataArray"
    birth_rate: "xr.DataArray"
    death_rate: "xr.DataArray"
    stock: "xr.DataArray | None"
    length: int
    notes: tuple[str, ...] = ()

    @property
    def periods(self) -> tuple[int, ...]:
        """Years in which periods start."""
        return tuple(self.birth_rate["period"].to_numpy().tolist())

    @property
    def end(self) -> int:
        """Year in which the last period ends."""
        return self.periods[-1] + self.length


def read_people(path: Path | str) -> "xr.Dataset":
    """Read populations, births and deaths by place and year.

    Parameters
    ----------
    path
        Columns `place`, `year`, `population` (persons at the start of the year), and `births` and
        `deaths` (persons in the year), with a dictionary of units beside it, as for covariates.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    from flowcast.covariates import read_covariates

    data = read_covariates(Path(path), declared_places="any")
    faults = Faults(str(path))
    if "year" not in data.dims:
        faults.add("no column year", "place, year, population, births, deaths", row=1)
    if "population" not in data:
        faults.add("no such column", "persons at the start of the year", column="population", row=1)
    for name in (n for n in COLUMNS if n in data):
        if (data[name] < 0).any():
            faults.add("a negative number", "0 or more", column=name)
    faults.raise_if_any()
    return data


def make_start(
    people: "xr.Dataset",
    places: Sequence[str],
    start: int,
    end: int,
    *,
    length: int,
    stock: "xr.DataArray | None" = None,
) -> ProjectionStart:
    """Put together the start of a projection.

    Parameters
    ----------
    people
        As from `read_people`: `population`, and `births` and `deaths` if there are any, dims
        (place, year). Rates are those of each year; after the last year, and where a year has none,
        those of the last year before.
    places
        Codes.
    start, end
        First year, and the year by whose start the projection ends.
    length
        Years of a period.
    stock
        Persons, dims (birthplace, place), of these places at about the start: people of a place
        whose birthplace is not among them count as born there.

    Raises
    ------
    InputError
        If a place has no population at the start, rates are impossible, or stocks exceed people.

    Examples
    --------
    >>> import xarray as xr
    >>> two = {"place": ["A", "B"], "year": [2020]}
    >>> people = xr.Dataset({"population": (("place", "year"), [[1000.0], [500.0]]),
    ...                      "births": (("place", "year"), [[20.0], [5.0]])}, two)
    >>> begin = make_start(people, ["A", "B"], 2020, 2022, length=1)
    >>> begin.birth_rate.values.tolist(), begin.periods
    ([[0.02, 0.02], [0.01, 0.01]], (2020, 2021))
    """
    faults = Faults("people")
    periods = list(range(start, end - length + 1, length))
    if not periods:
        faults.add(f"{start} to {end}", f"{length} years or more", column="years")
    there = people.reindex(place=list(places))
    population, notes = _at_start(there, places, start, faults)
    faults.raise_if_any()
    rates = []
    for name in ("births", "deaths"):
        values, said = _rates(there, name, population, periods, length, faults)
        rates.append(_by_period(values, places, periods))
        notes += said
    made = None if stock is None else _stock(stock, places, population, faults)
    faults.raise_if_any()
    last = periods[-1] + length
    if last != end:
        notes.append(f"periods of {length} years end in {last}, not {end}")
    labelled = _by_place(population, places)
    return ProjectionStart(labelled, rates[0], rates[1], made, length, tuple(notes))


def _at_start(
    people: "xr.Dataset", places: Sequence[str], start: int, faults: Faults
) -> "tuple[NDArray[np.float64], list[str]]":
    """Return the population at the start, of the nearest year where the start has none."""
    years = people["year"].to_numpy()
    values = people["population"].transpose("place", "year").to_numpy()
    known = np.isfinite(values) & (values > 0)
    for place in [places[int(i)] for i in (~known.any(axis=1)).nonzero()[0]][:MAX_NAMED]:
        faults.add(f"no population of {place}", "persons, above 0", column="population")
    distance = np.where(known, np.abs(years - start), np.inf)
    at = distance.argmin(axis=1)
    rows = np.arange(len(places))
    late = [places[int(i)] for i in (distance[rows, at] > 0).nonzero()[0]]
    notes = []
    if late and not faults:
        some = ", ".join(late[:MAX_NAMED]) + (" and others" if len(late) > MAX_NAMED else "")
        notes.append(f"population at the start of {start} is that of the nearest year: {some}")
    return values[rows, at], notes


def _rates(
    people: "xr.Dataset",
    name: str,
    population: "NDArray[np.float64]",
    periods: list[int],
    length: int,
    faults: Faults,
) -> "tuple[NDArray[np.float64], list[str]]":
    """Return rates a person and year, (place, period), and what to say of them."""
    shape = (len(population), len(periods))
    if name not in people:
        return np.zeros(shape), [f"no {name} given: none are projected"]
    years = people["year"].to_numpy()
    events = people[name].transpose("place", "year").to_numpy()
    persons = people["population"].transpose("place", "year").to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        annual = events / np.where(persons > 0, persons, population[:, None])
    out = np.empty(shape)
    held = 0
    for i in range(len(population)):
        own = np.isfinite(annual[i]).nonzero()[0]
        if not len(own):
            faults.add(f"none of {people['place'].values[i]}", "one year at least", column=name)
            continue
        wanted = np.array(periods)[:, None] + np.arange(length)
        at = np.maximum(np.searchsorted(years[own], wanted, side="right") - 1, 0)
        held = max(held, int((wanted > years[own][-1]).sum()))
        out[i] = annual[i][own[at]].mean(axis=1)
        if out[i].max() > MAX_RATE:
            found = f"{out[i].max():.3g} a person and year in {people['place'].values[i]}"
            faults.add(found, f"up to {MAX_RATE}", column=name)
    notes = [f"rates of {name} held at those of the last year known"] if held else []
    return out, notes


def _stock(
    stock: "xr.DataArray", places: Sequence[str], population: "NDArray[np.float64]", faults: Faults
) -> "xr.DataArray":
    """Return stocks of these places that add up to populations: the rest are natives."""
    both = {"birthplace": list(places), "place": list(places)}
    values = stock.reindex(both).transpose("birthplace", "place").fillna(0.0).to_numpy().copy()
    np.fill_diagonal(values, 0.0)
    foreign = values.sum(axis=0)
    for i in (foreign >= population).nonzero()[0][:MAX_NAMED]:
        found = f"{foreign[i]:.0f} born elsewhere among {population[i]:.0f} people of {places[i]}"
        faults.add(found, "fewer than live there", column="stock")
    np.fill_diagonal(values, population - foreign)
    import xarray as xr

    return xr.DataArray(values, both, ("birthplace", "place"), "stock", {"units": RESIDENTS})


def _by_place(values: "NDArray[np.float64]", places: Sequence[str]) -> "xr.DataArray":
    import xarray as xr

    return xr.DataArray(values, {"place": list(places)}, ("place",), attrs={"units": RESIDENTS})


def _by_period(
    values: "NDArray[np.float64]", places: Sequence[str], periods: list[int]
) -> "xr.DataArray":
    import xarray as xr

    coords = {"place": list(places), "period": periods}
    unit = {"units": "per person and year"}
    return xr.DataArray(values, coords, ("place", "period"), attrs=unit)
