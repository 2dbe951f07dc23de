"""The page on publishing: its policy is read, its example runs, and its grades are the rule's."""

import re
from pathlib import Path

import pandas as pd

from flowcast.publication import grade_table
from flowcast.publication.disclosure import DisclosurePolicy, read_policy

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto_publish.md").read_text("utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def test_the_policy_is_read_and_states_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(block("yaml"))
    policy = read_policy(path)
    assert policy.protection == DisclosurePolicy(minimum_cell=policy.minimum_cell).protection
    assert all(
        f"{name}:" in block("yaml") for name in DisclosurePolicy.model_fields if name != "base"
    )


def test_the_example_runs() -> None:
    exec(compile(block("python"), "howto_publish.md", "exec"), {})


def test_the_limits_of_the_grades_are_those_of_the_rule() -> None:
    limits = {
        g: float(p) for g, p in re.findall(r"^\| ([ABC]) \| up to (\d+) % ", PAGE, re.MULTILINE)
    }
    assert set(limits) == {"A", "B", "C"}
    for grade, percent in limits.items():
        row = {"origin": "DE", "median": 100.0, "lower": 100.0 - percent, "prob": 0.95}
        at, above = ({"upper": 100.0 + percent + more} for more in (0.0, 1.0))
        table = pd.DataFrame([row | at, row | above]).assign(
            destination=["FR", "PL"], evidence="both_reports"
        )
        first, second = grade_table(table)
        assert first == grade
        assert second == chr(ord(grade) + 1)
