"""Components multiply back to the table, by both codings; conditional maximisation finds them."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import optimize

from flowcast.accounting.components import (
    Coding,
    conditional_maximisation,
    multiplicative_components,
    recompose,
)
from flowcast.errors import InputError, UsageError

PLACES = ["A", "B", "C"]
FLOWS = xr.DataArray(
    [[40.0, 20.0, 10.0], [5.0, 60.0, 15.0], [25.0, 10.0, 15.0]],
    {"origin": PLACES, "destination": PLACES},
)
BY_AGE = FLOWS * xr.DataArray([1.0, 3.0, 2.0], {"age": [0, 20, 40]}) ** xr.DataArray(
    [1.0, 0.5, 0.2], {"destination": PLACES}
)
THREE = ("origin", "destination", "age")


def test_total_coding_has_shares_and_ratios_to_independence() -> None:
    """Raymer & Rogers 2007, doi 10.1353/dem.2007.0016: T, n_i+ / T, n_+j / T, and the rest."""
    parts = multiplicative_components(FLOWS)
    assert float(parts["overall"]) == 200.0
    np.testing.assert_allclose(parts["origin_component"], [0.35, 0.4, 0.25])
    np.testing.assert_allclose(parts["destination_component"], [0.35, 0.45, 0.2])
    pair = parts["origin_destination_component"]
    assert float(pair.sel(origin="A", destination="A")) == pytest.approx(40 / (200 * 0.35 * 0.35))
    assert pair.dims == ("origin", "destination")


def test_geometric_coding_has_effects_whose_logs_sum_to_zero() -> None:
    parts = multiplicative_components(FLOWS, coding="geometric")
    assert float(parts["overall"]) == pytest.approx(np.exp(np.log(FLOWS).mean()))
    for name in ("origin", "destination"):
        assert float(np.log(parts[f"{name}_component"]).sum()) == pytest.approx(0.0, abs=1e-12)
        pair = np.log(parts["origin_destination_component"])
        np.testing.assert_allclose(pair.sum(name), 0.0, atol=1e-12)


@pytest.mark.parametrize("coding", ["total", "geometric"])
@pytest.mark.parametrize("diagonal", [True, False])
def test_three_dims_multiply_back(coding: Coding, diagonal: bool) -> None:
    parts = multiplicative_components(BY_AGE, dims=THREE, coding=coding, diagonal=diagonal)
    assert len(parts) == 8
    off = xr.DataArray(~np.eye(3, dtype=bool), FLOWS.coords)
    whole = BY_AGE if diagonal else BY_AGE.where(off, 0.0)
    np.testing.assert_allclose(recompose(parts), whole, rtol=1e-12)


def test_of_three_dims_the_pair_is_that_of_the_sum() -> None:
    parts = multiplicative_components(BY_AGE, dims=THREE)
    pair = multiplicative_components(BY_AGE.sum("age"))["origin_destination_component"]
    np.testing.assert_allclose(parts["origin_destination_component"], pair, rtol=1e-12)


def test_a_table_of_one_pattern_at_all_ages_has_no_interaction_with_age() -> None:
    same = FLOWS * xr.DataArray([1.0, 3.0], {"age": [0, 20]})
    for coding in ("total", "geometric"):
        parts = multiplicative_components(same, dims=THREE, coding=coding)  # type: ignore[arg-type]
        for name in ("origin_age", "destination_age", "origin_destination_age"):
            np.testing.assert_allclose(parts[f"{name}_component"], 1.0, rtol=1e-12)


def test_without_the_diagonal_means_are_over_the_other_cells() -> None:
    parts = multiplicative_components(FLOWS, coding="geometric", diagonal=False)
    off = ~np.eye(3, dtype=bool)
    assert float(parts["overall"]) == pytest.approx(np.exp(np.log(FLOWS.values[off]).mean()))
    by_origin = np.exp(
        [np.log(row[keep]).mean() for row, keep in zip(FLOWS.values, off, strict=True)]
    )
    np.testing.assert_allclose(parts["origin_component"], by_origin / float(parts["overall"]))
    assert (np.diag(recompose(parts)) == 0.0).all()


def test_zeros_come_back_as_zeros() -> None:
    flows = FLOWS.copy()
    flows.loc["A"] = 0.0
    flows.loc["B", "C"] = 0.0
    parts = multiplicative_components(flows)
    np.testing.assert_allclose(recompose(parts), flows, rtol=1e-12)
    assert (parts["origin_destination_component"].sel(origin="A") == 1.0).all()


def test_other_dims_are_separate_tables() -> None:
    flows = FLOWS * xr.DataArray([1.0, 2.0], {"draw": [0, 1]})
    parts = multiplicative_components(flows)
    assert parts["overall"].values.tolist() == [200.0, 400.0]
    np.testing.assert_allclose(recompose(parts).transpose(*flows.dims), flows)


def test_components_may_be_swapped_between_tables() -> None:
    """As projections do: this year's level and shares, another year's interaction."""
    other = multiplicative_components(FLOWS.T.rename(origin="destination", destination="origin"))
    mixed = multiplicative_components(FLOWS).assign(overall=other["overall"] * 2.0)
    assert float(recompose(mixed).sum()) == pytest.approx(400.0)
    assert recompose(mixed.drop_vars("origin_destination_component")).sum() == pytest.approx(400.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": -FLOWS}, "(table) | found -40 at origin A, destination A"),
        ({"table": 0 * FLOWS}, "(table) | found a table of zeros; allowed: at least one flow"),
        (
            {"table": FLOWS.where(FLOWS > 5, 0.0), "coding": "geometric"},
            "found 0 at origin B, destination A; allowed: persons, more than 0 in geometric",
        ),
        ({"dims": ("origin", "sex")}, "(table) | found dims (origin, destination)"),
        ({"table": FLOWS[:2], "diagonal": False}, "2 origins and 3 destinations"),
    ],
)
def test_what_has_no_components_is_refused(changes: dict[str, Any], said: str) -> None:
    arguments = {"table": FLOWS, **changes}
    with pytest.raises(InputError) as caught:
        multiplicative_components(arguments.pop("table"), **arguments)
    assert said in str(caught.value)


def test_words_that_are_not_known() -> None:
    with pytest.raises(UsageError, match=r"found 'totals'; .* did you mean total"):
        multiplicative_components(FLOWS, coding="totals")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="found flows; allowed: overall"):
        recompose(xr.Dataset({"flows": FLOWS}))


# Conditional maximisation


OFFSET = xr.DataArray([[5.0, 2.0], [1.0, 7.0]], {"origin": ["A", "B"], "destination": ["A", "B"]})
MARGINS: Any = {
    "origin": xr.DataArray([18.0, 20.0], {"origin": ["A", "B"]}),
    "destination": xr.DataArray([16.0, 22.0], {"destination": ["A", "B"]}),
}


def test_the_fit_maximises_the_poisson_likelihood() -> None:
    """Against a general optimiser of the log likelihood, given the sums, over log factors."""
    fit = conditional_maximisation(OFFSET, MARGINS)
    left, came = MARGINS["origin"].values, MARGINS["destination"].values

    def minus_log_likelihood(theta: np.ndarray) -> float:
        mean = OFFSET.values * np.exp(theta[:2][:, None] + theta[2:][None, :])
        return float(mean.sum() - left @ theta[:2] - came @ theta[2:])

    best = optimize.minimize(minus_log_likelihood, np.zeros(4), tol=1e-12)
    mean = OFFSET.values * np.exp(best.x[:2][:, None] + best.x[2:][None, :])
    np.testing.assert_allclose(fit.table, mean, rtol=1e-5)


def test_factors_have_a_place_to_stand() -> None:
    fit = conditional_maximisation(OFFSET, MARGINS)
    assert float(np.log(fit.factors["destination"]).sum()) == pytest.approx(0.0, abs=1e-12)
    product = OFFSET * fit.factors["origin"] * fit.factors["destination"]
    np.testing.assert_allclose(product, fit.table, rtol=1e-12)


def test_an_offset_of_three_dims_needs_two_margins() -> None:
    third = xr.DataArray([1.0, 2.0, 5.0], {"age": [0, 20, 40]}) ** OFFSET["origin"].copy(
        data=[1.0, 0.3]
    )
    fit = conditional_maximisation(OFFSET * third, MARGINS)
    assert fit.table.dims == ("origin", "destination", "age")
    np.testing.assert_allclose(fit.table.sum(["destination", "age"]), [18.0, 20.0], rtol=1e-9)
    ratio = fit.table / (OFFSET * third)
    np.testing.assert_allclose(ratio, ratio.isel(age=0) * xr.ones_like(third), rtol=1e-12)


def test_margins_with_a_common_dim_have_factors_for_each_of_its_labels() -> None:
    born = xr.DataArray([1.0, 3.0], {"birthplace": ["A", "B"]})
    margins: Any = {
        ("origin", "birthplace"): MARGINS["origin"] * born,
        ("destination", "birthplace"): MARGINS["destination"] * born,
    }
    fit = conditional_maximisation(OFFSET * xr.ones_like(born), margins)
    there = fit.factors["destination, birthplace"]
    np.testing.assert_allclose(np.log(there).sum("destination"), 0.0, atol=1e-12)
    product = OFFSET * fit.factors["origin, birthplace"] * there
    np.testing.assert_allclose(product.transpose(*fit.table.dims), fit.table, rtol=1e-12)
