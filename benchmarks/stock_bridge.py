"""Flows from stocks as a source of the model, and countries whose registers are withheld.

Run ``python -m benchmarks.stock_bridge [--folds N] [--from YEAR ...] [--out FILE]``.
Registers of the United Nations' reporters, summed to five years, are fitted but for a fold of the
reporters, all of whose reports are withheld; they are predicted with and without flows from
stocks. Beside the model stand the flows from stocks themselves. Rules that were fixed beforehand:

- A register's five years run from one July to another, as the stocks do: calendar years, the first
  and the last by half. A figure is used where all six years are there.
- Residence, both sexes and citizenships (coverage Both). The minimum stay is that of the reporter
  and the year nearest to the middle for which there is one, the undercount class that of IMEM.
- Stocks, populations, births and deaths have the errors that `StockErrors` has by default.
- The places are the reporters and the partners with the largest stocks among them.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.cases import read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from benchmarks.world import read_world
from flowcast.accounting import stock_source
from flowcast.config import read_model
from flowcast.estimates import bridge_estimates
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame
from flowcast.prediction import draw_reports
from flowcast.stock_flows import stock_flow_estimates
from flowcast.validation.scorecard import score_reports
from flowcast.validation.splits import assign_folds

MODEL = Path(__file__).with_name("stock_bridge.yaml")
DATES = (1990, 1995, 2000, 2005, 2010)
METHODS = ("closed", "pseudo-bayes")
NONE = "registers"
VARIANTS = (NONE, *METHODS)
SIDES = {"imm": "destination", "emi": "origin"}
CODES = {"EL": "GRC", "UK": "GBR"}
METRICS = ["mae_log", "crps_log", "coverage_80", "coverage_95"]


def half_weighted(frame: pd.DataFrame, first: int, last: int, key: list[str]) -> pd.DataFrame:
    """Return `value` from July of the first to July of the last year, where every year is there."""
    inside = frame[frame["year"].between(first, last)]
    ends = inside["year"].isin([first, last])
    inside = inside.assign(value=inside["value"] * np.where(ends, 0.5, 1.0))
    summed = inside.groupby(key)["value"].agg(["sum", "size"]).reset_index()
    whole = summed[summed["size"] == last - first + 1]
    return whole.rename(columns={"sum": "value"}).drop(columns="size")


def stock_rows(
    series: xr.Dataset, method: str, places: Sequence[str], first: Sequence[int], n: int, seed: int
) -> Observations:
    """Return flows from draws of the world's stocks as observations, among some places."""
    flows = stock_flow_estimates(series, method, draws=n, seed=seed)
    data = shared() / "data" / "flows"
    sources = [
        stock_source(data / "un_ims_2024" / "stock_birth_residence.csv.gz", "un_ims_2024"),
        stock_source(data / "wpp2024" / "wpp2024_annual.csv.gz", "un_wpp_2024"),
    ]
    every = bridge_estimates(flows, sources, method, declared_places={*flows.origins})
    table = every.table
    # As a model with declared codes reads it: among its places.
    inside = table["origin"].isin(places) & table["destination"].isin(places)
    chosen = table["period_start"].dt.year.isin(first)
    return every.select((inside & chosen).to_numpy())


def definitions() -> pd.DataFrame:
    """Return minimum stay by place, side and year, and the undercount class of the side."""
    folder = shared() / "data" / "flows" / "undercount_scores"
    stays = read_table(folder / "duration_of_stay_criteria.csv.gz")
    classes = read_table(folder / "meta_IMEM.csv").set_index("Country")
    from flowcast.places import convert_code

    parts = []
    for flow, side, end in (("imm", "destination", "dest2"), ("emi", "origin", "origin2")):
        part = stays[[end, "year", f"dur_months_{flow}"]].drop_duplicates([end, "year"])
        part = part.set_axis(["code", "year", "duration_months"], axis=1).assign(side=side)
        word = part["code"].map(classes[f"Undercount.{flow}.IMEM"].str.lower())
        parts.append(part.assign(undercount_class=word))
    out = pd.concat(parts, ignore_index=True)
    known = {c: CODES.get(c) or convert_code(c, "alpha3") for c in out["code"].unique()}
    return out.assign(place=out["code"].map(known)).drop(columns="code")


