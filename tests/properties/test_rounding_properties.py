"""Rounded intervals contain those they came from, whatever the estimate."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcast.publication import round_table, rounding_step
from flowcast.publication.rounding import round_down, round_up

persons = st.floats(-1e9, 1e9, allow_nan=False, allow_subnormal=False)
widths = st.floats(0.0, 1e8, allow_nan=False, allow_subnormal=False)


@settings(deadline=None, max_examples=1000)
@given(persons, widths, st.floats(0.0, 1.0))
def test_an_interval_contains_the_one_before_it_was_rounded(
    lower: float, width: float, share: float
) -> None:
    upper = lower + width
    width = upper - lower
    median = min(max(lower + share * width, lower), upper)
    (step,) = rounding_step([width])
    down, up = round_down(lower, step), round_up(upper, step)
    assert down <= lower
    assert up >= upper
    assert down <= np.round(median / step) * step <= up
    assert up - down <= width + 2.0 * step
    assert step == 1.0 or step <= width / 10.0 < 10.0 * step


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(persons, widths, widths), min_size=1, max_size=5))
def test_a_table_is_rounded_cell_by_cell(cells: list[tuple[float, float, float]]) -> None:
    rows = [
        {"origin": str(k), "destination": "X", "mean": m, "median": m, "sd": 1.5, "prob": prob,
         "lower": m - a * factor, "upper": m + b * factor}
        for k, (m, a, b) in enumerate(cells)
        for prob, factor in ((0.8, 0.5), (0.95, 1.0))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    rounded = round_table(table)
    assert (rounded["lower"] <= table["lower"]).all()
    assert (rounded["upper"] >= table["upper"]).all()
    assert (rounded["sd"] >= table["sd"]).all()
    assert (rounded.groupby("origin")["median"].nunique() == 1).all()
    assert (rounded["lower"] <= rounded["median"]).all()
    assert (rounded["median"] <= rounded["upper"]).all()
