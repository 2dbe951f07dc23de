"""Projections on disk: written block by block, taken up again, read lazily.

A folder holds what went in (`inputs`), and a folder for each scenario with its draws as Zarr. A
scenario's draws hang on what went in and on its own file, and on nothing else: their hash stands in
the folder, and a second run computes only the scenarios whose hash is another. Until a scenario is
whole it lies in a hidden folder, in which finished blocks are marked; a run that was stopped goes
on there.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowcast._atomic import atomic_file
from flowcast._hashes import file_hash
from flowcast._netcdf import plain_json
from flowcast._terminal import Progress
from flowcast.errors import Fault, InputError, UsageError
from flowcast.fanout import run_many
from flowcast.projection._inputs import hash_of_inputs, inputs_at, read_inputs
from flowcast.projection.process import FlowProcess
from flowcast.projection.projecting import dataset_of, project_block
from flowcast.projection.start import ProjectionStart
from flowcast.scenarios import dump_scenario, read_scenario
from flowcast.scenarios.loading import ResolvedScenario

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["INPUTS", "hashes_of", "open_projection", "projection_names", "run_projection"]

MANIFEST: Final = "projection.json"
INPUTS: Final = "inputs"
SCENARIO: Final = "scenario.yaml"
DRAWS: Final = "draws.zarr"
RECIPE: Final = "recipe.json"
SUPPORT: Final = "support.csv"
BLOCK_BYTES: Final = 2**26
"""Size of a block of draws of one scenario: a file, and what a worker holds of each scenario."""
MAX_BLOCK: Final = 50
VERSION: Final = "2"
"""Of the way in which draws are made: a change of it makes what lies on disk out of date."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Some draws of some scenarios: a task of a worker."""

    inputs: str
    stamp: str
    partial: tuple[str, ...]
    first: int
    last: int
    seed: int
    flows: bool


def run_projection(
    folder: Path | str,
    scenarios: Sequence[ResolvedScenario],
    *,
    draws: int,
    seed: int = 1,
    flows: bool = True,
    workers: int | None = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> dict[str, bool]:
    """Project scenarios from the inputs of a folder, and write their draws there.

    Parameters
    ----------
    folder
        With the folder `inputs`, as `write_inputs` makes it.
    scenarios
        As from `read_scenario`.
    draws
        How many.
    seed
        Of innovations and uncertain drivers.
    flows
        Whether flows between places are kept; sums of places always are.
    workers, scheduler
        As for `flowcast.fanout.run_many`: processes here, or a Dask cluster that sees the folder.
    progress
        Whether to say on stderr how far it is.

    Returns
    -------
    dict
        Name of the scenario -> whether it was computed; False where its draws were there already.

    Raises
    ------
    UsageError
        If two scenarios have one name, or there are no draws.
    InputError
        As `apply_scenario`; nothing is written then.
    """
    place = Path(folder)
    process, start, baseline, history = read_inputs(place / INPUTS)
    if draws < 1:
        raise UsageError(f"(draws) | found {draws}; allowed: 1 or more")
    # One draw of all: every fault before anything is written.
    first = project_block(process, start, scenarios, baseline, range(1), history=history, seed=seed)
    stamp = hash_of_inputs(place / INPUTS)
    recipes = {
        scenario.spec.name: _recipe(scenario, stamp, draws, seed, flows=flows)
        for scenario in scenarios
    }
    wanted = [s for s in scenarios if not _is_whole(place, s.spec.name, recipes[s.spec.name])]
    for scenario in wanted:
        name = scenario.spec.name
        template = dataset_of(process, start, name, first[name][0], range(1), seed)
        template.attrs["inputs"] = stamp
        notes = [*process.notes, *start.notes, *first[name][2]]
        size = _block_size(process, start)
        _prepare(place, scenario, recipes[name], template, draws, size, notes, flows=flows)
        first[name][1].to_csv(_partial(place, name) / SUPPORT, index=False)
    _run_blocks(place, wanted, stamp, draws, seed, flows, workers, scheduler, progress)
    for scenario in wanted:
        _finish(place, scenario.spec.name)
    _write_manifest(place, recipes)
    return {s.spec.name: s in wanted for s in scenarios}


def _recipe(
    scenario: ResolvedScenario, stamp: str, draws: int, seed: int, *, flows: bool
) -> dict[str, Any]:
    """Return all that a scenario's draws hang on."""
    said = {
        "version": VERSION,
        "inputs": stamp,
        **hashes_of(scenario),
        "draws": draws,
        "seed": seed,
        "flows": flows,
    }
    return {**said, "hash": sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}


def hashes_of(scenario: ResolvedScenario) -> dict[str, Any]:
    """Return the hash of a scenario, and those of the publishers' files that it reads."""
    from flowcast.scenarios.futures import find_file

    spec = scenario.spec
    return {
        "scenario": sha256(dump_scenario(scenario).encode()).hexdigest(),
        "files": {key: file_hash(find_file(spec, key)) for key in sorted(spec.data)},
    }


def _is_whole(place: Path, name: str, recipe: Mapping[str, Any]) -> bool:
    return bool(_recipe_in(place / name) == recipe)


def _recipe_in(folder: Path) -> Any:  # noqa: ANN401  # what JSON holds
    try:
        return json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _partial(place: Path, name: str) -> Path:
    return place / f".{name}.unfinished"


def _prepare(
    place: Path,
    scenario: ResolvedScenario,
    recipe: Mapping[str, Any],
    template: "xr.Dataset",
    draws: int,
    block: int,
    notes: Sequence[str],
    *,
    flows: bool,
) -> None:
    """Lay out an unfinished scenario, unless one with the same recipe waits to be taken up."""
    partial = _partial(place, scenario.spec.name)
    if _recipe_in(partial) == recipe:
        return
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / SCENARIO).write_text(dump_scenario(scenario), encoding="utf-8")
    kept = template if flows else template.drop_vars("flows")
    _create(kept, partial / DRAWS, draws, block, notes)
    with atomic_file(partial / RECIPE) as file:
        file.write_text(json.dumps(recipe, indent=1), encoding="utf-8")


