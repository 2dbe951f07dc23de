"""The collapsed posterior against the one with every latent flow sampled: the same or not.

Run ``python -m benchmarks.agreement [--size 6x5] [--draws 8000]``. A small world with every part
of the model on, counts as normal observations and normal tails, so that nothing is approximated.
The explicit model is sampled by nutpie in long chains; means and sds are compared in combined Monte
Carlo errors.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.explicit import explicit_model
from benchmarks.measure import compare, diagnose, from_weights, parse_size
from benchmarks.plain import PLAIN_TAILS, benchmark_world
from flowcast.config import Measurement, Sampler
from flowcast.inference import fit_problem
from flowcast.model.hyper import build_layout
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites
from flowcast.simulation import simulation_spec

__all__ = ["Agreement", "agree", "agreement_problem", "run_collapsed", "run_explicit"]

CHAINS = 4
SHARE = 0.8
MAX_RHAT = 1.01


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Two posteriors side by side.

    Attributes
    ----------
    hyper, flows
        As from `compare`, a row a hyper-parameter and a row a latent log flow.
    """

    hyper: pd.DataFrame
    flows: pd.DataFrame

    def worst(self) -> dict[str, float]:
        """Return the figures that agreement is judged by, in combined Monte Carlo errors.

        The largest difference of a hyper-parameter's mean or sd; of the means of latent flows the
        largest, and the share beyond 3.
        """
        beyond = self.flows["z_mean"].abs()
        return {
            "hyper": float(self.hyper[["z_mean", "z_sd"]].abs().to_numpy().max()),
            "flows": float(beyond.max()),
            "share": float((beyond > 3.0).mean()),
        }


def agreement_problem(n_place: int, n_period: int, *, seed: int = 1) -> Problem:
    """Return a small problem with every part of the model, normal throughout.

    Parameters
    ----------
    n_place, n_period
        Size.
    seed
        Of the world.
    """
    spec = simulation_spec(measurement=Measurement(counts="delta"), tails=PLAIN_TAILS)
    return benchmark_world(n_place, n_period, spec, share=SHARE, seed=seed).problem


def run_explicit(
    problem: Problem, *, draws: int, tune: int, centred: bool = False, seed: int = 1
) -> xr.Dataset:
    """Sample the explicit model by nutpie.

    Parameters
    ----------
    problem
        From `agreement_problem`.
    draws, tune
        Of each of four chains.
    centred
        Which form of the model.
    seed
        Of the sampler.

    Returns
    -------
    Dataset
        Hyper-parameters and ``log_flow``, dims (chain, draw, ...).

    Raises
    ------
    RuntimeError
        If chains did not mix: there is nothing to compare with then.
    """
    import nutpie

    model = explicit_model(problem, initial_sites(problem), centred=centred)
    names = [*build_layout(problem).slices, "log_flow"]
    compiled = nutpie.compile_pymc_model(model, backend="numba", var_names=names)
    tree = nutpie.sample(
        compiled,
        draws=draws,
        tune=tune,
        chains=CHAINS,
        cores=2,
        seed=seed,
        target_accept=0.95,
        progress_bar=False,
        save_warmup=False,
    )
    found = tree["posterior"].to_dataset()[names]
    rhat = diagnose(found)["rhat"].max()
    if not rhat < MAX_RHAT:
        raise RuntimeError(f"(run_explicit) | found R-hat {rhat:.3f}; allowed: below {MAX_RHAT}")
    return found


def run_collapsed(
    problem: Problem, method: str, *, draws: int, seed: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit the collapsed model.

    Parameters
    ----------
    problem
        From `agreement_problem`.
    method
        ``laplace`` or ``nuts``.
    draws
        Of each of four chains; four times as many importance draws.
    seed
        Of the sampler.

    Returns
    -------
    hyper, flows : DataFrame
        As from `diagnose`. Where `laplace` does not vouch for its weights they are NUTS's, as in
        every fit.
    """
    sampler = Sampler(
        method=method,
        seed=seed,
        draws=draws,
        chains=CHAINS,
        importance_draws=CHAINS * draws,
        kept_draws=draws,
        min_ess=draws / 5,
    )
    problem = replace(problem, spec=problem.spec.model_copy(update={"sampler": sampler}))
    tree, _, diagnostics, remarks = fit_problem(problem, prior=False)
    weighted = remarks["method"] == "laplace"
    hyper = from_weights(diagnostics) if weighted else diagnose(tree["posterior"].to_dataset())
    return hyper, diagnose(flows_of(tree["latent"].to_dataset()))


def flows_of(latent: xr.Dataset) -> xr.Dataset:
    """Return log flows with corridors and periods numbered, whatever labels they carry."""
    array = latent["log_flow"].astype(np.float64)
    plain = xr.DataArray(array.to_numpy(), dims=("chain", "draw", "corridor", "period"))
    return plain.assign_coords({d: np.arange(plain.sizes[d]) for d in plain.dims}).to_dataset(
        name="log_flow"
    )


def agree(explicit: xr.Dataset, hyper: pd.DataFrame, flows: pd.DataFrame) -> Agreement:
    """Set a collapsed posterior against an explicit one."""
    other = diagnose(explicit.drop_vars("log_flow"))
    return Agreement(
        compare(hyper, other.loc[hyper.index]), compare(flows, diagnose(flows_of(explicit)))
    )


def main() -> None:
    """Compare both methods with long explicit chains, and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="6x5")
    parser.add_argument("--draws", type=int, default=8_000, help="of explicit chains, each")
    parser.add_argument("--tune", type=int, default=3_000)
    parser.add_argument("--collapsed", type=int, default=5_000, help="draws of collapsed chains")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    problem = agreement_problem(*parse_size(args.size), seed=args.seed)
    explicit = run_explicit(problem, draws=args.draws, tune=args.tune)
    print(f"explicit: worst ESS {diagnose(explicit)['ess'].min():.0f}")
    for method in ("nuts", "laplace"):
        hyper, flows = run_collapsed(problem, method, draws=args.collapsed)
        found = agree(explicit, hyper, flows)
        print(f"\n{method} against explicit; worst ESS {hyper['ess'].min():.0f}")
        print(found.hyper.to_markdown(floatfmt=".3f"))
        print({k: round(v, 4) for k, v in found.worst().items()})


if __name__ == "__main__":
    main()
