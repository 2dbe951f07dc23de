"""The 31-country case: fit, predict held-out reports, compare with baselines and with IMEM.

Run ``python -m benchmarks.imem31 [--seed N]``. Twenty per cent of the reports are
withheld at random (the seed is stated in the output); the model never sees them. IMEM's published
quantiles are read only here, after the fit.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cases import Case, flow_table, log_half, read_imem31
from benchmarks.pages import add_keep, command_line, keep
from flowcast.estimates import summarise
from flowcast.inference import estimate
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports, predict
from flowcast.validation.baselines import BASELINES, Known, draw_baseline, without_values
from flowcast.validation.fits import read_inputs
from flowcast.validation.scorecard import score_reports

SIZES = [-1, 0, 9, 49, 499, np.inf]
SIZE_NAMES = ["0", "1-9", "10-49", "50-499", "500+"]
PAGE_NAMES = {"in80": "coverage_80", "in95": "coverage_95", "error": "mae_log"}
SHOWN = ["mae_log", "crps_log", "coverage_80", "coverage_95"]


def score_predictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a report: inside each interval, and the absolute log error."""
    out = rows.copy()
    out["in80"] = out["value"].between(out["q10"], out["q90"])
    out["in95"] = out["value"].between(out["q2.5"], out["q97.5"])
    out["error"] = np.abs(log_half(out["value"]) - log_half(out["median"]))
    out["size"] = pd.cut(out["value"], SIZES, labels=SIZE_NAMES)
    return out


def summarise_scores(scored: pd.DataFrame, by: str | list[str] | None = None) -> pd.DataFrame:
    """Return n, coverage at 80 and 95 % and mean absolute log error, overall or by columns."""
    groups = scored.groupby(by, observed=True) if by else scored.assign(all="all").groupby("all")
    return groups.agg(
        n=("error", "size"), in80=("in80", "mean"), in95=("in95", "mean"), error=("error", "mean")
    ).round(3)


def other_side(fit: Observations, held: pd.DataFrame) -> pd.Series:
    """Return the other side's report of the same cell where it was fitted, else missing."""
    key = ["origin", "destination", "period_start", "reporter"]
    opposite = {"origin": "destination", "destination": "origin"}
    table = fit.table[[*key, "value"]].copy()
    table["reporter"] = table["reporter"].map(opposite)
    return held[key].merge(table, on=key, how="left")["value"]


def gravity_ppml(case: Case, fit: Observations, held: pd.DataFrame) -> np.ndarray:
    """Predict the held-out reports by a Poisson pseudo-maximum-likelihood gravity model.

    The same covariates as the model's, effects of origin, destination, reporter side and year
    (Santos Silva & Tenreyro 2006, doi 10.1162/rest.88.4.641).
    """
    import statsmodels.api as sm

    def design(rows: pd.DataFrame) -> pd.DataFrame:
        frame = case.frame.drop_duplicates(["orig", "dest", "year"]).rename(
            columns={"orig": "origin", "dest": "destination"}
        )
        year = rows["period_start"].dt.year
        joined = rows.assign(year=year).merge(
            frame, on=["origin", "destination", "year"], how="left"
        )
        logs = ["pop_orig_th", "pop_dest_th", "dist", "gdppc_ppp_orig", "gdppc_ppp_dest"]
        parts = [np.log(joined[logs]), joined[["contig", "comlang_off", "colony"]]]
        effects = joined[["origin", "destination", "reporter"]].assign(year=year.astype(str).values)
        return pd.concat([*parts, pd.get_dummies(effects, dtype=float)], axis=1)

    both = pd.concat([design(fit.table), design(held)], ignore_index=True).fillna(0.0)
    centre = both.replace(0.0, np.nan).mean()
    columns = ["dist", "gdppc_ppp_orig", "gdppc_ppp_dest"]
    both[columns] = both[columns].replace(0.0, np.nan).fillna(centre[columns])
    both = sm.add_constant(both.loc[:, both.nunique() > 1])
    n = fit.n
    y = fit.table["value"].to_numpy()
    result = sm.GLM(y, both.iloc[:n], family=sm.families.Poisson()).fit_regularized(
        alpha=1e-8, L1_wt=0.0, maxiter=500
    )
    return np.exp(both.iloc[n:].to_numpy() @ result.params)


def score_baselines(case: Case, fit: Observations, held: pd.DataFrame) -> pd.DataFrame:
    """Return what the baselines of the package score on the held-out reports."""
    inputs = read_inputs(case.spec, fit, case.places, case.corridors, None)
    known = Known(fit.table, without_values(held), inputs.covariates, inputs.spec, 1)
    value = held["value"].to_numpy()
    rows = {}
    for name in BASELINES:
        scores = score_reports(draw_baseline(name, known), value, 1)
        rows[name] = {"n": scores["pit"].notna().sum(), **scores[SHOWN].mean()}
    return pd.DataFrame(rows).T.round(3)


