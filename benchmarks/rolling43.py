"""Forecasts of what 43 countries report, 1998-2013: every origin, one to five years ahead.

Run ``python -m benchmarks.rolling43 [--origins N] [--out FOLDER]``; a run that was stopped goes on
when it is started again. Both sides' reports among the reporters of the United Nations (2015
revision) to an origin are fitted, those of all later years predicted. Rules that were fixed
beforehand:

- Covariates of later years are those of the last fitted year.
- The minimum stay is that of reporter and year, and where none is known that of the reporter's
  nearest year; the undercount class is that of IMEM.
- Reports of the origin's year and before are all fitted: figures carry no date of publication.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.cases import Case, read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from benchmarks.schemes31 import compare_scores, share_converged
from benchmarks.stock_bridge import definitions, write_covariates
from flowcast.config import read_model
from flowcast.observations import observations_from_frame
from flowcast.validation import BASELINES, cross_validate

MODEL = Path(__file__).with_name("rolling43.yaml")
YEARS = (1998, 2013)
SIDES = {"destination": "imm_reported_by_dest", "origin": "emi_reported_by_orig"}
SEED = 1998


def reports(frame: pd.DataFrame) -> pd.DataFrame:
    """Return both sides' reports in the columns of the contract.

    Parameters
    ----------
    frame
        `double_entry_both_reporters`: one row an origin, destination and year.
    """
    frame = frame[frame["year"].between(*YEARS) & (frame["orig"] != frame["dest"])]
    frame = frame.rename(columns={"orig": "origin", "dest": "destination"})
    parts = []
    for side, column in SIDES.items():
        part = frame[["origin", "destination", "year"]].assign(
            value=frame[column], reporter=side, place=frame[side]
        )
        parts.append(part.dropna(subset=["value"]))
    rows = pd.concat(parts, ignore_index=True).reset_index(names="row")
    known = definitions()
    # Only the stay's own year is told apart from others: nearest, the earlier of two.
    near = rows[["row", "place", "reporter", "year"]].merge(
        known, left_on=["place", "reporter"], right_on=["place", "side"], suffixes=("", "_known")
    )
    near = near.assign(far=(near["year"] - near["year_known"]).abs())
    near = near.sort_values(["row", "far", "year_known"]).drop_duplicates("row")
    rows = rows.merge(near[["row", "duration_months", "undercount_class"]], on="row", how="left")
    return rows.assign(source="un_flows_2015", family="administrative", measure="flow").drop(
        columns=["row", "place"]
    )


def read_case(folder: Path) -> Case:
    """Read the case; covariate files are written to `folder` (temporary)."""
    name = "double_entry_both_reporters.csv.gz"
    frame = read_table(shared() / "data" / "flows" / "un_flows_2015" / name)
    rows = reports(frame)
    places = {*rows["origin"], *rows["destination"]}
    observations = observations_from_frame(rows, name="rolling43", declared_places=places)
    covariates = write_covariates(observations.places, folder, YEARS)
    return Case(read_model(MODEL), observations, *covariates, frame)


def main() -> None:
    """Forecast from every origin, and print scores by horizon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--origins", type=int, default=5, help="the last years that are withheld")
    parser.add_argument("--out", type=Path, default=Path("runs") / "rolling43")
    add_keep(parser)
    args = parser.parse_args()
    case = read_case(Path(tempfile.mkdtemp()))
    print(case.observations, flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    scorecard = cross_validate(
        case.spec,
        case.observations,
        case.places,
        case.corridors,
        scheme="last-years",
        folds=args.origins,
        seed=SEED,
        baselines=list(BASELINES),
        folder=args.out / "folds",
        progress=True,
    )
    scorecard.to_csv(args.out / "scorecard.csv", index=False)
    parts = []
    for horizon in range(1, args.origins + 1):
        part = compare_scores(scorecard, f"reports_{horizon}_ahead")
        part.insert(0, "horizon", horizon)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True).assign(converged=share_converged(scorecard))
    table.to_csv(args.out / "rolling43.csv", index=False)
    if args.keep:
        title = "Double entry of 43 reporters, by years ahead"
        keep(table, "rolling43", command=command_line("rolling43"), seed=SEED, title=title)
    print(table.round(3).to_string(), *scorecard.attrs["notes"], sep="\n")


if __name__ == "__main__":
    main()
