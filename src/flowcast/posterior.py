"""The posterior: draws, diagnostics and what they rest on, in one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import xarray as xr

from flowcast.config import ModelSpec

__all__ = ["GateResult", "Posterior"]


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether every hyper-parameter converged, and what did not.

    Attributes
    ----------
    passed
        True if R-hat, bulk and tail effective sample sizes are all within bounds and no transition
        diverged.
    failures
        One sentence for each thing that failed.
    worst
        `max_rhat`, `min_ess_bulk`, `min_ess_tail`, `divergences`.
    """

    passed: bool
    failures: tuple[str, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        w = self.worst
        text = (
            f"R-hat at most {w.get('max_rhat', float('nan')):.3f}, bulk ESS at least "
            f"{w.get('min_ess_bulk', float('nan')):.0f}, tail ESS at least "
            f"{w.get('min_ess_tail', float('nan')):.0f}, "
            f"{w.get('divergences', 0):.0f} divergences"
        )
        return f"{'passed' if self.passed else 'NOT PASSED'}: {text}"


@dataclass(frozen=True, slots=True)
class Posterior:
    """Draws of the hyper-parameters, the coefficients and the latent log flows.

    Attributes
    ----------
    tree
        `xarray.DataTree` with the groups

        ``posterior``
            hyper-parameters, dims (chain, draw, ...): all draws;
        ``sample_stats``
            `diverging` and what else the sampler says, dims (chain, draw);
        ``prior``
            hyper-parameters drawn from their priors, dims (chain, draw, ...);
        ``prior_predictive``
            `log_report` (sample, report): log of counts (plus 1/2) drawn from the prior;
        ``latent``
            `log_flow`, dims (chain, draw, corridor, period): log of the expected number of changes
            of usual residence (12-month definition) in a period, thinned draws; coordinates
            `origin` and `destination` on corridor, `period` (integer index), `period_start` and
            `period_end` (datetime64) on period, `hyper_draw` (chain, draw) -> index into draws;
        ``coefficients``
            `coefficient` (chain, draw, term), the linear coefficients belonging to the same thinned
            draws, coordinates `group` and `unit_weight` (scale weight) on term;
        ``reports``
            what was fitted, dim `report`: origin, destination, period, side, reporter, value and
            the site and noise quantities the conditional simulation used;
        ``cells``
            `evidence` (corridor, period): strings as in the estimate table.
    spec
        The model as applied.
    gate
        The convergence gate's result.
    diagnostics
        One row a hyper-parameter: `parameter, mean, sd, rhat, ess_bulk, ess_tail`.
    info
        Seed, versions, hashes of inputs, timings, notes: plain JSON values.
    """

    tree: xr.DataTree
    spec: ModelSpec
    gate: GateResult
    diagnostics: pd.DataFrame
    info: Mapping[str, Any]

    @property
    def log_flow(self) -> xr.DataArray:
        """Latent log flows, dims (chain, draw, corridor, period)."""
        return self.tree["latent"].to_dataset()["log_flow"]

    @property
    def evidence(self) -> xr.DataArray:
        """What each cell rests on, dims (corridor, period)."""
        return self.tree["cells"].to_dataset()["evidence"]

    def __repr__(self) -> str:
        sizes = self.log_flow.sizes
        return (
            f"<flowcast.Posterior {self.spec.name}: {sizes['corridor']} corridors x "
            f"{sizes['period']} periods, {sizes['chain'] * sizes['draw']} latent draws kept; "
            f"gate {self.gate}>"
        )

    def _repr_html_(self) -> str:
        worst = self.diagnostics.sort_values("ess_bulk").head(8)
        return f"<p><b>Posterior</b> of {self.spec.name}. Gate {self.gate}</p>" + worst.to_html(
            index=False, float_format=lambda x: f"{x:.3g}"
        )
