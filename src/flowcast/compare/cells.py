"""Two estimate tables, cell by cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.compare.definition import require_one_definition, require_one_version
from flowcast.errors import Fault, InputError, UsageError

__all__ = ["INPUT_COLUMNS", "Comparison", "compare_tables"]

KEY: Final = ("origin", "destination", "period_start", "period_end", "measure")
REQUIRED: Final = (*KEY[:-1], "median")
OPTIONAL: Final = ("sd", "lower", "upper")
BOUNDS: Final = ("lower_a", "upper_a", "lower_b", "upper_b")
INPUT_COLUMNS: Final = ("key", "a", "b")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """What changed from a to b.

    Attributes
    ----------
    summary
        One row per cell that both have: `origin, destination, period_start, period_end, measure`,
        then `median_a`, `median_b`, `difference` (b - a, persons per period), `log_ratio`
        (log of b / a; infinite from or to zero, missing where a median is negative), `overlap` (of
        the credible intervals: length in common / length covered by both together, 0 to 1) and
        `sd_ratio` (b / a).
    inputs
        What went in and differs: `key` (dotted path), `a`, `b`. Empty for two tables.
    only_a, only_b
        Cells that only one of them has: the first five columns of `summary`.
    prob, kind
        Probability and kind of the intervals; None where a table has none.
    names
        What a and b are called.
    definitions
        Of a and b, such as ``12-months``; None where a table does not say.
    """

    summary: pd.DataFrame
    inputs: pd.DataFrame
    only_a: pd.DataFrame
    only_b: pd.DataFrame
    prob: float | None
    kind: str | None
    names: tuple[str, str] = ("a", "b")
    definitions: tuple[str | None, str | None] = (None, None)

    def largest(self, n: int = 20, by: str = "log_ratio") -> pd.DataFrame:
        """Return the `n` cells that changed most, by size of `log_ratio` or `difference`.

        Raises
        ------
        UsageError
            If `by` is neither.
        """
        if by not in ("log_ratio", "difference"):
            raise UsageError(f"(by) | found {by!r}; allowed: log_ratio, difference")
        size = (
            self.summary[by].abs().sort_values(ascending=False, kind="stable", na_position="last")
        )
        return self.summary.loc[size.index[:n]].reset_index(drop=True)

    def __repr__(self) -> str:
        return (
            f"<flowcast.Comparison {' -> '.join(self.names)}: {len(self.summary)} cells in both, "
            f"{len(self.only_a)} only in the first, {len(self.only_b)} only in the second; "
            f"{len(self.inputs)} inputs differ>"
        )

    def _repr_html_(self) -> str:
        parts = (self.inputs, self.largest(8))
        tables = "".join(part.to_html(index=False, na_rep="") for part in parts)
        return f"<p>{self.__repr__().strip('<>')}</p>{tables}"


def compare_tables(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    prob: float | None = None,
    names: tuple[str, str] = ("a", "b"),
    inputs: pd.DataFrame | None = None,
) -> Comparison:
    """Compare two estimate tables, such as a run's and a published one.

    Parameters
    ----------
    a, b
        With at least `origin`, `destination`, `period_start`, `period_end` and `median`. Without
        `measure` they are flows; without `sd`, `lower` or `upper` what needs them is missing.
        `definition` says by which minimum stay moves count; an estimate table without it is of 12
        months.
    prob
        Whose intervals to take where a table has several; by default the largest in both.
    names
        What messages and `render` call the tables.
    inputs
        What went in and differs, if known.

    Raises
    ------
    InputError
        If columns are missing, or a cell occurs twice; of both tables at once.
    UsageError
        If both say what their intervals are, but have no probability and kind in common; if they
        count moves by different definitions, as far as they say; if one has flows as they are
        beside benchmarked ones.

    Examples
    --------
    >>> cell = {"origin": "DE", "destination": "FR", "period_start": "2024-01-01",
    ...         "period_end": "2025-01-01", "median": 100.0}
    >>> change = compare_tables(pd.DataFrame([cell]), pd.DataFrame([cell | {"median": 150.0}]))
    >>> change.summary[["median_a", "median_b", "difference"]].values.tolist()
    [[100.0, 150.0, 50.0]]
    """
    _require_columns(a, b, names)
    definitions = require_one_definition(a, b, names)
    require_one_version(a, b, names)
    chosen, kind = _common_interval(a, b, prob)
    left, right = (_one_row_a_cell(frame, chosen) for frame in (a, b))
    _require_unique(left, right, names)
    both = left.merge(right, on=list(KEY), how="outer", suffixes=("_a", "_b"), indicator="side")
    cells = both[both["side"] == "both"].reset_index(drop=True)
    return Comparison(
        summary=_measure_changes(cells),
        inputs=pd.DataFrame(columns=list(INPUT_COLUMNS), dtype="str") if inputs is None else inputs,
        only_a=_keys_of(both, "left_only"),
        only_b=_keys_of(both, "right_only"),
        prob=chosen,
        kind=kind,
        names=names,
        definitions=definitions,
    )


def _require_columns(a: pd.DataFrame, b: pd.DataFrame, names: Sequence[str]) -> None:
    faults = [
        Fault(name, f"no column {column!r}", ", ".join(REQUIRED))
        for name, frame in zip(names, (a, b), strict=True)
        for column in REQUIRED
        if column not in frame
    ]
    if faults:
        raise InputError(faults)


def _require_unique(left: pd.DataFrame, right: pd.DataFrame, names: Sequence[str]) -> None:
    faults = [
        Fault(name, f"the cell {' '.join(map(str, cell))} more than once", "each cell once")
        for name, frame in zip(names, (left, right), strict=True)
        for cell in frame.loc[frame.duplicated(list(KEY)), list(KEY)].fillna("-").to_numpy()
    ]
    if faults:
        raise InputError(faults)


def _common_interval(
    a: pd.DataFrame, b: pd.DataFrame, prob: float | None
) -> tuple[float | None, str | None]:
    """Return probability and kind that intervals of both tables have; None if one does not say."""
    if any(name not in frame for frame in (a, b) for name in ("prob", "kind")):
        return None, None
    common = sorted(set(a["prob"].dropna()) & set(b["prob"].dropna()))
    kinds = sorted(set(a["kind"].dropna()) | set(b["kind"].dropna()))
    if not common or prob not in (None, *common) or len(kinds) != 1:
        wanted = "" if prob is None else f"{prob:g}, "
        probs = ", ".join(f"{p:g}" for p in common) or "no probability"
        raise UsageError(
            f"(prob) | found {wanted}with {probs} in common, {' and '.join(kinds) or 'no kind'}; "
            "allowed: intervals of one probability and kind that both tables have"
        )
    return float(common[-1] if prob is None else prob), str(kinds[0])


def _one_row_a_cell(frame: pd.DataFrame, prob: float | None) -> pd.DataFrame:
    """Return key, median, sd and bounds of each cell; no bounds if their probability is unsaid."""
    if "prob" in frame:
        frame = frame[frame["prob"] == (frame["prob"].max() if prob is None else prob)]
    out = {name: frame.get(name, "flow") for name in KEY}
    names = ("median", "sd") if prob is None else ("median", *OPTIONAL)
    numbers = {name: frame.get(name, np.nan) for name in names}
    keys = pd.DataFrame(out, index=frame.index).astype("str")
    return keys.assign(**{**dict.fromkeys(OPTIONAL, np.nan), **numbers}).reset_index(drop=True)


def _keys_of(both: pd.DataFrame, side: str) -> pd.DataFrame:
    return both.loc[both["side"] == side, list(KEY)].reset_index(drop=True)


def _measure_changes(cells: pd.DataFrame) -> pd.DataFrame:
    a, b = cells["median_a"].to_numpy(float), cells["median_b"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        sd_ratio = cells["sd_b"].to_numpy(float) / cells["sd_a"].to_numpy(float)
    return cells[[*KEY, "median_a", "median_b"]].assign(
        difference=b - a,
        log_ratio=_log_ratio(a, b),
        overlap=_overlap(*(cells[name].to_numpy(float) for name in BOUNDS)),
        sd_ratio=sd_ratio,
    )


def _log_ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(b / a): 0 where both are 0, infinite where one is, NaN where one is negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a == 0.0) & (b == 0.0), 0.0, np.log(b) - np.log(a))


def _overlap(
    lower_a: NDArray[np.float64],
    upper_a: NDArray[np.float64],
    lower_b: NDArray[np.float64],
    upper_b: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return length in common over length covered together; two equal points overlap fully."""
    common = np.minimum(upper_a, upper_b) - np.maximum(lower_a, lower_b)
    covered = np.maximum(upper_a, upper_b) - np.minimum(lower_a, lower_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(covered == 0.0, 1.0, np.maximum(common, 0.0) / covered)
    return np.where(np.isnan(covered), np.nan, share)
