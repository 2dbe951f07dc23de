"""Events between two dates, and residents whose birthplace no table tells."""

import numpy as np
import pytest
import xarray as xr

from flowcast.accounting import events_between, share_unknown
from flowcast.errors import InputError, UsageError

PLACES = ["A", "B", "C"]
TABLE = [[90.0, 10.0, 0.0], [5.0, 50.0, 0.0], [0.0, 5.0, 9.0]]
STOCK = xr.DataArray(TABLE, coords={"birthplace": PLACES, "residence": PLACES})


def people(*numbers: float) -> xr.DataArray:
    return xr.DataArray(list(numbers), coords={"place": PLACES})


def annual() -> xr.DataArray:
    return xr.DataArray(
        [[10.0, 20.0, 40.0], [1.0, 1.0, 1.0]],
        coords={"place": ["A", "B"], "year": [2019, 2020, 2021]},
    )


@pytest.mark.parametrize(
    ("dates", "wanted"),
    [
        (("2019-07-01", "2021-07-01"), [5 + 20 + 20, 2.0]),
        (("2019-01-01", "2022-01-01"), [70.0, 3.0]),
        (("2020-04-01", "2020-10-01"), [10.0, 0.5]),
        (("2019-07-01", "2020-01-01"), [5.0, 0.5]),
    ],
)
def test_a_part_of_a_year_has_its_part_of_the_events(
    dates: tuple[str, str], wanted: list[float]
) -> None:
    np.testing.assert_allclose(events_between(annual(), *dates), wanted)


def test_a_year_that_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="none for 2022"):
        events_between(annual(), "2021-07-01", "2022-07-01")
    with pytest.raises(UsageError, match="a later end"):
        events_between(annual(), "2021-07-01", "2021-07-01")


def test_unknown_birthplaces_are_shared_out_as_those_known() -> None:
    stock = STOCK.copy()
    stock[0, 2] = 3.0
    out = share_unknown(stock, people(95.0, 74.0, 14.0))
    wanted = [[90.0, 16.0, 5.0], [5.0, 50.0, 0.0], [0.0, 8.0, 9.0]]
    np.testing.assert_allclose(out, wanted)


def test_where_nearly_all_are_unknown_the_rest_is_native_born() -> None:
    out = share_unknown(STOCK, people(120.0, 65.0, 14.0))
    np.testing.assert_allclose(out.sel(residence="A"), [110.0, 10.0, 0.0])
    np.testing.assert_allclose(out.sel(residence="C"), [0.0, 0.0, 14.0])


def test_untold_birthplaces_get_people_by_who_lives_abroad_or_as_wished() -> None:
    told = share_unknown(STOCK, people(98.0, 65.0, 12.0), among="untold")
    np.testing.assert_allclose(told.sel(residence="C"), [2.0, 1.0, 9.0])
    np.testing.assert_allclose(told.sel(residence="A"), [90.0, 5.0, 3.0])
    like = xr.zeros_like(STOCK)
    like[1, 2] = 1.0
    told = share_unknown(STOCK, people(98.0, 65.0, 12.0), among="untold", like=like)
    np.testing.assert_allclose(told.sel(residence="C"), [0.0, 3.0, 9.0])
    np.testing.assert_allclose(told.sel(residence="A"), [93.0, 5.0, 0.0])


@pytest.mark.parametrize("among", ["told", "untold"])
def test_residents_are_those_of_the_population_where_it_has_more(among: str) -> None:
    population = people(98.0, 1.0, np.nan)
    out = share_unknown(STOCK, population, among=among)  # type: ignore[arg-type]
    np.testing.assert_allclose(out.sum("birthplace"), [98.0, 65.0, 9.0])


def test_a_place_without_population_and_a_wrong_word_are_refused() -> None:
    with pytest.raises(InputError, match="no C"):
        share_unknown(STOCK, people(95.0, 65.0, 9.0)[:2])
    with pytest.raises(UsageError, match="did you mean untold"):
        share_unknown(STOCK, people(95.0, 65.0, 9.0), among="untolt")  # type: ignore[arg-type]
