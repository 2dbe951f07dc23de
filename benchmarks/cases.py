"""Read cases from the shared data folder into flowcast's contracts.

The folder lies beside the repository (`../shared`) or where `FLOWCAST_SHARED` points. Nothing read
here is ever committed; the frames live in memory or in a temporary folder.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from flowcast.config import ModelSpec, read_model
from flowcast.observations import Observations, observations_from_frame

HERE = Path(__file__).resolve().parent


def shared() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("FLOWCAST_SHARED", HERE.parents[1] / "shared"))


@dataclass(frozen=True)
class Case:
    """A case: model, all reports, paths of covariate files, and the frame it came from."""

    spec: ModelSpec
    observations: Observations
    places: Path
    corridors: Path
    frame: pd.DataFrame


def read_table(path: Path, na: tuple[str, ...] = ("",)) -> pd.DataFrame:
    """Read a CSV file in which NA is Namibia and only what `na` lists is missing."""
    return pd.read_csv(path, keep_default_na=False, na_values=na)


def imem31_reports(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the 31-country case into the observation contract: one row a report.

    Both sides' reports by previous or next residence, with the duration criterion of each reporter
    and year and the experts' undercount class of each reporter. No accuracy class is given. The
    published IMEM quantiles are not touched.
    """
    sides = {
        "destination": ("imm_reported_by_dest", "dur_months_imm", "undercount_imm_expert_dest"),
        "origin": ("emi_reported_by_orig", "dur_months_emi", "undercount_emi_expert_orig"),
    }
    parts = [
        pd.DataFrame(
            {
                "source": "un_flows_2015",
                "family": "administrative",
                "measure": "flow",
                "origin": frame["orig"],
                "destination": frame["dest"],
                "year": frame["year"],
                "value": frame[value],
                "reporter": reporter,
                "duration_months": frame[duration],
                "undercount_class": frame[undercount],
            }
        )
        for reporter, (value, duration, undercount) in sides.items()
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset=["value"])


def read_imem31(folder: Path) -> Case:
    """Read the 31-country case 2002-2008; covariate files are written to `folder` (temporary)."""
    frame = read_table(shared() / "data" / "flows" / "case_imem31_2002_2008" / "case.csv.gz")
    code = {"EL": "GR", "UK": "GB"}
    frame[["orig", "dest"]] = frame[["orig", "dest"]].replace(code)
    year = frame[["orig", "year", "pop_orig_th", "gdppc_ppp_orig"]].drop_duplicates()
    year.columns = pd.Index(["place", "year", "population_th", "gdp_per_capita_ppp"])
    year.to_csv(folder / "places.csv", index=False)
    pair = frame[["orig", "dest", "dist", "contig", "comlang_off", "colony"]].drop_duplicates()
    pair.columns = pd.Index(
        ["origin", "destination", "distance_km", "contiguity", "language", "colony"]
    )
    pair.to_csv(folder / "corridors.csv", index=False)
    return Case(
        read_model(HERE / "imem31.yaml"),
        observations_from_frame(imem31_reports(frame), name="imem31"),
        folder / "places.csv",
        folder / "corridors.csv",
        frame,
    )


def read_double_entry(folder: Path) -> Case:
    """Read the simulated double-entry case, 10 countries x 8 years, with known truth.

    Accuracy code 1 is high, 2 low; undercount code 1 low, 2 high; duration codes 1 to 5 are no
    minimum, 3, 6, 12 months and permanent.
    """
    frame = read_table(
        shared() / "reference" / "double_entry_jags" / "in_doubleentry_10x8.csv", ("", "NA")
    )
    months = {1: 0.0, 2: 3.0, 3: 6.0, 4: 12.0, 5: 60.0}
    sides = {"destination": "I", "origin": "E"}
    reports = pd.concat(
        [
            pd.DataFrame(
                {
                    "source": "simulated",
                    "family": "administrative",
                    "measure": "flow",
                    "origin": frame["orig"],
                    "destination": frame["dest"],
                    "year": frame["year"],
                    "value": frame[f"z_{s}"],
                    "reporter": reporter,
                    "duration_months": frame[f"dur_{s}"].map(months),
                    "undercount_class": frame[f"under_{s}"].map({1: "low", 2: "high"}),
                    "accuracy_class": frame[f"acc_{s}"].map({1: "high", 2: "low"}),
                }
            )
            for reporter, s in sides.items()
        ],
        ignore_index=True,
    ).dropna(subset=["value"])
    places = sorted(set(frame["orig"]) | set(frame["dest"]))
    pd.DataFrame({"place": places}).to_csv(folder / "places.csv", index=False)
    columns = ["orig", "dest", "year", "lpop_o", "lpop_d", "ldist", "lgni_ratio"]
    pair = frame[columns].rename(columns={"orig": "origin", "dest": "destination"})
    pair.to_csv(folder / "corridors.csv", index=False)
    return Case(
        read_model(HERE / "double_entry.yaml"),
        observations_from_frame(reports, name="double_entry", declared_places=set(places)),
        folder / "places.csv",
        folder / "corridors.csv",
        frame,
    )


def flow_table(case: Case, medians: pd.DataFrame) -> pd.DataFrame:
    """Join estimates to the case's frame by origin, destination and year."""
    year = pd.to_datetime(medians["period_start"]).dt.year
    keyed = medians.assign(year=year).rename(columns={"origin": "orig", "destination": "dest"})
    return case.frame.merge(keyed, on=["orig", "dest", "year"], how="left", validate="1:m")


def log_half(values: np.ndarray | pd.Series) -> np.ndarray:
    """Return log(x + 1/2), the scale on which reports are compared."""
    return np.log(np.asarray(values, dtype=float) + 0.5)
