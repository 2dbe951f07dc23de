"""Displacement by disasters and conflict: panels, a hurdle model, forecasts, what they say of risk.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

if TYPE_CHECKING:
    from flowcast.displacement.allocation import Allocation as Allocation
    from flowcast.displacement.allocation import allocate as allocate
    from flowcast.displacement.allocation import fit_allocation as fit_allocation
    from flowcast.displacement.catalogue import KINDS as KINDS
    from flowcast.displacement.catalogue import SOURCES as SOURCES
    from flowcast.displacement.forecast import forecast_displacement as forecast_displacement
    from flowcast.displacement.model import DisplacementFit as DisplacementFit
    from flowcast.displacement.model import fit_displacement as fit_displacement
    from flowcast.displacement.panel import DisplacementPanel as DisplacementPanel
    from flowcast.displacement.panel import add_kinds as add_kinds
    from flowcast.displacement.panel import join_drivers as join_drivers
    from flowcast.displacement.panel import make_panel as make_panel
    from flowcast.displacement.panel import sum_units as sum_units
    from flowcast.displacement.panel import to_years as to_years
    from flowcast.displacement.reading import read_displacement as read_displacement
    from flowcast.displacement.risk import exceedance as exceedance
    from flowcast.displacement.risk import return_levels as return_levels
    from flowcast.displacement.risk import summarise_forecast as summarise_forecast
    from flowcast.displacement.spec import DisplacementSpec as DisplacementSpec
    from flowcast.displacement.spec import read_displacement_spec as read_displacement_spec
    from flowcast.displacement.store import read_fit as read_fit
    from flowcast.displacement.store import write_fit as write_fit
    from flowcast.displacement.totals import total_bounds as total_bounds

# Public name -> module of this package. No name may be that of a module: importing it would win.
_HOME = {
    "KINDS": "catalogue",
    "SOURCES": "catalogue",
    "Allocation": "allocation",
    "DisplacementFit": "model",
    "DisplacementPanel": "panel",
    "DisplacementSpec": "spec",
    "add_kinds": "panel",
    "allocate": "allocation",
    "exceedance": "risk",
    "fit_allocation": "allocation",
    "fit_displacement": "model",
    "forecast_displacement": "forecast",
    "join_drivers": "panel",
    "make_panel": "panel",
    "read_displacement": "reading",
    "read_displacement_spec": "spec",
    "read_fit": "store",
    "return_levels": "risk",
    "sum_units": "panel",
    "summarise_forecast": "risk",
    "to_years": "panel",
    "total_bounds": "totals",
    "write_fit": "store",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
