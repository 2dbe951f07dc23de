"""Rounding and grades of estimate tables: the rules, case by case."""

import numpy as np
import pandas as pd
import pytest
from support import tiny_posterior

from flowcast.errors import UsageError
from flowcast.estimates import summarise
from flowcast.publication import QUALITY_GRADES, grade_table, round_table, rounding_step


def one(**changes: object) -> pd.DataFrame:
    row = {"origin": "DE", "destination": "FR", "median": 100.0, "lower": 80.0, "upper": 120.0,
           "prob": 0.95, "evidence": "both_reports"}  # fmt: skip
    return pd.DataFrame([row | changes])


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({"upper": 130.0}, "A"),
        ({"upper": 131.0}, "B"),
        ({"upper": 180.0}, "B"),
        ({"upper": 280.0}, "C"),
        ({"upper": 281.0}, "D"),
        ({"evidence": "digital"}, "B"),
        ({"evidence": "digital+stock"}, "B"),
        ({"evidence": "digital+survey"}, "A"),
        ({"evidence": "none"}, "C"),
        ({"evidence": "none", "upper": 400.0}, "D"),
        ({"median": -100.0, "lower": -120.0, "upper": -80.0}, "A"),
        ({"median": 0.0, "lower": -1.0, "upper": 1.0}, "D"),
    ],
)
def test_the_worse_of_width_and_evidence_counts(changes: dict[str, object], grade: str) -> None:
    assert grade_table(one(**changes)).tolist() == [grade]


def test_all_rows_of_a_cell_have_its_grade_and_a_suppressed_one_has_none() -> None:
    table = summarise(tiny_posterior(), probs=[0.5, 0.95]).copy()
    hidden = (table["origin"] == "AT") & (table["destination"] == "DE")
    figures = ["mean", "median", "sd", "lower", "upper"]
    table.loc[hidden, figures] = np.nan
    grades = grade_table(table)
    assert grades[hidden].isna().all()
    assert grades[~hidden].isin(list(QUALITY_GRADES)).all()
    cell = [table[name] for name in ("origin", "destination", "period_start")]
    assert (grades[~hidden].groupby(cell).nunique() == 1).all()
    rounded = round_table(table)
    assert rounded.loc[hidden, figures].isna().all().all()
    assert (rounded.loc[~hidden, "median"] % 1.0 == 0.0).all()
    assert rounded.attrs == table.attrs


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"prob": 0.8}, "without a 95 %"), ({"evidence": "rumour"}, "found rumour")],
)
def test_a_table_that_cannot_be_graded_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        grade_table(one(**changes))


def test_columns_that_are_missing_are_named() -> None:
    with pytest.raises(UsageError, match="no prob, evidence"):
        grade_table(one().drop(columns=["prob", "evidence"]))
    with pytest.raises(UsageError, match="no lower and no upper"):
        round_table(one().drop(columns=["lower", "upper"]))


def test_the_step_is_a_power_of_ten_below_a_tenth_of_the_width() -> None:
    assert rounding_step([0.0, 9.0, 1000.0, 9999.0, np.nan]).tolist() == [1, 1, 100, 100, 1]
    with pytest.raises(UsageError, match="negative or infinite"):
        rounding_step([-1.0])
    with pytest.raises(UsageError, match="negative or infinite"):
        rounding_step([np.inf])
