"""`flowcast ages`: what it writes, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    age_shares,
    fit_schedules,
    read_ages,
    read_flow_table,
    read_schedules,
    read_sex_shares,
    split_table,
    tidy_schedules,
)
from flowcast.cli import app
from flowcast.inference.ages import AgePosterior
from flowcast.posterior import GateResult
from flowcast.tables import read_table

FLOWS = "origin,destination,flow\nAT,NA,100.5\nNA,AT,20\n"
ESTIMATES = (
    "origin,destination,period_start,period_end,measure,mean,median,sd,lower,upper,prob,kind,"
    "evidence\nAT,NA,2020-01-01,2021-01-01,flow,100,95,20,60,150,0.95,equal_tailed,none\n"
)
SEXES = "sex,share\nfemale,0.45\nmale,0.55\n"


def migrants(places: dict[str, float]) -> str:
    rows = ["place,age,migrants"]
    for place, mu2 in places.items():
        shares = age_shares(Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu2}), FIVE_YEAR_AGES)
        counts = np.random.default_rng(1).multinomial(5000, shares.to_numpy())
        rows += [f"{place},{age},{n}" for age, n in zip(FIVE_YEAR_AGES, counts, strict=True)]
    return "\n".join(rows)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("ages.csv").write_text(migrants({"AT": 20.0, "NA": 24.0}))
    for name, text in (("flows", FLOWS), ("estimates", ESTIMATES), ("sex", SEXES)):
        Path(f"{name}.csv").write_text(text)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ages", *arguments])


def fitted() -> None:
    assert run("fit", "ages.csv", "--out", "schedules.csv").exit_code == 0


SPLIT = ("--schedules", "schedules.csv", "--side", "destination")


def test_a_schedule_for_every_place() -> None:
    done = run("fit", "ages.csv", "--out", "schedules.csv")
    assert done.exit_code == 0, done.stderr
    assert "Written: schedules.csv" in done.stderr
    fit = fit_schedules(read_ages("ages.csv")["migrants"])
    wanted = tidy_schedules(fit.schedule, "shares", fit)
    assert wanted.columns.tolist() == [
        "place", "kind", *STANDARD_SCHEDULE, "deviance", "bic", "converged", "n_starts",
        "n_agreeing", "at_bound",
    ]  # fmt: skip
    table = read_table("schedules.csv")
    np.testing.assert_array_equal(table[list(STANDARD_SCHEDULE)], wanted[list(STANDARD_SCHEDULE)])
    assert table["place"].tolist() == ["AT", "NA"]


def test_variants_are_compared() -> None:
    Path("ages.csv").write_text(migrants({"NA": 24.0}))
    done = run("fit", "ages.csv", "--compare", "--out", "compared.csv")
    assert done.exit_code in (0, 3), done.stderr
    table = read_table("compared.csv")
    assert table["n_parameters"].tolist() == [7.0, 9.0, 11.0, 13.0]
    assert (table["place"] == "NA").all()
    assert {"deviance", "bic", "converged"} <= set(table)


def test_a_fit_that_did_not_converge_is_written_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowcast.accounting._age_fit.MANY_STEPS", 1)
    done = run("fit", "ages.csv", "--out", "schedules.csv")
    assert done.exit_code == 3
    assert "these fits did not converge" in done.stderr
    assert (read_table("schedules.csv")["converged"] == "False").any()


@pytest.mark.parametrize("passed", [True, False])
def test_places_that_learn_from_each_other_have_draws(
    monkeypatch: pytest.MonkeyPatch, passed: bool
) -> None:
    """Whatever the sampler returns is written; the sampler itself is no matter of this test."""
    asked = {}

    def sample(table: xr.DataArray, population: None, **options: Any) -> AgePosterior:  # noqa: ANN401
        asked.update(options, places=table["place"].to_numpy().tolist())
        mu2 = xr.DataArray(
            np.linspace(19, 26, 600).reshape(2, 150, 2), dims=("chain", "draw", "group")
        )
        values = Schedule.of(**{**STANDARD_SCHEDULE, "mu2": mu2}).values
        values = values.assign_coords(place=("group", ["AT", "NA"]), chain=[0, 1], draw=range(150))
        tree = xr.DataTree.from_dict({"posterior": values.to_dataset(name="schedule")})
        failures = () if passed else ("noise: R-hat 1.200",)
        return AgePosterior(tree, GateResult(passed, failures), pd.DataFrame())

    monkeypatch.setattr("flowcast.inference.ages.sample_schedules", sample)
    done = run("fit", "ages.csv", "--pooled", "--seed", "7", "--draws", "50", "--out", "s.csv")
    assert done.exit_code == (0 if passed else 3), done.stderr
    assert ("noise: R-hat 1.200" in done.stderr) is not passed
    assert asked["places"] == ["AT", "NA"]
    assert (asked["sampler"].seed, asked["sampler"].draws) == (7, 50)
    table = read_table("s.csv")
    assert table.columns.tolist() == ["place", "draw", "kind", *STANDARD_SCHEDULE]
    assert table["place"].value_counts().to_dict() == {"AT": 200, "NA": 200}
    done = run("split", "flows.csv", "--schedules", "s.csv", "--side", "origin", "--out", "p.csv")
    assert done.exit_code == 0, done.stderr
    assert read_table("p.csv")["flow"].sum() == pytest.approx(120.5)


def test_the_split_is_what_python_returns() -> None:
    fitted()
    done = run("split", "flows.csv", *SPLIT, "--shares-by-sex", "sex.csv", "--out", "parts.csv")
    assert done.exit_code == 0, done.stderr
    wanted = split_table(
        read_flow_table("flows.csv"),
        read_schedules("schedules.csv"),
        sex_shares=read_sex_shares("sex.csv"),
        side="destination",
    )
    table = read_table("parts.csv")
    pd.testing.assert_frame_equal(table, wanted, check_dtype=False)
    assert table.columns.tolist() == ["origin", "destination", "age", "sex", "flow"]
    sums = table.groupby(["origin", "destination"])["flow"].sum()
    assert sums.tolist() == pytest.approx([100.5, 20.0], abs=1e-9)


def test_estimates_with_intervals() -> None:
    fitted()
    done = run("split", "estimates.csv", *SPLIT, "--ages", "0-14,15-64,65+")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split(",")[5:7] == ["age", "mean"]
    assert lines[0].endswith(",interval_basis")
    assert all(line.endswith(",given_schedule") for line in lines[1:])
    assert len(lines) == 4


@pytest.mark.parametrize("form", ["parquet", "md", "json"])
def test_other_formats(form: str) -> None:
    fitted()
    done = run("split", "estimates.csv", *SPLIT, "--out", f"parts.{form}")
    assert done.exit_code == 0, done.stderr
    assert Path(f"parts.{form}").stat().st_size > 0


def test_whole_persons_and_single_years() -> None:
    fitted()
    done = run("split", "flows.csv", *SPLIT, "--ages", "1-year", "--whole", "--seed", "4",
               "--out", "parts.csv")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    table = read_table("parts.csv")
    assert len(table) == 2 * 101
    assert (table["flow"] == table["flow"].round()).all()
    assert table.groupby("destination")["flow"].sum()["AT"] == 20.0


def test_rates_and_people_at_risk() -> None:
    text = Path("ages.csv").read_text().splitlines()
    people = [text[0] + ",population", *(f"{line},5000" for line in text[1:])]
    Path("ages.csv").write_text("\n".join(people))
    fitted()
    assert (read_table("schedules.csv")["kind"] == "rates").all()
    arguments = ("split", "flows.csv", "--schedules", "schedules.csv", "--side", "origin")
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "people at risk with rates" in refused.stderr
    done = run(*arguments, "--population", "ages.csv", "--out", "parts.csv")
    assert done.exit_code == 0, done.stderr
    assert read_table("parts.csv")["flow"].sum() == pytest.approx(120.5)


def test_faults_of_every_file_are_listed_and_nothing_is_written() -> None:
    Path("flows.csv").write_text(FLOWS.replace("100.5", "-1"))
    Path("schedules.csv").write_text("place,kind,a1\nAT,rates,1\n")
    Path("sex.csv").write_text(SEXES.replace("0.45", "0.4"))
    done = run("split", "flows.csv", *SPLIT, "--shares-by-sex", "sex.csv", "--out", "parts.csv")
    assert done.exit_code == 1
    assert "(flows.csv, row 2, flow) | found -1" in done.stderr
    assert "(schedules.csv, row 1) | found no alpha1" in done.stderr
    assert "(sex.csv, share) | found 0.95 in all" in done.stderr
    assert not Path("parts.csv").exists()


def test_a_table_of_ages_with_faults() -> None:
    text = Path("ages.csv").read_text().replace("AT,5-9", "AT,5 to 9")
    Path("ages.csv").write_text(text)
    done = run("fit", "ages.csv", "--out", "schedules.csv")
    assert done.exit_code == 1
    assert "(ages.csv, row 3, age) | found '5 to 9'" in done.stderr
    assert not Path("schedules.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fit", "ages.csv", "--parameters", "8"), "allowed: 7, 9, 11, 13"),
        (("fit", "ages.csv", "--compare", "--pooled"), "found both; allowed: one"),
        (("fit", "ages.csv", "--draws", "9"), "allowed: with --pooled"),
        (("split", "flows.csv", "--schedules", "s", "--seed", "9"), "allowed: with --whole"),
        (("fit", "ages.csv", "--out", "x.txt"), "found a file ending in '.txt'"),
        (("split", "flows.csv", "--schedules", "s", "--side", "orgin"), "did you mean origin"),
        (("split", "flows.csv", "--schedules", "s", "--ages", "5-year", "--population", "p"),
         "found both; allowed: one"),
    ],
)  # fmt: skip
def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_ages_that_leave_some_out() -> None:
    fitted()
    done = run("split", "flows.csv", *SPLIT, "--ages", "15-64,65+")
    assert done.exit_code == 1
    assert "allowed: all ages" in done.stderr
