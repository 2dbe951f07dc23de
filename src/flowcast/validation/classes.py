"""Kinds of report that are scored apart: by side, size, horizon, year, quality and region."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._sheet import TableCodes
from flowcast.places import grouping_name, members
from flowcast.validation.leakage import tell_place
from flowcast.vocabulary import GRADES, UN_DURATION_MONTHS

__all__ = ["ALL_REPORTS", "describe_kind", "describe_reports", "fine_kinds", "main_kinds"]

Mask = NDArray[np.bool_]

ALL_REPORTS: Final = "reports"
SMALL: Final = 50
"""Reports below this are told apart: they carry little but noise."""
LARGE: Final = 1000
REGIONS: Final = (
    "northern_africa", "eastern_africa", "middle_africa", "southern_africa", "western_africa",
    "caribbean", "central_america", "south_america", "northern_america",
    "central_asia", "eastern_asia", "south_eastern_asia", "southern_asia", "western_asia",
    "eastern_europe", "northern_europe", "southern_europe", "western_europe",
    "australia_and_new_zealand", "melanesia", "micronesia", "polynesia",
)  # fmt: skip
"""Groupings that divide the world: the regions of the United Nations' M49."""
SERIES: Final = ["origin", "destination", "reporter", "source"]


def describe_reports(
    predicted: pd.DataFrame, horizon: NDArray[np.int64], codes: TableCodes
) -> pd.DataFrame:
    """Return what the scores of reports are grouped by, one row a report.

    Parameters
    ----------
    predicted
        Reports of one flow each, columns of the observation contract.
    horizon
        How many periods each lies after the last fitted one; 0 where no years are left for later.
    codes
        Kind of the places' codes; regions are known of ISO codes only.

    Returns
    -------
    DataFrame
        `value`, `reporter`, `horizon`, `year`, `corridor`, `series`, `region` (of the place that
        reports), `duration` (``"12"``, ``"other"``, ``"unknown"``), `undercount`, `accuracy`.
    """
    months = predicted["duration_months"]
    duration = np.where(months == UN_DURATION_MONTHS, "12", "other")
    return pd.DataFrame(
        {
            "value": predicted["value"],
            "reporter": predicted["reporter"],
            "horizon": horizon,
            "year": predicted["period_start"].dt.year,
            "corridor": predicted["origin"] + " to " + predicted["destination"],
            "series": predicted[SERIES].agg(" ".join, axis=1) if len(predicted) else "",
            "region": tell_place(predicted).map(_regions(codes)),
            "duration": np.where(months.isna(), "unknown", duration),
            "undercount": predicted["undercount_class"],
            "accuracy": predicted["accuracy_class"],
        }
    )


def _regions(codes: TableCodes) -> dict[str, str]:
    if codes == "declared":
        return {}
    return {place: region for region in REGIONS for place in members(region, kind=codes)}


def main_kinds(reports: pd.DataFrame) -> Iterator[tuple[str, Mask]]:
    """Yield name and rows of the kinds that every fold is scored by, if there are such reports."""
    value, reporter = reports["value"], reports["reporter"]
    kinds = {
        ALL_REPORTS: value.notna(),
        "reports_by_destination": reporter == "destination",
        "reports_by_origin": reporter == "origin",
        f"reports_below_{SMALL}": value < SMALL,
        f"reports_from_{SMALL}": value >= SMALL,
        f"reports_{SMALL}_to_{LARGE - 1}": (value >= SMALL) & (value < LARGE),
        f"reports_from_{LARGE}": value >= LARGE,
    }
    for ahead in sorted(set(reports["horizon"]) - {0}):
        kinds[f"reports_{ahead}_ahead"] = reports["horizon"] == ahead
    yield from _there(kinds)


def fine_kinds(reports: pd.DataFrame) -> Iterator[tuple[str, Mask]]:
    """Yield name and rows of the finer kinds, where the reports are of more than one."""
    families = {
        "year": sorted(reports["year"].unique()),
        "duration": ["12", "other", "unknown"],
        "undercount": list(GRADES),
        "accuracy": list(GRADES),
        "region": list(REGIONS),
    }
    for column, labels in families.items():
        if reports[column].nunique(dropna=False) > 1:
            yield from _there({f"reports_{column}_{n}": reports[column] == n for n in labels})


def _there(kinds: dict[str, pd.Series]) -> Iterator[tuple[str, Mask]]:
    for name, rows in kinds.items():
        if rows.any():
            yield name, rows.to_numpy(dtype=bool)


def describe_kind(indicator: str) -> str:
    """Return a kind of report in words.

    Examples
    --------
    >>> describe_kind("reports_50_to_999"), describe_kind("reports_region_western_europe")
    ('50 to 999 persons', 'reported from Western Europe')
    """
    rest = indicator.removeprefix(ALL_REPORTS).removeprefix("_")
    first, _, last = rest.partition("_")
    words = {
        "": "all reports",
        "below": f"fewer than {last} persons",
        "from": f"{last} persons and more",
        "by": f"reported by the {last}",
        "year": f"year {last}",
        "duration": {"12": "minimum stay 12 months", "unknown": "minimum stay unknown"}.get(
            last, "another minimum stay"
        ),
        "undercount": f"undercount {last}",
        "accuracy": f"accuracy {last}",
    }
    if first == "region":
        return f"reported from {grouping_name(last)}"
    if last == "ahead":
        return f"{first} period{'' if first == '1' else 's'} ahead"
    return words.get(first, f"{rest.replace('_', ' ')} persons")
