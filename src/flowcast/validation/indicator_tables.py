"""Tables of indicators: figures of others by place or pair and period, always held out.

A table has the columns `indicator`, `origin`, `destination`, `year` (or `period_start` and
`period_end`) and `value`, in the unit of the catalogue; for a change of population also
`natural_increase`, births less deaths. Files of publishers become such tables by their readers.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import pandas as pd

from flowcast._hashes import file_hash, joint_hash
from flowcast._observation_checks import number_groups, read_periods
from flowcast._sheet import Sheet, TableCodes, check_codes
from flowcast._tabular import SUFFIXES, RawTable, raw_from_frame, read_raw
from flowcast.errors import Fault, Faults, HeldOutError, InputError
from flowcast.sources.readers import READERS, read_source
from flowcast.sources.readers._common import LeftOut
from flowcast.validation.alignment import SIDES
from flowcast.validation.catalogue import Indicator, load_catalogue

__all__ = ["INCREASE", "TABLE_COLUMNS", "IndicatorTable", "indicator_table", "read_indicator"]

PERIOD: Final = ["period_start", "period_end"]
INCREASE: Final = "natural_increase"
TABLE_COLUMNS: Final = ("indicator", *SIDES, *PERIOD, "value", INCREASE)
CONTRACT: Final = frozenset({"value", *SIDES})
"""Columns, two of them, that make a file a table of an indicator and no publisher's."""
PAIRS: Final = ("flow", "pair_sum")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IndicatorTable:
    """Checked figures of one indicator. Made by `read_indicator` or `indicator_table`.

    Attributes
    ----------
    entry
        What the catalogue says of it.
    name
        Files as given.
    sha256
        Hash of the input's bytes.
    codes
        ``"alpha2"``, ``"alpha3"`` or ``"declared"``.
    left_out
        Rows that the reader did not take, by reason.
    """

    entry: Indicator
    _table: pd.DataFrame
    name: str
    sha256: str
    codes: TableCodes
    left_out: dict[str, int]

    @property
    def table(self) -> pd.DataFrame:
        """The rows, columns `TABLE_COLUMNS`; a missing place is everywhere else."""
        return self._table.copy(deep=False)

    @property
    def role(self) -> str:
        """An indicator is held out, whatever the role of its source elsewhere."""
        return "held_out"

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self._table)

    def __len__(self) -> int:
        return self.n

    def require_fit(self) -> NoReturn:
        """Refuse to be fitted, as held-out observations do.

        Raises
        ------
        HeldOutError
            Always.
        """
        raise HeldOutError(
            f"({self.name}) | found the indicator {self.entry.id}, which is held out; allowed: "
            "observations with the role 'fit'"
        )

    def __repr__(self) -> str:
        return f"<flowcast.IndicatorTable {self.entry.id}: {self.n} rows, held out>"


def read_indicator(
    indicator: str | Indicator,
    paths: str | Path | Sequence[str | Path],
    *,
    declared_places: Collection[str] | None = None,
) -> IndicatorTable:
    r"""Read an indicator from a publisher's file, or from a table of its own.

    Parameters
    ----------
    indicator
        An id of the catalogue, or an entry of your own.
    paths
        One file or several (editions by year, say): as the publisher sends them, or with the
        columns of a table of indicators or of observations.
    declared_places
        Codes of a user's own places file, instead of ISO.

    Returns
    -------
    IndicatorTable

    Raises
    ------
    InputError
        With every fault of the first file that has any, or of all of them together.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "asylum.csv"
    >>> _ = file.write_text("origin,destination,year,value\nSY,DE,2015,158660\n")
    >>> read_indicator("asylum_unhcr", file)
    <flowcast.IndicatorTable asylum_unhcr: 1 rows, held out>
    """
    entry = load_catalogue().entry(indicator) if isinstance(indicator, str) else indicator
    files = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    frames: list[pd.DataFrame] = []
    hashes: list[str] = []
    left: dict[str, int] = {}
    for path in files:
        own = _own_table(path, entry)
        if own is None:
            read = read_source(entry.reader, path, **entry.reader_options)
            frame, reasons = _prepare(read, entry)
            hashes.append(file_hash(path))
        else:
            frame, reasons = own.frame, {}
            hashes.append(own.sha256)
        frames.append(frame)
        for reason, n in reasons.items():
            left[reason] = left.get(reason, 0) + n
    name = ", ".join(map(str, files))
    joined = hashes[0] if len(hashes) == 1 else joint_hash(hashes)
    raw = raw_from_frame(pd.concat(frames, ignore_index=True), Faults(name), sha256=joined)
    return _build(raw, entry, name, declared_places, left)


