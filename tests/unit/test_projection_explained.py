"""What a projection's width comes from, and which driver changes what: sums, and known cases."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.projection_world import PLACES, START, N, make_people, make_process

from flowcast.errors import UsageError
from flowcast.projection import (
    FlowProcess,
    attribute_change,
    baseline_of,
    project,
    split_variance,
)
from flowcast.projection.variance import _Pieces, _shares
from flowcast.scenarios import Scenario, read_scenario

DRAWS = 40


def with_posterior(process: FlowProcess, **values: float) -> FlowProcess:
    """Return the process with some of its parts the same everywhere."""
    data = process.posterior.copy()
    for name, value in values.items():
        data[name] = xr.full_like(data[name], value, dtype=float)
    return replace(process, posterior=data)


def drivers(name: str, **parts: dict[str, object]) -> Scenario:
    """Return a scenario of several drivers."""
    full = {key: {"unit": "ratio", "reference": "invented", **one} for key, one in parts.items()}
    return Scenario.model_validate(
        {"name": name, "title": name, "narrative": name, "drivers": full}
    )


def open_to(**change: object) -> dict[str, object]:
    return {"driver": "policy_openness", "operation": "multiply", **change}


@pytest.fixture(scope="module")
def split() -> pd.DataFrame:
    """A baseline and closed borders: the choice between them decides most."""
    both = [read_scenario("baseline"), read_scenario("no_migration")]
    return split_variance(make_process(DRAWS), make_people(), both)


def test_shares_add_up_to_one(split: pd.DataFrame) -> None:
    assert set(split["part"]) == {"parameters", "innovations", "scenario"}
    sums = split.groupby(["place", "period_start", "measure"])["share"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-12)
    assert (split["sd"] > 0).all()
    assert (split["se"] >= 0).all()


def test_open_or_closed_borders_decide_most(split: pd.DataFrame) -> None:
    arrivals = split[(split["measure"] == "immigration") & (split["period_start"] == START)]
    most = arrivals.set_index(["part", "place"])["share"].unstack("part")
    assert (most.idxmax(axis=1) == "scenario").all()


def test_what_does_not_vary_explains_nothing() -> None:
    process = with_posterior(
        make_process(200), out_sd=1e-9, share_sd=1e-9, out_shared_sd=1e-9, share_shared_sd=1e-9
    )
    made = split_variance(process, make_people(years=1), [read_scenario("baseline")])
    own = made[made["part"] == "innovations"]
    assert (own["share"].abs() < 4 * own["se"]).all()
    assert (own["se"] < 0.12).all()


def test_two_scenarios_that_are_one_decide_nothing() -> None:
    same = [read_scenario("baseline"), drivers("same", it=open_to(value=1.0))]
    made = split_variance(make_process(DRAWS), make_people(years=1), same)
    assert made.loc[made["part"] == "scenario", "share"].abs().max() < 1e-9


def test_uncertain_drivers_have_a_part() -> None:
    uncertain = drivers("uncertain", it=open_to(value={"uniform": [0.1, 4.0]}))
    made = split_variance(make_process(DRAWS), make_people(years=1), [uncertain])
    share = made[made["measure"] == "immigration"].groupby("part")["share"].mean()
    assert share["drivers"] > 0.5
    assert share.sum() == pytest.approx(1.0)


def test_a_split_of_a_sum_is_that_of_its_parts() -> None:
    """Outcomes a + 2b + s, with s half of ±1: variances 1, 4 and 1."""
    rng = np.random.default_rng(5)
    n = 100_000
    a, b, other_a, other_b = rng.standard_normal((4, n))
    choice = np.array([-1.0, 1.0])[:, None]

    def outcome(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.asarray((one + 2 * two + choice)[:, :, None, None, None])

    pieces = _Pieces(outcome(a, b))
    pieces.add(frozenset(["parameters"]), outcome(a, other_b))
    pieces.add(frozenset(["innovations"]), outcome(other_a, b))
    parts = ["parameters", "innovations", "scenario"]
    told = _shares(pieces, parts)
    for part, share in zip(parts, (1 / 6, 4 / 6, 1 / 6), strict=True):
        own = {name: float(values.item()) for name, values in told[part].items()}
        assert abs(own["share"] - share) < 4 * own["se"] + 1e-3
        assert own["alone"] == pytest.approx(share, abs=0.02)
        assert own["se"] < 0.01


def test_a_part_of_logs_of_net_migration_is_refused() -> None:
    with pytest.raises(UsageError, match="can be negative"):
        split_variance(make_process(), make_people(), [read_scenario("baseline")], logs=True)
    with pytest.raises(UsageError, match="20 or more"):
        split_variance(make_process(), make_people(), [read_scenario("baseline")])
    with pytest.raises(UsageError, match="did you mean immigration"):
        split_variance(
            make_process(), make_people(), [read_scenario("baseline")], measures=["imigration"]
        )


@pytest.fixture(scope="module")
def mixed() -> tuple[FlowProcess, Scenario, xr.Dataset]:
    """A scenario of income and openness, and a baseline that knows of income."""
    process = make_process()
    income = xr.DataArray(
        np.full((N, 6), 1e4), {"place": list(PLACES), "year": list(range(START, START + 6))},
        attrs={"units": "US$2005 PPP per person"},
    )  # fmt: skip
    baseline = baseline_of(process, make_people(), xr.Dataset({"gdp_per_head": income}))
    scenario = drivers(
        "mixed",
        richer={"driver": "gdp_per_head", "operation": "multiply", "value": 2.0, "places": "POL"},
        wider=open_to(value=3.0, corridors="*/POL"),
    )
    return process, scenario, baseline


def test_parts_of_drivers_add_up_to_the_difference(
    mixed: tuple[FlowProcess, Scenario, xr.Dataset],
) -> None:
    process, scenario, baseline = mixed
    start = make_people()
    table = attribute_change(process, start, scenario, baseline=baseline, draws=6)
    assert set(table["driver"]) == {"gdp_per_head", "policy_openness", "all"}
    cell = ["place", "period_start", "measure"]
    means = table.pivot_table(index=cell, columns="driver", values="mean")
    parts = means.drop(columns="all").sum(axis=1)
    np.testing.assert_allclose(parts, means["all"], rtol=1e-9, atol=1e-6)
    pair = project(
        process, start, [read_scenario("baseline"), scenario], baseline=baseline, draws=6
    )
    gain = pair["mixed"].data["immigration"] - pair["baseline"].data["immigration"]
    told = means["all"].xs("immigration", level="measure")
    for place in PLACES:
        np.testing.assert_allclose(
            told[place], gain.mean("draw").sel(place=place), rtol=1e-6, atol=1e-4
        )


def test_a_driver_alone_has_all_of_it() -> None:
    one = drivers("one", it=open_to(value=2.0))
    table = attribute_change(make_process(), make_people(), one, draws=6)
    sides = table.set_index(["driver", "place", "period_start", "measure"])["mean"]
    np.testing.assert_allclose(sides["policy_openness"], sides["all"])
    assert (sides["all"].xs("immigration", level="measure") > 0).all()


def test_a_scenario_that_changes_nothing_has_no_parts() -> None:
    table = attribute_change(make_process(), make_people(), read_scenario("baseline"), draws=6)
    assert set(table["driver"]) == {"all"}
    assert float(table["mean"].abs().max()) == 0.0
