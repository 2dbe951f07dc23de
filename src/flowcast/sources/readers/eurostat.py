"""Eurostat: migration flows, asylum applicants and population, in each of its file formats.

What is taken: flows by previous or next residence and by citizenship, emigration, first-time
asylum applicants; and, as a covariate of places, the population on 1 January. Regulation (EC)
862/2007 defines a migrant by a stay of 12 months from the reference year 2008 on; before, each
country had its own rule, and the minimum stay is left open here.

Sources
-------
Eurostat, API for data access, JSON-stat and SDMX-CSV formats; metadata of `migr_immi`,
`migr_emi` and `migr_asyapp`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, nearest
from flowcast.sources.readers._common import LeftOut, as_covariates, as_observations, to_alpha2
from flowcast.sources.readers._eurostat_files import Cube, read_cube

__all__ = ["DATASETS", "read_flows", "read_population"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a dataset says.

    Attributes
    ----------
    measure
        Measure of a row with a partner; without one, it is `total`.
    total
        Measure of a row about all partners together.
    reporter
        The side that `geo` is.
    partner
        Dimension of the other side; empty where there is none.
    criterion
        What the partner is to the migrant.
    """

    measure: str
    total: str
    reporter: str
    partner: str
    criterion: str


DATASETS: Final[dict[str, Dataset]] = {
    "migr_imm5prv": Dataset("flow", "immigration", "destination", "partner", "residence"),
    "migr_imm1ctz": Dataset("flow", "immigration", "destination", "citizen", "citizenship"),
    "migr_emi3nxt": Dataset("flow", "emigration", "origin", "partner", "residence"),
    "migr_emi2": Dataset("emigration", "emigration", "origin", "", "residence"),
    **{
        name: Dataset(
            "asylum_applications", "asylum_applications", "destination", "citizen", "citizenship"
        )
        for name in ("migr_asyappctza", "migr_asyappctzm")
    },
}
POPULATION: Final = "demo_pjan"
SPECIAL: Final[dict[str, str | None]] = {
    "TOTAL": "",
    "CN_X_HK": "CN",
    "UNK": None,
    # Germany and France stand in the same files under DE and FR; these are second countings.
    "DE_TOT": None,
    "FX": None,
}
REGULATED_FROM: Final = 2008
SEXES: Final = {"T": "", "M": "male", "F": "female"}
APPLICANTS: Final = ("FRST", "NASY_APP", "ASY_APP")
"""Kinds of asylum applicants, the preferred first: those who apply for the first time."""
YEAR: Final = re.compile(r"\d{4}")
MONTH: Final = re.compile(r"(\d{4})[-M]{1,2}(\d{2})")


def read_flows(path: Path, *, dataset: str | None = None) -> pd.DataFrame:
    """Read immigration, emigration or asylum applicants.

    Rows about all partners become totals; groups of countries, unknown partners and own citizens
    are left out, as are other units, unknown ages and sexes, and ages reached during the year
    where the file has completed ages as well.

    Parameters
    ----------
    path
        JSON-stat 2.0, SDMX-CSV or TSV, plain or gzip.
    dataset
        Code of the dataset, where neither file nor file name tells it (TSV).

    Returns
    -------
    pandas.DataFrame
        Observations: persons per calendar year (or month, `migr_asyappctzm`).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults = Faults(str(path))
    cube = read_cube(path, faults)
    name = _dataset(cube, path, dataset, tuple(DATASETS), faults)
    kind, left = DATASETS[name], LeftOut()
    _require(cube, ["geo", *filter(None, [kind.partner])], faults)
    cells = _choose_applicants(_choose_group(cube.cells, left), left)
    place = to_alpha2(cells["geo"], "alpha2", SPECIAL)
    other = to_alpha2(cells[kind.partner], "alpha2", SPECIAL) if kind.partner else ""
    cells = cells.assign(place=place.mask(place == ""), other=other)
    cells = left.drop_codes(cells, "place", cells["geo"])
    if kind.partner:
        cells = left.drop_codes(cells, "other", cells[kind.partner])
    here, there = kind.reporter, "origin" if kind.reporter == "destination" else "destination"
    columns = {
        "source": f"eurostat_{name}",
        "family": "administrative",
        "measure": (cells["other"] == "").map({True: kind.total, False: kind.measure}),
        here: cells["place"],
        there: cells["other"],
        **_periods(cells["time"], faults),
        "value": cells["value"],
        "reporter": kind.reporter,
        "duration_months": _minimum_stay(cells["time"], kind),
        "criterion": kind.criterion,
        "age": cells["age"],
        "sex": cells["sex"],
        "vintage": cube.vintage,
        "flag": cells["flag"],
    }
    return as_observations(columns, cells.index, left, faults)


def read_population(path: Path) -> pd.DataFrame:
    """Read the population on 1 January (`demo_pjan`), all ages and both sexes.

    Parameters
    ----------
    path
        JSON-stat 2.0, SDMX-CSV or TSV, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, `population` (persons). Parts by age or sex are left out.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults = Faults(str(path))
    cube = read_cube(path, faults)
    _dataset(cube, path, POPULATION if not cube.dataset else None, (POPULATION,), faults)
    _require(cube, ["geo", "age", "sex"], faults)
    left = LeftOut()
    cells = _choose_group(cube.cells, left)
    parts = (cells["age"] != "") | (cells["sex"] != "")
    cells = left.drop(cells, parts, "a part by age or sex")
    place = to_alpha2(cells["geo"], "alpha2", SPECIAL)
    cells = left.drop_codes(cells.assign(place=place.mask(place == "")), "place", cells["geo"])
    starts = _periods(cells["time"], faults)["period_start"]
    cells = cells.assign(year=starts.str[:4].astype(int), population=cells["value"])
    return as_covariates(cells, {"population": "persons"}, left, faults)


