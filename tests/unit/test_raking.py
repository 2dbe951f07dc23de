"""Raking: what it returns, what it refuses, and what it does where sweeps alone fail."""

import re
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import ArrayLike

from flowcast.accounting.raking import Blocks, rake, rake_off_diagonal
from flowcast.errors import ConvergenceError, InputError, UsageError


def named(values: ArrayLike, *dims: str) -> xr.DataArray:
    """Return an array whose labels are A, B, ... along every dim."""
    array = np.asarray(values, dtype=float)
    labels = {d: list("ABCDEFGH"[:n]) for d, n in zip(dims, array.shape, strict=True)}
    return xr.DataArray(array, labels, dims)


SEED = named([[5, 2], [1, 7]], "origin", "destination")
LEFT, CAME = named([18, 20], "origin"), named([16, 22], "destination")
MARGINS: Any = {"origin": LEFT, "destination": CAME}


def test_the_sums_are_those_asked_for_and_odds_ratios_stay() -> None:
    raked = rake(SEED, MARGINS)
    np.testing.assert_allclose(raked.table.sum("destination"), LEFT, rtol=1e-9)
    np.testing.assert_allclose(raked.table.sum("origin"), CAME, rtol=1e-9)
    (a, b), (c, d) = raked.table.values
    assert a * d / (b * c) == pytest.approx(5 * 7 / (2 * 1), rel=1e-12)
    assert raked.table.dims == SEED.dims
    assert not raked.forced_zero.any()


def test_the_table_is_the_seed_times_the_factors() -> None:
    raked = rake(SEED, MARGINS)
    product = SEED * raked.factors["origin"] * raked.factors["destination"]
    np.testing.assert_allclose(product, raked.table, rtol=1e-12)


def test_gap_is_how_far_the_sums_are_off() -> None:
    loose = rake(SEED, MARGINS, tol=1e-2)
    off = abs(loose.table.sum("destination") / LEFT - 1.0).max()
    assert float(loose.gap) == pytest.approx(float(off), rel=1e-6)
    assert 1e-9 < float(loose.gap) < 1e-2
    assert float(rake(SEED, MARGINS).gap) < 1e-9
    assert int(loose.n_sweeps) < int(rake(SEED, MARGINS).n_sweeps)


def test_margins_are_matched_by_label_whatever_their_order() -> None:
    turned = {"destination": CAME.isel(destination=[1, 0]), "origin": LEFT.isel(origin=[1, 0])}
    there = rake(SEED, turned).table
    xr.testing.assert_allclose(there, rake(SEED, MARGINS).table, rtol=1e-9)


def test_arrays_without_labels_are_matched_by_position() -> None:
    plain = {"origin": LEFT.drop_vars("origin"), "destination": CAME.drop_vars("destination")}
    seed = SEED.drop_vars(["origin", "destination"])
    np.testing.assert_allclose(rake(seed, plain).table, rake(SEED, MARGINS).table, rtol=1e-12)


def test_structural_zeros_stay() -> None:
    seed = named([[0, 1, 2], [3, 0, 4], [5, 6, 0]], "origin", "destination")
    margins: Any = {"origin": named([10, 20, 30], "origin")}
    margins["destination"] = named([25, 20, 15], "destination")
    table = rake(seed, margins).table
    assert (np.diag(table) == 0.0).all()
    np.testing.assert_allclose(table.sum("origin"), [25, 20, 15], rtol=1e-9)


def test_a_margin_of_zero_empties_its_cells() -> None:
    margins: Any = {"origin": named([0, 38], "origin"), "destination": CAME}
    raked = rake(SEED, margins)
    np.testing.assert_allclose(raked.table, [[0, 0], [16, 22]], rtol=1e-9)
    assert raked.forced_zero.values.tolist() == [[True, True], [False, False]]
    assert raked.factors["origin"].values[0] == 0.0


