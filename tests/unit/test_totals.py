"""Reports that are sums of cells: what they add up, and what they say, against dense formulas."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats
from support import changed, coefficient_variance, dense_design, dense_offset, laplace_posterior

import flowcast.model.totals_rows as rows_module
import flowcast.model.totals_state as state_module
from flowcast.config import ModelSpec
from flowcast.errors import InputError, UsageError
from flowcast.model.assemble import Sites, assemble
from flowcast.model.hyper import build_layout, draw_hyper
from flowcast.model.latent import draw_latent
from flowcast.model.problem import Problem
from flowcast.model.reports import Reports
from flowcast.model.sites import initial_sites, update_sites
from flowcast.model.totals import condition_on_totals, draw_totals, totals_log_weight
from flowcast.model.totals_measure import (
    Measure,
    add_up,
    count_log_likelihood,
    differentiate,
    log_likelihood,
    value_slope,
)
from flowcast.model.totals_mode import find_mode, laplace_value, take_steps
from flowcast.model.totals_rows import Totals, build_totals
from flowcast.model.totals_state import State, build_frame, condition_state
from flowcast.observations import observations_from_frame
from flowcast.prediction import draw_reports
from flowcast.preparation import Inputs, Prepared, prepare
from flowcast.simulation import SimulatedWorld, simulate_world, simulation_spec
from flowcast.trees import build_evidence

OPEN = ModelSpec.model_validate({"name": "mine", "measurement": {"places_outside": "ignore"}})
ROW: dict[str, Any] = {"source": "reg", "family": "administrative", "measure": "flow"}
ROW |= {"reporter": "destination", "duration_months": 12}
TRIANGLE = [("AT", "DE"), ("AT", "FR"), ("DE", "AT"), ("DE", "FR"), ("FR", "AT"), ("FR", "DE")]


def span(first: int, last: int | None = None) -> dict[str, str]:
    """Return the dates of a calendar year, or of several."""
    return {"period_start": f"{first}-01-01", "period_end": f"{(last or first) + 1}-01-01"}


def flows(
    *pairs: tuple[str, str], year: int = 2020, value: float = 10, **rest: object
) -> list[dict[str, Any]]:
    return [
        ROW | {"origin": o, "destination": d, "value": value} | span(year) | rest for o, d in pairs
    ]


def total(
    measure: str, origin: str | None, destination: str | None, value: float, **rest: object
) -> dict[str, Any]:
    ends = {"measure": measure, "origin": origin, "destination": destination, "value": value}
    return ROW | ends | span(2020) | rest


def prepared(*rows: dict[str, Any], spec: ModelSpec = OPEN) -> Prepared:
    observations = observations_from_frame(pd.DataFrame(rows), name="reports.csv")
    return prepare(Inputs(spec, observations, None, {}))


def cells_of(problem: Problem, which: int = 0) -> set[tuple[str, str, int, int]]:
    """Return origin, destination, year and sign of a total's cells."""
    totals, grid = problem.totals, problem.grid
    assert totals is not None
    out = set()
    for part, corridor, period in zip(
        totals.entry_part, totals.entries.corridor, totals.entries.period, strict=True
    ):
        if totals.part_total[part] == which:
            year = int(grid.period_start[period].year)
            ends = str(grid.origin_code[corridor]), str(grid.destination_code[corridor])
            out.add((*ends, year, int(totals.part_sign[part])))
    return out


# --- what a report adds up -----------------------------------------------------------------------


def test_an_immigration_total_is_the_flows_from_everywhere_else() -> None:
    problem = prepared(
        *flows(("AT", "DE"), ("DE", "FR")), total("immigration", None, "AT", 50)
    ).problem
    assert cells_of(problem) == {("DE", "AT", 2020, 1), ("FR", "AT", 2020, 1)}
    assert problem.totals is not None
    assert problem.totals.value.tolist() == [50]
    assert set(problem.totals.entries.unit) == {"immigration:reg:AT"}
    assert problem.reports.n == 2


