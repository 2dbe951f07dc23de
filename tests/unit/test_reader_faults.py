"""Every reader, on files that are not what they should be: one error that says what is wrong."""

import csv
import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from reader_files import CASES, CORRUPTIONS, FIXTURES, Case, numbers_in, write_book

from flowcast.errors import InputError, UsageError
from flowcast.observations import observations_from_frame
from flowcast.resources import embedded_path
from flowcast.sources.readers import READERS, read_source

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def test_every_reader_has_a_case() -> None:
    assert {case.reader for case in CASES} == set(READERS)


@EVERY_CASE
def test_a_whole_file_passes_the_contract(case: Case, tmp_path: Path) -> None:
    frame = read_source(case.reader, case.make(tmp_path), **case.options)
    assert all(n > 0 for n in frame.attrs["left_out"].values())
    if READERS[case.reader].gives == "observations":
        assert observations_from_frame(frame).n == len(frame)
        return
    pairs = READERS[case.reader].gives == "corridors"
    keys = ["origin", "destination", "year"] if pairs else ["place", "year"]
    assert list(frame.columns) == [*keys, *frame.attrs["units"]]
    assert not frame.duplicated(keys).any()


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if isinstance(c.file, str)],
    ids=[c.name for c in CASES if isinstance(c.file, str)],
)
def test_gzip_makes_no_difference(case: Case, tmp_path: Path) -> None:
    plain = case.make(tmp_path)
    packed = tmp_path / f"{plain.name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    one, other = (read_source(case.reader, path, **case.options) for path in (plain, packed))
    assert one.equals(other)


@pytest.mark.parametrize("kind", CORRUPTIONS)
@EVERY_CASE
def test_a_spoilt_file_is_refused_with_its_name_and_a_reason(
    case: Case, kind: str, tmp_path: Path
) -> None:
    path = case.make(tmp_path)
    spoil, words = CORRUPTIONS[kind]
    spoil(case, path)
    with pytest.raises(InputError, match=words) as caught:
        read_source(case.reader, path, **case.options)
    assert all(fault.where.startswith(str(path)) for fault in caught.value.faults)
    assert all(fault.allowed for fault in caught.value.faults)


@EVERY_CASE
def test_a_changed_header_names_a_place_in_the_file(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    CORRUPTIONS["changed header"][0](case, path)
    with pytest.raises(InputError) as caught:
        read_source(case.reader, path, **case.options)
    assert any(
        f.row is not None or f.column is not None or "sheet" in f"{f.where} {f.allowed}"
        for f in caught.value.faults
    )


@EVERY_CASE
def test_half_a_gzip_file_and_no_file_are_told(case: Case, tmp_path: Path) -> None:
    whole = gzip.compress(case.make(tmp_path).read_bytes())
    half = tmp_path / "half.gz"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a whole gzip file"):
        read_source(case.reader, half, **case.options)
    with pytest.raises(InputError, match=r"no such file.*did you mean half\.gz"):
        read_source(case.reader, tmp_path / "hal.gz", **case.options)
    (tmp_path / "nothing").write_bytes(b" \n")
    with pytest.raises(InputError, match="an empty file"):
        read_source(case.reader, tmp_path / "nothing", **case.options)
    with pytest.raises(InputError, match="a folder"):
        read_source(case.reader, tmp_path, **case.options)


def test_unknown_readers_and_options_are_told() -> None:
    with pytest.raises(UsageError, match="did you mean eurostat_flows"):
        read_source("eurostat_flow", "x.csv")
    with pytest.raises(UsageError, match="found option 'yaer'; allowed: no options"):
        read_source("un_stocks", "x.csv", yaer=2020)
    with pytest.raises(UsageError, match="allowed: dataset"):
        read_source("eurostat_flows", "x.csv", flow="x")


def test_a_text_alone_in_an_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "population.zip"
    csv = (FIXTURES / "unhcr" / "population.csv").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("population.csv", csv)
        archive.writestr("footnotes.csv", b"Year,Note\n")
    assert len(read_source("unhcr_population", path)) == 2
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable zip archive"):
        read_source("unhcr_population", path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.csv", csv)
        archive.writestr("two.csv", csv)
    with pytest.raises(InputError, match=r"a zip archive of one\.csv, two\.csv; allowed: the text"):
        read_source("unhcr_population", path)


def test_a_workbook_is_told_from_a_text(tmp_path: Path) -> None:
    path = write_book(tmp_path / "flows.csv", {"Sheet": [["country_from"]]})
    with pytest.raises(InputError, match=r"a workbook of .*; allowed: the text file itself"):
        read_source("meta_flows", path)


@EVERY_CASE
def test_values_are_those_of_the_file(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    frame = read_source(case.reader, path, **case.options)
    adds_up = case.reader in ("unhcr_applications", "dtm_displacement", "missing_migrants")
    units = (1000,) if case.reader.startswith(("wpp", "ilostat")) else (1,)
    units = (1, 1e6, 1e9, 0.01) if case.reader in ("ssp_pathways", "iamc") else units
    own = {round(number * unit, 6) for number in numbers_in(case, path) for unit in units}
    own |= {a + b for a in own for b in own} if adds_up else set()
    own |= {0.0, 1.0} if case.reader == "governance_indicators" else set()
    names = ["value"] if "value" in frame else list(frame.attrs["units"])
    values = frame[names].to_numpy().ravel()
    assert set(values[~np.isnan(values)]) <= own


def test_sources_are_those_of_the_registry(tmp_path: Path) -> None:
    """Held-out and covariate sources are known by their ids, so a reader may not invent one."""
    with embedded_path("data", "sources.csv").open(encoding="utf-8", newline="") as file:
        ids = tuple(row["id"] for row in csv.DictReader(file))
    for case in CASES:
        frame = read_source(case.reader, case.make(tmp_path), **case.options)
        for source in set(frame.get("source", [])):
            assert source in ids or source.startswith(tuple(f"{i}_" for i in ids)), source
