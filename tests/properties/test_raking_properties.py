"""What holds of raking for any seed and margins: sums, odds ratios, zeros, optimality, symmetry."""

from typing import Any

import numpy as np
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from flowcast.accounting.components import (
    conditional_maximisation,
    multiplicative_components,
    recompose,
)
from flowcast.accounting.raking import Blocks, rake, rake_off_diagonal

FloatArray = NDArray[np.float64]

numbers = st.floats(0.01, 100.0)
with_zeros = st.one_of(st.just(0.0), numbers)
few = settings(max_examples=50)


def shapes(n_dims: int) -> st.SearchStrategy[tuple[int, ...]]:
    return hnp.array_shapes(min_dims=n_dims, max_dims=n_dims, min_side=2, max_side=4)


@st.composite
def problems(
    draw: st.DrawFn, cells: st.SearchStrategy[float] = numbers
) -> tuple[FloatArray, FloatArray]:
    """Return a seed, and a table with zeros in the same places, whose sums can be met."""
    shape = draw(shapes(2))
    seed = draw(hnp.arrays(np.float64, shape, elements=cells))
    truth = draw(hnp.arrays(np.float64, shape, elements=numbers))
    assume(seed.any())
    return seed, truth * (seed > 0.0)


def labelled(values: FloatArray, dims: tuple[str, ...] = ("origin", "destination")) -> xr.DataArray:
    return xr.DataArray(
        values, {d: list("ABCDE"[:n]) for d, n in zip(dims, values.shape, strict=True)}
    )


def ends(table: xr.DataArray) -> Any:  # noqa: ANN401
    return {"origin": table.sum("destination"), "destination": table.sum("origin")}


def divergence(x: FloatArray, p: FloatArray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(x > 0.0, x * np.log(x / p), 0.0).sum() - x.sum() + p.sum())


@few
@given(problems(with_zeros))
def test_sums_are_kept_and_zeros_stay(problem: tuple[FloatArray, FloatArray]) -> None:
    seed, truth = (labelled(values) for values in problem)
    raked = rake(seed, ends(truth))
    np.testing.assert_allclose(raked.table.sum("destination"), truth.sum("destination"), rtol=1e-9)
    np.testing.assert_allclose(raked.table.sum("origin"), truth.sum("origin"), rtol=1e-9)
    assert (raked.table.values[seed.values == 0.0] == 0.0).all()
    assert (raked.table.values >= 0.0).all()
    assert float(raked.gap) <= 1e-9


@few
@given(problems())
def test_odds_ratios_of_the_seed_are_kept(problem: tuple[FloatArray, FloatArray]) -> None:
    seed, truth = (labelled(values) for values in problem)
    ratio = np.log(rake(seed, ends(truth)).table / seed).values
    interaction = ratio - ratio[:1] - ratio[:, :1] + ratio[:1, :1]
    np.testing.assert_allclose(interaction, 0.0, atol=1e-9)


@few
@given(problems(with_zeros), st.randoms())
def test_order_does_not_matter(problem: tuple[FloatArray, FloatArray], random: Any) -> None:  # noqa: ANN401
    seed, truth = (labelled(values) for values in problem)
    rows, columns = (random.sample(range(n), n) for n in seed.shape)
    turned = seed.isel(origin=rows, destination=columns)
    margins = ends(truth)
    one, other = rake(seed, margins), rake(turned, dict(reversed(margins.items())))
    scale = float(truth.sum())
    np.testing.assert_allclose(
        other.table.reindex_like(seed), one.table, rtol=1e-6, atol=1e-7 * scale
    )


