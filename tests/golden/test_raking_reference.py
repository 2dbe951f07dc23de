"""Raking, net tables and indices against a widely used R package, where that is right.

It stops raking at 1e-3 or 1e-5 of a step; ours are compared at what its own sums can give, and are
shown to be converged. Where it is wrong a test shows what is right, and says why.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.accounting.components import conditional_maximisation
from flowcast.accounting.indices import connectivity, schedule_indices
from flowcast.accounting.net import net_of_flows, net_table
from flowcast.accounting.net_migration import net_from_survival
from flowcast.accounting.raking import rake, rake_off_diagonal

CONVERGED = 1e-9
WILLEKENS = np.array([[5.0, 2.0], [1.0, 7.0]])
THREE = np.array([[50.0, 120.0, 545.0], [10.0, 120.0, 0.0], [220.0, 30.0, 10.0]])
THIRD = np.array([[[5.0, 4.0], [2.0, 5.0]], [[1.0, 2.0], [7.0, 9.0]]])


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    return shared / "reference" / "migest"


def named(values: Any, *dims: str) -> xr.DataArray:  # noqa: ANN401
    array = np.asarray(values, dtype=float)
    labels = {d: list("ABCD"[:n]) for d, n in zip(dims, array.shape, strict=True)}
    return xr.DataArray(array, labels, dims)


def flows(values: Any) -> xr.DataArray:  # noqa: ANN401
    return named(values, "origin", "destination")


def margins(left: Any, came: Any) -> Any:  # noqa: ANN401
    return {"origin": named(left, "origin"), "destination": named(came, "destination")}


def read_matrix(path: Path, *dims: str) -> xr.DataArray:
    frame = pd.read_csv(path, index_col=0, keep_default_na=False, na_values=[""])
    return named(frame.to_numpy(dtype=float), *(dims or ("origin", "destination")))


def read_long(path: Path) -> xr.DataArray:
    names = {"orig": "origin", "dest": "destination", "pob": "birthplace"}
    frame = pd.read_csv(path).rename(columns=names)
    return frame.set_index(list(names.values()))["value"].to_xarray()


def largest(one: xr.DataArray, other: xr.DataArray) -> float:
    return float(abs(one - other).max())


# Raking


def test_two_margins(reference: Path) -> None:
    raked = rake(flows(WILLEKENS), margins([18, 20], [16, 22]))
    assert largest(raked.table, read_matrix(reference / "out_ipf2_willekens.csv")) < 1e-5
    assert float(raked.gap) < CONVERGED
    raked = rake(flows(THREE), margins([170, 120, 410], [500, 140, 60]))
    theirs = read_matrix(reference / "out_ipf2_3x3.csv")
    off = abs(theirs.sum("origin") - [500.0, 140.0, 60.0]).max()
    assert largest(raked.table, theirs) < 1e-4
    assert float(off) > 1e-6, "the reference stops before its columns have converged"
    assert float(raked.gap) < CONVERGED


def test_conditional_maximisation(reference: Path) -> None:
    fit = conditional_maximisation(flows(WILLEKENS), margins([18, 20], [16, 22]))
    assert largest(fit.table, read_matrix(reference / "out_cm2_willekens.csv")) < 1e-5
    alpha, beta = fit.factors["origin"], fit.factors["destination"]
    theirs = np.outer([2.485391862, 2.578960447], [1.066245872, 0.9555451365])
    np.testing.assert_allclose(alpha * beta, theirs, rtol=1e-6)
    m4 = read_matrix(reference / "in_m4.csv")
    fit = conditional_maximisation(m4, margins([250, 100, 140, 110], [150, 150, 180, 120]))
    assert largest(fit.table, read_matrix(reference / "out_cm2_4x4.csv")) < 1e-4
    np.testing.assert_allclose(fit.table.sum("origin"), [150, 150, 180, 120], rtol=CONVERGED)


def test_conditional_maximisation_with_an_offset_of_three_dims(reference: Path) -> None:
    offset = named(THIRD, "origin", "destination", "age")
    fit = conditional_maximisation(offset, margins([36, 40], [32, 44]))
    frame = pd.read_csv(reference / "out_cm3.csv")
    frame.columns = ["origin", "destination", "age", "value"]
    theirs = frame.set_index(["origin", "destination", "age"])["value"].to_xarray()
    assert largest(fit.table, theirs) < 1e-5
    np.testing.assert_allclose(fit.table.sum(["destination", "age"]), [36, 40], rtol=CONVERGED)


def stock_margins(reference: Path) -> Any:  # noqa: ANN401
    start = read_matrix(reference / "in_dr_nobd_stock_start.csv", "birthplace", "origin")
    end = read_matrix(reference / "in_dr_nobd_stock_end.csv", "birthplace", "destination")
    return {("origin", "birthplace"): start, ("destination", "birthplace"): end}


def seeds() -> dict[str, xr.DataArray]:
    cells = np.array([1, 2, 3, 4, 2, 1, 5, 6, 3, 4, 1, 7, 4, 6, 7, 1.0]).reshape(4, 4, order="F")
    ones = named(np.ones((4, 4, 4)), "origin", "destination", "birthplace")
    return {"": ones, "_seed": flows(cells) * ones}


@pytest.mark.parametrize("seed", ["", "_seed"])
def test_three_dims(reference: Path, seed: str) -> None:
    raked = rake(seeds()[seed], stock_margins(reference))
    theirs = read_long(reference / f"out_ipf3_dr_nobd{seed}_odb.csv")
    assert largest(raked.table, theirs) < 1e-6
    assert float(raked.gap.max()) < CONVERGED


@pytest.mark.parametrize("seed", ["", "_seed"])
def test_three_dims_with_the_largest_diagonal(reference: Path, seed: str) -> None:
    raked = rake_off_diagonal(seeds()[seed], stock_margins(reference))
    theirs = read_long(reference / f"out_ipf3_qi_dr_nobd{seed}_odb.csv")
    assert largest(raked.table, theirs) < 1e-8
    assert float(raked.gap.max()) < CONVERGED


def test_a_seed_matters_with_the_largest_diagonal(reference: Path) -> None:
    """In the package's stock method a seed changes nothing (CALLS: 0), as it is not passed on.

    Where a birthplace leaves more than one way to fill the cells off the diagonal it has to.
    """
    plain, seeded = (rake_off_diagonal(s, stock_margins(reference)) for s in seeds().values())
    assert largest(plain.table, seeded.table) > 0.2


# Net tables


NET = named([30, 40, -15, -55], "place")


def test_net_tables_by_entropy(reference: Path) -> None:
    prior = read_matrix(reference / "in_m4.csv")
    found = net_table(NET, prior)
    for name in ("cm_net", "net_matrix_ipf"):
        theirs = read_matrix(reference / f"out_{name}.csv")
        missed = float(abs(net_of_flows(theirs) - NET).max())
        assert largest(found.table, theirs) < max(missed, 1e-4) < 1e-3
    np.testing.assert_allclose(net_of_flows(found.table), NET, rtol=CONVERGED)


def test_net_tables_with_a_total(reference: Path) -> None:
    prior = read_matrix(reference / "in_m4.csv")
    found = net_table(named([-100, 125, -75, 50], "place"), prior, total=600.0)
    assert largest(found.table, read_matrix(reference / "out_cm_net_tot.csv")) < 1e-4
    assert float(found.table.sum()) == pytest.approx(600.0, rel=CONVERGED)


def test_linear_programming_uses_its_prior(reference: Path) -> None:
    """The package minimises all flows, whatever the prior: nearly every corridor becomes 0.

    Ours minimises what is documented, the sum of absolute changes: 125 persons, against 450.
    """
    prior = read_matrix(reference / "in_m4.csv")
    theirs = read_matrix(reference / "out_net_matrix_lp.csv")
    found = net_table(NET, prior, method="absolute")
    assert float(abs(theirs - prior).sum()) == pytest.approx(450.0)
    assert float(found.distance) == pytest.approx(125.0)
    # at least as many persons as places have to gain or lose more than in the prior
    least = float(abs(NET - net_of_flows(prior)).sum() / 2)
    assert float(found.distance) == pytest.approx(least)
    other = 2.0 * prior
    assert largest(net_table(NET, other, method="absolute").table, found.table) > 50.0


def test_squares_are_minimised(reference: Path) -> None:
    """The package's loss lacks the square it documents: its answer has 3,923 in place of 2,798."""
    prior = read_matrix(reference / "in_m4.csv")
    theirs = read_matrix(reference / "out_net_matrix_optim.csv")
    found = net_table(NET, prior, method="squares")
    assert float(found.distance) == pytest.approx(2798.4375, rel=1e-9)
    assert float(((theirs - prior) ** 2).sum()) > 1.4 * float(found.distance)
    np.testing.assert_allclose(net_of_flows(found.table), NET, rtol=CONVERGED)


