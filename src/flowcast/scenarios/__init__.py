"""Scenarios: what may change, as typed files, and the drivers that follow from them.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

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
    from flowcast.scenarios.loading import overlay_scenario as overlay_scenario
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
    "overlay_scenario": "loading",
    "read_scenario": "loading",
    "read_scenarios": "loading",
    "return_level": "extremes",
    "scenario_names": "loading",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
