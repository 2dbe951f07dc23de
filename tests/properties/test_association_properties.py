"""Associations by rank do not depend on the scale of the indicator."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support import tiny_posterior

from flowcast.estimates import flow_estimates
from flowcast.validation import association, indicator_table

PLACES = ("AT", "DE", "FR", "PL", "SE")
ESTIMATES = flow_estimates(tiny_posterior(PLACES, 4, n_chains=1, n_draws=5, thin=1))
PAIRS = [
    (str(o), str(d), 2020 + t)
    for o, d in zip(ESTIMATES.origins, ESTIMATES.destinations, strict=True)
    for t in range(4)
]
BY_RANK = ["rank_across", "rank_within", "sign_agreement"]


def associate(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> pd.DataFrame:
    frame = pd.DataFrame(PAIRS, columns=["origin", "destination", "year"]).assign(value=values)
    return association(ESTIMATES, indicator_table(frame, "asylum_unhcr")).set_index("metric")


@settings(max_examples=15)
@given(
    values=st.lists(st.integers(0, 60), min_size=len(PAIRS), max_size=len(PAIRS)),
    scale=st.sampled_from([lambda y: y**3, np.expm1, np.sqrt, lambda y: 7.0 * y + 100.0]),
)
def test_a_monotone_scale_changes_nothing(
    values: list[int], scale: Callable[[np.ndarray], np.ndarray]
) -> None:
    y = np.array(values, dtype=float)
    one, other = associate(y), associate(scale(y))
    told = [metric for metric in BY_RANK if metric in one.index]
    assert told == [metric for metric in BY_RANK if metric in other.index]
    columns = ["value", "lower", "upper", "se", "n"]
    np.testing.assert_allclose(
        one.loc[told, columns].to_numpy(float), other.loc[told, columns].to_numpy(float), atol=1e-9
    )


@settings(max_examples=10)
@given(
    values=st.lists(st.integers(1, 60), min_size=len(PAIRS), max_size=len(PAIRS)),
    power=st.sampled_from([0.5, 2.0, 3.0]),
    factor=st.floats(0.1, 1000.0),
)
def test_a_power_divides_the_elasticity(values: list[int], power: float, factor: float) -> None:
    y = np.array(values, dtype=float)
    assume(len(set(values)) > 2)
    one, other = (associate(v).loc["elasticity", "value"] for v in (y, factor * y**power))
    assert other == pytest.approx(one / power, rel=1e-6, abs=1e-9)
