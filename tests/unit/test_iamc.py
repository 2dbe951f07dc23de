"""Projections to the IAMC format, its code lists, and files of it."""

import gc
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcast._iamc_codes import (
    country_regions,
    definitions_folder,
    grouping_regions,
    percentile_name,
    percentile_names,
    place_of_region,
)
from flowcast.errors import InputError, UsageError
from flowcast.iamc import libraries, read_iamc, to_iamc, validate_iamc, write_iamc
from flowcast.iamc.export import _percents
from flowcast.iamc.libraries import load_nomenclature, load_pyam, no_alarm
from flowcast.places import all_places, grouping_ids, members

if TYPE_CHECKING:
    from pyam import IamDataFrame

PLACES = ["AUT", "DEU", "TUR"]
NAMES = ["Austria", "Germany", "Turkey"]
DRAWS = 40


def projection(scenario: str = "baseline", *, length: int = 5, seed: int = 1) -> xr.Dataset:
    """Return three places in two periods, with the accounts closed in every draw."""
    rng = np.random.default_rng(seed)
    flows = rng.gamma(2.0, 5e4, (DRAWS, 3, 3, 2))
    flows[:, np.arange(3), np.arange(3)] = np.nan
    arriving, leaving = np.nansum(flows, axis=1), np.nansum(flows, axis=2)
    births, deaths = rng.gamma(5.0, 1e5, (2, DRAWS, 3, 2))
    change = np.cumsum(births - deaths + arriving - leaving, axis=2)
    start = np.broadcast_to([[[9e6], [84e6], [86e6]]], (DRAWS, 3, 1))
    people = np.concatenate([start, start + change], 2)
    by_place = ("draw", "place", "period")
    data = xr.Dataset(
        {
            "flows": (("draw", "origin", "destination", "period"), flows),
            "immigration": (by_place, arriving),
            "emigration": (by_place, leaving),
            "births": (by_place, births),
            "deaths": (by_place, deaths),
            "population": (("draw", "place", "date"), people),
            "native_born": (
                ("draw", "place", "date"),
                people * rng.uniform(0.7, 0.9, people.shape),
            ),
        },
        {
            "origin": PLACES,
            "destination": PLACES,
            "place": PLACES,
            "period": [2030, 2030 + length],
            "period_end": ("period", [2030 + length, 2030 + 2 * length]),
            "date": [2030, 2030 + length, 2030 + 2 * length],
        },
        {"model": "flowcast test", "scenario": scenario},
    )
    for variable in data.data_vars.values():
        variable.attrs["units"] = "persons per period"
    return data


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Return the rows of a projection with two groups, by region, variable and year."""
    made = to_iamc(projection(), probs=[0.8, 0.9], regions=["EU27_2020", "world"])
    return made.data.set_index(["region", "variable", "year"])["value"]


# Out


def test_a_flow_is_that_of_one_year_and_people_are_those_of_a_date(table: pd.DataFrame) -> None:
    data = projection()
    flow = data["flows"].sel(origin="DEU", destination="AUT", period=2035) / 5e6
    for name, value in {
        "": flow.mean(),
        "|5.0th Percentile": flow.quantile(0.05),
        "|10.0th Percentile": flow.quantile(0.1),
        "|50.0th Percentile": flow.median(),
        "|95.0th Percentile": flow.quantile(0.95),
    }.items():
        told = table["Germany>Austria", f"Migration|Flow{name}", 2035]
        np.testing.assert_allclose(told, value, rtol=1e-12)
    people = data["population"].sel(place="TUR", date=2040) / 1e6
    np.testing.assert_allclose(
        table["Turkey", "Population|90.0th Percentile", 2040], people.quantile(0.9), rtol=1e-12
    )
    one_year = to_iamc(projection(length=1), flows=False).data
    assert set(one_year["year"]) == {2030, 2031, 2032}


def test_means_keep_the_accounts_of_a_period(table: pd.DataFrame) -> None:
    for region in NAMES:
        grown = 5 * (
            table[region, "Births", 2030]
            - table[region, "Deaths", 2030]
            + table[region, "Migration|Net", 2030]
        )
        told = table[region, "Population", 2035] - table[region, "Population", 2030]
        np.testing.assert_allclose(told, grown, rtol=1e-9)


def test_groups_are_summed_in_each_draw_and_moves_inside_cross_no_border(
    table: pd.DataFrame,
) -> None:
    data, union = projection(), "European Union, the 27 members from 2020"
    flows = data["flows"].isel(period=0).fillna(0.0) / 5e6
    expected = {
        "Migration|Immigration": flows.sel(origin="TUR").sum("destination"),
        "Migration|Emigration": flows.sel(destination="TUR").sum("origin"),
        "Migration|Within Region": flows.sel(origin=PLACES[:2], destination=PLACES[:2]).sum(
            ["origin", "destination"]
        ),
    }
    expected["Migration|Net"] = expected["Migration|Immigration"] - expected["Migration|Emigration"]
    for variable, draws in expected.items():
        told = table[union, f"{variable}|5.0th Percentile", 2030]
        np.testing.assert_allclose(told, draws.quantile(0.05), rtol=1e-9, atol=1e-15)
    assert table["World", "Migration|Immigration", 2030] == 0.0
    total = table["World", "Migration|Within Region", 2030]
    np.testing.assert_allclose(total, flows.sum(["origin", "destination"]).mean(), rtol=1e-9)
    people = data["population"].sel(place=["AUT", "DEU"], date=2035).sum("place") / 1e6
    bound = table[union, "Population|95.0th Percentile", 2035]
    np.testing.assert_allclose(bound, people.quantile(0.95), rtol=1e-12)


def test_the_foreign_born_are_those_born_elsewhere(table: pd.DataFrame) -> None:
    data = projection()
    elsewhere = (data["population"] - data["native_born"]).sel(date=2030).mean("draw") / 1e6
    for code, name in (("DEU", "Germany"), ("AUT", "Austria")):
        told = table[name, "Population|Foreign-Born", 2030]
        np.testing.assert_allclose(told, elsewhere.sel(place=code), rtol=1e-12)


def test_a_projection_of_sums_alone_has_no_corridors() -> None:
    data = projection().drop_vars(["flows", "native_born", "population", "date"])
    rows = to_iamc(data, regions=["world"]).data
    assert not any(">" in region for region in rows["region"])
    assert set(rows.loc[rows["region"] == "World", "variable"]) == {
        f"{name}{end}"
        for name in ("Births", "Deaths", "Migration|Net")
        for end in ("", *(f"|{percentile_name(p)}" for p in (2.5, 10, 25, 50, 75, 90, 97.5)))
    }


def test_several_scenarios_stand_in_one_table_and_lacking_members_are_told() -> None:
    both = to_iamc([projection("a"), projection("b", seed=2)], flows=False)
    assert both.scenario == ["a", "b"]
    assert len(both.meta.columns) == 0
    partial = to_iamc(projection(), regions=["EU27_2020"], flows=False)
    assert partial.meta["Incomplete regions"].tolist() == [
        "European Union, the 27 members from 2020 (has 2 of 27)"
    ]


def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(UsageError, match=r"found 0\.89; allowed: probabilities whose bounds"):
        to_iamc(projection(), probs=[0.8, 0.89])
    with pytest.raises(UsageError, match=r"scenario 'baseline' again"):
        to_iamc([projection(), projection()], flows=False)
    with pytest.raises(UsageError, match=r"scenario ''; allowed: a name"):
        to_iamc(projection(""))
    with pytest.raises(UsageError, match="found none"):
        to_iamc([])
    other = projection()
    other["births"].attrs["units"] = "thousands"
    with pytest.raises(UsageError, match=r"births\) \| found unit 'thousands'; allowed: persons"):
        to_iamc(other)
    gone = projection().assign_coords(place=["AUT", "DDR", "TUR"])
    with pytest.raises(InputError) as refused:
        to_iamc(gone, regions=["afrika", "nordic"])
    assert [fault.found for fault in refused.value.faults] == ["'DDR'", "'afrika'", "'nordic'"]
    assert refused.value.faults[1].hint == "africa"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.34, 0.66]), max_size=4))
def test_percentiles_rise_are_symmetric_and_have_the_median(probs: list[float]) -> None:
    found = _percents(probs)
    assert list(found) == sorted(set(found))
    assert 50.0 in found
    np.testing.assert_allclose(np.add(found, found[::-1]), 100.0)
    assert len(found) == 1 + 2 * len(set(probs))
    assert {percentile_name(p) for p in found} <= set(percentile_names())


@pytest.mark.parametrize("prob", [0.9003, 2 / 3, 0.0, 1.0])
def test_a_percentile_is_not_rounded_into_the_code_list(prob: float) -> None:
    with pytest.raises(UsageError, match="allowed: probabilities whose bounds"):
        _percents([prob])


# Code lists


def test_what_is_exported_passes_the_code_lists() -> None:
    lists = validate_iamc(to_iamc(projection(), regions=["world", "EU", "western_asia"]))
    assert "Population" in lists.variable
    assert lists.region["Kosovo"].iso3_codes == "KOS"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"variable": {"Births": "Birth"}},
            "variable) | found 'Birth'; allowed: a variable of the code list; did you mean Births",
        ),
        (
            {"unit": {"million": "thousand"}},
            "unit) | found 'thousand'; allowed: 'million', for Population",
        ),
        (
            {"region": {"Turkey": "Türkei"}},
            "region) | found 'Türkei'; allowed: a region of the code list",
        ),
        (
            {"region": {"Turkey>Austria": "Turkey>Austri"}},
            "found 'Austri' in 'Turkey>Austri'; allowed: a region of the code list, or two of them "
            "as A>B; did you mean Austria",
        ),
        ({"region": {"Turkey>Austria": "Turkey>Austria>Germany"}}, "'Turkey>Austria>Germany'"),
    ],
)
def test_what_is_not_in_the_code_lists_is_refused_with_the_nearest(
    change: dict[str, dict[str, str]], said: str
) -> None:
    with no_alarm():
        wrong = to_iamc(projection(), probs=[0.8]).rename(change)
    with pytest.raises(InputError) as refused:
        validate_iamc(wrong)
    assert said in str(refused.value)


def test_every_fault_is_told_at_once_and_ones_own_lists_are_used(tmp_path: Path) -> None:
    with no_alarm():
        wrong = to_iamc(projection(), flows=False, probs=[]).rename(
            {"variable": {"Births": "Birth"}, "region": {"Turkey": "Nowhere"}},
        )
    (tmp_path / "variable").mkdir()
    (tmp_path / "variable" / "own.yaml").write_text("- Population:\n    unit: persons\n")
    assert len(_refusal(wrong)) == 2
    faults = _refusal(wrong, tmp_path)
    assert "'million'; allowed: 'persons', for Population" in str(faults)
    assert "'Nowhere'" not in str(faults)


def _refusal(wrong: object, definitions: Path | None = None) -> list[str]:
    with pytest.raises(InputError) as refused:
        validate_iamc(wrong, definitions)  # type: ignore[arg-type]
    return [str(fault) for fault in refused.value.faults]


def test_regions_are_nomenclatures_countries_and_the_groupings_of_flowcast() -> None:
    named = load_nomenclature().countries.get_mapping("alpha_3", "name")
    ours = {code: named["KOS" if code == "XKX" else code] for code in country_regions()}
    assert dict(country_regions()) == ours
    assert set(ours) == {place.alpha3 for place in all_places() if not place.valid_to}
    assert tuple(grouping_regions()) == grouping_ids()
    listed = yaml.safe_load((definitions_folder() / "region" / "groupings.yaml").read_text())
    inside = {
        about["grouping"]: about["countries"] for e in listed[0]["Grouping"] for about in e.values()
    }
    assert inside == {g: [ours[code] for code in members(g)] for g in grouping_ids()}
    assert set(grouping_regions().values()) & set(ours.values()) == set()
    assert {place_of_region()[n.casefold()] for n in ours.values()} == {
        p.alpha2 for p in all_places() if not p.valid_to
    }


# Files


def read_with_pyam(path: Path) -> "IamDataFrame":
    """Return a file as pyam reads it, without the empty cells that it keeps since pandas 3."""
    pyam = load_pyam()
    with no_alarm():
        # Of a path to a workbook pyam leaves the file open, and reads it in an old way.
        warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
        warnings.filterwarnings("ignore", "ExcelFile.parse", DeprecationWarning)
        whole = pyam.IamDataFrame(path)
        gc.collect()  # of the open file, while nobody is warned
        return pyam.IamDataFrame(whole.data.dropna(subset=["value"]), meta=whole.meta)


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_a_written_file_is_read_by_pyam_as_the_same_table(ending: str, tmp_path: Path) -> None:
    made = to_iamc([projection("a"), projection("b", seed=2)], regions=["world"], probs=[0.5])
    path = tmp_path / f"out.{ending}"
    path.write_text("what stood there")
    write_iamc(made, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    again = read_with_pyam(path)
    assert again.equals(made) or ending == "csv"  # which has no sheet for `meta`
    pd.testing.assert_frame_equal(again.data, made.data, rtol=1e-12)
    back = read_iamc(path, scenario="b", mapping={"Population": "population"})
    own = projection("b", seed=2)["population"].mean("draw").sel(place="DEU")
    told = back[back["place"] == "DE"].set_index("year")["population"]
    np.testing.assert_allclose(told, own, rtol=1e-9)
    assert back.attrs["units"] == {"population": "persons"}


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = to_iamc(projection(), flows=False, probs=[])
    with pytest.raises(UsageError, match=r"ending '\.txt'; allowed: \.csv, \.xlsx"):
        write_iamc(made, tmp_path / "out.txt")
    with pytest.raises(UsageError, match="found no folder"):
        write_iamc(made, tmp_path / "none" / "out.csv")

    def fail(self: Path, data: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        write_iamc(made, tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


# Libraries


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "raise")
    monkeypatch.delenv("IAM_UNITS_CACHE", raising=False)
    before = dict(os.environ)
    with libraries._settings():
        assert os.environ["GIT_PYTHON_REFRESH"] == "raise"
        first = os.environ["IAM_UNITS_CACHE"]
    assert dict(os.environ) == before
    monkeypatch.setattr(sys, "prefix", "another environment")
    with libraries._settings():
        assert os.environ["IAM_UNITS_CACHE"] != first


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyam", None)
    monkeypatch.delitem(sys.modules, "pyam")
    monkeypatch.setattr(libraries, "import_module", _absent)
    with pytest.raises(UsageError, match=r"found no ixmp4; allowed: with pyam-iamc, which the"):
        load_pyam()


def _absent(name: str) -> object:
    raise ModuleNotFoundError(f"No module named {name}", name="ixmp4")
