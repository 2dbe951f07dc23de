"""What draws say: chances, return levels, tables to show, bounds of totals, destinations."""

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast.disclosure import DisclosurePolicy, protect
from flowcast.displacement import (
    DisplacementPanel,
    allocate,
    exceedance,
    fit_allocation,
    return_levels,
    summarise_forecast,
    total_bounds,
)
from flowcast.displacement.allocation import _minus_log
from flowcast.errors import UsageError


def draws_of(values: object, places: list[str], year: int = 2030) -> xr.DataArray:
    """Return draws, dims chain, draw, unit, year: `values` are (draw, unit)."""
    found = np.asarray(values, dtype=float)[None, :, :, None]
    coords = {"place": ("unit", places), "year": [year]}
    coords |= {part: ("unit", [""] * len(places)) for part in ("destination", "hazard")}
    return xr.DataArray(found, dims=("chain", "draw", "unit", "year"), coords=coords)


def test_chances_and_levels_are_those_of_the_draws() -> None:
    draws = draws_of(np.arange(200.0)[:, None] * [1.0, 10.0], ["SD", "ML"])
    chance = exceedance(draws, [100, 1500])
    assert chance.dims == ("threshold", "unit", "year")
    assert chance[:, :, 0].to_numpy().tolist() == [[0.5, 0.95], [0.0, 0.25]]
    levels = return_levels(draws, [2, 20])
    np.testing.assert_allclose(levels[:, 1, 0], np.quantile(np.arange(200) * 10.0, [0.5, 0.95]))
    # A period is refused that hardly any draw lies beyond.
    with pytest.raises(UsageError, match="found 50; allowed: above 1 and up to 20 years"):
        return_levels(draws, [10, 50])


def test_the_level_of_a_sum_is_that_of_summed_draws() -> None:
    rng = np.random.default_rng(1)
    draws = draws_of(rng.lognormal(0.0, 2.0, (400, 2)), ["SD", "ML"])
    of_sum = float(return_levels(draws.sum("unit"), [20]).squeeze())
    assert of_sum < float(return_levels(draws, [20]).sum())


def test_small_figures_are_not_shown() -> None:
    policy = DisclosurePolicy(smallest=50, digits=2)
    draws = draws_of(np.linspace(0.0, 1234.0, 101)[:, None] * [1.0, 0.01], ["SD", "ML"])
    table = summarise_forecast(draws, probs=[0.8], policy=policy)
    shown = table.set_index("place")
    assert shown.loc["ML", ["median", "lower", "upper", "chance"]].isna().all()
    assert shown["suppressed"].tolist() == [True, False]
    assert shown.loc["SD", ["median", "lower", "upper"]].tolist() == [620, 120, 1100]
    assert table.attrs["policy"] == "below 50 suppressed, 2 digits"


def test_nothing_that_is_shown_is_below_the_smallest() -> None:
    values = np.array([0.0, 49.99, 50.0, 54.0, 99.9, 1e6 + 1])
    out = protect(values, DisclosurePolicy(smallest=53.0, digits=1))
    assert out[3:].tolist() == [53.0, 100.0, 1e6]
    assert np.isnan(out[:3]).all()
    assert protect(values, DisclosurePolicy(smallest=0.0)).tolist()[:2] == [0.0, 50.0]
    for wrong in ({"smallest": -1.0}, {"digits": 0}, {"smallest": np.nan}):
        with pytest.raises(UsageError, match="policy"):
            DisclosurePolicy(**wrong)


def test_a_total_over_kinds_is_bounded_draw_by_draw() -> None:
    conflict = draws_of([[5, 1, 2], [50, 1, 0]], ["SD", "ML", "ML"])
    asylum = draws_of([[7, 3], [7, 3]], ["SD", "FR"])
    bounds = total_bounds({"conflict": conflict, "asylum": asylum})
    assert bounds["place"].to_numpy().tolist() == ["SD"]
    assert bounds["at_least"].to_numpy().ravel().tolist() == [7, 50]
    assert bounds["at_most"].to_numpy().ravel().tolist() == [12, 57]


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["conflict", "border"], "found border"),
        (["cross_border", "asylum"], "one or the other"),
        ([], "found no kind"),
    ],
)
def test_kinds_that_cannot_stand_together_are_refused(kinds: list[str], told: str) -> None:
    one = draws_of([[1.0]], ["SD"])
    with pytest.raises(UsageError, match=told):
        total_bounds(dict.fromkeys(kinds, one))


