"""Figures: what is drawn is what the posterior says, and every kind is drawn without a warning."""

import dataclasses
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from support import corridors, tiny_posterior

from flowcast.errors import UsageError
from flowcast.plots import PLOT_KINDS, describe, plot
from flowcast.plots._data import (
    evidence_class,
    find_period,
    find_place,
    flow_table,
    hyper_parameters,
    period_labels,
)
from flowcast.plots._grids import evidence_table
from flowcast.plots._reports import MOST_ROWS, place_flows
from flowcast.posterior import Posterior

KINDS = sorted(PLOT_KINDS)


def with_reports(posterior: Posterior, rows: list[tuple[str, str, int, str, float]]) -> Posterior:
    """Return a posterior whose reports are: origin, destination, period, side, value."""
    columns = ["origin", "destination", "period", "side", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    ends = frame["destination"].where(frame["side"].eq("immigration"), frame["origin"])
    data = {c: ("report", frame[c].to_numpy()) for c in columns}
    reporter = ("report", ends.to_numpy())
    return with_group(posterior, "reports", xr.Dataset({**data, "reporter": reporter}))


def with_group(posterior: Posterior, group: str, data: xr.Dataset) -> Posterior:
    tree = posterior.tree.copy()
    tree[group] = xr.DataTree(data)
    return dataclasses.replace(posterior, tree=tree)


def with_prior_predictive(posterior: Posterior, shift: float = 0.0) -> Posterior:
    value = posterior.tree["reports"]["value"].to_numpy()
    noise = np.random.default_rng(3).normal(shift, 1.0, (200, value.size))
    draws = np.log(value + 0.5) + noise
    return with_group(
        posterior, "prior_predictive", xr.Dataset({"log_report": (("sample", "report"), draws)})
    )


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return with_prior_predictive(tiny_posterior(4, 1, first_year=2024))


@pytest.fixture(scope="module")
def decade() -> Posterior:
    return with_prior_predictive(tiny_posterior(4, 10, first_year=2015))


def panels(figure: Figure) -> list[Axes]:
    """Return the panels that show something, without colour bars."""
    return [a for a in figure.axes if a.axison and a.get_label() != "<colorbar>"]


def texts(figure: Figure) -> str:
    figures = [figure, *figure.subfigs]
    found = [t.get_text() for f in figures for t in f.texts]
    found += [t.get_text() for a in figure.axes for t in a.texts]
    found += [a.get_title(loc="left") for a in figure.axes]
    found += [t.get_text() for f in figures for legend in f.legends for t in legend.get_texts()]
    return "\n".join(found)


def matrix(axes: Axes) -> Any:  # noqa: ANN401
    return np.ma.filled(axes.images[0].get_array().astype(float), np.nan)


def markers(axes: Axes, marker: str, *, hollow: bool = False) -> list[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_marker() == marker]
    chosen = [line for line in lines if (line.get_markerfacecolor() == "white") is hollow]
    return [(float(x), float(y)) for line in chosen for x, y in line.get_xydata()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_periods", [1, 3])
def test_every_kind_is_drawn_and_described(kind: str, n_periods: int, tmp_path: Path) -> None:
    result = with_prior_predictive(tiny_posterior(5, n_periods))
    figure = plot(result, kind, out=tmp_path / "figure.png")
    assert panels(figure)
    assert figure.alt_text == describe(kind, result)
    assert len(describe(kind, result)) > 60
    assert describe(kind, result).endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_1200_pixels_wide(kind: str, posterior: Posterior, tmp_path: Path) -> None:
    plot(posterior, kind, out=tmp_path / "figure.png")
    data = (tmp_path / "figure.png").read_bytes()
    assert struct.unpack(">I", data[16:20]) == (1200,)


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_with_an_interval_states_probability_and_kind(
    kind: str, posterior: Posterior
) -> None:
    told = texts(plot(posterior, kind))
    if "interval" in told:
        assert "% " in told
        assert "equal-tailed" in told
    assert ("interval" in told) is (kind != "coverage")
    assert "confidence" not in told + describe(kind, posterior)


def test_no_global_state_is_touched(posterior: Posterior) -> None:
    before = dict(rcParams)
    for kind in KINDS:
        plot(posterior, kind)
    assert dict(rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


# --- reports ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known() -> Posterior:
    """Flows are their own quantiles: draws from 1 to 101 times the corridor's size."""
    size = np.array([1.0, 10.0, 100.0, 5.0, 50.0, 500.0])
    draws = np.arange(1, 102, dtype=float)
    flows = draws[None, :, None, None] * size[None, None, :, None]
    one_chain = {"n_chains": 1, "n_draws": 101}
    made = tiny_posterior(["DE", "FR", "SE"], 1, flows=flows, first_year=2024, **one_chain)
    rows = [
        ("FR", "DE", 0, "immigration", 40.0),
        ("FR", "DE", 0, "emigration", 0.0),
        ("DE", "FR", 0, "emigration", 7.0),
    ]
    return with_reports(made, rows)


def test_corridors_are_sorted_by_size_with_both_reports(known: Posterior) -> None:
    table = place_flows(known, "DE", "immigration", 0)
    assert table["other"].tolist() == ["FR", "SE"]
    assert table["median"].tolist() == pytest.approx([5100, 2550])
    assert table["immigration"].tolist()[0] == 40.0
    assert table["emigration"].tolist()[0] == 0.0
    assert table.loc[1, ["immigration", "emigration"]].isna().all()


def test_intervals_are_the_equal_tailed_quantiles_of_the_draws(known: Posterior) -> None:
    row = flow_table(known, 0).set_index(["origin", "destination"]).loc[("DE", "SE")]
    limits = [row[f"{side}_{p}"] for p in (50, 80, 95) for side in ("lower", "upper")]
    assert limits == pytest.approx([260, 760, 110, 910, 35, 985])


def drawn_intervals(axes: Axes) -> list[tuple[float, float]]:
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    return [tuple(segment[:, 0]) for c in lines for segment in c.get_segments()]


def test_the_forest_draws_intervals_median_and_reports(known: Posterior) -> None:
    figure = plot(known, "reports", place="DE")
    left, right = panels(figure)
    assert [t.get_text() for t in left.get_yticklabels()] == ["France", "Sweden"]
    assert [t.get_text() for t in right.get_yticklabels()] == ["Sweden", "France"]
    assert left.get_xscale() == "log"
    widest, *_ = drawn_intervals(left)
    assert widest == pytest.approx((350, 9850))
    assert drawn_intervals(left)[-2] == pytest.approx((2600, 7600))
    assert markers(left, "|", hollow=True)[0] == pytest.approx((5100, 0))
    assert markers(left, "o") == [(40.0, 0.0)]
    assert markers(right, "D") == [(7.0, 1.0)]


def test_a_report_of_zero_stands_hollow_at_the_edge_and_in_the_legend(known: Posterior) -> None:
    figure = plot(known, "reports", place="DE")
    assert markers(panels(figure)[0], "D", hollow=True) == [(0.0, 0.0)]
    assert "a report of 0" in texts(figure)
    other = plot(known, "reports", place="SE")
    assert "a report of 0" not in texts(other)


def test_both_panels_share_a_scale_that_holds_every_report(known: Posterior) -> None:
    left, right = panels(plot(known, "reports", place="DE"))
    low, high = left.get_xlim()
    assert (low, high) == right.get_xlim()
    assert 0.2 <= low < 3.5
    assert high > 9850


def test_by_default_the_place_with_the_largest_flows_is_drawn(known: Posterior) -> None:
    assert find_place(known, None) == "FR"
    assert texts(plot(known, "reports")).startswith("France: flows")


def test_of_many_corridors_the_largest_are_drawn_and_their_number_is_told() -> None:
    places = [f"P{k:02d}" for k in range(MOST_ROWS + 6)]
    many = tiny_posterior(places, 1, spec={"codes": "declared"}, n_draws=5)
    figure = plot(many, "reports", place="P03")
    left = panels(figure)[0]
    assert len(left.get_yticks()) == MOST_ROWS
    assert f"the largest {MOST_ROWS} of {MOST_ROWS + 5}" in texts(figure)
    largest = place_flows(many, "P03", "immigration", 0)["other"].iloc[0]
    assert left.get_yticklabels()[0].get_text() == largest


def test_a_place_without_corridors_in_a_direction_says_so() -> None:
    made = tiny_posterior(["DE", "FR"], 1)
    latent, cells = made.tree["latent"].to_dataset(), made.tree["cells"].to_dataset()
    one_way = with_group(made, "latent", latent.isel(corridor=[0]))
    one_way = with_group(one_way, "cells", cells.isel(corridor=[0]))
    assert "no corridor of the model" in texts(plot(one_way, "reports", place="DE"))
    assert "immigration" not in describe("reports", one_way, place="DE").split("2020", 1)[1]


def test_the_last_period_is_drawn_unless_another_is_asked_for(decade: Posterior) -> None:
    assert "2024" in texts(plot(decade, "reports", place="DE"))
    assert "2017" in texts(plot(decade, "reports", place="DE", period=2017))


def test_all_periods_are_drawn_as_small_multiples(decade: Posterior) -> None:
    figure = plot(decade, "reports", place="DE", period="all")
    shown = panels(figure)
    assert len(shown) == 6  # three corridors in each direction
    assert {a.get_yscale() for a in shown} == {"log"}
    assert "over the 10 periods" in figure.alt_text
    medians = shown[0].lines[0].get_ydata()
    first = place_flows(decade, "DE", "immigration", 0)
    other = shown[0].get_title(loc="left").removeprefix("immigration from ")
    by_name = {"Austria": "AT", "France": "FR", "Namibia": "NA"}
    expected = first.set_index("other").loc[by_name[other], "median"]
    assert medians[0] == pytest.approx(expected)
    assert len(medians) == 10


def test_of_one_period_all_periods_are_that_period(known: Posterior) -> None:
    assert len(panels(plot(known, "reports", place="DE", period="all"))) == 2


# --- heatmap and coverage --------------------------------------------------------------------


def test_the_heatmap_shows_medians_and_how_wide_they_are(known: Posterior) -> None:
    figure = plot(known, "heatmap")
    left, right = panels(figure)
    places = ["DE", "FR", "SE"]
    assert [t.get_text() for t in left.get_yticklabels()] == places
    expected = np.array([[np.nan, 51, 510], [5100, np.nan, 255], [2550, 25500, np.nan]])
    np.testing.assert_allclose(matrix(left), expected)
    factors = matrix(right)[~np.isnan(expected)]
    np.testing.assert_allclose(factors, 98.5 / 3.5)
    assert "from SE to FR: 25,500" in figure.alt_text
    assert "1,750 to 49,250" in figure.alt_text


def test_corridors_without_a_report_are_marked() -> None:
    evidence = np.array([["none"], ["both_reports"], ["one_report"], ["none"], ["stock"], ["none"]])
    made = tiny_posterior(["DE", "FR", "SE"], 1, evidence=evidence)
    figure = plot(made, "heatmap")
    marked = {tuple(xy) for xy in panels(figure)[0].collections[0].get_offsets()}
    origin, destination = corridors(["DE", "FR", "SE"])
    at = {"DE": 0, "FR": 1, "SE": 2}
    silent = [k for k, text in enumerate(evidence[:, 0]) if text == "none"]
    assert marked == {(at[destination[k]], at[origin[k]]) for k in silent}
    assert "3 of 6 corridors" in texts(figure)


def test_flows_of_zero_do_not_break_the_logarithmic_colours() -> None:
    flows = np.ones((2, 40, 6, 1))
    flows[:, :, 2:] = 0.0
    figure = plot(tiny_posterior(["DE", "FR", "SE"], 1, flows=flows), "heatmap")
    assert np.nanmin(matrix(panels(figure)[0])) == 0.0


def test_cells_of_places_that_did_not_exist_are_no_corridors() -> None:
    made = tiny_posterior(["DE", "FR", "SE"], 2, evidence="none")
    latent = made.tree["latent"].to_dataset()
    gone = latent["log_flow"].copy()
    gone[:, :, 0, :] = np.nan  # DE to FR, never
    gone[:, :, 1, 1] = np.nan  # DE to SE, not in the second period
    some = with_group(made, "latent", latent.assign(log_flow=gone))
    assert len(evidence_table(some)) == 5
    assert len(evidence_table(some, 2021)) == 4
    assert len(flow_table(some, 1)) == 4
    left, _ = panels(plot(some, "heatmap"))
    assert np.isnan(matrix(left)[0]).all()
    assert "of 4 corridors" in describe("heatmap", some)
    assert place_flows(some, "DE", "emigration", 1).empty
    assert panels(plot(some, "reports", place="DE", period="all"))


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        ("both_reports", "both reports"),
        ("both_reports+survey", "both reports"),
        ("one_report", "one report"),
        ("total+one_report", "one report"),
        ("survey", "other evidence"),
        ("digital+stock", "other evidence"),
        ("none", "no report"),
    ],
)
def test_evidence_is_classed(evidence: str, said: str) -> None:
    assert evidence_class(evidence) == said


def test_coverage_counts_corridors_by_evidence() -> None:
    evidence = [["none"], ["both_reports"], ["one_report"], ["none"], ["stock"], ["one_report"]]
    figure = plot(tiny_posterior(["DE", "FR", "SE"], 1, evidence=evidence), "coverage")
    told = texts(figure)
    for line in ("both reports: 1 of 6", "one report: 2 of 6", "no report: 2 of 6"):
        assert line in told
    assert "other evidence: 1 of 6" in told
    (axes,) = panels(figure)
    assert matrix(axes)[0, 1] == 0
    assert matrix(axes)[0, 2] == 2
    assert np.isnan(matrix(axes)[1, 1])


def test_coverage_of_several_periods_takes_the_best_and_counts_periods() -> None:
    evidence = [["none", "one_report"], ["both_reports", "none"], ["stock", "none"]] * 2
    made = tiny_posterior(["DE", "FR", "SE"], 2, evidence=evidence)
    table = evidence_table(made)
    assert table["best"].tolist()[:3] == [1, 2, 3]
    assert table["n_periods"].tolist()[:3] == [1, 1, 0]
    left, right = panels(plot(made, "coverage"))
    assert matrix(right)[0, 1] == 1
    assert matrix(left)[0, 1] == 1
    assert "2020 to 2021" in texts(plot(made, "coverage"))
    (only,) = panels(plot(made, "coverage", period=2020))
    assert matrix(only)[0, 1] == 0


def test_many_places_are_labelled_by_every_second_or_third_one() -> None:
    places = [f"P{k:03d}" for k in range(90)]
    many = tiny_posterior(places, 1, spec={"codes": "declared"}, n_draws=2)
    (axes,) = panels(plot(many, "coverage"))
    assert [t.get_text() for t in axes.get_yticklabels()][:3] == ["P000", "P003", "P006"]


# --- priors ----------------------------------------------------------------------------------


def test_without_prior_predictive_draws_the_figure_says_what_is_missing() -> None:
    bare = tiny_posterior(4, 1)
    figure = plot(bare, "prior_predictive")
    assert "no draws from the prior predictive" in texts(figure)
    assert "no draws from the prior predictive" in describe("prior_predictive", bare)
    heights, edges, _ = panels(figure)[0].patches[0].get_data()
    assert (heights * np.diff(np.log(edges))).sum() == pytest.approx(1.0)


def test_the_share_of_reports_within_their_prior_interval_is_told(posterior: Posterior) -> None:
    n = posterior.tree["reports"].sizes["report"]
    assert f"{n} of {n} within the 95 % interval" in texts(plot(posterior, "prior_predictive"))
    far = with_prior_predictive(posterior, shift=9.0)
    assert f"0 of {n} within the 95 % interval" in texts(plot(far, "prior_predictive"))
    assert f"0 of the {n} observed" in describe("prior_predictive", far)


def test_no_bin_lies_between_two_whole_numbers(posterior: Posterior) -> None:
    pairs = [("DE", "FR"), ("FR", "DE"), ("DE", "NA"), ("NA", "DE")]
    rows = [(o, d, 0, "immigration", float(k)) for k, (o, d) in enumerate(pairs)]
    small = with_prior_predictive(
        with_reports(posterior, [*rows, ("FR", "NA", 0, "emigration", 9e4)])
    )
    edges = panels(plot(small, "prior_predictive"))[0].patches[0].get_data().edges
    counts = np.arange(0, 1_000_000) + 0.5
    assert np.histogram(counts, edges)[0].min() >= 1
    assert edges[0] < 0.5


def test_scalars_get_a_density_and_vectors_a_row_for_each_element(posterior: Posterior) -> None:
    shown = {a.get_title(loc="left"): a for a in panels(plot(posterior, "prior_posterior"))}
    assert set(shown) == {"sd_corridor", "sd_noise", "duration_increment"}
    labels = [t.get_text() for t in shown["duration_increment"].get_yticklabels()]
    assert labels == ["0_to_3", "3_to_6", "6_to_12", "12_to_60"]
    draws = posterior.tree["posterior"]["duration_increment"].isel(step=0).to_numpy().ravel()
    last_drawn = drawn_intervals(shown["duration_increment"])
    assert last_drawn[0] == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert last_drawn[4] == pytest.approx(tuple(np.quantile(draws, [0.25, 0.75])))
    assert len(shown["sd_corridor"].lines) == 2


def test_a_parameter_without_prior_draws_says_so(posterior: Posterior) -> None:
    prior = posterior.tree["prior"].to_dataset().drop_vars(["sd_corridor", "sd_noise"])
    half = with_group(posterior, "prior", prior)
    told = texts(plot(half, "prior_posterior"))
    assert "sd_corridor (no prior draws)" in told
    assert "duration_increment (no prior draws)" not in told
    assert "there are no prior draws" in describe("prior_posterior", half)


def test_the_description_tells_how_much_was_learnt(posterior: Posterior) -> None:
    wide = posterior.tree["posterior"]["sd_corridor"].isel(chain=[0]) * 4.0
    known = with_group(posterior, "prior", wide.to_dataset(name="sd_corridor"))
    after = posterior.tree["posterior"]["sd_corridor"].to_numpy()
    ratio = after.std() / (4.0 * after[0].std())
    assert f"sd_corridor {ratio:.2f}" in describe("prior_posterior", known)


def test_a_parameter_that_never_moves_is_a_line_not_an_error(posterior: Posterior) -> None:
    frozen = posterior.tree["posterior"].to_dataset()
    frozen["sd_corridor"] = frozen["sd_corridor"] * 0.0 + 0.3
    figure = plot(with_group(posterior, "posterior", frozen), "prior_posterior")
    axes = next(a for a in panels(figure) if a.get_title(loc="left") == "sd_corridor")
    assert 0.3 in [line.get_xdata()[0] for line in axes.lines]


def test_elements_of_a_matrix_are_named_by_all_their_coordinates(posterior: Posterior) -> None:
    values = np.arange(2 * 5 * 2 * 3, dtype=float).reshape(2, 5, 2, 3)
    coords = {"side": ["in", "out"], "place": ["DE", "FR", "SE"]}
    data = xr.Dataset({"x": (("chain", "draw", "side", "place"), values)}, coords)
    (table,) = hyper_parameters(with_group(posterior, "posterior", data), "posterior").values()
    assert list(table.columns)[:4] == ["in, DE", "in, FR", "in, SE", "out, DE"]
    assert table["out, SE"].iloc[0] == values[0, 0, 1, 2]
    assert table["in, DE"].iloc[5] == values[1, 0, 0, 0]


# --- periods, options, files -----------------------------------------------------------------


def with_periods(posterior: Posterior, bounds: list[str]) -> Posterior:
    days = np.array(bounds, dtype="datetime64[ns]")
    latent = posterior.tree["latent"].to_dataset()
    both = {"period_start": ("period", days[:-1]), "period_end": ("period", days[1:])}
    return with_group(posterior, "latent", latent.assign_coords(both))


@pytest.mark.parametrize(
    ("bounds", "labels"),
    [
        (["2023-01-01", "2024-01-01", "2025-01-01"], ["2023", "2024"]),
        (["2010-01-01", "2015-01-01", "2020-01-01"], ["2010 to 2014", "2015 to 2019"]),
        (
            ["2023-07-01", "2024-07-01", "2025-07-01"],
            ["2023-07-01 to 2024-06-30", "2024-07-01 to 2025-06-30"],
        ),
    ],
)
def test_periods_are_named_as_people_name_them(bounds: list[str], labels: list[str]) -> None:
    made = with_periods(tiny_posterior(3, 2), bounds)
    assert period_labels(made) == labels
    for k, label in enumerate(labels):
        assert find_period(made, label) == k
        assert find_period(made, bounds[k]) == k
        assert find_period(made, int(bounds[k][:4])) == k
    assert find_period(made, None) == 1


def test_a_year_in_which_several_periods_begin_is_not_enough() -> None:
    halves = with_periods(tiny_posterior(3, 2), ["2024-01-01", "2024-07-01", "2025-01-01"])
    with pytest.raises(UsageError, match="2024-01-01 to 2024-06-30"):
        find_period(halves, 2024)
    assert find_period(halves, "2024-07-01") == 1


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("heatmp", {}, r"plot, kind\) \| found 'heatmp'.*did you mean heatmap\?"),
        ("reports", {"place": "DEE"}, r"plot, place\) \| found 'DEE'.*did you mean DE\?"),
        ("reports", {"period": 2031}, r"plot, period\) \| found '2031'.*allowed: 2024"),
        ("heatmap", {"place": "DE"}, r"found place with heatmap; allowed: place with reports"),
        ("prior_posterior", {"period": 2024}, r"period with coverage, heatmap, reports"),
        ("heatmap", {"out": "a.jpg"}, r"\(a.jpg\) \| found a file ending in '.jpg'.*\.png"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    kind: str, options: dict[str, Any], said: str, posterior: Posterior
) -> None:
    with pytest.raises(UsageError, match=said):
        plot(posterior, kind, **options)


def test_namibia_is_a_place(posterior: Posterior) -> None:
    assert texts(plot(posterior, "reports", place="NA")).startswith("Namibia: ")


def test_codes_of_ones_own_are_shown_as_they_are() -> None:
    own = tiny_posterior(["DE", "north"], 1, spec={"codes": "declared"})
    assert texts(plot(own, "reports", place="DE")).startswith("DE: ")


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_suffix_is_the_format_and_two_drawings_are_one_file(
    suffix: str, magic: bytes, posterior: Posterior, tmp_path: Path
) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / "new" / f"b.{suffix}"
    plot(posterior, "heatmap", out=first)
    plot(posterior, "heatmap", out=second)
    assert first.read_bytes().startswith(magic)
    assert first.read_bytes() == second.read_bytes()


def test_the_description_travels_in_the_file(posterior: Posterior, tmp_path: Path) -> None:
    figure = plot(posterior, "heatmap", out=tmp_path / "a.png")
    plot(posterior, "heatmap", out=tmp_path / "a.svg")
    assert figure.alt_text.encode() in (tmp_path / "a.png").read_bytes()
    assert figure.alt_text in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_file_is_replaced_whole_or_not_at_all(
    posterior: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "figure.png"
    path.write_text("what was there")

    def break_off(self: Figure, file: Path, **_: object) -> None:
        Path(file).write_text("half a figure")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", break_off)
    with pytest.raises(KeyboardInterrupt):
        plot(posterior, "coverage", out=path)
    assert path.read_text() == "what was there"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


def test_a_figure_shows_itself_in_a_notebook_with_its_description(posterior: Posterior) -> None:
    figure = plot(posterior, "coverage")
    png, metadata = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert metadata["alt"] == describe("coverage", posterior)
