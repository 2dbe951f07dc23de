"""Settings of a projection: priors of the process, sizes of classes, draws. Read from YAML."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator

from flowcast._measurement import FrozenModel, PriorField, make_prior, require_normal
from flowcast.config import read_typed
from flowcast.priors import Prior

__all__ = ["DriverEffect", "ProjectionSpec", "read_projection_spec"]


class DriverEffect(FrozenModel):
    """How one driver moves rates: prior effects, re-estimated where its history is known."""

    leaving: PriorField | None = None
    """On the log out-rate of a place (drivers of places only)."""
    arriving: PriorField | None = None
    """On the log share that goes to a place, or on the log flow of a corridor."""
    reference: str = ""
    """Where the prior comes from."""

    @field_validator("leaving", "arriving")
    @classmethod
    def _normal(cls, value: Prior | None) -> Prior | None:
        return None if value is None else require_normal(value)


_MODEL: Final = (
    "elasticities with effects of countries in gravity models of five-yearly flows: a weak prior"
)
_WEAK: Final = "own: no effect, and not a strong one"
_CONFLICT: Final = "own: people leave violence and avoid it, by how much depends on the place"
_BORDERS: Final = "own: more people come where they may, by how much is wide open"
_CLIMATE: Final = "own: effects of climate are small and depend on the place, so strong shrinkage"


def _effect(
    leaving: tuple[float, float] | None,
    arriving: tuple[float, float] | None,
    reference: str,
) -> DriverEffect:
    made = [None if one is None else Prior.make("normal", list(one)) for one in (leaving, arriving)]
    return DriverEffect(leaving=made[0], arriving=made[1], reference=reference)


DEFAULT_EFFECTS: Final[Mapping[str, DriverEffect]] = {
    # Flows follow the population of the origin one to one: rates are per person-year.
    "population": _effect(None, (0.69, 0.2), _MODEL),
    "gdp_per_head": _effect((0.17, 0.15), (0.01, 0.15), _MODEL),
    "working_age_share": _effect((0.0, 0.3), (0.0, 0.3), _WEAK),
    "education": _effect((0.0, 0.2), (0.0, 0.2), _WEAK),
    "urban_share": _effect((0.0, 0.2), (0.0, 0.2), _WEAK),
    "temperature": _effect((0.02, 0.03), (0.0, 0.03), _CLIMATE),
    "precipitation": _effect((-0.02, 0.05), (0.0, 0.05), _CLIMATE),
    "drought": _effect((-0.02, 0.03), (0.0, 0.03), _CLIMATE),
    "crop_yield": _effect((-0.05, 0.1), (0.0, 0.1), _CLIMATE),
    "sea_level": _effect((0.0, 0.1), (0.0, 0.1), _CLIMATE),
    "conflict": _effect((0.05, 0.05), (-0.02, 0.05), _CONFLICT),
    "free_movement": _effect(None, (0.4, 0.3), _BORDERS),
    "visa": _effect(None, (-0.2, 0.2), _BORDERS),
}
"""Prior effects on the scale that `flowcast.projection.effects` says for each driver."""


def _require_shape(prior: Prior, shape: str) -> Prior:
    if prior.shape != shape:
        raise ValueError(f"found {prior.shape}; allowed: {shape}")
    return prior


class ProjectionSpec(FrozenModel):
    """What a projection assumes; each prior can be changed in its own YAML file."""

    phi: PriorField = make_prior("beta", 5.0, 2.0)
    """Persistence of deviations from one period to the next, of each class of size."""
    sd_mean: float = Field(default=3.0, gt=0.0)
    """Spread of units' means around the level of their class, in logs: wide, so that a mean is
    hardly drawn towards others'."""
    sd_innovation: PriorField = make_prior("half_normal", 1.0)
    """Scale of innovations, of each class."""
    shared_phi: PriorField = make_prior("beta", 2.0, 2.0)
    """Persistence of what a destination's shares, or all out-rates, have in common in a period."""
    shared_sd: PriorField = make_prior("half_normal", 0.5)
    """Its innovations."""
    effects: Mapping[str, DriverEffect] = Field(default_factory=lambda: dict(DEFAULT_EFFECTS))
    """Of drivers by name; those given here replace the default of that driver only."""
    size_edges: tuple[float, ...] = (10.0, 100.0, 1e3, 1e4, 1e5)
    """Mean flows a period, in persons, between which corridors are of one class."""
    counted_from: float = Field(default=0.5, gt=0.0)
    """Smallest flow that the history can tell from none, in persons a period: a zero means less."""
    largest_jump: float = Field(default=2.0, gt=0.0)
    """Largest change of a log from one period to the next, where the history has one period only
    and cannot tell."""
    return_share: float = Field(default=0.25, gt=0.0, lt=1.0)
    """Share of the first period's moves that go back to the country of birth; from it follows how
    much likelier these are than others. Only used where stocks by birthplace are given. About one
    move of four by Azose and Raftery (2019), doi 10.1073/pnas.1722334116."""
    chains: int = Field(default=2, ge=1)
    """Independent chains: whether they agree says whether draws may be trusted."""
    tune: int = Field(default=300, ge=1)
    """Sweeps of each chain that are thrown away."""
    draws: int = Field(default=500, ge=4)
    """Draws kept of all chains together."""
    sweeps: int = Field(default=4, ge=1)
    """Sweeps between draws that are kept; each takes the next draw of the history."""
    seed: int = 1
    """Makes a projection repeatable."""

    @field_validator("effects", mode="before")
    @classmethod
    def _beside_defaults(cls, value: Any) -> Any:  # noqa: ANN401  # what YAML holds
        return {**DEFAULT_EFFECTS, **value} if isinstance(value, Mapping) else value

    @field_validator("phi", "shared_phi")
    @classmethod
    def _beta(cls, value: Prior) -> Prior:
        return _require_shape(value, "beta")

    @field_validator("sd_innovation", "shared_sd")
    @classmethod
    def _half_normal(cls, value: Prior) -> Prior:
        return _require_shape(value, "half_normal")

    @field_validator("size_edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(a >= b for a, b in pairwise(value)) or min(value, default=1) <= 0:
            raise ValueError("positive numbers that rise")
        return value


def read_projection_spec(path: Path | str) -> ProjectionSpec:
    """Read settings of a projection from YAML.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    return read_typed(path, ProjectionSpec)
