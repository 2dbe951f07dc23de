"""The data quality report: what is planted is found, what is clean stays unmarked."""

import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import quantile_test

from flowcast.errors import InputError, UsageError
from flowcast.observations import Observations, observations_from_frame
from flowcast.sources._quality_statistics import (
    combine_sides,
    log_ratio,
    median_intervals,
    neighbour_medians,
    poisson_variance,
)
from flowcast.sources.quality import (
    INDICATORS,
    TIDY_COLUMNS,
    QualityReport,
    assess,
    choose_format,
    read_files,
    render,
    write,
)
from flowcast.tables import read_table

PLACES = ("AT", "DE", "DK", "FR", "NA", "NL", "PL", "SE")
YEARS = range(2010, 2020)
SITE = ["reporter", "side", "year"]
seeds = st.integers(0, 10_000)


def world(seed: int, *, noise: float = 0.1) -> pd.DataFrame:
    """Return both sides' reports of every corridor and year, steady but for noise."""
    rng = np.random.default_rng(seed)
    pairs = [(o, d) for o in PLACES for d in PLACES if o != d]
    level = rng.uniform(np.log(100), np.log(20_000), len(pairs))
    parts = []
    for side in ("origin", "destination"):
        mean = np.exp(level[:, None] + noise * rng.standard_normal((len(pairs), len(YEARS))))
        value = rng.poisson(mean)
        for k, (origin, destination) in enumerate(pairs):
            one = pd.DataFrame({"year": YEARS, "value": value[k].astype(float)})
            parts.append(one.assign(origin=origin, destination=destination, reporter=side))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(source="reg", family="administrative", measure="flow", duration_months=12.0)


def observed(frame: pd.DataFrame, name: str = "made.csv") -> Observations:
    return observations_from_frame(frame, name=name)


def by(frame: pd.DataFrame, reporter: str, side: str) -> pd.Series:
    return (frame["reporter"] == side) & (frame[side] == reporter)


def at(frame: pd.DataFrame, origin: str, destination: str, side: str, year: int) -> pd.Series:
    same = (frame["origin"] == origin) & (frame["destination"] == destination)
    return same & (frame["reporter"] == side) & (frame["year"] == year)


