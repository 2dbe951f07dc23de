"""Two releases: what changed in their tables, and what is named as the cause."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import tiny_posterior
from typer.testing import CliRunner

from flowcast.cli import app
from flowcast.compare import compare_releases, is_release
from flowcast.errors import InputError
from flowcast.persistence import write_run
from flowcast.publication import publish


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with releases of one run and of others that differ from it."""
    place = tmp_path_factory.mktemp("releases")
    (place / "policy.yaml").write_text("minimum_cell: 100\n")
    info = {"inputs": {"observations.csv": "0" * 64}, "sources": ["my_office"]}
    newer = info | {"inputs": {"observations.csv": "1" * 64}}
    wider = {"process": {"autoregressive": False}}
    runs: dict[str, dict[str, Any]] = {
        "first": {"info": info},
        "seed": {"info": info, "seed": 2},
        "data": {"info": newer},
        "both": {"info": newer, "spec": wider},
    }
    for name, made in runs.items():
        write_run(tiny_posterior(3, 1, **made), place / f"run_{name}")
        publish(place / f"run_{name}", place / name, force=True)
    publish(place / "run_first", place / "hidden", policy=place / "policy.yaml", force=True)
    return place


@pytest.mark.parametrize(
    ("other", "causes"),
    [
        ("first", ()),
        ("seed", ("seed",)),
        ("data", ("data",)),
        ("both", ("data", "model")),
        ("hidden", ("disclosure control",)),
    ],
)
def test_what_differs_is_named_as_the_cause(
    folder: Path, other: str, causes: tuple[str, ...]
) -> None:
    change = compare_releases(folder / "first", folder / other)
    assert change.causes == causes
    assert set(change.measures["measure"]) == {"flow", "immigration", "emigration", "net"}
    assert (change.measures["changed"].sum() > 0) == (other == "seed")


def test_cells_that_are_suppressed_are_counted_and_are_no_change(folder: Path) -> None:
    change = compare_releases(folder / "first", folder / "hidden")
    flows = change.measures.set_index("measure").loc["flow"]
    assert flows["hidden"] > 0
    assert flows["hidden"] + flows["cells"] == 6
    back = compare_releases(folder / "hidden", folder / "first").measures
    assert back["shown"].tolist() == change.measures["hidden"].tolist()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("seed", "Only the seed differs: changes are Monte Carlo error"),
        ("data", "inputs.observations.csv: 0000"),
        ("both", "Several things differ: data, model."),
        ("first", "Nothing that went in differs."),
    ],
)
def test_the_command_tells_the_reason(folder: Path, other: str, said: str) -> None:
    result = CliRunner().invoke(app, ["compare", str(folder / "first"), str(folder / other)])
    assert result.exit_code == 0, result.output
    assert said in result.output
    assert "By measure" in result.output


def test_a_release_that_was_changed_or_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (folder / "first").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    told = json.loads((copy / "provenance.json").read_text())
    (copy / "provenance.json").write_text(json.dumps(told | {"seed": 9}))
    (copy / "net.parquet").unlink()
    assert not is_release(tmp_path)
    with pytest.raises(InputError) as caught:
        compare_releases(copy, tmp_path)
    assert {(Path(fault.where).name, fault.found) for fault in caught.value.faults} == {
        ("provenance.json", "other content"),
        ("net.parquet", "no such file"),
        (tmp_path.name, "no release"),
    }
