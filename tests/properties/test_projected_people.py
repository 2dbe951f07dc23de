"""Nobody is lost, counted twice or made up while people move, whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flowcast.projection._people import (
    Step,
    find_return_weight,
    limit_flows,
    move_stock,
    return_parts,
)

N = 4
type Floats = NDArray[np.float64]
persons = st.floats(0.0, 1e9)
stocks = arrays(np.float64, (N, N), elements=persons)
wanted = arrays(np.float64, (N, N), elements=st.floats(0.0, 1e8))


def without_diagonal(flows: Floats) -> Floats:
    return np.where(np.eye(N, dtype=bool), 0.0, flows)


@given(
    stocks,
    wanted,
    st.floats(1.0, 1e4),
    st.none() | arrays(np.float64, (N, N), elements=st.floats(0, 50)),
)
def test_people_are_conserved_by_birthplace(
    stock: Floats, flows: Floats, weight: float, factor: Floats | None
) -> None:
    living = stock.sum(axis=0)
    moving, returning = return_parts(
        limit_flows(without_diagonal(flows), living)[0], stock, weight, factor
    )
    after = move_stock(stock, moving, returning)
    scale = max(1.0, float(stock.sum()))
    np.testing.assert_allclose(after.sum(axis=1), stock.sum(axis=1), atol=1e-9 * scale)
    change = moving.sum(axis=0) - moving.sum(axis=1)
    np.testing.assert_allclose(after.sum(axis=0), living + change, atol=1e-9 * scale)
    assert after.min() >= -1e-9 * scale
    assert (returning <= moving + 1e-9 * scale).all()


@given(wanted, arrays(np.float64, N, elements=persons))
def test_no_place_is_emptied(flows: Floats, living: Floats) -> None:
    kept, over = limit_flows(without_diagonal(flows), living)
    assert (kept.sum(axis=1) <= 0.4 * living + 1e-6 * (1 + living)).all()
    assert over <= N


@given(wanted, arrays(np.float64, N, elements=persons))
def test_the_world_gains_and_loses_nobody(flows: Floats, population: Floats) -> None:
    step = Step(np.zeros(N), np.zeros(N), without_diagonal(flows))
    total = step.after(population).sum()
    assert total == pytest.approx(population.sum(), rel=1e-9, abs=1e-3)


@given(st.floats(0.05, 0.9))
def test_the_weight_gives_the_share_of_returns(share: float) -> None:
    stock = np.full((N, N), 10.0) + 100 * np.eye(N)
    flows = without_diagonal(np.full((N, N), 1.0))
    weight = find_return_weight(flows, stock, share)
    returning = return_parts(flows, stock, weight)[1]
    expected = max(share, 10 / 140)
    assert returning.sum() / flows.sum() == pytest.approx(expected, rel=1e-6)
