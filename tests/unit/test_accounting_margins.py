"""Raking: against plain iterative proportional fitting, by its odds, and where it must give up."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flowcast.accounting._margins import ACCEPTED, rake

Array = NDArray[np.float64]


def fit_plainly(table: Array, rows: Array, columns: Array, sweeps: int = 20_000) -> Array:
    """Scale rows and columns in turn, and nothing else (Deming & Stephan 1940)."""
    fitted = table.copy()
    for _ in range(sweeps):
        fitted *= (rows / fitted.sum(axis=1))[:, None]
        fitted *= columns / fitted.sum(axis=0)
    return fitted


def native_world(n: int, seed: int = 0) -> Array:
    """Return stocks of which about one in fifty is foreign-born: sweeps are slow on them."""
    rng = np.random.default_rng(seed)
    table = rng.gamma(0.2, 20.0, (n, n)) * (rng.random((n, n)) < 0.4)
    table[0], table[:, 0] = 5.0, 5.0
    table[np.diag_indices(n)] = 50.0 * table.sum(axis=1) * rng.gamma(5.0, 0.2, n)
    return table


def targets(table: Array, seed: int = 1) -> tuple[Array, Array]:
    """Return totals a few per cent from those there are, which some table with its zeros has."""
    rng = np.random.default_rng(seed)
    other = table * rng.normal(1.0, 0.03, table.shape).clip(0.8, 1.2)
    return other.sum(axis=1), other.sum(axis=0)


def test_it_is_the_limit_of_plain_fitting() -> None:
    table = native_world(12)
    rows, columns = targets(table)
    raked, off = rake(table, rows, columns)
    np.testing.assert_allclose(raked, fit_plainly(table, rows, columns), rtol=1e-7, atol=1e-10)
    assert off.max() < 1e-12


@pytest.mark.parametrize("n", [2, 30, 120])
def test_totals_are_kept_to_rounding_where_sweeps_would_need_thousands(n: int) -> None:
    table = native_world(n)
    rows, columns = targets(table)
    raked, off = rake(table, rows, columns)
    np.testing.assert_allclose(raked.sum(axis=1), rows, rtol=1e-12)
    np.testing.assert_allclose(raked.sum(axis=0), columns, rtol=1e-12)
    assert off.max() < 1e-12
    after_100 = fit_plainly(table, rows, columns, sweeps=100)
    if n > 2:
        assert np.abs(after_100.sum(axis=1) / rows - 1.0).max() > 1e-7


@pytest.mark.parametrize("abroad", [1.0, 1e-3, 1e-6])
def test_hardly_anybody_abroad_is_enough(abroad: float) -> None:
    """Few link the two groups, so that sweeps stand still and a whole step goes much too far."""
    table = np.array([[22122.0, abroad], [abroad, 19150.0]])
    columns = table.sum(axis=0)
    rows = columns + np.array([-110.0, 110.0])
    raked, off = rake(table, rows, columns)
    assert off.max() < 1e-12
    # The odds of the table and its totals leave one solution of a quadratic equation.
    odds = raked[0, 0] * raked[1, 1] / (raked[0, 1] * raked[1, 0])
    assert odds == pytest.approx(22122.0 * 19150.0 / abroad**2, rel=1e-6)


def test_odds_and_zeros_stay() -> None:
    rng = np.random.default_rng(4)
    table = rng.gamma(1.0, 1.0, (4, 3))
    table[2, 1] = 0.0
    raked, _ = rake(table, np.array([1.0, 20.0, 3.0, 6.0]), np.array([15.0, 10.0, 5.0]))
    assert raked[2, 1] == 0.0
    for k, m in [(1, 1), (3, 2), (1, 2)]:
        ours = raked[0, 0] * raked[k, m] / (raked[0, m] * raked[k, 0])
        wanted = table[0, 0] * table[k, m] / (table[0, m] * table[k, 0])
        assert ours == pytest.approx(wanted, rel=1e-9)


def test_what_fits_already_is_left_alone() -> None:
    table = native_world(9)
    raked, off = rake(table, table.sum(axis=1), table.sum(axis=0))
    np.testing.assert_allclose(raked, table, rtol=1e-14)
    assert off.max() < 1e-13


def test_far_totals_are_reached() -> None:
    """From a world of natives to one where everybody moved: Newton's steps alone overshoot."""
    table = native_world(20) + 1e-3
    rows = np.geomspace(1.0, 1e6, 20)
    columns = rows[::-1].copy()
    raked, off = rake(table, rows, columns)
    assert off.max() <= ACCEPTED
    np.testing.assert_allclose(raked.sum(axis=0), columns, rtol=1e-9)
    np.testing.assert_allclose(raked.sum(axis=1), rows, rtol=1e-9)


