"""What must hold for any scenario: no change is none, order does not matter, draws are paired."""

from typing import Any

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcast.scenarios import DRIVERS, Scenario, apply_scenario
from flowcast.scenarios._merging import Merged, merge
from flowcast.scenarios._paths import interpolate
from flowcast.scenarios.distributions import Distribution, paired_uniforms
from flowcast.scenarios.extremes import shock_weights

PLACES = ["DEU", "KEN", "NAM", "SDN"]
YEARS = np.arange(2024, 2031)
NAMES = ("conflict", "population", "temperature")

numbers = st.floats(0.1, 10.0)
year_spans = st.one_of(
    st.none(), st.integers(2023, 2031), st.integers(2024, 2030).map(lambda y: f"{y}-")
)
place_lists = st.lists(st.sampled_from([*PLACES, "africa", "*"]), min_size=1, max_size=3)


def baselines() -> st.SearchStrategy[xr.Dataset]:
    def build(seed: int) -> xr.Dataset:
        rng = np.random.default_rng(seed)
        ranges = {"conflict": (0.0, 1e3), "population": (1e4, 1e7), "temperature": (5.0, 25.0)}
        shape = (len(PLACES), len(YEARS))
        return xr.Dataset(
            {
                name: (("place", "year"), rng.uniform(*ranges[name], shape), unit_of(name))
                for name in NAMES
            },
            {"place": PLACES, "year": YEARS},
        )

    return st.integers(0, 1000).map(build)


def unit_of(name: str) -> dict[str, str]:
    return {"units": DRIVERS[name].unit}


@st.composite
def values(draw: st.DrawFn) -> float | dict[str, list[float]]:
    low, high = draw(numbers), draw(numbers)
    plain: list[float | dict[str, list[float]]] = [
        low,
        {"uniform": [low, low + high]},
        {"log_normal": [0.0, low / 10]},
    ]
    return draw(st.sampled_from(plain))


