"""Folds of observations: what is held out together, so that nothing held out leaks into the fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import UsageError, require_word
from flowcast.observations import Observations
from flowcast.validation.leakage import find_leaks, grouping_kind, tell_place

__all__ = ["SCHEMES", "Fold", "Scheme", "assign_folds", "split_folds"]

Scheme = Literal[
    "random", "reporters", "corridors", "countries", "families", "last-years", "blocks"
]
SCHEMES: Final[tuple[Scheme, ...]] = get_args(Scheme)

Mask = NDArray[np.bool_]

NEVER: Final = -1
"""Fold of rows that are always fitted."""
FOLDS: Final = 5
ORIGINS: Final = 3
"""Folds of last-years unless another number is asked for."""
BLOCK: Final = 3
"""A reporter's periods are divided into so many blocks."""
GROUP_NAMES: Final[dict[Scheme, str]] = {
    "random": "figures",
    "reporters": "reporters",
    "corridors": "corridors",
    "countries": "places",
    "families": "families of sources",
    "last-years": "periods but the first",
    "blocks": "blocks of a reporter's periods",
}


class Fold(NamedTuple):
    """One division of the observations.

    Attributes
    ----------
    name
        ``"1"``, ``"2"``, ...; the family, or the last fitted year, where folds are not at random.
    fit, held_out
        What is fitted, and what is to be predicted; the second has the role ``"held_out"``.
    left_out
        Reports in neither, by the kind of leak (`leakage.LEAKS`) that they would have been;
        ``later`` of those published afterwards, ``unscored`` of families that are not held out.
    ahead
        Periods after the last fitted one that have to be predicted.
    """

    name: str
    fit: Observations
    held_out: Observations
    left_out: Mapping[str, int]
    ahead: int


def split_folds(
    observations: Observations,
    *,
    scheme: Scheme = "random",
    folds: int | None = None,
    seed: int = 1,
    families: Sequence[str] | None = None,
) -> Iterator[Fold]:
    """Yield folds; what would tell a held-out report is left out of the fit.

    Parameters
    ----------
    observations
        Reports to divide.
    scheme
        What is held out together, at random by `seed`:

        ``"random"``
            single figures, with their vintages, what several sources say of them for the same side,
            and what the other side repeats (`mirror_of`): can the model fill gaps?
        ``"blocks"``
            what a place reports in a run of periods, a third of them: can it bridge a gap?
        ``"reporters"``
            all that a place reports, as origin and as destination, and what others repeat from it:
            what does the model know of a place that reports nothing?
        ``"corridors"``
            both sides' reports of an origin and a destination in all periods: what does it know of
            a corridor that nobody reports?
        ``"countries"``
            every report from or about a place, its own and others': what does it know of a place
            that nobody speaks of? Reports between two places are held out with either.
        ``"families"``
            a family of sources, one fold each: do the sources agree?
        ``"last-years"``
            the last period, the last two, ... (rolling origin): how far ahead does it see? Not at
            random.
    folds
        How many: at least 2, or 1 of last-years. By default 5, of last-years 3, of families all.
    seed
        Of the division.
    families
        Families of sources whose reports may be held out; all by default. Reports of others are
        fitted: what does a census add to registers that are withheld? But of countries and
        last-years they would tell what nobody is to know, and are in neither part.

    Yields
    ------
    Fold
        Every report that can be held out is, in exactly one fold; of countries in one or two, and
        of last-years in as many as its period is held out.

    Raises
    ------
    UsageError
        If the scheme or a family is unknown, or there are more folds than there is to hold out.
    HeldOutError
        If the observations are held out already.

    Examples
    --------
    >>> from flowcast.observations import read_observations
    >>> from flowcast.resources import embedded_path
    >>> observations = read_observations(embedded_path("data", "europe_2024", "observations.csv"))
    >>> [fold.held_out.n for fold in split_folds(observations, folds=4)]
    [132, 129, 127, 129]
    """
    require_word("scheme", scheme, SCHEMES)
    table, kind = observations.table, grouping_kind(observations)
    mine = _mine(observations, families)
    for name, everything, ahead in _masks(observations, scheme, folds, seed, families):
        held, unscored = everything & mine, everything & ~mine
        label = f"fold {name}, {scheme}, seed {seed}"
        leaks = find_leaks(table[~everything], table[held], kind=kind)
        leaking = np.isin(np.arange(len(table)), leaks["fitted"])
        if ahead:
            leaking |= _from_the_future(table, held) & ~everything
        kinds = leaks.drop_duplicates("fitted")["kind"].value_counts()
        left_out = {str(k): int(n) for k, n in kinds.items()}
        further = {
            "later": int(leaking.sum()) - sum(left_out.values()),
            "unscored": int(unscored.sum()),
        }
        left_out |= {kind: n for kind, n in further.items() if n}
        leaking |= unscored
        kept = observations.select(~leaking)
        fit, held_out = kept.divide(held[~leaking], label)
        yield Fold(name, fit, held_out, left_out, ahead)


def assign_folds(
    observations: Observations,
    *,
    scheme: Scheme = "random",
    folds: int | None = None,
    seed: int = 1,
    families: Sequence[str] | None = None,
) -> NDArray[np.int64]:
    """Return the fold of every row, from 0, or -1 where it is always fitted; shape (row,).

    Parameters and faults are those of `split_folds`, but a scheme whose folds share reports
    (countries, last-years) is refused.
    """
    require_word("scheme", scheme, SCHEMES)
    if scheme not in GROUPINGS:
        raise UsageError(f"(scheme) | found {scheme}; allowed: {', '.join(GROUPINGS)}")
    group = np.where(_mine(observations, families), GROUPINGS[scheme](observations), NEVER)
    held, position = np.unique(group[group != NEVER], return_inverse=True)
    wanted = _number_of_folds(scheme, folds, len(held))
    out = np.full(observations.n, NEVER)
    out[group != NEVER] = _deal(len(held), wanted, seed)[position]
    return out


