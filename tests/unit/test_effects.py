"""Factors of reports: which reports carry which coefficients, under which names and priors."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import dense_design, family_problem, family_rows, family_spec

from flowcast.config import ModelSpec, validate_model
from flowcast.errors import InputError
from flowcast.model.cells import as_cells
from flowcast.model.effects import (
    NO_EFFECTS,
    EffectTerms,
    effect_columns,
    effect_terms,
    join_terms,
)
from flowcast.model.grid import Grid, build_grid
from flowcast.model.problem import Problem
from flowcast.model.reports import Reports, build_reports
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, Prepared, prepare

PLACES = ["AT", "BE", "DE", "FR", "PL"]
FAMILY = ("bias_", "criterion_", "census_")
"""What the names of coefficients begin with that a model need not declare."""


def laid_out(quantity: str = "flow", **columns: object) -> tuple[Grid, Reports]:
    """Return cells and reports of `family_rows`, with some columns replaced."""
    rows = family_rows(quantity).assign(**columns)
    table = as_cells(observations_from_frame(rows).table, quantity)  # type: ignore[arg-type]
    grid = build_grid(table, PLACES, codes="alpha2", name="reports.csv")
    return grid, build_reports(table, grid, quantity=quantity)  # type: ignore[arg-type]


def spec_of(*effects: dict[str, Any], quantity: str = "flow", **measurement: object) -> ModelSpec:
    given = {"effects": list(effects)} | measurement
    return validate_model({"name": "a", "quantity": quantity, "measurement": given}, "a")


def carried(terms: EffectTerms, reports: Reports) -> dict[str, set[int]]:
    """Return the reports that carry each coefficient."""
    return {
        name: set(terms.report[terms.index == k].tolist()) for k, name in enumerate(terms.names)
    }


def declared(effect: dict[str, Any]) -> tuple[EffectTerms, Grid, Reports]:
    """Return the coefficients of one declared effect on `family_rows`."""
    grid, reports = laid_out()
    terms = effect_terms(spec_of({"name": "own"} | effect), grid, reports, {})
    own = [k for k, name in enumerate(terms.names) if not name.startswith(FAMILY)]
    inside = np.isin(terms.index, own)
    kept = EffectTerms(
        tuple(terms.names[k] for k in own),
        terms.mean[own],
        terms.sd[own],
        terms.report[inside],
        np.searchsorted(own, terms.index[inside]),
        terms.value[inside],
    )
    return kept, grid, reports


def cells(grid: Grid, reports: Reports) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": reports.source,
            "family": reports.family,
            "criterion": reports.criterion,
            "origin": grid.origin_code[reports.corridor],
            "destination": grid.destination_code[reports.corridor],
            "year": grid.period_start.year.to_numpy()[reports.period],
            "side": reports.side,
        }
    )


@pytest.mark.parametrize(
    ("key", "column", "wanted"),
    [
        ("sources", "source", ["lfs", "platform"]),
        ("families", "family", ["survey"]),
        ("criteria", "criterion", ["citizenship"]),
        ("origins", "origin", ["DE", "PL"]),
        ("destinations", "destination", ["AT"]),
        ("years", "year", [2019, 2021]),
    ],
)
def test_an_effect_belongs_to_the_reports_its_key_names(
    key: str, column: str, wanted: list[Any]
) -> None:
    terms, grid, reports = declared({key: wanted})
    expected = np.flatnonzero(cells(grid, reports)[column].isin(wanted))
    assert terms.names == ("own",)
    np.testing.assert_array_equal(terms.report, expected)
    np.testing.assert_array_equal(terms.value, 1.0)
    assert 0 < len(expected) < reports.n


def test_all_keys_have_to_hold_and_none_means_all() -> None:
    terms, grid, reports = declared({"sources": ["lfs"], "origins": ["DE"], "years": [2020]})
    found = cells(grid, reports).iloc[terms.report]
    assert found[["source", "origin", "year"]].drop_duplicates().to_numpy().tolist() == [
        ["lfs", "DE", 2020]
    ]
    everywhere, _, reports = declared({})
    np.testing.assert_array_equal(everywhere.report, np.arange(reports.n))


@pytest.mark.parametrize("key", ["source", "origin", "destination"])
def test_a_coefficient_for_each_of_what_it_goes_by(key: str) -> None:
    terms, grid, reports = declared({"families": ["digital"], "by": [key]})
    frame = cells(grid, reports)
    digital = frame["family"] == "digital"
    labels = frame.loc[digital, key]
    assert terms.names == tuple(sorted({f"own[{label}]" for label in labels}))
    for name, rows in carried(terms, reports).items():
        assert rows == set(labels.index[[f"own[{x}]" == name for x in labels]])


def test_combinations_are_named_in_the_order_declared() -> None:
    terms, grid, reports = declared({"sources": ["platform"], "by": ["origin", "period"]})
    frame = cells(grid, reports)
    seen = frame[frame["source"] == "platform"]
    labels = {f"own[{o},{y}]" for o, y in zip(seen["origin"], seen["year"], strict=True)}
    assert set(terms.names) == labels
    assert "own[DE,2020]" in labels
    assert list(terms.names) == sorted(terms.names)
    (swapped, *_) = declared({"sources": ["platform"], "by": ["period", "origin"]})
    assert "own[2020,DE]" in swapped.names


def test_reporters_are_places_or_the_source_itself() -> None:
    terms, _, reports = declared({"families": ["survey", "digital"], "by": ["reporter"]})
    by_name = carried(terms, reports)
    assert set(by_name) == {f"own[{p}]" for p in (*PLACES, "search")}
    assert set(reports.source[sorted(by_name["own[search]"])]) == {"search"}
    assert {"lfs", "platform"} == set(reports.source[sorted(by_name["own[AT]"])])


def test_periods_shorter_than_a_year_are_named_by_their_day() -> None:
    rows = pd.DataFrame(
        {
            "source": "meta",
            "family": "digital",
            "measure": "flow",
            "origin": "DE",
            "destination": "FR",
            "period_start": ["2020-01-01", "2020-04-01"],
            "period_end": ["2020-04-01", "2020-07-01"],
            "value": 10.0,
            "reporter": "other",
        }
    )
    table = observations_from_frame(rows).table
    grid = build_grid(table, ("DE", "FR"), codes="alpha2", name="reports.csv")
    spec = spec_of({"name": "wave", "by": ["period"]})
    names = effect_terms(spec, grid, build_reports(table, grid), {}).names
    assert names == ("bias_digital[meta]", "wave[2020-01-01]", "wave[2020-04-01]")


def rates(*values: float) -> xr.Dataset:
    data = xr.DataArray(list(values), dims="place", coords={"place": PLACES[: len(values)]})
    return data.to_dataset(name="rate")


def test_columns_give_the_transformed_value_of_the_declared_side() -> None:
    grid, reports = laid_out()
    values = [0.3, 0.4, 0.5, 0.35, 0.6]
    effect = {"name": "own", "sources": ["platform"], "column": "rate", "transform": "log"}
    for side, index in (("origin", grid.origin), ("destination", grid.destination)):
        spec = spec_of(effect | {"side": side})
        columns = effect_columns(spec, rates(*values), grid)
        terms = effect_terms(spec, grid, reports, columns)
        mine = terms.index == terms.names.index("own")
        at = index[reports.corridor[terms.report[mine]]]
        np.testing.assert_allclose(terms.value[mine], np.log(values)[at])
    # Not centred, unlike a covariate of the process: the value is what the factor goes by.
    assert columns["own"].mean() != pytest.approx(0.0, abs=0.1)


def test_faults_of_columns_carry_the_name_of_their_effect() -> None:
    grid, _ = laid_out()
    spec = spec_of(
        {"name": "first", "column": "rate", "side": "origin"},
        {"name": "second", "column": "rats", "side": "origin"},
        {"name": "third", "column": "rate", "side": "corridor"},
        {"name": "fourth", "column": "rate", "side": "origin", "missing": "zero"},
    )
    with pytest.raises(InputError) as caught:
        effect_columns(spec, rates(0.3, 0.4, 0.5, 0.35), grid)
    told = {fault.where: fault.found for fault in caught.value.faults}
    assert set(told) == {"effect first", "effect second", "effect third"}
    assert "PL" in told["effect first"]
    assert "did you mean rate" in told["effect second"]
    with pytest.raises(InputError, match=r"effect first.*no covariates"):
        effect_columns(spec, None, grid)


def test_what_is_filled_in_is_by_the_rule() -> None:
    grid, _ = laid_out()
    effect = {"name": "own", "column": "rate", "side": "origin"}
    for rule, wanted in (("zero", 0.0), ("mean", np.mean([0.3, 0.4, 0.5, 0.35]))):
        spec = spec_of(effect | {"missing": rule})
        found = effect_columns(spec, rates(0.3, 0.4, 0.5, 0.35), grid)["own"]
        from_poland = grid.origin_code == "PL"
        np.testing.assert_allclose(found[from_poland], wanted)
        assert (found[~from_poland] != wanted).all()


def test_entries_of_some_reports_are_counted_anew() -> None:
    terms = EffectTerms(
        ("a", "b"),
        np.array([0.0, 1.0]),
        np.array([0.1, 0.2]),
        np.array([0, 0, 2, 5, 5, 6]),
        np.array([0, 1, 1, 0, 1, 0]),
        np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    )
    some = terms.take(np.array([1, 2, 4, 5]))
    assert some.names == terms.names
    assert some.report.tolist() == [1, 3, 3]
    assert some.index.tolist() == [1, 0, 1]
    assert some.value.tolist() == [3.0, 4.0, 5.0]
    assert terms.take(np.array([1, 3])).report.tolist() == []
    assert terms.take(np.array([0, 7])).value.tolist() == [1.0, 2.0]
    assert NO_EFFECTS.take(np.array([0, 1])).value.tolist() == []


def test_coefficients_of_several_parts_are_joined_by_name() -> None:
    one = EffectTerms(("b", "c"), np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    two = EffectTerms(("a", "b"), np.array([0.0, 1.0]), np.array([0.3, 0.1]))
    assert list(join_terms([one, NO_EFFECTS, two]).items()) == [
        ("a", (0.0, 0.3)),
        ("b", (1.0, 0.1)),
        ("c", (2.0, 0.2)),
    ]


# --- what every family has -----------------------------------------------------------------------


def family_terms(quantity: str = "flow", **columns: object) -> tuple[EffectTerms, Grid, Reports]:
    grid, reports = laid_out(quantity, **columns)
    return effect_terms(spec_of(quantity=quantity), grid, reports, {}), grid, reports


def test_flows_have_a_bias_for_each_source_that_is_no_register() -> None:
    terms, _, reports = family_terms()
    found = carried(terms, reports)
    assert {n for n in found if n.startswith("bias_") and not n.startswith("bias_index")} == {
        "bias_census[census]",
        "bias_digital[platform]",
        "bias_survey[lfs]",
    }
    assert found["bias_survey[lfs]"] == set(np.flatnonzero(reports.source == "lfs"))
    assert found["criterion_citizenship[census]"] == set(np.flatnonzero(reports.source == "census"))
    administrative = reports.family == "administrative"
    assert not administrative[terms.report].any()


def test_an_index_has_a_level_in_each_corridor() -> None:
    terms, grid, reports = family_terms()
    index = np.flatnonzero(reports.side == "index")
    found = carried(terms, reports)
    levels = {name: rows for name, rows in found.items() if name.startswith("bias_index")}
    corridor = {f"{o},{d}" for o, d in zip(grid.origin_code, grid.destination_code, strict=True)}
    assert {n.removeprefix("bias_index[search,").removesuffix("]") for n in levels} <= corridor
    assert len(levels) == len(np.unique(reports.corridor[index]))
    for rows in levels.values():
        assert np.unique(reports.corridor[sorted(rows)]).size == 1
    assert set.union(*levels.values()) == set(index)


def test_stocks_have_a_bias_of_the_register_and_no_criterion() -> None:
    terms, _, reports = family_terms("stock")
    found = carried(terms, reports)
    assert found["bias_register[register]"] == set(np.flatnonzero(reports.source == "register"))
    assert not [name for name in found if name.startswith(("criterion_", "census_"))]


def test_priors_are_those_of_the_keys() -> None:
    grid, reports = laid_out()
    spec = spec_of(
        {"name": "own", "sources": ["lfs"], "prior": {"normal": [0.4, 0.04]}},
        bias_survey={"normal": [-0.2, 0.3]},
        criterion_citizenship={"normal": [0.1, 0.5]},
    )
    terms = effect_terms(spec, grid, reports, {})
    prior = {n: (m, s) for n, m, s in zip(terms.names, terms.mean, terms.sd, strict=True)}
    assert prior["own"] == (0.4, 0.04)
    assert prior["bias_survey[lfs]"] == (-0.2, 0.3)
    assert prior["criterion_citizenship[census]"] == (0.1, 0.5)
    assert prior["bias_index[search,AT,BE]"] == (0.0, 10.0)


@pytest.mark.parametrize(
    ("years", "value"),
    [(1, None), (2, np.log(2) / np.log(5)), (5, 1.0), (10, np.log(10) / np.log(5))],
)
def test_transitions_lose_moves_in_proportion_to_the_log_of_the_years(
    years: int, value: float | None
) -> None:
    rows = pd.DataFrame(
        {
            "source": ["census", "register"],
            "family": ["census", "administrative"],
            "measure": "flow",
            "origin": "DE",
            "destination": "FR",
            "period_start": "2010-01-01",
            "period_end": f"{2010 + years}-01-01",
            "value": 10.0,
            "reporter": "destination",
        }
    )
    table = observations_from_frame(rows).table
    grid = build_grid(table, ("DE", "FR"), codes="alpha2", name="reports.csv")
    reports = build_reports(table, grid)
    terms = effect_terms(spec_of(), grid, reports, {})
    entries = terms.index == terms.names.index("census_transition") if value else np.zeros(0)
    if value is None:
        assert "census_transition" not in terms.names
        return
    assert terms.value[entries] == pytest.approx([value], rel=2e-3)
    assert reports.source[terms.report[entries]].tolist() == ["census"]


# --- in a model ----------------------------------------------------------------------------------


def inputs(spec: ModelSpec, rows: pd.DataFrame | None = None) -> Inputs:
    data = observations_from_frame(family_rows() if rows is None else rows)
    penetration = rates(0.3, 0.4, 0.5, 0.35, 0.6).rename(rate="penetration")
    return Inputs(spec, data, penetration, {})


def with_totals() -> Prepared:
    """Return a problem with a survey's total beside the reports of `family_rows`."""
    total = {"source": "lfs", "family": "survey", "measure": "immigration", "destination": "PL"}
    total |= {"year": 2020, "value": 5000.0, "reporter": "destination", "standard_error": 400.0}
    rows = pd.concat([family_rows(), pd.DataFrame([total])])
    spec = family_spec(places_outside="ignore")
    return prepare(inputs(spec, rows))


