"""Covariates of the gravity process on every cell."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.config import CovariateTerm, ModelSpec, Process
from flowcast.errors import InputError
from flowcast.model.grid import Grid, build_grid
from flowcast.model.process import CellCovariates, build_covariates

PLACES = ("A", "B", "C")


def grid(n_period: int = 2) -> Grid:
    years = [2020 + k for k in range(n_period)]
    table = pd.DataFrame({"year": years})
    table["period_start"] = pd.to_datetime(table["year"].astype(str) + "-01-01")
    table["period_end"] = pd.to_datetime((table["year"] + 1).astype(str) + "-01-01")
    return build_grid(table, PLACES, codes="declared", name="x")


def data() -> xr.Dataset:
    distance = np.array([[np.nan, 1, 2], [10, np.nan, 3], [20, 30, np.nan]], dtype=float)
    gdp = np.array([[10.0, 11.0], [20.0, 22.0], [40.0, 44.0]])
    return xr.Dataset(
        {
            "population": ("place", [1.0, 10.0, 100.0]),
            "gdp": (("place", "year"), gdp),
            "distance": (("origin", "destination"), distance),
            "refugees": ("place", [0.0, 1.0, 3.0]),
            "patchy": (("place", "year"), np.array([[1.0, np.nan], [2.0, 2.0], [np.nan, 3.0]])),
        },
        {"place": list(PLACES), "origin": list(PLACES), "destination": list(PLACES),
         "year": [2020, 2021]},
    )  # fmt: skip


def build(*terms: dict[str, Any], given: xr.Dataset | None = None) -> CellCovariates:
    made = tuple(CovariateTerm(**({"name": t["column"]} | t)) for t in terms)
    spec = ModelSpec(name="m", process=Process(covariates=made))
    return build_covariates(spec, data() if given is None else given, grid())


def raw(found: CellCovariates, k: int = 0) -> dict[str, list[float]]:
    """Return a term's values before centring, by corridor."""
    cells = grid()
    values = found.values[:, :, k] + found.centre[k]
    pairs = zip(cells.origin_code, cells.destination_code, strict=True)
    return {f"{o}{d}": v.tolist() for (o, d), v in zip(pairs, values, strict=True)}


def test_terms_are_centred_over_all_cells_and_what_was_taken_off_is_kept() -> None:
    found = build(
        {"column": "population", "side": "origin", "transform": "log"}, {"column": "distance"}
    )
    assert found.values.shape == (6, 2, 2)
    assert found.names == ("population", "distance")
    np.testing.assert_allclose(found.values.mean(axis=(0, 1)), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.centre, [np.log([1, 10, 100]).mean(), 66 / 6])


def test_each_side_takes_its_own_value() -> None:
    terms = [{"column": "population", "side": s, "name": s} for s in ("origin", "destination")]
    found = build(*terms, {"column": "distance"}, {"column": "distance", "name": "back",
                                                   "reverse": True})  # fmt: skip
    assert raw(found, 0)["AC"] == pytest.approx([1, 1])
    assert raw(found, 1)["AC"] == pytest.approx([100, 100])
    assert raw(found, 2)["AC"] == pytest.approx([2, 2])
    assert raw(found, 3)["AC"] == pytest.approx([20, 20])


def test_a_ratio_is_destination_over_origin_in_the_year_of_the_cell() -> None:
    found = build({"column": "gdp", "side": "ratio", "transform": "log"})
    assert raw(found)["AC"] == pytest.approx([np.log(4.0), np.log(4.0)])
    assert raw(found)["BA"] == pytest.approx([np.log(0.5), np.log(0.5)])
    assert raw(build({"column": "gdp", "side": "origin"}))["BA"] == pytest.approx([20, 22])


@pytest.mark.parametrize(("transform", "wanted"), [("none", 3.0), ("log1p", np.log(4.0))])
def test_transforms(transform: str, wanted: float) -> None:
    found = build({"column": "refugees", "side": "origin", "transform": transform})
    assert raw(found)["CA"] == pytest.approx([wanted, wanted])


def test_the_log_of_zero_is_refused_by_name() -> None:
    with pytest.raises(InputError) as caught:
        build({"column": "refugees", "side": "origin", "transform": "log", "name": "log_ref"})
    (fault,) = caught.value.faults
    assert fault.where == "covariate log_ref"
    assert fault.column == "refugees"
    assert "above 0 under transform log" in fault.allowed


def test_missing_values_are_refused_naming_the_cells() -> None:
    with pytest.raises(InputError) as caught:
        build({"column": "patchy", "side": "origin"})
    (fault,) = caught.value.faults
    assert "C 2020" in fault.found
    assert "A 2021" in fault.found
    assert "B" not in fault.found
    assert fault.column == "patchy"


@pytest.mark.parametrize(
    ("rule", "wanted"), [("zero", 0.0), ("nearest_year", 3.0), ("mean", (1 + 2 + 2 + 3) / 4)]
)
def test_imputed_cells_are_filled_by_the_rule_and_counted(rule: str, wanted: float) -> None:
    found = build({"column": "patchy", "side": "origin", "missing": rule, "name": "p"})
    assert raw(found)["CA"][0] == pytest.approx(wanted)
    # C in 2020 and A in 2021, each with two destinations.
    assert found.imputed == {"p": 4}


def test_nothing_imputed_is_not_mentioned() -> None:
    assert build({"column": "population", "side": "origin", "missing": "mean"}).imputed == {}


def test_faults_of_all_terms_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        build(
            {"column": "popluation", "side": "origin"},
            {"column": "patchy", "side": "destination"},
            {"column": "distance", "side": "origin"},
        )
    text = str(caught.value)
    assert len(caught.value.faults) == 3
    assert "did you mean population?" in text
    assert "covariate of a corridor" in text


def test_a_model_without_terms_needs_no_data_and_one_with_terms_does() -> None:
    empty = build_covariates(ModelSpec(name="m"), None, grid())
    assert empty.values.shape == (6, 2, 0)
    spec = ModelSpec(name="m", process=Process(covariates=(CovariateTerm(name="a", column="a"),)))
    with pytest.raises(InputError, match="no covariates"):
        build_covariates(spec, None, grid())


def test_a_ratio_over_zero_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        build({"column": "refugees", "side": "ratio"})
    (fault,) = caught.value.faults
    assert fault.found == "refugees of 0 in A"
