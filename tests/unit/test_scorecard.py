"""The scorecard against regression with clustered errors, the verdict, and the page of both."""

import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from support import tiny_posterior

from flowcast.config import ModelSpec
from flowcast.errors import UsageError
from flowcast.observations import Observations, observations_from_frame
from flowcast.plots import plot_pit, plot_scorecard_coverage
from flowcast.posterior import Posterior
from flowcast.scorecard_page import render_scorecard, write_page
from flowcast.tables import write_table
from flowcast.validation import cross_validate, crossval, verdict
from flowcast.validation.classes import describe_kind
from flowcast.validation.fits import FitTask
from flowcast.validation.scorecard import PIT_BINS, score_reports, summarise_scores

PLACES = ("AT", "DE", "FR", "PL", "SE")
YEARS = tuple(range(2010, 2016))
SPEC = ModelSpec(name="mine")
SD = 0.25

Scored = Callable[..., pd.DataFrame]
FloatArray = NDArray[np.float64]


def world() -> Observations:
    """Corridors that wander a little from year to year; grades of some, definitions of others."""
    rng = np.random.default_rng(4)
    rows = []
    for k, (o, d) in enumerate(product(PLACES, PLACES)):
        level = rng.uniform(2.0, 8.0) + np.cumsum(rng.normal(0.0, 0.5, len(YEARS)))
        for (t, year), side in product(enumerate(YEARS), ("origin", "destination")):
            if o != d:
                rows.append(
                    {
                        "source": "register", "family": "administrative", "measure": "flow",
                        "origin": o, "destination": d, "year": year, "reporter": side,
                        "value": float(rng.poisson(np.exp(level[t]))),
                        "duration_months": (12, 6, None)[k % 3],
                        "accuracy_class": ("high", "low")[k % 2],
                    }
                )  # fmt: skip
    return observations_from_frame(pd.DataFrame(rows))


def fit(task: FitTask, *, passed: bool = True) -> Posterior:
    years = task.observations.table["period_start"].dt.year
    n = int(years.max() - years.min()) + 1
    told = {"method": "nuts"}
    return tiny_posterior(PLACES, n, first_year=int(years.min()), passed=passed, info=told)


def draws(
    _: Posterior, observations: Observations, *, seed: int, shrink: float = 1.0, far: float = 0.0
) -> tuple[NDArray[np.int64], FloatArray]:
    """Predict as somebody would who knows each report to within an error of SD, and says so."""
    rng = np.random.default_rng(seed)
    log_value = np.log(observations.table["value"].to_numpy() + 0.5)
    centre = log_value + rng.normal(far, SD, len(log_value))
    spread = shrink * SD * rng.normal(size=(400, len(log_value)))
    return np.arange(len(log_value)), np.maximum(np.exp(centre + spread) - 0.5, 0.0)


@pytest.fixture(scope="module")
def scored() -> Scored:
    """Return a function that scores predictions with spread and distance as wanted, once each."""
    kept: dict[str, pd.DataFrame] = {}

    def run(
        shrink: float = 1.0,
        far: float = 0.0,
        passed: bool = True,
        **more: Any,  # noqa: ANN401
    ) -> pd.DataFrame:
        key = repr((shrink, far, passed, list(more.items())))
        if key not in kept:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(crossval, "fit", partial(fit, passed=passed))
                patch.setattr(crossval, "draw_reports", partial(draws, shrink=shrink, far=far))
                options = {"baselines": ("simple", "persistence"), "folds": 3, "workers": 0, **more}
                kept[key] = cross_validate(SPEC, world(), **options)
        return kept[key].copy()

    return run


def rows(card: pd.DataFrame, against: str | None = None, kind: str = "reports") -> pd.DataFrame:
    found = card[(card["fold"] == "all") & (card["indicator"] == kind)]
    mine = found["against"].isna() if against is None else found["against"] == against
    return found[mine].set_index("metric")


# Scores and standard errors


