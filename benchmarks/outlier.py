"""One absurd reporter: Russia's arrivals from Germany, 1992 to 1996.

Run ``python -m benchmarks.outlier``. Russia reports 3 to 6 arrivals a year where Germany reports
6,650 to 17,202 departures. A panel of reporters around the two is fitted with the absurd figures
and without them, by three models: ``default``; ``plain``, without heavy tails and without
corridor-by-source effects; and ``common``, which is plain and gives all reporters of a side one
noise sd. Printed are the flow itself, and how far all other flows into Russia and out of Germany
move when the five figures are taken away.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.cases import Case, read_table, shared
from flowcast.config import Measurement, ModelSpec, Tails, read_model
from flowcast.inference import fit_problem
from flowcast.model.density import find_mode
from flowcast.model.latent import draw_latent
from flowcast.model.problem import Problem
from flowcast.observations import observations_from_frame
from flowcast.places import convert_code, exists_in
from flowcast.preparation import collect_inputs, prepare

FloatArray = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
HUB, PARTNER = "RUS", "DEU"
YEARS = (1991, 2000)  # Russia and its neighbours exist since 1991
ABSURD = (1992, 1996)
N_EACH = 6
FIRST_CRITERION = 2002
MODELS = ("default", "plain", "common")


def panel_places(frame: pd.DataFrame) -> list[str]:
    """Return Russia, Germany, and those that report most: partners of Russia, and others.

    Parameters
    ----------
    frame
        `orig, dest, year, imm_reported_by_dest, emi_reported_by_orig` of the years in question.

    Returns
    -------
    list of str
        Russia reports arrivals only from some places; six of these and six of the other places,
        each time those with the most reports of their own. Without the latter Germany would be
        judged by places that report next to no arrivals.
    """
    arrivals = frame.groupby("dest")["imm_reported_by_dest"].count()
    departures = frame.groupby("orig")["emi_reported_by_orig"].count()
    reports = arrivals.add(departures, fill_value=0).drop([HUB, PARTNER])
    reports = reports.sort_values(ascending=False, kind="stable")
    reports = reports[[all(exists_in(p, year) for year in YEARS) for p in reports.index]]
    seen = frame.loc[frame["dest"].eq(HUB) & frame["imm_reported_by_dest"].notna(), "orig"]
    partner = reports.index.isin(set(seen))
    chosen = [*reports[partner].index[:N_EACH], *reports[~partner].index[:N_EACH]]
    return sorted([HUB, PARTNER, *chosen])


def alpha3(code: str) -> str:
    """Return the three-letter code of a place."""
    return convert_code(code, "alpha3")


def criteria(folder: Path) -> pd.DataFrame:
    """Return minimum stay and undercount class by place: index place, columns by side.

    Criteria are published from 2002 on, for European Union and EFTA countries; the first year's
    stand for the years before. Russia and others have none: they are unknown.
    """
    stay = read_table(folder / "duration_of_stay_criteria.csv.gz")
    stay = stay[stay["year"].eq(FIRST_CRITERION)]
    stay = stay.assign(origin2=stay["origin2"].map(alpha3), dest2=stay["dest2"].map(alpha3))
    classes = read_table(folder / "meta_IMEM.csv").set_index("Country").rename(index=alpha3)
    return pd.DataFrame(
        {
            "months_destination": stay.groupby("dest2")["dur_months_imm"].first(),
            "months_origin": stay.groupby("origin2")["dur_months_emi"].first(),
            "class_destination": classes["Undercount.imm.IMEM"],
            "class_origin": classes["Undercount.emi.IMEM"],
        }
    )


def panel_reports(frame: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Turn the double-entry table into the observation contract, one row a report."""
    sides = {
        "destination": ("imm_reported_by_dest", "dest"),
        "origin": ("emi_reported_by_orig", "orig"),
    }
    parts = []
    for side, (value, who) in sides.items():
        given = known.reindex(frame[who])
        parts.append(
            pd.DataFrame(
                {
                    "source": "un_flows_2015",
                    "family": "administrative",
                    "measure": "flow",
                    "origin": frame["orig"],
                    "destination": frame["dest"],
                    "year": frame["year"],
                    "value": frame[value],
                    "reporter": side,
                    "duration_months": given[f"months_{side}"].to_numpy(),
                    "undercount_class": given[f"class_{side}"].to_numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True).dropna(subset=["value"])


def is_absurd(reports: pd.DataFrame) -> pd.Series:
    """Return which rows are Russia's figures of arrivals from Germany, 1992 to 1996."""
    return (
        reports["origin"].eq(PARTNER)
        & reports["destination"].eq(HUB)
        & reports["reporter"].eq("destination")
        & reports["year"].between(*ABSURD)
    )


def read_panel(folder: Path, *, absurd: bool = True, common: bool = False) -> Case:
    """Read the panel; covariate files are written to `folder` (temporary).

    Parameters
    ----------
    folder
        Where to write covariates.
    absurd
        Whether the five figures stay in.
    common
        Whether all reports carry the same accuracy class; by default they carry none, and each
        reporter has a noise sd of its own.
    """
    data = shared() / "data" / "flows"
    frame = read_table(data / "un_flows_2015" / "double_entry_both_reporters.csv.gz")
    frame = frame[frame["year"].between(*YEARS)]
    places = panel_places(frame)
    frame = frame[frame["orig"].isin(places) & frame["dest"].isin(places)]
    reports = panel_reports(frame, criteria(data / "undercount_scores"))
    reports = reports if absurd else reports[~is_absurd(reports)]
    reports = reports.assign(accuracy_class="high") if common else reports
    population = read_table(data / "wpp2024" / "wpp2024_annual.csv.gz")
    population = population[population["iso3"].isin(places) & population["year"].between(*YEARS)]
    population = population[["iso3", "year", "pop_midyear_implied"]]
    population.columns = pd.Index(["place", "year", "population_th"])
    population.to_csv(folder / "places.csv", index=False)
    pair = read_table(data / "cepii_geodist" / "dist_cepii.csv.gz")
    pair = pair[pair["iso_o"].isin(places) & pair["iso_d"].isin(places)]
    pair = pair[pair["iso_o"].ne(pair["iso_d"])][["iso_o", "iso_d", "dist", "contig"]]
    pair.columns = pd.Index(["origin", "destination", "distance_km", "contiguity"])
    pair.to_csv(folder / "corridors.csv", index=False)
    return Case(
        read_model(HERE / "outlier.yaml"),
        observations_from_frame(reports, name="panel"),
        folder / "places.csv",
        folder / "corridors.csv",
        frame,
    )


def plain_spec(spec: ModelSpec) -> ModelSpec:
    """Return the specification without heavy tails and without corridor-by-source effects."""
    return spec.model_copy(
        update={
            "tails": Tails(reports=None, innovations=None, reporters=None),
            "measurement": Measurement(corridor_report_effects=False),
        }
    )


def panel_problem(model: str, *, absurd: bool) -> Problem:
    """Return the panel laid out for one of `MODELS`, with or without the absurd figures."""
    with tempfile.TemporaryDirectory() as folder:
        case = read_panel(Path(folder), absurd=absurd, common=model == "common")
        spec = case.spec if model == "default" else plain_spec(case.spec)
        return prepare(collect_inputs(spec, case.observations, case.places, case.corridors)).problem


def sample_flows(problem: Problem) -> FloatArray:
    """Return draws of the log flows from a whole fit, (draw, corridor, period)."""
    tree, gate, _, remarks = fit_problem(problem, prior=False)
    print(
        f"  {remarks['method']}, gate {gate}, {sum(remarks['timings'].values()):.0f} s", flush=True
    )
    return tree["latent"]["log_flow"].to_numpy().reshape(-1, *problem.grid.exists.shape)


def flows_at_mode(problem: Problem, n: int = 1000) -> FloatArray:
    """Return draws of the log flows with the hyper-parameters at their mode: a quick fit.

    Every draw has a random stream of its own, so that two fits differ little by chance.
    """
    mode = find_mode(problem)
    hyper, sites = mode.density.hyper(mode.x), mode.density.sites
    streams = np.random.SeedSequence([problem.spec.sampler.seed, 2]).spawn(n)
    draws = (draw_latent(problem, hyper, sites, np.random.default_rng(s)) for s in streams)
    return np.stack([log_flow for log_flow, _ in draws])


def cell_table(problem: Problem, log_flow: FloatArray) -> pd.DataFrame:
    """Return one row a cell: median and sd of the log flow, 95 % interval in persons."""
    grid = problem.grid
    low, middle, high = np.quantile(log_flow, [0.025, 0.5, 0.975], axis=0)
    return pd.DataFrame(
        {
            "origin": np.repeat(grid.origin_code, grid.n_period),
            "destination": np.repeat(grid.destination_code, grid.n_period),
            "year": np.tile(grid.period_start.year, grid.n_corridor),
            "median": middle.ravel(),
            "sd": log_flow.std(axis=0).ravel(),
            "lower": np.exp(low).ravel(),
            "upper": np.exp(high).ravel(),
        }
    )


def is_the_flow(cells: pd.DataFrame) -> pd.Series:
    """Return which rows are the flow from Germany to Russia."""
    return cells["origin"].eq(PARTNER) & cells["destination"].eq(HUB)


def compare_cells(with_absurd: pd.DataFrame, without: pd.DataFrame) -> pd.DataFrame:
    """Return how far every other flow into Russia and out of Germany moves.

    Returns
    -------
    DataFrame
        `origin, destination, year, group, change` (log median with the absurd figures less
        without) and `in_sds`, the same in posterior sds without them.
    """
    both = with_absurd.merge(without, on=["origin", "destination", "year"], suffixes=("", "_off"))
    both["group"] = np.select(
        [both["destination"].eq(HUB), both["origin"].eq(PARTNER)],
        ["into Russia", "out of Germany"],
        default="",
    )
    both = both[both["group"].ne("") & ~is_the_flow(both)]
    both["change"] = both["median"] - both["median_off"]
    both["in_sds"] = both["change"] / both["sd_off"]
    return both[["origin", "destination", "year", "group", "change", "in_sds"]]


def moved_table(moved: pd.DataFrame) -> pd.DataFrame:
    """Return, by group, the cells and the mean and largest absolute change, in per cent and sds."""
    sizes = moved.assign(change=100 * np.expm1(moved["change"].abs()), in_sds=moved["in_sds"].abs())
    out = sizes.groupby("group").agg(
        cells=("change", "size"),
        mean_per_cent=("change", "mean"),
        largest_per_cent=("change", "max"),
        mean_in_sds=("in_sds", "mean"),
        largest_in_sds=("in_sds", "max"),
    )
    return out.round(2).reset_index()


def flow_of_interest(cells: pd.DataFrame, problem: Problem) -> pd.DataFrame:
    """Return the flow from Germany to Russia by year: both reports, estimate, 95 % interval."""
    own = cells[is_the_flow(cells)].set_index("year")
    reports, grid = problem.reports, problem.grid
    here = (grid.origin_code == PARTNER) & (grid.destination_code == HUB)
    rows = reports.corridor == np.flatnonzero(here)[0]
    told = pd.DataFrame(
        {
            "year": grid.period_start.year[reports.period[rows]],
            "side": reports.side[rows],
            "value": reports.value[rows],
        }
    ).pivot(index="year", columns="side", values="value")
    estimate = np.exp(own["median"]).rename("estimate")
    return told.join([estimate, own["lower"], own["upper"]]).round(0)


def run_models(
    flows: Callable[[Problem], FloatArray], models: Sequence[str] = MODELS
) -> Mapping[str, dict[str, pd.DataFrame]]:
    """Fit models with and without the absurd figures.

    Parameters
    ----------
    flows
        Draws the log flows of a problem: `sample_flows` or `flows_at_mode`.
    models
        Some of `MODELS`.

    Returns
    -------
    mapping
        Model -> `with` and `without` (cell tables), `flow` and `flow_without` (Germany to Russia),
        and `moved`.
    """
    out = {}
    for model in models:
        cells, interest = {}, {}
        for name, absurd in (("with", True), ("without", False)):
            problem = panel_problem(model, absurd=absurd)
            cells[name] = cell_table(problem, flows(problem))
            interest[name] = flow_of_interest(cells[name], problem)
        moved = compare_cells(cells["with"], cells["without"])
        out[model] = cells | {
            "flow": interest["with"],
            "flow_without": interest["without"],
            "moved": moved,
        }
    return out


def main() -> None:
    """Print the flow, and how far the others move, for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="hyper-parameters at their mode")
    flows = flows_at_mode if parser.parse_args().quick else sample_flows
    for model, found in run_models(flows).items():
        print(f"\n{model} model: Germany to Russia, with the absurd figures and without")
        print(found["flow"].to_string())
        print(found["flow_without"][["estimate", "lower", "upper"]].to_string())
        print("other flows: change of the median when the absurd figures come in")
        print(moved_table(found["moved"]).to_string(index=False))


if __name__ == "__main__":
    main()
