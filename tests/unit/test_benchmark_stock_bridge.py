"""The arithmetic of the benchmark of flows from stocks, on figures that are made up."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def bench(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.stock_bridge")


def test_five_years_run_from_july_to_july_where_every_year_is_there(bench: ModuleType) -> None:
    years = pd.DataFrame({"place": "A", "year": range(1999, 2007), "value": 10.0 ** np.arange(8)})
    gap = pd.DataFrame({"place": "B", "year": [2000, 2001, 2003, 2004, 2005], "value": 1.0})
    found = bench.half_weighted(pd.concat([years, gap]), 2000, 2005, ["place"])
    assert found["place"].tolist() == ["A"]
    assert found["value"].tolist() == [5.0 + 100 + 1000 + 10_000 + 100_000 + 500_000]


def test_flows_from_stocks_by_themselves_are_scaled_as_fitted_reports_say(
    bench: ModuleType,
) -> None:
    key = {"period_start": "2000-07-01", "reporter": "destination"}
    pairs = [("A", "X"), ("B", "X"), ("C", "X"), ("D", "X")]
    table = pd.DataFrame(pairs, columns=["origin", "destination"]).assign(**key)
    stock = table.assign(value=[10.0, 100.0, 1000.0, 50.0])
    fitted = table.iloc[:3].assign(value=[31.0, 301.0, 3001.0])  # three times as many
    held = pd.concat([table.iloc[3:], table.iloc[3:].assign(origin="E")]).assign(value=151.0)
    found = bench.raw_scores(fitted, held.reset_index(drop=True), stock)
    assert found["log_median"].iloc[0] == pytest.approx(np.log(151.0), abs=0.02)
    assert found["mae_log"].iloc[0] < 0.02
    assert np.isnan(found["mae_log"].iloc[1])
