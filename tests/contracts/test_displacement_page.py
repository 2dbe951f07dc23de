"""The page on displacement: its code runs, and its table is the catalogue of sources."""

import re
from pathlib import Path

from flowcast.displacement import SOURCES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "displacement.md").read_text("utf-8")
MEANING = {
    "zero": "**zero**",
    "unknown": "**unknown**",
    "zero_where_destination_reports": "**zero where the destination reports**",
    "zero_where_period_reported": "**zero in weeks in which anything was reported**",
}


def test_what_a_missing_row_means_is_what_the_code_does() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| `")]
    told = {name.strip(" `"): meaning.strip() for name, _, meaning, _ in rows}
    assert set(told) == set(SOURCES)
    before = ""
    for name, meaning in told.items():
        meaning = before if meaning == "the same" else meaning
        assert meaning.startswith(MEANING[SOURCES[name].absent]), name
        before = meaning


def test_the_code_of_the_page_runs() -> None:
    (code,) = re.findall(r"^```python\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    scope: dict[str, object] = {}
    exec(code, scope)
    assert scope["draws"].dims == ("chain", "draw", "unit", "year")  # type: ignore[attr-defined]
