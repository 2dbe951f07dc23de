"""What holds for any minimum stay and any increments: order, exactness, names that lead back."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from support import STEPS, tiny_posterior

from flowcast.definitions import name_definition, parse_definition
from flowcast.errors import UsageError
from flowcast.estimates import aggregate, duration_log_factor, flow_estimates, summarise
from flowcast.vocabulary import DURATION_KNOTS

stays = st.one_of(st.floats(0.0, 12.0), st.sampled_from([0.0, 3.0, 6.0, 12.0, 60.0]))
steps = st.lists(st.floats(1e-3, 2.0), min_size=4, max_size=4).map(
    lambda values: xr.DataArray(values, dims="step", coords={"step": list(STEPS)})
)
POSTERIOR = tiny_posterior(4, 1, n_draws=8)
"""Its increments are positive, as those of every fit."""
USUAL = flow_estimates(POSTERIOR)


@given(stays)
def test_a_name_leads_back_to_the_very_number(months: float) -> None:
    assert parse_definition(name_definition(months)) == months


@given(steps, stays, stays)
def test_a_longer_minimum_stay_never_has_a_larger_factor(
    increments: xr.DataArray, one: float, other: float
) -> None:
    shorter, longer = sorted((one, other))
    more, fewer = (float(duration_log_factor(increments, m)) for m in (shorter, longer))
    assert more >= fewer - 1e-12


@given(steps)
def test_the_factor_of_twelve_months_is_exactly_one(increments: xr.DataArray) -> None:
    assert float(np.exp(duration_log_factor(increments, 12.0))) == 1.0


@given(steps, st.sampled_from(list(pairwise(DURATION_KNOTS[:4]))))
def test_between_two_knots_the_factor_lies_between_theirs(
    increments: xr.DataArray, knots: tuple[float, float]
) -> None:
    stays = np.linspace(*knots, 9)
    factors = [float(duration_log_factor(increments, m)) for m in stays]
    assert (np.diff(factors) <= 1e-12).all()
    np.testing.assert_allclose(np.diff(factors), np.diff(factors).mean(), atol=1e-9)


@given(stays, stays)
def test_a_shorter_minimum_stay_never_counts_fewer_moves(one: float, other: float) -> None:
    """In any draw, of flows and of totals; so in every statistic of the table too."""
    more, fewer = (USUAL.under(months) for months in sorted((one, other)))
    assert (more.draws >= fewer.draws * (1 - 1e-12)).all()
    arrived = [aggregate(flows, "immigration") for flows in (more, fewer)]
    assert (arrived[0].draws >= arrived[1].draws * (1 - 1e-12)).all()
    tables = [summarise(flows, probs=[0.8]) for flows in (more, fewer)]
    for name in ("mean", "median", "lower", "upper"):
        assert (tables[0][name] >= tables[1][name] * (1 - 1e-12)).all()


@given(stays, st.sampled_from(["immigration", "emigration", "net"]))
def test_all_draws_of_a_total_have_the_factor_of_its_flows(months: float, measure: str) -> None:
    """One factor a draw: a sum of converted flows is the sum, converted."""
    before, after = (
        aggregate(flows, measure).draws  # type: ignore[arg-type]
        for flows in (USUAL, USUAL.under(months))
    )
    factor = (USUAL.under(months).draws / USUAL.draws).isel(corridor=0, drop=True)
    scale = float(np.abs(after).max())
    np.testing.assert_allclose(after, before * factor, rtol=1e-9, atol=1e-9 * scale)


@given(st.floats(allow_nan=True).filter(lambda m: not (0.0 <= m <= 12.0 or m == 60.0)))
def test_no_other_number_is_a_definition(months: float) -> None:
    for given_as in (months, str(months), f"{months}-months"):
        with pytest.raises(UsageError, match="allowed: a minimum stay of 0 to 12 months"):
            parse_definition(given_as)
