"""Every example on the page about raking runs, and gives what stands below it."""

import re
from pathlib import Path
from typing import Any

import pytest
from support import python_blocks, run_block

from flowcast.accounting import (
    components,
    indices,
    net,
    net_migration,
    raking,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "raking.md").read_text(encoding="utf-8")
BLOCKS = python_blocks(PAGE)


def test_examples_give_what_the_page_says() -> None:
    names: dict[str, Any] = {}
    told = [entry for block in BLOCKS for entry in run_block(block, names)]
    assert len(told) >= 8
    assert [entry for entry in told if entry[1] != entry[2]] == []


@pytest.mark.parametrize("module", [raking, net, components, net_migration, indices])
def test_the_page_names_every_public_function(module: Any) -> None:  # noqa: ANN401
    functions = [n for n in module.__all__ if n[0].islower()]
    assert functions
    assert [name for name in functions if f"`{name}" not in PAGE and f" {name}" not in PAGE] == []


def test_the_page_is_in_the_index_and_its_links_lead_somewhere() -> None:
    assert re.search(r"^raking$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"\]\(([\w./]+\.md)\)", PAGE):
        assert (DOCS / target).is_file(), target


def test_each_doi_on_the_page_stands_in_a_docstring_too() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (DOCS.parent / "src" / "flowcast" / "accounting").glob("*.py")
    )
    dois = re.findall(r"10\.\d{4}/[\w./()-]*\w", PAGE)
    assert dois
    assert [doi for doi in dois if doi not in sources] == []
