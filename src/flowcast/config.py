"""Typed settings: the model specification and how it is read from YAML.

Unknown keys are refused with the nearest name; every fault of a file is listed at once. Precedence,
lowest first: defaults here, `model.yaml`, overrides given on the command line or in Python.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from flowcast._measurement import (
    FrozenModel,
    Measurement,
    MeasurementEffect,
    MissingRule,
    PriorField,
    Transform,
    make_prior,
    require_normal,
)
from flowcast._yaml import load_yaml
from flowcast.errors import Fault, InputError, nearest
from flowcast.priors import Prior
from flowcast.resources import embedded_names, embedded_path
from flowcast.vocabulary import Period, Quantity

__all__ = [
    "CovariateTerm",
    "Measurement",
    "MeasurementEffect",
    "ModelSpec",
    "Process",
    "Sampler",
    "Tails",
    "apply_overrides",
    "dump_model",
    "plain_settings",
    "read_model",
    "read_typed",
    "validate_model",
    "validation_faults",
]

Side = Literal["origin", "destination", "corridor", "ratio"]


class CovariateTerm(FrozenModel):
    """One covariate of the gravity process and the prior of its coefficient."""

    name: str
    """Name of the coefficient in tables and plots."""
    column: str
    """Column of the places or corridors file."""
    side: Side = "corridor"
    """Whose value: the origin's, the destination's, the corridor's, or destination / origin."""
    transform: Transform = "none"
    """Applied to the value before centring; `log` wants positive values."""
    missing: MissingRule = "refuse"
    """What to do with a cell whose value is missing; `refuse` stops and names the cells."""
    reverse: bool = False
    """For a corridor column: take the value of the opposite direction."""
    prior: PriorField = make_prior("normal", 0.0, 1.0)
    """Prior of the coefficient, per unit of the transformed covariate. Must be normal."""

    @field_validator("prior")
    @classmethod
    def _normal_only(cls, prior: Prior) -> Prior:
        return require_normal(prior)


class Process(FrozenModel):
    """The gravity process of the latent log flow."""

    intercept: PriorField = make_prior("normal", 6.0, 3.0)
    """Log flow of a cell whose covariates are all at their means. Must be normal."""
    covariates: tuple[CovariateTerm, ...] = ()
    origin_effects: bool = True
    destination_effects: bool = True
    corridor_effects: bool = True
    autoregressive: bool = True
    """AR(1) deviations of a corridor over periods; dropped where there is one period only."""
    sd_origin: PriorField = make_prior("half_normal", 1.0)
    sd_destination: PriorField = make_prior("half_normal", 1.0)
    sd_corridor: PriorField = make_prior("half_normal", 1.0)
    sd_innovation: PriorField = make_prior("half_normal", 0.5)
    ar_coefficient: PriorField = make_prior("beta", 4.0, 2.0)

    @field_validator("intercept")
    @classmethod
    def _normal_only(cls, prior: Prior) -> Prior:
        return require_normal(prior)


class Tails(FrozenModel):
    """Degrees of freedom of the Student-t spreads; empty (null) means normal."""

    reports: float | None = Field(default=4.0, gt=2.0)
    """Noise of the reports of one corridor by one reporter: some corridors are noisier."""
    innovations: float | None = Field(default=4.0, gt=2.0)
    """Year-to-year change of a corridor: some corridors are more volatile."""
    reporters: float | None = Field(default=4.0, gt=2.0)
    """Reporter effects and reporter-by-period effects: some reporters are far off."""


class Sampler(FrozenModel):
    """How the posterior is sampled, and when it is believed."""

    method: Literal["laplace", "nuts"] = "laplace"
    """`laplace`: a normal around the mode, corrected by importance sampling; where the weights fail
    the gate, NUTS follows. `nuts`: NUTS at once."""
    importance_draws: int = Field(default=6000, ge=100)
    """At most so many draws are weighed by `laplace`; it stops before if they suffice."""
    draws: int = Field(default=1000, ge=10)
    tune: int = Field(default=400, ge=10)
    chains: int = Field(default=2, ge=2)
    seed: int = Field(default=1, ge=0)
    target_accept: float = Field(default=0.8, gt=0.5, lt=1.0)
    max_depth: int = Field(default=10, ge=1, le=15)
    """A trajectory of NUTS has at most 2 to this power less one steps. Where there is so much data
    that the posterior is nearly normal, 2 gives three times as many effective draws a gradient:
    longer trajectories lead to the other side of the mode, and the spread mixes slowly."""
    kept_draws: int = Field(default=1000, ge=10)
    """Draws of the latent flows kept over all chains, evenly spaced."""
    sweeps: int = Field(default=3, ge=0)
    """Sweeps of a Markov chain on the exact model (Poisson counts, random weights) that every kept
    draw takes; 0 keeps the draws of the approximation."""
    max_rhat: float = Field(default=1.01, gt=1.0)
    min_ess: float = Field(default=400.0, gt=0.0)


class Data(FrozenModel):
    """Files of the model, relative to the model file."""

    observations: tuple[str, ...] = ()
    places: str | None = None
    corridors: str | None = None


