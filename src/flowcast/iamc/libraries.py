"""pyam and nomenclature, loaded when they are needed, with what they warn of put in its place."""

import hashlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from flowcast.errors import UsageError

__all__ = ["load_nomenclature", "load_pyam", "no_alarm"]


def load_pyam() -> ModuleType:
    """Return the module `pyam`; it takes seconds, once.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    return _load("pyam", "pyam-iamc")


def load_nomenclature() -> ModuleType:
    """Return the module `nomenclature`.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    return _load("nomenclature", "nomenclature-iamc")


def _load(name: str, distribution: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    with _settings(), warnings.catch_warnings():
        # Of a database client that pyam imports; no database is used.
        warnings.filterwarnings("ignore", "This parameter is supported only by Oracle")
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"(IAMC format) | found no {error.name}; allowed: with {distribution}, which the "
                "installation from requirements.lock has (make setup)"
            ) from error


@contextmanager
def no_alarm() -> Iterator[None]:
    """Keep quiet what pyam and nomenclature are warned of by pandas, and nothing else."""
    with warnings.catch_warnings():
        # They change tables in place, which pandas will not have from version 4 on.
        warnings.filterwarnings(
            "ignore", "The inplace keyword", DeprecationWarning, module=r"(pyam|nomenclature)\b"
        )
        yield


@contextmanager
def _settings() -> Iterator[None]:
    """Set, while libraries are imported and where nobody has set it, what they ask of the system.

    `iam_units` keeps parsed files of units under the home folder, with the paths of the
    environment that parsed them: another environment then fails on import when that one is gone
    (https://github.com/hgrecco/pint/issues/1572). So each environment gets a folder of its own.
    `git`, which nomenclature imports, fails without the program, which nothing here calls.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = hashlib.sha256(sys.prefix.encode()).hexdigest()[:12]
    wanted = {
        "IAM_UNITS_CACHE": str(base / "flowcast" / f"iam-units-{own}"),
        "GIT_PYTHON_REFRESH": "quiet",
    }
    added = [name for name in wanted if name not in os.environ]
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
