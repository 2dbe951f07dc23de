"""Folds that leak nothing, simple predictions by hand, and the scorecard put together."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from support import tiny_posterior

from flowcast.config import ModelSpec
from flowcast.errors import HeldOutError, InputError, UsageError
from flowcast.fanout import TasksError
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import GateResult, Posterior
from flowcast.validation import (
    DEFAULT_BASELINES,
    SCORECARD_COLUMNS,
    SENSITIVITY_COLUMNS,
    Scheme,
    alternatives,
    cross_validate,
    crossval,
    sensitivity,
    split_folds,
)
from flowcast.validation.baselines.simple import simple_draws
from flowcast.validation.fits import FitTask
from flowcast.validation.scorecard import score_reports
from flowcast.validation.splits import GROUPINGS, assign_folds

Install = Callable[[Callable[..., Posterior]], None]

PLACES = ("AT", "DE", "FR", "PL")
SPEC = ModelSpec(name="mine")


def report(
    origin: str, destination: str, year: int, reporter: str, value: float, **more: str
) -> dict[str, Any]:
    return {
        "source": "register", "family": "administrative", "measure": "flow", "origin": origin,
        "destination": destination, "year": year, "reporter": reporter, "value": value, **more,
    }  # fmt: skip


def both_sides(years: tuple[int, ...] = (2020, 2021)) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    cells = product(PLACES, PLACES, years, ("origin", "destination"))
    return [
        report(o, d, year, side, float(rng.poisson(100.0 + 50.0 * (side == "origin"))))
        for o, d, year, side in cells
        if o != d
    ]


def observed(rows: list[dict[str, Any]]) -> Observations:
    return observations_from_frame(pd.DataFrame(rows))


@pytest.fixture
def tangled() -> Observations:
    """Both sides of every pair; vintages, a second source, repeated figures and a total."""
    rows = both_sides()
    rows += [report("AT", "DE", 2020, "destination", 90.0, vintage="2023-01-01")]
    rows += [report("AT", "DE", 2020, "destination", 91.0, source="yearbook")]
    rows = [
        r for r in rows if (r["origin"], r["destination"], r["reporter"]) != ("FR", "PL", "origin")
    ]
    rows += [
        report("FR", "PL", year, "origin", 5.0, mirror_of="destination") for year in (2020, 2021)
    ]
    rows += [report(None, "DE", 2020, "destination", 700.0, measure="immigration")]
    return observed(rows)


# Folds


@pytest.mark.parametrize("scheme", GROUPINGS)
def test_every_report_is_held_out_once_and_never_in_its_own_fit(
    tangled: Observations, scheme: Scheme
) -> None:
    parts = list(split_folds(tangled, scheme=scheme, folds=3, seed=4))
    assert [part.name for part in parts] == ["1", "2", "3"]
    held = pd.concat([part.held_out.table for part in parts])
    always = int(scheme == "corridors")  # the total
    assert len(held) == tangled.n - always
    assert not held.duplicated().any()
    for part in parts:
        assert part.fit.n + part.held_out.n + sum(part.left_out.values()) == tangled.n
        assert (part.fit.role, part.held_out.role) == ("fit", "held_out")
        both = pd.concat([part.fit.table, part.held_out.table])
        if not part.left_out:
            pd.testing.assert_frame_equal(
                both.sort_values(list(both), ignore_index=True),
                tangled.table.sort_values(list(both), ignore_index=True),
            )


@pytest.mark.parametrize("scheme", GROUPINGS)
@pytest.mark.parametrize("seed", range(8))
def test_what_tells_a_held_out_figure_is_held_out_with_it(
    tangled: Observations, scheme: Scheme, seed: int
) -> None:
    table = tangled.table
    fold = assign_folds(tangled, scheme=scheme, folds=2, seed=seed)
    pair = table["origin"].fillna("") + table["destination"]
    vintages = (pair == "ATDE") & (table["reporter"] == "destination")
    for year in (2020, 2021):
        of_year = table["period_start"].dt.year == year
        assert len(set(fold[(vintages & of_year).to_numpy()])) == 1
        assert len(set(fold[((pair == "FRPL") & of_year).to_numpy()])) == 1


def test_a_held_out_reporter_says_nothing_in_the_fit(tangled: Observations) -> None:
    for _, fit, held_out, *_ in split_folds(tangled, scheme="reporters", folds=4):
        told = [who_told(part.table) for part in (fit, held_out)]
        assert not told[0] & told[1]
        assert len(told[1]) == 1


def who_told(table: pd.DataFrame) -> set[str]:
    side = table["mirror_of"].fillna(table["reporter"])
    return set(table["origin"].where(side == "origin", table["destination"]))


def test_a_held_out_corridor_has_no_report_in_the_fit(tangled: Observations) -> None:
    for _, fit, held_out, *_ in split_folds(tangled, scheme="corridors", folds=5):
        pairs = [
            set(zip(t["origin"], t["destination"], strict=True))
            for t in (fit.table, held_out.table)
        ]
        assert not pairs[0] & pairs[1]
        assert held_out.table["origin"].notna().all()


@pytest.mark.parametrize("scheme", GROUPINGS)
def test_folds_depend_on_the_seed_and_are_of_even_size(
    tangled: Observations, scheme: Scheme
) -> None:
    one, again, other = (
        assign_folds(tangled, scheme=scheme, folds=2, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    groups = pd.Series(GROUPINGS[scheme](tangled)).groupby(one).nunique().drop(-1, errors="ignore")
    assert groups.max() - groups.min() <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheme": "reporter"}, "did you mean reporters?"),
        ({"scheme": "reporters", "folds": 5}, "allowed: 2 to 4, the number of reporters"),
        ({"folds": 1}, "found 1; allowed: 2 to"),
    ],
)
def test_folds_that_cannot_be_are_refused(
    tangled: Observations, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        list(split_folds(tangled, **options))


def test_held_out_observations_are_not_divided_again(tangled: Observations) -> None:
    held_out = replace(tangled, role="held_out")
    with pytest.raises(HeldOutError):
        list(split_folds(held_out))


# The baseline


def draws_for(fit: list[dict[str, Any]], held_out: dict[str, Any]) -> NDArray[np.float64]:
    return simple_draws(observed(fit).table, observed([held_out]).table)[:, 0]


def log_mean(*values: float) -> float:
    return float(np.mean(np.log(np.array(values) + 0.5)))


def test_the_same_side_in_other_years_comes_first() -> None:
    fit = [report("AT", "DE", 2000 + k, "destination", (80.0, 120.0)[k % 2]) for k in range(24)]
    fit.append(report("AT", "DE", 2024, "origin", 9000.0))
    draws = draws_for(fit, report("AT", "DE", 2024, "destination", 1.0))
    assert np.log(draws + 0.5).mean() == pytest.approx(log_mean(80.0, 120.0), abs=1e-2)
    assert draws.min() == pytest.approx(80.0, abs=2.0)
    assert draws.max() == pytest.approx(120.0, abs=3.0)


def test_the_other_side_comes_next_at_the_usual_ratio_of_the_sides() -> None:
    fit = [
        report(o, d, 2020, side, 100.0 * (1 + (side == "origin")))
        for o, d in (("AT", "DE"), ("DE", "FR"), ("FR", "AT"))
        for side in ("origin", "destination")
    ]
    fit.append(report("DE", "PL", 2020, "origin", 2000.0))
    draws = draws_for(fit, report("DE", "PL", 2020, "destination", 1.0))
    usual = log_mean(100.0) - log_mean(200.0, 200.0, 200.0, 2000.0)
    assert np.log(np.median(draws) + 0.5) == pytest.approx(log_mean(2000.0) + usual, abs=0.4)


def test_what_origin_and_destination_usually_have_comes_last() -> None:
    fit = [
        report("AT", "DE", 2020, "destination", 1000.0),
        report("AT", "FR", 2020, "destination", 100.0),
        report("PL", "DE", 2020, "destination", 100.0),
    ]
    draws = draws_for(fit, report("PL", "FR", 2020, "destination", 1.0))
    assert np.isfinite(draws).all()
    assert np.median(draws) < 60.0  # both usually have less than the mean of all


def test_the_baseline_looks_at_no_held_out_value_and_at_no_repeated_figure(
    tangled: Observations,
) -> None:
    _, fit, held_out, *_ = next(split_folds(tangled, folds=3))
    before = simple_draws(fit.table, held_out.table)
    changed = held_out.table.assign(value=1e6)
    np.testing.assert_array_equal(before, simple_draws(fit.table, changed))
    repeated = fit.table.assign(value=fit.table["value"].where(fit.table["mirror_of"].isna(), 1e6))
    np.testing.assert_array_equal(before, simple_draws(repeated, held_out.table))
    flows = (held_out.table["measure"] == "flow").to_numpy()
    assert (before[:, flows] >= 0.0).all()


def test_a_side_that_no_fitted_report_is_of_is_predicted_from_the_other() -> None:
    fit = [row for row in both_sides() if row["reporter"] == "destination"]
    draws = draws_for(fit, report("AT", "DE", 2020, "origin", 1.0))
    (mirror,) = (
        r["value"] for r in fit if (r["origin"], r["destination"], r["year"]) == ("AT", "DE", 2020)
    )
    assert np.median(draws) == pytest.approx(mirror, rel=0.3)


def test_net_migration_has_no_simple_prediction() -> None:
    net = report("AT", "DE", 2020, "destination", -5.0, measure="net")
    assert np.isnan(draws_for(both_sides(), net)).all()


def test_simple_predictions_are_about_calibrated_where_reports_are_like_each_other() -> None:
    observations = observed(both_sides(tuple(range(2000, 2010))))
    _, fit, held_out, *_ = next(split_folds(observations, folds=4, seed=2))
    draws = simple_draws(fit.table, held_out.table)
    scores = score_reports(draws, held_out.table["value"].to_numpy(), 1)
    assert 0.65 < scores["coverage_80"].mean() < 0.92
    assert scores["mae_log"].mean() < 0.12  # Poisson around 100 and 150


# The scorecard


def fake_fit(task: FitTask, *, passed: bool = True) -> Posterior:
    years = task.observations.table["period_start"].dt.year
    periods = int(years.max() - years.min()) + 1
    posterior = tiny_posterior(PLACES, periods, first_year=int(years.min()), passed=passed)
    return replace(posterior, info={**posterior.info, "method": "nuts"})


def fake_draws(
    posterior: Posterior, observations: Observations, *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Predict every report but repeated ones, with draws around the value."""
    table = observations.table
    row = np.flatnonzero(table["mirror_of"].isna())
    value = table["value"].to_numpy()[row]
    return row, np.random.default_rng(seed).poisson(value, (50, len(row))).astype(float)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(fit: Callable[..., Posterior] = fake_fit) -> None:
        monkeypatch.setattr(crossval, "fit", fit)
        monkeypatch.setattr(crossval, "draw_reports", fake_draws)

    install()
    return install


