"""By which definition two tables count moves, that it is one, and that each cell is there once."""

import pandas as pd

from flowcast.definitions import name_definition, parse_definition
from flowcast.errors import UsageError
from flowcast.vocabulary import (
    BENCHMARKED_COLUMN,
    DEFINITION_COLUMN,
    ESTIMATE_COLUMNS,
    UN_DURATION_MONTHS,
)

__all__ = ["require_one_definition", "require_one_version"]


def require_one_definition(
    a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str]
) -> tuple[str | None, str | None]:
    """Return the definitions of two tables, and refuse to mix unlike ones.

    Parameters
    ----------
    a, b
        Estimate tables, or published ones.
    names
        What messages call them.

    Returns
    -------
    tuple of str or None
        Such as ``3-months``, of a and of b; None where a table does not say.

    Raises
    ------
    UsageError
        If the tables, or the rows of one of them, are known to have different definitions.

    Examples
    --------
    >>> table = pd.DataFrame({"median": [1.0], "definition": ["3-months"]})
    >>> require_one_definition(table, table[["median"]], ("a", "b"))
    ('3-months', None)
    """
    found = [_definitions_of(frame) for frame in (a, b)]
    if len({one for own in found for one in own}) > 1:
        said = ", ".join(
            f"{' and '.join(own)} in {name}" for own, name in zip(found, names, strict=True) if own
        )
        raise UsageError(
            f"(definition) | found {said}; allowed: tables of one definition, such as flowcast "
            "table RUN --definition D writes"
        )
    first, second = (own[0] if own else None for own in found)
    return first, second


def require_one_version(a: pd.DataFrame, b: pd.DataFrame, names: tuple[str, str]) -> None:
    """Refuse a table that has estimates as they are beside benchmarked ones.

    Raises
    ------
    UsageError
        If one of the tables has both.

    Examples
    --------
    >>> free = pd.DataFrame({"benchmarked": ["False"]})
    >>> require_one_version(free, pd.DataFrame({"benchmarked": ["True"]}), ("a", "b"))
    """
    both = [
        name
        for frame, name in zip((a, b), names, strict=True)
        if BENCHMARKED_COLUMN in frame and frame[BENCHMARKED_COLUMN].nunique() > 1
    ]
    if both:
        raise UsageError(
            f"(benchmarked) | found both in {' and '.join(both)}; allowed: rows in which "
            f"{BENCHMARKED_COLUMN} is True, or those in which it is False"
        )


def _definitions_of(frame: pd.DataFrame) -> list[str]:
    """Return the names of all definitions that a table is known to have."""
    if DEFINITION_COLUMN in frame:
        return sorted({_name(word) for word in frame[DEFINITION_COLUMN].dropna().unique()})
    if "definition_months" in frame.attrs:
        return [name_definition(frame.attrs["definition_months"])]
    # Whoever has all other columns of the contract would have this one, were it needed.
    is_estimates = set(ESTIMATE_COLUMNS) <= set(frame.columns)
    return [name_definition(UN_DURATION_MONTHS)] if is_estimates else []


def _name(word: object) -> str:
    """Return the usual name; a word of somebody else's stays, and equals nothing but itself."""
    try:
        months = parse_definition(word if isinstance(word, int | float) else str(word))
    except UsageError:
        return str(word)
    return name_definition(months)
