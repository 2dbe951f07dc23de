"""Tables with given net migration: by each distance, with a total, and what is refused."""

import itertools
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import ArrayLike

from flowcast.accounting.net import METHODS, Method, Weights, net_of_flows, net_table
from flowcast.errors import ConvergenceError, InputError, UsageError

PLACES = list("ABCD")
PAIR = {"origin": PLACES, "destination": PLACES}
PRIOR = xr.DataArray(
    [[9.0, 10.0, 3.0, 7.0], [5.0, 0.0, 4.0, 1.0], [6.0, 3.0, 2.0, 4.0], [2.0, 2.0, 2.0, 0.0]], PAIR
)
"""With a diagonal, which is not migration."""


def by_place(values: ArrayLike) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, dtype=float), {"place": PLACES})


NET = by_place([3.0, 4.0, -1.5, -5.5])
OFF = ~np.eye(4, dtype=bool)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", ["equal", "relative"])
@pytest.mark.parametrize("total", [None, 60.0, 7.0])
def test_net_migration_and_total_are_those_asked_for(
    method: Method, weights: Weights, total: float | None
) -> None:
    found = net_table(NET, PRIOR, method=method, weights=weights, total=total)
    np.testing.assert_allclose(net_of_flows(found.table), NET, rtol=1e-9, atol=1e-9)
    assert float(found.gap) < 1e-9
    assert float(found.table.min()) >= 0.0
    assert np.diag(found.table).tolist() == np.diag(PRIOR).tolist()
    if total is not None:
        assert found.table.values[OFF].sum() == pytest.approx(total, rel=1e-9)


def test_entropy_is_the_prior_times_ratios_of_potentials() -> None:
    """Opposite flows keep their product, and every cycle its ratio to the way back."""
    table = net_table(NET, PRIOR).table.values
    prior = PRIOR.values
    for i, j in itertools.combinations(range(4), 2):
        assert table[i, j] * table[j, i] == pytest.approx(prior[i, j] * prior[j, i], rel=1e-9)
    for i, j, k in itertools.combinations(range(4), 3):
        there, back = (
            table[i, j] * table[j, k] * table[k, i],
            prior[i, j] * prior[j, k] * prior[k, i],
        )
        assert there == pytest.approx(back, rel=1e-9)


def test_with_a_total_there_is_one_more_factor() -> None:
    table = net_table(NET, PRIOR, total=80.0).table.values
    ratio = np.sqrt(table * table.T / np.where(OFF, PRIOR.values * PRIOR.values.T, 1.0))[OFF]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert ratio[0] > 1.0


def test_net_migration_of_the_prior_changes_nothing() -> None:
    own = net_of_flows(PRIOR)
    for method in METHODS:
        found = net_table(own, PRIOR, method=method)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.table, PRIOR, rtol=1e-9)
        assert float(found.distance) == pytest.approx(0.0, abs=1e-9)


def test_two_places_in_closed_form() -> None:
    """With entropy x y = p q and x - y = n, a quadratic equation; squares share the change."""
    places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    prior = xr.DataArray([[0.0, 6.0], [2.0, 0.0]], places)
    net = xr.DataArray([-1.0, 1.0], {"place": ["A", "B"]})
    x = (1.0 + np.sqrt(1.0 + 4.0 * 12.0)) / 2.0
    entropy = net_table(net, prior)
    np.testing.assert_allclose(entropy.table.values[[0, 1], [1, 0]], [x, x - 1.0], rtol=1e-12)
    told = x * np.log(x / 6.0) - x + 6.0 + (x - 1.0) * np.log((x - 1.0) / 2.0) - (x - 1.0) + 2.0
    assert float(entropy.distance) == pytest.approx(told)
    squares = net_table(net, prior, method="squares")
    np.testing.assert_allclose(squares.table.values[[0, 1], [1, 0]], [4.5, 3.5], rtol=1e-12)
    assert float(squares.distance) == pytest.approx(2 * 1.5**2)
    relative = net_table(net, prior, method="squares", weights="relative")
    np.testing.assert_allclose(relative.table.values[[0, 1], [1, 0]], [3.75, 2.75], rtol=1e-12)
    absolute = net_table(net, prior, method="absolute")
    assert float(absolute.distance) == pytest.approx(3.0)


