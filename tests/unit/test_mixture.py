"""Mixtures of several models' flows: draws by weight, and what cannot be mixed."""

import numpy as np
import pytest
from support import stored_posterior, tiny_posterior

from flowcast.errors import InputError, UsageError
from flowcast.estimates import (
    FlowEstimates,
    aggregate,
    flow_estimates,
    mixture,
    stack_estimates,
    summarise,
)
from flowcast.posterior import Posterior


def constant(persons: float, **more: object) -> Posterior:
    return tiny_posterior(3, 2, flows=persons, **more)  # type: ignore[arg-type]


def test_so_many_draws_of_each_as_its_weight_says() -> None:
    members = {"a": constant(10.0), "b": constant(1000.0), "c": constant(5.0)}
    mixed = stack_estimates(members, {"a": 0.7, "b": 0.3, "c": 0.0})
    draws = mixed.draws
    assert draws.dims == ("chain", "draw", "corridor", "period")
    assert mixed.n_draws == 80
    share = (draws > 100.0).mean(("chain", "draw"))
    np.testing.assert_allclose(share, 0.3)
    assert set(np.round(draws.to_numpy().ravel(), 2)) == {10.0, 1000.0}
    assert mixed.notes[0] == "a mixture of models, by weights: 70% a, 30% b"


def test_a_draw_of_the_mixture_is_one_draw_of_one_model() -> None:
    """Corridors and periods of a draw belong together, so that sums are right."""
    members = {name: tiny_posterior(3, 2, seed=k) for k, name in enumerate("ab", start=1)}
    mixed = stack_estimates(members, {"a": 0.5, "b": 0.5}, seed=3)
    known = np.concatenate(
        [flow_estimates(one).draws.to_numpy().reshape(80, -1) for one in members.values()]
    )
    found = mixed.draws.to_numpy().reshape(80, -1)
    at = [int(np.argmin(np.abs(np.log(known / row)).max(axis=1))) for row in found]
    np.testing.assert_allclose(found, known[at], rtol=1e-5)
    assert len(set(at)) == 80  # no draw twice
    assert sum(k < 80 for k in at) == 40
    other = stack_estimates(members, {"a": 0.5, "b": 0.5}, seed=4)
    assert not np.array_equal(other.draws, mixed.draws)


def test_tables_are_made_of_a_mixture_as_of_any_model() -> None:
    members = {"a": constant(10.0), "b": constant(30.0)}
    mixed = stack_estimates(members, {"a": 0.5, "b": 0.5})
    table = summarise(mixed, measure="immigration", probs=[0.9])
    assert table["mean"].to_numpy() == pytest.approx(2 * 20.0)
    assert table["lower"].to_numpy() == pytest.approx(20.0)
    assert table["upper"].to_numpy() == pytest.approx(60.0)
    assert any("mixture" in note for note in table.attrs["notes"])


def test_other_definitions_are_converted_draw_by_draw() -> None:
    members = {name: tiny_posterior(3, 1, seed=k) for k, name in enumerate("ab", start=1)}
    weights = {"a": 0.25, "b": 0.75}
    mixed = stack_estimates(members, weights)
    converted = {name: flow_estimates(one, definition="3-months") for name, one in members.items()}
    direct = stack_estimates(converted, weights)
    np.testing.assert_allclose(mixed.under("3-months").draws, direct.draws, rtol=1e-6)
    assert direct.definition == 3.0
    assert not np.allclose(direct.draws, mixed.draws)
    bare = {**members, "b": tiny_posterior(3, 1, duration=False)}
    with pytest.raises(UsageError, match="without durations"):
        stack_estimates(bare, weights).under("3-months")


def test_evidence_is_what_any_member_rests_on() -> None:
    members = {
        "a": constant(1.0, evidence="one_report"),
        "b": constant(1.0, evidence="survey"),
        "c": constant(1.0, evidence="both_reports"),
    }
    mixed = stack_estimates(members, {"a": 0.5, "b": 0.5})
    assert set(mixed.evidence.to_numpy().ravel()) == {"one_report+survey"}


def test_stored_flows_are_mixed_as_those_in_memory(tmp_path: object) -> None:
    plain = {name: tiny_posterior(4, 2, seed=k) for k, name in enumerate("ab", start=1)}
    stored = {
        name: stored_posterior(one, tmp_path / name, block_corridors=5)  # type: ignore[operator]
        for name, one in plain.items()
    }
    weights = {"a": 0.4, "b": 0.6}
    np.testing.assert_allclose(
        stack_estimates(stored, weights).draws, stack_estimates(plain, weights).draws, rtol=1e-6
    )


def test_every_difference_is_told_at_once() -> None:
    sums = aggregate(flow_estimates(constant(1.0)), "net")
    members: dict[str, Posterior | FlowEstimates] = {
        "a": constant(1.0),
        "places": tiny_posterior(4, 2),
        "periods": tiny_posterior(3, 1),
        "sums": sums,
        "definition": flow_estimates(constant(1.0), definition="permanent"),
    }
    with pytest.raises(InputError) as caught:
        stack_estimates(members, {"a": 0.7, "places": 0.7, "periods": -0.1, "x": 0.1})
    told = [str(fault) for fault in caught.value.faults]
    assert len(told) == 7, told
    for name in ("places", "periods", "sums", "definition", "x"):
        assert any(f", {name})" in one for one in told), name
    assert any("a sum of 1.4" in one for one in told)


def test_too_many_draws_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    members = {"a": constant(1.0), "b": constant(2.0)}
    with pytest.raises(UsageError, match="a has 80 of 100"):
        stack_estimates(members, {"a": 0.5, "b": 0.5}, draws=200)
    assert stack_estimates(members, {"a": 0.5, "b": 0.5}, draws=150).n_draws == 150
    monkeypatch.setattr(mixture, "IN_MEMORY_BYTES", 400)
    with pytest.raises(UsageError, match="allowed: 8, which fit"):
        stack_estimates(members, {"a": 0.5, "b": 0.5})
