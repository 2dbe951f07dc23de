"""Age groups, curves of model schedules, their averages and what they look like."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.special import gamma, gammainc

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    age_profile,
    age_rates,
    age_shares,
    group_rates,
    schedule_features,
    schedule_indices,
)
from flowcast.accounting._age_curves import PARAMETERS, VARIANTS, slopes, variant_of
from flowcast.accounting._age_groups import age_groups, parse_age
from flowcast.errors import InputError

RETIREMENT = {"a3": 0.004, "alpha3": 0.3, "mu3": 64.0, "lambda3": 0.4}
UPSLOPE = {"a4": 0.0002, "lambda4": 0.05}
BY_VARIANT = {
    7: {**STANDARD_SCHEDULE},
    9: {**STANDARD_SCHEDULE, **UPSLOPE},
    11: {**STANDARD_SCHEDULE, **RETIREMENT},
    13: {**STANDARD_SCHEDULE, **RETIREMENT, **UPSLOPE},
}


def rate(x: float, **p: float) -> float:
    """Return the formula of the paper, written out."""
    value = p["a1"] * np.exp(-p["alpha1"] * x) + p["c"]
    for k in ("2", "3"):
        if f"a{k}" in p:
            gone = x - p[f"mu{k}"]
            value += p[f"a{k}"] * np.exp(-p[f"alpha{k}"] * gone - np.exp(-p[f"lambda{k}"] * gone))
    if "a4" in p:
        value += p["a4"] * np.exp(p["lambda4"] * x)
    return float(value)


# Groups


def test_labels_are_completed_years() -> None:
    groups = age_groups(["0", 1, "2-4", "5-14", "15+"])
    assert groups.lower.tolist() == [0.0, 1.0, 2.0, 5.0, 15.0]
    assert groups.upper.tolist() == [1.0, 2.0, 5.0, 15.0, 100.0]
    assert groups.width.tolist() == [1.0, 1.0, 3.0, 10.0, 85.0]


def test_an_open_group_has_five_years_at_least() -> None:
    assert age_groups(["0-98", "99+"]).upper[-1] == 104.0
    assert age_groups(["0-79", "80+"], highest=95).upper[-1] == 95.0


def test_the_groups_of_most_publications() -> None:
    groups = age_groups(FIVE_YEAR_AGES)
    assert len(groups.labels) == 18
    assert groups.lower[-1] == 85.0


@pytest.mark.parametrize("label", ["", "young", "5-4", "-1", "4-", "+85", "0-4-9", "1000"])
def test_labels_that_are_none(label: str) -> None:
    assert parse_age(label) is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["0-4", "5 to 9", "10+"], "found '5 to 9'; allowed: completed years, as 0, 0-4 or 85+; "
         "did you mean 5-9?"),
        (["0\u20134", "5+"], "did you mean 0-4?"),
        (["0-4", "85 and over"], "did you mean 85+?"),
        (["0-4", "10+"], "found 0-4 and then 10+; allowed: groups that neither overlap nor"),
        (["0-4", "4+"], "found 0-4 and then 4+"),
        (["0-4", "5+", "85+"], "found 5+ and then 85+"),
        ([0, 5, 10, 15], "did you mean 0-4?"),
        (["0-4", "0-4"], "found 0-4 and then 0-4"),
        ([], "found no ages"),
    ],
)  # fmt: skip
def test_groups_that_are_none(labels: list[object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        age_groups(labels)
    assert said in str(caught.value)


def test_every_label_that_is_none_is_told() -> None:
    with pytest.raises(InputError) as caught:
        age_groups(["a", "b", "0-4"])
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize("labels", [["15-64", "65+"], ["0-14", "15-64"]])
def test_whole_groups_hold_all_ages(labels: list[str]) -> None:
    age_groups(labels)
    with pytest.raises(InputError, match="allowed: all ages"):
        age_groups(labels, whole=True)


# Curves


@pytest.mark.parametrize("n", VARIANTS)
def test_rates_are_those_of_the_formula(n: int) -> None:
    ages = [0.0, 0.5, 17.3, 23.0, 64.9, 99.0]
    found = age_rates(Schedule.of(**BY_VARIANT[n]), ages)
    wanted = [rate(x, **BY_VARIANT[n]) for x in ages]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.parametrize("n", VARIANTS)
def test_groups_are_averages_of_the_curve(n: int) -> None:
    ages = ["0", "1-4", *FIVE_YEAR_AGES[1:]]
    groups = age_groups(ages)
    wanted = [
        quad(rate_of(n), low, high, epsabs=1e-13, epsrel=1e-12)[0] / (high - low)
        for low, high in zip(groups.lower, groups.upper, strict=True)
    ]
    np.testing.assert_allclose(group_rates(Schedule.of(**BY_VARIANT[n]), ages), wanted, rtol=1e-9)


def rate_of(n: int):  # noqa: ANN201
    return lambda x: rate(x, **BY_VARIANT[n])


@pytest.mark.parametrize(("lamb", "tolerance"), [(0.3, 1e-14), (1.0, 1e-13), (2.0, 1e-9)])
def test_the_labour_force_curve_has_its_closed_form(lamb: float, tolerance: float) -> None:
    """Its integral is an incomplete gamma function of exp(-lambda (x - mu))."""
    p = {**STANDARD_SCHEDULE, "a1": 0.0, "c": 0.0, "a2": 1.0, "lambda2": lamb}
    groups = age_groups([*map(str, range(40)), "40+"])
    shape = p["alpha2"] / lamb
    t_low, t_high = (np.exp(-lamb * (x - p["mu2"])) for x in (groups.lower, groups.upper))
    area = gamma(shape) / lamb * (gammainc(shape, t_low) - gammainc(shape, t_high))
    found = group_rates(Schedule.of(**p), groups.labels)
    np.testing.assert_allclose(found, area / groups.width, rtol=0.0, atol=tolerance)


def test_a_group_is_not_its_middle() -> None:
    p = {**STANDARD_SCHEDULE}
    average = float(group_rates(Schedule.of(**p), ["15-19"])[0])
    assert abs(average / rate(17.5, **p) - 1.0) > 0.05


@pytest.mark.parametrize("n", VARIANTS)
def test_slopes_are_derivatives(n: int) -> None:
    names = VARIANTS[n]
    theta = np.array([BY_VARIANT[n][name] for name in names])
    x = np.array([0.0, 3.0, 18.0, 25.0, 60.0, 66.0, 90.0])
    value, slope = slopes(names, theta, x)
    np.testing.assert_allclose(value, [rate(age, **BY_VARIANT[n]) for age in x])
    for k in range(n):
        step = 1e-6 * theta[k]
        up, down = theta.copy(), theta.copy()
        up[k] += step
        down[k] -= step
        number = (slopes(names, up, x)[0] - slopes(names, down, x)[0]) / (2 * step)
        np.testing.assert_allclose(slope[:, k], number, rtol=1e-6, atol=1e-9)


def test_ages_far_from_a_curve_do_not_overflow() -> None:
    steep = {**STANDARD_SCHEDULE, "mu2": 60.0, "lambda2": 40.0}
    assert np.isfinite(age_rates(Schedule.of(**steep), [0.0, 100.0])).all()


def test_variants_by_their_parameters() -> None:
    assert {n: len(names) for n, names in VARIANTS.items()} == {7: 7, 9: 9, 11: 11, 13: 13}
    assert set(PARAMETERS) == set(VARIANTS[13])
    assert variant_of([*VARIANTS[7], "a4"]) is None
    assert variant_of([*VARIANTS[7], "c"]) is None


# Schedules


def test_parameters_may_be_draws_and_places_in_any_order() -> None:
    a1 = xr.DataArray([0.02, 0.03], {"place": ["A", "B"]})
    mu2 = xr.DataArray([19.0, 20.0, 21.0], dims="draw")
    found = Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu2, "a1": a1})
    assert dict(found.values.sizes) == {"draw": 3, "place": 2, "parameter": 7}
    assert found.values["parameter"].to_numpy().tolist() == list(VARIANTS[7])
    shuffled = found.values.isel(parameter=[3, 1, 0, 6, 5, 4, 2])
    xr.testing.assert_equal(Schedule(shuffled).values, found.values)
    alone = Schedule.of(**{**STANDARD_SCHEDULE, "mu2": 21.0, "a1": 0.03})
    some = group_rates(found, FIVE_YEAR_AGES).isel(draw=2, place=1)
    np.testing.assert_allclose(some, group_rates(alone, FIVE_YEAR_AGES))
    assert found.select(place="B").values.sizes == {"draw": 3, "parameter": 7}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"a5": 1.0}, "found parameters a1, alpha1, a2, alpha2, mu2, lambda2, c, a5; allowed"),
        ({"a4": 1.0}, "those of one schedule, 7:"),
        ({"a1": -0.1}, "(a1) | found -0.1 at the only cell; allowed: a number, 0 or more"),
        ({"alpha2": 0.0}, "(alpha2) | found 0 at the only cell; allowed: a number above 0"),
        ({"mu2": np.nan}, "(mu2) | found nan"),
    ],
)
def test_parameters_that_are_none(changes: dict[str, float], said: str) -> None:
    with pytest.raises(InputError) as caught:
        Schedule.of(**{**STANDARD_SCHEDULE, **changes})
    assert said in str(caught.value)


def test_no_parameters_at_all() -> None:
    with pytest.raises(InputError, match="allowed: those of one schedule"):
        Schedule.of()
    with pytest.raises(InputError, match="found parameters none"):
        Schedule(xr.DataArray([1.0], dims="x"))


def test_shares_of_ages() -> None:
    schedule = Schedule.of(**STANDARD_SCHEDULE)
    shares = age_shares(schedule, ["0-19", "20-39", "40+"])
    areas = [quad(rate_of(7), *ages)[0] for ages in ((0, 20), (20, 40), (40, 100))]
    np.testing.assert_allclose(shares, np.array(areas) / sum(areas), rtol=1e-9)


def test_shares_of_people_at_risk() -> None:
    schedule = Schedule.of(**STANDARD_SCHEDULE)
    ages = ["0-19", "20-39", "40+"]
    people = xr.DataArray(
        [[100.0, 50.0, 10.0], [0.0, 0.0, 7.0]], {"origin": ["A", "B"], "age": ages}
    )
    shares = age_shares(schedule, ages, people[:, [2, 0, 1]])
    moves = group_rates(schedule, ages).to_numpy() * people.to_numpy()
    np.testing.assert_allclose(shares, moves / moves.sum(axis=1, keepdims=True))
    assert shares.dims == ("origin", "age")
    assert shares[1].to_numpy().tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("people", "said"),
    [
        (xr.DataArray([1.0, 2.0], {"age": ["0-19", "40+"]}), "no age 20-39"),
        (xr.DataArray([1.0, 2, -3], {"age": ["0-19", "20-39", "40+"]}), "found -3 at age 40+"),
        (xr.DataArray([0.0, 0, 0], {"age": ["0-19", "20-39", "40+"]}), "migrants in some age"),
        (xr.DataArray([1.0], {"sex": ["male"]}), "found dims (sex)"),
    ],
)
def test_people_at_risk_that_are_none(people: xr.DataArray, said: str) -> None:
    with pytest.raises(InputError) as caught:
        age_shares(Schedule.of(**STANDARD_SCHEDULE), ["0-19", "20-39", "40+"], people)
    assert said in str(caught.value)


def test_exact_ages_are_not_negative() -> None:
    with pytest.raises(InputError, match="exact ages, 0 or more"):
        age_rates(Schedule.of(**STANDARD_SCHEDULE), [-1.0])


# What a curve looks like


def straight(ages: list[float], values: list[float]):  # noqa: ANN201
    """Return a curve of straight lines."""
    return lambda p, x: np.interp(x, ages, values)[None]


def test_features_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down from 6 at birth to 2 at 12, up to 10 at 22, down to 1 at 52, flat; by straight lines."""
    line = straight([0, 12, 22, 52, 100], [6, 2, 10, 1, 1])
    monkeypatch.setattr("flowcast.accounting._age_schedules.curve", line)
    found = schedule_features(Schedule.of(**STANDARD_SCHEDULE)).map(float)
    assert found["low_point"] == 12.0
    assert found["high_peak"] == 22.0
    assert found["labour_force_shift"] == 10.0
    assert found["jump"] == 8.0
    # An adult of rate r is 22 + (10 - r) / .3 years old, a child (6 - r) * 3; r = 6 - x / 3.
    children = np.arange(0.0, 12.05, 0.1)
    adults = 22.0 + (10.0 - (6.0 - children / 3.0)) / 0.3
    assert found["parental_shift"] == pytest.approx(float(np.mean(adults - children)), rel=1e-6)
    area = [12 * 4, 10 * 6, 30 * 5.5, 48.0]
    assert found["gross_migraproduction_rate"] == pytest.approx(sum(area), rel=1e-4)
    young = 12 * 4 + 3 * (2 + 4.4) / 2
    assert found["share_0_14"] == pytest.approx(100 * young / sum(area), rel=1e-4)


