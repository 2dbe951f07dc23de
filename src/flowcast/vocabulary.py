"""Names, and nothing else: dims, measures, families, definitions, interval kinds.

Every other module takes its words from here, so that a column is spelt one way in a file, in an
error message, in a table and in a test.
"""

from typing import Final, Literal, get_args

Family = Literal["administrative", "survey", "census", "digital", "estimate"]
Measure = Literal[
    "flow",
    "immigration",
    "emigration",
    "net",
    "stock",
    "displacement",
    "asylum_applications",
    "index",
]
Reporter = Literal["origin", "destination", "other"]
GradeClass = Literal["low", "medium", "high"]
Criterion = Literal["residence", "citizenship", "birth"]
Role = Literal["fit", "held_out"]
Quantity = Literal["flow", "stock"]
Period = Literal["shortest", "year", "middle_year"]
EstimateMeasure = Literal["flow", "immigration", "emigration", "net", "stock"]
IntervalKind = Literal["equal_tailed"]

FAMILIES: Final[tuple[str, ...]] = get_args(Family)
MEASURES: Final[tuple[str, ...]] = get_args(Measure)
REPORTERS: Final[tuple[str, ...]] = get_args(Reporter)
GRADES: Final[tuple[str, ...]] = get_args(GradeClass)
CRITERIA: Final[tuple[str, ...]] = get_args(Criterion)
ESTIMATE_MEASURES: Final[tuple[str, ...]] = ("flow", "immigration", "emigration", "net")
"""Of a model of flows; one of stocks has ``stock``."""

DIMS: Final[tuple[str, ...]] = (
    "chain",
    "draw",
    "scenario",
    "origin",
    "destination",
    "period",
    "age",
    "sex",
)
"""The order of dims wherever several of them meet."""

OBSERVATION_COLUMNS: Final[tuple[str, ...]] = (
    "source",
    "family",
    "measure",
    "origin",
    "destination",
    "period_start",
    "period_end",
    "value",
    "reporter",
    "duration_months",
    "undercount_class",
    "accuracy_class",
    "standard_error",
    "sample_size",
    "censored_below",
    "mirror_of",
    "criterion",
    "age",
    "sex",
    "vintage",
    "flag",
)
REQUIRED_OBSERVATION_COLUMNS: Final[tuple[str, ...]] = (
    "source",
    "family",
    "measure",
    "origin",
    "destination",
    "value",
    "reporter",
)
"""Beside these, either `year` or both of `period_start` and `period_end`."""

OBSERVATION_KEY: Final[tuple[str, ...]] = (
    "source",
    "measure",
    "origin",
    "destination",
    "period_start",
    "period_end",
    "reporter",
    "criterion",
    "age",
    "sex",
    "vintage",
)

ESTIMATE_COLUMNS: Final[tuple[str, ...]] = (
    "origin",
    "destination",
    "period_start",
    "period_end",
    "measure",
    "mean",
    "median",
    "sd",
    "lower",
    "upper",
    "prob",
    "kind",
    "evidence",
)
DEFINITION_COLUMN: Final = "definition"
"""Follows the others where flows are counted by another minimum stay than 12 months."""
BENCHMARKED_COLUMN: Final = "benchmarked"
"""Follows the others where estimates stand twice: as they are, and adjusted to margins."""
PREDICTION_QUANTILES: Final[tuple[float, ...]] = (
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    0.75,
    0.9,
    0.95,
    0.975,
)

PERMANENT_MONTHS: Final = 60.0
"""Code of "permanent" among the duration criteria."""
UN_DURATION_MONTHS: Final = 12.0
"""The definition in which flows are estimated (UN recommendation)."""
DURATION_KNOTS: Final[tuple[float, ...]] = (0.0, 3.0, 6.0, 12.0, 60.0)
"""Criteria with a factor of their own; others are interpolated between them."""

DEFAULT_PROBS: Final[tuple[float, ...]] = (0.5, 0.8, 0.95)
INTERVAL_KIND: Final[IntervalKind] = "equal_tailed"

EVIDENCE: Final[tuple[str, ...]] = (
    "both_reports",
    "one_report",
    "part_year",
    "register",
    "census",
    "survey",
    "digital",
    "index",
    "stock",
    "total",
)
NO_EVIDENCE: Final = "none"

EFFECT_COLUMN: Final = "effect_column_"
"""What covariates of declared effects are called in a posterior, before the effect's name."""

PERSONS: Final = "persons per period"
RESIDENTS: Final = "persons"
"""Units of flows, and of stocks."""
