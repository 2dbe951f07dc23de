"""Draws to flows, immigration, emigration and net migration, and then to tables with intervals.

Draws are added up first and summarised afterwards. Whatever is large is worked through in blocks,
so that a table of all cells needs little more memory than the stored draws.
"""

from flowcast.estimates.aggregation import aggregate, aggregate_all, to_dataset
from flowcast.estimates.benchmarking import benchmark_estimates
from flowcast.estimates.bridge import bridge_estimates
from flowcast.estimates.conversion import duration_log_factor
from flowcast.estimates.flows import FlowEstimates, flow_estimates
from flowcast.estimates.mixture import stack_estimates
from flowcast.estimates.operators import Grouping
from flowcast.estimates.ranking import rank_cells, top_corridors
from flowcast.estimates.summary import estimate_tables, summarise

__all__ = [
    "FlowEstimates",
    "Grouping",
    "aggregate",
    "aggregate_all",
    "benchmark_estimates",
    "bridge_estimates",
    "duration_log_factor",
    "estimate_tables",
    "flow_estimates",
    "rank_cells",
    "stack_estimates",
    "summarise",
    "to_dataset",
    "top_corridors",
]
