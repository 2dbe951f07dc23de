"""A comparison as plain text: how much changed, why, and where most."""

from typing import Final

import numpy as np
import pandas as pd

from flowcast.compare.cells import Comparison
from flowcast.definitions import name_definition
from flowcast.vocabulary import UN_DURATION_MONTHS

__all__ = ["render"]

NOTABLE: Final = 0.1
"""A change of the median that is counted: ten percent."""


def render(comparison: Comparison, top: int = 20) -> str:
    """Return the comparison as plain text: how much changed, why, and where most.

    Parameters
    ----------
    comparison
        Of runs or tables.
    top
        How many cells to list.
    """
    name_a, name_b = comparison.names
    lines = [f"{name_a} -> {name_b}", "", *_describe_definition(comparison)]
    lines += [*_describe_cells(comparison), "", "Why"]
    lines += _describe_inputs(comparison.inputs)
    if len(comparison.summary) and top > 0:
        shown = comparison.largest(top)
        lines += ["", f"Largest changes of the median ({len(shown)} cells)"]
        lines.append(_format_cells(shown))
    return "\n".join(lines) + "\n"


def _describe_definition(comparison: Comparison) -> list[str]:
    """Return a line on the definition, where one is known that is not the usual one."""
    known = {name for name in comparison.definitions if name is not None}
    if not known or known == {name_definition(UN_DURATION_MONTHS)}:
        return []
    pairs = zip(comparison.names, comparison.definitions, strict=True)
    silent = "".join(f"; {name} does not say" for name, found in pairs if found is None)
    return [f"definition: {', '.join(known)}{silent}"]


def _describe_cells(comparison: Comparison) -> list[str]:
    summary, (name_a, name_b) = comparison.summary, comparison.names
    lines = [
        f"{len(summary):,} cells in both; {len(comparison.only_a):,} only in {name_a}; "
        f"{len(comparison.only_b):,} only in {name_b}"
    ]
    if summary.empty:
        return lines
    size = summary["log_ratio"].abs()
    changed = int((size > np.log1p(NOTABLE)).sum())
    lines.append(
        f"median up or down by a factor of {np.exp(size.median()):.3g} in the middle cell; by more "
        f"than {NOTABLE:.0%} in {changed:,} cells"
    )
    if summary["sd_ratio"].notna().any():
        lines.append(f"posterior sd: {summary['sd_ratio'].median():.3g} times, in the middle cell")
    if comparison.prob is not None and summary["overlap"].notna().any():
        kind = str(comparison.kind).replace("_", "-")
        apart = int((summary["overlap"] == 0.0).sum())
        lines.append(
            f"{100 * comparison.prob:g}% {kind} credible intervals: overlap "
            f"{summary['overlap'].median():.0%} in the middle cell, none in {apart:,} cells"
        )
    return lines


def _describe_inputs(inputs: pd.DataFrame) -> list[str]:
    if inputs.empty:
        return ["  nothing known of what went in differs"]
    rows = inputs.itertuples(index=False, name=None)
    return [f"  {key}: {_short(a)} -> {_short(b)}" for key, a, b in rows]


def _short(text: str, width: int = 60) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _format_cells(cells: pd.DataFrame) -> str:
    persons = {name: "{:,.0f}".format for name in ("median_a", "median_b", "difference")}
    ratios = {name: "{:.3g}".format for name in ("log_ratio", "overlap", "sd_ratio")}
    return str(cells.to_string(index=False, na_rep="", formatters={**persons, **ratios}))
