"""What figures need of a posterior, as small tables: one row a corridor, or one a report."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.errors import Fault, InputError, UsageError, nearest
from flowcast.places import resolve_place
from flowcast.posterior import Posterior
from flowcast.vocabulary import DEFAULT_PROBS, NO_EVIDENCE

__all__ = [
    "EVIDENCE_CLASSES",
    "evidence_class",
    "find_period",
    "find_place",
    "flow_table",
    "grid",
    "hyper_parameters",
    "period_labels",
    "place_name",
    "places_of",
    "report_table",
    "tail_quantiles",
]

EVIDENCE_CLASSES: Final = ("no report", "one report", "both reports", "other evidence")
"""`other evidence`: totals, stocks, surveys or digital traces, but no report of either side."""


def tail_quantiles(prob: float) -> tuple[float, float]:
    """Return the two quantiles of an equal-tailed interval.

    Examples
    --------
    >>> tail_quantiles(0.5)
    (0.25, 0.75)
    """
    return (1 - prob) / 2, (1 + prob) / 2


def period_labels(posterior: Posterior) -> list[str]:
    """Return a label for every period: the year, the years, or first and last day."""
    latent = posterior.tree["latent"]
    starts = pd.DatetimeIndex(latent["period_start"].to_numpy())
    ends = pd.DatetimeIndex(latent["period_end"].to_numpy())
    return [_label(a, b) for a, b in zip(starts, ends, strict=True)]


def _label(start: pd.Timestamp, end: pd.Timestamp) -> str:
    last = end - pd.Timedelta(days=1)
    if start.day_of_year == 1 and end.day_of_year == 1:
        return f"{start.year}" if start.year == last.year else f"{start.year} to {last.year}"
    return f"{start:%Y-%m-%d} to {last:%Y-%m-%d}"


def find_period(posterior: Posterior, period: int | str | None) -> int:
    """Return the position of a period given by its label, first day or year; None is the last.

    Raises
    ------
    UsageError
        If there is no such period, or several begin in that year.
    """
    labels = period_labels(posterior)
    if period is None:
        return len(labels) - 1
    starts = pd.DatetimeIndex(posterior.tree["latent"]["period_start"].to_numpy())
    wanted = str(period)
    for names in (labels, starts.strftime("%Y-%m-%d").tolist(), starts.strftime("%Y").tolist()):
        if names.count(wanted) == 1:
            return names.index(wanted)
    raise _unknown("period", wanted, labels)


def _unknown(what: str, found: str, allowed: Sequence[str]) -> UsageError:
    hint = nearest(found, allowed) or ""
    return UsageError(str(Fault("plot", repr(found), ", ".join(allowed), column=what, hint=hint)))


def places_of(posterior: Posterior) -> list[str]:
    """Return the codes of all places, sorted."""
    latent = posterior.tree["latent"]
    return sorted({*latent["origin"].to_numpy().tolist(), *latent["destination"].to_numpy()})


def find_place(posterior: Posterior, place: str | None) -> str:
    """Return the place, checked; None is the one with the largest flows in and out.

    Raises
    ------
    UsageError
        If the model has no such place.
    """
    places = places_of(posterior)
    if place is None:
        table = flow_table(posterior, find_period(posterior, None))
        ends = [table.groupby(side)["median"].sum() for side in ("origin", "destination")]
        return str(pd.concat(ends).groupby(level=0).sum().idxmax())
    if place not in places:
        raise _unknown("place", place, places)
    return place


def place_name(posterior: Posterior, code: str) -> str:
    """Return a place's short English name; a code of the user's own stays what it is."""
    if posterior.spec.codes != "iso":
        return code
    try:
        return resolve_place(code).name
    except InputError:
        return code


def flow_table(posterior: Posterior, period: int) -> pd.DataFrame:
    """Return the flows of one period, one row a corridor whose two places existed in it.

    Parameters
    ----------
    posterior
        The posterior.
    period
        Position of the period.

    Returns
    -------
    pandas.DataFrame
        `origin`, `destination`, `evidence`, `median`, and `lower_50`, `upper_50` ... `upper_95`:
        limits of the equal-tailed credible intervals. Persons per period.
    """
    log_flow = posterior.log_flow.isel(period=period).transpose("chain", "draw", "corridor")
    draws = np.exp(log_flow.to_numpy().astype(float).reshape(-1, log_flow.sizes["corridor"]))
    tails = [q for prob in DEFAULT_PROBS for q in tail_quantiles(prob)]
    names = [f"{s}_{100 * prob:.0f}" for prob in DEFAULT_PROBS for s in ("lower", "upper")]
    values = np.quantile(draws, [0.5, *tails], axis=0)
    evidence = posterior.evidence.isel(period=period)
    table = pd.DataFrame(
        {
            "origin": log_flow["origin"].to_numpy().astype(str),
            "destination": log_flow["destination"].to_numpy().astype(str),
            "evidence": evidence.to_numpy().astype(str),
            **dict(zip(["median", *names], values, strict=True)),
        }
    )
    return table.dropna(subset="median", ignore_index=True)


def report_table(posterior: Posterior) -> pd.DataFrame:
    """Return the fitted reports: `origin, destination, period, side, reporter, value`."""
    reports = posterior.tree["reports"]
    columns = ("origin", "destination", "period", "side", "reporter", "value")
    return pd.DataFrame({name: reports[name].to_numpy() for name in columns}).reset_index(drop=True)


def evidence_class(evidence: str) -> str:
    """Return which of `EVIDENCE_CLASSES` a cell belongs to.

    Examples
    --------
    >>> evidence_class("one_report+total"), evidence_class("none"), evidence_class("stock")
    ('one report', 'no report', 'other evidence')
    """
    parts = evidence.split("+")
    if "both_reports" in parts:
        return "both reports"
    if "one_report" in parts:
        return "one report"
    return "no report" if parts in ([NO_EVIDENCE], [""]) else "other evidence"


def grid(table: pd.DataFrame, column: str, places: Sequence[str]) -> NDArray[np.float64]:
    """Return a column as a matrix origin x destination; NaN where there is no corridor."""
    wide = table.pivot(index="origin", columns="destination", values=column)
    return wide.reindex(index=list(places), columns=list(places)).to_numpy(dtype=float)


def hyper_parameters(posterior: Posterior, group: str) -> dict[str, pd.DataFrame]:
    """Return the draws of every hyper-parameter of a group of the tree.

    Returns
    -------
    dict of pandas.DataFrame
        By variable: one row a draw (chains one after another), one column an element, named by
        its coordinates (`""` for a scalar). Empty where the tree has no such group.
    """
    if group not in posterior.tree.children:
        return {}
    found = {}
    for name, values in posterior.tree[group].data_vars.items():
        inner = [d for d in values.dims if d not in ("chain", "draw")]
        ordered = values.transpose("chain", "draw", *inner)
        labels = [""]
        for dim in inner:
            labels = [
                f"{a}, {b}".removeprefix(", ") for a in labels for b in ordered[dim].to_numpy()
            ]
        size = ordered.sizes["chain"] * ordered.sizes["draw"]
        found[str(name)] = pd.DataFrame(ordered.to_numpy().reshape(size, -1), columns=labels)
    return found
