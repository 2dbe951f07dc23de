"""Tables for people: HTML, LaTeX and Markdown, rounded, with a caption that says what they show."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from jinja2 import Environment

from flowcast.definitions import describe_definition
from flowcast.posterior import describe_inference
from flowcast.vocabulary import PERSONS

__all__ = ["build_about", "build_caption", "display_frame", "to_html", "to_latex", "to_markdown"]

TITLES: Final = {
    "flow": "Migration flows",
    "immigration": "Immigration",
    "emigration": "Emigration",
    "net": "Net migration",
}
PERSON_COLUMNS: Final = re.compile(r"value|mean|median|sd|lower|upper|q[\d.]+")
"""Columns of estimates and predictions that hold persons."""
DIGITS: Final = 3
"""Significant digits of persons that are shown: more than that, no estimate carries."""
ROUNDING: Final = (
    f"Figures are rounded to whole persons and to {DIGITS} significant digits; sums may differ."
)

LATEX: Final = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
    }
)

PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
table { border-collapse: collapse; font: 0.9rem/1.4 system-ui, sans-serif; }
caption, tfoot { text-align: left; padding: 0.4rem 0; }
th, tbody td { border-bottom: 1px solid #ccc; padding: 0.2rem 0.6rem; text-align: left; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
</style>
</head>
<body>
<table>
<caption>{{ caption }}</caption>
<thead>
<tr>{% for name in header %}<th scope="col"{% if numeric[loop.index0] %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr>
</thead>
<tbody>
{%- for row in rows %}
<tr>{% for cell in row %}<td{% if numeric[loop.index0] %} class="n"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
<tfoot>
{%- for line in lines %}
<tr><td colspan="{{ header|length }}">{{ line }}</td></tr>
{%- endfor %}
</tfoot>
</table>
</body>
</html>
"""  # noqa: E501


def build_about(frame: pd.DataFrame, notes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a reader has to know about a table, as named sentences.

    Parameters
    ----------
    frame
        An estimate table, or any other.
    notes
        Laid over what the table says about itself; an empty text takes an entry away.

    Returns
    -------
    dict
        ``unit``, ``definition``, ``intervals``, ``source``, ``inference`` and ``notes``, as far as
        known.

    Examples
    --------
    >>> bounds = pd.DataFrame({"lower": [1.0], "upper": [2.0], "prob": 0.8, "kind": "equal_tailed"})
    >>> build_about(bounds)["intervals"]
    'lower and upper are bounds of equal-tailed credible intervals with probability 80%'
    """
    attrs = frame.attrs
    about: dict[str, str] = {}
    if _in_persons(frame):
        about["unit"] = str(attrs.get("unit", PERSONS))
    if "definition_months" in attrs:
        about["definition"] = describe_definition(float(attrs["definition_months"]))
    if {"lower", "upper", "prob", "kind"} <= set(frame.columns):
        about["intervals"] = _describe_intervals(frame)
    if "model" in attrs:
        about["source"] = f"flowcast estimates, model {attrs['model']}"
    about["inference"] = describe_inference(attrs.get("method"), attrs.get("exact"))
    if attrs.get("notes"):
        about["notes"] = "; ".join(attrs["notes"])
    about |= notes or {}
    return {key: text for key, text in about.items() if text}


def _describe_intervals(frame: pd.DataFrame) -> str:
    kinds = " and ".join(sorted(str(kind).replace("_", "-") for kind in frame["kind"].unique()))
    percents = [f"{100 * prob:g}%" for prob in sorted(frame["prob"].unique())]
    head = ", ".join(percents[:-1])
    probs = f"{head} and {percents[-1]}" if head else "".join(percents)
    return f"lower and upper are bounds of {kinds} credible intervals with probability {probs}"


def build_caption(frame: pd.DataFrame, about: Mapping[str, str]) -> str:
    """Return one line: measure, periods, unit, definition, probability and kind of intervals.

    Examples
    --------
    >>> build_caption(pd.DataFrame({"measure": ["net"]}), {"unit": "persons per period"})
    'Net migration, persons per period.'
    """
    measures = sorted(map(str, frame["measure"].unique())) if "measure" in frame else []
    title = ", ".join(TITLES.get(name, name) for name in measures) or "Table"
    if {"period_start", "period_end"} <= set(frame.columns) and frame["period_start"].notna().any():
        first, last = frame["period_start"].min(), frame["period_end"].max()
        title += f", {first} to {last} (last day excluded)"
    parts = [title, *(about[key] for key in ("unit", "definition") if key in about)]
    sentences = [", ".join(parts)]
    if "intervals" in about:
        text = about["intervals"]
        sentences.append(text[0].upper() + text[1:])
    return ". ".join(sentences) + "."


def display_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text: persons rounded, with thousands separators; missing is empty.

    Examples
    --------
    >>> display_frame(pd.DataFrame({"measure": "net", "median": [1234567.0, -41.6], "prob": 0.95}))
      measure     median prob
    0     net  1,230,000  95%
    1     net        -42  95%
    """
    persons = _in_persons(frame)
    shown = {str(name): _write_column(frame[name], persons=persons) for name in frame}
    return pd.DataFrame(shown, index=frame.index, dtype="str")


def _in_persons(frame: pd.DataFrame) -> bool:
    """Return whether means and bounds are persons: not so in a table of parameters."""
    return "unit" in frame.attrs or "measure" in frame


def _write_column(cells: pd.Series, *, persons: bool) -> list[str]:
    write: Callable[[Any], str] = _write_other
    if persons and PERSON_COLUMNS.fullmatch(str(cells.name)):
        write = _write_persons
    elif cells.name == "prob":
        write = _write_percent
    known = cells.notna()
    return [write(cell) if there else "" for cell, there in zip(cells, known, strict=True)]


def _write_persons(value: float) -> str:
    if not np.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{DIGITS - 1}e}") if abs(value) >= 10**DIGITS else value
    return f"{round(rounded):,d}"


