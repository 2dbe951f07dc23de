"""The arrays below raking and net tables: sweeps, Newton's method on the dual, linear programs."""

import numpy as np
import pytest
from scipy import optimize, sparse

from flowcast.accounting._feasible import possible_cells, shortfall, total_range
from flowcast.accounting._ipf import BlockSum, MarginSum, fit_matrix, fit_table, largest_gap
from flowcast.accounting._projection import constraint_gap, project_entropy, project_squares

RNG = np.random.default_rng(11)
SEED = RNG.gamma(1.0, 5.0, (4, 3, 5))
TRUTH = RNG.gamma(1.0, 5.0, (4, 3, 5))
ROWS, COLUMNS = TRUTH.sum(axis=2), TRUTH.sum(axis=1)
ENDS = [MarginSum((2,), ROWS[:, :, None]), MarginSum((1,), COLUMNS[:, None, :])]


def test_both_kernels_find_the_same_table() -> None:
    one = fit_table(SEED, ENDS, 1e-10, 1000)
    other = fit_matrix(SEED, ROWS, COLUMNS, 1e-10, 1000)
    np.testing.assert_allclose(one.table, other.table, rtol=1e-9)
    assert one.n_sweeps.tolist() == other.n_sweeps.tolist()
    for fit in (one, other):
        assert (fit.gap < 1e-10).all()
        np.testing.assert_allclose(SEED * fit.factors[0] * fit.factors[1], fit.table, rtol=1e-12)


def test_each_table_of_a_batch_is_fitted_as_if_alone() -> None:
    batch = fit_table(SEED, ENDS, 1e-10, 1000)
    for k in range(len(SEED)):
        alone = fit_table(SEED[k : k + 1], [c.take(slice(k, k + 1)) for c in ENDS], 1e-10, 1000)
        np.testing.assert_array_equal(alone.table[0], batch.table[k])
        assert alone.n_sweeps[0] == batch.n_sweeps[k]
    assert len(set(batch.n_sweeps.tolist())) > 1, "tables that need the same sweeps show nothing"


def test_the_seed_is_not_changed() -> None:
    before = SEED.copy()
    fit_table(SEED, ENDS, 1e-6, 50)
    fit_matrix(SEED, ROWS, COLUMNS, 1e-6, 50)
    np.testing.assert_array_equal(SEED, before)


def test_blocks_are_sums_of_the_cells_that_carry_their_number() -> None:
    ids = np.array([[0, 0, 1, -1, 1]] * 3)
    block = BlockSum(ids, np.ones((4, 2)))
    by_hand = np.stack([SEED[:, :, :2].sum((1, 2)), SEED[:, :, [2, 4]].sum((1, 2))], axis=1)
    np.testing.assert_allclose(block.sums(SEED), by_hand, rtol=1e-12)
    table = SEED.copy()
    block.scale(table, np.full((4, 2), 2.0) * [1.0, 3.0])
    np.testing.assert_allclose(table[:, :, 3], SEED[:, :, 3])
    np.testing.assert_allclose(table[:, :, 0], 2.0 * SEED[:, :, 0])
    np.testing.assert_allclose(table[:, :, 4], 6.0 * SEED[:, :, 4])


def test_gap_is_relative_and_infinite_where_nothing_can_be_done() -> None:
    table = np.array([[[1.0, 2.0]], [[0.0, 0.0]], [[1.0, 1.0]]])
    target = np.array([[[4.0]], [[5.0]], [[0.0]]])
    gaps = largest_gap(table, [MarginSum((2,), target)])
    assert gaps.tolist() == [0.25, np.inf, np.inf]


@pytest.mark.parametrize(("small", "gap"), [(1e-2, 0.01), (1e-5, 0.01), (1e-9, 1e-5)])
def test_small_sums_are_met_down_to_a_millionth_of_the_total(small: float, gap: float) -> None:
    target = np.array([[[1.0], [small]]])
    off = np.array([[[1.0], [1.01 * small]]])
    assert largest_gap(off, [MarginSum((2,), target)])[0] == pytest.approx(gap, rel=0.1)


