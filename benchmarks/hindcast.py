"""Hindcasts of world flows by five years: the process fitted to early periods, and what came then.

Run ``python -m benchmarks.hindcast [--draws N] [--keep]``. The flows are those of Welch and Raftery
(2022), doi 10.1073/pnas.2203822119: estimates themselves, of 200 places from 1990 to 2020, so that
what is foretold is what such estimates would say. Rules that were fixed beforehand:

- Fitted are the periods 1990 to 2010 (2015 is foretold), and 1990 to 2005 (2010 and 2015).
- A pair without a row counts as zero where errors are scored, and as unknown in the fit.
- Populations, births and deaths are those of the United Nations' 2024 revision, rates held at those
  of the last year before the forecast: known better now than they were then.
- A flow below half a person counts as none, as the rounded estimates have it.
- Standard errors of coverage are clustered by origin; of sums of places there is one each.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from benchmarks.cases import shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.projection import (
    Projection,
    ProjectionSpec,
    fit_process,
    history_from_table,
    make_start,
    project,
)
from flowcast.scenarios import read_scenario

LENGTH = 5
PERIODS = (1990, 1995, 2000, 2005, 2010, 2015)
FITS = ((1990, 2010), (1990, 2005))
PROBS = (0.8, 0.95)
type Floats = NDArray[np.float64]


def read_flows() -> pd.DataFrame:
    """Return flows by pair and five years."""
    frame = pd.read_csv(shared() / "reference" / "welch_raftery" / "ac.csv.gz")
    return frame.rename(columns={"orig": "origin", "dest": "destination", "year0": "period"})


def read_world(places: Sequence[str]) -> xr.Dataset:
    """Return populations at the start of years, births and deaths, of the places that have them."""
    path = shared() / "data" / "flows" / "wpp2024" / "wpp2024_annual.csv.gz"
    frame = pd.read_csv(path).query("1989 <= year <= 2020").drop_duplicates(["iso3", "year"])
    # The flows have the Channel Islands together.
    frame["iso3"] = frame["iso3"].replace({"GGY": "CLI", "JEY": "CLI"})
    columns = ["pop_midyear_implied", "births", "deaths"]
    data = (
        (frame.groupby(["iso3", "year"])[columns].sum() * 1000)
        .to_xarray()
        .rename(iso3="place", pop_midyear_implied="population")
    )
    middle: xr.DataArray = data["population"]
    data["population"] = (middle + middle.shift(year=1)) / 2
    there = [place for place in places if place in data["place"].to_numpy()]
    return data.sel(place=there, year=slice(1990, None))


def cube(flows: pd.DataFrame, places: Sequence[str]) -> Floats:
    """Return flows (origin, destination, period), pairs without a row as zero."""
    out = np.zeros((len(places), len(places), len(PERIODS)))
    codes = pd.Index(places)
    at = (
        codes.get_indexer(pd.Index(flows["origin"])),
        codes.get_indexer(pd.Index(flows["destination"])),
    )
    out[at[0], at[1], pd.Index(PERIODS).get_indexer(pd.Index(flows["period"]))] = flows["flow"]
    return out


def hindcast(flows: pd.DataFrame, last: int, draws: int) -> tuple[Projection, bool, float]:
    """Fit the periods up to one, and project those after it; also the gate, and seconds."""
    begun = time.perf_counter()
    world = read_world(sorted({*flows["origin"], *flows["destination"]}))
    places = world["place"].to_numpy().tolist()
    known = flows[flows["origin"].isin(places) & flows["destination"].isin(places)]
    end = last + LENGTH
    past = known[known["period"] <= last]
    history = history_from_table(
        past, world["population"].sel(year=slice(None, end)), length=LENGTH
    )
    process = fit_process(history, ProjectionSpec(draws=draws, tune=400, sweeps=4))
    told = world.sel(year=slice(None, end))
    for name in ("births", "deaths"):
        told[name] = told[name].where(told["year"] < end)
    start = make_start(told, process.places, end, PERIODS[-1] + LENGTH, length=LENGTH)
    made = project(process, start, [read_scenario("baseline")])["baseline"]
    return made, process.passed, time.perf_counter() - begun


def score(made: Projection, truth: Floats, last: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return errors and coverage of every period foretold."""
    n = truth.shape[0]
    off = ~np.eye(n, dtype=bool)
    origin = off.nonzero()[0]
    fitted = [t for t, period in enumerate(PERIODS) if period <= last]
    errors, coverage = [], []
    for position, period in enumerate(made.data["period"].to_numpy()):
        draws = np.nan_to_num(made.data["flows"].isel(period=position).to_numpy())
        draws[draws < 0.5] = 0.0
        actual = truth[:, :, PERIODS.index(int(period))]
        label = {"fitted": f"{PERIODS[0]}-{last}", "foretold": int(period)}
        pairs = draws[:, off]
        forecasts = {
            "model": np.median(pairs, axis=0),
            "persistence": truth[:, :, fitted[-1]][off],
            "pair_mean": truth[:, :, fitted].mean(axis=2)[off],
        }
        errors += _errors(forecasts, actual[off], label)
        sums = {
            "bilateral": (pairs, actual[off], origin),
            "zeros": (pairs[:, actual[off] == 0], actual[off][actual[off] == 0], None),
            "positive": (pairs[:, actual[off] > 0], actual[off][actual[off] > 0], None),
            "out": (draws.sum(axis=2), actual.sum(axis=1), None),
            "in": (draws.sum(axis=1), actual.sum(axis=0), None),
            "net": (draws.sum(axis=1) - draws.sum(axis=2), actual.sum(0) - actual.sum(1), None),
        }
        for quantity, (drawn, real, cluster) in sums.items():
            coverage.append({**label, "quantity": quantity, **_coverage(drawn, real, cluster)})
    return pd.DataFrame(errors), pd.DataFrame(coverage)


