"""Judging a model by reports it has not seen, and by what its choices change."""

from flowcast.estimates import stack_estimates
from flowcast.validation.alternatives import (
    SENSITIVITY_COLUMNS,
    sensitivity,
    summarise_sensitivity,
)
from flowcast.validation.association import association
from flowcast.validation.baselines import BASELINES, DEFAULT_BASELINES
from flowcast.validation.catalogue import Catalogue, Indicator, load_catalogue
from flowcast.validation.comparison import ModelComparison
from flowcast.validation.crossval import cross_validate
from flowcast.validation.indicator_tables import (
    IndicatorTable,
    indicator_table,
    read_indicator,
)
from flowcast.validation.indicators import score_indicator
from flowcast.validation.leakage import LEAKS, LeakError, find_leaks, refuse_leaks
from flowcast.validation.models import compare_models
from flowcast.validation.named import Alternative, apply_alternatives, read_alternatives
from flowcast.validation.power import POWER_COLUMNS, power_scaling, summarise_power
from flowcast.validation.scorecard import SCORECARD_COLUMNS
from flowcast.validation.splits import SCHEMES, Fold, Scheme, split_folds
from flowcast.validation.verdict import Verdict, verdict

__all__ = [
    "BASELINES",
    "DEFAULT_BASELINES",
    "LEAKS",
    "POWER_COLUMNS",
    "SCHEMES",
    "SCORECARD_COLUMNS",
    "SENSITIVITY_COLUMNS",
    "Alternative",
    "Catalogue",
    "Fold",
    "Indicator",
    "IndicatorTable",
    "LeakError",
    "ModelComparison",
    "Scheme",
    "Verdict",
    "apply_alternatives",
    "association",
    "compare_models",
    "cross_validate",
    "find_leaks",
    "indicator_table",
    "load_catalogue",
    "power_scaling",
    "read_alternatives",
    "read_indicator",
    "refuse_leaks",
    "score_indicator",
    "sensitivity",
    "split_folds",
    "stack_estimates",
    "summarise_power",
    "summarise_sensitivity",
    "verdict",
]
