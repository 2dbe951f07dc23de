"""Rolling-origin forecasts of displacement, against baselines on the same rows.

Run ``python -m benchmarks.displacement [--targets NAME...] [--development] [--keep]``. Rules that
were fixed beforehand:

- Origins t = 2014 to 2021; foretold are t+1 to t+3, as far as the data go. A fit sees rows of years
  up to t and no others. Figures are those of today's files: revisions made after t are in them.
- Units are those with a row up to t: which places first appear later cannot be known.
- Rows that are scored are those known at t+h, by the rule of the source for missing rows.
- The structure of the model was chosen by reasoning and on outcomes up to 2013 (``--development``).
- A surge is a year with at least 1,000 persons and more than twice the mean of the last three.
- CRPS, its form weighted by a threshold, and the interval score are on log(1 + count).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.cases import shared
from benchmarks.displacement_baselines import BASELINES, Past, predict
from benchmarks.pages import add_keep, command_line, keep
from flowcast import scores
from flowcast.displacement.forecast import forecast_displacement
from flowcast.displacement.model import fit_displacement
from flowcast.displacement.panel import (
    DisplacementPanel,
    add_kinds,
    join_drivers,
    make_panel,
    sum_units,
)
from flowcast.displacement.reading import read_displacement
from flowcast.displacement.spec import DisplacementSpec
from flowcast.sources.readers._common import to_alpha2

type Floats = NDArray[np.float64]

ORIGINS: Final = tuple(range(2014, 2022))
DEVELOPMENT: Final = (2010, 2011, 2012)
LAST_DEVELOPED: Final = 2013
AHEAD: Final = 3
PROBS: Final = (0.5, 0.8, 0.95)
SURGE: Final = 1_000.0
SEED: Final = 1
GEOPHYSICAL: Final = ("Earthquake", "Volcanic activity")
MODEL: Final = "flowcast"


@dataclass(frozen=True)
class Target:
    """What is foretold.

    Attributes
    ----------
    table
        All its figures.
    since
        First year that is used.
    drivers
        Names of `read_drivers` that it is given.
    large
        Count above which the weighted CRPS looks, persons.
    spec
        Settings of the fit.
    """

    table: pd.DataFrame
    since: int
    drivers: tuple[str, ...]
    large: float
    spec: DisplacementSpec


def read_targets() -> dict[str, Target]:
    """Return what is foretold, by name."""
    folder = shared() / "data" / "drivers"
    disaster = read_displacement(
        "idmc_disaster", folder / "idmc_gidd" / "disaster_events_2008_2022.csv.gz"
    )
    conflict = read_displacement(
        "idmc_conflict", folder / "idmc_gidd" / "country_year_2008_2022.csv.gz"
    )
    flows = folder / "unhcr_refugees" / "flows.csv.gz"
    parts = [read_displacement(name, flows) for name in ("unhcr_refugees", "unhcr_asylum")]
    pairs = add_kinds(*parts, kind="cross_border")
    spec = DisplacementSpec(seed=SEED)
    few = spec.model_copy(update={"window": 10, "tune": 200, "draws": 400, "sweeps": 1})
    places = ("population", "income")
    political = (*places, "deaths", "democracy")
    return {
        "disaster_by_hazard": Target(disaster, 2008, places, 1e4, spec),
        "conflict": Target(conflict, 2009, political, 1e4, spec),
        "unhcr_by_origin": Target(sum_units(pairs, "destination"), 2000, political, 1e4, spec),
        "unhcr_by_pair": Target(pairs, 2000, political, 1e3, few),
    }


def read_drivers() -> dict[str, pd.Series]:
    """Return drivers of places and years, logs where they are amounts."""
    folder = shared() / "data"

    def series(path: str, column: str) -> pd.Series:
        frame = pd.read_csv(folder / path, keep_default_na=False, na_values=[""])
        frame = frame.dropna(subset=["iso3", column])
        place = to_alpha2(frame["iso3"], "alpha3")
        frame = frame[place.notna()].assign(place=place[place.notna()])
        return frame.drop_duplicates(["place", "year"]).set_index(["place", "year"])[column]

    panel = "drivers/conflict_democracy_panel"
    return {
        "population": np.log(series("flows/wpp2024/wpp2024_annual.csv.gz", "pop_midyear_implied")),
        "income": np.log(series(f"{panel}/gw_panel_1946_2024.csv.gz", "gdppc")),
        "deaths": np.log1p(series(f"{panel}/ucdp_conflict_deaths.csv.gz", "conflict_deaths")),
        "democracy": series(f"{panel}/gw_panel_1946_2024.csv.gz", "v2x_polyarchy"),
    }


def roll(
    target: Target, origins: Sequence[int], last: int, drivers: dict[str, pd.Series]
) -> Iterator[pd.DataFrame]:
    """Yield scores of every row, method and horizon, one table an origin."""
    for origin in origins:
        begun = time.perf_counter()
        panel = make_panel(target.table, since=target.since, until=origin)
        told = {name: upto(drivers[name], origin) for name in target.drivers}
        joined = join_drivers(panel, told, hold=5)
        fit = fit_displacement(panel, target.spec, drivers=joined)
        made = forecast_displacement(
            fit, AHEAD, seed=SEED, ceiling=people(panel, drivers["population"])
        )
        fitted = time.perf_counter()
        truth = make_panel(target.table, since=target.since, until=last, units=panel.units)
        past = Past.of(panel, joined, SEED)
        draws = made.stack(sample=("chain", "draw")).transpose("sample", "unit", "year").to_numpy()
        for ahead in range(1, AHEAD + 1):
            if origin + ahead > last:
                continue
            actual = truth.values[:, list(truth.years).index(origin + ahead)]
            methods = {MODEL: draws[:, :, ahead - 1]}
            methods |= {name: predict(name, past, ahead) for name in BASELINES}
            for name, drawn in methods.items():
                scored = score(drawn, actual, recent(past), target.large)
                yield scored.assign(
                    method=name, origin=origin, ahead=ahead,
                    cluster=panel.names("place")[np.isfinite(actual)],
                    geophysical=np.isin(panel.names("hazard")[np.isfinite(actual)], GEOPHYSICAL),
                )  # fmt: skip
        worst = fit.diagnostics["rhat"].max()
        seconds = (fitted - begun, time.perf_counter() - fitted)
        print(
            f"  {origin}: {len(panel.units)} units, model {seconds[0]:.0f} s "
            f"(largest R-hat {worst:.2f}), baselines {seconds[1]:.0f} s",
            flush=True,
        )


def upto(series: pd.Series, origin: int) -> pd.Series:
    """Return a driver as far as its years were over."""
    return series[series.index.get_level_values("year") <= origin]


def people(panel: DisplacementPanel, population: pd.Series) -> Floats:
    """Return the persons that can be displaced: the place's, or the largest count times three."""
    known = upto(population, int(panel.years[-1])).groupby("place").last()
    persons = 1e3 * np.exp(known.reindex(panel.names("place")).to_numpy(dtype=float))
    usual = 3.0 * np.nanmax(panel.values)
    # Movements are counted, and a person may move more than once: never below what has been seen.
    return np.asarray(np.fmax(np.where(np.isnan(persons), usual, persons), 1.0))