@pytest.mark.parametrize("kernel", ["table", "matrix"])
def test_a_table_that_cannot_be_fitted_is_left_at_once(kernel: str) -> None:
    seed = np.array([[[0.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])
    rows, columns = np.ones((2, 2)), np.ones((2, 2))
    ends = [MarginSum((2,), rows[:, :, None]), MarginSum((1,), columns[:, None, :])]
    if kernel == "table":
        fit = fit_table(seed, ends, 1e-9, 500)
    else:
        fit = fit_matrix(seed, rows, columns, 1e-9, 500)
    assert fit.n_sweeps[0] < 5
    assert fit.gap[0] == np.inf
    assert fit.gap[1] < 1e-9


def margins_as_equations(shape: tuple[int, int]) -> sparse.csr_array:
    n, m = shape
    rows = sparse.kron(sparse.eye_array(n), np.ones((1, m)))
    columns = sparse.kron(np.ones((1, n)), sparse.eye_array(m))
    return sparse.csr_array(sparse.vstack([rows, columns]))


def test_newton_finds_the_table_that_sweeps_find() -> None:
    fit = fit_matrix(SEED, ROWS, COLUMNS, 1e-12, 5000)
    a = margins_as_equations((3, 5))
    for k in range(len(SEED)):
        b = np.concatenate([ROWS[k], COLUMNS[k]])
        found = project_entropy(SEED[k].ravel(), a, b)
        np.testing.assert_allclose(found.x, fit.table[k].ravel(), rtol=1e-9)
        assert found.n_steps < 20
        assert found.gap < 1e-13
        np.testing.assert_allclose(SEED[k].ravel() * np.exp(a.T @ found.potential), found.x)


def test_squares_agree_with_a_general_solver() -> None:
    for k in range(6):
        rng = np.random.default_rng(k)
        prior, weight = rng.normal(1.0, 2.0, 12), rng.gamma(2.0, 1.0, 12)
        a = sparse.csr_array(rng.integers(-1, 2, (4, 12)).astype(float))
        b = a @ rng.gamma(0.5, 2.0, 12)
        found = project_squares(prior, weight, a, b)
        general = optimize.minimize(
            lambda x, p=prior, w=weight: (w * (x - p) ** 2).sum(),
            np.ones(12),
            jac=lambda x, p=prior, w=weight: 2.0 * w * (x - p),
            bounds=[(0.0, None)] * 12,
            constraints=[
                {
                    "type": "eq",
                    "fun": lambda x, a=a, b=b: a @ x - b,
                    "jac": lambda _, a=a: a.toarray(),
                }
            ],
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        assert found.gap < 1e-9
        assert (found.x >= 0.0).all()
        assert (weight * (found.x - prior) ** 2).sum() <= general.fun * (1 + 1e-8)
        np.testing.assert_allclose(found.x, general.x, atol=1e-5)


def test_squares_fulfil_the_conditions_of_a_minimum() -> None:
    """x is 0 or on the plane ``p + A'y / w``, and there is no x below it where it is 0."""
    rng = np.random.default_rng(3)
    prior, weight = rng.normal(0.0, 3.0, 30), rng.gamma(2.0, 1.0, 30)
    a = sparse.csr_array(rng.normal(size=(5, 30)))
    found = project_squares(prior, weight, a, a @ rng.gamma(0.3, 4.0, 30))
    plane = prior + (a.T @ found.potential) / weight
    inside = found.x > 0.0
    assert 0 < inside.sum() < 30
    np.testing.assert_allclose(found.x[inside], plane[inside], rtol=1e-9)
    assert (plane[~inside] <= 1e-12).all()


def test_an_answer_that_does_not_exist_has_a_gap() -> None:
    a, b = sparse.csr_array(np.array([[1.0, 1.0], [1.0, 1.0]])), np.array([1.0, 2.0])
    assert project_entropy(np.ones(2), a, b).gap > 0.1
    assert project_squares(np.ones(2), np.ones(2), a, b).gap > 0.1
    assert constraint_gap(a, b, np.array([0.5, 0.5])) == pytest.approx(0.5)


def test_shortfall_says_which_sums_cannot_be_met_and_by_how_much() -> None:
    a = margins_as_equations((2, 2))[
        :, [0, 1, 3]
    ]  # no flow from the second row to the first column
    feasible = np.array([5.0, 3.0, 4.0, 4.0])
    assert shortfall(sparse.csr_array(a), feasible).tolist() == [0.0] * 4  # type: ignore[union-attr]
    missed = shortfall(sparse.csr_array(a), np.array([2.0, 6.0, 4.0, 4.0]))
    assert missed is not None
    assert np.abs(missed).max() == pytest.approx(2.0)
    assert set(np.flatnonzero(missed)) <= {0, 1, 2, 3}


def test_cells_that_have_to_be_zero() -> None:
    a = sparse.csr_array(margins_as_equations((2, 2))[:, [0, 1, 3]])
    assert possible_cells(a, np.array([5.0, 3.0, 5.0, 3.0])).tolist() == [True, False, True]  # type: ignore[union-attr]
    assert possible_cells(a, np.array([5.0, 3.0, 4.0, 4.0])).all()  # type: ignore[union-attr]


def test_range_of_the_total() -> None:
    a = sparse.csr_array(np.array([[1.0, -1.0, 0.0], [0.0, 1.0, 1.0]]))
    low, high = total_range(a, np.array([1.0, 4.0]))
    assert (low, high) == (pytest.approx(5.0), pytest.approx(9.0))
    assert np.isnan(total_range(a, np.array([1.0, -4.0]))).all()