def test_relative_changes_take_from_the_larger_flow() -> None:
    """To lose 1 of 3 is a third, to gain 1 on 2 is a half: absolute changes weigh the same."""
    places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    prior = xr.DataArray([[0.0, 3.0], [2.0, 0.0]], places)
    found = net_table(0.0 * NET[:2], prior, method="absolute", weights="relative")
    np.testing.assert_allclose(found.table, [[0.0, 2.0], [2.0, 0.0]], atol=1e-9)
    assert float(found.distance) == pytest.approx(1 / 3)


def test_absolute_differences_change_few_flows() -> None:
    """The prior is used: cells without need to change are those of the prior."""
    changed = {
        method: int((abs(net_table(NET, PRIOR, method=method).table - PRIOR) > 1e-9).sum())  # type: ignore[arg-type]
        for method in METHODS
    }
    assert changed["absolute"] <= 3
    assert changed["entropy"] == OFF.sum()


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_nearest_in_its_own_distance(method: Method) -> None:
    def distance(table: np.ndarray) -> float:
        x, p = table[OFF], PRIOR.values[OFF]
        if method == "entropy":
            return float((x * np.log(np.where(x > 0, x / p, 1.0)) - x + p).sum())
        return float(((x - p) ** 2).sum() if method == "squares" else np.abs(x - p).sum())

    mine = net_table(NET, PRIOR, method=method)
    assert float(mine.distance) == pytest.approx(distance(mine.table.values), rel=1e-9)
    for other in METHODS:
        table = net_table(NET, PRIOR, method=other).table.values  # type: ignore[arg-type]
        assert distance(mine.table.values) <= distance(table) + 1e-9


def test_cells_of_zero_stay_zero() -> None:
    prior = PRIOR.copy()
    prior.loc["A", "B"] = 0.0
    prior.loc["D", "C"] = 0.0
    for method in METHODS:
        table = net_table(NET, prior, method=method).table  # type: ignore[arg-type]
        assert float(table.sel(origin="A", destination="B")) == 0.0
        assert float(table.sel(origin="D", destination="C")) == 0.0


def test_cells_that_have_to_be_zero_are_zero() -> None:
    """A only sends: with net migration of -2 nothing else can leave it; and B only takes."""
    prior = PRIOR.where(PRIOR["destination"] != "A", 0.0)
    prior = prior.where(PRIOR["origin"] != "B", 0.0)
    table = net_table(by_place([-2.0, 3.0, 0.0, -1.0]), prior).table
    np.testing.assert_allclose(table.sel(origin="A").sum(), 2.0, rtol=1e-9)
    boundary = net_table(by_place([-2.0, 3.0, 0.0, -1.0]), prior, total=3.0).table
    assert float(boundary.sum()) - np.trace(boundary) == pytest.approx(3.0, rel=1e-9)
    assert float(boundary.sel(origin="A", destination="C")) < 1e-6


def test_draws_are_separate_and_labels_are_matched() -> None:
    draws = xr.DataArray([0.5, 1.0, 2.0], {"draw": [3, 1, 2]})
    turned = (NET * draws).isel(place=[3, 1, 0, 2])
    found = net_table(turned, PRIOR, each="draw")
    assert found.table.dims == ("draw", "origin", "destination")
    for draw in (1, 2, 3):
        alone = net_table(NET * draws.sel(draw=draw, drop=True), PRIOR)
        np.testing.assert_allclose(found.table.sel(draw=draw), alone.table, rtol=1e-9)
        assert float(found.distance.sel(draw=draw)) == pytest.approx(float(alone.distance))


@pytest.mark.parametrize("method", METHODS)
def test_a_prior_without_any_flow(method: Method) -> None:
    nothing = xr.zeros_like(PRIOR)
    assert float(net_table(0.0 * NET, nothing, method=method).table.sum()) == 0.0
    with pytest.raises(InputError, match="found 3 for place A; allowed: at most 0"):
        net_table(NET, nothing, method=method)
    with pytest.raises(InputError, match=r"\(total\) \| found 5; allowed: 0 to 0"):
        net_table(0.0 * NET, nothing, method=method, total=5.0)


