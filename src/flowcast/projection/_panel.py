"""One panel of autoregressions with hierarchical means, sampled by Gibbs steps.

For unit u (an origin, or a corridor) of size class c and period t

    x_ut = mean_u + shared_g(u),t + drivers_ut . effect + z_ut
    z_ut = phi_c z_u,t-1 + e_ut,         e_ut ~ Student-t(nu) with scale sd_c sqrt(s_u)
    mean_u ~ N(level_c, tau),    1/s_u ~ Gamma(k/2, k/2)

and `shared` is an autoregression of each group of units, with normal innovations. What is not seen
is drawn with the rest, below a bound where the report says "fewer than". Every step is exact: a
draw from a full conditional, or a slice. Means are integrated out while unseen values and phi are
drawn, since with few periods they hang on each other.

Tau is given, and wide. Classes are made from the units' own sizes, so that how far units of a class
lie apart says how wide the class is: if tau were learned from it, phi would be too (a high phi
would have to spread units that the classes hold together).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flowcast.projection._autoregression import (
    WIDEST,
    band_precision,
    band_times,
    draw_below,
    draw_degrees,
    draw_groups,
    draw_normal,
    draw_sd,
    draw_slice,
    log_beta,
    log_density,
    log_half_normal,
)

if TYPE_CHECKING:
    from flowcast.priors import Prior

__all__ = ["PanelData", "PanelPriors", "PanelState", "sample_panel", "start_panel", "with_values"]

type Floats = NDArray[np.float64]
type Density = Callable[[float, float], float]

MAX_PHI = 0.999


@dataclass(frozen=True, slots=True)
class PanelPriors:
    """Priors of a panel; `effects` in the order of the drivers."""

    phi: "Prior"
    tau: float
    sd: "Prior"
    shared_phi: "Prior"
    shared_sd: "Prior"
    effects: "tuple[Prior, ...]" = ()


@dataclass(frozen=True, slots=True)
class PanelData:
    """What a panel is fitted to.

    Attributes
    ----------
    value
        Logs, (unit, T); NaN where nothing was seen.
    upper
        Where nothing was seen: the bound that the value lies below, or infinity, (unit, T).
    size_class
        Class whose level, phi and sd hold for the unit, (unit,).
    shared
        Group of units that share an effect in every period, (unit,).
    drivers
        What moves the values besides, (unit, T, driver).
    informs
        Units that what is common is learned from, (unit,). Of one that was never seen anything
        would do below its bound: it follows the others, and does not lead them (a cut).
    """

    value: Floats
    upper: Floats
    size_class: NDArray[np.intp]
    shared: NDArray[np.intp]
    drivers: Floats
    informs: NDArray[np.bool_]
    shared_kind: NDArray[np.intp]
    common: tuple[int, ...] = ()

    @property
    def n_class(self) -> int:
        """How many classes there are."""
        return int(self.size_class.max()) + 1

    @property
    def n_shared(self) -> int:
        """How many groups share effects of periods."""
        return len(self.shared_kind)

    @property
    def n_kind(self) -> int:
        """How many kinds of such groups there are."""
        return int(self.shared_kind.max()) + 1


@dataclass(slots=True)
class PanelState:
    """Where the chain stands.

    `x`, `weight` and `deviation` are (unit, T), `mean` and `spread` (unit,); `level`, `phi` and
    `sd` (class,); `shared` (group, T), `shared_phi` and `shared_sd` (kind,); `effects` (driver,).
    """

    x: Floats
    mean: Floats
    level: Floats
    phi: Floats
    sd: Floats
    spread: Floats
    weight: Floats
    shared: Floats
    effects: Floats
    shared_phi: Floats
    shared_sd: Floats
    degrees: float = 5.0
    unit_degrees: float = 5.0
    deviation: Floats = field(default_factory=lambda: np.zeros(0))


def start_panel(data: PanelData, rng: np.random.Generator) -> PanelState:
    """Return a place to start from, scattered a little so that chains differ."""
    n_unit, n_period = data.value.shape
    # Below a bound by about the spread of small values; without a bound, where the unit itself is.
    x = np.where(np.isnan(data.value), data.upper - 1.0, data.value)
    seen = np.isfinite(x)
    middle = float(x[seen].mean()) if seen.any() else 0.0
    count = seen.sum(axis=1)
    mean = np.where(seen, x, 0.0).sum(axis=1) / np.maximum(count, 1)
    mean = np.where(count > 0, mean, middle)
    x = np.where(seen, x, mean[:, None])
    scatter = np.exp(0.2 * rng.standard_normal((2, data.n_class)))
    return PanelState(
        x=x,
        mean=mean,
        level=np.bincount(data.size_class, mean) / np.bincount(data.size_class),
        phi=np.minimum(0.6 * scatter[0], 0.9),
        sd=0.5 * scatter[1],
        spread=np.ones(n_unit),
        weight=np.ones((n_unit, n_period)),
        shared=np.zeros((data.n_shared, n_period)),
        effects=np.zeros(data.drivers.shape[2]),
        shared_phi=np.full(data.n_kind, 0.5),
        shared_sd=np.full(data.n_kind, 0.2),
    )


def with_values(data: PanelData, state: PanelState) -> None:
    """Put what was seen into a state: the data may be another draw of the same history."""
    state.x = np.where(np.isnan(data.value), np.minimum(state.x, data.upper), data.value)


def sample_panel(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> Iterator[PanelState]:
    """Yield the state after each sweep, for ever; it is one object that changes."""
    while True:
        _draw_unseen(data, priors, state, rng)
        _draw_persistence(data, priors, state, rng)
        _draw_means(data, priors, state, rng)
        _draw_shared(data, priors, state, rng)
        _draw_effects(data, priors, state, rng)
        _draw_innovations(data, priors, state, rng)
        yield state


def _precisions(data: PanelData, state: PanelState) -> Floats:
    """Return the precision of each innovation; the first is that of a stationary start."""
    c = data.size_class
    q = state.weight / (state.sd[c] ** 2 * state.spread)[:, None]
    q[:, 0] *= 1.0 - state.phi[c] ** 2
    return q


def _informing(data: PanelData, state: PanelState) -> Floats:
    """Return precisions, none of units that nothing is learned from."""
    return _precisions(data, state) * data.informs[:, None]


def _moved(data: PanelData, state: PanelState) -> Floats:
    """Return what groups and drivers add to each value."""
    moved = state.shared[data.shared]
    return moved + data.drivers @ state.effects if len(state.effects) else moved


def _draw_unseen(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw values that were not seen, period by period, the units' means integrated out."""
    rows = np.isnan(data.value).any(axis=1).nonzero()[0]
    if not len(rows):
        return
    c = data.size_class[rows]
    diagonal, band = band_precision(state.phi[c], _precisions(data, state)[rows])
    weight = band_times(diagonal, band, np.ones_like(diagonal))
    shrink = 1.0 / (priors.tau**-2.0 + weight.sum(axis=1))
    base = (_moved(data, state) + state.level[data.size_class][:, None])[rows]
    r, bound = state.x[rows] - base, data.upper[rows] - base
    unseen = np.isnan(data.value[rows])
    pull = np.einsum("ut,ut->u", weight, r)
    for t in range(r.shape[1]):
        at = unseen[:, t].nonzero()[0]
        w, old = weight[at, t], r[at, t]
        precision = diagonal[at, t] - shrink[at] * w**2
        linear = -shrink[at] * w * (pull[at] - w * old)
        if t > 0:
            linear += band[at, t - 1] * r[at, t - 1]
        if t + 1 < r.shape[1]:
            linear += band[at, t] * r[at, t + 1]
        new = draw_below(rng, -linear / precision, precision**-0.5, bound[at, t])
        pull[at] += w * (new - old)
        r[at, t] = new
    state.x[rows] = np.where(unseen, r + base, state.x[rows])


