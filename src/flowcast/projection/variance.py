"""What the width of a projection comes from: parameters, innovations, drivers, scenarios."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import factorial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.projection._path_measures import blocks_of, days_of, outcomes, require_measures
from flowcast.projection.projecting import baseline_of, project_block
from flowcast.projection.simulation import Offset
from flowcast.scenarios import apply_scenario
from flowcast.scenarios.composition import spec_of
from flowcast.scenarios.loading import ResolvedScenario
from flowcast.scenarios.spec import Scenario

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from flowcast.projection.process import FlowProcess
    from flowcast.projection.start import ProjectionStart

__all__ = ["PARTS", "shapley_weights", "split_variance"]

type Floats = NDArray[np.float64]
type Group = frozenset[str]

PARTS: Final = ("parameters", "innovations", "drivers", "scenario")
"""What varies from draw to draw, and the choice among the scenarios."""
GROUPS: Final = 10
"""Of draws, each left out once: how sure the shares are."""
MIN_DRAWS: Final = 2 * GROUPS


def split_variance(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenarios: Sequence[ResolvedScenario | Scenario],
    *,
    baseline: "xr.Dataset | None" = None,
    history: "xr.Dataset | None" = None,
    draws: int | None = None,
    seed: int = 1,
    measures: Sequence[str] = ("immigration", "emigration", "net"),
    logs: bool = False,
) -> "pd.DataFrame":
    """Return how much of the variance of a projection each of its parts accounts for.

    The parts are the draw of the process (`parameters`: what the history leaves open), what happens
    by itself in each period (`innovations`), uncertain values of drivers (`drivers`), and the
    choice among the scenarios, each as likely as the others (`scenario`). Shares are Shapley
    effects: the part of the variance that a part explains, averaged over all orders in which the
    parts could become known. They add up to one however the parts act upon each other. The
    variance explained by some parts is the covariance of two projections that share these and
    nothing else.

    Parameters
    ----------
    process, start, scenarios, baseline, history, seed
        As for `flowcast.projection.project`.
    draws
        Of each projection, no more than the process has; all of those if None. There are seven
        projections where drivers are uncertain, and three where they are not.
    measures
        Of places: ``"immigration"``, ``"emigration"``, ``"net"``, ``"population"``.
    logs
        Whether the variance meant is that of the log of one and the measure, so that a few
        enormous draws do not decide; not for net migration.

    Returns
    -------
    pandas.DataFrame
        One row a place, period, measure and part: `place, period_start, period_end, measure, part`,
        `share` and its standard error `se` (groups of draws left out one by one), `alone`, the
        share explained by knowing this part only (Sobol's index of first order), and `sd` of the
        measure. Shares are NaN where nothing varies. Estimates can lie a little below zero.

    Raises
    ------
    UsageError
        If there are too few draws, or no such measure, or logs of net migration are asked for.
    InputError
        As `flowcast.scenarios.apply_scenario`.

    References
    ----------
    Owen, A. B. (2014). Sobol' indices and Shapley value. SIAM/ASA Journal on Uncertainty
    Quantification 2(1), 245-251.
    """
    require_measures(measures)
    if logs and "net" in measures:
        raise UsageError("(logs) | found net migration, which can be negative; allowed: others")
    n_draws = process.n_draws if draws is None else draws
    if not MIN_DRAWS <= n_draws <= process.n_draws:
        # Draws of the process that come again would pass for others.
        allowed = f"{MIN_DRAWS} or more, and no more than the process has, {process.n_draws}"
        raise UsageError(f"(draws) | found {n_draws}; allowed: {allowed}")
    without = baseline_of(process, start) if baseline is None else baseline
    varying = ["parameters", "innovations"]
    if any(_is_uncertain(one, without, history, seed) for one in scenarios):
        varying.append("drivers")

    def made(shared: Group) -> Floats:
        far = {part: 0 if part in shared else _far(part, n_draws, process) for part in varying}
        parts = []
        for block in blocks_of(n_draws):
            paths = project_block(
                process,
                start,
                scenarios,
                without,
                block,
                history=history,
                seed=seed,
                offset=Offset(**far),
            )
            own = [[outcomes(path, measures) for path in made] for made, *_ in paths.values()]
            parts.append(np.array(own))
        values = np.concatenate(parts, axis=1)
        return np.log1p(values) if logs else values

    base = made(frozenset(varying))
    pieces = _Pieces(base)
    for shared in _subsets(varying):
        if 0 < len(shared) < len(varying):
            pieces.add(shared, made(shared))
    parts = [*varying, *(["scenario"] if len(scenarios) > 1 else [])]
    return _table(process, start, measures, parts, pieces)


def _is_uncertain(
    scenario: ResolvedScenario | Scenario,
    baseline: "xr.Dataset",
    history: "xr.Dataset | None",
    seed: int,
) -> bool:
    spec = spec_of(scenario)
    made = apply_scenario(spec, baseline, draws=range(1), seed=seed, history=history)
    return any("draw" in one.dims for one in made.data.data_vars.values())


def _far(part: str, draws: int, process: "FlowProcess") -> int:
    """Return an offset at which a part is as good as drawn afresh."""
    # Half of the draws on, each pair would be met twice.
    return max(1, round(0.38 * process.n_draws)) if part == "parameters" else draws


def _subsets(parts: Sequence[str]) -> Iterator[Group]:
    for size in range(len(parts) + 1):
        yield from map(frozenset, combinations(parts, size))


def shapley_weights(n: int, size: int) -> float:
    """Return the weight of what one part adds to `size` others, of `n` parts in all."""
    return factorial(size) * factorial(n - size - 1) / factorial(n)


class _Pieces:
    """Products of deviations whose means are the variances that groups of parts explain."""

    def __init__(self, base: Floats) -> None:
        """Take outcomes (scenario, draw, measure, place, period)."""
        self.centred = base - base.mean(axis=(0, 1), keepdims=True)
        self.total = (self.centred**2).mean(axis=0)
        whole = self.centred.mean(axis=0) ** 2
        self._kept: dict[Group, tuple[Floats, Floats]] = {}
        self._whole = (self.total, whole)
        # How far scenarios lie apart on average; what it is over groups of draws tells its error.
        self._between = (self.centred * self.centred.mean(axis=1, keepdims=True)).mean(axis=0)

    def add(self, shared: Group, other: Floats) -> None:
        """Take a projection that shares some parts with the first and nothing else."""
        own = other - other.mean(axis=(0, 1), keepdims=True)
        same = (self.centred * own).mean(axis=0)
        any_two = self.centred.mean(axis=0) * own.mean(axis=0)
        self._kept[shared] = (same, any_two)

    def explained(self, known: Group, varying: int) -> Floats:
        """Return products (draw, measure, place, period) of a group."""
        inner = known - {"scenario"}
        same = "scenario" in known
        if not inner:
            return self._between if same else np.zeros_like(self._between)
        pair = self._whole if len(inner) == varying else self._kept[inner]
        return pair[0] if same else pair[1]


def _shares(pieces: _Pieces, parts: Sequence[str]) -> dict[str, dict[str, Floats]]:
    """Return `share`, `se` and `alone` of each part, (measure, place, period)."""
    n_varying = len([part for part in parts if part != "scenario"])
    every = np.arange(len(pieces.total))
    left = [every % GROUPS != group for group in range(GROUPS)]
    out = {}
    for part in parts:
        others = [one for one in parts if one != part]
        effect = np.zeros_like(pieces.total)
        for known in _subsets(others):
            gain = pieces.explained(known | {part}, n_varying) - pieces.explained(known, n_varying)
            effect += shapley_weights(len(parts), len(known)) * gain
        again = np.stack([_ratio(effect[kept], pieces.total[kept]) for kept in left])
        out[part] = {
            "share": _ratio(effect, pieces.total),
            "se": np.sqrt((GROUPS - 1) * again.var(axis=0)),
            "alone": _ratio(pieces.explained(frozenset([part]), n_varying), pieces.total),
        }
    return out


def _ratio(products: Floats, total: Floats) -> Floats:
    whole = total.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(whole > 0, products.mean(axis=0) / whole, np.nan))


def _table(
    process: "FlowProcess",
    start: "ProjectionStart",
    measures: Sequence[str],
    parts: Sequence[str],
    pieces: _Pieces,
) -> "pd.DataFrame":
    import pandas as pd

    shares = _shares(pieces, parts)
    sd = np.sqrt(pieces.total.mean(axis=0))
    out = []
    for m, measure in enumerate(measures):
        for t in range(len(start.periods)):
            first, after = days_of(start, measure, t)
            where = {"period_start": first, "period_end": after, "measure": measure}
            for part, own in shares.items():
                numbers = {name: values[m, :, t] for name, values in own.items()}
                rows = {"place": list(process.places), **where, "part": part, **numbers}
                out.append(pd.DataFrame({**rows, "sd": sd[m, :, t]}))
    return pd.concat(out, ignore_index=True)
