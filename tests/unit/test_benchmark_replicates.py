"""Long runs that go on where they were, and what is counted in them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_can_be_imported(repository: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield


@pytest.fixture
def replicates(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module with threads in place of processes, so that calls can be counted."""
    module = import_module("benchmarks.replicates")
    pool = lambda jobs, mp_context: ThreadPoolExecutor(jobs)  # noqa: E731
    monkeypatch.setattr(module, "ProcessPoolExecutor", pool)
    return module


class Work:
    """Two rows a seed; remembers the seeds it was called with, and fails where it is told to."""

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        self.seen: list[int] = []
        self.fails = fails

    def __call__(self, seed: int, factor: float) -> pd.DataFrame:
        self.seen.append(seed)
        if seed in self.fails:
            raise ValueError("no world")
        return pd.DataFrame({"name": ["a", "b"], "value": [seed * factor, 0.5]})


def run(module: ModuleType, work: Work, file: Path, n: int, factor: float = 2.0) -> pd.DataFrame:
    settings: dict[str, Any] = {"factor": factor}
    return module.run_replicates(work, range(1, n + 1), file=file, settings=settings, jobs=1)


def values(frame: pd.DataFrame) -> dict[int, float]:
    own = frame[frame["name"] == "a"]
    return dict(zip(own["replicate"], own["value"], strict=True))


def test_a_second_run_only_does_what_is_left(replicates: ModuleType, tmp_path: Path) -> None:
    file, first, second = tmp_path / "deep" / "r.csv", Work(), Work()
    assert values(run(replicates, first, file, 3)) == {1: 2.0, 2: 4.0, 3: 6.0}
    assert values(run(replicates, second, file, 5)) == {k: 2.0 * k for k in range(1, 6)}
    assert sorted(second.seen) == [4, 5]
    assert json.loads((tmp_path / "deep" / "r.json").read_text()) == {"factor": 2.0}


@pytest.mark.parametrize("lost", [1, 7, 20])
def test_a_replicate_that_was_cut_off_is_done_again(
    replicates: ModuleType, tmp_path: Path, lost: int
) -> None:
    file, again = tmp_path / "r.csv", Work()
    whole = run(replicates, Work(), file, 3)
    text = file.read_text()
    file.write_text(text[:-lost])
    found = run(replicates, again, file, 3)
    assert values(found) == values(whole)
    assert again.seen == ([3] if lost > 1 else [])
    assert len(pd.read_csv(file)) == 6


def test_replicates_of_other_settings_are_not_mixed(replicates: ModuleType, tmp_path: Path) -> None:
    run(replicates, Work(), tmp_path / "r.csv", 2)
    with pytest.raises(SystemExit, match=r"found replicates of \{'factor': 2.0\}"):
        run(replicates, Work(), tmp_path / "r.csv", 2, factor=3.0)


def test_a_failed_replicate_is_named_and_the_others_are_kept(
    replicates: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "r.csv"
    with pytest.raises(SystemExit, match=r"1 replicates failed: 2 \(ValueError: no world\)"):
        run(replicates, Work(fails=(2,)), file, 3)
    again = Work()
    assert sorted(values(run(replicates, again, file, 3))) == [1, 2, 3]
    assert again.seen == [2]


def test_a_section_of_a_page_is_replaced(replicates: ModuleType) -> None:
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb"
    found = replicates.fill_section(page, "x", "new\n")
    assert found == "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb"
    assert replicates.fill_section(found, "x", "new") == found
    with pytest.raises(ValueError, match="found no section 'y'"):
        replicates.fill_section(page, "y", "new")


# --- coverage ------------------------------------------------------------------------------------


@pytest.fixture
def coverage() -> ModuleType:
    return import_module("benchmarks.coverage")


def sums(inside: list[int], cells: list[int], worlds: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"replicate": worlds, "in90": inside, "cells": cells})


def test_the_standard_error_is_clustered_by_world(coverage: ModuleType) -> None:
    """3 of 4 and 1 of 2 inside: share 2/3, residuals +1/3 and -1/3, error sqrt(2 x 2/9) / 6."""
    share, error, cells = coverage.clustered(sums([2, 1, 1], [2, 2, 2], [1, 1, 2]), "in90")
    assert (share, error, cells) == (pytest.approx(2 / 3), pytest.approx(1 / 9), 6)


def test_worlds_that_agree_have_no_standard_error(coverage: ModuleType) -> None:
    assert coverage.clustered(sums([1, 1, 1], [2, 2, 2], [1, 2, 3]), "in90") == (0.5, 0.0, 6)