def indicator_table(
    frame: pd.DataFrame,
    indicator: str | Indicator,
    *,
    name: str = "indicator",
    declared_places: Collection[str] | None = None,
) -> IndicatorTable:
    """Check a data frame as a table of an indicator; its first row counts as row 2.

    Parameters
    ----------
    frame
        `origin`, `destination` (of a place one is enough), `year` or `period_start` and
        `period_end`, `value`; for a change of population `natural_increase` too. Other columns are
        not used; `indicator` must name this one.
    indicator, declared_places
        As for `read_indicator`.
    name
        What messages call it.

    Returns
    -------
    IndicatorTable

    Raises
    ------
    InputError
        With every fault: row, column, what was found, what is allowed.
    """
    entry = load_catalogue().entry(indicator) if isinstance(indicator, str) else indicator
    stable = pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()
    raw = raw_from_frame(frame, Faults(name), sha256=sha256(stable).hexdigest())
    return _build(raw, entry, name, declared_places, {})


def _own_table(path: Path, entry: Indicator) -> RawTable | None:
    """Return a file that is laid out as a table of an indicator; None for a publisher's."""
    if entry.reader and not path.name.lower().endswith(SUFFIXES):
        return None
    faults = Faults(str(path))
    try:
        raw = read_raw(path, faults)
    except InputError:
        if entry.reader:
            return None  # the reader knows better what is wrong with it
        raise
    if entry.reader and len(CONTRACT & set(raw.frame.columns)) < 2:
        return None
    faults.raise_if_any()
    return raw


def _build(
    raw: RawTable,
    entry: Indicator,
    name: str,
    declared: Collection[str] | None,
    left: dict[str, int],
) -> IndicatorTable:
    sheet = Sheet(raw, Faults(name))
    _check_columns(sheet, entry)
    codes, _ = check_codes(sheet, SIDES, declared=declared, groupings=False)
    numbers = {}
    for column in ("value", *([INCREASE] if entry.estimate == "population_change" else [])):
        sheet.required(column, f"a number, {entry.unit} (leave out the row of a missing figure)")
        numbers[column] = sheet.numbers(column, "a number")
    table = pd.DataFrame(
        {
            "indicator": entry.id,
            **{side: sheet.cells(side).astype("str") for side in SIDES},
            **read_periods(sheet),
            **numbers,
        }
    ).reindex(columns=list(TABLE_COLUMNS))
    _check_sides(sheet, table, entry)
    _check_keys(sheet, table)
    sheet.faults.raise_if_any()
    return IndicatorTable(entry, table, name, raw.sha256, codes, left)


def _check_columns(sheet: Sheet, entry: Indicator) -> None:
    for column in ("value", *([INCREASE] if entry.estimate == "population_change" else [])):
        if not sheet.has(column):
            sheet.faults.add("no such column", "this column", row=1, column=column)
    if not sheet.has(*PERIOD) and not sheet.has("year"):
        sheet.faults.add("no year", "year, or period_start and period_end", row=1)
    sheet.faults.raise_if_any()
    if sheet.has("indicator"):
        sheet.words("indicator", (entry.id,))


