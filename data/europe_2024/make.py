"""Make the embedded data of the demo from the transcribed Eurostat figures.

``python data/europe_2024/make.py FOLDER`` reads the three transcribed tables in FOLDER and
`definitions.csv` beside this script, which is written by hand, and writes `observations.csv`,
`places.csv` and `corridors.csv` beside it. It stops where the figures are not what README.md says.
"""

import argparse
from pathlib import Path

import pandas as pd

from flowcast.covariates import great_circle_km

HERE = Path(__file__).resolve().parent
SOURCE = "eurostat_migr_2024"
VINTAGE = "2026-07-02"
ROMANIAN_EMIGRATION_FROM_PARTNER = ("BG", "DE", "ES", "FI", "HR", "SE")
ROMANIAN_IMMIGRATION_FROM_PARTNER = ("DE", "ES")


def read_table(path: Path) -> pd.DataFrame:
    """Read CSV in which "NA" would be Namibia."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def mark_mirrors(reports: pd.DataFrame) -> pd.Series:
    """Return for each report the reporter whose figure it repeats; check that it does."""
    values = reports.set_index(["origin", "destination", "reporter"])["value"]
    mirrors = pd.Series("", index=values.index)
    repeated = [("RO", partner, "origin") for partner in ROMANIAN_EMIGRATION_FROM_PARTNER]
    repeated += [(partner, "RO", "destination") for partner in ROMANIAN_IMMIGRATION_FROM_PARTNER]
    for origin, destination, reporter in repeated:
        other = "destination" if reporter == "origin" else "origin"
        if values[origin, destination, reporter] != values[origin, destination, other]:
            raise ValueError(f"{origin} to {destination}: the two reports are not the same figure")
        mirrors[origin, destination, reporter] = other
    return mirrors.reset_index(drop=True)


def make_observations(reports: pd.DataFrame, definitions: pd.DataFrame) -> pd.DataFrame:
    """Put reports and the definition of each reporter into the observation contract."""
    reporting_place = reports["origin"].where(
        reports["reporter"] == "origin", reports["destination"]
    )
    definition = (
        pd.DataFrame({"reporter": reporting_place, "side": reports["reporter"]})
        .merge(definitions, on=["reporter", "side"], how="left", validate="many_to_one")
        .drop(columns=["reporter", "side"])
    )
    if definition["duration_months"].isna().any():
        raise ValueError("a reporter without a row in definitions.csv")
    columns = ["origin", "destination", "year", "value", "reporter"]
    grades = ["duration_months", "undercount_class", "accuracy_class"]
    table = pd.concat([reports[columns], definition[grades]], axis=1)
    table.insert(0, "source", SOURCE)
    table.insert(1, "family", "administrative")
    table.insert(2, "measure", "flow")
    return table.assign(mirror_of=mark_mirrors(reports), vintage=VINTAGE, flag=reports["flag"])


def make_places(countries: pd.DataFrame) -> pd.DataFrame:
    """Rename the columns of the country table and drop what the model does not use."""
    names = {"iso2": "place", "population_2024": "population"}
    columns = ["place", "name", "population", "gdp_per_capita_ppp", "eu_member"]
    columns += ["capital_lat", "capital_lon", "languages"]
    return countries.rename(columns=names)[columns]


def make_corridors(places: pd.DataFrame, borders: pd.DataFrame) -> pd.DataFrame:
    """Return distance, contiguity and common language of every ordered pair."""
    pairs = places.merge(places, how="cross", suffixes=("_o", "_d"))
    pairs = pairs[pairs["place_o"] != pairs["place_d"]].reset_index(drop=True)
    kilometres = great_circle_km(
        pairs["capital_lat_o"],
        pairs["capital_lon_o"],
        pairs["capital_lat_d"],
        pairs["capital_lon_d"],
    )
    touching = {frozenset(pair) for pair in borders.itertuples(index=False, name=None)}
    speak = {row.place: set(row.languages.split(";")) for row in places.itertuples()}
    both = list(zip(pairs["place_o"], pairs["place_d"], strict=True))
    return pd.DataFrame(
        {
            "origin": pairs["place_o"],
            "destination": pairs["place_d"],
            "distance_km": kilometres.round(1),
            "contiguity": [int(frozenset(pair) in touching) for pair in both],
            "common_language": [int(bool(speak[a] & speak[b])) for a, b in both],
        }
    )


def main() -> None:
    """Read, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the transcribed tables")
    folder = parser.parse_args().folder
    reports = read_table(folder / "europe_2024_reported_flows.csv")
    places = make_places(read_table(folder / "europe_2024_countries.csv"))
    tables = {
        "observations": make_observations(reports, read_table(HERE / "definitions.csv")),
        "places": places,
        "corridors": make_corridors(places, read_table(folder / "europe_2024_borders.csv")),
    }
    for name, table in tables.items():
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n", float_format="%.10g")


if __name__ == "__main__":
    main()
