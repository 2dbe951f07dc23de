"""Draws of stock tables, populations and vital events, one at a time, on plain arrays.

Each draw has a random stream of its own, so that it is the same whatever is drawn before it, beside
it or in how many threads. The arithmetic is written down in `docs/stock_uncertainty.md`.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowcast.accounting._margins import FloatArray
from flowcast.accounting.stock_errors import LogError, StockErrors, Zeros
from flowcast.errors import Fault, InputError

__all__ = ["Drawn", "StockModel", "build_model", "draw_one"]

STREAM: Final = 11
"""Sets these random numbers apart from others of the same seed."""
SMALLEST: Final = 1e-12
"""Share of a variance below which it is taken for none: what rounding leaves of a difference."""

type IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """Normal errors on the log scale of several columns, correlated over dates within each.

    Attributes
    ----------
    mean
        Shape (date, column).
    groups
        Columns that share a covariance, and its root, lower triangular, shape (date, date).
    """

    mean: FloatArray
    groups: tuple[tuple[IntArray, FloatArray], ...]

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Return one draw, shape (date, column)."""
        raw = rng.standard_normal(self.mean.shape)
        out = self.mean.copy()
        for columns, root in self.groups:
            out[:, columns] += root @ raw[:, columns]
        return out


@dataclass(frozen=True, slots=True, eq=False)
class StockModel:
    """Tables, and how far off they may be.

    Attributes
    ----------
    places
        Codes.
    native, population
        Persons, shape (date, residence).
    births, deaths
        Persons, shape (period, place).
    pair
        Pairs of birthplace and residence that hold foreign-born at some date, as positions in a
        flattened table, shape (cell,).
    people
        Foreign-born of these pairs, shape (date, cell).
    told
        The same with zeros replaced by the figure of the nearest date that has one.
    empty
        Pairs of different places that hold nobody at any date, as positions.
    coverage, birthplaces, population_error, births_error, deaths_error
        On residences, cells, residences, places and places.
    counting_sd
        Shape (date, cell).
    zeros, coherent
        As in `StockErrors`.
    """

    places: tuple[str, ...]
    native: FloatArray
    population: FloatArray
    births: FloatArray
    deaths: FloatArray
    pair: IntArray
    people: FloatArray
    told: FloatArray
    empty: IntArray
    coverage: Component
    birthplaces: Component
    population_error: Component
    births_error: Component
    deaths_error: Component
    counting_sd: FloatArray
    zeros: Zeros
    coherent: bool


class Drawn(NamedTuple):
    """One draw: stocks (date, birthplace, residence), births and deaths (period, place)."""

    stock: FloatArray
    births: FloatArray
    deaths: FloatArray


def build_model(
    places: Sequence[str],
    years: FloatArray,
    stock: FloatArray,
    births: FloatArray,
    deaths: FloatArray,
    shared_out: NDArray[np.bool_],
    errors: StockErrors,
) -> StockModel:
    """Lay tables and errors out for drawing.

    Parameters
    ----------
    places
        Codes.
    years
        Of the tables, with fractions, increasing, shape (date,).
    stock
        Persons, shape (date, birthplace, residence).
    births, deaths
        Persons, shape (period, place), where period k lies between dates k and k + 1.
    shared_out
        Pairs in which people are whom no table tells, shape (birthplace, residence).
    errors
        What is believed of them.
    """
    n_date, n = len(years), len(places)
    native = np.diagonal(stock, axis1=1, axis2=2).copy()
    flat = stock.reshape(n_date, n * n)
    apart = ~np.eye(n, dtype=bool).ravel()
    some = (flat > 0.0).any(axis=0) & apart
    pair = np.flatnonzero(some)
    people = flat[:, pair]
    residence = pair % n
    ratio = np.divide(errors.counting, people, out=np.zeros_like(people), where=people > 0.0)
    middle = (years[:-1] + years[1:]) / 2.0

    def of_places(component: str, at: FloatArray) -> Component:
        return _component(at, [_plain(errors.grade(place, component), at) for place in places])

    shared, own = zip(*(_foreign_born(errors, place, years) for place in places), strict=True)
    put = [_also(law, errors.shared_out, years) for law in own]
    guessed = shared_out.ravel()[pair]
    cells = [put[i] if guess else own[i] for i, guess in zip(residence, guessed, strict=True)]
    lived = stock.sum(axis=1).any(axis=0)
    return StockModel(
        places=tuple(places),
        native=native,
        population=stock.sum(axis=1),
        births=births,
        deaths=deaths,
        pair=pair,
        people=people,
        told=_nearest_figure(people, years),
        empty=np.flatnonzero(~some & apart & np.tile(lived, n)),
        coverage=_component(years, shared),
        birthplaces=_component(years, cells),
        population_error=of_places("population", years),
        births_error=of_places("births", middle),
        deaths_error=of_places("deaths", middle),
        counting_sd=np.sqrt(np.log1p(ratio)),
        zeros=errors.zeros,
        coherent=errors.coherent,
    )


