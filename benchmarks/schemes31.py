"""The 31-country case under every scheme of validation, against every baseline.

Run ``python -m benchmarks.schemes31 [--schemes ...] [--out FOLDER]``; a run that was stopped goes
on when it is started again. Fitted are the registers of corridors, flows with the rest of the world
and differences of stocks (`benchmarks.around31`). Rules that were fixed beforehand:

- Reports of registers are withheld and scored, in three parts; differences of stocks are not. Of
  countries and last years nothing is fitted that tells of them, stocks included.
- Beside the baselines stand three tables of others: the posterior medians of IMEM and flows of the
  world by a neural network, both made from the withheld reports or from what they are made of; and
  pseudo-Bayes flows from the stocks, a fifth of five years in each, made from no report.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd

from benchmarks.around31 import MODEL, STOCK_YEARS, YEARS, Around, read_case
from benchmarks.cases import read_imem31, read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from benchmarks.world import read_world
from benchmarks.world_stocks import point_flows
from flowcast.config import read_model
from flowcast.validation import BASELINES, SCHEMES, cross_validate

FOLDS = {"families": None, "last-years": 3}
PARTS = 3
SEED = 2008
SAMPLER = {
    "sampler.draws": 700,
    "sampler.tune": 250,
    "sampler.max_depth": 3,
    "sampler.kept_draws": 300,
}
QUANTILES = {"imem_q10": "q10", "imem_q25": "q25", "imem_q75": "q75", "imem_q90": "q90"}
METRICS = ("crps_log", "crps", "mae_log", "coverage_80", "coverage_95")


def imem_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the published quantiles of IMEM, which never enter a fit."""
    names = {"orig": "origin", "dest": "destination", "imem_median": "median", **QUANTILES}
    return frame.rename(columns=names)[[*names.values(), "year"]].dropna()


def network_table(codes: Mapping[str, str]) -> pd.DataFrame:
    """Return flows of Gaskin and Abel 2025 among the countries; those below 50 are not there."""
    name = "flows_prev_residence_ge50.csv.gz"
    rows = read_table(shared() / "data" / "flows" / "gaskin_abel_2025" / name)
    names = {"orig_iso2": "origin", "dest_iso2": "destination", "flow": "value"}
    rows = rows.rename(columns=names)
    places = {*codes.values()}
    inside = rows["origin"].isin(places) & rows["destination"].isin(places)
    return rows[inside & rows["year"].isin(YEARS)]


def stocks_table(codes: Mapping[str, str]) -> pd.DataFrame:
    """Return pseudo-Bayes flows among the countries, a fifth of five years in each of them."""
    world = read_world(shared() / "data" / "flows", STOCK_YEARS)
    flows = point_flows(world, "pseudo-bayes")
    flows[["origin", "destination"]] = flows[["origin", "destination"]].apply(
        lambda column: column.map(codes)
    )
    flows = flows.dropna().query("origin != destination")
    years = pd.DataFrame(
        [(first, year) for first, last in pairwise(STOCK_YEARS) for year in range(first, last)],
        columns=["start", "year"],
    )
    yearly = flows.merge(years[years["year"].isin(YEARS)], on="start")
    return yearly.assign(value=yearly["flow"] / (STOCK_YEARS[1] - STOCK_YEARS[0]))


def compare_scores(scorecard: pd.DataFrame, indicator: str = "reports") -> pd.DataFrame:
    """Return a table for a page: the model by itself, then each baseline on what both predict.

    Parameters
    ----------
    scorecard
        From `cross_validate`.
    indicator
        Kind of report, over all folds.

    Returns
    -------
    DataFrame
        `against` (``flowcast`` for the model), `n`, means of the scores, and `difference` and `se`
        of the CRPS of logs, model less baseline, by corridor.
    """
    rows = scorecard[(scorecard["fold"] == "all") & (scorecard["indicator"] == indicator)]
    alone = rows[rows["against"].isna()].set_index("metric")["value"]
    out = [{"against": "flowcast", "n": alone["n"], **alone[list(METRICS)]}]
    for name, theirs in rows[rows["against"].notna()].groupby("against", sort=False):
        own = theirs.set_index("metric")
        if "crps_log" not in own.index:  # it predicts none of them
            out.append({"against": name, "n": 0})
            continue
        told = own["baseline"][["n", *METRICS]]
        gap = own.loc["crps_log", ["difference", "se"]]
        out.append({"against": name, **told, **gap})
    return pd.DataFrame(out)


def share_converged(scorecard: pd.DataFrame) -> float:
    """Return the share of fits that passed the convergence gate."""
    gate = scorecard[(scorecard["indicator"] == "fit") & (scorecard["metric"] == "gate_passed")]
    return float(gate.loc[gate["fold"] == "all", "value"].iloc[0])


def run(case: Around, frame: pd.DataFrame, schemes: Sequence[str], out: Path) -> pd.DataFrame:
    """Validate by each scheme; scorecards and finished folds are kept in `out`."""
    tables = {
        "imem": imem_table(frame),
        "neural_network": network_table(case.codes),
        "pseudo_bayes": stocks_table(case.codes),
    }
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for scheme in schemes:
        scorecard = cross_validate(
            read_model(MODEL),
            [case.registers, case.others["rest"], case.others["stocks"]],
            case.places,
            case.corridors,
            scheme=scheme,  # type: ignore[arg-type]
            folds=FOLDS.get(scheme, PARTS),
            seed=SEED,
            families=["administrative"],
            baselines=list(BASELINES),
            tables=tables,
            folder=out / "folds" / scheme,
            overrides=SAMPLER,
            progress=True,
        )
        scorecard.to_csv(out / f"scorecard_{scheme}.csv", index=False)
        table = compare_scores(scorecard).assign(converged=share_converged(scorecard))
        table.insert(0, "scheme", scheme)
        parts.append(table)
        print(table.round(3).to_string(), *scorecard.attrs["notes"], sep="\n", flush=True)
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Run the schemes asked for, and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--out", type=Path, default=Path("runs") / "schemes31")
    add_keep(parser)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    table = run(read_case(folder), read_imem31(folder).frame, args.schemes, args.out)
    table.to_csv(args.out / "schemes31.csv", index=False)
    if args.keep:
        title = "31 countries under every scheme"
        keep(table, "schemes31", command=command_line("schemes31"), seed=SEED, title=title)


if __name__ == "__main__":
    main()
