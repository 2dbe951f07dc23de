"""Stocks between two dates: constant rates, native-born that close to the population."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from flowcast.accounting import demographic_flows, interpolate_stocks, net_of_flows
from flowcast.errors import InputError, UsageError

PLACES = ["A", "B", "C"]
LABELS = {"birthplace": PLACES, "residence": PLACES}
START = xr.DataArray([[1000.0, 100, 10], [55, 555, 50], [80, 0, 800]], LABELS)
END = xr.DataArray([[1060.0, 60, 0], [45, 540, 40], [70, 75, 770]], LABELS)


def test_the_ends_are_the_tables() -> None:
    xr.testing.assert_allclose(interpolate_stocks(START, END, 0.0), START)
    xr.testing.assert_allclose(interpolate_stocks(START, END, 1.0), END)


def test_groups_grow_at_a_constant_rate_and_new_ones_by_a_constant_number() -> None:
    steps = [interpolate_stocks(START, END, share) for share in (0.2, 0.4, 0.6)]
    ratio = [float(s.sel(birthplace="B", residence="A")) for s in steps]
    assert ratio[1] / ratio[0] == pytest.approx(ratio[2] / ratio[1])
    assert float(steps[0].sel(birthplace="C", residence="B")) == pytest.approx(15.0)
    assert float(steps[0].sel(birthplace="A", residence="C")) == pytest.approx(8.0)


def test_native_born_close_to_the_population_in_every_draw() -> None:
    people = xr.DataArray([1200.0, 700, 850], {"place": PLACES})
    scale = xr.DataArray([0.9, 1.0, 1.1], dims="draw")
    found = interpolate_stocks(START, END * scale, 0.5, people.isel(place=[2, 0, 1]))
    totals = found.sum("birthplace").transpose("draw", "residence")
    np.testing.assert_allclose(totals, np.tile(people, (3, 1)))
    assert found.sizes == {"birthplace": 3, "residence": 3, "draw": 3}


def test_net_migration_of_single_years_adds_up_to_that_of_all() -> None:
    first, last = START, END * (START.sum() / END.sum())
    people = [
        ((1.0 - k / 5) * first.sum("birthplace") + k / 5 * last.sum("birthplace")).rename(
            residence="place"
        )
        for k in range(6)
    ]
    tables = [interpolate_stocks(first, last, k / 5, people[k]) for k in range(6)]
    yearly = [net_of_flows(demographic_flows(a, b)) for a, b in pairwise(tables)]
    np.testing.assert_allclose(sum(yearly), people[5] - people[0], atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"found 1\.5"):
        interpolate_stocks(START, END, 1.5)
    with pytest.raises(InputError, match="persons, 0 or more"):
        interpolate_stocks(-START, END, 0.5)
    with pytest.raises(InputError, match="dims"):
        interpolate_stocks(START.rename(residence="place"), END, 0.5)
    with pytest.raises(InputError, match="no fewer residents than foreign-born"):
        interpolate_stocks(START, END, 0.5, xr.DataArray([10.0, 700, 850], {"place": PLACES}))
