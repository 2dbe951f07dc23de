"""Results kept in a folder, each under a hash of everything it came from.

A result is there whole or not at all, so that what was killed takes up where it was.
"""

import hashlib
import inspect
import pickle
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from flowcast._atomic import atomic_file
from flowcast._terminal import say

__all__ = ["code_version", "read_result", "result_path", "write_result"]

LIBRARIES: Final = ("numba", "numpy", "nutpie", "pandas", "scipy", "xarray")
"""Their versions may change a result, and belong to what it came from."""
SUFFIX: Final = ".result"
READABLE: Final = 40
"""Characters of a task's name that its file begins with."""
DIGEST_BYTES: Final = 32


@cache
def code_version() -> str:
    """Return a hash of the package's source and of the libraries that decide a result.

    It is computed once a process, when first asked for.

    Examples
    --------
    >>> len(code_version())
    64
    """
    hasher = hashlib.sha256(f"Python {sys.version_info[:2]}\0".encode())
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        hasher.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    for name in LIBRARIES:
        hasher.update(f"{name} {_version(name)}\0".encode())
    return hasher.hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _function_version(function: Callable[..., Any]) -> str:
    """Return what tells a function from others: its name and the source of its module."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    try:
        source = Path(inspect.getsourcefile(function) or "").read_bytes()
    except (TypeError, OSError):  # built in, or typed at a prompt
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_consts)).encode() if code else b""
    return f"{name} {hashlib.sha256(source).hexdigest()}"


def result_path(folder: Path, name: str, function: Callable[..., Any], task: object) -> Path:
    """Return the file of a task's result: its name, to be read, and a hash of all it comes from.

    Parameters
    ----------
    folder
        Where results are kept.
    name
        What messages call the task.
    function, task
        What is called with what. Tasks of plain values, arrays, tables and data classes of these
        have the same file in every process; others may be computed again.
    """
    from dask.tokenize import tokenize

    origin = f"{code_version()} {_function_version(function)} {tokenize(task)}"
    digest = hashlib.sha256(origin.encode()).hexdigest()
    return folder / f"{re.sub(r'[^\w.-]+', '_', name)[:READABLE]}-{digest[:32]}{SUFFIX}"


def read_result(path: Path) -> tuple[Any] | None:
    """Return a result, alone in a tuple, or None if there is none or the file is damaged.

    Results are pickled, so that a file must come from a folder that nobody else writes to.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        say(f"({path}) | found a damaged result; it is computed again")
        return None
    return (pickle.loads(body),)


def write_result(path: Path, result: object) -> None:
    """Write a result, whole or not at all; its folder is made."""
    body = pickle.dumps(result, protocol=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial:
        partial.write_bytes(hashlib.sha256(body).digest() + body)
