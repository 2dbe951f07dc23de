"""A scenario's drivers: the baseline's, changed as the scenario says, draw by draw.

Of each driver, changes are carried out in one order, whatever their order in the files: `path`,
`set`, `multiply`, `elasticity`, `add`, then shocks that multiply, then shocks that add; among those
of one kind by key. A driver that responds to another one comes after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np

from flowcast.errors import Faults, UsageError
from flowcast.places import code_kind
from flowcast.scenarios._paths import follow_path, meant_years
from flowcast.scenarios._shocks import apply_shock
from flowcast.scenarios._targets import Codes, make_codes, spread_pairs
from flowcast.scenarios._work import Work, block_of, find_targets, lay
from flowcast.scenarios.catalogue import DRIVERS, OPERATIONS, Driver
from flowcast.scenarios.drivers import add_defaults, check_drivers, labels_of, range_faults
from flowcast.scenarios.loading import ResolvedScenario
from flowcast.scenarios.matrices import read_matrix
from flowcast.scenarios.spec import Change, Entry, Scenario, Shock
from flowcast.scenarios.support import describe_support, support_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["ScenarioDrivers", "apply_scenario"]


@dataclass(frozen=True, slots=True)
class ScenarioDrivers:
    """The drivers of one scenario.

    Attributes
    ----------
    data
        As `check_drivers` describes it; a variable has `draw` if something in it is uncertain.
        Variables that the scenario does not change are the baseline's own.
    support
        Where drivers leave their history: driver, unit, place, origin, destination, year, value,
        low, high, beyond, relative, share. Empty where no history was given.
    notes
        What to know: places without a path, years after its end, drivers that leave their history.
    """

    data: "xr.Dataset"
    support: "pd.DataFrame"
    notes: tuple[str, ...]


def spec_of(scenario: ResolvedScenario | Scenario) -> Scenario:
    """Return what a scenario says, whether it was read from files or built."""
    return scenario.spec if isinstance(scenario, ResolvedScenario) else scenario


def apply_scenario(
    scenario: ResolvedScenario | Scenario,
    baseline: "xr.Dataset",
    *,
    draws: int | range | None = None,
    seed: int = 1,
    history: "xr.Dataset | None" = None,
) -> ScenarioDrivers:
    """Return the drivers of a scenario.

    Parameters
    ----------
    scenario
        As read by `read_scenario`.
    baseline
        Drivers without the scenario, by place or corridor and year (`check_drivers`).
    draws
        How many draws of what is uncertain, or which (``range(100, 200)``, to go through many in
        little memory); None takes the median of each value. The draw of an index has the same
        quantile in every scenario that has the key, whatever the distribution: scenarios differ by
        what they change, never by luck.
    seed
        Of all draws.
    history
        Drivers of the past, of the same places: where a scenario leaves their range it is noted,
        and return periods are told from them.

    Raises
    ------
    InputError
        If the baseline has faults, a file is missing or has faults, or a driver leaves its
        plausible range.
    UsageError
        If there are no draws, more or fewer than the baseline has, or too many for the memory.

    Examples
    --------
    >>> import xarray as xr
    >>> deaths = xr.DataArray([[100.0, 100.0]], {"place": ["SD"], "year": [2027, 2028]},
    ...                       attrs={"units": "deaths per year"})
    >>> from flowcast.scenarios import read_scenario
    >>> worse = apply_scenario(read_scenario("conflict_shock"), xr.Dataset({"conflict": deaths}))
    >>> worse.data["conflict"].values.tolist()
    [[150.0, 150.0]]
    """
    spec = spec_of(scenario)
    wanted = _which(draws, baseline)
    data = check_drivers(baseline, "baseline")
    past = None if history is None else check_drivers(history, "history", gaps=True)
    changed = list(_in_order(spec))
    data = add_defaults(data, changed)
    work = Work(spec, data, past, wanted, seed, _codes(spec, data))
    for name in changed:
        work.done[name] = _changed(work, DRIVERS[name])
    _require_range(work)
    out = data.assign({name: work.done[name] for name in changed})
    support = support_table(out, past)
    return ScenarioDrivers(out, support, (*work.notes, *describe_support(support)))


def _which(draws: int | range | None, baseline: "xr.Dataset") -> range | None:
    """Return the draws wanted, as many as the baseline has if it has some."""
    if draws is None:
        return None
    wanted = range(draws) if isinstance(draws, int) else draws
    if not len(wanted) or wanted.step != 1 or wanted.start < 0:
        raise UsageError(f"(draws) | found {draws}; allowed: 1 or more, or a range of them")
    there = baseline.sizes.get("draw", len(wanted))
    if there != len(wanted):
        raise UsageError(f"(draws) | found {len(wanted)}; allowed: {there}, as the baseline has")
    return wanted


def _in_order(spec: Scenario) -> Iterator[str]:
    """Yield the drivers that change, each after those that it responds to."""
    order: TopologicalSorter[str] = TopologicalSorter()
    for entry in spec.entries.values():
        order.add(entry.driver)
        if isinstance(entry, Change) and entry.of is not None:
            order.add(entry.driver, entry.of)
    yield from order.static_order()


def _codes(spec: Scenario, data: "xr.Dataset") -> Codes:
    # Where nothing changes nobody is looked for.
    if spec.codes == "declared" or not spec.entries:
        return make_codes(None)
    names = ("place", "origin", "destination")
    there = {str(c) for name in names if name in data.coords for c in data[name].to_numpy()}
    return make_codes(code_kind(there))


def _changed(work: Work, known: Driver) -> "xr.DataArray":
    """Return one driver with all that the scenario does to it."""
    variable = work.baseline[known.name].transpose(..., known.of, "year")
    values = variable.to_numpy()
    for key, entry in _entries_of(work.spec, known.name):
        if isinstance(entry, Shock):
            values = apply_shock(work, key, entry, variable, values)
        else:
            values = _change(work, key, entry, variable, values)
    if values.ndim > variable.ndim:
        variable = variable.expand_dims(draw=len(values))
    return variable.copy(data=values)


def _entries_of(spec: Scenario, name: str) -> list[tuple[str, Entry]]:
    """Return the entries of a driver, in the order in which they are carried out."""

    def rank(item: tuple[str, Entry]) -> tuple[int, str]:
        key, entry = item
        if isinstance(entry, Shock):
            adds = entry.operation == "add" or (
                entry.return_period is not None and DRIVERS[name].scale == "interval"
            )
            return len(OPERATIONS) + adds, key
        assert isinstance(entry, Change)
        return OPERATIONS.index(entry.operation), key

    return sorted((i for i in spec.entries.items() if i[1].driver == name), key=rank)


def _change(
    work: Work, key: str, change: Entry, variable: "xr.DataArray", values: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Carry out one change."""
    assert isinstance(change, Change)
    if change.matrix is not None:
        return _by_matrix(work, change, variable, values)
    if change.operation == "path":
        return follow_path(work, key, change, variable, values)
    rows = find_targets(work, key, change, variable)
    years = variable["year"].to_numpy()
    columns = meant_years(change, years)
    if not len(rows) or not len(columns):
        return values
    block = block_of(values, rows, columns)
    labels = labels_of(variable)
    names = [labels[i] for i in rows]
    assert change.value is not None
    amount = work.amount(key, change, change.value, names)[..., None]
    if change.operation == "elasticity":
        ratio = _response(work, change, amount, rows, columns, labels=names)
        return lay(values, rows, columns, block * ratio)
    return lay(values, rows, columns, _operate(change, block, amount))