def _check_sides(sheet: Sheet, table: pd.DataFrame, entry: Indicator) -> None:
    """Refuse rows that do not name the places their estimate has."""
    empty = {side: table[side].isna().to_numpy() for side in SIDES}
    usable = sheet.clean(*SIDES)
    needed = {"immigration": ["destination"], "emigration": ["origin"]}
    for side in SIDES if entry.estimate in PAIRS else needed.get(str(entry.estimate), []):
        allowed = f"a place, as it is held against {entry.estimate}"
        sheet.refuse(empty[side] & usable, side, lambda _: "an empty cell", allowed)
    nowhere = empty["origin"] & empty["destination"] & sheet.clean(*SIDES)
    sheet.refuse(nowhere, "origin", lambda _: "neither origin nor destination", "a place")
    same = (table["origin"] == table["destination"]).fillna(False).to_numpy(dtype=bool)
    sheet.refuse(
        same & usable, "destination", lambda _: "the same place twice", "two different places"
    )


def _check_keys(sheet: Sheet, table: pd.DataFrame) -> None:
    key = number_groups(table, [*SIDES, *PERIOD])
    _, first = np.unique(key, return_index=True)
    again = np.ones(len(table), dtype=bool)
    again[first] = False
    again &= sheet.clean(*SIDES, *PERIOD)
    allowed = "one row per origin, destination and period"
    sheet.refuse(again, "value", lambda _: "the same figure again", allowed)


def _prepare(read: pd.DataFrame, entry: Indicator) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return what a reader gave as a table of the indicator, and what was left out."""
    left = LeftOut(dict(read.attrs["left_out"]))
    if READERS[entry.reader].gives == "observations":
        frame = _from_observations(read, entry, left)
    else:
        frame = _from_covariates(read, entry)
    frame = left.drop(frame, frame["value"].isna(), "no value")
    if entry.estimate in PAIRS:
        total = (frame[SIDES] == "").any(axis=1)
        frame = left.drop(frame, total, "a total, not a pair of places")
    if entry.transform == "growth":
        frame = _growth(frame, left)
    elif entry.transform == "turned":
        frame = frame.rename(columns={"origin": "destination", "destination": "origin"})
    return frame, left.counts


def _from_observations(read: pd.DataFrame, entry: Indicator, left: LeftOut) -> pd.DataFrame:
    """Return the rows of all ages and both sexes; of stocks those by birthplace."""
    whole = pd.Series(True, index=read.index)
    for part in ("age", "sex"):
        if part in read:
            whole &= read[part].isna() | (read[part] == "")
    if entry.column:
        whole &= read["measure"] == entry.column
    if entry.transform == "growth" and "criterion" in read:
        whole &= read["criterion"] == "birth"
    rows = left.drop(read, ~whole, "a part, or not what the indicator measures")
    return rows[[*SIDES, *PERIOD, "value"]]


def _from_covariates(read: pd.DataFrame, entry: Indicator) -> pd.DataFrame:
    units = list(read.attrs["units"])
    names = [entry.column] if entry.column else units
    if not set(names) <= set(units):
        where, found = f"reader {entry.reader}", f"covariates {', '.join(units)}"
        raise InputError([Fault(where, found, f"one named {entry.column}")])
    frame = pd.DataFrame({"year": read["year"], "value": read[names].mean(axis=1)})
    if "place" in read:
        side = "origin" if entry.estimate == "emigration" else "destination"
        frame[SIDES] = ""
        frame[side] = read["place"]
    else:
        frame[SIDES] = read[SIDES]
    if entry.estimate == "population_change":
        frame[INCREASE] = read["births"] - read["deaths"]
    return frame


def _growth(stocks: pd.DataFrame, left: LeftOut) -> pd.DataFrame:
    """Return the changes between successive dates of each stock."""
    ordered = stocks.sort_values([*SIDES, "period_start"])
    later = ordered.groupby(SIDES, sort=False)[["period_start", "value"]].shift(-1)
    changes = ordered.assign(
        period_end=later["period_start"], value=later["value"] - ordered["value"]
    )
    return left.drop(changes, changes["value"].isna(), "the last date of a stock")
