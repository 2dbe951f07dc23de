"""Rows of the table that sums are made of: whose they are, by which definition, how exact."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from flowcast.model.cells import parts_of_year, spans
from flowcast.model.reports import channel_of, sampling_variance
from flowcast.vocabulary import Quantity

__all__ = ["Row", "read_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    label: int
    source: str
    measure: str
    reporter: str
    who: str
    months: float
    grade: str
    value: float
    side: str
    """Side of what a sum adds up; a net figure takes the other one away."""
    family: str
    criterion: str
    span: float
    part: bool
    """Whether it covers a part of its calendar year."""
    sampling: float

    @property
    def definition(self) -> tuple[float, str]:
        """What has to agree for details to be part of a total."""
        return (12.0 if np.isnan(self.months) else self.months, self.grade)

    def unit(self, side: str) -> str:
        """Return whose effect a part on this side carries."""
        return f"{side}:{self.series}:{self.who or self.series}"

    def book(self, side: str) -> str:
        """Return where the details of a part are looked up.

        Of a census they are those of one span: the people who lived elsewhere a year ago are no
        part of those who did five years ago. Nor is what was counted by June part of a year's
        total.
        """
        apart = side == "census" or self.part
        return self.unit(side) + (f" over {self.span:g}" if apart else "")

    def sampling_of(self, rest: float) -> float:
        """Return the sampling variance of what details leave of a sum, on the log scale.

        The error in persons is that of the whole sum: what is left has no less of it for being
        smaller.
        """
        if self.sampling == 0.0 or self.measure == "net":
            return self.sampling
        error = np.sqrt(self.sampling) * self.value
        return float((error / max(rest, error)) ** 2) if error > 0.0 else self.sampling

    @property
    def series(self) -> str:
        """The source, with a criterion other than residence."""
        return self.source + (f"~{self.criterion}" if self.criterion != "residence" else "")


def read_rows(table: pd.DataFrame, quantity: Quantity, design_effect: float) -> dict[int, Row]:
    """Return the rows by their position in the whole table.

    Parameters
    ----------
    table, quantity, design_effect
        As for `build_reports`; the index counts the rows of the whole table from 0.
    """
    columns = ["source", "measure", "reporter", "origin", "destination"]
    more = ("undercount_class", "family", "criterion")
    words = {c: table[c].fillna("").astype(str).tolist() for c in (*columns, *more)}
    numbers = {c: table[c].to_numpy(float).tolist() for c in ("duration_months", "value")}
    side = channel_of(table, quantity).astype(str).tolist()
    span, part = spans(table).tolist(), parts_of_year(table).tolist()
    sampling = sampling_variance(table, design_effect).tolist()
    out = {}
    for k, label in enumerate(table.index.to_numpy().astype(int).tolist()):
        source, measure, reporter, origin, destination = (words[c][k] for c in columns)
        who = destination if reporter == "destination" else origin
        who = "" if reporter == "other" else who  # the source itself, as `build_reports` has it
        months, value = (numbers[c][k] for c in ("duration_months", "value"))
        grade = words["undercount_class"][k]
        out[label] = Row(
            label, source, measure, reporter, who, months, grade, value, side[k],
            words["family"][k], words["criterion"][k], span[k], part[k], sampling[k],
        )  # fmt: skip
    return out
