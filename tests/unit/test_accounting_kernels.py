"""The arithmetic of accounting: by hand, against a linear programme, and on its rarer paths."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from flowcast.accounting import _kernels
from flowcast.accounting._kernels import (
    Refused,
    adjust,
    allocate,
    allocate_by_birthplace,
    balance_closed,
    balance_open,
    rake_movers,
)

Array = NDArray[np.float64]

START = np.array([[100.0, 10.0, 0.0], [20.0, 200.0, 30.0], [5.0, 0.0, 50.0]])
END = np.array([[90.0, 15.0, 5.0], [30.0, 190.0, 30.0], [0.0, 15.0, 40.0]])
NOBODY = np.zeros(3)


def some_world(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Return two tables with the same totals of birthplaces."""
    rng = np.random.default_rng(seed)
    start = rng.gamma(0.5, 40.0, (n, n)) + np.diag(rng.gamma(3.0, 300.0, n))
    end = start * rng.gamma(8.0, 1 / 8.0, (n, n))
    return start, end * (start.sum(axis=1) / end.sum(axis=1))[:, None]


# --- births, deaths, the world's growth ----------------------------------------------------------


def test_births_come_from_natives_and_deaths_from_everybody() -> None:
    births, deaths = np.array([9.0, 0.0, 4.0]), np.array([25.0, 21.0, 0.0])
    start, end = adjust(START, END, births, deaths, None)
    np.testing.assert_allclose(start, START * [0.8, 0.9, 1.0])
    np.testing.assert_allclose(end, END - np.diag(births))


def test_births_beyond_the_natives_are_shared_by_all_groups_of_the_place() -> None:
    """60 births where 40 of 75 residents are natives: four fifths of every group are taken."""
    _, end = adjust(START, END, np.array([0.0, 0.0, 60.0]), NOBODY, None)
    np.testing.assert_allclose(end[:, 2], END[:, 2] * 0.2)
    np.testing.assert_allclose(end[:, :2], END[:, :2])


def test_as_many_births_as_natives_leave_none() -> None:
    _, end = adjust(START, END, np.array([0.0, 0.0, 40.0]), NOBODY, None)
    assert end[:, 2].tolist() == [5.0, 30.0, 0.0]


@pytest.mark.parametrize("matching", ["before", "after"])
def test_the_world_then_grows_by_births_minus_deaths(matching: str) -> None:
    births, deaths = np.array([9.0, 3.0, 4.0]), np.array([25.0, 21.0, 0.0])
    start, end = adjust(START, END, births, deaths, matching)
    assert start.sum() == pytest.approx(end.sum(), rel=1e-14)
    surplus = END.sum() - START.sum() - births.sum() + deaths.sum()
    assert start.sum() == pytest.approx(START.sum() - deaths.sum() + surplus / 2.0)
    off_diagonal = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(end[off_diagonal], END[off_diagonal])


def test_before_and_after_differ_where_people_die() -> None:
    deaths = np.array([25.0, 21.0, 0.0])
    before, after = (adjust(START, END, NOBODY, deaths, m)[0] for m in ("before", "after"))
    assert np.abs(before - after).max() > 0.1


def test_inputs_are_not_changed() -> None:
    kept = START.copy(), END.copy()
    adjust(START, END, np.full(3, 10.0), np.full(3, 5.0), "before")
    np.testing.assert_array_equal(START, kept[0])
    np.testing.assert_array_equal(END, kept[1])


@pytest.mark.parametrize("what", ["births", "deaths"])
def test_more_events_than_people_are_refused_by_place(what: str) -> None:
    events = np.array([0.0, 1000.0, 1000.0])
    given = {"births": NOBODY, "deaths": NOBODY} | {what: events}
    with pytest.raises(Refused) as refused:
        adjust(START, END, given["births"], given["deaths"], None)
    assert refused.value.what == what
    assert refused.value.places.tolist() == [1, 2]
    assert "1000 of" in refused.value.found[0]


def test_a_place_may_die_out() -> None:
    start, _ = adjust(START, END, NOBODY, START.sum(axis=0), None)
    np.testing.assert_allclose(start, 0.0, atol=1e-12)


def test_a_surplus_that_natives_cannot_bear_is_refused() -> None:
    with pytest.raises(Refused, match="stocks") as refused:
        adjust(START, END + 500.0 * (1.0 - np.eye(3)), NOBODY, NOBODY, "before")
    assert len(refused.value.places) == 0
    assert "more than births minus deaths" in refused.value.found[0]


