"""Fetching: resumed, repeated politely, checked, kept; no request leaves the test."""

import fcntl
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowcast.errors import InputError, UsageError
from flowcast.sources import SourceEntry, load_registry
from flowcast.sources.cache import (
    FOLDER_VARIABLE,
    cache_folder,
    cached_path,
    find_cached,
    record_path,
)
from flowcast.sources.fetch import USER_AGENT, Patience, fetch, make_client
from flowcast.sources.sniff import tell_wrong_content

BODY = b"geo,year,value\nDE,2020,10\nFR,2020,8\n"
PAGE = b"<!DOCTYPE html><html><head><title>Service\n unavailable</title></head></html>"
Handler = Callable[[httpx.Request], httpx.Response]


def entry(**given: Any) -> SourceEntry:  # noqa: ANN401
    known = {
        "id": "office",
        "publisher": "The office",
        "title": "Flows",
        "family": "administrative",
        "measure": "flow",
        "role": "fit",
        "url": "https://office.example/flows.csv",
        "page": "https://office.example/about",
        "file": "flows.csv",
    }
    return SourceEntry.model_validate(known | given)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


class Server:
    """Answers requests from a list, and remembers them; the last answer is repeated."""

    def __init__(self, *answers: Handler) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waited: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        return answer(request)

    def fetch(self, source: SourceEntry, folder: Path, **options: Any) -> Any:  # noqa: ANN401
        patience = Patience(sleep=self.waited.append)
        with make_client(httpx.MockTransport(self)) as client:
            return fetch(source, folder, client=client, patience=patience, **options)

    def refused(self, source: SourceEntry, folder: Path, **options: Any) -> str:  # noqa: ANN401
        with pytest.raises(InputError) as refused:
            self.fetch(source, folder, **options)
        (fault,) = refused.value.faults
        return str(fault)


