"""Designs: what varies is what the scenario leaves open, and cases fill the ranges."""

import numpy as np
import pytest

from flowcast.errors import InputError, UsageError
from flowcast.projection.designs import (
    TAIL,
    Method,
    Uncertainty,
    fix_values,
    make_design,
    uncertain_values,
    with_uncertainties,
)
from flowcast.scenarios import Scenario, read_scenario
from flowcast.scenarios.distributions import Distribution

UNIT = Distribution.make("uniform", [0, 1])
NORMAL = Distribution.make("normal", [0, 1])


def entry(**change: object) -> dict[str, object]:
    return {"unit": "ratio", "reference": "invented", "operation": "multiply", **change}


def test_a_latin_hypercube_has_one_case_in_each_part_of_every_range() -> None:
    design = make_design({"a": UNIT, "b": NORMAL}, "latin", 40, seed=3)
    parts = np.sort(np.floor(design.levels * 40), axis=0)
    np.testing.assert_array_equal(parts, np.repeat(np.arange(40)[:, None], 2, axis=1))
    np.testing.assert_allclose(design.inputs["b"], NORMAL.quantile(design.levels[:, 1]))


@pytest.mark.parametrize(
    ("method", "cases", "size", "rows"),
    [("latin", 100, 100, 100), ("sobol", 100, 16, 80), ("morris", 100, 25, 100)],
)
def test_a_design_keeps_to_the_cases_it_is_given(
    method: Method, cases: int, size: int, rows: int
) -> None:
    design = make_design(dict.fromkeys("abc", UNIT), method, cases)
    assert (design.size, len(design.inputs), design.levels.shape) == (size, rows, (rows, 3))


@pytest.mark.parametrize("method", ["latin", "sobol", "morris"])
def test_a_design_hangs_on_its_seed_alone(method: Method) -> None:
    ranges = dict.fromkeys("abc", UNIT)
    first, again, other = (make_design(ranges, method, 60, seed=k).levels for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", ["latin", "sobol", "morris"])
def test_inputs_are_finite_where_distributions_have_no_bounds(method: Method) -> None:
    design = make_design({"a": NORMAL, "b": UNIT}, method, 60)
    assert np.isfinite(design.inputs.to_numpy()).all()
    if method == "morris":
        # A grid reaches the ends of a range with bounds, and stops short of those without.
        assert set(design.inputs["b"]) >= {0.0, 1.0}
        assert design.inputs["a"].max() == pytest.approx(NORMAL.quantile(1.0 - TAIL))


@pytest.mark.parametrize(("method", "least"), [("latin", 2), ("sobol", 8), ("morris", 6)])
def test_too_few_cases_are_refused_with_how_many_it_takes(method: Method, least: int) -> None:
    ranges = {"a": UNIT, "b": UNIT}
    make_design(ranges, method, least)
    with pytest.raises(UsageError, match=f"found {least - 1}; allowed: {least} or more"):
        make_design(ranges, method, least - 1)


def test_nothing_uncertain_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing uncertain"):
        make_design(uncertain_values(read_scenario("baseline").spec), "latin", 10)


def test_what_is_uncertain_is_found_in_changes_shocks_and_scales() -> None:
    ranged = {"uniform": [0.5, 2]}
    spec = Scenario.model_validate(
        {
            "name": "mine",
            "drivers": {
                "known": entry(driver="crop_yield", value=2),
                "one": entry(driver="crop_yield", value=ranged),
                "each": entry(driver="conflict", value=ranged, vary="by_place"),
                "path": entry(
                    driver="temperature", operation="path", unit="°C", path={2030: 2},
                    anchor="first", scale=ranged,
                ),
            },
            "shocks": {"hunger": entry(driver="crop_yield", value=ranged, start=2030)},
        }
    )  # fmt: skip
    found = uncertain_values(spec)
    assert list(found) == ["drivers.one", "drivers.path.scale", "shocks.hunger"]
    fixed = fix_values(spec, dict(zip(found, (0.6, 0.7, 0.8), strict=True)), "case-0")
    assert fixed.name == "case-0"
    assert fixed.drivers["one"].value == 0.6
    assert fixed.drivers["path"].scale == 0.7
    assert fixed.shocks["hunger"].value == 0.8
    assert fixed.drivers["each"].value == spec.drivers["each"].value
    assert uncertain_values(fixed) == {}
    assert uncertain_values(spec) == found


def test_ranges_are_judged_as_a_scenario_file_is_all_at_once() -> None:
    wrong = [
        Uncertainty("crop_yeild", 0.5, 2.0),
        Uncertainty("temperature", 0.5, 2.0),
        Uncertainty("conflict", 2.0, 0.5, places=("Atlantis",)),
    ]
    with pytest.raises(InputError) as caught:
        with_uncertainties(read_scenario("baseline"), wrong)
    told = str(caught.value)
    for part in ("did you mean crop_yield", "temperature.operation", "low < high", "'Atlantis'"):
        assert part in told


def test_two_ranges_of_one_driver_need_names() -> None:
    both = [Uncertainty("policy_openness", 0.5, 2.0, places=(one,)) for one in ("*/DEU", "*/AUT")]
    with pytest.raises(UsageError, match="policy_openness twice"):
        with_uncertainties(read_scenario("baseline"), both)


def test_a_range_takes_the_place_of_the_scenario_s_own() -> None:
    wider = [Uncertainty("policy_openness", 0.5, 4.0, years="2030-")]
    scenario = with_uncertainties(read_scenario("open_borders"), wider)
    assert uncertain_values(scenario.spec) == {
        "drivers.policy_openness": Distribution.make("uniform", [0.5, 4])
    }
    assert any("log_normal" in str(line) for line in scenario.overrides)
