"""Two runs: their estimates, and what went into them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd
import yaml

from flowcast.compare.cells import INPUT_COLUMNS, Comparison, compare_tables
from flowcast.config import dump_model
from flowcast.estimates import Grouping, summarise
from flowcast.posterior import Posterior
from flowcast.vocabulary import UN_DURATION_MONTHS, EstimateMeasure

__all__ = ["compare_runs", "differing_settings", "flatten_settings"]

ABSENT: Final = "(absent)"
UNCOMPARED: Final = frozenset({"timings", "notes", "site_rounds", "sites_settled"})
"""What every run has of its own; no reason for a difference."""
DEFAULT_PROB: Final = 0.95


def compare_runs(
    a: Posterior,
    b: Posterior,
    *,
    measure: EstimateMeasure = "flow",
    by: Grouping | None = None,
    prob: float = DEFAULT_PROB,
    definition: float | str = UN_DURATION_MONTHS,
) -> Comparison:
    """Compare the estimates of two runs, and what went into them.

    Parameters
    ----------
    a, b
        The earlier and the later run.
    measure, by, definition
        What to compare, as for `summarise`.
    prob
        Probability of the equal-tailed credible intervals whose overlap is given.

    Raises
    ------
    UsageError
        If measure, probability or definition cannot be served by one of the runs.
    InputError
        If a group is unknown.
    """
    tables = [
        summarise(run, measure=measure, by=by, probs=[prob], definition=definition)
        for run in (a, b)
    ]
    return compare_tables(
        *tables,
        names=(_run_name(a, "a"), _run_name(b, "b")),
        inputs=differing_settings(_inputs_of(a), _inputs_of(b)),
    )


def _run_name(run: Posterior, side: str) -> str:
    return f"{run.spec.name} ({side})"


def differing_settings(left: Mapping[str, str], right: Mapping[str, str]) -> pd.DataFrame:
    """Return the settings, by dotted path, that differ: key, a, b."""
    keys = [*left, *(key for key in right if key not in left)]
    rows = [
        (key, left.get(key, ABSENT), right.get(key, ABSENT))
        for key in keys
        if left.get(key, ABSENT) != right.get(key, ABSENT)
    ]
    return pd.DataFrame(rows, columns=list(INPUT_COLUMNS), dtype="str")


def _inputs_of(run: Posterior) -> dict[str, str]:
    """Return every setting of a run as text, by dotted path."""
    info = {key: value for key, value in run.info.items() if key not in UNCOMPARED}
    specification = yaml.safe_load(dump_model(run.spec))
    return dict(flatten_settings(specification)) | dict(flatten_settings(info, "info."))


def flatten_settings(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted paths and leaves; things in a list go by their name, if they have one."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flatten_settings(inner, f"{path}{key}.")
        elif isinstance(inner, list) and inner and all(_is_named(item) for item in inner):
            yield from flatten_settings({item["name"]: item for item in inner}, f"{path}{key}.")
        elif inner != []:
            yield f"{path}{key}", str(inner)


def _is_named(item: object) -> bool:
    return isinstance(item, Mapping) and "name" in item
