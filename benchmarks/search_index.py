"""Searches as an index of migration: Romania to the United Kingdom, forecast one year ahead.

Run ``python -m benchmarks.search_index``. The survey's figures of all years before are known, and
the index of the same years and of the year itself. Rule of the index, fixed beforehand: the mean
over the months of a year and over all search terms whose cluster is not ``control``. No term and no
month is weighed or chosen.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.cases import read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import read_model
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports
from flowcast.scores import absolute_log_error, coverage, crps, interval_score

MODEL = Path(__file__).with_name("search_index.yaml")
FORECASTS = range(2014, 2020)
"""Each has at least two earlier years of the index and ten of the survey."""
PROBS = (0.8, 0.95)
LOG_SHIFT = 0.5
N_QUANTILES = 999
RECENT = 5
"""The sampling error of a figure to come is the median relative error of so many years before."""
REGRESSOR = {
    "name": "log_searches",
    "column": "searches",
    "transform": "log",
    "missing": "nearest_year",
    "prior": {"normal": [0, 1]},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "no index": {},
    "index, elasticity 1": {"measurement.index_elasticity": 1.0},
    "index, elasticity 0.5": {"measurement.index_elasticity": 0.5},
    "index, elasticity 2": {"measurement.index_elasticity": 2.0},
    "index as covariate": {"process.covariates": [REGRESSOR]},
}
PERSISTENCE = "persistence"
NO_INDEX = "no index"
COMPARED = (
    *((variant, NO_INDEX) for variant in VARIANTS if variant != NO_INDEX),
    (NO_INDEX, PERSISTENCE),
    ("index, elasticity 1", PERSISTENCE),
)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The survey (year, value, standard_error in persons) and the index by year."""

    survey: pd.DataFrame
    index: pd.Series


def yearly_index(monthly: pd.DataFrame, clusters: pd.DataFrame) -> pd.Series:
    """Return the index by year: the mean of all terms but the control ones over whole years."""
    terms = clusters.loc[clusters["cluster"] != "control", "keyword"]
    year = monthly["Date"].str[:4].astype(int)
    value = monthly[list(terms)].mean(axis=1).groupby(year).agg(["mean", "size"])
    return value.loc[value["size"] == 12, "mean"].rename("searches")


def in_persons(survey: pd.DataFrame) -> pd.DataFrame:
    """Return the survey's figures and their standard errors in persons."""
    error = survey["ips_ci95_halfwidth_thousand"] * 1000.0 / norm.ppf(0.975)
    value = survey["ips_thousand"] * 1000.0
    return pd.DataFrame({"year": survey["year"], "value": value, "standard_error": error})


def read_case(folder: Path) -> Case:
    """Read the published figures."""
    monthly = read_table(folder / "GT_data.csv.gz")
    clusters = read_table(folder / "GT_cluster_dictionary.csv.gz")
    survey = read_table(folder / "IPS_LTIM_Romania_to_UK.csv")
    return Case(in_persons(survey), yearly_index(monthly, clusters))


def survey_rows(survey: pd.DataFrame) -> pd.DataFrame:
    """Return the survey's figures in the columns of the observation contract."""
    corridor = {"origin": "RO", "destination": "GB", "reporter": "destination", "measure": "flow"}
    return survey.assign(source="ips", family="survey", accuracy_class="high", **corridor)


def index_rows(index: pd.Series) -> pd.DataFrame:
    """Return the index in the columns of the observation contract."""
    corridor = {"origin": "RO", "destination": "GB", "reporter": "other", "measure": "index"}
    frame = pd.DataFrame({"year": index.index, "value": index.to_numpy()})
    return frame.assign(source="searches", family="digital", accuracy_class="medium", **corridor)


def known_before(case: Case, year: int, *, with_index: bool) -> Observations:
    """Return what is known when `year` is forecast: its index, but not its survey."""
    rows = [survey_rows(case.survey[case.survey["year"] < year])]
    # The index is always there, so that the model has the year; without it, it tells nothing.
    index = case.index[case.index.index <= year]
    rows.append(index_rows(index if with_index else index[index.index == year]))
    return observations_from_frame(pd.concat(rows, ignore_index=True), name="known")


def to_predict(survey: pd.DataFrame, year: int) -> Observations:
    """Return the figure of `year`, with a sampling error guessed from the years before."""
    before = survey[survey["year"] < year].tail(RECENT)
    relative = float((before["standard_error"] / before["value"]).median())
    row = survey[survey["year"] == year].assign(standard_error=np.nan, sample_size=relative**-2)
    return observations_from_frame(survey_rows(row), name="to predict", role="held_out")


def corridor_file(index: pd.Series, year: int, folder: Path) -> Path:
    """Write the index up to `year` as a covariate of both directions, and return the file."""
    known = index[index.index <= year]
    frame = pd.DataFrame({"year": known.index, "searches": known.to_numpy()})
    there = frame.assign(origin="RO", destination="GB")
    path = folder / f"corridors_{year}.csv"
    pd.concat([there, there.assign(origin="GB", destination="RO")]).to_csv(path, index=False)
    return path


