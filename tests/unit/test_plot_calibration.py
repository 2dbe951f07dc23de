"""Figures of calibration: what is drawn is what the ranks say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from flowcast.calibration.ranks import ecdf_band
from flowcast.errors import UsageError
from flowcast.plots import plot_interval_coverage, plot_ranks
from flowcast.plots._style import BLUE, VERMILLION

N, L = 120, 19


@pytest.fixture(scope="module")
def ranks() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    values = {"fine": rng.integers(0, L + 1, N), "narrow": rng.choice([0, 1, 18, 19], N)}
    parts = [
        pd.DataFrame({"replicate": range(N), "quantity": q, "rank": r, "n_draws": L})
        for q, r in values.items()
    ]
    return pd.concat(parts, ignore_index=True)


def panel(axes: list[Axes], name: str) -> Axes:
    (found,) = [a for a in axes if a.get_title(loc="left").split(",")[0] == name]
    return found


def test_bars_are_the_counts_of_the_ranks(ranks: pd.DataFrame) -> None:
    figure = plot_ranks(ranks, "histogram")
    for name, color, hatch in (("fine", BLUE, None), ("narrow", VERMILLION, "////")):
        (bars,) = [p for p in panel(figure.axes, name).patches if isinstance(p, StepPatch)]
        own = ranks.loc[ranks["quantity"] == name, "rank"]
        counts = np.bincount(own, minlength=L + 1)
        np.testing.assert_array_equal(bars.get_data().values, counts)
        assert to_hex(bars.get_facecolor()).lower() == color.lower()
        assert bars.get_hatch() == hatch


def test_the_line_is_the_distribution_less_the_uniform_one(ranks: pd.DataFrame) -> None:
    figure = plot_ranks(ranks, "ecdf")
    axes = panel(figure.axes, "narrow")
    line = max(axes.lines, key=lambda item: len(item.get_xdata()))
    own = ranks.loc[ranks["quantity"] == "narrow", "rank"].to_numpy()
    share = np.arange(1, L + 1) / (L + 1)
    expected = [(own <= k).mean() - share[k] for k in range(L)]
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert line.get_color() == VERMILLION
    assert [c for c in axes.collections if isinstance(c, FillBetweenPolyCollection)]


def test_the_description_names_what_fails(ranks: pd.DataFrame) -> None:
    for kind in ("histogram", "ecdf"):
        told = plot_ranks(ranks, kind).alt_text
        assert "2 quantities, up to 120 replicates" in told
        assert told.endswith("Not uniform: narrow.")
    fine = ranks[ranks["quantity"] == "fine"]
    assert plot_ranks(fine).alt_text.endswith("None is found not to be uniform.")


def test_a_line_inside_its_band_is_not_counted_as_outside(ranks: pd.DataFrame) -> None:
    lower, upper = ecdf_band(N, L)
    own = ranks.loc[ranks["quantity"] == "fine", "rank"].to_numpy()
    share = np.array([(own <= k).mean() for k in range(L)])
    assert ((share >= lower) & (share <= upper)).all()
    assert "1 leave the 95 % band" in plot_ranks(ranks).alt_text


def test_figures_are_written_whole_with_their_description(
    ranks: pd.DataFrame, tmp_path: Path
) -> None:
    figure = plot_ranks(ranks, out=tmp_path / "ranks.svg")
    assert figure.alt_text[:40] in (tmp_path / "ranks.svg").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["ranks.svg"]


@pytest.mark.parametrize(("kind", "name"), [("ecfd", "a.png"), ("ecdf", "a.jpg")])
def test_unknown_kinds_and_formats_are_refused(
    ranks: pd.DataFrame, kind: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"did you mean|\.png"):
        plot_ranks(ranks, kind, out=tmp_path / name)


def coverage() -> dict[str, pd.DataFrame]:
    table = pd.DataFrame({"prob": [0.5, 0.9], "share": [0.46, 0.89], "error": [0.01, 0.02]})
    return {"all flows": table, "small flows": table.assign(share=[0.5, 0.9])}


def test_coverage_is_drawn_as_the_difference_in_points(tmp_path: Path) -> None:
    figure = plot_interval_coverage(coverage(), title="Coverage", out=tmp_path / "c.png")
    (axes,) = figure.axes
    heights = [c.lines[0].get_ydata() for c in axes.containers]
    np.testing.assert_allclose(heights, [[-4.0, -1.0], [0.0, 0.0]], atol=1e-9)
    assert "all flows: 46.0 % (standard error 1.0) in intervals of 50 %" in figure.alt_text
    assert "points" in axes.get_ylabel()
    assert (tmp_path / "c.png").is_file()


def test_more_lines_than_looks_are_refused() -> None:
    table = coverage()["all flows"]
    with pytest.raises(UsageError, match="1 to 4"):
        plot_interval_coverage({str(k): table for k in range(5)}, title="Coverage")