class _Law(NamedTuple):
    """Bias and covariance of the errors of one column over dates; the key tells equal ones."""

    key: tuple[object, ...]
    bias: float
    covariance: Callable[[], FloatArray]


def _plain(error: LogError, years: FloatArray) -> _Law:
    return _Law((error,), error.bias, lambda: error.covariance(years))


def _also(law: _Law, error: LogError, years: FloatArray) -> _Law:
    """Return a law with another, independent error added."""

    def covariance() -> FloatArray:
        return law.covariance() + error.covariance(years)

    return _Law((*law.key, error), law.bias + error.bias, covariance)


def _foreign_born(errors: StockErrors, place: str, years: FloatArray) -> tuple[_Law, _Law]:
    """Return the laws of a residence's foreign-born: together, and of each birthplace."""
    laws = []
    for name in ("coverage", "birthplaces"):
        parts = [errors.grade(place, name)]
        if errors.definition_of(place) == "citizenship":
            parts.append(getattr(errors.citizenship, name))
        sources, sd = errors.vintage_of(place), float(getattr(errors.vintage, name))

        def covariance(
            parts: list[LogError] = parts, sources: tuple[float, ...] = sources, sd: float = sd
        ) -> FloatArray:
            total: FloatArray = sd**2 * away_from(np.array(sources), years)
            for part in parts:
                total += part.covariance(years)
            return total

        laws.append(_Law((*parts, sources), sum(part.bias for part in parts), covariance))
    return laws[0], laws[1]


def away_from(sources: FloatArray, years: FloatArray) -> FloatArray:
    """Return the covariance, per year, of figures at dates between and beyond their sources.

    Brownian bridges between neighbouring sources, random walks before the first and after the last;
    zero throughout if there are none.

    Examples
    --------
    >>> away_from(np.array([2000.0, 2010.0]), np.array([2005.0, 2010.0, 2012.0, 2013.0]))
    array([[2.5, 0. , 0. , 0. ],
           [0. , 0. , 0. , 0. ],
           [0. , 0. , 2. , 2. ],
           [0. , 0. , 2. , 3. ]])
    """
    out = np.zeros((len(years), len(years)))
    if not len(sources):
        return out
    ends = [-np.inf, *np.unique(sources), np.inf]
    for low, high in itertools.pairwise(ends):
        inside = np.flatnonzero((years > low) & (years < high))
        first = np.minimum(years[inside][:, None], years[inside])
        last = np.maximum(years[inside][:, None], years[inside])
        if not np.isfinite(low):
            part = high - last
        elif not np.isfinite(high):
            part = first - low
        else:
            part = (first - low) * (high - last) / (high - low)
        out[np.ix_(inside, inside)] = part
    return out


