"""Eurostat: the three formats, their older editions, and what is taken from them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_files import FIXTURES

from flowcast.errors import InputError
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import read_source

FOLDER = FIXTURES / "eurostat"


def flows(name: str, **options: object) -> pd.DataFrame:
    frame = read_source("eurostat_flows", FOLDER / name, **options)
    observations_from_frame(frame)
    return frame


def figures(frame: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return values by origin, destination and first year."""
    keys = zip(frame["origin"], frame["destination"], frame["period_start"].str[:4], strict=True)
    return dict(zip(keys, frame["value"], strict=True))


def test_json_stat_by_previous_residence() -> None:
    frame = flows("migr_imm5prv.json")
    assert figures(frame) == {
        ("", "AT", "2022"): 900,
        ("", "AT", "2023"): 950,
        ("", "GR", "2022"): 410,
        ("", "GR", "2023"): 420,
        ("GR", "AT", "2022"): 55,
        ("GB", "AT", "2022"): 0,
    }
    assert set(frame["measure"]) == {"flow", "immigration"}
    assert set(frame["reporter"]) == {"destination"}
    assert set(frame["criterion"]) == {"residence"}
    assert set(frame["vintage"]) == {"2025-03-03"}
    assert frame.loc[3, "flag"] == "p"
    assert frame.attrs["left_out"] == {
        "partner 'UNK' is not one country": 4,
        "no value": 1,
        "origin and destination are the same place": 1,
    }


def test_json_stat_of_2019_and_a_stay_that_was_not_regulated_yet() -> None:
    frame = flows("migr_imm5prv_2019.json")
    assert figures(frame) == {("DE", "DK", "2007"): 21, ("DE", "DK", "2017"): 22}
    assert frame["duration_months"].isna().tolist() == [True, False]
    assert frame["duration_months"].iloc[1] == 12


def test_dense_values_and_statuses_are_read_as_sparse_ones(tmp_path: Path) -> None:
    body = json.loads((FOLDER / "migr_imm5prv_2019.json").read_text())
    body["value"], body["status"] = [21, None], ["", ":"]
    path = tmp_path / "dense.json"
    path.write_text(json.dumps(body))
    frame = read_source("eurostat_flows", path)
    assert frame["value"].tolist() == [21]
    assert frame.attrs["left_out"] == {"no value": 1}


def test_sdmx_csv_by_next_residence() -> None:
    frame = flows("migr_emi3nxt.csv")
    assert figures(frame[frame["sex"] == ""]) == {
        ("SE", "", "2022"): 510,
        ("SE", "NO", "2022"): 120,
        ("SE", "CN", "2022"): 14,
        ("SE", "DK", "2022"): 30,
    }
    assert frame.loc[frame["sex"] == "female", "value"].tolist() == [61]
    assert frame.loc[frame["age"] == "Y20-24", "destination"].tolist() == ["DK"]
    assert set(frame["reporter"]) == {"origin"}
    assert frame.loc[frame["destination"] == "", "measure"].tolist() == ["emigration"]
    assert frame.attrs["left_out"] == {
        "age unknown": 1,
        "age reached during the year, beside completed age": 1,
        "partner 'EU27_2020' is not one country": 1,
        "no value": 1,
    }


def test_sdmx_csv_before_the_column_of_confidentiality() -> None:
    frame = flows("migr_emi3nxt_2021.csv")
    assert figures(frame) == {("SE", "NO", "2019"): 99}
    assert frame["vintage"].tolist() == ["2021-11-11"]


def test_labels_beside_codes_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "DATAFLOW,LAST UPDATE,partner: Partner,geo: Place,TIME_PERIOD: Time,OBS_VALUE,OBS_FLAG\n"
        "ESTAT:MIGR_IMM5PRV(1.0),03/03/2025 23:00:00,NO: Norway,SE: Sweden,2021,5,\n"
    )
    frame = read_source("eurostat_flows", path)
    assert figures(frame) == {("NO", "SE", "2021"): 5}
    assert frame["vintage"].tolist() == ["2025-03-03"]


def test_tsv_by_citizenship() -> None:
    frame = flows("migr_imm1ctz.tsv")
    assert figures(frame) == {
        ("", "HU", "2022"): 880,
        ("", "HU", "2023"): 890,
        ("RO", "HU", "2007"): 70,
        ("RO", "HU", "2022"): 71,
        ("RO", "HU", "2023"): 72,
    }
    assert frame["flag"].tolist() == ["", "p", "b", "", "ep"] or set(frame["flag"]) >= {"ep", "b"}
    assert set(frame["criterion"]) == {"citizenship"}
    left = frame.attrs["left_out"]
    assert left["citizen 'NAT' is not one country"] == 3
    assert left["origin and destination are the same place"] == 2


def test_tsv_of_2016_and_a_dataset_told_by_the_caller() -> None:
    assert figures(flows("migr_imm1ctz_2016.tsv", dataset="migr_imm1ctz")) == {
        ("RO", "HU", "2014"): 64,
        ("RO", "HU", "2013"): 63,
    }
    with pytest.raises(InputError, match=r"dataset 'migr_imm1ctz_2016'.*did you mean migr_imm1ctz"):
        flows("migr_imm1ctz_2016.tsv")


