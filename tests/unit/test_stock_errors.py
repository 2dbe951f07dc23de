"""What is believed of stock tables: defaults, files, and every fault in them."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from flowcast.accounting import StockErrors, read_stock_errors
from flowcast.accounting.stock_errors import COMPONENTS, LogError, read_place_qualities
from flowcast.errors import InputError
from flowcast.vocabulary import GRADES


def faults_of(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_stock_errors(path)
    return [str(fault) for fault in caught.value.faults]


def test_high_quality_is_a_small_error_by_default() -> None:
    errors = StockErrors()
    for component in COMPONENTS:
        sds = [getattr(errors, component).of(grade).sd for grade in reversed(GRADES)]
        assert sds == sorted(sds)
        assert sds[0] < sds[-1]


def test_what_is_given_is_laid_over_the_defaults() -> None:
    errors = StockErrors(coverage={"low": {"sd": 0.5}}, citizenship={"coverage": {"bias": 0.3}})
    assert errors.coverage.low.sd == 0.5
    assert errors.coverage.low.bias == StockErrors().coverage.low.bias
    assert errors.coverage.high == StockErrors().coverage.high
    assert errors.citizenship.coverage.sd == StockErrors().citizenship.coverage.sd


def test_a_place_has_its_own_quality_in_all_or_in_one() -> None:
    places = {"A": {"quality": "low"}, "B": {"quality": "low", "births": "high"}}
    errors = StockErrors(places=places)
    assert errors.grade("A", "births") == errors.births.low
    assert errors.grade("B", "births") == errors.births.high
    assert errors.grade("B", "deaths") == errors.deaths.low
    assert errors.grade("C", "births") == errors.births.medium
    assert StockErrors(quality="high").grade("C", "births") == errors.births.high


def test_errors_do_not_change_once_checked() -> None:
    with pytest.raises(ValidationError):
        StockErrors().counting = 3.0  # type: ignore[misc]


@pytest.mark.parametrize(("persistent", "correlation"), [(1.0, 0.0), (0.0, 0.5), (0.6, 0.9)])
def test_the_correlation_of_two_dates_is_as_declared(persistent: float, correlation: float) -> None:
    error = LogError(sd=0.2, persistent=persistent, correlation=correlation)
    found = error.covariance(np.array([2000.0, 2003.0, 2010.0])) / 0.04
    assert found.diagonal() == pytest.approx(1.0)
    assert found[0, 1] == pytest.approx(persistent + (1 - persistent) * correlation**3)
    assert found[0, 2] == pytest.approx(persistent + (1 - persistent) * correlation**10)


def test_a_file_may_name_a_table_of_places_beside_it(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(
        "place,quality,births,definition,vintage\nNA,low,,citizenship,1991;2001.5\nDE,,high,,\n"
    )
    (tmp_path / "e.yaml").write_text("quality: high\nplaces: q.csv\n")
    errors = read_stock_errors(tmp_path / "e.yaml")
    assert errors.vintage_of("NA") == (1991.0, 2001.5)
    assert errors.definition_of("NA") == "citizenship"
    assert errors.definition_of("DE") == "birth"
    assert errors.grade("NA", "coverage") == errors.coverage.low
    assert errors.grade("DE", "births") == errors.births.high
    assert errors.grade("DE", "deaths") == errors.deaths.high


def test_every_fault_of_a_file_and_its_table_is_told(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("place,quality,vintage\nA,lo,1991;x\nA,low,\n,low,\n")
    (tmp_path / "e.yaml").write_text("coverge: {}\ncounting: -1\nplaces: q.csv\n")
    told = faults_of(tmp_path / "e.yaml")
    assert len(told) == 6
    assert any("coverge) | found unknown key" in t and "mean coverage?" in t for t in told)
    assert any("counting) | found -1" in t for t in told)
    assert any("row 2, quality) | found 'lo'" in t for t in told)
    assert any("row 2, vintage) | found '1991;x'" in t for t in told)
    assert any("row 3, place) | found A again" in t for t in told)
    assert any("row 4, place) | found an empty cell" in t for t in told)


def test_an_unknown_key_within_a_place_names_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("places: {DE: {qualty: low}}\n")
    (told,) = faults_of(tmp_path / "e.yaml")
    assert "places.DE.qualty" in told
    assert "did you mean quality?" in told


def test_an_unknown_column_of_the_table_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("place,defintion\nA,birth\n")
    with pytest.raises(InputError, match="did you mean definition"):
        read_place_qualities(tmp_path / "q.csv")
    (tmp_path / "q.csv").write_text("quality\nlow\n")
    with pytest.raises(InputError, match=r"place\) \| found no such column"):
        read_place_qualities(tmp_path / "q.csv")
