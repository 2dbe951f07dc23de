"""The registry of sources: what is in it, and every fault of a file told at once."""

import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flowcast._source_roles import SOURCE_ROLES, read_roles
from flowcast.errors import Fault, InputError
from flowcast.resources import embedded_path
from flowcast.sources import SourceEntry, load_registry
from flowcast.sources.readers import READERS
from flowcast.sources.registry import COLUMNS
from flowcast.validation import load_catalogue
from flowcast.vocabulary import FAMILIES, MEASURES

ASKED_FOR = {
    "eurostat_migr_imm5prv",
    "eurostat_migr_imm1ctz",
    "eurostat_migr_emi3nxt",
    "eurostat_migr_emi2",
    "eurostat_migr_asyappctza",
    "eurostat_migr_asyappctzm",
    "eurostat_demo_pjan",
    "oecd_imd",
    "un_ims_2020",
    "un_ims_2024",
    "un_flows_2015",
    "un_wpp",
    "un_wpp_2024",
    "unhcr_population",
    "unhcr_asylum_applications",
    "idmc_gidd",
    "iom_dtm",
    "iom_missing_migrants",
    "ilostat_migration",
    "world_bank_indicators",
    "world_bank_remittances",
    "migration_governance_indicators",
    "border_crossings",
    "meta_chi_2025",
    "social_connectedness_2021",
    "advertising_audience",
    "search_index",
    "iamc_scenarios",
    "iiasa_ssp_population",
    "iiasa_ssp_gdp",
    "iiasa_ssp_urban_share",
    "cmip5_country_temperature",
    "fair_global_temperature",
    "imem_2013",
    "abel_cohen_2019",
    "gaskin_abel_2025",
    "unhcr_flows",
    "frontex_detections",
    "scholars_openalex",
    "scholars_scopus",
    "demig_total",
    "national_accounts",
    "eu_lfs",
    "fragile_states_index",
    "vdem",
}
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
DOI = re.compile(r"10\.\d{4,}/\S+")
HEADER = "id,publisher,title,family,measure,role"


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "sources.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def faults_of(path: Path) -> Sequence[Fault]:
    with pytest.raises(InputError) as refused:
        load_registry(path)
    return refused.value.faults


# What is embedded


def test_every_source_is_registered() -> None:
    assert set(load_registry().ids) == ASKED_FOR


def test_the_file_has_the_columns_of_an_entry_in_order() -> None:
    with embedded_path("data", "sources.csv").open(encoding="utf-8") as stream:
        assert tuple(next(csv.reader(stream))) == COLUMNS


def test_estimates_by_others_are_held_out_and_nothing_else_is() -> None:
    held = {entry.id for entry in load_registry().select(role="heldout")}
    assert held == {"imem_2013", "abel_cohen_2019", "gaskin_abel_2025"}


@pytest.mark.parametrize("entry", list(load_registry()), ids=lambda e: e.id)
def test_an_entry_says_what_a_reader_needs(entry: SourceEntry) -> None:
    assert entry.definition
    assert entry.coverage
    assert not entry.reader or entry.reader in READERS
    if not entry.is_own:
        assert entry.page.startswith("https://")
        assert entry.citation
    for doi in re.findall(r"doi\.org/(\S+?)[;,)]?(?:\s|$)", entry.citation):
        assert DOI.fullmatch(doi), doi
    assert not entry.url or entry.url.startswith("https://")
    cells = entry.model_dump(mode="json", exclude_none=True).values()
    assert [text for text in cells if text != " ".join(text.split())] == []


def test_families_and_roles_select() -> None:
    registry = load_registry()
    assert {e.family for e in registry.select(family="digital")} == {"digital"}
    assert registry.select(family="estimate", role="covariate") == ()
    assert sum(len(registry.select(role=role)) for role in SOURCE_ROLES) == len(registry)
    assert registry.select() == registry.entries == tuple(registry)


def test_an_unknown_source_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no source 'eurostat_imm5prv'.*did you mean eurostat_m"):
        load_registry().entry("eurostat_imm5prv")


def test_a_source_that_is_not_registered_may_enter_a_fit() -> None:
    assert load_registry().role_of("my_office") == "fit"


def test_an_entry_is_frozen() -> None:
    entry = load_registry().entry("imem_2013")
    with pytest.raises(ValidationError):
        entry.role = "fit"  # type: ignore[misc]


def test_roles_and_registry_agree() -> None:
    known = {entry.id: entry.role for entry in (*load_registry(), *load_catalogue())}
    assert read_roles() == known
    assert len(known) == len(load_registry()) + len(load_catalogue())


# A registry of one's own


def test_own_entries_come_last(tmp_path: Path) -> None:
    path = write(tmp_path, "our_survey,We,A survey,survey,flow,fit", "rain,We,Rain,,,covariate")
    registry = load_registry(path)
    assert registry.ids[-2:] == ("our_survey", "rain")
    assert registry.role_of("rain") == "covariate"
    assert registry.entry("our_survey").is_own
    assert str(path) in registry.name


