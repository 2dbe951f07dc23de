"""Controlled rounding: every figure becomes a multiple of a base, and sums still add up."""

from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog

from flowcast.errors import UsageError

__all__ = ["round_controlled"]

SLACK: Final = 1e-9
"""Of the base: a value so near a multiple is one."""


def round_controlled(
    values: ArrayLike, margins: sp.csr_array | ArrayLike, base: float
) -> NDArray[np.float64]:
    """Round values to a multiple of a base next to them, so that their sums are next to theirs.

    Parameters
    ----------
    values
        Persons, shape (cell,): the cells that everything else is a sum of.
    margins
        Which cells each sum has, 0 or 1, shape (margin, cell): totals of rows, of columns, or of
        nested groups of either.
    base
        Persons.

    Returns
    -------
    numpy.ndarray
        Shape (cell,). Multiples stay what they are; of all roundings that keep the margins, one
        that is off by least in sum. Sums of it are the rounded margins, each a multiple next to the
        true sum.

    Raises
    ------
    UsageError
        If the base is not positive, or no such rounding is found, which cannot be where margins are
        of the kinds named.

    Notes
    -----
    In a two-way table there always is one (Cox and Ernst 1982; Cox 1987): the linear programme has
    the true table between its bounds, and its vertices are whole.

    References
    ----------
    Cox, L. H. and Ernst, L. R. (1982). Controlled rounding. INFOR 20, 423-432.
    https://doi.org/10.1080/03155986.1982.11731877

    Cox, L. H. (1987). A constructive procedure for unbiased controlled rounding. Journal of the
    American Statistical Association 82, 520-524. https://doi.org/10.1080/01621459.1987.10478456

    Examples
    --------
    Each to the nearest, the row would be nothing instead of 16.5:

    >>> round_controlled([4.0, 4.0, 4.0, 4.5], [[1, 1, 1, 1]], base=10).tolist()
    [0.0, 0.0, 0.0, 10.0]
    """
    if not base > 0.0:
        raise UsageError(f"(base) | found {base:g}; allowed: more than 0 persons")
    units = np.asarray(values, dtype=np.float64) / base
    below = np.floor(units + SLACK)
    part = np.clip(units - below, 0.0, 1.0)
    part[part < SLACK] = 0.0
    sums_of = sp.csr_array(margins, dtype=np.float64)
    sums = sums_of @ part
    # A programme over who goes up; the true parts satisfy it, so that there is a solution.
    done = linprog(
        1.0 - 2.0 * part,
        A_ub=sp.vstack([sums_of, -sums_of], format="csr"),
        b_ub=np.concatenate([np.ceil(sums - SLACK), -np.floor(sums + SLACK)]),
        bounds=np.column_stack([np.zeros(len(part)), np.ceil(part)]),
        method="highs-ds",
    )
    up = np.round(done.x) if done.status == 0 else np.full(len(part), np.nan)
    if done.status or np.abs(done.x - up).max(initial=0.0) > 1e-6:
        raise UsageError(
            "(margins) | found sums that cannot all be kept; allowed: totals of rows and of columns"
        )
    return np.asarray((below + up) * base)