def value_of(
    scorecard: pd.DataFrame,
    fold: str,
    indicator: str,
    metric: str,
    of: str = "value",
    against: str | None = None,
) -> float:
    row = scorecard.query("fold == @fold and indicator == @indicator and metric == @metric")
    row = row[row["against"].isna() if against is None else row["against"] == against]
    assert len(row) == 1, (fold, indicator, metric, against)
    return float(row[of].iloc[0])


def test_the_scorecard_has_the_columns_promised_and_every_fold(faked: Install) -> None:
    scorecard = cross_validate(SPEC, observed(both_sides()), folds=3, workers=0)
    assert tuple(scorecard) == SCORECARD_COLUMNS
    assert set(scorecard["fold"]) == {"1", "2", "3", "all"}
    assert set(scorecard["scheme"]) == {"random"}
    assert not scorecard.duplicated(["fold", "indicator", "metric", "against"]).any()
    assert set(scorecard["against"].dropna()) == set(DEFAULT_BASELINES)
    assert scorecard["apart"].dtype == bool
    for column in ("value", "baseline", "difference", "se", "se_folds"):
        assert scorecard[column].dtype == np.float64
    alone = scorecard["against"].isna()
    assert scorecard.loc[alone, "baseline"].isna().all()
    assert scorecard["value"].notna().all()
    assert value_of(scorecard, "all", "fit", "gate_passed") == 1.0
    assert value_of(scorecard, "2", "fit", "method_nuts") == 1.0
    assert value_of(scorecard, "2", "fit", "max_rhat") > 0.0
    assert scorecard.attrs == {"model": "mine", "notes": []}


