"""Disclosure control on arrays: what is left out suffices, as attacks on it find."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from flowcast.errors import FlowcastError, InputError, UsageError
from flowcast.publication.disclosure import (
    DisclosurePolicy,
    LinkedCells,
    audit_rounding,
    audit_table,
    find_exposed,
    is_sensitive,
    link_cells,
    link_margins,
    read_policy,
    round_controlled,
    suppress_cells,
)

POLICY = DisclosurePolicy(minimum_cell=10)


def random_table(seed: int) -> LinkedCells:
    """Return a skewed table of whole persons, some of them with a diagonal or with periods."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 7, size=2))
    if seed % 5 == 0:
        shape = (2, *np.minimum(shape, 4))
    values = np.round(np.exp(rng.normal(4.0, rng.uniform(1.0, 2.5), shape)))
    if seed % 2 and shape[-1] == shape[-2]:
        values[..., np.arange(shape[-1]), np.arange(shape[-1])] = np.nan
    return link_margins(values)


def attack(cells: LinkedCells, suppressed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Attack with what is published alone: the unknown cells solve `A x = b`, shape (2, cell)."""
    published = np.where(suppressed, 0.0, cells.values)
    matrix = cells.relations.toarray()
    known = -matrix @ published
    unknown = np.flatnonzero(suppressed)
    bounds = [(None if np.isinf(low) else low, None) for low in cells.lower[unknown]]
    found = np.stack([cells.values, cells.values])
    for k, at in enumerate(unknown):
        for row, sign in enumerate((1.0, -1.0)):
            cost = sign * np.eye(len(unknown))[k]
            done = linprog(cost, A_eq=matrix[:, unknown], b_eq=known, bounds=bounds)
            found[row, at] = done.x[k] if done.status == 0 else -sign * np.inf
    return found


def assert_not_recoverable(seed: int) -> None:
    cells = random_table(seed)
    found = suppress_cells(cells, POLICY)
    lower, upper = attack(cells, found.suppressed)
    value = cells.values
    slack = 1e-5
    assert (lower[found.primary] <= np.maximum(value - 10.0, 0.0)[found.primary] + slack).all()
    assert (upper[found.primary] >= (value + 10.0)[found.primary] - slack).all()
    assert (upper - lower > slack)[found.suppressed].all()
    assert not (found.primary & found.secondary).any()
    assert not found.suppressed[cells.known].any()


@pytest.mark.parametrize("seed", range(15))
def test_no_suppressed_cell_can_be_recovered_within_its_protection(seed: int) -> None:
    assert_not_recoverable(seed)


@pytest.mark.slow
@pytest.mark.parametrize("decade", range(20))
def test_none_of_two_hundred_tables_can_be_attacked(decade: int) -> None:
    for seed in range(1000 + 10 * decade, 1010 + 10 * decade):
        assert_not_recoverable(seed)


@pytest.mark.parametrize("seed", range(8))
def test_without_secondary_suppression_the_attack_finds_cells(seed: int) -> None:
    cells = random_table(seed)
    found = suppress_cells(cells, POLICY)
    exposed = {k for k, _ in find_exposed(cells, found.primary, found.primary, POLICY.protection)}
    lower, upper = attack(cells, found.primary)
    value = cells.values
    open_to_attack = found.primary & (
        (lower > np.maximum(value - 10.0, 0.0) + 1e-4) | (upper < value + 10.0 - 1e-4)
    )
    assert exposed == set(np.flatnonzero(open_to_attack))
    assert bool(exposed) == bool(found.secondary.any())
    audit = audit_table(cells, found.primary)
    np.testing.assert_allclose(audit.lower, lower, atol=1e-6)
    np.testing.assert_allclose(audit.upper, upper, atol=1e-6)


def least_cost(
    cells: LinkedCells, primary: NDArray[np.bool_], weight: NDArray[np.float64]
) -> float:
    """Return the least cost of secondary suppression: the whole problem as one integer programme.

    Beside a 0-1 variable a cell there is, for each sensitive cell and end of its protection, a
    table of deviations, which are zero where a cell is published.
    """
    n_cell, most = len(cells.values), 1e3
    ends = [
        (k, n) for k in np.flatnonzero(primary) for n in (-min(10.0, cells.values[k]), 10.0) if n
    ]
    copies, eye = sp.eye_array(len(ends)), sp.eye_array(n_cell)
    down = np.maximum(cells.lower - cells.values, -most)
    each = np.ones((len(ends), 1))
    lower, upper = np.tile(down, len(ends)), np.full(n_cell * len(ends), most)
    for t, (k, need) in enumerate(ends):
        lower[t * n_cell + k] = upper[t * n_cell + k] = need
    zero = np.zeros(n_cell)
    relations = sp.hstack([sp.csr_array((len(ends) * cells.relations.shape[0], n_cell)),
                           sp.kron(copies, cells.relations)])  # fmt: skip
    above = sp.hstack([sp.kron(each, -most * eye), sp.kron(copies, eye)])
    below = sp.hstack([sp.kron(each, -sp.diags_array(down)), sp.kron(copies, eye)])
    done = milp(
        np.concatenate([weight * ~primary, 0.0 * lower]),
        integrality=np.concatenate([zero + 1.0, 0.0 * lower]),
        bounds=Bounds(np.concatenate([primary, lower]), np.concatenate([zero + 1.0, upper])),
        constraints=[
            LinearConstraint(relations, 0.0, 0.0),
            LinearConstraint(above, -np.inf, 0.0),
            LinearConstraint(below, 0.0, np.inf),
        ],
    )
    assert done.status == 0
    return float(done.fun)


def test_the_heuristic_leaves_out_little_more_than_the_least() -> None:
    found, least = [], []
    for seed in range(62, 68):
        values = np.round(np.exp(np.random.default_rng(seed).normal(4.0, 1.6, (4, 4))))
        cells = link_margins(values)
        weight = 1.0 + np.log1p(cells.values)
        out = suppress_cells(cells, POLICY)
        found.append(float(weight[out.secondary].sum()))
        least.append(least_cost(cells, out.primary, weight))
    assert (np.array(found) >= np.array(least) - 1e-6).all()
    assert sum(least) > 0
    assert sum(found) <= 1.25 * sum(least)


def test_a_difference_is_no_count_but_gives_counts_away() -> None:
    # immigration - emigration = net, all three published; emigration is sensitive
    cells = link_cells([40.0, 3.0, 37.0], [[1.0, -1.0, -1.0]], lower=[0.0, 0.0, -np.inf])
    assert is_sensitive(cells, POLICY).tolist() == [False, True, False]
    assert suppress_cells(cells, POLICY).suppressed.sum() == 2
    near_zero = link_cells([4e3, 3997.0, 3.0], [[1.0, -1.0, -1.0]], lower=[0.0, 0.0, -np.inf])
    assert not suppress_cells(near_zero, POLICY).suppressed.any()


def test_cells_that_nothing_ties_are_left_out_alone() -> None:
    cells = link_cells([3.0, 50.0, 0.0], sp.csr_array((0, 3)))
    assert suppress_cells(cells, POLICY).suppressed.tolist() == [True, False, True]
    assert len(list(cells.parts())) == 3


def test_what_everybody_knows_can_hide_nothing() -> None:
    row = [[1.0, 1.0, -1.0]]
    cells = link_cells([3.0, 0.0, 3.0], row, known=[False, True, False])
    assert suppress_cells(cells, POLICY).suppressed.tolist() == [True, False, True]
    alone = link_cells([3.0, 0.0, 3.0], row, known=[False, True, True])
    with pytest.raises(FlowcastError, match="whatever is left out"):
        suppress_cells(alone, POLICY)


def test_periods_without_a_common_total_are_worked_on_apart() -> None:
    one = link_margins([[3.0, 40.0, 9.0], [50.0, 60.0, 8.0], [7.0, 800.0, 70.0]])
    both = link_cells(
        np.tile(one.values, 2), sp.block_diag([one.relations, one.relations], format="csr")
    )
    whole = suppress_cells(both, POLICY).suppressed.reshape(2, -1)
    assert len(list(both.parts())) == 2
    assert (whole == suppress_cells(one, POLICY).suppressed).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": [1.0, 2.0, 4.0]}, "sums that add up"),
        ({"values": [-1.0, 4.0, 3.0]}, "below its least"),
        ({"relations": [[1.0, -1.0]]}, "one for each"),
        ({"known": [True]}, "different shapes"),
    ],
)
def test_cells_that_cannot_be_are_refused(changes: dict[str, list[float]], said: str) -> None:
    good = {"values": [1.0, 2.0, 3.0], "relations": [[1.0, 1.0, -1.0]]}
    with pytest.raises(UsageError, match=said):
        link_cells(**(good | changes))


def test_rounding_hides_each_cell_between_its_neighbouring_multiples() -> None:
    cells = link_margins([[3.0, 11.0, 8.0], [24.0, 5.0, 2.0]])
    inner = cells.values.reshape(3, 4)[:2, :3].ravel()
    rows, columns = np.kron(np.eye(2), np.ones(3)), np.kron(np.ones(2), np.eye(3))
    rounded = round_controlled(inner, np.vstack([rows, columns, np.ones(6)]), base=20.0)
    published = link_margins(rounded.reshape(2, 3)).values
    assert (np.abs(published - cells.values) < 20.0).all()
    found = audit_rounding(cells, published, np.full(12, 20.0))
    np.testing.assert_allclose(found.lower, np.maximum(published - 20.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(found.upper, published + 20.0, atol=1e-6)
    small = is_sensitive(cells, POLICY)
    assert found.covers(np.maximum(cells.values - 10.0, 0.0), cells.values + 10.0)[small].all()


def test_a_policy_is_read_and_all_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("name: office\nminimum_cell: 5\nprotect_above: 3\n")
    policy = read_policy(path)
    assert (policy.name, policy.method, policy.protection) == ("office", "suppress", (5.0, 3.0))
    path.write_text("minimum_cel: 5\nprotect_above: -3\nmethod: hide\n")
    with pytest.raises(InputError) as caught:
        read_policy(path)
    faults = {fault.column: fault for fault in caught.value.faults}
    assert set(faults) == {"minimum_cel", "minimum_cell", "protect_above", "method"}
    assert faults["minimum_cel"].hint == "minimum_cell"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "round"}, "the base is none"),
        ({"method": "round", "base": 15}, "= 20"),
        ({"base": 25}, "only with method: round"),
    ],
)
def test_a_base_that_promises_too_little_is_refused(
    settings: dict[str, object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "policy.yaml"
    lines = {"minimum_cell": 10, **settings}
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    with pytest.raises(InputError, match=said):
        read_policy(path)


def test_sums_that_no_rounding_keeps_are_refused() -> None:
    # Three cells of which each two have a total: an odd cycle, not a two-way table.
    pairs = [[1, 1, 0], [0, 1, 1], [1, 0, 1]]
    with pytest.raises(UsageError, match="rows and of columns"):
        round_controlled([5.0, 5.0, 5.0], pairs, base=10.0)
    with pytest.raises(UsageError, match="more than 0"):
        round_controlled([5.0], [[1]], base=0.0)
