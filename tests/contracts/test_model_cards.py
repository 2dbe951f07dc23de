"""Models and embedded data against what they say about themselves and where they come from."""

import csv
import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "data" / "europe_2024"
MODELS = sorted((REPOSITORY / "models").glob("*/model.yaml"))
PRIOR_SHAPES = {"normal", "half_normal", "gamma", "beta", "exponential", "half_t"}
PRIOR_SHAPES |= {"log_normal", "positive_normal"}
SECTIONS = ("Purpose", "Data", "Priors", "Known failures", "Intended uses", "Not intended")
WORDS_OF_COVARIATES = {
    "log_population_origin": "log populations",
    "log_population_destination": "log populations",
    "log_distance": "log distance",
    "contiguity": "contiguity",
    "common_language": "common language",
    "log_income_ratio": "log income ratio",
}


def one_line(text: str) -> str:
    return " ".join(text.split())


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def model_of(name: str) -> dict[str, dict[str, object]]:
    text = (REPOSITORY / "models" / name / "model.yaml").read_text(encoding="utf-8")
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def card_of(name: str) -> str:
    return (REPOSITORY / "models" / name / "card.md").read_text(encoding="utf-8")


def is_prior(value: object) -> bool:
    if isinstance(value, str):
        return value.startswith("elicited.")
    return isinstance(value, dict) and bool(PRIOR_SHAPES & set(value))


def priors_of(name: str) -> dict[str, object]:
    """Return the priors that a model sets itself, by key."""
    model = model_of(name)
    parts = {**model.get("process", {}), **model.get("measurement", {})}
    return {key: value for key, value in parts.items() if is_prior(value)}


def prior_table(name: str) -> dict[str, tuple[str, str]]:
    """Return value and reason by what stands in the first column of the card's table."""
    section = card_of(name).split("## Priors")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {key: (value, reason) for key, value, reason in cells}


def expand(cell: str) -> list[str]:
    """Return the keys in a cell; `_high` after `share_low` is `share_high`."""
    found: list[str] = []
    for key in re.findall(r"`([a-z_]+)`", cell):
        stem = found[-1].rsplit("_", 1)[0] if key.startswith("_") else ""
        found.append(stem + key)
    return found


def test_the_model_of_the_demo_is_there() -> None:
    assert "europe_2024" in {path.parent.name for path in MODELS}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_every_model_has_a_card_with_all_its_parts(path: Path) -> None:
    name = path.parent.name
    card = card_of(name)
    assert card.startswith(f"# {name}: ")
    heads = re.findall(r"^## (.+)$", card, re.MULTILINE)
    for section in SECTIONS:
        assert any(head.startswith(section) for head in heads), section
    assert model_of(name)["name"] == name


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_the_card_gives_a_reason_for_each_prior_of_the_model(path: Path) -> None:
    name = path.parent.name
    explained = {key for cell in prior_table(name) for key in expand(cell)}
    assert set(priors_of(name)) <= explained
    assert all(value and reason for value, reason in prior_table(name).values())


def test_the_card_names_no_prior_that_the_model_does_not_set() -> None:
    explained = {key for cell in prior_table("europe_2024") for key in expand(cell)}
    assert explained == set(priors_of("europe_2024"))


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("intercept", "normal"),
        ("sd_origin", "half_normal"),
        ("sd_corridor", "half_normal"),
        ("sd_reporter", "half_normal"),
        ("sd_noise", "gamma"),
    ],
)
def test_the_numbers_of_the_card_are_those_of_the_model(key: str, shape: str) -> None:
    prior = priors_of("europe_2024")[key]
    assert isinstance(prior, dict)
    values = prior[shape]
    numbers = [float(v) for v in (values if isinstance(values, list) else [values])]
    (value,) = [v for cell, (v, _) in prior_table("europe_2024").items() if key in expand(cell)]
    inside = re.search(r"\(([^)]*)\)", value)
    assert inside is not None
    assert [float(text) for text in inside[1].split(",")] == numbers
    assert value.lower().replace("-", "_").startswith(shape)


def test_the_card_gives_the_priors_of_the_covariates() -> None:
    table = prior_table("europe_2024")
    covariates = model_of("europe_2024")["process"]["covariates"]
    assert isinstance(covariates, list)
    assert {term["name"] for term in covariates} == set(WORDS_OF_COVARIATES)
    for term in covariates:
        mean, sd = term["prior"]["normal"]
        words = WORDS_OF_COVARIATES[term["name"]]
        (value,) = [v for cell, (v, _) in table.items() if words in cell]
        assert f"normal({mean}, {sd})" in value, term["name"]


