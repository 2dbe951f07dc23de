"""Distributions of uncertain values, and the random numbers that scenarios share.

A scenario draws by inversion: a quantile function applied to uniforms that depend on the seed, the
key of the value and the index of the draw alone. Two scenarios with the same key therefore differ
by their distributions and never by luck.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flowcast.errors import did_you_mean
from flowcast.priors import PRIOR_SHAPES, Prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["SHAPES", "Distribution", "paired_uniforms"]

_BOUNDED: Final[dict[str, tuple[str, ...]]] = {
    "uniform": ("low", "high"),
    "triangular": ("low", "mode", "high"),
}
_OF_PRIORS: Final = (
    "normal",
    "log_normal",
    "positive_normal",
    "half_normal",
    "beta",
    "gamma",
    "exponential",
)
SHAPES: Final[dict[str, tuple[str, ...]]] = {
    **{name: PRIOR_SHAPES[name] for name in _OF_PRIORS},
    **_BOUNDED,
}
"""Shapes of uncertain values and what their numbers mean: some of the priors', and two bounded."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution: its shape, and its numbers in the order of `SHAPES`.

    Examples
    --------
    >>> Distribution.make("triangular", [1, 1.5, 3]).quantile([0.0, 1.0]).tolist()
    [1.0, 3.0]
    >>> Distribution.make("log_normal", [0.0, 0.3])
    log_normal(log_median=0, log_sd=0.3)
    """

    shape: str
    numbers: tuple[float, ...]

    @classmethod
    def make(cls, shape: str, numbers: object) -> "Distribution":
        """Check and build a distribution.

        Raises
        ------
        ValueError
            Naming what was found, what is allowed and the nearest shape.
        """
        if shape not in SHAPES:
            also = did_you_mean(shape, SHAPES)
            raise ValueError(f"unknown distribution '{shape}'; allowed: {', '.join(SHAPES)}{also}")
        if shape not in _BOUNDED:
            return cls(shape, Prior.make(shape, numbers).numbers)
        names = _BOUNDED[shape]
        listed = list(numbers) if isinstance(numbers, Sequence) else [numbers]
        good = [x for x in listed if isinstance(x, int | float) and not isinstance(x, bool)]
        if len(good) != len(names) or len(listed) != len(names):
            raise ValueError(f"{shape} takes {len(names)} numbers ({', '.join(names)})")
        values = tuple(float(x) for x in good)
        if not (sorted(values) == list(values) and values[0] < values[-1]):
            told = ", ".join(f"{x:g}" for x in values)
            raise ValueError(f"{shape}: found {told}, allowed: {' <= '.join(names)}, low < high")
        return cls(shape, values)

    @property
    def plain(self) -> dict[str, list[float]]:
        """As it is written in a file."""
        return {self.shape: list(self.numbers)}

    def quantile(self, probability: "ArrayLike") -> "NDArray[np.float64]":
        """Return quantiles, in the shape of the probabilities."""
        import numpy as np
        from scipy import stats

        if self.shape not in _BOUNDED:
            return Prior(self.shape, self.numbers).quantile(probability)
        low, high = self.numbers[0], self.numbers[-1]
        at = np.asarray(probability, dtype=np.float64)
        if self.shape == "uniform":
            return np.asarray(low + at * (high - low))
        mode = (self.numbers[1] - low) / (high - low)
        return np.asarray(stats.triang(mode, loc=low, scale=high - low).ppf(at))

    def __repr__(self) -> str:
        inside = zip(SHAPES[self.shape], self.numbers, strict=True)
        return f"{self.shape}({', '.join(f'{name}={value:g}' for name, value in inside)})"


def as_distribution(value: Mapping[Any, Any]) -> Distribution:
    """Return a distribution given as ``{shape: [numbers]}``.

    Raises
    ------
    ValueError
        If it is no such mapping, or no distribution.
    """
    if len(value) != 1:
        raise ValueError("a distribution is one shape with its numbers, such as {normal: [0, 1]}")
    ((shape, numbers),) = value.items()
    return Distribution.make(str(shape), numbers)


def paired_uniforms(key: str, draws: int, seed: int) -> "NDArray[np.float64]":
    """Return uniform random numbers that depend on key, seed and index of the draw alone.

    Parameters
    ----------
    key
        Of the uncertain value, such as ``drivers.rain``; with the place, where places differ.
    draws
        How many. The first of them are the same however many there are.
    seed
        Of all randomness of a projection.

    Returns
    -------
    numpy.ndarray, shape (draw,)
        Above 0 and below 1.

    Examples
    --------
    >>> a, b = paired_uniforms("drivers.rain", 2, 1), paired_uniforms("drivers.rain", 5, 1)
    >>> bool((a == b[:2]).all())
    True
    """
    import numpy as np

    words = np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype="<u4")
    numbers = np.random.default_rng([seed, *words.tolist()]).random(draws)
    # A normal has no quantile at 0.
    return np.maximum(numbers, 2.0**-54)
