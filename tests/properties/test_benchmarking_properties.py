"""Whatever flows and margins: the identities hold in each draw, and nothing depends on order."""

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcast.accounting import Benchmarked, benchmark_flows, net_of_flows, population_margins

SETTINGS = settings(max_examples=15, deadline=None)


@st.composite
def cases(draw: st.DrawFn) -> tuple[xr.DataArray, pd.DataFrame]:
    """Return draws of flows, some of them 0 on the way between two places, and margins of some."""
    n = draw(st.integers(3, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.1, 1.0, 3.0]))
    values = np.exp(rng.normal(4.0, spread, (3, n, n)))
    zero = rng.random((n, n)) < draw(st.sampled_from([0.0, 0.2]))
    # a ring of flows that there are lets every place gain and lose
    ring = np.roll(np.eye(n, dtype=bool), 1, axis=1)
    values[:, zero & ~ring & ~ring.T] = 0.0
    values[:, np.arange(n), np.arange(n)] = 0.0
    places = [f"P{k}" for k in range(n)]
    flows = xr.DataArray(
        values, {"origin": places, "destination": places}, ("draw", "origin", "destination")
    )
    turnover = values[0].sum(axis=0) + values[0].sum(axis=1)
    net = rng.normal(0.0, 0.3, n) * turnover
    net -= turnover / turnover.sum() * net.sum()
    n_free = draw(st.integers(0, 2))
    rows = pd.DataFrame(
        {
            "place": places,
            "year": 2000,
            "births": rng.integers(100, 1000, n),
            "deaths": rng.integers(100, 1000, n),
            "net": net,
            "net_sd": 0.05 * turnover,
        }
    )
    return flows, rows.iloc[n_free:]


def adjusted(flows: xr.DataArray, rows: pd.DataFrame, seed: int = 1) -> Benchmarked:
    return benchmark_flows(flows, population_margins(rows), seed=seed)


@SETTINGS
@given(cases())
def test_identities_hold_in_every_draw(case: tuple[xr.DataArray, pd.DataFrame]) -> None:
    found = adjusted(*case)
    m, net = found.margins, net_of_flows(found.flows)
    gap = (m["births"] - m["deaths"] + net - m["change"]).sel(place=case[1]["place"].tolist())
    assert float(abs(gap).max()) < 1e-6
    if len(case[1]) == case[0].sizes["origin"]:
        assert float(abs(m["net"].sum("place")).max()) < 1e-6
    assert ((found.flows == 0.0) == (case[0] == 0.0)).all()


@SETTINGS
@given(cases(), st.floats(0.01, 100.0))
def test_units_do_not_matter(case: tuple[xr.DataArray, pd.DataFrame], unit: float) -> None:
    flows, rows = case
    people = ["births", "deaths", "net", "net_sd"]
    scaled = rows.assign(**{name: unit * rows[name] for name in people})
    one, other = adjusted(flows, rows), adjusted(unit * flows, scaled)
    np.testing.assert_allclose(other.flows, unit * one.flows, rtol=1e-6)


@SETTINGS
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_places_does_not_matter(
    case: tuple[xr.DataArray, pd.DataFrame], random: st.DataObject
) -> None:
    flows, rows = case
    order = flows["origin"].to_numpy().tolist()
    random.shuffle(order)  # type: ignore[attr-defined]
    turned = flows.sel(origin=order, destination=order)
    one, other = adjusted(flows, rows), adjusted(turned, rows.iloc[::-1])
    xr.testing.assert_allclose(other.flows.reindex_like(one.flows), one.flows, rtol=1e-6)


@SETTINGS
@given(cases())
def test_adjusting_twice_is_adjusting_once(case: tuple[xr.DataArray, pd.DataFrame]) -> None:
    once = adjusted(*case)
    np.testing.assert_allclose(adjusted(once.flows, case[1]).flows, once.flows, rtol=1e-6)


@SETTINGS
@given(cases())
def test_free_places_keep_the_flows_between_them(
    case: tuple[xr.DataArray, pd.DataFrame],
) -> None:
    flows, rows = case
    free = [p for p in flows["origin"].to_numpy().tolist() if p not in set(rows["place"])]
    found = adjusted(flows, rows).flows.sel(origin=free, destination=free)
    xr.testing.assert_identical(found, flows.sel(origin=free, destination=free))