def _write_percent(value: float) -> str:
    return f"{100 * value:g}%"


def _write_other(value: object) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _closing_lines(about: Mapping[str, str]) -> list[str]:
    """Return what stands below the table."""
    notes = f"Notes: {about['notes']}." if "notes" in about else ""
    rounding = ROUNDING if "unit" in about else ""
    source = f"Source: {about['source']}." if "source" in about else ""
    inference = f"Inference: {about['inference']}." if "inference" in about else ""
    return [line for line in (notes, rounding, source, inference) if line]


def _numeric(frame: pd.DataFrame) -> list[bool]:
    return [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]


def to_html(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> str:
    """Return a page that stands alone, with one table."""
    shown = display_frame(frame)
    template = Environment(autoescape=True, keep_trailing_newline=True).from_string(PAGE)
    return template.render(
        title=caption.split(",")[0].split(".")[0],
        caption=caption,
        header=list(shown.columns),
        rows=shown.to_numpy().tolist(),
        numeric=_numeric(frame),
        lines=_closing_lines(about),
    )


def to_latex(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> str:
    r"""Return a `longtable`; the document needs the packages `booktabs` and `longtable`."""
    shown = display_frame(frame)
    # Before pandas 3.1 a long table was cut at the limit that is meant for the screen.
    with pd.option_context("styler.render.max_elements", max(1, shown.size)):
        table = shown.to_latex(
            index=False,
            escape=True,
            longtable=True,
            caption=caption.translate(LATEX),
            column_format="".join("r" if number else "l" for number in _numeric(frame)),
        )
    lines = [line.translate(LATEX) for line in _closing_lines(about)]
    return table + "".join(f"\\noindent {line}\n\n" for line in lines)


def to_markdown(frame: pd.DataFrame, caption: str, about: Mapping[str, str]) -> str:
    """Return a caption, a pipe table and the closing lines, as paragraphs."""
    shown = display_frame(frame).map(lambda cell: cell.replace("|", r"\|"))
    align = ["right" if number else "left" for number in _numeric(frame)]
    table = shown.to_markdown(index=False, disable_numparse=True, colalign=align)
    return "\n\n".join([caption, table, *_closing_lines(about)]) + "\n"
