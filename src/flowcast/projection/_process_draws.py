"""Chains of a process as one dataset, and what they say of themselves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from flowcast.projection._process_data import ProcessData
from flowcast.projection.effects import Side, drivers_of
from flowcast.projection.history import FlowHistory
from flowcast.projection.spec import ProjectionSpec

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["Chains", "gather_draws", "remarks"]


type Chains = list[list[dict[str, NDArray[np.float64]]]]

_OF_CLASSES: Final = (
    "share_phi",
    "share_level",
    "share_scale",
    "share_shared_phi",
    "share_shared_sd",
)
_STATES: Final = frozenset(
    {
        f"{panel}_{part}"
        for panel in ("out", "share")
        for part in ("mean", "deviation", "sd", "shared")
    }
)
"""Of units and groups: there are many, and they hang on what is looked at."""


def gather_draws(
    places: Sequence[str], spec: ProjectionSpec, parts: ProcessData, chains: Chains
) -> "tuple[xr.Dataset, pd.DataFrame]":
    """Return chains as one dataset, with draws of the priors of effects not estimated."""
    import xarray as xr

    codes = np.array(places)
    stacked = {
        name: np.stack([np.stack([one[name] for one in chain]) for chain in chains])
        for name in chains[0][0]
    }
    n_class = stacked["share_phi"].shape[-1]
    for name in ("phi", "level", "scale", "shared", "shared_phi", "shared_sd"):
        # Out-rates are of one class, and share one effect.
        stacked[f"out_{name}"] = stacked[f"out_{name}"][..., 0]
    dims = {
        **dict.fromkeys(("out_mean", "out_deviation", "out_sd"), "origin_place"),
        **dict.fromkeys(("share_mean", "share_deviation", "share_sd"), "corridor"),
        **dict.fromkeys(_OF_CLASSES, "size_class"),
        "share_shared": "shared",
    }
    table = _diagnose(stacked, parts)
    drawn = {side: stacked.pop(f"effect_{side}") for side in ("leaving", "arriving")}
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in stacked.items()}
    n_draw = len(flat["out_phi"])
    sides: tuple[tuple[Side, tuple[str, ...]], ...] = (
        ("leaving", parts.leaving),
        ("arriving", parts.arriving),
    )
    effects = {
        side: _all_effects(spec, side, names, np.concatenate(drawn[side]), n_draw)
        for side, names in sides
    }
    # Single precision: 40,000 corridors by 1,000 draws fit in memory, and no draw hangs on it.
    variables = {
        name: (("draw", dims[name]) if name in dims else ("draw",), values.astype(np.float32))
        for name, values in flat.items()
    }
    data = xr.Dataset(
        variables,
        {
            "draw": np.arange(n_draw),
            "origin_place": codes,
            "size_class": np.arange(n_class),
            "origin": ("corridor", codes[parts.origin]),
            "destination": ("corridor", codes[parts.destination]),
            "class_of": ("corridor", parts.size_class),
            "shared_of": ("corridor", parts.shared),
            "kind_of": ("shared", parts.shared_kind),
        },
    )
    data["out_bound"] = float(parts.bounds[0][0])
    data["share_bound"] = ("size_class", parts.bounds[1])
    for side, (names, values) in effects.items():
        data[f"effect_{side}"] = (("draw", side), values)
        data = data.assign_coords({side: list(names)})
    return data, table


def _all_effects(
    spec: ProjectionSpec,
    side: Side,
    estimated: tuple[str, ...],
    values: NDArray[np.float64],
    n_draw: int,
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return effects of every driver of the settings: estimated, or drawn from the prior."""
    names = drivers_of(list(spec.effects), side, spec)
    out = np.empty((n_draw, len(names)))
    for k, name in enumerate(names):
        if name in estimated:
            out[:, k] = values[:, estimated.index(name)]
        else:
            mean, sd = getattr(spec.effects[name], side).numbers
            rng = np.random.default_rng([spec.seed, 12, crc32(f"{side} {name}".encode())])
            out[:, k] = mean + sd * rng.standard_normal(n_draw)
    return names, out


def _diagnose(stacked: dict[str, NDArray[np.float64]], parts: ProcessData) -> "pd.DataFrame":
    """Return one row a hyper-parameter that the gate looks at."""
    import arviz as az  # type: ignore[import-untyped]
    import pandas as pd

    rows = []
    for name, values in stacked.items():
        if name in _STATES:
            continue
        flat = values.reshape(*values.shape[:2], -1)
        labels = {"effect_leaving": parts.leaving, "effect_arriving": parts.arriving}.get(
            name, tuple(map(str, range(flat.shape[2])))
        )
        for k, label in enumerate(labels):
            part = flat[:, :, k]
            alone = values.ndim == 2
            constant = np.ptp(part) == 0.0
            rows.append(
                {
                    "parameter": name if alone else f"{name}[{label}]",
                    "mean": part.mean(),
                    "sd": part.std(),
                    "rhat": 1.0 if constant else float(az.rhat(part)),
                    "ess_bulk": float(part.size) if constant else float(az.ess(part)),
                }
            )
    return pd.DataFrame(rows)


def remarks(history: FlowHistory, spec: ProjectionSpec, parts: ProcessData) -> tuple[str, ...]:
    """Return what to know of a process: how short the history is, and what was not estimated."""
    notes = []
    n = len(history.periods)
    if n < 3:
        told = "one period" if n == 1 else f"{n} periods"
        notes.append(
            f"the history has {told}: persistence and innovations are mostly those of their priors"
        )
    known = set(parts.leaving) | set(parts.arriving)
    prior = [name for name in spec.effects if name not in known]
    if prior:
        notes.append(f"effects of {', '.join(prior)} are draws of their priors: no history given")
    return tuple(notes)
