"""Flows and populations to come, draw by draw, of several scenarios side by side.

A draw of the process, its innovations and its people are the same in every scenario: scenarios
differ by what they change. Innovations hang on the seed, the draw and the period alone, so that any
block of draws can be made again, by anybody, in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flowcast.projection._autoregression import draw_below
from flowcast.projection._people import (
    Step,
    find_return_weight,
    limit_flows,
    move_stock,
    return_parts,
)
from flowcast.projection._shifts import Shifts

if TYPE_CHECKING:
    from flowcast.projection.process import FlowProcess
    from flowcast.projection.start import ProjectionStart

__all__ = ["Offset", "Path", "simulate_draw"]

type Floats = NDArray[np.float64]

STREAM: Final = 21
MAX_LOG_RATE: Final = 0.0
"""Out-rates a person and year are below one."""


@dataclass(frozen=True, slots=True)
class Offset:
    """By how many draws each part of a draw is set off from the draw's own number.

    Two projections that differ by the offset of a part share all the others, draw by draw: what
    they have in common is due to what they share (`flowcast.projection.variance`).

    Attributes
    ----------
    parameters
        Of the draw of the process; it goes round at the last one.
    innovations, drivers
        Of the draw of innovations, and of uncertain drivers: there are always further ones.
    """

    parameters: int = 0
    innovations: int = 0
    drivers: int = 0


@dataclass(slots=True)
class Path:
    """One draw of one scenario, filled as it goes.

    Persons; (origin, destination, period), (place, period), and (place, date) with one date more
    than periods. Where birthplaces are known: `stock` at the end, (birthplace, place), and those
    born where they live, `natives` (place, date).
    """

    flows: NDArray[np.float32]
    births: Floats
    deaths: Floats
    immigration: Floats
    emigration: Floats
    population: Floats
    natives: Floats | None
    stock: Floats | None = None
    limited: int = 0


@dataclass(frozen=True, slots=True)
class _Draw:
    """One draw of the process without drivers.

    Effects of drivers, (leaving) and (arriving); logs of out-rates, (place, period), and shares,
    (corridor, period); how much likelier a move is that goes back to where one was born.
    """

    leaving: Floats
    arriving: Floats
    out: Floats
    share: Floats
    return_weight: float


def simulate_draw(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenarios: Mapping[str, Shifts],
    draw: int,
    seed: int,
    *,
    at: int | None = None,
    offset: Offset = Offset(),  # frozen
) -> dict[str, Path]:
    """Return one draw of every scenario.

    Parameters
    ----------
    process
        Its draws are used again from the first where more are wanted.
    start
        People and rates.
    scenarios
        What each changes.
    draw
        Number of the draw.
    seed
        Of the innovations.
    at
        Which of the shifts' draws is meant, where they hold a block; that of the draw's number if
        None.
    offset
        Which draw each part is taken from.
    """
    parameters = (draw + offset.parameters) % process.n_draws
    innovations = draw + offset.innovations
    one = _autonomous(process, start, parameters, seed, innovations)
    chosen = draw if at is None else at
    return {
        name: _follow(process, start, one, shifts, chosen) for name, shifts in scenarios.items()
    }


def _autonomous(
    process: "FlowProcess", start: "ProjectionStart", k: int, seed: int, draw: int
) -> _Draw:
    """Return what a draw of the process does by itself, whatever the drivers."""
    data, n_period = process.posterior, len(start.periods)
    own = {str(name): data[name].to_numpy()[k].astype(np.float64) for name in _USED}
    panels = {}
    one = np.zeros(1, dtype=np.intp)
    classes, groups = data["class_of"].to_numpy(), data["shared_of"].to_numpy()
    kinds = data["kind_of"].to_numpy()
    for number, (name, class_of, group_of, kind_of) in enumerate(
        (
            ("out", one, np.zeros(data.sizes["origin_place"], dtype=np.intp), one),
            ("share", classes, groups, kinds),
        )
    ):
        # Each panel has numbers of its own: a later end changes nothing before it.
        rng = np.random.default_rng([seed, STREAM, draw, number])
        mean, z = own[f"{name}_mean"], own[f"{name}_deviation"]
        phi = np.atleast_1d(own[f"{name}_phi"])[class_of]
        shared = np.atleast_1d(own[f"{name}_shared"])
        shared_phi, shared_sd = (
            np.atleast_1d(own[f"{name}_shared_{part}"])[kind_of] for part in ("phi", "sd")
        )
        bound = np.atleast_1d(data[f"{name}_bound"].to_numpy())[class_of]
        degrees = float(own[f"{name}_degrees"])
        paths = np.empty((len(mean), n_period))
        for t in range(n_period):
            spread = rng.chisquare(degrees, len(z)) / degrees
            sd = own[f"{name}_sd"] / np.sqrt(spread)
            shared = shared_phi * shared + shared_sd * rng.standard_normal(len(shared))
            middle = mean + phi * z + shared[group_of]
            # A share is below one, whatever its innovation; so is a rate a person and year.
            upper = np.minimum(bound, np.maximum(-middle, 0.0))
            innovation = np.maximum(draw_below(rng, np.zeros(len(z)), sd, upper), -bound)
            z = phi * z + innovation
            paths[:, t] = middle + innovation
        panels[name] = paths
    weight = 1.0
    if start.stock is not None:
        population = start.population.to_numpy()
        first = _flows(panels["out"][:, 0], panels["share"][:, 0], population * start.length)
        weight = find_return_weight(first, start.stock.to_numpy(), process.spec.return_share)
    return _Draw(
        own["effect_leaving"], own["effect_arriving"], panels["out"], panels["share"], weight
    )


def _flows(
    log_rate: Floats, log_share: Floats, person_years: Floats, pull: Floats | None = None
) -> Floats:
    """Return flows (origin, destination) from out-rates and shares, which need not add up to 1."""
    n = len(log_rate)
    shares = np.full((n, n), -np.inf)
    shares[~np.eye(n, dtype=bool)] = log_share
    if pull is not None:
        shares += pull[None, :]
    shares = np.exp(shares - shares.max(axis=1, keepdims=True))
    leaving = np.exp(np.minimum(log_rate, MAX_LOG_RATE)) * person_years
    return np.asarray(shares * (leaving / shares.sum(axis=1))[:, None])


_PARTS: Final = ("mean", "deviation", "sd", "phi", "degrees", "shared", "shared_phi", "shared_sd")
_USED: Final = (
    *(f"{panel}_{part}" for panel in ("out", "share") for part in _PARTS),
    "effect_leaving",
    "effect_arriving",
)


def _follow(
    process: "FlowProcess", start: "ProjectionStart", one: _Draw, shifts: Shifts, draw: int
) -> Path:
    """Carry one draw of one scenario from period to period."""
    n, n_period, length = len(process.places), len(start.periods), start.length
    births, deaths = start.birth_rate.to_numpy() * length, start.death_rate.to_numpy() * length
    path = _empty(n, n_period, stocked=start.stock is not None)
    population = start.population.to_numpy().astype(np.float64)
    stock = None if start.stock is None else start.stock.to_numpy().astype(np.float64)
    path.population[:, 0] = population
    if path.natives is not None and stock is not None:
        path.natives[:, 0] = np.diag(stock)
    size = np.log(process.population.to_numpy())
    crowd = list(process.posterior["arriving"].to_numpy()).index("population")
    for t in range(n_period):
        log_rate = one.out[:, t] + _sum(shifts.leaving, one.leaving, draw, t, n)
        pull = _sum(shifts.arriving, one.arriving, draw, t, n)
        pull = pull + one.arriving[crowd] * (np.log(np.maximum(population, 1.0)) - size)
        flows = _flows(log_rate, one.share[:, t], length * population, pull)
        if shifts.between:
            flows *= np.exp(_sum(shifts.between, one.arriving, draw, t, (n, n)))
        if shifts.openness is not None:
            flows *= _of(shifts.openness, draw)[..., t]
        dying = np.minimum(deaths[:, t], 1.0) * population
        born = births[:, t] * population
        if shifts.growth is not None:
            more = population * np.expm1(_of(shifts.growth, draw)[:, t])
            born = born + np.maximum(more, 0.0)
            dying = np.minimum(dying + np.maximum(-more, 0.0), population)
        flows, over = limit_flows(flows, population - dying)
        path.limited += over
        if stock is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                alive = np.where(population > 0, 1.0 - dying / population, 0.0)
            stock = stock * alive[None, :]
            factor = None if shifts.returning is None else _of(shifts.returning, draw)[..., t]
            flows, returning = return_parts(flows, stock, one.return_weight, factor)
            stock = move_stock(stock, flows, returning)
            stock[np.arange(n), np.arange(n)] += born
        step = Step(born, dying, flows)
        population = step.after(population)
        _write(path, t, step, population, stock)
    path.stock = stock
    return path


def _sum(
    parts: tuple[tuple[int, Floats], ...],
    effects: Floats,
    draw: int,
    t: int,
    shape: int | tuple[int, int],
) -> Floats:
    """Return effects times deviations, added up."""
    out = np.zeros(shape)
    for k, values in parts:
        out += effects[k] * _of(values, draw)[..., t]
    return out


def _of(values: Floats, draw: int) -> Floats:
    """Return a draw of a driver; one that is certain has only one."""
    return np.asarray(values[draw % len(values)])


def _empty(n: int, n_period: int, *, stocked: bool) -> Path:
    births, deaths, immigration, emigration = np.empty((4, n, n_period))
    natives = np.empty((n, n_period + 1)) if stocked else None
    flows = np.empty((n, n, n_period), dtype=np.float32)
    population = np.empty((n, n_period + 1))
    return Path(flows, births, deaths, immigration, emigration, population, natives)


def _write(path: Path, t: int, step: Step, population: Floats, stock: Floats | None) -> None:
    path.flows[..., t] = step.flows
    path.births[:, t], path.deaths[:, t] = step.births, step.deaths
    path.emigration[:, t] = step.flows.sum(axis=1)
    path.immigration[:, t] = step.flows.sum(axis=0)
    path.population[:, t + 1] = population
    if path.natives is not None and stock is not None:
        path.natives[:, t + 1] = np.diag(stock)
