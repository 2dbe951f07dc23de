"""Stock tables to flows: deterministic estimators, exact and fast enough to run on every draw.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowcast.accounting.demographic import balance_stocks as balance_stocks
    from flowcast.accounting.demographic import demographic_flows as demographic_flows
    from flowcast.accounting.differences import difference_flows as difference_flows
    from flowcast.accounting.differences import growth_flows as growth_flows
    from flowcast.accounting.differences import rate_flows as rate_flows
    from flowcast.accounting.pseudo_bayes import calibrate_weight as calibrate_weight
    from flowcast.accounting.pseudo_bayes import pseudo_bayes_flows as pseudo_bayes_flows
    from flowcast.accounting.stocks import read_accounts as read_accounts
    from flowcast.accounting.stocks import read_seed as read_seed
    from flowcast.accounting.stocks import read_stocks as read_stocks
    from flowcast.accounting.stocks import read_vital_events as read_vital_events
    from flowcast.accounting.stocks import tidy_flows as tidy_flows

# Public name -> module that defines it. No name may be that of a module: importing it would win.
_HOME = {
    "balance_stocks": "demographic",
    "calibrate_weight": "pseudo_bayes",
    "demographic_flows": "demographic",
    "difference_flows": "differences",
    "growth_flows": "differences",
    "pseudo_bayes_flows": "pseudo_bayes",
    "rate_flows": "differences",
    "read_accounts": "stocks",
    "read_seed": "stocks",
    "read_stocks": "stocks",
    "read_vital_events": "stocks",
    "tidy_flows": "stocks",
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
