"""Tables and sums of stored flows: as those in memory, a block of corridors at a time."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray
from support import single_precision, stored_posterior, tiny_posterior

from flowcast.compare import compare_runs
from flowcast.estimates import (
    FlowEstimates,
    aggregate,
    aggregate_all,
    estimate_tables,
    flow_estimates,
    summarise,
)
from flowcast.estimates import aggregation as aggregation_module
from flowcast.estimates import summary as summary_module
from flowcast.estimates.summary import _quantiles
from flowcast.posterior import Posterior, describe_inference
from flowcast.tables import render_table, write_parts
from flowcast.vocabulary import DEFAULT_PROBS, ESTIMATE_COLUMNS, ESTIMATE_MEASURES

PLACES, PERIODS, BLOCK = 6, 3, 8
GROUPS = {"north": ("DE", "PL", "SE"), "south": ("AT", "FR")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Posterior, Posterior]:
    """Return one posterior in memory and in a store; a cell and a whole place are missing."""
    made = tiny_posterior(PLACES, PERIODS, seed=7)
    flows = made.tree["latent"]["log_flow"]
    gone = (flows["origin"] == "SE") | (flows["destination"] == "SE")
    flows.values[:, :, gone.values, 0] = np.nan
    flows.values[:, :, 0, 2] = np.nan
    eager = single_precision(made)
    folder = tmp_path_factory.mktemp("stored") / "draws.zarr"
    return eager, stored_posterior(eager, folder, block_corridors=BLOCK)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Work on so few numbers at a time that a pass takes several blocks."""
    numbers = 2 * 80 * PERIODS
    monkeypatch.setattr(summary_module, "BLOCK", numbers)
    monkeypatch.setattr(aggregation_module, "BLOCK", numbers)
    return numbers


# --- the same figures ----------------------------------------------------------------------------


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
@pytest.mark.parametrize("definition", [12.0, 6.0])
def test_tables_of_stored_flows_are_those_of_flows_in_memory(
    pair: tuple[Posterior, Posterior], measure: str, definition: float
) -> None:
    tables = [
        summarise(one, measure=measure, definition=definition)  # type: ignore[arg-type]
        for one in pair
    ]
    pd.testing.assert_frame_equal(*tables, rtol=1e-12)
    more = [] if definition == 12.0 else ["definition"]
    assert list(tables[0]) == [*ESTIMATE_COLUMNS, *more]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("by", [None, GROUPS, ["DE", "FR"]])
def test_sums_of_stored_flows_are_those_of_flows_in_memory(
    pair: tuple[Posterior, Posterior], by: dict[str, tuple[str, ...]] | list[str] | None
) -> None:
    eager, lazy = (flow_estimates(one, definition=3) for one in pair)
    for measure in ("immigration", "emigration", "net"):
        xr.testing.assert_allclose(
            aggregate(lazy, measure, by).draws, aggregate(eager, measure, by).draws, rtol=1e-12
        )
    if by is not None:
        xr.testing.assert_allclose(
            aggregate(lazy, "flow", by).draws, aggregate(eager, "flow", by).draws, rtol=1e-12
        )


def test_measures_together_are_the_measures_one_by_one(pair: tuple[Posterior, Posterior]) -> None:
    flows = flow_estimates(pair[1])
    together = aggregate_all(flows, ["net", "flow", "immigration"], GROUPS)
    for found, measure in zip(together, ("net", "flow", "immigration"), strict=True):
        alone = aggregate(flows, measure, GROUPS)
        xr.testing.assert_identical(found.draws, alone.draws)
        xr.testing.assert_identical(found.evidence, alone.evidence)
        assert (found.measure, found.notes) == (alone.measure, alone.notes)
    assert aggregate_all(flows, ["flow", "net"])[0] is flows