# --- totals of birthplaces -----------------------------------------------------------------------


def test_a_closed_world_takes_the_mean_of_both_totals() -> None:
    start, end = adjust(START, END, NOBODY, NOBODY, "before")
    first, then = balance_closed(start, end)
    mean = (start.sum(axis=1) + end.sum(axis=1)) / 2.0
    for table, given in ((first, start), (then, end)):
        np.testing.assert_allclose(table.sum(axis=1), mean, rtol=1e-12)
        np.testing.assert_allclose(table.sum(axis=0), given.sum(axis=0), rtol=1e-12)


def test_a_closed_world_names_the_birthplace_it_cannot_serve() -> None:
    """Place 2 has no foreign-born at either date, and its natives live nowhere else."""
    start, end = some_world(12)
    for table, native in ((start, 50.0), (end, 90.0)):
        table[2], table[:, 2] = 0.0, 0.0
        table[2, 2] = native
    start, end = adjust(start, end, np.zeros(12), np.zeros(12), "before")
    with pytest.raises(Refused, match="stocks at the start") as refused:
        balance_closed(start, end)
    assert refused.value.places.tolist() == [2]


def test_a_birthplace_that_appears_has_no_place_in_a_closed_world() -> None:
    start = START.copy()
    start[0] = 0.0
    with pytest.raises(Refused) as refused:
        balance_closed(start, END)
    assert refused.value.places.tolist() == [0]


def test_leavers_go_from_where_their_group_ends_and_entrants_to_where_it_began() -> None:
    """Group 0 shrinks from 120 to 100, group 1 grows from 50 to 80."""
    start, end = np.array([[90.0, 30.0], [10.0, 40.0]]), np.array([[60.0, 40.0], [20.0, 60.0]])
    first, then, leavers, entrants = balance_open(start, end, swapped=False)
    np.testing.assert_allclose(leavers, [[12.0, 8.0], [0.0, 0.0]])
    np.testing.assert_allclose(entrants, [[0.0, 0.0], [6.0, 24.0]])
    np.testing.assert_allclose(first, start - leavers)
    np.testing.assert_allclose(then, end - entrants)


def test_swapped_they_leave_from_where_they_began_and_enter_where_they_end() -> None:
    start, end = np.array([[90.0, 30.0], [10.0, 40.0]]), np.array([[60.0, 40.0], [20.0, 60.0]])
    _, _, leavers, entrants = balance_open(start, end, swapped=True)
    np.testing.assert_allclose(leavers, [[15.0, 5.0], [0.0, 0.0]])
    np.testing.assert_allclose(entrants, [[0.0, 0.0], [7.5, 22.5]])


def test_no_more_leave_than_there_are() -> None:
    """All 30 leavers would go from the first place, where 10 are: the other 20 go from the second.

    The package that others use lets them leave anyway, and is left with -20 people.
    """
    start, end = np.array([[10.0, 30.0], [0.0, 5.0]]), np.array([[10.0, 0.0], [0.0, 5.0]])
    first, _, leavers, _ = balance_open(start, end, swapped=False)
    assert leavers[0].tolist() == [10.0, 20.0]
    assert first[0].tolist() == [0.0, 10.0]


def test_what_is_full_hands_the_rest_on_in_proportion() -> None:
    share = _kernels._spread_row(10.0, np.array([8.0, 1.0, 1.0]), np.array([2.0, 9.0, 9.0]))
    assert share.tolist() == [2.0, 4.0, 4.0]


def test_a_group_that_appears_enters_as_a_whole() -> None:
    start, end = np.array([[0.0, 0.0], [0.0, 5.0]]), np.array([[7.0, 3.0], [0.0, 5.0]])
    _, then, _, entrants = balance_open(start, end, swapped=False)
    assert entrants[0].tolist() == [7.0, 3.0]
    assert then[0].tolist() == [0.0, 0.0]


# --- from one table to the other -----------------------------------------------------------------


def fewest_movers(before: Array, after: Array) -> float:
    """Return the least number of movers between two distributions of a group: a linear program."""
    n = len(before)
    cost = 1.0 - np.eye(n)
    leave = np.kron(np.eye(n), np.ones(n))
    arrive = np.kron(np.ones(n), np.eye(n))
    done = linprog(cost.ravel(), A_eq=np.vstack([leave, arrive]), b_eq=np.append(before, after))
    return float(done.fun)