def test_a_net_figure_takes_away_what_the_other_side_of_its_register_counts() -> None:
    problem = prepared(*flows(("AT", "DE")), total("net", None, "FR", -7)).problem
    assert cells_of(problem) == {
        ("AT", "FR", 2020, 1),
        ("DE", "FR", 2020, 1),
        ("FR", "AT", 2020, -1),
        ("FR", "DE", 2020, -1),
    }
    totals = problem.totals
    assert totals is not None
    assert totals.net.tolist() == [True]
    sides = dict(zip(totals.part_sign, totals.entries.unit[totals.entry_start], strict=True))
    assert sides == {1: "immigration:reg:FR", -1: "emigration:reg:FR"}


def test_a_sum_over_years_and_a_flow_from_a_grouping() -> None:
    years = [r for y in (2020, 2021, 2022) for r in flows(("DE", "FR"), ("BE", "NL"), year=y)]
    two = total("flow", "FR", "DE", 9) | span(2021, 2022)
    benelux = total("flow", "benelux", "DE", 9)
    codes = flows(("LU", "FR"))
    problem = prepared(*years, *codes, two, benelux).problem
    assert problem.grid.n_period == 3
    assert cells_of(problem, 0) == {("FR", "DE", 2021, 1), ("FR", "DE", 2022, 1)}
    assert cells_of(problem, 1) == {(c, "DE", 2020, 1) for c in ("BE", "LU", "NL")}
    assert "benelux" not in problem.grid.places


def test_a_member_of_a_grouping_receives_from_the_other_members() -> None:
    codes = flows(("LU", "FR"), ("BE", "NL"))
    problem = prepared(*codes, total("flow", "benelux", "NL", 19)).problem
    assert cells_of(problem) == {("LU", "NL", 2020, 1)}


def test_a_total_beyond_the_model_is_refused_unless_the_places_stand_for_the_world() -> None:
    with pytest.raises(InputError, match=r"row 3, origin.*places_outside: ignore"):
        prepared(
            *flows(("AT", "DE")), total("immigration", None, "AT", 5), spec=ModelSpec(name="m")
        )


def test_sums_alone_are_refused() -> None:
    with pytest.raises(InputError, match="no flow between two places in one period"):
        prepared(total("immigration", None, "AT", 5), total("immigration", None, "DE", 5))


# --- totals and their details --------------------------------------------------------------------


def test_a_total_less_its_details_is_the_report_of_the_rest() -> None:
    found = prepared(
        *flows(("AT", "DE"), ("DE", "FR")),
        *flows(("FR", "DE"), source="alt"),
        total("immigration", None, "DE", 35),
    )
    assert cells_of(found.problem) == {("FR", "DE", 2020, 1)}
    assert found.problem.totals is not None
    assert found.problem.totals.value.tolist() == [25]
    assert "1 totals were reduced by the details of the same reporter" in found.notes


def test_a_total_whose_cells_are_all_reported_says_nothing_new() -> None:
    found = prepared(*flows(("AT", "DE"), ("FR", "DE")), total("immigration", None, "DE", 23))
    assert found.problem.totals is None
    assert "1 totals repeat what the same reporter says in detail: left out" in found.notes


def test_smaller_sums_are_details_of_larger_ones() -> None:
    codes = flows(("LU", "FR"), ("BE", "NL"), ("DE", "FR"))
    found = prepared(
        *codes, total("immigration", None, "DE", 100), total("flow", "benelux", "DE", 60)
    ).problem
    assert cells_of(found, 0) == {(c, "DE", 2020, 1) for c in ("BE", "LU", "NL")}
    assert cells_of(found, 1) == {("FR", "DE", 2020, 1)}
    assert found.totals is not None
    assert found.totals.value.tolist() == [60, 40]