def test_two_runs_with_stored_flows_are_compared(pair: tuple[Posterior, Posterior]) -> None:
    change = compare_runs(*pair, measure="net").summary
    assert len(change) == PLACES * PERIODS
    np.testing.assert_allclose(change["difference"].dropna(), 0.0, atol=1e-6)


# --- cells that do not exist ---------------------------------------------------------------------


def test_a_flow_that_does_not_exist_is_no_part_of_a_sum(pair: tuple[Posterior, Posterior]) -> None:
    flows = np.exp(pair[0].log_flow.astype(float))
    into = aggregate(flow_estimates(pair[0]), "immigration").draws
    for place in ("AT", "DE"):
        cells = flows.where(flows["destination"] == place, drop=True)
        np.testing.assert_allclose(
            into.sel(place=place), cells.sum("corridor", skipna=True), rtol=1e-6
        )
    assert np.isnan(into.sel(place="SE", period=0)).all()
    assert np.isfinite(into.sel(place="SE", period=slice(1, None))).all()


def test_a_place_that_did_not_exist_has_no_figures(pair: tuple[Posterior, Posterior]) -> None:
    table = summarise(pair[1], measure="net", probs=[0.8])
    missing = table[table["mean"].isna()]
    assert missing[["destination", "period_start"]].to_numpy().tolist() == [["SE", "2020-01-01"]]
    assert table[["median", "lower", "upper", "sd"]].isna().any(axis=1).sum() == 1


def test_two_flows_that_do_not_exist_leave_a_sum_of_nothing_missing() -> None:
    flows = np.array([10.0, 20.0, 30.0, 40.0, 50.0, 60.0])[:, None]
    posterior = tiny_posterior(("AT", "DE", "FR"), 1, flows=flows)
    posterior.log_flow[:, :, [0, 2]] = np.nan  # AT-DE and DE-AT
    made = flow_estimates(posterior)
    between = aggregate(made, "flow", {"a": ["AT"], "d": ["DE"]}).draws
    assert np.isnan(between).all()
    both = aggregate(made, "flow", {"ad": ["AT", "DE"], "f": ["FR"]}).draws
    np.testing.assert_allclose(both[0, 0, :, 0], [60.0, 110.0])


# --- memory --------------------------------------------------------------------------------------