def test_single_cells_and_sums_share_their_coefficients() -> None:
    problem = with_totals().problem
    names = [n for n, g in zip(problem.coefficients.name, problem.coefficients.group, strict=True)
             if g == "effect"]  # fmt: skip
    assert names == sorted(set(names))
    assert names.count("bias_survey[lfs]") == 1
    assert problem.total_effects.names == ("bias_survey[lfs]",)
    assert problem.totals is not None
    np.testing.assert_array_equal(problem.total_effects.report, np.arange(4))
    own = problem.coefficients.name == "bias_survey[lfs]"
    assert problem.coefficients.mean[own].tolist() == [-0.05]
    assert problem.coefficients.fixed_sd[own].tolist() == [0.2]


@pytest.fixture(scope="module")
def problem() -> Problem:
    return family_problem(seed=1)


def test_prior_means_of_effects_are_part_of_every_reports_mean(problem: Problem) -> None:
    wanted = dense_design(problem) @ problem.coefficients.mean
    np.testing.assert_allclose(problem.prior_mean, wanted, rtol=1e-12)
    assert np.unique(wanted).size > 3


def test_effects_no_report_carries_are_told() -> None:
    effects = [
        {"name": "used", "sources": ["lfs"], "by": ["period"]},
        {"name": "misspelt", "sources": ["lsf"]},
        {"name": "late", "years": [2035]},
    ]
    notes = prepare(inputs(spec_of(*effects))).notes
    idle = [note for note in notes if note.startswith("no report carries")]
    assert idle == [
        "no report carries the effect misspelt",
        "no report carries the effect late",
    ]