def page_tables(
    scored: pd.DataFrame, crps_log: float, baselines: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return tables of the page by name: scores by size, by reporter, and beside baselines.

    Parameters
    ----------
    scored
        From `score_predictions`.
    crps_log
        Mean of the model.
    baselines
        From `score_baselines`.
    """
    sides = scored.assign(
        place=np.where(scored["reporter"] == "origin", scored["origin"], scored["destination"]),
        side=np.where(scored["reporter"] == "origin", "emigration", "immigration"),
    ).drop(columns="reporter")
    whole = summarise_scores(scored)
    size = pd.concat([whole, summarise_scores(scored, "size")]).rename_axis("size")
    own = whole.rename(index={"all": "flowcast"}, columns=PAGE_NAMES).assign(crps_log=crps_log)
    return {
        "imem31_by_size": size.rename(columns=PAGE_NAMES).reset_index(),
        "imem31_by_reporter": summarise_scores(sides, ["place", "side"])
        .rename(columns=PAGE_NAMES)
        .rename_axis(["reporter", "side"])
        .reset_index(),
        "imem31_baselines": pd.concat([own, baselines[own.columns]])
        .astype({"n": int})
        .rename_axis("prediction")
        .reset_index(),
    }


def compare_simple(scored: pd.DataFrame, other: pd.Series, gravity: np.ndarray) -> pd.DataFrame:
    """Return errors of the other side's report and of gravity, and the model's on the same rows."""
    truth, rows = log_half(scored["value"]), []
    for name, said in (("other side's report", other), ("gravity by PPML", gravity)):
        there = np.isfinite(np.asarray(said, dtype=float))
        error = np.abs(truth - log_half(said))[there].mean()
        rows.append((name, int(there.sum()), error, scored["error"][there].mean()))
    return pd.DataFrame(rows, columns=["prediction", "n", "mae_log", "flowcast_mae_log"])


def describe_reports(reports: pd.DataFrame, n_withheld: int) -> pd.DataFrame:
    """Return how many reports there are, were withheld, are zero, and which share is below 50."""
    value = reports["value"]
    return pd.DataFrame(
        {
            "reports": [len(value)],
            "withheld": n_withheld,
            "zero": int((value == 0).sum()),
            "share_below_50": (value < 50).mean(),
        }
    )


def compare_imem(case: Case, posterior: Posterior) -> tuple[dict[str, float], pd.DataFrame]:
    """Compare with IMEM's published quantiles; returns figures and the joined table."""
    table = summarise(posterior, measure="flow", probs=(0.8,))
    joined = flow_table(case, table)
    ratio = np.log(joined["median"]) - np.log(joined["imem_median"].clip(lower=0.5))
    figures = {
        "cells": len(joined),
        "rank_correlation": joined["median"].corr(joined["imem_median"], method="spearman"),
        "median_log_ratio": ratio.median(),
        "imem_median_inside_80": joined["imem_median"].between(joined.lower, joined.upper).mean(),
    }
    joined["log_ratio"] = ratio
    return figures, joined


def main() -> None:
    """Run the whole comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2008)
    add_keep(parser)
    args = parser.parse_args()
    case = read_imem31(Path(tempfile.mkdtemp()))
    fit, held = case.observations.split(0.2, seed=args.seed)
    start = time.perf_counter()
    posterior = estimate(case.spec, fit, case.places, case.corridors)
    wall = time.perf_counter() - start
    print(f"held out {held.n} of {case.observations.n} reports, seed {args.seed}")
    print(f"fit: {wall:.0f} s; gate {posterior.gate}; seconds {posterior.info['timings']}")
    scored = score_predictions(predict(posterior, held))
    print(summarise_scores(scored).to_string())
    print(summarise_scores(scored, "size").to_string())
    row, draws = draw_reports(posterior, held)
    crps_log = score_reports(draws, held.table["value"].to_numpy()[row], 1)["crps_log"].mean()
    baselines = score_baselines(case, fit, held.table)
    tables = page_tables(scored, round(float(crps_log), 3), baselines)
    print(tables["imem31_by_reporter"].to_string(index=False))
    other = other_side(fit, held.table)
    gravity = gravity_ppml(case, fit, held.table)
    tables["imem31_simple"] = compare_simple(scored, other, gravity)
    print(tables["imem31_simple"].round(3).to_string(index=False))
    print(tables["imem31_baselines"].to_string(index=False))
    figures, joined = compare_imem(case, posterior)
    print({k: round(float(v), 3) for k, v in figures.items()})
    if args.keep:
        tables["imem31_against_imem"] = pd.DataFrame([figures])
        tables["imem31_reports"] = describe_reports(case.observations.table, held.n)
        for name, table in tables.items():
            keep(table, name, command=command_line("imem31"), seed=args.seed)
    worst = joined.groupby(["orig", "dest"]).agg(
        log_ratio=("log_ratio", "mean"),
        ours=("median", "median"),
        imem=("imem_median", "median"),
        imm=("imm_reported_by_dest", "median"),
        emi=("emi_reported_by_orig", "median"),
        evidence=("evidence", "first"),
    )
    order = worst["log_ratio"].abs().sort_values(ascending=False).index
    print(worst.loc[order].head(25).round(2).to_string())
    for side in ("orig", "dest"):
        print(joined.groupby(side)["log_ratio"].median().round(2).to_dict())


if __name__ == "__main__":
    main()
