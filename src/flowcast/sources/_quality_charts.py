"""The charts of the quality page as plain numbers and texts; its template draws them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from flowcast.sources._quality_text import format_interval, format_ratio, name_reporter

__all__ = ["Dot", "DotChart", "HeatMap", "dot_chart", "heat_maps"]

type Colour = tuple[int, int, int]

MAX_ROWS: Final = 120
MAX_YEARS: Final = 40
MAX_DOTS: Final = 80
WHITE: Final[Colour] = (255, 255, 255)
# Light enough for black text at a contrast of 7 to 1, and told apart without red and green.
BLUE: Final[Colour] = (116, 173, 209)
ORANGE: Final[Colour] = (253, 174, 97)
FULL: Final = 3.0
"""Factors of two at which a ratio has its full colour."""
DECADES: Final = 1.5
"""Factors of ten that the dot chart shows on each side of 1."""
TICKS: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A table with coloured cells: reporters by years.

    Attributes
    ----------
    source, measure
        What it is about.
    years
        Headings.
    rows
        Reporter, and text and colour (``#rrggbb``) of each year's cell.
    left_out
        Reporters that are not shown.
    earlier
        Years that are not shown.
    """

    source: str
    measure: str
    years: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    left_out: int
    earlier: int


@dataclass(frozen=True, slots=True)
class Dot:
    """A reporter in the dot chart: places from 0 to 1, and everything in words.

    Attributes
    ----------
    label, text
        Who it is, and ratio and interval in words.
    at
        Place of the ratio, or None if it is unknown.
    low, high
        Ends of the interval, or None.
    """

    label: str
    text: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class DotChart:
    """Ratios with intervals on a logarithmic axis.

    Attributes
    ----------
    dots
        The reporters, by ratio.
    ticks
        Places from 0 to 1, and their labels.
    left_out
        Reporters that are not shown.
    """

    dots: tuple[Dot, ...]
    ticks: tuple[tuple[float, str], ...]
    left_out: int


def heat_maps(table: pd.DataFrame, column: str) -> tuple[HeatMap, ...]:
    """Return a heat map for each source and measure.

    Parameters
    ----------
    table
        With `source, measure, reporter, side, year` and the column.
    column
        ``share`` or ``ratio``.
    """
    write, paint = CELLS[column]
    found = []
    for (source, measure), part in table.groupby(["source", "measure"]):
        years = sorted(part["year"].unique())
        shown = tuple(str(year) for year in years[-MAX_YEARS:])
        wide = part.set_index(["reporter", "side", "year"])[column].unstack("year")
        wide = wide[list(shown)]
        # The fullest rows, if not all of them fit.
        kept = wide.notna().sum(axis=1).sort_values(ascending=False, kind="stable").index[:MAX_ROWS]
        rows = tuple(
            (_label(key), tuple((write(x), paint(x)) for x in cells))
            for key, cells in zip(wide.index, wide.to_numpy(dtype=float), strict=True)
            if key in set(kept)
        )
        earlier = len(years) - len(shown)
        found.append(
            HeatMap(str(source), str(measure), shown, rows, len(wide) - len(rows), earlier)
        )
    return tuple(found)


def dot_chart(table: pd.DataFrame) -> DotChart:
    """Return the chart of the ratios to mirror reports, the lowest first.

    Parameters
    ----------
    table
        `QualityReport.mirror_summary`.
    """
    several = table["source"].nunique() > 1 or table["measure"].nunique() > 1
    by_size = table.sort_values("n_pairs", ascending=False, kind="stable").head(MAX_DOTS)
    ordered = by_size.sort_values("ratio", kind="stable")
    dots = []
    for _, row in ordered.iterrows():
        label = name_reporter(row) + (f" ({row['source']}, {row['measure']})" if several else "")
        text = f"{format_ratio(row['ratio'])} ({format_interval(row['lower'], row['upper'])})"
        dots.append(Dot(label, text, *(_place(row[name]) for name in ("ratio", "lower", "upper"))))
    ticks = tuple((_scale(tick), f"{tick:g}") for tick in TICKS)
    return DotChart(tuple(dots), ticks, len(table) - len(by_size))


def _label(key: tuple[str, str]) -> str:
    return name_reporter({"reporter": key[0], "side": key[1]})


def _place(ratio: float) -> float | None:
    return None if np.isnan(ratio) else _scale(ratio)


def _scale(ratio: float) -> float:
    """Return the place of a ratio on the axis; what lies beyond is drawn at its end."""
    with np.errstate(divide="ignore"):
        decades = np.log10(ratio)
    return float(np.clip(0.5 + decades / (2.0 * DECADES), 0.0, 1.0))


def _write_share(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.0f}"


def _paint_share(value: float) -> str:
    return "" if np.isnan(value) else _mix(BLUE, value)


def _paint_ratio(value: float) -> str:
    if np.isnan(value):
        return ""
    with np.errstate(divide="ignore"):
        size = np.log2(value) / FULL
    return _mix(BLUE if size > 0 else ORANGE, abs(size))


def _mix(colour: Colour, amount: float) -> str:
    """Return a colour between white and another one, as ``#rrggbb``."""
    share = min(amount, 1.0)
    mixed = (round(w + (c - w) * share) for w, c in zip(WHITE, colour, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


CELLS: Final[Mapping[str, tuple[Callable[[float], str], Callable[[float], str]]]] = {
    "share": (_write_share, _paint_share),
    "ratio": (format_ratio, _paint_ratio),
}
