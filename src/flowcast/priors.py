"""Priors as plain data: a shape and its numbers, and the elicited ones by name.

Kept apart from PyMC, so that a model file can be checked in a moment. The translation into PyMC is
in `flowcast.model.build`, and drawing from a prior (for simulated worlds) is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flowcast.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ELICITED", "PRIOR_SHAPES", "Prior"]

PRIOR_SHAPES: Final[dict[str, tuple[str, ...]]] = {
    "normal": ("mean", "sd"),
    "half_normal": ("sd",),
    "half_t": ("nu", "scale"),
    "log_normal": ("log_median", "log_sd"),
    "beta": ("alpha", "beta"),
    "gamma": ("shape", "rate"),
    "exponential": ("rate",),
    "positive_normal": ("mean", "sd"),
    "precision_gamma": ("shape", "rate"),
}
"""Shapes and what their numbers mean. `positive_normal` is a normal cut off at zero;
`precision_gamma` is the prior of an sd whose inverse square has a Gamma distribution."""

_MAY_BE_NEGATIVE = {"mean", "log_median"}


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior distribution: its shape, and its numbers in the order of `PRIOR_SHAPES`.

    Examples
    --------
    >>> Prior.make("normal", [0.7, 0.3])
    normal(mean=0.7, sd=0.3)
    """

    shape: str
    numbers: tuple[float, ...]
    source: str = field(default="", compare=False)

    @classmethod
    def make(cls, shape: str, numbers: object, source: str = "") -> "Prior":
        """Check and build a prior.

        Raises
        ------
        ValueError
            Naming what was found, what is allowed and the nearest shape.
        """
        if shape not in PRIOR_SHAPES:
            also = did_you_mean(shape, PRIOR_SHAPES)
            raise ValueError(f"unknown prior '{shape}'; allowed: {', '.join(PRIOR_SHAPES)}{also}")
        names = PRIOR_SHAPES[shape]
        listed = list(numbers) if isinstance(numbers, Sequence) else [numbers]
        if len(listed) != len(names):
            raise ValueError(f"{shape} takes {len(names)} numbers ({', '.join(names)})")
        values: list[float] = []
        for name, number in zip(names, listed, strict=True):
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise ValueError(f"{shape} {name}: found {number!r}, allowed: a number")
            if name not in _MAY_BE_NEGATIVE and not number > 0:
                raise ValueError(f"{shape} {name}: found {number!r}, allowed: above 0")
            values.append(float(number))
        return cls(shape, tuple(values), source)

    def draw(self, rng: "np.random.Generator", size: int | None = None) -> "NDArray[Any]":
        """Draw from the prior.

        Parameters
        ----------
        rng
            Source of randomness.
        size
            Number of draws; None for one.

        Returns
        -------
        ndarray, shape (size,) or ()
        """
        import numpy as np

        drawn = np.asarray(self._distribution().rvs(size=size, random_state=rng))
        if self.shape == "precision_gamma":
            return np.asarray(drawn**-0.5)
        return np.abs(drawn) if self.shape == "half_t" else drawn

    def log_density(self, value: "NDArray[Any]") -> "NDArray[np.float64]":
        """Return the log density at values of the parameter on its own scale.

        Parameters
        ----------
        value
            Any shape; within the prior's support.

        Returns
        -------
        ndarray
            Shape of `value`, normalised.

        Examples
        --------
        >>> import numpy as np
        >>> Prior.make("exponential", 2.0).log_density(np.array([0.0, 1.0])).round(3).tolist()
        [0.693, -1.307]
        """
        import numpy as np

        value = np.asarray(value, dtype=np.float64)
        if self.shape == "precision_gamma":  # of v**-2, times the slope of that
            density = self._distribution().logpdf(value**-2.0)
            return np.asarray(density + np.log(2.0) - 3.0 * np.log(value))
        both_sides = np.log(2.0) if self.shape == "half_t" else 0.0
        return np.asarray(self._distribution().logpdf(value) + both_sides)

    def quantile(self, probability: "ArrayLike") -> "NDArray[np.float64]":
        """Return quantiles, in the shape of the probabilities.

        Examples
        --------
        >>> Prior.make("log_normal", [0.0, 0.3]).quantile([0.5]).tolist()
        [1.0]
        """
        import numpy as np

        at = np.asarray(probability, dtype=np.float64)
        if self.shape == "precision_gamma":
            return np.asarray(self._distribution().ppf(1.0 - at) ** -0.5)
        # The two sides of a t folded at zero are one.
        return np.asarray(
            self._distribution().ppf((1.0 + at) / 2 if self.shape == "half_t" else at)
        )

    def _distribution(self) -> Any:  # noqa: ANN401  # scipy publishes no types
        """Return the prior in scipy; of half_t both sides, of precision_gamma the precision."""
        import numpy as np
        from scipy import stats

        a = self.numbers[0]
        b = self.numbers[-1]
        makers: dict[str, Any] = {
            "normal": lambda: stats.norm(a, b),
            "half_normal": lambda: stats.halfnorm(scale=a),
            "half_t": lambda: stats.t(a, scale=b),
            "log_normal": lambda: stats.lognorm(b, scale=np.exp(a)),
            "beta": lambda: stats.beta(a, b),
            "gamma": lambda: stats.gamma(a, scale=1.0 / b),
            "exponential": lambda: stats.expon(scale=1.0 / a),
            "positive_normal": lambda: stats.truncnorm(-a / b, np.inf, loc=a, scale=b),
            "precision_gamma": lambda: stats.gamma(a, scale=1.0 / b),
        }
        return makers[self.shape]()

    def __repr__(self) -> str:
        names = PRIOR_SHAPES[self.shape]
        inside = ", ".join(f"{n}={v:g}" for n, v in zip(names, self.numbers, strict=True))
        return f"{self.shape}({inside})"


