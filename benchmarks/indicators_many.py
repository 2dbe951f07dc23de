"""Indicators that no fit has seen, beside the flows of the 31-country case, 2002-2008.

Run ``python -m benchmarks.indicators_many [--run FOLDER] [--out FILE]``; without a run the
registers among the 31 are fitted first. Every related indicator of the catalogue for which there
are data in these years is held against the estimates. Net migration and totals of a country are
mostly moves from and to places that are not among the 31, so that comparing them would say little:
net migration is judged by `benchmarks.indicators31`, where the rest of the world is a place.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from benchmarks.cases import read_imem31, read_table, shared
from benchmarks.pages import add_keep, keep
from flowcast.errors import InputError
from flowcast.estimates import flow_estimates
from flowcast.inference import estimate
from flowcast.persistence import read_run
from flowcast.places import all_places
from flowcast.posterior import Posterior
from flowcast.sources.readers._names import name_to_alpha2
from flowcast.validation import IndicatorTable, association, indicator_table, read_indicator

AS_PUBLISHED = {
    "scholar_moves_openalex": "flows/scholars_scopus_openalex/openalex_2023_V1_countryflows.csv.gz",
    "scholar_moves_scopus": "flows/scholars_scopus_openalex/scopus_2024_V1_countryflows.csv.gz",
    "connectedness_meta": "flows/sci_2021/sci_country_country_oct2021.csv.gz",
    "asylum_unhcr": "drivers/unhcr_refugees/asylum_applications.csv.gz",
    "refugee_arrivals_unhcr": "drivers/unhcr_refugees/flows.csv.gz",
}
"""Files as their publishers send them."""


def stock_growth(folder: Path) -> IndicatorTable:
    """Return the growth of stocks by birthplace and residence between mid-years.

    The file at hand lists cells above zero only: a pair that lacks one of two dates is missing.
    """
    stocks = read_table(folder / "flows" / "un_ims_2024" / "stock_birth_residence.csv.gz")
    ordered = stocks.sort_values(["birth", "residence", "year"])
    later = ordered.groupby(["birth", "residence"])[["year", "tot"]].shift(-1)
    ordered = ordered.assign(next=later["year"], growth=later["tot"] - ordered["tot"]).dropna()
    whole = ordered[ordered["next"] - ordered["year"] <= 5]
    table = pd.DataFrame(
        {
            "origin": whole["birth"], "destination": whole["residence"],
            "period_start": whole["year"].astype(str) + "-07-01",
            "period_end": whole["next"].astype(int).astype(str) + "-07-01",
            "value": whole["growth"],
        }
    )  # fmt: skip
    return indicator_table(_of_today(table), "stock_growth_un", name="un_ims_2024")


def foreign_born(folder: Path) -> IndicatorTable:
    """Return the foreign-born of the EU labour force surveys, ages 15 to 64."""
    path = folder / "flows" / "eu_stocks_fb_lfs" / "LFS_corrected_full_corridors.csv.gz"
    rows = read_table(path, ("", "NA")).dropna(subset=["LFS"])
    table = pd.DataFrame(
        {
            "origin": rows["orig"].map(name_to_alpha2),
            "destination": rows["dest"].map(name_to_alpha2),
            "year": rows["year"], "value": rows["LFS"],
        }
    )  # fmt: skip
    return indicator_table(table, "foreign_born_lfs", name="eu_lfs")


def remittances_received(folder: Path) -> IndicatorTable:
    """Return personal remittances received, US dollars a year."""
    rows = read_table(folder / "drivers" / "iom_gdidata" / "wdi.csv.gz")
    rows = rows[rows["var"] == "remin"]
    table = pd.DataFrame({"origin": rows["geo"], "year": rows["t"], "value": rows["v"]})
    return indicator_table(_of_today(table), "remittances_received_wdi", name="wdi")


def friendships(folder: Path) -> IndicatorTable:
    """Return the connectedness index times the populations of both places, mid-2021.

    The index is a probability for a pair of users; flows grow with the numbers of people.
    """
    index = read_indicator("connectedness_meta", folder / AS_PUBLISHED["connectedness_meta"]).table
    world = read_table(folder / "flows" / "wpp2024" / "wpp2024_annual.csv.gz")
    world = world[(world["year"] == 2021) & world["iso3"].notna()]
    people = dict(zip(world["iso3"], world["pop_midyear_implied"].astype(float), strict=True))
    alpha3 = {place.alpha2: place.alpha3 for place in all_places() if place.alpha3 in people}
    size = [index[side].map(alpha3).map(people) for side in ("origin", "destination")]
    table = index.assign(value=index["value"] * size[0] * size[1], year=2021)
    table = table.dropna(subset=["value"])
    columns = ["origin", "destination", "year", "value"]
    return indicator_table(table[columns], "friendships_meta", name="index times populations")


LAID_OUT: Mapping[str, Callable[[Path], IndicatorTable]] = {
    "friendships_meta": friendships,
    "stock_growth_un": stock_growth,
    "foreign_born_lfs": foreign_born,
    "remittances_received_wdi": remittances_received,
}


def _of_today(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose places the code list has: regions and sums of places are no places."""
    known = {place.alpha3 for place in all_places()}
    sides = [side for side in ("origin", "destination") if side in table]
    return table[table[sides].isin(known).all(axis=1)]


