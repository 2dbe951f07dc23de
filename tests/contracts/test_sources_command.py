"""`flowcast sources` as a user meets it, and a fit that is given a held-out source."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.sources import load_registry
from flowcast.sources.fetch import make_client
from flowcast.sources.registry import COLUMNS

BODY = b"Main ID,Region\n1,Europe\n"
OWN = (
    "id,publisher,title,family,measure,role,url,page,file\n"
    "ours,We,Our file,survey,flow,fit,https://ours.example/f.csv,https://ours.example,f.csv\n"
)
HEADER = "source,family,measure,origin,destination,year,value,reporter\n"
REPORTS = (
    "mine,administrative,flow,DE,FR,2020,10,destination\n"
    "mine,administrative,flow,DE,FR,2020,8,origin\n"
    "imem_2013,estimate,flow,DE,FR,2021,9,destination\n"
)


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, in which the cache is the default one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOWCAST_DATA", raising=False)
    return tmp_path


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | None], list[str]]:
    """Replace the network by one answer, or by none; the addresses asked for are returned."""

    def install(body: bytes | None) -> list[str]:
        asked: list[str] = []

        def blocks() -> Iterator[bytes]:
            yield body or b""

        def serve(request: httpx.Request) -> httpx.Response:
            asked.append(str(request.url))
            if body is None:
                raise httpx.DecodingError("no network here")
            return httpx.Response(200, content=blocks())

        transport = httpx.MockTransport(serve)
        monkeypatch.setattr("flowcast.sources.fetch.make_client", lambda: make_client(transport))
        return asked

    return install


# List and show


def test_the_list_has_every_source() -> None:
    done = run_flowcast("sources", "list")
    assert done.exit_code == 0
    ids = load_registry().ids
    assert done.stdout.startswith(f"{len(ids)} sources\n")
    assert [line.split()[0] for line in done.stdout.splitlines()[3:]] == list(ids)


def test_the_list_can_be_cut_by_family_and_role() -> None:
    done = run_flowcast("sources", "list", "--role", "heldout", "--family", "estimate")
    assert done.stdout.startswith("3 sources\n")
    assert "imem_2013" in done.stdout
    assert run_flowcast("sources", "list", "--family", "census").stdout.startswith("2 sources\n")


def test_the_list_as_csv_is_a_registry_and_as_json_says_the_same(folder: Path) -> None:
    text = run_flowcast("sources", "list", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS
    assert json.loads(run_flowcast("sources", "list", "--format", "json").stdout) == rows
    (folder / "copy.csv").write_text(text, encoding="utf-8")
    assert load_registry(folder / "copy.csv").entries == load_registry().entries


def test_a_source_is_shown_with_what_is_known_of_it(folder: Path) -> None:
    done = run_flowcast("sources", "show", "eurostat_migr_imm5prv")
    assert done.exit_code == 0
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert shown["publisher"] == "Eurostat"
    assert shown["licence"] == "CC BY 4.0"
    assert "10.2908/MIGR_IMM5PRV" in shown["citation"]
    assert "sha256" not in shown
    place = folder / "data/raw/eurostat_migr_imm5prv/migr_imm5prv.tsv.gz"
    place.parent.mkdir(parents=True)
    place.touch()
    assert "migr_imm5prv.tsv.gz" in run_flowcast("sources", "show", "eurostat_migr_imm5prv").stdout
    told = json.loads(run_flowcast("sources", "show", "imem_2013", "--format", "json").stdout)
    assert told["role"] == "heldout"


def test_an_own_registry_is_listed_shown_and_checked(folder: Path) -> None:
    own = folder / "mine.csv"
    own.write_text(OWN)
    assert "ours" in run_flowcast("sources", "list", "--registry", own).stdout
    assert run_flowcast("sources", "show", "ours", "--registry", own).exit_code == 0
    own.write_text(OWN.replace("survey,flow", "survy,flw"))
    done = run_flowcast("sources", "list", "--registry", own)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "2 faults" in done.stderr
    assert "did you mean survey?" in done.stderr


@pytest.mark.parametrize("command", ["show", "fetch"])
def test_an_unknown_source_exits_with_1_and_the_nearest_id(command: str) -> None:
    done = run_flowcast("sources", command, "imem_2014")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "did you mean imem_2013?" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["lst"],
        ["show"],
        ["fetch"],
        ["list", "--family", "digitl"],
        ["list", "--role", "held_out"],
        ["list", "--format", "xml"],
        ["show", "imem_2013", "--format", "csv"],
        ["list", "extra"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    done = run_flowcast("sources", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr


def test_help_costs_nothing() -> None:
    heavy = {"pydantic", "pandas", "numpy", "httpx"}
    for arguments in (["sources", "--help"], ["sources", "fetch", "--help"]):
        code = (
            f"import sys; sys.argv = ['flowcast', *{arguments}]\n"
            "from flowcast.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "Usage: " in done.stdout
        assert set(done.stdout.split()) & heavy == set()


# Fetch


def test_fetch_prints_the_path_and_says_licence_and_citation(
    folder: Path, network: Callable[[bytes | None], list[str]]
) -> None:
    asked = network(BODY)
    done = run_flowcast("sources", "fetch", "iom_missing_migrants")
    assert done.exit_code == 0, done.stderr
    path = folder / done.stdout.strip()
    assert path.read_bytes() == BODY
    assert path.parent == folder / "data/raw/iom_missing_migrants"
    assert "licence CC BY 4.0; cite: IOM's Missing Migrants Project" in done.stderr
    again = run_flowcast("sources", "fetch", "iom_missing_migrants")
    assert (again.exit_code, again.stdout, len(asked)) == (0, done.stdout, 1)
    assert run_flowcast("sources", "fetch", "iom_missing_migrants", "--force").exit_code == 0
    assert len(asked) == 2


def test_fetch_goes_to_the_folder_that_is_named(
    folder: Path, network: Callable[[bytes | None], list[str]]
) -> None:
    network(BODY)
    done = run_flowcast("sources", "fetch", "iom_missing_migrants", "--to", "here")
    assert done.stdout.startswith("here/iom_missing_migrants/")
    assert not (folder / "data").exists()


def test_without_a_network_fetch_exits_with_1_and_says_what_to_do(
    folder: Path, network: Callable[[bytes | None], list[str]]
) -> None:
    network(None)
    done = run_flowcast("sources", "fetch", "iom_missing_migrants")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no network here" in done.stderr
    assert "put by hand at data/raw/iom_missing_migrants/" in done.stderr
    assert "https://missingmigrants.iom.int/downloads" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_where_an_error_comes_from() -> None:
    done = run_flowcast("sources", "show", "imem_2014", "--debug")
    assert done.exception is not None
    assert not isinstance(done.exception, SystemExit)


# A held-out source in a fit


@pytest.mark.parametrize("command", [["estimate"], ["validate", "--scheme", "random"]])
def test_a_fit_with_a_held_out_source_exits_with_1_and_writes_nothing(
    folder: Path, command: list[str]
) -> None:
    (folder / "mine.yaml").write_text("name: mine\ndata: {observations: [flows.csv]}\n")
    (folder / "flows.csv").write_text(HEADER + REPORTS)
    done = run_flowcast(command[0], "mine.yaml", *command[1:])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "flows.csv, row 4) | found source 'imem_2013'" in done.stderr
    assert "only sources with the role 'fit' may enter a fit" in done.stderr
    assert not (folder / "runs" / "mine").exists()


def test_a_held_out_file_given_on_the_line_is_refused_too(folder: Path) -> None:
    (folder / "mine.yaml").write_text("name: mine\n")
    (folder / "imem.csv").write_text(HEADER + REPORTS.splitlines()[2] + "\n")
    done = run_flowcast("estimate", "mine.yaml", "--observations", "imem.csv")
    assert done.exit_code == 1
    assert "imem.csv, row 2) | found source 'imem_2013'" in done.stderr
