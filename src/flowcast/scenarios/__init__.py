"""Scenarios: what may change, as typed files, and the drivers that follow from them.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowcast.scenarios.catalogue import DRIVERS as DRIVERS
    from flowcast.scenarios.catalogue import Driver as Driver
    from flowcast.scenarios.composition import ScenarioDrivers as ScenarioDrivers
    from flowcast.scenarios.composition import apply_scenario as apply_scenario
    from flowcast.scenarios.drivers import baseline_drivers as baseline_drivers
    from flowcast.scenarios.drivers import check_drivers as check_drivers
    from flowcast.scenarios.extremes import return_level as return_level
    from flowcast.scenarios.futures import needed_files as needed_files
    from flowcast.scenarios.loading import Override as Override
    from flowcast.scenarios.loading import ResolvedScenario as ResolvedScenario
    from flowcast.scenarios.loading import combine_scenarios as combine_scenarios
    from flowcast.scenarios.loading import dump_scenario as dump_scenario
    from flowcast.scenarios.loading import read_scenario as read_scenario
    from flowcast.scenarios.loading import read_scenarios as read_scenarios
    from flowcast.scenarios.loading import scenario_names as scenario_names
    from flowcast.scenarios.spec import Scenario as Scenario

# Public name -> module of this package. No name may be that of a module: importing it would win.
_HOME = {
    "DRIVERS": "catalogue",
    "Driver": "catalogue",
    "Override": "loading",
    "ResolvedScenario": "loading",
    "Scenario": "spec",
    "ScenarioDrivers": "composition",
    "apply_scenario": "composition",
    "baseline_drivers": "drivers",
    "check_drivers": "drivers",
    "combine_scenarios": "loading",
    "dump_scenario": "loading",
    "needed_files": "futures",
    "read_scenario": "loading",
    "read_scenarios": "loading",
    "return_level": "extremes",
    "scenario_names": "loading",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
