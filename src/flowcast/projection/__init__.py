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
    from flowcast.projection.history import FlowHistory as FlowHistory
    from flowcast.projection.history import history_from_estimates as history_from_estimates
    from flowcast.projection.history import history_from_table as history_from_table
    from flowcast.projection.history import make_history as make_history
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
    "FlowHistory": "history",
    "FlowProcess": "process",
    "Offset": "simulation",
    "Projection": "projecting",
    "ProjectionSpec": "spec",
    "ProjectionStart": "start",
    "attribute_change": "attribution",
    "baseline_of": "projecting",
    "chance_above": "comparing",
    "compare_scenarios": "comparing",
    "fit_process": "process",
    "history_from_estimates": "history",
    "history_from_table": "history",
    "make_history": "history",
    "make_start": "start",
    "measure_of": "comparing",
    "open_projection": "store",
    "project": "projecting",
    "read_people": "start",
    "read_projection_spec": "spec",
    "run_projection": "store",
    "split_variance": "variance",
    "summarise_history": "comparing",
    "summarise_projection": "comparing",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
