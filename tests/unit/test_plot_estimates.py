"""Figures of estimates: what is drawn is what the tables say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import LineCollection

from flowcast.accounting import account_series
from flowcast.errors import UsageError
from flowcast.estimates import FlowEstimates, summarise
from flowcast.plots import plot_agreement, plot_largest
from flowcast.stock_flows import stock_flow_estimates

PLACES = ["AT", "BE", "CH"]


@pytest.fixture(scope="module")
def estimates() -> FlowEstimates:
    rng = np.random.default_rng(2)
    codes = {"birthplace": PLACES, "residence": PLACES}
    tables = []
    for _ in range(3):
        stock = rng.uniform(100.0, 4000.0, (3, 3)) + 90_000.0 * np.eye(3)
        tables.append(xr.DataArray(stock, coords=codes))
    dates = ["2000-07-01", "2005-07-01", "2010-07-01"]
    return stock_flow_estimates(account_series(tables, dates=dates), draws=20)


def test_the_largest_flows_stand_first_with_their_intervals(estimates: FlowEstimates) -> None:
    figure = plot_largest(estimates, period=2000, n=4)
    table = summarise(estimates, probs=[0.5, 0.8, 0.95])
    table = table[table["period_start"] == "2000-07-01"].sort_values("median", ascending=False)
    first = table.iloc[0]
    axes = figure.axes[0]
    assert next(t.get_text() for t in axes.get_yticklabels()) == (
        f"{first['origin']} → {first['destination']}"
    )
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert [len(c.get_segments()) for c in lines] == [4, 4, 4]
    widest = table[table["prob"] == 0.95].iloc[0]
    ends = {tuple(segment[:, 0]) for segment in lines[0].get_segments()}
    assert (widest["lower"], widest["upper"]) in ends
    assert f"{first['median']:,.0f}" in figure.alt_text  # type: ignore[attr-defined]


def test_other_figures_stand_beside_estimates(estimates: FlowEstimates, tmp_path: Path) -> None:
    reports = pd.Series({("AT", "BE"): 500.0, ("DE", "FR"): 3.0})
    figure = plot_largest(estimates, others={"reported": reports}, out=tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 10_000
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert points[0].get_xdata().tolist() == [500.0]  # type: ignore[union-attr]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "reported" in labels
    assert "80 % credible interval (equal-tailed)" in labels


def test_net_migration_is_drawn_on_a_plain_axis(estimates: FlowEstimates) -> None:
    figure = plot_largest(estimates, measure="net")
    assert figure.axes[0].get_xscale() == "linear"
    assert {t.get_text() for t in figure.axes[0].get_yticklabels()} == set(PLACES)
    assert plot_largest(estimates, measure="emigration").axes[0].get_xscale() == "log"


def test_a_period_that_is_none_and_too_many_figures_are_refused(estimates: FlowEstimates) -> None:
    with pytest.raises(UsageError, match="allowed: 2000, 2005"):
        plot_largest(estimates, period=1999)
    many = {str(k): pd.Series(dtype=float) for k in range(4)}
    with pytest.raises(UsageError, match="up to 3"):
        plot_largest(estimates, others=many)


def test_agreement_tells_the_correlation_of_logarithms() -> None:
    rng = np.random.default_rng(1)
    known = np.exp(rng.normal(5.0, 2.0, 300))
    table = pd.DataFrame({"report": known, "one": known**2, "two": rng.permutation(known)})
    table.loc[:9, "one"] = 0.0
    figure = plot_agreement(table.assign(origin="A"), "report", title="Agreement")
    assert figure.axes[0].get_title(loc="left") == "one\nr 1.00; 10 with a zero"
    assert "one 1.00; two" in figure.alt_text  # type: ignore[attr-defined]
    assert len(figure.axes[0].collections[0].get_offsets()) == 290


@pytest.mark.parametrize("columns", [["report"], ["a", "b"], ["report", *"abcde"]])
def test_a_table_that_cannot_be_drawn_is_refused(columns: list[str]) -> None:
    table = pd.DataFrame(1.0, index=range(3), columns=columns)
    with pytest.raises(UsageError, match="1 to 4"):
        plot_agreement(table, "report", title="x")
