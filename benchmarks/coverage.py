"""Coverage on simulated worlds: how many true flows lie in their intervals.

Run ``python -m benchmarks.coverage --size 12x8 --worlds 100 --jobs 2 --out FOLDER``; a run that
was stopped goes on when it is started again. Worlds are drawn from the full model, every
hyper-parameter from its prior, and each is fitted twice: with Poisson counts and with the delta
method. ``--render docs/images`` draws the figures and fills in docs/calibration.md.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.pages import add_keep, command_line, keep
from benchmarks.replicates import fill_section, read_finished, run_replicates
from flowcast._atomic import atomic_file
from flowcast.config import Measurement, Sampler
from flowcast.inference import fit_problem
from flowcast.plots import plot_interval_coverage
from flowcast.simulation import SimulatedWorld, simulate_world, simulation_spec

PROBS = (0.5, 0.8, 0.9, 0.95)
FORMS = ("poisson", "delta")
FORM_NAMES = {"poisson": "Poisson counts", "delta": "delta method"}
EDGES = (0.0, 10.0, 50.0, np.inf)
SIZES = ("0-10", "10-50", "50 and more")
EVIDENCE = {"both_reports": "both report", "one_report": "one reports", "none": "nobody reports"}
SUMS = ("cells", *(f"in{100 * p:.0f}" for p in PROBS), "error", "bias", "width")
CLASSES = ["counts", "evidence", "true_size", "estimated_size"]


def score_cells(draws: NDArray[np.float64], truth: NDArray[np.float64]) -> pd.DataFrame:
    """Return one row a cell: sizes, inside each interval, error, bias and width.

    Parameters
    ----------
    draws
        Log flows, (draw, cell).
    truth
        True log flows, (cell,).

    Returns
    -------
    DataFrame
        `true_size` and `estimated_size` (class of the median), `in50` to `in95`, `error` (absolute,
        of the log median), `bias` (log median less truth), `width` (log, of the 90 % interval).
    """
    median = np.median(draws, axis=0)
    out = pd.DataFrame({"cells": np.ones(len(truth), dtype=int)})
    for name, log_flow in (("true_size", truth), ("estimated_size", median)):
        classes = pd.cut(np.exp(log_flow), EDGES, labels=SIZES, right=False)
        out[name] = classes.astype(str)
    for prob in PROBS:
        low, high = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        out[f"in{100 * prob:.0f}"] = ((truth >= low) & (truth <= high)).astype(int)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return out.assign(error=np.abs(median - truth), bias=median - truth, width=high - low)


def fit_form(world: SimulatedWorld, counts: str) -> pd.DataFrame:
    """Fit a world with one form of counts, and add the scores of its cells up by class."""
    problem = world.problem
    measurement = problem.spec.measurement.model_copy(update={"counts": counts})
    spec = problem.spec.model_copy(update={"measurement": measurement})
    # Only the sites depend on the form; the layout of the problem does not.
    tree, gate, _, remarks = fit_problem(replace(problem, spec=spec), prior=False)
    log_flow = tree["latent"]["log_flow"].to_numpy()
    cells = score_cells(
        log_flow.reshape(-1, world.world.log_flow.size).astype(float), world.world.log_flow.ravel()
    )
    cells["evidence"] = tree["cells"]["evidence"].to_numpy().ravel()
    cells["counts"] = counts
    summed = cells.groupby(CLASSES, sort=True)[list(SUMS)].sum().reset_index()
    seconds = round(sum(remarks["timings"].values()), 2)
    return summed.assign(method=remarks["method"], passed=gate.passed, seconds=seconds)


def run_one(seed: int, n_place: int, n_period: int, draws: int) -> pd.DataFrame:
    """Simulate a world, fit it with both forms, and return the sums by class."""
    spec = simulation_spec(sampler=Sampler(seed=seed, kept_draws=draws), measurement=Measurement())
    world = simulate_world(n_place, n_period, seed=seed, spec=spec)
    return pd.concat([fit_form(world, counts) for counts in FORMS], ignore_index=True)


def clustered(frame: pd.DataFrame, column: str) -> tuple[float, float, int]:
    """Return a mean over cells, its world-clustered standard error, and the cells.

    Parameters
    ----------
    frame
        `replicate`, `cells` and sums over so many cells; any number of rows a world.
    column
        Which sum. The standard error is that of a ratio of world totals.
    """
    by = frame.groupby("replicate")[[column, "cells"]].sum()
    n, total = len(by), by["cells"].sum()
    mean = by[column].sum() / total
    residual = by[column] - mean * by["cells"]
    error = np.sqrt(n / (n - 1) * (residual**2).sum()) / total if n > 1 else np.nan
    return float(mean), float(error), int(total)


def groups_of(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of every group that is reported, by its name."""
    out = {"all": frame}
    out |= {name: frame[frame["evidence"] == word] for word, name in EVIDENCE.items()}
    for column, said in (("estimated_size", "estimated"), ("true_size", "true")):
        out |= {f"{said} flow {size}": frame[frame[column] == size] for size in SIZES}
    small = frame[frame["estimated_size"] != SIZES[-1]]
    out |= {
        f"estimated flow 0-50, {name}": small[small["evidence"] == word]
        for word, name in EVIDENCE.items()
    }
    return out