def _errors(
    forecasts: dict[str, Floats], actual: Floats, label: dict[str, object]
) -> list[dict[str, object]]:
    """Return one row a method: absolute errors, and how well it tells changes within pairs."""
    last = np.log1p(forecasts["persistence"])
    change = np.log1p(actual) - last
    out = []
    for method, forecast in forecasts.items():
        miss = np.abs(forecast - actual)
        told = np.log1p(forecast) - last
        skill = 1 - ((told - change) ** 2).sum() / (change**2).sum()
        out.append(
            {
                **label,
                "method": method,
                "mae": miss.mean(),
                "mae_zeros": miss[actual == 0].mean(),
                "mae_positive": miss[actual > 0].mean(),
                "within_pair_skill": skill,
            }
        )
    return out


def _coverage(drawn: Floats, real: Floats, cluster: NDArray[np.intp] | None) -> dict[str, float]:
    found: dict[str, float] = {"n": len(real)}
    for prob in PROBS:
        low, high = np.quantile(drawn, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        inside = (real >= low) & (real <= high)
        name = f"coverage_{100 * prob:.0f}"
        found[name] = inside.mean()
        if cluster is None:
            found[f"{name}_se"] = inside.std() / np.sqrt(len(inside))
            continue
        off = np.bincount(cluster, inside - inside.mean())
        found[f"{name}_se"] = np.sqrt((off**2).sum()) / len(inside)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both hindcasts, and print or keep their tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.hindcast", description=__doc__)
    parser.add_argument("--draws", type=int, default=500, help="draws of the process")
    add_keep(parser)
    options = parser.parse_args(arguments)
    errors, coverage = (pd.concat(tables) for tables in zip(*_all(options.draws), strict=True))
    print(errors.round(3).to_string(index=False))
    print(coverage.round(3).to_string(index=False))
    if options.keep:
        command = command_line("hindcast", arguments)
        for name, table, title in (
            ("hindcast_errors", errors, "Errors of hindcasts of world flows"),
            ("hindcast_coverage", coverage, "Coverage of hindcasts of world flows"),
        ):
            keep(table, name, command=command, seed=1, title=title)


def _all(draws: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    flows = read_flows()
    for _, last in FITS:
        made, passed, seconds = hindcast(flows, last, draws)
        print(f"{PERIODS[0]}-{last}: {seconds:.0f} s, gate {'passed' if passed else 'failed'}")
        places = made.data["place"].to_numpy().tolist()
        inside = flows["origin"].isin(places) & flows["destination"].isin(places)
        yield score(made, cube(flows[inside], places), last)


if __name__ == "__main__":
    main()
