"""Policy matrices: a value or a state for each pair of an origin and a destination."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flowcast.errors import Faults

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_matrix"]

TIDY = ("origin", "destination", "value")


def read_matrix(path: str | os.PathLike[str]) -> dict[str, dict[str, float | str]]:
    """Read a policy matrix.

    Parameters
    ----------
    path
        A CSV, Parquet or Excel file. Either the first column has the origins and each other column
        is a destination, or the columns are `origin`, `destination` and `value`. Cells are numbers
        or words of states; an empty cell changes nothing.

    Returns
    -------
    dict
        Origin to destination to value, cells without a value left out.

    Raises
    ------
    InputError
        If the file cannot be read, or a pair stands in it twice.
    """
    from flowcast._tabular import read_raw

    faults = Faults(os.fspath(path))
    raw = read_raw(Path(path), faults, unnamed="origin")
    columns = [str(name) for name in raw.frame.columns]
    tidy = set(TIDY[1:]) <= set(columns)
    if tidy and TIDY[0] not in columns:
        faults.add("no such column", "a column of origins", row=1, column=TIDY[0])
    faults.raise_if_any()
    frame = raw.frame[list(TIDY)] if tidy else _melted(raw.frame)
    rows = raw.rows if tidy else raw.rows.repeat(len(columns) - 1)
    found: dict[str, dict[str, float | str]] = {}
    cells = frame.itertuples(index=False, name=None)
    for row, (origin, destination, value) in zip(rows, cells, strict=True):
        if is_empty(value):
            continue
        for name, cell in (("origin", origin), ("destination", destination)):
            if is_empty(cell):
                faults.add("an empty cell", "a place", row=int(row), column=name)
        inner = found.setdefault(str(origin), {})
        if str(destination) in inner:
            faults.add(f"{origin}/{destination} again", "each pair once", row=int(row))
        inner[str(destination)] = as_cell(value)
    faults.raise_if_any()
    return found


def is_empty(cell: object) -> bool:
    """Return whether a cell is missing: NaN is the only value that is not itself."""
    return cell is None or cell != cell


def as_cell(value: object) -> float | str:
    """Return a cell as a number if it is one, otherwise as a word.

    Examples
    --------
    >>> as_cell("0.5"), as_cell("required")
    (0.5, 'required')
    """
    try:
        return float(str(value))
    except ValueError:
        return str(value)


def _melted(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the cells of a matrix in the order in which they are read, row by row."""
    import pandas as pd

    first = frame.columns[0]
    n, names = len(frame), [str(name) for name in frame.columns[1:]]
    return pd.DataFrame(
        {
            "origin": frame[first].repeat(len(names)).to_numpy(),
            "destination": names * n,
            "value": frame[frame.columns[1:]].astype(object).to_numpy().ravel(),
        }
    )
