"""Migrants by age, schedules and shares by sex from files, and schedules back to tables.

A file has one row for each group and age. A group is what its columns ``place``, ``origin``,
``destination`` and ``sex`` say, as far as the file has them; without any it is the only one.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from flowcast._sheet import Sheet
from flowcast._tabular import read_raw
from flowcast.accounting._age_curves import PARAMETERS, VARIANTS, variant_of
from flowcast.accounting._age_groups import ALLOWED, age_groups, parse_age, respell
from flowcast.accounting._age_schedules import Schedule
from flowcast.accounting._tables import (
    PERSONS_ALLOWED,
    read_numbers,
    refuse_repeated,
    require_columns,
)
from flowcast.accounting.ages import ScheduleFit
from flowcast.errors import Faults

__all__ = [
    "KEYS",
    "ScheduleTable",
    "read_ages",
    "read_schedules",
    "read_sex_shares",
    "tidy_schedules",
]

KEYS: Final = ("place", "origin", "destination", "sex")
KINDS: Final = ("rates", "shares")
MAX_TOLD: Final = 8
SHARE_TOLERANCE: Final = 1e-6

type AnyPath = str | os.PathLike[str]


def read_ages(path: AnyPath, columns: Sequence[str] = ("migrants",)) -> xr.Dataset:
    r"""Read migrants (or people at risk) by age.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx`` file with columns `age` (``0``, ``0-4``,
        ``85+``) and `migrants`, any of `place`, `origin`, `destination`, `sex`, and `population`,
        persons at risk, if they are known.
    columns
        Numbers that are needed: ``("population",)`` of a file of people at risk.

    Returns
    -------
    xarray.Dataset
        Persons, dims (group, age), the ages from young to old; the columns of groups are
        coordinates of ``group``.

    Raises
    ------
    InputError
        With every fault of the file: cells, ages that overlap or are left out, groups that lack an
        age.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "ages.csv"
    >>> _ = file.write_text("place,age,migrants\nNA,0-19,5\nNA,20+,7\n")
    >>> read_ages(file)["migrants"].values.tolist()
    [[5.0, 7.0]]
    """
    faults = Faults(str(path))
    sheet = Sheet(read_raw(Path(path), faults), faults)
    optional = [name for name in ("population",) if name not in columns and sheet.has(name)]
    require_columns(sheet, ("age", *columns))
    keys = _keys(sheet)
    sheet.required("age", ALLOWED)
    ages = sheet.cells("age").astype("str").str.removesuffix(".0")
    wrong = np.array([parse_age(age) is None for age in ages.fillna("0")])
    sheet.refuse(
        wrong, "age", lambda i: repr(ages.iloc[i]), ALLOWED, lambda i: respell(ages.iloc[i])
    )
    numbers = {c: read_numbers(sheet, c, PERSONS_ALLOWED) for c in (*columns, *optional)}
    labels = pd.DataFrame({key: sheet.cells(key).astype("str") for key in keys} | {"age": ages})
    refuse_repeated(sheet, labels, (*keys, "age"))
    faults.raise_if_any()
    groups = age_groups(dict.fromkeys(ages), faults=faults)
    found, at = _groups(labels, keys)
    column = pd.Index(groups.labels).get_indexer(pd.Index(ages))
    tables = {name: np.full((len(found), len(groups.labels)), np.nan) for name in numbers}
    for name, values in numbers.items():
        tables[name][at, column] = values
    _refuse_gaps(faults, np.isnan(tables[columns[0]]), found, groups.labels)
    faults.raise_if_any()
    coords = {key: ("group", found[key].to_numpy(dtype=object)) for key in keys}
    data = {name: (("group", "age"), values) for name, values in tables.items()}
    return xr.Dataset(data, {**coords, "age": list(groups.labels)})


def _keys(sheet: Sheet) -> list[str]:
    """Return the columns that name groups, which must be filled."""
    keys = [key for key in KEYS if sheet.has(key)]
    if "place" in keys and ("origin" in keys or "destination" in keys):
        allowed = "a place, or an origin and a destination"
        sheet.faults.add("a column beside origin or destination", allowed, row=1, column="place")
    for key in keys:
        sheet.required(key, "a sex" if key == "sex" else "a place")
    return keys


def _groups(labels: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the groups in the order in which they come, and the group of each row."""
    if not keys:
        return pd.DataFrame(index=[0]), np.zeros(len(labels), dtype=int)
    found = labels[[*keys]].drop_duplicates().reset_index(drop=True)
    index = pd.MultiIndex.from_frame(found)
    return found, index.get_indexer(pd.MultiIndex.from_frame(labels[[*keys]]))