def _create(
    template: "xr.Dataset", store: Path, draws: int, block: int, notes: Sequence[str]
) -> None:
    """Create a store for so many draws, every chunk a block of them, and write none."""
    import dask.array as da
    import xarray as xr

    variables = {
        str(name): (
            one.dims,
            da.zeros((draws, *one.shape[1:]), dtype=one.dtype, chunks=(block, *one.shape[1:])),
            one.attrs,
        )
        for name, one in template.data_vars.items()
    }
    coords = {k: v for k, v in template.coords.items() if "draw" not in v.dims}
    attrs = {**template.attrs, "notes": json.dumps(plain_json(list(notes)))}
    empty = xr.Dataset(variables, {**coords, "draw": np.arange(draws)}, attrs)
    empty.to_zarr(store, mode="w", compute=False, zarr_format=3, consolidated=False)


def _run_blocks(
    place: Path,
    wanted: Sequence[ResolvedScenario],
    stamp: str,
    draws: int,
    seed: int,
    flows: bool,
    workers: int | None,
    scheduler: str | None,
    progress: bool,
) -> None:
    if not wanted:
        return
    process, start, *_ = read_inputs(place / INPUTS)
    size = _block_size(process, start)
    partial = tuple(str(_partial(place, s.spec.name).resolve()) for s in wanted)
    inputs = str((place / INPUTS).resolve())
    tasks = {}
    for first in range(0, draws, size):
        last = min(first + size, draws)
        # A scenario that was further than the others when it was stopped is not done again.
        left = tuple(one for one in partial if not _mark(Path(one), first, last).is_file())
        if left:
            tasks[f"{first}"] = _Block(inputs, stamp, left, first, last, seed, flows)
    if workers is None or workers > 1 or scheduler is not None:
        run_many(
            _make_block,
            tasks,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
            what="blocks of draws",
        )
        return
    track = Progress(shown=progress)
    track.start("draws", draws)
    for task in tasks.values():
        _make_block(task)
        track.update(task.last)
    track.stop()