def _dataset(
    cube: Cube, path: Path, given: str | None, allowed: tuple[str, ...], faults: Faults
) -> str:
    """Return which dataset it is: as the file says, else as told, else as the file is named."""
    stem = path.name.lower().partition(".")[0].removeprefix("estat_").replace("$dv_", "_dv_")
    name = (cube.dataset or given or stem).lower()
    if given and cube.dataset and given.lower() != cube.dataset:
        faults.add(f"dataset {cube.dataset!r}", f"{given!r}, as asked for", column="dataset")
    elif name not in allowed:
        faults.add(
            f"dataset {name!r}", ", ".join(allowed), column="dataset", hint=nearest(name, allowed)
        )
    faults.raise_if_any()
    return name


def _require(cube: Cube, needed: list[str], faults: Faults) -> None:
    there = [str(c) for c in cube.cells.columns]
    for name in (n for n in needed if n not in there):
        faults.add(
            "no such dimension",
            f"a dimension {name!r}",
            row=1,
            column=name,
            hint=nearest(name, there),
        )
    faults.raise_if_any()


def _choose_group(cells: pd.DataFrame, left: LeftOut) -> pd.DataFrame:
    """Keep persons of known age and sex, in one reckoning of age; a missing dimension is all."""
    for name, default in (("unit", "NR"), ("age", "TOTAL"), ("sex", "T"), ("agedef", "COMPLET")):
        if name not in cells:
            cells = cells.assign(**{name: default})
    cells = left.drop(cells, ~cells["unit"].isin(["NR", "PER"]), "unit other than persons")
    cells = left.drop(cells, ~cells["sex"].isin(list(SEXES)), "sex unknown")
    cells = left.drop(cells, cells["age"] == "UNK", "age unknown")
    if (cells["agedef"] == "COMPLET").any():
        other = cells["agedef"] != "COMPLET"
        cells = left.drop(cells, other, "age reached during the year, beside completed age")
    age = cells["age"].mask(cells["age"] == "TOTAL", "")
    return cells.assign(age=age, sex=cells["sex"].map(SEXES).astype("str"))


def _choose_applicants(cells: pd.DataFrame, left: LeftOut) -> pd.DataFrame:
    """Keep one kind of asylum applicants, where the file has several."""
    name = next((n for n in ("applicant", "asyl_app") if n in cells), None)
    if name is None:
        return cells
    kept = next((kind for kind in APPLICANTS if (cells[name] == kind).any()), "")
    return left.drop(cells, cells[name] != kept, f"applicants other than {kept or 'known kinds'}")


def _periods(times: pd.Series, faults: Faults) -> dict[str, pd.Series]:
    """Return `period_start` and `period_end` of years (2023) and months (2023-01, 2023M01)."""
    spans: dict[str, tuple[str, str]] = {}
    for time in times.unique():
        year, month = YEAR.fullmatch(time), MONTH.fullmatch(time)
        if year:
            spans[time] = (f"{time}-01-01", f"{int(time) + 1:04d}-01-01")
        elif month and 1 <= int(month[2]) <= 12:
            end = int(month[1]) * 12 + int(month[2])
            spans[time] = (f"{month[1]}-{month[2]}-01", f"{end // 12:04d}-{end % 12 + 1:02d}-01")
        else:
            row = int(times.index[times == time][0])
            faults.add(repr(time), "a year or a month", row=row, column="time")
            spans[time] = ("1800-01-01", "1801-01-01")
    return {
        "period_start": times.map({t: s for t, (s, _) in spans.items()}),
        "period_end": times.map({t: e for t, (_, e) in spans.items()}),
    }


def _minimum_stay(times: pd.Series, kind: Dataset) -> pd.Series:
    """Return months: 12 in flows under the regulation, else unknown."""
    regulated = pd.to_numeric(times.str[:4], errors="coerce") >= REGULATED_FROM
    flow = kind.measure != "asylum_applications"
    return pd.Series(12.0, index=times.index).where(regulated & flow)
