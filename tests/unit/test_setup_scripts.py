"""The scripts behind `make setup`: which Python they take, and what an interruption leaves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
FIND = TOOLS / "find-python.sh"
ADVICE = "flowcast needs Python 3.12 or newer"

# Stands in for an interpreter: makes "environments", and logs what pip is asked for.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    "-m venv --clear "*)
        rm -rf "$4" && mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && echo venv >> log ;;
    "-m pip "*) echo "pip $*" >> log; [ ! -e broken ] ;;
esac
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def find_python(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script where `path` is all there is to search, beside the shell's own commands."""
    shell = shutil.which("sh")
    assert shell
    executable(path / "cat", f'#!{shell}\nwhile IFS= read -r line; do echo "$line"; done\n')
    return subprocess.run(
        [shell, str(FIND)],
        env={"PATH": str(path), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_interpreter_named_by_the_user_wins(tmp_path: Path) -> None:
    done = find_python(tmp_path, PYTHON=sys.executable)
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)


def test_an_unusable_interpreter_named_by_the_user_is_refused(tmp_path: Path) -> None:
    old = executable(tmp_path / "old", "#!/bin/sh\nexit 1\n")
    os.symlink(sys.executable, tmp_path / "python3")
    done = find_python(tmp_path, PYTHON=str(old))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"PYTHON={old}" in done.stderr


def test_a_stub_and_an_old_interpreter_are_passed_over(tmp_path: Path) -> None:
    executable(tmp_path / "python3.12", "#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    executable(tmp_path / "python3", "#!/bin/sh\necho /an/old/python\nexit 1\n")
    executable(tmp_path / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    done = find_python(tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)


def test_versions_kept_by_pyenv_are_found(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "pyenv", f"#!/bin/sh\necho {tmp_path}\n")
    executable(tmp_path / "versions/3.9.1/bin/python", "#!/bin/sh\necho old\n")
    executable(tmp_path / "versions/3.12.7/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    done = find_python(tmp_path / "bin")
    assert (done.returncode, done.stdout.strip()) == (0, sys.executable)


def test_without_a_suitable_python_the_message_says_what_to_do(tmp_path: Path) -> None:
    done = find_python(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert ADVICE in done.stderr
    assert "make PYTHON=" in done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with install.sh, and with a pretended interpreter and package index."""
    python = executable(tmp_path / "python", FAKE_PYTHON)
    executable(tmp_path / "tools" / "find-python.sh", f"#!/bin/sh\necho {python}\n")
    shutil.copy(TOOLS / "install.sh", tmp_path / "tools")
    return tmp_path


def install(checkout: Path, stamp: str = ".installed-1") -> int:
    command = ["tools/install.sh", ".venv", f".venv/{stamp}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, check=False).returncode


def log(checkout: Path) -> list[str]:
    return (checkout / "log").read_text().splitlines()


def stamps(checkout: Path) -> list[str]:
    return sorted(p.name for p in (checkout / ".venv").glob(".*"))


def test_a_first_installation_checks_hashes_then_installs_the_package(checkout: Path) -> None:
    assert install(checkout) == 0
    first, lock, package = log(checkout)
    assert first == "venv"
    assert "--require-hashes -r requirements.lock" in lock
    assert "--no-deps" in lock
    assert package.endswith("--no-deps --no-build-isolation -e .")
    assert stamps(checkout) == [".installed-1"]


def test_a_change_renews_the_environment_and_its_stamp(checkout: Path) -> None:
    install(checkout)
    assert install(checkout, ".installed-2") == 0
    assert log(checkout).count("venv") == 1
    assert stamps(checkout) == [".installed-2"]


def test_an_interrupted_installation_leaves_no_stamp_and_is_done_again(checkout: Path) -> None:
    install(checkout)
    (checkout / "broken").touch()
    assert install(checkout, ".installed-2") != 0
    assert stamps(checkout) == [".unfinished"]
    (checkout / "broken").unlink()
    assert install(checkout, ".installed-2") == 0
    assert log(checkout).count("venv") == 2
    assert stamps(checkout) == [".installed-2"]
