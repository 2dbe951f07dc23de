"""Definitions by name: which there are, what a number is called, what is told of a wrong one."""

import numpy as np
import pytest

from flowcast.definitions import describe_definition, name_definition, parse_definition
from flowcast.errors import UsageError


@pytest.mark.parametrize(
    ("given", "months"),
    [
        ("no-minimum", 0.0),
        ("0-months", 0.0),
        ("1-month", 1.0),
        ("1.25-months", 1.25),
        (".5-months", 0.5),
        ("3-months", 3.0),
        ("12-months", 12.0),
        ("permanent", 60.0),
        (" Permanent ", 60.0),
        ("6", 6.0),
        ("60", 60.0),
        (4.5, 4.5),
        (12, 12.0),
        (60, 60.0),
    ],
)
def test_names_and_numbers_are_minimum_stays(given: float | str, months: float) -> None:
    found = parse_definition(given)
    assert (type(found), found) == (float, months)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (-1, "-1 months"),
        (12.5, "12.5 months"),
        ("24", "24 months"),
        (np.nan, "nan months"),
        ("inf", "inf months"),
        ("24-months", "'24-months'"),
        ("60-months", "'60-months'"),
        ("-3-months", "'-3-months'"),
        ("months", "'months'"),
        ("", "''"),
    ],
)
def test_what_is_found_is_told_beside_all_that_is_allowed(given: float | str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_definition(given)
    told = str(caught.value)
    assert told.startswith(f"(definition) | found {found}; allowed: ")
    for name in ("no-minimum", "3-months", "6-months", "12-months", "permanent", "N-months"):
        assert name in told
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("permanant", "permanent"),
        ("no_minimum", "no-minimum"),
        ("3 months", "3-months"),
        ("3months", "3-months"),
        ("1.5month", "1.5-months"),
    ],
)
def test_the_nearest_name_is_suggested_and_not_taken(given: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"did you mean {meant}\?"):
        parse_definition(given)


@pytest.mark.parametrize("given", ["24 months", "12.01-months", "one-year"])
def test_nothing_is_suggested_that_is_another_definition(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_definition(given)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("months", [0.0, 1e-7, 1 / 3, 1.25, 3, 4.5, 12.0, 60.0])
def test_a_name_leads_back_to_its_number(months: float) -> None:
    assert parse_definition(name_definition(months)) == months


def test_a_negative_zero_is_no_minimum() -> None:
    assert name_definition(-0.0) == "no-minimum"
    assert str(parse_definition(-0.0)) == "0.0"


def test_only_twelve_months_are_called_the_united_nations() -> None:
    described = [describe_definition(months) for months in (0.0, 1.25, 12.0, 60.0)]
    assert described == [
        "changes of usual residence without a minimum stay",
        "changes of usual residence with a minimum stay of 1.25 months",
        "changes of usual residence with a minimum stay of 12 months (United Nations)",
        "permanent changes of usual residence",
    ]