def test_the_covariates_of_the_model_are_columns_of_its_files() -> None:
    model = model_of("europe_2024")
    folder = REPOSITORY / "models" / "europe_2024"
    columns = {
        column
        for part in ("places", "corridors")
        for column in rows_of(folder / str(model["data"][part]))[0]
    }
    covariates = model["process"]["covariates"]
    assert isinstance(covariates, list)
    assert {term["column"] for term in covariates} <= columns


def test_the_card_counts_what_is_in_the_data() -> None:
    card = one_line(card_of("europe_2024"))
    rows = rows_of(DATA / "observations.csv")
    small = sum(float(row["value"]) < 50 for row in rows)
    assert f"{len(rows)} reports." in card
    assert f"{small} of the {len(rows)} reports are below 50 persons" in card
    sides: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        sides.setdefault((row["origin"], row["destination"]), set()).add(row["reporter"])
    both = sum(len(found) == 2 for found in sides.values())
    mirrored = sum(bool(row["mirror_of"]) for row in rows)
    assert f"{both} have figures of both sides" in card
    assert f"so that {both - mirrored} have two independent ones" in card
    assert f"{len(sides) - both} of one side, {18 * 17 - len(sides)} of none" in card


def test_the_readme_counts_the_rows_of_its_files() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+\.csv)` \| (\d+) \|", readme, re.MULTILINE))
    assert set(told) == {"observations.csv", "definitions.csv", "places.csv", "corridors.csv"}
    for name, count in told.items():
        assert len(rows_of(DATA / name)) == int(count), name


def test_a_reporter_and_side_is_defined_once_and_its_reports_say_the_same() -> None:
    definitions = rows_of(DATA / "definitions.csv")
    by_key = {(row["reporter"], row["side"]): row for row in definitions}
    assert len(by_key) == len(definitions)
    traits = ("duration_months", "undercount_class", "accuracy_class")
    for row in rows_of(DATA / "observations.csv"):
        definition = by_key[row[row["reporter"]], row["reporter"]]
        assert [row[t] for t in traits] == [definition[t] for t in traits], row


# --- against the published figures ---------------------------------------------------------------


@pytest.fixture
def published(shared: Path) -> Path:
    return shared / "figures" / "europe_2024"


def test_the_source_line_is_the_one_that_was_asked_for(published: Path) -> None:
    sources = one_line((published / "SOURCES.md").read_text(encoding="utf-8"))
    found = re.search(r'Source line: "([^"]+)"', sources)
    assert found is not None
    assert found[1].startswith("Source: Eurostat, migr_imm5prv and migr_emi3nxt")
    for text in ((DATA / "README.md").read_text(encoding="utf-8"), card_of("europe_2024")):
        assert found[1] in one_line(text)
        assert "CC BY 4.0" in text


def test_reports_are_the_published_figures_row_by_row(published: Path) -> None:
    names = ("origin", "destination", "year", "reporter", "value", "flag")
    there = rows_of(published / "europe_2024_reported_flows.csv")
    here = rows_of(DATA / "observations.csv")
    assert len(there) == 517
    for ours, theirs in zip(here, there, strict=True):
        assert [ours[n] for n in names] == [theirs[n] for n in names]


def test_countries_are_the_published_ones(published: Path) -> None:
    names = {"population_2024": "population", "iso2": "place"}
    there = rows_of(published / "europe_2024_countries.csv")
    for ours, theirs in zip(rows_of(DATA / "places.csv"), there, strict=True):
        for name, text in theirs.items():
            if name == "population_flag":
                continue
            own = ours[names.get(name, name)]
            assert own == text or float(own) == float(text), (theirs["iso2"], name)


def test_borders_are_the_published_ones_in_both_directions(published: Path) -> None:
    pairs = rows_of(published / "europe_2024_borders.csv")
    there = {(row["country_a"], row["country_b"]) for row in pairs}
    corridors = rows_of(DATA / "corridors.csv")
    here = {(r["origin"], r["destination"]) for r in corridors if r["contiguity"] == "1"}
    assert here == there | {(b, a) for a, b in there}
    assert len(here) == 34
