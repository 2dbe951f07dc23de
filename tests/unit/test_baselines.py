"""Baselines against closed forms and known worlds; none sees what it is to predict."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

from flowcast.config import ModelSpec
from flowcast.errors import InputError, UsageError
from flowcast.observations import observations_from_frame
from flowcast.validation import BASELINES, SCHEMES, Scheme, split_folds
from flowcast.validation.baselines import (
    Known,
    check_baselines,
    draw_baseline,
    learners,
    read_baseline_table,
    without_values,
)
from flowcast.validation.baselines.cells import lay_out
from flowcast.validation.baselines.features import build_features
from flowcast.validation.baselines.spread import draws_by_size, imitate
from flowcast.validation.scorecard import score_reports

PLACES = ("AT", "CH", "DE", "FR", "IT", "PL")
SIDES = ("origin", "destination")
PLAIN = ModelSpec(name="plain")
GRAVITY = ModelSpec.model_validate(
    {
        "name": "gravity",
        "process": {"covariates": [{"name": "near", "column": "near", "side": "corridor"}]},
    }
)
LEARNED = ("gravity_ppml", "gravity_fixed_effects", "gradient_boosting", "random_forest")

FloatArray = NDArray[np.float64]


def report(
    origin: str, destination: str, year: int, reporter: str, value: float, **more: str | None
) -> dict[str, Any]:
    return {
        "source": "register", "family": "administrative", "measure": "flow", "origin": origin,
        "destination": destination, "year": year, "reporter": reporter, "value": value, **more,
    }  # fmt: skip


def world(years: range = range(2010, 2018), seed: int = 1, noise: float = 0.15) -> pd.DataFrame:
    """Flows of places of different size, whose reports scatter; the origin has four fifths."""
    rng = np.random.default_rng(seed)
    size = dict(zip(PLACES, np.exp(rng.normal(0.0, 0.8, len(PLACES))), strict=True))
    rows = []
    for o, d in product(PLACES, PLACES):
        if o != d:
            pair = np.exp(rng.normal(0.0, 0.5))
            for year, side in product(years, SIDES):
                mean = 400.0 * size[o] * size[d] * pair * (0.8 if side == "origin" else 1.0)
                value = float(rng.poisson(mean * np.exp(rng.normal(0.0, noise))))
                rows.append(report(o, d, year, side, value))
    return observations_from_frame(pd.DataFrame(rows)).table


def covariates() -> xr.Dataset:
    near = np.array([[float((i + j) % 2) for j in range(len(PLACES))] for i in range(len(PLACES))])
    coords = {"origin": list(PLACES), "destination": list(PLACES)}
    return xr.Dataset({"near": (("origin", "destination"), near)}, coords)


def known(
    fitted: pd.DataFrame, held_out: pd.DataFrame, spec: ModelSpec = GRAVITY, seed: int = 1
) -> Known:
    return Known(fitted, without_values(held_out), covariates(), spec, seed)


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return observations_from_frame(pd.DataFrame(list(rows))).table


@pytest.fixture(scope="module")
def divided() -> tuple[pd.DataFrame, pd.DataFrame]:
    observations = observations_from_frame(
        world().assign(year=lambda t: t["period_start"].dt.year)[
            ["source", "family", "measure", "origin", "destination", "year", "reporter", "value"]
        ]
    )
    fold = next(iter(split_folds(observations, seed=3)))
    return fold.fit.table, fold.held_out.table


# All of them


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_gives_ordered_quantiles_and_sees_no_value(
    name: str, divided: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    fitted, held_out = divided
    draws = draw_baseline(name, known(fitted, held_out))
    assert draws.shape == (99, len(held_out))
    there = ~np.isnan(draws).any(axis=0)
    assert there.mean() > 0.7
    assert (draws[:, there] >= 0.0).all()
    assert (np.diff(draws[:, there], axis=0) >= 0.0).all()
    other = held_out.assign(value=held_out["value"] * 7.0 + 1.0)
    np.testing.assert_array_equal(draws, draw_baseline(name, known(fitted, other)))
    assert "value" not in known(fitted, held_out).held_out
    scores = score_reports(draws, held_out["value"].to_numpy(), 1)
    assert 0.6 < scores["coverage_80"].mean() < 0.95


@pytest.mark.parametrize("name", BASELINES)
def test_net_migration_and_totals_have_no_prediction_of_a_flow(name: str) -> None:
    fitted = world(range(2010, 2013))
    net = table(report("AT", "DE", 2013, "origin", -4.0, measure="net"))
    assert np.isnan(draw_baseline(name, known(fitted, net))).all()
    total = table(
        {**report("AT", "DE", 2013, "destination", 9.0, measure="immigration"), "origin": None}
    )
    if name in LEARNED:
        assert np.isnan(draw_baseline(name, known(fitted, total))).all()


@pytest.mark.parametrize("name", LEARNED)
def test_with_nothing_to_learn_from_there_is_no_prediction(name: str) -> None:
    fitted = table(report("AT", "DE", 2010, "origin", 0.0))
    wanted = table(report("AT", "DE", 2011, "origin", 3.0))
    assert np.isnan(draw_baseline(name, known(fitted, wanted))).all()


def test_unknown_names_are_told_with_the_nearest() -> None:
    assert check_baselines(["mirror", "simple", "mirror"]) == ("mirror", "simple")
    with pytest.raises(UsageError) as caught:
        check_baselines(["gravity", "persistance"], ["simple", " "])
    for said in ("did you mean persistence?", "'gravity'", "the name 'simple'", "the name ' '"):
        assert said in str(caught.value), said


# Imitating what is held out


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fitted_reports_are_left_out_as_the_held_out_ones_are(scheme: Scheme) -> None:
    rows = world(range(2010, 2016)).assign(year=lambda t: t["period_start"].dt.year)
    rows["family"] = np.where(rows["year"] % 2, "administrative", "survey")
    columns = ["source", "family", "measure", "origin", "destination", "year", "reporter", "value"]
    observations = observations_from_frame(rows[columns])
    fold = list(split_folds(observations, scheme=scheme, seed=2))[-1]
    fitted, held_out = fold.fit.table, without_values(fold.held_out.table)
    seen = np.zeros(len(fitted), dtype=int)
    for at, mask in imitate(fitted, held_out, 1):
        assert mask.any()
        assert not mask[at].any()
        seen[at] += 1
        mine, told = fitted.iloc[at], fitted[mask]
        if scheme == "last-years":
            assert told["period_start"].max() < mine["period_start"].min()
        if scheme == "corridors":
            assert not set(mine["origin"] + mine["destination"]) & set(
                told["origin"] + told["destination"]
            )
        if scheme == "reporters":
            assert not set(who(mine)) & set(who(told))
        if scheme == "countries":
            new = ~mine[["origin", "destination"]].isin({*told["origin"], *told["destination"]})
            assert new.any(axis=1).all()
    assert seen.max() == 1
    # Of the first years nothing earlier is known.
    assert seen.mean() > (0.2 if scheme == "last-years" else 0.9)


def who(rows: pd.DataFrame) -> pd.Series:
    return rows["origin"].where(rows["reporter"] == "origin", rows["destination"])


def test_spread_is_that_of_errors_of_the_same_size() -> None:
    rng = np.random.default_rng(1)
    seen = np.log(np.repeat([10.0, 5000.0], 4000))
    error = rng.normal(0.0, np.repeat([1.0, 0.1], 4000))
    draws = draws_by_size(np.log([20.5, 4000.5, np.nan]), seen, error)
    assert np.log(draws[:, 0] + 0.5).std() == pytest.approx(1.0, rel=0.06)
    assert np.log(draws[:, 1] + 0.5).std() == pytest.approx(0.1, rel=0.06)
    assert np.isnan(draws[:, 2]).all()
    few = draws_by_size(np.log([200.5]), seen, error)  # a class without errors has all
    assert np.log(few + 0.5).std() == pytest.approx(np.sqrt(0.505), rel=0.06)


# Persistence


def test_persistence_is_the_last_earlier_report_whatever_comes_later() -> None:
    fitted = table(
        *(report("AT", "DE", 2000 + k, "origin", v) for k, v in enumerate([50.0, 80.0, 70.0])),
        report("AT", "DE", 2006, "origin", 9000.0),
        report("AT", "DE", 2003, "destination", 500.0),
    )
    wanted = table(
        report("AT", "DE", 2004, "origin", 1.0),
        report("AT", "DE", 2000, "origin", 1.0),
        report("AT", "DE", 2005, "destination", 1.0),
        report("AT", "FR", 2004, "origin", 1.0),
    )
    draws = draw_baseline("persistence", known(fitted, wanted))
    np.testing.assert_allclose(np.median(draws, axis=0), [70.0, np.nan, 500.0, np.nan])


def test_its_spread_is_that_of_a_random_walk_seen_with_noise() -> None:
    rng = np.random.default_rng(5)
    walk, noise = 0.2, 0.1
    rows = []
    for k, (o, d) in enumerate(product(PLACES, PLACES)):
        if o == d:
            continue
        level = 9.0 + np.cumsum(rng.normal(0.0, walk, 20)) + 0.1 * (k % 3)
        values = np.exp(level + rng.normal(0.0, noise, 20))
        rows += [report(o, d, 2000 + t, "origin", float(v)) for t, v in enumerate(values)]
    wanted = table(*(report("AT", "DE", year, "origin", 1.0) for year in (2020, 2023, 2028)))
    draws = draw_baseline("persistence", known(table(*rows), wanted))
    spread = np.log(draws + 0.5).std(axis=0)
    years = np.array([1.0, 4.0, 9.0])
    np.testing.assert_allclose(spread, np.sqrt(2 * noise**2 + walk**2 * years), rtol=0.15)


# Gravity


def flat(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    return table(*(report(o, d, 2010, "destination", v) for o, d, v in rows))


def test_ppml_of_two_groups_has_their_means() -> None:
    """With one binary covariate the Poisson likelihood is highest at the group means."""
    rng = np.random.default_rng(2)
    near = covariates()["near"]
    rows = [
        (o, d, float(rng.poisson(900.0 if near.sel(origin=o, destination=d) else 90.0)))
        for o, d in product(PLACES, PLACES)
        if o != d and (o, d) != ("AT", "CH")
    ]
    means = {
        flag: np.mean([v for o, d, v in rows if near.sel(origin=o, destination=d) == flag])
        for flag in (0.0, 1.0)
    }
    wanted = flat([("AT", "CH", 1.0)])
    draws = draw_baseline("gravity_ppml", known(flat(rows), wanted))
    assert np.median(draws) == pytest.approx(means[1.0], rel=0.03)
    assert np.isnan(draw_baseline("gravity_ppml", known(flat(rows), wanted, PLAIN))).all()


def test_fixed_effects_complete_a_multiplicative_table_exactly() -> None:
    a = dict(zip(PLACES, (1.0, 3.0, 10.0, 20.0, 5.0, 8.0), strict=True))
    b = dict(zip(PLACES, (40.0, 10.0, 25.0, 90.0, 70.0, 15.0), strict=True))
    rows = [(o, d, a[o] * b[d]) for o, d in product(PLACES, PLACES) if o != d]
    rest = [row for row in rows if row[:2] != ("AT", "CH")]
    draws = draw_baseline(
        "gravity_fixed_effects", known(flat(rest), flat([("AT", "CH", 1.0)]), PLAIN)
    )
    assert np.median(draws) == pytest.approx(a["AT"] * b["CH"], rel=0.02)


def test_a_place_that_nobody_speaks_of_has_the_mean_effect() -> None:
    rows = [(o, d, 100.0) for o, d in product(PLACES, PLACES) if o != d and "PL" not in (o, d)]
    draws = draw_baseline(
        "gravity_fixed_effects", known(flat(rows), flat([("PL", "CH", 1.0)]), PLAIN)
    )
    assert np.median(draws) == pytest.approx(100.0, rel=0.05)


def test_a_year_without_reports_is_taken_for_the_nearest() -> None:
    rows = [
        report(o, d, 2010 + t, "destination", 100.0 * 2.0**t)
        for o, d, t in product(PLACES, PLACES, range(3))
        if o != d
    ]
    wanted = table(*(report("AT", "CH", year, "destination", 1.0) for year in (2013, 2014)))
    draws = draw_baseline("gravity_fixed_effects", known(table(*rows), wanted, PLAIN))
    # It grows by half a step more than the last year for the errors made one or two years ahead.
    assert (np.median(draws, axis=0) > 400.0).all()
    assert draws[:, 0].tolist() == pytest.approx(draws[:, 1].tolist())


# Learners


def test_no_row_that_teaches_sees_itself(divided: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    fitted, held_out = divided
    cells = lay_out(known(fitted, held_out))
    assert cells is not None
    at, mask = next(iter(imitate(cells.table, cells.wanted, 1)))
    before = build_features(cells, mask, at)
    changed = cells.table.assign(value=cells.table["value"].mask(~pd.Series(mask), 1e6))
    other = lay_out(known(changed, held_out))
    assert other is not None
    np.testing.assert_array_equal(before, build_features(other, mask, at))
    every = build_features(cells, np.ones(len(mask), dtype=bool), at)
    assert (np.nan_to_num(every) != np.nan_to_num(before)).any()  # and it would see itself


def test_learners_know_the_other_side_and_other_years(
    divided: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    fitted, held_out = divided
    value = held_out["value"].to_numpy()
    score = {
        name: score_reports(draw_baseline(name, known(fitted, held_out)), value, 1)[
            "crps_log"
        ].mean()
        for name in ("gradient_boosting", "random_forest", "gravity_ppml")
    }
    assert score["gradient_boosting"] < 0.5 * score["gravity_ppml"]
    assert score["random_forest"] < 0.5 * score["gravity_ppml"]


def test_between_and_beyond_what_is_learned_quantiles_are_normal() -> None:
    learned = 2.0 + 3.0 * norm.ppf(learners.LEVELS)[:, None]
    exact = 2.0 + 3.0 * norm.ppf((np.arange(99) + 0.5) / 99)
    np.testing.assert_allclose(learners._between(learned)[:, 0], exact)


def test_a_forest_draws_from_the_leaf_of_the_row() -> None:
    leaf, y = np.array([3, 5, 3, 5, 5]), np.array([1.0, 10.0, 2.0, 20.0, 30.0])
    drawn = learners._members(leaf, np.array([5, 3, 5]), y, np.random.default_rng(1))
    assert drawn.shape == (learners.MEMBERS, 3)
    assert set(drawn[:, 1]) <= {1.0, 2.0}
    assert set(drawn[:, [0, 2]].ravel()) <= {10.0, 20.0, 30.0}


# Tables of others


def test_a_table_of_points_has_the_errors_of_the_fitted_reports() -> None:
    fitted = world(range(2010, 2018))
    truth = fitted[fitted["reporter"] == "destination"]
    mine = pd.DataFrame(
        {
            "origin": truth["origin"].map({"AT": "AUT"}).fillna(truth["origin"]),
            "destination": truth["destination"],
            "year": truth["period_start"].dt.year,
            "value": truth["value"],
        }
    )
    mine["origin"] = truth["origin"]
    estimates = read_baseline_table(mine, "mine", "alpha2")
    held = fitted.iloc[:40]
    draws = draw_baseline("mine", known(fitted, held), {"mine": estimates})
    side = (held["reporter"] == "destination").to_numpy()
    np.testing.assert_allclose(draws[:, side], held["value"].to_numpy()[side] * np.ones((99, 1)))
    # The origin has four fifths, with noise: learned from what is fitted.
    ratio = np.median(draws[:, ~side], axis=0) / estimate_of(held[~side], estimates)
    assert ratio.mean() == pytest.approx(0.8, abs=0.05)


def estimate_of(rows: pd.DataFrame, estimates: pd.DataFrame) -> FloatArray:
    key = ["origin", "destination", "period_start"]
    joined = rows[key].merge(estimates.astype({"period_start": rows["period_start"].dtype}), on=key)
    return joined["point"].to_numpy(np.float64)


def test_quantiles_of_a_table_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = []
    for prob, low, high in ((0.5, 80.0, 130.0), (0.95, 40.0, 260.0)):
        rows.append(
            {
                "origin": "AUT", "destination": "DEU", "period_start": "2010-01-01",
                "period_end": "2011-01-01", "measure": "flow", "median": 100.0, "lower": low,
                "upper": high, "prob": prob,
            }
        )  # fmt: skip
    rows.append({**rows[0], "measure": "immigration", "median": 1e6})
    pd.DataFrame(rows).to_csv(tmp_path / "e.csv", index=False)
    estimates = read_baseline_table(tmp_path / "e.csv", "e", "alpha2")
    assert list(estimates["origin"]) == ["AT"]
    wanted = table(report("AT", "DE", 2010, "origin", 1.0), report("AT", "DE", 2011, "origin", 1.0))
    draws = draw_baseline("e", known(wanted, wanted), {"e": estimates})
    levels = (np.arange(99) + 0.5) / 99
    for level, persons in (
        (0.025, 40.0),
        (0.25, 80.0),
        (0.5, 100.0),
        (0.75, 130.0),
        (0.975, 260.0),
    ):
        found = np.exp(np.interp(level, levels, np.log(draws[:, 0] + 0.5))) - 0.5
        assert found == pytest.approx(persons, rel=0.03)
    assert np.isnan(draws[:, 1]).all()
    named = pd.DataFrame(
        {"origin": ["AT"], "destination": ["DE"], "year": [2010], "mean": [100.0], "q10": [50.0],
         "q90": [200.0]}
    )  # fmt: skip
    draws = draw_baseline(
        "q", known(wanted, wanted), {"q": read_baseline_table(named, "q", "alpha2")}
    )
    assert draws[0, 0] == pytest.approx(50.0)
    assert draws[-1, 0] == pytest.approx(200.0)


def test_every_fault_of_a_table_is_told() -> None:
    rows = pd.DataFrame(
        {
            "origin": ["AT", "", "AT", "AT"],
            "destination": ["DE", "DE", "FR", "PL"],
            "year": ["2010", "2010", "2010.5", "x"],
            "value": ["5", "many", "-3", ""],
        }
    )
    with pytest.raises(InputError) as caught:
        read_baseline_table(rows, "mine", "alpha2")
    for said in ("row 3, origin", "'many'", "found -3", "2010.5", "'x'", "row 5, value"):
        assert said in str(caught.value), said
    with pytest.raises(InputError, match="median or value or mean"):
        read_baseline_table(rows[["origin", "year", "destination"]], "mine", "alpha2")
    twice = pd.DataFrame({"origin": ["AT"] * 2, "destination": "DE", "year": 2010, "value": 1.0})
    with pytest.raises(InputError, match="stands in another row"):
        read_baseline_table(twice, "mine", "alpha2")
