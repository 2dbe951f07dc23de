"""The collapsed posterior is the one that sampling every latent flow gives, only sooner."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import xarray as xr

pytestmark = [pytest.mark.statistical, pytest.mark.slow]


@pytest.fixture(scope="module")
def agreement(repository: Path) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield import_module("benchmarks.agreement")


@pytest.fixture(scope="module")
def case(agreement: ModuleType) -> tuple[Any, xr.Dataset]:
    problem = agreement.agreement_problem(5, 4)
    return problem, agreement.run_explicit(problem, draws=6000, tune=2000)


@pytest.mark.parametrize("method", ["nuts", "laplace"])
def test_collapsed_and_explicit_posteriors_agree(
    agreement: ModuleType, case: tuple[Any, xr.Dataset], method: str
) -> None:
    """In combined Monte Carlo errors: hyper-parameters within 3, flows within 5, 1 % beyond 3."""
    problem, explicit = case
    found = agreement.agree(explicit, *agreement.run_collapsed(problem, method, draws=5000))
    worst = found.worst()
    assert len(found.flows) == problem.grid.n_corridor * problem.grid.n_period
    assert worst["hyper"] < 3.0, found.hyper.to_string()
    assert worst["flows"] < 5.0
    assert worst["share"] <= 0.01
