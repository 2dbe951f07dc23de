"""The linear Gaussian core as arrays."""

from itertools import pairwise

import numpy as np
import pytest
from support import dense_design, varied_spec

from flowcast.model.compact import compact_product
from flowcast.model.problem import Problem, with_values
from flowcast.simulation import simulate_world


def problem(which: str = "plain", n_period: int = 3, *, graded: bool = True) -> Problem:
    return simulate_world(4, n_period, seed=3, spec=varied_spec(which), graded=graded).problem


@pytest.mark.parametrize("which", ["plain", "bare", "no_path"])
def test_the_compact_design_is_the_one_read_off_the_names(which: str) -> None:
    made = problem(which)
    n, every = made.coefficients.n, len(made.blocks.corridor)
    columns = [
        compact_product(made.compact, made.blocks.start, unit, 0, every) for unit in np.eye(n)
    ]
    np.testing.assert_allclose(np.column_stack(columns), dense_design(made), rtol=1e-14)
    starts = made.blocks.start
    for c, (lo, hi) in enumerate(pairwise(starts)):
        assert set(made.reports.corridor[lo:hi]) == {made.blocks.corridor[c]}
    assert len(set(made.blocks.corridor)) == len(made.blocks.corridor)


def test_prior_mean_is_the_design_times_the_prior_means() -> None:
    made = problem()
    wanted = dense_design(made) @ made.coefficients.mean
    np.testing.assert_allclose(made.prior_mean, wanted, rtol=1e-13)


def test_coefficients_of_every_group_in_order() -> None:
    made = problem()
    groups = list(dict.fromkeys(made.coefficients.group))
    assert groups == [
        "intercept", "covariate", "origin", "destination", "reporter", "reporter_period",
    ]  # fmt: skip
    names = made.coefficients.name[made.coefficients.group == "origin"]
    assert tuple(names) == made.grid.places


def test_a_unit_shares_one_weight_over_its_periods_but_not_with_its_level() -> None:
    coefficients = problem().coefficients
    by_unit: dict[int, list[str]] = {}
    for unit, name, group in zip(
        coefficients.unit, coefficients.name, coefficients.group, strict=True
    ):
        if unit >= 0:
            by_unit.setdefault(int(unit), []).append(f"{group} {name.split('@')[0]}")
    assert sorted(by_unit) == list(range(coefficients.n_unit))
    assert all(len(set(names)) == 1 for names in by_unit.values())
    assert len({names[0] for names in by_unit.values()}) == coefficients.n_unit
    assert max(len(names) for names in by_unit.values()) == 3


def test_one_period_drops_what_cannot_be_told_apart() -> None:
    one, several = problem(n_period=1), problem()
    for part in ("path", "series", "reporter_period"):
        assert not getattr(one.parts, part)
        assert getattr(several.parts, part)
    assert (one.group == -1).all()
    assert (several.group >= 0).all()
    assert "reporter_period" not in set(one.coefficients.group)


def test_labels_and_indices_lead_back_to_the_reports() -> None:
    for graded in (True, False):
        made = problem(graded=graded)
        noise = [*made.labels["noise_class"], *made.labels["noise_reporter"]]
        assert [noise[k] for k in made.noise_index] == made.reports.noise.tolist()
        shares = made.labels["share_class"]
        assert [shares[k] for k in made.share_index] == made.reports.share.tolist()
        assert [made.series[k] for k in made.group] == made.reports.series.tolist()
        assert bool(made.labels["noise_reporter"]) is not graded


def test_noise_weights_are_shared_within_corridor_and_series_only() -> None:
    made = problem()
    pairs = list(zip(made.reports.corridor, made.reports.series, strict=True))
    assert len(set(zip(pairs, made.scale_group, strict=True))) == len(set(pairs))
    assert made.n_scale_group == len(set(pairs))


def test_other_counts_leave_the_rest_alone() -> None:
    made = problem()
    fresh = with_values(made, np.ones(made.reports.n))
    assert fresh.reports.value.sum() == made.reports.n
    assert fresh.blocks is made.blocks
    assert made.reports.value.sum() != made.reports.n
