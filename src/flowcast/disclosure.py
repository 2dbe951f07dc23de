"""What may be shown of small numbers of people: suppression and rounding, on arrays.

A figure for a few people in a place and year can point at them, and a forecast for a few can be
used against them. NumPy only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import UsageError

__all__ = ["DisclosurePolicy", "protect"]


@dataclass(frozen=True, slots=True)
class DisclosurePolicy:
    """What is shown.

    Attributes
    ----------
    smallest
        Figures below this many persons are not shown, zero included: that nobody is expected tells
        as much as that somebody is.
    digits
        Significant digits of those that are shown.
    """

    smallest: float = 50.0
    digits: int = 2

    def __post_init__(self) -> None:
        """Refuse a policy that protects nobody, or shows nothing.

        Raises
        ------
        UsageError
            If `smallest` is negative or no number, or `digits` below 1.
        """
        if not (np.isfinite(self.smallest) and self.smallest >= 0) or self.digits < 1:
            raise UsageError(
                f"(policy) | found smallest {self.smallest:g}, {self.digits} digits; allowed: 0 or "
                "more persons, 1 digit or more"
            )


def protect(values: NDArray[np.float64], policy: DisclosurePolicy) -> NDArray[np.float64]:
    """Return figures as they may be shown: rounded, NaN where they are suppressed.

    Parameters
    ----------
    values
        Persons, any shape.
    policy
        What is shown.

    Returns
    -------
    ndarray, of the same shape
        No figure that is shown is below ``policy.smallest``.

    Examples
    --------
    >>> protect(np.array([0.0, 49.0, 51.0, 12345.0]), DisclosurePolicy()).tolist()
    [nan, nan, 51.0, 12000.0]
    """
    given = np.asarray(values, dtype=np.float64)
    shown = np.where(given >= policy.smallest, given, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.floor(np.log10(shown))
    unit = 10.0 ** (np.where(np.isfinite(order), order, 0.0) - policy.digits + 1)
    rounded = np.round(shown / unit) * unit
    return np.asarray(np.where(rounded < policy.smallest, policy.smallest, rounded))