def _refuse_gaps(
    faults: Faults, absent: np.ndarray, groups: pd.DataFrame, ages: Sequence[str]
) -> None:
    for k in np.flatnonzero(absent.any(axis=1)):
        gone = [age for age, lacking in zip(ages, absent[k], strict=True) if lacking]
        more = f" and {len(gone) - MAX_TOLD} more" if len(gone) > MAX_TOLD else ""
        who = _name_group(groups.iloc[k])
        faults.add(
            f"no row for age {', '.join(gone[:MAX_TOLD])}{more}{who}",
            "the same ages for each, 0 where nobody moves",
        )


def _name_group(group: pd.Series) -> str:
    """Return the words for a group, with a leading space; nothing if it has none.

    Examples
    --------
    >>> _name_group(pd.Series({"origin": "NA", "sex": "female"}))
    ' of origin NA, sex female'
    """
    words = ", ".join(f"{key} {value}" for key, value in group.items())
    return f" of {words}" if words else ""


@dataclass(frozen=True, slots=True, eq=False)
class ScheduleTable:
    """Schedules of a file.

    Attributes
    ----------
    schedule
        Dims (group, parameter), and draw between them if the file has draws; the columns of groups
        are coordinates of ``group``.
    kind
        ``rates`` per person at risk, or ``shares`` of all migrants.
    """

    schedule: Schedule
    kind: str


def tidy_schedules(schedule: Schedule, kind: str, fit: ScheduleFit | None = None) -> pd.DataFrame:
    """Return schedules as a table, one row each: groups, draw, kind, parameters, and how they fit.

    Parameters
    ----------
    schedule
        Dims (group, parameter), or (draw, group, parameter).
    kind
        ``rates`` or ``shares``.
    fit
        Whose quality is told.

    Returns
    -------
    pandas.DataFrame
    """
    values = schedule.values
    draws = values.sizes.get("draw", 1)
    by_draw = values.transpose("group", *(["draw"] if "draw" in values.dims else []), "parameter")
    flat = by_draw.to_numpy().reshape(-1, schedule.n_parameters)
    groups = {key: np.repeat(values[key].to_numpy(), draws) for key in KEYS if key in values.coords}
    frame = pd.DataFrame(groups, index=range(len(flat)))
    if "draw" in values.dims:
        frame["draw"] = np.tile(np.arange(draws), values.sizes["group"])
    frame["kind"] = kind
    for k, name in enumerate(by_draw["parameter"].to_numpy()):
        frame[str(name)] = flat[:, k]
    if fit is not None:
        for name in ("deviance", "bic", "converged", "n_starts", "n_agreeing"):
            frame[name] = fit.quality[name].to_numpy()
        names = values["parameter"].to_numpy()
        frame["at_bound"] = ["+".join(names[row]) for row in fit.quality["at_bound"].to_numpy()]
    return frame


