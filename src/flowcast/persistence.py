"""Run folders: written whole or not at all, and read back only if nothing was changed.

A run folder holds ``posterior.nc`` (one NetCDF tree, readable with xarray alone), ``model.yaml`` as
applied, ``diagnostics.csv``, ``estimates.parquet`` and ``manifest.json``, which is written last.
A posterior whose latent flows are stored becomes ``posterior.zarr``, a Zarr store of the same tree.

The manifest lists every file with size and hash. Reading a run compares the hashes, but of stored
latent flows, which may be many gigabytes, only names and sizes: each piece of them has a checksum
that is compared when it is read. `check_run` compares every hash.
"""

import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flowcast import __version__
from flowcast._atomic import atomic_folder, partial_folders
from flowcast._hashes import file_hash
from flowcast._netcdf import Json, plain_json, read_tree, storable_tree, write_tree
from flowcast._zarr import is_flow_data, read_store, stored_at, write_store
from flowcast.config import dump_model, read_model
from flowcast.errors import Faults, InputError, UsageError, nearest
from flowcast.estimates import estimate_tables
from flowcast.posterior import GateResult, Posterior
from flowcast.tables import write_parts

__all__ = ["check_run", "is_run", "read_run", "require_free", "write_run"]

SCHEMA_VERSION: Final = 1
"""Raised when a run folder of the old form can no longer be read."""
MANIFEST: Final = "manifest.json"
POSTERIOR: Final = "posterior.nc"
STORE: Final = "posterior.zarr"
"""Instead of the former, where the latent flows are stored."""
MODEL: Final = "model.yaml"
DIAGNOSTICS: Final = "diagnostics.csv"
ESTIMATES: Final = "estimates.parquet"
FINISHED: Final = "finished"
OWN_KEYS: Final = ("schema_version", "status", "flowcast", "finished_at", "model", "gate", "files")
"""Keys of the manifest that are written here; the others are the posterior's `info`."""
INFO: Final[Mapping[str, Any]] = {
    "seed": None,
    "inputs": {},
    "overrides": {},
    "timings": {},
    "versions": {},
}
"""What a manifest always has of the posterior's `info`."""
LIBRARIES: Final = (
    "arviz",
    "h5netcdf",
    "numba",
    "numpy",
    "nutpie",
    "pandas",
    "pyarrow",
    "pymc",
    "pytensor",
    "scipy",
    "xarray",
    "zarr",
)