def test_details_on_both_sides_are_taken_off_a_net_figure() -> None:
    found = prepared(
        *flows(("AT", "DE"), value=30),
        *flows(("DE", "AT"), reporter="origin", value=4),
        *flows(("AT", "FR")),
        total("net", None, "DE", 20),
    ).problem
    assert cells_of(found) == {("FR", "DE", 2020, 1), ("DE", "FR", 2020, -1)}
    assert found.totals is not None
    assert found.totals.value.tolist() == [20 - (30 - 4)]


def test_each_side_of_a_net_figure_has_the_definition_of_its_details() -> None:
    graded = {"duration_months": 3, "undercount_class": "high", "reporter": "origin"}
    problem = prepared(
        *flows(("AT", "DE")),
        *flows(("DE", "AT"), **graded),
        *flows(("AT", "FR")),
        total("net", None, "DE", 20),
    ).problem
    entries = totals_of(problem).entries
    assert entries.share.tolist() == ["immigration_unknown", "emigration_high"]
    assert entries.duration.tolist() == [[0, 0, 0, 0], [0, 1, 1, 0]]


def test_all_totals_that_contradict_their_details_are_told() -> None:
    with pytest.raises(InputError) as caught:
        prepared(
            *flows(("AT", "DE")),
            *flows(("AT", "FR"), duration_months=3),
            total("immigration", None, "DE", 9),
            total("immigration", None, "FR", 90),
        )
    told = {f.row: (f.column, f.found) for f in caught.value.faults}
    assert told == {
        4: ("value", "9 persons, fewer than the details of the same reporter in rows 2"),
        5: ("duration_months", "a total by another definition than its details in row 3"),
    }


def test_too_many_sums_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MOST_TOTALS", 1)
    with pytest.raises(InputError, match=r"2 totals; allowed: at most 1"):
        prepared(
            *flows(("AT", "DE"), ("DE", "FR")),
            total("immigration", None, "AT", 5),
            total("immigration", None, "FR", 15),
        )


def test_cells_of_sums_have_that_evidence() -> None:
    problem = prepared(*flows(*TRIANGLE[:4]), total("immigration", None, "AT", 50)).problem
    words = dict(zip(TRIANGLE, build_evidence(problem)[:, 0].tolist(), strict=True))
    # The register of AT reports DE-AT itself, so that the total is about FR-AT alone.
    assert words == dict.fromkeys(TRIANGLE[:4], "one_report") | {
        ("FR", "AT"): "total",
        ("FR", "DE"): "none",
    }


def test_reporters_of_sums_are_reporters_of_the_model() -> None:
    graded = total("emigration", "FR", None, 5) | {"undercount_class": "low"}
    problem = prepared(*flows(("AT", "DE")), graded | {"reporter": "origin"}).problem
    names = set(problem.coefficients.name[problem.coefficients.group == "reporter"])
    assert names == {"immigration:reg:DE", "emigration:reg:FR"}
    assert problem.labels["share_class"] == ("emigration_low", "immigration_unknown")
    assert "sd_noise_total" in build_layout(problem).slices


# --- worlds with sums ----------------------------------------------------------------------------


def make_world(
    n_period: int = 2,
    *,
    seed: int = 2,
    measurement: Mapping[str, Any] | None = None,
    **hyper: float,
) -> SimulatedWorld:
    """Return three places: DK publishes immigration totals, SE net figures, DK from SE over years.

    The sums are by another source than the single cells in part, so that some effects are known
    from single cells and some are not.
    """
    codes = ["DK", "FR", "SE"]
    index = pd.MultiIndex.from_product([codes, ["origin", "destination"]])
    definitions = pd.DataFrame({"reports": True, "duration_months": 12.0}, index=index)
    definitions["accuracy_class"] = "low"
    definitions.loc[[("SE", "origin"), ("DK", "destination")], "reports"] = False
    rows = [
        {"measure": "flow", "origin": "SE", "destination": "DK", "reporter": "origin"}
        | span(2010, 2009 + n_period)
    ]
    for year in range(2010, 2010 + n_period):
        for measure, place in (("immigration", "DK"), ("net", "SE")):
            ends = {"measure": measure, "origin": None, "destination": place}
            rows.append(ends | {"reporter": "destination"} | span(year))
    fields = {"places_outside": "ignore"} | dict(measurement or {})
    return simulate_world(
        3,
        n_period,
        seed=seed,
        spec=changed(simulation_spec(), measurement=fields),
        definitions=definitions,
        totals=pd.DataFrame(rows),
        codes=codes,
        missing=0.2,
        hyper=hyper,
    )


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return make_world(sd_noise_total=0.3)


