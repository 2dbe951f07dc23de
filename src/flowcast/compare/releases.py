"""Two releases: what changed in their tables, by how much, and because of what."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from flowcast._hashes import file_hash
from flowcast._yaml import load_yaml
from flowcast.compare.cells import INPUT_COLUMNS, Comparison, compare_tables
from flowcast.compare.runs import differing_settings, flatten_settings
from flowcast.compare.text import render
from flowcast.errors import Faults
from flowcast.tables import read_table

__all__ = ["ReleaseComparison", "compare_releases", "is_release", "render_releases"]

PROVENANCE: Final = "provenance.json"
SUMS: Final = "SHA256SUMS"
MODEL: Final = "model.yaml"
MEASURES: Final = ("flow", "immigration", "emigration", "net", "stock")
CAUSES: Final = {
    "data": ("inputs.", "sources."),
    "seed": ("seed", "model.sampler.seed"),
    "sampler": ("model.sampler.", "inference"),
    "model": ("model.",),
    "versions": ("versions.",),
    "disclosure control": ("disclosure",),
}
"""What may be the reason of a change, and how its settings begin; the first that fits counts."""
NOTABLE: Final = 0.1
"""A change of the median that is counted: ten percent."""


@dataclass(frozen=True, slots=True, eq=False)
class ReleaseComparison:
    """What changed from one release to another.

    Attributes
    ----------
    cells
        All measures together; its `inputs` are those of the releases.
    measures
        A row a measure: `measure`, `cells` (in both, with figures in both), `factor` (by which the
        median of the middle cell went up or down), `changed` (cells by more than 10 %), `hidden`
        and `shown` (cells that are suppressed in the second alone, or in the first alone).
    causes
        Which of data, model, seed, sampler, versions and disclosure control differ.
    """

    cells: Comparison
    measures: pd.DataFrame
    causes: tuple[str, ...]


def is_release(path: Path) -> bool:
    """Return whether a folder is a release."""
    return (path / PROVENANCE).is_file() and (path / SUMS).is_file()


def compare_releases(a: str | Path, b: str | Path) -> ReleaseComparison:
    """Compare the tables of two releases, and what they rest on.

    Parameters
    ----------
    a, b
        Folders that `flowcast publish` wrote, the earlier and the later one.

    Returns
    -------
    ReleaseComparison
        Of the 95 % intervals.

    Raises
    ------
    InputError
        With every file of either release that is missing or is not what was published.

    Examples
    --------
    >>> compare_releases("release_2024", "release_2025").causes  # doctest: +SKIP
    ('data', 'seed')
    """
    folders = Path(a), Path(b)
    faults = Faults("releases")
    for folder in folders:
        _check(folder, faults)
    faults.raise_if_any()
    settings = [_settings(folder) for folder in folders]
    inputs = differing_settings(*settings)
    causes = inputs["key"].map(_cause)
    inputs = inputs[causes.notna()].reset_index(drop=True)
    found = set(causes.dropna())
    tables = [_tables(folder) for folder in folders]
    cells = compare_tables(*tables, names=(str(a), str(b)), inputs=inputs[list(INPUT_COLUMNS)])
    return ReleaseComparison(
        cells=cells,
        measures=_by_measure(cells.summary),
        causes=tuple(cause for cause in CAUSES if cause in found),
    )


def _check(folder: Path, faults: Faults) -> None:
    """Record what is missing or changed of the files that are compared."""
    if not is_release(folder):
        faults.add("no release", f"a folder with {PROVENANCE} and {SUMS}", where=str(folder))
        return
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    wanted = [PROVENANCE, MODEL, *(name for m in MEASURES if (name := f"{m}.parquet") in sums)]
    for name in wanted:
        path = folder / name
        if not path.is_file():
            faults.add("no such file", "the file that was published", where=str(path))
        elif file_hash(path) != sums.get(name):
            faults.add("other content", f"what {SUMS} has the hash of", where=str(path))


def _settings(folder: Path) -> dict[str, str]:
    """Return what a release rests on as text, by dotted path."""
    told: dict[str, Any] = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    told["sources"] = {one["id"]: one for one in told.get("sources", [])}
    told["model"] = load_yaml(folder / MODEL)
    return dict(flatten_settings(told))


def _cause(key: str) -> str | None:
    """Return the kind of a setting; None for what follows from others, such as the gate."""
    fits = (name for name, starts in CAUSES.items() if key.startswith(starts))
    return next(fits, None)


def _tables(folder: Path) -> pd.DataFrame:
    parts = [read_table(path) for m in MEASURES if (path := folder / f"{m}.parquet").is_file()]
    return pd.concat(parts, ignore_index=True)


def _by_measure(summary: pd.DataFrame) -> pd.DataFrame:
    rows: list[Mapping[str, object]] = []
    for measure, own in summary.groupby("measure", sort=False):
        size = own["log_ratio"].abs()
        first, second = own["median_a"].isna(), own["median_b"].isna()
        rows.append(
            {
                "measure": measure,
                "cells": int((~first & ~second).sum()),
                "factor": float(np.exp(size.median())),
                "changed": int((size > np.log1p(NOTABLE)).sum()),
                "hidden": int((second & ~first).sum()),
                "shown": int((first & ~second).sum()),
            }
        )
    return pd.DataFrame(rows)


def render_releases(change: ReleaseComparison, top: int = 20) -> str:
    """Return the comparison as plain text: how much changed, why, and where most.

    Parameters
    ----------
    change
        From `compare_releases`.
    top
        How many cells to list.
    """
    table = change.measures.to_string(index=False, float_format="{:.3g}".format)
    lines = ["By measure (hidden, shown: suppressed only in the second, only in the first)", table]
    return f"{render(change.cells, top)}\n{chr(10).join(lines)}\n\n{_explain(change.causes)}\n"


def _explain(causes: tuple[str, ...]) -> str:
    if not causes:
        return "Nothing that went in differs."
    if causes == ("seed",):
        return "Only the seed differs: changes are Monte Carlo error."
    told = ", ".join(causes)
    if len(causes) == 1:
        return f"Only this differs: {told}. Changes are due to it, or are Monte Carlo error."
    return (
        f"Several things differ: {told}. How much is due to each, only runs can tell that change "
        "one at a time."
    )