def test_totals_need_the_same_draws_and_a_place_in_common() -> None:
    two, one = draws_of([[1.0], [2.0]], ["SD"]), draws_of([[1.0]], ["SD"])
    with pytest.raises(UsageError, match="numbers of draws"):
        total_bounds({"conflict": two, "asylum": one})
    with pytest.raises(UsageError, match="no place and year"):
        total_bounds({"conflict": one, "asylum": draws_of([[1.0]], ["ML"])})


ORIGINS, DESTINATIONS = ["AF", "SD", "SY"], ["DE", "IR", "TD", "TR"]
BORDERS = {("AF", "IR"), ("SD", "TD"), ("SY", "TR")}


def pairs(counts: NDArray[np.float64]) -> DisplacementPanel:
    """Return a panel of every pair, counts (origin, destination, year)."""
    n = counts.shape[2]
    coords = {
        "place": ("unit", np.repeat(ORIGINS, 4)),
        "destination": ("unit", np.tile(DESTINATIONS, 3)),
        "hazard": ("unit", [""] * 12),
        "year": np.arange(2010, 2010 + n),
    }
    data = xr.DataArray(counts.reshape(12, n), dims=("unit", "year"), coords=coords)
    return DisplacementPanel(data, "unhcr_asylum", "asylum")


def geography() -> tuple[xr.DataArray, xr.DataArray]:
    place = {"origin": ORIGINS, "destination": DESTINATIONS}
    border = [[float((o, d) in BORDERS) for d in DESTINATIONS] for o in ORIGINS]
    near = xr.DataArray(border, dims=list(place), coords=place)
    return 4000.0 - 3500.0 * near, near


def simulate(kappa: float, years: int = 10) -> NDArray[np.float64]:
    rng = np.random.default_rng(5)
    share = np.where(geography()[1] > 0, 0.7, 0.1)
    counts = [
        [rng.multinomial(20_000, rng.dirichlet(kappa * row)) for row in share] for _ in range(years)
    ]
    return np.array(counts, dtype=float).transpose(1, 2, 0)


def test_people_are_allocated_without_loss_and_to_where_they_went() -> None:
    fit = fit_allocation(
        pairs(simulate(200.0)), distance_km=geography()[0], neighbours=geography()[1]
    )
    totals = draws_of(np.full((200, 2), 1000.0), ["SY", "SD"])
    made = allocate(fit, totals)
    assert made.dims == ("chain", "draw", "origin", "destination", "year")
    assert made["origin"].to_numpy().tolist() == ["SD", "SY"]
    assert (made.sum("destination") == 1000).all()
    share = made.mean(("chain", "draw")).squeeze().sel(origin="SY", destination="TR")
    assert abs(float(share) / 1000 - 0.7) < 0.1


def test_shares_that_vary_more_are_allocated_less_surely() -> None:
    spread = []
    for kappa in (500.0, 5.0):
        fit = fit_allocation(
            pairs(simulate(kappa)), distance_km=geography()[0], neighbours=geography()[1]
        )
        made = allocate(fit, draws_of(np.full((200, 1), 1000.0), ["SY"]))
        spread.append(float(made.sel(destination="TR").std()))
    assert spread[1] > 2 * spread[0]


def test_nobody_goes_where_nothing_is_reported() -> None:
    counts = simulate(50.0)
    counts[:, 0, -1] = np.nan  # Germany did not report in the last year
    fit = fit_allocation(pairs(counts), distance_km=geography()[0], neighbours=geography()[1])
    made = allocate(fit, draws_of([[1000.0]], ["SY"]))
    assert float(made.sel(destination="DE").sum()) == 0.0
    assert float(made.sum()) == 1000.0


def test_the_gradient_of_allocation_is_that_of_its_density() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(3, 4, 3)), rng.poisson(20.0, (3, 4)).astype(float)
    possible = rng.random((3, 4)) < 0.8
    theta = np.array([0.7, -0.3, 0.2, 1.5])
    slope = _minus_log(theta, x, y, possible)[1]
    for k, e in enumerate(1e-6 * np.eye(4)):
        both = [_minus_log(theta + sign * e, x, y, possible)[0] for sign in (1, -1)]
        np.testing.assert_allclose((both[0] - both[1]) / 2e-6, slope[k], rtol=1e-5)


def test_allocation_needs_pairs() -> None:
    data = pairs(simulate(50.0, 2))
    with pytest.raises(UsageError, match="pairs, over three years"):
        fit_allocation(data, distance_km=geography()[0], neighbours=geography()[1])
    fit = fit_allocation(
        pairs(simulate(50.0, 4)), distance_km=geography()[0], neighbours=geography()[1]
    )
    with pytest.raises(UsageError, match="no origin of the allocation"):
        allocate(fit, draws_of([[1.0]], ["FR"]))
