"""The benchmark of accounting: its reading of the other timings, and the world it makes."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

TIMINGS = """n=50 method=closed call_seconds=0.91 total=7693151.845 negcells=0
wall_s=1.10 user_s=1.02 maxrss_kb=115712
n=200 method=open_dr call_seconds=3.11 total=39310145.911 negcells=0
wall_s=3.68 user_s=2.66 maxrss_kb=765952
DONE
"""


@pytest.fixture(scope="module")
def bench(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.accounting")


def test_timings_are_seconds_of_the_call_and_mib_of_the_process(bench: ModuleType) -> None:
    found = bench.read_timings(TIMINGS)
    assert found == {(50, "closed"): (0.91, 113.0), (200, "open_dr"): (3.11, 748.0)}


def test_every_estimator_has_its_counterpart_in_the_timings(
    bench: ModuleType, shared: Path
) -> None:
    folder = shared / "reference" / "migest" / "global"
    found = bench.read_timings((folder / "timings_r_migest.txt").read_text())
    assert set(bench.R_NAMES) == set(bench.estimators())
    for n in (50, 100, 200):
        assert {name for names in bench.R_NAMES.values() for name in names} <= {
            name for size, name in found if size == n
        }


def test_the_world_that_is_made_has_a_closed_account(bench: ModuleType) -> None:
    start, _, births, deaths = given = bench.made_world(12)
    flows = bench.estimators()["closed"](*given)
    assert float(flows.sum()) > 0.0
    abroad = 1.0 - np.trace(start) / float(start.sum())
    assert 0.01 < abroad < 0.05
    assert float(births.min()) > 0.0
    assert float(deaths.min()) > 0.0


def test_a_task_tells_seconds_and_memory(bench: ModuleType, shared: Path) -> None:
    folder = str(shared / "reference" / "migest" / "global")
    found = bench.run_task({"n": 50, "method": "open", "folder": folder})
    assert set(found) == {"first", "seconds", "before_mib", "peak_mib"}
    assert min(found.values()) > 0.0
