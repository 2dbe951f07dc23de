"""The posterior's tree in types that NetCDF has, and JSON of anything that may stand beside it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["Json", "plain_json", "read_tree", "storable_tree", "write_tree"]

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
ENGINE: Final = "h5netcdf"
TIMES: Final = xr.coders.CFDatetimeCoder(time_unit="us")
"""The resolution of what `storable_tree` returns, so that a tree reads back as it was."""


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a tree as NetCDF; it must be as `storable_tree` returns it."""
    tree.to_netcdf(path, engine=ENGINE)


def read_tree(path: Path) -> xr.DataTree:
    """Read a whole tree into memory and close the file."""
    with xr.open_datatree(path, engine=ENGINE, decode_times=TIMES) as tree:
        return tree.load()


def storable_tree(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree in types that NetCDF has.

    Text becomes plain strings (missing: empty), times get microseconds, a MultiIndex is taken
    apart, and attributes become numbers and text.
    """
    groups = {node.path: _storable_dataset(node.to_dataset(inherit=False)) for node in tree.subtree}
    return xr.DataTree.from_dict(groups)


def plain_json(value: object) -> Json:
    """Return JSON values only; what is not finite becomes null.

    Examples
    --------
    >>> plain_json({"a": np.float64(1.5), "b": (float("nan"), True)})
    {'a': 1.5, 'b': [None, True]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_json(inner) for inner in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def _storable_dataset(data: xr.Dataset) -> xr.Dataset:
    several = [name for name, index in data.indexes.items() if isinstance(index, pd.MultiIndex)]
    data = data.reset_index(several) if several else data
    data = data.assign({name: _storable_variable(data[name]) for name in data.data_vars})
    coordinates = {name: _storable_variable(data[name]) for name in data.coords}
    data = data.assign_coords(coordinates)
    data.attrs = _storable_attrs(data.attrs)
    return data


def _storable_variable(array: xr.DataArray) -> xr.Variable:
    variable = array.variable.copy(deep=False)
    variable.attrs = _storable_attrs(variable.attrs)
    if pd.api.types.is_extension_array_dtype(variable.dtype):
        values = pd.array(variable.values)
        text = pd.api.types.is_string_dtype(values.dtype)
        plain = values.to_numpy(dtype=object, na_value="") if text else np.asarray(values)
        return xr.Variable(variable.dims, plain, variable.attrs)
    return variable.astype("datetime64[us]") if variable.dtype.kind == "M" else variable


def _storable_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as numbers and text; NetCDF has neither booleans nor mappings."""
    kept: dict[str, Any] = {}
    for key, value in attrs.items():
        if isinstance(value, (bool, np.bool_)):
            kept[str(key)] = int(value)
        elif isinstance(value, (str, int, float, np.generic, np.ndarray)):
            kept[str(key)] = value
        elif value is not None:
            kept[str(key)] = json.dumps(plain_json(value), ensure_ascii=False)
    return kept