def sparse_problem(seed: int) -> tuple[Array, Array, Array]:
    """Return a table of many scales with zeros, and totals that a table with its zeros has."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 30, 2)
    table = rng.gamma(0.5, 1.0, (n, m)) * 10.0 ** rng.integers(-4, 5, (n, 1))
    table *= rng.random((n, m)) < rng.uniform(0.15, 1.0)
    other = (table > 0.0) * rng.gamma(0.5, 1.0, (n, m)) * 10.0 ** rng.integers(-3, 4, (1, m))
    return table, other.sum(axis=1), other.sum(axis=0)


def test_totals_that_can_be_reached_are_in_spite_of_zeros_and_scales() -> None:
    """Steps without a bound fail on every fortieth, and 1,500 sweeps on every fourteenth."""
    for seed in range(300):
        table, rows, columns = sparse_problem(seed)
        raked, off = rake(table, rows, columns)
        assert off.max() <= ACCEPTED, seed
        np.testing.assert_allclose(raked.sum(axis=0), columns, rtol=1e-9)
        np.testing.assert_allclose(raked.sum(axis=1), rows, rtol=1e-9)
        assert (raked[table == 0.0] == 0.0).all()


def test_parts_that_have_nothing_in_common_are_raked_apart() -> None:
    one, other = native_world(5, seed=2), native_world(4, seed=3)
    table = np.block([[one, np.zeros((5, 4))], [np.zeros((4, 5)), other]])
    rows, columns = (
        np.concatenate(both) for both in zip(targets(one), targets(other), strict=True)
    )
    raked, off = rake(table, rows, columns)
    assert off.max() <= ACCEPTED
    alone, _ = rake(one, *targets(one))
    np.testing.assert_allclose(raked[:5, :5], alone, rtol=1e-7)


def test_totals_of_zero_empty_their_rows_and_columns() -> None:
    raked, off = rake(np.ones((3, 3)), np.array([0.0, 2.0, 4.0]), np.array([6.0, 0.0, 0.0]))
    assert raked.tolist() == [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [4.0, 0.0, 0.0]]
    assert (off == 0.0).all()


def test_an_empty_row_that_should_have_people_is_said_to_be_off() -> None:
    table = np.array([[1.0, 1.0], [0.0, 0.0]])
    _, off = rake(table, np.array([3.0, 2.0]), np.array([3.0, 2.0]))
    assert off.tolist() == [0.0, 1.0]


def test_an_empty_column_that_should_have_people_is_out_of_reach() -> None:
    table = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert np.isinf(rake(table, np.array([3.0, 2.0]), np.array([3.0, 2.0]))[1]).all()


def test_totals_out_of_reach_are_said_to_be_off() -> None:
    """Everybody of the first row lives in the first column, which is smaller than it should be."""
    table = np.array([[5.0, 0.0, 0.0], [1.0, 4.0, 3.0], [2.0, 1.0, 6.0]])
    _, off = rake(table, np.array([9.0, 6.0, 7.0]), np.array([8.0, 7.0, 7.0]))
    assert off[0] > 0.1
    assert off[0] == off.max()


def test_nobody_is_nobody() -> None:
    raked, off = rake(np.zeros((2, 2)), np.zeros(2), np.zeros(2))
    assert (raked == 0.0).all()
    assert (off == 0.0).all()
