"""The demo: the run folder it leaves, the page in it, and what it prints."""

import json
import sys
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from support import corridors, tiny_posterior
from typer.testing import CliRunner

from flowcast import demonstration
from flowcast._demo_page import PICTURES, SOURCE, build_page
from flowcast._demo_tables import (
    FLOW_COLUMNS,
    TOTAL_COLUMNS,
    flow_rows,
    flows_beside_reports,
    pick_flows,
    total_rows,
)
from flowcast.cli import app
from flowcast.demonstration import run_demo
from flowcast.errors import UsageError
from flowcast.observations import read_observations
from flowcast.persistence import is_run, read_run
from flowcast.plots import PLOT_KINDS
from flowcast.posterior import Posterior
from flowcast.resources import embedded_path

DATA = embedded_path("data", "europe_2024")
VOID = {"meta", "img", "link", "br", "hr"}


@pytest.fixture(scope="module")
def reports() -> pd.DataFrame:
    return read_observations(DATA / "observations.csv").table


@pytest.fixture(scope="module")
def posterior(reports: pd.DataFrame) -> Posterior:
    """A posterior around the larger report of each pair, and around 500 where there is none."""
    places = sorted({*reports["origin"], *reports["destination"]})
    larger = reports.groupby(["origin", "destination"])["value"].max()
    pairs = list(zip(*corridors(places), strict=True))
    medians = np.array([larger.get(pair, 500.0) for pair in pairs]) + 1.0
    noise = np.exp(0.3 * np.random.default_rng(1).standard_normal((2, 40, len(pairs))))
    evidence = [["both_reports" if pair in larger.index else "none"] for pair in pairs]
    return tiny_posterior(
        places, 1, first_year=2024, flows=(noise * medians)[..., None], evidence=evidence
    )


