"""What holds of a normal below a limit, wherever the limit is."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowcast.model.figures import draw_below
from flowcast.model.sites import below_moments

MEAN = st.floats(-20.0, 20.0)
SD = st.floats(1e-3, 20.0)
AWAY = st.floats(-300.0, 300.0)
"""Limit less mean, in units of the sd."""


def moments(away: float, mean: float, sd: float) -> tuple[float, float]:
    first, second = below_moments(np.array([mean + away * sd]), np.array([mean]), np.array([sd**2]))
    return float(first[0]), float(second[0])


@given(AWAY, MEAN, SD)
def test_the_mean_is_below_the_limit_and_the_variance_shrinks(
    away: float, mean: float, sd: float
) -> None:
    first, second = moments(away, mean, sd)
    # The limit itself is known to its rounding only.
    slack = 1e-13 * (abs(mean) + abs(away * sd))
    assert first <= min(mean, mean + away * sd) + slack
    assert 0.0 < second <= sd**2


@given(AWAY, MEAN, SD)
def test_the_spread_is_that_of_the_tail(away: float, mean: float, sd: float) -> None:
    """Below -1 sd a normal falls off faster than the exponential that touches it at the limit."""
    first, second = moments(away, mean, sd)
    if away < -1.0:
        slack = 1e-9 * sd + 1e-13 * abs(mean)
        assert mean + away * sd - first <= sd / -away + slack
        # The least variance that is returned is a millionth of the normal's.
        assert second <= max((sd / away) ** 2, 1e-6 * sd**2) * (1.0 + 1e-6)


@given(AWAY, st.floats(0.01, 50.0), MEAN, SD)
def test_a_higher_limit_leaves_a_higher_mean(
    away: float, step: float, mean: float, sd: float
) -> None:
    low, high = moments(away, mean, sd), moments(away + step, mean, sd)
    slack = 1e-12 * (abs(mean) + abs(away * sd))
    assert high[0] >= low[0] - slack
    assert high[1] >= low[1] * (1.0 - 1e-6)


@given(AWAY, MEAN, SD, st.integers(0, 2**32 - 1))
def test_draws_are_below_the_limit(away: float, mean: float, sd: float, seed: int) -> None:
    limit = mean + away * sd
    size = 50
    arrays = (np.full(size, value) for value in (limit, mean, sd))
    drawn = draw_below(*arrays, np.random.default_rng(seed))
    assert np.isfinite(drawn).all()
    assert (drawn <= limit + 1e-13 * (abs(mean) + abs(limit))).all()
