"""Net migration and what belongs to it, by place and period: margins that flows are held to.

Births less deaths plus net migration is the change of a population. Whoever publishes them, as the
United Nations do, does not know them exactly: every figure has an error, drawn here so that the
identity holds in each draw.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._sheet import Mask, Sheet
from flowcast._tabular import RawTable, raw_from_frame, read_raw
from flowcast.errors import Faults, nearest
from flowcast.vocabulary import PERSONS

__all__ = [
    "QUANTITIES",
    "PopulationMargins",
    "draw_margins",
    "match_periods",
    "population_margins",
    "read_population_margins",
]

FloatArray = NDArray[np.float64]

FLOWS_OF_PEOPLE: Final = ("births", "deaths", "immigration", "emigration")
"""Quantities that cannot be negative."""
QUANTITIES: Final = (*FLOWS_OF_PEOPLE, "change", "net")
RELATIVE_ERRORS: Final[Mapping[str, float]] = {
    "births": 0.01, "deaths": 0.02, "immigration": 0.1, "emigration": 0.2, "net": 0.1,
}  # fmt: skip
"""Standard deviation over size where a file does not say, our own judgement."""
UNSEEN: Final = 0.01
"""What is added to the default error of net migration, as a share of births and deaths: a balance
near zero is not known exactly."""
_PERIOD: Final = ("period_start", "period_end")
_ROUNDING: Final = (10.0, 1e-3)
"""How far published figures may be off the identity: persons, and a share of births and deaths."""


@dataclass(frozen=True, slots=True, eq=False)
class PopulationMargins:
    """Births, deaths, net migration and change by place and period, with their errors.

    Made by `population_margins` or `read_population_margins`.

    Attributes
    ----------
    values
        Persons per period, (place, period); NaN where a quantity is not given. `net` is there
        wherever it is given or follows from the others, and `change` wherever births and deaths
        are.
    errors
        Standard deviations of the same, (place, period). 0 is exact. Where `change` has one it is
        drawn and net migration follows; otherwise it is NaN: net migration is drawn, and change
        follows.
    bounds
        First day of each period, and first day after it, datetime64, (period, 2).
    name
        File, or what messages call it.
    """

    values: xr.Dataset
    errors: xr.Dataset
    bounds: NDArray[np.datetime64]
    name: str

    @property
    def places(self) -> tuple[str, ...]:
        """Labels of the places."""
        return tuple(self.values["place"].to_numpy().tolist())

    def share_of_immigration(self) -> FloatArray:
        """Return what part of the variance of net migration is that of immigration.

        (place, period), and NaN but where net migration follows from immigration and emigration.
        """
        came, left = (self.errors[name].to_numpy() ** 2 for name in ("immigration", "emigration"))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(came + left == 0.0, 0.5, came / (came + left))

    def variance_of_net(self) -> FloatArray:
        """Return the variance of net migration with all that it follows from, (place, period)."""
        square = {name: self.errors[name].to_numpy() ** 2 for name in QUANTITIES}
        derived = square["births"] + square["deaths"] + square["change"]
        return np.where(np.isnan(square["change"]), square["net"], derived)


def read_population_margins(path: str | os.PathLike[str]) -> PopulationMargins:
    r"""Read margins from a tidy file.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx`` file; columns as for
        `population_margins`.

    Returns
    -------
    PopulationMargins

    Raises
    ------
    InputError
        With every fault of the file.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "margins.csv"
    >>> _ = file.write_text("place,year,births,deaths,change\nNA,2020,80,60,25\n")
    >>> float(read_population_margins(file).values["net"].item())
    5.0
    """
    faults = Faults(os.fspath(path))
    return _build(read_raw(Path(path), faults), faults)


def population_margins(frame: pd.DataFrame, *, name: str = "margins") -> PopulationMargins:
    """Check margins in a data frame; its first row counts as row 2.

    Parameters
    ----------
    frame
        One row a place and period: `place` (or `country`); `year`, or `period_start` and
        `period_end`; any of `births`, `deaths`, `change`, `net`, `immigration` and `emigration`, in
        persons; and of each `<name>_sd` in persons or `<name>_cv` relative to the figure. A row
        needs net migration, or what it follows from (births, deaths and change), or a total of
        immigration or emigration; of net migration, immigration and emigration no more than two.
        An error that is not given is `RELATIVE_ERRORS` times the figure; for net migration with
        births and deaths, a hundredth of these is added. 0 is exact.
    name
        What messages call it.

    Returns
    -------
    PopulationMargins

    Raises
    ------
    InputError
        With every fault.

    Examples
    --------
    >>> row = {"place": "AT", "year": 2020, "births": 80, "deaths": 60, "net": 5, "net_sd": 3}
    >>> margins = population_margins(pd.DataFrame([row]))
    >>> float(margins.values["change"].item()), float(margins.errors["net"].item())
    (25.0, 3.0)
    """
    faults = Faults(name)
    return _build(raw_from_frame(frame, faults, sha256=""), faults)


def _build(raw: RawTable, faults: Faults) -> PopulationMargins:
    sheet = Sheet(raw, faults)
    place = next((c for c in ("place", "country") if sheet.has(c)), "place")
    _check_columns(sheet, place)
    faults.raise_if_any()
    sheet.required(place, "a place")
    start, end = _periods(sheet)
    values = {name: _numbers(sheet, name) for name in QUANTITIES}
    errors = {name: _errors(sheet, name, values[name]) for name in QUANTITIES}
    _check_rows(sheet, values, errors)
    _check_repeated(sheet, place, start, end)
    faults.raise_if_any()
    _complete(values, errors)
    labels = sheet.cells(place).astype("str")
    return _lay_out(labels, start, end, values, errors, faults.where)


def _check_columns(sheet: Sheet, place: str) -> None:
    known = [place, "year", *_PERIOD]
    known += [f"{name}{end}" for name in QUANTITIES for end in ("", "_sd", "_cv")]
    for column in (str(c) for c in sheet.raw.frame.columns if c not in known):
        sheet.faults.add(
            f"unknown column {column!r}", "a column of margins", row=1,
            hint=nearest(column, known),
        )  # fmt: skip
    if not sheet.has(place):
        sheet.faults.add("no such column", "this column", row=1, column=place)
    if sheet.has("year") == sheet.has(*_PERIOD):
        sheet.faults.add("years and periods, or neither", "year, or both dates", row=1)


def _periods(sheet: Sheet) -> tuple[pd.Series, pd.Series]:
    """Return first day and day after the last of each row."""
    if sheet.has("year"):
        sheet.required("year", "a calendar year")
        years = pd.Series(sheet.numbers("year", "a calendar year")).astype("Int64")
        return tuple(  # type: ignore[return-value]  # two of them
            pd.to_datetime((years + k).astype("str") + "-01-01", errors="coerce") for k in (0, 1)
        )
    for column in _PERIOD:
        sheet.required(column, "an ISO date, YYYY-MM-DD")
    start, end = (sheet.dates(column) for column in _PERIOD)
    backwards = (end <= start).to_numpy() & sheet.clean(*_PERIOD)
    sheet.refuse(
        backwards, "period_end", lambda i: f"{end[i]:%Y-%m-%d}, not after the start", "a later day"
    )
    return start, end


def _numbers(sheet: Sheet, column: str) -> FloatArray:
    values = sheet.numbers(column, "persons")
    if column in FLOWS_OF_PEOPLE:
        every: Mask = np.ones(sheet.n, dtype=bool)
        sheet.limit(column, values, values >= 0.0, "persons, 0 or more", given=every)
    return values


def _errors(sheet: Sheet, name: str, values: FloatArray) -> FloatArray:
    """Return the standard deviations that are given; NaN where none is."""
    every: Mask = np.ones(sheet.n, dtype=bool)
    given = {}
    for end, allowed in (("_sd", "persons, 0 or more"), ("_cv", "a share, 0 or more")):
        column = f"{name}{end}"
        given[end] = sheet.numbers(column, allowed)
        sheet.limit(column, given[end], given[end] >= 0.0, allowed, given=every)
    both = ~np.isnan(given["_sd"]) & ~np.isnan(given["_cv"])
    sheet.refuse(both, f"{name}_cv", lambda _: f"both {name}_sd and {name}_cv", "one of the two")
    return np.where(np.isnan(given["_sd"]), given["_cv"] * np.abs(values), given["_sd"])


def _check_rows(sheet: Sheet, values: dict[str, FloatArray], errors: dict[str, FloatArray]) -> None:
    """Refuse rows that say too little, too much, or what cannot be."""
    given = {name: ~np.isnan(array) for name, array in values.items()}
    alone = given["births"] != given["deaths"]
    sheet.refuse(alone, "births", lambda _: "births or deaths alone", "both, or neither")
    follows = given["births"] & given["deaths"] & given["change"]
    sheet.refuse(
        given["change"] & ~follows & ~alone, "change", lambda _: "change without births and deaths",
        "both, so that net migration follows",
    )  # fmt: skip
    net = given["net"] | follows
    counted = net.astype(int) + given["immigration"] + given["emigration"]
    sheet.refuse(
        (counted == 0) & ~alone & ~given["change"], "net",
        lambda _: "a row without a margin of migration",
        "net, or births, deaths and change, or immigration or emigration",
    )  # fmt: skip
    sheet.refuse(
        counted == 3, "net", lambda _: "net migration, immigration and emigration",
        "two of them: the third follows",
    )  # fmt: skip
    sheet.refuse(
        ~np.isnan(errors["net"]) & ~np.isnan(errors["change"]), "change_sd",
        lambda _: "an error of change beside one of net migration",
        "one of them: the other figure follows",
    )  # fmt: skip
    off = values["births"] - values["deaths"] + values["net"] - values["change"]
    size = values["births"] + values["deaths"]
    sheet.refuse(
        follows & given["net"] & (np.abs(off) > _ROUNDING[0] + _ROUNDING[1] * size), "change",
        lambda i: f"births - deaths + net that is {off[i]:.10g} more",
        "births - deaths + net, up to rounding",
    )  # fmt: skip


def _check_repeated(sheet: Sheet, place: str, start: pd.Series, end: pd.Series) -> None:
    keys = pd.DataFrame({"place": sheet.cells(place).astype("str"), "start": start, "end": end})
    again = keys.duplicated().to_numpy() & keys.notna().all(axis=1).to_numpy()
    sheet.refuse(again, place, lambda i: f"{keys['place'][i]} again", "one row a place and period")


def _complete(values: dict[str, FloatArray], errors: dict[str, FloatArray]) -> None:
    """Fill in what follows from the rest, and errors that were not given."""
    natural = values["births"] - values["deaths"]
    net = np.where(np.isnan(values["net"]), values["change"] - natural, values["net"])
    totals = values["immigration"] - values["emigration"]
    net = np.where(np.isnan(totals), net, totals)
    values["net"], values["change"] = net, natural + net
    for name, share in RELATIVE_ERRORS.items():
        usual = share * np.abs(values[name])
        if name == "net":
            events = np.nan_to_num(values["births"]) + np.nan_to_num(values["deaths"])
            usual = usual + UNSEEN * events
            both = np.hypot(errors["immigration"], errors["emigration"])
            usual = np.where(np.isnan(totals), usual, both)
        errors[name] = np.where(np.isnan(errors[name]), usual, errors[name])


def _lay_out(
    labels: pd.Series, start: pd.Series, end: pd.Series, values: dict[str, FloatArray],
    errors: dict[str, FloatArray], name: str,
) -> PopulationMargins:  # fmt: skip
    """Return rows as tables of place and period."""
    places = list(dict.fromkeys(labels))
    periods = pd.MultiIndex.from_arrays([start, end]).unique().sort_values()
    row = pd.Index(places).get_indexer(pd.Index(labels))
    column = periods.get_indexer(pd.MultiIndex.from_arrays([start, end]))
    coords = {"place": places}

    def table(numbers: FloatArray) -> tuple[tuple[str, str], FloatArray, dict[str, str]]:
        full = np.full((len(places), len(periods)), np.nan)
        full[row, column] = numbers
        return ("place", "period"), full, {"units": PERSONS}

    bounds = np.array([[np.datetime64(day, "D") for day in period] for period in periods])
    return PopulationMargins(
        xr.Dataset({key: table(array) for key, array in values.items()}, coords),
        xr.Dataset({key: table(array) for key, array in errors.items()}, coords),
        bounds.astype("datetime64[D]"),
        name,
    )


def draw_margins(margins: PopulationMargins, n: int, seed: int) -> xr.Dataset:
    """Draw margins, so that births - deaths + net = change in every draw.

    Births, deaths, immigration and emigration are log-normal with the mean and standard deviation
    given. Net migration is normal, and change follows; where change has the error, change is normal
    and net migration follows, as it does where immigration and emigration are both given. All are
    independent of each other, and between places and periods.

    Parameters
    ----------
    margins
        As read.
    n
        How many draws.
    seed
        Of the random numbers. Those of a place and period depend on the seed, its label and its
        first day alone: not on which others there are, nor on their order.

    Returns
    -------
    xarray.Dataset
        `QUANTITIES`, persons per period, (place, period, draw); NaN where not given.

    Examples
    --------
    >>> rows = [{"place": "AT", "year": 2020, "births": 80, "deaths": 60, "net": 5}]
    >>> drawn = draw_margins(population_margins(pd.DataFrame(rows)), 100, seed=1)
    >>> off = drawn["births"] - drawn["deaths"] + drawn["net"] - drawn["change"]
    >>> bool(abs(off).max() < 1e-12)
    True
    """
    shape = (len(margins.places), len(margins.bounds), n)
    normal = np.empty((*shape, len(QUANTITIES)))
    for i, place in enumerate(margins.places):
        for k, (first, _) in enumerate(margins.bounds):
            day = int(first.astype("int64")) + 2**31
            rng = np.random.default_rng([seed, crc32(place.encode()), day])
            normal[i, k] = rng.standard_normal((n, len(QUANTITIES)))
    drawn: dict[str, FloatArray] = {}
    for j, name in enumerate(QUANTITIES):
        value = margins.values[name].to_numpy()[..., None]
        error = margins.errors[name].to_numpy()[..., None]
        drawn[name] = value + error * normal[..., j]
        if name in FLOWS_OF_PEOPLE:
            drawn[name] = _log_normal(value, error, normal[..., j])
    natural = drawn["births"] - drawn["deaths"]
    derived = ~np.isnan(drawn["change"])
    drawn["net"] = np.where(derived, drawn["change"] - natural, drawn["net"])
    totals = drawn["immigration"] - drawn["emigration"]
    drawn["net"] = np.where(np.isnan(totals), drawn["net"], totals)
    drawn["change"] = natural + drawn["net"]
    dims = ("place", "period", "draw")
    data = {name: (dims, array, {"units": PERSONS}) for name, array in drawn.items()}
    return xr.Dataset(data, {"place": list(margins.places)})


def _log_normal(mean: FloatArray, sd: FloatArray, normal: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.log1p((sd / mean) ** 2)
        drawn = mean * np.exp(np.sqrt(variance) * normal - variance / 2.0)
    return np.where(mean == 0.0, 0.0, drawn)


def match_periods(
    margins: PopulationMargins, bounds: Sequence[NDArray[np.datetime64]]
) -> list[int | None]:
    """Return for each period, as first day and day after the last, where margins have it."""
    known = {tuple(pair): k for k, pair in enumerate(margins.bounds.tolist())}
    return [known.get(tuple(np.asarray(pair, "datetime64[D]").tolist())) for pair in bounds]
