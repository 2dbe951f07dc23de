"""What makes a table an observation table: the contract, row by row and between rows."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._sheet import CodeFix, Mask, Sheet, TableCodes, check_codes
from flowcast._tabular import RawTable
from flowcast.errors import Faults, nearest
from flowcast.places import CodeKind, Place, all_places, describe_existence
from flowcast.vocabulary import (
    CRITERIA,
    FAMILIES,
    GRADES,
    MEASURES,
    OBSERVATION_COLUMNS,
    OBSERVATION_KEY,
    PERMANENT_MONTHS,
    REPORTERS,
    REQUIRED_OBSERVATION_COLUMNS,
    UN_DURATION_MONTHS,
)

__all__ = [
    "KEY_WORDS",
    "MIRROR_KEY",
    "build_table",
    "find_clashes",
    "number_groups",
    "read_periods",
]

FLOAT_COLUMNS: Final = (
    "value",
    "duration_months",
    "standard_error",
    "sample_size",
    "censored_below",
)
DATE_COLUMNS: Final = ("period_start", "period_end", "vintage")
PERIOD: Final = ("period_start", "period_end")
YEARS: Final = (1800, 2200)
SIDES: Final = ("origin", "destination")
MIRROR_KEY: Final = ("measure", *SIDES, *PERIOD, "criterion", "age", "sex")
"""Reports that agree in these are about the same figure."""
SERIES_KEY: Final = tuple(name for name in OBSERVATION_KEY if name not in PERIOD)
KEY_WORDS: Final = (
    "one row per source, measure, origin, destination, period, reporter, criterion, age, sex "
    "and vintage"
)
WORDS: Final[dict[str, tuple[str, ...]]] = {
    "family": FAMILIES,
    "measure": MEASURES,
    "reporter": REPORTERS,
    "undercount_class": GRADES,
    "accuracy_class": GRADES,
    "mirror_of": REPORTERS,
    "criterion": CRITERIA,
}


def build_table(
    raw: RawTable, faults: Faults, *, declared: Collection[str] | None
) -> tuple[pd.DataFrame, TableCodes, tuple[CodeFix, ...]]:
    """Check a raw table against the observation contract and give its columns their types.

    Parameters
    ----------
    raw
        Cells as read.
    faults
        Takes every fault; the caller raises.
    declared
        Codes of a user's own places file, or None for ISO.

    Returns
    -------
    table
        The columns of `vocabulary.OBSERVATION_COLUMNS`.
    kind
        ``"alpha2"``, ``"alpha3"`` or ``"declared"``.
    fixes
        Codes replaced by the standard ones.
    """
    sheet = Sheet(raw, faults)
    _check_columns(sheet)
    for column in ("source", "family", "measure", "reporter"):
        sheet.required(column, ", ".join(WORDS.get(column, ("an id of the source",))))
    for column, allowed in WORDS.items():
        sheet.words(column, allowed)
    kind, fixes = check_codes(sheet, SIDES, declared=declared, groupings=True)
    table = pd.DataFrame(
        {
            **{c: sheet.cells(c).astype("str") for c in OBSERVATION_COLUMNS},
            **_numbers(sheet),
            **read_periods(sheet),
            "vintage": sheet.dates("vintage"),
        }
    )
    table["criterion"] = table["criterion"].fillna("residence")
    _check_sides(sheet, table)
    if kind != "declared":
        _check_existence(sheet, table, kind)
    _check_keys(sheet, table)
    _check_mirrors(sheet, table)
    return table, kind, tuple(fixes)


def _check_columns(sheet: Sheet) -> None:
    """Refuse unknown and missing columns; a misspelt column is told once, as unknown.

    Columns that are not there count as refused, so that nothing is concluded from them.
    """
    present = list(sheet.raw.frame.columns)
    known = (*OBSERVATION_COLUMNS, "year")
    meant: list[str] = []
    for column in (c for c in present if c not in known):
        hint = nearest(column, [c for c in known if c not in present])
        meant += [hint] if hint else []
        sheet.faults.add(
            f"unknown column {column!r}", "a column of the observation contract", row=1, hint=hint
        )
    missing = [c for c in REQUIRED_OBSERVATION_COLUMNS if c not in present]
    if sheet.has("year") and any(c in present for c in PERIOD):
        sheet.faults.add("year beside period_start or period_end", "one of the two", row=1)
        meant += PERIOD
    elif not sheet.has("year") and "year" not in meant:
        halves = [c for c in PERIOD if c not in present]
        missing += ["year"] if len(halves) == len(PERIOD) else halves
    for column in (c for c in missing if c not in meant):
        allowed = "year, or period_start and period_end" if column == "year" else "this column"
        sheet.faults.add("no such column", allowed, row=1, column=column)
    for column in {*meant, *missing}:
        for name in PERIOD if column == "year" else (column,):
            sheet.bad[name] = np.ones(sheet.n, dtype=bool)


def _numbers(sheet: Sheet) -> dict[str, NDArray[np.float64]]:
    """Return the numeric columns, checked one by one and against their limits."""
    sheet.required("value", "persons, 0 or more (leave out the row of a missing report)")
    values = {c: sheet.numbers(c, "a number") for c in FLOAT_COLUMNS}
    signed = (sheet.cells("measure").astype("str") == "net").to_numpy() | ~sheet.clean("measure")
    anywhere = np.ones(sheet.n, dtype=bool)

    def limit(column: str, inside: Mask, allowed: str, given: Mask = anywhere) -> None:
        sheet.limit(column, values[column], inside, allowed, given=given)

    duration = values["duration_months"]
    stays = ((duration >= 0) & (duration <= UN_DURATION_MONTHS)) | (duration == PERMANENT_MONTHS)
    limit("value", values["value"] >= 0, "persons, 0 or more", ~signed)
    limit("duration_months", stays, "months from 0 to 12, or 60 for permanent")
    limit("standard_error", values["standard_error"] >= 0, "persons, 0 or more")
    limit("sample_size", values["sample_size"] > 0, "a number above 0")
    limit("censored_below", values["censored_below"] >= 0, "persons, 0 or more")
    return values


def read_periods(sheet: Sheet) -> dict[str, pd.Series]:
    """Return `period_start` and `period_end`, from the dates or from the year."""
    if sheet.has("year") and not sheet.has(*PERIOD):
        return _expand_years(sheet)
    for column in PERIOD:
        sheet.required(column, "an ISO date, YYYY-MM-DD")
    start, end = (sheet.dates(column) for column in PERIOD)
    backwards = (end <= start).to_numpy() & sheet.clean(*PERIOD)
    sheet.refuse(
        backwards,
        "period_end",
        lambda i: f"{end[i]:%Y-%m-%d}, not after period_start {start[i]:%Y-%m-%d}",
        "the first day after the period",
    )
    return {"period_start": start, "period_end": end}


def _expand_years(sheet: Sheet) -> dict[str, pd.Series]:
    """Return 1 January of the year and of the next one."""
    allowed = f"a calendar year from {YEARS[0]} to {YEARS[1]}"
    sheet.required("year", allowed)
    years = sheet.numbers("year", allowed)
    inside = (years >= YEARS[0]) & (years <= YEARS[1]) & (years == np.floor(years))
    sheet.limit("year", years, inside, allowed, given=np.ones(sheet.n, dtype=bool))
    years = np.where(sheet.clean("year") & ~np.isnan(years), years, np.nan)
    for column in PERIOD:
        sheet.bad[column] = np.isnan(years)
    whole = pd.Series(years).astype("Int64")
    return {
        column: pd.to_datetime(
            (whole + shift).astype("str") + "-01-01", format="%Y-%m-%d", errors="coerce"
        ).astype("datetime64[us]")
        for shift, column in enumerate(PERIOD)
    }


def _check_sides(sheet: Sheet, table: pd.DataFrame) -> None:
    """Refuse rows in which origin and destination do not go together or with the rest."""
    empty = {side: table[side].isna().to_numpy() for side in SIDES}
    usable = sheet.clean(*SIDES)
    same = (table["origin"] == table["destination"]).fillna(False).to_numpy(dtype=bool)
    sheet.refuse(
        same & usable,
        "destination",
        lambda i: f"{table['destination'].iloc[i]!r}, the same as origin",
        "two different places",
    )
    nowhere = empty["origin"] & empty["destination"] & usable
    sheet.refuse(
        nowhere,
        "origin",
        lambda _: "neither origin nor destination",
        "at least one place",
        also=("destination",),
    )
    named = {"immigration": "destination", "emigration": "origin"}
    for side in SIDES:
        by_measure = table["measure"].map(named).eq(side).to_numpy(dtype=bool)
        by_reporter = table["reporter"].eq(side).to_numpy(dtype=bool)
        lacks = empty[side] & (by_measure | by_reporter)
        sheet.refuse(
            lacks & sheet.clean(*SIDES, "measure", "reporter"),
            side,
            lambda i: f"no place, in {table['measure'].iloc[i]} by the {table['reporter'].iloc[i]}",
            "the place that reports or is measured",
        )


def _check_existence(sheet: Sheet, table: pd.DataFrame, kind: CodeKind) -> None:
    """Refuse reports about a country that did not exist at any time of the period.

    Estimates, stocks and figures by birthplace or citizenship are exempt: the first are often
    back-cast to present borders, and people outlive the country of their birth or passport.
    """
    reports = (
        (table["family"] != "estimate")
        & (table["measure"] != "stock")
        & (table["criterion"] == "residence")
    ).to_numpy(dtype=bool)
    usable = reports & sheet.clean("family", "measure", "criterion", *PERIOD)
    mortal: dict[str, list[Place]] = {}
    for place in all_places():
        mortal.setdefault(place.code(kind), []).append(place)
    for side in SIDES:
        for code in table[side].dropna().unique():
            places = mortal.get(code, [])
            if any(p.valid_from or p.valid_to for p in places):
                rows = (table[side] == code).to_numpy(dtype=bool) & usable & sheet.clean(side)
                _refuse_absent(sheet, table, side, rows, places, kind)


def _refuse_absent(
    sheet: Sheet,
    table: pd.DataFrame,
    side: str,
    rows: Mask,
    places: list[Place],
    kind: CodeKind,
) -> None:
    alive = np.zeros(sheet.n, dtype=bool)
    for place in places:
        born = pd.Timestamp(place.valid_from or date(1, 1, 1))
        gone = pd.Timestamp(place.valid_to or date(9999, 1, 1))
        alive |= ((table["period_end"] > born) & (table["period_start"] < gone)).to_numpy()
    told = " / ".join(describe_existence(p, kind) for p in places)
    sheet.refuse(
        rows & ~alive,
        side,
        lambda i: f"{table[side].iloc[i]!r} in {table['period_start'].iloc[i]:%Y}",
        told,
    )


def _check_keys(sheet: Sheet, table: pd.DataFrame) -> None:
    """Refuse duplicate keys and overlapping periods among the rows whose keys are sound."""
    sound = np.flatnonzero(sheet.clean(*OBSERVATION_KEY))
    rows = sheet.raw.rows[sound]
    repeated, overlapping = find_clashes(table.iloc[sound])
    for later, earlier in repeated:
        sheet.faults.add(f"the same key as row {rows[earlier]}", KEY_WORDS, row=int(rows[later]))
    for later, earlier in overlapping:
        sheet.faults.add(
            f"a period that overlaps that of row {rows[earlier]}",
            "periods side by side for the same source and figure",
            row=int(rows[later]),
            column="period_start",
        )


def find_clashes(table: pd.DataFrame) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Find rows with the same key, and rows whose keys differ only in periods that overlap.

    Parameters
    ----------
    table
        An observation table.

    Returns
    -------
    repeated, overlapping
        Positions of the later row and of the earlier row it clashes with.
    """
    frame = pd.DataFrame(
        {
            "series": number_groups(table, SERIES_KEY),
            "start": table["period_start"].to_numpy(),
            "end": table["period_end"].to_numpy(),
            "at": np.arange(len(table)),
        }
    )
    key = ["series", "start", "end"]
    first = frame.groupby(key)["at"].transform("first").to_numpy()
    again = frame["at"].to_numpy() != first
    repeated = [(int(i), int(first[i])) for i in np.flatnonzero(again)]
    ordered = frame[~again].sort_values(key)
    reach = ordered.groupby("series")["end"].cummax().groupby(ordered["series"]).shift()
    overlapping = []
    for row in ordered[(ordered["start"] < reach).to_numpy()].itertuples():
        before = ordered[(ordered["series"] == row.series) & (ordered["end"] > row.start)]
        both = sorted((int(before["at"].iloc[0]), int(row.at)))
        overlapping.append((both[1], both[0]))
    return repeated, overlapping


