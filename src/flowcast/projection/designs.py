"""What varies between many projections of one scenario, and which values are tried together.

What varies is what the scenario language calls uncertain: values that are distributions. A design
is a table of quantiles of them, one row a case; a case is the scenario with plain numbers in their
place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from flowcast.errors import UsageError, require_word
from flowcast.scenarios.catalogue import DRIVERS
from flowcast.scenarios.distributions import Distribution
from flowcast.scenarios.loading import ResolvedScenario, overlay_scenario
from flowcast.scenarios.spec import EVERYWHERE, Scenario

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "Design",
    "Uncertainty",
    "fix_values",
    "make_design",
    "uncertain_values",
    "with_uncertainties",
]

Method = Literal["latin", "sobol", "morris"]
METHODS: Final[tuple[str, ...]] = get_args(Method)
LEVELS: Final = 4
"""Of Morris' grid; he, and all after him, take four."""
TAIL: Final = 0.005
"""What Morris' grid leaves out at each end of a distribution without bounds: it begins and ends at
the ends of the range (Saltelli and others 2008, Global sensitivity analysis: the primer)."""
SMALLEST: Final = 2.0**-54
"""A normal has no quantile at 0."""
SCALE: Final = ".scale"
"""What the name of an uncertain value ends with that is the scale of a path."""
FEWEST: Final[Mapping[str, int]] = {"latin": 2, "sobol": 2, "morris": 2}
"""Cases, base points and trajectories below which there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """A driver of which nothing is known but a range.

    Attributes
    ----------
    driver
        Of the catalogue.
    low, high
        In the driver's unit; factors for ``"multiply"``. Everything between is as likely.
    operation
        What is done with the value: ``"multiply"``, ``"add"`` or ``"set"``.
    places
        Codes or groupings; of a driver of corridors tokens such as ``"SYR/DEU"``. None: everywhere.
    years
        As in a scenario: a year, ``"2027-2029"``, ``"2027-"``. None: always.
    name
        Key of the entry in the scenario; the driver's if empty.

    Examples
    --------
    >>> Uncertainty("policy_openness", 0.5, 2.0, places=("*/DEU",)).entry["corridors"]
    ['*/DEU']
    """

    driver: str
    low: float
    high: float
    operation: Literal["multiply", "add", "set"] = "multiply"
    places: tuple[str, ...] | None = None
    years: str | int | None = None
    name: str = ""

    @property
    def entry(self) -> dict[str, Any]:
        """As it is written in a scenario file, for its checks to judge."""
        known = DRIVERS.get(self.driver)
        ratio = self.operation == "multiply" or known is None
        of = "corridors" if known is not None and known.of == "corridor" else "places"
        everywhere = f"{EVERYWHERE}/{EVERYWHERE}" if of == "corridors" else EVERYWHERE
        return {
            "driver": self.driver,
            "operation": self.operation,
            "value": {"uniform": [self.low, self.high]},
            "unit": "ratio" if known is None or ratio else known.unit,
            of: [everywhere] if self.places is None else list(self.places),
            "years": self.years,
            "reference": "a range that is explored",
        }


def with_uncertainties(
    scenario: ResolvedScenario, uncertainties: Sequence[Uncertainty]
) -> ResolvedScenario:
    """Return a scenario in which more is uncertain.

    Raises
    ------
    InputError
        With every fault of the ranges, as a scenario file would have them.
    UsageError
        If two have one name.

    Examples
    --------
    >>> from flowcast.scenarios import read_scenario
    >>> wider = with_uncertainties(
    ...     read_scenario("baseline"), [Uncertainty("crop_yield", 0.6, 1.2, years="2030-")]
    ... )
    >>> uncertain_values(wider.spec)
    {'drivers.crop_yield': uniform(low=0.6, high=1.2)}
    """
    names = [one.name or one.driver for one in uncertainties]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"(uncertainties) | found {', '.join(twice)} twice; allowed: one name each"
        )
    entries = {name: one.entry for name, one in zip(names, uncertainties, strict=True)}
    return overlay_scenario(scenario, {"drivers": entries})


def uncertain_values(spec: Scenario) -> dict[str, Distribution]:
    """Return what a scenario leaves open, by key, such as ``drivers.policy_openness``.

    Values that differ from place to place (``vary: by_place``) and paths with bounds are left out:
    they stay uncertain within every case, with the same quantiles in all of them.

    Examples
    --------
    >>> from flowcast.scenarios import read_scenario
    >>> uncertain_values(read_scenario("open_borders").spec)
    {'drivers.policy_openness': log_normal(log_median=0.69, log_sd=0.5)}
    """
    found = {}
    for key, entry in spec.entries.items():
        if entry.vary == "by_place":
            continue
        for field, end in (("value", ""), ("scale", SCALE)):
            value = getattr(entry, field, None)
            if isinstance(value, Distribution):
                found[key + end] = value
    return found


def fix_values(spec: Scenario, values: Mapping[str, float], name: str) -> Scenario:
    """Return a scenario with numbers in place of uncertain values, under another name.

    Parameters
    ----------
    spec
        The scenario.
    values
        By key, as `uncertain_values` has them.
    name
        Of the case.
    """
    sections: dict[str, dict[str, Any]] = {
        "drivers": dict(spec.drivers),
        "shocks": dict(spec.shocks),
    }
    for key, value in values.items():
        section, rest = key.split(".", 1)
        entry = rest.removesuffix(SCALE)
        field = "value" if entry == rest else "scale"
        old = sections[section][entry]
        sections[section][entry] = old.model_copy(update={field: value})
    return spec.model_copy(update={**sections, "name": name})


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Which values are tried together.

    Attributes
    ----------
    method
        ``"latin"``, ``"sobol"`` or ``"morris"``.
    inputs
        One row a case, one column an uncertain value, by its key.
    levels
        The same as places between the ends of each range, from 0 to 1, shape (case, input).
    size
        Points of Saltelli's scheme, or trajectories; of a Latin hypercube the cases.
    seed
        Of the design, and of what is resampled when it is analysed.
    """

    method: Method
    inputs: "pd.DataFrame"
    levels: "NDArray[np.float64]"
    size: int
    seed: int


