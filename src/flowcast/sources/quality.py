"""Data quality: what a statistical office would ask of reports before anybody models them.

Who covers what, by which definition, how the reports agree with those of the other side, which of
them stand out, where a series breaks and what was revised. It describes; it corrects nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.observations import Observations
from flowcast.sources._quality_breaks import find_changes
from flowcast.sources._quality_coverage import cover, definition_spells, summarise_coverage
from flowcast.sources._quality_files import choose_format, read_files, render, write
from flowcast.sources._quality_mirror import (
    mirror_by_definition,
    mirror_by_year,
    pair_reports,
    summarise_mirror,
)
from flowcast.sources._quality_reports import collect
from flowcast.sources._quality_revisions import compare_vintages, summarise_revisions
from flowcast.sources._quality_series import find_outliers, make_levels
from flowcast.sources._quality_statistics import MEDIAN_KIND
from flowcast.sources._quality_tidy import INDICATORS, TIDY_COLUMNS, tidy

__all__ = [
    "INDICATORS",
    "MEDIAN_KIND",
    "TIDY_COLUMNS",
    "QualityReport",
    "assess",
    "choose_format",
    "read_files",
    "render",
    "write",
]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QualityReport:
    """What was found about the quality of reports, as tables.

    A reporter is a place that reports as `side` ``origin`` (whom it lost) or ``destination`` (whom
    it received); ``other`` is neither. All tables begin with `source, measure, reporter, side`.

    Attributes
    ----------
    names
        Of the observations, as given.
    sources
        Ids of the sources, sorted.
    places
        Single places of the input, sorted.
    years
        Years, or other periods, in order of their beginning.
    n_rows, n_reports, n_judged
        Rows of the input; reports among them (each in its newest vintage); reports that could be
        judged to be outliers or not.
    prob, kind
        Probability of all intervals, and what they are.
    coverage, coverage_summary
        What is reported, by year and over all years.
    definitions
        Spells of years with one definition.
    mirror, mirror_summary, mirror_definitions
        Ratio of report to mirror report: by year, over all years, and apart for each pair of
        minimum stays.
    outliers
        Single reports that stand out.
    changes
        Change of level from year to year, with breaks marked in `status`.
    revisions, revised
        What newer vintages changed: by year, and figure by figure.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    places: tuple[str, ...]
    years: tuple[str, ...]
    n_rows: int
    n_reports: int
    n_judged: int
    prob: float
    kind: str
    coverage: pd.DataFrame
    coverage_summary: pd.DataFrame
    definitions: pd.DataFrame
    mirror: pd.DataFrame
    mirror_summary: pd.DataFrame
    mirror_definitions: pd.DataFrame
    outliers: pd.DataFrame
    changes: pd.DataFrame
    revisions: pd.DataFrame
    revised: pd.DataFrame

    @property
    def breaks(self) -> pd.DataFrame:
        """The marked rows of `changes`: breaks, odd years, and what may be either."""
        return self.changes[self.changes["status"] != ""].reset_index(drop=True)

    def table(self) -> pd.DataFrame:
        """Return everything as one long table.

        Returns
        -------
        pandas.DataFrame
            Columns `TIDY_COLUMNS`: one row per indicator of a reporter, year and partner; an empty
            `year` is all years together.
        """
        return tidy(self)

    def __repr__(self) -> str:
        return (
            f"QualityReport({' + '.join(self.names)}: {self.n_reports} reports, "
            f"{len(self.outliers)} outliers, {len(self.breaks)} marked years; "
            f"{100 * self.prob:g} % {self.kind})"
        )


def assess(
    observations: Observations | Sequence[Observations],
    *,
    prob: float = 0.95,
    vintages: Sequence[str] | None = None,
    rows: Sequence[NDArray[np.int64]] | None = None,
) -> QualityReport:
    """Assess the quality of reports. Nothing is corrected.

    Parameters
    ----------
    observations
        Reports in the contract, persons per period; several are joined.
    prob
        Probability of the intervals of medians.
    vintages
        Names of the observations as vintages of one another, the oldest first: a figure that stands
        in several of them was revised, and the newest counts. By default they are different data.
        The column `vintage` of the contract is used in any case.
    rows
        Row numbers of each of the observations in its file, as an editor counts them, shape (row,);
        by default the first row is 2.

    Returns
    -------
    QualityReport

    Raises
    ------
    UsageError
        If `prob` is no probability, or the observations do not go together.
    InputError
        If a figure stands in two of the observations, and they are not vintages.

    Examples
    --------
    >>> from flowcast.observations import read_observations
    >>> from flowcast.resources import embedded_path
    >>> reports = read_observations(embedded_path("data", "europe_2024", "observations.csv"))
    >>> quality = assess(reports)
    >>> ratios = quality.mirror_summary.set_index(["reporter", "side"])
    >>> ratios.loc[("SK", "origin"), ["ratio", "lower", "upper", "n"]].round(2).tolist()
    [0.07, 0.03, 0.13, 14.0]
    """
    if not 0.0 < prob < 1.0:
        raise UsageError(f"(prob) | found {prob:g}; allowed: a probability between 0 and 1")
    given = [observations] if isinstance(observations, Observations) else list(observations)
    reports = collect(given, rows, vintages)
    levels, pairs = make_levels(reports), pair_reports(reports)
    coverage = cover(reports)
    outliers = find_outliers(reports, levels, pairs)
    revised = compare_vintages(reports)
    periods = reports.newest.sort_values(["period_start", "period_end"])["year"]
    return QualityReport(
        names=tuple(one.name for one in given),
        sources=tuple(sorted(reports.newest["source"].unique())),
        places=reports.places,
        years=tuple(dict.fromkeys(periods)),
        n_rows=len(reports.every),
        n_reports=len(reports.newest),
        n_judged=outliers.attrs["judged"],
        prob=prob,
        kind=MEDIAN_KIND,
        coverage=coverage.drop(columns=["period_start", "period_end"]),
        coverage_summary=summarise_coverage(coverage),
        definitions=definition_spells(reports),
        mirror=mirror_by_year(pairs, prob),
        mirror_summary=summarise_mirror(pairs, prob),
        mirror_definitions=mirror_by_definition(pairs, prob),
        outliers=outliers,
        changes=find_changes(reports, levels, prob),
        revisions=summarise_revisions(revised, prob),
        revised=revised[revised["revised"]].drop(columns="period_start").reset_index(drop=True),
    )
