"""A fit on disk: one NetCDF file, readable with xarray alone, from which years are drawn later."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast._atomic import atomic_file
from flowcast.displacement._layout import Drivers
from flowcast.displacement.model import DisplacementFit, standing
from flowcast.displacement.panel import DisplacementPanel
from flowcast.displacement.spec import DisplacementSpec
from flowcast.errors import Fault, InputError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["read_fit", "write_fit"]

FORMAT: Final = "flowcast displacement fit 1"


def write_fit(fit: DisplacementFit, path: Path | str) -> None:
    """Write a fit; the file is there whole or not at all."""
    import xarray as xr

    from flowcast._netcdf import storable_tree, write_tree

    panel = fit.panel
    told = (("unit", "year", "driver"), fit.drivers.values)
    data = panel.counts.to_dataset(name="count")
    if fit.drivers.names:
        data = data.assign(drivers=told).assign_coords(driver=list(fit.drivers.names))
    tree = xr.DataTree.from_dict(
        {
            "/posterior": fit.posterior,
            "/panel": data,
            "/diagnostics": fit.diagnostics.rename_axis("row").to_xarray(),
        }
    )
    tree.attrs = {
        "format": FORMAT,
        "source": panel.source,
        "kind": panel.kind,
        "smallest": panel.smallest,
        "spec": json.dumps(fit.spec.model_dump(mode="json")),
    }
    with atomic_file(Path(path)) as target:
        write_tree(storable_tree(tree), target)


def read_fit(path: Path | str) -> DisplacementFit:
    """Read a fit that `write_fit` wrote.

    Raises
    ------
    InputError
        If it is none.
    """
    from flowcast._netcdf import read_tree

    try:
        tree = read_tree(Path(path))
    except (OSError, ValueError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else "no NetCDF file"
        raise InputError([Fault(str(path), found, "a file that a fit wrote")]) from None
    if tree.attrs.get("format") != FORMAT:
        raise InputError([Fault(str(path), "another kind of file", "a file that a fit wrote")])
    spec = DisplacementSpec.model_validate_json(tree.attrs["spec"])
    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    data = groups["panel"]
    panel = DisplacementPanel(
        data["count"].drop_vars("driver", errors="ignore"),
        tree.attrs["source"],
        tree.attrs["kind"],
        int(tree.attrs["smallest"]),
    )
    layout, past = standing(panel, spec)
    diagnostics = groups["diagnostics"].to_dataframe()
    drivers = _drivers(data)
    return DisplacementFit(groups["posterior"], panel, layout, drivers, past[-1], diagnostics, spec)


def _drivers(data: "xr.Dataset") -> Drivers:
    if "drivers" not in data:
        return Drivers((), np.zeros((data.sizes["unit"], data.sizes["year"], 0)))
    names = tuple(data["driver"].to_numpy().tolist())
    return Drivers(names, data["drivers"].transpose("unit", "year", "driver").to_numpy())