@few
@given(problems(), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_scale_of_margins_scales_and_scale_of_the_seed_does_not_matter(
    problem: tuple[FloatArray, FloatArray], size: float, unit: float
) -> None:
    seed, truth = (labelled(values) for values in problem)
    plain, scaled = rake(seed, ends(truth)), rake(unit * seed, ends(size * truth))
    np.testing.assert_allclose(scaled.table, size * plain.table, rtol=1e-7)


@few
@given(problems(), st.data())
def test_no_table_with_the_same_sums_is_nearer(
    problem: tuple[FloatArray, FloatArray], data: st.DataObject
) -> None:
    """Relative entropy rises with any step that keeps the sums, and to the table they are from."""
    seed, truth = problem
    table = rake(labelled(seed), ends(labelled(truth))).table.values
    least = divergence(table, seed)
    assert least <= divergence(truth, seed) * (1 + 1e-9) + 1e-9
    i, k = data.draw(st.permutations(range(seed.shape[0])))[:2]
    j, m = data.draw(st.permutations(range(seed.shape[1])))[:2]
    step = np.zeros_like(table)
    step[i, j] = step[k, m] = 1.0
    step[i, m] = step[k, j] = -1.0
    for size in (0.3 * table[step < 0].min(), -0.3 * table[step > 0].min()):
        assert divergence(table + size * step, seed) > least


@few
@given(problems(), st.floats(0.0, 1.0))
def test_the_seed_is_its_own_answer(problem: tuple[FloatArray, FloatArray], share: float) -> None:
    seed = labelled(problem[0])
    np.testing.assert_allclose(rake(seed, ends(seed)).table, seed, rtol=1e-12)
    # and a table already fitted does not move
    fitted = rake(seed, ends(share * seed + labelled(problem[1]))).table
    np.testing.assert_allclose(rake(fitted, ends(fitted)).table, fitted, rtol=1e-9)


@few
@given(st.data())
def test_three_margins_of_pairs(data: st.DataObject) -> None:
    shape = data.draw(shapes(3))
    dims = ("origin", "destination", "birthplace")
    seed, truth = (
        labelled(data.draw(hnp.arrays(np.float64, shape, elements=numbers)), dims) for _ in "ab"
    )
    pairs = (dims[:2], dims[1:], dims[::2])
    margins: Any = {pair: truth.sum([d for d in dims if d not in pair]) for pair in pairs}
    raked = rake(seed, margins)
    for pair, margin in margins.items():
        sums = raked.table.sum([d for d in dims if d not in pair])
        np.testing.assert_allclose(sums, margin, rtol=1e-9)
    logs = np.log(raked.table / seed).values
    third = np.diff(np.diff(np.diff(logs, axis=0), axis=1), axis=2)
    np.testing.assert_allclose(third, 0.0, atol=1e-8)


@few
@given(problems(), st.data())
def test_blocks_and_known_cells_are_met(
    problem: tuple[FloatArray, FloatArray], data: st.DataObject
) -> None:
    """With sums of a table that exists, and cells of it known, there is always an answer."""
    seed, truth = (labelled(values) for values in problem)
    ids = data.draw(hnp.arrays(np.int64, seed.shape, elements=st.integers(0, 3)))
    totals = xr.DataArray([truth.values[ids == k].sum() for k in (1, 2)], {"block": [1, 2]})
    which = data.draw(hnp.arrays(np.bool_, seed.shape))
    known = truth.where(which)
    labels = xr.DataArray(ids, seed.coords)
    raked = rake(seed, ends(truth), blocks=Blocks(labels, totals), known=known)
    np.testing.assert_array_equal(raked.table.values[which], truth.values[which])
    np.testing.assert_allclose(raked.table.sum("origin"), truth.sum("origin"), rtol=1e-8)
    np.testing.assert_allclose(raked.table.sum("destination"), truth.sum("destination"), rtol=1e-8)
    for block in (1, 2):
        inside = raked.table.values[ids == block].sum()
        np.testing.assert_allclose(inside, float(totals.sel(block=block)), rtol=1e-8)


@few
@given(hnp.arrays(np.float64, (4, 4), elements=numbers))
def test_quasi_independence_keeps_odds_ratios_off_the_diagonal(truth: FloatArray) -> None:
    table = labelled(truth)
    stay = xr.DataArray(np.diag(truth), {"origin": list("ABCD")})
    raked = rake_off_diagonal(xr.ones_like(table), ends(table), diagonal=stay).table.values
    np.testing.assert_allclose(np.diag(raked), np.diag(truth))
    np.testing.assert_allclose(raked.sum(axis=0), truth.sum(axis=0), rtol=1e-9)
    for i, j, k, m in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
        cross = raked[i, k] * raked[j, m] / (raked[i, m] * raked[j, k])
        np.testing.assert_allclose(cross, 1.0, rtol=1e-8)


# Components


@few
@given(st.data(), st.sampled_from(["total", "geometric"]), st.booleans())
def test_components_multiply_back(data: st.DataObject, coding: Any, diagonal: bool) -> None:  # noqa: ANN401
    n = data.draw(st.integers(2, 4))
    cells = numbers if coding == "geometric" else with_zeros
    values = data.draw(hnp.arrays(np.float64, (n, n, 3), elements=cells))
    table = labelled(values, ("origin", "destination", "age"))
    off = xr.DataArray(~np.eye(n, dtype=bool), dims=("origin", "destination"))
    whole = table if diagonal else table.where(off, 0.0)
    assume(float(whole.sum()) > 0.0)
    dims = data.draw(st.sampled_from([("origin", "destination"), ("origin", "destination", "age")]))
    assume((whole.sum(dims) > 0.0).all())
    parts = multiplicative_components(table, dims=dims, coding=coding, diagonal=diagonal)
    back = recompose(parts).transpose(*table.dims)
    np.testing.assert_allclose(back, whole, rtol=1e-9, atol=1e-12)


@few
@given(problems(), st.floats(0.01, 100.0))
def test_level_and_interaction_do_not_mix(
    problem: tuple[FloatArray, FloatArray], size: float
) -> None:
    table = labelled(problem[0])
    for coding in ("total", "geometric"):
        one, other = (
            multiplicative_components(t, coding=coding)  # type: ignore[arg-type]
            for t in (table, size * table)
        )
        np.testing.assert_allclose(other["overall"], size * one["overall"], rtol=1e-9)
        name = "origin_destination_component"
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9)


@few
@given(problems())
def test_raking_changes_no_interaction(problem: tuple[FloatArray, FloatArray]) -> None:
    """Geometric interaction is what raking keeps: the other components are all that is known."""
    seed, truth = (labelled(values) for values in problem)
    fit = conditional_maximisation(seed, ends(truth))
    name = "origin_destination_component"
    before, after = (
        multiplicative_components(t, coding="geometric")[name] for t in (seed, fit.table)
    )
    np.testing.assert_allclose(after, before, rtol=1e-7)
