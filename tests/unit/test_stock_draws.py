"""Draws of uncertain stocks: their moments are those declared, and their dates hang together."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting import (
    StockErrors,
    account_periods,
    account_series,
    demographic_flows,
    draw_accounts,
    draw_series,
)
from flowcast.accounting._stock_draws import _nearest_figure, _root, away_from
from flowcast.errors import InputError, UsageError

PLACES = ["A", "B", "C"]
CODES = {"birthplace": PLACES, "residence": PLACES}
STOCK = np.array([[9e6, 4e5, 0.0], [2e5, 5e6, 3e4], [1e5, 0.0, 7e6]])
DATES = ["2000-07-01", "2005-07-01", "2010-07-01"]
NONE: dict[str, Any] = {"bias": 0.0, "sd": 0.0}
DRAWS = 1200
LOOSE = 4.0 / np.sqrt(2.0 * DRAWS)
"""Four standard errors of an sd, relative to it."""


def silent(**given: Any) -> StockErrors:  # noqa: ANN401
    """Return no errors at all but those given, for medium quality."""
    names = ("coverage", "birthplaces", "population", "births", "deaths")
    off: dict[str, Any] = {name: {"medium": NONE} for name in names}
    return StockErrors(**{**off, "counting": 0.0, "coherent": False, **given})


def tables(n: int = 3, stock: NDArray[np.float64] = STOCK) -> list[xr.DataArray]:
    growth = 1.05 ** np.arange(n)
    return [xr.DataArray(stock * g, coords=CODES) for g in growth]


def series(n: int = 3, **given: Any) -> xr.Dataset:  # noqa: ANN401
    births = [xr.DataArray([5e5, 3e5, 4e5], coords={"place": PLACES})] * (n - 1)
    deaths = [xr.DataArray([3e5, 2e5, 3e5], coords={"place": PLACES})] * (n - 1)
    return account_series(tables(n), births, deaths, dates=DATES[:n], **given)


def log_odds(drawn: xr.Dataset) -> NDArray[np.float64]:
    """Return log (foreign-born / native-born) less that of the tables, (draw, date, b, r)."""
    start, end = (drawn[name].values for name in ("stock_start", "stock_end"))
    stock = np.concatenate([start, end[:, -1:]], axis=1)
    odds = stock / np.diagonal(stock, axis1=2, axis2=3)[:, :, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(odds) - np.log(STOCK / STOCK.diagonal())


def drawn_odds(errors: StockErrors, n: int = DRAWS) -> NDArray[np.float64]:
    return log_odds(draw_series(series(), errors, draws=n))


def near(found: float, wanted: float, sd: float) -> None:
    """Hold a mean over the draws to 4 standard errors."""
    assert abs(found - wanted) < 4.0 * sd / np.sqrt(DRAWS)


def test_without_errors_a_draw_is_the_table() -> None:
    drawn = draw_series(series(), silent(), draws=2)
    for name, wanted in account_periods(series()).data_vars.items():
        for draw in range(2):
            np.testing.assert_allclose(drawn[name].values[draw], wanted.values, rtol=1e-12)


def test_the_mean_and_sd_of_coverage_are_those_declared() -> None:
    odds = drawn_odds(silent(coverage={"medium": {"bias": 0.1, "sd": 0.2}}))[:, 0, 0, 1]
    near(odds.mean(), 0.1 - 0.02, 0.2)
    near(np.exp(odds).mean(), np.exp(0.1), 0.25)
    assert odds.std() == pytest.approx(0.2, rel=LOOSE)


def test_coverage_is_shared_by_the_birthplaces_of_a_residence_alone() -> None:
    odds = drawn_odds(silent(coverage={"medium": {"sd": 0.2}}), 400)[:, 0]
    np.testing.assert_allclose(odds[:, 1, 0], odds[:, 2, 0], atol=1e-9)
    assert abs(np.corrcoef(odds[:, 1, 0], odds[:, 0, 1])[0, 1]) < 0.2


def test_each_birthplace_has_an_error_of_its_own() -> None:
    odds = drawn_odds(silent(birthplaces={"medium": {"sd": 0.3}}))[:, 0]
    assert odds[:, 1, 0].std() == pytest.approx(0.3, rel=LOOSE)
    assert abs(np.corrcoef(odds[:, 1, 0], odds[:, 2, 0])[0, 1]) < 0.12


@pytest.mark.parametrize(
    ("persistent", "wanted"), [(1.0, 0.0), (0.75, 2 * 0.04 * 0.25 * (1 - 0.9**5))]
)
def test_the_persistent_part_cancels_in_differences(persistent: float, wanted: float) -> None:
    error = {"sd": 0.2, "persistent": persistent, "correlation": 0.9}
    odds = drawn_odds(silent(coverage={"medium": error}))[:, :, 0, 1]
    change = odds[:, 1] - odds[:, 0]
    assert change.var() == pytest.approx(wanted, rel=2 * LOOSE, abs=1e-20)


def test_errors_fade_with_the_years_between_dates() -> None:
    error = {"sd": 0.2, "persistent": 0.5, "correlation": 0.9}
    odds = drawn_odds(silent(coverage={"medium": error}))[:, :, 0, 1]
    found = np.corrcoef(odds.T)
    assert found[0, 1] == pytest.approx(0.5 + 0.5 * 0.9**5, abs=0.06)
    assert found[0, 2] == pytest.approx(0.5 + 0.5 * 0.9**10, abs=0.06)


def test_small_groups_are_as_uncertain_as_a_count() -> None:
    odds = np.exp(drawn_odds(silent(counting=300.0)))[:, :, 1, 2]
    near(odds[:, 0].mean(), 1.0, 0.1)
    assert odds[:, 0].var() == pytest.approx(300.0 / 3e4, rel=2 * LOOSE)
    assert abs(np.corrcoef(odds[:, 0], odds[:, 1])[0, 1]) < 0.12


def test_native_born_make_up_for_foreign_born_who_were_missed() -> None:
    errors = silent(coverage={"medium": {"bias": 0.3, "sd": 0.5}})
    drawn = draw_series(series(), errors, draws=200)
    total = drawn["stock_start"].sum("birthplace")
    wanted = account_periods(series())["stock_start"].sum("birthplace")
    np.testing.assert_allclose(total, np.broadcast_to(wanted, total.shape), rtol=1e-12)
    people = drawn["stock_start"][:, 0].sel(residence="B").values
    assert np.corrcoef(people[:, 0], people[:, 1])[0, 1] < -0.999


def test_native_born_are_never_negative_however_many_are_missed() -> None:
    few = STOCK.copy()
    few[1, 1] = 1e3  # foreign-born are 400 times the native-born
    pair = tables(2, few)
    errors = silent(coverage={"medium": {"bias": 2.0, "sd": 2.0}})
    drawn = draw_accounts(*pair, errors=errors, draws=300)
    assert float(drawn["stock_start"].min()) >= 0.0
    total = drawn["stock_start"].sum("birthplace").sel(residence="B")
    np.testing.assert_allclose(total, few[:, 1].sum(), rtol=1e-9)


def test_populations_have_a_small_error_that_hardly_changes() -> None:
    errors = StockErrors(coherent=False)
    drawn = draw_series(series(), errors, draws=DRAWS)
    total = drawn["stock_start"].sum("birthplace").sel(residence="A").values
    relative = np.log(total / account_periods(series())["stock_start"].sum("birthplace")
                      .sel(residence="A").values)  # fmt: skip
    assert relative[:, 0].std() == pytest.approx(errors.population.medium.sd, rel=LOOSE)
    change = relative[:, 1] - relative[:, 0]
    assert change.std() < 0.12 * relative[:, 0].std()


def test_the_sd_of_vital_events_is_that_declared_and_shared_between_periods() -> None:
    error = {"sd": 0.1, "persistent": 0.8, "correlation": 0.9}
    drawn = draw_series(series(), silent(births={"medium": error}), draws=DRAWS)
    births = np.log(drawn["births"].sel(place="B").values / 3e5)
    near(np.exp(births).mean(), 1.0, 0.1)
    assert births[:, 0].std() == pytest.approx(0.1, rel=LOOSE)
    assert np.corrcoef(births.T)[0, 1] == pytest.approx(0.8 + 0.2 * 0.9**5, abs=0.06)


@pytest.mark.parametrize("coherent", [True, False])
def test_coherent_errors_of_births_leave_net_migration_alone(coherent: bool) -> None:
    given = {"births": {"medium": {"sd": 0.2}}, "deaths": {"medium": {"sd": 0.2}}}
    drawn = draw_series(series(), silent(coherent=coherent, **given), draws=50)
    growth = (drawn["stock_end"] - drawn["stock_start"]).sum("birthplace")
    net = growth.rename(residence="place") - drawn["births"] + drawn["deaths"]
    spread = float(net.std("draw").max())
    assert (spread < 1e-3) == coherent


def test_citizens_of_elsewhere_are_fewer_than_people_born_there() -> None:
    places = {"A": {"definition": "citizenship"}}
    odds = drawn_odds(silent(places=places, citizenship={"coverage": {"bias": 0.4, "sd": 0.1}}))
    near(np.exp(odds[:, 0, 1, 0]).mean(), np.exp(0.4), 0.5)
    assert np.ptp(odds[:, 0, 0, 1]) < 1e-9


def test_dates_away_from_a_source_are_less_certain() -> None:
    places = {"A": {"vintage": [2000.5]}}
    errors = silent(places=places, vintage={"coverage": 0.05, "birthplaces": 0.0})
    odds = drawn_odds(errors)[:, :, 1, 0]
    sd = odds.std(axis=0)
    assert sd[0] < 0.004
    assert sd[1] == pytest.approx(0.05 * np.sqrt(5.0), rel=LOOSE)
    assert sd[2] == pytest.approx(0.05 * np.sqrt(10.0), rel=LOOSE)
    assert np.corrcoef(odds[:, 1], odds[:, 2])[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.06)


def test_between_two_sources_the_error_is_a_bridge() -> None:
    found = away_from(np.array([2000.0, 2010.0]), np.array([2002.0, 2008.0]))
    np.testing.assert_allclose(found, [[1.6, 0.4], [0.4, 1.6]])
    before = away_from(np.array([2000.0]), np.array([1990.0, 1995.0]))
    np.testing.assert_allclose(before, [[10.0, 5.0], [5.0, 5.0]])


def test_a_root_is_one_even_of_a_singular_covariance() -> None:
    rng = np.random.default_rng(1)
    half = rng.normal(size=(5, 2))
    for covariance in (np.ones((4, 4)), half @ half.T, np.zeros((3, 3)), np.diag([2.0, 0.0, 3.0])):
        root = _root(covariance)
        np.testing.assert_allclose(root @ root.T, covariance, atol=1e-9)


# --- zeros ---------------------------------------------------------------------------------------


def test_zeros_stay_zero_by_default() -> None:
    drawn = draw_series(series(), draws=20)
    assert float(drawn["stock_end"].sel(birthplace="C", residence="B").max()) == 0.0
    assert float(drawn["stock_start"].sel(birthplace="A", residence="C").max()) == 0.0


def test_a_zero_may_be_a_missing_figure() -> None:
    errors = silent(zeros={"missing": 0.25, "median": 50.0, "sd": 0.5})
    drawn = draw_series(series(), errors, draws=DRAWS)
    found = drawn["stock_start"].sel(birthplace="C", residence="B").values
    there = found[:, 0] > 0.0
    near(there.mean(), 0.25, 0.43)
    assert np.median(found[there, 0]) == pytest.approx(50.0, rel=0.2)
    np.testing.assert_array_equal(there, found[:, 1] > 0.0)


def test_a_zero_among_figures_is_filled_from_the_nearest_date() -> None:
    people = np.array([[0.0, 5.0], [0.0, 0.0], [30.0, 7.0]])
    told = _nearest_figure(people, np.array([2000.0, 2004.0, 2010.0]))
    np.testing.assert_array_equal(told, [[30.0, 5.0], [30.0, 5.0], [30.0, 7.0]])
    gone = STOCK.copy()
    gone[1, 0] = 0.0
    pair = [xr.DataArray(gone, coords=CODES), *tables(2)]
    errors = silent(zeros={"missing": 1.0})
    drawn = draw_series(account_series(pair, dates=DATES), errors, draws=1)
    first = drawn["stock_start"][0, 0].sel(residence="A")
    odds = float(first.sel(birthplace="B") / first.sel(birthplace="A"))
    assert odds == pytest.approx(STOCK[1, 0] / STOCK[0, 0])


def test_people_whom_no_table_tells_are_less_certain() -> None:
    told = tables()
    for table in told:
        table[1, 0] = 0.0
    errors = silent(shared_out={"sd": 0.6})
    data = account_series(tables(), dates=DATES, told=told)
    assert data["shared_out"].values.sum() == 1
    odds = log_odds(draw_series(data, errors, draws=DRAWS))[:, 0]
    assert odds[:, 1, 0].std() == pytest.approx(0.6, rel=LOOSE)
    assert np.ptp(odds[:, 2, 0]) < 1e-9


# --- seeds and chunks ----------------------------------------------------------------------------


def test_a_draw_is_the_same_whichever_others_are_made() -> None:
    whole = draw_series(series(), draws=7)
    again = xr.concat(
        [draw_series(series(), draws=3), draw_series(series(), draws=4, first=3)],
        "draw", data_vars="minimal",
    )  # fmt: skip
    xr.testing.assert_identical(whole, again)


def test_another_seed_is_another_draw() -> None:
    one, two = (draw_series(series(), draws=2, seed=seed) for seed in (1, 2))
    assert not np.isclose(one["stock_start"][0], two["stock_start"][0]).all()
    assert not np.isclose(one["stock_start"][0], one["stock_start"][1]).all()


def test_a_shared_date_is_one_draw() -> None:
    drawn = draw_series(series(), draws=5)
    np.testing.assert_array_equal(drawn["stock_end"][:, 0], drawn["stock_start"][:, 1])
    assert np.shares_memory(drawn["stock_end"].values, drawn["stock_start"].values)


def test_two_tables_give_one_period() -> None:
    first, then = tables(2)
    drawn = draw_accounts(first, then, draws=3, dates=(DATES[0], DATES[1]))
    assert drawn["stock_start"].dims == ("draw", "birthplace", "residence")
    alone = draw_series(account_series([first, then], dates=DATES[:2]), draws=3)
    np.testing.assert_array_equal(drawn["stock_end"], alone["stock_end"][:, 0])
    assert demographic_flows(*(drawn[n] for n in ("stock_start", "stock_end"))).sizes["draw"] == 3


def test_dates_matter_to_errors_that_fade() -> None:
    near_by = account_series(tables(2), dates=["2000-07-01", "2001-07-01"])
    far = account_series(tables(2), dates=["2000-07-01", "2020-07-01"])
    error = {"coverage": {"medium": {"sd": 0.2, "persistent": 0.0, "correlation": 0.9}}}
    spread = []
    for data in (near_by, far):
        odds = log_odds(draw_series(data, silent(**error), draws=1000))[:, :, 0, 1]
        spread.append((odds[:, 1] - odds[:, 0]).std())
    assert spread[1] > 1.5 * spread[0]


# --- series --------------------------------------------------------------------------------------


def test_tables_may_list_places_in_another_order() -> None:
    turned = [tables()[0], *(t.isel(birthplace=[2, 0, 1], residence=[1, 2, 0])
                             for t in tables()[1:])]  # fmt: skip
    xr.testing.assert_identical(
        account_series(turned, dates=DATES), account_series(tables(), dates=DATES)
    )


def test_faults_of_every_period_are_told() -> None:
    wrong = tables()
    wrong[1][0, 0] = -5.0
    births = [xr.DataArray([1.0, 2.0], coords={"place": ["A", "B"]})] * 2
    with pytest.raises(InputError) as caught:
        account_series(wrong, births, births)
    told = str(caught.value)
    assert "period 1, births" in told
    assert "period 2, births" in told
    wrong = tables()
    wrong[2][0, 0] = -5.0
    with pytest.raises(InputError, match="period 2, stocks at the end"):
        account_series(wrong)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stocks": tables(1)}, "two or more"),
        ({"dates": DATES[:2]}, "3 for 3 tables"),
        ({"dates": DATES[::-1]}, "later and later"),
        ({"dates": ["2000", "soon", "later"]}, "dates"),
        ({"told": tables(2)}, "as the stocks"),
        ({"births": [], "deaths": []}, "2 for 3 tables"),
    ],
)
def test_a_series_that_does_not_fit_is_refused(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"stocks": tables(), "dates": DATES, **change}
    with pytest.raises(UsageError, match=said):
        account_series(given.pop("stocks"), **given)


def test_draws_are_no_tables() -> None:
    many = [t.expand_dims(draw=2) for t in tables()]
    with pytest.raises(UsageError, match="without draws"):
        account_series(many)


def test_a_quality_of_a_place_without_stocks_is_a_fault() -> None:
    with pytest.raises(InputError, match="AA, no place of the stocks"):
        draw_series(series(), StockErrors(places={"AA": {"quality": "low"}}), draws=1)


def test_years_of_sources_need_dates() -> None:
    errors = StockErrors(places={"A": {"vintage": [2001]}})
    with pytest.raises(UsageError, match="dates"):
        draw_series(account_series(tables()), errors, draws=1)


def test_a_place_that_dies_out_in_a_draw_is_refused_by_name() -> None:
    deaths = [xr.DataArray([3e5, 2e5, 6.9e6], coords={"place": PLACES})] * 2
    data = account_series(tables(), deaths, deaths, dates=DATES)
    with pytest.raises(InputError, match=r"draw \d+, [ABC]\) \| found -.+coherent: false"):
        draw_series(data, silent(coherent=True, births={"medium": {"sd": 2.5}}), draws=50)


@pytest.mark.parametrize("given", [{"draws": 0}, {"draws": 1, "first": -1}])
def test_no_draw_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="draws"):
        draw_series(series(), **given)  # type: ignore[arg-type]


def test_a_place_without_native_born_has_no_population_either() -> None:
    abroad = STOCK * (1.0 - np.eye(3))
    drawn = draw_accounts(*tables(2, abroad), draws=2, errors=silent(
        coverage={"medium": {"bias": 0.5, "sd": 0.0}}))  # fmt: skip
    np.testing.assert_allclose(drawn["stock_start"][0], np.exp(0.5) * abroad)
