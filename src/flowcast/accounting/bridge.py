"""Flows derived from stocks as reports that a model can be fitted to, with their draws' error.

A flow between two stock tables is no report of a flow, and not the model of somebody else either:
it is arithmetic on two counts of people. So its rows are of the family ``census``, as transitions
between the two dates, and the model learns their bias and noise where registers report the same
corridors. They carry the names, hashes and roles of the tables they were made of.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._hashes import file_hash, joint_hash
from flowcast._source_roles import read_roles, registered_role
from flowcast.accounting._named import check_values, refuse_dims, same_labels
from flowcast.errors import Faults, HeldOutError, UsageError, require_word
from flowcast.observations import Observations, observations_from_frame
from flowcast.vocabulary import Criterion, GradeClass, Role

__all__ = [
    "ACCURACY",
    "LogSummary",
    "StockSource",
    "bridge_flows",
    "log_reports",
    "stock_source",
    "summarise_logs",
]

FloatArray = NDArray[np.float64]

PAIR: Final = ("origin", "destination")
DATES: Final = ("period_start", "period_end")
SAMPLE: Final = ("chain", "draw")
LOG_SHIFT: Final = 0.5
"""Added before logarithms are taken, as everywhere that counts are compared: some draws are 0."""
ACCURACY: Final[Mapping[GradeClass, float]] = {"high": 0.2, "medium": 0.5, "low": np.inf}
"""Accuracy class by the largest sd of the log of the draws."""
_HASH: Final = 12


@dataclass(frozen=True, slots=True)
class StockSource:
    """A file that flows were computed from.

    Attributes
    ----------
    name
        Id of the source, as in the registry.
    sha256
        Hash of the file's bytes.
    role
        ``"fit"``, or ``"held_out"`` where it may judge a model but not inform it.
    """

    name: str
    sha256: str
    role: Role = "fit"


def stock_source(
    path: str | os.PathLike[str], name: str, *, role: Role = "fit", registry: Path | None = None
) -> StockSource:
    """Return a file that flows were computed from, with its hash and role.

    Parameters
    ----------
    path
        Any file, such as a stock table or vital events.
    name
        Id of the source. One that the registry calls ``heldout`` is held out, whatever `role` says.
    role
        Of a source that is not registered.
    registry
        Your own registry of sources.

    Returns
    -------
    StockSource

    Raises
    ------
    InputError
        If the registry has faults.
    """
    registered = registered_role(name, read_roles(*([registry] if registry else [])))
    return StockSource(name, file_hash(path), "held_out" if registered == "heldout" else role)


def bridge_flows(
    flows: xr.DataArray,
    sources: Sequence[StockSource],
    label: str,
    *,
    criterion: Criterion = "residence",
    least: float = 1.0,
    declared_places: Collection[str] | None = None,
) -> Observations:
    """Return draws of flows from stocks as observations: a row a corridor and period.

    Parameters
    ----------
    flows
        Persons per period, 0 or more; dims (origin, destination, period) and draw (or chain and
        draw), as from `demographic_flows` or `pseudo_bayes_flows` run on draws of stocks, with the
        two dates as coordinates `period_start` and `period_end` of the period. NaN is no flow.
    sources
        The files they were computed from, the stocks first.
    label
        What the flows are called: the source of the rows is ``<name of the stocks>_<label>``, so
        that whatever the registry says of the stocks holds for their flows as well.
    criterion
        ``residence`` for demographic accounting, whose flows are from one residence to another;
        ``birth`` for differences of stocks, whose origin is a birthplace.
    least
        Corridors whose median draw is below so many persons have no row. Such a zero says that
        nobody had to move for the second table to follow from the first, not that nobody did.
    declared_places
        As for `read_observations`.

    Returns
    -------
    Observations
        `value` is the centre of the draws on the log scale (``log(x + 1/2)``), `standard_error`
        their sd on that scale times the value, `accuracy_class` by that sd (`ACCURACY`), `reporter`
        ``other``, `flag` what it was made of. The hash covers rows and sources.

    Raises
    ------
    HeldOutError
        If a source is held out: nothing made from it may enter a fit.
    InputError
        With every dim, label, date or value that does not fit.
    UsageError
        If there is no source, or no such criterion.

    Examples
    --------
    >>> days = [np.datetime64(f"{y}-07-01") for y in (2000, 2005)]
    >>> flows = xr.DataArray(
    ...     [[[[0.0, 90.0], [8.0, 0.0]]], [[[0.0, 110.0], [0.0, 0.0]]]],
    ...     dims=("draw", "period", "origin", "destination"),
    ...     coords={"origin": ["AT", "DE"], "destination": ["AT", "DE"],
    ...             "period_start": ("period", days[:1]), "period_end": ("period", days[1:])},
    ... )
    >>> rows = bridge_flows(flows, [StockSource("census", "ab12")], "closed").table
    >>> rows[["origin", "destination", "value", "accuracy_class"]].round(1).values.tolist()
    [['AT', 'DE', 99.5, 'high'], ['DE', 'AT', 1.6, 'low']]
    """
    values = _checked(flows)
    places = [values[dim].to_numpy().astype(str) for dim in PAIR]
    apart = np.nonzero(places[0][:, None] != places[1])
    cells = values.to_numpy().astype(np.float64)[:, :, *apart]
    bounds = np.stack([values[name].to_numpy() for name in DATES], axis=1)
    pairs = places[0][apart[0]], places[1][apart[1]]
    told = summarise_logs(cells.transpose(2, 1, 0))
    return log_reports(*pairs, bounds, told, sources, label, criterion, least, declared_places)


@dataclass(frozen=True, slots=True)
class LogSummary:
    """Draws of flows in three numbers, each of shape (corridor, period).

    Attributes
    ----------
    median
        Persons.
    centre, sd
        Mean and standard deviation of ``log(x + 1/2)``.
    """

    median: FloatArray
    centre: FloatArray
    sd: FloatArray


def summarise_logs(draws: FloatArray) -> LogSummary:
    """Summarise draws, shape (corridor, period, sample), persons."""
    logs = np.log(draws + LOG_SHIFT)
    return LogSummary(np.median(draws, axis=-1), logs.mean(axis=-1), logs.std(axis=-1, ddof=1))


def log_reports(
    origin: NDArray[np.str_],
    destination: NDArray[np.str_],
    bounds: NDArray[np.datetime64],
    told: LogSummary,
    sources: Sequence[StockSource],
    label: str,
    criterion: Criterion = "residence",
    least: float = 1.0,
    declared_places: Collection[str] | None = None,
) -> Observations:
    """Return summaries of draws as observations; what `bridge_flows` says holds.

    Parameters
    ----------
    origin, destination
        Of each corridor, (corridor,).
    bounds
        First day, and day after the last, of each period, (period, 2).
    told
        The draws.
    sources, label, criterion, least, declared_places
        As for `bridge_flows`.

    Raises
    ------
    HeldOutError, InputError, UsageError
        As `bridge_flows`.
    """
    require_word("criterion", criterion, get_args(Criterion))
    _require_fit(sources)
    frame = _rows(origin, destination, bounds, told, least)
    made = "; ".join(f"{s.role}:{s.name}@{s.sha256[:_HASH]}" for s in sources)
    name = f"{sources[0].name}_{label}"
    frame = frame.assign(
        source=name,
        family="census",
        measure="flow",
        reporter="other",
        criterion=criterion,
        flag=made,
    )
    whole = f"{name} [{len(frame):,} of {told.median.size:,} corridors and periods, from {made}]"
    found = observations_from_frame(frame, name=whole, declared_places=declared_places)
    return replace(found, sha256=joint_hash([found.sha256, *(s.sha256 for s in sources)]))


def _require_fit(sources: Sequence[StockSource]) -> None:
    if not sources:
        raise UsageError("(sources) | found none; allowed: the files the flows were computed from")
    roles = read_roles()
    held = [
        s.name
        for s in sources
        if s.role == "held_out" or registered_role(s.name, roles) == "heldout"
    ]
    if held:
        raise HeldOutError(
            f"(sources) | found flows made from held-out sources ({', '.join(held)}); allowed: "
            "only sources with the role 'fit' may enter a fit, by any way"
        )


def _checked(flows: xr.DataArray) -> xr.DataArray:
    """Return the flows as (draw, period, origin, destination)."""
    faults = Faults("flows")
    refuse_dims(faults, "flows", flows, (*PAIR, "period", "draw"), ("chain",))
    faults.raise_if_any()
    same_labels(faults, "flows", flows, PAIR)
    check_values(faults, "flows", flows.fillna(0.0))
    for dim in PAIR:
        if dim not in flows.indexes:
            faults.add(f"no labels of {dim}", "codes of places")
    for name in DATES:
        if name not in flows.coords or flows[name].dims != ("period",):
            faults.add(f"no coordinate {name} of period", "the dates of the two stock tables")
    if flows.sizes["draw"] < 2:
        faults.add("1 draw", "several, which tell the error")
    faults.raise_if_any()
    if "chain" in flows.dims:
        flows = flows.stack(sample=SAMPLE).drop_vars(("sample", *SAMPLE)).rename(sample="draw")
    return flows.transpose("draw", "period", *PAIR)


def _rows(
    origin: NDArray[np.str_],
    destination: NDArray[np.str_],
    bounds: NDArray[np.datetime64],
    told: LogSummary,
    least: float,
) -> pd.DataFrame:
    """Return one row for each corridor and period that the draws say something of."""
    period, corridor = np.nonzero(least <= told.median.T)  # of NaN no comparison is true
    centre, sd = told.centre[corridor, period], told.sd[corridor, period]
    value = np.exp(centre) - LOG_SHIFT
    days = bounds.astype("datetime64[D]").astype(str)[period]
    grade = np.select([sd <= most for most in ACCURACY.values()], list(ACCURACY), "low")
    return pd.DataFrame(
        {
            "origin": origin[corridor],
            "destination": destination[corridor],
            **{name: days[:, k] for k, name in enumerate(DATES)},
            "value": value,
            "standard_error": sd * value,
            "accuracy_class": grade,
        }
    )
