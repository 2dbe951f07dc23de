"""Whether a run may be published: its convergence, and what its validation came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast._sheet import Sheet
from flowcast._tabular import read_raw
from flowcast.errors import Faults
from flowcast.posterior import Posterior
from flowcast.validation import SCORECARD_COLUMNS, verdict

__all__ = ["Judgement", "judge_release", "read_scorecard"]

NUMBERS: Final = ("value", "baseline", "difference", "se", "se_folds")
WORDS: Final = ("scheme", "fold", "indicator", "metric")
"""Columns that every row of a scorecard has."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What speaks against a publication, and what has to be said with it.

    Attributes
    ----------
    reasons
        Why the run may not be published; empty if it may.
    remarks
        What its validation found besides.
    """

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


def judge_release(posterior: Posterior, scorecards: Sequence[pd.DataFrame]) -> Judgement:
    """Say whether a run may be published.

    It may not if it did not pass the convergence gate, if no scorecard tells what its intervals are
    worth, if a scorecard is of another model or other data, if the fits behind a scorecard did not
    converge, or if `verdict` refuses it.

    Parameters
    ----------
    posterior
        The run.
    scorecards
        From `cross_validate` of the same model and data, one for each scheme, or read again by
        `read_scorecard`.

    Returns
    -------
    Judgement
    """
    reasons = [f"the run did not pass the convergence gate: {f}" for f in posterior.gate.failures]
    if not posterior.gate.passed and not reasons:
        reasons.append("the run did not pass the convergence gate")
    if not scorecards:
        reasons.append("there is no scorecard: nothing says what its intervals are worth")
        return Judgement(tuple(reasons), ())
    remarks: list[str] = []
    for scorecard in scorecards:
        reasons += _other_model(posterior, scorecard)
        reasons += _unconverged(scorecard)
        found = verdict(scorecard)
        reasons += found.reasons
        remarks += found.remarks
    return Judgement(tuple(reasons), tuple(remarks))


def _schemes(scorecard: pd.DataFrame) -> str:
    return "scheme " + ", ".join(sorted(map(str, scorecard["scheme"].unique())))


def _other_model(posterior: Posterior, scorecard: pd.DataFrame) -> list[str]:
    own = posterior.info.get("fingerprint")
    theirs = scorecard["fingerprint"].dropna().unique().tolist()
    if own is None or not theirs:
        return [f"{_schemes(scorecard)}: nothing says that it is of the run's model and data"]
    if theirs != [own]:
        return [
            f"{_schemes(scorecard)}: its scorecard is of another model or other data: found "
            f"{', '.join(map(str, theirs))}; allowed: {own}"
        ]
    return []


def _unconverged(scorecard: pd.DataFrame) -> list[str]:
    gate = scorecard[
        (scorecard["indicator"] == "fit")
        & (scorecard["metric"] == "gate_passed")
        & (scorecard["fold"] != "all")
    ]
    failed = gate.loc[gate["value"] < 1.0, "fold"].astype(str).tolist()
    if not failed:
        return []
    told = f"fold {', '.join(failed)}" if len(failed) == 1 else f"folds {', '.join(failed)}"
    return [f"{_schemes(scorecard)}: the fit of {told} did not pass the convergence gate"]


def read_scorecard(path: str | Path) -> pd.DataFrame:
    """Read a scorecard that `flowcast validate --out` wrote.

    Parameters
    ----------
    path
        CSV, Parquet, Excel.

    Returns
    -------
    DataFrame
        Columns `SCORECARD_COLUMNS`.

    Raises
    ------
    InputError
        With every column that is missing and every cell that is not what it should be.
    """
    faults = Faults(str(path))
    sheet = Sheet(read_raw(Path(path), faults), faults)
    faults.raise_if_any()
    for column in (name for name in SCORECARD_COLUMNS if not sheet.has(name)):
        faults.add("no such column", "the columns of a scorecard", column=column)
    faults.raise_if_any()
    for column in WORDS:
        sheet.required(column, "a word")
    numbers = {column: sheet.numbers(column, "a number or nothing") for column in NUMBERS}
    faults.raise_if_any()
    out = sheet.raw.frame[list(SCORECARD_COLUMNS)].astype("object").assign(**numbers)
    out["apart"] = sheet.cells("apart").astype("str").str.lower() == "true"
    return out
