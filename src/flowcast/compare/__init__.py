"""Two runs, tables or releases: what changed, by how much, and why.

Cells are compared one by one. Why they differ is read from what went in: the specification, the
hashes of the data, the versions, the seed.
"""

from flowcast.compare.cells import Comparison, compare_tables
from flowcast.compare.releases import (
    ReleaseComparison,
    compare_releases,
    is_release,
    render_releases,
)
from flowcast.compare.runs import compare_runs
from flowcast.compare.text import render

__all__ = [
    "Comparison",
    "ReleaseComparison",
    "compare_releases",
    "compare_runs",
    "compare_tables",
    "is_release",
    "render",
    "render_releases",
]
