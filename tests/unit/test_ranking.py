"""Which cell is the largest: probabilities from draws, against counting and against theory."""

import numpy as np
import pytest
from scipy.stats import norm
from support import tiny_posterior

from flowcast.errors import UsageError
from flowcast.estimates import aggregate, flow_estimates, rank_cells, top_corridors

SAMPLE = np.random.default_rng(5).normal(size=(2, 200, 6, 1))
CENTRES = np.array([3.0, 3.3, 0.0, 5.0, 1.0, 1.0])
MINE = tiny_posterior(3, 1, n_draws=200, flows=np.exp(CENTRES[:, None] + 0.5 * SAMPLE))


def test_probabilities_of_the_largest_are_those_of_two_normals() -> None:
    # AT -> DE and AT -> FR: differ by .3 on the log scale, with an sd of .5 each.
    ranked = rank_cells(MINE, within="origin").set_index(["origin", "destination"])
    first = ranked.loc[("AT", "FR")]
    exact = norm.cdf(0.3 / (0.5 * np.sqrt(2.0)))
    assert abs(first["probability"] - exact) < 4.0 * first["se"]
    assert 0.01 < first["se"] < 0.05
    assert ranked.loc["AT"].index[0] == "FR"
    np.testing.assert_allclose(ranked.groupby("origin")["probability"].sum(), 1.0)
    np.testing.assert_allclose(ranked["rank"], 2.0 - ranked["probability"])
    assert (ranked["se"] > 0.0).all()


def test_all_corridors_of_a_period_are_counted_among_the_first() -> None:
    flows = flow_estimates(MINE)
    ranked = rank_cells(flows, top=2)
    values = flows.draws.isel(period=0).stack(sample=("chain", "draw")).transpose("sample", ...)
    order = np.argsort(-values.values, axis=1)[:, :2]
    share = {
        (o, d): np.mean((order == k).any(axis=1))
        for k, (o, d) in enumerate(zip(flows.origins, flows.destinations, strict=True))
    }
    for row in ranked.itertuples():
        assert row.probability == pytest.approx(share[row.origin, row.destination])
    assert ranked["probability"].sum() == pytest.approx(2.0)
    first = top_corridors(flows, 2)
    assert first["median"].tolist() == ranked["median"].nlargest(2).tolist()
    assert first.attrs["top"] == 2


def test_correlated_draws_have_a_larger_error() -> None:
    steps = np.random.default_rng(6).normal(size=(2, 200))
    slow = np.zeros((2, 200))
    for t in range(1, 200):
        slow[:, t] = 0.95 * slow[:, t - 1] + steps[:, t]
    flows = np.ones((2, 200, 6, 1))
    flows[..., 0, 0] = np.exp(slow)
    walk = tiny_posterior(3, 1, n_draws=200, flows=flows)
    apart = tiny_posterior(
        3,
        1,
        n_draws=200,
        flows=np.exp(0.0 * flows) * np.exp(SAMPLE * [[1], [0], [0], [0], [0], [0]]),
    )
    slow_error, quick_error = (
        rank_cells(one, within="origin")
        .query("destination == 'DE' and origin == 'AT'")["se"]
        .item()
        for one in (walk, apart)
    )
    assert slow_error > 2.0 * quick_error


def test_sums_have_no_groups_and_a_rank_starts_at_one() -> None:
    arrivals = aggregate(flow_estimates(tiny_posterior()), "immigration")
    ranked = rank_cells(arrivals)
    assert len(ranked) == 8
    assert ranked["origin"].isna().all()
    assert ranked.groupby("period_start")["probability"].sum().tolist() == pytest.approx([1, 1])
    with pytest.raises(UsageError, match="with two ends"):
        rank_cells(arrivals, within="origin")
    with pytest.raises(UsageError, match="origin, destination"):
        rank_cells(MINE, within="place")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="1 or more"):
        rank_cells(MINE, top=0)
