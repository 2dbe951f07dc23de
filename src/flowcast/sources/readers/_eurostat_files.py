"""Eurostat's file formats as one long table: JSON-stat 2.0, SDMX-CSV, and the bulk TSV.

All three hold the same cube of dimensions, a figure and a flag; only the names of a few dimensions
changed with the editions (`asyl_app` became `applicant`, `TIME_PERIOD` was `time`).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._files import read_json, read_text
from flowcast.sources.readers._tables import parse_numbers, read_delimited

__all__ = ["Cube", "read_cube"]

NO_FIGURE: Final = (":", "")
FLOW_NAME: Final = re.compile(r"(?:\w+:)?(\w+)(?:\(.*\))?")
CSV_STAMP: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d(?:\d\d)?)")
TSV_CELL: Final = r"^(:|-?\d+(?:\.\d+)?)?\s*([a-z]*)$"


@dataclass(frozen=True, slots=True)
class Cube:
    """One dataset, long.

    Attributes
    ----------
    dataset
        Its code in lower case; empty where the file does not tell (TSV).
    vintage
        Day of the last update, ``YYYY-MM-DD``, or empty.
    cells
        One column per dimension (text; the time dimension is `time`), `value` (float, NaN: no
        figure) and `flag`; the index is the row of the file (JSON: the position in the cube).
    """

    dataset: str
    vintage: str
    cells: pd.DataFrame


def read_cube(path: Path, faults: Faults) -> Cube:
    """Read a file of Eurostat in any of its formats, told apart by how they begin.

    Raises
    ------
    InputError
        If it is in none of them, or not whole.
    """
    text = read_text(path, faults)
    if text.lstrip().startswith(("{", "[")):
        return _read_json_stat(read_json(path, faults), faults)
    header = text.partition("\n")[0]
    if "\t" in header and "," in header.partition("\t")[0]:
        return _read_tsv(text, faults)
    if header.startswith(("DATAFLOW", "STRUCTURE")):
        return _read_sdmx_csv(text, faults)
    faults.add(
        repr(header[:60].strip()),
        "JSON-stat 2.0, SDMX-CSV (its header begins with DATAFLOW) or TSV (with the dimensions)",
        row=1,
    )
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def _read_json_stat(parsed: object, faults: Faults) -> Cube:
    """Return the cube of a JSON-stat dataset: row-major positions in `value` and `status`."""
    body: Mapping[str, object] = parsed if isinstance(parsed, dict) else {}
    errors = body.get("error")
    if errors:
        faults.add(f"an error message ({json.dumps(errors)[:120]})", "a JSON-stat dataset")
    for key in ("id", "size", "dimension", "value"):
        if not errors and key not in body:
            faults.add("no such section", "a JSON-stat dataset has it", column=key)
    faults.raise_if_any()
    names = [str(name) for name in _sequence(body["id"])]
    sizes = [int(str(size)) for size in _sequence(body["size"])]
    labels = [_labels(body, name, size, faults) for name, size in zip(names, sizes, strict=False)]
    if len(names) != len(sizes):
        faults.add(
            f"{len(names)} dimensions and {len(sizes)} sizes", "one size each", column="size"
        )
    faults.raise_if_any()
    total = int(np.prod(sizes))
    values, flags = _positions(body["value"]), _positions(body.get("status") or {})
    at = sorted({*values, *flags})
    if at and (at[-1] >= total or at[0] < 0):
        faults.add(f"a figure at position {at[-1]}", f"positions 0 to {total - 1}", column="value")
    faults.raise_if_any()
    where = np.unravel_index(np.array(at, dtype=np.int64), sizes)
    cells = pd.DataFrame(
        {n: np.array(ls, dtype=object)[w] for n, ls, w in zip(names, labels, where, strict=True)},
        index=pd.Index(at),
    ).astype("str")
    raw = pd.Series([values.get(i) for i in at], index=cells.index, dtype=object)
    cells["value"] = parse_numbers(raw, faults, "value", missing=NO_FIGURE)
    cells["flag"] = pd.Series([str(flags.get(i) or "") for i in at], index=cells.index, dtype="str")
    cells["flag"] = cells["flag"].str.strip(": ")
    return Cube(_dataset_of(body), str(body.get("updated") or "")[:10], _name_time(cells, faults))


def _sequence(part: object) -> list[object]:
    return list(part) if isinstance(part, list) else []


def _positions(part: object) -> dict[int, object]:
    """Return figures by position, from JSON-stat's sparse form (object) or dense form (array)."""
    if isinstance(part, dict):
        return {int(key): item for key, item in part.items()}
    return {i: item for i, item in enumerate(_sequence(part)) if item is not None}


