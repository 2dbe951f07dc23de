"""What holds for any stocks: people are kept, none are negative, names and units do not matter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flowcast.accounting import (
    balance_stocks,
    demographic_flows,
    difference_flows,
    growth_flows,
    pseudo_bayes_flows,
    rate_flows,
)
from flowcast.errors import InputError

SYSTEMS = ("closed", "open", "open-dr")
ALLOCATIONS = ("minimisation", "independence")
RELATIVE = 1e-9
"""Margins are kept to this, relative to them."""

systems = st.sampled_from(SYSTEMS)
allocations = st.sampled_from(ALLOCATIONS)
matchings = st.sampled_from(["before", "after"])


@dataclass(frozen=True)
class World:
    """Stocks at two dates, births and deaths."""

    start: xr.DataArray
    end: xr.DataArray
    births: xr.DataArray
    deaths: xr.DataArray

    @property
    def all(self) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray, xr.DataArray]:
        return self.start, self.end, self.births, self.deaths

    @property
    def places(self) -> list[str]:
        return list(self.start["birthplace"].to_numpy())

    def surplus(self) -> float:
        change = float(self.end.sum() - self.start.sum())
        return change - float(self.births.sum() - self.deaths.sum())

    def times(self, factor: float) -> "World":
        return World(*(one * factor for one in self.all))

    def in_order(self, order: list[int]) -> "World":
        return World(*(one[{d: order for d in one.dims}] for one in self.all))


def stock(values: NDArray[np.float64]) -> xr.DataArray:
    places = [f"P{k}" for k in range(len(values))]
    return xr.DataArray(
        values, dims=("birthplace", "residence"), coords={"birthplace": places, "residence": places}
    )


def events(values: NDArray[np.float64]) -> xr.DataArray:
    return xr.DataArray(
        values, dims="place", coords={"place": [f"P{k}" for k in range(len(values))]}
    )


@st.composite
def worlds(draw: st.DrawFn, *, zeros: bool = True, vital: bool = True) -> World:
    """Return a world of 2 to 5 places in which most people live where they were born."""
    n = draw(st.integers(2, 5))
    few = st.floats(1.0, 300.0)
    if zeros:
        few = st.just(0.0) | few
    native = draw(arrays(np.float64, n, elements=st.floats(5e3, 1e5)))
    growth = draw(arrays(np.float64, n, elements=st.floats(0.75, 1.3)))
    tables = []
    for own in (native, native * growth):
        table = draw(arrays(np.float64, (n, n), elements=few))
        np.fill_diagonal(table, own)
        tables.append(stock(table))
    shares = [draw(arrays(np.float64, n, elements=st.floats(0.0, 0.25))) for _ in range(2)]
    if not vital:
        shares = [0.0 * share for share in shares]
    born = events(shares[0] * tables[1].sum("birthplace").to_numpy())
    died = events(shares[1] * tables[0].sum("birthplace").to_numpy())
    return World(*tables, born, died)


def close(found: xr.DataArray, wanted: xr.DataArray, *, scale: float = 0.0) -> None:
    np.testing.assert_allclose(
        found.to_numpy(), wanted.to_numpy(), rtol=RELATIVE, atol=RELATIVE * scale
    )


def flows_of(world: World, **options: Any) -> xr.DataArray:  # noqa: ANN401
    """Return flows, and give the example up where a closed world is impossible."""
    try:
        return demographic_flows(*world.all, **options)
    except InputError:
        assume(False)
        raise


def net_of(flows: xr.DataArray) -> xr.DataArray:
    arrived = flows.sum("origin").rename(destination="place")
    return arrived - flows.sum("destination").rename(origin="place")


# --- margins and people --------------------------------------------------------------------------


@given(worlds(zeros=False), systems, matchings, allocations)
def test_flows_by_birthplace_have_the_balanced_stocks_for_margins(
    world: World, system: str, matching: str, allocation: str
) -> None:
    options: dict[str, Any] = {"system": system, "matching": matching}
    tables = balance_stocks(*world.all, **options)
    flows = demographic_flows(
        *world.all, **options, allocation=allocation, by_birthplace=True, stayers=True
    )
    scale = float(tables["start"].max())
    close(flows.sum("destination").rename(origin="residence"), tables["start"], scale=1e-3 * scale)
    close(flows.sum("origin").rename(destination="residence"), tables["end"], scale=1e-3 * scale)
    close(tables["start"].sum("residence"), tables["end"].sum("residence"))


@given(worlds(zeros=False))
def test_a_closed_world_gives_each_place_the_net_migration_its_population_needs(
    world: World,
) -> None:
    """Change minus births plus deaths, and its share of what the world has too many of."""
    net = net_of(demographic_flows(*world.all))
    start, end = (t.to_numpy() for t in (world.start, world.end))
    own = (start.diagonal() / start.trace() + end.diagonal() / end.trace()) / 2.0
    change = end.sum(axis=0) - start.sum(axis=0)
    wanted = change - world.births.to_numpy() + world.deaths.to_numpy() - world.surplus() * own
    np.testing.assert_allclose(net, wanted, atol=RELATIVE * end.sum())


@given(worlds(), matchings)
def test_a_closed_world_shares_what_it_has_too_many_of_between_its_tables(
    world: World, matching: str
) -> None:
    try:
        tables = balance_stocks(*world.all, matching=matching)  # type: ignore[arg-type]
    except InputError:
        assume(False)
    lost = float(tables["start"].sum() - world.start.sum() + world.deaths.sum())
    gained = float(tables["end"].sum() - world.end.sum() + world.births.sum())
    scale = RELATIVE * float(world.end.sum())
    assert lost == pytest.approx(world.surplus() / 2.0, abs=scale)
    assert gained == pytest.approx(-world.surplus() / 2.0, abs=scale)


@given(worlds(), st.sampled_from(["open", "open-dr"]))
def test_an_open_world_tells_everybody_where_they_went(world: World, system: str) -> None:
    """By place: the change is births, deaths, net migration, entrants and leavers, and no more."""
    tables = balance_stocks(*world.all, system=system)  # type: ignore[arg-type]
    net = net_of(flows_of(world, system=system)).to_numpy()
    outside = (tables["entrants"] - tables["leavers"]).sum("birthplace").to_numpy()
    change = (world.end - world.start).sum("birthplace").to_numpy()
    vital = world.births.to_numpy() - world.deaths.to_numpy()
    np.testing.assert_allclose(change, vital + net + outside, atol=RELATIVE * world.end.sum())
    for name in ("start", "end", "leavers", "entrants"):
        assert float(tables[name].min()) >= 0.0


# --- what flows must be --------------------------------------------------------------------------


@given(worlds(), systems, allocations, st.integers(0, 1))
def test_flows_are_the_sum_over_birthplaces_and_never_negative(
    world: World, system: str, allocation: str, seeded: int
) -> None:
    n = len(world.places)
    seed = None
    if seeded:
        values = np.random.default_rng(n).gamma(2.0, 1.0, (n, n))
        seed = stock(values).rename(birthplace="origin", residence="destination")
    options: dict[str, Any] = {"system": system, "allocation": allocation, "seed": seed}
    whole = flows_of(world, **options)
    parts = flows_of(world, **options, by_birthplace=True)
    close(parts.sum("birthplace"), whole, scale=float(world.end.max()) * 1e-3)
    assert float(parts.min()) >= 0.0
    assert (np.diag(whole) == 0.0).all()


@given(worlds(), st.floats(0.0, 1.0), systems)
def test_a_pseudo_bayes_flow_lies_between_its_parts(
    world: World, weight: float, system: str
) -> None:
    least = flows_of(world, system=system)
    free = flows_of(world, system=system, allocation="independence")
    mixed = pseudo_bayes_flows(*world.all, weight=weight, system=system)  # type: ignore[arg-type]
    close(mixed, weight * least + (1.0 - weight) * free, scale=1e-3 * float(world.end.max()))


@given(worlds(vital=False), systems, allocations)
def test_minimisation_moves_the_fewest(world: World, system: str, allocation: str) -> None:
    fewest = float(flows_of(world, system=system).sum())
    assert float(flows_of(world, system=system, allocation=allocation).sum()) >= fewest * (1 - 1e-9)
    tables = balance_stocks(*world.all, system=system)  # type: ignore[arg-type]
    gone = np.maximum(tables["start"] - tables["end"], 0.0).sum()
    assert fewest == pytest.approx(float(gone), rel=1e-6, abs=1e-6)


# --- names, units, draws -------------------------------------------------------------------------

# Ten methods each, so that fewer examples a method do.
EVERY: dict[str, Any] = {
    "drop": lambda w: difference_flows(w.start, w.end),
    "reverse": lambda w: difference_flows(w.start, w.end, negative="reverse"),
    "rates": lambda w: rate_flows(*w.all),
    "growth": lambda w: growth_flows(w.start, w.end),
    "closed": lambda w: demographic_flows(*w.all),
    "after": lambda w: demographic_flows(*w.all, matching="after"),
    "open": lambda w: demographic_flows(*w.all, system="open"),
    "open-dr": lambda w: demographic_flows(*w.all, system="open-dr"),
    "independence": lambda w: demographic_flows(*w.all, allocation="independence"),
    "pseudo-bayes": lambda w: pseudo_bayes_flows(*w.all),
}


@settings(max_examples=20)
@pytest.mark.parametrize("method", sorted(EVERY))
@given(world=worlds(zeros=False), data=st.data())
def test_the_order_of_places_does_not_matter(
    method: str, world: World, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(world.places))))
    flows, shuffled = EVERY[method](world), EVERY[method](world.in_order(list(order)))
    labels = {dim: flows[dim] for dim in ("origin", "destination")}
    close(shuffled.sel(labels), flows, scale=1e-3 * float(world.end.max()))


@settings(max_examples=20)
@pytest.mark.parametrize("method", sorted(EVERY))
@given(world=worlds(zeros=False), factor=st.sampled_from([1e-6, 0.125, 3.0, 1e5]))
def test_flows_are_in_the_unit_of_the_stocks(method: str, world: World, factor: float) -> None:
    flows = EVERY[method](world)
    scale = 1e-3 * factor * float(world.end.max())
    close(EVERY[method](world.times(factor)), flows * factor, scale=scale)


@settings(max_examples=20)
@pytest.mark.parametrize("method", sorted(set(EVERY) - {"growth"}))
@given(world=worlds())
def test_an_empty_world_has_no_flows(method: str, world: World) -> None:
    assert (EVERY[method](world.times(0.0)) == 0.0).all()


@given(worlds(vital=False), systems)
def test_nobody_moves_where_no_stock_changes(world: World, system: str) -> None:
    still = World(world.start, world.start, *world.all[2:])
    assert (demographic_flows(*still.all, system=system) == 0.0).all()  # type: ignore[arg-type]


@settings(max_examples=20)
@pytest.mark.parametrize("method", sorted(EVERY))
@given(world=worlds(zeros=False), factors=st.lists(st.floats(0.9, 1.1), min_size=1, max_size=3))
def test_a_draw_among_many_is_what_it_is_alone(
    method: str, world: World, factors: list[float]
) -> None:
    draws = xr.DataArray(factors, dims="draw", coords={"draw": range(10, 10 + len(factors))})
    many = EVERY[method](World(world.start * draws, world.end, world.births, world.deaths))
    assert many.dims == ("draw", "origin", "destination")
    for k, factor in enumerate(factors):
        alone = World(world.start * factor, world.end, world.births, world.deaths)
        close(many[k], EVERY[method](alone), scale=1e-6 * float(world.end.max()))
