"""The 31-country case with the rest of the world, totals and differences of stocks as sources.

Run ``python -m benchmarks.around31 [--folds N] [--variants ...] [--out FILE]``. All reports of a
fifth of the corridors are withheld, whole, and predicted from the registers alone and with further
sources, one family after another. Rules that were fixed beforehand:

- A flow with the rest of the world is the published total less what the same table reports for the
  31, so that "unknown" is taken for the rest, where it names at least 20 of them.
- A total is used only where that side reports no corridor in that year: DEMIG TOTAL, and the United
  Nations' totals where it has none.
- A stock that grew is a flow over five years of people born there; one that shrank or was not
  published is left out. How exact it is goes by how much it grew.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cases import Case, read_imem31, read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import read_model
from flowcast.estimates import summarise
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import GateResult, Posterior
from flowcast.prediction import draw_reports
from flowcast.validation.scorecard import score_reports
from flowcast.validation.splits import assign_folds

MODEL = Path(__file__).with_name("around31.yaml")
REST = "rest_of_world"
YEARS = range(2002, 2009)
LEAST_NAMED = 20
"""Partners among the 31 that a table names, if its total less these is to be the rest."""
STOCK_YEARS = (2000, 2005, 2010)
GROWTH = {0.3: "high", 0.1: "medium", 0.0: "low"}
"""Accuracy class of a stock difference by the least share of the later stock that it is."""
REGISTERS = "registers"
VARIANTS = {
    REGISTERS: (),
    "and the rest": ("rest",),
    "and totals": ("rest", "totals"),
    "and stocks": ("stocks",),
    "all": ("rest", "totals", "stocks"),
}
METRICS = ["mae_log", "crps_log", "coverage_80", "coverage_95"]
SIDES = {"imm": "destination", "emi": "origin"}
CELL = ["origin", "destination", "period_start"]


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """The case: registers of corridors, and by name the other sources; paths of covariates.

    `codes` has the case's code of each country by alpha-3.
    """

    registers: Observations
    others: dict[str, Observations]
    places: Path
    corridors: Path
    codes: dict[str, str]


def published(long: pd.DataFrame, iso2: dict[str, str]) -> pd.DataFrame:
    """Return by reporter, side and year the total, what is named of the 31, and of how many.

    Parameters
    ----------
    long
        `un_flows_2015_long`: one row a reporter, side, partner and year.
    iso2
        Code of each of the 31 by its alpha-3 code.
    """
    rows = long[
        long["reporter_iso3"].isin(list(iso2))
        & long["year"].isin(YEARS)
        & (long["criterion"] == "Residence")
        & (long["coverage"] == "Both")
    ]
    key = ["reporter_iso3", "direction", "year"]
    named = rows[rows["partner_iso3"].isin(list(iso2))].groupby(key)["value"].agg(["sum", "size"])
    total = rows[rows["partner_name"] == "Total"].groupby(key)["value"].first()
    out = pd.concat([total.rename("total"), named], axis=1).fillna({"sum": 0.0, "size": 0})
    out = out.reset_index().rename(columns={"sum": "named", "size": "partners"})
    return out.assign(place=out["reporter_iso3"].map(iso2), side=out["direction"].map(SIDES))


def definitions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return minimum stay and undercount class by place, side and year."""
    parts = []
    for end, side, flow, word in (
        ("dest", "destination", "imm", "dest"),
        ("orig", "origin", "emi", "orig"),
    ):
        columns = {
            end: "place",
            "year": "year",
            f"dur_months_{flow}": "duration_months",
            f"undercount_{flow}_expert_{word}": "undercount_class",
        }
        part = frame[list(columns)].rename(columns=columns)
        part["place"] = part["place"].replace({"EL": "GR", "UK": "GB"})
        parts.append(part.drop_duplicates(["place", "year"]).assign(side=side))
    return pd.concat(parts, ignore_index=True)