_WISNIOWSKI = "Wiśniowski et al. 2013, doi 10.2478/jos-2013-0041"
_RAYMER = "Raymer et al. 2013, doi 10.1080/01621459.2013.789435"
_OWN_MEDIUM = "own: halfway between the low and high classes, wider than either"
_OWN_UNKNOWN = "own: about mean and sd of an even mixture of the low and high classes"


def _named(name: str, shape: str, numbers: list[float], source: str) -> tuple[str, Prior]:
    return f"elicited.{name}", Prior.make(shape, numbers, source)


ELICITED: Final[dict[str, Prior]] = dict(
    [
        _named("immigration_low", "beta", [57.49, 8.07], _WISNIOWSKI),
        _named("immigration_medium", "beta", [18.0, 5.1], _OWN_MEDIUM),
        _named("immigration_high", "beta", [44.56, 20.89], _WISNIOWSKI),
        _named("immigration_unknown", "beta", [9.0, 2.5], _OWN_UNKNOWN),
        _named("emigration_low", "beta", [44.95, 16.96], _WISNIOWSKI),
        _named("emigration_medium", "beta", [12.0, 8.3], _OWN_MEDIUM),
        _named("emigration_high", "beta", [32.14, 38.52], _WISNIOWSKI),
        _named("emigration_unknown", "beta", [6.0, 4.1], _OWN_UNKNOWN),
        _named("duration_0_to_3", "log_normal", [-1.898, 0.537], _RAYMER),
        _named("duration_3_to_6", "log_normal", [-2.107, 0.617], _RAYMER),
        _named("duration_6_to_12", "log_normal", [-1.257, 0.452], _RAYMER),
        _named("duration_12_to_60", "log_normal", [-0.221, 0.183], _RAYMER),
    ]
)
"""Elicited priors. Shares reported: experts' Beta distributions (Wiśniowski et al. 2013) for the
low and high classes, and our own between them for the others. Duration:
log ratio of the counts under two neighbouring minimum stays; means are the differences of the
factors published by Raymer et al. (2013), the sds (.10, .10, .15, .15) keep each factor near its
elicited spread, and being positive keeps
the factors in order."""