def test_cells_that_move_together_are_not_counted_as_many(coverage: ModuleType) -> None:
    rng = np.random.default_rng(1)
    inside = (rng.random(40) < 0.7).astype(int).tolist()
    one = sums(inside, [1] * 40, list(range(40)))
    ten = sums([10 * k for k in inside], [10] * 40, list(range(40)))
    assert coverage.clustered(ten, "in90")[:2] == pytest.approx(coverage.clustered(one, "in90")[:2])


def test_cells_are_scored_by_their_own_draws(coverage: ModuleType) -> None:
    """Draws 0..100 on the log scale times .1: median 5, 90 % interval .5 to 9.5."""
    draws = np.repeat(0.1 * np.arange(101.0)[:, None], 3, axis=1)
    found = coverage.score_cells(draws, np.array([5.0, 9.7, 2.0]))
    assert found["in50"].tolist() == [1, 0, 0]
    assert found["in90"].tolist() == [1, 0, 1]
    assert found["in95"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(found["error"], [0.0, 4.7, 3.0])
    np.testing.assert_allclose(found["bias"], [0.0, -4.7, 3.0])
    np.testing.assert_allclose(found["width"], 9.0)
    assert found["true_size"].tolist() == ["50 and more", "50 and more", "0-10"]
    assert set(found["estimated_size"]) == {"50 and more"}


def test_the_table_sorts_cells_by_evidence_and_size(coverage: ModuleType) -> None:
    rows = [
        ("both_reports", "0-10", "0-10", 2, 2),
        ("one_report", "10-50", "0-10", 2, 1),
        ("none", "50 and more", "50 and more", 4, 0),
    ]
    names = ["evidence", "true_size", "estimated_size", "cells", "in90"]
    one = pd.DataFrame(rows, columns=names)
    frame = pd.concat([one.assign(replicate=w) for w in (1, 2)], ignore_index=True)
    frame = frame.assign(in50=0, in80=0, in95=0, error=0.0, bias=0.0, width=0.0)
    table = coverage.coverage_table(frame).set_index("flows")
    found = {name: (row["cells"], row["90 %"].split()[0]) for name, row in table.iterrows()}
    assert found == {
        "all": (16, "0.375"),
        "both report": (4, "1.000"),
        "one reports": (4, "0.500"),
        "nobody reports": (8, "0.000"),
        "estimated flow 0-10": (8, "0.750"),
        "estimated flow 50 and more": (8, "0.000"),
        "true flow 0-10": (4, "1.000"),
        "true flow 10-50": (4, "0.500"),
        "true flow 50 and more": (8, "0.000"),
        "estimated flow 0-50, both report": (4, "1.000"),
        "estimated flow 0-50, one reports": (4, "0.500"),
    }


def test_a_table_of_text_as_markdown(coverage: ModuleType) -> None:
    table = pd.DataFrame({"flows": ["all"], "cells": [3]})
    assert coverage.to_markdown(table) == "| flows | cells |\n| --- | ---: |\n| all | 3 |"


# --- the page that the runs fill in --------------------------------------------------------------


def test_the_page_has_a_section_for_every_run(coverage: ModuleType, repository: Path) -> None:
    page = (repository / "docs" / "calibration.md").read_text(encoding="utf-8")
    sbc = import_module("benchmarks.sbc")
    names = [sbc.ranks_file(Path(), f, graded=True).stem for f in sbc.FAMILIES]
    for name in [*names, "coverage_12x8", "coverage_31x12"]:
        assert coverage.fill_section(page, name, "x") != page


def test_the_verdict_of_the_ranks_names_what_fails() -> None:
    sbc = import_module("benchmarks.sbc")
    rng = np.random.default_rng(1)
    parts = {"good": rng.integers(0, 100, 200), "bad": rng.integers(0, 60, 200)}
    ranks = pd.concat(
        [
            pd.DataFrame({"replicate": range(200), "quantity": q, "rank": r, "n_draws": 99})
            for q, r in parts.items()
        ],
        ignore_index=True,
    ).assign(method="laplace")
    table, verdict = sbc.summarise_ranks(ranks)
    assert "200 replicates (200 by laplace), 2 quantities" in verdict
    assert verdict.endswith("not uniform: bad at 0.01.")
    assert sbc.table_markdown(table).splitlines()[2].startswith("| bad | 200 |")