def test_standard_errors_are_those_of_a_regression_with_clusters() -> None:
    rng = np.random.default_rng(1)
    n = 60
    corridor = rng.integers(0, 9, n)
    own, other = rng.normal(size=(2, n)) + 0.5 * corridor
    reports = pd.DataFrame(
        {
            "value": rng.uniform(1, 2000, n), "reporter": "origin", "horizon": 0, "year": 2010,
            "corridor": corridor.astype(str), "series": corridor.astype(str), "region": None,
            "duration": "12", "undercount": None, "accuracy": None, "fold": rng.integers(0, 4, n),
        }
    )  # fmt: skip
    model, baseline = (
        pd.DataFrame({"crps": x, "pit": rng.random(n), "log_median": rng.normal(size=n)})
        for x in (own, other)
    )
    found = list(summarise_scores(reports, model, {"b": baseline}, every_fold=True))
    row = next(r for r in found if (r.indicator, r.metric, r.against) == ("reports", "crps", "b"))
    for groups, se in ((corridor, row.se), (reports["fold"], row.se_folds)):
        fitted = sm.OLS(own - other, np.ones(n)).fit(
            cov_type="cluster", cov_kwds={"groups": np.asarray(groups)}
        )
        assert se == pytest.approx(fitted.bse[0])
        assert row.difference == pytest.approx(fitted.params[0])


def test_model_and_baseline_are_scored_on_the_reports_that_both_predict(scored: Scored) -> None:
    card = scored()
    alone, simple, last = rows(card), rows(card, "simple"), rows(card, "persistence")
    n = len(world().table)
    assert alone.loc["n", "value"] == simple.loc["n", "baseline"] == n
    assert last.loc["n", "value"] == n
    assert 0.7 * n < last.loc["n", "baseline"] < n  # first years have nothing earlier
    for against in (simple, last):
        gap = against["value"] - against["baseline"]
        pd.testing.assert_series_equal(gap, against["difference"], check_names=False)
    assert simple.loc["crps", "value"] == alone.loc["crps", "value"]
    assert last.loc["crps", "value"] != alone.loc["crps", "value"]
    assert (alone.loc[["crps", "coverage_80"], "se"] > 0.0).all()
    assert alone.loc[list(PIT_BINS), "value"].sum() == pytest.approx(1.0)
    assert alone.loc["tail_from", "value"] == np.quantile(world().table["value"], 0.9)
    assert alone.loc["rank_correlation", "value"] > 0.95


def test_kinds_of_report_divide_the_reports(scored: Scored) -> None:
    card = scored()
    n = {k: rows(card, kind=k).loc["n", "value"] for k in card["indicator"].unique() if k != "fit"}
    for parts in (
        ["by_origin", "by_destination"],
        ["below_50", "50_to_999", "from_1000"],
        [f"year_{year}" for year in YEARS],
        ["duration_12", "duration_other", "duration_unknown"],
        ["accuracy_low", "accuracy_high"],
        ["region_western_europe", "region_eastern_europe", "region_northern_europe"],
    ):
        assert sum(n[f"reports_{part}"] for part in parts) == n["reports"], parts
    assert not [name for name in n if "undercount" in name]  # all the same: nothing to tell apart
    assert len(rows(card, kind="reports_year_2012")) < len(rows(card, kind="reports_below_50"))
    for name in n:
        assert "_" not in describe_kind(name), name


def test_single_folds_are_compared_on_all_their_reports_only(scored: Scored) -> None:
    card = scored()
    single = card[(card["fold"] == "1") & card["against"].notna()]
    assert set(single["indicator"]) == {"reports"}
    assert single["se_folds"].isna().all()
    assert not card.duplicated(["fold", "indicator", "metric", "against"]).any()


def test_tables_of_others_stand_apart(scored: Scored) -> None:
    table = world().table
    mine = pd.DataFrame(
        {
            "origin": table["origin"], "destination": table["destination"],
            "year": table["period_start"].dt.year, "value": table["value"],
        }
    )[table["reporter"] == "origin"]  # fmt: skip
    card = scored(baselines=("simple",), tables={"<theirs>": mine})
    assert set(card.loc[card["apart"], "against"]) == {"<theirs>"}
    assert rows(card, "<theirs>").loc["crps", "difference"] > 0.0  # it knows the withheld reports
    page = render_scorecard(card)
    assert page.index("Estimates of others") < page.index("Against &lt;theirs&gt;")
    assert "<theirs>" not in page
    with pytest.raises(UsageError, match="no baseline's"):
        scored(tables={"simple": mine})


# Verdict


def test_a_model_that_keeps_its_promises_may_be_published(scored: Scored) -> None:
    found = verdict(scored())
    assert found.passed
    assert not found.reasons
    assert any("as they should" in remark for remark in found.remarks)
    assert any("of persistence: it wins" in remark for remark in found.remarks)


def test_a_model_whose_sd_is_halved_is_caught(scored: Scored) -> None:
    found = verdict(scored(shrink=0.5))
    assert not found.passed
    (reason,) = found.reasons
    assert re.search(r"80 % intervals hold [45]\d\.\d % of the reports", reason)
    assert str(found).startswith("refused; scheme random")