def read_schedules(path: AnyPath) -> ScheduleTable:
    """Read schedules, as `tidy_schedules` lays them out.

    Parameters
    ----------
    path
        One row a group (and draw): `kind`, the parameters of one variant, any of `place`, `origin`,
        `destination`, `sex`, and `draw`.

    Returns
    -------
    ScheduleTable

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults = Faults(str(path))
    sheet = Sheet(read_raw(Path(path), faults), faults)
    names = [name for name in PARAMETERS if sheet.has(name)]
    n = variant_of(names)
    if n is None:
        lacking = [name for name in VARIANTS[7] if name not in names]
        found = f"no {', '.join(lacking)}" if lacking else f"parameters {', '.join(names)}"
        allowed = "those of one schedule: " + "; ".join(f"{k}: {v}" for k, v in _told().items())
        faults.add(found, allowed, row=1)
    require_columns(sheet, ("kind",))
    keys = _keys(sheet)
    sheet.required("kind", ", ".join(KINDS))
    sheet.words("kind", KINDS)
    kinds = sheet.cells("kind").dropna().astype("str").unique()
    if len(kinds) > 1 and not faults:
        faults.add(" and ".join(kinds), "schedules of one kind", column="kind")
    numbers = {name: _parameter(sheet, name) for name in names}
    draw = ["draw"] if sheet.has("draw") else []
    labels = pd.DataFrame({key: sheet.cells(key).astype("str") for key in (*keys, *draw)})
    if len(labels.columns):
        refuse_repeated(sheet, labels, labels.columns.tolist())
    elif sheet.n > 1:
        faults.add(f"{sheet.n} rows without a place", "one row, or a column that tells them apart")
    faults.raise_if_any()
    groups, at = _groups(labels, keys)
    sizes = np.bincount(at, minlength=len(groups))
    if sizes.min() != sizes.max():
        faults.add(f"{sizes.min()} to {sizes.max()} draws", "as many draws of each group")
    faults.raise_if_any()
    order = np.argsort(at, kind="stable")
    values = np.column_stack(list(numbers.values()))[order]
    values = values.reshape(len(groups), sizes[0], len(names))
    coords = {key: ("group", groups[key].to_numpy(dtype=object)) for key in keys}
    table = xr.DataArray(values, {**coords, "parameter": names}, ("group", "draw", "parameter"))
    schedule = Schedule(table if draw else table.isel(draw=0))
    return ScheduleTable(schedule, str(kinds[0]))


def _told() -> dict[int, str]:
    return {n: ", ".join(names) for n, names in VARIANTS.items()}


def _parameter(sheet: Sheet, name: str) -> np.ndarray:
    sheet.required(name, "a number")
    values = sheet.numbers(name, "a number")
    if name not in ("mu2", "mu3", "lambda4"):
        height = name == "c" or (name.startswith("a") and not name.startswith("alpha"))
        allowed = "a number, 0 or more" if height else "a number above 0"
        inside = values >= 0.0 if height else values > 0.0
        sheet.limit(name, values, inside, allowed, given=np.ones(sheet.n, dtype=bool))
    return np.asarray(values)


def read_sex_shares(path: AnyPath) -> xr.DataArray:
    """Read shares of migrants by sex.

    Parameters
    ----------
    path
        One row a group and sex: `sex`, and `share` (adding up to 1) or `migrants`, whose ratios are
        taken; any of `place`, `origin`, `destination`.

    Returns
    -------
    xarray.DataArray
        Dims (group, sex), adding up to 1; the columns of groups are coordinates of ``group``.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults = Faults(str(path))
    sheet = Sheet(read_raw(Path(path), faults), faults)
    value = "migrants" if sheet.has("migrants") and not sheet.has("share") else "share"
    require_columns(sheet, ("sex", value))
    keys = [key for key in _keys(sheet) if key != "sex"]
    numbers = read_numbers(sheet, value, PERSONS_ALLOWED if value == "migrants" else "0 to 1")
    labels = pd.DataFrame({key: sheet.cells(key).astype("str") for key in (*keys, "sex")})
    refuse_repeated(sheet, labels, (*keys, "sex"))
    faults.raise_if_any()
    groups, at = _groups(labels, keys)
    sexes = list(dict.fromkeys(labels["sex"]))
    table = np.full((len(groups), len(sexes)), np.nan)
    table[at, pd.Index(sexes).get_indexer(pd.Index(labels["sex"]))] = numbers
    for k, row in enumerate(table):
        who = _name_group(groups.iloc[k])
        gone = [sex for sex, number in zip(sexes, row, strict=True) if np.isnan(number)]
        if gone:
            faults.add(f"no row for sex {', '.join(gone)}{who}", "the same sexes for each")
        elif value == "share" and abs(row.sum() - 1.0) > SHARE_TOLERANCE:
            faults.add(f"{row.sum():.9g} in all{who}", "shares that add up to 1", column=value)
        elif not row.sum() > 0.0:
            faults.add(f"nobody{who}", "migrants of some sex", column=value)
    faults.raise_if_any()
    coords = {key: ("group", groups[key].to_numpy(dtype=object)) for key in keys}
    shares = table / table.sum(axis=1, keepdims=True)
    return xr.DataArray(shares, {**coords, "sex": sexes}, ("group", "sex"), name="share")