def totals_of(problem: Problem) -> Totals:
    assert problem.totals is not None
    return problem.totals


def fitted_sites(problem: Problem, hyper: Mapping[str, Any]) -> Sites:
    return update_sites(problem, hyper, initial_sites(problem))


def measure_of(problem: Problem, hyper: Mapping[str, Any]) -> Measure:
    totals = totals_of(problem)
    variance = np.full(totals.n, float(hyper["sd_noise_total"]) ** 2)
    return Measure(totals, variance, poisson=True)


def test_a_simulated_total_is_its_details_and_the_rest(world: SimulatedWorld) -> None:
    table, totals = world.observations, totals_of(world.problem)
    observations = observations_from_frame(table, declared_places={"DK", "FR", "SE"})
    again, _ = build_totals(observations.table, world.problem.grid, "again", outside="ignore")
    assert again is not None
    np.testing.assert_array_equal(again.value, totals.value)
    assert any(d.details for d in totals.details)
    assert (table.loc[totals.row, "value"].to_numpy() != totals.value).any()


def test_a_world_wants_sums_that_say_something() -> None:
    index = pd.MultiIndex.from_product([["A", "B"], ["origin", "destination"]])
    rows = pd.DataFrame(
        [{"measure": "immigration", "destination": "A", "reporter": "destination"} | span(2010)]
    )
    spec = changed(simulation_spec(), measurement={"places_outside": "ignore"})
    with pytest.raises(UsageError, match="repeat their details"):
        simulate_world(
            2,
            1,
            spec=spec,
            codes=["A", "B"],
            missing=0.0,
            totals=rows.assign(origin=None),
            definitions=pd.DataFrame({"reports": True}, index=index),
        )


# --- the state, densely --------------------------------------------------------------------------


