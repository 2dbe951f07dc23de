"""Fetching the file of a source: few requests, resumed where they broke off, checked, kept.

What is being downloaded lies beside its place as ``.<file>.part``, with the validator under which
the server may continue it. Only whole and checked bytes take the file's name.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Final

import httpx

from flowcast import __version__
from flowcast.errors import Fault, InputError, UsageError
from flowcast.sources.cache import (
    Retrieval,
    cache_folder,
    cached_path,
    find_cached,
    hash_file,
    record_path,
    require_pinned,
    write_record,
)
from flowcast.sources.registry import SourceEntry
from flowcast.sources.sniff import tell_wrong_content

__all__ = ["USER_AGENT", "Patience", "fetch", "make_client"]

USER_AGENT: Final = f"flowcast/{__version__} (migration flow estimation; one file at a time)"
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed later."""
CONTINUED: Final = 206
UNSATISFIABLE: Final = 416
SUCCESS: Final = 200


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is repeated, and how long is waited.

    Attributes
    ----------
    attempts
        Requests at most.
    first, longest
        Seconds before the second request, doubled each time; and the longest wait. A server that
        asks for more (Retry-After) is left alone.
    sleep
        Waits a number of seconds.
    """

    attempts: int = 4
    first: float = 2.0
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep


class _Later(Exception):
    """The server or the network may do better later; `wait` is what the server asks for."""

    def __init__(self, found: str, wait: float | None = None) -> None:
        super().__init__(found)
        self.wait = wait


def make_client(transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """Return the client that `fetch` uses; `transport` takes the place of the network.

    Examples
    --------
    >>> with make_client() as client:
    ...     client.headers["user-agent"].split("/")[0]
    'flowcast'
    """
    return httpx.Client(
        transport=transport,
        follow_redirects=True,
        timeout=httpx.Timeout(30.0, read=120.0),
        # Bytes as they lie at the publisher: a range and a hash mean nothing of a re-encoded body.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )


def fetch(
    entry: SourceEntry,
    folder: Path | None = None,
    *,
    client: httpx.Client | None = None,
    force: bool = False,
    patience: Patience | None = None,
) -> Retrieval:
    """Return the file of a source from the cache, or download it into the cache.

    Parameters
    ----------
    entry
        The source.
    folder
        Cache folder; if None, `FLOWCAST_DATA` or ``data/raw``.
    client
        As made by `make_client`; if None, one is made.
    force
        Download even if the file is there.
    patience
        How often a request is repeated.

    Returns
    -------
    Retrieval
        Path, address, time, hash and size, as recorded beside the file.

    Raises
    ------
    InputError
        If the file cannot be had (it says what to put where, and where to get it), is a page
        instead of data, or has another hash than the one pinned.
    UsageError
        If another process is fetching the same file.
    """
    place = cache_folder(folder)
    found = None if force else find_cached(entry, place)
    if found is not None:
        return found
    path = cached_path(entry, place)
    if not entry.url:
        raise _by_hand(entry, path, "no address of its file in the registry")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with make_client() if client is None else nullcontext(client) as session, _locked(part) as out:
        job = _Job(entry, path, part, out)
        _download(job, session, patience or Patience())
        digest = hash_file(part)
        _require_data(job, digest)
        # Without its record a file counts as put there by hand: never as another download's.
        record_path(path).unlink(missing_ok=True)
        part.replace(path)
        job.validator.unlink(missing_ok=True)
    return write_record(entry, path, entry.url, digest)


@dataclass(frozen=True, slots=True)
class _Job:
    """One download: the source, where its file belongs, and the unfinished file, open."""

    entry: SourceEntry
    path: Path
    part: Path
    out: IO[bytes]

    @property
    def validator(self) -> Path:
        """File of the tag or date of what is unfinished, and the address it came from."""
        return self.part.with_name(f"{self.part.name}.validator")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.out.seek(0, os.SEEK_END)

    def restart(self) -> None:
        """Throw away what is there."""
        self.out.truncate(0)
        self.validator.unlink(missing_ok=True)

    def failed(self, found: str) -> InputError:
        """Return the error of a file that cannot be fetched."""
        return _by_hand(self.entry, self.path, found)


def _by_hand(entry: SourceEntry, path: Path, found: str) -> InputError:
    """Return the error of a file that cannot be fetched: what to put where, and from where."""
    if entry.is_own:
        allowed = f"a file of your own at {path}"
    else:
        allowed = f"a network; or the file put by hand at {path}, from {entry.page or entry.url}"
    if not entry.url:
        allowed = allowed.removeprefix("a network; or ")
    if entry.note:
        allowed += f". {entry.note}"
    return InputError([Fault(entry.url or entry.id, found, allowed)])


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """Open the unfinished file for appending, by one process only; none is left if it is empty."""
    with part.open("ab") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other process may have finished, and renamed the file that was opened here.
            if os.fstat(out.fileno()).st_ino != part.stat().st_ino:
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            raise UsageError(f"({part}) | another process is fetching this file") from None
        try:
            yield out
        finally:
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()


def _download(job: _Job, client: httpx.Client, patience: Patience) -> None:
    """Fill the unfinished file, with as many requests as it takes and patience allows."""
    wait = patience.first
    for attempt in range(1, patience.attempts + 1):
        try:
            _request(job, client)
        except (_Later, httpx.TransportError) as error:
            asked = error.wait if isinstance(error, _Later) else None
            found = str(error) or type(error).__name__
            if asked is not None and asked > patience.longest:
                found += f", and to come back in {asked:.0f} s"
            elif attempt < patience.attempts:
                patience.sleep(min(max(wait, asked or 0.0), patience.longest))
                wait *= 2
                continue
            raise job.failed(f"no answer with data ({found})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise job.failed(f"no answer with data ({error})") from None
        else:
            return


def _request(job: _Job, client: httpx.Client) -> None:
    """Make one request, continuing what is there if the server can."""
    with client.stream("GET", job.entry.url, headers=_range_headers(job)) as answer:
        status = answer.status_code
        if status == UNSATISFIABLE:
            # The connection may have broken after the last byte: then nothing is left to send.
            if answer.headers.get("content-range") == f"bytes */{job.size}":
                return
            job.restart()
            raise _Later("status 416: what was there cannot be continued")
        if status in BUSY:
            raise _Later(f"status {status}", _retry_after(answer))
        if status not in (SUCCESS, CONTINUED):
            raise job.failed(f"status {status} {answer.reason_phrase}".strip())
        if status == SUCCESS:
            job.restart()
        elif _range_start(answer) != job.size:
            job.restart()
            raise _Later("a part of the file that was not asked for")
        _write_body(job, answer)


def _range_headers(job: _Job) -> dict[str, str]:
    """Return what asks for the rest: only where a mix of two versions cannot go unnoticed."""
    kept = job.validator.read_text(encoding="utf-8") if job.validator.is_file() else ""
    validator, _, url = kept.partition("\n")
    if job.size and validator and url == job.entry.url:
        return {"Range": f"bytes={job.size}-", "If-Range": validator}
    if job.size and not kept and job.entry.sha256:
        return {"Range": f"bytes={job.size}-"}
    job.restart()
    return {}


def _write_body(job: _Job, answer: httpx.Response) -> None:
    """Append the body; what was written before a connection broke stays for the next request."""
    encoded = answer.headers.get("content-encoding", "identity").lower() != "identity"
    # Some servers label a .gz file as an encoding of its content: the file is what was asked for.
    raw = not encoded or job.path.suffix == ".gz"
    if raw:
        _keep_validator(job, answer)
    try:
        for block in answer.iter_raw() if raw else answer.iter_bytes():
            job.out.write(block)
    finally:
        job.out.flush()
    length = answer.headers.get("content-length", "")
    if raw and length.isdigit() and answer.num_bytes_downloaded < int(length):
        raise _Later(f"{answer.num_bytes_downloaded} bytes of {length}")
    os.fsync(job.out.fileno())


def _keep_validator(job: _Job, answer: httpx.Response) -> None:
    """Keep what tells this version of the file from others; a weak tag may not be used for it."""
    tag = answer.headers.get("etag", "")
    validator = tag if tag and not tag.startswith("W/") else answer.headers.get("last-modified", "")
    if validator:
        job.validator.write_text(f"{validator}\n{job.entry.url}", encoding="utf-8")


def _range_start(answer: httpx.Response) -> int | None:
    unit, _, rest = answer.headers.get("content-range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds a server asks to wait, given as a number or as a date."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - datetime.now(UTC)).total_seconds(), 0.0)


def _require_data(job: _Job, digest: str) -> None:
    """Refuse a page, a damaged file or another version; what was downloaded is thrown away."""
    wrong = tell_wrong_content(job.part, job.path.name)
    try:
        if wrong is not None:
            raise job.failed(f"{wrong} instead of {job.path.name}")
        require_pinned(job.entry, digest, job.entry.url)
    except InputError:
        job.restart()
        raise
