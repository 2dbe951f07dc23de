"""Chains of a displacement model as one dataset, and whether they agree."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flowcast.displacement._features import MAGNITUDE_TERMS, OCCURRENCE_TERMS, SCALE_TERMS
from flowcast.displacement._layout import Layout

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["gather_draws"]


def gather_draws(
    layout: Layout,
    drivers: Sequence[str],
    chains: Sequence[Sequence[Mapping[str, NDArray[np.float64]]]],
) -> "tuple[xr.Dataset, pd.DataFrame]":
    """Return the draws, dims named, and a row of diagnostics for each hyper-parameter."""
    import xarray as xr

    stacked = {
        name: np.stack([np.stack([one[name] for one in chain]) for chain in chains])
        for name in chains[0][0]
    }
    for part in ("occurrence", "magnitude"):
        for k, grouping in enumerate(layout.groupings):
            stacked[f"{part}_{grouping}_sd"] = stacked.pop(f"{part}_group_sd_{k}")
    hazards = [hazard or "all" for hazard in layout.hazards]
    coords: dict[str, list[str]] = {
        "scale_term": [*hazards, *SCALE_TERMS],
        "occurrence_term": _columns(OCCURRENCE_TERMS, hazards, drivers),
        "magnitude_term": _columns(MAGNITUDE_TERMS, hazards, drivers),
    }
    own = {
        "magnitude_scale": "scale_term",
        "magnitude_spread": "unit",
        **{f"{part}_coefficients": f"{part}_term" for part in ("occurrence", "magnitude")},
        **{f"{part}_units": "unit" for part in ("occurrence", "magnitude")},
    }
    variables = {
        name: (("chain", "draw", *([own[name]] if name in own else [])), values)
        for name, values in stacked.items()
    }
    data = xr.Dataset(variables, coords)
    return data, _diagnose(data)


def _columns(terms: Sequence[str], hazards: Sequence[str], drivers: Sequence[str]) -> list[str]:
    """Return names of the columns of `Layout.design`."""
    apart = [f"{term} of {h}" for h in hazards for term in terms] if len(hazards) > 1 else []
    return [*(f"intercept of {h}" for h in hazards), *terms, *apart, *drivers]


def _diagnose(data: "xr.Dataset") -> "pd.DataFrame":
    import arviz_stats
    import pandas as pd

    few = data[[n for n in data.data_vars if not str(n).endswith(("_units", "_year", "_spread"))]]
    rhat, ess = (getattr(arviz_stats, name)(few) for name in ("rhat", "ess"))
    rows = []
    for name, values in few.data_vars.items():
        dims = values.dims[2:]
        labels = values[dims[0]].to_numpy().tolist() if dims else [""]
        flat = values.to_numpy().reshape(-1, len(labels))
        found = [np.ravel(one[name].to_numpy()) for one in (rhat, ess)]
        for k, label in enumerate(labels):
            rows.append(
                {
                    "parameter": f"{name}[{label}]" if label else str(name),
                    "mean": flat[:, k].mean(), "sd": flat[:, k].std(),
                    "rhat": found[0][k], "ess_bulk": found[1][k],
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
