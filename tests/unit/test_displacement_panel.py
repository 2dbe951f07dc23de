"""Panels of displacement: what is read, what a missing row means, drivers beside counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowcast.displacement import (
    SOURCES,
    add_kinds,
    join_drivers,
    make_panel,
    read_displacement,
    sum_units,
    to_years,
)
from flowcast.displacement.catalogue import ABSENT, KINDS
from flowcast.errors import InputError, UsageError

EVENTS = """\
ISO3,Year,Hazard Type,Disaster Internal Displacements
PHL,2008,Storm,5
PHL,2008,Storm,6
PHL,2010,Flood,7
AB9,2010,Flood,9
"""
CONFLICT = "iso3,year,conflict_flow_raw\nSDN,2009,0\nSDN,2011,40\nMLI,2010,\nMLI,2011,3\n"
FLOWS = """\
year,coo,coo_iso,coa,coa_iso,refugees,asylum_seekers
2010,AUS,AUT,GFR,DEU,,5
2010,SUD,SDN,CHD,TCD,1000,
2012,SUD,SDN,CHD,TCD,2000,30
2012,SUD,SDN,GFR,DEU,,60
2011,UNK,UNK,GFR,DEU,,10
2011,MLI,MLI,GFR,DEU,,7
2011,SUD,SDN,SUD,SDN,,5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "file.csv"
    path.write_text(text)
    return path


