"""What the wheel holds: the package, the data and models a user needs, and nothing else."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = "flowcast/_embedded/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the backend that is installed, so that nothing is fetched."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def repository_files(folder: str, pattern: str = "*") -> set[str]:
    """Return the files of a folder as git would track them, by path from the top."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = (Path(name) for name in done.stdout.split("\0") if name)
    return {p.as_posix() for p in paths if p.match(pattern) and (ROOT / p).is_file()}


def test_every_module_and_the_type_marker_are_in(names: set[str]) -> None:
    modules = repository_files("src", "*.py")
    assert modules
    assert {m.removeprefix("src/") for m in modules} <= names
    assert "flowcast/py.typed" in names


@pytest.mark.parametrize("folder", ["data", "models", "scenarios"])
def test_embedded_files_are_exactly_the_repositorys(names: set[str], folder: str) -> None:
    packed = {n.removeprefix(EMBEDDED) for n in names if n.startswith(f"{EMBEDDED}{folder}/")}
    assert packed == repository_files(folder)


@pytest.mark.parametrize("folder", ["data/codelists", "data/europe_2024", "models/europe_2024"])
def test_what_the_demo_needs_is_embedded(names: set[str], folder: str) -> None:
    assert any(name.startswith(f"{EMBEDDED}{folder}/") for name in names)


def test_nothing_else_is_in(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"flowcast"}
    assert [n for n in names if "/raw/" in n or "__pycache__" in n or n.endswith(".nbc")] == []


def test_metadata_names_licence_python_and_command(wheel: Path, names: set[str]) -> None:
    info = next(n for n in names if n.endswith("METADATA")).rsplit("/", 1)[0]
    with ZipFile(wheel) as archive:
        metadata = archive.read(f"{info}/METADATA").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
    assert "License-Expression: BSD-3-Clause" in metadata
    assert "Requires-Python: >=3.12" in metadata
    assert "flowcast = flowcast.cli:main" in commands
    assert f"{info}/licenses/LICENSE" in names


def test_an_installed_wheel_finds_its_embedded_files(wheel: Path, tmp_path: Path) -> None:
    """Unpacked outside the checkout, `resources` must read `_embedded`, not the repository."""
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from flowcast.resources import embedded_path; print(embedded_path('data', 'codelists'))"
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = Path(done.stdout.strip())
    assert found.resolve() == (tmp_path / "flowcast" / "_embedded" / "data" / "codelists").resolve()
