"""What figures say, counted and measured from outside: colours, legends, words and numbers."""

import re
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from support import corridors, tiny_posterior

from flowcast.plots import PLOT_KINDS, describe, plot
from flowcast.plots._grids import CLASS_COLORS
from flowcast.plots._reports import SIDES
from flowcast.plots._style import INTERVALS
from flowcast.posterior import Posterior

PLACES = ("AT", "DE", "FR", "NA")
PAIRS = list(zip(*corridors(PLACES), strict=True))

# Full dichromacy in linear RGB: Viénot, Brettel and Mollon 1999,
# doi 10.1002/(SICI)1520-6378(199908)24:4<243::AID-COL5>3.0.CO;2-3
VISION = {
    "all colours": np.eye(3),
    "no red": np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.004, -0.004, 1.0]]),
    "no green": np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]]),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color: str, vision: str) -> np.ndarray:
    """Return CIE L*a*b* of a colour as it is seen, white being the brightest white of a screen."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISION[vision] @ linear, 0.0, 1.0)
    t = TO_XYZ @ seen / TO_XYZ.sum(axis=1)
    x, y, z = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def posterior(evidence: list[list[str]] | None = None) -> Posterior:
    return tiny_posterior(PLACES, 1, first_year=2024, evidence=evidence, seed=9)


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("vision", VISION)
def test_intervals_differ_in_lightness_whatever_colours_are_seen(vision: str) -> None:
    lightness = [lab(color, vision)[0] for _, (color, _) in sorted(INTERVALS.items())]
    assert (np.diff(lightness) > 12).all()


@pytest.mark.parametrize("vision", VISION)
def test_classes_of_evidence_are_told_apart_whatever_colours_are_seen(vision: str) -> None:
    for a, b in combinations(CLASS_COLORS, 2):
        assert np.linalg.norm(lab(a, vision) - lab(b, vision)) > 15, (a, b)


def test_the_two_sides_differ_in_shape_and_not_by_colour_alone() -> None:
    shapes = {marker for _, marker, _ in SIDES.values()}
    assert len(shapes) == len(SIDES) == 2


def test_wider_intervals_are_drawn_thinner_so_that_none_hides_another() -> None:
    widths = [width for _, (_, width) in sorted(INTERVALS.items())]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3


def test_the_legend_of_reports_names_every_interval_with_probability_and_kind() -> None:
    labels = legend_of(plot(posterior(), "reports", place="NA"))
    assert [label for label in labels if "interval" in label] == [
        f"{prob} % credible interval (equal-tailed)" for prob in (50, 80, 95)
    ]
    assert {"report of the receiving side", "report of the sending side"} <= set(labels)


def test_the_legend_of_coverage_counts_every_class_there_is() -> None:
    words = ["both_reports"] * 5 + ["one_report+survey"] * 4 + ["none"] * 2 + ["stock"]
    labels = legend_of(plot(posterior([[word] for word in words]), "coverage"))
    assert labels[:-1] == [
        "other evidence: 1 of 12",
        "both reports: 5 of 12",
        "one report: 4 of 12",
        "no report: 2 of 12",
    ]


def test_the_heatmap_marks_as_many_cells_as_its_legend_says() -> None:
    words = [["none"] if k in (0, 5, 7) else ["one_report"] for k in range(12)]
    figure = plot(posterior(words), "heatmap")
    assert "neither side reports: 3 of 12 corridors" in legend_of(figure)
    for axes in figure.axes[:2]:
        (marks,) = axes.collections
        at = {(PLACES[int(y)], PLACES[int(x)]) for x, y in np.asarray(marks.get_offsets())}
        assert at == {PAIRS[k] for k in (0, 5, 7)}
        assert [t.get_text() for t in axes.get_xticklabels()] == list(PLACES)


def test_numbers_in_the_words_for_a_heatmap_are_those_of_the_draws() -> None:
    made = posterior()
    draws = np.exp(made.log_flow.isel(period=0).transpose("chain", "draw", "corridor").values)
    flat = draws.reshape(-1, len(PAIRS))
    top = int(np.median(flat, axis=0).argmax())
    low, median, high = np.quantile(flat[:, top], [0.025, 0.5, 0.975])
    text = describe("heatmap", made)
    assert f"from {PAIRS[top][0]} to {PAIRS[top][1]}: {median:,.0f} (95 %" in text
    assert f"equal-tailed: {low:,.0f} to {high:,.0f})" in text
    limits = np.quantile(flat, [0.025, 0.975], axis=0)
    factor = limits[1] / limits[0]
    widest = PAIRS[int(factor.argmax())]
    assert f"the widest is from {widest[0]} to {widest[1]}, a factor of {factor.max():,.1f}" in text
    assert "On 3 of 12 corridors neither side reports" in text


def test_numbers_in_the_words_for_a_place_are_those_of_the_draws() -> None:
    made = posterior()
    draws = np.exp(made.log_flow.isel(period=0).values).reshape(-1, len(PAIRS))
    text = describe("reports", made, place="NA")
    assert text.startswith("Flows of Namibia")
    into = {start: np.median(draws[:, k]) for k, (start, end) in enumerate(PAIRS) if end == "NA"}
    largest = max(into, key=lambda code: into[code])
    names = {"AT": "Austria", "DE": "Germany", "FR": "France"}
    said = f"immigration over 3 corridors, largest from {names[largest]}: {into[largest]:,.0f} ("
    assert said in text


@pytest.mark.parametrize("kind", sorted(PLOT_KINDS))
def test_words_for_readers_hold_no_names_of_python(kind: str) -> None:
    text = describe(kind, posterior())
    assert not re.search(r"\bnan\b|\binf\b|None|dtype|array\(", text)
    assert "  " not in text
    assert text[0].isupper()
