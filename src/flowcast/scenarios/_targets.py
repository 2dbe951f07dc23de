"""Whom an entry means: places and corridors, by code, by grouping, or all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from flowcast.errors import InputError
from flowcast.places import CodeKind, convert_code, is_grouping, members, suggest_code
from flowcast.scenarios.spec import EVERYWHERE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Codes",
    "make_codes",
    "pair_faults",
    "place_fault",
    "select_pairs",
    "select_places",
    "spread_pairs",
]

Codes = Callable[[str], frozenset[str]]
"""From a token of a file to the codes of a dataset that it means."""


def place_fault(token: str, codes: str) -> tuple[str, str] | None:
    """Return what is allowed instead of a token, and the nearest; None if it is a place."""
    if token == EVERYWHERE or codes == "declared" or is_grouping(token):
        return None
    try:
        convert_code(token, "alpha3")
    except InputError:
        return 'an ISO 3166 code, a grouping, or "*"', suggest_code(token) or ""
    return None


def pair_faults(token: str, codes: str) -> list[tuple[str, str]]:
    """Return what is wrong with a corridor: what is allowed, and the nearest."""
    sides = token.split("/")
    if len(sides) != 2 or not all(sides):
        return [('origin/destination, such as SYR/DEU or "*/EU27_2020"', "")]
    return [fault for side in sides if (fault := place_fault(side, codes)) is not None]


def make_codes(kind: CodeKind | None) -> Codes:
    """Return the function from tokens to the codes of a dataset of that kind."""

    @cache
    def codes(token: str) -> frozenset[str]:
        if kind is None:
            return frozenset({token})
        if is_grouping(token):
            return frozenset(members(token, kind=kind))
        return frozenset({convert_code(token, kind)})

    return codes


def select_places(
    labels: Sequence[str], tokens: Iterable[str], codes: Codes
) -> "NDArray[np.bool_]":
    """Return which places are meant, shape (place,).

    Examples
    --------
    >>> select_places(["DE", "FR", "US"], ["EU27_2020"], make_codes("alpha2")).tolist()
    [True, True, False]
    """
    import numpy as np

    listed = list(tokens)
    if EVERYWHERE in listed:
        return np.ones(len(labels), dtype=bool)
    wanted = frozenset[str]().union(*(codes(token) for token in listed))
    return np.array([label in wanted for label in labels], dtype=bool)


def select_pairs(
    origins: Sequence[str], destinations: Sequence[str], tokens: Iterable[str], codes: Codes
) -> "NDArray[np.bool_]":
    """Return which corridors are meant, shape (corridor,).

    Examples
    --------
    >>> select_pairs(["DE", "US"], ["US", "DE"], ["*/DE"], make_codes("alpha2")).tolist()
    [False, True]
    """
    import numpy as np

    meant = np.zeros(len(origins), dtype=bool)
    for token in tokens:
        origin, _, destination = token.partition("/")
        meant |= select_places(origins, [origin], codes) & select_places(
            destinations, [destination], codes
        )
    return meant


def spread_pairs(
    origins: "NDArray[np.str_]",
    destinations: "NDArray[np.str_]",
    cells: Mapping[str, Mapping[str, float]],
    codes: Codes,
) -> "NDArray[np.float64]":
    """Return the value that a matrix has for each corridor, the last of several; NaN for none.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = np.array(["DE", "US"]), np.array(["US", "DE"])
    >>> spread_pairs(*pairs, {"*": {"DE": 0.5}}, make_codes("alpha2")).tolist()
    [nan, 0.5]
    """
    import numpy as np

    found = np.full(len(origins), np.nan)
    for origin, inner in cells.items():
        rows = select_places(origins.tolist(), [origin], codes).nonzero()[0]
        for destination, value in inner.items():
            if destination != EVERYWHERE:
                here = rows[np.isin(destinations[rows], list(codes(destination)))]
            else:
                here = rows
            found[here] = value
    return found