def one_row(table: pd.DataFrame, **cells: object) -> "pd.Series[Any]":
    """Return the only row with these cells."""
    chosen = table[np.logical_and.reduce([(table[k] == v).to_numpy() for k, v in cells.items()])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def few(**cells: object) -> dict[str, object]:
    """Return one report, a dict for a row of a frame."""
    row = {"source": "reg", "family": "administrative", "measure": "flow", "origin": "DE"}
    row |= {"destination": "FR", "year": 2020, "value": 10, "reporter": "destination"}
    return {**row, **cells}


def assess_rows(*rows: dict[str, object]) -> QualityReport:
    return assess(observed(pd.DataFrame(rows)))


# Statistics


@pytest.mark.parametrize("n", [1, 5, 6, 7, 12, 31])
@pytest.mark.parametrize("prob", [0.5, 0.8, 0.95])
def test_intervals_are_those_of_scipy(n: int, prob: float) -> None:
    logs = np.random.default_rng(n).normal(size=n)
    found = median_intervals(pd.DataFrame({"g": 1, "x": logs}), ["g"], "x", prob).iloc[0]
    expected = quantile_test(logs, p=0.5).confidence_interval(prob)
    told = np.log(found[["lower", "upper"]].to_numpy(dtype=float))
    np.testing.assert_allclose(told, [expected.low, expected.high])
    assert np.log(found["ratio"]) == pytest.approx(np.median(logs))


def test_intervals_cover_the_median_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    logs = rng.standard_exponential((4000, 15)) - np.log(2.0)
    frame = pd.DataFrame({"g": np.repeat(np.arange(4000), 15), "x": logs.ravel()})
    found = median_intervals(frame, ["g"], "x", 0.9)
    assert ((found["lower"] <= 1.0) & (found["upper"] >= 1.0)).mean() >= 0.9


def test_a_median_between_nothing_and_infinity_is_unknown() -> None:
    logs = log_ratio([0, 5], [5, 0])
    found = median_intervals(pd.DataFrame({"g": 1, "x": logs}), ["g"], "x", 0.4).iloc[0]
    assert np.isnan(found["ratio"])
    assert (found["lower"], found["upper"]) == (0.0, np.inf)


def test_neighbours_are_the_three_years_on_each_side() -> None:
    levels = np.array([[1.0, np.nan, 3.0, 9.0, 5.0]])
    before, n_before, after, n_after = neighbour_medians(levels)
    np.testing.assert_array_equal(before, [[np.nan, 1.0, 1.0, 2.0, 6.0]])
    np.testing.assert_array_equal(n_before, [[0, 1, 1, 2, 2]])
    np.testing.assert_array_equal(after, [[6.0, 5.0, 7.0, 5.0, np.nan]])
    np.testing.assert_array_equal(n_after, [[2, 3, 2, 1, 0]])
    assert np.isnan(neighbour_medians(np.array([[1.0]]))[0]).all()


def test_chance_excuses_small_counts_only() -> None:
    zero = np.zeros(2)
    expected = np.array([2.0, 30.0])
    z = (np.log(0.5) - np.log(expected + 0.5)) / np.sqrt(poisson_variance(zero, expected))
    assert abs(z[0]) < 3 < 10 < abs(z[1])


def test_a_departure_from_one_side_only_is_none() -> None:
    combined, first = combine_sides(np.array([6.0, -2.0, 6.0]), np.array([5.0, -9.0, -6.0]))
    assert combined.tolist() == [5.0, -2.0, 0.0]
    assert first.tolist()[:2] == [False, True]


# Properties


@given(seeds)
@settings(max_examples=6)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    frame = world(seed % 7, noise=0.3)
    frame.loc[at(frame, "DE", "FR", "origin", 2014), "value"] *= 20
    shuffled = frame.sample(frac=1.0, random_state=seed)
    first, second = (assess(observed(one)) for one in (frame, shuffled))
    columns = [c for c in TIDY_COLUMNS if c != "note"]  # which tells the row in the file
    pd.testing.assert_frame_equal(first.table()[columns], second.table()[columns])
    rows = ["reporter", "side", "partner", "year"]
    numbers = shuffled["value"].to_numpy()[second.outliers["row"].to_numpy() - 2]
    assert numbers.tolist() == second.outliers["value"].tolist()
    assert first.outliers[rows].equals(second.outliers[rows])


@given(seeds, st.sampled_from(PLACES), st.sampled_from([0.25, 2.0, 8.0]))
@settings(max_examples=6)
def test_a_reporter_scaled_by_c_has_its_mirror_ratio_scaled_by_c(
    seed: int, place: str, c: float
) -> None:
    frame = world(seed)
    scaled = frame.assign(
        value=frame["value"].where(~by(frame, place, "origin"), frame["value"] * c)
    )
    before, after = (assess(observed(one)) for one in (frame, scaled))
    for name in ("mirror", "mirror_summary", "mirror_definitions"):
        tables = [getattr(one, name) for one in (before, after)]
        old, new = (t[(t["reporter"] == place) & (t["side"] == "origin")] for t in tables)
        for column in ("ratio", "lower", "upper"):
            np.testing.assert_allclose(new[column], c * old[column])
        assert new["n"].tolist() == old["n"].tolist()


@given(seeds)
@settings(max_examples=6)
def test_clean_data_have_no_outliers_no_breaks_and_no_revisions(seed: int) -> None:
    quality = assess(observed(world(seed)))
    assert len(quality.outliers) == len(quality.breaks) == len(quality.revised) == 0
    assert quality.n_judged == quality.n_reports


@given(seeds, st.sampled_from([0.1, 10.0]), st.sampled_from([2011, 2014, 2019]))
@settings(max_examples=6)
def test_a_planted_outlier_is_found_with_what_was_expected(
    seed: int, factor: float, year: int
) -> None:
    frame = world(seed)
    planted = at(frame, "DE", "NA", "destination", year)
    usual = float(frame.loc[planted, "value"].iloc[0])
    frame.loc[planted, "value"] = round(usual * factor)
    quality = assess(observed(frame))
    (_, found), *others = quality.outliers.iterrows()
    assert (found["origin"], found["destination"], found["side"]) == ("DE", "NA", "destination")
    assert (found["year"], found["row"]) == (str(year), np.flatnonzero(planted)[0] + 2)
    assert np.sign(found["z"]) == np.sign(np.log(factor))
    assert 0.5 < found["expected"] / usual < 2.0
    assert others == []


@given(seeds, st.sampled_from([0.3, 3.0]), st.sampled_from([2012, 2015, 2017]))
@settings(max_examples=6)
def test_a_planted_break_is_found_and_is_no_outlier(seed: int, factor: float, year: int) -> None:
    frame = world(seed)
    later = by(frame, "PL", "origin") & (frame["year"] >= year)
    quality = assess(
        observed(frame.assign(value=frame["value"].where(~later, frame["value"] * factor)))
    )
    assert quality.breaks[[*SITE, "status"]].to_numpy().tolist() == [
        ["PL", "origin", str(year), "break"]
    ]
    found = quality.breaks.iloc[0]
    assert found["lower"] < factor * 1.2
    assert found["upper"] > factor / 1.2
    assert found["n"] == 7
    assert len(quality.outliers) == 0


def test_an_odd_year_goes_back_and_a_last_year_cannot_tell() -> None:
    frame = world(3)
    odd = by(frame, "PL", "origin") & (frame["year"] == 2014)
    last = by(frame, "SE", "destination") & (frame["year"] == 2019)
    values = frame["value"].where(~odd, frame["value"] * 5).where(~last, frame["value"] * 5)
    quality = assess(observed(frame.assign(value=values)))
    assert quality.breaks[[*SITE, "status"]].to_numpy().tolist() == [
        ["PL", "origin", "2014", "odd year"],
        ["PL", "origin", "2015", "odd year"],
        ["SE", "destination", "2019", "break or odd year"],
    ]


def test_a_steady_trend_is_neither_outlier_nor_break() -> None:
    frame = world(5)
    grown = frame["value"] * 1.3 ** (frame["year"] - 2010)
    quality = assess(observed(frame.assign(value=grown)))
    assert len(quality.outliers) == len(quality.breaks) == 0


@given(seeds, st.floats(1.05, 4.0))
@settings(max_examples=6)
def test_planted_revisions_are_found(seed: int, factor: float) -> None:
    old = world(seed)
    rng = np.random.default_rng(seed)
    changed = by(old, "FR", "destination") & (rng.random(len(old)) < 0.5)
    new = old.assign(value=old["value"].where(~changed, old["value"] * factor))
    quality = assess([observed(old, "a"), observed(new, "b")], vintages=["July", "August"])
    assert len(quality.revised) == changed.sum()
    assert set(quality.revised["reporter"]) == {"FR"}
    assert quality.revised["new"].sum() == pytest.approx(new.loc[changed, "value"].sum())
    assert set(quality.revised["file"]) == {"b"}
    assert (quality.revisions["compared"].sum(), quality.n_reports) == (len(old), len(old))
    of_france = quality.revisions[quality.revisions["revised"] > 0]
    np.testing.assert_allclose(of_france["ratio"], factor)
    np.testing.assert_allclose(of_france["largest"], factor)


# Coverage and definitions


def test_coverage_counts_corridors_zeros_flags_and_gaps() -> None:
    quality = assess_rows(
        few(year=2018, flag="p"),
        few(year=2018, origin="AT", value=0),
        few(year=2018, origin=None, value=30),
        few(year=2020),
        few(year=2019, destination="AT"),
    )
    year = one_row(quality.coverage, reporter="FR", year="2018")
    assert (year["corridors"], year["possible"], year["share"]) == (2, 2, 1.0)
    assert (year["rows"], year["sums"], year["zeros"]) == (3, 1, 1)
    assert year["share_flagged"] == pytest.approx(1 / 3)
    whole = one_row(quality.coverage_summary, reporter="FR")
    assert (whole["years"], whole["gaps"], whole["gap_years"]) == (2, 1, "2019")
    assert (whole["first"], whole["last"]) == ("2018", "2020")


def test_only_places_that_existed_are_possible() -> None:
    quality = assess_rows(few(origin="ME", year=2010), few(year=2003), few(origin="DE", year=2010))
    assert one_row(quality.coverage, year="2003")["possible"] == 1
    assert one_row(quality.coverage, year="2010")["possible"] == 2


def test_sums_alone_have_no_share() -> None:
    quality = assess_rows(few(origin=None), few(origin=None, destination="AT", year=2021))
    assert quality.coverage["share"].isna().all()
    assert quality.mirror.empty
    assert render(quality).startswith("Data quality: made.csv\n")


def test_changes_of_definition_are_told_with_their_year() -> None:
    rows = [few(year=y, duration_months=3 if y < 2019 else 12) for y in range(2016, 2021)]
    table = assess_rows(*rows, few(origin="AT", duration_months=6)).definitions
    told = table[["from_year", "to_year", "changed", "n_definitions"]].to_numpy().tolist()
    assert told == [
        ["2016", "2018", False, 1],
        ["2019", "2019", True, 1],
        ["2020", "2020", True, 2],
    ]
    assert table["duration_months"].fillna(-1).tolist() == [3.0, 12.0, -1.0]
    stays = [one.split("; ")[1] for one in table["definition"].iloc[2].split(" / ")]
    assert stays == ["minimum stay 12 months", "minimum stay 6 months"]


def test_a_reporter_that_is_neither_side_is_named_so() -> None:
    quality = assess_rows(few(reporter="other"), few(reporter="other", origin="AT"))
    assert quality.coverage[["reporter", "side", "possible"]].to_numpy().tolist() == [
        ["other", "other", 6]
    ]
    assert quality.mirror.empty


# Mirror reports


def test_definitions_are_paired_and_not_corrected() -> None:
    rows = [
        few(origin=o, value=v, reporter=side, duration_months=stay)
        for o in ("AT", "DE", "NL")
        for v, side, stay in ((100, "destination", 12), (25, "origin", 60))
    ]
    quality = assess_rows(*rows)
    found = one_row(quality.mirror_definitions, reporter="FR")
    assert (found["own_definition"], found["mirror_definition"]) == ("12 months", "permanent")
    assert (found["ratio"], found["n"], found["n_same"]) == (pytest.approx(4.0), 3, 0)


def test_a_repeated_figure_is_no_comparison() -> None:
    rows = [few(), few(reporter="origin", mirror_of="destination")]
    quality = assess_rows(*rows)
    assert quality.mirror.empty
    assert quality.coverage["copied"].sum() == 1


def test_the_mirror_is_that_of_the_same_source_or_of_another_but_no_estimate() -> None:
    rows = [
        few(value=10),
        few(value=20, reporter="origin", source="other_register"),
        few(value=90, reporter="origin", source="a_model", family="estimate"),
        few(value=7, origin="AT"),
        few(value=14, origin="AT", reporter="origin"),
        few(value=70, origin="AT", reporter="origin", source="other_register"),
    ]
    quality = assess_rows(*rows)
    found = one_row(quality.mirror_summary, source="reg", reporter="FR")
    assert (found["ratio"], found["n"]) == (pytest.approx(0.5), 2)
    assert "a_model" not in set(quality.mirror["source"])


def test_years_of_a_partner_count_once_in_the_summary() -> None:
    rows = [few(year=y, value=v) for y in range(2010, 2020) for v in (10,)]
    mirrors = [few(year=y, value=20, reporter="origin") for y in range(2010, 2020)]
    found = one_row(assess_rows(*rows, *mirrors).mirror_summary, reporter="FR")
    assert (found["n"], found["n_pairs"], found["ratio"]) == (1, 10, pytest.approx(0.5))
    assert np.isnan(found["lower"])


def test_net_figures_have_no_ratio_and_do_no_harm() -> None:
    rows = [few(measure="net", year=y, value=y - 2015) for y in range(2010, 2020)]
    quality = assess_rows(*rows)
    assert quality.n_judged == 0
    assert quality.changes.empty


def test_groups_of_age_are_told_of_an_outlier_and_are_no_pairs_of_their_own() -> None:
    frame = world(2)
    young, old = (frame.assign(age=age) for age in ("0-14", "15+"))
    young.loc[at(young, "DE", "FR", "destination", 2014), "value"] *= 30
    quality = assess(observed(pd.concat([young, old], ignore_index=True)))
    assert quality.mirror["n"].max() == len(PLACES) - 1
    notes = quality.table().query("indicator == 'outlier_z'")["note"]
    assert [note.rsplit("; ", 1)[-1] for note in notes] == ["age 0-14"]


def test_periods_that_are_no_calendar_years_are_named_by_their_days() -> None:
    row = {k: v for k, v in few().items() if k != "year"}
    months = pd.date_range("2020-01-01", periods=7, freq="MS").strftime("%Y-%m-%d")
    rows = [{**row, "period_start": a, "period_end": b, "value": 500} for a, b in pairwise(months)]
    quality = assess_rows(*rows)
    assert quality.years[0] == "2020-01-01/2020-02-01"
    assert len(quality.changes) == 5
    np.testing.assert_allclose(quality.changes["ratio"], 1.0)


# Vintages


def test_the_vintage_column_makes_revisions_and_the_newest_counts() -> None:
    quality = assess_rows(few(vintage="2022-01-01", value=30), few(vintage="2021-01-01", value=20))
    assert (quality.n_rows, quality.n_reports) == (2, 1)
    found = quality.revised.iloc[0]
    assert (found["old"], found["new"]) == (20.0, 30.0)
    assert (found["old_vintage"], found["new_vintage"]) == ("2021-01-01", "2022-01-01")
    assert (found["row"], quality.revisions["largest"].iloc[0]) == (2, pytest.approx(1.5))


def test_a_figure_in_two_files_is_refused_unless_they_are_vintages() -> None:
    first, second = (observed(pd.DataFrame([few()]), name) for name in ("a.csv", "b.csv"))
    with pytest.raises(InputError, match=r"b\.csv, row 2.*the same key as row 2 of a\.csv"):
        assess([first, second])
    assert assess([first, second], vintages=["old", "new"]).revised.empty


@pytest.mark.parametrize(
    ("options", "said"),
    [({"prob": 1.0}, "prob"), ({"prob": 0.0}, "prob"), ({"vintages": ["a", "b"]}, "2 vintages")],
)
def test_wrong_usage_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        assess(observed(pd.DataFrame([few()])), **options)
    with pytest.raises(UsageError, match="no observations"):
        assess([])


# Output


class Page(HTMLParser):
    """Text and tags of a page; complains about tags that are not closed in order."""

    VOID = frozenset({"meta", "line", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attrs: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attrs += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_is_well_formed_and_escapes_its_input() -> None:
    evil = "<script>alert('x')</script>"
    frame = world(1).assign(source=evil, flag="<b>")
    frame.loc[at(frame, "DE", "FR", "origin", 2014), "value"] *= 30
    text = render(assess(observed(frame, name=evil)), "html")
    page = Page(text)
    assert "<script" not in text
    assert evil in page.text
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert [v for k, v in page.attrs if k in ("src", "href") and not str(v).startswith("#")] == []
    assert page.tags.count("h2") == 10
    assert page.tags.count("th") > 100
    assert "svg" in page.tags
    assert page.tags.count("caption") == page.tags.count("table")


def test_the_long_table_says_probability_and_kind_of_every_interval() -> None:
    table = assess(observed(world(1)), prob=0.8).table()
    assert tuple(table.columns) == TIDY_COLUMNS
    bounded = table[table["lower"].notna()]
    assert len(bounded)
    assert set(bounded["prob"]) == {0.8}
    assert set(bounded["kind"]) == {"confidence interval of the median, order statistics"}
    assert bounded["n"].notna().all()
    assert (bounded["lower"] <= bounded["value"]).all()
    assert (bounded["value"] <= bounded["upper"]).all()
    assert set(table["indicator"]) <= set(INDICATORS)


def test_every_indicator_occurs_where_there_is_something_to_tell() -> None:
    old = world(1).assign(duration_months=lambda t: np.where(t["year"] < 2015, 6.0, 12.0))
    later = by(old, "PL", "origin") & (old["year"] >= 2015)
    old["value"] = old["value"].where(~later, old["value"] * 4)
    old.loc[at(old, "DE", "FR", "origin", 2014), "value"] *= 30
    new = old.assign(value=old["value"] + 1)
    quality = assess([observed(old, "a"), observed(new, "b")], vintages=["a", "b"])
    assert set(quality.table()["indicator"]) == set(INDICATORS)


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    frame = world(4)
    frame.loc[by(frame, "NA", "origin"), "value"] = 0.0  # ratios of 0 and infinity
    quality = assess(observed(frame))
    for name in ("q.csv", "q.json"):
        write(quality, tmp_path / name)
    first, second = (read_table(tmp_path / name) for name in ("q.csv", "q.json"))
    for column in ("value", "lower", "upper", "n"):
        np.testing.assert_array_equal(first[column], second[column])
    assert first["reporter"].tolist() == second["reporter"].tolist()
    assert "NA" in set(first["reporter"])
    told = json.loads((tmp_path / "q.json").read_text(encoding="utf-8"))["metadata"]
    assert told["indicators"] == INDICATORS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.csv", "q.json"]


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    quality = assess(observed(pd.DataFrame([few()])))
    with pytest.raises(UsageError, match="did you mean"):
        write(quality, tmp_path / "q.htlm")
    with pytest.raises(UsageError, match="no folder"):
        write(quality, tmp_path / "none" / "q.html")
    with pytest.raises(UsageError, match="found a folder"):
        choose_format(tmp_path, "html")
    with pytest.raises(UsageError, match="'xml'"):
        choose_format(None, "xml")
    assert list(tmp_path.iterdir()) == []


def test_files_are_read_with_their_rows_and_all_their_faults(tmp_path: Path) -> None:
    good, bad, worse = (tmp_path / name for name in ("good.csv", "bad.csv", "worse.csv"))
    text = pd.DataFrame([few(), few(year=2021)]).to_csv(index=False)
    good.write_text(text.replace("\nreg", "\n\nreg", 1))
    bad.write_text(text.replace("DE,", "XX,"))
    worse.write_text("source\nx\n")
    observations, rows = read_files([good])
    assert rows[0].tolist() == [3, 4]
    assert assess(observations, rows=rows).coverage["rows"].tolist() == [1, 1]
    with pytest.raises(InputError) as refused:
        read_files([bad, good, worse])
    assert {fault.where for fault in refused.value.faults} == {str(bad), str(worse)}