# Indices


@pytest.fixture(scope="session")
def korea(reference: Path) -> xr.DataArray:
    frame = pd.read_csv(reference / "in_korea_gravity_2020.csv", keep_default_na=False)
    frame = frame.rename(columns={"orig": "origin", "dest": "destination"})
    table = frame.set_index(["origin", "destination"])["flow"].astype(float).to_xarray()
    return table.reindex(destination=table["origin"].to_numpy())


@pytest.fixture(scope="session")
def theirs(reference: Path) -> pd.Series:
    return pd.read_csv(reference / "out_index_connectivity_korea2020.csv").set_index("measure")[
        "value"
    ]


@pytest.mark.parametrize(
    ("ours", "name", "rtol"),
    [
        ("connectivity", "connectivity", 0.0),
        ("inequality_equal", "inequality_equal", 1e-12),
        ("inequality_expected", "inequality_sim", 1e-9),
        ("gini", "gini_total", 1e-12),
        ("row_share", "gini_orig_standardized", 1e-12),
        ("column_share", "gini_dest_standardized", 1e-12),
        ("aggregate_coefficient_of_variation", "acv", 1e-12),
    ],
)
def test_connectivity(
    korea: xr.DataArray, theirs: pd.Series, ours: str, name: str, rtol: float
) -> None:
    assert float(connectivity(korea)[ours]) == pytest.approx(theirs[name], rel=rtol, abs=0.0)


