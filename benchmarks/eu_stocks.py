"""Migrant stocks of the EU28: what merging sources gains over any one of them, and what floors do.

Run ``python -m benchmarks.eu_stocks``. Register figures (Eurostat) are withheld, 20 % at random,
the whole of 2018, and a fifth of all corridors, and predicted from what is left and from each
source alone. Rules that were fixed beforehand: a platform's figure of a year is that of the month
nearest to its middle; its floor is 20 until 2017 and 1,000 from 2018; a census figure equal to the
register's is the same figure twice, and left out.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cases import read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import ModelSpec, read_model
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame
from flowcast.places import all_places, convert_code
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports
from flowcast.scores import absolute_log_error, coverage, crps

MODEL = Path(__file__).with_name("eu_stocks.yaml")
YEARS = (2011, 2019)
FAMILIES = {
    "eurostat": "administrative",
    "census": "census",
    "lfs": "survey",
    "facebook": "digital",
}
MONTHS = {2016: 5, 2017: 6, 2018: 6, 2019: 6}
"""Which month of the platform's figures stands for a year."""
FLOORS = {2016: 20.0, 2017: 20.0, 2018: 1000.0, 2019: 1000.0}
LOG_SHIFT = 0.5
SEED = 2018


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Model, reports by source, and the paths of covariates."""

    spec: ModelSpec
    reports: pd.DataFrame
    places: Path
    corridors: Path


def platform_year(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the platform's figure of each corridor and year, with its floor."""
    month = frame["year"].map(MONTHS)
    chosen = frame[(frame["month"] == month) & frame["mau"].notna()]
    return chosen.assign(value=chosen["mau"], censored_below=chosen["year"].map(FLOORS))


def without_repeats(census: pd.DataFrame, register: pd.DataFrame) -> pd.DataFrame:
    """Return census figures that are not the register's own."""
    key = ["origin", "destination", "year"]
    both = census.merge(register[[*key, "value"]], on=key, how="left", suffixes=("", "_register"))
    return both[both["value"] != both["value_register"]].drop(columns="value_register")


def read_reports(folder: Path) -> pd.DataFrame:
    """Return every source's figures as rows of the observation contract."""
    names = {
        "eurostat": ("Eurostat_2010_2018_15_64.csv.gz", "eurostat"),
        "census": ("Eurostat_census_2011.csv.gz", "census"),
        "lfs": ("LFS_corrected_full_corridors.csv.gz", "LFS"),
    }
    parts = {}
    for source, (file, column) in names.items():
        table = read_table(folder / file, na=("", "NA"))
        table = table[table[column].notna() & table["year"].between(*YEARS)]
        parts[source] = table.assign(value=table[column])
    users = read_table(folder / "Fb_all_2016_2019_users_pop_coverage.csv.gz", na=("", "NA"))
    parts["facebook"] = platform_year(users)
    tables = {source: contract(table, source) for source, table in parts.items()}
    tables["census"] = without_repeats(tables["census"], tables["eurostat"])
    return pd.concat(list(tables.values()), ignore_index=True)


