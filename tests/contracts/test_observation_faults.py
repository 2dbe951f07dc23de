"""A file with planted faults gives exactly these faults, each with its row, and nothing else."""

from pathlib import Path

import pytest

from flowcast.errors import Fault, InputError
from flowcast.observations import read_observations

HEADER = (
    "source,family,measure,origin,destination,period_start,period_end,value,reporter,"
    "duration_months,undercount_class,standard_error,sample_size,mirror_of,criterion"
)
GOOD = "reg,administrative,flow,{pair},2024-01-01,2025-01-01,{value},origin,12,low,,,,"

# Each line is wrong in one way; the lines between them are sound.
PLANTED = [
    ("DE,FR,2024-01-01,2025-01-01,10,origin,12,low,,,,", None),
    ("DE,FR,2024-01-01,2025-01-01,11,origin,12,low,,,,", (None, "the same key as row 2")),
    ("DE,XQ,2024-01-01,2025-01-01,1,origin,12,low,,,,", ("destination", "'XQ'")),
    ("DE,SE,2024-01-01,2025-01-01,eleven,origin,12,low,,,,", ("value", "text 'eleven'")),
    ("DE,NO,2024-01-01,2025-01-01,-3,origin,12,low,,,,", ("value", "-3")),
    ("DE,IT,2024-01-01,2025-01-01,inf,origin,12,low,,,,", ("value", "inf")),
    ("DE,IE,2024-01-01,2025-01-01,,origin,12,low,,,,", ("value", "an empty cell")),
    ("DE,DE,2024-01-01,2025-01-01,3,origin,12,low,,,,", ("destination", "'DE', the same as")),
    ("DE,AUT,2024-01-01,2025-01-01,3,origin,12,low,,,,", ("destination", "'AUT' in a file of")),
    ("DE,BE,2024-01-01,2025-01-01,3,origin,13,low,,,,", ("duration_months", "13")),
    ("DE,NL,2024-01-01,2025-01-01,3,origin,12,lo,,,,", ("undercount_class", "'lo'")),
    ("DE,ME,2003-01-01,2004-01-01,3,origin,12,low,,,,", ("destination", "'ME' in 2003")),
    ("CS,DE,2010-01-01,2011-01-01,3,origin,12,low,,,,", ("origin", "'CS' in 2010")),
    ("DE,PL,2024-01-01,2025-01-01,3,origin,12,low,,,destination,", ("mirror_of", "'destination'")),
    (",LV,2024-01-01,2025-01-01,3,origin,12,low,,,,", ("origin", "no place, in flow")),
    ("DE,LU,2024-02-30,2025-01-01,3,origin,12,low,,,,", ("period_start", "'2024-02-30'")),
    ("DE,LT,2025-01-01,2024-01-01,3,origin,12,low,,,,", ("period_end", "2024-01-01, not after")),
    ("DE,CH,2024-01-01,2025-01-01,3,origin,12", (None, "10 fields")),
    ("DE,EE,2024-01-01,2025-01-01,3,orign,12,low,,,,", ("reporter", "'orign'")),
    ("DE,FR,2024-07-01,2025-07-01,3,origin,12,low,,,,", ("period_start", "a period that overlaps")),
    ("DE,FI,2024-01-01,2025-01-01,3,origin,12,low,-1,,,", ("standard_error", "-1")),
    ("DE,DK,2024-01-01,2025-01-01,3,origin,12,low,,0,,", ("sample_size", "0")),
    ("DE,ES,2024-01-01,2025-01-01,3,origin,12,low,,,,home", ("criterion", "'home'")),
]
WORDS = [
    (
        "reg,administrativ,flow,DE,PT,2024-01-01,2025-01-01,3,origin,12,low,,,,",
        ("family", "'administrativ'"),
    ),
    ("reg,survey,flux,DE,GR,2024-01-01,2025-01-01,3,origin,12,low,,,,", ("measure", "'flux'")),
    (",survey,flow,DE,HU,2024-01-01,2025-01-01,3,origin,12,low,,,,", ("source", "an empty cell")),
]

Expected = tuple[int, str | None, str]


def planted() -> tuple[str, list[Expected]]:
    """Return the file's text and what must be said about it: row, column, start of the finding."""
    lines, expected = [HEADER], []
    for text, told in [(f"reg,administrative,flow,{t}", e) for t, e in PLANTED] + WORDS:
        lines.append(text)
        if told is not None:
            expected.append((len(lines), *told))
        lines.append(GOOD.format(pair=f"JP,{SOUND[len(lines) // 2]}", value=len(lines)))
    return "\n".join(lines) + "\n", expected


SOUND = ["AR", "BO", "BR", "CA", "CL", "CO", "CU", "EC", "GT", "GY", "HN", "JM", "KR", "MX", "NI"]
SOUND += ["PA", "PE", "PY", "SR", "SV", "US", "UY", "VE", "AU", "NZ", "FJ", "IN", "CN", "ID", "TH"]


def faults_of(path: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        read_observations(path)
    return caught.value.faults


@pytest.fixture
def planted_file(tmp_path: Path) -> Path:
    path = tmp_path / "planted.csv"
    path.write_text(planted()[0], encoding="utf-8")
    return path


def test_every_planted_fault_is_named_once_and_nothing_else(planted_file: Path) -> None:
    expected = planted()[1]
    found = faults_of(planted_file)
    assert [(f.row, f.column) for f in found] == [(row, column) for row, column, _ in expected]
    for fault, (_, _, start) in zip(found, expected, strict=True):
        assert fault.found.startswith(start), fault
    assert len(expected) >= 12


def test_every_fault_names_the_file_and_what_is_allowed(planted_file: Path) -> None:
    for fault in faults_of(planted_file):
        assert fault.where == str(planted_file)
        assert fault.allowed
        assert str(fault).startswith(f"({planted_file}, row {fault.row}")


def test_misspellings_are_answered_with_the_right_word(planted_file: Path) -> None:
    hints = {f.column: f.hint for f in faults_of(planted_file)}
    assert hints["reporter"] == "origin"
    assert hints["family"] == "administrative"
    assert hints["undercount_class"] == "low"


def test_checking_writes_nothing(planted_file: Path) -> None:
    before = planted_file.read_bytes()
    faults_of(planted_file)
    assert [p.name for p in planted_file.parent.iterdir()] == [planted_file.name]
    assert planted_file.read_bytes() == before


def test_the_file_without_the_planted_rows_is_accepted(tmp_path: Path) -> None:
    lines = planted()[0].splitlines()
    wrong = {row for row, _, _ in planted()[1]}
    path = tmp_path / "mended.csv"
    path.write_text("\n".join(x for i, x in enumerate(lines, 1) if i not in wrong), "utf-8")
    assert read_observations(path).n == len(lines) - len(wrong) - 1


@pytest.mark.parametrize("planted_row", planted()[1], ids=lambda e: f"row {e[0]}")
def test_each_planted_fault_is_found_alone(planted_row: Expected, tmp_path: Path) -> None:
    row, column, start = planted_row
    lines = planted()[0].splitlines()
    path = tmp_path / "one.csv"
    # Row 2 stays: the duplicate and the overlap are faults only beside it.
    path.write_text("\n".join([lines[0], lines[1], lines[2], lines[row - 1]]), encoding="utf-8")
    (fault,) = faults_of(path)
    assert fault.row == 4
    assert fault.column == column
    assert fault.found.startswith(start)
