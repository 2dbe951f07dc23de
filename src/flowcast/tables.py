"""Tables to files and back: CSV, Parquet, Excel and JSON in full, HTML, LaTeX and Markdown to read.

A file is written beside its place and then renamed, so that half a table is never taken for one.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd

from flowcast._table_text import (
    build_about,
    build_caption,
    to_html,
    to_latex,
    to_markdown,
)
from flowcast._tabular import read_raw
from flowcast.errors import Faults, UsageError, require_word
from flowcast.vocabulary import BENCHMARKED_COLUMN, DEFINITION_COLUMN

__all__ = [
    "TABLE_FORMATS",
    "TableFormat",
    "check_target",
    "read_table",
    "render_table",
    "write_parts",
    "write_table",
]

TableFormat = Literal["csv", "parquet", "xlsx", "html", "latex", "md", "json"]
TABLE_FORMATS: Final[tuple[TableFormat, ...]] = get_args(TableFormat)

BINARY: Final = ("parquet", "xlsx")
SUFFIXES: Final[dict[str, TableFormat]] = {
    **{f".{name}": name for name in TABLE_FORMATS},
    ".tex": "latex",
    ".htm": "html",
    ".markdown": "md",
}
READABLE: Final = (".csv", ".csv.gz", ".parquet", ".xlsx", ".json")
TEXT_COLUMNS: Final = frozenset(
    {
        "origin",
        "destination",
        "period_start",
        "period_end",
        "measure",
        "kind",
        "evidence",
        DEFINITION_COLUMN,
        BENCHMARKED_COLUMN,
    }
)
"""Text even where every cell is missing, or where every code could be read as a number."""
EXCEL_ROWS: Final = 1_048_576
"""Rows of a sheet, the header among them."""
SHEET: Final = "estimates"
ABOUT: Final = "about"


def write_table(
    frame: pd.DataFrame,
    path: str | Path | None = None,
    format: TableFormat | None = None,
    *,
    caption: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> str | None:
    r"""Write a table, or return its text.

    Parameters
    ----------
    frame
        An estimate table, or any other with named columns; its index is left out.
    path
        Where to; None returns the text.
    format
        ``csv``, ``parquet`` and ``json`` keep every digit, ``xlsx`` 16 of them; ``html``, ``latex``
        and ``md`` are rounded for reading. By default what the path ends in, or CSV.
    caption
        Instead of the caption that says measure, unit, definition, probability and kind of the
        intervals. Stands in the formats for reading, and in `xlsx` and `json`.
    notes
        Laid over what the table knows about itself (``unit``, ``definition``, ``intervals``,
        ``source``, ``inference``, ``notes``); an empty text takes an entry away.

    Returns
    -------
    str or None
        The text, if no path was given.

    Raises
    ------
    UsageError
        If the format is unknown, binary without a path, or cannot hold so many rows; if the folder
        does not exist.

    Examples
    --------
    >>> write_table(pd.DataFrame({"origin": ["NA", None], "median": [0.1, 2.0]}))
    'origin,median\nNA,0.1\n,2.0\n'
    """
    content = render_table(frame, _format_of(path, format), caption=caption, notes=notes)
    if path is not None:
        _write_atomically(Path(path), content if isinstance(content, bytes) else content.encode())
        return None
    if isinstance(content, bytes):
        raise UsageError(
            f"(format) | found {format} without a file to write; allowed: a path (--out), or one "
            f"of {', '.join(name for name in TABLE_FORMATS if name not in BINARY)}"
        )
    return content


def write_parts(parts: Iterable[pd.DataFrame], path: Path) -> None:
    """Write a table that comes in parts as one Parquet file, a part in memory at a time.

    Parameters
    ----------
    parts
        Frames of the same columns, at least one. What the first knows about itself goes into the
        file.
    path
        Where to. The file is not renamed into place: it belongs into a folder that is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remaining = iter(parts)
    first = pa.Table.from_pandas(next(remaining), preserve_index=False)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        del first
        for part in remaining:
            writer.write_table(pa.Table.from_pandas(part, writer.schema, preserve_index=False))


def render_table(
    frame: pd.DataFrame,
    format: TableFormat,
    *,
    caption: str | None = None,
    notes: Mapping[str, str] | None = None,
) -> str | bytes:
    """Return what `write_table` would write: text, or bytes for ``parquet`` and ``xlsx``.

    Raises
    ------
    UsageError
        If the format is unknown or cannot hold so many rows.
    """
    require_word("format", format, TABLE_FORMATS)
    about = build_about(frame, notes)
    words = build_caption(frame, about) if caption is None else caption
    return WRITERS[format](frame, words, about)


