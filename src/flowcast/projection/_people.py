"""One step of a population: deaths, moves, births, so that nobody is lost or counted twice.

Rows of a stock are birthplaces, columns places where people live. In a period

1. people die, everywhere at the rate of the place they live in;
2. of those left, some move: of the flow from i to j, a part are people born in j who go back, the
   others are taken from all other birthplaces alike;
3. children are born, and their birthplace is where they are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Step", "find_return_weight", "limit_flows", "move_stock", "return_parts"]

type Floats = NDArray[np.float64]

MOVE_LIMIT: Final = 0.4
"""Share of a place's people who leave in a period, at most."""
RETURN_LIMIT: Final = 0.5
"""Share of those born elsewhere who go back in a period, at most."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a period did to a population: persons, (place,); `flows` (origin, destination)."""

    births: Floats
    deaths: Floats
    flows: Floats

    def after(self, population: Floats) -> Floats:
        """Return the population at the period's end."""
        change = self.births - self.deaths + self.flows.sum(axis=0) - self.flows.sum(axis=1)
        return population + change


def limit_flows(flows: Floats, living: Floats) -> tuple[Floats, int]:
    """Return flows that leave enough people behind, and in how many places they were too many.

    Parameters
    ----------
    flows
        Persons, (origin, destination).
    living
        Persons who did not die in the period, (place,).
    """
    leaving = flows.sum(axis=1)
    most = MOVE_LIMIT * living
    too_many = leaving > most
    factor = np.ones(len(living))
    factor[too_many] = most[too_many] / leaving[too_many]
    over = int(too_many.sum())
    return (flows * factor[:, None] if over else flows), over


def return_parts(
    flows: Floats, stock: Floats, weight: float, factor: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return flows, and the part of each that are people going back to where they were born.

    Parameters
    ----------
    flows
        Persons who would move without the factor, (origin, destination).
    stock
        Persons by birthplace and place.
    weight
        How much likelier a person born in j is to move to j than anybody else.
    factor
        How much likelier still a scenario makes it, (origin, destination): these moves come on top
        (or fall away), the others stay.
    """
    home = stock.T  # (place, birthplace): who in i was born in j
    total = stock.sum(axis=0)[:, None]
    reach = np.maximum(total + (weight - 1.0) * home, 1e-12)
    most = RETURN_LIMIT * home
    returning = np.minimum(flows * weight * home / reach, most)
    others = flows - returning
    if factor is not None:
        returning = np.minimum(returning * factor, most)
    # Of each birthplace no more than both limits together leave a place.
    rate = (others / np.maximum(total - home, 1e-12)).sum(axis=1)
    others = others * np.minimum(1.0, MOVE_LIMIT / np.maximum(rate, 1e-300))[:, None]
    return others + returning, returning


def move_stock(stock: Floats, flows: Floats, returning: Floats) -> Floats:
    """Return the stock after moves, (birthplace, place).

    Parameters
    ----------
    stock
        Persons by birthplace and place, after deaths.
    flows, returning
        Persons, (origin, destination), as `return_parts` gives them.
    """
    home = stock.T
    rest = np.maximum(stock.sum(axis=0)[:, None] - home, 1e-12)
    rate = (flows - returning) / rest
    # All who are born in neither end of a move, and in its origin: one product for every b.
    arriving = stock @ rate
    np.fill_diagonal(arriving, returning.sum(axis=0))
    leaving = stock * (rate.sum(axis=1)[None, :] - rate.T) + returning.T
    return stock - leaving + arriving


def find_return_weight(flows: Floats, stock: Floats, share: float) -> float:
    """Return the weight at which this share of all moves are returns; 1 if stocks are too few.

    Examples
    --------
    >>> stock = np.array([[90.0, 10.0], [10.0, 90.0]])
    >>> flows = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> round(find_return_weight(flows, stock, 0.5), 3)
    9.0
    """
    from scipy.optimize import brentq

    def gap(log_weight: float) -> float:
        returning = return_parts(flows, stock, float(np.exp(log_weight)))[1]
        return float(returning.sum() - share * flows.sum())

    low, high = 0.0, float(np.log(1e6))
    if gap(low) >= 0.0 or gap(high) <= 0.0:
        return 1.0 if gap(low) >= 0.0 else 1e6
    return float(np.exp(brentq(gap, low, high, xtol=1e-10)))
