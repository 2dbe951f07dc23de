"""Settings of the measurement model: how each family of sources relates to what is estimated.

A part of `config`, which reads them from YAML.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from flowcast.errors import nearest
from flowcast.priors import ELICITED, Prior
from flowcast.vocabulary import Criterion, Family

__all__ = [
    "FrozenModel",
    "Measurement",
    "MeasurementEffect",
    "MissingRule",
    "PriorField",
    "Transform",
    "make_prior",
    "require_normal",
]

Transform = Literal["none", "log", "log1p"]
MissingRule = Literal["refuse", "mean", "nearest_year", "zero"]
EffectKey = Literal["source", "reporter", "origin", "destination", "period"]


def _as_prior(value: object) -> object:
    """Accept a prior by name, as ``{shape: [numbers]}``, or ready-made."""
    if isinstance(value, str):
        if value not in ELICITED:
            hint = nearest(value, ELICITED)
            raise ValueError(
                f"unknown elicited prior '{value}'; allowed: {', '.join(sorted(ELICITED))}"
                + (f"; did you mean {hint}?" if hint else "")
            )
        return ELICITED[value]
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise ValueError("a prior is one shape with its numbers, such as {normal: [0, 1]}")
        (shape, numbers), *_ = value.items()
        return Prior.make(str(shape), numbers)
    return value


PriorField = Annotated[Prior, BeforeValidator(_as_prior)]


def make_prior(shape: str, *numbers: float) -> Any:
    return Field(default_factory=lambda: Prior.make(shape, list(numbers)))


def _elicited(name: str) -> Any:
    return Field(default_factory=lambda: ELICITED[f"elicited.{name}"])


def require_normal(prior: Prior) -> Prior:
    """Refuse a prior that is not normal: its coefficient could not be integrated out."""
    if prior.shape != "normal":
        raise ValueError(
            f"found {prior.shape}; allowed: normal (coefficients are integrated out exactly)"
        )
    return prior


class FrozenModel(BaseModel):
    """A part of the settings: unknown keys are refused, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _shares_lie_in_the_unit_interval(self) -> Self:
        for name in type(self).model_fields:
            is_share = name == "ar_coefficient" or name.startswith("share_")
            if is_share and getattr(self, name).shape != "beta":
                raise ValueError(f"{name}: found {getattr(self, name).shape}; allowed: beta")
        return self


class MeasurementEffect(FrozenModel):
    """A factor of some reports, on the log scale: what a source misses, adds or means otherwise."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    """Name of the coefficients in tables and plots."""
    sources: tuple[str, ...] = ()
    """Reports of these sources; empty is all. The same holds for what follows."""
    families: tuple[Family, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    origins: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    """Years in which the period of the report begins."""
    by: tuple[EffectKey, ...] = ()
    """A coefficient for each combination of these that is reported; empty is one for all."""
    column: str | None = None
    """Column of the places or corridors file that multiplies the coefficient; empty is 1."""
    side: Literal["origin", "destination", "corridor"] = "corridor"
    """Whose value of the column."""
    transform: Transform = "none"
    """Applied to the column's value."""
    missing: MissingRule = "refuse"
    """What to do with a cell whose value is missing."""
    prior: PriorField = make_prior("normal", 0.0, 0.2)
    """Prior of every coefficient. Must be normal."""

    @field_validator("prior")
    @classmethod
    def _normal_only(cls, prior: Prior) -> Prior:
        return require_normal(prior)