def test_two_hundred_places() -> None:
    rng = np.random.default_rng(4)
    prior = xr.DataArray(rng.lognormal(2.0, 3.0, (200, 200)), dims=("origin", "destination"))
    net = rng.normal(0.0, 2000.0, 200)
    asked = xr.DataArray(net - net.mean(), dims="place")
    for method in ("entropy", "squares"):
        found = net_table(asked, prior, method=method)  # type: ignore[arg-type]
        turnover = found.table.sum("origin").values + found.table.sum("destination").values
        off = np.abs(net_of_flows(found.table).values - asked.values)
        assert (off <= 1e-9 * turnover).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"net": NET + 1}, "(net) | found a sum of 4; allowed: 0: who leaves a place comes to"),
        ({"net": NET * np.nan}, "found nan at place A"),
        ({"net": NET.rename(place="country")}, "found dims (country); allowed: dims place"),
        ({"net": NET.assign_coords(place=list("ABCX"))}, "found place X; allowed: the labels of"),
        ({"net": NET[:3]}, "found no place D"),
        ({"prior": -PRIOR}, "(prior) | found -9 at origin A, destination A"),
        ({"prior": PRIOR[:3]}, "3 origins and 4 destinations"),
        ({"prior": PRIOR.assign_coords(origin=list("ABDC"))}, "different labels: D and C, C and D"),
        ({"prior": PRIOR[0]}, "(prior) | found dims (destination)"),
        ({"total": 2.0}, "(total) | found 2; allowed: 7 to inf, given net migration"),
        ({"total": -2.0}, "(total) | found -2"),
        ({"total": NET}, "(total) | found dims (place)"),
        ({"each": "draw"}, "(each) | found no table with dim draw"),
        (
            {"prior": PRIOR.where(PRIOR["destination"] != "B", 0.0)},
            "(net) | found 4 for place B; allowed: at most 0, given the zeros of the prior",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    arguments = {"net": NET, "prior": PRIOR, **changes}
    with pytest.raises(InputError) as caught:
        net_table(arguments.pop("net"), arguments.pop("prior"), **arguments)
    assert said in str(caught.value)


def test_a_total_that_no_acyclic_table_reaches() -> None:
    chain = xr.zeros_like(PRIOR)
    chain.loc["A", "B"] = chain.loc["B", "C"] = 1.0
    with pytest.raises(InputError, match=r"\(total\) \| found 9; allowed: 4 to 4"):
        net_table(by_place([-2.0, 0.0, 2.0, 0.0]), chain, total=9.0)


def test_an_infeasible_draw_is_named() -> None:
    prior = PRIOR.where(PRIOR["destination"] != "B", 0.0)
    nets = xr.concat([by_place([1, -1, 0, 0]), NET], xr.Variable("draw", ["good", "bad"]))
    with pytest.raises(InputError, match="place B at draw bad") as caught:
        net_table(nets, prior, each="draw")
    assert "draw good" not in str(caught.value)


def test_an_answer_that_is_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowcast.accounting._projection.MAX_STEPS", 1)
    with pytest.raises(ConvergenceError, match="found net migration off by"):
        net_table(20.0 * NET, PRIOR)


def test_words_and_numbers_that_are_not_known() -> None:
    with pytest.raises(UsageError, match=r"found 'entropie'; .* did you mean entropy"):
        net_table(NET, PRIOR, method="entropie")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"\(weights\)"):
        net_table(NET, PRIOR, weights="none")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="found tol 0"):
        net_table(NET, PRIOR, tol=0.0)


def test_net_of_flows_is_inflow_less_outflow_whatever_the_other_dims() -> None:
    flows = PRIOR * xr.DataArray([1.0, 3.0], {"age": [0, 5]})
    net = net_of_flows(flows)
    assert net.dims == ("age", "place")
    inflow, outflow = PRIOR.sum("origin").values, PRIOR.sum("destination").values
    np.testing.assert_allclose(net.sel(age=5), 3.0 * (inflow - outflow))
    with pytest.raises(InputError, match="different labels"):
        net_of_flows(PRIOR.assign_coords(origin=list("ABDC")))
