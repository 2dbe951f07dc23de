"""Wording of errors, and that every fault is told at once."""

import pytest

from flowcast.errors import (
    ConvergenceError,
    Fault,
    Faults,
    FlowcastError,
    HeldOutError,
    InputError,
    UsageError,
    nearest,
)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("sampler", "sampler"), ("SAMPLR", "sampler"), ("Codes", "codes"), ("xyz", None), ("", None)],
)
def test_nearest(name: str, wanted: str | None) -> None:
    assert nearest(name, ["codes", "sampler", "process"]) == wanted


def test_nearest_keeps_the_spelling_of_the_allowed_name() -> None:
    assert nearest("iso3a", ["ISO3", "place"]) == "ISO3"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("a.csv", "'x'"), "(a.csv) | found 'x'"),
        (Fault("a.csv", "'x'", "y", 3, "value"), "(a.csv, row 3, value) | found 'x'; allowed: y"),
        (Fault("m", "'x'", "y", hint="z"), "(m) | found 'x'; allowed: y; did you mean z?"),
        (Fault("m", "'x'", row=0), "(m, row 0) | found 'x'"),
    ],
)
def test_a_fault_says_where_what_and_what_is_allowed(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_faults_are_raised_together_in_the_order_of_the_file() -> None:
    faults = Faults("a.csv")
    faults.add("late", row=9)
    faults.add("early", row=2)
    faults.add("whole file")
    faults.add("elsewhere", where="b.csv", row=1)
    assert [f.found for f in faults] == ["late", "early", "whole file", "elsewhere"]
    with pytest.raises(InputError) as caught:
        faults.raise_if_any()
    assert [f.found for f in caught.value.faults] == ["whole file", "early", "late", "elsewhere"]
    assert str(caught.value).splitlines()[0] == "4 faults"
    assert len(str(caught.value).splitlines()) == 5


def test_one_fault_is_singular_and_none_raises_nothing() -> None:
    assert str(InputError([Fault("a", "b")])).startswith("1 fault\n")
    empty = Faults("a")
    empty.raise_if_any()
    assert len(empty) == 0


def test_faults_found_elsewhere_are_taken_over_and_no_hint_is_no_hint() -> None:
    faults = Faults("a")
    faults.extend([Fault("b", "x")])
    faults.add("y", hint=None)
    assert [str(f) for f in faults] == ["(b) | found x", "(a) | found y"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [(InputError, 1), (HeldOutError, 1), (UsageError, 2), (ConvergenceError, 3)],
)
def test_every_error_is_flowcasts_own_and_has_its_exit_code(
    kind: type[FlowcastError], code: int
) -> None:
    assert issubclass(kind, FlowcastError)
    assert kind.exit_code == code