def test_all_folds_together_are_scored_report_by_report(faked: Install) -> None:
    """Not fold by fold: folds may differ in size."""
    scorecard = cross_validate(SPEC, observed(both_sides()), folds=5, workers=0)
    n = {fold: value_of(scorecard, fold, "reports", "n") for fold in "12345"}
    assert sum(n.values()) == value_of(scorecard, "all", "reports", "n") == 48
    assert len(set(n.values())) > 1
    for of in ("value", "baseline"):
        parts = [value_of(scorecard, k, "reports", "crps", of, "simple") * n[k] for k in n]
        mean = value_of(scorecard, "all", "reports", "crps", of, "simple")
        assert mean == pytest.approx(sum(parts) / 48)
    both = [
        value_of(scorecard, "all", f"reports_by_{side}", "n") for side in ("origin", "destination")
    ]
    assert both == [24.0, 24.0]


def test_a_prediction_around_the_value_beats_the_baseline(faked: Install) -> None:
    scorecard = cross_validate(SPEC, observed(both_sides()), folds=2, workers=0)
    for metric in ("mae_log", "crps", "crps_log", "interval_score_95"):
        value, baseline = (
            value_of(scorecard, "all", "reports", metric, of, "simple")
            for of in ("value", "baseline")
        )
        assert value < baseline, metric


