"""Whether a model may be published, by its scorecard, with the reasons in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flowcast.errors import UsageError
from flowcast.validation.baselines import PERSISTENCE
from flowcast.validation.classes import ALL_REPORTS
from flowcast.validation.scorecard import ALL_FOLDS

__all__ = ["Verdict", "verdict"]

LEAST_COVERAGE: Final = 0.70
"""Share of reports that 80 % intervals have to hold at least."""
GOOD_COVERAGE: Final = (0.75, 0.85)
NOISE: Final = 2.0
"""Standard errors by which a model has to lose before it is said to lose."""
COVERAGE: Final = "coverage_80"
RIVALS: Final = (PERSISTENCE, "simple")
METRICS: Final = {"crps": "CRPS", "crps_log": "CRPS of logs"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scorecard says of publication.

    Attributes
    ----------
    passed
        Whether the model may be published.
    reasons
        Why not; empty if it may.
    remarks
        What was found besides, good or bad, and does not decide.
    """

    passed: bool
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        head = "may be published" if self.passed else "refused"
        return "; ".join([head, *self.reasons])


def verdict(scorecard: pd.DataFrame) -> Verdict:
    """Say whether a model may be published.

    It is refused if, in any scheme of the scorecard and on the reports of all folds,

    - its CRPS, in persons or of logs, is above that of persistence by more than two standard errors
      of the difference (paired, clustered by corridor) on the reports that both predict. Where
      persistence predicts none (one year of data, or nothing fitted of the same series), `simple`
      takes its place; or
    - its 80 % intervals hold less than 70 % of the reports;

    or if it is compared with neither.
    Where there are too few corridors for a standard error, any loss counts. Persons alone would
    not do: a few large corridors decide there, and make the standard error so large that a model
    can be wrong everywhere and not lose.

    Parameters
    ----------
    scorecard
        From `cross_validate`, of one scheme, or several joined with `pandas.concat`.

    Returns
    -------
    Verdict

    Raises
    ------
    UsageError
        If there is no report, or no scheme, in the scorecard.

    Examples
    --------
    >>> row = {"scheme": "random", "fold": "all", "indicator": "reports"}
    >>> card = pd.DataFrame([
    ...     {**row, "metric": "coverage_80", "value": 0.62},
    ...     {**row, "metric": "crps", "value": 9.0, "baseline": 12.0, "against": "persistence",
    ...      "difference": -3.0, "se": 1.0},
    ... ])
    >>> print(verdict(card))
    refused; scheme random: 80 % intervals hold 62.0 % of the reports, and have to hold 70 %
    """
    rows = scorecard[(scorecard["fold"] == ALL_FOLDS) & (scorecard["indicator"] == ALL_REPORTS)]
    held = rows[(rows["metric"] == COVERAGE) & rows["against"].isna()]
    if held["value"].notna().sum() == 0:
        raise UsageError("(verdict) | found no scored report; allowed: a scorecard with some")
    reasons, remarks = _judge_coverage(held)
    compared = rows[rows["metric"].isin(METRICS) & rows["against"].notna()]
    rival = compared.groupby("scheme")["against"].transform(_rival)
    decisive = compared["against"] == rival
    for row, decides in zip(compared.to_dict("records"), decisive, strict=True):
        lost, told = _compare(row)
        (reasons if lost and decides else remarks).append(told)
    if not (compared["against"] == PERSISTENCE).any():
        remarks.append("it is not compared with persistence, which predicts none of these reports")
    if not decisive.any():
        reasons.append(f"it is compared with neither {' nor '.join(RIVALS)}")
    return Verdict(not reasons, tuple(reasons), tuple(remarks))


def _rival(against: pd.Series) -> str:
    """Return whom a model must not lose to, of those that it is compared with."""
    return next((name for name in RIVALS if (against == name).any()), "")


def _judge_coverage(held: pd.DataFrame) -> tuple[list[str], list[str]]:
    reasons, remarks = [], []
    for scheme, share in held[["scheme", "value"]].dropna().itertuples(index=False):
        told = f"scheme {scheme}: 80 % intervals hold {100 * share:.1f} % of the reports"
        low, high = GOOD_COVERAGE
        if share < LEAST_COVERAGE:
            reasons.append(f"{told}, and have to hold {100 * LEAST_COVERAGE:.0f} %")
        elif not low <= share <= high:
            remarks.append(f"{told}: too {'narrow' if share < low else 'wide'}")
        else:
            remarks.append(f"{told}, as they should")
    return reasons, remarks


def _compare(row: Mapping[Any, Any]) -> tuple[bool, str]:
    """Return whether the model loses beyond noise, and what is to be said of it."""
    gap, se = float(row["difference"]), float(row["se"])
    noise = 0.0 if np.isnan(se) else NOISE * se
    error = "no standard error" if np.isnan(se) else f"standard error {_write(se)}"
    size = f"difference {_write(gap)}, {error}"
    outcome = "it loses" if gap > noise else "it wins" if gap < -noise else "no clear difference"
    names = f"{METRICS[row['metric']]} {_write(row['value'])} against {_write(row['baseline'])}"
    told = f"scheme {row['scheme']}: {names} of {row['against']}: {outcome} ({size})"
    return gap > noise, told


def _write(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100.0 else f"{number:.3g}"