def register_rows(places: Sequence[str]) -> pd.DataFrame:
    """Return what registers report among some places, as rows of the contract."""
    long = read_table(shared() / "data" / "flows" / "un_flows_2015" / "un_flows_2015_long.csv.gz")
    rows = long[
        (long["criterion"] == "Residence")
        & (long["coverage"] == "Both")
        & long["reporter_iso3"].isin(places)
        & long["partner_iso3"].isin(places)
        & (long["reporter_iso3"] != long["partner_iso3"])
    ]
    defined, parts = definitions(), []
    for first, last in pairwise(DATES):
        key = ["reporter_iso3", "direction", "partner_iso3"]
        part = half_weighted(rows, first, last, key)
        middle = (first + last) / 2
        near = defined.assign(far=(defined["year"] - middle).abs()).sort_values("far")
        near = near.drop_duplicates(["place", "side"]).drop(columns=["year", "far"])
        part = part.assign(side=part["direction"].map(SIDES), place=part["reporter_iso3"])
        part = part.merge(near, on=["place", "side"], how="left", validate="m:1")
        parts.append(part.assign(period_start=f"{first}-07-01", period_end=f"{last}-07-01"))
    out = pd.concat(parts, ignore_index=True)
    arrives = out["side"] == "destination"
    return out.assign(
        source="un_flows_2015",
        family="administrative",
        measure="flow",
        reporter=out["side"],
        accuracy_class="medium",  # one noise for each side; heavy tails tell corridors apart
        origin=out["partner_iso3"].where(arrives, out["place"]),
        destination=out["place"].where(arrives, out["partner_iso3"]),
    )[
        [
            "source", "family", "measure", "origin", "destination", "period_start", "period_end",
            "value", "reporter", "duration_months", "undercount_class", "accuracy_class",
        ]
    ]  # fmt: skip


def choose_places(series: xr.Dataset, n_partners: int) -> list[str]:
    """Return the reporters and the partners with the largest stocks among them."""
    long = read_table(shared() / "data" / "flows" / "un_flows_2015" / "un_flows_2015_long.csv.gz")
    known = series["residence"].to_numpy().tolist()
    reporters = sorted(set(long["reporter_iso3"]) & set(known))
    stock = series["stock"].isel(date=3, drop=True)
    with_them = stock.sel(residence=reporters).sum("residence").rename(birthplace="place")
    with_them = with_them + stock.sel(birthplace=reporters).sum("birthplace").rename(
        residence="place"
    )
    others = with_them.drop_sel(place=reporters).to_series().nlargest(n_partners)
    return sorted([*reporters, *others.index])


def write_covariates(
    places: Sequence[str], folder: Path, years: tuple[int, int] = (DATES[0], DATES[-1])
) -> tuple[Path, Path]:
    """Write populations, incomes and distances to `folder` (temporary), first to last year."""
    data = shared() / "data" / "flows"
    people = read_table(data / "wpp2024" / "wpp2024_annual.csv.gz")
    people = people[people["iso3"].isin(places)]
    income = read_table(data / "gaskin_covariates" / "gdp.csv.gz")
    income = income.rename(columns={"Year": "year", "Country ISO": "iso3"})
    income = income[["iso3", "year", "GDP/capita (2015 USD)"]]
    both = people.merge(income, on=["iso3", "year"], how="left")
    both = both[both["year"].between(*years)]
    table = pd.DataFrame(
        {
            "place": both["iso3"],
            "year": both["year"],
            "population_th": both["pop_midyear_implied"],
            "gdp_per_capita": both["GDP/capita (2015 USD)"],
        }
    )
    table.to_csv(folder / "places.csv", index=False)
    pair = read_table(data / "cepii_geodist" / "dist_cepii.csv.gz")
    pair = pair.replace({"iso_o": {"ROM": "ROU"}, "iso_d": {"ROM": "ROU"}})
    pair = pair[pair["iso_o"].isin(places) & pair["iso_d"].isin(places)]
    pair = pair[pair["iso_o"] != pair["iso_d"]]
    corridors = pd.DataFrame(
        {
            "origin": pair["iso_o"],
            "destination": pair["iso_d"],
            "distance_km": pair["dist"],
            "contiguity": pair["contig"],
            "language": pair["comlang_off"],
            "colony": pair["colony"],
        }
    )
    corridors.to_csv(folder / "corridors.csv", index=False)
    return folder / "places.csv", folder / "corridors.csv"


