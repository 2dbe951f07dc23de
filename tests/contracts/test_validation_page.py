"""The validation page is what its template and the committed tables say, and nothing else."""

import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from flowcast.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
INDEX = """\
scores:
  title: Scores
  command: python -m benchmarks.invented
  date: 2026-12-01
  seed: 7
"""
SCORES = """\
who,side,n,coverage,se
a,in,1200,0.8005,0.01
a,out,7,1.0,
b,in,,-0.25,0.5
"""


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return runpy.run_path(str(ROOT / "tools" / "validation_page.py"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one table."""
    (tmp_path / "index.yaml").write_text(INDEX)
    (tmp_path / "scores.csv").write_text(SCORES)
    return tmp_path


@pytest.fixture
def copy(tool: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed tables and page, copied; the command works on the copies."""
    shutil.copytree(DOCS / "tables" / "validation", tmp_path / "tables")
    shutil.copy(DOCS / "validation.md", tmp_path)
    names = tool["main"].__globals__
    monkeypatch.setitem(names, "TABLES", tmp_path / "tables")
    monkeypatch.setitem(names, "PAGE", tmp_path / "validation.md")
    return tmp_path


def build(tool: dict[str, Any], folder: Path, template: str) -> str:
    path = folder / "page.md.jinja"
    path.write_text(template, encoding="utf-8")
    return str(tool["build_page"](folder, path))


def refused(tool: dict[str, Any], folder: Path, template: str) -> str:
    with pytest.raises(InputError) as caught:
        build(tool, folder, template)
    return str(caught.value)


def test_page_and_tables_are_in_step(tool: dict[str, Any]) -> None:
    committed = (DOCS / "validation.md").read_text(encoding="utf-8")
    assert committed == tool["build_page"](), "run: make pages"


def test_check_fails_where_a_number_of_a_table_changed(
    tool: dict[str, Any], copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool["main"](["--check"]) == 0
    assert "in step" in capsys.readouterr().out
    table = copy / "tables" / "around31.csv"
    text = table.read_text()
    assert text.count("0.586") == 1
    table.write_text(text.replace("0.586", "0.596"))
    assert tool["main"](["--check"]) == 1
    told = capsys.readouterr().out
    assert "NOT in step" in told
    # In the table and in the prose that quotes it.
    assert len(re.findall(r"^-\|.*\.586", told, re.MULTILINE)) == 2
    assert len(re.findall(r"^\+\|.*\.596", told, re.MULTILINE)) == 2
    assert tool["main"]([]) == 0
    assert tool["main"](["--check"]) == 0


def test_check_fails_where_the_page_was_written_by_hand(tool: dict[str, Any], copy: Path) -> None:
    page = copy / "validation.md"
    page.write_text(page.read_text(encoding="utf-8") + "by hand\n", encoding="utf-8")
    assert tool["main"](["--check"]) == 1
    page.unlink()
    assert tool["main"](["--check"]) == 1


def test_a_fault_is_told_and_leaves_the_page(
    tool: dict[str, Any], copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (copy / "validation.md").read_bytes()
    (copy / "tables" / "spare.csv").write_text("a\n1\n")
    assert tool["main"]([]) == 1
    assert "(spare.csv) | found no entry in the index" in capsys.readouterr().out
    assert (copy / "validation.md").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "columns", "heading"),
    [
        (
            "schemes31",
            "scheme,against,n,crps_log,crps,mae_log,coverage_80,coverage_95,difference,se",
            "### Withheld in other ways",
        ),
        (
            "rolling43",
            "horizon,against,n,crps_log,crps,mae_log,coverage_80,coverage_95,difference,se",
            "## Double entry of 43 reporters, the last years withheld",
        ),
        ("net_migration31", "variant,metric,value", "### Net migration"),
    ],
)
def test_a_table_that_comes_later_has_its_place(
    tool: dict[str, Any], copy: Path, name: str, columns: str, heading: str
) -> None:
    tables = copy / "tables"
    if not (tables / f"{name}.csv").exists():
        assert heading not in tool["build_page"](tables)
        cells = ["3" if k < 2 else f"{k}.5" for k in range(columns.count(",") + 1)]
        (tables / f"{name}.csv").write_text(f"{columns}\n{','.join(cells)}\n")
        with (tables / "index.yaml").open("a") as index:
            index.write(INDEX.replace("scores:", f"{name}:"))
    page = tool["build_page"](tables)
    section = page.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    assert "- **Made by** `python -m benchmarks." in section
    assert section.count("\n| ") > 2


def test_cells_are_written_as_they_are_asked_for(tool: dict[str, Any], folder: Path) -> None:
    template = """\
{{ table("scores", {
    "who": "{who}", "n": "{n:,.0f}", "share": "{coverage:.3f} ({se:.2f})", "as it is": "{coverage}",
}, once=["who"], words={"a": "first"}, bold={"side": "out"}) }}
"""
    assert build(tool, folder, template) == (
        "| who | n | share | as it is |\n"
        "| --- | ---: | --- | ---: |\n"
        "| first | 1,200 | .800 (.01) | .8005 |\n"
        "|  | **7** | **1.000 ()** | **1.0** |\n"
        "| b |  | \N{MINUS SIGN}.250 (.50) | \N{MINUS SIGN}.25 |\n"
    )


def test_rows_stand_beside_each_other(tool: dict[str, Any], folder: Path) -> None:
    template = """\
{{ table("scores", {
    "": "{who}", "in": "{in[coverage]:.2f}", "out": "{out[coverage]:.2f}", "n": "{out[n]} people",
}, across="side") }}
"""
    assert build(tool, folder, template).splitlines()[1:] == [
        "| --- | ---: | ---: | --- |",
        "| a | .80 | 1.00 | 7 people |",
        "| b | \N{MINUS SIGN}.25 |  |  |",
    ]


def test_values_and_origins_stand_in_prose(tool: dict[str, Any], folder: Path) -> None:
    template = (
        '{{ value("scores", "coverage", ".1%", who="a", side="in") }}, {{ made("scores") }}'
        '{% if exists("other") %} and more{% endif %}'
    )
    told = "80.0 %, `python -m benchmarks.invented`, 2026-12-01, seed 7"
    assert build(tool, folder, template) == told


@pytest.mark.parametrize(
    ("text", "spec", "said"),
    [
        ("0.0961", "three", ".096"),
        ("1.1212", "three", "1.12"),
        ("-36.42", "three", "\N{MINUS SIGN}36.4"),
        ("329100", "three", "329,100"),
        ("0", "", "0"),
        ("0.930", "", ".930"),
        ("0.079", "+.2f", "+.08"),
        ("10.5", "", "10.5"),
    ],
)
def test_numbers_have_no_leading_zero(
    tool: dict[str, Any], text: str, spec: str, said: str
) -> None:
    assert tool["write_number"](text, spec) == said


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ('{{ value("score", "n") }}', "found the table 'score'; allowed: scores; did you mean"),
        ('{{ value("scores", "cover", who="b") }}', "found the column 'cover'; allowed: who, side"),
        ('{{ value("scores", "n", was="b") }}', "found the column 'was'"),
        ('{{ value("scores", "n", who="c") }}', "(scores.csv, who) | found 'c'; allowed: 'a', 'b'"),
        ('{{ value("scores", "n", who="a") }}', "(scores.csv, n) | found 2 rows with who='a'"),
        ('{{ value("scores", "n", ".3x", who="a", side="in") }}', "found the format '.3x'"),
        ('{{ value("scores", "side", ".3f", who="b") }}', "found 'in' for the format '.3f'"),
        ('{{ table("scores", {"n": "{n:.0f"}) }}', "(scores.csv, n) | found the cell '{n:.0f'"),
        ('{{ table("scores", {"n": "{up[n]}"}, across="side") }}', "found 'up'; allowed: 'in'"),
        ('{{ made("none") }}', "found the table 'none'"),
        ("nothing", "(scores.csv) | found a table that no page uses"),
        ("{{ mean }}", "'mean' is undefined"),
        ("a\n{% if %}", "(page.md.jinja, row 2) | found"),
    ],
)
def test_what_is_not_there_is_refused(
    tool: dict[str, Any], folder: Path, template: str, told: str
) -> None:
    assert told in refused(tool, folder, template)


