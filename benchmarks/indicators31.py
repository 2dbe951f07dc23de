"""Net migration by UN WPP as a held-out indicator of the 31-country case, 2002-2008.

Run ``python -m benchmarks.indicators31``. Registers among 31 countries, and with the rest of the
world (`benchmarks.around31`), are fitted; immigration less emigration of each country is summed
draw by draw and compared with WPP's net migration, which no fit has seen. With the rest of the
world among the places, net migration is with everybody.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.around31 import MODEL, YEARS, read_case
from benchmarks.cases import read_table, shared
from benchmarks.pages import add_keep, command_line, keep
from flowcast.config import read_model
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame
from flowcast.validation import score_indicator
from flowcast.validation.indicators import compare_indicator

THOUSAND = 1000.0


def wpp_net(codes: dict[str, str]) -> Observations:
    """Return WPP's net migration of the countries, persons a year; codes are by alpha-3."""
    world = read_table(shared() / "data" / "flows" / "wpp2024" / "wpp2024_annual.csv.gz")
    rows = world[world["iso3"].isin(list(codes)) & world["year"].isin(YEARS)]
    table = pd.DataFrame(
        {
            "source": "un_wpp_2024", "family": "estimate", "measure": "net", "origin": None,
            "destination": rows["iso3"].map(codes), "year": rows["year"],
            "value": THOUSAND * rows["mig"].astype(float), "reporter": "other",
        }
    )  # fmt: skip
    return observations_from_frame(
        table, name="wpp", role="held_out", declared_places={*codes.values()}
    )


def page_table(cards: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the page, a row a variant and metric, from a column for each variant."""
    long = cards.rename_axis(index="metric", columns="variant").T.stack()
    return long.rename("value").reset_index()


def main() -> None:
    """Fit with and without the rest of the world, and print both scorecards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", default=["registers", "rest"])
    parser.add_argument("--out", type=Path, help="estimates beside the indicator, a CSV file")
    add_keep(parser)
    args = parser.parse_args()
    case = read_case(Path(tempfile.mkdtemp()))
    indicator = wpp_net(case.codes)
    cards, beside = [], []
    for variant in args.variants:
        start = time.perf_counter()
        sources = [case.registers, *([case.others["rest"]] if variant == "rest" else [])]
        posterior = estimate(read_model(MODEL), sources, case.places, case.corridors)
        seconds = time.perf_counter() - start
        print(f"{variant}: {seconds:.0f} s; {posterior.info['method']}; {posterior.gate}")
        card = score_indicator(posterior, indicator)
        cards.append(card.set_index("metric")["value"].rename(variant))
        rows, draws = compare_indicator(posterior, indicator)
        low, middle, high = pd.DataFrame(draws).quantile([0.1, 0.5, 0.9]).to_numpy()
        beside.append(rows.assign(variant=variant, lower=low, median=middle, upper=high))
        print(pd.concat(cards, axis=1).round(3).to_string(), flush=True)
    if args.keep:
        keep(
            page_table(pd.concat(cards, axis=1)), "net_migration31",
            command=command_line("indicators31"),
            title="Net migration of the 31 countries beside that of World Population Prospects",
        )  # fmt: skip
    if args.out is not None:
        pd.concat(beside).to_csv(args.out, index=False)


if __name__ == "__main__":
    main()