def read_all(folder: Path) -> dict[str, IndicatorTable]:
    """Return every indicator for which there is a file."""
    read = {name: read_indicator(name, folder / path) for name, path in AS_PUBLISHED.items()}
    return read | {name: make(folder) for name, make in LAID_OUT.items()}


def compare_all(posterior: Posterior, tables: Mapping[str, IndicatorTable]) -> pd.DataFrame:
    """Return the association of each indicator; one without a common row is told and left out."""
    flows, parts = flow_estimates(posterior), []
    for name, table in tables.items():
        try:
            found = association(flows, table)
        except InputError:
            print(f"{name}: no row about these places and years")
            continue
        told = {key: found.attrs[key] for key in ("n", "n_in_part")}
        print(f"{name}: {told['n']} rows compared, {told['n_in_part']} of them covered in part")
        parts.append(found.assign(indicator=name, rows=told["n"], in_part=told["n_in_part"]))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    """Fit, or read a run, and print how each indicator goes with the estimates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a run of the 31-country case, instead of a fit")
    parser.add_argument("--out", type=Path, help="the table, a CSV file")
    add_keep(parser)
    args = parser.parse_args()
    if args.run is not None:
        posterior = read_run(args.run)
    else:
        start = time.perf_counter()
        case = read_imem31(Path(tempfile.mkdtemp()))
        posterior = estimate(case.spec, case.observations, case.places, case.corridors)
        print(f"fit: {time.perf_counter() - start:.0f} s; {posterior.info['method']}")
    print(f"gate {posterior.gate}")
    table = compare_all(posterior, read_all(shared() / "data"))
    order = ["indicator", "metric", "value", "lower", "upper", "se", "n", "rows", "in_part"]
    table = table[order]
    print(table.round(3).to_string(index=False))
    if args.out is not None:
        table.to_csv(args.out, index=False)
    if args.keep:
        keep_associations(table)


def keep_associations(table: pd.DataFrame) -> None:
    """Keep a row for each indicator, with every association beside its standard error."""
    wide = table.pivot(index="indicator", columns="metric", values=["value", "se"])
    wide.columns = pd.Index([f"{metric}_{what}" for what, metric in wide.columns])
    rows = table.groupby("indicator")["rows"].first()
    out = wide.join(rows).sort_values("rank_across_value", ascending=False).reset_index()
    title = "Associations of flows among the 31 countries with what others measure"
    keep(out, "indicators31", command="python -m benchmarks.indicators_many", title=title)


if __name__ == "__main__":
    main()