@pytest.fixture
def installed(posterior: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the fit, and work in an empty folder."""
    model = {"name": "europe_2024", "data": {"observations": [str(DATA / "observations.csv")]}}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
    monkeypatch.setattr(demonstration, "DEMO_MODEL", str(tmp_path / "model.yaml"))
    fake = SimpleNamespace(estimate=lambda *_, **__: posterior)
    monkeypatch.setitem(sys.modules, "flowcast.inference", fake)
    monkeypatch.setattr(demonstration, "PICTURES", PICTURES[:1])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


class Page(HTMLParser):
    """Collects what the tests look at, and complains about tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


# The tables


def test_every_flow_stands_beside_what_both_sides_report(
    posterior: Posterior, reports: pd.DataFrame
) -> None:
    flows = flows_beside_reports(posterior, reports).set_index(["origin", "destination"])
    assert len(flows) == 306
    assert flows["median"].is_monotonic_decreasing
    known = flows.loc[("SK", "NL")]
    assert (known["by_origin"], known["by_destination"]) == (55.0, 1447.0)
    assert flows.loc[("FR", "PL"), ["by_origin", "by_destination"]].isna().all()
    assert flows["copied_origin"].sum() + flows["copied_destination"].sum() == 8
    assert bool(flows.loc[("DE", "RO"), "copied_destination"])
    assert (flows["lower"] < flows["median"]).all()
    assert (flows["median"] < flows["upper"]).all()


def test_the_flows_shown_are_large_contradictory_and_unreported(
    posterior: Posterior, reports: pd.DataFrame
) -> None:
    flows = flows_beside_reports(posterior, reports)
    picked = pick_flows(flows)
    assert len(picked) == 15
    assert not picked.duplicated(["origin", "destination"]).any()
    by_reason = dict(list(picked.groupby("why")))
    largest = by_reason["among the largest"]
    assert largest["median"].min() >= flows["median"].nlargest(6).min()
    apart = by_reason["reports far apart"]
    ratio = np.log(apart["by_origin"] / apart["by_destination"]).abs()
    assert (ratio > np.log(5)).all()
    assert (apart[["by_origin", "by_destination"]].max(axis=1) >= 200).all()
    silent = by_reason["nobody reports it"]
    pairs = set(zip(silent["origin"], silent["destination"], strict=True))
    assert pairs == {("PL", "GB"), ("GB", "PL"), ("FR", "PL"), ("FR", "GB"), ("GB", "FR")}


def test_rows_are_text_with_names_and_marks(posterior: Posterior, reports: pd.DataFrame) -> None:
    rows = flow_rows(pick_flows(flows_beside_reports(posterior, reports)))
    assert {len(row) for row in rows} == {len(FLOW_COLUMNS)}
    by_pair = {(row[0], row[1]): row for row in rows}
    assert by_pair["Romania", "Germany"][2:4] == ["64,325*", "64,325"]
    assert by_pair["France", "Poland"][2:4] == ["-", "-"]
    assert " to " in by_pair["France", "Poland"][5]


def test_totals_are_of_every_country_and_add_up(posterior: Posterior) -> None:
    rows = total_rows(posterior)
    assert {len(row) for row in rows} == {len(TOTAL_COLUMNS)}
    assert len(rows) == 18
    assert rows[0][0] == "Austria"
    for row in rows:
        entering, leaving, net = (float(row[k].replace(",", "")) for k in (1, 3, 5))
        assert net == pytest.approx(entering - leaving, abs=0.05 * (entering + leaving))


# The page


@pytest.fixture(scope="module")
def page(posterior: Posterior, reports: pd.DataFrame) -> Page:
    flows = flow_rows(pick_flows(flows_beside_reports(posterior, reports)))
    pictures = [(picture, b"\x89PNG", f"What {picture.kind} shows & how") for picture in PICTURES]
    return Page(build_page(posterior, flows, total_rows(posterior), pictures))


def test_the_page_stands_alone(page: Page) -> None:
    outside = ("http:", "https:", "//")
    for tag, attrs in page.tags:
        for name in ("src", "href"):
            assert not (attrs.get(name) or "").startswith(outside), tag
    assert page.all("script") == []
    assert page.all("link") == []
    assert all(
        (image["src"] or "").startswith("data:image/png;base64,") for image in page.all("img")
    )


def test_the_page_can_be_read_without_seeing_it(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert [image["alt"] for image in page.all("img")] == [
        f"What {picture.kind} shows & how" for picture in PICTURES
    ]
    assert len(page.all("caption")) == len(page.all("table")) == 2
    assert all(cell.get("scope") in {"col", "row"} for cell in page.all("th"))
    assert Counter(tag for tag, _ in page.tags)["main"] == 1


def test_the_page_says_what_a_reader_must_know(page: Page) -> None:
    for said in (
        "95% credible interval (equal-tailed)",
        "usual residence for at least 12 months",
        "How to read this",
        "Honest limits",
        "Convergence gate passed.",
        SOURCE,
        "CC BY 4.0",
        "manifest.json",
        "Slovakia",
        "1,447",
        "nobody reports it",
    ):
        assert said in page.text, said
    assert "confidence interval" not in page.text


def test_the_page_of_a_run_that_did_not_converge_warns(reports: pd.DataFrame) -> None:
    text = build_page(tiny_posterior(3, 1, passed=False), [], [], [])
    assert "Convergence gate not passed." in text
    assert "Do not use these figures" in text
    assert "R-hat 1.200 is above 1.010" in text


def test_the_page_has_every_kind_of_figure() -> None:
    assert {picture.kind for picture in PICTURES} == set(PLOT_KINDS)
    names = [picture.name for picture in PICTURES]
    assert len(names) == len(set(names))
    assert sum(picture.kind == "reports" for picture in PICTURES) >= 2


def test_the_source_line_is_that_of_the_data() -> None:
    assert SOURCE in (DATA / "README.md").read_text(encoding="utf-8")


# The run


def test_the_demo_leaves_a_run_with_figures_and_a_page(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_demo("runs/demo")
    run = installed / "runs" / "demo"
    assert is_run(run)
    assert read_run(run).spec.name == "tiny"
    files = json.loads((run / "manifest.json").read_text())["files"]
    assert {"index.html", "figures/coverage.png"} <= set(files)
    assert "base64" in (run / "index.html").read_text(encoding="utf-8")
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2 + 2 + 15
    assert "95% credible interval (equal-tailed)" in shown.out
    for said in ("runs/demo/index.html", "Convergence gate passed", "Done in"):
        assert said in shown.err


@pytest.mark.slow
def test_all_figures_are_drawn(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "PICTURES", PICTURES)
    run_demo("demo", quiet=True)
    drawn = {path.stem for path in (installed / "demo" / "figures").iterdir()}
    assert drawn == {picture.name for picture in PICTURES}
    page = Page((installed / "demo" / "index.html").read_text(encoding="utf-8"))
    assert all(len(image["alt"] or "") > 40 for image in page.all("img"))


def test_the_demo_is_quiet_if_asked(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_demo("demo", quiet=True)
    assert capsys.readouterr() == ("", "")


def test_the_demo_replaces_an_earlier_one_but_nothing_else(installed: Path) -> None:
    run_demo("demo", quiet=True)
    first = (installed / "demo" / "manifest.json").stat().st_ino
    run_demo("demo", quiet=True)
    assert (installed / "demo" / "manifest.json").stat().st_ino != first
    (installed / "mine").mkdir()
    (installed / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no finished run"):
        run_demo("mine", quiet=True)


def test_an_interruption_while_drawing_leaves_nothing(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demonstration, "plot", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_demo("demo", quiet=True)
    assert list(installed.iterdir()) == []


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 3)])
def test_the_command_ends_as_the_gate_says(
    installed: Path, monkeypatch: pytest.MonkeyPatch, passed: bool, code: int
) -> None:
    monkeypatch.setattr(
        demonstration, "run_demo", lambda *_, **__: tiny_posterior(2, 1, passed=passed)
    )
    assert CliRunner().invoke(app, ["demo"]).exit_code == code