def test_minimisation_moves_as_few_as_a_linear_program_finds() -> None:
    start, end = some_world(5)
    table = allocate_by_birthplace(start, end, stay=True, seed=None)
    for b in range(5):
        moved = table[b].sum() - table[b].trace()
        assert moved == pytest.approx(fewest_movers(start[b], end[b]), rel=1e-7)


def test_movers_are_spread_independently() -> None:
    start, end = np.array([[60.0, 20.0, 20.0, 0.0]]), np.array([[40.0, 10.0, 35.0, 15.0]])
    table = allocate_by_birthplace(start, end, stay=True, seed=None)[0]
    assert np.diag(table).tolist() == [40.0, 10.0, 20.0, 0.0]
    assert table[0].tolist() == [40.0, 0.0, 10.0, 10.0]
    assert table[1].tolist() == [0.0, 10.0, 5.0, 5.0]


def test_independence_is_the_product_of_both_distributions() -> None:
    start, end = some_world(4)
    table = allocate_by_birthplace(start, end, stay=False, seed=None)
    for b in range(4):
        wanted = np.outer(start[b], end[b]) / start[b].sum()
        np.testing.assert_allclose(table[b], wanted, rtol=1e-12)


@pytest.mark.parametrize("stay", [True, False])
@pytest.mark.parametrize("seeded", [None, "shared", "own"])
def test_the_sum_never_needs_the_parts(stay: bool, seeded: str | None) -> None:
    start, end = some_world(6)
    rng = np.random.default_rng(3)
    shape = {"shared": (6, 6), "own": (6, 6, 6)}
    seed = None if seeded is None else rng.gamma(1.0, 1.0, shape[seeded])
    whole = allocate(start, end, stay=stay, seed=seed)
    parts = allocate_by_birthplace(start, end, stay=stay, seed=seed)
    np.testing.assert_allclose(whole, parts.sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(parts.sum(axis=2), start, rtol=1e-9)
    np.testing.assert_allclose(parts.sum(axis=1), end, rtol=1e-9)


@pytest.mark.parametrize("stay", [True, False])
def test_a_uniform_seed_is_no_seed(stay: bool) -> None:
    start, end = some_world(5)
    with_ones = allocate(start, end, stay=stay, seed=np.full((5, 5), 7.0))
    np.testing.assert_allclose(with_ones, allocate(start, end, stay=stay, seed=None), rtol=1e-9)


def test_a_zero_of_the_seed_is_a_move_that_nobody_makes() -> None:
    start, end = np.diag([90.0, 50.0, 70.0, 60.0]), np.diag([90.0, 50.0, 70.0, 60.0])
    start[0], end[0] = [50.0, 40.0, 10.0, 0.0], [30.0, 20.0, 20.0, 30.0]
    seed = np.ones((4, 4))
    seed[0, 2] = 0.0
    table = allocate_by_birthplace(start, end, stay=True, seed=seed)[0]
    assert table[0, 2] == 0.0
    np.testing.assert_allclose(table[0], [30.0, 0.0, 0.0, 20.0])
    np.testing.assert_allclose(table[1], [0.0, 20.0, 10.0, 10.0])


def test_a_seed_without_a_way_out_is_refused_for_every_birthplace_it_strands() -> None:
    start = np.array([[50.0, 10.0], [20.0, 80.0], [0.0, 0.0]])[:, [0, 1, 1]] * [1.0, 1.0, 0.0]
    end = start[:, [1, 0, 2]]
    seed = np.ones((3, 3))
    seed[0, 1] = 0.0
    with pytest.raises(Refused, match="seed") as refused:
        allocate(start, end, stay=True, seed=seed)
    assert refused.value.places.tolist() == [0]


def test_movers_raked_to_unlike_sums_take_those_who_arrive() -> None:
    """What balancing leaves by rounding is not worth a refusal."""
    leaving, arriving = np.array([3.0, 0.0, 1.0 + 1e-9]), np.array([0.0, 4.0, 0.0])
    table, off = rake_movers(np.ones((3, 3)), leaving, arriving)
    assert off <= 1e-9
    np.testing.assert_allclose(table.sum(axis=0), arriving, rtol=1e-12)


def test_nobody_moves_in_an_empty_group() -> None:
    assert (allocate(np.zeros((2, 2)), np.zeros((2, 2)), stay=True, seed=None) == 0.0).all()
    assert (allocate(np.zeros((2, 2)), np.zeros((2, 2)), stay=False, seed=None) == 0.0).all()
