"""What holds for any flows, groups and probabilities."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import PLACES, tiny_posterior

from flowcast.compare import compare_runs
from flowcast.estimates import FlowEstimates, aggregate, flow_estimates, summarise
from flowcast.tables import read_table, write_table
from flowcast.vocabulary import ESTIMATE_MEASURES, EVIDENCE

N_DRAW = 6

evidence_words = st.lists(st.sampled_from(EVIDENCE), unique=True, max_size=3).map(
    lambda parts: "+".join(sorted(parts, key=EVIDENCE.index)) or "none"
)


@st.composite
def flows(draw: st.DrawFn, min_places: int = 2) -> FlowEstimates:
    """Return estimates with arbitrary flows (zeros too) and evidence of 2 to 5 places."""
    n_place = draw(st.integers(min_places, 5))
    n_period = draw(st.integers(1, 2))
    n_corridor = n_place * (n_place - 1)
    persons = draw(
        arrays(
            np.float64,
            (2, N_DRAW, n_corridor, n_period),
            elements=st.floats(0.0, 1e7, allow_subnormal=False),
        )
    )
    words = draw(
        st.lists(evidence_words, min_size=n_corridor, max_size=n_corridor).map(
            lambda column: np.array(column)[:, None]
        )
    )
    posterior = tiny_posterior(n_place, n_period, n_draws=N_DRAW, flows=persons, evidence=words)
    months = draw(st.sampled_from([0.0, 1.25, 6.0, 12.0, 60.0]))
    return flow_estimates(posterior, definition=months)


@st.composite
def partitions(draw: st.DrawFn) -> tuple[FlowEstimates, dict[str, list[str]]]:
    """Return estimates and groups that hold each place once."""
    estimates = draw(flows())
    places = sorted(set(estimates.origins))
    labels = draw(st.lists(st.sampled_from("ABC"), min_size=len(places), max_size=len(places)))
    groups: dict[str, list[str]] = {}
    for place, label in zip(places, labels, strict=True):
        groups.setdefault(label, []).append(place)
    return estimates, groups


@given(flows())
def test_all_who_arrive_have_left_in_every_draw(estimates: FlowEstimates) -> None:
    arrived = aggregate(estimates, "immigration").draws.sum("place")
    left = aggregate(estimates, "emigration").draws.sum("place")
    np.testing.assert_allclose(arrived, left, rtol=1e-12)
    np.testing.assert_allclose(arrived, estimates.draws.sum("corridor"), rtol=1e-12)


@given(flows())
def test_net_migration_sums_to_zero_in_every_draw(estimates: FlowEstimates) -> None:
    net = aggregate(estimates, "net").draws
    scale = float(estimates.draws.sum("corridor").max())
    np.testing.assert_allclose(net.sum("place"), 0.0, atol=1e-12 * scale + 1e-12)
    difference = (
        aggregate(estimates, "immigration").draws - aggregate(estimates, "emigration").draws
    )
    np.testing.assert_allclose(net, difference, atol=1e-12 * scale + 1e-12)


@given(partitions())
def test_groups_exchange_what_is_not_within_them(
    case: tuple[FlowEstimates, dict[str, list[str]]],
) -> None:
    estimates, groups = case
    within = sum(
        estimates.draws.values[:, :, k].sum()
        for k, (o, d) in enumerate(zip(estimates.origins, estimates.destinations, strict=True))
        if any(o in group and d in group for group in groups.values())
    )
    total = float(estimates.draws.sum())
    between = float(aggregate(estimates, "flow", groups).draws.sum())
    arrived = float(aggregate(estimates, "immigration", groups).draws.sum())
    np.testing.assert_allclose([between, arrived], total - within, atol=1e-9 * total + 1e-9)


@given(flows())
def test_one_group_of_all_places_has_no_migration(estimates: FlowEstimates) -> None:
    everybody = {"all": sorted(set(estimates.origins))}
    for measure in ("immigration", "emigration", "net"):
        total = aggregate(estimates, measure, everybody)  # type: ignore[arg-type]
        assert float(abs(total.draws).max()) == 0.0
        assert set(total.evidence.values.ravel()) == {"none"}
    assert aggregate(estimates, "flow", everybody).sizes["corridor"] == 0


@given(flows(), st.sampled_from(ESTIMATE_MEASURES))
def test_groups_of_one_place_are_the_places(estimates: FlowEstimates, measure: str) -> None:
    alone = {place: [place] for place in set(estimates.origins)}
    pd.testing.assert_frame_equal(
        summarise(estimates, measure=measure, by=alone),  # type: ignore[arg-type]
        summarise(estimates, measure=measure),  # type: ignore[arg-type]
        rtol=1e-12,
    )


@given(
    flows(),
    st.sampled_from(ESTIMATE_MEASURES),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4),
)
def test_the_median_lies_within_nested_bounds(
    estimates: FlowEstimates, measure: str, probs: list[float]
) -> None:
    table = summarise(estimates, measure=measure, probs=probs)  # type: ignore[arg-type]
    # Interpolated quantiles of equal numbers may differ in the last digit.
    slack = 1e-12 * table["median"].abs().max() + 1e-12
    assert (table["lower"] <= table["median"] + slack).all()
    assert (table["median"] <= table["upper"] + slack).all()
    cells = table.groupby(["origin", "destination", "period_start"], dropna=False)
    assert (cells["lower"].diff().dropna() <= slack).all()
    assert (cells["upper"].diff().dropna() >= -slack).all()


@given(flows(), st.sampled_from(["immigration", "emigration", "net"]))
def test_evidence_of_totals_is_neither_lost_nor_made_up(
    estimates: FlowEstimates, measure: str
) -> None:
    total = aggregate(estimates, measure)  # type: ignore[arg-type]
    parts = {part for word in estimates.evidence.values.ravel() for part in word.split("+")}
    kept = {part for word in total.evidence.values.ravel() for part in word.split("+")}
    assert kept - {"none"} == parts - {"none"}
    for word in total.evidence.values.ravel():
        order = [EVIDENCE.index(part) for part in word.split("+") if part != "none"]
        assert order == sorted(set(order))
        assert word == "none" or "none" not in word


any_number = st.floats(allow_nan=False, allow_infinity=False, width=64)
any_table = st.lists(
    st.tuples(st.sampled_from([*PLACES, None]), any_number, any_number), min_size=1, max_size=8
)


@given(rows=any_table, format=st.sampled_from(["csv", "parquet", "json"]))
def test_every_number_survives_a_file(
    rows: list[tuple[str | None, float, float]],
    format: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    frame = pd.DataFrame(rows, columns=["origin", "lower", "upper"]).astype({"origin": "str"})
    file = tmp_path_factory.getbasetemp() / f"table.{format}"
    write_table(frame, file)
    pd.testing.assert_frame_equal(read_table(file), frame, check_exact=True)


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_comparison_mirrors_when_the_runs_are_swapped(first: int, second: int) -> None:
    a, b = (tiny_posterior(3, 1, n_draws=5, seed=seed) for seed in (first, second))
    there, back = compare_runs(a, b).summary, compare_runs(b, a).summary
    np.testing.assert_allclose(there["log_ratio"], -back["log_ratio"], atol=1e-12)
    np.testing.assert_allclose(there["difference"], -back["difference"], atol=1e-9)
    np.testing.assert_allclose(there["overlap"], back["overlap"], rtol=1e-12)
    np.testing.assert_allclose(there["sd_ratio"], 1.0 / back["sd_ratio"], rtol=1e-12)
    assert there["overlap"].between(0.0, 1.0).all()
