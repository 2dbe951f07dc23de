"""The demo: the embedded reports of 2024 to flows, a run folder, figures and a page to read.

Everything is written into the run folder at once, so that the page and the figures are hashed with
the posterior they show.
"""

import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast._demo_page import PICTURES, build_page
from flowcast._demo_tables import (
    FLOW_COLUMNS,
    INTERVAL,
    MARKS,
    flow_rows,
    flows_beside_reports,
    pick_flows,
    total_rows,
)
from flowcast._terminal import Column, say, show_table
from flowcast.config import read_model
from flowcast.observations import read_observations
from flowcast.persistence import require_free, write_run
from flowcast.plots import describe, plot
from flowcast.posterior import Posterior

__all__ = ["DEMO_MODEL", "run_demo"]

DEMO_MODEL: Final = "europe_2024"
PAGE: Final = "index.html"
FIGURES: Final = "figures"


def run_demo(out: str | Path = "runs/demo", *, quiet: bool = False) -> Posterior:
    """Estimate the flows of the embedded model, and write and print what came out.

    Parameters
    ----------
    out
        The run folder; an earlier run there is replaced. Beside what every run folder holds, it
        gets ``index.html`` (one file, to open in a browser without a network) and ``figures/``.
    quiet
        Print nothing.

    Returns
    -------
    Posterior
        What was estimated; its `gate` says whether it converged.

    Raises
    ------
    UsageError
        If something that is no run stands in that place.
    """
    start = time.perf_counter()
    folder = Path(out)
    require_free(folder, force=True)
    if not quiet:
        say("Fitting what 18 European countries reported about moves between them in 2024 ...")
    from flowcast.inference import estimate  # takes seconds, which should not pass in silence

    with redirect_stdout(sys.stderr):
        posterior = estimate(DEMO_MODEL, progress=not quiet)
    picked = pick_flows(flows_beside_reports(posterior, _read_reports()))
    write_run(posterior, folder, force=True, extras=lambda place: _add(posterior, picked, place))
    if not quiet:
        _tell(posterior, picked, folder, time.perf_counter() - start)
    return posterior


def _read_reports() -> pd.DataFrame:
    spec = read_model(DEMO_MODEL)
    files = [spec.data_path(name) for name in spec.data.observations]
    return pd.concat([read_observations(file).table for file in files], ignore_index=True)


def _add(posterior: Posterior, picked: pd.DataFrame, folder: Path) -> None:
    """Add the figures and the page to the run folder."""
    (folder / FIGURES).mkdir()
    pictures = []
    for picture in PICTURES:
        path = folder / FIGURES / f"{picture.name}.png"
        plot(posterior, picture.kind, out=path, place=picture.place)
        alt = describe(picture.kind, posterior, place=picture.place)
        pictures.append((picture, path.read_bytes(), alt))
    page = build_page(posterior, flow_rows(picked), total_rows(posterior), pictures)
    (folder / PAGE).write_text(page, encoding="utf-8")


def _tell(posterior: Posterior, picked: pd.DataFrame, folder: Path, seconds: float) -> None:
    title = (
        f"Moves between European countries in 2024, persons: what the two sides report ({MARKS})\n"
        f"and the flow estimated, for a stay of 12 months: median and {INTERVAL}"
    )
    columns = [Column(name, right=right) for name, right in FLOW_COLUMNS]
    show_table(title, columns, flow_rows(picked))
    say()
    say(f"Convergence gate {posterior.gate}")
    say(f"The page to read   {folder / PAGE}")
    say(f"Figures            {folder / FIGURES}")
    say(f"All estimates      {folder / 'estimates.parquet'}, or: flowcast table {folder}")
    say(f"Posterior          {folder / 'posterior.nc'} (NetCDF)")
    say(f"What it rests on   {folder / 'manifest.json'} (hashes, versions, seed)")
    say(f"Done in {seconds:.0f} seconds.")
