"""One move of Hamiltonian Monte Carlo over the hyper-parameters.

Neal (2011), "MCMC using Hamiltonian dynamics" (arXiv:1206.1901). In coordinates in which the
density is nearly a standard normal, a trajectory of about a quarter turn forgets its start.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flowcast.model.coordinates import Coordinates

__all__ = ["mirror_symmetric", "trajectory"]

FloatArray = NDArray[np.float64]

_QUARTER = np.pi / 2.0
_MAX_LEAPFROG = 8


def mirror_symmetric(coordinates: Coordinates) -> Coordinates:
    """Return coordinates in which folded values u and -u are treated alike.

    A chain over standard deviations is one over u with the sign forgotten. That leaves the density
    unchanged only if a move from -u is the mirror image of one from u: folded values must not be
    scaled together with others. So each is whitened by itself, and the others jointly, among them
    what is far from zero or softened: it is taken by its logarithm, not folded.
    """
    root, even = coordinates.root, coordinates.power == 1.0
    folded, powers = coordinates.folded[even], coordinates.folded[~even]
    others = np.setdiff1d(np.arange(len(root)), folded)
    centre, slope = coordinates.centre.copy(), np.ones(len(root))
    slope[powers] = coordinates.power[~even] * centre[powers]
    centre[powers] = np.log(centre[powers]) / coordinates.power[~even]
    soft = coordinates.soft
    centre[soft], slope[soft] = coordinates.logs_of_soft()
    precision = slope[:, None] * np.linalg.inv(root @ root.T) * slope
    out = np.zeros_like(root)
    out[folded, folded] = 1.0 / np.sqrt(np.diag(precision)[folded])
    among = np.ix_(others, others)
    values, vectors = np.linalg.eigh(precision[among])
    out[among] = (vectors / np.sqrt(values)) @ vectors.T
    return replace(
        coordinates, folded=folded, power=coordinates.power[even], centre=centre, root=out,
        soft=soft[:0], scale=coordinates.scale[:0],
    )  # fmt: skip


def trajectory(
    coordinates: Coordinates, x: FloatArray, step: float, rng: np.random.Generator
) -> tuple[FloatArray, float]:
    """Move along one trajectory and accept its end or not.

    Parameters
    ----------
    coordinates
        With the density that is to be left unchanged, from `mirror_symmetric`.
    x
        Where it starts, unconstrained, (dim,).
    step
        Step size; it is varied by up to 40 % either way, as the length is by half.
    rng
        Source of randomness.

    Returns
    -------
    ndarray, float
        The end, or the start where the end was refused; and the probability of acceptance.
    """
    z = coordinates.position(x)
    value, gradient = coordinates.value_grad(z)
    momentum = rng.standard_normal(len(z))
    energy = value - 0.5 * float(momentum @ momentum)
    size, length = step * rng.uniform(0.6, 1.4), _QUARTER * rng.uniform(0.5, 1.5)
    level = rng.random()
    n = int(np.clip(np.rint(length / size), 1, _MAX_LEAPFROG))
    momentum = momentum + 0.5 * size * gradient
    # What overflows on the way is a point to be refused.
    with np.errstate(all="ignore"):
        for k in range(n):
            z = z + size * momentum
            value, gradient = coordinates.value_grad(z)
            if not np.isfinite(value):
                return x, 0.0
            momentum = momentum + (size if k < n - 1 else 0.5 * size) * gradient
        change = value - 0.5 * float(momentum @ momentum) - energy
    probability = float(np.exp(min(change, 0.0))) if np.isfinite(change) else 0.0
    return (coordinates.unconstrained(z) if level < probability else x), probability