@st.composite
def changes(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Entries that multiply and add; nothing of them can leave a plausible range."""
    found = {}
    for key in draw(st.lists(st.sampled_from("abcd"), max_size=3, unique=True)):
        operation = draw(st.sampled_from(["multiply", "add"]))
        found[key] = {
            "driver": "conflict",
            "operation": operation,
            "unit": "ratio" if operation == "multiply" else "deaths per year",
            "value": draw(values()),
            "places": draw(place_lists),
            "years": draw(year_spans),
            "reference": "words",
        }
    return found


def scenario(entries: dict[str, dict[str, Any]]) -> Scenario:
    return Scenario.model_validate({"name": "any", "drivers": entries})


@settings(max_examples=25)
@given(baselines(), st.one_of(st.none(), st.integers(1, 5)), st.integers(0, 9))
def test_no_change_is_the_baseline_bit_by_bit(
    baseline: xr.Dataset, draws: int | None, seed: int
) -> None:
    found = apply_scenario(scenario({}), baseline, draws=draws, seed=seed)
    assert found.data.identical(baseline)


@settings(max_examples=25)
@given(baselines(), changes(), st.integers(0, 9))
def test_a_change_that_says_nothing_changes_nothing(
    baseline: xr.Dataset, entries: dict[str, dict[str, Any]], seed: int
) -> None:
    """Times one and plus zero are the baseline itself, and so is a change of no year."""
    for entry in entries.values():
        entry["value"] = 1.0 if entry["operation"] == "multiply" else 0.0
    found = apply_scenario(scenario(entries), baseline, draws=2, seed=seed).data
    assert found.identical(baseline)


@settings(max_examples=40)
@given(baselines(), changes(), st.randoms(use_true_random=False))
def test_the_order_in_the_file_does_not_matter(
    baseline: xr.Dataset,
    entries: dict[str, dict[str, Any]],
    random: Any,  # noqa: ANN401
) -> None:
    shuffled = list(entries.items())
    random.shuffle(shuffled)
    one = apply_scenario(scenario(entries), baseline, draws=3).data
    other = apply_scenario(scenario(dict(shuffled)), baseline, draws=3).data
    assert one.identical(other)


@settings(max_examples=25)
@given(baselines(), changes(), st.integers(0, 9))
def test_only_the_places_and_years_that_are_meant_change(
    baseline: xr.Dataset, entries: dict[str, dict[str, Any]], seed: int
) -> None:
    meant = np.zeros((len(PLACES), len(YEARS)), dtype=bool)
    for entry in entries.values():
        africa = {"KEN", "NAM", "SDN"} if "africa" in entry["places"] else set()
        everywhere = set(PLACES) if "*" in entry["places"] else set()
        rows = [place in {*entry["places"], *africa, *everywhere} for place in PLACES]
        text = str(entry["years"])
        first = 0 if entry["years"] is None else int(text[:4])
        columns = (first <= YEARS) if entry["years"] is None or "-" in text else first == YEARS
        meant |= np.outer(rows, columns)
    found = apply_scenario(scenario(entries), baseline, draws=2, seed=seed).data
    before, after = baseline["conflict"].to_numpy(), found["conflict"].to_numpy()
    assert (np.broadcast_to(before, after.shape)[..., ~meant] == after[..., ~meant]).all()
    assert found[["population", "temperature"]].identical(baseline[["population", "temperature"]])


@settings(max_examples=40)
@given(baselines(), numbers, numbers, st.integers(0, 9), st.integers(1, 8))
def test_scenarios_differ_by_what_they_change_and_never_by_luck(
    baseline: xr.Dataset, width: float, more: float, seed: int, draws: int
) -> None:
    """Two scenarios with one key have one quantile in a draw: the wider one is larger in each."""

    def under(entries: dict[str, dict[str, Any]]) -> np.ndarray:
        found = apply_scenario(scenario(entries), baseline, draws=draws, seed=seed).data
        return found["conflict"].to_numpy()

    base = {"driver": "conflict", "operation": "add", "unit": "deaths per year", "reference": "w"}
    one = under({"war": {**base, "value": {"uniform": [0.0, width]}}})
    other = under({"war": {**base, "value": {"uniform": [0.0, width + more]}}})
    assert (other >= one).all()
    first = {"driver": "population", "operation": "multiply", "unit": "ratio", "value": 1.01}
    beside = under(
        {
            "aid": {**first, "reference": "w"},
            "war": {**base, "value": {"uniform": [0.0, width]}},
        }
    )
    assert (beside == one).all()


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=20), st.integers(1, 50), st.integers(0, 2**31), st.data())
def test_draws_of_an_index_do_not_depend_on_their_number(
    key: str, draws: int, seed: int, data: st.DataObject
) -> None:
    part = data.draw(st.integers(1, draws))
    whole = paired_uniforms(key, draws, seed)
    assert (paired_uniforms(key, part, seed) == whole[:part]).all()
    assert ((whole > 0) & (whole < 1)).all()


@settings(max_examples=40)
@given(st.floats(-5, 5), st.floats(0.01, 5), st.floats(0, 1))
def test_quantiles_rise_and_stay_within_their_bounds(low: float, width: float, at: float) -> None:
    mode = low + at * width
    for found in (
        Distribution.make("uniform", [low, low + width]),
        Distribution.make("triangular", [low, mode, low + width]),
    ):
        quantiles = found.quantile(np.linspace(0, 1, 11))
        assert (np.diff(quantiles) >= -1e-12).all()
        np.testing.assert_allclose(quantiles[[0, -1]], [low, low + width], atol=1e-9)


@settings(max_examples=40)
@given(st.integers(2020, 2035), st.integers(1, 5), st.floats(0, 10))
def test_weights_of_a_shock_fall_from_one(start: int, duration: int, half_life: float) -> None:
    years = np.arange(2020, 2045)
    weights = shock_weights(years, start, duration, half_life)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (weights[years < start] == 0).all()
    assert (weights[(years >= start) & (years < start + duration)] == 1).all()
    assert (np.diff(weights[years >= start]) <= 0).all()


@settings(max_examples=40)
@given(
    st.dictionaries(st.integers(2020, 2040), st.floats(0.1, 100), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_path_goes_through_its_points_and_stays_between_them(
    points: dict[int, float], log: bool
) -> None:
    at = np.array(sorted(points))
    given_values = np.array([points[year] for year in at.tolist()])
    years = np.arange(2015, 2046)
    found = interpolate(at, given_values, years, log=log)
    assert (found[np.isin(years, at)] == given_values).all()
    inside = (years >= at[0]) & (years <= at[-1])
    assert np.isnan(found[~inside]).all()
    assert (found[inside] >= given_values.min() * (1 - 1e-12)).all()
    assert (found[inside] <= given_values.max() * (1 + 1e-12)).all()


KEYS = st.sampled_from([("drivers", e, f) for e in "ab" for f in ("unit", "value")])
FIELDS = st.dictionaries(KEYS, st.integers(0, 1), max_size=4)


@settings(max_examples=60)
@given(FIELDS, FIELDS, FIELDS)
def test_files_agree_whatever_their_order_or_are_refused(
    one: dict[Any, int], two: dict[Any, int], own: dict[Any, int]
) -> None:
    """Whatever two files say, a third that builds on both is one thing, or a fault by name."""
    first, second = merge("one", one, []), merge("two", two, [])
    forth: Merged = merge("own", own, [first, second])
    back: Merged = merge("own", own, [second, first])
    disputed = {key for key in one if key in two and one[key] != two[key] and key not in own}
    assert {fault.column for fault in forth.faults} == {".".join(key) for key in disputed}
    assert {fault.column for fault in back.faults} == {".".join(key) for key in disputed}
    if not disputed:
        assert forth.values == back.values == {**one, **two, **own}
    changed = [k for k in own for said in (one, two) if k in said and said[k] != own[k]]
    assert len(forth.log) <= len(changed)
    assert {line.key for line in forth.log} == {".".join(key) for key in changed}
