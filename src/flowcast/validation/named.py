"""Alternatives to a model by name: other priors, other assumptions about measurement."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import Field

from flowcast._measurement import FrozenModel
from flowcast.config import CovariateTerm, ModelSpec, read_typed
from flowcast.errors import Fault, InputError, UsageError, nearest
from flowcast.model.hyper import scalar_priors, vector_priors
from flowcast.model.problem import Problem, has_heavy_tails
from flowcast.priors import Prior
from flowcast.resources import embedded_path

__all__ = ["Alternative", "apply_alternatives", "choose_alternatives", "read_alternatives"]

Need = Literal[
    "heavy_tails", "undercount", "definitions", "reporter_effects", "reporter_period_effects",
    "corridor_report_effects", "autoregression", "poisson", "delta",
]  # fmt: skip

COVARIATES: Final = "process.covariates"
_HAS: Final[dict[Need, tuple[str, Callable[[Problem], bool]]]] = {
    "heavy_tails": ("heavy tails", has_heavy_tails),
    "undercount": ("shares reported", lambda p: p.parts.share and bool(p.labels["share_class"])),
    "definitions": (
        "report by another minimum stay than 12 months",
        lambda p: p.parts.duration and bool(p.reports.duration.any()),
    ),
    "reporter_effects": ("reporter effects", lambda p: p.parts.reporter),
    "reporter_period_effects": ("reporter-by-period effects", lambda p: p.parts.reporter_period),
    "corridor_report_effects": ("corridor-by-source effects", lambda p: p.parts.series),
    "autoregression": ("autoregression", lambda p: p.parts.path),
    "poisson": ("Poisson counts", lambda p: p.spec.measurement.counts == "poisson"),
    "delta": ("counts by the delta method", lambda p: p.spec.measurement.counts == "delta"),
}
"""What an alternative may need, in words, and whether a problem has it."""


class Alternative(FrozenModel):
    """How a model is changed: keys, and priors in proportion to the model's own."""

    about: str = ""
    """What is assumed instead."""
    needs: tuple[Need, ...] = ()
    """Parts without which it would change nothing."""
    set: Mapping[str, Any] = Field(default_factory=dict)
    """Dotted keys and their values."""
    times: Mapping[str, float] = Field(default_factory=dict)
    """Priors whose parameter becomes so many times as large; of a share, its mean."""
    widen: Mapping[str, float] = Field(default_factory=dict)
    """Priors that become so many times as wide around the same centre."""


class _File(FrozenModel):
    """What a file of alternatives holds."""

    alternatives: Mapping[str, Alternative]


def read_alternatives(path: str | Path | None = None) -> dict[str, Alternative]:
    """Read alternatives by name.

    Parameters
    ----------
    path
        A YAML file with the key `alternatives`; by default those that flowcast has.

    Raises
    ------
    InputError
        With every fault of the file.

    Examples
    --------
    >>> read_alternatives()["tails_normal"].set["tails.reports"] is None
    True
    """
    file = embedded_path("models", "alternatives.yaml") if path is None else Path(path)
    return dict(read_typed(file, _File).alternatives)


def choose_alternatives(names: Iterable[str | Path]) -> dict[str, Alternative]:
    """Return alternatives given by the names that flowcast has, and by files of others.

    Parameters
    ----------
    names
        Names, and paths that end in ``.yaml`` or ``.yml``; none stands for all that flowcast has.

    Raises
    ------
    UsageError
        With every unknown name, and the nearest known one.
    InputError
        With every fault of a file.
    """
    known, wrong = read_alternatives(), []
    chosen: dict[str, Alternative] = {}
    for name in map(str, names):
        if name.endswith((".yaml", ".yml")):
            chosen |= read_alternatives(name)
        elif name in known:
            chosen[name] = known[name]
        else:
            hint = nearest(name, known)
            wrong.append(f"'{name}'" + (f" (did you mean {hint}?)" if hint else ""))
    if wrong:
        allowed = f"a YAML file, {', '.join(known)}"
        raise UsageError(f"(alternatives) | found {', '.join(wrong)}; allowed: {allowed}")
    return chosen or known


