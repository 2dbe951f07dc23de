"""Schedules fitted to tables by age."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import check_grad

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    compare_variants,
    fit_schedules,
    group_rates,
)
from flowcast.accounting._age_curves import VARIANTS
from flowcast.accounting._age_fit import BOUNDS, Profile
from flowcast.accounting._age_groups import age_groups
from flowcast.errors import InputError, UsageError

TRUTH: dict[int, dict[str, float]] = {7: {**STANDARD_SCHEDULE}}
TRUTH[9] = TRUTH[7] | {"a4": 0.0002, "lambda4": 0.05}
TRUTH[11] = TRUTH[7] | {"a3": 0.004, "alpha3": 0.77, "mu3": 70.0, "lambda3": 0.25}
TRUTH[13] = TRUTH[11] | {"a4": 0.0002, "lambda4": 0.05}
SINGLE = [*map(str, range(85)), "85+"]
WIDTH = age_groups(FIVE_YEAR_AGES).width


def rates(n: int = 7, ages: Any = FIVE_YEAR_AGES, **changes: float) -> xr.DataArray:  # noqa: ANN401
    return group_rates(Schedule.of(**TRUTH[n] | changes), ages)


def counts(
    n_people: float = 1e5, n: int = 7, **changes: float
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return expected migrants, and people at risk with more of them at some ages."""
    people = n_people * WIDTH * (1.0 + 0.5 * np.sin(np.arange(18)))
    at_risk = xr.DataArray(people, {"age": list(FIVE_YEAR_AGES)})
    return rates(n, **changes) * at_risk, at_risk


@pytest.mark.parametrize("n", VARIANTS)
@pytest.mark.parametrize("ages", [FIVE_YEAR_AGES, SINGLE], ids=["5-year", "1-year"])
def test_each_curve_is_recovered_from_rates(n: int, ages: Any) -> None:  # noqa: ANN401
    truth = rates(n, ages)
    fit = fit_schedules(truth, kind="rates", n_parameters=n)
    assert float(abs(fit.fitted - truth).max()) < 1e-6 * float(truth.max())
    assert bool(fit.quality["converged"])


@pytest.mark.parametrize("n", VARIANTS)
def test_each_curve_is_recovered_from_counts_and_people_at_risk(n: int) -> None:
    migrants, people = counts(n=n)
    fit = fit_schedules(migrants, people, n_parameters=n)
    assert float(abs(fit.fitted / migrants - 1.0).max()) < 1e-6
    for name, value in TRUTH[n].items():
        assert float(fit.schedule.values.sel(parameter=name)) == pytest.approx(value, rel=1e-3)


def test_without_people_at_risk_the_schedule_is_of_shares() -> None:
    migrants = 700.0 * rates() * xr.DataArray(WIDTH, {"age": list(FIVE_YEAR_AGES)})
    fit = fit_schedules(migrants)
    area = group_rates(fit.schedule, FIVE_YEAR_AGES).to_numpy() @ WIDTH
    assert area == pytest.approx(1.0, abs=1e-9)
    assert float(fit.fitted.sum()) == pytest.approx(float(migrants.sum()))
    np.testing.assert_allclose(fit.fitted, migrants, rtol=1e-6)
    shares = fit_schedules(migrants / migrants.sum(), kind="shares")
    xr.testing.assert_allclose(shares.schedule.values, fit.schedule.values, rtol=1e-6)
    assert np.isnan(shares.quality["bic"])


def test_counts_are_fitted_within_their_error() -> None:
    """The deviance of replicates is that of 18 groups less 7 parameters: 11 on average."""
    migrants, people = counts(3e3)
    rng = np.random.default_rng(8)
    drawn = xr.DataArray(rng.poisson(migrants, (25, 18)), {"age": migrants["age"]}, ["row", "age"])
    fit = fit_schedules(drawn, people)
    assert float(fit.quality["deviance"].mean()) == pytest.approx(11.0, abs=3 * np.sqrt(22 / 25))
    assert bool(fit.quality["converged"].all())
    # The average of the fits is off by less than 2 % of the peak.
    off = abs(fit.fitted.mean("row") - migrants) / people
    assert float(off.max()) < 0.02 * float(rates().max())


def test_a_noisy_fit_is_better_than_the_truth() -> None:
    migrants, people = counts(1e4, n=11)
    drawn = migrants.copy(data=np.random.default_rng(2).poisson(migrants))
    profile = Profile(drawn.to_numpy().astype(float), people.to_numpy())
    truth = profile.residuals(rates(11).to_numpy())[0]
    fit = fit_schedules(drawn, people, n_parameters=11)
    assert float(fit.quality["deviance"]) <= float(truth @ truth)


@pytest.mark.parametrize("ratio", [1e-4, 0.3, 1.0 - 1e-5, 1.0, 1.0 + 1e-5, 1.001, 40.0])
def test_residuals_are_roots_of_the_deviance(ratio: float) -> None:
    count, people = np.array([9.0, 0.0]), np.array([100.0, 50.0])
    rate = np.array([0.09 * ratio, 0.01 * ratio])
    root, slope = Profile(count, people).residuals(rate)
    mean = rate * people
    wanted = 2.0 * (9.0 * np.log(9.0 / mean[0]) - (9.0 - mean[0])), 2.0 * mean[1]
    np.testing.assert_allclose(root**2, wanted, rtol=1e-6, atol=1e-15)

    def one(k: int, x: np.ndarray) -> float:
        both = rate.copy()
        both[k] = x[0]
        return float(Profile(count, people).residuals(both)[0][k])

    for k in (0, 1):
        off = check_grad(
            lambda x, k=k: one(k, x), lambda x, k=k: np.array([slope[k]]), rate[k : k + 1],
            epsilon=1e-7 * rate[k],
        )  # fmt: skip
        assert off < 1e-4 * abs(slope[k])


