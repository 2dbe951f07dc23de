"""Laws of codes and groupings that hold for every place and every year."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcast.errors import InputError
from flowcast.places import (
    CODE_KINDS,
    Place,
    all_places,
    code_kind,
    convert_code,
    exists_in,
    fix_code,
    grouping_ids,
    members,
    resolve_place,
    suggest_code,
)

PLACES = st.sampled_from(all_places())
TODAY = st.sampled_from([place for place in all_places() if place.valid_to is None])
KINDS = st.sampled_from(CODE_KINDS)
YEARS = st.integers(1950, 2030)
GROUPS = st.sampled_from(grouping_ids())
LETTERS = st.text(string.ascii_uppercase, min_size=2, max_size=3)
UN_REGIONS = ("africa", "americas", "asia", "europe", "oceania")


@given(TODAY, KINDS, KINDS)
def test_a_code_goes_to_the_other_kind_and_back(place: Place, a: str, b: str) -> None:
    there = convert_code(place.code(a), b)  # type: ignore[arg-type]
    assert there == place.code(b)  # type: ignore[arg-type]
    assert convert_code(there, a) == place.code(a)  # type: ignore[arg-type]


@given(PLACES, KINDS, YEARS)
def test_the_year_settles_every_code(place: Place, kind: str, year: int) -> None:
    """In a year in which it existed, and alone under its code, a place is found by any code."""
    if exists_in(place.alpha3, year):
        rivals = [p for p in all_places() if p.alpha2 == place.alpha2 and p != place]
        if not any(exists_in(rival.alpha3, year) for rival in rivals):
            assert resolve_place(place.code(kind), year=year) == place  # type: ignore[arg-type]


@given(GROUPS, KINDS)
def test_the_id_of_a_grouping_stays_what_it_is(group: str, kind: str) -> None:
    assert convert_code(group, kind) == group  # type: ignore[arg-type]


@given(LETTERS)
def test_a_code_is_fixed_once_and_for_all(code: str) -> None:
    fixed = fix_code(code)
    if fixed is not None:
        assert fixed != code
        assert len(fixed) == len(code)
        assert fix_code(fixed) is None
        assert resolve_place(code) == resolve_place(fixed)


@given(LETTERS)
def test_any_letters_are_a_place_or_refused_with_a_place_as_the_hint(code: str) -> None:
    known = {c for p in all_places() for c in (p.alpha2, p.alpha3)}
    if code in known or fix_code(code):
        assert (fix_code(code) or code) in (resolve_place(code).alpha2, resolve_place(code).alpha3)
        return
    with pytest.raises(InputError) as caught:
        resolve_place(code)
    (fault,) = caught.value.faults
    assert fault.found == repr(code)
    assert not fault.hint or fault.hint in known


@given(LETTERS, KINDS)
def test_a_suggestion_is_of_the_kind_that_was_wanted(code: str, kind: str) -> None:
    suggested = suggest_code(code, kind=kind)  # type: ignore[arg-type]
    codes = {place.code(kind) for place in all_places()}  # type: ignore[arg-type]
    assert suggested is None or suggested in codes


@given(TODAY, st.sampled_from([str.lower, str.title]))
def test_a_code_in_small_letters_is_answered_with_the_code(place: Place, spell: object) -> None:
    assert callable(spell)
    assert suggest_code(spell(place.alpha3)) == place.alpha3
    assert suggest_code(spell(place.alpha2)) == place.alpha2


@given(GROUPS, YEARS)
def test_members_are_in_the_world_of_their_year_unless_the_list_is_fixed(
    group: str, year: int
) -> None:
    found = members(group, year)
    assert list(found) == sorted(set(found))
    if group in UN_REGIONS:
        assert set(found) <= set(members("world", year))
        assert all(exists_in(code, year) for code in found)


@given(GROUPS, st.none() | YEARS)
def test_members_are_the_same_places_in_either_kind(group: str, year: int | None) -> None:
    three = members(group, year, kind="alpha3")
    two = members(group, year, kind="alpha2")
    by_code = {place.alpha3: place.alpha2 for place in all_places()}
    assert sorted(by_code[code] for code in three) == list(two)


@given(st.lists(TODAY, min_size=1, max_size=6), KINDS, st.lists(GROUPS, max_size=2))
def test_the_kind_of_codes_is_told_whatever_the_order(
    places: list[Place], kind: str, groups: list[str]
) -> None:
    codes = [place.code(kind) for place in places]  # type: ignore[arg-type]
    assert code_kind([*groups, *codes]) == kind
    assert code_kind([*codes, "", *groups]) == kind


@given(TODAY, TODAY)
def test_two_kinds_in_one_list_are_always_refused(a: Place, b: Place) -> None:
    with pytest.raises(InputError, match="codes of one kind"):
        code_kind([a.alpha2, b.alpha3])


@given(PLACES, YEARS)
def test_existence_has_no_gaps(place: Place, year: int) -> None:
    before, now, after = (exists_in(place.alpha3, y) for y in (year - 1, year, year + 1))
    assert now or not (before and after)