def test_features_of_the_standard_schedule() -> None:
    schedule = Schedule.of(**STANDARD_SCHEDULE)
    found = schedule_features(schedule).map(float)
    fine = np.linspace(5.0, 60.0, 55_001)
    m = np.array([rate(x, **STANDARD_SCHEDULE) for x in fine])
    assert found["high_peak"] == pytest.approx(fine[m.argmax()], abs=0.051)
    assert found["jump"] == pytest.approx(m.max() - m[: m.argmax()].min(), rel=1e-3)
    assert found["mean_age"] == pytest.approx(
        quad(lambda x: x * rate(x, **STANDARD_SCHEDULE), 0, 100)[0] / quad(rate_of(7), 0, 100)[0],
        rel=1e-6,
    )
    whole = found["share_0_14"] + found["share_15_64"] + found["share_65_plus"]
    assert whole == pytest.approx(100.0)
    for name, value in schedule_indices(STANDARD_SCHEDULE).items():
        assert found[name] == float(value)
    assert "retirement_peak" not in found


def test_features_agree_with_those_of_a_profile() -> None:
    schedule = Schedule.of(**STANDARD_SCHEDULE)
    profile = age_profile(age_rates(schedule, np.arange(0.0, 100.0)))
    found = schedule_features(schedule)
    assert float(profile["peak_age"]) == pytest.approx(float(found["high_peak"]), abs=0.5)