class ModelSpec(FrozenModel):
    """A whole model: data, process, measurement, tails, sampler. No code.

    Examples
    --------
    >>> ModelSpec(name="tiny").sampler.chains
    2
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    title: str = ""
    quantity: Quantity = "flow"
    """What a cell is: the moves of a period (`flow`), or the people who live in the destination and
    came from the origin, once a year (`stock`)."""
    period: Period = "shortest"
    """The model's periods: as long as the shortest flow's (`shortest`), or calendar years (`year`),
    of which a figure may cover a part: months so far, two quarters. With `middle_year` in addition,
    a flow between two places over several years is a report of the year in their middle, not the
    sum of its years: for stock differences and censuses of many corridors."""
    periods_ahead: int = Field(default=0, ge=0)
    """Periods after the last reported one that are estimated too: a forecast by the process alone,
    with the covariates given for them."""
    codes: Literal["iso", "declared"] = "iso"
    """`declared`: the codes of the places file are taken as they are."""
    data: Data = Data()
    process: Process = Process()
    measurement: Measurement = Measurement()
    tails: Tails = Tails()
    sampler: Sampler = Sampler()
    folder: Path | None = Field(default=None, exclude=True)
    """Where the file lies; paths in `data` are relative to it. Not part of the file."""

    @model_validator(mode="after")
    def _unique_terms(self) -> "ModelSpec":
        names = [term.name for term in self.process.covariates]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"covariate names used twice: {', '.join(twice)}")
        return self

    def data_path(self, relative: str) -> Path:
        """Return a data file's path; relative names count from the model's folder."""
        path = Path(relative)
        return path if path.is_absolute() or self.folder is None else self.folder / path


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys allowed where pydantic found an unknown one."""
    current: Any = model
    free = False  # the step is a key of the user's own
    for step in location[:-1]:
        if isinstance(step, int) or free:
            free = False
            continue
        field = current.model_fields.get(step) if hasattr(current, "model_fields") else None
        if field is None:
            return []
        current = field.annotation
        free = get_origin(current) is Mapping
        for inner in get_args(current):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                current = inner
    fields = getattr(current, "model_fields", {})
    return [name for name, field in fields.items() if not field.exclude]


def read_typed[M: BaseModel](path: str | Path, model: type[M]) -> M:
    """Read a YAML file as one of the project's typed settings.

    Raises
    ------
    InputError
        With every fault of the file: unknown keys (and the nearest name), wrong types, impossible
        numbers.
    """
    raw = load_yaml(Path(path))
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(validation_faults(error, str(path), model)) from None


def validation_faults(error: ValidationError, where: str, model: type[BaseModel]) -> list[Fault]:
    """Return what is wrong with plain data for a model; `where` is what messages call it."""
    out = []
    for item in error.errors():
        location = item["loc"]
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).lstrip(".")
        if item["type"] == "extra_forbidden":
            keys = _allowed_keys(model, location)
            hint = nearest(str(location[-1]), keys) or ""
            out.append(Fault(where, "unknown key", ", ".join(keys), column=path or None, hint=hint))
        else:
            found = repr(item.get("input")) if item["type"] != "missing" else "nothing"
            allowed = item["msg"].removeprefix("Value error, ")
            out.append(Fault(where, found, allowed, column=path or None))
    return out


def read_model(path: str | Path, overrides: Mapping[str, Any] | None = None) -> ModelSpec:
    """Read and validate a model specification.

    Parameters
    ----------
    path
        A YAML file, a folder that holds `model.yaml`, or the name of an embedded model.
    overrides
        Dotted keys and values laid over the file, such as ``{"sampler.draws": 500}``.

    Returns
    -------
    ModelSpec
        Frozen; `folder` remembers where relative data paths count from.

    Raises
    ------
    InputError
        With every fault: unknown keys (and the nearest name), wrong types, impossible numbers.

    Examples
    --------
    >>> read_model("europe_2024").name
    'europe_2024'
    """
    file = _find_model(path)
    raw = apply_overrides(load_yaml(file), overrides or {})
    return validate_model(raw, str(file)).model_copy(update={"folder": file.resolve().parent})


def validate_model(raw: Mapping[str, Any], where: str) -> ModelSpec:
    """Validate a model given as plain data; `where` is what messages call it.

    Raises
    ------
    InputError
        With every fault.
    """
    try:
        return ModelSpec.model_validate(raw)
    except ValidationError as error:
        raise InputError(validation_faults(error, where, ModelSpec)) from None


def _find_model(path: str | Path) -> Path:
    file = Path(path)
    if file.is_dir():
        file = file / "model.yaml"
    if file.is_file():
        return file
    names = embedded_names("models")
    if str(path) in names:
        return embedded_path("models", str(path), "model.yaml")
    raise InputError(
        [
            Fault(
                str(path),
                "no such model file",
                "a YAML file, a folder with model.yaml, or an embedded model: " + ", ".join(names),
                hint=nearest(str(path), names) or "",
            )
        ]
    )


def apply_overrides(raw: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `raw` with dotted keys replaced; nothing given is changed in place.

    Examples
    --------
    >>> apply_overrides({"sampler": {"draws": 10}}, {"sampler.seed": 4})
    {'sampler': {'draws': 10, 'seed': 4}}
    """
    out: dict[str, Any] = dict(raw)
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        target = out
        for key in parents:
            inner = target.get(key)
            target[key] = dict(inner) if isinstance(inner, Mapping) else {}
            target = target[key]
        target[last] = value
    return out


def dump_model(spec: ModelSpec) -> str:
    """Return the specification as applied, every default written out, as YAML."""
    return yaml.safe_dump(plain_settings(spec), sort_keys=False, allow_unicode=True)


def plain_settings(value: Any) -> Any:
    """Return settings as plain data, every default written out, as YAML and JSON hold it."""
    if isinstance(value, Prior):
        return {value.shape: list(value.numbers)}
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {k: plain_settings(getattr(value, k)) for k, f in fields.items() if not f.exclude}
    if isinstance(value, Mapping):
        return {k: plain_settings(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_settings(v) for v in value]
    return value
