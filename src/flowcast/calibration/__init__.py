"""Whether posteriors keep their promise: simulation-based calibration and tests of its ranks.

What fits models is loaded on first use, so that a figure of ranks needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowcast.calibration.ranks import ecdf_band, rank_among, test_uniform

if TYPE_CHECKING:
    from flowcast.calibration.sbc import FAMILIES, family_spec, rank_replicate, simulate_ranks

__all__ = [
    "FAMILIES",
    "ecdf_band",
    "family_spec",
    "rank_among",
    "rank_replicate",
    "simulate_ranks",
    "test_uniform",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("flowcast.calibration.sbc"), name)