def _block_size(process: FlowProcess, start: ProjectionStart) -> int:
    """Return how many draws are made together, whatever the scenarios."""
    cells = len(process.places) ** 2 * (len(start.periods) + 2 * (start.stock is not None))
    return int(np.clip(BLOCK_BYTES // (4 * cells), 1, MAX_BLOCK))


def _mark(partial: Path, first: int, last: int) -> Path:
    return partial / f"done-{first}-{last}"


def _make_block(task: _Block) -> int:
    """Make some draws, write them where they belong, and mark them as done."""
    process, start, baseline, history = inputs_at(task.inputs, task.stamp)
    folders = {}
    scenarios = []
    for path in task.partial:
        scenario = read_scenario(Path(path) / SCENARIO)
        folders[scenario.spec.name] = Path(path)
        scenarios.append(scenario)
    draws = range(task.first, task.last)
    blocks = project_block(
        process, start, scenarios, baseline, draws, history=history, seed=task.seed
    )
    for name, (paths, _, _) in blocks.items():
        data = dataset_of(process, start, name, paths, draws, task.seed)
        kept = data if task.flows else data.drop_vars("flows")
        own = kept.drop_vars([n for n, v in kept.variables.items() if "draw" not in v.dims])
        store = folders[name] / DRAWS
        own.drop_attrs(deep=False).to_zarr(
            store, region={"draw": slice(task.first, task.last)}, consolidated=False
        )
        limited = sum(path.limited for path in paths)
        _mark(folders[name], task.first, task.last).write_text(str(limited), encoding="utf-8")
    return task.last - task.first


def _finish(place: Path, name: str) -> None:
    """Put a scenario in its place; one that stood there is replaced."""
    partial, final = _partial(place, name), place / name
    marks = sorted(partial.glob("done-*"))
    limited = sum(int(mark.read_text(encoding="utf-8")) for mark in marks)
    (partial / "limited.txt").write_text(f"{limited}\n", encoding="utf-8")
    for mark in marks:
        mark.unlink()
    if final.exists():
        old = place / f".{name}.replaced"
        shutil.rmtree(old, ignore_errors=True)
        os.replace(final, old)
        os.replace(partial, final)
        shutil.rmtree(old, ignore_errors=True)
        return
    os.replace(partial, final)


def _write_manifest(place: Path, recipes: Mapping[str, Mapping[str, Any]]) -> None:
    from flowcast import __version__

    path = place / MANIFEST
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    listed = {**before.get("scenarios", {}), **recipes}
    there = {name: one for name, one in listed.items() if (place / name / RECIPE).is_file()}
    said = {"flowcast": __version__, "scenarios": there}
    with atomic_file(path) as file:
        file.write_text(json.dumps(said, indent=1, sort_keys=True), encoding="utf-8")


def projection_names(folder: Path | str) -> tuple[str, ...]:
    """Return the scenarios of a folder.

    Raises
    ------
    InputError
        If it is no folder of projections.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise InputError([Fault(str(folder), f"no {MANIFEST}", "a folder of projections")])
    return tuple(json.loads(path.read_text(encoding="utf-8"))["scenarios"])


def open_projection(folder: Path | str, name: str) -> "xr.Dataset":
    """Open the draws of a scenario; they stay on disk until they are needed.

    Parameters
    ----------
    folder
        As `run_projection` wrote it.
    name
        Of the scenario.

    Returns
    -------
    xarray.Dataset
        As `Projection.data`.

    Raises
    ------
    InputError
        If there is no such scenario; the nearest is named.
    """
    import xarray as xr

    from flowcast.errors import nearest

    names = projection_names(folder)
    if name not in names:
        hint = nearest(name, names) or ""
        raise InputError([Fault(str(folder), f"no scenario {name!r}", ", ".join(names), hint=hint)])
    data: xr.Dataset = xr.open_zarr(Path(folder) / name / DRAWS, consolidated=False)
    return data
