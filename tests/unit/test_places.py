"""Codes, spelling fixes, years of existence, groupings."""

from datetime import date

import pytest

from flowcast.errors import InputError
from flowcast.places import (
    all_places,
    code_kind,
    convert_code,
    describe_existence,
    exists_in,
    fix_code,
    grouping_ids,
    grouping_name,
    is_grouping,
    members,
    resolve_place,
    suggest_code,
)

PLACES = {place.alpha3: place for place in all_places()}


def test_alpha3_and_m49_are_unique() -> None:
    assert len(PLACES) == len(all_places())
    assert len({p.m49 for p in all_places()}) == len(all_places())


def test_codes_have_the_right_form() -> None:
    for place in all_places():
        assert len(place.alpha2) == 2
        assert place.alpha2.isalpha()
        assert place.alpha2.isupper()
        assert len(place.alpha3) == 3
        assert place.alpha3.isupper()
        assert len(place.m49) == 3
        assert place.m49.isdigit()


def test_alpha2_is_unique_among_places_that_live_at_the_same_time() -> None:
    for year in range(1950, 2026):
        alive = [p.alpha2 for p in all_places() if exists_in(p.alpha3, year)]
        assert len(alive) == len(set(alive)), year


def test_every_iso_country_of_today_is_there() -> None:
    today = [p for p in all_places() if p.valid_to is None]
    assert len(today) == 249 + 1  # ISO 3166-1 and Kosovo


def test_successors_are_known_and_begin_when_the_former_country_ends() -> None:
    for place in all_places():
        assert bool(place.successors) == (place.valid_to is not None), place.name
        for successor in place.successors:
            end = place.valid_to
            assert end is not None
            assert PLACES[successor].exists_between(end, date(end.year + 1, 1, 1)), (
                place.name,
                successor,
            )


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("NA", "Namibia"),
        ("XK", "Kosovo"),
        ("TWN", "Taiwan"),
        ("SSD", "South Sudan"),
        ("DDR", "German Democratic Republic"),
        ("ANT", "Netherlands Antilles"),
        ("UK", "United Kingdom"),
        ("EL", "Greece"),
        ("ROM", "Romania"),
        ("ZAR", "Congo (Democratic Republic)"),
        ("TMP", "Timor-Leste"),
        ("BUR", "Myanmar"),
        ("KOS", "Kosovo"),
    ],
)
def test_resolve_place_knows_standard_codes_and_fixes(code: str, name: str) -> None:
    assert resolve_place(code).name == name


def test_resolve_place_tells_the_two_cs_apart_by_year() -> None:
    assert resolve_place("CS", year=1992).alpha3 == "CSK"
    assert resolve_place("CS", year=2004).alpha3 == "SCG"
    assert resolve_place("CS").alpha3 == "SCG"


def test_resolve_place_keeps_to_the_kind_asked_for() -> None:
    with pytest.raises(InputError, match=r"'DE'.*alpha-3.*did you mean DEU"):
        resolve_place("DE", kind="alpha3")


@pytest.mark.parametrize(
    ("code", "hint"), [("GER", "DEU"), ("DNKK", "DNK"), ("Sweden", "SWE"), ("de", "DE")]
)
def test_unknown_code_is_refused_with_the_nearest(code: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"did you mean {hint}"):
        resolve_place(code)


def test_fix_code_stays_in_the_kind_of_the_code() -> None:
    assert fix_code("UK") == "GB"
    assert fix_code("ROM") == "ROU"
    assert fix_code("DE") is None
    assert fix_code("GER") is None


def test_no_fix_or_suggestion_hides_a_standard_code() -> None:
    for place in all_places():
        assert fix_code(place.alpha2) is None
        assert fix_code(place.alpha3) is None


def test_suggest_code_offers_nothing_where_nothing_is_alike() -> None:
    assert suggest_code("Q1") is None
    assert suggest_code("zzzzzzzz") is None


def test_code_kind() -> None:
    assert code_kind(["DE", "", "UK", "nordic"]) == "alpha2"
    assert code_kind(["DEU", "ROM"]) == "alpha3"


