"""Related indicators: associations worked out otherwise, time covered in part, no levels."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from support import tiny_posterior

from flowcast.errors import HeldOutError, InputError, UsageError
from flowcast.estimates import aggregate, flow_estimates
from flowcast.posterior import Posterior
from flowcast.validation import (
    IndicatorTable,
    association,
    indicator_table,
    load_catalogue,
    score_indicator,
)
from flowcast.validation.association import _ranks, _Sample, _standard_errors, _statistics

FloatArray = NDArray[np.float64]

PLACES = ("AT", "DE", "FR", "PL", "SE", "NO")
YEARS = range(2018, 2024)
LEVELS = {"mae", "bias", "crps", "coverage_50", "coverage_80", "coverage_95"}


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return tiny_posterior(PLACES, len(YEARS), first_year=YEARS[0], seed=4)


@pytest.fixture(scope="module")
def flows(posterior: Posterior) -> dict[tuple[str, str, int], FloatArray]:
    """Return the draws of each flow, by origin, destination and year."""
    draws = flow_estimates(posterior).draws.stack(sample=("chain", "draw"))
    return {
        (o, d, year): draws.isel(corridor=k, period=t).to_numpy()
        for k, (o, d) in enumerate(
            zip(draws["origin"].values, draws["destination"].values, strict=True)
        )
        for t, year in enumerate(YEARS)
    }


def table(
    indicator: str,
    values: dict[tuple[str, str, int], float],
    **more: Any,  # noqa: ANN401
) -> IndicatorTable:
    rows = [
        {"origin": o, "destination": d, "year": year, "value": value, **more}
        for (o, d, year), value in values.items()
    ]
    return indicator_table(pd.DataFrame(rows), indicator)


def told(frame: pd.DataFrame, metric: str, column: str = "value") -> float:
    (found,) = frame.loc[frame["metric"] == metric, column]
    return float(found)


def noisy(flows: dict[tuple[str, str, int], FloatArray]) -> dict[tuple[str, str, int], float]:
    rng = np.random.default_rng(7)
    return {k: float(np.round(np.median(x) * rng.lognormal(0, 1))) for k, x in flows.items()}


# Figures


def test_ranks_across_are_the_mean_of_spearmans_over_periods(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    values = noisy(flows)
    found = association(flow_estimates(posterior), table("asylum_unhcr", values))
    keys = [[k for k in values if k[2] == year] for year in YEARS]
    by_draw = [
        np.mean([spearmanr([flows[k][s] for k in ks], [values[k] for k in ks])[0] for ks in keys])
        for s in range(80)
    ]
    assert told(found, "rank_across") == pytest.approx(np.median(by_draw))
    assert told(found, "rank_across", "lower") == pytest.approx(np.quantile(by_draw, 0.1))
    assert told(found, "rank_across", "n") == found.attrs["n"] == 180


def test_ranks_within_and_signs_follow_each_pair_over_time(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    values = noisy(flows)
    still = {k: 5.0 if k[:2] == ("AT", "DE") else v for k, v in values.items()}
    found = association(flow_estimates(posterior), table("asylum_unhcr", still))
    pairs = {k[:2] for k in flows} - {("AT", "DE")}
    y = np.array([[still[*pair, year] for year in YEARS] for pair in sorted(pairs)])
    x = np.array([[flows[*pair, year] for year in YEARS] for pair in sorted(pairs)])
    within = [
        np.mean([spearmanr(a, b)[0] for a, b in zip(x[:, :, s], y, strict=True)]) for s in range(80)
    ]
    assert told(found, "rank_within") == pytest.approx(np.median(within))
    assert told(found, "rank_within", "n") == 29
    moved = np.diff(y) != 0
    same = [
        (np.sign(np.diff(x[:, :, s]))[moved] == np.sign(np.diff(y))[moved]).mean()
        for s in range(80)
    ]
    assert told(found, "sign_agreement") == pytest.approx(np.median(same))
    assert told(found, "sign_agreement", "n") == moved.sum()


def test_a_power_of_the_flows_has_its_elasticity() -> None:
    """Without any error the slope is exact, whatever the level of the year."""
    draws = np.exp(np.random.default_rng(1).normal(5, 1.5, (30, 4)))
    exact = tiny_posterior(PLACES, 4, first_year=2018, flows=draws)
    flows = flow_estimates(exact)
    values = {
        (str(o), str(d), 2018 + t): float((t + 1) * draws[k, t] ** 2.0)
        for k, (o, d) in enumerate(zip(flows.origins, flows.destinations, strict=True))
        for t in range(4)
    }
    found = association(flows, table("asylum_unhcr", values))
    assert told(found, "elasticity") == pytest.approx(0.5, rel=1e-4)
    assert told(found, "rank_across") == pytest.approx(1.0)
    assert told(found, "elasticity", "se") == pytest.approx(0.0, abs=1e-4)


def test_zeros_count_by_rank_and_not_in_the_elasticity(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    values = {k: 0.0 if k[0] == "PL" else v for k, v in noisy(flows).items()}
    found = association(flow_estimates(posterior), table("asylum_unhcr", values))
    assert told(found, "rank_across", "n") == 180
    assert told(found, "elasticity", "n") == sum(v > 0 for v in values.values()) < 151


def test_few_rows_and_short_series_are_not_told_of(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    values = {k: v for k, v in noisy(flows).items() if k[2] < 2021}
    found = association(flow_estimates(posterior), table("asylum_unhcr", values))
    assert "rank_within" not in set(found["metric"])
    few = {k: v for k, v in values.items() if k[:2] in {("AT", "DE"), ("DE", "AT")}}
    found = association(flow_estimates(posterior), table("asylum_unhcr", few))
    assert set(found["metric"]) == {"elasticity"}
    assert found["se"].isna().all()  # two places are too few to resample


def test_two_rows_tell_nothing_and_are_counted(posterior: Posterior) -> None:
    values = {("AT", "DE", 2020): 3.0, ("DE", "AT", 2020): 4.0, ("DE", "ES", 2020): 4.0}
    card = score_indicator(posterior, table("asylum_unhcr", values)).set_index("metric")["value"]
    assert card.to_dict() == {"n": 2.0, "n_not_compared": 1.0}


def test_estimates_are_an_upper_bound_of_some(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    values = {k: float(x.max()) + 1 if k[1] == "SE" else 0.0 for k, x in flows.items()}
    found = association(flow_estimates(posterior), table("scholar_moves_openalex", values))
    assert told(found, "share_above") == pytest.approx(1 / 6)
    assert "share_above" not in set(
        association(flow_estimates(posterior), table("asylum_unhcr", values))["metric"]
    )


# Places and times


def test_both_directions_of_a_pair_are_one(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    both = {
        (o, d): sum(flows[*pair, y] for pair in ((o, d), (d, o)) for y in YEARS)
        for o, d, _ in flows
    }
    values = {(*k, 2021): float(np.median(x)) for k, x in both.items()}
    found = association(flow_estimates(posterior), table("connectedness_meta", values))
    pairs = [k for k in both if k[0] < k[1]]
    by_draw = [
        spearmanr([both[k][s] for k in pairs], [values[*k, 2021] for k in pairs])[0]
        for s in range(80)
    ]
    assert told(found, "rank_across", "n") == 15
    assert told(found, "rank_across") == pytest.approx(np.median(by_draw))
    assert set(found["metric"]) == {"rank_across", "elasticity"}  # of one time, no changes


def test_codes_of_the_other_kind_are_translated(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    alpha3 = dict(zip(PLACES, ("AUT", "DEU", "FRA", "POL", "SWE", "NOR"), strict=True))
    values = noisy(flows)
    other = {(alpha3[o], alpha3[d], y): v for (o, d, y), v in values.items()}
    estimates = flow_estimates(posterior)
    one, two = (association(estimates, table("asylum_unhcr", v)) for v in (values, other))
    pd.testing.assert_frame_equal(one, two)


def test_growth_between_mid_years_is_of_the_same_time_as_the_flows() -> None:
    """Half of the first and the last year: flows that double in a year show it."""
    yearly = np.array([100.0, 100.0, 100.0, 400.0])
    flows = flow_estimates(tiny_posterior(PLACES, 4, first_year=2018, flows=yearly))
    rows = [
        {
            "origin": o, "destination": d, "period_start": "2018-07-01",
            "period_end": "2021-07-01", "value": value,
        }
        for o, d, value in zip(
            flows.origins, flows.destinations, np.repeat([420.0, 440.0], 15), strict=True
        )
    ]  # fmt: skip
    growth = indicator_table(pd.DataFrame(rows), "stock_growth_un")
    found = association(flows, growth)  # 50 + 100 + 100 + 200 = 450, but for leap days
    assert told(found, "share_above") == 0.0
    higher = indicator_table(pd.DataFrame(rows).assign(value=460.0), "stock_growth_un")
    assert told(association(flows, higher), "share_above") == 1.0
    assert found.attrs["n_in_part"] == 0


def test_half_of_a_rows_time_will_do_for_related_ones_and_less_will_not(
    posterior: Posterior,
) -> None:
    def of(start: str, end: str) -> IndicatorTable:
        pairs = [(o, d) for o in PLACES for d in PLACES if o != d]
        rows = [
            {"origin": o, "destination": d, "period_start": start, "period_end": end, "value": k}
            for k, (o, d) in enumerate(pairs)
        ]
        return indicator_table(pd.DataFrame(rows), "stock_growth_un")

    estimates = flow_estimates(posterior)
    found = association(estimates, of("2021-07-01", "2026-07-01"))  # 2.5 of 5 years
    assert found.attrs == {"n": 30, "n_not_compared": 0, "n_in_part": 30}
    with pytest.raises(InputError, match="30 rows, none of the fit's places and periods"):
        association(estimates, of("2021-08-01", "2026-08-01"))


# Errors of the sample


def test_a_weight_is_a_row_that_is_there_again() -> None:
    rng = np.random.default_rng(3)
    values, groups = rng.integers(0, 9, 40).astype(float), rng.integers(0, 3, 40)
    w = rng.integers(0, 4, 40)
    found = _ranks(values, groups, w.astype(float))
    for g in range(3):
        own = (groups == g) & (w > 0)
        again = np.repeat(values[own], w[own])
        expected = rankdata(again)[np.cumsum(w[own]) - 1]
        np.testing.assert_allclose(found[own] - found[own][0], expected - expected[0])


@pytest.mark.statistical
def test_the_standard_error_is_the_spread_over_samples_of_places() -> None:
    rng = np.random.default_rng(5)
    entry = load_catalogue().entry("remittances_received_wdi")
    n, at = 40, np.zeros(40, dtype=np.int64)
    told, claimed = [], []
    for seed in range(60):
        x = rng.normal(size=n)
        y = np.exp(0.6 * x + rng.normal(size=n))
        own = np.arange(n)
        start = np.full(n, np.datetime64("2020-01-01"))
        sample = _Sample(np.exp(x)[None], y, own, at, start, own[:, None])
        statistics = list(_statistics(sample, entry))
        draws = np.array([[one.of(sample.x[0], np.ones(n)) for one in statistics]])
        told.append(draws[0, :2])
        claimed.append(_standard_errors(sample, statistics, draws, seed)[:2])
    spread, mean = np.std(told, axis=0, ddof=1), np.mean(claimed, axis=0)
    np.testing.assert_allclose(mean / spread, 1.0, atol=0.3)


def test_pairs_that_share_a_place_do_not_count_as_independent(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    """An indicator that is wrong by destination is more uncertain than one wrong by pair."""
    rng = np.random.default_rng(2)
    by_place = dict(zip(PLACES, rng.permutation([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0]), strict=True))
    wrong = {k: float(np.median(x) * np.exp(2 * by_place[k[1]])) for k, x in flows.items()}
    parts = rng.permutation([by_place[k[1]] for k in flows])
    apart = {
        k: float(np.median(x) * np.exp(2 * e))
        for (k, x), e in zip(flows.items(), parts, strict=True)
    }
    estimates = flow_estimates(posterior)
    shared, single = (
        told(association(estimates, table("asylum_unhcr", v)), "elasticity", "se")
        for v in (wrong, apart)
    )
    assert shared > 1.3 * single


def test_the_same_seed_gives_the_same_errors(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    estimates, asylum = flow_estimates(posterior), table("asylum_unhcr", noisy(flows))
    one, two, other = (association(estimates, asylum, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert (one["se"] != other["se"]).all()
    assert (one["value"] == other["value"]).all()


# Scores of the catalogue's kinds


@pytest.mark.parametrize("indicator", [e.id for e in load_catalogue().select("related")])
def test_a_related_quantity_is_never_scored_by_levels(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray], indicator: str
) -> None:
    entry = load_catalogue().entry(indicator)
    values = noisy(flows)
    if entry.estimate == "emigration":
        values = {k: v for k, v in values.items() if k[1] == ("DE" if k[0] != "DE" else "FR")}
        rows = [{"origin": o, "year": y, "value": v} for (o, _, y), v in values.items()]
        related = indicator_table(pd.DataFrame(rows), indicator)
    else:
        related = table(indicator, values)
    card = score_indicator(posterior, related)
    metrics = set(card["metric"])
    assert metrics >= {"rank_across", "rank_across_lower", "n", "n_not_compared"}
    assert not metrics & LEVELS
    assert not any(metric.startswith(("coverage", "interval")) for metric in metrics)
    assert set(card["indicator"]) == {indicator}
    assert any(entry.gap in note for note in card.attrs["notes"])
    se = card.set_index("metric")["se"]
    assert se["rank_across"] > 0.0
    assert np.isnan(se["rank_across_lower"])


def test_change_of_population_is_scored_as_the_net_migration_in_it(posterior: Posterior) -> None:
    rng = np.random.default_rng(1)
    net = aggregate(flow_estimates(posterior), "net").draws.mean(("chain", "draw"))
    rows = [
        {
            "destination": place, "year": year, "natural_increase": rng.normal(0, 1e4),
            "net": float(net.sel(place=place).isel(period=t)) + rng.normal(0, 500),
        }
        for place in PLACES for t, year in enumerate(YEARS)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    change = frame.assign(value=frame["net"] + frame["natural_increase"])
    cards = [
        score_indicator(posterior, indicator_table(part, name)).set_index("metric")["value"]
        for part, name in (
            (change, "population_change_wpp"),
            (frame.assign(value=frame["net"]), "net_migration_wpp"),
        )
    ]
    same = sorted(LEVELS)
    np.testing.assert_allclose(cards[0][same].to_numpy(), cards[1][same].to_numpy(), rtol=1e-6)
    assert cards[0]["correlation"] != pytest.approx(cards[1]["correlation"])
    assert cards[0]["n"] == 36


def test_the_same_quantity_is_never_compared_over_a_part_of_its_time(posterior: Posterior) -> None:
    rows = {"destination": "DE", "period_start": "2018-07-01", "period_end": "2019-07-01"}
    net = indicator_table(pd.DataFrame([rows | {"value": 5.0}]), "net_migration_wpp")
    with pytest.raises(InputError, match="1 rows, none of the fit's places and periods"):
        score_indicator(posterior, net)


def test_context_is_not_scored_nor_the_same_quantity_associated(posterior: Posterior) -> None:
    one = pd.DataFrame([{"destination": "DE", "year": 2020, "value": 0.9}])
    context = indicator_table(one, "electoral_democracy")
    with pytest.raises(UsageError, match="found electoral_democracy, which is context"):
        score_indicator(posterior, context)
    for name in ("electoral_democracy", "net_migration_wpp"):
        with pytest.raises(UsageError, match="allowed: related indicators"):
            association(flow_estimates(posterior), indicator_table(one, name))


@pytest.mark.parametrize("source", ["un_ims_2024", "un_ims_2020_bridge", "stock_growth_un"])
def test_a_run_that_fitted_the_indicators_source_is_not_judged(source: str) -> None:
    fitted = tiny_posterior(PLACES, 6, first_year=2018, info={"sources": ["register", source]})
    pair = {("AT", "DE", 2018): 3.0}
    with pytest.raises(HeldOutError, match=f"found source {source}, which was fitted"):
        score_indicator(fitted, table("stock_growth_un", pair))


def test_what_goes_the_other_way_is_said(
    posterior: Posterior, flows: dict[tuple[str, str, int], FloatArray]
) -> None:
    values = {k: 1e6 / float(np.median(x)) for k, x in flows.items()}
    notes = score_indicator(posterior, table("asylum_unhcr", values)).attrs["notes"]
    assert any("rank_across goes against what is expected, positive" in note for note in notes)