def test_places_are_fitted_apart() -> None:
    first, second = rates(), rates(mu2=26.0, a1=0.03)
    both = xr.concat([first, second], xr.Variable("place", ["A", "B"]))
    fit = fit_schedules(both, kind="rates")
    assert fit.schedule.values.dims == ("place", "parameter")
    np.testing.assert_allclose(fit.schedule.values.sel(parameter="mu2"), [20.0, 26.0], rtol=1e-6)
    assert fit.quality["at_bound"].dims == ("place", "parameter")
    alone = fit_schedules(second, kind="rates")
    xr.testing.assert_allclose(fit.schedule.select(place="B").values.drop_vars("place"),
                               alone.schedule.values)  # fmt: skip


def test_a_curve_that_is_not_there_has_height_0_and_is_told() -> None:
    fit = fit_schedules(rates(a1=0.0), kind="rates")
    assert bool(fit.quality["at_bound"].sel(parameter="a1"))
    assert not bool(fit.quality["at_bound"].sel(parameter="a2"))
    np.testing.assert_allclose(fit.fitted, rates(a1=0.0), atol=1e-8)


def test_groups_without_migrants_and_ages_without_people() -> None:
    migrants, people = counts()
    migrants[-2:], people[-1] = 0.0, 0.0
    fit = fit_schedules(migrants.round(), people)
    assert bool(fit.quality["converged"])
    assert float(fit.fitted[-1]) == 0.0


def test_weights_say_which_ages_matter() -> None:
    bent = rates()
    bent[0] *= 3.0
    weights = xr.DataArray(np.r_[1e-6, np.ones(17)], {"age": list(FIVE_YEAR_AGES)})
    plain, weighed = (
        fit_schedules(bent, kind="rates"),
        fit_schedules(bent, kind="rates", weights=weights),
    )
    off = abs(weighed.fitted - rates())[1:].max(), abs(plain.fitted - rates())[1:].max()
    assert float(off[0]) < 0.1 * float(off[1])


def test_ages_may_end_before_the_last() -> None:
    """Of people aged 15 to 64 alone."""
    ages = FIVE_YEAR_AGES[3:13]
    table = 1e4 * rates(ages=ages)
    fit = fit_schedules(table)
    np.testing.assert_allclose(fit.fitted, table, rtol=1e-5)


def test_variants_are_compared_and_none_is_chosen() -> None:
    migrants, people = counts(1e5, n=11, a3=0.02)
    drawn = migrants.copy(data=np.random.default_rng(5).poisson(migrants))
    found = compare_variants(drawn, people)
    assert found["n_parameters"].to_numpy().tolist() == [7, 9, 11, 13]
    assert int(found["bic"].idxmin("n_parameters")) == 11
    bic = found["deviance"] + found["n_parameters"] * np.log(18)
    np.testing.assert_allclose(found["bic"], bic)
    # More parameters never fit worse, but for what the search does not find.
    assert float(found["deviance"].sel(n_parameters=13)) <= float(
        found["deviance"].sel(n_parameters=7)
    )
    with pytest.raises(UsageError, match="found shares"):
        compare_variants(drawn / drawn.sum(), kind="shares")


def test_no_bound_is_where_schedules_are() -> None:
    for names in TRUTH.values():
        for name, value in names.items():
            if name in BOUNDS:
                low, high = BOUNDS[name]
                assert low < value < high


MIGRANTS, PEOPLE = counts()


@pytest.mark.parametrize(
    ("table", "people", "said"),
    [
        (MIGRANTS[:6], None, "found 6 age groups; allowed: 7 or more, one for each parameter"),
        (MIGRANTS * 0.0, None, "found a table without migrants; allowed"),
        (-MIGRANTS, None, "(table) | found -"),
        (MIGRANTS.where(MIGRANTS["age"] != "5-9"), None, "found nan at age 5-9"),
        (MIGRANTS.drop_sel(age="5-9"), None, "found 0-4 and then 10-14"),
        (MIGRANTS.drop_vars("age"), None, "found no labels; allowed: age groups"),
        (MIGRANTS.rename(age="ages"), None, "found dims (ages); allowed: dims age"),
        (MIGRANTS, PEOPLE.where(PEOPLE["age"] != "5-9", 0.0), "found nobody at risk, but migrants"),
        (MIGRANTS, PEOPLE[:-1], "(population) | found no age 85+"),
        (MIGRANTS, PEOPLE.expand_dims(place=2), "(population) | found dims (place, age)"),
        (MIGRANTS.expand_dims(place=["A", "B"]) * xr.DataArray([1, 0], dims="place"), None,
         "found a table without migrants at place B"),
    ],
)  # fmt: skip
def test_tables_that_are_none(table: xr.DataArray, people: xr.DataArray | None, said: str) -> None:
    with pytest.raises(InputError) as caught:
        fit_schedules(table, people)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_parameters": 8}, "found 8; allowed: 7, 9, 11, 13"),
        ({"kind": "flows"}, "found 'flows'; allowed: counts, rates, shares"),
        ({"kind": "rates", "population": PEOPLE}, "(population) | found it with rates"),
        ({"weights": PEOPLE}, "(weights) | found them with counts"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        fit_schedules(MIGRANTS, **options)
    assert said in str(caught.value)


def test_weights_that_are_none() -> None:
    with pytest.raises(InputError, match=r"found 0 at age 0-4, .* allowed: a number above 0"):
        fit_schedules(rates(), kind="rates", weights=xr.zeros_like(rates()))
