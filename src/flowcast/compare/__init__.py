"""Two runs, or two tables: what changed, by how much, and why.

Cells are compared one by one. Why they differ is read from what went in: the specification, the
hashes of the data, the versions, the seed.
"""

from flowcast.compare.cells import Comparison, compare_tables
from flowcast.compare.runs import compare_runs
from flowcast.compare.text import render

__all__ = ["Comparison", "compare_runs", "compare_tables", "render"]
