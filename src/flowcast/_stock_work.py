"""Draws of flows from uncertain stocks, one at a time, in this process or in others."""

import pickle
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._stock_draws import StockModel, draw_one
from flowcast.accounting.stock_errors import StockErrors
from flowcast.accounting.uncertainty import lay_out
from flowcast.errors import InputError, UsageError

__all__ = ["Estimator", "StockWork", "workers"]

type Estimator = Callable[..., xr.DataArray]

TABLES: Final = ("stock_start", "stock_end", "births", "deaths")
FLOW_DIMS: Final = ("origin", "destination", "period")
ATTEMPTS: Final = 10
"""Times that a draw is made before what an estimator refuses is told."""


@dataclass(slots=True)
class StockWork:
    """The estimator, what goes into it, and what was seen of its results."""

    run: Estimator
    series: xr.Dataset
    model: StockModel
    seed: int
    attrs: dict[str, Any] = field(default_factory=dict)
    redrawn: dict[int, str] = field(default_factory=dict)

    def log_flows(self, k: int) -> NDArray[np.float64]:
        """Return log flows of a draw, (origin, destination, period); -inf where nobody moves.

        Tables of which no account can be made are no tables: they are drawn again.

        Raises
        ------
        InputError
            If one attempt after the other is refused.
        """
        for attempt in range(ATTEMPTS):
            try:
                tables = lay_out(self.series, [draw_one(self.model, self.seed, k, attempt)], k)
                flows = self.run(*(tables[name] for name in TABLES))
                break
            except InputError as error:
                self.redrawn[k] = error.faults[0].column or "no place in particular"
                refused = error
        else:
            raise refused
        if set(flows.dims) != {"draw", *FLOW_DIMS}:
            told = ", ".join(map(str, flows.dims))
            raise UsageError(f"(method) | found flows with dims {told}; allowed: {FLOW_DIMS[:2]}")
        self.attrs = flows.attrs
        values = flows.isel(draw=0).transpose(*FLOW_DIMS).to_numpy()
        if (values < 0.0).any():
            raise UsageError("(method) | found negative flows; allowed: a method that has none")
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(values))

    def about(self, draws: int, errors: StockErrors | None) -> dict[str, Any]:
        """Return what a reader of the flows has to know, as plain data."""
        words = [str(self.attrs.get(name, "")) for name in ("method", "allocation", "system")]
        return {
            "name": ", ".join(word for word in words if word) or "stocks",
            "seed": self.seed,
            "draws": draws,
            # Sorted, as threads come to them in any order.
            "redrawn": dict(Counter(sorted(self.redrawn.values())).most_common()),
            "errors": (errors or StockErrors()).model_dump(mode="json"),
        }


_here: StockWork | None = None
"""What a process of its own works on."""


def _start(work: StockWork) -> None:
    """Take up the work in a new process; an interruption is the parent's to deal with."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here = work


def _draw(k: int) -> tuple[NDArray[np.float64], dict[str, Any], str | None]:
    """Return the log flows of a draw, what describes them, and why it was drawn again."""
    assert _here is not None
    return _here.log_flows(k), _here.attrs, _here.redrawn.get(k)


@contextmanager
def workers(work: StockWork, processes: int) -> Iterator[Callable[[int], NDArray[np.float64]]]:
    """Give a function that makes a draw, here or in one of several processes.

    Parameters
    ----------
    work
        What is to be done; `attrs` and `redrawn` are filled in here in either case.
    processes
        1: the function works in the thread that calls it.

    Raises
    ------
    UsageError
        If an estimator cannot be handed to another process.
    """
    if processes == 1:
        yield work.log_flows
        return
    try:
        pickle.dumps(work.run)
    except (AttributeError, TypeError, pickle.PicklingError):
        found = "an estimator that no other process can be given"
        raise UsageError(
            f"(processes) | found {found}; allowed: processes=1, or a function of a module"
        ) from None
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start, (work,))

    def log_flows(k: int) -> NDArray[np.float64]:
        values, work.attrs, refused = pool.submit(_draw, k).result()
        if refused is not None:
            work.redrawn[k] = refused
        return values

    try:
        yield log_flows
    finally:
        pool.shutdown(cancel_futures=True)
