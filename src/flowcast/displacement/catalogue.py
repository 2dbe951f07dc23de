"""Sources of displacement: what each counts, and what a missing row of each means.

A figure of one kind is never added to one of another (`flowcast.displacement.totals`): a person who
flees within a country, crosses a border and applies for asylum stands in three of these sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["ABSENT", "KINDS", "SOURCES", "Absent", "DisplacementSource"]

Absent = Literal["zero", "unknown", "zero_where_destination_reports", "zero_where_period_reported"]

ABSENT: Final[Mapping[Absent, str]] = MappingProxyType(
    {
        "zero": "none was recorded, in every period from the first to the last of the file",
        "unknown": "not monitored or not reported: never a zero; zeros are stated as such",
        "zero_where_destination_reports": (
            "none was recorded, in the years in which the destination reports anything; unknown in "
            "the others"
        ),
        "zero_where_period_reported": (
            "none was recorded, in periods in which anything was reported at all; else unknown"
        ),
    }
)
"""What a missing row may mean."""

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "disaster": "internal displacements by disasters, movements a year",
        "conflict": "internal displacements by conflict and violence, movements a year",
        "refugee": "refugees newly recognised or registered as a group, persons a year",
        "asylum": "new applications for asylum, persons a year",
        "border": "detections of irregular crossings, events a month",
        "internal_weekly": "internal displacements by reason, persons a week",
    }
)
"""What is counted."""


@dataclass(frozen=True, slots=True)
class DisplacementSource:
    """A file of displacement.

    Attributes
    ----------
    kind
        Of `KINDS`.
    publisher, file
        Whose it is, and which.
    absent
        Of `ABSENT`: what it means that a unit has no row in a period.
    why
        Where that rule comes from.
    columns
        For each of our names the spellings in editions of the file. Among ours are ``place`` (or
        ``origin``), ``destination``, ``hazard``, ``period`` and ``count``.
    codes
        ``alpha3``, or ``name``: areas within a country, taken as they are.
    special
        Codes that stand for no single country (None), or for another code.
    period
        How periods are written: ``year``, ``date`` (of a month) or ``week`` (201601).
    parts
        Whether a figure may come in several rows (events, districts), to be added up. Otherwise a
        second row is a fault.
    smallest
        The smallest count that is published: smaller ones are shown as this.
    """

    kind: str
    publisher: str
    file: str
    absent: Absent
    why: str
    columns: Mapping[str, tuple[str, ...]]
    codes: Literal["alpha3", "name"] = "alpha3"
    special: Mapping[str, str | None] = field(default_factory=dict)
    period: Literal["year", "date", "week"] = "year"
    parts: bool = False
    smallest: int = 1


_UNHCR_CODES: Final = {"UNK": None, "XXA": None, "TIB": None}
_IDMC_CODES: Final = {"AB9": None}


def _unhcr(kind: str, column: str) -> DisplacementSource:
    return DisplacementSource(
        kind,
        "UNHCR",
        "forced displacement flow data set (CSV)",
        "zero_where_destination_reports",
        "the file has rows above zero only, and destinations join and leave it",
        {
            "period": ("year",),
            "origin": ("coo_iso",),
            "destination": ("coa_iso",),
            "count": (column,),
        },
        special=_UNHCR_CODES,
        smallest=5,
    )


_ALL: Final = {
    "idmc_disaster": DisplacementSource(
        "disaster",
        "IDMC",
        "GIDD, disaster events, or their sums by country, year and hazard (CSV)",
        "zero",
        "every country is watched since 2008; a country-year without an event has no row",
        {
            "place": ("ISO3", "iso3"),
            "period": ("Year", "year"),
            "hazard": ("Hazard Type", "hazard_type"),
            "count": ("Disaster Internal Displacements", "displacements"),
        },
        special=_IDMC_CODES,
        parts=True,
    ),
    "idmc_conflict": DisplacementSource(
        "conflict",
        "IDMC",
        "GIDD, country figures (CSV)",
        "unknown",
        "only some countries are watched, and those without displacement are given a zero",
        {
            "place": ("ISO3", "iso3"),
            "period": ("Year", "year"),
            "count": (
                "Conflict Internal Displacements (Raw)",
                "Conflict Internal Displacements",
                "conflict_flow_raw",
            ),
        },
        special=_IDMC_CODES,
    ),
    "unhcr_refugees": _unhcr("refugee", "refugees"),
    "unhcr_asylum": _unhcr("asylum", "asylum_seekers"),
    "frontex_crossings": DisplacementSource(
        "border",
        "Frontex",
        "detections by route, nationality and month (CSV)",
        "zero",
        "all routes are watched since the first month; nationalities without detection have no row",
        {"place": ("nat",), "period": ("t",), "hazard": ("route",), "count": ("n",)},
        special={"OOO": None, "": None},
        period="date",
        parts=True,
    ),
    "somalia_prmn": DisplacementSource(
        "internal_weekly",
        "UNHCR and NRC",
        "Protection and Return Monitoring Network, arrivals by week and district (CSV)",
        "zero_where_period_reported",
        "a week without any row was not monitored",
        {
            "origin": ("origin_region",),
            "destination": ("dest_region",),
            "hazard": ("reason",),
            "period": ("year_week",),
            "count": ("individuals",),
        },
        codes="name",
        period="week",
        parts=True,
    ),
}
SOURCES: Final[Mapping[str, DisplacementSource]] = MappingProxyType(_ALL)
"""Every source by name."""