def _register(rows: pd.DataFrame, defined: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return rows with `place`, `side`, `year`, `value` in the columns of the contract."""
    rows = rows.merge(defined, on=["place", "side", "year"], how="left", validate="m:1")
    arrives = rows["side"] == "destination"
    return rows.assign(
        source=source, family="administrative", reporter=rows["side"],
        origin=rows["place"].mask(arrives), destination=rows["place"].where(arrives),
    )  # fmt: skip


CONTRACT = [
    "source", "family", "measure", "origin", "destination", "year", "value", "reporter",
    "duration_months", "undercount_class",
]  # fmt: skip


def rest_rows(table: pd.DataFrame, defined: pd.DataFrame) -> pd.DataFrame:
    """Return flows with the rest of the world: totals less what is named of the 31."""
    rows = table[table["total"].notna() & (table["partners"] >= LEAST_NAMED)]
    rows = rows.assign(value=rows["total"] - rows["named"])
    rows = _register(rows[rows["value"] >= 0], defined, "un_flows_2015").assign(measure="flow")
    return rows.fillna({"origin": REST, "destination": REST})[CONTRACT]


def total_rows(
    table: pd.DataFrame, demig: pd.DataFrame, fitted: pd.DataFrame, defined: pd.DataFrame
) -> pd.DataFrame:
    """Return totals of reporters that report no corridor in that year.

    Parameters
    ----------
    table
        From `published`.
    demig
        `place`, `side`, `year`, `value`.
    fitted
        `place`, `side`, `year` of all reports of corridors: a total of theirs repeats them.
    defined
        From `definitions`.
    """
    key = ["place", "side", "year"]
    taken = pd.MultiIndex.from_frame(fitted[key])
    nations = table.dropna(subset=["total"])[[*key, "total"]].rename(columns={"total": "value"})
    parts = []
    for source, rows in (("demig_total", demig), ("un_flows_2015_totals", nations)):
        fresh = rows[~pd.MultiIndex.from_frame(rows[key]).isin(taken)]
        taken = taken.append(pd.MultiIndex.from_frame(fresh[key]))
        parts.append(_register(fresh, defined, source))
    out = pd.concat(parts, ignore_index=True)
    measure = np.where(out["side"] == "destination", "immigration", "emigration")
    return out.assign(measure=measure)[CONTRACT]


def demig_rows(data: Path, iso2: dict[str, str]) -> pd.DataFrame:
    """Return the totals of DEMIG: `place`, `side`, `year`, `value`; numbers are text there."""
    parts = []
    for name, side in (("inflows", "destination"), ("outflows", "origin")):
        rows = read_table(data / "demig_total" / f"demig_total_{name}.csv.gz")
        rows = rows[(rows["Coverage"] == "Total") & rows["year"].isin(YEARS)]
        value = pd.to_numeric(rows["value"].astype(str).str.replace(r"[\s,]", "", regex=True))
        place = rows["Country codes-UN based"].map(iso2)
        parts.append(pd.DataFrame({"place": place, "side": side, "year": rows["year"]}))
        parts[-1]["value"] = value
    return pd.concat(parts).dropna().drop_duplicates(["place", "side", "year"])


def stock_rows(stocks: pd.DataFrame, iso2: dict[str, str]) -> pd.DataFrame:
    """Return what stocks by country of birth grew by over five years, from July to July."""
    inside = stocks["birth"].isin(list(iso2)) & stocks["residence"].isin(list(iso2))
    rows = stocks[inside & (stocks["birth"] != stocks["residence"])]
    wide = rows.pivot_table(index=["birth", "residence"], columns="year", values="tot")
    parts = []
    for first, last in pairwise(STOCK_YEARS):
        grown = (wide[last] - wide[first]).dropna()
        grown = grown[grown > 0]
        share = grown / wide[last].loc[grown.index]
        accuracy = np.select([share >= least for least in GROWTH], list(GROWTH.values()), "low")
        part = grown.rename("value").reset_index()
        part = part.assign(
            period_start=f"{first}-07-01", period_end=f"{last}-07-01", accuracy_class=accuracy
        )
        parts.append(part)
    out = pd.concat(parts, ignore_index=True)
    return out.assign(
        source="un_ims_2024", family="census", measure="flow", criterion="birth",
        origin=out["birth"].map(iso2), destination=out["residence"].map(iso2),
        reporter="destination",
    ).drop(columns=["birth", "residence"])  # fmt: skip


def _write_covariates(case: Case, folder: Path, world: pd.DataFrame) -> tuple[Path, Path]:
    """Add the rest of the world to the covariates: population; its distance is the mean."""
    places = read_table(case.places)
    inside = places.groupby("year")["population_th"].sum()
    whole = world[world["year"].isin(YEARS)].groupby("year")["pop_midyear_implied"].sum()
    rest = (whole - inside).rename("population_th").reset_index().assign(place=REST, rest=1.0)
    places = pd.concat([places.assign(rest=0.0), rest], ignore_index=True)
    out = folder / "places_and_rest.csv"
    places.to_csv(out, index=False)
    return out, case.corridors


def read_case(folder: Path) -> Around:
    """Read the case; covariate files are written to `folder` (temporary)."""
    data = shared() / "data" / "flows"
    case = read_imem31(folder)
    code = {"EL": "GR", "UK": "GB"}
    frame = case.frame
    alpha3 = dict(zip(frame["orig_iso3"], frame["orig"].replace(code), strict=True))
    defined = definitions(frame)
    table = published(read_table(data / "un_flows_2015" / "un_flows_2015_long.csv.gz"), alpha3)
    reports = case.observations.table
    fitted = pd.DataFrame(
        {
            "place": reports["destination"].where(
                reports["reporter"] == "destination", reports["origin"]
            ),
            "side": reports["reporter"],
            "year": reports["period_start"].dt.year,
        }
    ).drop_duplicates()
    stocks = read_table(data / "un_ims_2024" / "stock_birth_residence.csv.gz")
    frames = {
        "rest": rest_rows(table, defined),
        "totals": total_rows(table, demig_rows(data, alpha3), fitted, defined),
        "stocks": stock_rows(stocks, alpha3),
    }
    world = read_table(data / "wpp2024" / "wpp2024_annual.csv.gz")
    known = world[world["iso3"].notna()] if "iso3" in world else world
    places, corridors = _write_covariates(case, folder, known)
    codes = {*alpha3.values(), REST}

    def declare(rows: pd.DataFrame, name: str) -> Observations:
        return observations_from_frame(rows, name=name, declared_places=codes)

    registers = case.observations.table.assign(year=reports["period_start"].dt.year)[CONTRACT]
    return Around(
        declare(registers, REGISTERS),
        {name: declare(rows, name) for name, rows in frames.items()},
        places,
        corridors,
        alpha3,
    )


def widths(posterior: Posterior, cells: pd.DataFrame) -> pd.DataFrame:
    """Return how wide the 80 % interval of each of some cells is, on the log scale."""
    table = summarise(posterior, measure="flow", probs=[0.8])
    table = table.assign(period_start=pd.to_datetime(table["period_start"]))
    joined = cells.merge(table, on=CELL, how="left", validate="1:1")
    return joined.assign(width=np.log(joined["upper"] / joined["lower"]))


def silent_cells(registers: Observations, withheld: pd.DataFrame) -> pd.DataFrame:
    """Return the cells among the 31 of pairs without any report in the fit, and why.

    Parameters
    ----------
    registers
        All reports.
    withheld
        Those that are not in the fit.
    """
    table = registers.table
    places = sorted({*table["origin"], *table["destination"]})
    start = sorted(table["period_start"].unique())
    grid = pd.MultiIndex.from_product([places, places, start], names=CELL).to_frame(index=False)
    grid = grid[grid["origin"] != grid["destination"]]
    pair = pd.MultiIndex.from_frame(grid[["origin", "destination"]])
    kinds = {}
    for name, rows in (("reported", table), ("withheld", withheld)):
        kinds[name] = pair.isin(pd.MultiIndex.from_frame(rows[["origin", "destination"]]))
    why = np.select(
        [kinds["withheld"], ~kinds["reported"]], ["withheld", "nobody reports"], "reported"
    )
    return grid.assign(why=why)[why != "reported"]


def run_fold(
    case: Around, fitted: Observations, held: Observations, variants: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit each variant; return scores of withheld reports, and widths of silent cells."""
    table = held.table.reset_index(drop=True)
    silent = silent_cells(case.registers, table)
    scores, wide = [], []
    for name in variants:
        start = time.perf_counter()
        sources = [fitted, *(case.others[k] for k in VARIANTS[name])]
        posterior = estimate(read_model(MODEL), sources, case.places, case.corridors)
        row, draws = draw_reports(posterior, held)
        scored = score_reports(draws, table["value"].to_numpy()[row], 1).set_axis(row)
        gate = describe_gate(posterior.gate)
        scores.append(table.join(scored).assign(variant=name, gate=gate))
        wide.append(widths(posterior, silent).assign(variant=name))
        seconds = time.perf_counter() - start
        said = f"{seconds:.0f} s; {posterior.info['method']}; {posterior.gate}"
        print(f"{name}: {sum(s.n for s in sources)} reports; {said}", flush=True)
        _show(pd.concat(scores), pd.concat(wide))
    return pd.concat(scores, ignore_index=True), pd.concat(wide, ignore_index=True)


def describe_gate(gate: GateResult) -> str:
    """Return the verdict on a fit in words, with the figures where it failed."""
    return "passed" if gate.passed else f"failed: {str(gate).partition(': ')[2]}"


def page_table(scores: pd.DataFrame, wide: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the page: mean scores, mean widths and verdicts, by sources fitted."""
    by = scores.groupby("variant", sort=False)
    width = wide.groupby(["variant", "why"])["width"].mean().unstack("why")
    out = by[METRICS].mean().rename_axis("sources")
    out.insert(0, "n", by.size())
    return out.assign(
        width_withheld=width["withheld"],
        width_silent=width["nobody reports"],
        gate=by["gate"].agg(lambda told: "; ".join(dict.fromkeys(told))),
    ).reset_index()


def _show(scores: pd.DataFrame, wide: pd.DataFrame) -> None:
    by = scores.groupby("variant", sort=False)
    print(by[METRICS].mean().assign(n=by.size()).round(3).to_string())
    print(wide.groupby(["why", "variant"], sort=False)["width"].describe().round(2).to_string())


def main() -> None:
    """Run the folds asked for, and print scores and widths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=1, help="of five; all take an hour")
    parser.add_argument("--seed", type=int, default=2008)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="scores of every withheld report, a CSV file")
    add_keep(parser)
    args = parser.parse_args()
    case = read_case(Path(tempfile.mkdtemp()))
    figures = {REGISTERS: case.registers.n} | {k: o.n for k, o in case.others.items()}
    print(figures)
    fold = assign_folds(case.registers, scheme="corridors", folds=5, seed=args.seed)
    scores, wide = [], []
    for k in range(args.folds):
        fitted, held = case.registers.divide(fold == k, f"fold {k + 1} of 5")
        print(f"fold {k + 1}: {held.n} of {case.registers.n} reports withheld, seed {args.seed}")
        found = run_fold(case, fitted, held, args.variants)
        scores.append(found[0].assign(fold=k + 1))
        wide.append(found[1].assign(fold=k + 1))
    every = pd.concat(scores, ignore_index=True)
    if args.out:
        every.to_csv(args.out, index=False)
    print("\nall folds")
    widths_of = pd.concat(wide, ignore_index=True)
    _show(every, widths_of)
    if args.keep:
        made = {"command": command_line("around31"), "seed": args.seed}
        keep(page_table(every, widths_of), "around31", **made)
        sources = pd.DataFrame(list(figures.items()), columns=["sources", "figures"])
        keep(sources, "around31_sources", **made)


if __name__ == "__main__":
    main()
