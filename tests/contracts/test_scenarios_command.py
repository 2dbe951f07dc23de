"""Scenarios as a user meets them: the commands, the shipped ones with their cards, the pages."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.resources import embedded_files, embedded_path
from flowcast.scenarios import read_scenario, scenario_names
from flowcast.scenarios.spec import Change, DataFile, Scenario, Shock
from flowcast.sources import load_registry
from flowcast.sources.readers import READERS

REPOSITORY = Path(__file__).resolve().parents[2]
CARD_SECTIONS = (
    "What it is",
    "What it changes",
    "What its numbers rest on",
    "What it must not be used for",
)
ASKED_FOR = {
    *(f"ssp{n}" for n in range(1, 6)),
    *("ssp1_26", "ssp2_45", "ssp3_70", "ssp5_85"),
    *("no_migration", "open_borders", "climate_high", "conflict_shock", "return_wave", "template"),
}
HOWTO = (REPOSITORY / "docs" / "howto_write_a_scenario.md").read_text(encoding="utf-8")


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# What is shipped


def test_every_scenario_that_was_asked_for_is_shipped() -> None:
    assert set(scenario_names()) >= ASKED_FOR


@pytest.mark.parametrize("name", scenario_names())
def test_a_shipped_scenario_is_whole_and_has_a_card(name: str) -> None:
    resolved = read_scenario(name)
    assert resolved.spec.name == name
    assert resolved.spec.title
    assert resolved.spec.narrative.strip()
    card = embedded_path("scenarios", f"{name}.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}: ")
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == list(CARD_SECTIONS)
    assert all(len(part.split()) > 2 for part in card.split("\n## ")[1:])


@pytest.mark.parametrize("name", scenario_names())
def test_a_card_names_the_dois_and_files_of_its_scenario(name: str) -> None:
    spec = read_scenario(name).spec
    card = embedded_path("scenarios", f"{name}.md").read_text(encoding="utf-8")
    dois = {
        d for one in spec.entries.values() for d in re.findall(r"10\.\d{4,}/\S+\b", one.reference)
    }
    assert [doi for doi in dois if doi not in card] == []
    assert all(one.source and load_registry().entry(one.source) for one in spec.data.values())


def test_there_is_no_card_without_a_scenario_and_no_value_of_a_publisher() -> None:
    assert [p.stem for p in embedded_files("scenarios", ".md")] == scenario_names()
    others = {p.suffix for p in (REPOSITORY / "scenarios").iterdir()}
    assert others == {".yaml", ".md"}


def keys_in(text: str) -> set[str]:
    return set(re.findall(r"^[# ]*(\w+):", text, re.MULTILINE))


def test_the_template_explains_every_key() -> None:
    text = embedded_path("scenarios", "template.yaml").read_text(encoding="utf-8")
    fields = {name for part in (Scenario, DataFile, Change, Shock) for name in part.model_fields}
    assert fields - keys_in(text) == set()


def test_the_template_is_valid_with_its_marks_taken_away(tmp_path: Path) -> None:
    text = embedded_path("scenarios", "template.yaml").read_text(encoding="utf-8")
    body = text[text.index("# codes:") :]
    live = re.sub(r"^# (?=codes:|data:|drivers:|shocks:|  )", "", body, flags=re.MULTILINE)
    # What the comments give as alternatives.
    live = re.sub(r"^ +(data: people|per:|driver: rain).*\n", "", live, flags=re.MULTILINE)
    path = tmp_path / "mine.yaml"
    path.write_text(text[: text.index("# codes:")] + live, encoding="utf-8")
    (tmp_path / "visas.csv").write_text("origin,DEU\nSYR,required\n", encoding="utf-8")
    spec = read_scenario(path).spec
    assert set(spec.entries) == {
        "drivers.income",
        "drivers.harvest",
        "drivers.visas",
        "shocks.war",
        "shocks.dry_years",
    }
    assert set(spec.data) == {"people"}


# The registry and its readers


@pytest.mark.parametrize(
    "source",
    [
        "iiasa_ssp_population",
        "iiasa_ssp_gdp",
        "iiasa_ssp_urban_share",
        "cmip5_country_temperature",
        "fair_global_temperature",
    ],
)
def test_futures_are_registered_as_covariates(source: str) -> None:
    entry = load_registry().entry(source)
    assert entry.role == "covariate"
    assert READERS[entry.reader].gives == "covariates"
    assert not entry.url, "a publisher's address would be asked on every run of the live tests"
    assert entry.note


# The commands


def test_list_names_every_scenario() -> None:
    result = run_flowcast("scenarios", "list")
    assert result.exit_code == 0
    assert f"{len(scenario_names())} scenarios" in result.output
    assert all(name in result.output for name in scenario_names())


def test_show_prints_a_scenario_file_with_the_log_below(tmp_path: Path) -> None:
    result = run_flowcast("scenarios", "show", "ssp3_70")
    assert result.exit_code == 0
    loaded = yaml.safe_load(result.stdout)
    assert loaded["data"]["population"]["scenario"] == "SSP3"
    assert "# data.population.scenario: SSP2 -> SSP3 (scenarios/ssp3.yaml over" in result.stdout
    path = tmp_path / "whole.yaml"
    path.write_text(result.stdout, encoding="utf-8")
    assert run_flowcast("check", path).exit_code == 0


def test_show_takes_several_together() -> None:
    result = run_flowcast("scenarios", "show", "ssp2", "conflict_shock")
    assert yaml.safe_load(result.stdout)["name"] == "ssp2+conflict_shock"
    refused = run_flowcast("scenarios", "show", "ssp1", "ssp2")
    assert refused.exit_code == 1
    assert "data.population.scenario" in refused.output


def test_show_tells_the_nearest_name() -> None:
    result = run_flowcast("scenarios", "show", "no-migration")
    assert result.exit_code == 1
    assert "did you mean no_migration?" in result.output
    assert "Traceback" not in result.output


def test_check_lists_every_fault_of_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\ntitel: a\nshocks: {war: {driver: conflct}}\n", encoding="utf-8")
    result = run_flowcast("check", path)
    assert result.exit_code == 1
    assert "did you mean title?" in result.output
    assert "did you mean conflict?" in result.output
    assert run_flowcast("check", REPOSITORY / "scenarios").exit_code == 0


# The how-to


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", HOWTO, re.DOTALL | re.MULTILINE)


def test_the_how_to_runs_and_gives_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks("yaml"):
        name = yaml.safe_load(text)["name"]
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    names: dict[str, Any] = {}
    for text in blocks("python"):
        exec(compile(text, "howto_write_a_scenario", "exec"), names)
    (told,) = re.findall(r"prints (`.+?`)\.", HOWTO)
    assert told == f"`{names['difference']:.0f}`"
    assert any(note.startswith("precipitation leaves its history") for note in names["notes"])
    for path in tmp_path.glob("*.yaml"):
        assert run_flowcast("check", path).exit_code == 0


@pytest.mark.parametrize("page", ["howto_write_a_scenario", "scenario_yaml"])
def test_links_of_the_pages_lead_somewhere(page: str) -> None:
    text = (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([\w./]+\.md)", text):
        assert (REPOSITORY / "docs" / target).is_file(), target
    assert page in (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
