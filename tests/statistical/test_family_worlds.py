"""Intervals cover the truth where registers, censuses, surveys, platforms and indices report it.

Worlds are drawn from the model, hyper-parameters included, and fitted by the normal around the
mode with three sweeps on the exact model, as a fit takes by default: coverage of what is measured,
not of a method of sampling. With sweeps so few and heavy tails it is a little less than promised.
Seeded, so that a failure means a change in the code and not bad luck.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import family_rows

from flowcast.config import ModelSpec, validate_model
from flowcast.model.coordinates import build_coordinates
from flowcast.model.density import find_mode
from flowcast.model.forward import draw_world
from flowcast.model.hyper import draw_hyper
from flowcast.model.problem import Problem, with_values
from flowcast.model.sweeps import Chain, refine
from flowcast.model.trajectory import mirror_symmetric
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

Array = NDArray[np.float64]

N_WORLDS = 20
N_DRAWS = 80
PROBABILITY = 0.8
FLOOR = 1000.0


def spec_of(quantity: str) -> ModelSpec:
    """Return a model whose spreads have priors that data of this size can be fitted with."""
    wide, usual, small = ({"log_normal": [m, 0.3]} for m in (-0.5, -1.4, -2.0))
    process: dict[str, Any] = {"intercept": {"normal": [7.0, 0.5]}, "sd_innovation": small}
    process |= dict.fromkeys(("sd_origin", "sd_destination", "sd_corridor"), wide)
    measurement: dict[str, Any] = {"index_elasticity": 0.7, "sd_reporter_period": small}
    measurement |= dict.fromkeys(("sd_reporter", "sd_corridor_report", "sd_noise"), usual)
    measurement["bias_digital"] = {"normal": [-0.3, 0.3]}
    drift = {"name": "drift", "sources": ["platform"], "by": ["period"]}
    measurement["effects"] = [drift | {"prior": {"normal": [0, 0.3]}}]
    raw = {"name": "worlds", "quantity": quantity, "process": process, "measurement": measurement}
    return validate_model(raw, "worlds")


def design_of(quantity: str) -> Problem:
    """Return every family on five places; flows to one of them only the platform reports."""
    rows = family_rows(quantity).assign(accuracy_class="low")
    rows = rows[(rows["destination"] != "BE") | (rows["source"] == "platform")]
    inputs = Inputs(spec_of(quantity), observations_from_frame(rows), None, {})
    return prepare(inputs).problem


def published(problem: Problem, value: Array) -> Problem:
    """Return the problem with these figures, the platform's not below its floor."""
    hidden = with_values(problem, value).reports.censored
    return with_values(problem, np.where(hidden, FLOOR, value))


def taken_at_their_word(problem: Problem) -> Problem:
    return replace(problem, reports=replace(problem.reports, floor=np.zeros(problem.reports.n)))


def fitted(problem: Problem, seed: int) -> Array:
    """Return draws of the log flows or stocks, (draw, corridor, period)."""
    rng, mode = np.random.default_rng(seed), find_mode(problem)
    coordinates = build_coordinates(mode)
    chain = Chain(mirror_symmetric(coordinates), 0.3)
    points = rng.standard_normal((N_DRAWS, len(mode.x)))
    return np.array(
        [
            refine(
                mode.density, chain, coordinates.unconstrained(z), rng, n_sweeps=3, every=0
            ).log_flow
            for z in points
        ]
    )


Judged = dict[str, Array]


def judge(quantity: str) -> Judged:
    """Return coverage and errors by world, with the floors and with them taken for figures."""
    design = design_of(quantity)
    found: dict[str, list[float]] = {
        name: [] for name in ("covered", "hidden", "error", "error at their word")
    }
    for k in range(N_WORLDS):
        rng = np.random.default_rng([3, k])
        hyper = dict(draw_hyper(design, rng))
        world = draw_world(design, hyper, rng)
        problem, truth = published(design, world.value), world.log_flow
        hidden = problem.reports.censored
        draws = fitted(problem, k)
        tail = (1.0 - PROBABILITY) / 2.0
        low, middle, high = np.quantile(draws, [tail, 0.5, 1.0 - tail], axis=0)
        found["covered"].append(float(((truth >= low) & (truth <= high)).mean()))
        found["hidden"].append(float(hidden.sum()))
        if not hidden.any():
            continue
        rows = problem.reports.corridor[hidden], problem.reports.period[hidden]
        naive = np.median(fitted(taken_at_their_word(problem), k), axis=0)
        found["error"].append(float(np.abs(middle - truth)[rows].mean()))
        found["error at their word"].append(float(np.abs(naive - truth)[rows].mean()))
    return {name: np.array(values) for name, values in found.items()}


@pytest.fixture(scope="module", params=["flow", "stock"])
def judged(request: pytest.FixtureRequest) -> Judged:
    return judge(request.param)


def test_every_family_is_in_the_worlds() -> None:
    for quantity, first in (("flow", "immigration"), ("stock", "register")):
        sides = set(design_of(quantity).reports.side)
        assert sides >= {first, "census", "survey", "digital", "index"}


def test_intervals_cover_the_truth_about_as_often_as_they_promise(judged: Judged) -> None:
    """Cells of one world share its level, so that single worlds say little."""
    assert 0.70 <= judged["covered"].mean() <= 0.90


def test_floors_taken_for_figures_are_worse(judged: Judged) -> None:
    assert judged["hidden"].sum() > 5 * N_WORLDS
    worse = judged["error at their word"] - judged["error"]
    assert worse.mean() > 2.0 * worse.std(ddof=1) / np.sqrt(len(worse))
