"""Projections: what estimated flows become under scenarios, with people carried forward.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

if TYPE_CHECKING:
    from flowcast.projection.history import FlowHistory as FlowHistory
    from flowcast.projection.history import history_from_estimates as history_from_estimates
    from flowcast.projection.history import history_from_table as history_from_table
    from flowcast.projection.history import make_history as make_history
    from flowcast.projection.process import FlowProcess as FlowProcess
    from flowcast.projection.process import fit_process as fit_process
    from flowcast.projection.projecting import Projection as Projection
    from flowcast.projection.projecting import baseline_of as baseline_of
    from flowcast.projection.projecting import project as project
    from flowcast.projection.simulation import Frozen as Frozen
    from flowcast.projection.spec import ProjectionSpec as ProjectionSpec
    from flowcast.projection.spec import read_projection_spec as read_projection_spec
    from flowcast.projection.start import ProjectionStart as ProjectionStart
    from flowcast.projection.start import make_start as make_start
    from flowcast.projection.start import read_people as read_people

# Public name -> module of this package. No name may be that of a module: importing it would win.
_HOME = {
    "FlowHistory": "history",
    "FlowProcess": "process",
    "Frozen": "simulation",
    "Projection": "projecting",
    "ProjectionSpec": "spec",
    "ProjectionStart": "start",
    "baseline_of": "projecting",
    "fit_process": "process",
    "history_from_estimates": "history",
    "history_from_table": "history",
    "make_history": "history",
    "make_start": "start",
    "project": "projecting",
    "read_people": "start",
    "read_projection_spec": "spec",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
