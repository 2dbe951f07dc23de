"""A policy laid on all tables of a release together: what their readers can and cannot find out."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog
from support import tiny_posterior

from flowcast.errors import UsageError
from flowcast.estimates import estimate_tables, summarise
from flowcast.posterior import Posterior
from flowcast.publication import protect_tables
from flowcast.publication.disclosure import DisclosurePolicy
from flowcast.publication.protection import FIGURES

POLICY = DisclosurePolicy(minimum_cell=10)
ROUND = DisclosurePolicy(minimum_cell=10, method="round", base=25)
GROUPS = {"west": ["FR", "AT"], "rest": ["DE", "NA", "PL"]}


def posterior(seed: int) -> Posterior:
    """Return five places whose flows are from one to some thousands of persons."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(4.5, 2.0, (20, 2))
    return tiny_posterior(5, 2, flows=np.exp(centre + 0.3 * rng.standard_normal((2, 40, 20, 2))))


def tables_of(run: Posterior) -> list[pd.DataFrame]:
    return list(estimate_tables(run, probs=[0.8, 0.95], rows=10**9))


def means(tables: list[pd.DataFrame]) -> dict[tuple[str, str, str, str], float]:
    """Return the mean of each cell by measure, origin, destination ("" is everywhere), period."""
    out = {}
    for row in pd.concat(tables).fillna({"origin": "", "destination": ""}).itertuples():
        out[row.measure, row.origin, row.destination, row.period_start] = row.mean
    return out


def attack(
    published: dict[tuple[str, str, str, str], float],
) -> dict[tuple[str, str, str, str], tuple[float, float]]:
    """Return what can be said of each missing cell, from names and published means alone.

    Flows are the unknowns; a total that is published is an equation, and one that is not is bounded
    by what its flows may be.
    """
    flows = [cell for cell in published if cell[0] == "flow"]

    def weights(cell: tuple[str, str, str, str]) -> NDArray[np.float64]:
        measure, origin, destination, period = cell
        if measure == "flow":
            return np.array([1.0 * (one == cell) for one in flows])
        out, enter = {"net": (-1, 1), "immigration": (0, 1), "emigration": (1, 0)}[measure]
        place = origin or destination
        same = [one[3] == period for one in flows]
        leave = [one[1] == place for one in flows]
        into = [one[2] == place for one in flows]
        return np.array(same) * (out * np.array(leave) + enter * np.array(into))

    known = [cell for cell, value in published.items() if not np.isnan(value)]
    matrix = np.array([weights(cell) for cell in known])
    right = np.array([published[cell] for cell in known])
    found = {}
    for cell in published.keys() - set(known):
        ends = []
        for sign in (1.0, -1.0):
            done = linprog(sign * weights(cell), A_eq=matrix, b_eq=right)
            ends.append(sign * done.fun if done.status == 0 else -sign * np.inf)
        found[cell] = (ends[0], ends[1])
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_count_is_recovered_from_flows_totals_and_net_together(seed: int) -> None:
    tables = tables_of(posterior(seed))
    shown = protect_tables(tables, POLICY)
    truth, found = means(tables), attack(means(shown))
    small = {cell for cell, value in truth.items() if cell[0] != "net" and value < 10.0}
    assert small
    assert small <= set(found)
    for cell, (lower, upper) in found.items():
        assert upper - lower > 1e-3
        if cell in small:
            assert lower <= max(truth[cell] - 10.0, 0.0) + 1e-3
            assert upper >= truth[cell] + 10.0 - 1e-3
    assert len(found) < len(truth) / 2


def test_a_table_that_is_protected_alone_is_recovered_through_the_others() -> None:
    tables = tables_of(posterior(1))
    alone = [protect_tables(tables[:1], POLICY)[0], *tables[1:]]
    truth, found = means(tables), attack(means(alone))
    assert any(upper - lower < 1e-3 for lower, upper in found.values())
    assert all(
        lower - 1e-3 <= truth[cell] <= upper + 1e-3 for cell, (lower, upper) in found.items()
    )