def _component(years: FloatArray, laws: Sequence[_Law]) -> Component:
    columns: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for k, law in enumerate(laws):
        columns[law.key].append(k)
    mean, groups = np.zeros((len(years), len(laws))), []
    for members in columns.values():
        law = laws[members[0]]
        covariance = law.covariance()
        # So that the mean of truth / table is what the bias says, whatever the sd.
        mean[:, members] = law.bias - np.diagonal(covariance)[:, None] / 2.0
        if covariance.any():
            groups.append((np.array(members, dtype=np.intp), _root(covariance)))
    return Component(mean, tuple(groups))


def _root(covariance: FloatArray) -> FloatArray:
    """Return the lower triangular root of a covariance that may be singular."""
    rest, root = covariance.copy(), np.zeros_like(covariance)
    least = SMALLEST * covariance.diagonal().max()
    for k in range(len(rest)):
        if rest[k, k] > least:
            root[k:, k] = rest[k:, k] / np.sqrt(rest[k, k])
            rest[k:, k:] -= np.outer(root[k:, k], root[k:, k])
    return root


def _nearest_figure(people: FloatArray, years: FloatArray) -> FloatArray:
    """Replace zeros by the figure of the nearest date that has one, the earlier of two."""
    apart = np.abs(years[:, None] - years)
    distance = np.where((people > 0.0)[None], apart[:, :, None], np.inf)
    nearest_date = distance.argmin(axis=1)
    return np.take_along_axis(people, nearest_date, axis=0)


def draw_one(model: StockModel, seed: int, index: int, attempt: int = 0) -> Drawn:
    """Return a draw.

    Parameters
    ----------
    model
        From `build_model`.
    seed, index, attempt
        Which draw; the same numbers always give the same one.

    Raises
    ------
    InputError
        If coherent errors leave a place without people.
    """
    entropy = np.random.SeedSequence([seed, STREAM, index, attempt])
    rng = np.random.Generator(np.random.PCG64(entropy))
    coverage = np.exp(model.coverage.draw(rng))
    own = model.birthplaces.draw(rng)
    own += model.counting_sd * (rng.standard_normal(own.shape) - model.counting_sd / 2.0)
    population = model.population * np.exp(model.population_error.draw(rng))
    births = model.births * np.exp(model.births_error.draw(rng))
    deaths = model.deaths * np.exp(model.deaths_error.draw(rng))
    n_date, n = population.shape
    people, at, found = _with_missing(model, rng)
    stock = np.zeros((n_date, n * n))
    stock[:, model.pair] = people * np.exp(own)
    stock[:, at] = found
    stock = stock.reshape(n_date, n, n)
    stock *= coverage[:, None, :]
    each = np.arange(n)
    stock[:, each, each] = model.native
    if model.coherent:
        more = np.cumsum(births - model.births - deaths + model.deaths, axis=0)
        population[1:] += more
        _require_some(population, model, index)
    # The errors are on the odds: foreign-born who were missed had been taken for native-born. Where
    # the table has no native-born, it has no population either.
    scale = np.ones_like(population)
    np.divide(population, stock.sum(axis=1), out=scale, where=model.native > 0.0)
    stock *= scale[:, None, :]
    return Drawn(stock, births, deaths)


def _with_missing(
    model: StockModel, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return people with some zeros filled, and pairs without any figure that get one."""
    if not model.zeros.missing:
        return model.people, model.empty[:0], np.zeros(0)
    missing = rng.random(model.people.shape[1]) < model.zeros.missing
    people = np.where(missing, model.told, model.people)
    at = model.empty[rng.random(len(model.empty)) < model.zeros.missing]
    found = model.zeros.median * np.exp(model.zeros.sd * rng.standard_normal(len(at)))
    return people, at, found


def _require_some(population: FloatArray, model: StockModel, index: int) -> None:
    gone = (population <= 0.0) & (model.population > 0.0)
    if gone.any():
        date, place = np.argwhere(gone)[0]
        found = f"{population[date, place]:.6g} residents at date {date + 1}"
        allowed = "smaller errors of births and deaths, or coherent: false"
        where = f"residents, draw {index}"
        raise InputError([Fault(where, found, allowed, column=model.places[place])])