def apply_alternatives(
    alternatives: Mapping[str, Alternative], problem: Problem
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Turn alternatives into dotted keys of a model; those that would change nothing are told.

    Parameters
    ----------
    alternatives
        By name.
    problem
        The model with its data, which decide together what parts there are.

    Returns
    -------
    overrides : dict
        By name, dotted keys to lay over the model.
    left_out : dict
        By name, why there is nothing to change.

    Raises
    ------
    InputError
        With every key that is no prior of the model, and every prior that cannot be changed so.
    """
    overrides: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    faults: list[Fault] = []
    for name, one in alternatives.items():
        lacking = [_HAS[need][0] for need in one.needs if not _HAS[need][1](problem)]
        if lacking:
            left_out[name] = f"the model has no {' and no '.join(lacking)} with these reports"
            continue
        try:
            laid = dict(one.set) | _scaled(name, one, problem)
        except InputError as error:
            faults += error.faults
            continue
        if laid:
            overrides[name] = laid
        else:
            left_out[name] = "the model has none of these parameters with these reports"
    if faults:
        raise InputError(faults)
    return overrides, left_out


def _scaled(name: str, one: Alternative, problem: Problem) -> dict[str, Any]:
    """Return the changed priors of an alternative as dotted keys."""
    present = _present_priors(problem)
    every = {**_all_priors(problem.spec), COVARIATES: None}
    out: dict[str, Any] = {}
    faults: list[Fault] = []
    for how, wanted in (("times", one.times), ("widen", one.widen)):
        change = _CHANGES[how]
        for pattern, factor in wanted.items():
            where = f"alternative {name}"
            found = [key for key in every if fnmatchcase(key, pattern)]
            if not found:
                hint = nearest(pattern, every) or ""
                faults.append(Fault(where, "no such prior", column=pattern, hint=hint))
            try:
                for key in found:
                    if key == COVARIATES:
                        out |= _covariates(problem.spec.process.covariates, change, factor)
                    elif key in present:
                        out[key] = _plain(change(present[key], factor))
            except ValueError as error:
                faults.append(Fault(where, f"{factor:g}", str(error), column=pattern))
    if faults:
        raise InputError(faults)
    return out


def _all_priors(spec: ModelSpec) -> dict[str, Prior]:
    """Return every prior of a model by its dotted key, whether it is used or not."""
    out = {}
    for part in ("process", "measurement"):
        settings = getattr(spec, part)
        for name in type(settings).model_fields:
            if isinstance(prior := getattr(settings, name), Prior):
                out[f"{part}.{name}"] = prior
    return out


def _present_priors(problem: Problem) -> dict[str, Prior]:
    """Return the priors that the problem uses, by dotted key."""
    used = set(scalar_priors(problem)) | {"intercept"}
    for name, (_, labels, _) in vector_priors(problem).items():
        stem = {"duration_increment": "duration", "share_reported": "share"}.get(name)
        used |= {f"{stem}_{label}" for label in labels} if stem else {name}
    carried = {str(name).split("[")[0] for name in problem.effects.names}
    every = _all_priors(problem.spec)
    return {k: p for k, p in every.items() if k.split(".")[1] in used | carried}


def _covariates(
    terms: Sequence[CovariateTerm], change: Callable[[Prior, float], Prior], factor: float
) -> dict[str, Any]:
    if not terms:
        return {}
    plain = [term.model_dump() | {"prior": _plain(change(term.prior, factor))} for term in terms]
    return {COVARIATES: plain}


def _plain(prior: Prior) -> dict[str, list[float]]:
    return {prior.shape: list(prior.numbers)}


def _times(prior: Prior, factor: float) -> Prior:
    """Return the prior of a parameter that is so many times as large; of a share, by its mean."""
    if not factor > 0.0:
        raise ValueError("a factor above 0")
    a, b = prior.numbers[0], prior.numbers[-1]
    if prior.shape == "beta" and not factor * a / (a + b) < 1.0:
        raise ValueError(f"a factor that leaves the mean, {a / (a + b):.3g}, below 1")
    changed: dict[str, Callable[[], list[float]]] = {
        "normal": lambda: [a * factor, b * factor],
        "half_normal": lambda: [a * factor],
        "half_t": lambda: [a, b * factor],
        "log_normal": lambda: [a + float(np.log(factor)), b],
        "beta": lambda: [a * factor, b + a * (1.0 - factor)],
        "gamma": lambda: [a, b / factor],
        "exponential": lambda: [a / factor],
        "positive_normal": lambda: [a * factor, b * factor],
        "precision_gamma": lambda: [a, b * factor**2],
    }
    return Prior.make(prior.shape, changed[prior.shape]())


def _widen(prior: Prior, factor: float) -> Prior:
    """Return a prior so many times as wide: its sd (of a log-normal, that of the log) grows."""
    if not factor > 0.0:
        raise ValueError("a factor above 0")
    a, b = prior.numbers[0], prior.numbers[-1]
    if prior.shape in ("normal", "log_normal", "positive_normal"):
        return Prior.make(prior.shape, [a, b * factor])
    if prior.shape == "beta":  # the variance is m (1 - m) / (a + b + 1)
        size = ((a + b + 1.0) / factor**2 - 1.0) / (a + b)
        if not size > 0.0:
            raise ValueError("a factor that leaves a Beta distribution")
        return Prior.make("beta", [a * size, b * size])
    if prior.shape == "gamma":  # the relative sd is 1 / sqrt(shape)
        return Prior.make("gamma", [a / factor**2, b / factor**2])
    raise ValueError(f"times: {prior.shape} has no centre of its own")


_CHANGES: Final[dict[str, Callable[[Prior, float], Prior]]] = {"times": _times, "widen": _widen}
