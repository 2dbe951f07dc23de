"""The page about sensitivity: its example, its files and its names are true."""

import re
from pathlib import Path

import yaml
from support import python_blocks, run_block

from flowcast.inference import fit
from flowcast.validation import power, read_alternatives
from flowcast.validation.comparison import LEVELS
from flowcast.validation.named import Alternative

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "sensitivity.md").read_text(encoding="utf-8")


def test_the_example_gives_what_the_page_says() -> None:
    _, block = python_blocks(PAGE)
    told = run_block(block, {})
    assert len(told) == 2
    assert [entry for entry in told if entry[1] != entry[2]] == []


def test_the_alternatives_told_are_those_there_are() -> None:
    table = PAGE.split("| name |")[1].split("\n\n")[0]
    names = [
        name
        for line in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert names == list(read_alternatives())


def test_the_file_of_ones_own_is_valid() -> None:
    (text,) = re.findall(r"^```yaml\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for one in yaml.safe_load(text)["alternatives"].values():
        Alternative.model_validate(one)


def test_every_diagnosis_is_explained() -> None:
    words = re.findall(r"^\| `([a-z -]+)` \|", PAGE.split("| `diagnosis` |")[1], re.MULTILINE)
    assert words == [power.NONE, power.CONFLICT, power.WEAK, power.MATTERS, power.UNKNOWN]


def test_numbers_told_are_those_of_the_code() -> None:
    assert "from .05 on" in PAGE
    assert power.THRESHOLD == 0.05
    assert power.ALPHAS == (0.99, 1.01)
    assert f"more than {fit._MOST_REPORTS:,} reports" in PAGE
    assert f"{len(LEVELS)} quantiles" in PAGE


def test_the_page_is_in_the_index_and_its_links_lead_somewhere() -> None:
    assert "\nsensitivity\n" in (DOCS / "index.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([\w./]+\.md)[#)]", PAGE):
        assert (DOCS / target).is_file(), target
