"""Indices of migration: by hand, against definitions written as loops, and their invariances."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
import xarray as xr
from numpy.typing import ArrayLike

from flowcast.accounting.indices import (
    age_profile,
    connectivity,
    distance_decay,
    distance_moved,
    impact,
    intensity,
    schedule_indices,
    streams,
)
from flowcast.errors import ConvergenceError, InputError

PLACES = list("ABCDE")
RNG = np.random.default_rng(17)
FLOWS = xr.DataArray(
    RNG.gamma(0.7, 50.0, (5, 5)).round(1), {"origin": PLACES, "destination": PLACES}
)
PEOPLE = xr.DataArray([900.0, 400.0, 700.0, 1500.0, 500.0], {"place": PLACES})
POINTS = RNG.uniform(0.0, 500.0, (5, 2))
KM = xr.DataArray(np.hypot(*(POINTS[:, None] - POINTS).transpose(2, 0, 1)), FLOWS.coords)
OFF = ~np.eye(5, dtype=bool)
MOVES = FLOWS.values * OFF
TOTAL = float(MOVES.sum())
EVERY: list[Callable[[xr.DataArray], xr.Dataset]] = [
    lambda flows: intensity(flows, PEOPLE),
    lambda flows: impact(flows, PEOPLE),
    lambda flows: streams(flows, PEOPLE),
    connectivity,
    lambda flows: distance_moved(flows, KM),
    lambda flows: distance_decay(flows, KM),
    lambda flows: distance_decay(flows, KM, PEOPLE),
]


def table(values: ArrayLike) -> xr.DataArray:
    array = np.asarray(values, dtype=float)
    places = PLACES[: len(array)]
    return xr.DataArray(array, {"origin": places, "destination": places})


@pytest.mark.parametrize("index", EVERY)
def test_the_diagonal_does_not_count(index: Callable[[xr.DataArray], xr.Dataset]) -> None:
    stayers = FLOWS.where(OFF, 1e6)
    xr.testing.assert_allclose(index(stayers), index(FLOWS.where(OFF, 0.0)), rtol=1e-9)


@pytest.mark.parametrize("index", EVERY)
def test_draws_have_the_index_of_each_draw(index: Callable[[xr.DataArray], xr.Dataset]) -> None:
    draws = FLOWS ** xr.DataArray([1.0, 0.8, 1.2], {"draw": [5, 6, 7]})
    found = index(draws)
    for draw in (5, 6, 7):
        alone = index(draws.sel(draw=draw, drop=True))
        xr.testing.assert_allclose(found.sel(draw=draw, drop=True), alone, rtol=1e-7)


@pytest.mark.parametrize("index", EVERY)
def test_the_order_of_places_does_not_matter(index: Callable[[xr.DataArray], xr.Dataset]) -> None:
    order = [3, 0, 4, 2, 1]
    turned = index(FLOWS.isel(origin=order, destination=order))
    xr.testing.assert_allclose(turned.reindex_like(index(FLOWS)), index(FLOWS), rtol=1e-7)


@pytest.mark.parametrize("index", EVERY)
@pytest.mark.parametrize(
    ("flows", "said"),
    [
        (-FLOWS, "(flows) | found -"),
        (FLOWS * np.nan, "found nan at origin A, destination B"),
        (FLOWS.isel(origin=0), "(flows) | found dims (destination)"),
        (FLOWS.isel(origin=slice(3)), "3 origins and 5 destinations"),
        (FLOWS.isel(origin=[1, 0, 2, 3, 4]), "different labels: B and A, A and B"),
        (FLOWS.isel(origin=[0], destination=[0]), "found 1 place; allowed: 2 places or more"),
    ],
)
def test_flows_that_are_none_are_refused(
    index: Callable[[xr.DataArray], xr.Dataset], flows: xr.DataArray, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        index(flows)
    assert said in str(caught.value)


# Intensity, impact, streams


def test_intensity_and_impact_by_hand() -> None:
    came, left = MOVES.sum(axis=0), MOVES.sum(axis=1)
    how_much, effect = intensity(FLOWS, PEOPLE), impact(FLOWS, PEOPLE)
    assert float(how_much["crude_migration_intensity"]) == pytest.approx(100 * TOTAL / 4000)
    courgeau = 100 * TOTAL / 4000 / np.log(25)
    assert float(how_much["courgeau_k"]) == pytest.approx(courgeau)
    shifted = np.abs(came - left).sum()
    assert float(effect["effectiveness"]) == pytest.approx(100 * shifted / (2 * TOTAL))
    assert float(effect["aggregate_net_migration_rate"]) == pytest.approx(50 * shifted / 4000)


def test_the_net_rate_is_intensity_times_effectiveness() -> None:
    """Bell et al. 2002, doi 10.1111/1467-985X.00247."""
    effect, how_much = impact(FLOWS, PEOPLE), intensity(FLOWS, PEOPLE)
    product = how_much["crude_migration_intensity"] * effect["effectiveness"] / 100
    xr.testing.assert_allclose(effect["aggregate_net_migration_rate"], product)


def test_symmetric_flows_have_no_effect_and_one_way_flows_all() -> None:
    assert float(impact(FLOWS + FLOWS.values.T, PEOPLE)["effectiveness"]) == pytest.approx(0.0)
    people = xr.DataArray([5.0, 5.0], {"place": ["A", "B"]})
    assert float(impact(table([[0, 3], [0, 0]]), people)["effectiveness"]) == 100.0
    assert np.isnan(impact(table([[0, 0], [0, 0]]), people)["effectiveness"])


def test_streams_by_hand() -> None:
    found = streams(FLOWS, PEOPLE)
    pairs = np.outer(PEOPLE, PEOPLE)
    expected = np.where(OFF, pairs, 0.0) * TOTAL / pairs[OFF].sum()
    i, j = 1, 3
    one = found.isel(origin=i, destination=j)
    velocity = 100 * (MOVES[i, j] / 400.0) / (1500.0 / 4000.0)
    back = 100 * (MOVES[j, i] / 1500.0) / (400.0 / 4000.0)
    assert float(one["velocity"]) == pytest.approx(velocity)
    assert float(one["net_velocity"]) == pytest.approx(velocity - back)
    assert float(one["preference"]) == pytest.approx(100 * MOVES[i, j] / expected[i, j])
    both = MOVES[i, j] + MOVES[j, i]
    assert float(one["effectiveness"]) == pytest.approx(100 * (MOVES[i, j] - MOVES[j, i]) / both)
    assert np.isnan(np.diag(found["velocity"])).all()
    net = found["net_velocity"].values[OFF]
    np.testing.assert_allclose(net, -found["net_velocity"].values.T[OFF], rtol=1e-9)


def test_flows_as_populations_lead_to_expect_have_no_preference() -> None:
    pairs = PEOPLE.rename(place="origin") * PEOPLE.rename(place="destination")
    found = streams(7.0 * pairs, PEOPLE)["preference"].values
    np.testing.assert_allclose(found[OFF], 100.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("people", "said"),
    [
        (0 * PEOPLE, "(population) | found 0 at place A"),
        (PEOPLE[:3], "(population) | found no place D, E"),
        (PEOPLE.rename(place="origin"), "(population) | found dims (origin); allowed: dims place"),
    ],
)
def test_populations_that_do_not_fit(people: xr.DataArray, said: str) -> None:
    for index in (intensity, impact, streams):
        with pytest.raises(InputError) as caught:
            index(FLOWS, people)
        assert said in str(caught.value)


# Connectivity


def gini_by_pairs(values: np.ndarray) -> float:
    pairs = sum(abs(x - y) for x, y in itertools.product(values, values))
    return float(pairs / (2 * (len(values) - 1) * values.sum()))


def test_gini_indices_are_the_sums_over_pairs_that_define_them() -> None:
    found = connectivity(FLOWS)
    assert float(found["gini"]) == pytest.approx(gini_by_pairs(MOVES[OFF]), rel=1e-12)
    out = [gini_by_pairs(MOVES[i][OFF[i]]) for i in range(5)]
    into = [gini_by_pairs(MOVES[:, i][OFF[i]]) for i in range(5)]
    np.testing.assert_allclose(found["gini_out"], out, rtol=1e-12)
    np.testing.assert_allclose(found["gini_in"], into, rtol=1e-12)
    weighted = np.average(out, weights=MOVES.sum(axis=1))
    assert float(found["weighted_gini_out"]) == pytest.approx(weighted, rel=1e-12)
    mean = (weighted + np.average(into, weights=MOVES.sum(axis=0))) / 2
    assert float(found["weighted_gini"]) == pytest.approx(mean, rel=1e-12)


def test_shares_of_rows_columns_and_exchanges() -> None:
    found, cells = connectivity(FLOWS), list(zip(*np.nonzero(OFF), strict=True))
    sums = {"all": 0.0, "row_share": 0.0, "column_share": 0.0, "exchange_share": 0.0}
    for one, other in itertools.product(cells, cells):
        apart = abs(MOVES[one] - MOVES[other])
        sums["all"] += apart
        sums["row_share"] += apart * (one[0] == other[0])
        sums["column_share"] += apart * (one[1] == other[1])
        sums["exchange_share"] += apart * (one == other[::-1])
    for name in ("row_share", "column_share", "exchange_share"):
        assert float(found[name]) == pytest.approx(sums[name] / sums["all"], rel=1e-12)


def test_variation_is_scale_free_and_weighted_by_moves() -> None:
    found = connectivity(FLOWS)
    cells = MOVES[OFF]
    assert float(found["coefficient_of_variation"]) == pytest.approx(cells.std() / cells.mean())
    by_hand = 0.0
    for moves in (MOVES, MOVES.T):
        for i in range(5):
            line = moves[i][OFF[i]]
            by_hand += line.std() / line.mean() * line.sum() / TOTAL
    assert float(found["aggregate_coefficient_of_variation"]) == pytest.approx(by_hand)


def test_equal_flows_have_no_inequality_and_a_single_one_has_all() -> None:
    equal = connectivity(table(np.full((4, 4), 3.0)))
    assert float(equal["connectivity"]) == 1.0
    for name in ("gini", "inequality_equal", "inequality_expected", "theil", "weighted_gini"):
        assert float(equal[name]) == pytest.approx(0.0, abs=1e-12), name
    lone = np.zeros((4, 4))
    lone[1, 2] = 8.0
    single = connectivity(table(lone))
    assert float(single["connectivity"]) == pytest.approx(1 / 12)
    assert float(single["gini"]) == pytest.approx(1.0)
    assert float(single["inequality_equal"]) == pytest.approx(11 / 12)
    assert float(single["theil"]) == pytest.approx(np.log(12))
    assert float(single["weighted_gini"]) == pytest.approx(1.0)
    assert float(single["inequality_expected"]) == pytest.approx(0.0, abs=1e-9)


def test_inequality_is_the_share_that_would_have_to_go_elsewhere() -> None:
    found = connectivity(FLOWS)
    apart = np.abs(MOVES[OFF] - TOTAL / 20).sum() / (2 * TOTAL)
    assert float(found["inequality_equal"]) == pytest.approx(apart, rel=1e-12)
    effects = sm.GLM(MOVES[OFF], dummies(), family=sm.families.Poisson()).fit(tol=1e-13)
    expected = np.abs(MOVES[OFF] - effects.fittedvalues).sum() / (2 * TOTAL)
    assert float(found["inequality_expected"]) == pytest.approx(expected, rel=1e-7)


def test_no_index_of_connectivity_depends_on_the_unit() -> None:
    xr.testing.assert_allclose(connectivity(1000.0 * FLOWS), connectivity(FLOWS), rtol=1e-8)


def test_two_places_have_no_field_to_be_uneven_in() -> None:
    found = connectivity(table([[0, 3], [1, 0]]))
    assert np.isnan(found["gini_out"]).all()
    assert float(found["gini"]) == pytest.approx(0.5)


def test_no_flows_are_refused() -> None:
    for index in (connectivity, EVERY[4], EVERY[5], EVERY[6]):
        with pytest.raises(InputError, match="found a table without flows"):
            index(0 * FLOWS)


# Distance


def dummies() -> np.ndarray:
    i, j = np.nonzero(OFF)
    return np.column_stack([np.eye(5)[i], np.eye(5)[j][:, 1:]])


def test_mean_and_median_distance_by_hand() -> None:
    found = distance_moved(FLOWS, KM)
    km, moves = KM.values[OFF], MOVES[OFF]
    assert float(found["mean_distance"]) == pytest.approx(np.average(km, weights=moves))
    middle = float(found["median_distance"])
    assert moves[km <= middle].sum() >= TOTAL / 2
    assert moves[km < middle].sum() < TOTAL / 2


def test_a_tie_at_the_middle_takes_the_shorter_distance() -> None:
    flows = table([[0, 0.1, 0.2], [0.3, 0, 0], [0, 0, 0]])
    km = table([[0, 10, 40], [20, 0, 30], [40, 30, 0]])
    turned = flows.assign_coords()
    turned.loc["A", "B"], turned.loc["B", "A"] = 0.3, 0.1
    assert float(distance_moved(turned, km)["median_distance"]) == 10.0


def test_decay_is_that_of_poisson_regression() -> None:
    moves, log_km = MOVES[OFF], np.log(KM.values[OFF])
    poisson = sm.families.Poisson()
    effects = sm.GLM(moves, np.column_stack([dummies(), log_km]), family=poisson).fit(tol=1e-13)
    decay = float(distance_decay(FLOWS, KM)["decay"])
    assert decay == pytest.approx(-effects.params[-1], rel=1e-6)
    i, j = np.nonzero(OFF)
    log_people = np.log(PEOPLE.values)
    terms = np.column_stack([np.ones(20), log_km, log_people[i], log_people[j]])
    gravity = sm.GLM(moves, terms, family=poisson).fit(tol=1e-13)
    found = distance_decay(FLOWS, KM, PEOPLE)
    ours = [
        -float(found["decay"]),
        *(float(found[f"{s}_population"]) for s in ("origin", "destination")),
    ]
    np.testing.assert_allclose(ours, gravity.params[1:], rtol=1e-6)


def test_exact_gravity_gives_its_exponents_back() -> None:
    people = PEOPLE.rename(place="origin") ** 0.7 * PEOPLE.rename(place="destination") ** 0.4
    flows = (people * (KM + np.eye(5)) ** -1.3).transpose("origin", "destination")
    found = distance_decay(flows, KM, PEOPLE)
    ours = [float(found[n]) for n in ("decay", "origin_population", "destination_population")]
    np.testing.assert_allclose(ours, [1.3, 0.7, 0.4], rtol=1e-8)
    assert float(distance_decay(flows, KM)["decay"]) == pytest.approx(1.3, rel=1e-8)


def test_a_place_without_moves_says_nothing_of_distance() -> None:
    flows = FLOWS.copy()
    flows.loc["E"], flows.loc[:, "E"] = 0.0, 0.0
    inner = dict(origin=PLACES[:4], destination=PLACES[:4])
    without = distance_decay(flows.sel(inner), KM.sel(inner))["decay"]
    assert float(distance_decay(flows, KM)["decay"]) == pytest.approx(float(without), rel=1e-8)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distance": 0 * KM}, "(distance) | found 0 at origin A, destination B"),
        ({"distance": KM.isel(origin=0)}, "(distance) | found dims (destination)"),
        ({"distance": KM.isel(origin=slice(4))}, "(distance) | found no origin E"),
        ({"distance": xr.ones_like(KM)}, "found decay that cannot be told from other effects"),
        ({"population": 0 * PEOPLE + 5}, "found origin of population that cannot be told"),
    ],
)
def test_distances_that_tell_nothing(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        distance_decay(FLOWS, **{"distance": KM, **changes})
    assert said in str(caught.value)


def test_three_places_with_symmetric_distances_tell_nothing_of_decay() -> None:
    three = dict(origin=PLACES[:3], destination=PLACES[:3])
    with pytest.raises(InputError, match="cannot be told from other effects"):
        distance_decay(FLOWS.sel(three), KM.sel(three))


def test_a_likelihood_without_a_maximum_is_an_error() -> None:
    """Only the nearest pair has flows: the steeper the decay, the likelier."""
    flows = xr.zeros_like(FLOWS)
    near = np.unravel_index(np.where(OFF, KM, np.inf).argmin(), KM.shape)
    flows.values[near] = flows.values[near[::-1]] = 10.0
    with pytest.raises(ConvergenceError, match="found no maximum of the likelihood"):
        distance_decay(flows, KM, PEOPLE)


# Age


AGE = np.arange(0, 80)
CURVE = dict(a1=0.02, alpha1=0.1, a2=0.06, alpha2=0.1, mu2=20.0, lambda2=0.4, c=0.003)


def schedule(**p: float) -> xr.DataArray:
    young = p["a1"] * np.exp(-p["alpha1"] * AGE)
    gone = AGE - p["mu2"]
    work = p["a2"] * np.exp(-p["alpha2"] * gone - np.exp(-p["lambda2"] * gone))
    return xr.DataArray(young + work + p["c"], {"age": AGE})


def test_age_profile_by_hand() -> None:
    profile = xr.DataArray([5.0, 2.0, 1.0, 4.0, 8.0, 6.0, 5.5, 1.0], {"age": np.arange(0, 40, 5)})
    found = age_profile(profile, width=5).map(float)
    assert found["gross_migraproduction_rate"] == 5 * 32.5
    assert (found["peak_age"], found["peak_intensity"]) == (20.0, 8.0)
    assert found["peak_breadth"] == 5 * (4.0 + 8.0 + 6.0)
    assert found["peak_share"] == pytest.approx(100 * 18.0 / 32.5)
    assert (found["upward_rate"], found["downward_rate"]) == (4.0 / 5, 4.5 / 5)
    assert found["asymmetry"] == pytest.approx(4.0 / 4.5)


def test_the_peak_is_looked_for_between_the_given_ages() -> None:
    profile = schedule(**CURVE).where(AGE > 0, 1.0).where(AGE < 79, 1.0)
    assert float(age_profile(profile)["peak_age"]) == float(schedule(**CURVE)[6:].idxmax())
    assert float(age_profile(profile, lowest=0)["peak_age"]) == 0.0


def test_rates_of_change_are_those_before_and_after_the_peak() -> None:
    """A rise below the lowest age, and a fall of children before the peak, do not count."""
    profile = xr.DataArray([1.0, 9.0, 2.0, 4.0, 10.0, 8.0, 7.0], {"age": np.arange(0, 35, 5)})
    found = age_profile(profile, width=5).map(float)
    assert (found["upward_rate"], found["downward_rate"]) == (6.0 / 5, 2.0 / 5)


def test_a_profile_that_only_falls_has_no_upward_rate() -> None:
    profile = xr.DataArray([5.0, 4.0, 3.0, 2.0], {"age": [5, 6, 7, 8]})
    found = age_profile(profile)
    assert np.isnan(found["upward_rate"])
    assert np.isnan(found["asymmetry"])
    assert float(found["downward_rate"]) == 1.0


def test_profiles_of_draws() -> None:
    draws = xr.concat(
        [schedule(**CURVE), schedule(**{**CURVE, "mu2": 30.0})], xr.Variable("draw", [1, 2])
    ).transpose("age", "draw")
    found = age_profile(draws)
    alone = age_profile(schedule(**{**CURVE, "mu2": 30.0}))
    xr.testing.assert_allclose(found.sel(draw=2, drop=True), alone)
    assert float(found["peak_age"][1] - found["peak_age"][0]) == pytest.approx(10.0, abs=1.0)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (xr.DataArray([1.0, 2.0], {"age": [0, 5]}), "found ages 5 years apart; allowed: the width"),
        (xr.DataArray([1.0, 2.0], {"age": ["a", "b"]}), "two ages or more, as numbers"),
        (xr.DataArray([1.0, 2.0], dims="age"), "found no labels"),
        (xr.DataArray([1.0, 2.0], {"age": [0, 1]}), "ages between 5 and 65"),
        (xr.DataArray([0.0, 0.0], {"age": [10, 11]}), "found a profile without moves"),
        (xr.DataArray([-1.0, 2.0], {"age": [10, 11]}), "(intensity) | found -1 at age 10"),
        (xr.DataArray([1.0], {"sex": ["male"]}), "(intensity) | found dims (sex)"),
    ],
)
def test_profiles_that_are_none(profile: xr.DataArray, said: str) -> None:
    with pytest.raises(InputError) as caught:
        age_profile(profile)
    assert said in str(caught.value)


def test_indices_of_a_schedule_by_hand() -> None:
    found = schedule_indices({**CURVE, "a3": 0.03, "alpha3": 0.5, "lambda3": 0.75}).map(float)
    assert found["child_dependency"] == pytest.approx(1 / 3)
    assert found["labour_dependency"] == pytest.approx(3.0)
    assert found["labour_asymmetry"] == pytest.approx(4.0)
    assert found["regularity"] == pytest.approx(1.0)
    assert found["retirement_dependency"] == pytest.approx(0.5)
    assert found["retirement_asymmetry"] == pytest.approx(1.5)
    assert "retirement_dependency" not in schedule_indices(CURVE)


def test_the_labour_peak_is_where_its_curve_is_highest() -> None:
    fine = np.linspace(15, 40, 25_001) - CURVE["mu2"]
    curve = np.exp(-CURVE["alpha2"] * fine - np.exp(-CURVE["lambda2"] * fine))
    highest = fine[curve.argmax()] + CURVE["mu2"]
    assert float(schedule_indices(CURVE)["labour_peak_age"]) == pytest.approx(highest, abs=1e-3)


def test_parameters_may_be_draws() -> None:
    draws = xr.Dataset({n: ("draw", [v, 2 * v]) for n, v in CURVE.items()})
    found = schedule_indices(draws.assign(a1=0.03))
    np.testing.assert_allclose(found["child_dependency"], [0.5, 0.25])


def test_schedules_that_are_none() -> None:
    with pytest.raises(InputError, match="found no a2, lambda2"):
        schedule_indices({k: v for k, v in CURVE.items() if k not in ("a2", "lambda2")})
    with pytest.raises(InputError, match=r"\(alpha2\) \| found 0 at the only cell"):
        schedule_indices({**CURVE, "alpha2": 0.0})
