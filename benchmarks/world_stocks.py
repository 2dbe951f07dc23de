"""Flows between 230 places from uncertain stocks, 1990 to 2024: time, memory, what they are worth.

Run ``python -m benchmarks.world_stocks [--draws 1000] [--processes 2] [--methods ...]``. Each
method is timed by itself: draws of all tables, flows of every period, and the table of
flows, immigration, emigration and net migration. Then estimates are held to those of Abel & Cohen
(2019, doi 10.1038/s41597-019-0089-3), who worked with an older vintage of the same stocks, and to
flows that countries report. Nothing is fitted to either.
"""

import argparse
import json
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.cases import read_table, shared
from benchmarks.measure import peak_memory, run_apart
from benchmarks.world import World, read_world
from flowcast.accounting import account_periods, estimator, tidy_flows
from flowcast.accounting.methods import METHODS
from flowcast.estimates import estimate_tables, summarise
from flowcast.stock_flows import stock_flow_estimates

COMPARED: Final = tuple(name for name in METHODS if name != "growth")
CELL: Final = ["origin", "destination", "start"]
REPORTED_STARTS: Final = (1990, 1995, 2000, 2005)
PROB: Final = 0.8
LIMIT: Final = 1500.0


def point_flows(world: World, method: str) -> pd.DataFrame:
    """Return flows without errors: `origin, destination, start, flow`."""
    tables = account_periods(world.series)
    given = (tables[name] for name in ("stock_start", "stock_end", "births", "deaths"))
    flows = estimator(method)(*given)
    start = world.series["period_start"].dt.year.values
    rows = tidy_flows(flows.assign_coords(period=start))
    return rows.rename(columns={"period": "start"})[[*CELL, "flow"]]


def abel_cohen(data: Path) -> pd.DataFrame:
    """Return the pseudo-Bayes flows of Abel & Cohen: `origin, destination, start, other`."""
    table = read_table(data / "abel_cohen_2019" / "da_pb_closed_5yr.csv.gz")
    names = {"orig": "origin", "dest": "destination", "year0": "start", "da_pb_closed": "other"}
    return table.rename(columns=names)[[*CELL, "other"]]


def reported(data: Path) -> pd.DataFrame:
    """Return reported flows of five years: `origin, destination, start, side, report`.

    By previous or next residence, citizens and foreigners together. From 1 July to 1 July: half of
    the first and of the sixth calendar year count, and all six must be reported.
    """
    table = read_table(data / "un_flows_2015" / "un_flows_2015_long.csv.gz")
    kept = (table["criterion"] == "Residence") & (table["coverage"] == "Both")
    table = table[kept & table["partner_iso3"].notna()]
    arrives = table["direction"] == "imm"
    rows = pd.DataFrame(
        {
            "origin": table["partner_iso3"].where(arrives, table["reporter_iso3"]),
            "destination": table["reporter_iso3"].where(arrives, table["partner_iso3"]),
            "side": np.where(arrives, "destination", "origin"),
            "year": table["year"],
            "value": table["value"].astype(float),
        }
    )
    rows = rows[rows["origin"] != rows["destination"]]
    wide = rows.pivot_table(
        index=["origin", "destination", "side"], columns="year", values="value", aggfunc="sum"
    )
    parts = []
    for start in REPORTED_STARTS:
        years = list(range(start, start + 6))
        whole = wide.reindex(columns=years).dropna()
        report = whole[years[1:-1]].sum(axis=1) + whole[[years[0], years[-1]]].sum(axis=1) / 2.0
        parts.append(report.rename("report").reset_index().assign(start=start))
    return pd.concat(parts, ignore_index=True)


def correlations(one: pd.Series, other: pd.Series) -> dict[str, float]:
    """Return the correlation of logs where both are positive, and of log(1 + x) of all."""
    both = (one > 0.0) & (other > 0.0)
    return {
        "n": len(one),
        "log1p": float(np.corrcoef(np.log1p(one), np.log1p(other))[0, 1]),
        "n_positive": int(both.sum()),
        "log": float(np.corrcoef(np.log(one[both]), np.log(other[both]))[0, 1]),
        "ratio": float(np.exp(np.median(np.log(one[both] / other[both])))),
    }


