"""Definitions of migration by name: how long a stay must be for a move to count.

``3-months`` and 3 are the same definition. Files, captions and messages use the name, the model
the number.
"""

import re
from typing import Final

from flowcast.errors import UsageError, nearest
from flowcast.vocabulary import PERMANENT_MONTHS, UN_DURATION_MONTHS

__all__ = ["describe_definition", "name_definition", "parse_definition"]

NO_MINIMUM: Final = "no-minimum"
PERMANENT: Final = "permanent"
NAMED: Final = {NO_MINIMUM: 0.0, PERMANENT: PERMANENT_MONTHS}
USUAL: Final = (NO_MINIMUM, "3-months", "6-months", "12-months", PERMANENT)
"""What a name that is misspelt is likely to have meant."""
NUMBER: Final = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?")
IN_MONTHS: Final = re.compile(rf"({NUMBER.pattern})-months?")
ALLOWED: Final = (
    f"a minimum stay of 0 to {UN_DURATION_MONTHS:g} months, or {PERMANENT_MONTHS:g} for permanent; "
    f"by name {', '.join(USUAL)}, or any other N-months up to {UN_DURATION_MONTHS:g}, such as "
    "1.25-months"
)


def parse_definition(definition: float | str) -> float:
    """Return the minimum stay of a definition.

    Parameters
    ----------
    definition
        ``no-minimum``, ``permanent`` or ``N-months`` with N from 0 to 12, fractions allowed; or
        months as a number (text or not): 0 to 12, or 60 for permanent.

    Returns
    -------
    float
        Months; 60 stands for permanent.

    Raises
    ------
    UsageError
        If it is none of these, with the nearest name where there is one.

    Examples
    --------
    >>> [parse_definition(name) for name in ("no-minimum", "1.25-months", "permanent", "6", 12)]
    [0.0, 1.25, 60.0, 6.0, 12.0]
    """
    if not isinstance(definition, str):
        return _checked(float(definition), f"{definition:g} months")
    name = definition.strip().casefold()
    if name in NAMED:
        return NAMED[name]
    if match := IN_MONTHS.fullmatch(name):
        # 60 is a code for what is permanent, not a number of months that is counted.
        months = float(match[1])
        return _checked(months if months <= UN_DURATION_MONTHS else float("nan"), repr(definition))
    try:
        months = float(name)
    except ValueError:
        raise _refused(repr(definition), _nearest_name(name)) from None
    return _checked(months, f"{months:g} months")


def _checked(months: float, found: str) -> float:
    if 0.0 <= months <= UN_DURATION_MONTHS or months == PERMANENT_MONTHS:
        return months + 0.0  # never a negative zero, which would have a name of its own
    raise _refused(found, None)


def _nearest_name(name: str) -> str | None:
    """Return the name that was probably meant; where a number was given, with that number."""
    number = NUMBER.match(name)
    if number is None:
        return nearest(name, USUAL)
    meant = f"{number[0]}-months"
    return nearest(name, [meant]) if float(number[0]) <= UN_DURATION_MONTHS else None


def _refused(found: str, hint: str | None) -> UsageError:
    end = f"; did you mean {hint}?" if hint else ""
    return UsageError(f"(definition) | found {found}; allowed: {ALLOWED}{end}")


def name_definition(months: float) -> str:
    """Return the name of a definition.

    Parameters
    ----------
    months
        Minimum stay: 0 to 12, or 60 for permanent.

    Returns
    -------
    str
        Which `parse_definition` turns into the same number again.

    Raises
    ------
    UsageError
        For other numbers.

    Examples
    --------
    >>> [name_definition(months) for months in (0, 1.25, 12, 60)]
    ['no-minimum', '1.25-months', '12-months', 'permanent']
    """
    known = parse_definition(months)
    for name, value in NAMED.items():
        if known == value:
            return name
    return f"{_write(known)}-months"


def _write(months: float) -> str:
    """Return all digits that tell the number from its neighbours."""
    return repr(float(months)).removesuffix(".0")


def describe_definition(months: float) -> str:
    """Return in words which moves a definition counts.

    Parameters
    ----------
    months
        Minimum stay: 0 to 12, or 60 for permanent.

    Examples
    --------
    >>> describe_definition(3.0)
    'changes of usual residence with a minimum stay of 3 months'
    >>> describe_definition(0.0)
    'changes of usual residence without a minimum stay'
    """
    if months == 0.0:
        return "changes of usual residence without a minimum stay"
    if months == PERMANENT_MONTHS:
        return "permanent changes of usual residence"
    text = f"changes of usual residence with a minimum stay of {_write(float(months))} months"
    return text + (" (United Nations)" if months == UN_DURATION_MONTHS else "")
