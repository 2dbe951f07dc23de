"""What is asked of each publisher, and that its reader takes what the publisher answers.

The answers are small, of invented figures, in the form that the registered address gives: no
request leaves the test. `test_live_sources` asks the publishers themselves.
"""

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from reader_files import FIXTURES, STOCKS_2020, STOCKS_2024, Sheets, write_book

from flowcast.observations import observations_from_frame
from flowcast.sources import SourceEntry, load_registry
from flowcast.sources.fetch import USER_AGENT, fetch, make_client
from flowcast.sources.readers import READERS, read_source

ANSWERS: dict[str, str | Sheets] = {
    "eurostat_migr_imm5prv": "eurostat/migr_imm5prv.tsv",
    "eurostat_migr_imm1ctz": "eurostat/migr_imm1ctz.tsv",
    "eurostat_migr_emi3nxt": "eurostat/migr_emi3nxt.tsv",
    "eurostat_migr_emi2": "eurostat/migr_emi2.tsv",
    "eurostat_migr_asyappctza": "eurostat/migr_asyappctza.tsv",
    "eurostat_migr_asyappctzm": "eurostat/migr_asyappctzm.tsv",
    "eurostat_demo_pjan": "eurostat/demo_pjan.tsv",
    "oecd_imd": "oecd/mig.csv",
    "un_ims_2020": STOCKS_2020,
    "un_ims_2024": STOCKS_2024,
    "un_wpp_2024": "wpp/WPP2024_Demographic_Indicators_Medium.csv",
    "unhcr_population": "unhcr/population.csv",
    "unhcr_asylum_applications": "unhcr/asylum_applications.csv",
    "iom_missing_migrants": "iom/missing_migrants.csv",
    "ilostat_migration": "ilostat/MFL_NCIT_SEX_CCT_NB_A.csv",
    "world_bank_indicators": "world_bank/SP.POP.TOTL.json",
}
"""What each publisher answers: a file of the fixtures, or a workbook."""

# Written out a second time: whoever changes an address says here what is asked for.
EUROSTAT = ("ec.europa.eu", {"format": "TSV", "compressed": "true"})
UN_PAGES: tuple[str, dict[str, str]] = ("www.un.org", {})
UNHCR_ALL = {"download": "true", "coo_all": "true", "coa_all": "true", "yearTo": "2024"}
ASKED: dict[str, tuple[str, dict[str, str]]] = {
    **{name: EUROSTAT for name in ANSWERS if name.startswith("eurostat_")},
    "oecd_imd": ("sdmx.oecd.org", {"format": "csvfile"}),
    "un_ims_2020": UN_PAGES,
    "un_ims_2024": UN_PAGES,
    "un_wpp_2024": ("population.un.org", {}),
    "unhcr_population": ("api.unhcr.org", {**UNHCR_ALL, "yearFrom": "1951"}),
    "unhcr_asylum_applications": ("api.unhcr.org", {**UNHCR_ALL, "yearFrom": "2000"}),
    "iom_missing_migrants": ("missingmigrants.iom.int", {}),
    "ilostat_migration": ("rplumber.ilo.org", {"id": "MFL_NCIT_SEX_CCT_NB_A", "format": ".csv"}),
    "world_bank_indicators": ("api.worldbank.org", {"format": "json", "per_page": "20000"}),
}
"""Host and query of each request."""

ADDRESSED = [entry for entry in load_registry() if entry.url and entry.reader]
EVERY_ADDRESS = pytest.mark.parametrize("entry", ADDRESSED, ids=[e.id for e in ADDRESSED])


def body_of(entry: SourceEntry, folder: Path) -> bytes:
    """Return the answer, packed as the source's file is."""
    answer = ANSWERS[entry.id]
    if not isinstance(answer, str):
        return write_book(folder / "answer.xlsx", answer).read_bytes()
    plain = (FIXTURES / answer).read_bytes()
    if entry.file.endswith(".gz"):
        return gzip.compress(plain, mtime=0)
    if entry.file.endswith(".zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(Path(answer).name, plain)
        return packed.getvalue()
    return plain


class Publisher:
    """Answers every request with the same bytes, and remembers what was asked."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)

        def blocks() -> Iterator[bytes]:
            yield self.body

        return httpx.Response(200, content=blocks())


def ask(entry: SourceEntry, folder: Path) -> tuple[httpx.Request, Path]:
    """Fetch a source's file, and return the one request that was made, and the file."""
    publisher = Publisher(body_of(entry, folder))
    with make_client(httpx.MockTransport(publisher)) as client:
        got = fetch(entry, folder / "cache", client=client)
    (request,) = publisher.requests
    assert got.path.read_bytes() == publisher.body
    return request, got.path


def test_every_source_with_an_address_and_a_reader_has_an_answer() -> None:
    assert {entry.id for entry in ADDRESSED} == set(ANSWERS) == set(ASKED)


@EVERY_ADDRESS
def test_the_registered_address_is_asked_once(entry: SourceEntry, tmp_path: Path) -> None:
    request, _ = ask(entry, tmp_path)
    host, query = ASKED[entry.id]
    assert request.method == "GET"
    assert request.url == httpx.URL(entry.url)
    assert (request.url.scheme, request.url.host) == ("https", host)
    assert dict(request.url.params) == query


@EVERY_ADDRESS
def test_a_request_says_who_asks_and_wants_the_bytes_as_they_lie(
    entry: SourceEntry, tmp_path: Path
) -> None:
    request, _ = ask(entry, tmp_path)
    assert request.headers["user-agent"] == USER_AGENT
    assert request.headers["accept-encoding"] == "identity"
    assert {"range", "if-range", "cookie", "authorization"} & set(request.headers) == set()
    assert request.read() == b""


@EVERY_ADDRESS
def test_the_reader_takes_the_answer(entry: SourceEntry, tmp_path: Path) -> None:
    _, path = ask(entry, tmp_path)
    frame = read_source(entry.reader, path)
    assert len(frame) > 0
    if READERS[entry.reader].gives != "observations":
        assert entry.role == "covariate"
        assert {"place", "year"} <= set(frame.columns)
        return
    assert observations_from_frame(frame).n == len(frame)
    assert {load_registry().role_of(name) for name in frame["source"]} == {entry.role}
    assert set(frame["family"]) == {entry.family}


def test_a_dataset_of_eurostat_is_in_its_address() -> None:
    for entry in ADDRESSED:
        if entry.publisher == "Eurostat":
            name = entry.id.removeprefix("eurostat_")
            assert httpx.URL(entry.url).path.endswith(f"/data/{name.upper()}")
            assert entry.file == f"{name}.tsv.gz"
