"""Checks of the cells of one table: every fault with its row, and none that another one caused.

A cell that was refused is remembered, so that checks over several columns leave its row alone.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._tabular import RawTable
from flowcast.errors import Faults, InputError, nearest
from flowcast.places import (
    KIND_NAMES,
    CodeKind,
    fix_code,
    is_grouping,
    resolve_place,
    suggest_code,
)

__all__ = ["CodeFix", "Mask", "Sheet", "TableCodes", "check_codes"]

type Mask = NDArray[np.bool_]
type TableCodes = CodeKind | Literal["declared"]
type CodeFix = tuple[int, str, str, str]
"""Row, column, code found, standard code."""

DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}([ T]00:00:00(\.0+)?)?")
GROUPED_NUMBER: Final = re.compile(r"-?\d{1,3}([ ,.'\u00a0\u202f]\d{3})+")


@dataclass(slots=True)
class Sheet:
    """A raw table under check.

    Attributes
    ----------
    raw
        The cells.
    faults
        Where faults go.
    bad
        Per column, the rows whose cell was refused.
    """

    raw: RawTable
    faults: Faults
    bad: dict[str, Mask] = field(default_factory=dict)
    _absent: pd.Series | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.raw.frame)

    def has(self, *columns: str) -> bool:
        """Return whether all these columns are there."""
        return all(c in self.raw.frame.columns for c in columns)

    def cells(self, column: str) -> pd.Series:
        """Return a column; all missing where the file has none."""
        if self.has(column):
            return self.raw.frame[column]
        if self._absent is None:
            self._absent = pd.Series(np.full(self.n, np.nan), dtype="str")
        return self._absent

    def clean(self, *columns: str) -> Mask:
        """Return the rows in which no cell of these columns was refused."""
        mask = np.ones(self.n, dtype=bool)
        for column in columns:
            if column in self.bad:
                mask &= ~self.bad[column]
        return mask

    def refuse(
        self,
        mask: Mask,
        column: str,
        found: Callable[[int], str],
        allowed: str,
        hint: Callable[[int], str | None] = lambda _: None,
        *,
        also: Sequence[str] = (),
    ) -> None:
        """Record a fault for every row of `mask`; `found` and `hint` take its position.

        `also` names further columns whose cells the later checks should not use either.
        """
        for i in np.flatnonzero(mask):
            row = int(self.raw.rows[i])
            self.faults.add(found(int(i)), allowed, row=row, column=column, hint=hint(int(i)))
        for name in (column, *also):
            self.bad[name] = self.bad.get(name, np.zeros(self.n, dtype=bool)) | mask

    def required(self, column: str, allowed: str) -> None:
        """Refuse empty cells."""
        empty = self.cells(column).isna().to_numpy() & self.clean(column)
        self.refuse(empty, column, lambda _: "an empty cell", allowed)

    def words(self, column: str, allowed: Collection[str]) -> None:
        """Refuse words that are not on the list."""
        cells = self.cells(column)
        wrong = (cells.notna() & ~cells.astype("str").isin(list(allowed))).to_numpy()
        self.refuse(
            wrong,
            column,
            lambda i: repr(str(cells.iloc[i])),
            ", ".join(allowed),
            lambda i: nearest(str(cells.iloc[i]), allowed),
        )

    def numbers(self, column: str, allowed: str) -> NDArray[np.float64]:
        """Return a column as numbers (NaN where empty or refused)."""
        cells = self.cells(column)
        values = pd.to_numeric(cells, errors="coerce").to_numpy(
            dtype=np.float64, na_value=np.nan, copy=True
        )
        text = cells.notna().to_numpy() & np.isnan(values)
        self.refuse(
            text,
            column,
            lambda i: f"text {str(cells.iloc[i])!r}",
            allowed,
            lambda i: _ungrouped(str(cells.iloc[i])),
        )
        self.refuse(np.isinf(values), column, lambda i: repr(float(values[i])), allowed)
        values[np.isinf(values)] = np.nan
        return values

    def limit(
        self, column: str, values: NDArray[np.float64], inside: Mask, allowed: str, *, given: Mask
    ) -> None:
        """Refuse the given values that are not `inside`."""
        wrong = ~np.isnan(values) & ~inside & given & self.clean(column)
        self.refuse(wrong, column, lambda i: f"{values[i]:.15g}", allowed)

    def dates(self, column: str) -> pd.Series:
        """Return a column as dates without time (NaT where empty or refused)."""
        cells = self.cells(column)
        if not pd.api.types.is_datetime64_any_dtype(cells):
            well_formed = cells.astype("str").str.fullmatch(DATE.pattern).fillna(False).astype(bool)
            text = cells.astype("str").str.slice(0, 10).where(well_formed)
            dates = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
        else:
            dates = cells.dt.tz_localize(None)
        wrong = (cells.notna() & (dates.isna() | (dates != dates.dt.normalize()))).to_numpy()
        self.refuse(wrong, column, lambda i: repr(str(cells.iloc[i])), "an ISO date, YYYY-MM-DD")
        return dates.mask(wrong).astype("datetime64[us]")


def _ungrouped(text: str) -> str | None:
    return re.sub(r"[ ,.'\u00a0\u202f]", "", text) if GROUPED_NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class _Known:
    """What a code turned out to be: its standard spelling, and its kind (None: a grouping)."""

    code: str
    kind: CodeKind | None


def _look_up(code: str) -> _Known | None:
    if is_grouping(code):
        return _Known(code, None)
    try:
        place = resolve_place(code)
    except InputError:
        return None
    standard = fix_code(code) or code
    return _Known(standard, "alpha2" if standard == place.alpha2 else "alpha3")


def check_codes(
    sheet: Sheet, columns: Sequence[str], *, declared: Collection[str] | None, groupings: bool
) -> tuple[TableCodes, list[CodeFix]]:
    """Check the place codes of some columns and put standard codes in their place.

    Parameters
    ----------
    sheet
        Its frame is replaced by one with standard codes.
    columns
        The columns that hold codes; empty cells are left alone.
    declared
        The codes of a user's own places file, taken as they are instead of ISO.
    groupings
        Whether ids of groupings are accepted too.

    Returns
    -------
    kind
        ``"alpha2"``, ``"alpha3"`` or ``"declared"``.
    fixes
        Codes that were replaced: row, column, code found, standard code.
    """
    present = [c for c in columns if sheet.has(c)]
    if declared is not None:
        for column in present:
            _check_declared(sheet, column, frozenset(map(str, declared)), groupings=groupings)
        return "declared", []
    text = {c: sheet.cells(c).astype("str") for c in present}
    codes = dict.fromkeys(code for c in present for code in text[c].dropna().unique())
    known = {code: _look_up(code) for code in codes}
    if not groupings:
        known = {code: k for code, k in known.items() if k is None or k.kind is not None}
    kind = _majority(text, known)
    fixes: list[CodeFix] = []
    for column in present:
        _refuse_codes(sheet, column, text[column], known, kind)
        fixes += _fix_column(sheet, column, text[column], known)
    return kind, sorted(fixes)


def _majority(text: dict[str, pd.Series], known: dict[str, _Known | None]) -> CodeKind:
    """Return the kind most cells are of."""
    tally: dict[CodeKind, int] = {"alpha2": 0, "alpha3": 0}
    for cells in text.values():
        for code, count in cells.value_counts().items():
            found = known.get(str(code))
            if found is not None and found.kind is not None:
                tally[found.kind] += int(count)
    return "alpha3" if tally["alpha3"] > tally["alpha2"] else "alpha2"


def _refuse_codes(
    sheet: Sheet,
    column: str,
    cells: pd.Series,
    known: dict[str, _Known | None],
    kind: CodeKind,
) -> None:
    unknown = [c for c in cells.dropna().unique() if known.get(c) is None]
    hints = {c: suggest_code(c, kind=kind) for c in unknown}
    sheet.refuse(
        cells.isin(unknown).to_numpy(),
        column,
        lambda i: repr(cells.iloc[i]),
        f"ISO 3166 {KIND_NAMES[kind]} code, grouping id or a code of your own places file",
        lambda i: hints[cells.iloc[i]],
    )
    other = [c for c, k in known.items() if k is not None and k.kind not in (kind, None)]
    sheet.refuse(
        cells.isin(other).to_numpy(),
        column,
        lambda i: f"{cells.iloc[i]!r} in a file of {KIND_NAMES[kind]} codes",
        "codes of one kind, alpha-2 or alpha-3",
        lambda i: resolve_place(cells.iloc[i]).code(kind),
    )


def _fix_column(
    sheet: Sheet, column: str, cells: pd.Series, known: dict[str, _Known | None]
) -> list[CodeFix]:
    """Replace known spellings by the standard code, and say where."""
    replaced = {c: k.code for c, k in known.items() if k is not None and k.code != c}
    touched = cells.isin(list(replaced)).to_numpy() & sheet.clean(column)
    fixes = [
        (int(sheet.raw.rows[i]), column, str(cells.iloc[i]), replaced[cells.iloc[i]])
        for i in np.flatnonzero(touched)
    ]
    sheet.raw.frame[column] = cells.where(~touched, cells.map(replaced))
    return fixes


def _check_declared(
    sheet: Sheet, column: str, declared: frozenset[str], *, groupings: bool
) -> None:
    cells = sheet.cells(column).astype("str")
    sheet.raw.frame[column] = cells
    codes = cells.dropna().unique()
    unknown = [c for c in codes if c not in declared and not (groupings and is_grouping(c))]
    hints = {c: _declared_hint(c, declared) for c in unknown}
    sheet.refuse(
        cells.isin(unknown).to_numpy(),
        column,
        lambda i: repr(cells.iloc[i]),
        "a code of your own places file",
        lambda i: hints[cells.iloc[i]],
    )


def _declared_hint(code: str, declared: frozenset[str]) -> str | None:
    fixed = fix_code(code)
    return fixed if fixed in declared else nearest(code, declared)