def contract(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return figures in the columns of the contract."""
    codes = {place.name: place.alpha2 for place in all_places()} | {"Czech Republic": "CZ"}
    return pd.DataFrame(
        {
            "source": source,
            "family": FAMILIES[source],
            "measure": "stock",
            "origin": table["orig"].map(codes),
            "destination": table["dest"].map(codes),
            "year": table["year"].astype(int),
            "value": table["value"].astype(float),
            "censored_below": table.get("censored_below", np.nan),
            "reporter": "destination",
            "age": "15-64",
            "accuracy_class": "medium",  # one noise for each source; heavy tails tell cells apart
        }
    )


def read_case(folder: Path) -> Case:
    """Read the case; covariates are written to `folder` (temporary)."""
    data = shared() / "data" / "flows"
    reports = read_reports(data / "eu_stocks_fb_lfs")
    alpha3 = {convert_code(c, "alpha3"): c for c in {*reports["origin"], *reports["destination"]}}
    population = read_table(data / "wpp2024" / "wpp2024_annual.csv.gz")
    population = population[population["iso3"].isin(list(alpha3))]
    population = population[population["year"].between(*YEARS)]
    places = pd.DataFrame(
        {
            "place": population["iso3"].map(alpha3),
            "year": population["year"],
            "population_th": population["pop_midyear_implied"],
        }
    )
    places.to_csv(folder / "places.csv", index=False)
    pair = read_table(data / "cepii_geodist" / "dist_cepii.csv.gz")
    pair = pair.replace({"iso_o": {"ROM": "ROU"}, "iso_d": {"ROM": "ROU"}})
    inside = pair["iso_o"].isin(list(alpha3)) & pair["iso_d"].isin(list(alpha3))
    pair = pair[inside & (pair["iso_o"] != pair["iso_d"])]
    corridors = pd.DataFrame(
        {
            "origin": pair["iso_o"].map(alpha3),
            "destination": pair["iso_d"].map(alpha3),
            "distance_km": pair["dist"],
            "contiguity": pair["contig"],
        }
    )
    corridors.to_csv(folder / "corridors.csv", index=False)
    spec = read_model(MODEL)
    return Case(spec, reports, folder / "places.csv", folder / "corridors.csv")


def held_rows(reports: pd.DataFrame, how: str, seed: int = SEED) -> np.ndarray:
    """Return which register figures are withheld.

    20 % ``at random``; a ``year`` (2018); or all of every fifth of the ``corridors``, drawn at
    random, so that nothing is left of them but what other sources say.
    """
    register = (reports["source"] == "eurostat").to_numpy()
    if how == "year":
        return register & (reports["year"] == 2018).to_numpy()
    if how == "corridors":
        pair = reports["origin"] + reports["destination"]
        names = np.unique(pair[register])
        drawn = np.random.default_rng(seed).choice(names, len(names) // 5, replace=False)
        return register & pair.isin(drawn).to_numpy()
    chance = np.random.default_rng(seed).random(len(reports)) < 0.2
    return register & chance


def with_floors(reports: pd.DataFrame, how: str) -> pd.DataFrame:
    """Return the reports with floors ``censored``, taken ``as figures``, or ``left out``."""
    floored = reports["value"] <= reports["censored_below"]
    if how == "left out":
        return reports[~floored]
    return reports.assign(censored_below=np.nan) if how == "as figures" else reports


def fit(case: Case, reports: pd.DataFrame, ahead: int) -> Posterior:
    """Fit the model to some of the reports, with some years after the last one."""
    data = observations_from_frame(reports, name="eu_stocks")
    overrides = {"periods_ahead": ahead}
    return estimate(case.spec, data, case.places, case.corridors, overrides=overrides)


def years_ahead(held: pd.DataFrame, fitted: pd.DataFrame) -> int:
    """Return by how many years the fit has to go beyond its last report: one at most."""
    return int(held["year"].max() == fitted["year"].max() + 1)


def within(held: pd.DataFrame, fitted: pd.DataFrame, ahead: int) -> pd.DataFrame:
    """Return the withheld rows in years that the fit spans."""
    return held[held["year"].between(fitted["year"].min(), fitted["year"].max() + ahead)]


def predict(posterior: Posterior, held: pd.DataFrame) -> tuple[Observations, np.ndarray]:
    """Return withheld rows and draws of their figures (sample, report), in one order."""
    data = observations_from_frame(held, name="withheld", role="held_out")
    row, draws = draw_reports(posterior, data)
    order = np.argsort(row)
    return data, draws[:, order]


def score(values: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """Return scores averaged over rows; `crps_log` is of log(figure + 1/2)."""
    logs, truth = np.log(draws + LOG_SHIFT), np.log(values + LOG_SHIFT)
    inside = coverage(draws, values, (0.8, 0.95))
    return {
        "n": len(values),
        "crps_log": float(crps(logs, truth).mean()),
        "crps": float(crps(draws, values).mean()),
        "mae_log": float(absolute_log_error(draws, values).mean()),
        "coverage_80": float(inside[0].mean()),
        "coverage_95": float(inside[1].mean()),
    }


def compare(
    case: Case, how: str, runs: Mapping[str, pd.DataFrame], held: pd.DataFrame
) -> pd.DataFrame:
    """Fit each set of reports, and print its scores beside those of the first on the same rows.

    Returns
    -------
    DataFrame
        `withheld`, `fitted`, `same_rows_as` (whose rows these are, if not all), `gate` (empty, or
        ``failed``) and scores.
    """
    first: pd.DataFrame | None = None
    table = []
    for name, reports in runs.items():
        ahead = years_ahead(held, reports)
        rows = within(held, reports, ahead)
        if rows.empty:
            print(f"{how} | {name}: has no figure of these years", flush=True)
            continue
        start = time.perf_counter()
        posterior = fit(case, reports, ahead)
        wall = time.perf_counter() - start
        data, draws = predict(posterior, rows)
        values = data.table["value"].to_numpy(float)
        key = list(zip(data.table["origin"], data.table["destination"], rows["year"], strict=True))
        scores = score(values, draws)
        told = " ".join(f"{k} {v:.4g}" for k, v in scores.items())
        verdict = "passed" if posterior.gate.passed else "FAILED"
        gate = "" if posterior.gate.passed else "failed"
        row = {"withheld": how, "fitted": name, "same_rows_as": "", "gate": gate}
        table.append(row | scores)
        method = posterior.info.get("method", "")
        print(f"{how} | {name}: {told} | {wall:.0f} s, {method}, gate {verdict}", flush=True)
        per_row = pd.DataFrame(draws.T, index=pd.MultiIndex.from_tuples(key)).assign(value=values)
        if first is None:
            first, first_row = per_row, row
        elif len(per_row) < len(first):
            same = first.loc[per_row.index]
            both = score(same["value"].to_numpy(), same.drop(columns="value").to_numpy().T)
            told = " ".join(f"{k} {v:.4g}" for k, v in both.items())
            print(f"{how} |   all sources on these rows: {told}", flush=True)
            table.append(first_row | {"same_rows_as": name} | both)
    return pd.DataFrame(table)


def main() -> None:
    """Run the ways of withholding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--how", nargs="*", default=["at random", "year", "corridors"])
    add_keep(parser)
    args = parser.parse_args()
    case = read_case(Path(tempfile.mkdtemp()))
    print(case.reports.groupby(["source", "year"]).size().unstack(fill_value=0).to_string())
    tables = []
    for how in args.how:
        withheld = held_rows(case.reports, how)
        held, left = case.reports[withheld], case.reports[~withheld]
        runs = {"all sources": left}
        runs |= {f"{s} alone": left[left["source"] == s] for s in FAMILIES}
        runs |= {f"floors {k}": with_floors(left, k) for k in ("as figures", "left out")}
        tables.append(compare(case, how, runs, held))
    if args.keep:
        keep(pd.concat(tables), "eu_stocks", command=command_line("eu_stocks"), seed=SEED)


if __name__ == "__main__":
    main()
