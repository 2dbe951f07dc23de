"""The code lists as data: what refers to what, and facts that anyone can look up."""

import csv
from collections import Counter
from datetime import date, timedelta
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from flowcast.places import all_places, fix_code, members, resolve_place

CODELISTS = Path(__file__).resolve().parents[2] / "data" / "codelists"
Row = dict[str, str]

FIRST, LAST = "0001-01-01", "9999-12-31"
UN_REGIONS = ("africa", "americas", "asia", "europe", "oceania")


def rows_of(name: str) -> list[Row]:
    """Return the rows as plain text, read without the package."""
    with (CODELISTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


PLACES = rows_of("places.csv")
GROUPINGS = rows_of("groupings.csv")
FIXES = rows_of("fixes.csv")
BY_ALPHA3 = {row["alpha3"]: row for row in PLACES}


def group(name: str) -> list[Row]:
    return [row for row in GROUPINGS if row["grouping"] == name]


def overlap(a: Row, b: Row, names: tuple[str, str]) -> bool:
    """Return whether two half-open spans have a day in common; ISO dates sort as text."""
    start, end = names
    return (a[start] or FIRST) < (b[end] or LAST) and (b[start] or FIRST) < (a[end] or LAST)


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["alpha2", "alpha3", "m49", "name"])
def test_no_two_places_of_one_day_share_a_code_or_a_name(column: str) -> None:
    shared = [
        (a["name"], b["name"])
        for a, b in combinations(PLACES, 2)
        if a[column] == b[column] and overlap(a, b, ("valid_from", "valid_to"))
    ]
    assert shared == []


def test_only_cs_was_ever_given_twice() -> None:
    given = Counter(row["alpha2"] for row in PLACES)
    assert [code for code, times in given.items() if times > 1] == ["CS"]


def test_every_span_of_existence_has_days() -> None:
    for row in PLACES:
        start, end = row["valid_from"] or FIRST, row["valid_to"] or LAST
        assert date.fromisoformat(start) < date.fromisoformat(end), row["name"]


def test_names_have_no_stray_spaces_and_are_not_codes() -> None:
    for row in PLACES:
        assert row["name"] == " ".join(row["name"].split())
        assert len(row["name"]) > 3, row["name"]
        assert not row["name"].isupper(), row["name"]


def test_a_region_is_given_wherever_a_smaller_one_is() -> None:
    for row in PLACES:
        for larger, smaller in pairwise(("region", "subregion", "intermediate_region")):
            assert row[larger] or not row[smaller], row["name"]


def test_a_subregion_lies_in_one_region() -> None:
    for larger, smaller in pairwise(("region", "subregion", "intermediate_region")):
        pairs = {(row[smaller], row[larger]) for row in PLACES if row[smaller]}
        assert len(pairs) == len({part for part, _ in pairs}), smaller


def test_only_antarctica_has_no_region() -> None:
    assert [row["alpha3"] for row in PLACES if not row["region"]] == ["ATA"]


def test_the_list_is_sorted_by_alpha3() -> None:
    assert [row["alpha3"] for row in PLACES] == sorted(BY_ALPHA3)
    assert [place.alpha3 for place in all_places()] == sorted(BY_ALPHA3)


@pytest.mark.parametrize(
    ("alpha2", "alpha3", "m49"),
    [
        ("AT", "AUT", "040"),
        ("BE", "BEL", "056"),
        ("CH", "CHE", "756"),
        ("DE", "DEU", "276"),
        ("FR", "FRA", "250"),
        ("GB", "GBR", "826"),
        ("GR", "GRC", "300"),
        ("IE", "IRL", "372"),
        ("NA", "NAM", "516"),
        ("NO", "NOR", "578"),
        ("PL", "POL", "616"),
        ("RO", "ROU", "642"),
        ("SE", "SWE", "752"),
        ("SD", "SDN", "729"),
        ("SI", "SVN", "705"),
        ("SK", "SVK", "703"),
        ("US", "USA", "840"),
        ("ZA", "ZAF", "710"),
    ],
)
def test_codes_that_are_easily_taken_for_others(alpha2: str, alpha3: str, m49: str) -> None:
    row = BY_ALPHA3[alpha3]
    assert (row["alpha2"], row["m49"]) == (alpha2, m49)