def test_all_faults_are_told_at_once(tool: dict[str, Any], folder: Path) -> None:
    template = '{{ value("x", "n") }}{{ value("scores", "y") }}'
    assert refused(tool, folder, template).startswith("2 faults\n")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("scores.csv", "a,b\n1,2\n1\n", "(scores.csv, row 3) | found another number of cells"),
        ("scores.csv", "a,b\n", "(scores.csv) | found no rows"),
        ("more.csv", "a\n1\n", "(more.csv) | found no entry in the index"),
        ("index.yaml", INDEX + INDEX.replace("scores", "gone"), "(gone.csv) | found no such file"),
        ("index.yaml", INDEX.replace("seed", "sed"), "(index.yaml, scores) | found 'sed'"),
        ("index.yaml", INDEX.replace("  date: 2026-12-01\n", ""), "found no date"),
        ("index.yaml", "scores: 3\n", "(index.yaml, scores) | found 3"),
    ],
)
def test_files_that_are_wrong_are_refused(
    tool: dict[str, Any], folder: Path, file: str, text: str, told: str
) -> None:
    (folder / file).write_text(text)
    assert told in refused(tool, folder, '{{ value("scores", "n", who="b") }}')


def test_links_of_the_page_lead_somewhere() -> None:
    page = (DOCS / "validation.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}
    here = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert len(here) > 8
    assert here - slugs == set()
    for target in re.findall(r"\]\(([\w./]+\.md)[#)]", page):
        assert (DOCS / target).is_file(), target


def test_the_site_takes_neither_template_nor_tables_for_pages() -> None:
    patterns = runpy.run_path(str(DOCS / "conf.py"))["exclude_patterns"]
    assert {"*.jinja", "tables"} <= set(patterns)
