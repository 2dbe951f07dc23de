"""The displacement benchmark: what is scored, and baselines whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from benchmarks.displacement import clustered, people, recent, score, summarise, upto
from benchmarks.displacement_baselines import BASELINES, Past, predict
from numpy.typing import NDArray

from flowcast.displacement import DisplacementPanel
from flowcast.validation.baselines.rows import PROBS

NAN = np.nan


def panel_of(values: NDArray[np.float64]) -> DisplacementPanel:
    n, n_year = values.shape
    coords = {
        "place": ("unit", [f"P{k}" for k in range(n)]),
        "destination": ("unit", [""] * n),
        "hazard": ("unit", [""] * n),
        "year": np.arange(2010, 2010 + n_year),
    }
    data = xr.DataArray(values, dims=("unit", "year"), coords=coords)
    return DisplacementPanel(data, "idmc_conflict", "conflict")


def past_of(values: NDArray[np.float64]) -> Past:
    return Past.of(panel_of(values), None, 1)


def test_rows_to_learn_from_have_an_outcome_that_is_known() -> None:
    past = past_of(np.array([[NAN, 3.0, 4.0, NAN, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]]))
    unit, year = past.rows(2)
    pairs = list(zip(unit.tolist(), year.tolist(), strict=True))
    assert pairs == [(0, 2), (1, 0), (1, 1), (1, 2)]
    assert past.last.tolist() == [5.0, 5.0]


def test_persistence_has_the_errors_of_the_past() -> None:
    rng = np.random.default_rng(1)
    steps = rng.normal(0.0, 0.3, (200, 8)).cumsum(axis=1)
    past = past_of(np.round(np.exp(8.0 + steps)))
    made = np.log1p(predict("persistence", past, 1))
    centred = made - np.log1p(past.last)
    assert abs(np.median(centred)) < 0.05
    assert abs((np.quantile(centred, 0.9) - np.quantile(centred, 0.1)) / 2 - 1.28 * 0.3) < 0.05


@pytest.mark.parametrize("name", [n for n in BASELINES if "_f" not in n and "boost" not in n])
def test_baselines_give_quantiles_of_counts(name: str) -> None:
    rng = np.random.default_rng(2)
    values = np.round(rng.lognormal(4.0, 2.0, (60, 7))) * (rng.random((60, 7)) < 0.7)
    made = predict(name, past_of(values), 2)
    assert made.shape == (len(PROBS), 60)
    assert (np.diff(made, axis=0) >= 0).all()
    assert (made >= 0).all()
    assert (made == np.round(made)).all()


def test_surges_are_large_and_more_than_twice_what_was() -> None:
    drawn = np.tile([[900.0], [1500.0], [2500.0], [5000.0]], (1, 4))
    actual = np.array([5000.0, 1500.0, 900.0, NAN])
    rows = score(drawn, actual, np.array([1000.0, 1000.0, 0.0, 0.0]), 1e4)
    assert len(rows) == 3
    assert rows["surge"].tolist() == [True, False, False]
    assert rows["surge_chance"].tolist() == [0.5, 0.5, 0.75]
    past = past_of(np.array([[1.0, 2.0, 9.0, NAN], [NAN, 5.0, NAN, NAN], [7.0, NAN, NAN, NAN]]))
    assert recent(past).tolist() == [5.5, 5.0, 7.0]


def test_differences_are_those_to_the_model_clustered_by_place() -> None:
    values = np.array([1.0, 1.0, -1.0, -1.0])
    assert clustered(values, np.array(["A", "A", "B", "B"])) == (0.0, pytest.approx(1.0))
    rng = np.random.default_rng(1)
    actual = np.array([0.0, 10.0, 2000.0])
    parts = []
    for name in ("flowcast", *BASELINES):
        drawn = rng.poisson(10.0, (99, 3)).astype(float)
        rows = score(drawn, actual, np.ones(3), 1e4)
        parts.append(rows.assign(method=name, ahead=1, cluster=["A", "B", "C"]))
    table = summarise(pd.concat(parts)).set_index("against")
    assert table.loc["flowcast", "difference"] == 0.0
    gap = table.loc["persistence", "crps_log"] - table.loc["flowcast", "crps_log"]
    np.testing.assert_allclose(table.loc["persistence", "difference"], gap)
    assert table["surges"].tolist() == [1] * 8


def test_nothing_of_a_driver_after_the_origin_is_used() -> None:
    index = pd.MultiIndex.from_product([["P0"], range(2010, 2016)], names=["place", "year"])
    series = pd.Series(np.log(np.arange(1.0, 7.0)), index=index)
    assert upto(series, 2012).index.get_level_values("year").tolist() == [2010, 2011, 2012]
    panel = panel_of(np.array([[1.0, 2.0, 3.0], [1.0, 5.0, 4.0]]))
    np.testing.assert_allclose(people(panel, series), [3000.0, 15.0])