def compare_peers(worlds: Mapping[str, World], data: Path) -> None:
    """Print agreement with Abel & Cohen, and which places and figures the differences come from."""
    theirs = abel_cohen(data)
    told = {}
    for name, one in worlds.items():
        for method in ("pseudo-bayes", "closed"):
            rows = point_flows(one, method).merge(theirs, on=CELL)
            told[name, method] = correlations(rows["flow"], rows["other"])
    print(pd.DataFrame(told).T.round(3).to_string())
    world = worlds["told"]
    rows = point_flows(world, "pseudo-bayes").merge(theirs, on=CELL)
    totals = rows.groupby("start")[["flow", "other"]].sum() / 1e6
    print(by_group(rows, rows["start"]).join(totals).round(3).to_string())
    print(by_group(rows, told_cells(worlds["left out"], rows)).round(3).to_string())
    print_sources(rows)


def by_group(rows: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """Return correlations within groups of cells, and each group's share of squared differences."""
    squared = (np.log1p(rows["flow"]) - np.log1p(rows["other"])) ** 2
    lines = {
        name: correlations(part["flow"], part["other"])
        | {"share": squared[part.index].sum() / squared.sum()}
        for name, part in rows.groupby(group)
    }
    return pd.DataFrame(lines).T


def told_cells(world: World, rows: pd.DataFrame) -> pd.Series:
    """Return which of the two groups that a corridor concerns the published tables tell at all."""
    stock = (world.series["stock"] > 0.0).any("date").to_pandas()
    pairs = stock.stack()
    arrives = pairs.reindex(pd.MultiIndex.from_frame(rows[["origin", "destination"]])).to_numpy()
    returns = pairs.reindex(pd.MultiIndex.from_frame(rows[["destination", "origin"]])).to_numpy()
    words = np.array(["neither group told", "one told", "both told"])
    return pd.Series(words[arrives.astype(int) + returns.astype(int)], index=rows.index)


def print_sources(rows: pd.DataFrame) -> None:
    """Print the largest differences, and what is left of them without the places most concerned."""
    gap = np.log1p(rows["flow"]) - np.log1p(rows["other"])
    rows = rows.assign(gap=gap, apart=rows["flow"] - rows["other"], squared=gap**2)
    largest = rows.reindex(rows["apart"].abs().sort_values(ascending=False).index)
    print(largest[[*CELL, "flow", "other"]].head(15).round(0).to_string(index=False))
    absolute = rows.assign(apart=rows["apart"].abs())
    for side in ("origin", "destination"):
        share = absolute.groupby(side)["apart"].sum() / absolute["apart"].sum()
        top = share.sort_values(ascending=False).head(10)
        print(side, ", ".join(f"{p} {100 * s:.0f} %" for p, s in top.items()))
    error = (
        rows.groupby("origin")["squared"]
        .sum()
        .add(rows.groupby("destination")["squared"].sum(), fill_value=0.0)
    )
    order = error.sort_values(ascending=False).index
    for n in (0, 5, 10, 20, 40):
        out = set(order[:n])
        kept = rows[~rows["origin"].isin(out) & ~rows["destination"].isin(out)]
        told = correlations(kept["flow"], kept["other"])
        print(f"without {n}: log1p {told['log1p']:.3f}, log {told['log']:.3f}", *order[:n][:10])
    size = pd.cut(rows["other"], [-1, 0, 10, 100, 1000, 1e4, 1e9])
    by_size = rows.groupby(size, observed=True).agg(
        n=("gap", "size"), mean=("gap", "mean"), sd=("gap", "std")
    )
    print(by_size.round(2).to_string())


def compare_reports(world: World, data: Path) -> None:
    """Print correlations with reported flows, of every method."""
    told = reported(data)
    lines = {}
    for method in COMPARED:
        flows = point_flows(world, method)
        for side, part in told.groupby("side"):
            rows = part.merge(flows, on=CELL)
            lines[method, f"reported by the {side}"] = correlations(rows["flow"], rows["report"])
    theirs = abel_cohen(data)
    for side, part in told.groupby("side"):
        rows = part.merge(theirs, on=CELL)
        lines["Abel & Cohen", f"reported by the {side}"] = correlations(
            rows["other"], rows["report"]
        )
    print(pd.DataFrame(lines).T.round(3).to_string())


def print_intervals(world: World, data: Path, draws: int, threads: int, method: str) -> None:
    """Print how wide intervals are, and how many reports they hold."""
    told = reported(data)
    flows = stock_flow_estimates(world.series, method, draws=draws, threads=threads)
    for note in flows.notes[1:]:
        print(f"{method}: {note}")
    table = summarise(flows, probs=[PROB])
    table["start"] = pd.to_datetime(table["period_start"]).dt.year
    kept = [*CELL, "median", "lower", "upper"]
    rows = told.merge(table[kept], on=CELL)
    rows["covered"] = rows["report"].between(rows["lower"], rows["upper"])
    rows["low"] = rows["report"] < rows["lower"]
    rows["width"] = np.log1p(rows["upper"]) - np.log1p(rows["lower"])
    by_side = rows.groupby("side")
    print(by_side[["covered", "low", "width"]].mean().assign(n=by_side.size()).round(3).to_string())
    size = pd.cut(table["median"], [-1, 0.5, 10, 100, 1000, 1e4, 1e5, 1e8])
    relative = np.log1p(table["upper"]) - np.log1p(table["lower"])
    print(relative.groupby(size, observed=True).agg(["size", "median"]).round(2).to_string())
    net = summarise(flows, measure="net", probs=[PROB])
    widths = (net["upper"] - net["lower"]).groupby(net["destination"]).median()
    print("net migration, width of the interval:", widths.sort_values().tail(8).round(-3).to_dict())


def run_task(task: Mapping[str, Any]) -> dict[str, float]:
    """Measure one method in this process."""
    world = read_world(Path(task["data"]))
    series = world.series.isel(date=slice(None, task["periods"] + 1), period=slice(task["periods"]))
    start, work = time.perf_counter(), time.process_time()
    flows = stock_flow_estimates(
        series,
        task["method"],
        draws=task["draws"],
        threads=task["threads"],
        processes=task["processes"],
        progress=True,
    )
    drawn = time.perf_counter() - start
    rows = sum(len(part) for part in estimate_tables(flows, probs=[PROB]))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = children.ru_maxrss / 2**20
    return {
        "drawn_s": drawn,
        "all_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - work + children.ru_utime + children.ru_stime,
        # Each process as large as the largest of them.
        "peak_gib": peak_memory() + (task["processes"] > 1) * task["processes"] * child,
        "rows": rows,
    }


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2, help="of one process")
    parser.add_argument("--processes", type=int, default=2, help="1: threads instead")
    parser.add_argument("--periods", type=int, default=7)
    parser.add_argument("--methods", nargs="*", default=["closed", "pseudo-bayes"])
    parser.add_argument("--skip", nargs="*", default=[], choices=["times", "peers", "intervals"])
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        Path(args.task["out"]).write_text(json.dumps(run_task(args.task)), encoding="utf-8")
        return
    data = shared() / "data" / "flows"
    if "times" not in args.skip:
        for method in args.methods:
            task = {"method": method, "data": str(data), "draws": args.draws}
            task |= {"threads": args.threads, "processes": args.processes}
            task |= {"periods": args.periods}
            print(method, run_apart("benchmarks.world_stocks", task, limit=LIMIT), flush=True)
    world = read_world(data)
    print(f"left out: {', '.join(world.dropped)}")
    print("unknown birthplace, millions:", (world.unknown.sum("place") / 1e6).values.round(1))
    if "peers" not in args.skip:
        worlds = {name: read_world(data, others=name) for name in ("told", "untold", "left out")}
        compare_peers(worlds, data)
        for name in ("told", "untold"):
            print(f"others {name}")
            compare_reports(worlds[name], data)
    if "intervals" not in args.skip:
        for method in args.methods:
            print_intervals(world, data, args.draws, args.threads, method)


if __name__ == "__main__":
    main()
