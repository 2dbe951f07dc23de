"""Model files: what is accepted, what is refused and how, and how settings are laid over."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flowcast.config import (
    CovariateTerm,
    ModelSpec,
    apply_overrides,
    dump_model,
    read_model,
    validate_model,
)
from flowcast.errors import Fault, InputError
from flowcast.priors import ELICITED, Prior
from flowcast.resources import embedded_names, embedded_path

MODEL: dict[str, Any] = {
    "name": "mine",
    "data": {"observations": ["reports.csv"], "places": "in/places.csv"},
    "process": {
        "covariates": [
            {"name": "distance", "column": "distance_km", "transform": "log"},
            {"name": "gdp", "column": "gdp", "side": "ratio", "prior": {"normal": [0.3, 0.5]}},
        ],
        "sd_origin": {"half_t": [3, 1]},
    },
    "measurement": {"share_immigration_low": "elicited.immigration_high"},
    "sampler": {"draws": 50},
}


def write(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, **overrides: Any) -> ModelSpec:  # noqa: ANN401
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return read_model(write(folder, yaml.safe_dump(MODEL)), dotted)


def faults(folder: Path, raw: object) -> tuple[Fault, ...]:
    text = raw if isinstance(raw, str) else yaml.safe_dump(raw)
    with pytest.raises(InputError) as caught:
        read_model(write(folder, text))
    assert all(f.where == str(folder / "model.yaml") for f in caught.value.faults)
    return caught.value.faults


def test_a_file_says_what_the_model_is(tmp_path: Path) -> None:
    spec = read(tmp_path)
    assert spec.name == "mine"
    assert [t.name for t in spec.process.covariates] == ["distance", "gdp"]
    assert spec.process.covariates[1].prior == Prior.make("normal", [0.3, 0.5])
    assert spec.process.sd_origin == Prior.make("half_t", [3, 1])
    assert spec.measurement.share_immigration_low == ELICITED["elicited.immigration_high"]
    assert spec.sampler.draws == 50
    assert spec.sampler.tune == ModelSpec(name="x").sampler.tune


def test_a_folder_stands_for_its_model_file(tmp_path: Path) -> None:
    assert read_model(write(tmp_path, "name: mine").parent) == read_model(tmp_path / "model.yaml")


@pytest.mark.parametrize("name", embedded_names("models"))
def test_every_embedded_model_is_valid_and_its_files_exist(name: str) -> None:
    spec = read_model(name)
    assert spec.name == name
    files = [*spec.data.observations, spec.data.places, spec.data.corridors]
    assert files
    assert all(spec.data_path(f).is_file() for f in files if f is not None)
    assert spec == read_model(embedded_path("models", name))


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("proces", "process"),
        ("process.sd_orgin", "sd_origin"),
        ("process.covariates[0].colum", "column"),
        ("measurement.duraton", "duration"),
        ("tails.report", "reports"),
        ("sampler.chain", "chains"),
        ("data.corridor", "corridors"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    tmp_path: Path, key: str, nearest: str
) -> None:
    raw = yaml.safe_load(yaml.safe_dump(MODEL))
    if "[0]" in key:
        raw["process"]["covariates"][0]["colum"] = "x"
    else:
        raw = apply_overrides(raw, {key: "x"})
    (fault,) = faults(tmp_path, raw)
    assert fault.found == "unknown key"
    assert fault.column == key
    assert fault.hint == nearest
    assert nearest in fault.allowed.split(", ")
    assert "folder" not in fault.allowed.split(", ")


def test_an_unknown_key_like_none_of_the_names_has_no_hint(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, {"name": "mine", "zzz": 1})
    assert fault.hint == ""
    assert "sampler" in fault.allowed


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sampler.draws", 3, "greater than or equal to 10"),
        ("sampler.chains", 1, "greater than or equal to 2"),
        ("sampler.target_accept", 1.0, "less than 1"),
        ("sampler.max_rhat", 0.9, "greater than 1"),
        ("sampler.seed", "many", "valid integer"),
        ("tails.reports", 2.0, "greater than 2"),
        ("measurement.counts", "gauss", "'poisson' or 'delta'"),
        ("codes", "wko", "'iso' or 'declared'"),
        ("name", "has space", "pattern"),
        ("process.sd_origin", {"half_norml": 1}, "did you mean half_normal?"),
        ("process.sd_origin", {"half_normal": 0}, "half_normal sd: found 0, allowed: above 0"),
        ("process.sd_origin", {"half_normal": [1, 2]}, "half_normal takes 1 numbers (sd)"),
        ("process.sd_origin", {"half_normal": True}, "found True, allowed: a number"),
        ("process.sd_origin", {"half_normal": "wide"}, "takes 1 numbers"),
        ("process.sd_origin", {"normal": [0, 1], "beta": [1, 1]}, "one shape with its numbers"),
        ("process.sd_origin", "elicited.duraton_0_to_3", "did you mean elicited.duration_0_to_3?"),
        ("process.sd_origin", 3, "Prior"),
        ("process.intercept", {"half_normal": 3}, "found half_normal; allowed: normal"),
    ],
)
def test_an_impossible_value_is_refused_with_what_is_allowed(
    tmp_path: Path, key: str, value: object, words: str
) -> None:
    (fault,) = faults(tmp_path, apply_overrides(MODEL, {key: value}))
    assert fault.column == key
    assert words in fault.allowed or words in fault.found
    assert words in str(fault)


def test_a_coefficient_wants_a_normal_prior(tmp_path: Path) -> None:
    term = {"name": "a", "column": "a", "prior": {"beta": [1, 1]}}
    (fault,) = faults(tmp_path, {"name": "m", "process": {"covariates": [term]}})
    assert fault.column == "process.covariates[0].prior"
    assert "found beta; allowed: normal" in fault.allowed


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    raw = apply_overrides(
        MODEL, {"sampler.draws": 1, "nam": "x", "process.sd_corridor": {"gama": [1, 2]}}
    )
    assert {f.column for f in faults(tmp_path, raw)} == {
        "sampler.draws",
        "nam",
        "process.sd_corridor",
    }


def test_a_missing_name_is_refused(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, {"title": "no name"})
    assert (fault.column, fault.found) == ("name", "nothing")


def test_a_covariate_name_may_not_occur_twice(tmp_path: Path) -> None:
    terms = [{"name": "a", "column": "x"}, {"name": "a", "column": "y"}]
    (fault,) = faults(tmp_path, {"name": "m", "process": {"covariates": terms}})
    assert "covariate names used twice: a" in str(fault)


@pytest.mark.parametrize(
    ("text", "words"),
    [("name: [", "YAML"), ("- a\n- b\n", "a mapping of keys to values"), ("", "a mapping")],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert words in fault.allowed


def test_broken_yaml_names_its_row(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "name: mine\ntitle: 'open\n")
    assert fault.row is not None
    assert fault.row >= 2


def test_no_such_model_names_the_nearest_embedded_one() -> None:
    with pytest.raises(InputError) as caught:
        read_model("europe_2042")
    (fault,) = caught.value.faults
    assert fault.hint == "europe_2024"
    assert "europe_2024" in fault.allowed


def test_a_specification_cannot_be_changed() -> None:
    spec = ModelSpec(name="mine")
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"


@pytest.mark.parametrize("name", ["mine", *embedded_names("models")])
def test_a_dumped_specification_reads_back_the_same(tmp_path: Path, name: str) -> None:
    spec = read(tmp_path) if name == "mine" else read_model(name)
    again = read_model(write(tmp_path, dump_model(spec)))
    assert again == spec.model_copy(update={"folder": tmp_path.resolve()})
    assert dump_model(again) == dump_model(spec)


def test_a_dumped_specification_writes_every_default_out() -> None:
    raw = yaml.safe_load(dump_model(ModelSpec(name="mine")))
    assert raw["process"]["sd_corridor"] == {"half_normal": [1.0]}
    assert raw["tails"]["reports"] == 4.0
    assert set(raw) == set(ModelSpec.model_fields) - {"folder"}


def test_overrides_go_over_the_file(tmp_path: Path) -> None:
    spec = read(tmp_path, sampler__draws=70, tails__reports=None)
    assert spec.sampler.draws == 70
    assert spec.tails.reports is None
    assert read(tmp_path).sampler.draws == 50


def test_overrides_change_nothing_in_place() -> None:
    raw = {"sampler": {"draws": 10}, "process": {"sd_origin": {"half_normal": 1}}}
    before = yaml.safe_dump(raw)
    changed = apply_overrides(
        raw, {"sampler.draws": 20, "process.sd_origin": {"half_t": [3, 1]}, "tails.reports": 5}
    )
    assert yaml.safe_dump(raw) == before
    assert changed["sampler"] == {"draws": 20}
    assert changed["process"] == {"sd_origin": {"half_t": [3, 1]}}
    assert changed["tails"] == {"reports": 5}


def test_an_unknown_override_is_refused_like_a_key_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean draws"):
        read(tmp_path, sampler__drows=70)


def test_data_paths_count_from_the_model_file(tmp_path: Path) -> None:
    spec = read(tmp_path)
    assert spec.data_path("in/places.csv") == tmp_path.resolve() / "in/places.csv"
    assert spec.data_path("/elsewhere/a.csv") == Path("/elsewhere/a.csv")
    assert ModelSpec(name="mine").data_path("a.csv") == Path("a.csv")


def test_a_term_made_in_python_takes_the_same_priors() -> None:
    made = CovariateTerm(name="a", column="a", prior={"normal": [1, 2]})
    assert made.prior == Prior.make("normal", [1, 2])


@pytest.mark.parametrize("key", ["process.ar_coefficient", "measurement.share_emigration_high"])
def test_priors_of_shares_must_lie_in_the_unit_interval(key: str) -> None:
    with pytest.raises(InputError, match=r"found half_normal; allowed: beta"):
        validate_model(apply_overrides({"name": "x"}, {key: {"half_normal": [1.0]}}), "here")
