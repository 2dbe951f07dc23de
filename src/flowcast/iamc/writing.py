"""Tables in IAMC format to files."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from flowcast._atomic import atomic_file
from flowcast.errors import UsageError
from flowcast.iamc.libraries import no_alarm

if TYPE_CHECKING:
    from pyam import IamDataFrame

__all__ = ["write_iamc"]


def write_iamc(data: "IamDataFrame", path: str | os.PathLike[str]) -> None:
    """Write a table in IAMC format: a row for each series, a column for each year.

    The file is there whole or not at all; one that stands there is replaced.

    Parameters
    ----------
    data
        The table. Its columns of scenarios (`meta`) are a second sheet of a workbook, and not in a
        CSV file.
    path
        Ends in ``.csv`` or ``.xlsx``; its folder must be there.

    Raises
    ------
    UsageError
        If it ends otherwise, or the folder is not there.
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in (".csv", ".xlsx"):
        raise UsageError(f"({target}) | found the ending {kind!r}; allowed: .csv, .xlsx")
    if not target.parent.is_dir():
        raise UsageError(
            f"({target}) | found no folder {target.parent}; allowed: one that is there"
        )
    with no_alarm():
        content = data.to_csv().encode() if kind == ".csv" else _workbook(data)
    with atomic_file(target) as partial:
        partial.write_bytes(content)


def _workbook(data: "IamDataFrame") -> bytes:
    buffer = io.BytesIO()
    # Of the engines the one whose sheets pyam can lay out.
    with pd.ExcelWriter(buffer, engine="xlsxwriter") as writer:
        data.to_excel(writer)
    return buffer.getvalue()
