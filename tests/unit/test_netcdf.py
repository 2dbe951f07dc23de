"""Trees in types that NetCDF has, and JSON of what stands beside them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast._netcdf import plain_json, read_tree, storable_tree, write_tree


def round_trip(data: xr.Dataset, path: Path) -> xr.Dataset:
    write_tree(storable_tree(xr.DataTree.from_dict({"group": data})), path)
    return read_tree(path)["group"].to_dataset()


@pytest.mark.parametrize(
    "texts",
    [
        np.array(["NA", "", "ß+é"]),
        np.array(["NA", "", "ß+é"], dtype=object),
        np.array(["NA", None, "ß+é"], dtype=object),
        pd.array(["NA", None, "ß+é"], dtype="str"),
    ],
    ids=["fixed", "object", "missing", "pandas"],
)
def test_text_of_any_kind_survives(tmp_path: Path, texts: np.ndarray) -> None:
    back = round_trip(xr.Dataset({"text": ("x", texts)}), tmp_path / "t.nc")
    assert back["text"].values.tolist() == ["NA", "", "ß+é"]


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_times_survive_in_one_resolution(tmp_path: Path, unit: str) -> None:
    days = np.array(["1850-06-01", "2024-01-01"], dtype=f"datetime64[{unit}]")
    back = round_trip(xr.Dataset(coords={"start": ("period", days)}), tmp_path / "t.nc")
    assert back["start"].dtype == np.dtype("datetime64[us]")
    np.testing.assert_array_equal(back["start"].values, days)


def test_numbers_and_flags_survive_exactly(tmp_path: Path) -> None:
    data = xr.Dataset(
        {
            "number": ("x", [0.1, np.nan, -np.inf]),
            "count": ("x", [1, 2, 3]),
            "flag": ("x", [True, False, True]),
        },
        {"x": [10, 20, 30]},
    )
    back = round_trip(data, tmp_path / "t.nc")
    xr.testing.assert_identical(back, data)
    assert back["flag"].dtype == bool


def test_a_multiindex_is_taken_apart(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_tuples([("DE", "FR"), ("FR", "DE")], names=["origin", "destination"])
    data = xr.Dataset({"n": ("corridor", [1, 2])}).assign_coords(
        xr.Coordinates.from_pandas_multiindex(index, "corridor")
    )
    back = round_trip(data, tmp_path / "t.nc")
    assert back["origin"].dims == ("corridor",)
    assert back["origin"].values.tolist() == ["DE", "FR"]
    assert back["n"].values.tolist() == [1, 2]


def test_attributes_become_numbers_and_text(tmp_path: Path) -> None:
    attrs = {"units": "km", "n": 3, "yes": True, "none": None, "how": {"a": [1, float("nan")]}}
    data = xr.Dataset({"d": ("x", [1.0], attrs)}, attrs=attrs)
    back = round_trip(data, tmp_path / "t.nc")
    for found in (back.attrs, back["d"].attrs):
        assert (found["units"], found["n"], found["yes"]) == ("km", 3, 1)
        assert "none" not in found
        assert json.loads(found["how"]) == {"a": [1, None]}


def test_the_tree_given_is_not_changed() -> None:
    data = xr.Dataset({"t": ("x", np.array(["a"], dtype=object), {"yes": True})})
    tree = xr.DataTree.from_dict({"group": data})
    before = tree.copy(deep=True)
    storable_tree(tree)
    xr.testing.assert_identical(tree, before)
    assert tree["group"]["t"].attrs == {"yes": True}


def test_groups_in_groups_survive(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"a/b": xr.Dataset({"v": ("x", [1.0])}), "a": xr.Dataset()})
    write_tree(storable_tree(tree), tmp_path / "t.nc")
    assert read_tree(tmp_path / "t.nc")["a/b/v"].values.tolist() == [1.0]


def test_xarray_alone_reads_what_was_written(tmp_path: Path) -> None:
    round_trip(xr.Dataset({"v": ("x", [1.5])}), tmp_path / "t.nc")
    with xr.open_datatree(tmp_path / "t.nc") as tree:
        assert tree["group"]["v"].values.tolist() == [1.5]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.bool_(True), True),
        (float("inf"), None),
        ({1: (2, {"x"})}, {"1": [2, ["x"]]}),
        (Path("a/b"), "a/b"),
        (None, None),
    ],
)
def test_plain_json(value: object, plain: object) -> None:
    assert plain_json(value) == plain
    json.dumps(plain_json(value), allow_nan=False)
