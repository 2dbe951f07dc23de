"""A small process made by hand, so that projections can be tested without fitting one."""

import numpy as np
import pandas as pd
import xarray as xr

from flowcast.projection import FlowProcess, ProjectionSpec, ProjectionStart, make_start
from flowcast.projection.effects import drivers_of
from flowcast.vocabulary import RESIDENTS

PLACES = ("AUT", "DEU", "POL", "SYR")
START = 2025
N = len(PLACES)


def make_process(n_draw: int = 6, length: int = 1, seed: int = 3) -> FlowProcess:
    """Return a process of four places whose draws differ."""
    rng = np.random.default_rng(seed)
    spec = ProjectionSpec()
    origin, destination = (~np.eye(N, dtype=bool)).nonzero()
    n_corridor = len(origin)
    of_class = np.arange(n_corridor) % 2
    groups, shared = np.unique(2 * destination + of_class, return_inverse=True)

    def some(middle: float, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return middle + 0.1 * rng.standard_normal((n_draw, *shape))

    variables: dict[str, object] = {
        "out_mean": (("draw", "origin_place"), some(-5.0, N)),
        "out_deviation": (("draw", "origin_place"), some(0.0, N)),
        "out_sd": (("draw", "origin_place"), np.abs(some(0.2, N))),
        "share_mean": (("draw", "corridor"), some(-1.1, n_corridor)),
        "share_deviation": (("draw", "corridor"), some(0.0, n_corridor)),
        "share_sd": (("draw", "corridor"), np.abs(some(0.3, n_corridor))),
        "share_shared": (("draw", "shared"), some(0.0, len(groups))),
        "out_shared": (("draw",), some(0.0)),
        "out_bound": ((), 2.0),
        "share_bound": (("size_class",), np.array([2.0, 2.0])),
    }
    for panel, dims, shape in (("out", ("draw",), ()), ("share", ("draw", "size_class"), (2,))):
        variables[f"{panel}_phi"] = (dims, some(0.6, *shape))
        variables[f"{panel}_shared_phi"] = (dims, some(0.5, *shape))
        variables[f"{panel}_shared_sd"] = (dims, np.abs(some(0.1, *shape)))
        variables[f"{panel}_degrees"] = (("draw",), 5.0 + np.abs(some(1.0)))
    coords: dict[str, object] = {
        "origin_place": list(PLACES),
        "origin": ("corridor", np.array(PLACES)[origin]),
        "destination": ("corridor", np.array(PLACES)[destination]),
        "class_of": ("corridor", of_class),
        "shared_of": ("corridor", shared),
        "kind_of": ("shared", groups % 2),
    }
    for side in ("leaving", "arriving"):
        names = drivers_of(list(spec.effects), side, spec)
        numbers = np.array([getattr(spec.effects[name], side).numbers for name in names])
        values = numbers[:, 0] + 0.1 * numbers[:, 1] * rng.standard_normal((n_draw, len(names)))
        variables[f"effect_{side}"] = (("draw", side), values)
        coords[side] = list(names)
    people = xr.DataArray(
        [9e6, 83e6, 38e6, 22e6], {"place": list(PLACES)}, attrs={"units": RESIDENTS}
    )
    table = pd.DataFrame({"parameter": ["out_phi"], "rhat": [1.0], "ess_bulk": [400.0]})
    return FlowProcess(
        xr.Dataset(variables, coords), xr.Dataset(), (), table, people, START, length, spec, ()
    )


def make_people(*, stocked: bool = False, length: int = 1, years: int = 5) -> ProjectionStart:
    """Return the start of a projection of the same places, with births and deaths."""
    place_year = {"place": list(PLACES), "year": [START]}
    table = {"population": [9e6, 83e6, 38e6, 22e6], "births": [8e4, 7e5, 3e5, 5e5],
             "deaths": [9e4, 1e6, 4e5, 1.2e5]}  # fmt: skip
    people = xr.Dataset(
        {name: (("place", "year"), np.array(values)[:, None]) for name, values in table.items()},
        place_year,
    )
    stock = None
    if stocked:
        both = {"birthplace": list(PLACES), "place": list(PLACES)}
        elsewhere = np.full((N, N), 2e4) + np.array([1e3, 1e5, 5e4, 8e5])[:, None]
        stock = xr.DataArray(elsewhere, both, ("birthplace", "place"))
    return make_start(people, PLACES, START, START + years, length=length, stock=stock)
