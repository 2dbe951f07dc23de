"""The page about stocks as a source: its example gives what stands below it."""

import re
from pathlib import Path

from support import python_blocks, run_block

from flowcast.accounting.bridge import ACCURACY

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "bridge.md").read_text(encoding="utf-8")


def test_the_example_gives_what_the_page_says() -> None:
    (block,) = python_blocks(PAGE)
    told = run_block(block, {})
    assert len(told) == 2
    assert [entry for entry in told if entry[1] != entry[2]] == []


def test_the_limits_of_accuracy_classes_are_those_told() -> None:
    assert f"$s \\le .{10 * ACCURACY['high']:.0f}$" in PAGE
    assert f"$s \\le .{10 * ACCURACY['medium']:.0f}$" in PAGE


def test_the_page_is_in_the_index_and_its_links_lead_somewhere() -> None:
    assert "\nbridge\n" in (DOCS / "index.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([\w./]+\.md)[#)]", PAGE):
        assert (DOCS / target).is_file(), target
