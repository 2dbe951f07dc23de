"""United Nations, International Migrant Stock: migrants by birthplace and residence, by sex.

Table 1 of the workbooks of 2020 and 2024: one row per destination and origin, columns for both
sexes, males and females at mid-year. Most countries count by birthplace; those that count by
citizenship say so with a C in their type of data, and that is kept, as criterion and as flag.

Sources
-------
United Nations, Department of Economic and Social Affairs, Population Division (2024),
International Migrant Stock 2024, table 1 and annex.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_observations, to_alpha2
from flowcast.sources.readers._files import find_header, read_sheets
from flowcast.sources.readers._tables import parse_numbers

__all__ = ["read_stocks"]

SHEET: Final = "Table 1"
ORIGIN: Final = "Location code of origin"
DESTINATION: Final = "Location code of destination"
TYPES: Final = ("Data type", "Type of data of destination", "Type of data")
"""Names of the column with the type of data, the newest first."""
SEXES: Final = ("", "male", "female")
WORLD: Final = "900"
MISSING: Final = ("..", "…", "", "-")
YEAR: Final = re.compile(r"(19|20)\d\d")


def read_stocks(path: Path) -> pd.DataFrame:
    """Read a workbook of migrants by destination and origin.

    Rows about the world as origin become totals. Regions, groups of countries, unknown origins
    (`Others`) and the world as destination are left out.

    Parameters
    ----------
    path
        The workbook "by sex, destination and origin", edition 2020 or 2024.

    Returns
    -------
    pandas.DataFrame
        Observations of `stock` from the source ``un_ims_`` and the last year: persons on 1 July;
        `criterion` is ``birth``, or ``citizenship``
        where the destination counts foreign citizens; the type of data is in `flag`.

    Raises
    ------
    InputError
        With every fault of the workbook.
    """
    faults = Faults(str(path))
    rows = read_sheets(path, faults, [SHEET])[SHEET]
    where = f"{path}, sheet {SHEET!r}"
    at, names = find_header(rows, [DESTINATION, ORIGIN], where, faults)
    sheet = Faults(where)
    years = _year_columns(names, at, sheet)
    kind = next((names.index(name) for name in TYPES if name in names), None)
    body = [(i, row) for i, row in enumerate(rows[at + 1 :], start=at + 2) if any(row)]
    frame = pd.DataFrame(
        {
            "origin code": [_code(row[names.index(ORIGIN)]) for _, row in body],
            "destination code": [_code(row[names.index(DESTINATION)]) for _, row in body],
            "flag": [str(row[kind] or "").strip() if kind is not None else "" for _, row in body],
        },
        index=pd.Index([i for i, _ in body]),
        dtype="str",
    )
    left = LeftOut()
    frame = left.drop(frame, frame["origin code"] == "", "no code: a heading or a note")
    frame["origin"] = to_alpha2(frame["origin code"], "m49", {WORLD: ""})
    frame["destination"] = to_alpha2(frame["destination code"], "m49", {WORLD: None})
    frame = left.drop_codes(frame, "destination", frame["destination code"])
    frame = left.drop_codes(frame, "origin", frame["origin code"])
    kept = set(frame.index)
    cells = {i: row for i, row in body if i in kept}
    parts = [_one_column(frame, cells, column, year, sex, sheet) for column, year, sex in years]
    long = pd.concat(parts) if parts else frame.assign(value=float("nan"))
    citizens = long["flag"].str.contains("C", regex=False)
    columns = {
        "source": f"un_ims_{max(year for _, year, _ in years)}",
        "family": "census",
        "measure": "stock",
        **{name: long[name] for name in ("origin", "destination", "value", "sex", "flag")},
        "period_start": long["year"] + "-07-01",
        "period_end": long["year"] + "-07-02",
        "reporter": "destination",
        "criterion": citizens.map({True: "citizenship", False: "birth"}),
    }
    return as_observations(columns, long.index, left, sheet)


def _code(cell: object) -> str:
    """Return an M49 code as text, whether the cell holds text or a number."""
    text = "" if cell is None else str(cell).strip()
    return text.removesuffix(".0")


def _year_columns(names: list[str], at: int, faults: Faults) -> list[tuple[int, str, str]]:
    """Return position, year and sex of the columns with figures: the years, once for each sex."""
    found: list[tuple[int, str, str]] = []
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        year = name.removesuffix(".0")
        if YEAR.fullmatch(year):
            times = seen.get(year, 0)
            seen[year] = times + 1
            if times < len(SEXES):
                found.append((position, year, SEXES[times]))
    if not seen:
        faults.add(
            "no column of a year", "1990, 1995, ..., for both sexes, males and females", row=at + 1
        )
    for year, times in seen.items():
        if times not in (1, len(SEXES)):
            faults.add(
                f"{times} columns {year}",
                "one for both sexes, or one for each of both sexes, males and females",
                row=at + 1,
            )
    faults.raise_if_any()
    return found


def _one_column(
    frame: pd.DataFrame,
    cells: dict[int, tuple[object, ...]],
    column: int,
    year: str,
    sex: str,
    faults: Faults,
) -> pd.DataFrame:
    """Return the figures of one column, a row per destination and origin."""
    raw = pd.Series([cells[i][column] for i in frame.index], index=frame.index, dtype=object)
    name = f"{year} {sex}".strip()
    return frame.assign(value=parse_numbers(raw, faults, name, missing=MISSING), year=year, sex=sex)
