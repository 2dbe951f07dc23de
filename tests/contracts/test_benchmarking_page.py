"""The page about benchmarking: its example gives what stands below it, its columns are read."""

import re
from pathlib import Path

from support import python_blocks, run_block

from flowcast.accounting import population_margins
from flowcast.accounting.population import QUANTITIES, RELATIVE_ERRORS, UNSEEN

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "benchmarking.md").read_text(encoding="utf-8")


def test_the_example_gives_what_the_page_says() -> None:
    (block,) = python_blocks(PAGE)
    told = run_block(block, {})
    assert len(told) == 3
    assert [entry for entry in told if entry[1] != entry[2]] == []


def test_the_page_has_every_quantity_and_the_default_errors() -> None:
    for name in QUANTITIES:
        assert f"`{name}`" in PAGE, name
    told = "1 % of births, 2 % of deaths, 10 % of immigration, 20 % of emigration"
    assert told in PAGE
    assert list(RELATIVE_ERRORS.values()) == [0.01, 0.02, 0.1, 0.2, 0.1]
    assert UNSEEN == 0.01
    assert population_margins.__name__ in PAGE


def test_the_page_is_in_the_index_and_its_links_lead_somewhere() -> None:
    assert "\nbenchmarking\n" in (DOCS / "index.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([\w./]+\.md)[#)]", PAGE):
        assert (DOCS / target).is_file(), target