def test_the_retirement_peak_is_where_the_curve_turns_down() -> None:
    found = schedule_features(Schedule.of(**BY_VARIANT[11]))
    fine = np.linspace(55.0, 75.0, 20_001)
    m = np.array([rate(x, **BY_VARIANT[11]) for x in fine])
    assert float(found["retirement_peak"]) == pytest.approx(fine[m.argmax()], abs=0.051)
    none = schedule_features(Schedule.of(**{**BY_VARIANT[11], "a3": 0.0}))
    assert np.isnan(none["retirement_peak"])
    assert np.isnan(none["retirement_dependency"])
    assert float(none["labour_asymmetry"]) == pytest.approx(4.0)


def test_features_of_draws_are_those_of_each() -> None:
    draws = Schedule.of(
        **{**STANDARD_SCHEDULE, "mu2": xr.DataArray([20.0, 25.0], {"draw": [0, 1]})}
    )
    found = schedule_features(draws)
    alone = schedule_features(Schedule.of(**{**STANDARD_SCHEDULE, "mu2": 25.0}))
    xr.testing.assert_allclose(found.sel(draw=1, drop=True), alone)


def test_model_schedules_of_the_united_nations(shared) -> None:  # noqa: ANN001
    """All of these were made to have a gross migraproduction rate of 1 over single ages."""
    table = pd.read_csv(shared / "reference" / "migest" / "rc_model_un.csv")
    for _, rows in table.groupby(["schedule", "sex"]):
        schedule = Schedule.of(**dict(zip(rows["param"], rows["value"], strict=True)))
        found = schedule_features(schedule, highest=80.0)
        assert float(found["gross_migraproduction_rate"]) == pytest.approx(1.0, abs=0.1)
        assert 15.0 < float(found["high_peak"]) < 30.0