def raw_scores(fitted: pd.DataFrame, held: pd.DataFrame, stock: pd.DataFrame) -> pd.DataFrame:
    """Score the flow from stocks itself, scaled and spread as fitted reports say, by side.

    The log of a report is taken to be that of the flow from stocks plus the mean of what fitted
    reports of the side exceed it by, give or take their own differences. Without a flow from
    stocks there is no prediction.
    """
    key = ["origin", "destination", "period_start"]
    of = stock.set_index(key)["value"]
    gap = {}
    for side, rows in fitted.groupby("reporter"):
        about = of.reindex(pd.MultiIndex.from_frame(rows[key])).to_numpy()
        known = np.log(rows["value"].to_numpy() + 0.5) - np.log(about + 0.5)
        gap[side] = known[np.isfinite(known)]
    about = of.reindex(pd.MultiIndex.from_frame(held[key])).to_numpy()
    draws = np.full((400, len(held)), np.nan)
    rng = np.random.default_rng(1)
    for side, own in gap.items():
        rows = ((held["reporter"] == side) & np.isfinite(about)).to_numpy()
        scatter = rng.choice(own, (len(draws), int(rows.sum())))
        draws[:, rows] = np.maximum(np.exp(np.log(about[rows] + 0.5) + scatter) - 0.5, 0.0)
    out = score_reports(draws, held["value"].to_numpy(), 1)
    return out.assign(log_median=np.log(np.median(draws, axis=0) + 0.5))


def run_fold(
    fitted: Observations, held: Observations, bridges: dict[str, Observations],
    variants: Sequence[str], covariates: tuple[Path, Path],
) -> pd.DataFrame:  # fmt: skip
    """Fit each variant, and score what it says of the withheld reports."""
    table = held.table.reset_index(drop=True)
    parts = []
    for name in variants:
        start = time.perf_counter()
        sources = [fitted, *([bridges[name]] if name in bridges else [])]
        posterior = estimate(read_model(MODEL), sources, *covariates)
        row, draws = draw_reports(posterior, held)
        scored = score_reports(draws, table["value"].to_numpy()[row], 1).set_axis(row)
        scored["log_median"] = pd.Series(np.log(np.median(draws, axis=0) + 0.5), index=row)
        parts.append(table.join(scored).assign(variant=name))
        said = f"{posterior.info['method']}; {posterior.gate}"
        print(
            f"{name}: {sum(s.n for s in sources)} reports, {time.perf_counter() - start:.0f} s; "
            f"{said}",
            flush=True,
        )
        _tell_bias(posterior)
    for name in (n for n in variants if n in bridges):
        raw = raw_scores(fitted.table, table, bridges[name].table)
        parts.append(table.join(raw).assign(variant=f"{name} by itself"))
    return pd.concat(parts, ignore_index=True)