def recent(past: Past) -> Floats:
    """Return the mean of the last three years, unknown ones left out; the last value if none is."""
    three = past.values[:, -3:]
    known = np.isfinite(three)
    mean = np.nan_to_num(three).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known.any(axis=1), mean, past.last)


def score(drawn: Floats, actual: Floats, before: Floats, large: float) -> pd.DataFrame:
    """Return scores of the rows that are known."""
    known = np.isfinite(actual)
    drawn, actual, before = drawn[:, known], actual[known], before[known]
    logs, log = np.log1p(drawn), np.log1p(actual)
    rng = np.random.default_rng([SEED, 41])
    held = scores.coverage(drawn, actual, PROBS)
    return pd.DataFrame(
        {
            "crps_log": scores.crps(logs, log),
            "crps": scores.crps(drawn, actual),
            "crps_large": scores.crps_above(logs, log, float(np.log1p(large))),
            "interval_80": scores.interval_score(logs, log, 0.8),
            **{f"coverage_{100 * p:.0f}": one for p, one in zip(PROBS, held, strict=True)},
            "pit": scores.pit(drawn, actual, rng),
            "positive": actual > 0,
            "surge": (actual >= SURGE) & (actual > 2.0 * before),
            "surge_chance": ((drawn >= SURGE) & (drawn > 2.0 * before)).mean(axis=0),
        }
    )


