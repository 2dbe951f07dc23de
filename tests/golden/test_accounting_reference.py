"""Our flows from stocks against those of a widely used R package, and where it is wrong.

Its raking stops at an error of 1e-3, so that raked results agree to that and others to rounding.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting import (
    balance_stocks,
    demographic_flows,
    difference_flows,
    growth_flows,
    pseudo_bayes_flows,
    rate_flows,
    read_accounts,
)

pytestmark = pytest.mark.realdata

CASES = ("dr_nobd", "imr_nobd", "dr_bd", "imr_bd", "science_bd", "scidata")
ROUNDED = "dr_bd"
"""The one worked case whose world grows by something else than births minus deaths."""
RAKED = 0.0016
"""How far results are off that the package raked to its tolerance, persons."""
EXACT = 1e-9

VARIANTS = [
    (stay, system, matching)
    for stay in ("TRUE", "FALSE")
    for system, matching in (
        ("rescale", "before"),
        ("rescale", "after"),
        ("open", "before"),
        ("open-dr", "before"),
    )
]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "reference" / "migest"


def accounts(folder: Path, case: str) -> dict[str, xr.DataArray]:
    """Return the arguments of every estimator."""
    vital = folder / f"in_{case}_vital.csv"
    stocks = (folder / f"in_{case}_stock_{when}.csv" for when in ("start", "end"))
    return as_arguments(read_accounts(*stocks, vital, vital))


def global_accounts(folder: Path, n: int) -> dict[str, xr.DataArray]:
    vital = folder / "global" / f"in_vital_{n}.csv"
    stocks = (folder / "global" / f"in_stock_{when}_{n}.csv.gz" for when in ("start", "end"))
    return as_arguments(read_accounts(*stocks, vital, vital))


def as_arguments(data: xr.Dataset) -> dict[str, xr.DataArray]:
    names = {"start": "stock_start", "end": "stock_end", "births": "births", "deaths": "deaths"}
    return {name: data[given] for name, given in names.items()}


def od_table(path: Path, places: list[str]) -> xr.DataArray:
    """Read a matrix of the package; some have sums in a last row and column."""
    frame = pd.read_csv(path, index_col=0, keep_default_na=False).loc[places, places]
    labels = {"origin": places, "destination": places}
    return xr.DataArray(frame.to_numpy(dtype=float), dims=("origin", "destination"), coords=labels)


def odb_table(path: Path) -> xr.DataArray:
    names = {"pob": "birthplace", "orig": "origin", "dest": "destination"}
    frame = pd.read_csv(path).rename(columns=names)
    return frame.set_index(list(names.values()))["value"].to_xarray()


def gap(ours: xr.DataArray, theirs: xr.DataArray) -> float:
    labels = {dim: theirs[dim] for dim in theirs.dims}
    return float(np.abs(ours.sel(labels).transpose(*theirs.dims) - theirs).max())


def options(stay: str, system: str, matching: str) -> dict[str, Any]:
    return {
        "allocation": "minimisation" if stay == "TRUE" else "independence",
        "system": "closed" if system == "rescale" else system,
        "matching": matching,
    }


def allowed(case: str, system: str, matching: str) -> float:
    if system != "rescale":
        return EXACT
    return 0.15 if (case, matching) == (ROUNDED, "before") else RAKED


# --- the worked cases ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("stay", "system", "matching"), VARIANTS)
def test_demographic_accounting(
    folder: Path, case: str, stay: str, system: str, matching: str
) -> None:
    given = accounts(folder, case)
    chosen = options(stay, system, matching)
    stem = f"out_{case}__stay{stay}__{system}__{matching}"
    most = allowed(case, system, matching)
    od = od_table(folder / f"{stem}_od.csv", given["start"]["birthplace"].to_numpy().tolist())
    assert gap(demographic_flows(**given, **chosen), od) <= most
    parts = demographic_flows(**given, **chosen, by_birthplace=True, stayers=True)
    assert gap(parts, odb_table(folder / f"{stem}_odb.csv")) <= 1.5 * most


@pytest.mark.parametrize("case", CASES)
def test_pseudo_bayes(folder: Path, case: str) -> None:
    given = accounts(folder, case)
    stem, most = f"out_{case}__pseudobayes087", allowed(case, "rescale", "before")
    od = od_table(folder / f"{stem}_od.csv", given["start"]["birthplace"].to_numpy().tolist())
    assert gap(pseudo_bayes_flows(**given), od) <= most
    parts = pseudo_bayes_flows(**given, by_birthplace=True, stayers=True)
    assert gap(parts, odb_table(folder / f"{stem}_odb.csv")) <= 1.5 * most


@pytest.mark.parametrize("case", CASES)
def test_differences_and_rates(folder: Path, case: str) -> None:
    given = accounts(folder, case)
    start, end = given["start"], given["end"]
    found = {
        "diff_zero": difference_flows(start, end),
        "diff_return": difference_flows(start, end, negative="reverse"),
        "dennett": rate_flows(**given),
        "rvr": growth_flows(start, end),
    }
    for name, flows in found.items():
        theirs = od_table(
            folder / f"out_{case}__{name}_od.csv", flows["origin"].to_numpy().tolist()
        )
        assert gap(flows, theirs) <= EXACT, name


def test_every_case_of_the_stock_estimators_is_looked_at(folder: Path) -> None:
    listed = pd.read_csv(folder / "CALLS.tsv", sep="\t")["id"]
    ours = {f"{c}__stay{a}__{s}__{m}" for c in CASES for a, s, m in VARIANTS}
    ours |= {f"{c}__{n}" for c in CASES for n in ("diff_zero", "diff_return", "dennett", "rvr")}
    assert {name for name in listed if "__" in name} == ours


# --- many countries ------------------------------------------------------------------------------

GLOBAL: dict[str, Any] = {
    "diff_zero": lambda g: difference_flows(g["start"], g["end"]),
    "diff_return": lambda g: difference_flows(g["start"], g["end"], negative="reverse"),
    "dennett": lambda g: rate_flows(g["start"], total=1e7),
    "closed": lambda g: demographic_flows(**g),
    "open": lambda g: demographic_flows(**g, system="open"),
    "open_dr": lambda g: demographic_flows(**g, system="open-dr"),
    "indep": lambda g: demographic_flows(**g, allocation="independence"),
    "pseudobayes087": lambda g: pseudo_bayes_flows(**g),
}


@pytest.mark.parametrize("n", [50, 100])
@pytest.mark.parametrize("method", sorted(set(GLOBAL) - {"pseudobayes087"}))
def test_50_and_100_countries_agree_within_a_tenth_of_a_person(
    folder: Path, n: int, method: str
) -> None:
    flows = GLOBAL[method](global_accounts(folder, n))
    path = folder / "global" / f"out_{method}_{n}_od.csv.gz"
    assert gap(flows, od_table(path, flows["origin"].to_numpy().tolist())) <= 0.1


@pytest.mark.parametrize("method", sorted(GLOBAL))
def test_200_countries_agree_in_every_flow_total_and_margin(folder: Path, method: str) -> None:
    """In an open world the package lets more people enter than there are, and we do not: below."""
    flows = GLOBAL[method](global_accounts(folder, 200))
    path = folder / "global" / f"out_{method}_200_od.csv.gz"
    theirs = od_table(path, flows["origin"].to_numpy().tolist())
    most = 1.0 if method == "open" else 0.1
    assert gap(flows, theirs) <= most
    assert float(flows.sum()) == pytest.approx(float(theirs.sum()), abs=1.0)
    for dim in ("origin", "destination"):
        assert gap(flows.sum(dim), theirs.sum(dim)) <= 2.0 * most


# --- where the reference is wrong ----------------------------------------------------------------


def margins_off(parts: NDArray[np.float64], tables: xr.Dataset) -> float:
    """Return how far flows by birthplace, origin and destination are off the balanced stocks."""
    ends = {"start": parts.sum(axis=2), "end": parts.sum(axis=1)}
    return max(float(np.abs(ends[name] - tables[name]).max()) for name in ends)


@pytest.mark.parametrize("case", ["dr_bd", "imr_bd", "science_bd"])
def test_our_raking_keeps_the_residents_of_places_where_theirs_loses_some(
    folder: Path, case: str
) -> None:
    """The package stops raking at 1e-3: its residents at the end are off, ours are not."""
    given = accounts(folder, case)
    theirs = odb_table(folder / f"out_{case}__stayTRUE__rescale__after_odb.csv").to_numpy()
    ours = demographic_flows(**given, matching="after", by_birthplace=True, stayers=True).to_numpy()
    tables = balance_stocks(**given, matching="after")
    residents = tables["end"].sum("birthplace").to_numpy()
    assert np.abs(ours.sum(axis=(0, 1)) - residents).max() < 1e-9
    assert np.abs(theirs.sum(axis=(0, 1)) - residents).max() > 1e-4
    assert margins_off(ours, tables) < 1e-9


def test_matching_before_does_not_round_the_native_born(folder: Path) -> None:
    """The package adds whole persons to the diagonals, so that its worked case is off by .15.

    The surplus of 20 is split 10 and 10: the natives of the start grow by 3.91, 2.17, 3.13, .78,
    where the package adds 4, 2, 3, 1; those of the end shrink likewise by 4.08, 2.08, 2.96, .88.
    Given its own integers, our results are its results.
    """
    given = accounts(folder, ROUNDED)
    stem = folder / "out_dr_bd__stayTRUE__rescale__before_od.csv"
    theirs = od_table(stem, given["start"]["birthplace"].to_numpy().tolist())
    assert 0.1 < gap(demographic_flows(**given), theirs) < 0.15
    rounded = {
        **given,
        "start": given["start"] + np.diag([4.0, 2.0, 3.0, 1.0]),
        "end": given["end"] - np.diag([4.0, 2.0, 3.0, 1.0]),
    }
    assert gap(demographic_flows(**rounded), theirs) <= RAKED
    native = np.diag(given["start"].to_numpy())
    kept = balance_stocks(**given)["start"].sum("birthplace").to_numpy()
    wanted = (given["start"].sum("birthplace") - given["deaths"].to_numpy()).to_numpy()
    np.testing.assert_allclose(kept - wanted, 10.0 * native / native.sum(), rtol=1e-9)


def test_a_seed_is_used_whoever_stays(folder: Path) -> None:
    """The package returns the same flows with and without a seed where stayers are assumed.

    Here the seed moves them, and the odds within the movers of a birthplace are those of the seed.
    """
    given = accounts(folder, "scidata")
    places = given["start"]["birthplace"].to_numpy().tolist()
    distance = od_table(folder / "in_seed_dist.csv", places)
    prior = distance.to_numpy()
    plain = demographic_flows(**given, by_birthplace=True)
    seeded = demographic_flows(**given, by_birthplace=True, seed=distance)
    assert gap(seeded, plain) > 1.0
    for dim in ("origin", "destination"):
        assert gap(seeded.sum(dim), plain.sum(dim)) < 1e-9
    checked = 0
    for moved, i, k, j, m in itertools.product(seeded.to_numpy(), *[range(4)] * 4):
        four = [moved[i, j], moved[k, m], moved[i, m], moved[k, j]]
        if i < k and j < m and min(four) > 0.0:
            wanted = prior[i, j] * prior[k, m] / (prior[i, m] * prior[k, j])
            assert four[0] * four[1] / (four[2] * four[3]) == pytest.approx(wanted, rel=1e-9)
            checked += 1
    assert checked > 0


def test_a_seed_without_stayers_gives_what_the_package_gives(folder: Path) -> None:
    given = accounts(folder, "imr_nobd")
    places = given["start"]["birthplace"].to_numpy().tolist()
    seed = od_table(folder / "in_seed_dist.csv", places) + 1.0
    ours = demographic_flows(
        **given, allocation="independence", seed=seed, by_birthplace=True, stayers=True
    )
    theirs = odb_table(folder / "out_imr_nobd__stayFALSE__seed_dist_plus1_odb.csv")
    assert gap(ours, theirs) < 0.01


@pytest.mark.parametrize(("n", "below"), [(50, -0.07), (100, -0.05), (200, -0.9)])
def test_nobody_enters_an_open_world_who_is_not_there(folder: Path, n: int, below: float) -> None:
    """The package spreads entrants by where their group lived at the start, whoever is there.

    Where a group has all but left a place, more enter than live there at the end, and negative
    people stay. We stop at those who are there; the others enter elsewhere.
    """
    given = global_accounts(folder, n)
    tables = balance_stocks(**given, system="open")
    # What leaves and enters, put back, is what the births and deaths have left of the stocks.
    before, after = tables["start"] + tables["leavers"], tables["end"] + tables["entrants"]
    gap_ = (after - before.to_numpy()).sum("residence").clip(0.0)
    unbounded = after - gap_ * before / before.sum("residence")
    assert float(unbounded.min()) < below
    assert float(tables["end"].min()) >= 0.0
    assert float(tables["start"].min()) >= 0.0
    np.testing.assert_allclose(tables["entrants"].sum("residence"), gap_, rtol=1e-12, atol=1e-6)