def test_code_kind_refuses_a_mixture_and_names_both() -> None:
    with pytest.raises(InputError, match="alpha-2 'DE' and alpha-3 'FRA'"):
        code_kind(["DE", "FRA"])


def test_code_kind_needs_a_country() -> None:
    with pytest.raises(InputError, match="no country code"):
        code_kind(["world", ""])


def test_convert_code_goes_there_and_back_for_every_living_place() -> None:
    for place in all_places():
        if place.valid_to is None:
            assert convert_code(place.alpha2, "alpha3") == place.alpha3
            assert convert_code(place.alpha3, "alpha2") == place.alpha2


def test_convert_code_uses_the_year_for_a_code_given_twice() -> None:
    assert convert_code("CS", "alpha3", year=1990) == "CSK"
    assert convert_code("EU28", "alpha2") == "EU28"


@pytest.mark.parametrize(
    ("code", "first", "last"),
    [("SCG", 2003, 2006), ("MNE", 2006, None), ("SSD", 2011, None), ("ANT", None, 2010)],
)
def test_exists_in_from_the_first_to_the_last_year(
    code: str, first: int | None, last: int | None
) -> None:
    if first is not None:
        assert not exists_in(code, first - 1)
        assert exists_in(code, first)
    if last is not None:
        assert exists_in(code, last)
        assert not exists_in(code, last + 1)


def test_describe_existence_names_predecessors_and_successors() -> None:
    assert describe_existence(PLACES["SCG"], "alpha2").endswith("its successors: ME, RS")
    assert "existed until 1991" in describe_existence(PLACES["SUN"])
    assert describe_existence(PLACES["FRA"]) == "France exists in every year"
    assert describe_existence(PLACES["XKX"]) == "Kosovo exists since 2008"


@pytest.mark.parametrize(
    ("group", "year", "size"),
    [
        ("EU", 1960, 6),
        ("EU", 2003, 15),
        ("EU", 2005, 25),
        ("EU", 2010, 27),
        ("EU", 2015, 28),
        ("EU", 2024, 27),
        ("EFTA", 1970, 8),
        ("EFTA", 2024, 4),
        ("EU15", None, 15),
        ("EU25", None, 25),
        ("EU27_2007", None, 27),
        ("EU28", None, 28),
        ("EU27_2020", None, 27),
        ("nordic", None, 5),
        ("baltic", None, 3),
        ("world", None, 250),
    ],
)
def test_members_by_year(group: str, year: int | None, size: int) -> None:
    assert len(members(group, year)) == size


def test_members_come_in_the_kind_asked_for() -> None:
    assert members("baltic", kind="alpha2") == ("EE", "LT", "LV")


def test_members_of_a_region_follow_the_existence_of_countries() -> None:
    assert "SCG" in members("southern_europe", 2004)
    assert "SCG" not in members("southern_europe")
    assert not {"SRB", "MNE"} & set(members("southern_europe", 2004))
    assert "SUN" in members("eastern_europe", 1985)
    assert "EST" not in members("northern_europe", 1985)


def test_regions_of_the_groupings_agree_with_those_of_the_places() -> None:
    for place in all_places():
        for name in filter(None, (place.region, place.subregion, place.intermediate_region)):
            group = name.lower().replace("-", "_").replace(" ", "_")
            year = (place.valid_to.year - 1) if place.valid_to else 2024
            assert place.alpha3 in members(group, year), (place.name, group)


def test_the_regions_of_a_level_divide_the_world() -> None:
    parts = [members(g) for g in ("africa", "americas", "asia", "europe", "oceania")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(members("world")) - 1
    assert resolve_place("ATA").region == ""


def test_grouping_ids_are_not_place_codes() -> None:
    codes = {p.alpha2 for p in all_places()} | set(PLACES)
    assert not codes & set(grouping_ids())


def test_unknown_grouping_is_refused_with_the_nearest() -> None:
    assert is_grouping("nordic")
    assert not is_grouping("DE")
    assert grouping_name("baltic") == "Baltic states"
    with pytest.raises(InputError, match="did you mean EU27_2020"):
        members("EU27_2002")
