"""Meta: monthly migration flows estimated from its users, and the Social Connectedness Index.

Flows are estimates in persons, weighted up from users and with noise added for privacy; a
migrant is someone who stays most of the following year. The index has no unit: it is relative to
the strongest pair of its edition, so editions do not compare.

Sources
-------
Chi, G., Abel, G. J., Johnston, D., Giraudy, E. and Bailey, M. (2025), Measuring global migration
flows using online data, PNAS, doi:10.1073/pnas.2409418122. Bailey, M., Cao, R., Kuchler, T.,
Stroebel, J. and Wong, A. (2018), Social Connectedness, Journal of Economic Perspectives 32(3),
doi:10.1257/jep.32.3.259.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, UsageError
from flowcast.sources.readers._common import LeftOut, as_observations, to_alpha2
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._tables import choose_columns, parse_numbers, read_delimited

__all__ = ["read_connectedness", "read_flows"]

FLOWS: Final = {
    "country_from": ("country_from",),
    "country_to": ("country_to",),
    "month": ("migration_month",),
    "migrants": ("num_migrants",),
}
INDEX: Final = {
    "user_loc": ("user_loc", "user_country"),
    "fr_loc": ("fr_loc", "friend_country"),
    "scaled_sci": ("scaled_sci",),
}
MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])(?:-01)?")


def read_flows(path: Path) -> pd.DataFrame:
    """Read the flows between countries by month.

    Parameters
    ----------
    path
        The CSV with a row for each pair and month, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        Observations of `flow`, family `digital`: persons per month, minimum stay 12 months.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, FLOWS)
    frame = _pairs(frame, "country_from", "country_to", left)
    spans = {month: _span(month) for month in frame["month"].unique()}
    for row, month in frame["month"][frame["month"].map(spans).isna()].items():
        faults.add(repr(month), "a month, 2022-05", row=int(str(row)), column="migration_month")
    ends = {month: span or ("1800-01-01", "1801-01-01") for month, span in spans.items()}
    columns = {
        "source": "meta_chi_2025",
        "family": "digital",
        "measure": "flow",
        "origin": frame["origin"],
        "destination": frame["destination"],
        "period_start": frame["month"].map({m: s for m, (s, _) in ends.items()}),
        "period_end": frame["month"].map({m: e for m, (_, e) in ends.items()}),
        "value": parse_numbers(frame["migrants"], faults, "num_migrants"),
        "reporter": "other",
        "duration_months": 12.0,
    }
    return as_observations(columns, frame.index, left, faults)


def read_connectedness(path: Path, *, month: str | None = None) -> pd.DataFrame:
    """Read the Social Connectedness Index between countries.

    Parameters
    ----------
    path
        The TSV (editions 2020 and 2021) or CSV with a row for each ordered pair.
    month
        Month of the edition, ``2021-10``; the file does not tell it.

    Returns
    -------
    pandas.DataFrame
        Observations of `index`, family `digital`, source ``social_connectedness_`` and the year:
        relative probability of a friendship, 1 to
        1,000,000,000. A country with itself is left out.

    Raises
    ------
    InputError
        With every fault of the file.
    UsageError
        Without the month.
    """
    span = _span(month or "")
    if span is None:
        raise UsageError(
            f"(reader meta_connectedness) | found month {month!r}; "
            "allowed: the month of the edition, such as '2021-10'"
        )
    faults, left = Faults(str(path)), LeftOut()
    text = read_text(path, faults)
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    frame = choose_columns(read_delimited(text, faults, delimiter=delimiter), faults, INDEX)
    frame = _pairs(frame, "user_loc", "fr_loc", left)
    columns = {
        "source": f"social_connectedness_{span[0][:4]}",
        "family": "digital",
        "measure": "index",
        "origin": frame["origin"],
        "destination": frame["destination"],
        "period_start": span[0],
        "period_end": span[1],
        "value": parse_numbers(frame["scaled_sci"], faults, "scaled_sci"),
        "reporter": "other",
    }
    return as_observations(columns, frame.index, left, faults)


def _pairs(frame: pd.DataFrame, origin: str, destination: str, left: LeftOut) -> pd.DataFrame:
    """Return the frame with the two places of each row."""
    for side, column in (("origin", origin), ("destination", destination)):
        frame = frame.assign(**{side: to_alpha2(frame[column], "alpha2")})
        frame = left.drop_codes(frame, side, frame[column])
    return frame


def _span(month: str) -> tuple[str, str] | None:
    """Return the first day of a month and of the next one, or None."""
    found = MONTH.fullmatch(month)
    if found is None:
        return None
    end = int(found[1]) * 12 + int(found[2])
    return f"{found[1]}-{found[2]}-01", f"{end // 12:04d}-{end % 12 + 1:02d}-01"
