"""The 31-country case: fit, predict held-out reports, compare with baselines and with IMEM.

Run ``python -m benchmarks.imem31 [--seed N] [--out FILE]``. Twenty per cent of the reports are
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
from flowcast.estimates import summarise
from flowcast.inference import estimate
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.prediction import predict
from flowcast.validation.baselines import BASELINES, Known, draw_baseline, without_values
from flowcast.validation.fits import read_inputs
from flowcast.validation.scorecard import score_reports

SIZES = [-1, 0, 9, 49, 499, np.inf]
SIZE_NAMES = ["0", "1-9", "10-49", "50-499", "500+"]


def score_predictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a report: inside each interval, and the absolute log error."""
    out = rows.copy()
    out["in80"] = out["value"].between(out["q10"], out["q90"])
    out["in95"] = out["value"].between(out["q2.5"], out["q97.5"])
    out["error"] = np.abs(log_half(out["value"]) - log_half(out["median"]))
    out["size"] = pd.cut(out["value"], SIZES, labels=SIZE_NAMES)
    return out


def summarise_scores(scored: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """Return n, coverage at 80 and 95 % and mean absolute log error, overall or by a column."""
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
    shown = ["mae_log", "crps_log", "coverage_80", "coverage_95"]
    rows = {}
    for name in BASELINES:
        scores = score_reports(draw_baseline(name, known), value, 1)
        rows[name] = {"n": scores["pit"].notna().sum(), **scores[shown].mean()}
    return pd.DataFrame(rows).T.round(3)


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
    reporter = np.where(
        scored["reporter"] == "origin", scored["origin"] + " emi", scored["destination"] + " imm"
    )
    print(summarise_scores(scored.assign(who=reporter), "who").to_string())
    other = other_side(fit, held.table)
    both = other.notna().to_numpy()
    truth = log_half(scored["value"])
    print(
        f"(a) other side's report, {both.sum()} rows: "
        f"{np.abs(truth - log_half(other))[both].mean():.3f}; "
        f"flowcast {scored['error'][both].mean():.3f}"
    )
    gravity = gravity_ppml(case, fit, held.table)
    print(
        f"(b) PPML gravity, {held.n} rows: {np.abs(truth - log_half(gravity)).mean():.3f}; "
        f"flowcast {scored['error'].mean():.3f}"
    )
    print(score_baselines(case, fit, held.table).to_string())
    figures, joined = compare_imem(case, posterior)
    print({k: round(float(v), 3) for k, v in figures.items()})
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
