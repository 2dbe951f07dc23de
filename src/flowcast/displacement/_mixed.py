"""Gibbs steps of a linear model with effects of units, groups of units and years.

Of row i, of unit u and year t,

    y_i = x_i . coefficient + year_t + sum over groupings of group_g(u) + unit_u + e_i,

e_i normal with precision w_i, years a stationary autoregression, groups and units normal around
zero. Coefficients and years are drawn together with the units and the first grouping integrated
out, then each grouping with the units integrated out, then the units: what hangs on each other is
drawn together.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from flowcast.priors import Prior
from flowcast.projection._autoregression import (
    WIDEST,
    band_precision,
    draw_normal,
    draw_sd,
    draw_slice,
    log_beta,
    log_half_normal,
)

__all__ = [
    "MixedDesign",
    "MixedState",
    "draw_mixed",
    "expected",
    "prior_precision",
    "start_mixed",
]

type Floats = NDArray[np.float64]
type Ints = NDArray[np.intp]


NARROWEST: Final = 1e-4
"""Smallest sd."""
MAX_PHI: Final = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class MixedDesign:
    """Rows, and what they belong to.

    Attributes
    ----------
    x
        (row, coefficient), the intercepts among them.
    coefficient_sd
        Of their priors, normal around zero, (coefficient,).
    year
        Of each row, from 0, (row,).
    n_year
        How many there are.
    unit
        Of each row, (row,).
    groups
        For each grouping the group of each unit, (unit,).
    unit_prior, year_prior
        Half-normal, of the sd of units (and groups), and of a year's innovation.
    phi_prior
        Beta, of how much of a year's effect is there in the next.
    """

    x: Floats
    coefficient_sd: Floats
    year: Ints
    n_year: int
    unit: Ints
    n_unit: int
    groups: tuple[Ints, ...]
    unit_prior: Prior
    year_prior: Prior
    phi_prior: Prior
    full: Floats = field(init=False)
    of_unit: sparse.csr_array = field(init=False)

    def __post_init__(self) -> None:
        """Lay out what is constant: years beside the coefficients, and sums over units."""
        rows = np.arange(len(self.unit))
        years = np.zeros((len(rows), self.n_year))
        years[rows, self.year] = 1.0
        object.__setattr__(self, "full", np.hstack([self.x, years]))
        ones = np.ones(len(rows))
        shape = (self.n_unit, len(rows))
        object.__setattr__(self, "of_unit", sparse.csr_array((ones, (self.unit, rows)), shape))


@dataclass(slots=True)
class MixedState:
    """Where the chain stands."""

    coefficients: Floats
    years: Floats
    groups: list[Floats]
    units: Floats
    unit_sd: float
    group_sds: list[float]
    year_sd: float
    year_phi: float

    def of_units(self, design: MixedDesign) -> Floats:
        """Return what each unit adds, its groups included, (unit,)."""
        total = self.units.copy()
        for group, effects in zip(design.groups, self.groups, strict=True):
            total += effects[group]
        return total


def start_mixed(design: MixedDesign, rng: np.random.Generator) -> MixedState:
    """Return a place to start from, scattered so that chains differ."""
    scatter = np.exp(0.5 * rng.standard_normal(2 + len(design.groups))).tolist()
    return MixedState(
        0.1 * rng.standard_normal(len(design.coefficient_sd)),
        np.zeros(design.n_year),
        [np.zeros(int(group.max()) + 1) for group in design.groups],
        np.zeros(design.n_unit),
        0.5 * scatter[0],
        [0.3 * one for one in scatter[2:]],
        0.1 * scatter[1],
        0.5,
    )


def expected(design: MixedDesign, state: MixedState) -> Floats:
    """Return the mean of each row, (row,)."""
    theta = np.concatenate([state.coefficients, state.years])
    return np.asarray(design.full @ theta + state.of_units(design)[design.unit])


def draw_mixed(
    design: MixedDesign, y: Floats, w: Floats, state: MixedState, rng: np.random.Generator
) -> None:
    """Draw everything once, given responses and their precisions."""
    grouped = state.of_units(design) - state.units
    weight = np.asarray(design.of_unit @ w)
    first = state.groups[0][design.groups[0]] if design.groups else 0.0
    rest = y - (grouped - first)[design.unit]
    theta = _draw_coefficients(design, rest, w, weight, state, rng)
    p = design.x.shape[1]
    state.coefficients, state.years = theta[:p], theta[p:]
    # What is left of each unit's rows for its groups and itself: sums times precision.
    left = np.asarray(design.of_unit @ (w * (y - design.full @ theta))) - weight * grouped
    shrunk = 1.0 / (1.0 + state.unit_sd**2 * weight)
    for k, group in enumerate(design.groups):
        n = len(state.groups[k])
        left += weight * state.groups[k][group]
        precision = np.bincount(group, weight * shrunk, n) + state.group_sds[k] ** -2.0
        mean = np.bincount(group, left * shrunk, n) / precision
        effects = mean + rng.standard_normal(n) / np.sqrt(precision)
        state.groups[k], state.group_sds[k] = _draw_sd(
            effects,
            state.group_sds[k],
            np.bincount(group, weight * shrunk, n),
            np.bincount(group, left * shrunk, n),
            design.unit_prior,
            rng,
        )
        left -= weight * state.groups[k][group]
    precision = weight + state.unit_sd**-2.0
    noise = rng.standard_normal(design.n_unit)
    effects = left / precision + noise / np.sqrt(precision)
    state.units, state.unit_sd = _draw_sd(
        effects, state.unit_sd, weight, left, design.unit_prior, rng
    )
    _draw_year_process(design, state, rng)


def _draw_year_process(design: MixedDesign, state: MixedState, rng: np.random.Generator) -> None:
    """Draw persistence and innovations of years: slices, the years held."""
    years = state.years

    def density(phi: float, sd: float) -> float:
        squares = (1.0 - phi**2) * years[0] ** 2 + ((years[1:] - phi * years[:-1]) ** 2).sum()
        prior = log_beta(design.phi_prior, phi) + log_half_normal(design.year_prior, sd)
        own = 0.5 * np.log1p(-(phi**2)) - len(years) * np.log(sd) - 0.5 * squares / sd**2
        return float(prior + own)

    state.year_phi = draw_slice(
        rng, lambda phi: density(phi, state.year_sd), state.year_phi, width=0.3, low=1e-6,
        high=MAX_PHI,
    )  # fmt: skip
    state.year_sd = draw_slice(
        rng, lambda sd: density(state.year_phi, sd), state.year_sd, width=0.1, low=NARROWEST,
        high=WIDEST,
    )  # fmt: skip


def _draw_sd(
    effects: Floats,
    sd: float,
    precision: Floats,
    pull: Floats,
    prior: Prior,
    rng: np.random.Generator,
) -> tuple[Floats, float]:
    """Draw the sd of effects twice: with the effects held, and with their ratio to it held.

    The first hardly moves where the sd is small, the second where data are many (Yu and Meng 2011,
    doi 10.1198/jcgs.2011.203main). The second moves the effects with it. `precision` and `pull` are
    those of the data about each effect, before its prior.
    """
    held = draw_sd(rng, prior, sd, len(effects), float((effects**2).sum()))
    ratio = effects / held
    own = prior.numbers[0] ** -2.0 + float((precision * ratio**2).sum())
    drawn = float((pull * ratio).sum()) / own + rng.standard_normal() / np.sqrt(own)
    # The sign is of the ratios as well as of the sd: both may turn.
    new = max(abs(drawn), NARROWEST)
    return np.sign(drawn) * ratio * new, new


def _draw_coefficients(
    design: MixedDesign,
    rest: Floats,
    w: Floats,
    weight: Floats,
    state: MixedState,
    rng: np.random.Generator,
) -> Floats:
    """Draw coefficients and years, effects of units and of the first grouping integrated out."""
    weighed = design.full * w[:, None]
    sums = np.asarray(design.of_unit @ weighed)
    pull = np.asarray(design.of_unit @ (w * rest))
    shrunk = 1.0 / (1.0 + state.unit_sd**2 * weight)
    shared = state.unit_sd**2 * shrunk
    precision = design.full.T @ weighed - sums.T @ (shared[:, None] * sums)
    linear = weighed.T @ rest - sums.T @ (shared * pull)
    if design.groups:
        group, n = design.groups[0], len(state.groups[0])
        of_group = sparse.csr_array((shrunk, (group, np.arange(design.n_unit))), (n, design.n_unit))
        beside, own = of_group @ sums, of_group @ weight + state.group_sds[0] ** -2.0
        precision -= beside.T @ (beside / own[:, None])
        linear -= beside.T @ ((of_group @ pull) / own)
    return draw_normal(rng, precision + prior_precision(design, state), linear)


def prior_precision(design: MixedDesign, state: MixedState) -> Floats:
    """Return the precision of coefficients and years before any data."""
    p, n = design.x.shape[1], design.full.shape[1]
    q = np.full((1, n - p), state.year_sd**-2.0)
    q[:, 0] *= 1.0 - state.year_phi**2
    diagonal, band = band_precision(np.array([state.year_phi]), q)
    precision = np.diag(np.concatenate([design.coefficient_sd**-2.0, diagonal[0]]))
    at = np.arange(p, n - 1)
    precision[at, at + 1] = precision[at + 1, at] = band[0]
    return np.asarray(precision)