def test_reports_without_a_prediction_are_counted_not_hidden(
    faked: Install, tangled: Observations
) -> None:
    scorecard = cross_validate(SPEC, tangled, folds=2, workers=0)
    predicted, missing = (
        value_of(scorecard, "all", "reports", metric) for metric in ("n", "n_not_predicted")
    )
    assert missing == 3.0  # the total, and two repeated figures
    assert predicted + missing == tangled.n


def test_a_year_that_no_fitted_report_is_of_cannot_be_predicted(faked: Install) -> None:
    rows = [*both_sides((2020,)), report("AT", "DE", 2021, "origin", 7.0)]
    scorecard = cross_validate(SPEC, observed(rows), folds=2, workers=0)
    assert value_of(scorecard, "all", "reports", "n_not_predicted") == 1.0


def test_the_baseline_is_missing_where_it_lacks_a_report(faked: Install) -> None:
    draws = np.column_stack([np.arange(50.0), np.full(50, np.nan)])
    scores = score_reports(draws, np.array([20.0, 3.0]), 1)
    assert scores.notna().all(axis=1).tolist() == [True, False]


def test_what_was_left_out_for_leaking_is_told(faked: Install) -> None:
    rows = [*both_sides(), report(None, "DE", 2020, "destination", 700.0, measure="immigration")]
    scorecard = cross_validate(SPEC, observed(rows), scheme="corridors", folds=2, workers=0)
    # Both halves of the corridors have some into Germany, which its total adds up.
    assert scorecard.attrs["notes"] == [
        f"fold {k} left out reports that tell held-out ones: 1 total" for k in (1, 2)
    ]
    assert value_of(scorecard, "all", "reports", "n_left_out") == 2.0