def _tell_bias(posterior) -> None:  # noqa: ANN001
    """Print what was learned of the flows from stocks, and how unlike each other reporters are."""
    terms = posterior.tree["coefficients"].to_dataset()["coefficient"]
    wanted = np.array(["census" in str(t) for t in terms["term"].values])
    found = terms.isel(term=wanted).mean(("chain", "draw"))
    print(dict(zip(found["term"].values.tolist(), found.values.round(2).tolist(), strict=True)))
    hyper = posterior.tree["posterior"].to_dataset().mean(("chain", "draw"))
    for name in (str(n) for n in hyper if str(n).startswith("sd_")):
        array = hyper[name]
        labels = array[array.dims[0]].values.tolist() if array.dims else [""]
        values = np.atleast_1d(array.values).round(2).tolist()
        print(f"  {name}: {dict(zip(labels, values, strict=True))}")


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Return by variant how much lower the CRPS (log) is than with registers alone, by reporter.

    Mean over reporters, standard error, and for how many of them it is lower.
    """
    place = rows["destination"].where(rows["reporter"] == "destination", rows["origin"])
    means = rows.assign(place=place).groupby(["variant", "place"])["crps_log"].mean()
    gain = means.unstack("variant").rsub(means[NONE], axis=0).drop(columns=NONE)
    error = gain.std(ddof=1) / np.sqrt(gain.count())
    told = pd.DataFrame({"gain": gain.mean(), "se": error, "better": (gain > 0).sum()})
    return told.assign(reporters=gain.count())


def page_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the page: mean scores of the fits, and what each gains."""
    rows = scores[scores["variant"].isin(VARIANTS)]
    means = rows.groupby("variant", sort=False)[["crps_log", "coverage_80"]].mean()
    told = gains(rows).astype({"better": "Int64", "reporters": "Int64"})
    return means.join(told).rename_axis("sources").reset_index()


def show(scores: pd.DataFrame) -> None:
    """Print means of scores by variant, and what each gains over registers by reporter."""
    key = ["origin", "destination", "period_start", "reporter"]
    there = scores[scores["mae_log"].notna()]
    both = there.groupby(key)["variant"].transform("nunique") == there["variant"].nunique()
    for title, rows in (("all predicted", there), ("predicted by all", there[both])):
        by = rows.groupby("variant", sort=False)
        logs = rows.assign(log_value=np.log(rows["value"] + 0.5)).groupby("variant", sort=False)
        told = by[METRICS].mean().assign(n=by.size())
        told["correlation"] = [g["log_value"].corr(g["log_median"]) for _, g in logs]
        print(f"-- {title}\n{told.round(3).to_string()}", flush=True)
        if NONE not in told.index:
            continue
        print(gains(rows).round(3).to_string(), flush=True)


def main() -> None:
    """Run the folds asked for, and print scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5, help="of five")
    parser.add_argument("--partners", type=int, default=20)
    parser.add_argument("--draws", type=int, default=200, help="of the stocks")
    parser.add_argument("--seed", type=int, default=1990)
    parser.add_argument(
        "--from", dest="first", type=int, nargs="+", choices=DATES[:-1], default=DATES[:-1],
        help="first years of the five-year periods in the model",
    )  # fmt: skip
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="scores of every withheld report, a CSV file")
    add_keep(parser)
    args = parser.parse_args()
    series = read_world(shared() / "data" / "flows", DATES).series
    places = choose_places(series, args.partners)
    rows = register_rows(places)
    rows = rows[rows["period_start"].str[:4].astype(int).isin(args.first)]
    registers = observations_from_frame(rows, name="registers", declared_places=places)
    bridges = {}
    for name in (n for n in args.variants if n in METHODS):
        bridges[name] = stock_rows(series, name, places, args.first, args.draws, args.seed)
        print(bridges[name].name)
    print(len(places), registers)
    covariates = write_covariates(places, Path(tempfile.mkdtemp()))
    fold = assign_folds(registers, scheme="reporters", folds=5, seed=args.seed)
    scores = []
    for k in range(args.folds):
        fitted, held = registers.divide(fold == k, f"fold {k + 1} of 5")
        print(f"fold {k + 1}: {held.n} of {registers.n} reports withheld, seed {args.seed}")
        scores.append(run_fold(fitted, held, bridges, args.variants, covariates).assign(fold=k + 1))
        every = pd.concat(scores, ignore_index=True)
        show(every)
        if args.out:
            every.to_csv(args.out, index=False)
    if args.keep:
        table = page_table(every)
        keep(table, "stock_bridge", command=command_line("stock_bridge"), seed=args.seed)


if __name__ == "__main__":
    main()
