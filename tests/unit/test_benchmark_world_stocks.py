"""The world of uncertain stocks: how files become accounts, and reports become periods."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def world(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.world")


@pytest.fixture(scope="module")
def bench(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.world_stocks")


def write_files(folder: Path) -> None:
    """Write files of three places with one territory that has no stocks."""
    for name in ("un_ims_2024", "wpp2024", "cepii_geodist"):
        (folder / name).mkdir()
    stocks = "birth,residence,year,tot,m,f\nNAM,ZAF,1990,100,50,50\nNAM,ZAF,1995,200,1,1\n"
    (folder / "un_ims_2024" / "stock_birth_residence.csv.gz").write_bytes(_packed(stocks))
    native = "birth,residence,year,tot,m,f\n" + "".join(
        f"{p},{p},{y},{n},1,1\n"
        for p, n in (("NAM", 1000), ("ZAF", 2000), ("BWA", 500))
        for y in (1990, 1995)
    )
    (folder / "un_ims_2024" / "native_born_diagonal.csv.gz").write_bytes(_packed(native))
    rows = [
        f"{p},{y},{pop},0.5,0.25,0.1,500.0"
        for p, pop in (("NAM", 1.0), ("ZAF", 2.2), ("BWA", 0.5), ("XKX", 1.0))
        for y in range(1990, 1996)
    ]
    annual = "iso3,year,pop_midyear_implied,births,deaths,PopChange,cbr\n" + "\n".join(rows)
    (folder / "wpp2024" / "wpp2024_annual.csv.gz").write_bytes(_packed(annual))
    pairs = "iso_o,iso_d,dist\n" + "".join(
        f"{o},{d},{100 if o == d else 1000}\n" for o in ("NAM", "ZAF") for d in ("NAM", "ZAF")
    )
    (folder / "cepii_geodist" / "dist_cepii.csv.gz").write_bytes(_packed(pairs))


def _packed(text: str) -> bytes:
    import gzip

    return gzip.compress(text.encode())


def test_files_become_accounts(world: ModuleType, tmp_path: Path) -> None:
    write_files(tmp_path)
    found = world.read_world(tmp_path, (1990, 1995), others="told")
    assert found.dropped == ("XKX",)
    series = found.series
    np.testing.assert_allclose(series["births"].sel(place="NAM"), 500.0 * 5)
    stock = series["stock"].isel(date=0)
    # Of 2,200 residents the table told 2,100; the other 100 are as the known: born in Namibia.
    assert float(stock.sel(birthplace="NAM", residence="ZAF")) == 200.0
    assert not series["shared_out"].any()
    bare = world.read_world(tmp_path, (1990, 1995), others="left out").series["stock"]
    assert float(bare.isel(date=0).sel(birthplace="NAM", residence="ZAF")) == 100.0
    untold = world.read_world(tmp_path, (1990, 1995), others="untold").series
    # Nobody born elsewhere is known to live abroad: the rest is native-born.
    assert float(untold["stock"].isel(date=0).sel(birthplace="ZAF", residence="ZAF")) == 2100.0


def test_only_periods_whose_six_years_are_reported_count(bench: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "un_flows_2015").mkdir()
    header = "reporter_iso3,direction,criterion,coverage,partner_iso3,partner_name,year,value\n"
    rows = [f"DEU,imm,Residence,Both,NAM,Namibia,{y},{y - 1990}" for y in range(1990, 2000)]
    rows += [f"DEU,emi,Residence,Both,NAM,Namibia,{y},10" for y in range(1990, 1996)]
    rows += [f"DEU,imm,Citizenship,Both,NAM,Namibia,{y},999" for y in range(1990, 1996)]
    rows += [f"DEU,imm,Residence,Both,,Total,{y},999" for y in range(1990, 1996)]
    text = header + "\n".join(rows)
    (tmp_path / "un_flows_2015" / "un_flows_2015_long.csv.gz").write_bytes(_packed(text))
    found = bench.reported(tmp_path).set_index(["origin", "destination", "side", "start"])["report"]
    assert found.to_dict() == {
        ("NAM", "DEU", "destination", 1990): 1 + 2 + 3 + 4 + 2.5,
        ("DEU", "NAM", "origin", 1990): 50.0,
    }


def test_correlations_are_of_logs_with_and_without_zeros(bench: ModuleType) -> None:
    one = pd.Series([0.0, 1.0, 10.0, 100.0])
    told = bench.correlations(one, 2.0 * one)
    assert told["n_positive"] == 3
    assert told["log"] == pytest.approx(1.0)
    assert told["ratio"] == pytest.approx(0.5)
    assert told["log1p"] < 1.0


def test_the_world_grows_by_births_less_deaths(world: ModuleType, shared: Path) -> None:
    found = world.read_world(shared / "data" / "flows")
    series = found.series
    assert series.sizes == {"date": 8, "birthplace": 230, "residence": 230, "period": 7,
                            "place": 230}  # fmt: skip
    assert len(found.dropped) == 6
    growth = series["stock"].sum(("birthplace", "residence")).diff("date").values
    natural = (series["births"] - series["deaths"]).sum("place").values
    # The six territories and rounding are all that is left: less than one person in 5,000.
    assert np.abs(growth - natural).max() < 2e-4 * float(series["stock"].sum()) / 8