@pytest.mark.parametrize(
    ("former", "last_day", "successors"),
    [
        ("CSK", "1992-12-31", {"CZE", "SVK"}),
        ("DDR", "1990-10-02", {"DEU"}),
        ("SCG", "2006-06-02", {"MNE", "SRB"}),
        ("YMD", "1990-05-21", {"YEM"}),
        ("ANT", "2010-10-09", {"BES", "CUW", "SXM"}),
    ],
)
def test_former_countries_ended_on_the_day_they_did(
    former: str, last_day: str, successors: set[str]
) -> None:
    row = BY_ALPHA3[former]
    end = date.fromisoformat(row["valid_to"])
    assert end - timedelta(days=1) == date.fromisoformat(last_day)
    assert set(row["successors"].split(";")) == successors


def test_the_soviet_union_left_fifteen_countries_all_there_when_it_ended() -> None:
    union = BY_ALPHA3["SUN"]
    successors = union["successors"].split(";")
    assert len(successors) == len(set(successors)) == 15
    assert all("1990-01-01" < BY_ALPHA3[code]["valid_from"] < "1991-12-27" for code in successors)
    assert {row["member"] for row in group("former_soviet_union")} == set(successors)


def test_nobody_succeeds_itself_and_successors_of_the_dead_outlive_them() -> None:
    for row in PLACES:
        for code in filter(None, row["successors"].split(";")):
            assert code != row["alpha3"]
            assert (BY_ALPHA3[code]["valid_to"] or LAST) > row["valid_to"]


def test_chains_of_successors_end_in_countries_of_today() -> None:
    def heirs(code: str) -> set[str]:
        after = [c for c in BY_ALPHA3[code]["successors"].split(";") if c]
        return set().union(*map(heirs, after)) if after else {code}

    assert heirs("YUG") == {"BIH", "HRV", "MKD", "MNE", "SRB", "SVN"}
    former = [row["alpha3"] for row in PLACES if row["valid_to"]]
    assert all(not BY_ALPHA3[heir]["valid_to"] for code in former for heir in heirs(code))


# --- fixes ---------------------------------------------------------------------------------------


def test_every_fix_is_listed_once_and_leads_to_a_place() -> None:
    assert len({row["code"] for row in FIXES}) == len(FIXES)
    assert {row["action"] for row in FIXES} == {"fix", "suggest"}
    for row in FIXES:
        assert row["alpha3"] in BY_ALPHA3, row
        assert row["note"], row
        assert row["code"] == row["code"].upper(), row


def test_no_listed_code_is_a_standard_code_of_any_place() -> None:
    standard = {row[column] for row in PLACES for column in ("alpha2", "alpha3")}
    assert not standard & {row["code"] for row in FIXES}


def test_what_is_only_suggested_is_never_silently_read() -> None:
    for row in FIXES:
        fixed = fix_code(row["code"])
        if row["action"] == "suggest":
            assert fixed is None, row
        else:
            kind = "alpha2" if len(row["code"]) == 2 else "alpha3"
            assert fixed == BY_ALPHA3[row["alpha3"]][kind], row


@pytest.mark.parametrize("code", ["ENG", "SCO", "WAL", "NIR"])
def test_a_part_of_a_country_is_not_read_as_the_country(code: str) -> None:
    assert fix_code(code) is None


# --- groupings -----------------------------------------------------------------------------------


def test_every_member_is_a_place() -> None:
    assert {row["member"] for row in GROUPINGS} <= set(BY_ALPHA3)


def test_a_grouping_has_one_name_and_each_member_once_at_a_time() -> None:
    names = {(row["grouping"], row["name"]) for row in GROUPINGS}
    assert len(names) == len({grouping for grouping, _ in names})
    for grouping, _ in names:
        rows = group(grouping)
        clashes = [
            (a["member"], grouping)
            for a, b in combinations(rows, 2)
            if a["member"] == b["member"] and overlap(a, b, ("from", "to"))
        ]
        assert clashes == []