def make_design(
    uncertain: Mapping[str, Distribution], method: Method, cases: int, *, seed: int = 1
) -> Design:
    """Lay out cases.

    Parameters
    ----------
    uncertain
        Distribution of each input, by name; inputs are independent.
    method
        ``"latin"``: a Latin hypercube, for scenario discovery. ``"sobol"``: Saltelli's scheme on
        Sobol' points, for shares of the variance. ``"morris"``: trajectories on a grid, for a first
        look at many inputs.
    cases
        At most so many: `sobol` takes the largest power of two N for which N (inputs + 2) are no
        more, `morris` as many trajectories of inputs + 1 as there is room for.
    seed
        Of the design.

    Raises
    ------
    UsageError
        If nothing is uncertain, or there are too few cases for the method.

    Examples
    --------
    >>> ranges = {name: Distribution.make("uniform", [0, 1]) for name in ("a", "b", "c")}
    >>> design = make_design(ranges, "sobol", 100)
    >>> design.size, design.inputs.shape
    (16, (80, 3))
    """
    import pandas as pd

    require_word("method", method, METHODS)
    n = len(uncertain)
    if not n:
        raise UsageError(
            "(drivers) | found nothing uncertain; allowed: values that are distributions, "
            "such as {uniform: [0.5, 2]}"
        )
    each = {"latin": 1, "sobol": n + 2, "morris": n + 1}[method]
    size = cases // each
    if size < FEWEST[method]:
        least = FEWEST[method] * each
        raise UsageError(f"(cases) | found {cases}; allowed: {least} or more, of {n} inputs")
    if method == "sobol":
        size = 2 ** (size.bit_length() - 1)
    levels = _LAID[method](n, size, seed)
    columns = {
        name: _between(one, levels[:, k], grid=method == "morris")
        for k, (name, one) in enumerate(uncertain.items())
    }
    inputs = pd.DataFrame(columns, index=pd.RangeIndex(len(levels), name="case"))
    return Design(method, inputs, levels, size, seed)


def _between(
    one: Distribution, levels: "NDArray[np.float64]", *, grid: bool
) -> "NDArray[np.float64]":
    """Return quantiles; of a grid none is infinite."""
    if grid and not np.isfinite(one.quantile(np.array([0.0, 1.0]))).all():
        return one.quantile(TAIL + (1.0 - 2.0 * TAIL) * levels)
    return one.quantile(levels if grid else np.maximum(levels, SMALLEST))


def problem_of(n: int) -> dict[str, Any]:
    """Return inputs between 0 and 1, as SALib wants them told."""
    return {"num_vars": n, "names": [f"x{k}" for k in range(n)], "bounds": [[0.0, 1.0]] * n}


def _latin(n: int, size: int, seed: int) -> "NDArray[np.float64]":
    from scipy.stats import qmc

    # What ema-workbench's sampler calls; it takes seconds to load, and adds nothing here.
    return np.asarray(qmc.LatinHypercube(d=n, rng=np.random.default_rng(seed)).random(size))


def _saltelli(n: int, size: int, seed: int) -> "NDArray[np.float64]":
    from SALib.sample import sobol

    drawn = sobol.sample(problem_of(n), size, calc_second_order=False, seed=seed)
    return np.asarray(drawn, dtype=np.float64)


def _trajectories(n: int, size: int, seed: int) -> "NDArray[np.float64]":
    from SALib.sample import morris

    drawn = morris.sample(problem_of(n), size, num_levels=LEVELS, seed=seed)
    return np.asarray(drawn, dtype=np.float64)


_LAID: Final = {"latin": _latin, "sobol": _saltelli, "morris": _trajectories}
