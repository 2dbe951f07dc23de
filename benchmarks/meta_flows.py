"""European registers and a platform's flows: what the platform tells of places that do not report.

Run ``python -m benchmarks.meta_flows [--folds N] [--out FILE]``. All that a group of receiving
registers reports is withheld, and predicted from the other registers alone, from these and the
platform, and from the platform alone times one factor. Rules that were fixed beforehand: the
platform's figures of 2019 are not used; a figure that is missing although the platform covers both
places is "fewer than 50"; registers have the undercount class of the IMEM experts, and their
accuracy is ``high`` where undercount is low.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cases import read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import read_model
from flowcast.estimates import summarise
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports
from flowcast.scores import LOG_SHIFT
from flowcast.validation.scorecard import score_reports
from flowcast.validation.splits import assign_folds

MODEL = Path(__file__).with_name("meta_flows.yaml")
YEARS = (2020, 2021, 2022)
FLOOR = 50.0
"""A year's sum below it is not in the platform's table."""
CODES = {"UK": "GB", "EL": "GR"}
NOT_COVERED = ("OTHER", "LI")
"""All other countries together; and Liechtenstein, which the platform does not cover."""
ACCURACY = {"low": "high", "high": "low"}
N_QUANTILES = 999
CELL = ["origin", "destination", "year"]
REGISTERS, BOTH, NO_FLOORS = "registers", "registers and platform", "both, floors left out"
SCALED = "platform times a factor"
ALONE = {"measurement.corridor_report_effects": False, "process.destination_effects": False}
"""With one source, whose reporters are the destinations, neither can be told from what is left."""
LONG = {
    "measurement.corridor_report_effects": False,
    "sampler.method": "nuts",
    "sampler.draws": 3000,
}
"""The same with destination effects, which say how uncertain a silent destination is."""
METRICS = ["mae_log", "crps_log", "crps", "coverage_80", "coverage_95"]
COMPARED = ((BOTH, REGISTERS), (BOTH, SCALED), (BOTH, NO_FLOORS))
PERMANENT = "SK"
"""Counts permanent moves only, and is predicted badly by whoever does not know: told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Reports of registers and of the platform, and the paths of covariates."""

    registers: Observations
    platform: Observations
    places: Path
    corridors: Path


def register_rows(table: pd.DataFrame, months: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Return what registers report in the columns of the observation contract.

    Parameters
    ----------
    table
        `partner` (origin), `geo` (who reports), `year`, `value`.
    months
        Minimum stay, `months`, by `destination` and `year`; the last year stands for later ones.
    classes
        Undercount class of arrivals by destination.
    """
    table = table[~table["partner"].isin(NOT_COVERED) & ~table["geo"].isin(NOT_COVERED)]
    table = table[table["year"].isin(YEARS)]
    rows = pd.DataFrame(
        {
            "origin": table["partner"].replace(CODES),
            "destination": table["geo"].replace(CODES),
            "year": table["year"],
            "value": table["value"],
        }
    )
    stay = months.set_index(["destination", "year"])["months"]
    last = int(months["year"].max())
    key = zip(rows["destination"], rows["year"].clip(upper=last), strict=True)
    undercount = rows["destination"].map(classes)
    return rows.assign(
        source="eurostat", family="administrative", measure="flow", reporter="destination",
        duration_months=[stay[k] for k in key], undercount_class=undercount,
        accuracy_class=undercount.map(ACCURACY),
    )  # fmt: skip


def platform_rows(table: pd.DataFrame, places: list[str], covered: set[str]) -> pd.DataFrame:
    """Return what the platform tells of every pair of places that it covers, in each year.

    Parameters
    ----------
    table
        `orig_iso2`, `dest_iso2`, `year`, `flow`: the cells of 50 and more.
    places
        Places of the model.
    covered
        Places that the platform covers.
    """
    inside = [p for p in places if p in covered]
    grid = pd.MultiIndex.from_product([inside, inside, YEARS], names=CELL).to_frame(index=False)
    grid = grid[grid["origin"] != grid["destination"]]
    known = table.rename(columns={"orig_iso2": "origin", "dest_iso2": "destination"})
    rows = grid.merge(known, on=CELL, how="left")
    hidden = rows["flow"].isna()
    value = rows["flow"].mask(hidden, FLOOR - 1.0)
    rows = rows.assign(value=value, censored_below=np.where(hidden, FLOOR, np.nan))
    return rows.drop(columns="flow").assign(
        source="meta", family="digital", measure="flow", reporter="destination",
        duration_months=12.0, accuracy_class="medium",
    )  # fmt: skip