class Measurement(FrozenModel):
    """How reports relate to the latent flow, or stock."""

    counts: Literal["poisson", "delta"] = "poisson"
    """Counting noise: Poisson sites by expectation propagation, or variance 1/(value + 1/2)."""
    duration: bool = True
    """Adjust for the minimum stay of each report's definition."""
    duration_0_to_3: PriorField = _elicited("duration_0_to_3")
    duration_3_to_6: PriorField = _elicited("duration_3_to_6")
    duration_6_to_12: PriorField = _elicited("duration_6_to_12")
    duration_12_to_60: PriorField = _elicited("duration_12_to_60")
    undercount: bool = True
    """Estimate the share of moves reported, by side and undercount class."""
    share_immigration_low: PriorField = _elicited("immigration_low")
    share_immigration_medium: PriorField = _elicited("immigration_medium")
    share_immigration_high: PriorField = _elicited("immigration_high")
    share_immigration_unknown: PriorField = _elicited("immigration_unknown")
    share_emigration_low: PriorField = _elicited("emigration_low")
    share_emigration_medium: PriorField = _elicited("emigration_medium")
    share_emigration_high: PriorField = _elicited("emigration_high")
    share_emigration_unknown: PriorField = _elicited("emigration_unknown")
    reporter_effects: bool = True
    """A factor of each reporter and side that the classes do not explain."""
    reporter_period_effects: bool = True
    """The same by period: breaks in a reporter's series. Dropped where there is one period."""
    corridor_report_effects: bool = True
    """A persistent factor of each corridor by side and source; dropped with one period."""
    sd_reporter: PriorField = make_prior("half_normal", 0.5)
    sd_reporter_period: PriorField = make_prior("half_normal", 0.3)
    sd_corridor_report: PriorField = make_prior("half_normal", 0.5)
    sd_noise: PriorField = make_prior("gamma", 2.0, 5.0)
    """Noise sd of an accuracy class, one for each class and side that occurs. Zero is avoided: the
    two sides share one corridor, and either could take all the noise (Chung et al. 2013, doi
    10.1007/s11336-013-9328-2)."""
    median_sd_noise_reporter: PriorField = make_prior("log_normal", -1.2, 0.7)
    """Median noise sd of reporters without an accuracy class, by side."""
    spread_sd_noise_reporter: PriorField = make_prior("half_normal", 0.7)
    """Sd, on the log scale, of the noise sds of reporters without an accuracy class."""
    sd_noise_total: PriorField = make_prior("gamma", 2.0, 10.0)
    """Noise sd of reports that are sums of cells, on the log scale. What a register misses or
    counts by another definition is in its other effects, which its totals share."""
    places_outside: Literal["refuse", "ignore"] = "refuse"
    """Totals over places that are not all in the model (everywhere else in the world, a grouping
    with other members): refuse them, or take the places of the model for all there are."""
    bias_register: PriorField = make_prior("normal", 0.0, 0.1)
    """Log ratio of a register's or census-based count of residents to the stock; one coefficient a
    source, as for the following. Must be normal."""
    bias_survey: PriorField = make_prior("normal", -0.05, 0.2)
    """Log ratio of what a survey finds to what there is: households it does not reach."""
    bias_census: PriorField = make_prior("normal", -0.03, 0.1)
    """Log ratio of what a census counts to what there is, beside `census_transition`."""
    bias_digital: PriorField = make_prior("normal", 0.0, 1.0)
    """Log ratio of a platform's figure to what there is. Penetration that is known enters by
    `effects`; by period it drifts as `sd_reporter_period` says."""
    bias_index: PriorField = make_prior("normal", 0.0, 10.0)
    """Level of an index in a corridor, on the log scale: an index says how things change."""
    index_elasticity: float = Field(default=1.0, gt=0.0)
    """Change of the log of an index that goes with a change of one in the log of the flow."""
    criterion_citizenship: PriorField = make_prior("normal", 0.0, 0.3)
    """Log ratio of a count by citizenship to one by previous or next residence; one coefficient a
    source. Must be normal."""
    criterion_birth: PriorField = make_prior("normal", 0.0, 0.3)
    """The same for a count by country of birth."""
    census_transition: PriorField = make_prior("normal", -0.4, 0.2)
    """Log ratio of the people who lived elsewhere five years ago to the moves of the five years:
    who moved twice counts once, who went back does not count. For other spans it is in proportion
    to the log of the years; for one year it is nothing. Must be normal."""
    part_of_year: PriorField = make_prior("normal", 1.0, 0.1)
    """With `period: year`, what multiplies the log of the share of the year that a figure covers: 1
    where all months are alike. One coefficient a source. Must be normal."""
    middle_of_years: PriorField = make_prior("normal", 1.0, 0.1)
    """With `period: middle_year`, what multiplies the log of the years that a flow covers: 1 where
    it is so many times the flow of the middle year. One coefficient a source. Must be normal."""
    design_effect: float = Field(default=1.5, ge=1.0)
    """Factor on the sampling variance of a survey that tells its sample size only."""
    effects: tuple[MeasurementEffect, ...] = ()
    """Further factors of some reports."""

    @field_validator(
        *(f"bias_{name}" for name in ("register", "survey", "census", "digital", "index")),
        "criterion_citizenship",
        "criterion_birth",
        "census_transition",
        "part_of_year",
        "middle_of_years",
    )
    @classmethod
    def _normal_only(cls, prior: Prior) -> Prior:
        return require_normal(prior)

    @model_validator(mode="after")
    def _unique_effects(self) -> Self:
        names = [effect.name for effect in self.effects]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"effect names used twice: {', '.join(twice)}")
        taken = sorted(set(names) & set(type(self).model_fields))
        if taken:
            raise ValueError(f"effect names that are keys of measurement: {', '.join(taken)}")
        return self
