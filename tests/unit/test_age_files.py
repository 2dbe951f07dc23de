"""Files of migrants by age, schedules and shares; tables of flows that are split."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    age_shares,
    fit_schedules,
    group_rates,
    read_ages,
    read_flow_table,
    read_schedules,
    read_sex_shares,
    split_table,
    tidy_schedules,
)
from flowcast.errors import InputError, UsageError

PARAMETERS = ",".join(STANDARD_SCHEDULE)
VALUES = ",".join(map(str, STANDARD_SCHEDULE.values()))
LATER = VALUES.replace("20.0", "27.0")
FLOWS = "origin,destination,flow\nA,NA,100.5\nNA,A,20\n"
ESTIMATES = (
    "origin,destination,period_start,period_end,measure,mean,median,sd,lower,upper,prob,kind,"
    "evidence\nA,NA,2020-01-01,2021-01-01,flow,100,95,20,60,150,0.95,equal_tailed,none\n"
    ",NA,2020-01-01,2021-01-01,immigration,40,38,8,30,60,0.95,equal_tailed,none\n"
)
BROAD = ["0-14", "15-64", "65+"]


@pytest.fixture
def write(tmp_path: Path) -> Any:  # noqa: ANN401
    def one(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return one


def refused(reader: Any, path: Path) -> list[str]:  # noqa: ANN401
    with pytest.raises(InputError) as caught:
        reader(path)
    return [str(fault).replace(str(path), "F") for fault in caught.value.faults]


# Migrants by age


def test_groups_ages_and_people_at_risk(write: Any) -> None:  # noqa: ANN401
    path = write(
        "ages.csv",
        "origin,destination,sex,age,migrants,population\n"
        "NA,A,female,5+,3,40\nNA,A,female,0-4,1,10\nA,NA,male,0-4,5,20\nA,NA,male,5+,7,80\n",
    )
    data = read_ages(path)
    assert data["migrants"].dims == ("group", "age")
    assert data["age"].to_numpy().tolist() == ["0-4", "5+"]
    assert data["migrants"].to_numpy().tolist() == [[1.0, 3.0], [5.0, 7.0]]
    assert data["population"].to_numpy().tolist() == [[10.0, 40.0], [20.0, 80.0]]
    assert data["origin"].to_numpy().tolist() == ["NA", "A"]
    assert data["sex"].to_numpy().tolist() == ["female", "male"]


def test_a_file_without_places_is_one_group(write: Any) -> None:  # noqa: ANN401
    data = read_ages(write("ages.csv", "age,migrants\n0,1\n1,2\n2+,3\n"))
    assert data["migrants"].to_numpy().tolist() == [[1.0, 2.0, 3.0]]


def test_every_fault_of_a_file_of_ages_is_told(write: Any) -> None:  # noqa: ANN401
    path = write(
        "ages.csv", "place,age,migrants\nA,0-4,1\nA,0-4,2\n,5-9,3\nA,10 to 14,-4\nB,0-4,many\n"
    )
    assert refused(read_ages, path) == [
        "(F, row 3, place) | found the same place and age as row 2; allowed: one row per place "
        "and age",
        "(F, row 4, place) | found an empty cell; allowed: a place",
        "(F, row 5, age) | found '10 to 14'; allowed: completed years, as 0, 0-4 or 85+; did you "
        "mean 10-14?",
        "(F, row 5, migrants) | found -4; allowed: persons, 0 or more",
        "(F, row 6, migrants) | found text 'many'; allowed: persons, 0 or more",
    ]


def test_ages_that_are_left_out_or_overlap(write: Any) -> None:  # noqa: ANN401
    path = write("ages.csv", "place,age,migrants\nA,0-4,1\nA,5+,1\nB,0-4,1\n")
    (told,) = refused(read_ages, path)
    assert told.startswith("(F) | found no row for age 5+ of place B; allowed: the same ages")
    path = write("ages.csv", "age,migrants\n0-4,1\n4-9,1\n")
    assert "found 0-4 and then 4-9" in refused(read_ages, path)[0]


def test_columns_that_are_missing_or_too_many(write: Any) -> None:  # noqa: ANN401
    (told,) = refused(read_ages, write("ages.csv", "place,age,migrant\nA,0-4,1\n"))
    assert told == "(F, row 1, migrants) | found no such column; allowed: this column; did you " \
        "mean migrant?"  # fmt: skip
    path = write("ages.csv", "place,origin,age,migrants\nA,A,0-4,1\n")
    assert "found a column beside origin or destination" in refused(read_ages, path)[0]


# Schedules


def test_schedules_survive_a_file(write: Any) -> None:  # noqa: ANN401
    rows = ["place,age,migrants"]
    for place, mu in (("A", 20.0), ("NA", 26.0)):
        schedule = Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu})
        values = 1e5 * group_rates(schedule, FIVE_YEAR_AGES).to_numpy()
        rows += [f"{place},{a},{v}" for a, v in zip(FIVE_YEAR_AGES, values, strict=True)]
    fit = fit_schedules(read_ages(write("ages.csv", "\n".join(rows)))["migrants"])
    table = tidy_schedules(fit.schedule, "shares", fit)
    path = write("schedules.csv", table.to_csv(index=False))
    found = read_schedules(path)
    assert found.kind == "shares"
    assert found.schedule.values["place"].to_numpy().tolist() == ["A", "NA"]
    np.testing.assert_allclose(found.schedule.values, fit.schedule.values, rtol=1e-12)
    assert table["converged"].all()
    assert {"deviance", "bic", "n_starts", "n_agreeing", "at_bound"} <= set(table)


def test_schedules_with_draws(write: Any) -> None:  # noqa: ANN401
    rows = [f"{p},{d},rates,{v}" for d, v in ((0, VALUES), (1, LATER)) for p in ("A", "NA")]
    path = write("s.csv", f"origin,draw,kind,{PARAMETERS}\n" + "\n".join(rows))
    found = read_schedules(path)
    assert dict(found.schedule.values.sizes) == {"group": 2, "draw": 2, "parameter": 7}
    assert found.schedule.values.sel(parameter="mu2").to_numpy().tolist() == [[20.0, 27.0]] * 2
    back = tidy_schedules(found.schedule, found.kind)
    assert back["draw"].tolist() == [0, 1, 0, 1]
    assert back["origin"].tolist() == ["A", "A", "NA", "NA"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"kind,{PARAMETERS},a4\nrates,{VALUES},1\n", "found parameters a1, alpha1"),
        ("kind,a1\nrates,1\n", "found no alpha1, a2, alpha2, mu2, lambda2, c"),
        (f"kind,{PARAMETERS}\nrate,{VALUES}\n", "found 'rate'; allowed: rates, shares; did you "
         "mean rates?"),
        (f"kind,{PARAMETERS}\nrates,{VALUES.replace('0.06', '-1')}\n", "row 2, a2) | found -1"),
        (f"kind,{PARAMETERS}\nrates,{VALUES.replace('0.4', '0')}\n", "row 2, lambda2) | found 0"),
        (f"kind,{PARAMETERS}\nrates,{VALUES}\nrates,{VALUES}\n", "found 2 rows without a place"),
        (f"place,kind,{PARAMETERS}\nA,rates,{VALUES}\nB,shares,{VALUES}\n", "schedules of one"),
        (f"place,kind,{PARAMETERS}\nA,rates,{VALUES}\nA,rates,{VALUES}\n", "the same place as"),
        (f"place,draw,kind,{PARAMETERS}\nA,0,rates,{VALUES}\nA,1,rates,{VALUES}\n"
         f"B,0,rates,{VALUES}\n", "found 1 to 2 draws; allowed: as many draws of each group"),
        (f"{PARAMETERS}\n{VALUES}\n", "(F, row 1, kind) | found no such column"),
    ],
)  # fmt: skip
def test_files_of_schedules_that_are_none(write: Any, text: str, said: str) -> None:  # noqa: ANN401
    assert any(said in told for told in refused(read_schedules, write("s.csv", text)))


# Shares by sex


def test_shares_by_sex_from_migrants_or_shares(write: Any) -> None:  # noqa: ANN401
    found = read_sex_shares(write("s.csv", "sex,migrants\nfemale,30\nmale,90\n"))
    assert found.to_numpy().tolist() == [[0.25, 0.75]]
    text = "destination,sex,share\nNA,female,0.4\nNA,male,0.6\nA,male,0.5\nA,female,0.5\n"
    found = read_sex_shares(write("s.csv", text))
    assert found["destination"].to_numpy().tolist() == ["NA", "A"]
    np.testing.assert_allclose(found, [[0.4, 0.6], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sex,share\nfemale,0.4\nmale,0.7\n",
            "(F, share) | found 1.1 in all; allowed: shares that",
        ),
        (
            "place,sex,share\nA,female,0.4\nA,male,0.6\nB,male,1\n",
            "no row for sex female of place B",
        ),
        ("sex,migrants\nfemale,0\nmale,0\n", "found nobody; allowed: migrants of some sex"),
        ("sex,share\nfemale,0.4\nfemale,0.6\n", "found the same sex as row 2"),
        ("sex\nfemale\n", "(F, row 1, share) | found no such column"),
    ],
)
def test_files_of_shares_that_are_none(write: Any, text: str, said: str) -> None:  # noqa: ANN401
    assert any(said in told for told in refused(read_sex_shares, write("s.csv", text)))


# Tables of flows


def schedules(write: Any, key: str = "place", kind: str = "shares") -> Any:  # noqa: ANN401
    keys = {"place": ["A", "NA"], "origin,destination": ["A,NA", "NA,A"]}[key]
    rows = [f"{k},{kind},{v}" for k, v in zip(keys, (VALUES, LATER), strict=True)]
    return read_schedules(write("sch.csv", f"{key},kind,{PARAMETERS}\n" + "\n".join(rows)))


def shares(mu2: float) -> np.ndarray:
    return age_shares(Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu2}), BROAD).to_numpy()


def test_a_table_of_flows_is_split(write: Any) -> None:  # noqa: ANN401
    table = read_flow_table(write("flows.csv", FLOWS))
    found = split_table(table, schedules(write), BROAD, side="destination")
    assert found.columns.tolist() == ["origin", "destination", "age", "flow"]
    assert found["age"].tolist() == BROAD * 2
    np.testing.assert_allclose(found["flow"][:3], 100.5 * shares(27.0))
    np.testing.assert_allclose(found["flow"][3:], 20.0 * shares(20.0))
    other = split_table(table, schedules(write, "origin,destination"), BROAD)
    np.testing.assert_allclose(other["flow"][:3], 100.5 * shares(20.0))


def test_estimates_are_split_and_intervals_say_what_they_hold(write: Any) -> None:  # noqa: ANN401
    table = read_flow_table(write("estimates.csv", ESTIMATES))
    sexes = read_sex_shares(write("sex.csv", "sex,share\nfemale,0.4\nmale,0.6\n"))
    found = split_table(table, schedules(write), BROAD, sex_shares=sexes, side="destination")
    assert found.columns.tolist() == [
        "origin", "destination", "period_start", "period_end", "measure", "age", "sex", "mean",
        "median", "sd", "lower", "upper", "prob", "kind", "evidence", "interval_basis",
    ]  # fmt: skip
    assert len(found) == 12
    assert set(found["interval_basis"]) == {"given_schedule"}
    assert found.groupby("measure")["mean"].sum().tolist() == pytest.approx([100.0, 40.0])
    first = found.iloc[0]
    share = 0.4 * shares(27.0)[0]
    got = first[["mean", "median", "sd", "lower", "upper"]].to_numpy(dtype=float)
    np.testing.assert_allclose(got, share * np.array([100, 95, 20, 60, 150.0]))
    assert (found["prob"] == 0.95).all()


def test_schedules_of_rates_need_people_at_risk(write: Any) -> None:  # noqa: ANN401
    table = read_flow_table(write("flows.csv", FLOWS))
    rates = schedules(write, kind="rates")
    text = (
        "place,age,population\nA,0-14,50\nA,15-64,20\nA,65+,10\nNA,0-14,5\nNA,15-64,5\nNA,65+,0\n"
    )
    people = read_ages(write("p.csv", text), ("population",))["population"]
    found = split_table(table, rates, side="origin", population=people)
    moves = group_rates(Schedule.of(**STANDARD_SCHEDULE), BROAD).to_numpy() * [50, 20, 10]
    np.testing.assert_allclose(found["flow"][:3], 100.5 * moves / moves.sum())
    assert float(found["flow"][5]) == 0.0
    with pytest.raises(UsageError, match="people at risk with rates"):
        split_table(table, rates, side="origin")
    with pytest.raises(UsageError, match="found it with schedules of shares"):
        split_table(table, schedules(write), side="origin", population=people)


def test_draws_of_schedules_give_the_mean_of_their_shares(write: Any) -> None:  # noqa: ANN401
    rows = f"kind,draw,{PARAMETERS}\nshares,0,{VALUES}\nshares,1,{LATER}\n"
    found = split_table(
        read_flow_table(write("flows.csv", FLOWS)), read_schedules(write("s.csv", rows)), BROAD
    )
    np.testing.assert_allclose(found["flow"][:3], 100.5 * (shares(20.0) + shares(27.0)) / 2)


def test_whole_persons_add_up(write: Any) -> None:  # noqa: ANN401
    table = read_flow_table(write("flows.csv", FLOWS))
    sexes = read_sex_shares(write("sex.csv", "sex,share\nfemale,0.4\nmale,0.6\n"))
    found = split_table(table, schedules(write), sex_shares=sexes, side="origin", whole_seed=3)
    assert (found["flow"] == found["flow"].round()).all()
    sums = found.groupby("origin")["flow"].sum()
    assert sums["A"] in (100.0, 101.0)
    assert sums["NA"] == 20.0
    estimates = read_flow_table(write("estimates.csv", ESTIMATES))
    with pytest.raises(UsageError, match=r"allowed: flow alone"):
        split_table(estimates, schedules(write), side="origin", whole_seed=3)


def test_what_lacks_a_schedule_is_told(write: Any) -> None:  # noqa: ANN401
    table = read_flow_table(write("flows.csv", FLOWS + "B,A,3\nB,NA,4\nC,A,3\n"))
    with pytest.raises(InputError) as caught:
        split_table(table, schedules(write), side="origin")
    told = [str(fault) for fault in caught.value.faults]
    assert len(told) == 2
    assert "found origin B, without a schedule" in told[0]


def test_usage_of_sides_and_sexes(write: Any) -> None:  # noqa: ANN401
    table = read_flow_table(write("flows.csv", FLOWS))
    with pytest.raises(UsageError, match="schedules by place, and no side"):
        split_table(table, schedules(write))
    with pytest.raises(UsageError, match="a side, and nothing by place"):
        split_table(table, schedules(write, "origin,destination"), side="origin")
    rows = f"sex,kind,{PARAMETERS}\nfemale,shares,{VALUES}\nmale,shares,{LATER}\n"
    of_sexes = read_schedules(write("s.csv", rows))
    with pytest.raises(UsageError, match="schedules by sex, and flows of both"):
        split_table(table, of_sexes)
    sexes = read_sex_shares(write("sex.csv", "sex,share\nfemale,0.4\nmale,0.6\n"))
    found = split_table(table, of_sexes, BROAD, sex_shares=sexes)
    np.testing.assert_allclose(found["flow"][:3], 40.2 * shares(20.0))
    np.testing.assert_allclose(found["flow"][3:6], 60.3 * shares(27.0))
    done = read_flow_table(
        write("f.csv", "origin,destination,sex,flow\nA,NA,female,10\nA,NA,male,5\n")
    )
    np.testing.assert_allclose(split_table(done, of_sexes, BROAD)["flow"][3:], 5.0 * shares(27.0))
    with pytest.raises(UsageError, match="found them and flows by sex"):
        split_table(done, of_sexes, sex_shares=sexes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FLOWS.replace("100.5", "-1"), "(F, row 2, flow) | found -1"),
        (FLOWS.replace("flow", "flows"), "(F, row 1, flow) | found no such column"),
        (FLOWS + ",,3\n", "(F, row 4, origin) | found neither origin nor destination"),
        (ESTIMATES.replace("immigration", "net"), "(F, row 3, measure) | found 'net'; allowed"),
        (ESTIMATES.replace("mean", "mode").replace("median", "m").replace("sd", "s")
         .replace("lower", "l").replace("upper", "u"), "(F, row 1, mean) | found no such column"),
        ("origin,destination,age,flow\nA,NA,0-4,1\n", "found a table by age"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_split(write: Any, text: str, said: str) -> None:  # noqa: ANN401
    assert any(said in told for told in refused(read_flow_table, write("f.csv", text)))
