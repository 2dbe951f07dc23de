"""Cells by name: corridors, periods, and places that do not exist at all times."""

import numpy as np
import pandas as pd
import pytest

from flowcast.errors import InputError
from flowcast.model.grid import Grid, build_grid


def table(*periods: tuple[str, str]) -> pd.DataFrame:
    columns = ["period_start", "period_end"]
    return pd.DataFrame([[pd.Timestamp(a), pd.Timestamp(b)] for a, b in periods], columns=columns)


def years(*given: int) -> pd.DataFrame:
    return table(*((f"{y}-01-01", f"{y + 1}-01-01") for y in given))


def grid(periods: pd.DataFrame, places: tuple[str, ...] = ("AT", "DE", "FR"), **kw: str) -> Grid:
    return build_grid(periods, places, **({"codes": "alpha2", "name": "reports.csv"} | kw))


def starts(made: Grid) -> list[str]:
    return [str(t.date()) for t in made.period_start]


def test_corridors_are_all_ordered_pairs_of_different_places_by_name() -> None:
    made = grid(years(2020), ("FR", "AT", "DE"))
    assert made.places == ("AT", "DE", "FR")
    pairs = [f"{o}{d}" for o, d in zip(made.origin_code, made.destination_code, strict=True)]
    assert pairs == ["ATDE", "ATFR", "DEAT", "DEFR", "FRAT", "FRDE"]
    assert (made.n_corridor, made.n_period, made.exists.all()) == (6, 1, True)


def test_gaps_between_reported_years_are_filled() -> None:
    made = grid(years(2015, 2019, 2015))
    assert starts(made) == [f"{y}-01-01" for y in range(2015, 2020)]
    np.testing.assert_array_equal(made.period_end[:-1], made.period_start[1:])


def test_gaps_between_other_periods_keep_their_length() -> None:
    made = grid(table(("2021-01-01", "2021-01-31"), ("2021-03-02", "2021-04-01")))
    assert starts(made) == ["2021-01-01", "2021-01-31", "2021-03-02"]
    with pytest.raises(InputError, match="follow on one another"):
        grid(table(("2021-01-01", "2021-01-31"), ("2021-03-05", "2021-04-04")))


def test_five_year_periods_stay_five_years_over_leap_years() -> None:
    made = grid(table(("2000-07-01", "2005-07-01"), ("2015-07-01", "2020-07-01")))
    assert starts(made) == ["2000-07-01", "2005-07-01", "2010-07-01", "2015-07-01"]


def test_periods_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match=r"reports.csv.*periods of 365 to 1826 days"):
        grid(table(("2021-01-01", "2022-01-01"), ("2022-01-01", "2027-01-01")))


def test_overlapping_periods_of_one_length_are_refused() -> None:
    with pytest.raises(InputError, match="a period that starts on 2021-07-01"):
        grid(table(*[(f"{y}-01-01", f"{y + 1}-01-01") for y in (2020, 2021, 2022)],
                   ("2021-07-01", "2022-07-01")))  # fmt: skip


@pytest.mark.parametrize("n", [2, 3, 7])
def test_corridor_index_is_the_inverse_of_the_codes(n: int) -> None:
    places = tuple(f"P{k}" for k in range(n))
    made = grid(years(2020), places, codes="declared")
    found = made.corridor_index(list(made.origin_code), list(made.destination_code))
    np.testing.assert_array_equal(found, np.arange(n * (n - 1)))


def test_corridors_and_periods_that_are_not_in_the_grid_are_minus_one() -> None:
    made = grid(years(2020, 2021))
    assert made.corridor_index(["AT", "XX", "AT"], ["XX", "DE", "AT"]).tolist() == [-1, -1, -1]
    asked = table(
        ("2021-01-01", "2022-01-01"),
        ("2021-01-01", "2021-07-01"),
        ("2019-01-01", "2020-01-01"),
        ("2020-01-01", "2022-01-01"),
    )
    assert made.period_index(asked["period_start"], asked["period_end"]).tolist() == [1, -1, -1, -1]


def test_cells_of_places_that_did_not_exist_are_marked() -> None:
    made = grid(years(*range(2004, 2009)), ("AUT", "SCG", "SRB"), codes="alpha3")
    of = dict(zip(zip(made.origin_code, made.destination_code, strict=True), made.exists,
                  strict=True))  # fmt: skip
    # Serbia and Montenegro ended, and Serbia began, in 2006: both exist on some day of that year.
    assert of["AUT", "SCG"].tolist() == [True, True, True, False, False]
    assert of["SRB", "AUT"].tolist() == [False, False, True, True, True]
    np.testing.assert_array_equal(of["AUT", "SCG"], of["SCG", "AUT"])


def test_a_users_own_codes_exist_at_all_times() -> None:
    assert grid(years(2004, 2010), ("SCG", "ours"), codes="declared").exists.all()
