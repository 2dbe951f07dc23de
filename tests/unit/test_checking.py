"""What a path is taken for, and that every fault is found and none is invented."""

from pathlib import Path

import pytest
from support import tiny_posterior

from flowcast.checking import Checked, check_inputs, check_path, check_paths, place_codes
from flowcast.persistence import write_run
from flowcast.resources import embedded_path

HEADER = "source,family,measure,origin,destination,year,value,reporter"
REPORT = "mine,survey,flow,DE,FR,2020,10,other"
MODEL = "name: mine\ndata:\n  observations: [flows.csv]\n  places: places.csv\n"
DECLARED = "name: mine\ncodes: declared\ndata: {observations: [flows.csv]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows.csv").write_text(f"{HEADER}\n{REPORT}\n")
    (tmp_path / "places.csv").write_text("place,population\nDE,83000000\nFR,68000000\n")
    (tmp_path / "corridors.csv").write_text("origin,destination,distance_km\nDE,FR,878\n")
    (tmp_path / "model.yml").write_text(MODEL)
    return tmp_path


def found_in(checked: list[Checked], folder: Path) -> dict[str, str]:
    """Return what each file was taken for; faults are marked by their number."""
    return {str(Path(c.path).relative_to(folder)): c.kind + "!" * len(c.faults) for c in checked}


@pytest.mark.parametrize(
    ("name", "kind", "summary"),
    [
        ("flows.csv", "observations", "1 rows, 2 places, flow"),
        ("places.csv", "places", "2 places; 1 covariates; no unit for population"),
        ("corridors.csv", "corridors", "1 origins, 1 destinations; 1 covariates; no unit for"),
    ],
)
def test_a_table_is_told_by_its_columns(folder: Path, name: str, kind: str, summary: str) -> None:
    (checked,) = check_path(folder / name)
    assert checked.passed
    assert checked.kind == kind
    assert checked.summary.startswith(summary)


@pytest.mark.parametrize("missing", ["source", "family", "measure", "value", "reporter"])
def test_observations_are_recognised_without_one_of_their_columns(
    tmp_path: Path, missing: str
) -> None:
    path = tmp_path / "flows.csv"
    path.write_text(HEADER.replace(missing, f"{missing}x") + f"\n{REPORT}\n")
    (checked,) = check_path(path)
    assert checked.kind == "observations"
    assert missing in str(checked.faults[0])


def test_a_table_of_something_else_is_refused_with_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (checked,) = check_path(tmp_path / "t.csv")
    assert checked.kind == "unknown"
    assert "columns a, b" in str(checked.faults[0])
    assert "of places (place, ...)" in str(checked.faults[0])


