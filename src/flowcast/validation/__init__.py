"""Judging a model by reports it has not seen, and by what its choices change."""

from flowcast.validation.alternatives import SENSITIVITY_COLUMNS, sensitivity
from flowcast.validation.crossval import cross_validate
from flowcast.validation.scorecard import SCORECARD_COLUMNS
from flowcast.validation.splits import SCHEMES, Scheme, split_folds

__all__ = [
    "SCHEMES",
    "SCORECARD_COLUMNS",
    "SENSITIVITY_COLUMNS",
    "Scheme",
    "cross_validate",
    "sensitivity",
    "split_folds",
]
