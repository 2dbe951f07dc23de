"""Controlled rounding of any two-way table keeps its margins, and every cell next to its value."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from flowcast.publication.disclosure import round_controlled

tables = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(0.0, 1e6, allow_subnormal=False),
)


@settings(deadline=None, max_examples=60)
@given(tables, st.sampled_from([1.0, 5.0, 20.0]))
def test_rounding_keeps_margins_of_any_table(table: NDArray[np.float64], base: float) -> None:
    n_row, n_column = table.shape
    margins = np.vstack(
        [
            np.kron(np.eye(n_row), np.ones(n_column)),
            np.kron(np.ones(n_row), np.eye(n_column)),
            np.ones(table.size),
        ]
    )
    rounded = round_controlled(table.ravel(), margins, base)
    slack = 1e-6 * base
    assert np.abs(rounded / base - np.round(rounded / base)).max() < 1e-6
    assert (np.abs(rounded - table.ravel()) < base + slack).all()
    assert (np.abs(margins @ rounded - margins @ table.ravel()) < base + slack).all()
    multiples = np.arange(table.size) * base
    np.testing.assert_array_equal(round_controlled(multiples, margins, base), multiples)
