"""Hindcasts of annual flows between 43 reporters: the process from rolling origins.

Run ``python -m benchmarks.hindcast_annual [--draws N] [--keep]``. The flows are those of the United
Nations' 2015 revision. Rules that were fixed beforehand:

- A corridor is taken where one side reported it in every year from 1998 to 2013: the destination
  if it did, the origin otherwise. Corridors that nobody reported so are none of the history's: a
  place's out-rate is that to the others of its corridors.
- Fitted are the years from 1998 to each of 2003 to 2012; foretold are those after it, to 2013.
- Reports are foretold as they are reported, with their definitions: nothing is corrected.
- Persistence is the last year's report, with the changes of logs over as many years that corridors
  of its size (three classes) have seen in the fitted years; so is the corridor's mean.
- Differences of scores have standard errors clustered by corridor.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from benchmarks.cases import shared
from benchmarks.hindcast import read_world
from benchmarks.pages import add_keep, command_line, keep
from flowcast.projection import (
    ProjectionSpec,
    fit_process,
    make_history,
    make_start,
    project,
)
from flowcast.scenarios import read_scenario
from flowcast.scores import absolute_log_error, coverage, crps

FIRST, LAST = 1998, 2013
ORIGINS: Final = tuple(range(2003, LAST))
HORIZONS: Final = (1, 3, 5)
PROBS: Final = (0.5, 0.8, 0.95)
SIZES: Final = (100.0, 1000.0)
type Floats = NDArray[np.float64]


def read_series() -> xr.DataArray:
    """Return reports (origin, destination, period), NaN where no side reported every year."""
    path = shared() / "data" / "flows" / "un_flows_2015" / "double_entry_both_reporters.csv.gz"
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    frame = frame[frame["year"].between(FIRST, LAST)]
    years = list(range(FIRST, LAST + 1))
    sides = []
    for side in ("imm_reported_by_dest", "emi_reported_by_orig"):
        wide = frame.pivot_table(index=["orig", "dest"], columns="year", values=side)
        sides.append(wide.reindex(columns=years).dropna())
    one = sides[0].combine_first(sides[1])
    places = sorted({*one.index.get_level_values(0), *one.index.get_level_values(1)})
    values = np.full((len(places), len(places), len(years)), np.nan)
    codes = pd.Index(places)
    at = [codes.get_indexer(one.index.get_level_values(level)) for level in (0, 1)]
    values[at[0], at[1]] = one.to_numpy()
    coords = {"origin": places, "destination": places, "period": years}
    return xr.DataArray(values, coords, ("origin", "destination", "period"))


def foretell(series: xr.DataArray, last: int, draws: int) -> tuple[Floats, bool]:
    """Return draws (draw, corridor, horizon) of the years after one, and whether chains agree."""
    places = series["origin"].to_numpy().tolist()
    world = read_world(places)
    end = last + 1
    past = series.sel(period=slice(None, last)).expand_dims(draw=[0])
    # A corridor without a report is no destination: nobody of the history went there.
    history = make_history(
        past.fillna(0.0).astype(np.float32),
        world["population"].sel(year=slice(FIRST, end)),
        length=1,
    )
    process = fit_process(history, ProjectionSpec(draws=draws, tune=400, sweeps=4))
    told = world.sel(year=slice(None, end))
    for name in ("births", "deaths"):
        told[name] = told[name].where(told["year"] < end)
    until = min(last + max(HORIZONS), LAST) + 1
    start = make_start(told, process.places, end, until, length=1)
    made = project(process, start, [read_scenario("baseline")])["baseline"].data["flows"]
    known = series.notnull().all("period").to_numpy()
    values = made.transpose("draw", "origin", "destination", "period").to_numpy()
    return np.asarray(values[:, known], dtype=np.float64), process.passed


def by_change(known: Floats, middle: Floats, steps: int, draws: int) -> Floats:
    """Return draws (draw, corridor): a middle, and changes that such corridors have seen."""
    logs = np.log(known + 0.5)
    changes = logs[:, steps:] - logs[:, :-steps]
    classes = np.digitize(known.mean(axis=1), SIZES)
    ranks = (np.arange(draws) + 0.5) / draws
    out = np.empty((draws, len(known)))
    for one in np.unique(classes):
        seen = np.quantile(changes[classes == one], ranks)
        # Persistence says that there is no trend: changes are centred.
        shift = np.exp(seen - np.median(seen))[:, None]
        out[:, classes == one] = (middle[classes == one] + 0.5) * shift - 0.5
    return np.maximum(out, 0.0)


def score(series: xr.DataArray, last: int, model: Floats) -> pd.DataFrame:
    """Return one row a corridor, horizon and method."""
    known = series.notnull().all("period").to_numpy()
    every = series.to_numpy()[known]
    n_fit = last - FIRST + 1
    past = every[:, :n_fit]
    rows = []
    for horizon in (h for h in HORIZONS if last + h <= LAST):
        actual = every[:, n_fit - 1 + horizon]
        steps = min(horizon, n_fit - 1)
        draws = {
            "model": np.rint(model[:, :, horizon - 1]),
            "persistence": by_change(past, past[:, -1], steps, len(model)),
            "corridor_mean": by_change(past, past.mean(axis=1), steps, len(model)),
        }
        for method, values in draws.items():
            held = coverage(values, actual, PROBS)
            rows.append(
                pd.DataFrame(
                    {
                        "corridor": np.arange(len(actual)),
                        "origin_year": last,
                        "horizon": horizon,
                        "method": method,
                        "crps_log": crps(np.log1p(values), np.log1p(actual)),
                        "crps": crps(values, actual),
                        "mae": np.abs(np.median(values, axis=0) - actual),
                        "mae_log": absolute_log_error(values, actual),
                        **{f"coverage_{100 * prob:.0f}": held[k] for k, prob in enumerate(PROBS)},
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return means by horizon and method, and how far the model's scores lie from the others'."""
    columns = [c for c in scores if c not in ("corridor", "origin_year", "horizon", "method")]
    means = scores.groupby(["horizon", "method"], sort=False)[columns].mean().reset_index()
    cells = ["horizon", "origin_year", "corridor"]
    wide = scores.pivot_table(index=cells, columns="method", values="crps_log")
    gaps = []
    for horizon, own in wide.groupby("horizon"):
        for method in ("persistence", "corridor_mean"):
            by_corridor = (own["model"] - own[method]).groupby("corridor").mean()
            se = by_corridor.std(ddof=1) / np.sqrt(len(by_corridor))
            gaps.append((horizon, method, by_corridor.mean(), se, len(own)))
    frame = pd.DataFrame(gaps, columns=["horizon", "method", "difference", "se", "n"])
    return means.merge(frame, on=["horizon", "method"], how="left")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every origin, and print or keep the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.hindcast_annual", description=__doc__)
    parser.add_argument("--draws", type=int, default=500, help="draws of the process")
    add_keep(parser)
    options = parser.parse_args(arguments)
    series = read_series()
    parts, gates = [], []
    for last in ORIGINS:
        begun = time.perf_counter()
        model, passed = foretell(series, last, options.draws)
        gates.append(passed)
        parts.append(score(series, last, model))
        seconds = time.perf_counter() - begun
        print(f"to {last}: {seconds:.0f} s, gate {'passed' if passed else 'failed'}", flush=True)
    table = summarise(pd.concat(parts)).assign(converged=float(np.mean(gates)))
    print(table.round(3).to_string(index=False))
    if options.keep:
        title = "Hindcasts of annual flows between 43 reporters"
        command = command_line("hindcast_annual", arguments)
        keep(table, "hindcast_annual", command=command, seed=1, title=title)


if __name__ == "__main__":
    main()
