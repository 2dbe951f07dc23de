"""What changed between two runs or tables, by how much, and why."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import tiny_posterior

from flowcast.compare import Comparison, compare_runs, compare_tables, render
from flowcast.errors import InputError, UsageError
from flowcast.estimates import summarise
from flowcast.tables import read_table, write_table

CELL = {
    "origin": "DE",
    "destination": "FR",
    "period_start": "2024-01-01",
    "period_end": "2025-01-01",
}


def row(origin: str = "DE", **numbers: object) -> dict[str, object]:
    interval = {"sd": 5.0, "lower": 80.0, "upper": 120.0, "prob": 0.8, "kind": "equal_tailed"}
    return {**CELL, "measure": "flow", "median": 100.0, **interval, "origin": origin, **numbers}


def compare(a: dict[str, object], b: dict[str, object]) -> pd.Series:
    return compare_tables(pd.DataFrame([a]), pd.DataFrame([b])).summary.iloc[0]


# --- by how much ---------------------------------------------------------------------------------


def test_changes_of_a_cell_by_hand() -> None:
    change = compare(row(), row(median=150.0, sd=10.0, lower=100.0, upper=180.0))
    assert change["difference"] == 50.0
    assert change["log_ratio"] == pytest.approx(np.log(1.5))
    assert change["overlap"] == pytest.approx(20.0 / 100.0)  # [100, 120] of [80, 180]
    assert change["sd_ratio"] == 2.0


@pytest.mark.parametrize(
    ("bounds", "overlap"),
    [
        ((80.0, 120.0), 1.0),
        ((90.0, 110.0), 0.5),
        ((120.0, 130.0), 0.0),
        ((200.0, 300.0), 0.0),
        ((60.0, 100.0), 1.0 / 3.0),
    ],
)
def test_overlap_is_the_share_of_the_common_length(
    bounds: tuple[float, float], overlap: float
) -> None:
    change = compare(row(), row(lower=bounds[0], upper=bounds[1]))
    assert change["overlap"] == pytest.approx(overlap)


def test_two_equal_points_overlap_and_two_different_ones_do_not() -> None:
    point = row(lower=5.0, upper=5.0)
    assert compare(point, point)["overlap"] == 1.0
    assert compare(point, row(lower=6.0, upper=6.0))["overlap"] == 0.0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(0.0, 0.0, 0.0), (0.0, 5.0, np.inf), (5.0, 0.0, -np.inf), (-5.0, 5.0, np.nan)],
)
def test_log_ratios_from_and_to_nothing(a: float, b: float, expected: float) -> None:
    change = compare(row(median=a), row(median=b))
    np.testing.assert_equal(change["log_ratio"], expected)
    assert change["difference"] == b - a


def test_the_largest_changes_come_first_in_either_direction() -> None:
    a = pd.DataFrame([row(c, median=m) for c, m in zip("ABCD", (100, 100, 1000, -5), strict=True)])
    b = pd.DataFrame([row(c, median=m) for c, m in zip("ABCD", (110, 20, 1500, 5), strict=True)])
    change = compare_tables(a, b)
    assert change.largest(4)["origin"].tolist() == ["B", "C", "A", "D"]
    assert change.largest(2, by="difference")["origin"].tolist() == ["C", "B"]
    assert len(change.largest(99)) == 4
    with pytest.raises(UsageError, match="allowed: log_ratio, difference"):
        change.largest(by="median_a")


def test_cells_in_one_table_only_are_kept_apart() -> None:
    a = pd.DataFrame([row("AT"), row("BE"), row("CH")])
    b = pd.DataFrame([row("BE"), row("NA")])
    change = compare_tables(a, b, names=("old", "new"))
    assert change.summary["origin"].tolist() == ["BE"]
    assert change.only_a["origin"].tolist() == ["AT", "CH"]
    assert change.only_b["origin"].tolist() == ["NA"]
    text = render(change)
    assert "1 cells in both; 2 only in old; 1 only in new" in text


def test_tables_with_nothing_in_common_say_so() -> None:
    change = compare_tables(pd.DataFrame([row("AT")]), pd.DataFrame([row("AUT")]))
    assert change.summary.empty
    assert render(change).splitlines()[2] == "0 cells in both; 1 only in a; 1 only in b"
    assert "Largest changes" not in render(change)


def test_the_empty_side_of_totals_is_matched() -> None:
    posterior = tiny_posterior(4, 2)
    change = compare_runs(posterior, posterior, measure="immigration")
    assert len(change.summary) == 8
    assert change.summary["origin"].isna().all()
    assert change.only_a.empty
    assert change.only_b.empty


# --- intervals -----------------------------------------------------------------------------------


def test_intervals_of_one_probability_are_compared() -> None:
    a = pd.DataFrame([row(prob=0.5, upper=110.0), row(prob=0.8)])
    b = pd.DataFrame([row(prob=0.8), row(prob=0.95, upper=200.0)])
    change = compare_tables(a, b)
    assert (change.prob, change.kind) == (0.8, "equal_tailed")
    assert change.summary["overlap"].tolist() == [1.0]
    assert compare_tables(a, a, prob=0.5).prob == 0.5
    assert "80% equal-tailed credible intervals" in render(change)


@pytest.mark.parametrize(
    ("other", "prob"),
    [(row(prob=0.95), None), (row(), 0.5), (row(kind="hdi"), None)],
    ids=["no common probability", "not that probability", "another kind"],
)
def test_intervals_that_cannot_be_compared_are_refused(
    other: dict[str, object], prob: float | None
) -> None:
    with pytest.raises(UsageError, match="one probability and kind that both tables have"):
        compare_tables(pd.DataFrame([row()]), pd.DataFrame([other]), prob=prob)


def test_bounds_of_unknown_probability_are_not_compared() -> None:
    published = pd.DataFrame([{**CELL, "median": 90.0, "lower": 80.0, "upper": 120.0}])
    change = compare_tables(pd.DataFrame([row(prob=0.5), row(prob=0.8)]), published)
    assert (change.prob, change.kind) == (None, None)
    assert change.summary["overlap"].isna().all()
    assert change.summary["sd_ratio"].isna().all()
    assert change.summary["median_b"].tolist() == [90.0]
    assert "credible" not in render(change)


def test_a_run_is_compared_with_a_published_file(tmp_path: Path) -> None:
    table = summarise(tiny_posterior(("NA", "DE"), 1), probs=[0.8])
    write_table(table.assign(median=2 * table["median"]), tmp_path / "published.csv")
    change = compare_tables(table, read_table(tmp_path / "published.csv"))
    np.testing.assert_allclose(change.summary["log_ratio"], np.log(2.0))
    assert change.summary["origin"].tolist() == ["DE", "NA"]


def test_missing_columns_and_repeated_cells_are_told_at_once() -> None:
    good = pd.DataFrame([row()])
    with pytest.raises(InputError) as caught:
        compare_tables(good.drop(columns="median"), good.drop(columns=["origin", "period_end"]))
    assert [(f.where, f.found) for f in caught.value.faults] == [
        ("a", "no column 'median'"),
        ("b", "no column 'origin'"),
        ("b", "no column 'period_end'"),
    ]
    twice = pd.DataFrame([row(), row(), row("AT")])
    with pytest.raises(InputError, match=r"\(new\) \| found the cell DE FR .* more than once"):
        compare_tables(good, twice, names=("old", "new"))


# --- why -----------------------------------------------------------------------------------------


def reasons(change: Comparison) -> dict[str, tuple[str, str]]:
    return {key: (a, b) for key, a, b in change.inputs.itertuples(index=False, name=None)}


def test_the_same_run_differs_in_nothing() -> None:
    change = compare_runs(tiny_posterior(3, 1), tiny_posterior(3, 1))
    assert change.inputs.empty
    assert (change.summary["difference"] == 0.0).all()
    assert (change.summary["overlap"] == 1.0).all()
    assert (change.summary["sd_ratio"] == 1.0).all()
    assert "nothing known of what went in differs" in render(change)


def test_settings_data_versions_and_seed_are_reasons_and_timings_are_not() -> None:
    a = tiny_posterior(3, 1, spec={"sampler": {"draws": 500}})
    b = tiny_posterior(
        3,
        1,
        seed=2,
        spec={
            "sampler": {"draws": 800},
            "measurement": {"sd_reporter": {"half_normal": [0.8]}},
        },
        info={
            "inputs": {"observations.csv": "cc" * 32},
            "versions": {"flowcast": "0.2.0", "pymc": "6.4.0"},
        },
    )
    change = compare_runs(a, b)
    assert reasons(change) == {
        "measurement.sd_reporter.half_normal": ("[0.5]", "[0.8]"),
        "sampler.draws": ("500", "800"),
        "info.seed": ("1", "2"),
        "info.versions.flowcast": ("0.1.0", "0.2.0"),
        "info.inputs.observations.csv": ("aa" * 32, "cc" * 32),
        "info.inputs.places.csv": ("bb" * 32, "(absent)"),
    }
    assert "  sampler.draws: 500 -> 800\n" in render(change)


def test_covariates_are_told_by_name() -> None:
    term = {"name": "distance", "column": "distance_km", "transform": "log"}
    other = {"name": "border", "column": "contiguous"}
    a = tiny_posterior(3, 1, spec={"process": {"covariates": [term]}})
    b = tiny_posterior(3, 1, spec={"process": {"covariates": [other, {**term, "missing": "mean"}]}})
    found = reasons(compare_runs(a, b))
    assert found["process.covariates.distance.missing"] == ("refuse", "mean")
    assert found["process.covariates.border.column"] == ("(absent)", "contiguous")
    assert not [key for key in found if key.startswith("process.covariates.distance.transform")]


def test_runs_are_compared_under_one_definition_and_probability() -> None:
    a, b = tiny_posterior(3, 1), tiny_posterior(3, 1, seed=2)
    change = compare_runs(a, b, prob=0.5, definition=3, by={"x": ["AT", "DE"], "y": ["FR"]})
    expected = summarise(a, definition=3, by={"x": ["AT", "DE"], "y": ["FR"]}, probs=[0.5])
    assert change.prob == 0.5
    np.testing.assert_allclose(change.summary["median_a"], expected["median"])


# --- text ----------------------------------------------------------------------------------------


def test_the_text_lists_as_many_cells_as_asked() -> None:
    change = compare_runs(tiny_posterior(4, 1), tiny_posterior(4, 1, seed=2))
    assert "Largest changes of the median (5 cells)" in render(change, top=5)
    assert render(change, top=5).splitlines()[0] == "tiny (a) -> tiny (b)"
    assert len(render(change, top=5).splitlines()) - len(render(change, top=3).splitlines()) == 2
    assert "Largest" not in render(change, top=0)


def test_the_text_counts_notable_changes_and_separate_intervals() -> None:
    medians = {"A": 100.0, "B": 109.0, "C": 112.0, "D": 50.0}
    a = pd.DataFrame([row(code) for code in medians])
    b = pd.DataFrame([row(code, median=median) for code, median in medians.items()])
    b.loc[3, ["lower", "upper"]] = [10.0, 60.0]
    text = render(compare_tables(a, b))
    assert "by more than 10% in 2 cells" in text
    assert "none in 1 cells" in text


def test_long_values_are_shortened_for_the_screen_only() -> None:
    change = compare_runs(
        tiny_posterior(3, 1), tiny_posterior(3, 1, info={"inputs": {"a": "x" * 64}})
    )
    assert "x" * 64 not in render(change)
    assert reasons(change)["info.inputs.a"][1] == "x" * 64


def test_comparisons_show_themselves() -> None:
    change = compare_runs(tiny_posterior(3, 1), tiny_posterior(2, 1))
    assert repr(change) == (
        "<flowcast.Comparison tiny (a) -> tiny (b): 2 cells in both, 4 only in the first, "
        "0 only in the second; 0 inputs differ>"
    )
    assert change._repr_html_().count("<table") == 2
