"""Simulation-based calibration: whether the ranks of true values are uniform.

Run ``python -m benchmarks.sbc --family gaussian --replicates 200 --out FOLDER``; a run that was
stopped goes on when it is started again. ``python -m benchmarks.sbc --out FOLDER --render
docs/images`` draws the figures and fills in the tables of docs/calibration.md.
"""

import argparse
import json
from pathlib import Path

import pandas as pd

from benchmarks.replicates import fill_section, read_finished, run_replicates
from flowcast._atomic import atomic_file
from flowcast.calibration import FAMILIES, family_spec, rank_replicate, test_uniform
from flowcast.plots import plot_ranks

ALPHA = 0.01
SHOWN = 12


def run_one(
    seed: int, family: str, n_place: int, n_period: int, n_draws: int, graded: bool
) -> pd.DataFrame:
    """Rank the truths of one world."""
    size = {"n_place": n_place, "n_period": n_period, "n_draws": n_draws}
    table = rank_replicate(family_spec(family), seed=seed, graded=graded, **size)
    return table.drop(columns="replicate")


def ranks_file(folder: Path, family: str, *, graded: bool) -> Path:
    """Return where the ranks of a family are kept."""
    return folder / f"sbc_{family}{'' if graded else '_by_reporter'}.csv"


def summarise_ranks(ranks: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the test of every quantity, and the verdict in one sentence."""
    table = test_uniform(ranks)
    failed = table.loc[table["p_holm"] <= ALPHA, "quantity"].tolist()
    n, smallest = ranks["replicate"].nunique(), table["p_holm"].min()
    methods = ranks.groupby("replicate")["method"].first().value_counts()
    by = ", ".join(f"{count} by {name}" for name, count in methods.items())
    verdict = (
        f"{n} replicates ({by}), {len(table)} quantities; smallest Holm-adjusted p {smallest:.3g}"
    )
    told = f"not uniform: {', '.join(failed)}" if failed else "none found not uniform"
    return table, f"{verdict}; {told} at {ALPHA}."


def table_markdown(table: pd.DataFrame) -> str:
    """Return the quantities with the smallest p as a Markdown table."""
    lines = [
        "| quantity | n | shift | spread | p | p, Holm |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in table.head(SHOWN).itertuples():
        lines.append(
            f"| {row.quantity} | {row.n} | {row.shift:+.3f} | {row.spread:.3f} | {row.p:.3g} "
            f"| {row.p_holm:.3g} |"
        )
    return "\n".join(lines)


def render(folder: Path, images: Path) -> None:
    """Draw the figures of every family that was run, and fill in the page beside their folder."""
    page = images.parent / "calibration.md"
    text = page.read_text(encoding="utf-8")
    for file in sorted(folder.glob("sbc_*.csv")):
        ranks, name = read_finished(file), file.stem
        table, verdict = summarise_ranks(ranks)
        size = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        told = f"{size['n_place']} places x {size['n_period']} periods, {size['n_draws']} draws"
        parts = [f"{told}: {verdict}", table_markdown(table)]
        for kind in ("histogram", "ecdf"):
            image = images / f"{name}_{kind}.png"
            figure = plot_ranks(ranks, kind, out=image)
            parts.append(f"![{figure.alt_text}]({images.name}/{image.name})")
        text = fill_section(text, name, "\n\n".join(parts))
    with atomic_file(page) as part:
        part.write_text(text, encoding="utf-8")
    print(page)


def main() -> None:
    """Run replicates, or render what was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, default="gaussian")
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--places", type=int, default=5)
    parser.add_argument("--periods", type=int, default=4)
    parser.add_argument("--draws", type=int, default=99, help="ranks run from 0 to this")
    parser.add_argument("--by-reporter", action="store_true", help="no accuracy classes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/sbc"))
    parser.add_argument("--render", type=Path, metavar="FOLDER", help="of images; runs nothing")
    args = parser.parse_args()
    if args.render is not None:
        render(args.out, args.render)
        return
    graded = not args.by_reporter
    ranks = run_replicates(
        run_one,
        range(args.first, args.first + args.replicates),
        file=ranks_file(args.out, args.family, graded=graded),
        settings={
            "family": args.family,
            "n_place": args.places,
            "n_period": args.periods,
            "n_draws": args.draws,
            "graded": graded,
        },
        jobs=args.jobs,
    )
    table, verdict = summarise_ranks(ranks)
    with pd.option_context("display.width", 120):
        print(table.round(4).to_string(index=False))
    print(verdict)


if __name__ == "__main__":
    main()
