"""Which driver of a scenario does how much of what it changes."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.projection._path_measures import blocks_of, days_of, outcomes, require_measures
from flowcast.projection._shifts import Shifts, make_shifts
from flowcast.projection.projecting import baseline_of
from flowcast.projection.simulation import simulate_draw
from flowcast.projection.variance import shapley_weights
from flowcast.scenarios import apply_scenario
from flowcast.scenarios.catalogue import DRIVERS
from flowcast.scenarios.composition import spec_of
from flowcast.scenarios.loading import ResolvedScenario
from flowcast.scenarios.spec import Scenario
from flowcast.vocabulary import INTERVAL_KIND

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from flowcast.projection.process import FlowProcess
    from flowcast.projection.start import ProjectionStart

__all__ = ["attribute_change"]

type Floats = NDArray[np.float64]
type Group = frozenset[str]

MAX_DRIVERS: Final = 8
"""Of which all subsets are projected: 256 of them."""
WHOLE: Final = "all"


def attribute_change(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenario: ResolvedScenario | Scenario,
    *,
    baseline: "xr.Dataset | None" = None,
    history: "xr.Dataset | None" = None,
    draws: int = 200,
    seed: int = 1,
    measures: Sequence[str] = ("immigration", "emigration", "net"),
    prob: float = 0.8,
) -> "pd.DataFrame":
    """Return how much each driver of a scenario adds to its difference from the baseline.

    In every draw the drivers are let follow the scenario one after the other, in every order, the
    others staying as in the baseline; a driver's part is what it adds on average over the orders
    (its Shapley value). The parts of a draw add up to the draw's difference exactly.

    Parameters
    ----------
    process, start, baseline, history, seed
        As for `flowcast.projection.project`.
    scenario
        With 8 drivers at most.
    draws
        The same ones for each subset of the drivers, of which there are two to the power of their
        number.
    measures
        Of places: ``"immigration"``, ``"emigration"``, ``"net"``, ``"population"``.
    prob
        Of the equal-tailed credible intervals.

    Returns
    -------
    pandas.DataFrame
        One row a place, period, measure and driver, and one of all of them together (``"all"``):
        `place, period_start, period_end, measure, driver, mean, median, lower, upper, prob, kind`,
        persons. Means add up to that of ``"all"``; medians need not.

    Raises
    ------
    UsageError
        If the scenario changes more drivers than 8, or there is no such measure.
    InputError
        As `flowcast.scenarios.apply_scenario`.

    Notes
    -----
    A driver acts through its effect, which is an association where it was estimated and a draw of
    the prior where it was not. This is arithmetic on the projection, not a finding about causes.

    References
    ----------
    Shapley, L. S. (1953). A value for n-person games. Contributions to the Theory of Games 2,
    307-317.
    """
    require_measures(measures)
    without = baseline_of(process, start) if baseline is None else baseline
    spec = spec_of(scenario)
    names = _changed(apply_scenario(spec, without, draws=range(1), seed=seed, history=history).data,
                     without)  # fmt: skip
    if len(names) > MAX_DRIVERS:
        found = f"{len(names)} drivers that change: {', '.join(names)}"
        raise UsageError(f"({spec.name}) | found {found}; allowed: {MAX_DRIVERS} at most")
    subsets = [frozenset(c) for size in range(len(names) + 1) for c in combinations(names, size)]
    parts = []
    for block in blocks_of(draws):
        data = apply_scenario(spec, without, draws=block, seed=seed, history=history).data
        shifts = {
            _label(kept): make_shifts(process, data, without, start.periods, keep=kept)
            for kept in subsets
        }
        parts.extend(_draw_parts(process, start, shifts, block, seed, names, measures))
    values = np.stack(parts, axis=1)
    return _table(process, start, [*names, WHOLE], values, measures, prob)


def _changed(data: "xr.Dataset", baseline: "xr.Dataset") -> list[str]:
    """Return the drivers that a scenario changes, in the order of the catalogue."""
    out = []
    for name in (name for name in DRIVERS if name in data):
        default = DRIVERS[name].default
        own = data[name]
        before = baseline.get(name, default)
        if before is None or bool((own != before).any()):
            out.append(name)
    return out


def _label(kept: Group) -> str:
    return "+".join(sorted(kept))


def _draw_parts(
    process: "FlowProcess",
    start: "ProjectionStart",
    shifts: dict[str, Shifts],
    block: range,
    seed: int,
    names: Sequence[str],
    measures: Sequence[str],
) -> list[Floats]:
    """Return (driver and all, measure, place, period) of each draw."""
    out = []
    for at, draw in enumerate(block):
        paths = simulate_draw(process, start, shifts, draw, seed, at=at)
        worth = {label: outcomes(path, measures) for label, path in paths.items()}
        rows = []
        for name in names:
            others = [other for other in names if other != name]
            added = np.zeros_like(worth[""])
            for size in range(len(names)):
                for chosen in combinations(others, size):
                    before, after = frozenset(chosen), frozenset([*chosen, name])
                    gain = worth[_label(after)] - worth[_label(before)]
                    added += shapley_weights(len(names), size) * gain
            rows.append(added)
        out.append(np.stack([*rows, worth[_label(frozenset(names))] - worth[""]]))
    return out


def _table(
    process: "FlowProcess",
    start: "ProjectionStart",
    names: Sequence[str],
    values: Floats,
    measures: Sequence[str],
    prob: float,
) -> "pd.DataFrame":
    """Return rows of values (driver, draw, measure, place, period)."""
    import pandas as pd

    ends = [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    out = []
    for m, measure in enumerate(measures):
        for t in range(len(start.periods)):
            first, after = days_of(start, measure, t)
            for k, name in enumerate(names):
                own = values[k, :, m, :, t]
                lower, median, upper = np.quantile(own, ends, axis=0)
                out.append(
                    pd.DataFrame(
                        {
                            "place": list(process.places),
                            "period_start": first,
                            "period_end": after,
                            "measure": measure,
                            "driver": name,
                            "mean": own.mean(axis=0),
                            "median": median,
                            "lower": lower,
                            "upper": upper,
                            "prob": prob,
                            "kind": INTERVAL_KIND,
                        }
                    )
                )
    return pd.concat(out, ignore_index=True)
