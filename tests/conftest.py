"""What all tests share: real data, requests to publishers, reproducible Hypothesis, no windows."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["MPLBACKEND"] = "Agg"

settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FLOWCAST_SHARED") or REPOSITORY.parent / "shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what no test does unasked: requests to publishers."""
    told = "also run the tests that ask publishers for their files"
    parser.addoption("--live", action="store_true", help=told)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for the real data, so that `-m "not realdata"` means what it says."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip requests that nobody asked for, and tests of real data where there are none.

    On CI the absence of real data is a failure; that publishers are not asked is none anywhere.
    """
    if item.get_closest_marker("live") is not None and not item.config.getoption("--live", False):
        pytest.skip("asks a publisher for its file; run pytest with --live")
    if item.get_closest_marker("realdata") is None or (SHARED / "data").is_dir():
        return
    reason = f"no real data at {SHARED}; name their folder in FLOWCAST_SHARED"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data and reference outputs, which are no part of the repository."""
    return SHARED


@pytest.fixture(scope="session")
def repository() -> Path:
    """Top folder of the checkout."""
    return REPOSITORY