def parts_of(name: str, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return what is scored by itself: of one fit of all hazards, two kinds of them."""
    if name != "disaster_by_hazard":
        return [(name, rows)]
    names = {False: "weather_by_hazard", True: "geophysical_by_hazard"}
    return [(names[bool(kind)], group) for kind, group in rows.groupby("geophysical")]


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each horizon and method: mean scores, coverage, surges, differences."""
    out = []
    for ahead, group in rows.groupby("ahead"):
        by = {str(name): one.reset_index(drop=True) for name, one in group.groupby("method")}
        model = by[MODEL]
        for name in (MODEL, *BASELINES):
            out.append({"ahead": ahead, "against": name, **_line(by[name], model)})
    return pd.DataFrame(out)


def _line(own: pd.DataFrame, model: pd.DataFrame) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score

    surge = own["surge"].to_numpy()
    chance = own["surge_chance"].to_numpy()
    inside = {f"pit_{100 * p:.0f}": ((own["pit"] - 0.5).abs() <= p / 2).mean() for p in PROBS}
    found: dict[str, Any] = {"n": len(own)}
    for name in ("crps_log", "crps", "crps_large", "interval_80"):
        found[name] = own[name].mean()
    found |= {f"coverage_{100 * p:.0f}": own[f"coverage_{100 * p:.0f}"].mean() for p in PROBS}
    found |= inside
    found["surges"] = int(surge.sum())
    found["auc_pr"] = average_precision_score(surge, chance) if surge.any() else np.nan
    found["brier"] = ((chance - surge) ** 2).mean()
    difference = (own["crps_log"] - model["crps_log"]).to_numpy()
    found["difference"], found["se"] = clustered(difference, own["cluster"].to_numpy())
    return found


def clustered(values: Floats, cluster: NDArray[np.str_]) -> tuple[float, float]:
    """Return a mean and its standard error, values of a country hanging together."""
    mean = float(values.mean())
    number = np.unique(cluster, return_inverse=True)[1]
    sums = np.bincount(number, values - mean)
    n = len(sums)
    return mean, float(np.sqrt((sums**2).sum() * n / max(n - 1, 1)) / len(values))


def main(arguments: Sequence[str] | None = None) -> None:
    """Roll every target, and print or keep the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks.displacement", description=__doc__)
    parser.add_argument("--targets", nargs="*", help="by default all")
    parser.add_argument("--development", action="store_true", help="outcomes up to 2013 only")
    parser.add_argument("--origins", nargs="*", type=int)
    add_keep(parser)
    options = parser.parse_args(arguments)
    drivers = read_drivers()
    for name, target in read_targets().items():
        if options.targets and name not in options.targets:
            continue
        last = LAST_DEVELOPED if options.development else int(target.table["period"].dt.year.max())
        origins = [t for t in _origins(options) if t - target.since >= 3 and t < last]
        print(name, *origins, flush=True)
        rows = pd.concat(roll(target, origins, last, drivers))
        for part, chosen in parts_of(name, rows):
            table = summarise(chosen)
            print(part, table.round(3).to_string(index=False), sep="\n", flush=True)
            if options.keep:
                keep(
                    table, f"displacement_{part}", seed=SEED,
                    command=command_line("displacement", arguments),
                    title=f"Forecasts of displacement: {part.replace('_', ' ')}",
                )  # fmt: skip


def _origins(options: argparse.Namespace) -> Sequence[int]:
    if options.origins:
        return list(options.origins)
    return DEVELOPMENT if options.development else ORIGINS


if __name__ == "__main__":
    main()
