"""Scenario data in the form of the Integrated Assessment Modeling Consortium, out and in.

The names below are loaded on first use; pyam and nomenclature, which take seconds, with them.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

if TYPE_CHECKING:
    from flowcast.iamc.drivers import read_iamc as read_iamc
    from flowcast.iamc.export import to_iamc as to_iamc
    from flowcast.iamc.judging import validate_iamc as validate_iamc
    from flowcast.iamc.writing import write_iamc as write_iamc

# Public name -> module of this package. No name may be that of a module: importing it would win.
_HOME = {
    "read_iamc": "drivers",
    "to_iamc": "export",
    "validate_iamc": "judging",
    "write_iamc": "writing",
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
