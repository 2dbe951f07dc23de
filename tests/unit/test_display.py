"""Tables for readers: what stands in them, in HTML and in LaTeX."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from support import tiny_posterior

from flowcast.errors import UsageError
from flowcast.estimates import estimate_tables, flow_estimates, top_corridors
from flowcast.publication import grade_table, protect_tables
from flowcast.publication.disclosure import DisclosurePolicy
from flowcast.publication.display import (
    build_corridor_table,
    build_country_table,
    build_matrix,
    render_display,
)
from flowcast.publication.protection import rank_shown

RUN = tiny_posterior(4, 2)


def tables(policy: DisclosurePolicy | None = None) -> list[pd.DataFrame]:
    made = list(estimate_tables(RUN, probs=[0.8, 0.95], rows=10**9))
    made = [table.assign(quality=grade_table(table)) for table in made]
    return made if policy is None else protect_tables(made, policy)


class Cells(HTMLParser):
    """Collects the text of the cells of a page, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def test_the_matrix_has_rounded_medians_intervals_and_grades_of_the_last_period() -> None:
    flow = tables()[0]
    table = build_matrix(flow)
    assert table.subtitle == "2021"
    assert list(table.frame) == ["origin", "AT", "DE", "FR", "NA"]
    row = flow.query("origin == 'AT' and destination == 'NA' and prob == 0.95").iloc[-1]
    text = table.frame.set_index("origin").loc["AT", "NA"]
    found = re.fullmatch(r"([\d,]+) \(([\d,]+) to ([\d,]+)\) ([A-D])", text)
    assert found
    median, lower, upper = (float(found[k].replace(",", "")) for k in (1, 2, 3))
    assert lower <= row.lower
    assert upper >= row.upper
    assert abs(median - row["median"]) <= (row["upper"] - row["lower"]) / 20.0 + 0.5
    assert found[4] == row.quality
    assert table.frame.set_index("origin").loc["NA", "NA"] == ""


def test_what_is_confidential_has_its_flag_and_a_note() -> None:
    flow = tables(DisclosurePolicy(minimum_cell=200))[0]
    table = build_matrix(flow)
    last = flow[(flow["period_start"] == "2021-01-01") & (flow["prob"] == 0.95)]
    flags = (table.frame.drop(columns="origin") == "c").to_numpy().sum()
    assert flags == last["mean"].isna().sum() > 0
    assert any(note.startswith("c: confidential") for note in table.notes)
    assert not any(note.startswith("c:") for note in build_matrix(tables()[0]).notes)


def test_countries_stand_over_time_under_their_measure() -> None:
    table = build_country_table(tables())
    assert list(table.frame) == ["place", "measure", "2020", "2021"]
    assert table.frame["measure"].tolist() == (
        ["Immigration"] * 4 + ["Emigration"] * 4 + ["Net migration"] * 4
    )
    rows = Cells(render_display(table, "html")).rows
    assert ["Net migration"] in rows
    assert sum(row[0] == "NA" for row in rows) == 3


def test_the_largest_corridors_say_how_sure_it_is() -> None:
    ranks = top_corridors(flow_estimates(RUN), 3, last=True)
    table = build_corridor_table(tables()[0], ranks)
    assert len(table.frame) == 3
    assert re.fullmatch(r"[A-Z]{2} to [A-Z]{2}", table.frame["corridor"].iloc[0])
    assert re.fullmatch(r"[01]\.\d\d \(±0\.\d\d\)", table.frame.iloc[0, -1])


def test_ranks_are_among_what_is_shown_and_tell_nothing_of_the_rest() -> None:
    flow = tables(DisclosurePolicy(minimum_cell=200))[0]
    shown = flow[(flow["period_start"] == "2021-01-01") & (flow["prob"] == 0.95)].dropna(
        subset="mean"
    )
    ranked = rank_shown(flow_estimates(RUN), flow)
    assert ranked is not None
    assert set(zip(ranked["origin"], ranked["destination"], strict=True)) == set(
        zip(shown["origin"], shown["destination"], strict=True)
    )
    n = len(shown)
    assert ranked["rank"].sum() == pytest.approx(n * (n + 1) / 2)
    nothing = flow.assign(median=np.nan)
    assert rank_shown(flow_estimates(RUN), nothing) is None


@pytest.mark.parametrize("form", ["html", "latex"])
def test_special_characters_are_escaped_and_a_second_time_is_the_same(form: str) -> None:
    table = build_matrix(tables()[0])
    table.frame.loc[0, "origin"] = "A_B & <C>"
    text = render_display(table, form)  # type: ignore[arg-type]
    assert text == render_display(table, form)  # type: ignore[arg-type]
    wanted = {"html": "A_B &amp; &lt;C&gt;", "latex": r"A\_B \& "}
    assert wanted[form] in text
    if form == "latex":
        assert text.count("{longtable}") == 2
    else:
        assert text.lstrip().startswith("<!DOCTYPE html>")


def test_other_forms_and_other_intervals_are_refused() -> None:
    with pytest.raises(UsageError, match="html, latex"):
        render_display(build_matrix(tables()[0]), "pdf")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no 95 %"):
        build_matrix(tables()[0].query("prob == 0.8"))