def place_table(annual: pd.DataFrame, iso2: Mapping[str, str]) -> pd.DataFrame:
    """Return population by place and year."""
    rows = annual[annual["iso3"].isin(list(iso2)) & annual["year"].isin(YEARS)]
    return pd.DataFrame(
        {
            "place": rows["iso3"].map(iso2),
            "year": rows["year"],
            "population_th": rows["pop_midyear_implied"],
        }
    )


def corridor_table(
    pairs: pd.DataFrame, stocks: pd.DataFrame, iso2: Mapping[str, str]
) -> pd.DataFrame:
    """Return distance, border, language and stock (2020) of each corridor; 0 if not published."""
    old = {"ROM": "ROU"}
    pairs = pairs.assign(
        origin=pairs["iso_o"].replace(old).map(iso2),
        destination=pairs["iso_d"].replace(old).map(iso2),
    )
    pairs = pairs.dropna(subset=["origin", "destination"])
    pairs = pairs[pairs["origin"] != pairs["destination"]]
    names = {"dist": "distance_km", "contig": "contiguity", "comlang_off": "language"}
    rows = pairs.rename(columns=names)[["origin", "destination", *names.values()]]
    stocks = stocks[stocks["year"] == YEARS[0]].assign(
        origin=stocks["birth"].map(iso2), destination=stocks["residence"].map(iso2)
    )
    stocks = stocks.dropna(subset=["origin", "destination"])
    rows = rows.merge(
        stocks[["origin", "destination", "tot"]], on=["origin", "destination"], how="left"
    )
    published = rows["tot"].notna().astype(float)
    return rows.assign(stock=rows["tot"].fillna(0.0), stock_published=published).drop(columns="tot")


def _undercount(data: Path) -> pd.Series:
    table = read_table(data / "undercount_scores" / "meta_IMEM.csv")
    return table.set_index(table["Country"].replace(CODES))["Undercount.imm.IMEM"]


def _minimum_stay(data: Path) -> pd.DataFrame:
    table = read_table(data / "undercount_scores" / "duration_of_stay_criteria.csv.gz")
    table = table.rename(columns={"dest2": "destination", "dur_months_imm": "months"})
    table["destination"] = table["destination"].replace(CODES)
    return table[["destination", "year", "months"]].drop_duplicates()


def read_case(folder: Path) -> Case:
    """Read the case; covariate files are written to `folder` (temporary)."""
    data = shared() / "data" / "flows"
    registers = read_table(
        data / "eurostat_imm_2020_2023" / "immigration_by_previous_residence.csv.gz"
    )
    rows = register_rows(registers, _minimum_stay(data), _undercount(data))
    places = sorted({*rows["origin"], *rows["destination"]})
    meta = data / "meta_chi_2025"
    covered = set(read_table(meta / "net_by_country.csv.gz")["iso2"])
    platform = platform_rows(read_table(meta / "flows_annual_ge50.csv.gz"), places, covered)
    names = read_table(data / "cepii_geodist" / "geo_cepii.csv.gz").drop_duplicates("iso2")
    iso3 = names.set_index("iso2")["iso3"].replace({"ROM": "ROU"})
    iso2 = {str(iso3[p]): p for p in places}
    population = read_table(data / "wpp2024" / "wpp2024_annual.csv.gz")
    place_table(population, iso2).to_csv(folder / "places.csv", index=False)
    pairs = read_table(data / "cepii_geodist" / "dist_cepii.csv.gz")
    stocks = read_table(data / "un_ims_2024" / "stock_birth_residence.csv.gz")
    corridor_table(pairs, stocks, iso2).to_csv(folder / "corridors.csv", index=False)
    return Case(
        observations_from_frame(rows, name="eurostat"),
        observations_from_frame(platform, name="meta"),
        folder / "places.csv",
        folder / "corridors.csv",
    )


def hidden(platform: pd.DataFrame) -> np.ndarray:
    """Return which rows of the platform say no more than "fewer than the floor"."""
    return np.asarray(platform["value"] <= platform["censored_below"].fillna(-1.0))


def fit(
    case: Case, registers: Observations, how: str, changes: Mapping[str, Any] | None = None
) -> Posterior:
    """Fit registers alone, or with the platform; `changes` are laid over the model."""
    parts = {
        REGISTERS: [],
        BOTH: [case.platform],
        NO_FLOORS: [case.platform.select(~hidden(case.platform.table))],
    }
    spec = read_model(MODEL, changes)
    return estimate(spec, [registers, *parts[how]], case.places, case.corridors)