def test_codes_that_were_replaced_are_mentioned(tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_text(f"{HEADER}\n{REPORT.replace('DE', 'UK')}\n")
    (checked,) = check_path(tmp_path / "flows.csv")
    assert checked.passed
    assert "1 codes replaced" in checked.summary


@pytest.mark.parametrize("name", ["none.csv", "none.yaml", "none", "flow.csv"])
def test_a_missing_file_is_one_fault(folder: Path, name: str) -> None:
    (checked,) = check_path(folder / name)
    assert len(checked.faults) == 1
    assert "no such file" in str(checked.faults[0])
    assert ("flows.csv?" in str(checked.faults[0])) == (name == "flow.csv")


def test_a_model_brings_the_data_it_names(folder: Path) -> None:
    checked = check_path(folder / "model.yml")
    assert found_in(checked, folder) == {
        "model.yml": "model",
        "places.csv": "places",
        "flows.csv": "observations",
    }


def test_a_model_tells_the_faults_of_its_data_and_missing_files(folder: Path) -> None:
    (folder / "flows.csv").write_text(f"{HEADER}\n{REPORT.replace('10', '-1')}\n")
    (folder / "places.csv").unlink()
    assert found_in(check_path(folder / "model.yml"), folder) == {
        "model.yml": "model",
        "places.csv": "places!",
        "flows.csv": "observations!",
    }


def test_all_faults_of_a_model_are_told(folder: Path) -> None:
    (folder / "model.yml").write_text("name: mine\nsampler: {darws: 3, seed: -1}\nproces: {}\n")
    (checked,) = check_path(folder / "model.yml")
    assert len(checked.faults) == 3


def test_a_folder_stands_for_what_is_in_it(folder: Path) -> None:
    (folder / "places.columns.csv").write_text("column,unit\npopulation,persons\n")
    (folder / "notes.csv").write_text("a,b\n1,2\n")
    (folder / ".hidden.csv").write_text("a,b\n1,2\n")
    (folder / "README.md").write_text("mine")
    checked = check_paths([folder])
    assert found_in(checked, folder) == {
        "corridors.csv": "corridors",
        "flows.csv": "observations",
        "model.yml": "model",
        "places.csv": "places",
    }
    assert len(checked) == 4


def test_a_folder_of_models_is_gone_through(folder: Path) -> None:
    (folder / "models" / "one").mkdir(parents=True)
    (folder / "models" / "one" / "model.yaml").write_text("name: one\nsampler: {draws: 1}\n")
    (checked,) = check_path(folder / "models")
    assert (checked.kind, len(checked.faults)) == ("model", 1)


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    (checked,) = check_path(tmp_path)
    assert checked.kind == "folder"
    assert "no table, model or run" in str(checked.faults[0])


def test_a_run_is_checked_against_its_hashes(tmp_path: Path) -> None:
    run = write_run(tiny_posterior(2, 1), tmp_path / "run")
    (checked,) = check_path(run)
    assert (checked.kind, checked.passed) == ("run", True)
    assert checked.summary.startswith("model tiny, gate passed")
    (run / "model.yaml").write_text("name: forged\n")
    (checked,) = check_path(run)
    assert "model.yaml" in str(checked.faults[0])


def test_a_file_meant_twice_is_checked_once(folder: Path) -> None:
    checked = check_paths([folder / "flows.csv", folder / "model.yml", folder / "flows.csv"])
    assert sorted(c.kind for c in checked) == ["model", "observations", "places"]


@pytest.mark.parametrize("name", ["observations.csv", "places.csv", "corridors.csv"])
def test_embedded_data_are_sound(name: str) -> None:
    (checked,) = check_path(embedded_path("data", "europe_2024", name))
    assert checked.passed
    assert checked.kind == name.removesuffix(".csv")


# Codes of one's own


def test_declared_codes_come_from_the_places(folder: Path) -> None:
    (folder / "model.yml").write_text(DECLARED + ", places: regions.csv}\n")
    (folder / "regions.csv").write_text("place,population\nNORTH,3\nSOUTH,4\n")
    (folder / "flows.csv").write_text(f"{HEADER}\nm,survey,flow,NORTH,SOUHT,2020,1,other\n")
    places, reports = check_path(folder / "model.yml")[1:]
    assert places.passed
    (fault,) = reports.faults
    assert "SOUHT" in str(fault)


def test_declared_codes_come_from_the_corridors_for_want_of_places(folder: Path) -> None:
    (folder / "model.yml").write_text(DECLARED + ", corridors: roads.csv}\n")
    (folder / "roads.csv").write_text("origin,destination,km\nNORTH,SOUTH,3\n")
    (folder / "flows.csv").write_text(f"{HEADER}\nm,survey,flow,NORTH,SOUTH,2020,1,other\n")
    assert all(checked.passed for checked in check_path(folder / "model.yml"))


def test_where_the_declared_codes_are_unknown_reports_are_not_judged_by_iso(folder: Path) -> None:
    (folder / "model.yml").write_text(DECLARED + ", places: none.csv}\n")
    (folder / "flows.csv").write_text(f"{HEADER}\nm,survey,flow,NORTH,SOUTH,2020,1,other\n")
    checked = check_path(folder / "model.yml")
    assert [c.kind for c in checked if not c.passed] == ["places"]


def test_inputs_given_replace_those_of_the_model(folder: Path) -> None:
    (folder / "other.csv").write_text(f"{HEADER}\n{REPORT.replace('10', '-1')}\n")
    checked = check_inputs(
        folder / "model.yml",
        {"sampler.draws": 50},
        observations=[folder / "other.csv"],
        corridors=folder / "corridors.csv",
    )
    assert found_in(checked, folder) == {
        "model.yml": "model",
        "places.csv": "places",
        "corridors.csv": "corridors",
        "other.csv": "observations!",
    }


def test_place_codes_are_those_the_model_declared() -> None:
    assert place_codes(tiny_posterior(2)) is None
    declared = tiny_posterior(["NORTH", "SOUTH"], spec={"codes": "declared"})
    assert place_codes(declared) == {"NORTH", "SOUTH"}


# --- stock tables, vital events and how wrong they may be ----------------------------------------

STOCKS = "birthplace,residence,stock\nDE,DE,100\nDE,FR,5\nFR,FR,90\n"


@pytest.mark.parametrize(
    ("name", "text", "kind", "summary"),
    [
        ("s.csv", STOCKS, "stocks", "2 places, 1 groups of foreign-born, native-born of every"),
        ("s.csv", "birthplace,DE,FR\nDE,1,2\nFR,0,0\n", "stocks", "2 places, 1 groups"),
        ("s.csv", ",DE,FR\nDE,1,2\nFR,3,4\n", "stocks", "2 places, 2 groups"),
        ("s.csv", "born,DE,FR\nDE,1,2\nFR,3,4\n", "stocks", "2 places, 2 groups"),
        ("v.csv", "place,births,deaths\nDE,1,2\n", "vital events", "1 places, births and deaths"),
        ("v.csv", "country,deaths\nDE,2\n", "vital events", "1 places, deaths"),
        ("q.csv", "place,quality\nDE,low\n", "qualities of places", "1 places"),
        (
            "e.yaml",
            "quality: low\nplaces: {DE: {births: high}}\n",
            "errors of stocks",
            "low quality",
        ),
    ],
)
def test_what_accounts_are_made_of_is_told(
    tmp_path: Path, name: str, text: str, kind: str, summary: str
) -> None:
    (tmp_path / name).write_text(text)
    (checked,) = check_path(tmp_path / name)
    assert checked.faults == ()
    assert checked.kind == kind
    assert checked.summary.startswith(summary)
    assert [c.kind for c in check_path(tmp_path)] == [kind]


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("s.csv", STOCKS.replace("90", "-90"), "stocks", "row 4, stock) | found -90"),
        ("s.csv", STOCKS.replace("stock", "stok"), "stocks", "did you mean stok"),
        ("v.csv", "place,births,deths\nDE,1,2\n", "vital events", "did you mean deths"),
        ("q.csv", "place,quality\nDE,lo\n", "qualities of places", "row 2, quality"),
        ("e.yaml", "coverge: {}\nbirths: 3\n", "errors of stocks", "did you mean coverage?"),
        ("e.yaml", "sampler: {draws: 3}\nquality: low\n", "model", "unknown key"),
        ("e.yaml", "- a\n", "unknown", "a mapping"),
    ],
)
def test_what_is_wrong_with_them_is_told(
    tmp_path: Path, name: str, text: str, kind: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    (checked, *_) = check_path(tmp_path / name)
    assert checked.kind == kind
    assert said in "\n".join(map(str, checked.faults))


def test_alternatives_to_models_are_known_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("alternatives: {flat: {set: {process.autoregressive: false}}}\n")
    (checked,) = check_path(path)
    assert (checked.kind, checked.summary, checked.faults) == ("alternatives", "flat", ())
    path.write_text("alternatives: {flat: {sett: {a: 1}}}\n")
    (checked,) = check_path(path)
    assert "did you mean set?" in str(checked.faults[0])


def test_covariates_with_births_stay_covariates(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("place,year,births,deaths,population\nDE,2020,1,2,3\n")
    (checked,) = check_path(tmp_path / "p.csv")
    assert checked.kind == "places"
