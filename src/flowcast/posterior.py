"""The posterior: draws, diagnostics and what they rest on, in one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd
import xarray as xr

from flowcast.config import ModelSpec

__all__ = ["GateResult", "Posterior", "describe_inference"]

METHODS: Final = {
    "nuts": "NUTS",
    "laplace": "Laplace approximation and Pareto-smoothed importance sampling",
    "nuts+sweeps": "NUTS, then sweeps on the exact model of counts and heavy tails",
    "laplace+sweeps": "Laplace approximation and Pareto-smoothed importance sampling, then sweeps "
    "on the exact model of counts and heavy tails",
}


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether every hyper-parameter converged, and what did not.

    Attributes
    ----------
    passed
        True if R-hat, bulk and tail effective sample sizes are all within bounds and no transition
        diverged; of importance weights, if the shape of their tail and their effective sample sizes
        are.
    failures
        One sentence for each thing that failed.
    worst
        `max_rhat`, `min_ess_bulk`, `min_ess_tail`, `divergences` of chains; `pareto_k`,
        `importance_ess`, `min_ess_bulk` of importance weights.
    """

    passed: bool
    failures: tuple[str, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        wording = {
            "max_rhat": "R-hat at most {:.3f}",
            "pareto_k": "Pareto k-hat {:.2f}",
            "importance_ess": "importance ESS {:.0f}",
            "min_ess_bulk": "bulk ESS at least {:.0f}",
            "min_ess_tail": "tail ESS at least {:.0f}",
            "divergences": "{:.0f} divergences",
        }
        worst = self.worst or {"max_rhat": float("nan"), "min_ess_bulk": float("nan")}
        text = ", ".join(t.format(worst[k]) for k, t in wording.items() if k in worst)
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
        ``log_likelihood``
            `collapsed` (chain, draw), of the same thinned draws: log likelihood of the
            hyper-parameters, flows and coefficients integrated out, at the sites. Not there where
            reports are sums of cells, or very many;
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


def describe_inference(method: str | None, exact: bool | None) -> str:
    """Return in words how the hyper-parameters were inferred; nothing if that is unknown.

    Parameters
    ----------
    method
        ``"nuts"`` or ``"laplace"``, with ``"+sweeps"`` where these followed.
    exact
        Whether the draws are of the posterior itself, up to Monte Carlo error; None where they come
        close to it by sweeps, and how close is not known.

    Examples
    --------
    >>> describe_inference("nuts", True)
    'hyper-parameters by NUTS, exact up to Monte Carlo error'
    """
    if method is None:
        return ""
    how = {True: ", exact up to Monte Carlo error", False: ", approximate", None: ""}[exact]
    return f"hyper-parameters by {METHODS.get(method, method)}{how}"