def test_fits_that_did_not_converge_are_named(faked: Install) -> None:
    faked(lambda task: fake_fit(task, passed=False))
    scorecard = cross_validate(SPEC, observed(both_sides()), folds=2, workers=0)
    assert value_of(scorecard, "all", "fit", "gate_passed") == 0.0
    assert [note.split(" (")[0] for note in scorecard.attrs["notes"]] == [
        f"the fit of fold {k} did not pass the convergence gate" for k in (1, 2)
    ]


def test_every_fold_has_seeds_of_its_own_and_the_seed_decides_them(faked: Install) -> None:
    seen: list[str] = []

    def remember(task: FitTask) -> Posterior:
        seen.append(task.model.split("seed:")[1].split()[0])
        return fake_fit(task)

    faked(remember)
    for seed in (1, 1, 2):
        cross_validate(SPEC, observed(both_sides()), folds=3, seed=seed, workers=0)
    assert seen[:3] == seen[3:6]
    assert len(set(seen)) == 6


def test_finished_folds_are_not_fitted_again(faked: Install, tmp_path: Path) -> None:
    fitted = []

    def count(task: FitTask) -> Posterior:
        fitted.append(task)
        return fake_fit(task)

    faked(count)
    cards = [
        cross_validate(SPEC, observed(both_sides()), folds=3, workers=0, folder=tmp_path)
        for _ in range(2)
    ]
    assert len(fitted) == 3
    pd.testing.assert_frame_equal(*cards)


def test_bad_input_is_refused_before_anything_is_fitted(faked: Install) -> None:
    faked(lambda task: pytest.fail("fitted"))
    with pytest.raises(InputError, match="draws"):
        cross_validate(SPEC, observed(both_sides()), overrides={"sampler.darws": 3}, workers=0)
    with pytest.raises(HeldOutError):
        cross_validate(SPEC, replace(observed(both_sides()), role="held_out"), workers=0)


# Sensitivity


def test_alternatives_are_compared_with_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(task: FitTask) -> Posterior:
        posterior = tiny_posterior(PLACES, 1)
        tree = posterior.tree.copy()
        higher = 0.0 if "half_normal:\n    - 9.0" not in task.model else 0.5
        tree["latent"]["log_flow"] = tree["latent"]["log_flow"] + higher
        gate = GateResult(higher == 0.0, () if higher == 0.0 else ("R-hat",))
        return replace(
            posterior, tree=tree, gate=gate, info={**posterior.info, "method": "laplace"}
        )

    monkeypatch.setattr(alternatives, "fit", fit)
    wide = {"process.sd_corridor": {"half_normal": 9.0}}
    table = sensitivity(SPEC, {"wide": wide}, observed(both_sides()), workers=0)
    assert tuple(table) == SENSITIVITY_COLUMNS
    base, other = (table[table["alternative"] == name] for name in ("base", "wide"))
    assert len(base) == len(other) == 3 * len(PLACES)
    assert (base["shift"] == 0.0).all()
    assert base["gate_passed"].all()
    gross = other[other["measure"] != "net"]
    np.testing.assert_allclose(gross["median"] / gross["base_median"], np.exp(0.5))
    assert (gross["shift"] > 0.0).all()
    np.testing.assert_allclose(gross["sd_ratio"], np.exp(0.5))
    assert not other["gate_passed"].any()


def test_alternatives_that_cannot_be_are_all_told_before_anything_is_fitted() -> None:
    wrong = {"a": {"sampler.darws": 1}, "b": {"tails.reports": -1}, "c": {"sampler.draws": 20}}
    with pytest.raises(TasksError) as caught:
        sensitivity(SPEC, wrong, observed(both_sides()), workers=0)
    assert set(caught.value.failures) == {"a", "b"}


@pytest.mark.parametrize("names", [[], ["base", "other"]])
def test_the_base_is_no_alternative_and_there_is_at_least_one(names: list[str]) -> None:
    with pytest.raises(UsageError, match="alternatives"):
        sensitivity(SPEC, {name: {} for name in names}, observed(both_sides()), workers=0)
