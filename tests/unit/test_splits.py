"""Divisions of observations beyond a partition, and leaks of every kind, planted and found."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.config import ModelSpec
from flowcast.covariates import held_from
from flowcast.errors import HeldOutError, UsageError
from flowcast.model.grid import build_grid
from flowcast.observations import Observations, observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.validation import LEAKS, LeakError, Scheme, find_leaks, refuse_leaks, split_folds
from flowcast.validation.splits import assign_folds

PLACES = ("AT", "DE", "FR", "PL")


def report(
    origin: str | None,
    destination: str | None,
    *,
    year: int = 2020,
    years: int = 1,
    **more: Any,  # noqa: ANN401
) -> dict[str, Any]:
    return {
        "source": "register", "family": "administrative", "measure": "flow", "origin": origin,
        "destination": destination, "reporter": "destination", "value": 10.0,
        "period_start": f"{year}-01-01", "period_end": f"{year + years}-01-01", **more,
    }  # fmt: skip


def observed(*rows: dict[str, Any], name: str = "ours") -> Observations:
    return observations_from_frame(pd.DataFrame(rows), name=name)


def double_entry(years: range = range(2010, 2016)) -> list[dict[str, Any]]:
    return [
        report(o, d, year=year, reporter=side)
        for o, d, year, side in product(PLACES, PLACES, years, ("origin", "destination"))
        if o != d
    ]


# Schemes


def test_a_held_out_country_is_in_no_fitted_report() -> None:
    every = observed(*double_entry())
    folds = list(split_folds(every, scheme="countries", folds=4))
    assert [fold.name for fold in folds] == ["1", "2", "3", "4"]
    gone = []
    for fold in folds:
        absent = set(every.places) - set(fold.fit.places)
        assert len(absent) == 1
        gone += absent
        told = fold.held_out.table[["origin", "destination"]].isin(absent).any(axis=1)
        assert told.all()
        assert fold.fit.n + fold.held_out.n == every.n
    assert sorted(gone) == sorted(PLACES)


def test_each_family_is_predicted_from_the_others() -> None:
    rows = [*double_entry(), report("AT", "DE", source="lfs", family="survey", year=2012)]
    folds = list(split_folds(observed(*rows), scheme="families"))
    assert [fold.name for fold in folds] == ["administrative", "survey"]
    assert folds[1].held_out.sources == ("lfs",)
    assert folds[0].fit.sources == ("lfs",)
    with pytest.raises(UsageError, match="2 to 1, the number of families"):
        list(split_folds(observed(*double_entry()), scheme="families"))


def test_rolling_origins_know_nothing_of_later_years() -> None:
    folds = list(split_folds(observed(*double_entry()), scheme="last-years", folds=3))
    assert [(fold.name, fold.ahead) for fold in folds] == [
        ("to 2014", 1),
        ("to 2013", 2),
        ("to 2012", 3),
    ]
    for fold in folds:
        last = fold.fit.table["period_end"].max()
        assert fold.held_out.table["period_start"].min() == last
        years = fold.held_out.table["period_start"].dt.year.nunique()
        assert years == fold.ahead
    one = split_folds(observed(*double_entry()), scheme="last-years", folds=1)
    assert [fold.ahead for fold in one] == [1]
    with pytest.raises(UsageError, match="1 to 5, the number of periods but the first"):
        list(split_folds(observed(*double_entry()), scheme="last-years", folds=6))


def test_what_was_published_later_was_not_known() -> None:
    revised = report("AT", "DE", year=2010, value=99.0, vintage="2019-05-01")
    early = report("AT", "DE", year=2011, value=98.0, vintage="2013-05-01")
    fold = next(
        iter(split_folds(observed(*double_entry(), revised, early), scheme="last-years", folds=1))
    )
    assert fold.left_out == {"later": 1}
    assert 98.0 in set(fold.fit.table["value"])
    assert 99.0 not in {*fold.fit.table["value"], *fold.held_out.table["value"]}


def test_a_figure_that_reaches_into_later_years_is_held_out_with_them() -> None:
    rows = [
        *double_entry(),
        report("AT", "DE", family="census", source="census", year=2011, years=5),
    ]  # fmt: skip
    fold = next(iter(split_folds(observed(*rows), scheme="last-years", folds=1)))
    assert set(fold.fit.table["family"]) == {"administrative"}


def test_a_block_is_a_run_of_one_reporters_periods() -> None:
    every = observed(*double_entry())
    fold = assign_folds(every, scheme="blocks", folds=12)  # 4 reporters x 3 blocks of 2 years
    table = every.table
    for k in range(12):
        rows = table[fold == k]
        who = rows["origin"].where(rows["reporter"] == "origin", rows["destination"])
        years = sorted(rows["period_start"].dt.year.unique())
        assert who.nunique() == 1
        assert len(years) == 2
        assert years[1] == years[0] + 1


def counted_too() -> Observations:
    """Return double entry, and five years of one corridor that a census counted as well."""
    five = report("AT", "DE", family="census", source="census", year=2011, years=5)
    return observed(*double_entry(), five, {**five, "origin": "FR", "destination": "PL"})


@pytest.mark.parametrize("scheme", ["random", "blocks", "reporters", "corridors"])
def test_families_that_are_not_withheld_are_fitted_in_every_fold(scheme: Scheme) -> None:
    every = counted_too()
    folds = list(split_folds(every, scheme=scheme, folds=3, families=["administrative"]))
    assert sum(fold.held_out.n for fold in folds) == len(double_entry())
    for fold in folds:
        assert set(fold.held_out.table["family"]) == {"administrative"}
        assert (fold.fit.table["family"] == "census").sum() == 2
        assert fold.left_out == {}


def test_what_nobody_is_to_know_is_in_neither_part_whatever_its_family() -> None:
    every = counted_too()
    for fold in split_folds(every, scheme="countries", folds=4, families=["administrative"]):
        absent = set(every.places) - set(fold.fit.places)
        assert len(absent) == 1
        assert fold.left_out == {"unscored": 1}  # each place is in one of the two
        assert fold.fit.n + fold.held_out.n + 1 == every.n
    (last,) = split_folds(every, scheme="last-years", folds=1, families=["administrative"])
    assert last.left_out == {"unscored": 2}
    assert set(last.fit.table["family"]) == {"administrative"}


def test_one_family_can_be_predicted_from_the_others() -> None:
    folds = list(split_folds(counted_too(), scheme="families", families=["census"]))
    assert [(fold.name, fold.held_out.n) for fold in folds] == [("census", 2)]
    with pytest.raises(UsageError, match="did you mean census"):
        list(split_folds(counted_too(), scheme="random", families=["cencus"]))


@pytest.mark.parametrize("scheme", ["countries", "last-years"])
def test_schemes_whose_folds_share_reports_have_no_fold_of_a_row(scheme: Scheme) -> None:
    with pytest.raises(UsageError, match="allowed: random, reporters, corridors, blocks"):
        assign_folds(observed(*double_entry()), scheme=scheme)


def test_held_out_observations_are_not_divided() -> None:
    _, held = observed(*double_entry()).split(0.5, seed=1)
    with pytest.raises(HeldOutError):
        next(iter(split_folds(held, scheme="countries")))


# Leaks

HELD = report("AT", "DE")
PLANTED: dict[str, list[dict[str, Any]]] = {
    "vintage": [report("AT", "DE", vintage="2024-01-01")],
    "copy": [report("AT", "DE", source="yearbook")],
    "mirror": [
        report("AT", "DE", reporter="origin", mirror_of="destination"),
        report("AT", "DE", source="other"),  # whose figure it is, or the row would be refused
    ],
    "overlap": [report("AT", "DE", source="longer", year=2018, years=5)],
    "total": [report(None, "DE", measure="immigration")],
    "estimate": [report("FR", "PL", family="estimate", reporter="other")],
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_refused_by_name(kind: str) -> None:
    fit = observed(report("FR", "PL", year=2019), *PLANTED[kind])
    with pytest.raises(LeakError, match=rf"\(ours, row 3\) \| found {kind}: .*; allowed: nothing"):
        refuse_leaks(fit, observed(HELD, name="theirs"))


@pytest.mark.parametrize(
    "total",
    [
        report("EU27_2020", "DE"),
        report(None, "DE", measure="net"),
        report(None, "DE", measure="immigration", year=2018, years=3),
    ],
    ids=["grouping", "net", "several years"],
)  # fmt: skip
def test_sums_that_contain_it_are_leaks(total: dict[str, Any]) -> None:
    leaks = find_leaks(observed(total).table, observed(HELD).table, kind="alpha2")
    assert leaks["kind"].tolist() == ["total"]


@pytest.mark.parametrize(
    "other",
    [
        report("AT", "DE", reporter="origin"),
        report("AT", "DE", year=2019),
        report("DE", "AT"),
        report("AT", "DE", source="lfs", family="survey"),
        report(None, "DE", measure="immigration", year=2019),
        report("AT", None, measure="emigration", reporter="origin"),
        report(None, "FR", measure="immigration"),
        report("nordic", "DE"),
    ],
    ids=["other side", "other year", "way back", "other family", "total of another year",
         "total of the other side", "total of another place", "grouping without it"],
)  # fmt: skip
def test_what_does_not_tell_it_is_no_leak(other: dict[str, Any]) -> None:
    fit = observed(other)
    assert find_leaks(fit.table, observed(HELD).table, kind="alpha2").empty
    refuse_leaks(fit, observed(HELD))


def test_every_leak_is_told_at_once() -> None:
    rows = [rows[0] for kind, rows in PLANTED.items() if kind != "mirror"]
    with pytest.raises(LeakError) as caught:
        refuse_leaks(observed(*rows), observed(HELD))
    assert len(caught.value.faults) == len(rows)


def test_a_total_leaves_the_fit_with_its_detail() -> None:
    rows = [*double_entry(), report(None, "DE", measure="immigration", year=2012)]
    for fold in split_folds(observed(*rows), scheme="corridors", folds=12):
        there = fold.fit.table["origin"].isna().any()
        into_germany = (fold.held_out.table["destination"] == "DE").any()
        assert there != into_germany
        assert fold.left_out == ({"total": 1} if into_germany else {})


# Periods ahead


def test_periods_ahead_follow_the_last_reported_one() -> None:
    table = observed(*double_entry(range(2010, 2012))).table
    grid = build_grid(table, PLACES, codes="alpha2", name="ours", ahead=2)
    assert grid.period_start.year.tolist() == [2010, 2011, 2012, 2013]
    assert grid.period_end[-1] == pd.Timestamp("2014-01-01")


def test_a_model_with_periods_ahead_has_cells_for_them() -> None:
    spec = ModelSpec(name="ahead", periods_ahead=3)
    problem = prepare(Inputs(spec, observed(*double_entry(range(2010, 2012))), None, {})).problem
    assert problem.grid.n_period == 5
    assert problem.reports.period.max() == 1


def test_covariates_stay_as_they_were_known() -> None:
    data = xr.Dataset(
        {"gdp": (("place", "year"), np.arange(6.0).reshape(2, 3)), "area": ("place", [1.0, 2.0])},
        {"place": ["AT", "DE"], "year": [2000, 2001, 2003]},
    )
    held = held_from(data, 2002)
    assert held["gdp"].values.tolist() == [[0.0, 1.0, 1.0], [3.0, 4.0, 4.0]]
    assert held["area"].values.tolist() == [1.0, 2.0]
    assert held_from(data, 1999)["gdp"].isnull().all()
    assert held_from(data.drop_dims("year"), 1999).identical(data.drop_dims("year"))
