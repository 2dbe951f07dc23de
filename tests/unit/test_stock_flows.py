"""Flows from uncertain stocks: the estimator on every draw, sums before summaries, kept draws."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast import latent_store, stock_flows
from flowcast.accounting import (
    StockErrors,
    StockSource,
    account_series,
    bridge_flows,
    demographic_flows,
    difference_flows,
    draw_series,
    estimator,
    rate_flows,
)
from flowcast.accounting.methods import METHODS
from flowcast.errors import HeldOutError, InputError, UsageError
from flowcast.estimates import FlowEstimates, aggregate, bridge_estimates, summarise
from flowcast.stock_flows import read_stock_flows, stock_flow_estimates
from flowcast.vocabulary import ESTIMATE_COLUMNS

PLACES = ["AT", "BE", "CH", "DE"]
CODES = {"birthplace": PLACES, "residence": PLACES}
DATES = ["2000-07-01", "2005-07-01", "2010-07-01"]
NAMES = ("stock_start", "stock_end", "births", "deaths")


def made_series(places: list[str] = PLACES) -> xr.Dataset:
    rng = np.random.default_rng(5)
    n = len(places)
    codes = {"birthplace": places, "residence": places}
    tables = []
    for k in range(3):
        stock = rng.uniform(100.0, 4000.0, (n, n)) * 1.05**k
        np.fill_diagonal(stock, 90_000.0 * np.arange(1, n + 1))
        tables.append(xr.DataArray(stock, coords=codes))
    events = [[xr.DataArray(share * 1000.0 * np.arange(1, n + 1), coords={"place": places})] * 2
              for share in (5.0, 4.0)]  # fmt: skip
    return account_series(tables, *events, dates=DATES)


SERIES = made_series()
DRAWS = 12


def flows_of(estimates: FlowEstimates) -> NDArray[np.float64]:
    """Return draws as (draw, period, origin, destination), zero on the diagonal."""
    draws = estimates.draws.isel(chain=0)
    out = np.zeros((draws.sizes["draw"], draws.sizes["period"], len(PLACES), len(PLACES)))
    origin, destination = (
        pd.Index(PLACES).get_indexer(draws[side].values.tolist())
        for side in ("origin", "destination")
    )
    out[:, :, origin, destination] = draws.transpose("draw", "period", "corridor").values
    return out


@pytest.mark.parametrize("method", [name for name in METHODS if name != "growth"])
def test_every_estimator_runs_on_every_draw(method: str) -> None:
    estimates = stock_flow_estimates(SERIES, method, draws=DRAWS, seed=3)
    drawn = draw_series(SERIES, draws=DRAWS, seed=3)
    wanted = estimator(method)(*(drawn[name] for name in NAMES))
    np.testing.assert_allclose(flows_of(estimates), wanted.values, rtol=2e-6)


def test_draws_have_the_dims_and_coordinates_promised() -> None:
    draws = stock_flow_estimates(SERIES, "closed", draws=DRAWS).draws
    assert draws.dims == ("chain", "draw", "corridor", "period")
    assert draws.sizes == {"chain": 1, "draw": DRAWS, "corridor": 12, "period": 2}
    pairs = list(zip(draws["origin"].values, draws["destination"].values, strict=True))
    assert pairs == [(o, d) for o in PLACES for d in PLACES if o != d]
    assert draws["period_end"].values.astype("datetime64[D]").astype(str).tolist() == DATES[1:]


def test_neither_threads_nor_the_number_of_draws_change_a_draw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = stock_flow_estimates(SERIES, "closed", draws=DRAWS, threads=1).draws
    monkeypatch.setattr(stock_flows, "BLOCK_DRAWS", 5)
    other = stock_flow_estimates(SERIES, "closed", draws=DRAWS + 1, threads=3).draws
    xr.testing.assert_identical(one, other.isel(draw=slice(DRAWS)))


def test_a_function_with_options_is_an_estimator_too() -> None:
    run = partial(demographic_flows, system="open", allocation="independence")
    one = stock_flow_estimates(SERIES, run, draws=4)
    other = stock_flow_estimates(SERIES, "independence", draws=4)
    assert not np.allclose(one.draws, other.draws)
    assert "open" in one.name


def test_the_table_is_that_of_estimates_and_rests_on_stocks() -> None:
    estimates = stock_flow_estimates(SERIES, "closed", draws=DRAWS)
    table = summarise(estimates, probs=[0.5, 0.8])
    assert tuple(table.columns) == ESTIMATE_COLUMNS
    assert len(table) == 12 * 2 * 2
    assert set(table["evidence"]) == {"stock"}
    assert set(table["kind"]) == {"equal_tailed"}
    assert (table["lower"] <= table["median"]).all()
    assert (table["median"] <= table["upper"]).all()
    assert any("transitions" in note for note in table.attrs["notes"])


def test_draws_are_added_up_before_they_are_summarised() -> None:
    estimates = stock_flow_estimates(SERIES, "pseudo-bayes", draws=60)
    flows = flows_of(estimates)
    net = flows.sum(axis=2) - flows.sum(axis=3)
    table = summarise(estimates, measure="net", probs=[0.8]).set_index("destination")
    first = table[table["period_start"] == DATES[0]]
    wanted = np.quantile(net[:, 0], [0.1, 0.5, 0.9], axis=0)
    for k, name in enumerate(("lower", "median", "upper")):
        np.testing.assert_allclose(first.loc[PLACES, name], wanted[k], rtol=1e-4, atol=0.5)


def test_net_migration_of_a_draw_is_growth_less_natural_increase() -> None:
    errors = StockErrors(population={"medium": {"sd": 0.0}})
    estimates = stock_flow_estimates(SERIES, "closed", errors, draws=DRAWS)
    net = aggregate(estimates, "net").draws.isel(chain=0)
    growth = SERIES["stock"].sum("birthplace").diff("date").values
    told = growth - SERIES["births"].values + SERIES["deaths"].values
    # The world's surplus is taken from all by their native-born, in every draw.
    assert net.values.transpose(0, 2, 1).sum(axis=2) == pytest.approx(0.0, abs=0.5)
    spread = net.transpose("draw", "period", "place").values - told
    assert np.abs(spread - spread.mean(axis=0)).max() < 0.02 * np.abs(told).max()


# --- kept draws ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["draws.nc", "draws.zarr"])
def test_kept_draws_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    kept = stock_flow_estimates(SERIES, "closed", draws=DRAWS, keep=tmp_path / name)
    plain = stock_flow_estimates(SERIES, "closed", draws=DRAWS)
    again = read_stock_flows(tmp_path / name)
    for one in (kept, again):
        np.testing.assert_array_equal(one.draws, plain.draws)
        assert (one.name, one.notes, one.codes) == (plain.name, plain.notes, plain.codes)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    data = xr.open_dataset(
        tmp_path / name, group="latent", engine="zarr" if "zarr" in name else None
    )
    np.testing.assert_allclose(np.exp(data["log_flow"].transpose(*plain.draws.dims)), plain.draws,
                               rtol=1e-6)  # fmt: skip
    data.close()


def test_many_draws_go_to_a_temporary_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = stock_flow_estimates(SERIES, "closed", draws=DRAWS).draws
    monkeypatch.setattr(latent_store, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stored = stock_flow_estimates(SERIES, "closed", draws=DRAWS)
    assert list(tmp_path.iterdir())
    np.testing.assert_array_equal(stored.draws, plain)
    with pytest.raises(UsageError, match=r"allowed: a \.zarr folder"):
        stock_flow_estimates(SERIES, "closed", draws=DRAWS, keep=tmp_path / "x.nc")
    del stored
    assert not list(tmp_path.iterdir())


def test_nothing_half_done_is_left(tmp_path: Path) -> None:
    def stops(start: xr.DataArray, *_: xr.DataArray) -> xr.DataArray:
        if int(start["draw"][0]) == 3:
            raise KeyboardInterrupt
        return difference_flows(start, start)

    for name in ("a.zarr", "a.nc"):
        with pytest.raises(KeyboardInterrupt):
            stock_flow_estimates(SERIES, stops, draws=DRAWS, keep=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["draws.csv", "nowhere/draws.nc"])
def test_a_place_that_cannot_keep_draws_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="keep"):
        stock_flow_estimates(SERIES, "closed", draws=2, keep=tmp_path / name)


def test_what_stands_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_text("mine")
    with pytest.raises(InputError, match="already"):
        stock_flow_estimates(SERIES, "closed", draws=2, keep=tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_text() == "mine"
    with pytest.raises(InputError, match="no such file"):
        read_stock_flows(tmp_path / "b.nc")
    with pytest.raises(InputError, match="no latent flows"):
        read_stock_flows(tmp_path / "b.zarr")


# --- processes -----------------------------------------------------------------------------------


def test_processes_make_the_same_draws_and_tell_what_was_drawn_again_or_refused() -> None:
    errors = StockErrors(coherent=False)
    scarce = SERIES.assign(deaths=22.0 * SERIES["deaths"])  # more than some draws have people for
    here, there = (
        stock_flow_estimates(scarce, "closed", errors, draws=8, processes=processes)
        for processes in (1, 2)
    )
    xr.testing.assert_identical(here.draws, there.draws)
    assert here.notes == there.notes
    assert "4 of 8 draws made no account" in here.notes[-1]
    with pytest.raises(InputError, match=r"deaths, draw \d, period 0"):
        stock_flow_estimates(
            SERIES.assign(deaths=1000.0 * SERIES["deaths"]), "closed", errors, draws=2, processes=2
        )


def test_an_estimator_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(UsageError, match="a function of a module"):
        stock_flow_estimates(SERIES, lambda s, e, *_: s - e, draws=2, processes=2)
    with pytest.raises(UsageError, match="1 or more"):
        stock_flow_estimates(SERIES, "closed", draws=2, processes=0)


# --- draws that make no account ------------------------------------------------------------------


def test_a_draw_that_makes_no_account_is_drawn_again_and_told() -> None:
    seen: list[int] = []

    def picky(start: xr.DataArray, end: xr.DataArray, *_: Any) -> xr.DataArray:  # noqa: ANN401
        k = int(start["draw"][0])
        seen.append(k)
        if k == 2 and seen.count(k) < 3:
            return demographic_flows(start, -end)  # refused, as stocks are negative
        return difference_flows(start, end)

    estimates = stock_flow_estimates(SERIES, picky, draws=4)
    plain = stock_flow_estimates(SERIES, lambda s, e, *_: difference_flows(s, e), draws=4)
    assert seen.count(2) == 3
    same = np.isclose(estimates.draws, plain.draws).all(axis=(0, 2, 3))
    assert same.tolist() == [True, True, False, True]
    assert "1 of 4 draws made no account" in estimates.notes[-1]


def test_what_is_refused_again_and_again_is_told_with_its_draw() -> None:
    deaths = SERIES["deaths"] * 1000.0
    with pytest.raises(InputError, match=r"deaths, draw 0, period 0"):
        stock_flow_estimates(SERIES.assign(deaths=deaths), "closed",
                             StockErrors(coherent=False), draws=2, threads=1)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("growth", "allowed: drop-negative"),
        ("closd", "did you mean closed"),
        (lambda s, e, *_: difference_flows(s, e) - 1e6, "negative flows"),
        (partial(demographic_flows, by_birthplace=True), "dims"),
    ],
)
def test_a_method_that_cannot_be_served_is_refused(method: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=said):
        stock_flow_estimates(SERIES, method, draws=2)


def test_one_draw_is_no_interval() -> None:
    with pytest.raises(UsageError, match="2 or more"):
        stock_flow_estimates(SERIES, "closed", draws=1)


def test_codes_of_ones_own_are_taken_as_they_are() -> None:
    assert stock_flow_estimates(made_series(["N1", "N2"]), "closed", draws=2).codes == "declared"
    assert stock_flow_estimates(SERIES, "closed", draws=2).codes == "alpha2"


def test_progress_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    stock_flow_estimates(SERIES, "closed", draws=3, progress=True)
    assert "draws of stocks: 3 done" in capsys.readouterr().err
    stock_flow_estimates(SERIES, "closed", draws=3)
    assert capsys.readouterr().err == ""


def test_options_reach_an_estimator_by_name() -> None:
    tables = draw_series(SERIES, draws=1).isel(draw=0, period=0)
    given = [tables[name] for name in NAMES]
    flows = estimator("rates", total=500.0)(*given)
    np.testing.assert_allclose(flows, rate_flows(given[0], total=500.0))
    for method, options in (("closed", {"matching": "after"}), ("open", {}), ("open-dr", {})):
        found = estimator(method, **options)(*given)
        system: Any = method
        np.testing.assert_allclose(found, demographic_flows(*given, system=system, **options))


# As reports of a model


def test_estimates_make_the_rows_that_their_draws_laid_out_do() -> None:
    estimates = stock_flow_estimates(SERIES, "pseudo-bayes", draws=DRAWS, seed=3)
    census = [StockSource("census", "ab12")]
    rows = bridge_estimates(estimates, census, "pb")
    bounds = estimates.period_bounds
    coords = {"origin": PLACES, "destination": PLACES}
    days = {f"period_{end}": ("period", bounds[:, k]) for k, end in enumerate(("start", "end"))}
    dims = ("draw", "period", "origin", "destination")
    laid = xr.DataArray(flows_of(estimates), {**coords, **days}, dims)
    pd.testing.assert_frame_equal(rows.table, bridge_flows(laid, census, "pb").table)
    assert rows.sources == ("census_pb",)
    assert rows.n == 2 * len(PLACES) * (len(PLACES) - 1)


def test_estimates_without_dates_or_of_held_out_stocks_are_no_reports() -> None:
    undated = account_series([SERIES["stock"].isel(date=k, drop=True) for k in range(2)])
    estimates = stock_flow_estimates(undated, "closed", draws=2)
    with pytest.raises(UsageError, match="periods without dates"):
        bridge_estimates(estimates, [StockSource("census", "ab12")], "closed")
    dated = stock_flow_estimates(SERIES, "closed", draws=2)
    with pytest.raises(HeldOutError, match="held-out sources"):
        bridge_estimates(dated, [StockSource("census", "ab12", "held_out")], "closed")
