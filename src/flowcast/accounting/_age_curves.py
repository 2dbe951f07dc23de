"""The curves of model migration schedules on arrays, their slopes, and averages over age groups."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flowcast.accounting._age_groups import AgeGroups

__all__ = ["PARAMETERS", "VARIANTS", "curve", "group_nodes", "slopes", "variant_of"]

FloatArray = NDArray[np.float64]

CHILDHOOD: Final = ("a1", "alpha1")
LABOUR: Final = ("a2", "alpha2", "mu2", "lambda2")
RETIREMENT: Final = ("a3", "alpha3", "mu3", "lambda3")
UPSLOPE: Final = ("a4", "lambda4")
CONSTANT: Final = ("c",)

VARIANTS: Final[Mapping[int, tuple[str, ...]]] = {
    7: CHILDHOOD + LABOUR + CONSTANT,
    9: CHILDHOOD + LABOUR + UPSLOPE + CONSTANT,
    11: CHILDHOOD + LABOUR + RETIREMENT + CONSTANT,
    13: CHILDHOOD + LABOUR + RETIREMENT + UPSLOPE + CONSTANT,
}
"""Parameters of each schedule, by their number."""
PARAMETERS: Final = VARIANTS[13]
NODES_PER_YEAR: Final = 8
LARGEST: Final = 700.0
"""Above it an exponential overflows; the curve is 0 there long before."""


def variant_of(names: Sequence[str]) -> int | None:
    """Return the number of parameters of the schedule with just these, or None.

    Examples
    --------
    >>> variant_of(["c", "a1", "alpha1", "a2", "alpha2", "mu2", "lambda2"])
    7
    """
    same = (n for n, own in VARIANTS.items() if set(own) == set(names) and len(own) == len(names))
    return next(same, None)


def _bump(alpha: FloatArray, mu: FloatArray, lamb: FloatArray, x: FloatArray) -> FloatArray:
    """Return the double exponential ``exp(-alpha (x - mu) - exp(-lambda (x - mu)))``."""
    gone = x - mu
    inner = np.exp(np.minimum(-lamb * gone, LARGEST))
    return np.asarray(np.exp(np.minimum(-alpha * gone - inner, LARGEST)))


def curve(parameters: Mapping[str, FloatArray], x: FloatArray) -> FloatArray:
    """Return the schedule at exact ages.

    Parameters
    ----------
    parameters
        By name, arrays of one shape (...).
    x
        Exact ages, (age,).

    Returns
    -------
    ndarray
        (..., age).
    """
    p = {name: np.asarray(value, dtype=np.float64)[..., None] for name, value in parameters.items()}
    total = p["a1"] * np.exp(-p["alpha1"] * x) + p["c"]
    total = total + p["a2"] * _bump(p["alpha2"], p["mu2"], p["lambda2"], x)
    if "a3" in p:
        total = total + p["a3"] * _bump(p["alpha3"], p["mu3"], p["lambda3"], x)
    if "a4" in p:
        total = total + p["a4"] * np.exp(np.minimum(p["lambda4"] * x, LARGEST))
    return np.asarray(total)


def slopes(names: Sequence[str], theta: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return one schedule at exact ages, and its derivatives by the parameters.

    Parameters
    ----------
    names, theta
        Parameters in order.
    x
        Exact ages, (age,).

    Returns
    -------
    value, slope
        (age,) and (age, parameter).
    """
    p = dict(zip(names, theta, strict=True))
    found: dict[str, FloatArray] = {"c": np.ones_like(x)}
    total = np.full_like(x, p["c"])
    young = np.exp(-p["alpha1"] * x)
    found |= {"a1": young, "alpha1": -p["a1"] * x * young}
    total += p["a1"] * young
    for k in ("2", "3"):
        if f"a{k}" not in p:
            continue
        a, alpha, mu, lamb = (p[f"{name}{k}"] for name in ("a", "alpha", "mu", "lambda"))
        gone = x - mu
        inner = np.exp(np.minimum(-lamb * gone, LARGEST))
        part = np.exp(np.minimum(-alpha * gone - inner, LARGEST))
        high = a * part
        total += high
        found |= {
            f"a{k}": part,
            f"alpha{k}": -gone * high,
            f"mu{k}": (alpha - lamb * inner) * high,
            f"lambda{k}": gone * inner * high,
        }
    if "a4" in p:
        old = np.exp(np.minimum(p["lambda4"] * x, LARGEST))
        total += p["a4"] * old
        found |= {"a4": old, "lambda4": p["a4"] * x * old}
    return total, np.column_stack([found[name] for name in names])


def group_nodes(groups: AgeGroups, per_year: int = NODES_PER_YEAR) -> tuple[FloatArray, FloatArray]:
    """Return exact ages and weights by which a curve is averaged over each group.

    Gauss-Legendre quadrature on every year of age. With 8 ages a year the average of a labour force
    curve over a year is right to 1e-9 of its height if lambda is 2, to 1e-13 if it is 1 or less.

    Parameters
    ----------
    groups
        Age groups.
    per_year
        Ages in each year.

    Returns
    -------
    x, weight
        (node,) and (group, node): the average over a group is its row times the curve at `x`.
    """
    point, mass = np.polynomial.legendre.leggauss(per_year)
    ages, rows = [], []
    for k, (low, high) in enumerate(zip(groups.lower, groups.upper, strict=True)):
        edges = np.linspace(low, high, max(1, int(np.ceil(high - low))) + 1)
        half = np.diff(edges)[:, None] / 2.0
        ages.append((edges[:-1, None] + half * (1.0 + point)).ravel())
        rows.append((np.full(ages[-1].size, k), (half * mass).ravel() / (high - low)))
    x = np.concatenate(ages)
    weight = np.zeros((len(groups.labels), x.size))
    weight[np.concatenate([k for k, _ in rows]), np.arange(x.size)] = np.concatenate(
        [w for _, w in rows]
    )
    return x, weight
