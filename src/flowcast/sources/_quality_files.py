"""Reading what is assessed, with the rows of the files; and writing what was found."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast import __version__
from flowcast._atomic import atomic_file
from flowcast._tabular import read_raw
from flowcast.errors import Fault, Faults, InputError, UsageError, nearest
from flowcast.observations import Observations, read_observations
from flowcast.sources._quality_text import describe
from flowcast.sources._quality_tidy import INDICATORS, TIDY_COLUMNS
from flowcast.sources.registry import load_registry

if TYPE_CHECKING:
    from flowcast.sources.quality import QualityReport
    from flowcast.sources.registry import SourceEntry

__all__ = ["REPORT_FORMATS", "ReportFormat", "choose_format", "read_files", "render", "write"]

ReportFormat = Literal["html", "csv", "json", "text"]
REPORT_FORMATS: Final[tuple[str, ...]] = get_args(ReportFormat)
SUFFIXES: Final[Mapping[str, ReportFormat]] = {
    ".html": "html",
    ".htm": "html",
    ".csv": "csv",
    ".json": "json",
}


def read_files(
    paths: Sequence[Path], registry: Path | None = None
) -> tuple[list[Observations], list[NDArray[np.int64]]]:
    """Read files of observations, and the row in which each report stands.

    Parameters
    ----------
    paths
        Files in the observation contract.
    registry
        A registry of your own.

    Returns
    -------
    observations, rows
        One each for every file; rows have shape (row,).

    Raises
    ------
    InputError
        With the faults of all files, the registry among them.
    """
    observations, rows, faults = [], [], list[Fault]()
    try:
        load_registry(registry)
    except InputError as error:
        faults += error.faults
    own = None if faults else registry
    for path in paths:
        try:
            observations.append(read_observations(path, registry=own))
            rows.append(read_raw(path, Faults(str(path))).rows)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(dict.fromkeys(faults))
    return observations, rows


def choose_format(path: Path | None, form: str | None) -> ReportFormat:
    """Return the format to write, before anything is computed; without a path, a summary.

    Raises
    ------
    UsageError
        If the format is unknown, the path's suffix stands for none, or its folder is not there.
    """
    if form is not None and form not in REPORT_FORMATS:
        raise UsageError(_unknown("(format)", repr(form), form, REPORT_FORMATS))
    if path is None:
        return form or "text"  # type: ignore[return-value]  # was just compared with them
    if path.is_dir():
        raise UsageError(f"({path}) | found a folder; allowed: a file")
    if not path.parent.is_dir():
        found = f"no folder {str(path.parent)!r}"
        raise UsageError(f"({path}) | found {found}; allowed: one that exists")
    suffix = path.suffix.lower()
    if form is None and suffix not in SUFFIXES:
        found = f"a file ending in {path.suffix!r}"
        raise UsageError(_unknown(f"({path})", found, suffix, [*SUFFIXES, "a format by name"]))
    return form or SUFFIXES[suffix]  # type: ignore[return-value]  # was just compared with them


def _unknown(where: str, found: str, given: str, allowed: Sequence[str]) -> str:
    hint = nearest(given, allowed)
    told = f"{where} | found {found}; allowed: {', '.join(allowed)}"
    return told + (f"; did you mean {hint}?" if hint else "")


def render(
    report: "QualityReport",
    form: ReportFormat = "text",
    entries: Mapping[str, "SourceEntry"] | None = None,
) -> str:
    """Return a quality report as text, page, CSV or JSON.

    Parameters
    ----------
    report
        From `assess`.
    form
        ``text`` is a short summary, ``html`` a page; ``csv`` and ``json`` hold everything.
    entries
        What the registry knows of the sources, by id.
    """
    if form == "html":
        from flowcast.sources._quality_page import render_page

        return render_page(report, entries or {})
    if form == "csv":
        return report.table().to_csv(index=False, lineterminator="\n")
    return _to_json(report) if form == "json" else describe(report)


def write(
    report: "QualityReport",
    path: str | Path,
    form: ReportFormat | None = None,
    entries: Mapping[str, "SourceEntry"] | None = None,
) -> None:
    """Write a quality report to a file, whole or not at all.

    Parameters
    ----------
    report, entries
        As for `render`.
    path
        A file that is there already is replaced.
    form
        By default what the path ends in.

    Raises
    ------
    UsageError
        If the suffix stands for no format, or the folder does not exist.
    """
    place = Path(path)
    text = render(report, choose_format(place, form), entries)
    with atomic_file(place) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def _to_json(report: "QualityReport") -> str:
    """Return the long table in the form of all tables in JSON; what is infinite is text."""
    table = report.table()
    rows = [
        {name: _plain(cell) for name, cell in zip(TIDY_COLUMNS, cells, strict=True)}
        for cells in table.itertuples(index=False, name=None)
    ]
    metadata = {
        "caption": "Data quality report",
        "observations": list(report.names),
        "sources": list(report.sources),
        "prob": report.prob,
        "kind": report.kind,
        "version": __version__,
        "indicators": dict(INDICATORS),
        "columns": list(TIDY_COLUMNS),
    }
    document = {"metadata": metadata, "rows": rows}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _plain(cell: object) -> str | int | float | None:
    if pd.isna(cell):  # type: ignore[call-overload]
        return None
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, float) and not np.isfinite(cell):
        return str(cell)
    return cell if isinstance(cell, str | int | float) else str(cell)
