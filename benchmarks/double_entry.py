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
from flowcast.config import Measurement, ModelSpec, Process, Tails
from flowcast.estimates import summarise
from flowcast.inference import estimate

JAGS_ESS_PER_SECOND = 1.3
JAGS_SECONDS = 375.0


def full_spec(spec: ModelSpec) -> ModelSpec:
    """Return the specification with every part of the default model switched on."""
    process = Process(intercept=spec.process.intercept, covariates=spec.process.covariates)
    return spec.model_copy(
        update={"process": process, "measurement": Measurement(), "tails": Tails()}
    )


def main() -> None:
    """Fit, and print coverage of 90 % intervals and effective draws per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="the default model, every part on")
    full = parser.parse_args().full
    start = time.perf_counter()
    case = read_double_entry(Path(tempfile.mkdtemp()))
    spec = full_spec(case.spec) if full else case.spec
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


if __name__ == "__main__":
    main()
