"""One look for all figures: palette, sizes, ticks in persons, and how a figure is written.

Colours are those of Okabe and Ito and the map cividis (Nuñez et al. 2018,
doi 10.1371/journal.pone.0199239): both are told apart with any common colour vision, and every
distinction is carried by shape, position or lightness as well.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.typing import RcKeyType

from flowcast.errors import Fault, UsageError, nearest
from flowcast.vocabulary import INTERVAL_KIND

__all__ = [
    "BLUE",
    "GREY",
    "INTERVALS",
    "KIND_WORDS",
    "ORANGE",
    "PALE",
    "SUFFIXES",
    "VERMILLION",
    "FlowFigure",
    "add_note",
    "add_title",
    "as_svg",
    "check_suffix",
    "interval_handles",
    "marker_handle",
    "marker_look",
    "new_figure",
    "persons_axis",
    "save_figure",
    "style",
]

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
GREY: Final = "#7F7F7F"
PALE: Final = "#ECECEC"
INTERVALS: Final[Mapping[float, tuple[str, float]]] = {
    0.95: ("#9CC9E5", 1.6),
    0.8: ("#4A9DD0", 3.6),
    0.5: (BLUE, 6.2),
}
"""Colour and line width of an interval by its probability, the widest first."""
KIND_WORDS: Final = INTERVAL_KIND.replace("_", "-")
SUFFIXES: Final = (".png", ".svg", ".pdf")

WIDTH_INCHES: Final = 8.0
DOTS_PER_INCH: Final = 150
NOTEBOOK_PIXELS: Final = 800
STYLE: Final[dict[RcKeyType, Any]] = {
    "axes.axisbelow": True,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "font.size": 8,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    # Two drawings of the same posterior are the same file.
    "svg.hashsalt": "flowcast",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}


class FlowFigure(Figure):
    """A figure that shows itself in a notebook, with its description, and without pyplot."""

    alt_text: str = ""

    def _repr_png_(self) -> tuple[bytes, dict[str, Any]]:
        buffer = BytesIO()
        with style():
            self.savefig(buffer, format="png")
        return buffer.getvalue(), {"width": NOTEBOOK_PIXELS, "alt": self.alt_text}


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and written."""
    return rc_context(STYLE)


def new_figure(height: float) -> FlowFigure:
    """Return an empty figure of the common width (1200 pixels) and this height in inches."""
    return FlowFigure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, layout="constrained")


def add_title(figure: Figure, title: str, subtitle: str = "") -> None:
    """Put a title at the left edge, and below it what the reader has to know first."""
    height = figure.get_figheight()
    reserved = 0.5 if subtitle else 0.32
    # Placed in inches: a layout that makes room for a title leaves none below it.
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, 1 - reserved / height))
    at: dict[str, Any] = {"ha": "left", "va": "top"}
    figure.text(0.01, 1 - 0.06 / height, title, weight="bold", fontsize=10.5, **at)
    figure.text(0.01, 1 - 0.28 / height, subtitle, fontsize=7.5, color="#444444", **at)


def add_note(axes: Axes, text: str) -> None:
    """Write in the middle of an otherwise empty panel what is missing."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, wrap=True)


def persons_axis(axis: Axis) -> None:
    """Label a logarithmic axis in persons, at 1, 2, 5 where there is room and at 1 elsewhere."""
    low, high = sorted(axis.get_view_interval())
    decades = np.log10(max(high, 1e-300)) - np.log10(max(low, 1e-300))
    subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=7))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:.2g}"))
    axis.set_minor_formatter(NullFormatter())


def interval_handles(probs: Sequence[float] = tuple(INTERVALS)) -> list[Line2D]:
    """Return legend entries that state probability and kind of every interval drawn."""
    return [
        Line2D(
            [],
            [],
            color=INTERVALS[prob][0],
            linewidth=INTERVALS[prob][1],
            label=f"{100 * prob:.0f} % credible interval ({KIND_WORDS})",
        )
        for prob in sorted(probs)
    ]


def marker_handle(label: str, marker: str, color: str, *, hollow: bool = False) -> Line2D:
    """Return the legend entry of a marker; a hollow one has its colour at the rim."""
    return Line2D([], [], markersize=4.5, label=label, **marker_look(marker, color, hollow=hollow))


def marker_look(marker: str, color: str, *, hollow: bool = False) -> dict[str, Any]:
    """Return how a marker is drawn, in the legend as in the panels."""
    rim, face, width = (color, "white", 1.3) if hollow else ("black", color, 0.5)
    return {
        "linestyle": "",
        "marker": marker,
        "markerfacecolor": face,
        "markeredgecolor": rim,
        "markeredgewidth": width,
    }


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not say which format is meant.

    Raises
    ------
    UsageError
        Naming the formats there are.
    """
    if path.suffix.lower() not in SUFFIXES:
        hint = nearest(path.suffix, SUFFIXES) or ""
        found = f"a file ending in {path.suffix!r}"
        raise UsageError(str(Fault(str(path), found, ", ".join(SUFFIXES), hint=hint)))


def as_svg(figure: FlowFigure, name: str) -> str:
    """Return a figure as an SVG element to stand in a page, with its description.

    Parameters
    ----------
    figure
        What to draw.
    name
        Begins every id of the element, so that several figures can stand in one page.
    """
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    label = escape(figure.alt_text, quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def save_figure(figure: FlowFigure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF by its suffix: whole or not at all.

    The description goes into the file's metadata; the time of writing does not.

    Raises
    ------
    UsageError
        If the suffix is another.
    """
    check_suffix(path)
    kind = path.suffix.lower().removeprefix(".")
    metadata: dict[str, Any] = {
        "png": {"Description": figure.alt_text, "Software": None},
        "svg": {"Description": figure.alt_text, "Date": None},
        "pdf": {"Subject": figure.alt_text, "CreationDate": None},
    }[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / path.name
        with style():
            figure.savefig(part, format=kind, metadata=metadata)
        os.replace(part, path)