def test_blocks_are_the_pieces_that_lie_on_disk(pair: tuple[Posterior, Posterior]) -> None:
    lazy = flow_estimates(pair[1])
    piece = pair[1].log_flow.encoding["chunks"][2]
    assert piece > 0
    assert BLOCK % piece == 0
    for numbers in (1, 3 * 80 * PERIODS, 10**9):
        blocks = list(lazy.blocks(numbers))
        assert [b.start for b in blocks] == [0, *(b.stop for b in blocks[:-1])]
        assert blocks[-1].stop == PLACES * (PLACES - 1)
        assert all(block.start % piece == 0 for block in blocks)
    assert len(list(lazy.blocks(1))) == -(-PLACES * (PLACES - 1) // piece)


def test_a_pass_holds_few_numbers_at_a_time(
    pair: tuple[Posterior, Posterior], small_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[slice, int]] = []
    lock = threading.Lock()
    block = FlowEstimates.block

    def counted(self: FlowEstimates, cells: slice) -> NDArray[np.float64]:
        out = block(self, cells)
        with lock:
            made.append((cells, out.size))
        return out

    def refuse(self: FlowEstimates) -> xr.DataArray:
        raise AssertionError("all draws at once")

    monkeypatch.setattr(FlowEstimates, "block", counted)
    monkeypatch.setattr(FlowEstimates, "draws", property(refuse))
    lazy = flow_estimates(pair[1])
    summarise(lazy)
    one_pass = list(lazy.blocks(small_blocks))
    assert sorted((c.start, c.stop) for c, _ in made) == [(c.start, c.stop) for c in one_pass]
    made.clear()
    aggregate_all(lazy, ["immigration", "emigration", "net"])
    assert [c for c, _ in made] == one_pass
    piece = pair[1].log_flow.encoding["chunks"][2]
    assert max(size for _, size in made) <= max(small_blocks, piece * 80 * PERIODS)
    assert not pair[1].log_flow.variable._in_memory


def test_blocks_of_a_world_are_within_bounds() -> None:
    """Numbers per block at 200 places, 30 years and 1,000 draws; nothing of that size is made."""
    sizes = (4, 250, 200 * 199, 30)
    nothing = xr.DataArray(
        np.broadcast_to(np.float32(0.0), sizes), dims=("chain", "draw", "corridor", "period")
    )
    nothing.encoding["chunks"] = (1, 84, 148, 10)
    made = replace(flow_estimates(tiny_posterior(3, 1)), _stored=nothing)
    for numbers in (summary_module.BLOCK, aggregation_module.BLOCK):
        blocks = list(made.blocks(numbers))
        largest = max(b.stop - b.start for b in blocks) * 1000 * 30
        assert largest <= max(numbers, 148 * 1000 * 30)
        assert sum(b.stop - b.start for b in blocks) == sizes[2]


# --- tables in parts -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 50, 10**6])
def test_parts_of_tables_put_together_are_the_tables(
    pair: tuple[Posterior, Posterior], rows: int, tmp_path: Path
) -> None:
    parts = list(estimate_tables(pair[1], rows=rows))
    whole = [summarise(pair[1], measure=m) for m in ESTIMATE_MEASURES]  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(
        pd.concat(parts, ignore_index=True), pd.concat(whole, ignore_index=True)
    )
    assert max(map(len, parts)) <= max(rows, PERIODS * len(DEFAULT_PROBS))
    write_parts(parts, tmp_path / "t.parquet")
    back = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(back, pd.concat(whole, ignore_index=True), check_dtype=True)
    assert back.attrs == parts[0].attrs


def test_corridors_in_any_order_come_out_sorted() -> None:
    made = tiny_posterior(("SE", "AT", "DE"), 2)
    parts = pd.concat(list(estimate_tables(made, ["flow"], rows=1)), ignore_index=True)
    pd.testing.assert_frame_equal(parts, summarise(made))
    assert parts["origin"].is_monotonic_increasing


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_quantiles_are_those_of_numpy(n: int) -> None:
    sample = np.random.default_rng(n).gamma(2.0, size=(5, 3, n))
    levels = np.array([0.5, 0.025, 0.1, 0.975, 0.9999, 1e-4])
    expected = np.moveaxis(np.quantile(sample, levels, axis=-1), 0, -1)
    np.testing.assert_array_equal(_quantiles(sample.copy(), levels), expected)
    sample[1, 2, n // 2] = np.nan
    found = _quantiles(sample, levels)
    assert np.isnan(found[1, 2]).all()
    assert np.isnan(found).sum() == len(levels)


# --- how it was inferred -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "exact", "said"),
    [
        ("nuts", True, "hyper-parameters by NUTS, exact up to Monte Carlo error"),
        (
            "laplace",
            False,
            "hyper-parameters by Laplace approximation and Pareto-smoothed importance sampling, "
            "approximate",
        ),
        ("nuts", None, "hyper-parameters by NUTS"),
        (None, None, ""),
    ],
)
def test_tables_say_how_they_were_inferred(
    method: str | None, exact: bool | None, said: str
) -> None:
    made = tiny_posterior(3, 1, info={"method": method, "exact": exact})
    assert describe_inference(method, exact) == said
    for table in (summarise(made), summarise(made, measure="net"), *estimate_tables(made)):
        assert (table.attrs["method"], table.attrs["exact"]) == (method, exact)
        for format in ("html", "md", "json"):
            text = str(render_table(table, format))  # type: ignore[arg-type]
            assert said in text
            assert ("nference" in text) == bool(said)
    page = flow_estimates(made)._repr_html_()
    assert said in page
    assert ("Inference" in page) == bool(said)
