"""Work that is kept as it is done, so that a fit that was killed goes on where it was.

A fit is a sequence of named stages, each determined by the problem and the seed alone. What a
stage gave is kept in a file of its own, written whole or not at all. A fit that starts again with
the same folder takes the stages it finds and makes the others, and so ends with the same result.
"""

import atexit
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowcast._atomic import atomic_file
from flowcast._kept import code_version
from flowcast.config import dump_model
from flowcast.model.problem import Problem

__all__ = ["Checkpoint", "open_checkpoint", "problem_fingerprint"]

Arrays = dict[str, NDArray[Any]]
STAMP = "fingerprint.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder of finished stages; without a folder nothing is kept.

    `fingerprint` is a hash of all that determines the stages.

    Examples
    --------
    >>> Checkpoint(None).stage("sum", lambda: {"total": np.array(3)})["total"].item()
    3
    """

    folder: Path | None
    fingerprint: str = ""

    def folder_for(self, name: str) -> Path:
        """Return a folder beside the stages; without any, a temporary one until Python ends."""
        if self.folder is not None:
            return self.folder / name
        scratch = Path(tempfile.mkdtemp(prefix="flowcast-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        return scratch / name

    def has(self, name: str) -> bool:
        """Return whether a stage is there."""
        return self.folder is not None and (self.folder / f"{name}.npz").is_file()

    def stage(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return what the stage gave; make and keep it if it is not there.

        Parameters
        ----------
        name
            Of the stage and of its file.
        make
            Makes its arrays, deterministically.
        """
        if self.folder is None:
            return make()
        file = self.folder / f"{name}.npz"
        if file.is_file():
            with np.load(file) as kept:
                return {key: kept[key] for key in kept.files}
        made = make()
        with atomic_file(file) as partial, partial.open("wb") as stream:
            np.savez(stream, **made)  # type: ignore[arg-type]
        return made


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(repr((value.shape, str(value.dtype))).encode())
        text = value.dtype.kind in "OUT"
        digest.update("\n".join(map(str, value)).encode() if text else np.ascontiguousarray(value))
    else:
        digest.update(repr(value).encode())


def problem_fingerprint(problem: Problem) -> str:
    """Return a hash of all that determines a fit: model, cells, reports, covariates, code."""
    digest = hashlib.sha256(dump_model(problem.spec).encode())
    for part in (problem.reports, problem.covariates, problem.grid):
        for item in fields(part):
            _feed(digest, getattr(part, item.name))
    digest.update(code_version().encode())
    return digest.hexdigest()


def open_checkpoint(folder: Path | None, problem: Problem) -> Checkpoint:
    """Open a folder of stages; what belongs to another model or other data is removed.

    Parameters
    ----------
    folder
        Where stages are kept; made if it is not there. None keeps nothing.
    problem
        What is fitted.
    """
    fingerprint = problem_fingerprint(problem)
    if folder is None:
        return Checkpoint(None, fingerprint)
    stamp = {"fingerprint": fingerprint}
    file = folder / STAMP
    if folder.is_dir() and (not file.is_file() or json.loads(file.read_text()) != stamp):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        with atomic_file(file) as partial:
            partial.write_text(json.dumps(stamp))
    return Checkpoint(folder, fingerprint)
