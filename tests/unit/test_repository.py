"""Promises of the repository: one version, a portable lock, justified dependencies, no traces."""

import ast
import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import flowcast

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "flowcast"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SAMPLERS_LOCK = (ROOT / "requirements-samplers.lock").read_text(encoding="utf-8")
BOTH_LOCKS = pytest.mark.parametrize("lock", [LOCK, SAMPLERS_LOCK], ids=["main", "samplers"])

# Written in pieces, so that this file does not contain what it forbids.
TRACES = {
    "a machine's path": re.compile(
        "/(?:" + "root|home/[a-z]+|Users/[A-Za-z]+|opt|tmp" + ")/[A-Za-z.]"
    ),
    "a workplace's path": re.compile("/" + r"work/(?:main|shared)\b"),
    "an index address": re.compile("--(?:extra-)?" + "index-url|--find" + "-links"),
    "a registry host": re.compile("pypi" + r"\.org|python" + "hosted", re.IGNORECASE),
}


def tracked_files() -> list[Path]:
    """Return the text files git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def traces(text: str) -> set[str]:
    return {why for why, pattern in TRACES.items() if pattern.search(text)}


def requirement_name(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower()


def declared(*, without: str = "") -> list[str]:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    groups = [project["dependencies"], *(v for k, v in extras.items() if k != without)]
    return sorted(requirement_name(r) for group in groups for r in group)


def locked_entries(lock: str) -> dict[str, str]:
    """Return each requirement of a lock with the lines that belong to it."""
    pieces = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    return {piece.split()[0]: piece for piece in pieces}


def test_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/flowcast/__init__.py"
    assigned = re.compile(r"^(?:__)?version(?:__)?\s*[:=]\s*[\"']?\d+\.\d+", re.MULTILINE)
    files = [p for p in tracked_files() if p.suffix in {".py", ".toml", ".cff", ".cfg"}]
    holders = [p.relative_to(ROOT).as_posix() for p in files if assigned.search(p.read_text())]
    assert holders == ["src/flowcast/__init__.py"]


def test_changelog_speaks_of_this_version_and_of_what_comes() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert flowcast.__version__ in headings


@BOTH_LOCKS
def test_every_locked_requirement_is_pinned_and_hashed(lock: str) -> None:
    entries = locked_entries(lock)
    assert len(entries) > (100 if lock == LOCK else 5)
    assert [e for e in entries if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", e)] == []
    assert [e for e, text in entries.items() if "--hash=sha256:" not in text] == []


@BOTH_LOCKS
def test_the_locks_are_portable(lock: str) -> None:
    assert traces(lock) == set()
    assert re.findall(r"\w+://\S+|file:\S+|\S+\.whl|^-\S+", lock, re.MULTILINE) == []


def test_the_lock_holds_every_declared_dependency_and_the_build_backend() -> None:
    names = {entry.split("==")[0] for entry in locked_entries(LOCK)}
    backend = {requirement_name(r) for r in PROJECT["build-system"]["requires"]}
    assert (set(declared(without="samplers")) | backend) - names == set()


def test_the_samplers_are_locked_apart_and_change_no_version_of_the_main_lock() -> None:
    main = dict(entry.split("==") for entry in locked_entries(LOCK))
    apart = dict(entry.split("==") for entry in locked_entries(SAMPLERS_LOCK))
    named = PROJECT["project"]["optional-dependencies"]["samplers"]
    assert {requirement_name(r) for r in named} - set(apart) == set()
    assert {k: v for k, v in apart.items() if k in main and main[k] != v} == {}
    assert set(apart) - set(main) >= {"numpyro", "jax"}


def test_every_dependency_is_justified_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z0-9][a-z0-9-]*) \| (.+) \|$", page, re.MULTILINE)
    purposes = [(name, purpose) for name, purpose in rows if name != "library"]
    assert sorted(name for name, _ in purposes) == declared()
    assert [name for name, purpose in purposes if len(purpose.split()) < 2] == []


def test_dependencies_are_listed_in_order() -> None:
    project = PROJECT["project"]
    for group in (project["dependencies"], *project["optional-dependencies"].values()):
        names = [requirement_name(r) for r in group]
        assert names == sorted(names)


def test_no_trace_of_a_machine_or_a_registry() -> None:
    found = {}
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if why := traces(text):
            found[path.relative_to(ROOT).as_posix()] = why
    assert found == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("see /" + "root/notes.txt", "a machine's path"),
        ("open('/" + "home/ada/flows.csv')", "a machine's path"),
        ("../x /" + "work/main/src", "a workplace's path"),
        ("pip install --" + "index-url x", "an index address"),
        ("https://files.python" + "hosted.org/x", "a registry host"),
    ],
)
def test_a_planted_trace_is_found(text: str, why: str) -> None:
    assert traces(text) == {why}


def test_every_make_target_is_documented() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    prose = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    undocumented = [t for t in phony[1].split() if not re.search(rf"make {t}\b(?!-)", prose)]
    assert undocumented == []
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == set(phony[1].split())


def test_every_module_stands_in_the_architecture() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    units = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/*.py")}
    assert sorted(u for u in units if not re.search(rf"`{u}/?`", page)) == []


def test_every_marker_is_documented() -> None:
    prose = (ROOT / "CONTRIBUTING.md").read_text()
    names = [m.split(":")[0] for m in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    assert [name for name in names if f"`{name}`" not in prose] == []


def test_test_files_have_unique_names_and_no_packages() -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    names = [f.name for f in files]
    assert "__init__.py" not in names
    assert len(names) == len(set(names))


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {p.name: len(p.read_text().splitlines()) for p in PACKAGE.rglob("*.py")}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


@pytest.mark.parametrize("name", flowcast.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(flowcast, name)
    assert name == "__version__" or value.__doc__


def test_type_checkers_see_exactly_what_is_loaded_lazily() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    guarded = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        alias.asname: str(node.module).removeprefix("flowcast.")
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == flowcast._HOME


def test_no_public_name_hides_a_module() -> None:
    """`flowcast.plots` imported would replace a function `flowcast.plots` of the same name."""
    modules = {p.stem for p in PACKAGE.glob("*.py")} | {p.name for p in PACKAGE.iterdir()}
    assert set(flowcast.__all__) & modules == set()


def test_an_unknown_public_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match=r"module 'flowcast' has no attribute 'estimat'"):
        _ = flowcast.estimat
    assert not hasattr(import_module("flowcast"), "numpy")
    assert dir(flowcast) == sorted(flowcast.__all__)
