"""Projections: what estimated flows become under scenarios, with people carried forward.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

if TYPE_CHECKING:
    from flowcast.projection.attribution import attribute_change as attribute_change
    from flowcast.projection.comparing import chance_above as chance_above
    from flowcast.projection.comparing import compare_scenarios as compare_scenarios
    from flowcast.projection.comparing import measure_of as measure_of
    from flowcast.projection.comparing import summarise_history as summarise_history
    from flowcast.projection.comparing import summarise_projection as summarise_projection
    from flowcast.projection.designs import Design as Design
    from flowcast.projection.designs import Uncertainty as Uncertainty
    from flowcast.projection.designs import make_design as make_design
    from flowcast.projection.designs import uncertain_values as uncertain_values
    from flowcast.projection.designs import with_uncertainties as with_uncertainties
    from flowcast.projection.exploring import Exploration as Exploration
    from flowcast.projection.exploring import explore_scenarios as explore_scenarios
    from flowcast.projection.exploring import run_exploration as run_exploration
    from flowcast.projection.findings import Discovery as Discovery
    from flowcast.projection.findings import discover as discover
    from flowcast.projection.findings import sensitivity_of as sensitivity_of
    from flowcast.projection.history import FlowHistory as FlowHistory
    from flowcast.projection.history import history_from_estimates as history_from_estimates
    from flowcast.projection.history import history_from_table as history_from_table
    from flowcast.projection.history import make_history as make_history
    from flowcast.projection.outcomes import Outcome as Outcome
    from flowcast.projection.outcomes import read_outcome as read_outcome
    from flowcast.projection.process import FlowProcess as FlowProcess
    from flowcast.projection.process import fit_process as fit_process
    from flowcast.projection.projecting import Projection as Projection
    from flowcast.projection.projecting import baseline_of as baseline_of
    from flowcast.projection.projecting import project as project
    from flowcast.projection.simulation import Offset as Offset
    from flowcast.projection.spec import ProjectionSpec as ProjectionSpec
    from flowcast.projection.spec import read_projection_spec as read_projection_spec
    from flowcast.projection.start import ProjectionStart as ProjectionStart
    from flowcast.projection.start import make_start as make_start
    from flowcast.projection.start import read_people as read_people
    from flowcast.projection.store import open_projection as open_projection
    from flowcast.projection.store import run_projection as run_projection
    from flowcast.projection.variance import split_variance as split_variance

# Public name -> module of this package. No name may be that of a module: importing it would win.
_HOME = {
    "Design": "designs",
    "Discovery": "findings",
    "Exploration": "exploring",
    "FlowHistory": "history",
    "FlowProcess": "process",
    "Offset": "simulation",
    "Outcome": "outcomes",
    "Projection": "projecting",
    "ProjectionSpec": "spec",
    "ProjectionStart": "start",
    "Uncertainty": "designs",
    "attribute_change": "attribution",
    "baseline_of": "projecting",
    "chance_above": "comparing",
    "compare_scenarios": "comparing",
    "discover": "findings",
    "explore_scenarios": "exploring",
    "fit_process": "process",
    "history_from_estimates": "history",
    "history_from_table": "history",
    "make_design": "designs",
    "make_history": "history",
    "make_start": "start",
    "measure_of": "comparing",
    "open_projection": "store",
    "project": "projecting",
    "read_outcome": "outcomes",
    "read_people": "start",
    "read_projection_spec": "spec",
    "run_exploration": "exploring",
    "run_projection": "store",
    "sensitivity_of": "findings",
    "split_variance": "variance",
    "summarise_history": "comparing",
    "summarise_projection": "comparing",
    "uncertain_values": "designs",
    "with_uncertainties": "designs",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
