"""The rules about absent real data and about requests are tested, in a pytest of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
INNER = """
import pytest

@pytest.mark.live
def test_live():
    pass

@pytest.mark.realdata
def test_marked():
    pass

def test_with_fixture(shared):
    assert (shared / "data").is_dir()

def test_plain():
    pass
"""


def run_pytest(
    folder: Path, *options: str, ci: str, shared: Path
) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder / "conftest.py")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n  live\n  realdata\n")
    (folder / "test_inner.py").write_text(INNER)
    env = {**os.environ, "CI": ci, "FLOWCAST_SHARED": str(shared)}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a bare pytest starts at once
    command = [sys.executable, "-m", "pytest", "-rsf", *options, "."]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("ci", "present", "closing"),
    [
        ("", True, "3 passed, 1 skipped"),
        ("true", True, "3 passed, 1 skipped"),
        ("", False, "1 passed, 3 skipped"),
        ("true", False, "1 passed, 1 skipped, 2 errors"),
    ],
)
def test_absent_real_data_skip_at_home_and_fail_on_ci(
    tmp_path: Path, ci: str, present: bool, closing: str
) -> None:
    shared = tmp_path / "elsewhere"
    if present:
        (shared / "data").mkdir(parents=True)
    done = run_pytest(tmp_path, ci=ci, shared=shared)
    assert closing in done.stdout
    assert (done.returncode == 0) is ("errors" not in closing)
    if not present:
        assert f"no real data at {shared}" in done.stdout


@pytest.mark.parametrize("ci", ["", "true"])
def test_publishers_are_asked_only_with_the_option(tmp_path: Path, ci: str) -> None:
    (tmp_path / "elsewhere" / "data").mkdir(parents=True)
    unasked = run_pytest(tmp_path, ci=ci, shared=tmp_path / "elsewhere")
    assert "run pytest with --live" in unasked.stdout
    assert unasked.returncode == 0
    asked = run_pytest(tmp_path, "--live", ci=ci, shared=tmp_path / "elsewhere")
    assert "4 passed" in asked.stdout