def table(source: str, rows: list[tuple[str, str, str, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["place", "destination", "hazard", "period", "count"])
    frame["period"] = pd.to_datetime(frame["period"])
    frame.attrs["source"] = source
    return frame


def test_every_source_says_what_a_missing_row_means() -> None:
    for source in SOURCES.values():
        assert source.absent in ABSENT
        assert source.why
        assert source.kind in KINDS


def test_events_are_added_up_and_areas_that_are_no_country_told(tmp_path: Path) -> None:
    found = read_displacement("idmc_disaster", write(tmp_path, EVENTS))
    told = [(r.place, r.hazard, r.period.year, r.count_) for r in _named(found)]
    assert told == [("PH", "Flood", 2010, 7), ("PH", "Storm", 2008, 11)]
    assert found.attrs["left_out"] == {"place 'AB9' is not one country": 1}


def _named(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(frame.rename(columns={"count": "count_"}).itertuples(index=False))


def test_no_disaster_is_a_zero() -> None:
    rows = [("PH", "", "Storm", "2008", 11.0), ("PH", "", "Flood", "2010", 7.0)]
    panel = make_panel(table("idmc_disaster", rows))
    assert panel.units.get_level_values("hazard").tolist() == ["Flood", "Storm"]
    assert panel.values.tolist() == [[0, 0, 7], [11, 0, 0]]
    assert panel.entered.tolist() == [[False, False, True], [True, True, True]]


def test_no_report_of_conflict_is_not_a_zero_and_a_stated_zero_is(tmp_path: Path) -> None:
    panel = make_panel(read_displacement("idmc_conflict", write(tmp_path, CONFLICT)))
    assert panel.names("place").tolist() == ["ML", "SD"]
    np.testing.assert_array_equal(panel.values, [[np.nan, np.nan, 3], [0, np.nan, 40]])
    assert panel.entered.tolist() == [[False, False, True], [True, True, True]]


def test_no_pair_is_a_zero_where_the_destination_reports(tmp_path: Path) -> None:
    found = read_displacement("unhcr_asylum", write(tmp_path, FLOWS))
    # UNHCR's own AUS is Austria: the ISO code is read.
    assert set(found["place"]) == {"AT", "SD", "ML"}
    panel = make_panel(found)
    values = {(p, d): row for (p, d, _), row in zip(panel.units, panel.values, strict=True)}
    np.testing.assert_array_equal(values["SD", "DE"], [0, 0, 60])
    np.testing.assert_array_equal(values["AT", "DE"], [5, 0, 0])
    # Chad reported nothing before 2012.
    np.testing.assert_array_equal(values["SD", "TD"], [np.nan, np.nan, 30])
    assert panel.smallest == 5


def test_only_kinds_without_the_same_persons_are_added(tmp_path: Path) -> None:
    path = write(tmp_path, FLOWS)
    refugees, asylum = (
        read_displacement(name, path) for name in ("unhcr_refugees", "unhcr_asylum")
    )
    both = add_kinds(refugees, asylum, kind="cross_border")
    panel = make_panel(sum_units(both, "destination"))
    assert panel.kind == "cross_border"
    by_place = dict(zip(panel.names("place"), panel.values, strict=True))
    np.testing.assert_array_equal(by_place["SD"], [1000, 0, 2090])
    with pytest.raises(UsageError, match="counted twice"):
        add_kinds(refugees, table("idmc_conflict", []), kind="all")


def test_nothing_after_the_last_known_year_is_looked_at() -> None:
    rows = [("PH", "", "Storm", "2008", 11.0), ("PH", "", "Flood", "2010", 7.0)]
    rows += [("PH", "", "Storm", "2010", 99.0)]
    panel = make_panel(table("idmc_disaster", rows), until=2009)
    assert panel.values.tolist() == [[11, 0]]
    known = make_panel(table("idmc_disaster", rows[:1]), until=2009)
    np.testing.assert_array_equal(panel.values, known.values)
    # What came of the same units, unit by unit.
    later = make_panel(table("idmc_disaster", rows), until=2010, units=panel.units)
    assert later.values.tolist() == [[11, 0, 99]]


def test_a_year_twice_is_refused() -> None:
    rows = [("PH", "", "", "2008-01", 1.0), ("PH", "", "", "2008-02", 2.0)]
    with pytest.raises(UsageError, match="found 2 figures of PH in 2008"):
        make_panel(table("frontex_crossings", rows))


def test_months_are_added_up_where_the_year_is_whole() -> None:
    months = [("SY", "", "East", f"2015-{m:02d}-01", 10.0) for m in range(1, 13)]
    months += [("ML", "", "West", "2015-05-01", 3.0), ("SY", "", "East", "2016-01-01", 8.0)]
    found = to_years(table("frontex_crossings", months))
    assert [(r.place, r.period.year, r.count_) for r in _named(found)] == [
        ("ML", 2015, 3),
        ("SY", 2015, 120),
    ]


def test_weeks_without_any_row_are_unknown(tmp_path: Path) -> None:
    head = "origin_region,dest_region,reason,year_week,individuals\n"
    path = write(tmp_path, head + "Bay,Banadir,Flood,201600,3\nBay,Banadir,Flood,201652,4\n")
    found = read_displacement("somalia_prmn", path)
    assert found["period"].dt.strftime("%Y-%m-%d").tolist() == ["2016-01-01", "2016-12-30"]
    with pytest.raises(UsageError, match="found no row"):
        make_panel(to_years(found))


def test_every_fault_of_a_file_is_told(tmp_path: Path) -> None:
    text = EVENTS.splitlines()[0] + "\nPHL,20x8,Storm,1\nPHL,2008,Storm,-2\n"
    with pytest.raises(InputError) as told:
        read_displacement("idmc_disaster", write(tmp_path, text))
    assert [fault.row for fault in told.value.faults] == [2, 3]
    with pytest.raises(InputError, match="each figure once"):
        read_displacement("idmc_conflict", write(tmp_path, CONFLICT + "SDN,2011,41\n"))
    with pytest.raises(InputError, match="no row that can be used"):
        read_displacement(
            "idmc_conflict", write(tmp_path, "iso3,year,conflict_flow_raw\nSDN,2011,\n")
        )
    with pytest.raises(UsageError, match="did you mean idmc_conflict"):
        read_displacement("idmc_conflicts", tmp_path)


def driver(entries: dict[tuple[str, int], float]) -> pd.Series:
    return pd.Series(list(entries.values()), index=pd.MultiIndex.from_tuples(list(entries)))


def test_drivers_are_held_for_some_years_and_never_come_from_a_later_one() -> None:
    rows = [("SD", "", "", str(year), 1.0) for year in range(2008, 2014)]
    panel = make_panel(table("idmc_conflict", [*rows, ("ML", "", "", "2008", 1.0)]))
    deaths = driver({("SD", 2007): 1.0, ("SD", 2009): 2.0, ("ML", 2012): 5.0})
    joined = join_drivers(panel, {"deaths": deaths}, hold=2)
    nan = np.nan
    expected = [[nan, nan, nan, nan, 5, 5], [1, 2, 2, 2, nan, nan]]
    np.testing.assert_array_equal(joined["deaths"], expected)
    assert joined.attrs == {"held": {"deaths": 4}, "missing": {"deaths": 6}}
    cut = join_drivers(panel, {"deaths": deaths[deaths.index.get_level_values(1) < 2012]}, hold=2)
    np.testing.assert_array_equal(cut["deaths"][:, :4], joined["deaths"][:, :4])


def test_a_driver_with_two_figures_or_none_is_refused() -> None:
    panel = make_panel(table("idmc_conflict", [("SD", "", "", "2008", 1.0)]))
    twice = pd.MultiIndex.from_tuples([("SD", 2008), ("SD", 2008)])
    with pytest.raises(UsageError, match="two figures"):
        join_drivers(panel, {"deaths": pd.Series([1.0, 2.0], index=twice)})
    with pytest.raises(UsageError, match="no place of the panel"):
        join_drivers(panel, {"deaths": driver({("FR", 2008): 1.0})})
    with pytest.raises(UsageError, match="0 or more years"):
        join_drivers(panel, {}, hold=-1)


@pytest.mark.realdata
def test_published_files_by_their_rules(shared: Path) -> None:
    folder = shared / "data" / "drivers"
    disaster = read_displacement(
        "idmc_disaster", folder / "idmc_gidd" / "disaster_events_2008_2022.csv.gz"
    )
    panel = make_panel(disaster)
    # The world totals that stand beside the file, but for Abyei, which is no country.
    assert np.nansum(panel.values[:, 0]) == 38_240_828
    assert not np.isnan(panel.values).any()
    conflict = make_panel(
        read_displacement("idmc_conflict", folder / "idmc_gidd" / "country_year_2008_2022.csv.gz")
    )
    assert np.isnan(conflict.values).any()
    assert (conflict.values == 0).sum() > 100
