"""Importing flowcast and asking for help load nothing heavy: told by modules, not by seconds."""

import subprocess
import sys

import pytest

HEAVY = {
    "SALib",
    "arviz",
    "arviz_base",
    "arviz_stats",
    "dask",
    "distributed",
    "ema_workbench",
    "h5netcdf",
    "matplotlib",
    "numba",
    "numpy",
    "nomenclature",
    "nutpie",
    "openpyxl",
    "pandas",
    "pyam",
    "pyarrow",
    "pydantic",
    "pymc",
    "pytensor",
    "scipy",
    "sklearn",
    "statsmodels",
    "xarray",
    "yaml",
}
HELP = """
from flowcast.cli import main
sys.argv = ["flowcast", *{arguments!r}]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
"""
REPORT = "\nprint('\\n' + ' '.join(sorted(sys.modules)))"


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"import sys\n{code}{REPORT}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_import_flowcast_loads_nothing_heavy() -> None:
    assert loaded_by("import flowcast; dir(flowcast)") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["estimate", "--help"]])
def test_asking_the_command_for_help_loads_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_by(HELP.format(arguments=arguments))
    assert "flowcast" in loaded
    assert loaded & HEAVY == set()


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded_by("import flowcast\nimport yaml") & HEAVY == {"yaml"}