def number_groups(table: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    """Give rows that are equal in `columns` the same number (missing equals missing)."""
    groups = table.groupby(list(columns), dropna=False, sort=False)
    return groups.ngroup().to_numpy().astype(np.int64)


def _check_mirrors(sheet: Sheet, table: pd.DataFrame) -> None:
    """Refuse a mirror_of that names the row's own reporter or a report that is not there."""
    cells = table["mirror_of"]
    usable = cells.notna().to_numpy() & sheet.clean("mirror_of", "reporter", *MIRROR_KEY)
    own = (cells == table["reporter"]).fillna(False).to_numpy(dtype=bool) & usable
    sheet.refuse(
        own, "mirror_of", lambda i: f"{cells.iloc[i]!r}, its own reporter", "the other side"
    )
    figure = number_groups(table, MIRROR_KEY)
    reported = pd.MultiIndex.from_arrays([figure, table["reporter"]])
    alone = ~pd.MultiIndex.from_arrays([figure, cells]).isin(reported) & usable & ~own
    for i in np.flatnonzero(alone):
        alone[i] = not _may_be_refused(sheet, table, int(i))
    sheet.refuse(
        alone,
        "mirror_of",
        lambda i: f"{cells.iloc[i]!r}, but no row reports this figure by that side",
        "the reporter of another row about the same figure",
    )


def _may_be_refused(sheet: Sheet, table: pd.DataFrame, row: int) -> bool:
    """Return whether the report that a row repeats may be among the rows with a fault.

    Then it is not missing, and one fault should not be told as two.
    """
    sides = set(table.loc[row, list(SIDES)].dropna())
    if any(sides <= fields for fields in sheet.raw.left_out):
        return True
    unsound = ~sheet.clean(*MIRROR_KEY, "reporter")
    wanted = {**table.loc[row, list(MIRROR_KEY)], "reporter": table["mirror_of"].iloc[row]}
    for column, value in wanted.items():
        cells = table[column]
        same = (cells.isna() if pd.isna(value) else cells == value).to_numpy(dtype=bool)
        unsound &= same | ~sheet.clean(str(column))
    return bool(unsound.any())
