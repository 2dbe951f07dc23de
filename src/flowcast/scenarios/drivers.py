"""Drivers as data: a dataset of places or corridors by year, with units, checked.

A variable has the dims `place` or `corridor`, then `year`, and before them `draw` if it is
uncertain. Corridors carry the coordinates `origin` and `destination`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from flowcast.errors import Fault, Faults, InputError, nearest
from flowcast.scenarios.catalogue import DRIVERS, Driver

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["baseline_drivers", "check_drivers", "labels_of"]

MAX_NAMED: Final = 12


def baseline_drivers(
    covariates: "xr.Dataset", columns: Mapping[str, str], years: Sequence[int]
) -> "xr.Dataset":
    """Return a dataset of drivers from covariates, each in the unit of the catalogue.

    Parameters
    ----------
    covariates
        As from `flowcast.read_covariates`: dims `place`, `origin` and `destination`, `year`.
    columns
        Name of each driver -> covariate.
    years
        Years wanted. A year without a value is an error, not filled: what a driver does without a
        scenario is a projection too, and has to be said.

    Returns
    -------
    xarray.Dataset
        As `check_drivers` wants it; corridors are all pairs of different places.

    Raises
    ------
    InputError
        With every fault: an unknown driver or covariate, another unit, values that are missing or
        out of range.

    Examples
    --------
    >>> import xarray as xr
    >>> people = xr.DataArray([[9.1, 9.2]], {"place": ["AT"], "year": [2024, 2025]},
    ...                       attrs={"units": "million persons"})
    >>> baseline_drivers(xr.Dataset({"pop": people}), {"population": "pop"}, [2024, 2025])[
    ...     "population"].values.tolist()
    [[9100000.0, 9200000.0]]
    """
    import xarray as xr

    faults = Faults("drivers")
    found: dict[str, xr.DataArray] = {}
    for name, column in columns.items():
        known = DRIVERS.get(name)
        if known is None:
            faults.add(repr(name), ", ".join(DRIVERS), hint=nearest(name, DRIVERS))
        elif column not in covariates.data_vars:
            listed = list(map(str, covariates.data_vars))
            hint = nearest(column, listed)
            faults.add(f"no covariate {column!r}", ", ".join(listed), column=name, hint=hint)
        else:
            variable = _in_unit(covariates[column], known, faults)
            if "year" not in variable.dims:
                variable = variable.expand_dims(year=list(years), axis=-1)
            found[name] = _stacked(variable.reindex(year=list(years)), known)
    faults.raise_if_any()
    return check_drivers(xr.Dataset(found))


def _in_unit(variable: "xr.DataArray", known: Driver, faults: Faults) -> "xr.DataArray":
    unit = str(variable.attrs.get("units", "none"))
    if unit not in (known.unit, *known.units):
        allowed = ", ".join((known.unit, *known.units))
        faults.add(f"unit {unit!r}", allowed, column=known.name, hint=nearest(unit, [known.unit]))
    scaled = variable * known.factor(unit) if unit != known.unit else variable
    return scaled.assign_attrs(units=known.unit)


def _stacked(variable: "xr.DataArray", known: Driver) -> "xr.DataArray":
    """Return pairs of an origin and a destination as corridors, the diagonal left out."""
    if known.of == "place" or "corridor" in variable.dims:
        return variable
    flat = variable.stack(corridor=("origin", "destination"))
    apart = flat["origin"].to_numpy() != flat["destination"].to_numpy()
    plain = flat.isel(corridor=apart).reset_index("corridor")
    return plain.transpose(..., "corridor", "year")


def check_drivers(
    drivers: "xr.Dataset", where: str = "drivers", *, gaps: bool = False
) -> "xr.Dataset":
    """Check a dataset of drivers, and return it with its dims in order.

    Parameters
    ----------
    drivers
        Variables named as in the catalogue, with `units`; dims (draw), place or corridor, year.
    where
        What messages call it.
    gaps
        Whether values may be missing, as in a history.

    Raises
    ------
    InputError
        With every fault: names, dims, units, values missing or out of the plausible range.
    """
    faults = Faults(where)
    for name, variable in drivers.data_vars.items():
        known = DRIVERS.get(str(name))
        if known is None:
            faults.add(repr(name), ", ".join(DRIVERS), hint=nearest(str(name), DRIVERS))
            continue
        wanted = {known.of, "year"}
        if not wanted <= set(variable.dims) <= {*wanted, "draw"}:
            told = f"dims {', '.join(map(str, variable.dims))}"
            faults.add(told, f"(draw), {known.of}, year", column=known.name)
            continue
        if known.of == "corridor" and not {"origin", "destination"} <= set(drivers.coords):
            faults.add(
                "corridors without names", "coordinates origin, destination", column=known.name
            )
            continue
        if variable.attrs.get("units") != known.unit:
            unit = variable.attrs.get("units", "no unit")
            faults.add(f"unit {str(unit)!r}", known.unit, column=known.name)
            continue
        faults.extend(range_faults(variable, known, where, gaps=gaps))
    faults.raise_if_any()
    order = [d for d in ("draw", "place", "corridor", "year") if d in drivers.dims]
    return drivers.transpose(*order)


def labels_of(variable: "xr.DataArray") -> "list[str]":
    """Return what each place or corridor is called, the latter as origin/destination."""
    if "place" in variable.dims:
        return [str(code) for code in variable["place"].to_numpy()]
    pairs = zip(variable["origin"].to_numpy(), variable["destination"].to_numpy(), strict=True)
    return [f"{origin}/{destination}" for origin, destination in pairs]


def range_faults(
    variable: "xr.DataArray", known: Driver, where: str, *, gaps: bool = False
) -> Iterator[Fault]:
    """Yield a fault for values that are missing, and one for values out of the plausible range."""
    import numpy as np

    ordered = variable.transpose(..., known.of, "year")
    values = ordered.to_numpy()
    missing = np.isnan(values) & (not gaps)
    outside = (values < known.low) | (values > known.high)
    for bad, what, allowed in (
        (missing, "no value", "a value for every year"),
        (outside, "values", f"{known.low:g} to {known.high:g} {known.unit}"),
    ):
        if bad.any():
            told = _told(ordered, values, bad, what)
            yield Fault(where, told, allowed, column=known.name)


def _told(
    variable: "xr.DataArray", values: "NDArray[Any]", bad: "NDArray[np.bool_]", what: str
) -> str:
    """Return where values are bad: of each place the first year, and how many; of draws, which."""
    names, years = labels_of(variable), variable["year"].to_numpy()
    some = bad.any(axis=0) if bad.ndim == 3 else bad
    places = some.any(axis=1).nonzero()[0]
    told = []
    for place in places[:MAX_NAMED]:
        year = int(some[place].argmax())
        here = values[..., place, year][bad[..., place, year]]
        value = f" {here.ravel()[0]:g}" if what != "no value" else ""
        share = f" in {bad[:, place, year].mean():.0%} of draws" if bad.ndim == 3 else ""
        n = int(some[place].sum())
        told.append(
            f"{names[place]} {years[year]}{value}{share}" + (f" ({n} years)" if n > 1 else "")
        )
    more = f" and {len(places) - MAX_NAMED} more" if len(places) > MAX_NAMED else ""
    return f"{what}: {', '.join(told)}{more}"


def add_defaults(drivers: "xr.Dataset", names: Sequence[str]) -> "xr.Dataset":
    """Return drivers with those that have a value by definition, where they are wanted and absent.

    Corridors that are not there yet are all pairs of different places.

    Raises
    ------
    InputError
        If one is absent that has no value by definition.
    """
    import numpy as np
    import xarray as xr

    absent = [name for name in names if name not in drivers.data_vars]
    unknown = [name for name in absent if DRIVERS[name].default is None]
    if unknown:
        there = ", ".join(map(str, drivers.data_vars)) or "nothing"
        raise InputError(
            Fault("baseline", f"no driver {name!r}, only {there}", "every driver that changes")
            for name in unknown
        )
    if absent and "corridor" not in drivers.dims:
        places = drivers["place"].to_numpy()
        origin, destination = (side.ravel() for side in np.meshgrid(places, places, indexing="ij"))
        apart = origin != destination
        drivers = drivers.assign_coords(
            origin=("corridor", origin[apart]), destination=("corridor", destination[apart])
        )
    shape = (drivers.sizes.get("corridor", 0), drivers.sizes["year"])
    for name in absent:
        known = DRIVERS[name]
        filled = np.full(shape, known.default, dtype=np.float64)
        value = xr.DataArray(filled, dims=("corridor", "year"), attrs={"units": known.unit})
        drivers = drivers.assign({name: value})
    return drivers
