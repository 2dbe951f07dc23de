"""Net migration as a residual: identities, worked figures, and input that cannot be."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from flowcast.accounting.net_migration import (
    follow_cohorts,
    net_from_survival,
    net_from_vital_events,
    survival_ratios,
)
from flowcast.errors import InputError, UsageError

AGES = [0, 5, 10, 15, 20]


def by_age(*values: float, ages: list[int] = AGES) -> xr.DataArray:
    return xr.DataArray(list(values), {"age": ages})


def persons(*values: float) -> xr.DataArray:
    return xr.DataArray(list(values), {"place": ["A", "B", "C"]})


VITAL: dict[str, xr.DataArray] = {
    "population_start": persons(100, 200, 300),
    "population_end": persons(130, 190, 300),
    "births": persons(10, 20, 30),
    "deaths": persons(5, 25, 30),
}


def test_net_migration_balances_the_population() -> None:
    net = net_from_vital_events(**VITAL)
    assert net.values.tolist() == [25.0, -5.0, 0.0]
    balance = VITAL["population_start"] + VITAL["births"] - VITAL["deaths"] + net
    xr.testing.assert_allclose(balance, VITAL["population_end"])


def test_places_are_matched_by_label() -> None:
    turned = {name: array.isel(place=[2, 0, 1]) for name, array in VITAL.items()}
    turned["population_start"] = VITAL["population_start"]
    xr.testing.assert_allclose(net_from_vital_events(**turned), net_from_vital_events(**VITAL))


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("births", persons(-1, 2, np.nan), "(births) | found -1 at place A, nan at place C"),
        ("deaths", persons(1, 2, 3)[:2], "(deaths) | found no place C"),
        ("population_end", xr.DataArray(5.0), "(population_end) | found dims ()"),
    ],
)
def test_vital_events_that_cannot_be(name: str, array: xr.DataArray, said: str) -> None:
    with pytest.raises(InputError) as caught:
        net_from_vital_events(**{**VITAL, name: array})
    assert said in str(caught.value)


# Cohorts


def test_cohorts_move_on_and_the_open_group_takes_them_in() -> None:
    moved = follow_cohorts(by_age(1, 2, 3, 4, 5), 10)
    assert moved.to_series().to_dict() == {10: 1.0, 15: 2.0, 20: 12.0}
    assert float(moved.sum()) == 15.0


def test_births_are_the_youngest() -> None:
    born = by_age(8, 9, ages=[0, 5])
    moved = follow_cohorts(by_age(1, 2, 3, 4, 5), 10, births=born[::-1])
    assert moved.to_series().to_dict() == {0: 8.0, 5: 9.0, 10: 1.0, 15: 2.0, 20: 12.0}


def test_other_dims_stay_where_they_are() -> None:
    both = by_age(1, 2, 3, 4, 5) * xr.DataArray([1.0, 10.0], {"sex": ["female", "male"]})
    moved = follow_cohorts(both.transpose("age", "sex"), 5)
    assert moved.dims == ("age", "sex")
    np.testing.assert_allclose(moved.sel(sex="male"), [10, 20, 30, 90])


@pytest.mark.parametrize(
    ("population", "interval", "births", "said"),
    [
        (
            by_age(1, 2, 3, 4, 5),
            7,
            None,
            "an interval of 7 years; allowed: a multiple of the width",
        ),
        (by_age(1, 2, 3, 4, 5), 0, None, "an interval of 0 years"),
        (by_age(1, 2, 3, 4, 5), 25, None, "less than all ages, 25 years"),
        (by_age(1, 2, 3, ages=[0, 5, 15]), 5, None, "age groups 5, 10 years wide"),
        (by_age(1, 2, 3, ages=[10, 5, 0]), 5, None, "age groups -5, -5 years wide"),
        (xr.DataArray([1.0, 2.0], {"age": ["0-4", "5-9"]}), 5, None, "lowest ages of two groups"),
        (xr.DataArray([1.0, 2.0], dims="age"), 5, None, "(cohorts, age) | found no labels"),
        (by_age(1, -2, 3, 4, 5), 5, None, "(population) | found -2 at age 5"),
        (persons(1, 2, 3), 5, None, "(population) | found dims (place)"),
        (by_age(1, 2, 3, 4, 5), 5, by_age(1, 2, ages=[0, 5]), "(births) | found age 5"),
        (by_age(1, 2, 3, 4, 5), 5, by_age(-1, ages=[0]), "(births) | found -1 at age 0"),
    ],
)
def test_cohorts_that_cannot_be_followed(
    population: xr.DataArray, interval: float, births: xr.DataArray | None, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        follow_cohorts(population, interval, births=births)
    assert said in str(caught.value)


def test_survival_ratios_of_a_life_table() -> None:
    """S = L_(x+n) / L_x; in the open group T_w / T_(w-n); of births L_0 / (n l_0)."""
    years = by_age(480, 470, 465, 450, 2000)
    found = survival_ratios(years, years, 5, births=by_age(500, ages=[0]))
    by_hand = [480 / 500, 470 / 480, 465 / 470, 450 / 465, 2000 / 2450]
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)


def test_a_closed_population_has_no_net_migration() -> None:
    start, end = by_age(100, 90, 80, 70, 60), by_age(99, 97, 85, 78, 101)
    ratios = survival_ratios(start, end, 5)
    net = net_from_survival(follow_cohorts(start, 5), end.sel(age=ratios["age"]), ratios)
    np.testing.assert_allclose(net, 0.0, atol=1e-12)


def test_an_empty_cohort_has_no_survival_ratio() -> None:
    with pytest.raises(InputError, match="found 0 at age 5; allowed: more than 0 persons in the"):
        survival_ratios(by_age(0, 2, 3, 4, 5), by_age(1, 2, 3, 4, 5), 5)
    with pytest.raises(InputError, match="no age 10"):
        survival_ratios(by_age(1, 2, 3, 4, 5), by_age(1, 2, ages=[0, 5]), 5)


START, END, RATIO = (
    by_age(100, 80, ages=[10, 15]),
    by_age(90, 84, ages=[10, 15]),
    by_age(0.95, 0.9, ages=[10, 15]),
)


def test_the_three_methods() -> None:
    forward, reverse, average = (
        net_from_survival(START, END, RATIO, method=method)  # type: ignore[arg-type]
        for method in ("forward", "reverse", "average")
    )
    np.testing.assert_allclose(forward, [-5.0, 12.0], rtol=1e-12)
    np.testing.assert_allclose(reverse, forward / RATIO, rtol=1e-12)
    np.testing.assert_allclose(average, (forward + reverse) / 2.0, rtol=1e-12)


def test_a_life_table_may_be_shared_by_places_and_sexes() -> None:
    wide = xr.DataArray([1.0, 2.0], {"place": ["A", "B"]})
    net = net_from_survival(START * wide, END * wide, RATIO, method="forward")
    assert net.dims == ("age", "place")
    np.testing.assert_allclose(net.sel(place="B"), [-10.0, 24.0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"survival": 0 * RATIO},
            "(survival) | found 0 at age 10, 0 at age 15; allowed: ratios above",
        ),
        ({"survival": 1.2 * RATIO, "ratios": "life_table"}, "found 1.14 at age 10, 1.08 at age 15"),
        ({"survival": RATIO * np.inf}, "found inf at age 10"),
        ({"survival": RATIO[:1]}, "(survival) | found no age 15"),
        ({"cohort_start": -START}, "(cohort_start) | found -100 at age 10"),
        ({"population_end": END * np.nan}, "(population_end) | found nan at age 10"),
        ({"population_end": END.assign_coords(age=[0, 5])}, "(population_end) | found age 0, 5"),
    ],
)
def test_survival_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    given = {"cohort_start": START, "population_end": END, "survival": RATIO, **changes}
    with pytest.raises(InputError) as caught:
        net_from_survival(**given)
    assert said in str(caught.value)


def test_ratios_of_censuses_may_exceed_one() -> None:
    net = net_from_survival(START, END, 1.2 * RATIO, method="forward")
    np.testing.assert_allclose(net, [90 - 114, 84 - 86.4], rtol=1e-12)


def test_a_method_that_is_not_known() -> None:
    with pytest.raises(UsageError, match=r"found 'backward'; allowed: forward, reverse, average"):
        net_from_survival(START, END, RATIO, method="backward")  # type: ignore[arg-type]
