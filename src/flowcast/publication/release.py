"""A release: a folder of tables, what they rest on and what is known of their worth.

Everything in it follows from the run and its scorecards, so that a second time gives the same
bytes: it holds no date of its own.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flowcast._atomic import atomic_folder
from flowcast._hashes import file_hash
from flowcast.config import dump_model
from flowcast.errors import Fault, FlowcastError, InputError
from flowcast.estimates import estimate_tables, flow_estimates
from flowcast.persistence import read_run
from flowcast.posterior import Posterior, describe_inference
from flowcast.publication.disclosure import DisclosurePolicy, read_policy
from flowcast.publication.display import (
    build_corridor_table,
    build_country_table,
    build_matrix,
    render_display,
)
from flowcast.publication.judge import Judgement, judge_release, read_scorecard
from flowcast.publication.protection import STATUS_COLUMN, protect_tables, rank_shown
from flowcast.publication.quality import QUALITY_COLUMN, QUALITY_GRADES, grade_table
from flowcast.scorecard_page import render_scorecard
from flowcast.sources import load_registry
from flowcast.tables import write_table

__all__ = ["PublicationRefusedError", "publish"]

PROBS: Final = (0.8, 0.95)
WHOLE: Final = sys.maxsize
"""Rows of a part: a table of each measure in one."""
TOP: Final = 20
"""Corridors in the list of the largest."""
MATRIX_PLACES: Final = 40
"""More make no matrix that anybody could read."""
CHECKSUMS: Final = "SHA256SUMS"
COLUMNS: Final = {
    "origin": "code of the place of origin; empty where a row is about all of them",
    "destination": "code of the place of destination; empty where a row is about all of them",
    "period_start": "first day of the period",
    "period_end": "the day after its last",
    "measure": "flow, immigration, emigration or net (immigration less emigration); stock",
    "mean": "posterior mean, persons",
    "median": "posterior median, persons",
    "sd": "posterior standard deviation, persons",
    "lower": "lower end of the credible interval, persons",
    "upper": "upper end of the credible interval, persons",
    "prob": "probability of the credible interval",
    "kind": "kind of the credible interval",
    "evidence": "what the figure rests on: both_reports, one_report, survey, digital, stock, "
    "total, joined by +, or none",
    "definition": "minimum stay for a move to count",
    QUALITY_COLUMN: "; ".join(f"{grade}: {text}" for grade, text in QUALITY_GRADES.items()),
    "rank": "posterior mean of the rank among corridors, or destinations of an origin, that are "
    "shown; 1 is the largest flow",
    "probability": f"of being among the {TOP} largest of these corridors, or the first of these "
    "destinations",
    "se": "Monte Carlo standard error of the probability",
    STATUS_COLUMN: "suppressed: the figures are left out, because they are of few persons or would "
    "tell of a cell with few; which of the two is not said",
}
"""What the columns of the tables hold."""


class PublicationRefusedError(FlowcastError):
    """A run that may not be published, with the reasons."""

    exit_code = 1

    def __init__(self, name: str, reasons: Sequence[str]) -> None:
        told = "\n".join(f"  {reason}" for reason in reasons)
        super().__init__(
            f"({name}) | it may not be published:\n{told}\n  With --force it is, and the release "
            "says so."
        )
        self.reasons = tuple(reasons)


def publish(
    run: str | Path,
    out: str | Path,
    *,
    scorecards: Sequence[str | Path] = (),
    policy: str | Path | None = None,
    force: bool = False,
) -> Judgement:
    """Write a release of a run.

    Parameters
    ----------
    run
        A run folder.
    out
        The release's folder, which must not exist: it is written whole or not at all.
    scorecards
        Files that `flowcast validate --out` wrote for the run's model and data.
    policy
        File of a policy of disclosure control, as `read_policy` reads it. All tables obey it
        together. Without one every cell is published.
    force
        Publish in spite of what speaks against it. The release then says so, with the reasons.

    Returns
    -------
    Judgement
        What speaks against it, and what its validation found.

    Raises
    ------
    PublicationRefusedError
        If something speaks against it and `force` is not given. Nothing is written.
    InputError
        If the run, a scorecard or the policy cannot be read, or the folder exists.
    FlowcastError
        If a cell cannot be protected as the policy demands.

    Examples
    --------
    >>> from flowcast.publication import publish
    >>> publish("runs/demo", "release", scorecards=["random.csv"])  # doctest: +SKIP
    """
    target = Path(out)
    if target.exists():
        raise InputError([Fault(str(target), "something there already", "a new name")])
    posterior = read_run(run)
    cards = [read_scorecard(path) for path in scorecards]
    rules = None if policy is None else read_policy(policy)
    judgement = judge_release(posterior, cards)
    if not judgement.passed and not force:
        raise PublicationRefusedError(str(run), judgement.reasons)
    with atomic_folder(target) as folder:
        _write_tables(folder, posterior, rules)
        for card in cards:
            for scheme, rows in card.groupby("scheme", sort=True):
                rows = rows.reset_index(drop=True)
                write_table(rows, folder / f"scorecard_{scheme}.csv")
                _write(folder / f"scorecard_{scheme}.html", render_scorecard(rows))
        _write(folder / "model.yaml", dump_model(posterior.spec))
        _write(folder / "data_dictionary.csv", _dictionary())
        told = _provenance(posterior, judgement) | {"run": _run_hashes(Path(run))}
        told["disclosure"] = None if rules is None else rules.model_dump()
        _write(folder / "provenance.json", json.dumps(told, indent=2))
        _write(folder / "README.md", _readme(posterior, judgement, rules))
        _write(folder / CHECKSUMS, _checksums(folder))
    return judgement


def _write_tables(folder: Path, posterior: Posterior, rules: DisclosurePolicy | None) -> None:
    """Write the estimates, all digits, and the tables for readers that are made of them."""
    flows = flow_estimates(posterior)
    tables = list(estimate_tables(flows, probs=PROBS, rows=WHOLE))
    grades = [grade_table(table) for table in tables]
    if rules is not None:
        tables = protect_tables(tables, rules)
    for k, (table, grade) in enumerate(zip(tables, grades, strict=True)):
        at = list(table).index("evidence") + 1
        table.insert(at, QUALITY_COLUMN, grade.where(table["mean"].notna()))
        name = table["measure"].iloc[0]
        write_table(table, folder / f"{name}.csv")
        write_table(table, folder / f"{name}.parquet")
        tables[k] = table
    corridors = tables[0]
    multiples = rules is not None and rules.method == "round"
    shown = []
    largest = rank_shown(flows, corridors, top=TOP)
    first = rank_shown(flows, corridors, within="origin")
    if largest is not None and first is not None:
        write_table(largest.head(TOP), folder / "top_corridors.csv")
        write_table(first, folder / "top_destinations.csv")
        shown.append(build_corridor_table(corridors, largest.head(TOP), rounded=multiples))
    if corridors["origin"].nunique() <= MATRIX_PLACES:
        shown.append(build_matrix(corridors, rounded=multiples))
    if len(tables) > 1:
        shown.append(build_country_table(tables, rounded=multiples))
    for one in shown:
        _write(folder / f"{one.name}.html", render_display(one, "html"))
        _write(folder / f"{one.name}.tex", render_display(one, "latex"))


def _write(path: Path, text: str) -> None:
    path.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")


def _dictionary() -> str:
    rows = pd.DataFrame({"column": list(COLUMNS), "meaning": list(COLUMNS.values())})
    return str(rows.to_csv(index=False))


def _provenance(posterior: Posterior, judgement: Judgement) -> dict[str, Any]:
    """Return what a release rests on, as plain data, without what differs from run to run."""
    info = posterior.info
    registry = {entry.id: entry for entry in load_registry()}
    sources = []
    for name in info.get("sources", []):
        entry = registry.get(str(name))
        about = {} if entry is None else entry.model_dump(mode="json", exclude={"id", "note"})
        sources.append({"id": str(name), **{key: value for key, value in about.items() if value}})
    return {
        "model": posterior.spec.name,
        "title": posterior.spec.title,
        "fingerprint": info.get("fingerprint"),
        "inputs": dict(info.get("inputs", {})),
        "sources": sources,
        "seed": info.get("seed"),
        "inference": _inference(posterior),
        "versions": dict(info.get("versions", {})),
        "gate": {"passed": posterior.gate.passed, "failures": list(posterior.gate.failures)},
        "validation": {
            "passed": judgement.passed,
            "reasons": list(judgement.reasons),
            "remarks": list(judgement.remarks),
        },
    }


def _run_hashes(run: Path) -> dict[str, str]:
    """Return the hash of every file of a run, as its manifest has them."""
    files = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["files"]
    return {name: str(told["sha256"]) for name, told in sorted(files.items())}


def _inference(posterior: Posterior) -> str:
    return describe_inference(posterior.info.get("method"), posterior.info.get("exact"))


def _readme(posterior: Posterior, judgement: Judgement, rules: DisclosurePolicy | None) -> str:
    title = posterior.spec.title or posterior.spec.name
    intervals = " and ".join(f"{100 * prob:.0f} %" for prob in PROBS)
    lines = [f"# {title}", ""]
    if not judgement.passed:
        lines += ["**Published although it should not be.** What speaks against it:", ""]
        lines += [*(f"- {reason}" for reason in judgement.reasons), ""]
    lines += [
        f"Estimates with equal-tailed credible intervals of {intervals}, in persons. Each row has "
        "the interval of one probability. What a figure rests on stands in `evidence`; the columns "
        "are explained in `data_dictionary.csv`, the sources with hashes, licences and citations "
        "in `provenance.json`, the model with every prior in `model.yaml`.",
        "",
        f"Inference: {_inference(posterior)}.",
        "",
        "## Disclosure control",
        "",
        _describe_disclosure(rules),
        "",
        "## Validation",
        "",
        *(f"- {remark}" for remark in judgement.remarks or ("none",)),
        "",
        f"`{CHECKSUMS}` has the hash of every file: `sha256sum --check {CHECKSUMS}`.",
    ]
    return "\n".join(lines)


def _describe_disclosure(rules: DisclosurePolicy | None) -> str:
    if rules is None:
        return "None: small cells are published as they are."
    named = f" ({rules.name})" if rules.name else ""
    small = f"Counts below {rules.minimum_cell:g} persons{named} are protected"
    if rules.method == "round":
        return (
            f"{small}: means are multiples of {rules.base:g} next to the estimates, and sums of "
            "them are the means of totals; medians go up or down with their means, other figures "
            "away from them. Intervals contain those before."
        )
    below, above = rules.protection
    return (
        f"{small}: their figures are left out, and those of other cells with them, where "
        f"`{STATUS_COLUMN}` is `suppressed`. From the means of all tables together none of these "
        f"can be computed nearer than {below:g} persons below it (or zero) and {above:g} above."
    )


def _checksums(folder: Path) -> str:
    lines = [
        f"{file_hash(path)}  {path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return "\n".join(lines)
