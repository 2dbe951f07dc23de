"""The same pictures in words, for readers who cannot see them."""

import numpy as np
import pandas as pd

from flowcast.plots._data import (
    EVIDENCE_CLASSES,
    find_period,
    find_place,
    flow_table,
    hyper_parameters,
    period_labels,
    place_name,
    places_of,
    report_table,
    tail_quantiles,
)
from flowcast.plots._grids import evidence_table
from flowcast.plots._priors import NO_DRAWS, prior_predictive_draws
from flowcast.plots._reports import ALL_PERIODS, DIRECTIONS, place_flows
from flowcast.plots._style import KIND_WORDS
from flowcast.posterior import Posterior

__all__ = [
    "describe_coverage",
    "describe_heatmap",
    "describe_prior_posterior",
    "describe_prior_predictive",
    "describe_reports",
]

INTERVAL = f"95 % credible interval, {KIND_WORDS}"


def _limits(row: pd.Series) -> str:
    return f"{row['median']:,.0f} ({INTERVAL}: {row['lower_95']:,.0f} to {row['upper_95']:,.0f})"


def describe_heatmap(posterior: Posterior, period: int | str | None = None) -> str:
    """Say which flow is largest, and how many rest on no report."""
    at = find_period(posterior, period)
    table = flow_table(posterior, at)
    top = table.iloc[table["median"].to_numpy().argmax()]
    factors = (table["upper_95"] / table["lower_95"]).fillna(1.0).to_numpy()
    widest, factor = table.iloc[factors.argmax()], factors.max()
    silent = (table["evidence"] == "none").sum()
    return (
        f"Two grids of origins by destinations, {len(places_of(posterior))} places, "
        f"{period_labels(posterior)[at]}. The first: median flow in persons, logarithmic colour. "
        f"The largest is from {top['origin']} to {top['destination']}: {_limits(top)}. "
        f"The second: upper limit over lower limit of the {INTERVAL}; the widest is from "
        f"{widest['origin']} to {widest['destination']}, a factor of {factor:,.1f}. "
        f"On {silent} of {len(table)} corridors neither side reports; they are marked."
    )


def describe_coverage(posterior: Posterior, period: int | str | None = None) -> str:
    """Say how many corridors both sides, one side or nobody reports."""
    table = evidence_table(posterior, period)
    counts = table["best"].value_counts()
    labels = period_labels(posterior)
    several = period is None and len(labels) > 1
    span = f"{labels[0]} to {labels[-1]}" if several else labels[find_period(posterior, period)]
    told = ", ".join(
        f"{name} {counts[i]}" for i, name in enumerate(EVIDENCE_CLASSES) if counts.get(i, 0)
    )
    text = (
        f"A grid of origins by destinations, {len(places_of(posterior))} places, {span}: who "
        f"reports what. Corridors by their evidence: {told}; {len(table)} in all."
    )
    if several:
        text += (
            f" A second grid shows in how many of the {len(labels)} periods there is a report: "
            f"{table['n_periods'].mean():.1f} on average."
        )
    return text


def describe_reports(
    posterior: Posterior, place: str | None = None, period: int | str | None = None
) -> str:
    """Say which flows of a place are largest, and how far the reports are from them."""
    code = find_place(posterior, place)
    at = find_period(posterior, None if period == ALL_PERIODS else period)
    name = place_name(posterior, code)
    label = period_labels(posterior)[at]
    head = f"Flows of {name} by corridor with credible intervals, and the reports of both sides"
    if period == ALL_PERIODS:
        head += f", over the {len(period_labels(posterior))} periods. The last, {label}"
    else:
        head += f", {label}"
    told = []
    for direction in DIRECTIONS:
        table = place_flows(posterior, code, direction, at)
        if table.empty:
            continue
        top = table.iloc[0]
        ways = "from" if direction == "immigration" else "to"
        told.append(
            f"{direction} over {len(table)} corridors, largest {ways} "
            f"{place_name(posterior, top['other'])}: {_limits(top)}{_reported(top)}"
        )
    return f"{head}: {'; '.join(told) or 'no corridor'}."


def _reported(row: pd.Series) -> str:
    sides = {"immigration": "receiving", "emigration": "sending"}
    told = [f"{row[s]:,.0f} by the {who} side" for s, who in sides.items() if row[s] >= 0]
    return f", reported as {' and '.join(told)}" if told else ", reported by nobody"


def describe_prior_predictive(posterior: Posterior) -> str:
    """Say how many of the reports lie where the priors expected them."""
    observed = np.log(report_table(posterior)["value"].to_numpy(dtype=float) + 0.5)
    draws = prior_predictive_draws(posterior)
    if draws is None:
        return f"Distribution of the {observed.size} observed reports, on a log scale. {NO_DRAWS}"
    low, high = np.quantile(draws, tail_quantiles(0.95), axis=0)
    inside = int(((observed >= low) & (observed <= high)).sum())
    ends = np.exp(np.quantile(draws, tail_quantiles(0.95))) - 0.5
    return (
        f"Distribution of the reports expected under the priors, on a log scale, against the "
        f"{observed.size} observed ones. 95 % of the expected reports lie between "
        f"{max(ends[0], 0):,.0f} and {ends[1]:,.0f} persons; {inside} of the {observed.size} "
        f"observed reports lie within their own 95 % prior interval ({KIND_WORDS})."
    )


def describe_prior_posterior(posterior: Posterior) -> str:
    """Say how much narrower each hyper-parameter became."""
    after = hyper_parameters(posterior, "posterior")
    before = hyper_parameters(posterior, "prior")
    told = []
    for name, draws in after.items():
        if name not in before or draws.shape[1] != 1:
            continue
        prior = before[name].to_numpy().std()
        if prior > 0:
            told.append(f"{name} {draws.to_numpy().std() / prior:.2f}")
    ratio = ", ".join(told) or "not known, there are no prior draws"
    return (
        f"Prior and posterior of {len(after)} hyper-parameters, a panel each. Posterior sd as a "
        f"share of the prior sd, for the scalars: {ratio}."
    )