def scaled_draws(fitted: pd.DataFrame, held: pd.DataFrame, platform: pd.DataFrame) -> np.ndarray:
    """Predict registers by the platform's figure times one factor; shape (quantile, held row).

    The factor and its spread are the quantiles of the ratios among the fitted registers. Where the
    platform's figure is hidden, the prediction is the distribution of the fitted registers' figures
    in such cells.
    """
    key = ["origin", "destination", "period_start"]
    level = (np.arange(N_QUANTILES) + 0.5) / N_QUANTILES
    seen = platform[key].assign(platform=platform["value"].mask(hidden(platform)))
    known = fitted.merge(seen, on=key, how="left")
    ratio = np.log(known["value"] + LOG_SHIFT) - np.log(known["platform"])
    ratios = np.quantile(ratio.dropna(), level)
    rest = np.quantile(known.loc[known["platform"].isna(), "value"], level)
    figure = held.merge(seen, on=key, how="left")["platform"].to_numpy()
    draws = np.maximum(figure * np.exp(ratios)[:, None] - LOG_SHIFT, 0.0)
    return np.asarray(np.where(np.isnan(figure), rest[:, None], draws))


def folds(registers: Observations, n: int, seed: int) -> Iterator[tuple[Observations, ...]]:
    """Yield fitted and withheld reports: each reporter is withheld once, as a whole."""
    fold = assign_folds(registers, scheme="reporters", folds=n, seed=seed)
    for k in range(n):
        yield registers.divide(fold == k, f"fold {k + 1} of {n}")


def score_fold(
    case: Case, fitted: Observations, held: Observations, variants: list[str]
) -> list[pd.DataFrame]:
    """Return the scores of each withheld report under each variant and by the baseline."""
    table = held.table.reset_index(drop=True)
    who = ", ".join(sorted(table["destination"].unique()))
    out = []
    for how in variants:
        start = time.perf_counter()
        posterior = fit(case, fitted, how, ALONE if how == REGISTERS else None)
        row, draws = draw_reports(posterior, held)
        scores = score_reports(draws, table["value"].to_numpy()[row], 1).set_axis(row)
        out.append(table.join(scores).assign(variant=how, fold=who))
        seconds = time.perf_counter() - start
        print(
            f"{who}, {how}: {seconds:.0f} s; {posterior.info['method']}; {posterior.gate}",
            flush=True,
        )
    simple = scaled_draws(fitted.table, table, case.platform.table)
    scores = score_reports(simple, table["value"].to_numpy(), 1)
    return [*out, table.join(scores).assign(variant=SCALED, fold=who)]


def compare_by_reporter(scores: pd.DataFrame, other: str, base: str) -> pd.DataFrame:
    """Return the mean CRPS (log) of each reporter under two variants, and the difference."""
    rows = scores[scores["variant"].isin([other, base])]
    wide = rows.pivot_table(index="destination", columns="variant", values="crps_log")[
        [base, other]
    ]
    return wide.assign(gain=wide[base] - wide[other])


def score_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the page: mean scores by registers withheld and sources, and of all."""
    parts = [scores, scores.assign(fold="all")]
    by = pd.concat(parts).groupby(["fold", "variant"], sort=False)
    out = by[METRICS].mean().assign(n=by.size())
    return out.rename_axis(["withheld", "sources"]).reset_index()


def gain_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return what the model gains in CRPS (log) over reporters, with and without one of them."""
    rows = []
    for other, base in COMPARED:
        gain = compare_by_reporter(scores, other, base)["gain"]
        for without in ("", PERMANENT):
            left = gain.drop(without, errors="ignore")
            error = left.std(ddof=1) / np.sqrt(len(left))
            told = (left.mean(), error, int((left > 0).sum()), len(left))
            rows.append((other, base, without, *told))
    names = ["sources", "against", "without", "gain", "se", "better", "reporters"]
    return pd.DataFrame(rows, columns=names)


