"""From files to a problem: what is read, what is refused, what is remarked."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowcast.config import CovariateTerm, ModelSpec, Process, read_model
from flowcast.errors import HeldOutError, InputError
from flowcast.observations import Observations, observations_from_frame
from flowcast.preparation import Inputs, collect_inputs, prepare

ROW: dict[str, Any] = {"source": "reg", "family": "administrative", "measure": "flow"}
ROW |= {"origin": "DE", "destination": "FR", "year": 2020, "value": 3, "reporter": "origin"}
TERM = CovariateTerm(name="log_population", column="population", side="origin", transform="log")
SPEC = ModelSpec(name="mine", process=Process(covariates=(TERM,)))


def rows(*changes: dict[str, Any], role: str = "fit") -> Observations:
    return observations_from_frame(pd.DataFrame([ROW | c for c in changes]), role=role)


def places_file(folder: Path, codes: dict[str, float]) -> Path:
    path = folder / "places.csv"
    frame = pd.DataFrame({"place": list(codes), "population": list(codes.values())})
    frame.to_csv(path, index=False)
    return path


ALPHA2 = {"AT": 9e6, "DE": 83e6, "FR": 66e6}
ALPHA3 = {"AUT": 9e6, "DEU": 83e6, "FRA": 66e6}


@pytest.mark.parametrize("alone", [True, False])
def test_held_out_observations_are_refused(tmp_path: Path, alone: bool) -> None:
    held = rows({"source": "secret"}, role="held_out")
    given = held if alone else [rows({}), held]
    with pytest.raises(HeldOutError, match="secret"):
        collect_inputs(SPEC, given, places_file(tmp_path, ALPHA2))


def test_several_observation_sets_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    pd.DataFrame([ROW | {"year": 2021}]).to_csv(path, index=False)
    inputs = collect_inputs(SPEC, [rows({}), path], places_file(tmp_path, ALPHA2))
    assert inputs.observations.n == 2
    assert prepare(inputs).problem.grid.n_period == 2


def test_without_any_observations_the_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine.*no observations"):
        collect_inputs(SPEC, None, places_file(tmp_path, ALPHA2))


def test_a_model_brings_its_own_files_and_their_hashes(tmp_path: Path) -> None:
    places = places_file(tmp_path, ALPHA2)
    pd.DataFrame([ROW]).to_csv(tmp_path / "reports.csv", index=False)
    (tmp_path / "model.yaml").write_text(
        "name: mine\ndata: {observations: [reports.csv], places: places.csv}\n"
    )
    inputs = collect_inputs(tmp_path)
    assert inputs.observations.n == 1
    assert inputs.files == {"places.csv": hashlib.sha256(places.read_bytes()).hexdigest()}
    assert prepare(inputs).problem.grid.places == ("AT", "DE", "FR")


def test_overrides_reach_the_specification(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text("name: mine\n")
    inputs = collect_inputs(tmp_path, rows({}), overrides={"sampler.draws": 33})
    assert inputs.spec.sampler.draws == 33


def test_covariates_under_the_other_kind_of_code_are_translated(tmp_path: Path) -> None:
    two = prepare(collect_inputs(SPEC, rows({}), places_file(tmp_path, ALPHA2))).problem
    three = prepare(collect_inputs(SPEC, rows({}), places_file(tmp_path, ALPHA3))).problem
    assert three.grid.places == ("AT", "DE", "FR")
    np.testing.assert_allclose(three.covariates.values, two.covariates.values)
    assert np.unique(three.covariates.values).size == 3


def test_places_without_any_report_are_part_of_the_system(tmp_path: Path) -> None:
    given = prepare(collect_inputs(SPEC, rows({}), places_file(tmp_path, ALPHA2))).problem
    assert "AT" in given.grid.places
    alone = prepare(collect_inputs(ModelSpec(name="m"), rows({}))).problem
    assert alone.grid.places == ("DE", "FR")


def test_a_report_from_outside_the_places_is_refused(tmp_path: Path) -> None:
    inputs = collect_inputs(SPEC, rows({"origin": "PL"}), places_file(tmp_path, ALPHA2))
    with pytest.raises(InputError, match="PL in 1 rows"):
        prepare(inputs)


def test_declared_codes_are_taken_as_they_are(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"codes": "declared"})
    file = places_file(tmp_path, {"north": 5.0, "south": 7.0})
    path = tmp_path / "reports.csv"
    pd.DataFrame([ROW | {"origin": "north", "destination": "south"}]).to_csv(path, index=False)
    problem = prepare(collect_inputs(spec, path, file)).problem
    assert problem.grid.places == ("north", "south")
    with pytest.raises(InputError):
        collect_inputs(SPEC, path, places_file(tmp_path, ALPHA2))


def test_declared_codes_want_a_file_that_declares_them() -> None:
    spec = ModelSpec(name="mine", codes="declared")
    with pytest.raises(InputError, match="codes: declared without places"):
        collect_inputs(spec, rows({}))


def test_declared_codes_refuse_others(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"codes": "declared"})
    path = tmp_path / "reports.csv"
    pd.DataFrame([ROW | {"origin": "north", "destination": "sotuh"}]).to_csv(path, index=False)
    with pytest.raises(InputError, match="sotuh"):
        collect_inputs(spec, path, places_file(tmp_path, {"north": 5.0, "south": 7.0}))


def test_notes_say_what_was_left_out_or_assumed() -> None:
    given = rows(
        {"mirror_of": "destination"},
        {"reporter": "destination", "duration_months": 3},
        {"year": 2021, "vintage": "2022-01-01"},
        {"year": 2021, "vintage": "2023-01-01", "duration_months": 6},
        {"year": 2021, "reporter": "destination"},
    )
    spec = ModelSpec(name="mine")
    prepared = prepare(Inputs(spec, given, None, {}))
    assert prepared.notes == (
        "1 reports repeat the other side's figure and count once",
        "1 superseded vintages left out",
        "1 reports without a duration criterion were taken as 12 months",
    )
    assert prepared.problem.reports.n == 3


def test_nothing_to_remark_is_no_note() -> None:
    given = rows({"duration_months": 12})
    assert prepare(Inputs(ModelSpec(name="mine"), given, None, {})).notes == ()


def test_imputed_covariates_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "places.csv"
    path.write_text("place,population\nAT,9\nDE,\nFR,66\n")
    mean = TERM.model_copy(update={"missing": "mean"})
    spec = ModelSpec(name="mine", process=Process(covariates=(mean,)))
    prepared = prepare(collect_inputs(spec, rows({"duration_months": 12}), path))
    assert prepared.notes == ("2 cells of log_population imputed as declared",)


def test_the_embedded_model_is_ready_to_fit() -> None:
    problem = prepare(collect_inputs("europe_2024")).problem
    spec = read_model("europe_2024")
    assert problem.covariates.names == tuple(t.name for t in spec.process.covariates)
    assert len(problem.grid.places) == 18
    assert problem.reports.n <= 517
    assert problem.reports.n > 400
    assert (problem.reports.corridor >= 0).all()
    assert (problem.reports.period == 0).all()
