"""The estimators on labelled arrays: what they refuse, how they use labels and draws."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import xarray as xr

import flowcast.accounting as accounting
from flowcast.accounting import (
    balance_stocks,
    calibrate_weight,
    demographic_flows,
    difference_flows,
    growth_flows,
    pseudo_bayes_flows,
    rate_flows,
)
from flowcast.accounting._kernels import allocate_by_birthplace
from flowcast.errors import InputError, UsageError

PLACES = ["A", "B", "C"]


def stock(*rows: list[float], places: list[str] = PLACES) -> xr.DataArray:
    labels = {"birthplace": places, "residence": places}
    return xr.DataArray(
        np.array(rows, dtype=float), dims=("birthplace", "residence"), coords=labels
    )


def events(*values: float) -> xr.DataArray:
    return xr.DataArray(list(values), coords={"place": PLACES})


START = stock([1000, 100, 10], [55, 555, 50], [80, 40, 800])
END = stock([1060, 60, 10], [45, 540, 40], [70, 75, 770])
BIRTHS, DEATHS = events(80, 20, 40), events(70, 30, 50)
VITAL = {"births": BIRTHS, "deaths": DEATHS}
ESTIMATORS: dict[str, Any] = {
    "differences": difference_flows,
    "rates": rate_flows,
    "growth": growth_flows,
    "demographic": demographic_flows,
    "pseudo-bayes": pseudo_bayes_flows,
    "balance": balance_stocks,
}


# --- the package ---------------------------------------------------------------------------------


def test_the_package_names_what_it_has_and_loads_it_when_asked() -> None:
    assert dir(accounting) == sorted(accounting.__all__)
    for name in accounting.__all__:
        assert callable(getattr(accounting, name)) != name.isupper()  # constants are called so
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = accounting.nothing_such  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'pandas', 'xarray', 'scipy', 'numba'}"
    code = f"import sys, flowcast.accounting; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_accounting_needs_no_compiler_and_no_model() -> None:
    code = (
        "import sys, flowcast.accounting as a;"
        "own = 'stocks', 'differences', 'demographic', 'pseudo_bayes';"
        "[getattr(a, name) for name, module in a._HOME.items() if module in own];"
        "print({'numba', 'pymc', 'pytensor', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- labels --------------------------------------------------------------------------------------


def test_labels_decide_and_not_positions() -> None:
    turned = END.transpose("residence", "birthplace")[::-1, ::-1]
    shuffled = {name: one[[2, 0, 1]] for name, one in VITAL.items()}
    found = demographic_flows(START, turned, **shuffled)
    xr.testing.assert_allclose(found, demographic_flows(START, END, **VITAL))


def test_flows_say_what_they_are() -> None:
    flows = demographic_flows(START, END, **VITAL, by_birthplace=True)
    assert flows.name == "flow"
    assert flows.dims == ("birthplace", "origin", "destination")
    assert flows.attrs == {
        "units": "persons per period",
        "method": "demographic accounting",
        "system": "closed",
        "allocation": "minimisation",
        "matching": "before",
    }
    assert "matching" not in demographic_flows(START, END, system="open").attrs


def test_stayers_stand_on_the_diagonal_if_wanted() -> None:
    tables = balance_stocks(START, END, **VITAL)
    flows = demographic_flows(START, END, **VITAL, stayers=True)
    kept = np.minimum(tables["start"], tables["end"]).sum("birthplace")
    np.testing.assert_allclose(np.diag(flows), kept)
    assert float(flows.sum()) == pytest.approx(float(tables["start"].sum()))


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_impossible_numbers_are_refused_by_cell(name: str) -> None:
    start, end = START.copy(deep=True), END.copy(deep=True)
    start[0, 1], end[2, 0] = -1.0, np.nan
    with pytest.raises(InputError) as refused:
        ESTIMATORS[name](start, end)
    assert [str(f) for f in refused.value.faults] == [
        "(stocks at the end, birthplace C, residence A) | found nan; allowed: 0 or more",
        "(stocks at the start, birthplace A, residence B) | found -1; allowed: 0 or more",
    ]


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_other_places_are_refused_by_name(name: str) -> None:
    labels = {"birthplace": ["A", "B", "CCC"], "residence": ["A", "B", "CCC"]}
    start, end = START.assign_coords(labels), END.assign_coords(labels)
    with pytest.raises(InputError) as refused:
        ESTIMATORS[name](start, end.assign_coords(birthplace=["A", "B", "CCD"]))
    assert [str(f) for f in refused.value.faults] == [
        "(stocks at the end, birthplace) | found no CCC; allowed: every birthplace of the start; "
        "did you mean CCD?",
        "(stocks at the end, birthplace) | found CCD, no birthplace of the start; "
        "allowed: the same places",
    ]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (START.to_numpy(), "an xarray.DataArray"),
        (START.rename(birthplace="birth_place"), "did you mean birth_place"),
        (START.drop_vars("residence"), "residence without labels"),
        (START.assign_coords(residence=["A", "A", "B"]), "'A' twice"),
    ],
)
def test_arrays_without_names_are_refused(start: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match=said):
        demographic_flows(start, END)


def test_births_need_deaths() -> None:
    with pytest.raises(UsageError, match="both, or neither"):
        demographic_flows(START, END, BIRTHS)
    with pytest.raises(UsageError, match="both, or neither"):
        rate_flows(START, END, deaths=DEATHS)


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("system", "close", "closed"),
        ("matching", "befor", "before"),
        ("allocation", "minimization", "minimisation"),
    ],
)
def test_other_words_are_refused_with_the_one_meant(option: str, value: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {hint}"):
        demographic_flows(START, END, **{option: value})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean reverse"):
        difference_flows(START, END, negative="revers")  # type: ignore[arg-type]


# --- draws ---------------------------------------------------------------------------------------


def drawn(array: xr.DataArray, factors: list[float], dim: str = "draw") -> xr.DataArray:
    return array * xr.DataArray(factors, coords={dim: range(100, 100 + len(factors))})


def test_draws_of_stocks_and_events_go_together_by_their_labels() -> None:
    start, deaths = drawn(START, [1.0, 1.1]), drawn(DEATHS, [1.0, 0.5])
    flows = demographic_flows(start, END, BIRTHS, deaths)
    assert flows["draw"].to_numpy().tolist() == [100, 101]
    alone = demographic_flows(1.1 * START, END, BIRTHS, 0.5 * DEATHS)
    np.testing.assert_allclose(flows.sel(draw=101), alone)


def test_chains_and_draws_stay_apart() -> None:
    start = drawn(drawn(START, [1.0, 0.9, 1.1]), [1.0, 1.05], "chain")
    flows = pseudo_bayes_flows(start, END, weight="estimated")
    assert flows.sizes == {"draw": 3, "chain": 2, "origin": 3, "destination": 3}
    assert flows["weight"].dims == ("draw", "chain")
    assert len(np.unique(flows["weight"])) == 6


def test_draws_with_other_labels_are_refused() -> None:
    births = drawn(BIRTHS, [1.0, 1.0, 1.0])
    with pytest.raises(UsageError, match="draws"):
        demographic_flows(drawn(START, [1.0, 1.1]), END, births, DEATHS)


def test_no_draws_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        demographic_flows(drawn(START, [1.0])[..., :0], END)


def test_a_draw_that_is_refused_is_named() -> None:
    deaths = drawn(DEATHS, [1.0, 1000.0])
    with pytest.raises(InputError) as refused:
        demographic_flows(START, END, BIRTHS, deaths)
    assert {f.where for f in refused.value.faults} == {"deaths, draw 101"}
    assert [f.column for f in refused.value.faults] == ["A", "B", "C"]


# --- seeds ---------------------------------------------------------------------------------------


def seed(*rows: list[float], places: list[str] = PLACES) -> xr.DataArray:
    named = stock(*rows, places=places)
    return named.rename(birthplace="origin", residence="destination")


SOME = seed([np.nan, 1, 5], [2, np.nan, 1], [1, 3, np.nan])


def test_a_seed_goes_by_labels_too() -> None:
    turned = SOME.transpose("destination", "origin")[::-1]
    found = demographic_flows(START, END, **VITAL, seed=turned)
    xr.testing.assert_allclose(found, demographic_flows(START, END, **VITAL, seed=SOME))


def test_the_scale_of_a_seed_does_not_matter() -> None:
    found = demographic_flows(START, END, **VITAL, seed=SOME)
    np.testing.assert_allclose(demographic_flows(START, END, **VITAL, seed=7.0 * SOME), found)


def test_independence_needs_the_stayers_of_a_seed_and_minimisation_does_not() -> None:
    assert np.isfinite(demographic_flows(START, END, seed=SOME)).all()
    for estimate in (
        lambda: demographic_flows(START, END, seed=SOME, allocation="independence"),
        lambda: pseudo_bayes_flows(START, END, seed=SOME),
    ):
        with pytest.raises(InputError, match="origin A, destination A"):
            estimate()


def test_a_seed_of_other_places_or_dims_is_refused() -> None:
    with pytest.raises(InputError, match="no C"):
        demographic_flows(START, END, seed=SOME.assign_coords(origin=["A", "B", "D"]))
    with pytest.raises(UsageError, match="found dims draw"):
        demographic_flows(START, END, seed=SOME.expand_dims(draw=[1]))


def test_a_seed_by_birthplace_that_is_the_same_for_all_is_one() -> None:
    own = SOME.expand_dims(birthplace=PLACES)
    found = demographic_flows(START, END, **VITAL, seed=own)
    xr.testing.assert_allclose(found, demographic_flows(START, END, **VITAL, seed=SOME))


def test_a_seed_that_strands_people_names_their_birthplaces() -> None:
    nowhere = SOME.fillna(0.0).copy(data=np.zeros((3, 3)))
    with pytest.raises(InputError) as refused:
        demographic_flows(START, END, **VITAL, seed=nowhere)
    assert {f.where for f in refused.value.faults} == {"seed"}
    assert [f.column for f in refused.value.faults] == PLACES


# --- rates and growth ----------------------------------------------------------------------------


def test_rates_take_net_migration_for_their_total() -> None:
    """Residents change by 40, -20, -40; without births and deaths by 30, -10, -30."""
    flows = rate_flows(START, END, BIRTHS, DEATHS)
    assert float(flows.sum()) == pytest.approx(30.0 + 10.0 + 30.0)
    assert float(rate_flows(START, END).sum()) == pytest.approx(40.0 + 20.0 + 40.0)
    assert float(rate_flows(START, total=670.0).sel(origin="A", destination="B")) == 200.0


@pytest.mark.parametrize("total", [-1.0, np.nan, np.inf])
def test_a_total_is_a_number_of_persons(total: float) -> None:
    with pytest.raises(UsageError, match="persons, 0 or more"):
        rate_flows(START, total=total)


def test_rates_need_a_total_or_an_end_and_somebody_abroad() -> None:
    with pytest.raises(UsageError, match="neither a total nor"):
        rate_flows(START)
    natives = stock([10, 0, 0], [0, 20, 0], [0, 0, 30])
    with pytest.raises(InputError, match="nobody who lives abroad"):
        rate_flows(natives, total=5.0)


def test_growth_can_be_negative_and_says_what_it_solves() -> None:
    flows = growth_flows(START, END)
    assert float(flows.min()) < 0.0
    transitions = np.linalg.inv(START.to_numpy()) @ END.to_numpy()
    wanted = transitions * START.sum("birthplace").to_numpy()[:, None]
    np.testing.assert_allclose(flows, wanted * (1.0 - np.eye(3)), rtol=1e-10)


def test_groups_that_live_alike_have_no_growth() -> None:
    alike = stock([10, 20, 30], [20, 40, 60], [0, 0, 5])
    with pytest.raises(InputError, match="of rank 2 for 3 places"):
        growth_flows(alike, END)


# --- pseudo-Bayes --------------------------------------------------------------------------------


def test_the_estimated_weight_is_the_rule_of_fienberg_and_holland() -> None:
    """K = (N^2 - sum x^2) / sum (x - y)^2 over all cells, by hand."""
    tables = balance_stocks(START, END, **VITAL)
    ends = tables["start"].to_numpy(), tables["end"].to_numpy()
    least = allocate_by_birthplace(*ends, stay=True, seed=None)
    free = allocate_by_birthplace(*ends, stay=False, seed=None)
    people = least.sum()
    k = (people**2 - (least**2).sum()) / ((least - free) ** 2).sum()
    found = pseudo_bayes_flows(START, END, **VITAL, weight="estimated")
    assert float(found["weight"]) == pytest.approx(people / (people + k))


def test_the_estimated_weight_goes_to_1_with_the_number_of_people() -> None:
    """What the docstring warns of: it takes persons for a sample."""
    few = pseudo_bayes_flows(START / 100.0, END / 100.0, weight="estimated")["weight"]
    many = pseudo_bayes_flows(START * 1e4, END * 1e4, weight="estimated")["weight"]
    assert float(few) < 0.9
    assert float(many) > 0.99999


def test_the_estimated_weight_is_1_where_both_tables_are_one() -> None:
    natives = stock([10, 0, 0], [0, 20, 0], [0, 0, 30])
    assert float(pseudo_bayes_flows(natives, natives, weight="estimated")["weight"]) == 1.0


def test_the_estimated_weight_knows_the_seed() -> None:
    full = SOME.fillna(9.0)
    given = {"weight": "estimated", "seed": full}
    one = pseudo_bayes_flows(START, END, **given)["weight"]
    own = pseudo_bayes_flows(START, END, **given | {"seed": full.expand_dims(birthplace=PLACES)})
    assert float(own["weight"]) == pytest.approx(float(one))
    assert float(one) != pytest.approx(
        float(pseudo_bayes_flows(START, END, weight="estimated")["weight"])
    )


@pytest.mark.parametrize("weight", [-0.1, 1.1, np.nan, "guess"])
def test_a_weight_is_between_0_and_1(weight: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match="between 0 and 1"):
        pseudo_bayes_flows(START, END, weight=weight)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.87, 1.0])
def test_calibration_finds_the_weight_that_flows_were_made_with(weight: float) -> None:
    least = demographic_flows(START, END, **VITAL)
    free = demographic_flows(START, END, **VITAL, allocation="independence")
    known = (weight * least + (1.0 - weight) * free).sel(origin=["C", "A"], destination=["B", "A"])
    known[0, 0] *= 1.0
    assert calibrate_weight(least, free, known) == pytest.approx(weight)


def test_calibration_is_the_best_there_is_and_stays_within_0_and_1() -> None:
    least = demographic_flows(START, END, **VITAL)
    free = demographic_flows(START, END, **VITAL, allocation="independence")
    rng = np.random.default_rng(5)
    known = (0.7 * least + 0.3 * free) * rng.gamma(4.0, 0.25, (3, 3))
    found = calibrate_weight(least, free, known)

    def error(weight: float) -> float:
        mixed = weight * least + (1.0 - weight) * free
        return float(np.abs(known - mixed).sum())

    grid = np.linspace(0.0, 1.0, 2001)
    assert error(found) <= min(error(w) for w in grid) + 1e-9
    assert calibrate_weight(least, free, 10.0 * free) == 0.0
    assert calibrate_weight(least, free, 0.0 * free) == 1.0


def test_calibration_refuses_flows_it_cannot_use() -> None:
    least = demographic_flows(START, END, **VITAL)
    free = demographic_flows(START, END, **VITAL, allocation="independence")
    with pytest.raises(InputError, match="found X"):
        calibrate_weight(least, free, least.assign_coords(origin=["A", "B", "X"]))
    with pytest.raises(InputError, match="negative or infinite"):
        calibrate_weight(least, free, -1.0 - least)
    with pytest.raises(InputError, match="none to calibrate by"):
        calibrate_weight(least, free, least * np.nan)
