"""What the steps of a composition share: the work so far, whom an entry means, laying values in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.errors import UsageError
from flowcast.scenarios._targets import Codes, select_pairs, select_places
from flowcast.scenarios.catalogue import DRIVERS
from flowcast.scenarios.distributions import Distribution, paired_uniforms
from flowcast.scenarios.drivers import labels_of
from flowcast.scenarios.spec import Entry, Scenario

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Work", "block_of", "few", "find_targets", "lay"]

MAX_NAMED: Final = 8
MAX_BYTES: Final = 2 * 2**30
"""Of one driver: a world of corridors has more, and is gone through in ranges of draws."""


@dataclass(slots=True)
class Work:
    """What the steps share: what is given, and what is done."""

    spec: Scenario
    baseline: "xr.Dataset"
    history: "xr.Dataset | None"
    draws: range | None
    seed: int
    codes: Codes
    done: "dict[str, xr.DataArray]" = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def uniforms(self, key: str, entry: Entry, labels: list[str]) -> "NDArray[np.float64] | None":
        """Return quantiles of an entry, shape (draw, 1), or (draw, label) where places differ."""
        if self.draws is None:
            return None
        keys = [key] if entry.vary == "together" else [f"{key}:{label}" for label in labels]
        first, last = self.draws.start, self.draws.stop
        return np.stack([paired_uniforms(k, last, self.seed)[first:] for k in keys], axis=1)

    def amount(
        self, key: str, entry: Entry, value: float | str | Distribution, labels: list[str]
    ) -> "NDArray[np.float64]":
        """Return a value, shape (1,), (draw, 1) or (draw, label)."""
        if not isinstance(value, Distribution):
            return np.array([DRIVERS[entry.driver].number(value)])
        uniforms = self.uniforms(key, entry, labels)
        return value.quantile(np.array([0.5]) if uniforms is None else uniforms)


def find_targets(
    work: Work, key: str, entry: Entry, variable: "xr.DataArray"
) -> "NDArray[np.intp]":
    """Return which places or corridors an entry means; none is worth a note."""
    if DRIVERS[entry.driver].of == "place":
        labels = labels_of(variable)
        meant = select_places(labels, entry.places, work.codes)
        told = ", ".join(entry.places)
    else:
        origins, destinations = (
            variable[side].to_numpy().tolist() for side in ("origin", "destination")
        )
        meant = select_pairs(origins, destinations, entry.corridors, work.codes)
        told = ", ".join(entry.corridors)
    if not meant.any():
        work.notes.append(f"{key}: nothing in the baseline is {told}; nothing changes")
    return meant.nonzero()[0]


def lay(
    values: "NDArray[np.float64]",
    rows: "NDArray[np.intp]",
    columns: "NDArray[np.intp]",
    block: "NDArray[np.float64]",
) -> "NDArray[np.float64]":
    """Return values with a block laid in; with draws, where the block has some."""
    if block.ndim > values.ndim:
        size = len(block) * values.nbytes
        if size > MAX_BYTES:
            told = f"{len(block)} draws of {values.shape[0]} rows, {size / 2**30:.0f} GiB"
            raise UsageError(
                f"(draws) | found {told}; allowed: a range of draws, one after another"
            )
        values = np.broadcast_to(values, (len(block), *values.shape))
    out = values.copy()
    out[..., rows[:, None], columns] = block
    return out


def block_of(
    values: "NDArray[np.float64]", rows: "NDArray[np.intp]", columns: "NDArray[np.intp]"
) -> "NDArray[np.float64]":
    """Return the values of some places in some years, shape ((draw), row, column)."""
    return values[..., rows[:, None], columns]


def few(names: Iterable[str]) -> str:
    """Return names, the first of many."""
    listed = list(names)
    more = f" and {len(listed) - MAX_NAMED} more" if len(listed) > MAX_NAMED else ""
    return ", ".join(listed[:MAX_NAMED]) + more