def _operate(
    change: Change, block: "NDArray[np.float64]", amount: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    if change.operation == "multiply":
        return block * amount
    own = amount * DRIVERS[change.driver].factor(change.unit)
    return block + own if change.operation == "add" else np.broadcast_to(own, _shape(block, own))


def _shape(*arrays: "NDArray[np.float64]") -> tuple[int, ...]:
    return np.broadcast_shapes(*(array.shape for array in arrays))


def _by_matrix(
    work: Work, change: Change, variable: "xr.DataArray", values: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Carry out a change whose value differs from corridor to corridor."""
    cells = read_matrix(change.matrix) if isinstance(change.matrix, str) else change.matrix or {}
    known = DRIVERS[change.driver]
    numbers = {o: {d: known.number(v) for d, v in inner.items()} for o, inner in cells.items()}
    amounts = spread_pairs(
        variable["origin"].to_numpy(), variable["destination"].to_numpy(), numbers, work.codes
    )
    rows = np.isfinite(amounts).nonzero()[0]
    columns = meant_years(change, variable["year"].to_numpy())
    block = _operate(change, block_of(values, rows, columns), amounts[rows, None])
    return lay(values, rows, columns, block)


def _response(
    work: Work,
    change: Change,
    elasticity: "NDArray[np.float64]",
    rows: "NDArray[np.intp]",
    columns: "NDArray[np.intp]",
    *,
    labels: list[str],
) -> "NDArray[np.float64]":
    """Return the factor of a driver that responds to another one of the same places."""
    assert change.of is not None
    other = DRIVERS[change.of]
    before = work.baseline[other.name].transpose(..., other.of, "year").to_numpy()
    after = work.done[other.name].transpose(..., other.of, "year").to_numpy()
    old, new = (block_of(values, rows, columns) for values in (before, after))
    if other.scale == "interval":
        return np.asarray(np.exp(elasticity * (new - old)))
    undefined = (old <= 0) & (new != old)
    if undefined.any():
        at = undefined.nonzero()[-2][0]
        faults = Faults(work.spec.name)
        found = f"{other.name} of {labels[at]} is 0 in the baseline and not in the scenario"
        faults.add(found, "a ratio", column=f"{change.driver} responds to {other.name}")
        faults.raise_if_any()
    ratio = np.where(old > 0, new / np.where(old > 0, old, 1.0), 1.0)
    return np.asarray(ratio**elasticity)


def _require_range(work: Work) -> None:
    """Refuse a driver that a scenario moves out of its plausible range."""
    faults = Faults(work.spec.name)
    for name, variable in work.done.items():
        faults.extend(range_faults(variable, DRIVERS[name], work.spec.name))
    faults.raise_if_any()