def stream(
    blocks: Callable[[], Iterator[bytes]], status: int, headers: dict[str, str]
) -> httpx.Response:
    """Return an answer that has yet to be read, as one from a network."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.Response(status, headers=named, content=blocks())


def answer(content: bytes = BODY, status: int = 200, **headers: str) -> Handler:
    def blocks() -> Iterator[bytes]:
        yield content

    return lambda _: stream(blocks, status, {"content_length": str(len(content)), **headers})


def broken(content: bytes, whole: int, **headers: str) -> Handler:
    """Serve an answer whose connection breaks after `content`."""

    def blocks() -> Iterator[bytes]:
        yield content
        raise httpx.ReadError("connection reset")

    return lambda _: stream(blocks, 200, {"content_length": str(whole), **headers})


def failing(error: Exception) -> Handler:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    return fail


def rest(whole: bytes, etag: str = '"1"') -> Handler:
    """Serve ranges of a file, under one tag."""

    def serve(request: httpx.Request) -> httpx.Response:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if asked is None or request.headers.get("if-range", etag) != etag:
            return answer(whole, etag=etag)(request)
        start = int(asked[1])
        if start >= len(whole):
            return answer(b"", 416, content_range=f"bytes */{len(whole)}")(request)
        told = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        return answer(whole[start:], 206, content_range=told, etag=etag)(request)

    return serve


# Into the cache and out of it


def test_a_file_is_downloaded_recorded_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    server = Server(answer())
    source = entry(version="v1", sha256=sha256(BODY))
    got = server.fetch(source, tmp_path)
    assert got.path == tmp_path / "office" / "flows.csv"
    assert got.path.read_bytes() == BODY
    assert (got.url, got.sha256, got.size) == (source.url, sha256(BODY), len(BODY))
    assert files(tmp_path) == {"flows.csv", "flows.csv.retrieved.json"}
    record = json.loads(record_path(got.path).read_text())
    assert record == {
        "path": "flows.csv",
        "source": "office",
        "url": source.url,
        "retrieved": got.retrieved,
        "sha256": sha256(BODY),
        "size": len(BODY),
        "version": "v1",
    }
    assert datetime.fromisoformat(got.retrieved).tzinfo is not None
    assert server.fetch(source, tmp_path) == got
    assert len(server.requests) == 1


def test_it_says_who_asks_and_asks_for_the_bytes_as_they_are(tmp_path: Path) -> None:
    server = Server(answer())
    server.fetch(entry(), tmp_path)
    (request,) = server.requests
    assert request.headers["user-agent"] == USER_AGENT
    assert USER_AGENT.startswith("flowcast/")
    assert request.headers["accept-encoding"] == "identity"
    assert "range" not in request.headers


def test_force_downloads_again(tmp_path: Path) -> None:
    server = Server(answer(), answer(BODY + b"IT,2020,9\n"))
    server.fetch(entry(), tmp_path)
    got = server.fetch(entry(), tmp_path, force=True)
    assert got.size == len(BODY) + 10
    assert find_cached(entry(), tmp_path) == got


def test_a_failed_download_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    server = Server(answer(), answer(PAGE))
    got = server.fetch(entry(), tmp_path)
    server.refused(entry(), tmp_path, force=True)
    assert find_cached(entry(), tmp_path) == got
    assert files(tmp_path) == {"flows.csv", "flows.csv.retrieved.json"}


def test_a_file_put_there_by_hand_counts_and_gets_a_record(tmp_path: Path) -> None:
    server = Server(answer())
    path = cached_path(entry(), tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY)
    got = server.fetch(entry(), tmp_path)
    assert (got.url, got.sha256) == ("", sha256(BODY))
    assert server.requests == []
    assert find_cached(entry(), tmp_path) == got


def test_a_file_that_was_changed_in_the_cache_is_told(tmp_path: Path) -> None:
    server = Server(answer())
    server.fetch(entry(), tmp_path).path.write_bytes(BODY + b"x")
    assert "it was changed" in server.refused(entry(), tmp_path)
    server.fetch(entry(), tmp_path, force=True)
    assert len(server.requests) == 2


def test_a_record_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    server = Server(answer())
    path = server.fetch(entry(), tmp_path).path
    record_path(path).write_text("{}")
    assert "no readable record" in server.refused(entry(), tmp_path)


def test_the_folder_is_the_one_given_or_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert cache_folder() == Path("data/raw")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(Path("mine")) == Path("mine")
    with make_client(httpx.MockTransport(Server(answer()))) as client:
        assert fetch(entry(), client=client).path.parent == tmp_path / "office"


# Checked


def test_other_bytes_than_the_pinned_ones_are_refused_and_thrown_away(tmp_path: Path) -> None:
    source = entry(sha256="0" * 64, version="2015")
    said = Server(answer()).refused(source, tmp_path)
    assert f"found sha256 {sha256(BODY)}" in said
    assert "as the registry pins for office (version 2015)" in said
    assert files(tmp_path) == set()


def test_a_pinned_file_put_there_by_hand_is_checked_too(tmp_path: Path) -> None:
    path = cached_path(entry(), tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY)
    said = Server(answer()).refused(entry(sha256="0" * 64), tmp_path)
    assert str(path) in said


def test_a_page_instead_of_data_is_refused_by_its_title(tmp_path: Path) -> None:
    said = Server(answer(PAGE)).refused(entry(), tmp_path)
    assert "found an HTML page ('Service unavailable') instead of flows.csv" in said
    assert f"put by hand at {tmp_path / 'office' / 'flows.csv'}" in said
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "an empty file"),
        ("a.csv", b"  \n<html>", "an HTML page"),
        ("a.csv", b"\xef\xbb\xbf<!-- x --><!doctype HTML>", "an HTML page"),
        ("a.csv", b"<?xml version='1.0'?><fault/>", "markup instead of a table"),
        ("a.tsv.gz", gzip.compress(PAGE, mtime=0), "an HTML page ('Service unavailable')"),
        ("a.tsv.gz", gzip.compress(b"<S:Fault>", mtime=0), "markup instead of a table"),
        ("a.tsv.gz", b"geo\t2020\n", "bytes that are no gzip file"),
        ("a.xlsx", b"geo,year\n", "bytes that are no Excel file"),
        ("a.zip", PAGE, "an HTML page"),
        ("a.json", b"error", "text that is no JSON"),
    ],
)
def test_content_that_cannot_be_the_file_is_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / "part"
    path.write_bytes(content)
    assert said in str(tell_wrong_content(path, name))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", BODY),
        ("a.csv.gz", gzip.compress(BODY, mtime=0)),
        ("a.csv.gz", b"\x1f\x8bdamaged"),
        ("a.xlsx", b"PK\x03\x04"),
        ("a.json", b"\n [1]"),
        ("a.html", PAGE),
        ("a.nc", b"\x89HDF"),
    ],
)
def test_content_that_may_be_the_file_passes(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "part"
    path.write_bytes(content)
    assert tell_wrong_content(path, name) is None


# Without a network, or without an address


def test_without_a_network_it_says_what_to_put_where_and_from_where(tmp_path: Path) -> None:
    server = Server(failing(httpx.ConnectError("name not known")))
    said = server.refused(entry(note="Take the annual file."), tmp_path)
    assert said.startswith("(https://office.example/flows.csv) | found no answer with data")
    assert "name not known" in said
    path = tmp_path / "office" / "flows.csv"
    assert f"put by hand at {path}, from https://office.example/about" in said
    assert said.endswith("Take the annual file.")
    assert len(server.requests) == Patience().attempts
    assert files(tmp_path) == set()


def test_a_source_without_an_address_is_got_by_hand(tmp_path: Path) -> None:
    server = Server(answer())
    said = server.refused(entry(url=""), tmp_path)
    assert "from https://office.example/about" in said
    assert "a network" not in said
    said = server.refused(entry(url="", page="", note="Ask the border police."), tmp_path)
    assert "a file of your own at" in said
    assert "Ask the border police" in said
    assert server.requests == []


@pytest.mark.parametrize("entry_", list(load_registry()), ids=lambda e: e.id)
def test_every_registered_source_says_what_to_do_offline(
    entry_: SourceEntry, tmp_path: Path
) -> None:
    said = Server(failing(httpx.ConnectError("offline"))).refused(entry_, tmp_path)
    assert str(cached_path(entry_, tmp_path)) in said
    assert entry_.page in said


def test_a_refusal_is_not_asked_again(tmp_path: Path) -> None:
    server = Server(answer(b"no", 403))
    assert "status 403 Forbidden" in server.refused(entry(), tmp_path)
    assert len(server.requests) == 1


# Politeness


def test_a_busy_server_is_asked_again_after_growing_waits(tmp_path: Path) -> None:
    busy = answer(b"", 503)
    server = Server(busy, failing(httpx.ReadTimeout("slow")), answer(b"", 502), answer())
    assert server.fetch(entry(), tmp_path).size == len(BODY)
    assert server.waited == [2.0, 4.0, 8.0]


def test_a_busy_server_is_not_asked_for_ever(tmp_path: Path) -> None:
    server = Server(answer(b"", 503))
    assert "status 503" in server.refused(entry(), tmp_path)
    assert (len(server.requests), len(server.waited)) == (4, 3)


def test_a_server_that_names_a_time_is_heeded(tmp_path: Path) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server = Server(
        answer(b"", 429, retry_after="17"),
        answer(b"", 503, retry_after=then),
        answer(b"", 503, retry_after="soon"),
        answer(),
    )
    server.fetch(entry(), tmp_path)
    assert server.waited[0] == 17.0
    assert 30.0 < server.waited[1] <= 40.0
    assert server.waited[2] == 8.0


def test_a_server_that_wants_to_be_left_alone_is(tmp_path: Path) -> None:
    server = Server(answer(b"", 429, retry_after="3600"))
    assert "come back in 3600 s" in server.refused(entry(), tmp_path)
    assert (len(server.requests), server.waited) == (1, [])


# Resumed


def test_a_broken_download_goes_on_where_it_was(tmp_path: Path) -> None:
    server = Server(broken(BODY[:9], len(BODY), etag='"1"'), rest(BODY))
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY
    assert server.requests[1].headers["range"] == "bytes=9-"
    assert server.requests[1].headers["if-range"] == '"1"'
    assert files(tmp_path) == {"flows.csv", "flows.csv.retrieved.json"}


def test_it_goes_on_in_a_later_call_too(tmp_path: Path) -> None:
    gone = failing(httpx.ConnectError("gone"))
    first = Server(broken(BODY[:9], len(BODY), etag='"1"'), gone)
    first.refused(entry(), tmp_path)
    assert (tmp_path / "office" / ".flows.csv.part").read_bytes() == BODY[:9]
    second = Server(rest(BODY))
    assert second.fetch(entry(), tmp_path).path.read_bytes() == BODY
    assert second.requests[0].headers["range"] == "bytes=9-"


def test_a_file_that_has_changed_meanwhile_is_taken_from_the_start(tmp_path: Path) -> None:
    server = Server(broken(b"old old old", 99, etag='"0"'), rest(BODY))
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY


@pytest.mark.parametrize("headers", [{}, {"etag": 'W/"1"'}])
def test_without_a_strong_tag_or_date_it_starts_again(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    server = Server(broken(BODY[:9], len(BODY), **headers), rest(BODY))
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY
    assert "range" not in server.requests[1].headers


def test_a_date_serves_as_well(tmp_path: Path) -> None:
    date = "Sat, 01 Mar 2025 10:00:00 GMT"
    server = Server(broken(BODY[:9], len(BODY), last_modified=date), answer())
    server.fetch(entry(), tmp_path)
    assert server.requests[1].headers["if-range"] == date


def test_a_pinned_hash_serves_as_well(tmp_path: Path) -> None:
    server = Server(broken(BODY[:9], len(BODY)), rest(BODY))
    server.fetch(entry(sha256=sha256(BODY)), tmp_path)
    assert server.requests[1].headers["range"] == "bytes=9-"


def test_what_was_begun_from_another_address_is_not_continued(tmp_path: Path) -> None:
    Server(broken(BODY[:9], len(BODY), etag='"1"'), failing(httpx.ConnectError("gone"))).refused(
        entry(), tmp_path
    )
    server = Server(rest(BODY))
    server.fetch(entry(url="https://office.example/new.csv"), tmp_path)
    assert "range" not in server.requests[0].headers


def test_a_body_shorter_than_announced_is_not_taken_for_whole(tmp_path: Path) -> None:
    server = Server(answer(content_length="99"), answer())
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_wrong_part_and_an_end_that_is_past_start_again(tmp_path: Path) -> None:
    wrong = answer(b"x", 206, content_range="bytes 3-3/99", etag='"1"')
    server = Server(broken(BODY[:9], len(BODY), etag='"1"'), wrong, rest(BODY))
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY
    past = Server(broken(BODY + b"x", 99, etag='"1"'), rest(BODY))
    assert past.fetch(entry(), tmp_path, force=True).path.read_bytes() == BODY
    assert len(past.requests) == 3


def test_a_connection_that_breaks_after_the_last_byte_loses_nothing(tmp_path: Path) -> None:
    server = Server(broken(BODY, len(BODY), etag='"1"'), rest(BODY))
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY
    assert len(server.requests) == 2


def test_an_encoding_is_undone_except_where_it_is_the_file(tmp_path: Path) -> None:
    packed = gzip.compress(BODY, mtime=0)
    server = Server(answer(packed, content_encoding="gzip"))
    assert server.fetch(entry(), tmp_path).path.read_bytes() == BODY
    got = server.fetch(entry(id="packed", file="flows.csv.gz"), tmp_path)
    assert got.path.read_bytes() == packed


def test_redirects_are_followed(tmp_path: Path) -> None:
    server = Server(answer(b"", 302, location="https://files.example/f.csv"), answer())
    got = server.fetch(entry(), tmp_path)
    assert got.url == "https://office.example/flows.csv"
    assert server.requests[1].url.host == "files.example"


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    part = tmp_path / "office" / ".flows.csv.part"
    part.parent.mkdir()
    with part.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            Server(answer()).fetch(entry(), tmp_path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(min_size=1, max_size=60).map(lambda tail: b"v," + tail),
    st.lists(st.integers(0, 60), max_size=3),
)
def test_wherever_it_breaks_the_file_is_whole(
    tmp_path: Path, whole: bytes, breaks: list[int]
) -> None:
    def cut(after: int) -> Handler:
        def serve(request: httpx.Request) -> httpx.Response:
            good = rest(whole, etag)(request)
            body = good.read()[:after]

            def blocks() -> Iterator[bytes]:
                yield body
                raise httpx.ReadError("reset")

            return stream(blocks, good.status_code, dict(good.headers))

        return serve

    etag = f'"{sha256(whole)}"'
    server = Server(*(cut(after) for after in breaks), rest(whole, etag))
    got = server.fetch(entry(), tmp_path, force=True)
    assert got.path.read_bytes() == whole
    assert got.sha256 == sha256(whole)