def silent_cells(case: Case, alone: pd.DataFrame, both: pd.DataFrame) -> pd.DataFrame:
    """Return cells that no register reports, with the estimates of both fits."""
    key = ["origin", "destination", "period_start"]
    reported = pd.MultiIndex.from_frame(case.registers.table[key])
    joined = alone.merge(both, on=key, suffixes=("", "_both"), validate="one_to_one")
    joined["period_start"] = pd.to_datetime(joined["period_start"])
    joined = joined[~pd.MultiIndex.from_frame(joined[key]).isin(reported)]
    reporters = case.registers.table["destination"].unique()
    kind = np.where(joined["destination"].isin(reporters), "gap of a reporter", "never reports")
    return joined.assign(kind=kind)


def describe_silent(cells: pd.DataFrame) -> pd.DataFrame:
    """Return how wide 80 % intervals are (log scale), and how far medians move, by kind."""
    width = np.log(cells["upper"] / cells["lower"])
    narrow = np.log(cells["upper_both"] / cells["lower_both"])
    shift = np.log(cells["median_both"] / cells["median"])
    inside = cells["median_both"].between(cells["lower"], cells["upper"])
    table = pd.DataFrame(
        {"kind": cells["kind"], "width": width, "width_both": narrow, "ratio": narrow / width,
         "shift": shift, "moved": np.abs(shift), "inside": inside}
    )  # fmt: skip
    medians = table.groupby("kind")[["width", "width_both", "ratio", "shift", "moved"]].median()
    return medians.assign(
        inside=table.groupby("kind")["inside"].mean(), n=table["kind"].value_counts()
    )


def compare_silent(case: Case) -> dict[str, pd.DataFrame]:
    """Fit everything with and without the platform, and print what changes where none reports.

    Returns
    -------
    dict of DataFrame
        The tables of the page by name.
    """
    changes = {REGISTERS: LONG, BOTH: None}
    fits = {how: fit(case, case.registers, how, laid) for how, laid in changes.items()}
    for how, posterior in fits.items():
        print(f"all registers, {how}: {posterior.info['method']}; {posterior.gate}", flush=True)
    tables = [summarise(p, measure="flow", probs=[0.8]) for p in fits.values()]
    cells = silent_cells(case, *tables)
    changes_of = describe_silent(cells)
    print(changes_of.round(2).to_string())
    never = sorted(cells.loc[cells["kind"] == "never reports", "destination"].unique())
    arrivals = []
    for how, posterior in fits.items():
        sums = summarise(posterior, measure="immigration", probs=[0.8])
        sums = sums[sums["destination"].isin(never)]
        year = pd.to_datetime(sums["period_start"]).dt.year
        wide = sums[year == YEARS[-1]].set_index("destination")
        thousands = wide[["median", "lower", "upper"]].div(1000.0).round(1)
        arrivals.append(thousands.reset_index().assign(sources=how))
        print(f"from the other 30, {YEARS[-1]}, {how}")
        print(wide[["lower", "median", "upper"]].round(-2).astype(int).T.to_string())
    silent = changes_of.rename(columns={"n": "cells"}).reset_index()
    return {"meta_flows_silent": silent, "meta_flows_arrivals": pd.concat(arrivals)}


def main() -> None:
    """Run every fold, print scores by fold and pooled, and what changes where none reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=2022)
    parser.add_argument("--out", type=Path, help="scores of every withheld report, a CSV file")
    add_keep(parser)
    args = parser.parse_args()
    case = read_case(Path(tempfile.mkdtemp()))
    unknown = hidden(case.platform.table)
    print(f"{case.registers.n} of registers; platform {(~unknown).sum()}, hidden {unknown.sum()}")
    variants = [REGISTERS, BOTH, NO_FLOORS]
    parts = []
    for fitted, held in folds(case.registers, args.folds, args.seed):
        parts += score_fold(case, fitted, held, variants)
    scores = pd.concat(parts, ignore_index=True)
    if args.out:
        scores.to_csv(args.out, index=False)
    print(scores.groupby(["fold", "variant"], sort=False)[METRICS].mean().round(3).to_string())
    pooled = scores.groupby("variant", sort=False)
    print(pooled[METRICS].mean().assign(n=pooled.size()).round(3).to_string())
    large = scores[scores["value"] >= FLOOR].groupby("variant", sort=False)
    print(large[METRICS].mean().assign(n=large.size()).round(3).to_string())
    for other, base in COMPARED:
        print(compare_by_reporter(scores, other, base).round(3).T.to_string())
    tables = {"meta_flows": score_table(scores), "meta_flows_gains": gain_table(scores)}
    tables |= compare_silent(case)
    if args.keep:
        for name, table in tables.items():
            keep(table, name, command=command_line("meta_flows"), seed=args.seed)


if __name__ == "__main__":
    main()