def _draw_persistence(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw phi of each class, the means of its units integrated out."""
    deviation = state.x - _moved(data, state) - state.level[data.size_class][:, None]
    free = state.weight / (state.sd[data.size_class] ** 2 * state.spread)[:, None]
    for c in range(data.n_class):
        rows = ((data.size_class == c) & data.informs).nonzero()[0]
        r, q = deviation[rows], free[rows]

        def density(phi: float, r: Floats = r, q: Floats = q) -> float:
            return log_beta(priors.phi, phi) + log_density(phi, priors.tau, q, r)

        state.phi[c] = draw_slice(
            rng, density, float(state.phi[c]), width=0.15, low=1e-6, high=MAX_PHI
        )


def _draw_means(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw the mean of each unit, then the level that those of a class lie around."""
    c = data.size_class
    level = state.level[c]
    deviation = state.x - _moved(data, state) - level[:, None]
    diagonal, band = band_precision(state.phi[c], _precisions(data, state))
    weight = band_times(diagonal, band, np.ones_like(diagonal))
    precision = weight.sum(axis=1) + priors.tau**-2.0
    middle = np.einsum("ut,ut->u", weight, deviation) / precision
    state.mean = level + middle + rng.standard_normal(len(middle)) / np.sqrt(precision)
    count = np.maximum(np.bincount(c, data.informs, data.n_class), 1)
    total = np.bincount(c, data.informs * state.mean, data.n_class)
    noise = rng.standard_normal(data.n_class) / np.sqrt(count)
    state.level = total / count + priors.tau * noise


def _draw_shared(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw effects of periods that a group's units share, their persistence and their sd."""
    c = data.size_class
    precision = band_precision(state.phi[c], _informing(data, state))
    deviation = state.x - _moved(data, state) + state.shared[data.shared] - state.mean[:, None]
    own = _own_precision(data, state)
    state.shared = draw_groups(rng, data.shared, data.n_shared, precision, deviation, own)
    n_period = state.shared.shape[1]
    for kind in range(data.n_kind):
        effects = state.shared[data.shared_kind == kind]

        def density(phi: float, sd: float, effects: Floats = effects) -> float:
            prior = log_beta(priors.shared_phi, phi) + log_half_normal(priors.shared_sd, sd)
            innovations = effects[:, 1:] - phi * effects[:, :-1]
            start = (1.0 - phi**2) * (effects[:, 0] ** 2).sum()
            log_det = math.log1p(-(phi**2)) - 2 * n_period * math.log(sd)
            quadratic = ((innovations**2).sum() + start) / sd**2
            return float(prior + 0.5 * (len(effects) * log_det - quadratic))

        phi, sd = float(state.shared_phi[kind]), float(state.shared_sd[kind])

        def of_phi(one: float, sd: float = sd, density: Density = density) -> float:
            return density(one, sd)

        phi = draw_slice(rng, of_phi, phi, width=0.2, low=1e-6, high=MAX_PHI)

        def of_sd(one: float, phi: float = phi, density: Density = density) -> float:
            return density(phi, one)

        state.shared_sd[kind] = draw_slice(rng, of_sd, sd, width=0.1, low=1e-4, high=WIDEST)
        state.shared_phi[kind] = phi


def _own_precision(data: PanelData, state: PanelState) -> tuple[Floats, Floats]:
    """Return the precision of shared effects before any data: diagonal and band, of each group."""
    phi, sd = state.shared_phi[data.shared_kind], state.shared_sd[data.shared_kind]
    q = np.repeat(sd[:, None] ** -2.0, state.shared.shape[1], axis=1)
    q[:, 0] *= 1.0 - phi**2
    return band_precision(phi, q)


def _draw_effects(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw the effects of drivers together: normal priors, so a normal."""
    n = len(state.effects)
    if not n:
        return
    if data.common:
        _trade_effects(data, priors, state, rng)
    c = data.size_class
    diagonal, band = band_precision(state.phi[c], _informing(data, state))
    rest = state.x - state.shared[data.shared] - state.mean[:, None]
    weighed = [band_times(diagonal, band, data.drivers[:, :, k]) for k in range(n)]
    means, sds = np.array([one.numbers for one in priors.effects]).T
    precision = np.diag(sds**-2.0)
    linear = means * sds**-2.0
    for k in range(n):
        linear[k] += (weighed[k] * rest).sum()
        for other in range(n):
            precision[k, other] += (weighed[k] * data.drivers[:, :, other]).sum()
    state.effects = draw_normal(rng, precision, linear)


def _trade_effects(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw effects of drivers that a group has in common, what they add to its values held fixed.

    What such a driver adds can hardly be told from the group's own effects. This step moves one
    against the other, which no step that holds one of them fixed can do (Yu and Meng 2011, doi
    10.1198/jcgs.2011.203main).
    """
    at = list(data.common)
    first = np.unique(data.shared, return_index=True)[1]
    drivers = data.drivers[first][:, :, at]
    together = state.shared + drivers @ state.effects[at]
    own = _own_precision(data, state)
    weighed = [band_times(*own, drivers[:, :, k]) for k in range(len(at))]
    means, sds = np.array([priors.effects[k].numbers for k in at]).T
    precision = np.diag(sds**-2.0) + [
        [(w * drivers[:, :, j]).sum() for j in range(len(at))] for w in weighed
    ]
    linear = means * sds**-2.0 + [(w * together).sum() for w in weighed]
    state.effects[at] = draw_normal(rng, precision, linear)
    state.shared = together - drivers @ state.effects[at]


def _draw_innovations(
    data: PanelData, priors: PanelPriors, state: PanelState, rng: np.random.Generator
) -> None:
    """Draw the scales of innovations: of periods, of units and of classes, and both tails."""
    c = data.size_class
    z = state.x - _moved(data, state) - state.mean[:, None]
    state.deviation = z
    phi = state.phi[c][:, None]
    e = z.copy()
    e[:, 1:] -= phi * z[:, :-1]
    e[:, :1] *= np.sqrt(1.0 - phi**2)
    squares = e**2
    n_period = z.shape[1]
    scaled = squares / (state.sd[c] ** 2 * state.spread)[:, None]
    # Tails are drawn with the scales integrated out: given them they would hardly move.
    state.degrees = draw_degrees(rng, state.degrees, 1, scaled[data.informs].ravel())
    state.weight = rng.gamma((state.degrees + 1) / 2, size=z.shape) * 2 / (state.degrees + scaled)
    squares = (state.weight * squares).sum(axis=1)
    within = squares / state.sd[c] ** 2
    state.unit_degrees = draw_degrees(rng, state.unit_degrees, n_period, within[data.informs])
    trust = rng.gamma((state.unit_degrees + n_period) / 2, size=len(z)) * 2
    # A unit that was never seen has the scale of its class: a draw from the scales' long tail would
    # now and then send a corridor that nobody takes to the top.
    state.spread = np.where(data.informs, (state.unit_degrees + within) / trust, 1.0)
    total = np.bincount(c, data.informs * squares / state.spread, data.n_class)
    count = np.bincount(c, data.informs, data.n_class) * n_period
    for k in range(data.n_class):
        state.sd[k] = draw_sd(rng, priors.sd, float(state.sd[k]), float(count[k]), total[k])
