"""What a projection starts from, on disk: process, people and drivers."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flowcast._atomic import atomic_folder
from flowcast._hashes import file_hash, joint_hash
from flowcast._netcdf import read_tree, storable_tree, write_tree
from flowcast.config import plain_settings
from flowcast.errors import Fault, InputError
from flowcast.projection.process import FlowProcess
from flowcast.projection.spec import ProjectionSpec
from flowcast.projection.start import ProjectionStart

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["hash_of_inputs", "inputs_at", "read_inputs", "read_past", "write_inputs"]

PROCESS: Final = "process.nc"
START: Final = "start.nc"
DRIVERS: Final = "drivers.nc"
PLACE_CODES: Final = {"origin": str, "destination": str}
PAST: Final = "past.csv"
"""What the history says of places: for figures, no draw hangs on it."""


def write_inputs(
    folder: Path,
    process: FlowProcess,
    start: ProjectionStart,
    baseline: "xr.Dataset",
    history: "xr.Dataset | None" = None,
    past: "pd.DataFrame | None" = None,
) -> None:
    """Write what a projection starts from into a folder, whole or not at all."""
    import xarray as xr

    with atomic_folder(folder) as place:
        attrs = {
            "end": process.end,
            "length": process.length,
            "spec": json.dumps(plain_settings(process.spec)),
            "estimated": json.dumps(process.estimated),
            "notes": json.dumps(process.notes),
        }
        tree = {
            "/": xr.Dataset(attrs=attrs),
            "posterior": process.posterior,
            "base": process.base,
            "population": process.population.to_dataset(name="population"),
            "diagnostics": process.diagnostics.rename_axis("row").to_xarray(),
        }
        write_tree(storable_tree(xr.DataTree.from_dict(tree)), place / PROCESS)
        people = xr.Dataset(
            {
                "population": start.population,
                "birth_rate": start.birth_rate,
                "death_rate": start.death_rate,
                **({} if start.stock is None else {"stock": start.stock}),
            },
            attrs={"length": start.length, "notes": json.dumps(start.notes)},
        )
        write_tree(storable_tree(xr.DataTree(people)), place / START)
        drivers = {"baseline": baseline, **({} if history is None else {"history": history})}
        write_tree(storable_tree(xr.DataTree.from_dict(drivers)), place / DRIVERS)
        if past is not None:
            past.to_csv(place / PAST, index=False)


@lru_cache(maxsize=1)
def inputs_at(folder: str, stamp: str) -> "tuple[FlowProcess, ProjectionStart, Any, Any]":
    """Read inputs once a process: a worker is given many blocks of one projection."""
    place = Path(folder)
    tree = read_tree(place / PROCESS)
    people = read_tree(place / START).to_dataset()
    drivers = {
        name: node.to_dataset(inherit=False)
        for name, node in read_tree(place / DRIVERS).children.items()
    }
    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    process = FlowProcess(
        groups["posterior"],
        groups["base"],
        tuple(json.loads(tree.attrs["estimated"])),
        groups["diagnostics"].to_dataframe().reset_index(drop=True),
        groups["population"]["population"],
        int(tree.attrs["end"]),
        int(tree.attrs["length"]),
        ProjectionSpec.model_validate(json.loads(tree.attrs["spec"])),
        tuple(json.loads(tree.attrs["notes"])),
    )
    start = ProjectionStart(
        people["population"],
        people["birth_rate"],
        people["death_rate"],
        people.get("stock"),
        int(people.attrs["length"]),
        tuple(json.loads(people.attrs["notes"])),
    )
    return process, start, drivers["baseline"], drivers.get("history")


def read_inputs(
    folder: Path,
) -> "tuple[FlowProcess, ProjectionStart, xr.Dataset, xr.Dataset | None]":
    """Return what a projection started from: process, start, baseline and history of drivers.

    Raises
    ------
    InputError
        If the folder has none.
    """
    missing = [name for name in (PROCESS, START, DRIVERS) if not (folder / name).is_file()]
    if missing:
        raise InputError([Fault(str(folder), f"no {missing[0]}", "the inputs of a projection")])
    return inputs_at(str(folder), hash_of_inputs(folder))


def read_past(folder: Path) -> "pd.DataFrame | None":
    """Return estimates of the history's places, where they were written."""
    import pandas as pd

    path = folder / PAST
    if not path.is_file():
        return None
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=PLACE_CODES)


def hash_of_inputs(folder: Path) -> str:
    return joint_hash([file_hash(folder / name) for name in (PROCESS, START, DRIVERS)])
