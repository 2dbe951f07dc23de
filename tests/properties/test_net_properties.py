"""What holds of net tables for any prior: the net sums asked for, and nothing nearer to it."""

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from flowcast.accounting.indices import connectivity, impact, intensity
from flowcast.accounting.net import METHODS, Method, Weights, net_of_flows, net_table
from flowcast.accounting.net_migration import follow_cohorts, net_from_survival

FloatArray = NDArray[np.float64]
Tables = tuple[xr.DataArray, xr.DataArray]

numbers = st.floats(0.05, 50.0)
few = settings(max_examples=40)
methods = st.sampled_from(METHODS)
weights = st.sampled_from(["equal", "relative"])


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Return a prior, and another table with its zeros: a planted answer to its own net sums."""
    n = draw(st.integers(2, 5))
    prior = draw(hnp.arrays(np.float64, (n, n), elements=st.one_of(st.just(0.0), numbers)))
    planted = draw(hnp.arrays(np.float64, (n, n), elements=numbers)) * (prior > 0.0)
    places = {d: list("ABCDE"[:n]) for d in ("origin", "destination")}
    return xr.DataArray(prior, places), xr.DataArray(planted, places)


def distance(x: FloatArray, p: FloatArray, method: str, weight: str) -> float:
    off = (p > 0.0) & ~np.eye(len(p), dtype=bool)
    x, p = x[off], p[off]
    if method == "entropy":
        with np.errstate(divide="ignore", invalid="ignore"):
            return float((np.where(x > 0.0, x * np.log(x / p), 0.0) - x + p).sum())
    w = 1.0 / p if weight == "relative" else np.ones_like(p)
    return float((w * (np.abs(x - p) if method == "absolute" else (x - p) ** 2)).sum())


@few
@given(tables(), methods, weights, st.booleans())
def test_net_sums_are_met_and_no_planted_table_is_nearer(
    given_tables: Tables, method: Method, weight: Weights, with_total: bool
) -> None:
    prior, planted = given_tables
    off = ~np.eye(len(prior), dtype=bool)
    total = float(planted.values[off].sum()) if with_total else None
    found = net_table(net_of_flows(planted), prior, method=method, weights=weight, total=total)
    turnover = found.table.sum("origin").values + found.table.sum("destination").values
    missed = np.abs(net_of_flows(found.table).values - net_of_flows(planted).values)
    assert (missed <= 1e-8 * (1.0 + turnover)).all()
    assert (found.table.values >= 0.0).all()
    assert (found.table.values[off & (prior.values == 0.0)] == 0.0).all()
    if total is not None:
        np.testing.assert_allclose(found.table.values[off].sum(), total, rtol=1e-8, atol=1e-8)
    least = distance(found.table.values, prior.values, method, weight)
    np.testing.assert_allclose(found.distance, least, rtol=1e-9, atol=1e-9)
    other = distance(planted.values, prior.values, method, weight)
    assert least <= other * (1 + 1e-8) + 1e-7


@few
@given(tables(), st.floats(0.01, 0.5), st.data())
def test_a_step_around_a_cycle_leads_away_from_the_prior(
    given_tables: Tables, size: float, data: st.DataObject
) -> None:
    """Flows added around a cycle keep all net sums: the distance must rise with them."""
    prior, planted = given_tables
    full = prior.where(prior > 0.0, 1.0)
    table = net_table(net_of_flows(planted), full).table.values
    places = data.draw(st.permutations(range(len(prior))))
    cycle = places[: data.draw(st.integers(2, len(prior)))]
    step = np.zeros_like(table)
    for i, j in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        step[i, j] = 1.0
    room = table[step > 0.0].min()
    least = distance(table, full.values, "entropy", "equal")
    for way in (size, -size):
        assert distance(table + way * room * step, full.values, "entropy", "equal") > least


@few
@given(tables(), methods, st.floats(0.01, 100.0))
def test_unit_and_order_do_not_matter(given_tables: Tables, method: Method, size: float) -> None:
    prior, planted = given_tables
    net = net_of_flows(planted)
    one = net_table(net, prior, method=method)
    scaled = net_table(size * net, size * prior, method=method)
    power = 2 if method == "squares" else 1
    np.testing.assert_allclose(scaled.distance, size**power * one.distance, rtol=1e-6, atol=1e-6)
    order = list(range(len(prior)))[::-1]
    turned = net_table(net, prior.isel(origin=order, destination=order), method=method)
    np.testing.assert_allclose(turned.distance, one.distance, rtol=1e-6, atol=1e-6)
    if method != "absolute":  # of which several may be equally near
        atol = 1e-6 * float(one.table.max())
        np.testing.assert_allclose(scaled.table, size * one.table, rtol=1e-5, atol=size * atol)
        back = turned.table.reindex_like(prior)
        np.testing.assert_allclose(back, one.table, rtol=1e-5, atol=atol)


# Indices and cohorts


@few
@given(hnp.arrays(np.float64, (4, 4), elements=numbers), st.floats(1e-3, 1e3))
def test_indices_stay_in_their_range_and_ignore_the_unit(values: FloatArray, unit: float) -> None:
    places = list("ABCD")
    flows = xr.DataArray(values, {"origin": places, "destination": places})
    people = xr.DataArray([100.0, 200.0, 300.0, 400.0], {"place": places})
    found = connectivity(flows)
    for name in ("gini", "inequality_equal", "inequality_expected", "weighted_gini"):
        assert -1e-9 <= float(found[name]) <= 1.0 + 1e-9, name
    assert -1e-9 <= float(found["theil"]) <= np.log(12) + 1e-9
    xr.testing.assert_allclose(connectivity(unit * flows), found, rtol=1e-6, atol=1e-9)
    effect = impact(flows, people)
    assert 0.0 <= float(effect["effectiveness"]) <= 100.0
    product = intensity(flows, people)["crude_migration_intensity"] * effect["effectiveness"] / 100
    np.testing.assert_allclose(effect["aggregate_net_migration_rate"], product, rtol=1e-9)


@few
@given(
    hnp.arrays(np.float64, 6, elements=st.floats(0.0, 1e6)),
    hnp.arrays(np.float64, 6, elements=st.floats(0.0, 1e6)),
    hnp.arrays(np.float64, 6, elements=st.floats(0.05, 1.0)),
    st.integers(1, 5),
)
def test_cohorts_lose_nobody_and_the_average_lies_between(
    start: FloatArray, end: FloatArray, survival: FloatArray, steps: int
) -> None:
    ages = {"age": np.arange(0, 30, 5)}
    population = xr.DataArray(start, ages)
    cohorts = follow_cohorts(population, 5 * steps)
    np.testing.assert_allclose(cohorts.sum(), population.sum(), rtol=1e-12)
    later, ratio = (xr.DataArray(v, ages).sel(age=cohorts["age"]) for v in (end, survival))
    forward, reverse, average = (
        net_from_survival(cohorts, later, ratio, method=method, ratios="life_table")
        for method in ("forward", "reverse", "average")
    )
    low, high = np.minimum(forward, reverse), np.maximum(forward, reverse)
    slack = 1e-9 * (1.0 + abs(high))
    assert ((average >= low - slack) & (average <= high + slack)).all()
    # people who are where survival alone would have them have not moved
    still = net_from_survival(cohorts, ratio * cohorts, ratio)
    np.testing.assert_allclose(still, 0.0, atol=1e-6)
