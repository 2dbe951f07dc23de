"""Explorations: paired cases, resumed and kept, and refused before anything is computed."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.projection_world import make_people, make_process

import flowcast.projection.exploring as exploring
from flowcast.errors import InputError, UsageError
from flowcast.projection import (
    Exploration,
    Uncertainty,
    baseline_of,
    explore_scenarios,
    project,
    read_outcome,
    run_exploration,
    with_uncertainties,
)
from flowcast.projection._inputs import write_inputs
from flowcast.projection.comparing import measure_of
from flowcast.projection.designs import fix_values
from flowcast.projection.exploring import exploration_folder
from flowcast.projection.outcomes import Outcome
from flowcast.scenarios import read_scenario
from flowcast.scenarios.loading import ResolvedScenario

OUTCOMES = (
    "immigration:DEU:2027",
    "immigration:DEU+AUT:2027",
    "flow:SYR/DEU:2026:0.9",
    "net:EU27_2020:2025",
    "population:DE:2030",
)
CASES = 8
KEY = "drivers.openness"


def open_ranges() -> ResolvedScenario:
    return with_uncertainties(
        read_scenario("baseline"),
        [
            Uncertainty("policy_openness", 0.5, 2.0, places=("*/DEU",), name="openness"),
            Uncertainty("policy_openness", 0.5, 2.0, places=("POL/AUT",), name="elsewhere"),
        ],
    )


def explored(**change: Any) -> Exploration:  # noqa: ANN401
    given = {"cases": CASES, "draws": 4, **change}
    return explore_scenarios(make_process(), make_people(), open_ranges(), OUTCOMES, **given)


@pytest.fixture(scope="module")
def found() -> Exploration:
    return explored()


def test_a_case_is_a_projection_of_the_scenario_with_its_numbers(found: Exploration) -> None:
    row = found.cases.iloc[5]
    values = {name: float(row[name]) for name in found.design.inputs}
    process = make_process()
    thinned = exploring._spread(process, 4)
    fixed = fix_values(open_ranges().spec, values, "one")
    data = project(thinned, make_people(), [fixed])["one"].data
    arrivals = measure_of(data, "immigration", ["AUT", "DEU"]).sel(period=2027)
    assert row["immigration:DEU+AUT:2027"] == pytest.approx(float(arrivals.median()))
    moves = measure_of(data, "flow").sel(origin="SYR", destination="DEU", period=2026)
    assert row["flow:SYR/DEU:2026:0.9"] == pytest.approx(float(moves.quantile(0.9)))
    people = measure_of(data, "population").sel(place="DEU", period=2030)
    assert row["population:DE:2030"] == pytest.approx(float(people.median()))
    inside = measure_of(data, "net", ["AUT", "DEU", "POL"]).sel(period=2025)
    assert row["net:EU27_2020:2025"] == pytest.approx(float(inside.median()))


def test_cases_are_paired(found: Exploration) -> None:
    """More openness is more arrivals from case to case: draws are no noise between them."""
    ordered = found.cases.sort_values(KEY)
    assert (ordered["immigration:DEU:2027"].diff().dropna() > 0.0).all()


def test_how_cases_are_cut_into_blocks_changes_nothing(
    found: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploring, "BLOCK_BYTES", 12 * 16 * 5 * 3)
    pd.testing.assert_frame_equal(explored().cases, found.cases)


def test_draws_come_from_all_over_the_chains() -> None:
    process = make_process(n_draw=6)
    taken = exploring._spread(process, 3)
    expected = process.posterior["out_mean"].isel(draw=[0, 2, 4])
    np.testing.assert_array_equal(taken.posterior["out_mean"], expected)


def test_progress_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    explored(cases=2, draws=1, progress=True)
    assert "cases: 2 done" in capsys.readouterr().err


# Refusals


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("net:DEU:2031", "years of 2025 to 2029"),
        ("imigration:DEU:2027", "did you mean immigration"),
        ("net:FRA:2027", "AUT, DEU, POL, SYR"),
        ("net:QQQ:2027", "ISO 3166"),
        ("net:DEU", "MEASURE:PLACES:YEAR"),
        ("net:DEU:2027:1.5", "MEASURE:PLACES:YEAR"),
        ("flow:DEU:2027", "an origin and a destination"),
        ("population:DEU:2033", "2025, 2026"),
    ],
)
def test_an_outcome_that_is_none_is_refused(outcome: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        explore_scenarios(make_process(2), make_people(), open_ranges(), [outcome], draws=2)


def test_a_quantile_lies_between_0_and_1_and_something_is_asked() -> None:
    with pytest.raises(UsageError, match="quantile 1"):
        Outcome("net", ("DEU",), 2027, 1.0)
    with pytest.raises(UsageError, match="found none"):
        explore_scenarios(make_process(2), make_people(), open_ranges(), [], draws=2)


def test_more_draws_than_the_process_has_are_refused() -> None:
    with pytest.raises(UsageError, match="allowed: 1 to 6"):
        explored(draws=7)


@pytest.mark.parametrize("text", OUTCOMES)
def test_an_outcome_is_written_as_it_is_read(text: str) -> None:
    assert str(read_outcome(text)) == text


def test_a_range_that_leaves_what_is_plausible_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(exploring, "_outcomes_of", never)
    wild = with_uncertainties(
        read_scenario("baseline"), [Uncertainty("policy_openness", 0.5, 1000.0)]
    )
    with pytest.raises(InputError, match="policy_openness"):
        explore_scenarios(make_process(2), make_people(), wild, ["net:DEU:2027"], draws=2)


# On disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    process, start = make_process(), make_people()
    write_inputs(tmp_path / "inputs", process, start, baseline_of(process, start))
    return tmp_path


def ran(folder: Path, **change: Any) -> Exploration:  # noqa: ANN401
    given = {"cases": CASES, "draws": 4, **change}
    return run_exploration(folder, open_ranges(), OUTCOMES, **given)


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def count_blocks(monkeypatch: pytest.MonkeyPatch, *, fail_at: int = -1) -> list[int]:
    """Record the first case of each block that is computed; die at one of them."""
    made: list[int] = []
    real = exploring._outcomes_of

    def counted(given: Any, scenarios: Any, *rest: Any) -> Any:  # noqa: ANN401
        first = int(scenarios[0].name.removeprefix("case-"))
        if first == fail_at:
            raise KeyboardInterrupt
        made.append(first)
        return real(given, scenarios, *rest)

    monkeypatch.setattr(exploring, "_outcomes_of", counted)
    monkeypatch.setattr(exploring, "MAX_CASES", 2)
    return made


def test_on_disk_it_is_what_it_is_in_memory(folder: Path, found: Exploration) -> None:
    pd.testing.assert_frame_equal(ran(folder).cases, found.cases)
    place = folder / "explored-latin"
    written = pd.read_csv(place / "cases.csv")
    pd.testing.assert_frame_equal(written, found.cases)
    assert listed(place) == {"cases.csv", "exploration.json", "scenario.yaml"}
    assert read_scenario(place / "scenario.yaml").spec == open_ranges().spec


def test_what_was_stopped_goes_on_and_what_is_done_is_not_done_again(
    folder: Path, found: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        made = count_blocks(patched, fail_at=4)
        with pytest.raises(KeyboardInterrupt):
            ran(folder)
        assert made == [0, 2]
    assert "cases.csv" not in listed(folder / "explored-latin")
    with monkeypatch.context() as patched:
        made = count_blocks(patched)
        pd.testing.assert_frame_equal(ran(folder).cases, found.cases)
        assert made == [4, 6]
        pd.testing.assert_frame_equal(ran(folder).cases, found.cases)
        assert made == [4, 6]


@pytest.mark.parametrize("change", [{"seed": 2}, {"draws": 3}, {"cases": 6}])
def test_another_question_is_computed_anew(
    folder: Path, change: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ran(folder)
    made = count_blocks(monkeypatch)
    second = ran(folder, **change)
    assert made
    assert not first.cases.equals(second.cases)


def test_methods_lie_side_by_side(folder: Path) -> None:
    ran(folder)
    ran(folder, method="morris")
    assert listed(folder) == {"inputs", "explored-latin", "explored-morris"}
    assert exploration_folder(folder, "morris") == folder / "explored-morris"


def test_a_table_that_was_changed_by_hand_is_made_again(folder: Path, found: Exploration) -> None:
    ran(folder)
    path = folder / "explored-latin" / "cases.csv"
    found.cases.assign(**{OUTCOMES[0]: 1.0}).to_csv(path, index=False)
    pd.testing.assert_frame_equal(ran(folder).cases, found.cases)
