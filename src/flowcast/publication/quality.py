"""A grade for each estimate, from how wide its interval is and from what it rests on."""

from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from flowcast.errors import UsageError
from flowcast.publication.rounding import CELL
from flowcast.vocabulary import EVIDENCE, NO_EVIDENCE

__all__ = ["QUALITY_COLUMN", "QUALITY_GRADES", "grade_table"]

QUALITY_COLUMN: Final = "quality"
PROB: Final = 0.95
WIDTHS: Final = (0.25, 0.5, 1.0)
"""Up to which half the width of the 95 % interval, as a share of the median, a grade is given."""
QUALITY_GRADES: Final = MappingProxyType(
    {
        "A": "good: half the width of the 95 % interval is at most 25 % of the median",
        "B": "fair: at most 50 %, or narrower but known only from sources other than registers, "
        "censuses and surveys of the move itself",
        "C": "weak: at most 100 %, or narrower but without any report",
        "D": "poor: more than that; little but the order of magnitude is known",
    }
)
"""Grades, best first, and what they say."""
DIRECT: Final = frozenset({"both_reports", "one_report", "register", "census", "survey"})
"""Evidence of the move itself, by a method that counts or samples people."""


def grade_table(frame: pd.DataFrame) -> pd.Series:
    """Return a grade for each row of an estimate table.

    Two rules, of which the worse grade counts. By width: half the width of the 95 % interval
    divided by the size of the median is at most .25 (A), .5 (B), 1 (C) or more (D). By evidence:
    what rests on no report has at best C; on none that counts or samples the move itself, at best
    B. The limits are a convention, like those of statistical offices for coefficients of variation:
    a grade is no test of the model. Net migration near zero has D, for its sign is not known.

    Parameters
    ----------
    frame
        With `median`, `lower`, `upper`, `prob` and `evidence`; each cell has a row of 95 %.

    Returns
    -------
    Series
        Of `QUALITY_GRADES`, named ``quality``, the same for all rows of a cell; missing where
        figures are missing.

    Raises
    ------
    UsageError
        If a column is missing, a cell has no 95 % interval, or evidence is unknown.

    Examples
    --------
    >>> row = {"median": 100.0, "lower": 80.0, "upper": 125.0, "prob": 0.95}
    >>> rows = [{"evidence": "both_reports"}, {"evidence": "digital"}, {"evidence": "none"}]
    >>> grade_table(pd.DataFrame([{"origin": k, **row, **more} for k, more in enumerate(rows)]))
    0    A
    1    B
    2    C
    Name: quality, dtype: str
    """
    _check(frame)
    wide = frame["prob"] == PROB
    median = frame["median"].abs()
    with np.errstate(divide="ignore", invalid="ignore"):
        width = ((frame["upper"] - frame["lower"]) / 2.0 / median).where(wide)
    width = width.mask(wide & (median == 0.0) & frame["upper"].notna(), np.inf)
    keys = [frame[name] for name in CELL if name in frame]
    width = width.groupby(keys, dropna=False, sort=False).transform("max")
    by_width = np.searchsorted(WIDTHS, width.to_numpy(float))
    by_evidence = frame["evidence"].map({w: _floor(w) for w in frame["evidence"].unique()})
    worse = np.maximum(by_width, by_evidence.to_numpy(int))
    letters = pd.Series(np.array(list(QUALITY_GRADES))[worse], index=frame.index, dtype="str")
    return letters.where(width.notna()).rename(QUALITY_COLUMN)


def _floor(evidence: str) -> int:
    """Return the best grade, as its position, that evidence allows."""
    words = set(evidence.split("+"))
    if words == {NO_EVIDENCE}:
        return 2
    return 0 if words & DIRECT else 1


def _check(frame: pd.DataFrame) -> None:
    needed = ("median", "lower", "upper", "prob", "evidence")
    missing = [name for name in needed if name not in frame]
    if missing:
        raise UsageError(f"(table) | found no {', '.join(missing)}; allowed: {', '.join(needed)}")
    keys = [name for name in CELL if name in frame]
    cells = frame.assign(wide=frame["prob"] == PROB)
    if not cells.groupby(keys, dropna=False)["wide"].any().all():
        raise UsageError("(prob) | found a cell without a 95 % interval; allowed: one for each")
    known = {*EVIDENCE, NO_EVIDENCE}
    strange = sorted({w for text in frame["evidence"].unique() for w in text.split("+")} - known)
    if strange:
        raise UsageError(
            f"(evidence) | found {', '.join(strange)}; allowed: {', '.join(sorted(known))}"
        )
