"""Crossings of persons counted into flows: the rules, and that nothing about a person is told."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from flowcast.errors import InputError, UsageError
from flowcast.observations import observations_from_frame
from flowcast.sources.border import COLUMNS, flows_from_crossings

NAMES = ["person", "direction", "time", "nationality", "residence", "partner"]
SPAN: dict[str, Any] = {"start": "2019-01-01", "end": "2023-01-01"}

type Rows = list[tuple[str, str, str, str, str, str]]


def record(*rows: str) -> pd.DataFrame:
    """Return a record of rows such as ``a entry 2020-03-01T10:00 KE KE UG``; - is empty."""
    cells = [["" if cell == "-" else cell for cell in row.split()] for row in rows]
    return pd.DataFrame(cells, columns=NAMES)


def counted(frame: pd.DataFrame) -> list[list[object]]:
    """Return what the contract takes: measure, both sides, year, value and flag."""
    observations_from_frame(frame)
    told = frame.assign(year=frame["period_start"].str.slice(0, 4), flag=frame["flag"].fillna(""))
    columns = ["measure", "origin", "destination", "year", "value", "flag"]
    rows: list[list[object]] = told[columns].to_numpy().tolist()
    return rows


def flows(*rows: str, **options: object) -> pd.DataFrame:
    given: dict[str, Any] = {**SPAN, "threshold": 1, **options}
    return flows_from_crossings(record(*rows), "RW", **given)


# --- the rules -----------------------------------------------------------------------------------


def test_who_enters_and_stays_is_an_immigrant_from_the_residence() -> None:
    frame = flows("a entry 2020-03-01T10:00 UG KE TZ")
    assert counted(frame) == [
        ["flow", "KE", "RW", "2020", 1, ""],
        ["immigration", "", "RW", "2020", 1, ""],
    ]
    assert set(frame["reporter"]) == {"destination"}
    assert set(frame["duration_months"]) == {12}
    assert set(frame["source"]) == {"border_crossings"}
    assert set(frame["criterion"]) == {"residence"}


def test_who_leaves_and_stays_away_is_an_emigrant_to_where_they_go() -> None:
    frame = flows("a exit 2020-03-01T10:00 UG RW TZ")
    assert counted(frame) == [
        ["flow", "RW", "TZ", "2020", 1, ""],
        ["emigration", "RW", "", "2020", 1, ""],
    ]
    assert set(frame["reporter"]) == {"origin"}


@pytest.mark.parametrize(
    ("back", "months", "moved"),
    [
        ("2021-02-28T09:59", 12, False),
        ("2021-02-28T10:00", 12, True),
        ("2020-05-29T09:59", 3, False),
        ("2020-05-29T10:00", 3, True),
        ("2020-03-14T10:00", 0.5, False),
        ("2020-03-16T10:00", 0.5, True),
    ],
)
def test_a_stay_counts_once_it_lasted_the_duration(back: str, months: float, moved: bool) -> None:
    rows = ("a entry 2020-02-29T10:00 KE KE KE", f"a exit {back} KE KE KE")
    assert (len(flows(*rows, duration_months=months)) > 0) is moved


def test_a_residents_return_and_a_visitors_exit_are_no_moves() -> None:
    frame = flows(
        "a entry 2020-03-01T10:00 RW RW KE",
        "b exit 2020-03-01T10:00 KE KE KE",
        "c exit 2020-03-01T10:00 RW RW KE",
        "c entry 2020-09-01T10:00 RW RW KE",
    )
    assert frame.empty
    assert list(frame.columns[:3]) == ["source", "family", "measure"]
    assert set(frame.attrs["counts"].values()) == {"fewer than 1"}


def test_short_visits_home_end_a_stay_unless_the_duration_is_shorter() -> None:
    months = range(1, 13)
    rows = [
        f"a {way} 2021-{month:02d}-{day}T10:00 KE KE KE"
        for month in months
        for way, day in (("entry", "02"), ("exit", "27"))
    ]
    assert flows(*rows).empty
    assert counted(flows(*rows, duration_months=0.5))[0] == ["flow", "KE", "RW", "2021", 12, ""]


def test_a_stay_whose_end_the_record_cannot_tell_is_undecided() -> None:
    frame = flows(
        "a entry 2022-01-01T00:00 KE KE KE",
        "b entry 2022-01-01T00:01 KE KE KE",
        "c exit 2022-06-01T00:01 RW RW KE",
    )
    assert counted(frame)[0] == ["flow", "KE", "RW", "2022", 1, "incomplete"]
    assert frame.attrs["counts"]["undecided"] == 2


def test_two_entries_in_a_row_are_inconsistent_and_the_second_is_followed() -> None:
    rows = ("a entry 2019-03-01T10:00 KE KE KE", "a entry 2021-03-01T10:00 KE KE KE")
    frame = flows(*rows)
    assert [row[3] for row in counted(frame)] == ["2021", "2021"]
    assert frame.attrs["counts"]["inconsistent"] == 1


def test_both_directions_at_one_time_leave_the_sequence_as_it_is() -> None:
    frame = flows(
        "a entry 2019-03-01T10:00 KE KE KE",
        "a entry 2019-05-01T10:00 KE KE KE",
        "a exit 2019-05-01T10:00 KE KE KE",
    )
    assert counted(frame)[0] == ["flow", "KE", "RW", "2019", 1, ""]
    assert frame.attrs["counts"]["inconsistent"] == 1


def test_what_is_recorded_twice_counts_once() -> None:
    frame = flows(*["a entry 2020-03-01T10:00 KE KE KE"] * 3, "b entry 2020-03-01T10:00 KE KE KE")
    assert counted(frame)[0][4] == 2
    assert frame.attrs["counts"]["recorded twice"] == 1


def test_an_unknown_residence_is_no_move_and_an_unknown_destination_only_in_the_total() -> None:
    frame = flows(
        "a entry 2020-03-01T10:00 KE - KE",
        "b entry 2020-03-01T10:00 KE XXX KE",
        "c exit 2020-03-01T10:00 KE RW -",
        "d exit 2020-03-01T10:00 KE RW RW",
        "e exit 2020-03-01T10:00 KE RW YU",
        "f exit 2020-03-01T10:00 KE RW UG",
    )
    assert counted(frame) == [
        ["flow", "RW", "UG", "2020", 1, ""],
        ["emigration", "RW", "", "2020", 4, ""],
    ]
    assert frame.attrs["counts"]["residence unknown"] == 2


def test_by_nationality_own_nationals_are_only_in_the_total() -> None:
    frame = flows(
        "a entry 2020-03-01T10:00 D KE TZ",
        "b entry 2020-03-01T10:00 RWA KE TZ",
        "c entry 2020-03-01T10:00 XXA KE TZ",
        by="nationality",
    )
    assert counted(frame) == [
        ["flow", "DE", "RW", "2020", 1, ""],
        ["immigration", "", "RW", "2020", 3, ""],
    ]
    assert set(frame["criterion"]) == {"citizenship"}


def test_years_that_the_record_does_not_cover_or_decide_are_incomplete() -> None:
    rows = [f"p{year} entry {year}-07-01T10:00 KE KE KE" for year in (2019, 2020, 2021)]
    rows += ["z exit 2022-12-31T23:59 KE KE KE"]
    told = flows(*rows, start=None, end=None)
    assert {row[3]: row[5] for row in counted(told)} == {
        "2019": "incomplete",
        "2020": "",
        "2021": "",
    }
    told = flows(*rows, end="2023-06-01", start="2019-01-01")
    assert {row[3]: row[5] for row in counted(told)} == {"2019": "", "2020": "", "2021": ""}
    short = flows(*rows, duration_months=3)
    assert {row[5] for row in counted(short)} == {""}


# --- what is not told ----------------------------------------------------------------------------


def crowd(n: int, home: str, year: int = 2020, way: str = "entry") -> list[str]:
    return [f"{home}{year}{i} {way} {year}-03-01T10:00 {home} {home} {home}" for i in range(n)]


def test_a_small_flow_is_not_told_nor_a_total_that_gives_it_away() -> None:
    frame = flows(*crowd(12, "KE"), *crowd(9, "UG"), threshold=10)
    assert counted(frame) == [["flow", "KE", "RW", "2020", 12, ""]]


def test_a_total_is_told_where_enough_persons_are_withheld_together() -> None:
    frame = flows(*crowd(12, "KE"), *crowd(9, "UG"), *crowd(4, "TZ"), threshold=10)
    assert counted(frame) == [
        ["flow", "KE", "RW", "2020", 12, ""],
        ["immigration", "", "RW", "2020", 25, ""],
    ]


def test_one_person_who_moves_often_is_one_person() -> None:
    days = pd.date_range("2020-01-01", periods=40, freq="20D").strftime("%Y-%m-%d")
    rows = [f"a {'exit' if i % 2 else 'entry'} {day}T10:00 KE KE KE" for i, day in enumerate(days)]
    assert flows(*rows, duration_months=0.5, threshold=2).empty
    assert len(flows(*rows, duration_months=0.5, threshold=1)) > 0


def test_small_counts_read_fewer_than() -> None:
    twice = [row for i in range(9) for row in [f"p{i} entry 2020-03-01T10:00 KE KE KE"] * 2]
    unknown = [f"q{i} entry 2020-03-01T10:00 KE - KE" for i in range(10)]
    told = flows(*twice, *unknown, threshold=10).attrs["counts"]
    assert told["recorded twice"] == "fewer than 10"
    assert told["undecided"] == "fewer than 10"
    assert told["residence unknown"] == 10


SECRET = ["p-4711", "sideways", "yesterday", "Gondor", "Mordor", "Rohan"]


def test_messages_name_rows_and_columns_and_no_cell() -> None:
    rows = pd.DataFrame(
        [["b", "entry", "2020-03-01 10:00", "KE", "KE", "KE"], SECRET], columns=NAMES
    )
    rows.loc[2] = ["", "exit", "2020-03-01", "KE", "KE", "KE"]
    for by in ("residence", "nationality"):
        with pytest.raises(InputError) as caught:
            flows_from_crossings(rows, "RW", by=by)
        said = str(caught.value)
        assert [cell for cell in SECRET if cell in said] == []
        assert caught.value.__cause__ is None
        assert [(f.row, f.column) for f in caught.value.faults] == [
            (3, "direction"),
            (3, "time"),
            (3, "residence"),
            (3, "nationality" if by == "nationality" else "partner"),
            (4, "person"),
            (4, "time"),
        ]


@pytest.mark.parametrize(
    "header", ["person-4711,entry,2020-03-01 10:00,KE,KE", "direction-4711,in,time-4711,KE,UG"]
)
def test_a_record_without_a_header_does_not_tell_its_first_person(
    header: str, tmp_path: Path
) -> None:
    path = tmp_path / "crossings.csv"
    path.write_text(f"{header}\n{header}\n")
    with pytest.raises(InputError) as caught:
        flows_from_crossings(path, "RW")
    said = str(caught.value).replace(str(tmp_path), "")
    assert [word for word in ("4711", "KE", "UG", "did you mean") if word in said] == []


def test_many_wrong_rows_are_not_all_listed() -> None:
    rows = record(*["a sideways 2020-03-01T10:00 KE KE KE"] * 200)
    with pytest.raises(InputError, match="and more of the same") as caught:
        flows_from_crossings(rows, "RW")
    assert len(caught.value.faults) < 30


def test_times_outside_the_record_are_refused() -> None:
    with pytest.raises(InputError, match="a time outside the record") as caught:
        flows("a entry 2018-12-31T23:59 KE KE KE", "a exit 2023-01-01T00:00 KE KE KE")
    assert [fault.row for fault in caught.value.faults] == [2, 3]


def test_missing_columns_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        flows_from_crossings(pd.DataFrame({"person": ["a"], "time": ["2020-01-01 10:00"]}), "RW")
    assert [f.column for f in caught.value.faults] == ["direction", "residence", "partner"]
    with pytest.raises(InputError, match="a record without rows"):
        flows_from_crossings(pd.DataFrame(columns=NAMES), "RW")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration_months": 13}, "allowed: months from 0 to 12"),
        ({"duration_months": float("nan")}, "allowed: months from 0 to 12"),
        ({"threshold": 0}, "allowed: whole persons, 1 or more"),
        ({"threshold": 2.5}, "allowed: whole persons, 1 or more"),
        ({"by": "citizenship"}, "allowed: residence, nationality"),
        ({"start": "1 May"}, "found start '1 May'; allowed: a day"),
    ],
)
def test_options_that_are_none(options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        flows("a entry 2020-03-01T10:00 KE KE KE", **options)
    with pytest.raises(InputError, match="did you mean RW"):
        flows_from_crossings(record("a entry 2020-03-01T10:00 KE KE KE"), "RWX")


# --- files ---------------------------------------------------------------------------------------


def test_a_file_is_counted_where_it_lies_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "crossings.csv"
    path.write_text(
        "Traveller ID,Entry/Exit,Date-Time,Country of Residence,Going to,Post,Purpose\n"
        "x1,ENTRY,2020-03-01 10:00,Kenya,,Gatuna,work\n"
        "x2,Arrival,2020-03-01T10:00:30,KEN,,Gatuna,work\n"
        "x3,out,2020-03-01 10:00,rw,NA,Gatuna,work\n"
    )
    frame = flows_from_crossings(path, "RWA", threshold=1, **SPAN)
    assert counted(frame) == [
        ["flow", "RW", "NA", "2020", 1, ""],
        ["emigration", "RW", "", "2020", 1, ""],
        ["flow", "KE", "RW", "2020", 2, ""],
        ["immigration", "", "RW", "2020", 2, ""],
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["crossings.csv"]


def test_typed_times_are_taken_as_local() -> None:
    rows = record("a entry 2020-03-01T10:00 KE KE KE", "b exit 2020-03-01T10:00 RW RW KE")
    text = flows_from_crossings(rows, "RW", threshold=1, **SPAN)
    for zone in (None, "Africa/Kigali"):
        typed = rows.assign(time=pd.to_datetime(rows["time"]).dt.tz_localize(zone))
        assert flows_from_crossings(typed, "RW", threshold=1, **SPAN).equals(text)


def test_every_spelling_of_a_column_is_known() -> None:
    rows = record("a entry 2020-03-01T10:00 KE KE KE")
    for name in NAMES:
        for spelling in COLUMNS[name]:
            told = flows_from_crossings(
                rows.rename(columns={name: spelling.replace("_", " ").title()}),
                "RW",
                threshold=1,
                by="nationality" if name == "nationality" else "residence",
                **SPAN,
            )
            assert len(told) == 2, spelling


def test_a_hundred_thousand_rows_take_seconds() -> None:
    """Each person enters once and stays, so that the answer is known."""
    n = 100_000
    minutes = pd.to_timedelta(np.arange(n), unit="min")
    rows = pd.DataFrame(
        {
            "person": np.arange(n),
            "direction": "entry",
            "time": pd.Timestamp("2020-01-01") + minutes,
            "residence": np.resize(["KE", "UG", "TZ", "CD"], n),
            "partner": "",
        }
    )
    before = datetime.now()
    told = flows_from_crossings(rows, "RW", **SPAN)
    assert datetime.now() - before < timedelta(seconds=60)
    assert told["value"].tolist() == [n / 4] * 4 + [n]


# --- for any record ------------------------------------------------------------------------------

PLACES = st.sampled_from(["RW", "RW", "KE", "UG", ""])
CROSSINGS = st.builds(
    lambda person, way, day, nationality, residence, partner: (
        f"p{person}",
        way,
        (datetime(2019, 1, 1, 10) + timedelta(days=day)).strftime("%Y-%m-%d %H:%M"),
        nationality,
        residence,
        partner,
    ),
    st.integers(0, 9),
    st.sampled_from(["entry", "exit"]),
    st.one_of(st.integers(0, 1200), st.integers(0, 3)),
    PLACES,
    PLACES,
    PLACES,
)
RECORDS = st.lists(CROSSINGS, min_size=1, max_size=40)
MONTHS = st.sampled_from([1, 6, 12])
SIDES = st.sampled_from(["residence", "nationality"])
ANY = settings(max_examples=40)


def follow(rows: Rows, months: int, by: str) -> list[tuple[str, str, tuple[int, str, str]]]:
    """Return person, outcome, and year, direction and partner of every row, one by one."""
    end = pd.Timestamp(SPAN["end"])
    found: list[tuple[str, str, tuple[int, str, str]]] = []
    groups: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for person, way, time, nationality, home, partner in rows:
        side = nationality if by == "nationality" else home if way == "entry" else partner
        groups[person].append((time, way, home, side))
    for person, own in groups.items():
        kept = []
        for row in sorted(own, key=lambda r: (r[0], r[1] == "entry", r[2], r[3])):
            if kept and row[:2] == kept[-1][:2]:
                found.append((person, "recorded twice", (0, "", "")))
            else:
                kept.append(row)
        ways = Counter(row[0] for row in kept)
        found += [(person, "inconsistent", (0, "", "")) for row in kept if ways[row[0]] == 2]
        chain = [row for row in kept if ways[row[0]] == 1]
        for row, after in zip(chain, [*chain, None][1:], strict=True):
            time, way, home, side = row
            lasted = pd.Timestamp(time) + pd.DateOffset(months=months)
            outcome = "nothing"
            if after and after[1] == way:
                outcome = "inconsistent"
            elif home == "":
                outcome = "residence unknown"
            elif (way == "entry") != (home == "RW"):
                until = pd.Timestamp(after[0]) if after else end
                outcome = "move" if until >= lasted else "nothing" if after else "undecided"
            found.append((person, outcome, (int(time[:4]), way, side if side != "RW" else "")))
    return found


def count(rows: Rows, **options: object) -> pd.DataFrame:
    given: dict[str, Any] = {**SPAN, **options}
    return flows_from_crossings(pd.DataFrame(rows, columns=NAMES), "RW", **given)


@ANY
@for_any(RECORDS, MONTHS, SIDES)
def test_every_crossing_is_counted_once_and_as_one_thing(rows: Rows, months: int, by: str) -> None:
    frame = count(rows, duration_months=months, by=by, threshold=1)
    expected = follow(rows, months, by)
    assert len(expected) == len(rows)
    moves = [key for _, outcome, key in expected if outcome == "move"]
    totals = frame[frame["measure"] != "flow"]
    assert totals["value"].sum() == len(moves)
    told = Counter(
        {
            (int(row.period_start[:4]), "entry", row.origin)
            if row.destination == "RW"
            else (int(row.period_start[:4]), "exit", row.destination): row.value
            for row in frame[frame["measure"] == "flow"].itertuples()
        }
    )
    assert told == Counter(key for key in moves if key[2])
    persons = {
        name: len({p for p, o, _ in expected if o == name}) for name in frame.attrs["counts"]
    }
    assert frame.attrs["counts"] == {k: n or "fewer than 1" for k, n in persons.items()}


@ANY
@for_any(RECORDS, MONTHS, SIDES, st.integers(2, 4))
def test_no_number_is_about_fewer_persons_than_the_threshold(
    rows: Rows, months: int, by: str, threshold: int
) -> None:
    frame = count(rows, duration_months=months, by=by, threshold=threshold)
    persons: dict[tuple[int, str, str], set[str]] = defaultdict(set)
    for person, outcome, key in follow(rows, months, by):
        if outcome == "move":
            persons[key].add(person)
    for (year, entry), part in frame.groupby(
        [frame["period_start"].str.slice(0, 4).astype(int), frame["destination"] == "RW"]
    ):
        way = "entry" if entry else "exit"
        side = "origin" if entry else "destination"
        inner = part[part["measure"] == "flow"]
        assert all(len(persons[year, way, code]) >= threshold for code in inner[side])
        if (part["measure"] != "flow").any():
            rest = [
                p
                for (y, w, code), p in persons.items()
                if (y, w) == (year, way) and code not in set(inner[side])
            ]
            assert not rest or len(set().union(*rest)) >= threshold
    assert (frame["value"] >= threshold).all()
    told = frame.attrs["counts"].values()
    assert all(n == f"fewer than {threshold}" or n >= threshold for n in told)


@ANY
@for_any(RECORDS, st.randoms(use_true_random=False), st.integers(1, 3), SIDES)
def test_the_order_of_the_rows_makes_no_difference(
    rows: Rows, random: Random, threshold: int, by: str
) -> None:
    one = count(rows, threshold=threshold, by=by)
    mixed = list(rows)
    random.shuffle(mixed)
    other = count(mixed, threshold=threshold, by=by)
    assert one.equals(other)
    assert one.attrs == other.attrs


@ANY
@for_any(RECORDS, MONTHS, SIDES, st.integers(1, 3))
def test_what_is_counted_passes_the_contract(
    rows: Rows, months: int, by: str, threshold: int
) -> None:
    frame = count(rows, duration_months=months, by=by, threshold=threshold)
    assert frame.empty or observations_from_frame(frame).n == len(frame)