def dense_state(
    problem: Problem, hyper: Mapping[str, Any], sites: Sites
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and covariance of the entries from the joint normal of everything at once."""
    grid, reports, totals = problem.grid, problem.reports, totals_of(problem)
    series = sorted({*reports.series, *totals.entries.series})
    q, n_period, n = problem.coefficients.n, grid.n_period, grid.n_corridor
    phi, gap = hyper["ar_coefficient"], np.subtract.outer(*[np.arange(n_period)] * 2)
    blocks = [np.diag(coefficient_variance(problem, hyper, sites))]
    for c in range(n):
        own = hyper["sd_innovation"] ** 2 / sites.innovation_weight[c] / (1 - phi**2)
        blocks.append(hyper["sd_corridor"] ** 2 + own * phi ** np.abs(gap))
    side = [0 if s.startswith("immigration") else 1 for s in series]
    blocks.append(np.diag(np.tile(hyper["sd_corridor_report"][side] ** 2, n)))
    edges = np.cumsum([0, *map(len, blocks)])
    prior = np.zeros((edges[-1], edges[-1]))
    for block, lo, hi in zip(blocks, edges[:-1], edges[1:], strict=True):
        prior[lo:hi, lo:hi] = block

    def rows(r: Reports, design: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros((r.n, len(prior)))
        out[:, :q] = design
        at, place = np.arange(r.n), [series.index(s) for s in r.series]
        out[at, q + r.corridor * n_period + r.period] = 1.0
        out[at, q + n * n_period + r.corridor * len(series) + place] = 1.0
        return out

    single = rows(reports, dense_design(problem))
    as_reports = replace(problem, reports=totals.entries)
    summed = rows(totals.entries, dense_design(as_reports))
    core = assemble(problem, hyper, sites)
    gain = prior @ single.T @ np.linalg.inv(single @ prior @ single.T + np.diag(core.noise))
    target = sites.mean - problem.prior_mean - dense_offset(problem, hyper)
    mean = summed @ gain @ target + dense_design(as_reports) @ problem.coefficients.mean
    cov = summed @ (prior - gain @ single @ prior) @ summed.T
    return mean + dense_offset(as_reports, hyper), cov


def covariance(state: State) -> NDArray[np.float64]:
    return np.asarray(state.spread(np.eye(len(state.entries))))


@pytest.mark.parametrize("n_period", [2, 3])
def test_the_state_is_the_dense_conditional(n_period: int) -> None:
    world = make_world(n_period, seed=4)
    problem, hyper = world.problem, dict(world.hyper)
    sites = fitted_sites(problem, hyper)
    state = condition_state(problem, hyper, sites)
    mean, cov = dense_state(problem, hyper, sites)
    np.testing.assert_allclose(state.entries, mean, atol=1e-9)
    np.testing.assert_allclose(covariance(state), cov, atol=1e-9)


def test_draws_of_the_state_have_its_moments(world: SimulatedWorld) -> None:
    problem, hyper = world.problem, dict(world.hyper)
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    rng = np.random.default_rng(1)
    draws = np.array([state.see(*state.draw(rng)) for _ in range(3000)])
    sd = np.sqrt(np.diag(covariance(state)))
    assert np.abs((draws.mean(axis=0) - state.entries) / sd).max() < 4.5 / np.sqrt(3000)
    found = np.cov(draws.T) / np.outer(sd, sd)
    assert np.abs(found - covariance(state) / np.outer(sd, sd)).max() < 6.5 / np.sqrt(3000)


def test_carrying_moves_entries_by_their_covariance(world: SimulatedWorld) -> None:
    problem, hyper = world.problem, dict(world.hyper)
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    along = np.random.default_rng(3).normal(size=len(state.entries))
    cells, by = state.carry(along)
    moved = state.see(state.cells + cells, state.coefficients + by)
    np.testing.assert_allclose(moved - state.entries, covariance(state) @ along, atol=1e-9)


# --- the likelihood ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 1.0, 7.0, 400.0, 2.5e6])
@pytest.mark.parametrize("sd", [0.02, 0.3, 1.2])
def test_counts_around_noise_are_integrated(value: float, sd: float) -> None:
    mean = np.log(value + 0.5) - 0.4
    found, slope, curvature = count_log_likelihood(np.array([value]), np.array([mean]), sd**2)
    peak = (mean / sd**2 + np.log(value + 0.5) * value) / (1 / sd**2 + value)

    def density(x: float) -> float:
        return float(
            np.exp(stats.poisson.logpmf(value, np.exp(x)) + stats.norm.logpdf(x, mean, sd))
        )

    width = 12.0 / np.sqrt(1 / sd**2 + value)
    low = min(peak, mean) - width - (5.0 * sd if value == 0.0 else 0.0)
    exact = integrate.quad(
        density, low, max(peak, mean) + width, epsabs=0, limit=400, points=[peak]
    )
    np.testing.assert_allclose(found[0], np.log(exact[0]), atol=2e-4)
    near = [
        count_log_likelihood(np.array([value]), np.array([mean + s]), sd**2) for s in (-1e-4, 1e-4)
    ]
    np.testing.assert_allclose(slope[0], (near[1][0] - near[0][0])[0] / 2e-4, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(curvature, (near[1][1] - near[0][1]) / 2e-4, rtol=5e-3)


def test_the_delta_form_is_a_normal_on_the_log_count() -> None:
    found, slope, curvature = count_log_likelihood(
        np.array([9.0]), np.array([2.0]), 0.04, poisson=False
    )
    normal = stats.norm(2.0, np.sqrt(0.04 + 1 / 9.5))
    np.testing.assert_allclose(found, normal.logpdf(np.log(9.5)))
    np.testing.assert_allclose(
        [slope[0], curvature[0]], [(np.log(9.5) - 2) / normal.var(), -1 / normal.var()]
    )


def test_parts_are_sums_of_persons(world: SimulatedWorld) -> None:
    totals = totals_of(world.problem)
    entries = np.random.default_rng(2).normal(5.0, 1.0, totals.entries.n)
    persons = np.bincount(totals.entry_part, np.exp(entries))
    np.testing.assert_allclose(np.exp(add_up(totals, entries)), persons)
    local = differentiate(measure_of(world.problem, world.hyper), entries)
    np.testing.assert_allclose(np.exp(local.log_part), persons)
    np.testing.assert_allclose(local.share, np.exp(entries) / persons[totals.entry_part])


def by_parts(
    totals: Totals, diagonal: NDArray[np.float64], beside: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = np.diag(diagonal)
    for r in np.flatnonzero(np.bincount(totals.part_total) == 2):
        first = totals.part_start[r]
        out[first, first + 1] = out[first + 1, first] = beside[r]
    return out


def test_derivatives_are_those_of_the_likelihood(world: SimulatedWorld) -> None:
    problem, hyper = world.problem, dict(world.hyper)
    measure = measure_of(problem, hyper)
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    entries = find_mode(state, measure, state.entries).entries
    entries = entries + 0.2 * np.random.default_rng(1).normal(size=len(entries))
    value, slope = value_slope(measure, entries)
    assert value == pytest.approx(float(log_likelihood(measure, entries[:, None])[0]))
    local, step = differentiate(measure, entries), 1e-5
    assert local.value.sum() == pytest.approx(value)
    adding = np.zeros((len(local.slope), len(entries)))
    adding[measure.totals.entry_part, np.arange(len(entries))] = local.share
    np.testing.assert_allclose(adding.T @ local.slope, slope, rtol=1e-10)
    diagonal = np.diag(local.share * local.slope[measure.totals.entry_part])
    curvature = by_parts(measure.totals, *local.curvature)
    hessian = diagonal + adding.T @ (curvature - np.diag(local.slope)) @ adding
    for k, nudge in enumerate(step * np.eye(len(entries))):
        above, below = (value_slope(measure, entries + s * nudge) for s in (1, -1))
        first, second = ((a - b) / (2 * step) for a, b in zip(above, below, strict=True))
        np.testing.assert_allclose(first, slope[k], rtol=2e-5, atol=1e-5)
        most = np.abs(hessian).max()
        np.testing.assert_allclose(second, hessian[k], rtol=1e-3, atol=1e-3 * most)
    information = by_parts(measure.totals, *local.information)
    assert (np.linalg.eigvalsh(information) > 0).all()


# --- mode, Laplace's value, trajectories ---------------------------------------------------------


def test_the_mode_is_where_the_pull_of_sums_and_prior_balance(world: SimulatedWorld) -> None:
    problem, hyper = world.problem, dict(world.hyper)
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    measure = measure_of(problem, hyper)
    mode = find_mode(state, measure, state.entries)
    _, slope = value_slope(measure, mode.entries)
    np.testing.assert_allclose(mode.entries, state.entries + covariance(state) @ mode.along)
    np.testing.assert_allclose(mode.along, slope, atol=0.01 * np.abs(slope).max())


@pytest.mark.parametrize("shift", [-300.0, 60.0])
def test_absurd_starts_are_led_back(world: SimulatedWorld, shift: float) -> None:
    """A draw, or a step, may lie where sums are beyond all counting; nothing overflows there."""
    problem, hyper = world.problem, dict(world.hyper)
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    measure = measure_of(problem, hyper)
    start = state.entries + shift
    assert np.isfinite(log_likelihood(measure, start[:, None])).all()
    found = find_mode(state, measure, start)
    assert np.isfinite(found.height)
    plain = ~measure.totals.net
    gap = add_up(measure.totals, found.entries)[measure.totals.part_start[plain]]
    assert np.abs(gap - np.log(measure.totals.value[plain] + 0.5)).max() < abs(shift) / 4


def test_few_and_many_entries_have_the_same_value(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, hyper = world.problem, dict(world.hyper)
    sites = fitted_sites(problem, hyper)
    few = totals_log_weight(problem, hyper, sites)
    monkeypatch.setattr(state_module, "_DENSE_ENTRIES", 0)
    assert not build_frame(problem).dense
    assert totals_log_weight(problem, hyper, sites) == pytest.approx(few, abs=5e-3)


def test_one_cell_with_a_normal_report_is_exact() -> None:
    """A sum of one cell is linear: the value is a normal density, with nothing to approximate."""
    base = make_world(2, seed=6).problem
    problem = replace(base, spec=changed(base.spec, measurement={"counts": "delta"}))
    totals = totals_of(problem)
    first = totals.entry_start[0]
    one = replace(
        totals,
        **{f: getattr(totals, f)[:1] for f in ("row", "value", "part_start", "entry_start")},
        net=np.array([False]),
        part_total=np.array([0]),
        part_sign=np.array([1]),
        entry_part=np.array([0]),
        entries=replace(
            totals.entries,
            **{
                f: getattr(totals.entries, f)[first : first + 1]
                for f in type(totals.entries).__dataclass_fields__
            },
        ),
    )
    problem = replace(problem, totals=one)
    hyper = dict(draw_hyper(problem, np.random.default_rng(5)))
    sites = fitted_sites(problem, hyper)
    mean, cov = dense_state(problem, hyper, sites)
    value = one.value[0] + 0.5
    variance = cov[0, 0] + hyper["sd_noise_total"] ** 2 + 1 / value
    wanted = stats.norm.logpdf(np.log(value), mean[0], np.sqrt(variance))
    assert totals_log_weight(problem, hyper, sites) == pytest.approx(wanted, abs=1e-6)


def test_impossible_hyper_parameters_have_no_weight(world: SimulatedWorld) -> None:
    hyper = dict(world.hyper) | {"sd_noise_total": np.nan}
    sites = fitted_sites(world.problem, dict(world.hyper))
    assert totals_log_weight(world.problem, hyper, sites) == -np.inf


def test_laplace_is_close_to_importance_sampling(world: SimulatedWorld) -> None:
    """Brute force: many draws without the sums, weighted by what the sums say of them."""
    problem, hyper = world.problem, dict(world.hyper) | {"sd_noise_total": 0.8}
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    measure = measure_of(problem, hyper)
    # A cell that stands in two sums makes the covariance singular.
    values, vectors = np.linalg.eigh(covariance(state))
    assert values.min() > -1e-9 * values.max()
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.random.default_rng(1).standard_normal((len(root), 200_000))
    weight = log_likelihood(measure, state.entries[:, None] + root @ normal)
    top = weight.max()
    weight = np.exp(weight - top)
    error = weight.std() / weight.mean() / np.sqrt(len(weight))
    assert error < 0.05
    found = laplace_value(state, measure)
    assert found == pytest.approx(top + np.log(weight.mean()), abs=0.15 + 3 * error)


def test_trajectories_keep_energy_and_know_how_they_came(world: SimulatedWorld) -> None:
    problem, hyper = world.problem, dict(world.hyper)
    state = condition_state(problem, hyper, fitted_sites(problem, hyper))
    measure = measure_of(problem, hyper)
    start = find_mode(state, measure, state.entries).entries
    velocity = state.see(*state.draw(np.random.default_rng(4))) - state.entries
    coarse, fine = (
        take_steps(state, measure, start, velocity, s, n) for s, n in ((0.02, 20), (0.002, 200))
    )
    assert abs(fine.log_accept) < abs(coarse.log_accept) / 20 < 0.05
    place = coarse.position * (start - state.entries) + coarse.velocity * velocity
    wanted = state.entries + place + covariance(state) @ coarse.along
    np.testing.assert_allclose(coarse.entries, wanted, atol=1e-9)
    assert np.abs(coarse.entries - start).max() > 0.1


# --- draws ---------------------------------------------------------------------------------------


def test_without_sums_nothing_is_done(world: SimulatedWorld) -> None:
    problem = replace(world.problem, totals=None)
    hyper, sites = dict(world.hyper), initial_sites(problem)
    flow, coefficient = np.zeros((6, 2)), np.zeros(problem.coefficients.n)
    rng = np.random.default_rng(1)
    out = condition_on_totals(problem, hyper, sites, flow, coefficient, rng)
    assert out[0] is flow
    assert out[1] is coefficient
    assert totals_log_weight(problem, hyper, sites) == 0.0


def test_conditioned_draws_agree_with_precise_sums() -> None:
    """Where sums have next to no noise, so have the same sums of every conditioned draw."""
    world = make_world(seed=3, measurement={"corridor_report_effects": False}, sd_noise_total=0.3)
    problem, hyper = world.problem, dict(world.hyper) | {"sd_noise_total": 0.002}
    sites, rng = fitted_sites(problem, hyper), np.random.default_rng(6)
    state, totals = condition_state(problem, hyper, sites), totals_of(problem)
    free, held = [], []
    for _ in range(10):
        draw = draw_latent(problem, hyper, sites, rng)
        moved = condition_on_totals(problem, hyper, sites, *draw, rng)
        for (flow, coefficient), into in ((draw, free), (moved, held)):
            cells = flow[state.frame.corridors.corridor].ravel()
            entries = state.see(cells, coefficient - problem.coefficients.mean)
            into.append(add_up(totals, entries)[totals.part_start])
    plain = ~totals.net
    gap = np.array(held)[:, plain] - np.log(totals.value[plain])
    sd = np.sqrt(0.002**2 + 1.0 / totals.value[plain])
    assert (np.abs(gap) / sd).max() < 5.0
    assert (np.std(free, axis=0)[plain] > 5 * np.std(held, axis=0)[plain]).all()


def test_figures_drawn_for_sums_scatter_around_them(world: SimulatedWorld) -> None:
    problem, hyper = world.problem, dict(world.hyper) | {"sd_noise_total": 0.01}
    sites, rng = fitted_sites(problem, hyper), np.random.default_rng(8)
    flow, coefficient = draw_latent(problem, hyper, sites, rng)
    draws = [draw_totals(problem, hyper, sites, flow, coefficient, rng) for _ in range(50)]
    found = np.array(draws)
    assert found.shape == (50, totals_of(problem).n)
    assert (found[:, ~totals_of(problem).net] >= 0).all()
    assert (found.std(axis=0) > 0).all()


def test_sums_are_predicted_beside_single_cells(world: SimulatedWorld) -> None:
    posterior = laplace_posterior(world.problem, n_draws=20)
    table = world.observations.copy()
    whole = observations_from_frame(table, name="again", declared_places={"DK", "FR", "SE"})
    row, count = draw_reports(posterior, whole, seed=3)
    assert sorted(row) == list(range(len(table)))
    assert count.shape == (40, len(table))
    sums = np.isin(row, np.flatnonzero(table["measure"] == "immigration"))
    assert (count[:, sums] >= 0).all()
    only = observations_from_frame(
        table[table["measure"] == "net"], name="net", declared_places={"DK", "FR", "SE"}
    )
    row, count = draw_reports(posterior, only, seed=3)
    assert row.tolist() == [0, 1]
    assert np.isfinite(count).all()
