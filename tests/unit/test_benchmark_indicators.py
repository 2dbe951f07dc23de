"""The benchmark of many indicators: growth of stocks, and what has no row in common."""

import gzip
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from support import tiny_posterior

from flowcast.validation import read_indicator


@pytest.fixture
def many(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.indicators_many")


def test_growth_is_between_neighbouring_dates_of_pairs_that_have_both(
    many: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "flows" / "un_ims_2024"
    folder.mkdir(parents=True)
    with gzip.open(folder / "stock_birth_residence.csv.gz", "wt") as stream:
        stream.write(
            "birth,residence,year,tot\nNAM,DEU,2000,10\nNAM,DEU,2005,25\nNAM,DEU,2015,40\n"
            "POL,DEU,2005,7\nNAM,EU9,2000,1\nNAM,EU9,2005,2\n"
        )
    table = many.stock_growth(tmp_path).table
    assert table[["origin", "destination", "value"]].to_numpy().tolist() == [["NAM", "DEU", 15.0]]
    assert str(table["period_end"].item())[:10] == "2005-07-01"


def test_an_indicator_without_a_common_row_is_told_and_left_out(
    many: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("AT", "DE", "FR", "PL")
    pairs = [(o, d) for o in places for d in places if o != d]
    path = tmp_path / "moves.csv"
    rows = [f"{o},{d},{year},{k + 1}" for k, (o, d) in enumerate(pairs) for year in (2020, 2021)]
    path.write_text("origin,destination,year,value\n" + "\n".join(rows) + "\n")
    early = tmp_path / "early.csv"
    early.write_text("origin,destination,year,value\nAT,DE,1999,5\n")
    tables = {
        "scholar_moves_scopus": read_indicator("scholar_moves_scopus", path),
        "asylum_unhcr": read_indicator("asylum_unhcr", early),
    }
    found = many.compare_all(tiny_posterior(places, 2), tables)
    assert set(found["indicator"]) == {"scholar_moves_scopus"}
    assert "asylum_unhcr: no row about these places and years" in capsys.readouterr().out


def test_real_files_are_read_as_published(shared: Path) -> None:
    data = shared / "data"
    index = read_indicator(
        "connectedness_meta", data / "flows" / "sci_2021" / "sci_country_country_oct2021.csv.gz"
    )
    assert index.n == 185 * 184
    fragile = read_indicator("fragile_states", data / "drivers" / "iom_gdidata" / "fsi.csv.gz")
    assert fragile.table["value"].between(0, 120).all()
    assert fragile.table["period_start"].dt.year.agg(["min", "max"]).tolist() == [2006, 2023]
