"""Covariates: what is known about places and corridors, with units, aligned by name.

Two tidy files, `places.csv` and `corridors.csv`, become one dataset. A unit is read from the
column dictionary beside a file (``places.columns.csv``). Missing values are never filled in
silently: a model states the rule, and the run reports how many cells it concerned.
"""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from flowcast._covariate_tables import read_part, text_coords
from flowcast.errors import Fault, Faults, InputError, UsageError, require_word

__all__ = [
    "Imputation",
    "MissingRule",
    "covariate_values",
    "great_circle_km",
    "held_from",
    "impute",
    "read_covariates",
]

MissingRule = Literal["refuse", "mean", "nearest_year", "zero"]
Side = Literal["origin", "destination", "corridor"]
MISSING_RULES: Final[tuple[str, ...]] = get_args(MissingRule)
EARTH_RADIUS_KM: Final = 6371.0088
"""Mean radius R1 of the Earth (IUGG; Moritz 2000, doi 10.1007/s001900050278)."""
MAX_NAMED: Final = 12


@dataclass(frozen=True, slots=True)
class Imputation:
    """Values without gaps, and where the gaps were.

    Attributes
    ----------
    values
        The covariate, shape (cell,).
    imputed
        True where the value was filled in, shape (cell,).
    rule
        The rule that filled it in.
    """

    values: NDArray[np.float64]
    imputed: NDArray[np.bool_]
    rule: MissingRule

    @property
    def n_imputed(self) -> int:
        """Number of cells that were filled in."""
        return int(self.imputed.sum())


def great_circle_km(
    lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike
) -> NDArray[np.float64]:
    """Return great-circle distances on a sphere, by the haversine formula.

    Parameters
    ----------
    lat1, lon1, lat2, lon2
        Degrees north and east; broadcast against one another.

    Returns
    -------
    numpy.ndarray
        Kilometres, in the broadcast shape.

    References
    ----------
    Sinnott (1984), Virtues of the haversine, Sky and Telescope 68, 159. Earth radius 6371.0088 km.

    Examples
    --------
    >>> float(great_circle_km(0, 0, 0, 180).round(1))
    20015.1
    """
    phi1, lambda1, phi2, lambda2 = (
        np.radians(np.asarray(angle, dtype=np.float64)) for angle in (lat1, lon1, lat2, lon2)
    )
    haversine = (
        np.sin((phi2 - phi1) / 2) ** 2
        + np.cos(phi1) * np.cos(phi2) * np.sin((lambda2 - lambda1) / 2) ** 2
    )
    # Rounding can push the haversine of antipodes past 1.
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0))))


def read_covariates(
    places_path: str | os.PathLike[str] | None = None,
    corridors_path: str | os.PathLike[str] | None = None,
    *,
    declared_places: Collection[str] | Literal["any"] | None = None,
) -> xr.Dataset:
    """Read covariates of places and corridors.

    Parameters
    ----------
    places_path
        Columns `place` (or `country`, `iso3`, `iso2`), optional `year`, and covariates.
    corridors_path
        Columns `origin`, `destination`, optional `year`, and covariates.
    declared_places
        None: codes are ISO 3166. A set: these codes, as they are. ``"any"``: the codes of the
        places file are whatever it says, and corridors must use the same.

    Returns
    -------
    xarray.Dataset
        Dims `place`, `origin`, `destination` (each sorted) and `year`, as far as they are needed.
        A covariate without year has no dim `year`; cells without a row are NaN. `units` and
        `description` are attributes of every variable. Columns of text become coordinates.

    Raises
    ------
    InputError
        With every fault of both files.
    UsageError
        If neither file is given.

    Examples
    --------
    >>> from flowcast.resources import embedded_path
    >>> folder = embedded_path("data", "europe_2024")
    >>> data = read_covariates(folder / "places.csv", folder / "corridors.csv")
    >>> data["distance_km"].dims, data["distance_km"].attrs["units"]
    (('origin', 'destination'), 'km')
    """
    if places_path is None and corridors_path is None:
        raise UsageError("(covariates) | found neither places nor corridors; allowed: one or both")
    faults = Faults("covariates")
    parts: list[xr.Dataset] = []
    declared = None if declared_places == "any" else declared_places
    if places_path is not None:
        loose = declared_places == "any"
        parts.append(read_part(Path(places_path), ("place",), declared, faults, loose=loose))
        if loose and parts[0].sizes:
            declared = set(parts[0]["place"].to_numpy().tolist())
    if corridors_path is not None:
        loose = declared_places == "any" and places_path is None
        sides = ("origin", "destination")
        parts.append(read_part(Path(corridors_path), sides, declared, faults, loose=loose))
    faults.raise_if_any()
    return _merge(parts, corridors_path)


