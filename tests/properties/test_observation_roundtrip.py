"""Valid tables survive writing and reading, and nothing depends on the order of rows."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowcast.errors import InputError
from flowcast.observations import observations_from_frame, read_observations
from flowcast.vocabulary import (
    CRITERIA,
    FAMILIES,
    GRADES,
    MEASURES,
    OBSERVATION_COLUMNS,
    OBSERVATION_KEY,
    REPORTERS,
)

# Countries that exist in every year, so that any of them may stand beside any period.
CODES = ("AT", "BE", "NA", "FR", "US", "JP", "nordic")
KEY = [name for name in OBSERVATION_KEY if not name.startswith("period")]
WORD = st.text("abcXYZ019_- ,\"'é", min_size=1, max_size=8).map(str.strip).filter(bool)


def optional(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


@st.composite
def rows(draw: st.DrawFn) -> dict[str, object]:
    origin, destination = draw(st.permutations(CODES).map(lambda codes: codes[:2]))
    year = draw(st.integers(1950, 2050))
    number = st.floats(0, 1e9, allow_subnormal=False)
    return {
        "source": draw(WORD),
        "family": draw(st.sampled_from(FAMILIES)),
        "measure": draw(st.sampled_from(MEASURES)),
        "origin": origin,
        "destination": destination,
        "period_start": f"{year}-{draw(st.integers(1, 12)):02}-01",
        "period_end": f"{year + draw(st.integers(1, 5))}-{draw(st.integers(1, 12)):02}-28",
        "value": draw(number),
        "reporter": draw(st.sampled_from(REPORTERS)),
        "duration_months": draw(optional(st.floats(0, 12) | st.just(60.0))),
        "undercount_class": draw(optional(st.sampled_from(GRADES))),
        "accuracy_class": draw(optional(st.sampled_from(GRADES))),
        "standard_error": draw(optional(number)),
        "sample_size": draw(optional(st.integers(1, 10**6))),
        "censored_below": draw(optional(number)),
        "criterion": draw(optional(st.sampled_from(CRITERIA))),
        "age": draw(optional(WORD)),
        "sex": draw(optional(st.sampled_from(["F", "M"]))),
        "vintage": draw(optional(st.dates(pd.Timestamp(1990, 1, 1).date()).map(str))),
        "flag": draw(optional(WORD)),
    }


def key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple((row[name] or "residence") if name == "criterion" else row[name] for name in KEY)


TABLES = st.lists(rows(), min_size=1, max_size=12, unique_by=key).map(pd.DataFrame)


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(list(OBSERVATION_COLUMNS), ignore_index=True)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@settings(max_examples=20)
@given(table=TABLES)
def test_round_trip(
    suffix: str, table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    observations = observations_from_frame(table)
    path: Path = tmp_path_factory.mktemp("roundtrip") / f"flows{suffix}"
    if suffix == ".parquet":
        observations.table.to_parquet(path)
    else:
        observations.table.to_csv(path, index=False)
    again = read_observations(path)
    pd.testing.assert_frame_equal(again.table, observations.table)
    assert again.fixes == ()


@settings(max_examples=30)
@given(table=TABLES, seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(table: pd.DataFrame, seed: int) -> None:
    shuffled = table.sample(frac=1, random_state=seed)
    observations, other = observations_from_frame(table), observations_from_frame(shuffled)
    pd.testing.assert_frame_equal(ordered(observations.table), ordered(other.table))
    pd.testing.assert_frame_equal(observations.coverage(), other.coverage())


@settings(max_examples=30)
@given(table=TABLES, order=st.permutations(list(range(20))))
def test_the_order_of_columns_does_not_matter(table: pd.DataFrame, order: list[int]) -> None:
    moved = table.iloc[:, order]
    pd.testing.assert_frame_equal(
        observations_from_frame(moved).table, observations_from_frame(table).table
    )


@settings(max_examples=30)
@given(table=TABLES)
def test_checking_twice_changes_nothing(table: pd.DataFrame) -> None:
    once = observations_from_frame(table).table
    pd.testing.assert_frame_equal(observations_from_frame(once).table, once)


@settings(max_examples=30)
@given(table=TABLES, data=st.data())
def test_any_row_given_twice_is_a_duplicate(table: pd.DataFrame, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, len(table) - 1))
    doubled = pd.concat([table, table.iloc[[chosen]]], ignore_index=True)
    with pytest.raises(InputError) as caught:
        observations_from_frame(doubled)
    (fault,) = caught.value.faults
    assert (fault.row, fault.found) == (len(table) + 2, f"the same key as row {chosen + 2}")


@settings(max_examples=30)
@given(table=TABLES.filter(lambda t: len(t) > 1), seed=st.integers(0, 99))
def test_split_loses_nothing(table: pd.DataFrame, seed: int) -> None:
    observations = observations_from_frame(table)
    fit, held = observations.split(0.5, seed)
    assert held.n == round(observations.n / 2)
    both = pd.concat([fit.table, held.table], ignore_index=True)
    pd.testing.assert_frame_equal(ordered(both), ordered(observations.table))


@settings(max_examples=50)
@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused_in_words(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path: Path = tmp_path_factory.mktemp("anything") / "flows.csv"
    path.write_bytes(io.BytesIO(text.encode("utf-8", "surrogatepass")).getvalue())
    with pytest.raises(InputError) as caught:
        read_observations(path)
    assert all(fault.found for fault in caught.value.faults)


def test_missing_numbers_stay_unknown() -> None:
    table = pd.DataFrame(
        [
            {
                "source": "s",
                "family": "survey",
                "measure": "flow",
                "origin": "AT",
                "destination": "BE",
                "year": 2024,
                "value": 0,
                "reporter": "other",
                "duration_months": None,
            }
        ]
    )
    assert np.isnan(observations_from_frame(table).table.loc[0, "duration_months"])
