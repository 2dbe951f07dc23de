"""Reports of sums as rows of a sparse operator on cells, free of what was counted twice.

A register that publishes a total beside its details has counted once, not twice: the total is the
sum of the details and of what it does not show. Details of the same reporter are therefore taken
off its totals, and what is left is the report of the remaining cells; a total of which nothing is
left says nothing new.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Faults
from flowcast.model.grid import Grid
from flowcast.model.reports import Reports, build_reports, duration_weights
from flowcast.model.totals_cells import PlacesOutside, SumCells, is_single_cell, resolve_sums
from flowcast.model.totals_read import Row, read_rows
from flowcast.vocabulary import Quantity

__all__ = ["MOST_TOTALS", "Detail", "Totals", "build_totals"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_TOTALS = 2000
"""Reports of sums in one model: their joint covariance is dense."""
_OTHER_SIDE = {"immigration": "emigration", "emigration": "immigration"}


@dataclass(frozen=True, slots=True)
class Detail:
    """How a row of the table divides into details and the rest.

    Attributes
    ----------
    row
        Position of the sum in the table.
    details
        Position and sign of the rows that were taken off.
    kept
        False if nothing was left.
    """

    row: int
    details: tuple[tuple[int, int], ...]
    kept: bool


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Reports of sums. A report has one part, or two of opposite sign if it is net.

    Attributes
    ----------
    row, value, net
        Position in the table, figure less its details (persons), and whether it is net, (total,).
    sampling
        Variance of a survey's sampling error on the log scale, (total,); 0 where there is none.
    part_total, part_sign
        Report of each part, and 1 or -1, (part,).
    entry_part
        Part of each entry, (entry,).
    entries
        The cells added up, as reports of their own, (entry,): corridor and period, and the side,
        unit, series, share and definition through which the reporter sees them. Values are zero.
    part_start, entry_start
        First part of each report, (total,), and first entry of each part, (part,); parts of a
        report and entries of a part stand together.
    details
        What was taken off, one for each row that is a sum, smaller sums first.
    """

    row: IntArray
    value: FloatArray
    net: NDArray[np.bool_]
    sampling: FloatArray
    part_total: IntArray
    part_sign: IntArray
    entry_part: IntArray
    entries: Reports
    part_start: IntArray
    entry_start: IntArray
    details: tuple[Detail, ...] = ()

    @property
    def n(self) -> int:
        """Number of reports of sums."""
        return len(self.value)

    @property
    def cells(self) -> tuple[IntArray, IntArray]:
        """Corridors and periods of all entries."""
        return self.entries.corridor, self.entries.period


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What one reporter says: positions of rows, their cells, and their definitions."""

    single: dict[int, int]
    sums: list[tuple[int, frozenset[int]]]


def _index_details(
    table: pd.DataFrame,
    grid: Grid,
    rows: Mapping[int, Row],
    sums: Iterable[int],
    quantity: Quantity,
) -> dict[str, _Known]:
    """Return, for each reporting unit of a sum, the cells it reports one by one."""
    pairs = {(k, side) for k in sums for side in (*_OTHER_SIDE, rows[k].side)}
    known = {rows[k].book(side): _Known({}, []) for k, side in pairs}
    units = sorted({rows[k].unit(side) for k, side in pairs})
    reports = build_reports(table, grid, quantity=quantity)
    at = table.index.to_numpy()[reports.row]
    for k in np.flatnonzero(np.isin(reports.unit, units)):
        cell, row = int(reports.corridor[k] * grid.n_period + reports.period[k]), int(at[k])
        book = rows[row].book(reports.side[k])
        if book in known:
            known[book].single[cell] = row
    return known


def _take_off(cells: Sequence[int], known: _Known) -> tuple[list[int], list[int]]:
    """Return the cells that no detail covers, and the rows of the details, larger ones first."""
    left, rows = set(cells), []
    for row, covered in sorted(known.sums, key=lambda s: -len(s[1])):
        if covered <= left:
            left -= covered
            rows.append(row)
    for cell in sorted(left & known.single.keys()):
        left.remove(cell)
        rows.append(known.single[cell])
    return [c for c in cells if c in left], rows


def _flat(cells: IntArray, grid: Grid) -> list[int]:
    return [int(c) for c in cells[:, 0] * grid.n_period + cells[:, 1]]


@dataclass(frozen=True, slots=True)
class _Part:
    """What is left of one side of a sum: row, sign, side, cells, and definition."""

    label: int
    sign: int
    side: str
    cells: list[int]
    definition: tuple[float, str]


@dataclass(slots=True, eq=False)
class _Builder:
    rows: dict[int, Row]
    grid: Grid
    faults: Faults
    known: dict[str, _Known]
    subtract: bool
    parts: list[_Part] = field(default_factory=list)
    values: dict[int, float] = field(default_factory=dict)
    details: list[Detail] = field(default_factory=list)

    def add(self, label: int, cells: SumCells) -> None:
        """Add one sum, less what its reporter says in detail."""
        row = self.rows[label]
        parts: list[_Part] = []
        taken: list[tuple[int, int]] = []
        for sign, side, part in (
            (1, row.side, cells.plus),
            (-1, _OTHER_SIDE.get(row.side, row.side), cells.minus),
        ):
            flat, known = _flat(part, self.grid), self.known[row.book(side)]
            left, details = _take_off(flat, known) if self.subtract else (flat, [])
            taken += [(detail, sign) for detail in details]
            if left:
                definition = self._definition(row, details)
                parts.append(_Part(label, sign, side, left, definition))
            if flat and row.measure != "net":
                known.sums.append((label, frozenset(flat)))
        self.details.append(Detail(label, tuple(taken), bool(parts)))
        if parts:
            self.parts += parts
            off = sum(sign * self.rows[detail].value for detail, sign in taken)
            self.values[label] = row.value - off
            if row.measure != "net" and self.values[label] < 0:
                self._negative(row, taken)

    def _definition(self, row: Row, details: list[int]) -> tuple[float, str]:
        """Return the definition of what details leave over, and refuse what was counted otherwise.

        A total has its own. Either side of a net figure has that of its details, as far as there
        are any: a register may count those who leave by another definition than those who come.
        """
        net = row.measure == "net" and details
        definition = self.rows[details[0]].definition if net else row.definition
        for detail in details:
            if self.rows[detail].definition != definition:
                self.faults.add(
                    f"a total by another definition than its details in row {detail + 2}",
                    "one definition (duration_months, undercount_class), or the total or the "
                    "details only",
                    row=row.label + 2,
                    column="duration_months",
                )
                break
        return definition

    def _negative(self, row: Row, taken: list[tuple[int, int]]) -> None:
        rows = ", ".join(str(r + 2) for r in sorted(r for r, _ in taken)[:8])
        more = f" and {len(taken) - 8} more" if len(taken) > 8 else ""
        self.faults.add(
            f"{row.value:g} persons, fewer than the details of the same reporter in rows "
            f"{rows}{more}",
            "a total of at least its details",
            row=row.label + 2,
            column="value",
        )

    def build(self) -> Totals | None:
        """Lay the sums out as arrays."""
        if not self.parts:
            return None
        labels = [d.row for d in self.details if d.kept]
        position = {label: k for k, label in enumerate(labels)}
        size = [len(part.cells) for part in self.parts]
        part_total = np.array([position[part.label] for part in self.parts], dtype=np.int64)
        return Totals(
            row=np.array(labels, dtype=np.int64),
            value=np.array([self.values[label] for label in labels]),
            net=np.array([self.rows[label].measure == "net" for label in labels]),
            sampling=np.array([self.rows[k].sampling_of(self.values[k]) for k in labels]),
            part_total=part_total,
            part_sign=np.array([part.sign for part in self.parts], dtype=np.int64),
            entry_part=np.repeat(np.arange(len(size)), size).astype(np.int64),
            entries=self._entries(size),
            part_start=np.searchsorted(part_total, np.arange(len(labels))).astype(np.int64),
            entry_start=(np.cumsum(size) - size).astype(np.int64),
            details=tuple(self.details),
        )

    def _entries(self, size: list[int]) -> Reports:
        cell = np.concatenate([part.cells for part in self.parts]).astype(np.int64)
        pairs = [(self.rows[part.label], part) for part in self.parts]

        def spread(words: list[str]) -> NDArray[np.object_]:
            return np.repeat(np.array(words, dtype=object), size)

        months = duration_weights(np.array([part.definition[0] for part in self.parts]))
        return Reports(
            row=np.repeat([part.label for part in self.parts], size).astype(np.int64),
            corridor=cell // self.grid.n_period,
            period=cell % self.grid.n_period,
            value=np.zeros(len(cell)),
            side=spread([part.side for part in self.parts]),
            unit=spread([row.unit(part.side) for row, part in pairs]),
            series=spread([f"{part.side}:{row.series}" for row, part in pairs]),
            noise=spread(["total"] * len(pairs)),
            graded=np.zeros(len(cell), dtype=bool),
            share=spread([f"{p.side}_{p.definition[1] or 'unknown'}" for p in self.parts]),
            duration=np.repeat(months, size, axis=0),
            source=spread([row.source for row, _ in pairs]),
            family=spread([row.family for row, _ in pairs]),
            criterion=spread([row.criterion for row, _ in pairs]),
            span=np.repeat([row.span for row, _ in pairs], size),
            reading=np.zeros(len(cell), dtype=np.int64),
            sampling=np.zeros(len(cell)),
            floor=np.zeros(len(cell)),
        )


def build_totals(
    table: pd.DataFrame,
    grid: Grid,
    name: str,
    *,
    outside: PlacesOutside = "refuse",
    details: bool = True,
    quantity: Quantity = "flow",
    design_effect: float = 1.0,
) -> tuple[Totals | None, tuple[str, ...]]:
    """Turn the rows that are sums of cells into rows of an operator on cells.

    Parameters
    ----------
    table
        Rows that passed `usable_rows`, single cells among them. Its index counts the rows of the
        whole table from 0.
    grid
        The cells.
    name
        What errors call the observations.
    outside
        What to do with sums over places that are not all in the model.
    details
        Whether to take the details of the same reporter off its totals.
    quantity, design_effect
        As for `build_reports`.

    Returns
    -------
    totals
        None if there are none, or nothing is left of them.
    notes
        How many sums were left out or reduced.

    Raises
    ------
    InputError
        If a total is less than its details or has another definition, or there are more than
        `MOST_TOTALS` of them.
    """
    faults = Faults(name)
    single = is_single_cell(table, grid)
    sums = table[~single]
    if sums.empty:
        return None, ()
    cells = resolve_sums(sums, grid, faults, outside)
    rows = read_rows(table, quantity, design_effect)
    known = _index_details(table[single], grid, rows, sums.index, quantity)
    builder = _Builder(rows, grid, faults, known, details)
    labels = sums.index.to_numpy().astype(int).tolist()
    net = [rows[label].measure == "net" for label in labels]
    size = [len(c.plus) + len(c.minus) for c in cells]
    for k in sorted(range(len(labels)), key=lambda k: (net[k], size[k], k)):
        builder.add(labels[k], cells[k])
    found = builder.build()
    if found is not None and found.n > MOST_TOTALS:
        faults.add(f"{found.n} totals", f"at most {MOST_TOTALS} sums of cells in one model")
    faults.raise_if_any()
    return found, _notes(builder.details)


def _notes(details: Sequence[Detail]) -> tuple[str, ...]:
    out = []
    repeated = sum(not d.kept for d in details)
    reduced = sum(d.kept and bool(d.details) for d in details)
    if repeated:
        out.append(f"{repeated} totals repeat what the same reporter says in detail: left out")
    if reduced:
        out.append(f"{reduced} totals were reduced by the details of the same reporter")
    return tuple(out)
