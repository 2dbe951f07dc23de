"""Models compared on the same withheld reports, and mixtures judged where they were not made."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from support import tiny_posterior

from flowcast.config import ModelSpec
from flowcast.errors import UsageError
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import GateResult, Posterior
from flowcast.validation import ModelComparison, compare_models, models
from flowcast.validation.comparison import KEY, LEVELS, FoldPrediction, judge_predictions
from flowcast.validation.fits import FitTask
from flowcast.validation.scorecard import clustered_se
from flowcast.validation.stacking import mixture_log_score, stack_by_log_score

SPEC = ModelSpec(name="mine")
PLACES = ("AT", "DE", "FR", "PL")
CORRIDORS = 40


def prediction(
    mean: NDArray[np.float64],
    sd: float,
    value: NDArray[np.float64],
    *,
    fold: int = 0,
    row: NDArray[np.int64] | None = None,
    failures: tuple[str, ...] = (),
) -> FoldPrediction:
    """Return the prediction of reports whose logs are normal around `mean`."""
    row = np.arange(len(value)) if row is None else row
    normal = stats.norm(mean[row], sd)
    density = normal.logpdf(np.log(value[row] + 0.5)) - np.log(value[row] + 0.5)
    quantiles = np.exp(normal.ppf(LEVELS[:, None]))
    corridor = [f"A{k % CORRIDORS} to B" for k in row]
    about = pd.DataFrame(
        {"value": value[row], "corridor": corridor, "series": corridor, "year": 2000 + fold}
    )
    about[KEY] = np.column_stack([np.full((len(row), 5), f"{fold}"), row])[:, :6]
    return FoldPrediction(row, about, density, quantiles.astype(np.float32), failures)


def world(n_fold: int = 4, n: int = 60) -> dict[str, dict[str, FoldPrediction]]:
    """Return folds in which `good` is right, `wide` is right and unsure, and `off` is far off."""
    rng = np.random.default_rng(5)
    folds = {}
    for k in range(n_fold):
        mean = rng.uniform(2.0, 8.0, n)
        value = np.round(np.exp(mean + 0.4 * rng.standard_normal(n)))
        folds[str(k)] = {
            "wide": prediction(mean, 1.5, value, fold=k),
            "good": prediction(mean, 0.4, value, fold=k),
            "off": prediction(mean + 1.5, 0.4, value, fold=k),
        }
    return folds


@pytest.fixture(scope="module")
def judged() -> ModelComparison:
    return judge_predictions(world())


def scores_of(judged: ModelComparison, metric: str) -> pd.DataFrame:
    return judged.scores[judged.scores["metric"] == metric].set_index("predictor")


@pytest.mark.parametrize("metric", ["log_score", "crps_log", "crps"])
def test_the_model_that_is_right_is_best_and_others_are_measured_against_it(
    judged: ModelComparison, metric: str
) -> None:
    found = scores_of(judged, metric)
    assert set(found["best"]) == {"good"}
    assert set(found["n"]) == {240}
    assert found.loc["good", ["difference", "se"]].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(found["difference"], found["value"] - found.loc["good", "value"])
    others = found.loc[["wide", "off"]]
    assert (others["difference"] > 2.0 * others["se"]).all()
    assert set(found.index) == {
        "wide", "good", "off", "equal weights", "stacked by log_score", "stacked by crps_log",
    }  # fmt: skip


def test_standard_errors_are_paired_and_clustered(judged: ModelComparison) -> None:
    reports = judged.reports.pivot_table(
        index=["fold", "corridor", "value"], columns="model", values="crps_log"
    ).reset_index()
    assert len(reports) == 240
    gap = (reports["off"] - reports["good"]).to_numpy()[:, None]
    row = scores_of(judged, "crps_log").loc["off"]
    assert row["difference"] == pytest.approx(gap.mean())
    for by, column in (("corridor", "se"), ("fold", "se_folds")):
        cluster = pd.factorize(reports[by])[0]
        assert row[column] == pytest.approx(clustered_se(gap, cluster)[0])


def test_weight_goes_to_what_is_right(judged: ModelComparison) -> None:
    mixture = judged.mixture()
    assert mixture["good"] > 0.8
    assert sum(mixture.values()) == pytest.approx(1.0)
    weights = judged.weights.set_index(["by", "model"])
    assert (weights["lower"] <= weights["weight"] + 1e-9).all()
    assert (weights["weight"] <= weights["upper"] + 1e-9).all()
    assert (weights["least"] <= weights["most"]).all()
    assert judged.weights.groupby("by")["weight"].sum().to_numpy() == pytest.approx([1.0, 1.0])
    with pytest.raises(UsageError, match="crps_log"):
        judged.mixture("crps_logs")  # type: ignore[arg-type]


def test_a_mixture_is_judged_with_weights_from_the_other_folds() -> None:
    """Where the right model changes from fold to fold, weights from elsewhere are no help."""
    rng = np.random.default_rng(6)
    folds = {}
    for k in range(2):
        mean, n = np.full(50, 5.0), 50
        value = np.round(np.exp(mean + 0.3 * rng.standard_normal(n)))
        ways = [prediction(mean, 0.3, value, fold=k), prediction(mean + 2.0, 0.3, value, fold=k)]
        folds[str(k)] = dict(zip(("a", "b"), ways if k == 0 else ways[::-1], strict=True))
    judged = judge_predictions(folds)
    scores = scores_of(judged, "log_score")
    told = np.concatenate(
        [np.stack([one[m].log_probability for m in "ab"], axis=1) for one in folds.values()]
    )
    inside = stack_by_log_score(told)(np.ones(100))
    optimistic = mixture_log_score(told, inside).mean()
    honest = [
        mixture_log_score(told[part], stack_by_log_score(told)(1.0 - own)).mean()
        for part, own in (
            (slice(0, 50), np.arange(100) < 50),
            (slice(50, 100), np.arange(100) >= 50),
        )
    ]
    assert scores.loc["stacked by log_score", "value"] == pytest.approx(np.mean(honest))
    assert scores.loc["stacked by log_score", "value"] > optimistic + 1.0


def test_a_report_of_several_folds_is_in_no_weights_it_is_judged_with() -> None:
    first = world(1)["0"]
    # The same reports again, as of a later origin: nothing is left to find weights from.
    judged = judge_predictions({"to 2001": first, "to 2002": first})
    scores = scores_of(judged, "log_score")["value"]
    assert scores["stacked by log_score"] == pytest.approx(scores["equal weights"])


def test_one_fold_says_that_its_mixture_cannot_be_judged() -> None:
    judged = judge_predictions(world(1))
    assert "stacked by log_score" not in set(judged.scores["predictor"])
    assert any("cannot be judged" in note for note in judged.notes)
    assert set(judged.weights["by"]) == {"log_score", "crps_log"}


def test_only_reports_that_all_predict_are_compared() -> None:
    folds = world(2)
    fold = folds["0"]
    value = fold["good"].reports["value"].to_numpy()
    mean = np.log(value + 0.5)
    fold["off"] = prediction(mean + 1.5, 0.4, value, row=np.arange(5, 60), failures=("R-hat 1.2",))
    judged = judge_predictions(folds)
    assert set(judged.scores["n"]) == {115}
    assert judged.notes[:3] == (
        "fold 0: 5 reports predicted by wide and not by all",
        "fold 0: 5 reports predicted by good and not by all",
        "the fit of off, fold 0, did not pass the gate (R-hat 1.2)",
    )
    fold["off"] = prediction(mean, 0.4, value, row=np.zeros(0, dtype=np.int64))
    with pytest.raises(UsageError, match="no report that all predict"):
        judge_predictions({"0": fold})


# Fitting them


def both_sides() -> Observations:
    rows = [
        {
            "source": "register", "family": "administrative", "measure": "flow", "origin": o,
            "destination": d, "year": year, "reporter": side, "value": 100.0 + 7 * len(o + side),
        }
        for o in PLACES for d in PLACES if o != d
        for year in (2020, 2021) for side in ("origin", "destination")
    ]  # fmt: skip
    return observations_from_frame(pd.DataFrame(rows))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[FitTask]:
    seen: list[FitTask] = []

    def fit(task: FitTask) -> Posterior:
        seen.append(task)
        posterior = tiny_posterior(PLACES, 2)
        return replace(posterior, spec=replace_name(task), gate=GateResult(True))

    def weigh(
        posterior: Posterior, observations: Observations, *, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        value = observations.table["value"].to_numpy()
        off = 3.0 if posterior.spec.measurement.counts == "delta" else 1.0
        count = np.random.default_rng(seed).poisson(off * value, (80, len(value))).astype(float)
        return np.arange(len(value))[::-1], count[:, ::-1], np.full(len(value), -off)

    monkeypatch.setattr(models, "fit", fit)
    monkeypatch.setattr(models, "weigh_reports", weigh)
    return seen


def replace_name(task: FitTask) -> ModelSpec:
    counts = "delta" if "counts: delta" in task.model else "poisson"
    return ModelSpec.model_validate({"name": "tiny", "measurement": {"counts": counts}})


def two(**options: Any) -> ModelComparison:  # noqa: ANN401
    return compare_models(
        {"a": SPEC, "b": SPEC},
        both_sides(),
        overrides={"b": {"measurement.counts": "delta"}},
        workers=0,
        **options,
    )


def test_all_models_have_the_same_folds_and_seeds(fitted: list[FitTask]) -> None:
    judged = two(folds=3, scheme="corridors")
    assert len(fitted) == 6
    for one, other in zip(fitted[:3], fitted[3:], strict=True):
        pd.testing.assert_frame_equal(one.observations.table, other.observations.table)
        assert one.model.replace("poisson", "delta") == other.model
    assert scores_of(judged, "log_score").loc[["a", "b"], "value"].tolist() == [1.0, 3.0]
    assert set(judged.scores["n"]) == {48}
    assert judged.mixture() == {"a": 1.0}
    assert judged.notes == ()
    assert repr(judged).startswith("<flowcast.ModelComparison of a, b: 48 reports in 3 folds; best")


def test_values_and_predictions_stay_together(fitted: list[FitTask]) -> None:
    """Predictions come in another order than reports."""
    own = two(folds=2).reports.query("model == 'a'")
    assert own["value"].nunique() > 1
    assert (own["crps"] < 0.1 * own["value"]).all()


def test_finished_folds_are_taken_up_again(fitted: list[FitTask], tmp_path: Path) -> None:
    first, again = (two(folds=2, folder=tmp_path) for _ in range(2))
    assert len(fitted) == 4
    pd.testing.assert_frame_equal(first.scores, again.scores)
    pd.testing.assert_frame_equal(first.weights, again.weights)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": {"a": SPEC}}, "found 1; allowed: two or more"),
        ({"models": {"a": SPEC, "equal weights": SPEC}}, "equal weights"),
        ({"overrides": {"c": {}}}, "overrides"),
    ],
)
def test_what_cannot_be_compared_is_refused(given: dict[str, Any], message: str) -> None:
    named = given.get("models", {"a": SPEC, "b": SPEC})
    with pytest.raises(UsageError, match=message):
        compare_models(named, both_sides(), overrides=given.get("overrides"), workers=0)


def test_models_with_reports_of_their_own_are_refused(tmp_path: Path) -> None:
    for name, value in (("a", 5), ("b", 6)):
        both_sides().table.assign(value=value).to_csv(tmp_path / f"{name}.csv", index=False)
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\ndata: {{observations: [{name}.csv]}}\n"
        )
    named = {name: tmp_path / f"{name}.yaml" for name in "ab"}
    with pytest.raises(UsageError, match="other observations for b than for a"):
        compare_models(named, workers=0)
