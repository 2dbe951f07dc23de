"""The worlds that samplers and sizes are compared on: the plain model, and one with everything on.

The plain model has effects of origins, destinations and corridors, AR(1) paths, reporter effects,
durations, undercount classes, three accuracy classes a side, counts as normal observations, and
normal tails. All hyper-parameters are known, so runs at different sizes are about the same model.
"""

from typing import Any

import numpy as np
import pandas as pd

from flowcast.config import Measurement, ModelSpec, Process, Sampler, Tails
from flowcast.priors import Prior
from flowcast.simulation import SimulatedWorld, place_codes, simulate_world, simulation_spec

__all__ = ["PLAIN_TAILS", "benchmark_world", "draw_definitions", "heavy_spec", "plain_spec"]

SIDES = ("origin", "destination")
DURATIONS = (0.0, 3.0, 6.0, 12.0, 12.0, 60.0)
GRADES = ("high", "medium", "low")
NOISE = {"high": 0.1, "medium": 0.2, "low": 0.4}
SHARE = {
    "immigration_low": 0.88,
    "immigration_high": 0.68,
    "emigration_low": 0.73,
    "emigration_high": 0.45,
}
SCALES = {
    "sd_origin": 0.5,
    "sd_destination": 0.5,
    "sd_corridor": 0.6,
    "sd_innovation": 0.15,
    "ar_coefficient": 0.6,
    "sd_reporter": np.array([0.2, 0.2]),
    "duration_increment": np.array([0.173, 0.147, 0.315, 0.815]),
}
PLAIN_TAILS = Tails(reports=None, innovations=None, reporters=None)
LOW_INTERCEPT = [3.4, 0.1]
"""Leaves about a third of the reports below 10."""


def plain_spec(sampler: Sampler, *, series: bool = False) -> ModelSpec:
    """Return the plain model.

    Parameters
    ----------
    sampler
        Its settings.
    series
        Whether it has corridor-by-source effects as well.
    """
    measurement = Measurement(
        counts="delta", reporter_period_effects=False, corridor_report_effects=series
    )
    return simulation_spec(measurement=measurement, tails=PLAIN_TAILS, sampler=sampler)


def heavy_spec(sampler: Sampler) -> ModelSpec:
    """Return the plain model with Poisson counts, many of them small, and Student-t tails."""
    plain = plain_spec(sampler)
    low = Prior.make("normal", LOW_INTERCEPT)
    return plain.model_copy(
        update={
            "measurement": plain.measurement.model_copy(update={"counts": "poisson"}),
            "tails": Tails(),
            "process": Process(intercept=low, covariates=plain.process.covariates),
        }
    )


def draw_definitions(n_place: int, share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Give a share of the places, drawn anew for each side, a definition and classes in turn.

    Parameters
    ----------
    n_place
        Number of places.
    share
        Share of the places that report as origin, and as destination.
    rng
        Source of randomness.

    Returns
    -------
    DataFrame
        As `simulate_world` wants it.
    """
    n_report = max(1, round(share * n_place))
    turn = np.arange(n_place)
    parts = []
    for side in SIDES:
        order = rng.permutation(n_place)
        frame = pd.DataFrame(
            {
                "duration_months": np.resize(DURATIONS, n_place),
                "undercount_class": np.resize(["low", "high"], n_place),
                "accuracy_class": np.resize(GRADES, n_place)[rng.permutation(n_place)],
                "reports": turn < n_report,
            },
            index=pd.MultiIndex.from_product([np.array(place_codes(n_place))[order], [side]]),
        )
        # The classes of those that report in turn, so that every one occurs where it can.
        frame.loc[frame["reports"], "accuracy_class"] = np.resize(GRADES, n_report)
        parts.append(frame)
    return pd.concat(parts)


def true_hyper(definitions: pd.DataFrame) -> dict[str, Any]:
    """Return the true hyper-parameters of the classes that occur, sorted as in a `Problem`."""
    reported = definitions[definitions["reports"]]
    side = reported.index.get_level_values(1).map(
        {"origin": "emigration", "destination": "immigration"}
    )
    shares = sorted(set(side + "_" + reported["undercount_class"].to_numpy()))
    grades = sorted(set(side + "_" + reported["accuracy_class"].to_numpy()))
    return SCALES | {
        "share_reported": np.array([SHARE[s] for s in shares]),
        "sd_noise": np.array([NOISE[g.split("_")[1]] for g in grades]),
    }


def benchmark_world(
    n_place: int, n_period: int, spec: ModelSpec, *, share: float = 0.5, seed: int = 1
) -> SimulatedWorld:
    """Draw a world in which a share of the places reports on either side, 10 % of it missing.

    Parameters
    ----------
    n_place, n_period
        Size.
    spec
        `plain_spec` or `heavy_spec`.
    share
        Share of the places that report, on each side.
    seed
        Of everything.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 17]))
    definitions = draw_definitions(n_place, share, rng)
    hyper = true_hyper(definitions)
    if spec.measurement.corridor_report_effects and n_period > 1:
        hyper["sd_corridor_report"] = np.array([0.2, 0.2])
    return simulate_world(
        n_place, n_period, seed=seed, spec=spec, hyper=hyper, definitions=definitions
    )