def test_three_pairwise_margins() -> None:
    rng = np.random.default_rng(1)
    truth, seed = (
        named(rng.gamma(1.0, 9.0, (3, 4, 5)), "origin", "destination", "age") for _ in "ab"
    )
    pairs = (("origin", "destination"), ("origin", "age"), ("destination", "age"))
    margins: Any = {pair: truth.sum([d for d in truth.dims if d not in pair]) for pair in pairs}
    raked = rake(seed, margins)
    for pair, margin in margins.items():
        sums = raked.table.sum([d for d in truth.dims if d not in pair])
        np.testing.assert_allclose(sums, margin, rtol=1e-9)
    corner = np.log(raked.table / seed).values
    # without a term of all three dims the ratio has no third-order interaction
    interaction = np.diff(np.diff(np.diff(corner, axis=0), axis=1), axis=2)
    np.testing.assert_allclose(interaction, 0.0, atol=1e-9)


def test_a_dim_of_all_margins_makes_separate_tables() -> None:
    rng = np.random.default_rng(2)
    truth, seed = (
        named(rng.gamma(1.0, 9.0, (3, 3, 2)), "origin", "destination", "birthplace") for _ in "ab"
    )
    margins: Any = {
        ("origin", "birthplace"): truth.sum("destination"),
        ("destination", "birthplace"): truth.sum("origin"),
    }
    raked = rake(seed, margins)
    assert raked.gap.dims == ("birthplace",)
    for place in "AB":
        one = {
            "origin": truth.sel(birthplace=place).sum("destination"),
            "destination": truth.sel(birthplace=place).sum("origin"),
        }
        alone = rake(seed.sel(birthplace=place), one).table  # type: ignore[arg-type]
        np.testing.assert_allclose(raked.table.sel(birthplace=place), alone, rtol=1e-9)


@pytest.mark.parametrize("where", ["seed", "margin", "both"])
def test_draws_are_raked_one_by_one(where: str) -> None:
    draws = xr.DataArray([1.0, 1.5, 4.0], {"draw": [10, 20, 30]})
    bend = xr.DataArray([[1.0, 1.0], [1.0, 2.0]], SEED.coords) ** draws
    seed = SEED * bend if where != "margin" else SEED
    scale = draws if where != "seed" else xr.ones_like(draws)
    margins: Any = {"origin": LEFT * scale, "destination": CAME * scale}
    raked = rake(seed, margins, each="draw")
    assert raked.table.dims == ("draw", "origin", "destination")
    assert raked.table["draw"].values.tolist() == [10, 20, 30]
    for draw in draws["draw"].values:
        one = seed.sel(draw=draw) if "draw" in seed.dims else seed
        single: Any = {dim: margins[dim].sel(draw=draw) for dim in margins}
        np.testing.assert_allclose(raked.table.sel(draw=draw), rake(one, single).table, rtol=1e-9)


def test_a_margin_of_every_dim_is_the_table() -> None:
    known = named([[1, 2], [3, 4]], "origin", "destination")
    raked = rake(SEED, {("origin", "destination"): known})
    np.testing.assert_allclose(raked.table, known, rtol=1e-12)


def test_a_single_total_scales_the_table() -> None:
    np.testing.assert_allclose(rake(SEED, {(): xr.DataArray(30.0)}).table, 2.0 * SEED)


def test_blocks_of_cells_have_their_sums() -> None:
    seed = named(np.arange(1.0, 10.0).reshape(3, 3), "origin", "destination")
    labels = xr.DataArray([["in", "in", "out"], ["in", "in", "out"], ["-", "-", "-"]], seed.coords)
    totals = xr.DataArray([11.0, 13.0], {"block": ["out", "in"]})
    margins: Any = {"origin": named([11, 13, 9], "origin")}
    margins["destination"] = named([10, 8, 15], "destination")
    raked = rake(seed, margins, blocks=Blocks(labels, totals))
    table = raked.table.values
    assert table[:2, :2].sum() == pytest.approx(13.0, rel=1e-8)
    assert table[:2, 2].sum() == pytest.approx(11.0, rel=1e-8)
    np.testing.assert_allclose(table.sum(axis=1), [11, 13, 9], rtol=1e-9)
    assert raked.factors["blocks 1"].dims == ("block",)
    block = raked.factors["blocks 1"].sel(block="out") / raked.factors["blocks 1"].sel(block="in")
    cross = table[0, 0] * table[1, 2] / (table[0, 2] * table[1, 0])
    assert cross == pytest.approx(1.0 * 6.0 / (3.0 * 4.0), rel=1e-9), "one factor for a block"
    assert float(block) > 0.0