def test_a_file_of_another_dataset_than_told() -> None:
    with pytest.raises(InputError, match="found dataset 'migr_emi3nxt'; allowed: 'migr_imm5prv'"):
        flows("migr_emi3nxt.csv", dataset="migr_imm5prv")


def test_emigration_without_a_partner() -> None:
    frame = flows("migr_emi2.csv")
    assert frame[["origin", "destination", "value", "age", "sex"]].to_numpy().tolist() == [
        ["PL", "", 1200, "", ""],
        ["PL", "", 12, "Y1", "male"],
    ]
    assert set(frame["measure"]) == {"emigration"}


def test_first_time_applicants_by_month_and_by_year() -> None:
    months = flows("migr_asyappctzm.csv")
    assert months[["origin", "value"]].to_numpy().tolist() == [["SY", 410], ["", 1500]]
    assert set(months["period_start"]) == {"2024-12-01"}
    assert set(months["period_end"]) == {"2025-01-01"}
    assert "duration_months" not in months or months["duration_months"].isna().all()
    years = flows("migr_asyappctza_2020.csv")
    assert years["value"].tolist() == [2200]
    assert years.attrs["left_out"] == {"applicants other than NASY_APP": 1}


def test_population_and_its_edition_of_2016() -> None:
    frame = read_source("eurostat_population", FOLDER / "demo_pjan.csv")
    assert frame.to_numpy().tolist() == [["DE", 2023, 83000], ["GR", 2023, 10400]]
    assert frame.attrs["units"] == {"population": "persons"}
    assert frame.attrs["left_out"]["a part by age or sex"] == 2
    old = read_source("eurostat_population", FOLDER / "demo_pjan_2016.tsv")
    assert old.to_numpy().tolist() == [["GB", 2015, 64800], ["GB", 2014, 64300]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("2022,510", "2022,5l0"), r"row 2, OBS_VALUE\) \| found '5l0'; allowed: a number"),
        (("2022,510", "2022,-510"), r"row 2, value\) \| found -510; allowed: persons, 0 or more"),
        (("SE,2022,510", "SE,2022-Q1,510"), r"row 2, time\) \| found '2022-Q1'"),
        (("REACH", "COMPLET"), "row 4.*the same figure again"),
    ],
)
def test_cells_that_cannot_be_are_told_with_their_row(
    change: tuple[str, str], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "migr_emi3nxt.csv"
    path.write_text((FOLDER / path.name).read_text().replace(*change))
    with pytest.raises(InputError, match=words):
        read_source("eurostat_flows", path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"size": [1, 4', '"size": [1, 5'), "4 codes; allowed: 5, the size of the dimension"),
        (('"size": [1, 4, 1', '"size": [1, 4'), "8 dimensions and 7 sizes"),
        (('"12": 0', '"99": 0'), "a figure at position 99; allowed: positions 0 to 15"),
        (('"0": 900', '"0": "many"'), "found 'many'; allowed: a number"),
        (('"version"', '"error": [{"status": 404}], "version"'), "an error message"),
    ],
)
def test_a_cube_that_contradicts_itself(
    change: tuple[str, str], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "cube.json"
    path.write_text((FOLDER / "migr_imm5prv.json").read_text().replace(*change))
    with pytest.raises(InputError, match=words):
        read_source("eurostat_flows", path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("A,RO,COMPLET", "RO,COMPLET"), "another number of dimensions; allowed: 7"),
        (("TIME_PERIOD", "PERIODS"), "found .*; allowed: dimensions separated by commas"),
        (("70 b", "7O b"), "found '7O b'; allowed: a number"),
    ],
)
def test_a_tsv_that_cannot_be(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "migr_imm1ctz.tsv"
    path.write_text((FOLDER / path.name).read_text().replace(*change))
    with pytest.raises(InputError, match=words):
        read_source("eurostat_flows", path)


PARTNERS = st.sampled_from(["TOTAL", "EL", "UK", "DE", "NO", "NA"])
KEYS = st.tuples(PARTNERS, st.sampled_from(["SE", "DK"]), st.integers(2009, 2024))


@settings(max_examples=40)
@given(cells=st.dictionaries(KEYS, st.integers(0, 10**7), min_size=1, max_size=12))
def test_every_figure_arrives_as_it_stands(
    cells: dict[tuple[str, str, int], int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("eurostat") / "any.csv"
    rows = [
        f"ESTAT:MIGR_IMM5PRV(1.0),03/03/25 23:00:00,A,{p},COMPLET,TOTAL,NR,T,{g},{t},{v},\n"
        for (p, g, t), v in cells.items()
    ]
    head = "DATAFLOW,LAST UPDATE,freq,partner,agedef,age,unit,sex,geo,TIME_PERIOD,OBS_VALUE,"
    path.write_text(f"{head}OBS_FLAG\n{''.join(rows)}")
    codes = {"TOTAL": "", "EL": "GR", "UK": "GB"}
    expected = {(codes.get(p, p), g, str(t)): v for (p, g, t), v in cells.items()}
    assert figures(read_source("eurostat_flows", path)) == expected