def test_fields_of_out_migration_are_weighted_by_out_migration(
    korea: xr.DataArray, theirs: pd.Series
) -> None:
    """The package weights each place's out-migration Gini by its in-migration, and vice versa.

    Its own formula, that of Bell et al. 2002, has the moves whose spread the index measures. With
    the weights swapped, and divided by the number of places as there, its numbers come out.
    """
    found = connectivity(korea)
    off = korea.where(korea["origin"] != korea["destination"], 0.0)
    came, left = off.sum("origin").to_numpy(), off.sum("destination").to_numpy()
    swapped = [
        np.average(found["gini_out"], weights=came) / 17,
        np.average(found["gini_in"], weights=left) / 17,
    ]
    np.testing.assert_allclose(swapped, theirs[["mwg_orig", "mwg_dest"]], rtol=1e-12)
    right = [
        np.average(found["gini_out"], weights=left),
        np.average(found["gini_in"], weights=came),
    ]
    np.testing.assert_allclose(
        [found["weighted_gini_out"], found["weighted_gini_in"]], right, rtol=1e-12
    )


def test_the_coefficient_of_variation_has_no_unit(korea: xr.DataArray, theirs: pd.Series) -> None:
    """The package's is the square root of variance / total, the diagonal counted as flows of 0.

    So it grows with the square root of the unit: 17.9 for persons would be 0.57 for thousands.
    """
    cells = korea.where(korea["origin"] != korea["destination"], 0.0).to_numpy()
    rebuilt = np.sqrt(cells.var(ddof=1) / cells.sum())
    assert rebuilt == pytest.approx(theirs["cv"], rel=1e-12)
    found = [float(connectivity(k * korea)["coefficient_of_variation"]) for k in (1.0, 1e-3)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    moves = cells[~np.eye(17, dtype=bool)]
    assert found[0] == pytest.approx(moves.std() / moves.mean(), rel=1e-12)


def test_indices_of_a_schedule(reference: Path) -> None:
    table = pd.read_csv(reference / "out_index_age_rc.csv").set_index("measure")["value"]
    given = pd.read_csv(reference / "rc_model_fund.csv").set_index("param")["value"]
    found = schedule_indices(given.to_dict())  # type: ignore[arg-type]
    names = {
        "peaking": "peaking",
        "child_dependency": "child_dependency",
        "labour_dependency": "labor_dependency",
        "labour_asymmetry": "labor_asymmetry",
        "regularity": "regularity",
    }
    for ours, name in names.items():
        assert float(found[ours]) == pytest.approx(table[name], rel=1e-12)


# A worked table


def test_net_migration_of_manila(shared: Path) -> None:
    """Census survival ratios, forward, 1960-1970; published to the person."""
    path = shared / "data" / "flows" / "migest_examples" / "data-raw_manila.csv"
    frame = pd.read_csv(path, encoding="utf-8-sig").dropna(subset=["pop_1960", "phl_census_sr"])
    ages = {"age": frame["age_1970"].tolist()}
    start, end, ratio = (
        xr.DataArray(frame[name].to_numpy(dtype=float), ages)
        for name in ("pop_1960", "pop_1970", "phl_census_sr")
    )
    assert len(frame) >= 11
    net = net_from_survival(start, end, ratio, method="forward")
    np.testing.assert_allclose(net, frame["net"].to_numpy(dtype=float), atol=1.0)