def test_a_model_that_loses_to_persistence_is_refused_with_the_difference(scored: Scored) -> None:
    found = verdict(scored(far=2.0, shrink=8.0))
    assert any("of persistence: it loses (difference" in reason for reason in found.reasons)
    assert any("too wide" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("gap", "se", "passed"),
    [(1.9, 1.0, True), (2.1, 1.0, False), (0.1, np.nan, False), (-0.1, np.nan, True)],
)
def test_the_rule_is_two_standard_errors(gap: float, se: float, passed: bool) -> None:
    row = {"scheme": "random", "fold": "all", "indicator": "reports"}
    crps = {"metric": "crps", "value": 9.0 + gap, "baseline": 9.0, "against": "persistence"}
    held = {"metric": "coverage_80", "value": 0.7}
    card = pd.DataFrame([{**row, **held}, {**row, **crps, "difference": gap, "se": se}])
    assert verdict(card).passed is passed
    simple, other = (
        card.assign(scheme=name, against=card["against"].replace("persistence", name))
        for name in ("simple", "mirror")
    )
    assert verdict(simple).passed is passed  # where persistence predicts nothing
    assert verdict(other).reasons == ("it is compared with neither persistence nor simple",)
    assert verdict(pd.concat([card, other])).passed is passed
    assert (
        verdict(pd.concat([card, simple.assign(scheme="random", difference=9.0)])).passed is passed
    )
    with pytest.raises(UsageError, match="no scored report"):
        verdict(card[1:])


# Page and figures


class Reader(HTMLParser):
    """Collects what a page must have once, and what it must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []
        self.images: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        if given.get("role") == "img":
            self.images.append(given.get("aria-label") or "")
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_stands_alone_and_says_what_matters(scored: Scored, tmp_path: Path) -> None:
    card = scored(shrink=0.5, passed=False)
    write_page(card, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(link.startswith("#") for link in reader.links)
    inside = {link[1:] for link in reader.links}
    assert inside <= set(reader.ids)
    assert len(reader.images) == 2
    assert all(len(text) > 80 for text in reader.images)
    for said in (
        "Verdict: refused", "80 % intervals hold", "Validation of mine",
        "Against persistence, on the",
        "did not pass the convergence gate", "fewer than 50 persons", "not passed",
        "furthest from holding 80 %", 'name="viewport"',
    ):  # fmt: skip
        assert said in page, said
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower().split()


def test_the_page_can_be_made_from_the_file(scored: Scored, tmp_path: Path) -> None:
    card = scored()
    write_table(card, tmp_path / "card.csv")
    again = pd.read_csv(tmp_path / "card.csv", dtype={"fold": str})
    page = render_scorecard(again)
    assert "Verdict: may be published" in page
    with pytest.raises(UsageError, match="found 2 schemes"):
        render_scorecard(pd.concat([card, card.assign(scheme="blocks")]))


def test_figures_tell_what_they_show(scored: Scored, tmp_path: Path) -> None:
    card = scored(shrink=0.5)
    figure = plot_pit(card, out=tmp_path / "pit.svg")
    (axes,) = figure.axes
    share = rows(card).loc[list(PIT_BINS), "value"].to_numpy()
    np.testing.assert_allclose(axes.patches[0].get_data().values, 100.0 * share)
    assert f"{100 * share[0]:.1f}" in figure.alt_text
    assert share[0] > 0.15
    assert share[-1] > 0.15  # too narrow: heaps at the ends
    coverage = plot_scorecard_coverage(card, out=tmp_path / "coverage.png")
    assert "Share of reports inside equal-tailed predictive intervals" in coverage.alt_text
    assert "reported by the origin" in coverage.alt_text
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(UsageError, match="no transforms"):
        plot_pit(card[card["fold"] == "1"])


def test_one_absurd_draw_does_not_decide_the_score_in_persons() -> None:
    rng = np.random.default_rng(3)
    draws = np.exp(rng.normal(4.0, 0.5, (600, 20)))
    value = np.exp(rng.normal(4.0, 0.5, 20)).round()
    usual = score_reports(draws, value, 1, 30.0)
    draws[17] = 1e12  # as a Student-t on the log scale has now and then
    absurd = score_reports(draws, value, 1, 30.0)
    for metric in ("crps", "crps_tail", "crps_log"):
        assert absurd[metric].mean() == pytest.approx(usual[metric].mean(), rel=0.05), metric
    # Of few draws nothing is left out.
    assert score_reports(draws[:50], value, 1)["crps"].mean() > 1e8
