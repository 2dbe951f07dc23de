"""KNOMAD and World Bank, bilateral remittance matrix: money sent from country to country.

A workbook with a row for each sending country and a column for each receiving one, in millions of
US dollars. The cells are shared out by migrant stocks and incomes, and not observed.

Sources
-------
Ratha, D. and Shaw, W. (2007), South-South Migration and Remittances, World Bank Working Paper 102,
doi:10.1596/978-0-8213-7072-8 (the method).
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_corridors
from flowcast.sources.readers._files import HEADER_WITHIN, Row, read_sheets
from flowcast.sources.readers._names import name_to_alpha2
from flowcast.sources.readers._tables import parse_numbers

__all__ = ["read_remittances"]

CORNER: Final = re.compile(r".*receiving.*\(across\).*sending.*\(down\).*", re.IGNORECASE)
HEADING: Final = "'receiving (across) / sending (down)' in its first column"
YEAR: Final = re.compile(r"(?<!\d)((?:19|20)\d{2})(?!\d)")
OF_THE_TITLE: Final = re.compile(r"\bfor ((?:19|20)\d{2})\b")
COVARIATE: Final = "remittances_usd_million"
NAMES: Final = {
    "bahamas, the": "BS",
    "congo, dem. rep.": "CD",
    "congo, rep.": "CG",
    "cote d'ivoire": "CI",
    "curacao": "CW",
    "egypt, arab rep.": "EG",
    "gambia, the": "GM",
    "hong kong sar, china": "HK",
    "iran, islamic rep.": "IR",
    "korea, dem. people's rep.": "KP",
    "korea, dem. rep.": "KP",
    "korea, rep.": "KR",
    "kyrgyz republic": "KG",
    "lao pdr": "LA",
    "macao sar, china": "MO",
    "macedonia, fyr": "MK",
    "micronesia, fed. sts.": "FM",
    "reunion": "RE",
    "slovak republic": "SK",
    "st. kitts and nevis": "KN",
    "st. lucia": "LC",
    "st. martin (french part)": "MF",
    "st. vincent and the grenadines": "VC",
    "taiwan, china": "TW",
    "turkiye": "TR",
    "venezuela, rb": "VE",
    "vietnam": "VN",
    "west bank and gaza": "PS",
    "yemen, rep.": "YE",
}
"""Names of the World Bank that are not those of the United Nations."""


def read_remittances(path: Path) -> pd.DataFrame:
    """Read the remittances between countries in the year of the matrix.

    Parameters
    ----------
    path
        The workbook. Title or name of the sheet must tell the year.

    Returns
    -------
    pandas.DataFrame
        Covariates of corridors: `origin` (where the money is sent from), `destination`, `year`,
        and `remittances_usd_million` (millions of US dollars per year).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    sheets = read_sheets(path, faults)
    found = {name: at for name, rows in sheets.items() if (at := _find_corner(rows)) is not None}
    if not found:
        faults.add(f"no matrix in {', '.join(sheets)}", f"a sheet with {HEADING}")
        faults.raise_if_any()
    parts = [_read_matrix(name, sheets[name], at, left, faults) for name, at in found.items()]
    faults.raise_if_any()
    frame = pd.concat(parts)
    frame["value"] = parse_numbers(frame["value"], faults, "amount", missing=("", "..", "N.A."))
    for side in ("sending", "receiving"):
        names = frame[side]
        places = names.map({name: _to_alpha2(name) for name in names.unique()}).astype("str")
        frame = left.drop_codes(frame.assign(**{side: places}), side, names)
    frame = left.drop(
        frame, frame["sending"] == frame["receiving"], "origin and destination are the same place"
    )
    frame = frame.set_axis(["origin", "destination", COVARIATE, "year"], axis=1)
    return as_corridors(frame, {COVARIATE: "millions of US dollars per year"}, left, faults)


def _find_corner(rows: list[Row]) -> int | None:
    """Return the position of the row that names the receiving countries, or None."""
    for position, row in enumerate(rows[:HEADER_WITHIN]):
        if row and CORNER.fullmatch(_text(row[0])):
            return position
    return None


def _read_matrix(
    name: str, rows: list[Row], at: int, left: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return a row for each cell: `sending`, `receiving`, `value`, `year`; the index is its row."""
    where = f"{faults.where}, sheet {name!r}"
    receiving = {column: _text(cell) for column, cell in enumerate(rows[at]) if column}
    receiving = {column: text for column, text in receiving.items() if text}
    cells: list[tuple[int, str, str, object]] = []
    for number, row in enumerate(rows[at + 1 :], start=at + 2):
        amounts = {c: row[c] for c in receiving if c < len(row) and _text(row[c])}
        if row and _text(row[0]) and amounts:
            cells += [(number, _text(row[0]), receiving[c], v) for c, v in amounts.items()]
        elif row and _text(row[0]):
            left.add("a row without figures", 1)
    if not cells:
        faults.add("a matrix without figures", "a row for each sending country", where=where)
    year = _year_of(name, [_text(cell) for row in rows[:at] for cell in row], where, faults)
    frame = pd.DataFrame(cells, columns=["row", "sending", "receiving", "value"]).set_index("row")
    return frame.assign(year=year)


def _year_of(name: str, titles: list[str], where: str, faults: Faults) -> int:
    """Return the year that the title or the sheet's name tells."""
    title = " ".join(titles)
    told = OF_THE_TITLE.findall(title) or YEAR.findall(name) or YEAR.findall(title)
    if len(set(told)) == 1:
        return int(told[0])
    found = f"{', '.join(dict.fromkeys(told)) or 'no year'} in title and name of the sheet"
    faults.add(found, "one year: write it into the name of the sheet", where=where)
    return 0


def _text(cell: object) -> str:
    return "" if cell is None else " ".join(str(cell).split())


def _to_alpha2(name: str) -> str | None:
    return NAMES.get(name.casefold()) or name_to_alpha2(name)
