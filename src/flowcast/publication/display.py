"""Tables for readers: matrix, countries over time, largest corridors; as HTML and LaTeX.

Figures are rounded to what their intervals leave (`rounding`), have a grade (`quality`), and notes
say what the letters mean. great_tables sets them; it is loaded when the first one is rendered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from flowcast.errors import UsageError, require_word
from flowcast.publication.quality import QUALITY_COLUMN, QUALITY_GRADES
from flowcast.publication.rounding import round_table

__all__ = [
    "DISPLAY_FORMATS",
    "DisplayTable",
    "build_corridor_table",
    "build_country_table",
    "build_matrix",
    "render_display",
]

DISPLAY_FORMATS: Final = ("html", "latex")
PROB: Final = 0.95
CONFIDENTIAL: Final = "c"
"""The usual flag of statistical offices for a figure that is confidential."""
MEASURES: Final = {
    "immigration": "Immigration",
    "emigration": "Emigration",
    "net": "Net migration",
}


@dataclass(frozen=True, slots=True, eq=False)
class DisplayTable:
    """A table to be read, all of it text.

    Attributes
    ----------
    name
        Of its files.
    title, subtitle
        What it shows, and of when.
    frame
        Text; the first column names the rows.
    group
        The column whose values head blocks of rows, if any.
    notes
        Below the table.
    """

    name: str
    title: str
    subtitle: str
    frame: pd.DataFrame
    group: str | None
    notes: tuple[str, ...]


def build_matrix(flows: pd.DataFrame, *, rounded: bool = False) -> DisplayTable:
    """Return the flows of the last period as a matrix: origins in rows, destinations in columns.

    Parameters
    ----------
    flows
        Estimate table of flows (or stocks) with 95 % intervals; ``quality`` if it has grades.
        Missing figures are confidential.
    rounded
        Whether the figures are rounded already, and stay as they are.

    Examples
    --------
    >>> row = {"origin": "DE", "destination": "FR", "period_start": "2024-01-01", "prob": 0.95,
    ...        "period_end": "2025-01-01", "median": 1234.0, "lower": 901.0, "upper": 1712.0}
    >>> build_matrix(pd.DataFrame([row])).frame.values.tolist()
    [['DE', '1,230 (900 to 1,720)']]
    """
    wide = _intervals(flows, rounded=rounded)
    # Stocks whose dates nobody told have one period, without a name.
    last = wide[wide["period_start"].isna() | (wide["period_start"] == wide["period_start"].max())]
    cells = last.assign(text=_texts(last)).pivot(
        index="origin", columns="destination", values="text"
    )
    frame = cells.fillna("").reset_index().rename_axis(columns=None)
    return DisplayTable(
        name="matrix",
        title="Origins (rows) and destinations (columns)",
        subtitle=_period(last["period_start"].iloc[0], last["period_end"].iloc[0]),
        frame=frame,
        group=None,
        notes=_notes(last, rounded=rounded),
    )


def build_country_table(tables: Sequence[pd.DataFrame], *, rounded: bool = False) -> DisplayTable:
    """Return immigration, emigration and net migration of each place over time.

    Parameters
    ----------
    tables
        Estimate tables of these measures; others are left out.
    rounded
        As for `build_matrix`.
    """
    parts = [t for t in tables if t["measure"].iloc[0] in MEASURES]
    wide = _intervals(pd.concat(parts, ignore_index=True), rounded=rounded)
    wide = wide.assign(
        place=wide["destination"].fillna(wide["origin"]),
        measure=pd.Categorical(wide["measure"].map(MEASURES), list(MEASURES.values())),
        period=[_period(*p) for p in zip(wide["period_start"], wide["period_end"], strict=True)],
        text=_texts(wide),
    )
    cells = wide.pivot(index=["measure", "place"], columns="period", values="text")
    frame = cells.fillna("").reset_index().rename_axis(columns=None)
    return DisplayTable(
        name="countries",
        title="Immigration, emigration and net migration",
        subtitle="by place and period",
        frame=frame.assign(measure=frame["measure"].astype(str))[
            ["place", "measure", *cells.columns]
        ],
        group="measure",
        notes=_notes(wide, rounded=rounded),
    )


def build_corridor_table(
    flows: pd.DataFrame, ranks: pd.DataFrame, *, rounded: bool = False
) -> DisplayTable:
    """Return the largest corridors, and how sure it is that they are among the largest.

    Parameters
    ----------
    flows
        As for `build_matrix`.
    ranks
        From `flowcast.estimates.top_corridors`, of one period.
    rounded
        As for `build_matrix`.
    """
    n = ranks.attrs["top"]
    key = ["origin", "destination", "period_start", "period_end"]
    wide = _intervals(flows, rounded=rounded)
    both = ranks[[*key, "rank", "probability", "se"]].merge(wide, on=key, how="inner")
    frame = pd.DataFrame(
        {
            "corridor": both["origin"] + " to " + both["destination"],
            "persons": _texts(both),
            "expected rank": [f"{rank:.1f}" for rank in both["rank"]],
            f"probability of being among the first {n}": [
                f"{p:.2f} (±{se:.2f})"
                for p, se in zip(both["probability"], both["se"], strict=True)
            ],
        },
        dtype="str",
    )
    return DisplayTable(
        name="top_corridors",
        title=f"The {n} largest corridors",
        subtitle=_period(ranks["period_start"].iloc[0], ranks["period_end"].iloc[0]),
        frame=frame,
        group=None,
        notes=(
            *_notes(both, rounded=rounded),
            "± is the Monte Carlo standard error of the probability.",
        ),
    )


def _intervals(table: pd.DataFrame, *, rounded: bool) -> pd.DataFrame:
    """Return the rows of 95 %, rounded."""
    wide = table[table["prob"] == PROB]
    if wide.empty:
        raise UsageError("(prob) | found no 95 % intervals; allowed: tables that have them")
    return wide if rounded else round_table(wide)


def _texts(rows: pd.DataFrame) -> list[str]:
    grades = rows[QUALITY_COLUMN] if QUALITY_COLUMN in rows else pd.Series(None, rows.index)
    figures = zip(rows["median"], rows["lower"], rows["upper"], grades, strict=True)
    return [_text(*one) for one in figures]


def _text(median: float, lower: float, upper: float, grade: str | None) -> str:
    if pd.isna(median):
        return CONFIDENTIAL
    text = f"{median:,.0f} ({lower:,.0f} to {upper:,.0f})"
    return text if pd.isna(grade) else f"{text} {grade}"


def _period(start: str, end: str) -> str:
    """Return a calendar year as such, and anything else by its days."""
    if pd.isna(start):
        return ""
    year = int(start[:4])
    return str(year) if (start, end) == (f"{year}-01-01", f"{year + 1}-01-01") else f"{start}/{end}"


def _notes(rows: pd.DataFrame, *, rounded: bool) -> tuple[str, ...]:
    """Return what a reader has to know of the figures."""
    out = ["Posterior medians with equal-tailed 95 % credible intervals, persons."]
    if not rounded:
        out.append("Rounded to at most a tenth of the interval's width; sums may differ.")
    if QUALITY_COLUMN in rows:
        found = set(rows[QUALITY_COLUMN].dropna())
        out += [f"{g}: {text}." for g, text in QUALITY_GRADES.items() if g in found]
    if rows["median"].isna().any():
        out.append(f"{CONFIDENTIAL}: confidential, or would tell of a figure that is.")
    return tuple(out)


def render_display(table: DisplayTable, form: Literal["html", "latex"]) -> str:
    r"""Return a table as an HTML page or a LaTeX fragment.

    Parameters
    ----------
    table
        What to set.
    form
        ``html``: a page that stands alone; ``latex``: for a document with the packages `booktabs`
        and `longtable`.

    Returns
    -------
    str
        The same for the same table.

    Raises
    ------
    UsageError
        If the form is unknown.

    Examples
    --------
    >>> shown = DisplayTable("one", "Flows", "2024", pd.DataFrame({"from": ["A & B"], "DE": "9"}),
    ...                      None, ("Persons.",))
    >>> r"A \& B & 9" in render_display(shown, "latex")
    True
    """
    require_word("form", form, DISPLAY_FORMATS)
    from great_tables import GT  # a second

    first = str(table.frame.columns[0])
    made = GT(table.frame, rowname_col=first, groupname_col=table.group, id=table.name)
    made = made.tab_header(table.title, table.subtitle).tab_stubhead(first)
    made = made.cols_align("right", [str(c) for c in table.frame if c not in (first, table.group)])
    for note in table.notes:
        made = made.tab_source_note(note)
    if form == "latex":
        return str(made.as_latex(use_longtable=True))
    return str(made.as_raw_html(make_page=True))
