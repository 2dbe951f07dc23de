"""One absurd reporter does not bend the rest: Russia and Germany, 1992 to 1996.

Hyper-parameters stand at their mode here; ``python -m benchmarks.outlier`` samples them.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = [pytest.mark.statistical, pytest.mark.slow, pytest.mark.realdata]

Found = Mapping[str, dict[str, pd.DataFrame]]


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_can_be_imported(repository: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield


@pytest.fixture(scope="module")
def found(_benchmarks_can_be_imported: None) -> Found:
    outlier = import_module("benchmarks.outlier")
    return outlier.run_models(outlier.flows_at_mode, ("default", "common"))


def absurd_years(flow: pd.DataFrame) -> pd.DataFrame:
    return flow.loc[1992:1996]


def test_the_case_is_what_it_is_said_to_be(found: Found) -> None:
    flow = absurd_years(found["default"]["flow"])
    assert flow["immigration"].between(3, 6).all()
    assert flow["emigration"].between(6_650, 17_202).all()
    without = found["default"]["flow_without"]
    assert absurd_years(without)["immigration"].isna().all()
    assert without.loc[1997:, "immigration"].notna().all()


def test_no_other_flow_moves_by_its_own_uncertainty(found: Found) -> None:
    """A change below one posterior sd is one that the interval already allows for."""
    moved = found["default"]["moved"]
    assert len(moved) == 2 * 12 * 10
    assert moved["in_sds"].abs().max() < 1.0


def test_one_noise_sd_for_all_lets_the_five_figures_bend_the_rest(found: Found) -> None:
    """Normal noise of one size: the same five figures move a typical flow by more than one sd."""
    for group in ("into Russia", "out of Germany"):
        change = {}
        for model in ("default", "common"):
            moved = found[model]["moved"]
            change[model] = moved.loc[moved["group"].eq(group), "in_sds"].abs().mean()
        assert change["common"] > 1.0
        assert change["common"] > 3.0 * change["default"]


def test_the_flow_is_no_compromise_between_the_two_reports(found: Found) -> None:
    """Equal belief in both would end at their geometric mean; the interval lies above it."""
    flow = absurd_years(found["default"]["flow"])
    compromise = np.sqrt(flow["immigration"] * flow["emigration"])
    assert (flow["lower"] > compromise).all()


def test_the_interval_holds_the_estimate_made_without_the_absurd_figures(found: Found) -> None:
    flow, without = found["default"]["flow"], found["default"]["flow_without"]
    assert (flow["lower"] < without["estimate"]).all()
    assert (flow["upper"] > without["estimate"]).all()