def _merge(parts: Sequence[xr.Dataset], path: str | os.PathLike[str] | None) -> xr.Dataset:
    """Join the parts; a name that stands in both files could not be told apart."""
    seen = [str(name) for part in parts for name in (*part.data_vars, *text_coords(part))]
    twice = sorted({name for name in seen if seen.count(name) > 1})
    if twice:
        where = os.fspath(path or "")
        raise InputError(
            Fault(where, f"column {n!r}, also in the places file", "a name of its own")
            for n in twice
        )
    return xr.merge(list(parts), join="outer", compat="no_conflicts", combine_attrs="override")


def covariate_values(
    data: xr.Dataset,
    name: str,
    *,
    origin: ArrayLike,
    destination: ArrayLike,
    year: ArrayLike,
    side: Side,
) -> NDArray[np.float64]:
    """Look a covariate up for many cells at once.

    Parameters
    ----------
    data
        As from `read_covariates`.
    name
        Name of a variable.
    origin, destination, year
        Codes and calendar year of each cell, shape (cell,); scalars are broadcast.
    side
        Whose value is wanted: the origin's, the destination's, or the corridor's.

    Returns
    -------
    numpy.ndarray
        Values in the variable's unit, shape (cell,); NaN where it is unknown.

    Raises
    ------
    UsageError
        If there is no such covariate, or it is not of that side.

    Examples
    --------
    >>> data = xr.Dataset({"population": ("place", [9.0, 83.0])}, {"place": ["AT", "DE"]})
    >>> covariate_values(data, "population", origin=["DE", "FR"], destination=["AT", "AT"],
    ...                  year=2024, side="origin")
    array([83., nan])
    """
    require_word("covariates", name, map(str, data.data_vars))
    variable = data[name]
    wanted = ("origin", "destination") if side == "corridor" else ("place",)
    dims = tuple(str(d) for d in variable.dims if d != "year")
    if dims != wanted:
        of = "a corridor" if "origin" in dims else "a place"
        raise UsageError(f"({name}) | found side {side!r}; allowed: it is a covariate of {of}")
    cells = np.broadcast_arrays(*(np.asarray(a) for a in (origin, destination, year)))
    labels = dict(zip(("origin", "destination", "year"), cells, strict=True))
    if side != "corridor":
        labels["place"] = labels[side]
    positions = [_positions(variable, str(d), labels[str(d)]) for d in variable.dims]
    known = np.logical_and.reduce([p >= 0 for p in positions])
    values = np.full(cells[0].shape, np.nan)
    values[known] = variable.to_numpy()[tuple(p[known] for p in positions)]
    return values


def held_from(data: xr.Dataset, year: int) -> xr.Dataset:
    """Return covariates as one knows them at the end of a year: later ones are as in that year.

    Parameters
    ----------
    data
        As from `read_covariates`.
    year
        The last one known. Where it has no values at all, those of the year before it that has.

    Examples
    --------
    >>> data = xr.Dataset({"gdp": ("year", [1.0, 2.0, 9.0])}, {"year": [2000, 2001, 2002]})
    >>> held_from(data, 2001)["gdp"].values.tolist()
    [1.0, 2.0, 2.0]
    """
    if "year" not in data.coords:
        return data
    years = data["year"].to_numpy()
    known = years[years <= year]
    if not len(known):
        return data.isel(year=slice(0, 0)).reindex(year=years)
    later = xr.DataArray(np.minimum(years, known.max()), dims="year")
    return data.sel(year=later).assign_coords(year=years)