def test_an_embedded_source_may_be_pinned_but_keeps_its_role(tmp_path: Path) -> None:
    header = f"{HEADER},file,version,sha256,retrieved"
    pinned = f"a.csv,v6,{'a' * 64},2025-03-01"
    same = write(tmp_path, f"imem_2013,IMEM,Flows,estimate,flow,heldout,{pinned}", header=header)
    entry = load_registry(same).entry("imem_2013")
    assert (entry.version, entry.retrieved) == ("v6", date(2025, 3, 1))
    assert len(load_registry(same)) == len(load_registry())
    other = write(tmp_path, "imem_2013,IMEM,Flows,estimate,flow,fit")
    (fault,) = faults_of(other)
    assert (fault.row, fault.column, fault.found) == (2, "role", "'fit'")
    assert "heldout" in fault.allowed


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    header = f"{HEADER},url,file,sha256,retrieved,reader"
    path = write(
        tmp_path,
        "a,We,T,administrativ,flow,fit,,,,,",
        "b,,T,survey,flw,fit,,,,,",
        "c,We,T,,,fit,,,,,",
        "a,We,T,survey,flow,fit,,,,,",
        "d,We,T,survey,flow,held_out,,,,,",
        "",
        "e e,We,T,survey,flow,fit,ftp://x,f,abc,1 May,No Reader",
        "g,We,T,survey,flow,fit,,../x,,,",
        "h,We,T,survey,flow,fit,https://x,,,,",
        ",We,T,survey,flow,fit,,,,,",
        "i,We",
        header=header,
    )
    told = {(f.row, f.column): f for f in faults_of(path)}
    assert set(told) == {
        (2, "family"),
        (3, "publisher"),
        (3, "measure"),
        (4, None),
        (5, "id"),
        (6, "role"),
        *((8, column) for column in ("id", "url", "sha256", "retrieved", "reader")),
        (9, "file"),
        (10, None),
        (11, "id"),
        (12, None),
    }
    assert told[2, "family"].hint == "administrative"
    assert told[3, "measure"].hint == "flow"
    assert told[6, "role"].hint == "heldout"
    assert "again, as in row 2" in told[5, "id"].found
    assert all(f.allowed and f.where == str(path) for f in told.values())


def test_columns_are_checked_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a,We,T,fit,x", header="id,publishr,title,role,licnce")
    told = {(fault.found, fault.hint, fault.column) for fault in faults_of(path)}
    assert told == {
        ("column 'publishr'", "publisher", None),
        ("column 'licnce'", "licence", None),
        ("no such column", "", "publisher"),
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "column 'id' 0 times"),
        (b"id;role\na;fit\n", "column 'role' 0 times"),
        (b"id,role,role\na,fit,fit\n", "column 'role' 2 times"),
        (b"id,role\n\xff,fit\n", "not UTF-8"),
        (b'id,role\n"a,fit\n', "CSV that cannot be read"),
    ],
)
def test_a_file_that_is_no_registry_is_told_so(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "sources.csv"
    path.write_bytes(content)
    assert any(said in fault.found for fault in faults_of(path))


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path / "none.csv")
    assert "No such file" in fault.found


def test_line_breaks_blank_lines_and_a_byte_order_mark_do_not_shift_rows(tmp_path: Path) -> None:
    path = tmp_path / "sources.csv"
    lines = f'{HEADER}\n\na,We,"two\nlines",survey,flow,fit\nb,We,T,survey,flow,nothing\n'
    path.write_text(lines, encoding="utf-8-sig")
    (fault,) = faults_of(path)
    assert fault.row == 5


# The page of the documentation


def test_the_page_describes_exactly_the_columns_and_roles_there_are() -> None:
    told = [
        name
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert told == [*COLUMNS, *SOURCE_ROLES]


def test_the_example_of_the_page_is_read_without_a_fault(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```text\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    path = tmp_path / "sources.csv"
    path.write_text(example, encoding="utf-8")
    assert load_registry(path).role_of("their_estimates") == "heldout"


# For any file

WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=9)
CELL = st.one_of(WORD, st.sampled_from([*FAMILIES, *MEASURES, *SOURCE_ROLES, "", "2020-01-01"]))
ENTRIES = st.builds(
    SourceEntry,
    id=st.from_regex(r"own_[a-z0-9_.-]{1,12}", fullmatch=True),
    publisher=WORD,
    title=WORD,
    family=st.sampled_from(FAMILIES),
    measure=st.sampled_from(MEASURES),
    role=st.sampled_from(SOURCE_ROLES),
    definition=st.one_of(st.just(""), WORD),
    citation=st.one_of(st.just(""), WORD),
    file=st.just("a.csv"),
    sha256=st.sampled_from(["", "0" * 64]),
    retrieved=st.one_of(st.none(), st.dates(date(1990, 1, 1), date(2030, 1, 1))),
    note=st.one_of(st.just(""), WORD),
)
ANY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANY
@given(st.lists(ENTRIES, max_size=4, unique_by=lambda entry: entry.id))
def test_what_is_written_is_read_back(tmp_path: Path, entries: list[SourceEntry]) -> None:
    path = tmp_path / "sources.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(entry.model_dump(mode="json") for entry in entries)
    registry = load_registry(path)
    assert list(registry.entries[-len(entries) :]) == entries or not entries
    assert {e.id: read_roles(path)[e.id] for e in entries} == {e.id: e.role for e in entries}


@ANY
@given(st.lists(st.lists(CELL, min_size=5, max_size=7), max_size=5))
def test_any_cells_are_read_or_refused_with_faults(tmp_path: Path, rows: list[list[str]]) -> None:
    path = tmp_path / "sources.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([HEADER.split(","), *rows])
    with suppress(InputError):
        load_registry(path)


def test_the_package_loads_nothing_heavy() -> None:
    code = "import sys, flowcast.sources as s; dir(s); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"pandas", "numpy", "pydantic", "httpx", "yaml"} == set()


def test_the_package_has_no_other_names() -> None:
    import flowcast.sources as package

    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing
