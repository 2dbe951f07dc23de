"""Draws of flows adjusted to margins: the identity, the nearest table, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import optimize

from flowcast.accounting import benchmark_flows, net_of_flows, net_table, population_margins
from flowcast.accounting.population import PopulationMargins, draw_margins, read_population_margins
from flowcast.errors import InputError

PLACES = ("A", "B", "C", "D")


def flows(seed: int = 1, n_draws: int = 5, n: int = 4, n_period: int = 2) -> xr.DataArray:
    """Return log-normal draws, (draw, period, origin, destination), of years from 2000 on."""
    rng = np.random.default_rng(seed)
    places = list(PLACES[:n]) if n <= 4 else [f"P{k}" for k in range(n)]
    values = np.exp(rng.normal(5.0, 1.0, (n_draws, n_period, n, n)))
    values[..., np.arange(n), np.arange(n)] = 0.0
    days = [np.datetime64(f"{2000 + k}-01-01") for k in range(n_period + 1)]
    return xr.DataArray(
        values,
        dims=("draw", "period", "origin", "destination"),
        coords={
            "origin": places,
            "destination": places,
            "period_start": ("period", days[:-1]),
            "period_end": ("period", days[1:]),
        },
    )


def row(place: str, net: float | None = None, year: int = 2000, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    given = {} if net is None else {"net": net}
    return {"place": place, "year": year, **given, **more}


def margins(*rows: dict[str, Any]) -> PopulationMargins:
    return population_margins(pd.DataFrame(list(rows)))


def closed(sd: float = 20.0, nets: tuple[float, ...] = (300.0, -200.0, 50.0, -150.0)) -> Any:  # noqa: ANN401
    return margins(
        *(
            row(p, net, births=5000, deaths=4000, net_sd=sd)
            for p, net in zip(PLACES, nets, strict=True)
        )
    )


def off_balance(found: Any) -> float:  # noqa: ANN401
    """Return how far births - deaths + net is from change at most, over all draws."""
    m = found.margins
    gap = m["births"] - m["deaths"] + net_of_flows(found.flows) - m["change"]
    return float(abs(gap).max())


def said(error: pytest.ExceptionInfo[InputError]) -> list[str]:
    return [str(fault) for fault in error.value.faults]


def test_every_draw_has_the_net_migration_and_the_change_drawn_for_it() -> None:
    found = benchmark_flows(flows(), closed())
    assert off_balance(found) < 1e-6
    first = found.margins["net"].isel(period=0)
    assert float(abs(net_of_flows(found.flows).isel(period=0) - first).max()) < 1e-6
    assert float(first.std("draw").min()) > 1.0
    assert float(abs(first.sum("place")).max()) < 1e-9


def test_periods_without_margins_stay_and_are_told() -> None:
    found = benchmark_flows(flows(), closed())
    xr.testing.assert_identical(found.flows.isel(period=1), flows().isel(period=1))
    assert "1 of 2 periods have no margins, and are as they were" in found.notes
    assert np.isnan(found.margins["net"].isel(period=1)).all()


def test_the_table_is_the_one_that_net_tables_by_entropy_find() -> None:
    found = benchmark_flows(flows(), closed())
    for draw in range(3):
        at = {"draw": draw, "period": 0}
        known = net_table(found.margins["net"].isel(at), flows().isel(at))
        np.testing.assert_allclose(found.flows.isel(at), known.table, rtol=1e-9)


def test_it_is_nearest_by_a_solver_that_knows_nothing_of_it() -> None:
    prior = flows(n_draws=1, n_period=1).isel(draw=0, period=0, drop=True)
    nets = np.array([40.0, -30.0, -10.0])
    exact = margins(*(row(p, n, net_sd=0) for p, n in zip(PLACES, nets, strict=False)))
    found = benchmark_flows(prior, exact).flows.to_numpy()
    i, j = np.nonzero(prior.to_numpy())
    p = prior.to_numpy()[i, j]
    incidence = (j == np.arange(3)[:, None]).astype(float) - (i == np.arange(3)[:, None])
    done = optimize.minimize(
        lambda x: float((x * np.log(x / p) - x + p).sum()) / p.sum(),
        p,
        jac=lambda x: np.log(x / p) / p.sum(),
        method="trust-constr",
        constraints=optimize.LinearConstraint(incidence, nets, nets),
        bounds=optimize.Bounds(1e-3, np.inf),
        options={"gtol": 1e-12, "xtol": 1e-14, "maxiter": 3000},
    )
    np.testing.assert_allclose(found[i, j], done.x, rtol=1e-4)
    # D is free: its factor is 1, and it takes what the others leave over
    assert found[:, 3].sum() - found[3].sum() == pytest.approx(-nets.sum(), abs=1e-6)


def test_what_fits_already_is_not_touched() -> None:
    one = flows(n_draws=3, n_period=1)
    one[:] = one.isel(draw=0)
    nets = net_of_flows(one.isel(draw=0, period=0)).to_numpy()
    fits = margins(*(row(p, n, net_sd=0) for p, n in zip(PLACES, nets, strict=True)))
    found = benchmark_flows(one, fits)
    np.testing.assert_allclose(found.flows, one, rtol=1e-12)


def test_immigration_and_emigration_are_margins_too() -> None:
    found = benchmark_flows(
        flows(),
        margins(
            row("A", immigration=900, emigration=500, births=10, deaths=5),
            row("B", immigration=400),
            row("C", -20, emigration=300),
            row("D", emigration=700),
        ),
    )
    first, m = found.flows.isel(period=0), found.margins.isel(period=0)
    came, left = first.sum("origin"), first.sum("destination")
    for place, name, sums in (
        ("A", "immigration", came), ("A", "emigration", left), ("B", "immigration", came),
        ("C", "emigration", left), ("D", "emigration", left),
    ):  # fmt: skip
        dim = str(sums.dims[-1])
        np.testing.assert_allclose(sums.sel({dim: place}), m[name].sel(place=place), rtol=1e-9)
    assert float(abs(net_of_flows(first) - m["net"]).sel(place=["A", "C"]).max()) < 1e-6
    assert np.isnan(m["net"].sel(place="B")).all()
    assert float(m["change"].sel(place="A", draw=0)) == pytest.approx(
        float((m["births"] - m["deaths"] + m["net"]).sel(place="A", draw=0))
    )


def test_all_totals_of_a_closed_system_are_balanced_between_the_sides() -> None:
    rows = [
        row(p, immigration=i, emigration=e, immigration_cv=0.1, emigration_cv=0.2)
        for p, i, e in zip(PLACES, (500, 700, 300, 400), (450, 600, 350, 420), strict=True)
    ]
    found = benchmark_flows(flows(n_period=1), margins(*rows))
    m = found.margins.isel(period=0)
    np.testing.assert_allclose(m["immigration"].sum("place"), m["emigration"].sum("place"))
    np.testing.assert_allclose(found.flows.sum("origin").isel(period=0), m["immigration"])
    np.testing.assert_allclose(found.flows.sum("destination").isel(period=0), m["emigration"])


def test_what_a_closed_system_is_off_is_spread_by_variance() -> None:
    nets = (300.0, -200.0, 50.0, -110.0)  # 40 too many
    sds = (30.0, 10.0, 0.0, 0.0)
    rows = [row(p, n, net_sd=s) for p, n, s in zip(PLACES, nets, sds, strict=True)]
    found = benchmark_flows(flows(n_draws=2000, n_period=1), margins(*rows))
    net = found.margins["net"].isel(period=0)
    np.testing.assert_allclose(net.mean("draw"), [264.0, -204.0, 50.0, -110.0], atol=0.5)
    # given that they sum to what the others leave, A and B have one error: 30 * 10 / sqrt(1000)
    np.testing.assert_allclose(net.std("draw"), [9.487, 9.487, 0.0, 0.0], atol=0.3)
    assert any("sums to 0 in every draw by least squares" in note for note in found.notes)


def test_the_rest_of_the_world_takes_what_the_others_leave_over() -> None:
    named = {"D": "rest_of_world"}
    places = [named.get(p, p) for p in PLACES]
    some = flows().assign_coords(origin=places, destination=places)
    found = benchmark_flows(some, margins(row("A", 500), row("B", 200), row("C", 100)))
    rest = net_of_flows(found.flows).isel(period=0).sel(place="rest_of_world")
    given = found.margins["net"].isel(period=0).sum("place")
    np.testing.assert_allclose(rest, -given, rtol=1e-9)
    with pytest.raises(InputError, match="it takes what the others leave over"):
        benchmark_flows(some, margins(row("A", 5), row("rest_of_world", -5)))


def test_flows_that_do_not_exist_and_the_diagonal_stay() -> None:
    some = flows()
    some[..., 0, 1] = np.nan
    some[..., 2, 2] = 7.0
    found = benchmark_flows(some, closed()).flows
    assert np.isnan(found.isel(origin=0, destination=1)).all()
    assert (found.isel(origin=2, destination=2) == 7.0).all()
    assert found.dims == some.dims


def test_far_margins_are_reached() -> None:
    exact = margins(row("A", 1e9, net_sd=0), row("B", -9.9e8, net_sd=0))
    found = benchmark_flows(flows(n_period=1), exact)
    assert float(found.gap.max()) < 1e-9
    net = net_of_flows(found.flows).isel(period=0, draw=0)
    assert float(net.sel(place="A")) == pytest.approx(1e9, rel=1e-12)


def test_more_people_than_flows_say_widen_nothing_else() -> None:
    """Opposite flows keep their product between constrained places."""
    found = benchmark_flows(flows(n_period=1), closed())
    old, new = flows(n_period=1).to_numpy(), found.flows.to_numpy()
    np.testing.assert_allclose(new * new.swapaxes(-1, -2), old * old.swapaxes(-1, -2), rtol=1e-9)


def test_places_whose_flows_cannot_are_all_named() -> None:
    some = flows()
    some[2, 0, :, 1] = 0.0  # nobody comes to B in one draw
    some[:, 0, 3, :] = 0.0  # nobody leaves D
    rows = (row("A", 5), row("B", 10, net_sd=1), row("D", -10, net_sd=1))
    with pytest.raises(InputError) as error:
        benchmark_flows(some, margins(*rows))
    faults = said(error)
    assert len(faults) == 2
    assert "net migration of B in 2000-01-01 to 2001-01-01" in faults[0]
    assert "in 1 of 5 draws" in faults[0]
    assert "net migration of D" in faults[1]
    assert "in 5 of 5 draws" in faults[1]


def test_zeros_that_hinder_several_places_together_are_found() -> None:
    """A and B send people to each other alone: together they cannot gain."""
    some = flows(n_period=1)
    some[..., :2, 2:] = 0.0
    some[..., 2:, :2] = 0.0
    exact = margins(*(row(p, n, net_sd=0) for p, n in zip(PLACES, (30, 10, -30, -10), strict=True)))
    with pytest.raises(InputError, match="that no table with these zeros has, in 5 of 5 draws"):
        benchmark_flows(some, exact)


def test_a_sum_that_errors_do_not_explain_is_refused() -> None:
    rows = [row(p, 1000.0, net_sd=10) for p in PLACES]
    later = [row(p, 500.0, year=2001, net_sd=10) for p in PLACES]
    with pytest.raises(InputError) as error:
        benchmark_flows(flows(), margins(*rows, *later))
    assert [
        f"sums to {n}" in fault for n, fault in zip(("4,000", "2,000"), said(error), strict=True)
    ]
    assert "rest_of_world" in said(error)[0]
    assert "sd 20" in said(error)[0]


def test_places_and_periods_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError) as error:
        benchmark_flows(flows(), margins(row("A", 5), row("AB", 5), row("B", 1, year=1999)))
    assert len(error.value.faults) == 1
    assert "place AB" in said(error)[0]
    with pytest.raises(InputError, match="no period of the flows"):
        benchmark_flows(flows(), margins(row("A", 5, year=1999)))
    undated = flows().drop_vars(["period_start", "period_end"])
    with pytest.raises(InputError) as error:
        benchmark_flows(undated, closed())
    assert len(error.value.faults) == 2
    one, two = flows().isel(period=0, drop=True), margins(row("A", 5), row("A", 5, year=2001))
    with pytest.raises(InputError, match="2 periods for flows without a dim period"):
        benchmark_flows(one, two)
    with pytest.raises(InputError, match="persons, 0 or more"):
        benchmark_flows(-flows(), closed())


def test_default_errors_are_those_told() -> None:
    m = margins(row("A", births=1000, deaths=500, change=400), row("B", immigration=50))
    errors = m.errors.isel(period=0)
    assert float(errors["births"][0]) == 10.0
    assert float(errors["deaths"][0]) == 10.0
    assert float(errors["net"][0]) == pytest.approx(0.1 * 100 + 0.01 * 1500)
    assert float(errors["immigration"][1]) == 5.0
    assert np.isnan(errors["change"]).all()


def test_where_change_has_the_error_net_migration_follows() -> None:
    m = margins(
        row("A", births=1000, births_sd=30, deaths=500, deaths_sd=40, change=400, change_sd=120)
    )
    drawn = draw_margins(m, 20_000, seed=3).isel(place=0, period=0)
    assert float(drawn["net"].mean()) == pytest.approx(-100.0, abs=3.0)
    assert float(drawn["net"].std()) == pytest.approx(130.0, rel=0.03)
    assert float(m.variance_of_net()[0, 0]) == pytest.approx(130.0**2)
    assert float(drawn["births"].std()) == pytest.approx(30.0, rel=0.03)
    assert float(drawn["births"].mean()) == pytest.approx(1000.0, rel=0.002)
    gap = drawn["births"] - drawn["deaths"] + drawn["net"] - drawn["change"]
    assert float(abs(gap).max()) < 1e-9


def test_draws_depend_on_seed_place_and_period_alone() -> None:
    both = draw_margins(margins(row("A", 5), row("B", 7), row("B", 7, year=2001)), 4, seed=1)
    alone = draw_margins(margins(row("B", 7)), 4, seed=1)
    np.testing.assert_array_equal(both["net"].sel(place="B")[0], alone["net"].sel(place="B")[0])
    assert not np.array_equal(both["net"].sel(place="B")[0], both["net"].sel(place="B")[1])
    other = draw_margins(margins(row("B", 7)), 4, seed=2)
    assert not np.array_equal(other["net"], alone["net"])


def test_all_faults_of_a_file_are_told_with_their_rows(tmp_path: Path) -> None:
    file = tmp_path / "margins.csv"
    file.write_text(
        "place,period_start,period_end,births,deaths,change,net,net_sd,change_sd,immigration,"
        "emigration\n"
        "A,2000-01-01,2001-01-01,10,,,,,,,\n"
        "B,2000-01-01,2001-01-01,,,5,,,,,\n"
        "C,2000-01-01,2001-01-01,-1,2,3,,,,,\n"
        "D,2000-01-01,2001-01-01,,,,,,,,\n"
        "E,2000-01-01,2001-01-01,,,,5,,,6,7\n"
        "F,2000-01-01,2001-01-01,5,5,5,5,1,1,,\n"
        "G,2000-01-01,2001-01-01,50,5,900,5,,,,\n"
        "H,2001-01-01,2000-01-01,,,,5,-3,,,\n"
        "I,2000-01-01,2001-01-01,,,,5,,,,\n"
        "I,2000-01-01,2001-01-01,,,,6,,,,\n"
    )
    with pytest.raises(InputError) as error:
        read_population_margins(file)
    assert [fault.row for fault in error.value.faults] == [2, 3, 4, 5, 6, 7, 8, 9, 9, 11]
    told = "\n".join(said(error))
    for words in (
        "births or deaths alone", "change without births and deaths", "found -1",
        "a row without a margin of migration", "two of them: the third follows",
        "an error of change beside one of net migration", "births - deaths + net that is -850",
        "not after the start", "found -3", "I again",
    ):  # fmt: skip
        assert words in told, words


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"place": "A", "year": 2000, "nett": 5}, "unknown column 'nett'"),
        ({"year": 2000, "net": 5}, "no such column"),
        ({"place": "A", "net": 5}, "year, or both dates"),
        ({"place": "A", "year": 2000, "net": 5, "net_sd": 1, "net_cv": 0.1}, "one of the two"),
        ({"place": "", "year": 2000, "net": 5}, "an empty cell"),
        ({"place": "A", "year": 2000, "net": "five"}, "text 'five'"),
    ],
)
def test_what_is_no_table_of_margins_is_refused(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        population_margins(pd.DataFrame([columns]))


def test_a_figure_that_agrees_up_to_rounding_is_taken() -> None:
    m = margins(row("A", 5.0, births=1000, deaths=900, change=106))
    assert float(m.values["change"].item()) == 105.0
