"""What is believed of the errors of stock tables, populations and vital events, as plain data.

Every number has a default with a reason; `docs/stock_uncertainty.md` gives them. Read from YAML or
written in Python, and frozen once it is checked.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from flowcast._measurement import FrozenModel
from flowcast._sheet import Sheet
from flowcast._tabular import read_raw
from flowcast._yaml import load_yaml
from flowcast.config import validation_faults
from flowcast.errors import Fault, Faults, InputError, nearest
from flowcast.vocabulary import GRADES, GradeClass

__all__ = [
    "Citizenship",
    "Graded",
    "LogError",
    "PlaceQuality",
    "StockErrors",
    "Vintage",
    "Zeros",
    "read_place_qualities",
    "read_stock_errors",
]

Definition = Literal["birth", "citizenship"]
DEFINITIONS: Final[tuple[str, ...]] = get_args(Definition)
COMPONENTS: Final = ("coverage", "birthplaces", "population", "births", "deaths")
"""What has an error of its own in every place, each with a quality."""
PLACE: Final = "place"
PLACES: Final = "places"
YEARS_ALLOWED: Final = "years such as 2001, or several: 1991;2001;2011"


class LogError(FrozenModel):
    """An error on the log scale: the truth is the table times its exponential.

    Of the variance a share never changes; the rest is an autoregression in time. So the correlation
    of the errors at two dates t years apart is ``persistent + (1 - persistent) correlation**t``.

    Examples
    --------
    >>> LogError(sd=0.1, persistent=0.5, correlation=0.9).covariance(np.array([0.0, 5.0])).round(5)
    array([[0.01   , 0.00795],
           [0.00795, 0.01   ]])
    """

    bias: float = 0.0
    """Log of the mean of truth / table: .05 where the truth is 5 % more on average."""
    sd: float = Field(default=0.0, ge=0.0, le=3.0)
    persistent: float = Field(default=0.75, ge=0.0, le=1.0)
    """Share of the variance that is the same at all dates, and cancels in differences."""
    correlation: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Of the rest of the error with itself one year later."""

    def covariance(self, years: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance of the errors at some dates, shape (date, date)."""
        apart = np.abs(years[:, None] - years)
        return self.sd**2 * (self.persistent + (1.0 - self.persistent) * self.correlation**apart)


class Graded(FrozenModel):
    """An error for each quality of data."""

    high: LogError
    medium: LogError
    low: LogError

    def of(self, quality: GradeClass) -> LogError:
        """Return the error where the data are of a quality."""
        grade: LogError = getattr(self, quality)
        return grade


class Citizenship(FrozenModel):
    """What is added where a table counts foreign citizens and not people born abroad."""

    coverage: LogError
    """Shared by all birthplaces: naturalisation hides people, its bias is positive."""
    birthplaces: LogError
    """Of each birthplace: some naturalise more than others."""


class Vintage(FrozenModel):
    """What is added at dates away from a source: sds after one year, growing with the root of time.

    Between two sources the error is a Brownian bridge, before the first and after the last a random
    walk. Only for places whose `vintage` is given.
    """

    coverage: float = Field(default=0.0, ge=0.0)
    birthplaces: float = Field(default=0.0, ge=0.0)


class Zeros(FrozenModel):
    """What a zero of the table may be: nobody, or nobody was told of."""

    missing: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a zero is a missing figure. One draw decides for a pair at all dates."""
    median: float = Field(default=10.0, gt=0.0)
    """Persons in a missing cell of a pair that has no figure at any date."""
    sd: float = Field(default=1.0, ge=0.0)
    """Of the log of these persons."""


class PlaceQuality(FrozenModel):
    """The data of one place; what is not given is as for all places."""

    quality: GradeClass | None = None
    """Of everything below that is not given. High quality is a small error."""
    coverage: GradeClass | None = None
    birthplaces: GradeClass | None = None
    population: GradeClass | None = None
    births: GradeClass | None = None
    deaths: GradeClass | None = None
    definition: Definition | None = None
    vintage: tuple[float, ...] = ()
    """Years, fractions allowed, of the censuses or registers behind the figures."""


# The reasons stand in docs/stock_uncertainty.md, in the same order.
DEFAULTS: Final[Mapping[str, Any]] = {
    "coverage": {
        "high": {"bias": 0.02, "sd": 0.02},
        "medium": {"bias": 0.05, "sd": 0.05},
        "low": {"bias": 0.10, "sd": 0.12},
    },
    "birthplaces": {"high": {"sd": 0.05}, "medium": {"sd": 0.10}, "low": {"sd": 0.25}},
    "population": {
        "high": {"sd": 0.005, "persistent": 0.99},
        "medium": {"sd": 0.01, "persistent": 0.99},
        "low": {"sd": 0.03, "persistent": 0.99},
    },
    "births": {"high": {"sd": 0.01}, "medium": {"sd": 0.03}, "low": {"sd": 0.06}},
    "deaths": {"high": {"sd": 0.01}, "medium": {"sd": 0.05}, "low": {"sd": 0.10}},
    "citizenship": {
        "coverage": {"bias": 0.2, "sd": 0.2, "persistent": 0.9},
        "birthplaces": {"sd": 0.3, "persistent": 0.9},
    },
    "vintage": {"coverage": 0.01, "birthplaces": 0.03},
    "shared_out": {"sd": 1.0, "persistent": 0.9},
}


def _default(name: str) -> Any:  # noqa: ANN401  # what a field may be, the field says
    kinds: dict[str, type[FrozenModel]] = {
        "citizenship": Citizenship,
        "vintage": Vintage,
        "shared_out": LogError,
    }
    return kinds.get(name, Graded).model_validate(DEFAULTS[name])


class StockErrors(FrozenModel):
    """Errors of stock tables and vital events.

    A mapping is laid over the defaults, so that ``{"coverage": {"low": {"sd": 0.2}}}`` changes one
    number.

    Examples
    --------
    >>> errors = StockErrors(coverage={"low": {"sd": 0.2}}, places={"NA": {"quality": "low"}})
    >>> errors.coverage.low.bias, errors.grade("NA", "coverage").sd, errors.grade("DE", "births").sd
    (0.1, 0.2, 0.03)
    """

    coverage: Graded = _default("coverage")
    """Of all foreign-born of a residence alike, on the odds of being foreign-born."""
    birthplaces: Graded = _default("birthplaces")
    """Of each birthplace in a residence, on the same odds."""
    population: Graded = _default("population")
    """Of the residents of a place, native-born included."""
    births: Graded = _default("births")
    deaths: Graded = _default("deaths")
    citizenship: Citizenship = _default("citizenship")
    vintage: Vintage = _default("vintage")
    counting: float = Field(default=1.0, ge=0.0)
    """Variance of a foreign-born group over its size, independent at each date: 1 as of a Poisson
    count, 100 as of a sample of one in a hundred, 0 for none."""
    shared_out: LogError = _default("shared_out")
    """What is added where people were put whom no table tells (`account_series`, `told`)."""
    zeros: Zeros = Zeros()
    coherent: bool = True
    """Whether populations follow from what births and deaths are taken to be, so that each place's
    net migration stays that of the tables but for errors of the population itself."""
    quality: GradeClass = "medium"
    """Of places that say nothing of theirs."""
    definition: Definition = "birth"
    """Of places that say nothing of theirs."""
    places: Mapping[str, PlaceQuality] = Field(default_factory=dict)
    """By code."""

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:  # noqa: ANN401  # anything may be in a file
        return _laid_over(DEFAULTS, given) if isinstance(given, Mapping) else given

    def grade(self, place: str, component: str) -> LogError:
        """Return the error of a component (one of `COMPONENTS`) in a place."""
        own = self.places.get(place, PlaceQuality())
        graded: Graded = getattr(self, component)
        return graded.of(getattr(own, component) or own.quality or self.quality)

    def definition_of(self, place: str) -> str:
        """Return whom the table counts in a place: ``"birth"`` or ``"citizenship"``."""
        own = self.places.get(place, PlaceQuality())
        return own.definition or self.definition

    def vintage_of(self, place: str) -> tuple[float, ...]:
        """Return the years of the sources behind a place's figures; none where unknown."""
        return self.places.get(place, PlaceQuality()).vintage


def _laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in given.items():
        below = out.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            out[key] = _laid_over(below, value)
        else:
            out[key] = value
    return out


def read_stock_errors(path: str | os.PathLike[str]) -> StockErrors:
    r"""Read errors of stock tables from YAML.

    Parameters
    ----------
    path
        A YAML file with keys as `StockErrors` has attributes; what it does not say is as by
        default. `places` is a mapping, or the name of a table as for `read_place_qualities`, beside
        the file.

    Returns
    -------
    StockErrors

    Raises
    ------
    InputError
        With every fault of the file and of the table; an unknown key with the nearest one.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "errors.yaml"
    >>> _ = file.write_text("quality: high\nplaces: {NA: {quality: low, vintage: [2001, 2011]}}\n")
    >>> read_stock_errors(file).vintage_of("NA")
    (2001.0, 2011.0)
    """
    file = Path(path)
    raw = load_yaml(file)
    faults = Faults(str(file))
    if isinstance(raw.get(PLACES), str):
        try:
            raw[PLACES] = read_place_qualities(file.parent / raw[PLACES])
        except InputError as error:
            faults.extend(error.faults)
            del raw[PLACES]
    errors = None
    try:
        errors = StockErrors.model_validate(raw)
    except ValidationError as error:
        faults.extend(validation_faults(error, str(file), StockErrors))
    faults.raise_if_any()
    assert errors is not None
    return errors


def read_place_qualities(path: str | os.PathLike[str]) -> dict[str, PlaceQuality]:
    """Read the qualities of places from a table.

    Parameters
    ----------
    path
        A table with one row a place: `place`, and any of `quality`, `coverage`, `birthplaces`,
        `population`, `births`, `deaths` (each low, medium, high or empty), `definition` (birth,
        citizenship or empty), `vintage` (years of sources, as ``1991;2001``, or empty).

    Returns
    -------
    dict of PlaceQuality
        By place.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    file = Path(path)
    faults = Faults(str(file))
    sheet = Sheet(read_raw(file, faults), faults)
    known = (PLACE, "quality", *COMPONENTS, "definition", "vintage")
    for name in map(str, sheet.raw.frame.columns):
        if name not in known:
            allowed = ", ".join(known)
            faults.add("an unknown column", allowed, row=1, column=name, hint=nearest(name, known))
    if not sheet.has(PLACE):
        faults.add("no such column", "this column", row=1, column=PLACE)
    faults.raise_if_any()
    sheet.required(PLACE, "a place")
    places = sheet.cells(PLACE).astype("str")
    again = places.duplicated().to_numpy() & sheet.clean(PLACE)
    sheet.refuse(again, PLACE, lambda i: f"{places.iloc[i]} again", "one row a place")
    for name in ("quality", *COMPONENTS):
        sheet.words(name, GRADES)
    sheet.words("definition", DEFINITIONS)
    vintage = sheet.cells("vintage").astype("str").fillna("")
    years = [_years(text) for text in vintage]
    wrong = np.array([found is None for found in years], dtype=bool)
    sheet.refuse(wrong, "vintage", lambda i: repr(vintage.iloc[i]), YEARS_ALLOWED)
    faults.raise_if_any()
    words = ("quality", *COMPONENTS, "definition")
    columns = {name: sheet.cells(name).tolist() for name in words}
    return {
        place: PlaceQuality(
            **{name: cells[k] for name, cells in columns.items() if not pd.isna(cells[k])},
            vintage=years[k],
        )
        for k, place in enumerate(places)
    }


def _years(text: str) -> tuple[float, ...] | None:
    """Return the years of a cell, or None where it holds something else."""
    try:
        return tuple(sorted(float(part) for part in text.split(";") if part.strip()))
    except ValueError:
        return None


def unknown_places(errors: StockErrors, places: tuple[str, ...]) -> list[Fault]:
    """Return a fault for each place that has a quality and is not in the tables."""
    return [
        Fault("errors", f"{code}, no place of the stocks", "their codes", column=PLACES,
              hint=nearest(code, places) or "")
        for code in errors.places
        if code not in places
    ]  # fmt: skip