def _format_of(path: str | Path | None, format: TableFormat | None) -> TableFormat:
    if format is not None:
        return format
    if path is None:
        return "csv"
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"({path}) | found a file ending in {suffix!r}; allowed: {', '.join(SUFFIXES)}, or a "
            "format by name"
        )
    return SUFFIXES[suffix]


def check_target(path: str | Path) -> None:
    """Refuse a file that `write_table` could not write, before the table is computed.

    Raises
    ------
    UsageError
        If the suffix stands for no format, or the folder does not exist.
    """
    _format_of(path, None)
    _require_folder(Path(path))


def _require_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(
            f"({path}) | found no folder {str(path.parent)!r}; allowed: one that exists"
        )


def _to_csv(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def _to_parquet(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> bytes:
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _to_xlsx(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> bytes:
    """Return a workbook: the table, and a sheet that says what it shows."""
    if len(frame) >= EXCEL_ROWS:
        raise UsageError(
            f"(format) | found {len(frame):,} rows for xlsx; allowed: {EXCEL_ROWS - 1:,}; csv and "
            "parquet hold any number"
        )
    buffer = BytesIO()
    facts = {"caption": caption, **about}
    with pd.ExcelWriter(buffer, engine="openpyxl") as writer:
        frame.to_excel(writer, sheet_name=SHEET, index=False, freeze_panes=(1, 0))
        pd.DataFrame(facts.items(), columns=["what", "text"]).to_excel(
            writer, sheet_name=ABOUT, index=False
        )
    return buffer.getvalue()


def _to_json(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> str:
    columns = {str(name): _plain_column(frame[name]) for name in frame}
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    metadata = {"caption": caption, **about, "columns": list(columns)}
    document = {"metadata": metadata, "rows": rows}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _plain_column(cells: pd.Series) -> list[str | int | float | None]:
    known = cells.notna()
    return [_plain(c) if there else None for c, there in zip(cells, known, strict=True)]


def _plain(value: object) -> str | int | float:
    """Return a cell as JSON knows it; infinities, which JSON lacks, become text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float) else str(value)


WRITERS: Final[dict[str, Callable[[pd.DataFrame, str, Mapping[str, str]], str | bytes]]] = {
    "csv": _to_csv,
    "parquet": _to_parquet,
    "xlsx": _to_xlsx,
    "html": to_html,
    "latex": to_latex,
    "md": to_markdown,
    "json": _to_json,
}


def _write_atomically(path: Path, content: bytes) -> None:
    _require_folder(path)
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote, or a published one in the same form.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz``, ``.parquet``, ``.xlsx`` (first sheet) or ``.json`` file.

    Returns
    -------
    pandas.DataFrame
        Places, dates and other words are text; a column of numbers is float64. Empty cells are
        missing, "NA" is Namibia.

    Raises
    ------
    InputError
        If the file cannot be read as a table, or is of a format that is rounded for reading.
    """
    file, faults = Path(path), Faults(str(path))
    if not file.name.lower().endswith(READABLE):
        faults.add(f"a file ending in {file.suffix!r}", ", ".join(READABLE))
        faults.raise_if_any()
    if file.suffix == ".json":
        return _typed(_read_json(file, faults))
    frame = read_raw(file, faults).frame
    faults.raise_if_any()
    return _typed(frame)


def _read_json(file: Path, faults: Faults) -> pd.DataFrame:
    allowed = 'an object with "metadata" and "rows", as write_table writes it'
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        rows, columns = document["rows"], document["metadata"]["columns"]
        return pd.DataFrame(rows, columns=columns)
    except OSError as error:
        faults.add(error.strerror or str(error), "a readable file")
    except (ValueError, KeyError, TypeError) as error:
        faults.add(f"other content ({error})", allowed)
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn columns of numbers into float64 and the others into text."""
    return pd.DataFrame({name: _typed_column(str(name), frame[name]) for name in frame})


def _typed_column(name: str, cells: pd.Series) -> pd.Series:
    if name not in TEXT_COLUMNS:
        try:
            # By way of Python's float, which reads back exactly what was written.
            numbers = [np.nan if pd.isna(cell) else float(cell) for cell in cells]
            return pd.Series(numbers, index=cells.index, dtype="float64")
        except (TypeError, ValueError):
            pass
    if pd.api.types.is_datetime64_any_dtype(cells):
        cells = cells.dt.strftime("%Y-%m-%d")
    return (
        cells.astype("object").where(cells.notna(), None).map(str, na_action="ignore").astype("str")
    )
