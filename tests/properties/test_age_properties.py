"""What holds of ages and sexes for any flows: sums, signs, order, units, whole persons."""

import numpy as np
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    age_shares,
    fit_schedules,
    group_rates,
    reconcile_parts,
    round_keeping_sums,
    split_by_age,
    split_by_sex,
)

few = settings(max_examples=40)
fewer = settings(max_examples=6)
persons = st.one_of(st.just(0.0), st.floats(1e-3, 1e7))
fractions = st.floats(0.01, 1.0)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Return a schedule as populations have them."""
    return Schedule.of(
        a1=draw(st.floats(0.005, 0.04)),
        alpha1=draw(st.floats(0.05, 0.2)),
        a2=draw(st.floats(0.03, 0.1)),
        alpha2=draw(st.floats(0.05, 0.15)),
        mu2=draw(st.floats(16.0, 30.0)),
        lambda2=draw(st.floats(0.2, 0.7)),
        c=draw(st.floats(0.001, 0.006)),
    )


@st.composite
def tables(draw: st.DrawFn) -> xr.DataArray:
    n = draw(st.integers(1, 4))
    values = draw(hnp.arrays(np.float64, (n, n), elements=persons))
    places = [f"P{k}" for k in range(n)]
    return xr.DataArray(values, {"origin": places, "destination": places})


def shares_of(weights: list[float], dim: str) -> xr.DataArray:
    values = np.array(weights)
    return xr.DataArray(values / values.sum(), {dim: [f"{dim} {k}" for k in range(len(weights))]})


weights = st.lists(fractions, min_size=1, max_size=20)


@few
@given(tables(), weights, st.lists(fractions, min_size=2, max_size=3))
def test_parts_add_up_and_none_is_negative(
    flows: xr.DataArray, ages: list[float], sexes: list[float]
) -> None:
    parts = split_by_age(split_by_sex(flows, shares_of(sexes, "sex")), shares_of(ages, "age"))
    assert float(parts.min()) >= 0.0
    off = abs(parts.sum(("age", "sex")) - flows)
    assert float((off / flows.where(flows > 0.0, 1.0)).max()) < 1e-13
    assert float(off.max()) < 1e-6


@few
@given(tables(), weights, st.integers(0, 100), st.sampled_from(["systematic", "largest"]))
def test_whole_parts_add_up_to_the_person(
    flows: xr.DataArray, ages: list[float], seed: int, method: str
) -> None:
    parts = split_by_age(flows.round(), shares_of(ages, "age"))
    given_seed = seed if method == "systematic" else None
    whole = round_keeping_sums(parts, "age", method=method, seed=given_seed)  # type: ignore[arg-type]
    assert (whole.sum("age") == flows.round()).all()
    assert (whole == np.floor(whole)).all()
    assert float(whole.min()) >= 0.0
    assert float(abs(whole - parts).max()) < 1.0 + 1e-6


@few
@given(tables(), st.integers(0, 100))
def test_a_rounded_table_has_a_neighbouring_total(flows: xr.DataArray, seed: int) -> None:
    whole = round_keeping_sums(flows, ("origin", "destination"), seed=seed)
    assert abs(float(whole.sum() - flows.sum())) < 1.0 + 1e-6


@few
@given(tables(), weights, st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter(
    flows: xr.DataArray, ages: list[float], random: object
) -> None:
    shares = shares_of(ages, "age")
    order = list(range(len(ages)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = split_by_age(flows[::-1], shares[order])
    xr.testing.assert_allclose(other.reindex_like(split_by_age(flows, shares)),
                               split_by_age(flows, shares))  # fmt: skip


@few
@given(tables(), weights, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(flows: xr.DataArray, ages: list[float], factor: float) -> None:
    shares = shares_of(ages, "age")
    xr.testing.assert_allclose(
        split_by_age(flows * factor, shares), split_by_age(flows, shares) * factor
    )


@few
@given(tables(), st.lists(fractions, min_size=2, max_size=3), st.floats(0.1, 10.0))
def test_reconciled_parts_keep_sums_and_ratios(
    flows: xr.DataArray, sexes: list[float], factor: float
) -> None:
    apart = split_by_sex(flows, shares_of(sexes, "sex")) * factor
    parts = reconcile_parts(apart, flows)
    xr.testing.assert_allclose(parts, apart / factor, rtol=1e-9, atol=1e-300)


@few
@given(schedules(), st.integers(1, 17))
def test_groups_add_up_to_wider_groups(schedule: Schedule, cut: int) -> None:
    lower = 5 * cut
    fine = age_shares(schedule, FIVE_YEAR_AGES)
    broad = age_shares(schedule, [f"0-{lower - 1}", f"{lower}+"])
    assert np.isclose(float(broad[0]), float(fine[:cut].sum()), rtol=1e-9)


@few
@given(schedules())
def test_shares_are_positive_and_add_up(schedule: Schedule) -> None:
    shares = age_shares(schedule, FIVE_YEAR_AGES)
    assert float(shares.min()) > 0.0
    assert np.isclose(float(shares.sum()), 1.0, rtol=1e-14)


@fewer
@given(schedules(), st.permutations(range(18)), st.floats(1e-3, 1e6))
def test_a_fit_depends_on_neither_order_nor_unit(
    schedule: Schedule, order: list[int], factor: float
) -> None:
    """Heights follow the unit, and shapes stay as they are."""
    rates = group_rates(schedule, FIVE_YEAR_AGES)
    fit = fit_schedules(factor * rates[order], kind="rates")
    assume(bool(fit.quality["converged"]))
    np.testing.assert_allclose(fit.fitted, factor * rates, rtol=1e-6)
    shape = ["alpha1", "alpha2", "mu2", "lambda2"]
    np.testing.assert_allclose(
        fit.schedule.values.sel(parameter=shape), schedule.values.sel(parameter=shape), rtol=1e-3
    )
    heights = ["a1", "a2", "c"]
    np.testing.assert_allclose(
        fit.schedule.values.sel(parameter=heights),
        factor * schedule.values.sel(parameter=heights),
        rtol=1e-3,
    )


@fewer
@given(st.integers(0, 2**31))
def test_places_do_not_see_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = 300.0 * group_rates(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES)
    drawn = rng.poisson(30.0 * expected, (2, 18)).astype(float) + 1.0
    table = xr.DataArray(drawn, {"age": list(FIVE_YEAR_AGES)}, ("place", "age"))
    both, alone = fit_schedules(table), fit_schedules(table[1])
    np.testing.assert_array_equal(both.schedule.values[1], alone.schedule.values)
