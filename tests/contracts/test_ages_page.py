"""The page about age and sex: its examples, priors, commands and sources."""

import re
from pathlib import Path
from typing import Any

import pytest
from support import python_blocks, run_block
from typer.testing import CliRunner

from flowcast._cli_ages import ages_app
from flowcast.accounting import FIVE_YEAR_AGES, STANDARD_SCHEDULE, Schedule, age_shares
from flowcast.cli import app
from flowcast.model.ages import AGE_PRIORS, NOISE_PRIOR

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "age_and_sex.md").read_text(encoding="utf-8")
BLOCKS = python_blocks(PAGE)


def test_examples_give_what_the_page_says() -> None:
    names: dict[str, Any] = {}
    told = [entry for block in BLOCKS for entry in run_block(block, names)]
    assert len(told) >= 8
    assert [entry for entry in told if entry[1] != entry[2]] == []


def test_the_table_of_priors_is_that_of_the_model() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .+? \| (.*\| .*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == {*AGE_PRIORS, "noise"}
    for name, prior in AGE_PRIORS.items():
        mean, sd, spread = map(float, re.findall(r"-?\d*\.?\d+", rows[name]))
        assert (mean, sd) == prior.mean.numbers
        assert pytest.approx(spread, rel=1e-12) == 2.718281828459045 ** prior.spread.numbers[0]
        assert prior.spread.numbers[1] == 0.6
    assert pytest.approx(0.05) == 2.718281828459045 ** NOISE_PRIOR.numbers[0]
    assert NOISE_PRIOR.numbers[1] == 0.8


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the hierarchical one, which samples."""
    monkeypatch.chdir(tmp_path)
    shares = 1e4 * age_shares(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES)
    rows = [
        f"{place},{age},{n:.0f}"
        for place in ("AT", "BE")
        for age, n in zip(FIVE_YEAR_AGES, shares.to_numpy(), strict=True)
    ]
    Path("ages.csv").write_text("\n".join(["place,age,migrants", *rows]))
    Path("flows.csv").write_text("origin,destination,flow\nAT,BE,3\nBE,AT,5\n")
    Path("sex.csv").write_text("sex,share\nfemale,0.5\nmale,0.5\n")
    commands = re.findall(r"^flowcast (ages .+)$", PAGE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        if "--pooled" not in command and "--compare" not in command:
            done = CliRunner().invoke(app, command.split())
            assert done.exit_code == 0, done.stderr
    assert Path("parts.csv").is_file()


def test_the_page_names_every_option_of_the_split() -> None:
    (split,) = (c for c in ages_app.registered_commands if c.name == "split")
    assert split.callback is not None
    options = [n for n in split.callback.__annotations__ if n not in ("flows", "return")]
    missing = [n for n in options if f"--{n.replace('_', '-')}" not in PAGE]
    assert [n for n in missing if n != "seed"] == []


def test_the_page_is_in_the_index() -> None:
    assert "\nage_and_sex\n" in (DOCS / "index.md").read_text(encoding="utf-8")
