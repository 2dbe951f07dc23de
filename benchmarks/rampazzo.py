"""Survey and Facebook merged as in Rampazzo et al. 2021: our posterior against the published one.

Run ``python -m benchmarks.rampazzo``. Their data and posterior lie beside the project; the model is
in `rampazzo.yaml`, with their priors.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cases import shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import read_model
from flowcast.inference import estimate
from flowcast.observations import observations_from_frame
from flowcast.posterior import Posterior

MODEL = Path(__file__).with_name("rampazzo.yaml")
YEARS = (2018, 2019)
CODES = {
    "Austria": "AT", "Belgium": "BE", "Czech Republic": "CZ", "Latvia": "LV", "Sweden": "SE",
    "France": "FR", "Germany": "DE", "Hungary": "HU", "Lithuania": "LT", "Denmark": "DK",
    "Finland": "FI", "Ireland": "IE", "Italy": "IT", "Netherlands": "NL", "Poland": "PL",
    "Portugal": "PT", "Romania": "RO", "Slovakia": "SK", "Spain": "ES", "Greece": "GR",
}  # fmt: skip
"""In the order of the published posterior, within a year."""
QUANTILES = {"X2.5.": 0.025, "X50.": 0.5, "X97.5.": 0.975}
CLOSE = {"X50.": 0.05, "X2.5.": 0.10, "X97.5.": 0.10}
PUBLISHED_UNDERCOUNT = {2018: 0.249, 2019: 0.196}


def read_case(folder: Path) -> pd.DataFrame:
    """Return the published data, a row for each origin and year, with ISO codes."""
    parts = [pd.read_csv(folder / f"data_m1_{year}.csv").assign(year=year) for year in YEARS]
    table = pd.concat(parts, ignore_index=True)
    table["origin"] = table["country"].map(CODES)
    return table.assign(destination="GB")


def reports(case: pd.DataFrame) -> pd.DataFrame:
    """Return both sources as rows of the observation contract."""
    shared = {"measure": "stock", "reporter": "destination", "criterion": "birth"}
    shared |= {"accuracy_class": "high"}
    cells = case[["origin", "destination", "year"]].assign(**shared)
    survey = cells.assign(source="lfs", family="survey", value=case["lfs"])
    platform = cells.assign(source="facebook", family="digital", value=case["fb"])
    return pd.concat([survey, platform], ignore_index=True)


def covariates(case: pd.DataFrame) -> pd.DataFrame:
    """Return what is known about each origin and year, with the means of coverage and algorithm."""
    names = ["pop_r", "inflow_r", "outflow_r", "gdp_r", "unemp_r"]
    table = case[["origin", "destination", "year", *names]].copy()
    table["coverage"] = -np.log1p(-case["rate"])
    table["algorithm"] = np.log1p(-case["alg"]).fillna(0.0)
    return table


def fit(case: pd.DataFrame) -> Posterior:
    """Fit the model to both sources."""
    corridors = Path(tempfile.mkdtemp()) / "corridors.csv"
    covariates(case).to_csv(corridors, index=False)
    return estimate(read_model(MODEL), observations_from_frame(reports(case)), None, corridors)


def stocks(posterior: Posterior) -> np.ndarray:
    """Return draws of the stocks, (sample, stock), in the published order."""
    flow = posterior.log_flow.stack(sample=("chain", "draw")).transpose("sample", ...)
    into = flow.isel(corridor=(flow["destination"] == "GB").to_numpy())
    order = [list(into["origin"].to_numpy()).index(code) for code in CODES.values()]
    return np.exp(into.isel(corridor=order).transpose("sample", "period", "corridor").to_numpy())


def agreement(ratio: pd.DataFrame) -> pd.DataFrame:
    """Return how many stocks agree with the published ones, medians and ends of intervals.

    Parameters
    ----------
    ratio
        Ours to theirs, a row a stock and a column a quantile.
    """
    off = (ratio - 1.0).abs()
    figures = {"median": ["X50."], "ends of the 95 % interval": ["X2.5.", "X97.5."]}
    rows = []
    for figure, names in figures.items():
        within = CLOSE[names[0]]
        close = int((off[names] <= within).all(axis=1).sum())
        rows.append((figure, len(off), within, close, off[names].to_numpy().max()))
    return pd.DataFrame(rows, columns=["figure", "stocks", "within", "close", "worst"])


def undercount(draws: np.ndarray, case: pd.DataFrame) -> pd.DataFrame:
    """Return by year the share that the survey lacks, with a 95 % interval, and as published.

    Parameters
    ----------
    draws
        From `stocks`.
    case
        From `read_case`.
    """
    rows = []
    for k, year in enumerate(YEARS):
        survey = case.loc[case["year"] == year, "lfs"].sum()
        share = (draws[:, k].sum(axis=1) - survey) / survey
        low, median, high = np.quantile(share, [0.025, 0.5, 0.975])
        rows.append((year, median, low, high, PUBLISHED_UNDERCOUNT[year]))
    return pd.DataFrame(rows, columns=["year", "median", "lower", "upper", "published"])


def main() -> None:
    """Fit, and print how many figures agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_keep(parser)
    args = parser.parse_args()
    folder = shared() / "reference" / "rampazzo"
    case = read_case(folder)
    posterior = fit(case)
    draws = stocks(posterior)
    print(f"gate {posterior.gate}")
    summary = pd.read_csv(folder / "summary_model1.csv", index_col=0)
    published = summary[summary.index.str.startswith("true.stock")]
    flat = draws.reshape(len(draws), -1)
    ratio = pd.DataFrame(
        {
            name: np.quantile(flat, level, axis=0) / published[name].to_numpy()
            for name, level in QUANTILES.items()
        }
    )
    tables = {"rampazzo": agreement(ratio), "rampazzo_undercount": undercount(draws, case)}
    for name, table in tables.items():
        print(table.round(3).to_string(index=False))
        if args.keep:
            keep(table, name, command=command_line("rampazzo"))


if __name__ == "__main__":
    main()