def test_memberships_have_days_in_which_the_member_existed() -> None:
    for row in GROUPINGS:
        place = BY_ALPHA3[row["member"]]
        start = max(row["from"] or FIRST, place["valid_from"] or FIRST)
        end = min(row["to"] or LAST, place["valid_to"] or LAST)
        assert start < end, row


@pytest.mark.parametrize("year", range(1950, 2026))
def test_a_former_country_is_never_counted_beside_all_that_came_of_it(year: int) -> None:
    inside = set(members("world", year))
    for row in PLACES:
        # DE and YE stand for the country before and after unification.
        after = set(filter(None, row["successors"].split(";"))) - {"DEU", "YEM"}
        if row["alpha3"] in inside and after:
            assert not after <= inside, row["name"]


@pytest.mark.parametrize(
    ("year", "size"),
    [
        (1957, 0),
        (1958, 6),
        (1972, 6),
        (1973, 9),
        (1981, 10),
        (1986, 12),
        (1994, 12),
        (1995, 15),
        (2003, 15),
        (2004, 25),
        (2006, 25),
        (2007, 27),
        (2012, 27),
        (2013, 28),
        (2019, 28),
        (2020, 27),
        (2026, 27),
    ],
)
def test_the_european_union_by_year(year: int, size: int) -> None:
    assert len(members("EU", year)) == size


@pytest.mark.parametrize(
    ("fixed", "year"),
    [("EU15", 2000), ("EU25", 2005), ("EU27_2007", 2010), ("EU28", 2016), ("EU27_2020", 2024)],
)
def test_fixed_lists_are_the_union_of_their_time(fixed: str, year: int) -> None:
    assert members(fixed) == members("EU", year)
    assert members(fixed, 1970) == members(fixed)


def test_nobody_is_in_the_union_and_in_the_free_trade_association() -> None:
    for year in range(1960, 2027):
        assert not set(members("EU", year)) & set(members("EFTA", year)), year
    assert members("EFTA", 2024, kind="alpha2") == ("CH", "IS", "LI", "NO")


@pytest.mark.parametrize("year", [1955, 1989, 1991, 1995, 2004, 2008, 2012, 2024])
def test_the_regions_divide_the_world_of_every_year(year: int) -> None:
    found = Counter(code for region in UN_REGIONS for code in members(region, year))
    assert set(found.values()) == {1}
    assert set(found) | {"ATA"} == set(members("world", year))


@pytest.mark.parametrize("region", UN_REGIONS)
@pytest.mark.parametrize("year", [1985, 2004, 2024])
def test_the_subregions_divide_their_region(region: str, year: int) -> None:
    parts = {r["subregion"] for r in PLACES if r["region"].lower() == region}
    ids = [part.lower().replace(" ", "_").replace("-", "_") for part in parts]
    found = Counter(code for part in ids for code in members(part, year))
    assert max(found.values()) == 1
    assert set(found) == set(members(region, year))


@pytest.mark.parametrize(
    ("grouping", "codes"),
    [
        ("nordic", "DK FI IS NO SE"),
        ("benelux", "BE LU NL"),
        ("baltic", "EE LT LV"),
        ("visegrad", "CZ HU PL SK"),
        ("gulf_cooperation_council", "AE BH KW OM QA SA"),
        ("channel_islands", "GG JE"),
        ("australia_and_new_zealand", "AU CC CX HM NF NZ"),
        ("northern_america", "BM CA GL PM US"),
        ("western_europe", "AT BE CH DE FR LI LU MC NL"),
    ],
)
def test_groupings_that_anyone_can_look_up(grouping: str, codes: str) -> None:
    assert members(grouping, 2024, kind="alpha2") == tuple(codes.split())


@pytest.mark.parametrize(
    ("code", "region"),
    [
        ("CYP", "asia"),
        ("TUR", "asia"),
        ("RUS", "europe"),
        ("EGY", "africa"),
        ("GEO", "asia"),
        ("GRL", "americas"),
        ("GBR", "northern_europe"),
        ("IRN", "southern_asia"),
    ],
)
def test_places_are_in_the_region_of_the_united_nations(code: str, region: str) -> None:
    assert code in members(region)
    assert resolve_place(code).alpha3 == code
