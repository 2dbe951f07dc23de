"""Estimates beside rows of somebody else's table: the same places, the same time, draw by draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._sheet import TableCodes
from flowcast.errors import Fault
from flowcast.estimates import FlowEstimates
from flowcast.model.cells import spans
from flowcast.places import convert_code

__all__ = ["SIDES", "Beside", "lay_beside", "nothing_compared"]

FloatArray = NDArray[np.float64]
Cover = Literal["whole", "half", "run"]
Key = tuple[object, object]

SIDES: Final = ["origin", "destination"]
HALF: Final = 0.5
"""Share of a row's time that the periods of the estimates must cover, where a part will do."""


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Rows of a table, and the estimates of the same.

    Attributes
    ----------
    at
        Position in the table of each row that can be compared, ascending, (row,).
    sides
        Origin and destination of the cell behind each row; None where it is all others.
    draws
        Persons in the part of the row's time that the estimates cover, (sample, row).
    years
        Length of that part, (row,).
    """

    at: NDArray[np.intp]
    sides: list[Key]
    draws: FloatArray
    years: FloatArray

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.at)


def lay_beside(
    cells: FlowEstimates,
    table: pd.DataFrame,
    *,
    codes: TableCodes,
    pairs: bool = False,
    cover: Cover = "whole",
    n_draws: int | None = None,
) -> Beside:
    """Return the estimates of a table's rows.

    Parameters
    ----------
    cells
        Flows, or sums of them on places.
    table
        `origin`, `destination` (either may be missing), `period_start` and `period_end`.
    codes
        Kind of its codes; those of the other ISO kind are translated.
    pairs
        Whether both directions of a pair are added up.
    cover
        ``"whole"``: a row's time is made up of whole periods. ``"half"``: at least half of it is
        covered, and a period that lies in it in part counts in part. ``"run"``: all periods,
        whatever the row's time.
    n_draws
        Draws to take at most, evenly spaced; None takes all.

    Returns
    -------
    Beside
        Without the rows of other places or times, and of cells that did not exist then.
    """
    where = _positions(cells, pairs=pairs)
    keys = [
        _key(key, pairs=pairs) for key in _translated(_sides_of(table, cells.measure), cells, codes)
    ]
    weights = _weights(cells.period_bounds, table, cover)
    rows: dict[Key, list[int]] = {}
    for at in map(int, np.flatnonzero(weights.any(axis=1))):
        if keys[at] in where:
            rows.setdefault(keys[at], []).append(at)
    step = 1 if n_draws is None else -(-cells.n_draws // n_draws)
    found: dict[int, FloatArray] = {}
    for key, own in rows.items():
        block = sum(cells.block(slice(k, k + 1))[0, :, ::step] for k in where[key])
        for at in own:
            inside = np.flatnonzero(weights[at])
            sums = weights[at, inside] @ np.asarray(block)[inside]
            if np.isfinite(sums).all():
                found[at] = sums
    order = np.array(sorted(found), dtype=np.intp)
    lengths = _lengths(cells.period_bounds)
    return Beside(
        order,
        [keys[at] for at in order],
        np.stack([found[at] for at in order], axis=1) if len(order) else np.zeros((0, 0)),
        spans(table.iloc[order]) if cover == "whole" else (weights[order] @ lengths / 365.25),
    )


def nothing_compared(name: str, n: int, estimates: FlowEstimates) -> Fault:
    """Return the fault of `n` rows none of which is about places and times of the estimates."""
    bounds = estimates.period_bounds
    places = sorted({*map(str, estimates.origins), *map(str, estimates.destinations)})
    return Fault(
        name,
        f"{n} rows, none of the fit's places and periods",
        f"places such as {', '.join(places[:3])}, {bounds.min()} to {bounds.max()}",
    )


def _sides_of(table: pd.DataFrame, measure: str) -> list[Key]:
    """Return origin and destination of each row as a measure names them, None for all others."""
    text = [[c if isinstance(c, str) else None for c in table[side]] for side in SIDES]
    pairs: list[Key] = list(zip(*text, strict=True))
    if measure == "net":  # of its origin: named on the other side
        return [(None, o) if d is None else (o, d) for o, d in pairs]
    if measure in ("immigration", "emigration"):
        return [(None, d) if measure == "immigration" else (o, None) for o, d in pairs]
    return pairs


def _translated(keys: list[Key], cells: FlowEstimates, codes: TableCodes) -> list[Key]:
    """Return the keys in the kind of codes that the estimates have."""
    to = cells.codes
    if to == "declared" or codes == "declared" or to == codes:
        return keys
    known: Mapping[object, object] = {
        code: convert_code(code, to) for key in keys for code in key if isinstance(code, str)
    }
    return [(known.get(o), known.get(d)) for o, d in keys]


def _key(key: Key, *, pairs: bool) -> Key:
    return tuple(sorted(key, key=str)) if pairs else key  # type: ignore[return-value]  # two of two


def _positions(cells: FlowEstimates, *, pairs: bool) -> dict[Key, list[int]]:
    """Return the positions of the cells that make up each key."""
    found: dict[Key, list[int]] = {}
    for k, key in enumerate(zip(cells.origins, cells.destinations, strict=True)):
        found.setdefault(_key(key, pairs=pairs), []).append(k)
    return found


def _lengths(bounds: NDArray[np.datetime64]) -> FloatArray:
    """Return the days of each period, (period,)."""
    return (bounds[:, 1] - bounds[:, 0]).astype(np.float64)


def _weights(bounds: NDArray[np.datetime64], table: pd.DataFrame, cover: Cover) -> FloatArray:
    """Return what part of each period counts for each row, (row, period); zeros where none may."""
    if cover == "run":
        return np.ones((len(table), len(bounds)))
    start, end = (table[f"period_{k}"].to_numpy("datetime64[D]")[:, None] for k in ("start", "end"))
    overlap = (np.minimum(bounds[:, 1], end) - np.maximum(bounds[:, 0], start)).astype(np.float64)
    overlap = np.maximum(overlap, 0.0)
    weights = overlap / _lengths(bounds)
    covered = overlap.sum(axis=1) / (end - start)[:, 0].astype(np.float64)
    if cover == "whole":
        good = (covered == 1.0) & np.isin(weights, (0.0, 1.0)).all(axis=1)
    else:
        good = covered >= HALF
    return np.where(good[:, None], weights, 0.0)
