"""A policy of disclosure control laid on the tables of a release, all of them together."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.estimates import FlowEstimates, rank_cells
from flowcast.publication.disclosure import (
    DisclosurePolicy,
    LinkedCells,
    is_sensitive,
    link_cells,
    round_controlled,
    suppress_cells,
)
from flowcast.publication.rounding import round_down, round_up

__all__ = [
    "STATUS_COLUMN",
    "SUPPRESSED",
    "LinkedTables",
    "link_tables",
    "protect_tables",
    "rank_shown",
]

STATUS_COLUMN: Final = "disclosure"
SUPPRESSED: Final = "suppressed"
"""What stands in that column where figures are left out: of a sensitive cell as of one that would
give it away, for a word of its own would say which cells are small."""
FIGURES: Final = ("mean", "median", "sd", "lower", "upper")
KEY: Final = ("measure", "origin", "destination", "period_start", "period_end")
CORRIDORS: Final = ("flow", "stock")
ADDED: Final = {"immigration": (0.0, 1.0), "emigration": (1.0, 0.0), "net": (-1.0, 1.0)}
"""What a move out of a place and a move into it count for."""


@dataclass(frozen=True, slots=True, eq=False)
class LinkedTables:
    """Tables as one system of cells.

    Attributes
    ----------
    cells
        Of all tables; values are posterior means, which add up.
    smallest
        The smaller one of mean and median of each cell, persons, shape (cell,).
    base
        Positions of the flows (or stocks) between single places, of which all else is a sum.
    sums
        Coefficients of the other cells, shape (cell - base, base); in the order of `cells`.
    margins
        Those of them that are totals of a single place, as flags, shape (cell - base,).
    rows
        Of each table, the cell that each of its rows is about.
    """

    cells: LinkedCells
    smallest: NDArray[np.float64]
    base: NDArray[np.intp]
    sums: sp.csr_array
    margins: NDArray[np.bool_]
    rows: tuple[NDArray[np.intp], ...]


def link_tables(
    tables: Sequence[pd.DataFrame], groups: Mapping[str, Collection[str]] | None = None
) -> LinkedTables:
    """Return the cells of estimate tables and the sums that tie them.

    Parameters
    ----------
    tables
        Of one run and definition: flows (or stocks) between places, and any sums of them: totals of
        places or groups, net migration, flows between groups.
    groups
        Places of each group that the tables have.

    Raises
    ------
    UsageError
        If there are no flows between places, a figure is missing, or a row is not the sum of flows
        that its name says.
    """
    rows, frame = _one_row_a_cell(tables)
    members = {name: frozenset(places) for name, places in (groups or {}).items()}
    single = ~frame["origin"].isin(list(members)) & ~frame["destination"].isin(list(members))
    is_base = (frame["measure"].isin(CORRIDORS) & single).to_numpy(bool)
    if not is_base.any():
        raise UsageError("(tables) | found no flows between places; allowed: those, and their sums")
    base, rest = np.flatnonzero(is_base), np.flatnonzero(~is_base)
    sums = _build_sums(frame.iloc[base], frame.iloc[rest], members)
    relations = sp.csr_array(sp.hstack([sums, -sp.eye_array(len(rest))], format="csr"))
    order = np.argsort(np.concatenate([base, rest]))
    net = (frame["measure"] == "net").to_numpy(bool)
    return LinkedTables(
        cells=link_cells(frame["mean"], relations[:, order], np.where(net, -np.inf, 0.0)),
        smallest=frame[["mean", "median"]].min(axis=1).to_numpy(float),
        base=base,
        sums=sums,
        margins=(single & ~net).to_numpy(bool)[rest],
        rows=rows,
    )


def _one_row_a_cell(
    tables: Sequence[pd.DataFrame],
) -> tuple[tuple[NDArray[np.intp], ...], pd.DataFrame]:
    """Return which cell each row of each table is about, and the cells."""
    parts = [table[[*KEY, "mean", "median"]] for table in tables]
    whole = pd.concat(parts, ignore_index=True)
    if whole[["mean", "median"]].isna().any().any():
        raise UsageError("(tables) | found a figure that is missing; allowed: whole tables")
    cell = whole.groupby(list(KEY), dropna=False, sort=False).ngroup().to_numpy(np.intp)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return tuple(np.split(cell, ends)), whole.drop_duplicates(list(KEY)).reset_index(drop=True)


def _build_sums(
    base: pd.DataFrame, rest: pd.DataFrame, members: Mapping[str, frozenset[str]]
) -> sp.csr_array:
    """Return which flows each other cell is the sum of: shape (rest, base)."""
    columns = base.groupby(["period_start", "period_end"], dropna=False).indices
    parts: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    origins, destinations = (base[side].to_numpy(object) for side in ("origin", "destination"))
    for row, cell in enumerate(rest[list(KEY)].itertuples(index=False)):
        at = np.asarray(columns.get((cell.period_start, cell.period_end), []), dtype=np.intp)
        weight = _weights(cell, origins[at], destinations[at], members)
        used = np.flatnonzero(weight)
        parts.append((np.full(len(used), row), at[used], weight[used]))
    if not parts:
        return sp.csr_array((0, len(base)))
    i, j, data = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sp.csr_array((data, (i, j)), shape=(len(rest), len(base)))


def _weights(
    cell: Any,  # noqa: ANN401  # a named tuple of KEY
    origins: NDArray[np.object_],
    destinations: NDArray[np.object_],
    members: Mapping[str, frozenset[str]],
) -> NDArray[np.float64]:
    """Return what each flow of a period counts for in a sum; moves within a group for nothing."""

    def inside(name: str, codes: NDArray[np.object_]) -> NDArray[np.bool_]:
        same = np.isin(codes, list(members[name])) if name in members else codes == name
        return np.asarray(same, dtype=np.bool_)

    if cell.measure in ADDED:
        place = cell.origin if cell.measure == "emigration" else cell.destination
        leaves, enters = inside(place, origins), inside(place, destinations)
        outward, inward = ADDED[cell.measure]
        return np.asarray(outward * (leaves & ~enters) + inward * (enters & ~leaves), np.float64)
    inner = inside(cell.origin, origins) & inside(cell.destination, destinations)
    return np.asarray(inner, dtype=np.float64)


def protect_tables(
    tables: Sequence[pd.DataFrame],
    policy: DisclosurePolicy,
    groups: Mapping[str, Collection[str]] | None = None,
) -> list[pd.DataFrame]:
    """Lay a policy of disclosure control on tables that are published together.

    Parameters
    ----------
    tables
        All estimate tables of the release; as for `link_tables`.
    policy
        What is sensitive, and how it is protected. A count is sensitive if its posterior mean or
        median is below the minimum.
    groups
        Places of each group that the tables have.

    Returns
    -------
    list of DataFrame
        With `suppress`: all figures of a cell that is left out are missing, and the last column
        `disclosure` says ``suppressed``. No mean can be computed from the others better than the
        policy allows, whichever tables are combined. With `round`: means are multiples of the base
        that add up, medians go up or down as their means do, `lower` down, `upper` and `sd` up.

    Raises
    ------
    UsageError
        As `link_tables`.
    FlowcastError
        If a cell cannot be protected.

    Notes
    -----
    Medians, bounds and standard deviations do not add up, so that no programme can be set up with
    them; wherever a mean is left out, they are too. Releases are protected one by one: what another
    release of the same run shows is not considered.
    """
    linked = link_tables(tables, groups)
    if policy.method == "round":
        return _round(tables, linked, policy)
    cells = linked.cells
    sensitive = is_sensitive(cells, policy) | (
        cells.counts & (linked.smallest < policy.minimum_cell)
    )
    hidden = suppress_cells(cells, policy, sensitive).suppressed
    return [_hide(table, hidden[rows]) for table, rows in zip(tables, linked.rows, strict=True)]


def rank_shown(
    flows: FlowEstimates,
    table: pd.DataFrame,
    *,
    within: Literal["origin"] | None = None,
    top: int = 1,
) -> pd.DataFrame | None:
    """Rank the flows of the last period that a protected table shows, among themselves.

    A rank among all would bound what is left out by what is not.

    Parameters
    ----------
    flows
        Draws of all flows.
    table
        Of these flows, from `protect_tables`.
    within, top
        As for `flowcast.estimates.rank_cells`.

    Returns
    -------
    DataFrame or None
        As from `rank_cells`, with the table's medians; None if the table shows nothing.
    """
    starts = table["period_start"]
    last = table[starts.isna() | (starts == starts.max())].drop_duplicates(list(KEY))
    medians = last.dropna(subset="median").set_index(["origin", "destination"])["median"]
    corridors = pd.MultiIndex.from_arrays([flows.origins, flows.destinations])
    shown = np.asarray(corridors.isin(medians.index), dtype=np.bool_)
    if not shown.any():
        return None
    ranked = rank_cells(flows, within=within, top=top, last=True, cells=shown)
    at = pd.MultiIndex.from_frame(ranked[["origin", "destination"]])
    ranked["median"] = medians.reindex(at).to_numpy(float)
    return ranked


def _hide(table: pd.DataFrame, hidden: NDArray[np.bool_]) -> pd.DataFrame:
    out = table.copy()
    for name in FIGURES:
        out[name] = out[name].where(~hidden)
    word = pd.array([SUPPRESSED if one else None for one in hidden], dtype="str")
    out[STATUS_COLUMN] = word
    return out


def _round(
    tables: Sequence[pd.DataFrame], linked: LinkedTables, policy: DisclosurePolicy
) -> list[pd.DataFrame]:
    assert policy.base is not None  # the policy's own rule
    mean, base = linked.cells.values, policy.base
    flows = round_controlled(mean[linked.base], linked.sums[np.flatnonzero(linked.margins)], base)
    rounded = np.empty(len(mean))
    rounded[linked.base] = flows
    rounded[np.setdiff1d(np.arange(len(mean)), linked.base)] = linked.sums @ flows
    out = []
    for table, rows in zip(tables, linked.rows, strict=True):
        own = {name: table[name].to_numpy(float) for name in FIGURES}
        up = rounded[rows] >= mean[rows]
        shown = {
            "mean": rounded[rows],
            "median": np.where(up, round_up(own["median"], base), round_down(own["median"], base)),
            "sd": round_up(own["sd"], base),
            "lower": round_down(own["lower"], base),
            "upper": round_up(own["upper"], base),
        }
        out.append(table.assign(**shown))
    return out
