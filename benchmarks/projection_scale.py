"""Ten scenarios that come with flowcast, of the world to 2050: how long, and how much memory.

Run ``python -m benchmarks.projection_scale [--draws N] [--workers N] [--step 5|1]``. Flows are
those of Welch and Raftery (2022), doi 10.1073/pnas.2203822119; stocks by birthplace those of the
United Nations. The process is fitted for a few sweeps only: how long a projection takes does not
hang on what its draws are, and they are used again. With ``--step 1`` a fifth of each five years'
flow stands for its last year, so that steps are annual.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.cases import shared
from benchmarks.hindcast import LENGTH, PERIODS, read_flows, read_world
from benchmarks.measure import peak_memory
from flowcast.projection import (
    ProjectionSpec,
    baseline_of,
    fit_process,
    history_from_table,
    make_start,
)
from flowcast.projection._inputs import write_inputs
from flowcast.projection.store import INPUTS, run_projection
from flowcast.scenarios import DRIVERS, read_scenarios

SCENARIOS = (
    "baseline", "no_migration", "open_borders", "conflict_shock", "return_wave",
    "ssp1", "ssp2", "ssp3", "ssp4", "ssp5",
)  # fmt: skip
FILES = {
    "iiasa_ssp_population": ("ssp_population_country", "iamc_db_POP_Countries.csv"),
    "iiasa_ssp_gdp": ("ssp_gdp_ppp_country", "iamc_db_GDPppp_Countries.csv"),
    "iiasa_ssp_urban_share": ("ssp_urban_share_country", "iamc_db_URB_Countries.csv"),
}
LEVELS = {"gdp_per_head": 8000.0, "urban_share": 0.55, "conflict": 10.0}
"""Of drivers where the projection starts: their level has no bearing on how long it takes."""


def publish(folder: Path) -> None:
    """Put the pathways where the readers look for them, in the publisher's wide form."""
    for source, (name, file) in FILES.items():
        frame = pd.read_csv(shared() / "data" / "drivers" / "ssp_iiasa" / f"{name}.csv.gz")
        keys = ["model", "scenario", "iso3", "variable", "unit"]
        wide = frame.pivot_table(index=keys, columns="year", values="value").reset_index()
        wide.columns = [str(c).upper() for c in wide.columns]
        (folder / source).mkdir(parents=True)
        wide.rename(columns={"ISO3": "REGION"}).to_csv(folder / source / file, index=False)


def stocks(places: Sequence[str], population: xr.DataArray) -> xr.DataArray:
    """Return people by birthplace in 2020, no more than half of any place."""
    path = shared() / "data" / "flows" / "un_ims_2024" / "stock_birth_residence.csv.gz"
    frame = pd.read_csv(path).query("year == 2020")
    inside = frame["birth"].isin(places) & frame["residence"].isin(places)
    both = frame[inside].groupby(["birth", "residence"])["tot"].sum().to_xarray()
    found = both.rename(birth="birthplace", residence="place").fillna(0.0)
    people = population.sel(place=found["place"])
    return found * np.minimum(1.0, 0.5 * people / found.sum("birthplace"))


def prepare(folder: Path, step: int) -> None:
    """Fit the process for a few sweeps, and write what a projection starts from."""
    flows = read_flows()
    world = read_world(sorted({*flows["origin"], *flows["destination"]}))
    # Scenarios look places up by their codes, and the Channel Islands have none of their own.
    places = [p for p in world["place"].to_numpy().tolist() if p != "CLI"]
    flows = flows[flows["origin"].isin(places) & flows["destination"].isin(places)]
    if step == 1:
        end = PERIODS[-1] + LENGTH
        year = dict(zip(PERIODS, range(end - len(PERIODS), end), strict=True))
        flows = flows.assign(flow=flows["flow"] / LENGTH, period=flows["period"].map(year))
    people = world.sel(place=places)
    history = history_from_table(flows, people["population"], length=step)
    spec = ProjectionSpec(draws=20, tune=20, sweeps=1, chains=1)
    process = fit_process(history, spec)
    at = people["population"].sel(year=2020)
    start = make_start(
        people, process.places, 2020, 2050, length=step, stock=stocks(process.places, at)
    )
    shape = (len(process.places), 1)
    levels = {
        name: (("place", "year"), np.full(shape, level), {"units": DRIVERS[name].unit})
        for name, level in LEVELS.items()
    }
    drivers = xr.Dataset(levels, {"place": list(process.places), "year": [2020]})
    write_inputs(folder / INPUTS, process, start, baseline_of(process, start, drivers))


def main(arguments: Sequence[str] | None = None) -> None:
    """Project ten scenarios, and print what it took."""
    parser = argparse.ArgumentParser(prog="benchmarks.projection_scale", description=__doc__)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--step", type=int, choices=(1, 5), default=5, help="years of a period")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish(folder / "raw")
        os.environ["FLOWCAST_DATA"] = str(folder / "raw")
        prepare(folder / "out", options.step)
        begun = time.perf_counter()
        run_projection(
            folder / "out", read_scenarios(SCENARIOS), draws=options.draws,
            workers=options.workers, progress=True,
        )  # fmt: skip
        seconds = time.perf_counter() - begun
        size = sum(p.stat().st_size for p in (folder / "out").rglob("*") if p.is_file())
        memory = peak_memory(options.workers)
        print(
            f"{len(SCENARIOS)} scenarios to 2050, steps of {options.step}, {options.draws} draws, "
            f"{options.workers} workers: {seconds:.0f} s, {memory:.2f} GiB, "
            f"{size / 2**30:.1f} GiB on disk"
        )


if __name__ == "__main__":
    main()