def _positions(variable: xr.DataArray, dim: str, labels: NDArray[np.generic]) -> NDArray[np.intp]:
    """Return where each label stands on the dim, -1 where it is absent."""
    index = variable.indexes[dim]
    flat = labels.ravel().astype(np.int64 if dim == "year" else object)
    return np.asarray(index.get_indexer(pd.Index(flat))).reshape(labels.shape)


def impute(
    values: ArrayLike,
    rule: MissingRule = "refuse",
    *,
    name: str,
    labels: Sequence[str] | NDArray[np.str_] | None = None,
    year: ArrayLike | None = None,
) -> Imputation:
    """Treat missing values of a covariate by a declared rule.

    Parameters
    ----------
    values
        A covariate over cells, shape (cell,); NaN is missing.
    rule
        ``"refuse"`` raises. ``"mean"`` takes the mean over the observed cells. ``"nearest_year"``
        takes the value of the nearest year of the same label (the earlier of two as near).
        ``"zero"`` takes 0.
    name
        What messages call the covariate.
    labels
        Place or corridor of each cell, shape (cell,); for messages and ``"nearest_year"``.
    year
        Calendar year of each cell, shape (cell,).

    Returns
    -------
    Imputation
        The values and a mask of those filled in, for the run to report.

    Raises
    ------
    InputError
        If values are missing and may not be, or the rule has nothing to fill them from.
    UsageError
        If there is no such rule, or it lacks `labels` or `year`.

    Examples
    --------
    >>> filled = impute([1.0, np.nan, 3.0], "mean", name="gdp")
    >>> filled.values.tolist(), filled.n_imputed
    ([1.0, 2.0, 3.0], 1)
    """
    require_word(name, rule, MISSING_RULES)
    filled = np.array(values, dtype=np.float64)
    missing = np.isnan(filled)
    tags = np.asarray(labels if labels is not None else np.arange(len(filled)).astype(str))
    years = None if year is None else np.broadcast_to(np.asarray(year), filled.shape)
    if not missing.any():
        return Imputation(filled, missing, rule)
    if rule == "mean" and not missing.all():
        filled[missing] = filled[~missing].mean()
    elif rule == "zero":
        filled[missing] = 0.0
    elif rule == "nearest_year":
        if labels is None or years is None:
            raise UsageError(f"({name}) | found nearest_year without labels and years")
        filled = _from_nearest_year(filled, tags, years)
    _refuse_missing(name, filled, tags, years, rule)
    return Imputation(filled, missing, rule)


def _from_nearest_year(
    values: NDArray[np.float64], labels: NDArray[np.str_], years: NDArray[np.generic]
) -> NDArray[np.float64]:
    frame = pd.DataFrame({"label": labels, "year": years.astype(float), "value": values})
    known = frame.dropna().drop_duplicates(["label", "year"]).sort_values("year")
    wanted = frame[frame["value"].isna()].drop(columns="value").reset_index()
    found = pd.merge_asof(
        wanted.sort_values("year"), known, on="year", by="label", direction="nearest"
    )
    filled = values.copy()
    filled[found["index"].to_numpy()] = found["value"].to_numpy()
    return filled


def _refuse_missing(
    name: str,
    values: NDArray[np.float64],
    labels: NDArray[np.str_],
    years: NDArray[np.generic] | None,
    rule: MissingRule,
) -> None:
    """Raise with the places or corridors, and years, for which the covariate is still missing."""
    missing = np.flatnonzero(np.isnan(values))
    if not len(missing):
        return
    tags = [f"{labels[i]} {years[i]}" if years is not None else str(labels[i]) for i in missing]
    tags = list(dict.fromkeys(tags))
    more = f" and {len(tags) - MAX_NAMED} more" if len(tags) > MAX_NAMED else ""
    found = f"no value for {', '.join(tags[:MAX_NAMED])}{more}"
    rules = ", ".join(r for r in MISSING_RULES if r not in ("refuse", rule))
    allowed = f"a value for every cell, or another rule under 'missing': {rules}"
    raise InputError([Fault("covariates", found, allowed, column=name)])