def coverage_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row a group: cells, coverage with standard error, error, bias and width."""
    groups = groups_of(frame)
    shares = page_table(frame)
    out = shares[["flows", "cells"]].copy()
    for k in (f"{100 * prob:.0f}" for prob in PROBS):
        pairs = zip(shares[f"coverage_{k}"], shares[f"se_{k}"], strict=True)
        out[f"{k} %"] = [f"{share:.3f} ({error:.3f})" for share, error in pairs]
    for column in ("error", "bias", "width"):
        out[column] = [f"{clustered(groups[name], column)[0]:.3f}" for name in out["flows"]]
    return out


def page_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return coverage and its standard errors as numbers, a row a group: the table of the page."""
    rows = []
    for name, part in groups_of(frame).items():
        if part.empty:
            continue
        row: dict[str, object] = {"flows": name, "cells": int(part["cells"].sum())}
        for prob in PROBS:
            share, error, _ = clustered(part, f"in{100 * prob:.0f}")
            row |= {f"coverage_{100 * prob:.0f}": share, f"se_{100 * prob:.0f}": error}
        rows.append(row)
    return pd.DataFrame(rows)


def coverage_lines(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return, for each form of counts, coverage of all flows and of those estimated below 50."""
    lines = {}
    for counts in FORMS:
        own = frame[frame["counts"] == counts]
        small = own[own["estimated_size"] != SIZES[-1]]
        for said, part in (("all flows", own), ("flows below 50", small)):
            scores = [clustered(part, f"in{100 * p:.0f}") for p in PROBS]
            lines[f"{FORM_NAMES[counts]}, {said}"] = pd.DataFrame(
                {"prob": PROBS, "share": [s[0] for s in scores], "error": [s[1] for s in scores]}
            )
    return lines


def describe_run(frame: pd.DataFrame) -> str:
    """Return how many worlds there were, how they were fitted, and how many failed the gate."""
    fits = frame.groupby(["replicate", "counts"])[["method", "passed", "seconds"]].first()
    methods = ", ".join(f"{n} by {m}" for m, n in fits["method"].value_counts().items())
    failed = int((~fits["passed"].astype(bool)).sum())
    return (
        f"{frame['replicate'].nunique()} worlds, {len(fits)} fits ({methods}); {failed} did not "
        f"pass the gate and count all the same; {fits['seconds'].median():.0f} s a fit (median)."
    )


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table of text as Markdown."""
    head = f"| {' | '.join(table.columns)} |"
    rule = f"| --- |{' ---: |' * (table.shape[1] - 1)}"
    rows = [f"| {' | '.join(map(str, row))} |" for row in table.itertuples(index=False)]
    return "\n".join([head, rule, *rows])


def render(folder: Path, images: Path) -> None:
    """Draw the figures of every size that was run, and fill in the page beside their folder."""
    page = images.parent / "calibration.md"
    text = page.read_text(encoding="utf-8")
    for file in sorted(folder.glob("coverage_*.csv")):
        frame, name = read_finished(file), file.stem
        size = name.removeprefix("coverage_").replace("x", " places x ") + " periods"
        image = images / f"{name}.png"
        title = f"Coverage of true flows, {size}"
        figure = plot_interval_coverage(coverage_lines(frame), title=title, out=image)
        parts = [describe_run(frame)]
        for counts in FORMS:
            table = coverage_table(frame[frame["counts"] == counts])
            parts += [f"**{FORM_NAMES[counts]}** (`counts: {counts}`)", to_markdown(table)]
        parts.append(f"![{figure.alt_text}]({images.name}/{image.name})")
        text = fill_section(text, name, "\n\n".join(parts))
    with atomic_file(page) as part:
        part.write_text(text, encoding="utf-8")
    print(page)


def main() -> None:
    """Run the worlds and print coverage with clustered standard errors, or render them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="12x8", help="places x periods")
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--draws", type=int, default=500, help="draws of the flows a fit")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/coverage"))
    parser.add_argument("--render", type=Path, metavar="FOLDER", help="of images; runs nothing")
    add_keep(parser)
    args = parser.parse_args()
    if args.render is not None:
        render(args.out, args.render)
        return
    n_place, n_period = (int(n) for n in args.size.split("x"))
    frame = run_replicates(
        run_one,
        range(args.first, args.first + args.worlds),
        file=args.out / f"coverage_{n_place}x{n_period}.csv",
        settings={"n_place": n_place, "n_period": n_period, "draws": args.draws},
        jobs=args.jobs,
    )
    print(describe_run(frame))
    for counts in FORMS:
        print(f"\n{FORM_NAMES[counts]}: share of true flows inside (world-clustered error)")
        print(coverage_table(frame[frame["counts"] == counts]).to_string(index=False))
    if args.keep:
        table = page_table(frame[frame["counts"] == FORMS[0]])
        seeds = f"{args.first} to {args.first + args.worlds - 1}"
        keep(table, "coverage_worlds", command=command_line("coverage"), seed=seeds)


if __name__ == "__main__":
    main()
