"""Scenario files: every fault at once, what builds on what, what was replaced, who disagrees."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from flowcast.checking import check_path
from flowcast.errors import Fault, InputError
from flowcast.scenarios import (
    combine_scenarios,
    dump_scenario,
    needed_files,
    overlay_scenario,
    read_scenario,
    read_scenarios,
    scenario_names,
)

RAIN = {
    "driver": "precipitation",
    "operation": "multiply",
    "value": 0.9,
    "unit": "ratio",
    "places": ["eastern_africa"],
    "reference": "words",
}
WAR = {
    "driver": "conflict",
    "operation": "multiply",
    "value": 1.5,
    "unit": "ratio",
    "places": "SDN",
    "start": 2027,
    "duration": 3,
    "reference": "words",
}


def write(folder: Path, name: str, **keys: Any) -> Path:  # noqa: ANN401
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, **keys}, sort_keys=False), encoding="utf-8")
    return path


def faults_of(*paths: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as refused:
        read_scenarios(paths)
    return refused.value.faults


def told(faults: tuple[Fault, ...]) -> dict[str | None, Fault]:
    by_key = {fault.column: fault for fault in faults}
    assert len(by_key) == len(faults), [str(fault) for fault in faults]
    return by_key


def one_change(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    entry = {**RAIN, **changes}
    return {"rain": {key: value for key, value in entry.items() if value is not None}}


# Faults


def test_ten_planted_faults_are_ten_faults(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        """\
name: bad
narative: a key that does not exist
data:
  people: {source: iiasa_ssp_populaton, scenario: SSP2}
drivers:
  gdp_per_haed: {operation: multiply, value: 1.1, unit: ratio, reference: a}
  temperature: {operation: multiply, value: 1.1, unit: ratio, reference: b}
  urban_share: {operation: set, value: 60, unit: share, reference: c}
  population: {operation: path, data: peeple, unit: persons, places: GER, reference: d}
  conflict: {operation: add, value: {norml: [0, 1]}, unit: deaths per year, years: 2030-2027,
    reference: f}
shocks:
  drought: {driver: precipitation, return_period: 50, unit: mm per year, start: 2030, reference: e}