def test_labels_of_blocks_may_lack_dims_and_totals_may_have_draws() -> None:
    labels = xr.DataArray(["x", "y"], {"origin": ["A", "B"]})
    totals = xr.DataArray([[10.0, 20.0], [1.0, 2.0]], {"draw": [0, 1], "group": ["x", "y"]})
    table = rake(SEED, {}, blocks=Blocks(labels, totals), each="draw").table
    np.testing.assert_allclose(table.sum("destination"), [[10, 20], [1, 2]], rtol=1e-9)


def test_known_cells_are_held_and_count() -> None:
    known = xr.full_like(SEED, np.nan)
    known.loc["A", "B"] = 4.0
    table = rake(SEED, MARGINS, known=known).table
    assert float(table.sel(origin="A", destination="B")) == 4.0
    np.testing.assert_allclose(table.sum("origin"), CAME, rtol=1e-9)
    np.testing.assert_allclose(table.sum("destination"), LEFT, rtol=1e-9)


def test_known_cells_count_in_blocks_too() -> None:
    labels = xr.DataArray([["a", "a"], ["b", "b"]], SEED.coords)
    totals = xr.DataArray([10.0, 5.0], {"block": ["a", "b"]})
    known = xr.full_like(SEED, np.nan)
    known.loc["A", "A"] = 9.0
    table = rake(SEED, {}, blocks=[Blocks(labels, totals)], known=known).table
    np.testing.assert_allclose(table.sel(origin="A"), [9.0, 1.0])
    known.loc["A", "A"] = 11.0
    with pytest.raises(InputError, match=r"\(blocks 1\) \| found known cells 1 above the total"):
        rake(SEED, {}, blocks=[Blocks(labels, totals)], known=known)


# Where sweeps alone do not get there


def test_cells_that_have_to_be_zero_are_found_and_told() -> None:
    """Sweeps approach such a table ever more slowly: after n of them the gap is about 1 / n."""
    seed = named([[1, 1], [0, 1]], "origin", "destination")
    margins: Any = {"origin": named([5, 3], "origin"), "destination": named([5, 3], "destination")}
    raked = rake(seed, margins)
    assert raked.table.values.tolist() == [[5.0, 0.0], [0.0, 3.0]]
    assert raked.forced_zero.values.tolist() == [[False, True], [False, False]]
    assert float(raked.gap) < 1e-9


def test_seeds_of_very_different_sizes_converge() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        seed = named(10.0 ** rng.uniform(-9.0, 3.0, (6, 6)), "origin", "destination")
        truth = named(10.0 ** rng.uniform(-4.0, 6.0, (6, 6)), "origin", "destination")
        margins: Any = {"origin": truth.sum("destination"), "destination": truth.sum("origin")}
        raked = rake(seed, margins)
        np.testing.assert_allclose(raked.table.sum("origin"), truth.sum("origin"), rtol=1e-9)
        product = seed * raked.factors["origin"] * raked.factors["destination"]
        np.testing.assert_allclose(product, raked.table, rtol=1e-9)


def test_a_table_in_which_sweeps_are_slow_takes_few() -> None:
    """Two halves joined by cells of 1e-7: a sweep moves a millionth of what is to be moved."""
    weak = 1e-7
    seed = named([[1, weak], [weak, 1]], "origin", "destination")
    margins: Any = {
        "origin": named([30, 70], "origin"),
        "destination": named([50, 50], "destination"),
    }
    raked = rake(seed, margins)
    assert int(raked.n_sweeps) < 300
    (a, b), (c, d) = raked.table.values
    assert a * d / (b * c) == pytest.approx(weak**-2, rel=1e-6)
    assert b - c == pytest.approx(-20.0, rel=1e-9)


