"""Projections on disk: as in memory, resumed, recomputed only where they must be; their tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.projection_world import PLACES, make_people, make_process

from flowcast.errors import InputError, UsageError
from flowcast.projection import baseline_of, project, store
from flowcast.projection._inputs import read_inputs, write_inputs
from flowcast.projection.comparing import (
    chance_above,
    compare_scenarios,
    measure_of,
    summarise_projection,
)
from flowcast.projection.store import open_projection, projection_names, run_projection
from flowcast.scenarios import ResolvedScenario, Scenario, read_scenario

NAMES = ("baseline", "no_migration", "return_wave")
MORE = """\
name: mine
title: Mine
narrative: Poland is more open.
extends: baseline
drivers:
  policy_openness:
    operation: multiply
    value: 2.0
    unit: ratio
    corridors: "*/POL"
    reference: "invented"
"""


def write(folder: Path) -> Path:
    """Write inputs of the small world, and return the folder."""
    process, start = make_process(), make_people(stocked=True)
    write_inputs(folder / store.INPUTS, process, start, baseline_of(process, start))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A projection of three scenarios, five draws in blocks of two."""
    place = write(tmp_path_factory.mktemp("projection"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "MAX_BLOCK", 2)
        run_projection(place, [read_scenario(name) for name in NAMES], draws=5)
    return place


def test_inputs_come_back_as_they_were(folder: Path) -> None:
    process, start, baseline, history = read_inputs(folder / store.INPUTS)
    wanted = make_process()
    xr.testing.assert_equal(process.posterior, wanted.posterior)
    assert process.spec == wanted.spec
    assert (process.end, process.length, process.places) == (2025, 1, PLACES)
    xr.testing.assert_equal(start.birth_rate, make_people().birth_rate)
    assert baseline["population"].attrs["units"] == "persons"
    assert history is None


@pytest.mark.parametrize("name", NAMES)
def test_draws_on_disk_are_those_in_memory(folder: Path, name: str) -> None:
    scenarios = [read_scenario(one) for one in NAMES]
    wanted = project(make_process(), make_people(stocked=True), scenarios, draws=5)[name].data
    found = open_projection(folder, name).load()
    for variable in wanted.data_vars:
        np.testing.assert_array_equal(found[variable], wanted[variable])
    assert found["immigration"].attrs["units"] == "persons per period"
    assert found.attrs["scenario"] == name


def test_what_is_whole_is_not_computed_again(folder: Path) -> None:
    computed = run_projection(folder, [read_scenario(name) for name in NAMES], draws=5)
    assert computed == dict.fromkeys(NAMES, False)


def test_only_a_changed_scenario_is_computed_again(tmp_path: Path) -> None:
    place = write(tmp_path / "runs")
    mine = tmp_path / "mine.yaml"
    mine.write_text(MORE, encoding="utf-8")
    both = [read_scenario("baseline"), read_scenario(mine)]
    assert run_projection(place, both, draws=2) == {"baseline": True, "mine": True}
    before = open_projection(place, "mine")["immigration"].load()
    mine.write_text(MORE.replace("2.0", "3.0"), encoding="utf-8")
    both = [read_scenario("baseline"), read_scenario(mine)]
    assert run_projection(place, both, draws=2) == {"baseline": False, "mine": True}
    after = open_projection(place, "mine")["immigration"].load()
    assert float((after - before).sel(place="POL").isel(period=0).min()) > 0


def test_a_stopped_projection_goes_on_where_it_was(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write(tmp_path)
    monkeypatch.setattr(store, "MAX_BLOCK", 2)
    made = store._make_block
    seen: list[int] = []

    def stop_at_the_second(task: store._Block) -> int:
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(task.first)
        return made(task)

    scenarios = [read_scenario(name) for name in NAMES]
    monkeypatch.setattr(store, "_make_block", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_projection(place, scenarios, draws=5)
    assert not (place / "baseline").exists()

    def go_on(task: store._Block) -> int:
        seen.append(task.first)
        return made(task)

    monkeypatch.setattr(store, "_make_block", go_on)
    run_projection(place, scenarios, draws=5)
    assert seen == [0, 2, 4]
    for name in NAMES:
        again, whole = (open_projection(one, name).load() for one in (place, folder))
        xr.testing.assert_equal(again, whole)


def test_sums_alone_take_no_flows(tmp_path: Path) -> None:
    place = write(tmp_path)
    run_projection(place, [read_scenario("baseline")], draws=2, flows=False)
    data = open_projection(place, "baseline")
    assert "flows" not in data
    with pytest.raises(UsageError, match="without flows"):
        measure_of(data, "flow")


def test_an_unknown_scenario_is_told_with_the_nearest(folder: Path) -> None:
    assert set(projection_names(folder)) == set(NAMES)
    with pytest.raises(InputError, match="did you mean no_migration"):
        open_projection(folder, "no_migratoin")
    with pytest.raises(InputError, match="a folder of projections"):
        projection_names(folder / "nowhere")


def test_nothing_is_written_where_a_scenario_has_faults(tmp_path: Path) -> None:
    place = write(tmp_path)
    with pytest.raises(InputError, match="no driver"):
        run_projection(place, [read_scenario("conflict_shock"), _richer()], draws=2)
    assert sorted(p.name for p in place.iterdir()) == [store.INPUTS]


def _richer() -> ResolvedScenario:
    spec = Scenario.model_validate(
        {
            "name": "richer", "title": "richer", "narrative": "richer",
            "drivers": {"gdp_per_head": {
                "driver": "gdp_per_head", "operation": "multiply", "value": 2.0, "unit": "ratio",
                "reference": "invented",
            }},
        }
    )  # fmt: skip
    return ResolvedScenario(spec, (), {}, ())


def test_the_manifest_tells_what_each_scenario_hangs_on(folder: Path) -> None:
    told = json.loads((folder / store.MANIFEST).read_text(encoding="utf-8"))["scenarios"]
    assert len({one["hash"] for one in told.values()}) == 3
    assert len({one["inputs"] for one in told.values()}) == 1


def test_a_table_has_one_row_a_cell_and_probability(folder: Path) -> None:
    data = open_projection(folder, "baseline")
    table = summarise_projection(data, measures=("net", "population", "flow"), probs=(0.5, 0.9))
    assert table.groupby("measure", sort=False).size().tolist() == [
        4 * 5 * 2,
        4 * 6 * 2,
        12 * 5 * 2,
    ]
    row = table[
        (table["measure"] == "net") & (table["destination"] == "SYR") & (table["prob"] == 0.9)
    ].iloc[1]
    net = (data["immigration"] - data["emigration"]).sel(place="SYR", period=2026).load()
    assert row["median"] == pytest.approx(float(net.median()))
    assert row["lower"] == pytest.approx(float(net.quantile(0.05)))
    assert row["period_start"] == pd.Timestamp(2026, 1, 1)
    assert set(table["kind"]) == {"equal_tailed"}


def test_places_together_count_no_moves_between_them(folder: Path) -> None:
    data = open_projection(folder, "baseline")
    flows = data["flows"]
    wanted = flows.sel(origin=["POL", "SYR"], destination=["AUT", "DEU"])
    np.testing.assert_allclose(
        measure_of(data, "immigration", ["AUT", "DEU"]),
        wanted.sum(["origin", "destination"]),
        rtol=1e-6,
    )


def test_differences_are_those_of_paired_draws(folder: Path) -> None:
    pair = [open_projection(folder, name) for name in ("no_migration", "baseline")]
    table = compare_scenarios(*pair, measures=("immigration",))
    assert (table["lower"] > 0).all()
    assert (table["higher"] == 1.0).all()
    assert (table["first"] == 0.0).all()
    one = table[(table["destination"] == "DEU")].iloc[0]
    draws = pair[1]["immigration"].sel(place="DEU", period=2025)
    assert one["mean"] == pytest.approx(float(draws.mean()))


def test_draws_that_do_not_belong_together_are_refused(folder: Path) -> None:
    pair = [open_projection(folder, name) for name in ("no_migration", "baseline")]
    with pytest.raises(UsageError, match="scenarios of one projection"):
        compare_scenarios(pair[0], pair[1].assign_attrs(seed=2))
    with pytest.raises(UsageError, match="draw"):
        compare_scenarios(pair[0], pair[1].isel(draw=slice(1, None)))


def test_chances_come_with_their_monte_carlo_error() -> None:
    draws = xr.DataArray(np.arange(100.0), dims="draw")
    told = chance_above(draws, 74.5)
    assert told["probability"] == 0.25
    assert told["lower"] < 0.25 < told["upper"]
    assert chance_above(draws, 1e9)["lower"] == 0.0
    with pytest.raises(UsageError, match="draw alone"):
        chance_above(draws.expand_dims("place"), 1.0)