def _mine(observations: Observations, families: Sequence[str] | None) -> Mask:
    """Return which rows may be held out."""
    family = observations.table["family"]
    if families is None:
        return np.ones(len(family), dtype=bool)
    for name in families:
        require_word("families", name, sorted(family.unique()))
    return np.asarray(family.isin(list(families)))


def _deal(n: int, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each of n things, at random and of even size, (thing,)."""
    order = np.random.default_rng(np.random.SeedSequence([seed, 17])).permutation(n)
    return np.asarray(order % folds, dtype=np.int64)


def _number_of_folds(scheme: Scheme, folds: int | None, most: int) -> int:
    """Return how many folds there are of so many groups.

    Raises
    ------
    UsageError
        If there cannot be so many.
    """
    least = 1 if scheme == "last-years" else 2
    usual = {"last-years": min(ORIGINS, most), "families": most}.get(scheme, FOLDS)
    wanted = usual if folds is None else folds
    if not least <= wanted <= most:
        raise UsageError(
            f"(folds) | found {wanted}; allowed: {least} to {most}, the number of "
            f"{GROUP_NAMES[scheme]} that can be held out"
        )
    return wanted


def _masks(
    observations: Observations,
    scheme: Scheme,
    folds: int | None,
    seed: int,
    families: Sequence[str] | None,
) -> Iterator[tuple[str, Mask, int]]:
    """Yield the name of each fold, the rows not fitted, and how many periods lie ahead."""
    observations.require_fit()
    if scheme == "last-years":
        yield from _last_years(observations, folds)
    elif scheme == "countries":
        yield from _countries(observations, folds, seed)
    elif scheme == "families":
        family = observations.table["family"]
        _number_of_folds(scheme, folds, family.nunique())
        for name in sorted(family.unique() if families is None else set(families)):
            yield str(name), (family == name).to_numpy(), 0
    else:
        fold = assign_folds(observations, scheme=scheme, folds=folds, seed=seed, families=families)
        for k in range(fold.max() + 1):
            yield str(k + 1), fold == k, 0


def _last_years(observations: Observations, folds: int | None) -> Iterator[tuple[str, Mask, int]]:
    table = observations.table
    starts = _periods(table)
    wanted = _number_of_folds("last-years", folds, len(starts) - 1)
    for ahead in range(1, wanted + 1):
        first = starts[-ahead]
        # What begins before and ends later says something of both, and is a leak by its period.
        held = (table["period_end"] > first).to_numpy()
        yield f"to {(first - pd.Timedelta(days=1)).year}", held, ahead


def _periods(table: pd.DataFrame) -> list[pd.Timestamp]:
    """Return when the periods of single flows begin, sorted; longer figures have none."""
    length = (table["period_end"] - table["period_start"]).dt.days
    single = table[["origin", "destination"]].notna().all(axis=1)
    shortest = length[single].min() if single.any() else length.min()
    return sorted(table.loc[length <= shortest + 3, "period_start"].unique())


def _from_the_future(table: pd.DataFrame, held: Mask) -> Mask:
    """Return which rows were published after the first held-out period, or reach into it."""
    first = table.loc[held, "period_start"].min()
    end = table.loc[held & (table["period_start"] == first), "period_end"].min()
    return np.asarray((table["vintage"] > end).to_numpy())


def _countries(
    observations: Observations, folds: int | None, seed: int
) -> Iterator[tuple[str, Mask, int]]:
    table = observations.table
    places = np.array(observations.places, dtype=object)
    wanted = _number_of_folds("countries", folds, len(places))
    fold = _deal(len(places), wanted, seed)
    for k in range(wanted):
        mine = places[fold == k]
        held = table["origin"].isin(mine) | table["destination"].isin(mine)
        yield str(k + 1), held.to_numpy(), 0


def _by_figure(observations: Observations) -> NDArray[np.int64]:
    return observations.units()


def _by_reporter(observations: Observations) -> NDArray[np.int64]:
    """Return a number for each place that reports; a repeated figure is the other side's."""
    return _number(tell_place(observations.table))


def _by_corridor(observations: Observations) -> NDArray[np.int64]:
    table = observations.table
    return _number(table["origin"] + " to " + table["destination"])


def _by_block(observations: Observations) -> NDArray[np.int64]:
    """Return a number for each run of periods of each reporter."""
    table = observations.table
    starts = pd.Index(_periods(table))
    length = -(-len(starts) // BLOCK)
    at = np.clip(starts.searchsorted(table["period_start"], side="right") - 1, 0, None)
    return _number(tell_place(table) + " " + pd.Series(at // length, table.index).astype(str))


def _number(name: pd.Series) -> NDArray[np.int64]:
    """Return the place of names in the alphabet, so that the order of rows is of no matter."""
    codes = pd.factorize(name, sort=True)[0]  # -1 where a name is missing
    return np.asarray(codes, dtype=np.int64)


GROUPINGS: Final[dict[Scheme, Callable[[Observations], NDArray[np.int64]]]] = {
    "random": _by_figure,
    "reporters": _by_reporter,
    "corridors": _by_corridor,
    "blocks": _by_block,
}