def _labels(body: Mapping[str, object], name: str, size: int, faults: Faults) -> list[str]:
    """Return the codes of a dimension, in order."""
    dimension = body["dimension"]
    part = dimension.get(name) if isinstance(dimension, dict) else None
    category = part.get("category") if isinstance(part, dict) else None
    index = category.get("index") if isinstance(category, dict) else None
    codes = sorted(index, key=index.__getitem__) if isinstance(index, dict) else _sequence(index)
    if len(codes) != size:
        faults.add(
            f"{len(codes)} codes", f"{size}, the size of the dimension", column=f"dimension.{name}"
        )
    return [str(code) for code in codes]


def _dataset_of(body: Mapping[str, object]) -> str:
    """Return the code, which stood under another name before 2022."""
    extension = body.get("extension")
    if not isinstance(extension, dict):
        return ""
    return str(extension.get("id") or extension.get("datasetId") or "").lower()


def _read_sdmx_csv(text: str, faults: Faults) -> Cube:
    table = read_delimited(text, faults)
    names = {str(name): str(name).partition(":")[0].strip() for name in table.columns}
    table = table.rename(columns=names)
    flow = next((c for c in ("DATAFLOW", "STRUCTURE_ID") if c in table.columns), None)
    for column in ("OBS_VALUE", "TIME_PERIOD"):
        if column not in table.columns:
            faults.add("no such column", "this column", row=1, column=column)
    if flow is None:
        faults.add("no such column", "DATAFLOW or STRUCTURE_ID", row=1, column="DATAFLOW")
    faults.raise_if_any()
    flows = list(table[flow].unique()) if flow else [""]
    if len(flows) > 1:
        faults.add(f"{len(flows)} datasets", "one", column=flow, row=int(table.index[0]))
    code = FLOW_NAME.match(str(flows[0]))
    stamp = CSV_STAMP.match(str(table["LAST UPDATE"].iloc[0])) if "LAST UPDATE" in table else None
    vintage = ""
    if stamp:
        day = datetime.strptime(
            "/".join(stamp.groups()), f"%d/%m/%{'y' if len(stamp[3]) == 2 else 'Y'}"
        )
        vintage = f"{day:%Y-%m-%d}"
    cells = table.drop(columns=[flow, "OBS_VALUE"])
    dims = [c for c in cells.columns if str(c).islower() or c == "TIME_PERIOD"]
    cells = cells[dims].apply(lambda column: column.str.partition(":")[0])
    cells["value"] = parse_numbers(table["OBS_VALUE"], faults, "OBS_VALUE", missing=NO_FIGURE)
    cells["flag"] = table.get("OBS_FLAG", "")
    return Cube(code[1].lower() if code else "", vintage, _name_time(cells, faults))


def _read_tsv(text: str, faults: Faults) -> Cube:
    """Return the cube of a bulk file: dimensions in the first field, a field for each period."""
    table = read_delimited(text, faults, delimiter="\t")
    key = str(table.columns[0])
    names, _, across = key.partition("\\")
    dims = names.split(",")
    if across.lower() not in ("time_period", "time"):
        faults.add(repr(key), "dimensions separated by commas, then '\\TIME_PERIOD'", row=1)
    parts = table[key].str.split(",", expand=True)
    if parts.shape[1] != len(dims) or parts.isna().any(axis=None):
        short = parts.index[parts.isna().any(axis=1)] if len(parts.columns) else parts.index
        faults.add(
            "another number of dimensions",
            f"{len(dims)} as in the header",
            row=int(short[0]) if len(short) else 1,
            column=key,
        )
    faults.raise_if_any()
    parts = parts.set_axis(dims, axis=1)
    # One block after another, so that labels of rows stay what they are: rows of the file.
    blocks = [parts.assign(time=str(c), cell=table[c]) for c in table.columns[1:]]
    cells = pd.concat(blocks)
    split = cells["cell"].str.extract(TSV_CELL)
    bad = split[1].isna()
    raw = split[0].fillna("").mask(bad, cells["cell"])
    cells["value"] = parse_numbers(raw.astype("str"), faults, "figure", missing=NO_FIGURE)
    cells["flag"] = split[1].fillna("").astype("str")
    return Cube("", "", _name_time(cells.drop(columns="cell"), faults))


def _name_time(cells: pd.DataFrame, faults: Faults) -> pd.DataFrame:
    """Call the time dimension `time`, whatever the edition called it."""
    name = next((c for c in ("time", "TIME_PERIOD", "time_period") if c in cells.columns), None)
    if name is None:
        faults.add("no dimension of time", "time or TIME_PERIOD", row=1)
        faults.raise_if_any()
    return cells.rename(columns={name: "time"})
