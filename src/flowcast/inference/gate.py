"""The verdict on draws of the hyper-parameters: of chains, and of importance weights."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import Sampler
from flowcast.model.density import Density
from flowcast.posterior import GateResult
from flowcast.trees import hyper_dataset

__all__ = ["HyperDraws", "judge_convergence", "judge_importance", "max_pareto_k", "name_draws"]

FloatArray = NDArray[np.float64]
Method = Literal["laplace", "nuts"]

FEW_REPORTS = 3000
MAX_PARETO_K = {True: 0.5, False: 0.7}
"""Above 0.7 importance weights have no reliable mean, above 0.5 no variance (Vehtari et al. 2024).
With few reports the posterior may have a second mode that a normal does not see, and NUTS costs
little: there the stricter bound holds."""


def max_pareto_k(n_report: int) -> float:
    """Return the largest tail shape of importance weights that passes the gate."""
    return MAX_PARETO_K[n_report <= FEW_REPORTS]


@dataclass(frozen=True, slots=True, eq=False)
class HyperDraws:
    """Draws of the hyper-parameters, all of equal weight, and the verdict on them.

    Attributes
    ----------
    x
        Unconstrained, (chain, draw, dim).
    data
        The same on their own scales, by name, dims (chain, draw, ...).
    method
        ``laplace`` (with importance sampling) or ``nuts``.
    gate, diagnostics
        As in `Posterior`.
    stats
        Statistics of the sampler, (chain, draw).
    facts
        What else is worth telling, plain values.
    """

    x: FloatArray
    data: xr.Dataset
    method: Method
    gate: GateResult
    diagnostics: pd.DataFrame
    stats: dict[str, NDArray[Any]]
    facts: dict[str, Any] = field(default_factory=dict)


def name_draws(density: Density, x: FloatArray) -> xr.Dataset:
    """Return unconstrained draws (chain, draw, dim) by name, on their own scales."""
    flat = [density.hyper(point) for point in x.reshape(-1, x.shape[-1])]
    stacked = {
        name: np.array([h[name] for h in flat]).reshape(*x.shape[:2], *np.shape(flat[0][name]))
        for name in flat[0]
    }
    return hyper_dataset(density.problem, stacked)


def _flatten(data: xr.Dataset) -> pd.Series:
    """Return a dataset of scalars and vectors as one series: `name` or `name[label]`."""
    out: dict[str, float] = {}
    for name, array in data.data_vars.items():
        if array.ndim == 0:
            out[str(name)] = float(array)
        else:
            labels = array[array.dims[0]].to_numpy()
            out |= {f"{name}[{k}]": float(v) for k, v in zip(labels, array.to_numpy(), strict=True)}
    return pd.Series(out, dtype=float)


def _table(values: dict[str, xr.Dataset]) -> pd.DataFrame:
    table = pd.DataFrame({k: _flatten(v) for k, v in values.items()})
    return table.rename_axis("parameter").reset_index()


def judge_convergence(
    posterior: xr.Dataset, diverging: NDArray[Any], sampler: Sampler
) -> tuple[GateResult, pd.DataFrame]:
    """Apply the convergence gate to every hyper-parameter sampled by chains.

    Parameters
    ----------
    posterior
        Hyper-parameters, dims (chain, draw, ...).
    diverging
        Which transitions diverged.
    sampler
        The bounds: `max_rhat`, `min_ess`.

    Returns
    -------
    GateResult, DataFrame
        The verdict, and one row a hyper-parameter: `parameter, mean, sd, rhat, ess_bulk, ess_tail`.
        R-hat is rank-normalised and split (Vehtari et al. 2021, doi 10.1214/20-BA1221).
    """
    from arviz_stats import ess, rhat  # type: ignore[attr-defined]

    table = _table(
        {
            "mean": posterior.mean(("chain", "draw")),
            "sd": posterior.std(("chain", "draw")),
            "rhat": rhat(posterior),  # type: ignore[no-untyped-call]
            "ess_bulk": ess(posterior, method="bulk"),  # type: ignore[no-untyped-call]
            "ess_tail": ess(posterior, method="tail"),  # type: ignore[no-untyped-call]
        }
    )
    worst = {
        "max_rhat": float(table["rhat"].max()),
        "min_ess_bulk": float(table["ess_bulk"].min()),
        "min_ess_tail": float(table["ess_tail"].min()),
        "divergences": float(np.sum(diverging)),
    }
    failures = []
    for _, row in table.iterrows():
        if not row["rhat"] < sampler.max_rhat:
            failures.append(f"{row['parameter']}: R-hat {row['rhat']:.3f}")
        for kind in ("ess_bulk", "ess_tail"):
            if not row[kind] > sampler.min_ess:
                failures.append(f"{row['parameter']}: {kind} {row[kind]:.0f}")
    if worst["divergences"]:
        failures.append(f"{worst['divergences']:.0f} divergent transitions")
    return GateResult(not failures, tuple(failures), worst), table


def judge_importance(
    draws: xr.Dataset, weight: FloatArray, pareto_k: float, sampler: Sampler, max_k: float
) -> tuple[GateResult, pd.DataFrame]:
    """Apply the gate to weighted draws.

    Parameters
    ----------
    draws
        Hyper-parameters, dims (chain = 1, draw, ...): all draws of the proposal.
    weight
        Smoothed importance weights, adding up to one, (draw,).
    pareto_k
        Shape of the weights' tail (Vehtari et al. 2024, Pareto smoothed importance sampling,
        JMLR 25:72, arXiv:1507.02646).
    sampler
        The bound `min_ess`.
    max_k
        The bound on `pareto_k`, from `max_pareto_k`.

    Returns
    -------
    GateResult, DataFrame
        The verdict: tail shape below its bound and more than `min_ess` effective draws, overall and
        for the mean of every hyper-parameter. Columns as in `judge_convergence`: `ess_bulk` is the
        effective sample size of the mean, `ess_tail` that of the weights, and there is no R-hat.
    """
    w = xr.DataArray(weight[None], dims=("chain", "draw"))
    mean = (w * draws).sum(("chain", "draw"))
    square = (draws - mean) ** 2
    variance = (w * square).sum(("chain", "draw"))
    ess = float(1.0 / np.sum(weight**2))
    own = variance**2 / (w**2 * square).sum(("chain", "draw")) / variance
    table = _table({"mean": mean, "sd": variance**0.5, "ess_bulk": own})
    table.insert(3, "rhat", np.nan)
    table["ess_tail"] = ess
    least = float(table["ess_bulk"].min())
    worst = {"pareto_k": pareto_k, "importance_ess": ess, "min_ess_bulk": least}
    failures = []
    if not pareto_k < max_k:
        failures.append(f"importance weights: Pareto k-hat {pareto_k:.2f}")
    if not ess > sampler.min_ess:
        failures.append(f"importance weights: effective sample size {ess:.0f}")
    for _, row in table.iterrows():
        if not row["ess_bulk"] > sampler.min_ess:
            failures.append(f"{row['parameter']}: effective sample size {row['ess_bulk']:.0f}")
    return GateResult(not failures, tuple(failures), worst), table
