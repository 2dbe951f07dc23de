"""What holds for any uncertain stocks: people are kept, zeros stay, residents are those drawn."""

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowcast.accounting import (
    StockErrors,
    account_series,
    balance_stocks,
    demographic_flows,
    draw_series,
)
from flowcast.stock_flows import stock_flow_estimates

N, N_DATE = 4, 3
PLACES = [f"P{k}" for k in range(N)]
CODES = {"birthplace": PLACES, "residence": PLACES}
NAMES = ("stock_start", "stock_end", "births", "deaths")

people = st.one_of(st.just(0.0), st.integers(1, 5000).map(float))
share = st.floats(0.0, 0.08)
sds = st.floats(0.0, 0.5)


@st.composite
def worlds(draw: st.DrawFn) -> xr.Dataset:
    foreign = draw(arrays(float, (N_DATE, N, N), elements=people))
    native = draw(arrays(float, (N_DATE, N), elements=st.floats(2e4, 1e6)))
    stock = foreign.copy()
    stock[:, np.arange(N), np.arange(N)] = native
    rates = draw(arrays(float, (2, N_DATE - 1, N), elements=share))
    events = [[xr.DataArray(r * native.min(axis=0), coords={"place": PLACES}) for r in rate]
              for rate in rates]  # fmt: skip
    return account_series([xr.DataArray(t, coords=CODES) for t in stock], *events)


@st.composite
def errors(draw: st.DrawFn) -> StockErrors:
    words = st.sampled_from(["low", "medium", "high"])
    qualities = {place: {"quality": draw(words)} for place in PLACES if draw(st.booleans())}
    return StockErrors(
        coverage={"medium": {"sd": draw(sds), "bias": draw(st.floats(-0.5, 0.5))}},
        birthplaces={"low": {"sd": draw(sds)}},
        counting=draw(st.floats(0.0, 20.0)),
        coherent=draw(st.booleans()),
        places=qualities,
    )


@settings(max_examples=40)
@given(worlds(), errors(), st.integers(0, 2**32))
def test_zeros_stay_and_everybody_lives_somewhere(
    series: xr.Dataset, believed: StockErrors, seed: int
) -> None:
    drawn = draw_series(series, believed, draws=3, seed=seed)
    table = series["stock"].values
    for name, given_stock in (("stock_start", table[:-1]), ("stock_end", table[1:])):
        stock = drawn[name].values
        assert np.isfinite(stock).all()
        assert (stock >= 0.0).all()
        np.testing.assert_array_equal(stock > 0.0, np.broadcast_to(given_stock > 0.0, stock.shape))


@settings(max_examples=25)
@given(worlds(), errors(), st.integers(0, 2**32))
def test_an_open_world_keeps_people_in_every_draw(
    series: xr.Dataset, believed: StockErrors, seed: int
) -> None:
    drawn = draw_series(series, believed, draws=2, seed=seed)
    flows = demographic_flows(*(drawn[n] for n in NAMES), system="open", stayers=True)
    tables = balance_stocks(*(drawn[n] for n in NAMES), system="open")
    scale = float(drawn["stock_end"].sum("birthplace").max())
    residents = tables["start"].sum("birthplace").values
    np.testing.assert_allclose(flows.sum("destination"), residents, atol=1e-9 * scale)
    arrived = tables["end"].sum("birthplace").values
    np.testing.assert_allclose(flows.sum("origin"), arrived, atol=1e-9 * scale)


@settings(max_examples=15)
@given(worlds(), st.integers(0, 2**32))
def test_kept_flows_are_those_of_the_draws(series: xr.Dataset, seed: int) -> None:
    kept = stock_flow_estimates(series, "open", draws=2, seed=seed).draws.isel(chain=0)
    drawn = draw_series(series, draws=2, seed=seed)
    flows = demographic_flows(*(drawn[n] for n in NAMES), system="open")
    total = kept.sum("corridor").transpose("draw", "period").values
    np.testing.assert_allclose(total, flows.sum(("origin", "destination")), rtol=1e-5)
