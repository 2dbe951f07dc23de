"""Many projections of one scenario: what comes out in each case of a design.

Every case goes through the same draws of the process, with the same innovations, so that cases
differ by their drivers and never by luck. What stays uncertain within a case has the same quantiles
in all of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowcast._atomic import atomic_file
from flowcast._terminal import Progress
from flowcast.errors import Fault, InputError, UsageError
from flowcast.fanout import run_many
from flowcast.projection._inputs import hash_of_inputs, inputs_at, read_inputs
from flowcast.projection.designs import Design, Method, fix_values, make_design, uncertain_values
from flowcast.projection.outcomes import Outcome, outcome_draws, read_outcome, require_outcome
from flowcast.projection.projecting import baseline_of, dataset_of, project_block
from flowcast.projection.store import INPUTS, hashes_of
from flowcast.scenarios import apply_scenario, dump_scenario
from flowcast.scenarios.composition import spec_of
from flowcast.scenarios.loading import ResolvedScenario
from flowcast.scenarios.spec import Scenario, plain

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from flowcast.projection.process import FlowProcess
    from flowcast.projection.start import ProjectionStart

__all__ = ["Exploration", "exploration_folder", "explore_scenarios", "run_exploration"]

CASES: Final = "cases.csv"
RECIPE: Final = "exploration.json"
SCENARIO: Final = "scenario.yaml"
KEPT: Final = ".cases.unfinished"
BLOCK_BYTES: Final = 2**29
"""What flows of the draws and cases may take that are made together."""
MAX_CASES: Final = 20
"""Of a block: a file, and what a worker does before it is asked again."""
VERSION: Final = "1"
"""Of the way in which cases are made: a change of it makes what lies on disk out of date."""


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """What came out of the cases of a design.

    Attributes
    ----------
    design
        What was tried.
    cases
        One row a case: its number `case`, the inputs by their keys, the outcomes by their text;
        persons per period, or persons.
    draws
        Of the process, the same in every case.
    """

    design: Design
    cases: "pd.DataFrame"
    draws: int


@dataclass(frozen=True, slots=True)
class _Block:
    """Some cases: a task of a worker."""

    inputs: str
    stamp: str
    first: int
    spec: Mapping[str, Any]
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    outcomes: tuple[Outcome, ...]
    draws: int
    seed: int


def explore_scenarios(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenario: ResolvedScenario | Scenario,
    outcomes: Sequence[Outcome | str],
    *,
    method: Method = "latin",
    cases: int = 500,
    draws: int = 50,
    seed: int = 1,
    baseline: "xr.Dataset | None" = None,
    history: "xr.Dataset | None" = None,
    progress: bool = False,
) -> Exploration:
    """Project a scenario over and over, its uncertain values other ones each time.

    Parameters
    ----------
    process, start, baseline, history
        As for `project`.
    scenario
        Whose distributions are explored; `with_uncertainties` adds some.
    outcomes
        What is told of each case, as `read_outcome` reads it.
    method, cases
        As for `make_design`.
    draws
        Of the process, spread over its chains; at most those it has.
    seed
        Of the design, the innovations and what stays uncertain.
    progress
        Whether to say on stderr how far it is.

    Raises
    ------
    UsageError
        If nothing is uncertain, there are too few cases or draws, or an outcome is none of the
        projection's.
    InputError
        As `apply_scenario`.
    """
    spec = spec_of(scenario)
    wanted = _read_outcomes(outcomes)
    design = make_design(uncertain_values(spec), method, cases, seed=seed)
    given = (process, start, baseline_of(process, start) if baseline is None else baseline, history)
    _require_sense(given, spec, design, wanted, draws)
    track = Progress(shown=progress)
    track.start("cases", len(design.inputs))
    make = partial(_outcomes_of, given, outcomes=wanted, draws=draws, seed=seed)
    rows: list[NDArray[np.float64]] = []
    for at in _blocks(design, process, start):
        rows.append(make(_fixed(spec, design, at)))
        track.update(at.stop)
    track.stop()
    return _gather(design, wanted, np.concatenate(rows), draws)


def run_exploration(
    folder: Path | str,
    scenario: ResolvedScenario,
    outcomes: Sequence[Outcome | str],
    *,
    method: Method = "latin",
    cases: int = 500,
    draws: int = 50,
    seed: int = 1,
    workers: int | None = 1,
    scheduler: str | None = None,
    progress: bool = False,
) -> Exploration:
    """Explore a scenario from the inputs of a folder, and write there what came out.

    Written are, in a folder for each method, `cases.csv`, the scenario with its ranges, and what
    the cases hang on. Finished blocks of cases are kept until all are there, so that a run that was
    stopped goes on; where all are there from the same inputs, nothing is computed.

    Parameters
    ----------
    folder
        With the folder `inputs`, as `write_inputs` makes it.
    scenario, outcomes, method, cases, draws, seed, progress
        As for `explore_scenarios`.
    workers, scheduler
        As for `flowcast.fanout.run_many`: processes here, or a Dask cluster that sees the folder.

    Raises
    ------
    UsageError, InputError
        As `explore_scenarios`; nothing is written then.
    """
    inputs = Path(folder) / INPUTS
    given = read_inputs(inputs)
    place = exploration_folder(folder, method)
    wanted = _read_outcomes(outcomes)
    design = make_design(uncertain_values(scenario.spec), method, cases, seed=seed)
    stamp = hash_of_inputs(inputs)
    recipe = _recipe(scenario, design, wanted, stamp, draws)
    known = _known(place, recipe, design, wanted)
    if known is not None:
        return known
    _require_sense(given, scenario.spec, design, wanted, draws)
    told = plain(scenario.spec)
    tasks = {
        f"cases {at.start} to {at.stop - 1}": _Block(
            str(inputs.resolve()),
            stamp,
            at.start,
            told,
            tuple(map(str, design.inputs)),
            tuple(map(tuple, design.inputs.to_numpy()[at].tolist())),
            wanted,
            draws,
            seed,
        )
        for at in _blocks(design, given[0], given[1])
    }
    rows = run_many(
        _make_block,
        tasks,
        workers=workers,
        scheduler=scheduler,
        folder=place / KEPT,
        progress=progress,
        what="blocks of cases",
    )
    found = _gather(design, wanted, np.concatenate(list(rows.values())), draws)
    _write(place, scenario, found, recipe)
    return found


def exploration_folder(folder: Path | str, method: str) -> Path:
    """Return where an exploration lies below the folder whose inputs it has."""
    return Path(folder) / f"explored-{method}"


def _read_outcomes(outcomes: Sequence[Outcome | str]) -> tuple[Outcome, ...]:
    read = [one if isinstance(one, Outcome) else read_outcome(one) for one in outcomes]
    if not read:
        raise UsageError("(outcome) | found none; allowed: one or more")
    return tuple(dict.fromkeys(read))


type _Given = "tuple[FlowProcess, ProjectionStart, xr.Dataset, xr.Dataset | None]"


def _require_sense(
    given: "_Given", spec: Scenario, design: Design, outcomes: Sequence[Outcome], draws: int
) -> None:
    """Refuse, before anything is computed, what would fail on the way."""
    process, start, baseline, history = given
    if not 1 <= draws <= process.n_draws:
        raise UsageError(f"(draws) | found {draws}; allowed: 1 to {process.n_draws}")
    for outcome in outcomes:
        require_outcome(outcome, process.places, start)
    # The ends of each range as it was drawn; what only several of them bring about is told later.
    lowest, highest = design.inputs.idxmin(), design.inputs.idxmax()
    faults: list[Fault] = []
    for case in sorted({*lowest, *highest}):
        try:
            apply_scenario(_case(spec, design, int(case)), baseline, history=history)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(dict.fromkeys(faults))


def _blocks(design: Design, process: "FlowProcess", start: "ProjectionStart") -> list[slice]:
    """Return which cases are made together."""
    # As many as draws: cases share what a draw of the process does, draws what a case's drivers do.
    size = int(np.clip(isqrt(BLOCK_BYTES // _bytes_of(process, start)), 1, MAX_CASES))
    n = len(design.inputs)
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def _bytes_of(process: "FlowProcess", start: "ProjectionStart") -> int:
    """Return the size of one draw of one case: its flows, as made and as summed up."""
    return 12 * len(process.places) ** 2 * len(start.periods)


def _case(spec: Scenario, design: Design, case: int) -> Scenario:
    row = design.inputs.iloc[case]
    return fix_values(spec, {str(k): float(v) for k, v in row.items()}, f"case-{case}")


def _fixed(spec: Scenario, design: Design, at: slice) -> list[Scenario]:
    return [_case(spec, design, case) for case in range(at.start, at.stop)]


def _make_block(task: _Block) -> "NDArray[np.float64]":
    """Return the outcomes of some cases, shape (case, outcome)."""
    spec = Scenario.model_validate(task.spec)
    scenarios = [
        fix_values(spec, dict(zip(task.names, row, strict=True)), f"case-{k}")
        for k, row in enumerate(task.values, task.first)
    ]
    given = inputs_at(task.inputs, task.stamp)
    return _outcomes_of(given, scenarios, task.outcomes, task.draws, task.seed)


def _outcomes_of(
    given: "_Given",
    scenarios: Sequence[Scenario],
    outcomes: Sequence[Outcome],
    draws: int,
    seed: int,
) -> "NDArray[np.float64]":
    """Project some cases, some draws at a time, and return quantiles, shape (case, outcome)."""
    process, start, baseline, history = given
    process = _spread(process, draws)
    step = max(BLOCK_BYTES // (_bytes_of(process, start) * len(scenarios)), 1)
    parts = []
    for first in range(0, draws, step):
        some = range(first, min(first + step, draws))
        made = project_block(process, start, scenarios, baseline, some, history=history, seed=seed)
        told = [
            dataset_of(process, start, name, paths, some, seed)
            for name, (paths, *_) in made.items()
        ]
        parts.append([[outcome_draws(one, outcome, start) for outcome in outcomes] for one in told])
    values = np.concatenate([np.array(part) for part in parts], axis=2)
    levels = [outcome.quantile for outcome in outcomes]
    return np.stack([np.quantile(values[:, k], q, axis=1) for k, q in enumerate(levels)], axis=1)


def _spread(process: "FlowProcess", draws: int) -> "FlowProcess":
    """Return a process with so many of its draws, from all over its chains."""
    at = np.arange(draws) * process.n_draws // draws
    return replace(process, posterior=process.posterior.isel(draw=at))


def _gather(
    design: Design, outcomes: Sequence[Outcome], values: "NDArray[np.float64]", draws: int
) -> Exploration:
    told = {str(outcome): values[:, k] for k, outcome in enumerate(outcomes)}
    return Exploration(design, design.inputs.assign(**told).reset_index(), draws)


# On disk


def _recipe(
    scenario: ResolvedScenario,
    design: Design,
    outcomes: Sequence[Outcome],
    stamp: str,
    draws: int,
) -> dict[str, Any]:
    """Return all that the outcomes hang on."""
    return {
        "version": VERSION,
        "inputs": stamp,
        **hashes_of(scenario),
        "method": design.method,
        "size": design.size,
        "cases": len(design.inputs),
        "design": sha256(design.inputs.to_numpy().tobytes()).hexdigest(),
        "ranges": {key: repr(one) for key, one in uncertain_values(scenario.spec).items()},
        "outcomes": [str(outcome) for outcome in outcomes],
        "draws": draws,
        "seed": design.seed,
    }


def _known(
    place: Path, recipe: Mapping[str, Any], design: Design, outcomes: Sequence[Outcome]
) -> Exploration | None:
    """Return what lies in a folder, if it was made from the same and is whole."""
    import pandas as pd

    try:
        said = json.loads((place / RECIPE).read_text(encoding="utf-8"))
        text = (place / CASES).read_bytes()
    except (OSError, ValueError):
        return None
    if said != {**recipe, "sha256": sha256(text).hexdigest()}:
        return None
    table = pd.read_csv(place / CASES)
    values = table[[str(outcome) for outcome in outcomes]].to_numpy(dtype=np.float64)
    return _gather(design, outcomes, values, int(said["draws"]))


def _write(
    place: Path, scenario: ResolvedScenario, found: Exploration, recipe: Mapping[str, Any]
) -> None:
    """Write cases, and last what says that they are whole."""
    from shutil import rmtree

    with atomic_file(place / SCENARIO) as file:
        file.write_text(dump_scenario(scenario), encoding="utf-8")
    with atomic_file(place / CASES) as file:
        found.cases.to_csv(file, index=False)
        said = {**recipe, "sha256": sha256(file.read_bytes()).hexdigest()}
    with atomic_file(place / RECIPE) as file:
        file.write_text(json.dumps(said, indent=1), encoding="utf-8")
    rmtree(place / KEPT, ignore_errors=True)