def persistence(survey: pd.DataFrame, year: int) -> np.ndarray:
    """Return quantiles, (quantile, 1): last year's figure, and the changes there have been.

    The log is normal around last year's; its variance is the mean square of all earlier changes.
    """
    past = np.log(survey.loc[survey["year"] < year, "value"].to_numpy())
    sd = np.sqrt(np.mean(np.diff(past) ** 2))
    level = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
    return np.asarray(np.exp(past[-1] + sd * norm.ppf(level)))[:, None]


def forecast(case: Case, year: int, variant: str) -> tuple[np.ndarray, Posterior]:
    """Return draws of the figure of `year`, (sample, 1), and the fit that they come from."""
    changes = VARIANTS[variant]
    corridors = None
    if "process.covariates" in changes:
        corridors = corridor_file(case.index, year, Path(tempfile.mkdtemp()))
    known = known_before(case, year, with_index="measurement.index_elasticity" in changes)
    posterior = estimate(read_model(MODEL, changes), known, None, corridors)
    _, draws = draw_reports(posterior, to_predict(case.survey, year))
    return draws, posterior


def score(draws: np.ndarray, value: float) -> dict[str, float]:
    """Return the scores of one forecast, and its median and 80 % interval."""
    seen = np.array([value])
    logs, log_seen = np.log(draws + LOG_SHIFT), np.log(seen + LOG_SHIFT)
    out = {"crps_log": crps(logs, log_seen), "crps": crps(draws, seen)}
    for prob, inside in zip(PROBS, coverage(draws, seen, PROBS), strict=True):
        out[f"interval_{100 * prob:.0f}"] = interval_score(draws, seen, prob)
        out[f"in{100 * prob:.0f}"] = inside
    out["error"] = absolute_log_error(draws, seen)
    scores = {name: float(array[0]) for name, array in out.items()}
    low, median, high = np.quantile(draws, [0.1, 0.5, 0.9])
    return scores | {"value": value, "low": low, "median": median, "high": high}


def difference(scores: pd.DataFrame, other: str, base: str) -> dict[str, Any]:
    """Return how the CRPS (log) of `other` differs from that of `base` over years.

    Mean, standard error, and in how many years it is lower.
    """
    wide = scores.pivot(index="year", columns="variant", values="crps_log")
    gap = wide[other] - wide[base]
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    told = {"difference": gap.mean(), "se": error, "better": int((gap < 0).sum())}
    return {"forecast": other, "against": base, **told, "years": len(gap)}


def compare(scores: pd.DataFrame, other: str, base: str) -> str:
    """Return in words how `other` differs from `base` over years."""
    gap = difference(scores, other, base)
    return (
        f"{other} minus {base}, crps_log: {gap['difference']:+.3f} (standard error "
        f"{gap['se']:.3f}), better in {gap['better']} of {gap['years']} years"
    )


def page_tables(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of the page by name: mean scores, and differences over years."""
    by = scores.groupby("variant", sort=False)
    out = by[["crps_log", "crps", "error"]].mean().rename(columns={"error": "mae_log"})
    for prob in (f"{100 * prob:.0f}" for prob in PROBS):
        out[f"interval_score_{prob}"] = by[f"interval_{prob}"].mean()
        out[f"inside_{prob}"] = by[f"in{prob}"].sum().astype(int)
    gaps = pd.DataFrame([difference(scores, *pair) for pair in COMPARED])
    means = out.assign(years=by.size()).rename_axis("forecast").reset_index()
    return {"search_index": means, "search_index_differences": gaps}


def run(case: Case) -> pd.DataFrame:
    """Forecast every year under every variant and by persistence; return a row for each."""
    rows = []
    value = case.survey.set_index("year")["value"]
    for year in FORECASTS:
        simple = score(persistence(case.survey, year), value[year])
        rows.append({"year": year, "variant": PERSISTENCE, **simple})
        for variant in VARIANTS:
            draws, posterior = forecast(case, year, variant)
            if not posterior.gate.passed:
                print(f"{variant}, {year}: {posterior.gate}")
            how = {"method": posterior.info["method"], "gate": posterior.gate.passed}
            rows.append({"year": year, "variant": variant, **score(draws, value[year]), **how})
    return pd.DataFrame(rows)


def main() -> None:
    """Forecast, score, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_keep(parser)
    args = parser.parse_args()
    case = read_case(shared() / "data" / "flows" / "uk_ro_gtrends_ips")
    print(case.index.round(2).to_dict())
    scores = run(case)
    names = ["crps_log", "crps", "interval_80", "interval_95", "in80", "in95", "error"]
    print(scores.groupby("variant", sort=False)[names].mean().round(3).to_string())
    shown = scores[["year", "variant", "value", "low", "median", "high", "crps_log", "method"]]
    print(shown.round(3).to_string(index=False))
    for pair in COMPARED:
        print(compare(scores, *pair))
    if args.keep:
        for name, table in page_tables(scores).items():
            keep(table, name, command=command_line("search_index"))


if __name__ == "__main__":
    main()