def write_run(
    posterior: Posterior,
    folder: str | Path,
    *,
    force: bool = False,
    extras: Callable[[Path], None] | None = None,
) -> Path:
    """Write a run folder, whole or not at all.

    The folder is filled under a hidden name, flushed to disk and renamed into place. A run that did
    not pass the convergence gate is written too, and its manifest says so. Latent flows in a store
    are linked into the run, or copied from another file system, and never read into memory.

    Parameters
    ----------
    posterior
        What `estimate` returned.
    folder
        The run folder, such as ``"runs/mine"``. Its parents are made.
    force
        Replace a finished run that stands there. Anything else is never replaced.
    extras
        Called with the unfinished folder, to add files (figures, a page) that belong to the run.

    Returns
    -------
    pathlib.Path
        The run folder.

    Raises
    ------
    UsageError
        If the folder holds a finished run (without `force`), or something that is no run.
    """
    target = Path(folder)
    require_free(target, force=force)
    # Tables come from what is stored, so that they are the same when made again from the run.
    stored = replace(posterior, tree=storable_tree(posterior.tree))
    with atomic_folder(target) as partial:
        if stored_at(stored.tree) is None:
            write_tree(stored.tree, partial / POSTERIOR)
        else:
            write_store(stored.tree, partial / STORE)
        (partial / MODEL).write_text(dump_model(stored.spec), encoding="utf-8")
        stored.diagnostics.to_csv(partial / DIAGNOSTICS, index=False, lineterminator="\n")
        write_parts(estimate_tables(stored), partial / ESTIMATES)
        if extras is not None:
            extras(partial)
        text = json.dumps(_manifest(stored, partial), indent=2, ensure_ascii=False, allow_nan=False)
        (partial / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return target


def read_run(folder: str | Path) -> Posterior:
    """Read a run folder, after checking that every file is as it was written.

    Of stored latent flows only names and sizes are checked here. They stay on disk, are read where
    they are needed, and a piece that was damaged is noticed then; `check_run` checks all of them.

    Parameters
    ----------
    folder
        A run folder.

    Returns
    -------
    Posterior
        Times come with microseconds; text that was missing comes back empty.

    Raises
    ------
    InputError
        If it is no run, was not finished, or a file is missing or was changed; all of it is told.
    """
    place = Path(folder)
    manifest = _verified_manifest(place, thorough=False)
    diagnostics = pd.read_csv(place / DIAGNOSTICS, keep_default_na=False, na_values=[""])
    gate = manifest["gate"]
    worst = {k: math.nan if v is None else float(v) for k, v in gate["worst"].items()}
    return Posterior(
        tree=read_store(place / STORE)
        if (place / STORE).is_dir()
        else read_tree(place / POSTERIOR),
        spec=read_model(place / MODEL).model_copy(update={"folder": None}),
        gate=GateResult(bool(gate["passed"]), tuple(gate["failures"]), worst),
        diagnostics=diagnostics,
        info={key: value for key, value in manifest.items() if key not in OWN_KEYS},
    )


def check_run(folder: str | Path) -> None:
    """Check that every file of a run is as it was written, hash by hash.

    Parameters
    ----------
    folder
        A run folder. Gigabytes of latent flows take seconds.

    Raises
    ------
    InputError
        As `read_run`.
    """
    _verified_manifest(Path(folder), thorough=True)


def _verified_manifest(place: Path, *, thorough: bool) -> dict[str, Any]:
    faults = Faults(str(place))
    manifest = _read_manifest(place, faults)
    faults.extend(_changed_files(place, manifest["files"], thorough=thorough))
    faults.raise_if_any()
    return manifest


def is_run(folder: str | Path) -> bool:
    """Return whether the folder has the manifest of a finished run (files are not compared)."""
    try:
        _read_manifest(Path(folder), Faults(str(folder)))
    except InputError:
        return False
    return True


def require_free(folder: str | Path, *, force: bool = False) -> None:
    """Refuse a place where a run may not be written; ask this before a long computation.

    Raises
    ------
    UsageError
        If a finished run stands there (without `force`), or something that is no run.

    Examples
    --------
    >>> require_free("runs/a_name_nobody_used")
    """
    place = Path(folder)
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not is_run(place):
        found = "a folder that is no finished run" if place.is_dir() else "a file"
        raise UsageError(f"({folder}) | found {found}; allowed: a new or empty folder")
    if not force:
        raise UsageError(
            f"({folder}) | found a finished run; allowed: a new folder, or force (--force) to "
            "replace the run"
        )


def _manifest(posterior: Posterior, folder: Path) -> Json:
    info = {**INFO, **{key: posterior.info[key] for key in posterior.info if key not in OWN_KEYS}}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    gate = posterior.gate
    own = {
        "schema_version": SCHEMA_VERSION,
        "status": FINISHED,
        "flowcast": __version__,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": posterior.spec.name,
        "gate": {"passed": gate.passed, "failures": gate.failures, "worst": gate.worst},
        "files": {path.relative_to(folder).as_posix(): _describe(path) for path in files},
    }
    versions = {**_versions(), **info["versions"]}
    return plain_json({**own, **info, "versions": versions})


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _describe(path: Path) -> dict[str, Any]:
    return {"sha256": file_hash(path), "bytes": path.stat().st_size}


def _read_manifest(place: Path, faults: Faults) -> dict[str, Any]:
    """Return the manifest of a finished run, or raise with what stands there instead."""
    path = place / MANIFEST
    manifest: Any = None
    if not place.is_dir():
        beside = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
        like = nearest(place.name, [name for name in beside if not name.startswith(".")])
        found = "a file" if place.exists() else "no such folder"
        left = " (only what an interrupted run left)" if partial_folders(place) else ""
        faults.add(found + left, "a run folder", hint=str(place.with_name(like)) if like else "")
    elif not path.is_file():
        faults.add(f"a folder without {MANIFEST}", "the folder of a finished run")
    else:
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            faults.add(f"a manifest that is not JSON ({error})", "the manifest of a finished run")
    faults.raise_if_any()
    _check_manifest(manifest, faults)
    faults.raise_if_any()
    return dict(manifest)


def _check_manifest(manifest: object, faults: Faults) -> None:
    told = manifest if isinstance(manifest, dict) else {}
    where = f"{faults.where}/{MANIFEST}"
    for key, allowed in (("schema_version", SCHEMA_VERSION), ("status", FINISHED)):
        if told.get(key) != allowed:
            faults.add(repr(told.get(key)), repr(allowed), column=key, where=where)
    for key in ("files", "gate"):
        if not isinstance(told.get(key), dict):
            faults.add("nothing", "as flowcast wrote it", column=key, where=where)
    listed = told.get("files") or {}
    posterior = f"{STORE}/zarr.json" if f"{STORE}/zarr.json" in listed else POSTERIOR
    for name in (posterior, MODEL, DIAGNOSTICS, ESTIMATES):
        if name not in listed:
            faults.add(f"no hash of {name}", "as flowcast wrote it", column="files", where=where)


def _changed_files(
    place: Path, files: Mapping[str, Mapping[str, Any]], *, thorough: bool
) -> Faults:
    """Return a fault for each file that is missing, was changed or, in a store, was added."""
    faults = Faults(str(place))
    for name, told in files.items():
        path = place / name
        if not path.is_file():
            faults.add("no such file", "the file the manifest lists", where=str(path))
        elif not thorough and _is_flow(name):
            if (size := path.stat().st_size) != told["bytes"]:
                _add_changed(faults, path, f"{size} bytes", f"{told['bytes']} bytes")
        elif (found := _describe(path)["sha256"]) != told["sha256"]:
            _add_changed(faults, path, f"hash {found[:12]}", f"hash {told['sha256'][:12]}")
    for path in sorted((place / STORE).rglob("*")):
        if path.is_file() and path.relative_to(place).as_posix() not in files:
            faults.add("a file that was added", "the files the manifest lists", where=str(path))
    return faults


def _is_flow(name: str) -> bool:
    """Return whether a file of the run is a piece of stored latent flows."""
    top, _, below = name.partition("/")
    return top == STORE and is_flow_data(below)


def _add_changed(faults: Faults, path: Path, found: str, told: str) -> None:
    faults.add(f"content with {found}", f"as it was written, {told}", where=str(path))
