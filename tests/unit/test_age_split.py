"""Flows split by age and sex, reconciled, rounded."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    age_shares,
    pair_draws,
    reconcile_parts,
    round_keeping_sums,
    split_blocks,
    split_by_age,
    split_by_sex,
)
from flowcast.errors import InputError, UsageError

PLACES = ["A", "B", "NA"]
FLOWS = xr.DataArray(
    [[0.0, 120.0, 30.0], [50.0, 0.0, 3.0], [7.0, 0.4, 0.0]],
    {"origin": PLACES, "destination": PLACES},
    name="flow",
)
AGES = ["0-19", "20-39", "40+"]
SHARES = xr.DataArray([0.25, 0.5, 0.25], {"age": AGES})
SEXES = xr.DataArray([0.4, 0.6], {"sex": ["female", "male"]})


def test_each_flow_is_multiplied_by_its_shares() -> None:
    by_origin = xr.DataArray(
        [[0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]], {"origin": PLACES, "age": AGES}
    )
    parts = split_by_age(FLOWS, by_origin[[2, 0, 1]])
    assert parts.dims == ("origin", "destination", "age")
    assert parts.sel(origin="A", destination="B").to_numpy().tolist() == [24.0, 60.0, 36.0]
    np.testing.assert_allclose(parts.sel(origin="NA", destination="A"), [2.1, 2.1, 2.8])
    np.testing.assert_allclose(parts.sum("age"), FLOWS, rtol=1e-14)
    assert parts.name == "flow"


def test_ages_may_differ_by_sex() -> None:
    ages = xr.DataArray(
        [[0.3, 0.4, 0.3], [0.2, 0.6, 0.2]], {"sex": ["female", "male"], "age": AGES}
    )
    parts = split_by_age(split_by_sex(FLOWS, SEXES), ages)
    assert parts.dims == ("origin", "destination", "age", "sex")
    cell = parts.sel(origin="A", destination="NA")
    np.testing.assert_allclose(cell.sel(sex="female"), 12.0 * np.array([0.3, 0.4, 0.3]))
    np.testing.assert_allclose(cell.sel(sex="male"), 18.0 * np.array([0.2, 0.6, 0.2]))
    other = split_by_sex(split_by_age(FLOWS, SHARES), SEXES)
    np.testing.assert_allclose(other.sum(("age", "sex")), FLOWS, rtol=1e-14)


def test_cells_that_do_not_exist_stay_so() -> None:
    parts = split_by_age(FLOWS.where(FLOWS > 1.0), SHARES)
    assert np.isnan(parts.sel(origin="NA", destination="B")).all()
    assert float(parts.sum()) == pytest.approx(210.0)


def test_corridors_of_estimates_keep_their_coordinates() -> None:
    draws = xr.DataArray(
        np.ones((2, 5, 3, 1)),
        {"origin": ("corridor", PLACES), "period": [0]},
        ("chain", "draw", "corridor", "period"),
    )
    parts = split_by_age(draws, SHARES)
    assert parts.dims == ("chain", "draw", "corridor", "period", "age")
    assert parts["origin"].to_numpy().tolist() == PLACES


@pytest.mark.parametrize(
    ("flows", "shares", "said"),
    [
        (FLOWS, SHARES * 1.1, "found 1.1 in all; allowed: shares by age that add up to 1"),
        (FLOWS, SHARES - 0.3, "(shares) | found -0.05 at age 0-19"),
        (FLOWS, SHARES.rename(age="ages"), "(shares) | found dims (ages)"),
        (FLOWS, SHARES.expand_dims(place=PLACES), "(shares) | found dims (place, age)"),
        (FLOWS, SHARES.expand_dims(origin=["A", "B", "C"]), "(shares) | found no origin NA"),
        (-FLOWS, SHARES, "(flows) | found -120 at origin A, destination B and 5 more"),
        (FLOWS / 0.0, SHARES, "(flows) | found inf"),
        (FLOWS.expand_dims(age=AGES), SHARES, "flows that are not yet split by age"),
    ],
)
def test_shares_and_flows_that_are_none(
    flows: xr.DataArray, shares: xr.DataArray, said: str
) -> None:
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(InputError) as caught:
        split_by_age(flows, shares)
    assert said in str(caught.value)


# Draws


def test_as_many_draws_are_paired_one_to_one() -> None:
    flows = xr.DataArray([[1.0], [10.0]], {"draw": [5, 6], "origin": ["A"]})
    shares = xr.DataArray([[0.25, 0.75], [0.5, 0.5]], {"draw": [0, 1], "age": ["0-39", "40+"]})
    parts = split_by_age(flows, shares)
    assert parts["draw"].to_numpy().tolist() == [5, 6]
    assert parts[:, 0].to_numpy().tolist() == [[0.25, 0.75], [5.0, 5.0]]


def test_chains_and_draws_are_paired_evenly() -> None:
    shares = xr.DataArray(np.arange(12.0).reshape(2, 6, 1), dims=("chain", "draw", "age"))
    flows = xr.DataArray(np.zeros((2, 2)), {"draw": [0, 9]}, ("chain", "draw"))
    paired = pair_draws(shares, flows)
    assert paired.dims == ("chain", "draw", "age")
    assert paired[..., 0].to_numpy().tolist() == [[1.0, 4.0], [7.0, 10.0]]
    assert paired["draw"].to_numpy().tolist() == [0, 9]
    more = pair_draws(shares[0], xr.DataArray(np.zeros(14), dims="draw"))
    assert more[:, 0].to_numpy().tolist() == [*range(6), *range(6), 0, 1]


def test_uncertain_schedules_widen_the_parts() -> None:
    rng = np.random.default_rng(1)
    flows = xr.DataArray(rng.lognormal(5.0, 0.2, 400), dims="draw")
    mu2 = xr.DataArray(rng.normal(20.0, 3.0, 400), dims="draw")
    schedule = Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu2})
    parts = split_by_age(flows, age_shares(schedule, FIVE_YEAR_AGES))
    fixed = split_by_age(flows, age_shares(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES))
    np.testing.assert_allclose(parts.sum("age"), flows, rtol=1e-12)
    assert float(parts.std("draw").sel(age="15-19")) > 1.5 * float(
        fixed.std("draw").sel(age="15-19")
    )


def test_draws_of_shares_alone_make_draws() -> None:
    shares = xr.DataArray([[0.25, 0.75], [0.5, 0.5]], dims=("draw", "age"))
    assert split_by_age(FLOWS, shares).dims == ("draw", "origin", "destination", "age")
    with pytest.raises(UsageError, match="a dim chain or draw in both"):
        pair_draws(shares, FLOWS)


@pytest.mark.parametrize("block_bytes", [1, 1000, 2**28])
def test_blocks_are_the_whole(block_bytes: int) -> None:
    rng = np.random.default_rng(3)
    flows = FLOWS * xr.DataArray(rng.uniform(0.5, 2.0, (2, 7)), dims=("chain", "draw"))
    mu2 = xr.DataArray(rng.normal(20.0, 3.0, (3, 2)), dims=("draw", "sex"))
    schedule = Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu2.assign_coords(sex=SEXES["sex"])})
    shares = age_shares(schedule, FIVE_YEAR_AGES).assign_coords(sex=SEXES["sex"])
    parts = list(split_blocks(flows, shares, SEXES, block_bytes=block_bytes))
    whole = split_by_age(split_by_sex(flows, SEXES), shares)
    xr.testing.assert_allclose(xr.concat(parts, "draw"), whole)
    one = 8 * 2 * 9 * 18 * 2
    assert all(part.nbytes <= max(one, block_bytes) for part in parts)
    assert len(parts) == (1 if block_bytes > 7 * one else 7)


def test_blocks_need_draws_and_something_to_split_by() -> None:
    for given in ((FLOWS, SHARES), (FLOWS.expand_dims(draw=2),)):
        with pytest.raises(UsageError, match="found no draws, or nothing to split by"):
            next(split_blocks(*given))


# Parts that were estimated apart


def by_sex(factor: float = 1.1) -> xr.DataArray:
    return split_by_sex(FLOWS, SEXES) * xr.DataArray([factor, 0.7], {"sex": ["female", "male"]})


def test_parts_are_scaled_to_the_flow_of_both() -> None:
    parts = reconcile_parts(by_sex(), FLOWS)
    np.testing.assert_allclose(parts.sum("sex"), FLOWS, rtol=1e-13)
    cell = parts.sel(origin="A", destination="B").to_numpy()
    np.testing.assert_allclose(cell, 120.0 * np.array([0.44, 0.42]) / 0.86)


def test_parts_are_raked_to_ages_and_sexes() -> None:
    rng = np.random.default_rng(4)
    seed = split_by_age(split_by_sex(FLOWS, SEXES), SHARES)
    seed = seed * rng.uniform(0.5, 2.0, seed.shape)
    ages = split_by_age(FLOWS, SHARES) * 1.3
    parts = reconcile_parts(seed, FLOWS, {"age": ages, "sex": by_sex()})
    np.testing.assert_allclose(parts.sum(("age", "sex")), FLOWS, atol=1e-9)
    np.testing.assert_allclose(parts.sum("sex"), split_by_age(FLOWS, SHARES), atol=1e-9)
    np.testing.assert_allclose(parts.sum("age"), reconcile_parts(by_sex(), FLOWS), atol=1e-9)
    cell = dict(origin="A", destination="B")

    def odds(table: xr.DataArray) -> Any:  # noqa: ANN401
        t = table.sel(cell).to_numpy()
        return t[0, 0] * t[1, 1] / (t[0, 1] * t[1, 0])

    assert odds(parts) == pytest.approx(odds(seed))


@pytest.mark.parametrize(
    ("parts", "flows", "said"),
    [
        (by_sex().where(FLOWS != 3.0, 0.0), FLOWS, "found nobody at origin B, destination NA"),
        (by_sex(-1.0), FLOWS, "(parts) | found -48"),
        (by_sex().isel(origin=[0, 1]), FLOWS, "(parts) | found no origin NA"),
        (FLOWS, FLOWS, "found parts by nothing; allowed: parts by age, sex or both"),
        (by_sex().rename(sex="skill"), FLOWS, "found parts by skill"),
        (by_sex(), -FLOWS, "(flows) | found -"),
    ],
)
def test_parts_that_are_none(parts: xr.DataArray, flows: xr.DataArray, said: str) -> None:
    with pytest.raises(InputError) as caught:
        reconcile_parts(parts, flows)
    assert said in str(caught.value)


# Whole persons


def test_systematic_rounding_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cumulative sums .4, 1.3, 3 and a start of .65: whole parts 1, 1, 3."""

    class Start:
        def random(self, n: int) -> np.ndarray:
            return np.full(n, 0.65)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Start())
    parts = xr.DataArray([[0.4, 0.9, 1.7]], dims=("corridor", "age"))
    assert round_keeping_sums(parts, "age", seed=1).to_numpy().tolist() == [[1.0, 0.0, 2.0]]


