"""Sensitivity and discovery on functions whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from flowcast.errors import UsageError
from flowcast.projection.designs import Design, make_design
from flowcast.projection.findings import discover, sensitivity_of
from flowcast.scenarios.distributions import Distribution

PI = float(np.pi)
CIRCLE = {name: Distribution.make("uniform", [-PI, PI]) for name in "abc"}
# Closed forms for the parameters 7 and 0.1 (Ishigami and Homma 1990).
FIRST = {"a": 0.3139, "b": 0.4424, "c": 0.0}
TOTAL = {"a": 0.5576, "b": 0.4424, "c": 0.2437}


def ishigami(x: pd.DataFrame) -> pd.Series:
    return np.sin(x["a"]) + 7.0 * np.sin(x["b"]) ** 2 + 0.1 * x["c"] ** 4 * np.sin(x["a"])


def by_input(table: pd.DataFrame, index: str, column: str = "value") -> dict[str, float]:
    return table[table["index"] == index].set_index("input")[column].to_dict()


# Sobol'


@pytest.fixture(scope="module")
def many() -> Design:
    return make_design(CIRCLE, "sobol", 5 * 2048)


def test_sobol_finds_the_indices_of_ishigami_s_function(many: Design) -> None:
    table = sensitivity_of(many, ishigami(many.inputs))
    assert by_input(table, "first_order") == pytest.approx(FIRST, abs=0.02)
    assert by_input(table, "total") == pytest.approx(TOTAL, abs=0.02)
    assert table.attrs == {"notes": (), "enough": True}


@pytest.mark.statistical
def test_sobol_s_intervals_hold_the_truth_about_as_often_as_they_state() -> None:
    """Each index in 40 designs; of 95 % intervals, fewer than 32 that hold it are past chance."""
    held = np.zeros(6)
    for seed in range(40):
        design = make_design(CIRCLE, "sobol", 5 * 256, seed=seed)
        table = sensitivity_of(design, ishigami(design.inputs))
        truth = np.array([truth[name] for name in "abc" for truth in (FIRST, TOTAL)])
        held += (table["lower"] <= truth) & (truth <= table["upper"])
    assert held.min() >= 32
    assert held.mean() < 40


def test_inputs_weigh_by_their_distributions_not_by_their_ranges() -> None:
    """Of a sum, shares are those of the variances: 4 to 1."""
    ranges = {
        "wide": Distribution.make("normal", [0, 2]),
        "narrow": Distribution.make("normal", [5, 1]),
    }
    design = make_design(ranges, "sobol", 4 * 2048)
    table = sensitivity_of(design, design.inputs.sum(axis=1))
    expected = {"wide": 0.8, "narrow": 0.2}
    assert by_input(table, "total") == pytest.approx(expected, abs=0.02)


def test_too_few_cases_are_told_with_how_many_it_would_take() -> None:
    few = make_design(CIRCLE, "sobol", 100)
    table = sensitivity_of(few, ishigami(few.inputs))
    assert not table.attrs["enough"]
    (note,) = table.attrs["notes"]
    assert note.startswith("Too few cases: with 80 ")
    assert "about 1900 would tell it to 0.1" in note


# Morris


def test_morris_tells_the_slopes_of_a_line_exactly() -> None:
    ranges = {name: Distribution.make("uniform", [0, high]) for name, high in (("a", 2), ("b", 10))}
    design = make_design(ranges, "morris", 30)
    table = sensitivity_of(design, 3.0 * design.inputs["a"] - design.inputs["b"])
    assert by_input(table, "mu") == pytest.approx({"a": 6.0, "b": -10.0})
    assert by_input(table, "mu_star") == pytest.approx({"a": 6.0, "b": 10.0})
    assert by_input(table, "sigma") == pytest.approx({"a": 0.0, "b": 0.0}, abs=1e-9)
    assert table.attrs["enough"]


def test_morris_shows_what_hangs_on_others_by_its_spread() -> None:
    design = make_design(CIRCLE, "morris", 4 * 100)
    table = sensitivity_of(design, ishigami(design.inputs))
    # The third input acts only through the first: on average not at all, and yet strongly.
    assert by_input(table, "sigma")["c"] > by_input(table, "mu_star")["c"] > 0.0
    assert abs(by_input(table, "mu")["c"]) < 0.5 * by_input(table, "mu_star")["c"]
    assert not table.attrs["enough"]
    assert "of the largest effect" in table.attrs["notes"][0]


# Both


@pytest.mark.parametrize("method", ["sobol", "morris"])
def test_an_outcome_that_never_changes_has_no_sensitivity(method: str) -> None:
    design = make_design(CIRCLE, method, 100)  # type: ignore[arg-type]
    table = sensitivity_of(design, np.full(len(design.inputs), 3.0))
    assert (table["value"] == 0.0).all()
    assert table.attrs["notes"] == ("The outcome is the same in every case.",)


def test_a_design_without_indices_and_values_that_do_not_fit_are_refused(many: Design) -> None:
    latin = make_design(CIRCLE, "latin", 20)
    with pytest.raises(UsageError, match="found latin; allowed: sobol, morris"):
        sensitivity_of(latin, np.arange(20.0))
    with pytest.raises(UsageError, match="finite numbers"):
        sensitivity_of(many, np.arange(20.0))
    with pytest.raises(UsageError, match="finite numbers"):
        discover(latin.inputs, np.full(20, np.nan), 0.0)


# Discovery


def cases(n: int = 500) -> pd.DataFrame:
    """Return inputs, one with the name that PRIM itself gives a meaning."""
    names = ["a", "b", "scenario", "drivers.d"]
    return pd.DataFrame(np.random.default_rng(4).random((n, 4)), columns=names)


@pytest.mark.slow
def test_prim_finds_a_planted_box_and_nothing_else() -> None:
    x = cases()
    inside = (x["a"] > 0.6) & (x["scenario"] < 0.4)
    found = discover(x, np.where(inside, 5.0, 1.0), 2.0, what="arrivals")
    first = found.boxes[found.boxes["box"] == 1].set_index("input")
    assert set(first.index) == {"a", "scenario"}
    assert first.loc["a", "lower"] == pytest.approx(0.6, abs=0.05)
    assert first.loc["scenario", "upper"] == pytest.approx(0.4, abs=0.05)
    assert np.isnan(first.loc["a", "upper"])
    assert np.isnan(first.loc["scenario", "lower"])
    assert (first["coverage"] > 0.9).all()
    assert (first["density"] > 0.9).all()
    assert first.loc["a", "qp_lower"] < 1e-6
    assert found.text.startswith(f"arrivals is above 2 in {inside.sum()} of 500 cases")
    assert "a is at least 0." in found.text


@pytest.mark.slow
def test_figures_of_a_box_are_those_of_the_cases_in_it() -> None:
    x = cases()
    y = x["a"] + x["b"] + 0.3 * x["drivers.d"]
    found = discover(x, y, 1.4)
    for _, box in found.boxes.groupby("box"):
        # The second is told of what the first leaves.
        held = np.ones(len(x), dtype=bool)
        for row in box.itertuples():
            lower = 0.0 if np.isnan(row.lower) else row.lower
            upper = 1.0 if np.isnan(row.upper) else row.upper
            held &= x[row.input].between(lower, upper).to_numpy()
        x, y = x[~held], y[~held]
        assert (box["n_case"] == held.sum()).all()
    chosen = found.trajectory[found.trajectory["chosen"]]
    assert len(chosen) == found.boxes["box"].nunique() == 2
    assert found.boxes.groupby("box")["coverage"].first().sum() <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_prim_finds_nothing_where_there_is_nothing(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=500)
    found = discover(cases(), noise, 0.5)
    assert found.boxes.empty
    assert found.text.endswith("No range of the inputs tells these cases from the others.")
    assert not found.trajectory["chosen"].any()


@pytest.mark.parametrize("above", [-1.0, 2.0])
def test_all_or_none_of_the_cases_above_is_an_answer_too(above: float) -> None:
    x = cases(30)
    found = discover(x, x["a"], above)
    assert (len(found.boxes), len(found.trajectory)) == (0, 0)
    assert found.text.endswith("There is nothing to tell apart.")


@pytest.mark.slow
def test_few_cases_of_interest_are_told() -> None:
    x = cases(60)
    assert "try more cases" in discover(x, x["a"], 0.9).text