""",
        encoding="utf-8",
    )
    faults = told(faults_of(path))
    assert {key: fault.hint for key, fault in faults.items()} == {
        "narative": "narrative",
        "data.people.source": "iiasa_ssp_population",
        "drivers.gdp_per_haed.driver": "gdp_per_head",
        "drivers.temperature.operation": "",
        "drivers.urban_share.value": "",
        "drivers.population.data": "people",
        "drivers.population.places": "DEU",
        "drivers.conflict.value": "",
        "drivers.conflict.years": "",
        "shocks.drought.tail": "",
    }
    assert all(fault.where == str(path) and fault.allowed for fault in faults.values())
    assert "0 to 1 share" in faults["drivers.urban_share.value"].allowed
    assert "did you mean normal" in faults["drivers.conflict.value"].allowed


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"operation": "grow"}, "operation", "'multiply'"),
        ({"unit": "percent"}, "unit", "ratio"),
        ({"operation": "add", "unit": "mm"}, "unit", "mm per year"),
        ({"value": None}, "", "one of value and matrix"),
        ({"path": {2030: 5.0}}, "", "one of value and matrix"),
        ({"operation": "path", "unit": "mm per year"}, "", "one of path and data"),
        ({"corridors": ["SYR/DEU"]}, "corridors", "places: it is a driver of a place"),
        ({"matrix": {"SYR": {"DEU": 1.0}}, "value": None}, "matrix", "a driver of corridors"),
        ({"anchor": 2020}, "anchor", "only with operation: path"),
        ({"of": "temperature"}, "of", "with operation: elasticity only"),
        ({"operation": "elasticity"}, "of", "with operation: elasticity only"),
        ({"operation": "elasticity", "of": "visa"}, "of", "a driver of a place"),
        ({"operation": "elasticity", "of": "temperature"}, "unit", "log per °C"),
        ({"value": -1.0}, "value", "a factor, 0 or more"),
        ({"value": True}, "value", "a distribution such as"),
        ({"value": {"uniform": [2, 1]}}, "value", "low < high"),
        ({"value": "much"}, "value", "a number"),
        ({"years": "soon"}, "years", "2027-2029"),
        ({"reference": None}, "reference", "Field required"),
        ({"reference": ""}, "reference", "at least 1 character"),
        ({"places": "eastern_afrika"}, "places", 'a grouping, or "*"'),
        ({"operation": "set", "value": 99999, "unit": "mm per year"}, "value", "0 to 15000"),
    ],
)
def test_what_is_wrong_with_a_change_is_told_once(
    tmp_path: Path, changes: dict[str, Any], key: str, said: str
) -> None:
    path = write(tmp_path, "bad", drivers=one_change(**changes))
    (fault,) = faults_of(path)
    assert fault.column == ".".join(filter(None, ("drivers.rain", key)))
    assert said in fault.allowed


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"value": None}, "", "one of the two"),
        ({"return_period": 50, "tail": "high"}, "", "one of the two"),
        ({"operation": None}, "operation", "multiply or add"),
        ({"duration": 0}, "duration", "greater than or equal to 1"),
        ({"start": None}, "start", "Field required"),
        ({"driver": "temperature", "unit": "ratio"}, "operation", "path, set, add"),
    ],
)
def test_what_is_wrong_with_a_shock_is_told_once(
    tmp_path: Path, changes: dict[str, Any], key: str, said: str
) -> None:
    entry = {name: value for name, value in {**WAR, **changes}.items() if value is not None}
    found = [
        f for f in faults_of(write(tmp_path, "bad", shocks={"war": entry})) if said in f.allowed
    ]
    assert [fault.column for fault in found] == [".".join(filter(None, ("shocks.war", key)))]


def test_a_return_period_needs_a_driver_without_a_trend(tmp_path: Path) -> None:
    hot = {
        "driver": "temperature",
        "return_period": 50,
        "tail": "high",
        "unit": "°C",
        "start": 2030,
        "reference": "words",
    }
    (fault,) = faults_of(write(tmp_path, "bad", shocks={"hot": hot}))
    assert fault.column == "shocks.hot.return_period"
    assert fault.allowed == "precipitation, drought, crop_yield"


def test_faults_of_all_files_are_told_together(tmp_path: Path) -> None:
    below = write(tmp_path, "below", drivers=one_change(unit="percent"))
    above = write(tmp_path, "above", extends="below", shocks={"war": {**WAR, "tail": "left"}})
    other = write(tmp_path, "other", titel="x")
    found = {(fault.where, fault.column) for fault in faults_of(above, other)}
    assert found == {
        (str(below), "drivers.rain.unit"),
        (str(above), "shocks.war.tail"),
        (str(other), "titel"),
    }


def test_a_fault_that_is_overridden_is_told_all_the_same(tmp_path: Path) -> None:
    below = write(tmp_path, "below", drivers=one_change(unit="percent"))
    above = write(tmp_path, "above", extends="below", drivers={"rain": {"unit": "ratio"}})
    (fault,) = faults_of(above)
    assert fault.where == str(below)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b\n", "key 'name' a second time"),
        ("name: a\ndrivers: {x: {unit: a, unit: b}}\n", "key 'unit' a second time"),
        ("- a\n", "list"),
        ("name: a\ndrivers: 5\n", "5"),
        ("name: a\ndrivers: {rain: 5}\n", "5"),
    ],
)
def test_a_file_laid_out_otherwise_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    (fault,) = faults_of(path)
    assert said in fault.found


def test_two_scenarios_of_one_name_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "one")
    second = tmp_path / "two.yaml"
    second.write_text(first.read_text(encoding="utf-8"), encoding="utf-8")
    (fault,) = faults_of(first, second)
    assert (fault.where, fault.column) == (str(second), "name")


@pytest.mark.parametrize(("name", "hint"), [("ssp_2", "ssp2"), ("no-migration", "no_migration")])
def test_a_missing_scenario_is_told_with_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"no such scenario file.*did you mean {hint}"):
        read_scenario(name)
    (fault,) = faults_of(write(tmp_path, "mine", extends=name))
    assert (fault.column, fault.hint) == ("extends", hint)


def test_a_circle_is_told_with_its_members(tmp_path: Path) -> None:
    write(tmp_path, "a", extends="b")
    write(tmp_path, "b", extends="c")
    (fault,) = faults_of(write(tmp_path, "c", extends="a"))
    assert fault.found == "c -> a -> b -> c"


def test_two_changes_that_hide_one_another_are_refused(tmp_path: Path) -> None:
    first = {**RAIN, "operation": "set", "unit": "mm per year", "value": 500, "places": "africa"}
    second = {**first, "value": 400, "places": "KEN", "years": "2030-"}
    (fault,) = faults_of(write(tmp_path, "a", drivers={"one": first, "two": second}))
    assert fault.column == "drivers.two"
    assert "that drivers.one has" in fault.found
    apart = {**second, "places": "DEU"}
    before = {**second, "years": [2000, "2010-2012"]}
    first["years"] = "2020-2029"
    for other in (apart, before, second, {**second, "operation": "multiply", "unit": "ratio"}):
        read_scenario(write(tmp_path, "a", drivers={"one": first, "two": other}))


def test_drivers_that_respond_to_each_other_are_refused(tmp_path: Path) -> None:
    respond = {**RAIN, "operation": "elasticity", "of": "crop_yield"}
    back = {**respond, "driver": "crop_yield", "of": "precipitation"}
    (fault,) = faults_of(write(tmp_path, "a", drivers={"one": respond, "two": back}))
    assert "responds, in the end, to itself" in fault.found


# What builds on what


def test_overrides_are_logged_old_and_new(tmp_path: Path) -> None:
    below = write(tmp_path, "below", drivers=one_change(), shocks={"war": WAR})
    middle = write(tmp_path, "middle", extends="below", drivers={"rain": {"value": 0.8}})
    above = write(
        tmp_path,
        "above",
        extends="middle",
        drivers={"rain": {"value": {"uniform": [0.6, 0.9]}, "unit": "ratio"}},
        shocks={"war": None},
    )
    resolved = read_scenario(above)
    assert resolved.files == (str(below), str(middle), str(above))
    assert resolved.spec.shocks == {}
    assert str(resolved.spec.drivers["rain"].value) == "uniform(low=0.6, high=0.9)"
    lines = [str(line) for line in resolved.overrides]
    assert lines[0] == f"drivers.rain.value: 0.9 -> 0.8 ({middle} over {below})"
    assert (
        lines[1] == f"drivers.rain.value: 0.8 -> {{'uniform': [0.6, 0.9]}} ({above} over {middle})"
    )
    gone = [line for line in resolved.overrides if line.new is None]
    assert {line.key for line in gone} == {f"shocks.war.{key}" for key in WAR}
    assert len(lines) == 2 + len(WAR)
    assert resolved.origins["drivers.rain.value"] == str(above)
    assert resolved.origins["drivers.rain.unit"] == str(above)
    assert resolved.origins["drivers.rain.places"] == str(below)


def test_an_entry_that_was_taken_out_can_begin_anew(tmp_path: Path) -> None:
    write(tmp_path, "a", drivers=one_change(note="old"))
    write(tmp_path, "b", extends="a", drivers={"rain": None})
    again = write(tmp_path, "c", extends="b", drivers=one_change(value=0.5))
    assert read_scenario(again).spec.drivers["rain"].note == ""
    assert read_scenario(again).spec.drivers["rain"].value == 0.5


def test_parents_that_disagree_are_refused_unless_the_file_decides(tmp_path: Path) -> None:
    one = write(tmp_path, "one", drivers=one_change(value=0.9))
    two = write(tmp_path, "two", drivers=one_change(value=0.7))
    undecided = write(tmp_path, "undecided", extends=["one", "two"])
    (fault,) = faults_of(undecided)
    assert fault.where == str(undecided)
    assert fault.column == "drivers.rain.value"
    assert fault.found == f"0.9 in {one}; 0.7 in {two}"
    decided = write(tmp_path, "decided", extends=["one", "two"], drivers={"rain": {"value": 0.8}})
    resolved = read_scenario(decided)
    assert resolved.spec.drivers["rain"].value == 0.8
    assert [(line.old, line.new) for line in resolved.overrides] == [(0.9, 0.8), (0.7, 0.8)]


def test_files_given_together_may_not_set_a_key_to_different_things(tmp_path: Path) -> None:
    one = write(tmp_path, "one", drivers=one_change(value=0.9))
    two = write(tmp_path, "two", drivers=one_change(value=0.7), shocks={"war": WAR})
    with pytest.raises(InputError) as refused:
        combine_scenarios([one, two])
    (fault,) = refused.value.faults
    assert fault.column == "drivers.rain.value"
    assert str(one) in fault.found
    assert str(two) in fault.found
    same = write(tmp_path, "two", drivers=one_change(value=0.9), shocks={"war": WAR})
    together = combine_scenarios([one, same])
    assert together.spec.name == "one+two"
    assert together.files == (str(one), str(two))
    assert set(together.spec.entries) == {"drivers.rain", "shocks.war"}


def test_a_file_given_beside_one_that_builds_on_it_is_meant_too() -> None:
    with pytest.raises(InputError, match=r"'SSP2' in scenarios/ssp2.*'SSP5' in scenarios/ssp5"):
        combine_scenarios(["ssp2", "ssp5"])


def test_a_common_ancestor_is_no_disagreement(tmp_path: Path) -> None:
    write(tmp_path, "base", drivers=one_change(), shocks={"war": WAR})
    write(tmp_path, "wet", extends="base", drivers={"rain": {"value": 1.2}})
    write(tmp_path, "calm", extends="base", shocks={"war": None})
    for order in (["wet", "calm"], ["calm", "wet"]):
        spec = read_scenario(write(tmp_path, "both", extends=order)).spec
        assert spec.drivers["rain"].value == 1.2
        assert spec.shocks == {}


def test_what_one_takes_out_and_another_changes_is_disputed(tmp_path: Path) -> None:
    write(tmp_path, "base", drivers=one_change())
    wet = write(tmp_path, "wet", extends="base", drivers={"rain": {"value": 1.2}})
    gone = write(tmp_path, "gone", extends="base", drivers={"rain": None})
    faults = told(faults_of(write(tmp_path, "both", extends=["wet", "gone"])))
    assert faults["drivers.rain"].found == f"nothing in {gone}; 1.2 in {wet}"
    decided = write(tmp_path, "both", extends=["wet", "gone"], drivers={"rain": None})
    assert read_scenario(decided).spec.drivers == {}
    anew = write(tmp_path, "both", extends=["wet", "gone"], drivers=one_change(value=0.5))
    assert read_scenario(anew).spec.drivers["rain"].value == 0.5


def test_paths_count_from_the_file_that_names_them(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    visa = {"operation": "set", "matrix": "visas.csv", "unit": "state", "reference": "words"}
    (inner / "visas.csv").write_text("origin,DEU,FRA\nSYR,required,none\n", encoding="utf-8")
    write(inner, "below", drivers={"visa": visa}, data={"own": {"file": "own.csv"}})
    spec = read_scenario(write(tmp_path, "above", extends="inner/below.yaml")).spec
    assert spec.drivers["visa"].matrix == str(inner / "visas.csv")
    assert spec.data["own"].file == str(inner / "own.csv")


def test_what_is_wrong_in_a_matrix_is_told(tmp_path: Path) -> None:
    visa = {"operation": "set", "matrix": "visas.csv", "unit": "state", "reference": "words"}
    (tmp_path / "visas.csv").write_text("origin,DEU,GER\nSYR,requird,none\n", encoding="utf-8")
    faults = told(faults_of(write(tmp_path, "a", drivers={"visa": visa})))
    assert faults["drivers.visa.matrix"].hint == "DEU"
    assert faults["drivers.visa.matrix (SYR/DEU)"].hint == "required"
    (tmp_path / "visas.csv").unlink()
    (fault,) = faults_of(write(tmp_path, "a", drivers={"visa": visa}))
    assert "visas.csv" in fault.found


def test_declared_codes_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, "a", codes="declared", drivers=one_change(places=["north"]))
    assert read_scenario(path).spec.drivers["rain"].places == ("north",)


# What is printed and checked


def plain_of(text: str) -> Mapping[str, Any]:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("name", scenario_names())
def test_what_is_printed_is_the_scenario(tmp_path: Path, name: str) -> None:
    resolved = read_scenario(name)
    text = dump_scenario(resolved)
    path = tmp_path / "again.yaml"
    path.write_text(text, encoding="utf-8")
    again = read_scenario(path)
    assert again.spec == resolved.spec.model_copy(update={"extends": ()})
    assert text.count(" -> ") == len(resolved.overrides)


def test_years_are_printed_as_they_are_written(tmp_path: Path) -> None:
    path = write(tmp_path, "a", drivers=one_change(years=["2027-29", 2035, "2040-"]))
    years = plain_of(dump_scenario(read_scenario(path)))["drivers"]["rain"]["years"]
    assert years == ["2027-2029", 2035, "2040-"]


def test_check_tells_a_scenario_from_a_model(tmp_path: Path) -> None:
    path = write(tmp_path, "dry", narrative="words", drivers=one_change())
    (checked,) = check_path(path)
    assert (checked.kind, checked.passed) == ("scenario", True)
    assert checked.summary == "dry: 1 changes, 0 shocks"
    (bad,) = check_path(write(tmp_path, "bad", narrative="w", drivers=one_change(unit="x")))
    assert (bad.kind, len(bad.faults)) == ("scenario", 1)
    (model,) = check_path(write(tmp_path, "model", process={}))
    assert model.kind == "model"
    (named,) = check_path("ssp2_45")
    assert "needs iiasa_ssp_gdp" in named.summary
    (missing,) = check_path("ssp2_54")
    assert missing.faults[0].hint == "ssp2_45"


def test_files_that_nothing_uses_are_not_needed(tmp_path: Path) -> None:
    path = write(tmp_path, "a", extends="ssp2", drivers={"gdp_per_head": None})
    assert needed_files(read_scenario(path).spec) == [
        "iiasa_ssp_population",
        "iiasa_ssp_urban_share",
    ]


def test_what_is_laid_over_a_scenario_decides_and_the_rest_stays(tmp_path: Path) -> None:
    base = write(tmp_path, "base", drivers={"rain": RAIN}, shocks={"war": WAR})
    over = tmp_path / "over.yaml"
    over.write_text("drivers: {rain: {value: {uniform: [0.5, 1]}}}\nshocks: {war: null}\n")
    for one in (base, read_scenario(base)):
        whole = overlay_scenario(one, over)
        assert whole.spec.name == "base"
        assert str(whole.spec.drivers["rain"].value) == "uniform(low=0.5, high=1)"
        assert whole.spec.drivers["rain"].places == ("eastern_africa",)
        assert dict(whole.spec.shocks) == {}
        assert any("drivers.rain.value: 0.9 ->" in str(line) for line in whole.overrides)
    named = overlay_scenario(base, {"name": "other", "drivers": {"rain": {"value": 0.8}}})
    assert (named.spec.name, named.spec.drivers["rain"].value) == ("other", 0.8)


def test_faults_of_a_scenario_and_of_what_is_laid_over_it_are_told_together(tmp_path: Path) -> None:
    base = write(tmp_path, "base", drivers={"rain": {**RAIN, "unit": "rato"}})
    with pytest.raises(InputError) as refused:
        overlay_scenario(base, {"drivers": {"hail": {**RAIN, "driver": "hale"}}})
    assert {fault.column for fault in refused.value.faults} == {
        "drivers.rain.unit",
        "drivers.hail.driver",
    }
