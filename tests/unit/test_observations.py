"""Reading, checking, splitting and joining observations."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flowcast.errors import HeldOutError, InputError, UsageError
from flowcast.observations import Observations, observations_from_frame, read_observations
from flowcast.vocabulary import OBSERVATION_COLUMNS

ROW: dict[str, Any] = {
    "source": "reg",
    "family": "administrative",
    "measure": "flow",
    "origin": "DE",
    "destination": "FR",
    "year": 2024,
    "value": 3,
    "reporter": "origin",
}
SPAN = {"year": None, "period_start": "2024-01-01", "period_end": "2025-01-01"}


def row(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a sound row with changes; None takes a column away."""
    return {k: v for k, v in {**ROW, **changes}.items() if v is not None}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def check(*rows: dict[str, Any]) -> Observations:
    return observations_from_frame(frame(*rows))


def faults(*rows: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        check(*rows)
    return [str(f) for f in caught.value.faults]


def fault(*rows: dict[str, Any]) -> str:
    (only,) = faults(*rows)
    return only


@pytest.fixture
def two_sided() -> Observations:
    """Both reports of 20 pairs in two years; the first pair's are one figure."""
    codes = ["AT", "BE", "DE", "FR", "IT"]
    pairs = [(a, b) for a in codes for b in codes if a != b]
    rows = [
        row(origin=a, destination=b, year=year, reporter=side, value=10 * i)
        for i, (a, b) in enumerate(pairs)
        for year in (2023, 2024)
        for side in ("origin", "destination")
    ]
    table = frame(*rows).assign(mirror_of="")
    first = (table["origin"] == "AT") & (table["destination"] == "BE") & (table["year"] == 2024)
    table.loc[first & (table["reporter"] == "origin"), "mirror_of"] = "destination"
    return observations_from_frame(table, name="two sides")


def test_columns_and_types() -> None:
    table = check(row(duration_months=1.25, vintage="2026-07-02")).table
    assert tuple(table.columns) == OBSERVATION_COLUMNS
    for column in ("period_start", "period_end", "vintage"):
        assert table[column].dtype == "datetime64[us]"
    for column in ("value", "duration_months", "standard_error", "sample_size", "censored_below"):
        assert table[column].dtype == "float64"
    text = table.drop(columns=["period_start", "period_end", "vintage"]).select_dtypes("str")
    assert len(text.columns) == 13


def test_year_becomes_the_half_open_calendar_year() -> None:
    table = check(row()).table
    assert table.loc[0, "period_start"] == pd.Timestamp("2024-01-01")
    assert table.loc[0, "period_end"] == pd.Timestamp("2025-01-01")


def test_defaults_and_unknowns() -> None:
    line = check(row()).table.iloc[0]
    assert line["criterion"] == "residence"
    assert np.isnan(line["duration_months"])
    assert pd.isna(line["undercount_class"])
    assert pd.isna(line["age"])


def test_an_empty_side_is_a_total() -> None:
    table = check(row(destination="")).table
    assert pd.isna(table.loc[0, "destination"])
    assert check(row(destination="")).coverage().loc[0, "n_totals"] == 1


def test_namibia_is_a_country() -> None:
    assert check(row(origin="NA")).places == ("FR", "NA")


def test_fixed_codes_are_mapped_and_recorded() -> None:
    observations = check(row(origin="UK"), row(origin="EL", destination="UK"))
    assert observations.places == ("FR", "GB", "GR")
    assert observations.fixes == (
        (2, "origin", "UK", "GB"),
        (3, "destination", "UK", "GB"),
        (3, "origin", "EL", "GR"),
    )


def test_kind_of_codes() -> None:
    assert check(row()).codes == "alpha2"
    assert check(row(origin="DEU", destination="FRA")).codes == "alpha3"
    assert check(row(origin="nordic")).codes == "alpha2"


def test_mixed_kinds_are_told_where_the_rarer_kind_stands() -> None:
    told = fault(row(), row(origin="GB"), row(origin="ITA", destination="ES"))
    assert "row 4, origin" in told
    assert "did you mean IT?" in told


def test_a_country_code_outside_its_years_is_refused_with_its_successors() -> None:
    assert check(row(origin="SCG", destination="FRA", year=2004)).n == 1
    told = fault(row(origin="SCG", destination="FRA", year=2010))
    assert "'SCG' in 2010" in told
    assert "Serbia and Montenegro existed 2003-2006; its successors: MNE, SRB" in told
    assert "Montenegro exists since 2006" in fault(row(origin="MNE", destination="FRA", year=2003))


def test_the_shared_code_cs_is_read_by_period() -> None:
    assert check(row(origin="CS", year=1990), row(origin="CS", year=2004)).n == 2
    assert "'CS' in 1998" in fault(row(origin="CS", year=1998))


@pytest.mark.parametrize(
    "exempt", [{"family": "estimate"}, {"measure": "stock"}, {"criterion": "birth"}]
)
def test_people_and_estimates_may_outlive_a_country(exempt: dict[str, str]) -> None:
    assert check(row(origin="YU", year=2010, **exempt)).n == 1


def test_declared_places_are_taken_as_they_are() -> None:
    table = frame(row(origin="north", destination="south"), row(origin="UK", destination="north"))
    observations = observations_from_frame(table, declared_places={"north", "south", "UK"})
    assert observations.codes == "declared"
    assert observations.places == ("UK", "north", "south")
    assert observations.fixes == ()
    with pytest.raises(InputError, match=r"'south'.*your own places file.*did you mean south_1"):
        observations_from_frame(table, declared_places={"north", "south_1", "UK"})


def test_declared_places_hint_at_the_standard_spelling() -> None:
    with pytest.raises(InputError, match="did you mean GB"):
        observations_from_frame(frame(row(origin="UK")), declared_places=["GB", "FR"])


@pytest.mark.parametrize(
    ("changes", "column", "found"),
    [
        ({"value": "12a"}, "value", "text '12a'"),
        ({"value": "nan"}, "value", "text 'nan'"),
        ({"value": np.inf}, "value", "inf"),
        ({"value": True}, "value", "text 'True'"),
        ({"value": -0.5}, "value", "-0.5"),
        ({"year": 2024.5}, "year", "2024.5"),
        ({"year": 24}, "year", "24"),
        ({"year": "MMXXIV"}, "year", "text 'MMXXIV'"),
        ({"duration_months": 12.5}, "duration_months", "12.5"),
        ({"duration_months": -1}, "duration_months", "-1"),
        ({"standard_error": -1}, "standard_error", "-1"),
        ({"sample_size": 0}, "sample_size", "0"),
        ({"censored_below": -1}, "censored_below", "-1"),
        ({"vintage": "2024"}, "vintage", "'2024'"),
        ({"accuracy_class": "High"}, "accuracy_class", "'High'"),
        ({"family": ""}, "family", "an empty cell"),
        ({"reporter": ""}, "reporter", "an empty cell"),
        ({"origin": "FR"}, "destination", "'FR', the same as origin"),
        ({"origin": "", "destination": ""}, "origin", "neither origin nor destination"),
        ({"measure": "immigration", "destination": ""}, "destination", "no place"),
        ({"measure": "emigration", "origin": "", "reporter": "other"}, "origin", "no place"),
        ({"mirror_of": "origin"}, "mirror_of", "'origin', its own reporter"),
        ({"mirror_of": "destination"}, "mirror_of", "'destination', but no row"),
        (SPAN | {"period_start": "1/1/2024"}, "period_start", "'1/1/2024'"),
        (SPAN | {"period_start": ""}, "period_start", "an empty cell"),
        (SPAN | {"period_end": "2024-01-01"}, "period_end", "2024-01-01, not after"),
        (SPAN | {"period_start": pd.Timestamp("2024-01-01 06:00")}, "period_start", "'2024-01-01"),
    ],
)
def test_one_fault_is_told_as_one(changes: dict[str, Any], column: str, found: str) -> None:
    told = fault(row(**changes))
    assert told.startswith(f"(data frame, row 2, {column}) | found {found}"), told


@pytest.mark.parametrize("months", [0, 1.25, 4, 6, 8, 12, 60])
def test_durations_that_occur_are_accepted(months: float) -> None:
    assert check(row(duration_months=months)).table.loc[0, "duration_months"] == months


def test_negative_is_allowed_for_net_only() -> None:
    assert check(row(measure="net", value=-4)).table.loc[0, "value"] == -4
    assert "found -4" in fault(row(measure="stock", value=-4))


def test_thousands_marks_are_refused_with_the_plain_number() -> None:
    assert "did you mean 1234567?" in fault(row(value="1,234,567"))


def test_wrong_measure_is_not_followed_by_a_complaint_about_its_sign() -> None:
    assert "did you mean net?" in fault(row(measure="nett", value=-4))


def test_a_bad_key_cell_is_not_followed_by_a_duplicate() -> None:
    assert "'orign'" in fault(row(), row(reporter="orign"))


def test_duplicates_name_both_rows_and_ignore_the_value() -> None:
    told = faults(row(), row(origin="IT"), row(value=9), row(value=10))
    assert [t[: t.index(";")] for t in told] == [
        "(data frame, row 4) | found the same key as row 2",
        "(data frame, row 5) | found the same key as row 2",
    ]


def test_another_vintage_age_or_criterion_is_another_key() -> None:
    table = frame(
        row(),
        row(vintage="2025-01-01"),
        row(age="0-14"),
        row(sex="F"),
        row(criterion="birth"),
        row(reporter="destination"),
        row(source="other"),
    )
    assert observations_from_frame(table).n == 7


def test_overlapping_periods_of_one_key() -> None:
    whole = row(**SPAN)
    half = row(**SPAN | {"period_start": "2024-07-01"})
    after = row(**SPAN | {"period_start": "2025-01-01", "period_end": "2026-01-01"})
    assert check(whole, after).n == 2
    assert "row 3, period_start) | found a period that overlaps that of row 2" in fault(whole, half)
    assert check(whole, {**half, "origin": "IT"}).n == 2


def test_a_long_period_overlaps_every_later_one_inside() -> None:
    decade = row(**SPAN | {"period_start": "2010-01-01", "period_end": "2020-01-01"})
    inside = [
        row(**SPAN | {"period_start": f"{y}-01-01", "period_end": f"{y + 1}-01-01"})
        for y in (2011, 2015)
    ]
    assert len(faults(decade, *inside)) == 2


def test_mirror_finds_its_twin_in_another_source() -> None:
    twin = row(source="other", reporter="destination")
    assert check(row(mirror_of="destination"), twin).n == 2
    assert "no row reports" in fault(row(mirror_of="destination"), {**twin, "year": 2023})


def test_mirror_of_a_refused_row_is_not_a_fault_of_its_own() -> None:
    twin = row(reporter="destination", year="?")
    assert "'?'" in fault(row(mirror_of="destination"), twin)
    both = faults(row(mirror_of="destination"), {**twin, "origin": "IT"})
    assert len(both) == 2


def test_missing_and_unknown_columns() -> None:
    told = faults({k: v for k, v in row(colour="red").items() if k not in ("family", "year")})
    assert told == [
        "(data frame, row 1) | found unknown column 'colour'; "
        "allowed: a column of the observation contract",
        "(data frame, row 1, family) | found no such column; allowed: this column",
        "(data frame, row 1, year) | found no such column; "
        "allowed: year, or period_start and period_end",
    ]


@pytest.mark.parametrize(("wrong", "right"), [("vaule", "value"), ("yaer", "year")])
def test_a_misspelt_column_is_one_fault(wrong: str, right: str) -> None:
    told = fault(row(**{right: None, wrong: 1}))
    assert f"unknown column '{wrong}'" in told
    assert f"did you mean {right}?" in told


def test_half_a_period_and_a_period_beside_a_year() -> None:
    assert "row 1, period_end) | found no such column" in fault(
        row(year=None, period_start="2024-01-01")
    )
    assert "found year beside" in fault(row(period_start="2024-01-01", period_end="2025-01-01"))


def test_typed_dates_and_text_dates_mean_the_same() -> None:
    text = check(row(**SPAN)).table
    typed = check(row(**{k: pd.Timestamp(v) if v else None for k, v in SPAN.items()})).table
    pd.testing.assert_frame_equal(text, typed)


def test_a_frame_without_rows_is_refused() -> None:
    with pytest.raises(InputError, match="a table without rows"):
        observations_from_frame(pd.DataFrame(columns=list(ROW)))


def test_the_table_handed_out_cannot_change_the_observations() -> None:
    observations = check(row())
    table = observations.table
    table.loc[0, "value"] = 99
    table["new"] = 1
    assert observations.table.loc[0, "value"] == 3
    assert "new" not in observations.table


def test_the_frame_given_is_not_changed() -> None:
    given = frame(row(origin="UK"))
    before = given.copy()
    observations_from_frame(given)
    pd.testing.assert_frame_equal(given, before)


# Files -------------------------------------------------------------------------------------------


def write_csv(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


CSV = "source,family,measure,origin,destination,year,value,reporter\n"
LINE = "reg,survey,flow,DE,FR,2024,3,origin\n"


def to_xlsx(table: pd.DataFrame, path: Path) -> None:
    table.to_excel(path, index=False)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": lambda t, p: t.to_csv(p, index=False),
    ".csv.gz": lambda t, p: t.to_csv(p, index=False),
    ".parquet": lambda t, p: t.to_parquet(p),
    ".xlsx": to_xlsx,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_table(suffix: str, tmp_path: Path) -> None:
    table = frame(row(**SPAN, value=2.5, flag="e"), row(**SPAN, origin="NA", age="0-14"))
    path = tmp_path / f"flows{suffix}"
    WRITERS[suffix](table, path)
    observations = read_observations(path)
    pd.testing.assert_frame_equal(observations.table, observations_from_frame(table).table)
    assert observations.name == str(path)
    assert observations.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_excel_dates_and_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "flows.xlsx"
    dates = {k: pd.Timestamp(v) if v else None for k, v in SPAN.items()}
    to_xlsx(frame(row(**dates)), path)
    table = read_observations(path).table
    assert table.loc[0, "period_end"] == pd.Timestamp("2025-01-01")
    assert table.loc[0, "value"] == 3


def test_rows_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = CSV + "\n" + LINE + 'reg,survey,flow,"D\nE",FR,2024,3,origin\n' + ",,,,,,,\n"
    text += "reg,survey,flow,ES,FR,2024,x,origin\n"
    with pytest.raises(InputError) as caught:
        read_observations(write_csv(tmp_path / "a.csv", text))
    assert [(f.row, f.column) for f in caught.value.faults] == [(4, "origin"), (7, "value")]


def test_spaces_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    text = "\ufeff" + CSV.replace(",value", ", value ") + LINE.replace("DE", " DE ")
    assert read_observations(write_csv(tmp_path / "a.csv", text)).places == ("DE", "FR")


@pytest.mark.parametrize("line", ["reg,survey,flow,DE,FR,2024,3\n", LINE.strip() + ",,\n"])
def test_a_row_with_too_few_or_too_many_fields(line: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", CSV + LINE + line)
    with pytest.raises(InputError, match=rf"row 3\) \| found {len(line.split(','))} fields.*8 fie"):
        read_observations(path)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv", b"", "an empty file"),
        ("a.csv", CSV.encode(), "a table without rows"),
        ("a.csv", (CSV + LINE).replace("reg", "r\u00e9g").encode("latin-1"), "row 2.*0xe9.*UTF-8"),
        ("a.csv", CSV.replace(",", ";").encode(), "fields separated by ';'"),
        ("a.csv", CSV.replace("family", "source").encode(), "column 'source' 2 times"),
        ("a.csv", b"source,,value\n1,2,3\n", "a column without a name"),
        ("a.csv", (CSV + '"open').encode(), "CSV that cannot be read"),
        ("a.csv.gz", b"not gzip", "not a whole gzip file"),
        ("a.csv.gz", gzip.compress(b"a" * 999, mtime=0)[:20], "not a whole gzip file"),
        ("a.parquet", b"not parquet", "not a readable .parquet file"),
        ("a.xlsx", b"not excel", "not a readable .xlsx file"),
        ("a.txt", b"x", r"ending in '.txt'.*\.csv, \.csv\.gz, \.parquet, \.xlsx"),
    ],
)
def test_unreadable_files_are_refused_in_words(
    name: str, data: bytes, told: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        read_observations(path)


def test_a_missing_file_hints_at_the_one_beside(tmp_path: Path) -> None:
    write_csv(tmp_path / "flows.csv", CSV + LINE)
    with pytest.raises(InputError, match=r"no such file.*did you mean flows\.csv"):
        read_observations(tmp_path / "flow.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="a folder"):
        read_observations(tmp_path / "folder.csv")


# Role, split, concat, coverage -------------------------------------------------------------------


def test_held_out_observations_refuse_to_be_fitted() -> None:
    check(row()).require_fit()
    held = observations_from_frame(frame(row()), role="held_out", name="later.csv")
    with pytest.raises(HeldOutError, match=r"later\.csv.*held-out observations \(reg\)"):
        held.require_fit()
    with pytest.raises(HeldOutError):
        held.split(0.5, 1)


def test_split_divides_the_rows_and_marks_the_roles(two_sided: Observations) -> None:
    fit, held = two_sided.split(0.25, seed=3)
    assert (fit.role, held.role) == ("fit", "held_out")
    assert fit.n + held.n == two_sided.n == 80
    assert abs(held.n - 20) <= 1
    together = pd.concat([fit.table, held.table]).sort_values(
        ["origin", "destination", "period_start", "reporter"], ignore_index=True
    )
    whole = two_sided.table.sort_values(
        ["origin", "destination", "period_start", "reporter"], ignore_index=True
    )
    pd.testing.assert_frame_equal(together, whole)
    assert fit.sha256 == held.sha256 == two_sided.sha256
    assert "seed 3" in held.name


def test_split_is_reproducible_and_depends_on_the_seed(two_sided: Observations) -> None:
    first, again, other = (two_sided.split(0.3, seed)[1].table for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_split_keeps_a_repeated_figure_on_one_side(two_sided: Observations) -> None:
    for seed in range(20):
        for part in two_sided.split(0.5, seed):
            table = part.table
            pair = table[
                (table["origin"] == "AT")
                & (table["destination"] == "BE")
                & (table["period_start"] == pd.Timestamp("2024-01-01"))
            ]
            assert len(pair) in (0, 2)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 0.001])
def test_split_needs_rows_on_both_sides(fraction: float, two_sided: Observations) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        two_sided.split(fraction, 1)


def test_concat_joins_parts(two_sided: Observations) -> None:
    more = check(row(source="survey", origin="UK"))
    joined = two_sided.concat(more)
    assert joined.n == 81
    assert joined.name == "two sides + data frame"
    assert joined.fixes == more.fixes
    assert joined.sha256 not in (two_sided.sha256, more.sha256)
    assert joined.sources == ("reg", "survey")


def test_concat_refuses_what_does_not_go_together(two_sided: Observations) -> None:
    with pytest.raises(InputError, match=r"the same key as one in two sides: source reg, measure"):
        two_sided.concat(check(row()))
    half = check(row(**SPAN | {"period_start": "2024-07-01"}))
    with pytest.raises(InputError, match="a period that overlaps one in two sides"):
        two_sided.concat(half)
    with pytest.raises(UsageError, match="alpha2 and alpha3"):
        two_sided.concat(check(row(origin="DEU", destination="FRA")))
    with pytest.raises(UsageError, match="fit and held_out"):
        two_sided.concat(observations_from_frame(frame(row(year=2000)), role="held_out"))


def test_coverage_counts_sides_pairs_zeros_and_small_counts(two_sided: Observations) -> None:
    single = check(
        row(source="more", origin="NL", destination="AT", value=0, reporter="destination"),
        row(source="more", origin="AT", destination="", value=60),
        row(source="more", origin="AT", destination="BE", value=60, reporter="other"),
    )
    coverage = two_sided.concat(single).coverage()
    assert coverage["period_start"].dt.year.tolist() == [2023, 2024]
    line = coverage.iloc[1].to_dict()
    # Six places: 30 ordered pairs, of which 20 are reported twice and one once.
    assert line["n_places"] == 6
    assert line["n_rows"] == 43
    assert (line["n_by_origin"], line["n_by_destination"], line["n_by_other"]) == (21, 21, 1)
    assert (line["n_pairs_both"], line["n_pairs_one"], line["n_pairs_none"]) == (20, 1, 9)
    assert line["n_totals"] == 1
    assert line["n_mirrored"] == 1
    assert line["n_zero"] == 3
    assert line["share_below_50"] == pytest.approx(11 / 43)


def test_repr_says_what_there_is(two_sided: Observations) -> None:
    assert repr(two_sided) == (
        "Observations(two sides: 80 rows, 5 places, 2023-01-01 to 2024-12-31, flow; "
        "sources reg; role fit)"
    )
    assert len(two_sided) == 80
    html = observations_from_frame(frame(row()), name="<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "n_pairs_both" in html