def test_an_effect_of_sums_alone_is_not_idle() -> None:
    total = {"source": "ips", "family": "survey", "measure": "immigration", "destination": "PL"}
    total |= {"year": 2020, "value": 5000.0, "reporter": "destination"}
    rows = pd.concat([family_rows(), pd.DataFrame([total])])
    spec = spec_of({"name": "own", "sources": ["ips"]}, places_outside="ignore")
    found = prepare(inputs(spec, rows))
    assert not [note for note in found.notes if "carries" in note]
    assert "own" in found.problem.total_effects.names
    assert "own" not in found.problem.effects.names


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], "effect names used twice: a"),
        ([{"name": "bias_survey"}], "effect names that are keys of measurement: bias_survey"),
        ([{"name": "census_transition"}], "keys of measurement: census_transition"),
        ([{"name": "a[b]"}], "name"),
        ([{"name": "a", "prior": {"half_normal": 1}}], "found half_normal; allowed: normal"),
        ([{"name": "a", "by": ["year"]}], "by"),
    ],
)
def test_effects_that_cannot_be_are_refused(effects: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        spec_of(*effects)


@pytest.mark.parametrize(
    "key",
    [
        *(f"bias_{name}" for name in ("register", "survey", "census", "digital", "index")),
        "criterion_citizenship",
        "criterion_birth",
        "census_transition",
    ],
)
def test_coefficients_have_normal_priors(key: str) -> None:
    with pytest.raises(InputError, match="found gamma; allowed: normal"):
        spec_of(**{key: {"gamma": [2, 5]}})
    assert getattr(spec_of(**{key: {"normal": [1, 2]}}).measurement, key).numbers == (1.0, 2.0)
