"""`flowcast sources report` as a user meets it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.resources import embedded_path
from flowcast.sources.quality import INDICATORS, TIDY_COLUMNS, assess, read_files

EMBEDDED = embedded_path("data", "europe_2024", "observations.csv")
HEADER = "source,family,measure,origin,destination,year,value,reporter\n"
ROW = "mine,administrative,flow,DE,FR,2020,10,destination\n"
DOCS = Path(__file__).resolve().parents[2] / "docs"


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def report(*arguments: object) -> Result:
    return run_flowcast("sources", "report", *arguments)


def test_a_short_summary_is_printed() -> None:
    done = report(EMBEDDED)
    assert done.exit_code == 0, done.stderr
    for heading in ("Coverage", "Definitions", "Ratio to mirror reports", "Outliers", "Breaks"):
        assert f"\n{heading}" in done.stdout
    assert "517 reports by 31 reporters" in done.stdout
    assert "SK as origin" in done.stdout
    assert "95 % confidence interval of the median, order statistics" in done.stdout
    assert len(done.stdout.splitlines()) < 50
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["html", "csv", "json"])
def test_a_file_is_what_the_format_on_stdout_is(form: str, tmp_path: Path) -> None:
    out = tmp_path / f"quality.{form}"
    done = report(EMBEDDED, "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"Written: {out}\n"
    assert out.read_text(encoding="utf-8") == report(EMBEDDED, "--format", form).stdout
    assert list(tmp_path.iterdir()) == [out]


def test_the_csv_has_the_columns_and_the_probability_asked_for() -> None:
    text = report(EMBEDDED, "--format", "csv", "--prob", "0.8").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == TIDY_COLUMNS
    assert {row["prob"] for row in rows} == {"", "0.8"}
    assert json.loads(report(EMBEDDED, "--format", "json").stdout)["metadata"]["prob"] == 0.95


def test_the_page_says_what_the_registry_knows(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(HEADER + ROW)
    own = tmp_path / "own.csv"
    own.write_text(
        "id,publisher,title,family,measure,role,licence\n"
        "mine,We & They,Our file,survey,flow,fit,CC0\n"
    )
    page = report(tmp_path / "mine.csv", "--format", "html", "--registry", own).stdout
    assert "We &amp; They" in page
    assert "CC0" in page
    assert "not in the registry" in report(tmp_path / "mine.csv", "--format", "html").stdout


def test_several_files_are_joined_or_are_vintages(tmp_path: Path) -> None:
    old, new, other = (tmp_path / f"{name}.csv" for name in ("old", "new", "other"))
    old.write_text(HEADER + ROW)
    new.write_text(HEADER + ROW.replace(",10,", ",15,"))
    other.write_text(HEADER + ROW.replace("2020", "2021"))
    assert "2 reports" in report(old, other).stdout
    refused = report(old, new)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "the same key as row 2 of" in refused.stderr
    done = report(old, new, "--vintages")
    assert done.exit_code == 0
    assert f"10 ({old}) to 15 ({new}; {new}, row 2)" in done.stdout


def test_bad_input_exits_with_1_every_fault_and_no_file(tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.csv", tmp_path / "quality.html"
    bad.write_text(HEADER + ROW.replace("DE", "XX") + ROW.replace(",10,", ",-1,"))
    registry = tmp_path / "registry.csv"
    registry.write_text("id,publisher,title,role\na,b,c,d\n")
    out.write_text("before")
    done = report(bad, tmp_path / "none.csv", "--out", out, "--registry", registry)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("flowcast: 4 faults\n")
    for said in ("'XX'", "-1", "no such file", "registry.csv, row 2, role"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--format", "xml"],
        ["--format", "text"],
        ["--prob", "1.5"],
        ["--vintages"],
        ["--out", "quality.xml"],
        ["--out", "none/quality.html"],
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = report(*([EMBEDDED] if arguments else []), *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_costs_nothing() -> None:
    code = (
        "import sys; sys.argv = ['flowcast', 'sources', 'report', '--help']\n"
        "from flowcast.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: " in done.stdout
    assert set(done.stdout.split()) & {"pydantic", "pandas", "numpy", "scipy", "jinja2"} == set()


def test_the_documentation_has_every_indicator_and_column() -> None:
    page = (DOCS / "quality_report.md").read_text(encoding="utf-8")
    assert [name for name in (*INDICATORS, *TIDY_COLUMNS) if f"`{name}`" not in page] == []


def test_a_known_error_shows_in_both_reporters_figures(shared: Path, tmp_path: Path) -> None:
    """Czech emigration of 2005 and Lithuanian of 2001 changed their definitions."""
    folder = shared / "data" / "flows" / "un_flows_2015"
    frame = pd.read_csv(folder / "double_entry_both_reporters.csv.gz", keep_default_na=False)
    parts = [
        frame[["orig", "dest", "year"]].assign(value=frame[column], reporter=side)
        for column, side in (
            ("imm_reported_by_dest", "destination"),
            ("emi_reported_by_orig", "origin"),
        )
    ]
    table = pd.concat(parts)[lambda t: (t["value"] != "") & (t["year"] >= 1994)]
    table = table[~table[["orig", "dest"]].isin(["SCG", "SRB", "MNE"]).any(axis=1)]
    table = table.rename(columns={"orig": "origin", "dest": "destination"})
    path = tmp_path / "double.csv"
    table.assign(source="un", family="administrative", measure="flow").to_csv(path, index=False)
    observations, rows = read_files([path])
    quality = assess(observations, rows=rows)
    sure = quality.breaks[quality.breaks["status"] == "break"]
    found = set(sure[["reporter", "year"]].itertuples(index=False, name=None))
    assert {("CZE", "2005"), ("LTU", "2001")} <= found
    # Russian immigration of 1992 to 1996 lacks what others report; only the mirror shows it.
    russia = quality.mirror.query("reporter == 'RUS' and side == 'destination'")
    ratio = russia.set_index("year")["ratio"]
    assert ratio[["1994", "1995", "1996"]].max() < 0.01 < 0.5 < ratio["1997"]
