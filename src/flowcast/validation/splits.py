"""Folds of observations: what is held out together, so that nothing held out leaks into the fit."""

from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import UsageError, nearest
from flowcast.observations import Observations

__all__ = ["SCHEMES", "Scheme", "assign_folds", "split_folds"]

Scheme = Literal["random", "reporters", "corridors"]
SCHEMES: Final[tuple[Scheme, ...]] = get_args(Scheme)

NEVER: Final = -1
"""Fold of rows that are always fitted."""
GROUP_NAMES: Final[dict[Scheme, str]] = {
    "random": "figures",
    "reporters": "reporters",
    "corridors": "corridors",
}


def split_folds(
    observations: Observations, *, scheme: Scheme = "random", folds: int = 5, seed: int = 1
) -> Iterator[tuple[str, Observations, Observations]]:
    """Yield folds: every report that can be held out is, in exactly one of them.

    Parameters
    ----------
    observations
        Reports to divide.
    scheme
        What is held out together, at random by `seed`:

        ``"random"``
            single figures, with their vintages, what several sources say of them for the same side,
            and what the other side repeats (`mirror_of`): can the model fill gaps?
        ``"reporters"``
            all that a place reports, as origin and as destination, and what others repeat from it:
            what does the model know of a place that reports nothing?
        ``"corridors"``
            both sides' reports of an origin and a destination in all periods: what does it know of
            a corridor that nobody reports? Totals are always fitted.
    folds
        How many, at least 2.
    seed
        Of the division.

    Yields
    ------
    name : str
        ``"1"``, ``"2"``, ...
    fit, held_out : Observations
        The second has the role ``"held_out"``.

    Raises
    ------
    UsageError
        If the scheme is unknown, or there are more folds than there is to hold out.
    HeldOutError
        If the observations are held out already.

    Examples
    --------
    >>> from flowcast.observations import read_observations
    >>> from flowcast.resources import embedded_path
    >>> observations = read_observations(embedded_path("data", "europe_2024", "observations.csv"))
    >>> [held_out.n for _, _, held_out in split_folds(observations, folds=4)]
    [132, 129, 127, 129]
    """
    fold = assign_folds(observations, scheme=scheme, folds=folds, seed=seed)
    for k in range(folds):
        label = f"fold {k + 1} of {folds}, {scheme}, seed {seed}"
        fit, held_out = observations.divide(fold == k, label)
        yield str(k + 1), fit, held_out


def assign_folds(
    observations: Observations, *, scheme: Scheme = "random", folds: int = 5, seed: int = 1
) -> NDArray[np.int64]:
    """Return the fold of every row, from 0, or -1 where it is always fitted; shape (row,).

    Parameters and faults are those of `split_folds`.
    """
    if scheme not in SCHEMES:
        hint = nearest(str(scheme), SCHEMES)
        raise UsageError(
            f"(scheme) | found {str(scheme)!r}; allowed: {', '.join(SCHEMES)}"
            + (f"; did you mean {hint}?" if hint else "")
        )
    group = GROUPINGS[scheme](observations)
    held, position = np.unique(group[group != NEVER], return_inverse=True)
    if not 2 <= folds <= len(held):
        raise UsageError(
            f"(folds) | found {folds}; allowed: 2 to {len(held)}, the number of "
            f"{GROUP_NAMES[scheme]} that can be held out"
        )
    order = np.random.default_rng(np.random.SeedSequence([seed, 17])).permutation(len(held))
    out = np.full(observations.n, NEVER)
    out[group != NEVER] = (order % folds)[position]
    return out


def _by_figure(observations: Observations) -> NDArray[np.int64]:
    return observations.units()


def _by_reporter(observations: Observations) -> NDArray[np.int64]:
    """Return a number for each place that reports; a repeated figure is the other side's.

    Where somebody else reports (`reporter` is other), the source stands for a place.
    """
    table = observations.table
    side = table["mirror_of"].fillna(table["reporter"])
    place = table["origin"].where(side == "origin", table["destination"])
    other = side == "other"
    name = ("source " + table["source"]).where(other, place)
    return _number(name)


def _by_corridor(observations: Observations) -> NDArray[np.int64]:
    table = observations.table
    return _number(table["origin"] + " to " + table["destination"])


def _number(name: pd.Series) -> NDArray[np.int64]:
    """Return the place of names in the alphabet, so that the order of rows is of no matter."""
    codes = pd.factorize(name, sort=True)[0]  # -1 where a name is missing
    return np.asarray(codes, dtype=np.int64)


GROUPINGS: Final[dict[Scheme, Callable[[Observations], NDArray[np.int64]]]] = {
    "random": _by_figure,
    "reporters": _by_reporter,
    "corridors": _by_corridor,
}
