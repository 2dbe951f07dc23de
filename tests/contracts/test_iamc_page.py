"""The page on the IAMC format: its example runs, and its tables are those of the code lists."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from flowcast._iamc_codes import definitions_folder

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto_iamc.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"^```python\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(compile(text, "howto_iamc.md", "exec"), names)
    table, projection, people = names["table"], names["projection"], names["people"]
    assert "Austria>Germany" in table.region  # type: ignore[attr-defined]
    told = people.set_index("place")["population"]  # type: ignore[attr-defined]
    own = projection["population"].sel(date=2030).mean("draw")  # type: ignore[index]
    np.testing.assert_allclose(told[["AT", "DE", "TR"]], own, rtol=1e-9)


def test_the_page_lists_the_variables_of_the_code_list() -> None:
    text = (definitions_folder() / "variable" / "migration.yaml").read_text(encoding="utf-8")
    entries = [next(iter(entry.items())) for entry in yaml.safe_load(text)]
    listed = {name: about["unit"] for name, about in entries if "{" not in name}
    assert {f"{n}|{{Percentile}}": u for n, u in listed.items()} == {
        name: about["unit"] for name, about in entries if "{" in name
    }
    rows = re.findall(r"^\| (`[^|]+(?:\\\|[^|]+)*) \| (million\S*) \|", PAGE, re.MULTILINE)
    told = {n.replace("\\|", "|"): unit for cell, unit in rows for n in re.findall("`(.+?)`", cell)}
    assert told == listed