def test_everything_of_a_suppressed_cell_is_left_out_and_no_row_says_why_it_was() -> None:
    tables = tables_of(posterior(2))
    for before, after in zip(tables, protect_tables(tables, POLICY), strict=True):
        hidden = after["disclosure"].notna()
        assert after.loc[hidden, list(FIGURES)].isna().all().all()
        assert set(after.loc[hidden, "disclosure"]) <= {"suppressed"}
        pd.testing.assert_frame_equal(
            after.loc[~hidden, before.columns].reset_index(drop=True),
            before[~hidden].reset_index(drop=True),
        )
        assert after.attrs == before.attrs


def test_a_small_median_is_protected_like_a_small_mean() -> None:
    draws = np.full((2, 40, 6, 1), 500.0)
    draws[:, :, 0, 0] = np.where(np.arange(40) < 5, 4000.0, 2.0)
    (flow, *_) = protect_tables(tables_of(tiny_posterior(3, 1, flows=draws)), POLICY)
    first = flow.set_index(["origin", "destination"]).loc[("AT", "DE")]
    assert first["mean"].isna().all()


def test_groups_are_sums_too() -> None:
    # One flow is small; the groups' totals less the other flows would tell it.
    flows = np.full((2, 40, 20, 2), 300.0)
    flows[:, :, 2] = 4.0
    run = tiny_posterior(5, 2, flows=flows * np.linspace(0.9, 1.1, 40)[:, None, None])
    measures = ("flow", "immigration", "emigration", "net")
    by = [summarise(run, measure=measure, by=GROUPS, probs=[0.95]) for measure in measures]
    tables = tables_of(run)
    shown = protect_tables([tables[0], *by], POLICY, GROUPS)
    assert shown[0]["disclosure"].notna().sum() > 2 * 2  # periods, probabilities
    # Relations are checked against the figures: other members do not add up.
    swapped = {"west": GROUPS["rest"], "rest": GROUPS["west"]}
    random = posterior(3)
    by = [summarise(random, measure=measure, by=GROUPS, probs=[0.95]) for measure in measures]
    assert len(protect_tables([*tables_of(random), *by], POLICY, GROUPS)) == 8
    with pytest.raises(UsageError, match="sums that add up"):
        protect_tables([*tables_of(random), *by], POLICY, swapped)


def test_rounded_means_add_up_and_hide_single_persons() -> None:
    tables = tables_of(posterior(1))
    shown = protect_tables(tables, ROUND)
    before, after = means(tables), means(shown)
    for measure, origin, destination, period in after:
        moved = abs(
            after[measure, origin, destination, period]
            - before[measure, origin, destination, period]
        )
        assert moved < (50.0 if measure == "net" else 25.0)
    for place in ("AT", "DE"):
        arrivals = sum(v for c, v in after.items() if c[0] == "flow" and c[2] == place)
        assert arrivals == sum(
            v for c, v in after.items() if c[0] == "immigration" and c[2] == place
        )
    for old, new in zip(tables, shown, strict=True):
        assert (new[list(FIGURES)] % 25.0 == 0.0).all().all()
        assert (new["lower"] <= old["lower"]).all()
        assert (new["upper"] >= old["upper"]).all()


def test_stocks_have_no_margins() -> None:
    run = tiny_posterior(3, 1, flows=np.linspace(1, 600, 6)[:, None], spec={"quantity": "stock"})
    (stock,) = protect_tables(tables_of(run), POLICY)
    small = stock.groupby(["origin", "destination"])["mean"].first().isna()
    assert small.sum() == 1


def test_tables_that_cannot_be_linked_are_refused() -> None:
    tables = tables_of(posterior(1))
    with pytest.raises(UsageError, match="no flows between places"):
        protect_tables(tables[1:], POLICY)
    broken = tables[1].copy()
    broken["mean"] = broken["mean"] * 1.1
    with pytest.raises(UsageError, match="sums that add up"):
        protect_tables([tables[0], broken], POLICY)
    shown = protect_tables(tables, POLICY)
    with pytest.raises(UsageError, match="whole tables"):
        protect_tables(shown, POLICY)
