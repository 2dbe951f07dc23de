"""Disclosure control: what is left out or rounded so that nobody learns of a few persons."""

from flowcast.publication.disclosure.attack import Attack, audit_rounding, audit_table, find_exposed
from flowcast.publication.disclosure.cells import LinkedCells, link_cells, link_margins
from flowcast.publication.disclosure.controlled import round_controlled
from flowcast.publication.disclosure.policy import DisclosurePolicy, read_policy
from flowcast.publication.disclosure.suppression import Suppression, is_sensitive, suppress_cells

__all__ = [
    "Attack",
    "DisclosurePolicy",
    "LinkedCells",
    "Suppression",
    "audit_rounding",
    "audit_table",
    "find_exposed",
    "is_sensitive",
    "link_cells",
    "link_margins",
    "read_policy",
    "round_controlled",
    "suppress_cells",
]
