"""Settings of a displacement model. Read from YAML, as those of projections are."""

from pathlib import Path

from pydantic import Field

from flowcast._measurement import FrozenModel
from flowcast.config import read_typed

__all__ = ["DisplacementSpec", "read_displacement_spec"]


class DisplacementSpec(FrozenModel):
    """Priors and sizes; all priors are wide but those that say that drivers do little."""

    half_life: float = Field(default=3.0, gt=0.0)
    """Years after which a year counts for half in a unit's frequency and level."""
    coefficient_sd: float = Field(default=1.0, gt=0.0)
    """Of what the past says; features are scaled so that 1 is a strong effect."""
    hazard_sd: float = Field(default=0.3, gt=0.0)
    """By how much such an effect differs between hazards."""
    driver_sd: float = Field(default=0.15, gt=0.0)
    """Of a driver's effect, for one sd of the driver: strong shrinkage, since drivers have told
    little of displacement that they were not fitted to (Vestby et al. 2024, Societal determinants
    of flood-induced displacement, PNAS 121(3))."""
    unit_sd: float = Field(default=0.7, gt=0.0)
    """Half-normal, of the sds of effects of units, places and regions."""
    year_sd: float = Field(default=0.2, gt=0.0)
    """Half-normal, of the innovation of a year that all units share."""
    year_phi: tuple[float, float] = (2.0, 2.0)
    """Beta, of how much of a year's effect is there in the next."""
    window: int | None = Field(default=None, ge=3)
    """Fit the last so many years only; the past before still counts in frequency and level."""
    chains: int = Field(default=2, ge=1)
    tune: int = Field(default=300, ge=1)
    """Sweeps of each chain that are thrown away."""
    draws: int = Field(default=500, ge=4)
    """Draws kept of all chains together."""
    sweeps: int = Field(default=2, ge=1)
    """Sweeps between draws that are kept."""
    seed: int = 1


def read_displacement_spec(path: Path | str) -> DisplacementSpec:
    """Read settings from YAML.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    return read_typed(path, DisplacementSpec)
