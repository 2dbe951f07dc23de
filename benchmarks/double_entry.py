"""The simulated double-entry case with known truth: coverage, speed, against JAGS.

Run ``python -m benchmarks.double_entry``. The JAGS figures are those recorded beside the data.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cases import flow_table, read_double_entry
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import Measurement, ModelSpec, Process, Tails
from flowcast.estimates import summarise
from flowcast.inference import estimate

JAGS_ESS_PER_SECOND = 1.3
JAGS_SECONDS = 375.0
JAGS_COVERAGE = 0.939
JAGS_SILENT_INSIDE = 33


def full_spec(spec: ModelSpec) -> ModelSpec:
    """Return the specification with every part of the default model switched on."""
    process = Process(intercept=spec.process.intercept, covariates=spec.process.covariates)
    return spec.model_copy(
        update={"process": process, "measurement": Measurement(), "tails": Tails()}
    )


def page_table(joined: pd.DataFrame, ess_per_second: float, seconds: float) -> pd.DataFrame:
    """Return the table of the page: flowcast beside JAGS.

    Parameters
    ----------
    joined
        `inside` and `evidence` of every flow.
    ess_per_second
        Of the worst hyper-parameter, compilation apart.
    seconds
        Of the whole run.
    """
    silent = joined.loc[joined["evidence"] == "none", "inside"]
    ours = ("flowcast", joined["inside"].mean(), silent.sum(), ess_per_second, seconds)
    theirs = ("JAGS", JAGS_COVERAGE, JAGS_SILENT_INSIDE, JAGS_ESS_PER_SECOND, JAGS_SECONDS)
    columns = ["estimator", "coverage_90", "silent_inside_90", "ess_per_second", "seconds"]
    table = pd.DataFrame([ours, theirs], columns=columns)
    return table.assign(flows=len(joined), silent_flows=len(silent))


def main() -> None:
    """Fit, and print coverage of 90 % intervals and effective draws per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the default model, every part on")
    add_keep(parser)
    args = parser.parse_args()
    if args.keep and args.full:
        parser.error("the page has the generator's parts: --keep without --full")
    start = time.perf_counter()
    case = read_double_entry(Path(tempfile.mkdtemp()))
    spec = full_spec(case.spec) if args.full else case.spec
    posterior = estimate(spec, case.observations, case.places, case.corridors)
    table = summarise(posterior, probs=(0.9,))
    wall = time.perf_counter() - start
    joined = flow_table(case, table)
    truth = np.exp(joined["true_log_flow"])
    joined["inside"] = truth.between(joined["lower"], joined["upper"])
    print(f"gate {posterior.gate}")
    print(f"90 % intervals cover {joined['inside'].mean():.3f} of {len(joined)} flows")
    print(joined.groupby("evidence")["inside"].agg(["mean", "sum", "size"]).round(3).to_string())
    timings = posterior.info["timings"]
    sampling = timings["mode"] + timings["sample"]
    worst = posterior.gate.worst["min_ess_bulk"]
    ratio = worst / sampling / JAGS_ESS_PER_SECOND
    print(f"timings {timings}")
    print(
        f"worst hyper-parameter: {worst:.0f} effective draws, {worst / sampling:.1f} a second "
        f"without compilation ({ratio:.0f} times JAGS); "
        f"whole run {wall:.1f} s (JAGS {JAGS_SECONDS:.0f} s)"
    )
    with pd.option_context("display.width", 120):
        print(posterior.diagnostics.round(3).to_string(index=False))
    if args.keep:
        table = page_table(joined, worst / sampling, wall)
        keep(table, "double_entry", command=command_line("double_entry"))


if __name__ == "__main__":
    main()
