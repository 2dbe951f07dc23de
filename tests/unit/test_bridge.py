"""Flows from stocks as rows of the contract: what they say, and what they are made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import flow_row

from flowcast.accounting import StockSource, bridge_flows, stock_source
from flowcast.accounting.bridge import ACCURACY
from flowcast.config import validate_model
from flowcast.errors import HeldOutError, InputError, UsageError
from flowcast.model.reports import COUNTED, SAMPLED
from flowcast.observations import Observations, observations_from_frame, read_observations
from flowcast.preparation import Inputs, Prepared, prepare

CENSUS = (StockSource("two_censuses", "ab" * 32),)
PLACES = ["AT", "DE", "FR"]


def draws(n: int = 200, sd: float = 0.1, first: int = 2000) -> xr.DataArray:
    """Return draws around 100, 200, ..., log-normal, with one corridor that is 0 mostly."""
    rng = np.random.default_rng(1)
    centre = 100.0 * np.arange(1.0, 10.0).reshape(3, 3)
    values = centre * np.exp(sd * rng.standard_normal((n, 1, 3, 3)))
    values[:, :, 0, 1] *= rng.random((n, 1)) < 0.3
    days = [np.datetime64(f"{first + k}-07-01") for k in (0, 5)]
    coords = {
        "origin": PLACES,
        "destination": PLACES,
        "period_start": ("period", days[:1]),
        "period_end": ("period", days[1:]),
    }
    return xr.DataArray(values, coords, ("draw", "period", "origin", "destination"))


def row_of(observations: Observations, origin: str, destination: str) -> pd.Series:
    table = observations.table.set_index(["origin", "destination"])
    return table.loc[(origin, destination)]


def test_a_row_has_centre_and_spread_of_the_logs_of_the_draws() -> None:
    made = bridge_flows(draws(), CENSUS, "closed")
    row = row_of(made, "DE", "AT")
    logs = np.log(draws().sel(origin="DE", destination="AT").to_numpy() + 0.5)
    assert row["value"] == pytest.approx(np.exp(logs.mean()) - 0.5)
    assert row["standard_error"] == pytest.approx(logs.std(ddof=1) * row["value"])
    assert row["standard_error"] / row["value"] == pytest.approx(0.1, rel=0.2)
    assert (row["family"], row["measure"], row["reporter"]) == ("census", "flow", "other")
    assert (row["criterion"], row["source"]) == ("residence", "two_censuses_closed")
    assert str(row["period_start"].date()) == "2000-07-01"
    assert str(row["period_end"].date()) == "2005-07-01"
    assert (
        bridge_flows(draws(), CENSUS, "x", criterion="birth").table["criterion"].eq("birth").all()
    )


def test_corridors_whose_median_is_nobody_and_the_diagonal_have_no_row() -> None:
    made = bridge_flows(draws(), CENSUS, "closed")
    pairs = set(zip(made.table["origin"], made.table["destination"], strict=True))
    assert ("AT", "DE") not in pairs
    assert len(pairs) == 5
    assert "5 of 6 corridors and periods" in made.name
    some = draws()
    some.loc[{"origin": "FR", "destination": "AT"}] = np.nan
    assert bridge_flows(some, CENSUS, "closed").n == 4
    assert bridge_flows(draws(), CENSUS, "closed", least=0.0).n == 6


@pytest.mark.parametrize(("sd", "grade"), [(0.1, "high"), (0.35, "medium"), (0.9, "low")])
def test_accuracy_goes_by_the_spread_of_the_draws(sd: float, grade: str) -> None:
    made = bridge_flows(draws(sd=sd), CENSUS, "closed")
    assert row_of(made, "DE", "AT")["accuracy_class"] == grade
    assert list(ACCURACY) == ["high", "medium", "low"]


def test_chains_are_draws_too() -> None:
    one = draws()
    two = one.assign_coords(draw=np.arange(200))
    two = xr.concat([two[:100], two[100:].assign_coords(draw=np.arange(100))], "chain")
    expected = bridge_flows(one, CENSUS, "closed").table
    pd.testing.assert_frame_equal(bridge_flows(two, CENSUS, "closed").table, expected)


def test_all_that_does_not_fit_is_told() -> None:
    for given, words in (
        (draws().isel(draw=0, drop=True), "dims"),
        (draws().expand_dims(sex=["f"]), "dims"),
        (draws(n=1), "1 draw"),
        (-draws(), "persons, 0 or more"),
    ):
        with pytest.raises(InputError, match=words):
            bridge_flows(given, CENSUS, "closed")
    with pytest.raises(InputError) as error:
        bridge_flows(draws().drop_vars(["period_start", "period_end"]), CENSUS, "closed")
    assert len(error.value.faults) == 2
    with pytest.raises(UsageError, match="found none"):
        bridge_flows(draws(), (), "closed")
    with pytest.raises(UsageError, match="did you mean residence"):
        bridge_flows(draws(), CENSUS, "closed", criterion="residenz")  # type: ignore[arg-type]
    coords = {"origin": ["AT", "DDR", "FR"], "destination": ["AT", "DDR", "FR"]}
    odd = draws().assign_coords(coords)
    with pytest.raises(InputError, match="'DDR'"):
        bridge_flows(odd, CENSUS, "closed")


def test_rows_and_hash_say_what_they_were_made_of(tmp_path: Path) -> None:
    file = tmp_path / "stocks.csv"
    file.write_text("birthplace,AT\nAT,1\n")
    source = stock_source(file, "my_stocks")
    assert source.role == "fit"
    made = bridge_flows(draws(), [source, *CENSUS], "closed")
    flag = made.table["flag"].iloc[0]
    assert flag == f"fit:my_stocks@{source.sha256[:12]}; fit:two_censuses@{'ab' * 6}"
    assert flag in made.name
    file.write_text("birthplace,AT\nAT,2\n")
    other = bridge_flows(draws(), [stock_source(file, "my_stocks"), *CENSUS], "closed")
    assert other.sha256 != made.sha256
    again = bridge_flows(draws(), [source, *CENSUS], "closed")
    assert again.sha256 == made.sha256
    assert made.role == "fit"
    made.require_fit()


def test_a_held_out_source_gets_no_row(tmp_path: Path) -> None:
    file = tmp_path / "stocks.csv"
    file.write_text("anything")
    registry = tmp_path / "mine.csv"
    registry.write_text("id,role\nkept_back,heldout\n")
    for source in (
        stock_source(file, "my_stocks", role="held_out"),
        stock_source(file, "kept_back", registry=registry),
        stock_source(file, "abel_cohen_2019"),
        StockSource("abel_cohen_2019", "00", "fit"),
        StockSource("abel_cohen_2019_part", "00", "fit"),
    ):
        with pytest.raises(HeldOutError, match=source.name):
            bridge_flows(draws(), [*CENSUS, source], "closed")


def test_what_the_registry_says_of_stocks_holds_for_their_flows(tmp_path: Path) -> None:
    """Rows that were written to a file keep the role that their stocks have or get."""
    made = bridge_flows(draws(), CENSUS, "closed")
    file, registry = tmp_path / "rows.csv", tmp_path / "mine.csv"
    made.table.to_csv(file, index=False)
    registry.write_text("id,role\ntwo_censuses,heldout\n")
    read_observations(file).require_fit()
    with pytest.raises(HeldOutError):
        read_observations(file, registry=registry).require_fit()


def test_vital_events_may_be_a_covariate(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("anything")
    made = bridge_flows(draws(), [*CENSUS, stock_source(file, "un_wpp_2024")], "closed")
    made.require_fit()


def registers(*rows: dict[str, Any]) -> Observations:
    return observations_from_frame(pd.DataFrame(list(rows)))


def prepared(period: str, *sources: Observations) -> Prepared:
    spec = validate_model({"name": "bridge", "period": period}, "bridge")
    return prepare(Inputs(spec, sources[0].concat(*sources[1:]), None, {}))


def test_in_a_model_of_five_years_a_row_is_a_report_of_its_cell() -> None:
    made = bridge_flows(draws(), CENSUS, "closed")
    office = registers(flow_row("2000-07-01", "2005-07-01", 300.0, origin="AT", destination="FR"))
    found = prepared("shortest", office, made).problem
    assert found.totals is None
    assert len(found.grid.period_start) == 1
    reports = found.reports
    census = reports.side == "census"
    assert census.sum() == 5
    assert (reports.reading[census] == SAMPLED).all()
    assert (reports.reading[~census] == COUNTED).all()
    np.testing.assert_allclose(np.sqrt(reports.sampling[census]), 0.1, rtol=0.2)
    assert set(reports.noise[census]) == {"census_high"}
    assert {"bias_census[two_censuses_closed]", "census_transition"} <= set(found.effects.names)


def test_in_a_model_of_years_it_is_a_report_of_the_year_in_the_middle() -> None:
    made = bridge_flows(draws(), CENSUS, "closed")
    years = [
        flow_row(f"{y}-01-01", f"{y + 1}-01-01", 60.0, origin="AT", destination="FR")
        for y in range(2000, 2006)
    ]
    found = prepared("middle_year", registers(*years), made).problem
    census = found.reports.side == "census"
    assert census.sum() == 5
    assert found.totals is None
    starts = found.grid.period_start[found.reports.period[census]]
    assert set(starts.year) == {2003}
    assert (found.reports.reading[census] == SAMPLED).all()
    assert {"middle_of_years[two_censuses_closed]", "census_transition"} <= set(found.effects.names)


def test_a_census_without_an_error_is_a_count_as_before() -> None:
    rows = bridge_flows(draws(), CENSUS, "closed").table.drop(columns="standard_error")
    office = registers(flow_row("2000-07-01", "2005-07-01", 300.0, origin="AT", destination="FR"))
    found = prepared("shortest", office, observations_from_frame(rows)).problem.reports
    assert (found.reading == COUNTED).all()
    assert (found.sampling == 0.0).all()