def test_sums_that_cannot_be_met_are_named() -> None:
    seed = named([[0, 1, 1], [1, 0, 0], [1, 0, 0]], "origin", "destination")
    margins: Any = {"origin": named([5, 3, 4], "origin")}
    margins["destination"] = named([6, 3, 3], "destination")
    with pytest.raises(InputError) as caught:
        rake(seed, margins)
    told = str(caught.value)
    assert re.search(r"\(margin \w+\) \| found [56] at \w+ A; allowed: at least", told)
    assert "given the zeros of the seed and the other sums" in told


def test_an_infeasible_draw_is_named_among_others() -> None:
    seed = named([[1, 1], [0, 1]], "origin", "destination")
    left = xr.DataArray([[5.0, 3.0], [2.0, 6.0]], {"draw": ["good", "bad"], "origin": ["A", "B"]})
    came = xr.DataArray(
        [[4.0, 4.0], [4.0, 4.0]], {"draw": ["good", "bad"], "destination": ["A", "B"]}
    )
    with pytest.raises(InputError, match="draw bad") as caught:
        rake(seed, {"origin": left, "destination": came}, each="draw")
    assert "draw good" not in str(caught.value)


def test_a_margin_whose_cells_are_all_zero_is_named_before_anything_is_computed() -> None:
    seed = named([[0, 0], [1, 7]], "origin", "destination")
    with pytest.raises(InputError, match=r"\(margin origin\) \| found 18 at origin A; allowed: 0"):
        rake(seed, MARGINS)


def test_sweeps_that_run_out_are_an_error_that_names_the_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a table too large for Newton's method: no result that is off comes in silence."""
    monkeypatch.setattr("flowcast.accounting._raking_solve.MAX_CELLS", 0)
    with pytest.raises(ConvergenceError, match=r"\(margin origin\) .* a relative gap of"):
        rake(SEED, MARGINS, max_sweeps=2)
    large = rake(SEED, MARGINS, max_sweeps=10_000)
    assert float(large.gap) < 1e-9


# What is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"margins": {"orign": LEFT}},
            "(margin orign) | found dim orign; allowed: dims of the seed",
        ),
        (
            {"margins": {"origin": CAME}},
            "(margin origin) | found dims (destination); allowed: dims",
        ),
        (
            {"margins": {"origin": -LEFT}},
            "(margin origin) | found -18 at origin A, -20 at origin B",
        ),
        ({"margins": {"origin": LEFT * np.nan}}, "found nan at origin A"),
        ({"seed": -SEED}, "(seed) | found -5 at origin A, destination A"),
        ({"margins": {"origin": LEFT, "destination": CAME + 1}}, "found totals 38 and 40"),
        (
            {"margins": {"origin": named([18, 20, 1], "origin")}},
            "(margin origin) | found origin C; allowed: the labels of the table: A, B",
        ),
        ({"margins": {"origin": LEFT[:1]}}, "found no origin B; allowed: a value for every label"),
        ({"each": "draw"}, "(each) | found no table with dim draw"),
        ({"known": SEED.isel(origin=0)}, "(known cells) | found dims (destination)"),
        ({"known": SEED * 5}, "found known cells of 35 in all at origin A; allowed: at most the"),
        ({"known": -SEED}, "(known cells) | found -5 at origin A, destination A"),
        ({"blocks": Blocks(SEED.astype(str), CAME)}, "(blocks 1) | found totals by destination"),
        (
            {"blocks": Blocks(SEED.astype(str), xr.DataArray([1.0], dims="block"))},
            "one dim, with the names of the blocks as its labels",
        ),
        (
            {"blocks": Blocks(LEFT.rename(origin="age"), xr.DataArray([1.0], {"block": ["a"]}))},
            "(blocks 1, labels) | found dims (age)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    arguments = {"seed": SEED, "margins": MARGINS, **changes}
    with pytest.raises(InputError) as caught:
        rake(arguments.pop("seed"), arguments.pop("margins"), **arguments)
    assert said in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        rake(-SEED, {"origin": -LEFT, "destination": CAME * np.nan})
    assert len(caught.value.faults) == 3


def test_a_duplicate_label_is_refused() -> None:
    twice = xr.DataArray([18.0, 20.0], {"origin": ["A", "A"]})
    with pytest.raises(InputError, match="found origin A twice"):
        rake(SEED, {"origin": twice})


@pytest.mark.parametrize("options", [{"tol": 0.0}, {"tol": 2.0}, {"max_sweeps": 0}])
def test_a_tolerance_or_a_number_of_sweeps_that_makes_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="allowed: a tolerance between 0 and 1"):
        rake(SEED, MARGINS, **options)
    with pytest.raises(UsageError, match="at least one"):
        rake(SEED, {})