def test_systematic_rounding_is_right_on_average() -> None:
    """1,000 migrants, each of a corridor of its own, have the ages that the shares say."""
    alone = xr.DataArray(np.ones(20_000), dims="corridor")
    shares = age_shares(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES)
    parts = round_keeping_sums(split_by_age(alone, shares), "age", seed=7)
    found, sd = parts.mean("corridor"), np.sqrt(shares * (1.0 - shares) / 20_000)
    assert float(abs((found - shares) / sd).max()) < 3.5
    together = round_keeping_sums(split_by_age(alone, shares), "age", method="largest")
    assert float(together.sum("corridor").max()) == 20_000.0


def test_neighbouring_ages_are_less_than_a_person_off() -> None:
    rng = np.random.default_rng(2)
    flows = xr.DataArray(np.round(rng.lognormal(2.0, 2.0, 500)), dims="corridor")
    parts = split_by_age(flows, age_shares(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES))
    off = (round_keeping_sums(parts, "age", seed=3) - parts).to_numpy()
    runs = np.cumsum(np.c_[np.zeros(500), off], axis=1)
    assert np.abs(runs[:, :, None] - runs[:, None, :]).max() < 1.0


def test_a_sum_that_is_not_whole_becomes_a_neighbour() -> None:
    whole = round_keeping_sums(FLOWS * 0.97, ("origin", "destination"), seed=5)
    assert float(abs(whole.sum() - (FLOWS * 0.97).sum())) < 1.0
    assert (whole == whole.round()).all()
    assert whole.dims == FLOWS.dims


def test_ties_go_to_the_first() -> None:
    parts = xr.DataArray([0.5, 0.5, 0.5, 0.5], dims="age")
    found = round_keeping_sums(parts, "age", method="largest")
    assert found.to_numpy().tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_seed_is_all_that_matters() -> None:
    parts = split_by_age(FLOWS, SHARES)
    first, second = (round_keeping_sums(parts, "age", seed=4) for _ in range(2))
    xr.testing.assert_identical(first, second)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "found no seed with systematic"),
        ({"method": "largest", "seed": 1}, "found a seed with largest"),
        ({"method": "biggest"}, "found 'biggest'; allowed: systematic, largest"),
    ],
)
def test_rounding_options_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        round_keeping_sums(FLOWS, "origin", **options)
    assert said in str(caught.value)


def test_tables_that_cannot_be_rounded() -> None:
    with pytest.raises(InputError, match="found dims"):
        round_keeping_sums(FLOWS, "age", seed=1)
    with pytest.raises(InputError, match="found -120"):
        round_keeping_sums(-FLOWS, "origin", seed=1)
