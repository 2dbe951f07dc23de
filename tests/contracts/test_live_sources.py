"""The publishers themselves: each registered address is asked, and its file read.

Only with ``pytest --live``: it needs a network, and some files are large. Without a network each
test fails with what `flowcast sources fetch` says: which file to put where, and where to get it.
"""

from pathlib import Path

import pytest

from flowcast.observations import observations_from_frame
from flowcast.sources import SourceEntry, load_registry
from flowcast.sources.fetch import Patience, fetch
from flowcast.sources.readers import READERS, read_source

LIVE = [entry for entry in load_registry() if entry.url and entry.reader]


def test_there_are_addresses_to_ask() -> None:
    assert len(LIVE) > 10
    assert {entry.reader for entry in LIVE} <= set(READERS)


@pytest.mark.live
@pytest.mark.parametrize("entry", LIVE, ids=[entry.id for entry in LIVE])
def test_the_publisher_answers_with_a_file_that_its_reader_takes(
    entry: SourceEntry, tmp_path: Path
) -> None:
    got = fetch(entry, tmp_path, patience=Patience(attempts=2))
    frame = read_source(entry.reader, got.path)
    assert len(frame) > 0
    if READERS[entry.reader].gives == "observations":
        assert observations_from_frame(frame).n == len(frame)