def test_totals_that_differ_by_rounding_are_one_total() -> None:
    nearly: Any = {"origin": LEFT, "destination": CAME * (1 + 1e-12)}
    assert float(rake(SEED, nearly).gap) < 1e-9


# A diagonal that is known


PLACES = named(np.ones((3, 3)), "origin", "destination")
START, END = named([100, 60, 40], "origin"), named([90, 64, 46], "destination")
ENDS: Any = {"origin": START, "destination": END}


def test_the_largest_diagonal_is_the_smaller_margin() -> None:
    table = rake_off_diagonal(PLACES, ENDS).table
    assert np.diag(table).tolist() == [90.0, 60.0, 40.0]
    np.testing.assert_allclose(table.sum("destination"), START, rtol=1e-9)
    np.testing.assert_allclose(table.sum("origin"), END, rtol=1e-9)


def test_quasi_independence_off_a_diagonal_of_zeros() -> None:
    table = rake_off_diagonal(PLACES, ENDS, diagonal=0.0).table
    assert (np.diag(table) == 0.0).all()
    a, b, c = 0, 1, 2
    x = table.values
    # three places have one odds ratio that does not touch the diagonal
    assert x[a, b] * x[b, c] * x[c, a] == pytest.approx(x[a, c] * x[c, b] * x[b, a], rel=1e-9)


def test_a_given_diagonal_may_differ_by_other_dims() -> None:
    seed = named(np.ones((3, 3, 2)), "origin", "destination", "birthplace")
    stay = named([[70, 40], [40, 20], [30, 10]], "origin", "birthplace")
    scale = named([1, 0.5], "birthplace")
    margins: Any = {
        ("origin", "birthplace"): START * scale,
        ("destination", "birthplace"): END * scale,
    }
    table = rake_off_diagonal(seed, margins, diagonal=stay).table
    for place in "ABC":
        cell = table.sel(origin=place, destination=place)
        np.testing.assert_allclose(cell, stay.sel(origin=place))
    np.testing.assert_allclose(table.sum("destination"), START * scale, rtol=1e-9)


def test_more_dims_of_the_seed_share_the_diagonal() -> None:
    """The diagonal of a dim without a margin is known for each of its labels."""
    seed = named(np.ones((3, 3, 2)), "origin", "destination", "sex")
    stay = named([20, 10, 5], "origin")
    table = rake_off_diagonal(seed, ENDS, diagonal=stay).table
    assert float(table.sel(origin="B", destination="B", sex="A")) == 10.0
    np.testing.assert_allclose(table.sum(["origin", "sex"]), END, rtol=1e-9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": PLACES.isel(origin=slice(2))}, "2 origins and 3 destinations"),
        ({"seed": PLACES.assign_coords(origin=list("ACB"))}, "different labels: C and B"),
        ({"seed": PLACES.rename(origin="from")}, "dims (from, destination); allowed: dims origin"),
        ({"margins": {"origin": START}}, "for the largest diagonal, one by origin and one by dest"),
        ({"diagonal": END}, "(diagonal) | found dims (destination)"),
        ({"diagonal": START + 1}, "found known cells of 101 in all at origin A"),
    ],
)
def test_a_diagonal_that_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    arguments = {"seed": PLACES, "margins": ENDS, **changes}
    with pytest.raises(InputError) as caught:
        rake_off_diagonal(arguments.pop("seed"), arguments.pop("margins"), **arguments)
    assert said in str(caught.value)
